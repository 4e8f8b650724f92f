"""Residuals, leverages and predictions of true effects of a fit, one entry a study.

References
----------
Viechtbauer, W., Cheung, M. W.-L. (2010). Outlier and influence diagnostics for meta-analysis. Research
Synthesis Methods 1, 112-125. https://doi.org/10.1002/jrsm.11
Raudenbush, S. W., Bryk, A. S. (1985). https://doi.org/10.3102/10769986010002075
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metaexo.inputs import check_choice, check_flag
from metaexo.models.hypothesis import quantiles
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.results import RandomEffectsResults

# A residual with less variance than this, relative to its effect, is zero by construction.
ROUNDING = 1e-12
KINDS = ("raw", "pearson", "standardised", "studentised", "cholesky")


def _bread(fit: RandomEffectsResults) -> tuple[Array, Array, Array]:
    """Return X, the weights A of the coefficients and (X'AX)^-1."""
    x = fit.design.matrix(fit.k)
    if fit.weighting is None:
        return x, 1.0 / (fit.effects.v + fit.tau2), np.asarray(fit.wls.cov[0])
    return x, fit.weighting, np.asarray(np.linalg.inv((x.T * fit.weighting) @ x))


def hat_matrix(fit: RandomEffectsResults) -> Array:
    """Return X (X'AX)^-1 X'A, shape (k, k)."""
    x, a, inner = _bread(fit)
    return np.asarray((x @ inner) @ (x.T * a))


def hat_values(fit: RandomEffectsResults) -> Array:
    """Return the diagonal of the hat matrix, shape (k,)."""
    x, a, inner = _bread(fit)
    return np.asarray(np.vecdot(x @ inner, x) * a)


def residual_se(fit: RandomEffectsResults) -> Array:
    """Return the standard errors of the raw residuals, shape (k,).

    The diagonal of (I - H) S (I - H)' with S the variances of the effects; with the weights of the model
    that is (1 - h) (v + tau2).
    """
    x, a, inner = _bread(fit)
    s = fit.effects.v + fit.tau2
    leverage = np.vecdot(x @ inner, x) * a
    meat = (x.T * (a * a * s)) @ x
    variance = s * (1 - 2 * leverage) + np.vecdot(x @ inner @ meat @ inner, x)
    return np.asarray(np.sqrt(np.where(variance > ROUNDING * s, variance, 0.0)))


def residuals(fit: RandomEffectsResults, kind: str) -> Array:
    """Return a residual for each effect; see `RandomEffectsResults.residuals`."""
    check_choice("kind of residual", kind, KINDS)
    raw = fit.effects.y - fit.fitted_values
    if kind == "raw":
        return np.asarray(raw)
    if kind in ("pearson", "cholesky"):  # the same, as the effects are independent
        return np.asarray(raw / np.sqrt(fit.effects.v + fit.tau2))
    return residual_frame(fit, kind)["z"].to_numpy()


def residual_frame(fit: RandomEffectsResults, kind: str) -> pd.DataFrame:
    """Return residuals with standard errors; see `RandomEffectsResults.residual_frame`."""
    import pandas as pd

    check_choice("kind of residual", kind, ("standardised", "studentised"))
    if kind == "standardised":
        residual, se = fit.effects.y - fit.fitted_values, residual_se(fit)
    else:
        residual, se = fit.deletion.residual, fit.deletion.residual_se
    # a study that alone tells of a coefficient has the residual 0 and no spread
    z = np.divide(residual, se, out=np.zeros_like(se), where=se != 0)
    return pd.DataFrame({"residual": residual, "se": se, "z": z}, index=list(fit.effects.row_labels))


def blup(fit: RandomEffectsResults, level: float | None, random_effects: bool) -> pd.DataFrame:
    """Return predictions of true effects; see `RandomEffectsResults.blup`."""
    import pandas as pd

    check_flag("random_effects", random_effects)
    es, x = fit.effects, fit.design.matrix(fit.k)
    total = es.v + fit.tau2
    share = np.divide(fit.tau2, total, out=np.zeros_like(total), where=total > 0)
    of_mean = np.vecdot(x @ fit.cov, x)
    raw = es.y - fit.fitted_values
    if random_effects:
        estimate, variance = share * raw, share * es.v + share**2 * of_mean
    else:
        estimate = fit.fitted_values + share * raw
        variance = share * es.v + (1 - share) ** 2 * of_mean
    se = np.sqrt(variance)
    half = quantiles(fit._level(level), fit.df_of(x)) * se
    return pd.DataFrame(
        {"estimate": estimate, "se": se, "low": estimate - half, "high": estimate + half},
        index=list(es.row_labels),
    )
