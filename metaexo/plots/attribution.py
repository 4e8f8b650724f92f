"""Attributed heterogeneity: stacked bars of shares of tau2 with intervals, and refusals in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from metaexo.errors import InputError
from metaexo.formatting import MISSING, interval, level_words, number, p_value, plural, ten_digits
from metaexo.heterogeneity import AttributionResults, Part
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.figure import Plan, drawing, surround
from metaexo.plots.canvas.fonts import (
    FAINT,
    GREY,
    INK,
    LINE_HEIGHT,
    MARGIN,
    PALE,
    PALETTE,
    SMALL_SIZE,
    WHITE,
    text_on,
    text_width,
    wrap_to_width,
)
from metaexo.plots.canvas.page import (
    COLUMN_GAP,
    Dot,
    Item,
    Key,
    Line,
    Page,
    Panel,
    Text,
    Ticks,
    axis_height,
    axis_label,
    column_headings,
    lines_of_text,
    make_page,
    mark_at_the_edge,
    middle,
    panel_of,
    rectangle,
    snap,
    text_columns,
    ticks_of,
)
from metaexo.plots.canvas.scale import Axis, Tick, linear_ticks
from metaexo.plots.canvas.words import title_of, typeset

if TYPE_CHECKING:
    import pandas as pd

INTERACTION, COMMON, REST = "#CC79A7", "#595959", "#8c8c8c"
# The second code of the parts, beside their colours: factors in turn, and the other parts.
HATCHES = ("", "////", "xxxx", "++++", "oo", "**")
HATCH_OF = {INTERACTION: "\\\\\\\\", COMMON: "....", REST: "||"}
FACTORS = tuple(color for color in PALETTE if color != INTERACTION)
PARTS = ("Interaction", "Confounded", "Unexplained")
ORDERS, COMMONALITY, RANDOM = "All orders (Shapley)", "Own and common", "Variance components"
CUT_OFF = (
    "A share that is estimated below 0 or above 100% is shown as 0 or 100%, and what is left as "
    "unexplained; the table of the shares has them as estimated."
)
AT_THE_END = "A share outside its interval is shown at the nearer end of it."
DRAWN = (
    "Lines: {level} intervals of {draws} draws from the fitted model, within what is possible. P(zero): "
    "share of the draws not above zero. p: permutations of whole studies, given the other factors."
)
ROW, HEAD, BLOCK_GAP, BAR, DOT = 15.0, 16.0, 8.0, 11.0, 5.0
WORDS_ALONE = 430.0
TITLES = ("Share", "Interval", "P(zero)", "p")
TICKS = (0, 25, 50, 75, 100)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a stacked bar: its name, its ends in per cent, its colour and hatch, its number."""

    name: str
    begin: float
    end: float
    color: str
    text: str = ""
    hatch: str = ""


@dataclass(frozen=True, slots=True)
class AttributionRow:
    """A row of the figure: a name of data, a verdict, a stacked bar, or a share with its interval.

    Shares are in per cent; `cells` are the texts on the right; y is the middle of the row, in points.
    """

    kind: Literal["head", "words", "bar", "interval"]
    label: tuple[str, ...]
    segments: tuple[Segment, ...] = ()
    value: float | None = None
    low: float | None = None
    high: float | None = None
    color: str = INK
    cells: tuple[str, ...] = ()
    y: float = 0.0
    height: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionPlan(Plan):
    """What a figure of attributed heterogeneity shows, with its places in points from the upper left corner.

    Attributes
    ----------
    rows : tuple of AttributionRow
        Rows from top to bottom.
    columns : tuple of (str, float)
        Headings of the columns on the right, and their right edges.
    axis, panel : Axis, Panel
        The axis in per cent of tau2, and where it stands.
    """

    rows: tuple[AttributionRow, ...]
    columns: tuple[tuple[str, float], ...]
    axis: Axis
    panel: Panel

    def to_frame(self) -> pd.DataFrame:
        """Return one row per segment or interval: data, row, part, begin, end, value, low, high (%)."""
        import pandas as pd

        found: list[tuple[object, ...]] = []
        data = ""
        for row in self.rows:
            label = " ".join(row.label)
            data = label if row.kind == "head" else data
            found += [
                (data, label, s.name, s.begin, s.end, s.end - s.begin, None, None) for s in row.segments
            ]
            if row.kind == "interval":
                found.append((data, "interval", label, None, None, row.value, row.low, row.high))
        columns = ["data", "row", "part", "begin", "end", "value", "low", "high"]
        return pd.DataFrame(found, columns=columns)


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

    Use it to show how much of tau2 is associated with the source, the isolation method, their interaction,
    with both so that they are confounded, and with none. Where an attribution was refused its verdict
    stands in the place of the bars.

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
    >>> ax = mx.plots.attribution(found)
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
    colors = _colors(named.values())
    rows: list[AttributionRow] = []
    for name, result in named.items():
        rows += _block(name, result, colors, verdict)
    used = {part.name: (part.color, part.hatch) for row in rows for part in row.segments}
    order = [*(title_of(factor) for factor in colors), *PARTS]
    shown = [row for row in rows if row.kind == "interval" and row.low is not None]
    first = next(iter(named.values())).choices
    below = [CUT_OFF] if any(map(_is_cut, named.values())) else []
    if any(map(_is_moved, named.values())):
        below.append(AT_THE_END)
    if shown:
        below.append(DRAWN.format(level=level_words(first.level), draws=first.draws))
    keys = [Key(words, used[words][0], "area", hatch=used[words][1]) for words in order if words in used]
    return _laid_out(rows, keys, title, [*below, *notes], panel_width)


