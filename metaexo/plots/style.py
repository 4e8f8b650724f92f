"""Colours, marks and sizes that all figures share."""

from __future__ import annotations

TEXT_SIZE = 8.5
SMALL_SIZE = 7.5
LINE_HEIGHT = 1.22 * TEXT_SIZE
MARGIN = 10.0

INK = "#1a1a1a"
GREY = "#666666"
PALE = "#b8b8b8"
FAINT = "#e6e6e6"
WHITE = "#ffffff"

# Okabe and Ito's palette, told apart by the common kinds of colour blindness, without its yellow, which is
# too pale for small marks on white.
PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
SHAPES = (
    "circle",
    "square",
    "triangle",
    "diamond",
    "triangle_down",
    "pentagon",
    "plus",
    "cross",
    "star",
    "hexagon",
)


def colour_and_shape(position: int) -> tuple[str, str]:
    """Return the colour and the shape of the group at `position`; no pair comes twice before the 70th.

    Examples
    --------
    >>> colour_and_shape(0), colour_and_shape(7)
    (('#0072B2', 'circle'), ('#0072B2', 'cross'))
    """
    return PALETTE[position % len(PALETTE)], SHAPES[position % len(SHAPES)]
