"""Results at the edge of what is possible: no effect, whatever the rounding, and one reason for all."""

from __future__ import annotations

import contextlib
import inspect
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metaexo as mx
from metaexo import effects
from metaexo.effects import calculate, get_measure
from metaexo.effects.measures.calculate import AT_THE_EDGE
from metaexo.errors import MetaexoError, NegativeMeansWarning, RowsLeftOutWarning

# Peto's method on five trials, one of them without events: metafor 3.8, rma.peto
TRIALS = {
    "treatment_events": [0, 0, 1, 3, 2],
    "treatment_n": [12, 40, 20, 30, 50],
    "control_events": [0, 1, 4, 7, 9],
    "control_n": [12, 42, 20, 30, 48],
}


def test_peto_adds_nothing_to_zeros_and_agrees_with_rma_peto():
    with pytest.warns(RowsLeftOutWarning, match="no events: carries no weight"):
        es = mx.effect_sizes("PETO", **TRIALS)
    assert es.k == 4
    assert [mark.note for mark in es.derived] == [""] * 4
    fit = mx.RandomEffects(es).fit(method="EE", test="z")
    assert [fit.estimate, fit.se[0]] == pytest.approx([-1.2761, 0.4098], abs=5e-5)
    assert "no events: carries no weight" in str(fit.summary())


def test_a_half_is_added_to_peto_only_where_it_is_asked_for():
    es = mx.effect_sizes("PETO", **TRIALS, continuity=0.5)
    assert es.k == 5
    assert es.derived[0].note == "0.5 added to every cell"


def test_matched_pairs_that_do_not_differ_carry_no_weight_in_petos_method():
    done = calculate(
        "MPPETO", {"both": [5, 5], "first_only": [0, 2], "second_only": [0, 0], "neither": [3, 3]}
    )
    assert done.reasons == ("no pairs that differ: carries no weight", "")
    assert [done.y[1], done.v[1]] == pytest.approx([2.0, 2.0])


@pytest.mark.parametrize("code", ["RD", "PR", "IR", "IRD"])
def test_a_half_in_measures_that_could_do_without_is_noted(code):
    names = {"events": [0, 3], "n": 10, "time": 50.0}
    record = get_measure(code)
    inputs = {name: names[name.rsplit("_", 1)[-1]] for name in record.inputs}
    es = mx.effect_sizes(code, **inputs)
    assert [mark.note for mark in es.derived] == ["0.5 added to every cell", ""]


# every measure at an end of its range, where its formula has no variance above 0
SIZES = {"treatment_n": [8, 5, 6, 12, 7], "control_n": [4, 7, 3, 9, 11]}
SEPARATED = {"treatment_events": [0, 5, 0, 12, 0], "control_events": [4, 0, 3, 0, 11], **SIZES}
EDGES = {
    "PHI": SEPARATED,
    "ZPHI": SEPARATED,
    "RTET": SEPARATED,
    "ZTET": SEPARATED,
    "COR": {"correlation": [-1, 1, 1 - 1e-13], "n": [12, 20, 30]},
    "UCOR": {"correlation": [-1, 1], "n": [12, 20]},
    "ZCOR": {"correlation": [-1, 1, 1 - 1e-15], "n": [12, 20, 30]},
    "PCOR": {"partial": [-1, 1], "n": [12, 20], "predictors": 2},
    "ZPCOR": {"partial": [-1, 1], "n": [12, 20], "predictors": 2},
    "R2": {"r_squared": [0, 1], "n": 30, "predictors": 3},
    "ZR2": {"r_squared": [1, 1 - 1e-14], "n": 30, "predictors": 3},
    "R2F": {"r_squared": [1], "n": 30, "predictors": 3},
    "ZR2F": {"r_squared": [1], "n": 30, "predictors": 3},
    "ARAW": {"alpha": [1, 1], "items": [3, 8], "n": 30},
    "AHW": {"alpha": [1, 1], "items": [3, 8], "n": 30},
    "ABT": {"alpha": [1, 1], "items": [3, 8], "n": 30},
    "AUC": {"auc": [0, 1], "treatment_n": 10, "control_n": 12},
    "CLES": {"auc": [0, 1], "treatment_n": 10, "control_n": 12},
    "AUCN": {"auc": [0, 1], "treatment_n": 10, "control_n": 12},
}


