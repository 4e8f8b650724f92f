"""What is known of the likelihood at one point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metaexo.numeric.problem import Array


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
