"""What few or no events exclude: upper limits of a common risk, of a mean risk, and of the next study's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metaexo.effects.counts import EventCounts
from metaexo.errors import InputError, NotIdentifiableError
from metaexo.formatting import level_words, number, percent
from metaexo.inputs import check_flag, check_level, read_numbers, whole_number
from metaexo.numeric.study_risks import (
    FARTHEST,
    LARGEST_LOG,
    NormalRisks,
    StudyRisks,
    root,
    sum_probabilities,
)
from metaexo.safety.results import (
    MEANINGS,
    SHORT,
    Arm,
    OneArmResult,
    Scale,
    check_heterogeneity,
    confidence,
    heterogeneity_words,
    if_they_vary,
    kind_of,
    one_arm,
    risk_words,
    same_study_cautions,
)
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

ANY = "any"
ALL = 0.9995  # a share that would be shown as 100%
MIDDLE = 0.95  # share of the studies whose range of risks is shown
# Probabilities that one evaluation of the distribution of the sum may take.
MOST_WORK = 3e5
GRIDS = {
    "icc": (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0),
    "tau": (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0),
    "cv": (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0),
}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class UpperLimit(OneArmResult):
    """Result of :func:`upper_limit`.

    Attributes
    ----------
    value : float
        The largest common risk, or mean risk over studies, that the counts do not exclude; for person-time
        the largest rate.
    low : float
        Lower end of a two-sided interval; NaN for a one-sided limit.
    sides : {1, 2}
        Whether all of the error is above (1), or half of it at each end (2).
    heterogeneity : float
        Heterogeneity that was assumed; NaN where any was allowed for.
    scale : {"icc", "tau", "cv"}
        What the heterogeneity is.
    new_study : float
        With confidence `level`, a share `share` of studies like these have a risk of at most this; NaN where
        any heterogeneity was allowed for.
    share : float
        That share.
    range_low, range_high : float
        Range of the risks of the middle 95% of studies, at the limit of the mean.
    rule_of_three : float
        The approximation -log(1 - level) / N, which is 3 / N at 95%; NaN with an event, or above 1.
    mid_p : bool
        Whether only half of the probability of what was seen counts.
    """

    value: float
    low: float
    sides: int
    heterogeneity: float
    scale: Scale
    new_study: float
    share: float
    range_low: float
    range_high: float
    rule_of_three: float
    mid_p: bool

    @property
    def is_common(self) -> bool:
        """Whether the limit is of a risk that is the same in all studies."""
        return self.heterogeneity == 0

    @property
    def quantity(self) -> str:
        """What is limited: "common risk", "mean rate over studies"."""
        noun = "rate" if self.person_time else "risk"
        return f"common {noun}" if self.is_common else f"mean {noun} over studies"

    @property
    def method(self) -> str:
        """How the limit was found."""
        mid = ", mid-p" if self.mid_p else ""
        if np.isnan(self.heterogeneity):
            return (
                "Hoeffding's inequality for the unweighted mean of the study proportions, exact with no event"
            )
        if self.is_common:
            name = "Garwood, gamma quantile" if self.person_time else "Clopper-Pearson, beta quantile"
            return f"exact limit of the sum of events ({'mid-p' if self.mid_p else name})"
        return f"exact distribution of the sum of events over studies that differ{mid}"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the limit rests on."""
        if np.isnan(self.heterogeneity):
            first = "nothing about how study risks are distributed; studies are a sample of those meant"
        else:
            first = heterogeneity_words(kind_of(self.scale, self.person_time), self.heterogeneity)
        counted = (
            "events are independent within a study, at a constant rate"
            if self.person_time
            else "people are independent within a study, given its risk"
        )
        return (first, counted, "every event in these people was seen and reported")

    @property
    def sentence(self) -> str:
        """What is excluded, with which confidence."""
        sure = confidence(self.level, self.sides)
        shown = risk_words(self.value, self.person_time)
        if np.isnan(self.heterogeneity):
            given = "whatever the distribution of study risks, "
        else:
            given = if_they_vary(kind_of(self.scale, self.person_time), self.heterogeneity)
        if self.value >= (np.inf if self.person_time else 1):
            excluded = f"no {self.quantity} is excluded"
        else:
            excluded = f"a {self.quantity} above {shown} is excluded"
        low = "" if np.isnan(self.low) or self.low <= 0 else f", and one below {self._short(self.low)}"
        three, most = self.rule_of_three, np.inf if self.person_time else ALL
        more = "" if np.isnan(three) else f"; rule of three {self._short(three)}"
        if not self.is_common and self.new_study < most:
            what = "rate" if self.person_time else "risk"
            more += (
                f"; at that limit {percent(self.share)} of studies have a {what} of at most "
                f"{self._short(self.new_study)}"
            )
        return f"{self.seen}: {given}{excluded}{low} ({sure}{more})."

    def _short(self, value: float) -> str:
        return number(value, 4) if self.person_time else percent(value, 2)

    def to_frame(self) -> pd.DataFrame:
        """Return one row: what is limited, the counts, the limit, and what it rests on."""
        import pandas as pd

        names = ("value", "low", "level", "sides", "heterogeneity", "scale", "new_study", "share")
        row: dict[str, object] = {
            "quantity": self.quantity,
            "k": self.k,
            "without_event": self.without_event,
            "events": self.events,
            "total": self.total,
        }
        row |= {name: getattr(self, name) for name in (*names, "range_low", "range_high", "rule_of_three")}
        return pd.DataFrame([row])


