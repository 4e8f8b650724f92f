"""Coverage and width of interval methods for few small studies: python -m benchmarks.coverage.

Standardised mean differences of animal studies (5 to 10 animals an arm), k studies, and a between-study
variance that makes a given I2. For each estimator of tau2 and each kind of interval: how often the 95%
interval of the mean holds the true mean, with its Monte Carlo error, how wide it is, and the same for the
prediction interval of the true effect of a new study. The package's defaults are those that this supports.
With --draw the figure alone is made, from the stored table.

References
----------
Morris, T. P., White, I. R., Crowther, M. J. (2019). Using simulation studies to evaluate statistical methods.
Statistics in Medicine 38, 2074-2102. https://doi.org/10.1002/sim.8086
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo.effects import calculate
from metaexo.numeric.tails import normal_quantile, t_of_tail

HERE = Path(__file__).parent
SEED, DRAWS, LEVEL, MEAN = 20261122, 5000, 0.95, 0.8
SIZES, SHARES = (3, 5, 10, 30), (0.0, 0.25, 0.5, 0.75, 0.9)
METHODS, TESTS = ("DL", "PM", "REML"), ("z", "t", "knapp-hartung", "knapp-hartung-adhoc")
SIGNS = "osD^"


def simulate(k: int, i2: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return effects and variances of shape (DRAWS, k), and the true effect of a new study in each draw."""
    rng = np.random.default_rng([SEED, k, round(100 * i2)])
    n = rng.integers(5, 11, (DRAWS, k)).astype(float)
    typical = float((2 / n + MEAN**2 / (4 * n)).mean())
    tau = np.sqrt(typical * i2 / (1 - i2))
    true = rng.normal(MEAN, tau, (DRAWS, k))
    treated, control = (rng.normal(mean, 1 / np.sqrt(n)) for mean in (true, np.zeros_like(true)))
    sd = [np.sqrt(rng.chisquare(n - 1) / (n - 1)) for _ in range(2)]
    inputs = {
        "treatment_mean": treated,
        "treatment_sd": sd[0],
        "treatment_n": n,
        "control_mean": control,
        "control_sd": sd[1],
        "control_n": n,
    }
    flat = calculate("SMD", {name: values.ravel() for name, values in inputs.items()})
    return flat.y.reshape(DRAWS, k), flat.v.reshape(DRAWS, k), rng.normal(MEAN, tau, DRAWS)


def row(k: int, i2: float, method: str, test: str, data: tuple[np.ndarray, ...]) -> dict[str, object]:
    """Return coverage and width of one method on one set of draws."""
    y, v, new = data
    fits = mx.fit_many(y, v, method=method, test=test, level=LEVEL)
    quantile = normal_quantile(LEVEL) if test == "z" else float(t_of_tail((1 - LEVEL) / 2, k - 1))
    half = quantile * np.sqrt(fits.se**2 + fits.tau2)
    holds = (fits.low <= MEAN) & (fits.high >= MEAN)
    predicts = np.abs(new - fits.estimate) <= half
    return {
        "k": k,
        "i2": i2,
        "method": method,
        "test": test,
        "coverage": holds.mean(),
        "coverage_se": np.sqrt(holds.mean() * (1 - holds.mean()) / DRAWS),
        "median_width": np.median(fits.high - fits.low),
        "prediction_coverage": predicts.mean(),
        "prediction_coverage_se": np.sqrt(predicts.mean() * (1 - predicts.mean()) / DRAWS),
        "median_prediction_width": np.median(2 * half),
        "bias": fits.estimate.mean() - MEAN,
        "draws": DRAWS,
    }


def table() -> pd.DataFrame:
    """Return one row for every size, heterogeneity, estimator and interval."""
    rows = []
    for k in SIZES:
        for i2 in SHARES:
            data = simulate(k, i2)
            rows += [row(k, i2, method, test, data) for method in METHODS for test in TESTS]
    return pd.DataFrame(rows)


def draw(found: pd.DataFrame, path: Path) -> None:
    """Draw coverage against I2, a panel a k, for the REML estimator."""
    from matplotlib.figure import Figure

    names = {
        "z": "normal",
        "t": "t, k − 1 df",
        "knapp-hartung": "Knapp-Hartung (default)",
        "knapp-hartung-adhoc": "Knapp-Hartung, scale at least 1",
    }
    theme = mx.plots.THEMES["metaexo"]
    with theme.context():
        figure = Figure(figsize=(7.0, 4.6), layout="constrained")
        axes = figure.subplots(2, len(SIZES), sharex=True, sharey="row")
        kinds = (("coverage", "Confidence interval"), ("prediction_coverage", "Prediction interval"))
        for upper, (column, words) in zip(axes, kinds, strict=True):
            for ax, k in zip(upper, SIZES, strict=True):
                part = found[(found["k"] == k) & (found["method"] == "REML")]
                for place, test in enumerate(TESTS):
                    line = part[part["test"] == test]
                    error = 1.96 * line[f"{column}_se"]
                    ax.errorbar(
                        line["i2"], line[column], error, color=theme.color(place), marker=SIGNS[place],
                        markersize=4, linewidth=1.2, label=names[test],
                    )  # fmt: skip
                ax.axhline(LEVEL, color=theme.pale, linewidth=0.8)
                ax.set_xticks(SHARES, [f"{100 * share:.0f}" for share in SHARES])
                if column == "coverage":
                    ax.set_title(f"k = {k}")
            upper[0].set_ylabel(f"{words}\ncovers the truth")
        for ax in axes[-1]:
            ax.set_xlabel("I² (%)")
        title = "How often 95% intervals hold the truth, by number of studies k and heterogeneity"
        figure.suptitle(title, x=0.01, ha="left")
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=4)
        for ending in (".svg", ".png"):
            mx.plots.save(figure, path.with_name(path.name + ending))


def main(arguments: list[str]) -> None:
    """Write the table and the figure; with --draw, the figure alone, from the stored table."""
    results, figure = HERE / "results", HERE.parent / "docs" / "figures" / "coverage"
    if "--draw" in arguments:
        draw(pd.read_csv(results / "coverage.csv"), figure)
        return
    found = table()
    results.mkdir(exist_ok=True)
    found.to_csv(results / "coverage.csv", index=False, float_format="%.5g", lineterminator="\n")
    draw(found, figure)
    summary = (
        found[found["method"] == "REML"].groupby(["test", "k"])[["coverage", "prediction_coverage"]].min()
    )
    print(summary.round(3).to_string())


if __name__ == "__main__":
    main(sys.argv[1:])
