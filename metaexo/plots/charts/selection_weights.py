"""Weight functions of selection models: how likely a result was to be seen, by its p-value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import special

from metaexo.bias.selection.results import SelectionModel
from metaexo.effects.measure import GENERIC
from metaexo.errors import InputError
from metaexo.formatting import level_words, plural
from metaexo.inputs import describe
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import Band, Chart, ChartAxis, Curve, Intervals, Layer, Panel, Region, Rule
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.scale import given_limits
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import with_ledger
from metaexo.plots.forest.rows import caution_notes
from metaexo.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Scale = Literal["linear", "sqrt", "log"]
PANEL = 220.0  # points: height of the panel
POINTS = 241  # of a smooth curve
LOWEST = 1e-6  # where a logarithmic axis begins at the latest
FAR = 1e8  # stands for an end of an interval that is infinite
MOST = 5.0  # up to which weights are shown that the data do not determine
ROOM = 2.5  # a band is shown up to so many times the largest weight
DASHES: tuple[Literal["solid", "dashed", "dashdot", "dotted"], ...] = ("solid", "dashed", "dashdot", "dotted")
REMEDY = "hand in mx.bias.selection_model(...), a list of such models, or a mapping of names to them"


@checked
def selection_weights_plan(
    results: Any,
    *,
    scale: Literal["linear", "sqrt", "log"] = "sqrt",
    intervals: bool | None = None,
    limits: tuple[float, float] | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    """Return what a plot of selection weights shows, without drawing it.

    Use it to see what selection a model found: a weight of 0.2 means that such results were seen a fifth as
    often as those with the smallest p-values. Short lines at the bottom are the p-values of the effects:
    where there are few of them, a weight rests on little. Weights of beta have no p-value to which they
    relate: they are divided by the largest one, or, where they rise without end towards 0 or 1, by the
    largest one at a p-value of the effects. Weights that the data do not determine do not stretch the axis.

    Parameters
    ----------
    results : SelectionModel, sequence or mapping of str to SelectionModel
        What :func:`metaexo.bias.selection_model` returned; several models are of the same effects, and a
        mapping gives them names.
    scale : {"sqrt", "linear", "log"}
        Horizontal axis: the small p-values, where selection happens, have more room on a scale of square
        roots, and most on a logarithmic one.
    intervals : bool, optional
        Whether to show the profile-likelihood intervals of the weights as bands. Default: for a single model.
        Smooth weights with two parameters have none.
    limits : tuple of float, optional
        Ends of the vertical axis. Default: from 0, all weights, and their intervals as far as there is room.

    Returns
    -------
    Chart
        Curves of weights with bands, the line of no selection, and the p-values.

    Raises
    ------
    InputError
        If there is no selection model, or something else; if models are of different effects or directions,
        or have weights that depend on more than the p-value.

    References
    ----------
    Vevea, J. L., Hedges, L. V. (1995). A general linear model for estimating effect size in the presence of
    publication bias. Psychometrika 60, 419-435. https://doi.org/10.1007/BF02294384

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.9, 0.7, 0.8, 0.1, 0.6, 0.4, 0.2], [0.09, 0.05, 0.1, 0.02, 0.06, 0.01, 0.03])
    >>> plan = mx.plots.selection_weights_plan(mx.bias.selection_model(es))
    >>> plan.to_frame().query("layer == 'curve'")[["x", "y"]].round(3).values.tolist()
    [[0.0, 1.0], [0.025, 1.0], [0.025, 0.191], [1.0, 0.191]]
    >>> ax = mx.plots.selection_weights(plan)
    """
    models = _models_of(results)
    first = next(iter(models.values()))
    seen = _pvalues(first)
    low = _lowest(seen) if scale == "log" else 0.0
    curves = [(name, one, *_curve(one, low)) for name, one in models.items()]
    with_bands = len(models) == 1 if intervals is None else intervals
    bands = [_band(one, low) if with_bands else None for one in models.values()]
    if limits is None:
        bottom, top = 0.0, _top(models.values(), seen, bands)
    else:
        bottom, top = given_limits(GENERIC, limits)
    layers: list[Layer] = []
    for position, (band, one) in enumerate(zip(bands, models.values(), strict=True)):
        layers += _unseen(one, low, (bottom, top))
        if band is not None:
            x, least, most = band
            name = f"{level_words(one.level)} profile interval" if position == 0 else ""
            layers.append(
                Band(x=x, low=least, high=most, name=name, color=_color(position, len(models)), alpha=0.2)
            )
    layers.append(Rule(at=1.0, axis="y", name="no selection", color="grey", dash="dotted", width=1.2))
    layers += [
        Curve(
            x=x,
            y=y,
            name=name,
            color=_color(position, len(models)),
            width=1.8,
            dash=DASHES[position % len(DASHES)],
        )
        for position, (name, _, x, y) in enumerate(curves)
    ]
    layers.append(
        Intervals(
            at=np.maximum(seen, low).tolist(),
            low=[bottom] * first.k,
            high=[bottom + 0.045 * (top - bottom)] * first.k,
            name="p-value of an effect",
            labels=first.effects.row_labels,
            across=False,
            color="ink",
            width=0.8,
        )
    )
    kind = "Two-sided" if first.alternative == "two-sided" else "One-sided"
    chart = Chart(
        panels=(
            Panel(
                x=ChartAxis(
                    label=f"{kind} p-value{'' if scale == 'linear' else _scale_words(scale)}",
                    scale=scale,
                    limits=(low, 1.0),
                ),
                y=ChartAxis(label="Weight (relative probability)", limits=(bottom, top)),
                layers=layers,
            ),
        ),
        legend="below",
        summary=with_ledger(" ".join(one.sentence for one in models.values()), first.effects.ledger),
        title=title,
        notes=(*_notes(models, bands, (bottom, top), int((seen < low).sum())), *notes),
        width=width,
        height=height or 1.0,
        theme=get_theme(theme, font_size),
    )
    return chart if height else chart.with_panels(PANEL)


def _models_of(results: Any) -> dict[str, SelectionModel]:
    """Return the models by their names; refuse what is none, or models that have no axis in common."""
    if isinstance(results, SelectionModel):
        found: dict[Any, Any] = {_name(results): results}
    elif isinstance(results, Mapping):
        found = dict(results)
    elif isinstance(results, list | tuple):
        found = {}
        for one in results:
            name = _name(one) if isinstance(one, SelectionModel) else describe(one)
            found[name if name not in found else f"{name} ({len(found) + 1})"] = one
    else:
        raise InputError(f"selection_weights was given {describe(results)}", "selection models", REMEDY)
    strange = [one for one in found.values() if not isinstance(one, SelectionModel)]
    if strange or not found:
        given = describe(strange[0]) if strange else "no model"
        raise InputError(f"selection_weights was given {given}", "selection models", REMEDY)
    if not all(isinstance(name, str) for name in found):
        raise InputError("a name of a model is no text", "a text for each")
    first = next(iter(found.values()))
    for name, one in found.items():
        if one.alternative != first.alternative or not np.array_equal(one.effects.y, first.effects.y):
            raise InputError(
                f"the model {name!r} is of other effects, or of another direction, than the first one",
                "models of the same effects, with p-values in the same direction",
                "draw a figure for each",
            )
    return found


def _name(one: SelectionModel) -> str:
    """Return the kind of a model, for the legend: "step: 0.025"."""
    return one.name.removeprefix("selection model (").removesuffix(")")


def _color(position: int, count: int) -> int | str:
    """Return the colour of a model: of a study where it is alone, else of its group."""
    return "study" if count == 1 else position


def _scale_words(scale: Scale) -> str:
    return " (square-root scale)" if scale == "sqrt" else " (log scale)"


def _pvalues(one: SelectionModel) -> Array:
    """Return the p-values of the effects as the model has them, shape (k,)."""
    null = one.measure.null
    z = (one.effects.y - (0.0 if np.isnan(null) else null)) / np.sqrt(one.effects.v)
    if one.alternative == "two-sided":
        return 2 * np.asarray(special.ndtr(-np.abs(z)))
    return np.asarray(special.ndtr(z if one.alternative == "less" else -z))


def _lowest(seen: Array) -> float:
    """Return where a logarithmic axis begins: a power of ten below the p-values, within bounds."""
    return float(np.clip(10.0 ** np.floor(np.log10(max(float(seen.min()), LOWEST))), LOWEST, 1e-3))


def _ends(one: SelectionModel, low: float) -> list[float]:
    """Return the ends of the steps of p-values, from the lower end of the axis to 1."""
    return [low, *(cut for cut in one.cuts if low < cut < 1), 1.0]


def _stairs(ends: Sequence[float], heights: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return the corners of steps between `ends`."""
    x = [end for pair in pairwise(ends) for end in pair]
    return x, [height for height in heights for _ in range(2)]


