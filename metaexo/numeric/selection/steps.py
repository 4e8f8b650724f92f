"""Moments of effects that are selected by steps: weights that are constant between edges.

The edges are values of the effect, so that steps of p-values (one- or two-sided) and truncation at an effect
are the same thing. Between two edges the mean of u^n is that of a truncated normal variable, in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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
        edges, own = (self.edges, self._own) if one else (self.edges[rows], self._own[rows])
        weight = np.exp(values)[:, None, self.kind]  # (B, 1, S)
        t = (edges - mean[..., None]) / sd[..., None]
        probability = self._between(t)
        # Between edges the integral of u^n is n - 1 times that of u^(n - 2), plus what the edges leave over:
        # u^(n - 1) times the density at the lower edge less that at the upper one; it is 0 at infinity.
        at_edges = np.zeros((4, *t.shape[:-1], t.shape[-1] + 2))
        density = np.exp(-0.5 * t * t) / ROOT_2PI
        for n in range(4):
            at_edges[n, ..., 1:-1] = density
            density = density * t
        m = at_edges[..., :-1] - at_edges[..., 1:]
        m[1] += probability
        m[2] += 2 * m[0]
        m[3] += 3 * m[1]
        share = probability * weight
        norm = share.sum(axis=-1)
        m *= weight / norm[..., None]
        u1, u2, u3, u4 = m.sum(axis=-1)
        du, duu = m[:2] @ self._member
        d = (share / norm[..., None]) @ self._member
        return Moments(
            log_weight=(own * values[:, None, :]).sum(axis=-1),
            slope=own,
            curvature=None,
            log_norm=np.log(norm),
            u1=u1,
            u2=u2,
            u3=u3,
            u4=u4,
            d=d,
            du=du,
            duu=duu,
            dd=None,
        )

    @cached_property
    def _own(self) -> Array:
        """Whether an observed effect has a weight, 1 or 0, shape (N, K, J)."""
        return np.asarray((self.seen[..., None] == np.arange(self.count)).astype(float))

    @cached_property
    def _member(self) -> Array:
        """Whether an interval between edges has a weight, 1 or 0, shape (E + 1, J)."""
        return np.asarray((self.kind[:, None] == np.arange(self.count)).astype(float))

    @staticmethod
    def _between(t: Array) -> Array:
        """Return the probabilities between edges, without loss in either tail; shape (B, K, E + 1)."""
        below, above = ndtr(t), ndtr(-t)
        inner = np.where(t[..., :-1] > 0, above[..., :-1] - above[..., 1:], below[..., 1:] - below[..., :-1])
        return np.concatenate([below[..., :1], inner, above[..., -1:]], axis=-1)


def step_of(pvalue: Array, cuts: Array) -> Index:
    """Return in which interval p-values lie: the first holds those up to and with the first cut."""
    return np.asarray(np.searchsorted(cuts, pvalue, side="left"), dtype=np.intp)
