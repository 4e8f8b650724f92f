"""ExactTest: the test of a common ratio from the distribution of the events given each study's margins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from metaexo.effects.counts import EventCounts
from metaexo.formatting import number, p_value, printed
from metaexo.inputs import check_choice
from metaexo.numeric.counts.hypergeometric import ConditionalSum
from metaexo.numeric.counts.two_arms import TwoArms
from metaexo.readable import Readable

if TYPE_CHECKING:
    import pandas as pd

ROUNDING = 1e-12
KINDS = ("central", "probability", "mid-p")


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class ExactTest(Readable):
    """An exact test of a common odds ratio or rate ratio.

    Attributes
    ----------
    statistic : float
        Events in the treated arms of the studies with information.
    expected : float
        Their mean under the null.
    lower_tail, upper_tail : float
        Probabilities of a sum of at most, and of at least, that size: the one-sided p-values.
    point : float
        Probability of the observed sum.
    pvalue : float
        Two-sided, by `kind`.
    kind : {"central", "probability", "mid-p"}
        Twice the smaller tail; all sums that are no more likely; twice the smaller tail with half of `point`.
    null : str
        The null hypothesis in words.
    """

    __test__ = False  # not a test class for pytest

    statistic: float
    expected: float
    lower_tail: float
    upper_tail: float
    point: float
    pvalue: float
    kind: str
    null: str

    def to_frame(self) -> pd.DataFrame:
        """Return one row: kind, statistic, expected, lower_tail, upper_tail, point, pvalue, null."""
        import pandas as pd

        names = ("kind", "statistic", "expected", "lower_tail", "upper_tail", "point", "pvalue", "null")
        return pd.DataFrame([{name: getattr(self, name) for name in names}])

    @printed
    def __str__(self) -> str:
        words = {"central": "exact", "probability": "exact, by probability", "mid-p": "mid-p"}
        return (
            f"{self.statistic:g} {'event' if self.statistic == 1 else 'events'} in the treated arms, "
            f"{number(self.expected)} expected: "
            f"{p_value(self.pvalue)} ({words[self.kind]}; null: {self.null})"
        )


def conditional_sum(counts: EventCounts) -> ConditionalSum:
    """Return the events of the treated arms given the margins of each study."""
    x, n = counts.events, counts.totals
    return ConditionalSum(TwoArms(x[:, 0], n[:, 0], x[:, 1], n[:, 1]), counts.person_time)


def exact_test(
    counts: EventCounts,
    theta: float,
    kind: Literal["central", "probability", "mid-p"] = "central",
    found: ConditionalSum | None = None,
) -> ExactTest:
    """Return the exact test that the log ratio is `theta` in all studies.

    Without a study with information there is one possible outcome, and all probabilities are 1.
    """
    check_choice("kind of test", kind, KINDS)
    if theta == 0:
        null = "the arms do not differ in any study"
    else:
        what, ratio = "rate" if counts.person_time else "odds", number(math.exp(theta), 4)
        null = f"the {what} ratio is {ratio} in all studies"
    family = conditional_sum(counts) if found is None else found
    if not family.informative:
        return ExactTest(0.0, 0.0, 1.0, 1.0, 1.0, 1.0, kind, f"{null}; no study has information")
    tails = family.tails(theta)
    lower, point, upper = (math.exp(log_p) for log_p in tails)
    if kind == "probability":
        pvalue = family.no_more_likely(theta)
    else:
        off = point / 2 if kind == "mid-p" else 0.0
        pvalue = 2 * (min(lower, upper) - off)
        pvalue = 1.0 if pvalue > 1 - ROUNDING else pvalue
    expected = family.cumulants(theta).mean
    return ExactTest(family.observed, expected, lower, upper, point, pvalue, kind, null)
