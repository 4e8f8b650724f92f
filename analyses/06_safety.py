"""
What do reports of no harm exclude?
===================================

People with adverse and with serious adverse events among those who were given vesicles. A zero means what was
counted: any event, only related or significant ones, or only one kind; definitions are never pooled with each
other. Studies without an event count by exact methods, nothing is added to zeros. Shown are the largest risk
that is left by definition, route, source, isolation method and kind of donor, how much studies differ, the
comparisons with controls, how many people the next trials must follow, and what follow-up there was.
"""

import itertools
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo import errors, evidence, report
from metaexo.formatting import markdown_table, number, percent, plural

ANY, SERIOUS = evidence.SCOPES["all"], "serious adverse events"
IMPLIED = "serious adverse events, none where there was none of any kind"
ALL, FIRM = "with doubtful reports", "without doubtful reports"
GROUPS = {
    "route": "route",
    "source": "source",
    "isolation": "isolation method",
    "allogeneic": "kind of donor",
    "design": "design",
}
ICC = 0.05  # heterogeneity of study risks that is stated beside a common risk
TARGETS = (0.01, 0.001)
NEXT = (20, 50)
PRIORS = ("jeffreys", "uniform")
COLUMNS = [
    *["events", "counted", "arm", "line", "study_id", "label", "people", "n", "share", "low", "high"],
    *["route", "source", "isolation", "allogeneic", "indication", "design", "same_people"],
    *["follow_up_weeks", "ae_definition", "use", "caution"],
]
WORDS = {
    "injection_local": "local injection",
    "intravenous": "intravenous",
    "intra_articular": "intra-articular",
    "inhaled": "inhaled",
    "topical": "topical",
    "topical_after_procedure": "topical after a procedure",
    "other": "other",
    "unknown": "not known",
}
HARM = ["line", "study_id", "label", "indication", "route", "people_described", "ae_definition", "caution"]
REVIEWED = {"serious_adverse_event_incidence_pct": SERIOUS, "adverse_event_incidence_pct": ANY}
Key = tuple[str, str]


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)

    # Every count of every study, with its exact interval, and why the others are in none.
    arms = every_arm(sheets)
    rates = pd.concat([shares(found, *key) for key, found in arms.items()], ignore_index=True)
    analysis.write_table("rates", rates[COLUMNS])
    analysis.write_table("left_out", left_out(arms))

    # The largest risk that is left, by definition and group, and by how much studies differ; what follow-up
    # excludes; how many people are to be followed; controls. Definitions do not meet.
    counts = definitions(sheets)
    main_ones = {key: found for key, found in counts.items() if key[1] in (ANY, SERIOUS)}
    tables = {
        "limits": pd.DataFrame([row for key, found in counts.items() for row in groups(key, found)]),
        "limits_by_heterogeneity": pd.concat([curve(*each) for each in main_ones.items()]),
        "heterogeneity": pd.DataFrame([varied(*each) for each in counts.items()]),
        "follow_up": pd.concat([timed(*each) for each in counts.items()]),
        "models": pooled(counts),
        "plans": plans(main_ones),
        "prediction": predictions(main_ones),
        "two_arms": compared(sheets),
    }
    tables["published"] = published(sheets, tables["limits"])
    for name, table in tables.items():
        analysis.write_table(name, table)

    draw_studies(analysis, arms["adverse events", "treated"], counts[ALL, SERIOUS])
    draw_exclusion(analysis, counts)

    # People who were chosen because they were harmed show that a harm exists, not how often it occurs.
    reports = sheets.safety_events
    harmed = reports[evidence.chosen_for_harm(reports)]
    harmed = harmed.rename(columns={"n_treated": "people_described", "study_name": "label"})
    analysis.write_table("harmed", harmed[HARM])
    for paragraph in statement(reports, harmed, counts, tables):
        analysis.write_summary(paragraph)


