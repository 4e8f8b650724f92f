"""The rules of pooled counts speak only where their proof holds."""

import copy
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from tests.reference.adapters.counts.mantel_haenszel import pooled
from tests.reference.cases import Case
from tests.reference.count_rules_pooled import (
    corrected_beyond_zero,
    df_of_double_zeros,
    likelihood_of_one,
    no_estimate_no_q,
    no_spread_no_test,
    no_spread_no_weight,
    nothing_to_compare,
    pooled_by_field,
)

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


ONE = {"ai": [3], "n1i": [20], "ci": [7], "n2i": [25]}
LEVEL = {"ai": [3, 0], "n1i": [20, 14], "ci": [3, 1], "n2i": [25, 22]}  # about as many events as expected
CERTAIN = {"ai": [1, 0, 4, 6], "n1i": [1, 1, 10, 30], "ci": [0, 1, 3, 9], "n2i": [1, 1, 9, 28]}


def answered(measure: str, data: dict, **call: object) -> tuple[Case, dict]:
    """Return a case whose reference is our own answer, to be changed, and that answer."""
    asked = case({"model": "mantel_haenszel", "measure": measure, **call}, {}, data)
    actual = pooled(asked, data)
    return asked | {"results": plain(actual)}, actual


def refuted(rule, asked: Case, actual: dict, field: str, value: object = 0.4321) -> bool:
    wrong = copy.deepcopy(asked)
    if isinstance(wrong["results"][field], list):
        wrong["results"][field][0] = value
    else:
        wrong["results"][field] = value
    return bool(rule(wrong, actual).different)


def test_a_single_table_has_no_p_of_homogeneity_in_the_reference():
    asked, actual = answered("OR", ONE)
    asked["results"] |= {"breslow_day_p": None, "tarone_p": None}
    assert pooled_by_field(asked, actual).different == []
    assert refuted(pooled_by_field, asked, actual, "k_informative", 2)
    assert refuted(pooled_by_field, asked, actual, "breslow_day_chi2")
    asked, actual = answered("OR", CERTAIN)
    asked["results"] |= {"breslow_day_p": None, "tarone_p": None}
    assert pooled_by_field(asked, actual).different


@pytest.mark.parametrize("to", ["only0 / none", "only0 / only0", "none / all"])
def test_a_correction_beyond_zero_is_explained_by_the_excess(to):
    asked, actual = answered("OR", LEVEL, to=to)
    add = {"only0 / none": [0, 0], "only0 / only0": [0, 0.5], "none / all": [0.5, 0.5]}[to]
    excess, variances = 0.0, np.zeros(2)
    for a, n1, c, n2, half in zip(*LEVEL.values(), add, strict=True):
        m, r1, r2 = a + c + 2 * half, n1 + 2 * half, n2 + 2 * half
        n = r1 + r2
        excess += a + half - m * r1 / n
        variances += m * r1 * r2 * (n - m) / n**2 / np.array([n - 1, n])
    size = (abs(excess) - 0.5) ** 2 / variances
    names = ("cochran_mantel_haenszel", "cochran_chi2_uncorrected")
    asked["results"] |= {f"{names[0]}_chi2": size[0], f"{names[0]}_p": float(chi2.sf(size[0], 1))}
    asked["results"] |= {names[1]: size[1], "cochran_p": float(chi2.sf(size[1], 1))}
    assert pooled_by_field(asked, actual).different == []
    assert refuted(pooled_by_field, asked, actual, names[1])
    asked["call"] = asked["call"] | {"continuity_corrected_test": False}
    assert pooled_by_field(asked, actual).different


def test_the_likelihood_of_one_estimate_misses_the_distance_from_the_pooled_one():
    asked, actual = answered("OR", ONE, to="all / none")
    llf = -0.5 * float(np.log(2 * np.pi * actual["vi"][0]))
    asked["results"] |= {"log_likelihood": llf, "AIC": 2 - 2 * llf, "BIC": -2 * llf, "AICc": 6 - 2 * llf}
    assert actual["log_likelihood"] < llf
    assert pooled_by_field(asked, actual).different == []
    assert refuted(pooled_by_field, asked, actual, "AICc")
    assert pooled_by_field(asked, actual | {"log_likelihood": llf}).different


def test_a_variance_of_0_is_no_weight():
    asked, actual = answered("RD", CERTAIN, to="none / none")
    infinite = {"k_with_estimates": 4, "QE": "Inf", "QE_p": 0, "I2_percent": None, "H2": "Inf"}
    asked["results"] |= infinite | dict.fromkeys(("log_likelihood", "AIC", "BIC", "AICc"))
    asked["results"]["yi"][:2] = [1.0, -1.0]
    asked["results"]["vi"][:2] = [0.0, 0.0]
    assert pooled_by_field(asked, actual).different == []
    assert refuted(pooled_by_field, asked, actual, "QE", 3.0)
    assert pooled_by_field(asked, actual | {"QE": 3.0}).different
    asked["results"]["vi"][2] = 0.0  # of 4 of 10 and 3 of 9
    assert pooled_by_field(asked, actual).different


def test_a_standard_error_of_0_gives_no_test():
    asked, actual = answered("RD", CERTAIN, statistic="cumulative")
    asked["results"]["z"][0], asked["results"]["p_value"][0] = "Inf", 0
    assert no_spread_no_test(asked, actual).different == []
    assert refuted(no_spread_no_test, asked, actual, "estimate")
    asked["results"]["se"][2] = 0.0
    assert no_spread_no_test(asked, actual).different


def test_counts_without_a_ratio_are_answered_by_what_remains():
    data = {"ai": [0, 0, 0], "n1i": [20, 14, 31], "ci": [1, 0, 3], "n2i": [25, 10, 40]}
    _, actual = answered("OR", data)
    expected = np.array([20, 0, 3 * 31]) / [45, 24, 71]
    assert actual["estimate"] is None
    np.testing.assert_allclose(actual["weights_percent"], 100 * expected / expected.sum())
    excess = 20 / 45 + 3 * 31 / 71
    variance = 20 * 25 / 45**2 + 3 * 31 * 40 * 68 / (71**2 * 70)
    assert actual["cochran_mantel_haenszel_chi2"] == pytest.approx((excess - 0.5) ** 2 / variance)
    _, grown = answered("OR", data, statistic="cumulative")
    assert all(np.isnan(values).all() and values.size == 3 for values in grown.values())


def test_every_rule_is_explained():
    text = (Path(__file__).parent / "DISAGREEMENTS.md").read_text(encoding="utf-8")
    for rule in (
        df_of_double_zeros,
        no_estimate_no_q,
        nothing_to_compare,
        corrected_beyond_zero,
        likelihood_of_one,
        no_spread_no_weight,
        no_spread_no_test,
    ):
        assert f"`{rule.__name__}`" in text
        assert rule.__doc__
