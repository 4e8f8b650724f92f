"""
What do published meta-analyses say, and do they agree?
=======================================================

Pooled standardised mean differences of published meta-analyses, taken as data: turned so that positive means
benefit, with the standard error from the printed interval. Reviews of one question share primary studies, so
nothing is pooled across reviews; whether their intervals share a value is described instead. Within a review,
subgroups by exosome source hold different studies and can be set beside each other.
"""

import re

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo import evidence, report
from metaexo.formatting import interval, number, plural

QUESTION = ["indication", "outcome_family"]
OUTCOME_OF_REVIEW = ["review_id", "study_name", "indication", "outcome_label"]
ALL, FIRM = "all", "without doubtful rows"
NO_SOURCE = ("all", "not_reported")
AGREEMENT = ["reviews", "lowest", "highest", "sharing_a_value", "shared_low", "shared_high"]
LARGE = 10  # studies in a review that could test for small-study effects
LEAST_SUBGROUPS = 5
ONE_WAY = 0.9  # share of estimates that favour exosomes, above which they point one way
SHARED = "Reviews of one question share primary studies, as do rows of one review: nothing is pooled here."
PARTS = "Subgroups of {}: one study, or several pooled. Subgroups hold different studies."
COLUMNS = {
    "outcome": mx.plots.Column("outcome_label", "Outcome", letters=24),
    "source": mx.plots.Column("source", "Source", wording={"All sources": "All"}),
    "model": mx.plots.Column("model", "Model", wording={"not_reported": "–"}),
    "part": mx.plots.Column("part", "As named\nin the review"),
    "studies": mx.plots.Column("k_studies", "Studies"),
}


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)
    published = sheets.published_meta_analyses

    # All standardised mean differences with an interval, but those that the sheet sets apart; and how many of
    # the others there are, with the reason.
    estimates = sheets.effects("SMD", where="use != 'apart'", sheet="published_meta_analyses")
    table = estimates.to_frame()
    table[["low", "high"]] = estimates.conf_int().to_numpy()
    columns = ["line", "review_id", "study_name", *QUESTION, "outcome_label", "source", "model", "k_studies"]
    columns += ["subgroup_variable", "subgroup_level", "y", "se", "low", "high", "use", "caution"]
    analysis.write_table("estimates", table[columns])
    rows = counted(estimates, published)
    analysis.write_table("rows", rows)

    # One estimate per review and question: over all its studies, of the outcome that stands first in the
    # sheet. Where several reviews ask one question, do they find one answer?
    overall = keep(estimates, estimates.column("subgroup_variable") == "overall", "a subgroup of a review")
    reviews = with_question(mx.one_per_study(overall, by=QUESTION))
    counts = reviews.column("question").map(reviews.column("question").value_counts())
    twice = keep(reviews, counts > 1, "the only review of its question")
    between = [
        {"question": question, "rows": name} | agreement(part)
        for name, es in ((ALL, twice), (FIRM, firm(twice)))
        for (question,), part in mx.split(es, "question").items()
    ]
    between = pd.DataFrame(between, columns=["question", "rows", *AGREEMENT])
    analysis.write_table("between_reviews", between)
    whole = pd.DataFrame([direction(overall, between, ALL), direction(firm(overall), between, FIRM)])

    # Within one review and outcome, subgroups by source hold different studies.
    subgroups = keep(estimates, estimates.column("subgroup_variable") == "source", "no subgroup by source")
    sources = by_source(subgroups, published)
    analysis.write_table("sources_within_reviews", sources)
    analysis.write_table("agreement", whole.assign(**methods(published), **compared_sources(sources)))
    whole = analysis.tables["agreement"]
    tests = own_tests(published)
    analysis.write_table("small_study_tests", tests)

    draw(analysis, overall, twice, subgroups)
    answer(analysis, whole)
    for paragraph in detail(rows, whole, between, sources, tests, table):
        analysis.write_summary(paragraph)


# -- tables and figures --------------------------------------------------------------------------------------


def keep(es, mask, reason):
    return es.select(np.asarray(mask, dtype=bool), reason)


def firm(es):
    return keep(es, es.column("use") != "doubtful", "doubtful by the sheet")


