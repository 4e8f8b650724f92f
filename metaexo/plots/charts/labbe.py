"""L'Abbé plots: the risk in the treated group against the risk in the control group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.special import expit, logit

from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.counts import EventCounts
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.sample_sizes import known_columns
from metaexo.errors import InputError
from metaexo.formatting import fixed, level_words, plural
from metaexo.heterogeneity import CountStrata
from metaexo.inputs import read_numbers
from metaexo.models.counts.fit import CountResults
from metaexo.models.linear.results import FitResults
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import (
    Band,
    Chart,
    ChartAxis,
    Curve,
    Intervals,
    Layer,
    Panel,
    Points,
    steady,
)
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import derived_words, with_ledger
from metaexo.plots.charts.effects import (
    FEW,
    diameters,
    effects_of,
    groups_of,
    in_order,
    kept_in_view,
    largest_of,
    legend_beside,
    points_by_group,
    precisions,
    rows_of_points,
    shares_of,
    size_notes,
    space_of,
    words_beside,
)
from metaexo.plots.forest.rows import caution_notes, has_one_mean, no_single_effect
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

PANEL, BESIDE = 250.0, 60.0  # points: side of the panel, and what its axis needs beside it
STEPS = 201
MOST_LISTED = 3  # labels of studies at one place
LOG = " (log scale)"
GROUPS = ("treatment", "control")
LEAST_MARK = 3.5  # points across: smaller marks are not seen beside large ones
Pair = tuple[Array, Array]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A measure of two risks: the risk with treatment from the one without and the effect, and the effect."""

    treated: Callable[[Array, Array], Array]
    effect: Callable[[Array, Array], Array]


def _arcsine(p: Array, y: Array) -> Array:
    """Return the risk that differs by y on the scale of the arcsine; beyond 0 and 1 where there is none."""
    angle = np.arcsin(np.sqrt(p)) + y
    beyond = np.minimum(angle, 0.0) + np.maximum(angle - np.pi / 2, 0.0)
    return np.asarray(np.sin(np.clip(angle, 0.0, np.pi / 2)) ** 2 + beyond)


def _root(p: Array, y: Array) -> Array:
    """Return the rate whose root differs by y; below 0 where there is none."""
    root = np.sqrt(p) + y
    return np.asarray(root * np.abs(root))


RATIO = Comparison(lambda p, y: p * np.exp(y), lambda a, b: np.log(a) - np.log(b))
ODDS = Comparison(lambda p, y: expit(logit(p) + y), lambda a, b: logit(a) - logit(b))
DIFFERENCE = Comparison(lambda p, y: p + y, lambda a, b: a - b)
ARCSINE = Comparison(_arcsine, lambda a, b: np.arcsin(np.sqrt(a)) - np.arcsin(np.sqrt(b)))
ROOT = Comparison(_root, lambda a, b: np.sqrt(a) - np.sqrt(b))
# By the code of the measure; the others have no curve.
COMPARISONS: Mapping[str, Comparison] = {
    "RR": RATIO,
    "OR": ODDS,
    "PETO": ODDS,
    "RD": DIFFERENCE,
    "AS": ARCSINE,
    "IRR": RATIO,
    "IRD": DIFFERENCE,
    "IRSD": ROOT,
}


