"""Safety reports: who takes part in a share, who never does, and what the share is of."""

from __future__ import annotations

import pandas as pd
import pytest

from metaexo.errors import UnknownChoiceError
from metaexo.evidence.descriptions.safety import HARMED, SCOPES, choose_reports, chosen_for_harm, event_shares

ROW = {
    "line": 2,
    "study_id": "li2020",
    "design": "single_arm",
    "n_treated": 20,
    "n_control": None,
    "paired": None,
    "ae_patients_treated": 1,
    "ae_patients_control": None,
    "sae_patients_treated": None,
    "sae_patients_control": None,
    "deaths_treated": 0,
    "ae_scope": "all",
    "use": "main",
    "caution": None,
}


def sheet(*changes):
    rows = [{**ROW, "line": i + 2, **change} for i, change in enumerate(changes)]
    return pd.DataFrame(rows).astype({"n_control": float, "ae_patients_control": float})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"design": "ae_case_series"}, HARMED),
        ({"design": "ae_case_report"}, HARMED),
        (
            {"ae_patients_treated": None},
            "no count of people with adverse events: an empty cell is not a zero",
        ),
        ({"n_treated": None}, "the number of people treated is not known"),
        ({"use": "apart", "caution": "cells before"}, "set apart: cells before"),
    ],
)
def test_what_takes_no_part_has_its_reason(change, reason):
    reports = sheet({}, change, {"use": "doubtful"})
    ledger = choose_reports(reports, "adverse events")
    assert ledger.used == (2, 4)
    assert [(entry.line, entry.reason) for entry in ledger.left_out] == [(3, reason)]
    assert event_shares(reports, "adverse events")["line"].tolist() == [2, 4]


def test_harm_comes_before_every_other_reason():
    reports = sheet({"design": "ae_case_series", "n_treated": None, "ae_patients_treated": None})
    assert chosen_for_harm(reports).all()
    assert choose_reports(reports, "deaths").left_out[0].reason == HARMED


def test_the_arms_stand_apart_and_split_bodies_are_marked():
    two = {"n_control": 20, "ae_patients_control": 3}
    found = event_shares(sheet({**two, "paired": "yes"}, two | {"paired": "no"}), "adverse events")
    assert found["arm"].tolist() == ["treated", "treated", "control", "control"]
    assert found["people"].tolist() == [1, 1, 3, 3]
    assert found["same_people"].tolist() == [True, False, True, False]
    assert found["share"].tolist() == [0.05, 0.05, 0.15, 0.15]


def test_the_scope_says_what_a_count_of_adverse_events_covers():
    found = event_shares(sheet(*({"ae_scope": scope} for scope in SCOPES)), "adverse events")
    assert found["counted"].tolist() == list(SCOPES.values())
    assert set(event_shares(sheet({"ae_scope": "kind"}), "deaths")["counted"]) == {"deaths"}


def test_a_higher_level_is_wider():
    narrow, wide = (event_shares(sheet({}), "adverse events", level) for level in (0.9, 0.99))
    assert wide["low"][0] < narrow["low"][0] < 0.05 < narrow["high"][0] < wide["high"][0]


def test_an_unknown_kind_of_event_is_refused():
    with pytest.raises(UnknownChoiceError, match="deaths"):
        choose_reports(sheet({}), "death")