@pytest.mark.parametrize("code", EDGES)
def test_the_edge_of_a_range_gives_no_effect_and_one_reason(code):
    done = calculate(code, EDGES[code])
    assert all(reason.endswith(AT_THE_EDGE) for reason in done.reasons), done.reasons
    with pytest.warns(RowsLeftOutWarning, match=AT_THE_EDGE):
        assert mx.effect_sizes(code, **EDGES[code]).k == 0


@pytest.mark.parametrize("kind", ["CS", "LS", "ST"])
def test_phi_of_every_separated_table_is_minus_one_or_one_with_a_variance_of_0(kind):
    n1, n2 = np.meshgrid(np.arange(1.0, 60), np.arange(1.0, 60))
    counts = {"treatment_n": n1.ravel(), "control_n": n2.ravel(), "control_events": n2.ravel()}
    done = calculate("PHI", {"treatment_events": np.zeros(n1.size), **counts}, variance=kind)
    assert (done.y == -1).all()
    assert (done.v == 0).all()
    assert "" not in done.reasons


@pytest.mark.parametrize(
    ("code", "inputs"),
    [
        ("PR", {"events": [0, 10], "n": 10}),
        ("PLN", {"events": [0, 10], "n": 10}),
        ("PLO", {"events": [0, 10], "n": 10}),
        ("PRZ", {"events": [0, 10], "n": 10}),
        ("RD", {"treatment_events": [0, 9], "treatment_n": 9, "control_events": [7, 0], "control_n": 7}),
        ("YUQ", {"treatment_events": [0, 9], "treatment_n": 9, "control_events": [7, 0], "control_n": 7}),
        ("YUY", {"treatment_events": [0, 9], "treatment_n": 9, "control_events": [7, 0], "control_n": 7}),
        ("OR", {"treatment_events": [0, 9], "treatment_n": 9, "control_events": [7, 0], "control_n": 7}),
        ("IR", {"events": [0, 0], "time": 4.0}),
        ("IRLN", {"events": [0, 0], "time": 4.0}),
    ],
)
def test_counts_at_an_edge_give_an_effect_by_the_correction_alone(code, inputs):
    assert mx.effect_sizes(code, **inputs).k == 2
    with pytest.warns(RowsLeftOutWarning):
        assert mx.effect_sizes(code, **inputs, continuity=0).k == 0


@pytest.mark.parametrize("code", ["PAS", "PFT", "AS", "IRS", "IRFT", "ZR2"])
def test_scales_whose_variance_depends_on_sizes_alone_have_no_edge(code):
    inputs = {
        "events": [0], "n": [9], "time": [4.0], "r_squared": [0], "predictors": [2],
        "treatment_events": [0], "treatment_n": [9], "control_events": [7], "control_n": [7],
    }  # fmt: skip
    es = mx.effect_sizes(code, **{name: inputs[name] for name in get_measure(code).inputs})
    assert es.k == 1
    assert es.v[0] > 0


def test_a_variance_below_0_is_a_reason_to_leave_a_row_out():
    # the correction for ties takes more than there is: 0.98 * 0.02 < 0.9 / 4 + ...
    inputs = {"auc": [0.98, 0.7], "treatment_n": [2, 20], "control_n": [2, 20], "ties": [0.9, 0.1]}
    done = calculate("AUC", inputs, variance="LS2")
    assert done.v[0] < 0
    assert "negative sampling variance" in done.reasons[0]
    assert done.reasons[1] == ""
    with pytest.warns(RowsLeftOutWarning, match="negative sampling variance"):
        assert mx.effect_sizes("AUC", **inputs, variance="LS2").k == 1


