r"""The bootstrap of what a fit says: estimate, heterogeneity, or any number that a function makes of a fit.

Non-parametric: studies, or other clusters of effects, are drawn with replacement, as many as there are, and
the model is fitted to what was drawn. Parametric: effects are drawn from the fitted model (see
`simulate`), and the model is fitted to them.

Fits of one effect per study are refitted in one batched call. Others are refitted one by one; multilevel fits
start from the estimates of the fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from metaexo.effects.conversions.scales import back_pooled
from metaexo.errors import InputError, MetaexoError, TooFewStudiesError, UnknownChoiceError
from metaexo.formatting import interval as interval_words
from metaexo.formatting import level_words, number, percent, plural
from metaexo.heterogeneity.attribution.results import AttributionResults
from metaexo.heterogeneity.strata.results import StratifiedResults
from metaexo.immutable import lock
from metaexo.inputs import check_choice, describe, whole_number
from metaexo.models.censored.imputation import ImputedResults
from metaexo.models.censored.results import CensoredResults
from metaexo.models.counts.fit import CountResults
from metaexo.models.linear.grouping import split_clusters
from metaexo.models.linear.results import FitResults
from metaexo.models.location_scale.results import LocationScaleResults
from metaexo.models.multilevel.model import with_rows
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.bootstrap import (
    INTERVALS,
    Ends,
    acceleration_of,
    acceleration_of_variance,
    bias_correction,
    intervals_of,
    vary,
)
from metaexo.numeric.mixed.law import Law
from metaexo.numeric.mixed.structured import maximise
from metaexo.readable import Readable
from metaexo.runs import run
from metaexo.runs.counter import integers
from metaexo.sensitivity.refit import checked_fit, refit
from metaexo.sensitivity.refits import is_pooled_together, leaving_out, refits
from metaexo.sensitivity.simulate import law_of
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("nonparametric", "parametric")
# Other words of the field.
SYNONYMS = {"non-parametric": "nonparametric", "perc": "percentile", "norm": "normal", "stud": "studentized"}
NAMES = {"bca": "BCa"}
# Draws by default: where fits come in batches, and where they are made one by one.
DRAWS_IN_BATCHES, DRAWS_ONE_BY_ONE = 9_999, 1_999
LEAST_DRAWS, MOST_DRAWS = 19, 10**8
# Numbers of one batched call, and refits that are made together where they are made one by one.
PIECE, BLOCK = 4_000_000, 16
# Fewer units than this carry a caution.
FEW_UNITS = 15
# Most effects for which the acceleration of a variance is computed: it takes a dense matrix.
MOST_DENSE = 1_500
# What a refit may raise where a resample has no fit or no value of the statistic.
NO_VALUE = (MetaexoError, ArithmeticError, ValueError, LookupError, TypeError, AttributeError)

Statistics = str | Callable[[Any], float] | Sequence[str | Callable[[Any], float]] | None


# -- what is bootstrapped -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Statistic:
    """A number that a fit has."""

    name: str  # what it is called in tables
    # "coefficient", "component" (a variance), "correlation", "range", "scale", "share", "tau2", "tau", "i2",
    # "h2", "q" or "function"
    kind: str
    of: Any  # the coefficient or component, or the function

    def value(self, fit: Any) -> float:
        """Return its value in a fit."""
        if self.kind == "function":
            return _number(self.name, self.of(fit))
        if self.kind == "coefficient":
            return float(fit.beta[_position(fit.design.names, self.of)])
        if self.kind in ("component", "correlation", "range"):
            components = _components(fit)
            return float(list(components.values())[_position(components, self.of)])
        if self.kind == "scale":
            scale = fit.scale_coefficients
            return float(scale.beta[_position(scale.design.names, self.of)])
        if self.kind == "share":
            return _share(fit, self.of)
        return float(fit.q.statistic if self.kind == "q" else getattr(fit, self.kind))

    def se(self, fit: Any) -> float:
        """Return its standard error in a fit; NaN where it has none."""
        return float(fit.se[_position(fit.design.names, self.of)]) if self.kind == "coefficient" else math.nan

    @property
    def range(self) -> tuple[float, float]:
        """Values that it can have."""
        if self.kind in ("i2", "share"):
            return 0.0, 1.0
        if self.kind == "correlation":
            return -1.0, 1.0
        least = {"tau2": 0.0, "tau": 0.0, "component": 0.0, "range": 0.0, "q": 0.0, "h2": 1.0}
        return least.get(self.kind, -math.inf), math.inf


def _position(names: Iterable[str], name: str) -> int:
    """Return the position of a coefficient or component, which a draw may not hold."""
    found = list(names)
    if name not in found:
        raise InputError(f"there is no {name} in the draw", "rows that determine it")
    return found.index(name)


def _called(name: str) -> str:
    """Return what a statistic is called in a sentence."""
    return name if name.startswith("statistic ") else f"the statistic {name}"


def _number(name: str, value: object) -> float:
    found = np.asarray(value)
    if found.size != 1 or found.dtype.kind not in "fiub":
        raise InputError(
            f"{_called(name)} returned {describe(value)}", "a single number for every fit",
            "hand several functions in, one for each number",
        )  # fmt: skip
    return float(found.reshape(()))


def _components(fit: Any) -> Mapping[str, float]:
    """Return variances, and correlations of multilevel fits, by name."""
    found: Mapping[str, float] = getattr(fit, "component_values", None) or fit.tau2_by_component
    return found


def _share(fit: Any, component: str) -> float:
    """Return the I2 of a component."""
    if isinstance(fit, StratifiedResults):
        return float(fit[component].fit.i2)  # type: ignore[union-attr]
    if fit.tau2 == 0:
        return 0.0
    return float(fit.i2 * fit.tau2_shares[list(fit.tau2_by_component).index(component)])


def statistics_of(fit: FitResults, wanted: object) -> tuple[Statistic, ...]:
    """Return statistics by their names or functions; by default the coefficients and the heterogeneity."""
    if wanted is None:
        return tuple(_named(fit, name) for name in _default_names(fit))
    if isinstance(wanted, Mapping):
        pairs = [(str(name), each) for name, each in wanted.items()]
    elif isinstance(wanted, str) or callable(wanted):
        pairs = [("", wanted)]
    elif isinstance(wanted, Sequence):
        pairs = [("", each) for each in wanted]
    else:
        raise InputError(
            f"statistic is {describe(wanted)}", "names, or functions of a fit", 'write "tau2", or a function'
        )
    found = [_read(fit, name, each, i) for i, (name, each) in enumerate(pairs)]
    names = [one.name for one in found]
    if not found or len(set(names)) < len(names):
        raise InputError(
            f"there are {len(names)} statistics called {', '.join(names)}"
            if names
            else "there is no statistic",
            "at least one statistic, each with its own name",
            'name functions by a dict: {"ratio": function}',
        )
    return tuple(found)


def _read(fit: FitResults, name: str, wanted: object, place: int) -> Statistic:
    if isinstance(wanted, str):
        found = _named(fit, wanted)
        return replace(found, name=name) if name else found
    if not callable(wanted):
        raise InputError(f"a statistic is {describe(wanted)}", "a name, or a function of a fit")
    own = getattr(wanted, "__name__", "")
    return Statistic(name or (own if own.isidentifier() else f"statistic {place + 1}"), "function", wanted)


def _default_names(fit: FitResults) -> list[str]:
    names = ["estimate"] if fit.design.x is None else list(fit.design.names)
    if isinstance(fit, LocationScaleResults):
        names += [f"scale:{name}" for name in fit.scale_design.names]
    if isinstance(fit, StratifiedResults):
        separate = fit.is_random and fit.tau2_mode != "common"
        return names + (
            [f"tau2:{name}" for name in fit.tau2_by_component] if separate else ["tau2"] * fit.is_random
        )
    several = list(_components(fit)) if len(_components(fit)) > 1 else []
    if fit.tau2_is_estimated:
        names += [*several, "tau2"]
    shares = [f"i2:{name}" for name in fit.tau2_by_component] if len(fit.tau2_by_component) > 1 else []
    known = [name for name in shares if np.isfinite(_named(fit, name).value(fit))]
    return [*names, *(["i2"] if fit.tau2_is_estimated or not fit.is_random else []), *known]


def _kind_of(fit: FitResults, component: str) -> str:
    """Return whether a component is a variance, a correlation, or the range of one."""
    if not isinstance(fit, MultilevelResults):
        return "component"
    kinds = [kind for named in fit.terms for kind in named.kinds]
    kind = kinds[list(fit.component_values).index(component)]
    return "component" if kind == "variance" else kind


def _named(fit: FitResults, word: str) -> Statistic:
    names, components = list(fit.design.names), list(_components(fit))
    if word == "estimate" and fit.design.x is None:
        return Statistic(word, "coefficient", names[0])
    if word in names:
        return Statistic(word, "coefficient", word)
    if word in ("tau2", "tau", "i2", "h2", "q"):
        return Statistic(word, word, None)
    start, _, rest = word.partition(":")
    if start == "tau2" and rest in fit.tau2_by_component:
        return Statistic(word, "component", rest)
    if start == "i2" and rest in fit.tau2_by_component:
        return Statistic(word, "share", rest)
    if start == "scale" and isinstance(fit, LocationScaleResults) and rest in fit.scale_design.names:
        return Statistic(word, "scale", rest)
    if word in components:
        return Statistic(word, _kind_of(fit, word), word)
    pooled = ["estimate"] if fit.design.x is None else []
    raise UnknownChoiceError(
        "statistic", word, [*pooled, *names, "tau2", "tau", "i2", "h2", "q", *components]
    )


# -- the result ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap(Readable):
    """Bootstrap draws of statistics of a fit, and their intervals.

    Attributes
    ----------
    names : tuple of str
        Statistics.
    estimates : ndarray, shape (s,)
        Their values in the fit.
    draws : ndarray, shape (B, s)
        Their values in the refits; NaN where there is none. `values` leaves these out.
    intervals : mapping of str to tuple of Ends
        Kind of interval ("bca", "percentile", "basic", "studentized", "normal") to the interval of each
        statistic, with the Monte Carlo errors of its ends; NaN where there is none.
    interval : str
        The kind that was asked for; `low` and `high` are of this kind.
    bias_correction, acceleration : ndarray, shape (s,)
        z0 and a of BCa.
    kind : {"nonparametric", "parametric"}
        What was drawn.
    units : str
        What was drawn in words: "13 studies".
    level : float
        Level of the intervals.
    seed : int
        Seed of the random numbers.
    reasons : mapping of int to str
        Draw to the reason why it has no fit.
    ratios : tuple of bool
        Which statistics are logarithms of ratios.
    said : tuple of str
        What to know before relying on the intervals; `cautions()` returns it.
    effects : EffectSizes or BoundedEffectSizes
        The effects of the fit.
    """

    names: tuple[str, ...]
    estimates: Array
    draws: Array
    intervals: Mapping[str, tuple[Ends, ...]]
    interval: str
    bias_correction: Array
    acceleration: Array
    kind: str
    units: str
    level: float
    seed: int
    reasons: Mapping[int, str]
    ratios: tuple[bool, ...]
    said: tuple[str, ...]
    effects: Any

    @property
    def size(self) -> int:
        """Number of draws B."""
        return len(self.draws)

    @property
    def fitted(self) -> int:
        """Number of draws that have a fit."""
        return self.size - len(self.reasons)

    @property
    def low(self) -> Array:
        """Lower ends of the intervals, shape (s,)."""
        return lock(np.array([ends.low for ends in self.intervals[self.interval]]))

    @property
    def high(self) -> Array:
        """Upper ends of the intervals, shape (s,)."""
        return lock(np.array([ends.high for ends in self.intervals[self.interval]]))

    @property
    def bias(self) -> Array:
        """Mean of the draws minus the estimate, shape (s,)."""
        estimates = np.where(np.isfinite(self.estimates), self.estimates, np.nan)
        return lock(np.array([_mean(self.values(name)) for name in self.names]) - estimates)

    @property
    def se(self) -> Array:
        """Standard deviation of the draws, shape (s,)."""
        several = [self.values(name) for name in self.names]
        return lock(np.array([draws.std(ddof=1) if draws.size > 1 else np.nan for draws in several]))

    def values(self, name: str) -> Array:
        """Return the draws of one statistic that have a value, for example for a histogram.

        Parameters
        ----------
        name : str
            Name of the statistic.
        """
        check_choice("statistic", name, self.names)
        column = self.draws[:, self.names.index(name)]
        return np.asarray(column[np.isfinite(column)])

    def to_frame(self) -> pd.DataFrame:
        """Return one row per statistic: estimate, bias, se, low, high, and the errors of the ends.

        The columns low_error and high_error are Monte Carlo standard errors. With logarithms of ratios the
        columns ratio, ratio_low and ratio_high stand at the end, NaN for other statistics.
        """
        import pandas as pd

        ends = self.intervals[self.interval]
        columns = {"estimate": self.estimates, "bias": self.bias, "se": self.se}
        columns |= {field: np.array([getattr(one, field) for one in ends]) for field in Ends._fields}
        if any(self.ratios):
            which = np.array(self.ratios)
            for name, of in (("ratio", "estimate"), ("ratio_low", "low"), ("ratio_high", "high")):
                with np.errstate(over="ignore"):
                    columns[name] = np.where(which, np.exp(np.where(which, columns[of], 0.0)), np.nan)
        return pd.DataFrame(columns, index=pd.Index(self.names, name="statistic"))

    def all_intervals(self) -> pd.DataFrame:
        """Return one row per statistic and kind of interval: low, high, low_error, high_error.

        All kinds are made of the same draws.
        """
        import pandas as pd

        rows = {
            (name, kind): self.intervals[kind][j]._asdict()
            for j, name in enumerate(self.names)
            for kind in self.intervals
        }
        index = pd.MultiIndex.from_tuples(rows, names=["statistic", "kind"])
        return pd.DataFrame(list(rows.values()), index=index)

    @property
    def sentence(self) -> str:
        """What was done and found, in plain words."""
        parts = [self._found(j) for j in range(len(self.names))]
        what = "non-parametric" if self.kind == "nonparametric" else "parametric"
        lost = ""
        if self.reasons:
            lost = f"; {plural(len(self.reasons), 'draw')} without a fit left out"
        return (
            f"{self.size:,} {what} bootstrap draws of {self.units} (seed {self.seed}){lost}: "
            f"{level_words(self.level)} {NAMES.get(self.interval, self.interval)} intervals: "
            + "; ".join(parts)
        )

    def _found(self, j: int) -> str:
        """Return a statistic with its interval in words."""
        estimate, ends = float(self.estimates[j]), self.intervals[self.interval][j]
        name, share = self.names[j], self.names[j].partition(":")[0] == "i2"
        text = f"{_in_words(name)} {percent(estimate) if share else number(estimate, 4)}"
        if math.isnan(ends.low):
            return f"{text}, no interval"
        if share:
            return f"{text}, {percent(ends.low)} to {percent(ends.high)}"
        text += f", {interval_words(ends.low, ends.high, 4)}"
        if name == "estimate" and self.effects.measure.rescaled:
            a, b, c = (
                number(float(x), 3) for x in back_pooled(self.effects, [estimate, ends.low, ends.high])
            )
            text += f" ({self.effects.measure.display} {a}, {b} to {c})"
        return text

    def table_notes(self) -> list[str]:
        """Return the sentence, which stands below the table."""
        return [self.sentence]

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the intervals; empty if there is nothing."""
        return self.said

    def __repr__(self) -> str:
        return f"Bootstrap({self.sentence})"


