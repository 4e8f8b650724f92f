"""Many fits of censored evidence in one call: simulations, bootstraps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.errors import InputError, ShapeError, TooFewStudiesError
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice, check_level, read_numbers
from metaexo.models.censored.fit import CENSORED_TESTS
from metaexo.models.linear.choices import get_likelihood, get_test
from metaexo.models.univariate.batched import read_counts
from metaexo.numeric.censored.inference import censored_inference
from metaexo.numeric.censored.limits import coefficient_limits, tau2_limits
from metaexo.numeric.censored.maximum import CensoredMaximum, censored_maximum
from metaexo.numeric.censored.rows import CensoredBatch, make_censored_batch, variance_of_scale
from metaexo.numeric.tails import normal_quantile, t_of_tail
from metaexo.readable import shows_itself
from metaexo.types import Array

PROFILES = ("none", "tau2", "both")


@shows_itself
@dataclass(frozen=True, eq=False)
class ManyCensoredFits(Immutable):
    """Pooled effects of B independent meta-analyses of censored evidence; NaN where there is no estimate.

    Attributes
    ----------
    estimate, se, low, high : ndarray, shape (B,)
        Pooled effect, standard error, confidence interval.
    tau2 : ndarray, shape (B,)
        Between-study variance.
    effective : ndarray, shape (B,)
        Effective number of effects.
    at_boundary : ndarray of bool, shape (B,)
        Whether tau2 is 0 because no positive value fits better.
    identifiable : ndarray of bool, shape (B,)
        Whether there is an estimate: two effects at least that are points or have two ends.
    profile_low, profile_high, tau2_low, tau2_high : ndarray, shape (B,), or None
        Profile-likelihood intervals, where they were asked for.
    """

    estimate: Array
    se: Array
    low: Array
    high: Array
    tau2: Array
    effective: Array
    at_boundary: NDArray[np.bool_]
    identifiable: NDArray[np.bool_]
    profile_low: Array | None = None
    profile_high: Array | None = None
    tau2_low: Array | None = None
    tau2_high: Array | None = None


def fit_many_censored(
    lower: ArrayLike,
    upper: ArrayLike,
    v_lower: ArrayLike,
    v_upper: ArrayLike | None = None,
    counts: ArrayLike | None = None,
    method: str = "REML",
    test: str = "knapp-hartung",
    level: float = 0.95,
    *,
    profile: Literal["none", "tau2", "both"] = "none",
) -> ManyCensoredFits:
    """Fit B models of censored evidence without moderators in one batched call.

    Use it where fits come by the thousand. The numbers are those of :class:`metaexo.CensoredRandomEffects`.

    Parameters
    ----------
    lower, upper : array_like, shape (B, K)
        Ends of each effect, one meta-analysis per row; equal for exact effects, infinite where there is none.
    v_lower, v_upper : array_like, shape (B, K)
        Sampling variances at the ends, above 0 where the end is finite. Default of the second: the first.
    counts : array_like, shape (K,) or (B, K), optional
        How often each effect counts; 0 leaves it out. Default: once.
    method, test, level : str, str and float
        As in :meth:`metaexo.CensoredRandomEffects.fit`.
    profile : {"none", "tau2", "both"}
        Which profile-likelihood intervals are wanted: none, that of tau2, or that of the mean as well, which
        takes longest.

    Returns
    -------
    ManyCensoredFits
        One entry per meta-analysis.

    Raises
    ------
    UnknownChoiceError
        If `method` or `test` is not known.
    ShapeError
        If the arrays do not have one shape (B, K).
    InputError
        If an end that counts is missing, or its variance is not above 0.

    Examples
    --------
    >>> inf = float("inf")
    >>> fits = fit_many_censored(
    ...     [[0.2, 0.6, 0.7], [0.5, 0.4, -0.6]], [[0.2, 0.6, inf], [0.5, 0.4, 0.6]], [[0.02, 0.05, 0.1]] * 2
    ... )
    >>> fits.estimate.round(2)
    array([0.57, 0.45])
    """
    method, test = get_likelihood(method), get_test(test, CENSORED_TESTS)
    check_choice("profile", profile, PROFILES)
    level = check_level(level)
    given = (lower, upper, v_lower, v_lower if v_upper is None else v_upper)
    ends_named = ("lower", "upper", "v_lower", "v_upper")
    arrays = [read_numbers(a, name) for name, a in zip(ends_named, given, strict=True)]
    shape = arrays[0].shape
    if len(shape) != 2 or 0 in shape or any(a.shape != shape for a in arrays):
        raise ShapeError(f"the shapes are {[a.shape for a in arrays]}", "arrays of one shape (B, K)")
    n = np.ones(shape) if counts is None else read_counts(counts, shape)
    _check(arrays, n)
    ends = [np.where(n > 0, a, filler) for a, filler in zip(arrays, (0.0, 0.0, 1.0, 1.0), strict=True)]
    batch = make_censored_batch(ends[0], ends[1], ends[2], ends[3], n=n)
    restricted = method == "REML"
    out = {name: np.full(shape[0], np.nan) for name in ("estimate", "se", "low", "high", "tau2", "effective")}
    extra = {
        name: np.full(shape[0], np.nan) for name in ("profile_low", "profile_high", "tau2_low", "tau2_high")
    }
    boundary = np.zeros(shape[0], dtype=bool)
    known = np.flatnonzero(batch.two_ended >= 2)
    if not known.size:
        raise TooFewStudiesError(
            "no row has two effects that are points or have two ends",
            "two such effects in one row at least",
            "give the numbers or ends of more effects",
        )
    maximum = censored_maximum(batch.take(known), restricted)
    if maximum.unbounded.any():
        known = known[~maximum.unbounded]
        maximum = censored_maximum(batch.take(known), restricted)
    part = batch.take(known)
    found = censored_inference(part, maximum, restricted)
    scale = found.scale if test.startswith("knapp-hartung") else np.ones(known.size)
    se = np.sqrt(found.cov[:, 0, 0] * (np.maximum(scale, 1.0) if test.endswith("adhoc") else scale))
    quantile = normal_quantile(level) if test == "z" else _t(level, found.effective - 1)
    boundary[known] = maximum.at_boundary
    numbers = (found.beta[:, 0], se, found.beta[:, 0] - quantile * se, found.beta[:, 0] + quantile * se)
    for name, values in zip(out, (*numbers, maximum.tau2, found.effective), strict=True):
        out[name][known] = values
    for name, values in _profiles(part, maximum, restricted, level, profile):
        extra[name][known] = values
    return ManyCensoredFits(
        **out,
        at_boundary=boundary,
        identifiable=np.isin(np.arange(shape[0]), known),
        **{name: values for name, values in extra.items() if np.isfinite(values).any()},
    )


def _profiles(
    batch: CensoredBatch, maximum: CensoredMaximum, restricted: bool, level: float, profile: str
) -> Iterable[tuple[str, Array]]:
    """Yield the ends of the profile-likelihood intervals that were asked for."""
    drop = 0.5 * normal_quantile(level) ** 2
    if profile != "none":
        yield from zip(("tau2_low", "tau2_high"), tau2_limits(batch, maximum, restricted, drop), strict=True)
    if profile == "both":
        x = np.ones((batch.y.shape[1], 1))
        ends = coefficient_limits(batch, x, 0, drop)
        yield from zip(("profile_low", "profile_high"), ends, strict=True)


def _t(level: float, df: Array) -> Array:
    """Return t quantiles; NaN without degrees of freedom."""
    return np.where(df > 0, t_of_tail((1 - level) / 2, np.maximum(df, 1e-3)), np.nan)


def _check(arrays: list[Array], counts: Array) -> None:
    """Raise if an end that counts is missing or has no variance."""
    part = counts > 0
    bad = np.zeros(counts.shape, dtype=bool)
    for end, v in ((arrays[0], arrays[2]), (arrays[1], arrays[3])):
        bad |= part & (np.isnan(end) | (np.isfinite(end) & ~(np.isfinite(v) & (v > 0))))
    bad |= part & ~(arrays[0] <= arrays[1])
    bad |= part & np.isinf(arrays[0]) & np.isinf(arrays[1])
    bad |= part & np.isnan(variance_of_scale(*arrays)[0])
    if bad.any():
        raise InputError(
            "some effects that count lack an end or a variance, or their ends are in the wrong order",
            "lower <= upper, one of them finite, and v > 0 at every finite end, with v(y) = v(0) + c y^2",
            "set the count of such an effect to 0, which leaves it out",
            [f"row {b + 1}, effect {k + 1}" for b, k in np.argwhere(bad)[:20]],
        )
