"""Influence: how much a fit changes when one study is left out, one small panel per measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from metaexo import sensitivity
from metaexo.errors import InputError
from metaexo.formatting import plural
from metaexo.inputs import check_choice, describe
from metaexo.models.linear.results import FitResults
from metaexo.numeric.tails import chi2_median
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
)
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.theme import Color, Theme, get_theme
from metaexo.plots.charts.effects import space_of
from metaexo.sensitivity import Influence
from metaexo.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# More studies than these have numbers in place of names.
MOST_NAMES = 30
NAMES, PANEL = 16.0, 13.0  # most width of names, and least of a panel, in sizes of the letters of ticks
ACROSS, MANY_HIGH = 4, 185.0  # panels side by side; height of a panel of many studies in points
OUTSIDE = 1.96  # of studentised residuals: 5% of those of a normal distribution
HEADINGS = {
    "rstudent": "Studentised residual",
    "pvalue": "p of its residuals",
    "dffits": "DFFITS",
    "cooks_distance": "Cook's distance",
    "covariance_ratio": "Covariance ratio",
    "tau2": "τ² without it",
    "q": "Q without it",
    "hat": "Hat value",
    "weights": "Weight (share)",
}
DFBETAS, COMPONENTS = "dfbetas", "components"
LEAST_P, RARE = 1e-12, 0.05  # least p-value of an axis, and the one that is marked
UNITS = {"study": ("study", "studies"), "effect": ("effect", "effects")}
MARKED, OTHERS = "influential", "not influential"
EVERY, BOUND, CHANCE = "no influence, or all studies together", "bound of influence", "±1.96"
MOST_LISTED = 12


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of influence: name and values, where no influence is, bounds of it and of chance."""

    key: str
    heading: str
    values: Array
    base: float = math.nan
    bounds: tuple[float, ...] = ()
    chance: tuple[float, ...] = ()

    @property
    def scale(self) -> Literal["linear", "log"]:
        """Scale of its axis."""
        return "log" if self.key == "pvalue" else "linear"