def definitions(sheets: evidence.Sheets) -> dict[Key, mx.effects.EventCounts]:
    """Return the treated people with an event and their number, by kind of reports and what was counted."""
    found: dict[Key, mx.effects.EventCounts] = {}
    for kind in evidence.EVENTS:
        for scope in evidence.SCOPES if kind == "adverse events" else (None,):
            every = event_counts(sheets, kind, scope)
            firm = every.select((every.column("use") == "main").to_numpy(), "doubtful by the sheet")
            name = every.column("counted").iloc[0]
            found |= {(ALL, name): every, (FIRM, name): firm}
    for reports in (ALL, FIRM):
        found[reports, IMPLIED] = with_implied(found[reports, SERIOUS], found[reports, ANY])
    return found


def with_implied(serious: mx.effects.EventCounts, whole: mx.effects.EventCounts) -> mx.effects.EventCounts:
    """Return serious events with the studies that saw no event of any kind."""
    silent = whole.select(whole.is_zero & whole.column("sae_patients_treated").isna().to_numpy(), IMPLIED)
    rows = pd.concat([serious.data, silent.data.assign(sae_patients_treated=0)], ignore_index=True)
    return mx.event_counts(
        rows, events="sae_patients_treated", n="n_treated", labels="study_name", study="study_name"
    )


def event_counts(
    sheets: evidence.Sheets, kind: str, scope: object, **choices: object
) -> mx.effects.EventCounts:
    """Return counts whose rows left out are in the ledger, which is written as a table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.RowsLeftOutWarning)
        warnings.simplefilter("ignore", errors.MixedDefinitionsWarning)
        return sheets.event_counts(kind, scope=scope, **choices)


def every_arm(sheets: evidence.Sheets) -> dict[Key, mx.effects.EventCounts]:
    """Return the counts of every kind of event and arm, whatever they cover."""
    found = {}
    for kind in evidence.EVENTS:
        scope = list(evidence.SCOPES) if kind == "adverse events" else None
        found[kind, "treated"] = event_counts(sheets, kind, scope)
        try:
            both = event_counts(sheets, kind, scope, arms=2, keep_paired=True)
        except errors.TooFewStudiesError:
            continue
        found[kind, "control"] = both.arm("control")
    return found


def shares(counts: mx.effects.EventCounts, events: str, arm: str) -> pd.DataFrame:
    """Return the share of people with an event in each study, with its exact interval."""
    exact = mx.safety.study_intervals(counts)
    people, n = counts.events[:, 0].astype(int), counts.totals[:, 0].astype(int)
    table = counts.data.assign(events=events, arm=arm, label=counts.labels, people=people, n=n)
    return table.assign(share=people / n, low=exact.low, high=exact.high)


def left_out(arms: dict[Key, mx.effects.EventCounts]) -> pd.DataFrame:
    """Return why reports are in no count of a kind."""
    treated = {kind: found for (kind, arm), found in arms.items() if arm == "treated"}
    tables = [found.ledger.to_frame().assign(events=kind) for kind, found in treated.items()]
    return pd.concat(tables).drop(columns="item")


def groups(key: Key, counts: mx.effects.EventCounts) -> list[dict[str, object]]:
    """Return what one definition excludes, over all studies and by group."""
    names = {"reports": key[0], "counted": key[1]}
    rows = [names | {"by": "all", "level": "all"} | common(counts) | mean_risks(counts)]
    for column in GROUPS:
        for (level,), part in mx.split(counts, column).items():
            rows.append(names | {"by": column, "level": level} | common(part))
    return rows


def common(counts: mx.effects.EventCounts) -> dict[str, float]:
    """Return the exact limits of a risk that is the same in all studies: an interval, and an upper one."""
    found, both = mx.safety.upper_limit(counts), mx.safety.upper_limit(counts, sides=2)
    return {
        "studies": counts.m,
        "without_event": found.without_event,
        "people": int(found.total),
        "events": found.events,
        "low": both.low,
        "high": both.value,
        "limit": found.value,
    }


def mean_risks(counts: mx.effects.EventCounts) -> dict[str, float]:
    """Return the upper limits of the mean risk where studies differ, by a stated amount or by any."""
    found = mx.safety.upper_limit(counts, heterogeneity=ICC)
    return {
        "limit_icc": found.value,
        "study_risk_icc": found.new_study,
        "limit_any": mx.safety.upper_limit(counts, heterogeneity="any").value,
    }


def varied(key: Key, counts: mx.effects.EventCounts) -> dict[str, object]:
    """Return what the counts themselves say about how much the risks of studies differ."""
    found = mx.safety.heterogeneity_likelihood(counts)
    return {
        "reports": key[0],
        "counted": key[1],
        "studies": counts.m,
        "events": found.events,
        "determined": not found.is_flat,
        "icc": found.estimate,
        "icc_low": found.low,
        "icc_high": found.high,
        "limit": found.mean_limit,
    }


def curve(key: Key, counts: mx.effects.EventCounts) -> pd.DataFrame:
    """Return the largest mean risk by the heterogeneity that is assumed."""
    return named(key, mx.safety.limits_by_heterogeneity(counts).to_frame())


def timed(key: Key, counts: mx.effects.EventCounts) -> pd.DataFrame:
    """Return what studies with at least so many weeks of follow-up exclude, of risks and of rates."""
    weeks = counts.column("follow_up_weeks").to_numpy(dtype=float)
    found = mx.safety.by_follow_up(counts, np.where(weeks > 0, weeks, np.nan)).to_frame()
    return named(key, found)


def named(key: Key, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with what it is of in its first columns."""
    return pd.concat({key: table}, names=["reports", "counted"]).reset_index(level=[0, 1])


