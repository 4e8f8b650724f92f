"""The fit with weights of the user's own: valid whatever they are, less efficient than with 1/(v + tau2).

References
----------
Henmi, M., Copas, J. B. (2010). Confidence intervals for random effects meta-analysis and robustness to
publication bias. Statistics in Medicine 29, 2969-2983. https://doi.org/10.1002/sim.4029
"""

from __future__ import annotations

import numpy as np

from metaexo.numeric.closed_forms import user_weights
from metaexo.numeric.moments import WeightedFit
from metaexo.numeric.problem import Batch
from metaexo.types import Array


def own_weights_fit(batch: Batch, tau2: Array) -> WeightedFit:
    """Return the fit with the batch's own weights A, whose effects have variances S = V + tau2 I.

    The coefficients are (X'AX)^-1 X'Ay, their covariance (X'AX)^-1 X'A S A X (X'AX)^-1. The sum of squares is
    that of the residuals weighted by 1/(v + tau2).
    """
    a = batch.n * user_weights(batch)
    basis, s = batch.basis[0], batch.v + tau2[:, None]
    gram = np.swapaxes(basis * a[..., None], -1, -2) @ basis
    bread = np.linalg.inv(gram)
    gamma = (bread @ ((a * batch.y) @ basis)[..., None])[..., 0]
    meat = np.swapaxes(basis * (a * user_weights(batch) * s)[..., None], -1, -2) @ basis
    cov = batch.to_x @ bread @ meat @ bread @ batch.to_x.T
    residuals = batch.y - gamma @ basis.T
    best = np.swapaxes(basis * (batch.n / s)[..., None], -1, -2) @ basis
    return WeightedFit(
        beta=batch.offset + gamma @ batch.to_x.T,
        cov=0.5 * (cov + np.swapaxes(cov, -1, -2)),
        weighted_ss=np.vecdot(batch.n * residuals / s, residuals),
        logdet=np.linalg.slogdet(best)[1],
    )
