"""From the text of a cell to a value: numbers in any notation, two numbers in one cell, words of a list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache

from metaexo.errors import MetaexoError, NotANumberError, UnclearCellError
from metaexo.evidence.codebook import Column
from metaexo.evidence.domains import word_meant
from metaexo.evidence.tables.cells import Number, Percent
from metaexo.evidence.tables.headings import fold, option

EMPTY = frozenset(
    [
        "na",
        "n/a",
        "n.a.",
        "n.a",
        "#n/a",
        "nan",
        "null",
        "-",
        "--",
        "–",
        "—",
        ".",
        "?",
        "nr",
        "n.r.",
        "n/r",
        "not reported",
        "not available",
        "not given",
        "not stated",
        "not applicable",
        "not provided",
        "missing",
        "unknown",
        "(blank)",
        "k.a.",
        "k. a.",
        "keine angabe",
        "nicht berichtet",
        "fehlt",
    ]
)
"""Words that say that nothing is known, in columns of numbers and of closed lists."""
LONGEST = 80
"""Letters of a cell of numbers."""
_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE)
_COMMA = re.compile(r"[+-]?(?:\d+|),\d+(?:e[+-]?\d+)?", re.IGNORECASE)
_THREE = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
_ENGLISH = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_GERMAN = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?")
_SPACED = re.compile(r"[+-]?[1-9]\d{0,2}(?:[ '\u2019]\d{3})+(?:[.,]\d+)?")
_POWER = re.compile(r"(.+?)\s*[x×*·]\s*10\s*\^\s*([+-]?\d+)", re.IGNORECASE)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_HIGH = re.compile(r"(?<=10)([⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_TOKEN = r"[+-]?(?:\d[\d.,' \u2019]*\d|\d|[.,]\d+)(?:[eE][+-]?\d+)?"
_LABEL = r"(?:s\.?d\.?|s\.?e\.?(?:m\.?)?|n)(?![^\W\d_])"
"""What a cell may say of a number in it: a heading that says otherwise is wrong of this cell."""
_TWO = re.compile(
    rf"({_TOKEN})\s*(?:±|\+\s*/?\s*-|[(\[])\s*(?P<before>{_LABEL})?\s*[=:]?\s*({_TOKEN})\s*(?P<after>{_LABEL})?\s*[)\]]?",
    re.IGNORECASE,
)
_SHARE = re.compile(
    rf"({_TOKEN})\s*(?:/|\bof\b|\bout of\b)\s*({_TOKEN})\s*(?:[(\[][^()\[\]]*%\s*[)\]])?", re.IGNORECASE
)
_INTERVAL = re.compile(
    rf"({_TOKEN})\s*[(\[]\s*(?P<before>(?:\d\d\s*%\s*)?ci|iqr|range)?\s*[=:]?\s*({_TOKEN})\s*(?:to|bis|;|,\s|\s-\s|-|–|—)\s*({_TOKEN})\s*[)\]]",
    re.IGNORECASE,
)
_RANGE = re.compile(
    rf"[(\[]?\s*({_TOKEN})\s*(?:to|bis|;|,\s|\s-\s|-|–|—)\s*({_TOKEN})\s*[)\]]?", re.IGNORECASE
)
_WIDTH = re.compile(rf"(?:({_TOKEN})\s*[(\[]\s*)?(?:iqr|range)?\s*[:=]?\s*({_TOKEN})\s*[)\]]?", re.IGNORECASE)
_SAYS = re.compile(r"[(\[]\s*(?:95\s*%\s*)?(ci|iqr|range)\b", re.IGNORECASE)
OF_WORD: Mapping[str, tuple[str, str]] = {
    "ci": ("ci_low", "ci_high"),
    "iqr": ("q1", "q3"),
    "range": ("min", "max"),
}
"""What the ends of an interval are by the word before it."""
_MARKS = re.compile(r"(?<=[\d%)\]])\s*[*†‡§¶#]+(?!\s*[\d.,])")
_LETTERS = re.compile(r"(?<=[\d)\]])\s?(?:[abc]|[a-f](?:,?\s?[a-f])+)$")
MARKED = "a mark after the number"
_PER_GROUP = re.compile(
    r"(?:n\s*=\s*)?(\d{1,6})\s*(?:mice|rats|animals|patients)?\s*(?:/\s*(?:group|arm)|(?:per|in each|each)"
    r"\s*(?:group|arm)?)",
    re.IGNORECASE,
)
_ALONE = re.compile(rf"(?:±|\+\s*/?\s*-)\s*({_TOKEN})|[(\[]\s*({_TOKEN})\s*[)\]]")
"""A spread that stands alone, with the signs that it has behind a mean."""
_NOTHING_OR_ZERO = frozenset(("nd", "n.d.", "n.d", "not determined", "not detected", "not detectable"))
_RAISED = re.compile(r"(?<=\d)[·∙‧](?=\d)")
"""The decimal point of some journals."""
_COUNT = re.compile(r"(\d+)\s*[(\[]\s*\d+(?:[.,]\d+)?\s*%\s*[)\]]")
_COUNTED = re.compile(r"(\d{1,6})\s*[a-z(]", re.IGNORECASE)
_ABOUT = re.compile(rf"(?:[~≈]|ca\.?|circa|about|approx(?:\.|imately)?)\s*({_TOKEN})", re.IGNORECASE)
_OF_ONE_KIND = re.compile(
    r"(\d{1,6})\s*(?:mice|rats|animals|pigs|dogs|rabbits|patients|people|subjects)",
    re.IGNORECASE,
)
_WITH_UNIT = re.compile(rf"({_TOKEN})\s*[^\W\d_][\w/²³^]{{0,11}}")
_SIZE = re.compile(r"n\s*=\s*(\d{1,6})", re.IGNORECASE)
_THIRD = re.compile(
    rf"({_TOKEN})\s*(?:±|\+\s*/?\s*-|[(\[])\s*(?P<before>{_LABEL})?\s*[=:]?\s*({_TOKEN})\s*(?P<after>{_LABEL})?\s*[)\]]?\s*[(\[,;]\s*(?:n\s*=\s*)?(\d+)\s*[)\]]?",
    re.IGNORECASE,
)
_P = re.compile(r"(?:p(?:\s*-?\s*value)?)?\s*(<=|>=|<|>|=|≤|≥|⩽|⩾)?\s*(\S.*)", re.IGNORECASE)
_SIGNS = {"≤": "<=", "≥": ">=", "⩽": "<=", "⩾": ">="}
_IDENTIFIER = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:?\s*|pmid:?\s*)([0-9]\S*)", re.IGNORECASE)
"""A DOI or a PubMed identifier with what may stand before it."""
_STARS = re.compile(r"\*+|n\.?\s*s\.?|ns|not significant|significant|sig\.?", re.IGNORECASE)
_BLANKS = re.compile(r"[\s\u00a0\u2007\u2009\u200a\u202f\ufeff\u200b]+")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the numbers of a file, or of a column, that are written as text are to be read."""

    decimal: str = ""  # "." or ",": what all numbers agree on; "?" if they do not; "" if none of them says
    grouped: bool = False  # whether "1.234" may be a thousand, because cells are separated by semicolons


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a cell has no value."""

    kind: type[MetaexoError]
    what: str
    allowed: str
    remedy: str
    nearest: str | None = None
    # numbers that stand in one cell, each with the columns that it may be
    several: tuple[tuple[tuple[str, ...], str], ...] = ()
    once: bool = False  # whether it is asked once of all cells of a column
    two_ways: tuple[str, str] | None = None  # a number as thousands and as a decimal


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a cell in our notation, and how it was written where that is worth a note."""

    text: str
    how: str = ""


