"""Formulas such as ``source * log(dose)``: checked against a white list, then coded by formulaic.

Nothing is evaluated as it was written. Python's parser reads each part of a formula, what is not on the list
is refused by name, and the part is written anew, with columns under neutral names and numbers as floats. Only
this text reaches formulaic, which expands the algebra, codes factors by treatments so that the structure of
the columns is of full rank, and keeps means and knots for new rows.

A factor has one column per level but the base, named variable + level. Levels are sorted (those of a pandas
Categorical keep their order) and the first is the base, unless ``C(source, base="adipose")`` says otherwise.
A factor keeps all its levels where its margin, the product without it, is not in the model.

References
----------
Wilkinson, G. N., Rogers, C. E. (1973). Symbolic description of factorial models for analysis of variance.
Journal of the Royal Statistical Society C 22, 392-399. https://doi.org/10.2307/2346786
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import EmptyLevelError, FormulaError, InputError, UnknownChoiceError
from metaexo.inputs import LARGEST, as_word, warn_of_unclear_levels
from metaexo.models.linear.moderators import (
    holds_words,
    is_number_text,
    named_columns,
    numbers_in,
    refuse_cells,
    refuse_missing,
)
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

OPERATORS = ("+", "-", ":", "*", "^", "**")
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)
FACTORS = ("C", "factor")
SIMPLE = {"log": np.log, "log2": np.log2, "log10": np.log10, "exp": np.exp, "sqrt": np.sqrt, "abs": np.abs}
LEARNT = ("center", "scale")  # one column, with a mean or standard deviation learnt from the data
# What a formula may ask of a function, in the order in which it may stand. All but C() make several columns.
OPTIONS: dict[str, tuple[str, ...]] = {
    "C": ("base",),
    "factor": ("base",),
    "poly": ("degree", "raw"),
    "bs": ("df", "knots", "degree", "lower_bound", "upper_bound"),
    "cr": ("df", "knots", "lower_bound", "upper_bound"),
}
FUNCTIONS = (*FACTORS, "I", *SIMPLE, *LEARNT, "poly", "bs", "cr")
ALLOWED = (
    "columns, + - : * ^, brackets, 0, 1, -1, and known functions such as C(source), log(dose), I(dose^2)"
)
NEEDED = "columns, numbers, + - * / ^ and the functions " + ", ".join(FUNCTIONS)
LARGEST_POWER = 9
LARGEST_EXPANSION = 5000  # products, before equal ones are joined
DEEPEST = 40  # brackets inside each other
LARGEST_BASIS = 50  # columns of a polynomial or spline


class Part(NamedTuple):
    """One column or call of a formula, checked."""

    text: str  # how coefficients name it
    code: str  # what formulaic evaluates; column j of the formula is called c and j
    columns: tuple[str, ...]
    function: str = ""  # the outer function; empty for a column
    base: Any = None  # the base level that was asked for

    @property
    def is_factor(self) -> bool:
        """Whether it is a column whose values are taken as levels by C() or factor()."""
        return self.function in FACTORS


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula, read: its parts in order of appearance, and each term as the positions of its parts."""

    text: str
    intercept: bool
    parts: tuple[Part, ...]
    terms: tuple[tuple[int, ...], ...]  # single parts first, then products of two, and so on
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a model: how it is written, and the positions of its columns in the design."""

    name: str
    columns: tuple[int, ...]


class Factor(NamedTuple):
    """The levels of a factor, base first: as they stand in the data, and in words."""

    levels: tuple[Any, ...]
    names: tuple[str, ...]


def read_formula(text: str, columns: Sequence[str]) -> Formula:
    """Return the terms of a formula on the given columns.

    It may hold column names (in backticks if they have blanks), ``+``, ``-``, ``:``, ``*``, brackets, ``^``
    or ``**`` after a bracket, ``0``, ``1``, ``-1``, and calls of the functions of the white list. A leading
    ``~`` is allowed. A text that is the name of a column is that column. Nothing of it is evaluated.

    Examples
    --------
    >>> formula = read_formula("~ source * log(dose)", ["source", "dose"])
    >>> [":".join(formula.parts[i].text for i in term) for term in formula.terms]
    ['source', 'log(dose)', 'source:log(dose)']
    """
    return _read(text, tuple(columns))


@functools.lru_cache(maxsize=256)
def _read(text: str, columns: tuple[str, ...]) -> Formula:
    """Read a formula; one that was read before, on the same columns, is not read again."""
    if text in columns:
        return Formula(text, True, (Part(text, "c0", (text,)),), ((0,),), (text,))
    try:
        if max(accumulate((sign == "(") - (sign == ")") for sign in text), default=0) > DEEPEST:
            raise RecursionError
        return _Reader(text, columns).read()
    except (RecursionError, MemoryError) as error:
        raise FormulaError(
            text[:60], text[:60], ALLOWED, "use fewer terms, and fewer brackets inside each other"
        ) from error
    except (FormulaError, UnknownChoiceError) as error:
        odd = [f"`{c}`" for c in columns if not c.isidentifier() and c in text and f"`{c}`" not in text]
        if not odd:
            raise
        token = str(getattr(error, "token", getattr(error, "word", text)))
        remedy = f"put names that are not single words into backticks: {', '.join(odd)}"
        raise FormulaError(token, text, ALLOWED, remedy) from error


class _Reader:
    """Reads one formula."""

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        self.text = text
        self.columns = columns
        self.used: list[str] = []
        self.aliases: dict[str, str] = {}  # plain names that stand for columns in backticks
        self.stem = "quoted"
        while self.stem in text:
            self.stem += "_"

    def refuse(self, token: str | ast.AST, needed: str = NEEDED, remedy: str = "") -> FormulaError:
        token = token if isinstance(token, str) else ast.unparse(token)
        for alias, column in self.aliases.items():
            token = token.replace(alias, column)
        return FormulaError(token, self.text, needed, remedy)

    def read(self) -> Formula:
        from formulaic.errors import FormulaSyntaxError
        from formulaic.parser.algos.tokenize import tokenize

        try:
            tokens = [(token.token, token.kind.value) for token in tokenize(self.text)]
        except FormulaSyntaxError as error:
            remedy = "look for a bracket or a quote that is not closed"
            raise self.refuse(self.text, ALLOWED, remedy) from error
        parts: list[Part] = []
        signs: list[str] = []
        for i, (token, kind) in enumerate(tokens):
            if kind in ("name", "python"):
                part = self.call(token) if kind == "python" else self.column(token)
                parts += [] if part in parts else [part]
                signs.append(f"p{parts.index(part)}")
            elif _may_stand(token, kind, i, tokens):
                signs.append(token if token != "~" else "")
            else:
                raise self.refuse(token, ALLOWED, _instead(token, tokens[i - 1][0] if i else ""))
        terms = self.expand(" ".join(signs).strip() or "1")
        found = tuple(sorted((term for term in terms if term), key=len))
        return Formula(self.text, () in terms, tuple(parts), found, tuple(self.used))

    def expand(self, signs: str) -> list[tuple[int, ...]]:
        """Return the terms that the algebra of a formula gives; the empty term is the intercept."""
        from formulaic import Formula as Algebra
        from formulaic.errors import FormulaParsingError

        try:
            size = _size(ast.parse(signs.replace("^", "**").replace(":", "@"), mode="eval").body)
            if size > LARGEST_EXPANSION:
                remedy = "use a smaller power, or write the products that are meant"
                raise self.refuse(self.text, f"at most {LARGEST_EXPANSION} products", remedy)
            factors = [[str(factor.expr) for factor in term.factors] for term in Algebra(signs)]
        except (SyntaxError, FormulaParsingError) as error:
            raise self.refuse(self.text, ALLOWED, "look for a sign that stands alone or twice") from error
        return [tuple(sorted(int(name[1:]) for name in names if name != "1")) for names in factors]

    def column(self, name: str) -> Part:
        if name not in self.columns:
            raise UnknownChoiceError("column", name, self.columns)
        if name not in self.used:
            self.used.append(name)
        return Part(name, f"c{self.used.index(name)}", (name,))

    def call(self, token: str) -> Part:
        """Return a call such as ``log(dose)``, or refuse it."""
        try:
            node = ast.parse(self.plain(token), mode="eval").body
        except (SyntaxError, ValueError) as error:
            raise self.refuse(token) from error
        if not isinstance(node, ast.Call):
            raise self.refuse(token)
        name, options = self.function(node)
        code = ast.unparse(self.column_of(node.args[0]) if name in FACTORS else self.numeric(node.args[0]))
        used = tuple(dict.fromkeys(self.used[int(j)] for j in re.findall(r"\bc(\d+)", code)))
        if not used:
            raise self.refuse(node, f"a column in {name}()")
        if name in FACTORS:
            return Part(f"{name}({self.in_words(code)})", code, used, name, options.get("base"))
        settings = "".join(f", {key}={value!r}" for key, value in options.items())
        text = f"{name}({self.in_words(code)}{settings.replace('=', ' = ')})"
        # Without the constraint the columns of a cubic spline sum to the intercept.
        settings += ", constraints='center'" if name == "cr" else ""
        return Part(text, f"{name}({code}{settings})", used, name)

    def plain(self, token: str) -> str:
        """Return a call in Python's words: ** for ^, and plain names for columns that have none."""
        pieces = re.split(r"(\"[^\"]*\"|'[^']*'|`[^`]*`)", token)
        for i, piece in enumerate(pieces):
            if piece.startswith("`"):
                pieces[i] = self.alias(piece[1:-1])
            elif not piece.startswith(('"', "'")):
                pieces[i] = re.sub(r"[A-Za-z]\w*", self.unreserved, piece.replace("^", "**"))
        return "".join(pieces)

    def unreserved(self, word: re.Match[str]) -> str:
        return self.alias(word[0]) if iskeyword(word[0]) and word[0] in self.columns else word[0]

    def alias(self, column: str) -> str:
        alias = f"{self.stem}{len(self.aliases)}_"
        self.aliases[alias] = column
        return alias

    def column_of(self, node: ast.expr) -> ast.Name:
        written = ast.unparse(node)
        return ast.Name(self.column(self.aliases.get(written, written)).code)

    def numeric(self, node: ast.expr) -> ast.expr:
        """Return what computes a column of numbers, written anew from the white list alone."""
        if isinstance(node, ast.Name | ast.Attribute):
            return self.column_of(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and _fits(node.value):
            return ast.Constant(float(node.value))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return ast.UnaryOp(ast.USub(), self.numeric(node.operand))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ARITHMETIC):
            return ast.BinOp(self.numeric(node.left), node.op, self.numeric(node.right))
        if not isinstance(node, ast.Call):
            raise self.refuse(node)
        name, _ = self.function(node)
        if name in OPTIONS:
            raise self.refuse(node, f"{name}() on its own, not inside another function")
        return ast.Call(ast.Name(name), [self.numeric(node.args[0])], [])

    def function(self, node: ast.Call) -> tuple[str, dict[str, Any]]:
        """Return the name of a function of the white list, and what it was asked for beside its column."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in FUNCTIONS:
            level = _level(node, 1) if name == "relevel" else ""
            remedy = f"write C({ast.unparse(node.args[0])}, base={level})" if level else ""
            raise self.refuse(node.func, remedy=remedy)
        if not node.args or isinstance(node.args[0], ast.Starred):
            raise self.refuse(node)
        allowed = OPTIONS.get(name, ())
        if len(node.args) - 1 > len(allowed):
            raise self.refuse(node.args[-1], f"at most these options of {name}(): {allowed}")
        given = [*zip(allowed, node.args[1:], strict=False), *((k.arg, k.value) for k in node.keywords)]
        options: dict[str, Any] = {}
        for key, value in given:
            if key not in allowed or key in options:
                known = ", ".join(allowed) or "none"
                raise self.refuse(f"{key}=", f"one of the options of {name}(), once: {known}")
            options[key] = self.option(str(key), value)
        return name, options

    def option(self, key: str, node: ast.expr) -> Any:
        """Return a level for base, numbers for knots, and a number for anything else."""
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, MemoryError) as error:
            treatment = isinstance(node, ast.Call) and ast.unparse(node.func) == "Treatment"
            level = _level(node, 0) if treatment else ""
            remedy = f"write {key}={level}" if level else ""
            raise self.refuse(node, "a number, a word in quotes, or a list of numbers", remedy) from error
        entries = value if key == "knots" and isinstance(value, list | tuple) else [value]
        if not all(isinstance(entry, int | float) and _fits(entry) for entry in entries):
            if key != "base" or not isinstance(value, str):
                needed = "a level of the column" if key == "base" else "a number, or for knots several"
                raise self.refuse(node, f"for {key}: {needed}")
        elif key in ("df", "degree") and not (isinstance(value, int) and 1 <= value <= LARGEST_BASIS):
            raise self.refuse(node, f"for {key}: a whole number from 1 to {LARGEST_BASIS}")
        return value

    def in_words(self, code: str) -> str:
        """Return what computes a column as coefficients name it, such as dose^2/10."""
        code = re.sub(r"(?<=\*\* )-[\w.+]+", r"(\g<0>)", code).replace(" ** ", "^").replace(" / ", "/")
        return re.sub(
            r"\bc(\d+)\b|\b[\d.]+(?:e[-+]?\d+)?",
            lambda found: self.used[int(found[1])] if found[1] else f"{float(found[0]):g}",
            code,
        )


def _fits(value: float) -> bool:
    return abs(value) <= LARGEST


def _may_stand(token: str, kind: str, i: int, tokens: list[tuple[str, str]]) -> bool:
    """Say whether a token that is no column or call may stand at position i."""
    before = tokens[i - 1][0] if i else ""
    if kind == "operator":
        return token in OPERATORS or (token == "~" and i == 0)
    if kind == "context":
        return token in ("(", ")")
    if kind == "value" and before in ("^", "**") and i > 1 and tokens[i - 2][0] == ")":
        return token.isdecimal() and 1 <= int(token) <= LARGEST_POWER
    return kind == "value" and token in ("0", "1")


def _instead(token: str, before: str) -> str:
    if token == "~":
        return "give the moderators alone; the effects are those of the model"
    if before in ("^", "**"):
        return "the square of a column is I(dose^2); (a + b)^2 stands for a + b + a:b"
    return "numbers enter with I(), for example I(dose/100)" if token.isdecimal() else ""


def _size(node: ast.expr) -> int:
    """Return how many products the algebra makes of a formula before equal ones are joined."""
    if isinstance(node, ast.UnaryOp):
        return _size(node.operand)
    if not isinstance(node, ast.BinOp):
        return 1
    a, b = (min(_size(side), LARGEST_EXPANSION + 1) for side in (node.left, node.right))
    if isinstance(node.op, ast.Pow):
        return int(a ** getattr(node.right, "value", 1))
    if isinstance(node.op, ast.MatMult):
        return a * b
    return a + b + (a * b if isinstance(node.op, ast.Mult) else 0)


@dataclass(frozen=True, slots=True)
class Encoding:
    """A formula with everything that was learnt from the data of the fit: levels, means, knots."""

    formula: Formula
    factors: dict[int, Factor]  # levels of the parts that are factors, by their position
    names: tuple[str, ...]
    terms: tuple[Term, ...]  # what the columns belong to, the intercept left out
    unused: tuple[str, ...] = ()  # in words, levels of categorical columns that no row has
    spec: Any = None  # formulaic's means, knots and codings; None for a formula without terms

    def encode(self, frame: pd.DataFrame, rows: Sequence[str]) -> Array:
        """Return the columns for a table, shape (r, p); the rows are named in errors."""
        frame = named_columns(frame, self.formula.columns)
        refuse_missing(frame, self.formula.columns, rows, "fill the values, or leave these rows out")
        if self.spec is None:
            return np.ones((len(frame), len(self.names)))
        return self.usable(_materialize(self.spec, self.formula, self.factors, frame, rows), rows)

    def usable(self, matrix: Any, rows: Sequence[str]) -> Array:
        """Return columns as an array, or refuse those that are not finite, or too large to be squared."""
        x = np.array(matrix, dtype=float)
        usable = np.abs(x) <= LARGEST
        if usable.all():
            return x
        name = next(term.name for term in self.terms if not usable[:, list(term.columns)].all())
        raise InputError(
            f"{name} is not finite, or too large, in some rows",
            f"values for which it can be computed and is at most {LARGEST:g} in size",
            "correct the values, or leave the rows out with EffectSizes.select, which records the reason",
            [rows[int(r)] for r in np.flatnonzero(~usable.all(axis=1))],
        )


def learn_encoding(
    text: str, frame: pd.DataFrame | None, rows: Sequence[str], intercept: bool = True, remedy: str = ""
) -> tuple[Encoding, Array]:
    """Return the encoding of a formula on the data of a fit, and its columns, shape (k, p).

    Without `intercept` it has none. The remedy is what to do where a moderator is missing. A factor with one
    level, or a base level that is not there, is refused.
    """
    import pandas as pd

    formula = read_formula(text, [] if frame is None else [str(c) for c in frame.columns])
    formula = replace(formula, intercept=formula.intercept and intercept)
    frame = named_columns(pd.DataFrame(index=range(len(rows))) if frame is None else frame, formula.columns)
    refuse_missing(frame, formula.columns, rows, remedy)
    for name in formula.columns:
        refuse_cells(frame[name], name, rows)
    factors = {
        i: _learn_factor(part, frame[part.columns[0]], rows)
        for i, part in enumerate(formula.parts)
        if part.is_factor or (not part.function and holds_words(frame[part.text], rows))
    }
    if not formula.terms:
        names = ("intercept",) * formula.intercept
        return Encoding(formula, factors, names, ()), np.ones((len(frame), len(names)))
    codes = _codes(formula, factors)
    terms = [":".join(codes[i] for i in term) for term in formula.terms]
    made = _materialize(_algebra("1" if formula.intercept else "0", *terms), formula, factors, frame, rows)
    names, found = _names_and_terms(made.model_spec, formula, factors)
    unused = tuple(_unused_levels(formula, factors, frame))
    encoding = Encoding(formula, factors, names, found, unused, made.model_spec)
    return encoding, encoding.usable(made, rows)


@functools.lru_cache(maxsize=256)
def _algebra(*terms: str) -> Any:
    """Return formulaic's record of terms, in their order."""
    from formulaic import Formula as Algebra

    return Algebra(" + ".join(terms), _ordering="none")


