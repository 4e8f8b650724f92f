"""
Do isolation methods differ?
============================

Between laboratories: the miRNA cargo of vesicles from plasma or serum by the step of the isolation that
decides, with laboratories as the units. It is observational: kits, sequencer, donors and disease go with the
laboratory. Within laboratories: preparations of blood by several methods, whose samples are not known to be
the same. Both are shown as ratios, side by side if both are known; contrasts are pooled only if two
laboratories compare the same methods on the same outcome. p-values are by Holm over the outcomes.
"""

import math
import re
import warnings

import numpy as np
import pandas as pd
from scipy import stats

import metaexo as mx
from metaexo import errors, evidence, report
from metaexo.formatting import interval, number, p_value, plural
from metaexo.plots import Chart, ChartAxis, Intervals, Panel, Points, Rule

STEP, LAB, WIDE = "isolation_step", "laboratory", "laboratory_wide"
SEC, OTHERS = "Size exclusion", "other methods"
SIDES = ["treatment_isolation_step", "control_isolation_step"]
MAIN, EVERY, POOLED = "without doubtful rows", "all", "without doubtful rows, pooled SD for groups of one"
FIRST, REDCELL = "ln_effective_mirnas", "log10_redcell_share"
BASES = {"ln": np.e, "log10": 10.0, "log2": 2.0}
UNITS = {"groups of samples": None, "projects": "study", "laboratories": LAB}
BETWEEN, WITHIN, JOINED = "between laboratories", "within one laboratory", "pooled within laboratories"
PERMUTATIONS, SEED, ALPHA = {MAIN: 199, EVERY: 199, POOLED: 19}, 23, 0.05  # of the last, only the robust test
SPREAD = ["smallest_holm", "largest_holm"]
TESTS = ["p", "p_without", "p_permutation", "p_permutation_without"]
SOUGHT, POWER = 1.5, 0.8  # the ratio that a comparison of laboratories is to find, and with what probability
QUIET = [
    getattr(errors, f"{name}Warning")
    for name in ("DependentEffects", "FewStudies", "Assumption", "VarianceRatio")
]
LOOK = {"legend": "below", "width": 7.0, "height": 4.4, "theme": mx.plots.THEMES["metaexo"]}


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)
    with warnings.catch_warnings():
        for kind in QUIET:
            warnings.simplefilter("ignore", kind)
        sets = cargo(sheets.cargo_groups)
        strata = {key: mx.stratify(es, by=STEP, cluster=LAB) for key, es in sets.items()}
        between = adjusted(pd.DataFrame([between_row(*key, fit) for key, fit in strata.items()]))
        units = pd.concat([unit_rows(sets[FIRST, MAIN]), turned(sheets)], ignore_index=True)
        contrasts = pd.concat(
            [evidence.ratios_on_one_material(sheets.method_contrasts), from_ratios(sheets)], ignore_index=True
        )
        means = pd.concat([means_of(*key, fit) for key, fit in strata.items()])
    pairs = side_by_side(contrasts, {outcome: fit for (outcome, rows), fit in strata.items() if rows == MAIN})
    one, inside = preparations(sheets.method_contrasts, between["outcome"].unique())
    verdict = verdict_of(sheets, sets[FIRST, MAIN], between, inside, pairs)
    tables = {"between": between, "methods": means, "units": units, "pairs": pairs, "one_material": one,
              "preparations": inside, "verdict": verdict}  # fmt: skip
    for name, table in tables.items():
        analysis.write_table(name, table)
    title = "Size exclusion against other methods in plasma or serum: effective number of miRNAs"
    analysis.write_figure("units", trap(strata[FIRST, MAIN], units, title).draw(), title=title)
    title = "Two isolation methods compared within one laboratory and between laboratories, plasma or serum"
    analysis.write_figure("pairs", both_kinds(pairs, title).draw(), title=title)
    say(analysis, verdict.iloc[0], between, inside, units, pairs)


# -- between laboratories ------------------------------------------------------------------------------------


