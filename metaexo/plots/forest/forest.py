"""Forest plots: every study with its effect, pooled effects with their intervals, as a typeset table."""

from __future__ import annotations

from typing import Any

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, TooFewStudiesError
from metaexo.models.censored.fit import CensoredResults
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.plots.arguments import checked
from metaexo.plots.canvas.figure import drawing, passing
from metaexo.plots.forest.censored import rows_of_censored
from metaexo.plots.forest.clusters import rows_of_multilevel
from metaexo.plots.forest.layout import at_limits, lay_out
from metaexo.plots.forest.options import Options
from metaexo.plots.forest.page import forest_page
from metaexo.plots.forest.plan import ForestPlan
from metaexo.plots.forest.rows import (
    ReadyEffects,
    Rows,
    rows_of_effects,
    rows_of_fit,
    rows_of_strata,
)

MOST_ROWS = 2000  # a page of more rows is taller than 10 metres, and no PNG of it can be written


@checked
@passing(Options)
def forest_plan(
    results: Any,
    **choices: Any,
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
    if hasattr(results, "effects") and hasattr(results, "pooled"):
        return rows_of_fit(results, options)
    raise _no_forest(type(results).__name__)


def _no_forest(what: str) -> InputError:
    return InputError(
        f"a forest plot cannot be made of {what}",
        "EffectSizes, a fit with a pooled effect, or strata",
        "hand in mx.EffectSizes(...), mx.RandomEffects(...).fit() or mx.stratify(...)",
    )


forest = drawing(forest_plan, ForestPlan, forest_page, "Draw a forest plot.", at_limits=at_limits)
