"""Exclusion curves: the largest risk that is still compatible with the data, against the number treated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.formatting import level_words, percent, plural, shown
from metaexo.inputs import describe
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import (
    Band,
    Chart,
    ChartAxis,
    Curve,
    Layer,
    Panel,
    Points,
    Rule,
    Words,
    group_sign,
)
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.theme import Color, Theme, get_theme
from metaexo.plots.canvas.words import with_ledger
from metaexo.plots.canvas.words import words as in_words
from metaexo.plots.forest.rows import caution_notes
from metaexo.safety import ExclusionCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

PANEL = 240.0  # points: height of the panel
NEAR = 0.12  # of the axis: numbers closer than this stand at two heights
FEWEST = 10.0  # people: a logarithmic axis begins here at the latest
PER = (1, 100, 1000, 10_000, 100_000)
LABELS = ("last", "all", "none")
ONE_IN = (2, 5, 10, 20, 50, *(m * 10**e for e in range(2, 7) for m in (1, 2, 5)))


@checked
def exclusion_curve_plan(
    results: Any,
    *,
    scale: Literal["log", "linear"] = "log",
    per: float | None = None,
    labels: str | Sequence[str] = "last",
    band: bool = True,
    marker_size: float = 6.0,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    r"""Return what an exclusion curve shows, without drawing it.

    Use it for harm that was not, or hardly ever, seen: what does that exclude so far, and how many people
    must be treated without an event before 1 in 100, or 1 in 1,000, is excluded? The curve is the one-sided
    upper limit :math:`\pi_U(n)` that no event in n people leaves; a mark per study has the limit of all
    people and events up to it, in the order of the rows. A hollow diamond with the number below it is where
    the curve falls to a marked risk. Numbers are those of :func:`metaexo.safety.exclusion_curve`.

    Parameters
    ----------
    results : ExclusionCurve, or mapping of str to ExclusionCurve
        A curve; or several by their names, with a heterogeneity each, or of groups of studies. Groups with a
        common risk share one curve.
    scale : {"log", "linear"}
        Scale of both axes.
    per : float, optional
        How many people, or units of person-time, risks are per: 1, 100 (per cent), 1000, 10000 or 100000.
        Default: 100 for people, 1 for person-time.
    labels : {"last", "all", "none"} or sequence of str
        Which marks have words beside them, where there is room: the last with its number and its limit, all
        with the labels of their rows, or those of some rows. A note counts the labels without room.
    band : bool
        Whether the area between curves of different heterogeneity is filled.
    marker_size : float
        Diameter of the marks in points.

    Returns
    -------
    Chart
        Curves, marks and lines in the units of the axes. The table of the marks has the further columns
        number, events and limit (a proportion, or a rate).

    Raises
    ------
    InputError
        If `results` is something else, or curves have different levels, or people and person-time.
    UnknownChoiceError
        If there is no such label.

    References
    ----------
    Hanley & Lippman-Hand (1983), JAMA 249, 1743-1745. https://doi.org/10.1001/jama.1983.03330370053031

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(events=[0, 0, 0, 0], n=[12, 8, 30, 10], labels=["Li", "Cho", "Abe", "Ito"])
    >>> plan = mx.plots.exclusion_curve_plan(mx.safety.exclusion_curve(counts))
    >>> marks = plan.to_frame().dropna(subset="limit")
    >>> marks[["label", "number", "limit"]].round(3).values.tolist()
    [['Li', 12.0, 0.221], ['Cho', 20.0, 0.139], ['Abe', 50.0, 0.058], ['Ito', 60.0, 0.049]]
    >>> ax = mx.plots.exclusion_curve(plan)
    """
    curves = _curves(results)
    first = curves[0].found
    times = _per(per, first.person_time)
    axes = _axes(curves, scale, times, first.person_time)
    lines = [one for one in curves if one.has_line]
    layers: list[Layer] = [
        *([_band(lines, times)] if band and len(lines) > 1 else []),
        *_aims(lines, times, axes),
        *(_line(one, times, alone=len(lines) == 1) for one in lines),
        *(layer for one in curves for layer in _marks(one, times, labels, marker_size, len(curves) > 1)),
    ]
    chart = Chart(
        panels=(Panel(x=axes[0], y=axes[1], layers=layers),),
        legend="below",
        summary=with_ledger(f"Exclusion curve. {first.sentence}", first.counts.ledger),
        title=title,
        notes=(*_notes(curves, lines), *notes),
        width=width,
        height=height or 1.0,
        theme=get_theme(theme, font_size),
    )
    return chart if height else chart.with_panels(PANEL)


@dataclass(frozen=True, slots=True)
class _Named:
    """A curve with its name, and how it is drawn."""

    name: str
    found: ExclusionCurve
    color: Color
    shape: str
    has_line: bool  # whether no earlier curve has the same line


def _curves(results: Any) -> list[_Named]:
    """Return the curves by their names; refuse what cannot stand beside each other."""
    several = dict(results) if isinstance(results, Mapping) else {"": results}
    for name, one in several.items():
        if not isinstance(one, ExclusionCurve) or not isinstance(name, str):
            raise InputError(
                f"an exclusion curve cannot be made of {describe(one)}",
                "what mx.safety.exclusion_curve(counts) returns, or a mapping of names to it",
                "mx.plots.exclusion_curve(mx.safety.exclusion_curve(counts))",
            )
    if not several:
        raise InputError("there is no curve", "one or more", "write {'common risk': curve}")
    for what, values in (
        ("levels", [f"{one.level:g}" for one in several.values()]),
        ("units", ["person-time" if one.person_time else "people" for one in several.values()]),
    ):
        if len(set(values)) > 1:
            raise InputError(
                f"the curves have different {what}: {', '.join(dict.fromkeys(values))}",
                "the same for all curves of a figure",
                "draw a figure for each",
            )
    longest: dict[Any, str] = {}
    for name, one in several.items():
        rule = _rule(one)
        if rule not in longest or one.number[-1] > several[longest[rule]].number[-1]:
            longest[rule] = name
    named = []
    for i, (name, one) in enumerate(several.items()):
        color, shape = group_sign(i) if len(several) > 1 else ("study", "circle")
        named.append(_Named(in_words(name, missing=""), one, color, shape, longest[_rule(one)] == name))
    return named


def _rule(one: ExclusionCurve) -> tuple[Any, ...]:
    """Return what the line of a curve depends on."""
    return one.heterogeneity, one.heterogeneity and (one.scale, one.study_size), one.allowed


def _per(per: float | None, person_time: bool) -> float:
    if per is None:
        return 1.0 if person_time else 100.0
    if per not in PER:
        raise InputError(f"per is {per!r}", "1, 100, 1000, 10000 or 100000", "choose per=100")
    return float(per)


def _axes(
    curves: Sequence[_Named], scale: Literal["log", "linear"], times: float, person_time: bool
) -> tuple[ChartAxis, ChartAxis]:
    """Return both axes, which hold all marks and all numbers that are asked for."""
    numbers = [one.found.marks[:, 0] for one in curves]
    numbers += [one.found.needed[np.isfinite(one.found.needed)] for one in curves]
    wanted = np.concatenate(numbers)
    most = (1.7 if scale == "log" else 1.15) * float(wanted.max())
    least = 0.8 * float(wanted.min())
    low = min(least, FEWEST) if not person_time else least
    low, low_y = (low, 0.0) if scale == "log" else (0.0, 0.0)
    limits = np.concatenate([one.found.marks[:, 2] for one in curves])
    risks = np.concatenate([one.found.risks for one in curves])
    seen = [one.found.limit[(one.found.number >= low) & (one.found.number <= most)] for one in curves]
    every = np.concatenate([limits, risks, *seen])
    if scale == "linear":
        high_y = 1.06 * float(limits.max())
    else:
        low_y, high_y = 0.45 * float(every.min()), 1.25 * float(every.max())
    high_y = high_y if person_time else min(high_y, 1.05)
    what = "rate" if person_time else "risk"
    unit = f" (per {times:,.10g})" if times != 1 else ""
    unit = " (%)" if times == 100 and not person_time else unit
    suffix = ", log scale" if scale == "log" else ""
    across = "Person-time" if person_time else "People treated"
    return (
        ChartAxis(
            label=f"{across}{' (log scale)' if scale == 'log' else ''}", scale=scale, limits=(low, most)
        ),
        ChartAxis(
            label=f"Largest {what} not excluded{unit}{suffix}",
            scale=scale,
            limits=(times * low_y, times * high_y),
            opposite=() if person_time else _one_in(low_y, high_y, times, scale, risks.tolist()),
        ),
    )


def _one_in(
    low: float, high: float, times: float, scale: str, risks: Sequence[float]
) -> list[tuple[float, str]]:
    """Return ticks of a risk as 1 in so many, for the other side of the panel; first of marked risks."""
    inside = [n for n in ONE_IN if low < 1 / n <= high]
    if scale == "log" and len(inside) > 6:
        inside = [n for n in inside if f"{n}"[0] == "1"]
    elif scale == "linear":
        apart: list[int] = []
        for n in sorted(inside, key=lambda n: (not np.isclose(n * np.array(risks), 1).any(), n)):
            if all(abs(1 / one - 1 / n) > 0.08 * (high - low) for one in apart):
                apart.append(n)
        inside = sorted(apart)
    return [(times / n, f"1 in {n:,}") for n in inside]


def _line(one: _Named, times: float, alone: bool) -> Curve:
    """Return the line of a curve."""
    found = one.found
    said = f"{'no event' if found.allowed == 0 else plural(found.allowed, 'event')} in so many"
    return Curve(
        x=found.number.tolist(),
        y=(times * found.limit).tolist(),
        name=said if alone else f"{one.name}: {said}",
        color="ink" if alone else one.color,
        width=1.4,
        dash="dashed" if found.heterogeneity and not alone else "solid",
    )


def _band(lines: Sequence[_Named], times: float) -> Band:
    """Return the area between the lowest and the highest of several curves."""
    x = np.unique(np.concatenate([one.found.number for one in lines]))
    x = x[x <= min(one.found.number[-1] for one in lines)]
    logs = [np.interp(np.log(x), np.log(one.found.number), np.log(one.found.limit)) for one in lines]
    low, high = ((times * np.exp(end(logs, axis=0))).tolist() for end in (np.min, np.max))
    return Band(x=x.tolist(), low=low, high=high, alpha=0.6)


def _aims(lines: Sequence[_Named], times: float, axes: tuple[ChartAxis, ChartAxis]) -> list[Layer]:
    """Return a line at each risk that is to be excluded, and a mark with the number that excludes it."""
    layers: list[Layer] = [
        Rule(at=times * risk, axis="y", dash="dotted", color="grey")
        for risk in dict.fromkeys(float(risk) for one in lines for risk in one.found.risks)
    ]
    bottom = (axes[1].limits or (0.0, 1.0))[0]
    found = [
        (float(n), float(risk), one)
        for one in lines
        for n, risk in zip(one.found.needed, one.found.risks, strict=True)
        if math.isfinite(n)
    ]
    found.sort(key=lambda aim: aim[0])
    # On a linear axis small risks lie near its end, so that the numbers stand above all marks of them.
    lowest = 0.04
    if axes[1].scale == "linear":
        lowest = 0.08 + max((_along(axes[1], times * risk) for _, risk, _ in found), default=0.0)
    places = [_along(axes[0], n) for n, _, _ in found]
    for i, (n, risk, one) in enumerate(found):
        color: Color = "ink" if len(lines) == 1 else one.color
        crowded = [abs(places[i] - places[j]) < NEAR for j in (i - 1, i + 1) if 0 <= j < len(found)]
        right = i + 1 < len(found) and crowded[-1]  # to the left of its line, if the next one is near
        said = _number(n, one.found.person_time)
        height = _at(axes[1], lowest + (0.06 if right and len(crowded) > 1 and crowded[0] else 0.0))
        layers += [
            Curve(x=[n, n], y=[bottom, max(height, times * risk)], color="grey", width=0.8, dash="dotted"),
            Points(
                x=[n],
                y=[times * risk],
                name="number without event that excludes a marked risk" if i == 0 else "",
                labels=[_risk(risk, one.found.person_time)],
                shape="diamond",
                color=color,
                hollow=True,
                size=7.0,
                clip=False,
            ),
            Words(
                x=n,
                y=height,
                text=f"{said}\N{NO-BREAK SPACE}" if right else f"\N{NO-BREAK SPACE}{said}",
                align="right" if right else "left",
                color=color,
            ),
        ]
    return layers


def _along(axis: ChartAxis, value: float) -> float:
    """Return how far along an axis a value is, from 0 to 1."""
    low, high = axis.limits or (0.0, 1.0)
    if axis.scale == "log":
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _at(axis: ChartAxis, share: float) -> float:
    """Return the value at a share of an axis."""
    low, high = axis.limits or (0.0, 1.0)
    return low * (high / low) ** share if axis.scale == "log" else low + share * (high - low)


def _marks(one: _Named, times: float, labels: str | Sequence[str], size: float, several: bool) -> list[Layer]:
    """Return a mark per study at the number treated up to it, those after an event apart."""
    found = one.found
    names = list(found.counts.row_labels)
    words = _words(found, names, labels)
    after = found.marks[:, 1] > found.allowed
    said = one.name if several else "studies so far"
    later = f"after {'an event' if found.allowed == 0 else 'more events'}"
    layers: list[Layer] = []
    for hollow, which in ((False, ~after), (True, after)):
        at = np.flatnonzero(which).tolist()
        if not at:
            continue
        layers.append(
            Points(
                x=found.marks[at, 0].tolist(),
                y=(times * found.marks[at, 2]).tolist(),
                name=f"{said}, {later}" if hollow else said,
                labels=[names[i] for i in at],
                words=[words[i] for i in at],
                size=size,
                color=one.color,
                shape=one.shape,
                hollow=hollow,
                extra={
                    "number": found.marks[at, 0].tolist(),
                    "events": found.marks[at, 1].tolist(),
                    "limit": found.marks[at, 2].tolist(),
                },
            )
        )
    return layers


def _words(found: ExclusionCurve, names: Sequence[str], labels: str | Sequence[str]) -> list[str]:
    """Return what stands beside the marks."""
    if labels == "last":
        n, _, limit = (float(value) for value in found.marks[-1])
        return [""] * (len(names) - 1) + [
            f"{_number(n, found.person_time)}: {_risk(limit, found.person_time)}"
        ]
    if labels in ("all", "none"):
        return list(names) if labels == "all" else [""] * len(names)
    asked = [labels] if isinstance(labels, str) else list(labels)
    for label in asked:
        if label not in names:
            raise UnknownChoiceError("label of a row", str(label), [*LABELS, *dict.fromkeys(names)])
    return [name if name in asked else "" for name in names]


def _number(n: float, person_time: bool) -> str:
    return f"{n:,.4g}" if person_time else f"{n:,.0f}"


def _risk(risk: float, person_time: bool) -> str:
    """Return a risk in per cent, or a rate."""
    return shown(risk, 3) if person_time else percent(risk, 1 if risk >= 0.1 else 2)


def _notes(curves: Sequence[_Named], lines: Sequence[_Named]) -> list[str]:
    """Return how to read the figure, and what it rests on."""
    level = level_words(curves[0].found.level)
    first = (
        f"One-sided {level} limits; each mark has all people and events up to that study, as the rows stand."
    )
    notes = [first, *(f"{one.name}: {_sentence(one)}".removeprefix(": ") for one in curves)]
    for one in lines:
        if one.found.heterogeneity:
            notes.append(f"{one.name or 'Curve'}: {'; '.join(one.found.assumptions)}.")
        for risk in one.found.risks[~np.isfinite(one.found.needed)].tolist():
            said = f"{_risk(risk, one.found.person_time)} is excluded by no number"
            notes.append(f"{one.name}: {said}." if one.name else f"{said}.")
    cautions = (note for one in curves for note in caution_notes(one.found))
    return list(dict.fromkeys([*notes, *cautions]))


def _sentence(one: _Named) -> str:
    """Return what is excluded; the numbers that are needed stand once where curves share a line."""
    if one.has_line:
        return one.found.sentence
    return replace(one.found, risks=np.empty(0), needed=np.empty(0)).sentence


exclusion_curve = drawn(exclusion_curve_plan, "Draw an exclusion curve.")
