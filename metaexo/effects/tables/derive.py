"""From a table of reported statistics with gaps to effects: for each row the first route that works.

Routes in order of trust: means with reported SDs; SDs converted from SE or CI; the t statistic, or the F of
the two arms; means and SDs from medians with quartiles or range; an exact p-value with a direction; a
reported difference or effect with its interval. Every effect says which route it took, and every row without
an effect says why.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.effects.conversions.d import t_from_p
from metaexo.effects.conversions.sd_and_se import FORMULAS, correlation_from_difference_se, se_from_ci
from metaexo.effects.corrections import hedges_factor
from metaexo.effects.derivation import Derivation
from metaexo.effects.measure import Measure, get_measure
from metaexo.effects.measures.calculate import (
    NEGATIVE_MEANS,
    NOT_GIVEN,
    Calculated,
    calculate_quietly,
    warn_of_negative_means,
)
from metaexo.effects.tables.reported import (
    ARMS,
    OF_MEDIANS,
    Reported,
    arm_moments,
    df_is_told,
    difference_se,
    direction_of,
    exact_p,
    f_of_the_arms,
    read_table,
    t_statistic,
)
from metaexo.effects.tables.why_not import PAIRED_FAMILY, PAIRED_FORM, why_no_effect
from metaexo.errors import AssumptionWarning, CorrelationError, InputError
from metaexo.immutable import Immutable
from metaexo.inputs import check_level, check_number
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd


F_UNTOLD = "F taken as that of the two arms alone: its degrees of freedom are not told"

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


@dataclass(frozen=True, slots=True)
class DerivedEffects(Immutable):
    """Effects derived from a table, one entry a row of the table.

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


class _Draft:
    """Effects in the making: values and the steps and notes of each row."""

    def __init__(self, k: int) -> None:
        self.y = np.full(k, np.nan)
        self.v = np.full(k, np.nan)
        self.steps: list[list[str]] = [[] for _ in range(k)]
        self.notes: list[list[str]] = [[] for _ in range(k)]
        self.remarks = [""] * k
        self.refused = [""] * k

    @property
    def open(self) -> Mask:
        """Rows that have no effect yet."""
        return np.asarray(np.isnan(self.y) | np.isnan(self.v), dtype=bool)

    def put(self, where: Mask, y: Array, v: Array, steps: Mapping[int, Sequence[str]]) -> None:
        """Enter effects at the open rows of `where` that have one."""
        with np.errstate(invalid="ignore"):
            here = where & self.open & np.isfinite(y) & np.isfinite(v) & (v > 0)
        self.y[here], self.v[here] = y[here], v[here]
        for i in np.flatnonzero(here):
            self.steps[i] = [step for step in steps.get(int(i), ()) if step]

    def put_calculated(self, where: Mask, done: Calculated, steps: Mapping[int, Sequence[str]]) -> None:
        """Enter effects of a formula; keep what it remarks on them, and why it refused complete numbers."""
        before = where & self.open
        self.put(where, done.y, done.v, steps)
        for i in np.flatnonzero(before):
            if self.open[i] and not done.reasons[i].startswith(NOT_GIVEN):
                self.refused[i] = self.refused[i] or done.reasons[i]
            elif not self.open[i] and done.derived[i].note == NEGATIVE_MEANS:
                self.remarks[i] = NEGATIVE_MEANS

    def assume(self, where: Mask, note: str) -> Mask:
        """Note an assumption at the rows of `where` that have an effect; return these rows."""
        here = where & ~self.open
        for i in np.flatnonzero(here):
            self.notes[i].append(note)
        return here

    def derivations(self) -> tuple[Derivation, ...]:
        """Return the marks of all rows."""
        marks = []
        for steps, notes, remark in zip(self.steps, self.notes, self.remarks, strict=True):
            formula = ", ".join(dict.fromkeys(steps))
            how = "assumed" if notes else "converted" if steps else "reported"
            marks.append(Derivation(how, formula, "; ".join([*notes, *([remark] if remark else [])])))  # type: ignore[arg-type]
        return tuple(marks)


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
    told, which is then marked as an assumption; it needs a direction, from means, difference or words.

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
        Correlation of the two conditions in paired rows that do not tell it. Without it such rows give no
        effect.
    level : float
        Level of the confidence intervals in the table.
    rows : sequence of str, optional
        Names of the rows, for error messages ("outcomes.csv line 12, study kwon2020").

    Returns
    -------
    DerivedEffects
        y, v, derived, reasons: one entry a row.

    Raises
    ------
    InputError
        If a value is impossible (its subclasses say which kind, and it names the rows), or if the measure
        cannot be computed from such a table.

    Warns
    -----
    AssumptionWarning
        Once a call, if a correlation, independence, or an F of two arms was assumed.
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
    reported = read_table(table, rows)
    check_level(level)
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
    draft = _Draft(reported.k)
    pairing = reported.words("paired")
    paired = (pairing == "yes") | (np.full(reported.k, record.family == PAIRED_FAMILY) & (pairing != "no"))
    assumed: list[str] = []
    if record.family != PAIRED_FAMILY and record.compute is not None:
        _independent(draft, record, reported, ~paired, level)
    if record.family == PAIRED_FAMILY or record.code in PAIRED_FORM:
        form = get_measure(PAIRED_FORM.get(record.code, record.code))
        taken = _paired(draft, form, reported, paired, level, assumed_correlation)
        if taken.any():
            assumed.append(f"a correlation of {assumed_correlation:g} in {int(taken.sum())} paired rows")
    _reported_effect(draft, record, reported, level)
    guessed = draft.assume(
        (pairing == "unknown") & ~paired, "pairing unknown: taken as two independent groups"
    )
    by_f = np.array([FORMULAS["t_from_f"] in steps for steps in draft.steps], dtype=bool)
    taken_as = draft.assume(by_f & ~df_is_told(reported), F_UNTOLD)
    if taken_as.any():
        assumed.append(f"an F of the two arms alone in {int(taken_as.sum())} rows that do not tell its df")
    if guessed.any():
        assumed.append(f"independent groups in {int(guessed.sum())} rows whose pairing is unknown")
    if assumed:
        warnings.warn(f"{record.code} assumes {' and '.join(assumed)}", AssumptionWarning, stacklevel=2)
    negative = [row for row, remark in zip(reported.rows, draft.remarks, strict=True) if remark]
    warn_of_negative_means(record.code, negative, stacklevel=3)
    reasons = why_no_effect(
        record, reported, draft.open, paired, assumed_correlation is not None, draft.refused
    )
    return DerivedEffects(draft.y, draft.v, draft.derivations(), reasons)


