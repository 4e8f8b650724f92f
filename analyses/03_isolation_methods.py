"""
Do isolation methods differ?
============================

Between laboratories: the miRNA cargo of vesicles from plasma or serum by the step of the isolation that
decides, with laboratories as the units. It is observational: kits, sequencer, donors and disease go with the
laboratory. Within laboratories: two methods on the same material. Both are shown as ratios, side by side if
both are known; contrasts are pooled only if two laboratories compare the same methods on the same outcome.
"""

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
DRAWN = {FIRST: "Effective number of miRNAs", REDCELL: "Red-cell miRNAs", "log2cpm_let7a": "let-7a-5p"}
BASES = {"ln": np.e, "log10": 10.0, "log2": 2.0}
UNITS = {"groups of samples": None, "projects": "study", "laboratories": LAB}
BETWEEN, WITHIN, JOINED = "between laboratories", "within one laboratory", "pooled within laboratories"
PERMUTATIONS, SEED, ALPHA = {MAIN: 499, EVERY: 99, POOLED: 39}, 23, 0.05
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
        sets = cargo(sheets)
        strata = {key: mx.stratify(es, by=STEP, cluster=LAB) for key, es in sets.items()}
        between = pd.DataFrame([between_row(*key, fit) for key, fit in strata.items()])
        units = pd.concat([unit_rows(sets[FIRST, MAIN]), turned(sheets)], ignore_index=True)
        contrasts = pd.concat(
            [evidence.ratios_on_one_material(sheets.method_contrasts), from_ratios(sheets)], ignore_index=True
        )
        means = pd.concat([means_of(*key, fit) for key, fit in strata.items()])
    pairs = side_by_side(contrasts, {outcome: fit for (outcome, rows), fit in strata.items() if rows == MAIN})
    one = evidence.compare_preparations(sheets.method_contrasts)
    verdict = verdict_of(sheets, sets[FIRST, MAIN], between, one, pairs)
    tables = {"between": between, "methods": means, "units": units, "pairs": pairs, "one_material": one}
    for name, table in (tables | {"verdict": verdict}).items():
        analysis.write_table(name, table)
    title = "Size exclusion against other methods in plasma or serum: effective number of miRNAs"
    analysis.write_figure("units", trap(strata[FIRST, MAIN], units, title).draw(), title=title)
    title = "Two isolation methods compared within one laboratory and between laboratories, plasma or serum"
    analysis.write_figure("pairs", both_kinds(pairs, title).draw(), title=title)
    say(analysis, verdict.iloc[0], between, units, pairs)


# -- between laboratories ------------------------------------------------------------------------------------


def cargo(sheets):
    """Return groups of plasma or serum with a known step, by outcome and choice of rows.

    Groups of one sample, or with an SD of 0, have no sampling variance of their own and are left out; the
    last choice of rows takes the SD that is pooled over the groups of the outcome instead.
    """
    rows = sheets.cargo_groups
    pooled = mx.effects.pooled_sd(rows["treatment_sd"], rows["treatment_n"], rows["outcome"].tolist())
    asked = {"sheet": "cargo_groups", "where": "use != 'apart'"}
    own = sheets.effects("MN", **asked)
    found = {}
    for name, es in {MAIN: own, EVERY: own, POOLED: sheets.effects("MN", **asked, assumed_sd=pooled)}.items():
        kept = es.column("source_kind").isin(["Plasma", "Serum"]) & (es.column(STEP) != "Not reported")
        kept &= (es.column("use") == "main") | (name == EVERY)
        part = es.select(kept.to_numpy(), "not plasma or serum, or step not reported")
        found |= {(outcome, name): some for (outcome,), some in mx.split(part, "outcome").items()}
    return found


def between_row(outcome, rows, fit):
    """Return all tests between methods of one outcome, and the test with sequencing depth in the model."""
    tests, es = fit.between_tests(seed=SEED, permutations=PERMUTATIONS[rows]), compared(fit)
    row = {
        "outcome": outcome,
        "outcome_label": es.column("outcome_label").iloc[0],
        "rows": rows,
        "groups": es.k,
    }
    row |= {"laboratories": es.column(LAB).nunique(), "methods": len(fit.compared)}
    row |= {"left_out": ", ".join(tests.formula_without.left_out) or "none", "f": tests.formula.statistic}
    row |= dict(zip(("df1", "df2"), tests.formula.df, strict=True))
    names = ["p", "p_without", "p_permutation", "p_permutation_without"]
    row |= dict(zip(names, (test.pvalue for test in tests), strict=True))
    for name, terms in (("p_one_tau2", STEP), ("p_one_tau2_with_depth", f"{STEP} + ln_total_counts")):
        model = mx.RandomEffects(es, terms, dependence="accept").fit().robust(LAB)
        row[name] = model.test_terms()[STEP].pvalue
    return row


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
    return pd.DataFrame(rows)


