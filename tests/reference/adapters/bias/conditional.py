"""p-uniform, p-uniform* and the Copas selection model."""

from __future__ import annotations

from typing import Any

import metaexo as mx
from tests.reference.adapters.one_level_extras import plain_effects
from tests.reference.cases import Case

DIRECTIONS = {"right": "greater", "left": "less"}


def p_uniform(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return estimate and tests; the statistics of sums as the reference scales them."""
    call, es = case["call"], plain_effects(data)
    found = mx.bias.p_uniform(
        es, call["estimator"], alternative=DIRECTIONS[call["side"]], significance=call["alpha"]
    )
    zero, bias = found.zero_pvalue, found.bias_pvalue
    if call["estimator"] == "ML":  # the reference has two-sided ones of the likelihood ratio
        zero, bias = (2 * min(p, 1 - p) for p in (zero, bias))
    return {
        "k_significant": found.k_significant,
        "estimate": found.estimate,
        "ci_lower": found.low,
        "ci_upper": found.high,
        "test_of_zero_statistic": found.zero_statistic,
        "test_of_zero_p": zero,
        "bias_test_statistic": found.bias_statistic,
        "bias_test_p": bias,
        "fixed_effect": found.fixed_effect,
        "Q": mx.RandomEffects(es).fit("EE", "z").q.statistic,
    }


def p_uniform_star(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return both parameters; the test of bias is not offered, nor by the reference."""
    call, es = case["call"], plain_effects(data)
    found = mx.bias.p_uniform_star(
        es, call["estimator"], alternative=DIRECTIONS[call["side"]], significance=call["alpha"]
    )
    return {
        "k": found.k,
        "k_significant": found.k_significant,
        "estimate": found.estimate,
        "ci_lower": found.low,
        "ci_upper": found.high,
        "test_of_zero_statistic": found.zero_statistic,
        "test_of_zero_p": found.pvalue,
        "tau2": found.tau2,
        "tau2_ci_lower": found.tau2_low,
        "tau2_ci_upper": found.tau2_high,
        "heterogeneity_statistic": found.heterogeneity_statistic,
        "heterogeneity_p": found.heterogeneity_pvalue,
        "bias_statistic": None,
        "bias_p": None,
    }


def copas(_case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return the adjusted estimate and the table."""
    found = mx.bias.copas_selection(plain_effects(data))
    return {
        "estimate": found.estimate,
        "se": found.se,
        "ci_lower": found.low,
        "ci_upper": found.high,
        "tau": found.tau2**0.5,
        "unpublished": found.unpublished,
        "residual_bias_p": found.residual_pvalue,
        "slope_estimates": found.path.estimate,
        "slope_publication_probability": found.path.publication_probability,
        "slope_rsb_p": found.path.residual_pvalue,
    }


EXTRA = "publication_bias_extra"
MODELS = {
    (EXTRA, "p_uniform"): p_uniform,
    (EXTRA, "p_uniform_star"): p_uniform_star,
    (EXTRA, "copas_selection"): copas,
}
