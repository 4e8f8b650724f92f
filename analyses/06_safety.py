"""
What do reports of no harm exclude?
===================================

People with adverse and with serious adverse events among those who were given vesicles. A zero means what was
counted: any event, only related or significant ones, or only one kind; definitions are never pooled with each
other. Studies without an event count by exact methods, nothing is added to zeros. Shown are the largest risk
that is left, by definition and by group, what follow-up there was, the comparison with controls, and how many
people the next trials must follow.
"""

import warnings

import numpy as np
import pandas as pd
from scipy import stats

import metaexo as mx
from metaexo import errors, evidence, report
from metaexo.formatting import markdown_table, number, percent, plural

ANY, SERIOUS = evidence.SCOPES["all"], "serious adverse events"
IMPLIED = "serious adverse events, none where there was none of any kind"
ALL, FIRM = "all", "without doubtful rows"
GROUPS = ("route", "source", "allogeneic", "isolation")
ICC = 0.05  # heterogeneity of study risks that is stated beside a common risk
TARGETS = (0.01, 0.001)
NEXT = 50  # people in a new trial, where risks of studies differ
RATES = [
    *["counted", "line", "study_id", "label", "people", "n", "share", "low", "high", "route", "source"],
    *["isolation", "allogeneic", "indication", "design", "same_people", "follow_up_weeks", "ae_definition"],
    *["use", "caution"],
]
HARM = ["line", "study_id", "label", "indication", "route", "people_described", "ae_definition", "caution"]
WORDS = {
    "injection_local": "local injection",
    "intra_articular": "intra-articular",
    "topical_after_procedure": "topical after a procedure",
    "covid19_ards": "COVID-19 or ARDS",
    "main": "",
}


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)

    # Every count of every study, with its exact interval, and why other reports are in none.
    kinds = {kind: event_counts(sheets, kind) for kind in evidence.EVENTS}
    analysis.write_table("rates", pd.concat([shares(found) for found in kinds.values()]))
    gone = pd.concat([found.ledger.to_frame().assign(events=kind) for kind, found in kinds.items()])
    analysis.write_table("left_out", gone.groupby(["events", "reason"]).size().reset_index(name="reports"))

    # The largest risk that is left: by definition, by group, by follow-up. Definitions do not meet.
    counts = definitions(kinds)
    asked = {key: found for key, found in counts.items() if key[1] in (ANY, SERIOUS)}
    plans = planned(asked)
    limits = pd.DataFrame([limits_of(*each) for each in counts.items()])
    limits["needed"] = np.where(limits["counted"] == SERIOUS, needed(plans), "")
    groups = pd.concat([by_group(*each) for each in asked.items()])
    follow_up = pd.concat([timed(*each) for each in asked.items()])
    for name, table in {"limits": limits, "groups": groups, "follow_up": follow_up, "plans": plans}.items():
        analysis.write_table(name, table)

    # What controls say; and people chosen for their harm, who do not show how often it occurs.
    controls = against_controls(sheets)
    harmed = sheets.safety_events[evidence.chosen_for_harm(sheets.safety_events)]
    harmed = harmed.rename(columns={"n_treated": "people_described", "study_name": "label"})
    analysis.write_table("controls", controls)
    analysis.write_table("harmed", harmed[HARM])

    draw(analysis, counts[ALL, SERIOUS])
    answer(analysis, limits, groups, plans, counts[ALL, "deaths"].column("indication"))
    analysis.write_summary(definitions_in_words(limits, counts[ALL, ANY].data))
    analysis.write_summary(groups_in_words(groups, follow_up))
    analysis.write_summary(harm_in_words(controls, harmed))


# -- counts, limits and figures -----------------------------------------------------------------------------


def event_counts(sheets, kind, **choices):
    """Return counts of every scope; rows left out are in the ledger, which is written as a table."""
    scope = list(evidence.SCOPES) if kind == "adverse events" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.RowsLeftOutWarning)
        warnings.simplefilter("ignore", errors.MixedDefinitionsWarning)
        return sheets.event_counts(kind, **({"scope": scope} | choices))


def shares(counts):
    """Return the share of people with an event in each study, with its exact interval."""
    exact = mx.safety.study_intervals(counts)
    people, n = counts.events[:, 0].astype(int), counts.totals[:, 0].astype(int)
    found = {"label": counts.labels, "people": people, "n": n, "low": exact.low, "high": exact.high}
    return counts.data.assign(**found, share=people / n)[RATES]


