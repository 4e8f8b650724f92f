"""From declared choices to numbers: the effects of every path, and its fit; equal paths are fitted once."""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from metaexo.effects import aggregate, covariance_blocks, effect_sizes, effects_from_table, one_per_study
from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.check import study_column_of
from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.derivation import REPORTED
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure
from metaexo.errors import InputError, MetaexoError, MetaexoWarning, TooFewStudiesError, UnknownChoiceError
from metaexo.evidence import days_after
from metaexo.evidence.conditions import rows_where
from metaexo.evidence.sheets import Sheets
from metaexo.formatting import plural
from metaexo.inputs import describe
from metaexo.models.censored.fit import CENSORED_TESTS
from metaexo.models.censored.model import CensoredRandomEffects
from metaexo.models.censored.results import CensoredResults
from metaexo.models.linear.choices import LIKELIHOODS
from metaexo.models.linear.hypothesis import quantiles, two_sided_pvalues
from metaexo.models.linear.results import FitResults
from metaexo.models.multilevel.model import TESTS as MULTILEVEL_TESTS
from metaexo.models.multilevel.model import Multilevel
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.univariate.batched import fit_many
from metaexo.models.univariate.inference import TESTS
from metaexo.models.univariate.model import RandomEffects
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.weighted import PLAIN_TESTS
from metaexo.runs.parallel import as_finished, progress_bar
from metaexo.sensitivity.multiverse.choices import FITTING, Choice, Grid
from metaexo.sensitivity.multiverse.results import NAMES, SHOWN
from metaexo.types import Array, Index

Rows = EffectSizes | BoundedEffectSizes
NOTHING_LEFT = "no effects are left"
STOPPED = "not fitted, because the run was stopped from the keyboard"
USUAL_CORRELATION = (
    0.6  # of sampling errors within a study, where none is declared: that of correlated_effects
)
CORRELATED = ("aggregate", "multilevel", "robust")  # models that assume it


class Numbers(NamedTuple):
    """What one path came to; NaN where there is no such number."""

    k: float
    m: float
    estimate: float
    se: float
    low: float
    high: float
    pvalue: float
    tau2: float
    i2: float
    prediction_low: float
    prediction_high: float


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


class Refused(NamedTuple):
    """A path that is not possible, and why."""

    reason: str


Outcome = tuple[Any, tuple[str, ...]]  # numbers or why there are none, and the kinds of warnings