def plain(cell: str) -> str:
    """Return a cell with plain spaces, hyphens and minus signs, so that numbers in it can be seen."""
    text = _BLANKS.sub(" ", cell).strip()
    return re.sub(r"[\u2212\u2010\u2011\u2012\ufe63\uff0d]", "-", text)


def dialect_of(cells: Iterable[str], separator: str = "") -> Dialect:
    """Return what the numbers that are written as text say of the decimal mark.

    Examples
    --------
    >>> dialect_of(["12,5", "1,0", "3"]).decimal, dialect_of(["1,000", "3"]).decimal
    (',', '')
    >>> dialect_of(["12.5", "1,0"]).decimal
    '?'
    """
    marks = set()
    for cell in cells:
        if isinstance(cell, Number) or len(cell) > LONGEST or not ("," in cell or "." in cell):
            continue
        for token in re.findall(_TOKEN, plain(cell)):
            marks.add(_mark(token.strip()))
    marks.discard("")
    decimal = marks.pop() if len(marks) == 1 else "?" if marks else ""
    return Dialect(decimal, separator == ";")


def dialect_of_column(cells: Sequence[str], file: Dialect, *, whole: bool) -> Dialect:
    """Return how the numbers of a column are read: as they say themselves, or else as those of the file.

    In a column of whole numbers a sign before three digits stands between thousands.

    Examples
    --------
    >>> dialect_of_column(["1,234", "12"], Dialect(), whole=True).decimal
    '.'
    >>> dialect_of_column(["1,234", "12,5"], Dialect("?"), whole=False).decimal
    ','
    """
    own = dialect_of(cells, ";" if file.grouped else "")
    if own.decimal or file.decimal in (".", ","):
        return own if own.decimal else file
    threes = {"," in cell for cell in cells if not isinstance(cell, Number) and _THREE.fullmatch(plain(cell))}
    return Dialect("." if threes.pop() else ",", file.grouped) if whole and len(threes) == 1 else file


