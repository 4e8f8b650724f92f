"""Published estimates side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from metaexo.errors import InputError
from metaexo.plots import heterogeneity, heterogeneity_plan, overlapping_texts


def test_it_prints_intervals_as_they_were_reported(published):
    plan = heterogeneity_plan(
        published, low="ci_low", high="ci_high", label="review", by="question", measure="SMD", decimals=3
    )
    rows = {row.cells["label"][0]: row.cells["estimate"] for row in plan.rows if row.kind == "study"}
    assert rows["bailey2021"] == ("5.480", "[3.550 to", "8.130]")  # not symmetric, and kept so
    assert rows["tian2023"] == ("1.423", "[1.137 to", "1.709]")
    assert [row.text[0] for row in plan.rows if row.kind == "head"] == [
        "wound closure",
        "infarct volume",
        "lung injury score",
    ]
    assert overlapping_texts(heterogeneity(plan)) == []


def test_ratios_are_given_as_ratios():
    table = pd.DataFrame(
        {"label": ["a", "b"], "estimate": [0.53, 6.45], "low": [0.46, 2.78], "high": [0.6, np.nan]}
    )
    plan = heterogeneity_plan(table, measure="RR")
    assert plan.rows[0].cells["estimate"] == ("0.53", "[0.46 to", "0.60]")
    assert plan.rows[0].mark.estimate == 0.53


def test_an_estimate_may_lack_its_interval(published):
    table = published.assign(ci_low=np.nan, ci_high=np.nan)
    plan = heterogeneity_plan(table, low="ci_low", high="ci_high", label="review", measure="SMD")
    assert {row.cells["estimate"][1:] for row in plan.rows} == {("", "")}
    assert plan.axis.low < -4.02
    assert plan.axis.high > 5.48


def test_an_estimate_outside_its_interval_is_refused(published):
    table = published.assign(ci_high=0.0)
    with pytest.raises(InputError, match=r"row 1: 5\.42"):
        heterogeneity_plan(table, low="ci_low", high="ci_high", label="review")
    with pytest.raises(InputError, match="0 of 0 rows"):
        heterogeneity_plan(table.iloc[:0], low="ci_low", high="ci_high", label="review")


def test_several_estimates_of_one_study_are_no_cause_for_a_warning() -> None:
    """Nothing is pooled, so it does not matter which of them belong together."""
    table = pd.DataFrame(
        {"study_name": ["Li 2020", "Li 2020"], "estimate": [0.5, 0.8], "low": 0.3, "high": 1.1}
    )
    plan = heterogeneity_plan(table, label="study_name", measure="RR")
    assert [row.cells["label"] for row in plan.rows] == [("Li 2020",), ("Li 2020",)]
