"""Mixed models of counts, where the reference is not the better answer.

The likelihoods here share no code with the package: densities from gamma functions, derivatives by parameters
from differences, and the same quadrature as the call has, so that its maximum is that of the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from scipy.special import expit, gammaln, logit, logsumexp, roots_hermitenorm, xlogy

from metaexo.types import Array, Index
from tests.reference.adapters.counts import glmm
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare, demand

Fields = dict[str, Any]
Rule = Callable[[Case, Fields], Comparison]
LIKELIHOOD = ("log_likelihood", "deviance", "AIC", "BIC", "AICc")
# What follows from estimates and standard errors: the reference's optimiser and differences are rough there.
OPTIMISED = (
    "estimate", "se", "statistic", "p_value", "ci_lower", "ci_upper", "tau2", "se_tau2", "I2_percent", "H2",
    "study_variance_sigma2", "QM", "QM_p", "QE_wald", "QE_lrt", "QE_lrt_p",
)  # fmt: skip
# Step of differences by parameters.
STEP = 0.003


def rules_of(case: Case) -> list[Rule]:
    """Return the rules that a case may fall under."""
    return [mixed_model] if case["call"].get("model") == "generalized_linear_mixed" else []


def mixed_model(case: Case, actual: Fields) -> Comparison:
    """Compare a mixed model: each group of fields plainly, and where that differs by a proof of its own."""
    found = Comparison()
    case = without_double_zeros(case, found)
    expected = case["results"]
    groups = (("QE_wald_p",), LIKELIHOOD, OPTIMISED)
    rest = tuple(name for name in expected if not any(name in names for names in groups))
    proofs = (None, other_df, other_likelihood, rough_optimum)
    for names, proof in zip((rest, *groups), proofs, strict=True):
        part = {name: expected[name] for name in names if name in expected}
        plain = compare(actual, part, case["rtol"], case["atol"])
        if plain.different and proof is not None:
            plain = proof(case, actual)
        for name in ("different", "absent", "agreed"):
            setattr(found, name, getattr(found, name) + getattr(plain, name))
    return found


def without_double_zeros(case: Case, found: Comparison) -> Case:
    """Return the case as if the reference had counted the studies that say something alone.

    With an intercept for each study, one without any event, or with events in everyone, has a likelihood of 1
    at an infinite intercept whatever the effect; it adds no degree of freedom, observation or parameter. Kept
    in, the reference counts it in all of these. What follows from its counts must follow from its statistics
    and log-likelihood; then the same is taken from the counts without such studies.
    """
    call, theirs = case["call"], case["results"]
    if call["formulation"] != "UM.FS" or call["measure"] not in ("OR", "IRR") or call["drop_double_zero"]:
        return case
    problem, counts = problem_of(case), glmm.event_counts(case, case["data"])
    silent = int(counts.is_double_zero.sum())
    k, p = len(problem.x), problem.columns.shape[1]
    if theirs["k"] != k + silent or not silent or p > 1:
        return case
    follows = []
    tables = ((counts.events, counts.totals), (problem.x, problem.n))
    for studies, (x, sizes) in zip((k + silent, k), tables, strict=True):
        df, n, parameters = studies - p, 2 * studies, studies + p + problem.random
        room = max(n, parameters + 2)
        lack = -2 * theirs["log_likelihood"]
        cells = [x] if problem.person_time else [x, sizes - x]
        half = np.where(np.any([(cell == 0).any(axis=1) for cell in cells], axis=0), 0.5, 0.0)[:, None]
        w = 1 / np.sum([(1 / (cell + half)).sum(axis=1) for cell in cells], axis=0)
        typical = df * w.sum() / (w.sum() ** 2 - (w**2).sum())
        follows.append(
            {
                "k": studies,
                "QE_df": df,
                "I2_percent": 100 * theirs["tau2"] / (theirs["tau2"] + typical),
                "H2": 1 + theirs["tau2"] / typical,
                "QE_lrt_p": float(stats.chi2.sf(theirs["QE_lrt"], df)),
                "QE_wald_p": float(stats.chi2.sf(theirs["QE_wald"], df)),
                "AIC": lack + 2 * parameters,
                "BIC": lack + np.log(n) * parameters,
                "AICc": lack + 2 * parameters * room / (room - parameters - 1),
            }
        )
    part = compare(theirs, follows[0], 1e-8, 1e-12)
    found.different += part.different
    found.agreed += part.agreed
    return case | {"results": theirs | follows[1]}


# -- the counts, and their likelihood -----------------------------------------------------------------------


class Problem(NamedTuple):
    """The counts of a case, and what is fitted to them."""

    kind: str  # "UM.FS", "UM.RS", "CM.EL", "CM.AL" or "one"
    person_time: bool
    x: Array  # (K, g)
    n: Array  # (K, g)
    columns: Array  # (K, p)
    random: bool
    points: int


def problem_of(case: Case) -> Problem:
    """Return the counts of a case, without rows of no information, and its model."""
    call = case["call"]
    counts = glmm.event_counts(case, case["data"])
    # a row without any event says something on the level of the studies, if that is random
    told = call["formulation"] == "UM.RS" if counts.arms == 2 else True
    if counts.is_double_zero.any() and not told:
        counts = counts.select(~counts.is_double_zero, "double zero")
    columns = [np.ones(counts.k)]
    formula = call.get("moderator_formula")
    if formula:
        columns.append(np.array(counts.data[formula.split("~")[1].strip()], dtype=float))
    two = any(glmm.TWO_EFFECTS in words for words in case.get("r_warnings") or ())
    return Problem(
        call["formulation"] if counts.arms == 2 else "one",
        counts.person_time,
        counts.events,
        counts.totals,
        np.stack(columns, axis=-1),
        not call["tau2_method"].startswith("none"),
        1 if two else 7,
    )


def _choose(n: Array, x: Array) -> Array:
    return np.asarray(gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1))


def _arm(x: Array, n: Array, eta: Array, person_time: bool) -> Array:
    """Return log-densities of counts of arms and their two derivatives by the predictor, (3, K, N)."""
    x, n = x[:, None], n[:, None]
    if person_time:
        mu = n * np.exp(eta)
        return np.stack([xlogy(x, mu) - mu - gammaln(x + 1), x - mu, -mu])
    p = expit(eta)
    return np.stack([_choose(n, x) + x * eta - n * np.logaddexp(0, eta), x - n * p, -n * p * (1 - p)])


def _margins(x: Array, n: Array, eta: Array) -> Array:
    """Return the same of tables with given margins."""
    out = np.empty((3, *eta.shape))
    for i, (own, sizes) in enumerate(zip(x, n, strict=True)):
        m = own.sum()
        at = np.arange(max(0, m - sizes[1]), min(sizes[0], m) + 1)
        logs = _choose(sizes[0], at) + _choose(sizes[1], m - at) + at * eta[i][:, None]
        total = logsumexp(logs, axis=1)
        share = np.exp(logs - total[:, None])
        mean = share @ at
        value = _choose(sizes[0], own[0]) + _choose(sizes[1], own[1]) + own[0] * eta[i] - total
        out[:, i] = value, own[0] - mean, -(share * (at - mean[:, None]) ** 2).sum(axis=1)
    return out


def density(problem: Problem, theta: Array, z: Array) -> tuple[Array, Array, Array]:
    """Return the log-density of the counts of each study at random variables z, (K, N, Q).

    As values (K, N), gradients (K, N, Q) and Hessians (K, N, Q, Q) by z. `theta`, (K, d): effect, tau, then
    level (and sigma) in unconditional models.
    """
    x, n = problem.x, problem.n
    effect, tau = theta[:, :1], theta[:, 1]
    loads = [tau[:, None]]  # of the arms: by how much each random variable moves the predictor
    if problem.kind.startswith("UM"):
        level, half = theta[:, 2:3], 0.5 * tau[:, None]
        loads = [half, -half]
        if problem.kind == "UM.RS":
            loads = [np.column_stack([half, theta[:, 3]]), np.column_stack([-half, theta[:, 3]])]
        fixed = [level + effect, level]
    else:
        fixed = [effect]
        if problem.kind == "CM.AL" or (problem.kind == "CM.EL" and problem.person_time):
            fixed = [effect + np.log(n[:, 0] / n[:, 1])[:, None]]
    eta = [base + np.einsum("kq,knq->kn", load, z) for base, load in zip(fixed, loads, strict=True)]
    if problem.kind == "CM.EL" and not problem.person_time:
        parts = [_margins(x, n, eta[0])]
    elif problem.kind.startswith("CM"):
        parts = [_arm(x[:, 0], x.sum(axis=1), eta[0], person_time=False)]
    else:
        parts = [_arm(x[:, a], n[:, a], one, problem.person_time) for a, one in enumerate(eta)]
    value = sum(part[0] for part in parts)
    slope = sum(part[1][..., None] * load[:, None] for part, load in zip(parts, loads, strict=True))
    outer = [load[:, None, :, None] * load[:, None, None, :] for load in loads]
    bend = sum(part[2][..., None, None] * one for part, one in zip(parts, outer, strict=True))
    return np.asarray(value), np.asarray(slope), np.asarray(bend)


def integrated(problem: Problem, theta: Array) -> Array:
    """Return the log-likelihood of each study, (K,): adaptive Gauss-Hermite."""
    z, spread = modes(problem, theta)
    q = z.shape[-1]
    nodes, weights = roots_hermitenorm(problem.points)
    grid = np.stack(np.meshgrid(*[nodes] * q, indexing="ij")).reshape(q, -1)
    logs = sum(np.meshgrid(*[np.log(weights / weights.sum())] * q, indexing="ij")).ravel()
    root = np.linalg.cholesky(spread)
    at = z[:, None] + np.einsum("kqr,rn->knq", root, grid)
    height = density(problem, theta, at)[0] - 0.5 * (at**2).sum(axis=-1) + logs + 0.5 * (grid**2).sum(axis=0)
    return np.asarray(logsumexp(height, axis=1) + 0.5 * np.linalg.slogdet(spread)[1])


def modes(problem: Problem, theta: Array) -> tuple[Array, Array]:
    """Return the modes of the integrands, (K, Q), and their covariances."""
    q = 2 if problem.kind == "UM.RS" else 1
    z = np.zeros((len(theta), q))
    for _ in range(60):
        _, slope, bend = density(problem, theta, z[:, None])
        spread = np.linalg.inv(np.eye(q) - bend[:, 0])
        step = (spread @ (slope[:, 0] - z)[..., None])[..., 0]
        z = z + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-10:
            break
    _, _, bend = density(problem, theta, z[:, None])
    return z, np.linalg.inv(np.eye(q) - bend[:, 0])


class Optimum(NamedTuple):
    """The maximum of the likelihood."""

    parameters: Array  # coefficients, then tau and sigma and level where they are in the model
    cov: Array  # their covariance, by the observed information
    value: float


def maximise(problem: Problem, start: Array, free: Index, own: Array | None) -> Optimum:
    """Return the maximum over the free parameters, begun near it; intercepts of studies are profiled.

    `start`: coefficients, tau, and with random intercepts level and sigma; `own`, (K,), the intercepts.
    """
    p = problem.columns.shape[1]
    k, d = len(problem.columns), 2 + (problem.kind == "UM.FS") + 2 * (problem.kind == "UM.RS")
    design = np.zeros((k, d, start.size))
    design[:, 0, :p] = problem.columns
    design[:, np.arange(1, start.size - p + 1), np.arange(p, start.size)] = 1.0
    parameters = start.copy()
    for _ in range(40):
        theta = design @ parameters
        if own is not None:
            theta[:, 2] = own
        value, slope, bend = _differences(lambda at: integrated(problem, at), theta)
        turn = np.zeros((k, d))
        if own is not None:
            ahead = slope[:, 2] / -bend[:, 2, 2]
            turn = bend[:, 2] / -bend[:, 2, 2][:, None]
            slope = slope + turn * slope[:, 2:3]
            bend = bend + turn[:, :, None] * bend[:, 2:3, :]
        gradient = np.einsum("kdp,kd->p", design, slope)[free]
        hessian = np.einsum("kdp,kde,keq->pq", design, bend, design)[np.ix_(free, free)]
        step = np.zeros(start.size)
        step[free] = np.linalg.solve(-hessian, gradient)
        parameters = parameters + step
        if own is not None:
            own = own + ahead + np.einsum("kd,kd->k", turn, design @ step)
        if gradient @ step[free] < 1e-9:
            break
    cov = np.zeros((start.size, start.size))
    cov[np.ix_(free, free)] = np.linalg.inv(-hessian)
    return Optimum(parameters, cov, float(value.sum()))


def _differences(function: Callable[[Array], Array], theta: Array) -> tuple[Array, Array, Array]:
    """Return values (K,), gradients and Hessians of studies, by extrapolated central differences."""
    k, d = theta.shape
    here = function(theta)
    slopes, bends = [], []
    for step in (STEP, 2 * STEP):
        moved = step * np.eye(d)
        ends = [(function(theta + moved[j]), function(theta - moved[j])) for j in range(d)]
        bend = np.empty((k, d, d))
        for i in range(d):
            bend[:, i, i] = (ends[i][0] - 2 * here + ends[i][1]) / step**2
            for j in range(i):
                corners = [
                    a * b * function(theta + a * moved[i] + b * moved[j]) for a in (1, -1) for b in (1, -1)
                ]
                bend[:, i, j] = bend[:, j, i] = sum(corners) / (4 * step**2)
        slopes.append(np.stack([(up - down) / (2 * step) for up, down in ends], axis=-1))
        bends.append(bend)
    return here, (4 * slopes[0] - slopes[1]) / 3, (4 * bends[0] - bends[1]) / 3


def optimum_near(case: Case, fields: Fields) -> tuple[Problem, Optimum]:
    """Return the maximum near the estimates of a result."""
    problem = problem_of(case)
    p, tau = problem.columns.shape[1], float(np.sqrt(fields["tau2"]))
    parts = [np.array(fields["estimate"], dtype=float), [tau]]
    free = list(range(p)) + ([p] if tau > 1e-3 else [])
    rough = _rough_levels(problem, parts[0])
    if problem.kind == "UM.RS":
        sigma = float(np.sqrt(fields["study_variance_sigma2"]))
        parts += [[rough.mean()], [sigma]]
        free += [p + 1] + ([p + 2] if sigma > 1e-3 else [])
        if tau <= 1e-3:
            parts[1] = [0.0]
    elif tau <= 1e-3:
        parts[1] = [0.0]
    own = rough if problem.kind == "UM.FS" else None
    start = np.concatenate(parts)
    if problem.kind == "UM.RS":  # the level first: the rest is near already
        start = maximise(problem, start, np.array([p + 1]), None).parameters
    return problem, maximise(problem, start, np.array(free), own)


def _rough_levels(problem: Problem, beta: Array) -> Array:
    """Return rough intercepts of the studies: the log rate or log odds of both arms, given the effect."""
    x, n = problem.x.sum(axis=1), problem.n.sum(axis=1)
    rate = np.log((x + 0.5) / n) if problem.person_time else logit((x + 0.5) / (n + 1))
    return np.asarray(rate - 0.5 * (problem.columns @ beta))


# -- the rules ----------------------------------------------------------------------------------------------


def other_df(case: Case, actual: Fields) -> Comparison:
    """The Wald test of heterogeneity has a degree of freedom for each study with an estimate of its own.

    A study with a zero cell has an infinite estimate with an infinite standard error: it adds 0 to the
    statistic with certainty. With the degrees of freedom that the reference counts the statistic must give
    its p, and with those of the studies that have an estimate ours. Where the statistic differs, which the
    rule of rough optima decides, each p must be that of its own.
    """
    found = Comparison()
    problem, theirs = problem_of(case), case["results"]
    x, n = problem.x, problem.n
    cells = x if problem.person_time else np.concatenate([x, n - x], axis=1)
    if problem.kind == "CM.AL":
        cells = x
    if problem.kind == "UM.RS":  # the arms without information on the effect of their study
        cells = cells[:, [0]] if problem.person_time else cells[:, [0, 2]]
    finite = int((cells > 0).all(axis=1).sum())
    p = problem.columns.shape[1]
    differs = compare(actual, {"QE_wald": theirs["QE_wald"]}, case["rtol"], case["atol"]).different
    demand(found, "every study has an estimate of its own", finite < len(x) or bool(differs))
    for fields, df in ((theirs, len(x) - p), (actual, finite - p)):
        p_value = float(stats.chi2.sf(fields["QE_wald"], df)) if df > 0 else 1.0
        demand(found, f"p of {df} df is {p_value!r}", abs(fields["QE_wald_p"] - p_value) <= 1e-9)
    return found


def other_likelihood(case: Case, actual: Fields) -> Comparison:
    """The reference's log-likelihood is not that of the model, if it used more than one quadrature point.

    With estimated or conditioned intercepts it is that of the counts at the modes of the random effects, not
    integrated; with random intercepts it lacks the log-likelihood of the saturated counts. Ours must be the
    integral, by an integration of its own, and AIC, BIC and AICc follow from it as theirs from theirs.
    """
    theirs = case["results"]
    problem, best = optimum_near(case, actual)
    found = Comparison()
    ours = actual["log_likelihood"]
    demand(found, f"the integral is {best.value!r}, ours {ours!r}", abs(best.value - ours) < 1e-6 * abs(ours))
    demand(found, "a single point", problem.points > 1)
    off = 2 * (ours - theirs["log_likelihood"])
    for name in ("AIC", "BIC", "AICc"):
        part = abs(actual[name] + off - theirs[name]) < 1e-6 * abs(theirs[name])
        demand(found, f"{name}: {actual[name]!r} does not follow", part)
    if problem.kind == "UM.RS":
        x, n = problem.x, problem.n
        if problem.person_time:
            own = xlogy(x, x) - x - gammaln(x + 1)
        else:
            own = _choose(n, x) + xlogy(x, x / n) + xlogy(n - x, 1 - x / n)
        rest = theirs["log_likelihood"] + own.sum()
        demand(found, f"with the constants theirs is {rest!r}", abs(rest - ours) < 1e-4)
        part = compare(actual, {"deviance": theirs["deviance"]}, case["rtol"], case["atol"])
        found.different += part.different
        found.agreed += part.agreed
        return found
    demand(found, "the deviance does not follow", abs(actual["deviance"] + off - theirs["deviance"]) < 1e-4)
    p = problem.columns.shape[1]
    given = []
    for beta, tau in (
        (best.parameters[:p], best.parameters[p]),
        (np.array(theirs["estimate"], dtype=float), np.sqrt(theirs["tau2"])),
    ):
        theta = _theta(problem, beta, tau)
        z, _ = modes(problem, theta)
        given.append(float(density(problem, theta, z[:, None])[0].sum()))
    # it falls as tau grows, at the maximum too: an estimate that is off shows in it
    words = f"the counts have {given} at the modes, the reference {theirs['log_likelihood']!r}"
    demand(found, words, min(abs(value - theirs["log_likelihood"]) for value in given) < 5e-3)
    return found


def _theta(problem: Problem, beta: Array, tau: float) -> Array:
    """Return the parameters of each study at an effect and a tau, with its most likely intercept."""
    theta = np.column_stack([problem.columns @ beta, np.full(len(problem.x), tau)])
    return np.column_stack([theta, _own_levels(problem, theta)]) if problem.kind == "UM.FS" else theta


def _own_levels(problem: Problem, theta: Array) -> Array:
    """Return the most likely intercepts of the studies at an effect and a tau, by Newton in differences."""
    level = _rough_levels(problem, np.zeros(problem.columns.shape[1])) - 0.5 * theta[:, 0]
    for _ in range(50):
        at = np.column_stack([theta, level])
        _, slope, bend = _differences(lambda one: integrated(problem, one), at)
        step = slope[:, 2] / -bend[:, 2, 2]
        level = level + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-8:
            break
    return level


def rough_optimum(case: Case, actual: Fields) -> Comparison:
    """The reference's optimiser stops early, and its standard errors come from differences.

    A maximum that is found by differences must be ours, standard errors and all to 1e-4 (in units of standard
    errors for estimates), and nearer to ours than to theirs. Theirs must be near (standard errors to 2%), or,
    if its study effects are parameters, have a lower likelihood, by the same integral. A study without events
    in an arm has an infinite effect: it adds 0 to the Wald test, but where the reference stops on the way
    there with random intercepts its statistic has some more, and ours must be that of the other studies.
    """
    theirs, found = case["results"], Comparison()
    problem, best = optimum_near(case, theirs if problem_near(theirs, actual) else actual)
    p = problem.columns.shape[1]
    se = np.sqrt(np.diagonal(best.cov)[:p])
    ours_se, theirs_se = np.array(actual["se"]), np.array(theirs["se"], dtype=float)
    beta, theirs_beta = np.array(actual["estimate"]), np.array(theirs["estimate"], dtype=float)
    off, off_theirs = np.abs(ours_se / se - 1).max(), np.abs(theirs_se / se - 1).max()
    demand(found, f"our standard errors are off by {off:.1e}", bool(off < 1e-4))
    differ = compare(actual, {"se": theirs["se"]}, case["rtol"], case["atol"]).different
    words = f"those of the reference are off by {off_theirs:.1e} only"
    demand(found, words, bool(off <= off_theirs + 1e-7) or not differ)
    moved = np.abs((beta - best.parameters[:p]) / se).max()
    demand(found, f"our estimates are off by {moved:.1e} standard errors", bool(moved < 1e-4))
    lower = problem.kind == "UM.FS" and problem.random and lower_at(problem, theirs, best)
    near = np.abs((theirs_beta - beta) / se).max() < 0.01
    demand(found, "the reference is not near", bool(near or lower))
    near = np.abs(theirs_se / ours_se - 1).max() < 0.02
    demand(found, "standard errors of the reference are not near", bool(near or lower))
    tau2 = best.parameters[p] ** 2 if problem.random else 0.0
    demand(
        found, f"tau2 is {tau2!r}, ours {actual['tau2']!r}", abs(tau2 - actual["tau2"]) < 1e-5 * (1 + tau2)
    )
    near = abs(theirs["tau2"] - actual["tau2"]) < 1e-3 * (1 + tau2)
    demand(found, "tau2 of the reference is not near", near or lower)
    if problem.kind == "UM.RS":
        sigma2 = best.parameters[p + 2] ** 2
        ours = actual["study_variance_sigma2"]
        demand(found, f"sigma2 is {sigma2!r}, ours {ours!r}", abs(sigma2 - ours) < 1e-5 * (1 + sigma2))
        near = abs(theirs["study_variance_sigma2"] - ours) < 1e-3 * (1 + sigma2)
        demand(found, "sigma2 of the reference is not near", near)
    tested = slice(1, None) if p > 1 else slice(0, 1)
    moderators = best.parameters[:p][tested]
    q_of_moderators = float(moderators @ np.linalg.solve(best.cov[:p, :p][tested, tested], moderators))
    values = {"QM": q_of_moderators}
    if compare(actual, {"QE_wald": theirs["QE_wald"]}, case["rtol"], case["atol"]).different:
        values["QE_wald"] = wald_q(problem)
    for name, value in values.items():
        off = abs(value - actual[name])
        demand(found, f"{name} is {value!r}, ours {actual[name]!r}", off < 3e-4 * max(abs(value), 1e-3))
        near = abs(np.sqrt(theirs[name] / value) - 1) < 0.02 or (lower and name == "QM")
        more = name == "QE_wald" and problem.kind == "UM.RS" and infinite(problem).any()
        near = near or (more and theirs[name] > value)
        demand(found, f"{name} of the reference is not near: {theirs[name]!r}", bool(near))
    lrt = compare(actual, {"QE_lrt": theirs["QE_lrt"]}, 1e-3, 1e-4)
    found.different += lrt.different
    return found


def lower_at(problem: Problem, theirs: Fields, best: Optimum) -> bool:
    """Say whether the reference's estimates have a lower likelihood than the maximum, beyond rounding."""
    theta = _theta(problem, np.array(theirs["estimate"], dtype=float), float(np.sqrt(theirs["tau2"])))
    return float(integrated(problem, theta).sum()) < best.value - 1e-7