def cargo(rows):
    """Return groups of plasma or serum with a known step, by outcome and choice of rows.

    Groups of one sample, or with an SD of 0, have no sampling variance of their own and are left out; the
    last choice of rows takes the SD that is pooled over the groups of the outcome instead.
    """
    rows = rows[rows["source_kind"].isin(["Plasma", "Serum"]) & (rows[STEP] != "Not reported")]
    rows = rows[rows["use"] != "apart"]
    pooled = mx.effects.pooled_sd(rows["treatment_sd"], rows["treatment_n"], rows["outcome"].tolist())
    own = (rows["treatment_n"] > 1) & (rows["treatment_sd"] > 0)
    rows = rows.assign(sd=rows["treatment_sd"].where(own, rows["outcome"].map(pooled)))
    chosen = {MAIN: own & (rows["use"] == "main"), EVERY: own, POOLED: rows["use"] == "main"}
    found = {}
    for name, kept in chosen.items():
        for outcome, part in rows[kept].groupby("outcome", sort=False):
            data = part.reset_index(drop=True)
            v, studies = data["sd"] ** 2 / data["treatment_n"], data["study_id"].tolist()
            found[outcome, name] = mx.EffectSizes(data["treatment_mean"], v, "MN", study=studies, data=data)
    return found


def between_row(outcome, rows, fit):
    """Return all tests between methods of one outcome, and the test with sequencing depth in the model."""
    tests, es = fit.between_tests(seed=SEED, permutations=PERMUTATIONS[rows]), compared(fit)
    name = plain(es.column("outcome_label").iloc[0])
    row = {"outcome": outcome, "outcome_label": name, "rows": rows, "groups": es.k}
    row |= {"laboratories": es.column(LAB).nunique(), "methods": len(fit.compared)}
    row |= {"left_out": ", ".join(tests.formula_without.left_out) or "none", "f": tests.formula.statistic}
    row |= dict(zip(("df1", "df2"), tests.formula.df, strict=True))
    row |= dict(zip(TESTS, (test.pvalue for test in tests), strict=True))
    if rows == POOLED:
        row |= dict.fromkeys(TESTS[2:], np.nan)
    if rows == MAIN:
        model = mx.RandomEffects(es, f"{STEP} + ln_total_counts", dependence="accept").fit().robust(LAB)
        row["p_with_depth"] = model.test_terms()[STEP].pvalue
    return row


def plain(label):
    """Return the name of an outcome without its scale."""
    return re.sub(r", (ln|log2 CPM|log10 share)$", "", label)


def adjusted(between):
    """Add p-values by Holm over the outcomes."""
    for name in [*TESTS, "p_with_depth"]:
        p = between.groupby("rows", sort=False)[name]
        holm = p.transform(lambda p: mx.models.adjust_pvalues(p, "holm") if p.notna().all() else p)
        between[name.replace("p_", "holm_") if "_" in name else "holm"] = holm
    return between


def compared(fit):
    """Return the effects of the strata that are compared: methods of one laboratory are in no test."""
    rows = np.sort(np.concatenate([s.rows for s in fit.compared]))
    return fit.effects.select(rows, "method of one laboratory")


def means_of(outcome, rows, fit):
    frame = fit.to_frame().assign(outcome=outcome, rows=rows)
    frame["laboratories"] = [fit.clusters_in(s) for s in fit.strata] + [fit.effects.column(LAB).nunique()]
    frame = frame.rename(columns={"stratum": "method", "k": "groups"})
    columns = [
        "outcome",
        "rows",
        "method",
        "groups",
        "laboratories",
        "estimate",
        "low",
        "high",
        "tau",
        "note",
    ]
    return frame[columns]


def unit_rows(es):
    """Return size exclusion against the others by what counts as independent, and without laboratories."""
    known = [s.name for s in mx.stratify(es, by=STEP, cluster=LAB).compared]
    es = es.with_columns(side=[SEC if step == SEC else OTHERS for step in es.column(STEP)])
    rows = [difference(es, unit, cluster, "none", known) for unit, cluster in UNITS.items()]
    for lab in es.column(WIDE)[(es.column(STEP) == SEC).to_numpy()].unique():
        rest = es.select((es.column(WIDE) != lab).to_numpy(), "left out")
        rows.append(difference(rest, "laboratories", LAB, lab.removeprefix("L_"), known))
    table = pd.DataFrame(rows)
    table["left_out"] = table.loc[len(UNITS) - 1, "all"] - table["all"].where(table["without"] != "none")
    return table


