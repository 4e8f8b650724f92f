"""Sizes of preparations: reasons for what stays out, whose work it is, ratios of one source."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from metaexo.evidence.descriptions.sizes import choose_means, laboratories, method_ratios

ROW = {
    "line": 2,
    "study_id": "li2020",
    "source_reported": "milk",
    "source_url": "https://doi.org/10.1000/1",
    "access": "abstract",
    "technique": "NTA",
    "isolation_reported": "UC",
    "isolation_step": "Ultracentrifugation",
    "size_statistic": "mean",
    "size_nm": 120.0,
    "size_sd": 12.0,
    "n_replicates": 4.0,
    "repetition": "batch",
    "use": "main",
    "caution": None,
}
PRECIPITATION = {
    "isolation_reported": "PEG",
    "isolation_step": "Precipitation",
    "size_nm": 180.0,
}


def sheet(*changes):
    return pd.DataFrame([{**ROW, "line": i + 2, **change} for i, change in enumerate(changes)])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size_statistic": "range", "size_nm": np.nan}, "only a range of sizes, no mean"),
        ({"size_statistic": None, "size_nm": np.nan}, "no size"),
        ({"size_statistic": "median"}, "a median, not a mean"),
        ({"use": "apart", "caution": "loaded vesicles"}, "set apart: loaded vesicles"),
    ],
)
def test_what_stays_out_has_its_reason(change, reason):
    ledger = choose_means(sheet({}, change, {"use": "doubtful"}))
    assert ledger.used == (2, 4)
    assert [(entry.line, entry.study, entry.reason) for entry in ledger.left_out] == [(3, "li2020", reason)]


def test_laboratories():
    rows = sheet(
        {},
        {"source_url": "https://github.com/owner/one/blob/main/x.csv", "study_id": "a"},
        {"source_url": "https://github.com/owner/two", "study_id": "b"},
        {"access": "secondary", "study_id": "review"},
        {"access": "secondary", "study_id": "review"},
        {"source_url": None},
    )
    found = laboratories(rows).tolist()
    assert found == ["li2020", "a; b", "a; b", "review, line 5", "review, line 6", "li2020"]
    named = laboratories(
        rows.assign(study_name=["Li 2020", "A 2021", "B 2022", "Cho 2023", "Cho 2023", "Li 2020"])
    )
    assert named.tolist()[1:4] == ["A 2021; B 2022", "A 2021; B 2022", "Cho 2023, line 5"]


def test_a_ratio_has_the_delta_interval_of_two_independent_means():
    found = method_ratios(sheet({}, PRECIPITATION), level=0.9).iloc[0]
    assert found["methods"] == "Precipitation / ultracentrifugation"
    assert found["ratio"] == pytest.approx(1.5)
    half = 1.6448536269514722 * math.sqrt((12 / 120) ** 2 / 4 + (12 / 180) ** 2 / 4)
    assert math.log(found["high"] / 1.5) == pytest.approx(half, rel=1e-12)
    assert math.log(1.5 / found["low"]) == pytest.approx(half, rel=1e-12)


def test_a_ratio_of_cvs_is_that_of_two_independent_groups():
    found = method_ratios(sheet({}, PRECIPITATION), level=0.9).iloc[0]
    assert (found["line_a"], found["line_b"], found["repetition"]) == (3, 2, "batch")
    cvs = {12 / 180: 1, 12 / 120: -1}
    # both have 4 replicates: the correction 1 / (2 (n - 1)) cancels, that of the mean does not
    y = sum(sign * (math.log(cv) - cv**2 / (2 * 4)) for cv, sign in cvs.items())
    v = sum(cv**2 / 4 + 1 / (2 * 3) for cv in cvs)
    assert math.log(found["cv_ratio"]) == pytest.approx(y, rel=1e-12)
    half = 1.6448536269514722 * math.sqrt(v)
    assert math.log(found["cv_high"] / found["cv_ratio"]) == pytest.approx(half, rel=1e-10)
    assert math.log(found["cv_ratio"] / found["cv_low"]) == pytest.approx(half, rel=1e-10)


@pytest.mark.parametrize("levels", [("batch", "donor"), ("not_reported", "not_reported")])
def test_cvs_over_other_units_are_not_compared(levels):
    first, second = levels
    found = method_ratios(sheet({"repetition": first}, {**PRECIPITATION, "repetition": second})).iloc[0]
    assert not math.isnan(found["low"])
    assert math.isnan(found["cv_ratio"])
    assert found["repetition"] == "not_reported"


@pytest.mark.parametrize("change", [{"n_replicates": 1.0}, {"n_replicates": np.nan}, {"size_sd": np.nan}])
def test_no_interval_without_a_spread_of_replicates(change):
    found = method_ratios(sheet({}, {**PRECIPITATION, **change})).iloc[0]
    assert found["ratio"] == pytest.approx(1.5)
    assert math.isnan(found["low"])
    assert math.isnan(found["high"])


@pytest.mark.parametrize(
    "change",
    [
        {"study_id": "cho2021"},
        {"source_reported": "plasma"},
        {"technique": "DLS"},
        {"access": "secondary"},
        {"isolation_step": "Not reported"},
        {"isolation_step": "Ultracentrifugation"},
        {"size_nm": np.nan},
    ],
)
def test_only_methods_on_one_source_in_one_study_are_compared(change):
    assert len(method_ratios(sheet({}, {**PRECIPITATION, **change}))) == 0


def test_the_order_of_the_rows_does_not_turn_a_ratio():
    one, other = method_ratios(sheet({}, PRECIPITATION)), method_ratios(sheet(PRECIPITATION, {}))
    lines = ["line_a", "line_b"]
    assert (one[lines].to_numpy() == other[lines[::-1]].to_numpy()).all()
    pd.testing.assert_frame_equal(one.drop(columns=lines), other.drop(columns=lines))
