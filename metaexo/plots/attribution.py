"""Attributed heterogeneity: stacked bars of what tau2 goes with, shares with intervals, refusals in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metaexo.errors import InputError
from metaexo.formatting import MISSING, interval, number, p_value, percent, plural
from metaexo.heterogeneity import AttributionResults, Part
from metaexo.plots.arguments import checked, plan_of
from metaexo.plots.attribution_layout import lay_out_attribution
from metaexo.plots.attribution_page import AttributionPlan, AttributionRow, Segment, draw_attribution
from metaexo.plots.furniture import Key
from metaexo.plots.style import INK, PALETTE
from metaexo.plots.wording import settle, title_of, typeset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INTERACTION, COMMON, REST = "#CC79A7", "#595959", "#8c8c8c"
# The second code of the parts, beside their colours: factors in turn, and the other parts.
HATCHES = ("", "////", "xxxx", "++++", "oo", "**")
HATCH_OF = {INTERACTION: "\\\\\\\\", COMMON: "....", REST: "||"}
FACTORS = tuple(colour for colour in PALETTE if colour != INTERACTION)
PARTS = ("Interaction", "Cannot be told apart", "Unexplained")
ORDERS, COMMONALITY, RANDOM = "All orders (Shapley)", "Own and common", "Variance components"
CUT_OFF = (
    "A share that is estimated below 0 or above 100 % is shown as 0 or 100 %, and what is left as "
    "unexplained; the table of the shares has them as estimated."
)
AT_THE_END = "A share outside its interval is shown at the nearer end of it."
DRAWN = (
    "Lines: {level} intervals of {draws} draws from the fitted model, within what is possible. P(zero): "
    "share of the draws not above zero. p: whole studies dealt to labels at random, given the other factors."
)


@checked
def attribution_plan(
    results: AttributionResults | Mapping[str, AttributionResults],
    *,
    verdict: bool = True,
    title: str = "",
    notes: Sequence[str] = (),
    panel_width: float = 260.0,
) -> AttributionPlan:
    """Return what a figure of attributed heterogeneity shows, without drawing it.

    Use it to show how much of tau2 goes with the source, the isolation method, their interaction, with both
    so that they cannot be told apart, and with none. Where an attribution was refused its verdict stands in
    the place of the bars.

    Parameters
    ----------
    results : AttributionResults or mapping of str to AttributionResults
        From :func:`metaexo.attribute_heterogeneity`; a mapping gives several data sets their names.
    verdict : bool
        Whether verdicts of attributions that were not refused are shown too.
    title : str
        Line above.
    notes : sequence of str
        Further lines below.
    panel_width : float
        Width of the panel in points.

    Returns
    -------
    AttributionPlan
        Bars, intervals and words with their places.

    Raises
    ------
    InputError
        If the mapping is empty.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> data = pd.DataFrame({"source": ["plant"] * 3 + ["milk"] * 3, "isolation": ["SEC"] * 3 + ["UC"] * 3})
    >>> found = mx.attribute_heterogeneity(mx.EffectSizes([1, 2, 3, 4, 5, 6], [0.1] * 6, data=data))
    >>> [row.kind for row in mx.plots.attribution_plan(found).rows]
    ['head', 'words', 'bar', 'interval']
    """
    named = results if isinstance(results, Mapping) else {"": results}
    if not named:
        raise InputError("there are no attributions", "at least one")
    for one in named.values():
        if not isinstance(one, AttributionResults):
            raise InputError(
                f"{type(one).__name__} is no attribution",
                "what mx.attribute_heterogeneity(...) returns, or a mapping of names to such results",
            )
    if not all(isinstance(word, str) for word in named):
        raise InputError("a name of an attribution is no text", "a text for each")
    colours = _colours(named.values())
    rows: list[AttributionRow] = []
    for name, result in named.items():
        rows += _block(name, result, colours, verdict)
    used = {part.name: (part.colour, part.hatch) for row in rows for part in row.segments}
    order = [*(title_of(factor) for factor in colours), *PARTS]
    shown = [row for row in rows if row.kind == "interval" and row.low is not None]
    first = next(iter(named.values())).choices
    below = [CUT_OFF] if any(map(_is_cut, named.values())) else []
    if any(map(_is_moved, named.values())):
        below.append(AT_THE_END)
    if shown:
        below.append(DRAWN.format(level=percent(first.level), draws=first.draws))
    keys = [Key(words, used[words][0], "area", hatch=used[words][1]) for words in order if words in used]
    return lay_out_attribution(rows, keys, title, [*below, *notes], panel_width)


@checked
def attribution(
    results: AttributionResults | Mapping[str, AttributionResults] | AttributionPlan,
    ax: Axes | None = None,
    **choices: Any,
) -> Axes:
    """Draw attributed heterogeneity: stacked bars, shares with intervals, refusals in words.

    Parameters
    ----------
    results : AttributionResults, mapping of str to AttributionResults, or AttributionPlan
        What is shown; a plan is drawn as it is.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a figure of the planned size, apart from pyplot.
    **choices
        As for :func:`attribution_plan`.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or the new Axes.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> data = pd.DataFrame({"source": ["plant"] * 3 + ["milk"] * 3, "isolation": ["SEC"] * 3 + ["UC"] * 3})
    >>> found = mx.attribute_heterogeneity(mx.EffectSizes([1, 2, 3, 4, 5, 6], [0.1] * 6, data=data))
    >>> ax = mx.plots.attribution(found)
    """
    plan = plan_of(AttributionPlan, attribution_plan, results, choices)
    return draw_attribution(plan, ax)


def _colours(results: Iterable[AttributionResults]) -> dict[str, str]:
    """Return a colour for each factor, the same in all data sets."""
    factors = dict.fromkeys(factor for result in results for factor in result.factors)
    return {factor: FACTORS[i % len(FACTORS)] for i, factor in enumerate(factors)}


def _block(
    name: str, result: AttributionResults, colours: Mapping[str, str], verdict: bool
) -> list[AttributionRow]:
    """Return the rows of one attribution."""
    table = result.estimability.table
    used = result.used if result.explained is not None else result.effects
    share = "" if used.k == table.k else f"{used.k} of "
    counts = f"{share}{plural(table.k, 'effect')}, {plural(used.m, 'study', 'studies')}"
    rows = [AttributionRow("head", (f"{name} ({counts})" if name else counts,))]
    told = [part for part in result.parts if part.kind == "factor" and part.share is not None]
    if verdict or not told:
        rows.append(AttributionRow("words", (typeset(result.verdict.sentence),)))
    return [*rows, *_bars(result, colours), *_intervals(result, colours, bool(told))]


def _bars(result: AttributionResults, colours: Mapping[str, str]) -> list[AttributionRow]:
    """Return the stacked bars: over all orders, own and common, variance components; or all together."""
    shapley = [p for p in result.parts if p.kind in ("factor", "interaction", "unexplained")]
    if any(p.share is not None for p in shapley if p.kind == "factor"):
        bars = [_bar(ORDERS, result, shapley, [p.share for p in shapley], colours)]
        if len(result.factors) > 1:
            own = [p for p in result.parts if p.kind in ("only", "common", "interaction")]
            own.sort(key=lambda p: ("only", "common", "interaction").index(p.kind))
            own += [p for p in shapley if p.kind == "unexplained"]
            bars.append(_bar(COMMONALITY, result, own, [p.share for p in own], colours))
        if any(p.random_share is not None for p in shapley):
            bars.append(_bar(RANDOM, result, shapley, [p.random_share for p in shapley], colours))
        return bars
    joint = [p for p in result.parts if p.kind in ("together", "unexplained") and p.share is not None]
    joint.sort(key=lambda p: p.kind)
    return [_bar("Together", result, joint, [p.share for p in joint], colours)] if joint else []


def _bar(
    label: str,
    result: AttributionResults,
    parts: Sequence[Part],
    shares: Sequence[float | None],
    colours: Mapping[str, str],
) -> AttributionRow:
    """Return a stacked bar: shares cut off at 0 and 100 per cent, what is left as unexplained."""
    sizes = [0.0 if share is None else min(max(100 * share, 0.0), 100.0) for share in shares]
    explained = sum(size for part, size in zip(parts, sizes, strict=True) if part.kind != "unexplained")
    most = max(explained, 100.0) / 100
    begin, segments = 0.0, []
    for part, cut in zip(parts, sizes, strict=True):
        size = settle((100.0 * most - explained if part.kind == "unexplained" else cut) / most)
        if round(size, 1) == 0:
            continue
        words, colour = _words_and_colour(part, result, colours)
        hatch = HATCH_OF.get(colour) or HATCHES[list(colours.values()).index(colour) % len(HATCHES)]
        segments.append(Segment(words, begin, begin + size, colour, number(size, 0), hatch))
        begin += size
    return AttributionRow("bar", (label,), tuple(segments))


def _is_cut(result: AttributionResults) -> bool:
    """Return whether a share of a part is below zero or above one."""
    shares = [part.share for part in result.parts if part.share is not None]
    return any(not -0.0005 <= share <= 1.0005 for share in shares)


def _is_moved(result: AttributionResults) -> bool:
    drawn = [part for part in result.parts if part.kind in ("factor", "interaction", "together")]
    return any(_inside_interval(part) != _possible(part.share) for part in drawn)


def _possible(share: float | None) -> float | None:
    return None if share is None else min(max(share, 0.0), 1.0)


def _inside_interval(part: Part) -> float | None:
    """Return a share within what is possible and within its interval, which comes from shrunken draws."""
    share = _possible(part.share)
    if share is None or part.low is None or part.high is None:
        return share
    return min(max(share, part.low), part.high)


def _words_and_colour(part: Part, result: AttributionResults, colours: Mapping[str, str]) -> tuple[str, str]:
    """Return what the legend says of a part, and its colour."""
    if part.kind == "interaction":
        return PARTS[0], INTERACTION
    if part.kind == "unexplained":
        return PARTS[2], REST
    if part.kind in ("common", "together"):
        return PARTS[1], COMMON
    factor = next(f for f in result.factors if part.name in (f, f"only {f.replace('_', ' ')}"))
    return title_of(factor), colours[factor]


def _intervals(result: AttributionResults, colours: Mapping[str, str], told: bool) -> list[AttributionRow]:
    """Return a share with its interval for each part that has a test."""
    kinds = ("factor", "interaction") if told else ("together",)
    rows = []
    for part in result.parts:
        if part.kind not in kinds or part.share is None:
            continue
        words, colour = _words_and_colour(part, result, colours)
        label = "All factors together" if part.kind == "together" else words
        rows.append(_interval(label, part, colour if part.kind != "together" else INK))
    return rows


def _interval(label: str, part: Part, colour: str) -> AttributionRow:
    share, low, high = (
        None if x is None else settle(100 * x) for x in (_inside_interval(part), part.low, part.high)
    )
    ends = MISSING if low is None or high is None else interval(round(low), round(high), 0)
    cells = (
        number(None if share is None else round(share), 0),
        ends,
        _chance(part.p_zero),
        MISSING if part.pvalue is None else p_value(part.pvalue).removeprefix("p = ").removeprefix("p "),
    )
    return AttributionRow("interval", (label,), value=share, low=low, high=high, colour=colour, cells=cells)


def _chance(probability: float | None) -> str:
    return "< 0.01" if probability is not None and probability < 0.005 else number(probability)
