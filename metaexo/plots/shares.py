"""How many studies report a thing: shares by kind of access, told as floors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metaexo.errors import InputError
from metaexo.formatting import percent
from metaexo.plots.canvas import draw
from metaexo.plots.fonts import text_width, wrap
from metaexo.plots.furniture import (
    note_items,
    note_lines,
    notes_height,
    title_height,
    title_items,
    title_lines,
)
from metaexo.plots.page import Area, Item, Line, Page, Panel, Text, lines_of_text, make_page, middle, snap
from metaexo.plots.style import (
    FAINT,
    GREY,
    LINE_HEIGHT,
    MARGIN,
    PALETTE,
    SMALL_SIZE,
    TEXT_SIZE,
)
from metaexo.plots.tables import column_of, levels_of
from metaexo.plots.wording import settle, title_of, words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

BAR, STEP, GROUP_GAP = 7.0, 12.0, 8.0
COLUMN_GAP = 12.0
TICKS = (0, 25, 50, 75, 100)
FLOOR = "A share is a floor: what was not seen may still stand in the paper."
NOT_REPORTED = ("", "not_reported", "not reported", "unclear", "nan", "<NA>", "none")


@dataclass(frozen=True, slots=True)
class Share:
    """One bar: how many of a group report an item, and the middle of the bar in points."""

    item: str
    group: str
    reported: int
    total: int
    colour: str
    y: float

    @property
    def fraction(self) -> float:
        """Share of the group that reports the item."""
        return self.reported / self.total

    @property
    def text(self) -> str:
        """The share in words."""
        return f"{self.reported} of {self.total} ({percent(settle(self.fraction))})"


@dataclass(frozen=True, slots=True)
class SharesPlan:
    """What a figure of shares shows, with its places in points from the upper left corner.

    Attributes
    ----------
    shares : tuple of Share
        Bars from top to bottom.
    items : tuple of (tuple of str, float)
        Lines of the name of each item, and their middle.
    panel : Panel
        Where the bars stand, from 0 to 100 per cent.
    group_x, text_x : float
        Left edges of the names of groups and of the shares in words.
    title, notes : tuple of str
        Lines above and below.
    width, height : float
        Size of the figure in points.
    """

    shares: tuple[Share, ...]
    items: tuple[tuple[tuple[str, ...], float], ...]
    panel: Panel
    group_x: float
    text_x: float
    title: tuple[str, ...]
    notes: tuple[str, ...]
    width: float
    height: float

    def to_frame(self) -> pd.DataFrame:
        """Return the shares: item, group, reported, total, fraction."""
        import pandas as pd

        return pd.DataFrame(
            [(s.item, s.group, s.reported, s.total, s.fraction) for s in self.shares],
            columns=["item", "group", "reported", "total", "fraction"],
        )


def reported_shares_plan(
    table: pd.DataFrame,
    items: Sequence[str] | Mapping[str, str],
    *,
    by: str | None = None,
    by_order: Sequence[str] | None = None,
    wording: Mapping[str, str] | None = None,
    floor: bool = True,
    title: str = "",
    notes: Sequence[str] = (),
    panel_width: float = 190.0,
) -> SharesPlan:
    """Return what a figure of shares of studies that report something shows, without drawing it.

    Use it to show how completely studies report, told apart by how much of each study could be read.

    Parameters
    ----------
    table : DataFrame
        One row a study.
    items : sequence or mapping of str
        Columns of the table; a mapping gives their names in words. A study reports an item if its cell is
        True, or is filled with something else than "not reported", "unclear" or "none".
    by : str, optional
        Column whose values make a bar each, for example the kind of access.
    by_order : sequence of str, optional
        Order of these values. Default: the commonest first.
    wording : mapping of str to str, optional
        Words for the values of `by`.
    floor : bool
        Whether to say below that the shares are floors.
    title : str
        Line above.
    notes : sequence of str
        Further lines below.
    panel_width : float
        Length of a bar of 100 per cent, in points.

    Returns
    -------
    SharesPlan
        Shares with their places.

    Raises
    ------
    UnknownChoiceError
        If a column is not in the table.
    InputError
        If the table or the items are empty.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame({"isolation": ["UC", "not_reported"], "access": ["full", "abstract"]})
    >>> [s.text for s in mx.plots.reported_shares_plan(table, ["isolation"], by="access").shares]
    ['0 of 1 (0 %)', '1 of 1 (100 %)']
    """
    if len(table) == 0 or len(items) == 0:
        raise InputError(
            f"a table of {len(table)} rows and {len(items)} items", "at least one study and one item"
        )
    named = dict(items) if isinstance(items, Mapping) else {item: title_of(item) for item in items}
    groups = _groups(table, by, by_order, wording or {})
    places, y = [], 0.0
    shares: list[Share] = []
    for column, name in named.items():
        reported = column_of(table, column).map(is_reported).to_numpy(dtype=bool)
        lines = wrap(name, 34)
        height = max(len(groups) * STEP, len(lines) * LINE_HEIGHT)
        places.append((lines, y + height / 2))
        first = y + (height - len(groups) * STEP) / 2
        for g, (group, member) in enumerate(groups.items()):
            counts = int(reported[member].sum()), len(member)
            shares.append(Share(name, group, *counts, PALETTE[g % len(PALETTE)], first + (g + 0.5) * STEP))
        y += height + GROUP_GAP
    return _lay_out(shares, places, y, title, [*([FLOOR] if floor else []), *notes], panel_width)


def reported_shares(
    table: pd.DataFrame | SharesPlan,
    items: Sequence[str] | Mapping[str, str] = (),
    ax: Axes | None = None,
    **choices: Any,
) -> Axes:
    """Draw the shares of studies that report something.

    Parameters
    ----------
    table : DataFrame or SharesPlan
        What is shown; a plan is drawn as it is.
    items : sequence or mapping of str
        As for :func:`reported_shares_plan`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a figure of the planned size, apart from pyplot.
    **choices
        As for :func:`reported_shares_plan`.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or the new Axes.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame({"isolation": ["UC", "not_reported", "SEC"], "dose": [1.0, None, None]})
    >>> ax = mx.plots.reported_shares(table, ["isolation", "dose"])
    """
    plan = table if isinstance(table, SharesPlan) else reported_shares_plan(table, items, **choices)
    return draw(reported_shares_page(plan), ax)


def is_reported(value: object) -> bool:
    """Return whether a cell says something.

    Examples
    --------
    >>> [is_reported(v) for v in (True, False, "UC", "not_reported", None, float("nan"), 0.0)]
    [True, False, True, False, False, False, True]
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    return str(value).strip().lower() not in NOT_REPORTED


