"""A page: texts, lines, areas and dots at places in points, and what is made of them around every panel.

Every figure ends as a page. Places are counted in points (1/72 inch) from the upper left corner, and they
are rounded to a hundredth of a point, so that the last digits of a computation, which differ between
machines, never change a figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from metaexo.plots.canvas.fonts import (
    CAP_HEIGHT,
    GREY,
    INK,
    LINE_HEIGHT,
    MARGIN,
    NO_LETTER,
    SMALL_SIZE,
    TEXT_SIZE,
    WHITE,
    letters_of_no_font,
    plain,
    text_width,
    wrap_to_width,
)
from metaexo.plots.canvas.scale import Axis

NO_FONT = f"{NO_LETTER}: letters that no installed font has; a font such as Noto Sans CJK has them."

KEY_WIDTH = 14.0
KEY_GAP = 5.0
COLUMN_GAP = 12.0
EDGE_LETTERS = 7.0
TICK_HEIGHT = 5.0 + 1.3 * SMALL_SIZE

Align = Literal["left", "center", "right"]
Point = tuple[float, float]
Ticks = tuple[tuple[float, str], ...]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; `y` is its baseline.

    An upright text reads from below to above: `x` is its baseline, and `y` is where it is aligned.
    """

    x: float
    y: float
    text: str
    size: float = TEXT_SIZE
    bold: bool = False
    color: str = INK
    align: Align = "left"
    upright: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points; `dash` gives lengths of ink and gap in points."""

    points: tuple[Point, ...]
    width: float = 0.8
    color: str = INK
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Area:
    """A filled polygon; the lines of a hatch (matplotlib's letters) have the colour of the edge."""

    points: tuple[Point, ...]
    fill: str
    edge: str | None = None
    width: float = 0.8
    hatch: str = ""


@dataclass(frozen=True, slots=True)
class Dot:
    """A mark of one shape; `size` is its side or diameter in points."""

    x: float
    y: float
    shape: str
    size: float
    fill: str
    edge: str
    width: float = 0.8


Item = Text | Line | Area | Dot


@dataclass(frozen=True, slots=True)
class Panel:
    """The part of a page that holds data: its edges in points, and the values at these edges."""

    left: float
    right: float
    top: float
    bottom: float
    x_low: float
    x_high: float
    y_top: float
    y_bottom: float
    log: bool = False  # whether the horizontal values are logarithms of what is shown

    def x(self, value: float) -> float:
        """Return the place of a value on the horizontal axis, in points."""
        return self.left + (value - self.x_low) / (self.x_high - self.x_low) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Return the place of a value on the vertical axis, in points from the top."""
        return self.top + (value - self.y_top) / (self.y_bottom - self.y_top) * (self.bottom - self.top)

    def value_at(self, x: float, y: float) -> Point:
        """Return the values at a place."""
        across = (x - self.left) / (self.right - self.left)
        down = (y - self.top) / (self.bottom - self.top)
        return (
            self.x_low + across * (self.x_high - self.x_low),
            self.y_top + down * (self.y_bottom - self.y_top),
        )


@dataclass(frozen=True, slots=True)
class Page:
    """What a canvas needs to draw: size in points, items from back to front, the panel and its ticks.

    Ticks are values and labels as shown, below the panel and at its left side; without them there is no axis.
    """

    width: float
    height: float
    items: tuple[Item, ...]
    panel: Panel
    ticks: Ticks = ()
    side_ticks: Ticks = ()

    @property
    def texts(self) -> tuple[Text, ...]:
        """The texts of the page."""
        return tuple(item for item in self.items if isinstance(item, Text))


def snap(value: float) -> float:
    """Round to a hundredth of a point, in two steps: noise in the last digits cannot turn a tie."""
    return round(round(float(value), 6), 2)


def make_page(
    width: float,
    height: float,
    items: Iterable[Item],
    panel: Panel,
    ticks: Ticks = (),
    side_ticks: Ticks = (),
) -> Page:
    """Return a page whose items stand at rounded places.

    Letters that no installed font has are replaced, and a line below says so.
    """
    found = [_snapped(item) for item in items]
    texts = [(i, item) for i, item in enumerate(found) if isinstance(item, Text)]
    lacking = {i: letters_of_no_font(item.text, item.bold) for i, item in texts}
    for i, item in texts:
        if lacking[i]:
            shown = "".join(NO_LETTER if letter in lacking[i] else letter for letter in item.text)
            found[i] = replace(item, text=shown)
    if any(lacking.values()):
        found.append(Text(MARGIN, snap(height - 0.6 * MARGIN + SMALL_SIZE), NO_FONT, SMALL_SIZE))
        height += 1.3 * SMALL_SIZE
    return Page(snap(width), snap(height), tuple(found), panel, ticks, side_ticks)


def inside(item: Item, panel: Panel) -> bool:
    """Return whether an item stands within the panel, and so moves with the data."""
    points = item.points if isinstance(item, Line | Area) else ((item.x, item.y),)
    near = 0.5
    return all(
        panel.left - near <= x <= panel.right + near and panel.top - near <= y <= panel.bottom + near
        for x, y in points
    )


def _snapped(item: Item) -> Item:
    if isinstance(item, Line | Area):
        return replace(item, points=tuple((snap(x), snap(y)) for x, y in item.points))
    if isinstance(item, Dot):
        return replace(item, x=snap(item.x), y=snap(item.y), size=snap(item.size))
    return replace(item, x=snap(item.x), y=snap(item.y), text=plain(item.text))


def middle(y: float, size: float = TEXT_SIZE) -> float:
    """Return the baseline of a text whose capitals are to be centred on `y`."""
    return y + CAP_HEIGHT / 2 * size


def lines_of_text(
    x: float,
    y: float,
    lines: tuple[str, ...],
    line_height: float = LINE_HEIGHT,
    *,
    size: float = TEXT_SIZE,
    bold: bool = False,
    color: str = INK,
    align: Align = "left",
) -> list[Text]:
    """Return texts one below the other, the whole centred on `y`."""
    first = y - (len(lines) - 1) / 2 * line_height
    return [
        Text(x, middle(first + i * line_height, size), line, size, bold, color, align)
        for i, line in enumerate(lines)
        if line
    ]


def rectangle(
    left: float,
    top: float,
    right: float,
    bottom: float,
    fill: str,
    edge: str | None = None,
    width: float = 0.8,
    hatch: str = "",
) -> Area:
    """Return a filled rectangle."""
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return Area(corners, fill, edge, width, hatch)


def arrow(x: float, y: float, left: bool, size: float, color: str) -> Area:
    """Return the head of an arrow with its tip at a place."""
    back = x + (size if left else -size)
    return Area(((x, y), (back, y - size / 2), (back, y + size / 2)), color)


def cut_polygon(corners: Sequence[Point], edge: float, keep_above: bool) -> list[Point]:
    """Return the part of a polygon on one side of a vertical edge."""
    kept: list[Point] = []
    for i, (x, y) in enumerate(corners):
        x0, y0 = corners[i - 1]
        inside, before = (x >= edge, x0 >= edge) if keep_above else (x <= edge, x0 <= edge)
        if inside != before:
            share = (edge - x0) / (x - x0)
            kept.append((edge, y0 + share * (y - y0)))
        if inside:
            kept.append((x, y))
    return kept


def overlapping(boxes: Sequence[tuple[str, Box]], tolerance: float) -> list[tuple[str, str]]:
    """Return the pairs of named boxes that overlap by more than a tolerance, in the order of the boxes.

    Boxes are looked at from the lowest second coordinate to the highest, so that only those of about one
    height are compared.
    """
    found: list[tuple[int, int]] = []
    near: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: boxes[i][1][1]):
        left, low, right, high = boxes[i][1]
        near = [j for j in near if low + tolerance < boxes[j][1][3]]
        found += [
            (min(i, j), max(i, j))
            for j in near
            if left + tolerance < boxes[j][1][2]
            and boxes[j][1][0] + tolerance < right
            and boxes[j][1][1] + tolerance < high
        ]
        near.append(i)
    return [(boxes[i][0], boxes[j][0]) for i, j in sorted(found)]


def ticks_of(axis: Axis) -> Ticks:
    """Return the ticks of an axis as shown: values and labels."""
    return tuple((math.exp(t.value) if axis.log else t.value, t.label) for t in axis.ticks)


def axis_label(
    axis: Axis, panel: Panel, y: float, size: float = TEXT_SIZE, line: float = LINE_HEIGHT
) -> list[Item]:
    """Return the name of the scale, below the ticks of an axis at y."""
    items: list[Item] = []
    y += TICK_HEIGHT
    centre = (panel.left + panel.right) / 2
    for i, text in enumerate(wrap_to_width(axis.label, panel.right - panel.left, size)):
        items.append(Text(centre, y + (i + 0.9) * line, text, size, align="center"))
    return items


def axis_height(axis: Axis, width: float, more: float = 0.6) -> float:
    """Return the height of ticks and name of an axis of a width, with as many lines `more` of room."""
    return TICK_HEIGHT + (len(wrap_to_width(axis.label, width)) + more) * LINE_HEIGHT


def panel_of(axis: Axis, left: float, right: float, top: float, bottom: float) -> Panel:
    """Return the panel of an axis whose vertical places are points of the page."""
    top, bottom = snap(top), snap(bottom)
    return Panel(snap(left), snap(right), top, bottom, axis.low, axis.high, top, bottom, axis.log)


def upright_line(
    axis: Axis, panel: Panel, place: float | None, width: float, color: str, dash: tuple[float, ...] = ()
) -> list[Item]:
    """Return a line from top to bottom of a panel at a place of its axis; none if the axis ends before it."""
    if place is None or not axis.low <= place <= axis.high:
        return []
    x = panel.x(place)
    return [Line(((x, panel.top), (x, panel.bottom)), width, color, dash)]


def mark_at_the_edge(panel: Panel, left: bool, y: float, size: float, color: str, width: float = 0.9) -> Dot:
    """Return the hollow triangle of a value that lies outside the axis."""
    x = panel.left + size / 2 if left else panel.right - size / 2
    return Dot(x, y, "left" if left else "right", size, WHITE, color, width)


def value_at_the_edge(panel: Panel, left: bool, y: float, mark: float, text: str, color: str) -> Text:
    """Return the value beside the mark, of a size, of what lies outside the axis."""
    align: Align = "left" if left else "right"
    x = panel.left + (mark + 2.0) if left else panel.right - (mark + 2.0)
    return Text(x, middle(y, EDGE_LETTERS), text, EDGE_LETTERS, color=color, align=align)


def text_columns(
    titles: Sequence[str], texts: Sequence[Sequence[str]], x: float
) -> tuple[tuple[str, float], ...]:
    """Return headings and right edges of columns of texts that begin at x; one without texts is left out."""
    columns: list[tuple[str, float]] = []
    for title, cells in zip(titles, texts, strict=True):
        if cells:
            widths = [text_width(title, bold=True), *(text_width(cell) for cell in cells)]
            x += COLUMN_GAP + math.ceil(max(widths))
            columns.append((title, x))
    return tuple(columns)


def column_headings(columns: Sequence[tuple[str, float]], panel: Panel) -> list[Item]:
    """Return the headings of columns of texts beside a panel."""
    return [Text(x, panel.top - 4.5, title, bold=True, align="right") for title, x in columns]


def title_lines(title: str, width: float, size: float = TEXT_SIZE) -> tuple[str, ...]:
    """Return the lines of a title on a page of a width in points."""
    return wrap_to_width(title, width - 2 * MARGIN, size, bold=True) if title else ()


def title_height(lines: Sequence[str], line: float = LINE_HEIGHT) -> float:
    """Return the room that a title takes."""
    return (len(lines) + 0.5) * line if lines else 0.0


def title_items(lines: Sequence[str], size: float = TEXT_SIZE, line: float = LINE_HEIGHT) -> list[Item]:
    """Return a title at the upper left corner."""
    return [Text(MARGIN, MARGIN + (i + 0.8) * line, text, size, True) for i, text in enumerate(lines)]


def note_lines(notes: Sequence[str], width: float) -> tuple[str, ...]:
    """Return the lines of notes on a page of a width in points."""
    return tuple(part for note in notes for part in wrap_to_width(note, width - 2 * MARGIN, SMALL_SIZE))


def notes_height(lines: Sequence[str]) -> float:
    """Return the room that notes take, with the lower margin."""
    return len(lines) * 1.3 * SMALL_SIZE + 0.6 * MARGIN


def note_items(lines: Sequence[str], height: float) -> list[Item]:
    """Return notes at the lower left corner of a page of a height in points."""
    first = height - notes_height(lines)
    return [
        Text(MARGIN, first + (i * 1.3 + 1.0) * SMALL_SIZE, text, SMALL_SIZE, color=GREY)
        for i, text in enumerate(lines)
    ]


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a legend: its words, and a sign, which is a dot, an area, a line, or nothing."""

    label: str
    color: str = INK
    shape: str = ""  # of a dot; "area", "line", or "" for words alone
    hollow: bool = False
    dash: tuple[float, ...] = ()
    hatch: str = ""


def legend_width(keys: Sequence[Key]) -> float:
    """Return the width of a legend beside a panel in points."""
    lines = [line for key in keys for line in _lines(key)]
    return KEY_WIDTH + KEY_GAP + max((text_width(line, bold=True) for line in lines), default=0.0)


def legend_height(keys: Sequence[Key]) -> float:
    """Return the height of a legend beside a panel in points."""
    return sum(len(_lines(key)) + 0.35 for key in keys) * LINE_HEIGHT


def legend_items(keys: Sequence[Key], x: float, y: float) -> list[Item]:
    """Return a legend whose upper left corner stands at x, y, one key below the other."""
    items: list[Item] = []
    for key in keys:
        centre = y + LINE_HEIGHT / 2
        items += _sign(key, x + KEY_WIDTH / 2, centre)
        left = x + KEY_WIDTH + KEY_GAP if key.shape else x
        for i, text in enumerate(_lines(key)):
            items.append(Text(left, middle(centre + i * LINE_HEIGHT), text, bold=not key.shape))
        y += (len(_lines(key)) + 0.35) * LINE_HEIGHT
    return items


def legend_rows(keys: Sequence[Key], width: float) -> tuple[tuple[Key, ...], ...]:
    """Return a legend in rows, as many keys side by side as a page of a width in points holds."""
    rows: list[list[Key]] = []
    x = width
    for key in keys:
        if x + _key_width(key) > width - MARGIN:
            rows.append([])
            x = MARGIN
        rows[-1].append(key)
        x += _key_width(key) + KEY_WIDTH
    return tuple(tuple(row) for row in rows)


def legend_rows_height(rows: Sequence[Sequence[Key]]) -> float:
    """Return the height of a legend in rows."""
    return (len(rows) + 0.5) * LINE_HEIGHT if rows else 0.0


def legend_rows_items(rows: Sequence[Sequence[Key]], y: float) -> list[Item]:
    """Return a legend in rows that begins at y."""
    items: list[Item] = []
    for i, row in enumerate(rows):
        x, centre = MARGIN, y + (i + 0.5) * LINE_HEIGHT
        for key in row:
            items += _sign(key, x + KEY_WIDTH / 2, centre)
            items.append(Text(x + KEY_WIDTH + KEY_GAP, middle(centre), key.label))
            x += _key_width(key) + KEY_WIDTH
    return items


def _key_width(key: Key) -> float:
    return KEY_WIDTH + KEY_GAP + text_width(key.label)


def _lines(key: Key) -> tuple[str, ...]:
    return wrap_to_width(key.label, 170.0)


def _sign(key: Key, x: float, y: float) -> list[Item]:
    half = KEY_WIDTH / 2
    if key.shape == "area":
        place = (x - half, y - 4, x + half, y + 4)
        patch = [rectangle(*place, key.color, WHITE, 0.3, key.hatch)] if key.hatch else []
        return [*patch, rectangle(*place, "none" if key.hatch else key.color, INK, 0.3)]
    if key.shape == "line":
        return [Line(((x - half, y), (x + half, y)), 0.9, key.color, key.dash)]
    if key.shape:
        fill = WHITE if key.hollow else key.color
        return [Dot(x, y, key.shape, 6.0, fill, key.color, 0.9)]
    return []
