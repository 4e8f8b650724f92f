"""What a fit of censored evidence says about heterogeneity: intervals of tau2, and likelihood-ratio tests."""

from __future__ import annotations

import numpy as np

from metaexo.errors import InputError, NotNestedError
from metaexo.inputs import check_choice
from metaexo.models.censored.fit import CensoredFit
from metaexo.models.linear.fit import Tau2Limits
from metaexo.models.linear.hypothesis import TestResult, make_test
from metaexo.models.linear.likelihood_ratio import within
from metaexo.models.univariate.intervals import HeterogeneityInterval, heterogeneity_interval_of
from metaexo.numeric.censored.limits import tau2_limits as limits_of_tau2
from metaexo.numeric.censored.maximum import censored_at, censored_maximum
from metaexo.numeric.censored.rows import make_censored_batch
from metaexo.numeric.tails import chi2_tail, normal_quantile
from metaexo.types import Array

NO_END = "the likelihood does not bound tau2 from above at this level"


def heterogeneity_interval(fit: CensoredFit, level: float) -> HeterogeneityInterval:
    """Return intervals of tau2, tau, I2 and H2; see `CensoredResults.conf_int_heterogeneity`."""
    if fit.tau2_given:
        raise InputError("tau2 was given, so there is no interval for it", "an estimated tau2")
    drop = 0.5 * normal_quantile(level) ** 2
    low, high = limits_of_tau2(fit.batch, fit.maximum, fit.method == "REML", drop)
    ends = (fit.tau2, float(low[0]), float(high[0]))
    note = "" if np.isfinite(high[0]) else NO_END
    return heterogeneity_interval_of(ends, fit.typical_variance, "profile-likelihood", level, note)


def tau2_limits(fit: CensoredFit, level: float, method: str | None) -> Tau2Limits | None:
    """Return the interval of tau2 for the table of heterogeneity; None where tau2 was given."""
    if method is not None:
        check_choice("interval method", method, ("profile-likelihood",))
    elif fit.tau2_given:
        return None
    found = heterogeneity_interval(fit, level)
    ends = dict.fromkeys(fit.tau2_by_component, (found.tau2.low, found.tau2.high))
    return Tau2Limits(ends, "profile likelihood", found.note)


def heterogeneity_test(fit: CensoredFit) -> TestResult:
    """Return the likelihood-ratio test of tau2 = 0; see `CensoredResults.heterogeneity_test`."""
    restricted = fit.method == "REML"
    if fit.tau2_given:
        best = censored_maximum(fit.batch, restricted)
        statistic = max(0.0, 2 * float(best.value[0] - fit.maximum.value[0]))
        return make_test(statistic, "chi2", (1.0,), f"tau2 is {fit.tau2:g}")
    at_zero = censored_at(fit.batch, 0.0, restricted)
    statistic = max(0.0, 2 * float(fit.maximum.value[0] - at_zero.value[0]))
    p = 0.5 * (float(chi2_tail(statistic, 1)) + float(statistic <= 0))
    null = "all studies share one true effect" if fit.design.x is None else "no residual heterogeneity"
    return TestResult(statistic, "chi2", (1.0,), p, f"{null} (p-value of a mixture of chi-squares)")


def likelihood_ratio_test(fit: CensoredFit, smaller: object) -> TestResult:
    """Return the test of a smaller model; see `CensoredResults.likelihood_ratio_test`."""
    x = fit.design.matrix(fit.k)
    if smaller is None:
        if fit.design.x is None:
            raise InputError(
                "the model has no moderators, so there is no smaller one",
                "a model with moderators",
                "heterogeneity_test tests tau2 = 0, moderator_test the pooled effect",
            )
        small, same, words = np.ones((fit.k, 1)), True, "no effect of any moderator"
    elif isinstance(smaller, CensoredFit):
        small, words = smaller.design.matrix(smaller.k), "the smaller model holds"
        same = smaller.digest_of_effects == fit.digest_of_effects
    else:
        raise InputError(
            f"the smaller model is of type {type(smaller).__name__}",
            "a CensoredResults",
            "fit both with CensoredRandomEffects",
        )
    if not same or not within(small, x) or small.shape[1] >= x.shape[1]:
        raise NotNestedError(
            "the smaller fit is of other effects" if not same else "the smaller fit is no special case",
            "a fit of the same effects whose columns are combinations of those of this one",
            "call the test on the larger fit and hand in the smaller one",
        )
    heights = [_highest(fit, columns) for columns in (x, small)]
    df = float(x.shape[1] - small.shape[1])
    return make_test(max(0.0, 2 * (heights[0] - heights[1])), "chi2", (df,), words)


def _highest(fit: CensoredFit, x: Array) -> float:
    """Return the highest log-likelihood of the effects of a fit with other columns."""
    es = fit.effects
    batch = make_censored_batch(es.lower, es.upper, es.v_lower, es.v_upper, x)
    best = censored_at(batch, fit.tau2, False) if fit.tau2_given else censored_maximum(batch, False)
    return float(best.value[0])