def _in_words(name: str) -> str:
    """Return the name of a statistic as it stands in a sentence: "I2 of study"."""
    return f"I2{name[2:].replace(':', ' of ')}" if name.partition(":")[0] == "i2" else name


def _mean(draws: Array) -> float:
    return float(draws.mean()) if draws.size else math.nan


# -- the bootstrap ------------------------------------------------------------------------------------------


def bootstrap(
    results: FitResults,
    statistic: Statistics | Mapping[str, Any] = None,
    *,
    kind: Literal["nonparametric", "parametric"] = "nonparametric",
    draws: int | None = None,
    interval: Literal["bca", "percentile", "basic", "studentized", "normal"] = "bca",
    cluster: str | Sequence[object] | ArrayLike = "study",
    seed: int = 0,
    level: float | None = None,
) -> Bootstrap:
    r"""Bootstrap the estimate, the heterogeneity, or any number that can be computed from a fit.

    Use it for what has no interval by formula, such as I2 by level of a multilevel fit, a ratio of
    coefficients, or tau2 by an estimator without a standard error; and to see whether an interval by formula
    can be believed.

    Kinds of intervals, with t the estimate, :math:`t^*_p` the quantile of the draws at p, and
    :math:`\alpha = (1 - level) / 2`:

    - percentile: :math:`t^*_\alpha` to :math:`t^*_{1-\alpha}`;
    - basic: :math:`2t - t^*_{1-\alpha}` to :math:`2t - t^*_\alpha`;
    - normal: t minus the bias, plus and minus a normal quantile times the standard deviation of the draws;
    - studentized: t minus its standard error times quantiles of :math:`(t^* - t) / se^*`; coefficients only;
    - BCa: percentile with levels that allow for bias and for a standard error that changes with the
      parameter. Non-parametric: the acceleration a is by leaving out a unit at a time. Parametric: a is the
      skewness of the score over 6, which is 0 for coefficients, and for variances estimated by likelihood
      that of a quadratic form; for other statistics a is 0, so that the interval is bias-corrected only.

    Parameters
    ----------
    results : FitResults
        A fit of any family but imputed and attributed ones.
    statistic : str, callable, sequence or dict of these, optional
        "estimate" (the pooled effect), the name of a coefficient, "tau2", "tau", "i2", "h2", "q", a variance
        component or correlation of a multilevel fit, "tau2:NAME" or "i2:NAME" of a component or stratum,
        "scale:NAME" of a location-scale fit; or a function of a fit that returns a number. Default: the
        coefficients, tau2 and I2, by component where there are several.
    kind : {"nonparametric", "parametric"}
        "nonparametric": clusters are drawn with replacement; rows of a cluster stay together. "parametric":
        effects are drawn from the fitted model.
    draws : int, optional
        Number of draws. Default: 9,999 for fits of RandomEffects, which come in batches, and 1,999 for other
        families and for functions, which are refitted one by one.
    interval : {"bca", "percentile", "basic", "studentized", "normal"}
        Kind of the intervals that are shown; all others are made of the same draws.
    cluster : str or sequence, length k
        What is drawn in the non-parametric bootstrap: a column, or a label per effect. "effect": single
        effects. Default: studies.
    seed : int
        Seed of the random numbers.
    level : float, optional
        Level of the intervals; default that of the fit.

    Returns
    -------
    Bootstrap
        Estimates, bias, standard errors, intervals with Monte Carlo errors, and the draws. Intervals of
        variances and of I2 are cut to the values that are possible.

    Raises
    ------
    InputError
        If the fit or a statistic cannot be bootstrapped; it says what to do.
    UnknownChoiceError
        If a word is not known.
    TooFewStudiesError
        If there are fewer than three clusters to draw from.

    Notes
    -----
    With few clusters the intervals tend to be too narrow: resampling G of them loses a factor of about
    sqrt((G - 1) / G), and percentile-type intervals do not widen as the t distribution does (Hesterberg
    2015). Where tau2 is estimated as 0, at the edge of what it can be, the bootstrap is not consistent
    (Andrews 2000). The result carries a caution in both cases.

    A resample without a fit, such as one that holds a single effect several times, or that does not determine
    a coefficient, is left out; the result counts these draws and says why.

    References
    ----------
    Efron, B. (1987). Better bootstrap confidence intervals. Journal of the American Statistical Association
    82, 171-185. https://doi.org/10.1080/01621459.1987.10478410
    DiCiccio, T. J., Efron, B. (1996). Bootstrap confidence intervals. Statistical Science 11, 189-228.
    https://doi.org/10.1214/ss/1032280214
    Van den Noortgate, W., Onghena, P. (2005). Parametric and nonparametric bootstrap methods for
    meta-analysis. Behavior Research Methods 37, 11-22. https://doi.org/10.3758/BF03206394
    Hesterberg, T. C. (2015). What teachers should know about the bootstrap. The American Statistician 69,
    371-386. https://doi.org/10.1080/00031305.2015.1089789
    Andrews, D. W. K. (2000). Inconsistency of the bootstrap when a parameter is on the boundary of the
    parameter space. Econometrica 68, 399-405. https://doi.org/10.1111/1468-0262.00114

    Examples
    --------
    >>> import metaexo as mx
    >>> trials = mx.load_dataset("bcg")
    >>> fit = mx.RandomEffects(mx.effect_sizes("RR", data=trials, labels="study")).fit()
    >>> found = mx.sensitivity.bootstrap(fit)
    >>> found.to_frame()[["estimate", "low", "high"]].round(2).to_dict("index")["estimate"]
    {'estimate': -0.71, 'low': -1.07, 'high': -0.38}
    >>> found.values("tau2").size
    9999
    """
    fit = checked_fit(results)
    chosen = fit.at_level(level)
    kind, interval = _word(kind), _word(interval)
    check_choice("kind of bootstrap", kind, KINDS)
    check_choice("kind of interval", interval, INTERVALS)
    start = whole_number(seed, "seed", 0)
    _refuse_families(fit, kind)
    wanted = statistics_of(fit, statistic)
    source = _plain(fit, interval == "studentized")
    together = isinstance(source, RandomEffectsResults) or is_pooled_together(source)
    in_batches = together and all(one.kind != "function" for one in wanted)
    default = DRAWS_IN_BATCHES if in_batches else DRAWS_ONE_BY_ONE
    count = default if draws is None else whole_number(draws, "draws", LEAST_DRAWS)
    if count > MOST_DRAWS:
        raise InputError("draws is too large", f"at most {MOST_DRAWS:,} draws")
    drawing = _drawing(fit, kind, cluster, start)
    estimates = np.array([_of_fit(one, fit) for one in wanted])
    make = _in_batches if in_batches else _one_by_one
    values, errors, reasons = make(source, wanted, drawing, count)
    if isinstance(drawing, Resampling):
        accelerations = _by_jackknife(source, wanted, drawing, make)
    else:
        accelerations = np.array([_by_score(fit, one) for one in wanted])
    return _result(
        fit, wanted, drawing, chosen, interval, start, (estimates, values, errors, reasons, accelerations)
    )


