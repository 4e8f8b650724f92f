"""Residuals, leverages and predictions of true effects of a fit, one entry a study.

References
----------
Viechtbauer, W., Cheung, M. W.-L. (2010). Outlier and influence diagnostics for meta-analysis. Research
Synthesis Methods 1, 112-125. https://doi.org/10.1002/jrsm.11
Raudenbush, S. W., Bryk, A. S. (1985). https://doi.org/10.3102/10769986010002075

The fits without one effect at a time, as one batch with counts of 0 and 1.

References
----------
Viechtbauer, W., Cheung, M. W.-L. (2010). https://doi.org/10.1002/jrsm.11
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metaexo.errors import InputError
from metaexo.inputs import check_choice, check_flag
from metaexo.models.linear.hypothesis import quantiles
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.moment_estimators import own_weights_fit
from metaexo.numeric.moments import WeightedFit, generalised_q, weighted_fit
from metaexo.numeric.problem import CHUNK_ELEMENTS, Batch, make_batch
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.univariate.fit import RandomEffectsResults

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


# A row whose leverage is so close to 1 is the only one that tells of some coefficient.
ALONE = 1e-9


@dataclass(frozen=True, slots=True)
class Deletion:
    """Fits without one effect at a time; NaN where the others cannot be fitted.

    Attributes
    ----------
    beta : ndarray, shape (k, p)
        Coefficients without effect i.
    cov : ndarray, shape (k, p, p)
        Their covariance, the scale of the test included.
    scale : ndarray, shape (k,)
        The scale of the test; 1 where the test has none.
    tau2 : ndarray, shape (k,)
        Between-study variance.
    q : ndarray, shape (k,)
        Cochran's Q.
    residual, residual_se : ndarray, shape (k,)
        Effect minus its prediction from the others, and the standard error of that difference.
    """

    beta: Array
    cov: Array
    scale: Array
    tau2: Array
    q: Array
    residual: Array
    residual_se: Array


def delete_each(fit: RandomEffectsResults) -> Deletion:
    """Return the fits without one effect at a time.

    Raises
    ------
    InputError
        If the test of the fit has no deleted version.
    """
    if fit.test in ("kenward-roger", "knapp-hartung-or-z", "knapp-hartung-iqwig"):
        raise InputError(
            f"deletion diagnostics are not defined for the test {fit.test!r}",
            'a fit with test="knapp-hartung", "knapp-hartung-adhoc", "t" or "z"',
        )
    k, p = fit.k, fit.design.p
    basis = fit.batch.basis[0]
    possible = np.flatnonzero(1.0 - np.vecdot(basis, basis) > ALONE)
    enough = k - 1 > p if fit.method != "EE" and not fit.tau2_given else k - 1 >= p
    possible = possible if enough else possible[:0]
    beta, cov = np.full((k, p), np.nan), np.full((k, p, p), np.nan)
    scale, tau2, q = (np.full(k, np.nan) for _ in range(3))
    rows = max(1, CHUNK_ELEMENTS // (k * p * p))
    for begin in range(0, possible.size, rows):
        which = possible[begin : begin + rows]
        batch = _batch_without(fit, which)
        tau2[which] = _tau2(fit, batch)
        with np.errstate(divide="ignore", invalid="ignore"):  # a variance of 0 where tau2 is 0: no such fit
            found, best = _fits(fit, batch, tau2[which])
            scale[which] = _scale(fit, best, batch)
        beta[which] = found.beta
        cov[which] = found.cov * scale[which][:, None, None]
        if (fit.effects.v > 0).all():
            q[which] = generalised_q(batch, np.zeros(which.size))[0]
    x = fit.design.matrix(k)
    of_mean = np.vecdot((cov @ x[..., None])[..., 0], x)
    total = scale * (fit.effects.v + tau2) + of_mean
    return Deletion(beta, cov, scale, tau2, q, fit.effects.y - np.vecdot(beta, x), np.sqrt(total))


def _batch_without(fit: RandomEffectsResults, which: np.ndarray) -> Batch:
    """Return a batch with a problem for each row in `which`, without that row."""
    counts = np.ones((which.size, fit.k))
    counts[np.arange(which.size), which] = 0.0
    es = fit.effects
    return make_batch(es.y, es.v, fit.design.x, counts, fit.weighting)


def _tau2(fit: RandomEffectsResults, batch: Batch) -> Array:
    if fit.tau2_given:
        return np.full(batch.size, fit.tau2)
    return get_estimator(fit.method).kernel(batch).tau2


def _fits(fit: RandomEffectsResults, batch: Batch, tau2: Array) -> tuple[WeightedFit, WeightedFit]:
    """Return the fit of the coefficients and the one with the best weights."""
    best = weighted_fit(batch, 1.0 / (batch.v + tau2[:, None]))
    return (best if fit.weighting is None else own_weights_fit(batch, tau2)), best


def _scale(fit: RandomEffectsResults, best: WeightedFit, batch: Batch) -> Array:
    if not fit.test.startswith("knapp-hartung"):
        return np.ones(batch.size)
    scale = best.weighted_ss / np.maximum(batch.df, 1.0)
    return np.maximum(scale, 1.0) if fit.test == "knapp-hartung-adhoc" else scale
