"""Forms of text, such as that of a DOI, matched in time that grows with the text and never faster.

A codebook says by a pattern what a cell may look like. The pattern comes with the sheets, so it is not handed
to a matcher that tries one way after another and can take hours over a short cell: it becomes a set of
states, and all ways are followed at once, letter by letter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from metaexo.errors import InputError

LONGEST_PATTERN = 500
"""Signs that a pattern may have."""
LONGEST_CELL = 300
"""Letters from which a cell has no form any more."""
MOST_STATES = 300
"""States that a pattern may become; repetitions by number multiply them."""
DEEPEST = 20
MOST_REMEMBERED = 20_000

KNOWN = (
    "letters, . [a-z] [^a-z] \\d \\w \\s, groups ( ), alternatives |, and ? * + {2} {2,5} behind any of them"
)

Test = Callable[[str], bool]
_CLASSES: dict[str, Test] = {
    "d": str.isdecimal,
    "w": lambda sign: sign.isalnum() or sign == "_",
    "s": str.isspace,
}
_CLASSES |= {name.upper(): lambda sign, test=test: not test(sign) for name, test in _CLASSES.items()}  # type: ignore[misc]
_LITERAL = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(slots=True)
class Form:
    """A pattern as states: from each state the letters that lead on, and where to."""

    pattern: str  # how it is written
    tests: list[Test | None] = field(default_factory=list)
    onward: list[list[int]] = field(default_factory=list)
    start: frozenset[int] = frozenset()
    end: int = 0
    _known: dict[tuple[frozenset[int], str], frozenset[int]] = field(default_factory=dict)

    def matches(self, text: str) -> bool:
        r"""Return whether the whole of a text has this form; texts of more than 300 letters have none.

        Examples
        --------
        >>> form = read_form("10\\..+/.+")
        >>> form.matches("10.1186/s13287-023-03456-7"), form.matches("doi:10.1186/x")
        (True, False)
        >>> read_form("(a+)+b").matches("a" * 1000)
        False
        """
        if len(text) > LONGEST_CELL:
            return False
        states = self.start
        for sign in text:
            if not states:
                return False
            found = self._known.get((states, sign))
            if found is None:
                ahead = {
                    there
                    for state in states
                    if (test := self.tests[state]) and test(sign)
                    for there in self.onward[state]
                }
                found = self.reached(ahead)
                if len(self._known) >= MOST_REMEMBERED:
                    self._known.clear()
                self._known[states, sign] = found
            states = found
        return self.end in states

    def reached(self, states: set[int]) -> frozenset[int]:
        """Return these states and those that follow without a letter."""
        seen, todo = set(states), list(states)
        while todo:
            state = todo.pop()
            if self.tests[state] is None:
                new = [there for there in self.onward[state] if there not in seen]
                seen.update(new)
                todo += new
        return frozenset(seen)

    def state(self, test: Test | None = None, onward: list[int] | None = None) -> int:
        """Add a state."""
        if len(self.tests) >= MOST_STATES:
            raise _refused(self.pattern, f"it repeats so much that it has more than {MOST_STATES} states")
        self.tests.append(test)
        self.onward.append(onward or [])
        return len(self.tests) - 1


@lru_cache(maxsize=64)
def read_form(pattern: str) -> Form:
    """Return a pattern, read; refuse look-around, references, and what is too long.

    Examples
    --------
    >>> read_form("[0-9]{4}(-[0-9]{2})?").matches("2026-11")
    True
    """
    if len(pattern) > LONGEST_PATTERN:
        raise _refused(pattern[:40] + " ...", f"it has {len(pattern)} signs; {LONGEST_PATTERN} are allowed")
    reader = _Reader(pattern.removeprefix("^"))
    tree = reader.alternatives()
    if reader.at < len(reader.text):
        raise _refused(pattern, f"{reader.text[reader.at :]!r} does not belong to it")
    form = Form(pattern)
    first, last = _build(form, tree)
    form.start, form.end = form.reached({first}), last
    return form


def _refused(pattern: str, why: str) -> InputError:
    return InputError(f"the pattern {pattern!r} cannot be used: {why}", KNOWN, "write a simpler pattern")


# A tree is a tuple: ("sign", test), ("row", trees), ("any", trees) or ("times", tree, least, most).
_Tree = tuple[object, ...]


class _Reader:
    """Reads a pattern into a tree."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0

    def refuse(self, why: str) -> InputError:
        return _refused(self.text, why)

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def next(self) -> str:
        sign = self.peek()
        if not sign:
            raise self.refuse("it ends too early")
        self.at += 1
        return sign

    def alternatives(self) -> _Tree:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.refuse(f"more than {DEEPEST} groups stand inside one another")
        ways = [self.row()]
        while self.peek() == "|":
            self.at += 1
            ways.append(self.row())
        self.depth -= 1
        return ways[0] if len(ways) == 1 else ("any", ways)

    def row(self) -> _Tree:
        parts = []
        while self.peek() not in ("", "|", ")"):
            if self.peek() == "$" and self.at == len(self.text) - 1:
                self.at += 1
                break
            parts.append(self.repeated(self.atom()))
        return ("row", parts)

    def atom(self) -> _Tree:
        sign = self.next()
        if sign == "(":
            if self.text.startswith("?:", self.at):
                self.at += 2
            elif self.peek() == "?":
                raise self.refuse("(? begins something that is not known here")
            inner = self.alternatives()
            if self.next() != ")":
                raise self.refuse("a bracket does not close")
            return inner
        if sign == "[":
            return ("sign", self.signs())
        if sign == ".":
            return ("sign", lambda letter: letter != "\n")
        if sign == "\\":
            return ("sign", self.escaped())
        if sign in "*+?{^$":
            raise self.refuse(f"{sign} stands where a letter is expected")
        return ("sign", sign.__eq__)

    def escaped(self) -> Test:
        sign = self.next()
        if sign in _CLASSES:
            return _CLASSES[sign]
        if sign in _LITERAL or not sign.isalnum():
            return _LITERAL.get(sign, sign).__eq__
        raise self.refuse(f"\\{sign} is not known here")

    def signs(self) -> Test:
        """Return the test of a class such as [a-z_]."""
        turned = self.peek() == "^"
        self.at += turned
        tests: list[Test] = []
        while self.peek() != "]" or not tests:
            low = self.next()
            if low == "\\" and self.peek() in _CLASSES:
                tests.append(_CLASSES[self.next()])
                continue
            low = self.plain(low)
            if self.peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("", "]"):
                self.at += 1
                high = self.plain(self.next())
                if high < low:
                    raise self.refuse(f"{low}-{high} goes backwards")
                tests.append(lambda letter, low=low, high=high: low <= letter <= high)  # type: ignore[misc]
            else:
                tests.append(low.__eq__)
        self.at += 1
        return lambda letter: any(test(letter) for test in tests) != turned

    def plain(self, sign: str) -> str:
        if sign != "\\":
            return sign
        sign = self.next()
        if sign.isalnum() and sign not in _LITERAL:
            raise self.refuse(f"\\{sign} is not known here")
        return _LITERAL.get(sign, sign)

    def repeated(self, tree: _Tree) -> _Tree:
        while (sign := self.peek()) and sign in "*+?{":
            self.at += 1
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1), "{": (0, 0)}[sign]
            if sign == "{":
                least, most = self.counts()
            tree = ("times", tree, least, most)
            if self.peek() == "?":  # the shortest way first: the same texts match
                self.at += 1
        return tree

    def counts(self) -> tuple[int, int | None]:
        closing = self.text.find("}", self.at)
        words = self.text[self.at : closing].split(",") if closing > 0 else []
        if not 1 <= len(words) <= 2 or any(word and not word.isdecimal() for word in words) or not words[0]:
            raise self.refuse("{ } holds one number or two")
        self.at = closing + 1
        least = min(int(words[0]), MOST_STATES + 1)
        most = least if len(words) == 1 else min(int(words[1]), MOST_STATES + 1) if words[1] else None
        if most is not None and most < least:
            raise self.refuse(f"{{{least},{most}}} goes backwards")
        return least, most


