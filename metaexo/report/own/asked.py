"""What a report is asked for: the measure, the factors, the outcomes, and how effects are pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from metaexo.effects import Measure, get_measure
from metaexo.errors import InputError
from metaexo.inputs import check_choice, check_level, describe
from metaexo.models.linear.choices import get_test
from metaexo.models.univariate.inference import TESTS
from metaexo.numeric.estimators import get_estimator

CORRELATION = 0.6
"""Correlation that is assumed between sampling errors of effects of one study that are averaged."""
SEED = 0
PERMUTATIONS, DRAWS = 999, 1000
BETTER = ("higher", "lower")
MOST_FACTORS = 3
MOST_NUMBERS = 4
"""Values of a column of numbers that are compared as categories; more are a scale."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The choices of a report.

    Attributes
    ----------
    measure : Measure or None
        The measure; None takes the one that gives most effects.
    by : tuple of str
        The factors, in the order of the report.
    outcomes : tuple of str
        Outcomes, their labels or families; empty for all.
    where : str or None
        Condition on the rows.
    better : str or None
        Direction of benefit of the rows that do not say it.
    method, test : str
        Estimator of tau2, and how intervals and tests are made.
    level : float
        Level of the intervals.
    """

    measure: Measure | None
    by: tuple[str, ...]
    outcomes: tuple[str, ...]
    where: str | None
    better: Literal["higher", "lower"] | None
    method: str
    test: str
    level: float

    @property
    def known_measure(self) -> Measure:
        """The measure, once it is chosen."""
        if self.measure is None:
            raise InputError("no measure is chosen", "a measure", 'write measure="SMD"')
        return self.measure


def read_asked(
    measure: str | Measure | None,
    by: str | Sequence[str],
    outcomes: str | Sequence[str] | None,
    where: str | None,
    better: Literal["higher", "lower"] | None,
    method: str,
    test: str,
    level: float,
) -> Asked:
    """Return the choices of a report, each checked as far as it can be without the sheets."""
    if better is not None:
        check_choice("better", better, BETTER)
    if where is not None and not isinstance(where, str):
        raise InputError(f"where is {describe(where)}", "a condition on the columns, as one text")
    factors = _words(by, "by")
    code, test = get_estimator(method).code, get_test(test, TESTS)
    if code == "EE" and test.startswith("knapp-hartung"):  # which is meant for random effects
        test = "z"
    if len(factors) > MOST_FACTORS:
        raise InputError(f"by names {len(factors)} columns", f"at most {MOST_FACTORS} columns to compare")
    return Asked(
        None if measure is None else get_measure(measure),
        factors,
        _words(outcomes, "outcomes"),
        where,
        better,
        code,
        test,
        check_level(level),
    )


def _words(given: object, name: str) -> tuple[str, ...]:
    """Return one text or several as a tuple, each once."""
    if given is None:
        return ()
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, list | tuple) or not all(isinstance(one, str) and one for one in listed):
        raise InputError(f"{name} is {describe(given)}", "one text, or a list of texts")
    return tuple(dict.fromkeys(listed))
