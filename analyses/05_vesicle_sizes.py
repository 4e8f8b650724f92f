"""
What are vesicle size and its repeatability associated with?
============================================================

Mean diameters of vesicle preparations on a log scale, with crossed random effects of laboratory, source,
isolation method and measuring technique. Most papers print a mean alone, so the residual variance of a single
preparation is estimated; it holds sampling error and true differences together. Comparisons between
laboratories are observational. Within a laboratory, two methods on one source are compared by the ratios of
their mean diameters and of their coefficients of variation (CV).
"""

import re
import warnings

import numpy as np
import pandas as pd
from scipy import stats

import metaexo as mx
from metaexo import errors, evidence, report
from metaexo.formatting import interval, number, p_value, percent, plural

METHOD = "isolation_step"
FACTORS = {"source_kind": "source", METHOD: "isolation method", "technique": "measuring technique"}
TERMS = {"study": "laboratory", **FACTORS, "effect": "single preparation"}
NOT_NAMED = ("not reported",)
ALL, CLEAR = "all", "without doubtful rows"
NOTHING = "not shown to be associated with source, isolation method or technique"
SEED, SHOWN = 25, 0.05
ENDS = ["ratio", "low", "high"]
SIZE, CV = "mean diameter", "CV over {}s"  # what a ratio is of
# Ratios of CVs of two methods on one material: over donors in one sheet, over preparations in the other.
CONTRASTS = {
    "outcomes": "contrast == 'method_a_vs_method_b' and use != 'apart'",
    "method_contrasts": "repetition == 'preparation' and use != 'apart'",
}


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)

    # Which preparations have a mean size, and what became of the others.
    sizes, table = chosen(sheets.preparations)
    analysis.write_table("preparations", table)
    draw_sizes(analysis, sizes)

    # The mean over laboratories, and whether factors explain more than permuted labels.
    rows = {ALL: sizes, CLEAR: sizes[sizes["use"] == "main"]}
    means = pd.DataFrame([{"rows": name, **overall(part), **attributed(part)} for name, part in rows.items()])
    analysis.write_table("overall", means)

    # Random effects in the rows that name all factors, and what is left of them without one laboratory.
    fits = {name: fit(part[part["complete"]], [*FACTORS]) for name, part in rows.items()}
    parts = pd.concat([components(found, name) for name, found in fits.items()])
    parts = parts.merge(without_one(fits[ALL], sizes), how="left", on=["rows", "component"])
    analysis.write_table("components", parts)
    draw_components(analysis, parts)

    # Two methods on one source in one laboratory; then the variability of single preparations.
    ratios = method_ratios(sizes)
    analysis.write_table("method_ratios", ratios)
    draw_ratios(analysis, ratios)
    repeated = repeatability(sheets)
    others = cv_ratios(sheets)
    analysis.write_table("repeatability", repeated.to_frame())
    analysis.write_table("cv_ratios", others)

    words, lasting, passing = associated(parts)
    m = int(parts["laboratories"].iloc[0])
    analysis.answer(
        f"{words}; {repeated.sentence}.",
        k=int(parts["k"].iloc[0]),
        m=m,
        units="laboratories",
        certainty=report.certainty(
            design="observational", m=m, decides=bool(lasting), holds_without_doubtful=not passing
        ),
        table="components",
        row=parts[["rows", "component"]].to_dict("records"),
    )
    analysis.state(in_the_mean(means), table="overall", row={"rows": ALL})
    analysis.write_summary(f"{resting(parts)} {within_laboratories(ratios)}")
    for paragraph in detail(table, means, parts, others):
        analysis.write_summary(paragraph)


# -- numbers ------------------------------------------------------------------------------------------------


