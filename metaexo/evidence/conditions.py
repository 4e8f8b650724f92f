"""Conditions on the rows of a sheet: a small language of its own, read and computed here.

A condition is text from a user, so nothing in it is ever handed to Python: it is cut into words, read by the
grammar below and computed on whole columns. What the grammar does not know is refused by name::

    condition := condition (or | "|") condition | condition (and | "&") condition | (not | ~) condition
               | value ((== | != | < | <= | > | >=) value)+ | value [not] in [literal, ...]
    value     := value (+ - * / % **) value | -value | (condition) | column | literal
               | word(value, ...) | value.word(...)
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

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

NUMBERS, TEXTS, ANSWERS = "numbers", "texts", "answers yes or no"
EXAMPLE = "\"outcome == 'wound_area' and treatment_n >= 10\""
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
      | (?P<name>[^\W\d]\w*)
      | (?P<sign>\*\*|==|!=|<=|>=|[-+*/%<>=&|~()\[\],.])
    )""",
    re.VERBOSE,
)
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "t": "\t"}
_PATTERN_SIGNS = re.compile(r"[\\^$*+?{}\[\]|()]")
_NUMBER_LIKE = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")

_ORDER: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPARISONS = ("==", "!=", *_ORDER)
_SUMS: Mapping[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub}
_PRODUCTS: Mapping[str, Callable[[Any, Any], Any]] = {
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}
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
_CONSTANTS: Mapping[str, bool] = {"True": True, "False": False}
_SIDES = {"both": (">=", "<="), "neither": (">", "<"), "left": (">=", "<"), "right": (">", "<=")}


class _Token(NamedTuple):
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class _Value:
    """A part of a condition: one value per row, or one for all.

    Attributes
    ----------
    kind : {"numbers", "texts", "answers yes or no"}
        What its values are.
    values : ndarray or scalar
        Floats (NaN for blank cells), texts (None for blank cells) or booleans.
    text : str
        How it is written.
    column : str
        The column that it is; empty for anything else.
    """

    kind: str
    values: Any
    text: str
    column: str = ""

    @property
    def is_literal(self) -> bool:
        return not isinstance(self.values, np.ndarray)


