"""From numbers treated to the risks that they exclude, and back: curves, and what the next trials need."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metaexo.effects.counts import EventCounts
from metaexo.errors import InputError, MissingInputError, NotIdentifiableError
from metaexo.formatting import level_words, percent, plural
from metaexo.inputs import check_level, check_number, describe, read_numbers, whole_number
from metaexo.numeric.study_risks import (
    NormalRisks,
    StudyRisks,
    root,
    running_probabilities,
    sum_probabilities,
)
from metaexo.safety.limits import limit_locations, mean_at, refuse_too_much
from metaexo.safety.results import (
    Arm,
    OneArmResult,
    SafetyResult,
    Scale,
    amount,
    check_heterogeneity,
    events_seen,
    first_low,
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

POINTS = 120
MARKED = (0.01, 0.001)
MOST_PEOPLE = 1e9
TOGETHER = 50  # rows whose limits are searched together
MOST_STEPS = 1e7  # probabilities that one evaluation of all limits may take
MOST_EVENTS, MOST_EVENTS_VARIED = 2000, 100  # that the search for a power allows
NO_ONE = np.empty(0)
NEVER = -1e9  # log probability of what does not happen
Studies = tuple[Array, Index]  # sizes, and how many studies there are of each


# -- the curve -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ExclusionCurve(OneArmResult):
    """Result of :func:`exclusion_curve`.

    Attributes
    ----------
    number : ndarray, shape (b,)
        Numbers of people treated, or person-times.
    limit : ndarray, shape (b,)
        Largest risk, or rate, that `allowed` events in so many leave possible; 1 where all are possible.
    allowed : int
        Events of the curve.
    heterogeneity : float
        Heterogeneity that was assumed.
    scale : {"icc", "tau", "cv"}
        What it is.
    study_size : float
        Size of the studies that the numbers are made up of; NaN for a common risk, where it does not matter.
    marks : ndarray, shape (k, 3)
        For each row of counts: the number treated up to and with it, the events among them, and the limit
        that they leave.
    risks : ndarray, shape (r,)
        Risks whose exclusion is marked.
    needed : ndarray, shape (r,)
        Number at which the curve falls to each of them; infinite where it never does.
    """

    number: Array
    limit: Array
    allowed: int
    heterogeneity: float
    scale: Scale
    study_size: float
    marks: Array
    risks: Array
    needed: Array

    @property
    def method(self) -> str:
        """How the limits were found."""
        return "exact one-sided upper limits of the sum of events"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the curve rests on."""
        words = heterogeneity_words(kind_of(self.scale, self.person_time), self.heterogeneity)
        if self.heterogeneity == 0:
            return (words,)
        return (words, f"the numbers of the curve come in studies of {self.study_size:,.10g}")

    @property
    def sentence(self) -> str:
        """What the studies exclude together, and which number would exclude the marked risks."""
        noun = "rate" if self.person_time else "risk"
        limit = risk_words(float(self.marks[-1, 2]), self.person_time)
        what = "no event" if self.allowed == 0 else f"at most {plural(self.allowed, 'event')}"
        unit = "units of person-time" if self.person_time else "people"
        kind = kind_of(self.scale, self.person_time)
        noun = noun if self.heterogeneity == 0 else f"mean {noun}"
        aims = [
            f"{_amount(float(n), self.person_time)} {unit} for {risk_words(float(r), self.person_time)}"
            for r, n in zip(self.risks, self.needed, strict=True)
            if np.isfinite(n)
        ]
        of = "" if self.heterogeneity == 0 else f", in studies of {amount(self.study_size)}"
        takes = "would have taken" if self.events > self.allowed else "takes"
        more = f"; with {what} it {takes}, in all{of}, {', '.join(aims)}" if aims else ""
        given = if_they_vary(kind, self.heterogeneity)
        sure = f"{level_words(self.level)}, one-sided"
        return f"{self.seen}: {given}a {noun} above {limit} is excluded ({sure}){more}."

    def to_frame(self) -> pd.DataFrame:
        """Return one row per row of counts: label, cumulative number and events, and the limit they leave."""
        import pandas as pd

        return pd.DataFrame(
            {
                "label": self.counts.row_labels,
                "total": self.counts.totals[:, 0],
                "events": self.counts.events[:, 0].astype(int),
                "cumulative_total": self.marks[:, 0],
                "cumulative_events": self.marks[:, 1].astype(int),
                "limit": self.marks[:, 2],
            }
        )

    def curve_frame(self) -> pd.DataFrame:
        """Return one row per point of the curve: number, limit."""
        import pandas as pd

        return pd.DataFrame({"number": self.number, "limit": self.limit})


