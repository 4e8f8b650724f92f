"""The rules on p-uniform, p-uniform* and the Copas model: explained, and no wrong number of ours passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.reference import conditional_rules
from tests.reference.adapters import bias
from tests.reference.cases import Case
from tests.reference.rules import settle

TEXT = (Path(__file__).parent / "DISAGREEMENTS.md").read_text(encoding="utf-8")
EFFECTS = {
    "yi": [0.9, 0.5, 0.7, 0.75, 0.3, 0.35, 0.4, 0.1, 0.3, 0.1, 0.15, 0.05],
    "vi": [0.2025, 0.16, 0.1089, 0.09, 0.0729, 0.0484, 0.04, 0.0289, 0.0225, 0.0144, 0.01, 0.0064],
}
MIXED = {
    "yi": [0.62, 0.71, 0.48, 0.9, 0.1, -0.3, 0.35, 1.3, 0.05],
    "vi": [0.05, 0.04, 0.03, 0.09, 0.04, 0.06, 0.02, 0.05, 0.01],
}
RULES = ["loose_conditional_roots", "two_equations", "another_path"]


def asked(model: str, estimator: str = "", rtol: float = 1e-4, data: Any = MIXED) -> Case:
    return {
        "topic": "publication_bias_extra",
        "call": {"model": model, "estimator": estimator, "side": "right", "alpha": 0.05},
        "data": data,
        "results": {},
        "rtol": rtol,
        "atol": 1e-6,
    }


def answer(case: Case) -> dict[str, Any]:
    found = bias.answer(case, case["data"])
    return {
        name: None if value is not None and np.isnan(value).all() else value for name, value in found.items()
    }


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_explained(rule: str) -> None:
    assert hasattr(conditional_rules, rule)
    assert f"`{rule}`" in TEXT


@pytest.mark.parametrize("estimator", ["P", "LNP", "LN1MINP", "ML"])
def test_a_root_to_the_tolerance_of_r_is_settled_and_a_wrong_one_is_not(estimator: str) -> None:
    case = asked("p_uniform", estimator)
    actual = answer(case)
    case["results"] = dict(actual) | {"estimate": actual["estimate"] + 1e-4}
    if estimator == "P":
        case["results"] |= {
            "test_of_zero_p": float(stats.norm.cdf(actual["test_of_zero_statistic"])),
            "bias_test_p": float(stats.norm.sf(actual["bias_test_statistic"])),
        }
    assert not settle(case, actual).different
    assert settle(case, actual | {"estimate": actual["estimate"] - 2e-4}).different
    assert settle(case, actual | {"ci_upper": actual["ci_upper"] + 1e-3}).different
    assert settle(case, actual | {"test_of_zero_p": actual["test_of_zero_p"] + 0.01}).different
    case["results"]["estimate"] += 1e-2
    assert settle(case, actual).different


def test_an_estimate_set_to_zero() -> None:
    case = asked("p_uniform", "P", data=EFFECTS)
    actual = answer(case)
    assert actual["estimate"] == 0
    normal = {
        "test_of_zero_p": float(stats.norm.cdf(actual["test_of_zero_statistic"])),
        "bias_test_p": float(stats.norm.sf(actual["bias_test_statistic"])),
    }
    case["results"] = dict(actual) | normal
    assert not settle(case, actual).different
    assert settle(case, actual | {"estimate": -0.5}).different
    assert settle(case, actual | {"bias_test_p": actual["bias_test_p"] + 0.01}).different
    case["results"]["estimate"] = 0.3
    assert settle(case, actual).different


@pytest.mark.parametrize("estimator", ["P", "LNP"])
def test_two_equations_must_be_solved(estimator: str) -> None:
    case = asked("p_uniform_star", estimator)
    actual = answer(case)
    assert actual["tau2"] > 0
    for theirs in ({"estimate": None, "tau2": None}, {"estimate": actual["estimate"] + 0.01}):
        case["results"] = dict(actual) | theirs
        assert not settle(case, actual).different
        for name in ("estimate", "ci_lower", "tau2_ci_upper", "heterogeneity_p"):
            assert settle(case, actual | {name: 1.01 * actual[name] + 1e-3}).different
    case["results"] = dict(actual) | {"heterogeneity_statistic": "Inf", "heterogeneity_p": 0}
    case["results"] |= {"estimate": None}
    assert not settle(case, actual).different
    assert settle(case, actual | {"heterogeneity_p": 0.5}).different


def test_another_path_of_the_copas_model() -> None:
    """The reference's table as fits along another line; numbers that are no fits are found out."""
    case = asked("copas_selection", rtol=0.01, data=EFFECTS)
    actual = answer(case)
    y, v = (np.array(EFFECTS[name]) for name in ("yi", "vi"))
    small = np.sqrt(v.max())
    gamma0 = np.array([1.5, 1.0, 0.5, 0.0])
    gamma1 = 0.05 + 0.01 * gamma0
    fit = conditional_rules.fit_copas(y, v, gamma0, gamma1)
    slope = conditional_rules._likelihood_of_slope(y, v, 0.0)
    pvalues = stats.chi2.sf(np.maximum(0, 2 * (slope - fit.log_likelihood)), 1)
    clear = int(np.flatnonzero(pvalues > 0.1)[0])
    chance = stats.norm.cdf(gamma0[clear] + gamma1[clear] / np.sqrt(v))
    reach = stats.norm.isf(0.025) * fit.se[clear]
    case["results"] = {
        "estimate": fit.estimate[clear],
        "se": fit.se[clear],
        "ci_lower": fit.estimate[clear] - reach,
        "ci_upper": fit.estimate[clear] + reach,
        "tau": fit.tau[clear],
        "unpublished": float(((1 - chance) / chance).sum()),
        "residual_bias_p": pvalues[clear],
        "slope_estimates": [float(actual["slope_estimates"][0]), *fit.estimate],
        "slope_publication_probability": [1.0, *stats.norm.cdf(gamma0 + gamma1 / small)],
        "slope_rsb_p": [float(actual["slope_rsb_p"][0]), *pvalues],
    }
    assert not settle(case, actual).different
    assert settle(case, actual | {"estimate": actual["estimate"] + 0.01}).different
    wrong = np.array(actual["slope_estimates"])
    wrong[0] += 0.05
    assert settle(case, actual | {"slope_estimates": wrong}).different
    for name in ("se", "unpublished"):
        saved = case["results"][name]
        case["results"][name] = 1.2 * saved + 0.1
        assert settle(case, actual).different
        case["results"][name] = saved
