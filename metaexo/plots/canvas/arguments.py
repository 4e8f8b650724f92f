"""What is handed to a figure, checked at its door: every argument by the kind that its signature says.

The functions of all figures share names and kinds of arguments, so they share their checks. An argument whose
kind has no check here cannot be written: the decorator refuses it when the function is defined.
"""

from __future__ import annotations

import inspect
import math
import re
from ast import literal_eval
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from metaexo.calls import bound
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.evidence.risk_of_bias.tool import BiasTool
from metaexo.formatting import plural
from metaexo.inputs import check_flag, check_level, check_number, describe
from metaexo.plots.canvas.theme import get_theme
from metaexo.readable import shows_itself

P = ParamSpec("P")
R = TypeVar("R")
Check = Callable[[str, Any], object]

# Least and most of the numbers that only make sense within bounds; lengths in points.
RANGES: dict[str, tuple[float, float]] = {
    "across": (1, 50),
    "columns": (1, 50),
    "decimals": (0, 12),
    "dpi": (10, 2400),
    "draws": (20, 1e6),
    "font_size": (7.0, 40.0),
    "height": (0.5, 400.0),
    "marker_size": (0.5, 60.0),
    "width": (0.5, 100.0),
    "label_letters": (4, 1000),
    "row_height": (4.0, 400.0),
    "seed": (0, 2**63),
    "tolerance": (0.0, math.inf),
}
LISTS = re.compile(r"^(Sequence|tuple)\[|\| Sequence\[")
COLUMN_KINDS = ("text", "number", "risk", "events", "mean_sd")
ColumnKind = Literal["text", "number", "estimate", "weight", "risk", "events", "mean_sd"]


@shows_itself
@dataclass(frozen=True, slots=True)
class Column:
    """A column of a forest plot.

    Attributes
    ----------
    key : str or tuple of str
        Name of the column of the data, or the names of two for "events" (events, n) and "mean_sd" (mean, SD).
    title : str
        Heading; the key in words if empty. A line break makes a heading of two lines.
    kind : {"text", "number", "risk", "events", "mean_sd"}, optional
        "text" is aligned to the left, "number" to the right with equal decimals, "risk" shows a disc with a
        sign for a judgement on risk of bias, "events" shows "12 / 40", and "mean_sd" shows "3.1 (0.8)".
        Without it the type of the data decides. The kinds "estimate" and "weight" are those of the columns
        that every plot makes itself.
    decimals : int, optional
        Decimals of a number; without it as many as the data need.
    wording : mapping of str to str
        Words to be shown for values of the data; without an entry, blanks stand for underscores.
    letters : int
        Texts longer than about this many letters are broken into lines.
    side : {"left", "right"}
        Side of the panel.
    note : str
        What the column is, in a line of the notes below.
    tool : BiasTool, optional
        Tool of a column of kind "risk", for judgements that are none of those of RoB 2, ROBINS-I and SYRCLE.
    """

    key: Any = ""
    title: str = ""
    kind: ColumnKind | None = None
    decimals: int | None = None
    wording: Mapping[str, str] = field(default_factory=dict)
    letters: int = 28
    side: Literal["left", "right"] = "left"
    note: str = ""
    tool: BiasTool | None = None

    def __post_init__(self) -> None:
        keys = self.key if isinstance(self.key, tuple | list) else (self.key,)
        if not keys or not all(isinstance(key, str) and key for key in keys):
            raise InputError(
                f"the key of a column is {self.key!r}",
                "the name of a column of the data, as a text",
                'write mx.plots.Column("source")',
            )
        pairs = ("events", "mean_sd")
        if (len(keys) == 2) != (self.kind in pairs):
            raise InputError(
                f"a column of kind {self.kind!r} with {plural(len(keys), 'key')}",
                "two keys for the kinds 'events' and 'mean_sd', and one for the others",
                'write mx.plots.Column(("events", "n"), "Exosome", kind="events")',
            )
        if not isinstance(self.key, str):
            object.__setattr__(self, "key", " / ".join(keys))

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of its columns of the data."""
        return tuple(self.key.split(" / ")) if self.kind in ("events", "mean_sd") else (self.key,)


# What all figures share, and what their docstrings say of it.
LOOK = {
    "title": """title : str
    Line above; say what was compared and in whom.""",
    "notes": """notes : sequence of str
    Further lines below.""",
    "ax": """ax : matplotlib Axes, Figure or SubFigure, optional
    Where to draw; letters keep their size. In Axes of your own a legend stands inside and notes are not drawn
    (:func:`metaexo.plots.plans_of` has them). Default: a new figure of pyplot, which a notebook shows.""",
    "width": """width : float
    Width in inches, unless `ax` has one.""",
    "height": """height : float, optional
    Height in inches, unless `ax` has one. Default: what the figure needs.""",
    "theme": """theme : str or Theme, optional
    "metaexo", "jama", "bmj", "lancet", "revman", "minimal", "dark", or a :class:`metaexo.plots.Theme`.
    Default: "metaexo" with what was changed in ``rcParams`` or by a style sheet of matplotlib.""",
    "font_size": """font_size : float, optional
    Letters of the text in points, 7 at least. Default: that of the theme.""",
}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function refuse arguments that it does not have, and values of another kind, in words.

    Its docstring gets what it does not say itself of the arguments that all figures share (LOOK).
    """
    signature = inspect.signature(function)
    _describe_look(function, signature)
    name = function.__name__
    checks = {key: check_of(name, parameter) for key, parameter in signature.parameters.items()}
    lists = {key for key, one in signature.parameters.items() if LISTS.search(str(one.annotation))}

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        given = bound(function, signature, args, kwargs)
        for key, value in given.arguments.items():
            check = checks[key]
            if check is not None:
                default = signature.parameters[key].default
                then = (
                    "" if default in (None, "", inspect.Parameter.empty) else f", which is then {default!r}"
                )
                with _remedy(f"leave out {key}={then}"):
                    check(key, value)
                if not isinstance(value, str | Mapping) and key in lists:
                    given.arguments[key] = None if value is None else tuple(value)
        with _remedy(f"help(mx.plots.{name}) says what each argument may be"):
            return function(*given.args, **given.kwargs)

    return wrapper


