"""Likelihood-ratio statistics of one variance for many sets of effects of one layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from metaexo.numeric.mixed.maximum import MixedMaximum, parameter_scale
from metaexo.numeric.mixed.problem import MixedProblem
from metaexo.numeric.mixed.structured import maximise
from metaexo.numeric.mixed.together import ChainPoints, can_use_chain, climb
from metaexo.types import Array

# The rise that a step promises, relative to the log-likelihood, with which a climb ends.
PROMISED = 1e-8


def likelihood_ratios(
    problem: MixedProblem,
    restricted: bool,
    y: Array,
    start: Array,
    tested: int,
    fixed: Mapping[int, float],
    enough: float = np.inf,
) -> Array:
    """Return twice what the log-likelihood gains by a variance, shape (B,); NaN where a climb fails.

    The maximum without the variance is climbed from `start`, and the one with it from there and, where the
    variance is above 0 in `start`, from `start`: the higher end counts. Rows that form no chain are
    maximised set by set.

    `y`, shape (B, K): sets of effects. `start`, shape (n,): variances.
    `tested`: position of the variance. `fixed`: variances that are held.
    `enough`: where the first of two climbs gains more than this, the second one is not made.
    """
    if not can_use_chain(problem):
        return _one_by_one(problem, restricted, y, start, tested, fixed)
    moving = np.array([i not in fixed for i in range(start.size)])
    points, scale = ChainPoints(problem, restricted, y=y), parameter_scale(problem)
    without = moving & (np.arange(start.size) != tested)
    begin = np.tile(start, (len(y), 1))
    begin[:, tested] = 0.0
    ends, null, found = climb(points, begin, without, scale, PROMISED)
    out = np.where(found, 0.0, np.nan)
    rises = np.flatnonzero(found & (null.gradient[:, tested] > 0))
    if not rises.size:
        return out
    for own in (ends, np.tile(start, (len(y), 1)) if start[tested] > 0 else None):
        which = rises[~(out[rises] > enough)]
        if own is None or not which.size:
            continue
        some = ChainPoints(problem, restricted, y=y[which])
        top, done = climb(some, own[which], moving, scale, PROMISED)[1:]
        gain = 2 * (top.value - null.value[which])
        out[which] = np.where(done & (gain > out[which]), gain, out[which])
    return out


def _one_by_one(
    problem: MixedProblem, restricted: bool, y: Array, start: Array, tested: int, fixed: Mapping[int, float]
) -> Array:
    """Return the same by a maximum at a time."""
    out = np.full(len(y), np.nan)
    for i, effects in enumerate(y):
        some = replace(problem, y=effects)
        full, null = (
            maximise(some, restricted, held, warm=start, certify=False)
            for held in (fixed, {**fixed, tested: 0.0})
        )
        if isinstance(full, MixedMaximum) and isinstance(null, MixedMaximum):
            out[i] = max(2 * (full.llf - null.llf), 0.0)
    return out
