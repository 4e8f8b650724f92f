"""Forests of refits: a row per fit without one study, or per fit of the studies so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import GENERIC
from metaexo.errors import InputError
from metaexo.formatting import MISSING, at_least, level_words, percent, ten_digits
from metaexo.heterogeneity import StratifiedResults
from metaexo.models.counts.fit import CountResults
from metaexo.plots.canvas.arguments import Column
from metaexo.plots.canvas.legend import Key
from metaexo.plots.canvas.theme import Theme
from metaexo.plots.canvas.words import p_words, typeset, with_ledger
from metaexo.plots.forest.counts import INFINITE
from metaexo.plots.forest.options import Options
from metaexo.plots.forest.rows import (
    BAR,
    DIAMOND,
    ReadyEffects,
    caution_notes,
    head_row,
    mark_of,
    model_note,
    table_of_effects,
)
from metaexo.plots.table.rows import ESTIMATE, LABEL, Row, Table
from metaexo.sensitivity import Cumulative, LeaveOneOut
from metaexo.types import Array

P, TAU2, I2 = "p", "tau2", "i2"
SAME = "same conclusion as with all studies"
CHANGED = "other conclusion than with all studies"
SIGN = "triangle"  # of a refit with another conclusion; its colour is that of the second group
MOST_DECIMALS, MOST_LISTED, MOST_ADDED = 6, 5, 3
UNITS = {"study": "studies", "effect": "effects"}


@dataclass(frozen=True, slots=True)
class _Block:
    """The rows of one coefficient, those of the refits and then that of all studies; numbers as analysed."""

    name: str
    labels: tuple[str, ...]
    numbers: Array  # estimate, lower and upper bound, shape (3, n)
    pvalues: Array
    null: float

    def changed(self) -> NDArray[np.bool_]:
        """Say which rows have another conclusion than all studies: whether the interval holds no effect."""
        _, low, high = self.numbers
        side = (low > self.null).astype(int) - (high < self.null)
        if not math.isfinite(self.null):
            return np.zeros(side.shape, dtype=bool)
        known = np.isnan(self.numbers).sum(axis=0) == 0
        return np.asarray(known & known[-1] & (side != side[-1]))


def table_of_refits(results: LeaveOneOut | Cumulative, options: Options) -> Table:
    """Return the table of fits without each study, or of fits of the studies so far."""
    if options.level is not None and options.level != results.level:
        raise InputError(
            f"refits at the level {results.level:g}, to be shown at the level {options.level:g}",
            "refits at the level that is shown",
            f"make them with level={options.level:g}",
        )
    options = replace(options, level=results.level)
    blocks = [_block(results, j) for j in range(len(results.names))]
    beside = _beside(results, blocks, options.look)
    ready = _ready(results, blocks, beside)
    table = table_of_effects(ready.effects, _with_columns(options, results, beside), ready.shown)
    rows: list[Row] = []
    for j, block in enumerate(blocks):
        if len(blocks) > 1:
            rows += [Row(id=f"spacer:{j}", kind="spacer")] * (j > 0) + [head_row(j, block.name)]
        whole = not isinstance(results, Cumulative)
        rows += _rows(block, j * len(block.labels), table, ready, options, whole)
    changed = any(block.changed().any() for block in blocks)
    keys = (Key(label=SAME, color="study", shape="square"), Key(label=CHANGED, color=1, shape=SIGN))
    return replace(
        table,
        rows=tuple(rows),
        columns=_in_order(table.columns),
        keys=keys if changed else (),
        pooled=(float(ready.shown[0, -1]),) if len(blocks) == 1 else (),
        notes=(*_notes(results, changed), *options.notes),
        summary=with_ledger(results.sentence, results.effects.ledger),
    )


def _block(results: LeaveOneOut | Cumulative, j: int) -> _Block:
    """Return the rows of a coefficient."""
    name = results.names[j]
    numbers = np.array([_with_whole(results, part)[:, j] for part in ("beta", "low", "high")])
    null = results.measure.null if _has_means(results) or name == "intercept" else 0.0
    pvalues = _with_whole(results, "pvalue")[:, j] * (1.0 if math.isfinite(null) else math.nan)
    return _Block(name, (*_labels(results), ""), numbers, pvalues, null)


def _with_whole(results: LeaveOneOut | Cumulative, part: str) -> Array:
    """Return numbers of the refits, and of the fit of all studies the last: the last step has all of them."""
    values: Array = getattr(results, part)
    whole = getattr(results.whole, part) if isinstance(results, LeaveOneOut) else values[-1:]
    return np.concatenate([values, whole])


def _has_means(results: LeaveOneOut | Cumulative) -> bool:
    """Say whether each coefficient is a mean: of all effects, or of a stratum."""
    return len(results.names) == 1 or isinstance(results.fit, StratifiedResults)


def _names(results: LeaveOneOut | Cumulative) -> list[str]:
    """Return what is left out, or what enters: where that is much, how many."""
    if isinstance(results, LeaveOneOut):
        return list(results.labels)
    words = UNITS.get(results.cluster, "clusters")
    return [", ".join(one) if len(one) <= MOST_ADDED else f"{len(one)} {words}" for one in results.added]


def _labels(results: LeaveOneOut | Cumulative) -> list[str]:
    """Return the labels of the rows: what is left out, or what enters and its place in the order."""
    names = _names(results)
    if isinstance(results, LeaveOneOut):
        return names
    for i, (value, added) in enumerate(zip(results.labels, results.added, strict=True)):
        if len(added) > MOST_ADDED or not all(value in name for name in added):
            names[i] = f"{names[i]} ({value})"
    return [*names[:1], *(f"+ {name}" for name in names[1:])]


def _beside(
    results: LeaveOneOut | Cumulative, blocks: Sequence[_Block], theme: Theme
) -> dict[str, list[Any]]:
    """Return what can stand beside the estimates, an entry per row of all coefficients."""
    i2, k, m = (_with_whole(results, part).tolist() * len(blocks) for part in ("i2", "k", "m"))
    tau2 = np.tile(_with_whole(results, "tau2"), len(blocks))
    if isinstance(results.fit, CountResults) and not results.fit.is_random:
        tau2 = np.full(tau2.shape, np.nan)  # no column of zeros for a model that has no such variance
    if results.components == results.names:  # a variance per stratum
        tau2 = _with_whole(results, "tau2_by_component").T.ravel()
    largest = float(np.max(tau2[np.isfinite(tau2)], initial=0.0))
    digits = 2 if largest == 0 else min(MOST_DECIMALS, max(2, 1 - math.floor(math.log10(largest))))
    return {
        P: [_p_cell(p, theme) for p in np.concatenate([block.pvalues for block in blocks]).tolist()],
        TAU2: [_cell(at_least(x, digits), theme) if math.isfinite(x) else MISSING for x in tau2.tolist()],
        I2: [percent(ten_digits(x)) for x in i2],
        "k": list(map(int, k)),
        "m": list(map(int, m)),
    }


def _cell(text: str, theme: Theme) -> str:
    """Return a number without its sign of equality, with the decimal sign of the theme."""
    return text.strip().removeprefix("= ").replace(".", theme.point)


def _ready(
    results: LeaveOneOut | Cumulative, blocks: Sequence[_Block], beside: Mapping[str, list[Any]]
) -> ReadyEffects:
    """Return the rows of all coefficients as effects that are ready to be drawn, each for itself."""
    import pandas as pd

    es = results.effects
    numbers = np.concatenate([block.numbers for block in blocks], axis=1)
    plain = not _has_means(results) and not es.measure.display_log  # of a slope no proportion is made
    known = np.isfinite(numbers[0])
    last = float(numbers[0][known].max(initial=0.0)) if known.any() else 0.0
    ready = EffectSizes(
        np.where(known, numbers[0], last),  # what is not known comes last
        np.ones(known.size),  # the intervals are those that are shown
        GENERIC if plain else es.measure,
        labels=[label or " " for block in blocks for label in block.labels],
        study=[str(i) for i in range(known.size)],  # nothing is pooled
        data=pd.DataFrame(beside),
        oriented=es.oriented and _has_means(results),
    )
    shown = np.array(numbers if plain else back_pooled(es, numbers))
    shown[0, ~known] = np.nan  # an infinite estimate has no place: its row is the line from the finite limit
    return ReadyEffects(ready, shown)


def _p_cell(p: float, theme: Theme) -> str:
    """Return a p-value as it stands below a heading."""
    return MISSING if math.isnan(p) else _cell(p_words(p, theme.p_style).partition(" ")[2], theme)


def _with_columns(
    options: Options, results: LeaveOneOut | Cumulative, beside: Mapping[str, list[Any]]
) -> Options:
    """Return the options with the columns and the headings that such a forest has, where none are chosen."""
    growing = isinstance(results, Cumulative)
    chosen = options.columns
    if chosen is None:
        several = len(results.components) > 1 and results.components != results.names
        columns = [Column("k", "k", "number")] if growing else []
        columns += [Column(P, options.look.p_style[0], "text", side="right")]
        columns += [Column(TAU2, "Total τ²" if several else "τ²", "text", side="right")]
        columns += [Column(I2, "I²", "text", side="right")]
        chosen = [one for one in columns if set(beside.get(one.key, [""])) != {MISSING}]
    title = options.label_title
    if title == Options.label_title:
        title = "Added" if growing else "Left out"
    return replace(options, columns=chosen, label_title=title)


def _in_order(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns with the estimate before what is to the right of the panel; numbers to the right."""
    right = [column for column in columns if column.side == "right" and column.key != ESTIMATE]
    left = [column for column in columns if column.side == "left"]
    estimate = [column for column in columns if column.key == ESTIMATE]
    own = {P, TAU2, I2}
    return (*left, *estimate, *(replace(one, kind="number") if one.key in own else one for one in right))


