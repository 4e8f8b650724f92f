"""Definitions of R2: how much of the heterogeneity the moderators explain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from metaexo.errors import InputError
from metaexo.inputs import check_choice
from metaexo.numeric.likelihood import LOG_2PI, log_likelihood
from metaexo.types import Array

if TYPE_CHECKING:
    from metaexo.models.results import RandomEffectsResults
    from metaexo.models.spread import Heterogeneity


@dataclass(frozen=True, slots=True)
class Parts:
    """What the definitions are made of.

    Attributes
    ----------
    fit : RandomEffectsResults
        The fit with moderators.
    before, after, sampling : float
        tau2 without and with moderators, harmonic mean of the sampling variances.
    fitted : ndarray, shape (k,)
        Fitted values.
    """

    fit: RandomEffectsResults
    before: float
    after: float
    sampling: float
    fitted: Array

    @property
    def of_fitted(self) -> float:
        """Variance of the fitted values."""
        return float(np.var(self.fitted, ddof=1))

    def likelihoods(self) -> tuple[float, float, float]:
        """Return the log-likelihoods without and with moderators and of the saturated model.

        Restricted for REML fits, where that of the saturated model is one.
        """
        fit = self.fit
        restricted = fit.method == "REML"
        null = float(log_likelihood(fit._null_batch, np.array([self.before]), restricted)[0])
        saturated = -0.5 * float((LOG_2PI + np.log(fit.effects.v)).sum())
        return null, fit.fit_statistics(restricted).llf, 0.0 if restricted else saturated


def explained(fit: Heterogeneity, definition: str) -> float:
    """Return R2 by a definition; see `RandomEffectsResults.r2_by`."""
    check_choice("definition of R2", definition, tuple(DEFINITIONS))
    if fit.design.x is None or fit.design.intercept is None or fit.tau2_given or fit.method == "EE":
        raise InputError(
            "R2 compares the between-study variance with and without moderators, and this fit has no "
            "moderators, no intercept or no estimated tau2",
            "a random-effects fit with an intercept and moderators",
        )
    full = cast("RandomEffectsResults", fit)
    parts = Parts(
        fit=full,
        before=fit._null_tau2,
        after=fit.tau2,
        sampling=float(1.0 / np.mean(1.0 / fit.effects.v)),
        fitted=fit.design.matrix(fit.effects.k) @ full.beta,
    )
    return max(0.0, DEFINITIONS[definition](parts))


def _of_tau2(parts: Parts) -> float:
    return (parts.before - parts.after) / parts.before if parts.before > 0 else 0.0


def _of_total(parts: Parts) -> float:
    return (parts.before - parts.after) / (parts.before + parts.sampling)


def _share_of_fitted(parts: Parts, rest: float) -> float:
    total = parts.of_fitted + rest
    return parts.of_fitted / total if total > 0 else 0.0


def _fitted_over(parts: Parts, total: float) -> float:
    return parts.of_fitted / total if total > 0 else math.nan


def _correlation(parts: Parts, weights: Array) -> float:
    share = weights / weights.sum()
    y, fitted = parts.fit.effects.y, parts.fitted
    y, fitted = y - share @ y, fitted - share @ fitted
    spread = (share @ y**2) * (share @ fitted**2)
    return float((share @ (y * fitted)) ** 2 / spread) if spread > 0 else 0.0


def _cox_snell(parts: Parts) -> float:
    null, full, _ = parts.likelihoods()
    return -math.expm1(2 * (null - full) / parts.fit.k)


def _nagelkerke(parts: Parts) -> float:
    return _cox_snell(parts) / -math.expm1(2 * parts.likelihoods()[0] / parts.fit.k)


def _mcfadden(parts: Parts) -> float:
    null, full, _ = parts.likelihoods()
    return 1 - full / null


def _deviance(parts: Parts) -> float:
    null, full, saturated = parts.likelihoods()
    return (full - null) / (saturated - null)


DEFINITIONS: dict[str, Callable[[Parts], float]] = {
    "tau2": _of_tau2,
    "tau2-of-total": _of_total,
    "fitted": lambda p: _share_of_fitted(p, p.after),
    "fitted-of-total": lambda p: _share_of_fitted(p, p.after + p.sampling),
    "fitted-of-tau2": lambda p: _fitted_over(p, p.before),
    "fitted-of-tau2-total": lambda p: _fitted_over(p, p.before + p.sampling),
    "correlation": lambda p: _correlation(p, np.ones(p.fit.k)),
    "weighted-correlation": lambda p: _correlation(p, 1.0 / (p.fit.effects.v + p.after)),
    "mcfadden": _mcfadden,
    "cox-snell": _cox_snell,
    "nagelkerke": _nagelkerke,
    "deviance": _deviance,
}
