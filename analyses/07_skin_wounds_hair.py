"""
Do exosomes help skin, wounds, hair and pigmentation?
=====================================================

Controlled results of four fields, patients and animals apart, one result per study, as standardised mean
differences (Hedges' g) turned so that positive means benefit. Most studies print no number from which an
effect follows, only a threshold or a direction: these are censored observations beside the exact effects in
one random-effects model (REML; Knapp and Hartung on the effective number of effects, with a scale of at least
1). Changes from before to after treatment have no control and are never pooled.
"""

import re
import warnings
from bisect import bisect_left
from collections import Counter
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

import metaexo as mx
from metaexo import errors, evidence, report
from metaexo.formatting import interval, number, percent, plural

CONTROLLED, WITHOUT_CONTROL = "contrast == 'exosome_vs_control'", "contrast == 'post_vs_pre'"
PATIENTS, ANIMALS = "patients", "animals"
DOMAINS = {PATIENTS: "clinical", ANIMALS: "preclinical"}
CLOSURE = ["Wound closure", "Healing time", "Re-epithelialisation and granulation"]
SKIN = ["Wrinkles and texture", "Global rating", "Pigmentation", "Scar", "Redness", "Hydration"]
# Outcome families of the sheet of numbers (skin: of these indications only), indications of results in words
FIELDS = {
    "skin": ([*SKIN, "Collagen and matrix"], ["skin_ageing", "pigmentation", "scar", "photodamage"]),
    "wounds": ([*CLOSURE, "Flap and graft survival", "Vessels"], ["wound", "graft"]),
    "hair": (["Hair count and density", "Hair thickness"], ["hair_loss"]),
    "pigmentation": (["Pigmentation"], ["pigmentation"]),
}
GROUPS = [(name, who) for name in FIELDS for who in DOMAINS]
MAIN = {PATIENTS: ("skin", PATIENTS), ANIMALS: ("wounds", ANIMALS)}  # with the most studies
TEST = "knapp-hartung-adhoc"
BOTH_SIDES = [0.5, 0.25, 0.75]  # correlation of the sides of a face, where a paper does not report it
WITHIN = 0.6  # correlation of sampling errors of effects on the same people or animals
ALL, FIRM = "all", "without doubtful rows"
CENSORED, EXACT = "exact and censored", "exact alone"
LEAST, EVERY = "least favourable result of each study", "all exact effects, multilevel"
KEYS = ["field", "who", "rows", "evidence"]
POOLED = ["estimate", "low", "high", "prediction_low", "prediction_high"]
NUMBERS = [*POOLED, "tau2", "tau2_low", "tau2_high", "i2", "effective"]
KINDS = dict(zip(("exact", "not_significant", "threshold", "direction"), mx.models.KINDS, strict=True))
EVIDENCE = ["sheet", "line", "study", "outcome", "timepoint", "design", "source", "isolation", "use", "kind"]
EVIDENCE = [*EVIDENCE, "lower", "upper", "v_lower", "v_upper", "how", "note"]
UNSIZED = "a direction alone, without sizes"
OTHERS = [(ALL, EXACT, "exact effects alone"), (FIRM, CENSORED, "the analysis without doubtful rows")]
OTHERS += [(ALL, LEAST, "the least favourable results")]
VERDICTS = {"benefit": "the main analysis favours exosomes", "harm": "the main analysis favours the control"}
VERDICTS |= {"neither": "the interval includes no effect", "": "nothing can be pooled"}
COUNTED = {"exact": "exact effect", "not_significant": "non-significant result"}
COUNTED |= {"threshold": "p-value threshold", "direction": "direction"}
ENDS = {"tau2": "estimate", "tau2_low": "lower end of its 95% CI", "tau2_high": "upper end of its 95% CI"}
PLAN = ["field", "who", "rows", "assumed"]
PER_GROUP, EFFECT, POWER = {PATIENTS: 30, ANIMALS: 10}, 0.5, 0.8  # of the studies that are planned


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)
    known, uncontrolled = effects(sheets), effects(sheets, WITHOUT_CONTROL)
    found = {group: of_field(known, *group) for group in GROUPS}
    asked = {group: sized(es) for group, es in found.items()}
    before = {group: of_field(uncontrolled, *group) for group in GROUPS}

    # What is known of each result, why others give nothing, and what has no control.
    listed = stacked(asked, lambda es: es.to_frame()[EVIDENCE].assign(used=is_used(es)))
    analysis.write_table("effects", listed)
    unused = {group: unused_rows(sheets, known, found[group], *group) for group in GROUPS}
    analysis.write_table("unused", stacked(unused, lambda rows: rows))
    analysis.write_table("before_after", stacked(before, lambda es: es.to_frame()[EVIDENCE]))

    # Pooled effects, other analyses that could be defended, and what would settle the question.
    paths = other_analyses(sheets)
    table = pooled_table(asked, unused, before, paths)
    analysis.write_table("pooled", table.reset_index())
    analysis.write_table("multiverse", stacked(paths, lambda found: found.shares()))
    analysis.write_table("paths", stacked(paths, lambda found: found.to_frame().reset_index()))
    analysis.write_table("settle", settle(table))

    for group in paths:
        title = f"Exosome against control, {' in '.join(group)}: effects and p-value thresholds in one model"
        analysis.write_figure("_".join(group), forest(table, group, asked[group], title), title=title)
    say(analysis, table, asked, paths)