def difference(es, unit, cluster, without, known):
    """Return the ratio of size exclusion to the other methods, and the test of all methods, by one unit."""
    fit = mx.stratify(es, by="side", cluster=cluster, order=[OTHERS, SEC])
    found = fit.pairwise(adjust=None).to_frame().iloc[0]
    every = es.select(es.column(STEP).isin(known).to_numpy(), "method of one laboratory")
    name = es.column({None: "line", "study": "study_id"}.get(cluster, cluster))
    row = {"kind": BETWEEN, "unit": unit, "without": without, "all": name.nunique()}
    row["size_exclusion"] = name[(es.column("side") == SEC).to_numpy()].nunique()
    row |= ratios(np.exp(found[["estimate", "low", "high"]].astype(float))) | {"pvalue": found["pvalue"]}
    row |= {"df": found["df"], "p_normal": 2 * stats.norm.sf(abs(found["estimate"] / found["se"]))}
    return row | {"p_all_methods": mx.stratify(every, by=STEP, cluster=cluster).between.pvalue}


def ratios(values):
    return dict(zip(("ratio", "low", "high"), values, strict=True))


# -- within laboratories -------------------------------------------------------------------------------------


def from_ratios(sheets):
    """Return contrasts of sizes, yields and counts as ratios of means, one per row of the sheets."""
    rows = sheets.method_contrasts
    plain = rows.loc[rows["unit"].str.match(r"(?!ln|log)"), "outcome"].unique().tolist()
    where = "contrast == 'method_a_vs_method_b' and use != 'apart'"
    asked = {"assumed_correlation": 0.5, "orient": False}
    found = []
    for es in (
        sheets.effects("ROM", where=where, **asked),
        sheets.effects("ROM", sheet="method_contrasts", where=f"{where} and outcome in {plain}", **asked),
    ):
        names = ["study_name", "outcome_family", "outcome", "outcome_label", "use"]
        table = es.data[names].assign(method_a=es.column(SIDES[0]), method_b=es.column(SIDES[1]))
        ends = np.exp(np.column_stack([es.y, es.conf_int()])).T
        p = 2 * stats.norm.sf(np.abs(es.y) / np.sqrt(es.v))
        found.append(table.assign(**ratios(ends), log_ratio=es.y, se=np.sqrt(es.v), pvalue=p))
    return pd.concat(found)


def turned(sheets):
    """Return size exclusion against the other methods of one laboratory, for each that has both."""
    rows = sheets.method_contrasts.query(f"outcome == '{FIRST}' and use == 'main'")
    rows = rows[(rows[SIDES] == SEC).sum(axis=1) == 1]
    found = []
    for study, part in rows.groupby("study_name", sort=False):
        key = {"kind": WITHIN, "unit": study, "without": "none", "size_exclusion": 1, "all": 1}
        found.append(key | evidence.ratio_of_methods(part, SEC))
    return pd.DataFrame(found).drop(columns=["log_ratio", "se"])


def preparations(contrasts, outcomes):
    """Return tests between preparations of one laboratory, and what they say of miRNAs by laboratory."""
    one, found = evidence.compare_preparations(contrasts), []
    cargo = one[one["outcome"].isin(outcomes) & (one["use"] == "main")]
    for study, tests in cargo.groupby("study_name", sort=False):
        rows = contrasts[(contrasts["study_name"] == study) & contrasts["outcome"].isin(tests["outcome"])]
        n = rows[["treatment_n", "control_n"]].to_numpy()
        holm = mx.models.adjust_pvalues(tests["pvalue"], "holm")
        row = {"laboratory": study, "preparations": tests["preparations"].max()}
        row |= {"material": " or ".join(rows["source_kind"].str.lower().unique()), "n_low": int(n.min())}
        row |= {"n_high": int(n.max()), "same_samples": bool((rows["paired"] == "yes").all())}
        row |= {"outcomes": len(tests), "differ": int((np.asarray(holm) < ALPHA).sum())}
        found.append(row | {"smallest_holm": np.min(holm), "largest_holm": np.max(holm)})
    return one, pd.DataFrame(found)


