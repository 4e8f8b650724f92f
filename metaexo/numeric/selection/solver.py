"""Maxima of likelihoods within bounds, for a batch of starts: Newton's method with a trust region.

Minus the Hessian is scaled to a unit diagonal and the absolute values of its eigenvalues are taken, so that
the step always goes uphill, saddles included. A parameter at its bound stays there while the likelihood
rises beyond it. Starts that have arrived are left out of further evaluations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metaexo.numeric.selection.likelihood import Value
from metaexo.types import Array, Index, Mask

ITERATIONS = 150
LEAST_EIGENVALUE = 1e-10
# Rise promised by the next step, in units of log-likelihood, below which a start has arrived.
ARRIVED = 1e-14
ROUNDING = 1e-11
AT_BOUND = 1e-10
LARGEST, SMALLEST = 8.0, 1e-10


class Maxima(NamedTuple):
    """Where the starts ended."""

    theta: Array  # (B, Q)
    llf: Array  # (B,)
    gradient: Array  # (B, Q)
    hessian: Array  # (B, Q, Q)
    rise: Array  # (B,), what a further step promises
    held: Mask  # (B, Q), at a bound beyond which the likelihood rises, or fixed
    converged: Mask  # (B,)
    iterations: int

    def take(self, which: Index) -> Maxima:
        """Return some of them."""
        return Maxima(
            theta=self.theta[which],
            llf=self.llf[which],
            gradient=self.gradient[which],
            hessian=self.hessian[which],
            rise=self.rise[which],
            held=self.held[which],
            converged=self.converged[which],
            iterations=self.iterations,
        )


def maximise(
    evaluate: Callable[[Array, Index | None], Value],
    start: Array,
    low: Array,
    high: Array,
    unit: Array,
    rows: Index | None = None,
    most: int = ITERATIONS,
) -> Maxima:
    """Return the local maximum that each start leads to.

    `start`: shape (B, Q). `low`, `high`: bounds that broadcast to it; where they are equal the parameter is
    fixed. `unit`: the longest first step of each parameter, shape (Q,). `rows`: the data set of each start.
    `most`: iterations.
    """
    low, high = np.broadcast_to(low, start.shape), np.broadcast_to(high, start.shape)
    theta = np.minimum(np.maximum(start, low), high)
    size = len(theta)
    value = evaluate(theta, rows)
    llf, gradient, hessian = value.llf.copy(), value.gradient.copy(), value.hessian.copy()
    radius = np.ones(size)
    rise, converged = np.full(size, np.inf), np.zeros(size, dtype=np.bool_)
    open_ = np.flatnonzero(np.isfinite(llf))
    iteration = 0
    while open_.size and iteration < most:
        iteration += 1
        at, g, h = theta[open_], gradient[open_], hessian[open_]
        free = ~_held(at, g, low[open_], high[open_])
        full, promised = _newton_step(g, h, free)
        rise[open_] = promised
        done = promised < ARRIVED * np.maximum(1.0, np.abs(llf[open_]))
        if done.any():
            converged[open_[done]] = True
            rest = ~done
            open_, at, g, h, full = open_[rest], at[rest], g[rest], h[rest], full[rest]
            promised = promised[rest]
            if not open_.size:
                break
        length = (np.abs(full) / unit).max(axis=1)
        cut = np.minimum(1.0, radius[open_] / np.maximum(length, SMALLEST))
        new = _within(at + full * cut[:, None], low[open_], high[open_])
        step = new - at
        found = evaluate(new, None if rows is None else rows[open_])
        gain = found.llf - llf[open_]
        expected = (g * step).sum(axis=1) + 0.5 * np.einsum("bi,bij,bj->b", step, h, step)
        small = ROUNDING * np.maximum(1.0, np.abs(llf[open_]))
        good = (gain > 1e-3 * np.maximum(expected, 0.0)) | ((np.abs(gain) < small) & (promised < small))
        good &= np.isfinite(found.llf)
        old = radius[open_]
        longer = np.where(gain > 0.5 * expected, np.maximum(old, np.minimum(3 * length, LARGEST)), old)
        radius[open_] = np.where(good, longer, 0.25 * np.minimum(old, length))
        took = open_[good]
        theta[took], llf[took] = new[good], found.llf[good]
        gradient[took], hessian[took] = found.gradient[good], found.hessian[good]
        open_ = open_[radius[open_] > SMALLEST]
    held = _held(theta, gradient, low, high)
    return Maxima(theta, llf, gradient, hessian, rise, held, converged, iteration)


def _within(theta: Array, low: Array, high: Array) -> Array:
    """Return parameters within their bounds; those that rounding errors separate from a bound are at it."""
    theta = np.where(theta < low + AT_BOUND, low, theta)
    return np.where(theta > high - AT_BOUND, high, theta)


def _held(theta: Array, gradient: Array, low: Array, high: Array) -> Mask:
    """Say which parameters are at a bound beyond which the likelihood rises, or are fixed."""
    return ((theta <= low) & (gradient <= 0)) | ((theta >= high) & (gradient >= 0)) | (low >= high)


def _newton_step(gradient: Array, hessian: Array, free: Mask) -> tuple[Array, Array]:
    """Return the uphill Newton step of the free parameters and the rise that it promises."""
    diagonal = np.abs(np.diagonal(hessian, axis1=1, axis2=2))
    scale = np.sqrt(np.maximum(diagonal, 1e-12 * np.maximum(diagonal.max(axis=1, keepdims=True), 1e-12)))
    pair = free[:, :, None] & free[:, None, :]
    scaled = np.where(pair, -hessian / (scale[:, :, None] * scale[:, None, :]), 0.0)
    every = np.arange(scale.shape[1])
    scaled[:, every, every] += ~free
    slope = np.where(free, gradient / scale, 0.0)
    values, vectors = np.linalg.eigh(scaled)
    along = (slope[:, None, :] @ vectors)[:, 0]
    ahead = along / np.maximum(np.abs(values), LEAST_EIGENVALUE)
    step = (vectors @ ahead[:, :, None])[..., 0] / scale
    return step, 0.5 * (along * ahead).sum(axis=1)
