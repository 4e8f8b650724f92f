"""
What are vesicle size and its repeatability associated with?
============================================================

Mean diameters of vesicle preparations on a log scale, with crossed random effects of laboratory, source,
isolation method and measuring technique. Most papers print a mean alone, so the residual variance of a single
preparation is estimated; it holds sampling error and true differences together. Comparisons between
laboratories are observational. Within a laboratory, two methods on one source are compared by the ratios of
their mean diameters and of their coefficients of variation (CV).
"""

import warnings

import numpy as np
import pandas as pd
from scipy import stats

import metaexo as mx
from metaexo import errors, evidence, report
from metaexo.formatting import interval, number, p_value, percent, plural

FACTORS = {"source": "source", "isolation": "isolation method", "technique": "measuring technique"}
TERMS = {"study": "laboratory", **FACTORS, "effect": "single preparation"}
NOT_NAMED = ("not reported",)
ALL, CLEAR = "all", "without doubtful rows"
METHODS = "contrast == 'method_a_vs_method_b' and use != 'apart'"
SEED, SHOWN = 25, 0.05


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

    # Random effects in the rows that name all factors, and again without the laboratory of most of them.
    named = {name: part[part["complete"]] for name, part in rows.items()}
    largest = named[ALL]["laboratory"].value_counts().index[0]
    named[f"without {largest.replace('; ', ' and ')}"] = named[ALL][named[ALL]["laboratory"] != largest]
    fits = {name: fit(part, [*FACTORS]) for name, part in named.items()}
    parts = pd.concat([components(found, name) for name, found in fits.items()], ignore_index=True)
    analysis.write_table("components", parts)
    draw_components(analysis, parts)

    # Two methods on one source in one laboratory; then the variability of single preparations.
    ratios = method_ratios(sizes)
    analysis.write_table("method_ratios", ratios)
    draw_ratios(analysis, ratios)
    repeated = repeatability(sheets)
    analysis.write_table("repeatability", repeated.to_frame())
    others = cv_ratios(sheets)
    analysis.write_table("cv_ratios", others)

    k, m = (int(parts[name].iloc[0]) for name in ("k", "laboratories"))
    lasting, passing = standing_out(parts)
    analysis.answer(
        f"{associated(parts)}; {most_repeatable(repeated)}.",
        k=k,
        m=m,
        unit="laboratories",
        certainty=report.certainty(
            design="observational", m=m, decides=bool(lasting), holds_without_doubtful=not passing
        ),
        table="components",
        row=parts[["rows", "component"]].to_dict("records"),
    )
    analysis.state(in_the_mean(means), table="overall", row={"rows": ALL})
    analysis.state(
        within_laboratories(ratios),
        table="method_ratios",
        row=ratios[["line_a", "line_b"]].to_dict("records"),
    )
    for paragraph in detail(table, means, parts, repeated, others):
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
    low, high = stats.ttest_1samp(logs, 0.0).confidence_interval(0.95)
    found = components(fit(sizes, []), ALL).set_index("component")
    sd = np.sqrt(found["variance"])
    shares = found.loc[TERMS["study"], ["share", "share_low", "share_high"]]
    return {
        "k": len(sizes),
        "laboratories": len(logs),
        "mean_nm": np.exp(logs.mean()),
        "low_nm": np.exp(low),
        "high_nm": np.exp(high),
        "sd_between": sd[TERMS["study"]],
        "sd_within": sd[TERMS["effect"]],
        **dict(zip(("share_between", "share_low", "share_high"), shares, strict=True)),
    }


def attributed(sizes):
    """Return what permuted labels say of the factors: one mean per laboratory and combination of levels."""
    table = sizes.groupby(["laboratory", *FACTORS], sort=False)["log_size"].mean().reset_index()
    es = mx.EffectSizes(table["log_size"], np.zeros(len(table)), study=table["laboratory"], data=table)
    found = mx.attribute_heterogeneity(es, list(FACTORS), seed=SEED)
    together = found.to_frame().query("kind == 'together'")["pvalue"] if found.explained else ()
    return {
        "verdict": found.verdict.kind,
        "sentence": found.verdict.sentence,
        "p_together": next(iter(together), np.nan),
    }


def fit(sizes, factors):
    """Return the fit of laboratory and those of the factors whose variance can be estimated."""
    es = mx.EffectSizes(sizes["log_size"], np.zeros(len(sizes)), data=sizes, study=sizes["laboratory"])
    found = mx.identifiable_terms(es, ["study", *factors, "effect"], not_named=NOT_NAMED)
    return model(sizes, found.random)


def model(sizes, random):
    return mx.model_of_values("log_size", random, data=sizes, study="laboratory").fit(test="t-containment")