def _independent(draft: _Draft, record: Measure, table: Reported, where: Mask, level: float) -> None:
    """Take the routes of a measure of two independent groups, or of one group (the treatment arm)."""
    inputs, arm_steps = _inputs_in_words(table, level)
    n1, n2 = table.numbers("treatment_n"), table.numbers("control_n")
    done = calculate_quietly(record, _wanted(record, inputs))
    of_f = _from_f(table)
    steps: dict[int, list[str]] = {}
    for i, mark in enumerate(done.derived):
        used = _inputs_used(record, mark)
        first = [arm_steps[arm][i] for arm in _arms_of(used, "sd")]
        if mark.formula:
            first = [arm_steps[arm][i] for arm in _arms_of(used, "mean")]
            first = [step for step in first if step in OF_MEDIANS] + [of_f[i] if "t" in used else ""]
        steps[i] = [*first, _with_note(mark)]
    draft.put_calculated(where, done, steps)
    if record.code == "MD":
        se = difference_se(table, n1 + n2 - 2, level)
        draft.put(where, table.numbers("difference"), se**2, _all(table.k, FORMULAS["se_from_ci_t"]))


def _with_note(mark: Derivation) -> str:
    if not mark.note or mark.note == NEGATIVE_MEANS:  # a remark, and no step
        return mark.formula
    return f"{mark.formula} ({mark.note})"


def _arms_of(inputs: Sequence[str], kind: str) -> list[str]:
    """Return the arms whose mean (or SD) is among the inputs; a measure of one group takes the first."""
    if kind in inputs:
        return list(ARMS[:1])
    return [arm for arm in ARMS if f"{arm}_{kind}" in inputs]


def _inputs_in_words(table: Reported, level: float) -> tuple[dict[str, Array], dict[str, list[str]]]:
    """Return everything a measure of independent groups may ask for, and how means and SDs were completed."""
    inputs: dict[str, Array] = {}
    steps: dict[str, list[str]] = {}
    for arm in ARMS:
        found = arm_moments(table, arm, level)
        steps[arm] = [str(word) for word in found.formulas]
        inputs |= {f"{arm}_{kind}": table.numbers(f"{arm}_{kind}") for kind in ("n", "events")}
        inputs |= {f"{arm}_mean": found.mean, f"{arm}_sd": found.sd}
    inputs |= {name: inputs[f"treatment_{name}"] for name in ("mean", "sd", "n", "events")}
    direction = direction_of(table)
    inputs |= {"direction": direction, "t": t_statistic(table, direction), "p_value": exact_p(table)}
    return inputs, steps