def plans(counts: dict[Key, mx.effects.EventCounts]) -> pd.DataFrame:
    """Return how many people the next trials must follow, alone and on top of what is known."""
    tables = []
    for key, known in {("none", SERIOUS): None, **counts}.items():
        for size, icc in ((np.nan, 0.0), *((size, ICC) for size in NEXT)):
            plan = mx.safety.patients_to_exclude(
                TARGETS, counts=known, heterogeneity=icc, study_size=size if icc else None
            )
            tables.append(named(key, plan.to_frame().assign(icc=icc, study_size=size)))
    return pd.concat(tables)


def predictions(counts: dict[Key, mx.effects.EventCounts]) -> pd.DataFrame:
    """Return how many events to expect in the next study, by prior and by whether risks of studies differ."""
    rows = []
    for key, found in counts.items():
        for prior, icc in itertools.product(PRIORS, (0.0, ICC)):
            known = mx.safety.bayesian_limit(found, prior, heterogeneity=icc)
            for size in NEXT:
                next_one = mx.safety.predict_count(known, size)
                rows.append(
                    {
                        "reports": key[0],
                        "counted": key[1],
                        "prior": prior,
                        "icc": icc,
                        "limit": known.value,
                        "people": size,
                        "expected": next_one.expected,
                        "low": next_one.low,
                        "high": next_one.high,
                        "any_event": next_one.any_event,
                    }
                )
    return pd.DataFrame(rows)


def published(sheets: evidence.Sheets, limits: pd.DataFrame) -> pd.DataFrame:
    """Return pooled shares of published reviews, in per cent there, beside what is left here."""
    reviews = sheets.published_meta_analyses
    reviews = reviews[reviews["outcome"].isin(list(REVIEWED))]
    names = {"study_name": "review", "k_studies": "studies_of_review"}
    table = reviews.rename(columns=names)[["review", "outcome", "studies_of_review", "note"]]
    for name, column in {"estimate": "estimate", "low": "ci_low", "high": "ci_high"}.items():
        table[name] = reviews[column] / 100
    whole = limits[limits["by"] == "all"]
    table = table.assign(counted=table["outcome"].map(REVIEWED))
    return table.merge(whole[["reports", "counted", "limit", "limit_icc", "limit_any"]], on="counted")


def pooled(counts: dict[Key, mx.effects.EventCounts]) -> pd.DataFrame:
    """Return the pooled share of people by models of counts and by old transformations, with their faults."""
    tables = [named(key, mx.safety.compare_proportions(found).to_frame()) for key, found in counts.items()]
    return pd.concat(tables)


def compared(sheets: evidence.Sheets) -> pd.DataFrame:
    """Return the comparisons with controls by every model of two arms, or why there is none."""
    whole = event_counts(sheets, "adverse events", "all", arms=2)
    every = sheets.outcomes
    rows = every[(every["outcome"] == "complications") & every["study_name"].isin(whole.study)]
    tables = {"one table per study": whole}
    tables["one table per procedure"] = mx.event_counts(rows, labels="timepoint", study="study_name")
    found = []
    for name, counts in tables.items():
        cautions = "; ".join(dict.fromkeys(counts.column("caution").dropna()))
        names = {"tables": name, "rows": counts.k, "caution": cautions}
        found += [names | answer(counts, *each) for each in TWO_ARMS]
    return pd.DataFrame(found)