def test_standard_deviations_of_0_are_named():
    inputs = {"treatment_mean": [1, 2], "treatment_n": 5, "control_mean": 0, "control_n": 5}
    done = calculate("MD", {**inputs, "treatment_sd": [0, 1], "control_sd": [0, 0]})
    assert done.reasons == ("treatment_sd and control_sd of 0: MD has no sampling variance above 0", "")


def test_a_semipartial_correlation_beyond_1_has_contradictory_inputs():
    # r = t sqrt((1 - R2) / (n - p - 1)): t = 9 with 6 degrees of freedom would explain 121% of the variance
    done = calculate("SPCOR", {"t": [9, 2], "n": 10, "predictors": 3, "r_squared": [0.1, 0.5]})
    assert done.reasons[0] == "SPCOR = 3.48569 lies beyond what is possible: its inputs contradict each other"
    assert done.reasons[1] == ""


def test_a_partial_correlation_needs_degrees_of_freedom():
    done = calculate("PCOR", {"t": [2, 2], "n": [3, 20], "predictors": 4})
    assert np.isnan(done.y[0])
    assert done.reasons[0]
    assert done.reasons[1] == ""


CONVERTERS = {
    name: [
        p.name
        for p in inspect.signature(getattr(effects, name)).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    for name in effects.__all__
    if re.search(r"(_of_|_from_|^change_sd|arcsine|freeman|_rate$|clopper|harmonic|^transform$)", name)
    and inspect.isfunction(getattr(effects, name))
    and not name.startswith(("effects_", "bounds_", "mean_sd", "covariance_", "regression_"))
}
EXTREMES = [np.nan, 0.0, 1.0, -1.0, 2.0, 0.5, 5.0, 1e-300, 1e300, np.inf, -np.inf, 1e-10]


@pytest.mark.parametrize("name", CONVERTERS)
def test_converters_leak_no_warning_and_no_bare_error(name):
    assert len(CONVERTERS) > 40
    rng = np.random.default_rng(2)
    for _ in range(60):
        handed_in = {one: rng.choice(EXTREMES, 3) for one in CONVERTERS[name]}
        if "name" in handed_in:
            handed_in["name"] = rng.choice(["log", "logit", "fisher_z", "arcsine", "square_root"])
        with contextlib.suppress(MetaexoError):  # impossible values are refused in words
            getattr(effects, name)(**handed_in)  # warnings are errors in this suite


@pytest.mark.parametrize("code", [one.code for one in effects.all_measures() if one.compute is not None])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_measure_gives_a_usable_effect_or_a_reason(code, seed):
    rng = np.random.default_rng(seed)
    record = get_measure(code)
    for names in (record.inputs, *(way.inputs for way in record.alternatives)):
        inputs = {name: rng.choice(EXTREMES, 4) for name in names}
        for kind in record.variances or (None,):
            try:
                done = calculate(code, inputs, variance=kind)
            except MetaexoError:
                continue
            usable = np.isfinite(done.y) & np.isfinite(done.v) & (done.v > 0)
            told = np.array([reason != "" for reason in done.reasons])
            assert (usable | told).all(), (inputs, done)


@pytest.mark.parametrize("code", ["ROM", "CVR", "ROMC", "CVRC"])
def test_ratios_of_two_negative_means_are_said(code):
    numbers = {"mean": [-4.0, 4.0], "sd": 1.0, "n": 20, "correlation": 0.5}
    inputs = {name: numbers[name.rsplit("_", 1)[-1]] for name in get_measure(code).inputs}
    with pytest.warns(NegativeMeansWarning, match="in 1 row"):
        es = mx.effect_sizes(code, **inputs)
    assert [bool(mark.note) for mark in es.derived] == [True, False]
