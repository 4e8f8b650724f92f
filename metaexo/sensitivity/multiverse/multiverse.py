"""Every defensible path through an analysis, declared as choices with options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, NotIdentifiableError, RunInterrupted, UnknownChoiceError
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
from metaexo.sensitivity.multiverse.choices import Grid, make_grid
from metaexo.sensitivity.multiverse.paths import STOPPED, Fitted, Question, run_paths
from metaexo.sensitivity.multiverse.results import NAMES, SHOWN, Multiverse
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

BETTER = ("higher", "lower")


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
                            correlation and level, and return a fit.
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
    question = Question(data, where, sheet, check_flag("orient", orient), moderators, term, least, level)
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
    columns = dict(zip(NAMES, found.numbers.T, strict=True))
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
    )


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