def _rows(
    block: _Block, first: int, table: Table, ready: ReadyEffects, options: Options, whole: bool
) -> list[Row]:
    """Return the rows of a coefficient, which begin at `first`; `whole`: and that of all studies."""
    place = {f"study:{id}": i - first for i, id in enumerate(ready.effects.row_ids)}
    last, changed = len(block.labels) - 1, block.changed()
    rows: list[Row] = []
    for row in table.rows:
        i = place[row.id]
        if not 0 <= i < last:
            continue
        rows.append(_refit_row(row, f"{first + i}", bool(changed[i]), float(block.numbers[0, i])))
    if whole and options.overall:
        (row,) = (row for row in table.rows if place[row.id] == last)
        mark = mark_of(ready.effects.measure, "diamond", ready.shown[:, first + last], DIAMOND)
        if math.isinf(block.numbers[0, last]):
            row = _infinite(row, float(block.numbers[0, last]), "pooled")
            mark = row.marks[0]
        cells = {key: cell for key, cell in row.cells.items() if key != LABEL}
        rows.append(Row(id=f"spacer:total:{first}", kind="spacer"))
        rows.append(
            replace(
                row,
                id="total" if first == 0 else f"total:{block.name}",
                kind="total",
                cells=cells,
                text=(options.overall_label,),
                marks=(mark,),
            )
        )
    return rows


