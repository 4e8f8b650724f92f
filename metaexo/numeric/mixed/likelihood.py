"""The (restricted) likelihood of a mixed model with its gradient and its average information.

With M the covariance matrix of the effects, P = M^-1 - M^-1 X (X'M^-1 X)^-1 X'M^-1 and r = Py,

    ML    -1/2 [ K log 2 pi + log|M| + y'Py ]
    REML  -1/2 [ (K - p) log 2 pi + log|M| + log|X'M^-1 X| - log|X'X| + y'Py ].

All a term contributes to the gradient is the small matrix S = Z'(r r' - P)Z (ML: M^-1 in place of P), summed
over its levels: the derivative along dG is trace(S dG) / 2. The average information of two parameters is
r'dM_a P dM_b r / 2, which needs one solution per parameter and no trace.

References
----------
Gilmour, A. R., Thompson, R., Cullis, B. R. (1995). Average information REML: an efficient algorithm for
variance parameter estimation in linear mixed models. Biometrics 51, 1440-1450.
https://doi.org/10.2307/2533274
Harville, D. A. (1977). https://doi.org/10.1080/01621459.1977.10480998
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from metaexo.numeric.likelihood import LOG_2PI
from metaexo.numeric.mixed.block_factor import (
    BlockFactor,
    DiagonalisedBlocks,
    changes_of_blocks,
    covariance_blocks,
    factorise_blocks,
)
from metaexo.numeric.mixed.chain_factor import (
    AT_ONCE,
    ChainFactor,
    evaluate_chain,
    factorise_chain,
    parts_chain,
)
from metaexo.numeric.mixed.climb import Evaluation, Parts, turn_of
from metaexo.numeric.mixed.problem import MixedProblem, NotPositiveDefinite
from metaexo.types import Array, Mask

# A sum of squares of the effects that is larger than that of the residuals by this factor cancels too much.
CANCELS = 1e5

PartsOf = Callable[[Array], Parts]


@dataclass(frozen=True, eq=False)
class GeneralisedFit:
    """Generalised least squares at given parameters."""

    factor: BlockFactor | ChainFactor  # the inverse of the covariance matrix
    beta: Array  # (p,): coefficients
    cov: Array  # (p, p): their covariance matrix (X'M^-1 X)^-1
    mx: Array  # (K, p): M^-1 Q root, with (Q'M^-1 Q)^-1 = root root': P = M^-1 - mx mx'
    r: Array  # (K,): P y
    q: float  # y'P y
    logdet_x: float  # log|X'M^-1 X| - log|X'X|

    def project(self, a: Array) -> Array:
        """Return P A for A of shape (K, c)."""
        solved = self.factor.solve(a)
        return solved - self.mx @ (self.mx.T @ a)

    def llf(self, restricted: bool) -> float:
        """Return the log-likelihood."""
        k, p = self.mx.shape
        if restricted:
            return float(-0.5 * ((k - p) * LOG_2PI + self.factor.logdet + self.logdet_x + self.q))
        return float(-0.5 * (k * LOG_2PI + self.factor.logdet + self.q))


def factorise(problem: MixedProblem, gs: Sequence[Array]) -> BlockFactor | ChainFactor:
    """Return the inverse of the covariance matrix with the given G of each term."""
    if problem.chain is not None:
        return factorise_chain(problem, problem.chain, gs)
    return factorise_blocks(problem, gs)


def generalised_fit(problem: MixedProblem, gs: Sequence[Array]) -> GeneralisedFit:
    """Return generalised least squares with the given G of each term."""
    factor = factorise(problem, gs)
    found = least_squares(problem, factor)
    if float(problem.centred @ factor.solve(problem.centred[:, None])[:, 0]) > CANCELS * found.q:
        # once more from what is left of the effects, whose sums do not cancel
        found = least_squares(problem, factor, problem.y - problem.x @ found.beta)
    return found


def least_squares(
    problem: MixedProblem, factor: BlockFactor | ChainFactor, left: Array | None = None
) -> GeneralisedFit:
    """Return generalised least squares with an inverse covariance matrix.

    `factor`: the inverse. `left`, shape (K,): the effects minus any combination of the design. Default: the
    residuals of the unweighted fit.
    """
    q, r_x = problem.basis
    e = problem.centred if left is None else left
    solved = factor.solve(np.column_stack([q, e]))
    mq, me = solved[:, :-1], solved[:, -1]
    if isinstance(factor, ChainFactor):  # from deviations within levels: where M^-1 is large, no sums cancel
        columns = problem.chain_columns
        if left is not None:
            columns = columns.copy()
            columns[q.shape[1]] = factor.chain.sorted(left[:, None])[0]
        gram = factor.products(columns)
        information, along = gram[:-1, :-1], gram[:-1, -1]
    else:
        information, along = q.T @ mq, q.T @ me
    try:
        lower = np.linalg.cholesky(0.5 * (information + information.T))
    except np.linalg.LinAlgError as error:
        raise NotPositiveDefinite from error
    root = np.linalg.solve(lower, np.eye(len(lower))).T
    mx = mq @ root
    gamma = root @ (root.T @ along)
    r = me - mx @ (root.T @ along)
    base = q.T @ (problem.y if left is None else problem.y - left)
    back = np.linalg.solve(r_x, root)
    return GeneralisedFit(
        factor=factor,
        beta=np.asarray(np.linalg.solve(r_x, base + gamma), dtype=float),
        cov=back @ back.T,
        mx=mx,
        r=r,
        q=float(gram[-1, -1] - ((root.T @ along) ** 2).sum())
        if isinstance(factor, ChainFactor)
        else float(e @ r),
        logdet_x=2 * float(np.log(np.diagonal(lower)).sum()),
    )


def evaluate(problem: MixedProblem, theta: Array, restricted: bool) -> Evaluation:
    """Return the likelihood with its gradient and average information.

    `theta`, shape (n,): parameters of all terms, one after another.
    """
    if problem.chain is not None:
        return evaluate_chain(problem, problem.chain, theta, restricted)
    return evaluate_blocks(problem, theta, restricted)


def evaluate_blocks(problem: MixedProblem, theta: Array, restricted: bool) -> Evaluation:
    """Return the same as `evaluate`, whatever the structures are."""
    factor = factorise_blocks(problem, problem.matrices(theta))
    fit = least_squares(problem, factor)
    scores, gradient = [], []
    for j, (term, part) in enumerate(zip(problem.terms, problem.split(theta), strict=True)):
        score = _term_score(factor, fit, j, restricted)
        scores.append(score)
        gradient.append(0.5 * np.einsum("nij,ij->n", term.structure.derivatives(part), score))
    f = changes(problem, theta, fit.r)
    information = 0.5 * (f.T @ fit.project(f))
    for j, (term, score) in enumerate(zip(problem.terms, scores, strict=True)):
        bend = term.structure.bend(score)
        if bend is not None:
            own = slice(int(problem.offsets[j]), int(problem.offsets[j + 1]))
            information[own, own] += bend
    return Evaluation(fit.llf(restricted), np.concatenate([np.empty(0), *gradient]), information, scores)


def evaluate_precisely(problem: MixedProblem, theta: Array, restricted: bool) -> Evaluation:
    """Return the same as `evaluate` by dense matrices of long doubles, with the second derivatives.

    For covariance matrices so near to singular that the rounding error of doubles hides the maximum. With
    M = LL' and U an orthonormal basis of L^-1 X, P = H'H for H = (I - UU') L^-1: no sums cancel.

    `problem`: a model whose structures are all `linear`.
    `theta`, shape (n,): parameters.
    """
    q, e, moved = problem.dense
    k, p = q.shape
    m = problem.v.toarray() + np.tensordot(theta.astype(np.longdouble), moved, 1)
    root, white = _eliminated(m, np.concatenate([q, e[:, None], np.eye(k)], axis=1))
    gram = white[:, :p].T @ white[:, :p]
    lower, u = _eliminated(gram, white[:, :p].T)
    rest, h = white[:, p], white[:, p + 1 :]
    inverse = h
    for _ in range(2):  # the second pass removes what rounding left in
        rest, h = rest - u.T @ (u @ rest), h - u.T @ (u @ h)
    within = h if restricted else inverse
    changed = moved @ (h.T @ rest)
    products = (h @ changed.T).T
    turned = within @ moved @ within.T
    gradient = 0.5 * (changed @ (h.T @ rest) - np.trace(turned, axis1=1, axis2=2))
    information = 0.5 * (products @ products.T)
    observed = 2 * information - 0.5 * np.einsum("aij,bji->ab", turned, turned)
    logdet = 2 * np.log(np.diagonal(root)).sum() + (
        2 * np.log(np.diagonal(lower)).sum() if restricted else 0.0
    )
    llf = -0.5 * ((k - p * restricted) * LOG_2PI + logdet + rest @ rest)
    scores = [np.array([[2.0 * float(slope)]]) for slope in gradient]
    second = observed.astype(float)
    return Evaluation(float(llf), gradient.astype(float), information.astype(float), scores, lambda: second)


def _eliminated(a: Array, columns: Array) -> tuple[Array, Array]:
    """Return the Cholesky factor of a matrix of any kind of numbers, and its inverse times columns."""
    root, out = np.zeros_like(a), np.array(columns)
    for i in range(len(a)):
        pivot = a[i, i] - root[i, :i] @ root[i, :i]
        if not pivot > 0:
            raise NotPositiveDefinite
        root[i, i] = np.sqrt(pivot)
        root[i + 1 :, i] = (a[i + 1 :, i] - root[i + 1 :, :i] @ root[i, :i]) / root[i, i]
        out[i] = (columns[i] - root[i, :i] @ out[:i]) / root[i, i]
    return root, out


def parts_at(problem: MixedProblem, restricted: bool, free: Mask, theta: Array) -> PartsOf:
    """Return what computes the parts of the likelihood at several points.

    What it returns takes the free parameters, shape (b, f).

    `problem`: a model in all of whose structures G is linear.
    `free`, shape (n,): which parameters are free.
    `theta`, shape (n,): the values of the others, and the least ones of the free: M is positive definite with
        them.
    """
    chain = problem.chain

    def full(some: Array) -> Array:
        out = np.tile(theta, (len(some), 1))
        out[:, free] = some
        return out

    if chain is not None:

        def along_chain(some: Array) -> Parts:
            found = parts_chain(problem, chain, full(some), restricted)
            return found._replace(traces=found.traces[:, free], forms=found.forms[:, free])

        return along_chain
    if not problem.cut.across and free.sum() <= 2:
        return _parts_of_blocks(problem, restricted, free, theta)

    def one_by_one(some: Array) -> Parts:
        return _joined([_parts_of_one(problem, point, restricted, free) for point in full(some)])

    return one_by_one


def _joined(each: Sequence[Parts]) -> Parts:
    return each[0] if len(each) == 1 else Parts(*map(np.concatenate, zip(*each, strict=True)))


def _parts_of_one(problem: MixedProblem, theta: Array, restricted: bool, free: Mask) -> Parts:
    """Return the parts at one point, as a batch of one."""
    factor = factorise_blocks(problem, problem.matrices(theta))
    fit = least_squares(problem, factor)
    traces, forms = [], []
    for j, (term, part) in enumerate(zip(problem.terms, problem.split(theta), strict=True)):
        along = term.structure.derivatives(part)
        t = (term.zt @ fit.r).reshape(term.levels, term.size)
        form = t.T @ term.spread(t)
        forms.append(np.einsum("nij,ij->n", along, form))
        traces.append(np.einsum("nij,ij->n", along, form - _term_score(factor, fit, j, restricted)))
    logdet = factor.logdet + fit.logdet_x if restricted else factor.logdet
    trace, form = np.concatenate(traces)[free], np.concatenate(forms)[free]
    return Parts(np.array([logdet]), np.array([fit.q]), trace[None], form[None])


def _parts_of_blocks(problem: MixedProblem, restricted: bool, free: Mask, theta: Array) -> PartsOf:
    """Return what computes the parts at several points, where no term runs across the blocks."""
    columns = np.column_stack([problem.basis[0], problem.centred])
    padded = np.concatenate([columns, np.zeros((1, columns.shape[1]))])
    base = problem.matrices(theta)
    groups = [
        DiagonalisedBlocks(
            covariance_blocks(blocks, problem.terms, base),
            changes_of_blocks(blocks, problem.terms, theta)[free],
            padded[blocks.rows],
        )
        for blocks in problem.cut.blocks
    ]

    count = max(1, AT_ONCE // columns.size)

    def parts(some: Array) -> Parts:
        if len(some) > count:
            return _joined([parts(some[i : i + count]) for i in range(0, len(some), count)])
        found = [group.at(np.maximum(some - theta[free], 0.0)) for group in groups]
        logdet, gram, traces = (
            np.sum([one[i] for one in found], axis=0) if len(found) > 1 else found[0][i] for i in range(3)
        )
        turn, q, logdet_x = turn_of(gram)
        forms = np.zeros(some.shape)
        for group, (*_, solved, along) in zip(groups, found, strict=True):
            squares = group.squares(turn, solved, along)
            forms += squares[:, :, -1]
            if restricted:
                traces = traces - squares[:, :, :-1].sum(axis=-1)
        return Parts(logdet + logdet_x if restricted else logdet, q, traces, forms)

    return parts


def floors(problem: MixedProblem, theta: Array) -> Array:
    """Return 1 / the largest eigenvalue of D_j M^-1, with D_j the derivative of M along each parameter.

    Adding a share of this variance to a parameter changes M by no more than that share. Where a term runs
    across the blocks it is the trace instead of the eigenvalue, which is larger.

    `problem`: a model whose structures are all `linear`.
    `theta`, shape (n,): where M is taken.
    """
    chain = problem.chain
    if chain is not None:
        precision = 1.0 / (chain.v if chain.single is None else chain.v + theta[chain.single])
        sums = [np.bincount(term.level[chain.order], precision).max() for term in problem.terms]
        return 1.0 / np.array(sums)
    if problem.cut.across:
        return np.asarray(
            1.0 / _parts_of_one(problem, theta, False, np.ones(theta.size, dtype=bool)).traces[0]
        )
    largest = np.zeros(problem.count)
    factor = factorise_blocks(problem, problem.matrices(theta))
    for blocks, inverse in zip(problem.cut.blocks, factor.inverses, strict=True):
        root = np.linalg.cholesky(inverse)
        changes = changes_of_blocks(blocks, problem.terms, theta)
        values = np.linalg.eigvalsh(root.swapaxes(1, 2) @ changes @ root)[..., -1]
        largest = np.maximum(largest, values.max(axis=1))
    return 1.0 / largest


def changes(problem: MixedProblem, theta: Array, r: Array) -> Array:
    """Return the derivative of M along each parameter, times r: shape (K, n)."""
    moved = [np.empty((r.size, 0))]
    for term, part in zip(problem.terms, problem.split(theta), strict=True):
        t = term.spread((term.zt @ r).reshape(term.levels, term.size))
        changed = np.einsum("li,nij->ljn", t, term.structure.derivatives(part))
        moved.append(term.z @ changed.reshape(term.width, -1))
    return np.concatenate(moved, axis=1)


def information_of_draws(problem: MixedProblem, theta: Array, draws: Array) -> Array:
    """Return the average information of several sets of effects, summed, shape (n, n).

    Its null space is that of the expected information: what no effects could determine.

    `theta`, shape (n,): parameters. `draws`, shape (K, b): sets of effects.
    """
    fit = least_squares(problem, factorise_blocks(problem, problem.matrices(theta)))
    total = np.zeros((theta.size, theta.size))
    for r in fit.project(draws).T:
        f = changes(problem, theta, r)
        total += 0.5 * (f.T @ fit.project(f))
    return total


def _term_score(factor: BlockFactor, fit: GeneralisedFit, j: int, restricted: bool) -> Array:
    """Return S of one term, shape (s, s)."""
    term = factor.problem.terms[j]
    t = (term.zt @ fit.r).reshape(term.levels, term.size)
    score = t.T @ term.spread(t) - factor.trace(j)
    if restricted:
        tx = (term.zt @ fit.mx).reshape(term.levels, term.size, -1)
        score = score + np.einsum("lip,ljp->ij", tx, term.spread(tx))
    return np.asarray(score)
