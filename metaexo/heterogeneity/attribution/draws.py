"""What chance does: permutations of whole studies, and draws from a model that was fitted.

Permutations: the effects of whole studies, with their sampling variances, are given to other studies; the
factors stay where they are. A study with more effects than it is given takes them in turn. For a test of some
factors given the others the residuals of the model of the others are permuted (Freedman and Lane), so that
what the others explain is kept. Each permutation is fitted afresh.

The statistic is studentized: it divides what the factors explain by a covariance that is robust to variances
that differ between levels, and to dependence within studies. So the test also holds, with many studies, where
the residuals of different levels are not exchangeable (Janssen; Pauly, Brunner and Konietschke; DiCiccio and
Romano). As a robust covariance is rough with few studies, the one of the model is added with a weight of two
studies a coefficient; its part vanishes as studies become many. The weights are 1 / (v + tau2), where tau2 is
the moment estimate of Hedges: it has a closed form, and the permutations make a test of it. The difference of
two tau2 would not do: both are zero too often.

Draws: from the fitted model, not from the rows. Drawing studies with replacement loses whole levels when
levels have two or three studies, and studies that come twice look like small residuals; both make shares
too large. In a draw the design stays as it is, studies and effects get new random effects and new sampling
errors. The effects of the levels are shrunk first so that each factor makes as much variance as is estimated
for it, not as much as its noisy coefficients make; else a factor without any effect would never come near
zero.

References
----------
Freedman, D., Lane, D. (1983). A nonstochastic interpretation of reported significance levels. Journal of
Business & Economic Statistics 1, 292-298. https://doi.org/10.1080/07350015.1983.10509354
Higgins, J. P. T., Thompson, S. G. (2004). Controlling the risk of spurious findings from meta-regression.
Statistics in Medicine 23, 1663-1682. https://doi.org/10.1002/sim.1752
Janssen, A. (1997). Studentized permutation tests for non-i.i.d. hypotheses and the generalized Behrens-Fisher
problem. Statistics & Probability Letters 36, 9-21. https://doi.org/10.1016/S0167-7152(97)00043-6
Pauly, M., Brunner, E., Konietschke, F. (2015). Asymptotic permutation tests in general factorial designs.
Journal of the Royal Statistical Society B 77, 461-473. https://doi.org/10.1111/rssb.12073
DiCiccio, C. J., Romano, J. P. (2017). Robust permutation tests for correlation and regression coefficients.
Journal of the American Statistical Association 112, 1211-1220. https://doi.org/10.1080/01621459.2016.1202117
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from metaexo.heterogeneity.levels import basis_beyond
from metaexo.numeric.arrangements import permutation_p
from metaexo.numeric.problem import NOISE
from metaexo.types import Array, Index

# Studies that the covariance of the model counts for, per coefficient, beside the robust one.
PRIOR = 2.0
# Permutations that are fitted at once, so that memory stays bounded.
AT_ONCE = 100
# A variance that is smaller than this share of the mean one counts as so large.
SMALLEST = 1e-8


@dataclass(frozen=True, eq=False)
class FittedModel:
    """The model that draws come from: k effects with their sampling variances and studies."""

    mean: Array  # expected effects, those of the levels shrunk
    v: Array
    between: float  # variance of true effects between studies
    within: float  # and between effects of one study
    study: Index

    def draw(self, draws: int, rng: np.random.Generator) -> Array:
        """Return new effects, shape (draws, k)."""
        studies = int(self.study.max()) + 1
        shared = rng.normal(0.0, np.sqrt(self.between), (draws, studies))[:, self.study]
        own = rng.normal(0.0, np.sqrt(self.within + self.v), (draws, self.v.size))
        return np.asarray(self.mean + shared + own)

    def covariance(self) -> Array:
        """Return the covariance matrix of the effects, shape (k, k)."""
        same = self.study[:, None] == self.study
        return np.asarray(self.between * same + np.diag(self.within + self.v))


def permuted_studies(study: Index, draws: int, rng: np.random.Generator) -> Index:
    """Return, for each permutation, the row whose effect each row gets, shape (draws, k).

    Examples
    --------
    >>> rows = permuted_studies(np.array([0, 0, 1]), 50, np.random.default_rng(1))
    >>> sorted({tuple(row) for row in rows.tolist()})
    [(0, 1, 2), (2, 2, 0)]
    """
    size = np.bincount(study)
    rows = np.argsort(study, kind="stable")
    first = np.cumsum(size) - size
    place = np.empty(study.size, dtype=np.intp)
    place[rows] = np.arange(study.size) - np.repeat(first, size)
    donors = np.argsort(rng.random((draws, size.size)), axis=1)[:, study]
    return np.asarray(rows[first[donors] + place % size[donors]])


def permutation_p_value(
    y: Array,
    v: Array,
    less: Array,
    more: Array,
    study: Index,
    draws: int,
    rng: np.random.Generator,
    advance: Callable[[int], None] | None = None,
) -> float:
    """Return the p-value of what one design explains beyond another, by permutations of residuals.

    Effects, variances and studies have the shape (k,), the bases of the designs (k, rank); `less` lies within
    `more`. `advance` is called with the number of permutations fitted, now and then.
    """
    fitted = y - _residuals(y[None], v[None], less)[0]
    rows = np.vstack([np.arange(y.size), permuted_studies(study, draws, rng)])
    nested = Nested(less, more, study)
    parts = []
    for begin in range(0, len(rows), AT_ONCE):
        some = rows[begin : begin + AT_ONCE]
        parts.append(nested.statistics(fitted + (y - fitted)[some], v[some]))
        if advance is not None:
            advance(len(some))
    statistics = np.concatenate(parts)
    return permutation_p(statistics[1:], float(statistics[0]), drawn=True)


class Nested:
    """A design within another one, and the studentized statistic of what the larger explains beyond it.

    Both designs are the same for all sets of effects, so that sums over rows are products of matrices. Rows
    that are equal in the larger design (cells) are summed first. The bases, shape (k, rank), are orthonormal.
    """

    def __init__(self, less: Array, more: Array, study: Index) -> None:
        self.more = more
        self.studies = int(study.max()) + 1
        _, head, self.cell = np.unique(np.round(more, 10), axis=0, return_index=True, return_inverse=True)
        self.cell = self.cell.ravel()
        self.x1 = less[head]
        self.x2 = basis_beyond(more, less)[head]
        self.all = np.hstack([self.x1, self.x2])
        # every pair of a study and a cell once
        pair, of_pair = np.unique(np.column_stack([study, self.cell]), axis=0, return_inverse=True)
        self.pair_cell = pair[:, 1]
        self.to_cell, self.to_pair = np.eye(len(head))[self.cell], np.eye(len(pair))[of_pair.ravel()]
        self.first_pair = np.flatnonzero(np.r_[True, pair[1:, 0] != pair[:-1, 0]])

    def statistics(self, y: Array, v: Array) -> Array:
        """Return the statistics of B sets of effects, shape (B,), from arrays of shape (B, k)."""
        w = 1.0 / _positive(v + hedges_tau2(y, v, self.more)[:, None])
        total = w @ self.to_cell
        q = self.x2.shape[1]
        z = self.x2 - self.x1 @ np.linalg.solve(_gram(total, self.x1), _gram(total, self.x1, self.x2))
        m = np.swapaxes(total[..., None] * z, 1, 2) @ self.x2
        wy = (w * y) @ self.to_cell
        beta = np.linalg.solve(_gram(total, self.all), (wy @ self.all)[..., None])[..., 0]
        e = y - (beta @ self.all.T)[:, self.cell]
        score = np.einsum("bcq,bc->bq", z, wy)
        gain = np.vecdot(score, np.linalg.solve(m, score[..., None])[..., 0])
        pairs = (w * e) @ self.to_pair
        u = np.add.reduceat(pairs[..., None] * z[:, self.pair_cell], self.first_pair, axis=1)
        free = len(self.more) - self.more.shape[1]
        noise = rounding(y) * w.sum(axis=-1)
        scale = np.maximum(np.vecdot(w * e, e), noise) / free
        robust = np.swapaxes(u, 1, 2) @ u
        robust += (PRIOR * q / self.studies * scale)[:, None, None] * m
        found = np.vecdot(score, np.linalg.solve(robust, score[..., None])[..., 0])
        return np.asarray(np.where(gain > noise, found, 0.0))


def hedges_tau2(y: Array, v: Array, basis: Array) -> Array:
    """Return the moment estimate of tau2 by unweighted least squares, shape (B,), at least 0."""
    rest = y - (y @ basis) @ basis.T
    free = 1.0 - np.vecdot(basis, basis)
    estimate = (np.vecdot(rest, rest) - v @ free) / (len(basis) - basis.shape[1])
    return np.asarray(np.maximum(estimate, 0.0))


def rounding(y: Array) -> Array:
    """Return the squared size of what is rounding error of effects, shape (B,)."""
    return np.asarray((NOISE * np.abs(y).max(axis=-1)) ** 2)


def shrunk_mean(blocks: Sequence[Array], y: Array, model: FittedModel) -> Array:
    """Return the expected effects of a model, each block of columns shrunk to the variance estimated for it.

    The variance that a block's coefficients b make, :math:`|Z b|^2 / k`, exceeds the true one by
    :math:`tr(Z C Z') / k` on average, with C the covariance of b; the block is multiplied by the root of the
    share that is left. The blocks, with an intercept, are of full rank; the mean of the model is not used.
    """
    x = np.hstack([np.ones((y.size, 1)), *blocks])
    weights = 1.0 / _positive(model.between + model.within + model.v)
    solve = np.linalg.solve((x.T * weights) @ x, x.T * weights)
    beta = solve @ y
    cov = solve @ model.covariance() @ solve.T
    mean = np.full(y.size, float((x @ beta).mean()))
    start = 1
    for block in blocks:
        at = slice(start, start + block.shape[1])
        start += block.shape[1]
        z = block - block.mean(axis=0)
        part = z @ beta[at]
        made = float(part @ part)
        noise = float(np.einsum("kp,pq,kq->", z, cov[at, at], z))
        mean = mean + part * np.sqrt(max(0.0, 1.0 - noise / made) if made > 0 else 0.0)
    return mean


def _residuals(y: Array, v: Array, basis: Array) -> Array:
    """Return the residuals of a weighted fit, with weights 1 / (v + tau2), shape (B, k)."""
    weights = 1.0 / _positive(v + hedges_tau2(y, v, basis)[:, None])
    right = (weights * y) @ basis
    return np.asarray(y - np.linalg.solve(_gram(weights, basis), right[..., None])[..., 0] @ basis.T)


def _gram(weights: Array, left: Array, right: Array | None = None) -> Array:
    """Return left' W right for weights of shape (B, rows), shape (B, columns of left, columns of right)."""
    right = left if right is None else right
    products = (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)
    return np.asarray((weights @ products).reshape(-1, left.shape[1], right.shape[1]))


def _positive(variance: Array) -> Array:
    """Return variances without zeros, which effects without sampling error have where tau2 is zero."""
    floor = SMALLEST * variance.mean(axis=-1, keepdims=True)
    return np.asarray(np.maximum(variance, np.maximum(floor, np.finfo(float).tiny ** 0.5)))