class Task(NamedTuple):
    """One fit: what distinguishes it from all others."""

    effects: int  # position among the distinct sets of effects
    model: Any  # a name or a function
    method: str | None
    test: str | None
    correlation: float | None


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the paths of a grid came to."""

    numbers: Array  # (t, 11): the columns of Numbers, one row per fit
    fit_of: Index  # (n,): the fit of each path; -1 where it is not possible or excluded
    reasons: tuple[str, ...]  # (n,): why a path is not possible; empty for the others
    shown: Array  # (t, 5): the columns of SHOWN as the measure is shown
    measures: tuple[Measure, ...]  # (t,): of each fit
    oriented: bool  # whether positive means benefit in every path
    warned: Mapping[str, int]  # what was warned of, and in how many fits
    interrupted: bool  # whether fits are lacking because the reader stopped them
    sets: tuple[Rows, ...]  # the sets of effects that differ
    set_of: Index  # (t,): set of each fit
    analyses: tuple[tuple[str, str, str], ...]  # (t,): model, estimator and test of each fit


def run_paths(grid: Grid, question: Question) -> Fitted:
    """Return the fits of all paths of a grid that are asked for."""
    maker = _Maker(grid.choices, question)
    count = len(grid.options)
    reasons, fit_of = [""] * count, np.full(count, -1, dtype=np.intp)
    tasks: dict[tuple[Any, ...], int] = {}
    listed: list[Task] = []
    for path in np.flatnonzero(~grid.excluded).tolist():
        found = maker.task(grid.options[path].tolist())
        if isinstance(found, Refused):
            reasons[path] = found.reason
            continue
        key, task = found
        if key not in tasks:
            tasks[key] = len(listed)
            listed.append(task)
        fit_of[path] = tasks[key]
    outcomes, warned, interrupted = _fit_all(listed, maker.distinct, question)
    for message, times in maker.warned.items():
        warned[message] = warned.get(message, 0) + times
    for path in np.flatnonzero(fit_of >= 0).tolist():
        outcome = outcomes[fit_of[path]]
        if isinstance(outcome, Refused):
            reasons[path], fit_of[path] = outcome.reason, -1
    used, place = np.unique(fit_of[fit_of >= 0], return_inverse=True)
    fit_of[fit_of >= 0] = place.reshape(-1)
    numbers = np.array([outcomes[i] for i in used], dtype=float).reshape(len(used), len(NAMES))
    held, set_of = np.unique([listed[i].effects for i in used] or [0], return_inverse=True)
    effects = [maker.distinct[listed[i].effects] for i in used]
    return Fitted(
        numbers,
        fit_of,
        tuple(reasons),
        _shown(numbers, effects, question.term is not None),
        tuple(one.measure for one in effects),
        bool(effects) and all(one.oriented for one in effects),
        warned,
        interrupted,
        tuple(maker.distinct[i] for i in held) if effects else (),
        set_of.reshape(-1)[: len(effects)].astype(np.intp),
        tuple(_analysis(listed[i], maker.distinct[listed[i].effects], question) for i in used),
    )


def _analysis(task: Task, effects: Rows, question: Question) -> tuple[str, str, str]:
    """Return the words for model, estimator and test of a fit; empty where a function chooses."""
    if callable(task.model):
        return getattr(task.model, "__name__", "function"), task.method or "", task.test or ""
    batched = _fits_in_batch(task, effects, question)
    model = task.model if batched or task.model != "random effects" else "other random effects"
    code = task.method or "REML"
    usual = {"multilevel": "t", "robust": "satterthwaite"}.get(
        task.model, "z" if code == "EE" else "knapp-hartung"
    )
    return model, code, task.test or usual


def _shown(numbers: Array, effects: Sequence[Rows], of_coefficient: bool) -> Array:
    """Return estimates and ends as their measures are shown; of a coefficient only ratios are taken back."""
    values = numbers[:, [NAMES.index(name) for name in SHOWN]]
    out = values.copy()
    alike: dict[Any, list[int]] = {}
    for row, one in enumerate(effects):
        alike.setdefault(one if one.measure.by_size else one.measure, []).append(row)
    with np.errstate(over="ignore"):
        for key, rows in alike.items():
            measure = key if isinstance(key, Measure) else key.measure
            if of_coefficient:
                out[rows] = np.exp(values[rows]) if measure.display_log else values[rows]
            else:
                out[rows] = back_pooled(effects[rows[0]], values[rows])
    ends = np.sort(out[:, 1:].reshape(len(out), 2, 2), axis=2)  # a scale may turn round
    return np.hstack([out[:, :1], ends.reshape(len(out), 4)])


class _Maker:
    """Makes the effects of each path; what several paths share is made once."""

    def __init__(self, choices: Sequence[Choice], question: Question) -> None:
        self.question = question
        self.making = [(i, one) for i, one in enumerate(choices) if one.makes]
        self.rows = [(i, one) for i, one in enumerate(choices) if one.of_rows]
        self.fitting = {one.name: (i, one) for i, one in enumerate(choices) if one.name in FITTING}
        self.stages: dict[tuple[Any, ...], Rows | Refused] = {}
        self.distinct: list[Rows] = []  # sets of effects that differ
        self.known: dict[bytes, int] = {}
        self.prepared: dict[tuple[Any, ...], int | Refused] = {}
        self.warned: dict[str, int] = {}
        self.bounds = "censored" in self.fitting and "keep" in self.fitting["censored"][1].values
        _check_choices(self.making, self.fitting, question.data)

    def option(self, name: str, path: Sequence[int], default: Any) -> Any:
        """Return the option of a choice of the fit in a path."""
        if name not in self.fitting:
            return default
        at, choice = self.fitting[name]
        return choice.values[path[at]]

    def task(self, path: Sequence[int]) -> tuple[tuple[Any, ...], Task] | Refused:
        """Return the fit of a path and what identifies it, or why there is none."""
        model = self.option("model", path, "random effects")
        correlation = self.option("correlation", path, None)
        correlation = USUAL_CORRELATION if correlation is None else correlation
        averaged = correlation if model == "aggregate" else None
        key = (
            *(path[i] for i, _ in (*self.making, *self.rows)),
            self.option("censored", path, "keep"),
            model if model in ("one per study", "aggregate") else callable(model),
            averaged,
        )
        if key not in self.prepared:
            self.prepared[key] = self._prepare(path, model, averaged)
        found = self.prepared[key]
        if isinstance(found, Refused):
            return found
        fitted = "random effects" if model in ("one per study", "aggregate") else model
        takes = _taken_by(model) if callable(model) else ("method", "test", "correlation")
        method = self.option("method", path, None) if "method" in takes else None
        test = self.option("test", path, None) if "test" in takes else None
        correlates = "correlation" in takes and (callable(model) or model in CORRELATED[1:])
        task = Task(found, fitted, method, test, correlation if correlates else None)
        return _identity(task, isinstance(self.distinct[found], EffectSizes)), task

    def _prepare(self, path: Sequence[int], model: Any, correlation: float | None) -> int | Refused:
        """Return the position of the effects that a path fits, among those that differ."""
        found = self._effects(path)
        if isinstance(found, Refused):
            return found
        censored = self.option("censored", path, "keep")
        plain = self.question.moderators is None and not callable(model)
        done = self._quietly("model", partial(_for_model, found, model, correlation, censored, plain))
        if isinstance(done, Refused):
            return done
        if done.m < self.question.least:
            return Refused(_too_few(done, self.question.least))
        digest = fingerprint(done, plain)
        if digest not in self.known:
            self.known[digest] = len(self.distinct)
            self.distinct.append(done)
        return self.known[digest]

    def _effects(self, path: Sequence[int]) -> Rows | Refused:
        """Return the effects of a path after all choices of rows, in the order of their declaration."""
        key: tuple[Any, ...] = tuple(path[i] for i, _ in self.making)
        if key not in self.stages:
            told = {one.name: one.values[path[i]] for i, one in self.making}
            self.stages[key] = self._quietly("data", partial(_made, self.question, told, self.bounds))
        effects = self.stages[key]
        for i, choice in self.rows:
            if isinstance(effects, Refused):
                return effects
            key = (*key, (choice.name, path[i]))
            if key not in self.stages:
                step = partial(_changed, effects, choice, path[i])
                self.stages[key] = self._quietly(f"{choice.labels[path[i]]!r} of {choice.name}", step)
            effects = self.stages[key]
        return effects

    def _quietly(self, what: str, step: Callable[[], Rows | Refused]) -> Rows | Refused:
        """Return what a step makes; what it warns of is counted, and what it refuses is a reason."""
        found: Rows | Refused
        found, messages = quietly(what, step)
        for message in messages:
            self.warned[message] = self.warned.get(message, 0) + 1
        return found


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


def _check_choices(making: Sequence[tuple[int, Choice]], fitting: Mapping[str, Any], data: Any) -> None:
    """Refuse choices that the data have no use for."""
    if not callable(data):
        for _, one in making:
            allowed = {"Sheets": ("measure", "assumed_correlation")}.get(type(data).__name__, ())
            if hasattr(data, "columns"):
                allowed = ("measure", "assumed_correlation")
            if one.name not in allowed:
                known = one.name in ("measure", "assumed_correlation")
                raise InputError(
                    f"the choice {one.name!r} came with {describe(data)}",
                    "a table or sheets from which effects are made anew"
                    if known
                    else "functions of the effects as its options, or data that are a function of them",
                    "hand in the table or the sheets, or a function such as "
                    "lambda measure: mx.effect_sizes(measure, data=table)"
                    if known
                    else "write each option as a function that takes effects and returns effects",
                )
    if "correlation" in fitting:
        models = fitting["model"][1].values if "model" in fitting else ()
        if not any("correlation" in _taken_by(m) if callable(m) else m in CORRELATED for m in models):
            raise InputError(
                "the choice 'correlation' came without a model that assumes one",
                f"among the options of model one of {', '.join(CORRELATED)}",
                "the correlation of the two conditions of paired rows is the choice 'assumed_correlation'",
            )


# -- effects ------------------------------------------------------------------------------------------------


def _made(question: Question, told: Mapping[str, Any], bounds: bool) -> Rows:
    """Return the effects that choices of making lead to."""
    data: Any = question.data
    if isinstance(data, EffectSizes | BoundedEffectSizes):
        found: Any = data
    elif isinstance(data, Sheets):
        measure, correlation = told.get("measure", "SMD"), told.get("assumed_correlation")
        asked: Any = (measure, question.where, question.sheet, correlation, question.orient)
        found = data.effects(*asked, bounds=bounds)  # type: ignore[call-overload]
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


def _changed(effects: Rows, choice: Choice, option: int) -> Rows:
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
        rows = rows_where(effects.to_frame(), condition)
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


def _for_model(effects: Rows, model: Any, correlation: float | None, censored: str, plain: bool) -> Rows:
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


def _too_few(effects: Rows, least: int) -> str:
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


# -- fits ---------------------------------------------------------------------------------------------------


def _taken_by(model: Callable[..., Any]) -> tuple[str, ...]:
    """Return which of the choices of a fit a function of the reader's takes by name."""
    try:
        names = inspect.signature(model).parameters
    except (TypeError, ValueError):
        return ()
    return tuple(name for name in ("method", "test", "correlation", "level") if name in names)


