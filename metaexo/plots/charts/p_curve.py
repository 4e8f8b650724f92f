"""P-curves: the shares of significant p-values in five bins, beside those that are to be expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo import bias
from metaexo.bias import PCurve
from metaexo.formatting import fixed, interval, level_words, number, percent, plural
from metaexo.models.linear.hypothesis import TestResult
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import Chart, ChartAxis, Curve, Intervals, Layer, Panel, Points, Region, Words
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.scale import tick_labels
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import p_words, with_ledger
from metaexo.plots.forest.rows import caution_notes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

PANEL = 210.0  # points: height of the panel
TOP = 109.0  # per cent: with room for the words above a bar of 100
TALL = 2.5  # per cent: the marks of single p-values
APART = (4.0, -4.5, 9.0)  # per cent: from a point to its words, the first of these that no line crosses


@checked
def p_curve_plan(
    results: Any,
    *,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    """Return what a plot of a p-curve shows, without drawing it.

    Use it to see whether significant p-values look like those of a true effect. Bars that fall from the left
    do; equal bars are those of no effect, and bars that rise to the right suggest that analyses were chosen
    by their results. Tests and numbers are those of :func:`metaexo.bias.p_curve`.

    Parameters
    ----------
    results : PCurve, FitResults or EffectSizes
        What :func:`metaexo.bias.p_curve` returned, or what it takes; its choices are then the default ones.

    Returns
    -------
    Chart
        A bar per bin with the share of the significant p-values in per cent, a short line per p-value, and
        the shares expected without an effect and with a power of 33%.

    Raises
    ------
    InputError
        If `results` is something else, or a fit with moderators.

    References
    ----------
    Simonsohn, U., Nelson, L. D., Simmons, J. P. (2014). P-curve: A key to the file-drawer. Journal of
    Experimental Psychology: General 143, 534-547. https://doi.org/10.1037/a0033242

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.62, 0.71, 0.48, 0.45, 0.1], [0.05, 0.04, 0.03, 0.04, 0.04])
    >>> plan = mx.plots.p_curve_plan(mx.bias.p_curve(es))
    >>> plan.to_frame().query("name == 'observed' and layer == 'points'")["y"].tolist()
    [75.0, 0.0, 25.0, 0.0, 0.0]
    >>> ax = mx.plots.p_curve(plan)
    """
    found = results if isinstance(results, PCurve) else bias.p_curve(results)
    edges, middle = found.edges, (found.edges[:-1] + found.edges[1:]) / 2
    share = 100 * found.observed
    layers: list[Layer] = []
    if found.k_significant:
        layers += [
            Region(corners=[(a, 0.0), (a, high), (b, high), (b, 0.0)], color="track")
            for a, b, high in zip(edges[:-1], edges[1:], share, strict=True)
        ]
        layers.append(
            Intervals(
                at=found.pvalues.tolist(),
                low=[0.0] * found.k_significant,
                high=[TALL] * found.k_significant,
                name="p-value of an effect",
                labels=found.labels,
                across=False,
                color="ink",
                width=0.8,
            )
        )
    x, y = middle.tolist(), share.tolist()
    null, low_power = (100 * one for one in (found.expected_null, found.expected_low_power))
    layers += [
        Curve(x=x, y=null.tolist(), name="expected without an effect", dash="dotted", width=1.4),
        Curve(
            x=x, y=low_power.tolist(), name="expected with a power of 33%", color=1, dash="dashed", width=1.4
        ),
    ]
    if found.k_significant:
        layers += [
            Curve(x=x, y=y, color="study", width=1.6),
            Points(x=x, y=y, name="observed", size=6.0, clip=False),
            *(
                Words(x=at, y=_free(high, lines), text=f"{fixed(high, 0)}%", align="center", color="ink")
                for at, high, *lines in zip(x, y, null.tolist(), low_power.tolist(), strict=True)
            ),
        ]
    ends = edges.tolist()
    chart = Chart(
        panels=(
            Panel(
                x=ChartAxis(
                    label="Two-sided p-value",
                    limits=(0.0, ends[-1]),
                    ticks=list(zip(ends, tick_labels([float(f"{x:.10g}") for x in ends]), strict=True)),
                ),
                y=ChartAxis(
                    label="Share of significant p-values (%)",
                    limits=(0.0, TOP),
                    ticks=[(float(x), str(x)) for x in range(0, 101, 20)],
                ),
                layers=layers,
            ),
        ),
        legend="below",
        summary=with_ledger(found.sentence, found.effects.ledger),
        title=title,
        notes=(*_notes(found), *caution_notes(found), *notes),
        width=width,
        height=height or 1.0,
        theme=get_theme(theme, font_size),
    )
    return chart if height else chart.with_panels(PANEL)


def _free(high: float, lines: Sequence[float]) -> float:
    """Return the height of the words of a point, above or below it, where no expected share is near."""
    places = [high + apart for apart in APART if high + apart > 2 * TALL]
    return next((at for at in places if min(abs(at - line) for line in lines) > 3.0), places[-1])


def _notes(found: PCurve) -> list[str]:
    """Return how many p-values are shown, and the tests in words."""
    level, effects = number(found.significance, 2), plural(found.k, "effect")
    side = {"greater": "above", "less": "below"}[found.alternative]
    counts = f"{found.k_significant} of {effects} {side} no effect with a two-sided p below {level}"
    if not found.k_significant:
        return [f"{counts}: there is no curve."]
    power = interval(100 * found.power_low, 100 * found.power_high, 0)
    skew = _tests(found.right_skew, found.right_skew_half, found.right_skew_binomial)
    flat = _tests(found.flatness, found.flatness_half, found.flatness_binomial)
    return [
        f"{counts}; estimated power {percent(found.power)} ({level_words(found.level)} CI {power}%).",
        f"Right skew, evidence of an effect: {skew}.",
        f"Flatter than with a power of 33%: {flat}.",
    ]


def _tests(full: TestResult, half: TestResult, binomial: float) -> str:
    """Return the tests of all p-values, of the lower half, and of its share."""
    said = [
        f"{name} z = {number(one.statistic)}, {p_words(one.pvalue)}" if np.isfinite(one.statistic) else ""
        for name, one in (("full curve", full), ("half curve", half))
    ]
    return "; ".join([*filter(None, said), f"share below half the level {p_words(binomial)}"])


p_curve = drawn(p_curve_plan, "Draw a p-curve.")
