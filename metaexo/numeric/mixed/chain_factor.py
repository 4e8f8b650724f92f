r"""Nested random effects: inverse of the covariance matrix and likelihood, from precisions and means.

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

The (restricted) likelihood and its derivatives are those of `likelihood`: all that a variance contributes are
sums over the levels of its term. The second derivatives have a closed form too,

    -d2 l / ds_a ds_b = r'M_a P M_b r - trace(P M_a P M_b) / 2    with M_a = Z_a Z_a'

(ML: M^-1 in place of P in the trace).

References
----------
Harville, D. A. (1977). https://doi.org/10.1080/01621459.1977.10480998
Searle, S. R., Casella, G., McCulloch, C. E. (1992). Variance Components. Wiley, chapter 6.
https://doi.org/10.1002/9780470316856
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.likelihood import LOG_2PI
from metaexo.numeric.mixed.chain import Chain
from metaexo.numeric.mixed.climb import Evaluation, Parts, turn_of
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
    """Return the inverse of the covariance matrix with the given G of each term."""
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
    """Return Psi, and what the crossing terms add to the log-determinant; leading axes are a batch."""
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

    `variances`, shape (..., n): variance of each term, by position; leading axes are a batch, and are those
        of every result of `lift`, `lower` and `diagonals`.
    `h`: precisions of rows, and of the levels of each rung.
    `s`: sums of precisions in each level, by rung.
    `c`: share of each member in the precision of its level, by rung.
    `logdet`, shape (...): log|M|.
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

        `a`, shape (c, K): sorted values, one row per vector.
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

        `deviations`: as `lift` returns them.
        `top`: means on the highest rung.
        `to`: the lowest rung that is needed: 0 for rows.
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

        `columns`, shape (c, levels): vectors by rung, as values of its levels, the rows first; c may be 0.
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

        `diagonals`: as `diagonals` returns them. `lowest`: first rung that is asked for: 0 for rows.
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


# Most numbers that the arrays of one batch of points hold.
AT_ONCE = 100_000


def evaluate_chain(problem: MixedProblem, chain: Chain, variances: Array, restricted: bool) -> Evaluation:
    """Return the likelihood with its gradient and its average information.

    `variances`, shape (n,): variance of each term.
    """
    point = _Point(problem, chain, variances)
    gradient = point.gradient(restricted)
    return Evaluation(
        llf=point.llf(restricted),
        gradient=gradient,
        information=0.5 * point.residual_products,
        scores=[np.array([[2 * slope]]) for slope in gradient],
        observed=lambda: point.observed(restricted),
    )


def parts_chain(problem: MixedProblem, chain: Chain, variances: Array, restricted: bool) -> Parts:
    """Return what the likelihood is made of at several points at once.

    `variances`, shape (b, n): variance of each term at each point.
    """
    if len(chain.rungs) == 1 and not chain.crossing:
        return _parts_of_two_levels(problem, chain, variances, restricted)
    count = max(1, AT_ONCE // problem.chain_columns.size)
    if len(variances) > count:
        cuts = range(0, len(variances), count)
        each = [parts_chain(problem, chain, variances[i : i + count], restricted) for i in cuts]
        return Parts(*map(np.concatenate, zip(*each, strict=True)))
    point = _Point(problem, chain, variances)
    logdet = point.logdet + point.logdet_x if restricted else point.logdet
    return Parts(logdet, point.q, point.traces(restricted), point.forms)


def _parts_of_two_levels(problem: MixedProblem, chain: Chain, variances: Array, restricted: bool) -> Parts:
    """Return the same where rows lie in the levels of one term.

    What is summed over rows depends on the variance of the rows alone, of which a grid has few values; only
    sums over levels are made for each point.
    """
    (rung,), a = chain.rungs, problem.chain_columns
    own, place = np.zeros(1), np.zeros(len(variances), dtype=np.intp)
    if chain.single is not None:
        own, place = np.unique(variances[:, chain.single], return_inverse=True)
    count = max(1, AT_ONCE // a.size)
    found: list[Parts] = []
    which: list[NDArray[np.intp]] = []
    for i in range(0, own.size, count):
        here = np.flatnonzero((place >= i) & (place < i + count))
        at = place[here] - i
        h = 1.0 / (chain.v + own[i : i + count, None])
        s = np.add.reduceat(h, rung.starts, axis=-1)
        c = h / s[:, rung.of]
        mean = np.add.reduceat(a * c[:, None], rung.starts, axis=-1)
        deviation = a - mean[..., rung.of]
        weighted = deviation * h[:, None]
        gram = (weighted @ deviation.swapaxes(1, 2))[at]
        squares = (weighted @ weighted.swapaxes(1, 2))[at]
        mixed = np.add.reduceat(weighted * c[:, None], rung.starts, axis=-1)[at]
        shares = np.add.reduceat(c * c, rung.starts, axis=-1)[at]
        trace = (h * (1.0 - c)).sum(axis=-1)[at]
        logdet = -np.log(h).sum(axis=-1)[at]
        s, mean = s[at], mean[at]
        # for each point: the levels
        grown = variances[here, rung.term, None] * s
        upper = s / (1.0 + grown)
        sums = mean * upper[:, None]
        turn, q, logdet_x = turn_of(gram + sums @ mean.swapaxes(1, 2))
        logdet = logdet + np.log1p(grown).sum(axis=-1) + (logdet_x if restricted else 0.0)
        cross = mixed @ sums.swapaxes(1, 2)
        squares = squares + cross + cross.swapaxes(1, 2) + (sums * shares[:, None]) @ sums.swapaxes(1, 2)
        traces, forms = np.zeros((here.size, 2)), np.zeros((here.size, 2))
        by_term = [
            (trace + (shares * upper).sum(axis=-1), squares),
            (upper.sum(axis=-1), sums @ sums.swapaxes(1, 2)),
        ]
        for j, (total, products) in enumerate(by_term):
            turned = ((turn @ products) * turn).sum(axis=-1)
            forms[:, j] = turned[:, -1]
            traces[:, j] = total - turned[:, :-1].sum(axis=-1) if restricted else total
        terms = [rung.term] if chain.single is None else [chain.single, rung.term]
        order = np.argsort(terms)
        traces, forms = traces[:, -len(terms) :][:, order], forms[:, -len(terms) :][:, order]
        found.append(Parts(logdet, q, traces, forms))
        which.append(here)
    back = np.argsort(np.concatenate(which))
    return Parts(*(np.concatenate(part)[back] for part in zip(*found, strict=True)))


class _Point:
    """Everything about one point, or of a batch of points: leading axes of the variances are those of all.

    `sums` holds, for each term, Z'[mx, r] of `likelihood`, shape (..., p + 1, levels): r last.
    """

    def __init__(self, problem: MixedProblem, chain: Chain, variances: Array) -> None:
        self.chain = chain
        self.k, self.p = problem.x.shape
        self.pyramid = Pyramid(chain, variances)
        self.logdet = self.pyramid.logdet
        # design, residuals and the levels of the crossing terms
        gram, deviations, means = self.pyramid.lift(problem.chain_columns)
        sums = self.pyramid.lower(deviations, means[-1], to=0 if chain.single is not None else 1)
        own = self.p + 1
        self.u_sums = [s[..., own:, :] for s in sums]
        self.t, self.psi = gram[..., own:, own:], np.empty((0, 0))
        across, gram = gram[..., :own, own:], gram[..., :own, :own]
        if chain.crossing:
            self.psi, logdet = update(problem, chain, variances, self.t)
            self.logdet = self.logdet + logdet
            left = across @ self.psi
            gram = gram - left @ across.swapaxes(-1, -2)
            sums = [s[..., :own, :] - left @ u for s, u in zip(sums, self.u_sums, strict=True)]
            across = across - left @ self.t
        if not np.isfinite(self.logdet).all():
            raise NotPositiveDefinite
        turn, self.q, self.logdet_x = turn_of(gram)
        self.sums = [turn @ (sums[at] if isinstance(at, int) else across[..., at]) for at in chain.places]

    def llf(self, restricted: bool) -> float:
        """Return the log-likelihood."""
        if restricted:
            return float(-0.5 * ((self.k - self.p) * LOG_2PI + self.logdet + self.logdet_x + self.q))
        return float(-0.5 * (self.k * LOG_2PI + self.logdet + self.q))

    @cached_property
    def forms(self) -> Array:
        """The quadratic form y'P M_a P y of each term, shape (..., n)."""
        return np.stack([(s[..., -1, :] ** 2).sum(axis=-1) for s in self.sums], axis=-1)

    def traces(self, restricted: bool) -> Array:
        """Return trace(P M_a) of each term (ML: M^-1 in place of P), shape (..., n)."""
        out = []
        for at, sums in zip(self.chain.places, self.sums, strict=True):
            if isinstance(at, int):
                trace = self._diagonals[at].sum(axis=-1)
                if self.psi.size:
                    u = self.u_sums[at]
                    trace = trace - (self.psi * (u @ u.swapaxes(-1, -2))).sum(axis=(-2, -1))
            else:
                inside = self.t[..., at, :]
                own = inside[..., at].diagonal(axis1=-2, axis2=-1).sum(axis=-1)
                trace = own - ((inside @ self.psi) * inside).sum(axis=(-2, -1))
            out.append(trace - (sums[..., :-1, :] ** 2).sum(axis=(-2, -1)) if restricted else trace)
        return np.stack(out, axis=-1)

    def gradient(self, restricted: bool) -> Array:
        """Return the derivatives of the log-likelihood."""
        return np.asarray(0.5 * (self.forms - self.traces(restricted)))

    @cached_property
    def _diagonals(self) -> list[Array]:
        return self.pyramid.diagonals()

    @cached_property
    def residual_products(self) -> Array:
        """r'M_a P M_b r of each two terms."""
        products = self._products([s[-1:] for s in self.sums])[:, 0, :, 0]
        along = np.stack([s[:-1] @ s[-1] for s in self.sums])
        return np.asarray(products - along @ along.T)

    def _products(self, values: Sequence[Array]) -> Array:
        """Return the products F'M^-1 F of vectors Z_j f, c rows f of each of n terms: (n, c, n, c)."""
        chain = self.chain
        rows = np.empty((0, self.k)) if chain.single is None else values[chain.single]
        gram = self.pyramid.lift_levels([rows, *(values[rung.term] for rung in chain.rungs)])
        if chain.crossing:
            order = (*chain.nest, *chain.crossing)
            gram = self._with_crossing(gram, [(chain.places[j], values[j]) for j in order])
        n, count = len(values), len(values[0])
        return gram.reshape(n, count, n, count)[chain.rank][:, :, chain.rank]

    def _with_crossing(self, gram: Array, placed: Sequence[tuple[int | slice, Array]]) -> Array:
        """Return the products of all terms' vectors, given those of the nest under B^-1."""
        parts = [(self.u_sums[at] if isinstance(at, int) else self.t[:, at]) @ f.T for at, f in placed]
        solved = np.concatenate(parts, axis=1)  # U'B^-1 F
        inside = len(gram)
        full = np.empty((solved.shape[1], solved.shape[1]))
        full[:inside, :inside] = gram
        full[inside:] = np.concatenate([f @ solved[at] for at, f in placed if not isinstance(at, int)])
        full[:inside, inside:] = full[inside:, :inside].T
        return full - solved.T @ self.psi @ solved

    def observed(self, restricted: bool) -> Array:
        """Return minus the second derivatives."""
        traces = self._square_norms()
        if restricted:
            designs = [s[:-1] for s in self.sums]
            products = self._products(designs)
            squares = np.stack([d @ d.T for d in designs])
            traces += np.einsum("aij,bij->ab", squares, squares) - 2 * np.einsum("aibi->ab", products)
        return self.residual_products - 0.5 * traces

    def _square_norms(self) -> Array:
        """Return trace(M^-1 M_a M^-1 M_b), the sum of squares of Z_a'M^-1 Z_b, for each two terms."""
        chain, n = self.chain, len(self.sums)
        lowest = int(chain.single is None)
        inside = self.pyramid.square_norms(self._diagonals, lowest)
        if chain.crossing:
            inside += self._update_of_norms(lowest)
        out = np.empty((n, n))
        out[np.ix_(chain.nest, chain.nest)] = inside
        left = np.eye(len(self.t)) - self.t @ self.psi if chain.crossing else self.t
        for a in chain.crossing:
            rows = left[chain.places[a]]
            for b, at in enumerate(chain.places):
                part = rows @ (self.u_sums[at] if isinstance(at, int) else self.t[:, at])
                out[a, b] = out[b, a] = float(np.vdot(part, part))
        return out

    def _update_of_norms(self, lowest: int) -> Array:
        """Return what the crossing terms change in the norms of the terms of the nest."""
        q, n = len(self.psi), len(self.chain.nest)
        sums = [np.empty((0, self.k))] * lowest + self.u_sums[lowest:]
        mixed = self.pyramid.lift_levels(sums).reshape(n, q, n, q)
        inner = np.stack([self.psi @ (u @ u.T) for u in self.u_sums[lowest:]])
        return np.asarray(
            np.einsum("aij,bji->ab", inner, inner) - 2 * np.einsum("aibj,ij->ab", mixed, self.psi)
        )