def definitions(kinds):
    """Return the treated people with an event and their number, by rows and by what was counted."""
    found = {}
    for counts in kinds.values():
        for (counted,), part in mx.split(counts, "counted").items():
            firm = part.select((part.column("use") == "main").to_numpy(), "doubtful")
            found |= {(ALL, counted): part, (FIRM, counted): firm}
    for rows in (ALL, FIRM):
        found[rows, IMPLIED] = with_implied(found[rows, SERIOUS], found[rows, ANY])
    return found


def with_implied(serious, whole):
    """Return serious events with the studies that saw no event of any kind."""
    silent = whole.select(whole.is_zero & whole.column("sae_patients_treated").isna().to_numpy(), IMPLIED)
    rows = pd.concat([serious.data, silent.data.assign(sae_patients_treated=0)], ignore_index=True)
    names = dict.fromkeys(("labels", "study"), "study_name")
    return mx.event_counts(rows, events="sae_patients_treated", n="n_treated", **names)


def limits_of(key, counts):
    """Return what one definition excludes: a common risk, and a mean risk where studies differ."""
    common = mx.safety.upper_limit(counts)
    varied = mx.safety.upper_limit(counts, heterogeneity=ICC)
    return {
        "rows": key[0],
        "counted": key[1],
        "studies": counts.m,
        "without_event": common.without_event,
        "people": int(common.total),
        "events": common.events,
        "isolation_known": (counts.column("isolation") != "Not reported").sum(),
        "counting_serious_events": counts.column("sae_patients_treated").notna().sum(),
        **at_most(common.events, int(common.total)),
        "with_event": counts.m - common.without_event,
        "limit": common.value,
        "icc": ICC,
        "limit_icc": varied.value,
        "study_risk_icc": varied.new_study,
        "limit_any": mx.safety.upper_limit(counts, heterogeneity="any").value,
    }


def at_most(events, people):
    """Return the share of people with an event, all studies taken together, with its exact interval."""
    low = stats.beta.ppf(0.025, events, people - events + 1) if events else 0.0
    high = stats.beta.isf(0.025, events + 1, people - events) if events < people else 1.0
    return {"share": events / people, "low": low, "high": high}


def by_group(key, counts):
    """Return the largest common risk that is left in each group of studies."""
    tables = {by: mx.safety.limits_by_group(counts, by).to_frame() for by in GROUPS}
    return named(key, pd.concat(tables, names=["by"]).reset_index(level=0))


def timed(key, counts):
    """Return what studies with at least so many weeks of follow-up exclude, of risks and of rates."""
    weeks = counts.column("follow_up_weeks").to_numpy(dtype=float)
    found = mx.safety.by_follow_up(counts, np.where(weeks > 0, weeks, np.nan)).to_frame()
    return named(key, found.assign(all_people=int(counts.totals.sum())))


def named(key, table):
    """Return a table with what it is of in its first columns."""
    return pd.concat({key: table}, names=["rows", "counted"]).reset_index(level=[0, 1])


def planned(counts):
    """Return how many people the next trials must follow, alone and on top of what is known."""
    tables = []
    for key, known in {("none", SERIOUS): None, **counts}.items():
        for icc, size in ((0.0, None), (ICC, NEXT)):
            plan = mx.safety.patients_to_exclude(TARGETS, counts=known, heterogeneity=icc, study_size=size)
            tables.append(named(key, plan.to_frame().assign(icc=icc, study_size=size or np.nan)))
    return pd.concat(tables)


def needed(plans):
    """Return, in words, how many people without an event exclude each risk, if it is a common one."""
    alone = plans[(plans["rows"] == "none") & (plans["icc"] == 0)]
    return " and ".join(
        f"{row.more:,.0f} people would exclude 1 in {1 / row.risk:,.0f}" for row in alone.itertuples()
    )


def against_controls(sheets):
    """Return the exact odds ratio of any event against different people as controls."""
    counts = event_counts(sheets, "adverse events", scope="all", arms=2)
    fit = mx.ExactConditional(counts).fit()
    ratio = fit.predict(scale="measure").iloc[0][["estimate", "low", "high"]].to_dict()
    cautions = "; ".join(dict.fromkeys(counts.column("caution").dropna()))
    people = np.column_stack([counts.events, counts.totals]).sum(axis=0)
    sizes = dict(zip(["treated", "untreated", "of", "of_control"], people, strict=True)) | {
        "studies": counts.m
    }
    return pd.DataFrame([sizes | ratio | {"p_exact_central": fit.pvalues.iloc[0], "caution": cautions}])