def _identity(task: Task, points: bool) -> tuple[Any, ...]:
    """Return what two tasks that are the same analysis have in common.

    Estimators that solve the same equation (Paule-Mandel under its other names) are one.
    """
    code = task.method or "REML"
    test = task.test
    if task.model == "random effects" and points:
        test = ("z" if code == "EE" else "knapp-hartung") if test is None else test
    elif task.model == "random effects":
        test = test or "knapp-hartung"
    elif task.model == "multilevel":
        test = test or "t"
    estimator: Any = get_estimator(code).kernel
    return task.effects, task.model, estimator, test, task.correlation


def _fit_all(
    tasks: Sequence[Task], effects: Sequence[Rows], question: Question
) -> tuple[list[Numbers | Refused], dict[str, int], bool]:
    """Return the numbers of every task: of those that can be in one batch, of the others one by one.

    With them: what was warned of, and whether the reader stopped the fits before all were made.
    """
    outcomes: list[Any] = [None] * len(tasks)
    warned: dict[str, int] = {}
    together = [i for i, task in enumerate(tasks) if _fits_in_batch(task, effects[task.effects], question)]
    by_kind: dict[tuple[str, str], list[int]] = {}
    for i in together:
        code = tasks[i].method or "REML"
        test = tasks[i].test or ("z" if code == "EE" else "knapp-hartung")
        by_kind.setdefault((code, test), []).append(i)
    for (code, test), places in by_kind.items():
        sets: list[Any] = [effects[tasks[i].effects] for i in places]
        for i, numbers in zip(places, fit_batch(sets, code, test, question.level), strict=True):
            outcomes[i] = numbers
        if code == "EE" and test.startswith("knapp-hartung"):
            warned["EqualEffectsTestWarning"] = warned.get("EqualEffectsTestWarning", 0) + len(places)
    dependent = sum(effects[tasks[i].effects].m < effects[tasks[i].effects].k for i in together)
    if dependent:
        warned["DependentEffectsWarning"] = dependent
    interrupted = False
    try:
        for places, done in _one_by_one(
            [i for i, one in enumerate(outcomes) if one is None], tasks, effects, question
        ):
            for i, (outcome, kinds) in zip(places, done, strict=True):
                outcomes[i] = outcome
                for kind in kinds:
                    warned[kind] = warned.get(kind, 0) + 1
    except KeyboardInterrupt:
        interrupted = True
    return [Refused(STOPPED) if one is None else one for one in outcomes], warned, interrupted


