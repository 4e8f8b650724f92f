"""Numbers and names as the figures print them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from metaexo.formatting import MINUS, MISSING, number

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NAMES = {"isolation": "isolation method"}
LARGE = 1e7
NOT_REPORTED, OTHER = "not reported", "other"


def settle(value: float) -> float:
    """Return the value to ten significant digits, so that noise in the last ones cannot turn a tie.

    Examples
    --------
    >>> settle(0.1249999999999), settle(0.1250000000001)
    (0.125, 0.125)
    """
    return float(f"{float(value):.10g}")


def shown(value: float | None, digits: int) -> str:
    """Return a number as text; None and NaN as a dash, extreme ones with a power of ten.

    Examples
    --------
    >>> shown(0.125, 2), shown(-3.0, 1), shown(None, 2), shown(7.93e-12, 2)
    ('0.12', '−3.0', '–', '7.93×10⁻¹²')
    """
    text = number(None if value is None else settle(value), digits)
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}×10{_raised(exponent)}" if e else text


def fixed(value: float | None, digits: int) -> str:
    """Return a number of a column, with as many decimals as the others, however small it is.

    Only what is too large to be read so is shown with a power of ten.

    Examples
    --------
    >>> fixed(-0.000524, 2), fixed(0.46, 0), fixed(None, 2), fixed(2.5e9, 1)
    ('0.00', '0', '–', '2.5×10⁹')
    """
    if value is None or not abs(value) < LARGE:
        return shown(value, digits)
    text = f"{settle(value):.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", MINUS)


def at_least(value: float, digits: int = 2) -> str:
    """Return " = " and a number that cannot be negative; " < " and the least that is shown, if it is smaller.

    Examples
    --------
    >>> at_least(0.314), at_least(0.0003), at_least(0.0)
    (' = 0.31', ' < 0.01', ' = 0.00')
    """
    least = 10.0**-digits
    return f" < {least:.{digits}f}" if 0 < settle(value) < 0.5 * least else f" = {fixed(value, digits)}"


def power_label(value: float) -> str:
    """Return a round value with a power of ten.

    Examples
    --------
    >>> power_label(1e6), power_label(-2e-5)
    ('10⁶', '−2×10⁻⁵')
    """
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    sign = mantissa.replace("-", MINUS).removesuffix("1")
    return f"{sign}{'×' if sign[-1:].isdigit() else ''}10{_raised(exponent)}"


def _raised(exponent: str) -> str:
    return str(int(exponent.replace(MINUS, "-"))).translate(RAISED)


def same_line(text: str) -> str:
    """Return the text with blanks at which no line breaks."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def typeset(text: str) -> str:
    """Return a remark with Greek letters and raised digits where plain text had to do without.

    Examples
    --------
    >>> typeset("one tau2 for all")
    'one τ² for all'
    """
    return text.replace("tau2", "τ²").replace("I2", "I²")


def name_of(key: str) -> str:
    """Return the name of a column in words.

    Examples
    --------
    >>> name_of("source_category"), name_of("isolation")
    ('source', 'isolation method')
    """
    text = key.replace("_", " ").removesuffix(" category")
    return NAMES.get(text, text)


def title_of(key: str) -> str:
    """Return the name of a column as a heading.

    Examples
    --------
    >>> title_of("source_category"), title_of("follow_up_weeks"), title_of("n")
    ('Source', 'Follow up weeks', 'n')
    """
    text = name_of(key)
    return text if len(text) == 1 else text[:1].upper() + text[1:]


def whole_or_decimals(values: Sequence[float], most: int = 3) -> int:
    """Return how many decimals a column of numbers needs, at most `most`.

    Examples
    --------
    >>> whole_or_decimals([2020.0, 2021.0]), whole_or_decimals([0.5, 1.25]), whole_or_decimals([1 / 3])
    (0, 2, 2)
    """
    finite = [v for v in values if np.isfinite(v)]
    for digits in range(most + 1):
        if all(abs(v - round(v, digits)) <= 1e-9 * max(1.0, abs(v)) for v in finite):
            return digits
    return 2


def words(value: object, wording: Mapping[str, str] | None = None, missing: str = MISSING) -> str:
    """Return a category in words: its entry in `wording`, or itself with blanks for underscores.

    A missing value is shown as `missing`.

    Examples
    --------
    >>> words("bone_marrow_msc"), words("adipose_msc", {"adipose_msc": "adipose MSC"}), words(None)
    ('bone marrow msc', 'adipose MSC', '–')
    """
    if value is None or (isinstance(value, float) and np.isnan(value)) or str(value) in {"", "<NA>", "nan"}:
        return missing
    text = str(value)
    return (wording or {}).get(text, text.replace("_", " "))


def stratum_words(levels: Mapping[str, str], wording: Mapping[str, str] | None = None) -> str:
    """Return the levels of a stratum in words; "other" and "not reported" say of what.

    Examples
    --------
    >>> stratum_words({"outcome": "wound_closure", "source": "Not reported"})
    'wound closure / source not reported'
    >>> stratum_words({"source": "Other", "isolation": "other"})
    'Other source / other isolation method'
    """
    known = wording or {}
    named = [
        known[level] if level in known else _with_factor(factor, words(level), first=not position)
        for position, (factor, level) in enumerate(levels.items())
    ]
    return " / ".join(named)


def _with_factor(factor: str, level: str, first: bool) -> str:
    """Return the level, with the name of its factor if it says nothing without it."""
    name = name_of(factor)
    said = {OTHER: f"{OTHER} {name}", NOT_REPORTED: f"{name} {NOT_REPORTED}"}.get(level.casefold())
    if said is None:
        return level
    return said[:1].upper() + said[1:] if first and level[:1].isupper() else said


def level_words(level: float) -> str:
    """Return a level in per cent.

    Examples
    --------
    >>> level_words(0.95), level_words(0.975)
    ('95 %', '97.5 %')
    """
    return f"{settle(100 * level):g} %"
