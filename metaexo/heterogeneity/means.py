"""Means of strata and their inference: what tests between strata are made of.

With one between-study variance for all strata the means are the coefficients of one model; with a separate
variance each they are independent, and combinations have Satterthwaite's degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metaexo.models.linear.hypothesis import (
    TestResult,
    WaldInference,
    covariance_of,
    hotelling_test,
    make_test,
    quantiles,
    wald_test,
)
from metaexo.numeric.arrangements import NOTHING, TIE
from metaexo.types import Array, Index

SAME_MEAN = "all strata share one mean effect"


def differences(count: int, places: Sequence[int]) -> Array:
    """Return the contrasts of the first of some strata, by position, with each of the others: one per row."""
    rows = np.zeros((len(places) - 1, count))
    rows[:, places[0]] = 1.0
    rows[np.arange(len(rows)), list(places[1:])] = -1.0
    return rows


@dataclass(frozen=True, eq=False)
class SeparateMeans(WaldInference):
    """Inference on the means of independent strata, each with a separate variance; `df` is the smallest."""

    df_each: Array | None = None  # degrees of freedom of each squared standard error; None for normal tests

    def df_of(self, rows: Array) -> Array | None:
        """Return Satterthwaite's degrees of freedom of combinations of means, shape (q,); None for z."""
        if self.df_each is None:
            return None
        parts = rows**2 * np.diagonal(self.cov)
        total = parts.sum(axis=1)
        # without variances the shares are those of equal variances
        parts = np.where(total[:, None] > 0, parts, rows**2)
        return np.asarray(parts.sum(axis=1) ** 2 / (parts**2 / self.df_each).sum(axis=1))

    def joint_test(self, rows: Array, difference: Array, null: str) -> TestResult:
        """Return the approximate Hotelling test that the `difference` of combinations is zero.

        With q combinations and eta degrees of freedom, F = (eta - q + 1) / (eta q) times the Wald statistic,
        on q and eta - q + 1.
        """
        whole = covariance_of(rows, self.cov)
        plain = wald_test(difference, whole, None, null)
        if self.df_each is None or np.isnan(plain.statistic):
            return plain
        shares = np.diagonal(self.cov) * np.einsum("qs,qr,rs->s", rows, np.linalg.inv(whole), rows)
        q = len(rows)
        return hotelling_test(plain, float(q * (q + 1) / (2 * shares**2 / self.df_each).sum()))


def separate_means(variances: Array, df_each: Array | None) -> SeparateMeans:
    """Return the inference on independent means, from squared standard errors and their df (None for z)."""
    smallest = None if df_each is None else float(df_each.min())
    return SeparateMeans(np.diag(variances), smallest, 1.0, df_each)


def difference_interval(
    estimates: Array, variances: Array, df_each: Array | None, level: float
) -> tuple[float, float]:
    """Return the interval of the second of two independent means minus the first."""
    row = np.array([[-1.0, 1.0]])
    se = np.sqrt(variances.sum())
    half = float(np.ravel(quantiles(level, separate_means(variances, df_each).df_of(row)) * se)[0])
    centre = float(estimates[1] - estimates[0])
    return centre - half, centre + half


def equality_of_separate(means: SeparateMeans, beta: Array, places: Index) -> TestResult:
    """Return the test that some means are equal: Welch's, or chi-square for normal tests."""
    s, variance = len(places), np.diagonal(means.cov)[places][:, None]
    distance = distance_of_means(beta[places][:, None], variance)
    if means.df_each is None:
        return make_test(float(distance[0]), "chi2", (s - 1,), SAME_MEAN)
    statistic, lack = welch(distance, variance, means.df_each[places][:, None])
    return make_test(float(statistic[0]), "F", (s - 1, (s**2 - 1) / (3 * float(lack[0]))), SAME_MEAN)


def distance_of_means(mean: Array, variance: Array) -> Array:
    """Return the weighted sum of squares of means around their weighted mean, (S, B) to (B,).

    It is 0 where all means agree, whatever their variances are, and infinite where they do not and the mean
    of a stratum has no variance: the others are then compared with it.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = 1.0 / variance
        centre = (weight * mean).sum(axis=0) / weight.sum(axis=0)
        distance = (weight * (mean - centre) ** 2).sum(axis=0)
    still = variance == 0
    middle = np.where(still, mean, 0.0).sum(axis=0) / np.maximum(still.sum(axis=0), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.where(still, 0.0, (mean - middle) ** 2 / variance).sum(axis=0)
    apart = np.where(still, np.abs(mean - middle), 0.0).max(axis=0)
    rounding = TIE * np.abs(mean).max(axis=0)
    distance = np.where(still.any(axis=0), np.where(apart > rounding, np.inf, rest), distance)
    return np.asarray(np.where(np.ptp(mean, axis=0) <= NOTHING * np.abs(mean).max(axis=0), 0.0, distance))


def welch(distance: Array, variance: Array, df: Array) -> tuple[Array, Array]:
    """Return Welch's statistic and the sum that makes its second df, (B,) each, from (B,), (S, B), (S, B)."""
    s = len(variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 1.0 / variance
        share = share / share.sum(axis=0)
    still = variance == 0  # they carry all the weight, in equal parts
    share = np.where(still.any(axis=0), still / np.maximum(still.sum(axis=0), 1), share)
    lack = ((1 - share) ** 2 / df).sum(axis=0)
    return np.asarray(distance / (s - 1) / (1 + 2 * (s - 2) / (s**2 - 1) * lack)), np.asarray(lack)
