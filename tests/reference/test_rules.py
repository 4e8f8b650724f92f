"""The rules of one-level models: each is explained, and none lets a wrong number through."""

from __future__ import annotations

import copy
import math
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reference import location_scale_rules, model_test_rules, one_level_rules
from tests.reference.cases import Case, read_cases
from tests.reference.compare import BOOKKEEPING, compare
from tests.reference.rules import rules_of, settle
from tests.reference.runner import ADAPTERS

HERE = Path(__file__).parent
TEXT = (HERE / "DISAGREEMENTS.md").read_text(encoding="utf-8")

# A stored case that each rule settles.
EXAMPLES = (
    (location_scale_rules.rough_hessian, "bcg/location_scale/mod_scale"),
    (location_scale_rules.rough_hessian, "landenberger2005/location_scale/mod_scale_identity"),
    (location_scale_rules.lower_likelihood, "yusuf1985/location_scale/mod_scale_t"),
    (location_scale_rules.lower_likelihood, "egger2001/location_scale/mod_both_ML"),
    (location_scale_rules.lower_likelihood, "nielweise2007/location_scale/mod_scale_identity"),
    (model_test_rules.local_maximum, "bcg/tests/hettest_lrt_ML"),
    (model_test_rules.local_maximum, "stress_pub_tinyscale/tests/hettest_lrt_ML"),
    (model_test_rules.loose_tau2, "stress_pub_tinyscale/tests/hettest_score_REML"),
    (model_test_rules.not_testable, "stress_pub_k2/tests/hettest_score_REML"),
    (model_test_rules.grid_above_zero, "stress_pub_k3/tests/ML_profile"),
    (one_level_rules.fit_at_zero, "bcg/meta_regression/ablat_x_alloc_ML_z"),
    (one_level_rules.interval_at_zero, "stress_pub_k3/heterogeneity_intervals/ML_Wald.log"),
    (one_level_rules.loose_roots, "bcg/heterogeneity_intervals/GENQ_GENQ"),
    (one_level_rules.coarse_quantile, "bcg/publication_bias/henmi_copas"),
    (one_level_rules.mixed_likelihoods, "bcg/alternative_definitions/R2_DL_def5"),
    (one_level_rules.default_threshold, "stress_pub_degenerate/stress_behaviour/zero_variance_REML"),
    (one_level_rules.no_spread, "stress_pub_identical/random_effects/REML_knha"),
    (one_level_rules.below_one_df, "stress_pub_k3/intervals_extra/ci_REML_KR"),
    (one_level_rules.missing_refits, "nielweise2007/diagnostics/mean_REML_z_cumulative"),
    (one_level_rules.no_spread_in_a_part, "stress_pub_identical/diagnostics/mean_REML_knha_leave1out"),
    (one_level_rules.no_spread_in_a_part, "stress_pub_identical/diagnostics/mean_REML_knha_cumulative"),
    (one_level_rules.tied_residuals, "mcdaniel1994/diagnostics/mean_EE_z_qqnorm"),
    (one_level_rules.residuals_of_nothing, "gibson2002/diagnostics/type_REML_z_qqnorm"),
)
# Rules that no stored case needs: a case, and what the reference might say instead of its values.
IMAGINED = (
    (one_level_rules.deviations_at_zero, "stress_pub_zerohet/diagnostics/mean_REML_z_blup"),
    (one_level_rules.missing_deletions, "bcg/diagnostics/mean_REML_z_influence"),
    (one_level_rules.alone_with_a_coefficient, "gibson2002/diagnostics/type_EE_z_residuals"),
)


