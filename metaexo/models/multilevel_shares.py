"""Shares of the variability of effects by random term."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metaexo.models.multilevel_profile import limits, refit_at
from metaexo.numeric.problem import Array

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.multilevel_results import MultilevelResults


def term_variances(fit: MultilevelResults, theta: Array) -> Array:
    """Return the mean variance that each term adds to an effect, at given parameters."""
    gs = fit.problem.matrices(theta)
    return np.array(
        [named.term.contributions(g).mean() for named, g in zip(fit.terms, gs, strict=True)], dtype=float
    )


def shares(fit: MultilevelResults, interval: bool, level: float | None) -> pd.DataFrame:
    """Return the share of each term; see `MultilevelResults.i2`."""
    import pandas as pd

    v = fit.typical_variance
    variances = term_variances(fit, fit.maximum.theta)
    total = variances.sum()
    frame = pd.DataFrame(
        {"variance": [*variances, total], "i2": [*(variances / (total + v)), total / (total + v)]},
        index=pd.Index([*(named.name for named in fit.terms), "total"], name="term"),
    )
    if not interval:
        return frame
    bounds = [_interval(fit, j, v, level) for j in range(len(fit.terms))]
    frame["low"] = [*(low for low, _ in bounds), np.nan]
    frame["high"] = [*(high for _, high in bounds), np.nan]
    return frame


def _interval(fit: MultilevelResults, j: int, v: float, level: float | None) -> tuple[float, float]:
    """Return the shares of a term at the limits of its variance; NaN where it has several variances."""
    named = fit.terms[j]
    if named.kinds.count("variance") != 1:
        return np.nan, np.nan
    component = named.components[named.kinds.index("variance")]
    if fit.components.loc[component, "fixed"]:
        return np.nan, np.nan
    found = limits(fit, component, level)
    if not np.isfinite(found.high):
        return np.nan, 1.0
    own = []
    for value in (found.low, found.high):
        variances = term_variances(fit, refit_at(fit, component, value).theta)
        own.append(float(variances[j] / (variances.sum() + v)))
    return min(own), max(own)
