"""Effects that are known only as an interval: "p < 0.05", "no significant difference", a direction in words.

A threshold is kept as what it is, an interval for the effect that was observed, and never turned into a
point.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.bounded_effect_sizes import BoundedEffects, Kind
from metaexo.effects.derivation import Derivation
from metaexo.effects.measure import Measure, get_measure
from metaexo.effects.measures.calculate import calculate_quietly
from metaexo.effects.tables.assumed_sd import derive_with_sd
from metaexo.effects.tables.derive import CORRELATION_TAKEN, PAIRING_UNKNOWN, DerivedEffects, derive
from metaexo.effects.tables.facts import Facts, paired_form, read_facts
from metaexo.effects.tables.why_not import FOREIGN_F, NO_CORRELATION
from metaexo.errors import (
    AssumptionWarning,
    UnknownChoiceError,
    warn_caller,
)
from metaexo.formatting import plural
from metaexo.numeric.tails import t_of_tail
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd

Rows = NDArray[np.intp]
Ends = tuple[Array, Array]
BOUNDED = ("SMD", "SMCC", "SMCRP", "D2OR", "D2ORN", "D2ORL")
"""Measures that follow from a t statistic and the sizes alone, without limit as t grows."""
LEAST = ("<", "<=")
MOST = (">", ">=")


def bounds_from_table(
    measure: str | Measure,
    table: pd.DataFrame | Mapping[str, Any],
    assumed_correlation: float | None = None,
    *,
    assumed_sd: ArrayLike | None = None,
    level: float = 0.95,
    rows: Sequence[str] | None = None,
) -> BoundedEffects:
    """Derive effects from a table, and intervals for the rows that give only a bound or a direction.

    Use it before a model that takes censored effects. Rows with an exact effect are as in
    :func:`effects_from_table`. Of the others, with q the t quantile of a two-sided p,

    - "p < 0.05" with sizes and a direction means abs(t) > q: the observed effect is at least that of t = q;
    - "p > 0.05" means abs(t) < q: the effect lies between those of t = -q and t = q, or between 0 and one of
      them where the direction is known;
    - a direction alone means above, or below, zero.

    For Hedges' g the effect of a t is J t sqrt(1/n1 + 1/n2); rows with paired "yes" take the paired form of
    the measure. The sampling variance at an end is that of the measure with the end in the place of the
    effect. Tests are taken as two-sided t tests with one pooled SD.

    Parameters
    ----------
    measure : str or Measure
        One of SMD, SMCC, SMCRP, D2OR, D2ORN, D2ORL.
    table : pandas.DataFrame or mapping of str to sequence
        The table, with the columns of :func:`effects_from_table`.
    assumed_correlation : float, optional
        Correlation of the two conditions in paired rows that do not report it.
    assumed_sd : array_like, optional
        Standard deviations to assume in rows without one, NaN for none; see
        :func:`effects_with_assumed_sd`.
    level : float
        Level of the confidence intervals in the table.
    rows : sequence of str, optional
        Names of the rows, for error messages.

    Returns
    -------
    BoundedEffects
        lower, upper, v_lower, v_upper, kind, derived, reasons: one entry per row.

    Raises
    ------
    UnknownChoiceError
        If the measure cannot be bounded by a test.
    InputError
        If a value is impossible.

    Warns
    -----
    AssumptionWarning
        If a correlation, independence or a standard deviation was assumed.

    Examples
    --------
    >>> table = {
    ...     "treatment_n": [11, 11, 11], "control_n": [11, 11, 11], "p_relation": ["<", ">", None],
    ...     "p_value": [0.05, 0.05, None], "direction": ["lower", None, "higher"], "paired": ["no"] * 3,
    ... }
    >>> found = bounds_from_table("SMD", table)
    >>> found.lower.round(3), found.upper.round(3)
    (array([  -inf, -0.856,  0.   ]), array([-0.856,  0.856,    inf]))
    """
    record = get_measure(measure)
    if record.code not in BOUNDED:
        raise UnknownChoiceError("measure that a test bounds", record.code, BOUNDED)
    facts = read_facts(table, rows, level)
    if assumed_sd is None:
        done = derive(record, facts, assumed_correlation)
    else:
        done = derive_with_sd(record, facts, assumed_sd, assumed_correlation)
    made, tests = _InProgress(done), _tests(record, facts, assumed_correlation)
    _enter_thresholds(made, tests)
    _enter_directions(made, tests)
    if made.assumed:
        words = "; ".join(f"{note} ({plural(n, 'row')})" for note, n in made.assumed.items())
        warn_caller(f"bounds of {record.code}: {words}", AssumptionWarning)
    return made.finished()


class _InProgress:
    """Bounds found so far, beginning with the exact effects."""

    def __init__(self, done: DerivedEffects) -> None:
        exact = np.isfinite(done.y) & np.isfinite(done.v)
        self.lower, self.upper = (np.where(exact, done.y, np.nan) for _ in range(2))
        self.v_lower, self.v_upper = (np.where(exact, done.v, np.nan) for _ in range(2))
        self.open = ~exact
        self.kind: list[Kind] = ["exact" if here else "" for here in exact]
        self.derived = list(done.derived)
        self.reasons = list(done.reasons)
        self.assumed: Counter[str] = Counter()

    def put(self, at: Rows, kind: Kind, lower: Ends, upper: Ends, marks: Iterable[Derivation]) -> None:
        """Enter intervals at the rows `at`: effects and variances at both ends."""
        (self.lower[at], self.v_lower[at]), (self.upper[at], self.v_upper[at]) = lower, upper
        self.open[at] = False
        for i, mark in zip(at.tolist(), marks, strict=True):
            self.kind[i], self.derived[i], self.reasons[i] = kind, mark, ""
            self.assumed.update([mark.note] if mark.how == "assumed" else [])

    def finished(self) -> BoundedEffects:
        """Return what was entered."""
        ends = self.lower, self.upper, self.v_lower, self.v_upper
        return BoundedEffects(*ends, tuple(self.kind), tuple(self.derived), tuple(self.reasons))


@dataclass(frozen=True, slots=True)
class _Tests:
    """What is reported of each row's test, and the effect that a t would mean there."""

    facts: Facts
    paired: Mask
    n: Array
    df: Array
    correlation: Array
    forms: tuple[Measure, Measure]
    """The measure of independent groups, and that of pairs."""

    @property
    def needs_correlation(self) -> Mask:
        """Rows whose effect does not follow from t without the correlation of the two conditions."""
        independent, pairs = ("correlation" in _route(form) for form in self.forms)
        return np.where(self.paired, pairs, independent)

    def effects_at(self, at: Rows, t: Array) -> Ends:
        """Return effects and sampling variances that the rows `at` would have with these t."""
        y, v = t.copy(), np.full(t.size, np.inf)
        for form, mine in zip(self.forms, (~self.paired[at], self.paired[at]), strict=True):
            here = np.flatnonzero(mine & np.isfinite(t))
            if not here.size:
                continue
            rows = at[here]
            known = {
                "t": t[here],
                "treatment_n": self.n[rows],
                "control_n": self.facts.numbers["control_n"][rows],
                "n": self.n[rows],
                "correlation": self.correlation[rows],
            }
            done = calculate_quietly(form, {name: known[name] for name in _route(form)})
            y[here], v[here] = done.y, done.v
        return y + 0.0, v

    def mark(self, i: int, formula: str, has_variance: bool = True) -> Derivation:
        """Return how a bound of row i came about; a correlation matters only where there is a variance."""
        notes = []
        taken = np.isnan(self.facts.numbers["correlation"][i]) and np.isfinite(self.correlation[i])
        if taken and self.paired[i] and self.needs_correlation[i] and has_variance:
            notes.append(CORRELATION_TAKEN.format(self.correlation[i]))
        if self.facts.words["paired"][i] == "unknown":
            notes.append(PAIRING_UNKNOWN)
        return Derivation("assumed" if notes else "converted", formula, "; ".join(notes))