def _codes(formula: Formula, factors: dict[int, Factor]) -> list[str]:
    """Return what formulaic calls each part: factors are columns of positions of levels."""
    return [f"f{i}" if i in factors else part.code for i, part in enumerate(formula.parts)]


def _materialize(
    spec: Any, formula: Formula, factors: dict[int, Factor], frame: pd.DataFrame, rows: Sequence[str]
) -> Any:
    """Return formulaic's matrix of a formula, or of one with what was learnt before, for a checked table."""
    import pandas as pd
    from formulaic.errors import FactorEvaluationError
    from formulaic.materializers.types import FactorValues

    columns: dict[str, Any] = {}
    context = dict(_functions())
    for i, part in enumerate(formula.parts):
        if i in factors:
            position = _positions(factors[i], frame[part.columns[0]], part.columns[0], rows)
            context[f"f{i}"] = FactorValues(
                {j: (position == j) * 1.0 for j in range(len(factors[i].levels))},
                kind="numerical",
                spans_intercept=True,
                drop_field=0,
                format="{name}[{field}]",
            )
        else:
            columns |= {f"c{formula.columns.index(name)}": numbers_in(frame, name) for name in part.columns}
    try:
        with np.errstate(all="ignore"):
            return spec.get_model_matrix(
                pd.DataFrame(columns, index=range(len(frame))),
                context=context,
                output="numpy",
                na_action="ignore",
            )
    except FactorEvaluationError as error:
        named = [part.text for part in formula.parts if f"`{part.code}`" in str(error)]
        raise InputError(
            f"{', '.join(named) or formula.text} cannot be computed: {error.__cause__}",
            "options that fit the column, and values in the range of the data of the fit",
        ) from error


