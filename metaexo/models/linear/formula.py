"""A formula such as ``source * log(dose)``, read into terms.

The formula is cut into tokens and each token is checked before anything is made of it. Columns and calls are
then replaced by neutral names, so that the algebra of the formula (what ``*``, ``:`` and ``^`` expand to) is
all that formulaic sees; the parts themselves are read by :mod:`metaexo.models.formula_expressions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metaexo.errors import FormulaError, UnknownChoiceError
from metaexo.models.linear.formula_expressions import Expression, column_expression, read_call

OPERATORS = ("+", "-", ":", "*", "^", "**")
ALLOWED = (
    "columns, + - : * ^, brackets, 0, 1, -1, and known functions such as C(source), log(dose), I(dose^2)"
)
LARGEST_POWER = 9


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula, read.

    Attributes
    ----------
    text : str
        As it was written.
    intercept : bool
        Whether the model has an intercept.
    parts : tuple of Expression
        Columns and calls, in order of appearance.
    terms : tuple of tuple of int
        Each term as the positions of its parts, single parts first, then products of two, and so on.
    """

    text: str
    intercept: bool
    parts: tuple[Expression, ...]
    terms: tuple[tuple[int, ...], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data that it uses."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.columns))


def read_formula(text: str, columns: Sequence[str]) -> Formula:
    """Return the terms of a formula on the given columns.

    Nothing of the formula is evaluated. It may hold column names (in backticks if they have blanks), ``+``,
    ``-``, ``:``, ``*``, brackets, ``^`` (or ``**``) after a bracket, ``0``, ``1``, ``-1``, and calls of C (or
    factor), I, log, log2, log10, exp, sqrt, abs, center, scale, poly, bs and cr.

    Parameters
    ----------
    text : str
        The formula; a leading ``~`` is allowed. A text that is the name of a column is that column.
    columns : sequence of str
        Columns that it may use.

    Raises
    ------
    FormulaError
        If something else stands in it; the error names the token.
    UnknownChoiceError
        If a name is not a column; it names the nearest one.

    Examples
    --------
    >>> formula = read_formula("~ source * log(dose)", ["source", "dose"])
    >>> [":".join(formula.parts[i].text for i in term) for term in formula.terms]
    ['source', 'log(dose)', 'source:log(dose)']
    """
    if text in columns:
        return Formula(text, True, (column_expression(text),), ((0,),))
    odd = [name for name in columns if not name.isidentifier() and name in text and f"`{name}`" not in text]
    try:
        return _read(text, columns)
    except (FormulaError, UnknownChoiceError) as error:
        if not odd:
            raise
        quoted = ", ".join(f"`{name}`" for name in odd)
        raise FormulaError(
            str(getattr(error, "token", getattr(error, "word", text))),
            text,
            ALLOWED,
            f"put names that are not single words into backticks: {quoted}",
        ) from error


def _read(text: str, columns: Sequence[str]) -> Formula:
    parts: list[Expression] = []
    neutral: list[str] = []
    tokens = _tokens(text)
    for i, (token, kind) in enumerate(tokens):
        if kind in ("name", "python"):
            part = _part(token, kind, text, columns)
            if part not in parts:
                parts.append(part)
            neutral.append(f"part{parts.index(part)}")
        elif _is_sign(token, kind, i, tokens):
            neutral.append(token if token != "~" else "")
        else:
            raise FormulaError(token, text, ALLOWED, _remedy(token, tokens[i - 1][0] if i else ""))
    terms = _expand(" ".join(neutral), text)
    found = sorted((term for term in terms if term), key=len)
    return Formula(text, () in terms, tuple(parts), tuple(found))


def _tokens(text: str) -> list[tuple[str, str]]:
    """Return the tokens of a formula with their kinds."""
    from formulaic.errors import FormulaSyntaxError
    from formulaic.parser.algos.tokenize import tokenize

    try:
        return [(token.token, token.kind.value) for token in tokenize(text)]
    except FormulaSyntaxError as error:
        raise FormulaError(
            text, text, ALLOWED, "look for a bracket or a quote that does not close"
        ) from error


def _part(token: str, kind: str, text: str, columns: Sequence[str]) -> Expression:
    if kind == "python":
        return read_call(token, text, columns)
    if token not in columns:
        raise UnknownChoiceError("column", token, columns)
    return column_expression(token)


def _is_sign(token: str, kind: str, i: int, tokens: list[tuple[str, str]]) -> bool:
    """Say whether a token that is no column or call may stand at position i."""
    before = tokens[i - 1][0] if i else ""
    if kind == "operator":
        return token in OPERATORS or (token == "~" and i == 0)
    if kind == "context":
        return token in ("(", ")")
    if kind == "value" and before in ("^", "**") and i > 1 and tokens[i - 2][0] == ")":
        return token.isdecimal() and 1 <= int(token) <= LARGEST_POWER
    return kind == "value" and token in ("0", "1")


def _remedy(token: str, before: str) -> str:
    if token == "~":
        return "give the moderators alone; the effects are those of the model"
    if before in ("^", "**"):
        return "the square of a column is I(dose^2); (a + b)^2 stands for a + b + a:b"
    return "numbers enter with I(), for example I(dose/100)" if token.isdecimal() else ""


def _expand(neutral: str, text: str) -> list[tuple[int, ...]]:
    """Return the terms that the algebra of a formula gives; the empty term is the intercept."""
    from formulaic.errors import FormulaParsingError
    from formulaic.parser import DefaultFormulaParser

    try:
        parsed: Any = DefaultFormulaParser().get_terms(neutral or "1")
    except FormulaParsingError as error:
        raise FormulaError(text, text, ALLOWED, "look for a sign that stands alone or twice") from error
    terms = []
    for term in parsed.root if hasattr(parsed, "root") else parsed:
        names = [str(factor.expr) for factor in term.factors]
        terms.append(tuple(sorted(int(name.removeprefix("part")) for name in names if name != "1")))
    return terms
