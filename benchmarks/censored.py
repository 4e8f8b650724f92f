"""Bias and coverage of ways to treat thresholds: python -m benchmarks.censored.

Standardised mean differences (Hedges' g of 8 to 20 animals an arm) with a mean of 0.5. A share of the studies
gives no number but only whether p was below 0.05, and on which side; either any study may be such, or those
that were not significant come first, as where "not significant" is all that is said of them. The same draws
go to the fit of all effects as if nothing had been kept back, to the model of censored evidence, to the fit
of what was reported as a number, to the fit with "not significant" set to zero, and to the fit with
"p < 0.05" set to p = 0.05 as well. All are REML with Knapp-Hartung intervals; intervals of tau2 are those of
the profile likelihood.

References
----------
Morris, T. P., White, I. R., Crowther, M. J. (2019). Using simulation studies to evaluate statistical methods.
Statistics in Medicine 38, 2074-2102. https://doi.org/10.1002/sim.8086
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo.effects import calculate
from metaexo.formatting import markdown_table
from metaexo.models import fit_many_censored
from metaexo.numeric.likelihood_maximum import profile_likelihood_interval
from metaexo.numeric.problem import make_batch
from metaexo.numeric.tails import normal_quantile, t_of_tail

HERE = Path(__file__).parent
SEED, DRAWS, LEVEL, MEAN, ANIMALS = 20261122, 1000, 0.95, 0.5, (8, 21)
SIZES, SPREADS, SHARES = (10, 20, 50), (0.0, 0.1, 0.3), (0.3, 0.6)
MECHANISMS = ("any study", "not significant first")
# Profile intervals of the mean take longest; they are looked at in fewer draws, and for small sizes only.
PROFILE_DRAWS, PROFILE_SIZES = 400, (10, 20)
METHODS = {
    "complete": "all effects, nothing kept back",
    "censored": "censored model",
    "censored, profile": "censored model, ML, profile interval",
    "dropped": "thresholds dropped",
    "zero": "not significant = 0, rest dropped",
    "zero and threshold": "not significant = 0, p < 0.05 = 0.05",
}


@dataclass(frozen=True)
class Draw:
    """What is known of DRAWS meta-analyses: effects, and the thresholds that some are told as, (DRAWS, k).

    `end` is the effect at p = 0.05, `told` says which studies give no number.
    """

    y: np.ndarray
    v: np.ndarray
    v_zero: np.ndarray
    end: np.ndarray
    v_end: np.ndarray
    told: np.ndarray

    @property
    def significant(self) -> np.ndarray:
        """Return which effects have p < 0.05."""
        return np.abs(self.y) > self.end


@dataclass(frozen=True)
class Found:
    """Estimates of one method with its intervals, (DRAWS,) each."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    tau2: np.ndarray
    tau2_low: np.ndarray
    tau2_high: np.ndarray


def simulate(k: int, tau2: float, share: float, mechanism: str, draws: int = DRAWS) -> Draw:
    """Return draws of k studies of which a share is told as thresholds."""
    place = (k, round(100 * tau2), round(100 * share), MECHANISMS.index(mechanism))
    rng = np.random.default_rng([SEED, *place])
    n = rng.integers(*ANIMALS, (draws, k)).astype(float)
    df, size = 2 * n - 2, 2 / n
    true = rng.normal(MEAN, np.sqrt(tau2), (draws, k))
    t = rng.normal(true / np.sqrt(size), 1.0) / np.sqrt(rng.chisquare(df) / df)
    order = rng.random((draws, k))
    q = t_of_tail(0.025, df)
    if mechanism == "not significant first":
        order += np.abs(t) > q
    told = order.argsort(axis=1).argsort(axis=1) < round(share * k)
    (y, v), (end, v_end), (_, v_zero) = (_of_t(one, n) for one in (t, q, np.zeros_like(t)))
    return Draw(y, v, v_zero, end, v_end, told)