@cache
def stored(name: str) -> tuple[Case, dict[str, Any]]:
    """Return a stored case and our answer."""
    dataset, topic, _ = name.split("/")
    path = HERE / "data" / f"{dataset}__{topic}.json.gz"
    case = next(case for case in read_cases(path) if case["id"] == name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as the runner does
        return case, ADAPTERS[topic](case, case["data"])


def imagined(name: str) -> Case:
    """Return a stored case whose reference has lost values as the rule of its kind describes."""
    case = copy.deepcopy(stored(name)[0])
    results = case["results"]
    if name.endswith("_blup"):
        results["random_effect_se"] = [2e-8] * len(results["random_effect_se"])
    elif name.endswith("_residuals"):
        row = results["standardized_se"].index(min(results["standardized_se"]))
        results["standardized_z"][row] = None
    else:
        for column in ("rstudent", "tau2_deleted", "QE_deleted", "cooks_distance", "influential"):
            results[column][3] = None
    return case


def spoiled(value: Any) -> Any:
    """Return a value with its first number changed by some per cent; None if it has no number."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict | list):
        out = copy.copy(value)
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            changed = spoiled(part)
            if changed is not None:
                out[key] = changed
                return out
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value * 1.03 + 1e-3 if number else None


@pytest.mark.parametrize("rule", dict.fromkeys(rule for rule, _ in (*EXAMPLES, *IMAGINED)))
def test_every_rule_is_explained(rule) -> None:
    assert any(f"`{rule.__name__}`" in line for line in TEXT.splitlines() if line.startswith("|"))


@pytest.mark.parametrize(("rule", "name"), EXAMPLES, ids=lambda part: getattr(part, "__name__", part))
def test_a_case_that_differs_is_settled_by_its_rule_alone(rule, name: str) -> None:
    case, actual = stored(name)
    assert compare(actual, case["results"], case["rtol"], case["atol"]).different
    assert [one for one in rules_of(case) if not one(case, actual).different] == [rule]


@pytest.mark.parametrize(("rule", "name"), EXAMPLES, ids=lambda part: getattr(part, "__name__", part))
def test_no_rule_lets_a_wrong_number_through(rule, name: str) -> None:
    case, actual = stored(name)
    for field in case["results"]:
        changed = None if field in BOOKKEEPING else spoiled(actual[field])
        if changed is not None:
            assert settle(case, actual | {field: changed}).different, field


@pytest.mark.parametrize(("rule", "name"), IMAGINED, ids=lambda part: getattr(part, "__name__", part))
def test_rules_for_lost_values(rule, name: str) -> None:
    case, actual = imagined(name), stored(name)[1]
    assert compare(actual, case["results"], case["rtol"], case["atol"]).different
    assert [one for one in rules_of(case) if not one(case, actual).different] == [rule]
    for field, theirs in case["results"].items():
        changed = spoiled(actual[field])
        if changed is not None and spoiled(theirs) is not None:
            assert settle(case, actual | {field: changed}).different, field


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("bcg/location_scale/mod_scale", "scale_se"),
        ("egger2001/location_scale/mod_both_ML", "estimate"),
        ("egger2001/location_scale/mod_both_ML", "fit_statistics"),
        ("bcg/tests/hettest_lrt_ML", "statistic"),
        ("stress_pub_k3/tests/ML_profile", "log_likelihood"),
        ("bcg/meta_regression/ablat_x_alloc_ML_z", "se"),
        ("bcg/publication_bias/henmi_copas", "ci_lower"),
    ],
)
def test_a_reference_that_says_something_else_is_not_explained_away(name: str, field: str) -> None:
    case, actual = stored(name)
    other = copy.deepcopy(case)
    other["results"][field] = spoiled(case["results"][field])
    assert settle(other, actual).different


def test_a_rule_does_not_touch_a_case_that_agrees() -> None:
    case, actual = stored("bcg/location_scale/mod_both")
    plain = compare(actual, case["results"], case["rtol"], case["atol"])
    assert not plain.different
    assert settle(case, actual).agreed == plain.agreed


def test_a_deletion_that_is_not_possible_is_no_lost_value() -> None:
    case, actual = stored("gibson2002/diagnostics/type_EE_z_influence")
    row = next(i for i, value in enumerate(case["results"]["rstudent"]) if value is None)
    filled = np.array(actual["rstudent"], dtype=float)
    filled[row] = 0.5
    assert settle(case, actual | {"rstudent": filled}).different
