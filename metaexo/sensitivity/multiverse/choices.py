"""The choices of a multiverse: names, options, and which combinations of them are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.conditions import rows_where
from metaexo.effects import get_measure
from metaexo.errors import CorrelationError, InputError, UnknownChoiceError, nearest_word
from metaexo.formatting import TEST_NAMES
from metaexo.inputs import check_choice, check_number, describe, is_number, read_entries
from metaexo.models.linear.choices import get_test
from metaexo.numeric.estimators import get_estimator
from metaexo.types import Index, Mask

if TYPE_CHECKING:
    import pandas as pd

MODELS = ("random effects", "one per study", "aggregate", "multilevel", "robust")
DERIVED = ("keep", "drop assumed", "drop")
CENSORED = ("keep", "drop")
# Choices of known meaning, by what they change: how effects are made, which rows there are, what is fitted.
MAKING = ("measure", "assumed_correlation")
ROWS = ("include", "derived", "group")
FITTING = ("censored", "model", "correlation", "method", "test")
KNOWN = (*MAKING, *ROWS, *FITTING)
MOST_PATHS, MOST_CHOICES = 1_000_000, 14
# Columns of the table of paths.
TAKEN = (
    "path", "status", "k", "m", "estimate", "se", "low", "high", "ratio", "ratio_low", "ratio_high", "pvalue",
    "tau2", "i2", "prediction_low", "prediction_high", "conclusion",
)  # fmt: skip
DEFAULT_LABELS = {"include": "all", "group": "as coded"}
EXAMPLE = '{"method": ["REML", "DL"], "test": ["knapp-hartung", "z"]}'


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice: its name, the labels of its options, and what each of them stands for."""

    name: str
    labels: tuple[str, ...]
    values: tuple[Any, ...]

    @property
    def makes(self) -> bool:
        """Whether it changes how effects are made from the data."""
        return self.name in MAKING or (self.name not in KNOWN and not callable(self.values[0]))

    @property
    def of_rows(self) -> bool:
        """Whether it changes which effects there are."""
        return self.name in ROWS or (self.name not in KNOWN and callable(self.values[0]))

    @property
    def cells(self) -> list[Any]:
        """What stands for the options in a table: numbers where all of them are, else their labels."""
        return list(self.values if all(map(is_number, self.values)) else self.labels)


@dataclass(frozen=True, slots=True)
class Grid:
    """All paths that are declared: for each the position of its option of every choice."""

    choices: tuple[Choice, ...]
    options: Index  # (n, d)
    excluded: Mask  # (n,): combinations that `unless` rules out
    reference: int  # position of the reference path

    def frame(self) -> pd.DataFrame:
        """Return the options of every path as a table, a column per choice."""
        import pandas as pd

        columns = {
            one.name: pd.Series(one.cells).take(at).reset_index(drop=True)
            for one, at in zip(self.choices, self.options.T, strict=True)
        }
        return pd.DataFrame(columns)


def make_grid(choices: object, unless: object, reference: object) -> Grid:
    """Return the paths of declared choices; see :func:`metaexo.sensitivity.multiverse`."""
    found = read_choices(choices)
    sizes = [len(one.values) for one in found]
    count = math.prod(sizes)
    if count > MOST_PATHS:
        raise InputError(
            f"{count:,} paths are declared ({' x '.join(map(str, sizes))})",
            f"at most {MOST_PATHS:,}",
            "leave out options that nobody would defend, or choices that other choices make",
        )
    options = np.stack(np.unravel_index(np.arange(count), sizes), axis=1)
    start = _read_reference(reference, found)
    grid = Grid(found, options, np.zeros(count, dtype=bool), int(np.ravel_multi_index(start, sizes)))
    conditions = [unless] if isinstance(unless, str) else _listed(unless, "unless")
    if not conditions:
        return grid
    frame = grid.frame()
    excluded = np.any([rows_where(frame, condition, called="unless") for condition in conditions], axis=0)
    if excluded.all():
        raise InputError("unless rules out every path", "conditions that some paths do not meet")
    if excluded[grid.reference]:
        raise InputError(
            "unless rules out the reference path",
            "a reference path among those that are left",
            "choose another by reference=, or put the options of the main analysis first",
        )
    return Grid(found, options, excluded, grid.reference)


def read_choices(choices: object) -> tuple[Choice, ...]:
    """Return the choices of a declaration, checked."""
    if isinstance(choices, Mapping) and not choices:
        raise InputError("no choices were given", "one choice or several", f"write {EXAMPLE}")
    if not isinstance(choices, Mapping):
        raise InputError(
            f"choices are {describe(choices)}", "a mapping of names to options", f"write {EXAMPLE}"
        )
    if len(choices) > MOST_CHOICES:
        raise InputError(f"there are {len(choices)} choices", f"at most {MOST_CHOICES}")
    return tuple(_read_choice(name, options) for name, options in choices.items())