# -- evidence -----------------------------------------------------------------------------------------------


def effects(sheets, contrast=CONTROLLED, correlation=BOTH_SIDES[0]):
    """Return what the sheet of numbers and that of words know about effects, bounds included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.AssumptionWarning)  # each effect is marked, and paths vary it
        return [
            sheets.effects("SMD", f"{contrast} and use != 'apart'", sheet, correlation, bounds=True)
            for sheet in ("outcomes", "direction_only")
        ]


def belongs(frame, name, who):
    """Return which rows of a sheet, with the columns of its studies, belong to a field."""
    families, indications = FIELDS[name]
    inside = frame["indication"].isin(indications)
    if "p_relation" in frame:  # the sheet of numbers
        inside = frame["outcome_family"].isin(families) & (inside | (name != "skin"))
    elif name == "pigmentation":
        inside |= frame["outcome"].str.contains("pigment|melan|dyschrom", flags=re.IGNORECASE)
    return (inside & (frame["domain"] == DOMAINS[who])).to_numpy(dtype=bool)


def of_field(parts, name, who):
    """Return the results of one field of all sheets as one set of effects."""
    chosen = [es.select(belongs(es.data, name, who), f"not {name} in {who}") for es in parts]
    es = mx.effects.join_bounded(*chosen)
    what = es.data["outcome"].str.replace("_", " ").str.replace(r"\s*\([^)]*[a-z][^)]*\)", "", regex=True)
    if "outcome_label" in es.data:
        what = es.data["outcome_label"].fillna(what)
    return es.with_columns(what=what.str[:1].str.upper() + what.str[1:])


def sized(es):
    """Return the effects with a sampling variance; a direction may have none."""
    known = np.where(np.isfinite(es.lower), es.v_lower, es.v_upper)
    return es.select(np.isfinite(known), UNSIZED)


def unused_rows(sheets, known, es, name, who):
    """Return the controlled rows of a field that have no place in a model, with the reason."""
    of_study = sheets.studies[["study_id", "domain", "indication"]]
    bare = es.select(~np.isin(es.row_ids, sized(es).row_ids)).to_frame().assign(reason=UNSIZED)
    tables = [bare]
    for part, sheet in zip(known, (sheets.outcomes, sheets.direction_only), strict=True):
        rows = evidence.ledger_table(part.ledger, sheet.merge(of_study, on="study_id", how="left"))
        rows = rows[(rows["step"] == "effect") & belongs(rows, name, who)]
        tables.append(rows.assign(sheet=part.ledger.source, study=rows["study_name"]))
    return pd.concat(tables)[["sheet", "line", "study", "outcome", "reason"]]


def stacked(found, frame_of):
    """Return one table of all fields, with the field and who it is about in front."""
    tables = [frame_of(one).assign(field=name, who=who) for (name, who), one in found.items()]
    table = pd.concat([one for one in tables if len(one)] or tables, ignore_index=True)
    return table[["field", "who", *table.columns.drop(["field", "who"])]]


def one_per_study(es, least=False):
    keep = is_used(es, least)
    return es if keep.all() else es.select(keep, "another result of the same study")


def is_used(es, least=False):
    """Return which effect of each study is used: main rows before doubtful ones, then points, the latest.

    `least`: the one with the smallest upper end instead: the least favourable result, doubtful or not.
    """
    bounded = isinstance(es, mx.BoundedEffectSizes)
    exact, upper = (es.is_exact, es.upper) if bounded else (np.ones(es.k, dtype=bool), es.y)
    times = es.column("timepoint") if "timepoint" in es.data else [None] * es.k
    days = np.nan_to_num([evidence.days_after(words) for words in times], nan=-np.inf)
    rank = upper if least else list(zip(es.column("use") == "doubtful", ~exact, -days, strict=True))
    first = {}
    for i in sorted(range(es.k), key=lambda i: rank[i]):  # among equals in the order of the sheet
        first.setdefault(es.study[i], i)
    return np.isin(np.arange(es.k), list(first.values()))


# -- models -------------------------------------------------------------------------------------------------


def pooled_table(asked, unused, before, paths):
    """Return the pooled effect of each field by each kind of evidence, with and without doubtful rows.

    `rests_on`: the studies without any of which it no longer says the same. `undecided`: the share of
    defensible analyses that do not exclude no effect.
    """
    rows = {}
    for group, whole in asked.items():
        lost = set(unused[group]["study"]) - set(whole.study)
        more = {"unusable": len(lost), "before_after": before[group].m}
        if group in paths:
            more["undecided"] = Counter(paths[group].conclusion)["neither"] / paths[group].distinct
        firm = whole.select((whole.column("use") != "doubtful").to_numpy(), "doubtful by the sheet")
        for which, es in ((ALL, whole), (FIRM, firm)):
            one = one_per_study(es)
            more |= {
                f"{by}_known": (one.column(by) != "Not reported").sum() for by in ("source", "isolation")
            }
            main = partial(censored, lean=which == ALL)
            found = {CENSORED: record(one, main), EXACT: record(exact_of(one), alone)}
            if np.isfinite(found[CENSORED]["estimate"]):
                found[LEAST] = record(one_per_study(es, least=True), censored)
            if 1 < one.is_exact.sum() < es.is_exact.sum():
                found[EVERY] = record(exact_of(es), multilevel)
            rows |= {(*group, which, kind): numbers | more for kind, numbers in found.items()}
    return pd.DataFrame(rows.values(), pd.MultiIndex.from_tuples(rows, names=KEYS))


def exact_of(es):
    return es.select(es.is_exact, "a bound")


def record(es, model):
    """Return what is known and the numbers of a model of it; where there is no estimate, the reason."""
    counts = Counter(mx.models.kinds_of(es))
    found = {"k": es.k, "m": es.m, "rests_on": ""} | {name: counts[kind] for name, kind in KINDS.items()}
    try:
        return found | dict.fromkeys(NUMBERS, np.nan) | model(es) | {"note": ""}
    except errors.MetaexoError as error:
        return found | dict.fromkeys(NUMBERS, np.nan) | {"note": error.given}


def censored(es, lean=False):
    """Return the numbers of the model of exact and censored effects; `lean`: also what it rests on."""
    fit = mx.CensoredRandomEffects(es).fit("REML", TEST)
    return numbers_of(fit) | ({"rests_on": rests_on(fit)} if lean else {})


def rests_on(fit):
    """Return the studies without any one of which the interval no longer says what it says."""
    pooled = fit.pooled()
    if pooled.low <= 0 <= pooled.high:
        return ""
    without = mx.sensitivity.leave_one_out(fit).to_frame()
    if pooled.low > 0:
        return ", ".join(without.index[~(without["low"] > 0)])
    return ", ".join(without.index[~(without["high"] < 0)])


def alone(es):
    """Return the numbers of the usual model of exact effects; a single one as it is."""
    if es.k == 1:
        half = stats.norm.ppf(0.975) * np.sqrt(es.v_lower[0])
        return {"estimate": es.lower[0], "low": es.lower[0] - half, "high": es.lower[0] + half}
    return numbers_of(mx.RandomEffects(es.exact).fit("REML", TEST))


def multilevel(es):
    """Return the numbers of all exact effects, with errors on the same people or animals correlated."""
    terms = mx.identifiable_terms(es.exact, ["study/effect"])
    if "study" in terms.refused:
        raise errors.NotIdentifiableError(terms.refused["study"], "more studies")
    blocks = mx.covariance_blocks(es.exact.v, evidence.same_subjects(es), correlation=WITHIN)
    return numbers_of(mx.Multilevel(es.exact, terms.random, V=blocks).fit(test="t-containment"))


def numbers_of(fit):
    spread, pooled = fit.heterogeneity(), fit.pooled()
    ends = {f"tau2_{end}": spread[end].iloc[0] if len(spread) == 1 else np.nan for end in ("low", "high")}
    numbers = {"tau2": fit.tau2, "i2": fit.i2, "effective": getattr(fit, "effective", fit.k)}
    return {name: getattr(pooled, name) for name in POOLED} | ends | numbers


# -- other analyses that could be defended ------------------------------------------------------------------


def other_analyses(sheets):
    """Return all defensible analyses of the two main groups; the first options are those of the main one."""
    known = {correlation: effects(sheets, correlation=correlation) for correlation in BOTH_SIDES}

    def skin(assumed_correlation, results_in_words):
        parts = known[assumed_correlation]
        return sized(of_field(parts if results_in_words else parts[:1], *MAIN[PATIENTS]))

    def wounds(measure):
        if measure == "SMD":
            return sized(of_field(known[BOTH_SIDES[0]], *MAIN[ANIMALS]))
        es = sheets.effects(measure, f"{CONTROLLED} and use != 'apart'")
        return es.select(belongs(es.data, *MAIN[ANIMALS]), "not wounds in animals")

    by_hand = {
        "assumed_correlation": BOTH_SIDES,
        "results_in_words": {"used": True, "left out": False},
        "design": {"any": every, "randomised": randomised},
    }
    in_animals = {"measure": ["SMD", "SMDH", "ROM"], "outcomes": {"all": every, "wound closure": closure}}
    usual = {
        "include": {ALL: None, FIRM: "use != 'doubtful'"},
        "results": {"one per study": one_per_study, "least favourable": partial(one_per_study, least=True)},
        "censored": ["keep", "drop"],
        "method": ["REML", "DL", "PM"],
        "test": [TEST, "knapp-hartung", "z"],
    }
    likelihood = "censored == 'keep' and method != 'REML'"  # by which censored effects are fitted
    thresholds = "censored == 'drop' and results_in_words == 'used'"  # which words are
    bounds = "censored == 'keep' and measure != 'SMD'"  # which only g has
    return {
        MAIN[PATIENTS]: mx.sensitivity.multiverse(skin, by_hand | usual, unless=[likelihood, thresholds]),
        MAIN[ANIMALS]: mx.sensitivity.multiverse(wounds, in_animals | usual, unless=[likelihood, bounds]),
    }


def every(es):
    return es


def randomised(es):
    return es.select(es.column("design").fillna("").str.startswith("rct").to_numpy(), "not randomised")


def closure(es):
    return es.select((es.column("outcome_family").isin(CLOSURE)).to_numpy(), "not wound closure")


# -- what would settle it -----------------------------------------------------------------------------------


def settle(table):
    """Return how many studies would be needed, by what they assume of the between-study variance.

    It is the estimate or an end of its 95% interval, without or with doubtful rows.
    """
    plans = []
    for (name, who), rows, end in product(MAIN.values(), (FIRM, ALL), ENDS):
        n, tau2 = PER_GROUP[who], table.loc[(name, who, rows, CENSORED), end]
        variance = tau2 + 2 / n + EFFECT**2 / (4 * n)  # of g between two groups of n
        needed = {"for_a_mean": studies(variance), "per_stratum": studies(variance, strata=2)}
        about = {"field": name, "who": who, "rows": rows, "assumed": ENDS[end], "tau2": tau2, "per_group": n}
        plans.append(about | needed | {"difference": EFFECT, "power": POWER})
    return pd.DataFrame(plans)


def studies(variance, strata=1):
    """Return how many studies (per stratum) a t test needs; NaN where the variance of effects is unknown."""

    def power(k):
        df, noncentral = strata * (k - 1), EFFECT / np.sqrt(strata * variance / k)
        return stats.nct.sf(stats.t.ppf(0.975, df), df, noncentral)

    if not np.isfinite(variance):
        return np.nan
    return 2 + bisect_left(range(2, 3 + int(100 * variance / EFFECT**2)), POWER, key=power)


def two_plans(plans, group):
    """Return the plan without doubtful rows, and that with them or, if it is the same, at the upper end."""
    first, *others = (
        plans.loc[(*group, rows, ENDS[end])]
        for rows, end in ((FIRM, "tau2"), (ALL, "tau2"), (ALL, "tau2_high"))
    )
    return first, next((one for one in others if one["for_a_mean"] != first["for_a_mean"]), others[-1])


# -- figures and words --------------------------------------------------------------------------------------


def forest(table, group, es, title):
    """Return the forest plot of all that is known, with the pooled effect where there is one."""
    shown = one_per_study(es)
    shown = shown.with_labels(shown.study)
    if np.isfinite(table.loc[(*group, ALL, CENSORED), "estimate"]):
        shown = mx.CensoredRandomEffects(shown).fit("REML", TEST)
    columns = [mx.plots.Column("what", "Outcome", letters=30), "source"]
    notes = [f"{words[0].upper()}{words[1:]}." for words in without_doubtful(table, group)]
    looks = {"remark": "use", "wording": {"main": ""}, "order": "estimate", "font_size": 7.0}
    return mx.plots.forest(shown, columns=columns, notes=notes, title=title, **looks)


def say(analysis, table, asked, paths):
    """Say the answer, what is known of the other fields, what would settle it, and the detail."""
    decided = [group for group in GROUPS if verdict(best(table, group)) in ("benefit", "harm")]
    decided = decided or [MAIN[PATIENTS]]
    row, first = best(table, decided[0]), decided[0]
    size = {"k": 0, "m": 0} if row is None else {"k": int(row["k"]), "m": int(row["m"])}
    sure = how_certain(row, best(table, first, FIRM), asked[first])
    reasons = [*sure.reasons, *["other defensible analyses do not decide"][: len(doubts(table, first))]]
    about = {"certainty": sure, "reasons": "; ".join(reasons), "units": "studies", "table": "pooled"}
    analysis.answer(answer_in_words(table, decided), **size, **about, row=rows_of(decided))
    fields = [name for name in FIELDS if name not in dict(decided)]
    if fields:
        groups = [group for group in GROUPS if group[0] in fields]
        words = ". ".join(field_in_short(table, name) for name in fields)
        analysis.state(f"{words}.", table="pooled", row=rows_of(groups))
    plans = analysis.tables["settle"].set_index(PLAN)
    behind = [
        dict(zip(PLAN, one.name, strict=True)) for group in MAIN.values() for one in two_plans(plans, group)
    ]
    analysis.state(settle_in_words(plans), table="settle", row=behind, part="settle", defined=[EFFECT, POWER])

    lines = [
        f"{name.capitalize()}: {'; '.join(clause(table, (name, who)) for who in DOMAINS)}." for name in FIELDS
    ]
    analysis.write_summary("\n".join(f"- {words}" for words in lines))
    analysis.write_summary(" ".join(paths_in_words(table, group, found) for group, found in paths.items()))
    analysis.write_summary(one_mean_in_words(asked, first))
    analysis.write_summary(
        f"{further_plans(table, plans)} The model assumes that a paper prints a number or only a threshold "
        "by the significance of the effect, not by its size; "
        f"`{analysis.file_name('unused')}` has what gives nothing."
    )


def best(table, group, rows=ALL):
    """Return the main row: all that is known, or the exact effects alone where that has no estimate."""
    found = table.loc[[(*group, rows, kind) for kind in (CENSORED, EXACT)]].dropna(subset="estimate")
    return found.iloc[0] if len(found) else None


def verdict(row):
    """Return what a pooled effect says; nothing where there is none, or one study."""
    if row is None or row["k"] < 2 or not np.isfinite(row["estimate"]):
        return ""
    return "benefit" if row["low"] > 0 else "harm" if row["high"] < 0 else "neither"


def rows_of(groups):
    """Return what selects the rows that a sentence on these fields rests on."""
    found = product(groups, (ALL, FIRM), (CENSORED, EXACT))
    return [dict(zip(KEYS, (*group, rows, kind), strict=True)) for group, rows, kind in found]


def effect(row, name=""):
    return f"{name}{number(row['estimate'])} (95% CI {interval(row['low'], row['high'])})"


def pooled_in_words(row):
    ends = interval(row["prediction_low"], row["prediction_high"])
    many = plural(row["k"], "study", "studies")
    return f"{effect(row, 'g ')}, prediction interval {ends}, {many} ({counted(row)})"


def counted(row, but=""):
    return ", ".join(plural(row[kind], words) for kind, words in COUNTED.items() if row[kind] and kind != but)


def listed(words, last):
    """Return words as a list in a sentence."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def doubts(table, group):
    """Return, in words, which other analyses do not find the effect that the main analysis finds."""
    main = best(table, group)
    if verdict(main) not in ("benefit", "harm"):
        return []
    others = {
        words: (*group, rows, kind) for rows, kind, words in OTHERS if (*group, rows, kind) in table.index
    }
    found = {words: table.loc[key] for words, key in others.items()}
    said = [words for words, row in found.items() if verdict(row) not in ("", verdict(main))]
    if main["rests_on"]:
        said.append(f"the analysis without {main['rests_on']}")
    return said + ([f"{percent(main['undecided'])} of defensible analyses"] if main["undecided"] > 0 else [])