def reported_shares_page(plan: SharesPlan) -> Page:
    """Return the page of a plan."""
    panel = plan.panel
    items: list[Item] = title_items(plan.title)
    for lines, y in plan.items:
        items += lines_of_text(MARGIN, y, lines, LINE_HEIGHT)
    for share in plan.shares:
        items.append(_bar(panel.left, panel.right, share.y, FAINT))
        if share.reported:
            items.append(_bar(panel.left, panel.x(100 * share.fraction), share.y, share.colour))
        baseline = middle(share.y, SMALL_SIZE)
        items.append(Text(plan.group_x, baseline, share.group, SMALL_SIZE, colour=GREY))
        items.append(Text(plan.text_x, baseline, share.text, SMALL_SIZE))
    items.append(Line(((panel.left, panel.bottom), (panel.right, panel.bottom))))
    for tick in TICKS:
        x = panel.x(tick)
        items.append(Line(((x, panel.bottom), (x, panel.bottom + 3.0))))
        baseline = panel.bottom + 5.0 + 0.9 * SMALL_SIZE
        items.append(Text(x, baseline, f"{tick} %", SMALL_SIZE, align="center"))
    items += note_items(plan.notes, plan.height)
    return make_page(plan.width, plan.height, items, panel)


def _bar(left: float, right: float, y: float, colour: str) -> Area:
    top, bottom = y - BAR / 2, y + BAR / 2
    return Area(((left, top), (right, top), (right, bottom), (left, bottom)), colour)


def _groups(
    table: pd.DataFrame, by: str | None, order: Sequence[str] | None, wording: Mapping[str, str]
) -> dict[str, list[int]]:
    """Return the rows of the table by group."""
    if by is None:
        return {"": list(range(len(table)))}
    names = [words(value, wording, "not reported") for value in column_of(table, by)]
    found: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        found.setdefault(name, []).append(i)
    return {name: found[name] for name in levels_of(names, order, wording) if name in found}


def _lay_out(
    shares: Sequence[Share],
    places: Sequence[tuple[tuple[str, ...], float]],
    rows_height: float,
    title: str,
    notes: Sequence[str],
    panel_width: float,
) -> SharesPlan:
    item_width = max(text_width(line, TEXT_SIZE) for lines, _ in places for line in lines)
    group_width = max(text_width(share.group, SMALL_SIZE) for share in shares)
    group_x = MARGIN + math.ceil(item_width) + COLUMN_GAP
    left = group_x + (math.ceil(group_width) + COLUMN_GAP if group_width else 0.0)
    right = left + panel_width
    text_x = right + COLUMN_GAP
    width = float(math.ceil(text_x + max(text_width(share.text, SMALL_SIZE) for share in shares) + MARGIN))
    above, below = title_lines(title, width), note_lines(notes, width)
    top = MARGIN + title_height(above)
    bottom = top + rows_height - GROUP_GAP / 2
    height = math.ceil(bottom + 5.0 + 2.2 * SMALL_SIZE + notes_height(below))
    return SharesPlan(
        shares=tuple(Share(s.item, s.group, s.reported, s.total, s.colour, snap(top + s.y)) for s in shares),
        items=tuple((lines, snap(top + y)) for lines, y in places),
        panel=Panel(left, right, snap(top), snap(bottom), 0.0, 100.0, snap(top), snap(bottom)),
        group_x=group_x,
        text_x=text_x,
        title=above,
        notes=below,
        width=width,
        height=float(height),
    )
