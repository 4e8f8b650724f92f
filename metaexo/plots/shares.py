"""How many studies report a thing: shares by kind of access, at the least."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from metaexo.errors import InputError
from metaexo.formatting import NOT_REPORTED, percent, ten_digits
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.figure import Plan, drawing, surround
from metaexo.plots.canvas.fonts import (
    FAINT,
    GREY,
    LINE_HEIGHT,
    MARGIN,
    PALE,
    PALETTE,
    SMALL_SIZE,
    TEXT_SIZE,
    TRACK,
    text_width,
    wrap,
)
from metaexo.plots.canvas.page import (
    COLUMN_GAP,
    Area,
    Line,
    Page,
    Panel,
    Text,
    lines_of_text,
    make_page,
    middle,
    rectangle,
    snap,
)
from metaexo.plots.canvas.tables import column_of, is_reported, levels_of
from metaexo.plots.canvas.words import title_of, words

if TYPE_CHECKING:
    import pandas as pd

LOWER_BOUND = "Shares are lower bounds: what was not seen may still be reported in the paper."
STEP, HEAD_GAP, ITEM_GAP, BAR = 12.0, 4.0, 11.0, 7.0
ITEM_LETTERS = 34
TICKS = tuple((float(tick), f"{tick}%") for tick in (0, 25, 50, 75, 100))
Label = tuple[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Share:
    """One bar: how many of a group report an item, and the middle of the bar in points.

    `head` is what stands before a group that is made by two columns.
    """

    item: str
    group: str
    reported: int
    total: int
    color: str
    y: float
    head: str = ""

    @property
    def fraction(self) -> float:
        """Share of the group that reports the item."""
        return self.reported / self.total

    @property
    def text(self) -> str:
        """The share in words."""
        return f"{self.reported} of {self.total} ({percent(ten_digits(self.fraction))})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesPlan(Plan):
    """What a figure of shares shows, with its places in points from the upper left corner.

    Attributes
    ----------
    shares : tuple of Share
        Bars from top to bottom.
    items, heads : tuple of (tuple of str, float)
        Lines of the name of each item, and of each head of groups, and their middle.
    rules : tuple of float
        Where a line parts two items.
    panel : Panel
        Where the bars stand, from 0 to 100 per cent.
    head_x, group_x, text_x : float
        Left edges of the heads, of the names of groups and of the shares in words.
    """

    shares: tuple[Share, ...]
    items: tuple[Label, ...]
    heads: tuple[Label, ...]
    rules: tuple[float, ...]
    panel: Panel
    head_x: float
    group_x: float
    text_x: float

    def to_frame(self) -> pd.DataFrame:
        """Return the shares: item, head, group, reported, total, fraction."""
        import pandas as pd

        return pd.DataFrame(
            [(s.item, s.head, s.group, s.reported, s.total, s.fraction) for s in self.shares],
            columns=["item", "head", "group", "reported", "total", "fraction"],
        )


@checked
def reported_shares_plan(
    table: pd.DataFrame,
    items: Sequence[str] | Mapping[str, str],
    *,
    by: str | Sequence[str] | None = None,
    by_order: Sequence[str] | None = None,
    head_order: Sequence[str] | None = None,
    wording: Mapping[str, str] | None = None,
    lower_bound: bool = True,
    title: str = "",
    notes: Sequence[str] = (),
    panel_width: float = 190.0,
) -> SharesPlan:
    """Return what a figure of shares of studies that report something shows, without drawing it.

    Use it to show how completely studies report, separated by how much of each study could be read.

    Parameters
    ----------
    table : DataFrame
        One row per study.
    items : sequence or mapping of str
        Columns of the table; a mapping gives their names in words. A study reports an item if its cell is
        True, or is filled with something else than "not reported", "unclear" or "none".
    by : str or two str, optional
        Column whose values make a bar and have a colour each, for example the kind of access; with two, the
        values of the first become heads.
    by_order, head_order : sequence of str, optional
        Order of these values, and of the heads. Default: the commonest first.
    wording : mapping of str to str, optional
        Words for the values of `by`.
    lower_bound : bool
        Whether to say below that the shares are lower bounds.
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
    ['0 of 1 (0%)', '1 of 1 (100%)']
    >>> ax = mx.plots.reported_shares(table, ["isolation"])
    """
    if len(table) == 0 or len(items) == 0:
        raise InputError(
            f"a table of {len(table)} rows and {len(items)} items", "at least one study and one item"
        )
    named = dict(items) if isinstance(items, Mapping) else {item: title_of(item) for item in items}
    groups = _groups(table, by, (head_order, by_order), wording or {})
    counts = {}
    for column, name in named.items():
        reported = column_of(table, column).map(is_reported).to_numpy(dtype=bool)
        counts[name] = [(group, int(reported[list(group.rows)].sum())) for group in groups]
    return _laid_out(counts, title, [*([LOWER_BOUND] if lower_bound else []), *notes], panel_width)


@dataclass(frozen=True, slots=True)
class Group:
    """A group of rows of the table: its head, its name, its colour and its rows."""

    head: str
    name: str
    color: str
    rows: tuple[int, ...]


def _groups(
    table: pd.DataFrame,
    by: str | Sequence[str] | None,
    orders: tuple[Sequence[str] | None, Sequence[str] | None],
    wording: Mapping[str, str],
) -> list[Group]:
    """Return the groups of the table, those of one head side by side."""
    keys = [by] if isinstance(by, str) else list(by or ())
    if len(keys) > 2:
        raise InputError(f"by names {len(keys)} columns", "none, one or two columns")
    columns = [[words(v, wording, NOT_REPORTED) for v in column_of(table, key)] for key in keys]
    blank = [""] * len(table)
    heads, names = ([blank, blank, *columns])[-2:]
    head_levels = levels_of(heads, orders[0] if len(keys) == 2 else None, wording)
    levels = levels_of(names, orders[1] if keys else None, wording)
    colors = {name: PALETTE[g % len(PALETTE)] for g, name in enumerate(levels)}
    found: dict[tuple[str, str], list[int]] = {}
    for i, pair in enumerate(zip(heads, names, strict=True)):
        found.setdefault(pair, []).append(i)
    pairs = [(head, name) for head in head_levels for name in levels if (head, name) in found]
    return [Group(head, name, colors[name], tuple(found[head, name])) for head, name in pairs]


def _laid_out(
    counts: Mapping[str, Sequence[tuple[Group, int]]], title: str, notes: Sequence[str], panel_width: float
) -> SharesPlan:
    """Return the plan of what was counted of each item, the items below each other."""
    shares: list[Share] = []
    items: list[Label] = []
    heads: list[Label] = []
    rules: list[float] = []
    below = 0.0
    for item, groups in counts.items():
        if items:
            rules.append(below + ITEM_GAP / 2)
            below += ITEM_GAP
        names = list(dict.fromkeys(group.head for group, _ in groups))
        bars = len(groups) * STEP + (len(names) - 1) * HEAD_GAP
        lines = wrap(item, ITEM_LETTERS)
        height = max(bars, len(lines) * LINE_HEIGHT)
        items.append((lines, below + height / 2))
        y = below + (height - bars) / 2
        for head in names:
            members = [(group, reported) for group, reported in groups if group.head == head]
            if head:
                heads.append(((head,), y + len(members) * STEP / 2))
            for group, reported in members:
                total = len(group.rows)
                shares.append(Share(item, group.name, reported, total, group.color, y + STEP / 2, head))
                y += STEP
            y += HEAD_GAP
        below += height

    head_x = _edge_after(MARGIN, (line for lines, _ in items for line in lines), TEXT_SIZE)
    group_x = _edge_after(head_x, (line for lines, _ in heads for line in lines), SMALL_SIZE)
    left = _edge_after(group_x, (share.group for share in shares), SMALL_SIZE)
    right = left + panel_width
    text_x = right + COLUMN_GAP
    width = math.ceil(text_x + max(text_width(share.text, SMALL_SIZE) for share in shares) + MARGIN)
    around = surround(title, (), notes, float(width))
    top, bottom = around.top, around.top + below + ITEM_GAP / 2
    return SharesPlan(
        **around.closed(bottom + 5.0 + 2.2 * SMALL_SIZE),
        shares=tuple(replace(share, y=snap(top + share.y)) for share in shares),
        items=tuple((lines, snap(top + y)) for lines, y in items),
        heads=tuple((lines, snap(top + y)) for lines, y in heads),
        rules=tuple(snap(top + y) for y in rules),
        panel=Panel(left, right, snap(top), snap(bottom), 0.0, 100.0, snap(top), snap(bottom)),
        head_x=head_x,
        group_x=group_x,
        text_x=text_x,
    )


def _edge_after(x: float, labels: Iterable[str], size: float) -> float:
    """Return where a column ends that begins at x; one without labels takes no room."""
    widest = max((text_width(label, size) for label in labels), default=0.0)
    return x + (math.ceil(widest) + COLUMN_GAP if widest else 0.0)


def reported_shares_page(plan: SharesPlan) -> Page:
    """Return the page of a plan."""
    panel = plan.panel
    items = plan.items_above()
    items += [Line(((MARGIN, y), (plan.width - MARGIN, y)), 0.25, FAINT) for y in plan.rules]
    for lines, y in plan.items:
        items += lines_of_text(MARGIN, y, lines)
    for lines, y in plan.heads:
        items += lines_of_text(plan.head_x, y, lines, size=SMALL_SIZE)
    for share in plan.shares:
        items.append(_bar(panel.left, panel.right, share.y, TRACK))
        if share.reported:
            items.append(_bar(panel.left, panel.x(100 * share.fraction), share.y, share.color))
        baseline = middle(share.y, SMALL_SIZE)
        items.append(Text(plan.group_x, baseline, share.group, SMALL_SIZE, color=GREY))
        items.append(Text(plan.text_x, baseline, share.text, SMALL_SIZE))
    return make_page(plan.width, plan.height, items + plan.items_below(), panel, TICKS)


def _bar(left: float, right: float, y: float, color: str) -> Area:
    return rectangle(left, y - BAR / 2, right, y + BAR / 2, color, PALE, 0.3)


reported_shares = drawing(
    reported_shares_plan,
    SharesPlan,
    reported_shares_page,
    "Draw the shares of studies that report something.",
)