def answer(counts: mx.effects.EventCounts, model: str, fit: Callable) -> dict[str, object]:
    """Return what a model says on the scale of its measure, or why it says nothing."""
    row = {"model": model, "events": int(counts.events.sum())}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.MetaexoWarning)
        try:
            found = fit(counts)
        except errors.MetaexoError as error:
            return row | {"words": f"{error.given}; needed: {error.needed}"}
    shown = found.predict(scale="measure").iloc[0]
    row |= {"measure": found.measure.display} | {name: shown[name] for name in ("estimate", "low", "high")}
    return row | {"pvalue": found.pvalues.iloc[0], "words": "; ".join(found.cautions())}


TWO_ARMS = (
    ("exact conditional", lambda counts: mx.ExactConditional(counts).fit()),
    ("exact conditional, mid-p", lambda counts: mx.ExactConditional(counts).fit(test="mid-p")),
    ("Mantel-Haenszel", lambda counts: mx.MantelHaenszel(counts, "OR").fit()),
    ("Mantel-Haenszel", lambda counts: mx.MantelHaenszel(counts, "RR").fit()),
    ("Mantel-Haenszel", lambda counts: mx.MantelHaenszel(counts, "RD").fit()),
    ("Peto", lambda counts: mx.Peto(counts).fit()),
    ("beta-binomial", lambda counts: mx.BetaBinomial(counts, "OR").fit()),
)


def draw_studies(
    analysis: report.Analysis, adverse: mx.effects.EventCounts, serious: mx.effects.EventCounts
) -> None:
    """Draw the share of people with an event in each study; serious events with what all of them exclude."""
    title = "Adverse events in people treated with exosomes, by what was counted"
    look = {"columns": ["route", "events"], "order": "precision", "remark": "use", "per": 100}
    heads = {words: words[:1].upper() + words[1:] for words in evidence.SCOPES.values()}
    rows = adverse.data.sort_values("ae_scope", key=lambda scope: scope.map(list(evidence.SCOPES).index))
    ax = mx.plots.forest(
        mx.event_counts(rows, events="ae_patients_treated", n="n_treated", labels="study_name"),
        by="counted",
        wording=WORDS | heads | {"main": ""},
        label_title="What was counted / study",
        title=title,
        notes=["Nothing is pooled over definitions. People chosen because they were harmed are not shown."],
        **look,
    )
    analysis.write_figure("adverse_events", ax, title=title)
    anyhow = mx.safety.upper_limit(serious, heterogeneity="any")
    title = "Serious adverse events of any cause in people treated with exosomes"
    ax = mx.plots.forest(
        mx.safety.upper_limit(serious),
        models=[mx.safety.upper_limit(serious, heterogeneity=ICC)],
        wording=WORDS | {"main": ""},
        title=title,
        notes=[f"However the risks of studies differ, a mean above {percent(anyhow.value, 1)} is excluded."],
        **look,
    )
    analysis.write_figure("serious_events", ax, title=title)


def draw_exclusion(analysis: report.Analysis, counts: dict[Key, mx.effects.EventCounts]) -> None:
    """Draw the largest risk that is left against the number treated."""
    firm = counts[FIRM, SERIOUS]
    title = "Risk of a serious adverse event that is not excluded, by number treated"
    varied = mx.safety.exclusion_curve(firm, heterogeneity=ICC, study_size=NEXT[-1], risks=TARGETS)
    curves = {
        "one risk in all studies": mx.safety.exclusion_curve(firm, number=varied.number),
        f"risks differ (ICC {ICC:g})": varied,
    }
    ax = mx.plots.exclusion_curve(
        curves,
        labels="none",
        title=title,
        notes=[
            "Serious events of any cause, without doubtful reports. The dashed curve is of new studies of "
            f"{NEXT[-1]} alone, and bends where one is full. In the studies so far, which are smaller, as "
            "many people exclude more: their squares lie below it.",
        ],
    )
    analysis.write_figure("exclusion_serious", ax, title=title)
    title = "Risk of any adverse event that is not excluded, by number treated"
    curves = {reports: mx.safety.exclusion_curve(counts[reports, ANY]) for reports in (ALL, FIRM)}
    analysis.write_figure("exclusion_any", mx.plots.exclusion_curve(curves, title=title), title=title)


