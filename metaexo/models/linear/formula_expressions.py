"""The expressions that a formula may hold, and their values; nothing else is ever evaluated.

A part of a formula such as ``log(dose)``, ``I(dose^2)`` or ``C(source, base="adipose")`` is read into a small
tree of columns, numbers, the four operations, powers and known functions. Python's parser is used for the
reading, never its evaluation: a part that is not of this kind is refused by name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.errors import FormulaError, InputError, UnknownChoiceError
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

FACTORS = ("C", "factor")
SIMPLE: dict[str, Callable[[Array], Array]] = {
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
}
LEARNT = ("center", "scale")  # one column from one column, with a mean or spread learnt from the data
# Several columns from one: the options that a formula may set, in the order in which they may stand.
BASES: dict[str, tuple[str, ...]] = {
    "poly": ("degree", "raw"),
    "bs": ("df", "knots", "degree", "lower_bound", "upper_bound"),
    "cr": ("df", "knots", "lower_bound", "upper_bound"),
}
FUNCTIONS = (*FACTORS, "I", *SIMPLE, *LEARNT, *BASES)
OPERATIONS: dict[type[ast.operator], tuple[str, int, Callable[[Any, Any], Any]]] = {
    ast.Add: (" + ", 1, np.add),
    ast.Sub: (" - ", 1, np.subtract),
    ast.Mult: (" * ", 2, np.multiply),
    ast.Div: ("/", 2, np.divide),
    ast.Pow: ("^", 4, np.power),
}
NEEDED = "columns, numbers, + - * / ^ and the functions " + ", ".join(FUNCTIONS)


@dataclass(frozen=True, slots=True)
class Expression:
    """One part of a formula, read and checked.

    Attributes
    ----------
    kind : {"column", "number", "operation", "function"}
        What it is.
    name : str
        Name of the column, sign of the operation ("negative" for a sign in front), or name of the function.
    inner : tuple of Expression
        What the operation or the function works on.
    value : float
        The number.
    options : tuple of (str, object)
        What else the function was told.
    text : str
        How it is written, without options.
    rank : int
        How tightly it binds.
    """

    kind: str
    name: str
    inner: tuple[Expression, ...] = ()
    value: float = 0.0
    options: tuple[tuple[str, Any], ...] = ()
    text: str = ""
    rank: int = 9

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that it uses, in order of appearance."""
        own = (self.name,) if self.kind == "column" else ()
        return tuple(dict.fromkeys([*own, *(name for part in self.inner for name in part.columns)]))

    @property
    def is_factor(self) -> bool:
        """Whether it is a column whose values are taken as levels by C() or factor()."""
        return self.kind == "function" and self.name in FACTORS


def column_expression(name: str) -> Expression:
    """Return the expression that is a column."""
    return Expression("column", name, text=name)


