"""Tests and profiles of tau2 where the reference's value rests on a tau2 or a likelihood that is no maximum.

Ours is checked by dense matrices and by a grid, without the package's own code; the reference's value must be
explained by the place where it stopped.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.reference.adapters.model_tests import OF_TAU2, effects_of, fit_formula
from tests.reference.adapters.models import rows_used
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare, demand

Fields = dict[str, Any]

SCORE = "test for heteroscedastic heterogeneity (score"
LIKELIHOOD_RATIO = "test for heteroscedastic heterogeneity (likelihood"
PROFILE = "profile log-likelihood of tau2"
# The reference stops when tau2 moves by less than this.
THRESHOLD = 1e-5
# Shares of a typical sampling variance below which a tau2 stands for 0.
NOTHING = 1e-6
EXACT = 1e-8
GRID = 20_001
# An optimiser that stops early may leave such a share of the statistic.
STOPPED = 0.02
# Variances that an optimiser with an absolute tolerance of about 1e-8 cannot tell apart.
UNSEEN = 1e-6


def data_of(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Return effects and variances of the rows that a case uses."""
    used = rows_used(case, case["data"])
    return tuple(np.array(case["data"][name], dtype=float)[used] for name in ("yi", "vi"))  # type: ignore[return-value]


def demand_tail(found: Comparison, actual: Fields) -> None:
    """Demand that a p-value is the upper tail of chi-square."""
    from scipy.special import chdtrc

    tail = float(chdtrc(actual["df"], actual["statistic"]))
    demand(found, f"p {actual['p']!r} is not {tail!r}", math.isclose(actual["p"], tail, rel_tol=EXACT))


# -- likelihood ratio of a variance a study -----------------------------------------------------------------


def local_maximum(case: Case, actual: Fields) -> Comparison:
    """The likelihood with a variance a study has several maxima: the reference is at a lower one, or below.

    Given the mean m, that likelihood is highest at tau2_i = max(0, (y_i - m)^2 - v_i). A grid over m finds
    all maxima; ours must be the highest, the reference's one of them or just below. Where the variances are
    below what an optimiser's absolute tolerance can see, it may stop anywhere on the way up.
    """
    expected = case["results"]
    found = compare(actual, {"df": expected["df"]}, case["rtol"], case["atol"])
    y, v = data_of(case)
    heights = np.array([2 * height for height in maxima_over_means(y, v)])
    heights -= 2 * highest_with_one_variance(y, v)
    ours, theirs = actual["statistic"], expected["statistic"]
    demand(
        found,
        f"statistic {ours!r} is not the highest, {heights.max()!r}",
        math.isclose(ours, heights.max(), rel_tol=EXACT),
    )
    demand(found, f"statistic {theirs!r} is above ours", theirs < ours)
    demand_tail(found, actual)
    if np.median(v) < UNSEEN:
        demand(found, f"statistic {theirs!r} is below its start", theirs > -EXACT)
        return found
    from_below = np.min(np.where(heights >= theirs * (1 - 1e-4), heights, np.inf))
    demand(found, f"statistic {theirs!r} is at no maximum: {heights}", from_below <= theirs * (1 + STOPPED))
    return found


def maxima_over_means(y: np.ndarray, v: np.ndarray) -> list[float]:
    """Return the local maxima of the log-likelihood with a mean and a variance a study."""
    from scipy.optimize import minimize_scalar

    def heights(means: np.ndarray) -> np.ndarray:
        square = (y - means[:, None]) ** 2
        total = np.maximum(v, square)
        return np.asarray(-0.5 * (np.log(2 * math.pi * total) + square / total).sum(axis=1))

    # even steps, and steps that are fine where a study with a small variance changes its part
    near = y[:, None] + np.sqrt(v)[:, None] * np.linspace(-3, 3, 301)
    grid = np.unique(np.concatenate([np.linspace(y.min(), y.max(), GRID), near.ravel()]))
    grid = grid[(grid >= y.min()) & (grid <= y.max())]
    values = heights(grid)
    inner = np.flatnonzero((values[1:-1] >= values[:-2]) & (values[1:-1] >= values[2:])) + 1
    found = []
    for i in inner:
        refined = minimize_scalar(
            lambda m: -float(heights(np.array([m]))[0]),
            bounds=(grid[i - 1], grid[i + 1]),
            method="bounded",
            options={"xatol": 1e-12 * float(np.ptp(y))},
        )
        found.append(max(values[i], -float(refined.fun)))
    return found


def highest_with_one_variance(y: np.ndarray, v: np.ndarray) -> float:
    """Return the highest log-likelihood with one tau2, by a grid that is refined."""

    def height(tau2: float) -> float:
        w = 1 / (v + tau2)
        mean = w @ y / w.sum()
        return float(-0.5 * (np.log(2 * math.pi / w) + w * (y - mean) ** 2).sum())

    return refined_maximum(height, largest_tau2(y, v))


