"""How wide a text is, where it breaks, and how well it can be read, without a canvas.

Texts are measured with the font that matplotlib ships (DejaVu Sans), read from its own folder, so that a
plan does not depend on the fonts of the machine. Letters that it lacks (Chinese, say) are those of an
installed font that has them; where there is none the page says so.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties

HINTED = 1.10  # lines of a screen, whose letters stand on whole pixels, over those of a file of vectors

DEJAVU = "DejaVu Sans"
NO_LETTER = "\N{REPLACEMENT CHARACTER}"
TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks after which letters are shown in another order than they are written in."""
SPACES = "\t\n\r\x0b\x0c\x85\u2028\u2029"
NO_FONT = f"{NO_LETTER}: letters that no installed font has; a font such as Noto Sans CJK has them."


def installed(fonts: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of some fonts that are installed; if there is none, the font that matplotlib ships.

    For each family that is not installed matplotlib would write a line to the log at every text.
    """
    from matplotlib.font_manager import FontProperties, findfont, font_family_aliases, fontManager

    names = _names(len(fontManager.ttflist))
    found = tuple(name for name in fonts if name in names or name in font_family_aliases)
    if fonts and not found:
        findfont(FontProperties(family=list(fonts)))  # writes to the log what is missing, once
    return found or (DEJAVU,)


@lru_cache(maxsize=1)
def _names(fonts: int) -> frozenset[str]:
    """Return the names of all installed fonts; `fonts` is how many there are now."""
    from matplotlib.font_manager import fontManager

    return frozenset(fontManager.get_font_names())


@lru_cache(maxsize=64)
def font(
    size: float, bold: bool = False, others: tuple[str, ...] = (), fonts: tuple[str, ...] = (DEJAVU,)
) -> FontProperties:
    """Return the fonts of a figure at a size in points, with others for the letters that they lack."""
    found = _letters()(
        family=[*(fonts or (DEJAVU,)), *others], weight="bold" if bold else "normal", size=size
    )
    found.never_bold = tuple(family for family in others if bold and not _has_bold(family))
    return cast("FontProperties", found)


@lru_cache(maxsize=1)
def _letters() -> Callable[..., Any]:
    """Return the class of the fonts of a text; it is made when needed, as matplotlib loads slowly."""
    from matplotlib.font_manager import FontProperties

    class Letters(FontProperties):
        """Fonts, bold but for families without bold letters, at which matplotlib would write to the log."""

        never_bold: tuple[str, ...] = ()

        def __reduce__(self) -> tuple[Any, ...]:
            return _no_letters, (), self.__dict__

        def __copy__(self) -> Letters:
            new = cast("Letters", _no_letters())
            new.__dict__.update(self.__dict__)
            return new

        def set_family(self, family: Any) -> None:
            """Set the family; matplotlib asks for one after the other this way."""
            super().set_family(family)
            if family in self.never_bold:
                self.set_weight("normal")

    return Letters


def _no_letters() -> Any:
    return _letters()()


def _has_bold(family: str) -> bool:
    from matplotlib.font_manager import fontManager

    heavy = ("bold", "heavy", "black", "700", "800", "900")
    return any(entry.name == family and str(entry.weight) in heavy for entry in fontManager.ttflist)


def _own_file(bold: bool) -> Path:
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return Path(matplotlib.get_data_path(), "fonts", "ttf", name)


@lru_cache(maxsize=2)
def _own_letters(bold: bool) -> frozenset[int]:
    from matplotlib.font_manager import get_font

    return frozenset(get_font(_own_file(bold)).get_charmap())


def fonts_besides(text: str, bold: bool = False) -> tuple[str, ...]:
    """Return the installed fonts that have the letters of a text which the font of all figures lacks."""
    if text.isascii():
        return ()
    lacking = {ord(letter) for letter in text} - _own_letters(bold)
    found = (_family_with(letter) for letter in sorted(lacking))
    return tuple(dict.fromkeys(family for family in found if family is not None))


def letters_of_no_font(text: str, bold: bool = False) -> str:
    """Return the letters of a text that no installed font has."""
    if text.isascii():
        return ""
    lacking = {ord(letter) for letter in text} - _own_letters(bold)
    return "".join(chr(letter) for letter in sorted(lacking) if _family_with(letter) is None)


@lru_cache(maxsize=4096)
def _family_with(letter: int) -> str | None:
    """Return the name of an installed font that has a letter; None if there is none."""
    return next((name for name, letters in _installed() if letter in letters), None)


@lru_cache(maxsize=1)
def _installed() -> tuple[tuple[str, frozenset[int]], ...]:
    """Return the installed fonts in upright regular letters with what they have, by name."""
    from matplotlib.font_manager import findSystemFonts, fontManager, get_font

    listed = {entry.fname for entry in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - listed):  # installed after matplotlib made its list
        with suppress(RuntimeError, OSError, ValueError):
            fontManager.addfont(path)
    found: dict[str, frozenset[int]] = {}
    for entry in sorted(fontManager.ttflist, key=lambda entry: (entry.name, entry.fname)):
        regular = entry.style == "normal" and str(entry.weight) in ("400", "normal", "regular")
        if not regular or entry.name in found or entry.name.startswith("Last Resort"):
            continue
        try:
            found[entry.name] = frozenset(get_font(entry.fname).get_charmap())
        except (RuntimeError, OSError, ValueError):  # a font of pictures, or one that is gone
            continue
    return tuple(found.items())


def plain(text: str) -> str:
    r"""Return a text in one line, without the signs that are no letters.

    These are control signs and halves of pairs, with which a file of type SVG is not valid, and marks that
    turn the direction of reading. Letters that no installed font has are replaced.
    """
    if text.isascii() and text.isprintable():
        return text
    clean = "".join(" " if sign in SPACES else sign for sign in text if sign in SPACES or _is_letter(sign))
    for letter in letters_of_no_font(clean):
        clean = clean.replace(letter, NO_LETTER)
    return clean


def _is_letter(sign: str) -> bool:
    category = unicodedata.category(sign)
    return category not in ("Cc", "Cs") and ord(sign) & 0xFFFE != 0xFFFE and sign not in TURNS


# Blanks where a line may end: no no-break spaces, and not beside a sign that has a blank at either side.
EQUATION = re.compile(r"(?<!\s[=<>])[^\S\u00a0]+(?![=<>]\s)")


def lines_in(text: str) -> tuple[str, ...]:
    r"""Return the lines that a text was given in, each without signs that are no letters."""
    return tuple(plain(line) for line in text.splitlines()) or ("",)


class _Advances(dict[str, float]):
    """How far each letter of a font moves the next one, in units of the size of the letters."""

    def __init__(self, fonts: tuple[str, ...], bold: bool) -> None:
        from matplotlib.font_manager import findfont, get_font

        super().__init__()
        self.bold = bold
        self.own = get_font(_own_file(bold))
        if fonts and fonts != (DEJAVU,):
            self.own = get_font(findfont(font(10.0, bold, fonts=fonts)))

    def __missing__(self, letter: str) -> float:
        from matplotlib.font_manager import FontProperties, findfont, get_font

        face, code = self.own, ord(letter)
        if face.get_char_index(code) == 0:
            family = _family_with(code)
            if family is None:
                face, code = self.own, ord(NO_LETTER)
            else:
                face = get_font(findfont(FontProperties(family=family)))
        face.set_size(100.0, 72)  # matplotlib shares its fonts, and may have set another size
        self[letter] = advance = face.load_char(code).linearHoriAdvance / 6553600
        return advance


@lru_cache(maxsize=64)
def _advances(fonts: tuple[str, ...], bold: bool) -> _Advances:
    return _Advances(fonts, bold)


def text_width(text: str, size: float, bold: bool = False, fonts: tuple[str, ...] = (DEJAVU,)) -> float:
    """Return the width of one line of text in points, letter by letter (kerning makes it a little less)."""
    return size * sum(map(_advances(installed(fonts), bold).__getitem__, plain(text)))


def wrap_to_width(
    text: str,
    width: float,
    size: float,
    bold: bool = False,
    fonts: tuple[str, ...] = (DEJAVU,),
) -> tuple[str, ...]:
    """Return the text in lines no wider than `width` points; a word wider than that is broken.

    "k = 13" stands in one line, if it fits. A piece of a word has four letters at least, however narrow the
    width.
    """
    given = lines_in(text)
    if len(given) > 1:
        return tuple(line for part in given for line in wrap_to_width(part, width, size, bold, fonts))
    (text,) = given
    if text_width(text, size, bold, fonts) <= width:
        return (text,)
    gap, room, lines = text_width(" ", size, bold, fonts), 0.0, list[str]()
    for word in _words(text, width, size, bold, fonts):
        wide = text_width(word, size, bold, fonts)
        if lines and gap + wide <= room:
            lines[-1] += f" {word}"
            room -= gap + wide
        else:
            lines += _pieces(word, width, size, bold, fonts)
            room = width - text_width(lines[-1], size, bold, fonts)
    return tuple(lines)


def _words(text: str, width: float, size: float, bold: bool, fonts: tuple[str, ...]) -> list[str]:
    """Return the words of a text; the two sides of an equation that is no wider than `width` are one."""
    found: list[str] = []
    for part in EQUATION.split(text.strip()):
        found += [part] if text_width(part, size, bold, fonts) <= width else part.split()
    return found


def _pieces(word: str, width: float, size: float, bold: bool, fonts: tuple[str, ...]) -> list[str]:
    """Return a word; in pieces no wider than `width` if it is wider than that."""
    pieces = []
    while len(word) > 4 and text_width(word, size, bold, fonts) > width:
        fit = (n for n in range(len(word) - 1, 4, -1) if text_width(word[:n], size, bold, fonts) <= width)
        letters = next(fit, 4)
        pieces.append(word[:letters])
        word = word[letters:]
    return [*pieces, word]


def luminance(color: str) -> float:
    """Return the relative luminance of a colour (WCAG 2.2)."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, two: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21 (WCAG 2.2)."""
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)