def _build(form: Form, tree: _Tree) -> tuple[int, int]:
    """Add the states of a tree; return the first and the last."""
    kind = tree[0]
    if kind == "sign":
        last = form.state()
        return form.state(tree[1], [last]), last  # type: ignore[arg-type]
    if kind == "row":
        first = last = form.state()
        for part in tree[1]:  # type: ignore[attr-defined]
            begin, end = _build(form, part)
            form.onward[last].append(begin)
            last = end
        return first, last
    if kind == "any":
        ways = [_build(form, way) for way in tree[1]]  # type: ignore[attr-defined]
        last = form.state()
        for _, end in ways:
            form.onward[end].append(last)
        return form.state(None, [begin for begin, _ in ways]), last
    return _build_repeated(form, *tree[1:])  # type: ignore[arg-type]


def _build_repeated(form: Form, inner: _Tree, least: int, most: int | None) -> tuple[int, int]:
    first = last = form.state()
    for _ in range(least):
        begin, end = _build(form, inner)
        form.onward[last].append(begin)
        last = end
    if most is None:
        begin, end = _build(form, inner)
        over = form.state()
        form.onward[last] += [begin, over]
        form.onward[end] += [begin, over]
        return first, over
    over = form.state()
    form.onward[last].append(over)
    for _ in range(most - least):
        begin, end = _build(form, inner)
        form.onward[last].append(begin)
        form.onward[end].append(over)
        last = end
    return first, over
