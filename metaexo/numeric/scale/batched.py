"""The highest likelihood of many location-scale models at once, with a log link.

The climbs of all problems, from all their starts, are steps of the same arrays. A problem is done where its
highest climb ends at a certified maximum, or where it runs to the limit with tau2 = 0 in some rows: the
likelihood is then flat in some directions, which leave the tau2 of the other rows alone, and has a maximum in
the rest. What is neither is left to the search for single problems,
:func:`metaexo.numeric.scale.maximum.maximise`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metaexo.numeric.likelihood import LOG_2PI
from metaexo.numeric.moments import small_inverses
from metaexo.numeric.scale.likelihood import LARGEST_LOG
from metaexo.numeric.scale.maximum import (
    ENOUGH,
    FLAT,
    LARGEST_SLOPE,
    LEFT_OVER,
    LONGEST_STEP,
    ROUNDING,
    SLOPES_LOG,
    SMALLEST_CURVATURE,
)
from metaexo.types import Array, Index, Mask

MAX_STEPS, MAX_HALVINGS = 100, 30
# Plain Newton steps at the end.
POLISH = 3
# A tau2 below this share of v is on its way to 0; a change of log tau2 below this is none.
VANISHED, ASIDE = 1e-7, 1e-6
# Elements of one temporary array of a climb.
ELEMENTS = 200_000


@dataclass(frozen=True, slots=True)
class ManyScales:
    """Maxima of B problems; NaN where the highest climb did not end at one."""

    coefficients: Array  # (B, q): scale coefficients; infinite, whatever the sign, where tau2 goes to 0
    cov: Array  # (B, q, q): inverse of the observed information; NaN where a coefficient is infinite
    tau2: Array  # (B, k): between-study variance of each effect
    value: Array  # (B,): log-likelihood
    certified: Mask  # (B,): whether the maximum, or a limit, was found


@dataclass(frozen=True, slots=True)
class _Problems:
    """N problems with standardised columns of the scale."""

    y: Array  # (N, k)
    v: Array  # (N, k)
    basis: Array  # (N, k, p): orthonormal columns of the location
    z: Array  # (N, k, q)
    restricted: bool

    def take(self, which: Index | Mask) -> _Problems:
        return _Problems(self.y[which], self.v[which], self.basis[which], self.z[which], self.restricted)

    def at(self, a: Array) -> tuple[Array, Array, Array]:
        """Return log-likelihoods, gradients and Hessians at coefficients a, shape (N, q)."""
        basis, z, (k, p) = self.basis, self.z, self.basis.shape[1:]
        tau2 = np.exp(np.minimum((z @ a[..., None])[..., 0], LARGEST_LOG))
        s = self.v + tau2
        w = 1.0 / s
        weighted = basis * w[..., None]
        gram = np.swapaxes(basis, 1, 2) @ weighted
        inverses, _, pivots = small_inverses(np.moveaxis(gram, 0, -1))
        inverse = np.moveaxis(inverses, -1, 0)
        gamma = inverse @ (np.swapaxes(weighted, 1, 2) @ self.y[..., None])
        e = self.y - (basis @ gamma)[..., 0]
        r = w * e
        value = np.log(s).sum(axis=1) + np.vecdot(r, e) + (k - p if self.restricted else k) * LOG_2PI
        leverage = ((weighted @ inverse) * weighted).sum(axis=-1)
        score, own = 0.5 * (r * r - w), 0.5 * w * w - w * r * r
        d = tau2[..., None] * z
        along = np.swapaxes(weighted * r[..., None], 1, 2) @ d
        hessian = np.swapaxes(along, 1, 2) @ inverse @ along
        if self.restricted:
            value += np.log(pivots).sum(axis=0)
            score, own = score + 0.5 * leverage, own - w * leverage
            pairs = (weighted[..., :, None] * weighted[..., None, :]).reshape(*w.shape, p * p)
            cross = (np.swapaxes(d, 1, 2) @ pairs).reshape(len(d), -1, p, p)
            moved = inverse[:, None] @ cross
            hessian += 0.5 * np.einsum("napr,nbrp->nab", moved, moved)
        hessian += np.swapaxes(d * own[..., None], 1, 2) @ d + np.swapaxes(d * score[..., None], 1, 2) @ z
        return -0.5 * value, (d * score[..., None]).sum(axis=1), hessian


def many_maxima(y: Array, v: Array, x: Array, z: Array, restricted: bool, tau2: Array) -> ManyScales:
    """Return the maxima of problems with effects y, shape (B, k), that are certified.

    `v`, shape (B, k); `x`, shape (B, k, p), and `z`, shape (B, k, q): designs of location and scale. `tau2`,
    shape (B,): between-study variances of the models with one for all.
    """
    size, k, q = z.shape
    starts = 5 + 16 * (q - 1)
    step = max(1, ELEMENTS // (starts * k * max(q, x.shape[2]) ** 2))
    cuts = [slice(begin, begin + step) for begin in range(0, size, step)]
    parts = [_some(y[cut], v[cut], x[cut], z[cut], restricted, tau2[cut]) for cut in cuts]
    return ManyScales(*(np.concatenate([getattr(p, n) for p in parts]) for n in ManyScales.__slots__))


def _some(y: Array, v: Array, x: Array, z: Array, restricted: bool, tau2: Array) -> ManyScales:
    size, k, q = z.shape
    basis = np.linalg.qr(x / np.linalg.norm(x, axis=1, keepdims=True))[0]
    rest = y - (basis @ (np.swapaxes(basis, 1, 2) @ y[..., None]))[..., 0]
    columns, upper = np.linalg.qr(z)
    standard, back = columns * np.sqrt(k), np.linalg.inv(upper) * np.sqrt(k)
    problems = _Problems(rest, v, basis, standard, restricted)
    begin = _starts(problems, tau2)
    starts = begin.shape[1]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        ends, values, good = _climb(problems.take(np.repeat(np.arange(size), starts)), begin.reshape(-1, q))
    values, good = values.reshape(size, starts), good.reshape(size, starts)
    best = np.where(np.isfinite(values), values, -np.inf).argmax(axis=1)
    every = np.arange(size)
    a, value = ends.reshape(size, starts, q)[every, best], values[every, best]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        a, gradient, hessian = _polished(problems, a)
    coefficients, cov = np.full((size, q), np.nan), np.full((size, q, q), np.nan)
    found, certified = np.full((size, k), np.nan), np.zeros(size, dtype=np.bool_)
    for b in range(size):
        inner = bool(good[b, best[b]])
        end = _End(a[b], gradient[b], hessian[b], standard[b], back[b], v[b])
        made = end.maximum() if inner else end.limit()
        if made is not None:
            coefficients[b], cov[b], found[b] = made
            certified[b] = True
    return ManyScales(coefficients, cov, found, np.where(certified, value, np.nan), certified)


@dataclass(frozen=True, slots=True)
class _End:
    """Where the highest climb of one problem ended."""

    a: Array  # (q,): standardised coefficients
    gradient: Array  # (q,)
    hessian: Array  # (q, q)
    z: Array  # (k, q): standardised columns of the scale
    back: Array  # (q, q): takes standardised coefficients to those asked for
    v: Array  # (k,): sampling variances

    def tau2(self) -> Array:
        return np.asarray(np.exp(np.minimum(self.z @ self.a, LARGEST_LOG)))

    def maximum(self) -> tuple[Array, Array, Array]:
        """Return coefficients, covariance and tau2 of an inner maximum."""
        return self.back @ self.a, self.back @ np.linalg.solve(-self.hessian, self.back.T), self.tau2()

    def limit(self) -> tuple[Array, Array, Array] | None:
        """Return the same of a limit with tau2 = 0 in some rows; None if it is none."""
        tau2 = self.tau2()
        zero = tau2 < VANISHED * self.v
        if not np.isfinite(self.hessian).all() or not zero.any():
            return None
        values, vectors = np.linalg.eigh(-self.hessian)
        flat = np.abs(values) < SMALLEST_CURVATURE
        away, kept = vectors[:, flat], vectors[:, ~flat]
        slope = 0.5 * np.square(kept.T @ self.gradient) / values[~flat]
        aside = np.abs(self.z[~zero] @ away).max(initial=0.0)
        left = np.abs(away.T @ self.gradient)
        if (
            values[~flat].min(initial=1.0) < 0
            or slope.sum() > LARGEST_SLOPE
            or aside > ASIDE
            or not flat.any()
        ):
            return None
        if (left <= LEFT_OVER * np.abs(values[flat])).any() and left.any():
            return None  # a maximum with a tiny tau2, not a limit
        transform = self.back @ kept
        coefficients, cov = self.back @ self.a, (transform / values[~flat]) @ transform.T
        moving = self.back @ away
        infinite = np.asarray(np.abs(moving).max(axis=1) > ASIDE * np.abs(self.back).max(axis=1))
        coefficients[infinite] = np.inf
        cov[infinite], cov[:, infinite] = np.nan, np.nan
        return coefficients, cov, np.where(zero, 0.0, tau2)


def _polished(problems: _Problems, a: Array) -> tuple[Array, Array, Array]:
    """Return coefficients, gradients and Hessians after plain Newton steps that make the gradient smaller.

    No step is taken in directions in which the likelihood is flat.
    """
    _, gradient, hessian = problems.at(a)
    for _ in range(POLISH):
        known = np.asarray(np.isfinite(hessian).all(axis=(1, 2)))
        values, vectors = np.linalg.eigh(np.where(known[:, None, None], -hessian, np.eye(a.shape[1])))
        along = (np.swapaxes(vectors, 1, 2) @ gradient[..., None])[..., 0]
        share = np.where(values >= SMALLEST_CURVATURE, along / values, 0.0)
        moved = a + (vectors @ share[..., None])[..., 0]
        _, new_gradient, new_hessian = problems.at(moved)
        better = known & (np.linalg.norm(new_gradient, axis=1) < np.linalg.norm(gradient, axis=1))
        a = np.where(better[:, None], moved, a)
        gradient = np.where(better[:, None], new_gradient, gradient)
        hessian = np.where(better[:, None, None], new_hessian, hessian)
    return a, gradient, hessian


def _starts(problems: _Problems, tau2: Array) -> Array:
    """Return where to begin, shape (B, n, q): tau2 alike for all rows, by squared residuals, and tilted."""
    y, v, z = problems.y, problems.v, problems.z
    typical = 1.0 / (1.0 / v).mean(axis=1)
    first = np.where(tau2 > 0, tau2, typical)
    levels = [np.log(level) for level in (first, 0.1 * typical, typical, 10 * typical)]
    linear = [np.broadcast_to(level[:, None], y.shape) for level in levels]
    linear.append(np.log(np.maximum(y * y - v, 0.05 * v)))
    for j in range(1, z.shape[2]):
        column = z[:, :, j]
        for slope in SLOPES_LOG:
            end = column.max(axis=1) if slope > 0 else column.min(axis=1)
            for level in (levels[0], levels[2]):
                linear.append(level[:, None] + slope * column)
                linear.append(level[:, None] + 2 * slope * (column - end[:, None]))
    return np.asarray(np.stack([(one[:, None] @ z)[:, 0] for one in linear], axis=1) / y.shape[1])


def _climb(problems: _Problems, start: Array) -> tuple[Array, Array, Mask]:
    """Return where climbs end, the log-likelihoods there, and whether these are certified maxima."""
    a = start.copy()
    value, gradient, hessian = problems.at(a)
    good = np.zeros(len(a), dtype=np.bool_)
    open_ = np.flatnonzero(np.isfinite(value) & np.isfinite(hessian).all(axis=(1, 2)))
    for _ in range(MAX_STEPS):
        eigenvalues, vectors = np.linalg.eigh(-hessian[open_])
        reach = np.abs(eigenvalues)
        reach = np.maximum(reach, FLAT * np.maximum(1.0, reach.max(axis=1, keepdims=True)))
        along = (np.swapaxes(vectors, 1, 2) @ gradient[open_][..., None])[..., 0]
        rise = 0.5 * (along * along / reach).sum(axis=1)
        step = (vectors @ (along / reach)[..., None])[..., 0]
        longest = LONGEST_STEP * np.maximum(1.0, np.linalg.norm(a[open_], axis=1))
        step *= np.minimum(1.0, longest / np.maximum(np.linalg.norm(step, axis=1), 1e-300))[:, None]
        done = rise <= ROUNDING * (1 + np.abs(value[open_]))
        good[open_] = (rise <= LARGEST_SLOPE) & (eigenvalues[:, 0] >= SMALLEST_CURVATURE)
        open_, step = open_[~done], step[~done]
        if not open_.size:
            break
        moved = _advance(problems, a, (value, gradient, hessian), open_, step)
        open_ = open_[moved]
    return a, value, good


def _advance(problems: _Problems, a: Array, at: tuple[Array, Array, Array], rows: Index, step: Array) -> Mask:
    """Take the steps, halved until the likelihood rises enough; say which rows moved."""
    promised = np.vecdot(at[1][rows], step)
    moved = np.zeros(rows.size, dtype=np.bool_)
    todo, share = np.arange(rows.size), 1.0
    for _ in range(MAX_HALVINGS):
        trial = a[rows[todo]] + share * step[todo]
        found = problems.take(rows[todo]).at(trial)
        rises = found[0] >= at[0][rows[todo]] + ENOUGH * share * promised[todo]
        rises &= np.isfinite(found[2]).all(axis=(1, 2))
        taken = rows[todo[rises]]
        a[taken] = trial[rises]
        for own, new in zip(at, found, strict=True):
            own[taken] = new[rises]
        moved[todo[rises]] = True
        small = share * promised[todo] <= ROUNDING * (1 + np.abs(at[0][rows[todo]]))
        todo, share = todo[~rises & ~small], 0.5 * share
        if not todo.size:
            break
    return moved
