"""
How often were treated people harmed?
=====================================

People with adverse and with serious adverse events among those who were given vesicles, study by study, with
exact (Clopper-Pearson) intervals. A zero means what was counted: any event, only related or significant ones,
or only one kind. Reports of people who were chosen because they were harmed are described in words. No rate
is pooled here: that needs models for rare events.
"""

import warnings

import pandas as pd

import metaexo as mx
from metaexo import errors, evidence, report
from metaexo.formatting import markdown_table, percent, plural

ANY, SERIOUS = evidence.SCOPES["all"], "serious adverse events"
COLUMNS = [
    *["events", "counted", "arm", "line", "study_id", "label", "people", "n", "share", "low", "high"],
    *["route", "source", "isolation", "indication", "design", "same_people", "follow_up_weeks"],
    *["ae_definition", "use", "caution"],
]
ROUTES = {
    "injection_local": "local injection",
    "intravenous": "intravenous",
    "intra_articular": "intra-articular",
    "inhaled": "inhaled",
    "topical": "topical",
    "topical_after_procedure": "topical after a procedure",
    "other": "other",
}
HARM = ["line", "study_id", "label", "indication", "route", "people_described", "ae_definition", "caution"]
NOTE = "Exact 95% intervals of single studies; nothing is pooled. People chosen for harm are not shown."


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)
    reports = sheets.safety_events
    reports["label"] = reports["study_name"]

    # For every kind of event a report gives a count among a number treated, or a reason why not.
    counted = {events: every_count(sheets, events) for events in evidence.EVENTS}
    rates = pd.concat([shares(counts, e) for e, arms in counted.items() for counts in arms.items()])
    left_out = pd.concat([arms["treated"].ledger.to_frame().assign(events=e) for e, arms in counted.items()])
    treated = rates[rates["arm"] == "treated"]
    overview = overviews(treated)
    analysis.write_table("rates", rates[COLUMNS])
    analysis.write_table("left_out", left_out.drop(columns="item"))
    analysis.write_table("overview", overview)

    # One row per study, grouped by what the count covers; hollow marks are doubtful reports.
    adverse = treated["events"] == "adverse events"
    draw(analysis, "adverse_events", treated[adverse], "Adverse events")
    draw(analysis, "serious_events", treated[~adverse], "Serious adverse events and deaths")

    # People who were chosen because they were harmed show that a harm exists, not how often it occurs.
    harmed = reports[evidence.chosen_for_harm(reports)].rename(columns={"n_treated": "people_described"})
    analysis.write_table("harmed", harmed[HARM])
    for paragraph in statement(reports, rates, overview, harmed):
        analysis.write_summary(paragraph)


def every_count(sheets, events: str) -> dict:
    """Return the counts of a kind of event by arm, whatever they cover."""
    scope = list(evidence.SCOPES) if events == "adverse events" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.MixedDefinitionsWarning)
        warnings.simplefilter("ignore", errors.RowsLeftOutWarning)
        found = {"treated": sheets.event_counts(events, scope=scope)}
        try:
            both = sheets.event_counts(events, scope=scope, arms=2, keep_paired=True)
        except errors.TooFewStudiesError:
            return found
    return found | {"control": both.arm("control")}


def shares(counts: tuple, events: str) -> pd.DataFrame:
    """Return the share of people with an event in each study, with its exact interval."""
    arm, found = counts
    people, n = found.events[:, 0], found.totals[:, 0]
    low, high = mx.effects.clopper_pearson(people, n)
    table = found.data.assign(events=events, arm=arm, share=people / n, low=low, high=high)
    return table.assign(people=people.astype(int), n=n.astype(int), label=found.labels)


def overviews(treated: pd.DataFrame) -> pd.DataFrame:
    """Return, by what was counted, route and source, how many studies there are and what they can exclude."""
    found = []
    for doubt in ("with doubtful reports", "without doubtful reports"):
        for factor in ("counted", "route", "source"):
            rows = treated if doubt.startswith("with ") else treated[treated["use"] == "main"]
            if factor != "counted":
                rows = rows[rows["counted"].isin([ANY, SERIOUS])]
            for (events, level), group in rows.groupby(["events", factor], sort=False):
                names = {"reports": doubt, "events": events, "by": factor, "level": level}
                found.append(names | bounds(group))
    return pd.DataFrame(found)


def bounds(group: pd.DataFrame) -> dict[str, float]:
    return {
        "studies": len(group),
        "studies_without_event": int((group["people"] == 0).sum()),
        "smallest_n": group["n"].min(),
        "largest_n": group["n"].max(),
        "lowest_upper_bound": group["high"].min(),
        "highest_upper_bound": group["high"].max(),
        "highest_lower_bound": group["low"].max(),
    }