def _tests(record: Measure, facts: Facts, assumed_correlation: float | None) -> _Tests:
    """Return the tests of a table."""
    paired, pairs, correlation = facts.paired(record), facts.n_of_pairs(), facts.numbers["correlation"]
    n1, n2 = facts.numbers["treatment_n"], facts.numbers["control_n"]
    df = np.where(paired, pairs - 1, n1 + n2 - 2)
    if assumed_correlation is not None:
        correlation = np.where(paired & np.isnan(correlation), assumed_correlation, correlation)
    return _Tests(
        facts,
        paired,
        np.where(paired, pairs, n1),
        np.where(df >= 1, df, np.nan),
        correlation,
        (record, paired_form(record)),
    )


def _route(form: Measure) -> tuple[str, ...]:
    """Return the inputs of a measure's way from t; none where it has no such way."""
    return next((way.inputs for way in form.alternatives if "t" in way.inputs), ())


def _enter_thresholds(made: _InProgress, tests: _Tests) -> None:
    """Enter the intervals of rows with "p < ..." or "p > ..."."""
    relation, p = tests.facts.words["p_relation"], tests.facts.numbers["p_value"]
    at_least = np.isin(relation, LEAST)
    told = []
    for i in np.flatnonzero(made.open & np.isfinite(p) & np.isin(relation, LEAST + MOST)).tolist():
        reason = _why_no_bound(tests, i, bool(at_least[i]))
        if reason:
            made.reasons[i] = f"only p {relation[i]} {p[i]:g}{reason}"
        else:
            told.append(i)
    at = np.array(told, dtype=np.intp)
    q = t_of_tail(p[at] / 2, tests.df[at])
    low, high = range_of_t(q, tests.facts.direction[at], at_least[at])
    marks = [tests.mark(i, f"bound from p {relation[i]} {p[i]:g}") for i in told]
    made.put(at, "interval", tests.effects_at(at, low), tests.effects_at(at, high), marks)


