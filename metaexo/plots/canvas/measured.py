"""Figures whose texts decide where things stand: the room between title and notes, and legends in rows.

Places are points (1/72 inch) from the upper left corner of the figure, or of the part of it that was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from metaexo.errors import InputError
from metaexo.plots.canvas.fonts import HINTED, NO_FONT, NO_LETTER, plain
from metaexo.plots.canvas.plan import Plan, in_lines, size_of
from metaexo.plots.canvas.theme import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

Box = tuple[float, float, float, float]
MARGIN = 4.0


@dataclass(frozen=True, slots=True)
class Room:
    """A part of a figure in points: its edges, and the figure's own size."""

    left: float
    top: float
    right: float
    bottom: float
    figure: tuple[float, float]

    @property
    def width(self) -> float:
        """Width in points."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Height in points."""
        return self.bottom - self.top

    def position(self, left: float, top: float, right: float, bottom: float) -> Box:
        """Return the position of Axes between these edges, as matplotlib counts it."""
        wide, high = self.figure
        return left / wide, 1 - bottom / high, (right - left) / wide, (bottom - top) / high


def open_axes(plan: Plan, ax: Axes | Figure | SubFigure | None) -> tuple[Axes, Room]:
    """Return Axes for a plan, and the room between its title and its notes, which are drawn.

    In Axes of the user's the room is what they took, and notes are not drawn.
    """
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes

    if ax is None:
        ax = plt.figure(figsize=(plan.width, plan.height), layout="none")
    figure = ax.figure if isinstance(ax, Axes) else ax
    wide, high = (72 * side for side in size_of(figure))
    whole = not isinstance(ax, Axes)
    if not isinstance(ax, Axes):
        figure.set_facecolor(plan.theme.paper)
        one = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        room = Room(MARGIN, MARGIN, wide - MARGIN, high - MARGIN, (wide, high))
    else:
        one, placed = ax, ax.get_axes_locator()
        box = placed.frame if hasattr(placed, "frame") else one.get_position().frozen()
        if hasattr(placed, "empty"):
            placed.empty()
            one.clear()
            one.yaxis.set_visible(True)
        room = Room(box.x0 * wide, (1 - box.y1) * high, box.x1 * wide, (1 - box.y0) * high, (wide, high))
    theme = plan.theme
    before = set(figure.texts)
    titles, notes = _around(plan, room.width)
    line, small = theme.line, 1.22 * theme.small
    for i, text in enumerate(titles):
        _write(figure, room, room.left, room.top + (i + 0.5) * line, text, theme, bold=True)
    first = room.bottom - len(notes) * small
    for i, text in enumerate(notes if whole else ()):
        _write(figure, room, room.left, first + (i + 0.5) * small, text, theme)
    if not whole:
        one.set_axes_locator(_Held(one, box, [text for text in figure.texts if text not in before]))
    top = room.top + title_height(titles, theme)
    bottom = room.bottom - (notes_height(notes, theme) if whole else 0.0)
    return one, replace(room, top=top, bottom=bottom)


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """Says which part of a figure Axes of the user's had before a plan was drawn into them."""

    axes: Axes
    frame: Bbox
    texts: list[Text]

    def empty(self) -> None:
        """Remove a plan that was drawn here before: two of them could not be read."""
        for text in self.texts:
            if text in self.axes.figure.texts:
                text.remove()
        self.axes.clear()
        self.axes.set_frame_on(True)

    def __call__(self, ax: Any, renderer: object) -> Bbox:
        """Return where the Axes stand, in fractions of the figure."""
        return self.axes.get_position()


def _around(plan: Plan, width: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return title and notes in lines for a width in points, and a note on letters that no font has."""
    lacking = any(NO_LETTER in plain(text) for text in (plan.title, *plan.notes, *plan.texts))
    notes = (*plan.notes, NO_FONT) if lacking else plan.notes
    return in_lines(plan.title, notes, width / HINTED, plan.theme)


def title_height(lines: Sequence[str], theme: Theme) -> float:
    """Return the room that a title takes, in points."""
    return (len(lines) + 0.4) * theme.line if lines else 0.0


def notes_height(lines: Sequence[str], theme: Theme) -> float:
    """Return the room that notes take, in points."""
    return (len(lines) + 0.5) * 1.22 * theme.small if lines else 0.0


def needed_height(plan: Plan, body: float) -> float:
    """Return the height in inches of a figure whose panel needs `body` points."""
    titles, notes = _around(plan, 72 * plan.width - 2 * MARGIN)
    more = title_height(titles, plan.theme) + notes_height(notes, plan.theme)
    return (body + more + 2 * MARGIN) / 72


def too_small(plan: Plan, room: Room) -> InputError:
    """Return that a place is too small for a figure."""
    return InputError(
        f"a place of {room.width / 72:.1f} by {room.height / 72:.1f} inches",
        f"{plan.width:.1f} by {plan.height:.1f} inches, for letters of {plan.theme.small:g} points",
        "make the figure larger, or leave ax= and height= out",
    )


def _write(
    figure: Figure | SubFigure, room: Room, x: float, y: float, text: str, theme: Theme, bold: bool = False
) -> None:
    """Write a line of text at a place, centred on y."""
    wide, high = room.figure
    figure.text(
        x / wide, 1 - y / high, plain(text), ha="left", va="center", color=theme.ink if bold else theme.grey,
        fontproperties=theme.font(text, bold, None if bold else theme.small),
    )  # fmt: skip


def write(
    ax: Axes,
    text: str,
    at: tuple[float, float],
    offset: tuple[float, float],
    theme: Theme,
    *,
    ha: Literal["left", "center", "right"] = "left",
    va: Literal["center", "top", "bottom"] = "center",
    bold: bool = False,
    turn: float = 0.0,
    color: str = "",
    inside: bool = False,
    **more: Any,
) -> None:
    """Write a small text some points right of and above a place of Axes, and `inside` them or beside them.

    Its lines are centred on each other. Nothing is written where there is no text.
    """
    if not text:
        return
    ax.annotate(
        "\n".join(map(plain, text.splitlines())), at, offset, "data", "offset points", ha=ha,
        va="center_baseline" if va == "center" and "\n" not in text else va, color=color or theme.ink,
        fontproperties=theme.font(text, bold, theme.small), annotation_clip=None if inside else False,
        multialignment="center", rotation=turn, zorder=3, **more,
    )  # fmt: skip