def upper_limit(
    counts: EventCounts,
    *,
    arm: Arm | None = None,
    level: float = 0.95,
    sides: Literal[1, 2] = 1,
    heterogeneity: float | Literal["any"] = 0.0,
    scale: Scale | None = None,
    share: float | None = None,
    mid_p: bool = False,
) -> UpperLimit:
    r"""Return the largest risk, or rate, that few or no events in one arm leave possible.

    Use it where studies report no, or hardly any, adverse events: nothing is added to zeros, and every study
    counts. The limit is one-sided unless `sides=2`: all of the error is above it.

    With x events in N people and a common risk it is exact, and for x = 0 in closed form,

    .. math:: P(X \le x \mid N, \pi_U) = 1 - \text{level}, \qquad
              \pi_U = 1 - (1 - \text{level})^{1 / N} \approx 3 / N .

    Where study risks differ, with a stated heterogeneity, it is of their mean :math:`\mu`: the value at which
    the sum of all studies' counts is at most x with probability 1 - level. The counts are beta-binomial with
    intra-class correlation :math:`\rho` (`scale="icc"`; study risks have a beta distribution with variance
    :math:`\rho \mu (1 - \mu)`), or binomial-normal with SD :math:`\tau` on the logit scale (`scale="tau"`);
    rates have a gamma distribution with a coefficient of variation (`scale="cv"`) or a log-normal one. The
    distribution of the sum is the convolution of those of the studies, computed without approximation.

    `heterogeneity="any"` assumes no distribution of study risks, only that the k studies are independent.
    Their proportions lie between 0 and 1 and have mean :math:`\mu`; with the unweighted mean
    :math:`\bar y`, by Hoeffding,

    .. math:: P(\bar Y \le \bar y) \le \left[\left(\frac{\mu}{\bar y}\right)^{\bar y}
              \left(\frac{1 - \mu}{1 - \bar y}\right)^{1 - \bar y}\right]^k .

    With no event this is :math:`(1 - \mu)^k`, which events in everyone or no one attain, and the limit is
    :math:`1 - (1 - \text{level})^{1 / k}`, about 3 / k, however many people the studies hold. That is the
    rule of three under heterogeneity: between 3 / N and 3 / k.

    Parameters
    ----------
    counts : EventCounts
        Counts of one arm, of people or in person-time; or of two arms, with `arm`.
    arm : {"treatment", "control"}, optional
        Arm of counts of two arms.
    level : float
        Confidence level.
    sides : {1, 2}
        1 for an upper limit alone, 2 for an interval with half of the error at each end.
    heterogeneity : float or "any"
        How much study risks vary: 0 for a common risk.
    scale : {"icc", "tau", "cv"}, optional
        What `heterogeneity` is. Default: "icc" for people, "cv" for person-time.
    share : float, optional
        Share of studies that the limit for a new study covers. Default: `level`.
    mid_p : bool
        Whether only half of the probability of the number seen counts. The limit is then closer, and holds
        its level on average rather than always.

    Returns
    -------
    UpperLimit
        The limit, in numbers and in a sentence, with what it rests on.

    Raises
    ------
    InputError
        If the counts are no counts, or the heterogeneity is none of the scale; if there are so many events
        that a model of them is to be fitted instead.
    NotIdentifiableError
        If any heterogeneity of rates is to be allowed for, which leaves every mean rate possible.

    See Also
    --------
    limits_by_heterogeneity : The limit for a range of heterogeneity.
    bayesian_limit : The limit with a stated prior.

    References
    ----------
    Clopper & Pearson (1934), Biometrika 26, 404-413. https://doi.org/10.1093/biomet/26.4.404
    Hoeffding (1963), Journal of the American Statistical Association 58, 13-30.
    https://doi.org/10.1080/01621459.1963.10500830
    Garwood (1936), Biometrika 28, 437-442. https://doi.org/10.1093/biomet/28.3-4.437
    Hanley & Lippman-Hand (1983), JAMA 249, 1743-1745. https://doi.org/10.1001/jama.1983.03330370053031

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(events=[0, 0, 0, 0], n=[12, 8, 30, 10])
    >>> print(mx.safety.upper_limit(counts).sentence)
    No event in 60 people (4 studies): a common risk above 4.87% (1 in 21) is excluded
    (95% confidence, one-sided; rule of three 4.99%).
    >>> varied = mx.safety.upper_limit(counts, heterogeneity=0.1)
    >>> anyhow = mx.safety.upper_limit(counts, heterogeneity="any")
    >>> round(varied.value, 4), round(anyhow.value, 4)
    (0.0845, 0.5271)
    """
    rows = one_arm(counts, arm, "upper_limit")
    risks = kind_of(scale, rows.person_time)
    check_level(level)
    content = level if share is None else check_level(share, "share")
    check_flag("mid_p", mid_p)
    if whole_number(sides, "sides", 1) > 2:
        raise InputError(f"sides is {sides!r}", "1 for an upper limit, 2 for an interval")
    x, total = int(rows.events.sum()), float(rows.totals.sum())
    three = -math.log(1 - level) / total if x == 0 and sides == 1 else math.nan
    three = math.nan if three >= 1 and not rows.person_time else three
    shared = {
        "counts": rows,
        "level": float(level),
        "said": same_study_cautions(rows),
        "sides": int(sides),
        "scale": risks.scale,
        "share": float(content),
        "rule_of_three": three,
        "mid_p": bool(mid_p),
    }
    if isinstance(heterogeneity, str):
        if heterogeneity != ANY:
            raise InputError(f"heterogeneity is {heterogeneity!r}", 'a number, or "any"')
        value = _whatever_the_heterogeneity(rows, level, int(sides), bool(mid_p))
        rest = dict.fromkeys(("low", "heterogeneity", "new_study", "range_low", "range_high"), math.nan)
        return UpperLimit(value=value, **rest, **shared)  # type: ignore[arg-type]
    h = np.array([check_heterogeneity(heterogeneity, risks)])
    tail = (1 - level) / int(sides)
    t = limit_locations(risks, x, rows.totals[:, 0], h, tail, mid_p=bool(mid_p))
    low = math.nan
    if sides == 2:
        below = limit_locations(risks, x, rows.totals[:, 0], h, tail, lower=True, mid_p=bool(mid_p))
        low = float(mean_at(risks, below, h)[0])
    least, most = (quantile_at(risks, q, t, h) for q in ((1 - MIDDLE) / 2, (1 + MIDDLE) / 2))
    return UpperLimit(
        value=float(mean_at(risks, t, h)[0]),
        low=low,
        heterogeneity=float(h[0]),
        new_study=float(quantile_at(risks, content, t, h)[0]),
        range_low=float(least[0]),
        range_high=float(most[0]),
        **shared,  # type: ignore[arg-type]
    )


