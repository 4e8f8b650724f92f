"""What a fit says about each study: fitted values, residuals, weights, predictions of true effects."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np

from metaexo.models.records import lock
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.deletion import Deletion
    from metaexo.models.results import RandomEffectsResults


class Cases:
    """The part of RandomEffectsResults that has an entry a study."""

    @property
    def weights(self) -> Array:
        """Share of each effect, scaled to sum to 1, shape (k,).

        1 / (v + tau2), or the user's own weights. Without moderators they make the pooled mean.
        """
        fit = cast("RandomEffectsResults", self)
        w = 1.0 / (fit.effects.v + fit.tau2) if fit.weighting is None else fit.weighting
        shares: Array = lock(np.asarray(w / w.sum()))
        return shares

    @property
    def fitted_values(self) -> Array:
        """Mean effect at each study's moderators, shape (k,)."""
        fit = cast("RandomEffectsResults", self)
        fitted: Array = lock(np.asarray(fit.design.matrix(fit.k) @ fit.beta))
        return fitted

    @cached_property
    def hat_matrix(self) -> Array:
        """The matrix that takes effects to fitted values, shape (k, k)."""
        from metaexo.models.residuals import hat_matrix

        found: Array = lock(hat_matrix(cast("RandomEffectsResults", self)))
        return found

    @property
    def hat_values(self) -> Array:
        """Leverage of each effect, the diagonal of the hat matrix, shape (k,); linear in memory."""
        from metaexo.models.residuals import hat_values

        found: Array = lock(hat_values(cast("RandomEffectsResults", self)))
        return found

    def residuals(self, kind: str = "raw") -> Array:
        """Return a residual for each effect.

        Parameters
        ----------
        kind : {"raw", "pearson", "standardised", "studentised", "cholesky"}
            "raw": effect minus fitted value. "pearson": that over the standard deviation of the effect,
            sqrt(v + tau2). "standardised": over its own standard error, which allows for the estimation of
            the coefficients. "studentised": effect minus what the other studies predict for it, over the
            standard error of that difference; the one to look at for outliers. "cholesky": uncorrelated ones,
            in order.

        Returns
        -------
        ndarray, shape (k,)
            The residuals.

        Raises
        ------
        UnknownChoiceError
            If the kind is not known.

        References
        ----------
        Viechtbauer, W., Cheung, M. W.-L. (2010). Outlier and influence diagnostics for meta-analysis.
        Research Synthesis Methods 1, 112-125. https://doi.org/10.1002/jrsm.11
        """
        from metaexo.models.residuals import residuals

        found: Array = lock(residuals(cast("RandomEffectsResults", self), kind))
        return found

    def residual_frame(self, kind: str = "standardised") -> pd.DataFrame:
        """Return residuals with their standard errors: columns residual, se, z.

        Parameters
        ----------
        kind : {"standardised", "studentised"}
            As in `residuals`.
        """
        from metaexo.models.residuals import residual_frame

        return residual_frame(cast("RandomEffectsResults", self), kind)

    def blup(self, level: float | None = None, *, random_effects: bool = False) -> pd.DataFrame:
        """Return the best prediction of each study's true effect: its own effect drawn towards the fit.

        The prediction for study i is l y + (1 - l) f, with its fitted value f and l = tau2 / (tau2 + v).

        Parameters
        ----------
        level : float, optional
            Level of the intervals; default that of the fit.
        random_effects : bool
            Return the deviations from the fitted values instead of the true effects.

        Returns
        -------
        DataFrame
            Columns estimate, se, low, high, one row an effect.

        References
        ----------
        Raudenbush, S. W., Bryk, A. S. (1985). Empirical Bayes meta-analysis. Journal of Educational
        Statistics 10, 75-98. https://doi.org/10.3102/10769986010002075
        """
        from metaexo.models.residuals import blup

        return blup(cast("RandomEffectsResults", self), level, random_effects)

    @property
    def cooks_distance(self) -> Array:
        """How far the coefficients move without each effect, in units of their covariance, shape (k,).

        (b - b_i)' C^-1 (b - b_i), with b_i the coefficients without effect i; not divided by their number.
        NaN where the others cannot be fitted. More of this kind: :func:`metaexo.sensitivity.influence`.
        """
        fit = cast("RandomEffectsResults", self)
        moved = fit.beta - fit.deletion.beta
        if not (fit.se > 0).all():  # no spread: no units to measure a move in
            return lock(np.full(fit.k, np.nan))
        found: Array = lock(np.asarray(np.vecdot(moved, np.linalg.solve(fit.cov, moved.T).T)))
        return found

    @cached_property
    def deletion(self) -> Deletion:
        """The fits without one effect at a time, all in one batched call."""
        from metaexo.models.deletion import delete_each

        found: Deletion = lock(delete_each(cast("RandomEffectsResults", self)))
        return found
