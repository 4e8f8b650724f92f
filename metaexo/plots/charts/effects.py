"""What charts of effects share: whose effects they are, their axis, sizes of marks, and swarms of points."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.conversions.scales import back_pooled, without_noise
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure
from metaexo.errors import InputError, TooFewStudiesError, UnknownChoiceError
from metaexo.formatting import fixed, interval, level_words, number, plural, shown
from metaexo.heterogeneity import AttributionResults, CountStrata, StratifiedResults
from metaexo.inputs import describe
from metaexo.models.counts.fit import CountResults
from metaexo.models.linear.results import FitResults
from metaexo.plots.canvas.chart import ChartAxis, Points, Rule, group_sign, steady
from metaexo.plots.canvas.plan import is_axes, size_of
from metaexo.plots.canvas.scale import (
    FURTHEST,
    axis_words,
    from_axis,
    given_limits,
    on_axis,
    place_of,
    robust_limits,
    whole_range,
)
from metaexo.plots.canvas.tables import levels_of
from metaexo.plots.canvas.theme import Color, Theme
from metaexo.plots.canvas.words import derived_words, same_line, stratum_words
from metaexo.plots.canvas.words import words as in_words
from metaexo.plots.forest.rows import READABLE, caution_notes
from metaexo.types import Array, Index

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

NO_ESTIMATE = "no estimate of its own: no event in either arm, or events in everyone"
FEW = 8  # values that a note lists
AROUND, LEAST = 110.0, 36.0  # points: what stands above and below a panel, and its least height
NARROW, LETTERS = 400.0, 50.0  # a chart less wide, in points or letters, has its legend below the panel
SMALLEST = 1.5  # points: diameter of the smallest mark
Sizes = Literal["weight", "precision", "equal"]
SIZE_WORDS = {
    "weight": "Area of a mark: weight of the effect in the model.",
    "precision": "Area of a mark: precision of the effect (1 / standard error).",
    "equal": "",
}


def fit_of_points(results: Any, kind: str, others: str = "", remedy: str = "") -> FitResults:
    """Return a fit of effects that are points.

    `kind`: what is drawn, for errors.
    `others`: what else it can be made of, in words.
    Raises InputError for all else.
    """
    if (
        isinstance(results, FitResults)
        and isinstance(results.effects, EffectSizes)
        and not isinstance(results, AttributionResults | StratifiedResults)
    ):
        return with_estimates(results, kind) if isinstance(results, CountResults) else results
    raise InputError(
        f"{kind} cannot be made of {describe(results)}",
        f"a fit of effects{others}",
        remedy
        or (
            "draw strata by mx.plots.orchard or forest"
            if isinstance(results, StratifiedResults)
            else "draw them by mx.plots.forest or labbe, or their overall fit"
            if isinstance(results, CountStrata)
            else "hand in mx.RandomEffects(...).fit(), or another fit"
        ),
    )


def with_estimates(fit: CountResults, kind: str) -> CountResults:
    """Return a fit of counts on the studies that have an estimate of their own; the others have no place.

    `kind`: what is drawn, for errors.
    Raises InputError if no study has one, if the pooled effect is infinite, or if it rests on the others too.
    """
    has = fit.has_estimate
    remedy = "draw mx.plots.forest(fit), or mx.plots.labbe(fit) of two arms"
    if not np.isfinite(fit.beta).all():
        raise InputError(f"the pooled effect is infinite: {kind} has no place for it", "a finite one", remedy)
    if has.all():
        return fit
    lacking = plural(fit.k - int(has.sum()), "study", "studies")
    if not has.any():
        raise InputError(f"{lacking} without an estimate", "studies that have one", remedy)
    rows = np.flatnonzero(has)
    part = fit.on(fit.counts.select(has, NO_ESTIMATE), fit.design.at(rows))
    if not np.allclose(part.beta, fit.beta, rtol=0.0, atol=1e-4 * fit.se):
        raise InputError(
            f"{lacking} without an estimate, and the pooled effect rests on them too",
            f"a model whose pooled effect is that of the studies that {kind} can show",
            f"{remedy}, or the effects of the others: counts.effect_sizes(...)",
        )
    return part


def unseen_notes(es: EffectSizes) -> tuple[str, ...]:
    """Return how many studies are not shown because they have no estimate of their own."""
    left_out = () if es.ledger is None else es.ledger.left_out
    count = sum(one.reason == NO_ESTIMATE for one in left_out)
    if not count:
        return ()
    return (f"Not shown: {plural(count, 'study', 'studies')} without an estimate.",)


def effects_of(
    results: Any, kind: str, others: str = "", every: bool = False
) -> tuple[EffectSizes, FitResults | None]:
    """Return the effects of a fit, of strata or bare ones, and the (overall) fit if there is one.

    `kind`: what is drawn, for errors.
    `others`: what else it can be made of, in words.
    `every`: whether a fit of counts keeps the studies without an estimate.
    Raises InputError for all else, and TooFewStudiesError if there are no effects.
    """
    if isinstance(results, EffectSizes):
        es, fit = results, None
    elif isinstance(results, StratifiedResults) and results.overall is None:
        es, fit = results.effects, None
    else:
        overall = results.overall if isinstance(results, StratifiedResults) else results
        if every and isinstance(overall, CountResults):
            return overall.effects, overall
        fit = fit_of_points(overall, kind, f", strata of them,{others and f' {others},'} or mx.EffectSizes")
        es = cast("EffectSizes", fit.effects)
    if es.k == 0:
        raise TooFewStudiesError("there are no effects", "at least one effect", "look at the ledger")
    return es, fit


def groups_of(
    results: Any, es: EffectSizes, by: str | None, wording: Mapping[str, str] | None = None
) -> list[str]:
    """Return the group of each effect: its value of a column, or its stratum; empty without groups."""
    if by is not None:
        return [in_words(value, wording) for value in es.column(by)]
    if not isinstance(results, StratifiedResults | CountStrata):
        return []
    groups = [""] * es.k
    for stratum in results.strata:
        for row in stratum.rows:
            groups[int(row)] = stratum_words(stratum.levels, wording)
    return groups


def space_of(
    ax: Axes | Figure | SubFigure | None, width: float, height: float | None, panel: float = LEAST
) -> tuple[float, float]:
    """Return the width of a chart and the height of its panel in points, the second by and large.

    `panel` is the height of the panel where neither `ax` nor `height` says how high the chart is.
    """
    if ax is None:
        return 72 * width, panel if height is None else max(72 * height - AROUND, LEAST)
    wide, high = (72 * side for side in size_of(ax))
    return wide, max(high if is_axes(ax) else high - AROUND, LEAST)


def legend_beside(wide: float, theme: Theme) -> Literal["right", "below"]:
    """Return where the legend of a chart of one panel stands: below where its width in points is small."""
    return "right" if wide >= max(NARROW, LETTERS * theme.small) else "below"


# -- axes ----------------------------------------------------------------------------------------------------


def value_axis(
    es: EffectSizes,
    always: ArrayLike,
    bounds: ArrayLike = (),
    limits: tuple[float, float] | None = None,
    label: str | None = None,
) -> ChartAxis:
    """Return the axis of effects on the scale that is shown.

    `always`: shown values that the axis holds, whatever happens.
    `bounds`: shown ends of intervals; those far outside are cut.
    `limits`: ends that the user gave, on the scale that is shown.
    """
    measure = es.measure
    if limits is None:
        places = [_places(es, values) for values in (bounds, always)]
        low, high = robust_limits(places[0], (), places[1])
        if not measure.display_log:
            low, high = whole_range(measure, low, high)
    else:
        low, high = given_limits(measure, limits)
    return ChartAxis(
        label=axis_words(measure, label),
        scale="log" if measure.display_log else "linear",
        limits=(from_axis(measure, low), from_axis(measure, high)),
    )


def _places(es: EffectSizes, values: ArrayLike) -> list[float]:
    found = np.asarray(values, dtype=float).ravel()
    return [on_axis(es.measure, float(x)) for x in found[np.isfinite(found)]]


def places_of(measure: Measure, values: Any) -> Any:
    """Return values of the analysis on an axis of what was analysed, on which only ratios are as shown."""
    y = np.asarray(values, dtype=float)
    found = np.exp(np.clip(y, -FURTHEST, FURTHEST)) if measure.display_log else y
    return float(found) if found.ndim == 0 else found


def analysed_words(measure: Measure, name: str | None = None) -> str:
    """Return the words at an axis of what was analysed; default: the name of the measure."""
    name = measure.display if name is None else name
    if measure.rescaled and not measure.display_log:
        return f"{name}, as analysed ({measure.code})"
    return axis_words(measure, name)


def analysed_value(
    es: EffectSizes, value: float, low: float = math.nan, high: float = math.nan, level: float = 0.95
) -> str:
    """Return a mean with its interval as an axis of what was analysed has it, and as the measure is shown."""
    value, low, high = without_noise(es, [value, low, high])
    middle, least, most = (float(one) for one in back_pooled(es, [value, low, high]))
    digits = _decimals(least, most)
    write = shown if es.measure.display_log or digits > READABLE else fixed  # a ratio is never 0
    digits = 2 if digits > READABLE else digits
    ends = f"{level_words(level)} CI {write(least, digits)} to {write(most, digits)}" if digits else ""
    said = write(middle, digits) if digits else shown(middle, 2)
    if es.measure.rescaled and not es.measure.display_log:
        name = f"{es.measure.display[:1].lower()}{es.measure.display[1:]}"
        place = fixed(value, digits) if digits else shown(value, 2)
        return f"{place} ({name} {', '.join(filter(None, (said, ends)))})"
    return said + (f" ({ends})" if ends else "")


def _decimals(low: float, high: float) -> int:
    """Return how many decimals the ends of an interval need, two at least; 0 if there is no interval."""
    if not math.isfinite(high - low):
        return 0
    return min(12, max(2, 1 - math.floor(math.log10(high - low)))) if high > low else 2


def reference_rules(es: EffectSizes, reference: float | Literal["null"] | None) -> list[Rule]:
    """Return the reference line on an axis of what was analysed, if there is one."""
    if reference == "null":
        null = es.measure.null
        return [] if math.isnan(null) else [Rule(at=places_of(es.measure, null), name="no effect")]
    at = reference_of(es, reference)
    return [] if at is None else [Rule(at=at, name=f"reference {shown(at, 2)}")]


def reference_of(es: EffectSizes, reference: float | Literal["null"] | None) -> float | None:
    """Return where a reference line stands on the scale that is shown; None for no line."""
    measure = es.measure
    if reference is None:
        return None
    if reference == "null":
        null = float(measure.back(np.array(measure.null)))
        return null if math.isfinite(null) else None
    place_of(measure, float(reference), "reference")
    return float(reference)


def kept_in_view(
    layers: Sequence[Points],
    axis: ChartAxis,
    upright: bool,
    beside: bool = True,
    what: str = "an effect",
) -> tuple[list[Points], tuple[str, ...]]:
    """Return points as hollow triangles at the edge where they are beyond the axis, and a note of how many.

    `upright`: whether the axis is the vertical one.
    `beside`: whether their values stand beside them; else the note has them, if there are few.
    `what`: what is beyond the axis, in words.
    """
    low, high = sorted(axis.limits or (-math.inf, math.inf))
    along = "y" if upright else "x"
    edges_of = ("triangle_down", "triangle") if upright else ("left", "right")
    edges_of = edges_of[::-1] if axis.inverted else edges_of
    out: list[Points] = []
    far: list[str] = []
    for layer in layers:
        values = np.asarray(getattr(layer, along), dtype=float)
        inside = (values >= low) & (values <= high)
        out += [rows_of_points(layer, inside)] if inside.any() or layer.name else []
        for there, edge, shape in (
            (values < low, low, edges_of[0]),
            (values > high, high, edges_of[1]),
        ):
            if there.any():
                beyond = rows_of_points(layer, there)
                said = [shown(v, 2) for v in values[there]]
                edges = {along: [edge] * len(said), "words": said if beside else ()}
                look = {"shape": shape, "hollow": True, "size": 6.0, "clip": False, "name": "", "alpha": 1.0}
                out.append(replace(beyond, **edges, **look))  # type: ignore[arg-type]
                far += said
    listed = f": {', '.join(far)}" if len(far) <= FEW and not beside else ""
    note = f"Hollow triangle at the edge: {what} beyond the axis ({len(far)}{listed})."
    return out, (note,) if far else ()


def hidden_note(layers: Sequence[Points]) -> tuple[str, ...]:
    """Return how many marks stand exactly where others do, which hide them."""
    places = Counter(
        place
        for layer in layers
        for place in zip(steady(layer.x).tolist(), steady(layer.y).tolist(), strict=True)
    )
    shared = [n for n in places.values() if n > 1]
    if not shared:
        return ()
    return (f"{sum(shared)} marks stand at {plural(len(shared), 'place')} and hide each other.",)


def rows_of_points(layer: Points, keep: NDArray[np.bool_]) -> Points:
    """Return some of the points of a layer."""
    return _at(layer, np.flatnonzero(keep).tolist())


def in_order(layer: Points, rank: ArrayLike) -> Points:
    """Return the points of a layer by a rank for each, the lowest first; the first have their words first."""
    return _at(layer, np.argsort(np.asarray(rank, dtype=float), kind="stable").tolist())


def _at(layer: Points, at: Sequence[int]) -> Points:
    kept: dict[str, Any] = {
        name: [values[i] for i in at]
        for name in ("x", "y", "labels", "words", "size")
        if not isinstance(values := getattr(layer, name), int | float) and len(values)
    }
    kept["extra"] = {key: [values[i] for i in at] for key, values in layer.extra.items()}
    return replace(layer, **kept)


def shown_pooled(es: EffectSizes, values: ArrayLike) -> Array:
    """Return pooled effects and bounds on the scale that is shown, within the range of the measure."""
    shown: Array = np.clip(back_pooled(es, values), *es.measure.possible)
    return shown


def along(es: EffectSizes, axis: ChartAxis, values: ArrayLike, room: float) -> Array:
    """Return the places of shown values along an axis of effects with a room in points; ends hold all."""
    ends = _places(es, axis.limits or (0.0, 1.0))
    places = np.array([on_axis(es.measure, float(x)) for x in np.asarray(values, dtype=float)])
    return np.asarray(room * np.clip((places - ends[0]) / (ends[1] - ends[0]), 0.0, 1.0))


# -- marks ---------------------------------------------------------------------------------------------------


def shares_of(fit: FitResults, sizes: Sizes) -> Array:
    """Return what the areas of the marks of a fit's effects are in proportion to, shape (k,)."""
    assert isinstance(fit.effects, EffectSizes)
    v = fit.effects.v
    if sizes == "equal":
        return np.ones(fit.k)
    if sizes == "precision":
        return precisions(fit.effects)
    for name in ("weights", "diagonal_weights"):
        weights = getattr(fit, name, None)
        if weights is not None and np.isfinite(weights).all():
            return np.asarray(weights, dtype=float)
    tau2: Array = np.asarray(getattr(fit, "tau2_by_effect", fit.tau2), dtype=float)
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / (v + tau2))


