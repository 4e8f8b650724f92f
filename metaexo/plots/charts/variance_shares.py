"""Shares of the variance of true effects by random term, of one model or of several side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from metaexo.errors import InputError
from metaexo.formatting import level_words, percent
from metaexo.inputs import describe
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import (
    Chart,
    ChartAxis,
    Intervals,
    Layer,
    Panel,
    Points,
    Region,
    Rule,
    Words,
    group_sign,
)
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.theme import Theme, get_theme

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

HALF_BAR = 0.33  # half the height of a bar, in rows
LEAST_LABELLED = 0.085  # a share that has room for its number
SPREAD = 0.62  # part of a row that the intervals of one model take
AXIS = "Share of the variance (%)"


@checked
def variance_shares_plan(
    results: Any,
    *,
    intervals: bool = True,
    level: float | None = None,
    wording: Mapping[str, str] | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    r"""Return what a plot of the shares of random terms shows, without drawing it.

    Use it to say how the variance of true effects, sampling error aside, is divided among random terms such
    as source, isolation method and laboratory, in several outcomes at once. A share is
    :math:`\tau^2_j / \sum_i \tau^2_i`. Bars on the left add up to 100%; on the right each share has its
    interval.

    Parameters
    ----------
    results : MultilevelResults or mapping of str to MultilevelResults
        A fit, or several fits by their names; each is a row. Terms of one name have one colour.
    intervals : bool
        Whether there is a panel with intervals.
    level : float, optional
        Level of the intervals. Default: that of the fits.
    wording : mapping of str to str, optional
        Words to be shown for the names of components.

    Returns
    -------
    Chart
        A row per fit: a bar whose parts are the shares, with numbers where there is room, and beside it a
        mark and an interval per share.

    Raises
    ------
    InputError
        If there is no multilevel fit, or one without variance between effects.

    References
    ----------
    Nakagawa, S., Santos, E. S. A. (2012). Methodological issues and advances in biological meta-analysis.
    Evolutionary Ecology 26, 1253-1274. https://doi.org/10.1007/s10682-012-9555-5

    Examples
    --------
    >>> import metaexo as mx
    >>> table = mx.load_dataset("school_calendars")
    >>> schools = mx.EffectSizes(table["y"], table["v"], data=table)
    >>> fit = mx.Multilevel(schools, "district/school").fit()
    >>> plan = mx.plots.variance_shares_plan({"Schools": fit})
    >>> plan.to_frame().query("layer == 'points'")[["name", "x"]].round(1).values.tolist()
    [['district', 66.5], ['district/school', 33.5]]
    >>> ax = mx.plots.variance_shares(plan)
    """
    tables = {name: _shares(fit, intervals, level) for name, fit in _fits(results).items()}
    look = get_theme(theme, font_size)
    terms = list(dict.fromkeys(str(term) for table in tables.values() for term in table.index))
    words = {term: (wording or {}).get(term, term) for term in terms}
    y_axis = ChartAxis(
        limits=(-0.6, len(tables) - 0.4),
        inverted=True,
        ticks=[(float(i), name) for i, name in enumerate(tables)],
    )
    scale = ChartAxis(label=AXIS, limits=(0.0, 100.0), ticks=[(x, f"{x:.0f}") for x in (0, 25, 50, 75, 100)])
    bars = Panel(x=scale, y=y_axis, layers=_bars(tables, terms, words, look))
    panels = [replace(bars, heading="All terms") if intervals else bars]
    said = []
    if intervals:
        blank = ChartAxis(
            limits=y_axis.limits, inverted=True, ticks=[(float(i), "") for i in range(len(tables))]
        )
        marks = _marks(tables, terms, words)
        panels.append(Panel(x=scale, y=blank, layers=marks, heading="Each term, with its interval"))
        levels = dict.fromkeys(level_words(table.attrs["level"]) for table in tables.values())
        said.append(f"Lines: {', '.join(levels)} profile-likelihood intervals of the shares.")
        lost = [name for name, table in tables.items() if table["low"].isna().any()]
        if lost:
            said.append(f"Without intervals: {', '.join(lost)}.")
    chart = Chart(
        panels=tuple(panels),
        across=2,
        legend="below",
        summary=f"Shares of the variance of true effects by {', '.join(words.values())}.",
        title=title,
        notes=(*said, *notes),
        width=width,
        height=height or 1.0,
        theme=look,
    )
    row = look.small * max(2.2, 0.9 * len(terms) + 0.6) if intervals else 2.2 * look.small
    return chart if height else chart.with_panels(max(6.0 * look.small, len(tables) * row))


def _fits(results: Any) -> dict[str, MultilevelResults]:
    """Return the fits by their names; a single one has none."""
    several = dict(results) if isinstance(results, Mapping) else {"": results}
    for name, fit in several.items():
        if not isinstance(fit, MultilevelResults) or not isinstance(name, str):
            raise InputError(
                f"shares of random terms cannot be drawn of {describe(fit)}",
                "a fit of mx.Multilevel, or a mapping of names to such fits",
                "mx.plots.variance_components(fit) draws the components of any fit",
            )
        if not fit.tau2 > 0:
            raise InputError(
                f"the fit {name} has no variance between effects to share out".replace("  ", " "),
                "fits with a tau2 above 0",
                "leave it out, and say so",
            )
    if not several:
        raise InputError("there is no fit", "one fit or more", 'write {"all outcomes": fit}')
    return several


def _shares(fit: MultilevelResults, intervals: bool, level: float | None) -> pd.DataFrame:
    """Return the shares of a fit with their intervals, or NaN for these."""
    table = fit.conf_int_shares(level) if intervals else fit.heterogeneity(level, None)[["share"]]
    table = table.assign(low=table.get("low", math.nan), high=table.get("high", math.nan))
    table.attrs["level"] = fit.at_level(level)
    return table


def _bars(
    tables: Mapping[str, pd.DataFrame], terms: Sequence[str], words: Mapping[str, str], look: Theme
) -> list[Layer]:
    """Return a stacked bar per fit, with numbers where there is room."""
    out: list[Layer] = []
    named: set[str] = set()
    for i, table in enumerate(tables.values()):
        begin = 0.0
        for j, term in enumerate(terms):
            share = float(table["share"].get(term, 0.0))
            if not share > 0:
                continue
            end = begin + 100.0 * share
            corners = [
                (begin, i - HALF_BAR),
                (end, i - HALF_BAR),
                (end, i + HALF_BAR),
                (begin, i + HALF_BAR),
            ]
            name = "" if term in named else words[term]
            named.add(term)
            out.append(Region(corners=corners, name=name, color=j))
            if share >= LEAST_LABELLED:
                ink = look.text_on(look.color(j))
                middle = 0.5 * (begin + end)
                out.append(Words(x=middle, y=float(i), text=percent(share), align="center", color=ink))
            begin = end
    return out


def _marks(tables: Mapping[str, pd.DataFrame], terms: Sequence[str], words: Mapping[str, str]) -> list[Layer]:
    """Return a mark and an interval per share, the terms of a fit below each other."""
    out: list[Layer] = [Rule(at=i + 0.5, axis="y", color="track") for i in range(len(tables) - 1)]
    for j, term in enumerate(terms):
        offset = SPREAD * ((j + 0.5) / len(terms) - 0.5)
        every = enumerate(tables.values())
        here = [(i, table.loc[term].to_dict()) for i, table in every if term in table.index]
        color, shape = group_sign(j)
        known = [(i + offset, row) for i, row in here if not math.isnan(row["share"])]
        bounded = [(y, row) for y, row in known if not math.isnan(row["low"])]
        if bounded:
            out.append(
                Intervals(
                    at=[y for y, _ in bounded],
                    low=[100.0 * float(row["low"]) for _, row in bounded],
                    high=[100.0 * float(row["high"]) for _, row in bounded],
                    color=color,
                    width=1.4,
                )
            )
        out.append(
            Points(
                x=[100.0 * float(row["share"]) for _, row in known],
                y=[y for y, _ in known],
                name=words[term],
                color=color,
                shape=shape,
                size=5.0,
                clip=False,
            )
        )
    return out


variance_shares = drawn(variance_shares_plan, "Draw the shares of random terms in the variance of effects.")
