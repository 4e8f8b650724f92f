"""The rules of multilevel cases: each settles what it is for, and none lets a wrong number through."""

from __future__ import annotations

import copy
import math
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from metaexo.errors import FewStudiesWarning
from tests.reference import multilevel_rules
from tests.reference.adapters.multilevel import fitted, make_fit
from tests.reference.cases import Case, read_cases
from tests.reference.compare import compare
from tests.reference.rules import rules_of, settle
from tests.reference.runner import ADAPTERS

HERE = Path(__file__).parent
TEXT = (HERE / "DISAGREEMENTS.md").read_text(encoding="utf-8")

EXAMPLES = (
    (multilevel_rules.no_correlation, "fine1993/multilevel/time_CS"),
    (multilevel_rules.no_correlation, "fine1993/multilevel/time_AR"),
    (multilevel_rules.stopped_early, "fine1993/multilevel/time_UN"),
    (multilevel_rules.local_maximum, "syn_pub_spatial/multilevel/SPLIN"),
    (multilevel_rules.endless_range, "syn_pub_spatial/multilevel/SPSPH"),
    (multilevel_rules.profile_limits, "berkey1998/multilevel/UN_REML_profile_ci_tau21"),
    (multilevel_rules.joint_test_below_one_df, "assink2016/multilevel/CHE_mods1_clubsandwich_CR2"),
)
LOCAL = "konstantopoulos2011/multilevel/nested_REML"


@cache
def stored(name: str) -> tuple[Case, dict[str, Any]]:
    """Return a stored case and our answer; fits that it refers to are made first."""
    dataset, topic, _ = name.split("/")
    cases = {case["id"]: case for case in read_cases(HERE / "data" / f"{dataset}__{topic}.json.gz")}
    case = cases[name]
    base = case["call"].get("base_case")
    if base is not None:
        fitted(cases[f"{dataset}/{topic}/{base}"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewStudiesWarning)  # as the runner does
        return case, ADAPTERS[topic](case, case["data"])


def spoiled(value: Any) -> Any:
    """Return a value with its first number changed by some per cent; None if it has no number."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            changed = spoiled(part)
            if changed is not None:
                out = copy.copy(value)
                out[key] = changed
                return out
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value * 1.03 + 1e-2 if number else None


def lower_maximum() -> tuple[Case, dict[str, Any]]:
    """Return a case whose reference says it stopped at other components, with all that follows from them."""
    case, actual = stored(LOCAL)
    other = copy.deepcopy(case)
    held = make_fit(case, [0.03, 0.05])
    theirs = other["results"]
    theirs["sigma2"]["estimate"] = [0.03, 0.05]
    for field, value in (("estimate", held.beta), ("se", held.se), ("vcov", held.cov)):
        theirs[field] = value.tolist()
    theirs["test_statistic"], theirs["p_value"] = held.tvalues.tolist(), held.pvalues.tolist()
    theirs["ci_lower"], theirs["ci_upper"] = held.conf_int()["low"].tolist(), held.conf_int()["high"].tolist()
    theirs["QM"] = held.moderator_test.statistic
    for kind in ("ML", "REML"):
        theirs["fit_statistics"][kind]["log_likelihood"] = held.fit_statistics(kind == "REML").llf
    return other, actual


@pytest.mark.parametrize(
    "rule", [*dict.fromkeys(rule for rule, _ in EXAMPLES), multilevel_rules.local_maximum]
)
def test_every_rule_is_explained(rule: Any) -> None:
    assert any(f"`{rule.__name__}`" in line for line in TEXT.splitlines() if line.startswith("|"))


@pytest.mark.parametrize(("rule", "name"), EXAMPLES, ids=lambda part: getattr(part, "__name__", part))
def test_a_case_that_differs_is_settled_by_its_rule(rule: Any, name: str) -> None:
    case, actual = stored(name)
    assert compare(actual, case["results"], case["rtol"], case["atol"]).different
    assert next(one for one in rules_of(case) if not one(case, actual).different) is rule


@pytest.mark.parametrize(("rule", "name"), EXAMPLES[:-2], ids=lambda part: getattr(part, "__name__", part))
def test_no_rule_lets_a_wrong_number_through(rule: Any, name: str) -> None:
    case, actual = stored(name)
    wrong = {"QE": 1.03 * actual["QE"], "fit_statistics": lowered(actual)}
    if rule is not multilevel_rules.endless_range:  # along whose ridge they move
        wrong |= {field: spoiled(actual[field]) for field in ("estimate", "se", "vcov", "inner_outer_1")}
    for field, value in wrong.items():
        assert settle(case, actual | {field: value}).different, field


def lowered(actual: dict[str, Any]) -> dict[str, Any]:
    """Return fit statistics with lower likelihoods."""
    out = copy.deepcopy(actual["fit_statistics"])
    for kind in out:
        out[kind]["log_likelihood"] -= 0.5
    return out


def test_a_lower_maximum_of_the_reference_is_proved_at_its_components() -> None:
    case, actual = lower_maximum()
    settled = [one for one in rules_of(case) if not one(case, actual).different]
    assert settled == [multilevel_rules.local_maximum]
    for field in ("estimate", "se", "QM"):
        wrong = copy.deepcopy(case)
        wrong["results"][field] = spoiled(case["results"][field])
        assert settle(wrong, actual).different, field
    assert settle(case, actual | {"fit_statistics": lowered(actual)}).different
    assert settle(case, actual | {"QE": actual["QE"] * 1.01}).different


def test_a_joint_test_on_less_than_one_df_lets_no_other_number_through() -> None:
    case, actual = stored("assink2016/multilevel/CHE_mods1_clubsandwich_CR2")
    for field in ("F", "F_df2", "se", "satterthwaite_df"):
        assert settle(case, actual | {field: spoiled([actual[field]])[0]}).different, field
    assert settle(case, actual | {"F_p": 0.2}).different


def test_a_limit_that_is_inside_the_reference_is_no_better_one() -> None:
    case, actual = stored("berkey1998/multilevel/UN_REML_profile_ci_tau21")
    (name,) = (key for key in actual if key.startswith("tau^2"))
    wrong = actual | {name: actual[name] | {"ci_upper": 0.5 * actual[name]["ci_upper"]}}
    assert settle(case, wrong).different