def precisions(es: EffectSizes) -> Array:
    """Return 1 / standard error of each effect, infinite for one without sampling variance."""
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / (np.sqrt(es.v)))


def diameters(shares: ArrayLike, largest: float) -> Array:
    """Return diameters of marks whose areas are in proportion to `shares`; the largest mark is given."""
    share = np.asarray(shares, dtype=float)
    finite = share[np.isfinite(share)]
    top = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    share = np.clip(np.nan_to_num(share / top, nan=0.0, posinf=1.0), 0.0, 1.0)
    return np.asarray(np.maximum(largest * np.sqrt(share), SMALLEST))


def size_notes(sizes: Sizes, found: Array) -> tuple[str, ...]:
    """Return what the areas of marks stand for."""
    words = SIZE_WORDS[sizes]
    if words and (found <= SMALLEST).any():
        words = f"{words[:-1]}; the smallest marks are drawn larger than that."
    return (words,) if words else ()


def largest_of(k: int, marker_size: float | None) -> float:
    """Return the diameter of the largest of k marks: smaller where there are many."""
    return marker_size if marker_size is not None else min(13.0, max(2.5, 24.0 / k**0.28))


def words_beside(
    es: EffectSizes, labels: str | Sequence[str], outside: NDArray[np.bool_] | None = None
) -> list[str]:
    """Return what stands beside each mark: labels of all rows ("all"), or of those that are named.

    `outside`: which effects the word "outside" stands for, where it is a choice.
    Raises UnknownChoiceError for a label that no row has.
    """
    known = es.row_labels
    if labels == "all":
        return list(known)
    if labels == "outside" and outside is not None:
        return [name if out else "" for name, out in zip(known, outside, strict=True)]
    asked = [labels] if isinstance(labels, str) else [str(one) for one in labels]
    for one in asked:
        if one not in known:
            choices = ["all"] if outside is None else ["all", "outside"]
            raise UnknownChoiceError("label of a row", one, [*choices, *dict.fromkeys(known)])
    return [one if one in asked else "" for one in known]