def statement(
    reports: pd.DataFrame,
    harmed: pd.DataFrame,
    counts: dict[Key, mx.effects.EventCounts],
    tables: dict[str, pd.DataFrame],
) -> list[str]:
    """Return what was found, in words."""
    limits = tables["limits"]
    whole = limits[limits["by"] == "all"].set_index(["reports", "counted"])
    return [
        f"Of {len(reports)} reports, {len(harmed)} are of people chosen because they were harmed and enter "
        "no count. The others did not count the same thing, and definitions are never pooled with each "
        "other. Nothing is added to zeros. The largest risk that is not excluded (95%, one-sided, exact):",
        markdown_table(list(lines(whole)), HEADER, left=2),
        "A common risk is one that is the same in all studies. Where the risks of studies differ, the limit "
        f"is of their mean: with an intra-class correlation (ICC) of {ICC:g}, or however they differ.",
        serious_in_words(counts, whole),
        doubts(counts[ALL, ANY], whole),
        narrower(counts, whole),
        varied_in_words(tables["heterogeneity"]),
        modelled(tables["models"]),
        by_group(limits),
        followed(counts),
        planned_in_words(tables["plans"]),
        predicted(tables["prediction"]),
        against_controls(tables["two_arms"]),
        reviewed(tables["published"]),
        "People chosen because they were harmed, numerators without a denominator: "
        + "; ".join(describe(row) for row in harmed.to_dict("records"))
        + ".",
        "What the zeros do not show: that there is no risk; that no harm comes after the last visit; that a "
        "report which mentions no event had none, as an empty cell is not a zero. Most numbers come from "
        "abstracts.",
    ]


HEADER = [
    *("people counted with", "reports", "studies", "without event", "events / people"),
    *("common risk", f"mean risk, ICC {ICC:g}", "mean risk, any"),
]