def components(fit, rows):
    """Return variances of log size, their shares with profile intervals, and likelihood-ratio tests."""
    table = pd.Series(dict(fit.component_values), name="variance").to_frame()
    shares = fit.conf_int_i2().rename(columns={"i2": "share", "low": "share_low", "high": "share_high"})
    table = table.join(shares[["share", "share_low", "share_high"]])
    terms = [name for name in table.index if name != "effect"]
    reduced = {name: [one for one in terms if one != name] for name in terms}
    tests = {name: fit.test_against(model(fit.effects.data, left)) for name, left in reduced.items()}
    tests = pd.Series({name: test.pvalue for name, test in tests.items()})
    table = table.assign(p_value=tests, k=fit.k, laboratories=fit.m)
    table = table.rename(index=TERMS).rename_axis("component").reset_index()
    table.insert(0, "rows", rows)
    return table


def method_ratios(sizes):
    ratios = evidence.method_ratios(sizes)
    doubtful = sizes.loc[sizes["use"] != "main", "line"]
    return ratios.assign(doubtful=ratios["line_a"].isin(doubtful) | ratios["line_b"].isin(doubtful))


def repeatability(sheets):
    """Return the CVs of vesicle size by isolation method, each level of repetition apart."""
    es = sheets.effects("CVLN", where="use != 'apart'", sheet="preparations")
    es = es.with_columns(laboratory=evidence.laboratories(es.data).tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.DependentEffectsWarning)
        return mx.repeatability(es, cluster="laboratory", test="knapp-hartung-adhoc")