def _whatever_the_heterogeneity(rows: EventCounts, level: float, sides: int, mid_p: bool) -> float:
    """Return the limit of the mean risk that holds for every distribution of study risks."""
    if rows.person_time:
        raise NotIdentifiableError(
            "a limit of the mean rate for any heterogeneity",
            "a stated heterogeneity: rare studies with very high rates can make any mean",
            "state a coefficient of variation: heterogeneity=1.0",
        )
    if sides == 2:
        raise InputError(
            'heterogeneity="any" was asked for an interval', "an upper limit alone", "leave sides=2 out"
        )
    if mid_p:
        raise InputError(
            'mid_p=True was given with heterogeneity="any"', "a stated heterogeneity", "leave mid_p out"
        )
    mean = float((rows.events / rows.totals).mean())
    if mean >= 1:
        return 1.0

    def excess(t: Array) -> Array:
        gain = special.xlogy(mean, special.expit(t)) - (1 - mean) * np.logaddexp(0, t)
        least = special.xlogy(mean, mean) + special.xlogy(1 - mean, 1 - mean)
        return np.asarray(rows.k * (gain - least) - math.log(1 - level))

    start = np.array([special.logit(mean) if mean > 0 else -FARTHEST])
    return float(special.expit(root(excess, start, np.array([LARGEST_LOG]))[0]))