def draw(analysis, serious):
    """Draw the serious events of each study, and the risk that is left by number of people treated."""
    anyhow = mx.safety.upper_limit(serious, heterogeneity="any")
    note = f"However the risks of studies differ, a mean above {percent(anyhow.value, 1)} is excluded."
    title = "Serious adverse events of any cause in people treated with exosomes"
    both = [mx.safety.upper_limit(serious, heterogeneity=icc) for icc in (0, ICC)]
    look = {
        "wording": WORDS,
        "columns": ["route", "events"],
        "order": "precision",
        "remark": "use",
        "per": 100,
    }
    ax = mx.plots.forest(both[0], models=both[1:], title=title, notes=[note], **look)
    analysis.write_figure("serious_events", ax, title=title)

    title = "Risk of a serious adverse event that is not excluded, by number treated"
    varied = mx.safety.exclusion_curve(serious, heterogeneity=ICC, study_size=NEXT, risks=TARGETS)
    common = mx.safety.exclusion_curve(serious, number=varied.number)
    curves = {"one risk in all studies": common, f"risks differ (ICC {ICC:g})": varied}
    note = f"The dashed curve is of new studies of {NEXT}; those so far are smaller and exclude more."
    ax = mx.plots.exclusion_curve(curves, labels="none", title=title, notes=[note])
    analysis.write_figure("exclusion_serious", ax, title=title)


# -- words ---------------------------------------------------------------------------------------------------


def answer(analysis, limits, groups, plans, ill):
    """Write the answer, and what is worth standing beside those of the other analyses."""
    names = {"counted": SERIOUS, "rows": ALL}
    whole = limits.set_index(["counted", "rows"])
    serious = whole.loc[(SERIOUS, ALL)]
    ends = [whole.loc[(SERIOUS, rows), "limit_icc"] <= TARGETS[0] for rows in (ALL, FIRM)]
    sure = report.certainty(
        design="observational",
        m=int(serious.studies),
        units="studies",
        decides=ends[0],
        holds_without_doubtful=ends[0] == ends[1],
        indirect="people without controls",
    )
    size = {"k": int(serious.studies), "m": int(serious.studies), "units": "studies", "certainty": sure}
    analysis.answer(serious_in_words(serious), **size, table="limits", row=names)

    rows = [{"counted": ANY, "rows": rows} for rows in (ALL, FIRM)] + [
        {"counted": "deaths", "rows": ALL},
        names,
    ]
    words = further_in_words(*(whole.loc[(row["counted"], row["rows"])] for row in rows), ill)
    analysis.state(words, table="limits", row=rows)

    if not serious.events:
        rows = [{"rows": "none", "counted": SERIOUS, "icc": ICC, "risk": risk} for risk in TARGETS]
        analysis.state(plans_in_words(plans), table="plans", row=rows, part="settle")


def serious_in_words(row):
    """Return what the studies that counted serious events of any cause exclude."""
    if row.events:
        ends = f"{percent(row.low, 1)} to {percent(row.high, 1)}"
        return (
            f"{plural(int(row.events), 'serious event')} in {row.people:,.0f} treated people: "
            f"{percent(row.share, 1)} (95% CI {ends} if the risk is the same in all studies), all in "
            f"{row.with_event} of {plural(int(row.studies), 'study', 'studies')}; without controls the "
            "cause is not known."
        )
    return (
        f"No serious event in {row.people:,.0f} treated people excludes, with 95% confidence, a risk above "
        f"{percent(row.limit, 1)} if it is the same in all studies, and a mean risk above "
        f"{percent(row.limit_icc, 1)} if studies differ (ICC {ICC:g}); there are no controls."
    )


def further_in_words(every, firm, deaths, serious, ill):
    """Return what is seen of any event and of deaths, and of how many studies the isolation is known."""
    doubt = f"; {percent(firm.limit, 1)} without doubtful reports" if firm.people < every.people else ""
    illness = " or ".join(WORDS.get(one, one.replace("_", " ")) for one in dict.fromkeys(ill))
    known = f"{serious.isolation_known or 'none'} of {plural(int(serious.studies), 'study', 'studies')}"
    return (
        f"Any adverse event: {every.events:.0f} of {every.people:,.0f} people (risk up to "
        f"{percent(every.limit, 1)}{doubt}). Deaths: {deaths.events:.0f} of {deaths.people:.0f} "
        f"with {illness}, uncontrolled. Isolation is known in {known} of serious events."
    )


