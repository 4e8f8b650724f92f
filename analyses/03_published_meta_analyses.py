"""
What do published meta-analyses say, and do they agree?
=======================================================

Pooled standardised mean differences of published meta-analyses, taken as data: turned so that positive means
benefit, with the standard error from the printed interval, by indication, outcome family and, where a row
names one, by the source of the vesicles. Reviews of one question share primary studies, so nothing is pooled
across reviews; their spread is described instead.
"""

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo import evidence, report
from metaexo.formatting import number, percent

QUESTION = ["indication", "outcome_family"]
CELL = ["review_id", "study_name", "outcome_label"]
NO_SOURCE = ("all", "not_reported")
MEASURES = {
    "SMD": "a standardised mean difference without an interval",
    "MD": "a mean difference in its own units",
    "OR": "an odds ratio",
    "RR": "a risk ratio",
    "other": "another measure, or one that is not named",
}
SHARED = (
    "Reviews of one question share primary studies, and so do rows of one review. The rows are not "
    "independent, so no pooled value is drawn."
)
POINTS = (
    "A point is the pooled effect of a review, not a study. Reviews share primary studies, and a review has "
    "a point for each outcome family, so gaps and slopes say nothing about missing studies; the shades "
    "show how "
    "far each estimate is from no effect."
)
CELLS = "A row is a cell of one meta-analysis: one study, or several pooled. Cells hold different studies."
LEAST_CELLS = 5
SMALL = 7.0
PLACE = ["line", "review_id", "study_name"]
COLUMNS = [*PLACE, *QUESTION, "outcome_label", "source", "subgroup_variable", "subgroup_level"]
OUTCOME = mx.plots.Column("outcome_label", "Outcome", letters=24)
SOURCE = mx.plots.Column("source", "Source", wording={"All sources": "All"})
PART = mx.plots.Column("part", "Cells in\nthe review")
STUDIES = mx.plots.Column("k_studies", "Studies")


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)
    sheet = sheets.published_meta_analyses

    # All standardised mean differences with an interval, but those that the sheet sets apart.
    estimates = sheets.effects("SMD", where="use != 'apart'", sheet="published_meta_analyses")
    table = estimates.to_frame()
    table[["low", "high"]] = estimates.conf_int().to_numpy()
    numbers = ["k_studies", "y", "se", "low", "high", "use", "caution"]
    analysis.write_table("estimates", table[COLUMNS + numbers])

    # Why the other rows are not there: the sheet's own words for rows set apart, else the measure.
    apart = "set apart: " + sheet["caution"].fillna("no words in the sheet")
    ledger = evidence.ledger_table(estimates.ledger, sheet, dict(zip(sheet["line"], apart, strict=True)))
    printed = (ledger["step"] == "effect") & ledger["estimate"].notna()
    ledger.loc[printed, "reason"] = ledger["measure"].map(MEASURES)
    ledger.loc[(ledger["step"] == "effect") & ~printed, "reason"] = "no estimate is printed"
    analysis.write_table("ledger", evidence.count_reasons(ledger, ["measure"]))
    others = ledger[printed & (ledger["measure"] != "SMD")]
    words = ["measure", "k_studies", "estimate", "ci_low", "ci_high", "use", "caution"]
    analysis.write_table("other_measures", others[COLUMNS + words])

    # One estimate per review and question: over all its studies, of the outcome that stands first in the
    # sheet.
    reviews = keep(estimates, estimates.column("subgroup_variable") == "overall", "a subgroup of a review")
    reviews = with_question(mx.one_per_study(reviews, by=QUESTION))
    title = f"Published meta-analyses of exosome against control {in_whom(reviews)}, by indication"
    ax = forest(reviews, title, by="indication_in_words", columns=[OUTCOME, SOURCE], font_size=SMALL)
    analysis.write_figure("by_indication", ax, title=title)
    title = f"Published meta-analyses of exosome against control {in_whom(reviews)}: effect and precision"
    ax = mx.plots.funnel(
        reviews, by="use", wording={"main": "not doubtful"}, contours=True, notes=[POINTS], title=title
    )
    analysis.write_figure("funnel", ax, title=title)

    # Where several reviews ask one question, do they find one answer?
    counts = reviews.column("question").map(reviews.column("question").value_counts())
    twice = keep(reviews, counts > 1, "the only review of its question")
    firm = keep(twice, twice.column("use") != "doubtful", "doubtful by the sheet")
    between = pd.DataFrame(
        {"question": question, "rows": rows} | spread(part)
        for rows, es in {"with doubtful rows": twice, "without": firm}.items()
        for (question,), part in mx.split(es, "question").items()
    )
    analysis.write_table("between_reviews", between)
    title = f"Questions with several meta-analyses of exosome against control {in_whom(twice)}"
    ax = forest(twice, title, by="question", columns=[OUTCOME, SOURCE, STUDIES], font_size=SMALL)
    analysis.write_figure("between_reviews", ax, title=title)

    # Within one review and outcome, the cells by source hold different studies: their variation is one
    # between sources, as far as cells of one study can show.
    sources = keep(estimates, ~estimates.column("source_category").isin(NO_SOURCE), "no single source named")
    cells = keep(estimates, estimates.column("subgroup_variable") == "source", "not a cell by source")
    within = pd.DataFrame(
        dict(zip(CELL, names, strict=True)) | spread(part) | sources_of(part)
        for names, part in mx.split(cells, CELL).items()
    )
    analysis.write_table("sources_within_reviews", within)
    per_outcome = cells.data.groupby(CELL)["line"].transform("size")
    compared = with_question(keep(cells, per_outcome >= LEAST_CELLS, "few cells by source of one outcome"))
    title = f"Exosome against control {in_whom(compared)} with {conditions(compared)}, by exosome source"
    ax = draw_sources(compared, title)
    analysis.write_figure("sources", ax, title=title)
    summarise(analysis, ledger, between, sources, cells, within)