@checked
def labbe_plan(
    results: Any,
    *,
    scale: Literal["risk", "log", "odds"] = "risk",
    by: str | None = None,
    interval: bool = True,
    level: float | None = None,
    labels: str | Sequence[str] = (),
    sizes: Literal["weight", "precision", "people", "equal"] | None = None,
    add_half: bool = False,
    marker_size: float | None = None,
    limits: tuple[float, float] | None = None,
    wording: Mapping[str, str] | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    r"""Return what a L'Abbé plot shows, without drawing it.

    Use it for trials with events: each stands at the risk in its control group and in its treated group, so
    that the diagonal is no effect, and it is seen whether effects differ because risks do. The pooled effect
    is the curve of the risks that it implies: :math:`p_1 = p_2\,e^{\hat\mu}` for a risk ratio,
    :math:`\mathrm{logit}\,p_1 = \mathrm{logit}\,p_2 + \hat\mu` for an odds ratio, :math:`p_1 = p_2 + \hat\mu`
    for a risk difference. Rates are shown likewise.

    Parameters
    ----------
    results : EventCounts, FitResults, StratifiedResults or EffectSizes
        Counts of two arms, or a fit of them; or effects that were computed from the events of two groups, or
        whose data have the columns treatment_events, treatment_n, control_events and control_n
        (treatment_time and control_time for rates). A fit gives the curve of the pooled effect.
    scale : {"risk", "log", "odds"}
        Risks or rates on equal linear axes, on logarithmic axes, or odds on logarithmic axes. On these a risk
        ratio or an odds ratio is a line that is parallel to the diagonal. A group without event, or with
        events in everyone, stands there where 1/2 more in each of its cells puts it.
    by : str, optional
        Column of the data whose values get colours and marks of their own.
    interval : bool
        Whether to show the confidence interval of the pooled effect, as a band.
    level : float, optional
        Its level. Default: that of the fit.
    labels : str or sequence of str
        Which points have their label beside them, where there is room: "all", or those of some rows. A note
        counts the labels without room.
    sizes : {"weight", "precision", "people", "equal"}, optional
        What the areas of the marks are in proportion to: weight in the fit, 1 / standard error, people or
        person-time in both groups, or nothing. Default: people for counts and for models of counts, weight
        for other fits, precision for bare effects.
    add_half : bool
        Whether groups without event, or with events in everyone, have 1/2 more in each cell with
        ``scale="risk"`` too.
    marker_size : float, optional
        Diameter of the largest mark in points.
    limits : tuple of float, optional
        Ends of both axes, in their units. Default: all studies; from 0 for risks. A study beyond them is a
        hollow triangle at the edge, and a note counts them.
    wording : mapping of str to str, optional
        Words for the values of `by`.

    Returns
    -------
    Chart
        Points, diagonal, curve and band in units of the axes. The table of the points has the further columns
        id, group, treated and control (risks or rates as observed). Where several studies stand at one place,
        as those without any event do, "×4" or their labels stand beside the largest mark. A model that has
        mean risks of both arms (:class:`metaexo.ArmBased`, :class:`metaexo.BetaBinomial`) has them as a
        diamond with both intervals.

    Raises
    ------
    InputError
        If `results` is none of the kinds above, or no effect has the events of two groups; if areas are to go
        with precisions that bare counts do not have.
    TooFewStudiesError
        If there are no effects.

    References
    ----------
    L'Abbé, K. A., Detsky, A. S., O'Rourke, K. (1987). Meta-analysis in clinical research. Annals of Internal
    Medicine 107, 224-233. https://doi.org/10.7326/0003-4819-107-2-224

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.effect_sizes(
    ...     "RR", treatment_events=[4, 6, 3], treatment_n=[123, 306, 231],
    ...     control_events=[11, 29, 11], control_n=[139, 303, 220],
    ... )
    >>> plan = mx.plots.labbe_plan(mx.RandomEffects(es).fit())
    >>> points = plan.to_frame().query("layer == 'points'")
    >>> points.set_index("label")["y"].astype(float).round(3).to_dict()
    {'2': 0.02, '1': 0.033, '3': 0.013}
    >>> ax = mx.plots.labbe(plan)
    """
    es, fit, trials = _read(results)
    if scale == "odds" and trials.rates:
        raise InputError("odds of rates", "a scale of rates", 'choose scale="risk" or scale="log"')
    y, x = trials.on(scale, add_half)
    ends = _ends(scale, x, y, limits)
    axes = [_axis(trials, scale, which, ends) for which in GROUPS]
    kind, shares = _shares(results, es, fit, trials, sizes)
    largest = largest_of(es.k, marker_size)
    exact = diameters(shares, largest)
    size = np.maximum(exact, min(LEAST_MARK, largest))
    enlarged = bool(np.any(exact < size))
    points = points_by_group(
        es,
        x,
        y,
        size,
        groups=groups_of(results, es, by, wording),
        words=words_beside(es, labels),
        alpha=0.85,
        extra={"treated": trials.risks[0].tolist(), "control": trials.risks[1].tolist()},
    )
    points = _largest_first([rows_of_points(layer, np.isfinite(layer.x)) for layer in points])
    points, beyond = _counted_together(points)
    for axis, upright in ((axes[1], False), (axes[0], True)):
        what = f"a {axis.label.removesuffix(LOG).lower()}"
        points, far = kept_in_view(points, axis, upright=upright, beside=False, what=what)
        beyond += far
    pooled, remarks = _pooled(es, fit, trials, scale, ends, level, interval)
    wide, look = space_of(ax, width, height, PANEL)[0], get_theme(theme, font_size)
    chart = Chart(
        legend=legend_beside(wide, look),
        panels=(
            Panel(
                x=axes[1],
                y=axes[0],
                layers=[
                    *(layer for layer in pooled if isinstance(layer, Band)),
                    Curve(x=list(ends), y=list(ends), name="no effect", color="pale"),
                    *(layer for layer in pooled if not isinstance(layer, Band)),
                    *points,
                    *_means(fit, scale),
                ],
                equal=True,
            ),
        ),
        summary=with_ledger(_summary(trials, x, y), es.ledger),
        title=title,
        notes=(
            *(_people_notes(trials, enlarged) if kind == "people" else size_notes(kind, size)),
            *remarks,
            *_notes(es, trials, scale, add_half),
            *beyond,
            *_cautions(fit),
            *derived_words(es.derived, "circle"),
            *notes,
        ),
        width=width,
        height=height or width,
        theme=look,
    )
    return chart if height else chart.with_panels(min(PANEL, wide - BESIDE))


@dataclass(frozen=True, slots=True)
class Trials:
    """Events of the treated and the control groups, and people or person-times; NaN where not known."""

    events: Pair
    sizes: Pair
    rates: bool

    @property
    def risks(self) -> Pair:
        """Risks or rates as observed."""
        return self.events[0] / self.sizes[0], self.events[1] / self.sizes[1]

    @property
    def extreme(self) -> tuple[Mask, Mask]:
        """Which groups have no event, or events in everyone, each of shape (k,)."""
        treated, control = (
            np.asarray((x == 0) | ((x == n) & (not self.rates)))
            for x, n in zip(self.events, self.sizes, strict=True)
        )
        return treated, control

    def on(self, scale: str, add_half: bool = False) -> Pair:
        """Return what is drawn of the treated and of the control groups."""
        if scale == "risk" and not add_half:
            return self.risks
        drawn = []
        for x, n, extreme in zip(self.events, self.sizes, self.extreme, strict=True):
            more = np.where(extreme, 0.5, 0.0)
            risk = (x + more) / (n + (0.0 if self.rates else 2 * more))
            drawn.append(risk / (1 - risk) if scale == "odds" else risk)
        return drawn[0], drawn[1]


def _read(results: Any) -> tuple[EffectSizes, FitResults | None, Trials]:
    """Return the effects, the (overall) fit if there is one, and the events of both groups."""
    if isinstance(results, EventCounts):
        _check_arms(results)
        es = results.study_estimates("IRD" if results.person_time else "RD")
        return _as_counted(es), None, _trials_of_counts(results)
    if isinstance(results, CountStrata):
        return _read(results.overall)
    es, fit = effects_of(results, "a L'Abbé plot", "counts of two arms", every=True)
    if isinstance(fit, CountResults):
        return _as_counted(es), fit, _trials_of_counts(fit.counts)
    return es, fit, _trials(es)


def _as_counted(es: EffectSizes) -> EffectSizes:
    """Return effects without word of what was added to cells: studies are shown as they were counted."""
    made = object.__new__(EffectSizes)
    made.__setstate__(es.__dict__ | {"derived": ()})
    return made


def _check_arms(counts: EventCounts) -> None:
    """Refuse counts of one arm."""
    if counts.arms == 1:
        raise InputError(
            "the counts are of one arm",
            "counts of a treated and a control arm",
            "draw mx.plots.forest(...) of them",
        )


def _trials_of_counts(counts: EventCounts) -> Trials:
    """Return the events of both arms."""
    _check_arms(counts)
    events, sizes = counts.events.T, counts.totals.T
    return Trials((events[0], events[1]), (sizes[0], sizes[1]), counts.person_time)


def _shares(
    results: Any, es: EffectSizes, fit: FitResults | None, trials: Trials, sizes: str | None
) -> tuple[Any, Array]:
    """Return what the areas of marks go with, in a word, and in numbers."""
    counted = isinstance(results, EventCounts) or isinstance(fit, CountResults)
    kind = sizes or ("people" if counted else "weight")
    if fit is None and kind == "weight":
        kind = "people" if counted else "precision"
    if kind == "equal":
        return kind, np.ones(es.k)
    if kind == "people" or (kind == "weight" and counted and getattr(fit, "weights", None) is None):
        return "people", trials.sizes[0] + trials.sizes[1]
    if fit is not None:
        return kind, shares_of(fit, "precision" if kind == "precision" else "weight")
    if counted:
        raise InputError(
            'sizes="precision" for counts, which have no standard errors',
            "effects, or a fit",
            'choose sizes="people"',
        )
    return kind, precisions(es)


def _counted_together(points: Sequence[Points]) -> tuple[list[Points], tuple[str, ...]]:
    """Return points with the number of those at one place beside the largest of them, and a note of it.

    The labels of a few are listed there in the place of their number.
    """
    places = [list(zip(steady(layer.x).tolist(), steady(layer.y).tolist(), strict=True)) for layer in points]
    together: dict[tuple[float, float], list[str]] = {}
    for layer, there in zip(points, places, strict=True):
        for place, word in zip(there, layer.words or [""] * len(there), strict=True):
            together.setdefault(place, []).append(word)
    shared = {place: words for place, words in together.items() if len(words) > 1}
    if not shared:
        return list(points), ()
    told: set[tuple[float, float]] = set()
    out = []
    for layer, there in zip(points, places, strict=True):
        beside = list(layer.words) or [""] * len(there)
        for i, place in enumerate(there):
            if place in shared:
                beside[i] = "" if place in told else _listed(shared[place])
                told.add(place)
        out.append(replace(layer, words=beside))
    most = sorted(shared.items(), key=lambda item: -len(item[1]))  # steady: those of one number as drawn
    there_are = [f"{len(words)} at ({x:.3g}, {y:.3g})" for (x, y), words in most[:FEW]]
    if len(shared) > FEW:
        rest = sum(len(words) for _, words in most[FEW:])
        there_are.append(f"{rest} at {plural(len(shared) - FEW, 'other place')}")
    return out, (f"Studies that overlap (×n beside them, where there is room): {', '.join(there_are)}.",)


def _listed(words: Sequence[str]) -> str:
    """Return what stands beside studies at one place: their labels as far as they are wanted, or "×4"."""
    wanted = [word for word in words if word]
    if not wanted or len(wanted) > MOST_LISTED:
        return f"×{len(words)}"
    more = len(words) - len(wanted)
    return "; ".join(wanted) + (f" and {more} more" if more else "")


def _trials(es: EffectSizes) -> Trials:
    """Return the events behind effects; raises InputError if none has them."""
    known = known_columns(es)
    for ending in ("n", "time"):
        names = [f"{group}_{what}" for what in ("events", ending) for group in GROUPS]
        if set(names) <= set(known):
            found = [read_numbers(known[name], name, rows=es.row_labels, ndim=1) for name in names]
            whole = np.isfinite(found).all(axis=0) & (found[2] > 0) & (found[3] > 0)
            whole &= (found[0] >= 0) & (found[1] >= 0)
            if ending == "n":
                whole &= (found[0] <= found[2]) & (found[1] <= found[3])
            if whole.any():
                one, two, three, four = (np.where(whole, values, np.nan) for values in found)
                return Trials((one, two), (three, four), ending == "time")
    raise InputError(
        "the events behind the effects are not known",
        "effects computed from treatment_events, treatment_n, control_events and control_n, or these columns "
        "in their data",
        'compute the effects with mx.effect_sizes("RR", ...), or hand in data=',
    )


def _ends(scale: str, x: Array, y: Array, limits: tuple[float, float] | None) -> tuple[float, float]:
    """Return the ends of both axes."""
    if limits is not None:
        low, high = (float(end) for end in limits)
        if not low < high or (scale != "risk" and low <= 0) or low < 0:
            least = "at least 0" if scale == "risk" else "above 0"
            raise InputError(
                f"the limits are {limits}", f"two numbers {least}, the lower one first", "exchange them"
            )
        return low, high
    values = np.concatenate([x, y])
    values = values[np.isfinite(values)]
    if scale == "risk":
        most = float(values.max()) or 1.0
        corner = int(((x == 0) & (y == 0)).sum()) > 1  # room for their number
        return (-0.07 if corner else -0.02) * most, 1.06 * most
    low, high = float(values.min()), float(values.max())
    room = (high / low) ** 0.06 if high > low else 1.5
    return low / room, high * room


def _axis(trials: Trials, scale: str, which: str, ends: tuple[float, float]) -> ChartAxis:
    """Return one of the two axes, which are equal."""
    what = "Rate" if trials.rates else "Risk" if scale != "odds" else "Odds"
    group = "treated" if which == "treatment" else which
    label = f"{what} in the {group} group" + ("" if scale == "risk" else LOG)
    return ChartAxis(label=label, scale="linear" if scale == "risk" else "log", limits=ends)


def _pooled(
    es: EffectSizes,
    fit: FitResults | None,
    trials: Trials,
    scale: str,
    ends: tuple[float, float],
    level: float | None,
    interval: bool,
) -> tuple[list[Layer], list[str]]:
    """Return the curve of the pooled effect with its band, and what is to be said of it."""
    if fit is None:
        return [], []
    if not has_one_mean(fit):
        return [], no_single_effect(fit)
    comparison = COMPARISONS.get(es.measure.code)
    if comparison is None:
        return [], [f"A pooled {es.measure.display} has no curve in this plot."]
    sign = _sign(es, trials, comparison)
    if sign == 0:
        return [], ["Effects were turned so that positive means benefit; turned and others share no curve."]
    pooled = fit.pooled(level or fit.level)
    if not np.isfinite(pooled.estimate):
        return [], [f"The pooled {_lower(es.measure.display)} is not finite, so it has no curve."]
    at, risks = _grid(scale, ends, trials.rates)
    most = np.inf if trials.rates else 1.0

    def curve(effect: float) -> tuple[Array, Mask]:
        """Return the places of what an effect implies, and where that is possible."""
        with np.errstate(over="ignore", divide="ignore"):
            treated = np.asarray(comparison.treated(risks, np.asarray(sign * effect)))
            possible = (treated >= 0) & (treated <= most)
            treated = np.clip(treated, 0.0, most)
            return (treated / (1 - treated) if scale == "odds" else treated), possible

    value = fixed(float(back_pooled(es, pooled.estimate)), 2)
    name = f"pooled {_lower(es.measure.display)} {value}"
    middle, possible = curve(pooled.estimate)
    layers: list[Layer] = [
        Curve(
            x=at[possible].tolist(),
            y=middle[possible].tolist(),
            name=name,
            color="pooled",
            width=1.2,
            dash="dashed",
        )
    ]
    if interval and np.isfinite([pooled.low, pooled.high]).all():
        low, high = np.sort([curve(pooled.low)[0], curve(pooled.high)[0]], axis=0)
        view = (0.0, 1e6 * ends[1]) if scale == "risk" else (1e-6 * ends[0], 1e6 * ends[1])
        layers.append(
            Band(
                x=at.tolist(),
                low=np.clip(low, *view).tolist(),
                high=np.clip(high, *view).tolist(),
                name=f"{level_words(level or fit.level)} interval of the pooled effect",
            )
        )
    return layers, []


def _means(fit: FitResults | None, scale: str) -> list[Layer]:
    """Return the mean risks, or rates, of both arms where a model has them, with their intervals."""
    known = isinstance(fit, CountResults) and has_one_mean(fit) and callable(getattr(fit, "risks", None))
    if not isinstance(fit, CountResults) or not known:
        return []
    table: pd.DataFrame = fit.risks().loc[["control", "treatment"], ["estimate", "low", "high"]]  # type: ignore[attr-defined]
    values = table.to_numpy(dtype=float)
    (x, *across), (y, *up) = (values / (1 - values) if scale == "odds" else values).tolist()
    name = f"mean {'rates' if fit.counts.person_time else 'risks'} of the model, {level_words(fit.level)} CI"
    mark = Points(x=[x], y=[y], name=name, shape="diamond", color="pooled", size=7.0)
    if not np.isfinite([*across, *up]).all():
        return [mark]
    return [
        Intervals(at=[y], low=[across[0]], high=[across[1]], color="pooled"),
        Intervals(at=[x], low=[up[0]], high=[up[1]], across=False, color="pooled"),
        mark,
    ]


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:]


