"""Tail probabilities and quantiles, always from the tail itself: never one minus a distribution function."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metaexo.types import Array


def normal_two_sided(z: ArrayLike) -> Array:
    """Return P(|Z| >= |z|) of the standard normal distribution."""
    return np.asarray(np.exp(special.log_ndtr(-np.abs(z)) + math.log(2)))


def t_two_sided(t: ArrayLike, df: ArrayLike) -> Array:
    """Return P(|T| >= |t|) of Student's t distribution.

    It is an incomplete beta function of df / (df + t^2), or the complement of one of t^2 / (df + t^2); the
    smaller of the two arguments is the one that keeps its digits.
    """
    square = np.asarray(t, dtype=float) ** 2
    nu = np.asarray(df, dtype=float)
    total = nu + square
    far = special.betainc(nu / 2, 0.5, nu / total)
    near = special.betaincc(0.5, nu / 2, np.minimum(square, nu) / total)
    return np.asarray(np.where(square > nu, far, near))


def chi2_tail(x: ArrayLike, df: ArrayLike) -> Array:
    """Return P(X >= x) of the chi-square distribution."""
    return np.asarray(special.chdtrc(df, np.maximum(x, 0.0)))


def f_tail(x: ArrayLike, df1: ArrayLike, df2: ArrayLike) -> Array:
    """Return P(F >= x) of the F distribution."""
    return np.asarray(special.fdtrc(df1, df2, np.maximum(x, 0.0)))


def normal_quantile(level: float) -> float:
    """Return the z with P(|Z| <= z) = level."""
    return float(-special.ndtri((1 - level) / 2))


def t_of_tail(tail: ArrayLike, df: ArrayLike) -> Array:
    """Return the t with P(T > t) = tail, for tails of at most one half.

    scipy's quantile is good to some ten digits in older versions; two Newton steps on the logarithm of the
    tail bring it to full precision everywhere.
    """
    target, nu = np.asarray(tail, dtype=float), np.asarray(df, dtype=float)
    t = np.asarray(-special.stdtrit(nu, target))
    log_scale = special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2) - 0.5 * np.log(nu * math.pi)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(2):
            beyond = 0.5 * t_two_sided(t, nu)
            density = np.exp(log_scale - 0.5 * (nu + 1) * np.log1p(t * t / nu))
            step = np.log(beyond / target) * beyond / density
            t = np.where(np.isfinite(step) & (t > 0), t + step, t)
    return np.asarray(t)


@lru_cache(maxsize=1024)
def t_quantile(level: float, df: float) -> float:
    """Return the t with P(|T| <= t) = level; a number asked for again is remembered."""
    return float(t_of_tail((1 - level) / 2, df))


def chi2_quantiles(level: float, df: ArrayLike) -> tuple[Array, Array]:
    """Return the two equal-tailed quantiles of the chi-square distribution that enclose `level`."""
    tail = (1 - level) / 2
    half = np.asarray(df, dtype=float) / 2
    return 2 * special.gammaincinv(half, tail), 2 * special.gammainccinv(half, tail)


def chi2_median(df: ArrayLike) -> Array:
    """Return the median of the chi-square distribution."""
    return np.asarray(2 * special.gammaincinv(np.asarray(df, dtype=float) / 2, 0.5))


def upper_tail(x: ArrayLike, df: ArrayLike | None) -> Array:
    """Return P(T > x) of Student's t distribution, or of the normal if `df` is None."""
    if df is None:
        return np.asarray(np.exp(special.log_ndtr(-np.asarray(x, dtype=float))))
    return np.asarray(special.stdtr(df, -np.asarray(x, dtype=float)))
