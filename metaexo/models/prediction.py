"""Mean effects at moderator values, and where the true effect of a new study may lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from metaexo.errors import ShapeError
from metaexo.models.design import Design
from metaexo.numeric.problem import Array

if TYPE_CHECKING:
    import pandas as pd


def new_rows(design: Design, new: ArrayLike | pd.DataFrame | None) -> Array:
    """Return rows of the design, shape (r, p), from moderator values without the intercept.

    Raises
    ------
    ShapeError
        If the rows do not have a column for each moderator.
    """
    if new is None:
        return np.ones((1, 1)) if design.x is None else design.x
    rows = np.atleast_2d(np.asarray(new, dtype=float))
    if design.added:
        rows = np.column_stack([np.ones(len(rows)), rows])
    if rows.shape[1] != design.p:
        raise ShapeError(
            f"the new rows have {rows.shape[1] - design.added} columns",
            f"one column for each of {', '.join(design.names[design.added :]) or 'no moderators'}",
        )
    return rows


def predict_rows(x: Array, beta: Array, cov: Array, tau2: float, quantile: float) -> pd.DataFrame:
    """Return means with confidence and prediction intervals for the rows of x, shape (r, p)."""
    import pandas as pd

    mean = x @ beta
    variance = np.einsum("rp,pq,rq->r", x, cov, x)
    prediction_se = np.sqrt(variance + tau2)
    half, wide = quantile * np.sqrt(variance), quantile * prediction_se
    return pd.DataFrame(
        {
            "estimate": mean,
            "se": np.sqrt(variance),
            "low": mean - half,
            "high": mean + half,
            "prediction_se": prediction_se,
            "prediction_low": mean - wide,
            "prediction_high": mean + wide,
        }
    )
