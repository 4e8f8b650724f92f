"""The example data sets."""

from __future__ import annotations

import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import UnknownChoiceError

NAMES = list(mx.datasets.datasets()["name"])


def test_there_are_six() -> None:
    assert len(NAMES) == 6
    assert NAMES[0] == "bcg"


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_citation_and_a_meaning_for_every_column(name: str) -> None:
    frame = mx.load_dataset(name)
    assert frame.attrs["name"] == name
    assert frame.attrs["doi"].startswith("10.")
    assert frame.attrs["citation"]
    assert list(frame.attrs["columns"]) == list(frame.columns)
    assert all(frame.attrs["columns"].values())
    assert frame.notna().all().all()


@pytest.mark.parametrize("name", NAMES)
def test_each_gives_effects_in_its_usual_measure(name: str) -> None:
    frame = mx.load_dataset(name)
    if "y" in frame:
        es = mx.EffectSizes(frame["y"], frame["v"], frame.attrs["measure"])
    else:
        es = mx.effect_sizes(frame.attrs["measure"], data=frame)
    assert es.k == len(frame)
    assert (es.v > 0).all()


def test_a_copy_is_handed_out() -> None:
    frame = mx.load_dataset("bcg")
    frame["latitude"] = 0
    assert mx.load_dataset("bcg")["latitude"].max() == 55


def test_bcg_gives_the_risk_ratios_of_the_paper() -> None:
    frame = mx.load_dataset("bcg")
    es = mx.effect_sizes("RR", data=frame)
    risk = frame["treatment_events"] / frame["treatment_n"]
    control = frame["control_events"] / frame["control_n"]
    assert es.y == pytest.approx(np.log(risk / control), abs=1e-12)
    assert frame[["treatment_n", "control_n"]].to_numpy().sum() == 357347


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownChoiceError, match="'bcg'"):
        mx.load_dataset("bgc")
