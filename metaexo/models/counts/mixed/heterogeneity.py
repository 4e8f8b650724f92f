"""Tests of heterogeneity of a mixed model of counts, against the model with an effect per study."""

from __future__ import annotations

import numpy as np

from metaexo.models.counts.mixed.fit import CountGLMMFit
from metaexo.models.linear.hypothesis import TestResult, make_test
from metaexo.numeric.counts.formulations import ONE_ARM


def wald_test(fit: CountGLMMFit) -> TestResult:
    """Return the Wald test that the studies' own effects do not differ beyond their moderators.

    Cochran's Q, with the standard errors of the saturated model. Studies whose own effect is infinite have an
    infinite standard error: they add nothing, and no degree of freedom.
    """
    found = fit.saturated
    x = fit.design.matrix(fit.k)[found.finite]
    df = int(found.finite.sum()) - fit.design.p
    null = _null(fit)
    if df < 1:
        return TestResult(0.0, "chi2", (0.0,), 1.0, null)
    weighted = np.linalg.solve(found.cov, np.column_stack([found.y, x]))
    gram = x.T @ weighted[:, 1:]
    if np.linalg.matrix_rank(gram) < fit.design.p:
        words = f"{null}; not testable, the studies with an estimate do not determine the coefficients"
        return TestResult(np.nan, "chi2", (float(df),), np.nan, words)
    part = x.T @ weighted[:, 0]
    q = float(found.y @ weighted[:, 0] - part @ np.linalg.solve(gram, part))
    return make_test(max(q, 0.0), "chi2", (float(df),), null)


def likelihood_ratio_test(fit: CountGLMMFit) -> TestResult:
    """Return the likelihood-ratio test of equal effects against an effect per study."""
    df = fit.df_residual
    if df < 1:
        return TestResult(0.0, "chi2", (0.0,), 1.0, _null(fit))
    equal = fit.llf if not fit.is_random else float(fit.formulation(random=False).maximum().value[0])
    return make_test(max(2.0 * (fit.saturated.llf - equal), 0.0), "chi2", (df,), _null(fit))


def _null(fit: CountGLMMFit) -> str:
    if fit.design.x is not None:
        return "no residual heterogeneity"
    return (
        "all studies share one true rate or risk"
        if fit.model == ONE_ARM
        else "all studies share one true effect"
    )