def chosen(preparations):
    """Return the preparations with a mean size, and a table of all with what became of each."""
    ledger = evidence.choose_means(preparations)
    sheet = preparations.assign(laboratory=evidence.laboratories(preparations))
    sizes = sheet[sheet["line"].isin(ledger.used)].reset_index(drop=True)
    sizes["log_size"] = np.log(sizes["size_nm"])
    known = [~sizes[name].str.replace("_", " ").str.casefold().isin(NOT_NAMED) for name in FACTORS]
    sizes["complete"] = np.logical_and.reduce(known)
    columns = ["line", "study_id", "study_name", "laboratory", *FACTORS, "size_nm", "size_sd", "n_replicates"]
    table = evidence.ledger_table(ledger, sheet)[[*columns, "repetition", "use", "step", "reason"]]
    return sizes, table


def overall(sizes):
    """Return the geometric mean, each laboratory once, and the variation between and within laboratories."""
    logs = sizes.groupby("laboratory")["log_size"].mean()
    ends = stats.ttest_1samp(logs, 0.0).confidence_interval(0.95)
    model = fit(sizes, [])
    found = components(model, ALL).set_index("component")
    return {
        "k": len(sizes),
        "laboratories": len(logs),
        **dict(zip(("mean_nm", "low_nm", "high_nm"), np.exp([logs.mean(), *ends]), strict=True)),
        "sd_between": np.sqrt(found.loc["laboratory", "variance"]),
        "sd_within": np.sqrt(found.loc["single preparation", "variance"]),
        **found.loc["laboratory", ["share", "share_low", "share_high"]],
        **without_one(model, sizes).set_index("component").loc["laboratory", ["share_left", "without"]],
    }


def attributed(sizes):
    """Return what permuted labels say of the factors: one mean per laboratory and combination of levels."""
    table = sizes.groupby(["laboratory", *FACTORS], sort=False)["log_size"].mean().reset_index()
    data = table.rename(columns=FACTORS)
    es = mx.EffectSizes(table["log_size"], np.zeros(len(table)), study=table["laboratory"], data=data)
    found = mx.attribute_heterogeneity(es, list(FACTORS.values()), seed=SEED)
    return {"verdict": found.verdict.kind, "sentence": found.verdict.sentence}


def fit(sizes, factors):
    """Return the fit of laboratory and those of the factors whose variance can be estimated."""
    es = mx.EffectSizes(sizes["log_size"], np.zeros(len(sizes)), data=sizes, study=sizes["laboratory"])
    found = mx.identifiable_terms(es, ["study", *factors, "effect"], not_named=NOT_NAMED)
    model = mx.model_of_values("log_size", found.random, data=sizes, study="laboratory")
    return model.fit(test="t-containment")


def components(fit, rows):
    """Return variances of log size, their shares with profile intervals, and likelihood-ratio tests."""
    table = pd.Series(dict(fit.component_values), name="variance").to_frame()
    shares = fit.conf_int_i2().rename(columns={"i2": "share", "low": "share_low", "high": "share_high"})
    table = table.join(shares[["share", "share_low", "share_high"]])
    tests = fit.test_components().to_frame()["pvalue"]
    factors = [name for name in FACTORS if name in tests.index]
    adjusted = pd.Series(mx.models.adjust_pvalues(tests[factors], "holm"), factors) if factors else tests[:0]
    table = table.assign(p_value=tests, p_adjusted=adjusted, k=fit.k, laboratories=fit.m)
    table = table.rename(index=TERMS).rename_axis("component").reset_index()
    table.insert(0, "rows", rows)
    return table


def without_one(fit, sizes):
    """Return the smallest share of each component that is left without one laboratory, and which it is."""
    found = mx.sensitivity.leave_one_level_out(fit, "study")
    called = named(sizes)
    names = pd.Series([called[level] for level in found.levels])
    table = pd.DataFrame({"rows": ALL, "component": [TERMS[name] for name in found.components]})
    return table.assign(
        share_left=np.nanmin(found.shares, axis=0),
        without=names[np.nanargmin(found.shares, axis=0)].to_list(),
        k_left=found.k[np.nanargmin(found.shares, axis=0)].astype(int),
    )


