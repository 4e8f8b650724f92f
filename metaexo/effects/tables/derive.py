"""From a table of reported statistics with gaps to effects: for each row the first route that works.

Routes in order of trust: means with reported SDs; SDs converted from SE or CI; the t statistic, or the F of
the two arms; means and SDs from medians with quartiles or range; an exact p-value with a direction; a
reported difference or effect with its interval. Every effect says which route it took, and every row without
an effect says why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.conversions.d import t_from_p
from metaexo.effects.conversions.sd_and_se import FORMULAS, correlation_from_difference_se, se_from_ci
from metaexo.effects.corrections import hedges_factor
from metaexo.effects.derivation import Derivation, How
from metaexo.effects.measure import Measure, get_measure
from metaexo.effects.measures.calculate import (
    NEGATIVE_MEANS,
    NOT_GIVEN,
    Calculated,
    calculate_quietly,
    warn_of_negative_means,
)
from metaexo.effects.tables.facts import (
    ARMS,
    OF_MEDIANS,
    PAIRED_FAMILY,
    PAIRED_FORM,
    Facts,
    paired_form,
    read_facts,
)
from metaexo.effects.tables.why_not import why_no_effect
from metaexo.errors import (
    AssumptionWarning,
    CorrelationError,
    InputError,
    UnknownChoiceError,
    warn_caller,
)
from metaexo.immutable import Immutable
from metaexo.inputs import check_aligned, check_number, is_blank, read_entries, read_numbers
from metaexo.readable import shows_itself
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd


PAIRING_UNKNOWN = "pairing unknown: taken as two independent groups"
CORRELATION_TAKEN = "correlation of the two conditions taken as {:g}"
F_UNTOLD = "F taken as that of the two arms alone: its degrees of freedom are not reported"

OF_QUOTIENTS = ("ROM", "CVR")
"""Measures that divide by a mean, which needs a scale with a true zero."""
_NO_ZERO = re.compile(r"\b(?:log|ln|log10|log2|ct)\b|[δ∆]ct|(?<!fold )\bchanges? (?:from|to|since)\b")
NO_QUOTIENT = "means of logarithms or of changes: {} divides by a mean, and these have no true zero"

EFFECT_NAMES = {
    "MD": ("md", "mean_difference"),
    "SMD": ("smd", "hedges_g", "cohens_d", "standardized_mean_difference", "standardised_mean_difference"),
    "ROM": ("rom", "ratio_of_means"),
    "CVR": ("cvr", "ratio_of_cvs"),
    "OR": ("or", "odds_ratio"),
    "RR": ("rr", "risk_ratio", "relative_risk"),
    "RD": ("rd", "risk_difference"),
    "HR": ("hr", "hazard_ratio"),
}


@shows_itself
@dataclass(frozen=True, eq=False, slots=True)
class DerivedEffects(Immutable):
    """Effects derived from a table, one entry per row of the table.

    Attributes
    ----------
    y, v : ndarray, shape (k,)
        Effects and sampling variances; NaN where there is none.
    derived : tuple of Derivation
        How each effect came about; of no meaning where there is none.
    reasons : tuple of str
        Why a row has no effect, in words; "" where it has one.
    """

    y: Array
    v: Array
    derived: tuple[Derivation, ...]
    reasons: tuple[str, ...]


class _InProgress:
    """Effects derived so far: values, and the steps and notes of each row."""

    def __init__(self, k: int) -> None:
        self.y = np.full(k, np.nan)
        self.v = np.full(k, np.nan)
        self.open = np.ones(k, dtype=bool)
        self.steps: list[list[str]] = [[] for _ in range(k)]
        self.notes: list[list[str]] = [[] for _ in range(k)]
        self.remarks = [""] * k
        self.refused = [""] * k

    def put(self, where: Mask, y: Array, v: Array, step: str = "") -> None:
        """Enter effects, converted by one step, at the open rows of `where` that have one."""
        with np.errstate(invalid="ignore"):
            here = where & self.open & np.isfinite(y) & np.isfinite(v) & (v > 0)
        self.y[here], self.v[here] = y[here], v[here]
        self.open = self.open & ~here
        for i in np.flatnonzero(here).tolist():
            self.steps[i] = [step] if step else []

    def calculate(
        self,
        where: Mask,
        record: Measure,
        inputs: Mapping[str, Array],
        steps: Callable[[int, Derivation], Sequence[str]],
    ) -> tuple[NDArray[np.intp], Calculated]:
        """Enter effects by the formulas of a measure at the open rows of `where` that have its inputs.

        What a formula remarks is kept, and why it refused complete numbers. Returns the rows that were tried,
        and what came of them.
        """
        known = {name: np.isfinite(values) for name, values in inputs.items()}
        ways = [way for way in _ways(record) if set(way) <= set(known)]
        ready = np.any([np.all([known[name] for name in way], axis=0) for way in ways], axis=0)
        at = np.flatnonzero(where & self.open & ready)
        if not at.size:
            return at, NOTHING
        done = calculate_quietly(record, {name: values[at] for name, values in inputs.items()})
        for i, y, v, mark, reason in zip(at, done.y, done.v, done.derived, done.reasons, strict=True):
            if np.isfinite(y) and v > 0 and np.isfinite(v):
                self.y[i], self.v[i], self.open[i] = y, v, False
                self.steps[i] = [step for step in steps(int(i), mark) if step]
                self.remarks[i] = NEGATIVE_MEANS if mark.note == NEGATIVE_MEANS else self.remarks[i]
            elif not reason.startswith(NOT_GIVEN):
                self.refused[i] = self.refused[i] or reason
        return at, done

    def assume(self, where: Mask, note: str) -> int:
        """Note an assumption at the rows of `where` that have an effect; return how many these are."""
        here = np.flatnonzero(where & ~self.open).tolist()
        for i in here:
            self.notes[i].append(note)
        return len(here)

    def derivations(self) -> tuple[Derivation, ...]:
        """Return the marks of all rows."""
        marks = []
        for steps, notes, remark in zip(self.steps, self.notes, self.remarks, strict=True):
            how: How = "assumed" if notes else "converted" if steps else "reported"
            note = "; ".join([*notes, *([remark] if remark else [])])
            marks.append(Derivation(how, ", ".join(dict.fromkeys(steps)), note))
        return tuple(marks)


NOTHING = Calculated(np.array([]), np.array([]), (), ())


def effects_from_table(
    measure: str | Measure,
    table: pd.DataFrame | Mapping[str, Any],
    assumed_correlation: float | None = None,
    *,
    level: float = 0.95,
    rows: Sequence[str] | None = None,
) -> DerivedEffects:
    """Derive effects from a table of reported statistics with gaps.

    Use it for extraction sheets, where one row gives means and SDs, the next a t statistic, and a third
    only "p < 0.05". Columns have the names of the outcomes sheet (treatment_mean, treatment_sd,
    treatment_se, treatment_ci_low, treatment_median, treatment_q1, treatment_min, treatment_n,
    treatment_events, ``control_...``, difference, difference_ci_low, effect_measure, effect, effect_ci_low,
    effect_se, reported_as, statistic, df, p_relation, p_value, paired); those that are missing count as
    empty.

    An F (reported_as "f") is taken as that of the two arms if its degrees of freedom are theirs, or are not
    reported, which is then marked as an assumption; it needs a direction, from means, difference or words.

    Rows with paired "yes" (split face, before and after) are computed by the paired form of the measure;
    where the correlation of the two conditions is neither in a column `correlation` nor follows from the
    reported difference, `assumed_correlation` is taken, and the row is marked as assumed. Rows whose
    pairing is unknown are taken as two independent groups, and marked likewise.

    Parameters
    ----------
    measure : str or Measure
        Code of the measure, for example "SMD", "MD", "ROM", "RR".
    table : pandas.DataFrame or mapping of str to sequence
        The table.
    assumed_correlation : float, optional
        Correlation of the two conditions in paired rows that do not report it. Without it such rows give no
        effect.
    level : float
        Level of the confidence intervals in the table.
    rows : sequence of str, optional
        Names of the rows, for error messages ("outcomes.csv line 12, study kwon2020").

    Returns
    -------
    DerivedEffects
        y, v, derived, reasons: one entry per row.

    Raises
    ------
    InputError
        If a value is impossible (its subclasses say which kind, and it names the rows), or if the measure
        cannot be computed from such a table.

    Warns
    -----
    AssumptionWarning
        Once per call, if a correlation, independence, or an F of two arms was assumed.
    NegativeMeansWarning
        If both means of a ratio are negative.

    Examples
    --------
    >>> table = {
    ...     "treatment_mean": [24.0, 24.0, None], "treatment_sd": [5.0, None, None],
    ...     "treatment_se": [None, 1.0, None], "treatment_n": [10, 25, 12],
    ...     "control_mean": [18.0, 18.0, None], "control_sd": [5.0, 5.0, None], "control_n": [10, 25, 12],
    ...     "p_relation": [None, None, "<"], "p_value": [None, None, 0.05], "paired": ["no", "no", "no"],
    ... }
    >>> done = effects_from_table("SMD", table)
    >>> done.y.round(3)
    array([1.149, 1.181,   nan])
    >>> done.derived[1].formula, done.reasons[2]
    ('SD from SE', 'only p < 0.05: gives a bound, not a point')
    """
    record = get_measure(measure)
    return derive(record, read_facts(table, rows, level), assumed_correlation)


def derive(record: Measure, facts: Facts, assumed_correlation: float | None = None) -> DerivedEffects:
    """Derive effects from the facts of a table; see :func:`effects_from_table`."""
    if (
        assumed_correlation is not None
        and not -1 < check_number("assumed_correlation", assumed_correlation) < 1
    ):
        raise CorrelationError(f"assumed_correlation = {assumed_correlation!r}", "a value between -1 and 1")
    if record.compute is None and record.code not in EFFECT_NAMES:
        raise InputError(
            f"{record.code} stands for effects computed elsewhere",
            "a measure with a formula, or EffectSizes(y, v) for numbers of your own",
        )
    made, paired = _InProgress(facts.k), facts.paired(record)
    assumed: list[str] = []
    if record.family != PAIRED_FAMILY and record.compute is not None:
        _independent(made, record, facts, ~paired)
    if record.family == PAIRED_FAMILY or record.code in PAIRED_FORM:
        n = _paired(made, paired_form(record), facts, paired, assumed_correlation)
        assumed += [f"a correlation of {assumed_correlation:g} in {n} paired rows"] if n else []
    _reported_effect(made, record, facts)
    unknown = facts.words["paired"] == "unknown"
    guessed = made.assume(unknown & ~paired, PAIRING_UNKNOWN)
    by_f = np.array([FORMULAS["t_from_f"] in steps for steps in made.steps], dtype=bool)
    taken_as = made.assume(by_f & ~facts.df_known, F_UNTOLD)
    if taken_as:
        assumed.append(f"an F of the two arms alone in {taken_as} rows that do not report its df")
    if guessed:
        assumed.append(f"independent groups in {guessed} rows whose pairing is unknown")
    if assumed:
        warn_caller(f"{record.code} assumes {' and '.join(assumed)}", AssumptionWarning)
    negative = [row for row, remark in zip(facts.rows, made.remarks, strict=True) if remark]
    warn_of_negative_means(record.code, negative)
    reasons = why_no_effect(record, facts, made.open, paired, assumed_correlation is not None, made.refused)
    return DerivedEffects(made.y, made.v, made.derivations(), reasons)


def _independent(made: _InProgress, record: Measure, facts: Facts, where: Mask) -> None:
    """Take the routes of a measure of two independent groups, or of one group (the treatment arm)."""
    inputs = {"direction": facts.direction, "t": facts.t, "p_value": facts.exact_p}
    for arm, found in facts.arms.items():
        inputs |= {f"{arm}_{kind}": facts.numbers[f"{arm}_{kind}"] for kind in ("n", "events")}
        inputs |= {f"{arm}_mean": found.mean, f"{arm}_sd": found.sd}
    inputs |= {name: inputs[f"treatment_{name}"] for name in ("mean", "sd", "n", "events")}
    where = where & ~_without_ratio(made, record, facts)

    def steps(i: int, mark: Derivation) -> list[str]:
        used = _inputs_used(record, mark)
        first = [str(facts.arms[arm].formulas[i]) for arm in _arms_of(used, "mean" if mark.formula else "sd")]
        if mark.formula:
            first = [step for step in first if step in OF_MEDIANS] + [_of_f(facts, i) if "t" in used else ""]
        return [*first, _with_note(mark)]

    made.calculate(where, record, _wanted(record, inputs), steps)
    if record.code == "MD":
        se = facts.difference_se(inputs["treatment_n"] + inputs["control_n"] - 2)
        made.put(where, facts.numbers["difference"], se**2, FORMULAS["se_from_ci_t"])


def _without_ratio(made: _InProgress, record: Measure, facts: Facts) -> Mask:
    """Return the rows whose values are logarithms or changes, where a measure divides by a mean."""
    gone = np.zeros(facts.k, dtype=bool)
    if record.code in OF_QUOTIENTS:
        gone = np.array([_NO_ZERO.search(unit) is not None for unit in facts.words["unit"]], dtype=bool)
        complete = gone & np.all([np.isfinite(facts.arms[arm].mean) for arm in ARMS], axis=0)
        for i in np.flatnonzero(complete).tolist():
            made.refused[i] = NO_QUOTIENT.format(record.code)
    return gone


def _with_note(mark: Derivation) -> str:
    if not mark.note or mark.note == NEGATIVE_MEANS:  # a remark, and no step
        return mark.formula
    return f"{mark.formula} ({mark.note})"


def _arms_of(inputs: Sequence[str], kind: str) -> list[str]:
    """Return the arms whose mean (or SD) is among the inputs; a measure of one group takes the first."""
    if kind in inputs:
        return list(ARMS[:1])
    return [arm for arm in ARMS if f"{arm}_{kind}" in inputs]


def _ways(record: Measure) -> list[tuple[str, ...]]:
    """Return every set of inputs from which a measure can be computed."""
    return [record.inputs, *(way.inputs for way in record.alternatives)]


def _wanted(record: Measure, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return the inputs that the measure takes; refuse a measure that such a table cannot feed."""
    if not set(record.inputs) <= set(inputs):
        lacking = [name for name in record.inputs if name not in inputs]
        raise InputError(
            f"{record.code} needs {', '.join(lacking)}, which a table of reported statistics does not hold",
            "a measure of two groups (SMD, MD, ROM, OR, RR, RD ...) or of one (PLO, PR ...)",
            f"compute it with effect_sizes({record.code!r}, ...)",
        )
    names = dict.fromkeys(name for way in _ways(record) for name in way)
    return {name: inputs[name] for name in names if name in inputs}


