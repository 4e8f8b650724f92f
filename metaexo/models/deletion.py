"""The fits without one effect at a time, as one batch with counts of 0 and 1.

References
----------
Viechtbauer, W., Cheung, M. W.-L. (2010). https://doi.org/10.1002/jrsm.11
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metaexo.errors import InputError
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.moments import WeightedFit, generalised_q, weighted_fit
from metaexo.numeric.own_weights import own_weights_fit
from metaexo.numeric.problem import CHUNK_ELEMENTS, Batch, make_batch
from metaexo.types import Array

if TYPE_CHECKING:
    from metaexo.models.results import RandomEffectsResults

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
