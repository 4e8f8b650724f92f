"""
What has been studied, and what can be compared?
================================================

How many studies, laboratories and papers stand behind each source and isolation method: treatment studies and
comparisons of methods, groups of samples whose vesicles were sequenced, and papers of a database that lists
methods. What a study reports decides what can be compared; shares are given with exact intervals. Molecules
identified are described only: a count has no sampling variance of its own.
"""

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo import evidence, report
from metaexo.formatting import markdown_table, percent, plural

DOMAINS = {"clinical": "clinical", "preclinical": "preclinical", "isolation": "comparisons of methods"}
NOT_REPORTED = "Not reported"
TREATMENT, CARGO = "Studies of treatment or of methods", "Laboratories with sequenced miRNA cargo"
ONE_OUTCOME = "ln_effective_mirnas"  # each group has one row per outcome: any of them counts the groups
APART = ("Plasma", "Serum")
STEPS = (
    *("Ultracentrifugation", "Density gradient", "Size exclusion", "Ultrafiltration", "Precipitation"),
    *("Membrane-affinity column", "Affinity capture or sorting"),
)
ANOTHER = "Another method"
PERIODS = ("to 2009", "2010–13", "2014–17", "2018–20", "since 2021")
ENDS = (-np.inf, 2009, 2013, 2017, 2020, np.inf)
MOST_DRAWN = 6  # methods
EACH = (
    "A study counts once for each method that it names; a laboratory once in each cell. Found by semantic "
    "search and in public data: an empty cell is a gap of this collection, not of the field."
)
FEWEST = 20  # papers of a source that is spoken of
MANY = 0.2  # share of laboratories with two methods from which methods can be compared within them
MOSTLY = 0.5  # share of studies with a known isolation below which effects can hardly be compared by it
CLEAR = 0.1  # a share that moved by less stayed about the same
# What the data bases count in an experiment: all proteins that it identified, or only what the paper lists.
MOLECULES = {
    "proteins_identified": "proteins identified",
    "mirnas_reported": "miRNAs that papers list",
    "lipids_reported": "lipids that papers list",
}


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)
    groups = sheets.cargo_groups.query("outcome == @ONE_OUTCOME and use != 'apart'")
    papers = named_methods(sheets.methods_survey)

    # Where the evidence is: sources against isolation methods, studies and laboratories.
    laboratories = groups.assign(unit=groups["laboratory"], step=step_of(groups["isolation_step"]))
    units = {TREATMENT: of_studies(sheets.studies), CARGO: laboratories}
    units = pd.concat([table.assign(evidence=name, place=place_of(table)) for name, table in units.items()])
    units = units.assign(source=units["place"], isolation=units["step"])
    cells = units.groupby(["evidence", "source", "isolation"])["unit"].nunique()
    analysis.write_table("map", cells.reset_index())
    draw_map(analysis, units)

    # Who uses what: by year, and by source.
    by_year, by_source = shares(papers, "period"), shares(papers, "source")
    analysis.write_table("methods_by_year", by_year)
    analysis.write_table("methods_by_source", by_source)
    draw_methods(analysis, papers)

    # What can be compared: what studies report, which laboratories used two methods, what was identified.
    reported = what_is_reported(evidence.reporting(sheets))
    compared = what_can_be_compared(groups)
    found = identified(sheets.identified_counts)
    for name, table in {"reported": reported, "compared": compared, "identified": found}.items():
        analysis.write_table(name, table)
    answer(analysis, compared.iloc[-1], reported)  # without doubtful rows, as in the other analyses
    for paragraph in detail(sheets, reported, found, by_year, by_source, papers):
        analysis.write_summary(paragraph)


# -- who stands where ---------------------------------------------------------------------------------------


def place_of(frame: pd.DataFrame) -> pd.Series:
    """Return the source of each row in groups that fit a map: plasma and serum, else the larger group."""
    blood = frame["source_kind"].where(frame["source_kind"].isin(APART))
    group = evidence.load_vocabulary("source").group
    wider = frame["source_category"].map(group).replace("Blood", "Other blood or platelet")
    return blood.fillna(wider)


