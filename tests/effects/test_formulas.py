"""Each formula of each measure, on numbers that can be followed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from metaexo.effects import all_measures, calculate, get_measure
from metaexo.effects.formulas import FUNCTIONS, MEANINGS, Line, Route, computed, lines_of

TWO = {"treatment_n": 10, "control_n": 10}
MEANS = {
    "treatment_mean": 24, "treatment_sd": 5, "treatment_n": 10,
    "control_mean": 18, "control_sd": 4, "control_n": 12,
}  # fmt: skip
EQUAL = {**MEANS, "control_sd": 5, "control_n": 10}
PAIRED = {"post_mean": 12, "post_sd": 2, "pre_mean": 10, "pre_sd": 2, "n": 16, "correlation": 0.5}
RATIO = {**PAIRED, "post_mean": 20, "post_sd": 4, "n": 11}
RISKS = {"treatment_events": 10, "treatment_n": 100, "control_events": 20, "control_n": 100}
ODDS = {"treatment_events": 10, "treatment_n": 30, "control_events": 20, "control_n": 30}
TETRACHORIC = {"treatment_events": 30, "treatment_n": 50, "control_events": 20, "control_n": 50}
PAIRS = {"both": 20, "first_only": 10, "second_only": 5, "neither": 15}
MARGINS = {"first_events": 30, "second_events": 25, "n": 50}
RATES = {"treatment_events": 10, "treatment_time": 100, "control_events": 20, "control_time": 100}
SIZE = {"mean": 120, "sd": 30, "n": 9}
TWENTY = {"events": 20, "n": 100}
ALPHA = {"alpha": 0.8, "items": 11, "n": 102}
SEMI = {"semipartial": 0.3, "n": 100, "predictors": 3, "r_squared": 0.4}
SDS = {"treatment_sd": 1, "treatment_n": 11, "control_sd": 1, "control_n": 11}

# code, inputs, y, v by the default formula of the variance
VALUES = [
    ("MD", {**MEANS, "control_n": 8}, 6, 4.5),
    ("SMD", EQUAL, 1.149, 0.233),
    ("SMD", {**TWO, "d": 1.2}, 1.149, 0.233),
    ("SMDH", MEANS, 1.275, 0.251),
    ("SMD1", {name: x for name, x in MEANS.items() if name != "treatment_sd"}, 1.395, 0.264),
    ("SMD1H", MEANS, 1.395, 0.353),
    ("RPB", {**TWO, "d": 1}, 0.4663, 0.0300),
    ("ZPB", {**TWO, "d": 1}, 0.5053, 0.0489),
    ("RBIS", {**TWO, "d": 1}, 0.5844, 0.0439),
    ("ZBIS", {**TWO, "d": 1}, 0.6691, 0.1012),
    ("D2OR", {**TWO, "d": 1}, 1.8138, 0.7402),
    (
        "ROM",
        {**EQUAL, "treatment_mean": 20, "treatment_sd": 4, "control_mean": 10, "control_sd": 2},
        0.6931,
        0.008,
    ),
    (
        "CVR",
        {
            "treatment_mean": 20, "treatment_sd": 8, "treatment_n": 11,
            "control_mean": 10, "control_sd": 2, "control_n": 11,
        },
        0.6877,
        0.1182,
    ),
    ("VR", {"treatment_sd": 4, "treatment_n": 11, "control_sd": 2, "control_n": 11}, 0.6931, 0.1),
    ("CLES", {"auc": 0.75, "treatment_n": 20, "control_n": 20}, 0.75, 0.0067),
    ("CLESN", MEANS, 0.8256, 0.0084),
    ("CLESN", {**TWO, "d": 0}, 0.5, 0.0159),
    ("CLESN", {**TWO, "auc": 0.5}, 0.5, 0.0159),
    ("AUCN", {**SDS, "auc": 0.5}, 0.5, 0.0159),
    ("CLESCN", PAIRED, 0.7602, 0.0042),
    ("MC", PAIRED, 2, 0.25),
    ("SMCC", PAIRED, 0.949, 0.091),
    ("SMCC", {"d": 1, "n": 16}, 0.949, 0.091),
    ("SMCR", {name: x for name, x in PAIRED.items() if name != "post_sd"}, 0.949, 0.091),
    ("SMCRH", PAIRED, 0.949, 0.097),
    ("SMCRP", PAIRED, 0.968, 0.081),
    ("SMCRP", {"t": 4, "n": 16, "correlation": 0.5}, 0.968, 0.081),
    ("SMCRPH", PAIRED, 0.968, 0.086),
    ("ROMC", {**RATIO, "n": 10}, 0.6931, 0.004),
    ("CVRC", RATIO, 0, 0.0786),
    ("VRC", {"post_sd": 4, "pre_sd": 2, "n": 11, "correlation": 0.5}, 0.6931, 0.075),
    ("RR", RISKS, -0.6931, 0.13),
    ("OR", ODDS, -1.3863, 0.3),
    ("RD", RISKS, -0.1, 0.0025),
    ("AS", {"treatment_events": 0, "treatment_n": 25, "control_events": 5, "control_n": 25}, -0.4636, 0.02),
    ("PETO", ODDS, -1.3111, 0.2622),
    ("OR2D", ODDS, -0.7643, 0.0912),
    ("PBIT", ODDS, -0.8615, 0.1121),
    ("PHI", ODDS, -0.3333, 0.0148),
    ("ZPHI", ODDS, -0.3466, 0.0188),
    ("YUQ", ODDS, -0.6, 0.0307),
    ("YUY", ODDS, -0.3333, 0.0148),
    ("RTET", TETRACHORIC, 0.309, 0.0214),
    ("ZTET", TETRACHORIC, 0.3195, 0.0262),
    ("MPRR", PAIRS, 0.1823, 0.02),
    ("MPRD", PAIRS, 0.1, 0.0058),
    ("MPOR", PAIRS, 0.4055, 0.0967),
    ("MPORC", PAIRS, 0.6931, 0.3),
    ("MPPETO", PAIRS, 0.6667, 0.2667),
    ("MPORM", {**MARGINS, "phi": 0.408248}, 0.4055, 0.0967),
    ("MPORM", {**MARGINS, "both_share": 0.4}, 0.4055, 0.0967),
    ("IRR", RATES, -0.6931, 0.15),
    ("IRD", RATES, -0.1, 0.003),
    ("IRSD", {**RATES, "treatment_events": 0, "control_events": 4}, -0.2, 0.005),
    ("IR", {"events": 10, "time": 100}, 0.1, 0.001),
    ("IRLN", {"events": 10, "time": 100}, -2.3026, 0.1),
    ("IRS", {"events": 4, "time": 100}, 0.2, 0.0025),
    ("IRFT", {"events": 0, "time": 100}, 0.05, 0.0025),
    ("MN", SIZE, 120, 100),
    ("SMN", {"mean": 2, "sd": 2, "n": 16}, 0.949, 0.091),
    ("MNLN", SIZE, 4.7875, 0.0069),
    ("CVLN", SIZE, -1.3238, 0.0694),
    ("SDLN", {"sd": 30, "n": 9}, 3.4637, 0.0625),
    ("PR", TWENTY, 0.2, 0.0016),
    ("PLN", TWENTY, -1.6094, 0.04),
    ("PLO", TWENTY, -1.3863, 0.0625),
    ("PRZ", {"events": 50, "n": 100}, 0, 0.0157),
    ("PAS", {"events": 0, "n": 25}, 0, 0.01),
    ("PFT", {"events": 0, "n": 24}, 0.1007, 0.0102),
    ("ARAW", ALPHA, 0.8, 0.00088),
    ("AHW", {**ALPHA, "alpha": 0.875}, 0.5, 0.000608),
    ("ABT", ALPHA, 1.6094, 0.0220),
    ("REH", {"homozygous_first": 25, "heterozygous": 50, "homozygous_second": 25}, 0, 0.04),
    ("COR", {"correlation": 0.5, "n": 26}, 0.5, 0.0225),
    ("UCOR", {"correlation": 0.5, "n": 26}, 0.5084, 0.022),
    ("ZCOR", {"correlation": 0.5, "n": 28}, 0.5493, 0.04),
    ("PCOR", {"partial": 0.5, "n": 28, "predictors": 3}, 0.5, 0.0225),
    ("ZPCOR", {"partial": 0.5, "n": 30, "predictors": 3}, 0.5493, 0.04),
    ("SPCOR", SEMI, 0.3, 0.00574),
    ("ZSPCOR", SEMI, 0.3095, 0.00693),
    ("R2", {"r_squared": 0.5, "n": 100, "predictors": 3}, 0.5, 0.005),
    ("ZR2", {"r_squared": 0.25, "n": 100, "predictors": 3}, 0.5493, 0.01),
    ("R2F", {"r_squared": 0.5, "n": 100, "predictors": 3}, 0.5, 0.004),
    ("ZR2F", {"r_squared": 0.5, "n": 100, "predictors": 3}, 0.8814, 0.0078),
]  # fmt: skip


@pytest.mark.parametrize(("code", "inputs", "y", "v"), VALUES)
def test_the_default_formula(code, inputs, y, v):
    done = calculate(code, inputs)
    digits = {"y": 3 if code in ROUGH else 4, "v": 3 if code in ROUGH else 4 if v >= 0.001 else 6}
    assert done.y[0] == pytest.approx(y, abs=0.51 * 10.0 ** -digits["y"])
    assert done.v[0] == pytest.approx(v, abs=0.51 * 10.0 ** -digits["v"])


ROUGH = ("SMD", "SMDH", "SMD1", "SMD1H", "SMCC", "SMCR", "SMCRH", "SMCRP", "SMCRPH", "SMN")


# of every measure, by every set of inputs, type of variance and correction: values by functions that were
# written apart from these formulas, and agreed with R
FROZEN = json.loads((Path(__file__).parent / "measure_values.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", FROZEN, ids=lambda case: f"{case['measure']} {case['conversion']}".strip())
def test_every_variance_by_every_set_of_inputs(case):
    for one in case["values"]:
        done = calculate(
            case["measure"],
            case["inputs"],
            variance=one["variance"] or None,
            bias_correction=one["corrected"],
        )
        assert done.y == pytest.approx(np.array(one["y"]), rel=1e-13, abs=1e-15), one["variance"]
        assert done.v == pytest.approx(np.array(one["v"]), rel=1e-12), one["variance"]
        assert {mark.formula for mark in done.derived} == {case["conversion"]}


def test_no_set_of_inputs_and_no_variance_is_left_out():
    written = {(case["measure"], case["conversion"], len(case["values"])) for case in FROZEN}
    corrected = {True: 2, False: 1}
    assert written == {
        (measure.code, route.formula, len(route.kinds) * corrected[route.bias_corrected])
        for measure in all_measures()
        for route in measure.routes
    }


def test_every_measure_has_a_value_here():
    same = {"D2ORN", "D2ORL", "OR2DN", "OR2DL", "AUC"}
    codes = {one.code for one in all_measures() if one.compute is not None}
    assert codes - same == {code for code, *_ in VALUES} - same


@pytest.mark.parametrize("kind", ["LS", "LS2", "UB", "AV", "H0"])
def test_the_variances_of_hedges_g(kind):
    n1, n2, d = np.array([6.0, 20.0]), np.array([9.0, 14.0]), np.array([0.4, 1.3])
    m = n1 + n2 - 2
    j = FUNCTIONS["hedges"](m)
    g = j * d
    w = 1 / n1 + 1 / n2
    g_all = (g * (n1 + n2)).sum() / (n1 + n2).sum()
    by_hand = {
        "LS": w + g**2 / (2 * (n1 + n2)),
        "LS2": j**2 * (w + d**2 / (2 * (n1 + n2))),
        "UB": w + (1 - (m - 2) / (m * j**2)) * g**2,
        "AV": w + g_all**2 / (2 * (n1 + n2)),
        "H0": j**2 * m / (m - 2) * w,
    }
    done = calculate("SMD", {"d": d, "treatment_n": n1, "control_n": n2}, variance=kind)
    assert done.y == pytest.approx(g, rel=1e-14)
    assert done.v == pytest.approx(by_hand[kind], rel=1e-13)


def test_without_the_correction_the_factor_is_one():
    plain = calculate("SMD", {"d": 0.7, "treatment_n": 8, "control_n": 9}, bias_correction=False)
    assert plain.y[0] == 0.7
    assert lines_of("J = hedges(m) | 1", corrected=False) == (Line("J", "1"),)


def test_every_function_that_a_reader_may_not_know_is_told():
    known = {"sqrt", "log", "exp", "arcsin", "tanh", "atanh", "cbrt", "abs"}
    assert set(FUNCTIONS) - known == set(MEANINGS)


def test_a_formula_is_one_text_for_all_its_readers():
    record = get_measure("SMD1H")
    route = record.routes[0]
    lines = [line for part in route.lines("") for line in part]
    assert record.formula() == "; ".join(f"{line.sign} = {line.readable}" for line in lines)
    x = {name: np.array([value], dtype=float) for name, value in MEANS.items()}
    known = {"m1": x["treatment_mean"], "s1": x["treatment_sd"], "n1": x["treatment_n"]}
    known |= {"m2": x["control_mean"], "s2": x["control_sd"], "n2": x["control_n"]}
    values = computed(lines, known)
    assert (values["y"], values["v"]) == route.compute(**x)


def test_a_value_that_is_one_for_all_rows_is_repeated():
    y, v = Route(("n",), "y = n", "v = average(n, n)").compute(n=np.array([1.0, 3.0]))
    assert v.tolist() == [2.5, 2.5]
    y[0] = 7.0
    assert v[0] == 2.5


def test_large_arrays_have_the_same_values_and_inputs_stay():
    """Intermediate results are overwritten where arrays are large; what was handed in is not."""
    for measure in all_measures():
        if measure.code not in ("SMD", "ROM", "OR", "PHI", "UCOR", "SMCRPH"):
            continue
        for route in measure.routes:
            few = {
                name: np.linspace(0.2, 0.9, 7) * (40 if name.endswith("n") else 1) for name in route.inputs
            }
            many = {name: np.resize(values, 21_000) for name, values in few.items()}
            before = {name: values.copy() for name, values in many.items()}
            for kind in route.kinds:
                if "A" in kind:  # an average over rows has other digits over more of them
                    continue
                small, large = route.compute(variance=kind, **few), route.compute(variance=kind, **many)
                for one, other in zip(small, large, strict=True):
                    np.testing.assert_array_equal(np.resize(one, 21_000), other)
            assert all((many[name] == before[name]).all() for name in many)


def test_a_biserial_correlation_beyond_one_is_cut_in_its_variance_alone():
    done = calculate("RBIS", {"d": 9.0, "treatment_n": 10, "control_n": 10})
    at_one = (0.25 * 2 * np.pi - 2.5 + 1) / 19  # p q / f^2 - 5/2 r^2 + r^4 with r = 1
    assert done.y[0] > 1
    assert done.v[0] == pytest.approx(at_one, rel=1e-12)