def range_of_t(q: ArrayLike, direction: ArrayLike, at_least: ArrayLike) -> tuple[Array, Array]:
    """Return the t that a threshold allows, given the sign of the effect (NaN if not known)."""
    near, far = np.where(at_least, q, 0.0), np.where(at_least, np.inf, q)
    above, below = np.greater(direction, 0), np.less(direction, 0)
    low = np.where(above, near, np.where(below, -far, np.negative(q)))
    return low, np.where(above, far, np.where(below, -near, q))


def _why_no_bound(tests: _Tests, i: int, at_least: bool) -> str:
    """Return why a threshold bounds nothing; "" if it does."""
    form = tests.forms[int(tests.paired[i])]
    if not _route(form):
        return f", and {form.code} does not follow from a test"
    if tests.facts.words["reported_as"][i] == "f" and not tests.facts.f_of_arms[i]:
        return f", of {FOREIGN_F}"
    if not np.isfinite(tests.df[i]):
        return ", and no n"
    if tests.needs_correlation[i] and not np.isfinite(tests.correlation[i]):
        return f"; {NO_CORRELATION}"
    if at_least and not np.isfinite(tests.facts.direction[i]):
        return ", and no direction: the effect may lie on either side"
    return ""


def _enter_directions(made: _InProgress, tests: _Tests) -> None:
    """Enter the half-lines of rows of which only the direction is known."""
    direction = tests.facts.direction
    without_sd = tests.facts.words["reported_as"] == "percent_change"
    at = np.flatnonzero(made.open & np.isfinite(direction) & ~without_sd)
    has_route = np.where(tests.paired, bool(_route(tests.forms[1])), bool(_route(tests.forms[0])))
    known = has_route & np.isfinite(tests.df) & (~tests.needs_correlation | np.isfinite(tests.correlation))
    v_zero = np.full(at.size, np.nan)
    v_zero[known[at]] = tests.effects_at(at[known[at]], np.zeros(int(known[at].sum())))[1]
    above = direction[at] > 0
    lower = np.where(above, 0.0, -np.inf), np.where(above, v_zero, np.inf)
    upper = np.where(above, np.inf, 0.0), np.where(above, np.inf, v_zero)
    marks = [
        tests.mark(i, "direction only", has_variance=bool(np.isfinite(v)))
        for i, v in zip(at.tolist(), v_zero, strict=True)
    ]
    made.put(at, "direction", lower, upper, marks)