def points_by_group(
    es: EffectSizes,
    x: ArrayLike,
    y: ArrayLike,
    size: Array | float,
    *,
    groups: Sequence[str] = (),
    color: Color = "study",
    words: Sequence[str] = (),
    alpha: float = 1.0,
    name: str = "",
    extra: Mapping[str, Sequence[Any]] | None = None,
    rows: Index | None = None,
) -> list[Points]:
    """Return the points of effects, or of some of them, a layer per group; derived effects are hollow.

    With groups each one has a colour and a shape of its own, the largest the first. The table of the points
    has the further columns `extra`, and id and group.
    """
    across, up = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    hollow = np.array([bool(es.derived) and es.derived[i].how != "reported" for i in range(es.k)])
    names = np.array(groups if len(groups) else [""] * es.k, dtype=object)
    said_beside = list(words)
    labels, counts = es.row_labels, Counter(names.tolist())
    columns = {"id": es.row_ids, "group": names.tolist(), **(extra or {})}
    wanted = np.ones(es.k, dtype=bool) if rows is None else np.isin(np.arange(es.k), rows)
    layers = []
    for position, group in enumerate(levels_of(list(names)) if len(groups) else [""]):
        sign: tuple[Color, str] = group_sign(position) if len(groups) else (color, "circle")
        said = f"{group} ({same_line(f'k = {counts[group]}')})" if len(groups) else name
        for is_hollow in (False, True):
            at = np.flatnonzero((names == group) & (hollow == is_hollow) & wanted)
            if at.size:
                layers.append(
                    Points(
                        x=across[at].tolist(),
                        y=up[at].tolist(),
                        name=said,
                        labels=[labels[i] for i in at],
                        words=[said_beside[i] for i in at] if said_beside else (),
                        size=float(size) if np.ndim(size) == 0 else np.asarray(size)[at].tolist(),
                        color=sign[0],
                        shape=sign[1],
                        hollow=is_hollow,
                        alpha=alpha,
                        extra={key: [values[i] for i in at] for key, values in columns.items()},
                    )
                )
                said = ""
    return layers


