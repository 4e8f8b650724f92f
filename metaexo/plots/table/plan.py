"""A table with every place, and the drawing of it by matplotlib.

The panel is an Axes in the units that are shown, with matplotlib's own axis, ticks and clipping; texts stand
beside it in the figure, at measured places. Places are points from the upper left corner.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metaexo.effects.measure import Measure
from metaexo.errors import UnknownChoiceError
from metaexo.evidence.risk_of_bias.tool import BiasTool, judgements
from metaexo.formatting import MISSING, plural
from metaexo.plots.canvas.arguments import ColumnKind
from metaexo.plots.canvas.fonts import text_width
from metaexo.plots.canvas.legend import Key, draw_keys
from metaexo.plots.canvas.plan import Plan, further_pages, remember, whole_figure
from metaexo.plots.canvas.scale import RoundTicks, ShownAxis, from_place, to_place
from metaexo.plots.canvas.theme import DASHES, MARKERS
from metaexo.plots.table.lanes import EDGE_WORDS, in_lanes
from metaexo.plots.table.rows import ESTIMATE, Mark, Row
from metaexo.readable import shows_itself

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.gridspec import SubplotSpec
    from matplotlib.transforms import Bbox, Transform

MARGIN = 6.0
CAP_HEIGHT = 0.73
BESIDE = 5.0  # between the reference line and what a side favours
ARROW, EDGE_MARK = 5.0, 6.0
# A text is put on whole pixels when it becomes a PNG. No place of a table (a hundredth of a point) plus this
# shift lies half way between two pixels, so no last digit decides on which of the two a letter falls.
SHIFT = 0.003
SHORT = 8.0  # points: a piece of a line that is no longer is left out
FAR = 1e3  # how many widths of the axis an end beyond it may lie away
BOLD = ("subtotal", "total", "head")
Align = Literal["left", "center", "right"]
Placed = tuple[Row, Any, float]  # a row, one of its marks, and the height of that


@dataclass(frozen=True, slots=True)
class PlacedColumn:
    """A column with its place in points; `edges` are the right edges of an estimate and of its interval."""

    key: str
    kind: ColumnKind
    title: tuple[str, ...]
    left: float
    right: float
    edges: tuple[float, ...] = ()
    tool: BiasTool | None = None


@dataclass(frozen=True, slots=True)
class SpanningHead:
    """A heading over several columns, with its edges, and how far the rule below it is above the panel."""

    title: tuple[str, ...]
    left: float
    right: float
    above: float


@dataclass(frozen=True, slots=True)
class Box:
    """The place of a panel in points from the upper left corner."""

    left: float
    right: float
    top: float
    bottom: float


@shows_itself
@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class TablePlan(Plan):
    """All that a table shows, with its places in points from the upper left corner.

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
    rows : tuple of Row
        Rows from top to bottom.
    axis : ShownAxis
        The axis of the panel.
    panel : Box
        Where the panel stands.
    pooled : tuple of float
        Pooled effects, for dashed lines, as shown.
    favours : tuple of tuple of str
        Lines of what a value left and right of the reference line favours.
    keys : tuple of Key
        Entries of the legend.
    legend_columns : int
        How many of them stand side by side.
    title_lines, note_lines : tuple of str
        Title and notes, broken into lines.
    summary : str
        What is seen, in words.
    """

    measure: Measure
    level: float
    columns: tuple[PlacedColumn, ...]
    heads: tuple[SpanningHead, ...]
    rows: tuple[Row, ...]
    axis: ShownAxis
    panel: Box
    pooled: tuple[float, ...]
    favours: tuple[tuple[str, ...], tuple[str, ...]]
    keys: tuple[Key, ...]
    legend_columns: int
    title_lines: tuple[str, ...]
    note_lines: tuple[str, ...]
    summary: str
    more: tuple[TablePlan, ...] = ()  # the pages after this one

    @property
    def has_axis(self) -> bool:
        """Whether the panel has an axis: one without any marks has none."""
        return any(row.marks for row in self.rows)

    def row(self, id: str) -> Row:
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
        """Return what the table shows, one line per mark (rows without any have one line too), as shown.

        Columns: id, kind, text, group, estimate, low, high, hollow, weight, how, what else the kind of figure
        has, and the text of every column.
        """
        import pandas as pd

        rows = [row for page in (self, *self.more) for row in page.rows]
        return pd.DataFrame([line for row in rows for line in self._records(row)])

    def _records(self, row: Row) -> list[dict[str, Any]]:
        text = " ".join((*row.text, *row.detail)).strip()
        cells = {f"cell_{c.key}": " ".join(row.cells.get(c.key, ())) for c in self.columns}
        marks: Iterable[Mark | None] = row.marks or (None,)
        return [
            {
                "id": row.id,
                "kind": row.kind,
                "text": text,
                "group": "" if mark is None else mark.name,
                "estimate": None if mark is None else mark.estimate,
                "low": None if mark is None else mark.low,
                "high": None if mark is None else mark.high,
                "hollow": mark is not None and mark.hollow,
                "weight": row.weight,
                "how": row.how,
                **row.extra,
                **cells,
            }
            for mark in marks
        ]

    def describe(self) -> str:
        """Return what is seen in a sentence or two."""
        rows = sum(row.kind in ("study", "cluster") for row in self.rows)
        pooled = [
            f"{' '.join(row.text)}: {' '.join(row.cells[ESTIMATE])}."
            for row in self.rows
            if row.kind == "total" and ESTIMATE in row.cells
        ]
        axis = f"Axis: {self.axis.label}." if self.axis.label else ""
        return " ".join(part for part in (self.summary, f"{plural(rows, 'row')}.", *pooled, axis) if part)

    def draw(self, ax: Axes | Figure | SubFigure | None = None) -> Axes:
        """Draw the table; see :meth:`metaexo.plots.Plan.draw`."""
        with self.theme.context():
            first = _Drawing(self, ax).draw()
            others = further_pages(self.more, TablePlan.draw)
        return remember(self, first, others)


class _Drawing:
    """Draws one plan into one frame."""

    def __init__(self, plan: TablePlan, ax: Axes | Figure | SubFigure | None) -> None:
        import matplotlib.pyplot as plt
        from matplotlib.axes import Axes
        from matplotlib.transforms import Affine2D, Bbox, ScaledTranslation

        self.plan, self.theme = plan, plan.theme
        if isinstance(ax, Axes):
            placed = ax.get_axes_locator()
            frame = placed.frame if hasattr(placed, "frame") else ax.get_position().frozen()
            self.ax, self.figure = ax, ax.figure
            if hasattr(placed, "empty"):
                placed.empty()
        else:
            self.figure = ax or plt.figure(figsize=(plan.width, plan.height), layout="none")
            self.figure.set_facecolor(self.theme.paper)
            frame = Bbox.unit()
            self.ax = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        whole = whole_figure(self.ax)
        to_pixels: Any = self.figure.transSubfigure
        corner = ScaledTranslation(frame.x0, frame.y1, to_pixels)
        points = Affine2D().translate(SHIFT, SHIFT).scale(1 / 72, -1 / 72)
        self.points: Transform = points + whole.dpi_scale_trans + corner
        self.place = _Place(self.ax, frame, plan.panel, self.points)
        self.ax.set_axes_locator(self.place)

    def draw(self) -> Axes:
        """Draw everything and return the Axes of the panel."""
        plan, ax = self.plan, self.ax
        before = set(self.place.artists())
        self._axis()
        self._stripes()
        self._around()
        for row in plan.rows:
            self._row(row)
        if plan.axis.reference is not None and plan.has_axis:
            self._upright(plan.axis.reference, color=self.theme.pale, linewidth=0.8, zorder=1)
        for value in plan.pooled:
            self._upright(value, color=self.theme.grey, linewidth=0.7, linestyle=DASHES["dashed"], zorder=1.1)
        self.place.table = [artist for artist in self.place.artists() if artist not in before]
        self._marks_and_again()
        return ax

    # -- the panel -----------------------------------------------------------------------------------------

    def _axis(self) -> None:
        """Make the Axes the panel, in the units that are shown."""
        from matplotlib.ticker import FixedLocator, NullLocator

        plan, ax, axis = self.plan, self.ax, self.plan.axis
        ax.set_aspect("auto")
        ax.set_xscale(axis.scale)
        ax.set_xlim(axis.low, axis.high)
        ax.set_ylim(plan.panel.bottom, plan.panel.top)
        ax.patch.set_visible(False)
        if not plan.has_axis:
            ax.set_axis_off()
        for side in ("left", "top", "right"):
            ax.spines[side].set_visible(False)
        ax.yaxis.set_visible(False)
        ticks = RoundTicks(axis.scale, self.theme.point)
        if axis.ticks is None:
            ticks.put_on(ax.xaxis)
        else:
            ax.xaxis.set_major_locator(FixedLocator(list(axis.ticks)))
            ax.xaxis.set_minor_locator(NullLocator())
            if axis.tick_labels is not None:
                ax.xaxis.set_ticks(list(axis.ticks), labels=list(axis.tick_labels))
            else:
                ticks.put_labels_on(ax.xaxis)
        ax.tick_params(axis="x", labelsize=self.theme.small, colors=self.theme.ink, length=3.0, pad=2.0)
        ax.spines["bottom"].set_color(self.theme.ink)
        if axis.label:
            lines = self.theme.wrap(axis.label, label_room(plan.panel, 72 * plan.width))
            ax.set_xlabel(
                "\n".join(lines),
                fontproperties=self.theme.font(axis.label),
                color=self.theme.ink,
                labelpad=2.0,
            )

    def _stripes(self) -> None:
        """Fill every second row of studies, behind the panel."""
        from matplotlib.collections import PolyCollection

        if not self.theme.stripe:
            return
        studies = [row for row in self.plan.rows if row.kind in ("study", "cluster")]
        left, right = MARGIN - 2.0, self.plan.width * 72 - MARGIN + 2.0
        areas = [
            [(left, y0), (right, y0), (right, y1), (left, y1)]
            for row in studies[1::2]
            for y0, y1 in [(row.y - row.height / 2, row.y + row.height / 2)]
        ]
        stripes = PolyCollection(areas, facecolors=self.theme.stripe, linewidths=0, zorder=-1)
        stripes.set_transform(self.points)
        self.figure.add_artist(stripes, clip=False)

    def _upright(self, value: float, **look: Any) -> None:
        """Draw a line from the top to the bottom of the panel, but not through texts that run over it."""
        plan = self.plan
        wide = [row for row in plan.rows if row.wide]
        if not any(end > plan.panel.left for row in wide for end in self._ends_of(row)):
            self.ax.axvline(value, **look)
            return
        crossed = [(row.y - row.height / 2, row.y + row.height / 2) for row in wide]
        edges = [plan.panel.top, *(y for pair in crossed for y in pair), plan.panel.bottom]
        pieces = [(y0, y1) for y0, y1 in zip(edges[::2], edges[1::2], strict=True) if y1 - y0 > SHORT]
        self.ax.vlines([value] * len(pieces), [y for y, _ in pieces], [y for _, y in pieces], **look)

    def _ends_of(self, row: Row) -> list[float]:
        """Return where the lines of the text of a row end."""
        bold, theme = row.kind in BOLD, self.theme
        widths = [theme.width(line, bold) for line in row.text]
        if row.beside:
            widths = [max(widths) + 6.0 + theme.width(line) for line in row.detail] or widths
        else:
            widths += [theme.width(line) for line in row.detail]
        return [MARGIN + row.indent + width for width in widths]

    # -- texts ---------------------------------------------------------------------------------------------

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        align: Align = "left",
        bold: bool = False,
        color: str = "",
        small: bool = False,
    ) -> None:
        """Write a line of text whose capitals are centred on y."""
        if not text:
            return
        theme, size = self.theme, self.theme.small if small else self.theme.size
        letters = theme.font(text, bold, size)
        drawn = one_line()(
            x,
            y + CAP_HEIGHT / 2 * size,
            text,
            fontproperties=letters,
            color=color or theme.ink,
            horizontalalignment=align,
            transform=self.points,
        )
        drawn.measured = (text, letters, text_width(text, size, bold, theme.fonts))
        self.figure.add_artist(drawn, clip=False)

    def _lines(self, x: float, y: float, lines: Sequence[str], align: Align = "left", **more: Any) -> None:
        """Write lines one below the other, the whole centred on y."""
        step = 1.22 * (self.theme.small if more.get("small") else self.theme.size)
        first = y - (len(lines) - 1) / 2 * step
        for i, line in enumerate(lines):
            self._text(x, first + i * step, line, align, **more)

    def _rules(self, ends: Iterable[tuple[float, float, float]], width: float, color: str) -> None:
        """Draw horizontal lines: left, right and height of each."""
        from matplotlib.collections import LineCollection

        lines = LineCollection([((x0, y), (x1, y)) for x0, x1, y in ends], linewidths=width, colors=color)
        lines.set_transform(self.points)
        self.figure.add_artist(lines, clip=False)

    def _around(self) -> None:
        """Write title, legend, headings, what each side favours, and notes."""
        plan, theme = self.plan, self.theme
        width = plan.width * 72
        for i, line in enumerate(plan.title_lines):
            self._text(MARGIN, MARGIN + (i + 0.5) * theme.line, line, bold=True)
        if plan.keys:
            y = MARGIN + (len(plan.title_lines) + 0.4 * bool(plan.title_lines)) * theme.line
            draw_keys(self.ax, plan.keys, theme, plan.legend_columns, (MARGIN, y), self.points)
        for head in plan.heads:
            for i, line in enumerate(reversed(head.title)):
                y = plan.panel.top - head.above - (i + 0.6) * theme.line
                self._text((head.left + head.right) / 2, y, line, "center", True)
        rules = [(head.left, head.right, plan.panel.top - head.above) for head in plan.heads]
        self._rules(rules, 0.5, theme.grey)
        for column in plan.columns:
            align, x = edge(column)
            for i, text in enumerate(reversed(column.title)):
                self._text(x, plan.panel.top - 4.0 - (i + 0.5) * theme.line, text, align, True)
        if theme.rules and plan.columns:
            self._rules([(MARGIN, width - MARGIN, plan.panel.top)], 0.8, theme.ink)
        rules = [(MARGIN, width - MARGIN, row.y) for row in plan.rows if row.kind == "rule"]
        if theme.rules and not theme.stripe:
            rules += [(MARGIN, width - MARGIN, row.y + row.height / 2) for row in plan.rows if row.ruled]
        self._rules(rules, 0.3, theme.pale)
        self._favours()
        first = plan.height * 72 - MARGIN - len(plan.note_lines) * 1.3 * theme.small
        for i, line in enumerate(plan.note_lines):
            self._text(MARGIN, first + (i + 0.5) * 1.3 * theme.small, line, color=theme.grey, small=True)

    def _favours(self) -> None:
        """Write what each side of the reference line favours, below the axis."""
        plan, theme = self.plan, self.theme
        panel, axis = plan.panel, plan.axis
        if not plan.has_axis:
            return
        x = between_sides(panel, axis)
        y = panel.bottom + below_axis(axis, label_room(panel, 72 * plan.width), theme)
        sides: tuple[tuple[float, Align], ...] = ((x - BESIDE, "right"), (x + BESIDE, "left"))
        for (place, align), lines in zip(sides, plan.favours, strict=True):
            for i, line in enumerate(lines):
                self._text(place, y + (i + 0.5) * theme.line, line, align)

    def _row(self, row: Row) -> None:
        """Write the texts of a row."""
        if row.kind in ("rule", "spacer"):
            return
        plan = self.plan
        if row.text:
            self._spanning(row)
        for column in plan.columns:
            lines = row.cells.get(column.key)
            if lines is None:
                continue
            bold = is_bold(row, column.key)
            if column.kind == "estimate":
                for x, piece in zip(column.edges, (lines[0], interval_of(lines)), strict=True):
                    self._text(x, row.y, piece, "right", bold)
            elif column.kind == "risk":
                self._risk(column, row.y, " ".join(lines))
            else:
                align, x = edge(column)
                self._lines(
                    x + (row.indent if column is plan.columns[0] else 0.0), row.y, lines, align, bold=bold
                )

    def _spanning(self, row: Row) -> None:
        theme = self.theme
        bold = row.kind in BOLD
        color = theme.grey if row.kind in ("note", "test") else theme.ink
        x = self.plan.columns[0].left + row.indent if self.plan.columns else MARGIN
        if row.beside:
            self._lines(x, row.y, row.text, bold=bold, color=color)
            widest = max(theme.width(line, bold) for line in row.text)
            self._lines(x + widest + 6.0, row.y, row.detail, color=theme.grey)
            return
        count = len(row.text) + len(row.detail)
        first = row.y - (count - 1) / 2 * theme.line
        for i, line in enumerate((*row.text, *row.detail)):
            own = i < len(row.text)
            self._text(x, first + i * theme.line, line, bold=bold and own, color=color if own else theme.grey)

    def _risk(self, column: PlacedColumn, y: float, word: str) -> None:
        """Draw a disc with the sign of a judgement; a hollow one where there is none of the known ones."""
        from matplotlib.lines import Line2D

        known = judgements() if column.tool is None else column.tool.spellings()
        judged = known.get(word.lower())
        color = self.theme.paper if judged is None or not judged.sign else judged.color
        x = (column.left + column.right) / 2
        disc = Line2D(
            [x],
            [y],
            marker="o",
            markersize=1.25 * self.theme.size,
            markerfacecolor=color,
            markeredgecolor=self.theme.edge(color),
            markeredgewidth=0.8,
            transform=self.points,
        )
        self.figure.add_artist(disc, clip=False)
        self._text(
            x, y, MISSING if judged is None else judged.sign, "center", True, self.theme.text_on(color)
        )

    # -- marks ---------------------------------------------------------------------------------------------

    def _marks_and_again(self) -> None:
        """Draw the marks, and draw them anew whenever the ends of the axis change."""
        ax = self.ax
        self.drawn = self.place.marks = self._marks()

        def moved(_: Axes) -> None:
            if not any(artist.axes is ax for artist in self.drawn):  # the Axes were cleared
                return
            for artist in self.drawn:
                artist.remove()
            with self.theme.context():
                self.drawn = self.place.marks = self._marks()

        ax.callbacks.connect("xlim_changed", moved)

    def _marks(self) -> list[Artist]:
        """Draw the marks of all rows for the ends that the axis has now; return the artists."""
        plan = self.plan
        axis = plan.axis.between(*sorted(self.ax.get_xlim()))
        rows: Iterable[Row] = plan.rows
        if axis != plan.axis:
            wide = plan.panel.right - plan.panel.left
            rows = (in_lanes(row, axis, wide, self.theme, row.height) for row in plan.rows)
        pairs: list[Placed] = [(row, mark, row.y + mark.lane) for row in rows for mark in row.marks]
        made: list[Artist] = []
        made += self._fills([(m, y) for _, m, y in pairs if m.shape == "fill"], axis)
        lines = [(r, m, y) for r, m, y in pairs if m.shape not in ("fill", "diamond")]
        made += self._intervals(lines, axis)
        made += self._brackets([(r, m, y) for r, m, y in lines if m.shape == "open"], axis)
        points = [
            (r, m, y)
            for r, m, y in pairs
            if m.shape not in ("fill", "bar", "open") and m.estimate is not None
        ]
        inside = [(r, m, y) for r, m, y in points if not axis.side_of(m.estimate)]
        dots = [(r, m, y) for r, m, y in inside if m.shape != "diamond" or m.low is None or m.high is None]
        made += self._dots(dots)
        diamonds = [(r, m, y) for r, m, y in inside if m.shape == "diamond" and None not in (m.low, m.high)]
        made += self._diamonds([one for one in diamonds if one[0].kind == "study"], axis, behind=True)
        made += self._diamonds([one for one in diamonds if one[0].kind != "study"], axis)
        made += self._at_the_edge([(r, m, y) for r, m, y in points if axis.side_of(m.estimate)], axis)
        return made

    def _color(self, row: Row, mark: Mark) -> str:
        if mark.color is not None:
            return self.theme.color(mark.color)
        if mark.shape == "diamond":
            return self.theme.pooled if row.kind == "total" else self.theme.subtotal
        if mark.shape == "bar":
            return self.theme.grey
        return self.theme.palette[1] if mark.shape == "open" else self.theme.study

    def _intervals(self, marks: Sequence[Placed], axis: ShownAxis) -> list[Artist]:
        """Draw the lines of intervals, with arrows where the axis cuts them."""
        ax = self.ax
        made: list[Artist] = []
        closed = [(r, _closed(m), y) for r, m, y in marks]
        found = [(r, m, y) for r, m, y in closed if m.low is not None and m.high is not None]
        whole = [(r, m, y) for r, m, y in found if not axis.misses(m.low, m.high)]
        kinds: list[tuple[float, Any, list[Placed]]] = [
            (1.0, "solid", [t for t in whole if t[1].shape not in ("bar", "open")]),
            (2.6, "solid", [t for t in whole if t[1].shape == "bar"]),
            (1.1, "solid", [t for t in whole if t[1].shape == "open" and not t[1].hollow]),
            (1.1, DASHES["dashed"], [t for t in whole if t[1].shape == "open" and t[1].hollow]),
        ]
        for width, dash, group in kinds:
            if group:
                made.append(
                    ax.hlines(
                        [y for *_, y in group],
                        [axis.within(m.low) for _, m, _ in group],
                        [axis.within(m.high) for _, m, _ in group],
                        colors=[self._color(r, m) for r, m, _ in group],
                        linewidths=width,
                        linestyles=dash,
                        zorder=2,
                        capstyle="butt",
                    )
                )
        for left in (True, False):
            cut = [
                (y, self._color(r, m))
                for r, m, y in found
                if axis.side_of(m.low if left else m.high) == ("left" if left else "right")
                or axis.misses(m.low, m.high) == ("left" if left else "right")
            ]
            made += self._arrows(cut, left)
        return made

    def _arrows(
        self, cut: Sequence[tuple[float, str]], left: bool, size: float = ARROW, outside: bool = False
    ) -> list[Artist]:
        """Draw heads of arrows with their tips, or their backs, at an edge of the panel."""
        from matplotlib.path import Path

        if not cut:
            return []
        sign_x = 1.0 if left else -1.0
        tip, back = (-2.0 * sign_x, 0.0) if outside else (0.0, 2.0 * sign_x)
        head = Path([(tip, 0), (back, 1.0), (back, -1.0), (tip, 0)], closed=True)
        colors = [color for _, color in cut]
        return [
            self.ax.scatter(
                [0.0 if left else 1.0] * len(cut),
                [y for y, _ in cut],
                s=(2 * size) ** 2,
                marker=head,
                facecolors=colors,
                edgecolors="none",
                transform=self.ax.get_yaxis_transform(),
                clip_on=False,
                zorder=2.1,
            )
        ]

    def _dots(self, marks: Sequence[Placed]) -> list[Artist]:
        """Draw the marks of estimates; those of one shape together."""
        made: list[Artist] = []
        for shape in dict.fromkeys(mark.shape for _, mark, _ in marks):
            group = [(r, m, y) for r, m, y in marks if m.shape == shape]
            colors = [self._color(r, m) for r, m, _ in group]
            fills = [self.theme.paper if m.hollow else c for (_, m, _), c in zip(group, colors, strict=True)]
            made.append(
                self.ax.scatter(
                    [m.estimate for _, m, _ in group],
                    [y for *_, y in group],
                    s=[m.size**2 for _, m, _ in group],
                    marker=MARKERS[shape],
                    facecolors=fills,
                    edgecolors=colors,
                    linewidths=1.0,
                    zorder=3,
                    clip_on=False,  # a value at the very edge is drawn whole
                )
            )
        return made

    def _diamonds(self, marks: Sequence[Placed], axis: ShownAxis, behind: bool = False) -> list[Artist]:
        """Draw diamonds from bound to bound; one that the axis cuts has a head as high as itself there."""
        from matplotlib.collections import PolyCollection

        if not marks:
            return []
        corners = [
            [
                (axis.near(m.low), y),
                (m.estimate, y - m.size / 2),
                (axis.near(m.high), y),
                (m.estimate, y + m.size / 2),
            ]
            for _, m, y in marks
        ]
        colors = [self._color(r, m) for r, m, _ in marks]
        fills = [self.theme.paper if m.hollow else c for (_, m, _), c in zip(marks, colors, strict=True)]
        widths = [0.9 if m.hollow else 0.5 for _, m, _ in marks]
        shapes = PolyCollection(
            corners, facecolors=fills, edgecolors=colors, linewidths=widths, zorder=1.5 if behind else 3
        )
        self.ax.add_collection(shapes, autolim=False)
        made: list[Artist] = [shapes]
        for left in (True, False):
            for (_, m, y), color in zip(marks, colors, strict=True):
                if axis.side_of(m.low if left else m.high):
                    made += self._arrows([(y, color)], left, m.size, outside=True)
        return made

    def _brackets(self, marks: Sequence[Placed], axis: ShownAxis) -> list[Artist]:
        """Draw round brackets at the finite ends of open intervals."""
        from matplotlib.path import Path

        made: list[Artist] = []
        turns = np.linspace(-1, 1, 9) * math.radians(62)
        depth = (1 - np.cos(turns)) / (1 - math.cos(math.radians(62)))
        for left in (True, False):
            ends = [(m.low if left else m.high, y, self._color(r, m)) for r, m, y in marks]
            seen = [
                (x, y, c) for x, y, c in ends if x is not None and math.isfinite(x) and not axis.side_of(x)
            ]
            if seen:
                arc = np.column_stack(
                    [(0.6 if left else -0.6) * depth, np.sin(turns) / math.sin(math.radians(62))]
                )
                made.append(
                    self.ax.scatter(
                        [x for x, *_ in seen],
                        [y for _, y, _ in seen],
                        s=7.2**2,
                        marker=Path(arc),
                        facecolors="none",
                        edgecolors=[c for *_, c in seen],
                        linewidths=1.1,
                        zorder=2.2,
                        clip_on=False,
                    )
                )
        return made

    def _fills(self, marks: Sequence[tuple[Any, float]], axis: ShownAxis) -> list[Artist]:
        """Draw bars from one value to another, those of which there is a whole on an empty bar."""
        found = [(m, y) for m, y in marks if m.low is not None and m.high is not None]
        tracks = [(replace(m, high=m.whole), y) for m, y in found if m.whole is not None]
        made = self._boxes(tracks, axis, self.theme.track, self.theme.pale) if tracks else []
        looks = [(m.hatch, m.hollow, self._fill_color(m)) for m, _ in found]
        for look in dict.fromkeys(looks):  # a collection has one colour of hatches
            group = [
                one for one, own in zip(found, looks, strict=True) if own == look and one[0].low < one[0].high
            ]
            hatch, hollow, color = look
            edge_color = color if hollow else self.theme.text_on(color) if hatch else self.theme.paper
            fill = self.theme.paper if hollow else color
            made += self._boxes(group, axis, fill, edge_color, hatch=hatch or None)
        return made + self._words_within(found, axis)

    def _fill_color(self, mark: Mark) -> str:
        return self.theme.study if mark.color is None else self.theme.color(mark.color)

    def _boxes(
        self, marks: Sequence[tuple[Any, float]], axis: ShownAxis, fills: Any, edges: Any, **more: Any
    ) -> list[Artist]:
        """Draw boxes from the lower to the upper end of each mark, as high as the mark."""
        from matplotlib.collections import PolyCollection

        areas = [
            [(x, y + side * m.size / 2) for x, side in zip((a, b, b, a), (-1, -1, 1, 1), strict=True)]
            for m, y in marks
            for a, b in [(axis.near(m.low), axis.near(m.high))]
        ]
        boxes = PolyCollection(areas, facecolors=fills, edgecolors=edges, linewidths=0.5, zorder=1.5, **more)
        self.ax.add_collection(boxes, autolim=False)
        return [boxes]

    def _words_within(self, marks: Sequence[tuple[Any, float]], axis: ShownAxis) -> list[Artist]:
        """Write the texts of bars within them, where there is room."""
        (first, last), panel = axis.places, self.plan.panel
        made: list[Artist] = []
        for m, y in marks:
            low, high = (axis.within(value) for value in (m.low, m.high))
            a, b = (to_place(axis.scale, value) for value in (low, high))
            room = (b - a) / (last - first) * (panel.right - panel.left)
            if not m.text or room < self.theme.width(m.text, size=self.theme.small) + 5.0:
                continue
            color = self.theme.paper if m.hollow else self._fill_color(m)
            made.append(
                self.ax.annotate(
                    m.text,
                    (from_place(axis.scale, (a + b) / 2), y),
                    ha="center",
                    va="center_baseline",
                    color=self.theme.text_on(color),
                    fontproperties=self.theme.font(m.text, size=self.theme.small),
                    zorder=1.7,
                    bbox={"facecolor": color, "edgecolor": "none", "pad": 1.0} if m.hatch else None,
                )
            )
        return made

    def _at_the_edge(self, marks: Sequence[Placed], axis: ShownAxis) -> list[Artist]:
        """Draw a hollow triangle at the edge for each estimate outside the axis, and its value beside it."""
        made: list[Artist] = []
        across = self.ax.get_yaxis_transform()
        for left in (True, False):
            side = "left" if left else "right"
            group = [(r, m, y) for r, m, y in marks if axis.side_of(m.estimate) == side]
            if not group:
                continue
            colors = [self._color(r, m) for r, m, _ in group]
            below = -math.inf  # the last one that has its value beside it
            made.append(
                self.ax.scatter(
                    [0.0 if left else 1.0] * len(group),
                    [y for *_, y in group],
                    s=EDGE_MARK**2,
                    marker="<" if left else ">",
                    facecolors=self.theme.paper,
                    edgecolors=colors,
                    linewidths=1.0,
                    transform=across,
                    clip_on=False,
                    zorder=3.1,
                )
            )
            for row, mark, y in sorted(group, key=lambda one: one[2]):
                words = mark.text or row.cells.get(ESTIMATE, ("",))[0]
                if not words or y - below < self.theme.small:
                    continue
                below = y
                made.append(
                    self.ax.annotate(
                        words,
                        (0.0 if left else 1.0, y),
                        (EDGE_WORDS if left else -EDGE_WORDS, 0),
                        across,
                        "offset points",
                        ha=side,
                        va="center_baseline",
                        color=self.theme.ink,
                        annotation_clip=False,
                        zorder=3.2,
                        fontproperties=self.theme.font(words, size=self.theme.small),
                        bbox={"facecolor": self.theme.paper, "edgecolor": "none", "pad": 0.5},
                    )
                )
        return made


def _closed(mark: Mark) -> Mark:
    """Return a mark whose interval has both ends if it has one; the estimate stands for the other."""
    if (mark.low is None) == (mark.high is None):
        return mark
    low, high = (mark.estimate if end is None else end for end in (mark.low, mark.high))
    return replace(mark, low=low, high=high)


def edge(column: PlacedColumn) -> tuple[Align, float]:
    """Return how a column is aligned, and at which place."""
    if column.kind == "text":
        return "left", column.left
    if column.kind == "risk":
        return "center", (column.left + column.right) / 2
    return "right", column.right


def interval_of(pieces: Sequence[str]) -> str:
    """Return the interval of an estimate in one text."""
    joint = "" if pieces[1].endswith(("-", "\N{EN DASH}", "\N{EM DASH}")) else " "
    return joint.join(piece for piece in pieces[1:] if piece)


def is_bold(row: Row, key: str) -> bool:
    """Return whether a cell is set in bold: pooled effects, and the names of clusters."""
    return row.kind in BOLD or (row.kind == "cluster" and key == "label")


def between_sides(panel: Box, axis: ShownAxis) -> float:
    """Return the place between what the left and the right side favour: the reference line, or near it."""
    at, (low, high) = 0.5, axis.places
    if axis.reference is not None:
        at = min(max((to_place(axis.scale, axis.reference) - low) / (high - low), 0.25), 0.75)
    return panel.left + at * (panel.right - panel.left)


def label_room(panel: Box, across: float) -> float:
    """Return how wide the name of an axis may be on a page of a width, centred below its panel."""
    centre = (panel.left + panel.right) / 2
    return min(2 * min(centre - MARGIN, across - MARGIN - centre), max(panel.right - panel.left, 220.0))


def below_axis(axis: ShownAxis, width: float, theme: Any) -> float:
    """Return the height of ticks and name of an axis of a width in points."""
    lines = theme.wrap(axis.label, width) if axis.label else ()
    return float(5.0 + 1.3 * theme.small + len(lines) * theme.line + 2.0)


@lru_cache(maxsize=1)
def one_line() -> Callable[..., Any]:
    """Return the class of the texts of a table; it is made when needed, as matplotlib loads slowly."""
    from matplotlib.text import Text

    class OneLine(Text):
        """A line of text whose width is known, which matplotlib need not lay out to draw it."""

        measured: tuple[str, Any, float] = ("", None, 0.0)

        def __reduce__(self) -> tuple[Any, ...]:
            return _empty_line, (), self.__getstate__()

        def draw(self, renderer: Any) -> None:
            """Draw the text at once where it is as plain as it was made; otherwise as any other text."""
            *known, width = self.measured
            plain = (
                [self.get_text(), self.get_fontproperties()] == known
                and self.get_rotation() == 0
                and self.get_bbox_patch() is None
                and not self.get_path_effects()
                and not self.get_wrap()
                and self.get_verticalalignment() == "baseline"
            )
            if not plain:
                super().draw(renderer)
                return
            if not self.get_visible() or not self.get_text():
                return
            x, y = self.get_transform().transform(self.get_unitless_position())
            share = {"left": 0.0, "center": 0.5, "right": 1.0}[str(self.get_horizontalalignment())]
            x -= share * renderer.points_to_pixels(width)  # text in an SVG is aligned by its reader
            if renderer.flipy():
                y = renderer.get_canvas_width_height()[1] - y
            gc = renderer.new_gc()
            gc.set_foreground(self.get_color())
            gc.set_alpha(self.get_alpha())
            gc.set_url(self.get_url())
            letters = self.get_fontproperties()
            renderer.draw_text(gc, x, y, self.get_text(), letters, 0.0, ismath=False, mtext=self)
            gc.restore()
            self.stale = False

    return OneLine


def _empty_line() -> Any:
    """Return such a text without words, so that a figure with tables can be pickled."""
    return one_line()()


@dataclass(slots=True, eq=False)
class _Place:
    """Keeps the Axes where the panel is: a layout that moved them would part marks from their names."""

    axes: Axes
    frame: Bbox
    panel: Box
    points: Transform
    table: list[Artist] = field(default_factory=list)
    marks: list[Artist] = field(default_factory=list)

    def artists(self) -> list[Artist]:
        """Return what stands in the Axes, and in their figure beside the Axes."""
        return [*self.axes.get_children(), *self.axes.figure.artists]

    def empty(self) -> None:
        """Remove a table that was drawn here before: two of them could not be read."""
        there = set(self.artists())
        for artist in (*self.table, *self.marks):
            if artist in there:
                artist.remove()

    def __call__(self, ax: Any, renderer: object) -> Bbox:
        """Return where the Axes stand, in fractions of the figure."""
        from matplotlib.transforms import Bbox

        corners = [(self.panel.left, self.panel.bottom), (self.panel.right, self.panel.top)]
        placed = (self.points - ax.figure.transSubfigure).transform(corners)
        return Bbox(placed)

    def get_subplotspec(self) -> SubplotSpec | None:
        """Return the cell of the grid that the Axes came from, for matplotlib's layouts."""
        return self.axes.get_subplotspec()
