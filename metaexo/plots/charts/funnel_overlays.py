"""What results on small-study effects add to a funnel plot: curves, filled studies, adjusted means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, Literal

import numpy as np

from metaexo.bias import LimitMetaAnalysis, PetPeese, RegressionTest, TrimAndFill
from metaexo.bias.asymmetry import GROUPS
from metaexo.bias.report import cautions_by_method
from metaexo.bias.results import AdjustedEstimate, BiasResult, BiasTest
from metaexo.effects.conversions.scales import back_by_rows
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.inputs import describe
from metaexo.models.linear.results import FitResults
from metaexo.plots.canvas.chart import SHAPES, ChartAxis, Curve, Intervals, Layer, Points, Rule
from metaexo.plots.canvas.words import typeset
from metaexo.plots.charts.effects import analysed_value, places_of
from metaexo.plots.charts.funnel_axes import VerticalAxis
from metaexo.types import Array

COLORS = 6  # of the palette beside its first
Dash = Literal["solid", "dashed", "dotted", "dashdot"]
DASHES: tuple[Dash, ...] = ("dotted", "dashed", "dashdot")
# What the predictors of the regression test are made from, and how.
PREDICTORS: Mapping[str, tuple[str, Callable[[Array], Array]]] = {
    "se": ("se", lambda s: s),
    "variance": ("se", lambda s: s**2),
    "n": ("n", lambda n: n),
    "1/n": ("n", lambda n: 1 / n),
    "sqrt(n)": ("n", np.sqrt),
    "1/sqrt(n)": ("n", lambda n: 1 / np.sqrt(n)),
    GROUPS: ("groups", np.positive),
}


@dataclass(frozen=True, slots=True)
class Funnel:
    """The funnel plot that something is drawn over."""

    es: EffectSizes
    heights: Array  # of the effects, shape (k,)
    side: VerticalAxis
    ends: tuple[float, float]
    alone: BiasResult | None = None  # what it was made of, if that is no fit and no bare effects
    groups: int = 1  # which have the first colours and shapes


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is drawn over a funnel plot; its axis is to hold `values`, on the scale of the analysis."""

    lines: Sequence[Layer] = ()
    points: Sequence[Points] = ()
    values: Sequence[float] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Sign:
    """By what the lines of a method are known: a colour, and a mark of their own."""

    color: int
    mark: str
    dash: Dash


def given_overlays(overlays: Any) -> tuple[BiasResult, ...]:
    """Return what the user wants to have drawn over a funnel: one result or several."""
    found = tuple(overlays) if isinstance(overlays, list | tuple) else (overlays,)
    for one in found:
        if not isinstance(one, BiasResult):
            raise InputError(
                f"an overlay of a funnel plot is {describe(one)}",
                "a result of mx.bias, or several",
                "hand in mx.bias.regression_test(fit), for example",
            )
    return found


def drawn_over(results: Sequence[BiasResult], funnel: Funnel) -> Overlay:
    """Return all that results add to a funnel plot."""
    # the first colour is that of the studies
    signs = (
        Sign(1 + (i - 1) % COLORS, SHAPES[i % len(SHAPES)], DASHES[i % len(DASHES)])
        for i in count(funnel.groups)
    )
    every = [_of(one, funnel, signs) for one in results]
    found = _together(every)
    notes = (*_same_lines(found.lines), *found.notes, *_cautions(results, funnel))
    return replace(found, notes=tuple(dict.fromkeys(notes)))


def _cautions(results: Sequence[BiasResult], funnel: Funnel) -> list[str]:
    """Return the cautions of what is drawn over a funnel, each once; with its methods unless it is of all."""
    said = []
    alone = len(results) == 1 and results[0] is funnel.alone
    for of, words in cautions_by_method(results, both_regressions=True):
        whose = f", {of}" if of and not alone else ""
        said.append(f"Caution{whose}: {typeset(words)}.")
    return said