def counted(estimates, published):
    """Return how many rows are used, and why the others are not: set apart by the sheet, else the measure."""
    ledger = evidence.ledger_table(estimates.ledger, published, dict.fromkeys(published["line"], "set apart"))
    printed = (ledger["step"] == "effect") & ledger["estimate"].notna()
    ledger.loc[printed, "reason"] = "measured as " + ledger["measure"]
    ledger.loc[printed & (ledger["measure"] == "SMD"), "reason"] = "no interval is printed"
    ledger.loc[printed & (ledger["better"] == "none"), "reason"] = "no direction of benefit"
    ledger.loc[(ledger["step"] == "effect") & ~printed, "reason"] = "no estimate is printed"
    groups = ledger.groupby(["step", "reason"], dropna=False)["review_id"]
    return groups.agg(rows="size", reviews="nunique").reset_index()


def with_question(es):
    """Return the effects with their condition and question in words, each under the name of its review."""
    conditions = [name.replace("_", " ").capitalize() for name in es.column("indication")]
    questions = [
        family if name.lower() in family.lower() else f"{family} ({name.lower()})"
        for name, family in zip(conditions, es.column("outcome_family"), strict=True)
    ]
    return es.with_columns(condition=conditions, question=questions).with_labels(es.study)


def agreement(es):
    """Return how far apart estimates lie, and how many of their intervals share a value.

    A description: the estimates are not independent.
    """
    ends = es.conf_int()
    low, high = ends["low"].to_numpy(), ends["high"].to_numpy()
    held = (low <= low[:, None]) & (low[:, None] <= high)  # whether interval j holds the low end of i
    best = held.sum(axis=1).argmax()
    return {
        "reviews": es.k,
        "lowest": es.y.min(),
        "highest": es.y.max(),
        "sharing_a_value": held[best].sum(),
        "shared_low": low[best],
        "shared_high": high[held[best]].min(),
    }


def direction(es, between, rows):
    """Return how many estimates favour exosomes, and for how many questions the intervals share a value."""
    ends = es.conf_int()
    table = between[(between["rows"] == rows) & (between["reviews"] > 1)]
    agree = table["sharing_a_value"] == table["reviews"]
    largest = table[~agree].sort_values("reviews", kind="stable").tail(1)
    names = {"without": "question", "of_reviews": "reviews", "lowest": "lowest", "highest": "highest"}
    return {
        "rows": rows,
        "reviews": es.m,
        "estimates": es.k,
        "favour_exosomes": (ends["low"] > 0).sum(),
        "favour_control": (ends["high"] < 0).sum(),
        "in_people": es.column("population").str.contains("human").sum(),
        "questions": len(table),
        "with_a_shared_value": agree.sum(),
    } | {name: largest[column].iloc[0] for name, column in names.items() if len(largest)}


def methods(published):
    """Return how many reviews there are, and how many give an estimate by isolation method."""
    named = ~published["isolation_category"].isin(NO_SOURCE) | (published["subgroup_variable"] == "isolation")
    ids = published["review_id"]
    return {"reviews_in_sheet": ids.nunique(), "by_isolation_method": ids[named].nunique()}


def by_source(subgroups, published):
    """Return what each review that compares sources finds: its subgroups, or a p-value alone."""
    asked = published[(published["subgroup_variable"] == "source") & (published["use"] != "apart")]
    parts = mx.split(subgroups, OUTCOME_OF_REVIEW)
    found = []
    for names, rows in asked.groupby(OUTCOME_OF_REVIEW, sort=False):
        row = dict(zip(OUTCOME_OF_REVIEW, names, strict=True)) | {
            "compared": "; ".join(rows["subgroup_level"])
        }
        if names in parts:
            es = parts[names]
            row |= {"of_one_study": (es.column("k_studies") == 1).sum()} | agreement(es)
        row["p"] = "; ".join(rows["p_subgroup_difference"].dropna().astype(str))
        found.append(row | {"caution": "; ".join(rows["caution"].dropna().unique())})
    columns = [*OUTCOME_OF_REVIEW, "compared", "of_one_study", *AGREEMENT, "p", "caution"]
    return pd.DataFrame(found, columns=columns).rename(columns={"reviews": "subgroups"})


def compared_sources(sources):
    """Return how many reviews compare sources, in how many subgroups, and how many are of one study."""
    counts = {name: int(sources[name].sum()) for name in ("subgroups", "of_one_study")}
    return counts | {"by_source": sources["review_id"].nunique()}


def own_tests(published):
    """Return, of each review of ten studies or more, what it says of small-study effects."""
    large = published[(published["k_studies"] >= LARGE) & (published["use"] != "apart")]
    found = large.groupby("review_id", sort=True).agg(
        study_name=("study_name", "first"),
        most_studies=("k_studies", "max"),
        test=("bias_test", lambda cells: "; ".join(sorted(set(cells.dropna())))),
        p=("bias_p", lambda cells: "; ".join(sorted(set(map(str, cells.dropna()))))),
    )
    return found.reset_index()


