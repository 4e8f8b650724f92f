"""Forest plots: every study with its effect, pooled effects with their intervals, as a typeset table.

Estimates that come ready, from other reviews or from a sweep over correlations, are drawn in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure, get_measure
from metaexo.errors import InputError, TooFewStudiesError
from metaexo.formatting import number, plural
from metaexo.heterogeneity import AttributionResults
from metaexo.inputs import read_numbers
from metaexo.models.censored.results import CensoredResults
from metaexo.models.linear.results import FitResults
from metaexo.models.multilevel.presets import RhoSweep
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.numeric.tails import normal_quantile
from metaexo.plots.canvas.arguments import Column, checked
from metaexo.plots.canvas.figure import drawing, passing
from metaexo.plots.canvas.scale import on_axis, place_of
from metaexo.plots.canvas.tables import column_of
from metaexo.plots.canvas.words import words
from metaexo.plots.forest.families import rows_of_censored, rows_of_multilevel
from metaexo.plots.forest.layout import at_limits, lay_out
from metaexo.plots.forest.options import Options
from metaexo.plots.forest.page import forest_page
from metaexo.plots.forest.plan import ForestPlan
from metaexo.plots.forest.rows import ReadyEffects, Rows, rows_of_effects, rows_of_fit, rows_of_strata
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 2000  # a page of more rows is taller than 10 metres, and no PNG of it can be written
# Arguments of a forest plot that say nothing where nothing is pooled, and those that a sweep settles itself.
OF_POOLED = ("weights", "prediction", "heterogeneity", "between", "overall", "overall_label")
OF_TABLE = ("estimate", "low", "high", "label", "by", "measure", "level", "columns")


@checked
@passing(Options)
def forest_plan(results: Any, **choices: Any) -> ForestPlan:
    """Return what a forest plot shows, without drawing it.

    Use it to see or test a figure, or to take its table (`plan.to_frame()`). All texts are on the scale that
    the measure shows (a risk ratio, not its logarithm).

    Parameters
    ----------
    results : EffectSizes, RandomEffectsResults, StratifiedResults, MultilevelResults or CensoredResults
        Bare effects (nothing is pooled), one fit (studies and overall effect), strata (a head, the studies
        and a subtotal each, the overall effect, the test between strata), a multilevel fit (effects under
        their study, whose mean as the model predicts it is an open diamond), or bounded effects, bare
        or with the fit of censored evidence (what is no point is an open interval).

    Returns
    -------
    ForestPlan
        Columns, rows, marks, axis and notes with their places.

    Raises
    ------
    InputError
        If `results` is none of the kinds above, headings do not stand over neighbouring columns, or rows
        are too low.
    UnknownChoiceError
        If a column or an order is not known.
    TooFewStudiesError
        If there are no effects.

    Notes
    -----
    More than 2,000 effects are refused: no page holds them, and a funnel plot shows them all.

    References
    ----------
    Lewis, S., Clarke, M. (2001). Forest plots: trying to see the wood and the trees. BMJ 322, 1479-1480.
    https://doi.org/10.1136/bmj.322.7300.1479

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1], [0.02, 0.05, 0.03], labels=["Li 2020", "Cho 2021", "Abe 2022"])
    >>> plan = mx.plots.forest_plan(mx.RandomEffects(es).fit())
    >>> [row.kind for row in plan.rows]
    ['study', 'study', 'study', 'spacer', 'total', 'prediction']
    >>> plan.rows[0].cells["estimate"]
    ('0.20', '[−0.08 to', '0.48]')
    >>> ax = mx.plots.forest(plan)
    """
    options = Options(**choices)
    _check_size(results)
    found = _rows(results, options)
    if not found.rows:
        raise TooFewStudiesError("there are no effects", "at least one effect", "look at the ledger")
    return lay_out(found, options)


def _check_size(results: Any) -> None:
    """Refuse more effects than a page can hold; raises InputError if there are too many."""
    k = getattr(getattr(results, "effects", results), "k", 0)
    if isinstance(k, int) and k > MOST_ROWS:
        raise InputError(
            f"{k} effects, one row per effect",
            f"at most {MOST_ROWS} rows",
            'draw a part, for example effects.select(range(100), "the first 100"), or all as a funnel plot '
            "with mx.plots.funnel(...)",
        )


def _rows(results: Any, options: Options) -> Rows:
    if isinstance(results, type):
        raise _no_forest(f"the class {results.__name__}")
    if isinstance(results, EffectSizes):
        return rows_of_effects(results, options)
    if isinstance(results, ReadyEffects):
        return rows_of_effects(results.effects, options, results.shown)
    if isinstance(results, CensoredResults | BoundedEffectSizes):
        return rows_of_censored(results, options)
    if isinstance(results, MultilevelResults):
        return rows_of_multilevel(results, options)
    if hasattr(results, "strata"):
        return rows_of_strata(results, options)
    if isinstance(results, FitResults) and not isinstance(results, AttributionResults):
        return rows_of_fit(results, options)
    raise _no_forest(type(results).__name__)


def _no_forest(what: str) -> InputError:
    return InputError(
        f"a forest plot cannot be made of {what}",
        "EffectSizes, a fit with a pooled effect, or strata",
        "hand in mx.EffectSizes(...), mx.RandomEffects(...).fit() or mx.stratify(...)",
    )


forest = drawing(forest_plan, ForestPlan, forest_page, "Draw a forest plot.", at_limits=at_limits)


@checked
@passing(forest_plan, OF_POOLED)
def heterogeneity_plan(
    table: pd.DataFrame,
    *,
    estimate: str = "estimate",
    low: str = "low",
    high: str = "high",
    label: str = "label",
    by: str | None = None,
    measure: str | Measure = "GEN",
    level: float = 0.95,
    columns: Sequence[str | Column] = (),
    label_title: str = "Review",
    **choices: Any,
) -> ForestPlan:
    """Return what a plot of ready estimates with intervals shows, without drawing it.

    Use it to set published pooled effects of one question side by side, or the rows of a table of estimates
    (leaving one study out, a multiverse). Intervals are shown as they were reported, whatever their make;
    nothing is pooled.

    Parameters
    ----------
    table : DataFrame
        One row per estimate.
    estimate, low, high : str
        Columns of the estimates and their intervals, on the scale that the measure shows (risk ratios, not
        their logarithms). An interval may be missing, an estimate may not.
    label : str
        Column of the labels; need not be unique.
    by : str, optional
        Column whose values become heads, for example the question.
    measure : str or Measure
        Measure of all estimates; it owns scale and axis.
    level : float
        Level of the intervals, for the heading.
    columns : sequence of str or Column
        Columns of the table to show beside the label.
    label_title : str
        Heading of the first column.
    **choices
        As for :func:`metaexo.plots.forest_plan`: order, digits, limits, title, notes and so on.

    Returns
    -------
    ForestPlan
        The plan.

    Raises
    ------
    UnknownChoiceError
        If a column is not in the table.
    InputError
        If an estimate is missing, or lies outside its interval.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame({"label": ["Li 2020", "Cho 2021"], "estimate": [0.5, 0.8],
    ...                       "low": [0.3, 0.6], "high": [0.9, 1.1]})
    >>> plan = mx.plots.heterogeneity_plan(table, measure="RR")
    >>> [row.cells["estimate"] for row in plan.rows]
    [('0.50', '[0.30 to', '0.90]'), ('0.80', '[0.60 to', '1.10]')]
    >>> ax = mx.plots.heterogeneity(plan)
    """
    record = get_measure(measure)
    values = [read_numbers(column_of(table, name), name, ndim=1) for name in (estimate, low, high)]
    _check(table, values)
    points = [place_of(record, value, f"an estimate in the column {estimate!r}") for value in values[0]]
    width = 2 * float(normal_quantile(level))
    ends = [[on_axis(record, value) for value in side] for side in values[1:]]
    errors = [(b - a) / width if math.isfinite(b - a) else 0.0 for a, b in zip(*ends, strict=True)]
    es = EffectSizes(
        points,
        np.square(errors),
        record,
        labels=[words(value) for value in column_of(table, label)],
        data=table.reset_index(drop=True),
    )
    ready = ReadyEffects(es, np.array(values))
    return forest_plan(ready, columns=columns, by=by, level=level, label_title=label_title, **choices)


def _check(table: pd.DataFrame, values: Sequence[Array]) -> None:
    """Raise for rows whose estimate is missing or lies outside its interval."""
    bad = [
        f"row {i + 1}: {estimate:g} ({low:g} to {high:g})"
        for i, (estimate, low, high) in enumerate(zip(*values, strict=True))
        if np.isnan(estimate) or estimate < low or estimate > high
    ]
    if len(table) == 0 or bad:
        raise InputError(
            f"{len(bad)} of {len(table)} rows have no estimate, or one outside its interval",
            "at least one row, and an estimate within its interval in every row",
            "look these rows up in the source",
            bad,
        )


heterogeneity = drawing(
    heterogeneity_plan,
    ForestPlan,
    forest_page,
    "Draw ready estimates with their intervals, nothing pooled.",
    at_limits=at_limits,
)


@checked
@passing(heterogeneity_plan, OF_TABLE)
def rho_sweep_plan(
    sweep: RhoSweep, *, label_title: str = "Assumed correlation", notes: Sequence[str] = (), **choices: Any
) -> ForestPlan:
    """Return what a plot of a sweep over assumed correlations shows, without drawing it.

    Use it beside a working model of correlated effects: if the rows stand below each other, the assumed
    correlation does not matter.

    Parameters
    ----------
    sweep : RhoSweep
        From :func:`metaexo.rho_sweep`.
    label_title : str
        Heading of the first column.
    notes : sequence of str
        Further lines below.
    **choices
        As for :func:`metaexo.plots.heterogeneity_plan`: limits, title and so on.

    Returns
    -------
    ForestPlan
        One row per correlation, with the robust interval and (for "CHE") the total SD of true effects; a head
        for each coefficient, if there are several.

    References
    ----------
    Pustejovsky, J. E., Tipton, E. (2022). https://doi.org/10.1007/s11121-021-01246-3

    Examples
    --------
    >>> import metaexo as mx
    >>> y = [0.3, 0.5, 0.9, 0.7, 0.1, -0.1, 0.4, 0.6, 0.2, 0.3, 0.8, 0.5]
    >>> es = mx.EffectSizes(y, [0.02, 0.03, 0.04] * 4, study=list("aabbccddeeff"))
    >>> plan = mx.plots.rho_sweep_plan(mx.rho_sweep(es, [0.0, 0.5, 0.9]))
    >>> [row.cells["estimate"][0] for row in plan.rows if row.kind == "study"]
    ['0.43', '0.43', '0.43']
    >>> ax = mx.plots.rho_sweep(plan)
    """
    if not isinstance(sweep, RhoSweep):
        raise InputError(f"{type(sweep).__name__} is no sweep", "what mx.rho_sweep(...) returns")
    base = sweep.fits[0]
    table = sweep.to_frame()
    for name in ("estimate", "low", "high"):
        table[name] = back_pooled(base.effects, table[name].to_numpy())
    table["correlation"] = [f"ρ = {number(rho, 2)}" for rho in table["correlation"]]
    table["tau"] = np.sqrt(table[list(sweep.component_names)].sum(axis=1))
    # variances of subgroups do not add up
    nested = all(named.structure == "intercept" for named in base.terms)
    counts = f"{plural(base.k, 'effect')} from {plural(base.m, 'study', 'studies')}"
    change = f"Estimates move by at most {number(sweep.largest_change)} standard errors."
    return heterogeneity_plan(
        table,
        label="correlation",
        by="term" if len(sweep.names) > 1 else None,
        measure=base.effects.measure,
        level=base.level,
        columns=[Column("tau", "Total\nτ", "number", 2)] if nested else [],
        label_title=label_title,
        notes=[f"{counts}; cluster-robust intervals. {change}", *notes],
        **choices,
    )


rho_sweep = drawing(
    rho_sweep_plan,
    ForestPlan,
    forest_page,
    "Draw estimates at each assumed correlation of effects of one study.",
    at_limits=at_limits,
)
