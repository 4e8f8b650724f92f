"""Cluster-robust covariance matrices and their degrees of freedom.

The fit is b = M X'Wy with M = (X'WX)^-1 and W the inverse of the working covariance matrix S, both made of
blocks, one a cluster. With residuals e_g and adjustment matrices A_g

    V = M [ sum_g X_g' W_g A_g e_g e_g' A_g' W_g X_g ] M.

CR0 takes A_g = I. CR1, CR1p and CR1S multiply it by a factor of the numbers of clusters G, rows N and
coefficients p: G/(G-1), G/(G-p), G(N-1)/((G-1)(N-p)). CR2 chooses A_g so that V is unbiased where S is
right: A_g = D_g' B_g^(-1/2) D_g with S_g = D_g'D_g and B_g = D_g (S_g - X_g M X_g') D_g'. CR3 takes
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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import NotIdentifiableError, UnknownChoiceError
from metaexo.numeric.problem import Array

KINDS = ("CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3")
# Directions whose share of the variance is smaller than this are fitted exactly and carry no information.
NO_SPREAD = 1e-10


@dataclass(frozen=True, eq=False)
class Sandwich:
    """A cluster-robust covariance matrix with what its degrees of freedom are made of.

    Attributes
    ----------
    cov : ndarray, shape (p, p)
        The covariance matrix of the coefficients.
    own : ndarray, shape (G, p, p)
        T_g S_g T_g' with T_g = M X_g' W_g A_g.
    across : ndarray, shape (G, p, p)
        T_g X_g R with M = R R'. Under the working model T_g e_g and T_h e_h have covariance
        own_g (if g is h) - across_g across_h'.
    """

    cov: Array
    own: Array
    across: Array

    def moments(self, rows: Array) -> tuple[Array, Array]:
        """Return mean and covariances of L V L' under the working model.

        Parameters
        ----------
        rows : ndarray, shape (q, p)
            Combinations L of the coefficients.

        Returns
        -------
        mean : ndarray, shape (q, q)
            E(L V L').
        pairs : ndarray, shape (G, G, q, q)
            Covariance of the contributions of clusters g and h to L b.
        """
        own = rows @ self.own @ rows.T
        across = rows @ self.across
        pairs = -np.einsum("gqp,hrp->ghqr", across, across)
        index = np.arange(len(own))
        pairs[index, index] += own
        return pairs[index, index].sum(axis=0), pairs

    def satterthwaite(self, rows: Array) -> Array:
        """Return the degrees of freedom of each combination, shape (q,)."""
        out = np.empty(len(rows))
        for i, row in enumerate(rows):
            mean, pairs = self.moments(row[None])
            out[i] = mean[0, 0] ** 2 / (pairs**2).sum()
        return out

    def hotelling(self, rows: Array) -> float:
        """Return the degrees of freedom eta of the approximate Hotelling test of several combinations."""
        mean, pairs = self.moments(rows)
        values, vectors = np.linalg.eigh(mean)
        if values.min() <= 0:
            return float("nan")
        root = vectors / np.sqrt(values)
        whitened = np.einsum("qs,ghqr,rt->ghst", root, pairs, root)
        trace = np.einsum("ghss->gh", whitened)
        # Var(D_st) of D_st = sum_g u_gs u_gt, u normal, summed over s and t: the sum over g and h of
        # E(u_gs u_hs) E(u_gt u_ht) + E(u_gs u_ht) E(u_gt u_hs)
        variance = (trace**2).sum() + np.einsum("ghst,ghts->", whitened, whitened)
        q = len(rows)
        return float(q * (q + 1) / variance)


def cluster_sandwich(
    x: Array,
    residuals: Array,
    clusters: Sequence[NDArray[np.intp]],
    working: Sequence[Array],
    kind: str = "CR2",
) -> Sandwich:
    """Return the cluster-robust covariance matrix of weighted least squares with inverse-covariance weights.

    Parameters
    ----------
    x : ndarray, shape (N, p)
        Design.
    residuals : ndarray, shape (N,)
        y - X b.
    clusters : sequence of ndarray
        Rows of each cluster; every row once.
    working : sequence of ndarray
        Working covariance of each cluster: shape (n_g,) for a diagonal, else (n_g, n_g).
    kind : {"CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3"}
        The adjustment.

    Raises
    ------
    UnknownChoiceError
        If `kind` is not known.
    NotIdentifiableError
        If there are too few clusters for the adjustment, or one cluster alone determines a coefficient and
        the adjustment is CR3.
    """
    if kind not in KINDS:
        raise UnknownChoiceError("kind of robust covariance", kind, KINDS)
    g, (n, p) = len(clusters), x.shape
    factor = _factor(kind, g, n, p)
    blocks = [np.diag(s) if s.ndim == 1 else s for s in working]
    weighted: list[Array] = [
        np.asarray(np.linalg.solve(s, x[rows]), dtype=float) for s, rows in zip(blocks, clusters, strict=True)
    ]
    information = sum((x[rows].T @ wx for rows, wx in zip(clusters, weighted, strict=True)), np.zeros((p, p)))
    size = np.sqrt(np.diagonal(information))
    lower = np.linalg.cholesky(information / np.outer(size, size))
    root: Array = np.asarray(np.linalg.solve(lower, np.eye(p)).T / size[:, None])  # M = root root'
    bread = root @ root.T
    own, across, meat = np.empty((g, p, p)), np.empty((g, p, p)), np.zeros((p, p))
    for i, (rows, s, wx) in enumerate(zip(clusters, blocks, weighted, strict=True)):
        adjusted = bread @ _adjusted(kind, x[rows], s, wx, bread) * np.sqrt(factor)  # M X_g' W_g A_g
        own[i] = adjusted @ s @ adjusted.T
        across[i] = adjusted @ x[rows] @ root
        score = adjusted @ residuals[rows]
        meat += np.outer(score, score)
    return Sandwich(meat, own, across)


def _factor(kind: str, g: int, n: int, p: int) -> float:
    """Return the factor on the covariance matrix that stands in for A_g."""
    needed = {"CR1": 2, "CR1S": 2, "CR1p": p + 1}.get(kind, 2)
    if g < needed or n <= p:
        raise NotIdentifiableError(
            f"{g} clusters of {n} effects for {p} coefficients",
            f"at least {max(needed, 2)} clusters and more effects than coefficients",
            "use a coarser model, or the model's own standard errors",
        )
    stata = g * (n - 1) / ((g - 1) * (n - p))
    return {"CR1": g / (g - 1), "CR1p": g / max(g - p, 1), "CR1S": stata}.get(kind, 1.0)


def _adjusted(kind: str, x: Array, s: Array, wx: Array, bread: Array) -> Array:
    """Return X_g' W_g A_g of one cluster, shape (p, n_g)."""
    if kind == "CR2":
        upper = np.linalg.cholesky(s).T  # S = D'D
        inner = upper @ (s - x @ bread @ x.T) @ upper.T
        scale = np.abs(upper @ s @ upper.T).max()
        values, vectors = np.linalg.eigh(0.5 * (inner + inner.T) / scale)
        kept = values > NO_SPREAD
        half = (vectors[:, kept] / np.sqrt(values[kept] * scale)) @ vectors[:, kept].T
        return np.asarray(wx.T @ upper.T @ half @ upper)
    if kind == "CR3":
        leverage = np.eye(len(x)) - x @ bread @ wx.T
        if np.linalg.cond(leverage) > 1 / NO_SPREAD:
            raise NotIdentifiableError(
                "one cluster alone determines a coefficient, so CR3 does not exist",
                "every coefficient estimable without any one cluster",
                'use kind="CR2"',
            )
        return np.asarray(np.linalg.solve(leverage.T, wx).T)
    return np.asarray(wx.T)
