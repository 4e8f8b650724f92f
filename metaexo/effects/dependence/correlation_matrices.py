"""Correlation matrices as data: covariances of their entries, and regressions computed from them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, fdtrc, ndtr, ndtri

from metaexo.effects.check import reads_groups
from metaexo.errors import (
    CollinearError,
    InputError,
    MissingInputError,
    SampleSizeError,
    ShapeError,
    UnknownChoiceError,
)
from metaexo.immutable import Immutable
from metaexo.inputs import check_flag, check_number, read_words
from metaexo.numeric.tails import t_of_tail, t_two_sided
from metaexo.readable import shows_itself
from metaexo.types import Array

ONE = 1e-8  # a diagonal within this of ones is that of a correlation matrix


@reads_groups
def covariance_of_correlations(
    correlations: ArrayLike, n: float, *, fisher_z: bool = False
) -> tuple[Array, Array]:
    """Return the correlations of one sample as effects, with the covariance matrix of their errors.

    Use it for a synthesis of whole correlation matrices. Pairs stand in the order (1, 2), (1, 3), ...,
    (2, 3), .... For pairs (j, k) and (h, m) of variables, times n - 1,

        Cov = r_jk r_hm (r_jh^2 + r_jm^2 + r_kh^2 + r_km^2) / 2 + r_jh r_km + r_jm r_kh
              - (r_jk r_jh r_jm + r_jk r_kh r_km + r_jh r_kh r_hm + r_jm r_km r_hm)

    For Fisher's z the covariances are divided by (1 - r^2) of both pairs, and n - 3 stands for n - 1.

    Parameters
    ----------
    correlations : array_like, shape (p, p)
        Correlation matrix.
    n : float
        Sample size.
    fisher_z : bool
        Whether effects are Fisher's z.

    Returns
    -------
    y : ndarray, shape (p (p - 1) / 2,)
        Correlations or z.
    cov : ndarray
        Their covariance matrix.

    Raises
    ------
    ShapeError
        If the matrix is not square and symmetric.

    References
    ----------
    Olkin & Finn (1990), Journal of Educational Statistics 15, 265-275, doi:10.3102/10769986015003265.
    Steiger (1980), Psychological Bulletin 87, 245-251, doi:10.1037/0033-2909.87.2.245.

    Examples
    --------
    >>> y, cov = covariance_of_correlations([[1, 0.5, 0.2], [0.5, 1, 0.3], [0.2, 0.3, 1]], 101)
    >>> y, np.diag(cov).round(6)
    (array([0.5, 0.2, 0.3]), array([0.005625, 0.009216, 0.008281]))
    """
    check_flag("fisher_z", fisher_z)
    if check_number("n", n) <= 3:
        raise SampleSizeError(f"n = {n!r}", "a sample size above 3")
    r = _square(correlations)
    if r.shape[0] < 2:
        raise ShapeError(f"a matrix of shape {r.shape}", "correlations of two variables or more")
    pairs = list(itertools.combinations(range(r.shape[0]), 2))
    y = np.array([r[pair] for pair in pairs])
    cov = np.array([[_covariance(r, one, other) for other in pairs] for one in pairs]) / (n - 1)
    if not fisher_z:
        return y, cov
    rest = 1 - y**2
    return np.arctanh(y), cov / np.outer(rest, rest) * (n - 1) / (n - 3)


def _covariance(r: Array, one: tuple[int, int], other: tuple[int, int]) -> float:
    """Return the large-sample covariance of two correlations, times n - 1."""
    (j, k), (h, m) = one, other
    squares = r[j, h] ** 2 + r[j, m] ** 2 + r[k, h] ** 2 + r[k, m] ** 2
    crossed = r[j, h] * r[k, m] + r[j, m] * r[k, h]
    threes = r[j, k] * r[j, h] * r[j, m] + r[j, k] * r[k, h] * r[k, m]
    threes += r[j, h] * r[k, h] * r[h, m] + r[j, m] * r[k, m] * r[h, m]
    return float(r[j, k] * r[h, m] * squares / 2 + crossed - threes)


@shows_itself
@dataclass(frozen=True, eq=False, slots=True)
class MatrixRegression(Immutable):
    """A regression computed from a correlation or covariance matrix.

    Attributes
    ----------
    names : tuple of str
        Names of the coefficients.
    estimate, se, statistic, pvalue, low, high : ndarray
        Coefficients with tests (t, or z if the errors of the matrix were given) and intervals.
    cov : ndarray
        Covariance matrix of the coefficients.
    r2 : float
        Share of variance explained.
    r2_adjusted : float or None
        The same, adjusted; None for z tests.
    f, f_pvalue : float or None
        F test of all predictors; None for z tests.
    f_df : tuple of int
        Its degrees of freedom; empty for z tests.
    chi2, chi2_pvalue : float or None
        Wald test of all predictors; None for t tests.
    """

    names: tuple[str, ...]
    estimate: Array
    se: Array
    statistic: Array
    pvalue: Array
    low: Array
    high: Array
    cov: Array
    r2: float
    r2_adjusted: float | None = None
    f: float | None = None
    f_df: tuple[int, ...] = ()
    f_pvalue: float | None = None
    chi2: float | None = None
    chi2_pvalue: float | None = None


@reads_groups
def regression_from_matrix(
    matrix: ArrayLike,
    outcome: str,
    predictors: Sequence[str],
    names: Sequence[str],
    *,
    n: int | None = None,
    means: ArrayLike | None = None,
    errors: ArrayLike | None = None,
    level: float = 0.95,
) -> MatrixRegression:
    """Return a regression of one variable on others, computed from their correlations or covariances.

    Use it on pooled or published correlation matrices. With S the matrix, b = Sxx^-1 sxy. With `n`, tests
    are those of ordinary least squares. A matrix of covariances stands for variables about their means, with
    n - 1 - p degrees of freedom for p predictors, and with `means` it has the intercept too; a matrix of
    correlations (ones on its diagonal) stands for standardised variables without one, with n - p. With
    `errors`, the covariance matrix of the correlations' own errors (pairs in the order of
    :func:`covariance_of_correlations`), tests are Wald tests by the delta method.

    Parameters
    ----------
    matrix : array_like, shape (p, p)
        Correlation or covariance matrix.
    outcome : str
        Name of the outcome.
    predictors : sequence of str
        Names of the predictors.
    names : sequence of str, length p
        Names of the variables, in the order of the matrix.
    n : int, optional
        Sample size.
    means : array_like, shape (p,), optional
        Means of the variables.
    errors : array_like, optional
        Covariance matrix of the correlations.
    level : float
        Level of the intervals.

    Returns
    -------
    MatrixRegression
        Coefficients, tests, R2.

    Raises
    ------
    MissingInputError
        If neither `n` nor `errors` is given.
    InputError
        If no residual degree of freedom is left.
    CollinearError
        If a predictor is a linear combination of others.
    UnknownChoiceError
        If a variable is not in the matrix.

    References
    ----------
    Becker & Wu (2007), Statistical Science 22, 414-429, doi:10.1214/07-STS243.

    Examples
    --------
    >>> r = [[1, 0.5, 0.2], [0.5, 1, 0.3], [0.2, 0.3, 1]]
    >>> fit = regression_from_matrix(r, "y", ["x", "z"], ["y", "x", "z"], n=100)
    >>> fit.estimate.round(4), round(fit.r2, 4)
    (array([0.4835, 0.0549]), 0.2527)
    """
    s = _square(matrix)
    predictors, known = read_words(predictors, "predictors"), read_words(names, "names", s.shape[0])
    if not predictors or len({str(outcome), *predictors}) <= len(predictors) or not np.isfinite(s).all():
        raise InputError(
            "no predictors, a variable that stands twice, or gaps in the matrix",
            "an outcome and other variables as predictors, each once, and a complete matrix",
        )
    if n is not None and not len(predictors) < check_number("n", n) < 1e15:
        raise SampleSizeError(f"n = {n!r}", f"a sample size above {len(predictors)}")
    if not isinstance(outcome, str):
        raise InputError(f"outcome is a {type(outcome).__name__}", "the name of a variable")
    at = _positions([outcome, *predictors], known)
    if not (np.diag(s)[at] > 0).all():
        raise InputError("some variances are not above 0", "a correlation or covariance matrix")
    y, x = at[0], np.array(at[1:], dtype=np.intp)
    block = s[np.ix_(x, x)]
    if np.linalg.cond(block) > 1e12:
        raise CollinearError(
            "the predictors are linear combinations of each other", "predictors of their own"
        )
    if means is not None and np.shape(means) != s.shape[:1]:
        raise ShapeError(f"means has shape {np.shape(means)}", "one mean for each variable of the matrix")
    inverse = np.asarray(np.linalg.inv(block), dtype=float)
    b = np.asarray(inverse @ s[x, y])
    r2 = float(b @ s[x, y] / s[y, y])
    if not r2 < 1:
        raise InputError(
            "the predictors leave nothing of the outcome unexplained",
            "a correlation or covariance matrix of variables that differ",
            "look at the matrix: a correlation may have lost its sign or its decimals",
        )
    if errors is not None:
        cov = _delta_cov(inverse, b, y, x, np.asarray(errors, dtype=float), s.shape[0])
        chi2 = float(b @ np.linalg.solve(cov, b))
        parts = _wald(b, cov, None, level)
        return MatrixRegression(
            tuple(predictors), *parts, r2, chi2=chi2, chi2_pvalue=float(chdtrc(b.size, chi2))
        )
    if n is None:
        raise MissingInputError("neither n nor the errors of the matrix are given", "n or errors")
    return _least_squares(s, inverse, b, r2, y, x, tuple(predictors), n, means, level)


def _least_squares(
    s: Array,
    inverse: Array,
    b: Array,
    r2: float,
    y: int,
    x: NDArray[np.intp],
    names: tuple[str, ...],
    n: int,
    means: ArrayLike | None,
    level: float,
) -> MatrixRegression:
    """Return coefficients with the tests of ordinary least squares."""
    p = b.size
    centred = int(means is not None or not np.allclose(np.diag(s), 1.0, rtol=0, atol=ONE))
    df = n - p - centred
    if df < 1:
        raise InputError(
            f"{n} people for {p} predictors{' and an intercept' if centred else ''}",
            f"more than {p + centred} people, so that residual degrees of freedom are left",
            "give the number of people behind the matrix, or take fewer predictors",
        )
    residual = s[y, y] * (1 - r2) * (n - 1) / df
    cov = residual * inverse / (n - 1)
    f = r2 / p / ((1 - r2) / df)
    adjusted = 1 - (1 - r2) * (n - centred) / df
    if means is not None:
        centre = np.asarray(means, dtype=float)
        slopes = -cov @ centre[x]
        corner = residual / n - slopes @ centre[x]
        cov = np.block([[np.array([[corner]]), slopes[None, :]], [slopes[:, None], cov]])
        b = np.concatenate([[centre[y] - b @ centre[x]], b])
        names = ("intercept", *names)
    parts = _wald(b, cov, df, level)
    return MatrixRegression(names, *parts, r2, adjusted, f, (p, df), float(fdtrc(p, df, f)))


def _wald(
    b: Array, cov: Array, df: int | None, level: float
) -> tuple[Array, Array, Array, Array, Array, Array, Array]:
    """Return estimate, se, statistic, p-value, low, high, cov."""
    se = np.sqrt(np.diag(cov))
    statistic, tail = b / se, (1 - level) / 2
    if df is None:
        pvalue, quantile = 2 * ndtr(-np.abs(statistic)), -ndtri(tail)
    else:
        pvalue, quantile = t_two_sided(statistic, df), t_of_tail(tail, df)
    return b, se, statistic, pvalue, b - quantile * se, b + quantile * se, cov


def _delta_cov(inverse: Array, b: Array, y: int, x: NDArray[np.intp], errors: Array, p: int) -> Array:
    """Return the covariance of the coefficients that follows from the errors of the correlations."""
    pairs = list(itertools.combinations(range(p), 2))
    if errors.shape != (len(pairs), len(pairs)):
        raise ShapeError(f"errors of shape {errors.shape} for {len(pairs)} correlations", "one row a pair")
    place = {int(variable): k for k, variable in enumerate(x)}
    slopes = np.zeros((b.size, len(pairs)))
    for column, (j, k) in enumerate(pairs):
        if y in (j, k):
            other = k if j == y else j
            if other in place:
                slopes[:, column] = inverse[:, place[other]]
        elif j in place and k in place:
            first, second = place[j], place[k]
            slopes[:, column] = -(inverse[:, first] * b[second] + inverse[:, second] * b[first])
    return np.asarray(slopes @ errors @ slopes.T)


def _positions(wanted: Sequence[str], names: Sequence[str]) -> list[int]:
    known = list(names)
    for name in wanted:
        if name not in known:
            raise UnknownChoiceError("variable", name, known)
    return [known.index(name) for name in wanted]


def _square(matrix: ArrayLike) -> Array:
    s = np.asarray(matrix, dtype=float)
    if not s.size or s.ndim != 2 or s.shape[0] != s.shape[1] or not np.allclose(s, s.T, equal_nan=True):
        raise ShapeError(f"a matrix of shape {s.shape}", "a square and symmetric matrix")
    return s