def side_by_side(contrasts, fits):
    """Return pairs of methods within laboratories, each above the same pair and outcome between laboratories.

    Laboratories that compare the same two methods on the same outcome are pooled.
    """
    found = []
    keys, numbers = (
        ["method_a", "method_b", "outcome", "outcome_label", "use"],
        ["ratio", "low", "high", "pvalue"],
    )
    for names, part in contrasts.groupby(keys, sort=False):
        key, labs = dict(zip(keys, names, strict=True)), part.drop_duplicates("study_name")
        inside = labs.iloc[0][numbers].to_dict()
        if len(labs) > 1:
            fit = mx.RandomEffects(mx.EffectSizes(labs["log_ratio"], labs["se"] ** 2)).fit()
            ends = np.exp([fit.pooled().estimate, fit.pooled().low, fit.pooled().high])
            inside = ratios(ends) | {"pvalue": float(fit.pvalues.iloc[0])}
        kind = WITHIN if len(labs) == 1 else JOINED
        told = {"kind": kind, "laboratories": len(labs), "studies": ", ".join(labs["study_name"])}
        found.append(key | told | inside)
        fit, pair = fits.get(key["outcome"]), {key["method_a"], key["method_b"]}
        if fit is not None and key["use"] == "main" and pair <= {s.name for s in fit.compared}:
            row = fit.contrast({"pair": {key["method_a"]: 1.0, key["method_b"]: -1.0}}).to_frame().iloc[0]
            base = BASES[re.match(r"ln|log10|log2", key["outcome"])[0]]
            labs = {lab for s in fit.compared if s.name in pair for lab in s.effects.column(LAB)}
            told = {"kind": BETWEEN, "laboratories": len(labs), "studies": "", "pvalue": row["pvalue"]}
            found.append(key | told | ratios(base ** row[["estimate", "low", "high"]].astype(float)))
    return pd.DataFrame(found)


def both_ways(pairs):
    """Return pairs that are known within and between laboratories, with logarithms of ratios and widths."""
    keys = ["method_a", "method_b", "outcome"]
    logs = pairs.assign(log=np.log(pairs["ratio"]), wide=np.log(pairs["high"] / pairs["low"]))
    inside = logs[(logs["kind"] != BETWEEN) & (logs["use"] == "main")]
    return inside.merge(logs[logs["kind"] == BETWEEN], on=keys, suffixes=("", "_between"))


def verdict_of(sheets, es, between, inside, pairs):
    """Return in one row what the sentences rest on."""
    main, every = (between[between["rows"] == rows] for rows in (MAIN, EVERY))
    holm = ["holm_without", "holm_permutation_without"]
    papers = sheets.outcomes.query("contrast == 'method_a_vs_method_b' and use != 'apart'")
    bare = papers[papers[["treatment_sd", "control_sd"]].isna().any(axis=1)]
    both, labs = both_ways(pairs), per_laboratory(es)
    squares = labs.groupby("method")["y"].agg(lambda y: ((y - y.mean()) ** 2).sum()).sum()
    spread = np.sqrt(squares / (len(labs) - labs["method"].nunique()))
    row = {
        "groups": main["groups"].max(),
        "laboratories": main["laboratories"].max(),
        "outcomes": len(main),
        "differ_between": int((main[holm] < ALPHA).all(axis=1).sum()),
        "differ_between_with_doubtful": int((every[holm] < ALPHA).all(axis=1).sum()),
        "within": " and ".join(
            f"{differing(row)} in {row['laboratory']}" for row in inside.to_dict("records")
        ),
        "pairs_both_ways": len(both),
        "laboratories_both_ways": both["studies"].nunique(),
        "methods_both_ways": len(both[["method_a", "method_b"]].drop_duplicates()),
        "outcomes_both_ways": both["outcome"].nunique(),
        "same_direction": int((np.sign(both["log"]) == np.sign(both["log_between"])).sum()),
        "times_as_wide": (both["wide_between"] / both["wide"]).median(),
        "pairs_within": int((pairs["kind"] != BETWEEN).sum()),
        "pairs_within_doubtful": int(((pairs["kind"] != BETWEEN) & (pairs["use"] != "main")).sum()),
        "shared_by_two_laboratories": int((pairs["kind"] == JOINED).sum()),
        "sd_between_laboratories": spread,
        "needed_per_method": laboratories_needed(np.log(SOUGHT) / spread),
        "comparisons_in_papers": len(papers),
        "comparisons_without_sd": len(bare),
        "papers_without_sd": bare["study_id"].nunique(),
    }
    return pd.DataFrame([row])


