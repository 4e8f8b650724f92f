"""What a forest plot shows, as records: columns, rows, marks, an axis and notes; no canvas.

A plan is computed from a fit, can be looked at, tested and turned into a table, and is drawn afterwards.
Rows are identified by their ids, never by their labels, so equal labels do no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from metaexo.effects.measure import Measure
from metaexo.errors import UnknownChoiceError
from metaexo.plots.canvas.arguments import ColumnKind
from metaexo.plots.canvas.figure import Plan
from metaexo.plots.canvas.page import Panel
from metaexo.plots.canvas.scale import Axis, Side, from_axis

if TYPE_CHECKING:
    import pandas as pd

RowKind = Literal["study", "head", "cluster", "subtotal", "total", "prediction", "note", "spacer", "rule"]
Shape = Literal["square", "circle", "diamond", "bar", "open"]
Order = Literal["given", "estimate", "precision"]


@dataclass(frozen=True, slots=True)
class Mark:
    """The mark of a row; its places are those of the axis, logarithms on a logarithmic one.

    Square and circle are studies (a circle rests on an assumed value), a diamond is a pooled effect, a bar a
    prediction interval, an open interval a censored effect. A hollow study was derived from something else
    than its formula asks for, a hollow diamond is predicted by the model, and a hollow open interval is a
    direction alone.
    """

    shape: Shape
    estimate: float | None
    low: float | None
    high: float | None
    size: float = 6.0  # side or height in points
    hollow: bool = False
    cut_low: bool = False  # whether the interval runs out of the axis on this side; an arrow says so
    cut_high: bool = False
    bounded: bool = False  # whether the interval left the range of what is possible and ends there
    beyond: Side = ""  # side on which the estimate lies outside the axis; its mark then stands at the edge


@dataclass(frozen=True, slots=True)
class ForestRow:
    """A row of a forest plot: a study, a head above some, a pooled effect, or a line.

    The cell of an estimate has three pieces: estimate, lower and upper bound. `text` runs over the columns on
    the left, and `detail` follows it in lighter type. A cluster is a study above its effects.
    """

    id: str
    kind: RowKind
    cells: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # lines of text by column
    text: tuple[str, ...] = ()
    detail: str = ""
    mark: Mark | None = None
    weight: float | None = None  # a fraction
    how: str = ""  # "reported", "converted" or "assumed" for studies
    indent: float = 0.0  # of the first column, in points
    y: float = 0.0  # middle of the row, in points from the top of the page
    height: float = 0.0


@dataclass(frozen=True, slots=True)
class PlacedColumn:
    """A column with its place in points; `edges` are the right edges of the three pieces of an estimate."""

    key: str
    kind: ColumnKind
    title: tuple[str, ...]
    left: float
    right: float
    edges: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class SpanningHead:
    """A heading over several columns, with its edges and the rule below it in points."""

    title: str
    left: float
    right: float
    rule_y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestPlan(Plan):
    """All that a forest plot shows, with its places in points from the upper left corner.

    Attributes
    ----------
    measure : Measure
        The measure: it owns the scale that is shown.
    level : float
        Level of all intervals.
    columns : tuple of PlacedColumn
        Columns from left to right.
    heads : tuple of SpanningHead
        Headings over several columns.
    rows : tuple of ForestRow
        Rows from top to bottom.
    axis : Axis
        The axis of effects.
    panel : Panel
        Where the axis stands.
    pooled : float or None
        Overall effect, for the dashed line; its place on the axis.
    sides : tuple of str
        What a value left and right of the reference line favours; empty strings if nothing is said.
    size, line : float
        Size of the letters and distance of two lines in points.
    """

    measure: Measure
    level: float
    columns: tuple[PlacedColumn, ...]
    heads: tuple[SpanningHead, ...]
    rows: tuple[ForestRow, ...]
    axis: Axis
    panel: Panel
    pooled: float | None
    sides: tuple[tuple[str, ...], tuple[str, ...]]
    size: float
    line: float

    def row(self, id: str) -> ForestRow:
        """Return the row of an id.

        Parameters
        ----------
        id : str
            Its unique name, for example "total" or "study:outcomes.csv:12".

        Raises
        ------
        UnknownChoiceError
            If no row has it.
        """
        found = next((row for row in self.rows if row.id == id), None)
        if found is None:
            raise UnknownChoiceError("row", id, [row.id for row in self.rows])
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return what the plot shows as a table, one line per row, numbers on the scale that is shown.

        Columns: id, kind, text, estimate, low, high, weight, how, and the text of every column.
        """
        import pandas as pd

        return pd.DataFrame([self._record(row) for row in self.rows])

    def _record(self, row: ForestRow) -> dict[str, Any]:
        mark = row.mark
        values = (mark.estimate, mark.low, mark.high) if mark else (None, None, None)
        shown = [None if value is None else from_axis(self.measure, value) for value in values]
        record: dict[str, Any] = {
            "id": row.id,
            "kind": row.kind,
            "text": " ".join((*row.text, row.detail)).strip(),
            "estimate": shown[0],
            "low": shown[1],
            "high": shown[2],
            "weight": row.weight,
            "how": row.how,
        }
        return record | {f"cell_{c.key}": " ".join(row.cells.get(c.key, ())) for c in self.columns}
