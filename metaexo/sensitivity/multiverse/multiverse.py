"""Every defensible path through an analysis, declared as choices with options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure
from metaexo.errors import (
    InputError,
    NotIdentifiableError,
    RunInterrupted,
    UnknownChoiceError,
    nearest_word,
)
from metaexo.evidence.sheets import Sheets
from metaexo.inputs import (
    check_choice,
    check_flag,
    check_level,
    check_number,
    describe,
    is_number,
    read_entries,
    whole_number,
)
from metaexo.sensitivity.multiverse.choices import FITTING, KNOWN, Choice, Grid, make_grid
from metaexo.sensitivity.multiverse.fits import (
    SHOWN,
    STOPPED,
    Numbers,
    Task,
    fit_all,
    fits_in_batch,
    identity,
    taken_by,
)
from metaexo.sensitivity.multiverse.results import Multiverse
from metaexo.sensitivity.multiverse.steps import (
    CORRELATED,
    Question,
    Refused,
    Rows,
    changed,
    fingerprint,
    for_model,
    made,
    quietly,
    too_few,
)
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

BETTER = ("higher", "lower")
USUAL_CORRELATION = 0.6  # of sampling errors within a study, as in correlated_effects


def multiverse(
    data: EffectSizes | BoundedEffectSizes | Sheets | pd.DataFrame | Any,
    choices: Mapping[str, Any],
    *,
    unless: str | Sequence[str] | None = None,
    reference: Mapping[str, Any] | None = None,
    where: str | None = None,
    sheet: str = "outcomes",
    orient: bool = True,
    better: Literal["higher", "lower"] | None = None,
    thresholds: Sequence[float] | Mapping[str, Sequence[float]] = (),
    moderators: str | None = None,
    term: str | None = None,
    least: int = 2,
    level: float = 0.95,
) -> Multiverse:
    """Fit every path through an analysis that its choices open, and say which choice moves the result most.

    Use it where an analysis could have been done in other ways that are as defensible: other measures,
    estimators, tests, assumed correlations, rules of inclusion, groupings, or treatments of derived and
    censored rows. Each combination of options is a path. Paths of one set of effects are fitted in one
    batched call per estimator and test, others one by one (inside ``joblib.parallel_config`` by its workers).
    Paths that turn out to be the same analysis of the same effects are fitted and counted once; paths that
    are not possible are counted with the reason.

    Choices of known meaning, by what they change:

    ======================= ==================================================================================
    ``measure``             Codes of measures, for a table or sheets.
    ``assumed_correlation`` Correlation of the two conditions of paired rows that do not report it, for a
                            table or sheets.
    ``include``             Conditions on the columns of the effects as texts, as in
                            :meth:`metaexo.evidence.Sheets.effects`; functions of the effects that return
                            effects or a mask; None for all rows.
    ``derived``             "keep"; "drop assumed": without effects that rest on an assumption; "drop":
                            without those that were converted or assumed.
    ``group``               How levels are grouped: mappings of a column to another column, to a mapping of
                            levels or to a function of a level; functions of the effects; None. Conditions of
                            later choices, `moderators` and functions see the grouped columns.
    ``censored``            "keep" bounds in a model of censored effects; "drop" them.
    ``model``               "random effects" (all effects as independent); "one per study" (the latest by the
                            column `timepoint` if there is one, then the first); "aggregate" (averages of
                            studies); "multilevel" (study and effect); "robust" (the same with cluster-robust
                            intervals); or functions that take effects and, by name, any of method, test,
                            correlation and level, and return a fit. A default of theirs stands where the
                            choice is not declared; a choice they do not take is said.
    ``correlation``         Correlation of the sampling errors of effects of one study, for the last three;
                            0.6 where it is not declared.
    ``method``, ``test``    As in :meth:`metaexo.RandomEffects.fit`; None is the default of the model.
    ======================= ==================================================================================

    Any further choice is a function of the effects in each of its options. Choices of rows (include, derived,
    group and further ones) are applied in the order in which they are declared.

    Parameters
    ----------
    data : EffectSizes, BoundedEffectSizes, Sheets, DataFrame or callable
        Effects; or what effects are made from by measure: sheets, a table with the inputs of the measures
        (:func:`metaexo.effect_sizes`) or of reported statistics with gaps
        (:func:`metaexo.effects.effects_from_table`); or a function that is called with the options of
        measure, assumed_correlation and further choices that are no functions, by name, and returns effects.
    choices : mapping of str to sequence or mapping
        Options of each choice, as a list or by names of their own:
        ``{"method": ["REML", "DL"], "include": {"all": None, "randomised": "design == 'RCT'"}}``.
    unless : str or sequence of str, optional
        Combinations that make no sense, as conditions on the choices, whose options are texts unless all of
        them are numbers: ``"model == 'multilevel' and method == 'DL'"``.
    reference : mapping of str to option, optional
        The main analysis. Default: the first option of every choice.
    where : str, optional
        Condition on the rows of sheets, as in :meth:`metaexo.evidence.Sheets.effects`.
    sheet : str
        Sheet to read.
    orient : bool
        Whether effects from sheets are turned so that positive means benefit.
    better : {"higher", "lower"}, optional
        Which direction is the benefit. Default: "higher" where effects are oriented, else not known.
    thresholds : sequence of float, or mapping of str to sequence of float
        Effects that matter, as the measure is shown (ratios as ratios); by the label of the scale or the code
        of the measure where there are several scales.
    moderators : str, optional
        Formula of moderators of all paths.
    term : str, optional
        Coefficient to follow, by its name. Default: the mean effect, of models without moderators.
    least : int
        Studies that a path needs.
    level : float
        Level of all intervals.

    Returns
    -------
    Multiverse
        The paths, with `shares()`, `importance()`, `by_option()` and `to_frame()`; drawn by
        :func:`metaexo.plots.specification_curve`.

    Raises
    ------
    UnknownChoiceError
        If an option, a column or a word of a condition is not known.
    InputError
        If choices, conditions or thresholds cannot be used.
    NotIdentifiableError
        If no path is possible; it says why.
    RunInterrupted
        If the fits are stopped from the keyboard; its attribute `finished` is the Multiverse of those that
        were made.

    References
    ----------
    Steegen, S., Tuerlinckx, F., Gelman, A., Vanpaemel, W. (2016). Increasing transparency through a
    multiverse analysis. Perspectives on Psychological Science 11, 702-712.
    https://doi.org/10.1177/1745691616658637
    Simonsohn, U., Simmons, J. P., Nelson, L. D. (2020). Specification curve analysis. Nature Human Behaviour
    4, 1208-1214. https://doi.org/10.1038/s41562-020-0912-z
    Voracek, M., Kossmeier, M., Tran, U. S. (2019). Which data to meta-analyze, and how? A specification-curve
    and multiverse-analysis approach to meta-analysis. Zeitschrift fuer Psychologie 227, 64-82.
    https://doi.org/10.1027/2151-2604/a000357

    Examples
    --------
    >>> import pandas as pd
    >>> import metaexo as mx
    >>> table = pd.DataFrame({
    ...     "treatment_mean": [12.1, 14.0, 9.5, 11.2], "treatment_sd": [3.0, 4.1, 2.2, 2.9],
    ...     "treatment_n": [12, 20, 9, 15], "control_mean": [9.0, 12.8, 8.9, 8.1],
    ...     "control_sd": [2.5, 3.3, 2.6, 3.1], "control_n": [12, 18, 10, 15],
    ...     "design": ["RCT", "RCT", "cohort", "RCT"],
    ... })
    >>> found = mx.sensitivity.multiverse(
    ...     table,
    ...     {
    ...         "measure": ["SMD", "SMDH"], "method": ["REML", "DL", "PM"], "test": ["knapp-hartung", "z"],
    ...         "include": {"all": None, "randomised only": "design == 'RCT'"},
    ...     },
    ...     better="higher",
    ... )
    >>> print(found.counts_sentence)
    24 paths declared: 24 distinct paths.
    >>> found.importance().loc[0, "choice"]
    'include'
    """
    level, least = check_level(level), whole_number(least, "least", 1)
    if better is not None:
        check_choice("better", better, BETTER)
    for name, text in (("moderators", moderators), ("term", term)):
        if text is not None and not isinstance(text, str):
            raise InputError(f"{name} is {describe(text)}", "a text")
    _check_data(data, where)
    grid = make_grid(choices, unless, reference)
    models = next((one.values for one in grid.choices if one.name == "model"), ())
    if (moderators is None) != (term is None) and not any(map(callable, models)):
        raise InputError(
            "moderators and term came without each other",
            "the moderators of a model and the coefficient of it that is followed",
            'write moderators="source", term="sourcePlant", or neither',
        )
    names = tuple(one.name for one in grid.choices)
    orient = check_flag("orient", orient)
    question = Question(data, where, sheet, orient, moderators, term, least, level, names)
    found = run_paths(grid, question)
    stopped = sum(reason == STOPPED for reason in found.reasons)
    if stopped and not found.measures:
        raise RunInterrupted(None, [], stopped, "paths")
    if not found.measures:
        reasons = list(dict.fromkeys(filter(None, found.reasons)))
        raise NotIdentifiableError(
            f"no path is possible: {'; '.join(reasons[:4])}", "one path at least", "look at the options"
        )
    result = _result(grid, question, found, better or ("higher" if found.oriented else ""), thresholds)
    if found.interrupted:
        raise RunInterrupted(result, [(0, result.distinct)], result.distinct + stopped, "paths")
    return result


def _check_data(data: object, where: str | None) -> None:
    """Refuse what no effects can be made from."""
    known = isinstance(data, EffectSizes | BoundedEffectSizes | Sheets)
    if not (known or hasattr(data, "columns") or callable(data)):
        raise InputError(
            f"the data are {describe(data)}",
            "effects, sheets, a table of reported statistics, or a function that returns effects",
            "mx.sensitivity.multiverse(mx.EffectSizes(y, v), choices)",
        )
    if where is not None and not isinstance(data, Sheets):
        raise InputError(
            "where chooses rows of sheets, and the data are none",
            "sheets from mx.read_sheets",
            'choose rows by {"include": {"these": "..."}}',
        )


def _result(grid: Grid, question: Question, found: Fitted, better: str, thresholds: object) -> Multiverse:
    """Return the result of the paths of a grid."""
    columns = dict(zip(Numbers._fields, found.numbers.T, strict=True))
    scales = tuple(one.display for one in found.measures)
    codes = tuple(one.code for one in found.measures)
    return Multiverse(
        choices={one.name: one.labels for one in grid.choices},
        options=grid.options,
        excluded=grid.excluded,
        fit_of=found.fit_of,
        reasons=found.reasons,
        **columns,
        shown=dict(zip(SHOWN, found.shown.T, strict=True)) | {"null": _shown_null(found, question)},
        measure=codes,
        scale=scales,
        is_ratio=np.array([one.display_log for one in found.measures], dtype=bool),
        null=np.array([0.0 if question.term else one.null for one in found.measures]),
        better=better,
        thresholds=_read_thresholds(thresholds, scales, codes),
        reference=grid.reference,
        level=question.level,
        term=question.term,
        warned=tuple(sorted(found.warned)),
        sets=found.sets,
        set_of=found.set_of,
        analyses=found.analyses,
        without_effect=tuple(_without_effect(grid)),
    )


def _without_effect(grid: Grid) -> Iterator[tuple[str, str]]:
    """Yield the functions of models that take a declared choice of the fit by no name, and the choice."""
    at = {one.name: j for j, one in enumerate(grid.choices)}
    models = grid.choices[at["model"]] if "model" in at else None
    for i, model in enumerate(models.values if models else ()):
        here = grid.options[~grid.excluded & (grid.options[:, at["model"]] == i)]
        for name in ("method", "test", "correlation"):
            varies = name in at and len(np.unique(here[:, at[name]])) > 1
            if models and callable(model) and varies and name not in taken_by(model):
                yield models.labels[i], name


def _shown_null(found: Fitted, question: Question) -> Array:
    """Return the value of no effect of each fit as its measure is shown."""
    if question.term:
        return np.array([float(one.display_log) for one in found.measures])
    return np.array([float(one.back(np.array(one.null))) for one in found.measures])


def _read_thresholds(
    thresholds: object, scales: tuple[str, ...], codes: tuple[str, ...]
) -> dict[str, tuple[float, ...]]:
    """Return thresholds by scale."""
    if not isinstance(thresholds, Mapping):
        if isinstance(thresholds, str) or not hasattr(thresholds, "__len__"):
            raise InputError(
                f"thresholds are {describe(thresholds)}", "a list of numbers", "write thresholds=[0.2]"
            )
        values = tuple(check_number("a threshold", one) for one in read_entries(thresholds, "thresholds"))
        if values and len(set(scales)) > 1:
            raise InputError(
                f"thresholds are a list, and paths are on {len(set(scales))} scales",
                "thresholds by scale",
                f"write thresholds={{{scales[0]!r}: [...]}}",
            )
        return {scales[0]: values} if values else {}
    known = dict(zip((*codes, *scales), (*scales, *scales), strict=True))
    out: dict[str, tuple[float, ...]] = {}
    for name, values in thresholds.items():
        if name not in known:
            raise UnknownChoiceError("scale or measure in thresholds", name, list(known))
        out |= _read_thresholds([values] if is_number(values) else values, (known[name],), ())
    return out


# -- from choices to fits -----------------------------------------------------------------------------------


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
    maker.check_levels()
    outcomes, warned, interrupted = fit_all(listed, maker.distinct, question)
    for message, times in maker.warned.items():
        warned[message] = warned.get(message, 0) + times
    for path in np.flatnonzero(fit_of >= 0).tolist():
        outcome = outcomes[fit_of[path]]
        if isinstance(outcome, Refused):
            reasons[path], fit_of[path] = outcome.reason, -1
    used, place = np.unique(fit_of[fit_of >= 0], return_inverse=True)
    fit_of[fit_of >= 0] = place.reshape(-1)
    numbers = np.array([outcomes[i] for i in used], dtype=float).reshape(len(used), len(Numbers._fields))
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
    batched = fits_in_batch(task, effects, question)
    model = task.model if batched or task.model != "random effects" else "other random effects"
    code = task.method or "REML"
    usual = {"multilevel": "t", "robust": "satterthwaite"}.get(
        task.model, "z" if code == "EE" else "knapp-hartung"
    )
    return model, code, task.test or usual


def _shown(numbers: Array, effects: Sequence[Rows], of_coefficient: bool) -> Array:
    """Return estimates and ends as their measures are shown; of a coefficient only ratios are taken back."""
    values = numbers[:, [Numbers._fields.index(name) for name in SHOWN]]
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
        takes = taken_by(model) if callable(model) else ("method", "test", "correlation")
        method = self.option("method", path, None) if "method" in takes else None
        test = self.option("test", path, None) if "test" in takes else None
        correlates = "correlation" in takes and (callable(model) or model in CORRELATED[1:])
        task = Task(found, fitted, method, test, correlation if correlates else None)
        return identity(task, isinstance(self.distinct[found], EffectSizes)), task

    def _prepare(self, path: Sequence[int], model: Any, correlation: float | None) -> int | Refused:
        """Return the position of the effects that a path fits, among those that differ."""
        found = self._effects(path)
        if isinstance(found, Refused):
            return found
        censored = self.option("censored", path, "keep")
        plain = self.question.moderators is None and not callable(model)
        done = self._quietly("model", partial(for_model, found, model, correlation, censored, plain))
        if isinstance(done, Refused):
            return done
        if done.m < self.question.least:
            return Refused(too_few(done, self.question.least))
        digest = fingerprint(done, plain)
        if digest not in self.known:
            self.known[digest] = len(self.distinct)
            self.distinct.append(done)
        return self.known[digest]

    def _effects(self, path: Sequence[int]) -> Rows | Refused:
        """Return the effects of a path after all choices of rows, in the order of their declaration."""
        # only paths that keep bounds make them: some measures have none
        bounds = self.bounds and self.option("censored", path, "keep") == "keep"
        key: tuple[Any, ...] = (bounds, *(path[i] for i, _ in self.making))
        if key not in self.stages:
            told = {one.name: one.values[path[i]] for i, one in self.making}
            self.stages[key] = self._quietly("data", partial(made, self.question, told, bounds))
        effects = self.stages[key]
        for i, choice in self.rows:
            if isinstance(effects, Refused):
                return effects
            key = (*key, (choice.name, path[i]))
            if key not in self.stages:
                step = partial(changed, effects, choice, path[i])
                self.stages[key] = self._quietly(f"{choice.labels[path[i]]!r} of {choice.name}", step)
            effects = self.stages[key]
        return effects

    def check_levels(self) -> None:
        """Refuse mappings of levels that a column has in no path before it is grouped."""
        groups = [value for _, one in self.rows if one.name == "group" for value in one.values]
        rules = [
            (name, rule)
            for value in groups
            if isinstance(value, Mapping)
            for name, rule in value.items()
            if isinstance(rule, Mapping)
        ]
        levels = self._levels([name for name, _ in rules])
        for name, rule in rules:
            unknown = [level for level in rule if level not in levels[name]]
            if unknown and levels[name]:
                known = sorted(map(str, levels[name]))
                raise UnknownChoiceError(f"level of {name} in group", unknown[0], known)

    def _levels(self, names: Sequence[str]) -> dict[str, set[Any]]:
        """Return the levels of columns in all effects that were made and are not grouped yet."""
        found: dict[str, set[Any]] = {name: set() for name in names}
        for key, effects in self.stages.items() if found else ():
            grouped = any(isinstance(part, tuple) and part[0] == "group" for part in key)
            if grouped or isinstance(effects, Refused):
                continue
            for name, levels in found.items():
                if effects._data is not None and name in effects._data:
                    levels.update(effects.column(name).dropna().tolist())
        return found

    def _quietly(self, what: str, step: Callable[[], Rows | Refused]) -> Rows | Refused:
        """Return what a step makes; what it warns of is counted, and what it refuses is a reason."""
        found: Rows | Refused
        found, messages = quietly(what, step)
        for message in messages:
            self.warned[message] = self.warned.get(message, 0) + 1
        return found


def _check_choices(making: Sequence[tuple[int, Choice]], fitting: Mapping[str, Any], data: Any) -> None:
    """Refuse choices that the data have no use for."""
    if not callable(data):
        for _, one in making:
            allowed = {"Sheets": ("measure", "assumed_correlation")}.get(type(data).__name__, ())
            if hasattr(data, "columns"):
                allowed = ("measure", "assumed_correlation")
            if one.name not in allowed:
                if one.name not in KNOWN and (near := nearest_word(one.name, KNOWN)):
                    raise UnknownChoiceError("choice", one.name, KNOWN, nearest=near)
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
        if not any("correlation" in taken_by(m) if callable(m) else m in CORRELATED for m in models):
            raise InputError(
                "the choice 'correlation' came without a model that assumes one",
                f"among the options of model one of {', '.join(CORRELATED)}",
                "the correlation of the two conditions of paired rows is the choice 'assumed_correlation'",
            )