def _grid(scale: str, ends: tuple[float, float], rates: bool) -> tuple[Array, Array]:
    """Return places along the axis of the control group, and the risks there."""
    most = ends[1] if rates or scale == "odds" else min(ends[1], 1.0)
    if scale == "risk":
        at = np.linspace(max(ends[0], 0.0), most, STEPS)
    else:
        at = np.geomspace(ends[0], most, STEPS)
    return at, at / (1 + at) if scale == "odds" else at


def _sign(es: EffectSizes, trials: Trials, comparison: Comparison) -> int:
    """Return 1, or -1 if all effects were turned round; 0 if some were."""
    if not es.oriented:
        return 1
    as_counted = comparison.effect(*trials.on("log"))
    known = np.isfinite(as_counted) & (np.abs(as_counted) > 1e-9)
    turned = (np.sign(as_counted) != np.sign(es.y))[known]
    return 0 if turned.any() and not turned.all() else -1 if turned.any() else 1


def _largest_first(points: Sequence[Points]) -> list[Points]:
    """Return the points of each layer with the small ones drawn over the large ones."""
    return [in_order(layer, -np.broadcast_to(layer.size, (len(layer.x),))) for layer in points]


def _summary(trials: Trials, x: Array, y: Array) -> str:
    """Return what is seen, in words."""
    known = np.isfinite(x) & np.isfinite(y)
    less = int((trials.risks[0] < trials.risks[1])[known].sum())
    what = "rate" if trials.rates else "risk"
    n = int(known.sum())
    return f"L'Abbé plot of {plural(n, 'effect')}; in {less} of {n} the {what} is lower in the treated group."


