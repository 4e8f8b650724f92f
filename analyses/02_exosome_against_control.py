"""
Do exosomes do better than a control?
=====================================

Every result that compares exosomes with a control, as a standardised mean difference (Hedges' g) turned so
that positive means benefit. Animals and patients are kept apart, and each outcome family has a random-effects
model of its own (REML; Knapp and Hartung with a scale of at least 1, as studies are few), stratified by the
source of the exosomes and then by the isolation method. Changes from before to after are never pooled.
"""

import warnings
from itertools import product

import pandas as pd

import metaexo as mx
from metaexo import errors, evidence, report
from metaexo.formatting import plural

CONTROLLED = "contrast == 'exosome_vs_control' and use != 'apart'"
IN_PER_CENT = f"{CONTROLLED} and domain == 'preclinical' and unit == '%'"
BEFORE_AFTER = "contrast == 'post_vs_pre' and use != 'apart'"
DOMAINS = {"preclinical": "Animals", "clinical": "Patients"}
FACTORS = {"source": "source", "isolation": "isolation method"}
FAMILY = ["domain", "outcome_family"]
TEST = "knapp-hartung-adhoc"
OTHER_TESTS = ("knapp-hartung", "z")
CORRELATIONS = (0.25, 0.5, 0.75)
NOT_ASKED = {
    "exosome_vs_control": "set apart by the sheet: in vitro, or exosomes combined with something else",
    "post_vs_pre": "before and after without a control: never pooled with controlled results",
    "single_arm": "one arm without a control",
}
OTHER_QUESTION = "compares preparations with each other, not exosomes with a control"
COLUMNS = [
    "line",
    "label",
    *FAMILY,
    *FACTORS,
    "timepoint",
    "y",
    "se",
    "how",
    "formula",
    "note",
    "use",
    "caution",
]


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)

    # One effect per study and outcome family enters a model: that of the latest time point with full data,
    # and
    # among equals the first in the sheet. The sheet calls some rows doubtful; every result is given with and
    # without them.
    found = effects(sheets, "SMD", CONTROLLED)
    chosen = {"with doubtful rows": one_a_family(found)}
    chosen["without"] = without_doubtful(chosen["with doubtful rows"])
    analysis.write_table("pooled", strata(chosen))

    # Where every row of the sheet went: the counts add up to its rows.
    sheet = sheets.outcomes.merge(sheets.studies[["study_id", "domain"]], on="study_id", how="left")
    not_asked = sheet["contrast"].map(NOT_ASKED).fillna(OTHER_QUESTION)
    main_ledger = chosen["with doubtful rows"].ledger
    ledger = evidence.ledger_table(main_ledger, sheet, dict(zip(sheet["line"], not_asked, strict=True)))
    analysis.write_table("ledger", evidence.count_reasons(ledger, ["domain", "contrast"]))
    title = "Exosome against control: which reported results give an effect, and why others do not"
    analysis.write_figure("flow", mx.plots.flow(in_words(ledger), title=title), title=title)
    listed = found.to_frame().merge(ledger[["line", "step", "reason"]], on="line")
    analysis.write_table("effects", listed[[*COLUMNS, "step", "reason"]])

    # Single effects by outcome, in patients; those in animals are drawn with all their time points elsewhere.
    patients = mx.split(chosen["with doubtful rows"], "domain")["clinical",]
    title = "Exosome against control in patients, by outcome: one effect per study"
    analysis.write_figure("patients", forest(patients, title), title=title)

    # Percentages can be compared as they are, in points; a small SD cannot blow such a difference up.
    points = {"with doubtful rows": one_a_family(effects(sheets, "MD", IN_PER_CENT))}
    points["without"] = without_doubtful(points["with doubtful rows"])
    analysis.write_table("percentage_points", strata(points))

    # What depends on choices: the correlation of two sides of a face where the paper does not report it, and
    # the
    # way to an interval.
    analysis.write_table("choices", under_choices(sheets))

    # Before and after in the same people, each row by itself: there is no control, so nothing is pooled.
    changes = {r: effects(sheets, "SMD", BEFORE_AFTER, r).to_frame() for r in CORRELATIONS}
    table = pd.concat(changes, names=["assumed_correlation"]).reset_index("assumed_correlation")
    table = table.sort_values(["line", "assumed_correlation"])
    analysis.write_table("before_after", table[["assumed_correlation", *COLUMNS]])

    summarise(analysis, ledger, chosen, points, table["line"].nunique())


