"""Counts of events: how they are read, refused, chosen and turned into effects."""

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import (
    EventsError,
    InputError,
    MissingInputError,
    RepeatedNumbersWarning,
    RowsLeftOutWarning,
    SampleSizeError,
    ShapeError,
    TimeError,
)

TABLE = pd.DataFrame(
    {
        "treatment_events": [0, 3, 0, 5],
        "treatment_n": [12, 40, 25, 30],
        "control_events": [0, 5, 1, 5],
        "control_n": [11, 42, 25, 5],
        "study": ["Li", "Cho", "Cho", "Kim"],
        "source": ["adipose", "adipose", "plant", "plant"],
    },
    index=[7, 8, 9, 10],
)


def test_columns_of_a_table_are_counts_by_arm():
    counts = mx.event_counts(TABLE)
    assert counts.events.tolist() == [[0, 0], [3, 5], [0, 1], [5, 5]]
    assert counts.totals.tolist() == [[12, 11], [40, 42], [25, 25], [30, 5]]
    assert (counts.k, counts.m, counts.arms, counts.person_time) == (4, 3, 2, False)
    assert counts.is_double_zero.tolist() == [True, False, False, False]
    assert counts.column("source").tolist() == ["adipose", "adipose", "plant", "plant"]
    assert list(counts.index) == [7, 8, 9, 10]


def test_events_in_everyone_say_nothing_on_a_ratio_but_person_time_has_no_everyone():
    whole = mx.event_counts(treatment_events=[4], treatment_n=[4], control_events=[6], control_n=[6])
    rates = mx.event_counts(treatment_events=[4], treatment_time=[4], control_events=[6], control_time=[6])
    assert whole.is_double_zero.tolist() == [True]
    assert rates.is_double_zero.tolist() == [False]


def test_an_empty_cell_is_no_zero():
    table = TABLE.assign(control_events=[0, 5, np.nan, 5])
    with pytest.warns(RowsLeftOutWarning, match=r"1 of 4 rows: row 3"):
        counts = mx.event_counts(table, labels="study")
    assert counts.k == 3
    assert counts.ledger.to_frame()[["line", "study", "item", "step"]].values.tolist() == [
        [3, "Cho", "Cho", "sheet"]
    ]
    assert counts.row_ids == ("input:1", "input:2", "input:4")
    with pytest.raises(InputError, match="an empty cell is no zero"):
        mx.event_counts(table, missing="raise")


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"treatment_events": [0, 3, 0.5, 5]}, EventsError, "row 3"),
        ({"treatment_events": [0, 41, 0, 5]}, EventsError, "row 2"),
        ({"treatment_events": [0, -1, 0, 5]}, EventsError, "row 2"),
        ({"treatment_n": [12, 40, 0, 30]}, SampleSizeError, "row 3"),
        ({"study": ["Li", "", "Cho", "Kim"]}, InputError, "row 2"),
    ],
)
def test_impossible_counts_are_refused_by_row(changes, error, words):
    with pytest.raises(error, match=words):
        mx.event_counts(TABLE.assign(**changes))


def test_what_is_given_together_must_fit():
    with pytest.raises(InputError, match="people and person-time are both given"):
        mx.event_counts(events=[1], n=[4], time=[8.0])
    with pytest.raises(InputError, match="given together"):
        mx.event_counts(events=[1], n=[4], treatment_events=[1])
    with pytest.raises(MissingInputError, match="control_n: not given"):
        mx.event_counts(treatment_events=[1], treatment_n=[4], control_events=[1])
    with pytest.raises(MissingInputError, match="treatment_events"):
        mx.event_counts()
    with pytest.raises(TimeError, match="row 1"):
        mx.event_counts(events=[1], time=[0.0])
    with pytest.raises(ShapeError):
        mx.effects.EventCounts([[1, 2, 3]], [[4, 4, 4]])
    with pytest.raises(InputError, match="one arm"):
        mx.event_counts(events=[1], n=[4]).arm("control")


