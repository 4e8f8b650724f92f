"""
Do effects differ by source or by isolation method?
===================================================

Effects of exosomes against a control (Hedges' g, above 0 for benefit) in strata by source and by isolation
method, for animals and for patients, each outcome family by itself and all outcomes of a domain together
(which mixes outcomes, to show the most that the evidence could support). Every set gets every analysis of
strata: pooled effects, test between strata, permutation test, pairs, differences in heterogeneity, unreported
studies as a mixture of known levels, and bounds over what they may be. Where the data cannot answer, the
table gives the reason instead of a number. The figure of the studies per source and method is that of the
attribution.
"""

import warnings
from collections.abc import Callable

import pandas as pd

import metaexo as mx
from metaexo import errors, evidence, report
from metaexo.formatting import markdown_table, number, plural

CONTROLLED = "contrast == 'exosome_vs_control' and use != 'apart'"
DOMAINS = {"preclinical": "Animals", "clinical": "Patients"}
FACTORS = {"source": "source", "isolation": "isolation method"}
TEST = "knapp-hartung-adhoc"
TOGETHER = "all outcomes together"
SEED = 11


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)
    chosen = {"with doubtful rows": effects(sheets)}
    firm = (chosen["with doubtful rows"].column("use") != "doubtful").to_numpy()
    chosen["without"] = chosen["with doubtful rows"].select(firm, "doubtful by the sheet")

    # One stratified analysis for every set of effects and factor.
    strata = {
        (rows, *names, factor): mx.stratify(part, by=factor, test=TEST)
        for rows, es in chosen.items()
        for names, part in sets(es).items()
        for factor in FACTORS
    }
    keys = ["rows", "domain", "outcomes", "factor"]
    tables = [
        found.to_frame().drop(columns=key[-1]).assign(**dict(zip(keys, key, strict=True)))
        for key, found in strata.items()
    ]
    table = pd.concat(tables)
    analysis.write_table("strata", table[[*keys, *table.columns.drop(keys)]])

    # Every analysis, with its answer or the reason why there is none.
    asked = [
        (*key, question, *answer(ask, found))
        for key, found in strata.items()
        for question, ask in QUESTIONS.items()
    ]
    answers = pd.DataFrame(asked, columns=[*keys, "question", "answered", "words"])
    analysis.write_table("questions", answers)

    for paragraph in statement(chosen["with doubtful rows"], answers):
        analysis.write_summary(paragraph)


def effects(sheets: mx.evidence.Sheets) -> mx.EffectSizes:
    """Return one effect per study and outcome family: the latest, and among equals the first in the sheet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.AssumptionWarning)
        found = sheets.effects("SMD", where=CONTROLLED, assumed_correlation=0.5)
    return mx.one_per_study(
        found, "outcome_family", [evidence.days_after(words) for words in found.column("timepoint")]
    )


def sets(es: mx.EffectSizes) -> dict[tuple[str, str], mx.EffectSizes]:
    """Return the effects of each domain, by outcome family and all together."""
    found = {}
    for (domain,), part in mx.split(es, "domain").items():
        found |= {(domain, family): some for (family,), some in mx.split(part, "outcome_family").items()}
        found[domain, TOGETHER] = part
    return found


def answer(
    ask: Callable[[mx.heterogeneity.StratifiedResults], str], strata: mx.heterogeneity.StratifiedResults
) -> tuple[str, str]:
    """Return whether a question has an answer, and the answer or the reason why there is none."""
    try:
        return "yes", ask(strata)
    except errors.MetaexoError as error:
        return "no", f"{error.given}; needed: {error.needed}"


def pooled(strata: mx.heterogeneity.StratifiedResults) -> str:
    if not strata.fitted:
        raise errors.NotIdentifiableError("no stratum has two or more studies", "two studies in a stratum")
    return "; ".join(
        f"{s.name}: g = {number(s.pooled.estimate)}, k = {s.k}, m = {s.m}" for s in strata.fitted
    )


def between(strata: mx.heterogeneity.StratifiedResults) -> str:
    if strata.between is None:
        raise errors.NotIdentifiableError(strata.between_note.removeprefix("no test: "), "two such strata")
    return f"{strata.between}; {strata.between_note}"


QUESTIONS = {
    "pooled strata": pooled,
    "test between strata": between,
    "labels permuted between studies": lambda strata: str(strata.permutation_test(seed=SEED)),
    "pairs of strata": lambda strata: str(strata.pairwise()),
    "heterogeneity differs": lambda strata: str(strata.heterogeneity_test(seed=SEED)),
    "unreported as a mixture": lambda strata: str(mx.latent_moderator(strata.effects, strata.by[0])),
    "bounds over the unreported": lambda strata: str(strata.assignment_bounds()),
}


def statement(es: mx.EffectSizes, answers: pd.DataFrame) -> list[str]:
    """Return what could be answered and what not, in words."""
    whole = answers[answers["rows"] == "with doubtful rows"]
    counts = whole.assign(had=whole["answered"] == "yes").groupby("question", sort=False)["had"]
    rows = [(row.Index, str(row.size), str(row.sum)) for row in counts.agg(["size", "sum"]).itertuples()]
    further = whole[(whole["answered"] == "yes") & (whole["question"] != "pooled strata")]
    lines = [f"{row.domain}, {row.outcomes}, {row.factor}: {row.words}" for row in further.itertuples()]
    known = {factor: (es.column(factor) != "Not reported").sum() for factor in FACTORS}
    return [
        f"{plural(es.k, 'effect')} of {plural(es.m, 'study', 'studies')} can be assigned to a stratum; the "
        f"source is known for {known['source']} of them, the isolation method for {known['isolation']}. "
        "Analyses "
        "of each set of strata, and how often there is an answer:",
        markdown_table(rows, ["question", "asked", "answered"]),
        f"Answers beyond pooled strata: {'; '.join(lines) or 'none'}.",
        "Why, with all outcomes of a domain together:\n\n" + "\n".join(reasons(es, whole)),
        "What this does not show: that source and isolation method make no difference. Nothing here could "
        "show that they do.",
    ]


def reasons(es: mx.EffectSizes, answers: pd.DataFrame) -> list[str]:
    """Return one line for each domain and factor: the studies by level, and why there is no answer."""
    asked = ["test between strata", "unreported as a mixture", "bounds over the unreported"]
    lines = []
    for (domain, factor), group in answers[answers["outcomes"] == TOGETHER].groupby(["domain", "factor"]):
        counts = mx.split(es, "domain")[domain,].column(factor).value_counts()
        refused = group[(group["answered"] == "no") & group["question"].isin(asked)]
        why = [f"{row.question}: {row.words.partition(';')[0]}" for row in refused.itertuples()]
        studies = ", ".join(f"{level} {count}" for level, count in counts.items())
        lines.append(f"- {DOMAINS[domain]}, studies by {FACTORS[factor]}: {studies}. {'; '.join(why)}.")
    return lines


if __name__ == "__main__":
    report.run_alone(main)
