"""The regression test and the rank correlation test."""

from __future__ import annotations

from typing import Any

import metaexo as mx
from metaexo.bias import RegressionTest
from tests.reference.adapters.one_level_extras import plain_effects
from tests.reference.cases import Case, NotCovered

TESTS = {"z test": "z", "Knapp-Hartung t test": "knapp-hartung"}


def _asked(regression: str) -> tuple[str, str]:
    """Return method and test of a meta-regression from its words: "meta-regression, REML, z test"."""
    method, test = regression.removeprefix("meta-regression, ").removeprefix("tau2 method ").split(", ")[:2]
    if test not in TESTS:
        raise NotCovered(f"test {test}")
    return method, TESTS[test]


def regression(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Answer a funnel asymmetry regression: by meta-regression, or by weighted least squares."""
    call, effects = case["call"], plain_effects(data)
    predictor = call["predictor"]
    if call["regression"].startswith("weighted least squares"):
        return fields(mx.bias.regression_test(effects, predictor, "dispersion", cluster=None))
    method, test = _asked(call["regression"])
    model = mx.RandomEffects(effects, call.get("moderator_formula"), dependence="accept", missing="drop")
    return fields(mx.bias.regression_test(model.fit(method, test), predictor, cluster=None))


def fields(found: RegressionTest) -> dict[str, Any]:
    """Return the results by the names of the reference."""
    return {
        "statistic": found.statistic,
        "df": found.test.df[0] if found.test.df else None,
        "p_value": found.pvalue,
        "limit_estimate": found.limit_estimate,
        "limit_ci_lower": found.limit_low,
        "limit_ci_upper": found.limit_high,
        "coefficients": found.beta,
        "coefficient_se": found.inference.cov.diagonal() ** 0.5,
        "tau2": found.tau2,
    }


def ranks(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Answer a rank correlation test."""
    found = mx.bias.rank_test(plain_effects(data))
    return {"kendall_tau": found.tau, "p_value": found.pvalue}


MODELS = {
    ("publication_bias", "funnel_asymmetry_regression"): regression,
    ("publication_bias", "rank_correlation_test"): ranks,
}