def _paired(made: _InProgress, form: Measure, facts: Facts, where: Mask, assumed: float | None) -> int:
    """Take the routes of a paired measure; return how many rows rest on the assumed correlation."""
    if not where.any():
        return 0
    n, difference = facts.n_of_pairs(), facts.numbers["difference"]
    arms = [facts.arms[arm] for arm in ARMS]
    (post, pre), sds = [arm.mean for arm in arms], (arms[0].sd, arms[1].sd)
    # a row that gives only the change: its mean stands in `difference` too, its SD is that of the changes
    change = np.isnan(pre) & np.isfinite(post) & (post == difference)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(change & np.isnan(facts.t), post * np.sqrt(n) / sds[0], facts.t)
    pre = np.where(change, 0.0, pre)
    correlation, source = _correlation(facts, sds, n, np.abs(post - pre), t)
    known = np.isfinite(correlation)
    inputs = {
        "post_mean": post,
        "post_sd": np.where(change, np.nan, sds[0]),
        "pre_mean": pre,
        "pre_sd": sds[1],
        "n": n,
        "correlation": correlation if assumed is None else np.where(known, correlation, assumed),
        "t": t,
        "p_value": facts.exact_p,
        "direction": facts.direction,
    }

    def steps(i: int, mark: Derivation) -> list[str]:
        first = [str(arm.formulas[i]) for arm in arms]
        if mark.formula:
            first = [step for step in first if step in OF_MEDIANS]
        of_change = "t from mean and SD of the changes" if change[i] else ""
        by_t = "t" in _inputs_used(form, mark) or source[i] == FORMULAS["correlation_from_t"]
        return [*first, _of_f(facts, i) if by_t else "", source[i], of_change, mark.formula]

    at, done = made.calculate(where, form, _wanted(form, inputs), steps)
    if form.code == "MC":
        made.put(where, difference, facts.difference_se(n - 1) ** 2, FORMULAS["se_from_ci_t"])
    if assumed is None:
        return 0
    needs = np.array(["correlation" in _inputs_used(form, mark) for mark in done.derived], dtype=bool)
    rests = np.zeros(facts.k, dtype=bool)
    rests[at] = needs & ~known[at] & np.isfinite(done.y) & np.isfinite(done.v)
    return made.assume(rests, CORRELATION_TAKEN.format(assumed))


