"""Draws of what censored rows may have been: normal values within their intervals.

References
----------
Devroye, L. (1986). Non-Uniform Random Variate Generation, section II.2 (inversion). Springer.
https://doi.org/10.1007/978-1-4613-8643-8
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri_exp

from metaexo.numeric.censored.rows import CensoredBatch
from metaexo.numeric.censored.terms import log_interval
from metaexo.types import Array


def truncated_normal(lower: Array, upper: Array, sd: Array, uniform: Array) -> Array:
    """Return the values of a normal variable with mean 0 within (lower, upper), by inversion.

    It works on logarithms of the nearer tail, so that intervals far from the mean are drawn from as well.

    Parameters
    ----------
    lower, upper, sd : ndarray
        Ends, which may be infinite, and standard deviations, of one shape.
    uniform : ndarray
        Uniform numbers between 0 and 1, of that shape.
    """
    a, b = lower / sd, upper / sd
    with np.errstate(invalid="ignore"):
        turned = a + b > 0
    low, high = np.where(turned, -b, a), np.where(turned, -a, b)
    share = np.where(turned, 1.0 - uniform, uniform)
    with np.errstate(divide="ignore"):
        log_p = np.logaddexp(log_ndtr(low) + np.log1p(-share), log_ndtr(high) + np.log(share))
    drawn = np.clip(ndtri_exp(log_p), low, high)
    return np.asarray(np.where(turned, -drawn, drawn) * sd)


def draw_effects(
    batch: CensoredBatch, gamma: Array, tau2: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return effects and sampling variances with every censored row drawn once a problem, shape (B, K).

    A row with two ends of unequal variances is drawn before its division by the relative error of the
    standard deviation, with the variance that an effect of zero has.

    Parameters
    ----------
    gamma : ndarray, shape (B, P)
        Coefficients on the basis, the offset left out.
    tau2 : ndarray, shape (B,)
        Between-study variances.
    """
    eta = gamma @ batch.basis.T
    y, v = batch.y.copy(), batch.v.copy()
    at = np.nonzero(batch.censored)
    if at[0].size:
        pieces = np.arange(at[0].size), _pieces(batch, eta, tau2, at, rng)
        ends = [end[at][pieces] - eta[at] for end in (batch.lower, batch.upper)]
        v[at] = batch.piece_v[at][pieces]
        sd = np.sqrt(v[at] + tau2[at[0]])
        y[at] = eta[at] + truncated_normal(ends[0], ends[1], sd, rng.uniform(size=sd.size))
    shift = batch.offset @ np.linalg.inv(batch.to_x.T) @ batch.basis.T if batch.p else 0.0
    return y + shift, v


def _pieces(
    batch: CensoredBatch, eta: Array, tau2: Array, at: tuple[NDArray[np.intp], ...], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Return which interval of its mixture each censored row is drawn from."""
    if batch.lower.shape[-1] == 1:
        return np.zeros(at[0].size, dtype=np.intp)
    mean = eta[at][:, None]
    sd = np.sqrt(batch.piece_v[at] + tau2[at[0]][:, None])
    joint = batch.log_weight[at] + log_interval((batch.lower[at] - mean) / sd, (batch.upper[at] - mean) / sd)
    share = np.exp(joint - joint.max(axis=-1, keepdims=True))
    reached = np.cumsum(share, axis=-1) / share.sum(axis=-1, keepdims=True)
    return np.asarray((reached < rng.uniform(size=at[0].size)[:, None]).sum(axis=-1))
