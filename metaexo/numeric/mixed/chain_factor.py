r"""The inverse of the covariance matrix of nested random effects, from precisions and weighted means.

Rows have the precision :math:`h = 1 / (v + \sigma_0^2)`. The mean of a level, weighted with the precisions
of its members, has the precision :math:`s / (1 + \sigma^2 s)`, where s is the sum of theirs; on the rung
above it is a member itself. With :math:`c = h / s` and deviations :math:`d = a - m` from the mean of the
level,

    quadratic forms   a'M^-1 b = sum h d_a d_b over all rungs, and sum h m_a m_b at the top,
    solutions         z = h d + c z', z' the solution for the means on the rung above,
    log-determinant   log|M| = - sum log h of the rows + sum log(1 + sigma^2 s).

Every sum runs over neighbours, in time and memory linear in the number of rows, and no large numbers of
opposite sign cancel. Crossing terms are low-rank updates: with B the covariance matrix of the nest, and
U Omega U' that of the crossing terms, M^-1 follows from B^-1 as in `block_factor`.

References
----------
Searle, S. R., Casella, G., McCulloch, C. E. (1992). Variance Components. Wiley, chapter 6.
https://doi.org/10.1002/9780470316856
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metaexo.numeric.mixed.chain import Chain
from metaexo.numeric.mixed.problem import MixedProblem, NotPositiveDefinite
from metaexo.types import Array


@dataclass(frozen=True, eq=False)
class ChainFactor:
    """The inverse of the covariance matrix at given variances, ready to be applied."""

    problem: MixedProblem  # what it belongs to
    chain: Chain  # its rows along a nest of terms
    pyramid: Pyramid  # B^-1
    low_rank: list[Array]  # (q, levels): U'B^-1 summed over the levels of each rung, the rows first
    psi: Array  # (q, q): psi
    t: Array  # (q, q): T
    logdet: float  # log|M|

    def solve(self, a: Array) -> Array:
        """Return M^-1 A for A of shape (K, c)."""
        values = self.chain.sorted(a)
        out = self.pyramid.solve(values)[0]
        if self.psi.size:
            out = out - (values @ self.low_rank[0].T @ self.psi) @ self.low_rank[0]
        return self.chain.restored(out)

    def products(self, columns: Array) -> Array:
        """Return C'M^-1 C for columns C along the chain; the last, of crossing terms, are left out."""
        gram = self.pyramid.lift(columns)[0]
        if not self.psi.size:
            return gram
        own = len(gram) - len(self.psi)
        across = gram[:own, own:]
        return np.asarray(gram[:own, :own] - across @ self.psi @ across.T)

    @cached_property
    def _diagonals(self) -> list[Array]:
        """z'M^-1 z of each row, and of the indicator z of each level of each rung."""
        own = self.pyramid.diagonals()
        return [d - (u * (self.psi @ u)).sum(axis=0) for d, u in zip(own, self.low_rank, strict=True)]

    def diagonal(self) -> Array:
        """Return the diagonal of M^-1, shape (K,)."""
        return self.chain.restored(self._diagonals[0][None])[:, 0]

    def level_blocks(self, j: int) -> Array:
        """Return Z'M^-1 Z of each level of a term, shape (L, 1, 1)."""
        term, at = self.problem.terms[j], self.chain.places[j]
        out = np.zeros(term.levels)
        if not isinstance(at, int):
            out[:] = np.diagonal(self.t - self.t @ self.psi @ self.t)[at]
        elif at == 0:
            out[term.level[self.chain.order]] = self._diagonals[0]
        else:
            out[self.chain.rungs[at - 1].level] = self._diagonals[at]
        return out[:, None, None]