def _of_t(t: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Hedges' g and its sampling variance of t statistics of two arms of n."""
    inputs = {"t": t, "treatment_n": n, "control_n": n}
    found = calculate("SMD", {name: values.ravel() for name, values in inputs.items()})
    return found.y.reshape(t.shape), found.v.reshape(t.shape)


def bounds_of(draw: Draw) -> tuple[np.ndarray, ...]:
    """Return lower and upper ends with their variances, as the model of censored evidence takes them."""
    high, low = draw.told & (draw.y > draw.end), draw.told & (draw.y < -draw.end)
    between = draw.told & ~high & ~low
    lower = np.select([high, low, between], [draw.end, -np.inf, -draw.end], draw.y)
    upper = np.select([high, low, between], [np.inf, -draw.end, draw.end], draw.y)
    v = np.where(draw.told, draw.v_end, draw.v)
    return lower, upper, v, v


def censored(draw: Draw) -> Found:
    """Return the fits of the censored model."""
    fits = fit_many_censored(*bounds_of(draw), method="REML", profile="tau2")
    return Found(fits.estimate, fits.low, fits.high, fits.tau2, fits.tau2_low, fits.tau2_high)


def censored_profile(draw: Draw) -> Found:
    """Return the fits of the censored model by ML with profile intervals of the mean."""
    fits = fit_many_censored(*bounds_of(draw), method="ML", test="z", profile="both")
    return Found(fits.estimate, fits.profile_low, fits.profile_high, fits.tau2, fits.tau2_low, fits.tau2_high)


def usual(y: np.ndarray, v: np.ndarray, counts: np.ndarray) -> Found:
    """Return the fits of effects as if they were exact; those with a count of 0 are left out."""
    fits = mx.fit_many(y, v, counts)
    batch = make_batch(y, v, n=counts)
    low, high = profile_likelihood_interval(batch, True, 0.5 * normal_quantile(LEVEL) ** 2)
    return Found(fits.estimate, fits.low, fits.high, fits.tau2, low, high)


def answers(draw: Draw, profile: bool) -> dict[str, Found]:
    """Return what each method finds in the same draws."""
    every, told = np.ones(draw.y.shape), draw.told
    nothing = told & ~draw.significant
    y = np.where(nothing, 0.0, draw.y)
    v = np.where(nothing, draw.v_zero, draw.v)
    at_end = told & draw.significant
    found = {
        "complete": usual(draw.y, draw.v, every),
        "censored": censored(draw),
        "dropped": usual(draw.y, draw.v, np.where(told, 0.0, 1.0)),
        "zero": usual(y, v, np.where(at_end, 0.0, 1.0)),
        "zero and threshold": usual(
            np.where(at_end, np.sign(draw.y) * draw.end, y), np.where(at_end, draw.v_end, v), every
        ),
    }
    if profile:
        names = ("y", "v", "v_zero", "end", "v_end", "told")
        part = Draw(*(getattr(draw, name)[:PROFILE_DRAWS] for name in names))
        found["censored, profile"] = censored_profile(part)
    return found


def summary(found: Found, tau2: float) -> dict[str, float]:
    """Return bias, error and coverage of one method with their Monte Carlo errors."""
    known = np.isfinite(found.estimate)
    size = int(known.sum())
    away, spread = found.estimate[known] - MEAN, found.tau2[known] - tau2
    holds = ((found.low <= MEAN) & (found.high >= MEAN))[known]
    spread_holds = ((found.tau2_low <= tau2) & (found.tau2_high >= tau2))[known]
    return {
        "bias": away.mean(),
        "bias_se": away.std(ddof=1) / np.sqrt(size),
        "rmse": np.sqrt((away**2).mean()),
        "coverage": holds.mean(),
        "coverage_se": _share_error(holds),
        "median_width": float(np.median((found.high - found.low)[known])),
        "tau2_bias": spread.mean(),
        "tau2_bias_se": spread.std(ddof=1) / np.sqrt(size),
        "tau2_coverage": spread_holds.mean(),
        "tau2_coverage_se": _share_error(spread_holds),
        "draws": size,
        "no_estimate": int((~known).sum()),
    }


def _share_error(holds: np.ndarray) -> float:
    share = holds.mean()
    return float(np.sqrt(share * (1 - share) / holds.size))


def table(draws: int = DRAWS) -> pd.DataFrame:
    """Return one row for every mechanism, share, size, heterogeneity and method."""
    rows = []
    for mechanism in MECHANISMS:
        for share in SHARES:
            for k in SIZES:
                for tau2 in SPREADS:
                    draw = simulate(k, tau2, share, mechanism, draws)
                    setting = {"mechanism": mechanism, "share": share, "k": k, "tau2": tau2}
                    found = answers(draw, k in PROFILE_SIZES)
                    rows += [
                        setting | {"method": name} | summary(found[name], tau2)
                        for name in METHODS
                        if name in found
                    ]
    return pd.DataFrame(rows)


HEADER = (
    "who gives no number",
    "method",
    "largest bias (MCE)",
    "mean RMSE",
    "mean coverage, %",
    "least coverage, % (MCE)",
    "largest bias of tau2 (MCE)",
    "least coverage of tau2, %",
)


def in_short(found: pd.DataFrame) -> list[list[str]]:
    """Return the rows of the short table: worst and mean figures of each method over the settings."""
    rows = []
    for mechanism in MECHANISMS:
        for name, words in METHODS.items():
            part = found[(found["mechanism"] == mechanism) & (found["method"] == name)]
            worst = part.loc[part["bias"].abs().idxmax()]
            least = part.loc[part["coverage"].idxmin()]
            spread = part.loc[part["tau2_bias"].abs().idxmax()]
            rows.append(
                [
                    mechanism,
                    words,
                    f"{worst['bias']:+.3f} ({worst['bias_se']:.3f})",
                    f"{part['rmse'].mean():.3f}",
                    f"{100 * part['coverage'].mean():.1f}",
                    f"{100 * least['coverage']:.1f} ({100 * least['coverage_se']:.1f})",
                    f"{spread['tau2_bias']:+.3f} ({spread['tau2_bias_se']:.3f})",
                    f"{100 * part['tau2_coverage'].min():.1f}",
                ]
            )
    return rows


def draw_figure(found: pd.DataFrame, path: Path) -> None:
    """Draw bias and coverage of the mean, a panel a mechanism and share, at tau2 = 0.1."""
    from matplotlib.figure import Figure

    theme, marks = mx.plots.THEMES["metaexo"], "osD^vP"
    columns = [(mechanism, share) for mechanism in MECHANISMS for share in SHARES]
    rows = (("bias", "Bias of the mean", 0.0), ("coverage", "Interval holds\nthe mean", LEVEL))
    with theme.context():
        figure = Figure(figsize=(7.0, 5.0), layout="constrained")
        axes = figure.subplots(2, len(columns), sharex=True, sharey="row")
        for line_of, (quantity, words, target) in zip(axes, rows, strict=True):
            for ax, (mechanism, share) in zip(line_of, columns, strict=True):
                part = found[
                    (found["mechanism"] == mechanism) & (found["share"] == share) & (found["tau2"] == 0.1)
                ]
                for j, (name, label) in enumerate(METHODS.items()):
                    line = part[part["method"] == name]
                    place = np.array([SIZES.index(k) for k in line["k"]]) + 0.09 * (j - 2.5)
                    ax.errorbar(
                        place, line[quantity], 1.96 * line[f"{quantity}_se"], color=theme.color(j),
                        marker=marks[j], markersize=4, linewidth=1.0, label=label,
                    )  # fmt: skip
                ax.axhline(target, color=theme.pale, linewidth=0.8)
                ax.set_xticks(range(len(SIZES)), [str(k) for k in SIZES])
                if quantity == "bias":
                    ax.set_title(f"{mechanism},\n{100 * share:.0f}% without a number", size=theme.small)
            line_of[0].set_ylabel(words)
        for ax in axes[-1]:
            ax.set_xlabel("Studies")
        title = "Bias and coverage of the mean where some studies give no number, by who gives none"
        figure.suptitle(title, x=0.01, ha="left")
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=3)
        for ending in (".svg", ".png"):
            mx.plots.save(figure, path.with_name(path.name + ending))


