"""The rows of a forest plot, from a fit, from strata or from bare effects; nothing is placed yet.

The marks of a forest plot, and the texts of estimates with their intervals.

Columns of the data in a forest plot: which are shown, and the text of their cells.

The lines below a forest plot that follow from what it shows.

What the caller of a forest plot chose.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.conversions.scales import back_by_rows, back_pooled
from metaexo.effects.derivation import REPORTED
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.models.univariate.fit import RandomEffectsResults
from metaexo.numeric.tails import normal_quantile
from metaexo.plots.arguments import Column
from metaexo.plots.canvas.scale import from_axis, on_axis
from metaexo.plots.canvas.words import (
    count_words,
    derived_words,
    fixed,
    ledger_words,
    level_words,
    method_words,
    settle,
    shown,
    spread_words,
    stratum_words,
    title_of,
    typeset,
    whole_or_decimals,
    words,
    words_of_test,
)
from metaexo.plots.forest.plan import ForestRow, Mark, Order, Shape
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

SPAN_LETTERS = 70
INDENT = 8.0


class PooledFit(Protocol):
    """A fit that a forest plot can show."""

    @property
    def effects(self) -> EffectSizes:
        """What was fitted."""

    @property
    def level(self) -> float:
        """Level of the intervals."""

    def pooled(self, level: float | None = None) -> Any:
        """Return the pooled effect with its intervals."""


@dataclass(frozen=True, slots=True)
class ReadyEffects:
    """Effects, and their estimates and intervals as reported, on the scale that is shown, shape (3, k)."""

    effects: EffectSizes
    shown: Array


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows with what the layout needs to know of them.

    Attributes
    ----------
    measure, level : Measure, float
        Measure and level of the intervals.
    rows : tuple of ForestRow
        Rows from top to bottom, marks and texts filled in.
    columns : tuple of Column
        Columns of the data, their kinds and decimals settled.
    weighted : bool
        Whether there is a column of weights.
    pooled : float or None
        Overall effect, its place on the axis.
    notes : tuple of str
        Lines below the plot that follow from the fit.
    oriented : bool
        Whether positive effects mean benefit.
    """

    measure: Measure
    level: float
    rows: tuple[ForestRow, ...]
    columns: tuple[Column, ...]
    weighted: bool
    pooled: float | None
    notes: tuple[str, ...]
    oriented: bool


def rows_of_effects(es: EffectSizes, choices: Choices, shown: Array | None = None) -> Rows:
    """Return the rows of effects without any pooling, under heads if `by` names a column.

    `shown` are estimates and intervals as reported; without it they follow from effects and variances.
    """
    level = choices.level or 0.95
    columns = settle_columns(es, choices.columns, choices.wording, used=(choices.by,) if choices.by else ())
    write = RowWriter(es, columns, choices, level, None, shown=shown)
    rows: list[ForestRow] = []
    if choices.by is None:
        rows += write.studies(range(es.k))
    else:
        groups = np.array([words(value, choices.wording) for value in es.column(choices.by)])
        for g, name in enumerate(dict.fromkeys(groups)):
            rows += [ForestRow(f"spacer:{g}", "spacer")] * (g > 0) + [head_row(g, str(name))]
            rows += write.studies(np.flatnonzero(groups == name), indent=INDENT)
    notes = evidence_notes(es)
    return Rows(es.measure, level, tuple(rows), columns, False, None, notes, es.oriented)


def rows_of_fit(fit: PooledFit, choices: Choices) -> Rows:
    """Return the rows of one fit: studies, overall effect, prediction interval."""
    es, level = fit.effects, choices.level or fit.level
    columns = settle_columns(es, choices.columns, choices.wording)
    single = has_one_mean(fit)
    weights = _weights(fit) if single and choices.weights else None
    write = RowWriter(es, columns, choices, level, weights)
    rows = write.studies(range(es.k))
    pooled = fit.pooled(level) if single and choices.overall else None
    if pooled is not None:
        rows += [ForestRow("spacer:total", "spacer"), *write.total(fit, pooled)]
    notes = [model_note(fit, choices.heterogeneity), *caution_notes(fit)]
    if not single:
        notes.append("The model has moderators, so there is no single pooled effect.")
    return Rows(
        es.measure,
        level,
        tuple(rows),
        columns,
        weights is not None,
        overall_place(rows),
        (*notes, *evidence_notes(es)),
        es.oriented,
    )