def _mark(token: str) -> str:
    """Return the decimal mark that a number can only have; "" if it does not say."""
    if _THREE.fullmatch(token):
        return ""
    if _COMMA.fullmatch(token) or (_GERMAN.fullmatch(token)):
        return ","
    if _ENGLISH.fullmatch(token) or ("." in token and _PLAIN.fullmatch(token)):
        return "."
    return ""


@lru_cache(maxsize=1 << 16, typed=True)  # typed: a Number is no text of the same letters
def number(cell: str, dialect: Dialect) -> Value | None:
    """Return the number that a text is, in our notation; None if it is none or can be read in two ways.

    Examples
    --------
    >>> number("1.234,5", Dialect()), number("1,000", Dialect("."))
    (Value(text='1234.5', how='decimal comma'), Value(text='1000', how='thousands'))
    >>> number("1,000", Dialect()), number("1.234", Dialect(",")), number("1,234", Dialect(","))
    (None, Value(text='1234', how='thousands'), Value(text='1.234', how='decimal comma'))
    """
    if isinstance(cell, Percent):
        return None
    if isinstance(cell, Number):
        return Value(str(cell))
    text = _signed(cell)
    if power := _POWER.fullmatch(_HIGH.sub(lambda match: "^" + match[1].translate(_SUPERSCRIPTS), text)):
        return _power(number(power[1], dialect), int(power[2]))
    if any(letter.isdigit() and not letter.isascii() for letter in text):
        return None
    if len(_RAISED.findall(text)) == 1 and _PLAIN.fullmatch(point := _RAISED.sub(".", text)):
        return Value(point.removeprefix("+"), "raised decimal point")
    if _THREE.fullmatch(text):
        return _three(text, dialect)
    if _PLAIN.fullmatch(text):
        return Value(text.removeprefix("+"))
    if _COMMA.fullmatch(text):
        return Value(text.replace(",", ".").removeprefix("+"), "decimal comma")
    if _ENGLISH.fullmatch(text):
        return Value(text.replace(",", ""), "thousands")
    if _GERMAN.fullmatch(text):
        how = "decimal comma" if "," in text else "thousands"
        return Value(text.replace(".", "").replace(",", "."), how)
    if _SPACED.fullmatch(text):
        rest = re.sub(r"[ '\u2019]", "", text)
        return Value(rest.replace(",", "."), "decimal comma" if "," in rest else "thousands")
    return None


def _signed(cell: str) -> str:
    """Return a number with the minus sign that was set as a dash; empty if the text is too long for one."""
    text = plain(cell) if len(cell) <= LONGEST else ""
    return "-" + text[1:].lstrip() if text[:1] in ("–", "—") and len(text) > 1 else text


def _power(base: Value | None, exponent: int) -> Value | None:
    if base is None or "e" in base.text.lower() or abs(exponent) > 99:
        return None
    return Value(f"{base.text}e{exponent}", "powers of ten")


