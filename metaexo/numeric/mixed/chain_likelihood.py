"""The (restricted) likelihood of nested and crossed random effects, with its first and second derivatives.

The same quantities as in `likelihood`, from a pyramid of precisions and means: all that a variance
contributes are sums over the levels of its term. The second derivatives have a closed form too,

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
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.likelihood import LOG_2PI
from metaexo.numeric.mixed.chain import Chain
from metaexo.numeric.mixed.chain_factor import Pyramid, update
from metaexo.numeric.mixed.climb import Evaluation, Parts, turn_of
from metaexo.numeric.mixed.problem import MixedProblem, NotPositiveDefinite
from metaexo.types import Array

# Most numbers that the arrays of one batch of points hold.
AT_ONCE = 100_000


def evaluate_chain(problem: MixedProblem, chain: Chain, variances: Array, restricted: bool) -> Evaluation:
    """Return the likelihood with its gradient and its average information.

    Parameters
    ----------
    problem : MixedProblem
        The model.
    chain : Chain
        Its rows along a nest of terms.
    variances : ndarray, shape (n,)
        Variance of each term.
    restricted : bool
        REML or ML.

    Raises
    ------
    NotPositiveDefinite
        If the covariance matrix is singular.
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

    Parameters
    ----------
    problem : MixedProblem
        The model.
    chain : Chain
        Its rows along a nest of terms.
    variances : ndarray, shape (b, n)
        Variance of each term at each point.
    restricted : bool
        REML or ML.

    Raises
    ------
    NotPositiveDefinite
        If a covariance matrix is singular.
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
