# mypy: disable-error-code="empty-body"
"""Scales on which effects are analysed: to the scale and back, and from it to what is shown.

A transformation takes reported values (proportions, correlations, ratios) to a scale where they are closer
to normal; its inverse takes pooled values and their intervals back. Intervals are taken back end by end;
variances go along by the delta method; the mean and the mode of a whole distribution of true effects need
an integral and a search, because the inverse of a mean is not the mean of the inverse.

To the scale on which a measure is shown one function leads for most measures (:attr:`Measure.back`). The
double arcsine and Freeman-Tukey scales need a sample size or a person-time besides: each study's own for its
effect, the harmonic mean for a pooled effect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit, ndtr, ndtri

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.check import reads, reads_groups
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.formulas import conversion
from metaexo.effects.measure import Measure
from metaexo.effects.papers import FREEMAN_TUKEY, MILLER, OEHLERT, rests_on
from metaexo.errors import InputError, ShapeError
from metaexo.inputs import check_choice, read_numbers
from metaexo.numeric.quadrature import gauss_legendre
from metaexo.readable import shows_itself
from metaexo.types import Array

Function = Callable[[Array], Array]

DOUBLE_ARCSINE = "y = (arcsin(sqrt(x / (n + 1))) + arcsin(sqrt((x + 1) / (n + 1)))) / 2"
ROOT_RATE = "y = (sqrt(x / T) + sqrt((x + 1) / T)) / 2"
POINTS = 200
REACH = 10.0
GRID = 4001
NOISE = 1e-12


@shows_itself
@dataclass(frozen=True, slots=True)
class Transformation:
    """One scale.

    Attributes
    ----------
    name : str
        Name of the scale.
    forward, inverse : callable
        To the scale and back from it. The inverse is cut to the range of values that exist.
    slope, inverse_slope : callable
        Their derivatives.
    low, high : float
        Range of the scale on which the inverse is one-to-one.
    """

    name: str
    forward: Function
    inverse: Function
    slope: Function
    inverse_slope: Function
    low: float = -np.inf
    high: float = np.inf


def _normal_density(z: Array) -> Array:
    return np.asarray(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))


def _cut(low: float, high: float, inverse: Function) -> Function:
    """Return an inverse whose argument is cut to its range first."""

    def cut(z: Array) -> Array:
        return np.asarray(inverse(np.clip(z, low, high)))

    return cut


_HALF = np.pi / 2
_ROOT = np.sqrt(2)

_ALL = (
    Transformation("log", np.log, np.exp, lambda x: 1 / x, np.exp),
    Transformation("exponential", np.exp, np.log, np.exp, lambda z: 1 / z, low=0.0),
    Transformation("logit", logit, expit, lambda p: 1 / (p * (1 - p)), lambda z: expit(z) * expit(-z)),
    Transformation("probit", ndtri, ndtr, lambda p: 1 / _normal_density(ndtri(p)), _normal_density),
    Transformation(
        "arcsine",
        lambda p: np.arcsin(np.sqrt(p)),
        _cut(0.0, _HALF, lambda z: np.sin(z) ** 2),
        lambda p: 1 / (2 * np.sqrt(p * (1 - p))),
        lambda z: np.sin(2 * z),
        low=0.0,
        high=_HALF,
    ),
    Transformation("fisher_z", np.arctanh, np.tanh, lambda r: 1 / (1 - r**2), lambda z: 1 / np.cosh(z) ** 2),
    Transformation(
        "fisher_z_of_r_squared",
        lambda r2: np.arctanh(np.sqrt(r2)),
        lambda z: np.tanh(z) ** 2,
        lambda r2: 1 / (2 * np.sqrt(r2) * (1 - r2)),
        lambda z: 2 * np.tanh(z) / np.cosh(z) ** 2,
        low=0.0,
    ),
    Transformation(
        "square_root",
        np.sqrt,
        _cut(0.0, np.inf, lambda z: z**2),
        lambda x: 1 / (2 * np.sqrt(x)),
        lambda z: 2 * z,
        low=0.0,
    ),
    Transformation(
        "cube_root_reliability",
        lambda a: 1 - np.cbrt(1 - a),
        _cut(0.0, 1.0, lambda z: 1 - (1 - z) ** 3),
        lambda a: 1 / (3 * np.cbrt(1 - a) ** 2),
        lambda z: 3 * (1 - z) ** 2,
        low=0.0,
        high=1.0,
    ),
    Transformation(
        "log_reliability",
        lambda a: -np.log1p(-a),
        _cut(0.0, np.inf, lambda z: -np.expm1(-z)),
        lambda a: 1 / (1 - a),
        lambda z: np.exp(-z),
        low=0.0,
    ),
    Transformation(
        "superiority",
        lambda p: _ROOT * ndtri(p),
        lambda d: ndtr(d / _ROOT),
        lambda p: _ROOT / _normal_density(ndtri(p)),
        lambda d: _normal_density(d / _ROOT) / _ROOT,
    ),
)
TRANSFORMATIONS = {one.name: one for one in _ALL}


def get_transformation(name: str | Transformation) -> Transformation:
    """Return a transformation by its name.

    Parameters
    ----------
    name : str or Transformation
        "log", "exponential", "logit", "probit", "arcsine", "fisher_z", "fisher_z_of_r_squared",
        "square_root", "cube_root_reliability", "log_reliability" or "superiority" (standardised mean
        difference of a probability of superiority).

    Returns
    -------
    Transformation
        The record.

    Raises
    ------
    UnknownChoiceError
        If there is no such name.

    Examples
    --------
    >>> scale = get_transformation("logit")
    >>> float(scale.inverse(scale.forward(0.25)))
    0.25
    """
    if isinstance(name, Transformation):
        return name
    check_choice("transformation", name, tuple(TRANSFORMATIONS))
    return TRANSFORMATIONS[name]


@rests_on(OEHLERT)
@reads
def transform(y: ArrayLike, v: ArrayLike, name: str | Transformation) -> tuple[Array, Array]:
    """Take effects and sampling variances to another scale.

    Use it on published estimates that stand on another scale than the analysis: y -> f(y), v -> f'(y)^2 v
    (delta method).

    Parameters
    ----------
    y, v : array_like
        Effects and sampling variances.
    name : str or Transformation
        Name of the transformation; see :func:`get_transformation`.

    Returns
    -------
    y, v : ndarray
        Effects and sampling variances on the new scale.

    Examples
    --------
    >>> y, v = transform([0.5], [0.01], "logit")
    >>> y, v.round(4)
    (array([0.]), array([0.16]))
    """
    record = get_transformation(name)
    values = np.asarray(y, dtype=float)
    return np.asarray(record.forward(values)), np.asarray(record.slope(values) ** 2 * np.asarray(v))


@reads
def back_transformed_mean(mu: ArrayLike, tau2: ArrayLike, name: str | Transformation) -> Array:
    """Return the mean of true effects on the reported scale.

    Use it for the average proportion (correlation, ratio) over studies, when true effects on the scale of
    the analysis are normal with mean mu and variance tau2. The back-transformed mu itself is their median.
    The normal distribution is confined to the range on which the inverse is one-to-one.

    Parameters
    ----------
    mu, tau2 : array_like
        Mean and variance of the true effects on the scale of the analysis; broadcast.
    name : str or Transformation
        Name of the transformation.

    Returns
    -------
    ndarray
        Means on the reported scale.

    References
    ----------
    Zeger, Liang & Albert (1988), Biometrics 44, 1049-1060, doi:10.2307/2531734.

    Examples
    --------
    >>> back_transformed_mean(0.0, 0.5, "log").round(4)
    np.float64(1.284)
    """
    record = get_transformation(name)
    centre, spread = np.broadcast_arrays(np.asarray(mu, dtype=float), np.asarray(tau2, dtype=float))
    z, log_density = _points(record, centre, np.sqrt(spread))
    weight = gauss_legendre(POINTS)[1] * np.exp(log_density - log_density.max(axis=-1, keepdims=True))
    mean = (weight * record.inverse(z)).sum(axis=-1) / weight.sum(axis=-1)
    return np.asarray(np.where(spread > 0, mean, record.inverse(centre)))


@reads
def back_transformed_mode(mu: ArrayLike, tau2: ArrayLike, name: str | Transformation) -> Array:
    """Return the most frequent true effect on the reported scale.

    The density of x = g(z), g the inverse, z normal with mean mu and variance tau2, is that of z over
    g'(z); its highest point inside the range is found on a grid and refined. Where the density has no
    highest point inside the range, the end at which it is highest is returned; a distribution whose mean
    lies below the range piles up at the lower end, whatever pole the scale has at the upper one.

    Parameters
    ----------
    mu, tau2 : array_like
        Mean and variance of the true effects on the scale of the analysis; broadcast.
    name : str or Transformation
        Name of the transformation.

    Returns
    -------
    ndarray
        Modes on the reported scale.

    Examples
    --------
    >>> back_transformed_mode(0.0, 0.5, "log").round(4)
    np.float64(0.6065)
    """
    record = get_transformation(name)
    centre, spread = np.broadcast_arrays(np.asarray(mu, dtype=float), np.asarray(tau2, dtype=float))
    flat = [
        _mode_of_one(record, float(m), float(t2)) if t2 > 0 else float(record.inverse(np.asarray(m)))
        for m, t2 in zip(centre.ravel(), spread.ravel(), strict=True)
    ]
    return np.asarray(flat, dtype=float).reshape(centre.shape)


def _points(record: Transformation, centre: Array, tau: Array) -> tuple[Array, Array]:
    """Return quadrature points of the normal distribution inside the range, and its log density there."""
    tau = np.where(tau > 0, tau, 1.0)
    low, high = np.maximum(centre - REACH * tau, record.low), np.minimum(centre + REACH * tau, record.high)
    # far outside the range the distribution piles up at an end: keep the part that carries weight
    below, above = centre < record.low, centre > record.high
    if np.isfinite(record.low):
        depth = tau**2 / np.maximum(record.low - centre, tau)
        high = np.where(below, np.minimum(record.low + 40 * depth, record.high), high)
        low = np.where(below, record.low, low)
    if np.isfinite(record.high):
        depth = tau**2 / np.maximum(centre - record.high, tau)
        low = np.where(above, np.maximum(record.high - 40 * depth, record.low), low)
        high = np.where(above, record.high, high)
    nodes, _ = gauss_legendre(POINTS)
    z = ((low + high) / 2)[..., None] + ((high - low) / 2)[..., None] * nodes
    return z, -0.5 * ((z - centre[..., None]) / tau[..., None]) ** 2


def _mode_of_one(record: Transformation, mu: float, tau2: float) -> float:
    """Return the mode on the reported scale for one distribution."""
    tau = np.sqrt(tau2)
    low, high = max(mu - REACH * tau, record.low), min(mu + REACH * tau, record.high)
    if low >= high:
        return float(record.inverse(np.asarray(mu)))
    step = 0.0
    for _ in range(4):
        z = np.linspace(low, high, GRID)[1:-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            height = -((z - mu) ** 2) / (2 * tau2) - np.log(record.inverse_slope(z))
        peaks = np.flatnonzero((height[1:-1] >= height[:-2]) & (height[1:-1] >= height[2:])) + 1
        if peaks.size == 0:
            upper = mu > record.low and height[-1] > height[0]
            return float(record.inverse(np.asarray(high if upper else low)))
        best = z[peaks[np.argmax(height[peaks])]]
        step = (high - low) / GRID
        low, high = best - 2 * step, best + 2 * step
    return float(record.inverse(np.asarray(best)))


@rests_on(FREEMAN_TUKEY)
@conversion(f"x = proportion * n\n{DOUBLE_ARCSINE}")
def double_arcsine(proportion: ArrayLike, n: ArrayLike) -> Array:
    """Return the Freeman-Tukey double arcsine of a proportion.

    Parameters
    ----------
    proportion, n : array_like
        Proportions and sample sizes.

    Returns
    -------
    ndarray
        Half the sum of the two arcsines, in radians.

    Examples
    --------
    >>> double_arcsine(0.1, 50).round(4)
    np.float64(0.3343)
    """


@rests_on(MILLER)
@reads
def inverse_double_arcsine(y: ArrayLike, n: ArrayLike) -> Array:
    """Return the proportion whose double arcsine is y, for a sample size n.

    Use it for a pooled value and the ends of its interval, with one n for all of them: mostly the harmonic
    mean of the studies' sizes (:func:`harmonic_mean`). With t = 2 y and s = sin(t) + (sin(t) - 1/sin(t))/n,

        p = (1 - sign(cos t) sqrt(1 - s^2)) / 2

    Parameters
    ----------
    y : array_like
        Values on the double arcsine scale (half sums).
    n : array_like
        Sample sizes; need not be whole.

    Returns
    -------
    ndarray
        Proportions; 0 and 1 where y lies beyond the values of no and all events.

    Examples
    --------
    >>> inverse_double_arcsine(double_arcsine(0.1, 50), 50).round(6)
    np.float64(0.1)
    """
    z, size = np.asarray(y, dtype=float), np.asarray(n, dtype=float)
    sine = np.sin(2 * z)
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = sine + (sine - 1 / sine) / size
        p = (1 - np.sign(np.cos(2 * z)) * np.sqrt(np.maximum(1 - inner**2, 0.0))) / 2
    p = np.where(z <= double_arcsine(0.0, size), 0.0, p)
    return np.asarray(np.where(z >= double_arcsine(1.0, size), 1.0, p))


@rests_on(FREEMAN_TUKEY)
@conversion(f"x = rate * T\n{ROOT_RATE}")
def freeman_tukey_of_rate(rate: ArrayLike, time: ArrayLike) -> Array:
    """Return the Freeman-Tukey transform of a rate.

    Parameters
    ----------
    rate, time : array_like
        Rates and person-times.

    Returns
    -------
    ndarray
        Transformed rates.

    Examples
    --------
    >>> float(freeman_tukey_of_rate(0.0, 100))
    0.05
    """


@rests_on(FREEMAN_TUKEY)
@reads
def inverse_freeman_tukey_rate(y: ArrayLike, time: ArrayLike) -> Array:
    """Return the rate whose Freeman-Tukey transform is y, for a person-time t: ((4 y^2 - 1/t) / (4 y))^2.

    Parameters
    ----------
    y, time : array_like
        Transformed rates and person-times (for a pooled value mostly the harmonic mean of the studies').

    Returns
    -------
    ndarray
        Rates; 0 where y lies below the value of no events.

    Examples
    --------
    >>> inverse_freeman_tukey_rate(freeman_tukey_of_rate(0.2, 100), 100).round(6)
    np.float64(0.2)
    """
    z, t = np.asarray(y, dtype=float), np.asarray(time, dtype=float)
    least = freeman_tukey_of_rate(0.0, t)
    inside = np.maximum(z, least)
    return np.where(z <= least, 0.0, ((4 * inside**2 - 1 / t) / (4 * inside)) ** 2)


@rests_on(MILLER)
@reads_groups
def harmonic_mean(sizes: ArrayLike) -> float:
    """Return the harmonic mean of sample sizes or person-times: k over the sum of their inverses.

    Parameters
    ----------
    sizes : array_like
        Values above zero.

    Returns
    -------
    float
        The harmonic mean.

    Examples
    --------
    >>> round(harmonic_mean([10, 40]), 6)
    16.0
    """
    values = np.asarray(sizes, dtype=float)
    return float(values.size / np.sum(1 / values))


@rests_on(MILLER)
def back_by_rows(
    effects: EffectSizes | BoundedEffectSizes, values: ArrayLike, rows: ArrayLike | None = None
) -> Array:
    """Return values that belong to single effects on the scale on which their measure is shown.

    Use it for effects and the ends of their intervals. The double arcsine and the Freeman-Tukey rate go back
    with the sample size or person-time of each effect, so that x events of n are shown as x / n.

    Parameters
    ----------
    effects : EffectSizes or BoundedEffectSizes
        The effects.
    values : array_like, shape (..., k) or (..., r)
        Values on the scale of the analysis, the last axis over the effects or over `rows`.
    rows : array_like of int, shape (r,), optional
        Positions of the effects that the values belong to. Default: all of them.

    Returns
    -------
    ndarray
        Values on the shown scale, of the shape of `values`.

    See Also
    --------
    back_pooled : The same for pooled effects and predictions.

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.effect_sizes("PFT", events=[0, 10], n=[5, 200])
    >>> back_by_rows(es, es.y).round(4)
    array([0.  , 0.05])
    """
    given = _read(effects, values)
    sizes = _sizes(effects)
    if rows is not None:
        at = read_numbers(rows, "rows", ndim=1)
        if not np.isin(at, np.arange(effects.k)).all():
            raise InputError("some rows are no positions of effects", f"positions from 0 to {effects.k - 1}")
        sizes = None if sizes is None else sizes[at.astype(np.intp)]
    if sizes is not None and given.shape[-1:] not in ((), (1,), sizes.shape):
        raise ShapeError(f"values has shape {given.shape}", f"a last axis of {sizes.size}")
    return _back(effects.measure, given, sizes)


def back_pooled(effects: EffectSizes | BoundedEffectSizes, values: ArrayLike) -> Array:
    """Return pooled effects or predictions on the scale on which the measure of the effects is shown.

    Use it for what a model says of several effects. The double arcsine and the Freeman-Tukey rate go back
    with the harmonic mean of the sample sizes or person-times of the effects.

    Parameters
    ----------
    effects : EffectSizes or BoundedEffectSizes
        The effects that were pooled: those of the stratum for a stratum.
    values : array_like
        Values on the scale of the analysis.

    Returns
    -------
    ndarray
        Values on the shown scale, of the shape of `values`.

    See Also
    --------
    back_by_rows : The same for single effects.

    References
    ----------
    Miller (1978), The American Statistician 32, 138, doi:10.1080/00031305.1978.10479283.
    Barendregt, Doi, Lee, Norman & Vos (2013), Journal of Epidemiology and Community Health 67, 974-978,
    doi:10.1136/jech-2013-203104.

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.effect_sizes("PFT", events=[0, 10], n=[5, 200])
    >>> back_pooled(es, 0.25).round(4)
    np.float64(0.0254)
    """
    given = _read(effects, values)
    sizes = _sizes(effects)
    if sizes is not None:
        known = sizes[np.isfinite(sizes)]
        sizes = np.asarray(harmonic_mean(known) if known.size else np.nan)
    return _back(effects.measure, given, sizes)


def _read(effects: object, values: ArrayLike) -> Array:
    """Return the values as numbers; refuse effects that are none."""
    if not isinstance(getattr(effects, "measure", None), Measure):
        raise InputError(f"effects is a {type(effects).__name__}", "EffectSizes or BoundedEffectSizes")
    return read_numbers(values, "values")


def _sizes(effects: EffectSizes | BoundedEffectSizes) -> Array | None:
    """Return the size of each effect by its sampling variance, NaN where there is none; None if unneeded."""
    if effects.measure.by_size is None:
        return None
    v = effects.v if isinstance(effects, EffectSizes) else np.fmin(effects.v_lower, effects.v_upper)
    sizes = effects.measure.by_size.size(np.where((v > 0) & np.isfinite(v), v, np.nan))
    return np.where(sizes > 0, sizes, np.nan)


def _back(measure: Measure, values: ArrayLike, sizes: Array | None) -> Array:
    """Return values on the shown scale; where no size is known, by the limit for large sizes."""
    y = np.asarray(values, dtype=float)
    with np.errstate(over="ignore"):
        limit = np.asarray(measure.back(y), dtype=float)
    if measure.by_size is None or sizes is None:
        return limit
    known = np.isfinite(sizes)
    return np.asarray(np.where(known, measure.by_size.back(y, np.where(known, sizes, 1.0)), limit))


def without_noise(effects: EffectSizes, values: ArrayLike) -> Array:
    """Return values on the scale of the analysis, of any shape, with 0 for what is 0 but for rounding.

    That is less than 1e-12 of the largest effect or standard error: a mean that a figure or a sentence prints
    must not read 5e-17.
    """
    given = np.asarray(values, dtype=float)
    size = max(float(np.abs(effects.y).max()), float(np.sqrt(effects.v.max())))
    return np.where(np.abs(given) < NOISE * size, 0.0, given)
