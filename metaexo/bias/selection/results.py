"""SelectionModel: what a publication selection model found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from metaexo.bias.results import AdjustedEstimate
from metaexo.bias.selection.fitting import Fitted, estimated_truncation, profile_bounds, pvalues_of, solve
from metaexo.effects.conversions.scales import back_pooled
from metaexo.errors import InputError
from metaexo.formatting import number, p_value, plural
from metaexo.immutable import Immutable, lock
from metaexo.inputs import check_level, read_numbers
from metaexo.models.linear.design import Design
from metaexo.models.linear.hypothesis import TestResult, WaldInference, make_test
from metaexo.models.linear.results import LinearResults
from metaexo.numeric.selection.smooth import Smooth
from metaexo.numeric.selection.steps import step_of
from metaexo.numeric.tails import normal_quantile
from metaexo.readable import ReaderTable, cells_of, shows_itself, with_ratios
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd


FAVOURED = {"greater": "greater effects", "less": "lower effects", "two-sided": "effects in both directions"}


@shows_itself
@dataclass(frozen=True, eq=False)
class SelectionCertificate(Immutable):
    """What is known of the maximum of a selection likelihood.

    Attributes
    ----------
    converged : bool
        Whether the gradient of all parameters that are not at a bound is 0 and the curvature there negative.
    gradient : float
        Largest element of the gradient by the parameters that are free, each in units of its curvature.
    curvature : float
        Smallest eigenvalue of minus the Hessian, scaled to a unit diagonal; 0 is flat, 1 the best there is.
    rise : float
        Rise of the log-likelihood that a further step of Newton's method promises.
    at_bound : tuple of str
        Parameters at a bound beyond which the likelihood still rises.
    unbounded : tuple of str
        Parameters at the end of the search: the likelihood has no maximum, or none within reason.
    starts, agree : int
        Starts of the search, and how many of them led to this maximum.
    largest_llf : float
        The largest log-likelihood found, that of the estimate.
    quadrature_error : float
        Change of the log-likelihood with twice the points of the integrals; 0 for closed forms.
    """

    converged: bool
    gradient: float
    curvature: float
    rise: float
    at_bound: tuple[str, ...]
    unbounded: tuple[str, ...]
    starts: int
    agree: int
    largest_llf: float
    quadrature_error: float


class PlainFit(NamedTuple):
    """The maximum-likelihood fit of the same model without selection."""

    beta: Array  # (p,), coefficients
    se: Array  # (p,)
    tau2: float
    llf: float


@dataclass(frozen=True, eq=False, repr=False)
class SelectionCoefficients(LinearResults):
    """Coefficients of the mean before selection, with standard errors, z tests and intervals.

    Attributes
    ----------
    design : Design
        Columns of the model of the mean.
    level : float
        Confidence level of the intervals.
    values : ndarray, shape (p,)
        The coefficients.
    inference : WaldInference
        Inverse of minus the Hessian of the likelihood, all other free parameters taken along.
    """

    design: Design
    level: float
    values: Array
    inference: WaldInference

    @property
    def beta(self) -> Array:
        """Coefficients, shape (p,)."""
        return self.values

    @property
    def model_inference(self) -> WaldInference:
        """Covariance matrix of the coefficients and their tests."""
        return self.inference


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SelectionModel(AdjustedEstimate):
    """A publication selection model: the mean and heterogeneity before selection, and the selection itself.

    With moderators it is asked as fits are: `coefficients` has contrasts and tests of terms; `params`, `bse`,
    `pvalues`, `conf_int()` and `cov_params()` are its columns.

    Attributes
    ----------
    estimate, se, low, high, pvalue : float
        The adjusted mean with its Wald interval and test; NaN with moderators.
    coefficients : SelectionCoefficients
        The coefficients of the mean.
    tau2 : float
        Between-study variance before selection.
    weights : str
        Kind of weight function.
    alternative : {"greater", "less", "two-sided"}
        Which results are favoured.
    cuts : tuple of float
        p-values at which the weight steps or up to which it is constant; the effect at which it is truncated.
    counts : tuple of int
        Number of p-values in each step, or of effects above and below the truncation; empty for smooth
        weights.
    delta : ndarray, shape (J,)
        Parameters of the weight function. For steps the weights relative to the first step, which is 1.
    delta_names : tuple of str
        What they are called.
    delta_se : ndarray, shape (J,)
        Standard errors from the curvature; NaN for what is fixed, at a bound or not identified.
    delta_is_fixed : tuple of bool
        Which were given, or are 1 by definition.
    llf : float
        Log-likelihood.
    unadjusted : float
        Mean of the maximum-likelihood fit without selection; NaN with moderators.
    plain : PlainFit
        That fit.
    lrt : TestResult
        Likelihood-ratio test of no selection.
    not_identified : tuple of str
        Parameters that the data do not determine, and why.
    certificate : SelectionCertificate
        What is known of the maximum.
    """

    rests_on: ClassVar[str] = "selection by p-value"
    coefficients: SelectionCoefficients
    tau2_se: float
    tau2_given: bool
    weights: str
    alternative: str
    cuts: tuple[float, ...]
    counts: tuple[int, ...]
    delta: Array
    delta_names: tuple[str, ...]
    delta_se: Array
    delta_is_fixed: tuple[bool, ...]
    llf: float
    unadjusted: float
    plain: PlainFit
    lrt: TestResult
    not_identified: tuple[str, ...]
    certificate: SelectionCertificate
    fitted: Fitted

    # -- coefficients ------------------------------------------------------------------------------------

    @property
    def design(self) -> Design:
        """Columns of the model of the mean."""
        return self.coefficients.design

    @property
    def params(self) -> pd.Series:
        """Coefficients by name."""
        return self.coefficients.params

    @property
    def bse(self) -> pd.Series:
        """Standard errors by name."""
        return self.coefficients.bse

    @property
    def tvalues(self) -> pd.Series:
        """Z statistics by name."""
        return self.coefficients.tvalues

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values by name."""
        return self.coefficients.pvalues

    def conf_int(self, level: float | None = None) -> pd.DataFrame:
        """Return the Wald intervals of the coefficients: columns low and high.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the model.
        """
        return self.coefficients.conf_int(level)

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the coefficients."""
        return self.coefficients.cov_params()

    @property
    def name(self) -> str:  # type: ignore[override]
        """The kind of model: "selection model (step: 0.025)"."""
        inside = ", ".join(f"{cut:.4g}" for cut in self.cuts)
        words = self.weights.replace("-", " ")
        return f"selection model ({words}{': ' + inside if inside else ''})"

    @property
    def tau(self) -> float:
        """Between-study standard deviation before selection."""
        return float(np.sqrt(self.tau2))

    @property
    def parameter_count(self) -> int:
        """Number of estimated parameters."""
        weights = sum(not fixed for fixed in self.delta_is_fixed)
        return self.design.p + (not self.tau2_given) + weights

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return -2 * self.llf + 2 * self.parameter_count

    @property
    def bic(self) -> float:
        """The Bayesian information criterion."""
        return -2 * self.llf + self.parameter_count * float(np.log(self.k))

    @property
    def study_pvalues(self) -> Array:
        """The p-values of the effects, shape (k,), one-sided in the favoured direction or two-sided."""
        return pvalues_of(self.fitted.shape, self.fitted.data)

    @cached_property
    def heterogeneity_test(self) -> TestResult:
        """Likelihood-ratio test of tau2 = 0 within the selection model.

        The chi-square distribution with 1 degree of freedom takes no notice of tau2 being at its bound, so
        that the p-value is too large (up to twice).
        """
        null = "no heterogeneity (tau2 = 0)"
        if self.tau2_given:
            return TestResult(np.nan, "chi2", (1.0,), np.nan, f"{null}; tau2 is given")
        data, _, parts, fixed, solution = self.fitted
        if parts is None:
            rest = estimated_truncation(data, 0.0)[0].llf
        else:
            rest = solve(data, parts, 0.0, fixed, solution.theta[None]).llf
        return make_test(max(0.0, 2 * (solution.llf - rest)), "chi2", (1.0,), null)

    # -- the weight function -----------------------------------------------------------------------------

    def weight_at(self, p: ArrayLike) -> Array:
        """Return the relative probability of selection at p-values.

        Parameters
        ----------
        p : array_like
            p-values, from 0 to 1: one-sided in the favoured direction, or two-sided if the model is.

        Returns
        -------
        ndarray
            Weights. Steps are relative to the first one, or to the next one with p-values where it has none;
            half-normal and the like to p = 0; beta weights are as their formula has them.

        Raises
        ------
        InputError
            If the weights depend on the effect or on its precision too, or a p-value is none.

        Examples
        --------
        >>> import metaexo as mx
        >>> y, v = [0.9, 0.7, 0.8, 0.1, 0.6, 0.4, 0.2], [0.09, 0.05, 0.1, 0.02, 0.06, 0.01, 0.03]
        >>> es = mx.EffectSizes(y, v)
        >>> fixed = mx.bias.selection_model(es, cuts=(0.025, 0.5), delta=(1, 0.7, 0.4))
        >>> fixed.weight_at([0.01, 0.2, 0.8]).tolist()
        [1.0, 0.7, 0.4]
        """
        values = read_numbers(p, "p")
        if not ((values >= 0) & (values <= 1)).all():
            raise InputError("some p-values are missing or beyond 0 to 1", "p-values from 0 to 1")
        if self.weights.startswith("truncated"):
            raise InputError(
                f"the weights of this model ({self.weights}) depend on the effect, not on its p-value",
                "weights of p-values",
                "look at delta: the weight of effects beyond the truncation point",
            )
        if self.fitted.shape.precision is not None:
            raise InputError(
                "the weights of this model depend on the precision too",
                "weights of p-values alone",
                "fit it without precision=",
            )
        if self.weights == "step":
            cuts = np.array([cut for cut in self.cuts if cut < 1])
            parameters = self.fitted.solution.problem.values(self.fitted.solution.theta[None])[0]
            return np.asarray(np.exp(parameters)[step_of(values, cuts)])
        smooth = self.fitted.solution.problem.weights
        assert isinstance(smooth, Smooth)
        with np.errstate(all="ignore"):  # of p = 0 and 1 the logarithm is so low that a power of 0 is 1
            logs = np.maximum(np.log(values), -1e300), np.maximum(np.log1p(-values), -1e300)
            parameters = tuple(np.array(d) for d in self.delta)
            found = smooth.log_weight(logs, np.array(1.0), parameters)
            return np.asarray(np.exp(found.value))

    # -- intervals by the profile likelihood -------------------------------------------------------------

    def profile_interval(self, parameter: str, level: float | None = None) -> tuple[float, float]:
        """Return the interval of a parameter by its profile likelihood.

        Use it in place of Wald intervals where there are few studies: it is not symmetric, does not go
        beyond bounds, and needs no standard error.

        Parameters
        ----------
        parameter : str
            "mean" (of a model without moderators), "tau2", or one of `delta_names`.
        level : float, optional
            Confidence level; default that of the model.

        Returns
        -------
        tuple of float
            Lower and upper end; infinite where the profile likelihood does not fall far enough, NaN for what
            is fixed or not identified.

        Raises
        ------
        InputError
            If there is no such parameter.

        Examples
        --------
        >>> import metaexo as mx
        >>> y, v = [0.9, 0.7, 0.8, 0.1, 0.6, 0.4, 0.2], [0.09, 0.05, 0.1, 0.02, 0.06, 0.01, 0.03]
        >>> es = mx.EffectSizes(y, v)
        >>> low, high = mx.bias.selection_model(es).profile_interval("mean")
        >>> print(f"{low:.2f} to {high:.2f}")
        -0.12 to 0.62
        """
        names = (*(("mean",) if self.design.x is None else ()), "tau2", *self.delta_names)
        if parameter not in names:
            raise InputError(f"the parameter {parameter!r} was asked for", f"one of {', '.join(names)}")
        return self._profiles([parameter], self._level(level))[0]

    def _level(self, level: float | None) -> float:
        return self.level if level is None else check_level(level)

    def _profiles(self, names: list[str], level: float) -> list[tuple[float, float]]:
        """Return intervals by name, all found together."""
        data, p = self.fitted.data, self.fitted.data.p
        first = p + 1 + self.weights.startswith("truncated")
        place = {"mean": 0, "tau2": p, **{name: first + j for j, name in enumerate(self.delta_names)}}
        asked = [name for name in names if self._has_profile(place[name])]
        found = dict.fromkeys(names, (np.nan, np.nan))
        if asked:
            drop = 0.5 * normal_quantile(level) ** 2
            ends = profile_bounds(self.fitted.solution, data, [place[name] for name in asked], drop)
            for name, (low, high) in zip(asked, ends, strict=True):
                found[name] = self._outer(place[name], low, high)
        return [found[name] for name in names]

    def _has_profile(self, i: int) -> bool:
        solution = self.fitted.solution
        return i < solution.theta.size and bool(solution.low[i] < solution.high[i])

    def _outer(self, i: int, low: float, high: float) -> tuple[float, float]:
        """Return the ends for an element of theta on the scale of its parameter; infinite at the search's."""
        data, p, solution = self.fitted.data, self.fitted.data.p, self.fitted.solution
        at_low, at_high = low <= solution.low[i], high >= solution.high[i]
        if i < p:
            ends = np.array([-np.inf if at_low else low, np.inf if at_high else high])
            ends = float(data.to_beta[0, 0]) * ends + data.centre
            return float(ends.min()), float(ends.max())
        if i == p:
            scale = data.unit**2
            first = 0.0 if at_low else max(float(np.exp(low)) - data.floor, 0.0) * scale
            return first, np.inf if at_high else (float(np.exp(high)) - data.floor) * scale
        shift = float(solution.problem.shift[i - p - 1])
        shift = 0.0 if np.isnan(shift) else shift
        first = 0.0 if at_low else float(np.exp(low)) - shift
        return first, np.inf if at_high else float(np.exp(high)) - shift

    @cached_property
    def _delta_profiles(self) -> Array:
        return lock(np.array(self._profiles(list(self.delta_names), self.level)).reshape(-1, 2))

    @property
    def delta_low(self) -> Array:
        """Lower ends of the profile-likelihood intervals of `delta`, shape (J,); NaN for what is fixed."""
        return self._delta_profiles[:, 0]

    @property
    def delta_high(self) -> Array:
        """Upper ends of the profile-likelihood intervals of `delta`, shape (J,)."""
        return self._delta_profiles[:, 1]

    def wald_intervals(self, level: float | None = None) -> pd.DataFrame:
        """Return the Wald intervals of tau2 and of the weights, cut at 0.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the model.

        Returns
        -------
        DataFrame
            Columns estimate, se, low, high; a row per parameter.
        """
        import pandas as pd

        estimate, se = np.append(self.tau2, self.delta), np.append(self.tau2_se, self.delta_se)
        half = normal_quantile(self._level(level)) * se
        with np.errstate(invalid="ignore"):
            low = np.maximum(estimate - half, 0.0)
        table = {"estimate": estimate, "se": se, "low": low, "high": estimate + half}
        return pd.DataFrame(table, index=pd.Index(["tau2", *self.delta_names], name="parameter"))

    # -- for readers -------------------------------------------------------------------------------------

    @property
    def sentence(self) -> str:
        """What was found, in one plain sentence."""
        name = f"{self.name[0].upper()}{self.name[1:]}, {FAVOURED[self.alternative]} favoured"
        if not self.usable:
            return f"{name}: the data do not determine the model; its cautions say why."
        if self.design.x is not None:
            head = f"{name}, with {plural(self.design.p, 'coefficient')}"
        else:
            plain = number(float(back_pooled(self.effects, [self.unadjusted])[0]), 3)
            head = f"{name}: adjusted estimate {self.shown}, without selection {plain}"
        if self.lrt.df[0] > 0:
            test = f"test of selection chi2({self.lrt.df[0]:.0f}) = {number(self.lrt.statistic)}, "
            return f"{head}; {test}{p_value(self.lrt.pvalue)}."
        return f"{head}; the weights are given."

    def parameters(self) -> pd.DataFrame:
        """Return a row per parameter: coefficients, tau2, weights; ratios beside logarithms.

        Columns parameter, part ("mean", "heterogeneity", "selection"), estimate, se, low, high, pvalue.
        Intervals
        of coefficients are Wald intervals with z tests, those of tau2 and of the weights are by the profile
        likelihood; whether there is selection is tested by `lrt`.
        """
        import pandas as pd

        mean, p = self.coefficients, self.design.p
        low, high = mean.bounds()
        ends = np.array(self._profiles(["tau2", *self.delta_names], self.level))
        names = ["mean"] if self.design.x is None else list(self.design.names)
        frame = pd.DataFrame(
            {
                "parameter": [*names, "tau2", *self.delta_names],
                "part": ["mean"] * p + ["heterogeneity"] + ["selection"] * len(self.delta),
                "estimate": np.concatenate([mean.beta, [self.tau2], self.delta]),
                "se": np.concatenate([mean.se, [self.tau2_se], self.delta_se]),
                "low": np.concatenate([low, ends[:, 0]]),
                "high": np.concatenate([high, ends[:, 1]]),
                "pvalue": np.concatenate([mean.wald_pvalues, np.full(1 + len(self.delta), np.nan)]),
            }
        )
        if not self.measure.display_log:
            return frame
        made = with_ratios(frame, "pvalue")
        made.loc[made["part"] != "mean", ["ratio", "ratio_low", "ratio_high"]] = np.nan
        return made

    def reader_tables(self) -> list[ReaderTable]:
        """Return the table of parameters, numbers rounded."""
        return [cells_of(self.parameters())]