def limit_locations(
    risks: StudyRisks,
    x: int,
    totals: Array,
    h: Array,
    tail: float,
    *,
    times: Index | None = None,
    lower: bool = False,
    mid_p: bool = False,
) -> Array:
    """Return the locations at which at most x events (or at least, for `lower`) have a tail probability.

    `h` has shape (B,), and so has what is returned; infinite where no location is excluded. With `times`,
    there are so many studies of each of the `totals`.
    """
    sizes, counts = np.unique(totals, return_counts=True) if times is None else (totals, times)
    total, share = float(sizes @ counts), 0.5 if mid_p else 0.0
    if lower and x == 0:
        return np.full(h.shape, -np.inf)
    if not lower and risks.of_people and x >= total:
        return np.full(h.shape, np.inf)
    made = np.full(h.shape, np.nan)
    equal = (h == 0) & (not mid_p)
    if equal.any():
        made[equal] = _common_location(risks, x, total, tail, lower)
    if equal.all():
        return made
    rest = h[~equal]
    refuse_too_much(risks, x, sizes, rest)
    if (rest.size and np.ptp(rest) == 0) or not isinstance(risks, NormalRisks):
        groups = [np.arange(rest.size)]
    else:  # the widest heterogeneity sets how finely all are summed
        groups = [np.array([i]) for i in range(rest.size)]

    def excess(t: Array, h: Array) -> Array:
        at_most, exactly = sum_probabilities(risks, x, sizes, counts, t, h)
        beyond = 1 - at_most + exactly if lower else at_most
        return np.asarray(beyond - share * exactly - tail)

    found = np.full(rest.shape, np.nan)
    for group in groups:
        least, most = risks.ends(total, rest[group])
        at = root(excess, least, most, rest[group])
        none = np.isnan(at) & (excess(most, rest[group]) > 0) & (not lower)
        found[group] = np.where(none, np.inf, at)
    made[~equal] = found
    return made