def factorise_chain(problem: MixedProblem, chain: Chain, gs: Sequence[Array]) -> ChainFactor:
    """Return the inverse of the covariance matrix with the given G of each term.

    Raises
    ------
    NotPositiveDefinite
        If it is singular.
    """
    variances = np.array([g[0, 0] for g in gs])
    pyramid = Pyramid(chain, variances)
    if not np.isfinite(pyramid.logdet):
        raise NotPositiveDefinite
    if not chain.crossing:
        low_rank, none = [np.empty((0, h.size)) for h in pyramid.h], np.empty((0, 0))
        return ChainFactor(problem, chain, pyramid, low_rank, none, none, float(pyramid.logdet))
    low_rank = pyramid.solve(chain.u)
    t = chain.u @ low_rank[0].T
    psi, logdet = update(problem, chain, variances, 0.5 * (t + t.T))
    total = float(pyramid.logdet + logdet)
    return ChainFactor(problem, chain, pyramid, low_rank, psi, 0.5 * (t + t.T), total)


def update(problem: MixedProblem, chain: Chain, variances: Array, t: Array) -> tuple[Array, Array]:
    """Return Psi, and what the crossing terms add to the log-determinant; leading axes are a batch.

    Raises
    ------
    NotPositiveDefinite
        If the covariance matrix is singular.
    """
    levels = [problem.terms[j].levels for j in chain.crossing]
    f = np.repeat(np.sqrt(variances[..., chain.crossing]), levels, axis=-1)
    inner = f[..., :, None] * t * f[..., None, :]
    index = np.arange(f.shape[-1])
    inner[..., index, index] += 1.0
    try:
        root = np.linalg.cholesky(inner)
    except np.linalg.LinAlgError as error:
        raise NotPositiveDefinite from error
    inverse = np.linalg.inv(inner)
    psi = f[..., :, None] * (0.5 * (inverse + inverse.swapaxes(-1, -2))) * f[..., None, :]
    return psi, 2 * np.log(root[..., index, index]).sum(axis=-1)


