"""The rows of a forest plot, from a fit, from strata or from bare effects; nothing is placed yet."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.conversions.scales import back_by_rows, back_pooled
from metaexo.effects.derivation import REPORTED
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.formatting import fixed, level_words, shown, ten_digits, whole_or_decimals
from metaexo.numeric.tails import normal_quantile
from metaexo.plots.canvas.arguments import COLUMN_KINDS, Column
from metaexo.plots.canvas.scale import from_axis, on_axis
from metaexo.plots.canvas.words import (
    count_words,
    derived_words,
    heterogeneity_words,
    ledger_words,
    method_words,
    stratum_words,
    title_of,
    typeset,
    words,
    words_of_test,
)
from metaexo.plots.forest.options import Options
from metaexo.plots.forest.plan import ForestRow, Mark, RowKind, Shape
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

SPAN_LETTERS = 70
INDENT = 8.0
LARGEST, SMALLEST, PLAIN = 9.0, 2.6, 5.6
DIAMOND, BAR = 8.0, 2.6
CUT_AT = 1e-9
LABEL, ESTIMATE, WEIGHT = "label", "estimate", "weight"
OWN = {LABEL, ESTIMATE, WEIGHT}
ORDERS = ("given", "estimate", "precision")
INTERCEPT = re.compile(r"\bintercept\b")
WHOSE_TAU2 = {
    "separate": "τ² estimated separately in each stratum.",
    "common": "One τ² for all strata.",
    "smoothed": "τ² of each stratum drawn towards those of the others.",
}
# Estimate and the ends of its interval on the scale that is shown; what there is not is None or NaN.
Shown = Sequence[float | None] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ReadyEffects:
    """Effects, and their estimates and intervals as reported, on the scale that is shown, shape (3, k)."""

    effects: EffectSizes
    shown: Array


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows from top to bottom, marks and texts filled in, and what the layout needs to know of them."""

    measure: Measure
    level: float
    rows: tuple[ForestRow, ...]
    columns: tuple[Column, ...]  # of the data, with their kinds and decimals
    notes: tuple[str, ...]
    oriented: bool  # whether positive effects mean benefit

    @property
    def weighted(self) -> bool:
        """Whether there is a column of weights."""
        return any(row.weight is not None for row in self.rows)

    @property
    def pooled(self) -> float | None:
        """The overall effect, its place on the axis."""
        marks = (row.mark for row in self.rows if row.kind == "total" and row.mark is not None)
        return next((mark.estimate for mark in marks), None)


def rows_of_effects(es: EffectSizes, options: Options, shown: Array | None = None) -> Rows:
    """Return the rows of effects without any pooling, under heads if `by` names a column.

    `shown` are estimates and intervals as reported; without it they follow from effects and variances.
    """
    write = RowWriter(es, options, options.level or 0.95, shown=shown, used=(options.by,))
    return write.done(write.grouped(), evidence_notes(es))


def rows_of_fit(fit: Any, options: Options) -> Rows:
    """Return the rows of one fit: studies, overall effect, prediction interval."""
    es, level = fit.effects, options.level or fit.level
    write = RowWriter(es, options, level, weights_of(fit, options))
    rows = [*write.studies(range(es.k)), *write.overall(fit)]
    model = [model_note(fit, options.heterogeneity), *caution_notes(fit)]
    return write.done(rows, [*model, *no_single_effect(fit), *evidence_notes(es)])


def rows_of_strata(results: Any, options: Options) -> Rows:
    """Return the rows of strata: a head, the studies and a subtotal each; overall effect; test between."""
    fit = results.overall
    level = options.level or _level_of(results)
    overall = weights_of(fit, options) if fit is not None and options.weights == "overall" else None
    whole = RowWriter(results.effects, options, level, overall, used=results.by)
    rows: list[ForestRow] = []
    for s, stratum in enumerate(results.strata):
        weights = None if overall is None else overall[np.asarray(stratum.rows, dtype=np.intp)]
        if options.weights == "stratum":
            weights = None if stratum.fit is None else weights_of(stratum.fit, options)
        write = RowWriter(stratum.effects, options, level, weights, columns=whole.columns)
        if overall is not None:
            write.heaviest = whole.heaviest
        name = stratum_words(stratum.levels, options.wording) or stratum.name
        rows.append(head_row(s, name, short_remark(stratum.note)))
        rows += write.studies(range(stratum.effects.k), indent=INDENT)
        if stratum.fit is not None:
            rows.append(write.subtotal(s, stratum.fit, _at_level(stratum.fit, stratum.pooled, level)))
        elif stratum.single is not None and stratum.k > 1:
            rows.append(write.single(s, stratum.single))
        rows.append(ForestRow(f"spacer:{s}", "spacer"))
    if fit is not None and options.overall:
        rows += whole.total(fit, _at_level(fit, results.overall_pooled, level))
    if options.between and results.between is not None:
        between = f"Test between strata: {words_of_test(results.between)}"
        rows.append(ForestRow("between", "note", text=(between,)))
    return whole.done(rows, strata_notes(results, options))