def _three(text: str, dialect: Dialect) -> Value | None:
    """Return what "1,000" or "1.234" is where the other numbers of the column, or of the file, settle it."""
    mark = "," if "," in text else "."
    if dialect.decimal == "?" or (not dialect.decimal and (mark == "," or dialect.grouped)):
        return None
    if mark == (dialect.decimal or "."):
        point = text.removeprefix("+").replace(",", ".")
        return Value(point, "decimal comma" if mark == "," else "")
    return Value(text.removeprefix("+").replace(mark, ""), "thousands")


def is_empty(cell: str) -> bool:
    """Return whether a cell says that nothing is known."""
    return not cell or (len(cell) <= LONGEST and plain(cell).casefold() in EMPTY)


def values_of(cell: str, columns: Sequence[Column], dialect: Dialect, heading: str) -> list[Value] | Trouble:
    """Return the value of each column that stands in a cell, or why there is none."""
    if len(columns) == 1:
        found = value_of(cell, columns[0], dialect, heading)
        return found if isinstance(found, Trouble) else [found]
    if is_empty(cell):
        return [Value("", "empty")] * len(columns)
    names = [column.name for column in columns]
    whole = plain(cell) if len(cell) <= LONGEST else ""
    text = unmarked(whole)
    match = _form(names).fullmatch(text)
    if match is None and (half := _half_width(text, names, dialect)) is not None:
        return half
    wanted = _as_written(names)
    if match is None and names[-1].endswith(("_q3", "_max")) and _WIDTH.fullmatch(text):
        return _of_width(text, heading, wanted, "IQR" if names[-1].endswith("_q3") else "range")
    if match is None:
        return Trouble(
            UnclearCellError,
            f"{shown(cell)} is not of the form {wanted}",
            wanted,
            "write it in this form, or give each number a column of its own",
        )
    if (said := _said_otherwise(match, names, heading)) is not None:
        return said
    values = []
    for part, column in zip(_numbers(match), columns, strict=True):
        found = value_of(part, column, dialect, heading)
        if isinstance(found, Trouble):
            return found
        values.append(found)
    if text != whole:
        values[0] = replace(values[0], how=values[0].how or MARKED)
    return values


def _of_width(text: str, heading: str, wanted: str, what: str) -> Trouble:
    """Return why the width of an interval is no interval: where it lies is not known."""
    return Trouble(
        UnclearCellError,
        f"{shown(text)} has one number for the {what}: its width, from which its ends do not follow",
        wanted,
        "write both ends, as the paper has them; if it has the width alone, and the values are about "
        "symmetric, the ends are the median minus and plus half of it: write these, and say so in the column "
        f"note; or keep the column as your own: {option(heading, '')}",
        once=True,
    )


def interval_said(cell: str) -> str:
    """Return what a cell says that its interval is: "ci", "iqr", "range" or "".

    Examples
    --------
    >>> interval_said("5 (IQR 2-9)"), interval_said("5 [range: 2 to 9]"), interval_said("5 (2-9)")
    ('iqr', 'range', '')
    """
    found = _SAYS.search(cell) if len(cell) <= LONGEST else None
    return found[1].lower() if found else ""


def ends_of(cell: str, kind: str) -> tuple[tuple[str, str], tuple[str, str, str]] | None:
    """Return what the ends of the interval beside a median or a mean are, and its three numbers.

    None where the cell does not say what the interval is, or is of another form.
    """
    says = interval_said(cell)
    match = _INTERVAL.fullmatch(plain(cell)) if says else None
    fits = says in (("iqr", "range") if kind == "median" else ("ci",))
    if match is None or not fits:
        return None
    number, low, high = _numbers(match)
    return OF_WORD[says], (number, low, high)


def _kinds(names: Sequence[str]) -> list[str]:
    """Return the statistics of columns, whatever they are of."""
    return [re.sub("^(?:treatment|control|effect)_", "", name) for name in names]


def _form(names: Sequence[str]) -> re.Pattern[str]:
    """Return the form of a cell that holds several columns."""
    kinds = _kinds(names)
    if len(kinds) == 2 and kinds[0] in ("events", "n"):
        return _SHARE
    if len(kinds) == 2:
        return _RANGE if kinds[0] in ("ci_low", "q1", "min") else _TWO
    return _THIRD if kinds[-1] == "n" else _INTERVAL


def _numbers(match: re.Match[str]) -> tuple[str, ...]:
    """Return the numbers of a cell, without what is said of them."""
    labels = match.re.groupindex.values()
    return tuple(text for i, text in enumerate(match.groups(), 1) if i not in labels)


