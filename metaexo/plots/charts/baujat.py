"""Baujat plots: what each study adds to the heterogeneity against how much it moves the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo import sensitivity
from metaexo.errors import InputError, TooFewStudiesError, UnknownChoiceError
from metaexo.formatting import plural
from metaexo.inputs import describe
from metaexo.models.counts.fit import CountResults
from metaexo.models.linear.results import FitResults
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import Chart, ChartAxis, Panel, Points
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import with_ledger
from metaexo.plots.charts.effects import effect_notes, hidden_note, largest_of, space_of, with_estimates
from metaexo.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

PANEL = 260.0  # height in points
MOST_NAMED, NEAR = 12, 0.1  # points that are named, none of which is nearer to the origin than this
LONGEST, LARGEST = 0.3, 7.0  # a name over the width of the chart, and a mark in points


@checked
def baujat_plan(
    results: Any,
    *,
    cluster: Any = None,
    labels: str | Sequence[str] = "largest",
    marker_size: float | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    """Return what a Baujat plot shows, without drawing it.

    Use it to find the studies that make the heterogeneity, and among them those that also make the result:
    they stand at the upper right. A study at the right but low adds to the heterogeneity without moving the
    pooled effect. The numbers are those of :func:`metaexo.sensitivity.baujat`, which has their formulas.

    Parameters
    ----------
    results : FitResults or Baujat
        A fit, or what :func:`metaexo.sensitivity.baujat` returned for one.
    cluster : str or sequence, length k, optional
        For a fit: what is left out at a time. Default: as for :func:`metaexo.sensitivity.baujat`.
    labels : str or sequence of str
        Which points have their label beside them, where there is room: the 12 farthest from the origin, each
        axis in units of its largest value ("largest"), "all", or those that are named. A note counts the
        labels without room.
    marker_size : float, optional
        Diameter of the marks in points. Default: smaller where there are many.

    Returns
    -------
    Chart
        A point per study, or cluster. Points whose fit is not possible are named in a note.

    Raises
    ------
    InputError
        If `results` is something else, or a fit that cannot be refitted without single studies.
    TooFewStudiesError
        If no study can be left out.
    UnknownChoiceError
        If there is no such label.

    References
    ----------
    Baujat, B., Mahé, C., Pignon, J.-P., Hill, C. (2002). A graphical method for exploring heterogeneity in
    meta-analyses: application to a meta-analysis of 65 trials. Statistics in Medicine 21, 2641-2652.
    https://doi.org/10.1002/sim.1221

    Examples
    --------
    >>> import metaexo as mx
    >>> names = ["Li 2020", "Cho 2021", "Diaz 2019", "Okafor 2022", "Moreau 2018"]
    >>> es = mx.EffectSizes([0.2, 0.3, 0.1, 0.25, 1.4], [0.02, 0.03, 0.02, 0.04, 0.02], labels=names)
    >>> plan = mx.plots.baujat_plan(mx.RandomEffects(es).fit())
    >>> plan.to_frame()["label"].iloc[0]
    'Moreau 2018'
    >>> ax = mx.plots.baujat(plan)
    """
    fit, found = _found(results, cluster)
    x, y = found.contribution, found.influence
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise TooFewStudiesError(
            "no study without which there is a fit", "at least two studies, better more", "draw a forest plot"
        )
    names = found.labels
    far = np.hypot(*(values / (values[known].max() or 1.0) for values in (x, y)))
    at = np.flatnonzero(known)[np.argsort(-far[known], kind="stable")].tolist()  # the first are named first
    look = get_theme(theme, font_size)
    room = LONGEST * space_of(ax, width, height)[0]
    named = {i: look.short(names[i], room) for i in _named(labels, names, far, at)}
    points = Points(
        x=x[at].tolist(),
        y=y[at].tolist(),
        labels=[names[i] for i in at],
        words=[named.get(i, "") for i in at],
        size=marker_size or min(LARGEST, largest_of(len(at), None)),
        clip=False,
    )
    across, up, said = _headings(fit, found)
    lost = [(name, i in found.reasons) for i, name in enumerate(names) if not known[i]]
    chart = Chart(
        panels=(
            Panel(
                x=ChartAxis(label=across, limits=_ends(x[known])),
                y=ChartAxis(label=up, limits=_ends(y[known])),
                layers=[points],
            ),
        ),
        legend="none",
        summary=with_ledger(
            f"Baujat plot of {plural(len(at), 'point')}. {found.sentence}",
            None if fit is None else fit.ledger,
        ),
        title=title,
        notes=(said, *_notes(lost), *hidden_note([points]), *(effect_notes(fit) if fit else ()), *notes),
        width=width,
        height=height or 1.0,
        theme=look,
    )
    return chart if height else chart.with_panels(PANEL)


def _found(results: Any, cluster: Any) -> tuple[FitResults | None, sensitivity.Baujat]:
    """Return the fit, None if there is none, and its numbers."""
    if isinstance(results, sensitivity.Baujat):
        if cluster is None:
            return None, results
        raise InputError(
            "cluster was given with numbers that are known already",
            "the fit in their place",
            "mx.plots.baujat(fit, cluster=...)",
        )
    if not isinstance(results, FitResults):
        raise InputError(
            f"the first argument is {describe(results)}",
            "a fit, or what mx.sensitivity.baujat returned for one",
            "mx.plots.baujat(mx.RandomEffects(es).fit())",
        )
    fit = with_estimates(results, "a Baujat plot") if isinstance(results, CountResults) else results
    return fit, sensitivity.baujat(fit, cluster)


def _named(labels: str | Sequence[str], names: Sequence[str], far: Array, at: Sequence[int]) -> set[int]:
    """Return which points have their label beside them."""
    if isinstance(labels, str) and labels in ("all", "largest"):
        first = at if labels == "all" else [i for i in at[:MOST_NAMED] if far[i] >= NEAR]
        return set(first)
    asked = [labels] if isinstance(labels, str) else list(labels)
    for one in asked:
        if one not in names:
            raise UnknownChoiceError("label of a point", str(one), ["largest", "all", *dict.fromkeys(names)])
    return {i for i in at if names[i] in asked}


def _headings(fit: FitResults | None, found: sensitivity.Baujat) -> tuple[str, str, str]:
    """Return what both axes show, and what that is."""
    on = "the pooled effect" if fit is not None and fit.design.x is None else "the fitted values"
    of = "Q" if fit is not None and not fit.is_random else "heterogeneity"
    one = "study" if found.cluster == "study" else "effect" if found.cluster == "effect" else "cluster"
    residual = "squared Pearson residual" + (f"s of a {one} together" if (found.sizes > 1).any() else "")
    return (
        f"Contribution to {of}",
        f"Influence on {on}",
        f"Contribution: {residual}. Influence: squared change of {on} when the {one} is left out, over the "
        "variance without it.",
    )


def _ends(values: Array) -> tuple[float, float]:
    """Return the ends of an axis from 0."""
    most = float(values.max()) or 1.0
    return -0.03 * most, 1.06 * most


def _notes(lost: Sequence[tuple[str, bool]]) -> list[str]:
    """Return which studies are not shown: those without which there is no fit, and those without a number."""
    notes = []
    for without_fit, words in (
        (True, "No fit is possible without"),
        (False, "Not shown, as without an estimate of their own or an influence"),
    ):
        names = [name for name, is_needed in lost if is_needed == without_fit]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        notes += [f"{words}: {'; '.join(names[:MOST_NAMED])}{more}."] if names else []
    return notes


baujat = drawn(baujat_plan, "Draw a Baujat plot: heterogeneity against influence, a point per study.")