def test_messages_say_what_is_wrong():
    with pytest.raises(EventsError, match="no count is below 0"):
        mx.event_counts(events=[-1, 2], n=[4, 4])
    with pytest.raises(InputError, match=r"several inputs cannot be read.*events has shape \(1, 2\)"):
        mx.event_counts(events=[[1, 2]], n=[[4, 4]])
    with pytest.raises(MissingInputError, match=r"events=treatment_events, n=treatment_n"):
        mx.event_counts(treatment_events=[1], treatment_n=[4])
    with pytest.raises(MissingInputError, match=r"events=control_events, time=control_time"):
        mx.event_counts(control_events=[1], control_time=[4.0])
    with pytest.raises(InputError, match="leave out events for two arms, or treatment_events for one"):
        mx.event_counts(treatment_events=[1], events=[1])
    with pytest.raises(ShapeError, match="labels has 1 entry for 2 rows"):
        mx.event_counts(events=[1, 2], n=[4, 4], labels=["Li"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"events": [0, 3, 4], "n": [9, 9, 4]},
            "1 of 3 rows without event; 1 of 3 rows with events in everyone",
        ),
        ({"events": [1, 3], "n": [9, 9]}, "events in every row"),
        ({"events": [9, 9], "time": [9, 9]}, "events in every row"),
        (
            {
                "treatment_events": [4, 0, 2],
                "treatment_n": [4, 5, 6],
                "control_events": [5, 5, 1],
                "control_n": [5, 5, 6],
            },
            "1 of 3 rows without event in an arm, 0 without event in either; "
            "2 of 3 rows with events in everyone of an arm, 1 in everyone of both",
        ),
    ],
)
def test_zeros_and_events_in_everyone_are_said(arguments, words):
    assert mx.event_counts(**arguments).zeros_in_words() == words


@pytest.mark.parametrize("by", ["labels", "study"])
def test_a_study_that_was_entered_twice_is_told(by):
    names = ["Li", "Cho", "Li", "Li"]
    with pytest.warns(RepeatedNumbersWarning, match=rf"the same {by.rstrip('s')} .*row 1 .*and row 3 \(Li\)"):
        mx.event_counts(events=[0, 1, 0, 2], n=[9, 9, 9, 9], **{by: names})
    mx.event_counts(events=[0, 1, 1, 2], n=[9, 9, 9, 9], **{by: names})  # other counts
    mx.event_counts(events=[0, 0], n=[9, 9])  # nobody says that it is one study
    mx.event_counts(events=[0, 0], n=[9, 9], study=["Li", "Li"], labels=["low dose", "high dose"])


def test_effects_of_counts_are_those_of_effect_sizes():
    counts = mx.event_counts(TABLE)
    plain = mx.effect_sizes("RR", data=TABLE)
    found = counts.effect_sizes("RR")
    np.testing.assert_array_equal(found.y, plain.y)
    np.testing.assert_array_equal(found.v, plain.v)
    assert found.study == plain.study
    none = mx.effects.ZeroCells(0.0, "none")
    with pytest.warns(RowsLeftOutWarning, match="input line|row 1"):
        uncorrected = counts.effect_sizes("OR", none)
    assert uncorrected.k == 1
    one = counts.arm("treatment").effect_sizes("PFT")
    np.testing.assert_array_equal(
        one.y, mx.effect_sizes("PFT", events=TABLE["treatment_events"], n=TABLE["treatment_n"]).y
    )


def test_a_study_without_estimate_keeps_its_place_and_models_of_effects_refuse_it():
    estimates = mx.event_counts(TABLE).study_estimates("PETO")
    assert estimates.k == 4
    assert np.isnan(estimates.y).tolist() == [True, False, False, False]
    with pytest.raises(InputError, match="without an effect"):
        mx.RandomEffects(estimates)
    with pytest.raises(InputError, match=r"counts\.effect_sizes"):
        mx.RandomEffects(mx.event_counts(TABLE))


def test_rows_that_are_chosen_take_their_ledger_along():
    counts = mx.event_counts(TABLE).select([1, 2, 3], "no event")
    assert counts.row_ids == ("input:2", "input:3", "input:4")
    with pytest.warns(RowsLeftOutWarning):
        effects = counts.effect_sizes("OR", mx.effects.ZeroCells(0.0, "none"))
    assert [entry.step for entry in effects.ledger.left_out] == ["selection", "effect", "effect"]
    repeated = counts._taken(np.array([0, 0, 2]), ["a", "b", "c"])
    assert repeated.study == ("Cho (a)", "Cho (b)", "Kim (c)")
    assert repeated.events.tolist() == [[3, 5], [3, 5], [5, 5]]


def test_counts_cannot_be_changed():
    counts = mx.event_counts(TABLE)
    with pytest.raises(ValueError, match="read-only"):
        counts.events[0, 0] = 4
    data = counts.data
    data.loc[7, "source"] = "milk"
    assert counts.column("source").iloc[0] == "adipose"
