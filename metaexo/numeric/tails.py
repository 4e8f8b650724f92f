"""Tail probabilities and quantiles, always from the tail itself: never one minus a distribution function."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metaexo.numeric.problem import Array


def normal_two_sided(z: ArrayLike) -> Array:
    """Return P(|Z| >= |z|) of the standard normal distribution."""
    return np.asarray(np.exp(special.log_ndtr(-np.abs(z)) + math.log(2)))


def t_two_sided(t: ArrayLike, df: ArrayLike) -> Array:
    """Return P(|T| >= |t|) of Student's t distribution, as an incomplete beta function of df / (df + t^2)."""
    square = np.asarray(t, dtype=float) ** 2
    nu = np.asarray(df, dtype=float)
    return np.asarray(special.betainc(nu / 2, 0.5, nu / (nu + square)))


def chi2_tail(x: ArrayLike, df: ArrayLike) -> Array:
    """Return P(X >= x) of the chi-square distribution."""
    return np.asarray(special.chdtrc(df, np.maximum(x, 0.0)))


def f_tail(x: ArrayLike, df1: ArrayLike, df2: ArrayLike) -> Array:
    """Return P(F >= x) of the F distribution."""
    return np.asarray(special.fdtrc(df1, df2, np.maximum(x, 0.0)))


def normal_quantile(level: float) -> float:
    """Return the z with P(|Z| <= z) = level."""
    return float(-special.ndtri((1 - level) / 2))


def t_quantile(level: float, df: float) -> float:
    """Return the t with P(|T| <= t) = level."""
    return float(-special.stdtrit(df, (1 - level) / 2))


def chi2_quantiles(level: float, df: ArrayLike) -> tuple[Array, Array]:
    """Return the two equal-tailed quantiles of the chi-square distribution that enclose `level`."""
    tail = (1 - level) / 2
    half = np.asarray(df, dtype=float) / 2
    return 2 * special.gammaincinv(half, tail), 2 * special.gammainccinv(half, tail)
