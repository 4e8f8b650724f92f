"""Forest plots: every study with its effect, pooled effects with their intervals, as a typeset table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, TooFewStudiesError
from metaexo.inputs import check_choice
from metaexo.models.censored.fit import CensoredResults
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.plots.arguments import Column, checked
from metaexo.plots.canvas.figure import drawing
from metaexo.plots.canvas.fonts import TEXT_SIZE
from metaexo.plots.forest.censored import rows_of_censored
from metaexo.plots.forest.clusters import rows_of_multilevel
from metaexo.plots.forest.layout import Look, at_limits, lay_out
from metaexo.plots.forest.page import forest_page
from metaexo.plots.forest.plan import ForestPlan
from metaexo.plots.forest.rows import (
    Choices,
    ReadyEffects,
    Rows,
    rows_of_effects,
    rows_of_fit,
    rows_of_strata,
)

LEAST_ROW = 1.22
MOST_ROWS = 2000  # a page of more rows is taller than 10 metres, and no PNG of it can be written
WEIGHTS = ("overall", "stratum")


@checked
def forest_plan(
    results: Any,
    *,
    columns: Sequence[str | Column] | None = None,
    heads: Mapping[str, Sequence[str]] | None = None,
    by: str | None = None,
    order: str = "given",
    level: float | None = None,
    weights: Literal["overall", "stratum"] | None = "overall",
    digits: int = 2,
    overall: bool = True,
    overall_label: str = "All studies",
    prediction: bool = True,
    heterogeneity: bool = True,
    between: bool = True,
    wording: Mapping[str, str] | None = None,
    remark: str | None = None,
    label_title: str = "Study",
    label_letters: int = 60,
    limits: tuple[float, float] | None = None,
    reference: float | Literal["null"] | None = "null",
    axis_label: str | None = None,
    left_label: str | None = None,
    right_label: str | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    panel_width: float = 200.0,
    text_size: float = TEXT_SIZE,
    row_height: float | None = None,
) -> ForestPlan:
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
    columns : sequence of str or Column, optional
        Columns of the data to show beside the label. Default: source and isolation method, if the data have
        them and the strata do not say the same.
    heads : mapping of str to sequence of str, optional
        Headings over neighbouring columns: title to the names of the columns ("label" is the first).
    by : str, optional
        For bare or bounded effects: column of the data whose values become heads. For a multilevel fit:
        random term whose levels become heads; default the study, or else the first term.
    order : str
        Order of the studies, within strata too: "given", "estimate" (rising), "precision" (the most precise
        first), or a column of the data.
    level : float, optional
        Level of all intervals. Default: that of the fit; 0.95 for bare effects.
    weights : {"overall", "stratum", None}
        For strata: weights in the overall effect or within the strata. None: no weights, equal squares.
    digits : int
        Decimals of effects.
    overall : bool
        Whether to show the overall effect.
    overall_label : str
        Its name.
    prediction, heterogeneity : bool
        Whether to show its prediction interval, and tau2 and I2 of every pooled effect.
    between : bool
        For strata: whether to show the test between them. Strata of different outcomes call for no test.
    wording : mapping of str to str, optional
        Words for values of text columns ("adipose_msc": "adipose MSC").
    remark : str, optional
        Column of the data whose words stand in brackets behind the labels; nothing stands where it is empty
        or `wording` makes it empty ({"main": ""}).
    label_title : str
        Heading of the first column.
    label_letters : int
        Labels with more letters than this take two lines or more.
    limits : tuple of float, optional
        Ends of the axis, on the scale that is shown, the lower one first. Default: wide enough for all
        estimates, and for all bounds but those far outside; 0 to 1 for proportions and -1 to 1 for
        correlations, unless they take up less than a quarter of that. Intervals that are cut end in an arrow;
        an estimate outside the axis is a hollow triangle at its edge, with its value, and a note counts them.
    reference : float, "null" or None
        Where the reference line stands, on the scale that is shown; "null" is the value of no effect.
    axis_label, left_label, right_label : str, optional
        Words below the axis. Default: the measure; "favours control" and "favours exosome" if positive
        effects mean benefit throughout.
    title : str
        Line above the table.
    notes : sequence of str
        Further lines below the plot.
    panel_width, text_size, row_height : float
        Width of the panel, size of the letters, height of a row of one line, in points.

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
    if weights is not None:
        check_choice("weights", weights, WEIGHTS)
    if row_height is not None and row_height < LEAST_ROW * text_size:
        raise InputError(
            f"rows of {row_height:g} points are too low for letters of {text_size:g} points",
            f"at least {LEAST_ROW * text_size:.1f} points",
        )
    named = [column if isinstance(column, Column) else Column(column) for column in columns or ()]
    choices = Choices(
        columns=None if columns is None else tuple(named),
        by=by,
        order=order,
        level=level,
        weights=weights,
        digits=digits,
        prediction=prediction,
        heterogeneity=heterogeneity,
        between=between,
        overall=overall,
        overall_label=overall_label,
        wording=dict(wording or {}),
        remark=remark,
    )
    look = Look(
        heads=dict(heads or {}),
        label_title=label_title,
        label_letters=label_letters,
        limits=limits,
        reference=reference,
        axis_label=axis_label,
        left_label=left_label,
        right_label=right_label,
        title=title,
        notes=tuple(notes),
        panel_width=panel_width,
        size=text_size,
        row_height=row_height,
    )
    _check_size(results)
    found = _rows(results, choices)
    if not found.rows:
        raise TooFewStudiesError("there are no effects", "at least one effect", "look at the ledger")
    return lay_out(found, look)


def _check_size(results: Any) -> None:
    """Refuse more effects than a page can hold.

    Raises
    ------
    InputError
        If there are too many.
    """
    k = getattr(getattr(results, "effects", results), "k", 0)
    if isinstance(k, int) and k > MOST_ROWS:
        raise InputError(
            f"{k} effects, a row each",
            f"at most {MOST_ROWS} rows",
            'draw a part, for example effects.select(range(100), "the first 100"), or all as a funnel plot '
            "with mx.plots.funnel(...)",
        )


def _rows(results: Any, choices: Choices) -> Rows:
    if isinstance(results, type):
        raise _no_forest(f"the class {results.__name__}")
    if isinstance(results, EffectSizes):
        return rows_of_effects(results, choices)
    if isinstance(results, ReadyEffects):
        return rows_of_effects(results.effects, choices, results.shown)
    if isinstance(results, CensoredResults | BoundedEffectSizes):
        return rows_of_censored(results, choices)
    if isinstance(results, MultilevelResults):
        return rows_of_multilevel(results, choices)
    if hasattr(results, "strata"):
        return rows_of_strata(results, choices)
    if hasattr(results, "effects") and hasattr(results, "pooled"):
        return rows_of_fit(results, choices)
    raise _no_forest(type(results).__name__)


def _no_forest(what: str) -> InputError:
    return InputError(
        f"a forest plot cannot be made of {what}",
        "EffectSizes, a fit with a pooled effect, or strata",
        "hand in mx.EffectSizes(...), mx.RandomEffects(...).fit() or mx.stratify(...)",
    )


forest = drawing(forest_plan, ForestPlan, forest_page, "Draw a forest plot.", at_limits=at_limits)