def _one_by_one(
    alone: Sequence[int], tasks: Sequence[Task], effects: Sequence[Rows], question: Question
) -> Iterator[tuple[list[int], list[Outcome]]]:
    """Yield the places of tasks and what came of them; those that share a maximum are fitted together."""
    if not alone:
        return
    groups: dict[Any, list[int]] = {}
    for i in alone:
        task = tasks[i]
        shared = task.model in ("multilevel", "robust") or isinstance(
            effects[task.effects], BoundedEffectSizes
        )
        one = (task.effects, task.method, task.correlation, callable(task.model)) if shared else i
        groups.setdefault(one, []).append(i)
    common = replace(question, data=None)  # which the workers have no use for
    parts = [(at, [tasks[i] for i in at], effects[tasks[at[0]].effects], common) for at in groups.values()]
    with progress_bar(len(alone), "paths", None) as bar:
        for places, done in as_finished(_fit_group, parts):
            bar.update(len(places))
            yield places, done


def _fits_in_batch(task: Task, effects: Rows, question: Question) -> bool:
    """Say whether a fit is one of a random-effects model that many fits in one call can have."""
    return (
        task.model == "random effects"
        and question.moderators is None
        and isinstance(effects, EffectSizes)
        and (task.test is None or task.test in PLAIN_TESTS)
        and effects.k > 1
        and bool((effects.v > 0).all())
        and not get_estimator(task.method or "REML").needs_weights
    )