def infinite(problem: Problem) -> Index:
    """Return which studies have an infinite effect beside a random level: no event, or all, when treated."""
    x, n = problem.x[:, 0], problem.n[:, 0]
    return np.asarray((x == 0) if problem.person_time else (x == 0) | (x == n))


def wald_q(problem: Problem) -> float:
    """Return the Wald test of heterogeneity from the saturated model, each study with its own effect."""
    x, n, columns = problem.x, problem.n, problem.columns
    equal = problem._replace(random=False)
    if problem.kind == "UM.RS":
        silent = infinite(problem)
        control = x[:, 1] + 0.5
        rough = np.log(control / n[:, 1]) if problem.person_time else logit(control / (n[:, 1] + 1))
        drop = np.where(silent, 0.0, 1.0)[:, None] * np.array([[1.0, 0.0]]) + np.array([[0.0, 1.0]])
        equal = equal._replace(x=x * drop, n=n * drop, columns=np.eye(len(x))[:, ~silent])
        size = int((~silent).sum())
        start = np.concatenate(
            [_differing(problem)[~silent], [0.0, rough.mean(), max(float(rough.std()), 0.3)]]
        )
        given = [*range(size), size + 1]
        starts = [start, maximise(equal, start, np.array(given), None).parameters]
        climbs = [maximise(equal, one, np.array([*given, size + 2]), None) for one in starts]
        best = max(climbs, key=lambda one: one.value if np.isfinite(one.value) else -np.inf)
        y, cov, columns = best.parameters[:size], best.cov[:size, :size], columns[~silent]
    else:
        cells = x if problem.person_time or problem.kind == "CM.AL" else np.concatenate([x, n - x], axis=1)
        finite = (cells > 0).all(axis=1)
        some = equal._replace(x=x[finite], n=n[finite], columns=columns[finite])
        y, columns = _differing(some), columns[finite]
        if problem.kind.startswith("CM"):
            y, v = _conditional(some, y)
        elif problem.person_time:
            v = (1 / some.x).sum(axis=1)
        else:
            v = (1 / some.x + 1 / (some.n - some.x)).sum(axis=1)
        cov = np.diag(v)
    weights = np.linalg.inv(cov)
    rest = y - columns @ np.linalg.solve(columns.T @ weights @ columns, columns.T @ weights @ y)
    return float(rest @ weights @ rest)


