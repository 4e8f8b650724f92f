"""Profile likelihoods: how fast the likelihood falls on both sides of a variance or a correlation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.errors import InputError
from metaexo.models.multilevel_profile import ComponentProfile
from metaexo.models.profile import Tau2Profile
from metaexo.numeric.tails import normal_quantile
from metaexo.plots.arguments import checked, plan_of
from metaexo.plots.curves_page import Curve, CurveSet, CurvesPlan, draw_curves, lay_out_curves
from metaexo.plots.scale import Axis, Tick, linear_ticks, tick_label
from metaexo.plots.style import PALETTE
from metaexo.plots.wording import level_words, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Profile = ComponentProfile | Tau2Profile
# How far below the line of the interval the panel reaches, in units of the line's depth.
DEPTH = 2.2
Y_LABEL = "log-likelihood, from its maximum"


@checked
def profile_plan(
    profiles: Profile | Sequence[Profile],
    *,
    title: str = "",
    notes: Sequence[str] = (),
    columns: int = 3,
    panel_size: tuple[float, float] = (170.0, 140.0),
) -> CurvesPlan:
    """Return what a plot of profile likelihoods shows, without drawing it.

    Use it to see how much the data say about a variance or a correlation: a steep curve says much, a flat one
    little, and a curve that has not fallen to the dashed line at an end of its range leaves the interval open
    there.

    Parameters
    ----------
    profiles : ComponentProfile, Tau2Profile or sequence of them
        From ``fit.profile(...)``: a panel each.
    title : str
        Line above.
    notes : sequence of str
        Further lines below.
    columns : int
        Most panels side by side.
    panel_size : tuple of float
        Width and height of a panel in points.

    Returns
    -------
    CurvesPlan
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
    >>> plan = profile_plan(fit.profile("study"))
    >>> [round(x, 2) for x in plan.sets[0].upright]
    [0.03, 3.18]
    """
    several: list[Profile] = []
    if isinstance(profiles, ComponentProfile | Tau2Profile):
        several = [profiles]
    elif isinstance(profiles, Iterable):
        several = list(profiles)
    if not several or not all(isinstance(one, ComponentProfile | Tau2Profile) for one in several):
        raise InputError("there is no profile to draw", "one or several profiles, from fit.profile(...)")
    level = several[0].level
    said = f"Below the dashed line lies what the {level_words(level)} interval leaves out."
    return lay_out_curves(
        [_panel(one, panel_size[0]) for one in several],
        columns=columns,
        panel_size=panel_size,
        title=title,
        notes=[said, *_open_ends(several), *notes],
    )


@checked
def profile(
    profiles: Profile | Sequence[Profile] | CurvesPlan, ax: Axes | None = None, **choices: Any
) -> Axes:
    """Draw profile likelihoods, a panel a variance or correlation.

    Parameters
    ----------
    profiles : ComponentProfile, Tau2Profile, sequence of them, or CurvesPlan
        What is shown; a plan is drawn as it is.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a figure of the planned size, apart from pyplot.
    **choices
        As for :func:`profile_plan`.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or the new Axes, with the coordinates of the first panel.

    Examples
    --------
    >>> import metaexo as mx
    >>> fit = mx.RandomEffects(mx.EffectSizes([0.2, 0.6, 0.1], [0.02, 0.05, 0.03])).fit()
    >>> ax = profile(fit.profile())
    """
    plan = plan_of(CurvesPlan, profile_plan, profiles, choices)
    return draw_curves(plan, ax)


def _panel(one: Profile, width: float) -> CurveSet:
    values, name, estimate = _words(one)
    fall = one.llf - one.maximum
    depth = 0.5 * float(normal_quantile(one.level)) ** 2
    kept = np.isfinite(fall)
    points = tuple((float(x), float(y)) for x, y in zip(values[kept], fall[kept], strict=True))
    low, high = float(values.min()), float(values.max())
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    ends = []
    if isinstance(one, ComponentProfile):
        limits = one.limits
        ends = [
            x
            for x, open_end in ((limits.low, limits.low_open), (limits.high, limits.high_open))
            if not open_end
        ]
    return CurveSet(
        heading=name,
        axis=Axis(low, high, _ticks(low, high, 6), None, _kind(one)),
        y_low=-DEPTH * depth,
        y_high=0.12 * depth,
        y_ticks=_ticks(-DEPTH * depth, 0.0, 6),
        y_label=Y_LABEL,
        curves=(Curve(name, points, PALETTE[0]),),
        across=(-depth,),
        upright=tuple(float(x) for x in ends if low <= x <= high),
        dots=((estimate, 0.0),) if low <= estimate <= high else (),
    )


def _words(one: Profile) -> tuple[np.ndarray, str, float]:
    """Return the values, what they are, and the estimate."""
    if isinstance(one, Tau2Profile):
        return one.tau2, "τ²", one.maximum_at
    return one.value, one.component.replace("tau2", "τ²").replace("rho", "ρ"), one.limits.estimate


def _kind(one: Profile) -> str:
    """Return what the values are."""
    if isinstance(one, ComponentProfile):
        for ending, word in (("rho", "correlation"), ("range", "range")):
            if one.component.rpartition(":")[2].startswith(ending):
                return word
    return "variance"


def _ticks(low: float, high: float, most: int) -> tuple[Tick, ...]:
    return tuple(Tick(value, tick_label(value)) for value in linear_ticks(low, high, most))


def _open_ends(profiles: Sequence[Profile]) -> list[str]:
    """Return what is to be said of intervals that reach the edge of what can be."""
    out = []
    for one in profiles:
        if not isinstance(one, ComponentProfile):
            continue
        for value, is_open, word in (
            (one.limits.low, one.limits.low_open, "begins"),
            (one.limits.high, one.limits.high_open, "ends"),
        ):
            if is_open:
                where = (
                    f"at {shown(value, 2)}, the edge of what it can be" if np.isfinite(value) else "nowhere"
                )
                out.append(f"The interval of {_words(one)[1]} {word} {where}.")
    return out