def _infinite(row: Row, estimate: float, color: str | int) -> Row:
    """Return the row of an infinite estimate: the line from its finite limit, and the estimate in words."""
    mark = row.marks[0]
    said = INFINITE if estimate > 0 else "0"
    bar = replace(mark, shape="bar", estimate=None, size=BAR, color=color, text=said)
    _, low, high = row.cells[ESTIMATE]
    return replace(row, marks=(bar,), cells={**row.cells, ESTIMATE: (said, low, high)})


def _refit_row(row: Row, number: str, changed: bool, estimate: float) -> Row:
    """Return the row of a refit, with the mark of its conclusion; without a mark where there is no fit."""
    row = replace(row, id=f"refit:{number}")
    if math.isinf(estimate) and row.marks:
        return _infinite(row, estimate, 1 if changed else "study")
    if math.isnan(estimate) or row.mark is None:
        return replace(row, marks=(), cells={**row.cells, ESTIMATE: (MISSING, "", "")})
    look: dict[str, Any] = {"shape": SIGN, "color": 1, "size": 1.25 * row.mark.size} if changed else {}
    return replace(row, marks=(replace(row.mark, name=CHANGED if changed else SAME, **look),))


def _notes(results: LeaveOneOut | Cumulative, changed: bool) -> list[str]:
    """Return what a row is, when a conclusion is another one, and which refits are none."""
    one = results.cluster if results.cluster in UNITS else "cluster"
    what = "of the studies down to it" if isinstance(results, Cumulative) else f"without the {one} named"
    notes = [f"Each row: the fit {what}. {model_note(results.fit, counts=False)}"]
    if changed:
        level = level_words(results.level)
        notes.append(f"Conclusion: whether the {level} CI excludes no effect, and on which side.")
    names = _names(results)
    for said, words in ((results.reasons, "No fit, "), (results.notes, "")):
        by_words: dict[str, list[str]] = {}
        for i, text in said.items():
            by_words.setdefault(text, []).append(names[i])
        notes += [f"{words}{_list(labels)}: {typeset(text)}." for text, labels in by_words.items()]
    return [*notes, *caution_notes(results.fit)]


def _list(labels: Sequence[str]) -> str:
    """Return labels in a sentence; beyond some the others are counted."""
    more = len(labels) - MOST_LISTED
    return ", ".join(labels[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
