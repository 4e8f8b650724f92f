"""What a figure that is a table is made of, before anything has a place: rows, columns, marks and an axis.

Rows are identified by their ids, never by their labels, so equal labels do no harm. All values are as shown:
a risk ratio, not its logarithm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from metaexo.effects.measure import GENERIC, Measure
from metaexo.plots.canvas.arguments import Column
from metaexo.plots.canvas.legend import Key
from metaexo.plots.canvas.scale import Scale, Side
from metaexo.plots.canvas.theme import Color, Theme

RowKind = Literal[
    "study", "head", "cluster", "subtotal", "total", "prediction", "test", "note", "spacer", "rule"
]
Shape = Literal[
    "square",
    "circle",
    "diamond",
    "bar",
    "open",
    "fill",
    "triangle",
    "triangle_down",
    "pentagon",
    "plus",
    "cross",
    "star",
    "hexagon",
    "lozenge",
]
LABEL, ESTIMATE, WEIGHT = "label", "estimate", "weight"
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "||||", "++++", "oo", "----", "**")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A mark with its interval, as shown.

    Square and circle are studies (a circle rests on an assumed value), a diamond is a pooled effect (a point
    of that shape is a lozenge), a bar a prediction interval, an open interval a censored effect, a fill a bar
    from one value to another. A hollow study was derived from something else than its formula asks for, a
    hollow diamond is predicted by the model, and a hollow open interval is a direction alone.
    """

    shape: Shape
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    size: float = 6.0  # side or height in points
    hollow: bool = False
    color: Color | None = None  # default: by the kind of the row
    hatch: str = ""
    whole: float | None = None  # of a fill: where the empty bar behind it ends
    lane: float = 0.0  # below the middle of the row, in points
    name: str = ""  # of the group that it belongs to
    text: str = ""  # its value in words: within a fill, or at the edge of an axis that it lies beyond
    bounded: bool = False  # whether the interval left the range of what is possible and ends there
    cut_low: bool = False  # whether the interval runs out of the axis on this side; an arrow says so
    cut_high: bool = False
    beyond: Side = ""  # side on which the estimate lies outside the axis; its mark then stands at the edge


def shape_of(group: str) -> Shape:
    """Return the shape of the marks of a group with a sign of ``group_sign``."""
    return "lozenge" if group == "diamond" else cast("Shape", group)


def group_hatch(position: int) -> str:
    """Return the hatch of the bars of a group at a position, the second code beside its colour."""
    return HATCHES[position % len(HATCHES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a table.

    The cell of an estimate has three pieces: estimate, lower and upper bound. `text` runs over the columns on
    the left, or over the whole table, and `detail` follows it in lighter type. A cluster is a study above its
    effects. The marks of a packed row stand in as few lanes as it takes that none covers another. `extra` are
    further columns of the table of the figure.
    """

    id: str
    kind: RowKind
    cells: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # lines of text by column
    text: tuple[str, ...] = ()
    detail: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    weight: float | None = None  # a fraction
    how: str = ""  # "reported", "converted" or "assumed" for studies
    indent: float = 0.0  # of the first column, in points
    beside: bool = True  # whether the detail stands beside the text, or below it
    wide: bool = False  # whether the text runs over the panel too
    packed: bool = False
    ruled: bool = False  # whether a thin line stands below it
    extra: Mapping[str, Any] = field(default_factory=dict)
    y: float = 0.0  # middle of the row, in points from the top of the figure
    height: float = 0.0  # in points; before it has a place: the least that it needs

    @property
    def mark(self) -> Mark | None:
        """Its first mark."""
        return self.marks[0] if self.marks else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisSpec:
    """The axis that a table asks for; limits and ticks as shown, found by the layout where there are none."""

    label: str = ""
    scale: Scale = "linear"
    limits: tuple[float, float] | None = None
    reference: float | None = None
    ticks: Sequence[float] | None = None
    tick_labels: Sequence[str] | None = None
    whole: tuple[float, float] | None = None  # the range of what is possible


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as a kind of figure writes it.

    `columns` stand from left to right; those whose side is "right" stand beyond the panel. A column
    "estimate" has three pieces per cell.
    """

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    axis: AxisSpec
    theme: Theme
    measure: Measure = GENERIC
    level: float = 0.95
    heads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    keys: tuple[Key, ...] = ()
    pooled: tuple[float, ...] = ()  # dashed lines
    favours: tuple[str, str] = ("", "")
    title: str = ""
    notes: tuple[str, ...] = ()
    row_height: float | None = None
    summary: str = ""
