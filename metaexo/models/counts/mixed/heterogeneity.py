"""Tests of heterogeneity of a mixed model of counts, and profile-likelihood intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metaexo.models.counts.mixed.fit import BETWEEN, CountGLMMFit
from metaexo.models.linear.choices import get_interval
from metaexo.models.linear.fit import Tau2Limits
from metaexo.models.linear.hypothesis import TestResult, make_test
from metaexo.models.multilevel.profile import lower_limit, upper_limit
from metaexo.numeric.counts.formulations import ONE_ARM, RANDOM
from metaexo.numeric.counts.maximum import CountProblem, Place, begin_at, climb
from metaexo.numeric.tails import normal_quantile
from metaexo.types import Array, Mask

METHOD = "profile-likelihood"
# The other scales begin from here as well if they are 0 in the fit, in units of a scale that matters.
NUDGE = 0.3


def wald_test(fit: CountGLMMFit) -> TestResult:
    """Return the Wald test that the studies' own effects do not differ beyond their moderators.

    Cochran's Q, with the standard errors of the saturated model. Studies whose own effect is infinite have an
    infinite standard error: they add nothing, and no degree of freedom.
    """
    found = fit.saturated
    x = fit.design.matrix(fit.k)[found.finite]
    df = int(found.finite.sum()) - fit.design.p
    null = _null(fit, found.finite)
    if df < 1:
        return TestResult(0.0, "chi2", (0.0,), 1.0, null)
    weighted = np.linalg.solve(found.cov, np.column_stack([found.y, x]))
    gram = x.T @ weighted[:, 1:]
    if np.linalg.matrix_rank(gram) < fit.design.p:
        words = f"{null}; not testable, the studies with an estimate do not determine the coefficients"
        return TestResult(np.nan, "chi2", (float(df),), np.nan, words)
    part = x.T @ weighted[:, 0]
    q = float(found.y @ weighted[:, 0] - part @ np.linalg.solve(gram, part))
    return make_test(max(q, 0.0), "chi2", (float(df),), null)


def likelihood_ratio_test(fit: CountGLMMFit) -> TestResult:
    """Return the likelihood-ratio test of equal effects against an effect per study."""
    df = fit.df_residual
    if df < 1:
        return TestResult(0.0, "chi2", (0.0,), 1.0, _null(fit))
    statistic = max(2.0 * (fit.saturated.llf - fit.equal_effects_llf), 0.0)
    return make_test(statistic, "chi2", (df,), _null(fit))


def _null(fit: CountGLMMFit, finite: Mask | None = None) -> str:
    """Return the hypothesis in words, with the number of studies that have an estimate if some have none."""
    who = "all studies"
    if finite is not None and finite.sum() < fit.informative.sum():
        who = f"the {int(finite.sum())} of {fit.k} studies with a finite estimate"
    if fit.design.x is not None:
        return "no residual heterogeneity" + ("" if who == "all studies" else f" in {who}")
    if fit.model == ONE_ARM:
        return f"{who} share one true {'rate' if fit.counts.person_time else 'risk'}"
    return f"{who} share one true effect"


def tau2_limits(fit: CountGLMMFit, level: float, method: str | None) -> Tau2Limits | None:
    """Return the profile-likelihood interval of tau2."""
    if method is not None:
        get_interval(method, (METHOD,))
    if not fit.is_random or fit.df_residual < 1:
        return None
    if fit.correlated and fit.model == RANDOM:
        return Tau2Limits({}, "", "no interval of tau2 where the random effects are correlated")
    at = fit.design.p if fit.model != RANDOM else fit.design.p + 2
    height = profile_of(fit, at)
    drop = 0.5 * normal_quantile(level) ** 2

    def excess(tau: float) -> float:
        return fit.llf - drop - height(tau)

    tau = float(np.sqrt(fit.tau2))
    unit = float(fit.own_formulation.plan.unit[0])
    low, _ = lower_limit(excess, tau, 0.0)
    high, _ = upper_limit(excess, tau, np.inf, unit)
    return Tau2Limits({BETWEEN: (low * low, high * high)}, METHOD)


def coefficient_limits(fit: CountGLMMFit, level: float) -> tuple[Array, Array]:
    """Return the ends of the profile-likelihood intervals of the coefficients, each of shape (p,)."""
    p = fit.design.p
    drop = 0.5 * normal_quantile(level) ** 2
    ends = np.empty((2, p))
    for j in range(p):
        height = profile_of_coefficient(fit, j)

        def excess(value: float, height: Callable[[float], float] = height) -> float:
            return fit.llf - drop - height(value)

        here, step = float(fit.beta[j]), max(float(fit.se[j]), 1e-12)
        ends[0, j] = _end(excess, here, -step)
        ends[1, j] = _end(excess, here, step)
    return ends[0], ends[1]


def _end(excess: Callable[[float], float], here: float, step: float) -> float:
    """Return where the likelihood has fallen far enough, beyond `here` in the direction of `step`."""

    def along(distance: float) -> float:
        return excess(here + distance * step)

    found, _ = upper_limit(along, 0.0, np.inf, 20.0)
    return here + found * step


def profile_of(fit: CountGLMMFit, at: int) -> Callable[[float], float]:
    """Return the highest log-likelihood as a function of one parameter of the search."""
    made = fit.own_formulation
    others = [j for j in range(made.problem.p) if j != at]

    def height(value: float) -> float:
        held = np.zeros((1, made.problem.p))
        held[0, at] = value
        return _highest(fit, made.problem.only(others, held), others, None)

    return height


def profile_of_coefficient(fit: CountGLMMFit, j: int) -> Callable[[float], float]:
    """Return the highest log-likelihood as a function of one coefficient."""
    made = fit.own_formulation
    p, size = fit.design.p, made.problem.p
    row = np.zeros(size)
    row[:p] = made.back[0][j]
    length = float(row @ row)
    free = np.linalg.svd(row[None, :p])[2][1:].T  # coefficients that leave this one as it is
    basis = np.zeros((size, size - 1))
    basis[:p, : p - 1] = free
    basis[p:, p - 1 :] = np.eye(size - p)

    def height(value: float) -> float:
        origin = (value * row / length)[None]
        return _highest(fit, made.problem.along(basis, origin), list(range(size - 1)), basis)

    return height


def _highest(fit: CountGLMMFit, problem: CountProblem, kept: list[int], basis: Array | None) -> float:
    """Return the highest log-likelihood of a problem with one parameter less, begun from the fit."""
    made, psi = fit.own_formulation, fit.maximum.psi[0]
    start = psi[kept] if basis is None else basis.T @ psi
    scales = [i for i, j in enumerate(kept) if (j if basis is None else j + 1) in made.plan.scales]
    nudged = start.copy()
    unit = float(made.plan.unit[0])
    nudged[scales] = np.where(np.abs(start[scales]) < NUDGE * unit, NUDGE * unit, start[scales])
    starts = np.unique(np.stack([start, nudged]), axis=0)
    own = np.broadcast_to(fit.maximum.own, (len(starts), fit.k))
    if len(starts) > 1:
        problem = problem.take(np.zeros(len(starts), dtype=np.intp))
    place: Place = begin_at(problem, starts, own.copy())
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return float(climb(problem, place).value.max())