def _word(word: Any) -> Any:
    """Return the one word for a choice that has several."""
    return SYNONYMS.get(word, word) if isinstance(word, str) else word


def _refuse_families(fit: FitResults, kind: str) -> None:
    """Raise if fits of this family cannot be bootstrapped."""
    if isinstance(fit, AttributionResults):
        raise InputError(
            "an attribution has intervals by a bootstrap of its own",
            "a fit of a model",
            "attribute again with more draws, or bootstrap the additive model, results.model",
        )
    if isinstance(fit, ImputedResults):
        raise InputError(
            "a fit by multiple imputation has its own variance between imputations",
            "the fit by likelihood that was imputed from",
            "bootstrap results.likelihood",
        )
    if kind == "parametric" and isinstance(fit, CensoredResults):
        raise InputError(
            "how censored effects come to be reported is not part of the model, so none can be drawn",
            'kind="nonparametric", or a fit of effects that are points',
            'write kind="nonparametric"',
        )


def _plain(fit: FitResults, studentized: bool) -> FitResults:
    """Return a fit whose refits cost least; standard errors do not matter unless they are asked for."""
    if studentized:
        return fit
    changes: dict[str, Any] = {}
    if fit.robust_covariance is not None:
        changes["robust_covariance"] = None
    if isinstance(fit, RandomEffectsResults):
        changes |= {"test": "z", "df_given": None}
    return replace(fit, **changes) if changes else fit  # type: ignore[type-var]