def named(sizes):
    """Return what each laboratory is called in words, by its name in the tables.

    Each preparation that a review lists is a laboratory of its own: it has the line of the sheet in its name,
    and gets its source beside it.
    """
    first = sizes.drop_duplicates("laboratory").set_index("laboratory")["source_reported"]
    return {
        name: f"{name} of preparations.csv ({source})"
        if re.search(r", line \d+$", name)
        else name.replace("; ", " and ")
        for name, source in first.items()
    }


def method_ratios(sizes):
    ratios = evidence.method_ratios(sizes)
    doubtful = sizes.loc[sizes["use"] != "main", "line"]
    factor = np.exp(np.abs(np.log(ratios["ratio"])))
    return ratios.assign(
        factor=factor, doubtful=ratios["line_a"].isin(doubtful) | ratios["line_b"].isin(doubtful)
    )


def repeatability(sheets):
    """Return the CVs of vesicle size by isolation method, each level of repetition apart."""
    es = sheets.effects("CVLN", where="use != 'apart'", sheet="preparations")
    es = es.with_columns(laboratory=evidence.laboratories(es.data).tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.DependentEffectsWarning)
        return mx.repeatability(es, METHOD, cluster="laboratory", test="knapp-hartung-adhoc")


def cv_ratios(sheets):
    """Return the ratios of the CVs of two methods on one material, of all outcomes."""
    columns = ["line", "study_id", "study_name", "outcome_label", "treatment_label", "control_label"]
    tables = []
    for sheet, where in CONTRASTS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.AssumptionWarning)
            es = sheets.effects("CVR", where, sheet, assumed_correlation=0.5, orient=False)
        table = es.data[[*columns, "treatment_n", "repetition", "use", "caution"]]
        ends = dict(zip(ENDS, np.exp([es.y, *es.conf_int().to_numpy().T]), strict=True))
        tables.append(table.assign(sheet=sheet, **ends))
    return pd.concat(tables, ignore_index=True)


# -- figures ------------------------------------------------------------------------------------------------


def draw_sizes(analysis, sizes):
    title = "Mean diameter of vesicles by isolation method and source, one point per preparation"
    ax = mx.plots.interval_strip(
        sizes.assign(doubtful=sizes["use"] != "main"),
        "size_nm",
        METHOD,
        by="source_group",
        hollow="doubtful",
        study="laboratory",
        study_title="Laboratories",
        row_title="Isolation method",
        axis_label="Mean diameter (nm)",
        wording={"doubtful": "doubtful row"},
        notes=["A row read in the table of a review counts as a laboratory of its own."],
        title=title,
    )
    analysis.write_figure("sizes", ax, title=title)


def draw_components(analysis, parts):
    title = "Variance of vesicle size that goes with laboratory, source, isolation method and technique"
    shown = parts.assign(**{c: 100 * parts[c] for c in ("share", "share_low", "share_high")})
    counts = parts["k"].astype(str) + " sizes, " + parts["laboratories"].astype(str) + " laboratories"
    shown["head"] = parts["rows"] + " (" + counts + ")"
    shown["p"] = ["" if np.isnan(p) else p_value(p).removeprefix("p = ") for p in parts["p_value"]]
    ax = mx.plots.interval_strip(
        shown,
        "share",
        ["head", "component"],
        low="share_low",
        high="share_high",
        log=False,
        limits=(0, 100),
        cells={"p": "p"},
        row_title="Preparations used / component",
        head_order=list(shown["head"].unique()),
        row_order=list(TERMS.values()),
        axis_label="Share of the variance of log size (%)",
        notes=[
            "Bars: 95% profile intervals of one mixed model. p: likelihood-ratio test, not adjusted.",
            "The p-values in the answer are adjusted by Holm.",
        ],
        title=title,
    )
    analysis.write_figure("components", ax, title=title)


