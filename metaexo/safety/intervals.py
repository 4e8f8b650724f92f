"""Exact and other intervals of single studies' proportions and rates, all studies at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import special

from metaexo.effects.conversions.translations import clopper_pearson
from metaexo.effects.counts import EventCounts
from metaexo.formatting import level_words, plural
from metaexo.inputs import check_choice, check_level
from metaexo.numeric.study_risks import root
from metaexo.numeric.tails import normal_quantile
from metaexo.safety.results import Arm, OneArmResult, one_arm
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

Method = Literal["exact", "mid-p", "wilson", "jeffreys"]
OF_PEOPLE = ("exact", "mid-p", "wilson", "jeffreys")
OF_TIME = ("exact", "mid-p", "jeffreys")
WORDS = {
    ("exact", False): "Clopper-Pearson, exact: covers at least at its level, with few people well above it",
    ("exact", True): "Garwood, exact: covers at least at its level",
    ("mid-p", False): "mid-p: covers at its level on average, at times a little below",
    ("mid-p", True): "mid-p: covers at its level on average, at times a little below",
    ("wilson", False): "Wilson, inversion of the score test: covers at its level on average",
    ("jeffreys", False): (
        "Jeffreys, quantiles of the beta posterior with prior Beta(1/2, 1/2); the end is 0 with no event and "
        "1 with events in everyone"
    ),
    ("jeffreys", True): (
        "Jeffreys, quantiles of the gamma posterior with prior proportional to rate^(-1/2); the end is 0 "
        "with no event"
    ),
}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class StudyIntervals(OneArmResult):
    """Result of :func:`study_intervals`.

    Attributes
    ----------
    name : {"exact", "mid-p", "wilson", "jeffreys"}
        Kind of interval.
    estimate : ndarray, shape (k,)
        Proportions, or rates, as observed.
    low, high : ndarray, shape (k,)
        Ends of the intervals.
    """

    name: Method
    estimate: Array
    low: Array
    high: Array

    @property
    def method(self) -> str:
        """How the intervals were found."""
        return WORDS[self.name, self.person_time]

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the intervals rest on."""
        if self.person_time:
            return ("events are independent within a study, at a constant rate",)
        return ("people are independent within a study",)

    @property
    def sentence(self) -> str:
        """How many studies, and how high their intervals reach."""
        what = "rates" if self.person_time else "proportions"
        silent = self.without_event
        return (
            f"{level_words(self.level)} intervals of the {what} of {plural(self.k, 'row')}, {silent} of them "
            "without event; nothing was added to zeros."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per row of counts: label, study if it differs, counts, interval."""
        import pandas as pd

        counts = self.counts
        study = {"study": counts.study} if counts.study and counts.study != counts.labels else {}
        return pd.DataFrame(
            {
                "label": counts.row_labels,
                **study,
                "events": counts.events[:, 0].astype(int),
                "total": counts.totals[:, 0],
                "estimate": self.estimate,
                "low": self.low,
                "high": self.high,
            }
        )


def study_intervals(
    counts: EventCounts, method: Method = "exact", *, arm: Arm | None = None, level: float = 0.95
) -> StudyIntervals:
    r"""Return the interval of each study's proportion, or rate, without adding anything to zeros.

    Use it for tables and forest plots of single studies. "exact" never covers below its level; the others are
    narrower and cover at their level on average. The ends of the two-sided intervals solve

    - "exact": :math:`P(X \ge x \mid \pi_L) = P(X \le x \mid \pi_U) = (1 - \text{level}) / 2`;
    - "mid-p": the same with half of the probability of x itself;
    - "wilson": :math:`|x / n - \pi| = z \sqrt{\pi (1 - \pi) / n}`;
    - "jeffreys": quantiles of Beta(x + 1/2, n - x + 1/2), of a rate Gamma(x + 1/2) / time.

    Parameters
    ----------
    counts : EventCounts
        Counts of one arm, or of two arms, with `arm`.
    method : {"exact", "mid-p", "wilson", "jeffreys"}
        Kind of interval; "wilson" is for people alone. "exact" is Clopper-Pearson's for people, Garwood's for
        person-time.
    arm : {"treatment", "control"}, optional
        Arm of counts of two arms.
    level : float
        Level of the two-sided intervals.

    Returns
    -------
    StudyIntervals
        Arrays of one entry per row of the counts.

    Raises
    ------
    UnknownChoiceError
        If the method is not known, or not for these counts.

    References
    ----------
    Clopper & Pearson (1934), Biometrika 26, 404-413. https://doi.org/10.1093/biomet/26.4.404
    Garwood (1936), Biometrika 28, 437-442. https://doi.org/10.1093/biomet/28.3-4.437
    Brown, Cai & DasGupta (2001), Statistical Science 16, 101-133. https://doi.org/10.1214/ss/1009213286

    Examples
    --------
    >>> import metaexo as mx
    >>> found = mx.safety.study_intervals(mx.event_counts(events=[0, 3], n=[12, 40]))
    >>> found.high.round(3)
    array([0.265, 0.204])
    """
    rows = one_arm(counts, arm, "study_intervals")
    check_choice("method", method, OF_TIME if rows.person_time else OF_PEOPLE)
    tail = (1 - check_level(level)) / 2
    x, total = rows.events[:, 0], rows.totals[:, 0]
    made = _of_rates(x, total, tail, method) if rows.person_time else _of_people(x, total, tail, method)
    return StudyIntervals(
        counts=rows, level=float(level), name=method, estimate=x / total, low=made[0], high=made[1]
    )


def _of_people(x: Array, n: Array, tail: float, method: Method) -> tuple[Array, Array]:
    if method == "exact":
        return clopper_pearson(x, n, 1 - 2 * tail)
    if method == "wilson":
        z2 = normal_quantile(1 - 2 * tail) ** 2
        middle, half = (x + z2 / 2) / (n + z2), np.sqrt(z2 * (x * (n - x) / n + z2 / 4)) / (n + z2)
        low, high = middle - half, middle + half
    elif method == "jeffreys":
        low = special.betaincinv(x + 0.5, n - x + 0.5, tail)
        high = special.betainccinv(x + 0.5, n - x + 0.5, tail)
    else:
        low, high = _mid_p(x, n, tail, True)
    return np.where(x == 0, 0.0, low), np.where(x == n, 1.0, high)


def _of_rates(x: Array, time: Array, tail: float, method: Method) -> tuple[Array, Array]:
    if method == "mid-p":
        low, high = _mid_p(x, time, tail, False)
        return np.where(x == 0, 0.0, low), high
    add = 0.5 if method == "jeffreys" else 0.0
    low = special.gammaincinv(np.maximum(x, 1.0) + add, tail) / time
    high = special.gammainccinv(x + (add or 1.0), tail) / time
    return np.where(x == 0, 0.0, low), high


def _mid_p(x: Array, total: Array, tail: float, people: bool) -> tuple[Array, Array]:
    """Return where the probability of fewer events and half of that of as many is the tail, and more."""

    def half_below(t: Array, x: Array, total: Array) -> Array:
        if people:
            fewer = np.where(x > 0, special.betainc(total - x + 1, np.maximum(x, 1), special.expit(-t)), 0.0)
            as_most = special.betainc(np.maximum(total - x, 0.5), x + 1, special.expit(-t))
            as_most = np.where(x < total, as_most, 1.0)
        else:
            count = np.exp(t)
            fewer = np.where(x > 0, special.gammaincc(np.maximum(x, 1), count), 0.0)
            as_most = special.gammaincc(x + 1, count)
        return np.asarray((fewer + as_most) / 2)

    far = np.full(x.shape, 50.0)
    low = root(lambda t, x, n: half_below(t, x, n) - (1 - tail), -far, far, x, total)
    high = root(lambda t, x, n: half_below(t, x, n) - tail, -far, far, x, total)
    return (
        (special.expit(low), special.expit(high)) if people else (np.exp(low) / total, np.exp(high) / total)
    )