def answer_in_words(table, groups):
    """Return the answer: what the main analysis of a field finds, what does not, and what is open."""
    told, unknown = [], []
    for group in groups:
        row, other = best(table, group), doubts(table, group)
        numbers = f" ({effect(row, 'g ').replace(' (', ', ')}" if verdict(row) else ""
        but = f", but {listed(other, 'and')} {'do' if len(other) > 1 else 'does'} not exclude no effect"
        told.append(f"for {' in '.join(group)} {VERDICTS[verdict(row)]}{numbers}{but if other else ''}")
    for name in FIELDS:
        known = [who for who in DOMAINS if table.loc[(name, who, ALL, CENSORED), ["k", "unusable"]].sum()]
        left = [who for who in known if verdict(best(table, (name, who))) not in ("benefit", "harm")]
        unknown += [name] if left == known else [f"{name} in {who}" for who in left]
    are = "are" if len(unknown) > 1 else "is"
    words = "; ".join([*told, f"{listed(unknown, 'and')} {are} open"] if unknown else told)
    return f"{words[0].upper()}{words[1:]}."


def field_in_short(table, name):
    """Return what is known of a field in a few words."""
    parts = []
    for who in DOMAINS:
        row, whole = best(table, (name, who)), table.loc[(name, who, ALL, CENSORED)]
        if verdict(row):
            parts.append(f"{who} {effect(row, 'g ')}")
        elif row is not None:
            doubtful = "" if best(table, (name, who), FIRM) is not None else " (doubtful)"
            parts.append(f"{who} one exact effect, g {number(row['estimate'])}{doubtful}")
        elif whole["k"]:
            parts.append(f"{who} {plural(whole['k'], 'result')}, none with a size")
    return f"{name.capitalize()}: {'; '.join(parts) or 'no controlled result'}"


