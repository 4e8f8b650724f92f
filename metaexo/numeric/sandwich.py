"""Cluster-robust covariance matrices and their degrees of freedom.

The fit is b = M X'Wy with M = (X'WX)^-1. The weights W are the inverse of the working covariance matrix S if
no others are given; both are made of blocks, one per cluster. With residuals e_g and adjustment matrices A_g

    V = M [ sum_g X_g' W_g A_g e_g e_g' A_g' W_g X_g ] M.

CR0 takes A_g = I. CR1, CR1p and CR1S multiply it by a factor of the numbers of clusters G, rows N and
coefficients p: G/(G-1), G/(G-p), G(N-1)/((G-1)(N-p)). CR2 chooses A_g so that V is unbiased where S is
right: A_g = D_g' B_g^(-1/2) D_g with S_g = D_g'D_g and B_g = D_g (S_g - X_g M X_g') D_g'; with other weights
the bracket is the covariance matrix of the residuals e_g under S. CR3 takes
A_g = (I - X_g M X_g' W_g)^-1, which is close to leaving out a cluster at a time.

Under the working model the variance of a combination c'b is estimated by a quadratic form in y; matching its
mean and variance to a chi-square gives Satterthwaite's degrees of freedom, and several combinations together
an approximate Hotelling test.

References
----------
Pustejovsky, J. E., Tipton, E. (2018). Small-sample methods for cluster-robust variance estimation and
hypothesis testing in fixed effects models. Journal of Business & Economic Statistics 36, 672-683.
https://doi.org/10.1080/07350015.2016.1247004
Tipton, E., Pustejovsky, J. E. (2015). Small-sample adjustments for tests of moderators and model fit using
robust variance estimation in meta-regression. Journal of Educational and Behavioral Statistics 40, 604-634.
https://doi.org/10.3102/1076998615606099
Bell, R. M., McCaffrey, D. F. (2002). Bias reduction in standard errors for linear regression with multi-stage
samples. Survey Methodology 28, 169-181.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from metaexo.errors import NotIdentifiableError, UnknownChoiceError
from metaexo.formatting import plural
from metaexo.immutable import Immutable
from metaexo.types import Array, Index

KINDS = ("CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3")
# Directions whose share of the variance is smaller than this are fitted exactly and carry no information.
NO_SPREAD = 1e-10
# Most numbers of the matrices of clusters that are handled in one call.
STACK_ELEMENTS = 2_000_000

# Working covariances: one per cluster, or a function from the rows of clusters of one size, shape (b, n), to
# theirs, shape (b, n, n).
Working = Sequence[Array] | Callable[[Index], Array]


@dataclass(frozen=True, eq=False)
class Sandwich(Immutable):
    """A cluster-robust covariance matrix with what its degrees of freedom are made of."""

    cov: Array  # (p, p): the covariance matrix of the coefficients
    own: Array  # (G, p, p): t_g S_g T_g' with T_g = M X_g' W_g A_g
    # (G, p, r): t_g X_g R with M = R R'. Under the working model T_g e_g and T_h e_h have covariance own_g
    # (if g is h) - across_g diag(signs) across_h'.
    across: Array
    signs: Array  # (r,): 1, and -1 for some columns where W is not the inverse of S

    def mean(self, rows: Array) -> Array:
        """Return the expectation of L V L' under the working model, shape (q, q).

        `rows`, shape (q, p): combinations L of the coefficients.
        """
        own, across = rows @ self.own @ rows.T, rows @ self.across
        return np.asarray((own - (across * self.signs) @ across.transpose(0, 2, 1)).sum(axis=0))

    def satterthwaite(self, rows: Array) -> Array:
        """Return the degrees of freedom of each combination, shape (q,).

        They are 2 E(V)^2 / Var(V); the double sum over pairs of clusters is a sum of products of sums.
        """
        own = np.einsum("qp,gpr,qr->qg", rows, self.own, rows, optimize=True)
        across = rows @ self.across
        out = np.empty(len(rows))
        for i in range(len(rows)):
            a = across[:, i, :]
            square = a**2 @ self.signs
            spread = self.signs @ (a.T @ a) ** 2 @ self.signs + (own[i] ** 2 - 2 * own[i] * square).sum()
            out[i] = (own[i] - square).sum() ** 2 / spread if spread > 0 else np.nan
        return out

    def hotelling(self, rows: Array) -> float:
        """Return the degrees of freedom eta of the approximate Hotelling test of several combinations.

        With D the estimate of L V L' in the units in which its expectation is I, eta = q (q + 1) over the sum
        of Var(D_st) over s and t.
        """
        values, vectors = np.linalg.eigh(self.mean(rows))
        if values.min() <= 0:
            return float("nan")
        root = vectors / np.sqrt(values)
        own, across = root.T @ (rows @ self.own @ rows.T) @ root, root.T @ (rows @ self.across)
        q, p = across.shape[1:]
        flat = across.reshape(len(across), q * p)
        # with C_gh the covariance of the contributions of clusters g and h, the variances sum to
        # the sum over g and h of tr(C_gh)^2 + tr(C_gh C_gh)
        products = flat.T @ flat
        four = products.reshape(q, p, q, p)
        signs = np.tile(self.signs, q)
        variance = signs @ products**2 @ signs
        variance += np.einsum("sptr,tpsr,p,r->", four, four, self.signs, self.signs)
        inside = (across * self.signs) @ across.transpose(0, 2, 1)
        trace_own, trace_inside = np.einsum("gss->g", own), np.einsum("gss->g", inside)
        variance += (trace_own**2 - 2 * trace_own * trace_inside).sum()
        variance += (own**2).sum() - 2 * (own * inside).sum()
        return float(q * (q + 1) / variance)


def cluster_sandwich(
    x: Array,
    residuals: Array,
    clusters: Sequence[Index],
    working: Working,
    kind: str = "CR2",
    weights: Working | None = None,
) -> Sandwich:
    """Return the cluster-robust covariance matrix of weighted least squares.

    Clusters of one size are handled in one call.

    `x`, shape (N, p): design.
    `residuals`, shape (N,): y - X b.
    `clusters`: rows of each cluster; every row once.
    `working`: working covariance of each cluster: shape (n_g,) for a diagonal, else (n_g, n_g). Or a function
        that returns those of several clusters of one size, shape (b, n, n), given their rows, shape (b, n).
    `kind`, {"CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3"}: the adjustment.
    `weights`: weights W of each cluster. Default: the inverse of its working covariance.
    Raises UnknownChoiceError if `kind` is not known.
    Raises NotIdentifiableError if there are too few clusters for the adjustment, or one cluster alone
        determines a coefficient and the adjustment is CR3.
    """
    if kind not in KINDS:
        raise UnknownChoiceError("kind of robust covariance", kind, KINDS)
    g, (n, p) = len(clusters), x.shape
    factor = _factor(kind, g, n, p)
    stacks = list(_stacks(clusters, working, p))
    if weights is None:
        weighted = [np.asarray(np.linalg.solve(s, x[rows]), dtype=float) for _, rows, s in stacks]
    else:
        pairs = zip(_stacks(clusters, weights, p), stacks, strict=True)
        weighted = [w @ x[rows] for (_, _, w), (_, rows, _) in pairs]
    information = sum(
        (np.einsum("bnp,bnq->pq", x[rows], wx) for (_, rows, _), wx in zip(stacks, weighted, strict=True)),
        np.zeros((p, p)),
    )
    size = np.sqrt(np.diagonal(information))
    lower = np.linalg.cholesky(information / np.outer(size, size))
    root: Array = np.asarray(np.linalg.solve(lower, np.eye(p)).T / size[:, None])  # M = root root'
    bread = root @ root.T
    middle = None  # R' X'W S W X R, the unit matrix where W is the inverse of S
    if weights is not None:
        each = [
            np.einsum("bnp,bnm,bmq->pq", wx @ root, s, wx @ root)
            for wx, (*_, s) in zip(weighted, stacks, strict=True)
        ]
        middle = sum(each, np.zeros((p, p)))
    width = p if middle is None else 2 * p
    own, across, meat = np.empty((g, p, p)), np.empty((g, p, width)), np.zeros((p, p))
    for (chosen, rows, s), wx in zip(stacks, weighted, strict=True):
        outer = None if middle is None else root @ middle @ root.T
        adjusted = bread @ _adjusted(kind, x[rows], s, wx, bread, outer) * np.sqrt(factor)  # M X_g' W_g A_g
        own[chosen] = adjusted @ s @ adjusted.transpose(0, 2, 1)
        across[chosen, :, :p] = adjusted @ x[rows] @ root
        if middle is not None:
            across[chosen, :, p:] = adjusted @ s @ wx @ root
        scores = np.einsum("bpn,bn->bp", adjusted, residuals[rows])
        meat += scores.T @ scores
    if middle is None:
        return Sandwich(meat, own, across, np.ones(p))
    # own_g - P_g Q_h' - Q_g P_h' + P_g (R' X'W S W X R) P_h', with its middle brought to a diagonal of signs
    values, vectors = np.linalg.eigh(np.block([[-middle, np.eye(p)], [np.eye(p), np.zeros((p, p))]]))
    return Sandwich(meat, own, across @ vectors * np.sqrt(np.abs(values)), np.sign(values))


def _stacks(clusters: Sequence[Index], working: Working, p: int) -> Iterator[tuple[Index, Index, Array]]:
    """Yield positions, rows (b, n) and working covariances (b, n, n) of clusters of one size."""
    sizes = np.array([rows.size for rows in clusters])
    for n in np.unique(sizes):
        chosen = np.flatnonzero(sizes == n)
        step = max(1, STACK_ELEMENTS // int(n * max(n, p)))
        for first in range(0, chosen.size, step):
            part = chosen[first : first + step]
            rows = np.stack([clusters[i] for i in part])
            if callable(working):
                yield part, rows, working(rows)
            else:
                blocks = [working[i] for i in part]
                yield part, rows, np.stack([np.diag(s) if s.ndim == 1 else s for s in blocks])


def _factor(kind: str, g: int, n: int, p: int) -> float:
    """Return the factor on the covariance matrix that stands in for A_g."""
    needed = max(2, p + 1) if kind == "CR1p" else 2
    if g < needed or n <= p:
        raise NotIdentifiableError(
            f"{plural(g, 'cluster')} of {plural(n, 'effect')} for {plural(p, 'coefficient')}",
            f"at least {needed} clusters and more effects than coefficients",
            "use a coarser model, or the model's own standard errors",
        )
    stata = g * (n - 1) / ((g - 1) * (n - p))
    return {"CR1": g / (g - 1), "CR1p": g / max(g - p, 1), "CR1S": stata}.get(kind, 1.0)


def _adjusted(kind: str, x: Array, s: Array, wx: Array, bread: Array, outer: Array | None) -> Array:
    """Return X_g' W_g A_g of clusters of one size, shape (b, p, n); `outer` is M X'W S W X M, if not M."""
    across = wx.transpose(0, 2, 1)
    if kind == "CR2":
        upper = np.linalg.cholesky(s).transpose(0, 2, 1)  # S = D'D
        lower = upper.transpose(0, 2, 1)
        if outer is None:
            spread = s - x @ bread @ x.transpose(0, 2, 1)
        else:
            shared = x @ bread @ across @ s
            spread = s - shared - shared.transpose(0, 2, 1) + x @ outer @ x.transpose(0, 2, 1)
        inner = upper @ spread @ lower
        scale = np.abs(upper @ s @ lower).max(axis=(1, 2))[:, None]
        values, vectors = np.linalg.eigh(0.5 * (inner + inner.transpose(0, 2, 1)) / scale[..., None])
        kept = values > NO_SPREAD
        inverse = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0) * scale), 0.0)
        half = (vectors * inverse[:, None, :]) @ vectors.transpose(0, 2, 1)
        return np.asarray(across @ lower @ half @ upper)
    if kind == "CR3":
        leverage = np.eye(x.shape[1]) - x @ bread @ across
        if (np.linalg.cond(leverage) > 1 / NO_SPREAD).any():
            raise NotIdentifiableError(
                "one cluster alone determines a coefficient, so CR3 does not exist",
                "every coefficient estimable without any one cluster",
                'use kind="CR2"',
            )
        return np.asarray(np.linalg.solve(leverage.transpose(0, 2, 1), wx).transpose(0, 2, 1))
    return np.asarray(across)