@functools.cache
def _functions() -> dict[str, Any]:
    """Return the functions that a formula may call; splines refuse values outside the data of the fit."""
    from formulaic.transforms import TRANSFORMS
    from formulaic.utils.stateful_transforms import stateful_transform

    def within(spline: Any) -> Any:
        def checked(x: Any, *, _state: Any, **options: Any) -> Any:
            low, high = _state.get("lower_bound", -np.inf), _state.get("upper_bound", np.inf)
            beyond = np.asarray(x)[(x < low) | (x > high)]
            if beyond.size:
                values = ", ".join(f"{value:g}" for value in beyond[:5])
                outside = f"{values} lies outside {low:g} to {high:g}"
                raise ValueError(f"{outside}; a spline is not defined beyond the data of the fit")
            return spline(x, _state=_state, **options)

        return stateful_transform(checked)

    kept = {name: TRANSFORMS[name] for name in ("poly", *LEARNT)}
    return kept | {name: within(TRANSFORMS[name]) for name in ("bs", "cr")} | SIMPLE | {"I": lambda x: x}


def _names_and_terms(
    spec: Any, formula: Formula, factors: dict[int, Factor]
) -> tuple[tuple[str, ...], tuple[Term, ...]]:
    """Return our names of formulaic's columns, such as sourcemilk for f0[1], and what they belong to."""
    parts = dict(zip(_codes(formula, factors), enumerate(formula.parts), strict=True))
    pieces = {piece for found in spec.structure for column in found.columns for piece in column.split(":")}

    def name(piece: str) -> str:
        code, _, ending = piece.rpartition("[")
        if piece in parts:
            return parts[piece][1].text
        i, part = parts[code]
        j = int(ending.rstrip("]"))
        return part.text + (factors[i].names[j] if i in factors else str(j + (f"{code}[0]" in pieces)))

    names: list[str] = []
    terms = []
    texts = [":".join(formula.parts[i].text for i in term) for term in formula.terms]
    if formula.intercept:
        names.append("intercept")
    for text, structure in zip(texts, spec.structure[formula.intercept :], strict=True):
        begin = len(names)
        names += [":".join(map(name, column.split(":"))) for column in structure.columns]
        terms.append(Term(text, tuple(range(begin, len(names)))))
        for scoped in (scoped for term in structure.scoped_terms for scoped in term.factors):
            i, part = parts[scoped.factor.factor.expr]
            if scoped.reduced and i in factors and len(factors[i].levels) == 1:
                raise EmptyLevelError(
                    f"{part.columns[0]} has one level ({factors[i].names[0]}) in these rows",
                    "at least two levels of a factor",
                    f"leave {part.columns[0]} out of the formula",
                )
    return tuple(names), tuple(terms)


