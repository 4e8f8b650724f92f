"""Sampling variances that are smaller than the sizes of the groups allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.corrections import hedges_factor
from metaexo.effects.papers import BONETT, HEDGES_1981, rests_on
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

LEAST_BY_GROUPS = {"SMD": 1.0, "SMD1": 1.0, "D2OR": np.pi**2 / 3, "D2ORL": np.pi**2 / 3, "D2ORN": 1.65**2}
SIZE_COLUMNS = (("treatment_n", "control_n"), ("n1i", "n2i"), ("n_e", "n_c"), ("n.e", "n.c"), ("n1", "n2"))
ROUNDED = 0.01


@rests_on(HEDGES_1981, BONETT)
def least_variances(code: str, treatment_n: ArrayLike, control_n: ArrayLike) -> Array | None:
    """Return the least sampling variance that a standardised mean difference can have.

    Whatever the effect, the sampling variance of Hedges' g of two independent groups, and of Glass' delta of
    groups with one standard deviation, is at least 1/n1 + 1/n2 (some programs multiply it by the squared
    small-sample correction, which makes less of it); that of a log odds ratio made of it is pi^2 / 3
    (1.65^2 for normal outcomes) times as much. Over the average of two standard deviations (SMDH) it is at
    least 2 / max(n1, n2), over that of the control group where the two differ (SMD1H) at least 1 / n2. NaN
    where a size is not known; None for a measure without such a bound.

    Examples
    --------
    >>> least_variances("SMD", [5, 10], [6, 10]).round(3)
    array([0.367, 0.2  ])
    """
    n1, n2 = np.asarray(treatment_n, dtype=float), np.asarray(control_n, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        n1, n2 = np.where(n1 > 0, n1, np.nan), np.where(n2 > 0, n2, np.nan)
        if code in LEAST_BY_GROUPS:
            return np.asarray(LEAST_BY_GROUPS[code] * (1 / n1 + 1 / n2))
        if code == "SMDH":
            return np.asarray(2 / np.maximum(n1, n2))
        if code == "SMD1H":
            return np.asarray(1 / n2)
    return None


def variances_too_small(
    code: str, v: Array, data: pd.DataFrame
) -> tuple[NDArray[np.intp], Array, NDArray[np.bool_]]:
    """Find sampling variances that are smaller than the sizes of the groups in the data allow.

    Rows of paired designs (a column `paired` that says "yes") have no such bound. A hundredth below it is
    taken as rounding. The sizes are the columns treatment_n and control_n (or n1i and n2i) of the data.

    Returns the positions of these rows, the least variance of each, and whether the squared small-sample
    correction, with which some programs multiply the variance of Hedges' g, accounts for it.
    """
    import pandas as pd

    none = np.array([], dtype=np.intp), np.array([]), np.array([], dtype=bool)
    names = next((pair for pair in SIZE_COLUMNS if set(pair) <= set(data.columns)), None)
    if names is None or least_variances(code, 1, 1) is None:
        return none
    n1, n2 = (pd.to_numeric(data[name], errors="coerce").to_numpy(dtype=float) for name in names)
    least = least_variances(code, n1, n2)
    if least is None:
        return none
    if "paired" in data.columns:
        least = np.where(data["paired"].astype(str) == "yes", np.nan, least)
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = np.flatnonzero(v < least * (1 - ROUNDED))
        corrected = least * hedges_factor(n1 + n2 - 2) ** 2 * (1 - ROUNDED)
    return rows, least[rows], v[rows] >= corrected[rows]