def deaths_in_words(row):
    """Return whether deaths are in a count of serious events."""
    return (
        f"Of {plural(int(row.studies), 'study', 'studies')} that report deaths, "
        f"{row.counting_serious_events or 'none'} counted serious events of any cause."
    )


def plans_in_words(plans):
    """Return how many people the next trials must follow if the risks of studies differ."""
    rows = plans[(plans["rows"] == "none") & (plans["icc"] == ICC)].itertuples()
    told = " and ".join(f"{row.more:,.0f} people to exclude 1 in {1 / row.risk:,.0f}" for row in rows)
    return (
        f"Trials of {NEXT} must follow, without a serious event, {told} as a mean risk, where risks differ "
        f"(ICC {ICC:g})."
    )


def definitions_in_words(limits, reports):
    """Return the limits of the main definitions as a table, doubtful reports, and narrower counts."""
    lines = []
    for row in limits[limits["counted"].isin([ANY, SERIOUS, IMPLIED])].itertuples():
        risks = [percent(risk, 1) for risk in (row.limit, row.limit_icc, row.limit_any)]
        lines.append((row.counted, row.rows, str(row.studies), f"{row.events} / {row.people}", *risks))
    head = ["people with", "rows", "studies", "events / people", "common risk", f"ICC {ICC:g}", "any ICC"]
    doubtful = reports[reports["use"] == "doubtful"]
    why = "; ".join(f"{row.study_name}, {row.caution}" for row in doubtful.itertuples()) or "none"
    every = limits[limits["rows"] == ALL].set_index("counted")
    narrow = every[every.index.isin(evidence.SCOPES.values()) & (every.index != ANY)].sum()
    plan = f" If one risk held in all studies, without an event {every.loc[SERIOUS, 'needed']}."
    return (
        "The largest risk that is not excluded (95%, one-sided, exact; nothing is added to zeros):\n\n"
        f"{markdown_table(lines, head, left=2)}\n\n"
        f"Doubtful reports of any event: {why}. {narrow.studies:.0f} further studies count only some kinds "
        f"of events or a window of time, and {narrow.without_event:.0f} of them report none. "
        f"{deaths_in_words(every.loc['deaths'])}{'' if every.loc[SERIOUS, 'events'] else plan}"
    )


def groups_in_words(groups, follow_up):
    """Return the limits of serious events by route, and what the longest follow-up excludes."""
    rows = groups[groups["by"] == "route"].query("counted == @SERIOUS and rows == @ALL")
    told = "; ".join(
        f"{WORDS.get(row.group, row.group)} {percent(row.limit, 1)} ({row.events} of {row.people:.0f})"
        for row in rows.sort_values("limit").itertuples()
    )
    same = (
        "Groups without events differ only in how many people they hold. "
        if (rows["events"] == 0).any()
        else ""
    )
    late = follow_up.query("counted == @SERIOUS and rows == @ALL")
    last, gone = late.iloc[-1], late["all_people"].iloc[0] - late["people"].max()
    return (
        f"Serious events by route, the largest common risk that is left: {told}. {same}"
        f"{last.people:.0f} people were followed for {last.weeks:.0f} weeks, the longest, which leaves a "
        f"risk of up to {percent(last.risk_limit, 1)}; of {gone:.0f} people the follow-up is not known."
    )


def harm_in_words(controls, harmed):
    """Return the comparison with controls, and the people chosen because they were harmed."""
    row = controls.iloc[0]
    harm = "; ".join(f"{one.label}, {one.ae_definition}" for one in harmed.itertuples())
    return (
        f"Against different people as controls ({plural(int(row.studies), 'study', 'studies')}; "
        f"{row.caution}) events were seen in {row.treated:.0f} of {row.of:.0f} and {row.untreated:.0f} of "
        f"{row.of_control:.0f} people: odds ratio {number(row.estimate)} ({number(row.low, 3)} to "
        f"{number(row.high)}, exact, central). Harm does occur. These people were chosen because of it, "
        f"and enter no count: {harm}. Not shown: that there is no risk, or none after the last "
        "visit. An empty cell is not a zero, and most numbers come from abstracts."
    )


if __name__ == "__main__":
    report.run_alone(main)