def laboratories_needed(difference):
    """Return how many laboratories per side find a difference, in SDs, by a t test with the stated power."""
    z = stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(POWER)
    n = max(2, math.floor(2 * (z / difference) ** 2))
    while (
        stats.nct.sf(stats.t.ppf(1 - ALPHA / 2, 2 * n - 2), 2 * n - 2, difference * math.sqrt(n / 2)) < POWER
    ):
        n += 1
    return n


def differing(row):
    """Return in how many outcomes the preparations of one laboratory differ."""
    if row["differ"] in (0, row["outcomes"]):
        return "none" if row["differ"] == 0 else f"all {row['outcomes']} outcomes"
    return f"{row['differ']} of {row['outcomes']}"


# -- figures -------------------------------------------------------------------------------------------------


def per_laboratory(es):
    """Return one value per laboratory and method: the mean of its groups."""
    table = pd.DataFrame({"method": es.column(STEP), LAB: es.column(LAB), WIDE: es.column(WIDE), "y": es.y})
    return table.groupby(["method", LAB, WIDE], as_index=False)["y"].mean()


def deciding(units):
    """Return the row without those laboratories of size exclusion that move the ratio most."""
    whole = units[(units["unit"] == "laboratories") & (units["without"] == "none")].iloc[0]
    rest = units[units["without"] != "none"]
    return rest.loc[(np.log(rest["ratio"]) - np.log(whole["ratio"])).abs().idxmax()]


def trap(fit, units, title):
    """Return methods with a point per laboratory, and size exclusion by what counts as independent."""
    shown = sorted(fit.compared, key=lambda s: s.name != SEC)
    place = {s.name: i for i, s in enumerate(shown)}
    labs = per_laboratory(compared(fit)).sort_values("method", key=lambda names: names.map(place))
    several = labs[LAB].isin(units["unit"].radd("L_")) & (labs.groupby(LAB)["y"].transform("size") > 1)
    made = (labs["method"] == SEC) & ~several & (labs[WIDE] == f"L_{deciding(units)['without']}")

    def marks(rows, shift, name, color, shape, apart=0.0, **look):
        nth = rows.groupby("method").cumcount()
        at = [place[method] + shift + apart * i for method, i in zip(rows["method"], nth, strict=True)]
        told = {"labels": rows[LAB].tolist(), "name": name, "color": color, "shape": shape}
        return Points(x=np.exp(rows["y"]).tolist(), y=at, **told, **look)

    ends = np.exp([[s.pooled.estimate, s.pooled.low, s.pooled.high] for s in shown]).T.tolist()
    at, ink = list(place.values()), {"color": "ink", "labels": list(place)}
    layers = [
        Intervals(at=at, low=ends[1], high=ends[2], width=1.4, **ink),
        marks(labs[~several & ~made], 0.2, "a laboratory", "grey", "circle", hollow=True, size=4.0),
        marks(
            labs[made], 0.16, f"{made.sum()} related laboratories that decide", 1, "triangle", 0.13, size=6.0
        ),
        marks(labs[several], 0.41, "a laboratory with several methods", 3, "square", 0.13, size=5.0),
        Points(x=ends[0], y=at, name="pooled over laboratories, 95% CI", shape="diamond", size=6.5, **ink),
    ]
    ticks = [(float(i), f"{name} ({fit.clusters_in(fit[name])})") for name, i in place.items()]
    left = panel("Methods (laboratories)", "Effective number of miRNAs", ticks, layers)
    notes = [
        "Right: size exclusion against all others, with p. Between laboratories it is observational.",
        "Left, and in the answer: without methods that a single laboratory has, which the right includes.",
    ]
    return Chart(panels=(left, by_unit(units, int(made.sum()))), across=2, title=title, notes=notes, **LOOK)