def clause(table, group):
    """Return all that is known of a field in patients or in animals."""
    row, whole, points = best(table, group), *(table.loc[(*group, ALL, kind)] for kind in (CENSORED, EXACT))
    more = without_doubtful(table, group)
    if verdict(row):
        told = f"{VERDICTS[verdict(row)]}, {pooled_in_words(row)}"
        if row["k"] > points["k"] and np.isfinite(points["estimate"]):
            more.append(f"exact effects alone {effect(points)}")
    elif row is not None:
        told = f"one exact effect, {effect(row, 'g ')}"
        more += [f"beside it {counted(whole, but='exact')}"] if whole["k"] > 1 else []
    else:
        told = f"nothing to pool ({counted(whole)})" if whole["k"] else "no controlled result to pool"
    if whole["unusable"]:
        more.append(f"{plural(whole['unusable'], 'more study', 'more studies')} without a usable size")
    if whole["before_after"]:
        more.append(f"{whole['before_after']} without a control (before and after) not pooled")
    return ", ".join([f"in {group[1]} {told}", *more])


def without_doubtful(table, group):
    """Return the main number without doubtful rows, in words, where it is another one."""
    row, kept = best(table, group), best(table, group, FIRM)
    if row is None or (kept is not None and kept["estimate"] == row["estimate"]):
        return []
    if kept is None:
        return ["doubtful by the sheet" if row["k"] == 1 else "without doubtful rows nothing to pool"]
    return [f"without doubtful rows {effect(kept)} of {plural(kept['k'], 'study', 'studies')}"]