def draw(analysis: report.Analysis, name: str, treated: pd.DataFrame, what: str) -> None:
    title = f"{what} in people treated with exosomes, by what was counted and route"
    table = treated.sort_values(["n", "label"], ascending=[False, True])
    table = table.assign(**{column: 100 * table[column] for column in ("share", "low", "high")})
    table["doubtful"] = table["use"] == "doubtful"
    table["count"] = [f"{row.people} / {row.n}" for row in table.itertuples()]
    table["interval"] = [f"{row.low:.1f} to {row.high:.1f}" for row in table.itertuples()]
    ax = mx.plots.interval_strip(
        table,
        "share",
        ["counted", "label"],
        low="low",
        high="high",
        by="route",
        by_order=[route for route in ROUTES if route in set(table["route"])],
        wording=ROUTES | {words: words.capitalize() for words in treated["counted"]},
        hollow="doubtful",
        log=False,
        limits=(0, 100),
        cells={"count": "Events / n", "interval": "95% CI (%)"},
        row_title="What was counted / study",
        row_order=list(dict.fromkeys(table["label"])),
        head_order=list(dict.fromkeys(treated["counted"].sort_values(key=lambda c: c != ANY, kind="stable"))),
        axis_label="People with an event (%)",
        notes=[NOTE],
        title=title,
    )
    analysis.write_figure(name, ax, title=title)


def statement(
    reports: pd.DataFrame, rates: pd.DataFrame, overview: pd.DataFrame, harmed: pd.DataFrame
) -> list[str]:
    """Return what was found, in words."""
    main = overview[(overview["by"] == "counted") & overview["level"].isin([ANY, SERIOUS])]
    header = ["people counted with", "reports", "studies", "without event", "upper bounds (95%)"]
    cells = [
        (
            *(row.level, row.reports, str(row.studies), str(row.studies_without_event)),
            f"{percent(row.lowest_upper_bound, 1)} to {percent(row.highest_upper_bound, 1)}",
        )
        for row in main.itertuples()
    ]
    whole = rates[rates["counted"] == ANY]
    adverse = rates[(rates["events"] == "adverse events") & (rates["arm"] == "treated")]
    narrower = adverse[adverse["counted"] != ANY]
    serious = rates[(rates["events"] == SERIOUS) & (rates["arm"] == "treated")]
    deaths = rates[rates["events"] == "deaths"]
    ill = deaths["indication"].replace({"covid19_ards": "COVID-19 or ARDS"}).unique()
    return [
        f"Of {len(reports)} reports, {len(harmed)} are of people chosen because they were harmed and "
        f"enter no rate. {len(adverse)} others report how many of how many treated people had adverse "
        f"events, {len(adverse) - len(narrower)} of them events of any kind. Alone, each excludes little:",
        markdown_table(cells, header, left=2),
        f"Any adverse event was seen in {tell(whole[whole['people'] > 0])}. Doubtful are "
        f"{tell(whole[whole['use'] == 'doubtful'], caution=True)}.",
        f"{len(narrower)} studies count only related or significant events, one kind of event or a window "
        f"of time; {int((narrower['people'] == 0).sum())} of them report none, which answers a narrower "
        f"question. Serious events of any cause are counted in {len(serious)} reports; an empty cell is not "
        f"a zero. Deaths were reported in {tell(deaths)}, among people with {', '.join(ill)}.",
        "People chosen because they were harmed, numerators without a denominator: "
        + "; ".join(describe(row) for row in harmed.to_dict("records"))
        + ".",
        "Nothing is pooled (k = 0), so there is no τ and no I². Not shown: how often harm occurs by source, "
        "route or isolation method (most have one or two studies, see the tables), what a longer follow-up "
        "would add, and whether a report that mentions none had no event. In split-body designs both arms "
        "are the same "
        "people.",
    ]


def tell(rows: pd.DataFrame, caution: bool = False) -> str:
    """Return counts with their intervals in words."""
    return "; ".join(
        f"{row.label} ({'controls, ' if row.arm == 'control' else ''}{row.people} of {row.n}, "
        f"{percent(row.low, 1)} to {percent(row.high, 1)}{': ' + row.caution if caution else ''})"
        for row in rows.itertuples()
    )


def describe(row: dict) -> str:
    people = row["people_described"]
    count = "number not given" if pd.isna(people) else plural(int(people), "person", "people")
    return f"{row['label']} ({count}): {row['ae_definition']}"


if __name__ == "__main__":
    report.run_alone(main)
