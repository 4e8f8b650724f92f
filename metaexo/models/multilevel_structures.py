"""The registry of covariance structures of random terms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metaexo.errors import InputError
from metaexo.numeric.mixed.correlations import compound, power, spatial
from metaexo.numeric.mixed.structures import Diagonal, Heterogeneous, Homogeneous, Structure, Unstructured
from metaexo.types import Array

# Code to what it says, in words.
STRUCTURES: dict[str, str] = {
    "ID": "one variance, no correlation",
    "DIAG": "a variance for each inner level, no correlation",
    "CS": "one variance, one correlation",
    "HCS": "a variance for each inner level, one correlation",
    "UN": "unstructured",
    "AR": "one variance, autoregressive",
    "HAR": "a variance for each inner level, autoregressive",
    "CAR": "one variance, autoregressive in continuous time",
    "GEN": "intercept and slopes, unstructured",
    "GDIAG": "intercept and slopes, uncorrelated",
    "SPEXP": "one variance, correlation exp(-d/range)",
    "SPGAU": "one variance, correlation exp(-d^2/range^2)",
    "SPLIN": "one variance, correlation 1 - d/range up to the range",
    "SPRAT": "one variance, correlation 1/(1 + d^2/range^2)",
    "SPSPH": "one variance, spherical correlation up to the range",
}
SLOPES = ("GEN", "GDIAG")


def make_structure(
    code: str, inner: Sequence[str], distance: Array | None, all_levels: int | None = None
) -> Structure:
    """Return the structure of a code.

    Parameters
    ----------
    code : str
        A key of STRUCTURES.
    inner : sequence of str
        Inner levels.
    distance : ndarray, shape (s, s), or None
        Distances of the inner levels, for CAR and the spatial structures.
    all_levels : int, optional
        Number of inner levels that the bound of a compound correlation refers to; default `inner`.
    """
    s = len(inner)
    if code in ("ID", "DIAG", "GDIAG"):
        return Diagonal(s, common=code == "ID")
    if s == 1:
        return Diagonal(1, common=True)
    total = s if all_levels is None else all_levels
    steps = np.abs(np.subtract.outer(np.arange(s), np.arange(s)))
    if code in ("UN", "GEN"):
        return Unstructured(s) if s > 2 else Heterogeneous(2, compound(2, -1.0))
    if code == "CS":
        return Homogeneous(s, compound(s, -1.0 / (total - 1)))
    if code == "HCS":
        return Heterogeneous(s, compound(s, -1.0 / (total - 1)))
    if code == "AR":
        return Homogeneous(s, power(steps, True))
    if code == "HAR":
        return Heterogeneous(s, power(steps, True))
    if distance is None:
        raise InputError(f"the structure {code} came without distances", "distance= a table of distances")
    if code == "CAR":
        return Homogeneous(s, power(distance, False))
    return Homogeneous(s, spatial(distance, code))