def how_certain(row, kept, es):
    """Return the certainty of the answer by the rules of GRADE."""
    found = {"m": 1, "decides": False}
    if verdict(row):
        ends = [row["prediction_low"], row["prediction_high"]]
        found = {"m": row["m"], "decides": verdict(row) != "neither", "i2": row["i2"], "prediction": ends}
    design = "randomised" if 0 < es.m == randomised(es).m else "observational"
    holds = verdict(row) == verdict(kept)
    return report.certainty(design=design, units="studies", holds_without_doubtful=holds, **found)


def settle_in_words(plans):
    """Return how many studies would show a mean effect, by what is assumed of the heterogeneity."""
    told, said = [], "tau2 is "
    for group in MAIN.values():
        first, other = (
            (number(one["for_a_mean"], 0), number(one["tau2"])) for one in two_plans(plans, group)
        )
        both = f"{first[0]} if {said}{first[1]}, {other[0]} if {other[1]}"
        told.append(f"{' in '.join(group)} ({PER_GROUP[group[1]]} per group) {both}")
        said = ""
    return f"Studies to find g = {EFFECT:g} (power {percent(POWER)}): {'; '.join(told)}."


def further_plans(table, plans):
    """Return what differences by source or method would take, and where the two variances come from."""
    rows = [table.loc[(*group, ALL, CENSORED)] for group in MAIN.values()]
    source, method = (
        " and ".join(f"{row[column]} of {row['m']}" for row in rows)
        for column in ("source_known", "isolation_known")
    )
    each = []
    for group in MAIN.values():
        needed = (number(one["per_stratum"], 0) for one in two_plans(plans, group))
        each.append(f"{' in '.join(group)} {' or '.join(needed)}")
    return (
        f"Studies of each source or isolation method to find a difference of {EFFECT:g}: {', '.join(each)}; "
        f"{source} name the source, {method} the method. The first tau2 is "
        "without doubtful rows, the second with them or, if the same, the upper end of its 95% interval."
    )