def draw_ratios(analysis, ratios):
    title = "Two isolation methods on one source in one laboratory: ratios of mean diameter and of its CV"
    kept = ratios[["study_name", "source", "line_a", "line_b"]].assign(methods=told_apart(ratios))
    kinds = {SIZE: ENDS}
    for repetition in ratios.loc[ratios["cv_ratio"].notna(), "repetition"].unique():
        kinds[CV.format(repetition)] = ["cv_ratio", "cv_low", "cv_high"]
    tables = [
        kept.join(ratios[c].set_axis(ENDS, axis=1)).assign(what=what)[
            (what == SIZE) | (ratios["repetition"].map(CV.format) == what)
        ]
        for what, c in kinds.items()
    ]
    table = pd.concat(tables).dropna(subset="ratio").sort_values(["line_a", "line_b"], kind="stable")
    table["study"] = table["study_name"] + ": " + table["source"]
    ax = mx.plots.interval_strip(
        table.assign(text=table["ratio"].map(number)),
        "ratio",
        ["study", "methods"],
        low="low",
        high="high",
        by="what",
        reference=1.0,
        cells={"text": "Ratio"},
        row_title="Study: source / methods",
        head_order=list(table["study"].unique()),
        by_order=list(kinds),
        axis_label="Ratio, first method over second",
        notes=["Bars: 95% intervals where SDs of replicates are known, the arms taken as independent."],
        title=title,
    )
    analysis.write_figure("ratios", ax, title=title)


# -- words --------------------------------------------------------------------------------------------------


def told_apart(ratios):
    """Return the two methods of each ratio; of several with the same two, with what differs between them."""
    names = ratios["methods"].copy()
    for _, part in ratios.groupby(["study_name", "source", "methods"], sort=False):
        if len(part) > 1:
            words = part["words_a"] if part["words_a"].nunique() > 1 else part["words_b"]
            names[part.index] = part["methods"] + ": " + words.str.split(", ").str[-1]
    return names


def associated(parts):
    """Return what size is associated with, and the factors that stand out always, or only at first."""
    parts = parts[parts["component"].isin(FACTORS.values())]
    first, clear = (parts[parts["rows"] == rows].set_index("component") for rows in (ALL, CLEAR))
    lasting, passing = [], []
    for name, row in first[first["p_adjusted"] < SHOWN].iterrows():
        but = [CLEAR] if name not in clear.index or not clear.loc[name, "p_adjusted"] < SHOWN else []
        if row["share_left"] < row["share"] / 2:
            but.append(f"without {row['without']}")
        shown = f"{name} ({percent(row['share'])}, adjusted {p_value(row['p_adjusted'])})"
        if but:
            passing.append(f"{name} stands out ({shown.partition(' (')[2][:-1]}), but not {' or '.join(but)}")
        else:
            lasting.append(shown)
    words = f"associated with {' and '.join(lasting)}" if lasting else NOTHING
    words = f"Vesicle size is {words} (observational)"
    if passing:
        words += f": {' and '.join(passing)}"
    elif not lasting and len(first):
        words += f"; smallest adjusted {p_value(first['p_adjusted'].min())}"
    return words, lasting, passing


def resting(parts):
    """Return which components of the variance one laboratory makes: less than half is left without it."""
    whole = parts[parts["rows"] == ALL]
    found = whole[(whole["share"] >= 0.1) & (whole["share_left"] < whole["share"] / 2)]
    shown = "; ".join(
        f"{row.component} {percent(row.share)}, but {percent(row.share_left)} without {row.without} "
        f"({row.k_left:.0f} of {row.k} sizes left)"
        for row in found.itertuples()
    )
    if not shown:
        return "No component of the variance of vesicle size rests on one laboratory."
    return (
        f"Components that one laboratory makes, each in a model without that one alone: {shown}. In each of "
        "these models the other components rise; with few sizes left, what is not found is not refuted."
    )