def rows_where(
    frame: pd.DataFrame, where: object, words: Mapping[str, Collection[str]] | None = None
) -> NDArray[np.bool_]:
    """Return which rows meet a condition.

    Use it wherever a reader chooses rows by a text. A blank cell is equal to nothing, unequal to everything,
    and neither above nor below anything. Nothing of the text is executed.

    Parameters
    ----------
    frame : DataFrame
        The rows.
    where : str
        The condition; columns whose names are not one word stand in backticks.
    words : mapping of str to collection of str, optional
        The words that a column may hold, so that a misspelt one is found.

    Returns
    -------
    ndarray of bool
        One answer per row.

    Raises
    ------
    UnknownChoiceError
        If a column or a word is not known; the nearest is named.
    InputError
        If the text is no condition, is too long or is nested too deeply.

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
            f"where is {_shown(where)}, which is no text", "a condition in quotes", f"write it as {EXAMPLE}"
        )
    reader = _Reader(frame, where, words or {})
    found = reader.read()
    if found.kind != ANSWERS or found.is_literal:
        raise reader.no_condition()
    return np.asarray(found.values, dtype=bool)


def _shown(value: object) -> str:
    return f"of type {type(value).__name__}"


class _Reader:
    """Reads one condition, from the loosest binding to the tightest, and computes it on the way."""

    def __init__(self, frame: pd.DataFrame, where: str, words: Mapping[str, Collection[str]]) -> None:
        self.frame, self.where, self.words = frame, where, words
        self.names = {str(name) for name in frame.columns}
        self.columns: dict[str, _Value] = {}
        self.depth = 0
        self.at = 0
        self.tokens = self._cut()

    # -- refusals ---------------------------------------------------------------------------------------

    @property
    def shown(self) -> str:
        return f"where = {self.where if len(self.where) <= 200 else self.where[:200] + ' ...'!r}"

    def unreadable(self, why: str, remedy: str = "") -> InputError:
        return InputError(
            f"{self.shown} cannot be read: {why}", f"a condition of {GRAMMAR}", remedy or f"write {EXAMPLE}"
        )

    def no_condition(self, why: str = "") -> InputError:
        return InputError(
            f"{self.shown} does not say yes or no of each row{why and ': ' + why}",
            "a condition that names a column",
            f"write {EXAMPLE}",
        )

    # -- words ------------------------------------------------------------------------------------------

    def _cut(self) -> list[_Token]:
        """Return the words and signs of the condition."""
        if len(self.where) > LONGEST:
            raise self.unreadable(
                f"it has {len(self.where)} letters; {LONGEST} are allowed",
                "give the rows a column of their own in the sheet and ask for it",
            )
        tokens, at, text = [], 0, self.where.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                raise self._stray(text[at:].lstrip())
            tokens.append(_Token(found.lastgroup, found[found.lastgroup]))
            if "__" in tokens[-1].text and tokens[-1].kind == "name" and tokens[-1].text not in self.names:
                raise self._outside(tokens[-1].text)
            at = found.end()
            if len(tokens) > MOST_WORDS:
                raise self.unreadable(f"it has more than {MOST_WORDS} words")
        if not tokens:
            raise self.no_condition("it is empty")
        return tokens

    def _stray(self, rest: str) -> InputError:
        if rest.startswith("@"):
            return self._outside("@")
        if rest[0] in "'\"`":
            return self.unreadable("a quote does not close", "close the quote")
        return self.unreadable(f"{rest[:20]!r} is no part of a condition")

    def _outside(self, name: str) -> InputError:
        return InputError(
            f"{self.shown} refers to names outside the sheet ({name})",
            "columns of the sheet",
            f"write {EXAMPLE}",
        )

    def _peek(self) -> _Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else _Token("end", "the end")

    def _next(self) -> _Token:
        token = self._peek()
        self.at += 1
        return token

    def _take(self, *texts: str) -> str:
        """Return the next word if it is one of these (in no quotes), and go on; "" otherwise."""
        token = self._peek()
        if token.kind in ("sign", "name") and token.text in texts:
            self.at += 1
            return token.text
        return ""

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise self.unreadable(f"{sign!r} is missing before {self._peek().text!r}")

    # -- grammar ----------------------------------------------------------------------------------------

    def read(self) -> _Value:
        """Return the value of the whole condition."""
        found = self._either()
        token = self._peek()
        if token.text == "=" and token.kind == "sign":
            raise self.no_condition("a comparison is written ==")
        if token.kind != "end":
            raise self.unreadable(f"{token.text!r} is not expected after {found.text[-40:]!r}")
        return found

    def _either(self) -> _Value:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.unreadable(f"more than {DEEPEST} parts stand inside one another")
        found = self._both()
        while self._take("or", "|"):
            other = self._both()
            found = _Value(ANSWERS, self._answers(found) | self._answers(other), found.text)
        self.depth -= 1
        return found

    def _both(self) -> _Value:
        found = self._not()
        while self._take("and", "&"):
            other = self._not()
            found = _Value(ANSWERS, self._answers(found) & self._answers(other), found.text)
        return found

    def _answers(self, value: _Value) -> Any:
        if value.kind != ANSWERS or value.is_literal:
            raise self.no_condition(f"{value.text} alone is no comparison")
        return value.values

    def _not(self) -> _Value:
        turns = 0
        while self._take("not"):
            turns += 1
        found = self._comparison()
        if not turns:
            return found
        answers = self._answers(found)
        return _Value(ANSWERS, ~answers if turns % 2 else answers, f"not {found.text}")

    def _comparison(self) -> _Value:
        """Return a value, or what a chain of comparisons says of it."""
        left = self._sum()
        answers: Any = None
        while True:
            if self._take("in"):
                here = self._is_in(left, self._listed())
            elif self._peek().text == "not" and self._ahead("in"):
                self.at += 2
                here = ~self._is_in(left, self._listed())
            elif sign := self._take(*_COMPARISONS):
                if self._peek() == _Token("sign", "["):
                    if sign not in ("==", "!="):
                        raise self.unreadable(f"a list cannot stand after {sign}")
                    here = self._is_in(left, self._listed())
                    here = ~here if sign == "!=" else here
                else:
                    right = self._sum()
                    here = self._compare(left, sign, right)
                    left = right
            else:
                break
            answers = here if answers is None else answers & here
        return left if answers is None else _Value(ANSWERS, answers, f"a comparison of {left.text}")

    def _ahead(self, word: str, kind: str = "name") -> bool:
        """Return whether the word after the next is this one."""
        return self.tokens[self.at + 1 : self.at + 2] == [_Token(kind, word)]

    def _sum(self) -> _Value:
        found = self._product()
        while sign := self._take(*_SUMS):
            found = self._calculate(found, sign, _SUMS[sign], self._product())
        return found

    def _product(self) -> _Value:
        found = self._signed()
        while sign := self._take(*_PRODUCTS):
            found = self._calculate(found, sign, _PRODUCTS[sign], self._signed())
        return found

    def _signed(self) -> _Value:
        """Return a value with the signs in front of it."""
        signs = []
        while sign := self._take("-", "+", "~"):
            signs.append(sign)
        found = self._behind(self._primary())
        if self._take("**"):
            self.depth += 1
            if self.depth > DEEPEST:
                raise self.unreadable(f"more than {DEEPEST} parts stand inside one another")
            found = self._calculate(found, "**", operator.pow, self._signed())
            self.depth -= 1
        for sign in reversed(signs):
            if sign == "~":
                found = _Value(ANSWERS, ~self._answers(found), f"~{found.text}")
            else:
                value = self._numbers(found, f"{sign} in front")
                found = _Value(NUMBERS, -value if sign == "-" else value, f"{sign}{found.text}")
        return found

    def _primary(self) -> _Value:
        token = self._next()
        if token.kind == "number":
            return _Value(NUMBERS, float(token.text), token.text)
        if token.kind == "text":
            return _Value(TEXTS, self._unquoted(token.text), token.text)
        if token.kind == "column":
            return self._column(token.text[1:-1])
        if token == _Token("sign", "("):
            found = self._either()
            self._need(")")
            return found
        if token.kind == "name":
            return self._named(token.text)
        if token == _Token("sign", "["):
            raise self.unreadable("a list stands where a column is expected", "write: column in ['a', 'b']")
        if token == _Token("sign", "="):
            raise self.unreadable("a comparison is written ==", "write ==")
        raise self.unreadable(f"{token.text!r} stands where a column or a value is expected")

    def _named(self, name: str) -> _Value:
        """Return a column, what a word of the language says, or one of the constants."""
        if self._peek() == _Token("sign", "(") and name not in self.names:
            if name not in _FUNCTIONS:
                raise UnknownChoiceError("word in where", name, _FUNCTIONS)
            return self._call(name, None)
        parts = [name]
        ahead = self.at
        while (
            ahead + 1 < len(self.tokens)
            and self.tokens[ahead] == _Token("sign", ".")
            and self.tokens[ahead + 1].kind == "name"
        ):
            parts.append(self.tokens[ahead + 1].text)
            ahead += 2
            if ".".join(parts) in self.names and self.tokens[ahead : ahead + 1] != [_Token("sign", "(")]:
                self.at = ahead
                return self._column(".".join(parts))
        if name in _CONSTANTS and name not in self.names:
            return _Value(ANSWERS, _CONSTANTS[name], name)
        return self._column(name)

    def _column(self, name: str) -> _Value:
        if name not in self.names:
            raise UnknownChoiceError("column in where", name, map(str, self.frame.columns))
        if name not in self.columns:
            chosen = self.frame.loc[:, [str(column) == name for column in self.frame.columns]]
            self.columns[name] = _Value(*_values_of(chosen.iloc[:, 0]), name, name)
        return self.columns[name]

    def _behind(self, value: _Value) -> _Value:
        """Return what the words behind a value say of it: outcome.str.contains('wound')."""
        while self._take("."):
            parts = []
            while self._peek().kind == "name":
                parts.append(self._next().text)
                if not self._take("."):
                    break
            name = ".".join(parts)
            if name not in _METHODS:
                raise UnknownChoiceError(f"word in where after {value.text}", name, _METHODS)
            if self._peek() != _Token("sign", "("):
                raise self.unreadable(f"brackets are missing after {name}")
            value = self._call(_METHODS[name], value, as_pandas=True)
        return value

    def _call(self, name: str, subject: _Value | None, as_pandas: bool = False) -> _Value:
        """Return what a word says of a column."""
        self._need("(")
        if subject is not None and name == "isin":
            answers = self._is_in(subject, self._listed())
            self._need(")")
            return _Value(ANSWERS, answers, f"{subject.text}.isin(...)")
        arguments: list[_Value] = []
        options: dict[str, Any] = {}
        while not self._take(")"):
            if arguments or options:
                self._need(",")
            if self._peek().kind == "name" and self._ahead("=", "sign"):
                key = self._next().text
                self.at += 1
                options[key] = self._option(name, key)
            else:
                arguments.append(self._either())
        if subject is not None:
            arguments.insert(0, subject)
        return self._said(name, arguments, options, as_pandas)

    def _option(self, name: str, key: str) -> Any:
        if key not in _OPTIONS.get(name, ()):
            raise UnknownChoiceError(f"option of {name} in where", key, _OPTIONS.get(name, ()))
        value = self._primary()
        if not value.is_literal:
            raise self.unreadable(f"{key} takes a value, not a column")
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
                raise UnknownChoiceError("inclusive in where", sides, _SIDES)
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

    def _listed(self) -> list[_Value]:
        """Return the literals of a list in brackets."""
        closing = {"[": "]", "(": ")"}.get(self._peek().text if self._peek().kind == "sign" else "")
        if closing is None:
            raise self.unreadable("a list in square brackets is missing", "write: column in ['a', 'b']")
        self.at += 1
        found: list[_Value] = []
        while not self._take(closing):
            if found:
                self._need(",")
                if self._take(closing):
                    break
            value = self._signed()
            if not value.is_literal:
                raise self.unreadable(f"{value.text} in a list is no text in quotes and no number")
            found.append(value)
        return found

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
                self._check_word(column, literal)
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

    def _check_word(self, column: _Value, literal: _Value) -> None:
        """Refuse a word that a column of a closed list cannot hold."""
        if not literal.values.strip():
            raise self.unreadable(
                "a blank cell is equal to no text",
                f"write is_blank({column.text}) or not_blank({column.text})",
            )
        allowed = self.words.get(column.column, ())
        if allowed and literal.values not in allowed and literal.values not in set(column.values):
            raise UnknownChoiceError(f"word of {column.column} in where", literal.values, allowed)


def _values_of(column: pd.Series) -> tuple[str, Array]:
    """Return what a column holds, and its values: floats, booleans, or texts with None for blank cells."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(column) and not column.isna().any():
        return ANSWERS, np.asarray(column, dtype=bool)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        return NUMBERS, column.to_numpy(dtype=float, na_value=np.nan)
    texts = [None if missing else str(value) for value, missing in zip(column, column.isna(), strict=True)]
    return TEXTS, _as_objects([text if text is None or text.strip() else None for text in texts])


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