def _level_of(results: Any) -> float:
    """Return the level at which strata were pooled."""
    if results.overall is not None:
        return float(results.overall.level)
    return next((float(s.pooled.level) for s in results.strata if s.pooled is not None), 0.95)


def _at_level(fit: Any, pooled: Any, level: float) -> Any:
    """Return a pooled effect at a level; one that its fit alone does not give is there at its own level only.

    Raises InputError if strata that were pooled jointly, or robustly, are to be shown at another level.
    """
    if pooled.level == level:
        return pooled
    if fit.pooled(pooled.level) != pooled:
        raise InputError(
            f"the strata were pooled jointly at the level {pooled.level:g}",
            f"strata pooled at the level {level:g} that the plot is to show",
            f"pool again with stratify(..., level={level:g})",
        )
    return fit.pooled(level)


def has_one_mean(fit: Any) -> bool:
    """Return whether the fit has a single pooled effect, that is, no moderators."""
    return fit.design.x is None


def no_single_effect(fit: Any) -> list[str]:
    """Return why there is no pooled effect, if there is none."""
    return [] if has_one_mean(fit) else ["The model has moderators, so there is no single pooled effect."]


def weights_of(fit: Any, options: Options) -> Array | None:
    """Return the weights in the pooled effect, as fractions, if there are any and they are to be shown."""
    weights = getattr(fit, "weights", None) if options.weights and has_one_mean(fit) else None
    return None if weights is None else np.asarray(weights, dtype=float)


def head_row(position: int, name: str, detail: str = "") -> ForestRow:
    """Return the head of a group of rows."""
    return ForestRow(f"head:{position}", "head", text=(name,), detail=detail)


