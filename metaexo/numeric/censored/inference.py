"""Covariance matrix, effective number of effects and residual scale of fits of censored evidence.

The information on the coefficients alone is J = -sum l_i'' x_i x_i'. Where all rows are exact, coefficients
and tau2 are orthogonal in expectation; a censored row ties the two, because a larger tau2 moves more of its
probability beyond the bound. Its own mixed derivative is observed, that of an exact row is taken at its
expectation, zero, and so are the derivatives in tau2: the covariance matrix is then the inverse of

    J - c c' / i,     c = -sum_censored x_i d2l_i / (deta dtau2),
                      i = 1/2 trace(PP) or 1/2 trace(WW), less sum_censored (d2l_i / dtau2^2 + w_i^2 / 2),

which is that of the usual random-effects model where nothing is censored. At tau2 = 0 it is the inverse of J.

A row retains the share s_i^2 (-l_i'') of the information that it would have if it were exact, s_i^2 being
tau2 + v_i; the sum of these shares is the effective number of effects. As the square of a score and the
information have one expectation, sum s_i^2 (l_i')^2 over (effective number - p) has expectation one, and is
the residual variance of Knapp and Hartung where all rows are exact.

The likelihood has a maximum unless it increases without bound in some direction d of the coefficients: no row
with two ends changes along it (x'd = 0), and every half-line gains or stays (x'd >= 0 for rows above a bound,
<= 0 for rows below one). As in the regression of a binary outcome such a direction is found by linear
programming.

References
----------
Knapp, G., Hartung, J. (2003). Improved tests for a random effects meta-regression with a single covariate.
Statistics in Medicine 22, 2693-2710. https://doi.org/10.1002/sim.1482
Albert, A., Anderson, J. A. (1984). On the existence of maximum likelihood estimates in logistic regression
models. Biometrika 71, 1-10. https://doi.org/10.1093/biomet/71.1.1
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metaexo.numeric.censored.maximum import CensoredMaximum
from metaexo.numeric.censored.rows import CensoredBatch
from metaexo.numeric.censored.terms import MeanFit, likeliest_mean
from metaexo.numeric.problem import without_rounding
from metaexo.types import Array

SMALLEST = 1e-7


@dataclass(frozen=True, slots=True)
class CensoredInference:
    """What B estimates are worth."""

    beta: Array  # (B, P): coefficients on X
    cov: Array  # (B, P, P): their covariance matrix, that tau2 is estimated allowed for
    tau2_se: Array  # (B,): standard error of tau2; NaN where the information on it is not positive
    # (B, K): share of its complete information that each row retains; 1 for exact rows, 0 for rows that are
    # out
    retained: Array
    # (B,): residual variance over its expectation; NaN where the effective number does not exceed p
    scale: Array
    fit: MeanFit  # the rows at the estimates

    @property
    def effective(self) -> Array:
        """Effective number of effects, shape (B,)."""
        return np.asarray(self.retained.sum(axis=-1))


def censored_inference(
    batch: CensoredBatch, maximum: CensoredMaximum, restricted: bool, tau2_known: bool = False
) -> CensoredInference:
    """Return covariance matrices, standard errors and scales at the estimates of a batch.

    `restricted`: whether tau2 is by REML. `tau2_known`: whether tau2 was given, so that nothing is to be
    allowed for.
    """
    fit = likeliest_mean(batch, maximum.tau2, maximum.gamma)
    terms = fit.terms
    tied = np.where(batch.censored, batch.n * terms.first_by_tau2, 0.0)
    about_tau2 = tau2_information_of_rows(batch, fit, restricted).sum(axis=-1)
    schur = fit.information
    if batch.p and not tau2_known:
        mixed = -tied @ batch.basis
        with np.errstate(divide="ignore", invalid="ignore"):
            lost = np.einsum("bp,bq->bpq", mixed, mixed) / about_tau2[:, None, None]
            smallest = np.linalg.eigvalsh(np.where(np.isfinite(lost), fit.information - lost, 0.0)).min(
                axis=-1
            )
        usable = (maximum.tau2 > 0) & (about_tau2 > 0) & (smallest > 0)
        schur = np.where(usable[:, None, None], fit.information - lost, fit.information)
    cov = np.linalg.inv(schur) if batch.p else schur
    with np.errstate(divide="ignore", invalid="ignore"):
        se = 1.0 / np.sqrt(about_tau2)
    variance = batch.v + maximum.tau2[:, None]
    retained = batch.n * variance * -terms.second
    free = retained.sum(axis=-1) - batch.p
    residual = (batch.n * _standardised_squares(batch, terms.first, variance)).sum(axis=-1)
    return CensoredInference(
        beta=fit.gamma @ batch.to_x.T + batch.offset,
        cov=np.einsum("pq,bqr,sr->bps", batch.to_x, cov, batch.to_x),
        tau2_se=np.where(about_tau2 > 0, se, np.nan),
        retained=retained,
        scale=np.where(free > 0, residual / np.where(free > 0, free, 1.0), np.nan),
        fit=fit,
    )


def _standardised_squares(batch: CensoredBatch, first: Array, variance: Array) -> Array:
    """Return the squares of the standardised residuals; those of equal exact effects are 0."""
    taken_out = np.linalg.solve(batch.to_x, batch.offset.T).T @ batch.basis.T if batch.p else 0.0
    exact = np.where(batch.censored, 0.0, first * variance)
    settled = without_rounding(exact, np.where(batch.censored, 0.0, np.abs(batch.y) + np.abs(taken_out)))
    return np.where(batch.censored, variance * first**2, settled**2 / variance)


def tau2_information_of_rows(batch: CensoredBatch, fit: MeanFit, restricted: bool) -> Array:
    """Return what each row adds to the information on tau2.

    It is the expected information of exact rows, and the observed one of censored rows.

    `restricted`: whether tau2 is by REML: the part that the coefficients take is then taken from the rows.
    Returned, shape (B, K): the sum is the information; a censored row's part may be negative.
    """
    terms = fit.terms
    weight = -terms.second
    rows = np.where(batch.censored, -terms.by_tau2_twice, 0.5 * weight**2)
    if restricted and batch.p:
        squares = (batch.n * weight**2)[..., None] * batch.basis
        middle = np.linalg.solve(fit.information, np.swapaxes(squares, 1, 2) @ batch.basis)
        inverse = np.linalg.inv(fit.information)
        twice = np.einsum("kp,bpq,bqr,kr->bk", batch.basis, middle, inverse, batch.basis, optimize=True)
        rows = rows - weight**3 * fit.row_leverage(batch) + 0.5 * weight**2 * twice
    return np.asarray(batch.n * rows)


def rising_direction(x: Array, lower: Array, upper: Array) -> Array | None:
    """Return a direction of the coefficients in which the likelihood has no maximum; None if none.

    `x`, shape (K, P): design, of full column rank. `lower` and `upper`, shape (K,): ends of the rows; equal
    for exact ones, infinite where there is no bound.
    """
    from scipy.optimize import linprog

    size = np.abs(x).max(axis=0)
    columns = x / np.where(size > 0, size, 1.0)
    half = np.isinf(lower) | np.isinf(upper)
    signed = np.where(np.isinf(upper), 1.0, -1.0)[half, None] * columns[half]
    held = columns[~half]
    if not half.any():
        return None
    solved = linprog(
        -signed.sum(axis=0),
        A_ub=-signed,
        b_ub=np.zeros(len(signed)),
        A_eq=held if len(held) else None,
        b_eq=np.zeros(len(held)) if len(held) else None,
        bounds=[(-1.0, 1.0)] * x.shape[1],
    )
    if not solved.success or -solved.fun <= SMALLEST:
        return None
    direction = np.where(np.abs(solved.x) > SMALLEST, solved.x, 0.0)
    return np.asarray(direction / np.where(size > 0, size, 1.0))
