"""What stands in a drawn table: its texts and marks at their places.

The panel counts down from the upper edge of the figure in points, so a row, its texts and its marks have the
same y; x of marks is what the axis shows, and x of texts is points from the left edge.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from metaexo.plots.table.plan import CAP_HEIGHT

# Orders of drawing by which the marks of a table are known apart.
ARROW, BRACKET, MARK, AT_EDGE = 2.1, 2.2, 3, 3.1


class Seen(NamedTuple):
    """A text beside the panel, and where the middle of its capitals stands."""

    text: str
    x: float
    y: float
    align: str
    size: float


def texts(ax):
    """Return the texts of a table beside its panel, in the order in which they were written."""
    found = [artist for artist in ax.figure.artists if isinstance(artist, Text)]
    return [
        Seen(
            one.get_text(),
            one.get_position()[0],
            one.get_position()[1] - CAP_HEIGHT / 2 * one.get_fontsize(),
            one.get_horizontalalignment(),
            one.get_fontsize(),
        )
        for one in found
    ]


def all_texts(ax):
    """Return every text object of the figure that shows something."""
    return [one for one in ax.figure.findobj(Text) if one.get_visible() and one.get_text().strip()]


def points(ax, order=MARK):
    """Return x, y, height in points and fill of the marks of one order of drawing, from top to bottom."""
    rows = [
        (x, y, side * group.get_paths()[0].get_extents().height, tuple(fill))
        for group in ax.collections
        if isinstance(group, PathCollection) and group.get_zorder() == order
        for (x, y), side, fill in zip(
            group.get_offsets(),
            np.sqrt(np.resize(group.get_sizes(), len(group.get_offsets()))),
            np.resize(group.get_facecolors(), (len(group.get_offsets()), 4)),
            strict=True,
        )
    ]
    return sorted(rows, key=lambda row: row[1])


def diamonds(ax):
    """Return the corners of the diamonds as arrays (left, top, right, bottom), from top to bottom."""
    areas = [
        path.vertices[:4]
        for group in ax.collections
        if isinstance(group, PolyCollection)
        for path in group.get_paths()
    ]
    found = [area for area in areas if area[1, 0] == area[3, 0] and area[0, 1] == area[2, 1]]  # no bars
    return sorted(found, key=lambda corners: corners[0, 1])


def intervals(ax):
    """Return left end, right end and height of the lines of intervals, from top to bottom."""
    found = [
        (*line[:, 0], line[0, 1])
        for group in ax.collections
        if isinstance(group, LineCollection)
        for line in group.get_segments()
    ]
    return sorted(found, key=lambda ends: ends[2])


def ticks(ax):
    """Return the ticks within the view, as shown: values and labels."""
    ax.figure.draw_without_rendering()
    low, high = ax.get_xlim()
    slack = 1e-9 * (high - low)
    found = zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
    return [
        (float(value), label.get_text()) for value, label in found if low - slack <= value <= high + slack
    ]


def detail(row):
    """Return what stands beside the name of a pooled effect, with plain blanks."""
    return " ".join(row.detail).replace("\N{NO-BREAK SPACE}", " ")


def as_fonts_allow(text: str) -> str:
    """Return a text as a figure shows it: letters that no installed font has are a replacement sign."""
    faces = [FT2Font(entry.fname) for entry in fontManager.ttflist if "Last Resort" not in entry.name]
    known = {letter for letter in text if any(face.get_char_index(ord(letter)) for face in faces)}
    return "".join(letter if letter in known else "\N{REPLACEMENT CHARACTER}" for letter in text)
