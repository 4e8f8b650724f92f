"""Places for the bars and labels of a figure of shares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from metaexo.plots.fonts import text_width, wrap
from metaexo.plots.furniture import note_lines, notes_height, title_height, title_lines
from metaexo.plots.page import Panel, snap
from metaexo.plots.shares_page import Label, Share, SharesPlan
from metaexo.plots.style import LINE_HEIGHT, MARGIN, SMALL_SIZE, TEXT_SIZE

STEP, HEAD_GAP, ITEM_GAP = 12.0, 4.0, 11.0
COLUMN_GAP = 12.0
ITEM_LETTERS = 34


@dataclass(frozen=True, slots=True)
class Group:
    """A group of rows of the table: its head, its name, its colour and its rows."""

    head: str
    name: str
    colour: str
    rows: tuple[int, ...]


class Draft:
    """The bars and labels of a figure, placed from the first item downwards."""

    def __init__(self) -> None:
        self.shares: list[Share] = []
        self.items: list[Label] = []
        self.heads: list[Label] = []
        self.rules: list[float] = []
        self.height = 0.0

    def add(self, item: str, counts: Sequence[tuple[Group, int]]) -> None:
        """Add the bars of one item below those of the others."""
        if self.items:
            self.rules.append(self.height + ITEM_GAP / 2)
            self.height += ITEM_GAP
        heads = list(dict.fromkeys(group.head for group, _ in counts))
        bars = len(counts) * STEP + (len(heads) - 1) * HEAD_GAP
        lines = wrap(item, ITEM_LETTERS)
        height = max(bars, len(lines) * LINE_HEIGHT)
        self.items.append((lines, self.height + height / 2))
        y = self.height + (height - bars) / 2
        for head in heads:
            members = [(group, reported) for group, reported in counts if group.head == head]
            if head:
                self.heads.append(((head,), y + len(members) * STEP / 2))
            for group, reported in members:
                share = (item, group.name, reported, len(group.rows), group.colour, y + STEP / 2, head)
                self.shares.append(Share(*share))
                y += STEP
            y += HEAD_GAP
        self.height += height


def lay_out_shares(draft: Draft, title: str, notes: Sequence[str], panel_width: float) -> SharesPlan:
    """Return the plan of drafted bars, each at its place."""

    def edge_after(x: float, labels: Iterable[str], size: float) -> float:
        widest = max((text_width(label, size) for label in labels), default=0.0)
        return x + (math.ceil(widest) + COLUMN_GAP if widest else 0.0)

    shares = draft.shares
    head_x = edge_after(MARGIN, (line for lines, _ in draft.items for line in lines), TEXT_SIZE)
    group_x = edge_after(head_x, (line for lines, _ in draft.heads for line in lines), SMALL_SIZE)
    left = edge_after(group_x, (share.group for share in shares), SMALL_SIZE)
    right = left + panel_width
    text_x = right + COLUMN_GAP
    width = float(math.ceil(text_x + max(text_width(share.text, SMALL_SIZE) for share in shares) + MARGIN))
    above, below = title_lines(title, width), note_lines(notes, width)
    top = MARGIN + title_height(above)
    bottom = top + draft.height + ITEM_GAP / 2

    def placed(labels: Sequence[Label]) -> tuple[Label, ...]:
        return tuple((lines, snap(top + y)) for lines, y in labels)

    return SharesPlan(
        shares=tuple(replace(share, y=snap(top + share.y)) for share in shares),
        items=placed(draft.items),
        heads=placed(draft.heads),
        rules=tuple(snap(top + y) for y in draft.rules),
        panel=Panel(left, right, snap(top), snap(bottom), 0.0, 100.0, snap(top), snap(bottom)),
        head_x=head_x,
        group_x=group_x,
        text_x=text_x,
        title=above,
        notes=below,
        width=width,
        height=float(math.ceil(bottom + 5.0 + 2.2 * SMALL_SIZE + notes_height(below))),
    )
