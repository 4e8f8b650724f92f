"""Forest plots: every study with its effect, pooled effects with their intervals, as a typeset table.

Estimates that come ready, from other reviews or from a sweep over correlations, are drawn in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.counts import EventCounts
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure, get_measure
from metaexo.errors import InputError, TooFewStudiesError
from metaexo.formatting import number, plural
from metaexo.heterogeneity import AttributionResults, CountStrata
from metaexo.inputs import describe, read_numbers
from metaexo.models import RhoSweep
from metaexo.models.censored.results import CensoredResults
from metaexo.models.counts.fit import CountResults
from metaexo.models.linear.results import FitResults
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.numeric.tails import normal_quantile
from metaexo.plots.canvas.arguments import Column, checked
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.scale import on_axis, place_of
from metaexo.plots.canvas.tables import column_of
from metaexo.plots.canvas.theme import Theme
from metaexo.plots.canvas.words import words
from metaexo.plots.forest.counts import table_of_count_strata, table_of_counts
from metaexo.plots.forest.families import table_of_censored, table_of_multilevel
from metaexo.plots.forest.options import Options
from metaexo.plots.forest.refitted import table_of_refits
from metaexo.plots.forest.rows import ReadyEffects, table_of_effects, table_of_fit, table_of_strata
from metaexo.plots.table.layout import lay_out
from metaexo.plots.table.plan import TablePlan
from metaexo.plots.table.rows import Table
from metaexo.safety import BayesianLimit, UpperLimit
from metaexo.sensitivity import Cumulative, LeaveOneOut
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MOST_ROWS = 2000  # a page of more rows is taller than 10 metres, and no PNG of it can be written


@checked
def forest_plan(
    results: Any,
    *,
    columns: str | Sequence[str | Column] | None = None,
    heads: Mapping[str, Sequence[str]] | None = None,
    titles: Mapping[str, str] | None = None,
    by: str | None = None,
    order: str = "given",
    descending: bool | None = None,
    strata_order: str | Sequence[str] | None = None,
    level: float | None = None,
    models: Sequence[Any] = (),
    overall: bool = True,
    overall_label: str = "All studies",
    subtotals: bool | Literal["only"] = True,
    prediction: bool = True,
    heterogeneity: bool = True,
    between: bool = True,
    test_effect: bool | None = None,
    totals: bool | None = None,
    fitted: bool = True,
    weights: Literal["overall", "stratum"] | None = "overall",
    weight_column: bool = True,
    decimals: int | Mapping[str, int] | None = None,
    ci_format: str | None = None,
    wording: Mapping[str, str] | None = None,
    remark: str | None = None,
    interval: Literal["exact", "mid-p", "wilson", "jeffreys"] = "exact",
    upper: bool = False,
    per: float = 1.0,
    label_title: str = "Study",
    scale: Literal["linear", "log", "logit"] | None = None,
    limits: tuple[float, float] | None = None,
    ticks: Sequence[float] | None = None,
    reference: float | Literal["null"] | None = "null",
    axis_label: str | None = None,
    favours: tuple[str, str] | None = None,
    color: str | None = None,
    marker_size: float = 9.0,
    row_height: float | None = None,
    pages: bool | int = False,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> TablePlan:
    """Return what a forest plot shows, without drawing it.

    Use it to see or test a figure, or to take its table (`plan.to_frame()`). All texts are on the scale that
    the measure shows (a risk ratio, not its logarithm). Where there is not enough room, long texts are broken
    into lines; letters never shrink.

    Parameters
    ----------
    results : EffectSizes, FitResults, StratifiedResults, LeaveOneOut or Cumulative
        Bare effects (nothing is pooled), one fit (studies and overall effect; with moderators the fitted
        effects), strata (a head, the studies and a subtotal each, the overall effect, the test between
        strata), a multilevel fit (effects under their study, whose mean as the model predicts it is an open
        diamond), bounded effects, bare or with the fit of censored evidence (what is no point is an open
        interval), or refits (a row per fit without one study, or per fit of the studies so far, and triangles
        where the interval excludes no effect and that of all studies does not, or the other way round).
        Counts of one arm, bare or with their fit or their :func:`metaexo.safety.upper_limit`, have their
        shares with exact intervals from 0 to 1; a fit of counts of two arms has a row for every study, and
        one without an estimate of its own is "not estimable".
    columns : str or sequence of str or Column, optional
        Columns of the data to show beside the label. Default: source and isolation method, if the data have
        them and the strata do not say the same; for refits "p", "tau2" and "i2", which have "k" and "m" too;
        for counts "events", which are the events and people of each arm.
        A :class:`metaexo.plots.Column` has a heading, a kind ("events", "mean_sd", "risk", ...), decimals and
        a side of its own.
    heads : mapping of str to sequence of str, optional
        Headings over neighbouring columns: title to the names of the columns ("label" is the first,
        "estimate" and "weight" are the last).
    titles : mapping of str to str, optional
        Headings of columns by their names.
    by : str, optional
        For bare or bounded effects, and for counts: column of the data whose values become heads. For a
        multilevel fit:
        random term whose levels become heads; default the study, or else the first term.
    order : str
        Order of the studies, within strata too: "given", "estimate" (rising), "precision" (the most precise
        first), "weight" (the heaviest first), "label" (from A to Z), or a column of the data (rising).
    descending : bool, optional
        Whether the largest values stand first: the most precise, the heaviest, the last of the alphabet; for
        "given", whether the last study stands first. Default: the usual sense of each order, above.
    strata_order : str or sequence of str, optional
        Order of the strata: "given", "estimate", "size" (the largest first), "label", or all their names.
    level : float, optional
        Level of all intervals. Default: that of the fit; 0.95 for bare effects.
    models : sequence of str or fits
        Further models of the overall effect, a row each: "common", "random", the name of an estimator of
        tau2, or fits of the same effects; for counts fits of the same counts, and for those of one arm
        results of :func:`metaexo.safety.upper_limit` and :func:`metaexo.safety.bayesian_limit`.
    overall : bool
        Whether to show the overall effect.
    overall_label : str
        Its name.
    subtotals : bool or "only"
        Whether strata have subtotals; "only" shows these without the studies.
    prediction, heterogeneity : bool
        Whether to show its prediction interval, and tau2, I2 and Q of pooled effects.
    between : bool
        For strata: whether to show the test between them. Strata of different outcomes call for no test.
    test_effect : bool, optional
        Whether pooled effects have a row with their test. Default: as `totals`.
    totals : bool, optional
        Whether to print rows as journals do: sums of events and numbers, heterogeneity and tests in rows of
        their own. Default: as the theme has it.
    fitted : bool
        For a fit with moderators: whether to draw the fitted effects, as diamonds behind the studies.
    weights : {"overall", "stratum", None}
        For strata: weights in the overall effect or within the strata. None: no weights, equal squares.
    weight_column : bool
        Whether the weights are printed too.
    decimals : int or mapping of str to int, optional
        Decimals of effects, or of each column by its name ("estimate", "weight", ...). Default for effects:
        2, more where the typical interval would hardly be seen in them, fewer where all intervals are wide.
    ci_format : str, optional
        How an interval is written, for example "({low} to {high})". Default: that of the theme.
    wording : mapping of str to str, optional
        Words for values of text columns ("adipose_msc": "adipose MSC").
    remark : str, optional
        Column of the data whose words stand in brackets behind the labels; nothing stands where it is empty
        or `wording` makes it empty ({"main": ""}).
    interval : {"exact", "mid-p", "wilson", "jeffreys"}
        For counts of one arm: interval of each study, see :func:`metaexo.safety.study_intervals`.
    upper : bool
        For counts of one arm: whether studies have an upper limit alone, one-sided at the level.
    per : float
        For counts of one arm: how many people, or units of person-time, shares are per: 1 for proportions,
        100 for per cent, 1000, 10000 or 100000.
    label_title : str
        Heading of the first column.
    scale : {"linear", "log", "logit"}, optional
        Scale of the axis. Default: logarithmic for ratios, linear for everything else.
    limits : tuple of float, optional
        Ends of the axis, on the scale that is shown, the lower one first. Default: wide enough for all
        estimates, and for all bounds but those far outside; 0 to 1 for proportions and -1 to 1 for
        correlations, unless they take up less than a quarter of that. Intervals that are cut end in an arrow;
        an estimate outside the axis is a hollow triangle at its edge, with its value, and a note counts them.
    ticks : sequence of float, optional
        Ticks of the axis, as shown. Default: round values that stand apart.
    reference : float, "null" or None
        Where the reference line stands, on the scale that is shown; "null" is the value of no effect.
    axis_label : str, optional
        Words below the axis. Default: the measure and its scale.
    favours : tuple of str, optional
        What values left and right of the reference line favour. Default: "favours control" and "favours
        exosome" if positive effects mean benefit throughout.
    color : str, optional
        Colour of the marks of studies: a part of the theme ("pooled", "grey"), or any colour of matplotlib.
    marker_size : float
        Side of the largest mark of a study, in points.
    row_height : float, optional
        Height of a row of one line, in points.
    pages : bool or int
        Most rows on a page; True is 40. Further pages repeat the headings and are figures of their own:
        :func:`metaexo.plots.pages_of` has them, and ``save`` writes all into one PDF.

    Returns
    -------
    TablePlan
        Columns, rows, marks, axis and notes with their places.

    Raises
    ------
    InputError
        If `results` is none of the kinds above, headings do not stand over neighbouring columns, or there is
        too little room for letters of 7 points.
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
    return _laid_out(results, Options.of(locals()))