def rows_of_strata(results: Any, choices: Choices) -> Rows:
    """Return the rows of strata: a head, the studies and a subtotal each; overall effect; test between."""
    fit = results.overall
    es: EffectSizes = results.effects
    level = choices.level or _level_of(results)
    columns = settle_columns(es, choices.columns, choices.wording, used=results.by)
    overall = _weights(fit) if choices.weights == "overall" else None
    rows: list[ForestRow] = []
    for s, stratum in enumerate(results.strata):
        weights = None if overall is None else overall[np.asarray(stratum.rows, dtype=np.intp)]
        if choices.weights == "stratum":
            weights = _weights(stratum.fit)
        heaviest = None if overall is None else float(overall.max())
        write = RowWriter(stratum.effects, columns, choices, level, weights, heaviest)
        name = stratum_words(stratum.levels, choices.wording) or stratum.name
        rows.append(head_row(s, name, short_remark(stratum.note)))
        rows += write.studies(range(stratum.effects.k), indent=INDENT)
        if stratum.fit is not None:
            rows.append(write.subtotal(s, stratum.fit, _at_level(stratum.fit, stratum.pooled, level)))
        elif stratum.single is not None and stratum.k > 1:
            rows.append(write.single(s, stratum.single))
        rows.append(ForestRow(f"spacer:{s}", "spacer"))
    if fit is not None and choices.overall:
        pooled = _at_level(fit, results.overall_pooled, level)
        rows += RowWriter(es, columns, choices, level, overall).total(fit, pooled)
    if choices.between and results.between is not None:
        between = f"Test between strata: {words_of_test(results.between)}"
        rows.append(ForestRow("between", "note", text=(between,)))
    return Rows(
        es.measure,
        level,
        tuple(rows),
        columns,
        any(row.weight is not None for row in rows),
        overall_place(rows),
        strata_notes(results, choices),
        es.oriented,
    )


def _level_of(results: Any) -> float:
    """Return the level at which strata were pooled."""
    if results.overall is not None:
        return float(results.overall.level)
    return next((float(s.pooled.level) for s in results.strata if s.pooled is not None), 0.95)