def _same_lines(lines: Sequence[Layer]) -> list[str]:
    """Return notes on curves that hide each other, such as Egger's line and PET."""
    groups: list[list[Curve]] = []
    for curve in (one for one in lines if isinstance(one, Curve)):
        same = next((group for group in groups if _is_same(group[0], curve)), None)
        if same is None:
            groups.append([curve])
        else:
            same.append(curve)
    hiding = ([one.name for one in group] for group in groups if len(group) > 1)
    return [
        f"One line hides the {'other' if len(names) == 2 else 'others'}: {'; '.join(names)}."
        for names in hiding
    ]


def _is_same(one: Curve, other: Curve) -> bool:
    """Say whether two lines go through the same points."""
    return len(one.x) == len(other.x) and np.allclose(one.x, other.x, rtol=1e-6, atol=0.0)


def lines_beyond(lines: Sequence[Layer], axis: ChartAxis) -> tuple[str, ...]:
    """Return a note that names the lines whose value is beyond the horizontal axis."""
    low, high = axis.limits or (-np.inf, np.inf)
    first = [
        (one, one.at if isinstance(one, Rule) else one.x[0]) for one in lines if isinstance(one, Rule | Curve)
    ]
    names = [line.name for line, at in first if not low <= at <= high]
    return (f"Beyond the axis: {'; '.join(names)}.",) if names else ()


def _of(result: BiasResult, funnel: Funnel, signs: Iterator[Sign]) -> Overlay:
    """Return what a result adds to a funnel plot of the effects that it was computed from."""
    es, own = funnel.es, result.effects
    if own.k != es.k or not (np.array_equal(own.y, es.y) and np.array_equal(own.v, es.v)):
        raise InputError(
            f"{result.name} was computed from other effects ({own.k}) than the funnel shows ({es.k})",
            "results of the same effects",
            "compute it from the fit that is drawn, or draw it alone: mx.plots.funnel(result)",
        )
    found = _drawing(result, funnel, signs)
    if found is None and result is not funnel.alone:
        raise InputError(
            f"{result.name} has nothing to draw in a funnel plot",
            "a result with a line or with an adjusted mean",
            "draw it alone, or print it: print(result.sentence)",
        )
    said = [sentence_of(result)] if found is None or isinstance(result, BiasTest) else []
    found = found or Overlay()
    return Overlay(found.lines, found.points, found.values, (*said, *found.notes))


def _drawing(result: BiasResult, funnel: Funnel, signs: Iterator[Sign]) -> Overlay | None:
    """Return the layers of a result; None for one that has no place in a funnel plot."""
    if isinstance(result, AdjustedEstimate) and np.isfinite(result.estimate) and not result.usable:
        return Overlay(notes=[f"Not drawn, because its estimate is not to be used: {result.name}."])
    if isinstance(result, TrimAndFill):
        return _filled(result, funnel, next(signs))
    if isinstance(result, RegressionTest):
        return _regression(result, funnel, next(signs)) if len(result.names) == 2 else None
    if isinstance(result, PetPeese):
        return _pet_peese(result, funnel, signs)
    if isinstance(result, LimitMetaAnalysis):
        return _limit(result, funnel, signs)
    if isinstance(result, AdjustedEstimate):
        return _adjusted(result, funnel, next(signs))
    return None


def centre_of(result: BiasResult) -> tuple[float, str] | None:
    """Return what the funnel of a result alone lies around, and words for it; None for its fit, or nothing.

    It is the mean with filled studies, or the mean before adjustment.
    """
    if isinstance(result, TrimAndFill):
        return result.estimate, f"{result.name} {_words(result, result)}"
    found = getattr(result, "unadjusted", np.nan)
    value = np.nan if isinstance(found, FitResults) else float(getattr(found, "estimate", found))
    if not np.isfinite(value):
        return None
    words = _words(result, found) if hasattr(found, "low") else analysed_value(result.effects, value)
    return value, f"unadjusted {words}"


# -- the parts ----------------------------------------------------------------------------------------------


