"""Evidence-gap maps: which combinations of two things have been studied, and which never were."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import NOT_REPORTED
from metaexo.inputs import read_numbers
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.fonts import HINTED
from metaexo.plots.canvas.legend import Key
from metaexo.plots.canvas.plan import WIDTH, drawn, size_of
from metaexo.plots.canvas.tables import column_of, levels_of
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import title_of, words
from metaexo.plots.grids.grid import Beside, Bubble, Cell, Grid, fits, size_words, sized
from metaexo.readable import shows_itself
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

GAP, SLOT_GAP = 2.0, 4.0
LEAST = 1.5  # radius of the smallest bubble in points
# Radius of the largest, and whether groups are stacked in a cell: the first that fits.
TRIED = ((13.0, False), (11.0, False), (9.0, False), (7.0, False), (9.0, True), (7.0, True), (6.0, True))
CELL_HEIGHT, CELL_WIDTH = 18.0, 18.0
# Shapes of bubbles, a group each: size of the mark and half its width, over the radius of a disc of its area.
BUBBLES = {
    "circle": (2.0, 1.0),
    "square": (1.772, 0.886),
    "triangle": (2.507, 1.254),
    "diamond": (1.772, 1.254),
    "triangle_down": (2.507, 1.254),
    "pentagon": (2.299, 1.1),
    "hexagon": (2.2, 1.1),
}


@shows_itself
@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class EvidenceMap(Grid):
    """What an evidence-gap map shows: a :class:`metaexo.plots.Grid` of counts.

    Attributes
    ----------
    counts : mapping of (row, column, group) to int
        What was counted; a combination of row and column without a count is a gap.
    total : int
        All that was counted.
    counted : str
        What is counted.
    """

    counts: Mapping[tuple[str, str, str], int]
    total: int
    counted: str

    @property
    def gaps(self) -> tuple[tuple[str, str], ...]:
        """The combinations of a row and a column that nobody studied."""
        studied = {(row, column) for row, column, _ in self.counts}
        return tuple(
            (row, column) for row in self.rows for column in self.columns if (row, column) not in studied
        )


@checked
def evidence_map_plan(
    table: pd.DataFrame,
    rows: str,
    columns: str,
    *,
    by: str | None = None,
    study: str | None = None,
    count: str | None = None,
    counted: str = "",
    row_order: Sequence[str] | None = None,
    column_order: Sequence[str] | None = None,
    wording: Mapping[str, str] | None = None,
    row_title: str = "",
    column_title: str = "",
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> EvidenceMap:
    """Return what an evidence-gap map shows, without drawing it.

    Use it to show where evidence is and where there is none: sources against isolation methods, say. The area
    of a bubble goes with its count, the count is printed, and empty cells are shaded.

    Parameters
    ----------
    table : DataFrame
        One row per study, effect or count.
    rows, columns : str
        Columns of the table whose values make the rows and the columns of the map; missing values count as
        "not reported", which comes last.
    by : str, optional
        Column whose values get a bubble of their own colour each, side by side in the cell.
    study : str, optional
        Column that names the study; different studies are counted. Default: rows of the table are.
    count : str, optional
        Column of counts that are summed, in place of `study`.
    counted : str
        What is counted, for the note; default "studies" or "rows".
    row_order, column_order : sequence of str, optional
        Values in the order wanted; values that the table never has make empty rows. Default: by count.
    wording : mapping of str to str, optional
        Words for values.
    row_title, column_title : str
        Headings; default: the names of the columns in words.

    Returns
    -------
    EvidenceMap
        Rows, columns and cells; `gaps` names the empty cells.

    Raises
    ------
    UnknownChoiceError
        If a column is not in the table.
    InputError
        If nothing can be counted, an order leaves out a value of the table, or the columns do not fit.

    References
    ----------
    Snilstveit, B., et al. (2016). Evidence & Gap Maps. https://doi.org/10.1016/j.jclinepi.2016.05.015

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame({"source": ["plant", "plant", "urine"], "isolation": ["SEC", "UC", "UC"]})
    >>> plan = mx.plots.evidence_map_plan(table, rows="source", columns="isolation")
    >>> plan.total, plan.gaps
    (3, (('urine', 'SEC'),))
    >>> ax = mx.plots.evidence_map(plan)
    """
    if len(table) == 0:
        raise InputError("the table has no rows", "at least one row to count")
    frame = _counts_frame(table, rows, columns, by, study, count, wording or {})
    row_names = levels_of(_counted(frame, "row"), row_order, wording)
    column_names = levels_of(_counted(frame, "column"), column_order, wording)
    groups = levels_of(_counted(frame, "group"))
    look = get_theme(theme, font_size)
    most = min(len(BUBBLES), len(look.palette))
    if len(groups) > most:
        raise InputError(
            f"{by!r} has {len(groups)} values", f"at most {most}, one colour each", "group the values"
        )
    counted = counted or ("studies" if study else "rows")
    counts = _found(frame)
    records = [(*key, n) for key, n in counts.items()]
    studied = {(row, column) for row, column, _ in counts}
    records += [(r, c, "", 0) for r in row_names for c in column_names if (r, c) not in studied]
    total = _units(frame)
    several = sum(counts.values()) > sum(_units(frame[frame["group"] == name]) for name in groups)
    once = " Totals count each once: the cells add up to more." if several else ""
    shapes = list(BUBBLES)
    maps = (
        EvidenceMap(
            title=title,
            notes=(f"Numbers and areas count {counted}; shaded cells are empty.{once}", *notes),
            width=width if ax is None else size_of(ax)[0],
            height=1.0,
            theme=look,
            rows=tuple(row_names),
            columns=tuple(column_names),
            cells=cells,
            row_title=row_title or title_of(rows),
            column_title=column_title or title_of(columns),
            keys=tuple(Key(label=name, color=g, shape=shapes[g]) for g, name in enumerate(groups) if name),
            after=_totals(frame, "row", row_names, groups),
            below=_totals(frame, "column", column_names, groups),
            grand_total=_total(frame, groups) if len(groups) == 1 else "",
            fields=("row", "column", "group", "count"),
            records=tuple(records),
            cell=size,
            summary=f"Evidence map of {total} {counted}, {size_words(row_names, column_names)}, "
            f"{len(records) - len(counts)} cells empty.",
            counts=counts,
            total=total,
            counted=counted,
        )
        for cells, size in (_cells(counts, (row_names, column_names, groups), look, *one) for one in TRIED)
    )
    *larger, smallest = maps
    most_high = height if ax is None else size_of(ax)[1]
    return sized(next((one for one in larger if fits(one, most_high)), smallest), height)


def _counts_frame(
    table: pd.DataFrame,
    rows: str,
    columns: str,
    by: str | None,
    study: str | None,
    count: str | None,
    wording: Mapping[str, str],
) -> pd.DataFrame:
    """Return row, column, group, unit and count, one line per row of the table."""
    import pandas as pd

    def named(column: str | None) -> list[str]:
        if column is None:
            return [""] * len(table)
        return [words(v, wording, NOT_REPORTED) for v in column_of(table, column)]

    units = range(len(table)) if study is None else column_of(table, study).astype(str)
    counts = np.ones(len(table)) if count is None else _counts(table, count)
    return pd.DataFrame(
        {
            "row": named(rows),
            "column": named(columns),
            "group": named(by),
            "unit": list(units),
            "count": counts.astype(int),
            "summed": count is not None,
        }
    )


def _counts(table: pd.DataFrame, count: str) -> Array:
    """Return a column of counts; raises InputError if some are no whole numbers, or all are zero."""
    counts = read_numbers(column_of(table, count), count, ndim=1)
    bad = np.flatnonzero(~(counts >= 0) | (counts != np.floor(counts)))
    if bad.size or not counts.sum() > 0:
        raise InputError(
            f"{bad.size} of {counts.size} cells of {count!r} are no counts"
            if bad.size
            else "all counts are 0",
            "whole numbers that are not negative, and at least one above 0",
            "look these rows up in the source",
            [f"row {int(i) + 1}: {counts[i]:g}" for i in bad],
        )
    return counts


def _counted(frame: pd.DataFrame, side: str) -> dict[str, int]:
    """Return the different names on one side of the map with what is counted of each."""
    return {str(name): _units(part) for name, part in frame.groupby(side, sort=False)}


def _totals(frame: pd.DataFrame, side: str, names: Sequence[str], groups: Sequence[str]) -> Beside:
    """Return what is counted of each name on one side of the map."""
    return Beside("Total", tuple(_total(frame[frame[side] == name], groups) for name in names))


def _total(frame: pd.DataFrame, groups: Sequence[str]) -> str:
    """Return what is counted in a part of the table, a number per group: groups may count unlike things."""
    return " + ".join(str(_units(frame[frame["group"] == name])) for name in groups)


def _units(frame: pd.DataFrame) -> int:
    """Return the different units of a part of the table, or the sum of its counts."""
    if len(frame) and bool(frame["summed"].iloc[0]):
        return int(frame["count"].sum())
    return int(frame["unit"].nunique())


def _found(frame: pd.DataFrame) -> dict[tuple[str, str, str], int]:
    """Return the count of every combination of row, column and group that was studied."""
    counts = {key: _units(part) for key, part in frame.groupby(["row", "column", "group"], sort=False)}
    return {(str(row), str(column), str(group)): n for (row, column, group), n in counts.items() if n > 0}


def _cells(
    counts: Mapping[tuple[str, str, str], int],
    names: tuple[Sequence[str], Sequence[str], Sequence[str]],
    theme: Theme,
    largest: float,
    stacked: bool,
) -> tuple[tuple[tuple[Cell, ...], ...], tuple[float, float]]:
    """Return the cells of a map, and the least size of one; bubbles of a group stand in one line."""
    rows, columns, groups = names
    most = max(counts.values())
    bubbles = {key: _bubble(n / most, n, groups.index(key[2]), largest, theme) for key, n in counts.items()}
    slots: dict[tuple[str, str], float] = {}
    least = 0.0
    for column in columns:
        there = [g for g in groups if any(key[1:] == (column, g) for key in bubbles)]
        found = [[bubbles[key] for key in bubbles if key[1:] == (column, g)] for g in there]
        rooms = [max(_high(one) if stacked else _room(one, theme) for one in several) for several in found]
        needed = sum(rooms) + SLOT_GAP * (len(rooms) + 1)
        least, at = max(least, needed), SLOT_GAP - needed / 2
        for group, room in zip(there, rooms, strict=True):
            slots[column, group] = at + room / 2
            at += room + SLOT_GAP
    cells = tuple(
        tuple(
            _cell(
                [(bubbles.get((row, column, g)), slots.get((column, g), 0.0)) for g in groups], theme, stacked
            )
            for column in columns
        )
        for row in rows
    )
    if stacked:
        across, down = max(_room(one, theme) for one in bubbles.values()) + 2.0, least
    else:
        across, down = least, max(map(_high, bubbles.values())) + 4.0
    return cells, (max(CELL_WIDTH, math.ceil(across)), max(CELL_HEIGHT, math.ceil(down)))


def _cell(found: Sequence[tuple[Bubble | None, float]], theme: Theme, stacked: bool) -> Cell:
    """Return a cell with the bubbles of its groups, side by side or stacked, or an empty one."""
    there = [(one, slot) for one, slot in found if one is not None]
    if not there:
        return Cell(fill=theme.track, lines=("0",), bold=False)
    moved = [
        replace(one, dx=(0.0 if stacked else slot) - _beside(one, theme) / 2, dy=slot if stacked else 0.0)
        for one, slot in there
    ]
    return Cell(bubbles=tuple(moved))


def _high(one: Bubble) -> float:
    """Return the height of a bubble."""
    size, half = BUBBLES[one.shape]
    return 2 * half * one.size / size


def _bubble(share: float, n: int, group: int, largest: float, theme: Theme) -> Bubble:
    """Return the bubble of a count; its area goes with the count."""
    shape = list(BUBBLES)[group]
    radius = max(LEAST, largest * math.sqrt(share))
    number = math.hypot(theme.width(str(n), True, theme.small), 0.73 * theme.small)
    room = 1.2 if shape.startswith("triangle") else 1.7 if shape != "circle" else 1.9
    size = BUBBLES[shape][0] * radius
    return Bubble(
        shape=shape, size=size, color=theme.color(group), text=str(n), inside=number <= room * radius
    )


def _beside(one: Bubble, theme: Theme) -> float:
    """Return the room of a number beside its bubble."""
    return 0.0 if one.inside else GAP + HINTED * theme.width(one.text, size=theme.small)


def _room(one: Bubble, theme: Theme) -> float:
    """Return the width of a bubble with its number."""
    size, half = BUBBLES[one.shape]
    return 2 * half * one.size / size + _beside(one, theme)


evidence_map = drawn(evidence_map_plan, "Draw an evidence-gap map.")
