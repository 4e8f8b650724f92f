"""Places for the rows, columns and bubbles of an evidence-gap map."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metaexo.plots.evidence_map_page import BUBBLES, GAP, HEADING_GAP, EvidenceMapPlan, MapBubble, MapLine
from metaexo.plots.fonts import CAP_HEIGHT, text_width, wrap, wrap_whole_words
from metaexo.plots.furniture import (
    Key,
    legend_rows,
    legend_rows_height,
    note_lines,
    notes_height,
    title_height,
    title_lines,
)
from metaexo.plots.page import snap
from metaexo.plots.style import LINE_HEIGHT, MARGIN, PALETTE, TEXT_SIZE

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 13.0
CELL_HEIGHT = 18.0
SLOT_GAP = 5.0
NARROWEST = 240.0
WIDE, NARROWER = 600.0, 0.8  # a wide map gets upright headings if they make it that much narrower
LETTERS, UPRIGHT_LETTERS = 13, 20


@dataclass(frozen=True, slots=True)
class _Sized:
    """A count with the radius of a disc of the area of its bubble, and whether its number stands inside."""

    count: int
    radius: float
    shape: str
    inside: bool

    @property
    def half(self) -> float:
        """Half the width of the bubble."""
        return self.radius * BUBBLES[self.shape][1]

    @property
    def right(self) -> float:
        """Room that bubble and number need on the right of the middle."""
        return self.half + (0.0 if self.inside else GAP + text_width(str(self.count), TEXT_SIZE))


_Found = dict[tuple[str, str, str], _Sized]
_Columns = tuple[tuple[MapLine, ...], dict[tuple[str, str], float]]


def lay_out_map(
    frame: pd.DataFrame,
    names: tuple[Sequence[str], Sequence[str], Sequence[str]],
    counted: str,
    titles: tuple[str, str],
    title: str,
    notes: Sequence[str],
) -> EvidenceMapPlan:
    """Return the plan of counts: rows, columns and groups in the order of `names`."""
    row_names, column_names, groups = names
    found = _sized(frame, groups)
    labels = {name: wrap(name, 30) for name in row_names}
    texts = [(titles[0], True), ("Total", True)]
    texts += [(line, False) for lines in labels.values() for line in lines]
    left = math.ceil(MARGIN + max(text_width(text, TEXT_SIZE, bold) for text, bold in texts) + 10.0)
    after = text_width("Total", TEXT_SIZE, True) + 14.0 + MARGIN
    columns, places = _columns(frame, column_names, found, groups, float(left))
    turned = _columns(frame, column_names, found, groups, float(left), upright=True)
    wide = columns[-1].high + after
    upright = wide > WIDE and turned[0][-1].high + after < NARROWER * wide
    if upright:
        columns, places = turned
    keys = tuple(Key(name, PALETTE[g], list(BUBBLES)[g]) for g, name in enumerate(groups) if name)
    width = float(max(math.ceil(columns[-1].high + after), NARROWEST))
    above, legend = title_lines(title, width), legend_rows(keys, width, TEXT_SIZE)
    heading = _heading_height(columns, upright)
    over = title_height(above) + legend_rows_height(legend, LINE_HEIGHT) + LINE_HEIGHT
    top = math.ceil(MARGIN + over + heading + HEADING_GAP)
    rows = _rows(frame, labels, found, top)
    note = f"Numbers and areas count {counted}; shaded cells are empty."
    below = note_lines([note, *notes], width)
    return EvidenceMapPlan(
        rows=rows,
        columns=columns,
        bubbles=_bubbles(found, rows, places, groups),
        total=count_units(frame),
        counted=counted,
        row_title=titles[0],
        column_title=titles[1],
        upright=upright,
        heading=heading,
        keys=legend,
        title=above,
        notes=below,
        width=width,
        height=float(math.ceil(rows[-1].high + 1.8 * LINE_HEIGHT + 4.0 + notes_height(below))),
    )


def count_units(frame: pd.DataFrame) -> int:
    """Return the different units of a part of the table, or the sum of its counts."""
    if len(frame) and bool(frame["summed"].iloc[0]):
        return int(frame["count"].sum())
    return int(frame["unit"].nunique())


def _sized(frame: pd.DataFrame, groups: Sequence[str]) -> _Found:
    """Return count, radius and place of the number of every combination that was studied."""
    counts = {key: count_units(part) for key, part in frame.groupby(["row", "column", "group"], sort=False)}
    most = max(counts.values())
    found = {}
    for (row, column, group), n in counts.items():
        if n > 0:
            radius = max(1.5, LARGEST * math.sqrt(n / most))
            number = math.hypot(text_width(str(n), TEXT_SIZE, True), CAP_HEIGHT * TEXT_SIZE)
            shape = list(BUBBLES)[groups.index(str(group))]
            inside = (
                number
                <= (1.2 if shape.startswith("triangle") else 1.7 if shape != "circle" else 1.9) * radius
            )
            found[str(row), str(column), str(group)] = _Sized(n, radius, shape, inside)
    return found


def _columns(
    frame: pd.DataFrame,
    names: Sequence[str],
    found: _Found,
    groups: Sequence[str],
    x: float,
    upright: bool = False,
) -> _Columns:
    """Return the columns, and where in them the bubbles of each group stand.

    A column is wide enough for its heading and for the bubbles of the groups that it has.
    """
    columns, places = [], {}
    for name in names:
        label = wrap(name, UPRIGHT_LETTERS) if upright else wrap_whole_words(name, LETTERS)
        rooms = _rooms(name, found, groups)
        needed = sum(left + right for left, right in rooms.values()) + SLOT_GAP * (len(rooms) + 1)
        across = [LINE_HEIGHT * len(label)] if upright else [text_width(t, TEXT_SIZE, True) for t in label]
        width = math.ceil(max(needed, max(across) + 10.0))
        columns.append(MapLine(name, label, count_units(frame[frame["column"] == name]), x, x + width))
        left = x + (width - needed) / 2 + SLOT_GAP
        for group, (before, after) in rooms.items():
            places[name, group] = left + before
            left += before + after + SLOT_GAP
        x += width
    return tuple(columns), places


def _rooms(column: str, found: _Found, groups: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return by group the room that the bubbles of a column need left and right of their middles."""
    rooms = {}
    for group in groups:
        members = [sized for (_, c, g), sized in found.items() if (c, g) == (column, group)]
        if members:
            rooms[group] = max(m.half for m in members), max(m.right for m in members)
    return rooms