def _filled(result: TrimAndFill, funnel: Funnel, sign: Sign) -> Overlay:
    """Return the studies that were filled in, as hollow marks, and the other of the two means."""
    y = result.filled.y[result.is_filled]
    points = Points(
        x=places_of(result.measure, y).tolist(),
        y=funnel.heights[result.mirrored].tolist(),
        name=f"filled (k0 = {result.k0})",
        labels=[result.filled.row_labels[i] for i in np.flatnonzero(result.is_filled)],
        color=sign.color,
        shape="lozenge" if funnel.alone is result else sign.mark,
        size=6.5,
        hollow=True,
        extra={
            "effect": y.tolist(),
            "se": np.sqrt(result.filled.v[result.is_filled]).tolist(),
            "shown": back_by_rows(result.filled, result.filled.y)[result.is_filled].tolist(),
            "filled": [True] * result.k0,
        },
    )
    if funnel.alone is result:
        before = result.unadjusted.pooled()
        line = Rule(
            at=places_of(result.measure, before.estimate),
            name=f"unadjusted {_words(result, before)}",
            color="study",
            dash="dashdot",
            width=1.2,
        )
        return Overlay([line] if result.k0 else (), [points], [*y.tolist(), float(before.estimate)])
    adjusted = _adjusted(result, funnel, sign)
    return Overlay(adjusted.lines, [points], [*y.tolist(), *adjusted.values])


def _regression(result: RegressionTest, funnel: Funnel, sign: Sign) -> Overlay:
    """Return the line of a regression test, which goes to the limit of studies without sampling error."""
    quantity, predictor = PREDICTORS.get(result.predictor, ("", np.positive))
    name = "Egger line" if result.predictor == "se" else result.name
    limit = result.limit_estimate
    if result.has_limit:
        ends = analysed_value(result.effects, limit, result.limit_low, result.limit_high, result.level)
        name = f"{name}, limit {ends}"

    def line(values: Array) -> Array:
        return result.line(values)[0]

    at = partial(_at_predictor, line, predictor)
    found = _fitted(funnel, at, line(result.x), quantity, name, sign, "solid", limit)
    return _together([Overlay(notes=_reason(result)), found])


def _reason(result: RegressionTest | PetPeese) -> list[str]:
    """Return why effects are regressed on what they are."""
    return [f"{_first_upper(result.reason).rstrip('.')}."] if result.reason else []


def _pet_peese(result: PetPeese, funnel: Funnel, signs: Iterator[Sign]) -> Overlay:
    """Return both curves; the one that the rule chose is solid."""
    quantity, predictor = PREDICTORS.get(result.predictor, ("", np.positive))
    parts = [Overlay(notes=_reason(result))]
    for part in (result.pet, result.peese):
        chosen = part.name == result.chosen
        parts.append(
            _fitted(
                funnel,
                partial(_at_predictor, part.at, predictor),
                part.at(result.x),
                quantity,
                f"{part.name} {_words(result, part)}" + (", chosen" if chosen else ""),
                next(signs),
                "solid" if chosen else "dotted",
                part.estimate,
            )
        )
    return _together(parts)


def _at_predictor(
    at: Callable[[Array], Array], predictor: Callable[[Array], Array], quantities: Array
) -> Array:
    """Return fitted effects at values of what a predictor is made from."""
    return at(predictor(quantities))


def _limit(result: LimitMetaAnalysis, funnel: Funnel, signs: Iterator[Sign]) -> Overlay:
    """Return the expected effects of studies of any size, and each effect with its limit."""
    at_zero = result.adjust == "beta0"  # the curve ends at the adjusted mean
    name = f"{result.name} {_words(result, result)}" if at_zero else "expected effect (limit meta-analysis)"
    sign, limit = next(signs), float(result.curve(0.0))
    each = result.curve(np.sqrt(result.effects.v))
    parts = [_fitted(funnel, result.curve, each, "se", name, sign, "solid", limit)]
    if not at_zero:
        parts.append(_adjusted(result, funnel, next(signs)))
    x, limits = (places_of(result.measure, values) for values in (result.effects.y, result.shrunken))
    lines = Intervals(
        at=funnel.heights.tolist(),
        low=np.minimum(x, limits).tolist(),
        high=np.maximum(x, limits).tolist(),
        color="pale",
        width=0.6,
    )
    points = Points(
        x=limits.tolist(),
        y=funnel.heights.tolist(),
        name="limit of each effect (shrunken)",
        labels=result.effects.row_labels,
        color=sign.color,
        shape="lozenge",
        size=4.0,
        extra={"effect": result.shrunken.tolist()},
    )
    found = _together(parts)
    values = [*found.values, *result.shrunken.tolist()]
    return Overlay([lines, *found.lines], [points, *found.points], values, found.notes)