def step_of(steps: pd.Series) -> pd.Series:
    return steps.where(steps.isin([*STEPS, NOT_REPORTED]), ANOTHER)


def of_studies(studies: pd.DataFrame) -> pd.DataFrame:
    """Return one row per study and isolation method that it names."""
    table = studies.assign(words=studies["isolation_methods"].str.split("; "))
    table = table.explode("words")
    alone = ~table.index.duplicated(keep=False)  # of one method the deciding step is known from its words
    label = evidence.load_vocabulary("isolation_step").label
    named = table["words"].map(lambda word: label(evidence.isolation_main_step(word)))
    step = step_of(table["isolation_step"].where(alone, named))
    return table.assign(unit=table["study_id"], step=step)


def draw_map(analysis: report.Analysis, units: pd.DataFrame) -> None:
    title = "Evidence by source of the vesicles and by the isolation step that decides"
    ax = mx.plots.evidence_map(
        units,
        "source",
        "isolation",
        by="evidence",
        study="unit",
        counted="studies or laboratories",
        column_order=[*STEPS, ANOTHER, NOT_REPORTED],
        column_title="Isolation step that decides",
        notes=[EACH],
        title=title,
    )
    analysis.write_figure("map", ax, title=title)


# -- who uses which method ----------------------------------------------------------------------------------


def named_methods(survey: pd.DataFrame) -> pd.DataFrame:
    """Return the papers with an identifier and a year that name a method, each in its first year's period."""
    survey = survey[survey["pmid"].notna()]
    first = survey.groupby("study_id")["year"].transform("min")
    period = pd.cut(first, ENDS, labels=PERIODS).astype(object)
    return survey.assign(period=period)[survey["isolation_step"] != NOT_REPORTED].dropna(subset="period")


