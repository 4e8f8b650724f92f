"""Tables and figures of the simulation of small-study effects, from its stored results."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.small_study_data import DESIGNS, KEY, SIZES
from benchmarks.small_study_methods import LEVEL, METHODS
from metaexo.formatting import markdown_table
from metaexo.plots import THEMES, Chart, save
from metaexo.plots.canvas.chart import ChartAxis, Curve, Intervals, Layer, Panel, Points, Rule, group_sign

RESULTS = Path(__file__).parent / "results"
FIGURES = RESULTS.parents[1] / "docs" / "figures"
SELECTED = {"none": "no selection", "step": "step", "strong": "strong"}


def is_test(found: pd.DataFrame) -> pd.Series:
    """Say which rows are of tests, which estimate nothing."""
    return found["bias"].isna() & found["covers"].isna()


def one(part: pd.DataFrame, column: str, percent: bool) -> str:
    """Return a number with its Monte Carlo standard error in brackets; a dash where there is none."""
    if part.empty or part[column].isna().all():
        return "–"
    value, error = part[column].item(), part[f"{column}_se"].item()
    return f"{100 * value:.0f} ({100 * error:.1f})" if percent else f"{value:+.2f} ({error:.3f})"


def estimates_table(found: pd.DataFrame, design: str, k: int = 20, tau: float = 0.3) -> pd.DataFrame:
    """Return bias, coverage and type I error of the estimates in one design, with and without selection."""
    part = found[(found["design"] == design) & (found["k"] == k) & (found["tau"] == tau) & ~is_test(found)]
    rows = []
    for name, method in METHODS.items():
        mine = part[part["method"] == name]
        if mine.empty:
            continue
        line = {"method": method.words}
        columns = (("bias", "bias", 0.5), ("interval holds the mean, %", "covers", 0.5))
        for words, column, mean in (*columns, ("type I error, %", "rejected", 0.0)):
            for selection, said in SELECTED.items():
                at = mine[(mine["selection"] == selection) & (mine["mean"] == mean)]
                line[f"{words}: {said}"] = one(at, column, column != "bias")
        rows.append(line)
    return pd.DataFrame(rows)


def rejections_table(found: pd.DataFrame, k: int = 20, tau: float = 0.3) -> pd.DataFrame:
    """Return how often each test rejects, by design, mean and selection."""
    part = found[(found["k"] == k) & (found["tau"] == tau) & is_test(found)]
    rows = []
    for design, (in_words, *_) in DESIGNS.items():
        for name, method in METHODS.items():
            mine = part[(part["design"] == design) & (part["method"] == name)]
            if mine.empty:
                continue
            line = {"design": in_words, "test": method.words}
            for mean in (0.0, 0.5):
                for selection, said in SELECTED.items():
                    at = mine[(mine["selection"] == selection) & (mine["mean"] == mean)]
                    line[f"mean {mean:g}: {said}"] = one(at, "rejected", True)
            rows.append(line)
    return pd.DataFrame(rows)


# ---------------------------------------------------------------- figures


def chart(
    found: pd.DataFrame,
    column: str,
    *,
    design: str,
    mean: float,
    tests: bool,
    title: str,
    label: str,
    limits: tuple[float, float],
    target: float,
    tau: float = 0.3,
) -> Chart:
    """Return a panel per method: a number by k, with a line per kind of selection."""
    mine = (found["design"] == design) & (found["mean"] == mean) & (found["tau"] == tau)
    part = found[mine & (is_test(found) == tests)]
    names = [name for name in METHODS if (part["method"] == name).any() and METHODS[name].sizes == SIZES]
    across = 4 if len(names) > 6 else 3
    panels = tuple(
        Panel(
            heading=METHODS[name].words,
            x=ChartAxis(label="studies", scale="log", ticks=[(k, str(k)) for k in SIZES], limits=(4.3, 116)),
            y=ChartAxis(label=label if i % across == 0 else "", limits=limits),
            layers=[Rule(at=target, axis="y"), *lines_of(part[part["method"] == name], column)],
        )
        for i, name in enumerate(names)
    )
    return Chart(
        panels=panels,
        across=across,
        legend="below",
        summary=title,
        title=title,
        notes=(),
        width=7.0,
        height=0.6 + 1.6 * -(-len(panels) // across),
        theme=THEMES["metaexo"],
    )


def lines_of(part: pd.DataFrame, column: str) -> list[Layer]:
    """Return the lines of one method."""
    layers: list[Layer] = []
    for place, (selection, words) in enumerate(SELECTED.items()):
        line = part[(part["selection"] == selection) & part[column].notna()].sort_values("k")
        if line.empty:
            continue
        x, y = line["k"].tolist(), line[column]
        color, shape = group_sign(place)
        if f"{column}_se" in line:
            error = 1.96 * line[f"{column}_se"]
            low, high = (y - error).tolist(), (y + error).tolist()
            layers.append(Intervals(at=x, low=low, high=high, across=False, color=color))
        layers += [
            Curve(x=x, y=y.tolist(), color=color),
            Points(x=x, y=y.tolist(), name=words, color=color, shape=shape, size=4.0),
        ]
    return layers


def figures(found: pd.DataFrame) -> dict[str, Chart]:
    """Return all figures by the names of their files."""
    animals = "SMDs of 5 to 10 animals per group"
    return {
        "small_study_bias": chart(
            found, "median_bias", design="SMD", mean=0.5, tests=False, target=0.0, limits=(-1.5, 0.75),
            title=f"Median error of estimates of a mean of 0.5 ({animals})", label="error",
        ),
        "small_study_coverage": chart(
            found, "covers", design="SMD", mean=0.5, tests=False, target=LEVEL, limits=(-0.02, 1.02),
            title=f"How often 95% intervals hold a mean of 0.5 ({animals})", label="holds the mean",
        ),
        "small_study_tests": chart(
            found, "rejected", design="SMD", mean=0.5, tests=True, target=1 - LEVEL, limits=(-0.02, 1.02),
            title=f"How often tests find asymmetry or selection ({animals})", label="p < 0.05",
        ),
    }  # fmt: skip


def tables(found: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables that the pages include, by the names of their files."""
    made = {f"small_study_estimates_{i}": estimates_table(found, one) for i, one in enumerate(DESIGNS, 1)}
    return made | {"small_study_tests": rejections_table(found)}


def write(found: pd.DataFrame) -> None:
    """Write the tables that the pages include, a summary in Markdown, and the figures."""
    minutes, count = found["seconds"].sum() / 60, found.groupby(KEY[:-1]).ngroups
    text = [
        "# Small-study effects: bias, coverage and type I error",
        "",
        f"Made by `python -m benchmarks.small_study` in {minutes:.0f} minutes of one core, besides the "
        f"draws: {count} settings, {found['draws'].max():,} draws of each ({found['draws'].min():,} by the "
        "slowest method). Monte Carlo standard errors stand in brackets. Here k = 20 and tau = 0.3; "
        "`small_study.csv` has all.",
    ]
    for name, table in tables(found).items():
        table.to_csv(RESULTS / f"{name}.csv", index=False, lineterminator="\n")
        text += ["", markdown_table(table.to_numpy().tolist(), list(table.columns), left=2)]
    (RESULTS / "small_study.md").write_text("\n".join(text) + "\n", encoding="utf8")
    for name, plan in figures(found).items():
        ax = plan.draw()
        for ending in (".svg", ".png"):
            save(ax, FIGURES / f"{name}{ending}")
