"""
What is vesicle size associated with?
=====================================

Mean diameters of vesicle preparations by source, isolation method and measuring technique, on a log scale:
how much each of the three explains, and what the few studies say that isolated one source in several ways.
Only means take part; medians, peaks and bare ranges stay out, and so do rows that the sheet sets apart. Most
rows lack an SD or the number of replicates, so every preparation counts alike and whole laboratories are
resampled.
"""

from dataclasses import asdict

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo import evidence, report
from metaexo.formatting import interval, markdown_table, number, percent

FACTORS = {"source_group": "source", "isolation": "isolation", "technique": "technique"}
NOT_REPORTED = ["Not reported", "not_reported"]
SEED = 4
BY_FACTOR, BY_CHANCE = "explained by the factor", "explained by permuted labels"
MEANS = "Means only, one per preparation; nothing is pooled. Rows also differ in laboratory and instrument."


def main(analysis: report.Analysis) -> None:
    preparations = mx.read_sheets(analysis.data).preparations
    ledger = evidence.choose_means(preparations)
    sizes = preparations[preparations["line"].isin(ledger.used)].reset_index(drop=True)
    sizes["laboratory"] = evidence.laboratories(sizes)
    sizes["computed"] = sizes["caution"].fillna("").str.contains("computed from")
    analysis.write_table("left_out", ledger.to_frame())
    columns = [
        "line",
        "study_id",
        "study_name",
        "laboratory",
        "source",
        "source_group",
        "isolation",
        "technique",
        "size_nm",
    ]
    analysis.write_table("sizes", sizes[[*columns, "use", "computed", "caution"]])
    draw_sizes(analysis, sizes)

    # Shares of the variance of log size: of all means, of those without doubt, of those that were printed.
    chosen = {
        "all means": sizes,
        "without doubtful rows": sizes[sizes["use"] == "main"],
        "without rows computed from public files": sizes[~sizes["computed"]],
    }
    explained = pd.concat([explain(table).assign(rows=name) for name, table in chosen.items()])
    explained = explained[["rows", *explained.columns.drop("rows")]]
    spreads = {
        name: evidence.study_spread(np.log(t["size_nm"]), t["laboratory"]) for name, t in chosen.items()
    }
    analysis.write_table("explained", explained)
    analysis.write_table("spread", pd.DataFrame([{"rows": name, **in_nm(s)} for name, s in spreads.items()]))
    draw_explained(analysis, explained)

    # One source isolated in several ways in one laboratory, measured with one instrument.
    ratios = evidence.method_ratios(sizes)
    analysis.write_table("method_ratios", ratios)
    draw_ratios(analysis, ratios)
    for paragraph in statement(ledger, spreads, explained, ratios):
        analysis.write_summary(paragraph)


def explain(sizes: pd.DataFrame) -> pd.DataFrame:
    """Return the shares of the variance of log size that the factors explain."""
    factors = sizes[list(FACTORS)].rename(columns=FACTORS)
    known = factors.mask(factors.isin(NOT_REPORTED))
    return evidence.shares_explained(np.log(sizes["size_nm"]), known, sizes["laboratory"], seed=SEED)


def in_nm(spread: evidence.StudySpread) -> dict[str, float]:
    """Return the variation of log sizes with its mean in nm; the SDs stay on the log scale."""
    return asdict(spread) | {name: np.exp(getattr(spread, name)) for name in ("mean", "low", "high")}


def draw_sizes(analysis: report.Analysis, sizes: pd.DataFrame) -> None:
    for factor, words in (("isolation", "isolation method"), ("source", "exosome source")):
        title = f"Mean diameter of vesicles by {words} and measuring technique, one point per preparation"
        ax = mx.plots.interval_strip(
            sizes,
            "size_nm",
            factor,
            by="technique",
            hollow="computed",
            study="laboratory",
            study_title="Laboratories",
            axis_label="Mean diameter (nm)",
            wording={"computed": "computed from public files"},
            notes=[
                MEANS,
                "A row read in the table of a review counts as a separate laboratory.",
            ],
            title=title,
        )
        analysis.write_figure(f"sizes_by_{factor}", ax, title=title)


