"""Numbers into text, and rows of text into tables: the one place where anything is rounded.

Everything below keeps full precision; a number is rounded here, when it is shown, and nowhere else.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

from metaexo.calls import explain_room

if TYPE_CHECKING:
    import pandas as pd

# What analyses use; the other functions serve the package.
__all__ = [
    "html_table",
    "interval",
    "latex_table",
    "markdown_table",
    "number",
    "p_value",
    "percent",
    "plural",
    "text_table",
]

MINUS = "\N{MINUS SIGN}"
MISSING = "\N{EN DASH}"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LARGE = 1e7


def number(value: float | None, digits: int = 2) -> str:
    """Return a number with a fixed count of decimals and a true minus sign.

    Numbers that would show as zero without being zero, and very large ones, are shown with `digits + 1`
    significant digits instead. None and NaN are shown as a dash.

    Examples
    --------
    >>> number(1.005), number(-0.5, 1), number(0.00012), number(None)
    ('1.00', '−0.5', '0.00012', '–')
    """
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    size = abs(value)
    if size != 0 and (size < 0.5 * 10.0**-digits or size >= LARGE):
        text = f"{value:.{digits + 1}g}"
    else:
        text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def ten_digits(value: float) -> float:
    """Return the value to ten significant digits, so that noise in the last ones cannot turn a tie."""
    return float(f"{float(value):.10g}")


def shown(value: float | None, digits: int) -> str:
    """Return a number as text; None and NaN as a dash, extreme ones with a power of ten."""
    text = number(None if value is None else ten_digits(value), digits)
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}×10{_raised(exponent)}" if e else text


def fixed(value: float | None, digits: int) -> str:
    """Return a number of a column, with as many decimals as the others, however small it is.

    Only what is too large to be read so is shown with a power of ten.
    """
    if value is None or not abs(value) < LARGE:
        return shown(value, digits)
    text = f"{ten_digits(value):.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", MINUS)


def at_least(value: float, digits: int = 2) -> str:
    """Return " = " and a number of at least zero; " < " and the least that is shown, if it is smaller."""
    least = 10.0**-digits
    return f" < {least:.{digits}f}" if 0 < ten_digits(value) < 0.5 * least else f" = {fixed(value, digits)}"


def power_label(value: float) -> str:
    """Return a round value with a power of ten, with as many digits as it has, ten at most."""
    mantissa, _, exponent = f"{value:.9e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".").replace("-", MINUS)
    sign = {"1": "", f"{MINUS}1": MINUS}.get(mantissa, f"{mantissa}×")
    return f"{sign}10{_raised(exponent)}"


def _raised(exponent: str) -> str:
    return str(int(exponent.replace(MINUS, "-"))).translate(RAISED)


def whole_or_decimals(values: Sequence[float], most: int = 3) -> int:
    """Return how many decimals a column of numbers needs, at most `most`."""
    finite = [v for v in values if math.isfinite(v)]
    for digits in range(most + 1):
        if all(abs(v - round(v, digits)) <= 1e-9 * max(1.0, abs(v)) for v in finite):
            return digits
    return 2


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Return "low to high"; "to" keeps negative bounds readable.

    Examples
    --------
    >>> interval(-0.25, 1.5)
    '−0.25 to 1.50'
    """
    return f"{number(low, digits)} to {number(high, digits)}"


def p_value(p: float | None) -> str:
    """Return a p-value with the relation sign that belongs to it.

    Examples
    --------
    >>> p_value(0.0321), p_value(2e-7), p_value(0.2)
    ('p = 0.032', 'p < 0.0001', 'p = 0.20')
    """
    if p is None or math.isnan(p):
        return f"p {MISSING}"
    if p < 0.0001:
        return "p < 0.0001"
    digits = 2 if p >= 0.1 else 3 if p >= 0.01 else 4
    return f"p = {p:.{digits}f}"


def percent(fraction: float | None, digits: int = 0) -> str:
    """Return a fraction in per cent.

    Examples
    --------
    >>> percent(0.634)
    '63%'
    """
    return MISSING if fraction is None or math.isnan(fraction) else f"{number(100 * fraction, digits)}%"


def level_words(level: float) -> str:
    """Return the level of an interval in per cent, with as many decimals as it has.

    Examples
    --------
    >>> level_words(0.95), level_words(0.975)
    ('95%', '97.5%')
    """
    return f"{100 * level:.10g}%"


# How intervals and tests are made, by the names of the arguments `test`.
TEST_NAMES = {
    "knapp-hartung": "Knapp-Hartung",
    "knapp-hartung-adhoc": "Knapp-Hartung, scale at least 1",
    "knapp-hartung-or-z": "the wider of Knapp-Hartung and normal quantiles",
    "knapp-hartung-iqwig": "Knapp-Hartung, scale at least 1 if narrower than DerSimonian-Laird",
    "kenward-roger": "Kenward-Roger",
    "t": "t distribution",
    "t-containment": "t distribution, degrees of freedom by containment",
    "z": "normal quantiles",
}
NOT_REPORTED = "not reported"


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return the count with its noun.

    Examples
    --------
    >>> plural(1, "study", "studies"), plural(3, "effect")
    ('1 study', '3 effects')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"