def _unused_levels(formula: Formula, factors: dict[int, Factor], frame: pd.DataFrame) -> list[str]:
    """Return in words the categories that no row has."""
    out = []
    for name in dict.fromkeys(formula.parts[i].columns[0] for i in factors):
        if hasattr(frame[name], "cat"):
            present = set(frame[name].tolist())
            empty = [as_word(level) for level in frame[name].cat.categories if level not in present]
            if empty:
                out.append(f"no row has {', '.join(map(repr, empty))} of {name}: no level of the model")
    return out


def _learn_factor(part: Part, column: pd.Series, rows: Sequence[str]) -> Factor:
    """Return the levels of a column, in order, with the base in front; categories without a row are none."""
    name = part.columns[0]
    cells = column.tolist()
    if hasattr(column, "cat"):
        present = set(cells)
        levels = [level for level in column.cat.categories if level in present]
    else:
        levels = sorted(set(cells), key=_sorting_key)
    words = [as_word(level) for level in levels]
    in_words = dict(zip(levels, words, strict=True))
    warn_of_unclear_levels(name, [in_words[cell] for cell in cells], lambda i: rows[i])
    if part.base is not None:
        if as_word(part.base) not in words:
            raise UnknownChoiceError(f"base level of {name}", part.base, words)
        first = words.index(as_word(part.base))
        order = [first, *(j for j in range(len(words)) if j != first)]
        levels, words = [levels[j] for j in order], [words[j] for j in order]
    return Factor(tuple(levels), tuple(words))