def _heading_height(columns: Sequence[MapLine], upright: bool) -> float:
    """Return the height of the headings of the columns, in points."""
    if upright:
        return max(text_width(line, TEXT_SIZE) for column in columns for line in column.label)
    return max(len(column.label) for column in columns) * LINE_HEIGHT


def _rows(
    frame: pd.DataFrame, labels: Mapping[str, tuple[str, ...]], found: _Found, y: float
) -> tuple[MapLine, ...]:
    rows = []
    for name, label in labels.items():
        largest = max((sized.half for (row, _, _), sized in found.items() if row == name), default=0.0)
        height = math.ceil(max(CELL_HEIGHT, 2 * largest + 6.0, len(label) * LINE_HEIGHT + 6.0))
        rows.append(MapLine(name, label, count_units(frame[frame["row"] == name]), y, y + height))
        y += height
    return tuple(rows)


def _bubbles(
    found: _Found,
    rows: Sequence[MapLine],
    places: Mapping[tuple[str, str], float],
    groups: Sequence[str],
) -> tuple[MapBubble, ...]:
    middles = {row.name: (row.low + row.high) / 2 for row in rows}
    return tuple(
        MapBubble(
            row=row,
            column=column,
            group=group,
            count=sized.count,
            x=snap(places[column, group]),
            y=snap(middles[row]),
            radius=snap(sized.radius),
            colour=PALETTE[groups.index(group)],
            shape=sized.shape,
            number_inside=sized.inside,
        )
        for (row, column, group), sized in found.items()
    )