def _of_f(facts: Facts, i: int) -> str:
    """Return the name of the conversion of the F of a row; "" where it has none."""
    return FORMULAS["t_from_f"] if facts.f_of_arms[i] else ""


def _inputs_used(record: Measure, mark: Derivation) -> tuple[str, ...]:
    """Return the inputs of the route that a mark names."""
    return next((way.inputs for way in record.alternatives if way.formula == mark.formula), record.inputs)


def _correlation(
    facts: Facts, sds: tuple[Array, Array], n: Array, gap: Array, t: Array
) -> tuple[Array, list[str]]:
    """Return the correlation of the conditions, reported or recovered, and the formula used."""
    values, source = facts.numbers["correlation"], [""] * facts.k
    with np.errstate(divide="ignore", invalid="ignore"):
        by_p = np.abs(t_from_p(facts.exact_p, np.ones(facts.k), n - 1))
        errors = {
            "correlation_from_difference_se": facts.difference_se(n - 1),
            "correlation_from_t": gap / np.abs(np.where(np.isfinite(t), t, by_p)),
        }
    for name, se in errors.items():
        found = correlation_from_difference_se(se, *sds, n)
        here = np.isnan(values) & np.isfinite(found)
        values = np.where(here, found, values)
        for i in np.flatnonzero(here).tolist():
            source[i] = FORMULAS[name]
    return values, source