def fit_batch(sets: Sequence[EffectSizes], code: str, test: str, level: float) -> list[Numbers]:
    """Return the random-effects fits of several sets of effects by one estimator and one test."""
    most = max(one.k for one in sets)
    y, v, counts = np.zeros((len(sets), most)), np.ones((len(sets), most)), np.zeros((len(sets), most))
    for row, one in enumerate(sets):
        y[row, : one.k], v[row, : one.k], counts[row, : one.k] = one.y, one.v, 1.0
    fits = fit_many(y, v, counts, method=code, test=test, level=level)
    df = None if test == "z" else fits.k - 1.0
    null = np.array([one.measure.null for one in sets])
    with np.errstate(divide="ignore", invalid="ignore"):
        pvalue = two_sided_pvalues((fits.estimate - null) / fits.se, df)
    pvalue = np.where((fits.se > 0) & np.isfinite(null), pvalue, np.nan)
    if code == "EE":
        i2 = np.where(
            fits.q > 0, np.maximum(0.0, (fits.q - (fits.k - 1)) / np.where(fits.q > 0, fits.q, 1)), 0
        )
        half = np.full(len(sets), np.nan)
    else:
        weights = counts / v
        total = weights.sum(axis=1)
        typical = (fits.k - 1) / (total - (weights**2).sum(axis=1) / total)
        i2 = fits.tau2 / (fits.tau2 + typical)
        half = quantiles(level, df) * np.sqrt(fits.se**2 + fits.tau2)
    columns = (
        fits.k, [one.m for one in sets], fits.estimate, fits.se, fits.low, fits.high, pvalue, fits.tau2, i2,
        fits.estimate - half, fits.estimate + half,
    )  # fmt: skip
    return [Numbers(*map(float, row)) for row in zip(*columns, strict=True)]


def _fit_group(
    places: list[int], tasks: Sequence[Task], effects: Rows, question: Question
) -> tuple[list[int], list[Outcome]]:
    """Return the numbers of the fits of one set of effects, and the kinds of warnings of each."""
    shared: dict[str, Any] = {}
    return places, [
        quietly("model", partial(_numbers_of_fit, task, effects, question, shared)) for task in tasks
    ]


def _numbers_of_fit(task: Task, effects: Rows, question: Question, shared: dict[str, Any]) -> Numbers:
    return numbers_of(_fitted(task, effects, question, shared), question)


