"""What a relative effect means in absolute numbers: risks and differences per 1,000, and numbers needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure
from metaexo.errors import InputError, MissingInputError, NotIdentifiableError
from metaexo.formatting import interval, level_words, number, percent, ten_digits
from metaexo.inputs import check_choice, check_number, describe, read_numbers
from metaexo.models.linear.fit_statistics import Pooled
from metaexo.models.linear.results import FitResults
from metaexo.safety.results import SafetyResult
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

BEYOND = "at a baseline of {} the effect, or its interval, gives an impossible {}; the nearest one is shown"
INFINITE = "the pooled estimate is infinite: only one limit is known in absolute numbers"
LIMITS_PER_ARM = 'ask for the limit of each arm: mx.safety.upper_limit(counts, arm="treatment")'
ROUNDING = 1e-12
WHOLE = 10  # numbers needed from which on no decimals are shown
PREDICTED = "a mean effect: studies differ, and the prediction interval says by how much"


def _by_odds(y: Array, b: Array) -> Array:
    return np.asarray(special.expit(special.logit(b) + y))


def _by_hazard(y: Array, b: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(-np.expm1(np.exp(y) * np.log1p(-b)))


def _times(y: Array, b: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(b * np.exp(y))


def _plus(y: Array, b: Array) -> Array:
    return np.asarray(b + y)


# What a measure shows -> from effects on the scale of the analysis and baselines to what the treated have.
TREATED: dict[str, Callable[[Array, Array], Array]] = {
    "Risk ratio": _times,
    "Odds ratio": _by_odds,
    "Hazard ratio": _by_hazard,
    "Risk difference": _plus,
    "Rate ratio": _times,
    "Rate difference": _plus,
}
OF_RATES = ("Rate ratio", "Rate difference")
DIFFERENCES = ("Risk difference", "Rate difference")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AbsoluteEffect(SafetyResult):
    """Result of :func:`absolute_effect`.

    Attributes
    ----------
    effects : EffectSizes or BoundedEffectSizes
        The effects of the fit.
    pooled : Pooled
        Its pooled effect, on the scale of the analysis.
    baseline : ndarray, shape (b,)
        Risks, or rates, without treatment.
    per : float
        Number of people, or person-time, that counts are shown for.
    treated, treated_low, treated_high : ndarray, shape (b,)
        Risks, or rates, with treatment, with their interval.
    difference, low, high : ndarray, shape (b,)
        Events more with treatment per `per`, with their interval; below 0 where they are fewer.
    prediction_low, prediction_high : ndarray, shape (b,)
        The same for the true effect of a new study; NaN without a prediction interval.
    """

    effects: EffectSizes | BoundedEffectSizes
    pooled: Pooled
    baseline: Array
    per: float
    treated: Array
    treated_low: Array
    treated_high: Array
    difference: Array
    low: Array
    high: Array
    prediction_low: Array
    prediction_high: Array

    @property
    def measure(self) -> Measure:
        """Effect-size measure of the fit."""
        return self.effects.measure

    @property
    def of_rates(self) -> bool:
        """Whether baselines are rates in person-time."""
        return self.measure.display in OF_RATES

    @property
    def method(self) -> str:
        """How the numbers were found."""
        what = _lower(self.measure.display)
        noun = "rate" if self.of_rates else "risk"
        return f"the pooled {what} and its interval applied to each baseline {noun}"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the numbers rest on."""
        return (
            f"the {_lower(self.measure.display)} is the same at every baseline",
            "the baseline is known; its uncertainty is not in the interval",
        )

    @property
    def sentence(self) -> str:
        """The relative effect, and the events more or fewer at each baseline."""
        unit = "person-time" if self.of_rates else ""
        parts = []
        for i in range(self.baseline.size):
            without = number(self.per * float(self.baseline[i]), 1).removesuffix(".0")
            at = f"at {without} per {self.per:,.10g}{f' of {unit}' if unit else ''}"
            parts.append(f"{at} without treatment {self._words(i)}")
        return f"{_effect_words(self.effects, self.pooled)}: {'; '.join(parts)}."

    def _words(self, i: int) -> str:
        """Return the events more or fewer at a baseline; one limit alone where the estimate is infinite."""
        near, low, high = (float(part[i]) for part in (self.difference, self.low, self.high))
        if np.isnan(near):
            one = f"at most {_more(high)}" if np.isnan(low) else f"at least {_more(low)}"
            if (np.isnan(low) and high < 0) or (np.isnan(high) and low < 0):
                one = f"at least {_more(high)}" if np.isnan(low) else f"at most {_more(low)}"
            return f"no estimate, {one} with it"
        cut = 1e-9 * self.per
        least, most = -self.per * float(self.baseline[i]), self.per * (1 - float(self.baseline[i]))
        at_end = abs(low - least) < cut or (not self.of_rates and abs(high - most) < cut)
        end = ", cut off at what is possible" if at_end else ""
        return f"{_more(near)} with it ({_more(low)} to {_more(high)}{end})"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per baseline: risks with treatment, and events more per so many people."""
        import pandas as pd

        names = (
            "baseline", "treated", "treated_low", "treated_high", "difference", "low", "high",
            "prediction_low", "prediction_high",
        )  # fmt: skip
        frame = pd.DataFrame({name: getattr(self, name) for name in names})
        frame.insert(4, "per", self.per)
        return frame


def absolute_effect(
    results: FitResults,
    baseline: float | Sequence[float] | ArrayLike,
    per: float = 1000,
    *,
    level: float | None = None,
) -> AbsoluteEffect:
    r"""Return what a pooled effect means in events more or fewer per 1,000 people at a stated baseline.

    Use it for readers: a ratio says nothing of how many are harmed. The risk with treatment at a baseline
    risk :math:`b` is

    - b RR for a risk ratio, b IRR for a rate ratio,
    - b OR / (1 - b + b OR) for an odds ratio,
    - 1 - (1 - b)^HR for a hazard ratio,
    - b + RD, or b + IRD, for a difference.

    The ends of the confidence interval, and of the prediction interval, are taken through the same formula.

    Parameters
    ----------
    results : FitResults
        A fit without moderators of any family, of one of these measures.
    baseline : float or array_like
        Risks without treatment, between 0 and 1, or rates above 0.
    per : float
        Number of people, or person-time, that events are shown for.
    level : float, optional
        Level of the intervals; default that of the fit.

    Returns
    -------
    AbsoluteEffect
        Risks with treatment and differences, one entry per baseline.

    Raises
    ------
    InputError
        If the measure is another one, a baseline is impossible, or the fit has moderators.
    NotIdentifiableError
        If the pooled effect has no limit, or an interval without width.

    See Also
    --------
    number_needed : The same as a number needed to treat, or to harm.

    References
    ----------
    Newcombe & Bender (2014), Research Synthesis Methods 5, 115-133. https://doi.org/10.1002/jrsm.1100

    Examples
    --------
    >>> import metaexo as mx
    >>> fit = mx.RandomEffects(mx.EffectSizes([0.4, 0.7], [0.04, 0.06], measure="RR")).fit("EE", test="z")
    >>> found = mx.safety.absolute_effect(fit, [0.01, 0.1])
    >>> found.difference.round(1), found.low.round(1), found.high.round(1)
    (array([ 6.8, 68.2]), array([ 2.4, 24.2]), array([ 12.8, 127.9]))
    """
    pooled = _pooled(results, "absolute_effect", level)
    measure = results.effects.measure
    to = _formula(measure)
    b = _baselines(baseline, measure)
    size = check_number("per", per)
    if not 0 < size <= 1e12:
        raise InputError(f"per is {size:g}", "a number above 0, for example 1000")
    ends = [*_known(pooled), *_predicted(pooled)]
    made = [_possible(to(np.full(b.shape, y), b), measure) for y in ends]
    said = [*results.cautions(), *_cautions(pooled, to, b, measure)]
    if pooled.prediction_low is not None and results.tau2 > 0:
        said.append(PREDICTED)
    more = [size * (part - b) for part in made]
    return AbsoluteEffect(
        level=pooled.level,
        said=tuple(said),
        effects=results.effects,
        pooled=pooled,
        baseline=b,
        per=size,
        treated=made[0],
        treated_low=made[1],
        treated_high=made[2],
        difference=more[0],
        low=more[1],
        high=more[2],
        prediction_low=more[3],
        prediction_high=more[4],
    )


def _pooled(results: object, function: str, level: float | None) -> Pooled:
    """Return the pooled effect of a fit; refuse one that is not known, or known without error."""
    if not isinstance(results, FitResults):
        raise InputError(
            f"the results are {describe(results)}",
            "a fit of two arms",
            f'mx.safety.{function}(mx.MantelHaenszel(counts, measure="RR").fit(), 0.05)',
        )
    _formula(results.effects.measure)
    pooled = results.pooled(level)
    if np.isnan(pooled.estimate) or (np.isinf(pooled.low) and np.isinf(pooled.high)):
        raise NotIdentifiableError(
            "the pooled effect has no limit on either side", "an estimate, or a limit", LIMITS_PER_ARM
        )
    if pooled.low == pooled.high:
        raise NotIdentifiableError(
            "the interval of the pooled effect has no width: the counts leave no error to be seen",
            "events, and people without",
            LIMITS_PER_ARM,
        )
    return pooled


def _known(pooled: Pooled) -> tuple[float, float, float]:
    """Return estimate and interval; NaN for what is infinite, as of a ratio with no event in an arm."""
    ends = (pooled.estimate, pooled.low, pooled.high)
    estimate, low, high = (math.nan if math.isinf(end) else end for end in ends)
    return estimate, low, high


def _cautions(
    pooled: Pooled, to: Callable[[Array, Array], Array], b: Array, measure: Measure
) -> tuple[str, ...]:
    """Return what is cut off at the ends of possible risks, and that an estimate is infinite."""
    said = [INFINITE] if math.isinf(pooled.estimate) else []
    made = np.array([to(np.full(b.shape, y), b) for y in _known(pooled)])
    with np.errstate(invalid="ignore"):
        beyond = (np.abs(_possible(made, measure) - made) > ROUNDING).any(axis=0)
    noun = "rate" if measure.display in OF_RATES else "risk"
    return (*said, *(BEYOND.format(f"{one:g}", noun) for one in b[beyond]))


def _formula(measure: Measure) -> Callable[[Array, Array], Array]:
    found = TREATED.get(measure.display)
    if found is None or np.isnan(measure.null):
        raise InputError(
            f"the fit is of {measure.display} ({measure.code})",
            "a measure with a risk or a rate behind it: " + ", ".join(sorted(TREATED)).lower(),
            'say which ratio it is when the effects are made: mx.EffectSizes(y, v, measure="RR")'
            if measure.display == "Ratio"
            else "",
        )
    return found


def _baselines(given: object, measure: Measure) -> Array:
    found = read_numbers(given, "baseline", ndim=1)
    rates = measure.display in OF_RATES
    right = (found > 0) & (found < np.inf) if rates else (found > 0) & (found < 1)
    if not found.size or not right.all():
        shown = "empty" if not found.size else f"{found[~right][0]:g}"
        raise InputError(
            f"baseline is {shown}",
            "rates above 0" if rates else "risks between 0 and 1, for example 0.05",
        )
    return found


def _predicted(pooled: Pooled) -> tuple[float, float]:
    low, high = pooled.prediction_low, pooled.prediction_high
    return (np.nan if low is None else low, np.nan if high is None else high)


def _possible(values: Array, measure: Measure) -> Array:
    return np.clip(values, 0.0, np.inf if measure.display in OF_RATES else 1.0)


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _effect_words(effects: EffectSizes | BoundedEffectSizes, pooled: Pooled) -> str:
    measure = effects.measure
    with np.errstate(over="ignore"):
        shown, low, high = (
            float(x) for x in measure.back(np.array([pooled.estimate, pooled.low, pooled.high]))
        )
    ci = f"({level_words(pooled.level)} CI {interval(low, high)})"
    return f"{measure.display} {number(shown)} {ci}"


def _more(value: float) -> str:
    if np.isnan(value):
        return number(value)
    shown = number(abs(value), 1).removesuffix(".0")
    return f"{shown} {'fewer' if value < 0 else 'more'}"


# -- numbers needed ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class NumberNeeded(SafetyResult):
    """Result of :func:`number_needed`.

    Attributes
    ----------
    effects : EffectSizes or BoundedEffectSizes
        The effects of the fit.
    pooled : Pooled
        Its pooled effect, on the scale of the analysis.
    baseline : ndarray, shape (b,)
        Risks, or rates, without treatment; NaN where a difference needs none.
    difference, low, high : ndarray, shape (b,)
        Difference of risks with its interval.
    number : ndarray, shape (b,)
        People to treat for one event more or fewer; infinite without a difference, NaN without an estimate.
    event : {"harm", "benefit"}
        What an event is.
    """

    effects: EffectSizes | BoundedEffectSizes
    pooled: Pooled
    baseline: Array
    difference: Array
    low: Array
    high: Array
    number: Array
    event: Literal["harm", "benefit"]

    @property
    def of_rates(self) -> bool:
        """Whether numbers are person-time."""
        return self.effects.measure.display in OF_RATES

    @property
    def method(self) -> str:
        """How the numbers were found."""
        return "one over the difference of risks; an interval across no difference goes through infinity"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the numbers rest on."""
        same = f"the {_lower(self.effects.measure.display)} is the same at every baseline"
        time = "person-time of treatment for one event" if self.of_rates else "people treated for one event"
        return (same, f"an event is a {self.event}; numbers are {time}")

    def words(self, row: int = 0) -> str:
        """Return the number with its interval in words: "NNTH 25 (NNTH 10 to infinity to NNTB 50)".

        Parameters
        ----------
        row : int
            Position of the baseline.
        """
        i = range(self.number.size)[check_position(row, self.number.size)]
        near, low, high = (float(part[i]) for part in (self.difference, self.low, self.high))
        if np.isnan(near):
            return f"no estimate (limit {self._side(low if np.isnan(high) else high)})"
        if low < 0 < high:  # Altman: the interval holds no difference, and an infinite number
            first, last = (high, low) if near >= 0 else (low, high)
            return f"{self._side(near)} ({self._side(first)} to ∞ to {self._side(last)})"
        first, last = (high, low) if near > 0 or (near == 0 and high > 0) else (low, high)
        return f"{self._side(near)} ({self._side(first)} to {self._side(last)})"

    def _side(self, difference: float) -> str:
        if difference == 0:
            return "∞"
        size = _rounded_up(1 / abs(difference))
        harm = (difference > 0) == (self.event == "harm")
        return f"{'NNTH' if harm else 'NNTB'} {size}"

    @property
    def sentence(self) -> str:
        """The relative effect, and the number needed at each baseline."""
        noun = "rate" if self.of_rates else "risk"
        parts = []
        for i in range(self.number.size):
            b = float(self.baseline[i])
            at = (
                ""
                if np.isnan(b)
                else f"at a baseline {noun} of {number(b, 3) if self.of_rates else percent(b, 1)} "
            )
            parts.append(at + self.words(i))
        return f"{_effect_words(self.effects, self.pooled)}: {'; '.join(parts)}."

    def to_frame(self) -> pd.DataFrame:
        """Return one row per baseline: difference of risks with interval, the number, and both in words."""
        import pandas as pd

        names = ("baseline", "difference", "low", "high", "number")
        table: dict[str, Any] = {name: getattr(self, name) for name in names}
        return pd.DataFrame(table | {"words": [self.words(i) for i in range(self.number.size)]})