def draw(analysis, overall, twice, subgroups):
    """Draw an estimate per review and condition, the questions of several reviews, subgroups by source."""
    first = with_question(mx.one_per_study(overall, by="indication"))
    title = f"Published meta-analyses of exosome against control {in_whom(first)}: the first outcome of each"
    ax = forest(first, title, by="condition", columns=["outcome", "source", "studies"])
    analysis.write_figure("by_indication", ax, title=title)

    if twice.k:
        draw_questions(analysis, twice)
    per_outcome = subgroups.data.groupby(OUTCOME_OF_REVIEW)["line"].transform("size")
    compared = keep(subgroups, per_outcome >= LEAST_SUBGROUPS, "few subgroups by source")
    if compared.k:
        draw_sources(analysis, compared)


def draw_questions(analysis, twice):
    title = f"Questions with several meta-analyses of exosome against control {in_whom(twice)}"
    ax = forest(twice, title, by="question", columns=["outcome", "source", "model", "studies"])
    analysis.write_figure("between_reviews", ax, title=title)


def draw_sources(analysis, compared):
    names = compared.column("source").replace("Other", "Other source").tolist()
    part = compared.column("subgroup_level").str.replace(r"\s*\(.*\)", "", regex=True)
    illness = ", ".join(compared.column("indication").str.replace("_", " ").unique())
    title = f"Exosome against control {in_whom(compared)} with {illness}, by exosome source"
    look = {"by": "outcome_label", "order": "estimate", "label_title": "Exosome source"}
    look["limits"] = (compared.y.min() - 2.0, compared.y.max() + 2.0)
    note = PARTS.format(", ".join(dict.fromkeys(compared.study)))
    es = compared.with_columns(part=part).with_labels(names)
    ax = forest(es, title, columns=["part", "studies"], notes=[note], **look)
    analysis.write_figure("sources", ax, title=title)


def forest(es, title, *, columns, **choices):
    look = {"label_title": "Review", "remark": "use", "wording": {"main": ""}, "font_size": 7.0}
    look |= {"notes": [SHARED], "columns": [COLUMNS[name] for name in columns], "title": title}
    return mx.plots.forest(es, **(look | choices))


def in_whom(es):
    """Return whether the primary studies are of people or of animals."""
    human = es.column("population").str.contains("human")
    return "in people" if human.all() else "in animals and people" if human.any() else "in animals"


# -- words ---------------------------------------------------------------------------------------------------


def answer(analysis, whole):
    """Write the answer, and what is worth standing beside those of the other analyses."""
    row = whole.iloc[0]
    most = (whole[["favour_exosomes", "favour_control"]].max(axis=1) > whole["estimates"] / 2).tolist()
    grade = {"design": "observational", "m": int(row.reviews), "units": "reviews", "decides": most[0]}
    grade |= {"holds_without_doubtful": most[0] == most[1], "indirect": "" if row.in_people else "animals"}
    size = {"k": int(row.estimates), "m": int(row.reviews), "units": "reviews"}
    size["certainty"] = report.certainty(**grade)
    analysis.answer(agreement_in_words(row), **size, table="agreement", row={"rows": ALL})

    analysis.state(further_in_words(row), table="agreement", row={"rows": ALL})


def agreement_in_words(row):
    """Return how many estimates favour exosomes, and whether those of one question agree on the size."""
    sides = [(row.favour_exosomes, "exosomes (95% CI above no effect)")]
    sides += [(row.favour_control, "the control (95% CI below no effect)")]
    (most, side), (fewer, other) = sorted(sides, key=lambda one: -one[0])
    all_of = "All" if most == row.estimates else f"{most} of"
    whom = f"{row.in_people} of them in people" if row.in_people else "all in animals"
    text = f"{all_of} {row.estimates} pooled estimates, {whom}, favour {side}"
    text += f" and {fewer} {other}" if fewer else ""
    if not row.questions:
        return f"{text}; no question was asked by two reviews."
    return (
        f"{text}, but reviews share primary studies, and where several ask one question their intervals "
        f"share a value in {row.with_a_shared_value} of {plural(row.questions, 'question')}."
    )


def further_in_words(row):
    """Return where reviews are farthest from agreement, and what they say of source and isolation method."""
    apart = ""
    if row.with_a_shared_value < row.questions:
        apart = (
            f"On {row.without[:1].lower()}{row.without[1:]} {row.of_reviews:.0f} reviews find SMD "
            f"{number(row.lowest)} to {number(row.highest)}. "
        )
    single = f" ({row.of_one_study} of {plural(row.subgroups, 'subgroup')} are one study each)"
    return (
        f"{apart}Of {plural(row.reviews_in_sheet, 'review')} {row.by_source or 'none'} "
        f"{'compare' if row.by_source > 1 else 'compares'} exosome sources{single if row.subgroups else ''} "
        f"and {row.by_isolation_method or 'none'} isolation methods."
    )


