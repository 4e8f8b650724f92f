"""
Which sources and isolation methods stand out in vesicle size?
==============================================================

Source, isolation method, measuring technique and laboratory cross each other, so all are random effects
of one mixed model of log size. Levels with few preparations are shrunk towards the
mean, and the variances show how much of the variation of sizes each factor explains. Most papers print a mean
alone, so no sampling variance is assumed: the residual variance of single preparations is estimated and
contains both sampling error and true differences.
"""

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo import evidence, report
from metaexo.formatting import interval, markdown_table, number, percent, plural

TERMS = {"study": "laboratory", "source": "source", "isolation": "isolation method", "technique": "technique"}
FACTORS = ["source", "isolation", "technique"]
RESIDUAL = "single preparation"
NOT_NAMED = ("not reported",)
MAIN = "rows that name all three"
COLUMNS = [
    "line",
    "study_id",
    "study_name",
    "laboratory",
    *FACTORS,
    "size_nm",
    "size_sd",
    "n_replicates",
    "sampling_variance",
]


def main(analysis: report.Analysis) -> None:
    preparations = mx.read_sheets(analysis.data).preparations
    ledger = evidence.choose_means(preparations)
    sizes = preparations[preparations["line"].isin(ledger.used)].reset_index(drop=True)
    sizes["laboratory"] = evidence.laboratories(sizes)
    sizes["computed"] = sizes["caution"].fillna("").str.contains("computed from")
    # The variance of a log mean is known where the SD between replicates and their number are known.
    known = (sizes["n_replicates"] > 1) & (sizes["size_sd"] > 0) & (sizes["use"] == "main")
    variance = (sizes["size_sd"] / sizes["size_nm"]) ** 2 / sizes["n_replicates"]
    sizes["sampling_variance"] = variance.where(known)
    named = {
        factor: ~sizes[factor].str.replace("_", " ").str.casefold().isin(NOT_NAMED) for factor in FACTORS
    }
    sizes["complete"] = np.logical_and.reduce(list(named.values()))
    analysis.write_table("sizes", sizes[[*COLUMNS, "use", "computed", "complete"]])

    # Each model has the terms that its rows name; terms that cannot be estimated are refused.
    everything = sizes[sizes["complete"]]
    asked = {
        "all means": (sizes, list(TERMS)),
        MAIN: (everything, list(TERMS)),
        "of these without doubtful rows": (everything[everything["use"] == "main"], list(TERMS)),
        "of these without rows computed from files": (everything[~everything["computed"]], list(TERMS)),
        **{f"rows that name the {TERMS[f]}": (sizes[named[f]], ["study", f]) for f in FACTORS},
    }
    checks = {rows: check(table, terms) for rows, (table, terms) in asked.items()}
    fits = {rows: fit(table, checks[rows]) for rows, (table, _) in asked.items()}
    analysis.write_table("terms", stack({rows: found.to_frame() for rows, found in checks.items()}, "name"))
    spread = stack({rows: variances(found) for rows, found in fits.items()}, "term")
    analysis.write_table("variances", spread)
    draw_shares(analysis, spread, asked)

    # What the model predicts for each level, and the plain mean of its rows.
    levels = shrunken(fits[MAIN], everything)
    analysis.write_table("levels", levels)
    draw_levels(analysis, levels)
    with_known = fit(everything, checks[MAIN], everything["sampling_variance"])
    for paragraph in statement(ledger, checks, fits[MAIN], spread, levels, sizes, with_known):
        analysis.write_summary(paragraph)


def check(table, terms):
    """Return which terms can be estimated; the residual is one of them."""
    es = mx.EffectSizes(log_size(table), np.zeros(len(table)), data=table, study=table["laboratory"])
    return mx.identifiable_terms(es, [*terms, "effect"], not_named=NOT_NAMED)


def fit(table, found, v=None):
    """Return the fit of the terms that can be estimated."""
    model = mx.model_of_values(log_size(table), found.random, data=table, study=table["laboratory"], v=v)
    return model.fit(test="t-containment")


def log_size(table):
    return np.log(table["size_nm"].to_numpy(dtype=float))


