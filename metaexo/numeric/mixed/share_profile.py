r"""Profile-likelihood intervals of the shares of variances in their sum.

A share s of the variance j is held by :math:`\theta_j = s \sum_i \phi_i` and, for the others,
:math:`\theta_i = (1 - s) \phi_i` with free :math:`\phi_i \ge 0`: linear in them, so that slopes and
information follow from those along the variances. All limits of all shares are searched for at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metaexo.numeric.mixed.likelihood import evaluate
from metaexo.numeric.mixed.maximum import parameter_scale
from metaexo.numeric.mixed.problem import MixedProblem
from metaexo.numeric.mixed.together import ChainPoints, Point, Points, can_use_chain, climb
from metaexo.types import Array, Index

# Steps of false position between odds inside and outside of the interval; half of that mostly do.
STEPS, CLOSE = 40, 1e-6
# Odds of a share below which it counts as 0, and beyond whose inverse as 1.
SMALLEST_ODDS = 1e-6
# Odds where the search for an upper limit begins, if the share is estimated as 0.
FIRST_ODDS = 1e-3
PROMISED = 1e-10
# Where variances that rest at zero begin to climb, in units of their size.
NUDGE = 1e-3


def share_limits(problem: MixedProblem, restricted: bool, theta: Array, critical: float) -> Array:
    """Return the ends of the intervals of all shares, shape (n, 2).

    From each estimate the odds of the share are changed by growing factors until twice the loss of
    log-likelihood exceeds the quantile; false position finds where between the last two.

    `theta`, shape (n,): variances at the maximum, not all 0; two or more.
    `critical`: the quantile.
    """
    n, scale = theta.size, parameter_scale(problem)
    points = ChainPoints(problem, restricted) if can_use_chain(problem) else _OneByOne(problem, restricted)
    highest = float(points(np.zeros(1, dtype=np.intp), theta[None]).value[0])
    which, way = np.repeat(np.arange(n), 2), np.tile([-1.0, 1.0], n)
    phi = np.stack([np.delete(np.maximum(theta, NUDGE * scale), j) for j in which])
    sizes = np.stack([np.delete(scale, j) for j in which]).max(axis=0)

    def excess(log_odds: Array, rows: Index) -> Array:
        share = 1.0 / (1.0 + np.exp(-log_odds))
        own = _Held(points, which[rows], share, n)
        ends, top, done = climb(own, phi[rows], np.ones(n - 1, dtype=bool), sizes, PROMISED)
        phi[rows] = np.where(done[:, None], np.maximum(ends, NUDGE * sizes), phi[rows])
        return np.where(done, 2 * (highest - top.value) - critical, np.inf)

    least = np.log(SMALLEST_ODDS)
    share = np.clip(theta / theta.sum(), 0.0, 1.0)[which]
    with np.errstate(divide="ignore"):
        start = np.clip(np.log(share) - np.log1p(-share), np.log(FIRST_ODDS), -least)
    out = np.where(way < 0, 0.0, 1.0)
    inside, outside = start.copy(), start.copy()
    searched = np.flatnonzero(~((way < 0) & (share == 0)) & ~((way > 0) & (share == 1)))
    at_inside, at_outside = np.full(2 * n, -critical), np.full(2 * n, np.nan)
    rows, step = searched, 0.5
    found: list[Index] = []
    while rows.size:
        outside[rows] = inside[rows] + way[rows] * step
        at_outside[rows] = excess(outside[rows], rows)
        beyond = at_outside[rows] > 0
        found.append(rows[beyond])
        rows = rows[~beyond]
        inside[rows], at_inside[rows] = outside[rows], at_outside[rows]
        rows = rows[np.abs(inside[rows]) < -least]
        step *= 2.0
    rows = active = np.concatenate([np.empty(0, dtype=np.intp), *found])
    for _ in range(STEPS):
        active = active[np.abs(outside[active] - inside[active]) > CLOSE]
        if not active.size:
            break
        a, b = at_inside[active], at_outside[active]
        part = np.where(np.isfinite(b), np.clip(a / (a - b), 0.02, 0.98), 0.5)
        middle = inside[active] + part * (outside[active] - inside[active])
        value = excess(middle, active)
        beyond = value > 0
        # the end that stays counts half from then on, so that both ends move (Illinois)
        at_inside[active] = np.where(beyond, 0.5 * a, value)
        at_outside[active] = np.where(beyond, value, 0.5 * b)
        outside[active] = np.where(beyond, middle, outside[active])
        inside[active] = np.where(beyond, inside[active], middle)
        close = np.abs(value) < 1e-7
        inside[active[close]] = outside[active[close]] = middle[close]
    out[rows] = 1.0 / (1.0 + np.exp(-0.5 * (inside[rows] + outside[rows])))
    return out.reshape(n, 2)


@dataclass(frozen=True, eq=False)
class _Held:
    """Likelihoods with a share of one variance held, along what the others have."""

    points: Points
    term: Index  # (B,): position of the variance
    share: Array  # (B,)
    count: int

    def __call__(self, which: Index, phi: Array) -> Point:
        """Return what is known at points of some climbs."""
        turn = np.zeros((which.size, self.count, self.count - 1))
        for b, i in enumerate(which.tolist()):
            j, s = int(self.term[i]), float(self.share[i])
            turn[b] = np.insert((1.0 - s) * np.eye(self.count - 1), j, s, axis=0)
        found = self.points(np.zeros(which.size, dtype=np.intp), (turn @ phi[..., None])[..., 0])
        back = turn.swapaxes(1, 2)
        return found._replace(
            gradient=(back @ found.gradient[..., None])[..., 0], curvature=back @ found.curvature @ turn
        )


@dataclass(frozen=True, eq=False)
class _OneByOne:
    """The likelihood of a model whose rows form no chain, at one point after another."""

    problem: MixedProblem
    restricted: bool

    def __call__(self, which: Index, theta: Array) -> Point:
        """Return what is known at points; coefficients are not among it."""
        found = [evaluate(self.problem, one, self.restricted) for one in theta]
        nothing = np.zeros((len(theta), self.problem.x.shape[1]))
        return Point(
            np.array([one.llf for one in found]),
            np.stack([one.gradient for one in found]),
            np.stack([one.information for one in found]),
            nothing,
            nothing[:, :, None] * nothing[:, None],
        )
