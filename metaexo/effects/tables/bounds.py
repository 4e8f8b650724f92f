"""Effects that are known only as an interval: "p < 0.05", "no significant difference", a direction in words.

A threshold is kept as what it is, an interval for the effect that was observed, and never turned into a
point.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.bounded_effect_sizes import BoundedEffects, Kind
from metaexo.effects.derivation import Derivation, How
from metaexo.effects.measure import Measure, get_measure
from metaexo.effects.measures.calculate import calculate
from metaexo.effects.tables.assumed_sd import effects_with_assumed_sd
from metaexo.effects.tables.derive import DerivedEffects, effects_from_table
from metaexo.effects.tables.reported import Reported, direction_of, f_of_the_arms, read_table
from metaexo.effects.tables.why_not import FOREIGN_F, NO_CORRELATION, PAIRED_FAMILY, PAIRED_FORM
from metaexo.errors import AssumptionWarning, UnknownChoiceError
from metaexo.formatting import plural
from metaexo.numeric.tails import t_of_tail
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd

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
      them where the direction is told;
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
        Correlation of the two conditions in paired rows that do not tell it.
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
        lower, upper, v_lower, v_upper, kind, derived, reasons: one entry a row.

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
    if assumed_sd is None:
        done = effects_from_table(record, table, assumed_correlation, level=level, rows=rows)
    else:
        done = effects_with_assumed_sd(record, table, assumed_sd, assumed_correlation, level=level, rows=rows)
    reported = read_table(table, rows)
    draft = _Draft(done)
    tests = _Tests.of(record, reported, assumed_correlation)
    _enter_thresholds(draft, tests)
    _enter_directions(draft, tests)
    if draft.assumed:
        words = "; ".join(f"{note} ({plural(n, 'row')})" for note, n in draft.assumed.items())
        warnings.warn(f"bounds of {record.code}: {words}", AssumptionWarning, stacklevel=2)
    return draft.finished()


class _Draft:
    """Bounds in the making, begun with the exact effects."""

    def __init__(self, done: DerivedEffects) -> None:
        exact = np.isfinite(done.y) & np.isfinite(done.v)
        self.lower, self.upper = (np.where(exact, done.y, np.nan) for _ in range(2))
        self.v_lower, self.v_upper = (np.where(exact, done.v, np.nan) for _ in range(2))
        self.kind: list[Kind] = ["exact" if here else "" for here in exact]
        self.derived = list(done.derived)
        self.reasons = list(done.reasons)
        self.assumed: Counter[str] = Counter()

    @property
    def open(self) -> Mask:
        """Rows of which nothing is known yet."""
        return np.array([kind == "" for kind in self.kind], dtype=bool)

    def put(
        self, i: int, kind: Kind, ends: tuple[float, float], variances: tuple[float, float], mark: Derivation
    ) -> None:
        """Enter one interval."""
        self.lower[i], self.upper[i] = ends
        self.v_lower[i], self.v_upper[i] = variances
        self.kind[i], self.derived[i], self.reasons[i] = kind, mark, ""
        self.assumed.update([mark.note] if mark.how == "assumed" else [])

    def finished(self) -> BoundedEffects:
        """Return what was entered."""
        ends = self.lower, self.upper, self.v_lower, self.v_upper
        return BoundedEffects(*ends, tuple(self.kind), tuple(self.derived), tuple(self.reasons))


@dataclass(frozen=True, slots=True)
class _Tests:
    """What is reported of each row's test, and the effect that a t would mean there."""

    table: Reported
    paired: Mask
    n1: Array
    n2: Array
    df: Array
    correlation: Array
    takes_correlation: Mask
    direction: Array
    forms: tuple[Measure, ...]

    @classmethod
    def of(cls, record: Measure, table: Reported, assumed_correlation: float | None) -> _Tests:
        """Read the tests of a table."""
        pairing = table.words("paired")
        of_pairs = record.family == PAIRED_FAMILY
        paired = (pairing == "yes") | (np.full(table.k, of_pairs) & (pairing != "no"))
        n1, n2 = table.numbers("treatment_n"), table.numbers("control_n")
        one = np.where(np.isfinite(n1), n1, n2)
        one = np.where(np.isfinite(n1) & np.isfinite(n2) & (n1 != n2), np.nan, one)
        df = np.where(paired, one - 1, n1 + n2 - 2)
        told = table.numbers("correlation")
        gap = paired & np.isnan(told)
        correlation = told if assumed_correlation is None else np.where(gap, assumed_correlation, told)
        forms = tuple(_form(record, bool(twice)) for twice in paired)
        needs = np.array(["correlation" in _route(form) for form in forms], dtype=bool)
        return cls(
            table,
            paired,
            np.where(paired, one, n1),
            n2,
            np.where(df >= 1, df, np.nan),
            correlation,
            gap & needs & np.isfinite(correlation),
            direction_of(table),
            forms,
        )

    def effect_at(self, i: int, t: float) -> tuple[float, float]:
        """Return effect and sampling variance that row i would have with this t."""
        if np.isinf(t):
            return float(t), float("inf")
        known = {
            "t": t,
            "treatment_n": self.n1[i],
            "control_n": self.n2[i],
            "n": self.n1[i],
            "correlation": self.correlation[i],
        }
        form = self.forms[i]
        done = calculate(form, {name: known[name] for name in _route(form)})
        return float(done.y[0]) + 0.0, float(done.v[0])

    def mark(self, i: int, formula: str, has_variance: bool = True) -> Derivation:
        """Return how a bound of row i came about; a correlation matters only where there is a variance."""
        notes = []
        if self.takes_correlation[i] and has_variance:
            notes.append(f"correlation of the two conditions taken as {self.correlation[i]:g}")
        if self.table.words("paired")[i] == "unknown":
            notes.append("pairing unknown: taken as two independent groups")
        how: How = "assumed" if notes else "converted"
        return Derivation(how, formula, "; ".join(notes))