def largest_tau2(y: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return a grid of tau2 from 0 to far beyond the spread of the effects."""
    top = 10 * (float(np.ptp(y)) ** 2 + float(v.max()))
    return np.concatenate([[0.0], np.geomspace(1e-12 * float(v.min()), top, 4001)])


def refined_maximum(height: Any, grid: np.ndarray) -> float:
    """Return the highest value on a grid, refined between its neighbours."""
    from scipy.optimize import minimize_scalar

    values = np.array([height(point) for point in grid])
    best = int(values.argmax())
    low, high = grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)]
    found = minimize_scalar(
        lambda t: -height(t), bounds=(low, high), method="bounded", options={"xatol": 1e-12 * high}
    )
    return max(float(values[best]), -float(found.fun))


# -- score test ---------------------------------------------------------------------------------------------


def loose_tau2(case: Case, actual: Fields) -> Comparison:
    """The score statistic at a tau2 where the reference's iteration stopped short of the maximum.

    Ours must be the statistic of dense matrices at a tau2 without slope. The reference's must be the same
    formula at a tau2 that its threshold lets pass, where the likelihood is lower.
    """
    from scipy.optimize import brentq

    expected = case["results"]
    found = compare(actual, {"df": expected["df"]}, case["rtol"], case["atol"])
    y, v = data_of(case)
    fit = fit_formula(case, case["data"])
    tau2, unit = fit.tau2, float(np.median(v))
    ours = score_statistic(y, v, tau2)
    same = math.isclose(actual["statistic"], ours, rel_tol=1e-6)
    demand(found, f"statistic {actual['statistic']!r} is not {ours!r}", same)
    demand_tail(found, actual)
    slope = unit * restricted_slope(y, v, tau2)
    demand(found, f"slope {slope!r} at ours", slope < 1e-7 if tau2 == 0 else abs(slope) < 1e-7)
    if found.different:
        return found
    reach = np.linspace(max(0.0, tau2 - THRESHOLD), min(tau2 + THRESHOLD, tau2 + 1e3 * unit), 2001)
    away = np.array([score_statistic(y, v, t) for t in reach]) - expected["statistic"]
    change = np.flatnonzero(np.sign(away[:-1]) != np.sign(away[1:]))
    demand(found, "no tau2 within the threshold gives the reference's statistic", change.size > 0)
    for i in change[:1]:
        there = brentq(lambda t: score_statistic(y, v, t) - expected["statistic"], reach[i], reach[i + 1])
        off = abs(unit * restricted_slope(y, v, there))
        demand(found, f"the reference's tau2 {there!r} is a maximum as well", off > 100 * abs(slope))
    return found


def dense_projector(v: np.ndarray, tau2: float) -> np.ndarray:
    """Return W - W 1 (1'W1)^-1 1'W."""
    w = 1 / (v + tau2)
    return np.diag(w) - np.outer(w, w) / w.sum()


def restricted_slope(y: np.ndarray, v: np.ndarray, tau2: float) -> float:
    """Return the derivative of the restricted log-likelihood in tau2."""
    projector = dense_projector(v, tau2)
    return float(0.5 * (((projector @ y) ** 2).sum() - np.trace(projector)))


def score_statistic(y: np.ndarray, v: np.ndarray, tau2: float) -> float:
    """Return the score statistic for a tau2 a study, in units of v + tau2."""
    root = np.sqrt(v + tau2)
    projector = root[:, None] * dense_projector(v, tau2) * root
    score = (projector @ (y / root)) ** 2 - np.diagonal(projector)
    return float(0.5 * score @ np.linalg.pinv(projector**2, hermitian=True) @ score)


def not_testable(case: Case, actual: Fields) -> Comparison:
    """One residual degree of freedom tells nothing of two variances: the information is singular."""
    found = compare(actual, {"df": case["results"]["df"]}, case["rtol"], case["atol"])
    y, v = data_of(case)
    demand(found, f"{y.size} studies", y.size == 2)
    projector = dense_projector(v, fit_formula(case, case["data"]).tau2)
    demand(found, "the information has full rank", np.linalg.matrix_rank(projector**2, hermitian=True) < 2)
    demand(found, "we return a statistic", math.isnan(actual["statistic"]) and math.isnan(actual["p"]))
    return found


# -- profile ------------------------------------------------------------------------------------------------


def grid_above_zero(case: Case, actual: Fields) -> Comparison:
    """The reference's grid has multiples of a tau2 that stands for 0: they are one point."""
    expected = case["results"]
    fit = fit_formula(case, case["data"])
    tiny = NOTHING * float(np.median(effects_of(case, case["data"]).v))
    grid = np.array(expected["tau2"])
    extra = (grid > 0) & (grid < tiny)
    thin = {
        name: [value for value, drop in zip(column, extra, strict=True) if not drop]
        if isinstance(column, list)
        else column
        for name, column in expected.items()
    }
    found = compare(actual, thin, case["rtol"], case["atol"])
    demand(found, "our tau2 is not 0", fit.tau2 == 0 and fit.certificate.at_boundary)
    demand(
        found,
        "no multiples of one tau2",
        extra.sum() == len(OF_TAU2)
        and np.allclose(grid[extra] / grid[extra][0], np.array(OF_TAU2) / OF_TAU2[0]),
    )
    heights = np.array(expected["log_likelihood"])
    level = np.allclose(heights[extra], heights[~extra][0], rtol=case["rtol"], atol=1e-6)
    demand(found, "the likelihood there is not that at 0", level)
    return found


def rules_of(case: Case) -> list[Any]:
    """Return the rules that a case of the topic tests may fall under."""
    asked, results = case["call"]["statistic"], case["results"]
    if asked.startswith(LIKELIHOOD_RATIO):
        return [local_maximum]
    if asked.startswith(SCORE):
        return [not_testable if results["df"] == 1 else loose_tau2]
    return [grid_above_zero] if asked.startswith(PROFILE) else []