def swarm(places: ArrayLike, size: ArrayLike, half: float, trunk: float = 0.0, gap: float = 0.3) -> Array:
    """Return how far marks stand from a line so that none hides another; the largest stand nearest to it.

    Each mark, from the largest to the smallest, goes to the free place that is nearest to the line, from both
    sides in turn. If the marks need more than `half` on a side, all come closer in proportion, and some
    overlap.

    `places`: along the line, `size`: diameters, `half`: room on each side, `trunk`: how far from the line all
        marks stay, all in points.

    Examples
    --------
    >>> swarm([0.0, 1.0, 30.0], [4.0, 4.0, 4.0], 20.0, gap=0.0).round(2).tolist()
    [0.0, 3.87, 0.0]
    """
    at, wide = np.asarray(places, dtype=float), np.asarray(size, dtype=float) + gap
    out = np.zeros(at.size)
    done = np.empty(at.size, dtype=np.intp)
    for n, i in enumerate(np.lexsort((np.arange(at.size), -wide))):
        before = done[:n]
        reach = 0.5 * (wide[i] + wide[before])
        near = np.abs(at[before] - at[i]) < reach
        close = before[near]
        away = np.sqrt(reach[near] ** 2 - (at[close] - at[i]) ** 2)
        bark = [trunk + 0.5 * wide[i]] if trunk > 0 else []
        low, high = np.append(out[close] - away, np.negative(bark)), np.append(out[close] + away, bark)
        if low.size:
            out[i] = _nearest_free(low, high, first=1 if n % 2 else -1)
        done[n] = i
    beyond = float(np.abs(out).max(initial=0.0))
    return out * (half / beyond) if beyond > half else out