@contextmanager
def _remedy(words: str) -> Iterator[None]:
    """Say what to do in an error about an argument that does not say it."""
    try:
        yield
    except InputError as error:
        error.remedy = error.remedy or words
        raise


def _describe_look(function: Callable[..., Any], signature: inspect.Signature) -> None:
    """Add the arguments that all figures share to a docstring, where its parameters end."""
    text = inspect.cleandoc(function.__doc__ or "")
    found = re.search(r"Parameters\n-+\n.*?(?=\n\n\w+\n-+\n|\Z)", text, re.DOTALL)
    if found is None:
        return
    lacking = [
        words
        for name, words in LOOK.items()
        if name in signature.parameters
        and not re.search(rf"^(\w+, )*{name}(, \w+)* :", found[0], re.MULTILINE)
    ]
    order = [name for name in signature.parameters if name in LOOK]
    lacking.sort(key=lambda words: order.index(words.partition(" ")[0]))
    function.__doc__ = text[: found.end()] + "".join(f"\n{words}" for words in lacking) + text[found.end() :]


def check_of(function: str, parameter: inspect.Parameter) -> Check | None:
    """Return the check of a parameter; None for what the function looks at itself."""
    kind = str(parameter.annotation).removesuffix(" | None")
    if kind in OWN_CHECKS:
        return None
    check = _one_of(kind) if kind.startswith("Literal[") else CHECKS.get(kind)
    if check is None:
        raise TypeError(f"{function}: no check for {parameter.name}: {parameter.annotation}")
    if kind == parameter.annotation:
        return check
    return lambda name, value: value is None or check(name, value)


def _one_of(kind: str) -> Check:
    """Return the check that a value is one of the words of a literal type."""
    words = literal_eval(f"({kind.removeprefix('Literal[').removesuffix(']')},)")

    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or value not in words:
            raise UnknownChoiceError(name, value, words)

    return check


