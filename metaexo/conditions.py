"""Conditions on the rows of a table, of which nothing is executed.

A condition is text from a user. It is cut into words; its columns, texts and numbers are replaced by numbered
names, every other word has to be on a list, and only then does Python's own parser (`ast`) say how the parts
belong together. The tree is computed here, on whole columns; what is not on the lists is refused by name::

    condition := condition (or | "|") condition | condition (and | "&") condition | (not | ~) condition
               | value ((== | != | < | <= | > | >=) value)+ | value [not] in [literal, ...]
    value     := value (+ - * / % **) value | -value | (condition) | column | literal
               | word(value, ...) | value.word(...)
"""

from __future__ import annotations

import ast
import difflib
import functools
import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import InputError, UnknownChoiceError

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]

LONGEST = 20_000
"""Letters that a condition may have."""
MOST_WORDS = 5_000
"""Words and signs that a condition may have."""
DEEPEST = 40
"""Brackets, signs and calls that may stand inside one another."""
NEARLY, MOST_HELD, MOST_NAMED = 0.85, 500, 12
"""How alike a misspelt word is, of how many texts of a column, and how many of them are named."""

NUMBERS, TEXTS, ANSWERS = "numbers", "texts", "answers yes or no"
EXAMPLE = "\"outcome == 'wound_area' and treatment_n >= 10\""
"""A condition that any table of the evidence sheets can answer."""
GRAMMAR = (
    "columns, texts in quotes, numbers, == != < <= > >=, in [...], and, or, not, + - * / % **, and the words "
    "contains(column, 'text'), starts_with, ends_with, lower, upper, between(column, 1, 2), abs, "
    "is_blank(column), not_blank"
)

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<text>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
      | (?P<column>`[^`\n]*`)
      | (?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)
      | (?P<sign>\*\*|==|!=|<=|>=|[-+*/%<>=&|~()\[\],.])
    )""",
    re.VERBOSE,
)
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "t": "\t"}
_WRITTEN_AS = {"\\": "\\\\", "\n": "\\n", "\t": "\\t"}
_PATTERN_SIGNS = re.compile(r"[\\^$*+?{}\[\]|()]")
_NUMBER_LIKE = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")

_ORDER: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPARISONS: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_CALCULATIONS: Mapping[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
    ast.Mod: ("%", operator.mod),
    ast.Pow: ("**", operator.pow),
}
_WRITTEN = {"&": " and ", "|": " or ", "and": " and ", "or": " or ", "not": " not ", "in": " in "}
_PREFIXES = ("-", "+", "~", "not")
_METHODS = {
    "str.contains": "contains",
    "str.startswith": "starts_with",
    "str.endswith": "ends_with",
    "str.lower": "lower",
    "str.upper": "upper",
    "isin": "isin",
    "between": "between",
    "abs": "abs",
    "isna": "is_blank",
    "isnull": "is_blank",
    "notna": "not_blank",
    "notnull": "not_blank",
}
"""Words behind a column, as pandas writes them, and the same words in front of it."""
_FUNCTIONS = (
    "contains",
    "starts_with",
    "ends_with",
    "lower",
    "upper",
    "between",
    "is_blank",
    "not_blank",
    "abs",
)
_OPTIONS: Mapping[str, tuple[str, ...]] = {"contains": ("case", "na", "regex"), "between": ("inclusive",)}
_SIDES = {"both": (">=", "<="), "neither": (">", "<"), "left": (">=", "<"), "right": (">", "<=")}


def quoted(text: str) -> str:
    r"""Return a text as a condition holds it, in quotes, whatever signs are in it.

    Examples
    --------
    >>> print(quoted("day 7"), quoted("Crohn's"))
    'day 7' "Crohn's"
    """
    mark = '"' if "'" in text and '"' not in text else "'"
    signs = _WRITTEN_AS | {mark: f"\\{mark}"}
    return f"{mark}{''.join(signs.get(sign, sign) for sign in text)}{mark}"


@dataclass(frozen=True, slots=True)
class AbsentWord:
    """A text that a condition compares with a column of which no row holds it."""

    column: str
    word: str
    held: tuple[str, ...]  # the texts that the column holds, each once

    @property
    def misspelt(self) -> str:
        """The text of the column that is written nearly the same; "" if there is none, or too many texts.

        Texts of other numbers are other things: "day 7" is no misspelt "day 14".
        """
        if len(self.held) > MOST_HELD:
            return ""
        numbers = re.findall(r"\d+", self.word)
        near = difflib.get_close_matches(self.word, self.held, n=3, cutoff=NEARLY)
        folded = [text for text in self.held if text.casefold() == self.word.casefold()]
        return next((text for text in (*folded, *near) if re.findall(r"\d+", text) == numbers), "")

    def __str__(self) -> str:
        shown = ", ".join(repr(text) for text in self.held[:MOST_NAMED])
        more = f" and {len(self.held) - MOST_NAMED} others" if len(self.held) > MOST_NAMED else ""
        held = f"{self.column} holds {shown}{more}" if self.held else f"{self.column} is blank in every row"
        return f"{self.word!r} stands in no row: {held}"


@dataclass(frozen=True, slots=True)
class _Value:
    """A part of a condition: one value per row, or one for all."""

    kind: str  # "numbers", "texts" or "answers yes or no"
    values: Any  # floats (NaN for blank cells), texts (None for blank cells) or booleans
    text: str  # how it is written
    column: str = ""  # the column that it is; empty for anything else

    @property
    def is_literal(self) -> bool:
        return not isinstance(self.values, np.ndarray)


def rows_where(
    frame: pd.DataFrame,
    where: object,
    words: Mapping[str, Collection[str]] | None = None,
    *,
    called: str = "where",
) -> NDArray[np.bool_]:
    """Return which rows meet a condition.

    Use it wherever a reader chooses rows by a text. A blank cell is equal to nothing, unequal to everything,
    and neither above nor below anything. Nothing of the text is executed. Messages speak of the condition by
    the name under which the reader gave it, `called`.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"outcome": ["wound area", None, "itch"], "n": [12.0, 30.0, 8.0]})
    >>> rows_where(frame, "contains(outcome, 'wound') or 20 < n <= 30")
    array([ True,  True, False])
    >>> rows_where(frame, "outcome not in ['itch', 'pain'] and not is_blank(outcome)")
    array([ True, False, False])
    """
    if not isinstance(where, str):
        raise InputError(
            f"{called} is {_shown(where)}, which is no text",
            "a condition in quotes",
            f"write it as {example_of(frame)}",
        )
    reader = _Reader(frame, where, words or {}, called)
    found = reader.read()
    if found.kind != ANSWERS or found.is_literal:
        raise reader.no_condition()
    return np.asarray(found.values, dtype=bool)


def refuse_misspelt(frame: pd.DataFrame, where: str, called: str = "where") -> None:
    """Refuse a condition with a word that no row holds, and that is written nearly as one that rows hold."""
    for absent in words_in_no_row(frame, where):
        if absent.misspelt:
            what = f"word of {absent.column} in {called}"
            raise UnknownChoiceError(what, absent.word, absent.held, nearest=absent.misspelt)


def example_of(frame: pd.DataFrame) -> str:
    """Return a condition, in quotes, that the columns of a table can answer.

    Examples
    --------
    >>> import pandas as pd
    >>> print(example_of(pd.DataFrame({"year": [2010, 2020]})))
    "year > 2010"
    """
    if {"outcome", "treatment_n"} <= {*frame.columns}:
        return EXAMPLE
    # the columns of the user stand last in a table of effects
    for name in reversed(list(map(str, frame.columns))):
        written = name if name.isidentifier() and name not in (*_WRITTEN, *_FUNCTIONS) else f"`{name}`"
        kind, values = _values_of(frame.iloc[:, list(map(str, frame.columns)).index(name)])
        if kind == NUMBERS and np.isfinite(values).any():
            return f'"{written} > {np.nanmin(values):.6g}"'
        texts = [text for text in values if text is not None and "'" not in text] if kind == TEXTS else []
        if texts:
            return f"\"{written} == '{texts[0]}'\""
    return EXAMPLE


def words_in_no_row(frame: pd.DataFrame, where: str) -> tuple[AbsentWord, ...]:
    """Return the texts of a condition that no row of their column holds, as they are written.

    Use it to know a word that is misspelt from one that is not there.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"outcome": ["wound area", "itch"]})
    >>> absent, = words_in_no_row(frame, "outcome in ['itch', 'wound aera']")
    >>> absent.misspelt
    'wound area'
    """
    reader = _Reader(frame, where, {}, "where")
    reader.read()
    return tuple(reader.absent)


def _shown(value: object) -> str:
    return f"of type {type(value).__name__}"


class _Reader:
    """Reads one condition and computes it."""

    def __init__(
        self, frame: pd.DataFrame, where: str, words: Mapping[str, Collection[str]], called: str
    ) -> None:
        self.frame, self.where, self.words, self.called = frame, where, words, called
        self.names = {str(name): i for i, name in reversed([*enumerate(frame.columns)])}
        self.leaves: dict[str, _Value] = {}
        self.absent: list[AbsentWord] = []

    @property
    def shown(self) -> str:
        return f"{self.called} = {self.where if len(self.where) <= 200 else self.where[:200] + ' ...'!r}"

    def unreadable(self, why: str, remedy: str = "") -> InputError:
        return InputError(
            f"{self.shown} cannot be read: {why}",
            f"a condition of {GRAMMAR}",
            remedy or f"write {example_of(self.frame)}",
        )

    def no_condition(self, why: str = "", remedy: str = "") -> InputError:
        return InputError(
            f"{self.shown} does not say yes or no of each row{why and ': ' + why}",
            "a condition that names a column",
            f"write {remedy or example_of(self.frame)}",
        )

    # -- words ------------------------------------------------------------------------------------------

    def read(self) -> _Value:
        """Return the value of the whole condition."""
        pieces, tokens = self._pieces()
        try:
            return self._value(ast.parse("".join(pieces).strip(), mode="eval").body)
        except SyntaxError as error:
            ends = np.cumsum([len(piece) for piece in pieces]) - (pieces[0][:1] == " ")
            at = int(np.searchsorted(ends, (error.offset or 1) - 1, side="right"))
            unfinished = tokens[-1] in (*_PREFIXES, *_WRITTEN) or tokens[-1][-1] in "*/%<>=.,"
            near = "the end" if unfinished or at >= len(tokens) else repr(tokens[at])
            raise self.unreadable(
                f"a column or a value, or a sign between two, is missing at {near}"
            ) from None
        except (RecursionError, MemoryError):
            raise self.unreadable("too many parts stand inside one another") from None

    def _pieces(self) -> tuple[list[str], list[str]]:
        """Return the condition in pieces for the parser, values as numbered names, and its words."""
        if len(self.where) > LONGEST:
            raise self.unreadable(
                f"it has {len(self.where)} letters; {LONGEST} are allowed",
                "give the rows a column of their own in the table and ask for it",
            )
        pieces: list[str] = []
        tokens: list[str] = []
        at, text, open_, run = 0, self.where.rstrip(), 0, 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                raise self._stray(text[at:].lstrip())
            at, kind = found.end(), found.lastgroup
            token = found[kind]
            last = tokens[-1] if tokens else ""
            open_ += (token in ("(", "[")) - (token in (")", "]")) if kind == "sign" else 0
            run = run + 1 if token in _PREFIXES else 0
            if max(open_, run) > DEEPEST:
                raise self.unreadable(f"more than {DEEPEST} parts stand inside one another")
            if len(tokens) > MOST_WORDS:
                raise self.unreadable(f"it has more than {MOST_WORDS} words")
            if token == "=" and not (open_ and pieces[-1:] == [f" {last}"]):
                doubled = re.sub(r"(?<![=!<>])=(?!=)", "==", self.where)
                raise self.no_condition("a comparison is written ==", repr(doubled))
            tokens.append(token)
            pieces.append(self._piece(kind, token, last, text[at:].lstrip()))
        if not tokens:
            raise self.no_condition("it is empty")
        if open_:
            raise self.unreadable(
                "a bracket does not close" if open_ > 0 else "a bracket closes that is not open"
            )
        return pieces, tokens

    def _piece(self, kind: str, token: str, last: str, rest: str) -> str:
        """Return what the parser is given for one word or sign."""
        if kind == "sign":
            return _WRITTEN.get(token, token)
        if kind == "number":
            return self._leaf(_Value(NUMBERS, float(token), token))
        if kind == "text":
            return self._leaf(_Value(TEXTS, self._unquoted(token), token))
        if kind == "column":
            return self._leaf(self._column(token[1:-1]))
        return self._method(token, "the value before it", rest) if last == "." else self._word(token, rest)

    def _word(self, token: str, rest: str) -> str:
        """Return what the parser is given for a column without backticks, or a word of the language."""
        parts = token.split(".")
        for n in range(len(parts), 0, -1):
            name, behind = ".".join(parts[:n]), ".".join(parts[n:])
            if name in self.names:
                return self._leaf(self._column(name)) + (
                    f".{self._method(behind, name, rest)}" if behind else ""
                )
        if "__" in token:
            raise self._outside(token)
        if token in ("True", "False"):
            return self._leaf(_Value(ANSWERS, token == "True", token))
        if token not in _WRITTEN and rest.startswith("(") and token not in _FUNCTIONS:
            raise UnknownChoiceError(f"word in {self.called}", token, _FUNCTIONS)
        # what stands before a single = is an option, or one sign is missing
        if token in _WRITTEN or rest.startswith("(") or re.match("=(?!=)", rest):
            return _WRITTEN.get(token, f" {token}")
        raise UnknownChoiceError(f"column in {self.called}", parts[0], map(str, self.frame.columns))

    def _method(self, name: str, subject: str, rest: str) -> str:
        """Return the word of ours for a word behind a value: outcome.str.contains('wound')."""
        if "__" in name:
            raise self._outside(name)
        if name not in _METHODS:
            raise UnknownChoiceError(f"word in {self.called} after {subject}", name, _METHODS)
        if not rest.startswith("("):
            raise self.unreadable(f"brackets are missing after {name}")
        return _METHODS[name]

    def _leaf(self, value: _Value) -> str:
        """Return the name under which the parser sees a value."""
        name = f"_{len(self.leaves)}"
        self.leaves[name] = value
        return f" {name}"

    def _column(self, name: str) -> _Value:
        if name not in self.names:
            raise UnknownChoiceError(f"column in {self.called}", name, map(str, self.frame.columns))
        return _Value(*_values_of(self.frame.iloc[:, self.names[name]]), name, name)

    def _stray(self, rest: str) -> InputError:
        if rest.startswith("@"):
            return self._outside("@")
        if rest[0] in "'\"`":
            return self.unreadable("a quote does not close", "close the quote")
        return self.unreadable(f"{rest[:20]!r} is no part of a condition")

    def _outside(self, name: str) -> InputError:
        return InputError(
            f"{self.shown} refers to names outside the table ({name})",
            "columns of the table",
            f"write {example_of(self.frame)}",
        )

    # -- the tree ---------------------------------------------------------------------------------------

    def _value(self, node: ast.expr) -> _Value:
        """Return the value of a part of the tree."""
        if isinstance(node, ast.Name) and node.id in self.leaves:
            return self.leaves[node.id]
        if isinstance(node, ast.BoolOp):
            parts = [self._value(part) for part in node.values]
            join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
            return _Value(ANSWERS, functools.reduce(join, map(self._answers, parts)), parts[0].text)
        if isinstance(node, ast.UnaryOp):
            return self._signed(node)
        if isinstance(node, ast.BinOp) and type(node.op) in _CALCULATIONS:
            sign, compute = _CALCULATIONS[type(node.op)]
            return self._calculate(self._value(node.left), sign, compute, self._value(node.right))
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.List | ast.Tuple):
            raise self.unreadable("a list stands where a column is expected", "write: column in ['a', 'b']")
        raise self.unreadable("columns, values and signs stand together in a way that has no meaning")

    def _answers(self, value: _Value) -> Any:
        if value.kind != ANSWERS or value.is_literal:
            raise self.no_condition(f"{value.text} alone is no comparison")
        return value.values

    def _signed(self, node: ast.UnaryOp) -> _Value:
        found = self._value(node.operand)
        if isinstance(node.op, ast.Not | ast.Invert):
            return _Value(ANSWERS, ~self._answers(found), f"not {found.text}")
        sign = "-" if isinstance(node.op, ast.USub) else "+"
        value = self._numbers(found, f"{sign} in front")
        return _Value(NUMBERS, -value if sign == "-" else value, f"{sign}{found.text}")

    def _comparison(self, node: ast.Compare) -> _Value:
        """Return what a chain of comparisons says."""
        left = self._value(node.left)
        answers: Any = None
        for op, right in zip(node.ops, node.comparators, strict=True):
            sign = _COMPARISONS[type(op)]  # the words that make other comparisons are on no list
            if sign in ("in", "not in") or isinstance(right, ast.List):
                if sign in _ORDER:
                    raise self.unreadable(f"a list cannot stand after {sign}")
                here = self._is_in(left, self._listed(right))
                here = here if sign in ("in", "==") else ~here
            else:
                value = self._value(right)
                here = self._compare(left, sign, value)
                left = value
            answers = here if answers is None else answers & here
        return _Value(ANSWERS, answers, f"a comparison of {left.text}")

    def _listed(self, node: ast.expr) -> list[_Value]:
        """Return the literals of a list in brackets."""
        if not isinstance(node, ast.List | ast.Tuple):
            raise self.unreadable("a list in square brackets is missing", "write: column in ['a', 'b']")
        found = [self._value(entry) for entry in node.elts]
        for value in found:
            if not value.is_literal:
                raise self.unreadable(f"{value.text} in a list is no text in quotes and no number")
        return found

    def _call(self, node: ast.Call) -> _Value:
        """Return what a word says of a column."""
        behind = isinstance(node.func, ast.Attribute)
        if isinstance(node.func, ast.Attribute):
            name, subject = node.func.attr, [self._value(node.func.value)]
        elif isinstance(node.func, ast.Name) and node.func.id not in self.leaves:
            name, subject = node.func.id, []
        else:
            raise self.unreadable("brackets stand behind a value, which is no word")
        if name == "isin":
            if len(node.args) != 1 or node.keywords:
                raise self.unreadable("isin takes one list", "write: column in ['a', 'b']")
            answers = self._is_in(subject[0], self._listed(node.args[0]))
            return _Value(ANSWERS, answers, f"{subject[0].text}.isin(...)")
        arguments = [*subject, *(self._value(part) for part in node.args)]
        options = {str(part.arg): self._option(name, part) for part in node.keywords}
        return self._said(name, arguments, options, behind)

    def _option(self, name: str, part: ast.keyword) -> Any:
        if part.arg not in _OPTIONS.get(name, ()):
            raise UnknownChoiceError(
                f"option of {name} in {self.called}", str(part.arg), _OPTIONS.get(name, ())
            )
        value = self._value(part.value)
        if not value.is_literal:
            raise self.unreadable(f"{part.arg} takes a value, not a column")
        return value.values

    def _said(
        self, name: str, arguments: Sequence[_Value], options: Mapping[str, Any], as_pandas: bool
    ) -> _Value:
        needed = {"contains": 2, "starts_with": 2, "ends_with": 2, "between": 3}.get(name, 1)
        if len(arguments) != needed:
            raise self.unreadable(f"{name} takes {needed} values, not {len(arguments)}")
        subject = arguments[0]
        if subject.is_literal:
            raise self.unreadable(f"{name} is asked of {subject.text}, which is no column")
        said = f"{name}({subject.text})"
        if name in ("is_blank", "not_blank"):
            blank = _blank(subject)
            return _Value(ANSWERS, blank if name == "is_blank" else ~blank, said)
        if name == "abs":
            return _Value(NUMBERS, np.abs(self._numbers(subject, name)), said)
        if name == "between":
            sides = options.get("inclusive", "both")
            if sides not in _SIDES:
                raise UnknownChoiceError(f"inclusive in {self.called}", sides, _SIDES)
            low, high = _SIDES[sides]
            answers = self._compare(subject, low, arguments[1]) & self._compare(subject, high, arguments[2])
            return _Value(ANSWERS, answers, said)
        return self._said_of_text(name, arguments, options, as_pandas)

    def _said_of_text(
        self, name: str, arguments: Sequence[_Value], options: Mapping[str, Any], as_pandas: bool
    ) -> _Value:
        texts = self._texts(arguments[0])
        if name in ("lower", "upper"):
            done = [None if text is None else getattr(str, name)(text) for text in texts]
            return _Value(TEXTS, _as_objects(done), f"{name}({arguments[0].text})")
        part = arguments[1]
        if part.kind != TEXTS or not part.is_literal:
            raise self.unreadable(f"{name} looks for {part.text}, which is no text in quotes")
        if as_pandas and name == "contains" and options.get("regex", True) is not False:
            sign = _PATTERN_SIGNS.search(part.values)
            if sign:
                raise self.unreadable(
                    f"{part.text} holds {sign[0]!r}, a sign of patterns; a text is looked for as it stands",
                    f"write contains({arguments[0].text}, 'text'), joined by or for several texts",
                )
        fold = options.get("case", True) is False
        wanted = part.values.casefold() if fold else part.values
        test = {"contains": str.__contains__, "starts_with": str.startswith, "ends_with": str.endswith}[name]
        answers = [text is not None and test(text.casefold() if fold else text, wanted) for text in texts]
        return _Value(ANSWERS, np.array(answers, dtype=bool), f"{name}({arguments[0].text})")

    def _unquoted(self, quoted: str) -> str:
        def plain(match: re.Match[str]) -> str:
            if match[1] not in _ESCAPES:
                raise self.unreadable(
                    f"{match[0]} is no sign that a text may hold", "write \\\\ for a backslash"
                )
            return _ESCAPES[match[1]]

        return re.sub(r"\\(.)", plain, quoted[1:-1])

    # -- values -----------------------------------------------------------------------------------------

    def _numbers(self, value: _Value, what: str) -> Any:
        """Return a value as numbers; a column of texts will do if each of them is one."""
        if value.kind == NUMBERS:
            return value.values
        if value.kind == TEXTS and value.column:
            texts = [text for text in value.values if text is not None]
            if texts and all(_NUMBER_LIKE.fullmatch(text) for text in texts):
                return np.array([math.nan if text is None else float(text) for text in value.values])
        remedy = "write the number without quotes" if value.is_literal else ""
        raise self.unreadable(f"{value.text} holds {value.kind}, and {what} needs numbers", remedy)

    def _texts(self, value: _Value) -> Any:
        if value.kind != TEXTS:
            raise self.unreadable(f"{value.text} holds {value.kind}, not texts")
        return value.values

    def _calculate(
        self, left: _Value, sign: str, compute: Callable[[Any, Any], Any], right: _Value
    ) -> _Value:
        a, b = self._numbers(left, sign), self._numbers(right, sign)
        with np.errstate(all="ignore"):
            found = compute(np.asarray(a, dtype=float), np.asarray(b, dtype=float))
        literal = left.is_literal and right.is_literal
        return _Value(NUMBERS, float(found) if literal else found, f"{left.text} {sign} {right.text}"[:80])

    def _compare(self, left: _Value, sign: str, right: _Value) -> Any:
        if left.is_literal and right.is_literal:
            raise self.no_condition(f"{left.text} {sign} {right.text} names no column")
        if ANSWERS in (left.kind, right.kind):
            if sign not in ("==", "!=") or left.kind != right.kind:
                raise self.unreadable(f"{left.text} {sign} {right.text} compares answers with something else")
            same = np.asarray(left.values == right.values, dtype=bool)
            return same if sign == "==" else ~same
        if left.kind == right.kind == TEXTS:
            return self._compare_texts(left, sign, right)
        a = self._numbers(left, f"the comparison with {right.text}")
        b = self._numbers(right, f"the comparison with {left.text}")
        with np.errstate(invalid="ignore"):
            if sign in _ORDER:
                return np.asarray(_ORDER[sign](a, b), dtype=bool)
            return np.asarray(a == b if sign == "==" else a != b, dtype=bool)

    def _compare_texts(self, left: _Value, sign: str, right: _Value) -> Any:
        for column, literal in ((left, right), (right, left)):
            if literal.is_literal:
                self._check_word(column, literal, sign)
        if sign not in _ORDER:
            same = np.asarray(left.values == right.values, dtype=bool) & ~_blank(left) & ~_blank(right)
            return same if sign == "==" else ~same
        for value in (left, right):
            if value.is_literal and _NUMBER_LIKE.fullmatch(value.values):
                raise self.unreadable(
                    f"{left.text} {sign} {right.text} would put numbers in the order of texts",
                    "write the number without quotes",
                )
        size = len(self.frame)
        pairs = zip(_spread(left.values, size), _spread(right.values, size), strict=True)
        order = _ORDER[sign]
        return np.array([a is not None and b is not None and bool(order(a, b)) for a, b in pairs], dtype=bool)

    def _is_in(self, value: _Value, listed: Sequence[_Value]) -> Any:
        if value.is_literal:
            raise self.unreadable(f"{value.text} is no column", "write: column in ['a', 'b']")
        kinds = {entry.kind for entry in listed}
        if len(kinds) > 1 or ANSWERS in kinds:
            raise self.unreadable(f"the list after {value.text} mixes texts and numbers")
        if not listed:
            return np.zeros(len(self.frame), dtype=bool)
        if kinds == {TEXTS}:
            texts = self._texts(value)
            for entry in listed:
                self._check_word(value, entry)
            wanted = {entry.values for entry in listed}
            return np.array([text is not None and text in wanted for text in texts], dtype=bool)
        numbers = self._numbers(value, "a list of numbers")
        return np.isin(numbers, [entry.values for entry in listed])

    def _check_word(self, column: _Value, literal: _Value, sign: str = "in") -> None:
        """Refuse a word that a column of a closed list cannot hold, and note one that no row holds."""
        if not literal.values.strip():
            raise self.unreadable(
                "a blank cell is equal to no text",
                f"write is_blank({column.text}) or not_blank({column.text})",
            )
        if not column.column or sign in _ORDER:
            return
        held = dict.fromkeys(text for text in column.values if text is not None)
        if literal.values in held:
            return
        allowed = self.words.get(column.column, ())
        if allowed and literal.values not in allowed:
            raise UnknownChoiceError(f"word of {column.column} in {self.called}", literal.values, allowed)
        self.absent.append(AbsentWord(column.column, literal.values, tuple(held)))


def _values_of(column: pd.Series) -> tuple[str, Array]:
    """Return what a column holds, and its values: floats, booleans, or texts with None for blank cells."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(column) and not column.isna().any():
        return ANSWERS, np.asarray(column, dtype=bool)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        return NUMBERS, column.to_numpy(dtype=float, na_value=np.nan)
    cells = zip(column.tolist(), column.isna().tolist(), strict=True)
    return TEXTS, _as_objects(
        [None if missing or not str(value).strip() else str(value) for value, missing in cells]
    )


def _as_objects(values: Sequence[str | None]) -> Array:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _blank(value: _Value) -> Any:
    """Return which rows have no value."""
    if value.kind == NUMBERS:
        return np.isnan(value.values)
    if value.is_literal or value.kind == ANSWERS:
        return np.zeros(np.shape(value.values), dtype=bool)
    return np.array([text is None for text in value.values], dtype=bool)


def _spread(value: Any, size: int) -> Any:
    return value if isinstance(value, np.ndarray) else [value] * size