def exclusion_curve(
    counts: EventCounts,
    *,
    arm: Arm | None = None,
    level: float = 0.95,
    heterogeneity: float = 0.0,
    scale: Scale | None = None,
    study_size: float | None = None,
    allowed: int = 0,
    number: Sequence[float] | ArrayLike | None = None,
    risks: Sequence[float] | ArrayLike | None = None,
) -> ExclusionCurve:
    """Return the largest risk that no event leaves possible, against the number of people treated.

    Use it to show what the evidence excludes so far, and how slowly more of it narrows that: the limit falls
    as 3 over the number treated. Each row of the counts is marked at the number treated up to it, with the
    limit of the events up to it, in the order of the rows. The limits are those of
    :func:`metaexo.safety.upper_limit`.

    Parameters
    ----------
    counts : EventCounts
        Counts of one arm, or of two arms, with `arm`.
    arm : {"treatment", "control"}, optional
        Arm of counts of two arms.
    level : float
        Confidence level of the one-sided limits.
    heterogeneity : float
        How much study risks vary; 0 for a common risk.
    scale : {"icc", "tau", "cv"}, optional
        What `heterogeneity` is. Default: "icc" for people, "cv" for person-time.
    study_size : float, optional
        Size of the studies that the numbers of the curve are made up of, where study risks vary. Default: the
        mean size of the rows, rounded for people.
    allowed : int
        Events of the curve.
    number : array_like, optional
        Numbers of people, or person-times, of the curve. Default: from one person, or a hundredth of the
        smallest row's person-time, to beyond the counts and the number that excludes the smallest risk.
    risks : array_like, optional
        Risks, or rates, whose exclusion is marked. Default: 1 in 100 and 1 in 1,000 for people, none for
        person-time.

    Returns
    -------
    ExclusionCurve
        The curve, the marks of the rows, and the numbers that exclude the marked risks.

    Raises
    ------
    InputError
        If a number, a risk or the heterogeneity is impossible, or risks vary among so many studies with so
        many events that their limits would take minutes: beyond some 300 studies with an event in each.

    See Also
    --------
    patients_to_exclude : The numbers alone, with a power.

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(events=[0, 0, 0, 0], n=[12, 8, 30, 10])
    >>> found = mx.safety.exclusion_curve(counts)
    >>> found.needed
    array([ 299., 2995.])
    >>> found.to_frame()[["cumulative_total", "limit"]].round(3).values.tolist()
    [[12.0, 0.221], [20.0, 0.139], [50.0, 0.058], [60.0, 0.049]]
    """
    rows = one_arm(counts, arm, "exclusion_curve")
    kind = kind_of(scale, rows.person_time)
    check_level(level)
    h = check_heterogeneity(heterogeneity, kind)
    events = whole_number(allowed, "allowed", 0)
    x, totals = rows.events[:, 0], rows.totals[:, 0]
    size = _study_size(study_size, rows.person_time, float(totals.mean())) if h else math.nan
    aims = _risks(risks if risks is not None else () if rows.person_time else MARKED, rows.person_time)
    rule = _Rule(kind, h, 1 - level, size)
    needed = np.array([_or_inf(rule, float(one), events) for one in aims])
    if number is None:
        reach = [float(totals.sum()), *needed[np.isfinite(needed)].tolist()]
        least = float(totals.min()) / 100 if rows.person_time else 1.0
        at = np.geomspace(least, 1.2 * max(reach), POINTS)
        at = at if rows.person_time else np.unique(np.ceil(at))
    else:
        at = _numbers(number, "number", rows.person_time)
    done = np.column_stack([np.cumsum(totals), np.cumsum(x)])
    return ExclusionCurve(
        counts=rows,
        level=float(level),
        said=same_study_cautions(rows),
        number=at,
        limit=rule.curve(at, events),
        allowed=events,
        heterogeneity=h,
        scale=kind.scale,  # type: ignore[arg-type]
        study_size=size,
        marks=np.column_stack([done, rule.running(totals, x)]),
        risks=aims,
        needed=needed,
    )


