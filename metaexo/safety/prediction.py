"""The count of the next study: how many events to expect, and how many would be surprising."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import level_words, number, percent
from metaexo.inputs import check_level, check_number, describe, whole_number
from metaexo.numeric.risk_posterior import RiskPosterior
from metaexo.safety.bayes import BayesianLimit
from metaexo.safety.results import SafetyResult
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

MOST_PEOPLE = 1_000_000_000
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


def predict_count(results: BayesianLimit, n: float, *, level: float = 0.95) -> CountPrediction:
    """Return the predictive distribution of the number of events in the next study.

    Use it to judge a new study: a count beyond the interval is a surprise, given what was seen so far. It
    takes the posterior of :func:`metaexo.safety.bayesian_limit`, for a common risk or for study risks that
    vary, so that both the uncertainty of the mean and the heterogeneity are in it.

    Parameters
    ----------
    results : BayesianLimit
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
        If `results` is no posterior, or `n` is no size.

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(events=[0, 0, 0, 0], n=[12, 8, 30, 10])
    >>> found = mx.safety.predict_count(mx.safety.bayesian_limit(counts), 50)
    >>> found.high, round(found.any_event, 3)
    (3, 0.261)
    """
    if not isinstance(results, BayesianLimit):
        raise InputError(
            f"the results are {describe(results)}",
            "the posterior of a risk",
            "predict_count(mx.safety.bayesian_limit(counts), 50)",
        )
    check_level(level)
    if results.person_time:
        total = check_number("n", n)
        if not 0 < total <= 1e12:
            raise InputError(f"n is {total:g}", "a person-time above 0")
    else:
        people = whole_number(n, "n", 1)
        if people > MOST_PEOPLE:
            raise InputError("n is more people than there are", f"at most {MOST_PEOPLE:,}")
        total = float(people)
    return _predicted(results.posterior, total, level, results)


def _predicted(
    posterior: RiskPosterior, total: float, level: float, results: BayesianLimit
) -> CountPrediction:
    made = posterior.predicted(total, TAIL)
    at_most = np.cumsum(made)
    tail = (1 - level) / 2
    last = made.size - 1
    return CountPrediction(
        level=float(level),
        total=total,
        person_time=results.person_time,
        source="; ".join(results.assumptions),
        expected=posterior.expected() * total,
        low=min(int(np.searchsorted(at_most, tail, side="right")), last),
        high=min(int(np.searchsorted(at_most, 1 - tail)), last),
        any_event=float(-math.expm1(math.log(made[0]))) if made[0] > 0 else 1.0,
        probabilities=made,
    )