def _grid(low: float) -> Array:
    """Return p-values for a smooth curve, dense where they are small."""
    return np.geomspace(low, 1.0, POINTS) if low > 0 else np.linspace(0.0, 1.0, POINTS) ** 2


def _curve(one: SelectionModel, low: float) -> tuple[list[float], list[float]]:
    """Return a curve of weights; a step without p-values, and what is infinite, have no weight."""
    if one.weights == "step":
        ends = _ends(one, low)
        heights = np.where(_counts(one, low) > 0, one.weight_at(ends[1:]), np.nan)
        return _stairs(ends, heights.tolist())
    x = _grid(low)
    y = _weights(one, x)
    return x.tolist(), np.where(np.isfinite(y), y, np.nan).tolist()


def _weights(one: SelectionModel, p: Array) -> Array:
    """Return the weights of p-values; those of beta relative to the largest one."""
    weights = one.weight_at(p)
    if one.weights != "beta":
        return weights
    seen = one.weight_at(np.append(_pvalues(one), _mode(one)))
    largest = float(np.max(seen, initial=0.0, where=np.isfinite(seen)))
    return np.asarray(weights / largest) if largest > 0 else weights


def _mode(one: SelectionModel) -> list[float]:
    """Return the p-value of the largest beta weight; none where they rise without end towards 0 or 1."""
    rise, fall = one.delta - 1
    return [float(rise / (rise + fall))] if min(rise, fall) >= 0 and rise + fall > 0 else []


