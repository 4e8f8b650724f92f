"""The public door: names, columns, labels, rows left out, and refusals that name the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import (
    CorrelationError,
    EventsError,
    InputError,
    MissingInputError,
    NegativeSDError,
    PValueError,
    RowsLeftOutWarning,
    SampleSizeError,
    ShapeError,
    UnknownChoiceError,
)

GOOD = {
    "treatment_mean": [1.0, 2.0],
    "treatment_sd": [1.0, 1.0],
    "treatment_n": [10, 12],
    "control_mean": [0.0, 0.5],
    "control_sd": [1.0, 2.0],
    "control_n": [10, 12],
}


def test_columns_of_a_frame_by_name_or_by_the_names_of_the_inputs():
    frame = pd.DataFrame({**GOOD, "who": ["Li 2020", "Cho 2021"], "source": ["plant", "urine"]})
    by_default = mx.effect_sizes("SMD", data=frame, labels="who", study="who")
    by_name = mx.effect_sizes(
        "SMD", data=frame.rename(columns={"treatment_n": "n1"}), treatment_n="n1",
        **{name: name for name in GOOD if name != "treatment_n"},
    )  # fmt: skip
    by_values = mx.effect_sizes("SMD", **GOOD)
    assert by_default.y.tolist() == by_name.y.tolist() == by_values.y.tolist()
    assert by_default.labels == by_default.study == ("Li 2020", "Cho 2021")
    assert by_default.column("source").tolist() == ["plant", "urine"]


def test_one_number_stands_for_all_rows():
    es = mx.effect_sizes("PLO", events=[3, 4, 5], n=20)
    assert es.k == 3


def test_a_row_with_a_gap_is_left_out_with_its_reason():
    gap = {**GOOD, "control_sd": [1.0, np.nan]}
    with pytest.warns(RowsLeftOutWarning, match="row 2 .Cho.: not given: control_sd"):
        es = mx.effect_sizes("SMD", labels=["Li", "Cho"], study=["a", "b"], **gap)
    assert es.labels == ("Li",)
    entry = es.ledger.left_out[0]
    assert (entry.line, entry.study, entry.step, entry.reason) == (2, "b", "effect", "not given: control_sd")
    with pytest.raises(InputError, match="not given: control_sd"):
        mx.effect_sizes("SMD", missing="raise", **gap)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"control_sd": [1.0, -2.0]}, NegativeSDError, "row 2 .Cho.: -2"),
        ({"treatment_n": [10, 2.5]}, SampleSizeError, "row 2 .Cho.: 2.5"),
        ({"treatment_n": [0, 10]}, SampleSizeError, "row 1 .Li.: 0"),
        ({"treatment_mean": [np.inf, 1.0]}, InputError, "is infinite"),
        ({"treatment_mean": ["a", "b"]}, InputError, "2 entries that are no number"),
        ({"treatment_mean": [1.0, 2.0, 3.0]}, ShapeError, "treatment_mean: 3"),
    ],
)
def test_impossible_means_are_refused_and_the_rows_named(change, error, words):
    with pytest.raises(error, match=words):
        mx.effect_sizes("SMD", labels=["Li", "Cho"], **{**GOOD, **change})


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        ({"events": [3, 21], "n": 20}, EventsError, "row 2: 21"),
        ({"events": [3, -1], "n": 20}, EventsError, "row 2: -1"),
        ({"events": [3, 1.5], "n": 20}, EventsError, "row 2: 1.5"),
    ],
)
def test_impossible_counts_are_refused(inputs, error, words):
    with pytest.raises(error, match=words):
        mx.effect_sizes("PLO", **inputs)


def test_impossible_tests_are_refused():
    sizes = {"treatment_n": 10, "control_n": 10}
    with pytest.raises(PValueError, match=r"row 1: 1\.5"):
        mx.effect_sizes("SMD", p_value=1.5, direction=1, **sizes)
    with pytest.raises(CorrelationError, match=r"row 1: -1\.2"):
        mx.effect_sizes("SMD", point_biserial=-1.2, **sizes)


def test_the_measure_says_what_it_lacks_and_what_it_does_not_know():
    with pytest.raises(MissingInputError, match="SMD lacks treatment_mean") as caught:
        mx.effect_sizes("SMD", treatment_n=[10], control_n=[10])
    assert "t, treatment_n, control_n" in str(caught.value)
    with pytest.raises(UnknownChoiceError, match="treatment_mean"):
        mx.effect_sizes("SMD", treatmnt_mean=[10])
    with pytest.raises(UnknownChoiceError, match="'LS2'"):
        mx.effect_sizes("SMD", variance="LS9", **GOOD)
    with pytest.raises(InputError, match="computed elsewhere"):
        mx.effect_sizes("GEN", treatment_n=[1])
    with pytest.raises(InputError, match="the text 'm1'"):
        mx.effect_sizes("SMD", treatment_mean="m1")
    frame = pd.DataFrame({"a": [1]})
    with pytest.raises(UnknownChoiceError, match="column 'm1'"):
        mx.effect_sizes("SMD", data=frame, treatment_mean="m1")
    with pytest.raises(ShapeError, match="data has 1 rows"):
        mx.effect_sizes("SMD", data=frame, **GOOD)


def test_the_order_of_rows_does_not_matter():
    backwards = {name: x[::-1] for name, x in GOOD.items()}
    one, two = mx.effect_sizes("SMD", **GOOD), mx.effect_sizes("SMD", **backwards)
    assert one.y.tolist() == two.y[::-1].tolist()