def _said_of(match: re.Match[str]) -> str:
    """Return what a cell says of its last numbers: "SD", "SE", "n", "95% CI"; "" if it says nothing."""
    said = [match[name] for name in match.re.groupindex if match[name]]
    return said[0].strip() if said else ""


def _said_otherwise(match: re.Match[str], names: Sequence[str], heading: str) -> Trouble | None:
    """Ask where a cell says of its numbers that they are something else than its heading says."""
    label = _said_of(match)
    word = re.sub(r"[^a-z]", "", label.casefold())
    level = re.match(r"\d\d", label)
    of_heading = re.search(r"(\d\d)\s*%", heading)
    wanted = _kinds(names)[1:]
    parts = LABELS.get(word, ())
    same = not word or {*parts} <= {*wanted}
    if same and (level is None or level[0] == (of_heading[1] if of_heading else "95")):
        return None
    arm = names[0].partition("_")[0]
    own = [names[0], *(f"{arm}_{part}" for part in parts), *names[len(names) if wanted[-1] != "n" else -1 :]]
    remedy = f"write what the heading says, and the size in a column {arm}_n"
    if same:
        remedy = "write the interval of the level that the heading says"
    elif word != "n":
        remedy = (
            f"{option(heading, _joined_as(own))} if all cells of the column are that; take {label!r} out if "
            "it is a slip; if cells differ, give each kind a column of its own"
        )
    return Trouble(
        UnclearCellError,
        f"{shown(match.string)} says {label}, and its heading was read as {', '.join(names)}",
        f"cells that say what their heading says: {_as_written(names)}",
        remedy,
    )


def _joined_as(names: Sequence[str]) -> str:
    """Return columns as --map names those of one cell."""
    if len(names) == 2 or names[-1].endswith("_n"):
        return f"{names[0]} ± {names[1]}" + (f" ({names[2]})" if len(names) > 2 else "")
    return f"{names[0]} ({names[1]} to {names[2]})"


def _half_width(text: str, names: Sequence[str], dialect: Dialect) -> list[Value] | None:
    """Return mean and interval of "78.2 ± 7.6" where the heading says that an interval stands there."""
    two = _TWO.fullmatch(text)
    if two is None or _kinds(names)[1:] != ["ci_low", "ci_high"] or _said_of(two):
        return None
    if not re.search(r"±|\+\s*/?\s*-", text):
        return None
    centre, half = (number(part, dialect) for part in _numbers(two))
    if centre is None or half is None:
        return None
    middle, width = Decimal(centre.text), Decimal(half.text)
    return [Value(centre.text, "half a width"), Value(str(middle - width)), Value(str(middle + width))]


LABELS: Mapping[str, tuple[str, ...]] = {
    "sd": ("sd",),
    **dict.fromkeys(("se", "sem"), ("se",)),
    "n": ("n",),
    **OF_WORD,
}
"""What cells say of their numbers, and the statistics that it means."""


def _as_written(names: Sequence[str]) -> str:
    """Return an example of a cell that holds several columns."""
    if names[0].endswith("events"):
        return '"12/20": events / n'
    if len(names) == 2 and names[0].endswith(("ci_low", "q1", "min")):
        return f'"4.1 to 5.9": {names[0]} to {names[1]}'
    if len(names) == 2:
        return f'"5.0 ± 1.0" or "5.0 (1.0)": {names[0]} ± {names[1]}'
    if names[-1].endswith("_n"):
        return f'"5.0 ± 1.0 (10)": {names[0]} ± {names[1]} ({names[2]})'
    return f'"5.0 (4.1 to 5.9)": {names[0]} ({names[1]} to {names[2]})'


