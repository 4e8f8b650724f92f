"""Adjusted estimates: limit meta-analysis."""

from __future__ import annotations

from typing import Any

import metaexo as mx
from tests.reference.adapters.one_level_extras import plain_effects
from tests.reference.cases import Case


def limit(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return the adjusted mean and what it is made of."""
    fit = mx.RandomEffects(plain_effects(data)).fit(method=case["call"]["tau2_method"])
    found = mx.bias.limit_meta_analysis(fit, case["call"]["method_adjust"])
    return {
        "estimate": found.estimate,
        "se": found.se,
        "ci_lower": found.low,
        "ci_upper": found.high,
        "p_value": found.pvalue,
        "alpha": found.alpha,
        "beta": found.beta,
        "Q": found.q.statistic,
        "Q_small_study": found.q_small_study.statistic,
        "Q_residual": found.q_residual.statistic,
        "G2": found.g2,
        "tau": found.tau2**0.5,
        "shrunken_effects": found.shrunken,
        "shrunken_se": found.shrunken_se,
    }


MODELS = {("publication_bias_extra", "limit_meta_analysis"): limit}
