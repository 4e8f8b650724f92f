"""The rows of a forest plot, from a fit, from strata or from bare effects; nothing is placed yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from metaexo.effects.back_transforms import back_by_rows, back_pooled
from metaexo.effects.effect_sizes import REPORTED, EffectSizes
from metaexo.effects.measure import Measure
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.numeric.tails import normal_quantile
from metaexo.plots.forest_choices import Choices
from metaexo.plots.forest_columns import ESTIMATE, LABEL, WEIGHT, cell, settle_columns
from metaexo.plots.forest_marks import BAR, DIAMOND, estimate_cell, mark_of, study_mark
from metaexo.plots.forest_notes import (
    caution_notes,
    evidence_notes,
    model_note,
    short_remark,
    strata_notes,
)
from metaexo.plots.plan import Column, ForestRow, Mark, Order
from metaexo.plots.remarks import count_words, spread_words, words_of_test
from metaexo.plots.wording import fixed, level_words, settle, stratum_words, words
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