def cv_ratios(sheets):
    """Return the ratios of the CVs of two methods on the same donors, of all outcomes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.AssumptionWarning)
        es = sheets.effects("CVR", where=METHODS, assumed_correlation=0.5, orient=False)
    ends = np.exp(np.column_stack([es.y, es.conf_int()]))
    columns = ["line", "study_id", "study_name", "outcome_label", "treatment_label", "control_label"]
    table = es.data[[*columns, "treatment_n", "repetition", "use"]]
    return table.assign(ratio=ends[:, 0], low=ends[:, 1], high=ends[:, 2])


# -- figures ------------------------------------------------------------------------------------------------


def draw_sizes(analysis, sizes):
    title = "Mean diameter of vesicles by isolation method and source, one point per preparation"
    ax = mx.plots.interval_strip(
        sizes.assign(doubtful=sizes["use"] != "main"),
        "size_nm",
        "isolation",
        by="source_group",
        hollow="doubtful",
        study="laboratory",
        study_title="Laboratories",
        axis_label="Mean diameter (nm)",
        wording={"doubtful": "doubtful row"},
        notes=["A row read in the table of a review counts as a laboratory of its own."],
        title=title,
    )
    analysis.write_figure("sizes", ax, title=title)


def draw_components(analysis, parts):
    title = "Variance of vesicle size that goes with laboratory, source, isolation method and technique"
    shown = parts.assign(**{c: 100 * parts[c] for c in ("share", "share_low", "share_high")})
    shown["head"] = [
        f"{row.rows} ({row.k} sizes, {plural(row.laboratories, 'laboratory', 'laboratories')})"
        for row in parts.itertuples()
    ]
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
        notes=["One mixed model for each choice of rows. Bars: 95% profile intervals; p: likelihood ratio."],
        title=title,
    )
    analysis.write_figure("components", ax, title=title)


def draw_ratios(analysis, ratios):
    title = "Two isolation methods on one source in one laboratory: ratios of mean diameter and of its CV"
    kinds = {"mean diameter": ["ratio", "low", "high"], "CV": ["cv_ratio", "cv_low", "cv_high"]}
    table = pd.concat(
        ratios.assign(
            what=what, **dict(zip(("value", "low", "high"), ratios[columns].to_numpy().T, strict=True))
        )
        for what, columns in kinds.items()
    ).dropna(subset="value")
    over = table.loc[table["what"] == "CV", "repetition"].unique()
    table["study"] = table["study_name"] + ": " + table["source"]
    table["text"] = table["value"].map(number)
    ax = mx.plots.interval_strip(
        table.sort_values(["line_a", "line_b"]),
        "value",
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
        notes=[
            "Bars: 95% intervals where SDs of replicates are known, the arms taken as independent.",
            f"CV: coefficient of variation of diameters over {' and '.join(f'{one}s' for one in over)}.",
        ],
        title=title,
    )
    analysis.write_figure("ratios", ax, title=title)


# -- words --------------------------------------------------------------------------------------------------


def standing_out(parts):
    """Return the factors with a small p-value in every choice of rows, and those with one only in all."""
    table = parts[parts["component"].isin(FACTORS.values())]
    largest = table.groupby("component", sort=False)["p_value"].max()
    among_all = table[table["rows"] == ALL].set_index("component")["p_value"]
    lasting = [name for name, p in largest.items() if p < SHOWN]
    return lasting, [name for name, p in among_all.items() if p < SHOWN and name not in lasting]


def associated(parts):
    """Return what vesicle size is associated with, and what only some choices of rows show."""
    first = parts[parts["rows"] == ALL].set_index("component")
    last = parts.sort_values("p_value", kind="stable").drop_duplicates("component", keep="last")
    last = last.set_index("component")
    lasting, passing = standing_out(parts)

    def with_p(table, names):
        return " and ".join(f"{name} ({p_value(table.loc[name, 'p_value'])})" for name in names)

    if lasting:
        share = " and ".join(percent(first.loc[name, "share"]) for name in lasting)
        words = f"Vesicle size is associated with {with_p(last, lasting)}, {share} of its variance"
    else:
        words = "Vesicle size is not shown to be associated with source, isolation method or technique"
    if passing:
        rows = " or ".join(dict.fromkeys(last.loc[passing, "rows"]))
        then = " and ".join(p_value(p) for p in last.loc[passing, "p_value"])
        return f"{words}: {with_p(first, passing)} stood out among all rows, but not {rows} ({then})"
    least = first.loc[first.index.isin(FACTORS.values()), "p_value"].min()
    return words if lasting else f"{words} (at the least, {p_value(least)})"


def most_repeatable(repeated):
    """Return whether a method is known to be the most repeatable at some level of repetition."""
    verdicts = {level: repeated.verdict(level) for level in repeated.levels}
    can = {level: words for level, words in verdicts.items() if "cannot be said" not in words}
    best = [
        f"{words.removeprefix(f'{level}: ').partition(' is the most')[0]} over {level}s"
        for level, words in can.items()
        if words.startswith(level) and "is the most repeatable" in words
    ]
    if best:
        return f"the most repeatable method is {' and '.join(best)}"
    if can:
        return "no isolation method is shown to be the most repeatable"
    return "which isolation method is the most repeatable cannot be said"


def in_the_mean(means):
    row = means[means["rows"] == ALL].iloc[0]
    return (
        f"With each of {row['laboratories']} laboratories counted once, mean diameters of vesicles average "
        f"{number(row['mean_nm'], 0)} nm (95% CI {interval(row['low_nm'], row['high_nm'], 0)}); "
        f"{percent(row['share_between'])} of the variance of log size lies between laboratories "
        f"(95% CI {interval(100 * row['share_low'], 100 * row['share_high'], 0)}%)."
    )


def within_laboratories(ratios):
    """Return how far two methods on one source differ, and whether two laboratories agree on a pair."""
    if ratios.empty:
        return "No laboratory measured vesicles of one source by two methods."
    apart = np.exp(np.abs(np.log(ratios["ratio"])))
    words = (
        "On one source in one laboratory, two isolation methods gave mean diameters that differ by factors "
        f"of {number(apart.min())} to {number(apart.max())}"
    )
    shared = ratios.groupby("methods")["study_id"].nunique()
    for pair in shared.index[shared > 1]:
        found = (
            ratios[ratios["methods"] == pair].groupby("study_name", sort=False)["ratio"].agg(["min", "max"])
        )
        by_study = "; ".join(f"{row.Index} {interval(row.min, row.max)}" for row in found.itertuples())
        agree = (found["min"] > 1).all() or (found["max"] < 1).all()
        words += (
            f"; the ratio of {pair.lower()} {'agrees' if agree else 'does not agree'} in side ({by_study})"
        )
    return f"{words}."


def detail(table, means, parts, repeated, others):
    """Return what a reader may want to know besides, in words."""
    used = table[table["step"] == "used"]
    first, clear = (means[means["rows"] == name].iloc[0] for name in (ALL, CLEAR))
    whole = parts[parts["rows"] == ALL].set_index("component")
    known = used[(used["size_sd"] > 0) & (used["n_replicates"] > 1)]["repetition"].str.replace("_", " ")
    over = ", ".join(f"{name} ({count})" for name, count in known.value_counts().items())
    verdicts = " ".join(f"{repeated.verdict(level).capitalize()}." for level in repeated.levels)
    beyond = int(((others["low"] > 1) | (others["high"] < 1)).sum())
    largest = " and ".join(
        f"{name} ({percent(row['share'])}, {interval(100 * row['share_low'], 100 * row['share_high'], 0)}%)"
        for name, row in whole.nlargest(2, "share").iterrows()
    )
    doubtful = plural(int((others["use"] == "doubtful").sum()), "ratio")
    return [
        f"{len(used)} of {len(table)} preparations have a mean diameter and are not set apart. Without "
        f"doubtful rows the mean over laboratories is {number(clear['mean_nm'], 0)} nm "
        f"({interval(clear['low_nm'], clear['high_nm'], 0)}). With labels permuted between laboratories: "
        f"{first['sentence']} Without doubtful rows: {clear['sentence']}",
        f"The mixed model takes the {whole['k'].iloc[0]} sizes that name source, method and technique. Most "
        f"of the variance goes with {largest}. Laboratories chose source, method and "
        "instrument together, and techniques weigh particles differently (DLS by intensity).",
        f"**Repeatability.** What was repeated in the {len(known)} sizes with an SD and the number of "
        f"replicates: {over}. Only SDs over preparations of one material are the repeatability of an "
        f"isolation. {verdicts} Two methods on the same donors: {plural(len(others), 'ratio')} of CVs of "
        f"{plural(others['study_id'].nunique(), 'study', 'studies')}, from {number(others['ratio'].min())} "
        f"to {number(others['ratio'].max())}; {beyond} of their 95% CIs exclude 1, without adjustment "
        f"({doubtful} of doubtful rows).",
    ]


if __name__ == "__main__":
    report.run_alone(main)
