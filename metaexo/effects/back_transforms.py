"""From the scale of the analysis to the scale on which a measure is shown.

For most measures this is one function (:attr:`Measure.back`). The double arcsine and Freeman-Tukey scales
need a sample size or a person-time besides: each study's own for its effect, the harmonic mean for a pooled
effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.arguments import reads, reads_groups
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure
from metaexo.errors import InputError, ShapeError
from metaexo.inputs import read_numbers
from metaexo.types import Array

if TYPE_CHECKING:
    from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes


@reads
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

    References
    ----------
    Freeman & Tukey (1950), Annals of Mathematical Statistics 21, 607-611, doi:10.1214/aoms/1177729756.

    Examples
    --------
    >>> double_arcsine(0.1, 50).round(4)
    np.float64(0.3343)
    """
    p, size = np.asarray(proportion, dtype=float), np.asarray(n, dtype=float)
    x = p * size
    low, high = np.arcsin(np.sqrt(x / (size + 1))), np.arcsin(np.sqrt((x + 1) / (size + 1)))
    return np.asarray((low + high) / 2)


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

    References
    ----------
    Miller (1978), The American Statistician 32, 138, doi:10.1080/00031305.1978.10479283.

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


@reads
def freeman_tukey_of_rate(rate: ArrayLike, time: ArrayLike) -> Array:
    """Return the Freeman-Tukey transform of a rate: (sqrt(r) + sqrt(r + 1 / t)) / 2.

    Parameters
    ----------
    rate, time : array_like
        Rates and person-times.

    Returns
    -------
    ndarray
        Transformed rates.

    References
    ----------
    Freeman & Tukey (1950), Annals of Mathematical Statistics 21, 607-611, doi:10.1214/aoms/1177729756.

    Examples
    --------
    >>> float(freeman_tukey_of_rate(0.0, 100))
    0.05
    """
    r, t = np.asarray(rate, dtype=float), np.asarray(time, dtype=float)
    return np.asarray((np.sqrt(r) + np.sqrt(r + 1 / t)) / 2)


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

    References
    ----------
    Freeman & Tukey (1950), Annals of Mathematical Statistics 21, 607-611, doi:10.1214/aoms/1177729756.

    Examples
    --------
    >>> inverse_freeman_tukey_rate(freeman_tukey_of_rate(0.2, 100), 100).round(6)
    np.float64(0.2)
    """
    z, t = np.asarray(y, dtype=float), np.asarray(time, dtype=float)
    least = freeman_tukey_of_rate(0.0, t)
    inside = np.maximum(z, least)
    return np.where(z <= least, 0.0, ((4 * inside**2 - 1 / t) / (4 * inside)) ** 2)


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

    References
    ----------
    Miller (1978), The American Statistician 32, 138, doi:10.1080/00031305.1978.10479283.

    Examples
    --------
    >>> round(harmonic_mean([10, 40]), 6)
    16.0
    """
    values = np.asarray(sizes, dtype=float)
    return float(values.size / np.sum(1 / values))


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

    References
    ----------
    Miller (1978), The American Statistician 32, 138, doi:10.1080/00031305.1978.10479283.

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
