"""Attributed heterogeneity: stacked bars of shares of tau2 with intervals, and refusals in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metaexo.errors import InputError
from metaexo.formatting import MISSING, level_words, number, plural, ten_digits
from metaexo.heterogeneity import AttributionResults, Part
from metaexo.plots.canvas.arguments import Column, checked
from metaexo.plots.canvas.legend import Key
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.theme import Color, Theme, get_theme
from metaexo.plots.canvas.words import p_words, title_of, typeset
from metaexo.plots.table.layout import lay_out
from metaexo.plots.table.plan import TablePlan
from metaexo.plots.table.rows import ESTIMATE, LABEL, AxisSpec, Mark, Row, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

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
BAR, DOT, BAR_ROW = 11.0, 5.0, 13.0
ZERO, CHANCE = "p_zero", "p"


@dataclass(frozen=True, slots=True)
class _Sign:
    """What the legend says of a part, its colour, and the hatch beside it."""

    words: str
    color: Color
    hatch: str


INTERACTION = _Sign("Interaction", 3, "\\\\\\\\")
COMMON = _Sign("Confounded", "grey", "....")
REST = _Sign("Unexplained", "pale", "||")
FACTORS: tuple[tuple[Color, str], ...] = (
    (0, ""), (1, "////"), (2, "xxxx"), (4, "++++"), (5, "oo"), (6, "**"),
)  # fmt: skip


@checked
def attribution_plan(
    results: AttributionResults | Mapping[str, AttributionResults],
    *,
    verdict: bool = True,
    row_height: float | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> TablePlan:
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
    row_height : float, optional
        Height of a row of one line, in points.

    Returns
    -------
    TablePlan
        Bars, intervals and words with their places, shares in per cent. The estimate of a part of a bar is
        its length; the name of its data is in the column data of the table.

    Raises
    ------
    InputError
        If the mapping is empty.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> data = pd.DataFrame({"source": ["plant"] * 3 + ["milk"] * 3, "isolation": ["SEC"] * 3 + ["UC"] * 3})
    >>> found = mx.attribute_heterogeneity(mx.EffectSizes([1, 2, 3, 4, 5, 6], [0.1] * 6, data=data))
    >>> [row.id.partition(":")[0] for row in mx.plots.attribution_plan(found).rows]
    ['head', 'verdict', 'bar', 'share']
    >>> ax = mx.plots.attribution(found)
    """
    named = results if isinstance(results, Mapping) else {"": results}
    _check(named)
    look, signs = get_theme(theme, font_size), _signs(named.values())
    rows: list[Row] = []
    for name, result in named.items():
        if rows:
            rows.append(Row(id=f"spacer:{name}", kind="spacer"))
        rows += _block(name, result, signs, verdict, look)
    marks = [mark for row in rows for mark in row.marks if mark.shape == "fill"]
    used = {
        mark.name: Key(label=mark.name, color=mark.color, shape="area", hatch=mark.hatch)
        for mark in marks
        if mark.color is not None
    }
    order = [*(sign.words for sign in signs.values()), INTERACTION.words, COMMON.words, REST.words]
    with_shares = any(ESTIMATE in row.cells for row in rows)
    first = next(iter(named.values())).choices
    level = level_words(first.level)
    below = [CUT_OFF] if any(map(_is_cut, named.values())) else []
    if any(map(_is_moved, named.values())):
        below.append(AT_THE_END)
    if any(row.mark is not None and row.mark.low is not None and ESTIMATE in row.cells for row in rows):
        below.append(DRAWN.format(level=level, draws=first.draws))
    columns = (
        Column(LABEL, letters=200),
        Column(ESTIMATE, f"Share (%)\n{level} interval", "estimate", side="right"),
        Column(ZERO, "P(zero)", "number", side="right"),
        Column(CHANCE, look.p_style[0], "number", side="right"),
    )
    made = Table(
        rows=tuple(rows),
        columns=columns if with_shares else (),
        axis=AxisSpec(
            label="Share of the between-study variance τ² (%)",
            limits=(0.0, 100.0),
            ticks=(0, 25, 50, 75, 100),
            reference=0.0,
        ),
        theme=look,
        keys=tuple(used[words] for words in order if words in used),
        title=title,
        notes=(*below, *notes),
        row_height=row_height,
        summary=f"Attributed heterogeneity of {plural(len(named), 'data set')}.",
    )
    return lay_out(made, width, height, ax)


def _check(named: Mapping[str, object]) -> None:
    """Refuse what are no attributions with names."""
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


def _signs(results: Iterable[AttributionResults]) -> dict[str, _Sign]:
    """Return a sign for each factor, the same in all data sets."""
    factors = dict.fromkeys(factor for result in results for factor in result.by)
    return {factor: _Sign(title_of(factor), *FACTORS[i % len(FACTORS)]) for i, factor in enumerate(factors)}