class Pyramid:
    """The inverse of the covariance matrix of a chain at given variances.

    Parameters
    ----------
    chain : Chain
        The nest of terms.
    variances : ndarray, shape (..., n)
        Variance of each term, by position; leading axes are a batch, and are those of every result of
        `lift`, `lower` and `diagonals`.

    Attributes
    ----------
    h : list of ndarray
        Precisions of rows, and of the levels of each rung.
    s : list of ndarray
        Sums of precisions in each level, by rung.
    c : list of ndarray
        Share of each member in the precision of its level, by rung.
    logdet : ndarray, shape (...)
        log|M|.

    Raises
    ------
    NotPositiveDefinite
        If M is singular.
    """

    def __init__(self, chain: Chain, variances: Array) -> None:
        self.chain = chain
        total = chain.v
        if chain.single is not None:
            total = total + variances[..., chain.single, None]
        if not total.min() > 0:
            raise NotPositiveDefinite
        self.h: list[Array] = [1.0 / total]
        self.s: list[Array] = []
        self.c: list[Array] = []
        self.logdet = np.log(total).sum(axis=-1)
        for rung in chain.rungs:
            h, variance = self.h[-1], variances[..., rung.term, None]
            s = np.add.reduceat(h, rung.starts, axis=-1)
            grown = variance * s
            self.s.append(s)
            self.c.append(h / s[..., rung.of])
            self.h.append(s / (1.0 + grown))
            self.logdet = self.logdet + np.log1p(grown).sum(axis=-1)

    def lift(self, a: Array) -> tuple[Array, list[Array], list[Array]]:
        """Return A M^-1 A', and the deviations and means of each rung (the means begin with A itself).

        Parameters
        ----------
        a : ndarray, shape (c, K)
            Sorted values, a row a vector.
        """
        deviations, means = [], [a]
        gram = np.zeros((len(a), len(a)))
        for rung, h, c in zip(self.chain.rungs, self.h, self.c, strict=False):
            mean = np.add.reduceat(means[-1] * c[..., None, :], rung.starts, axis=-1)
            deviation = means[-1] - mean[..., rung.of]
            gram = gram + (deviation * h[..., None, :]) @ deviation.swapaxes(-1, -2)
            deviations.append(deviation)
            means.append(mean)
        top = means[-1]
        return gram + (top * self.h[-1][..., None, :]) @ top.swapaxes(-1, -2), deviations, means

    def lower(self, deviations: Sequence[Array], top: Array, to: int = 0) -> list[Array]:
        """Return sums of A M^-1 over the levels of each rung; before `to` they are left out (empty).

        Parameters
        ----------
        deviations : sequence of ndarray
            As `lift` returns them.
        top : ndarray
            Means on the highest rung.
        to : int
            The lowest rung that is needed: 0 for rows.
        """
        out: list[Array] = [top[..., :0]] * len(self.h)
        out[-1] = top * self.h[-1][..., None, :]
        for i in range(len(deviations) - 1, to - 1, -1):
            rung = self.chain.rungs[i]
            own = self.h[i][..., None, :] * deviations[i]
            out[i] = own + self.c[i][..., None, :] * out[i + 1][..., rung.of]
        return out

    def solve(self, a: Array) -> list[Array]:
        """Return A M^-1 summed over the levels of each rung, the rows first."""
        _, deviations, means = self.lift(a)
        return self.lower(deviations, means[-1])

    def diagonals(self) -> list[Array]:
        """Return z'M^-1 z of each row, and of the indicator z of each level of each rung."""
        out = [self.h[-1]]
        for i in range(len(self.s) - 1, -1, -1):
            c = self.c[i]
            out.append(self.h[i] * (1.0 - c) + c * c * out[-1][..., self.chain.rungs[i].of])
        return out[::-1]

    def lift_levels(self, columns: Sequence[Array]) -> Array:
        """Return F M^-1 F' for vectors that are constant within the levels of a rung.

        Parameters
        ----------
        columns : sequence of ndarray, shape (c, levels)
            Vectors by rung, as values of its levels, the rows first; c may be 0.
        """
        count = sum(map(len, columns))
        gram = np.zeros((count, count))
        mean = columns[0]
        for i, rung in enumerate(self.chain.rungs):
            n = len(mean)
            if n:
                above = np.add.reduceat(mean * self.c[i], rung.starts, axis=1)
                deviation = mean - above[:, rung.of]
                gram[:n, :n] += (deviation * self.h[i]) @ deviation.T
                mean = np.concatenate([above, columns[i + 1]]) if len(columns[i + 1]) else above
            else:
                mean = columns[i + 1]
        return gram + (mean * self.h[-1]) @ mean.T

    def square_norms(self, diagonals: Sequence[Array], lowest: int = 0) -> Array:
        """Return the sum of squares of all elements of Z_a'M^-1 Z_b for each two rungs.

        Parameters
        ----------
        diagonals : sequence of ndarray
            As `diagonals` returns them.
        lowest : int
            First rung that is asked for: 0 for rows.
        """
        n = len(self.h)
        out = np.zeros((n - lowest, n - lowest))
        for a in range(lowest, n):
            weight = np.ones(self.h[a].size)  # of a solution on the rung b in one on the rung a, squared
            for b in range(a, n):
                norm = self._square_norm(weight, b, diagonals)
                out[a - lowest, b - lowest] = out[b - lowest, a - lowest] = norm
                if b < n - 1:
                    weight = np.add.reduceat(weight * self.c[b] ** 2, self.chain.rungs[b].starts)
        return out

    def _square_norm(self, weight: Array, b: int, diagonals: Sequence[Array]) -> float:
        """Return the sum of squares of the rows of Z_b'M^-1 Z_b, weighted."""
        total, other = 0.0, np.ones(weight.size)
        for i in range(b, len(self.s)):
            rung, h, s = self.chain.rungs[i], self.h[i], self.s[i]
            square = h * h
            one = np.add.reduceat(weight * square, rung.starts)
            two = np.add.reduceat(other * square, rung.starts)
            both = weight * other * square
            cube = np.add.reduceat(both * h, rung.starts)
            product = one * two
            inside = (product / s - 2 * cube) / s + 2 * diagonals[i + 1] * (cube / s - product / s**2) / s
            total += float(both.sum() + inside.sum())
            weight, other = one / s**2, two / s**2
        return total + float((weight * other * self.h[-1] ** 2).sum())