def paths_in_words(table, group, paths):
    """Return what other defensible analyses of a field come to, and what the least favourable results do."""
    counts, moved = Counter(paths.conclusion), paths.importance().iloc[0]
    above, below = (percent(counts[name] / paths.distinct) for name in ("benefit", "harm"))
    other = f", in {below} below it" if counts["harm"] else ""
    lost = ", ".join(option for _, option, _ in paths.without_paths())
    lost = f" (not possible: {lost})" if lost else ""
    least = ""
    if (*group, ALL, LEAST) in table.index:
        numbers = effect(table.loc[(*group, ALL, LEAST)], "g ")
        least = f"; the least favourable result of each study gives {numbers}"
    return (
        f"In {above} of {paths.distinct} defensible analyses of {' in '.join(group)} the 95% CI lies above "
        f"no effect{other}{lost}; most depends on the {moved['choice'].replace('_', ' ')} "
        f"({percent(moved['share'])} of the variance){least}."
    )


def one_mean_in_words(asked, group):
    """Return over how many outcomes the mean of a field is, and how many of its studies are in another."""
    used, (field, who) = one_per_study(asked[group]), group
    also = {name: len({*used.study} & {*asked[name, who].study}) for name in FIELDS if name != field}
    shared = listed([f"{count} also under {name}" for name, count in also.items() if count], "and")
    outcomes = plural(used.column("what").nunique(), "outcome")
    return (
        f"The mean of {field} in {who} is over {outcomes}; of several results in words the first of each "
        f"study is used{f'; of its {used.m} studies {shared}' if shared else ''}."
    )


if __name__ == "__main__":
    report.run_alone(main)