class RowWriter:
    """Writes the rows of one plot: what all of them share is kept here."""

    def __init__(
        self,
        es: EffectSizes | BoundedEffectSizes,
        options: Options,
        level: float,
        weights: Array | None = None,
        *,
        shown: Array | None = None,
        columns: Sequence[Column] | None = None,
        used: Sequence[str | None] = (),
    ) -> None:
        self.es = es
        self.ids = es.row_ids
        self.options = options
        self.level = level
        self.weights = weights
        self.heaviest = 1.0 if weights is None else float(weights.max())
        self.labels = list(es.row_labels)
        self.columns = shown_columns(es, options, used) if columns is None else columns
        self.quantile = float(normal_quantile(level))
        self.shown = self._shown() if shown is None else shown
        self.cells = {c.key: [cell(value, c) for value in es.column(c.key)] for c in self.columns}
        remark = options.remark
        self.remarks = (
            [] if remark is None else [words(v, options.wording, missing="") for v in es.column(remark)]
        )

    def done(self, rows: Sequence[ForestRow], notes: Sequence[str]) -> Rows:
        """Return the rows of the plot with what belongs to them."""
        es = self.es
        return Rows(es.measure, self.level, tuple(rows), tuple(self.columns), tuple(notes), es.oriented)

    def grouped(self) -> list[ForestRow]:
        """Return the rows of all effects, under heads if `by` names a column."""
        by, wording = self.options.by, self.options.wording
        if by is None:
            return self.studies(range(self.es.k))
        rows: list[ForestRow] = []
        groups = np.array([words(value, wording) for value in self.es.column(by)])
        for g, name in enumerate(dict.fromkeys(groups)):
            rows += [ForestRow(f"spacer:{g}", "spacer")] * (g > 0) + [head_row(g, str(name))]
            rows += self.studies(np.flatnonzero(groups == name), indent=INDENT)
        return rows

    def studies(self, positions: Iterable[int], indent: float = 0.0) -> list[ForestRow]:
        """Return rows of effects in the order that was chosen."""
        return [self.study(i, indent) for i in self.ordered(positions)]

    def study(self, i: int, indent: float) -> ForestRow:
        """Return the row of one effect."""
        how = self.es.derived[i].how if self.es.derived else REPORTED.how
        weight = None if self.weights is None else float(self.weights[i])
        mark = self._mark(i, how, None if weight is None else max(weight, 0.0) / self.heaviest)
        remark = self.remarks[i] if self.remarks else ""
        label = f"{self.labels[i]} ({remark})" if remark else self.labels[i]
        cells = {key: texts[i] for key, texts in self.cells.items()}
        return ForestRow(
            f"study:{self.ids[i]}",
            "study",
            cells | {LABEL: (label,)} | self.numbers(mark, weight),
            mark=mark,
            weight=weight,
            how=how,
            indent=indent,
        )

    def ordered(self, positions: Iterable[int]) -> list[int]:
        """Return positions of effects in the order that was chosen."""
        order, found = self.options.order, [int(i) for i in positions]
        if order == "given":
            return found
        if order in ("estimate", "precision"):
            values = self._ranked()[ORDERS.index(order) - 1]
            return sorted(found, key=lambda i: ten_digits(float(values[i])))
        names = [] if self.es.data is None else [str(name) for name in self.es.data.columns]
        if order not in names:
            raise UnknownChoiceError("order", order, [*ORDERS, *names])
        return by_column(self.es.column(order), found)

    def _ranked(self) -> tuple[Array, Array]:
        """Return the effects and variances that orders go by."""
        return self.es.y, self.es.v

    def _mark(self, i: int, how: str, share: float | None) -> Mark:
        """Return the mark of a study; its area goes with `share`, its weight over the largest one."""
        side = PLAIN if share is None else max(SMALLEST, LARGEST * float(np.sqrt(share)))
        shape: Shape = "circle" if how == "assumed" else "square"
        return mark_of(self.es.measure, shape, self.shown[:, i], side, how != "reported")

    def _shown(self) -> Array:
        """Return effects and the ends of their intervals on the scale that is shown, shape (3, k).

        An effect without sampling variance has no interval.
        """
        half = self.quantile * np.sqrt(np.where(self.es.v > 0, self.es.v, np.nan))
        return back_by_rows(self.es, np.array([self.es.y, self.es.y - half, self.es.y + half]))

    def pooled_mark(
        self, pooled: Any, es: EffectSizes | BoundedEffectSizes | None = None, hollow: bool = False
    ) -> Mark:
        """Return the diamond of a pooled effect of `es`; default: of all effects of the writer."""
        shown = back_pooled(es or self.es, [pooled.estimate, pooled.low, pooled.high])
        return mark_of(self.es.measure, "diamond", shown, DIAMOND, hollow)

    def _summary(self, id: str, name: str, detail: str, mark: Mark, indent: float = INDENT) -> ForestRow:
        weight = None if self.weights is None else float(np.sum(self.weights))
        kind: RowKind = "subtotal" if indent else "total"
        return ForestRow(id, kind, self.numbers(mark, weight), (name,), detail, mark, weight, indent=indent)

    def subtotal(self, s: int, fit: Any, pooled: Any) -> ForestRow:
        """Return the row of the pooled effect of a stratum."""
        return self._summary(f"subtotal:{s}", "Subtotal", self._detail(fit), self.pooled_mark(pooled))

    def single(self, s: int, mean: Any) -> ForestRow:
        """Return the row of the mean of the one study of a stratum, a hollow diamond."""
        half = self.quantile * mean.se
        at_level = replace(mean, low=mean.estimate - half, high=mean.estimate + half)
        counts = ", ".join(count_words(self.es.k, self.es.m))
        return self._summary(
            f"single:{s}", "Mean of the study", counts, self.pooled_mark(at_level, hollow=True)
        )

    def overall(self, fit: Any) -> list[ForestRow]:
        """Return the rows of the overall effect of a fit, if it has one and it is to be shown."""
        if not (self.options.overall and has_one_mean(fit)):
            return []
        return [ForestRow("spacer:total", "spacer"), *self.total(fit, fit.pooled(self.level))]

    def total(self, fit: Any, pooled: Any) -> list[ForestRow]:
        """Return the rows of the overall effect and of its prediction interval."""
        name, mark = self.options.overall_label, self.pooled_mark(pooled)
        rows = [self._summary("total", name, self._detail(fit), mark, indent=0.0)]
        known = pooled.prediction_low is not None and not np.isnan(pooled.prediction_low)
        if self.options.prediction and known:
            ends = back_pooled(self.es, [pooled.prediction_low, pooled.prediction_high])
            bar = mark_of(self.es.measure, "bar", (None, *ends), BAR)
            text = (f"{level_words(self.level)} prediction interval",)
            rows.append(ForestRow("prediction", "prediction", self.numbers(bar, None), text, mark=bar))
        return rows

    def _detail(self, fit: Any) -> str:
        parts = heterogeneity_words(fit) if self.options.heterogeneity else []
        return ", ".join(parts + count_words(fit.effects.k, fit.effects.m))

    def numbers(self, mark: Mark, weight: float | None) -> dict[str, tuple[str, ...]]:
        """Return the cells of the estimate and of the weight."""
        cells: dict[str, tuple[str, ...]] = {
            ESTIMATE: estimate_cell(self.es.measure, mark, self.options.digits)
        }
        return cells if weight is None else cells | {WEIGHT: (fixed(100 * weight, 1),)}