@checked
def influence_plan(
    results: Any,
    *,
    measures: Sequence[str] | None = None,
    cluster: Any = None,
    refit: bool = True,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    """Return what a plot of case-deletion diagnostics shows, without drawing it.

    Use it to see whether single studies make the result, and in what they stand out. Each study has a line
    from the value that means no influence to its own. The numbers are those of
    :func:`metaexo.sensitivity.influence`, which has their formulas.

    Parameters
    ----------
    results : FitResults or Influence
        A fit of any family, or what :func:`metaexo.sensitivity.influence` found for one. Only a fit has the
        values of all studies together that tau2 and Q without a study are compared with.
    measures : sequence of str, optional
        What to show, in this order: "rstudent" (of single effects) or "pvalue" (of the deleted residuals of a
        cluster together), "dffits", "cooks_distance", "covariance_ratio", "tau2" or "components" (a panel
        per variance or correlation, where there are several), "q", "hat", "weights", "dfbetas" (a panel per
        coefficient). Default: all that the fit has; "dfbetas" of a single coefficient only
        where there is no "dffits".
    cluster : str or sequence, length k, optional
        Of a fit: what is left out at a time, as for :func:`metaexo.sensitivity.influence`.
    refit : bool
        Of a multilevel fit: whether the components are estimated anew without each cluster.

    Returns
    -------
    Chart
        One panel per measure. A mark where the fit without the study is not possible is missing and named in
        a note.

    Raises
    ------
    InputError
        If there is neither a fit with deleted versions nor its influence.
    UnknownChoiceError
        If there is no such measure.

    References
    ----------
    Viechtbauer, W., Cheung, M. W.-L. (2010). Outlier and influence diagnostics for meta-analysis. Research
    Synthesis Methods 1, 112-125. https://doi.org/10.1002/jrsm.11

    Examples
    --------
    >>> import metaexo as mx
    >>> names = ["Li 2020", "Cho 2021", "Diaz 2019", "Okafor 2022", "Moreau 2018"]
    >>> es = mx.EffectSizes([0.2, 0.3, 0.1, 0.25, 1.4], [0.02, 0.03, 0.02, 0.04, 0.02], labels=names)
    >>> plan = mx.plots.influence_plan(mx.RandomEffects(es).fit())
    >>> shown = plan.to_frame().query("layer == 'points' and panel == 'DFFITS'")
    >>> shown[shown["name"] == "influential"]["label"].tolist()
    ['Moreau 2018']
    >>> ax = mx.plots.influence(plan)
    """
    fit, found = _found(results, cluster, refit)
    labels, marked, every = found.labels, found.influential, _measures(fit, found)
    single = bool((found.sizes == 1).all())
    kind = "study" if single and len(found.component_names) < 2 else found.cluster
    word, words = UNITS.get(kind, ("cluster", "clusters"))
    shown = _chosen(every, measures)
    look = get_theme(theme, font_size)
    named = len(labels) <= MOST_NAMES
    room, _ = space_of(ax, width, 1.0)
    cut = [look.short(label, min(NAMES * look.small, 0.45 * room)) for label in labels]
    axis = _axis_of_studies(cut, named, word.capitalize())
    names = max(look.width(name, size=look.small) for name in cut) if named else 30.0
    across = max(1, min(ACROSS, int((room - names) / (PANEL * look.small))))
    plain = replace(axis, label="", ticks=())
    counted, headings = plural(len(labels), word, words), "; ".join(one.heading for one in shown)
    panels = [_panel(one, labels, marked, axis if i % across == 0 else plain) for i, one in enumerate(shown)]
    chart = Chart(
        panels=tuple(panels if len(panels) > 1 else map(_under_its_axis, panels)),
        across=across,
        legend="below",
        summary=f"Influence on a fit of each of {counted}, {int(marked.sum())} of them marked: {headings}.",
        title=title,
        notes=(*_notes(found, cut, marked, shown), *notes),
        width=width,
        height=height or 1.0,
        theme=look,
    )
    high = max(9.0 * look.small, 1.45 * look.small * len(labels)) if named else MANY_HIGH
    return chart if height else chart.with_panels(high)


def _found(results: Any, cluster: Any, refit: bool) -> tuple[Any, Influence]:
    """Return the fit, None if there is none, and its influence."""
    if isinstance(results, FitResults):
        return results, sensitivity.influence(results, cluster, refit)
    if not isinstance(results, Influence):
        raise InputError(
            f"the first argument is {describe(results)}",
            "a fit, or its influence",
            "mx.plots.influence(mx.RandomEffects(es).fit())",
        )
    if cluster is not None or not refit:
        raise InputError(
            "cluster or refit=False was given with an influence that is known already",
            "the fit in its place",
            "mx.plots.influence(fit, cluster=...)",
        )
    return None, results


def _measures(fit: FitResults | None, found: Influence) -> list[Measure]:
    """Return the measures that a fit has; all of them where there is no fit without any of the studies."""
    k, p, single = int(found.sizes.sum()), len(found.names), bool((found.sizes == 1).all())
    dffits, cooks = 3 * math.sqrt(p / max(k - p, 1)), float(chi2_median(p))
    base: dict[str, float] = dict.fromkeys(("rstudent", "dffits", "cooks_distance"), 0.0)
    base |= {"pvalue": 1.0, "covariance_ratio": 1.0}
    base |= {"hat": p / k, "weights": 1 / k} if single else {}
    base |= {} if fit is None else {"tau2": fit.tau2, "q": fit.q.statistic}
    bounds = {"dffits": (-dffits, dffits), "cooks_distance": (cooks,), "hat": (3 * p / k,) if single else ()}
    chance = {"rstudent": (-OUTSIDE, OUTSIDE), "pvalue": (RARE,)}
    some = bool(np.isfinite(found.cooks_distance).any())
    out = []
    for key, words in HEADINGS.items():
        if key == "tau2" and len(found.component_names) > 1:
            out += _components(fit, found)
            continue
        values = np.maximum(getattr(found, key), LEAST_P) if key == "pvalue" else getattr(found, key)
        if (some and np.isnan(values).all()) or key == ("pvalue" if single else "rstudent"):
            continue
        out.append(
            Measure(key, words, values, base.get(key, math.nan), bounds.get(key, ()), chance.get(key, ()))
        )
    return [*out, *_dfbetas(found)]


def _components(fit: FitResults | None, found: Influence) -> list[Measure]:
    """Return the components without each cluster, a measure each."""
    full = {} if fit is None else getattr(fit, "component_values", fit.tau2_by_component)
    return [
        Measure(COMPONENTS, f"{_in_letters(name)}, without it", values, full.get(name, math.nan))
        for name, values in zip(found.component_names, found.components.T, strict=True)
    ]


def _dfbetas(found: Influence) -> list[Measure]:
    return [
        Measure(DFBETAS, f"DFBETAS: {name}", values, 0.0, (-1.0, 1.0))
        for name, values in zip(found.names, found.dfbetas.T, strict=True)
    ]


def _in_letters(component: str) -> str:
    """Return the name of a component with what it is: "τ² study", "source|study:ρ"."""
    return component.replace("tau2", "τ²").replace("rho", "ρ") if ":" in component else f"τ² {component}"


def _chosen(every: Sequence[Measure], measures: Sequence[str] | None) -> list[Measure]:
    """Return the measures that were asked for."""
    keys = list(dict.fromkeys(one.key for one in every))
    if measures is None:
        alone = sum(one.key == DFBETAS for one in every) == 1  # which moves as the fitted values do
        usual = [key for key in keys if key != DFBETAS or not alone or "dffits" not in keys]
        return [one for one in every if one.key in usual]
    if not measures:
        raise InputError("no measure is asked for", f"one or more of {', '.join(keys)}")
    for word in measures:
        check_choice("measure of influence", word, keys)
    return [one for word in dict.fromkeys(measures) for one in every if one.key == word]


def _axis_of_studies(names: Sequence[str], named: bool, word: str) -> ChartAxis:
    """Return the vertical axis: names, or numbers where there are too many."""
    room = 0.6 + 0.01 * len(names)
    ends = max(0.05, 1.0 - room), len(names) + room
    if not named:
        return ChartAxis(label=f"{word}, by number", limits=ends, inverted=True, whole=True)
    return ChartAxis(limits=ends, inverted=True, ticks=tuple(enumerate(names, start=1)))


def _panel(one: Measure, labels: Sequence[str], marked: NDArray[np.bool_], upright: ChartAxis) -> Panel:
    """Return the panel of a measure: a line from no influence to the value of each study."""
    known = np.isfinite(one.values)
    if not known.any():
        nothing = Words(x=0.5, y=0.5 * (len(labels) + 1), text="not estimable", align="center")
        return Panel(
            x=ChartAxis(limits=(0.0, 1.0), ticks=()), y=upright, layers=[nothing], heading=one.heading
        )
    layers: list[Layer] = []
    if math.isfinite(one.base):
        layers.append(Rule(at=one.base, name=EVERY))
    layers += [Rule(at=bound, name=BOUND, color="grey", dash="dashed") for bound in one.bounds]
    name = CHANCE if one.key == "rstudent" else f"p = {RARE}"
    layers += [Rule(at=end, name=name, color="grey", dash="dotted") for end in one.chance]
    crowded = len(labels) > 2 * MOST_NAMES
    kinds: tuple[tuple[NDArray[np.bool_], str, Color, str], ...] = (
        (known & ~marked, OTHERS, "study", "circle"),
        (known & marked, MARKED, 1, "triangle"),
    )
    for rows, name, color, shape in kinds:
        at = np.flatnonzero(rows)
        places, values = (at + 1.0).tolist(), one.values[at]
        if math.isfinite(one.base) and at.size:
            low, high = np.minimum(values, one.base).tolist(), np.maximum(values, one.base).tolist()
            layers.append(
                Intervals(at=places, low=low, high=high, color=color, width=0.6 if crowded else 1.0)
            )
        if at.size:
            layers.append(
                Points(
                    x=values.tolist(),
                    y=places,
                    name=name,
                    labels=[labels[i] for i in at.tolist()],
                    words=[str(i + 1) for i in at] if name == MARKED and len(labels) > MOST_NAMES else (),
                    color=color,
                    shape=shape,
                    size=(3.0 if crowded else 4.5) + (2.0 if name == MARKED else 0.0),
                    clip=False,
                )
            )
    axis = ChartAxis(scale=one.scale, limits=_ends(one, known))
    return Panel(x=axis, y=upright, layers=layers, heading=one.heading)


def _under_its_axis(panel: Panel) -> Panel:
    """Return a panel that stands alone with its heading below, since the title stands above."""
    return replace(panel, heading="", x=replace(panel.x, label=panel.heading))


def _ends(one: Measure, known: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the ends of the axis: they hold all values, the bounds, and no influence."""
    held = [*one.values[known], *one.bounds, *one.chance, *([one.base] if math.isfinite(one.base) else [])]
    low, high = float(min(held)), float(max(held))
    if one.scale == "log":
        room = (high / low) ** 0.07
        return low / room, high * room
    if low == high == 0.0 and "ρ" not in one.heading:  # a variance or share, which is not below 0
        return 0.0, 1.0
    apart = high - low > 1e-9 * max(abs(low), abs(high))  # and not by rounding alone
    room = 0.07 * (high - low) if apart else 0.1 * abs(high) or 1.0
    return low - room, high + room


def _notes(
    found: Influence,
    labels: Sequence[str],
    marked: NDArray[np.bool_],
    shown: Sequence[Measure],
) -> list[str]:
    """Return who is influential where the marks do not say so themselves, and whose fit is not possible."""
    lost = sorted(found.reasons)
    seen = [i for i in np.flatnonzero(marked).tolist() if i not in lost]
    out = []
    if seen and len(labels) > MOST_NAMES:
        out.append(f"Influential: {_list([f'{i + 1} {labels[i]}' for i in seen])}")
    hidden = [i for i in seen if not any(_passes(one, i) for one in shown)]
    if hidden:
        out.append(f"By DFBETAS alone, which are not shown: {_list([labels[i] for i in hidden])}")
    endless = [
        f"{labels[i]} ({one.heading})" for one in shown for i in np.flatnonzero(np.isinf(one.values)).tolist()
    ]
    if endless:
        out.append(f"Infinite, and not drawn: {_list(endless)}")
    if lost:
        out.append(f"No fit is possible without: {_list([labels[i] for i in lost])}")
    return out


def _passes(one: Measure, i: int) -> bool:
    """Return whether a study passes a bound of a measure."""
    return any(one.values[i] > bound if bound > 0 else one.values[i] < bound for bound in one.bounds)


def _list(names: Sequence[str]) -> str:
    """Return names as the end of a sentence; beyond a dozen the others are counted."""
    more = len(names) - MOST_LISTED
    said = "; ".join(names[:MOST_LISTED]) + (f"; and {more} more" if more > 0 else "")
    return said if said.endswith("…") else f"{said}."


influence = drawn(influence_plan, "Draw case-deletion diagnostics: the influence of each study on a fit.")
