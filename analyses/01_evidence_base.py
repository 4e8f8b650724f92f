"""
What has been studied, and what do the studies report?
======================================================

Counts of studies by indication, source of the vesicles, isolation method and design, drawn as evidence-gap
maps, and the shares of studies from which the things that a synthesis needs can be had. Every study of the
sheet is counted, also those that later analyses set apart. They are what semantic searches returned, not
the yield of a systematic search, so the maps show what this collection holds, and the shares are lower
bounds.
"""

from collections.abc import Sequence
from itertools import combinations

import pandas as pd

import metaexo as mx
from metaexo import evidence, report
from metaexo.formatting import markdown_table, percent

DOMAINS = ["clinical", "preclinical", "isolation", "all"]
ACCESS = ["full_text", "abstract", "secondary", "all"]
FACTORS = ["indication", "source", "isolation", "design"]
IN_WORDS = {
    "indication": "indication",
    "source": "exosome source",
    "isolation": "isolation method",
    "design": "study design",
}
DESIGNS = {
    "rct_parallel": "RCT, two groups",
    "rct_split_body": "RCT, split body",
    "nonrandomised_controlled": "Controlled, not randomised",
    "pre_post": "Before and after",
    "animal_controlled": "Animals, controlled",
    "in_vitro": "In vitro",
    "method_comparison": "Comparison of methods",
}
EACH = "A study counts once for each isolation method that it names, and once in the totals of the rows."
NO_SEARCH = "Found by semantic search: an empty cell is a gap in this collection, not in the field."


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)
    studies = in_words(sheets.studies)
    methods = by_method(studies)
    treated = methods[methods["domain"] != "isolation"]
    draw_map(analysis, treated, "indication", "source", "Treatment studies", by="domain")
    draw_map(analysis, treated, "indication", "isolation", "Treatment studies", [EACH])
    draw_map(analysis, treated, "indication", "design", "Treatment studies")
    draw_map(analysis, methods, "source", "isolation", "Treatment studies and comparisons of methods", [EACH])
    analysis.write_table("crossings", crossings(methods))
    analysis.write_table("cells", cells(studies))

    # What can be had from a study depends on how much of it could be read: an abstract that is silent is not
    # a paper that is silent.
    table = evidence.reporting(sheets)
    found = shares(table)
    analysis.write_table("reporting_by_study", table)
    analysis.write_table("reporting", found)
    draw_shares(analysis, table)
    for paragraph in statement(studies, treated, found):
        analysis.write_summary(paragraph)


def in_words(studies: pd.DataFrame) -> pd.DataFrame:
    """Return the studies with indications and designs as they are shown."""
    indication = studies["indication"].str.replace("_", " ").str.capitalize()
    return studies.assign(indication=indication, design=studies["design"].map(DESIGNS))


def by_method(studies: pd.DataFrame) -> pd.DataFrame:
    """Return one row per study and isolation method that it names."""
    labels = evidence.load_vocabulary("isolation")
    table = studies.assign(isolation=studies["isolation_methods"].str.split("; ")).explode("isolation")
    return table.assign(isolation=table["isolation"].map(labels.label))


def crossings(methods: pd.DataFrame) -> pd.DataFrame:
    """Return the studies of every pair of factors, by domain, in a long table."""
    counts = []
    for first, second in combinations(FACTORS, 2):
        grouped = methods.groupby(["domain", first, second])["study_id"].nunique().reset_index(name="studies")
        grouped = grouped.rename(columns={first: "level_1", second: "level_2"})
        counts.append(grouped.assign(factor_1=first, factor_2=second))
    columns = ["factor_1", "factor_2", "level_1", "level_2", "domain", "studies"]
    return pd.concat(counts)[columns]


def cells(studies: pd.DataFrame) -> pd.DataFrame:
    """Return the studies of every combination of all factors that occurs; each study counts once."""
    grouped = studies.assign(apart=studies["use"] == "apart").groupby(["domain", *FACTORS])
    return grouped.agg(studies=("study_id", "size"), set_apart=("apart", "sum")).reset_index()


