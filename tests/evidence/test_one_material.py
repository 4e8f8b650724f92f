"""Ratios of methods on one material: arms that contrasts share count once, and wrong rows are refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from metaexo import errors
from metaexo.evidence import compare_preparations, ratio_of_methods, ratios_on_one_material

ARMS = {"SEC a": (3.0, 0.3, 9), "SEC b": (3.4, 0.2, 12), "UC": (2.8, 0.5, 6), "kit": (3.1, 0.4, 8)}
STEP = {
    "SEC a": "Size exclusion",
    "SEC b": "Size exclusion",
    "UC": "Ultracentrifugation",
    "kit": "Precipitation",
}


def contrast(one, other, **changes):
    row = {"study_name": "Li 2020", "source_reported": "serum", "outcome": "ln_x", "outcome_family": "X"}
    row |= {"outcome_label": "x, ln", "unit": "ln(x)", "use": "main"}
    for side, name in (("treatment", one), ("control", other)):
        row |= {f"{side}_label": name, f"{side}_isolation_step": STEP[name]}
        row |= {f"{side}_{what}": value for what, value in zip(("mean", "sd", "n"), ARMS[name], strict=True)}
    return row | changes


ROWS = pd.DataFrame(
    [contrast("SEC a", "UC"), contrast("UC", "SEC b"), contrast("kit", "UC"), contrast("SEC a", "SEC b")]
)


def test_a_shared_arm_is_counted_once():
    found = ratio_of_methods(ROWS.head(2), "Size exclusion", level=0.9)
    (m1, s1, n1), (m2, s2, n2), (m3, s3, n3) = ARMS["SEC a"], ARMS["SEC b"], ARMS["UC"]
    parts = np.array([s1**2 / n1 / 4, s2**2 / n2 / 4, s3**2 / n3])
    gap, se = (m1 + m2) / 2 - m3, np.sqrt(parts.sum())
    df = parts.sum() ** 2 / (parts**2 / np.array([n1 - 1, n2 - 1, n3 - 1])).sum()
    half = stats.t.ppf(0.95, df) * se
    assert (found["log_ratio"], found["se"], found["df"]) == pytest.approx((gap, se, df), rel=1e-12)
    assert (found["ratio"], found["low"], found["high"]) == pytest.approx(
        np.exp([gap, gap - half, gap + half])
    )
    assert found["pvalue"] == pytest.approx(2 * stats.t.sf(abs(gap) / se, df), rel=1e-10)


@pytest.mark.parametrize(("unit", "base"), [("ln(x)", np.e), ("log2(x)", 2.0), ("log10(share)", 10.0)])
def test_the_base_is_that_of_the_unit(unit, base):
    found = ratio_of_methods(ROWS.head(1).assign(unit=unit), "Size exclusion")
    assert found["ratio"] == pytest.approx(base**0.2, rel=1e-12)


def test_one_row_per_pair_and_none_for_two_preparations_by_one_method():
    found = ratios_on_one_material(ROWS)
    pairs = dict(zip(zip(found["method_a"], found["method_b"], strict=True), found["contrasts"], strict=True))
    assert pairs == {
        ("Size exclusion", "Ultracentrifugation"): 2,
        ("Ultracentrifugation", "Precipitation"): 1,
    }
    flat = ROWS.assign(treatment_sd=[0.3, 0.5, 0.0, 0.3])
    assert len(ratios_on_one_material(flat)) == 1
    assert ratios_on_one_material(ROWS.assign(use="apart")).empty
    assert ratios_on_one_material(ROWS.assign(unit="nm")).empty


def test_preparations_are_compared_by_welch():
    found = compare_preparations(ROWS).iloc[0]
    mean, sd, n = np.array(list(ARMS.values())).T
    w = n / sd**2
    share = w / w.sum()
    lack = ((1 - share) ** 2 / (n - 1)).sum()
    f = (w * (mean - share @ mean) ** 2).sum() / 3 / (1 + 2 * 2 / 15 * lack)
    assert found["preparations"] == 4
    assert (found["statistic"], found["df2"]) == pytest.approx((f, 15 / (3 * lack)), rel=1e-10)
    assert found["pvalue"] == pytest.approx(stats.f.sf(f, 3, 15 / (3 * lack)), rel=1e-9)


@pytest.mark.parametrize(
    ("rows", "method", "words"),
    [
        (ROWS.head(3), "Size exclusion", "2 of 3"),
        (ROWS.tail(1), "Size exclusion", "0 of 1"),
        (
            pd.DataFrame([contrast("SEC a", "UC"), contrast("SEC b", "UC", outcome="ln_y")]),
            "Size exclusion",
            "2 outcomes",
        ),
        (ROWS.head(1).assign(unit="nm"), "Size exclusion", "unit 'nm'"),
        (ROWS.head(1).assign(control_sd=0.0), "Size exclusion", "SD is 0"),
    ],
)
def test_wrong_rows_are_refused_in_words(rows, method, words):
    with pytest.raises(errors.InputError, match=words):
        ratio_of_methods(rows, method)