def in_the_mean(means):
    row = means[means["rows"] == ALL].iloc[0]
    return (
        f"Over {row['laboratories']} laboratories, each counted once, vesicles average "
        f"{number(row['mean_nm'], 0)} nm (95% CI {interval(row['low_nm'], row['high_nm'], 0)}); "
        f"{percent(row['share'])} of the variance of log size lies between laboratories, "
        f"{percent(row['share_left'])} without {row['without']}."
    )


def within_laboratories(ratios):
    """Return how far two methods on one source differ, and whether two laboratories agree on a pair."""
    if ratios.empty:
        return "No laboratory measured vesicles of one source by two methods."
    last = ratios.loc[ratios["factor"].idxmax()]
    unknown = ", no SD" if np.isnan(last["low"]) else ""
    words = (
        "On one source in one laboratory, two isolation methods gave mean diameters that differ by factors "
        f"of {number(ratios['factor'].min())} to {number(last['factor'])} ({last['study_name']}{unknown})"
    )
    shared = ratios.groupby("methods")["study_id"].nunique()
    for pair in shared.index[shared > 1]:
        found = ratios[ratios["methods"] == pair].groupby("study_name", sort=False)["ratio"]
        found = found.agg(["min", "max"])
        by_study = "; ".join(f"{interval(row.min, row.max)} in {row.Index}" for row in found.itertuples())
        sides = set(np.sign(np.log(found)).itertuples(index=False, name=None))
        if any(low != high for low, high in sides):
            told = "one study by itself lies on both sides of 1"
        else:
            told = "studies agree on the direction" if len(sides) == 1 else "studies disagree"
        words += f"; {pair.lower()}: {told} ({by_study})"
    return f"{words}."


def detail(table, means, parts, others):
    """Return what a reader may want to know besides, in words."""
    used = table[table["step"] == "used"]
    first, clear = (means[means["rows"] == name].iloc[0] for name in (ALL, CLEAR))
    known = used[(used["size_sd"] > 0) & (used["n_replicates"] > 1)]["repetition"].str.replace("_", " ")
    over = ", ".join(f"{name} ({count})" for name, count in known.value_counts().items())
    return [
        f"{len(used)} of {len(table)} preparations have a mean diameter and are not set apart. Without "
        f"doubtful rows the mean over laboratories is {number(clear['mean_nm'], 0)} nm "
        f"({interval(clear['low_nm'], clear['high_nm'], 0)}). With labels permuted between laboratories: "
        f"{first['sentence']} Without doubtful rows the verdict is "
        f"{'the same' if first['verdict'] == clear['verdict'] else clear['verdict'].replace('_', ' ')}.",
        f"The mixed model takes the {parts['k'].iloc[0]} sizes that name source, method and technique. "
        "Laboratories chose source, method and instrument together, and techniques weigh particles "
        "differently (DLS by intensity).",
        f"**Repeatability.** What was repeated in the {len(known)} sizes with an SD and the number of "
        f"replicates: {over}. Only SDs over preparations of one material are the repeatability of an "
        f"isolation. Ratios of the CVs of two methods on one material, of all outcomes in the sheets: "
        f"{'; '.join(ratios_in_words(part) for _, part in others.groupby('sheet', sort=False))}.",
    ]


def ratios_in_words(part):
    studies = plural(part["study_id"].nunique(), "study", "studies")
    beyond = ((part["low"] > 1) | (part["high"] < 1)).sum()
    cautions = part.loc[part["repetition"] == "preparation", "caution"].dropna().unique()
    return (
        f"{plural(len(part), 'ratio')} over {' and '.join(part['repetition'].unique())}s in {studies}, "
        f"{interval(part['ratio'].min(), part['ratio'].max())}, {beyond} with a 95% CI that excludes 1"
        + "".join(f" ({text})" for text in cautions)
    )


if __name__ == "__main__":
    report.run_alone(main)
