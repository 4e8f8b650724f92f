"""Places for the bars, intervals and words of a figure of attributed heterogeneity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from metaexo.plots.attribution_page import AttributionPlan, AttributionRow
from metaexo.plots.fonts import text_width, wrap_to_width
from metaexo.plots.furniture import (
    Key,
    legend_rows,
    legend_rows_height,
    note_lines,
    notes_height,
    title_height,
    title_lines,
)
from metaexo.plots.page import Panel, snap
from metaexo.plots.scale import Axis, Tick
from metaexo.plots.style import LINE_HEIGHT, MARGIN, SMALL_SIZE, TEXT_SIZE

ROW, HEAD, BLOCK_GAP, COLUMN_GAP = 15.0, 16.0, 8.0, 12.0
TITLES = ("Share", "Interval", "P(zero)", "p")
STEP = 25
WORDS_ALONE = 430.0


def lay_out_attribution(
    rows: Sequence[AttributionRow],
    keys: Sequence[Key],
    title: str,
    notes: Sequence[str],
    panel_width: float,
) -> AttributionPlan:
    """Return the plan of drafted rows, each at its place."""
    numbers = [row for row in rows if row.kind in ("bar", "interval")]
    labels = [text_width(line, TEXT_SIZE) for row in numbers for line in row.label]
    left = MARGIN + math.ceil(max(labels, default=0.0)) + COLUMN_GAP
    x = left + panel_width
    columns: list[tuple[str, float]] = []
    for i, name in enumerate(TITLES):
        texts = [text_width(row.cells[i], TEXT_SIZE) for row in rows if row.cells]
        if texts:
            x += COLUMN_GAP + math.ceil(max(text_width(name, TEXT_SIZE, True), *texts))
            columns.append((name, x))
    width = float(math.ceil((x if numbers else MARGIN + WORDS_ALONE) + MARGIN))
    above, legend = title_lines(title, width), legend_rows(keys, width, TEXT_SIZE)
    below = note_lines(notes, width)
    over = title_height(above) + legend_rows_height(legend, LINE_HEIGHT)
    top = math.ceil(MARGIN + over + (LINE_HEIGHT + 4.0 if columns else 4.0))
    placed, bottom = _placed(rows, top, width)
    axis = _axis()
    axis_height = 5.0 + 1.3 * SMALL_SIZE + 1.6 * LINE_HEIGHT if numbers else 4.0
    return AttributionPlan(
        rows=placed,
        columns=tuple(columns),
        axis=axis,
        panel=Panel(left, left + panel_width, top, snap(bottom), axis.low, axis.high, top, snap(bottom)),
        keys=legend,
        title=above,
        notes=below,
        width=width,
        height=float(math.ceil(bottom + axis_height + notes_height(below))),
    )


def _placed(
    rows: Sequence[AttributionRow], top: float, width: float
) -> tuple[tuple[AttributionRow, ...], float]:
    """Return the rows at their places, and where the last one ends."""
    placed, y = [], float(top)
    for i, row in enumerate(rows):
        label = row.label
        if row.kind == "words":
            label = tuple(
                line for text in label for line in wrap_to_width(text, width - 2 * MARGIN, SMALL_SIZE)
            )
            height = len(label) * 1.3 * SMALL_SIZE + 5.0
        elif row.kind == "head":
            y += BLOCK_GAP if i else 2.0
            height = HEAD
        else:
            height = max(ROW, len(label) * LINE_HEIGHT + 3.0)
        placed.append(replace(row, label=label, y=snap(y + height / 2), height=snap(height)))
        y += height
    return tuple(placed), y + 3.0


def _axis() -> Axis:
    """Return an axis in per cent."""
    ticks = tuple(Tick(float(v), f"{v}") for v in range(0, 101, STEP))
    return Axis(0.0, 100.0, ticks, 0.0, "Share of the between-study variance τ² (%)")