def _differing(problem: Problem) -> Array:
    """Return the effects of the studies by their own counts, 1/2 added to counts of 0."""
    x, n = np.where(problem.x == 0, 0.5, problem.x), problem.n
    rate = np.log(x / n) if problem.person_time else np.log(x / np.maximum(n - x, 0.5))
    return np.asarray(rate[:, 0] if rate.shape[1] == 1 else rate[:, 0] - rate[:, 1])


def _conditional(problem: Problem, start: Array) -> tuple[Array, Array]:
    """Return the most likely effects of the studies given their margins, and their variances."""
    y, nothing = start, np.zeros((len(start), 1, 1))
    for _ in range(50):

        def one(at: Array) -> Array:
            return density(problem, np.column_stack([at, np.zeros(len(at))]), nothing)[0][:, 0]

        _, slope, bend = _differences(one, y[:, None])
        step = slope[:, 0] / -bend[:, 0, 0]
        y = y + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-9:
            break
    return y, -1 / bend[:, 0, 0]


def problem_near(theirs: Fields, actual: Fields) -> bool:
    """Say whether both have the same variances at 0, so that one climb may begin at either."""
    names = ("tau2", "study_variance_sigma2")
    return all(((theirs[n] or 0) > 1e-6) == ((actual[n] or 0) > 1e-6) for n in names)