def _colors(results: Iterable[AttributionResults]) -> dict[str, str]:
    """Return a colour for each factor, the same in all data sets."""
    factors = dict.fromkeys(factor for result in results for factor in result.by)
    return {factor: FACTORS[i % len(FACTORS)] for i, factor in enumerate(factors)}


def _block(
    name: str, result: AttributionResults, colors: Mapping[str, str], verdict: bool
) -> list[AttributionRow]:
    """Return the rows of one attribution."""
    table = result.estimability.table
    used = result.used if result.explained is not None else result.effects
    share = "" if used.k == table.k else f"{used.k} of "
    counts = f"{share}{plural(table.k, 'effect')}, {plural(used.m, 'study', 'studies')}"
    rows = [AttributionRow("head", (f"{name} ({counts})" if name else counts,))]
    said = [part for part in result.parts if part.kind == "factor" and part.share is not None]
    if verdict or not said:
        rows.append(AttributionRow("words", (typeset(result.verdict.sentence),)))
    return [*rows, *_bars(result, colors), *_intervals(result, colors, bool(said))]


def _bars(result: AttributionResults, colors: Mapping[str, str]) -> list[AttributionRow]:
    """Return the stacked bars: over all orders, own and common, variance components; or all together."""
    shapley = [p for p in result.parts if p.kind in ("factor", "interaction", "unexplained")]
    if any(p.share is not None for p in shapley if p.kind == "factor"):
        bars = [_bar(ORDERS, result, shapley, [p.share for p in shapley], colors)]
        if len(result.by) > 1:
            own = [p for p in result.parts if p.kind in ("only", "common", "interaction")]
            own.sort(key=lambda p: ("only", "common", "interaction").index(p.kind))
            own += [p for p in shapley if p.kind == "unexplained"]
            bars.append(_bar(COMMONALITY, result, own, [p.share for p in own], colors))
        if any(p.random_share is not None for p in shapley):
            bars.append(_bar(RANDOM, result, shapley, [p.random_share for p in shapley], colors))
        return bars
    joint = [p for p in result.parts if p.kind in ("together", "unexplained") and p.share is not None]
    joint.sort(key=lambda p: p.kind)
    return [_bar("Together", result, joint, [p.share for p in joint], colors)] if joint else []


def _bar(
    label: str,
    result: AttributionResults,
    parts: Sequence[Part],
    shares: Sequence[float | None],
    colors: Mapping[str, str],
) -> AttributionRow:
    """Return a stacked bar: shares cut off at 0 and 100 per cent, what is left as unexplained."""
    sizes = [0.0 if share is None else min(max(100 * share, 0.0), 100.0) for share in shares]
    explained = sum(size for part, size in zip(parts, sizes, strict=True) if part.kind != "unexplained")
    most = max(explained, 100.0) / 100
    begin, segments = 0.0, []
    for part, cut in zip(parts, sizes, strict=True):
        size = ten_digits((100.0 * most - explained if part.kind == "unexplained" else cut) / most)
        if round(size, 1) == 0:
            continue
        words, color = _words_and_color(part, result, colors)
        hatch = HATCH_OF.get(color) or HATCHES[list(colors.values()).index(color) % len(HATCHES)]
        segments.append(Segment(words, begin, begin + size, color, number(size, 0), hatch))
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


