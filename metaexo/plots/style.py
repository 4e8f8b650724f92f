"""Colours, marks and sizes that all figures share."""

from __future__ import annotations

TEXT_SIZE = 8.5
SMALL_SIZE = 7.5
LINE_HEIGHT = 1.22 * TEXT_SIZE
MARGIN = 10.0

INK = "#1a1a1a"
GREY = "#666666"
PALE = "#8c8c8c"
FAINT = "#949494"
TRACK = "#e6e6e6"
WHITE = "#ffffff"

BLACK = "#000000"

# Least contrast of a text and of a line or mark against what it stands on: WCAG 2.2, 1.4.3 and 1.4.11.
TEXT_CONTRAST, LINE_CONTRAST = 4.5, 3.0

# Okabe and Ito's palette, told apart by the common kinds of colour blindness, without its yellow; orange and
# sky blue are darker than theirs, so that small marks on white have the contrast of 3.
PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#B87A00",
    "#2F93CF",
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


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour (WCAG 2.2).

    Examples
    --------
    >>> luminance("#ffffff"), luminance("#000000")
    (1.0, 0.0)
    """
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, two: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21 (WCAG 2.2).

    References
    ----------
    Web Content Accessibility Guidelines 2.2. https://www.w3.org/TR/WCAG22/

    Examples
    --------
    >>> contrast("#ffffff", "#000000")
    21.0
    """
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def text_on(colour: str) -> str:
    """Return black or white, whichever is read better on a background; its contrast is at least 4.58.

    Examples
    --------
    >>> text_on("#0072B2"), text_on("#2F93CF")
    ('#ffffff', '#000000')
    """
    return max((WHITE, BLACK), key=lambda ink: contrast(ink, colour))


def colour_and_shape(position: int) -> tuple[str, str]:
    """Return the colour and the shape of the group at `position`; no pair comes twice before the 70th.

    Examples
    --------
    >>> colour_and_shape(0), colour_and_shape(7)
    (('#0072B2', 'circle'), ('#0072B2', 'cross'))
    """
    return PALETTE[position % len(PALETTE)], SHAPES[position % len(SHAPES)]
