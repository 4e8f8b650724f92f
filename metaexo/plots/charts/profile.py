"""Profile likelihoods: how fast the likelihood falls on both sides of the estimate of a parameter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects.conversions.scales import back_pooled
from metaexo.errors import InputError
from metaexo.formatting import level_words, shown
from metaexo.models.multilevel.profile import ComponentProfile
from metaexo.models.univariate.profile import Tau2Profile
from metaexo.numeric.tails import normal_quantile
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import Chart, ChartAxis, Curve, Panel, Points, Rule
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.scale import axis_words
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.sensitivity import Profile
from metaexo.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

AnyProfile = Profile | ComponentProfile | Tau2Profile
AXES = {"variance": "Variance", "correlation": "Correlation", "range": "Range", "coefficient": "Coefficient"}
# How far below the line of the interval the panel reaches, in units of the line's depth.
DEPTH = 2.2
PANEL_HEIGHT = 125.0  # points


@checked
def profile_plan(
    profiles: AnyProfile | Sequence[AnyProfile],
    *,
    columns: int = 3,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    """Return what a plot of profile likelihoods shows, without drawing it.

    Use it to see how much the data say about a variance, a correlation or a coefficient: a steep curve says
    much, a flat one little, and a curve that has not fallen to the dashed line at an end of its range leaves
    the interval open there.

    Parameters
    ----------
    profiles : Profile, ComponentProfile, Tau2Profile or sequence of them
        From :func:`metaexo.sensitivity.profile` or ``fit.profile(...)``: a panel each. Pooled effects stand
        on the scale on which their measure is shown.
    columns : int
        Most panels side by side.

    Returns
    -------
    Chart
        Curves, the estimate, the height of the interval, and its ends where they are known.

    Raises
    ------
    InputError
        If there is no profile, or something else.

    References
    ----------
    Hardy, R. J., Thompson, S. G. (1996).
    https://doi.org/10.1002/(SICI)1097-0258(19960330)15:6<619::AID-SIM188>3.0.CO;2-A

    Examples
    --------
    >>> import metaexo as mx
    >>> y, v = [0.3, 0.5, 0.9, 0.7, 0.1, -0.1], [0.02, 0.03, 0.02, 0.04, 0.03, 0.02]
    >>> fit = mx.Multilevel(mx.EffectSizes(y, v, study=list("aabbcc")), "study").fit()
    >>> plan = mx.plots.profile_plan(fit.profile("study"))
    >>> plan.to_frame().query("layer == 'rule'")["x"].dropna().round(2).tolist()
    [0.03, 3.18]
    >>> ax = mx.plots.profile(plan)
    """
    several: list[AnyProfile] = []
    if isinstance(profiles, AnyProfile):
        several = [profiles]
    elif isinstance(profiles, Iterable):
        several = list(profiles)
    if not several or not all(isinstance(one, AnyProfile) for one in several):
        raise InputError(
            "there is no profile to draw",
            "one or several profiles",
            "take them from mx.sensitivity.profile(fit, ...) or fit.profile(...)",
        )
    said = f"Dashed: limits of the {level_words(several[0].level)} interval."
    panels = [_panel(one, first=i % columns == 0) for i, one in enumerate(several)]
    chart = Chart(
        panels=tuple(panels),
        across=columns,
        legend="none",
        summary=f"Profile likelihood of {', '.join(panel.heading for panel in panels)}.",
        title=title,
        notes=(said, *_open_ends(several), *notes),
        width=width,
        height=height or 1.0,
        theme=get_theme(theme, font_size),
    )
    return chart if height else chart.with_panels(PANEL_HEIGHT)


def _panel(one: AnyProfile, first: bool) -> Panel:
    """Return the panel of a profile; the first of a row has the name of the vertical axis."""
    values, name, estimate = _words(one)
    fall = one.llf - one.maximum
    depth = 0.5 * float(normal_quantile(one.level)) ** 2
    kept = np.isfinite(fall)
    low, high = float(values.min()), float(values.max())
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    ends = [end for end, is_open, _ in _ends(one) if not is_open and low <= end <= high]
    inside = [estimate] if low <= estimate <= high else []
    label, ratio = _axis(one)
    return Panel(
        heading=name,
        x=ChartAxis(
            label=label, scale="log" if ratio else "linear", limits=(_shown(one, low), _shown(one, high))
        ),
        y=ChartAxis(label="Log-likelihood ratio" if first else "", limits=(-DEPTH * depth, 0.12 * depth)),
        layers=[
            Rule(at=-depth, axis="y", color="grey", dash="dashed"),
            *(Rule(at=_shown(one, end), color="grey", dash="dashed") for end in ends),
            Curve(
                x=[_shown(one, value) for value in values[kept].tolist()],
                y=fall[kept].tolist(),
                name=name,
                color="study",
                width=1.2,
            ),
            Points(
                x=[_shown(one, value) for value in inside], y=[0.0 for _ in inside], color="ink", clip=False
            ),
        ],
    )


def _words(one: AnyProfile) -> tuple[Array, str, float]:
    """Return the values, what they are, and the estimate."""
    if isinstance(one, Tau2Profile):
        return one.tau2, "τ²", one.maximum_at
    if isinstance(one, Profile):
        alone = one.kind == "mean" and one.parameter == "intercept"
        return one.value, "Pooled effect" if alone else _letters(one.parameter), one.estimate
    return one.value, _letters(one.component), one.limits.estimate


def _letters(name: str) -> str:
    return name.replace("tau2", "τ²").replace("rho", "ρ")


def _axis(one: AnyProfile) -> tuple[str, bool]:
    """Return what the values are, and whether they are shown as ratios."""
    if isinstance(one, Profile):
        if one.kind == "mean":
            measure = one.effects.measure
            return axis_words(measure), measure.display_log
        return AXES.get(one.kind, "Coefficient of the scale"), False
    if isinstance(one, ComponentProfile):
        for ending, word in (("rho", "Correlation"), ("range", "Range")):
            if one.component.rpartition(":")[2].startswith(ending):
                return word, False
    return "Variance", False


def _shown(one: AnyProfile, value: float) -> float:
    """Return a value as it is shown: that of a mean on the scale of its measure."""
    if isinstance(one, Profile) and one.kind == "mean":
        return float(back_pooled(one.effects, value))
    return float(value)


def _ends(one: AnyProfile) -> list[tuple[float, bool, str]]:
    """Return the ends of the interval, as far as it is known: value, whether it is open, and what it is."""
    if isinstance(one, Tau2Profile):
        return []
    limits = one if isinstance(one, Profile) else one.limits
    return [(limits.low, limits.low_open, "begins"), (limits.high, limits.high_open, "ends")]


def _open_ends(profiles: Sequence[AnyProfile]) -> list[str]:
    """Return what is to be said of intervals that reach the edge of what can be."""
    out = []
    for one in profiles:
        for value, is_open, word in _ends(one):
            if is_open:
                edge = f"at {shown(value, 2)}, the edge of what it can be"
                where = edge if np.isfinite(value) else "nowhere"
                out.append(f"The interval of {_words(one)[1]} {word} {where}.")
    return out


profile = drawn(profile_plan, "Draw profile likelihoods, one panel per parameter.")
