"""What chance does: deals of whole studies to labels, and draws from a model that was fitted.

Deals: the effects of whole studies, with their sampling variances, are dealt to other studies; the factors
stay where they are. A study with more effects than it is dealt takes them in turn. For a test of some
factors given the others the residuals of the model of the others are dealt (Freedman and Lane), so that what
the others explain is not dealt away. Each deal is fitted afresh. The statistic is F with weights 1 / (v +
tau2), where tau2 is the moment estimate of Hedges: it has a closed form, and the deals make a test of it.
The difference of two tau2 would not do: both are zero too often.

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
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metaexo.heterogeneity.attribution_data import Codes
from metaexo.numeric.problem import NOISE, Array

# Statistics that differ by less than this share count as equal: deals that give the same data.
TIE = 1e-9
# A variance that is smaller than this share of the mean one counts as so large.
SMALLEST = 1e-8


@dataclass(frozen=True, eq=False)
class FittedModel:
    """The model that draws come from.

    Attributes
    ----------
    mean : ndarray, shape (k,)
        Expected effects, those of the levels shrunk.
    v : ndarray, shape (k,)
        Sampling variances.
    between, within : float
        Variances of true effects between studies and between effects of one study.
    study : ndarray of int, shape (k,)
        Study of each effect.
    """

    mean: Array
    v: Array
    between: float
    within: float
    study: Codes

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


def deals(study: Codes, draws: int, rng: np.random.Generator) -> Codes:
    """Return, for each deal, the row whose effect each row gets, shape (draws, k).

    Examples
    --------
    >>> dealt = deals(np.array([0, 0, 1]), 50, np.random.default_rng(1))
    >>> sorted({tuple(row) for row in dealt.tolist()})
    [(0, 1, 2), (2, 2, 0)]
    """
    size = np.bincount(study)
    rows = np.argsort(study, kind="stable")
    first = np.cumsum(size) - size
    place = np.empty(study.size, dtype=np.intp)
    place[rows] = np.arange(study.size) - np.repeat(first, size)
    donors = np.argsort(rng.random((draws, size.size)), axis=1)[:, study]
    return np.asarray(rows[first[donors] + place % size[donors]])


def dealt_p_value(
    y: Array, v: Array, less: Array, more: Array, study: Codes, draws: int, rng: np.random.Generator
) -> float:
    """Return the p-value of what one design explains beyond another, by deals of residuals.

    Parameters
    ----------
    y, v : ndarray, shape (k,)
        Effects and sampling variances.
    less, more : ndarray, shape (k, rank)
        Bases of the two designs; the first lies within the second.
    study : ndarray of int, shape (k,)
        Study of each effect.
    draws : int
        Number of deals.
    rng : numpy.random.Generator
        Where they come from.
    """
    fitted = y - _residuals(y[None], v[None], less)[0]
    rows = np.vstack([np.arange(y.size), deals(study, draws, rng)])
    f = f_statistics(fitted + (y - fitted)[rows], v[rows], less, more)
    return float((1 + (f[1:] >= f[0] - TIE * abs(f[0])).sum()) / (1 + draws))


def f_statistics(y: Array, v: Array, less: Array, more: Array) -> Array:
    """Return what one design explains beyond another over what is left, up to a factor, shape (B,).

    Both designs are the same for all B sets of effects, shape (B, k), so that sums over rows are products of
    matrices and no set has a decomposition of its own.
    """
    weights = 1.0 / _positive(v + hedges_tau2(y, v, more)[:, None])
    left = _weighted_ss(y, weights, more)
    gain = _weighted_ss(y, weights, less) - left
    gain = np.where(gain > rounding(y) * weights.sum(axis=-1), gain, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.divide(gain, left, out=np.zeros_like(gain), where=gain > 0))


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
    share that is left.

    Parameters
    ----------
    blocks : sequence of ndarray, shape (k, q)
        Columns of each factor; all together with an intercept of full rank.
    y : ndarray, shape (k,)
        Effects.
    model : FittedModel
        Its variances; its mean is not used.
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
    gram, right = _normal_equations(y, weights, basis)
    return np.asarray(y - np.linalg.solve(gram, right[..., None])[..., 0] @ basis.T)


def _weighted_ss(y: Array, weights: Array, basis: Array) -> Array:
    """Return the sum of the weighted squared residuals, shape (B,)."""
    rest = y - (y @ basis) @ basis.T  # nearly the residuals, so that the difference below costs few digits
    gram, right = _normal_equations(rest, weights, basis)
    taken = np.vecdot(right, np.linalg.solve(gram, right[..., None])[..., 0])
    return np.asarray(np.maximum(np.vecdot(weights * rest, rest) - taken, 0.0))


def _normal_equations(y: Array, weights: Array, basis: Array) -> tuple[Array, Array]:
    """Return X'WX, shape (B, p, p), and X'Wy, shape (B, p)."""
    p = basis.shape[1]
    products = (basis[:, :, None] * basis[:, None, :]).reshape(len(basis), p * p)
    return (weights @ products).reshape(-1, p, p), (weights * y) @ basis


def _positive(variance: Array) -> Array:
    """Return variances without zeros, which effects without sampling error have where tau2 is zero."""
    floor = SMALLEST * variance.mean(axis=-1, keepdims=True)
    return np.asarray(np.maximum(variance, np.maximum(floor, np.finfo(float).tiny ** 0.5)))