def _common_location(risks: StudyRisks, x: int, total: float, tail: float, lower: bool) -> float:
    """Return the location of the closed-form limit of a common risk or rate."""
    with np.errstate(divide="ignore"):
        if not risks.of_people:
            count = special.gammaincinv(x, tail) if lower else special.gammainccinv(x + 1, tail)
            return float(np.log(count / total))
        if lower:
            return float(special.logit(special.betaincinv(x, total - x + 1, tail)))
        if x == 0:  # 1 - tail**(1/N), and its complement, without rounding
            logs = math.log(tail) / total
            return float(np.log(-np.expm1(logs)) - logs)
        risk, rest = special.betainccinv(x + 1, total - x, tail), special.betaincinv(total - x, x + 1, tail)
        return float(np.log(risk) - np.log(rest))


def mean_at(risks: StudyRisks, t: Array, h: Array) -> Array:
    """Return mean risks, of infinite locations too."""
    finite = np.isfinite(t)
    inside = risks.mean(np.where(finite, t, 0.0), h)
    return np.where(finite, inside, np.where(t > 0, 1.0 if risks.of_people else np.inf, 0.0))


def quantile_at(risks: StudyRisks, share: float, t: Array, h: Array) -> Array:
    """Return quantiles of study risks, of infinite locations too."""
    finite = np.isfinite(t)
    inside = risks.quantile(share, np.where(finite, t, 0.0), h)
    return np.where(finite, inside, np.where(t > 0, 1.0 if risks.of_people else np.inf, 0.0))


def refuse_too_much(risks: StudyRisks, x: int, sizes: Array, h: Array) -> None:
    """Refuse sums of so many events that their distribution would take minutes; a model says more there."""
    if x == 0:
        return
    counts = np.minimum(sizes, x) + 1 if risks.of_people else np.full(sizes.shape, x + 1.0)
    work = float(counts.sum())
    if isinstance(risks, NormalRisks):
        work *= max(1.0, float(h.max()) * math.sqrt(x + 1) / 10)
    if work > MOST_WORK:
        fitted = '"IRLN"' if not risks.of_people else '"PLO"'
        raise InputError(
            f"{x:,} events are too many for the exact distribution of their sum under heterogeneity",
            "fewer events, or a common risk (heterogeneity=0)",
            f"fit a model to so many events: mx.CountGLMM(counts, {fitted}).fit()",
        )


# -- over the heterogeneity ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LimitCurve(OneArmResult):
    """Result of :func:`limits_by_heterogeneity`.

    Attributes
    ----------
    heterogeneity : ndarray, shape (b,)
        Heterogeneity that was assumed.
    limit : ndarray, shape (b,)
        Upper limit of the mean risk, or rate.
    new_study : ndarray, shape (b,)
        What a share `share` of studies like these do not exceed, with confidence `level`.
    range_low, range_high : ndarray, shape (b,)
        Range of the risks of the middle 95% of studies, at the limit of the mean.
    scale : {"icc", "tau", "cv"}
        What the heterogeneity is.
    share : float
        Share of studies that `new_study` covers.
    common : float
        The limit of a common risk.
    worst : float
        The limit for any distribution of study risks, which rests on the unweighted mean of the study
        proportions and not on the sum of events; without events it is the end of the curve. Infinite for
        rates.
    """

    heterogeneity: Array
    limit: Array
    new_study: Array
    range_low: Array
    range_high: Array
    scale: Scale
    share: float
    common: float
    worst: float

    @property
    def method(self) -> str:
        """How the limits were found."""
        return "exact distribution of the sum of events, one-sided limits, for each heterogeneity"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the limits rest on."""
        risks = kind_of(self.scale, self.person_time)
        kind = "rates" if self.person_time else "risks"
        return (
            f"study {kind} with {risks.words}",
            f"a stated heterogeneity, not one that was estimated: the {MEANINGS[self.scale]}",
        )

    @property
    def sentence(self) -> str:
        """From which limit to which the heterogeneity leads."""
        noun = "rate" if self.person_time else "risk"
        first, last = (risk_words(float(self.limit[i]), self.person_time) for i in (0, -1))
        ends = [f"{SHORT[self.scale]} {self.heterogeneity[i]:g}" for i in (0, -1)]
        anyhow = (
            "without an assumption on the heterogeneity no mean rate is excluded"
            if self.person_time
            else "for any distribution of study risks the limit from the unweighted mean of the study "
            f"proportions is {risk_words(self.worst, False)}"
        )
        return (
            f"{self.seen}: the upper limit of the mean {noun} ({level_words(self.level)}, one-sided) goes "
            f"from {first} at {ends[0]} to {last} at {ends[1]}; {anyhow}."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per heterogeneity: the limits, and the range of study risks."""
        import pandas as pd

        names = ("heterogeneity", "limit", "new_study", "range_low", "range_high")
        return pd.DataFrame({name: getattr(self, name) for name in names})