def _of_fit(statistic: Statistic, fit: FitResults) -> float:
    """Return a statistic of the fit itself; say so if its function fails."""
    try:
        return statistic.value(fit)
    except Exception as problem:  # whatever a function of the user's raises
        if isinstance(problem, MetaexoError) and not isinstance(problem, AttributeError | TypeError):
            raise  # what a fit says of itself, and no name or call that is misspelt
        raise InputError(
            f"{_called(statistic.name)} failed for the fit itself ({type(problem).__name__}: {problem})",
            "a function that takes a fit and returns a number",
            "try it: statistic(results)",
        ) from problem


# -- draws --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Resampling:
    """Clusters drawn with replacement."""

    seed: int
    members: tuple[Index, ...]  # rows of each cluster
    code: Index  # cluster of each row, shape (k,)
    units: str

    def counts(self, begin: int, end: int) -> Array:
        """Return how often each row takes part in draws begin to end, shape (end - begin, k)."""
        size, drawn = len(self.members), integers(self.seed, begin, end, len(self.members), len(self.members))
        flat = (drawn + size * np.arange(end - begin)[:, None]).ravel()
        clusters = np.bincount(flat, minlength=size * (end - begin)).reshape(-1, size)
        return np.asarray(clusters[:, self.code], dtype=float)