def shares(papers: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return the share of the papers of each group that use each method, with exact intervals."""
    totals = papers.groupby(by)["study_id"].nunique()
    counts = papers.groupby([by, "isolation_step"])["study_id"].nunique()
    table = counts.unstack(fill_value=0).stack().rename("papers").reset_index()
    table = with_share(table.assign(of=table[by].map(totals)), "papers", "of")
    rank = table[by].map({name: i for i, name in enumerate(PERIODS)} if by == "period" else -totals)
    return table.iloc[np.lexsort((-table["papers"], table[by], rank))].reset_index(drop=True)


def with_share(table: pd.DataFrame, part: str, whole: str) -> pd.DataFrame:
    """Return a table with the share of one column in another, and its exact interval."""
    low, high = mx.effects.clopper_pearson(table[part], table[whole])
    return table.assign(share=table[part] / table[whole], low=low, high=high)


def draw_methods(analysis: report.Analysis, papers: pd.DataFrame) -> None:
    """Draw the share of papers that use each of the commonest methods, by year."""
    used = papers.groupby("isolation_step")["study_id"].nunique().sort_values(ascending=False, kind="stable")
    table = pd.crosstab([papers["study_id"], papers["period"]], papers["isolation_step"]) > 0
    title = f"Isolation methods of {papers['study_id'].nunique()} papers on vesicles, by year"
    ax = mx.plots.reported_shares(
        table.reset_index("period"),
        list(used.index[:MOST_DRAWN]),
        by="period",
        by_order=[period for period in PERIODS if period in set(papers["period"])],
        titles={"period": "Published"},
        lower_bound=False,
        notes=["Papers of a data base that name a method; a paper counts once for each method that decides."],
        title=title,
    )
    analysis.write_figure("methods", ax, title=title)


# -- what can be compared -----------------------------------------------------------------------------------


def what_is_reported(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many studies of each domain report each item, with exact intervals."""
    rows = [
        (item, words, domain, int(part[item].sum()), len(part))
        for item, words in evidence.REPORTING_ITEMS.items()
        for domain, part in table.groupby("domain")
    ]
    found = pd.DataFrame(rows, columns=["item", "words", "domain", "reported", "studies"])
    return with_share(found, "reported", "studies")


def what_can_be_compared(groups: pd.DataFrame) -> pd.DataFrame:
    """Return how many groups and laboratories of cargo can carry a comparison, by rows."""
    rows = []
    for rows_used, part in (("all", groups), ("without doubtful rows", groups[groups["use"] == "main"])):
        known = part[(part["isolation_step"] != NOT_REPORTED) & (part["source"] != NOT_REPORTED)]
        usable = known[known["treatment_n"] > 1]
        by_laboratory = usable.groupby("laboratory")
        rows.append(
            {
                "rows": rows_used,
                "groups": len(part),
                "laboratories": part["laboratory"].nunique(),
                "groups_known": len(usable),
                "laboratories_known": usable["laboratory"].nunique(),
                "two_methods": int((by_laboratory["isolation_step"].nunique() > 1).sum()),
                "two_sources": int((by_laboratory["source_kind"].nunique() > 1).sum()),
            }
        )
    return pd.DataFrame(rows)


def identified(counts: pd.DataFrame) -> pd.DataFrame:
    """Return how many molecules experiments identified, by kind of molecule and isolation step."""
    grouped = counts.groupby(["outcome", "isolation_step"])
    numbers = grouped["n_identified"].quantile([0.25, 0.5, 0.75]).unstack()
    sizes = grouped.agg(experiments=("experiment_id", "nunique"), papers=("study_id", "nunique"))
    table = sizes.join(numbers.set_axis(["q1", "median", "q3"], axis=1)).reset_index()
    order = np.lexsort((table["isolation_step"], -table["experiments"], table["outcome"]))
    return table.iloc[order].reset_index(drop=True)


# -- words --------------------------------------------------------------------------------------------------


def answer(analysis: report.Analysis, cargo: pd.Series, reported: pd.DataFrame) -> None:
    """Say what can be compared, and how many studies report how vesicles were isolated."""
    k, m = int(cargo["groups_known"]), int(cargo["laboratories_known"])
    rated = report.certainty(design="observational", m=m, decides=True)
    behind = {"table": "compared", "row": {"rows": cargo["rows"]}}
    because = {"certainty": rated, "reasons": "; ".join(rated.reasons)}
    analysis.answer(between_laboratories(cargo), k=k, m=m, units="laboratories", **because, **behind)
    isolation = reported[reported["item"] == "isolation"].set_index("domain")
    treated = [domain for domain in ("clinical", "preclinical") if domain in isolation.index]
    if treated:
        told = " and ".join(f"{counted(isolation.loc[domain])} {domain} studies" for domain in treated)
        few = isolation.loc[treated, "reported"].sum() < MOSTLY * isolation.loc[treated, "studies"].sum()
        can = "hardly be compared" if few else "be compared"
        analysis.state(
            f"The isolation method could be read for {told}: effects of treatment can {can} by it.",
            table="reported",
            row=[{"item": "isolation", "domain": domain} for domain in treated],
        )


def between_laboratories(cargo: pd.Series) -> str:
    """Return what can be compared, in a sentence."""
    both = (
        f"Source and isolation method are both known for {plural(int(cargo['groups_known']), 'group')} of "
        f"several samples from {plural(int(cargo['laboratories_known']), 'laboratory', 'laboratories')}"
    )
    twice = int(cargo["two_methods"])
    if twice > MANY * cargo["laboratories_known"]:
        return f"{both}, and {twice} of them used two methods: methods can be compared within laboratories."
    few = f"but only {twice}" if twice else "and none"
    return f"{both}, {few} of them used two methods: methods are compared between laboratories."


def how_it_moved(by_year: pd.DataFrame) -> str:
    """Return in words how the method most used of late moved; nothing without first and last years."""
    ends = [period for period in (PERIODS[0], PERIODS[-1]) if period in set(by_year["period"])]
    if len(ends) < 2:
        return ""
    last = by_year[by_year["period"] == ends[1]]
    step = last.loc[last["share"].idxmax(), "isolation_step"]
    found = by_year.set_index(["period", "isolation_step"])["share"]
    first, now = (found[period, step] for period in ends)
    verb = "rose" if now - first > CLEAR else "fell" if first - now > CLEAR else "stayed about the same"
    words = (
        f"{step} {verb}, from {percent(first)} of the papers that name a method ({ends[0]}) "
        f"to {percent(now)} ({ends[1]})"
    )
    return f"{words}; {worded(by_year)}" if step == "Ultracentrifugation" and verb == "rose" else f"{words}."


def counted(row: pd.Series) -> str:
    return f"{row['reported']} of {row['studies']}"


def detail(sheets, reported, found, by_year, by_source, papers):
    """Return what was found, in words."""
    studies = sheets.studies
    domains, access = studies["domain"].value_counts(), studies["access"].value_counts()
    table = reported.set_index(["words", "domain"])
    shown = [domain for domain in DOMAINS if domain in set(reported["domain"])]
    rows = [
        (words, *(in_figures(table.loc[(words, domain)]) for domain in shown))
        for words in evidence.REPORTING_ITEMS.values()
    ]
    read = ", ".join(f"{domains[domain]} {DOMAINS[domain]}" for domain in shown)
    yield (
        f"The sheets hold {len(studies)} studies ({read}); {access.get('abstract', 0)} were read as "
        f"abstracts. {papers['study_id'].nunique()} papers of a database name their isolation method. "
        "Studies that report each item, with exact 95% CIs:"
    )
    yield markdown_table(rows, ["can be had", *(DOMAINS[domain] for domain in shown)])
    yield " ".join(filter(None, [how_it_moved(by_year), most_used(by_source), *molecules(found)]))
    yield (
        "The shares of studies are lower bounds: what an abstract does not mention may be in the paper. "
        "The studies were found by a semantic search, which does not support claims of completeness; the "
        "intervals treat them as a random sample, which they are not."
    )


def worded(by_year: pd.DataFrame) -> str:
    """Return how often nothing but "differential centrifugation" is named, whatever speed it ended at."""
    named = by_year[by_year["isolation_step"] == "Differential centrifugation"].set_index("period")["share"]
    told = ", ".join(f"{percent(share)} {period}" for period, share in named.items())
    return (
        "some of it is wording: papers that name nothing but differential centrifugation"
        f"{f' ({told})' if told else ''} may have ended with ultracentrifugation."
    )


def most_used(by_source: pd.DataFrame) -> str:
    """Return which method is used most for which source."""
    large = by_source[(by_source["of"] >= FEWEST) & (by_source["source"] != "Other")]
    if large.empty:
        return ""
    first = large.loc[large.groupby("source")["share"].idxmax()].groupby("isolation_step")
    told = [
        f"{step.lower()} for {', '.join(_small(source) for source in part['source'])} "
        f"({percent(part['share'].min())} to {percent(part['share'].max())} of the papers)"
        for step, part in first
    ]
    return f"The method that most papers use: {'; '.join(told)}."


def _small(source: str) -> str:
    return source[0].lower() + source[1:]


def molecules(found: pd.DataFrame):
    """Yield how many molecules were identified by the methods with most experiments."""
    for outcome, words in MOLECULES.items():
        told = [
            f"{row['isolation_step'].lower()} {row['median']:.0f} ({row['q1']:.0f} to {row['q3']:.0f}, "
            f"{plural(int(row['experiments']), 'experiment')})"
            for _, row in found[found["outcome"] == outcome].head(2).iterrows()
        ]
        if told:
            yield f"Median number of {words} (quartiles): {'; '.join(told)}."


def in_figures(row: pd.Series) -> str:
    return f"{counted(row)}, {percent(row['share'])} ({percent(row['low'])} to {percent(row['high'])})"


if __name__ == "__main__":
    report.run_alone(main)
