"""The fits of paths: many random-effects models in one batch, other models one by one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from metaexo.effects import covariance_blocks
from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.inputs import describe, is_number
from metaexo.models.censored.fit import CENSORED_TESTS
from metaexo.models.censored.model import CensoredRandomEffects
from metaexo.models.censored.results import CensoredResults
from metaexo.models.linear.choices import LIKELIHOODS
from metaexo.models.linear.hypothesis import quantiles, two_sided_pvalues
from metaexo.models.linear.results import FitResults
from metaexo.models.multilevel.model import TESTS as MULTILEVEL_TESTS
from metaexo.models.multilevel.model import Multilevel
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.univariate.inference import TESTS, scale_of_test
from metaexo.models.univariate.model import RandomEffects
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.moments import weighted_fit
from metaexo.numeric.problem import make_batch
from metaexo.numeric.weighted import PLAIN_TESTS
from metaexo.runs.parallel import as_finished, progress_bar
from metaexo.sensitivity.multiverse.steps import Misdeclared, Question, Refused, Rows, quietly
from metaexo.types import Array

STOPPED = "not fitted, because the run was stopped from the keyboard"
NO_WIDTH = "the effects do not vary about their mean at all, so that its interval has no width"
NO_DEFAULT: Any = inspect.Parameter.empty
SHOWN = ("estimate", "low", "high", "prediction_low", "prediction_high")  # numbers with a scale for readers


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


Outcome = tuple[Any, tuple[str, ...]]  # numbers or why there are none, and the kinds of warnings


class Task(NamedTuple):
    """One fit: what distinguishes it from all others."""

    effects: int  # position among the distinct sets of effects
    model: Any  # a name or a function
    method: str | None
    test: str | None
    correlation: float | None


def taken_by(model: Callable[..., Any]) -> tuple[str, ...]:
    """Return which of the choices of a fit a function of the reader's takes by name."""
    return tuple(_defaults(model))


def _defaults(model: Callable[..., Any]) -> dict[str, Any]:
    """Return the choices of a fit that a function takes by name, with its defaults."""
    try:
        given = inspect.signature(model).parameters
    except (TypeError, ValueError):
        return {}
    any_name = any(one.kind is one.VAR_KEYWORD for one in given.values())
    return {
        name: given[name].default if name in given else NO_DEFAULT
        for name in ("method", "test", "correlation", "level")
        if (given[name].kind is not inspect.Parameter.POSITIONAL_ONLY if name in given else any_name)
    }


def _told(task: Task, question: Question) -> dict[str, Any]:
    """Return what a function of the reader's is called with.

    A default of its own stands if the choice is not declared. A `level` whose default is no number is
    something else than the level of intervals, and stands too.
    """
    known = task._asdict() | {"level": question.level}
    return {
        name: known[name]
        for name, default in _defaults(task.model).items()
        if default is NO_DEFAULT or (is_number(default) if name == "level" else name in question.declared)
    }


def identity(task: Task, points: bool) -> tuple[Any, ...]:
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


def fit_all(
    tasks: Sequence[Task], effects: Sequence[Rows], question: Question
) -> tuple[list[Numbers | Refused], dict[str, int], bool]:
    """Return the numbers of every task: of those that can be in one batch, of the others one by one.

    With them: what was warned of, and whether the reader stopped the fits before all were made.
    """
    outcomes: list[Any] = [None] * len(tasks)
    warned: dict[str, int] = {}
    together = [i for i, task in enumerate(tasks) if fits_in_batch(task, effects[task.effects], question)]
    by_code: dict[str, list[int]] = {}
    for i in together:
        by_code.setdefault(tasks[i].method or "REML", []).append(i)
    for code, places in by_code.items():
        tests = [tasks[i].test or ("z" if code == "EE" else "knapp-hartung") for i in places]
        row_of: dict[int, int] = {}
        for i in places:
            row_of.setdefault(tasks[i].effects, len(row_of))
        sets: list[Any] = [effects[at] for at in row_of]
        found = fit_batch(sets, code, list(dict.fromkeys(tests)), question.level)
        for i, test in zip(places, tests, strict=True):
            outcomes[i] = found[test][row_of[tasks[i].effects]]
        odd = sum(test.startswith("knapp-hartung") for test in tests) if code == "EE" else 0
        if odd:
            warned["EqualEffectsTestWarning"] = odd
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
    return [_with_a_width(one) for one in outcomes], warned, interrupted