class _Reader:
    """Reads one call out of a formula."""

    def __init__(self, formula: str, columns: Sequence[str]) -> None:
        self.formula = formula
        self.columns = columns
        self.quoted: dict[str, str] = {}

    def refuse(self, token: str, needed: str = NEEDED) -> FormulaError:
        for key, column in self.quoted.items():
            token = token.replace(key, column)
        return FormulaError(token, self.formula, needed)

    def read(self, text: str) -> Expression:
        """Return the expression of a call, or refuse it."""
        try:
            node = ast.parse(self._plain(text), mode="eval").body
        except SyntaxError as error:
            raise self.refuse(text) from error
        if not isinstance(node, ast.Call):
            raise self.refuse(text)
        return self._call(node, top=True)

    def _plain(self, text: str) -> str:
        """Return the text with ^ as Python's power and columns in backticks as plain names.

        So are columns that are called like a word of Python's own, such as class.
        """
        parts = re.split(r"(\"[^\"]*\"|'[^']*'|`[^`]*`)", text)
        for i, part in enumerate(parts):
            if part.startswith("`"):
                parts[i] = self._quote(part[1:-1])
            elif not part.startswith(('"', "'")):
                parts[i] = re.sub(r"[A-Za-z]\w*", self._unreserved, part.replace("^", "**"))
        return "".join(parts)

    def _quote(self, column: str) -> str:
        """Return a plain name that stands for a column."""
        key = f"quoted_column_{len(self.quoted)}_"
        self.quoted[key] = column
        return key

    def _unreserved(self, word: re.Match[str]) -> str:
        reserved = iskeyword(word[0]) and word[0] in self.columns
        return self._quote(word[0]) if reserved else word[0]

    def _arithmetic(self, node: ast.expr) -> Expression:
        if isinstance(node, ast.Name | ast.Attribute):
            return self._column(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return Expression("number", "", value=float(node.value), text=f"{node.value:g}")
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            inner = self._arithmetic(node.operand)
            return Expression("operation", "negative", (inner,), text="-" + _within(inner, 3), rank=3)
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
            sign, rank, _ = OPERATIONS[type(node.op)]
            left, right = self._arithmetic(node.left), self._arithmetic(node.right)
            text = _within(left, rank) + sign + _within(right, rank + 1)
            return Expression("operation", sign.strip(), (left, right), text=text, rank=rank)
        if isinstance(node, ast.Call):
            return self._call(node, top=False)
        raise self.refuse(ast.unparse(node))

    def _column(self, node: ast.expr) -> Expression:
        written = ast.unparse(node)
        name = self.quoted.get(written, written)
        if name not in self.columns:
            raise UnknownChoiceError("column", name, self.columns)
        return column_expression(name)

    def _call(self, node: ast.Call, top: bool) -> Expression:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in FUNCTIONS or not node.args or isinstance(node.args[0], ast.Starred):
            raise self.refuse(ast.unparse(node.func) if name not in FUNCTIONS else ast.unparse(node))
        if not top and name in (*FACTORS, *BASES):
            raise self.refuse(ast.unparse(node), f"{name}() on its own, not inside another function")
        first = node.args[0]
        inner = self._column(first) if name in FACTORS else self._arithmetic(first)
        options = self._options(node, name)
        shown = [f"{key} = {value}" for key, value in options if name in BASES]
        text = f"{name}({', '.join([inner.text, *shown])})"
        return Expression("function", name, (inner,), options=options, text=text)

    def _options(self, node: ast.Call, name: str) -> tuple[tuple[str, Any], ...]:
        allowed = ("base",) if name in FACTORS else BASES.get(name, ())
        given: list[tuple[str | None, ast.expr]] = list(zip(allowed, node.args[1:], strict=False))
        if len(node.args) - 1 > len(allowed):
            raise self.refuse(ast.unparse(node.args[-1]), f"at most these options of {name}(): {allowed}")
        given += [(keyword.arg, keyword.value) for keyword in node.keywords]
        options = []
        for key, value in given:
            if key not in allowed:
                raise self.refuse(
                    f"{key}=", f"one of the options of {name}(): {', '.join(allowed) or 'none'}"
                )
            try:
                options.append((key, ast.literal_eval(value)))
            except ValueError as error:
                raise self.refuse(
                    ast.unparse(value), "a number, a word in quotes, or a list of them"
                ) from error
        return tuple(options)


def read_call(text: str, formula: str, columns: Sequence[str]) -> Expression:
    """Return the expression of a call such as ``log(dose)``.

    Raises
    ------
    FormulaError
        If it holds anything but columns, numbers, operations and known functions.
    UnknownChoiceError
        If a name is not a column.
    """
    return _Reader(formula, columns).read(text)


def _within(part: Expression, rank: int) -> str:
    """Return the text of a part, in brackets if it binds less tightly than what surrounds it."""
    return part.text if part.rank >= rank else f"({part.text})"


def values(
    part: Expression, frame: pd.DataFrame, state: dict[str, Any], key: str = ""
) -> tuple[Array, tuple[str, ...]]:
    """Return the columns of a numeric expression, shape (k, c), and what follows its text in their names.

    Parameters
    ----------
    part : Expression
        What to compute.
    frame : DataFrame
        The data.
    state : dict
        Means, spreads and knots learnt from the data of the fit; filled when empty, used when not.
    key : str
        Where in `state` the learnt values of this part stand.

    Raises
    ------
    InputError
        If a column holds words, or a spline is asked for outside its range.
    """
    if part.kind == "function" and part.name in BASES:
        return _basis(part, frame, state, key)
    return _single(part, frame, state, key)[:, None], ("",)


def _single(part: Expression, frame: pd.DataFrame, state: dict[str, Any], key: str) -> Array:
    if part.kind == "number":
        return np.full(len(frame), part.value)
    if part.kind == "column":
        return _numbers(frame, part.name)
    inner = [_single(p, frame, state, f"{key}/{part.name}{i}") for i, p in enumerate(part.inner)]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if part.kind == "operation":
            operation = {sign.strip(): f for sign, _, f in OPERATIONS.values()}
            return -inner[0] if part.name == "negative" else np.asarray(operation[part.name](*inner))
        if part.name in SIMPLE:
            return SIMPLE[part.name](inner[0])
    if part.name in LEARNT:
        from formulaic.transforms import TRANSFORMS

        learnt = state.setdefault(key, {})
        return np.asarray(TRANSFORMS[part.name](inner[0], _state=learnt), dtype=float)
    return inner[0]  # I()


def _refuse_beyond(part: Expression, x: Array, learnt: dict[str, Any]) -> None:
    """Refuse new values of a spline outside the range in which it was learnt."""
    low, high = (learnt.get(f"{end}_bound") for end in ("lower", "upper"))
    if low is None or high is None:
        return
    beyond = x[(x < low) | (x > high)]
    if beyond.size:
        values = ", ".join(f"{value:g}" for value in beyond[:5])
        raise InputError(
            f"{part.text}: {values} lies outside {low:g} to {high:g}",
            f"values of {part.inner[0].text} in that range",
            "a spline says nothing beyond the data",
        )


def _basis(
    part: Expression, frame: pd.DataFrame, state: dict[str, Any], key: str
) -> tuple[Array, tuple[str, ...]]:
    from formulaic.transforms import TRANSFORMS

    x = _single(part.inner[0], frame, state, key)
    options = dict(part.options)
    if part.name == "cr":
        options["constraints"] = "center"  # else its columns sum to the intercept
    learnt = state.setdefault(f"{key}/{part.name}", {})
    _refuse_beyond(part, x, learnt)
    try:
        made = TRANSFORMS[part.name](x, _state=learnt, **options)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{part.text} cannot be computed: {error}", "options that fit the column, and values in its range"
        ) from error
    made = getattr(made, "__wrapped__", made)
    table = np.column_stack(list(made.values())) if isinstance(made, dict) else np.asarray(made, dtype=float)
    return table, tuple(str(i + 1) for i in range(table.shape[1]))


def _numbers(frame: pd.DataFrame, name: str) -> Array:
    try:
        return np.asarray(frame[name].to_numpy(dtype=float))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"column {name!r} holds words", "numbers where a formula computes", f"write {name} or C({name})"
        ) from error