def question_in_words(rows):
    """Return what reviews of one question find; without doubtful rows only where that makes a difference."""
    every, other = (rows[rows["rows"] == name] for name in (ALL, FIRM))
    row = every.iloc[0]
    text = f"{row.question}: {plural(row.reviews, 'review')}, {found_in_words(row)}"
    if other.empty:
        return f"{text}; all of them are doubtful."
    rest = other.iloc[0]
    if rest.reviews == row.reviews:
        return f"{text}."
    return f"{text}; without doubtful rows {plural(rest.reviews, 'review')}, {found_in_words(rest)}."


def found_in_words(row):
    """Return the range of estimates, and how many intervals share a value."""
    if row.reviews == 1:
        return f"SMD {number(row.lowest)}"
    shared = interval(row.shared_low, row.shared_high)
    ends = dict.fromkeys([number(row.lowest), number(row.highest)])
    text = f"SMD {' to '.join(ends)}"
    if row.sharing_a_value == row.reviews:
        return f"{text}, {shared} in all intervals"
    most = f" (at most {row.sharing_a_value} share one: {shared})" if row.sharing_a_value > 1 else ""
    return f"{text}, no value in all intervals{most}"


def source_in_words(row):
    """Return how far subgroups by source of one review lie apart, and on how many studies they rest."""
    if pd.isna(row.subgroups):
        return f"{row.study_name} compares sources ({row.compared}) and gives no estimate of each."
    spread = "a value" if row.sharing_a_value == row.subgroups else "no value"
    text = (
        f"By exosome source within one published review ({row.study_name}, {row.outcome_label}): "
        f"{row.subgroups:.0f} subgroups, SMD {number(row.lowest)} to {number(row.highest)}, {spread} in all "
        "intervals"
    )
    if not row.of_one_study:
        return f"{text}."
    return f"{text}; {row.of_one_study:.0f} of them are one study each, so source is confounded with study."


def detail(rows, whole, between, sources, tests, estimates):
    """Yield the paragraphs below the answer."""
    used, rest = rows[rows["step"] == "used"].iloc[0], rows[rows["step"] != "used"]
    reasons = "; ".join(f"{reason} ({n})" for reason, n in rest.groupby("reason")["rows"].sum().items())
    yield (
        f"{used['rows']} of {rows['rows'].sum()} rows, of {used.reviews} reviews, are standardised mean "
        f"differences with an interval. The others: {reasons}."
    )
    lines = [question_in_words(part) for _, part in between.groupby("question", sort=False)]
    if lines:
        yield "Several reviews of one question:\n\n" + "\n".join(f"- {line}" for line in lines)
    told = []
    for row in sources.itertuples():
        span = f"SMD {number(row.lowest)} to {number(row.highest)} in {row.subgroups:.0f} subgroups"
        found = span if row.subgroups > 0 else f"{row.compared}, p {row.p or 'not given'}"
        told.append(f"{row.study_name}, {row.outcome_label}: {found}")
    if len(sources):
        widest = sources.sort_values(["subgroups", "sharing_a_value"], ascending=[False, True]).iloc[0]
        count = plural(sources["review_id"].nunique(), "review compares", "reviews compare")
        yield f"{count} sources. {'. '.join(told)}. {source_in_words(widest)}"
    doubtful = estimates[(estimates["use"] == "doubtful") & (estimates["subgroup_variable"] == "overall")]
    why = "; ".join(
        f"{row.study_name}, {re.split('[:;]', row.caution)[0]}"
        for row in doubtful.drop_duplicates("review_id").itertuples()
    )
    tested, given = (tests["test"] != "").sum(), (tests["p"] != "").sum()
    one_way = whole["favour_exosomes"].iloc[0] > ONE_WAY * whole["estimates"].iloc[0]
    yield (
        f"Doubtful: {why or 'none'}. Of {plural(len(tests), 'review')} of {LARGE} studies or more, {tested} "
        f"named a test of small-study effects or a funnel plot, and the p-value is known of {given}. "
        f"{'That estimates point one way is also what selective publication gives. ' if one_way else ''}"
        "Agreement of reviews is no independent confirmation: they share primary studies."
    )


if __name__ == "__main__":
    report.run_alone(main)
