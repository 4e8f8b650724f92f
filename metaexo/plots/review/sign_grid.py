"""Grids of signs: studies by domains or items, with a coloured mark and a sign in each cell.

The traffic lights of risk of bias and the map of what studies report only write rows, columns and cells.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import plural
from metaexo.plots.canvas.chart import MARKERS
from metaexo.plots.canvas.fonts import HINTED, contrast, plain
from metaexo.plots.canvas.measured import MARGIN, beside, in_rows, needed_height, open_axes, too_small
from metaexo.plots.canvas.plan import Plan, further_pages, remember
from metaexo.plots.canvas.theme import Theme

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MOST_ROWS = 200
GAP, SIGN = 5.0, 1.6  # points beside the cells; size of a mark over that of its letters
LABEL_SHARE, HEADING = 0.42, 110.0  # most of the width for names of rows; most points for an upright heading


@dataclass(frozen=True, slots=True)
class Level:
    """What a cell may say: its word, its name in the legend, its sign and its colour; hollow has no fill."""

    word: str
    label: str
    sign: str
    color: str
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Beside:
    """Texts at the right of the rows, or below the columns, with their heading."""

    heading: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignGrid(Plan):
    """What a grid of signs shows.

    Attributes
    ----------
    rows, columns : tuple of str
        Names of the rows from top to bottom, and of the columns from left to right.
    cells : tuple of tuple of str
        Word of each cell, one tuple per row.
    levels : tuple of Level
        Words that occur, with their signs and colours.
    names : tuple of str
        What rows, columns and cells are, for example ("study", "domain", "judgement").
    headings : tuple of str
        What stands above the columns.
    upright : bool
        Whether the headings stand upright.
    parted : bool
        Whether the last column stands apart, as that of the whole.
    after, below : Beside or None
        Texts at the right of the rows and below the columns.
    shape : {"circle", "square"}
        Mark of the cells.
    more : tuple of SignGrid
        The pages after this one.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    levels: tuple[Level, ...]
    names: tuple[str, str, str]
    headings: tuple[str, ...]
    upright: bool = False
    parted: bool = False
    after: Beside | None = None
    below: Beside | None = None
    shape: Literal["circle", "square"] = "circle"
    more: tuple[SignGrid, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return the cells as a long table: row, column, word and sign."""
        import pandas as pd

        signs = {level.word: level.sign for level in self.levels}
        found = [
            (row, column, word, signs[word])
            for page in (self, *self.more)
            for row, words in zip(page.rows, page.cells, strict=True)
            for column, word in zip(self.columns, words, strict=True)
        ]
        return pd.DataFrame(found, columns=[*self.names, "sign"])

    def describe(self) -> str:
        """Return what is seen in a sentence or two."""
        pages = (self, *self.more)
        tally = Counter(word for page in pages for words in page.cells for word in words)
        told = ", ".join(f"{level.label.casefold()} {tally[level.word]}" for level in self.levels)
        many = "studies" if self.names[0] == "study" else None
        rows = plural(sum(len(page.rows) for page in pages), self.names[0], many)
        return f"{rows} by {plural(len(self.columns), self.names[1])}: {told}."

    @property
    def places(self) -> tuple[float, ...]:
        """Where the columns have their middle, in columns."""
        apart = len(self.columns) - 1 if self.parted else len(self.columns)
        return tuple(j + (0.3 if j >= apart else 0.0) for j in range(len(self.columns)))

    def draw(self, ax: Axes | Figure | SubFigure | None = None) -> Axes:
        """Draw the grid; see :meth:`metaexo.plots.Plan.draw`."""
        others = further_pages(self.more, lambda page: page._draw(None))
        return remember(self, self._draw(ax), others)

    def _draw(self, ax: Axes | Figure | SubFigure | None) -> Axes:
        """Draw one page."""
        with self.theme.context():
            one, room = open_axes(self, ax)
            sides = _sides(self, room.width)
            high = room.height - sides.top - sides.bottom
            least = sides.row if ax is None else 1.15 * self.theme.small
            if high < 0.99 * least * len(self.rows) or room.width - sides.left - sides.right < 20.0:
                raise too_small(self, room)
            one.set_position(
                room.position(
                    room.left + sides.left,
                    room.top + sides.top,
                    room.right - sides.right,
                    room.bottom - sides.bottom,
                )
            )
            _draw_cells(one, self)
            _draw_around(one, self, sides, -sides.left)
        return one


@dataclass(frozen=True, slots=True)
class _Below:
    """Texts below the columns as they are drawn: across, or upright where the columns are too narrow."""

    texts: tuple[str, ...]
    upright: bool


@dataclass(frozen=True, slots=True)
class _Sides:
    """Points that stand on each side of the cells, the height of a row, and what was wrapped for it."""

    left: float
    top: float
    right: float
    bottom: float
    row: float
    labels: tuple[str, ...]
    headings: tuple[str, ...]
    below: _Below
    deep: float
    keys: tuple[float, ...]
    legend: list[list[int]]


def closed(plan: SignGrid, height: float | None, pages: bool | int = False) -> SignGrid:
    """Return a plan with the height it needs, or the one asked for; refuse more rows than can be read.

    `pages`: most rows on a page; True is 40. Texts below the columns stand on the last one.
    """
    most = 40 if pages is True else int(pages) or len(plan.rows)
    if most > MOST_ROWS:
        raise InputError(
            f"{most} rows in one figure",
            f"at most {MOST_ROWS}, so that their names can be read",
            "write pages=True for 40 rows on a page, or draw shares of the rows instead",
        )
    starts = range(0, len(plan.rows), most)
    first, *others = (_sized(_page(plan, i, most, len(starts)), height) for i in starts)
    return replace(first, more=tuple(others))


def _page(plan: SignGrid, start: int, most: int, count: int) -> SignGrid:
    """Return the rows of one page."""
    if count == 1:
        return plan
    part = slice(start, start + most)
    after = plan.after and Beside(plan.after.heading, plan.after.texts[part])
    number = start // most + 1
    return replace(
        plan,
        title=f"{plan.title} ({number} of {count})" if plan.title else "",
        rows=plan.rows[part],
        cells=plan.cells[part],
        after=after,
        below=plan.below if number == count else None,
    )


def _sized(plan: SignGrid, height: float | None) -> SignGrid:
    """Return a page with its height."""
    sides = _sides(plan, 72 * plan.width - 2 * MARGIN)
    body = sides.top + sides.bottom + sides.row * len(plan.rows)
    return replace(plan, height=needed_height(plan, body) if height is None else height)


def _sides(plan: SignGrid, width: float) -> _Sides:
    """Return how much room stands around the cells in a place of a width in points."""
    theme = plan.theme
    small, line = theme.small, 1.22 * theme.small
    labels = [theme.wrap(name, LABEL_SHARE * width, size=small) for name in plan.rows]
    widest = HINTED * max(theme.width(text, size=small) for lines in labels for text in lines)
    beside = (plan.after.heading, *plan.after.texts) if plan.after else ()
    right = max((HINTED * theme.width(text, True, small) for text in beside), default=-GAP) + GAP
    left = widest + GAP
    if plan.below:
        left = max(left, HINTED * theme.width(plan.below.heading, True, small) + GAP)
    column = max(width - left - right, 20.0) / (plan.places[-1] + 1)
    if plan.upright:
        heads = [_upright(text, column, theme) for text in plan.headings]
        top = HINTED * max(theme.width(text, size=small) for lines in heads for text in lines)
    else:
        heads = [theme.wrap(text, max(column - 4.0, 20.0), size=small) for text in plan.headings]
        top = line * max(map(len, heads))
    keys = [HINTED * theme.width(level.label, size=small) + SIGN * small + 15.0 for level in plan.levels]
    legend = in_rows(keys, width)
    below = _below(plan, column)
    if below.upright:
        deep = HINTED * max(theme.width(text, size=small) for text in below.texts)
    else:
        deep = line * max((text.count("\n") + 1 for text in below.texts), default=0)
    return _Sides(
        left=left,
        top=top + GAP,
        right=right,
        bottom=deep + (2 * GAP if below.texts else 0.0) + GAP + 1.5 * line * len(legend),
        row=max(max(map(len, labels)) * line + 3.0, 1.75 * small),
        labels=tuple("\n".join(map(plain, lines)) for lines in labels),
        headings=tuple("\n".join(map(plain, lines)) for lines in heads),
        below=below,
        deep=deep,
        keys=tuple(keys),
        legend=legend,
    )


def _below(plan: SignGrid, column: float) -> _Below:
    """Return the texts below columns of a width in points."""
    texts = plan.below.texts if plan.below else ()
    lines = [line for text in texts for line in text.splitlines()]
    widest = max((plan.theme.width(line, size=plan.theme.small) for line in lines), default=0.0)
    if HINTED * widest <= column - 3.0:
        return _Below(texts, False)
    return _Below(tuple(text.replace("\n", ", ") for text in texts), True)


def _upright(text: str, column: float, theme: Theme) -> tuple[str, ...]:
    """Return an upright heading in as many lines as stand side by side in a column."""
    most = max(1, int(column / (1.22 * theme.small)))
    length = HEADING
    lines = theme.wrap(text, length, size=theme.small)
    while len(lines) > most:
        length *= 1.2
        lines = theme.wrap(text, length, size=theme.small)
    return lines


def _draw_cells(ax: Axes, plan: SignGrid) -> None:
    """Draw the marks with their signs; columns and rows are counted from 0."""
    theme = plan.theme
    for level in plan.levels:
        found = [
            (plan.places[j], i)
            for i, words in enumerate(plan.cells)
            for j, word in enumerate(words)
            if word == level.word
        ]
        for place in found if level.sign else ():
            _write_sign(ax, level, theme, place)
        if found:
            fill, edge = mark_colors(level, theme)
            edge = theme.paper if edge == fill else edge
            x, y = np.transpose(found)
            size, mark = (SIGN * theme.small) ** 2, MARKERS[plan.shape]
            ax.scatter(x, y, s=size, marker=mark, facecolors=fill, edgecolors=edge, linewidths=0.8)
    ax.set_xlim(-0.5, plan.places[-1] + 0.5)
    ax.set_ylim(len(plan.rows) - 0.5, -0.5)


def _draw_around(ax: Axes, plan: SignGrid, sides: _Sides, left: float) -> None:
    """Draw names of rows and columns, texts beside them, and the legend, which begins `left` of the cells."""
    theme = plan.theme
    small, line = theme.small, 1.22 * theme.small
    ax.set_frame_on(False)
    ax.tick_params(length=0, pad=2, bottom=False, labelbottom=False, labeltop=True)
    ax.set_yticks(range(len(plan.rows)), labels=sides.labels)
    ax.set_xticks(plan.places, labels=sides.headings)
    if plan.upright:
        ax.tick_params(axis="x", labelrotation=90)
    for label in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        label.set_fontproperties(theme.font(label.get_text(), size=small))
    if plan.parted:
        ax.axvline(plan.places[-1] - 0.65, color=theme.pale, linewidth=0.8)
    right = plan.places[-1] + 0.5
    if plan.after:
        beside(ax, plan.after.heading, (right, -0.5), (GAP, 2.0), theme, va="bottom", bold=True)
        for i, text in enumerate(plan.after.texts):
            beside(ax, text, (right, i), (GAP, 0.0), theme)
    end = len(plan.rows) - 0.5
    down = -GAP
    if plan.below:
        beside(ax, plan.below.heading, (-0.5, end), (-GAP, down), theme, ha="right", va="top", bold=True)
        for place, text in zip(plan.places, sides.below.texts, strict=True):
            turn = 90.0 if sides.below.upright else 0.0
            beside(ax, text, (place, end), (0.0, down), theme, ha="center", va="top", turn=turn)
        down -= sides.deep + 2 * GAP
    for row in sides.legend:
        x, down = left, down - 0.75 * line
        for i in row:
            level = plan.levels[i]
            draw_sign(ax, level, theme, plan.shape, (-0.5, end), (x + SIGN * small / 2, down))
            beside(ax, level.label, (-0.5, end), (x + SIGN * small + 3.0, down), theme)
            x += sides.keys[i]
        down -= 0.75 * line


def draw_sign(
    ax: Axes, level: Level, theme: Theme, shape: str, at: tuple[float, float], offset: tuple[float, float]
) -> None:
    """Draw the mark of a level with its sign some points right of and above a place of Axes."""
    from matplotlib.transforms import offset_copy

    place = offset_copy(ax.transData, ax.figure, *offset, units="points")  # type: ignore[arg-type]
    fill, edge = mark_colors(level, theme)
    ax.plot(
        *at, MARKERS[shape], transform=place, clip_on=False, markersize=SIGN * theme.small,
        markerfacecolor=fill, markeredgecolor=edge, markeredgewidth=0.8,
    )  # fmt: skip
    if level.sign:
        _write_sign(ax, level, theme, at, transform=place, clip_on=False)


def mark_colors(level: Level, theme: Theme) -> tuple[str, str]:
    """Return fill and edge of a mark; the edge is a grey one where the fill does not stand out."""
    fill = theme.paper if level.hollow else level.color
    return fill, fill if contrast(fill, theme.paper) >= 3 else theme.pale


def _write_sign(ax: Axes, level: Level, theme: Theme, at: tuple[float, float], **where: Any) -> None:
    """Write the sign of a level on its mark."""
    ink = theme.ink if level.hollow else theme.text_on(level.color)
    letters = theme.font(level.sign, True, theme.small)
    ax.text(
        *at,
        level.sign,
        ha="center",
        va="center_baseline",
        color=ink,
        fontproperties=letters,
        zorder=3,
        **where,
    )
