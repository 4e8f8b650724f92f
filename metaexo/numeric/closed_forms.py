"""Estimators of tau2 that need no iteration: EE and DL.

DL equates a quadratic form y'Ay, with A X = 0, with its expectation tau2 trace(A) + trace(AV), V = diag(v).
For normal effects the variance of y'Ay is 2 trace(A S A S) with S = V + tau2 I, which gives the standard
error at the estimate.

References
----------
DerSimonian, R., Laird, N. (1986). https://doi.org/10.1016/0197-2456(86)90046-2
DerSimonian, R., Kacker, R. (2007). https://doi.org/10.1016/j.cct.2006.04.004
Viechtbauer, W. (2005). https://doi.org/10.3102/10769986030003261
"""

from __future__ import annotations

import numpy as np

from metaexo.numeric.moments import moments
from metaexo.numeric.problem import Batch
from metaexo.numeric.tau2 import Tau2, closed_form


def equal_effects(batch: Batch) -> Tau2:
    """Return tau2 = 0, the assumption of the equal-effects model."""
    return closed_form(batch, np.zeros(batch.size))


def dersimonian_laird(batch: Batch) -> Tau2:
    """Return (Q - (k - p)) / trace(P), with P at tau2 = 0."""
    at = moments(batch, np.zeros(batch.size))
    raw = (at.y_p_y - batch.df) / at.trace_p
    tau2 = np.maximum(raw, 0.0)
    # With A = P at tau2 = 0, A V A = A: trace(ASAS) = (k - p) + 2 tau2 trace(P) + tau2^2 trace(PP).
    variance = 2 * (batch.df + 2 * tau2 * at.trace_p + tau2**2 * at.trace_pp)
    return closed_form(batch, raw, np.sqrt(variance) / at.trace_p)
