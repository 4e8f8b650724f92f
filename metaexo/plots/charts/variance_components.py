"""Variance components: how large the heterogeneity of each level is, beside a typical sampling error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import level_words, shown
from metaexo.heterogeneity import AttributionResults, StratifiedResults
from metaexo.inputs import describe
from metaexo.models.counts.fit import CountResults
from metaexo.models.linear.results import FitResults
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import (
    Chart,
    ChartAxis,
    Intervals,
    Layer,
    Panel,
    Points,
    Rule,
    Words,
    group_sign,
)
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.theme import Color, Theme, get_theme
from metaexo.plots.charts.effects import space_of
from metaexo.plots.forest.rows import short_remark

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Scale = Literal["sd", "variance", "share"]
NAMES = 24.0  # most width of the names of components, in sizes of the letters of ticks
TOTAL, SAMPLING = "all together (I²)", "sampling error (typical)"
AS_MANY, EQUAL = "not estimable: as many coefficients as effects", "none in the equal-effects model"
CORRELATE = "no share of its own: it correlates with the others"
LABELS = {
    "sd": "Standard deviation ({unit})",
    "variance": "Variance ({unit})",
    "share": "Share of the variance of effects (%)",
}
LETTERS = {"sd": "τ", "variance": "τ²", "share": "τ²"}


@dataclass(frozen=True, slots=True)
class Component:
    """A component of the variance in shown units; NaN where there is none, and then words say why."""

    name: str
    estimate: float
    low: float = math.nan
    high: float = math.nan
    why: str = ""
    given: bool = False  # held at a value, not estimated


@checked
def variance_components_plan(
    results: Any,
    *,
    scale: Literal["sd", "variance", "share"] = "sd",
    intervals: bool = True,
    method: str | None = None,
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
    r"""Return what a plot of variance components shows, without drawing it.

    Use it to see at which level true effects differ (between studies, between effects of one study, in each
    stratum), how well the data say so, and how that compares with sampling error. With several fits it shows
    what a moderator or another model changes.

    A share is a component over the sum of all components and the variance :math:`v` of a typical sampling
    error, :math:`\tau^2_j / (\sum_i \tau^2_i + v)`; the shares of all components together are :math:`I^2`.

    Parameters
    ----------
    results : FitResults or mapping of str to FitResults
        A fit of any family, or several fits by their names, of effects on one scale.
    scale : {"sd", "variance", "share"}
        "sd": standard deviations, in units of the effect; "variance": their squares; "share": percent of the
        variance of effects.
    intervals : bool
        Whether there are intervals; those of multilevel fits take some refits for each component.
    method : str, optional
        How the intervals are found, as in ``fit.heterogeneity(method=...)``. Default: that of the family.
    level : float, optional
        Level of the intervals. Default: that of the fit.
    wording : mapping of str to str, optional
        Words to be shown for the names of components.

    Returns
    -------
    Chart
        A mark and an interval per component, at zero where the estimate is zero. Where there is no estimate
        words say why.

    Raises
    ------
    InputError
        If it is no fit, no fit is given, or fits are of effects on different scales.

    References
    ----------
    Higgins, J. P. T., Thompson, S. G. (2002). Quantifying heterogeneity in a meta-analysis. Statistics in
    Medicine 21, 1539-1558. https://doi.org/10.1002/sim.1186
    Nakagawa, S., Santos, E. S. A. (2012). Methodological issues and advances in biological meta-analysis.
    Evolutionary Ecology 26, 1253-1274. https://doi.org/10.1007/s10682-012-9555-5

    Examples
    --------
    >>> import metaexo as mx
    >>> y, v = [0.3, 0.5, 0.9, 0.7, 0.1, -0.1], [0.02, 0.03, 0.02, 0.04, 0.03, 0.02]
    >>> fit = mx.Multilevel(mx.EffectSizes(y, v, study=list("aabbcc")), ["study", "effect"]).fit()
    >>> plan = mx.plots.variance_components_plan(fit, scale="variance")
    >>> plan.to_frame().query("layer == 'points'")[["label", "x"]].round(3).values.tolist()
    [['study', 0.169], ['effect', 0.0], ['sampling error (typical)', 0.025]]
    >>> ax = mx.plots.variance_components(plan)
    """
    fits = _fits(results)
    look = get_theme(theme, font_size)
    tables = {name: _table(fit, intervals, level, method) for name, fit in fits.items()}
    found = {name: _components(fit, tables[name], scale, intervals) for name, fit in fits.items()}
    room, _ = space_of(ax, width, 1.0)
    longest_first = sorted(found.values(), key=len, reverse=True)
    order = list(dict.fromkeys(one.name for several in longest_first for one in several))
    order.sort(key=lambda name: (name == SAMPLING, name == TOTAL))
    words = {name: (wording or {}).get(name, _in_letters(name, scale)) for name in order}
    limits = _ends([one for several in found.values() for one in several], scale)
    layers: list[Layer] = [Rule(at=0.0)]
    if len(fits) > 1:
        layers += [Rule(at=i + 0.5, axis="y", color="track") for i in range(len(order) - 1)]
    for i, (name, several) in enumerate(found.items()):
        offset = 0.8 * ((i + 0.5) / len(found) - 0.5)
        layers += _layers(
            several, name, i, [order.index(one.name) + offset for one in several], words, limits
        )
    first = next(iter(fits.values()))
    axis = ChartAxis(label=LABELS[scale].format(unit=first.scale.partition(" (")[0]), limits=limits)
    names = [
        (float(i), look.short(words[name], min(NAMES * look.small, 0.4 * room)))
        for i, name in enumerate(order)
    ]
    upright = ChartAxis(limits=(-0.6, len(order) - 0.4), inverted=True, ticks=names)
    chart = Chart(
        panels=(Panel(x=axis, y=upright, layers=layers),),
        legend="below" if len(fits) > 1 else "none",
        summary=f"Components of the variance of effects: {', '.join(words.values())}.",
        title=title,
        notes=(*_notes(fits, tables, found, words, intervals), *notes),
        width=width,
        height=height or 1.0,
        theme=look,
    )
    row = look.small * max(2.4, 1.6 * len(fits) + 0.6)
    return chart if height else chart.with_panels(max(6.0 * look.small, len(order) * row))


def _fits(results: Any) -> dict[str, FitResults]:
    """Return the fits by their names; a single one has none."""
    several = dict(results) if isinstance(results, Mapping) else {"": results}
    for name, fit in several.items():
        if not isinstance(fit, FitResults) or not isinstance(name, str):
            raise InputError(
                f"variance components cannot be drawn of {describe(fit)}",
                "a fit, or a mapping of names to fits",
                "mx.plots.variance_components(mx.RandomEffects(es).fit())",
            )
    for fit in several.values():
        if isinstance(fit, CountResults) and not fit.is_random:
            raise InputError(
                "a model of a common effect has no heterogeneity",
                "a model of counts with random effects",
                "fit mx.CountGLMM(counts, ...) or mx.BetaBinomial(counts, ...)",
            )
    if not several:
        raise InputError("there is no fit", "one fit or more", 'write {"without moderators": fit, ...}')
    scales = list(dict.fromkeys(fit.scale for fit in several.values()))
    if len(scales) > 1:
        raise InputError(
            f"the fits are of effects on different scales ({', '.join(scales)})",
            "fits of effects on one scale",
            "draw a figure for each scale",
        )
    return several


def _table(fit: FitResults, intervals: bool, level: float | None, method: str | None) -> pd.DataFrame:
    """Return the heterogeneity of a fit; without intervals multilevel fits need no refits for it."""
    if intervals:
        return fit.heterogeneity(level) if method is None else fit.heterogeneity(level, method)
    table = fit.heterogeneity(level, None)
    table[["low", "high"]] = math.nan
    return table


def _components(fit: FitResults, table: pd.DataFrame, scale: Scale, intervals: bool) -> list[Component]:
    """Return the components of a fit on a scale, with the total of several shares, and the sampling error."""
    if fit.df_residual < 1 and not isinstance(fit, StratifiedResults):
        return [Component(str(name), math.nan, why=AS_MANY) for name in table.index]
    given = fit.fixed_components if isinstance(fit, MultilevelResults) else _given(fit)
    if scale == "share":
        out = _shares(fit, table, given, intervals)
    elif fit.is_random:
        columns = zip(map(str, table.index), table["tau2"], table["low"], table["high"], strict=True)
        out = [Component(name, x, low, high, given=name in given) for name, x, low, high in columns]
    else:
        out = [Component(str(name), math.nan, why=EQUAL) for name in table.index]
    return [*(_on_scale(one, scale) for one in out), *_without_fit(fit), *_sampling(fit, scale)]


def _given(fit: FitResults) -> frozenset[str]:
    """Return the components of a model of one level that were held at a value."""
    return frozenset(fit.tau2_by_component if fit.is_random and not fit.tau2_is_estimated else ())


def _shares(fit: FitResults, table: pd.DataFrame, given: frozenset[str], intervals: bool) -> list[Component]:
    """Return the shares of the components as fractions, and that of all together if there are several."""
    names, total = [str(name) for name in table.index], (math.nan, math.nan)
    ends = _ends_of_shares(fit, table)
    if isinstance(fit, MultilevelResults) and intervals:
        of_terms = fit.conf_int_i2(table.attrs["level"])
        known = {
            str(term): (share, (low, high))
            for term, share, low, high in of_terms[["i2", "low", "high"]].itertuples(name=None)
        }
        total = known["total"][1]
        # a term with several variances has no interval of each of its shares
        terms = [known.get(name.partition(":")[0], (math.nan, total)) for name in names]
        ends = [
            own if math.isclose(of_term, share, abs_tol=1e-12) else (math.nan, math.nan)
            for (of_term, own), share in zip(terms, table["i2"], strict=True)
        ]
    why = "" if math.isnan(fit.i2) else CORRELATE
    out = [
        Component(name, float(share), *own, why if math.isnan(share) else "", name in given)
        for name, share, own in zip(names, table["i2"], ends, strict=True)
    ]
    if len(out) > 1 and isinstance(fit, MultilevelResults) and fit.typical_variance != 0:
        out.append(Component(TOTAL, fit.i2, *total))
    return out


def _ends_of_shares(fit: FitResults, table: pd.DataFrame) -> list[tuple[float, float]]:
    """Return the intervals of shares that follow from those of tau2 of models with one tau2 per effect."""
    ends = table[["low", "high"]].to_numpy(dtype=float)
    if isinstance(fit, AttributionResults):
        ends = ends * (fit.i2 / fit.tau2 if fit.tau2 > 0 else math.nan)
    else:
        own = [one.typical_variance for one in fit.fits] if isinstance(fit, StratifiedResults) else []
        v = np.array(own or [fit.typical_variance] * len(ends))[:, None]
        with np.errstate(invalid="ignore"):
            ends = np.where(np.isinf(ends), 1.0, ends / (ends + v))
    return [(float(low), float(high)) for low, high in ends]


def _on_scale(one: Component, scale: Scale) -> Component:
    """Return a component as a standard deviation or in percent; a variance is left as it is."""
    values = np.array([one.estimate, one.low, one.high])
    why = one.why
    if scale == "sd":
        if one.estimate < 0:
            why = f"variance below zero ({shown(one.estimate, 4)})"
        values = np.sqrt(np.where(values < 0, math.nan, values))
    elif scale == "share":
        values = 100.0 * values
    if np.isnan(values[0]) and not why:
        why = "not estimable"
    estimate, low, high = map(float, values)
    return Component(one.name, estimate, low, high, why, one.given)


def _without_fit(fit: FitResults) -> list[Component]:
    """Return the strata that have no fit."""
    if not isinstance(fit, StratifiedResults):
        return []
    return [
        Component(one.name, math.nan, why=": ".join(filter(None, ("not estimable", short_remark(one.note)))))
        for one in fit.strata
        if one.fit is None
    ]


def _sampling(fit: FitResults, scale: Scale) -> list[Component]:
    """Return the variance of a typical sampling error; none where values have no sampling variance."""
    v = fit.typical_variance
    if v == 0 or (scale == "share" and isinstance(fit, StratifiedResults) and math.isnan(fit.i2)):
        return []
    value = {"sd": math.sqrt(v), "variance": v, "share": 100.0 * (1.0 - fit.i2)}[scale]
    why = "not estimable: a sampling variance is zero" if math.isnan(value) else ""
    return [Component(SAMPLING, value, why=why)]


def _in_letters(name: str, scale: Scale) -> str:
    """Return the name of a component with what is shown of it in letters."""
    return name.replace(":tau2", f": {LETTERS[scale]}")


def _ends(several: Sequence[Component], scale: Scale) -> tuple[float, float]:
    """Return the ends of the axis: they hold zero, all estimates, and all intervals that end."""
    values = [x for one in several for x in (one.estimate, one.low, one.high) if math.isfinite(x)]
    low, high = min(0.0, *values, 0.0), max([*values, 100.0 if scale == "share" else 0.0])
    high = high if high > low else 1.0
    return low - 0.02 * (high - low), high + (0.02 if scale == "share" else 0.05) * (high - low)


def _layers(
    several: Sequence[Component],
    name: str,
    position: int,
    places: Sequence[float],
    words: Mapping[str, str],
    limits: tuple[float, float],
) -> list[Layer]:
    """Return intervals and marks of one fit; what is not known is in words, an interval without end open."""
    color, shape = ("study", "circle") if not name else group_sign(position)
    out: list[Layer] = []
    at = dict(zip(several, places, strict=True))
    bounded = [one for one in several if math.isfinite(one.low) and not math.isnan(one.high)]
    if bounded:
        out.append(
            Intervals(
                at=[at[one] for one in bounded],
                low=[one.low for one in bounded],
                high=[min(one.high, limits[1]) for one in bounded],
                labels=[words[one.name] for one in bounded],
                color=color,
                width=1.4,
            )
        )
    endless = [one for one in bounded if math.isinf(one.high)]
    if endless:
        out.append(_points(endless, [at[one] for one in endless], words, color, "right", x=limits[1]))
    known = [one for one in several if not math.isnan(one.estimate)]
    for sampling in (False, True):
        for given in (False, True):
            part = [one for one in known if (one.name == SAMPLING) is sampling and one.given is given]
            if part:
                kind: tuple[Color, str] = ("grey", "square") if sampling and not name else (color, shape)
                listed = name if not sampling and not given else ""
                out.append(_points(part, [at[one] for one in part], words, *kind, hollow=given, name=listed))
    gap = 0.01 * (limits[1] - limits[0])
    out += [
        Words(x=gap + (one.high if one.high < limits[1] else 0.0), y=at[one], text=one.why)
        for one in several
        if math.isnan(one.estimate)
    ]
    return out


def _points(
    several: Sequence[Component],
    places: Sequence[float],
    words: Mapping[str, str],
    color: Color,
    shape: str,
    hollow: bool = False,
    name: str = "",
    x: float | None = None,
) -> Points:
    return Points(
        x=[one.estimate if x is None else x for one in several],
        y=list(places),
        labels=[words[one.name] for one in several],
        color=color,
        shape=shape,
        hollow=hollow,
        name=name,
        size=6.0,
        clip=False,
    )


def _notes(
    fits: Mapping[str, FitResults],
    tables: Mapping[str, pd.DataFrame],
    found: Mapping[str, Sequence[Component]],
    words: Mapping[str, str],
    asked: bool,
) -> list[str]:
    """Return how intervals were found, what is not drawn, and what the marks do not say."""
    every = [(name, one) for name, several in found.items() for one in several]
    methods = dict.fromkeys(table.attrs["method"] for table in tables.values() if table.attrs["method"])
    levels = dict.fromkeys(level_words(table.attrs["level"]) for table in tables.values())
    out = []
    if any(math.isfinite(one.low) for _, one in every):
        out.append(f"Lines: {', '.join(levels)} intervals ({', '.join(methods)}).")
    sets = {
        "Estimated as zero": [pair for pair in every if pair[1].estimate == 0 and not pair[1].given],
        "No upper end of the interval": [pair for pair in every if math.isinf(pair[1].high)],
        "Without an interval": [pair for pair in every if asked and _lacks_interval(pair[1])],
        "Hollow, because given and not estimated": [pair for pair in every if pair[1].given],
    }
    for what, pairs in sets.items():
        named = dict.fromkeys(words[one.name] + (f" ({name})" if name else "") for name, one in pairs)
        if named:
            out.append(f"{what}: {', '.join(named)}.")
    out += [
        f"Variance that moderators leave{_of(name)}." for name, fit in fits.items() if _has_moderators(fit)
    ]
    for name, fit in fits.items():
        if isinstance(fit, MultilevelResults):
            others = {c: x for c, x in fit.component_values.items() if c not in fit.tau2_by_component}
            said = ", ".join(f"{c.replace('rho', 'ρ')} = {shown(x, 2)}" for c, x in others.items())
            out += [f"Not drawn{_of(name)}: {said}."] if said else []
    remarks = dict.fromkeys(table.attrs["note"] for table in tables.values() if table.attrs["note"])
    return [*out, *(f"{remark[:1].upper()}{remark[1:]}." for remark in remarks)]


def _lacks_interval(one: Component) -> bool:
    known = math.isfinite(one.estimate) and not one.given and one.name != SAMPLING
    return known and math.isnan(one.low)


def _of(name: str) -> str:
    return f" ({name})" if name else ""


def _has_moderators(fit: FitResults) -> bool:
    return fit.design.x is not None and not isinstance(fit, StratifiedResults | AttributionResults)


variance_components = drawn(
    variance_components_plan, "Draw the variance components of a fit with their intervals."
)
