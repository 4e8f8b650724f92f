"""What can be had from each study: each item by its own rule, nothing assumed."""

from __future__ import annotations

import metaexo as mx
from metaexo.evidence.descriptions.reporting import REPORTING_ITEMS, reporting

FIELDS = {"domain": "preclinical", "design": "in_vitro", "access": "abstract"}


def row_of(folder, study="li2020"):
    table = reporting(mx.read_sheets(folder)).set_index("study_id")
    return {item: bool(table.loc[study, item]) for item in REPORTING_ITEMS}


def studies(**changes):
    return [{"study_id": "li2020", **FIELDS, **changes}, {"study_id": "cho2021", **FIELDS}]


def test_a_complete_result_gives_everything_but_the_isolation(write):
    found = row_of(write(studies(source_category="adipose_msc")))
    assert found == dict.fromkeys(REPORTING_ITEMS, True) | {"isolation": False}


def test_a_silent_study_gives_nothing(write):
    silent = [*studies(), {"study_id": "mute2022", **FIELDS}]
    assert not any(row_of(write(silent), "mute2022").values())


def test_a_spread_is_needed_in_both_arms(write):
    assert not row_of(write(studies(), control_sd=None))["spread"]
    assert row_of(write(studies(), control_sd=None, control_se=2.5))["spread"]
    assert row_of(write(studies(), control_sd=None, control_ci_low=66, control_ci_high=76))["spread"]


def test_a_difference_with_its_interval_is_a_spread_too(write):
    without = {"treatment_sd": None, "control_sd": None}
    difference = {"difference": 9, "difference_ci_low": 1, "difference_ci_high": 17}
    assert not row_of(write(studies(), **without))["spread"]
    assert row_of(write(studies(), **without, **difference))["spread"]


def test_sizes_are_needed_in_both_arms_unless_there_is_one_group(write):
    assert not row_of(write(studies(), control_n=None))["sizes"]
    assert row_of(write(studies(n_treatment=10, n_control=9), control_n=None))["sizes"]
    assert not row_of(write(studies(n_treatment=10), control_n=None))["sizes"]
    assert row_of(write(studies(n_treatment=10, design="pre_post"), control_n=None))["sizes"]


def test_no_exact_effect_without_group_sizes(write):
    assert row_of(write(studies()))["exact_effect"]
    assert not row_of(write(studies(), control_n=None, treatment_n=None, reported_as="mean_sd"))[
        "exact_effect"
    ]


def test_before_and_after_is_no_control(write):
    assert not row_of(write(studies(design="pre_post"), contrast="post_vs_pre"))["control"]
    assert row_of(write(studies(design="animal_controlled"), contrast="post_vs_pre"))["control"]


def test_a_comparison_of_methods_needs_a_second_method(write):
    comparison = {"domain": "isolation", "design": "method_comparison"}
    one = write(studies(**comparison, isolation_reported="UC"), contrast="single_arm")
    assert not row_of(one)["control"]
    two = write(studies(**comparison, isolation_reported="UC; SEC"), contrast="single_arm")
    assert row_of(two)["control"]
    assert row_of(two)["isolation"]


def test_our_studies_stand_in_the_order_of_the_sheet(ours):
    table = reporting(ours)
    assert table["study_id"].tolist() == ours.studies["study_id"].tolist()
    assert table[list(REPORTING_ITEMS)].isin([True, False]).all(axis=None)