@dataclass(frozen=True)
class _Rule:
    """When a number of people with so many events excludes a risk."""

    kind: StudyRisks
    h: float
    tail: float
    size: float  # of the studies that new people come in; NaN where it does not matter

    def studies(self, n: float, there: Array = NO_ONE) -> Studies:
        """Return the studies that hold n people, full ones and one with the rest, beside those there."""
        full = math.floor(n / self.size) if self.h else 0
        rest = n - full * self.size if full else n
        sizes, times = np.unique(there, return_counts=True)
        new = [(self.size, full)] if full else []
        new += [(rest, 1)] if rest > 0 else []
        return (
            np.append(sizes, [size for size, _ in new]),
            np.append(times, [count for _, count in new]).astype(np.intp),
        )

    def limit(self, studies: Studies, x: int) -> float:
        """Return the upper limit of x events in these studies."""
        h, (sizes, times) = np.array([self.h]), studies
        t = limit_locations(self.kind, x, sizes, h, self.tail, times=times)
        return float(mean_at(self.kind, t, h)[0])

    def curve(self, numbers: Array, x: int) -> Array:
        """Return the upper limits of x events among each number of people; without events all at once."""
        if x or not self.h:
            return np.array([self.limit(self.studies(n), x) for n in numbers])
        full = np.floor(numbers / self.size)
        rest = numbers - full * self.size
        h = np.full(numbers.shape, self.h)

        def excess(t: Array, full: Array, rest: Array, h: Array) -> Array:
            whole = np.maximum(self.kind.log_pmf(0.0, self.size, t, h), NEVER)
            last = np.maximum(self.kind.log_pmf(0.0, np.where(rest > 0, rest, 1.0), t, h), NEVER)
            return np.asarray(np.exp(full * whole + np.where(rest > 0, last, 0.0)) - self.tail)

        low, high = self.kind.ends(float(numbers.max()), h)
        t = root(excess, low, high, full, rest, h)
        return mean_at(self.kind, np.where(np.isnan(t), np.inf, t), h)

    def running(self, totals: Array, events: Array) -> Array:
        """Return the upper limits of all studies up to and with each."""
        n, x = np.cumsum(totals), np.cumsum(events).astype(np.intp)
        if not self.h:
            return np.array([self.limit(self.studies(float(n[i])), int(x[i])) for i in range(n.size)])
        self._refuse_so_many(x)
        parts = np.split(np.arange(n.size), range(TOGETHER, n.size, TOGETHER))
        return np.concatenate([self._limits_of(which, totals, n, x) for which in parts])

    def _refuse_so_many(self, x: Index) -> None:
        """Refuse limits after each study that would take minutes."""
        steps = float((np.arange(1, x.size + 1) * (x + 1))[x > 0].sum())
        if isinstance(self.kind, NormalRisks):
            steps *= max(1.0, self.h * math.sqrt(float(x[-1]) + 1) / 10)
        if steps > MOST_STEPS:
            raise InputError(
                f"limits after each of {x.size:,} rows with {x[-1]:,} events take minutes if risks vary",
                "fewer rows or events, or a common risk (heterogeneity=0)",
                f"mx.safety.upper_limit(counts, heterogeneity={self.h:g}, scale={self.kind.scale!r}) has the "
                "last of them",
            )

    def _limits_of(self, which: Index, totals: Array, n: Array, x: Index) -> Array:
        """Return the upper limits of the studies up to and with each of some."""
        open_ended = (x[which] >= n[which]) & self.kind.of_people
        found, bounded = np.ones(which.size), which[~open_ended]
        if not bounded.size:
            return found
        h = np.full(bounded.shape, self.h)

        def excess(t: Array, which: Index, h: Array) -> Array:
            return running_probabilities(self.kind, x, totals, which, t, h) - self.tail

        low, high = self.kind.ends(float(n[which[-1]]), h)
        low = np.minimum(low, self.kind.ends(float(n[which[0]]), h)[0])
        high = np.maximum(high, self.kind.ends(float(n[which[0]]), h)[1])
        t = root(excess, low, high, bounded, h)
        found[~open_ended] = mean_at(self.kind, np.where(np.isnan(t), np.inf, t), h)
        return found

    def place(self, risk: float) -> float:
        """Return the location of a mean risk; the risk itself where it is the same in all studies."""
        return float(self.kind.location(np.array([risk]), np.array([self.h]))[0]) if risk and self.h else risk

    def at_most(self, x: int, studies: Studies, place: float) -> float:
        """Return the probability of at most x events in these studies, for the place of a mean risk."""
        sizes, times = studies
        n = float(sizes @ times)
        if place == 0 or n == 0 or (self.kind.of_people and x >= n):
            return 1.0
        if self.h == 0:  # one study is as good as all of them
            if self.kind.of_people:
                return float(special.betaincc(x + 1, n - x, place))
            return float(special.gammaincc(x + 1, n * place))
        h = np.array([self.h])
        refuse_too_much(self.kind, x, sizes, h)
        return float(sum_probabilities(self.kind, x, sizes, times, np.array([place]), h)[0][0])

    def needed(self, risk: float, x: int, there: Array = NO_ONE, least: float = 0.0) -> float:
        """Return the fewest people, beside those who are there, that exclude a risk with x events in all.

        `least` is a number that is known not to be too large.
        """
        most, place = MOST_PEOPLE if self.kind.of_people else MOST_PEOPLE / risk, self.place(risk)

        def enough(n: float) -> bool:
            return self.at_most(x, self.studies(n, there), place) <= self.tail

        found = _fewest(enough, self.kind.of_people, most, least)
        if found is None:
            where = "" if not self.h else f" in studies of {self.size:,.10g}"
            raise NotIdentifiableError(
                f"no number up to {most:,.10g}{where} excludes a mean risk of {risk:g}",
                "a risk, a study size and a heterogeneity for which many studies exclude it",
                "assume less heterogeneity, or plan more and smaller studies (study_size)",
            )
        return found