def shares(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many studies report each item by domain and access, with exact intervals."""
    whole = pd.concat([table, table.assign(access="all")])
    whole = pd.concat([whole, whole.assign(domain="all")])
    groups = dict(list(whole.groupby(["domain", "access"])))
    rows = [
        (item, words, domain, access, int(groups[domain, access][item].sum()), len(groups[domain, access]))
        for item, words in evidence.REPORTING_ITEMS.items()
        for domain in DOMAINS
        for access in ACCESS
        if (domain, access) in groups
    ]
    found = pd.DataFrame(rows, columns=["item", "words", "domain", "access", "reported", "studies"])
    low, high = mx.effects.clopper_pearson(found["reported"], found["studies"])
    return found.assign(share=found["reported"] / found["studies"], low=low, high=high)


def draw_map(
    analysis: report.Analysis,
    table: pd.DataFrame,
    rows: str,
    columns: str,
    which: str,
    notes: Sequence[str] = (),
    by: str | None = None,
) -> None:
    title = f"{which} by {IN_WORDS[rows]} and {IN_WORDS[columns]}"
    ax = mx.plots.evidence_map(
        table, rows, columns, by=by, study="study_id", notes=[*notes, NO_SEARCH], title=title
    )
    analysis.write_figure(f"{rows}_by_{columns}", ax, title=title)


def draw_shares(analysis: report.Analysis, table: pd.DataFrame) -> None:
    title = "Studies of exosomes that report what a synthesis needs, by field and by what could be read"
    ax = mx.plots.reported_shares(
        table,
        evidence.REPORTING_ITEMS,
        by=["domain", "access"],
        head_order=DOMAINS[:3],
        by_order=ACCESS[:3],
        wording={"isolation": "comparisons of methods", "secondary": "other texts"},
        titles={"domain": "Field", "access": "What was read"},
        notes=["Found by semantic search, not by a systematic one."],
        title=title,
    )
    analysis.write_figure("reporting", ax, title=title)


def statement(studies: pd.DataFrame, treated: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    """Return what was found, in words."""
    domains, access = studies["domain"].value_counts(), studies["access"].value_counts()
    table = found[found["access"] == "all"].set_index(["words", "domain"])
    rows = [
        (words, *(in_figures(table.loc[(words, domain)]) for domain in DOMAINS[:3]))
        for words in evidence.REPORTING_ITEMS.values()
    ]
    pairs = treated.groupby(["indication", "source"])["study_id"].nunique().sort_values(ascending=False)
    possible = treated["indication"].nunique() * treated["source"].nunique()
    randomised = studies["design"].str.startswith("RCT").sum()
    return [
        f"{len(studies)} studies: {domains['clinical']} clinical ({randomised} randomised), "
        f"{domains['preclinical']} preclinical, {domains['isolation']} comparisons of isolation methods. "
        f"{access['abstract']} were read as abstracts, {access['secondary']} in other texts, and of "
        f"{access['full_text']} a table, a caption or a data file was open. "
        f"{(studies['use'] == 'apart').sum()} are set apart in later analyses and are counted here.",
        f"Most studied: {', '.join(f'{s} in {i.lower()} ({n})' for (i, s), n in pairs.head(4).items())}. "
        f"Of {possible} pairs of a source and an indication {possible - len(pairs)} have no study.",
        "Studies that report each item, with exact 95% CIs (the table has them by access too):",
        markdown_table(rows, ["can be had", *DOMAINS[:3]]),
        "Nothing is pooled, so there is no estimate, no τ and no I². The shares are lower bounds: what "
        "an abstract does not mention may be in the paper. The studies were found by a semantic search, "
        "which does not support claims of completeness; the intervals treat them as a random sample, which "
        "they are not.",
    ]


def in_figures(row: pd.Series) -> str:
    bounds = f"{percent(row['low'])} to {percent(row['high'])}"
    return f"{row['reported']} of {row['studies']}, {percent(row['share'])} ({bounds})"


if __name__ == "__main__":
    report.run_alone(main)
