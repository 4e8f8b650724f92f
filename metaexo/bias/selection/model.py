"""selection_model: what is asked for is read, the model fitted, and what is not identified said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from metaexo.bias.estimates import Estimates, estimates_of
from metaexo.bias.selection.fitting import (
    ALTERNATIVES,
    HARDLY_ANY,
    SAME,
    STEEP,
    Fitted,
    Parts,
    Shape,
    Solution,
    Standard,
    covariance,
    cuts_of,
    estimated_truncation,
    log_norm,
    make_parts,
    plain_maximum,
    pvalues_of,
    quadrature_error,
    solve,
    standard_units,
)
from metaexo.bias.selection.results import (
    PlainFit,
    SelectionCertificate,
    SelectionCoefficients,
    SelectionModel,
)
from metaexo.effects.sample_sizes import sample_sizes
from metaexo.errors import InputError, TooFewStudiesError, UnknownChoiceError, nearest_word
from metaexo.formatting import plural
from metaexo.inputs import check_number, read_numbers
from metaexo.models.linear.hypothesis import (
    TestResult,
    WaldInference,
    make_test,
    two_sided_pvalues,
    wald_statistics,
)
from metaexo.numeric.selection.smooth import KINDS
from metaexo.numeric.selection.steps import NEVER, Steps
from metaexo.numeric.tails import normal_quantile
from metaexo.types import Array

TRUNCATED = ("truncated", "truncated-estimated")
WEIGHTS = ("step", *KINDS, *TRUNCATED)
SYNONYMS = {
    **dict.fromkeys(("stepfun", "step-function", "steps", "3psm", "vevea-hedges"), "step"),
    **dict.fromkeys(("halfnorm", "halfnormal"), "half-normal"),
    **dict.fromkeys(("negexp", "exponential"), "negative-exponential"),
    **dict.fromkeys(("negexppow", "negative-exponential-powers"), "negative-exponential-power"),
    **dict.fromkeys(("trunc", "truncation"), "truncated"),
    "truncest": "truncated-estimated",
}
PRECISIONS = {
    **dict.fromkeys(("se", "sei"), "se"),
    **dict.fromkeys(("v", "vi", "variance"), "variance"),
    **dict.fromkeys(("ninv", "1/n"), "1/n"),
    **dict.fromkeys(("sqrtninv", "1/sqrt(n)"), "1/sqrt(n)"),
}
WITHOUT_PRECISION = ("step", "beta", *TRUNCATED)
# A change of the log-likelihood with finer quadrature above which the result says so.
INEXACT = 1e-7
# p-values at which results are commonly called significant, one-sided and two-sided.
USUAL_CUTS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)


def selection_model(
    results: Any,
    weights: str = "step",
    cuts: float | Sequence[float] | None = None,
    *,
    alternative: str | None = None,
    precision: str | ArrayLike | None = None,
    delta: Sequence[float | None] | ArrayLike | None = None,
    tau2: float | str | None = None,
    level: float | None = None,
) -> SelectionModel:
    r"""Fit a publication selection model: the mean before results were selected by their p-values.

    Use it to see how large the pooled effect might be if significant results were reported more often than
    others, and to test whether they were. With few studies it tells little: weights that are fixed beforehand
    (``delta=``), from moderate to severe selection, then make a sensitivity analysis.

    An effect :math:`y_i \sim N(x_i'\beta, \tau^2 + v_i)` with p-value :math:`p_i` is seen with a probability
    proportional to :math:`w(p_i)`, so that the density of those that are seen is

    .. math:: \frac{w(p_i)\, \phi((y_i - x_i'\beta)/\sqrt{\tau^2 + v_i})}{\int w(p)\,
        \phi((y - x_i'\beta)/\sqrt{\tau^2 + v_i})\, dy}

    All parameters are estimated together by maximum likelihood, from several starts by Newton's method with
    analytic gradient and Hessian; `certificate` says what is known of the maximum. The integrals are closed
    forms for steps and truncation, else Gauss-Legendre quadrature, whose error the certificate states.

    Parameters
    ----------
    results : fit of any model, or EffectSizes
        What the effects are taken from. Moderators of the fit are kept; its random effects are replaced by
        one between-study variance.
    weights : str
        The weight function. "step": constant between `cuts`, :math:`w = \delta_j`; with the one cut 0.025 it
        is the three-parameter model. "beta": :math:`p^{\delta_1 - 1} (1 - p)^{\delta_2 - 1}`. "half-normal":
        :math:`\exp(-\delta p^2)`. "negative-exponential": :math:`\exp(-\delta p)`. "logistic":
        :math:`2 e^{-\delta p} / (1 + e^{-\delta p})`. "power": :math:`(1 - p)^\delta`.
        "negative-exponential-power": :math:`\exp(-\delta_1 p^{1/\delta_2})`. "truncated": 1 for effects
        beyond `cuts` in the favoured direction, :math:`\delta` for others; "truncated-estimated": the same
        with the truncation point as :math:`\delta_2`. metafor's names (stepfun, halfnorm, negexp, negexppow,
        trunc, truncest) are understood.
    cuts : float or sequence of float, optional
        For "step" the p-values that end a step, default 0.025; a final 1 may be left out. For smooth weights
        one p-value up to which the weight is 1; default none. For "truncated" the effect, default 0.
    alternative : {"greater", "less", "two-sided"}, optional
        Which results are favoured: p-values are one-sided in that direction, or two-sided. Default: the
        direction of benefit for oriented effects, else that of the fixed-effect mean.
    precision : {"se", "variance", "1/n", "1/sqrt(n)"} or array_like, shape (k,), optional
        What the parameter of half-normal and similar weights is multiplied by, so that small studies are
        selected more severely; it is divided by its largest value. Also "sei", "vi", "ninv", "sqrtninv".
    delta : sequence of float or None, optional
        Parameters of the weights that are fixed, None for those to be estimated. For steps one per step, the
        first being 1.
    tau2 : float or "estimated", optional
        Between-study variance: estimated, or fixed, 0 for equal effects. Default: as in the fit.
    level : float, optional
        Level of intervals; default that of the fit, or 0.95.

    Returns
    -------
    SelectionModel
        The adjusted mean, the weights, tests and the certificate.

    Raises
    ------
    InputError
        If cuts, precision, weights or a variance are not usable.
    UnknownChoiceError
        If a word is not known.
    TooFewStudiesError
        If there are fewer effects than coefficients and variances.

    References
    ----------
    Vevea, J. L., Hedges, L. V. (1995). A general linear model for estimating effect size in the presence of
    publication bias. Psychometrika 60, 419-435. https://doi.org/10.1007/BF02294384
    Vevea, J. L., Woods, C. M. (2005). Publication bias in research synthesis: sensitivity analysis using a
    priori weight functions. Psychological Methods 10, 428-443. https://doi.org/10.1037/1082-989X.10.4.428
    Preston, C., Ashby, D., Smyth, R. (2004). Adjusting for publication bias: modelling the selection process.
    Journal of Evaluation in Clinical Practice 10, 313-322. https://doi.org/10.1111/j.1365-2753.2003.00457.x
    Citkowicz, M., Vevea, J. L. (2017). A parsimonious weight function for modeling publication bias.
    Psychological Methods 22, 28-41. https://doi.org/10.1037/met0000119
    Begg, C. B., Mazumdar, M. (1994). Operating characteristics of a rank correlation test for publication
    bias. Biometrics 50, 1088-1101. https://doi.org/10.2307/2533446

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.9, 0.7, 0.8, 0.1, 0.6, 0.4, 0.2], [0.09, 0.05, 0.1, 0.02, 0.06, 0.01, 0.03])
    >>> found = mx.bias.selection_model(es)
    >>> print(f"{found.unadjusted:.2f} before, {found.estimate:.2f} after; weight {found.delta[1]:.2f}")
    0.44 before, 0.30 after; weight 0.19
    """
    kind = _weights_of(weights)
    est = estimates_of(results, "selection_model", moderators=True, level=level)
    side = _side_of(est, alternative, kind)
    centre = _centre_of(est)
    data = standard_units(est.y, est.v, est.x, -1.0 if side == "less" else 1.0, centre)
    shape = Shape(kind, cuts_of(cuts, kind), side == "two-sided", _precision_of(est, precision, kind))
    given = _tau2_of(est, tau2)
    least = data.p + (given is None)
    if est.k < least:
        heterogeneity = " and a between-study variance" if given is None else ""
        raise TooFewStudiesError(
            f"{plural(est.k, 'effect')} for {plural(data.p, 'coefficient')}{heterogeneity}",
            f"at least {least} effects",
            "add studies, or fix tau2",
        )
    scaled = None if given is None else given / data.unit**2
    if kind == "truncated-estimated":
        solution, point = _estimated_point(data, scaled, delta)
        return _result(est, side, Fitted(data, shape, None, None, solution), scaled, point)
    parts = make_parts(shape, data, swap=delta is None)
    fixed = _fixed_of(delta, kind, parts)
    return _result(est, side, Fitted(data, shape, parts, fixed, solve(data, parts, scaled, fixed)), scaled)


# -- what was asked for -------------------------------------------------------------------------------------


def _weights_of(word: object) -> str:
    """Return the one name of a kind of weights."""
    plain = re.sub(r"[\s_-]+", "-", str(word).strip().casefold()) if isinstance(word, str) else ""
    name = SYNONYMS.get(plain, plain)
    if name in WEIGHTS:
        return name
    near = nearest_word(plain, (*WEIGHTS, *SYNONYMS))
    raise UnknownChoiceError("weights", word, WEIGHTS, nearest=SYNONYMS.get(near or "", near))


def _side_of(est: Estimates, alternative: object, kind: str) -> str:
    """Return the favoured direction: greater, less or two-sided."""
    if isinstance(alternative, str):
        plain = re.sub(r"[\s._-]+", "-", alternative.strip().casefold())
        if plain not in ALTERNATIVES:
            raise UnknownChoiceError("alternative", alternative, ALTERNATIVES)
        if plain == "two-sided" and kind in TRUNCATED:
            raise InputError(
                f'alternative="two-sided" with weights="{kind}"',
                "the direction in which effects are favoured",
                'use alternative="greater" or "less"',
            )
        return plain
    if alternative is not None:
        raise UnknownChoiceError("alternative", alternative, ALTERNATIVES)
    return est.direction(None)


def _centre_of(est: Estimates) -> float:
    """Return the value of no effect, from which p-values are counted."""
    if est.null != 0 and est.design.intercept is None:
        raise InputError(
            f"a model without intercept for {est.effects.measure.display}, whose value of no effect is not 0",
            "a model with an intercept",
            "fit the model with its intercept",
        )
    return est.null


def _precision_of(est: Estimates, precision: object, kind: str) -> Array | None:
    """Return the imprecision of the effects, at most 1; None if the weights do not depend on it."""
    if precision is None:
        return None
    if kind in WITHOUT_PRECISION:
        able = [name for name in WEIGHTS if name not in WITHOUT_PRECISION]
        raise InputError(
            f"precision is given for {kind} weights",
            f"weights that can depend on precision: {', '.join(able)}",
            "leave precision= out",
        )
    if isinstance(precision, str):
        plain = precision.strip().casefold()
        if plain not in PRECISIONS:
            raise UnknownChoiceError("precision", precision, tuple(dict.fromkeys(PRECISIONS.values())))
        name = PRECISIONS[plain]
        if name in ("se", "variance"):
            values = est.se if name == "se" else est.v
        else:
            n = sample_sizes(est.effects, 'use precision="se"')
            values = 1 / n if name == "1/n" else 1 / np.sqrt(n)
    else:
        values = read_numbers(precision, "precision", rows=est.effects.row_ids)
    if values.shape != (est.k,) or not ((values > 0) & np.isfinite(values)).all():
        raise InputError("precision is missing or not above 0", f"{est.k} numbers above 0, one per effect")
    return np.asarray(values / values.max())


def _tau2_of(est: Estimates, tau2: object) -> float | None:
    """Return the fixed between-study variance; None if it is estimated."""
    if tau2 is None:
        if est.fit is None or (est.fit.is_random and est.fit.tau2_is_estimated):
            return None
        return float(est.fit.tau2)
    if isinstance(tau2, str):
        if tau2.strip().casefold() != "estimated":
            raise UnknownChoiceError("tau2", tau2, ("estimated",))
        return None
    value = check_number("tau2", tau2)
    if not 0 <= value < np.inf:
        raise InputError(f"tau2 is {value}", "a variance, at least 0", 'or tau2="estimated"')
    return value


def _fixed_of(delta: Any, kind: str, parts: Parts) -> Array | None:
    """Return the fixed parameters of the weights as theta has them, NaN where they are estimated."""
    if delta is None:
        return None
    count = parts.low.size
    given = delta
    if isinstance(delta, list | tuple):
        given = [np.nan if one is None else one for one in delta]
    values = np.atleast_1d(read_numbers(given, "delta"))
    truncated = kind == "truncated"
    if truncated:
        values = np.append(1.0, values)
    words = f"{plural(count - truncated, 'parameter')} of {kind} weights"
    if values.shape != (count,):
        raise InputError(
            f"delta has shape {np.shape(given)} for {words}",
            "one per parameter, None for those to be estimated",
            "for steps one per step, the first being 1: cuts=(0.025,), delta=(1, 0.5)",
        )
    known = ~np.isnan(values)
    if (values[known] < 0).any() or np.isinf(values).any():
        raise InputError("delta is below 0 or infinite", "weights and parameters of at least 0")
    if isinstance(parts.weights, Steps):
        if values[0] != 1:
            raise InputError(
                f"the first entry of delta is {values[0]:g}",
                "1: weights are relative to those of the first step",
                "divide all weights by the first one",
            )
        with np.errstate(divide="ignore"):
            return np.asarray(np.maximum(np.log(values), NEVER))
    shift = parts.weights.shift
    if (values[known & (shift == 0)] <= 0).any():
        raise InputError(f"delta is 0 for {kind} weights", "a parameter above 0")
    return np.asarray(np.log(values + shift))


def _estimated_point(data: Standard, tau2: float | None, delta: object) -> tuple[Solution, float]:
    """Return the fit with an estimated truncation point, and that point."""
    if delta is not None:
        raise InputError("delta is given for an estimated truncation point", 'weights="truncated" with cuts=')
    if np.unique(data.y).size < 2:
        raise InputError("all effects are equal", "effects that differ", 'use weights="truncated" with cuts=')
    solution, point = estimated_truncation(data, tau2)
    return solution, data.sign * point * data.unit + data.centre


# -- the result ---------------------------------------------------------------------------------------------


def _result(
    est: Estimates, side: str, fitted: Fitted, tau2: float | None, point: float | None = None
) -> SelectionModel:
    """Return the result of a fit; `point`: the estimated truncation point."""
    data, shape, solution = fitted.data, fitted.shape, fitted.solution
    problem, theta, p = solution.problem, solution.theta, data.p
    cov, curvature = covariance(solution)
    offset = np.zeros(p)
    if data.centre:
        offset[est.design.intercept] = data.centre
    beta = data.to_beta @ theta[:p] + offset
    beta_cov = data.to_beta @ cov[:p, :p] @ data.to_beta.T
    variance = float(problem.tau2(theta[None])[0])
    variance = 0.0 if theta[p] <= np.log(data.floor) else variance
    unit2 = data.unit**2
    tau2_se = float(np.sqrt(cov[p, p])) * (variance + data.floor) * unit2
    delta, delta_se, first = _weights(solution, cov, point)
    names = tuple(f"delta_{j + 1}" for j in range(delta.size)) if delta.size > 1 else ("delta",)
    free = _free(fitted, delta.size, point)
    plain = plain_maximum(data, tau2)
    llf, plain_llf = (float(value - est.k * np.log(data.unit)) for value in (solution.llf, plain.llf))
    certificate, gone, said = _certificate(fitted, names, first, curvature)
    alone = est.design.x is None
    counts = _counts(fitted, point)
    half = normal_quantile(est.level) * float(np.sqrt(beta_cov[0, 0]))
    mean = float(beta[0]) if alone else np.nan
    far = est.far_outside(mean)
    statistic = wald_statistics(np.array([mean - est.null]), np.array([half / normal_quantile(est.level)]))
    df = 1 if point is not None else sum(free)
    return SelectionModel(
        effects=est.effects,
        said=(*est.cautions(), *_said(est, shape, point), *gone, *said, *far),
        level=est.level,
        estimate=mean,
        se=float(np.sqrt(beta_cov[0, 0])) if alone else np.nan,
        low=mean - half,
        high=mean + half,
        pvalue=float(two_sided_pvalues(statistic, None)[0]),
        tau2=variance * unit2,
        usable=certificate.converged and not far and not (gone and _one_sided(counts)),
        is_adjusted=_selects(shape.kind, delta),
        coefficients=SelectionCoefficients(est.design, est.level, beta, WaldInference(beta_cov, None)),
        tau2_se=tau2_se,
        tau2_given=tau2 is not None,
        weights=shape.kind,
        alternative=side,
        cuts=shape.cuts,
        counts=counts,
        delta=delta,
        delta_names=names,
        delta_se=delta_se,
        delta_is_fixed=tuple(not one for one in free),
        llf=llf,
        unadjusted=float(data.to_beta[0] @ plain.beta + offset[0]) if alone else np.nan,
        plain=PlainFit(
            data.to_beta @ plain.beta + offset,
            np.sqrt(np.diagonal(data.to_beta @ plain.cov @ data.to_beta.T)),
            plain.tau2 * unit2,
            plain_llf,
        ),
        lrt=_selection_test(2 * (llf - plain_llf), df),
        not_identified=gone,
        certificate=certificate,
        fitted=fitted,
    )


def _selection_test(statistic: float, df: int) -> TestResult:
    """Return the likelihood-ratio test of no selection; without estimated weights it has no p-value."""
    null = "no selection"
    if df == 0:
        return TestResult(statistic, "chi2", (0.0,), np.nan, f"{null}; the weights are given")
    return make_test(max(statistic, 0.0), "chi2", (float(df),), null)


def _weights(solution: Solution, cov: Array, point: float | None) -> tuple[Array, Array, int]:
    """Return the parameters of the weights, their standard errors, and how many come before them in theta."""
    problem, p = solution.problem, solution.problem.p
    inner = solution.theta[p + 1 :]
    se = np.sqrt(np.diagonal(cov)[p + 1 :])
    if not isinstance(problem.weights, Steps):
        values = problem.values(solution.theta[None])[0]
        return values, se * (values + problem.shift), 0
    never = inner == NEVER
    with np.errstate(over="ignore"):
        values = np.where(never, 0.0, np.exp(inner))
    if never[0]:
        values = np.where(never, np.nan, np.inf)
        values[0] = 1.0
        se = np.full(se.size, np.nan)
    se = se * values
    if problem.weights.truncates:
        values, se = values[1:], se[1:]
        if point is not None:
            values, se = np.append(values, point), np.append(se, np.nan)
        return values, se, 1
    return values, se, 0


def _free(fitted: Fitted, count: int, point: float | None) -> list[bool]:
    """Say which parameters of the weights were to be estimated."""
    if point is not None:
        return [True, True]
    weights, fixed = fitted.solution.problem.weights, fitted.fixed
    free = np.ones(fitted.solution.theta.size - fitted.data.p - 1, dtype=np.bool_)
    if fixed is not None:
        free = np.isnan(fixed)
    if isinstance(weights, Steps):
        free[0] = False
    return [bool(one) for one in free[free.size - count :]]


def _one_sided(counts: tuple[int, ...]) -> bool:
    """Say whether no p-value is in the first step, or all are: nothing to compare weights with."""
    return bool(counts) and (counts[0] == 0 or counts[0] == sum(counts))


def _selects(kind: str, delta: Array) -> bool:
    """Say whether the weights differ from those without selection."""
    if kind in (*TRUNCATED, "negative-exponential-power"):
        delta = delta[:1]  # the other one is a point or a power
    return bool((delta != (1.0 if kind in WITHOUT_PRECISION else 0.0)).any())


def _counts(fitted: Fitted, point: float | None) -> tuple[int, ...]:
    if fitted.parts is not None:
        return fitted.parts.counts
    weights = fitted.solution.problem.weights
    assert isinstance(weights, Steps)
    below = int(weights.seen.sum())
    return fitted.data.y.size - below, below


def _said(est: Estimates, shape: Shape, point: float | None) -> list[str]:
    """Return cautions of the model as it was asked for."""
    said = []
    if est.fit is not None and len(est.fit.tau2_by_component) > 1:
        said.append("the random effects of the fit are replaced by one between-study variance")
    if point is not None:
        said.append(
            "the truncation point is searched among the effects: it has no standard error, and the test of "
            "selection, as if it were known, has too small a p-value"
        )
    return said


def _certificate(
    fitted: Fitted, names: tuple[str, ...], first: int, curvature: float
) -> tuple[SelectionCertificate, tuple[str, ...], list[str]]:
    """Return the certificate, what is not identified, and further cautions."""
    data, shape, solution = fitted.data, fitted.shape, fitted.solution
    p, theta = data.p, solution.theta
    free = ~solution.held
    searched = solution.low < solution.high
    called = [f"coefficient {i + 1}" if p > 1 else "mean" for i in range(p)] + ["tau2"]
    called += [""] * first + list(names[: theta.size - p - 1 - first])
    steps = isinstance(solution.problem.weights, Steps)
    top = np.zeros(theta.size, dtype=np.bool_)
    top[: p + 1] = theta[: p + 1] >= solution.high[: p + 1]
    top[:p] |= theta[:p] <= solution.low[:p]
    inner = slice(p + 1, None)
    if steps:
        top[inner] = np.abs(theta[inner]) > STEEP
    else:
        shift = solution.problem.shift
        top[inner] = (theta[inner] >= solution.high[inner]) | (
            (shift == 0) & (theta[inner] <= solution.low[inner])
        )
    top &= searched
    top[0] |= bool(log_norm(solution.problem, theta[None]).min() < HARDLY_ANY)
    bottom = solution.held & searched & ~top
    gone = list(_empty_steps(fitted, names))
    said = []
    flat = curvature < 1e-9 if free.any() else False
    if shape.kind == "negative-exponential-power" and bottom[p + 1]:
        gone.append("delta_2: with delta_1 = 0 there is no selection, whatever delta_2 is")
    if top.any():
        which = ", ".join(called[i] for i in np.flatnonzero(top))
        said.append(
            f"the likelihood has no maximum within reason: it still rises where the search ends ({which}); "
            "do not use the estimate; merge steps, fix weights with delta=, or use a simpler weight function"
        )
    elif not solution.converged:
        said.append("the search did not converge; do not use the estimate")
    elif flat:
        said.append(
            "the likelihood is flat around its maximum: there are no standard errors; use profile_interval()"
        )
    if bottom.any() and not top.any():
        which = ", ".join(f"{called[i]} = 0" for i in np.flatnonzero(bottom) if called[i])
        if which:
            said.append(f"{which} is at its bound: it has no standard error, and the others hold it there")
    scale = np.sqrt(np.maximum(np.abs(np.diagonal(solution.hessian)), 1e-300))
    gradient = float(np.max(np.abs(solution.gradient / scale)[free], initial=0.0))
    agree = int((solution.ends > solution.llf - SAME).sum())
    error = quadrature_error(solution)
    if error > INEXACT:
        said.append(f"the integrals of the likelihood are inexact: its logarithm may be off by {error:.1g}")
    certificate = SelectionCertificate(
        converged=bool(solution.converged and not top.any() and not flat),
        gradient=gradient,
        curvature=curvature,
        rise=solution.rise,
        at_bound=tuple(called[i] for i in np.flatnonzero(bottom) if called[i]),
        unbounded=tuple(called[i] for i in np.flatnonzero(top)),
        starts=solution.ends.size,
        agree=agree,
        largest_llf=float(solution.llf - data.y.size * np.log(data.unit)),
        quadrature_error=error,
    )
    return certificate, tuple(gone), said


def _empty_steps(fitted: Fitted, names: tuple[str, ...]) -> list[str]:
    """Say which weights are not determined because no p-value, or no effect, is in their step."""
    parts, shape, fixed = fitted.parts, fitted.shape, fitted.fixed
    if parts is None or not parts.counts:
        return []
    counts = np.array(parts.counts)
    if shape.kind == "truncated":
        if counts.all():
            return []
        side = "below" if counts[0] else "above"
        return [f"delta: no effect is {side} the truncation point; choose another one with cuts="]
    free = np.ones(counts.size, dtype=np.bool_) if fixed is None else np.isnan(fixed)
    ends = [0.0, *(cut for cut in shape.cuts if cut < 1), 1.0]
    better = _merged(counts, ends)
    if better:
        remedy = f"merge steps: cuts=({', '.join(f'{cut:g}' for cut in better)},)"
    else:
        remedy = "no cut of these has p-values on both sides; "
        remedy += f"{_another_cut(pvalues_of(shape, fitted.data))}fix the weights with delta="
    said = []
    for j in np.flatnonzero((counts == 0) & free):
        where = f"no p-value is above {ends[j]:g} and up to {ends[j + 1]:g}"
        if j == 0:
            others = ", ".join(names[i] for i in range(1, counts.size) if free[i] and counts[i])
            said.append(
                f"{others}: no p-value is up to {ends[1]:g}, so that these weights, relative to the "
                f"first step, have no finite estimate; {remedy}"
            )
        else:
            said.append(f"{names[j]}: {where}, so that its weight is estimated as 0; {remedy}")
    return said


def _another_cut(p: Array) -> str:
    """Return which usual cut has the most p-values on its smaller side, in words; empty if none has any."""
    below = {cut: int((p <= cut).sum()) for cut in USUAL_CUTS}
    best = max(USUAL_CUTS, key=lambda cut: min(below[cut], p.size - below[cut]))
    if not 0 < below[best] < p.size:
        return ""
    return f"cuts=({best:g},) has {below[best]} of {p.size} below, but was chosen by the data; or "


def _merged(counts: Array, ends: Sequence[float]) -> list[float]:
    """Return the cuts that are left when steps without p-values are merged with the next one."""
    kept, held = [], 0
    total = int(counts.sum())
    seen = 0
    for j, count in enumerate(counts[:-1]):
        held += int(count)
        seen += int(count)
        if held and seen < total:
            kept.append(ends[j + 1])
            held = 0
    return kept