def with_article(words: str) -> str:
    """Return words, or the code of a measure, with "a" or "an" as they are said.

    Examples
    --------
    >>> [with_article(words) for words in ("SMD", "MD", "ROM", "odds ratio", "risk ratio")]
    ['an SMD', 'an MD', 'a ROM', 'an odds ratio', 'a risk ratio']
    """
    first = words.partition(" ")[0]
    spelt = first.isupper() and first != "ROM"  # letter by letter: "an R" and "an S", but "a U"
    return f"{'an' if first[:1] in ('AEFHILMNORSX' if spelt else 'aeioAEIO') else 'a'} {words}"


PLAIN_SIGNS = str.maketrans(
    {
        MINUS: "-",
        "∞": "inf",
        "α": "alpha",
        "τ": "tau",
        "ρ": "rho",
        "θ": "theta",
        "β": "beta",
        "≥": ">=",
        "≤": "<=",
        "≈": "~",
    }
)


def plain_text(text: str) -> str:
    """Return text with the signs written out that terminals of older code pages cannot show.

    Use it for everything that is printed as plain text; figures, HTML and LaTeX keep the true signs.

    Examples
    --------
    >>> plain_text("−0.25 to ∞, τ = 0.3")
    '-0.25 to inf, tau = 0.3'
    """
    return text.translate(PLAIN_SIGNS)


def printed(show: Callable[[Any], str]) -> Callable[[Any], str]:
    """Return a method such as `__str__` whose text every terminal can show; see :func:`plain_text`."""

    @wraps(show)
    def shown(self: Any) -> str:
        return plain_text(show(self))

    return shown


def one_line(text: str) -> str:
    r"""Return text without line breaks and without control characters, which break tables and terminals.

    Examples
    --------
    >>> one_line("Li 2020,\nday 7\x1b[31m")
    'Li 2020, day 7[31m'
    """
    if text.isprintable():
        return text
    spaced = _BREAKS.sub(" ", text)
    return "".join(sign for sign in spaced if unicodedata.category(sign) not in _UNSEEN)


def legible(text: str) -> str:
    r"""Return text in one line that a page, a document and a workbook can hold and show as it is read.

    Use it for every text from outside: signs that no file of these kinds may hold, and marks that turn the
    direction of reading, are left out.

    Examples
    --------
    >>> legible("Li\x00 2020\u202e\uffff, <b>day 7</b>")
    'Li 2020, <b>day 7</b>'
    """
    return "".join(sign for sign in one_line(text) if ord(sign) & 0xFFFE != 0xFFFE)