def _adjusted(result: AdjustedEstimate, funnel: Funnel, sign: Sign) -> Overlay:
    """Return an adjusted mean as a line from edge to edge; words where there is no estimate."""
    if not np.isfinite(result.estimate):
        return Overlay(notes=[f"{_first_upper(result.name)} has no estimate."])
    name = f"{result.name} {_words(result, result)}"
    return Overlay([_upright(funnel, result.estimate, name, sign, sign.mark)], (), [result.estimate])


def _upright(funnel: Funnel, value: float, name: str, sign: Sign, mark: str) -> Curve:
    """Return a line at a value, with a mark at its upper end."""
    low, high = max(funnel.ends[0], 0.0), funnel.ends[1]
    at = places_of(funnel.es.measure, value)
    heights = [low, high] if funnel.side.falls else [high - 0.02 * (high - low), funnel.ends[0]]
    return Curve(x=[at, at], y=heights, name=name, color=sign.color, dash=sign.dash, width=1.2, mark=mark)


def _fitted(
    funnel: Funnel,
    at: Callable[[Array], Array],
    each: Array,
    quantity: str,
    name: str,
    sign: Sign,
    dash: Dash,
    limit: float,
) -> Overlay:
    """Return fitted effects: a curve where the axis shows what they depend on, else a mark per effect.

    `at`: fitted effects from standard errors or sample sizes (`quantity`; neither if it is empty).
    `each`: the fitted effect of each study.
    `limit`: what they go to as studies grow; NaN if there is no limit.
    """
    measure, side = funnel.es.measure, funnel.side
    top = np.array([limit] if np.isfinite(limit) else [])
    if side.quantity == quantity:
        low, high = float(funnel.heights.min()), float(funnel.heights.max())
        ends = (funnel.ends[0] if side.falls and top.size else low, funnel.ends[1] if top.size else high)
        heights = side.heights(ends)
        values = at(side.quantities(heights))
        curve = Curve(
            x=places_of(measure, values).tolist(),
            y=heights.tolist(),
            name=name,
            color=sign.color,
            dash=dash,
            width=1.4,
            mark=sign.mark,
        )
        return Overlay([curve], (), values.tolist())
    layers = [
        Points(
            x=places_of(measure, each).tolist(),
            y=funnel.heights.tolist(),
            name=f"{name}: fitted effects",
            labels=funnel.es.row_labels,
            color=sign.color,
            shape=sign.mark,
            size=3.5,
            hollow=dash != "solid",
            extra={"effect": each.tolist()},
        )
    ]
    if side.falls and top.size:
        layers.append(
            Points(x=[places_of(measure, limit)], y=[0.0], color=sign.color, shape=sign.mark, size=5.5)
        )
    note = (
        "Small marks of fitted effects stand at the height of each study: over this axis they are no curve."
    )
    return Overlay((), layers, [*each.tolist(), *top.tolist()], [note])


def _together(parts: Sequence[Overlay]) -> Overlay:
    return Overlay(
        [line for part in parts for line in part.lines],
        [layer for part in parts for layer in part.points],
        [value for part in parts for value in part.values],
        [note for part in parts for note in part.notes],
    )


# -- the words ----------------------------------------------------------------------------------------------


def _words(result: BiasResult, part: Any) -> str:
    """Return an estimate with its interval as the axis has it."""
    level = getattr(result, "level", 0.95)
    return analysed_value(result.effects, part.estimate, part.low, part.high, level)


def sentence_of(result: BiasResult) -> str:
    """Return what a result found, as a sentence of its own."""
    return _first_upper(typeset(result.sentence)).rstrip(".") + "."


def _first_upper(words: str) -> str:
    return words[:1].upper() + words[1:]
