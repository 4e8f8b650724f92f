"""The effects of a path: made from the data, then changed by one choice of rows after the other."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from metaexo.conditions import rows_where
from metaexo.effects import aggregate, effect_sizes, effects_from_table, one_per_study
from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.check import study_column_of
from metaexo.effects.derivation import REPORTED
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure
from metaexo.errors import InputError, MetaexoError, MetaexoWarning, TooFewStudiesError, UnknownChoiceError
from metaexo.evidence import days_after
from metaexo.evidence.sheets import Sheets
from metaexo.formatting import plural
from metaexo.inputs import describe
from metaexo.sensitivity.multiverse.choices import Choice

Rows = EffectSizes | BoundedEffectSizes
NOTHING_LEFT = "no effects are left"
CORRELATED = ("aggregate", "multilevel", "robust")  # models that assume a correlation within studies


@dataclass(frozen=True, slots=True)
class Question:
    """What all paths have in common."""

    data: Any
    where: str | None
    sheet: str
    orient: bool
    moderators: str | None
    term: str | None
    least: int
    level: float
    declared: tuple[str, ...] = ()  # names of the choices


class Refused(NamedTuple):
    """A path that is not possible, and why."""

    reason: str


def quietly(what: str, step: Callable[[], Any]) -> tuple[Any, tuple[str, ...]]:
    """Return what a step gives, or why it gives nothing, and the kinds of warnings it issued."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = step()
        except Misdeclared as error:
            raise error.error from None
        except MetaexoError as error:
            found = Refused(error.given)
        except Exception as error:
            raise InputError(
                f"the option {what} failed with {type(error).__name__}: {error}",
                "a function of the effects that returns effects, or raises an error of metaexo",
                "try it on the effects of one path",
            ) from error
    kinds = dict.fromkeys(one.category.__name__ for one in caught if issubclass(one.category, MetaexoWarning))
    return found, tuple(kinds)


class Misdeclared(Exception):
    """Carries the error of an option that cannot be used whatever the path."""

    def __init__(self, error: InputError) -> None:
        self.error = error


def made(question: Question, told: Mapping[str, Any], bounds: bool) -> Rows:
    """Return the effects that choices of making lead to."""
    data: Any = question.data
    if isinstance(data, EffectSizes | BoundedEffectSizes):
        found: Any = data
    elif isinstance(data, Sheets):
        measure, correlation = told.get("measure", "SMD"), told.get("assumed_correlation")
        asked: Any = (measure, question.where, question.sheet, correlation, question.orient)
        try:
            found = data.effects(*asked, bounds=bounds)  # type: ignore[call-overload]
        except InputError as error:
            if "where" in error.given or error.given.startswith("sheet "):
                raise Misdeclared(error) from None
            raise
    elif callable(data):
        found = data(**{name: getattr(value, "code", value) for name, value in told.items()})
    else:
        found = _of_table(data, **told)
    if not isinstance(found, EffectSizes | BoundedEffectSizes):
        raise Misdeclared(
            InputError(f"the function of the data returned {describe(found)}", "effects with variances")
        )
    return found


def _of_table(table: Any, measure: Measure | None = None, assumed_correlation: float | None = None) -> Rows:
    """Return the effects of a table: of complete inputs, or of reported statistics with gaps."""
    if measure is None:
        raise Misdeclared(
            InputError(
                "the data are a table, and no measure is declared",
                "the choice 'measure', with one option at least",
                'write {"measure": ["SMD"], ...}, or hand in EffectSizes',
            )
        )
    if (
        any(set(route.inputs) <= set(table.columns) for route in measure.routes)
        and assumed_correlation is None
    ):
        return effect_sizes(measure, data=table)
    found = effects_from_table(measure, table, assumed_correlation)
    keep = np.isfinite(found.y) & (found.v > 0)
    if not keep.any():
        raise TooFewStudiesError("no row of the table gives an effect", "one row at least")
    rows = table[keep]
    return EffectSizes(
        found.y[keep],
        found.v[keep],
        measure,
        data=rows,
        study=study_column_of(rows),
        derived=[mark for mark, kept in zip(found.derived, keep, strict=True) if kept],
    )


def changed(effects: Rows, choice: Choice, option: int) -> Rows:
    """Return the effects under one option of a choice of rows."""
    value = choice.values[option]
    if choice.name == "derived":
        return _without_derived(effects, value)
    if choice.name == "group" and isinstance(value, Mapping):
        return _grouped(effects, value)
    if choice.name == "include" and not callable(value):
        return effects if value is None else _where(effects, value)
    found = effects if value is None else value(effects)
    if not isinstance(found, EffectSizes | BoundedEffectSizes):
        if choice.name == "include":
            return _selected(effects, found, choice.labels[option])
        raise Misdeclared(
            InputError(
                f"the option {choice.labels[option]!r} of {choice.name} returned {describe(found)}",
                "a function of the effects that returns effects",
            )
        )
    return found


