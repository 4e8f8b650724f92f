"""The saturated model of a mixed model of counts: every study has an effect of its own.

With study intercepts that are estimated, and in conditional models, its log-likelihood is the highest that
the counts of each study allow; with random study intercepts it is a mixed model of its own, with a
coefficient per study. Where a study's own effect is infinite, the likelihood is its limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from metaexo.effects.counts import EventCounts
from metaexo.numeric.counts.formulations import RANDOM, Formulation, formulate
from metaexo.numeric.counts.kernels import Binomial, CountKernel, Poisson
from metaexo.types import Array, Mask

NEWTON_STEPS = 100
# The time of an arm that is taken out of a likelihood: no event is expected in it.
NO_TIME = -700.0


@dataclass(frozen=True, slots=True)
class Saturated:
    """The model in which every study has an effect of its own."""

    llf: float  # log-likelihood
    y: Array  # (n,): effects of the studies in which it is finite
    cov: Array  # (n, n): their covariance matrix
    finite: Mask  # (k,): which studies these are


def saturated(made: Formulation) -> Saturated:
    """Return the saturated model where the studies have nothing in common."""
    kernel, counted = made.problem.kernel, made.problem.weights[0] > 0
    low, high = (part[0] for part in made.extreme)
    finite = counted & ~low & ~high
    eta = _own_predictors(kernel)
    variance = -1.0 / np.minimum(kernel.at(eta, 2)[2], -1e-300)
    y = eta[0, :, 0] if kernel.shape[2] == 1 else eta[0, :, 0] - eta[0, :, 1]
    v = variance[0].sum(axis=-1)
    llf = float(kernel.saturated()[0, counted].sum())
    return Saturated(llf, y[finite], np.diag(v[finite]), finite)


def _own_predictors(kernel: CountKernel) -> Array:
    """Return the predictors at which each count is most likely, (1, K, g); rough where they are infinite."""
    low, high = kernel.extremes()
    eta = np.zeros(kernel.shape)
    if isinstance(kernel, Poisson):
        return np.log(np.maximum(kernel.x, 0.5)) - kernel.log_time
    inner = ~(low | high)
    for _ in range(NEWTON_STEPS):
        _, slope, bend = kernel.at(eta, 2)
        step = np.where(inner, np.clip(-slope / np.minimum(bend, -1e-300), -1.0, 1.0), 0.0)
        eta = eta + step
        if np.abs(step).max(initial=0.0) < 1e-13:
            break
    return eta


def saturated_with_random_intercepts(counts: EventCounts, points: int) -> Saturated:
    """Return the saturated model with random study intercepts, a coefficient per study.

    Arms that a limit of it fits without fail are left out of the likelihood.
    """
    x, n = counts.events, counts.totals
    gone = x[:, 0] == 0
    if not counts.person_time:
        gone = gone | (x[:, 0] == n[:, 0])
    own = np.eye(counts.k)[:, ~gone]
    made = formulate(
        RANDOM, x[None], n[None], own[None], person_time=counts.person_time, random=False, points=points
    )
    kernel = made.problem.kernel
    silent = np.zeros(x.shape, dtype=bool)
    silent[gone, 0] = True
    if isinstance(kernel, Poisson):
        kernel = replace(kernel, log_time=np.where(silent, NO_TIME, kernel.log_time))
    else:
        assert isinstance(kernel, Binomial)
        keep = np.where(silent, 0.0, 1.0)
        kernel = Binomial(kernel.x * keep, kernel.n * keep, kernel.link)
    found = replace(made, problem=replace(made.problem, kernel=kernel)).maximum()
    p = own.shape[1]
    free = found.free[0]
    cov = np.linalg.inv(-found.hessian[0][np.ix_(free, free)])[:p, :p]
    back = made.back[0]
    return Saturated(float(found.value[0]), back @ found.psi[0, :p], back @ cov @ back.T, ~gone)
