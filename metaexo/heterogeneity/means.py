"""The means of strata with their joint covariance: what tests between strata are made of.

With one between-study variance for all strata the means are the coefficients of one model. With a separate
variance each they are independent, with separate degrees of freedom, and combinations of them are tested
with Satterthwaite's degrees of freedom. Where studies have several effects, the covariance is cluster-robust
over all strata at once, because a study may have effects in several of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metaexo.models.linear.design import Design
from metaexo.models.linear.hypothesis import TestResult, make_test, wald_test
from metaexo.models.linear.results import LinearResults
from metaexo.models.univariate.permutation import NOTHING, TIE
from metaexo.numeric.sandwich import Sandwich, cluster_sandwich
from metaexo.types import Array

SAME_MEAN = "all strata share one mean effect"


def strata_design(names: Sequence[str]) -> Design:
    """Return a design with one mean per stratum."""
    return Design(np.eye(len(names)), tuple(names), None, added=False)


def differences(count: int, places: Sequence[int]) -> Array:
    """Return the contrasts of the first of some strata with each of the others.

    Parameters
    ----------
    count : int
        Number of all strata.
    places : sequence of int
        Positions of those that are compared.

    Returns
    -------
    ndarray, shape (len(places) - 1, count)
        One row per contrast.
    """
    rows = np.zeros((len(places) - 1, count))
    rows[:, places[0]] = 1.0
    rows[np.arange(len(rows)), list(places[1:])] = -1.0
    return rows


@dataclass(frozen=True, eq=False, repr=False)
class SeparateMeans(LinearResults):
    """Means of independent strata, each with a separate variance.

    Attributes
    ----------
    design : Design
        One column per stratum.
    level : float
        Level of the intervals.
    estimates, variances : ndarray, shape (S,)
        Means and their squared standard errors.
    df : ndarray, shape (S,), or None
        Degrees of freedom of each squared standard error; None for normal tests.
    """

    design: Design
    level: float
    estimates: Array
    variances: Array
    df: Array | None

    @property
    def beta(self) -> Array:
        """Means, shape (S,)."""
        return self.estimates

    @property
    def cov(self) -> Array:
        """Covariance matrix of the means, shape (S, S)."""
        return np.diag(self.variances)

    @property
    def df_test(self) -> float | None:
        """Smallest degrees of freedom of a mean; combinations have their own. None for normal tests."""
        return None if self.df is None else float(self.df.min())

    def df_of(self, rows: Array) -> Array | None:
        """Return Satterthwaite's degrees of freedom of combinations of means, shape (q,); None for z.

        Parameters
        ----------
        rows : ndarray, shape (q, S)
            The combinations.
        """
        if self.df is None:
            return None
        parts = rows**2 * self.variances
        total = parts.sum(axis=1)
        # without variances the shares are those of equal variances
        parts = np.where(total[:, None] > 0, parts, rows**2)
        return np.asarray(parts.sum(axis=1) ** 2 / (parts**2 / self.df).sum(axis=1))

    def joint_test(self, rows: Array, null: Array, words: str) -> TestResult:
        """Return the test that combinations of means have given values.

        With q combinations and eta degrees of freedom it is the approximate Hotelling test,
        F = (eta - q + 1) / (eta q) times the Wald statistic, on q and eta - q + 1.

        Parameters
        ----------
        rows : ndarray, shape (q, S)
            The combinations.
        null : ndarray, shape (q,)
            The values.
        words : str
            The null hypothesis in words.
        """
        plain = wald_test(rows @ self.beta - null, rows @ self.cov @ rows.T, None, words)
        if self.df is None or np.isnan(plain.statistic):
            return plain
        return hotelling(plain, len(rows), self._eta(rows), words)

    def _eta(self, rows: Array) -> float:
        """Return the degrees of freedom of the approximate Hotelling test of several combinations."""
        assert self.df is not None
        whole = np.linalg.inv(rows @ self.cov @ rows.T)
        shares = self.variances * np.einsum("qs,qr,rs->s", rows, whole, rows)
        q = len(rows)
        return float(q * (q + 1) / (2 * shares**2 / self.df).sum())

    def only(self, places: Sequence[int]) -> SeparateMeans:
        """Return some of the means.

        Parameters
        ----------
        places : sequence of int
            Their positions.
        """
        at = list(places)
        return replace(
            self,
            design=strata_design([self.design.names[i] for i in at]),
            estimates=self.estimates[at],
            variances=self.variances[at],
            df=None if self.df is None else self.df[at],
        )

    def equality(self) -> TestResult:
        """Return the test that all means are equal: Welch's, or chi-square for normal tests."""
        s = self.design.p
        distance = distance_of_means(self.beta[:, None], self.variances[:, None])
        if self.df is None:
            return make_test(float(distance[0]), "chi2", (s - 1,), SAME_MEAN)
        statistic, lack = welch(distance, self.variances[:, None], self.df[:, None])
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
    """Return Welch's statistic and the sum that makes its second df, (B,) each.

    Parameters
    ----------
    distance : ndarray, shape (B,)
        The weighted sum of squares of the means.
    variance, df : ndarray, shape (S, B)
        Squared standard errors of the means, and their degrees of freedom.
    """
    s = len(variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 1.0 / variance
        share = share / share.sum(axis=0)
    still = variance == 0  # they carry all the weight, in equal parts
    share = np.where(still.any(axis=0), still / np.maximum(still.sum(axis=0), 1), share)
    lack = ((1 - share) ** 2 / df).sum(axis=0)
    return np.asarray(distance / (s - 1) / (1 + 2 * (s - 2) / (s**2 - 1) * lack)), np.asarray(lack)


@dataclass(frozen=True, eq=False, repr=False)
class RobustMeans(LinearResults):
    """Means of strata with a cluster-robust covariance matrix (CR2) over all of them.

    Attributes
    ----------
    design : Design
        One column per stratum.
    level : float
        Level of the intervals.
    estimates : ndarray, shape (S,)
        Means.
    sandwich : Sandwich
        Covariance matrix, and what its degrees of freedom are made of.
    normal : bool
        Whether tests are normal, without degrees of freedom.
    """

    design: Design
    level: float
    estimates: Array
    sandwich: Sandwich
    normal: bool

    @property
    def beta(self) -> Array:
        """Means, shape (S,)."""
        return self.estimates

    @property
    def cov(self) -> Array:
        """Robust covariance matrix of the means, shape (S, S)."""
        return self.sandwich.cov

    @property
    def df_test(self) -> float | None:
        """Smallest degrees of freedom of a mean; combinations have their own. None for normal tests."""
        return None if self.normal else float(self.sandwich.satterthwaite(np.eye(self.design.p)).min())

    def df_of(self, rows: Array) -> Array | None:
        """Return Satterthwaite's degrees of freedom of combinations of means, shape (q,); None for z.

        Parameters
        ----------
        rows : ndarray, shape (q, S)
            The combinations.
        """
        return None if self.normal else self.sandwich.satterthwaite(rows)

    def joint_test(self, rows: Array, null: Array, words: str) -> TestResult:
        """Return the approximate Hotelling test that combinations of means have given values.

        Parameters
        ----------
        rows : ndarray, shape (q, S)
            The combinations.
        null : ndarray, shape (q,)
            The values.
        words : str
            The null hypothesis in words.
        """
        plain = wald_test(rows @ self.beta - null, rows @ self.cov @ rows.T, None, words)
        if self.normal or np.isnan(plain.statistic):
            return plain
        return hotelling(plain, len(rows), self.sandwich.hotelling(rows), words)


def equality_test(means: LinearResults, names: Sequence[str]) -> tuple[TestResult | None, str]:
    """Return the test that some means are equal with its name, or why there is none."""
    places = [means.design.names.index(name) for name in names]
    still = [means.design.names[i] for i in places if means.cov[i, i] == 0]
    if still:
        who = ", ".join(still)
        return (
            None,
            f"no test: the effects of a stratum ({who}) are all equal, so its mean has no standard error",
        )
    if isinstance(means, SeparateMeans):
        some = means.only(places)
        return some.equality(), "chi-square test" if means.df is None else "Welch's test"
    rows = differences(means.design.p, places)
    found = means.joint_test(rows, np.zeros(len(rows)), SAME_MEAN)
    robust = isinstance(means, RobustMeans)
    if np.isnan(found.statistic):
        why = "too few clusters for as many strata" if robust else "the means have no spread"
        return None, f"no test: {why}"
    return found, "cluster-robust test (CR2)" if robust else "test of the joint model"


def hotelling(wald: TestResult, q: int, eta: float, words: str) -> TestResult:
    """Return the approximate Hotelling test of a Wald statistic of q combinations."""
    second = eta - q + 1
    if not second > 0:
        return TestResult(
            np.nan, "F", (float(q), float(second)), np.nan, f"{words}; not testable, too few clusters"
        )
    return make_test(wald.statistic * second / (eta * q), "F", (q, second), words)


def robust_means(
    names: Sequence[str],
    rows: Sequence[NDArray[np.intp]],
    estimates: Sequence[float],
    y: Array,
    total: Array,
    clusters: Sequence[str],
    level: float,
    normal: bool,
) -> RobustMeans:
    """Return means of strata with a covariance matrix that is robust to dependence within clusters.

    Parameters
    ----------
    names : sequence of str
        The strata.
    rows : sequence of ndarray
        Positions of the effects of each.
    estimates : sequence of float
        Their means, weighted by 1 / `total`.
    y, total : ndarray, shape (k,)
        All effects and their variances around the means, tau2 included.
    clusters : sequence of str, length k
        Cluster of each effect.
    level : float
        Level of the intervals.
    normal : bool
        Whether tests are normal.
    """
    used = np.concatenate(list(rows))
    x = np.repeat(np.eye(len(rows)), [len(part) for part in rows], axis=0)
    means = np.array(estimates)
    found: dict[str, list[int]] = {}
    for place, row in enumerate(used):
        found.setdefault(clusters[int(row)], []).append(place)
    members = [np.array(part, dtype=np.intp) for part in found.values()]
    working = [total[used[part]] for part in members]
    sandwich = cluster_sandwich(x, y[used] - x @ means, members, working, "CR2")
    return RobustMeans(strata_design(names), level, means, sandwich, normal)