def _form(record: Measure, paired: bool) -> Measure:
    """Return the measure that a row is computed by."""
    return get_measure(PAIRED_FORM.get(record.code, record.code)) if paired else record


def _route(form: Measure) -> tuple[str, ...]:
    """Return the inputs of a measure's way from t; none where it has no such way."""
    return next((way.inputs for way in form.alternatives if "t" in way.inputs), ())


def _enter_thresholds(draft: _Draft, tests: _Tests) -> None:
    """Enter the intervals of rows with "p < ..." or "p > ..."."""
    relation, p = tests.table.words("p_relation"), tests.table.numbers("p_value")
    for i in np.flatnonzero(draft.open & np.isfinite(p) & np.isin(relation, LEAST + MOST)):
        at = int(i)
        words = f"p {relation[at]} {p[at]:g}"
        reason = _why_no_bound(tests, at, words, relation[at] in LEAST)
        if reason:
            draft.reasons[at] = reason
            continue
        q = float(t_of_tail(p[at] / 2, tests.df[at]))
        low, high = range_of_t(q, tests.direction[at], relation[at] in LEAST)
        first, last = tests.effect_at(at, low), tests.effect_at(at, high)
        mark = tests.mark(at, f"bound from {words}")
        draft.put(at, "interval", (first[0], last[0]), (first[1], last[1]), mark)


def range_of_t(q: float, direction: float, at_least: bool) -> tuple[float, float]:
    """Return the t that a threshold allows, given the sign of the effect (NaN if not told)."""
    far = np.inf if at_least else q
    near = q if at_least else 0.0
    if direction > 0:
        return near, far
    if direction < 0:
        return -far, -near
    return -q, q


def _why_no_bound(tests: _Tests, i: int, words: str, at_least: bool) -> str:
    """Return why a threshold bounds nothing; "" if it does."""
    if not _route(tests.forms[i]):
        return f"only {words}, and {tests.forms[i].code} does not follow from a test"
    if tests.table.words("reported_as")[i] == "f" and not f_of_the_arms(tests.table)[i]:
        return f"only {words}, of {FOREIGN_F}"
    if not np.isfinite(tests.df[i]):
        return f"only {words}, and no n"
    if "correlation" in _route(tests.forms[i]) and not np.isfinite(tests.correlation[i]):
        return f"only {words}; {NO_CORRELATION}"
    if at_least and not np.isfinite(tests.direction[i]):
        return f"only {words}, and no direction: the effect may lie on either side"
    return ""


def _enter_directions(draft: _Draft, tests: _Tests) -> None:
    """Enter the half-lines of rows of which only the direction is known."""
    without_sd = tests.table.words("reported_as") == "percent_change"
    for i in np.flatnonzero(draft.open & np.isfinite(tests.direction) & ~without_sd):
        at = int(i)
        route = _route(tests.forms[at])
        known = bool(np.isfinite(tests.df[at])) and (
            "correlation" not in route or bool(np.isfinite(tests.correlation[at]))
        )
        v_zero = tests.effect_at(at, 0.0)[1] if route and known else float("nan")
        positive = bool(tests.direction[at] > 0)
        ends = (0.0, float("inf")) if positive else (-float("inf"), 0.0)
        variances = (v_zero, float("inf")) if positive else (float("inf"), v_zero)
        mark = tests.mark(at, "direction only", has_variance=bool(np.isfinite(v_zero)))
        draft.put(at, "direction", ends, variances, mark)