def difference(es, unit, cluster, without, known):
    """Return the ratio of size exclusion to the other methods, and the test of all methods, by one unit."""
    fit = mx.stratify(es, by="side", cluster=cluster, order=[OTHERS, SEC])
    found = fit.pairwise(adjust=None).to_frame().iloc[0]
    every = es.select(es.column(STEP).isin(known).to_numpy(), "method of one laboratory")
    name = es.column({None: "line", "study": "study_id"}.get(cluster, cluster))
    row = {"kind": BETWEEN, "unit": unit, "without": without, "all": name.nunique()}
    row["size_exclusion"] = name[(es.column("side") == SEC).to_numpy()].nunique()
    row |= ratios(np.exp(found[["estimate", "low", "high"]].astype(float))) | {"pvalue": found["pvalue"]}
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
    """Return size exclusion against the other methods of one laboratory, all on the same serum or plasma."""
    rows = sheets.method_contrasts.query(f"outcome == '{FIRST}' and use == 'main'")
    rows = rows[(rows[SIDES] == SEC).sum(axis=1) == 1]
    found = []
    for study, part in rows.groupby("study_name", sort=False):
        key = {"kind": WITHIN, "unit": study, "without": "none", "size_exclusion": 1, "all": 1}
        found.append(key | evidence.ratio_of_methods(part, SEC))
    return pd.DataFrame(found).drop(columns=["log_ratio", "se", "df"])


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