def _rounded_up(count: float) -> str:
    """Return a number needed as journals give it: whole, rounded up; with a decimal below 10."""
    if count < WHOLE:
        return number(count, 1).removesuffix(".0")
    return f"{math.ceil(ten_digits(count)):,}"


def check_position(row: object, size: int) -> int:
    """Return a position; refuse what is none."""
    if isinstance(row, bool) or not isinstance(row, int | np.integer) or not 0 <= row < size:
        raise InputError(f"row is {describe(row)}", f"a position from 0 to {size - 1}")
    return int(row)


def number_needed(
    results: FitResults,
    baseline: float | Sequence[float] | ArrayLike | None = None,
    *,
    event: Literal["harm", "benefit"] = "harm",
    level: float | None = None,
) -> NumberNeeded:
    r"""Return the number needed to treat for one event more or fewer, with its interval through infinity.

    Use it beside the difference per 1,000, never alone. The number is :math:`1 / |d|` for the difference
    :math:`d` of the risks with and without treatment at the baseline. NNTH is a number needed to treat for
    one harm, NNTB for one benefit. If the interval of the difference goes from :math:`d_L < 0` to
    :math:`d_U > 0`, that of the number does not go from :math:`1 / d_L` to :math:`1 / d_U`, which would leave
    the estimate out: no difference is a number of infinity, and the interval is written as Altman (1998)
    does, "NNTH :math:`1 / d_U` to :math:`\infty` to NNTB :math:`1 / |d_L|`".

    Parameters
    ----------
    results : FitResults
        A fit without moderators of a ratio or a difference of risks or rates.
    baseline : float or array_like, optional
        Risks, or rates, without treatment; not needed for a difference.
    event : {"harm", "benefit"}
        Whether an event is a harm (an adverse event) or a benefit (a wound that heals).
    level : float, optional
        Level of the interval; default that of the fit.

    Returns
    -------
    NumberNeeded
        Numbers, differences, and both in words.

    Raises
    ------
    MissingInputError
        If a ratio is given without a baseline.
    InputError
        If the measure is another one, a baseline is impossible, or the fit has moderators.
    NotIdentifiableError
        If the pooled effect has no limit, or an interval without width.

    References
    ----------
    Altman (1998), BMJ 317, 1309-1312. https://doi.org/10.1136/bmj.317.7168.1309

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.02, 0.05], [0.0009, 0.0016], measure="RD")
    >>> fit = mx.RandomEffects(es).fit("EE", test="z")
    >>> print(mx.safety.number_needed(fit).words())
    NNTH 33 (NNTH 13 to ∞ to NNTB 62)
    """
    pooled = _pooled(results, "number_needed", level)
    check_choice("event", event, ("harm", "benefit"))
    measure = results.effects.measure
    to, said = _formula(measure), [*results.cautions()]
    if baseline is None:
        if measure.display not in DIFFERENCES:
            raise MissingInputError(
                f"{_lower(measure.display)}: a number needed was asked for without a baseline",
                "the risk, or rate, without treatment",
                "for example baseline=0.05",
            )
        b = np.array([np.nan])
        d, low, high = (np.array([value]) for value in _known(pooled))
    else:
        b = _baselines(baseline, measure)
        d, low, high = (_possible(to(np.full(b.shape, y), b), measure) - b for y in _known(pooled))
        said = [*said, *_cautions(pooled, to, b, measure)]
    with np.errstate(divide="ignore"):
        count = 1 / np.abs(d)
    return NumberNeeded(
        level=pooled.level,
        said=tuple(said),
        effects=results.effects,
        pooled=pooled,
        baseline=b,
        difference=d,
        low=low,
        high=high,
        number=count,
        event=event,
    )