def _laid_out(results: Any, options: Options) -> TablePlan:
    """Return the plan of a forest plot; its further pages are part of it."""
    _check_size(results)
    table = _table(results, options)
    if not table.rows:
        raise TooFewStudiesError("there are no effects", "at least one effect", "look at the ledger")
    return lay_out(table, options.width, options.height, options.ax, options.pages)


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


def _table(results: Any, options: Options) -> Table:
    """Return the table of any kind of results."""
    if isinstance(results, EventCounts | CountResults | UpperLimit | BayesianLimit):
        _check_no_strata(results, options)
        return table_of_counts(results, options)
    if isinstance(results, CountStrata):
        return table_of_count_strata(results, options)
    _check_no_counts(results, options)
    strata = hasattr(results, "strata") and not isinstance(results, type)
    if not strata:
        _check_no_strata(results, options)
    if isinstance(results, LeaveOneOut | Cumulative):
        return table_of_refits(results, options)
    if isinstance(results, EffectSizes):
        return table_of_effects(results, options)
    if isinstance(results, ReadyEffects):
        return table_of_effects(results.effects, options, results.shown)
    if isinstance(results, CensoredResults | BoundedEffectSizes):
        return table_of_censored(results, options)
    if isinstance(results, MultilevelResults):
        return table_of_multilevel(results, options)
    if strata:
        _check_by(results, options)
        return table_of_strata(results, options)
    if isinstance(results, FitResults) and not isinstance(results, AttributionResults):
        _check_by(results, options)
        return table_of_fit(results, options)
    raise InputError(
        f"a forest plot cannot be made of {describe(results)}",
        "EffectSizes, a fit with a pooled effect, or strata",
        "hand in mx.EffectSizes(...), mx.RandomEffects(...).fit() or mx.stratify(...)",
    )


