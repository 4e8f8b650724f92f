"""The count of the next study: how many events to expect, and how many would be surprising."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from metaexo.effects.counts import EventCounts
from metaexo.errors import InputError
from metaexo.formatting import level_words, number, percent
from metaexo.inputs import check_level, check_number, describe, whole_number
from metaexo.models.counts.beta_binomial.results import BetaBinomialResults
from metaexo.models.counts.fit import CountResults, check_event_counts
from metaexo.models.counts.mixed.results import CountGLMMResults
from metaexo.numeric.risk_posterior import NodePredictive, Predictive
from metaexo.readable import ReaderTable, cells_of
from metaexo.safety.bayes import BayesianLimit, bayesian_limit
from metaexo.safety.results import SafetyResult, kind_of
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

MOST_PEOPLE, MOST_TIME = 1_000_000_000, 1e12
RARE, MOST_ROWS = 0.0005, 30  # of the table that readers see
FARTHEST = 700.0  # logits of risks that are 0 or 1 in double precision
WIDEST = 8.5  # standard errors of a mean that are summed over
NODES, MOST_NODES = 401, 20_001
BETA_WORDS = "beta-binomial model, intra-class correlation"
AS_ESTIMATED = "the heterogeneity is taken as estimated; how uncertain it is, is not in the prediction"
TAIL = 1e-9  # probability of more events than the prediction lists


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CountPrediction(SafetyResult):
    """Result of :func:`predict_count`.

    Attributes
    ----------
    total : float
        Size of the next study, or its person-time.
    person_time : bool
        Whether it is person-time.
    source : str
        What the prediction rests on, in words.
    expected : float
        Expected number of events.
    low, high : int
        Central interval of the number of events, with at least the probability `level`.
    any_event : float
        Probability of at least one event.
    probabilities : ndarray
        Probabilities of 0, 1, 2, ... events, up to where more have a probability of 1e-9.
    """

    total: float
    person_time: bool
    source: str
    expected: float
    low: int
    high: int
    any_event: float
    probabilities: Array

    @property
    def method(self) -> str:
        """How the prediction was made."""
        return "distribution of the count of a new study, averaged over what is known of its risk"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the prediction rests on."""
        return (self.source, "the next study is like those that were seen")

    @property
    def sentence(self) -> str:
        """How many events to expect."""
        size = f"{self.total:,.10g} of person-time" if self.person_time else f"{self.total:,.0f} people"
        return (
            f"The next study with {size}: {self.low} to {self.high} events with probability "
            f"{level_words(self.level)}, {number(self.expected, 2)} expected; at least one with probability "
            f"{percent(self.any_event, 1)}."
        )

    def reader_tables(self) -> list[ReaderTable]:
        """Return the table up to numbers that are hardly ever exceeded, and never a long one."""
        table = self.to_frame()
        often = int((table["at_least"] >= RARE).sum())
        return [cells_of(table.head(min(often, MOST_ROWS)))]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per number of events: its probability, and that of at least as many."""
        import pandas as pd

        at_least = np.cumsum(self.probabilities[::-1])[::-1]
        return pd.DataFrame(
            {
                "events": np.arange(self.probabilities.size),
                "probability": self.probabilities,
                "at_least": np.minimum(at_least, 1.0),
            }
        )


def predict_count(
    results: BayesianLimit | CountResults | EventCounts, n: float, *, level: float = 0.95
) -> CountPrediction:
    r"""Return the predictive distribution of the number of events in the next study.

    Use it to judge a new study: a count beyond the interval is a surprise, given what was seen so far. It
    rests on one of

    - counts of one arm: a common risk with Jeffreys' prior,
    - the posterior of :func:`metaexo.safety.bayesian_limit`, with its prior and heterogeneity,
    - a fit of one arm without moderators by :class:`metaexo.CountGLMM` or :class:`metaexo.BetaBinomial`: the
      mean is normal around its estimate on the scale of the link, and study risks vary around it as
      estimated.

    The probability of x events is :math:`\int P(x \mid n, \pi)\, dF(\pi)` over the risk of the new study.

    Parameters
    ----------
    results : BayesianLimit, CountResults or EventCounts
        What is known of the risk.
    n : float
        People in the next study, or its person-time.
    level : float
        Least probability of the interval.

    Returns
    -------
    CountPrediction
        Interval, expected number, and the probability of each number of events.

    Raises
    ------
    InputError
        If `results` are none of these, or `n` is no size.

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(events=[0, 0, 0, 0], n=[12, 8, 30, 10])
    >>> found = mx.safety.predict_count(counts, 50)
    >>> found.high, round(found.any_event, 3)
    (3, 0.261)
    """
    check_level(level)
    if isinstance(results, EventCounts):
        results = bayesian_limit(check_event_counts(results, "mx.safety.predict_count", arms=1))
    if not isinstance(results, BayesianLimit | CountGLMMResults | BetaBinomialResults):
        raise InputError(
            f"the results are {describe(results)}",
            "counts of one arm, the posterior of their risk, or a fit of CountGLMM or BetaBinomial",
            "predict_count(mx.safety.bayesian_limit(counts), 50)",
        )
    person_time = results.counts.person_time
    total = _size(n, person_time)
    if isinstance(results, BayesianLimit):
        rests_on = _Source(results.posterior, "; ".join(results.assumptions), results.cautions())
    else:
        rests_on = _of_fit(results, total)
    made = rests_on.predictive.predicted(total, TAIL)
    if made is None:
        raise InputError(
            f"n is {total:,.10g}, of which too many may have an event",
            "a size of which fewer may",
            "predict for fewer people; for many, their share of events is near the risk of the new study",
        )
    at_most, tail, last = np.cumsum(made), (1 - level) / 2, made.size - 1
    return CountPrediction(
        level=float(level),
        said=rests_on.cautions,
        total=total,
        person_time=person_time,
        source=rests_on.words,
        expected=rests_on.predictive.expected() * total,
        low=min(int(np.searchsorted(at_most, tail, side="right")), last),
        high=min(int(np.searchsorted(at_most, 1 - tail)), last),
        any_event=float(-math.expm1(math.log(made[0]))) if made[0] > 0 else 1.0,
        probabilities=made,
    )


class _Source(NamedTuple):
    """What a prediction rests on."""

    predictive: Predictive
    words: str
    cautions: tuple[str, ...] = ()


def _size(n: object, person_time: bool) -> float:
    """Return the size of the next study; refuse what is none."""
    if person_time:
        time = check_number("n", n)
        if not 0 < time <= MOST_TIME:
            raise InputError(f"n is {time:g}", "a person-time above 0")
        return time
    people = whole_number(n, "n", 1)
    if people > MOST_PEOPLE:
        raise InputError("n is more people than there are", f"at most {MOST_PEOPLE:,}")
    return float(people)


def _of_fit(results: CountGLMMResults | BetaBinomialResults, total: float) -> _Source:
    """Return the mixture of distributions of study risks that a fit of one arm leaves possible."""
    counts = results.counts
    if counts.arms == 2:
        raise InputError("the fit is of two arms", "a fit of one arm", 'fit counts.arm("treatment")')
    pooled = results.pooled()
    if isinstance(results, CountGLMMResults):
        sd, h = math.hypot(pooled.se, results.tau), 0.0
        words = f"a fitted mixed model ({results.measure.name}), tau {number(results.tau)}"
    else:
        sd, h = pooled.se, math.sqrt(results.cv2) if counts.person_time else results.rho
        name = "negative binomial model, coefficient of variation" if counts.person_time else BETA_WORDS
        words = f"a fitted {name} {number(h, 3)}"
    people = min(total, 1 / max(h, 1 / MOST_PEOPLE)) if results.is_random else total
    nodes = int(min(MOST_NODES, NODES + 2 * WIDEST * sd * math.sqrt(people)))
    z = np.linspace(-WIDEST, WIDEST, nodes)
    weights = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
    kind = kind_of(None, counts.person_time)
    with np.errstate(divide="ignore"):
        t = kind.location(results.measure.back(pooled.estimate + sd * z), np.zeros(nodes))
    predictive = NodePredictive(kind, np.clip(t, -FARTHEST, FARTHEST), np.full(nodes, h), weights)
    return _Source(predictive, words, (AS_ESTIMATED,) if results.is_random else ())