def main(arguments: list[str]) -> None:
    """Write the tables and the figure; with --small, print a sample; with --draw, draw the stored table."""
    if "--small" in arguments:
        print(markdown_table(in_short(table(40)), HEADER, left=2))
        return
    results, figure = HERE / "results", HERE.parent / "docs" / "figures" / "censored"
    if "--draw" in arguments:
        draw_figure(pd.read_csv(results / "censored.csv"), figure)
        return
    found = table()
    results.mkdir(exist_ok=True)
    short = in_short(found)
    found.to_csv(results / "censored.csv", index=False, float_format="%.5g", lineterminator="\n")
    text = (
        "# Censored evidence: bias and coverage\n\n"
        f"Made by `python -m benchmarks.censored`: {DRAWS:,} draws of each of "
        f"{len(SIZES) * len(SPREADS) * len(SHARES) * len(MECHANISMS)} settings (k {SIZES}, tau2 {SPREADS}, "
        f"share without a number {SHARES}), mean {MEAN}; profile intervals of the mean in "
        f"{PROFILE_DRAWS} draws for k {PROFILE_SIZES}. MCE: Monte Carlo standard error. Every setting stands "
        f"in `censored.csv`.\n\n{markdown_table(short, HEADER, left=2)}\n"
    )
    columns = pd.DataFrame(short, columns=list(HEADER))
    columns.to_csv(results / "censored_short.csv", index=False, lineterminator="\n")
    (results / "censored.md").write_text(text, encoding="utf8")
    draw_figure(found, figure)
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