def _check_by(results: Any, options: Options) -> None:
    """Refuse heads where the rows have none, or those of strata."""
    if options.by is not None:
        raise InputError(
            f"by={options.by!r} for a {type(results).__name__}",
            "bare or bounded effects, or a multilevel fit",
            f"for strata draw mx.stratify(effects, by={options.by!r}), or leave by= out",
        )


def _check_no_counts(results: Any, options: Options) -> None:
    """Refuse choices on counts where there are none."""
    usual = Options(theme=options.theme)
    for name in ("interval", "upper", "per"):
        if getattr(options, name) != getattr(usual, name):
            raise InputError(
                f"{name}={getattr(options, name)!r} for {describe(results)}",
                "counts of one arm",
                f"draw mx.event_counts(events=..., n=...), or leave {name}= out",
            )


def _check_no_strata(results: Any, options: Options) -> None:
    """Refuse choices on strata where there are none."""
    chosen = {"strata_order": options.strata_order, "subtotals": options.subtotals}
    for name, value in chosen.items():
        if value is not None and not isinstance(value, bool):
            raise InputError(
                f"{name}={value!r} for {describe(results)}, which has no strata",
                "the results of mx.stratify(...)",
                f'draw mx.stratify(effects, by="..."), of counts mx.stratify_counts(fit, by="..."), or leave '
                f"{name}= out",
            )


