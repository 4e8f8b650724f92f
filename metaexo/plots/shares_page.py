"""The plan of a figure of shares, and its way to a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metaexo.formatting import percent
from metaexo.plots.furniture import note_items, title_items
from metaexo.plots.page import Area, Item, Line, Page, Panel, Text, lines_of_text, make_page, middle
from metaexo.plots.style import FAINT, GREY, LINE_HEIGHT, MARGIN, PALE, SMALL_SIZE, TRACK
from metaexo.plots.wording import settle

if TYPE_CHECKING:
    import pandas as pd

BAR = 7.0
TICKS = (0, 25, 50, 75, 100)
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
    colour: str
    y: float
    head: str = ""

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
    items, heads : tuple of (tuple of str, float)
        Lines of the name of each item, and of each head of groups, and their middle.
    rules : tuple of float
        Where a line parts two items.
    panel : Panel
        Where the bars stand, from 0 to 100 per cent.
    head_x, group_x, text_x : float
        Left edges of the heads, of the names of groups and of the shares in words.
    title, notes : tuple of str
        Lines above and below.
    width, height : float
        Size of the figure in points.
    """

    shares: tuple[Share, ...]
    items: tuple[Label, ...]
    heads: tuple[Label, ...]
    rules: tuple[float, ...]
    panel: Panel
    head_x: float
    group_x: float
    text_x: float
    title: tuple[str, ...]
    notes: tuple[str, ...]
    width: float
    height: float

    def to_frame(self) -> pd.DataFrame:
        """Return the shares: item, head, group, reported, total, fraction."""
        import pandas as pd

        return pd.DataFrame(
            [(s.item, s.head, s.group, s.reported, s.total, s.fraction) for s in self.shares],
            columns=["item", "head", "group", "reported", "total", "fraction"],
        )


def reported_shares_page(plan: SharesPlan) -> Page:
    """Return the page of a plan."""
    panel = plan.panel
    items: list[Item] = title_items(plan.title)
    items += [Line(((MARGIN, y), (plan.width - MARGIN, y)), 0.25, FAINT) for y in plan.rules]
    for lines, y in plan.items:
        items += lines_of_text(MARGIN, y, lines, LINE_HEIGHT)
    for lines, y in plan.heads:
        items += lines_of_text(plan.head_x, y, lines, LINE_HEIGHT, size=SMALL_SIZE)
    for share in plan.shares:
        items.append(_bar(panel.left, panel.right, share.y, TRACK))
        if share.reported:
            items.append(_bar(panel.left, panel.x(100 * share.fraction), share.y, share.colour))
        baseline = middle(share.y, SMALL_SIZE)
        items.append(Text(plan.group_x, baseline, share.group, SMALL_SIZE, colour=GREY))
        items.append(Text(plan.text_x, baseline, share.text, SMALL_SIZE))
    items += note_items(plan.notes, plan.height)
    ticks = tuple((float(tick), f"{tick} %") for tick in TICKS)
    return make_page(plan.width, plan.height, items, panel, ticks)


def _bar(left: float, right: float, y: float, colour: str) -> Area:
    top, bottom = y - BAR / 2, y + BAR / 2
    return Area(((left, top), (right, top), (right, bottom), (left, bottom)), colour, PALE, 0.3)
