"""How much the assumed correlation of effects of one study matters: estimates at each correlation."""

from __future__ import annotations

from typing import Any

import numpy as np

from metaexo.effects.conversions.scales import back_pooled
from metaexo.errors import InputError
from metaexo.formatting import number, plural
from metaexo.models.multilevel.presets import RhoSweep
from metaexo.plots.arguments import Column, checked
from metaexo.plots.canvas.figure import drawing, passing
from metaexo.plots.forest.heterogeneity import heterogeneity_plan
from metaexo.plots.forest.layout import at_limits
from metaexo.plots.forest.page import forest_page
from metaexo.plots.forest.plan import ForestPlan


@checked
@passing(heterogeneity_plan)
def rho_sweep_plan(sweep: RhoSweep, **choices: Any) -> ForestPlan:
    """Return what a plot of a sweep over assumed correlations shows, without drawing it.

    Use it beside a working model of correlated effects: if the rows stand below each other, the assumed
    correlation does not matter.

    Parameters
    ----------
    sweep : RhoSweep
        From :func:`metaexo.rho_sweep`.
    **choices
        As for :func:`metaexo.plots.heterogeneity_plan`: limits, title, notes and so on.

    Returns
    -------
    ForestPlan
        One row a correlation, with the robust interval and (for "CHE") the total SD of true effects; a head
        for each coefficient, if there are several.

    References
    ----------
    Pustejovsky, J. E., Tipton, E. (2022). https://doi.org/10.1007/s11121-021-01246-3

    Examples
    --------
    >>> import metaexo as mx
    >>> y = [0.3, 0.5, 0.9, 0.7, 0.1, -0.1, 0.4, 0.6, 0.2, 0.3, 0.8, 0.5]
    >>> es = mx.EffectSizes(y, [0.02, 0.03, 0.04] * 4, study=list("aabbccddeeff"))
    >>> plan = mx.plots.rho_sweep_plan(mx.rho_sweep(es, [0.0, 0.5, 0.9]))
    >>> [row.cells["estimate"][0] for row in plan.rows if row.kind == "study"]
    ['0.43', '0.43', '0.43']
    >>> ax = mx.plots.rho_sweep(plan)
    """
    if not isinstance(sweep, RhoSweep):
        raise InputError(f"{type(sweep).__name__} is no sweep", "what mx.rho_sweep(...) returns")
    base = sweep.fits[0]
    measure = base.effects.measure
    table = sweep.to_frame()
    for name in ("estimate", "low", "high"):
        table[name] = back_pooled(base.effects, table[name].to_numpy())
    table["rho"] = [f"ρ = {number(rho, 2)}" for rho in table["rho"]]
    table["tau"] = np.sqrt(table[list(sweep.component_names)].sum(axis=1))
    # variances of subgroups do not add up
    nested = all(named.structure == "intercept" for named in base.terms)
    settings: dict[str, Any] = {
        "label": "rho",
        "by": "term" if len(sweep.names) > 1 else None,
        "measure": measure,
        "level": base.level,
        "columns": [Column("tau", "Total\nτ", "number", 2)] if nested else [],
        "label_title": "Assumed correlation",
        "notes": [
            f"{plural(base.k, 'effect')} from {plural(base.m, 'study', 'studies')}; "
            "cluster-robust intervals. Estimates move by at most "
            f"{number(sweep.largest_change)} standard errors."
        ],
    }
    return heterogeneity_plan(table, **(settings | choices))


rho_sweep = drawing(
    rho_sweep_plan,
    ForestPlan,
    forest_page,
    "Draw estimates at each assumed correlation of effects of one study.",
    at_limits=at_limits,
)