def draw_explained(analysis: report.Analysis, explained: pd.DataFrame) -> None:
    alone = explained[explained["given"] == "alone"]
    found = alone.assign(what=BY_FACTOR)
    chance = alone.assign(what=BY_CHANCE, share=alone["chance"], low=np.nan, high=np.nan)
    table = pd.concat([found, chance])
    table = table.assign(**{c: 100 * table[c].astype(float) for c in ("share", "low", "high")})
    title = "Variance of vesicle size explained by source, isolation method and technique, each alone"
    ax = mx.plots.interval_strip(
        table,
        "share",
        ["rows", "factor"],
        low="low",
        high="high",
        by="what",
        log=False,
        limits=(0, 100),
        cells={"k": "Sizes", "m": "Laboratories"},
        row_title="Preparations used / factor",
        row_order=list(FACTORS.values()),
        by_order=[BY_FACTOR, BY_CHANCE],
        axis_label="Share of the variance of log size (%)",
        notes=["Bars: 95% percentile intervals of a bootstrap of whole laboratories."],
        title=title,
    )
    analysis.write_figure("explained", ax, title=title)


def draw_ratios(analysis: report.Analysis, ratios: pd.DataFrame) -> None:
    title = "Mean diameter of vesicles: ratio of two isolation methods on one source in one laboratory"
    table = ratios.assign(
        study=ratios["study_name"] + ": " + ratios["source"], text=ratios["ratio"].map(number)
    )
    ax = mx.plots.interval_strip(
        table.sort_values("ratio"),
        "ratio",
        ["study", "methods"],
        low="low",
        high="high",
        reference=1.0,
        cells={"text": "Ratio"},
        row_title="Study: source / methods",
        head_order=list(table["study"].unique()),
        axis_label="Ratio of mean diameters",
        notes=["Bars: 95% intervals where SDs of replicates are known, the arms taken as independent."],
        title=title,
    )
    analysis.write_figure("method_ratios", ax, title=title)


def statement(
    ledger: mx.Ledger, spreads: dict[str, evidence.StudySpread], explained: pd.DataFrame, ratios: pd.DataFrame
) -> list[str]:
    """Return what was found, in words."""
    spread = spreads["all means"]
    mean, low, high = np.exp([spread.mean, spread.low, spread.high])
    whole = explained[explained["rows"] == "all means"]
    clear = whole.loc[whole["p_value"] < 0.05, "factor"]
    return [
        f"{spread.k} mean sizes of {spread.m} laboratories are used (a row of a review table counts as one "
        f"laboratory, repositories of one owner too); {len(ledger.left_out)} of {ledger.total} preparations "
        "are left out (no size, no mean, set apart). With each laboratory counted once, the "
        f"geometric mean is {number(mean, 0)} nm (95% CI {interval(low, high, 0)}). On the log scale "
        f"the SD between laboratories is {number(spread.between_sd)} and within them "
        f"{number(spread.within_sd)}: {percent(spread.share_between)} of the variance lies between "
        "laboratories. Without sampling variances, these take the place of τ and I².",
        shares_table(explained),
        "Factors that explain more than labels permuted between laboratories do in 95% of permutations: "
        f"{', '.join(clear) or 'none'}. Factors are confounded with laboratories and with each other; a "
        "factor aliased with the others has no share, and a level of one laboratory is not used.",
        f"{ratios['study_id'].nunique()} studies isolated one source in several ways, with these ratios of "
        f"mean diameters: {tell(ratios, 'study_name')}. Pairs of methods that two of them share: "
        f"{shared(ratios)}. Nothing is pooled.",
        "Not shown: the general effect of a method on size. Techniques weigh particles differently (DLS "
        "by intensity), most SDs and replicates are missing, and many rows are single preparations.",
    ]


def shares_table(explained: pd.DataFrame) -> str:
    header = [
        "rows",
        "factor",
        "given",
        "k",
        "laboratories",
        "% explained",
        "% by chance",
        "laboratories a level",
    ]
    cells = [
        (
            *(row.rows, row.factor, row.given, str(row.k), str(row.m)),
            row.note or f"{number(100 * row.share, 0)} ({interval(100 * row.low, 100 * row.high, 0)})",
            number(100 * row.chance, 0),
            row.levels,
        )
        for row in explained.itertuples()
        if row.given == "alone" or row.rows == "all means"
    ]
    return markdown_table(cells, header, left=3)


def tell(ratios: pd.DataFrame, factor: str) -> str:
    ranges = ratios.groupby(factor, sort=False)["ratio"].agg(["min", "max"])
    return "; ".join(f"{row.Index} {interval(row.min, row.max)}" for row in ranges.itertuples())


def shared(ratios: pd.DataFrame) -> str:
    pairs = ratios.groupby("methods")["study_id"].nunique()
    found = [
        f"{pair} ({tell(ratios[ratios['methods'] == pair], 'study_name')})" for pair in pairs.index[pairs > 1]
    ]
    return "; ".join(found) or "none"


if __name__ == "__main__":
    report.run_alone(main)