def by_column(column: pd.Series, positions: list[int]) -> list[int]:
    """Return positions in the order of a column, missing values last."""
    try:
        ranks = column.rank(method="first", na_option="bottom").to_numpy()
    except TypeError:
        raise InputError(
            f"the column {str(column.name)!r} holds values of several kinds, which have no order",
            "numbers, or texts",
            "choose another column, or turn its values into texts first",
        ) from None
    return sorted(positions, key=lambda i: float(ranks[i]))


def mark_of(measure: Measure, shape: Shape, shown: Shown, size: float, hollow: bool = False) -> Mark:
    """Return the mark of an estimate with its interval, which ends where the range of the measure does."""
    estimate, low, high = (None if x is None or math.isnan(x) else float(x) for x in shown)
    least, most = measure.possible
    slack = CUT_AT * min(most - least, 1.0)
    bounded = (low is not None and low < least - slack) or (high is not None and high > most + slack)
    low = None if low is None else max(low, least)
    high = None if high is None else min(high, most)
    at, left, right = (None if x is None else on_axis(measure, x) for x in (estimate, low, high))
    return Mark(shape, at, left, right, size, hollow, bounded=bounded)


def estimate_cell(measure: Measure, mark: Mark, digits: int) -> tuple[str, str, str]:
    """Return estimate, lower and upper bound as text, on the scale that is shown.

    What is known only as an interval has round brackets, or a sign where one end is not known.
    """
    ends = (mark.low, mark.high)
    estimate, low, high = (
        "" if v is None or (math.isinf(v) and mark.shape == "open") else fixed(from_axis(measure, v), digits)
        for v in (mark.estimate, *ends)
    )
    if mark.shape != "open":
        missing = fixed(None, digits)
        brackets = ("", "") if ends == (None, None) else (f"[{low or missing} to", f"{high or missing}]")
        return (estimate, *brackets)
    if low and high:
        return "", f"({low} to", f"{high})"
    return (f"> {low}" if low else f"< {high}"), "", ""


def cell(value: object, column: Column) -> tuple[str, ...]:
    """Return the text of a cell of the data."""
    if column.kind == "number":
        number = float(value) if isinstance(value, int | float | np.number) else float("nan")
        return (shown(number, column.digits or 0),)
    return (words(value, column.wording),)


def shown_columns(
    es: EffectSizes | BoundedEffectSizes, options: Options, used: Sequence[str | None] = ()
) -> tuple[Column, ...]:
    """Return the columns of the data that are shown, with their kinds and decimals.

    Without a choice these are source and isolation method, as far as the data have them and no head, made of
    the columns that are used, says the same already.
    """
    chosen = options.columns
    if chosen is None:
        names = () if es.data is None else [str(name) for name in es.data.columns]
        pairs = (("source", "source_category"), ("isolation", "isolation_category"))
        free = [pair for pair in pairs if not set(pair) & set(used)]
        found = [next((name for name in pair if name in names), None) for pair in free]
        chosen = [name for name in found if name is not None]
    columns = [column if isinstance(column, Column) else Column(column) for column in chosen]
    taken = sorted({column.key for column in columns} & OWN)
    if taken:
        raise InputError(
            f"the columns {taken} have the names of columns that every forest plot makes itself",
            "other names",
            "rename them in the data before the effects are made",
        )
    return tuple(_shown_column(column, es.column(column.key), options.wording or {}) for column in columns)


