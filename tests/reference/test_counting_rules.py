"""The rules on trim and fill, fail-safe N and excess significance: explained, and no wrong number passes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

import metaexo as mx
from tests.reference import counting_rules
from tests.reference.adapters import bias
from tests.reference.cases import Case
from tests.reference.rules import settle, settle_refusal

FOLDER = Path(__file__).parent
TEXT = (FOLDER / "DISAGREEMENTS.md").read_text(encoding="utf-8")
EFFECTS = {"yi": [0.4, 0.9, 0.0, 0.7, 1.1, -0.3, 0.8, 0.5], "vi": [0.1, 0.2, 0.3, 0.1, 0.4, 0.2, 0.15, 0.05]}
RULES = [
    "early_refit",
    "early_trim",
    "small_slope_design",
    "loose_fisher",
    "zeros_as_negative",
    "loose_general",
    "rough_power",
]


def asked(**call: Any) -> Case:
    """Return a case without results on the effects above."""
    return {
        "topic": "publication_bias",
        "call": call,
        "data": EFFECTS,
        "results": {},
        "rtol": 1e-6,
        "atol": 1e-8,
    }


def answer(case: Case) -> dict[str, Any]:
    """Return our answer."""
    return bias.answer(case, case["data"])


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_explained(rule: str) -> None:
    assert hasattr(counting_rules, rule)
    assert f"`{rule}`" in TEXT


def test_a_number_that_is_one_too_large_is_settled_and_three_are_not() -> None:
    case = asked(model="fail_safe_N", type="General", tau2_method="DL", alpha=0.05)
    actual = answer(case)
    ours = actual["fail_safe_n"]
    assert ours > 1
    case["results"] = dict(actual)
    assert not settle(case, actual).different
    for wrong in (ours + 3, ours - 3):
        case["results"] = actual | {"fail_safe_n": wrong}
        assert settle(case, actual).different
    case["results"] = dict(actual)
    assert settle(case, actual | {"fail_safe_n": ours + 1}).different


def test_fisher_must_be_the_least_number() -> None:
    case = asked(model="fail_safe_N", type="Rosenthal", pooling="Fisher", alpha=0.05)
    actual = answer(case)
    ours = actual["fail_safe_n"]
    case["results"] = {"fail_safe_n": ours - 1, "p_observed": actual["p_observed"]}
    assert not settle(case, actual).different
    assert settle(case, actual | {"fail_safe_n": ours + 1}).different
    case["results"] = {"fail_safe_n": ours - 3, "p_observed": actual["p_observed"]}
    assert settle(case, actual).different


def test_zeros_count_on_neither_side() -> None:
    case = asked(model="fail_safe_N", type="Binomial (sign test)", alpha=0.05)
    actual = answer(case)
    assert actual["p_observed"] == pytest.approx(0.125)  # 6 of 7
    case["results"] = {"fail_safe_n": 0, "p_observed": 0.2890625}  # 6 of 8
    assert not settle(case, actual).different
    assert settle(case, actual | {"p_observed": 0.13}).different
    case["results"] = {"fail_safe_n": 0, "p_observed": 0.2}
    assert settle(case, actual).different


def test_an_early_tau2_is_settled_and_a_wrong_one_is_not() -> None:
    case = asked(
        model="random_effects",
        procedure="trim and fill",
        tau2_method="REML",
        test="z",
        estimator="L0",
        side="right",
    )
    data = {"yi": [0.4, 1.9, -0.9, 0.7, 2.6, -0.3, 0.8, 0.5], "vi": EFFECTS["vi"]}
    case["data"] = data
    actual = answer(case)
    assert actual["tau2"] > 1e-3
    y, v = (data[name] + list(actual[f"filled_{name}"]) for name in ("yi", "vi"))
    early = actual["tau2"] - 5e-6
    fit = mx.RandomEffects(mx.EffectSizes(y, v)).fit(test="z", tau2=early)
    theirs = {"k0": actual["k0"], "side": actual["side"], "filled_vi": list(actual["filled_vi"])}
    theirs |= {"estimate": [fit.estimate], "se": [float(fit.bse.iloc[0])], "tau2": early}
    case["results"] = theirs
    assert not settle(case, actual).different
    for wrong in ({"k0": 7}, {"se": [0.3]}, {"tau2": early + 1e-3}):
        case["results"] = theirs | wrong
        assert settle(case, actual).different
    case["results"] = theirs
    assert settle(case, actual | {"tau2": early - 4e-6}).different


SELECTED = {
    "yi": [0.85, 0.62, 0.1, 0.95, 0.33, 1.1, 0.2, 0.71, 0.45, 1.3, 0.28, 0.9],
    "vi": [0.16, 0.09, 0.02, 0.2, 0.03, 0.3, 0.025, 0.1, 0.06, 0.4, 0.03, 0.18],
}


def test_trimming_in_a_small_unit_may_stop_at_another_number() -> None:
    case = asked(
        model="random_effects",
        procedure="trim and fill",
        tau2_method="REML",
        test="z",
        estimator="L0",
        side="left",
    )
    data = {"yi": [1e-6 * y for y in SELECTED["yi"]], "vi": [1e-12 * v for v in SELECTED["vi"]]}
    case["data"] = data
    actual = answer(case)
    es = mx.EffectSizes(data["yi"], data["vi"])

    def at(tau2: float) -> dict[str, Any]:
        """What the reference tells if its iteration stays at a tau2."""
        fit = mx.RandomEffects(es).fit(method="REML", test="z", tau2=tau2)
        found = mx.bias.trim_and_fill(fit, estimator="L0", side="left")
        filled = found.filled
        known = {"k0": found.k0, "se_k0": found.k0_se, "side": "left", "k_total": filled.k}
        of_filled = {f"filled_{n}i": list(getattr(filled, n)[found.is_filled]) for n in "yv"}
        fit_of = {
            "estimate": [found.fit.estimate],
            "tau2": tau2,
            "test_statistic": [found.fit.estimate / found.fit.bse.iloc[0]],
        }
        return known | of_filled | fit_of

    theirs = at(1e-12)
    assert theirs["k0"] != actual["k0"]
    case["results"] = theirs
    assert not settle(case, actual).different
    for wrong in ({"k0": theirs["k0"] + 1}, {"se_k0": 3.0}, {"side": "right"}, {"test_statistic": [9.0]}):
        case["results"] = theirs | wrong
        assert settle(case, actual).different
    case["results"] = theirs
    for name, other in (("k0", actual["k0"] + 1), ("se_k0", 1.1 * actual["se_k0"]), ("side", "right")):
        assert settle(case, actual | {name: other}).different
    assert settle(case, actual | {"filled_yi": actual["filled_yi"] + 1e-8}).different


def test_only_the_cases_that_need_a_rule_have_one() -> None:
    base = {"model": "random_effects", "procedure": "trim and fill"}
    assert counting_rules.rules_of(asked(**base, tau2_method="DL")) == []
    assert counting_rules.rules_of(asked(model="fail_safe_N", type="Orwin")) == []
    equal = asked(model="test_of_excess_significance", effect="equal-effects estimate (default)")
    assert counting_rules.rules_of(equal) == []
    assert counting_rules.rules_of({"topic": "selection_models", "call": {}, "results": {}}) == []


def test_power_must_be_that_of_quadrature() -> None:
    effect = "REML random-effects estimate; power averaged over the true-effect distribution"
    case = asked(model="test_of_excess_significance", alternative="two.sided", alpha=0.05, effect=effect)
    actual = answer(case)

    def with_power(change: float) -> dict[str, Any]:
        power = [actual["power"][0] + change, *actual["power"][1:]]
        expected, observed = sum(power), actual["observed"]
        chi2 = (observed - expected) ** 2 * (1 / expected + 1 / (8 - expected))
        p = float(stats.norm.sf(math.copysign(math.sqrt(chi2), observed - expected)))
        rest = {"observed": observed, "theta": actual["theta"]}
        return rest | {"power": power, "expected": expected, "chi2": chi2, "chi2_p": p}

    rough = with_power(0.01)
    case["results"] = rough
    assert not settle(case, actual).different
    assert settle(case, with_power(0.02)).different
    case["results"] = rough | {"chi2": 1.1 * rough["chi2"]}
    assert settle(case, actual).different


def test_a_refused_side_must_be_that_of_the_slope() -> None:
    case = asked(
        model="random_effects",
        procedure="trim and fill",
        tau2_method="REML",
        test="z",
        estimator="L0",
        side="automatic: by the slope",
    )
    case["results"] = None
    data = {"yi": [0.1, 0.3, 0.2, 0.6, 0.9, 0.8], "vi": [0.05, 0.1, 0.15, 0.2, 0.3, 0.4]}
    case["data"] = {"yi": [1e-5 * y for y in data["yi"]], "vi": [1e-10 * v for v in data["vi"]]}
    actual = answer(case)
    assert not settle_refusal(case, actual).different
    other = {"left": "right", "right": "left"}[actual["side"]]
    assert settle_refusal(case, actual | {"side": other}).different
    case["data"] = data  # which the reference would not refuse
    assert settle_refusal(case, answer(case)).different
