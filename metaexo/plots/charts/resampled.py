"""Distributions of statistics: draws of a bootstrap, and arrangements of a permutation test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metaexo import sensitivity
from metaexo.effects.conversions.scales import back_pooled
from metaexo.errors import InputError, TooFewStudiesError
from metaexo.formatting import level_words
from metaexo.inputs import check_choice, describe
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import Chart, ChartAxis, Panel, Rule, Steps
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.scale import Scale, axis_words
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import p_words, typeset, with_ledger
from metaexo.plots.charts.effects import space_of
from metaexo.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

PANEL = 125.0  # height in points
WIDE = 17.0  # least width of a panel with its axis, in letters
LEAST_BARS, MOST_BARS = 8, 60
TAILS = 0.002  # share of the draws that the axis need not show, in both tails together
HEADINGS = {"estimate": "Pooled effect", "tau2": "τ²", "tau": "τ", "i2": "I²", "h2": "H²", "q": "Q"}
INTERVALS = {"bca": "BCa"}


@dataclass(frozen=True, slots=True)
class _Distribution:
    """The draws of a statistic as shown, with its value in the data, and what is marked beside that."""

    heading: str
    label: str
    scale: Scale
    draws: Array
    estimate: float
    ends: tuple[float, ...]
    tails: float = TAILS


@dataclass(frozen=True, slots=True)
class _Words:
    """What draws, the value of the data and what is marked beside it are called."""

    axis: str
    draws: str
    estimate: str
    ends: str


@checked
def bootstrap_plan(
    results: Any,
    *,
    statistics: Sequence[str] | None = None,
    columns: int = 3,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    """Return what the histograms of a bootstrap show, without drawing it.

    Use it to see whether the draws of a statistic have the shape that its interval assumes: one hill, no pile
    of draws at 0, and an estimate near the middle. The numbers are those of
    :func:`metaexo.sensitivity.bootstrap`.

    Parameters
    ----------
    results : Bootstrap
        What :func:`metaexo.sensitivity.bootstrap` returned.
    statistics : sequence of str, optional
        Names of the statistics to show. Default: all of them.
    columns : int
        Most panels side by side, as far as there is room.

    Returns
    -------
    Chart
        A panel per statistic: its draws as a histogram, the estimate, and the ends of the interval.

    Raises
    ------
    InputError
        If `results` is no bootstrap.
    TooFewStudiesError
        If no statistic has draws.
    UnknownChoiceError
        If there is no such statistic.

    References
    ----------
    Efron, B., Tibshirani, R. J. (1993). An Introduction to the Bootstrap. Chapman and Hall.
    https://doi.org/10.1201/9780429246593

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9, 0.5], [0.02, 0.05, 0.03, 0.04, 0.02])
    >>> found = mx.sensitivity.bootstrap(mx.RandomEffects(es).fit(), draws=999)
    >>> plan = mx.plots.bootstrap_plan(found)
    >>> [panel.heading for panel in plan.panels]
    ['Pooled effect', 'τ²', 'I²']
    >>> ax = mx.plots.bootstrap(plan)
    """
    if not isinstance(results, sensitivity.Bootstrap):
        raise InputError(
            f"the first argument is {describe(results)}",
            "what mx.sensitivity.bootstrap returned",
            "mx.plots.bootstrap(mx.sensitivity.bootstrap(fit))",
        )
    names = results.names if statistics is None else tuple(dict.fromkeys(statistics))
    for name in names:
        check_choice("statistic", name, results.names)
    shown = [one for name in names if (one := _distribution(results, name)).draws.size]
    if not shown:
        raise TooFewStudiesError(
            "no statistic has draws", "at least one with draws", "look at results.reasons"
        )
    interval = f"{level_words(results.level)} {INTERVALS.get(results.interval, results.interval)} interval"
    look, said = get_theme(theme, font_size), _Words("Draws", "draws", "estimate", interval)
    panels, across = _panels(shown, said, columns, space_of(ax, width, 1.0)[0], look)
    chart = Chart(
        panels=panels,
        across=across,
        legend="below",
        summary=with_ledger(results.sentence, results.effects.ledger),
        title=title,
        notes=(*_bootstrap_notes(results), *_beyond(shown, panels), *_cautions(results), *notes),
        width=width,
        height=height or 1.0,
        theme=look,
    )
    return chart if height else chart.with_panels(PANEL)


@checked
def permutation_plan(
    results: Any,
    *,
    tests: Sequence[str] | None = None,
    columns: int = 3,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    """Return what the histograms of a permutation test show, without drawing it.

    Use it to see how extreme a statistic is among all that the data could have given without an effect, and
    how few of these there are. The numbers are those of :func:`metaexo.sensitivity.permutation_test`.

    Parameters
    ----------
    results : PermutationTest
        What :func:`metaexo.sensitivity.permutation_test` returned with ``statistics=True``.
    tests : sequence of str, optional
        Names of the tests to show: coefficients, terms, "moderators" for the omnibus test. Default: all that
        have a p-value, each once; not the intercept where moderator values were permuted, which does not test
        it.
    columns : int
        Most panels side by side, as far as there is room.

    Returns
    -------
    Chart
        A panel per test: the statistics of all arrangements as a histogram, and that of the data; of a
        two-sided test its negative too.

    Raises
    ------
    InputError
        If `results` is no permutation test, or it did not keep its statistics.
    UnknownChoiceError
        If there is no such test.

    References
    ----------
    Follmann, D. A., Proschan, M. A. (1999). Valid inference in random effects meta-analysis. Biometrics 55,
    732-737. https://doi.org/10.1111/j.0006-341X.1999.00732.x

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9, 0.5, 0.4], [0.02, 0.05, 0.03, 0.04, 0.02, 0.03])
    >>> found = mx.sensitivity.permutation_test(mx.RandomEffects(es).fit(), statistics=True)
    >>> plan = mx.plots.permutation_plan(found)
    >>> plan.panels[0].x.label
    'Statistic (p = 0.031)'
    >>> ax = mx.plots.permutation(plan)
    """
    if not isinstance(results, sensitivity.PermutationTest):
        raise InputError(
            f"the first argument is {describe(results)}",
            "what mx.sensitivity.permutation_test returned",
            "mx.plots.permutation(mx.sensitivity.permutation_test(fit, statistics=True))",
        )
    shown = _permuted(results, tests)
    look = get_theme(theme, font_size)
    several = "negative of it" if any(one.ends for one in shown) else ""
    said = _Words("Arrangements", "arrangements", "statistic of the data", several)
    panels, across = _panels(shown, said, columns, space_of(ax, width, 1.0)[0], look)
    sentences = [f"{part.done[:1].upper()}{part.done[1:]}." for part in _parts(results).values()]
    asked = tests is not None and "intercept" in tests
    sentences += [f"Caution: {words}." for words in results.cautions() if asked]
    chart = Chart(
        panels=panels,
        across=across,
        legend="below",
        summary=" ".join(sentences),
        title=title,
        notes=(*sentences, *notes),
        width=width,
        height=height or 1.0,
        theme=look,
    )
    return chart if height else chart.with_panels(PANEL)


def _parts(results: sensitivity.PermutationTest) -> dict[str, sensitivity.PermutationTest]:
    """Return the parts of a permutation test by what their names begin with."""
    return {"": results} if results.scale is None else {"": results, "scale: ": results.scale}


def _permuted(results: sensitivity.PermutationTest, asked: Sequence[str] | None) -> list[_Distribution]:
    """Return the statistics of the tests."""
    found: dict[str, tuple[sensitivity.PermutationTest, Any, Array]] = {}
    for start, part in _parts(results).items():
        if part.statistics is None:
            raise InputError(
                "the permutation test did not keep its statistics",
                "one that did",
                "mx.sensitivity.permutation_test(fit, statistics=True)",
            )
        for at, test in enumerate(part.tests):
            if math.isfinite(test.pvalue):  # a term of one coefficient has the name and the p-value of that
                found.setdefault(f"{start}{test.name}", (part, test, part.statistics[:, at]))
    for name in asked or ():
        check_choice("test", name, list(found))
    if not found or (asked is not None and not asked):
        raise InputError(
            "no test is to be shown", f"one or more of {', '.join(found)}" if found else "one with a p-value"
        )
    out = []
    usual = [name for name, (part, test, _) in found.items() if _is_usual(part, test)] or list(found)
    for name in dict.fromkeys(usual if asked is None else asked):
        part, test, draws = found[name]
        two_sided = test.kind == "coefficient" and part.alternative == "two-sided"
        both = (-test.statistic,) if two_sided and part.two_sided == "absolute" else ()
        label = f"Statistic ({p_words(test.pvalue)})"
        known = draws[np.isfinite(draws)]
        heading = HEADINGS["estimate"] if part.names == (test.name,) else name
        out.append(_Distribution(heading, label, "linear", known, test.statistic, both, 0.0))
    return out


def _distribution(results: sensitivity.Bootstrap, name: str) -> _Distribution:
    """Return the draws of a statistic on the scale that is shown."""
    at, es = results.names.index(name), results.effects
    numbers = np.array([results.estimates[at], results.low[at], results.high[at]])
    draws, label = results.values(name), HEADINGS.get(name.partition(":")[0], "")
    scale: Scale = "linear"
    if results.ratios[at]:
        draws, numbers, scale = np.exp(draws), np.exp(numbers), "log"
        label = axis_words(es.measure)
    elif name == "estimate":
        draws, numbers, label = back_pooled(es, draws), back_pooled(es, numbers), axis_words(es.measure)
    elif name.partition(":")[0] == "i2":
        draws, numbers, label = 100 * draws, 100 * numbers, "I² (%)"
    estimate, low, high = numbers.tolist()
    kind, colon, of = name.partition(":")
    heading = HEADINGS.get(kind, kind) + (f" of {of}" if colon else "")
    return _Distribution(heading, label, scale, draws[np.isfinite(draws)], estimate, (low, high))


def _is_usual(part: sensitivity.PermutationTest, test: Any) -> bool:
    """Say whether a test is shown unless others are asked for."""
    if test.name == "intercept" and part.cautions():  # permuted moderators say nothing of it
        return False
    return test.kind != "omnibus" or _is_joint(part)


def _is_joint(part: sensitivity.PermutationTest) -> bool:
    """Say whether the omnibus test is of several coefficients, and not that of one again."""
    return sum(name != "intercept" for name in part.names) > 1


def _panels(
    shown: Sequence[_Distribution], said: _Words, columns: int, room: float, look: Theme
) -> tuple[tuple[Panel, ...], int]:
    """Return a panel per statistic, and how many stand side by side in a room in points."""
    across = max(1, min(columns, int(room / (WIDE * look.small))))
    panels = [_panel(one, said, first=i % across == 0) for i, one in enumerate(shown)]
    if len(panels) == 1:  # its heading stands below, since the title stands above
        axis = replace(panels[0].x, label=shown[0].label or shown[0].heading)
        panels = [replace(panels[0], heading="", x=axis)]
    return tuple(panels), across


def _panel(one: _Distribution, said: _Words, first: bool) -> Panel:
    """Return the panel of a statistic; the first of a row has the name of the vertical axis."""
    edges = _edges(one)
    heights = np.histogram(one.draws, edges)[0]
    low, high = (float(edge) for edge in (edges[0], edges[-1]))
    marks: list[tuple[float, str, Literal["solid", "dashed"]]] = [(one.estimate, said.estimate, "solid")]
    marks += [(end, said.ends, "dashed") for end in one.ends]
    return Panel(
        heading=one.heading,
        x=ChartAxis(label=one.label, scale=one.scale, limits=(low, high)),
        y=ChartAxis(label=said.axis if first else "", limits=(0.0, 1.08 * float(heights.max(initial=1)))),
        layers=[
            Steps(edges=edges.tolist(), heights=heights.tolist(), name=said.draws),
            *(
                Rule(at=at, name=name, color="ink", dash=dash, width=1.2)
                for at, name, dash in marks
                if low <= at <= high
            ),
        ],
    )


def _edges(one: _Distribution) -> Array:
    """Return the edges of the bars: equal on the axis, from end to end of what is shown."""
    log = one.scale == "log"
    places = np.log(one.draws) if log else one.draws
    marks = np.array([one.estimate, *one.ends])
    held = np.log(marks) if log else marks
    held = held[np.isfinite(held)]
    low, q1, q3, high = np.quantile(places, [one.tails / 2, 0.25, 0.75, 1 - one.tails / 2]).tolist()
    low, high = min([low, *held]), max([high, *held])
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    step = 2 * (q3 - q1) / places.size ** (1 / 3)  # Freedman and Diaconis
    bars = round(min(max((high - low) / step if step > 0 else LEAST_BARS, LEAST_BARS), MOST_BARS))
    room = 0.02 * (high - low)
    low = low if low == 0 and not log else low - room  # a variance begins at 0
    edges = np.linspace(low, high + room, bars + 1)
    return np.asarray(np.exp(edges) if log else edges)


def _bootstrap_notes(results: sensitivity.Bootstrap) -> list[str]:
    """Return what was drawn."""
    kind = "Parametric" if results.kind == "parametric" else "Non-parametric"
    return [f"{kind} bootstrap: {results.size:,} draws of {results.units}."]


def _beyond(shown: Sequence[_Distribution], panels: Sequence[Panel]) -> list[str]:
    """Return how many draws the axes leave out."""
    said = []
    for one, panel in zip(shown, panels, strict=True):
        (steps,) = (layer for layer in panel.layers if isinstance(layer, Steps))
        beyond = one.draws.size - round(sum(steps.heights))
        what = one.heading.replace("Pooled", "the pooled")
        said += [f"{beyond:,} {'draw' if beyond == 1 else 'draws'} of {what}"] if beyond else []
    return [f"Beyond the axis: {', '.join(said)}."] if said else []


def _cautions(results: sensitivity.Bootstrap) -> list[str]:
    """Return what to know before relying on the intervals."""
    return [f"Caution: {typeset(words)}." for words in results.cautions()]


bootstrap = drawn(bootstrap_plan, "Draw histograms of a bootstrap: draws, estimates and intervals.")
permutation = drawn(permutation_plan, "Draw histograms of a permutation test: arrangements and the data.")