def _at_level(fit: Any, pooled: Any, level: float) -> Any:
    """Return a pooled effect at a level; one that its fit alone does not give is there at its own level only.

    Raises
    ------
    InputError
        If strata that were pooled jointly, or robustly, are to be shown at another level.
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


def overall_place(rows: Iterable[ForestRow]) -> float | None:
    """Return where the overall effect stands on the axis; None if there is none."""
    return next((row.mark.estimate for row in rows if row.kind == "total" and row.mark is not None), None)


def head_row(position: int, name: str, detail: str = "") -> ForestRow:
    """Return the head of a group of rows."""
    return ForestRow(f"head:{position}", "head", text=(name,), detail=detail)


class RowWriter:
    """Writes the rows of one plot: what all of them share is kept here."""

    def __init__(
        self,
        es: EffectSizes,
        columns: Sequence[Column],
        choices: Choices,
        level: float,
        weights: Array | None,
        heaviest: float | None = None,
        shown: Array | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        self.es = es
        self.ids = es.row_ids
        self.labels = es.row_labels if labels is None else labels
        self.columns = columns
        self.choices = choices
        self.level = level
        self.weights = weights
        self.quantile = float(normal_quantile(level))
        self.shown = self._shown() if shown is None else shown
        self.cells = {c.key: [cell(value, c) for value in es.column(c.key)] for c in columns}
        remark = choices.remark
        self.remarks = (
            [] if remark is None else [words(v, choices.wording, missing="") for v in es.column(remark)]
        )
        self.heaviest = heaviest or (1.0 if weights is None else float(weights.max()))

    def studies(self, positions: Iterable[int], indent: float = 0.0) -> list[ForestRow]:
        """Return rows of effects in the order that was chosen."""
        found = in_order(self.es, [int(i) for i in positions], self.choices.order)
        return [self.study(i, indent) for i in found]

    def study(self, i: int, indent: float) -> ForestRow:
        """Return the row of one effect."""
        es = self.es
        how = es.derived[i].how if es.derived else REPORTED.how
        weight = share = None
        if self.weights is not None:
            weight = float(self.weights[i])
            share = max(weight, 0.0) / self.heaviest
        mark = study_mark(es.measure, self.shown[:, i], how, share)
        cells = {key: texts[i] for key, texts in self.cells.items()}
        cells[LABEL] = (self._label(i),)
        return ForestRow(
            f"study:{self.ids[i]}",
            "study",
            cells | self.numbers(mark, weight),
            mark=mark,
            weight=weight,
            how=how,
            indent=indent,
        )

    def _label(self, i: int) -> str:
        """Return the label with the remark on it, if there is one."""
        name, remark = self.labels[i], self.remarks[i] if self.remarks else ""
        return f"{name} ({remark})" if remark else name

    def _shown(self) -> Array:
        """Return effects and the ends of their intervals on the scale that is shown, shape (3, k).

        An effect without sampling variance has no interval.
        """
        half = self.quantile * np.sqrt(np.where(self.es.v > 0, self.es.v, np.nan))
        return back_by_rows(self.es, np.array([self.es.y, self.es.y - half, self.es.y + half]))

    def pooled_mark(self, pooled: Any, es: EffectSizes | None = None, hollow: bool = False) -> Mark:
        """Return the diamond of a pooled effect of `es`; default: of all effects of the writer."""
        shown = back_pooled(es or self.es, [pooled.estimate, pooled.low, pooled.high])
        return mark_of(self.es.measure, "diamond", shown, DIAMOND, hollow)

    def subtotal(self, s: int, fit: PooledFit, pooled: Any) -> ForestRow:
        """Return the row of the pooled effect of a stratum."""
        weight = None if self.weights is None else float(self.weights.sum())
        mark = self.pooled_mark(pooled)
        return ForestRow(
            f"subtotal:{s}",
            "subtotal",
            self.numbers(mark, weight),
            ("Subtotal",),
            self._detail(fit),
            mark,
            weight,
            indent=INDENT,
        )

    def single(self, s: int, mean: Any) -> ForestRow:
        """Return the row of the mean of the one study of a stratum, a hollow diamond."""
        half = self.quantile * mean.se
        at_level = replace(mean, low=mean.estimate - half, high=mean.estimate + half)
        mark = self.pooled_mark(at_level, hollow=True)
        weight = None if self.weights is None else float(self.weights.sum())
        counts = ", ".join(count_words(self.es.k, self.es.m))
        cells = self.numbers(mark, weight)
        name = ("Mean of the study",)
        return ForestRow(f"single:{s}", "subtotal", cells, name, counts, mark, weight, indent=INDENT)

    def total(self, fit: Any, pooled: Any) -> list[ForestRow]:
        """Return the rows of the overall effect and of its prediction interval."""
        weight = None if self.weights is None else float(np.sum(self.weights))
        mark = self.pooled_mark(pooled)
        name = (self.choices.overall_label,)
        cells = self.numbers(mark, weight)
        rows = [ForestRow("total", "total", cells, name, self._detail(fit), mark, weight)]
        known = pooled.prediction_low is not None and not np.isnan(pooled.prediction_low)
        if self.choices.prediction and known:
            ends = back_pooled(self.es, [pooled.prediction_low, pooled.prediction_high])
            bar = mark_of(self.es.measure, "bar", (None, *ends), BAR)
            text = (f"{level_words(self.level)} prediction interval",)
            rows.append(ForestRow("prediction", "prediction", self.numbers(bar, None), text, mark=bar))
        return rows

    def _detail(self, fit: Any) -> str:
        parts = spread_words(fit) if self.choices.heterogeneity else []
        return ", ".join(parts + count_words(fit.effects.k, fit.effects.m))

    def numbers(self, mark: Mark, weight: float | None) -> dict[str, tuple[str, ...]]:
        """Return the cells of the estimate and of the weight."""
        cells: dict[str, tuple[str, ...]] = {
            ESTIMATE: estimate_cell(self.es.measure, mark, self.choices.digits)
        }
        if weight is not None:
            cells[WEIGHT] = (fixed(100 * weight, 1),)
        return cells


def in_order(es: EffectSizes, positions: list[int], order: str) -> list[int]:
    """Return positions of effects in the order that was chosen."""
    if order == "given":
        return positions
    if order == "estimate":
        return sorted(positions, key=lambda i: settle(float(es.y[i])))
    if order == "precision":
        return sorted(positions, key=lambda i: settle(float(es.v[i])))
    allowed: tuple[Order, ...] = ("given", "estimate", "precision")
    if es.data is None or order not in es.data.columns:
        names = [] if es.data is None else [str(name) for name in es.data.columns]
        raise UnknownChoiceError("order", order, [*allowed, *names])
    return by_column(es.column(order), positions)


def by_column(column: pd.Series, positions: list[int]) -> list[int]:
    """Return positions in the order of a column, missing values last.

    Raises
    ------
    InputError
        If its values have no order.
    """
    try:
        ranks = column.rank(method="first", na_option="bottom").to_numpy()
    except TypeError:
        raise InputError(
            f"the column {str(column.name)!r} holds values of several kinds, which have no order",
            "numbers, or texts",
            "choose another column, or turn its values into texts first",
        ) from None
    return sorted(positions, key=lambda i: float(ranks[i]))


def has_one_mean(fit: Any) -> bool:
    """Return whether the fit has a single pooled effect, that is, no moderators."""
    try:
        fit.pooled()
    except InputError:
        return False
    return True


def _weights(fit: Any) -> Array | None:
    weights = getattr(fit, "weights", None)
    return None if weights is None else np.asarray(weights, dtype=float)


# Estimate and the ends of its interval on the scale that is shown; what there is not is None or NaN.
Shown = Sequence[float | None] | NDArray[np.float64]

LARGEST, SMALLEST, PLAIN = 9.0, 2.6, 5.6
DIAMOND, BAR = 8.0, 2.6
CUT_AT = 1e-9


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


def study_mark(measure: Measure, shown: Shown, how: str, share: float | None) -> Mark:
    """Return the mark of a study; its area goes with `share`, its weight over the largest one."""
    side = PLAIN if share is None else max(SMALLEST, LARGEST * float(np.sqrt(share)))
    return mark_of(measure, "circle" if how == "assumed" else "square", shown, side, how != "reported")


def estimate_cell(measure: Measure, mark: Mark, digits: int) -> tuple[str, str, str]:
    """Return estimate, lower and upper bound as text, on the scale that is shown."""
    values = [None if v is None else from_axis(measure, v) for v in (mark.estimate, mark.low, mark.high)]
    estimate, low, high = (fixed(v, digits) for v in values)
    estimate = "" if mark.estimate is None else estimate
    if mark.low is None and mark.high is None:
        return estimate, "", ""
    return estimate, f"[{low} to", f"{high}]"


LABEL, ESTIMATE, WEIGHT = "label", "estimate", "weight"
OWN = {LABEL, ESTIMATE, WEIGHT}


def cell(value: object, column: Column) -> tuple[str, ...]:
    """Return the text of a cell of the data."""
    if column.kind == "number":
        number = float(value) if isinstance(value, int | float | np.number) else float("nan")
        return (shown(number, column.digits or 0),)
    return (words(value, column.wording),)


def settle_columns(
    es: EffectSizes,
    columns: tuple[Column, ...] | None,
    wording: Mapping[str, str],
    used: Sequence[str | None] = (),
) -> tuple[Column, ...]:
    """Return the columns of the data that are shown, with their kinds and decimals.

    Without a choice these are source and isolation method, as far as the data have them and no head says the
    same already.
    """
    if columns is None:
        names = () if es.data is None else [str(name) for name in es.data.columns]
        pairs = (("source", "source_category"), ("isolation", "isolation_category"))
        free = [pair for pair in pairs if not set(pair) & set(used)]
        found = [next((name for name in pair if name in names), None) for pair in free]
        columns = tuple(Column(name) for name in found if name is not None)
    taken = sorted({column.key for column in columns} & OWN)
    if taken:
        raise InputError(
            f"the columns {taken} have the names of columns that every forest plot makes itself",
            "other names",
            "rename them in the data before the effects are made",
        )
    return tuple(_settle_column(column, es.column(column.key), wording) for column in columns)


def _settle_column(column: Column, values: Any, wording: Mapping[str, str]) -> Column:
    numeric = values.dtype.kind in "iuf"
    kind = column.kind or ("number" if numeric else "text")
    if kind not in {"text", "number", "risk"}:
        raise UnknownChoiceError("kind of column", kind, ["text", "number", "risk"])
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


INTERCEPT = re.compile(r"\bintercept\b")
WHOSE_TAU2 = {
    "separate": "τ² of its own in each stratum.",
    "common": "One τ² for all strata.",
    "smoothed": "τ² of each stratum drawn towards those of the others.",
}


def evidence_notes(es: EffectSizes) -> tuple[str, ...]:
    """Return how hollow marks are to be read, and what was left out."""
    return tuple(note for note in (*derived_words(es.derived), ledger_words(es.ledger)) if note)


def model_note(fit: Any, counts: bool) -> str:
    """Return the model in words, and whether it takes effects of one study as independent."""
    note = method_words(fit)
    es = fit.effects
    if isinstance(fit, RandomEffectsResults) and es.m < es.k:
        return f"{note} {es.k} effects of {es.m} studies are taken as independent."
    return note + (" k effects of m studies." if counts else "")


def caution_notes(results: Any, mean: str = "the pooled effect") -> tuple[str, ...]:
    """Return what to know before relying on what is pooled; the words are those of the results themselves.

    `mean` is what the figure calls the coefficient of a model without moderators.
    """
    found = results.cautions() if callable(getattr(results, "cautions", None)) else ()
    without_advice = (words.partition("; test=")[0] for words in found)
    return tuple(f"Caution: {typeset(INTERCEPT.sub(mean, words))}." for words in without_advice)


def strata_notes(results: Any, choices: Choices) -> tuple[str, ...]:
    """Return the notes of strata: model, remarks on strata, test between them, evidence.

    No model is named where neither a subtotal nor the overall effect is shown.
    """
    pooled = sum(stratum.fit is not None for stratum in results.strata)
    shown = choices.overall and results.overall is not None
    model = [_strata_model(results, choices)] if pooled or shown else []
    alone = [] if pooled else ["No stratum has two or more studies, so none is pooled."]
    remarks = dict.fromkeys(stratum.note for stratum in results.strata if stratum.note)
    test = _test_note(results, pooled) if choices.between else []
    sentences = [*model, *map(_sentence, remarks), *alone, *test]
    cautions = caution_notes(results) if pooled else ()
    if shown and results.clusters is None:
        cautions += caution_notes(results.overall, "the overall effect")
    if choices.between and results.between is not None:
        words = results.between.cautions()
        cautions += tuple(f"Caution: test between strata: {typeset(text)}." for text in words)
    model_and_test = [" ".join(sentences)] if sentences else []
    return (*model_and_test, *dict.fromkeys(cautions), *evidence_notes(results.effects))


def _strata_model(results: Any, choices: Choices) -> str:
    """Return the model, whose the between-study variances are, and whose the weights."""
    parts = [] if results.overall is None else [_overall_model(results, choices)]
    parts.append(WHOSE_TAU2[results.tau2_mode])
    if choices.weights == "overall" and results.overall is not None:
        parts.append("Weights are those of the overall effect.")
    elif choices.weights == "stratum":
        parts.append("Weights are those within the strata.")
    return " ".join(parts)


def _overall_model(results: Any, choices: Choices) -> str:
    """Return the model of all effects, and how it allows for dependence between them."""
    if results.clusters is None:
        return model_note(results.overall, choices.heterogeneity)
    counts = " k effects of m studies." if choices.heterogeneity else ""
    model = method_words(results.overall).partition("; intervals")[0]
    robust = f"intervals of pooled effects robust to dependence within each {results.cluster} (CR2)."
    return f"{model}; {robust}{counts}"


def _test_note(results: Any, pooled: int) -> list[str]:
    """Return how the strata were tested, or why they were not."""
    if results.between is not None:
        return [_sentence(results.between_note)] if results.between_note else []
    return ["No test between strata: only one has two or more studies."] if pooled == 1 else []


def short_remark(note: str) -> str:
    """Return what stands beside the name of a stratum; the whole note stands below the plot.

    Examples
    --------
    >>> short_remark("one study: shown, not used to estimate tau2")
    'one study'
    """
    return typeset(note.partition(":")[0])


def _sentence(words: str) -> str:
    return typeset(words[:1].upper() + words[1:]) + "."


@dataclass(frozen=True, slots=True)
class Choices:
    """What the caller of a forest plot chose; see :func:`metaexo.plots.forest_plan`."""

    columns: tuple[Column, ...] | None = None
    by: str | None = None
    order: str = "given"
    level: float | None = None
    weights: str | None = "overall"
    digits: int = 2
    prediction: bool = True
    heterogeneity: bool = True
    between: bool = True
    overall: bool = True
    overall_label: str = "All studies"
    wording: Mapping[str, str] = field(default_factory=dict)
    remark: str | None = None
