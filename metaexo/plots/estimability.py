"""Grids of what can be estimated: two factors crossed, and groups of levels that no study links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.heterogeneity import AttributionResults, Estimability
from metaexo.heterogeneity import estimability as find_estimability
from metaexo.plots.arguments import checked, plan_of
from metaexo.plots.canvas import draw
from metaexo.plots.estimability_layout import lay_out_grid
from metaexo.plots.estimability_page import EstimabilityPlan, estimability_page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FACTORS = ("source", "isolation")


@checked
def estimability_plan(
    source: EffectSizes | AttributionResults | Estimability,
    factors: Sequence[str] = FACTORS,
    *,
    title: str = "",
    notes: Sequence[str] = (),
    wording: Mapping[str, str] | None = None,
) -> EstimabilityPlan:
    """Return what a grid of two crossed factors shows, without drawing it.

    Use it before a model with both factors: each cell has its studies (m) and effects (k); the shade says
    what can be estimated within it, the colour to which group of linked levels it belongs. Only with a
    single group can the two factors be told apart.

    Parameters
    ----------
    source : EffectSizes, AttributionResults or Estimability
        What is shown. Of an attribution to several factors the first two are.
    factors : two str
        Columns of the effects, for rows and columns of the grid; for effects only.
    title : str
        Line above.
    notes : sequence of str
        Further lines below.
    wording : mapping of str to str, optional
        Words for levels.

    Returns
    -------
    EstimabilityPlan
        Cells with their places.

    Raises
    ------
    InputError
        If there are not two factors.
    UnknownChoiceError
        If a factor is not a column.

    References
    ----------
    Weeks, D. L., Williams, D. R. (1964). https://doi.org/10.1080/00401706.1964.10490188

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> data = pd.DataFrame({"source": ["plant"] * 3 + ["milk"] * 3, "isolation": ["SEC"] * 3 + ["UC"] * 3})
    >>> plan = mx.plots.estimability_plan(mx.EffectSizes([1, 2, 3, 4, 5, 6], [0.1] * 6, data=data))
    >>> [(cell.row, cell.column, cell.m, cell.group) for cell in plan.cells if cell.m]
    [('milk', 'UC', 3, 1), ('plant', 'SEC', 3, 2)]
    """
    found = _read(source, tuple(factors))
    return lay_out_grid(found, wording or {}, title, notes)


@checked
def estimability(
    source: EffectSizes | AttributionResults | Estimability | EstimabilityPlan,
    factors: Sequence[str] = FACTORS,
    ax: Axes | None = None,
    **choices: Any,
) -> Axes:
    """Draw a grid of two crossed factors and of what can be estimated from it.

    Parameters
    ----------
    source : EffectSizes, AttributionResults, Estimability or EstimabilityPlan
        What is shown; a plan is drawn as it is.
    factors : two str
        As for :func:`estimability_plan`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a figure of the planned size, apart from pyplot.
    **choices
        As for :func:`estimability_plan`.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or the new Axes; its coordinates are points of the page, and its limits cannot be changed.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> data = pd.DataFrame({"source": ["plant"] * 3 + ["milk"] * 3, "isolation": ["SEC"] * 3 + ["UC"] * 3})
    >>> ax = mx.plots.estimability(mx.EffectSizes([1, 2, 3, 4, 5, 6], [0.1] * 6, data=data))
    """
    asked = choices if factors == FACTORS else choices | {"factors": factors}
    plan = plan_of(EstimabilityPlan, estimability_plan, source, asked)
    return draw(estimability_page(plan), ax, fixed=True)


def _read(source: EffectSizes | AttributionResults | Estimability, factors: tuple[str, ...]) -> Estimability:
    """Return what is shown, with its first two factors.

    Raises
    ------
    InputError
        If there are not two factors.
    """
    if isinstance(source, Estimability):
        found = source
    elif isinstance(source, AttributionResults):
        found = source.estimability
        if len(found.factors) > 2:
            found = find_estimability(source.effects, found.factors[:2], found.min_studies)
    elif isinstance(source, EffectSizes):
        found = find_estimability(source, factors)
    else:
        raise InputError(
            f"a grid cannot be made of {type(source).__name__}",
            "EffectSizes, or what mx.attribute_heterogeneity(...) returns",
        )
    if len(found.factors) != 2:
        raise InputError(f"a grid of the factors {', '.join(found.factors)}", "two factors, rows and columns")
    return found