def value_of(cell: str, column: Column, dialect: Dialect, heading: str) -> Value | Trouble:
    """Return the value of a cell of one column, or why there is none."""
    if not column.is_number:
        return _word(cell, column)
    if is_empty(cell):
        return Value("", "empty")
    found = number(cell, dialect)
    if found is not None:
        return found
    text = plain(cell)
    if text.endswith("%"):
        return _percent(cell if isinstance(cell, Percent) else text, column, dialect)
    if column.quantity == "sample_size" and (size := _SIZE.fullmatch(text)):
        return Value(size[1], "n =")
    if column.quantity == "sample_size" and (size := _PER_GROUP.fullmatch(text)):
        return Value(size[1], "n per group")
    if column.quantity == "sample_size" and (size := _OF_ONE_KIND.fullmatch(text)):
        return Value(size[1], "n with a word")
    counted = _COUNT.fullmatch(text) if column.name.endswith("_events") and len(text) <= LONGEST else None
    if counted:
        return Value(counted[1], "count with its percentage")
    alone = _ALONE.fullmatch(text) if column.name.endswith(("_sd", "_se")) else None
    if alone and (found := number(alone[1] or alone[2], dialect)) is not None:
        return replace(found, how=found.how or "a spread in signs")
    bare = unmarked(text) if len(text) <= LONGEST else text
    if bare != text and (found := number(bare, dialect)) is not None:
        return replace(found, how=found.how or MARKED)
    return _not_a_number(text, column, dialect, heading)


def unmarked(text: str) -> str:
    """Return a text without the marks of footnotes and of tests that stand after its numbers.

    Examples
    --------
    >>> unmarked("81.0**"), unmarked("78.2* ± 9.1 a,b"), unmarked("5 mm"), unmarked("1.5*10^9")
    ('81.0', '78.2 ± 9.1', '5 mm', '1.5*10^9')
    """
    return _LETTERS.sub("", _MARKS.sub("", text))


def _percent(text: str, column: Column, dialect: Dialect) -> Value | Trouble:
    inner = Number(text[:-1]) if isinstance(text, Percent) else text[:-1].strip()
    found = number(inner, dialect)
    if found is None:
        return _not_a_number(inner, column, dialect, column.name)
    if column.quantity in ("events", "sample_size"):
        return Trouble(
            UnclearCellError,
            f"{shown(text)} is a percentage, not a count",
            column.allowed,
            "write how many it is (50 % of 20 is 10)",
        )
    if column.quantity in ("p_value", "p_value_words") or column.name in ("year", "df", "statistic", "items"):
        return Trouble(
            UnclearCellError, f"{shown(text)} is a percentage", column.allowed, "write the number without %"
        )
    return Value(found.text, "percent, decimal comma" if found.how == "decimal comma" else "percent")


def _not_a_number(text: str, column: Column, dialect: Dialect, heading: str) -> Trouble:
    """Return what a text in a column of numbers may be, and what settles it."""
    allowed = column.allowed
    arm = column.name.partition("_")[0]
    if len(text) <= LONGEST and _THREE.fullmatch(text):
        whole, point = re.sub(r"[.,]", "", text), text.replace(",", ".")
        return Trouble(
            UnclearCellError,
            f"{shown(text)} can be {whole} or {point}: the other numbers of the file do not settle it",
            allowed,
            f"write {whole} or {point}",
            two_ways=(whole, point),
        )
    if (found := _pair_or_share(text, column, heading)) is not None:
        return found
    ends = _ENDS.get(column.name.partition("_")[2] or column.name)
    three = _INTERVAL.fullmatch(text) if ends and len(text) <= LONGEST else None
    if ends and three:
        before = f"{arm}_" if column.name != arm else f"{column.name}_"
        low, high = (f"{before}{end}" for end in ends)
        as_range = option(heading, f"{column.name} ({before}min to {before}max)")
        other = f" (quartiles), {as_range} if they are smallest and largest value" if ends[0] == "q1" else ""
        return Trouble(
            UnclearCellError,
            f"{shown(text)} holds a number and an interval",
            allowed,
            f"{option(heading, f'{column.name} ({low} to {high})')} if they are that{other}, or a column for "
            "each",
            several=tuple(zip(((column.name,), (low,), (high,)), _numbers(three), strict=True)),
            once=True,
        )
    if len(text) <= LONGEST and (_RANGE.fullmatch(text) or _INTERVAL.fullmatch(text)):
        return Trouble(
            UnclearCellError,
            f"{shown(text)} holds a range or an interval, not one number",
            allowed,
            "write one number; the smaller is the cautious choice"
            if column.quantity == "sample_size"
            else "write each number in a column of its own",
        )
    remedy = "write a number, or leave the cell empty if it is not reported"
    nearest = None
    counted = _COUNTED.match(text) if column.quantity in ("sample_size", "events") else None
    about = _ABOUT.fullmatch(text) if len(text) <= LONGEST else None
    if counted:
        remedy = (
            f"write {counted[1]} if it is the number of animals or people; wells, wounds or fields of one "
        )
        remedy += "animal are no sample of their own: write the number of animals"
    elif about:
        remedy = (
            f"write {about[1]} if that is near enough, and say so in the column note; else leave it empty"
        )
    elif text.startswith("="):
        remedy = "write the result of the formula (in a spreadsheet: paste as values)"
    elif len(text) <= LONGEST and (with_unit := _WITH_UNIT.fullmatch(text)):
        nearest = with_unit[1]
        remedy = f"write {nearest} alone; the unit belongs in a column of its own"
    return Trouble(NotANumberError, f"{shown(text)} is not a number", allowed, remedy, nearest)


