"""The rows of a forest plot of censored evidence: exact effects as points, the others as open intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.conversions.scales import back_by_rows
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import UnknownChoiceError
from metaexo.models.censored.fit import CensoredResults
from metaexo.plots.arguments import Column
from metaexo.plots.canvas.scale import from_axis, on_axis
from metaexo.plots.canvas.words import derived_words, fixed, ledger_words, settle, typeset, words
from metaexo.plots.forest.plan import ForestRow, Mark
from metaexo.plots.forest.rows import (
    ESTIMATE,
    INDENT,
    LABEL,
    WEIGHT,
    Choices,
    Rows,
    RowWriter,
    by_column,
    caution_notes,
    head_row,
    overall_place,
    settle_columns,
    study_mark,
)
from metaexo.types import Array

CRITERIA = {"REML": "restricted maximum likelihood (REML)", "ML": "maximum likelihood (ML)"}
TESTS = {
    "knapp-hartung": "Knapp-Hartung",
    "knapp-hartung-adhoc": "Knapp-Hartung (scale of at least 1)",
    "t": "the t distribution",
    "z": "the normal distribution",
}
OPEN = (
    "Open intervals: the observed effect is known to lie between the round brackets; an arrow where there "
    "is no bound"
)
ORDERS = ("given", "estimate", "precision")


def rows_of_censored(results: CensoredResults | BoundedEffectSizes, choices: Choices) -> Rows:
    """Return the rows of a fit of censored evidence, or of bounded effects without any pooling.

    Effects may stand under heads, if `by` names a column.
    """
    fit = results if isinstance(results, CensoredResults) else None
    es = results.effects if isinstance(results, CensoredResults) else results
    level = choices.level or (0.95 if fit is None else fit.level)
    used = (choices.by,) if choices.by else ()
    columns = settle_columns(cast("EffectSizes", es), choices.columns, choices.wording, used=used)
    single = fit is not None and fit.design.x is None
    weights = fit.weights if fit is not None and single and choices.weights else None
    write = CensoredWriter(es, columns, choices, level, weights)
    rows = _study_rows(es, choices, write)
    pooled = fit.pooled(level) if fit is not None and single and choices.overall else None
    if pooled is not None:
        rows += [ForestRow("spacer:total", "spacer"), *write.total(fit, pooled)]
    return Rows(
        es.measure,
        level,
        tuple(rows),
        columns,
        weights is not None,
        overall_place(rows),
        _notes(es, fit, level),
        es.oriented,
    )


def _study_rows(es: BoundedEffectSizes, choices: Choices, write: CensoredWriter) -> list[ForestRow]:
    """Return the rows of the effects, under heads if `by` names a column."""
    if choices.by is None:
        return write.studies(range(es.k))
    rows: list[ForestRow] = []
    groups = np.array([words(value, choices.wording) for value in es.column(choices.by)])
    for g, name in enumerate(dict.fromkeys(groups)):
        rows += [ForestRow(f"spacer:{g}", "spacer")] * (g > 0) + [head_row(g, str(name))]
        rows += write.studies(np.flatnonzero(groups == name), indent=INDENT)
    return rows


class CensoredWriter(RowWriter):
    """Writes the rows of a plot of bounded effects."""

    def __init__(
        self,
        es: BoundedEffectSizes,
        columns: Sequence[Column],
        choices: Choices,
        level: float,
        weights: Array | None,
    ) -> None:
        self.bounded = es
        super().__init__(cast("EffectSizes", es), columns, choices, level, weights, labels=es.row_labels)

    def studies(self, positions: Iterable[int], indent: float = 0.0) -> list[ForestRow]:
        """Return rows of effects in the order that was chosen."""
        return [self.study(i, indent) for i in self._ordered([int(i) for i in positions])]

    def study(self, i: int, indent: float) -> ForestRow:
        """Return the row of one effect: a point with its interval, or an open interval."""
        es = self.bounded
        weight = None if self.weights is None else float(self.weights[i])
        how = es.derived[i].how
        if es.is_exact[i]:
            share = None if weight is None else max(weight, 0.0) / self.heaviest
            mark = study_mark(es.measure, self.shown[:, i], how, share)
            numbers = self.numbers(mark, weight)
        else:
            low, high = (
                on_axis(es.measure, self.shown[end, i]) if np.isfinite(bound[i]) else float(bound[i])
                for end, bound in ((1, es.lower), (2, es.upper))
            )
            mark = Mark("open", None, low, high, hollow=es.kind[i] == "direction")
            numbers = {ESTIMATE: self._bounds(low, high)}
            if weight is not None:
                numbers[WEIGHT] = (fixed(100 * weight, 1),)
        cells = {key: texts[i] for key, texts in self.cells.items()}
        cells[LABEL] = (self._label(i),)
        return ForestRow(
            f"study:{self.ids[i]}",
            "study",
            cells | numbers,
            mark=mark,
            weight=weight,
            how=how,
            indent=indent,
        )

    def _shown(self) -> Array:
        """Return effects and intervals of points, and the bounds of the others, as shown, shape (3, k)."""
        es = self.bounded
        half = np.where(es.is_exact, self.quantile * np.sqrt(np.where(es.is_exact, es.v_lower, 0.0)), 0.0)
        return back_by_rows(es, np.array([es.lower, es.lower - half, es.upper + half]))

    def _bounds(self, low: float, high: float) -> tuple[str, str, str]:
        """Return an open interval as text, on the scale that is shown."""
        digits, measure = self.choices.digits, self.bounded.measure
        below, above = (fixed(from_axis(measure, x), digits) if np.isfinite(x) else "" for x in (low, high))
        if below and above:
            return "", f"({below} to", f"{above})"
        return (f"> {below}" if below else f"< {above}"), "", ""

    def _ordered(self, positions: list[int]) -> list[int]:
        """Return positions in the order that was chosen; an interval stands where its finite end is."""
        es, order = self.bounded, self.choices.order
        if order == "given":
            return positions
        if order == "estimate":
            at = np.where(np.isfinite(es.lower), es.lower, es.upper)
            return sorted(positions, key=lambda i: settle(float(at[i])))
        if order == "precision":
            v = np.where(np.isfinite(es.lower), es.v_lower, es.v_upper)
            return sorted(positions, key=lambda i: settle(float(v[i])))
        if order not in es.data.columns:
            raise UnknownChoiceError("order", order, [*ORDERS, *map(str, es.data.columns)])
        return by_column(es.column(order), positions)

    def _detail(self, fit: Any) -> str:
        found = super()._detail(fit)
        return f"{found}, worth {fit.effective:.1f}" if self.choices.heterogeneity else found


def _notes(es: BoundedEffectSizes, fit: CensoredResults | None, level: float) -> tuple[str, ...]:
    """Return the lines below the plot: model, how open intervals are to be read, evidence."""
    exact = [mark for mark, point in zip(es.derived, es.is_exact, strict=True) if point]
    open_ = [
        mark.note for mark, point in zip(es.derived, es.is_exact, strict=True) if not point and mark.note
    ]
    assumed = list(dict.fromkeys(part for note in open_ for part in note.split("; ")))
    dashed = "; dashed: a direction alone" if "direction" in es.kind else ""
    told = [f"{OPEN}{dashed}."] if not es.is_exact.all() else []
    told += [f"Assumed for open intervals: {typeset('; '.join(assumed))}."] if assumed else []
    model = [] if fit is None else [_model_words(fit), *caution_notes(fit)]
    notes = [*model, *told, *derived_words(exact)]
    return tuple(note for note in (*notes, ledger_words(es.ledger)) if note)


def _model_words(fit: CensoredResults) -> str:
    """Return the model in one sentence or two."""
    tau2 = "given" if fit.tau2_given else f"by {CRITERIA[fit.method]}"
    text = (
        f"Random-effects model of exact and censored effects; τ² {tau2}; intervals of the pooled effect by "
        f"{TESTS[fit.test]}. k effects of m studies, worth {fit.effective:.1f} exact ones."
    )
    if fit.m < fit.k:
        text += f" {fit.k} effects of {fit.m} studies are taken as independent."
    if fit.design.x is not None:
        text += " The model has moderators, so there is no single pooled effect."
    return text
