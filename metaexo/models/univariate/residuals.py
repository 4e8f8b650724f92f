"""Residuals, leverages, predictions of true effects, and the fits without one effect at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.inputs import check_choice
from metaexo.models.linear.fit import LinearFit
from metaexo.models.linear.hypothesis import quantiles
from metaexo.models.univariate.batched import fit_batch
from metaexo.models.univariate.fit import UnivariateFit
from metaexo.numeric.problem import CHUNK_ELEMENTS, make_batch
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

# A residual with less variance than this, relative to its effect, is zero by construction.
ROUNDING = 1e-12
KINDS = ("standardized", "studentized", "pearson", "cholesky")


def _bread(fit: UnivariateFit) -> tuple[Array, Array, Array]:
    """Return X, the weights A of the coefficients and (X'AX)^-1."""
    x = fit.design.matrix(fit.k)
    if fit.weighting is None:
        return x, 1.0 / fit.total_variance, np.asarray(fit.wls.cov[0])
    return x, fit.weighting, np.asarray(np.linalg.inv((x.T * fit.weighting) @ x))


def hat_matrix(fit: UnivariateFit) -> Array:
    """Return X (X'AX)^-1 X'A, shape (k, k)."""
    x, a, inner = _bread(fit)
    return np.asarray((x @ inner) @ (x.T * a))


def hat_values(fit: UnivariateFit) -> Array:
    """Return the diagonal of the hat matrix, shape (k,)."""
    x, a, inner = _bread(fit)
    return np.asarray(np.vecdot(x @ inner, x) * a)


def residual_se(fit: UnivariateFit) -> Array:
    """Return the standard errors of the raw residuals, shape (k,).

    The diagonal of (I - H) S (I - H)' with S the variances of the effects; with the weights of the model
    that is (1 - h) (v + tau2).
    """
    x, a, inner = _bread(fit)
    s = fit.total_variance
    leverage = np.vecdot(x @ inner, x) * a
    meat = (x.T * (a * a * s)) @ x
    variance = s * (1 - 2 * leverage) + np.vecdot(x @ inner @ meat @ inner, x)
    return np.asarray(np.sqrt(np.where(variance > ROUNDING * s, variance, 0.0)))


def residual_covariance(fit: UnivariateFit) -> Array:
    """Return the covariance matrix of the raw residuals, (I - H) S (I - H)', shape (k, k)."""
    left = np.eye(fit.k) - hat_matrix(fit)
    return np.asarray((left * fit.total_variance) @ left.T)


def residuals(fit: UnivariateFit, kind: str, deletion: Callable[[], Deletion]) -> pd.DataFrame:
    """Return residuals with standard errors; see `RandomEffectsResults.residuals`."""
    import pandas as pd

    check_choice("kind of residual", kind, KINDS)
    fitted = fit.design.matrix(fit.k) @ fit.beta
    residual = fit.effects.y - fitted
    if kind == "studentized":
        deleted = deletion()
        residual, se = deleted.residual, deleted.residual_se
        fitted = fit.effects.y - residual
    elif kind == "standardized":
        se = residual_se(fit)
    else:  # both the same, as the effects are independent
        se = np.sqrt(fit.total_variance)
    # the only study that determines a coefficient has the residual 0, which does not vary
    z = np.divide(residual, se, out=np.zeros_like(se), where=se != 0)
    return pd.DataFrame(
        {"fitted": fitted, "residual": residual, "se": se, "z": z}, index=list(fit.effects.row_labels)
    )


def predicted_effects(
    fit: LinearFit, tau2: Array | float, level: float | None, deviations: bool
) -> pd.DataFrame:
    """Return predictions of true effects, or of their deviations from the fitted values."""
    import pandas as pd

    es, x = fit.effects, fit.design.matrix(fit.k)
    assert isinstance(es, EffectSizes)
    total, fitted = np.asarray(es.v + tau2), x @ fit.beta
    share = np.divide(tau2, total, out=np.zeros_like(total), where=total > 0)
    of_mean = np.vecdot(x @ fit.cov, x)
    estimate = share * (es.y - fitted)
    if deviations:
        variance = share * es.v + share**2 * of_mean
    else:
        estimate = fitted + estimate
        variance = share * es.v + (1 - share) ** 2 * of_mean
    se = np.sqrt(variance)
    half = quantiles(fit.at_level(level), fit.df_of(x)) * se
    return pd.DataFrame(
        {"estimate": estimate, "se": se, "low": estimate - half, "high": estimate + half},
        index=list(es.row_labels),
    )


def random_effects(fit: LinearFit, tau2: Array | float, level: float | None) -> pd.DataFrame:
    """Return the deviations of true effects from their means, with tau2 of each of them or of all."""
    table = predicted_effects(fit, tau2, level, deviations=True)
    (component,) = fit.tau2_by_component
    table.insert(0, "component", component)
    table.insert(1, "level", table.index)
    return table.reset_index(drop=True)


# A row whose leverage is so close to 1 is the only one that tells of some coefficient.
ALONE = 1e-9


@dataclass(frozen=True, slots=True)
class Deletion:
    """Fits without one effect, or the effects of one cluster, at a time; NaN where the others have no fit."""

    beta: Array  # coefficients without cluster g, shape (G, p)
    cov: Array  # their covariance, the scale of the test included, shape (G, p, p)
    scale: Array  # that of the test, 1 where it has none, shape (G,)
    tau2: Array  # between-study variance, shape (G,)
    q: Array  # Cochran's Q, shape (G,)
    residual: Array  # effect minus its prediction from the others, shape (k,)
    residual_se: Array  # standard error of that difference, shape (k,)


def delete_each(fit: UnivariateFit, members: Sequence[Index] | None = None) -> Deletion:
    """Return the fits without one effect at a time, or without the rows of each of some clusters."""
    if fit.test in ("kenward-roger", "knapp-hartung-or-z", "knapp-hartung-iqwig"):
        raise InputError(
            f"deletion diagnostics are not defined for the test {fit.test!r}",
            'a fit with test="knapp-hartung", "knapp-hartung-adhoc", "t" or "z"',
        )
    if fit.robust_covariance is not None:
        raise InputError(
            "deletion diagnostics rest on the covariance matrix of the model, and the fit has a robust one",
            "a fit before robust()",
            "take the diagnostics from the fit that robust() was asked of",
        )
    k, p, es = fit.k, fit.design.p, fit.effects
    clusters = [np.array([i]) for i in range(k)] if members is None else members
    size, cluster = len(clusters), np.empty(k, dtype=np.intp)
    for g, part in enumerate(clusters):
        cluster[part] = g
    sizes = np.bincount(cluster, minlength=size)
    basis = fit.batch.basis[0]
    lost = [np.linalg.eigvalsh(basis[part].T @ basis[part])[-1] for part in clusters] if p > 1 else sizes / k
    enough = k - sizes > p if fit.tau2_is_estimated else k - sizes >= p
    possible = np.flatnonzero((1.0 - np.asarray(lost) > ALONE) & enough)
    beta, cov = np.full((size, p), np.nan), np.full((size, p, p), np.nan)
    scale, tau2, q = (np.full(size, np.nan) for _ in range(3))
    rows = max(1, CHUNK_ELEMENTS // (k * p * p))
    for begin in range(0, possible.size, rows):
        which = possible[begin : begin + rows]
        counts = np.asarray(cluster != which[:, None], dtype=float)
        found = fit_batch(fit, make_batch(es.y, es.v, fit.design.x, counts, fit.weighting))
        beta[which], cov[which], scale[which] = found.beta, found.cov, found.scale
        tau2[which], q[which] = found.tau2, found.q
    x = fit.design.matrix(k)
    of_mean = np.vecdot((cov[cluster] @ x[..., None])[..., 0], x)
    total = scale[cluster] * (es.v + tau2[cluster]) + of_mean
    residual = es.y - np.vecdot(beta[cluster], x)
    return Deletion(beta, cov, scale, tau2, q, residual, np.sqrt(total))
