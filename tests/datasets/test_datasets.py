"""The example data sets."""

from __future__ import annotations

import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import RowsLeftOutWarning, UnknownChoiceError

NAMES = list(mx.datasets.datasets()["name"])


def test_there_are_nine() -> None:
    assert len(NAMES) == 9
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
    without = 4 if name == "rosiglitazone" else 0  # Peto's odds ratio of no event
    if "y" in frame:
        es = mx.EffectSizes(frame["y"], frame["v"], frame.attrs["measure"])
    elif without:
        with pytest.warns(RowsLeftOutWarning, match="4 of 42 rows"):
            es = mx.effect_sizes(frame.attrs["measure"], data=frame)
    else:
        es = mx.effect_sizes(frame.attrs["measure"], data=frame)
    assert es.k == len(frame) - without
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


def test_rosiglitazone_gives_the_odds_ratios_of_the_paper() -> None:
    frame = mx.load_dataset("rosiglitazone")
    # Nissen and Wolski 2007: infarctions 1.43 (1.03 to 1.98), p = 0.03; deaths 1.64 (0.98 to 2.74), p = 0.06
    published = {"events": (86, 72, 1.43, 1.03, 1.98, 0.03), "deaths": (39, 22, 1.64, 0.98, 2.74, 0.06)}
    for column, (treated, control, *ratio, p) in published.items():
        counts = mx.event_counts(
            frame,
            treatment_events=f"treatment_{column}",
            treatment_n="treatment_n",
            control_events=f"control_{column}",
            control_n="control_n",
        )
        assert counts.events.sum(axis=0).tolist() == [treated, control]
        fit = mx.Peto(counts).fit()
        found = fit.predict(scale="measure")[["estimate", "low", "high"]].iloc[0]
        assert found.round(2).tolist() == ratio
        assert round(fit.pvalues.iloc[0], 2) == p


def test_catheter_infections_give_the_odds_ratio_of_the_conditional_model() -> None:
    counts = mx.event_counts(mx.load_dataset("catheter_infections"))
    assert (counts.k, int(counts.is_zero.sum())) == (18, 1)
    fit = mx.CountGLMM(counts, model="conditional-exact").fit()
    # exact likelihood after Stijnen, Hamza and Ozdemir 2010 (doi:10.1002/sim.4040), by metafor
    assert (round(fit.estimate, 3), round(fit.se[0], 3), round(fit.tau2, 2)) == (-1.353, 0.351, 0.69)


def test_warfarin_is_of_person_time() -> None:
    counts = mx.event_counts(mx.load_dataset("warfarin"))
    assert counts.person_time
    assert counts.events.sum(axis=0).tolist() == [53, 133]
    # Hart and others 1999: strokes are reduced by 62% (48% to 72%)
    low, high = (100 * (1 - np.exp(x[0])) for x in reversed(mx.MantelHaenszel(counts).fit().bounds()))
    assert abs(low - 48) < 4
    assert abs(high - 72) < 4


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownChoiceError, match="'bcg'"):
        mx.load_dataset("bgc")