def _words_and_color(part: Part, result: AttributionResults, colors: Mapping[str, str]) -> tuple[str, str]:
    """Return what the legend says of a part, and its colour."""
    if part.kind == "interaction":
        return PARTS[0], INTERACTION
    if part.kind == "unexplained":
        return PARTS[2], REST
    if part.kind in ("common", "together"):
        return PARTS[1], COMMON
    factor = next(f for f in result.by if part.name in (f, f"only {f.replace('_', ' ')}"))
    return title_of(factor), colors[factor]


def _intervals(result: AttributionResults, colors: Mapping[str, str], said: bool) -> list[AttributionRow]:
    """Return a share with its interval for each part that has a test."""
    kinds = ("factor", "interaction") if said else ("together",)
    rows = []
    for part in result.parts:
        if part.kind not in kinds or part.share is None:
            continue
        words, color = _words_and_color(part, result, colors)
        label = "All factors together" if part.kind == "together" else words
        rows.append(_interval(label, part, color if part.kind != "together" else INK))
    return rows


def _interval(label: str, part: Part, color: str) -> AttributionRow:
    share, low, high = (
        None if x is None else ten_digits(100 * x) for x in (_inside_interval(part), part.low, part.high)
    )
    ends = MISSING if low is None or high is None else interval(round(low), round(high), 0)
    cells = (
        number(None if share is None else round(share), 0),
        ends,
        _chance(part.p_zero),
        MISSING if part.pvalue is None else p_value(part.pvalue).removeprefix("p = ").removeprefix("p "),
    )
    return AttributionRow("interval", (label,), value=share, low=low, high=high, color=color, cells=cells)


def _chance(probability: float | None) -> str:
    return "< 0.01" if probability is not None and probability < 0.005 else number(probability)


def _laid_out(
    rows: Sequence[AttributionRow], keys: Sequence[Key], title: str, notes: Sequence[str], panel_width: float
) -> AttributionPlan:
    """Return the plan of rows that stand below each other, each at its place."""
    numbers = [row for row in rows if row.kind in ("bar", "interval")]
    labels = [text_width(line) for row in numbers for line in row.label]
    left = MARGIN + math.ceil(max(labels, default=0.0)) + COLUMN_GAP
    right = left + panel_width
    cells = [[row.cells[i] for row in rows if row.cells] for i in range(len(TITLES))]
    columns = text_columns(TITLES, cells, right)
    edge = (columns[-1][1] if columns else right) if numbers else MARGIN + WORDS_ALONE
    around = surround(title, keys, notes, float(math.ceil(edge + MARGIN)))
    top = math.ceil(around.top + (LINE_HEIGHT + 4.0 if columns else 4.0))
    placed, bottom = _placed(rows, top, around.width)
    ticks = tuple(Tick(float(tick), f"{tick}") for tick in TICKS)
    axis = Axis(0.0, 100.0, ticks, 0.0, "Share of the between-study variance τ² (%)")
    return AttributionPlan(
        **around.closed(bottom + (axis_height(axis, panel_width) if numbers else 4.0)),
        rows=placed,
        columns=columns,
        axis=axis,
        panel=panel_of(axis, left, right, top, bottom),
    )


def _placed(
    rows: Sequence[AttributionRow], top: float, width: float
) -> tuple[tuple[AttributionRow, ...], float]:
    """Return the rows at their places, and where the last one ends."""
    placed, y = [], float(top)
    for i, row in enumerate(rows):
        label = row.label
        if row.kind == "words":
            label = tuple(
                line for text in label for line in wrap_to_width(text, width - 2 * MARGIN, SMALL_SIZE)
            )
            height = len(label) * 1.3 * SMALL_SIZE + 5.0
        elif row.kind == "head":
            y += BLOCK_GAP if i else 2.0
            height = HEAD
        else:
            height = max(ROW, len(label) * LINE_HEIGHT + 3.0)
        placed.append(replace(row, label=label, y=snap(y + height / 2), height=snap(height)))
        y += height
    return tuple(placed), y + 3.0