def _pair_or_share(text: str, column: Column, heading: str) -> Trouble | None:
    """Ask of two numbers where one should stand, and of words that may be a number."""
    arm, allowed = column.name.partition("_")[0], column.allowed
    if text.casefold() in _NOTHING_OR_ZERO:
        return Trouble(
            UnclearCellError,
            f"{shown(text)} may be nothing known (not determined) or nothing found (not detected)",
            allowed,
            "leave the cell empty if it was not measured; of a value below the limit of detection write what "
            "the paper took for it, and say so in the note",
        )
    two = _TWO.fullmatch(text) if len(text) <= LONGEST and column.name.endswith("_mean") else None
    if two:
        parts = LABELS.get(re.sub(r"[^a-z]", "", _said_of(two).casefold()), ("sd", "se"))
        others = tuple(f"{arm}_{part}" for part in parts)
        words = {"sd": "the SD", "se": "the SE"}
        ways = [
            f"{option(heading, f'{arm}_mean ± {arm}_{part}')} if it is {words[part]}"
            for part in parts
            if part in words
        ]
        said = f"as it says, {_said_of(two)}" if _said_of(two) else "an SD or an SE, and nothing says which"
        return Trouble(
            UnclearCellError,
            f"{shown(text)} holds a mean and {said}",
            f"{allowed}; or a heading that says what stands there",
            ", ".join(ways) or "give each number a column of its own",
            several=(((column.name,), two[1]), (others, two[3])),
        )
    share = _SHARE.fullmatch(text) if len(text) <= LONGEST else None
    if share and column.name.endswith("_n") and "event" not in heading.casefold():
        return Trouble(
            UnclearCellError,
            f"{shown(text)} holds two numbers, and a size is one",
            allowed,
            f"write {share[1]} if {share[1]} of {share[2]} were measured (n is the number behind the mean); "
            f"if it is {share[1]} with the event of {share[2]}, name the heading events / n",
        )
    if share and column.name.endswith(("_events", "_n")):
        return Trouble(
            UnclearCellError,
            f"{shown(text)} holds a count and a size",
            allowed,
            f"{option(heading, f'{arm}_events / {arm}_n')}, or a column for each",
            several=(((f"{arm}_events",), share[1]), ((f"{arm}_n",), share[2])),
        )
    return None