def _no(name: str, value: Any, needed: str, remedy: str = "") -> InputError:
    """Return that a value is of another kind than is needed."""
    return InputError(f"{name} is {describe(value)}", needed, remedy)


def _is_list(value: object) -> bool:
    """Return whether a value is a list of entries in an order: no mapping, set, table or iterator."""
    if isinstance(value, str | bytes | Mapping | Set) or not isinstance(value, Collection):
        return False
    return getattr(value, "ndim", 1) == 1


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise _no(name, value, "a text", f'write it in quotes: {name}="..."')


def _texts(name: str, value: Any) -> None:
    if isinstance(value, str):
        raise InputError(f"{name} is a single text", "a list of texts", f"write {name}=[{value[:40]!r}]")
    if not _is_list(value):
        raise _no(name, value, "a list of texts", f'write {name}=["...", "..."]')
    for entry in value if not name.endswith("_order") else ():
        _text(f"an entry of {name}", entry)


def _text_or_texts(name: str, value: Any) -> None:
    if not isinstance(value, str):
        _texts(name, value)


def _words(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise _no(name, value, "a mapping of texts", f'write {name}={{"value": "words"}}')
    for key, word in value.items():
        _text(f"a key of {name}", key)
        _text(f"{name}[{key!r}]", word)


def _values(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise _no(name, value, "a mapping of names to values", f'write {name}={{"dose": 1.0}}')
    for key, entry in value.items():
        _text(f"a key of {name}", key)
        if not isinstance(entry, str | bool):
            _number(f"{name}[{key!r}]", entry)


def _items(name: str, value: Any) -> None:
    (_words if isinstance(value, Mapping) else _texts)(name, value)


def _heads(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise _no(name, value, "titles with the names of their columns")
    for key, members in value.items():
        _text(f"a key of {name}", key)
        _texts(f"{name}[{key!r}]", members)


def _number(name: str, value: Any) -> None:
    if name == "level":
        check_level(value)
        return
    number = check_number(name, value)
    if not math.isfinite(number):
        raise InputError(f"{name} is {number}", "a finite number")
    least, most = RANGES.get(name, (-math.inf, math.inf))
    if not least <= number <= most:
        needed = f"at least {least:g}" + (f" and at most {most:g}" if most < math.inf else "")
        raise InputError(f"{name} is {number:g}", needed)


def _numbers(name: str, value: Any) -> None:
    if not _is_list(value):
        raise _no(name, value, "a list of numbers", f"write {name}=[...]")
    for entry in value:
        _number(f"an entry of {name}", entry)


def _whole(name: str, value: Any) -> None:
    _number(name, value)
    if float(value) != int(value):
        raise InputError(f"{name} is {value}", "a whole number")


def _two_numbers(name: str, value: Any) -> None:
    if not _is_list(value):
        raise _no(name, value, "two numbers", f"write {name}=(low, high)")
    if len(value) != 2:
        raise InputError(
            f"{name} has {plural(len(value), 'entry', 'entries')}", "two numbers", f"write {name}=(low, high)"
        )
    for entry in value:
        _number(name, entry)


def _list(name: str, value: Any) -> None:
    if not _is_list(value):
        raise _no(name, value, "a list", f"write {name}=[...]")


def _flag_or_whole(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        _whole(name, value)
        if value < 3:
            raise InputError(f"{name} is {value}", "True, False, or 3 rows per page at least")


def _flag_or_word(name: str, value: Any) -> None:
    if not isinstance(value, str):
        check_flag(name, value)


def _whole_or_wholes(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        _whole(name, value)
        return
    for key, entry in value.items():
        _text(f"a key of {name}", key)
        _whole("decimals", entry)


def _two_texts(name: str, value: Any) -> None:
    needed, remedy = "two texts, of the left and the right side", f'write {name}=("favours A", "favours B")'
    if isinstance(value, str):
        raise InputError(f"{name} is a single text", needed, remedy)
    _texts(name, value)
    if len(value) != 2:
        raise InputError(f"{name} has {plural(len(value), 'entry', 'entries')}", needed, remedy)


def _reference(name: str, value: Any) -> None:
    if not isinstance(value, str):
        _number(name, value)
    elif value != "null":
        raise UnknownChoiceError(name, value, ("null",))


def _columns(name: str, value: Any) -> None:
    if isinstance(value, str):
        return
    if isinstance(value, Column):
        raise InputError(f"{name} is a single column", "a list of columns", f"write {name}=[...]")
    if not _is_list(value):
        raise _no(name, value, "a list of texts or of mx.plots.Column")
    for column in value:
        if isinstance(column, Column):
            _column(column)
        elif not isinstance(column, str):
            raise _no("a column", column, "a text or mx.plots.Column")


def _column(column: Column) -> None:
    _text("the key of a column", column.key)
    _text("the title of a column", column.title)
    _words("the wording of a column", column.wording)
    _text("the note of a column", column.note)
    if not isinstance(column.tool, BiasTool | None):
        raise _no("the tool of a column", column.tool, "what mx.evidence.bias_tool returns")
    _whole("label_letters", column.letters)
    if column.decimals is not None:
        _whole("decimals", column.decimals)
    if column.side not in ("left", "right"):
        raise UnknownChoiceError("side of a column", column.side, ("left", "right"))
    if column.kind is not None and column.kind not in COLUMN_KINDS:
        raise UnknownChoiceError("kind of column", column.kind, COLUMN_KINDS)


def _table(name: str, value: Any) -> None:
    import pandas as pd

    if not isinstance(value, pd.DataFrame):
        raise _no(name, value, "a pandas DataFrame", "write pd.DataFrame(...) around it")


def _path(name: str, value: Any) -> None:
    if not isinstance(value, str | Path) or not str(value) or "\x00" in str(value):
        raise _no(name, value, "a path, as text or pathlib.Path", f'write {name}="figure.svg"')


def _place(name: str, value: Any) -> None:
    """Refuse what is no place to draw: no Axes, Figure or SubFigure."""
    from matplotlib.figure import FigureBase

    if not isinstance(value, FigureBase):
        axes_of_figure(name, value)


def _theme(name: str, value: Any) -> None:
    get_theme(value)


def axes_of_figure(name: str, value: Any) -> None:
    """Refuse what is no Axes of a figure, or no rectangular one."""
    from matplotlib.axes import Axes

    if not isinstance(value, Axes):
        remedy = "hand in one of the Axes of plt.subplots(), or leave it out"
        raise _no(name, value, "Axes of matplotlib", remedy)
    if value.figure is None:
        raise InputError("the Axes stand in no figure", "Axes of a figure", "make them by plt.subplots()")
    if value.name != "rectilinear":
        raise InputError(f"{name} are {value.name} Axes", "rectangular Axes", "make them without projection=")


CHECKS: dict[str, Check] = {
    "Axes": axes_of_figure,
    "Axes | Figure | SubFigure": _place,
    "str | Theme": _theme,
    "Mapping[str, Sequence[str]]": _heads,
    "Mapping[str, float | str]": _values,
    "Mapping[str, str]": _words,
    "Sequence[float]": _numbers,
    "Sequence[str]": _texts,
    "Sequence[str] | Mapping[str, str]": _items,
    "Sequence[Any]": _list,
    "bool | int": _flag_or_whole,
    "bool | Literal['only']": _flag_or_word,
    "int | Mapping[str, int]": _whole_or_wholes,
    "str | Sequence[str | Column]": _columns,
    "tuple[str, str]": _two_texts,
    "bool": check_flag,
    "float": _number,
    "float | Literal['null']": _reference,
    "int": _whole,
    "pd.DataFrame": _table,
    "str": _text,
    "str | Path": _path,
    "str | Sequence[str]": _text_or_texts,
    "tuple[float, float]": _two_numbers,
}
# Kinds that each function looks at itself: results, plans, measures, weights.
OWN_CHECKS = frozenset(
    {
        "Any",
        "AttributionResults | Mapping[str, AttributionResults]",
        "EffectSizes | AttributionResults | Estimability",
        "Figure | Axes | Sequence[Axes]",
        "Figure | Axes",
        "AnyProfile | Sequence[AnyProfile]",
        "RhoSweep",
        "str | Measure",
    }
)
