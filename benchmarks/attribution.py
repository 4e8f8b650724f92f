"""How often the verdict of an attribution is right: python -m benchmarks.attribution.

Studies have one of three sources and one of three isolation methods; a factor that matters makes a variance
of 1.5 times the unexplained between-study variance. Six truths: the source matters, the method matters, both
do, neither does, the source matters but comes with the method in all studies (no analysis can separate them),
or in four of five studies. Two more have several effects per study, and no factor that matters, or the source
alone. For each truth and number of studies: how often each verdict was given. A second table has the median
errors of the shares and the coverage of their intervals. A third is about residuals that are not
exchangeable: neither factor matters, the between-study variance differs between sources, and the sources are
not equally frequent; how often a factor is named falsely, by the studentised statistic and by a plain F.
With --draw the figures alone are made, from the stored table.

References
----------
Morris, T. P., White, I. R., Crowther, M. J. (2019). Using simulation studies to evaluate statistical methods.
Statistics in Medicine 38, 2074-2102. https://doi.org/10.1002/sim.8086
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo.heterogeneity import attribution_verdict
from metaexo.heterogeneity.attribution import draws as attribution_draws

HERE = Path(__file__).parent
SEED, REPEATS, PERMUTATIONS, INTERVAL_REPEATS, DRAWS = 20261122, 250, 199, 60, 200
SIZES = (5, 10, 20, 50, 100, 200)
INTERVAL_SIZES = (10, 20, 50)
UNEQUAL_SIZES, UNEQUAL_REPEATS = (20, 50, 100), 1000
SOURCES, METHODS = np.array(["adipose", "plant", "milk"]), np.array(["UC", "SEC", "kit"])
TAU2, RATIO = 0.08, 1.5
# Three levels, equally likely, whose effects have a variance of RATIO * TAU2.
LEVELS = np.array([-1.0, 0.0, 1.0]) * np.sqrt(1.5 * RATIO * TAU2)
# With so large a weight the covariance of the model is all that counts: the statistic is a plain F.
PLAIN = 1e9
NEITHER = (False, False, 0.0, "neither")
VERDICTS = ("source", "isolation", "both", "neither", "not_separable", "too_few", "no_heterogeneity")
REFUSALS = ("not_separable", "too_few", "no_heterogeneity")


@dataclass(frozen=True)
class Truth:
    """What matters, how often source and method go together, the right verdict, and effects per study.

    `often` and `spread` are how frequent the sources are, and by what their tau2 is multiplied.
    """

    words: str
    source: bool
    isolation: bool
    together: float
    right: str
    effects: int = 1
    often: tuple[float, ...] = ()
    spread: tuple[float, ...] = (1.0, 1.0, 1.0)


TRUTHS = {
    "source": Truth("source matters", True, False, 0.0, "source"),
    "isolation": Truth("isolation method matters", False, True, 0.0, "isolation"),
    "both": Truth("both matter", True, True, 0.0, "both"),
    "neither": Truth("neither matters", False, False, 0.0, "neither"),
    "confounded": Truth("source matters, method fully confounded", True, False, 1.0, "not_separable"),
    "entangled": Truth("source matters, method confounded in 4 of 5", True, False, 0.8, "source"),
    "clusters, neither": Truth("neither matters, 1 to 4 effects per study", False, False, 0.0, "neither", 4),
    "clusters, source": Truth("source matters, 1 to 4 effects per study", True, False, 0.0, "source", 4),
}


RARE, WIDE = (0.15, 0.25, 0.6), (8.0, 1.0, 0.125)
UNEQUAL = {
    "rare varies most": Truth("the rarest source varies most", *NEITHER, 1, RARE, WIDE),
    "rare varies least": Truth("the rarest source varies least", *NEITHER, 1, RARE, WIDE[::-1]),
    "same frequency": Truth("sources vary differently, equally frequent", *NEITHER, 1, (), WIDE),
    "rare varies most, clusters": Truth(
        "the rarest source varies most, 1 to 4 effects per study", *NEITHER, 4, RARE, WIDE
    ),
}


def simulate(truth: Truth, m: int, rng: np.random.Generator) -> mx.EffectSizes:
    """Return effects of m studies; in a study with several effects three quarters of tau2 are its own."""
    sizes = rng.integers(1, truth.effects + 1, m)
    study = np.repeat(np.arange(m), sizes)
    k = study.size
    source = (rng.choice(3, m, p=truth.often) if truth.often else rng.integers(0, 3, m))[study]
    alone = rng.integers(0, 3, k if truth.effects > 1 else m)
    isolation = np.where((rng.random(m) < truth.together)[study], source, alone)
    tau2 = TAU2 * np.array(truth.spread)[source]
    own = 0.75 * tau2 if truth.effects > 1 else tau2
    v = rng.uniform(0.05, 0.3, k)
    true = truth.source * LEVELS[source] + truth.isolation * LEVELS[isolation]
    y = 0.8 + true + np.sqrt(own) * rng.normal(size=m)[study] + rng.normal(0.0, np.sqrt(tau2 - own + v))
    data = pd.DataFrame({"source": SOURCES[source], "isolation": METHODS[isolation]})
    return mx.EffectSizes(y, v, data=data, study=[f"study {s}" for s in study])


def verdicts(name: str, m: int, repeats: int = REPEATS) -> Counter[str]:
    """Return how often each verdict is given under one truth and number of studies."""
    rng = np.random.default_rng([SEED, m, list(TRUTHS).index(name)])
    return Counter(
        attribution_verdict(simulate(TRUTHS[name], m, rng), permutations=PERMUTATIONS, seed=i).kind
        for i in range(repeats)
    )


def unequal_row(name: str, m: int, repeats: int = UNEQUAL_REPEATS) -> dict[str, object]:
    """Return how often a factor is named although none matters, by both statistics on the same data."""
    rng = np.random.default_rng([SEED, m, list(UNEQUAL).index(name), 2])
    sets = [simulate(UNEQUAL[name], m, rng) for _ in range(repeats)]
    row: dict[str, object] = {"what is true": UNEQUAL[name].words, "studies": m}
    for words, prior in (("studentised", attribution_draws.PRIOR), ("plain", PLAIN)):
        with mock.patch.object(attribution_draws, "PRIOR", prior):
            kinds = [
                attribution_verdict(es, permutations=PERMUTATIONS, seed=i).kind for i, es in enumerate(sets)
            ]
        false = float(np.mean([kind in ("source", "isolation", "both") for kind in kinds]))
        row |= {words: false, f"{words}_se": np.sqrt(false * (1 - false) / repeats)}
    return row | {"repeats": repeats}


def unequal_table(sizes: Sequence[int] = UNEQUAL_SIZES, repeats: int = UNEQUAL_REPEATS) -> pd.DataFrame:
    """Return one row for every truth with unequal variances and number of studies."""
    return pd.DataFrame([unequal_row(name, m, repeats) for name in UNEQUAL for m in sizes])


def verdict_row(name: str, m: int, found: Counter[str]) -> dict[str, object]:
    """Return the shares of the verdicts: right, refused, false (a factor named that does not matter)."""
    truth, total = TRUTHS[name], found.total()
    wrong = [kind for kind in ("source", "isolation", "both") if not _is_true(truth, kind)]
    right = found[truth.right] / total
    return {
        "truth": name,
        "studies": m,
        "right": right,
        "right_se": np.sqrt(right * (1 - right) / total),
        "refused": sum(found[kind] for kind in REFUSALS) / total,
        "false": sum(found[kind] for kind in wrong) / total,
        **{kind: found[kind] / total for kind in VERDICTS},
        "repeats": total,
    }


def _is_true(truth: Truth, kind: str) -> bool:
    """Return whether a verdict names only factors that matter."""
    return (truth.source or kind == "isolation") and (truth.isolation or kind == "source")


def verdict_table(sizes: Sequence[int] = SIZES, repeats: int = REPEATS) -> pd.DataFrame:
    """Return one row for every truth and number of studies."""
    return pd.DataFrame([verdict_row(name, m, verdicts(name, m, repeats)) for name in TRUTHS for m in sizes])


def interval_row(name: str, m: int, repeats: int, draws: int) -> dict[str, object]:
    """Return median errors of the shares and coverage of their intervals; data without shares are counted."""
    truth = TRUTHS[name]
    rng = np.random.default_rng([SEED, m, list(TRUTHS).index(name), 1])
    rows = []
    for i in range(repeats):
        es = simulate(truth, m, rng)
        found = mx.attribute_heterogeneity(es, draws=draws, permutations=19, seed=i)
        aims = true_shares(truth, found.used)
        for factor, aim in aims.items():
            part = next((p for p in found.parts if p.name == factor and p.low is not None), None)
            if part is not None:
                holds = part.low - 1e-9 <= aim <= part.high + 1e-9
                rows.append((factor, part.share - aim, holds, part.high - part.low))
    got = pd.DataFrame(rows, columns=["factor", "error", "holds", "width"]).groupby("factor")
    out: dict[str, object] = {"truth": name, "studies": m}
    for factor in ("source", "isolation"):
        one = got.get_group(factor)
        out |= {
            f"{factor}_median_error": one["error"].median(),
            f"{factor}_coverage": one["holds"].mean(),
            f"{factor}_median_width": one["width"].median(),
        }
    return out | {"with_shares": len(got.get_group("source")), "repeats": repeats}


def true_shares(truth: Truth, used: mx.EffectSizes) -> dict[str, float]:
    """Return the shares that the true effects of the levels have among the studies at hand."""
    parts = {}
    for name, matters, levels in (("source", truth.source, SOURCES), ("isolation", truth.isolation, METHODS)):
        places = [list(levels).index(level) for level in used.column(name)]
        parts[name] = float(np.var(LEVELS[places], ddof=1)) if matters else 0.0
    total = sum(parts.values()) + TAU2
    return {name: value / total for name, value in parts.items()}


def interval_table(
    sizes: Sequence[int] = INTERVAL_SIZES, repeats: int = INTERVAL_REPEATS, draws: int = DRAWS
) -> pd.DataFrame:
    """Return one row for every truth with separable factors and number of studies."""
    names = ("source", "both", "neither")
    return pd.DataFrame([interval_row(name, m, repeats, draws) for name in names for m in sizes])


def draw(found: pd.DataFrame, path: Path) -> None:
    """Draw the shares of the verdicts against the number of studies, a panel a truth."""
    from matplotlib.figure import Figure

    theme = mx.plots.THEMES["metaexo"]
    groups = {
        "right": ("right", theme.color(0), ""),
        "missed": ("nothing named, or only one of two", theme.track, "///"),
        "refused": ("refused: not estimable", theme.paper, ""),
        "false": ("a factor named that does not matter", theme.color(1), "xxx"),
    }
    with theme.context():
        figure = Figure(figsize=(7.0, 4.6), layout="constrained")
        axes = figure.subplots(2, 4, sharex=True, sharey=True).ravel()
        for ax, (name, truth) in zip(axes, TRUTHS.items(), strict=True):
            part = found[found["truth"] == name].copy()
            if truth.right in REFUSALS:
                part["refused"] -= part[truth.right]
            part["missed"] = 1 - part[["right", "refused", "false"]].sum(axis=1)
            bottom = np.zeros(len(part))
            places = np.arange(len(part))
            for column, (words, color, hatch) in groups.items():
                ax.bar(
                    places, part[column], 0.8, bottom, color=color, hatch=hatch, label=words,
                    edgecolor=theme.ink, linewidth=0.4,
                )  # fmt: skip
                bottom += part[column].to_numpy()
            ax.set_title(
                "\n".join(theme.wrap(truth.words, 104.0, bold=True, size=theme.small)), size=theme.small
            )
            ax.set_xticks(places, [str(m) for m in part["studies"]])
            ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
        for ax in axes[4:]:
            ax.set_xlabel("Studies")
        figure.supylabel("Simulated data sets (%)", fontsize=theme.size)
        title = "How often the verdict of an attribution is right, by what is true and number of studies"
        figure.suptitle(title, x=0.01, ha="left")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=4)
        for ending in (".svg", ".png"):
            mx.plots.save(figure, path.with_name(path.name + ending))


def compact(found: pd.DataFrame) -> pd.DataFrame:
    """Return per cent right / refused / false, a row a truth, a column a number of studies."""
    refused = found["refused"].where(~found["truth"].map(lambda name: TRUTHS[name].right in REFUSALS), 0.0)
    parts = [
        (100 * column).round().astype(int).astype(str) for column in (found["right"], refused, found["false"])
    ]
    texts = parts[0] + " / " + parts[1] + " / " + parts[2]
    table = found.assign(text=texts, what=found["truth"].map(lambda name: TRUTHS[name].words))
    wide = table.pivot(index="what", columns="studies", values="text").loc[list(dict.fromkeys(table["what"]))]
    wide.columns = [f"{m} studies" for m in wide.columns]
    return wide.rename_axis("what is true").reset_index()


def compact_unequal(found: pd.DataFrame) -> pd.DataFrame:
    """Return per cent false by the studentised / by the plain statistic, a row per truth."""
    parts = [(100 * found[column]).map("{:.1f}".format) for column in ("studentised", "plain")]
    table = found.assign(text=parts[0] + " / " + parts[1])
    wide = table.pivot(index="what is true", columns="studies", values="text")
    wide = wide.loc[list(dict.fromkeys(table["what is true"]))]
    wide.columns = [f"{m} studies" for m in wide.columns]
    return wide.reset_index()


def draw_example(folder: Path) -> None:
    """Draw the figures of three simulated sets: separable, confounded, too few."""
    rng = np.random.default_rng(SEED)
    sets = {
        "Source matters": ("source", 40),
        "Always together": ("confounded", 25),
        "Few studies": ("both", 6),
    }
    made = {name: simulate(TRUTHS[truth], m, rng) for name, (truth, m) in sets.items()}
    found = {name: mx.attribute_heterogeneity(es) for name, es in made.items()}
    for ending in (".svg", ".png"):
        mx.plots.save(mx.plots.attribution(found), folder / f"attribution_example{ending}")
        mx.plots.save(mx.plots.estimability(found["Always together"]), folder / f"attribution_grid{ending}")


def main(arguments: list[str]) -> None:
    """Write the tables and the figures; with --draw, the figures alone, from the stored table."""
    results, figures = HERE / "results", HERE.parent / "docs" / "figures"
    if "--draw" in arguments:
        draw(pd.read_csv(results / "attribution.csv"), figures / "attribution")
        draw_example(figures)
        return
    results.mkdir(exist_ok=True)
    found = verdict_table()
    found.to_csv(results / "attribution.csv", index=False, float_format="%.4g", lineterminator="\n")
    draw(found, figures / "attribution")
    compact(found).to_csv(results / "attribution_summary.csv", index=False, lineterminator="\n")
    draw_example(figures)
    print(found.round(3).to_string())
    covered = interval_table()
    covered.to_csv(
        results / "attribution_intervals.csv", index=False, float_format="%.4g", lineterminator="\n"
    )
    print(covered.round(3).to_string())
    unequal = unequal_table()
    unequal.to_csv(results / "attribution_unequal.csv", index=False, float_format="%.4g", lineterminator="\n")
    compact_unequal(unequal).to_csv(
        results / "attribution_unequal_summary.csv", index=False, lineterminator="\n"
    )
    print(unequal.round(3).to_string())


if __name__ == "__main__":
    main(sys.argv[1:])