def panel(heading, label, ticks, layers):
    """Return a panel on a log scale with a row per tick."""
    y = ChartAxis(ticks=ticks, limits=(-0.6, len(ticks) - 0.4), inverted=True)
    return Panel(heading=heading, x=ChartAxis(label=label, scale="log"), y=y, layers=layers)


def by_unit(units, made):
    """Return size exclusion over the other methods by what counts as independent."""
    whole = units[units["without"] == "none"]
    rows = [*whole[whole["kind"] == BETWEEN].to_dict("records"), deciding(units).to_dict()]
    ticks, layers = [], [Rule(at=1.0)]
    for i, row in enumerate([*rows, *whole[whole["kind"] == WITHIN].to_dict("records")]):
        inside, out = row["kind"] == WITHIN, row["without"] != "none"
        words = f"without {made} of them" if out else f"{row['all']} {row['unit']}"
        words = f"within {row['unit']}" if inside else words
        ticks.append((float(i), f"{words}\n{p_value(row['pvalue'])}"))
        look = {"labels": [words], "color": 3 if inside else "study"}
        shape = "square" if inside else "circle"
        layers.append(Intervals(at=[i], low=[row["low"]], high=[row["high"]], width=1.4, **look))
        layers.append(Points(x=[row["ratio"]], y=[i], size=6.0, shape=shape, hollow=out, **look))
    return panel("Size exclusion / other methods", "Ratio", ticks, layers)


def both_kinds(pairs, title):
    """Return pairs of methods that are known within and between laboratories, each outcome in a panel."""
    both = both_ways(pairs)
    outcomes = both.drop_duplicates("outcome").set_index("outcome")["outcome_label"].map(plain)
    names = list(dict.fromkeys(zip(both["method_a"], both["method_b"], strict=True)))
    kinds = {
        "within one laboratory": ("", 3, "square", -0.16),
        "between laboratories (observational)": ("_between", "study", "circle", 0.16),
    }
    panels = []
    for outcome, heading in outcomes.items():
        part, layers = both[both["outcome"] == outcome], [Rule(at=1.0)]
        places = [names.index(pair) for pair in zip(part["method_a"], part["method_b"], strict=True)]
        for name, (which, color, shape, shift) in kinds.items():
            at = [place + shift for place in places]
            x, low, high = (part[f"{column}{which}"].tolist() for column in ("ratio", "low", "high"))
            layers.append(Intervals(at=at, low=low, high=high, color=color, width=1.3))
            layers.append(Points(x=x, y=at, name=name, color=color, shape=shape, size=4.5))
        words = [f"{a}\n/ {b.lower()}" if len(panels) % 3 == 0 else "" for a, b in names]
        panels.append(panel(heading, "Ratio", [(float(i), one) for i, one in enumerate(words)], layers))
    notes = ["Lines: 95% CI. Laboratories that compare methods themselves are also among the others."]
    look = LOOK | {"height": 3.9 * math.ceil(len(panels) / 3) + 0.5}
    return Chart(panels=tuple(panels), across=3, title=title, notes=notes, **look)


# -- words ---------------------------------------------------------------------------------------------------


def say(analysis, verdict, between, inside, units, pairs):
    settled = verdict["differ_between"] > 0
    rated = report.certainty(
        design="observational",
        m=int(verdict["laboratories"]),
        decides=settled,
        holds_without_doubtful=(verdict["differ_between_with_doubtful"] > 0) == settled,
    )
    reasons = "; ".join([*rated.reasons, f"within laboratories: {samples_words(inside)}"])
    analysis.answer(
        answer_words(verdict), k=int(verdict["groups"]), m=int(verdict["laboratories"]), units="laboratories",
        certainty=rated, table="verdict", figure="units", reasons=reasons,
    )  # fmt: skip
    rows = [{"unit": unit, "without": "none"} for unit in UNITS]
    rows += [{"unit": unit, "without": "none"} for unit in units.loc[units["kind"] == WITHIN, "unit"]]
    rows += [{"unit": "laboratories", "without": deciding(units)["without"]}]
    analysis.state(trap_words(units), table="units", row=rows)
    analysis.state(settle_words(verdict), table="verdict", part="settle", defined=[SOUGHT, 100 * POWER])
    details = [within_words(inside), test_words(between), unit_words(units), agree_words(verdict)]
    details += [
        pairs_words(verdict),
        contrast_words(pairs, analysis.file_name("pairs")),
        papers_words(verdict),
    ]
    for words in details:
        analysis.write_summary(words)