def _shown_column(column: Column, values: Any, wording: Mapping[str, str]) -> Column:
    numeric = values.dtype.kind in "iuf"
    kind = column.kind or ("number" if numeric else "text")
    if kind not in COLUMN_KINDS:
        raise UnknownChoiceError("kind of column", kind, COLUMN_KINDS)
    if kind == "number" and not numeric:
        raise InputError(
            f"the column {column.key!r} holds texts and is to be shown as numbers",
            "a column of numbers",
            'turn it into numbers first, or choose kind="text"',
        )
    digits = column.digits
    if digits is None and numeric:
        digits = whole_or_decimals(values.to_numpy(dtype=float, na_value=np.nan))
    title = column.title or title_of(column.key)
    return Column(column.key, title, kind, digits, {**wording, **column.wording}, column.letters)


def evidence_notes(es: EffectSizes) -> tuple[str, ...]:
    """Return how hollow marks are to be read, and what was left out."""
    return tuple(note for note in (*derived_words(es.derived), ledger_words(es.ledger)) if note)


def model_note(fit: Any, counts: bool) -> str:
    """Return the model in words, and whether it takes effects of one study as independent."""
    note = method_words(fit)
    es = fit.effects
    if es.m < es.k and fit.robust_covariance is None:
        return f"{note} {es.k} effects of {es.m} studies are taken as independent."
    return note + (" k effects of m studies." if counts else "")


def caution_notes(results: Any, mean: str = "the pooled effect") -> tuple[str, ...]:
    """Return what to know before relying on what is pooled; the words are those of the results themselves.

    `mean` is what the figure calls the coefficient of a model without moderators.
    """
    found = results.cautions() if callable(getattr(results, "cautions", None)) else ()
    without_advice = (words.partition("; test=")[0] for words in found)
    return tuple(f"Caution: {typeset(INTERCEPT.sub(mean, words))}." for words in without_advice)


def strata_notes(results: Any, options: Options) -> tuple[str, ...]:
    """Return the notes of strata: model, remarks on strata, test between them, evidence.

    No model is named where neither a subtotal nor the overall effect is shown.
    """
    pooled = sum(stratum.fit is not None for stratum in results.strata)
    shown = options.overall and results.overall is not None
    model = [_strata_model(results, options)] if pooled or shown else []
    alone = [] if pooled else ["No stratum has two or more studies, so none is pooled."]
    remarks = dict.fromkeys(stratum.note for stratum in results.strata if stratum.note)
    test = _test_note(results, pooled) if options.between else []
    sentences = [*model, *map(_sentence, remarks), *alone, *test]
    cautions = caution_notes(results) if pooled else ()
    if shown and results.clusters is None:
        cautions += caution_notes(results.overall, "the overall effect")
    if options.between and results.between is not None:
        words = results.between.cautions()
        cautions += tuple(f"Caution: test between strata: {typeset(text)}." for text in words)
    model_and_test = [" ".join(sentences)] if sentences else []
    return (*model_and_test, *dict.fromkeys(cautions), *evidence_notes(results.effects))


def _strata_model(results: Any, options: Options) -> str:
    """Return the model, whose the between-study variances are, and whose the weights."""
    parts = [] if results.overall is None else [_overall_model(results, options)]
    parts.append(WHOSE_TAU2[results.tau2_mode])
    if options.weights == "overall" and results.overall is not None:
        parts.append("Weights are those of the overall effect.")
    elif options.weights == "stratum":
        parts.append("Weights are those within the strata.")
    return " ".join(parts)


def _overall_model(results: Any, options: Options) -> str:
    """Return the model of all effects, and how it allows for dependence between them."""
    if results.clusters is None:
        return model_note(results.overall, options.heterogeneity)
    counts = " k effects of m studies." if options.heterogeneity else ""
    model = method_words(results.overall).partition("; intervals")[0]
    robust = f"intervals of pooled effects robust to dependence within each {results.cluster} (CR2)."
    return f"{model}; {robust}{counts}"


def _test_note(results: Any, pooled: int) -> list[str]:
    """Return how the strata were tested, or why they were not."""
    if results.between is not None:
        return [_sentence(results.between_note)] if results.between_note else []
    return ["No test between strata: only one has two or more studies."] if pooled == 1 else []


def short_remark(note: str) -> str:
    """Return what stands beside the name of a stratum; the whole note stands below the plot."""
    return typeset(note.partition(":")[0])


def _sentence(words: str) -> str:
    return typeset(words[:1].upper() + words[1:]) + "."