def _block(
    name: str, result: AttributionResults, signs: Mapping[str, _Sign], verdict: bool, theme: Theme
) -> list[Row]:
    """Return the rows of one attribution."""
    table = result.estimability.table
    used = result.used if result.explained is not None else result.effects
    share = "" if used.k == table.k else f"{used.k} of "
    counts = f"{share}{plural(table.k, 'effect')}, {plural(used.m, 'study', 'studies')}"
    head, extra = f"{name} ({counts})" if name else counts, {"data": name}
    rows = [Row(id=f"head:{name}", kind="head", text=(head,), wide=True, extra=extra)]
    said = [part for part in result.parts if part.kind == "factor" and part.share is not None]
    if verdict or not said:
        words = typeset(result.verdict.sentence)
        rows.append(Row(id=f"verdict:{name}", kind="note", text=(words,), wide=True, extra=extra))
    rows += [
        Row(
            id=f"bar:{name}:{label}",
            kind="study",
            cells={LABEL: (label,)},
            marks=_bar(result, pairs, signs),
            ruled=True,
            height=BAR_ROW,
            extra=extra,
        )
        for label, pairs in _bars(result)
    ]
    kinds = ("factor", "interaction") if said else ("together",)
    rows += [
        _interval(name, part, _sign(part, result, signs), theme)
        for part in result.parts
        if part.kind in kinds and part.share is not None
    ]
    return rows


def _bars(result: AttributionResults) -> list[tuple[str, list[tuple[Part, float | None]]]]:
    """Return the stacked bars: over all orders, own and common, variance components; or all together."""
    shapley = [p for p in result.parts if p.kind in ("factor", "interaction", "unexplained")]
    if any(p.share is not None for p in shapley if p.kind == "factor"):
        bars = [(ORDERS, [(p, p.share) for p in shapley])]
        if len(result.by) > 1:
            kinds = ("only", "common", "interaction")
            own = sorted((p for p in result.parts if p.kind in kinds), key=lambda p: kinds.index(p.kind))
            own += [p for p in shapley if p.kind == "unexplained"]
            bars.append((COMMONALITY, [(p, p.share) for p in own]))
        if any(p.random_share is not None for p in shapley):
            bars.append((RANDOM, [(p, p.random_share) for p in shapley]))
        return bars
    joint = [p for p in result.parts if p.kind in ("together", "unexplained") and p.share is not None]
    joint.sort(key=lambda p: p.kind)
    return [("Together", [(p, p.share) for p in joint])] if joint else []


def _bar(
    result: AttributionResults, pairs: Sequence[tuple[Part, float | None]], signs: Mapping[str, _Sign]
) -> tuple[Mark, ...]:
    """Return a stacked bar: shares cut off at 0 and 100 per cent, what is left as unexplained."""
    sizes = [0.0 if share is None else min(max(100 * share, 0.0), 100.0) for _, share in pairs]
    explained = sum(size for (part, _), size in zip(pairs, sizes, strict=True) if part.kind != "unexplained")
    most = max(explained, 100.0) / 100
    begin, marks = 0.0, []
    for (part, _), cut in zip(pairs, sizes, strict=True):
        size = ten_digits((100.0 * most - explained if part.kind == "unexplained" else cut) / most)
        if round(size, 1) == 0:
            continue
        sign = _sign(part, result, signs)
        marks.append(
            Mark(
                shape="fill",
                estimate=size,
                low=begin,
                high=begin + size,
                size=BAR,
                color=sign.color,
                hatch=sign.hatch,
                name=sign.words,
                text=number(size, 0),
            )
        )
        begin += size
    return tuple(marks)


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


def _sign(part: Part, result: AttributionResults, signs: Mapping[str, _Sign]) -> _Sign:
    """Return how a part is shown."""
    if part.kind == "interaction":
        return INTERACTION
    if part.kind == "unexplained":
        return REST
    if part.kind in ("common", "together"):
        return COMMON
    return signs[next(f for f in result.by if part.name in (f, f"only {f.replace('_', ' ')}"))]


def _interval(data: str, part: Part, sign: _Sign, theme: Theme) -> Row:
    """Return the row of a part that has a test: its share with the interval."""
    together = part.kind == "together"
    label = "All factors together" if together else sign.words
    share, low, high = (
        None if x is None else ten_digits(100 * x) for x in (_inside_interval(part), part.low, part.high)
    )
    shown = number(None if share is None else round(share), 0)
    if low is None or high is None:
        pieces: tuple[str, ...] = (shown, "", "")
    else:
        opens, between, closes = theme.brackets
        pieces = (shown, f"{opens}{round(low)}{between}".rstrip(), f"{round(high)}{closes}")
    cells = {
        LABEL: (label,),
        ESTIMATE: pieces,
        ZERO: (_chance(part.p_zero, theme),),
        CHANCE: (_p(part.pvalue, theme),),
    }
    mark = Mark(
        shape="circle",
        estimate=share,
        low=low,
        high=high,
        size=DOT,
        color="ink" if together else sign.color,
        name=label,
    )
    return Row(
        id=f"share:{data}:{label}",
        kind="study",
        cells=cells,
        marks=(mark,),
        ruled=True,
        extra={"data": data},
    )


def _chance(probability: float | None, theme: Theme) -> str:
    small = probability is not None and probability < 0.005
    return ("< 0.01" if small else number(probability)).replace(".", theme.point)


def _p(pvalue: float | None, theme: Theme) -> str:
    """Return a p-value in the style of the theme, without the letter."""
    if pvalue is None:
        return MISSING
    return p_words(pvalue, theme.p_style)[2:].removeprefix("= ").replace(".", theme.point)


attribution = drawn(
    attribution_plan, "Draw attributed heterogeneity: stacked bars, shares with intervals, refusals in words."
)