def answer_words(v):
    """Return the answer: between laboratories, and within each that has several preparations."""
    where = "miRNA outcomes of plasma or serum (observational)"
    within = f"preparations of blood within one laboratory differ in {v['within']}"
    if v["differ_between"]:
        found = f"isolation methods differ in {v['differ_between']} of {v['outcomes']} {where}"
        return f"In part: between {v['laboratories']} laboratories {found}; {within}."
    none = f"no isolation method is shown to differ from another in any of {v['outcomes']} {where}"
    return f"Not shown: between {v['laboratories']} laboratories {none}; {within}."


def n_words(low, high):
    return f"{low}" if low == high else f"{low} to {high}"


def samples_words(inside):
    """Return how many samples the preparations of each laboratory have, and whether they are the same."""
    n = " and ".join(n_words(row.n_low, row.n_high) for row in inside.itertuples())
    same = "of the same samples" if inside["same_samples"].all() else "not known to be of the same samples"
    return f"one laboratory each, n {n}, {same}"


def within_words(inside):
    """Return for each laboratory what its preparations are, and in how many outcomes they differ."""
    lines = [
        f"- {row['laboratory']}: {row['preparations']} preparations of {row['material']} "
        f"(n {n_words(row['n_low'], row['n_high'])}; "
        + ("the same samples" if row["same_samples"] else "whether of the same samples is not stated")
        + f") differ in {row['differ']} of {row['outcomes']} outcomes (p by Holm {spread_of(row)})."
        for row in inside.to_dict("records")
    ]
    return "Preparations within one laboratory, by Welch's test:\n\n" + "\n".join(lines)


def spread_of(row):
    ends = [p_value(row[name]).removeprefix("p = ").removeprefix("p ") for name in SPREAD]
    return " to ".join(dict.fromkeys(ends))


def trap_words(units):
    """Return the same comparison by three units, without the laboratories that decide, and within others."""
    whole = units[units["without"] == "none"].set_index("unit")
    inside = units[units["kind"] == WITHIN]
    ps = [p_value(whole.loc[unit, "pvalue"]).removeprefix("p = ") + f" by {unit}" for unit in UNITS]
    within = " and ".join(f"{number(row.ratio)} within {row.unit}" for row in inside.itertuples())
    out, ratio = deciding(units), number(whole.loc["laboratories", "ratio"])
    left_out = plural(int(out["left_out"]), "laboratory", "laboratories")
    return (
        f"Size exclusion has {ratio} times the effective number of miRNAs of others, p = {', '.join(ps)}; "
        f"{number(out['ratio'])} without {left_out}; {within}."
    )


def unit_words(units):
    """Return intervals of the comparison within laboratories, and what the smallest p-value is of."""
    first = units[(units["unit"] == next(iter(UNITS))) & (units["without"] == "none")].iloc[0]
    lines = [
        f"{row.unit} {number(row.ratio)} (95% CI {interval(row.low, row.high)})"
        for row in units[units["kind"] == WITHIN].itertuples()
    ]
    return (
        f"Size exclusion against the other methods of one laboratory: {'; '.join(lines)}; one outcome of "
        f"several, unadjusted. With groups of samples as units, {p_value(first['pvalue'])} is by t with "
        f"{number(first['df'], 1)} degrees of freedom ({p_value(first['p_normal'])} by the normal one)."
    )


