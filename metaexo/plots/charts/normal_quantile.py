"""Normal quantile plots: residuals against the quantiles of a normal distribution, with an envelope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import special

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, TooFewStudiesError
from metaexo.formatting import level_words, plural
from metaexo.models.counts.fit import CountResults
from metaexo.models.linear.results import FitResults
from metaexo.models.multilevel.fit import covariance_of_clusters
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import Band, Chart, ChartAxis, Curve, Layer, Panel
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import with_ledger
from metaexo.plots.charts.effects import (
    effect_notes,
    effects_of,
    fit_of_points,
    groups_of,
    legend_beside,
    points_by_group,
    rows_of_points,
    space_of,
    words_beside,
)
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

PANEL, BESIDE = 250.0, 60.0  # points: side of the panel, and what its axis needs beside it
DIGITS = 10  # residuals that differ in later digits alone are equal, but for rounding
MOST_DEPENDENT = 4000  # effects of a multilevel fit whose covariance matrix is written out
KINDS = {"standardized": "Standardised residual", "studentized": "Studentised deleted residual"}


@checked
def normal_quantile_plan(
    results: Any,
    *,
    kind: Literal["standardized", "studentized"] = "standardized",
    envelope: Literal["simulated", "exact"] | None = "simulated",
    level: float | None = None,
    draws: int = 1000,
    seed: int = 0,
    by: str | None = None,
    labels: str | Sequence[str] = (),
    wording: Mapping[str, str] | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    r"""Return what a normal quantile plot (Q-Q plot) of a fit shows, without drawing it.

    Use it to see whether the effects are normal around what the model predicts, and which ones are not: the
    points then lie along the line :math:`y = x`, within the envelope. Residual i, over its standard error, of
    rank r among k stands at the normal quantile of :math:`(r - a) / (k + 1 - 2a)`, with a = 3/8 for up to 10
    effects, else 1/2. The envelope is pointwise: 95% of the residuals of each rank are expected in it, so
    that some points outside of it are no surprise where there are many.

    Parameters
    ----------
    results : FitResults or StratifiedResults
        A fit of any model of effects, with moderators or not; strata give colours and marks too.
    kind : {"standardized", "studentized"}
        Residuals over their standard errors, or those from fits without the effect in question.
    envelope : {"simulated", "exact"}, optional
        "simulated": quantiles of the ordered residuals of effects that are drawn from the model, which allows
        for estimated coefficients and for dependence; variances are taken as known. "exact": quantiles of the
        order statistics of independent normal values, by the beta distribution. None: no envelope.
    level : float, optional
        Level of the envelope. Default: that of the fit.
    draws, seed : int
        Number of simulated sets of effects, and the start of their random numbers.
    by : str, optional
        Column of the data whose values get colours and marks of their own.
    labels : str or sequence of str
        Which points have their label beside them, where there is room: "all", those outside the envelope
        ("outside"), or those of some rows. A note
        counts the labels without room.
    wording : mapping of str to str, optional
        Words for the values of `by`.

    Returns
    -------
    Chart
        Points, line and envelope. The table of the points has the further columns id, group, envelope_low and
        envelope_high.

    Raises
    ------
    InputError
        If `results` is none of the kinds above, or the envelope cannot be made for them.
    TooFewStudiesError
        If there are fewer than two residuals that vary.

    References
    ----------
    Wang, M. C., Bushman, B. J. (1998). Using the normal quantile plot to explore meta-analytic data sets.
    Psychological Methods 3, 46-54. https://doi.org/10.1037/1082-989X.3.1.46

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.4], [0.02, 0.05, 0.03, 0.04])
    >>> plan = mx.plots.normal_quantile_plan(mx.RandomEffects(es).fit())
    >>> points = plan.to_frame().query("layer == 'points'").sort_values("x")
    >>> points["x"].astype(float).round(2).tolist()
    [-1.05, -0.3, 0.3, 1.05]
    >>> ax = mx.plots.normal_quantile(plan)
    """
    es, fit = effects_of(results, "a normal quantile plot")
    fit = fit_of_points(results if fit is None else fit, "a normal quantile plot", " or strata of them")
    level = fit.level if level is None else level
    line = _ordered(es, fit, kind)
    low, high = _envelope(fit, line, envelope, level, int(draws), int(seed))
    y = line.by_effect(line.residual)
    bounds = line.by_effect(low), line.by_effect(high)
    with np.errstate(invalid="ignore"):
        outside = (y < bounds[0]) | (y > bounds[1])
    if labels == "outside" and envelope is None:
        raise InputError(
            "there is no envelope to be outside of", "an envelope", 'choose labels="all", or envelope="exact"'
        )
    points = points_by_group(
        es,
        line.by_effect(line.quantile),
        y,
        5.0,
        groups=groups_of(results, es, by, wording),
        words=words_beside(es, labels, outside),
        extra={"envelope_low": bounds[0].tolist(), "envelope_high": bounds[1].tolist()},
    )
    points = [rows_of_points(layer, np.isfinite(layer.y)) for layer in points]
    wide, look = space_of(ax, width, height, PANEL)[0], get_theme(theme, font_size)
    chart = Chart(
        legend=legend_beside(wide, look),
        panels=(
            Panel(
                x=ChartAxis(label="Quantile of the standard normal distribution", room=0.05),
                y=ChartAxis(label=KINDS[kind], room=0.05),
                layers=[*_behind(line, low, high, envelope, level), *points],
                equal=True,
            ),
        ),
        summary=with_ledger(_summary(line, outside, envelope, level), es.ledger),
        title=title,
        notes=(*_notes(es, fit, line, envelope), *notes),
        width=width,
        height=height or width,
        theme=look,
    )
    return chart if height else chart.with_panels(min(PANEL, wide - BESIDE))


@dataclass(frozen=True, slots=True)
class Ordered:
    """Residuals over their standard errors, from low to high, and where they stand."""

    rows: Any  # positions of the effects, in the order of their residuals
    residual: Array
    quantile: Array
    se: Array  # standard errors of the residuals, standardized ones, in the order of the effects
    known: Mask  # which effects have a residual that varies, shape (k,)

    def by_effect(self, values: Array) -> Array:
        """Return values of the ordered residuals in the order of the effects, NaN where there is none."""
        out = np.full(self.known.size, np.nan)
        out[self.rows] = values
        return out


def _ordered(es: EffectSizes, fit: FitResults, kind: str) -> Ordered:
    """Return the residuals from low to high, with the normal quantiles of their ranks."""
    z = fit.residuals(kind)["z"].to_numpy(dtype=float)
    se = fit.residuals("standardized")["se"].to_numpy(dtype=float)
    known = np.isfinite(z) & np.isfinite(se) & (se > 1e-8 * np.nanmax(se, initial=0.0))
    n = int(known.sum())
    if n < 2:
        raise TooFewStudiesError(
            f"{plural(n, 'effect')} with a residual that varies, of {es.k}",
            "at least 2",
            "take a smaller model, or more effects",
        )
    rows = np.flatnonzero(known)
    rows = rows[np.argsort(np.round(z[rows], DIGITS), kind="stable")]  # equal ones in the order of the rows
    a = 0.375 if n <= 10 else 0.5
    quantile = special.ndtri((np.arange(1, n + 1) - a) / (n + 1 - 2 * a))
    return Ordered(rows, z[rows], quantile, se, known)


def _envelope(
    fit: FitResults, line: Ordered, envelope: str | None, level: float, draws: int, seed: int
) -> tuple[Array, Array]:
    """Return the ends of the envelope at each rank; NaN without one."""
    n = line.residual.size
    if envelope is None:
        return np.full(n, np.nan), np.full(n, np.nan)
    tails = (1 - level) / 2, (1 + level) / 2
    if envelope == "exact":
        if isinstance(fit, MultilevelResults):
            raise InputError(
                "an exact envelope for the dependent residuals of a multilevel fit",
                "a simulated one",
                'choose envelope="simulated"',
            )
        rank = np.arange(1, n + 1)
        low, high = (special.ndtri(special.betaincinv(rank, n + 1 - rank, tail)) for tail in tails)
        return np.asarray(low), np.asarray(high)
    found = np.sort(_simulated(fit, line, draws, seed), axis=1)
    low, high = np.quantile(found, tails, axis=0)
    return low, high


def _simulated(fit: FitResults, line: Ordered, draws: int, seed: int) -> Array:
    """Return residuals over their standard errors of effects drawn from the model, shape (draws, n)."""
    x = fit.design.matrix(fit.k)
    noise: Array = np.random.default_rng(seed).standard_normal((draws, fit.k))
    if isinstance(fit, MultilevelResults):
        if fit.k > MOST_DEPENDENT:
            raise InputError(
                f"a simulated envelope for {fit.k} dependent effects",
                f"at most {MOST_DEPENDENT} of them",
                "choose envelope=None",
            )
        rows = np.arange(fit.k)[None, :]
        values, vectors = np.linalg.eigh(covariance_of_clusters(fit, fit.problem.v.tocoo(), rows)[0])
        noise = np.asarray((noise * np.sqrt(np.maximum(values, 0.0))) @ vectors.T, dtype=float)
        loadings: Array = fit.loadings
    else:
        if isinstance(fit, CountResults):
            raise InputError(
                "a simulated envelope for estimates from counts, which are not normal",
                "residuals of a model of effects",
                'choose envelope="exact", or None',
            )
        sd = fit.residuals("pearson")["se"].to_numpy(dtype=float)
        own = getattr(fit, "weighting", None)
        a = 1 / sd**2 if own is None else np.asarray(own, dtype=float)
        noise = noise * sd
        loadings = np.asarray(np.linalg.solve((x.T * a) @ x, x.T * a), dtype=float)
    residuals = noise - (noise @ loadings.T) @ x.T
    return np.asarray(residuals[:, line.known] / line.se[line.known])


def _behind(line: Ordered, low: Array, high: Array, envelope: str | None, level: float) -> list[Layer]:
    """Return the envelope and the line y = x."""
    ends = [float(line.quantile[0]), float(line.quantile[-1])]
    layers: list[Layer] = [Curve(x=ends, y=ends, name="normal distribution", color="pooled")]
    if envelope is not None:
        name = f"{level_words(level)} envelope, pointwise"
        at = line.quantile.tolist()
        layers.insert(0, Band(x=at, low=low.tolist(), high=high.tolist(), name=name))
    return layers


def _summary(line: Ordered, outside: Mask, envelope: str | None, level: float) -> str:
    """Return what is seen, in words."""
    said = f"; {int(outside.sum())} outside the {level_words(level)} envelope" if envelope else ""
    return f"Normal quantile plot of {line.residual.size} residuals{said}."


def _notes(es: EffectSizes, fit: FitResults, line: Ordered, envelope: str | None) -> list[str]:
    """Return what is not shown, and what to know before relying on the plot."""
    notes = []
    lacking = es.k - line.residual.size
    if lacking:
        notes.append(f"{plural(lacking, 'effect')} alone in a coefficient: no residual that varies.")
    if envelope == "exact" and es.m < es.k:
        notes.append(f"{es.k} effects of {es.m} studies; the envelope takes them as independent.")
    return [*notes, *effect_notes(fit)]


normal_quantile = drawn(
    normal_quantile_plan, "Draw a normal quantile plot (Q-Q plot) of the residuals of a fit."
)