def effects(sheets, measure, where, correlation=0.5):
    """Return effects; each one that depends on the assumed correlation is marked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.AssumptionWarning)
        return sheets.effects(measure, where=where, assumed_correlation=correlation)


def one_a_family(es):
    """Return one effect per study and outcome family, each under the name of its study alone."""
    latest = [evidence.days_after(words) for words in es.column("timepoint")]
    one = mx.one_per_study(es, by="outcome_family", latest=latest)
    return one.with_labels(one.study)


def without_doubtful(es):
    return es.select((es.column("use") != "doubtful").to_numpy(), "doubtful by the sheet")


def strata(chosen):
    """Return the strata of every outcome family by source and by isolation method, and all together."""
    tables = []
    for rows, es in chosen.items():
        for (domain, family), part in mx.split(es, FAMILY).items():
            for factor in FACTORS:
                table = mx.stratify(part, by=factor, test=TEST).to_frame().drop(columns=factor)
                names = {"rows": rows, "domain": domain, "outcome_family": family, "by": factor}
                tables.append(pd.DataFrame(names, index=table.index).join(table))
    return pd.concat(tables)


def under_choices(sheets):
    """Return the pooled effect of every family with two studies under each choice."""
    rows = []
    for correlation in CORRELATIONS:
        families = mx.split(one_a_family(effects(sheets, "SMD", CONTROLLED, correlation)), FAMILY)
        for (names, part), test in product(families.items(), (TEST, *OTHER_TESTS)):
            if part.m < 2:
                continue
            fit = mx.RandomEffects(part).fit(test=test)
            assumed = sum(mark.how == "assumed" for mark in part.derived)
            numbers = (fit.estimate, fit.pooled().low, fit.pooled().high, fit.tau, fit.i2)
            rows.append((*names, correlation, assumed, test, fit.k, fit.m, *numbers))
    columns = ["assumed_correlation", "effects_resting_on_it", "interval", "k", "m"]
    return pd.DataFrame(rows, columns=[*FAMILY, *columns, "estimate", "low", "high", "tau", "i2"])


def in_words(ledger):
    """Return the ledger in the order of its steps, with words for the rows that were not asked for."""
    asked = ~ledger["reason"].isin([*NOT_ASKED.values(), OTHER_QUESTION])
    steps = {
        "selection": ~asked,
        "effect": ledger["step"] == "effect",
        "one effect per study and outcome": asked & (ledger["step"] == "selection"),
    }
    whole = mx.Ledger("outcomes.csv", tuple(ledger["line"].astype(int)))
    for step, out in steps.items():
        rows = ledger[out]
        whole = whole.leave_out(dict(zip(rows["line"], rows["reason"], strict=True)), step)
    return whole


def forest(es, title):
    """Return the single effects under their outcome families; nothing is pooled."""
    arms = [mx.plots.Column("treatment_n", "n\n(exosome)"), mx.plots.Column("control_n", "n\n(control)")]
    return mx.plots.forest(
        es,
        by="outcome_family",
        columns=["source", *arms],
        remark="use",
        wording={"main": ""},
        title=title,
    )


def summarise(analysis, ledger, chosen, points, changes):
    asked = ledger[ledger["contrast"] == "exosome_vs_control"]
    bounds = asked["reason"].str.startswith("only p").sum()
    es = chosen["with doubtful rows"]
    analysis.write_summary(
        f"{len(asked)} of {len(ledger)} rows compare exosomes with a control. {bounds} of them give only a "
        "threshold such as p < 0.05, which bounds an effect but does not give one; `02_ledger.csv` has "
        "every reason. "
        "One effect per study and outcome family enters a model: "
        f"{plural(es.k, 'effect')} of {plural(es.m, 'study', 'studies')}. g is above 0 for benefit; brackets "
        "hold 95% intervals."
    )
    for domain, who in DOMAINS.items():
        analysis.write_summary(f"**{who}**\n\n{results_in_words(chosen, domain, 'g')}")
    words = results_in_words(points, "preclinical", "difference")
    analysis.write_summary(f"**Animals, in percentage points**\n\n{words}")
    parts = mx.split(es, FAMILY)
    several = "; ".join(family for (_, family), part in parts.items() if part.m > 1)
    tests = sum(mx.stratify(p, by=factor).between is not None for p in parts.values() for factor in FACTORS)
    analysis.write_summary(
        f"What this does not show. Families with two studies or more: {several or 'none'}; with "
        "two, τ and I² rest on one degree of freedom, as the wide intervals show. Possible tests between "
        f"sources or isolation methods: {tests}. A funnel plot of so few points would say nothing about "
        f"missing studies, so none is drawn. {plural(changes, 'result')} before and after treatment are in "
        "`02_before_after.csv` and are not pooled."
    )


def results_in_words(chosen, domain, symbol):
    """Return one line of a list for each outcome family, with and without doubtful rows."""
    firm = mx.split(chosen["without"], FAMILY)
    lines = []
    for key, part in mx.split(chosen["with doubtful rows"], FAMILY).items():
        if key[0] != domain:
            continue
        line = f"- {key[1]}: {report.pooled_in_words(part, symbol, test=TEST)}"
        if key not in firm:
            line += " (doubtful by the sheet)"
        elif firm[key].k < part.k:
            line += f". Without doubtful rows: {report.pooled_in_words(firm[key], symbol, test=TEST)}"
        lines.append(f"{line}.")
    return "\n".join(lines)


if __name__ == "__main__":
    report.run_alone(main)
