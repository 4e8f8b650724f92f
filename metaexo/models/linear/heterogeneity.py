"""The table of heterogeneity of a fit: one row per component, the same columns for every family."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metaexo.models.linear.fit import LinearFit

if TYPE_CHECKING:
    import pandas as pd


def heterogeneity_table(
    fit: LinearFit, level: float | None = None, method: str | None = None
) -> pd.DataFrame:
    """Return tau2, tau, low, high, i2 and share of each component; see `FitResults.heterogeneity`."""
    import pandas as pd

    chosen = fit.at_level(level)
    limits = fit.tau2_limits(chosen, method)
    tau2 = fit.tau2_by_component
    values = np.array(list(tau2.values()), dtype=float)
    share = fit.tau2_shares
    none = (np.nan, np.nan)
    ends = [none if limits is None else limits.bounds.get(name, none) for name in tau2]
    table = pd.DataFrame(
        {
            "tau2": values,
            "tau": np.sqrt(values),
            "low": [low for low, _ in ends],
            "high": [high for _, high in ends],
            "i2": [fit.i2]
            if values.size == 1
            else fit.i2 * (share if fit.tau2 > 0 else np.zeros(values.size)),
            "share": share,
        },
        index=pd.Index(list(tau2), name="component", dtype=object),
    )
    table.attrs = {
        "level": chosen,
        "method": "" if limits is None else limits.method,
        "note": "" if limits is None else limits.note,
    }
    return table
