"""Copas plots: the adjusted mean and the residual selection bias along the probability of publication."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metaexo.bias import CopasSelection, copas_selection
from metaexo.formatting import level_words, shown
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import Band, Chart, ChartAxis, Curve, Intervals, Layer, Panel, Points, Rule
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import with_ledger
from metaexo.plots.charts.effects import reference_of, shown_pooled, value_axis
from metaexo.plots.forest.rows import caution_notes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

PANEL = 190.0  # points: height of a panel
PUBLISHED = "Probability that the least precise effect is published"


@checked
def copas_plan(
    results: Any,
    *,
    reference: float | Literal["null"] | None = "null",
    limits: tuple[float, float] | None = None,
    axis_label: str | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    """Return what a plot of a Copas selection model shows, without drawing it.

    Use it as the sensitivity analysis that the model is: the mean effect with its interval, the less likely
    it is that the least precise effect is published; there is more selection to the right. Beside it stands
    the p-value of the selection bias that is left: where it is large, no more selection is needed to explain
    the funnel. The numbers are those of :func:`metaexo.bias.copas_selection`, whose cautions are notes; an
    adjusted estimate that is not to be used is not marked.

    Parameters
    ----------
    results : CopasSelection, FitResults or EffectSizes
        What :func:`metaexo.bias.copas_selection` returned, or what it takes.
    reference : float, "null" or None
        Where the reference line stands, on the scale that is shown; "null" is the value of no effect.
    limits : tuple of float, optional
        Ends of the axis of the effect, on the scale that is shown. Default: all intervals but far ones.
    axis_label : str, optional
        Words at the axis of the effect. Default: the measure.

    Returns
    -------
    Chart
        Two panels: the adjusted mean with its interval, and the p-value of the residual selection bias.

    Raises
    ------
    InputError
        If `results` is something else, or a fit with moderators.

    References
    ----------
    Copas, J. B., Shi, J. Q. (2001). A sensitivity analysis for publication bias in systematic reviews.
    Statistical Methods in Medical Research 10, 251-265. https://doi.org/10.1177/096228020101000402

    Schwarzer, G., Carpenter, J., Rücker, G. (2010). Empirical evaluation suggests Copas selection model
    preferable to trim-and-fill method for selection bias in meta-analysis. Journal of Clinical Epidemiology
    63, 282-288. https://doi.org/10.1016/j.jclinepi.2009.05.008

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.effect_sizes("RR", data=mx.load_dataset("bcg"))
    >>> plan = mx.plots.copas_plan(mx.bias.copas_selection(es))
    >>> [panel.y.label for panel in plan.panels]
    ['Risk ratio (log scale)', 'p-value of residual selection bias']
    >>> ax = mx.plots.copas(plan)
    """
    found = results if isinstance(results, CopasSelection) else copas_selection(results)
    es, table = found.effects, found.sensitivity()
    x, p_of_bias = (table[name].tolist() for name in ("publication_probability", "residual_pvalue"))
    middle, low, high = (
        shown_pooled(es, table[name].to_numpy()).tolist() for name in ("estimate", "low", "high")
    )
    chosen = shown_pooled(es, [[found.estimate], [found.low], [found.high]]).tolist()
    at = [found.publication_probability]
    line = reference_of(es, reference)
    upright = value_axis(es, [*middle, *([] if line is None else [line])], [low, high], limits, axis_label)
    across = ChartAxis(label=PUBLISHED, limits=_ends(x), inverted=True)
    means: list[Layer] = [
        Band(x=x, low=low, high=high, name=f"{level_words(found.level)} CI", color="study", alpha=0.2),
        *([] if line is None else [Rule(at=line, axis="y", name=_line_words(reference, line))]),
        Curve(x=x, y=middle, color="study", width=1.6),
        Points(x=x, y=middle, name="mean effect", size=4.0),
    ]
    tests: list[Layer] = [
        Rule(
            at=found.residual_level,
            axis="y",
            name=f"p = {found.residual_level:g}",
            color="grey",
            dash="dashed",
            width=1.0,
        ),
        Curve(x=x, y=p_of_bias, color="study", width=1.6),
        Points(x=x, y=p_of_bias, size=4.0, clip=False),
    ]
    if np.isfinite(found.estimate) and found.usable:
        mark: dict[str, Any] = {"color": "pooled", "shape": "diamond", "size": 9.0, "clip": False}
        means += [
            Intervals(at=at, low=chosen[1], high=chosen[2], across=False, color="pooled", width=1.4),
            Points(x=at, y=chosen[0], name="adjusted estimate", **mark),
        ]
        tests.append(Points(x=at, y=[found.residual_pvalue], **mark))
    chart = Chart(
        panels=(
            Panel(x=across, y=upright, layers=means),
            Panel(
                x=across,
                y=ChartAxis(label="p-value of residual selection bias", limits=(0.0, 1.0)),
                layers=tests,
            ),
        ),
        across=2,
        legend="below",
        summary=with_ledger(found.sentence, es.ledger),
        title=title,
        notes=(found.sentence, *caution_notes(found), *notes),
        width=width,
        height=height or 1.0,
        theme=get_theme(theme, font_size),
    )
    return chart if height else chart.with_panels(PANEL)


def _line_words(reference: object, line: float) -> str:
    """Return the name of the reference line."""
    return "no effect" if reference == "null" else f"reference {shown(line, 2)}"


def _ends(chances: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the axis of the probability, with room for the marks at them."""
    least, most = min(chances), max(chances)
    room = 0.03 * (most - least) or 0.05
    return least - room, most + room


copas = drawn(copas_plan, "Draw the sensitivity analysis of a Copas selection model.")