@dataclass(frozen=True, eq=False)
class Simulation:
    """Effects drawn from the model."""

    seed: int
    law: Law
    y: Array  # (k,): the effects of the fit, for rows that have no draws
    units: str

    def effects(self, begin: int, end: int) -> Array:
        """Return the effects of draws begin to end, shape (end - begin, k)."""
        found = self.law.draw(self.seed, begin, end)
        return np.where(np.isnan(found), self.y, found)


def _drawing(fit: FitResults, kind: str, cluster: Any, seed: int) -> Resampling | Simulation:
    if kind == "parametric":
        if not isinstance(cluster, str) or cluster != "study":
            raise InputError(
                "a cluster was given for the parametric bootstrap, which draws effects from the model",
                'kind="nonparametric" for drawing clusters',
                "leave cluster out, or fit the dependence within clusters with mx.Multilevel",
            )
        return Simulation(seed, law_of(fit), np.asarray(fit.effects.y), plural(fit.k, "effect"))
    names, members = split_clusters(fit.effects, cluster)  # type: ignore[arg-type]
    word, words = {"study": ("study", "studies"), "effect": ("effect", "effects")}.get(
        cluster if isinstance(cluster, str) else "", ("cluster", "clusters")
    )
    if len(names) < 3:
        independent = ', or cluster="effect" if effects are independent' if fit.k > 2 else ""
        instead = "use the intervals of the fit" if isinstance(fit, CountResults) else 'use kind="parametric"'
        raise TooFewStudiesError(
            f"only {plural(len(names), word, words)} can be drawn",
            "at least three",
            f"{instead}{independent}",
        )
    code = np.empty(fit.k, dtype=np.intp)
    for i, rows in enumerate(members):
        code[rows] = i
    return Resampling(seed, tuple(members), code, plural(len(names), word, words))


Found = tuple[Array, Array, dict[int, str]]


