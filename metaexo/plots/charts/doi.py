"""Doi plots: effects against the score of their rank, to see whether two limbs are equally long and full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metaexo.bias import LfkIndex, lfk_index
from metaexo.effects.conversions.scales import back_by_rows, back_pooled
from metaexo.formatting import fixed, number
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import Chart, ChartAxis, Curve, Panel, Rule
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.scale import given_limits, robust_limits
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import derived_words, with_ledger
from metaexo.plots.charts.effects import (
    analysed_words,
    effects_of,
    groups_of,
    hidden_note,
    in_order,
    kept_in_view,
    legend_beside,
    places_of,
    points_by_group,
    reference_rules,
    space_of,
    unseen_notes,
    words_beside,
)
from metaexo.plots.forest.rows import caution_notes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

PANEL = 240.0  # points: height of the panel
MANY = 200  # effects whose marks are small, so that they can be seen apart


@checked
def doi_plan(
    results: Any,
    *,
    by: str | None = None,
    labels: str | Sequence[str] = (),
    reference: float | Literal["null"] | None = "null",
    limits: tuple[float, float] | None = None,
    wording: Mapping[str, str] | None = None,
    axis_label: str | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    r"""Return what a Doi plot shows, without drawing it.

    Use it beside a funnel plot where studies are few. The effects are ranked, precise ones taking more ranks,
    and stand at their effect and at the size of the score of their rank, :math:`|z_i|` with
    :math:`z_i = \Phi^{-1}(\text{middle rank} / \text{all ranks})`. Symmetric evidence has two limbs from the
    tip that are equally long and full. The LFK index (:func:`metaexo.bias.lfk_index`), in the legend, says
    how unequal they are; it is no test.

    Parameters
    ----------
    results : fit, StratifiedResults, EffectSizes or LfkIndex
        A fit of any model of effects without moderators, strata, the effects themselves, or the index of
        either.
    by : str, optional
        Column of the data whose values get colours and marks of their own.
    labels : str or sequence of str
        Which points have their label beside them, where there is room, those farthest from the tip first:
        "all", or those of some rows. A note counts the labels without room.
    reference : float, "null" or None
        Where the reference line stands, in units of the axis; "null" is the value of no effect.
    limits : tuple of float, optional
        Ends of the horizontal axis, in its units. Default: all effects. An effect beyond them is a triangle
        at the edge, and a note has its value.
    wording : mapping of str to str, optional
        Words for the values of `by`.
    axis_label : str, optional
        Words at the horizontal axis. Default: the measure.

    Returns
    -------
    Chart
        Points, the line that joins them and the line at the tip, in units of the axes. The table of the
        points has the further columns id, group, effect and se (on the scale of the analysis), z (of the
        rank) and shown (the effect as its measure is shown).

    Raises
    ------
    InputError
        If `results` is none of the kinds above, or has moderators.
    TooFewStudiesError
        If there are fewer than two effects.
    NotIdentifiableError
        If all effects are equal, so that there are no limbs.

    References
    ----------
    Furuya-Kanamori, L., Barendregt, J. J., Doi, S. A. R. (2018).
    https://doi.org/10.1097/XEB.0000000000000141
    Schwarzer, G., Rücker, G., Semaca, C. (2024). https://doi.org/10.1002/jrsm.1714

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.02, 0.05, 0.03, 0.08])
    >>> plan = mx.plots.doi_plan(es)
    >>> plan.to_frame().query("layer == 'points'")["z"].round(2).tolist()
    [1.6, -1.07, 0.86, 0.01]
    >>> ax = mx.plots.doi(plan)
    """
    found = results if isinstance(results, LfkIndex) else _index_of(results)
    es, measure, z = found.effects, found.effects.measure, found.scores
    points = [
        in_order(layer, -np.abs(layer.extra["z"]))
        for layer in points_by_group(
            es,
            places_of(measure, es.y),
            np.abs(z),
            5.0 if es.k <= MANY else 2.5,
            groups=groups_of(results, es, by, wording),
            words=words_beside(es, labels),
            extra={
                "effect": es.y.tolist(),
                "se": np.sqrt(es.v).tolist(),
                "z": z.tolist(),
                "shown": back_by_rows(es, es.y).tolist(),
            },
        )
    ]
    ends = robust_limits([], [], es.y.tolist()) if limits is None else given_limits(measure, limits)
    across = ChartAxis(
        label=analysed_words(measure) if axis_label is None else axis_label,
        scale="log" if measure.display_log else "linear",
        limits=(places_of(measure, ends[0]), places_of(measure, ends[1])),
    )
    deepest = 1.05 * float(np.abs(z).max())
    hidden = hidden_note(points)
    points, beyond = kept_in_view(points, across, upright=False, beside=False)
    order = np.lexsort((z, es.y))
    look = get_theme(theme, font_size)
    tip = fixed(float(back_pooled(es, found.tip)), 2)
    chart = Chart(
        legend=legend_beside(space_of(ax, width, height, PANEL)[0], look),
        panels=(
            Panel(
                x=across,
                y=ChartAxis(label="|z| of the rank", limits=(-0.02 * deepest, deepest), inverted=True),
                layers=[
                    *reference_rules(es, reference),
                    Rule(
                        at=places_of(measure, found.tip),
                        name=f"tip, the effect in the middle: {tip}",
                        color="grey",
                        dash="dashed",
                    ),
                    Curve(
                        x=places_of(measure, es.y[order]).tolist(),
                        y=np.abs(z[order]).tolist(),
                        name=f"both limbs (LFK index {number(found.index)})",
                        color="pale",
                        width=0.8,
                    ),
                    *points,
                ],
            ),
        ),
        summary=with_ledger(f"Doi plot of {es.k} effects; LFK index {number(found.index)}.", es.ledger),
        title=title,
        notes=(
            *caution_notes(found),
            *unseen_notes(es),
            *derived_words(es.derived, "circle"),
            *hidden,
            *beyond,
            *notes,
        ),
        width=width,
        height=height or width,
        theme=look,
    )
    return chart if height else chart.with_panels(PANEL)


def _index_of(results: Any) -> LfkIndex:
    """Return the index of a fit, of the overall fit of strata, or of bare effects."""
    es, fit = effects_of(results, "a Doi plot")
    return lfk_index(es if fit is None else fit)


doi = drawn(doi_plan, "Draw a Doi plot.")