def _selected(effects: Rows, rows: Any, reason: str) -> Rows:
    """Return the effects at rows; refuse to be left without any."""
    kept = np.asarray(rows)
    if not (kept.any() if kept.dtype == bool else kept.size):
        raise TooFewStudiesError(NOTHING_LEFT, "one effect at least")
    return effects.select(rows, f"not {reason}")


def _where(effects: Rows, condition: str) -> Rows:
    try:
        rows = rows_where(effects.to_frame(), condition, called="include")
    except InputError as error:
        raise Misdeclared(error) from None
    return _selected(effects, rows, condition)


def _without_derived(effects: Rows, option: str) -> Rows:
    """Return the effects without those that were assumed, or not reported as they are."""
    gone = {"keep": (), "drop assumed": ("assumed",), "drop": ("assumed", "converted")}[option]
    marks = effects.derived or (REPORTED,) * effects.k
    keep = np.array([mark.how not in gone for mark in marks], dtype=bool)
    return effects if keep.all() else _selected(effects, keep, "as reported")


def _grouped(effects: Rows, columns: Mapping[str, Any]) -> Rows:
    """Return the effects with other columns, or with grouped levels, in the place of columns."""
    new: dict[str, Any] = {}
    for name, rule in columns.items():
        try:
            old = effects.column(name)
            if isinstance(rule, str):
                new[name] = effects.column(rule)
                continue
        except UnknownChoiceError as error:
            raise Misdeclared(error) from None
        if isinstance(rule, Mapping):
            new[name] = old.map(lambda level, rule=rule: rule.get(level, level))
        elif callable(rule):
            new[name] = old.map(rule)
        else:
            raise Misdeclared(
                InputError(
                    f"the column {name!r} is grouped by {describe(rule)}",
                    "a mapping of levels, the name of another column, or a function of a level",
                )
            )
    return effects.with_columns(**new)


def for_model(effects: Rows, model: Any, correlation: float | None, censored: str, plain: bool) -> Rows:
    """Return the effects that a model fits: without bounds, one per study, or averages of studies.

    `plain`: nothing looks at their data, which are then not averaged.
    """
    if isinstance(effects, BoundedEffectSizes) and (censored == "drop" or effects.is_exact.all()):
        if not effects.is_exact.any():
            raise TooFewStudiesError("no effect is exact", "one exact effect at least")
        effects = effects.exact
    if model == "one per study":
        return _one_per_study(effects)
    if isinstance(effects, BoundedEffectSizes):
        if model in CORRELATED:
            given = f"the model {model!r} takes exact effects, and some are bounds"
            raise InputError(given, "a model of independent effects")
        return effects
    if model != "aggregate" or effects.m == effects.k:
        return effects
    if plain:
        effects = EffectSizes(
            effects.y, effects.v, effects.measure, study=effects.study, oriented=effects.oriented
        )
    return aggregate(effects, correlation=correlation)


def _one_per_study(effects: Rows) -> Rows:
    """Return one effect per study: exact before a bound, then the latest, then the first."""
    if isinstance(effects, BoundedEffectSizes):
        exact = {study for study, point in zip(effects.study, effects.is_exact, strict=True) if point}
        keep = [p or s not in exact for s, p in zip(effects.study, effects.is_exact, strict=True)]
        effects = effects if all(keep) else effects.select(keep, "a bound of a study that gives a number too")
    if effects.m == effects.k:
        return effects
    has = effects._data is not None and "timepoint" in effects._data
    latest = [days_after(words) for words in effects.column("timepoint")] if has else None
    return one_per_study(effects, latest=latest)  # type: ignore[arg-type]


def too_few(effects: Rows, least: int) -> str:
    """Return the reason why a path with these effects is not possible."""
    return f"{plural(effects.m, 'study', 'studies')} where {least} are needed"


def fingerprint(effects: Rows, plain: bool) -> bytes:
    """Return what two sets of effects that give the same fit have in common; `plain`: data do not matter."""
    found = hashlib.blake2b(digest_size=16)
    found.update(f"{type(effects).__name__} {effects.measure.code} {effects.k}".encode())
    bounded = isinstance(effects, BoundedEffectSizes)
    names = ("lower", "upper", "v_lower", "v_upper") if bounded else ("y", "v")
    for name in names:
        found.update(np.ascontiguousarray(getattr(effects, name) + 0.0).tobytes())
    first: dict[str, int] = {}
    studies = [first.setdefault(study, len(first)) for study in effects.study or effects.row_ids]
    found.update(np.array(studies, dtype=np.int64).tobytes())
    if not plain and effects._data is not None:
        from pandas.util import hash_pandas_object

        try:
            hashes = hash_pandas_object(effects._data, index=False)
        except TypeError:  # cells of several kinds
            hashes = hash_pandas_object(effects._data.astype(str), index=False)
        found.update(hashes.to_numpy().tobytes())
    return found.digest()