def _read_choice(name: object, options: object) -> Choice:
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"the name of a choice is {name!r}", "a text", f"write {EXAMPLE}")
    if name in TAKEN:
        raise InputError(
            f"a choice is called {name!r}",
            "a name that is none of the columns of results",
            f"call it {f'choice of {name}'!r}",
        )
    if isinstance(options, Mapping):
        pairs = [(str(label), value) for label, value in options.items()]
    else:
        pairs = [(_label(name, value), value) for value in _listed(options, f"the options of {name}")]
    if not pairs:
        raise InputError(f"the choice {name!r} has no options", "one option or several")
    labels = [label for label, _ in pairs]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InputError(
            f"the choice {name!r} has several options called {', '.join(map(repr, twice))}",
            "a name of its own for each option",
            f'write {{"{name}": {{"one name": ..., "another": ...}}}}',
        )
    values = tuple(_CHECKS.get(name, _check_own)(name, label, value) for label, value in pairs)
    if name not in KNOWN and len({callable(value) for value in values}) > 1:
        raise InputError(
            f"some options of {name!r} are functions and others are not",
            "functions of the effects in all options, or in none",
            "write lambda effects: effects for the option that changes nothing",
        )
    return Choice(name, tuple(labels), values)


def _listed(options: object, what: str) -> list[Any]:
    """Return options as a list; a single text is not one."""
    if options is None:
        return []
    if isinstance(options, str | bytes | Mapping) or not hasattr(options, "__len__"):
        raise InputError(f"{what} are {describe(options)}", "a list", f"write {EXAMPLE}")
    return list(options) if isinstance(options, list | tuple) else read_entries(options, what)


def _label(name: str, value: Any) -> str:
    """Return what an option without a name of its own is called."""
    if value is None:
        return DEFAULT_LABELS.get(name, "default")
    if is_number(value):
        return f"{value:g}"
    return str(getattr(value, "__name__", getattr(value, "code", value)))


def _check_own(name: str, label: str, value: Any) -> Any:
    return value


def _check_measure(name: str, label: str, value: Any) -> Any:
    return get_measure(value)


def _check_method(name: str, label: str, value: Any) -> Any:
    return None if value is None else get_estimator(value).code


def _check_test(name: str, label: str, value: Any) -> Any:
    return None if value is None else get_test(value, TEST_NAMES)


def _check_correlation(name: str, label: str, value: Any) -> Any:
    if value is None:
        return None
    if not -1 < check_number(name, value) < 1:
        raise CorrelationError(f"the option {label!r} of {name} is {value!r}", "a value between -1 and 1")
    return float(value)


def _check_model(name: str, label: str, value: Any) -> Any:
    if not callable(value):
        check_choice("model", value, MODELS)
    return value


def _check_words(allowed: tuple[str, ...]) -> Callable[[str, str, Any], Any]:
    def check(name: str, label: str, value: Any) -> Any:
        check_choice(f"option of {name}", value, allowed)
        return value

    return check


def _check_include(name: str, label: str, value: Any) -> Any:
    if value is None or isinstance(value, str) or callable(value):
        return value
    raise InputError(
        f"the option {label!r} of include is {describe(value)}",
        "a condition as a text, a function of the effects, or None for all rows",
        'write {"include": {"all": None, "randomised only": "design == \'RCT\'"}}',
    )


def _check_group(name: str, label: str, value: Any) -> Any:
    if value is None or callable(value) or isinstance(value, Mapping):
        return value
    raise InputError(
        f"the option {label!r} of group is {describe(value)}",
        "a mapping of columns to what takes their place, a function of the effects, or None",
        'write {"group": {"as coded": None, "broad": {"source": "source_group"}}}',
    )


_CHECKS: Mapping[str, Callable[[str, str, Any], Any]] = {
    "measure": _check_measure,
    "assumed_correlation": _check_correlation,
    "correlation": _check_correlation,
    "include": _check_include,
    "derived": _check_words(DERIVED),
    "group": _check_group,
    "censored": _check_words(CENSORED),
    "model": _check_model,
    "method": _check_method,
    "test": _check_test,
}


def _read_reference(reference: object, choices: Sequence[Choice]) -> tuple[int, ...]:
    """Return the position of the option of the reference path of each choice; the first by default."""
    told = {} if reference is None else reference
    if not isinstance(told, Mapping):
        raise InputError(
            f"reference is {describe(reference)}",
            "a mapping of choices to one of their options",
            'write reference={"method": "REML"}',
        )
    names = [one.name for one in choices]
    for name in told:
        if name not in names:
            raise UnknownChoiceError(
                "choice in reference", name, names, nearest=nearest_word(str(name), names)
            )
    at = []
    for one in choices:
        wanted = told.get(one.name, one.labels[0])
        label = wanted if isinstance(wanted, str) else _label(one.name, wanted)
        if label not in one.labels:
            raise UnknownChoiceError(f"option of {one.name}", wanted, one.labels)
        at.append(one.labels.index(label))
    return tuple(at)