def _fitted(task: Task, effects: Any, question: Question, shared: dict[str, Any]) -> FitResults:
    """Return the fit of one task; `shared` holds one of the same effects and estimator, if there is any."""
    if callable(task.model):
        known = task._asdict() | {"level": question.level}
        fit = task.model(effects, **{name: known[name] for name in _taken_by(task.model)})
        if not isinstance(fit, FitResults):
            raise Misdeclared(InputError(f"a model returned {describe(fit)}", "a fit of metaexo"))
        return fit
    given: dict[str, Any] = {"level": question.level}
    given |= {} if task.method is None else {"method": task.method}
    given |= {} if task.test is None else {"test": task.test}
    if isinstance(effects, BoundedEffectSizes):
        return _censored(task, effects, question, given, shared)
    if task.model == "random effects":
        if task.test is not None and task.test not in TESTS:
            _refuse_others("a random-effects model", task._replace(method=None), tuple(TESTS))
        return RandomEffects(effects, question.moderators).fit(**given)
    robust = task.model == "robust"
    name = "a multilevel model" + (" with cluster-robust intervals" if robust else "")
    _refuse_others(name, task, () if robust else MULTILEVEL_TESTS)
    if "fit" not in shared:
        studies = list(effects.study or effects.row_ids)
        blocks = covariance_blocks(effects.v, studies, correlation=task.correlation)
        model = Multilevel(effects, "study/effect", V=blocks, moderators=question.moderators)
        shared["fit"] = model.fit(**given)
    found: MultilevelResults = shared["fit"]
    return found.robust() if robust else replace(found, test=task.test or "t")


def _censored(
    task: Task, effects: BoundedEffectSizes, question: Question, given: dict[str, Any], shared: dict[str, Any]
) -> CensoredResults:
    """Return the fit of effects of which some are bounds."""
    _refuse_others("a model of censored effects", task, tuple(CENSORED_TESTS))
    found: CensoredResults | None = shared.get("fit")
    test = task.test or "knapp-hartung"
    if found is not None and (test == "z" or np.isfinite(found.inference.scale[0])):
        return replace(found, test=test)
    fit = CensoredRandomEffects(effects, question.moderators).fit(**given)
    shared["fit"] = fit
    return fit


def _refuse_others(model: str, task: Task, tests: Sequence[str]) -> None:
    """Refuse an estimator or a test that a model does not have."""
    if task.method not in (None, *LIKELIHOODS):
        raise InputError(f"{model} is fitted by likelihood, not by {task.method}", "REML or ML")
    if task.test is not None and task.test not in tests:
        of = f"one of {', '.join(tests)}" if tests else "no test"
        raise InputError(f"{model} has no test {task.test!r}", of)


def numbers_of(fit: Any, question: Question) -> Numbers:
    """Return the numbers of a fit that a multiverse follows: of its mean effect, or of one coefficient."""
    null = fit.effects.measure.null if question.term is None else 0.0
    if question.term is None:
        found = fit.pooled(question.level)
        row = np.ones((1, 1))
        estimate, se, low, high = found.estimate, found.se, found.low, found.high
        ends = found.prediction_low, found.prediction_high
    else:
        names = list(fit.design.names)
        if question.term not in names:
            raise UnknownChoiceError("coefficient", question.term, names)
        at = names.index(question.term)
        row = np.eye(len(names))[[at]]
        estimate, se = float(fit.beta[at]), float(fit.se[at])
        low, high = (float(end[at]) for end in fit.bounds(question.level))
        ends = None, None
    known = se > 0 and np.isfinite(null)
    df = fit.df_of(row)
    pvalue = float(two_sided_pvalues(np.array([(estimate - null) / se]), df)[0]) if known else np.nan
    return Numbers(
        float(fit.k), float(fit.m), estimate, se, low, high, pvalue, _or_nan(fit.tau2), _or_nan(fit.i2),
        *map(_or_nan, ends),
    )  # fmt: skip


def _or_nan(value: Any) -> float:
    return float("nan") if value is None else float(value)
