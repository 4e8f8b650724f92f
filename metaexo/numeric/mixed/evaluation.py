"""What is known of the likelihood at one point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metaexo.numeric.mixed.problem import NotPositiveDefinite
from metaexo.types import Array


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The likelihood at given parameters.

    Attributes
    ----------
    llf : float
        Log-likelihood.
    gradient : ndarray, shape (n,)
        Its derivative.
    information : ndarray, shape (n, n)
        Average information.
    scores : list of ndarray, shape (s, s)
        S of each term: what the gradient is on the scale of G.
    observed : callable or None
        Returns minus the second derivatives, shape (n, n), where they are known in closed form.
    """

    llf: float
    gradient: Array
    information: Array
    scores: list[Array]
    observed: Callable[[], Array] | None = None


class Parts(NamedTuple):
    """What minus twice the log-likelihood is made of at b points, but for its constant: logdet + q.

    Attributes
    ----------
    logdet : ndarray, shape (b,)
        log|M|, with REML plus log|X'M^-1 X| - log|X'X|.
    q : ndarray, shape (b,)
        y'P y.
    traces : ndarray, shape (b, n)
        The derivatives of `logdet`.
    forms : ndarray, shape (b, n)
        Minus the derivatives of `q`.
    """

    logdet: Array
    q: Array
    traces: Array
    forms: Array


def turn_of(gram: Array) -> tuple[Array, Array, Array]:
    """Fit the design, from the products of basis and effects under M^-1; leading axes are a batch.

    Parameters
    ----------
    gram : ndarray, shape (..., p + 1, p + 1)
        [Q, e]'M^-1 [Q, e].

    Returns
    -------
    turn : ndarray, shape (..., p + 1, p + 1)
        What turns M^-1 [Q, e] into mx and r.
    q : ndarray, shape (...)
        y'P y.
    logdet_x : ndarray, shape (...)
        log|X'M^-1 X| - log|X'X|.

    Raises
    ------
    NotPositiveDefinite
        If the design cannot be fitted.
    """
    try:
        lower = np.linalg.cholesky(gram[..., :-1, :-1])
    except np.linalg.LinAlgError as error:
        raise NotPositiveDefinite from error
    logdet_x = 2 * np.log(lower.diagonal(axis1=-2, axis2=-1)).sum(axis=-1)
    inverse = np.linalg.inv(lower)
    along = inverse @ gram[..., :-1, -1:]
    q = gram[..., -1, -1] - (along * along).sum(axis=(-2, -1))
    turn = np.zeros(gram.shape)
    turn[..., :-1, :-1], turn[..., -1, -1] = inverse, 1.0
    turn[..., -1:, :-1] = -along.swapaxes(-1, -2) @ inverse
    return turn, q, logdet_x