def verdict_of(sheets, es, between, one, pairs):
    """Return in one row what the sentences rest on."""
    tests = ["p_without", "p_permutation_without"]
    main, every = (between[between["rows"] == rows] for rows in (MAIN, EVERY))
    cargo = one[one["outcome"].isin(main["outcome"]) & (one["use"] == "main")]
    largest = cargo[cargo["study_name"] == cargo.loc[cargo["preparations"].idxmax(), "study_name"]]
    rows = sheets.cargo_groups.query(f"outcome == '{FIRST}' and use == 'main' and {STEP} != 'Not reported'")
    methods = rows.groupby(LAB)[STEP].nunique()
    papers = sheets.outcomes.query("contrast == 'method_a_vs_method_b'")
    bare = papers[papers[["treatment_sd", "control_sd"]].isna().any(axis=1)]
    both, labs = both_ways(pairs), per_laboratory(es)
    squares = labs.groupby("method")["y"].agg(lambda y: ((y - y.mean()) ** 2).sum()).sum()
    spread = np.sqrt(squares / (len(labs) - labs["method"].nunique()))
    z = stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(POWER)
    row = {
        "groups": main["groups"].max(),
        "laboratories": main["laboratories"].max(),
        "outcomes": len(main),
        "differ_between": int((main[tests] < ALPHA).all(axis=1).sum()),
        "differ_between_with_doubtful": int((every[tests] < ALPHA).all(axis=1).sum()),
        "smallest_p_between": main[tests].min(axis=None),
        "laboratory": largest["study_name"].iloc[0],
        "preparations": largest["preparations"].max(),
        "outcomes_within": len(largest),
        "differ_within": int((largest["pvalue"] < ALPHA).sum()),
        "largest_p_within": largest["pvalue"].max(),
        "pairs_both_ways": len(both),
        "same_direction": int((np.sign(both["log"]) == np.sign(both["log_between"])).sum()),
        "times_as_wide": (both["wide_between"] / both["wide"]).median(),
        "pairs_within": int((pairs["kind"] != BETWEEN).sum()),
        "shared_by_two_laboratories": int((pairs["kind"] == JOINED).sum()),
        "laboratories_with_method": len(methods),
        "laboratories_of_several_methods": int((methods > 1).sum()),
        "sd_between_laboratories": spread,
        "needed_per_method": int(np.ceil(2 * (z * spread / np.log(SOUGHT)) ** 2)),
        "comparisons_in_papers": len(papers),
        "comparisons_without_sd": len(bare),
        "papers_without_sd": bare["study_id"].nunique(),
    }
    return pd.DataFrame([row])


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
    several = labs[LAB].isin(units["unit"].radd("L_")) & (labs.groupby(LAB)["y"].transform("size") > 2)
    made = (labs["method"] == SEC) & (labs[WIDE] == f"L_{deciding(units)['without']}")

    def marks(rows, shift, name, color, shape, **look):
        at = [place[method] + shift for method in rows["method"]]
        told = {"labels": rows[LAB].tolist(), "name": name, "color": color, "shape": shape}
        return Points(x=np.exp(rows["y"]).tolist(), y=at, **told, **look)

    ends = np.exp([[s.pooled.estimate, s.pooled.low, s.pooled.high] for s in shown]).T.tolist()
    at, ink = list(place.values()), {"color": "ink", "labels": list(place)}
    layers = [
        Intervals(at=at, low=ends[1], high=ends[2], width=1.4, **ink),
        marks(labs[~several & ~made], 0.2, "a laboratory", "grey", "circle", hollow=True, size=4.0),
        marks(labs[made], 0.2, f"{made.sum()} related laboratories that decide", 1, "triangle", size=6.5),
        marks(labs[several], 0.36, "one laboratory, the same serum by each method", 3, "square", size=5.5),
        Points(x=ends[0], y=at, name="pooled over laboratories, 95% CI", shape="diamond", size=6.5, **ink),
    ]
    ticks = [(float(i), f"{name} ({fit.clusters_in(fit[name])})") for name, i in place.items()]
    left = panel("Methods (laboratories)", "Effective number of miRNAs", ticks, layers)
    notes = ["Right: size exclusion against the others, with p. Between laboratories it is observational."]
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
    """Return pairs of methods that are known within and between laboratories, for three outcomes."""
    both = both_ways(pairs)
    names = list(dict.fromkeys(zip(both["method_a"], both["method_b"], strict=True)))
    kinds = {
        "the same material in one laboratory": ("", 3, "square", -0.16),
        "between laboratories (observational)": ("_between", "study", "circle", 0.16),
    }
    panels = []
    for outcome, heading in DRAWN.items():
        part, layers = both[both["outcome"] == outcome], [Rule(at=1.0)]
        places = [names.index(pair) for pair in zip(part["method_a"], part["method_b"], strict=True)]
        for name, (which, color, shape, shift) in kinds.items():
            at = [place + shift for place in places]
            x, low, high = (part[f"{column}{which}"].tolist() for column in ("ratio", "low", "high"))
            layers.append(Intervals(at=at, low=low, high=high, color=color, width=1.3))
            layers.append(Points(x=x, y=at, name=name, color=color, shape=shape, size=4.5))
        words = [f"{a}\n/ {b.lower()}" if not panels else "" for a, b in names]
        panels.append(panel(heading, "Ratio", [(float(i), one) for i, one in enumerate(words)], layers))
    notes = ["Lines: 95% CI. Laboratories that compare methods themselves are also among the others."]
    return Chart(panels=tuple(panels), across=3, title=title, notes=notes, **LOOK)


# -- words ---------------------------------------------------------------------------------------------------


def say(analysis, verdict, between, units, pairs):
    settled = verdict["differ_between"] > 0
    rated = report.certainty(
        design="observational",
        m=int(verdict["laboratories"]),
        decides=settled,
        holds_without_doubtful=(verdict["differ_between_with_doubtful"] > 0) == settled,
    )
    analysis.answer(
        answer_words(verdict), k=int(verdict["groups"]), m=int(verdict["laboratories"]), units="laboratories",
        certainty=rated, table="verdict", figure="units",
    )  # fmt: skip
    rows = [{"unit": unit, "without": "none"} for unit in UNITS]
    out = deciding(units)
    inside = units[units["kind"] == WITHIN].iloc[0]
    rows += [
        {"unit": "laboratories", "without": out["without"]},
        {"unit": inside["unit"], "without": "none"},
    ]
    analysis.state(trap_words(units), table="units", row=rows)
    analysis.state(pairs_words(verdict), table="verdict")
    analysis.state(settle_words(verdict), table="verdict", part="settle", defined=[SOUGHT, 100 * POWER])
    for words in (test_words(between), contrast_words(pairs), papers_words(verdict)):
        analysis.write_summary(words)


