"""A page: texts, lines, areas and dots at places in points, before any canvas exists.

Every figure ends as a page. Places are counted in points (1/72 inch) from the upper left corner, and they
are rounded to a hundredth of a point, so that the last digits of a computation, which differ between
machines, never change a figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from metaexo.plots.canvas.fonts import (
    ASCENT,
    CAP_HEIGHT,
    DESCENT,
    INK,
    LINE_HEIGHT,
    MARGIN,
    NO_LETTER,
    SMALL_SIZE,
    TEXT_SIZE,
    letters_of_no_font,
    plain,
    text_width,
)

NO_FONT = f"{NO_LETTER}: letters that no installed font has; a font such as Noto Sans CJK has them."

Align = Literal["left", "center", "right"]
Point = tuple[float, float]
Ticks = tuple[tuple[float, str], ...]


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


def text_box(text: Text) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a text in points."""
    width = text_width(text.text, text.size, text.bold)
    before = {"left": 0.0, "center": width / 2, "right": width}[text.align]
    above, below = ASCENT * text.size, DESCENT * text.size
    if text.upright:
        low = text.y + before
        return text.x - above, low - width, text.x + below, low
    left = text.x - before
    return left, text.y - above, left + width, text.y + below


def clashes(page: Page, tolerance: float = 0.01) -> list[tuple[str, str]]:
    """Return the pairs of texts of a page that overlap, and those that leave the page."""
    boxes = [(text.text, text_box(text)) for text in page.texts]
    found = overlapping(boxes, tolerance)
    found += [
        (name, "leaves the page")
        for name, (left, top, right, bottom) in boxes
        if left < -tolerance
        or top < -tolerance
        or right > page.width + tolerance
        or bottom > page.height + tolerance
    ]
    return found


Box = tuple[float, float, float, float]


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