def lines(whole: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """Yield the limits of each definition; without doubtful reports only where that makes a difference."""
    for counted in dict.fromkeys(whole.index.get_level_values("counted")):
        for reports in (ALL, FIRM):
            row = whole.loc[(reports, counted)]
            if reports == FIRM and row["studies"] == whole.loc[(ALL, counted), "studies"]:
                continue
            risks = (percent(row[name], 1) for name in ("limit", "limit_icc", "limit_any"))
            sizes = (str(int(row["studies"])), str(int(row["without_event"])))
            yield (counted, reports, *sizes, f"{row['events']:.0f} / {row['people']:.0f}", *risks)


def serious_in_words(counts: dict[Key, mx.effects.EventCounts], whole: pd.DataFrame) -> str:
    """Return what the studies that counted serious events of any cause exclude, and what they do not."""
    every, firm = (mx.safety.upper_limit(counts[reports, SERIOUS]) for reports in (ALL, FIRM))
    limits = whole.loc[[(reports, SERIOUS) for reports in (ALL, FIRM)], "limit"]
    aims = [f"1 in {1 / risk:,.0f}" for risk in TARGETS if risk < limits.min()]
    left = f"A risk of {' or of '.join(aims)} is excluded by neither. " if aims else ""
    means = "; ".join(
        f"{reports}, a mean risk above {percent(row.limit_icc, 1)} is excluded, and at that mean 5% of "
        f"studies have a risk above {percent(row.study_risk_icc, 1)}"
        for reports in (ALL, FIRM)
        for row in [whole.loc[(reports, SERIOUS)]]
    )
    return (
        f"Serious events of any cause, with doubtful reports: {every.sentence} Without doubtful reports: "
        f"{firm.sentence} {left}If study risks vary with an ICC of {ICC:g}: {means}."
    )


def doubts(counts: mx.effects.EventCounts, whole: pd.DataFrame) -> str:
    """Return which reports of any event are implausible, and what is left without them."""
    rows = counts.data[counts.column("use").to_numpy() == "doubtful"]
    named = "; ".join(f"{row.study_name} ({row.caution})" for row in rows.itertuples())
    firm, every = whole.loc[(FIRM, ANY)], whole.loc[(ALL, ANY)]
    seen = counts.data[counts.events[:, 0] > 0]
    events = " and ".join(
        f"{row.study_name} ({row.ae_patients_treated:.0f} of {row.n_treated:.0f})"
        for row in seen.itertuples()
    )
    return (
        f"Events of any kind were seen in {events}. {plural(len(rows), 'report')} of none "
        f"{'is' if len(rows) == 1 else 'are'} implausible: {named}. They hold "
        f"{every.people - firm.people:.0f} of the {every.people:.0f} people; without them the limit of a "
        f"common risk is {percent(firm.limit, 1)} instead of {percent(every.limit, 1)}."
    )


def narrower(counts: dict[Key, mx.effects.EventCounts], whole: pd.DataFrame) -> str:
    """Return what zeros of narrower definitions and the deaths say."""
    scopes = [name for name in evidence.SCOPES.values() if name != ANY]
    studies, silent = (
        int(whole.loc[[(ALL, one) for one in scopes], c].sum()) for c in ("studies", "without_event")
    )
    deaths = counts[ALL, "deaths"]
    ill = deaths.column("indication").replace({"covid19_ards": "COVID-19 or ARDS"}).unique()
    told = "; ".join(
        f"{name}: {x:.0f} of {n:.0f}"
        for (x,), (n,), name in zip(deaths.events, deaths.totals, deaths.labels, strict=True)
    )
    implied = whole.loc[(FIRM, IMPLIED)]
    return (
        f"{studies} studies count only related or significant events, one kind of event or a window of time; "
        f"{silent} of them report none, which answers a narrower question. A study without any event has no "
        f"serious one either, if its definition holds what others call serious: with such zeros, and without "
        f"doubtful reports, {implied.people:.0f} people of {implied.studies:.0f} studies exclude a common "
        f"risk of serious events above {percent(implied.limit, 1)}. Deaths were reported among people with "
        f"{', '.join(ill)} ({told}): without controls, they do not tell what the vesicles did."
    )


def varied_in_words(heterogeneity: pd.DataFrame) -> str:
    """Return what the counts say about how much risks of studies differ."""
    table = heterogeneity.set_index(["counted", "reports"])
    told = []
    for counted in dict.fromkeys(heterogeneity["counted"]):
        rows = {reports: table.loc[(counted, reports)] for reports in (ALL, FIRM)}
        if rows[ALL].studies == rows[FIRM].studies:
            del rows[FIRM]
        said = [
            f"{number(row.icc, 2)} ({number(row.icc_low, 2)} to {number(row.icc_high, 2)}) in "
            f"{plural(row.studies, 'study', 'studies')} with {plural(row.events, 'event')}"
            + (f", {reports}" if len(rows) > 1 else "")
            for reports, row in rows.items()
            if row.determined
        ]
        told += [f"{counted}, {' and '.join(said)}"] if said else []
    known = heterogeneity[heterogeneity["determined"] & heterogeneity["reports"].isin([ALL, FIRM])]
    differ = known.loc[known["icc_low"] > 0, "counted"].unique()
    alike = [name for name in known["counted"].unique() if name not in differ]
    ends = known.loc[known["counted"].isin(alike), "icc_high"]
    return (
        "How much the risks of studies differ is hardly known. Where there is no event the likelihood is the "
        "same for every heterogeneity. Elsewhere the intra-class correlation (0 to 1; 95% CI) is: "
        f"{'; '.join(told)}. The intervals of {' and of '.join(alike)} hold 0, no heterogeneity, and end "
        f"between {number(ends.min(), 2)} and {number(ends.max(), 2)}"
        + (f"; that of {' and of '.join(differ)} does not hold 0" if len(differ) else "")
        + f". The {number(ICC, 2)} used here is stated, not estimated."
    )


def modelled(models: pd.DataFrame) -> str:
    """Return the pooled shares by models, and what transformations make of zeros."""
    table = models.set_index(["counted", "reports", "method"])

    def share(*key: str) -> str:
        row = table.loc[key]
        return f"{percent(row.estimate, 1)} ({percent(row.low, 1)} to {percent(row.high, 1)})"

    told = [
        f"{share(ANY, reports, 'beta-binomial')} on average over studies by the beta-binomial model and "
        f"{share(ANY, reports, 'mixed model')} in the middle study by the mixed model, {reports}"
        for reports in (ALL, FIRM)
    ]
    usual = " and ".join(f"{share(SERIOUS, ALL, one)} by the {one}" for one in ("arcsine", "double arcsine"))
    return (
        f"The risk of any adverse event is {'; '.join(told)}. Where there is no event, the likelihood of "
        "such a model has no maximum, and there is no estimate. Transformed shares have one all the same: "
        f"{usual} for serious adverse events, against {share(SERIOUS, ALL, 'sum of events')} by the exact "
        "interval of a common risk. Nothing here rests on transformations."
    )


def by_group(limits: pd.DataFrame) -> str:
    """Return the limits by route, source and kind of donor, and what is known by isolation method."""
    table = limits.set_index(["counted", "by", "level", "reports"]).sort_index()
    found = []
    for counted, by in itertools.product((SERIOUS, ANY), ("route", "source", "allogeneic")):
        rows = table.loc[(counted, by)].reset_index()
        every = rows[rows["reports"] == ALL].sort_values("limit")
        firm = rows[rows["reports"] == FIRM].set_index("level")
        told = ", ".join(group_in_words(row, firm) for row in every.itertuples())
        found.append(f"- {counted[:1].upper()}{counted[1:]}, by {GROUPS[by]}: {told}.")
    rows = limits[limits["counted"].isin([ANY, SERIOUS]) & (limits["by"] == "isolation")]
    rows = rows[rows["reports"] == ALL]
    known = rows.loc[rows["level"] != "Not reported", "studies"].sum()
    isolation = (
        f"The isolation method is known in {known} of these {rows['studies'].sum()} counts"
        if known
        else "None of these studies says how the vesicles were isolated: nothing is known by isolation method"
    )
    return (
        "The largest common risk that is not excluded, by group (people with an event among those treated; "
        "in square brackets without doubtful reports, where these make a difference):\n\n"
        + "\n".join(found)
        + f"\n\n{isolation}. Groups differ in how many people they hold; with so few events they cannot be "
        "compared."
    )


def group_in_words(row, firm: pd.DataFrame) -> str:
    """Return the limit of a group, and the one without doubtful reports."""
    words = f"{WORDS.get(row.level, row.level)} {percent(row.limit, 1)} ({row.events} of {row.people})"
    if row.level not in firm.index:
        return f"{words} [no report is left]"
    left = firm.loc[row.level]
    return words if left.people == row.people else f"{words} [{percent(left.limit, 1)}]"


def followed(counts: dict[Key, mx.effects.EventCounts]) -> str:
    """Return what the longest follow-up excludes, and all of it."""
    told = []
    for counted, reports in itertools.product((SERIOUS, ANY), (ALL, FIRM)):
        rows = counts[reports, counted]
        weeks = rows.column("follow_up_weeks").to_numpy(dtype=float)
        known = weeks > 0
        found = mx.safety.by_follow_up(rows, np.where(known, weeks, np.nan))
        n, x = rows.totals[:, 0], rows.events[:, 0]
        gone = ""
        if not known.all():
            events = plural(int(x[~known].sum()), "event")
            studies = plural(int((~known).sum()), "study", "studies")
            gone = (
                f" Not in these numbers are {n[~known].sum():.0f} of the {n.sum():.0f} people, of {studies} "
                f"without a known follow-up ({events})."
            )
        sentence = found.sentence.replace("followed for any time", "with a known follow-up")
        told.append(f"- {counted[:1].upper()}{counted[1:]}, {reports}: {sentence}{gone}")
    return (
        "What follow-up excludes:\n\n" + "\n".join(told) + "\n\nPerson-years are people times the weeks of "
        "their study, the most there can be: the true limits of the rates are higher."
    )


def planned_in_words(plans: pd.DataFrame) -> str:
    """Return how many people the next trials must follow without an event."""

    def needed(reports: str, counted: str, size: float = 0, column: str = "more") -> str:
        rows = plans[(plans["reports"] == reports) & (plans["counted"] == counted)]
        rows = rows[rows["study_size"].fillna(0) == size].set_index("risk")
        return " and ".join(f"{rows.loc[risk, column]:,.0f}" for risk in TARGETS)

    aims = " and of ".join(f"1 in {1 / risk:,.0f}" for risk in TARGETS)
    return (
        f"To exclude a risk of serious events of {aims} (95%, one-sided), trials must follow "
        f"{needed('none', SERIOUS)} people without any such event if nothing were known. On top of the "
        f"people without doubtful reports it is {needed(FIRM, SERIOUS)} more. If the risks of studies differ "
        f"with an ICC of {ICC:g}, it is the mean risk that is excluded, and trials of {NEXT[-1]} people "
        f"take {needed('none', SERIOUS, NEXT[-1])} if nothing were known (as in the figure of the numbers "
        f"treated), and {needed(FIRM, SERIOUS, NEXT[-1])} more on top of what is known "
        f"({needed(FIRM, SERIOUS, NEXT[-1], 'in_all')} in all: fewer, because those studies are smaller than "
        f"{NEXT[-1]}). For adverse events of any kind, without doubtful reports, it is {needed(FIRM, ANY)} "
        "more. One event among them undoes it, and the numbers hold for the follow-up of those trials."
    )


def predicted(prediction: pd.DataFrame) -> str:
    """Return how many events the next study of each size may see, as a table."""
    table = prediction.set_index(["counted", "reports", "icc", "people", "prior"])
    rows = []
    for counted, size in itertools.product((SERIOUS, ANY), NEXT):
        common, varied = (table.loc[(counted, FIRM, icc, size, PRIORS[0])] for icc in (0.0, ICC))
        cells = [
            cell
            for one in (common, varied)
            for cell in (f"{one.low:.0f} to {one.high:.0f}", percent(one.any_event))
        ]
        rows.append((counted, str(size), *cells))
    kinds = ("common risk", f"ICC {ICC:g}")
    header = ["people with", "people in the next study"]
    header += [f"{kind}: {what}" for kind in kinds for what in ("events", "chance of any")]
    return (
        "How many events the next study may see if it is like those without doubtful reports (95% "
        "prediction interval, and the probability of any; Jeffreys' prior). More would be a signal:\n\n"
        + markdown_table(rows, header, left=1)
    )


def against_controls(two_arms: pd.DataFrame) -> str:
    """Return the comparisons with different people as controls."""
    exact = two_arms[(two_arms["model"] == "exact conditional")].set_index("tables")
    one, strata = exact.loc["one table per study"], exact.loc["one table per procedure"]

    def ratio(row) -> str:
        return f"{row.estimate:.2f} ({row.low:.3f} to {row.high:.2f})"

    return (
        "Events of any kind are counted in two arms of different people in "
        f"{plural(int(one.rows), 'study', 'studies')} ({one.caution}): odds ratio {ratio(one)}, exact, and "
        f"{ratio(strata)} stratified by procedure. In split-body studies both arms "
        "are the same people; they enter no comparison."
    )


def reviewed(published: pd.DataFrame) -> str:
    """Return what published reviews pooled, and whether that agrees with what is left here."""
    told = []
    for (review, counted), rows in published.groupby(["review", "counted"], sort=False):
        row = rows.iloc[0]
        shares = f"{percent(row.estimate, 1)} ({percent(row.low, 1)} to {percent(row.high, 1)})"
        ends = " and ".join(f"{percent(one.limit, 1)} {one.reports}" for one in rows.itertuples())
        least = rows["limit"].min()
        said = "which agrees with the upper limits here"
        if (rows["estimate"] > rows["limit"]).any():
            begins = "begins below" if row.low <= least else "is above"
            said = f"which is not below all upper limits here, and whose interval {begins} them"
        told.append(f"{counted} in {shares} of people by {review}, {said} ({ends})")
    return (
        f"Published reviews pooled {'; '.join(told)}. These limits are of a common risk. Which studies they "
        "pooled, and how those without an event, was not seen; some may be the same as here."
    )


def describe(row: dict) -> str:
    people = row["people_described"]
    count = "number not given" if pd.isna(people) else plural(int(people), "person", "people")
    return f"{row['label']} ({count}): {row['ae_definition']}"


if __name__ == "__main__":
    report.run_alone(main)