def stack(tables, key):
    """Return tables one below the other, with the rows they are of in front and the terms in words."""
    words = TERMS | {"effect": RESIDUAL}
    parts = [table.assign(rows=rows, **{key: table[key].map(words)}) for rows, table in tables.items()]
    whole = pd.concat(parts)
    return whole[["rows", *whole.columns.drop("rows")]]


def variances(fit):
    """Return variances of log size with profile intervals, and their shares of the variance of a value."""
    ends = fit.conf_int_components()[["estimate", "low", "high"]]
    ends.columns = ["variance", "variance_low", "variance_high"]
    shares = fit.conf_int_i2().rename(columns={"i2": "share", "low": "share_low", "high": "share_high"})
    table = ends.join(shares[["share", "share_low", "share_high"]]).rename_axis("term").reset_index()
    return table.assign(k=fit.k, laboratories=fit.m)


def shrunken(fit, table):
    """Return for each level its size over the overall mean: predicted with an interval, and observed."""
    logs = pd.Series(log_size(table), index=table.index)
    overall = float(fit.beta[0])
    parts = []
    for name, effects in fit.random_effects().groupby("component", sort=False):
        if name == "effect":
            continue
        column = "laboratory" if name == "study" else name
        rows = logs.groupby(table[column]).agg(["size", "mean"])
        labs = table.groupby(column)["laboratory"].nunique()
        ends = {end: np.exp(effects[end]) for end in ("estimate", "low", "high")}
        part = pd.DataFrame({"factor": TERMS[name], "level": effects["level"], **ends})
        part["plain"] = np.exp(rows["mean"].reindex(part["level"]).to_numpy() - overall)
        part["preparations"] = rows["size"].reindex(part["level"]).to_numpy()
        part["laboratories"] = labs.reindex(part["level"]).to_numpy()
        parts.append(part)
    return pd.concat(parts)


def draw_shares(analysis, spread, asked):
    shown = spread.assign(**{c: 100 * spread[c] for c in ("share", "share_low", "share_high")})
    title = (
        "Variance of vesicle size explained by laboratory, source, isolation method and technique together"
    )
    counts = spread["k"].astype(str) + " / " + spread["laboratories"].astype(str)
    ax = mx.plots.interval_strip(
        shown.assign(counts=counts),
        "share",
        ["rows", "term"],
        low="share_low",
        high="share_high",
        log=False,
        limits=(0, 100),
        cells={"counts": "Sizes / laboratories"},
        row_title="Preparations used / factor",
        head_order=list(asked),
        row_order=[*TERMS.values(), RESIDUAL],
        axis_label="Share of the variance of log size (%)",
        notes=["Random effects of one mixed model for each choice of rows; bars: 95% profile intervals."],
        title=title,
    )
    analysis.write_figure("shares", ax, title=title)


def draw_levels(analysis, levels):
    title = "Vesicle size over the overall mean, by exosome source and isolation method"
    shown = shown_levels(levels)
    predicted = shown.assign(what="predicted (BLUP), given the other factors")
    plain = shown.assign(what="plain mean of the rows", estimate=shown["plain"], low=np.nan, high=np.nan)
    table = pd.concat([predicted, plain])
    counts = table["preparations"].astype(str) + " / " + table["laboratories"].astype(str)
    alike = [TERMS[name] for name in FACTORS if TERMS[name] not in set(shown["factor"])]
    notes = ["Bars: 95% prediction intervals of the random effects (BLUPs), the variances taken as known."]
    notes += [f"Variance estimated as zero, so that all levels are alike: {name}." for name in alike]
    ax = mx.plots.interval_strip(
        table.assign(counts=counts),
        "estimate",
        ["factor", "level"],
        low="low",
        high="high",
        by="what",
        reference=1.0,
        cells={"counts": "Sizes / laboratories"},
        row_title="Factor / level",
        head_order=[TERMS[factor] for factor in FACTORS],
        by_order=["predicted (BLUP), given the other factors", "plain mean of the rows"],
        axis_label="Size over the overall mean",
        notes=notes,
        title=title,
    )
    analysis.write_figure("levels", ax, title=title)