forest = drawn(forest_plan, "Draw a forest plot.")


@checked
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
    columns: str | Sequence[str | Column] = (),
    heads: Mapping[str, Sequence[str]] | None = None,
    titles: Mapping[str, str] | None = None,
    order: str = "given",
    descending: bool | None = None,
    decimals: int | Mapping[str, int] | None = None,
    ci_format: str | None = None,
    wording: Mapping[str, str] | None = None,
    remark: str | None = None,
    label_title: str = "Review",
    scale: Literal["linear", "log", "logit"] | None = None,
    limits: tuple[float, float] | None = None,
    ticks: Sequence[float] | None = None,
    reference: float | Literal["null"] | None = "null",
    axis_label: str | None = None,
    favours: tuple[str, str] | None = None,
    color: str | None = None,
    marker_size: float = 9.0,
    row_height: float | None = None,
    pages: bool | int = False,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> TablePlan:
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
    columns : str or sequence of str or Column
        Columns of the table to show beside the label.
    heads, titles, order, descending, decimals, ci_format, wording, remark, label_title, scale, limits, \
ticks, reference, axis_label, favours, color, marker_size, row_height, pages : optional
        As for :func:`metaexo.plots.forest_plan`.

    Returns
    -------
    TablePlan
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
    ready = _ready(table, (estimate, low, high), label, get_measure(measure), level)
    return _laid_out(ready, Options.of(locals()))


def _ready(
    table: pd.DataFrame, names: tuple[str, str, str], label: str, measure: Measure, level: float
) -> ReadyEffects:
    """Return estimates with their intervals, columns of a table, as effects that are ready to be drawn."""
    values = [read_numbers(column_of(table, name), name, ndim=1) for name in names]
    _check(table, values)
    points = [place_of(measure, value, f"an estimate in the column {names[0]!r}") for value in values[0]]
    width = 2 * float(normal_quantile(level))
    ends = [[on_axis(measure, value) for value in side] for side in values[1:]]
    errors = [(b - a) / width if math.isfinite(b - a) else 0.0 for a, b in zip(*ends, strict=True)]
    es = EffectSizes(
        points,
        np.square(errors),
        measure,
        labels=[words(value) for value in column_of(table, label)],
        study=[str(i + 1) for i in range(len(table))],  # nothing is pooled: each row stands for itself
        data=table.reset_index(drop=True),
    )
    return ReadyEffects(es, np.array(values))


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


heterogeneity = drawn(heterogeneity_plan, "Draw ready estimates with their intervals, nothing pooled.")


@checked
def rho_sweep_plan(
    sweep: RhoSweep,
    *,
    label_title: str = "Assumed correlation",
    decimals: int | None = None,
    limits: tuple[float, float] | None = None,
    axis_label: str | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> TablePlan:
    """Return what a plot of a sweep over assumed correlations shows, without drawing it.

    Use it beside a working model of correlated effects: if the rows stand below each other, the assumed
    correlation does not matter.

    Parameters
    ----------
    sweep : RhoSweep
        From :func:`metaexo.rho_sweep`.
    label_title : str
        Heading of the first column.
    decimals : int, optional
        Decimals of the estimates. Default: as for :func:`metaexo.plots.forest_plan`.
    limits : tuple of float, optional
        Ends of the axis, on the scale that is shown.
    axis_label : str, optional
        Words below the axis. Default: the measure.

    Returns
    -------
    TablePlan
        One row per correlation, with the robust interval and (for "CHE") the total SD of true effects; a head
        for each coefficient, if there are several.

    Raises
    ------
    InputError
        If it is no sweep.

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
    options = Options.of(
        locals(),
        columns=[Column("tau", "Total τ", "number", 2)] if nested else [],
        by="term" if len(sweep.names) > 1 else None,
        notes=[f"{counts}; cluster-robust intervals. {change}", *notes],
        level=base.level,
    )
    ends = ("estimate", "low", "high")
    return _laid_out(_ready(table, ends, "correlation", base.effects.measure, base.level), options)


rho_sweep = drawn(rho_sweep_plan, "Draw estimates at each assumed correlation of effects of one study.")