def _notes(es: EffectSizes, trials: Trials, scale: str, add_half: bool) -> list[str]:
    """Return what is not as observed, or not there at all."""
    notes = []
    lacking = int(np.isnan(trials.risks[0]).sum())
    if lacking:
        verb = "is" if lacking == 1 else "are"
        notes.append(f"{lacking} of {plural(es.k, 'effect')} {verb} not shown: the events are not known.")
    moved = int(sum(extreme.sum() for extreme in trials.extreme))
    if moved and (scale != "risk" or add_half):
        what = "without event" if trials.rates else "without event, or with events in everyone"
        to = "events" if trials.rates else "cells"
        notes.append(f"1/2 is added to the {to} of {plural(moved, 'group')} {what}.")
    return notes


def _cautions(fit: FitResults | None) -> tuple[str, ...]:
    """Return what to know before relying on the fit, if there is one."""
    if fit is None:
        return ()
    return caution_notes(fit, "the pooled effect" if has_one_mean(fit) else "the intercept")


def _people_notes(trials: Trials, enlarged: bool) -> tuple[str, ...]:
    """Return what the areas of marks stand for that go with the sizes of studies."""
    larger = "; the smallest marks are drawn larger than that" if enlarged else ""
    return (
        f"Area of a mark: {'person-time' if trials.rates else 'number of people'} in both groups{larger}.",
    )


labbe = drawn(labbe_plan, "Draw a L'Abbé plot.")