def statement(ledger, checks, main, spread, levels, sizes, with_known):
    """Return what was found, in words."""
    known = shown_levels(levels)
    out = known[(known["low"] > 1) | (known["high"] < 1)]
    zero = [TERMS[name] for name in FACTORS if main.component_values.get(name) == 0]
    found = checks[MAIN]
    comparisons = [check.comparisons for check in found.terms if check.kept and check.name != "effect"]
    largest = sizes.loc[sizes["complete"], "laboratory"].value_counts()
    computed = percent(float(sizes.loc[sizes["complete"], "computed"].mean()))
    return [
        f"{plural(len(ledger.used), 'mean size')} of {labs(sizes)}. In one model of all of them: "
        f"{refused_in_words(checks['all means'])}; a factor that is not named is not a level.",
        f"{plural(main.k, 'size')} of {labs(sizes[sizes['complete']])} name source, isolation method and "
        f"technique, {largest.iloc[0]} of them of one laboratory. There: {refused_in_words(found)}.",
        shares_table(spread),
        f"With an overall mean of {number(float(np.exp(main.beta[0])), 0)} nm "
        f"({interval(*np.exp(main.conf_int().to_numpy()[0]), 0)}), the model predicts these ratios to the "
        "mean: "
        f"{in_words(known, 'source')}; {in_words(known, 'isolation method')}. Levels whose interval excludes "
        f"1: {', '.join(out['level']) or 'none'}. Factors with an estimated variance of zero, so that "
        f"their levels are all alike: {', '.join(zero) or 'none'}.",
        sampling_in_words(sizes, main, with_known),
        "Not shown: the effect of a method on size. Intervals of levels take the variances as known; these "
        f"rest on {min(comparisons)} to {max(comparisons)} comparisons each. Laboratories chose source, "
        f"method and instrument together, and {computed} of the rows were computed from public files.",
    ]


def labs(table):
    return plural(table["laboratory"].nunique(), "laboratory", "laboratories")


def refused_in_words(found):
    """Return which terms are in the model and why the others are not."""
    names = TERMS | {"effect": RESIDUAL}
    kept = ", ".join(names[name] for name in found.kept)
    refused = "".join(f"; refused, {names[name]}: {reason}" for name, reason in found.refused.items())
    return f"random effects of {kept}{refused}"


def sampling_in_words(sizes, main, with_known):
    """Return what is known of sampling variances, and what they change."""
    known = sizes[sizes["sampling_variance"].notna()]
    typical = float(known["sampling_variance"].median())
    residual = main.component_values["effect"]
    moved = "; ".join(
        f"{name} {number(main.component_values[term], 3)} and {number(with_known.component_values[term], 3)}"
        for term, name in (TERMS | {"effect": RESIDUAL}).items()
    )
    return (
        f"Sampling variances: {len(known)} of {len(sizes)} sizes, of {labs(known)}, have an SD between "
        "replicates and their number; what was repeated differs (animals, donors, patients, samples), so "
        f"none is assumed for the others. Where it is known, the median is {number(typical, 4)} on the log "
        "scale; the variance of single preparations of one laboratory, source and method is "
        f"{number(residual, 3)}, and includes sampling error. The variances without the known "
        f"sampling variances and with them: {moved}."
    )


def shown_levels(levels):
    """Return the levels of factors whose variance is not zero; at zero all of them are 1."""
    return levels[(levels["factor"] != TERMS["study"]) & (levels["low"] < levels["high"])]


def in_words(levels, factor):
    rows = levels[levels["factor"] == factor]
    lines = [
        f"{row.level} {number(row.estimate)} ({interval(row.low, row.high)})" for row in rows.itertuples()
    ]
    return f"by {factor}: {'; '.join(lines) or 'all alike'}"


def shares_table(spread):
    """Return the shares of the variance as a Markdown table, one line per choice of rows."""
    lines = []
    for rows, part in spread.groupby("rows", sort=False):
        shares = {row.term: share_in_words(row) for row in part.itertuples()}
        counts = [str(part["k"].iloc[0]), str(part["laboratories"].iloc[0])]
        lines.append([rows, *counts, *(shares.get(name, "–") for name in [*TERMS.values(), RESIDUAL])])
    header = ["rows", "k", "laboratories", *(f"% {name}" for name in [*TERMS.values(), RESIDUAL])]
    return markdown_table(lines, header)


def share_in_words(row):
    return f"{number(100 * row.share, 0)} ({interval(100 * row.share_low, 100 * row.share_high, 0)})"


if __name__ == "__main__":
    report.run_alone(main)