def _counts(one: SelectionModel, low: float) -> Array:
    """Return the number of p-values in the steps that the axis shows."""
    ends = _ends(one, low)
    return np.array(one.counts[len(one.counts) - len(ends) + 1 :])


def _band(one: SelectionModel, low: float) -> tuple[list[float], list[float], list[float]] | None:
    """Return the intervals of the weights: p-values, lower and upper ends; None where there are none."""
    if one.weights == "step":
        ends = _ends(one, low)
        shown = slice(len(one.delta) - len(ends) + 1, None)
        sides = [np.minimum(side[shown], FAR) for side in (one.delta_low, one.delta_high)]
        if not np.isfinite(sides).any():
            return None
        x, least = _stairs(ends, sides[0].tolist())
        return x, least, _stairs(ends, sides[1].tolist())[1]
    if len(one.delta) != 1 or not np.isfinite(one.delta_low).all():
        return None
    grid = _grid(low)
    sides = [
        replace(one, delta=np.minimum(end, FAR)).weight_at(grid) for end in (one.delta_low, one.delta_high)
    ]
    return grid.tolist(), np.minimum(*sides).tolist(), np.maximum(*sides).tolist()


def _top(models: Any, seen: Array, bands: Sequence[Any]) -> float:
    """Return the upper end of the axis: all weights of p-values that were seen, and bands with their room."""
    weights = np.array([np.minimum(_weights(one, seen), np.inf if one.usable else MOST) for one in models])
    largest = max(1.0, float(np.max(weights, initial=0.0, where=np.isfinite(weights))))
    upper = [float(np.nanmax(band[2])) for band in bands if band is not None]
    return 1.08 * max(largest, min(max(upper, default=0.0), ROOM * largest))


def _unseen(one: SelectionModel, low: float, ends: tuple[float, float]) -> list[Layer]:
    """Return the steps without a p-value, hatched: their weight is not identified."""
    if one.weights != "step":
        return []
    steps = _ends(one, low)
    empty = np.flatnonzero(_counts(one, low) == 0)
    return [
        Region(
            corners=[
                (steps[i], ends[0]),
                (steps[i + 1], ends[0]),
                (steps[i + 1], ends[1]),
                (steps[i], ends[1]),
            ],
            name="no p-value here" if i == empty[0] else "",
            color="paper",
            hatch="////",
        )
        for i in empty
    ]


def _notes(
    models: Mapping[str, SelectionModel], bands: Sequence[Any], ends: tuple[float, float], below: int
) -> list[str]:
    """Return what the models found, what is not identified, and what goes on beyond the axes."""
    notes = [one.sentence for one in models.values()]
    beta = [name for name, one in models.items() if one.weights == "beta"]
    for name in beta:
        where = "" if _mode(models[name]) else " at a p-value of an effect"
        notes.append(f"The weights of {name} are relative to the largest one{where}.")
    if any(band is not None and np.nanmax(band[2]) > ends[1] for band in bands):
        notes.append("An interval that reaches the upper edge goes on beyond it.")
    beyond = [name for name, one in models.items() if np.max(_weights(one, _pvalues(one))) > ends[1]]
    if beyond:
        notes.append(f"Weights of {' and '.join(beyond)} go on beyond the upper edge.")
    if below:
        stand = "stands" if below == 1 else "stand"
        notes.append(f"{plural(below, 'p-value')} below the axis {stand} at its left end.")
    return [*notes, *_cautions(models)]


def _cautions(models: Mapping[str, SelectionModel]) -> list[str]:
    """Return the cautions of the models, with their names where they are not those of all of them."""
    by_model = {name: caution_notes(one) for name, one in models.items()}
    shared = [note for note in next(iter(by_model.values())) if all(note in own for own in by_model.values())]
    own = [
        note.replace("Caution: ", f"Caution ({name}): ", 1)
        for name, notes in by_model.items()
        for note in notes
        if note not in shared
    ]
    return [*shared, *own]


selection_weights = drawn(selection_weights_plan, "Draw the weight functions of selection models.")