def _fewest(enough: Callable[[float], bool], whole: bool, most: float, least: float) -> float | None:
    """Return the least number that is enough, where every larger one is enough too; None beyond the most."""
    if enough(least):
        return least
    high = max(1.0, math.floor(1.25 * least) if whole else 1.25 * least)
    if not whole and not least:
        while high > most * 1e-30 and enough(high):
            high /= 2
    while not enough(high):
        high *= 2
        if high > most:
            return None
    low = max(least, math.floor(high / 2) if whole else high / 2)
    while (high - low > 1) if whole else (high - low > 1e-12 * high):
        middle = (low + high) / 2
        middle = math.floor(middle) if whole else middle
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(high)


def _or_inf(rule: _Rule, risk: float, events: int) -> float:
    try:
        return rule.needed(risk, events)
    except NotIdentifiableError:
        return math.inf


def _study_size(given: float | None, person_time: bool, usual: float) -> float:
    if given is None:
        return usual if person_time else float(max(1, round(usual)))
    if person_time:
        found = check_number("study_size", given)
        if not 0 < found < math.inf:
            raise InputError(f"study_size is {found:g}", "a person-time above 0")
        return found
    people = whole_number(given, "study_size", 1)
    if people > MOST_PEOPLE:
        raise InputError("study_size is more people than there are", f"at most {MOST_PEOPLE:,.0f}")
    return float(people)