def keep(es, mask, reason):
    return es.select(np.asarray(mask, dtype=bool), reason)


def with_question(es):
    """Return the effects with their question in words, each under the name of its review."""
    pairs = zip(es.column("indication"), es.column("outcome_family"), strict=True)
    questions = [(a.replace("_", " ").capitalize(), b.lower()) for a, b in pairs]
    named = es.with_columns(
        question=[": ".join(pair) for pair in questions], indication_in_words=[a for a, _ in questions]
    )
    return named.with_labels(named.study)


def in_whom(es):
    """Return whether the primary studies are of people or of animals."""
    human = es.column("population").str.contains("human")
    return "in people" if human.all() else "in animals and people" if human.any() else "in animals"


def conditions(es):
    return ", ".join(es.column("indication").str.replace("_", " ").unique())


def spread(es):
    """Return how far apart estimates lie; a description, because they are not independent."""
    found = {"estimates": es.k, "lowest": es.y.min(), "highest": es.y.max()}
    if es.k < 2:
        return found
    fit = mx.RandomEffects(es, dependence="accept").fit()
    ends = es.conf_int()
    shared = ends["low"].max() <= ends["high"].min()
    q = {"q": fit.q.statistic, "q_df": es.k - 1}
    return (
        found | {"tau": fit.tau, "i2": fit.i2} | q | {"a_value_in_all_intervals": "yes" if shared else "no"}
    )


def sources_of(es):
    one_study = (es.column("k_studies") == 1).sum()
    return {"sources": es.column("subgroup_level").nunique(), "of_one_study": one_study}


def forest(es, title, **choices):
    return mx.plots.forest(
        es, notes=[SHARED], label_title="Review", remark="use", wording={"main": ""}, title=title, **choices
    )


def draw_sources(cells, title):
    """Return the cells by source, under their outcome, from the smallest effect to the largest."""
    part = cells.column("subgroup_level").str.replace(r"\s*\(.*\)", "", regex=True)
    return mx.plots.forest(
        cells.with_columns(part=part).with_labels(
            cells.column("source").replace("Other", "Other source").tolist()
        ),
        by="outcome_label",
        order="estimate",
        columns=[PART, STUDIES],
        label_title="Exosome source",
        remark="use",
        wording={"main": ""},
        limits=(cells.y.min() - 2.0, cells.y.max() + 2.0),
        notes=[f"Cells of {', '.join(dict.fromkeys(cells.study))}. {CELLS}"],
        title=title,
    )


def summarise(analysis, ledger, between, sources, cells, within):
    used, rest = ledger[ledger["step"] == "used"], ledger[ledger["step"] != "used"]
    reasons = rest["reason"].str.partition(":")[0].value_counts().sort_index()
    people = used["population"].str.contains("human").sum()
    analysis.write_summary(
        f"{len(used)} of {len(ledger)} rows, of {used['review_id'].nunique()} reviews, are standardised mean "
        f"differences with an interval; {people} of them are of people. The other rows: "
        + "; ".join(f"{reason} ({n})" for reason, n in reasons.items())
        + "."
    )
    with_all = [in_words(row, row["question"]) for row in records(between, "with doubtful rows")]
    firm = [in_words(row, row["question"]) for row in records(between, "without")]
    lines = with_all + [f"{line} (without doubtful rows)" for line in firm if line not in with_all]
    analysis.write_summary("**Several reviews of one question**\n\n" + "\n".join(f"- {x}." for x in lines))
    most = sources.column("study_name").value_counts()
    lines = [in_words(row, f"{row['outcome_label']} in {row['study_name']}") for row in records(within)]
    analysis.write_summary(
        f"**By source.** {sources.k} estimates of {len(most)} reviews name one source; {most.iloc[0]} of "
        f"them come from one review, {most.index[0]}. Cells by source within a review ({cells.k}, of which "
        f"{within['of_one_study'].sum()} rest on one study):\n\n" + "\n".join(f"- {x}." for x in lines)
    )
    methods = set(used["isolation_category"]) - set(NO_SOURCE)
    analysis.write_summary(
        "What this does not show. The reviews share primary studies, so τ, I² and Q describe how far "
        "their estimates differ and test nothing; no value is pooled across reviews. Indications in which a "
        f"review separates sources: {cells.column('indication').nunique()}; elsewhere a source cannot be "
        "separated from "
        f"its indication. Reviews that give an estimate by isolation method: {len(methods)}."
    )


def records(table, rows=None):
    return (table if rows is None else table[table["rows"] == rows]).to_dict("records")


def in_words(row, name):
    line = f"{name}: {row['estimates']} estimates, SMD {number(row['lowest'])} to {number(row['highest'])}"
    if row["estimates"] < 2:
        return line
    line += f", τ = {number(row['tau'])}, I² = {percent(row['i2'])}"
    line += f", Q = {number(row['q'])} on {row['q_df']:.0f} df"
    return line + (
        "; no value lies in all their intervals" if row["a_value_in_all_intervals"] == "no" else ""
    )


if __name__ == "__main__":
    report.run_alone(main)