def _nearest_free(low: Array, high: Array, first: int) -> float:
    """Return the value nearest to 0 that is in none of several open intervals; of two, that of a sign."""
    order = np.argsort(low)
    low, high = low[order], np.maximum.accumulate(high[order])
    between = low[1:] >= high[:-1]
    left, right = np.append(low[1:][between], low[0]), np.append(high[:-1][between], high[-1])
    if low[0] >= 0 or high[-1] <= 0 or (left[:-1] * right[:-1] <= 0).any():
        return 0.0
    ends = np.concatenate([left, right])
    ends = ends[np.argsort(-first * np.sign(ends), kind="stable")]
    return float(ends[np.argmin(np.round(np.abs(ends), 9))])


def effect_notes(fit: FitResults) -> tuple[str, ...]:
    """Return cautions of a fit, and how hollow marks are to be read."""
    es = cast("EffectSizes", fit.effects)
    mean = "the pooled effect" if fit.design.x is None else "the intercept"
    return (*caution_notes(fit, mean), *derived_words(es.derived, "circle"), *unseen_notes(es))


def no_prediction_note(fit: FitResults | None) -> str:
    """Return why there is no prediction interval."""
    if fit is None or not fit.is_random:
        return "There is no prediction interval: the model takes the true effects as equal."
    return "There is no prediction interval: that of a new effect depends on its inner level."


def estimate_words(shown: Sequence[float], level: float) -> str:
    """Return an estimate with the ends of its interval, all as shown, for readers who do not see it."""
    estimate, low, high = shown
    return f"{number(estimate)} ({level_words(level)} CI {interval(low, high)})"


def counted(es: EffectSizes) -> str:
    """Return the numbers of effects and studies in words."""
    studies = plural(es.m, "study", "studies")
    return studies if es.m == es.k else f"{plural(es.k, 'effect')} of {studies}"
