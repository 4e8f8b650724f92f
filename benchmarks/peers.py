"""One fit with its interval, by every Python package that is installed: REML, or the nearest it has."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases import Array

Fit = Callable[[Array, Array], tuple[float, float]]


def metaexo(y: Array, v: Array, method: str = "REML") -> tuple[float, float]:
    """Return pooled estimate and tau2; the interval, Q and I2 are computed too."""
    import metaexo as mx

    fit = mx.RandomEffects(mx.EffectSizes(y, v)).fit(method=method)
    _ = fit.pooled(), fit.q.pvalue, fit.i2
    return fit.estimate, fit.tau2


def pymare(y: Array, v: Array) -> tuple[float, float]:
    """Fit with PyMARE; its intervals are part of get_fe_stats."""
    from pymare.estimators import VarianceBasedLikelihoodEstimator

    estimator = VarianceBasedLikelihoodEstimator(method="reml")
    estimator.fit(y[:, None], v[:, None], np.ones((y.size, 1)))
    results = estimator.summary()
    stats = results.get_fe_stats()
    return float(np.squeeze(stats["est"])), float(np.squeeze(results.tau2))


def pimeta(y: Array, v: Array) -> tuple[float, float]:
    """Fit with pimeta."""
    import pimeta as package

    fit: Any = package.rma(yi=y, vi=v, method="REML", test="knha")
    return float(np.squeeze(fit.b)), float(fit.tau2)


def pymetaanalysis(y: Array, v: Array) -> tuple[float, float]:
    """Fit with PyMetaAnalysis."""
    import meta_analyze as package

    fit: Any = package.meta_analysis(effect=y, variance=v, tau2_method="REML", ci_method="hartung_knapp")
    return float(fit.estimate), float(fit.tau2)


def statsmodels(y: Array, v: Array) -> tuple[float, float]:
    """Fit with statsmodels, which has no REML: its iterated Paule-Mandel estimate stands in."""
    from statsmodels.stats.meta_analysis import combine_effects

    fit = combine_effects(y, v, method_re="iterated")
    _ = fit.conf_int()
    return float(fit.mean_effect_re), float(fit.tau2)


# Name, module and function of each peer, and the estimator that it has.
PEERS: dict[str, tuple[str, Fit, str]] = {
    "PyMARE": ("pymare", pymare, "REML"),
    "pimeta": ("pimeta", pimeta, "REML"),
    "PyMetaAnalysis": ("meta_analyze", pymetaanalysis, "REML"),
    "statsmodels": ("statsmodels", statsmodels, "PM"),
}


def installed(method: str = "REML") -> dict[str, Fit]:
    """Return the peers with this estimator that can be imported here."""
    return {
        name: fit
        for name, (module, fit, estimator) in PEERS.items()
        if estimator == method and importlib.util.find_spec(module)
    }
