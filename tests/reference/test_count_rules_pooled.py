"""The rules of pooled counts speak only where their proof holds."""

import copy
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from tests.reference.adapters.counts.mantel_haenszel import pooled
from tests.reference.cases import Case
from tests.reference.count_rules_pooled import df_of_double_zeros, no_estimate_no_q

DATA = {"ai": [1, 0, 3, 0], "n1i": [50, 30, 61, 20], "ci": [4, 2, 5, 0], "n2i": [49, 31, 60, 20]}


def case(call: dict, results: dict, data: dict = DATA) -> Case:
    return {"topic": "count_models", "call": call, "r_call": "", "results": results, "data": data,
            "rtol": 1e-9, "atol": 1e-12}  # fmt: skip


def kept() -> tuple[Case, dict]:
    call = {"model": "peto_one_step", "drop_double_zero_in_study_estimates": False}
    actual = pooled(case(call, {}), DATA)
    q = actual["QE"]  # of four studies, one of them without event
    theirs = plain(actual) | {"QE_p": float(chi2.sf(q, 3)), "I2_percent": 0.0, "H2": q / 3}
    return case(call, theirs), actual


def plain(fields: dict) -> dict:
    """Return fields as a reference file has them."""
    lists = {name: np.where(np.isnan(x), None, x).tolist() for name, x in fields.items() if np.ndim(x)}
    return fields | lists


def test_a_degree_of_freedom_of_a_study_without_information_is_explained():
    asked, actual = kept()
    assert df_of_double_zeros(asked, actual).different == []
    for field, value in (("QE_p", 0.5), ("H2", 0.1), ("estimate", 0.3)):
        wrong = copy.deepcopy(asked)
        wrong["results"][field] = value
        assert df_of_double_zeros(wrong, actual).different, field
    full = copy.deepcopy(asked)
    full["data"] = DATA | {"ai": [1, 0, 3, 1]}  # nothing is double zero, so nothing explains it
    assert df_of_double_zeros(full, actual).different


@pytest.mark.parametrize("field", ["estimate", "Q", "H2"])
def test_q_without_an_estimate_is_explained_only_where_there_is_no_ratio(field):
    call = {"model": "mantel_haenszel", "measure": "OR", "statistic": "cumulative in row order"}
    data = {name: values[1:] for name, values in DATA.items()}  # the first has no event in the treated arm
    actual = pooled(case(call, {}, data), data)
    theirs = plain(actual)
    for name, value in {"Q": 0.0, "Q_p": 1.0, "I2_percent": 0.0, "H2": 1.0}.items():
        theirs[name][0] = value
    assert no_estimate_no_q(case(call, theirs, data), actual).different == []
    theirs[field][-1] = 7.0
    assert no_estimate_no_q(case(call, theirs, data), actual).different
    assert no_estimate_no_q(case(call, theirs, DATA), actual).different


def test_every_rule_is_explained():
    text = (Path(__file__).parent / "DISAGREEMENTS.md").read_text(encoding="utf-8")
    for rule in (df_of_double_zeros, no_estimate_no_q):
        assert f"`{rule.__name__}`" in text
        assert rule.__doc__
