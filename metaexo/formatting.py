"""Numbers into text, and rows of text into tables: the one place where anything is rounded.

Everything below keeps full precision; a number is rounded here, when it is shown, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"
MISSING = "\N{EN DASH}"


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
    if size != 0 and (size < 0.5 * 10.0**-digits or size >= 1e7):
        text = f"{value:.{digits + 1}g}"
    else:
        text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


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
    '63 %'
    """
    return MISSING if fraction is None or math.isnan(fraction) else f"{number(100 * fraction, digits)} %"


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return the count with its noun.

    Examples
    --------
    >>> plural(1, "study", "studies"), plural(3, "effect")
    ('1 study', '3 effects')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"


def text_table(rows: Sequence[Sequence[str]], header: Sequence[str], left: int = 1) -> str:
    """Return rows of text as an aligned plain table; the first `left` columns are aligned to the left."""
    widths = [max(len(row[j]) for row in [header, *rows]) for j in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if j < left else cell.rjust(width)
            for j, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    return "\n".join(line(row) for row in [header, *rows])


def markdown_table(rows: Sequence[Sequence[str]], header: Sequence[str], left: int = 1) -> str:
    """Return rows of text as a Markdown table; the first `left` columns are aligned to the left."""
    rule = ["---" if j < left else "---:" for j in range(len(header))]
    cells = [[cell.replace("|", r"\|") for cell in row] for row in [header, rule, *rows]]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def html_table(
    rows: Sequence[Sequence[str]], header: Sequence[str], left: int = 1, caption: str | None = None
) -> str:
    """Return rows of text as an HTML table; the first `left` columns are aligned to the left.

    Examples
    --------
    >>> html_table([["a < b", "1"]], ["x", "y"]).splitlines()[-3]
    '<tr><th scope="row">a &lt; b</th><td style="text-align: right">1</td></tr>'
    """
    from html import escape

    def line(cells: Sequence[str], tag: str) -> str:
        parts = []
        for j, cell in enumerate(cells):
            style = "" if j < left else ' style="text-align: right"'
            name, scope = (tag, ' scope="col"') if tag == "th" else ("th", ' scope="row"')
            if tag == "td" and j > 0:
                name, scope = "td", ""
            parts.append(f"<{name}{scope}{style}>{escape(cell)}</{name}>")
        return f"<tr>{''.join(parts)}</tr>"

    title = [f"<caption>{escape(caption)}</caption>"] if caption else []
    body = [line(row, "td") for row in rows]
    return "\n".join(
        [
            "<table>",
            *title,
            "<thead>",
            line(header, "th"),
            "</thead>",
            "<tbody>",
            *body,
            "</tbody>",
            "</table>",
        ]
    )


def latex_table(
    rows: Sequence[Sequence[str]], header: Sequence[str], left: int = 1, caption: str | None = None
) -> str:
    r"""Return rows of text as a LaTeX table of the booktabs package; the first `left` columns stand left.

    Examples
    --------
    >>> print(latex_table([["R&D", "−1 %"]], ["x", "y"]))
    \begin{tabular}{lr}
    \toprule
    x & y \\
    \midrule
    R\&D & $-$1 \% \\
    \bottomrule
    \end{tabular}
    """

    def line(cells: Sequence[str]) -> str:
        return " & ".join(latex_text(cell) for cell in cells) + r" \\"

    columns = "".join("l" if j < left else "r" for j in range(len(header)))
    table = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(header), r"\midrule"]
    table += [*(line(row) for row in rows), r"\bottomrule", r"\end{tabular}"]
    if caption:
        table = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_text(caption)}}}",
            *table,
            r"\end{table}",
        ]
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
    >>> print(latex_text("p < 0.01 & 5 %"))
    p $<$ 0.01 \& 5 \%
    """
    return "".join(LATEX_SIGNS.get(sign, sign) for sign in text)