def _risks(given: object, person_time: bool) -> Array:
    """Return risks, each above 0 and below 1, or rates above 0."""
    found = read_numbers(given, "risks", ndim=1)
    wrong = ~(found > 0) | ~(found < (math.inf if person_time else 1))
    if wrong.any():
        raise InputError(
            f"a {'rate' if person_time else 'risk'} is {found[wrong][0]:g}",
            "rates above 0" if person_time else "risks above 0 and below 1, for example 0.01 for 1 in 100",
        )
    return found


def _numbers(given: object, name: str, person_time: bool) -> Array:
    found = np.sort(read_numbers(given, name, ndim=1))
    least = 0.0 if person_time else 1.0
    right = (found > 0) & (found >= least) & (found <= MOST_PEOPLE)
    if not found.size or not right.all() or not (person_time or np.all(found == np.floor(found))):
        raise InputError(
            f"{name} holds what is no {'person-time' if person_time else 'number of people'}",
            "values above 0" if person_time else "whole numbers from 1 to 1,000,000,000",
        )
    return found


def _amount(value: float, person_time: bool) -> str:
    return amount(value) if person_time else f"{value:,.0f}"


# -- the next trials -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PatientsToExclude(SafetyResult):
    """Result of :func:`patients_to_exclude`.

    Attributes
    ----------
    counts : EventCounts or None
        The counts of one arm that are there already.
    risk : ndarray, shape (r,)
        Risks, or rates, that are to be excluded.
    more : ndarray, shape (r,)
        Number of people, or person-time, that the next trials must follow; 0 where the counts exclude the
        risk already.
    in_all : ndarray, shape (r,)
        The same with those who are there.
    events_allowed : ndarray of int, shape (r,)
        Events among the new people with which the risk is excluded still.
    power : ndarray, shape (r,)
        Probability of no more events than that, at the true risk.
    trials : ndarray, shape (r,)
        Number of new trials; NaN for a common risk, where it does not matter.
    true_risk : float
        Risk, or mean risk, at which the power holds.
    heterogeneity : float
        Heterogeneity that was assumed.
    scale : {"icc", "tau", "cv"}
        What it is.
    study_size : float
        Size of the new trials; NaN for a common risk.
    person_time : bool
        Whether numbers are person-time.
    """

    counts: EventCounts | None
    risk: Array
    more: Array
    in_all: Array
    events_allowed: Index
    power: Array
    trials: Array
    true_risk: float
    heterogeneity: float
    scale: Scale
    study_size: float
    person_time: bool

    @property
    def method(self) -> str:
        """How the numbers were found."""
        return (
            "the smallest number for which so few events have a probability of at most "
            f"{1 - self.level:.3g} at the risk to be excluded (exact, one-sided)"
        )

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the numbers rest on."""
        words = heterogeneity_words(kind_of(self.scale, self.person_time), self.heterogeneity)
        noun = "rate" if self.person_time else "risk"
        size = () if self.heterogeneity == 0 else (f"new trials of {self.study_size:,.10g} each",)
        true = f"a true {noun} of {self.true_risk:g} in the power"
        return (words, *size, true)

    @property
    def sentence(self) -> str:
        """How many have to be followed for each risk."""
        unit = "units of person-time" if self.person_time else "people"
        parts, done = [], []
        for i in range(self.risk.size):
            target = risk_words(float(self.risk[i]), self.person_time)
            if self.more[i] == 0:
                done.append(target)
                continue
            c = int(self.events_allowed[i])
            seen = "no event" if c == 0 else f"at most {plural(c, 'event')}"
            power = "" if self.true_risk == 0 else f" (power {percent(float(self.power[i]))})"
            parts.append(
                f"{_amount(float(self.more[i]), self.person_time)} {unit} with {seen} for {target}{power}"
            )
        kind, noun = kind_of(self.scale, self.person_time), "rate" if self.person_time else "risk"
        given = if_they_vary(kind, self.heterogeneity, self.study_size)
        noun = f"mean {noun}" if given else noun
        start = "" if self.counts is None else f"After {first_low(events_seen(self.counts))}, "
        already = f"a {noun} of {', '.join(done)} is excluded already" if done else ""
        if not parts:
            return _first_up(f"{start}{given}{already} ({level_words(self.level)} confidence, one-sided).")
        already = f"; {already}" if done else ""
        aim = f"{given}to exclude a {noun} with {level_words(self.level)} confidence (one-sided)"
        return f"{_first_up(start + aim)} the next trials must follow {'; '.join(parts)}{already}."

    def to_frame(self) -> pd.DataFrame:
        """Return one row per risk: how many more, how many in all, events allowed, power."""
        import pandas as pd

        names = ("risk", "more", "in_all", "events_allowed", "power", "trials")
        return pd.DataFrame({name: getattr(self, name) for name in names})


def _first_up(text: str) -> str:
    return text[0].upper() + text[1:]


def patients_to_exclude(
    risk: float | Sequence[float] | ArrayLike = MARKED,
    *,
    counts: EventCounts | None = None,
    arm: Arm | None = None,
    person_time: bool = False,
    level: float = 0.95,
    events_allowed: int | None = None,
    power: float | None = None,
    true_risk: float = 0.0,
    heterogeneity: float = 0.0,
    scale: Scale | None = None,
    study_size: float | None = None,
) -> PatientsToExclude:
    r"""Return how many people the next trials must follow to exclude a risk.

    Use it to plan for safety: with no event, 299 people exclude 1 in 100 with 95% confidence, and 2,995
    exclude 1 in 1,000. One event among them undoes it. If the event has a true risk above 0, ask for a power:
    the number is then the smallest with which, with that probability, few enough events occur; it comes with
    the number of events that may occur.

    For a common risk :math:`\pi_0` with at most c events allowed, it is the smallest n with

    .. math:: P(X \le c \mid n, \pi_0) \le 1 - \text{level}, \qquad
              n = \lceil \log(1 - \text{level}) / \log(1 - \pi_0) \rceil \text{ for } c = 0 .

    With `counts` it is on top of what is there: their events count among those allowed, and their people
    among n. Where study risks vary, the new people come in trials of `study_size`, and the risk is the mean
    over trials (see :func:`metaexo.safety.upper_limit`); large trials then add less than many.

    Parameters
    ----------
    risk : float or array_like
        Risks to be excluded, or rates for person-time.
    counts : EventCounts, optional
        Counts of one arm that are there already, or of two arms, with `arm`.
    arm : {"treatment", "control"}, optional
        Arm of counts of two arms.
    person_time : bool
        Without counts: whether rates in person-time are meant.
    level : float
        Confidence with which the risk is to be excluded, one-sided.
    events_allowed : int, optional
        Events among the new people with which the risk is to be excluded still. Default: 0, or as many as the
        power needs.
    power : float, optional
        Probability with which the risk is to be excluded if `true_risk` is true.
    true_risk : float
        Risk that is thought to be true; below the risk to be excluded.
    heterogeneity : float
        How much study risks vary; 0 for a common risk.
    scale : {"icc", "tau", "cv"}, optional
        What `heterogeneity` is. Default: "icc" for people, "cv" for person-time.
    study_size : float, optional
        Size of each new trial, needed with a heterogeneity. Default: the mean size of the rows of `counts`.

    Returns
    -------
    PatientsToExclude
        Numbers per risk, with the events that are allowed and the power.

    Raises
    ------
    InputError
        If a risk, a power or the events allowed are impossible, or the true risk is not below the one to be
        excluded.
    MissingInputError
        If risks vary and neither `study_size` nor `counts` is given.
    NotIdentifiableError
        If no number excludes the risk.

    References
    ----------
    Hanley & Lippman-Hand (1983), JAMA 249, 1743-1745. https://doi.org/10.1001/jama.1983.03330370053031

    Examples
    --------
    >>> import metaexo as mx
    >>> mx.safety.patients_to_exclude([0.01, 0.001]).more
    array([ 299., 2995.])
    >>> planned = mx.safety.patients_to_exclude(0.01, power=0.8, true_risk=0.001)
    >>> planned.more, planned.events_allowed, planned.power.round(3)
    (array([473.]), array([1]), array([0.918]))
    """
    rows = None if counts is None else one_arm(counts, arm, "patients_to_exclude")
    if rows is None and arm is not None:
        raise InputError(f"arm={arm!r} was given without counts", "counts of two arms", "leave arm out")
    if not isinstance(person_time, bool | np.bool_):
        raise InputError(f"person_time is {describe(person_time)}", "True or False")
    of_time = bool(person_time) if rows is None else rows.person_time
    if rows is not None and person_time and not rows.person_time:
        raise InputError("person_time=True was given for counts of people", "counts in person-time")
    kind = kind_of(scale, of_time)
    check_level(level)
    aims = _risks(risk, of_time)
    if not aims.size:
        raise InputError("there is no risk to exclude", "at least one risk")
    h = check_heterogeneity(heterogeneity, kind)
    true = check_number("true_risk", true_risk)
    if not 0 <= true < float(aims.min()):
        raise InputError(
            f"true_risk is {true:g}", f"at least 0 and below the risk to be excluded ({aims.min():g})"
        )
    if events_allowed is not None and power is not None:
        raise InputError(
            "both events_allowed and power are given",
            "one of them: the power finds how many events may be allowed",
            "leave one of them out",
        )
    wanted = None if power is None else check_level(power, "power")
    fixed = 0 if events_allowed is None else whole_number(events_allowed, "events_allowed", 0)
    size = math.nan
    if h:
        if study_size is None and rows is None:
            raise MissingInputError(
                "heterogeneity was given without the size of the new trials",
                "study_size, or counts whose mean size is taken",
                "for example study_size=50",
            )
        size = _study_size(study_size, of_time, float(rows.totals.mean()) if rows is not None else math.nan)
    rule = _Rule(kind, h, 1 - level, size)
    there = NO_ONE if rows is None else rows.totals[:, 0]
    before = 0 if rows is None else int(rows.events.sum())
    found = [_plan(rule, float(aim), there, before, fixed, wanted, true) for aim in aims]
    more = np.array([n for n, _, _ in found])
    return PatientsToExclude(
        level=float(level),
        said=() if rows is None else same_study_cautions(rows),
        counts=rows,
        risk=aims,
        more=more,
        in_all=more + float(there.sum()),
        events_allowed=np.array([c for _, c, _ in found], dtype=np.intp),
        power=np.array([sure for _, _, sure in found]),
        trials=np.ceil(more / size) if h else np.full(more.shape, np.nan),
        true_risk=true,
        heterogeneity=h,
        scale=kind.scale,  # type: ignore[arg-type]
        study_size=size,
        person_time=of_time,
    )


def _plan(
    rule: _Rule, risk: float, there: Array, before: int, fixed: int, wanted: float | None, true: float
) -> tuple[float, int, float]:
    """Return the number of new people, the events allowed among them, and the power."""
    most, more = MOST_EVENTS_VARIED if rule.h else MOST_EVENTS, 0.0
    for allowed in range(fixed, fixed + 1 if wanted is None else most):
        more = rule.needed(risk, before + allowed, there, more)
        sure = rule.at_most(allowed, rule.studies(more), rule.place(true)) if more else 1.0
        if wanted is None or sure >= wanted:
            return more, allowed, sure
    raise NotIdentifiableError(
        f"no plan with up to {most:,} events has power {wanted:g} at a true risk of {true:g}",
        "a true risk farther below the risk to be excluded, or a lower power",
    )