def limits_by_heterogeneity(
    counts: EventCounts,
    heterogeneity: Sequence[float] | ArrayLike | None = None,
    *,
    arm: Arm | None = None,
    scale: Scale | None = None,
    level: float = 0.95,
    share: float | None = None,
) -> LimitCurve:
    """Return upper limits of the mean risk for a range of heterogeneity.

    Use it to show what an upper limit owes to the assumption of a common risk: with no event the data say
    nothing about the heterogeneity, so that it has to be stated. The definitions are those of
    :func:`upper_limit`.

    Parameters
    ----------
    counts : EventCounts
        Counts of one arm, or of two arms, with `arm`.
    heterogeneity : array_like, optional
        Values on the scale, each of at least 0. Default: from 0 to very large.
    arm : {"treatment", "control"}, optional
        Arm of counts of two arms.
    scale : {"icc", "tau", "cv"}, optional
        What `heterogeneity` is. Default: "icc" for people, "cv" for person-time.
    level : float
        Confidence level of the one-sided limits.
    share : float, optional
        Share of studies that the limit for a new study covers. Default: `level`.

    Returns
    -------
    LimitCurve
        The limits, in the order of the heterogeneity.

    Raises
    ------
    InputError
        If a heterogeneity is none of the scale, or there are none.

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(events=[0, 0, 0, 0], n=[12, 8, 30, 10])
    >>> found = mx.safety.limits_by_heterogeneity(counts, [0, 0.05, 0.2, 1])
    >>> found.limit.round(3)
    array([0.049, 0.068, 0.115, 0.527])
    """
    rows = one_arm(counts, arm, "limits_by_heterogeneity")
    risks = kind_of(scale, rows.person_time)
    check_level(level)
    content = level if share is None else check_level(share, "share")
    given = GRIDS[risks.scale] if heterogeneity is None else heterogeneity
    values = read_numbers(given, "heterogeneity", ndim=1)
    if not values.size:
        raise InputError("heterogeneity is empty", "at least one value")
    h = np.sort(np.array([check_heterogeneity(value, risks) for value in values]))
    x, totals = int(rows.events.sum()), rows.totals[:, 0]
    t = limit_locations(risks, x, totals, h, 1 - level)
    least, most = (quantile_at(risks, q, t, h) for q in ((1 - MIDDLE) / 2, (1 + MIDDLE) / 2))
    none = np.zeros(1)
    common = mean_at(risks, limit_locations(risks, x, totals, none, 1 - level), none)
    return LimitCurve(
        counts=rows,
        level=float(level),
        said=same_study_cautions(rows),
        heterogeneity=h,
        limit=mean_at(risks, t, h),
        new_study=quantile_at(risks, content, t, h),
        range_low=least,
        range_high=most,
        scale=risks.scale,  # type: ignore[arg-type]
        share=float(content),
        common=float(common[0]),
        worst=math.inf if rows.person_time else _whatever_the_heterogeneity(rows, level, 1, False),
    )