def answer_words(v):
    """Return the answer: within the laboratory of most preparations, and between laboratories."""
    every = v["differ_within"] == v["outcomes_within"]
    worst = f" (largest {p_value(v['largest_p_within'])})" if every else ""
    one = (
        f"In one laboratory {v['preparations']} preparations of the same material differ in "
        f"{v['differ_within']} of {v['outcomes_within']} miRNA outcomes{worst}"
    )
    if v["differ_between"]:
        return (
            f"{one}, and over {v['laboratories']} laboratories isolation methods differ in "
            f"{v['differ_between']} of {v['outcomes']} outcomes in plasma or serum (observational)."
        )
    return (
        f"{one}, but over {v['laboratories']} laboratories no isolation method is shown to differ "
        f"from another in any of {v['outcomes']} outcomes in plasma or serum (observational; smallest "
        f"{p_value(v['smallest_p_between'])}, not adjusted, methods of two laboratories left out)."
    )


def trap_words(units):
    """Return the same comparison by three units, without the laboratories that decide, and within one."""
    whole = units[units["without"] == "none"].set_index("unit")
    out, inside, first = deciding(units), units[units["kind"] == WITHIN].iloc[0], whole.loc["laboratories"]
    turns = (inside["ratio"] > 1) != (first["ratio"] > 1)
    ps = [f"{p_value(whole.loc[unit, 'pvalue'])} by {unit}" for unit in UNITS]
    return (
        f"Size exclusion has {number(first['ratio'])} times the effective number of miRNAs of other methods, "
        f"{', '.join(ps)}; without the laboratories that decide it the ratio is {number(out['ratio'])}, and "
        f"within {inside['unit']} it {'turns' if turns else 'points the same way'}: "
        f"{number(inside['ratio'])} (95% CI {interval(inside['low'], inside['high'])})."
    )


def pairs_words(v):
    return (
        f"Of {v['pairs_both_ways']} comparisons of two methods known within a laboratory and between "
        f"laboratories, {v['same_direction']} point the same way; intervals between laboratories are "
        f"{number(v['times_as_wide'], 1)} times as wide (median, log scale)."
    )


def settle_words(v):
    return (
        f"{v['shared_by_two_laboratories']} of {v['pairs_within']} comparisons of two methods on one "
        f"material are shared by two laboratories; between laboratories {v['needed_per_method']} per "
        f"method are needed to find a ratio of {SOUGHT:g} with {100 * POWER:.0f}% power."
    )


def test_words(between):
    """Return what the tests say without methods of two laboratories, with depth and with other rows."""
    main = between[between["rows"] == MAIN]
    lines = [
        f"{row.outcome_label}: {p_value(row.p)} with all methods, {p_value(row.p_without)} without "
        f"{row.left_out.lower()}, {p_value(row.p_permutation)} with all by permutation of laboratories"
        for row in main[(main["p"] < ALPHA) != (main["p_without"] < ALPHA)].itertuples()
    ]
    ranges = [
        f"{interval(part['p_without'].min(), part['p_without'].max())} ({rows})"
        for rows, part in between.groupby("rows", sort=False)
    ]
    depth = main[main["p_one_tau2_with_depth"] < ALPHA]
    return (
        f"Robust tests that rest on methods of two laboratories: {'; '.join(lines) or 'none'}. Without these "
        f"methods robust p is {', '.join(ranges)}. With sequencing depth in the model {len(depth)} of "
        f"{len(main)} outcomes have p < {ALPHA:g}."
    )


def contrast_words(pairs):
    """Return for each laboratory how many of its contrasts exclude a ratio of 1, and their range."""
    rows = pairs[(pairs["kind"] == WITHIN) & (pairs["use"] == "main")]
    rows = rows.assign(clear=(rows["low"] > 1) | (rows["high"] < 1))
    lines = [
        f"- {study}: {part['clear'].sum()} of {plural(len(part), 'ratio')} differ from 1 "
        f"({interval(part['ratio'].min(), part['ratio'].max())})."
        for study, part in rows.groupby("studies", sort=False)
    ]
    pooled = [
        f"{row.method_a} / {row.method_b.lower()}, {row.outcome_label}: {number(row.ratio)}"
        for row in pairs[pairs["kind"] == JOINED].itertuples()
    ]
    return (
        "Two methods on the same material, intervals not adjusted for their number:\n\n" + "\n".join(lines)
        + f"\n\nPooled, as two laboratories share methods and outcome: {'; '.join(pooled) or 'none'}."
    )  # fmt: skip


def papers_words(v):
    return (
        f"{v['comparisons_without_sd']} of {v['comparisons_in_papers']} comparisons of methods in the sheet "
        f"of outcomes, from {plural(int(v['papers_without_sd']), 'paper')}, give no SD and have no interval."
    )


if __name__ == "__main__":
    report.run_alone(main)