def _with_a_width(outcome: Any) -> Numbers | Refused:
    """Return what came of a task; an interval without a width is none."""
    if outcome is None:
        return Refused(STOPPED)
    return Refused(NO_WIDTH) if isinstance(outcome, Numbers) and not outcome.se > 0 else outcome


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


def fits_in_batch(task: Task, effects: Rows, question: Question) -> bool:
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


class Padded(NamedTuple):
    """Sets of effects of different sizes as arrays, shape (s, k)."""

    y: Array
    v: Array
    counts: Array  # 0 where a set has no such effect

    @classmethod
    def of(cls, sets: Sequence[EffectSizes]) -> Padded:
        """Return the arrays of sets of effects."""
        shape = len(sets), max(one.k for one in sets)
        y, v, counts = np.zeros(shape), np.ones(shape), np.zeros(shape)
        for row, one in enumerate(sets):
            y[row, : one.k], v[row, : one.k], counts[row, : one.k] = one.y, one.v, 1.0
        return cls(y, v, counts)


class BatchFit(NamedTuple):
    """Random-effects fits by one estimator and one test, an entry per set."""

    estimate: Array
    se: Array
    half: Array  # half the width of the confidence interval
    pvalue: Array  # that the mean is `null`; NaN without a standard error
    tau2: Array
    df: Array | None


def fit_by_tests(
    sets: Padded, code: str, tests: Sequence[str], level: float, null: Array | float = 0.0
) -> dict[str, BatchFit]:
    """Return the fits of sets of effects by one estimator, under several tests."""
    batch = make_batch(sets.y, sets.v, n=sets.counts)
    tau2 = get_estimator(code).kernel(batch).tau2
    wls = weighted_fit(batch, 1.0 / (batch.v + tau2[:, None]))
    out = {}
    for test in tests:
        df = None if test == "z" else np.asarray(batch.df, dtype=float)
        se = np.sqrt(wls.cov[:, 0, 0] * scale_of_test(test, wls.weighted_ss, batch.df))
        mean = wls.beta[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            pvalue = two_sided_pvalues((mean - null) / se, df)
        pvalue = np.where((se > 0) & np.isfinite(null), pvalue, np.nan)
        out[test] = BatchFit(mean, se, quantiles(level, df) * se, pvalue, tau2, df)
    return out


def fit_batch(
    sets: Sequence[EffectSizes], code: str, tests: Sequence[str], level: float
) -> dict[str, list[Numbers]]:
    """Return the numbers of random-effects fits of several sets by one estimator, under several tests."""
    padded = Padded.of(sets)
    null = np.array([one.measure.null for one in sets])
    k, m = padded.counts.sum(axis=1), np.array([float(one.m) for one in sets])
    weights = padded.counts / padded.v
    total = weights.sum(axis=1)
    typical = (k - 1) / (total - (weights**2).sum(axis=1) / total)
    centred = padded.y - ((weights * padded.y).sum(axis=1) / total)[:, None]
    q = (weights * centred**2).sum(axis=1)
    out = {}
    for test, fit in fit_by_tests(padded, code, tests, level, null).items():
        if code == "EE":
            i2 = np.where(q > 0, np.maximum(0.0, (q - (k - 1)) / np.where(q > 0, q, 1.0)), 0.0)
            wide = np.full(len(sets), np.nan)
        else:
            i2 = fit.tau2 / (fit.tau2 + typical)
            wide = quantiles(level, fit.df) * np.sqrt(fit.se**2 + fit.tau2)
        mean, half = fit.estimate, fit.half
        columns = (
            k, m, mean, fit.se, mean - half, mean + half, fit.pvalue, fit.tau2, i2, mean - wide, mean + wide,
        )  # fmt: skip
        out[test] = [Numbers(*map(float, row)) for row in zip(*columns, strict=True)]
    return out


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
        fit = task.model(effects, **_told(task, question))
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