def _reported_effect(made: _InProgress, record: Measure, facts: Facts) -> None:
    """Take an effect that the source itself gives, with its interval or standard error."""
    kinds, numbers = facts.words["effect_measure"], facts.numbers
    where = np.isin(kinds, EFFECT_NAMES.get(record.code, ())) & made.open
    if not where.any():
        return
    low, high, effect = numbers["effect_ci_low"], numbers["effect_ci_high"], numbers["effect"]
    n1, n2 = numbers["treatment_n"], numbers["control_n"]
    factor = np.where(kinds == "cohens_d", hedges_factor(n1 + n2 - 2), 1.0)
    factor = np.where(np.isfinite(factor), factor, 1.0)  # without n it is taken as it stands
    se = se_from_ci(low, high, level=facts.level, log=record.display_log) * factor
    if record.display_log:
        effect = np.log(np.where(effect > 0, effect, np.nan))
    else:
        made.put(where, effect * factor, (factor * numbers["effect_se"]) ** 2)
    made.put(where, effect * factor, se**2, FORMULAS["se_from_ci"])
    if record.code == "SMD":
        d = np.where(kinds == "cohens_d", effect, effect / hedges_factor(n1 + n2 - 2))
        done = calculate_quietly(record, {"d": d, "treatment_n": n1, "control_n": n2})
        independent = facts.words["paired"] != "yes"
        made.put(where & independent, done.y, done.v, "variance from d and n")