_BREAKS = re.compile("[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
_UNSEEN = ("Cc", "Cs", "Cf")
"""Control characters, halves of pairs, and marks that turn the direction of reading."""
_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def without_html(text: str) -> str:
    """Return Markdown in which no HTML tag or comment can begin.

    Examples
    --------
    >>> without_html("| <img src=x> | p < 0.01 |")
    '| &lt;img src=x> | p < 0.01 |'
    """
    return _TAG.sub("&lt;", text)


def markdown_text(text: str) -> str:
    r"""Return text as it is to be read in Markdown: no HTML, links or cells of tables come of it.

    Examples
    --------
    >>> markdown_text("<script>x</script> | p < 0.01")
    '&lt;script>x&lt;/script> \\| p < 0.01'
    """
    plain = one_line(text).replace("\\", "\\\\").replace("|", r"\|")
    return without_html(plain).replace("](", r"]\(")


FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20")
"""Signs, wide ones too, with which spreadsheets take a text for a formula."""


def cell_text(text: str) -> str:
    """Return text as it is safe in a cell of a spreadsheet: with an apostrophe before the sign of a formula.

    Use it for every text that is written to a CSV file or a workbook; numbers stay numbers. Line breaks are
    all the same, and other control characters but tabs are left out.

    Examples
    --------
    >>> cell_text("=HYPERLINK(A1)"), cell_text("Li 2020"), cell_text("-")
    ("'=HYPERLINK(A1)", 'Li 2020', "'-")
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(s for s in lines if s in "\t\n" or unicodedata.category(s) not in ("Cc", "Cs"))
    return f"'{kept}" if kept.lstrip(" ").startswith(FORMULA_SIGNS) else kept


def safe_cells(frame: pd.DataFrame) -> pd.DataFrame:
    r"""Return a table for a CSV file or a workbook: in its texts and names no cell begins as a formula.

    Returned: a copy; numbers are as they were, texts as :func:`cell_text` gives them.

    Examples
    --------
    >>> import pandas as pd
    >>> safe_cells(pd.DataFrame({"label": ["=1+1", "Li 2020"], "y": [-0.5, 0.2]})).to_csv(index=False)
    "label,y\n'=1+1,-0.5\nLi 2020,0.2\n"
    """

    def safe(value: Any) -> Any:
        return cell_text(value) if isinstance(value, str) else value

    def safe_column(column: pd.Series) -> pd.Series:
        return column if column.dtype.kind in "biufcMm" else column.astype(object).map(safe)

    def safe_names(index: pd.Index) -> pd.Index:
        names = [safe(name) for name in index.names]
        if isinstance(index, pd.MultiIndex):
            parts = [tuple(safe(part) for part in value) for value in index]
            return pd.MultiIndex.from_tuples(parts, names=names)
        texts = index.dtype.kind not in "biufcMm"
        return (pd.Index([safe(x) for x in index], dtype=object) if texts else index).set_names(names)

    import pandas as pd

    done = pd.DataFrame({i: safe_column(frame.iloc[:, i]) for i in range(frame.shape[1])}, index=frame.index)
    return done.set_axis(safe_names(frame.columns), axis=1).set_axis(safe_names(frame.index), axis=0)


class TextTable(str):
    """A plain table that keeps its cells, so that a summary can show it in other forms."""

    rows: list[list[str]]
    header: list[str]
    left: int


def text_table(rows: Sequence[Sequence[str]], header: Sequence[str], left: int = 1) -> str:
    """Return rows of text as an aligned plain table; the first `left` columns are aligned to the left."""
    given = [[*row] for row in rows], [*header]
    rows, header = (
        [[plain_text(one_line(cell)) for cell in row] for row in rows],
        [plain_text(one_line(cell)) for cell in header],
    )
    widths = [max(len(row[j]) for row in [header, *rows]) for j in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if j < left else cell.rjust(width)
            for j, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    made = TextTable("\n".join(line(row) for row in [header, *rows]))
    made.rows, made.header, made.left = *given, left
    return made


def markdown_table(rows: Sequence[Sequence[str]], header: Sequence[str], left: int = 1) -> str:
    """Return rows of text as a Markdown table; the first `left` columns are aligned to the left."""
    rule = ["---" if j < left else "---:" for j in range(len(header))]
    cells = [[markdown_text(cell) for cell in row] for row in [header, rule, *rows]]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def html_table(
    rows: Sequence[Sequence[str]],
    header: Sequence[str],
    left: int | Sequence[int] = 1,
    caption: str | None = None,
) -> str:
    """Return rows of text as an HTML table; the first `left` columns, or those at the places, stand left.

    Examples
    --------
    >>> html_table([["a < b", "1"]], ["x", "y"]).splitlines()[-3]
    '<tr><th scope="row" style="text-align: left">a &lt; b</th><td style="text-align: right">1</td></tr>'
    """
    from html import escape

    at_left = range(left) if isinstance(left, int) else left

    def line(cells: Sequence[str], tag: str) -> str:
        parts = []
        for j, cell in enumerate(cells):
            style = f' style="text-align: {"left" if j in at_left else "right"}"'
            name, scope = (tag, ' scope="col"') if tag == "th" else ("th", ' scope="row"')
            if tag == "td" and j > 0:
                name, scope = "td", ""
            parts.append(f"<{name}{scope}{style}>{escape(one_line(cell))}</{name}>")
        return f"<tr>{''.join(parts)}</tr>"

    title = [f"<caption>{escape(one_line(caption))}</caption>"] if caption else []
    head = ["<thead>", line(header, "th"), "</thead>"]
    body = ["<tbody>", *(line(row, "td") for row in rows), "</tbody>"]
    return "\n".join(["<table>", *title, *head, *body, "</table>"])


def latex_table(
    rows: Sequence[Sequence[str]], header: Sequence[str], left: int = 1, caption: str | None = None
) -> str:
    r"""Return rows of text as a LaTeX table of the booktabs package; the first `left` columns stand left.

    Examples
    --------
    >>> print(latex_table([["R&D", "−1%"]], ["x", "y"]))
    \begin{tabular}{lr}
    \toprule
    x & y \\
    \midrule
    R\&D & $-$1\% \\
    \bottomrule
    \end{tabular}
    """

    def line(cells: Sequence[str]) -> str:
        return " & ".join(latex_text(cell) for cell in cells) + r" \\"

    columns = "".join("l" if j < left else "r" for j in range(len(header)))
    table = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(header), r"\midrule"]
    table += [*(line(row) for row in rows), r"\bottomrule", r"\end{tabular}"]
    if caption:
        above = [r"\begin{table}", r"\centering", rf"\caption{{{latex_text(caption)}}}"]
        table = [*above, *table, r"\end{table}"]
    return "\n".join(table)


LATEX_SIGNS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    MINUS: "$-$",
    MISSING: "--",
    "∞": r"$\infty$",
    "×": r"$\times$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
}


def latex_text(text: str) -> str:
    r"""Return text with the signs that LaTeX gives a meaning of their own written out.

    Examples
    --------
    >>> print(latex_text("p < 0.01 & 5%"))
    p $<$ 0.01 \& 5\%
    """
    return "".join(LATEX_SIGNS.get(sign, sign) for sign in one_line(text))


def __dir__() -> list[str]:
    return list(__all__)


explain_room(__name__)
