"""The rows of a forest plot of counts: events of each arm beside their share, or beside the effect.

Nothing is added to the zeros of one arm: its studies stand at what was observed, with exact intervals. Of two
arms a study that has no estimate of its own keeps its row and its counts, without a mark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np

from metaexo.effects.counts import EventCounts
from metaexo.effects.derivation import REPORTED
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure
from metaexo.effects.measures.zero_cells import ZeroCells
from metaexo.errors import InputError
from metaexo.formatting import at_least, fixed, level_words, percent, plural, ten_digits, whole_or_decimals
from metaexo.heterogeneity import CountStrata, CountStratum
from metaexo.inputs import describe
from metaexo.models import (
    ArmBasedResults,
    BetaBinomialResults,
    CountGLMMResults,
    ExactConditionalResults,
    MantelHaenszelResults,
    PetoResults,
)
from metaexo.models.counts.fit import CountResults
from metaexo.plots.canvas.arguments import Column
from metaexo.plots.canvas.scale import to_place
from metaexo.plots.canvas.words import (
    count_words,
    p_words,
    same_line,
    stratum_words,
    typeset,
    with_ledger,
    words_of_test,
)
from metaexo.plots.forest.options import Options
from metaexo.plots.forest.rows import (
    BAR,
    DIAMOND,
    INDENT,
    RowWriter,
    caution_notes,
    has_one_mean,
    head_row,
    model_note,
    no_single_effect,
    ordered_strata,
    weights_of,
)
from metaexo.plots.table.rows import ESTIMATE, AxisSpec, Mark, Row, Table
from metaexo.safety import BayesianLimit, UpperLimit, study_intervals
from metaexo.safety.results import SHORT
from metaexo.types import Array, Index, Mask

EVENTS = "events"
FURTHEST = 200.0  # from 0, of a logarithm that is drawn
LARGE = 1000.0  # ratios above it have two decimals at most
WHOLE = 0.6  # an axis of shares is shown as a whole if the intervals reach further than that
DECIMALS = {1: 3, 100: 1, 1000: 1}  # of shares of people, by what they are per
MODELS: dict[type, str] = {
    MantelHaenszelResults: "Mantel-Haenszel",
    PetoResults: "Peto",
    ExactConditionalResults: "exact conditional",
    BetaBinomialResults: "beta-binomial",
    CountGLMMResults: "mixed model",
    ArmBasedResults: "arm-based",
}
LIMITS = (UpperLimit, BayesianLimit)
WEIGHTED = (MantelHaenszelResults, PetoResults)
NOT_ESTIMABLE = "not estimable"
INFINITE = "∞"
ARMS = {"treatment": "Treated", "control": "Control"}
INTERVALS = {"wilson": "Wilson", "jeffreys": "Jeffreys", "mid-p": "mid-p"}
EXACT = {False: "exact (Clopper and Pearson)", True: "exact (Garwood)"}


def table_of_counts(
    results: EventCounts | CountResults | UpperLimit | BayesianLimit, options: Options
) -> Table:
    """Return the table of counts of one arm, of a fit of one or two arms, or of a limit of a common risk."""
    if isinstance(results, LIMITS):
        return _table_of_arm(results.counts, None, replace(options, models=(results, *options.models)))
    if isinstance(results, EventCounts):
        if results.arms == 2:
            raise InputError(
                "counts of two arms, which have no effect before a measure is chosen",
                "a fit of them, or counts of one arm",
                'draw mx.MantelHaenszel(counts, "OR").fit(), or counts.arm("treatment")',
            )
        return _table_of_arm(results, None, options)
    if results.counts.arms == 1:
        return _table_of_arm(results.counts, results, options)
    for name, value, usual in (("per", options.per, 1), ("upper", options.upper, False)):
        if value != usual:
            raise InputError(
                f"{name}={value!r} for counts of two arms", "counts of one arm", f"leave {name}= out"
            )
    return _table_of_two_arms(results, options)


class CountWriter(RowWriter):
    """Writes the rows of a plot of counts; without weights the areas of marks go with the people."""

    es: EffectSizes

    def __init__(
        self,
        counts: EventCounts,
        es: EffectSizes,
        options: Options,
        level: float,
        weights: Array | None = None,
        shown: Array | None = None,
    ) -> None:
        chosen = (EVENTS,) if options.columns is None else options.columns
        chosen = (chosen,) if isinstance(chosen, str) else tuple(chosen)
        others = [one for one in chosen if one != EVENTS]
        super().__init__(
            es, replace(options, columns=others), level, weights, shown=shown, used=(options.by,)
        )
        if np.nanmax(self.shown, initial=0.0) >= LARGE:
            self.decimals = min(self.decimals, 2)
        self.counts = counts
        people = counts.totals.sum(axis=1)
        self.areas = people / people.max()
        own = iter(self.columns)
        arms = _columns_of(counts)
        columns: list[Column] = []
        for one in chosen:
            columns += arms if one == EVENTS else [next(own)]
        self.columns = tuple(columns)
        for j, column in enumerate(arms):
            pairs = zip(counts.events[:, j].tolist(), counts.totals[:, j].tolist(), strict=True)
            self.cells[column.key] = [(self._pair(x, n),) for x, n in pairs]
        self.sums = self._sums_of(counts)

    def _sums_of(self, counts: EventCounts) -> dict[str, tuple[str, ...]]:
        x, n = counts.events.sum(axis=0).tolist(), counts.totals.sum(axis=0).tolist()
        return {one.key: (self._pair(*both),) for one, *both in zip(_columns_of(counts), x, n, strict=True)}

    def _pair(self, x: float, n: float) -> str:
        """Return events among people, or in person-time."""
        totals = self.counts.totals.ravel()
        most = 0 if totals.max() >= 1000 else 2
        decimals = min(most, whole_or_decimals(totals.tolist()))
        few, many = f"{x:,.0f}", f"{n:,.{decimals}f}"
        return f"{few} / {many}".replace(".", self.options.look.point)

    def table(self, rows: Sequence[Row], notes: Sequence[str]) -> Table:
        """Return the table of the plot."""
        made = super().table(rows, notes)
        seen = f"Forest plot of {plural(self.counts.k, 'row')} of counts: {self.counts.zeros_in_words()}."
        return replace(made, summary=with_ledger(seen, self.counts.ledger))

    def _sums(self) -> dict[str, tuple[str, ...]]:
        """Return the sums of events and of people, which stand beside every pooled effect."""
        keys = {column.key for column in self.columns}
        return {key: cell for key, cell in self.sums.items() if key in keys}

    @property
    def without(self) -> Mask:
        """Which rows have no estimate of their own, shape (k,)."""
        return np.asarray(np.isnan(self.shown[0]))

    def part(self, rows: Index, counts: EventCounts, weighted: bool = True) -> Self:
        """Return the writer of what is pooled of some of the rows."""
        made = copy(self)
        made.sums = self._sums_of(counts)
        made.weights = self.weights[rows] if weighted and self.weights is not None else None
        return made

    def stratum(self, s: int, stratum: CountStratum) -> list[Row]:
        """Return the rows of what a stratum comes to, with its counts alone if it has no estimate."""
        if stratum.fit is not None:
            return self.subtotal(s, stratum.fit, stratum.fit.pooled(self.level))
        cells = self._sums() | {ESTIMATE: ("", NOT_ESTIMABLE, "")}
        name = f"subtotal:{s}"
        return [Row(id=name, kind="subtotal", text=("Subtotal",), cells=cells, indent=INDENT)]

    def ordered(self, positions: Any) -> list[int]:
        """Return positions in the order that was chosen; those without an estimate have no place in some."""
        found = super().ordered(positions)
        if self.options.order not in ("estimate", "precision"):
            return found
        return [i for i in found if not self.without[i]] + [i for i in found if self.without[i]]

    def study(self, i: int, indent: float) -> Row:
        """Return the row of one study; one without an estimate has its counts, and no mark."""
        row = super().study(i, indent)
        if not self.without[i]:
            return row
        return replace(row, marks=(), cells={**row.cells, ESTIMATE: ("", NOT_ESTIMABLE, "")})

    def _mark(self, i: int, how: str, share: float | None) -> Mark:
        if share is None and self.options.weights:
            share = float(self.areas[i])
        return super()._mark(i, how, share)

    def pooled_mark(self, pooled: Any, es: Any = None, hollow: bool = False) -> Mark:
        """Return the mark of a pooled effect; of an infinite one the line from its finite limit."""
        made = super().pooled_mark(pooled, es, hollow)
        scale = self._axis().scale
        if made.estimate is None or math.isfinite(to_place(scale, made.estimate)):
            return made
        said = INFINITE if made.estimate > 0 else "0"
        return replace(made, shape="bar", estimate=None, size=BAR, color="pooled", text=said)

    def numbers(self, mark: Mark, weight: float | None) -> dict[str, tuple[str, ...]]:
        """Return the cells of the estimate and of the weight; an infinite estimate is written as that."""
        cells = super().numbers(mark, weight)
        if mark.shape != "bar" or not mark.text:
            return cells
        _, low, high = cells[ESTIMATE]
        return {**cells, ESTIMATE: (mark.text, low, high)}

    def _detail(self, fit: Any, whole: bool = False) -> list[str]:
        """Return the counts of rows and studies; heterogeneity has a row of its own."""
        k, m = fit.effects.k, fit.effects.m
        return count_words(k, m) if m < k else count_words(k, m)[:1]

    def _tests(self, id: str, fit: Any, indent: float) -> list[Row]:
        """Return the rows of heterogeneity and of the test of the effect."""
        rows = super()._tests(id, fit, indent)
        parts = [*self._heterogeneity(fit), *self._q(fit)]
        if self.options.journal or not self.options.heterogeneity or not parts:
            return rows
        of = f" ({self.model_name(fit)})" if self.options.models else ""
        words = f"Heterogeneity{of}: {'; '.join(parts)}"
        return [Row(id=f"{id}:heterogeneity", kind="test", text=(words,), indent=indent), *rows]

    def total(self, fit: Any, pooled: Any) -> list[Row]:
        """Return the rows of the overall effect; its tests stand before the rows of other models."""
        rows = super().total(fit, pooled)
        tests = [row for row in rows if row.kind == "test"]
        others = [row for row in rows if row.id.startswith(("model:", "limit:"))]
        first = [row for row in rows if row not in tests and row not in others]
        return [*first, *tests, *others]

    def _heterogeneity(self, fit: Any) -> list[str]:
        """Return the between-study variance of a model that has one, and I² as far as it is known."""
        if int(fit.has_estimate.sum()) <= fit.design.p:
            return []
        parts = [same_line(f"τ²{at_least(float(fit.tau2))}")] if fit.is_random else []
        i2 = float(fit.i2) if math.isfinite(fit.q.statistic) else math.nan
        return [*parts, same_line(f"I² = {percent(ten_digits(i2))}")] if math.isfinite(i2) else parts

    def _q(self, fit: Any) -> list[str]:
        """Return the test of heterogeneity; its degrees of freedom count the studies that enter it."""
        test = fit.q
        if not math.isfinite(test.statistic) or not all(df > 0 for df in test.df):
            return []
        degrees = ", ".join(f"{ten_digits(df):g}" for df in test.df)
        statistic = same_line(f"Q({degrees}){at_least(float(test.statistic), 1)},")
        return [f"{statistic} {same_line(p_words(test.pvalue, self.options.look.p_style))}"]

    def model_name(self, fit: Any) -> str:
        """Return the model of a fit in a few words."""
        name = MODELS.get(type(fit))
        return name or str(fit.family_lines().model)

    def _other_model(self, fit: Any, other: Any) -> Any:
        """Return another fit of the same counts."""
        if not isinstance(other, CountResults):
            raise InputError(
                f"models holds {other!r}" if isinstance(other, str) else f"models holds {describe(other)}",
                "fits of the counts that are shown",
                "fit another model to the same counts, and hand in the fit",
            )
        self.check_same(other.counts)
        if not has_one_mean(other):
            raise InputError(
                "models holds a fit with moderators", "fits with one pooled effect", "leave it out"
            )
        if self.counts.arms == 2 and other.measure.display != fit.measure.display:
            raise InputError(
                f"models holds a fit of: {other.measure.display}; the plot is of: {fit.measure.display}",
                "fits of one measure",
                f"fit it with measure={fit.measure.code!r}",
            )
        return other

    def check_same(self, counts: EventCounts) -> None:
        """Refuse what rests on other counts than those that are shown."""
        mine = self.counts
        if not (np.array_equal(counts.events, mine.events) and np.array_equal(counts.totals, mine.totals)):
            raise InputError(
                f"models holds a result of {plural(counts.k, 'row')} of other counts",
                "results of the counts that are shown",
                "fit the model to the same counts",
            )


def _columns_of(counts: EventCounts) -> list[Column]:
    """Return a column of events and people, or person-time, for each arm."""
    size = "time" if counts.person_time else "n"
    if counts.arms == 1:
        return [Column(("events", size), f"Events / {size}", "events")]
    return [
        Column((f"{arm}_events", f"{arm}_{size}"), f"{words}\nevents / {size}", "events")
        for arm, words in ARMS.items()
    ]


# -- two arms ------------------------------------------------------------------------------------------------


def _table_of_two_arms(fit: CountResults, options: Options) -> Table:
    """Return the table of a fit of two arms: studies with their effects if they have one, pooled effect."""
    level = options.level or fit.level
    write = CountWriter(fit.counts, _estimates(fit), options, level, _weights_of(fit, options))
    rows = [*write.grouped(), *write.overall(fit)]
    rows, notes = _with_fitted(write, rows, fit)
    fits = [fit, *(one for one in options.models if isinstance(one, CountResults))]
    return write.table(rows, [*notes, *_notes_on_zeros(fits, write), *_area_notes(write)])


def _with_fitted(write: CountWriter, rows: list[Row], fit: CountResults) -> tuple[list[Row], list[str]]:
    """Return the rows, with the fitted effects of a model with moderators, and what is said of the model."""
    notes = [_model_words(fit), *caution_notes(fit), *no_single_effect(fit)]
    for other in write.options.models:
        if isinstance(other, CountResults):
            name = write.model_name(other)
            cautions = (note.replace("Caution:", f"Caution ({name}):", 1) for note in caution_notes(other))
            notes += [_model_words(other), *cautions]
    if has_one_mean(fit) or not write.options.fitted:
        return rows, notes
    said = f"Diamond behind the mark of a study: fitted effect with its {level_words(write.level)} CI."
    return write.with_fitted(rows, fit), [*notes, said]


def _estimates(fit: CountResults) -> EffectSizes:
    """Return the studies' own estimates.

    Where no one, or everyone, has the event, there is no ratio; the difference is 0, without an interval.
    """
    es, none = fit.effects, fit.counts.is_double_zero
    ratios = es.measure.display_log
    value = np.nan if ratios else 0.0
    y = np.clip(es.y, -FURTHEST, FURTHEST) if ratios else es.y  # Peto's may be too far to have a ratio
    derived = [REPORTED if same else mark for same, mark in zip(none, es.derived, strict=False)]
    made = object.__new__(EffectSizes)
    filled = {"y": np.where(none, value, y), "v": np.where(none, value, es.v)}
    made.__setstate__(es.__dict__ | filled | {"derived": tuple(derived)})
    return made


def _model_words(fit: CountResults) -> str:
    """Return the model, and the numbers of rows and studies where they differ."""
    return model_note(fit, counts=fit.effects.m < fit.effects.k)


def _notes_on_zeros(fits: Sequence[CountResults], write: CountWriter) -> list[str]:
    """Return which studies have no estimate, and what was added for drawing, and for pooling.

    The first fit is that of the figure, and the others are further models.
    """
    fit, none = fits[0], write.without
    notes = []
    if none.any():
        rows = plural(int(none.sum()), "study", "studies")
        notes.append(f"Not estimable: {rows} {_silent(fit.counts)}; {_used(fits, none, write)}.")
    flat = int((write.es.v == 0).sum())
    if flat:
        rows = plural(flat, "study", "studies")
        notes.append(f"No interval: {rows} {_silent(fit.counts)}.")
    added = [mark.note for mark, gone in zip(write.es.derived, none, strict=False) if not gone and mark.note]
    if added:
        adding = [write.model_name(one) for one in fits if _adds(one)]
        one = "the pooled effect adds nothing" if has_one_mean(fit) else "the model adds nothing"
        pooled = one if len(fits) == 1 else "no model adds anything"
        if adding:
            whose = "the counts that are pooled" if len(fits) == 1 else f"the counts of {', '.join(adding)}"
            pooled = f"so are {whose}"
        rule = " or ".join(sorted(set(added)))
        studies = plural(len(added), "study", "studies")
        notes.append(f"Hollow square: drawn with {rule} ({studies}); {pooled}.")
    return notes


def _used(fits: Sequence[CountResults], none: Mask, write: CountWriter) -> str:
    """Return whether models use the studies without an estimate."""
    said: dict[str, list[str]] = {}
    for one in fits:
        silent = int((none & ~one.informative).sum())
        some = f"{silent} of them " if 0 < silent < none.sum() else ""
        said.setdefault(f"{some}{'not ' if silent else ''}used", []).append(write.model_name(one))
    if len(said) == 1:
        (how,) = said
        where = f"in {'any' if len(fits) > 1 and 'not' in how else 'the'} pooled effect"
        return f"{how} {where if has_one_mean(fits[0]) else 'by the model'}"
    return "; ".join(f"{how} by {', '.join(names)}" for how, names in said.items())


def _silent(counts: EventCounts) -> str:
    """Return what double zeros are, in words."""
    everyone = bool((counts.is_double_zero & ~counts.is_zero).any())
    return "without event, or with events in everyone" if everyone else "without event in either arm"


def _adds(fit: CountResults) -> bool:
    """Say whether the model adds something to counts before it pools them."""
    x, n = fit.counts.events, fit.counts.totals
    has_zero = ((x == 0) | ((x == n) & (not fit.counts.person_time))).any(axis=1)
    rule: ZeroCells | None = getattr(fit, "zero_cells", None)
    return rule is not None and bool(rule.touched(np.asarray(has_zero)).any())


def _weights_of(fit: CountResults, options: Options) -> Array | None:
    """Return the weights of the studies in a pooled effect that is a weighted mean; others have none."""
    return weights_of(fit, options) if isinstance(fit, WEIGHTED) else None


def _area_notes(write: CountWriter) -> list[str]:
    """Return what the areas of the marks of studies stand for, where they are no weights."""
    if write.weights is not None or write.options.weights is None or write.counts.k == 1:
        return []
    return [f"Area of a square: {'person-time' if write.counts.person_time else 'number of people'}."]


# -- one arm -------------------------------------------------------------------------------------------------


class ArmWriter(CountWriter):
    """Writes the rows of counts of one arm: observed shares with exact intervals, and what is pooled."""

    def table(self, rows: Sequence[Row], notes: Sequence[str]) -> Table:
        """Return the table of the plot; where studies have upper limits alone, the heading says so."""
        made = super().table(rows, notes)
        if not self.options.upper or ESTIMATE in (self.options.titles or {}):
            return made
        both = any(row.kind == "total" and "to" in " ".join(row.cells[ESTIMATE][1:]).split() for row in rows)
        title = f"{self.es.measure.display}\n{level_words(self.level)} limit{' or CI' if both else ''}"
        columns = [replace(one, title=title) if one.key == ESTIMATE else one for one in made.columns]
        return replace(made, columns=tuple(columns))

    def _axis(self) -> AxisSpec:
        per, people = self.options.per, not self.counts.person_time
        spec = super()._axis()
        label = self.options.axis_label or _axis_label(self.counts.person_time, per)
        if spec.scale != "linear":
            return replace(spec, label=f"{label} ({spec.scale} scale)")
        most = float(np.nanmax(self.shown))
        return replace(spec, label=label, whole=(0.0, per if people and most > WHOLE * per else math.inf))

    def limit(self, found: UpperLimit | BayesianLimit, position: int) -> Row:
        """Return the row of a limit that rests on all studies.

        It stands beside the share of all people if the limit is of a common risk, or the posterior median.
        """
        per = self.options.per
        low = None if math.isnan(found.low) else per * found.low
        share = _middle(found)
        both = share is not None and low is not None
        mark = Mark(
            shape="diamond" if both else "bar",
            estimate=per * share if both and share is not None else None,
            low=0.0 if low is None else low,
            high=per * found.value,
            size=DIAMOND if both else BAR,
            color="pooled",
            text="" if share is None else self._number(per * share),
        )
        cells = self.numbers(mark, None)
        if low is None:
            cells = {**cells, ESTIMATE: _up_to(cells[ESTIMATE], self.options)}
        what = "upper limit" if low is None else "interval"
        return Row(
            id=f"limit:{position}",
            kind="total",
            text=(f"{_limit_name(found)}: {level_words(found.level)} {what}",),
            cells=self._sums() | cells,
            marks=(mark,),
        )

    def _number(self, value: float) -> str:
        digits = self.options.decimals_of(ESTIMATE, self.decimals) or 0
        return fixed(value, digits).replace(".", self.options.look.point)

    def study(self, i: int, indent: float) -> Row:
        """Return the row of one study."""
        row = super().study(i, indent)
        if not self.options.upper:
            return row
        return replace(row, cells={**row.cells, ESTIMATE: _up_to(row.cells[ESTIMATE], self.options)})

    def further(self, fit: Any) -> list[Row]:
        """Return the rows of other models, and of limits, of the same counts."""
        rows: list[Row] = []
        for i, other in enumerate(self.options.models):
            if isinstance(other, LIMITS):
                self.check_same(other.counts)
                rows.append(self.limit(other, i))
            else:
                found = self._other_model(fit, other)
                es = _as_shown(found.effects, self.options.per, self.counts.person_time)
                rows.append(self.model_row(i, found, self.pooled_mark(found.pooled(self.level), es)))
        return rows


def _table_of_arm(counts: EventCounts, fit: CountResults | None, options: Options) -> Table:
    """Return the table of counts of one arm: studies, and what is pooled if there is a fit."""
    level = options.level or (0.95 if fit is None else fit.level)
    write = _arm_writer(counts, None if fit is None else fit.effects, options, level)
    rows: list[Row] = write.grouped()
    notes: list[str] = []
    if fit is not None:
        rows, notes = _with_fitted(write, [*rows, *write.overall(fit)], fit)
    elif options.models:
        rows += [Row(id="spacer:total", kind="spacer"), *write.further(None)]
    limits = _limit_notes(options.models)
    return write.table(rows, [*notes, *limits, *_interval_notes(write), *_area_notes(write)])


def _arm_writer(
    counts: EventCounts, effects: EffectSizes | None, options: Options, level: float
) -> ArmWriter:
    """Return the writer of counts of one arm, with the interval of each study."""
    wide = 2 * level - 1 if options.upper else level
    if not wide >= 0.5:
        raise InputError(
            f"upper limits at the level {level:g}", "a level of at least 0.75", "choose level=0.95"
        )
    found = study_intervals(counts, options.interval, level=wide)
    shown = options.per * np.array([found.estimate, found.low, found.high])
    if options.upper:
        shown[1] = np.nan
    if effects is None:
        effects = counts.study_estimates("IR" if counts.person_time else "PR")
    es = _as_shown(effects, options.per, counts.person_time)
    write = ArmWriter(counts, es, replace(options, scale=options.scale or "linear"), level, shown=shown)
    if not counts.person_time:
        few = DECIMALS.get(int(options.per), 0)
        write.decimals = max(few, write.decimals) if write.decimals > 2 else few
    return write


def _as_shown(es: EffectSizes, per: float, person_time: bool) -> EffectSizes:
    """Return effects of one arm whose measure is shown on a linear axis, per so many people."""
    measure: Measure = es.measure
    name = _display(person_time, per)
    shown = replace(measure, back=partial(_times, measure.back, per), display=name, display_log=False)
    made = object.__new__(EffectSizes)
    made.__setstate__(es.__dict__ | {"measure": shown, "derived": ()})
    return made


def _times(back: Any, per: float, values: Array) -> Array:
    """Return values of the analysis as they are shown, times what they are per."""
    with np.errstate(over="ignore"):
        return np.asarray(per * back(values))


def _display(person_time: bool, per: float) -> str:
    """Return the name of what is shown, for the head of its column."""
    if per == 1:
        return "Rate" if person_time else "Proportion"
    return (
        f"{'Rate per' if person_time else 'Per'} {per:,.10g}" if per != 100 or person_time else "Percentage"
    )


def _axis_label(person_time: bool, per: float) -> str:
    """Return the name of the axis."""
    if per == 1:
        return "Events per unit of person-time" if person_time else "Proportion with an event"
    if person_time:
        return f"Events per {per:,.10g} units of person-time"
    return "People with an event (%)" if per == 100 else f"People with an event per {per:,.10g}"


def _up_to(pieces: Sequence[str], options: Options) -> tuple[str, str, str]:
    """Return the cell of an estimate with an upper limit alone: "0.00 [up to 0.26]"."""
    opens, _, closes = options.ends(False)
    high = pieces[2].removesuffix(closes)
    return pieces[0], f"{opens}up to", f"{high}{closes}"


def _interval_notes(write: CountWriter) -> list[str]:
    """Return how the intervals of the studies were made, and what a limit alone is."""
    kind = INTERVALS.get(write.options.interval, EXACT[write.counts.person_time])
    if not write.options.upper:
        return [f"Intervals of studies: {kind}; nothing is added to zeros."]
    return [
        f"Each study has its one-sided {level_words(write.level)} upper limit alone: {kind}; its line "
        "begins at the square. Nothing is added to zeros."
    ]


def _middle(found: UpperLimit | BayesianLimit) -> float | None:
    """Return what a limit stands beside, if there is something: a share, or the median of a posterior."""
    if isinstance(found, BayesianLimit):
        return found.median
    return float(found.events / found.total) if found.is_common else None


def _limit_name(found: UpperLimit | BayesianLimit) -> str:
    """Return what is limited, and under which heterogeneity: "Mean risk (ICC 0.05)"."""
    name = _capital(found.quantity.removesuffix(" over studies"))
    more = ["Bayesian"] if isinstance(found, BayesianLimit) else []
    given = not isinstance(found, BayesianLimit) or found.heterogeneity_prior is None
    if given and not found.is_common:
        known = math.isfinite(found.heterogeneity)
        more.append(f"{SHORT[found.scale]} {found.heterogeneity:.3g}" if known else "any heterogeneity")
    return f"{name} ({', '.join(more)})" if more else name


def _limit_notes(models: Sequence[Any]) -> list[str]:
    """Return what limits of a mean risk, and Bayesian ones, rest on."""
    found = [one for one in models if isinstance(one, LIMITS)]
    said = [one for one in found if isinstance(one, BayesianLimit) or not one.is_common]
    return list(dict.fromkeys(f"{_limit_name(one)}; assumed: {one.assumptions[0]}." for one in said))


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


# -- strata --------------------------------------------------------------------------------------------------


def table_of_count_strata(results: CountStrata, options: Options) -> Table:
    """Return the table of strata of counts: a head, studies and a subtotal each; all studies; the test."""
    fit = results.overall
    level = options.level or results.level
    whole = _writer_of_strata(results, options, level)
    rows: list[Row] = []
    for s, stratum in enumerate(ordered_strata(results, options)):
        part = whole.part(stratum.rows, stratum.counts)
        name = stratum_words(stratum.levels, options.wording) or stratum.name
        pooled = part.stratum(s, stratum)
        if options.subtotals == "only":
            rows.append(replace(pooled[0], text=(name,), indent=0.0))
            continue
        rows += [head_row(s, name), *whole.studies(stratum.rows, INDENT)]
        if options.subtotals and stratum.counts.k > 1:
            rows += pooled
        rows.append(Row(id=f"spacer:{s}", kind="spacer"))
    if options.overall:
        rows += [Row(id="spacer:total", kind="spacer")] * (options.subtotals == "only")
        total = whole if options.weights == "overall" else whole.part(np.arange(fit.k), fit.counts, False)
        rows += total.total(fit, fit.pooled(level))
    if options.between and results.between is not None:
        name = "Test for subgroup differences" if options.journal else "Test between strata"
        said = f"{name}: {same_line(words_of_test(results.between, options.look.p_style))}"
        rows.append(Row(id="between", kind="test", text=(said,)))
    lacking = _lacking_words(results, options)
    if options.between and (results.between is None or len(results.compared) < len(results.strata)):
        lacking.append(f"{_capital(results.note)}.")
    notes = [_model_words(fit), *lacking, *caution_notes(fit)]
    if options.subtotals != "only":
        drawn = _interval_notes(whole) if fit.counts.arms == 1 else _notes_on_zeros([fit], whole)
        notes += [*drawn, *_area_notes(whole)]
    return whole.table(rows, notes)


def _lacking_words(results: CountStrata, options: Options) -> list[str]:
    """Return which strata have no estimate, and why; those with one reason together."""
    names: dict[str, list[str]] = {}
    for one in results.strata:
        if one.note:
            names.setdefault(one.note, []).append(stratum_words(one.levels, options.wording) or one.name)
    return [f"{', '.join(strata)}: {typeset(why)}." for why, strata in names.items()]


def _writer_of_strata(results: CountStrata, options: Options, level: float) -> CountWriter:
    """Return the writer of all studies; weights are those of the whole, or of the stratum of each."""
    fit = results.overall
    if fit.counts.arms == 1:
        return _arm_writer(fit.counts, fit.effects, options, level)
    weights = _weights_of(fit, options)
    if weights is not None and options.weights == "stratum":
        weights = np.zeros(fit.k)
        for one in results.strata:
            own = None if one.fit is None else _weights_of(one.fit, options)
            weights[one.rows] = 0.0 if own is None else own
    return CountWriter(fit.counts, _estimates(fit), options, level, weights)