def _wanted(record: Measure, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return the inputs that the measure takes; refuse a measure that such a table cannot feed."""
    if not set(record.inputs) <= set(inputs):
        lacking = [name for name in record.inputs if name not in inputs]
        raise InputError(
            f"{record.code} needs {', '.join(lacking)}, which a table of reported statistics does not hold",
            "a measure of two groups (SMD, MD, ROM, OR, RR, RD ...) or of one (PLO, PR ...)",
            f"compute it with effect_sizes({record.code!r}, ...)",
        )
    ways = [record.inputs, *(way.inputs for way in record.alternatives)]
    names = dict.fromkeys(name for way in ways for name in way)
    return {name: inputs[name] for name in names if name in inputs}


def _paired(
    draft: _Draft, form: Measure, table: Reported, where: Mask, level: float, assumed: float | None
) -> Mask:
    """Take the routes of a paired measure; return the rows that rest on the assumed correlation."""
    n1, n2 = table.numbers("treatment_n"), table.numbers("control_n")
    n = np.where(np.isfinite(n1), n1, n2)
    n = np.where(np.isfinite(n1) & np.isfinite(n2) & (n1 != n2), np.nan, n)
    arms = [arm_moments(table, arm, level) for arm in ARMS]
    (post, pre), sds = [arm.mean for arm in arms], (arms[0].sd, arms[1].sd)
    direction = direction_of(table)
    t, p = t_statistic(table, direction), exact_p(table)
    # a row that gives only the change: its mean stands in `difference` too, its SD is that of the changes
    change = np.isnan(pre) & np.isfinite(post) & (post == table.numbers("difference"))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(change & np.isnan(t), post * np.sqrt(n) / sds[0], t)
    pre = np.where(change, 0.0, pre)
    correlation, source = _correlation(table, sds, n, np.abs(post - pre), t, p, level)
    told = np.isfinite(correlation)
    if assumed is not None:
        correlation = np.where(told, correlation, assumed)
    inputs = {
        "post_mean": post,
        "post_sd": np.where(change, np.nan, sds[0]),
        "pre_mean": pre,
        "pre_sd": sds[1],
        "n": n,
        "correlation": correlation,
        "t": t,
        "p_value": p,
        "direction": direction,
    }
    done = calculate_quietly(form, _wanted(form, inputs))
    of_f = _from_f(table)
    steps: dict[int, list[str]] = {}
    for i, mark in enumerate(done.derived):
        first = [str(arm.formulas[i]) for arm in arms]
        if mark.formula:
            first = [step for step in first if step in OF_MEDIANS]
        of_change = "t from mean and SD of the changes" if change[i] else ""
        by_t = "t" in _inputs_used(form, mark) or source[i] == FORMULAS["correlation_from_t"]
        steps[i] = [*first, of_f[i] if by_t else "", source[i], of_change, mark.formula]
    needs = np.array(["correlation" in _inputs_used(form, mark) for mark in done.derived])
    draft.put_calculated(where, done, steps)
    rests = where & needs & ~told & np.isfinite(done.y) & np.isfinite(done.v)
    if form.code == "MC":
        se = difference_se(table, n - 1, level)
        draft.put(where, table.numbers("difference"), se**2, _all(table.k, FORMULAS["se_from_ci_t"]))
    if assumed is None:
        return np.zeros(table.k, dtype=bool)
    return draft.assume(rests, f"correlation of the two conditions taken as {assumed:g}")


def _from_f(table: Reported) -> list[str]:
    """Return for each row the name of the conversion of its F; "" where it has none."""
    return [FORMULAS["t_from_f"] if of_arms else "" for of_arms in f_of_the_arms(table)]


def _inputs_used(record: Measure, mark: Derivation) -> tuple[str, ...]:
    """Return the inputs of the route that a mark names."""
    return next((way.inputs for way in record.alternatives if way.formula == mark.formula), record.inputs)


def _correlation(
    table: Reported, sds: tuple[Array, Array], n: Array, gap: Array, t: Array, p: Array, level: float
) -> tuple[Array, list[str]]:
    """Return the correlation of the conditions, reported or recovered, and the formula used."""
    values, source = table.numbers("correlation"), np.full(table.k, "", dtype=object)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_p = np.abs(t_from_p(p, np.ones_like(p), n - 1))
        errors = {
            "correlation_from_difference_se": difference_se(table, n - 1, level),
            "correlation_from_t": gap / np.abs(np.where(np.isfinite(t), t, by_p)),
        }
    for name, se in errors.items():
        found = correlation_from_difference_se(se, *sds, n)
        here = np.isnan(values) & np.isfinite(found)
        values = np.where(here, found, values)
        source[here] = FORMULAS[name]
    return values, [str(word) for word in source]


def _reported_effect(draft: _Draft, record: Measure, table: Reported, level: float) -> None:
    """Take an effect that the source itself gives, with its interval or standard error."""
    kinds = table.words("effect_measure")
    where = np.isin(kinds, EFFECT_NAMES.get(record.code, ()))
    low, high = table.numbers("effect_ci_low"), table.numbers("effect_ci_high")
    effect, se = table.numbers("effect"), se_from_ci(low, high, level=level, log=record.display_log)
    step = FORMULAS["se_from_ci"]
    if record.display_log:
        effect = np.log(np.where(effect > 0, effect, np.nan))
    else:
        draft.put(where, effect, table.numbers("effect_se") ** 2, {})
    draft.put(where, effect, se**2, _all(table.k, step))
    if record.code == "SMD":
        n1, n2 = table.numbers("treatment_n"), table.numbers("control_n")
        corrected = kinds != "cohens_d"
        d = np.where(corrected, effect / hedges_factor(n1 + n2 - 2), effect)
        done = calculate_quietly(record, {"d": d, "treatment_n": n1, "control_n": n2})
        independent = table.words("paired") != "yes"
        draft.put(where & independent, done.y, done.v, _all(table.k, "variance from d and n"))


def _all(k: int, step: str) -> dict[int, list[str]]:
    return {i: [step] for i in range(k)}