def half_of(total: Value | Trouble, cell: str) -> Value | Trouble:
    """Return the size of each of two groups of one size, from the size of both together."""
    if isinstance(total, Trouble) or not total.text:
        return total
    if not total.text.isdigit() or int(total.text) % 2:
        return Trouble(
            UnclearCellError,
            f"{shown(cell)} is no total of two groups of one size",
            "an even number",
            "write the size of each group in a column of its own",
        )
    return Value(str(int(total.text) // 2), "half of a total")


def share(cell: str) -> tuple[str, str] | None:
    """Return the two numbers of "12/20" or "12 of 20"; None if it is not of this form."""
    match = _SHARE.fullmatch(plain(cell)) if len(cell) <= LONGEST else None
    return (match[1], match[2]) if match else None


def is_count(cell: str) -> bool:
    """Return whether a cell is of the form "12 (60 %)"."""
    return len(cell) <= LONGEST and _COUNT.fullmatch(plain(cell)) is not None


def unit_of_time(heading: str) -> str:
    """Return the unit of the time points below a heading: "day", "week", "month", "hour" or "".

    Examples
    --------
    >>> unit_of_time("Day"), unit_of_time("Time (weeks)"), unit_of_time("Time point")
    ('day', 'week', '')
    """
    found = re.findall(r"[^\W\d_]+", heading[:LONGEST].casefold())
    units = {unit for word in found if (unit := _TIMES.get(word))}
    return units.pop() if len(units) == 1 else ""


_TIMES: Mapping[str, str] = {
    **dict.fromkeys(("day", "days", "d", "dpi", "dpw", "pod", "tag", "tage"), "day"),
    **dict.fromkeys(("week", "weeks", "wk", "wks", "w", "woche", "wochen"), "week"),
    **dict.fromkeys(("month", "months", "monat", "monate"), "month"),
    **dict.fromkeys(("hour", "hours", "h"), "hour"),
}


def is_pair(cell: str) -> bool:
    """Return whether a cell is of the form "5.0 ± 1.0" or "5.0 (1.0)"."""
    return len(cell) <= LONGEST and _TWO.fullmatch(plain(cell)) is not None


def p_value(cell: str, column: Column, dialect: Dialect) -> tuple[str, Value] | Trouble:
    """Return the relation that stands before a p-value ("" if there is none) and its number.

    Examples
    --------
    >>> from metaexo.evidence.codebook import load_codebook
    >>> p = load_codebook().sheets["outcomes"].columns["p_value"]
    >>> p_value("p < 0,01", p, Dialect())
    ('<', Value(text='0.01', how='decimal comma'))
    """
    if is_empty(cell):
        return "", Value("", "empty")
    text = plain(cell)
    if _STARS.fullmatch(text):
        return Trouble(
            UnclearCellError,
            f"{shown(text)} says no number",
            "a p-value, or a bound such as <0.05",
            "write the bound that the paper gives for it: <0.05, <0.01, >0.05",
        )
    match = _P.fullmatch(text) if len(text) <= LONGEST else None
    if match and not isinstance(cell, Number):
        relation, rest = _SIGNS.get(match[1] or "", match[1] or ""), match[2]
    else:
        relation, rest = "", cell
    found = value_of(rest, column, dialect, column.name)
    return found if isinstance(found, Trouble) else (relation, found)


def _word(cell: str, column: Column) -> Value | Trouble:
    """Return a text, or the word of a closed list that it is in other letters."""
    if column.pattern and is_empty(cell):
        return Value("", "empty")
    if not column.words:
        named = _IDENTIFIER.fullmatch(cell) if column.pattern else None
        return Value(named[1]) if named else Value(str(cell))
    if cell in column.words:
        return Value(cell)
    if is_empty(cell):
        return Value("", "empty")
    words = _words(column.words)
    meant = words.get(_joined(cell)) or (_BETTER.get(fold(cell)) if column.name == "better" else None)
    meant = meant if meant is not None else word_meant(column.name, cell[:LONGEST], column.words)
    meant = meant if meant is not None else (_YES.get(fold(cell)) if column.name == "paired" else None)
    return Value(meant, "word") if meant in column.words else Value(str(cell))


_BETTER: Mapping[str, str] = {
    **dict.fromkeys(
        ("higher is better", "high", "up", "increase", "more", "höher", "↑", "+", "larger"), "higher"
    ),
    **dict.fromkeys(
        ("lower is better", "low", "down", "decrease", "less", "niedriger", "↓", "smaller"), "lower"
    ),
}
_YES: Mapping[str, str] = {
    **dict.fromkeys(("y", "true", "1", "ja", "paired"), "yes"),
    **dict.fromkeys(("n", "false", "0", "nein", "unpaired", "independent"), "no"),
}


def _words(words: tuple[str, ...]) -> Mapping[str, str]:
    return {_joined(word): word for word in words}


def _joined(word: str) -> str:
    return re.sub(r"[\s_\-]+", "_", fold(word[:LONGEST]))


_ENDS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("mean", "effect", "difference"), ("ci_low", "ci_high")),
    "median": ("q1", "q3"),
}
"""What the ends of an interval beside a number are, as a rule."""


def shown(cell: str) -> str:
    """Return a cell in quotes, shortened if it is long."""
    return repr(str(cell) if len(cell) <= LONGEST else f"{cell[:LONGEST]} ...")
