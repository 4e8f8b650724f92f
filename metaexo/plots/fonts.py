"""How wide a text is, and where it breaks, without a canvas.

Texts are measured with the font that matplotlib ships (DejaVu Sans), read from its own folder, so that a
plan does not depend on the fonts of the machine.
"""

from __future__ import annotations

import math
import textwrap
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties

ASCENT = 0.93
DESCENT = 0.24
CAP_HEIGHT = 0.73


@lru_cache(maxsize=64)
def font(size: float, bold: bool = False) -> FontProperties:
    """Return the font of all figures at a size in points."""
    import matplotlib
    from matplotlib.font_manager import FontProperties

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return FontProperties(fname=Path(matplotlib.get_data_path(), "fonts", "ttf", name), size=size)


@lru_cache(maxsize=16384)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return the width of one line of text in points.

    Examples
    --------
    >>> text_width("ww", 10.0) > text_width("il", 10.0) > 0
    True
    """
    from matplotlib.textpath import text_to_path

    if not text:
        return 0.0
    # ismath stands for "is mathematical text"; labels are never read as formulas, so "$" is a plain letter.
    width = text_to_path.get_text_width_height_descent(text, font(100.0, bold), False)[0]
    return float(width) * size / 100.0


def wrap(text: str, letters: int) -> tuple[str, ...]:
    """Return the text in as few lines of at most `letters` letters as it takes, of about equal length.

    Only words longer than that are broken.

    Examples
    --------
    >>> wrap("short", 60)
    ('short',)
    >>> wrap("a long label that will not stand in one line", 30)
    ('a long label that will', 'not stand in one line')
    """
    if len(text) <= letters:
        return (text,)
    lines = _lines(text, letters)
    longest = max(len(word) for word in text.split())
    shortest = math.ceil(len(text) / len(lines))
    for narrower in range(shortest if longest > letters else max(shortest, longest), letters):
        balanced = _lines(text, narrower)
        if len(balanced) <= len(lines):
            return balanced
    return lines


def _lines(text: str, letters: int) -> tuple[str, ...]:
    return tuple(textwrap.wrap(text, letters, break_on_hyphens=False))


def wrap_whole_words(text: str, letters: int) -> tuple[str, ...]:
    """Return the text in lines; a word longer than `letters` makes all lines as long as itself.

    Examples
    --------
    >>> wrap_whole_words("density gradient", 13), wrap_whole_words("ultracentrifugation", 13)
    (('density', 'gradient'), ('ultracentrifugation',))
    """
    return wrap(text, max([letters, *(len(word) for word in text.split())]))


def wrap_to_width(text: str, width: float, size: float, bold: bool = False) -> tuple[str, ...]:
    """Return the text in lines no wider than `width` points; a word wider than that is broken."""
    whole = text_width(text, size, bold)
    if whole <= width:
        return (text,)
    letters = max(4, int(width / whole * len(text)))
    lines = _lines(text, letters)
    while letters > 4 and any(text_width(line, size, bold) > width for line in lines):
        letters -= 1
        lines = _lines(text, letters)
    return lines
