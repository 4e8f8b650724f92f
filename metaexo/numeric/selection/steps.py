"""Moments of effects that are selected by steps: weights that are constant between edges.

The edges are values of the effect, so that steps of p-values (one- or two-sided) and truncation at an effect
are the same thing. Between two edges the mean of u^n is that of a truncated normal variable, in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from metaexo.numeric.selection.likelihood import Moments
from metaexo.types import Array, Index

ROOT_2PI = float(np.sqrt(2 * np.pi))
# Stands for the logarithm of a weight of 0: its exponential is 0.
NEVER = -1e5


@dataclass(frozen=True, eq=False)
class Steps:
    """Weights by intervals of the effect; the parameters are their logarithms."""

    edges: Array  # (N, K, E), ascending
    kind: Index  # (E + 1,), which weight each interval between edges has
    seen: Index  # (N, K), which weight each observed effect has
    count: int  # number of weights J
    truncates: bool = False  # whether effects are cut at a point of their own, not at p-values

    @property
    def shift(self) -> Array:
        """The parameters are logarithms already."""
        return np.full(self.count, np.nan)

    def moments(self, mean: Array, sd: Array, values: Array, rows: Index | None) -> Moments:
        """Return the moments; `values`: logarithms of the weights, shape (B, J)."""
        one = rows is None or len(self.edges) == 1
        edges, seen = (self.edges, self.seen) if one else (self.edges[rows], self.seen[rows])
        weight = np.exp(values)[:, None, self.kind]  # (B, 1, S)
        t = (edges - mean[..., None]) / sd[..., None]
        density = np.exp(-0.5 * t * t) / ROOT_2PI
        probability = self._between(t)
        # Between edges the integral of u^n is n - 1 times that of u^(n - 2), plus what the edges leave over.
        m1 = self._left_over(density)
        f = density * t
        m2 = probability + self._left_over(f)
        f = f * t
        m3 = 2 * m1 + self._left_over(f)
        m4 = 3 * m2 + self._left_over(f * t)
        share = probability * weight
        norm = share.sum(axis=-1)
        w = weight / norm[..., None]
        share, m1, m2, m3, m4 = share / norm[..., None], m1 * w, m2 * w, m3 * w, m4 * w
        member = np.zeros((self.kind.size, self.count))
        member[np.arange(self.kind.size), self.kind] = 1.0
        d = share @ member
        size, k = norm.shape
        own = np.zeros((size, k, self.count))
        own[:] = seen[..., None] == np.arange(self.count)
        dd = np.zeros((size, k, self.count, self.count))
        every = np.arange(self.count)
        dd[..., every, every] = d
        return Moments(
            log_weight=(own * values[:, None, :]).sum(axis=-1),
            slope=own,
            curvature=None,
            log_norm=np.log(norm),
            u1=m1.sum(axis=-1),
            u2=m2.sum(axis=-1),
            u3=m3.sum(axis=-1),
            u4=m4.sum(axis=-1),
            d=d,
            du=m1 @ member,
            duu=m2 @ member,
            dd=dd,
        )

    @staticmethod
    def _between(t: Array) -> Array:
        """Return the probabilities between edges, without loss in either tail; shape (B, K, E + 1)."""
        below, above = ndtr(t), ndtr(-t)
        inner = np.where(t[..., :-1] > 0, above[..., :-1] - above[..., 1:], below[..., 1:] - below[..., :-1])
        return np.concatenate([below[..., :1], inner, above[..., -1:]], axis=-1)

    @staticmethod
    def _left_over(f: Array) -> Array:
        """Return f at the lower less f at the upper edge of each interval; f is 0 at infinity."""
        return np.concatenate([-f[..., :1], f[..., :-1] - f[..., 1:], f[..., -1:]], axis=-1)


def step_of(pvalue: Array, cuts: Array) -> Index:
    """Return in which interval p-values lie: the first holds those up to and with the first cut."""
    return np.asarray(np.searchsorted(cuts, pvalue, side="left"), dtype=np.intp)