def _at_limits(plan: AttributionPlan, low: float, high: float, *_: float) -> AttributionPlan:
    """Return the plan with other ends of the axis."""
    axis = replace(plan.axis, low=low, high=high, ticks=linear_ticks(low, high))
    return replace(plan, axis=axis, panel=replace(plan.panel, x_low=low, x_high=high))


def attribution_page(plan: AttributionPlan) -> Page:
    """Return the page of a plan."""
    panel, edge = plan.panel, plan.width - MARGIN
    items = plan.items_above() + column_headings(plan.columns, panel)
    items.append(Line(((MARGIN, panel.top), (edge, panel.top))))
    for row in plan.rows:
        items += _row_items(plan, row, edge)
    ticks: Ticks = ()
    if any(row.kind in ("bar", "interval") for row in plan.rows):
        items += axis_label(plan.axis, panel, panel.bottom)
        ticks = ticks_of(plan.axis)
    return make_page(plan.width, plan.height, items + plan.items_below(), panel, ticks)


def _row_items(plan: AttributionPlan, row: AttributionRow, edge: float) -> list[Item]:
    if row.kind == "words":
        step = 1.3 * SMALL_SIZE
        return list(lines_of_text(MARGIN, row.y, row.label, step, size=SMALL_SIZE, color=GREY))
    if row.kind == "head":
        return list(lines_of_text(MARGIN, row.y, row.label, bold=True))
    zero = plan.panel.x(min(max(0.0, plan.axis.low), plan.axis.high))
    top, bottom = row.y - row.height / 2, row.y + row.height / 2
    items: list[Item] = [
        Line(((MARGIN, bottom), (edge, bottom)), 0.25, FAINT),
        Line(((zero, top), (zero, bottom)), 0.8, PALE),
        *lines_of_text(MARGIN, row.y, row.label),
    ]
    for text, (_, right) in zip(row.cells, plan.columns, strict=False):
        items.append(Text(right, middle(row.y), text, align="right"))
    return items + (_bar_items(plan, row) if row.kind == "bar" else _interval_items(plan, row))


def _bar_items(plan: AttributionPlan, row: AttributionRow) -> list[Item]:
    items: list[Item] = []
    low, high = plan.axis.low, plan.axis.high
    top, bottom = row.y - BAR / 2, row.y + BAR / 2
    for part in row.segments:
        if part.end <= low or part.begin >= high:
            continue
        left, right = plan.panel.x(max(part.begin, low)), plan.panel.x(min(part.end, high))
        items.append(rectangle(left, top, right, bottom, part.color, WHITE, 0.6, part.hatch))
        half = text_width(part.text, SMALL_SIZE) / 2 + 1.5
        if right - left >= 2 * half + 2.0:
            x, ink = (left + right) / 2, text_on(part.color)
            if part.hatch:
                items.append(rectangle(x - half, top + 1, x + half, bottom - 1, part.color))
            baseline = middle(row.y, SMALL_SIZE)
            items.append(Text(x, baseline, part.text, SMALL_SIZE, color=ink, align="center"))
    return items


def _interval_items(plan: AttributionPlan, row: AttributionRow) -> list[Item]:
    items: list[Item] = []
    axis, panel = plan.axis, plan.panel
    if row.low is not None and row.high is not None and row.low <= axis.high and row.high >= axis.low:
        ends = panel.x(max(row.low, axis.low)), panel.x(min(row.high, axis.high))
        items.append(Line(((ends[0], row.y), (ends[1], row.y)), 1.2, row.color))
    if row.value is None:
        return items
    if axis.low <= row.value <= axis.high:
        items.append(Dot(panel.x(row.value), row.y, "circle", DOT, row.color, WHITE, 0.5))
    else:  # the value stands in the column on the right
        items.append(mark_at_the_edge(panel, row.value < axis.low, row.y, DOT, row.color))
    return items


attribution = drawing(
    attribution_plan,
    AttributionPlan,
    attribution_page,
    "Draw attributed heterogeneity: stacked bars, shares with intervals, refusals in words.",
    at_limits=_at_limits,
)
