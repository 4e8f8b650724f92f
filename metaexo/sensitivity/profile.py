r"""Profile likelihoods of single parameters, and their intervals: one function for every family.

The profile of a parameter is the highest log-likelihood that all other parameters reach when it is held at a
value. Twice its fall from the maximum is compared with chi-square on one degree of freedom; the values that
are not excluded are the interval.

Parameters of the heterogeneity are profiled by the likelihood of the fit. Coefficients are profiled by
maximum likelihood whatever the method of the fit: the restricted likelihoods of different coefficients held
fixed are those of different data. A coefficient is held at b by taking b times its column out of the effects
and the column out of the design.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.conversions.scales import back_pooled
from metaexo.errors import ConvergenceError, InputError, UnknownChoiceError
from metaexo.formatting import interval, level_words, number, plural
from metaexo.heterogeneity.attribution.results import AttributionResults
from metaexo.heterogeneity.strata.results import StratifiedResults
from metaexo.inputs import describe, read_numbers
from metaexo.models.censored.imputation import ImputedResults
from metaexo.models.censored.results import CensoredResults
from metaexo.models.counts.arm_based.model import ArmBasedResults
from metaexo.models.counts.beta_binomial.results import BetaBinomialResults
from metaexo.models.counts.fit import CountResults
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import LinearFit
from metaexo.models.linear.results import FitResults
from metaexo.models.location_scale.profile import scale_curve
from metaexo.models.location_scale.results import LocationScaleResults
from metaexo.models.multilevel.moments import MomentResults
from metaexo.models.multilevel.profile import edges, limits, refit_at, refuse_moments, upper_limit
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.univariate.model import with_design
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.censored.limits import coefficient_limits, tau2_limits, with_coefficient
from metaexo.numeric.censored.maximum import CensoredMaximum, censored_at, censored_maximum, criterion_at
from metaexo.numeric.censored.rows import CensoredBatch
from metaexo.numeric.likelihood import log_likelihood
from metaexo.numeric.likelihood_maximum import (
    maximum_likelihood,
    profile_likelihood_interval,
    restricted_maximum_likelihood,
)
from metaexo.numeric.mixed.structured import maximise
from metaexo.numeric.problem import make_batch
from metaexo.numeric.scale.likelihood import make_likelihood
from metaexo.numeric.scale.maximum import maximise as maximise_scale
from metaexo.numeric.scale.profile import hold
from metaexo.numeric.tails import normal_quantile
from metaexo.numeric.weighted import refuse_own_weights
from metaexo.readable import Readable, ReaderTable
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

GRID_POINTS = 41
# How far beyond the interval the grid reaches, in widths of the interval.
BEYOND = 0.3
OF_STRATUM = "tau2:"
OF_SCALE = "scale:"
# Where the search for an end begins: standard errors from the estimate.
FIRST_STEP = 2.0


class Ends(NamedTuple):
    """An interval, and which of its ends are edges of what the parameter can be."""

    low: float
    high: float
    low_open: bool = False
    high_open: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Profile(Readable):
    """The profile likelihood of one parameter, and its interval.

    Attributes
    ----------
    parameter : str
        Its name: "tau2", a variance component, a correlation, or a coefficient.
    kind : {"variance", "correlation", "range", "mean", "coefficient", "scale coefficient"}
        What it is: "mean" where a coefficient is the mean of all effects, or of those of a stratum.
    value : ndarray, shape (g,)
        Values at which it was held.
    llf : ndarray, shape (g,)
        Log-likelihood there, with all other parameters at their best.
    estimate : float
        Value of the highest log-likelihood: the estimate by `likelihood`, which for a coefficient of a REML
        fit is not quite that of the fit.
    maximum : float
        The highest log-likelihood.
    low, high : float
        Interval.
    low_open, high_open : bool
        Whether an end is the edge of what the parameter can be, or infinite, and the data do not exclude it.
    level : float
        Level of the interval.
    likelihood : {"ML", "REML"}
        Which likelihood.
    effects : EffectSizes or BoundedEffectSizes
        The effects that were fitted.
    """

    parameter: str
    kind: str
    value: Array
    llf: Array
    estimate: float
    maximum: float
    low: float
    high: float
    low_open: bool
    high_open: bool
    level: float
    likelihood: str
    effects: Any

    def to_frame(self) -> pd.DataFrame:
        """Return one row per value: value, llf, below (distance to the maximum).

        Coefficients of ratio measures have the column ratio as well.
        """
        import pandas as pd

        frame = pd.DataFrame({"value": self.value, "llf": self.llf, "below": self.maximum - self.llf})
        if self.kind in ("mean", "coefficient") and self.effects.measure.display_log:
            frame.insert(1, "ratio", np.exp(self.value))
        return frame

    @property
    def sentence(self) -> str:
        """What was found, in one plain sentence."""
        estimate, low, high = self.estimate, self.low, self.high
        named = self.kind != "variance" or "tau2" in self.parameter
        what = self.parameter if named else f"tau2 of {self.parameter}"
        shown = ""
        if self.kind == "mean" and self.effects.measure.rescaled:
            a, b, c = back_pooled(self.effects, [estimate, low, high])
            display = self.effects.measure.display
            shown = f" ({display} {number(float(a), 3)}, {number(float(b), 3)} to {number(float(c), 3)})"
        ends = [
            f"the interval {word} at the edge of what is possible"
            if np.isfinite(end)
            else f"the data set no end {'below' if word == 'begins' else 'above'}"
            for word, end, is_open in (("begins", low, self.low_open), ("ends", high, self.high_open))
            if is_open
        ]
        return (
            f"{what} {number(estimate, 4)}, {level_words(self.level)} profile-likelihood interval "
            f"{number(low, 4)} to {number(high, 4)}{shown}, by {self.likelihood}"
            + "".join(f"; {text}" for text in ends)
        )

    def reader_tables(self) -> list[ReaderTable]:
        """Return the estimate with its interval, numbers rounded; `to_frame` has the curve."""
        cells = [self.parameter, number(self.estimate, 4), interval(self.low, self.high, 4)]
        return [ReaderTable([cells], ["parameter", "estimate", f"{level_words(self.level)} interval"])]

    def table_notes(self) -> list[str]:
        """Return the sentence, which stands below the table."""
        return [self.sentence]

    def __repr__(self) -> str:
        return f"Profile({self.sentence})"


class Curve(NamedTuple):
    """How the highest log-likelihood depends on one parameter of a fit."""

    parameter: str
    kind: str
    estimate: float
    maximum: float
    # from values, shape (g,), to the highest log-likelihood at each
    llf: Callable[[Array], Array]
    ends: Callable[[float], Ends]  # from a level to the interval
    edges: tuple[float, float]  # values that the parameter can have
    likelihood: str


def profile(
    results: FitResults,
    parameter: str | None = None,
    grid: ArrayLike | None = None,
    *,
    level: float | None = None,
) -> Profile:
    r"""Return the profile likelihood of one parameter of a fit, with its interval.

    Use it where an estimate plus and minus a multiple of its standard error misleads: for variances, which
    cannot be below 0, and for any parameter whose likelihood is not symmetric. A steep curve says that the
    data determine the parameter well; a flat one, that they hardly do.

    With :math:`\ell(\theta)` the highest log-likelihood at :math:`\theta`, the interval of a level holds all
    values with

    .. math:: 2 [\ell(\hat\theta) - \ell(\theta)] \le \chi^2_{1, level}.

    Parameters
    ----------
    results : FitResults
        A fit of a family with a likelihood: RandomEffects, Multilevel, LocationScale, CensoredRandomEffects
        or stratify.
    parameter : str, optional
        "tau2"; a variance component or a correlation of a multilevel fit; "tau2:NAME", the variance of a
        stratum; "scale:NAME", a scale coefficient; a coefficient by its name ("estimate" is the pooled
        effect). Default: the parameter of the heterogeneity, if there is only one.
    grid : array_like, shape (g,), optional
        Values at which to hold the parameter. Default: 41 values that reach beyond the interval.
    level : float, optional
        Level of the interval; default that of the fit.

    Returns
    -------
    Profile
        Values, log-likelihoods, the estimate and its interval. :func:`metaexo.plots.profile` draws it.

    Raises
    ------
    InputError
        If the fit has no likelihood, several parameters and no name, or a parameter that was not estimated.
    UnknownChoiceError
        If the parameter is not known.

    References
    ----------
    Hardy, R. J., Thompson, S. G. (1996). A likelihood approach to meta-analysis with random effects.
    Statistics in Medicine 15, 619-629.
    https://doi.org/10.1002/(SICI)1097-0258(19960330)15:6<619::AID-SIM188>3.0.CO;2-A
    Venzon, D. J., Moolgavkar, S. H. (1988). A method for computing profile-likelihood-based confidence
    intervals. Applied Statistics 37, 87-94. https://doi.org/10.2307/2347496

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9, 0.5], [0.02, 0.05, 0.03, 0.04, 0.02])
    >>> fit = mx.RandomEffects(es).fit()
    >>> tau2 = mx.sensitivity.profile(fit)
    >>> round(tau2.estimate, 3), round(tau2.low, 3), round(tau2.high, 3)
    (0.067, 0.0, 0.572)
    >>> mean = mx.sensitivity.profile(fit, "estimate")
    >>> round(mean.low, 3), round(mean.high, 3)
    (0.148, 0.751)
    """
    if not isinstance(results, FitResults):
        raise InputError(
            f"results is {describe(results)}",
            "a fit of RandomEffects, Multilevel, LocationScale, CensoredRandomEffects or stratify",
            "mx.RandomEffects(effects).fit()",
        )
    chosen = results.at_level(level)
    if parameter is not None and not isinstance(parameter, str):
        raise InputError(f"parameter is {describe(parameter)}", 'the name of a parameter, such as "tau2"')
    curve = curve_of(results, parameter)
    found = curve.ends(chosen)
    values = _default_grid(curve, found) if grid is None else _read_grid(curve, grid)
    return Profile(
        parameter=curve.parameter,
        kind=curve.kind,
        value=values,
        llf=curve.llf(values),
        estimate=curve.estimate,
        maximum=curve.maximum,
        low=found.low,
        high=found.high,
        low_open=found.low_open,
        high_open=found.high_open,
        level=chosen,
        likelihood=curve.likelihood,
        effects=results.effects,
    )


def _default_grid(curve: Curve, ends: Ends) -> Array:
    """Return values that reach beyond the interval, the estimate among them."""
    size = abs(curve.estimate - ends.low) or abs(curve.estimate) or 1.0
    high = ends.high if np.isfinite(ends.high) else curve.estimate + 4 * size
    low = ends.low if np.isfinite(ends.low) else curve.estimate - 4 * abs(high - curve.estimate)
    beyond = BEYOND * ((high - low) or 1.0)
    first, last = max(curve.edges[0], low - beyond), min(curve.edges[1], high + beyond)
    if np.isneginf(curve.llf(np.array([first]))[0]):  # no likelihood at the edge itself
        first += (last - first) / GRID_POINTS
    return np.unique(np.append(np.linspace(first, last, GRID_POINTS), curve.estimate))


def _read_grid(curve: Curve, grid: ArrayLike) -> Array:
    """Return the values of a grid; refuse those that the parameter cannot have."""
    values = read_numbers(grid, "grid", ndim=1)
    low, high = curve.edges
    bad = ~(np.isfinite(values) & (values >= low) & (values <= high))
    if bad.any() or not values.size:
        raise InputError(
            f"grid holds values that {curve.parameter} cannot have" if values.size else "grid is empty",
            "finite numbers"
            + ("" if np.isinf(low) else f" from {low:g}")
            + f"{'' if np.isinf(high) else f' to {high:g}'}",
            rows=[f"{x:g}" for x in values[bad]],
        )
    if np.isneginf(curve.llf(values)).any():
        raise InputError(
            f"the grid holds {curve.parameter} = 0, and some sampling variances are zero",
            "a total variance above 0",
            "leave 0 out of the grid",
        )
    return values


# -- what each family gives ---------------------------------------------------------------------------------


@singledispatch
def curve_of(fit: LinearFit, parameter: str | None) -> Curve:
    """Return how the likelihood of a fit depends on a parameter; a family registers its own."""
    likelihood = "no profile of their likelihood here" if isinstance(fit, CountResults) else "no likelihood"
    raise InputError(
        f"{type(fit).__name__} have {likelihood}",
        "a fit by likelihood: of RandomEffects, Multilevel, LocationScale, CensoredRandomEffects or stratify",
        _REMEDIES.get(type(fit), ""),
    )


_REMEDIES: dict[type, str] = {
    BetaBinomialResults: "profile_intervals() and dispersion() of the fit have profile-likelihood intervals",
    ArmBasedResults: "marginal(), risks() and components() of the fit have profile-likelihood intervals",
    MomentResults: "fit the effects with mx.Multilevel, and profile that fit",
    ImputedResults: "profile the fit by likelihood that was imputed from, results.likelihood",
    AttributionResults: "profile the additive model of all factors, results.model",
}


@curve_of.register
def _of_one_level(fit: RandomEffectsResults, parameter: str | None) -> Curve:
    if parameter is None or parameter == "tau2":
        return _tau2_of_one_level(fit)
    j = _coefficient(fit, parameter, ["tau2"])
    _refuse_zero_variances(fit)
    tau2 = fit.tau2 if fit.tau2_given else None if fit.is_random else 0.0
    x = fit.design.matrix(fit.k)

    def llf(values: Array) -> Array:
        batch = make_batch(fit.effects.y - values[:, None] * x[:, j], fit.effects.v, np.delete(x, j, axis=1))
        at = maximum_likelihood(batch).tau2 if tau2 is None else np.full(values.size, tau2)
        return log_likelihood(batch, at, restricted=False)

    batch = make_batch(fit.effects.y, fit.effects.v, fit.design.x)
    best = maximum_likelihood(batch).tau2 if tau2 is None else np.array([tau2])
    estimate = _weighted(x, fit.effects.y, fit.effects.v + best[0])[j]
    return _of_coefficient(fit, j, estimate, float(log_likelihood(batch, best, False)[0]), llf)


def _weighted(x: Array, y: Array, variance: Array) -> Array:
    """Return the coefficients with weights 1 / variance."""
    root = 1 / np.sqrt(variance)
    return np.asarray(np.linalg.lstsq(x * root[:, None], y * root, rcond=None)[0])


def _tau2_of_one_level(fit: RandomEffectsResults) -> Curve:
    _refuse_fixed("tau2", fit.tau2_is_estimated)
    refuse_own_weights(fit, "the profile")
    if fit.df_residual < 1:
        raise InputError("there are no residual degrees of freedom", "more effects than coefficients")
    restricted = fit.method != "ML"
    best = (restricted_maximum_likelihood if restricted else maximum_likelihood)(fit.batch)
    top = float(best.tau2[0])

    def llf(values: Array) -> Array:
        out = np.full(values.size, -np.inf)
        usable = np.flatnonzero((values > 0) | (not fit.has_zero_variance))
        batch = fit.batch.take(np.zeros(usable.size, dtype=np.intp))
        out[usable] = log_likelihood(batch, values[usable], restricted)
        return out

    def ends(level: float) -> Ends:
        with np.errstate(divide="ignore", invalid="ignore"):  # a sampling variance of 0 at tau2 = 0
            low, high = profile_likelihood_interval(fit.batch, restricted, _drop(level))
        return Ends(float(low[0]), float(high[0]), low_open=bool(low[0] == 0))

    return Curve(
        "tau2", "variance", top, float(llf(np.array([top]))[0]), llf, ends, (0.0, np.inf),
        "REML" if restricted else "ML",
    )  # fmt: skip


@curve_of.register
def _of_multilevel(fit: MultilevelResults, parameter: str | None) -> Curve:
    estimated = [name for name in fit.component_values if name not in fit.fixed_components]
    if parameter is None:
        parameter = _only(estimated)
    if parameter in fit.component_values:
        return _of_component(fit, parameter)
    j = _coefficient(fit, parameter, list(fit.component_values))
    full, x = fit.problem, fit.problem.x
    best = fit.maximum if fit.method == "ML" else maximise(full, False, fit.fixed)
    if isinstance(best, tuple):
        raise ConvergenceError(
            "the likelihood of the fit cannot be computed", 'a fit by method="ML"', rows=best
        )
    at = replace(fit, maximum=best, method="ML")

    def llf(values: Array) -> Array:
        found = []
        for b in values:
            problem = replace(full, y=full.y - b * x[:, j], x=np.delete(x, j, axis=1))
            one = maximise(problem, False, fit.fixed, warm=best.theta, certify=False)
            found.append(-np.inf if isinstance(one, tuple) else one.llf)
        return np.array(found)

    return _of_coefficient(fit, j, float(at.gls.beta[j]), best.llf, llf)


def _of_component(fit: MultilevelResults, name: str) -> Curve:
    """Return the curve of a variance or a correlation of a multilevel fit."""
    refuse_moments(fit, "its profile likelihood")
    kinds = {
        one: kind for named in fit.terms for one, kind in zip(named.components, named.kinds, strict=True)
    }

    def llf(values: Array) -> Array:
        return np.array([refit_at(fit, name, float(x)).llf for x in values])

    def ends(level: float) -> Ends:
        found = limits(fit, name, level)
        return Ends(found.low, found.high, found.low_open, found.high_open)

    return Curve(
        name,
        kinds[name],
        fit.component_values[name],
        fit.maximum.llf,
        llf,
        ends,
        edges(fit, name),
        fit.method,
    )


@curve_of.register
def _of_location_scale(fit: LocationScaleResults, parameter: str | None) -> Curve:
    of_scale = [f"{OF_SCALE}{name}" for name in fit.scale_design.names]
    if parameter is None:
        parameter = _only(of_scale)
    if parameter in of_scale:
        found = scale_curve(fit, parameter.removeprefix(OF_SCALE))

        def ends(level: float) -> Ends:
            return Ends(*found.ends(_drop(level)))

        return Curve(
            parameter,
            "scale coefficient",
            found.estimate,
            found.maximum,
            found.llf,
            ends,
            found.edges,
            fit.method,
        )
    j = _coefficient(fit, parameter, of_scale)
    x, z, es = fit.design.matrix(fit.k), fit.scale_design.matrix(fit.k), fit.effects
    start = max(fit.tau2, 0.0)

    best = maximise_scale(make_likelihood(x, es.y, es.v, z, fit.link, False), start)

    last: list[Array] = []

    def llf(values: Array) -> Array:
        found = []
        for b in values:
            model = make_likelihood(np.delete(x, j, axis=1), es.y - b * x[:, j], es.v, z, fit.link, False)
            value, where = hold(model, None, best.coefficients).highest(0.0, last[-1] if last else None)
            last[:] = [where]
            found.append(value)
        return np.array(found)

    return _of_coefficient(fit, j, _weighted(x, es.y, es.v + best.tau2)[j], best.value, llf)


@curve_of.register
def _of_censored(fit: CensoredResults, parameter: str | None) -> Curve:
    if parameter is None or parameter == "tau2":
        return _tau2_of_censored(fit)
    j = _coefficient(fit, parameter, ["tau2"])
    x, known = fit.design.matrix(fit.k), fit.tau2 if fit.tau2_given else None

    def highest(batch: CensoredBatch) -> CensoredMaximum:
        return censored_maximum(batch, False) if known is None else censored_at(batch, known, False)

    def llf(values: Array) -> Array:
        several = fit.batch.take(np.zeros(values.size, dtype=np.intp))
        return highest(with_coefficient(several, x, j, values)[0]).value

    def ends(level: float) -> Ends:
        low, high = coefficient_limits(fit.batch, x, j, _drop(level), known)
        return _as_ends(float(low[0]), float(high[0]))

    best = highest(fit.batch)
    estimate = (best.gamma @ fit.batch.to_x.T + fit.batch.offset)[0, j]
    found = _of_coefficient(fit, j, float(estimate), float(best.value[0]), llf)
    return found._replace(ends=ends)


def _tau2_of_censored(fit: CensoredResults) -> Curve:
    _refuse_fixed("tau2", fit.tau2_is_estimated)
    restricted = fit.method == "REML"

    def llf(values: Array) -> Array:
        return criterion_at(fit.batch, np.zeros(values.size, dtype=np.intp), values, restricted).height

    def ends(level: float) -> Ends:
        low, high = tau2_limits(fit.batch, fit.maximum, restricted, _drop(level))
        return _as_ends(float(low[0]), float(high[0]), edge=0.0)

    top = float(fit.maximum.value[0])
    return Curve("tau2", "variance", fit.tau2, top, llf, ends, (0.0, np.inf), fit.method)


@curve_of.register
def _of_strata(fit: StratifiedResults, parameter: str | None) -> Curve:
    if fit.tau2_mode == "smoothed":
        raise InputError(
            "smoothed tau2 maximise no likelihood",
            "strata whose tau2 are estimated by likelihood",
            'stratify with tau2="separate" or "common"',
        )
    means = list(fit.design.names)
    separate = fit.is_random and fit.tau2_mode == "separate"
    variances = [f"{OF_STRATUM}{name}" for name in means] if separate else ["tau2"] * fit.is_random
    if parameter is None:
        parameter = _only(variances)
    if parameter not in (*means, *variances):
        raise UnknownChoiceError("parameter", parameter, (*variances, *means))
    if fit.clusters is not None and parameter in means:
        raise _robust_error()
    if separate:
        name = parameter.removeprefix(OF_STRATUM)
        part = fit.fits[means.index(name)]
        found = curve_of(part, "estimate" if parameter in means else "tau2")
        return found._replace(parameter=parameter)
    found = curve_of(_joint(fit), parameter)
    return found._replace(kind="mean") if parameter in means else found


def _joint(fit: StratifiedResults) -> RandomEffectsResults:
    """Return the model with a mean per fitted stratum and one between-study variance."""
    rows = fit.rows_in_likelihood
    x = fit.design.matrix(fit.k)[rows]
    effects = fit.effects if rows.all() else fit.effects.select(rows, "in a stratum without a fit")
    model = with_design(effects, Design(x, fit.design.names, None))
    return model.fit(fit.method, "z", fit.level)


# -- what they share ----------------------------------------------------------------------------------------


def _of_coefficient(
    fit: LinearFit, j: int, estimate: float, maximum: float, llf: Callable[[Array], Array]
) -> Curve:
    """Return the curve of a coefficient, whose interval is searched for from the estimate outwards."""
    step = FIRST_STEP * float(np.sqrt(fit.model_inference.cov[j, j]))

    def ends(level: float) -> Ends:
        drop = _drop(level)

        def away(sign: float) -> float:
            def excess(distance: float) -> float:
                return maximum - float(llf(np.array([estimate + sign * distance]))[0]) - drop

            return float(upper_limit(excess, 0.0, np.inf, step / 0.1)[0])

        return _as_ends(float(estimate - away(-1.0)), float(estimate + away(1.0)))

    kind = "mean" if fit.design.x is None else "coefficient"
    name = fit.design.names[j]
    return Curve(name, kind, float(estimate), maximum, llf, ends, (-np.inf, np.inf), "ML")


def _as_ends(low: float, high: float, edge: float = -np.inf) -> Ends:
    return Ends(low, high, low <= edge, bool(np.isinf(high)))


def _drop(level: float) -> float:
    """Return by how much the log-likelihood may fall within the interval of a level."""
    return 0.5 * float(normal_quantile(level)) ** 2


def _coefficient(fit: LinearFit, name: str, others: Sequence[str]) -> int:
    """Return the position of a coefficient; refuse fits whose coefficients are not at a maximum."""
    names = list(fit.design.names)
    if name == "estimate" and fit.design.x is None:
        name = names[0]
    if name not in names:
        raise UnknownChoiceError("parameter", name, (*others, *names))
    refuse_own_weights(fit, "the profile")
    if fit.robust_covariance is not None:
        raise _robust_error()
    return names.index(name)


def _robust_error() -> InputError:
    return InputError(
        "the fit has cluster-robust standard errors, and the profile of a coefficient rests on its model",
        "a fit whose model describes the dependence of the effects",
        "profile the fit before robust(), or a fit of mx.Multilevel",
    )


def _only(names: Sequence[str]) -> str:
    """Return the only parameter of the heterogeneity; refuse to choose among several."""
    if len(names) == 1:
        return names[0]
    raise InputError(
        f"no parameter is named, and there are {len(names) or 'none'} of the heterogeneity",
        f"one of {', '.join(names)}" if names else "the name of a coefficient",
        f"write profile(results, {names[0]!r})" if names else "",
    )


def _refuse_fixed(name: str, estimated: bool) -> None:
    if not estimated:
        raise InputError(
            f"{name} was given, or is 0 in this model",
            "a parameter that was estimated",
            "fit without giving it",
        )


def _refuse_zero_variances(fit: RandomEffectsResults) -> None:
    """Raise if sampling variances of 0 leave the likelihood of the coefficients without a maximum."""
    zero = np.flatnonzero(fit.effects.v == 0)
    if zero.size and not (fit.tau2_given and fit.tau2 > 0):
        raise InputError(
            f"{plural(zero.size, 'sampling variance is', 'sampling variances are')} zero: the likelihood "
            "increases without bound where such an effect is fitted exactly",
            "sampling variances above 0",
            "look these rows up in the source, or leave them out with EffectSizes.select",
            [fit.effects.row_ids[i] for i in zero],
        )