BETTER = ("higher", "lower", "none")
NO_DIRECTION = "the sheet does not say which direction is the benefit"


def orient(y: ArrayLike, better: Sequence[str] | str) -> tuple[Array, tuple[str, ...]]:
    """Turn effects so that positive means benefit.

    Use it on effects that are zero when nothing happens (differences, log ratios) before outcomes with
    different directions meet in one analysis. The sampling variance does not change.

    Parameters
    ----------
    y : array_like, shape (k,)
        Effects.
    better : sequence of str or str
        "higher" keeps the sign, "lower" changes it, "none" (or an empty cell) has no answer.

    Returns
    -------
    y : ndarray, shape (k,)
        Effects with positive for benefit; NaN where the direction of benefit is not known.
    reasons : tuple of str
        Why a row has no oriented effect; "" where it has one.

    Raises
    ------
    UnknownChoiceError
        If a word is none of the three.

    Examples
    --------
    >>> turned, reasons = orient([0.5, 0.5, 0.5], ["higher", "lower", "none"])
    >>> turned
    array([ 0.5, -0.5,  nan])
    >>> reasons[2]
    'the sheet does not say which direction is the benefit'
    """
    check_aligned(y=y, better=better)
    effects = read_numbers(y, "y", ndim=1)
    given = (
        [better] * effects.size if isinstance(better, str) else read_entries(better, "better", effects.size)
    )
    words = ["none" if is_blank(word) else str(word) for word in given]
    for i, word in enumerate(words):
        if word not in BETTER:
            raise UnknownChoiceError("better", word, BETTER, f"row {i + 1}")
    signs = np.array([{"higher": 1.0, "lower": -1.0, "none": np.nan}[word] for word in words])
    return effects * signs, tuple(NO_DIRECTION if word == "none" else "" for word in words)
