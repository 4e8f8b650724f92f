"""The rules on regression tests: each is explained, and none lets a wrong number through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from tests.reference import asymmetry_rules
from tests.reference.adapters.bias.asymmetry import regression
from tests.reference.cases import Case
from tests.reference.rules import settle, settle_refusal

TEXT = (Path(__file__).parent / "DISAGREEMENTS.md").read_text(encoding="utf-8")
MIXED = "meta-regression, tau2 method {}, z test"
LM = "weighted least squares with weights 1/vi and a free multiplicative dispersion"


def case_of(regression: str, scale: float = 1e-5, results: Any = None) -> Case:
    y = [2.5, 1.1, 1.5, 2.8, 2.7, 2.8, 2.8, 2.1, 1.9]
    v = [0.72, 0.586, 0.276, 0.288, 0.167, 0.732, 0.25, 0.332, 0.372]
    call = {"model": "funnel_asymmetry_regression", "predictor": "sei", "regression": regression}
    data = {"yi": [scale * one for one in y], "vi": [scale**2 * one for one in v], "ni": [40] * 9}
    return {
        "topic": "publication_bias",
        "call": call,
        "data": data,
        "results": results,
        "rtol": 1e-7,
        "atol": 1e-8,
    }


@pytest.mark.parametrize("words", [MIXED.format("DL"), MIXED.format("REML"), MIXED.format("EE")])
def test_a_small_unit_is_no_reason_to_refuse(words: str) -> None:
    assert "`small_eigenvalue`" in TEXT
    case = case_of(words)
    actual = regression(case, case["data"])
    assert not settle_refusal(case, actual).different
    for name in ("statistic", "p_value", "limit_ci_lower"):
        assert settle_refusal(case, actual | {name: actual[name] * 1.001}).different
    assert settle_refusal(case, actual | {"tau2": actual["tau2"] + 1e-11}).different
    assert settle_refusal(case, actual | {"coefficients": actual["coefficients"] * [1, 1.001]}).different


def test_a_refusal_of_an_ordinary_design_stands() -> None:
    case = case_of(MIXED.format("EE"), scale=1.0)
    assert settle_refusal(case, regression(case, case["data"])).different
    assert asymmetry_rules.refusals_of({"call": {"model": "rank_correlation_test"}}) == []


def test_effects_without_spread_are_not_testable() -> None:
    assert "asymmetry rules" in TEXT
    results = {"statistic": -0.6, "p_value": 0.56, "coefficients": [0.25, 0.0]}
    case = case_of(LM, 1.0, results)
    spread = settle(case, regression(case, case["data"]))
    assert spread.different
    case["data"]["yi"] = [0.25] * 9
    actual = regression(case, case["data"])
    assert np.isnan(actual["statistic"])
    assert not settle(case, actual).different
    assert settle(case, actual | {"statistic": 0.1}).different


@pytest.mark.filterwarnings("ignore:the largest sampling variance")
def test_the_higher_maximum_of_the_restricted_likelihood_is_right() -> None:
    assert "`lower_restricted`" in TEXT
    case = case_of(MIXED.format("REML"), 1.0)
    case["call"]["predictor"] = "ninv"
    y = [0.2901, 0.1922, 0.2236, -0.285, -0.0569, 2.5513, -1.8445, 4.1441, -0.3014, 25.35, 46.962, 147.42]
    v = [0.0002, 0.00107, 0.0057, 0.0304, 0.1622, 0.8658, 4.62, 24.66, 131.6, 702.2, 3748.0, 20000.0]
    case["data"] = {"yi": y, "vi": v, "ni": [10, 20, 50, 100] * 3}
    actual = regression(case, case["data"])
    assert actual["tau2"] > 0.01

    def at(tau2: float) -> dict[str, Any]:
        exact = asymmetry_rules.exact_regression(case, tau2)
        (a, b), (_, se) = exact.beta, exact.se
        z = float(b / se)
        limits = [float(a) + sign * norm.isf(0.025) * float(exact.se[0]) for sign in (-1, 1)]
        return {
            "statistic": z,
            "p_value": 2 * norm.sf(abs(z)),
            "limit_estimate": float(a),
            "limit_ci_lower": limits[0],
            "limit_ci_upper": limits[1],
            "coefficients": [float(a), float(b)],
            "coefficient_se": [float(one) for one in exact.se],
            "tau2": tau2,
        }

    case["results"] = theirs = at(0.0)
    assert not settle(case, actual).different
    assert settle(case, theirs | {"tau2": 1e-3}).different  # ours is no maximum
    for name in ("statistic", "p_value", "limit_estimate"):
        case["results"] = theirs | {name: 1.01 * theirs[name]}
        assert settle(case, actual).different
    case["results"] = at(actual["tau2"])
    assert settle(case, theirs).different  # the lower one