def _in_batches(
    fit: Any, wanted: Sequence[Statistic], drawing: Resampling | Simulation, count: int, leaving: bool = False
) -> Found:
    """Return the draws of statistics, their standard errors, and the draws without a fit."""
    piece = max(1, PIECE // fit.k)
    values, errors = [], []
    reasons: dict[int, str] = {}
    for begin in range(0, count, piece):
        end = min(begin + piece, count)
        if leaving:
            counts = leaving_out(drawing.members, fit.k)(begin, end)  # type: ignore[union-attr]
            found = refits(fit, counts)
        elif isinstance(drawing, Resampling):
            counts = drawing.counts(begin, end)
            alone = (counts > 0).sum(axis=1) <= (fit.design.p if fit.tau2_is_estimated else 0)
            found = refits(fit, counts)
        else:
            found = refits(fit, y=drawing.effects(begin, end))
        table = np.column_stack([_column(found, one) for one in wanted])
        lost = dict(found.reasons)
        if isinstance(drawing, Resampling) and not leaving:
            table[alone] = np.nan
            lost |= dict.fromkeys(np.flatnonzero(alone).tolist(), TOO_FEW_DIFFERENT)
        values.append(table)
        errors.append(np.column_stack([_se_column(found, one) for one in wanted]))
        reasons |= {begin + i: words for i, words in lost.items()}
    return np.concatenate(values), np.concatenate(errors), reasons


TOO_FEW_DIFFERENT = "the draw holds too few different effects to estimate tau2"


def _column(found: Any, statistic: Statistic) -> Array:
    if statistic.kind == "coefficient":
        return np.asarray(found.beta[:, found.names.index(statistic.of)])
    if statistic.kind == "tau":
        return np.asarray(np.sqrt(found.tau2))
    column = {"component": "tau2", "share": "i2"}.get(statistic.kind, statistic.kind)
    return np.asarray(getattr(found, column))


def _se_column(found: Any, statistic: Statistic) -> Array:
    if statistic.kind != "coefficient":
        return np.full(found.size, np.nan)
    return np.asarray(found.se[:, found.names.index(statistic.of)])


def _one_by_one(
    fit: Any, wanted: Sequence[Statistic], drawing: Resampling | Simulation, count: int, leaving: bool = False
) -> Found:
    """Return the same by one refit after the other, here or on the workers of joblib."""
    from joblib import wrap_non_picklable_objects

    sent = tuple(
        replace(one, of=wrap_non_picklable_objects(one.of)) if one.kind == "function" else one
        for one in wanted
    )
    task = OneByOne(fit, sent, drawing, leaving)
    made = run(task, count, block=BLOCK, what="refits")
    reasons = {i: words for i, words in enumerate(made["reason"].tolist()) if words}
    return made["value"], made["se"], reasons


@dataclass(frozen=True, eq=False)
class OneByOne:
    """Refits from begin to end as columns; it can be sent to other processes."""

    fit: Any
    wanted: tuple[Statistic, ...]
    drawing: Resampling | Simulation
    leaving: bool  # whether clusters are left out in turn

    def __call__(self, begin: int, end: int) -> dict[str, Any]:
        """Return the columns value, se and reason."""
        shape = (end - begin, len(self.wanted))
        value, se, reason = (
            np.full(shape, np.nan),
            np.full(shape, np.nan),
            np.full(end - begin, "", dtype=object),
        )
        for i, make in enumerate(self._fits(begin, end)):
            try:
                found = make()
            except NO_VALUE as problem:
                reason[i] = _words(problem)
                continue
            for j, one in enumerate(self.wanted):
                try:
                    value[i, j], se[i, j] = one.value(found), one.se(found)
                except NO_VALUE as problem:
                    reason[i] = _words(problem)
            if np.isfinite(value[i]).any():
                reason[i] = ""
        return {"value": value, "se": se, "reason": reason}

    def _fits(self, begin: int, end: int) -> Iterator[Callable[[], Any]]:
        """Yield what makes each refit."""
        drawing = self.drawing
        if isinstance(drawing, Simulation):
            for y in drawing.effects(begin, end):
                yield partial(_refitted, self.fit, None, None, y)
            return
        if self.leaving:
            counts = leaving_out(drawing.members, self.fit.k)(begin, end)
        else:
            counts = drawing.counts(begin, end)
        for each in counts:
            rows = np.repeat(np.arange(self.fit.k), each.astype(np.intp))
            copies = None
            if (each > 1).any():
                copies = [str(n) for n in np.arange(rows.size) - np.searchsorted(rows, rows)]
            yield partial(_refitted, self.fit, rows, copies, None)


def _words(problem: Exception) -> str:
    return problem.given if isinstance(problem, MetaexoError) else f"{type(problem).__name__}: {problem}"


def _refitted(fit: Any, rows: Index | None, copies: list[str] | None, y: Array | None) -> Any:
    """Return a refit; multilevel ones are started from the estimates of the fit."""
    if _is_warm(fit):
        if rows is None:
            effects = fit.effects._taken(np.arange(fit.k), None, y=y)
            again = replace(fit, effects=effects, problem=_with_effects(fit.problem, effects.y))
        else:
            effects = fit.effects._taken(rows, copies)
            model = with_rows(fit, effects, rows, copies)
            again = replace(
                fit,
                effects=effects,
                design=model.design,
                terms=model.terms,
                problem=model.problem,
                fixed=model._fixed,
            )
        if again.problem.count == fit.problem.count:
            return _climbed(again, fit.maximum.theta)
    return refit(fit, rows, y=y, copies=copies)


def _is_warm(fit: Any) -> bool:
    """Say whether refits are started from the estimates of a fit."""
    plain = isinstance(fit, MultilevelResults) and fit.method in ("ML", "REML")
    return plain and fit.weighting is None and fit.robust_covariance is None


def _with_effects(problem: Any, y: Array) -> Any:
    """Return a problem with other effects; what does not depend on them is kept."""
    made = replace(problem, y=y)
    kept = {
        name: problem.__dict__[name]
        for name in ("chain", "cut", "basis", "across", "pattern")
        if name in problem.__dict__
    }
    made.__dict__.update(kept)
    return made


NUDGE = 1e-3


def _climbed(fit: MultilevelResults, theta: Array) -> MultilevelResults:
    """Return a fit with the maximum of its own problem, started from parameters."""
    low, high = fit.problem.bounds()
    least = np.where(np.isfinite(low), low + NUDGE * float(np.abs(theta).max(initial=0.0)), low)
    warm = np.clip(np.maximum(theta, least), None, high)
    found = maximise(fit.problem, fit.method == "REML", fit.fixed, warm=warm, certify=False)
    if isinstance(found, tuple):
        raise InputError(
            "the likelihood cannot be computed", "effects whose covariance matrix is not singular"
        )
    return replace(fit, maximum=found)


# -- acceleration -------------------------------------------------------------------------------------------


def _by_jackknife(
    fit: Any, wanted: Sequence[Statistic], drawing: Resampling, make: Callable[..., Found]
) -> Array:
    """Return the acceleration of each statistic by leaving out a cluster at a time."""
    values = make(fit, wanted, drawing, len(drawing.members), True)[0]
    return np.array([acceleration_of(values[:, j]) for j in range(len(wanted))])


def _by_score(fit: FitResults, statistic: Statistic) -> float:
    """Return the acceleration of a statistic in the model: the skewness of its score over 6.

    0 for coefficients, whose score is symmetric, and for what has no formula here: bias-corrected only.
    """
    kinds = ("tau2", "tau", "i2", "h2", "component", "share")
    if statistic.kind not in kinds or fit.method not in ("ML", "REML"):
        return 0.0
    try:
        if isinstance(fit, RandomEffectsResults) and fit.tau2_is_estimated and fit.weighting is None:
            return _of_one_level(fit)
        if isinstance(fit, MultilevelResults) and fit.weighting is None and fit.k <= MOST_DENSE:
            return _of_component(fit, statistic)
    except np.linalg.LinAlgError:  # a singular covariance matrix, or variances that are not separable
        return 0.0
    return 0.0


def _of_one_level(fit: RandomEffectsResults) -> float:
    """Return the acceleration of tau2, whose score is y'PPy / 2, or of maximum likelihood.

    With w the weights, C = (X'WX)^-1 and A_j = X'W^jX, trace(PPP) is the sum of w^3 less 3 tr(C A_4), plus
    3 tr(C A_2 C A_3), less tr(C A_2 C A_2 C A_2); trace(PP) likewise.
    """
    w = 1.0 / fit.total_variance
    unit = w.max()  # the acceleration has no unit
    w = w / unit
    squares, cubes = float((w**2).sum()), float((w**3).sum())
    if fit.method == "REML":
        x = fit.design.matrix(fit.k)
        root = x * np.sqrt(w)[:, None]
        basis = np.linalg.qr(root)[0]
        two, three = ((basis.T * w**power) @ basis for power in (1, 2))  # C A_2 and C A_3 on this basis
        four = float(np.vdot(basis, (basis.T * w**3).T))
        squares += float(np.vdot(two, two)) - 2 * float(np.trace(three))
        cubes += 3 * float(np.vdot(two, three)) - 3 * four - float(np.trace(two @ two @ two))
    return float(cubes / (6 * (0.5 * squares) ** 1.5))


def _projection(fit: Any, m: Array) -> Array:
    """Return P of the restricted likelihood; for maximum likelihood the inverse of the covariance matrix."""
    inverse = np.linalg.inv(m)
    if fit.method == "ML":
        return np.asarray(inverse)
    x = fit.design.matrix(fit.k)
    wx = inverse @ x
    return np.asarray(inverse - wx @ np.linalg.solve(x.T @ wx, wx.T))


def _of_component(fit: MultilevelResults, statistic: Statistic) -> float:
    """Return the acceleration of a variance of a multilevel fit, along its least favourable direction."""
    problem = fit.problem
    free = [i for i in range(problem.count) if i not in fit.fixed]
    if not free or not all(term.structure.linear for term in problem.terms):
        return 0.0

    def spread(term: Any, g: Array) -> Array:
        related = sparse.eye_array(term.levels) if term.relation is None else sparse.csr_array(term.relation)
        return np.asarray((term.z @ sparse.kron(related, g) @ term.z.T).toarray())

    m = problem.v.toarray() + sum(spread(term, g) for term, g in zip(problem.terms, fit.g, strict=True))
    changes = [
        spread(term, g)
        for term, theta in zip(problem.terms, problem.split(fit.maximum.theta), strict=True)
        for g in term.structure.derivatives(theta)
    ]
    changes = [changes[i] for i in free]
    p = _projection(fit, m)
    products = [p @ change for change in changes]
    information = np.array([[0.5 * np.vdot(a.T, b) for b in products] for a in products])
    direction = np.linalg.solve(information, _gradient(fit, statistic, changes, free))
    return acceleration_of_variance(p, sum(d * change for d, change in zip(direction, changes, strict=True)))


def _gradient(
    fit: MultilevelResults, statistic: Statistic, changes: Sequence[Array], free: Sequence[int]
) -> Array:
    """Return the derivatives of a statistic with respect to the free variances, up to a positive factor."""
    loads = np.array([float(np.diagonal(change).mean()) for change in changes])
    names = list(fit.component_values)
    if statistic.kind not in ("component", "share"):
        return loads
    own = np.array([float(names[i] == statistic.of) for i in free])
    if statistic.kind == "component":
        return own
    total = fit.tau2 + fit.typical_variance
    return np.asarray(own * loads * total - loads * float(own @ loads) * fit.component_values[statistic.of])


# -- the result of draws ------------------------------------------------------------------------------------


def _result(
    fit: FitResults,
    wanted: Sequence[Statistic],
    drawing: Resampling | Simulation,
    level: float,
    interval: str,
    seed: int,
    found: tuple[Array, Array, Array, dict[int, str], Array],
) -> Bootstrap:
    estimates, values, errors, reasons, accelerations = found
    made: dict[str, list[Ends]] = {kind: [] for kind in INTERVALS}
    z0 = np.full(len(wanted), np.nan)
    for j, one in enumerate(wanted):
        known = np.isfinite(values[:, j])
        draws = values[known, j]
        if draws.size:
            z0[j] = bias_correction(float(estimates[j]), draws)
        each = intervals_of(
            float(estimates[j]), draws, level, float(accelerations[j]), one.se(fit), errors[known, j]
        )
        for kind, ends in each.items():
            made[kind].append(_within(ends, *one.range))
    return Bootstrap(
        names=tuple(one.name for one in wanted),
        estimates=estimates,
        draws=values,
        intervals={kind: tuple(each) for kind, each in made.items()},
        interval=interval,
        bias_correction=z0,
        acceleration=accelerations,
        kind="nonparametric" if isinstance(drawing, Resampling) else "parametric",
        units=drawing.units,
        level=level,
        seed=seed,
        reasons=reasons,
        ratios=tuple(one.kind == "coefficient" and fit.measure.display_log for one in wanted),
        said=_cautions(fit, wanted, drawing, made[interval], interval, estimates, values, reasons, level),
        effects=fit.effects,
    )


def _within(ends: Ends, least: float, most: float) -> Ends:
    """Return an interval cut to what is possible; the Monte Carlo error of an end at the edge is 0."""
    low, high = ends.low, ends.high
    if low < least or (low == least and math.isnan(ends.low_error)):
        ends = ends._replace(low=least, low_error=0.0)
    if high > most or (high == most and math.isnan(ends.high_error)):
        ends = ends._replace(high=most, high_error=0.0)
    if low > most or high < least:  # all of it lies beyond
        edge = most if low > most else least
        ends = Ends(edge, edge, 0.0, 0.0)
    return ends


ROUNDING = 1e-10  # relative to a typical sampling variance
VARIANCES = ("tau2", "tau", "i2", "component", "share")
FEW = (
    "only {}: with so few to draw from, bootstrap intervals tend to cover less than their level; "
    "compare with that of the fit"
)
# With fewer units than this, non-parametric intervals of variances cover clearly less than their level.
FEW_FOR_VARIANCES = 30
FEW_OF_VARIANCE = (
    "with few units the non-parametric interval of a variance tends to cover less than its level; {}: {}"
)
FEW_EFFECTS = 10
FEW_FOR_MODEL = "only {}: the draws are from a model whose tau2 rests on few effects, as if it were known"
AT_ZERO = (
    "estimated as 0, the edge of what is possible, where bootstrap intervals are not to be relied on: {}"
)
OFTEN_ZERO = "near the edge of what is possible, where intervals may miss their level: {}"
STILL = "no interval, as the draws do not vary at all: {}"
NO_BCA = (
    "no BCa interval, as all draws lie on one side of the estimate or the values without one unit do "
    "not differ: {}"
)
NO_STUDENTIZED = "no studentized interval, for want of a standard error in every refit: {}"
NO_INTERVAL = "no interval, for want of values: {}"
EXTREME = (
    "an end of the interval is the most extreme draw and has no Monte Carlo error, so take more draws: {}"
)
WITHOUT_VALUE = "without a value in some draws that have a fit: {}"


def _cautions(
    fit: FitResults,
    wanted: Sequence[Statistic],
    drawing: Resampling | Simulation,
    shown: Sequence[Ends],
    kind: str,
    estimates: Array,
    values: Array,
    reasons: Mapping[int, str],
    level: float,
) -> tuple[str, ...]:
    """Return what to know before relying on the intervals."""
    said = []
    if isinstance(drawing, Simulation):
        said += [FEW_FOR_MODEL.format(drawing.units)] if drawing.y.size < FEW_EFFECTS else []
    elif len(drawing.members) < FEW_UNITS:
        said.append(FEW.format(drawing.units))
    if reasons:
        said.append(_lost_draws(reasons, len(values)))
    about: dict[str, list[str]] = {}
    if isinstance(drawing, Resampling) and len(drawing.members) < FEW_FOR_VARIANCES:
        variances = [_in_words(one.name) for one in wanted if one.kind in VARIANCES]
        text = FEW_OF_VARIANCE.format(_closer(fit), "{}")
        about |= {text: variances} if variances else {}
    for j, one in enumerate(wanted):
        draws = values[np.isfinite(values[:, j]), j]
        lost = len(values) - len(reasons) - draws.size
        if lost > 0 and np.isfinite(estimates[j]):
            about.setdefault(WITHOUT_VALUE, []).append(f"{_in_words(one.name)} ({plural(lost, 'draw')})")
        zero = _zero_of(one, fit)
        for text, words in _about(one, float(estimates[j]), draws, shown[j], kind, level, zero):
            about.setdefault(text, []).append(f"{_in_words(one.name)}{words}")
    return (*said, *(text.format(", ".join(names)) for text, names in about.items()))


def _closer(fit: FitResults) -> str:
    """Return what the interval of a variance comes closer by: counts are not drawn from their model."""
    if not isinstance(fit, CountResults):
        return 'kind="parametric" or a profile comes closer'
    return "heterogeneity() of the fit comes closer" if fit.is_random else "read it as a rough guide"


def _zero_of(one: Statistic, fit: FitResults) -> float:
    """Return below which a variance or a share is 0 up to rounding."""
    if one.kind in ("i2", "share"):
        return ROUNDING
    typical = fit.typical_variance if np.isfinite(fit.typical_variance) else 0.0
    return math.sqrt(ROUNDING * typical) if one.kind == "tau" else ROUNDING * typical


def _about(
    one: Statistic, estimate: float, draws: Array, ends: Ends, kind: str, level: float, zero: float
) -> Iterator[tuple[str, str]]:
    """Yield what to know of one statistic, and what to add to its name."""
    if one.kind in VARIANCES and draws.size:
        zeros = float((draws <= zero).mean())
        if estimate <= zero:
            yield AT_ZERO, ""
        elif zeros > (1 - level) / 2:
            yield OFTEN_ZERO, f" (0 in {percent(zeros)} of the draws)"
    if draws.size > 1 and not vary(draws):
        yield STILL, ""
    elif math.isnan(ends.low):
        yield {"bca": NO_BCA, "studentized": NO_STUDENTIZED}.get(kind, NO_INTERVAL), ""
    elif math.isnan(ends.low_error) or math.isnan(ends.high_error):
        yield EXTREME, ""


def _lost_draws(reasons: Mapping[int, str], size: int) -> str:
    """Return how many draws have no fit, and the most frequent reason."""
    words = list(reasons.values())
    most = max(sorted(set(words)), key=words.count)
    share = percent(len(words) / size, 1)
    return f"{len(words):,} of {size:,} draws ({share}) left out as without a fit, most because: {most}"