def agree_words(v):
    """Return how these tests go with likelihood-ratio tests of variance components."""
    if v["differ_between"]:
        return (
            "That methods differ here agrees with a variance of the isolation method in likelihood-ratio "
            "tests of variance components; both are observational."
        )
    return (
        "Likelihood-ratio tests of variance components can find a variance of the isolation method (p < "
        f"{ALPHA:g}) where no method is shown to differ here. On whether methods differ the tests here are "
        "to be believed: they compare plasma and serum only, are adjusted, allow for what groups of one "
        "laboratory share and do not rest on methods of two laboratories. The likelihood-ratio tests join "
        "all materials, take variances from two or three samples as known, and tell method from laboratory "
        "by the few laboratories that used several methods. Neither excludes a small share of the method."
    )


def pairs_words(v):
    labs = plural(int(v["laboratories_both_ways"]), "laboratory", "laboratories")
    wide = f"{number(max(v['times_as_wide'], 1 / v['times_as_wide']), 1)} times "
    wide += "wider" if v["times_as_wide"] > 1 else "narrower"
    return (
        f"Within and between laboratories, {v['same_direction']} of {v['pairs_both_ways']} ratios point the "
        f"same way ({labs}, {v['methods_both_ways']} pairs of methods, {v['outcomes_both_ways']} outcomes): "
        "they share arms and so are no independent votes, and these laboratories are also among those "
        "between which methods are compared. Intervals between laboratories are, as a median on the log "
        f"scale, {wide} than those within."
    )


def settle_words(v):
    shared = v["shared_by_two_laboratories"]
    comparisons = "1 comparison is" if shared == 1 else f"{shared or 'no'} comparisons are"
    return (
        "One material, divided among methods in several laboratories, would separate method from laboratory "
        f"({comparisons} shared by two so far); between laboratories {v['needed_per_method']} per method "
        f"find a ratio of {SOUGHT:g} (power {100 * POWER:.0f}%)."
    )


def test_words(between):
    """Return the range of p of each test, what rests on methods of two laboratories, and depth."""
    main = between[between["rows"] == MAIN]
    lines = [
        f"{row.outcome_label}: {p_value(row.holm)} with all methods, {p_value(row.holm_without)} without "
        f"{row.left_out.lower()}, {p_value(row.holm_permutation)} with all by permutation of laboratories"
        for row in main[(main["holm"] < ALPHA) != (main["holm_without"] < ALPHA)].itertuples()
    ]
    ranges, names = [], {"p_without": "robust", "p_permutation_without": "permutation of laboratories"}
    for rows, part in between.groupby("rows", sort=False):
        known = {word: part[name] for name, word in names.items() if part[name].notna().all()}
        of = [f"{word} {interval(p.min(), p.max())}" for word, p in known.items()]
        ranges.append(f"{', '.join(of)} ({rows})")
    smallest = main[["holm_without", "holm_permutation_without"]].min(axis=None)
    return (
        f"Results that rest on methods of two laboratories: {'; '.join(lines) or 'none'}. Without these "
        f"methods unadjusted p is: {'; '.join(ranges)}; by Holm over the outcomes the smallest is "
        f"{number(smallest)}. With sequencing depth in the model "
        f"{int((main['holm_with_depth'] < ALPHA).sum())} of {len(main)} outcomes differ (all methods)."
    )


def contrast_words(pairs, file):
    """Return where all ratios within laboratories stand, and those that two laboratories share."""
    every = pairs[pairs["kind"] != BETWEEN]
    rows = every[every["use"] == "main"]
    pooled = [
        f"{row.method_a} / {row.method_b.lower()}, {plain(row.outcome_label)}: {number(row.ratio)}"
        for row in rows[rows["kind"] == JOINED].itertuples()
    ]
    return (
        f"All {len(every)} ratios of two methods within one laboratory, also of proteins, sizes and yields, "
        f"stand in `{file}`, {len(every) - len(rows)} of them from doubtful rows; "
        "pooled, as two laboratories share methods and outcome: "
        f"{'; '.join(pooled) or 'none'}."
    )


def papers_words(v):
    return (
        f"{v['comparisons_without_sd']} of {v['comparisons_in_papers']} comparisons of methods in the sheet "
        f"of outcomes, from {plural(int(v['papers_without_sd']), 'paper')}, give no SD and have no interval."
    )


if __name__ == "__main__":
    report.run_alone(main)