def _sorting_key(level: Any) -> tuple[Any, ...]:
    """Sort numbers by size, and words as a dictionary does: capitals count last."""
    if isinstance(level, str):
        return (0, float(level), level) if is_number_text(level) else (1, level.casefold(), level)
    return (0, level, "") if isinstance(level, int | float | np.number) else (1, str(level), "")


def _positions(factor: Factor, column: pd.Series, name: str, rows: Sequence[str]) -> NDArray[np.intp]:
    """Return the position of each row's level, or say which level is not known."""
    where = {level: j for j, level in enumerate(factor.levels)} | {w: j for j, w in enumerate(factor.names)}
    levels = column.tolist()
    found = np.array([where.get(level, -1) for level in levels], dtype=np.intp)
    if found.size and found.min() < 0:
        i = int(np.argmin(found))
        raise UnknownChoiceError(f"level of {name}", levels[i], factor.names, rows[i])
    return found


def _level(call: ast.expr, at: int) -> str:
    """Return the level of reference in a call of another package, as it is written; "" if there is none."""
    if not isinstance(call, ast.Call):
        return ""
    named = [one.value for one in call.keywords if one.arg in ("ref", "reference")]
    found = [*call.args[at : at + 1], *named]
    return ast.unparse(found[0]) if found and len(call.args) >= at else ""
