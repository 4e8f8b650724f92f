"""From the sheet of safety to counts: who takes part, who never does, what the counts cover, person-time."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import (
    AssumptionWarning,
    EventsError,
    InputError,
    MixedDefinitionsWarning,
    RowsLeftOutWarning,
    TooFewStudiesError,
    UnknownChoiceError,
)
from metaexo.evidence.problems import SheetErrors
from metaexo.evidence.to_counts import HARMED, ONE_ARM, SAME_PEOPLE, SCOPES, chosen_for_harm
from tests.evidence.folders import write_sheet

ROW = {
    "study_id": "li2020",
    "first_author": "Li X",
    "year": 2020,
    "design": "single_arm",
    "route": "topical",
    "n_treated": 20,
    "n_control": "",
    "paired": "",
    "ae_patients_treated": 1,
    "ae_patients_control": "",
    "sae_patients_treated": "",
    "deaths_treated": 0,
    "ae_scope": "all",
    "follow_up_weeks": 12,
    "use": "main",
    "caution": "",
}
TWO = {"n_control": 20, "ae_patients_control": 3, "paired": "no", "design": "rct_parallel"}


@pytest.fixture
def sheets(write):
    """Return a function that reads a folder whose sheet of safety has one row per change."""

    def read(*changes):
        folder = write()
        rows = [
            {**ROW, "study_id": f"study{i}", "year": 2000 + i, **change} for i, change in enumerate(changes)
        ]
        write_sheet(folder / "safety_events.csv", rows)
        return mx.read_sheets(folder)

    return read


def reasons(counts):
    return {entry.line: entry.reason for entry in counts.ledger.left_out}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"design": "ae_case_series"}, HARMED),
        ({"design": "ae_case_report"}, HARMED),
        ({"ae_patients_treated": ""}, "no count of people with adverse events: an empty cell is not a zero"),
        ({"use": "apart", "caution": "cells before"}, "set apart: cells before"),
        ({"ae_scope": "related"}, "counts only events called related, not any adverse event"),
        (
            {"ae_scope": ""},
            "what the count covers is not stated (ae_scope), and any adverse event is asked for",
        ),
    ],
)
def test_what_is_not_meant_has_its_reason(sheets, change, reason):
    counts = sheets({}, change, {"use": "doubtful", "caution": "odd"}).event_counts("adverse events")
    assert counts.ledger.used == (2, 4)
    assert reasons(counts) == {3: reason}
    assert counts.events.tolist() == [[1], [1]]
    assert counts.column("use").tolist() == ["main", "doubtful"]


def test_a_count_without_the_number_treated_is_left_out_with_a_warning(sheets):
    with pytest.warns(RowsLeftOutWarning, match="1 of 2 rows .* the number of people treated is not known"):
        counts = sheets({}, {"n_treated": ""}).event_counts()
    assert (counts.k, reasons(counts)) == (1, {3: "the number of people treated is not known"})


def test_harm_comes_before_every_other_reason(sheets):
    harmed = {"design": "ae_case_series", "n_treated": "", "deaths_treated": ""}
    read = sheets(harmed, {})
    assert chosen_for_harm(read.safety_events).tolist() == [True, False]
    assert reasons(read.event_counts("deaths"))[2] == HARMED


def test_a_zero_is_a_count_and_an_empty_cell_is_none(sheets):
    counts = sheets({"sae_patients_treated": 0}, {}).event_counts("serious adverse events")
    assert (counts.events.tolist(), counts.totals.tolist()) == ([[0]], [[20]])
    assert counts.column("counted").tolist() == ["serious adverse events"]


def test_two_arms_need_different_people_and_both_counts(sheets):
    read = sheets(
        TWO, {**TWO, "paired": "yes", "design": "rct_split_body"}, {}, {**TWO, "ae_patients_control": ""}
    )
    with pytest.warns(RowsLeftOutWarning, match="the same people"):
        counts = read.event_counts(arms=2)
    assert (counts.arms, counts.events.tolist(), counts.totals.tolist()) == (2, [[1, 3]], [[20, 20]])
    assert reasons(counts) == {3: SAME_PEOPLE, 4: ONE_ARM, 5: ONE_ARM}
    assert read.event_counts().k == 4


def test_the_same_people_can_be_kept_for_drawing_and_are_marked(sheets):
    split = {**TWO, "paired": "", "design": "rct_split_body"}
    counts = sheets(TWO, split).event_counts(arms=2, keep_paired=True)
    assert counts.column("same_people").tolist() == [False, True]


def test_different_people_are_assumed_aloud_where_nothing_says_so(sheets):
    with pytest.warns(AssumptionWarning, match="different people in both arms of 1 row"):
        counts = sheets(TWO, {**TWO, "paired": "", "design": "case_series"}).event_counts(arms=2)
    assert counts.k == 2


def test_scopes_are_pooled_only_by_name_and_with_a_warning(sheets):
    read = sheets(*({"ae_scope": scope} for scope in SCOPES))
    for scope, words in SCOPES.items():
        assert read.event_counts(scope=scope).column("counted").tolist() == [words]
    with pytest.warns(
        MixedDefinitionsWarning, match=r"any adverse event \(1 row\).*called related \(1 row\)"
    ):
        counts = read.event_counts(scope=["all", "related"])
    assert counts.column("counted").tolist() == [SCOPES["all"], SCOPES["related"]]
    assert read.event_counts("deaths").k == len(SCOPES)


def test_person_time_is_people_times_weeks_in_years(sheets):
    read = sheets(
        {}, {"follow_up_weeks": ""}, {"follow_up_weeks": 0}, {"follow_up_weeks": 52.5, "n_treated": 7}
    )
    with pytest.warns(RowsLeftOutWarning, match="length of follow-up is not known"):
        counts = read.event_counts(person_time=True)
    assert counts.person_time
    np.testing.assert_allclose(counts.totals[:, 0], [20 * 12 * 7 / 365.25, 7 * 52.5 * 7 / 365.25], rtol=1e-14)
    assert reasons(counts)[4] == "followed for 0 weeks by the sheet: no person-time"


def test_both_arms_have_the_person_time_of_the_study(sheets):
    counts = sheets({**TWO, "n_control": 40}).event_counts(arms=2, person_time=True)
    assert counts.totals[0, 1] == pytest.approx(2 * counts.totals[0, 0], rel=1e-14)


def test_a_least_follow_up_leaves_out_the_shorter_and_the_unknown(sheets):
    read = sheets({}, {"follow_up_weeks": 26}, {"follow_up_weeks": ""})
    with pytest.warns(RowsLeftOutWarning, match="length of follow-up is not known"):
        counts = read.event_counts(min_follow_up=26)
    assert counts.column("follow_up_weeks").tolist() == [26]
    assert reasons(counts)[2] == "followed for less than 26 weeks"
    assert read.event_counts(where="follow_up_weeks >= 12", min_follow_up=12).k == 2


def test_a_condition_chooses_and_the_ledger_holds_every_row(sheets):
    counts = sheets({}, {"route": "inhaled"}, {"use": "doubtful", "caution": "odd"}).event_counts(
        where="route == 'topical' and use == 'main'"
    )
    assert (counts.k, counts.ledger.total) == (1, 3)
    assert counts.labels == ("Li 2000",)


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"kind": "death"}, UnknownChoiceError, "deaths"),
        ({"scope": "every"}, UnknownChoiceError, "scope"),
        ({"scope": []}, InputError, "one at least of all, related"),
        ({"kind": "deaths", "scope": "all"}, InputError, "leave scope out"),
        ({"arms": 3}, InputError, "with their controls"),
        ({"arms": True}, InputError, "arms"),
        ({"min_follow_up": -1}, InputError, "above 0"),
        ({"person_time": "yes"}, InputError, "person_time"),
        ({"keep_paired": 1}, InputError, "keep_paired"),
        ({"where": "colour == 'red'"}, InputError, "colour"),
        ({"arms": 2}, TooFewStudiesError, "1 row: no control arm"),
        ({"scope": "kind"}, TooFewStudiesError, "1 row: counts any adverse event"),
        ({"where": "n_treated > 30"}, TooFewStudiesError, "not selected"),
    ],
)
def test_what_cannot_be_counted_is_refused_with_the_reason(sheets, wrong, error, words):
    with pytest.raises(error, match=words):
        sheets({}).event_counts(**wrong)


def test_a_folder_without_the_sheet_is_told(write):
    with pytest.raises(TooFewStudiesError, match=r"safety_events\.csv"):
        mx.read_sheets(write()).event_counts()


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("serious adverse events", "sae_patients_treated"),
        ("related serious adverse events", "sae_related_treated"),
        ("deaths", "deaths_treated"),
    ],
)
@pytest.mark.filterwarnings("ignore::metaexo.errors.RowsLeftOutWarning")
def test_our_counts_are_those_of_the_file(ours, root, kind, column):
    counts = ours.event_counts(kind)
    with (root / "data" / "safety_events.csv").open(encoding="utf-8", newline="") as file:
        wanted = [
            (line, int(row[column]), int(row["n_treated"]))
            for line, row in enumerate(csv.DictReader(file), start=2)
            if row[column]
            and row["n_treated"]
            and row["use"] != "apart"
            and not row["design"].startswith("ae_")
        ]
    found = zip(counts.ledger.used, counts.events[:, 0], counts.totals[:, 0], strict=True)
    assert [tuple(map(int, row)) for row in found] == wanted
    assert counts.ledger.total == 63


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ae_patients_treated": 1, "sae_patients_treated": 2}, "more people than in ae_patients_treated"),
        ({"sae_patients_treated": 0, "sae_related_treated": 1}, "more people than in sae_patients_treated"),
        ({"ae_patients_treated": 21}, "more events than members of the group"),
    ],
)
def test_counts_that_cannot_be_are_refused_with_their_line(sheets, change, words):
    with pytest.raises(SheetErrors) as caught:
        sheets({}, change)
    (problem,) = caught.value.problems
    assert (problem.kind, problem.line) == (EventsError, 3)
    assert words in problem.what


def test_serious_events_may_outnumber_a_narrower_count(sheets):
    read = sheets({"ae_scope": "window", "ae_patients_treated": 0, "sae_patients_treated": 2})
    assert read.event_counts("serious adverse events").events.tolist() == [[2]]


def test_the_counts_in_the_readme_are_those_of_the_sheet(ours, root):
    readme = " ".join((root / "data" / "README.md").read_text(encoding="utf-8").split())
    whole = ours.event_counts()
    firm = ours.event_counts(where="use == 'main'")
    serious = ours.event_counts("serious adverse events", where="n_treated > 0")
    main = ours.event_counts("serious adverse events", where="n_treated > 0 and use == 'main'")
    sums = [(c.k, int(c.events.sum()), int(c.totals.sum())) for c in (whole, firm, serious, main)]
    (k, x, n), (k1, x1, n1), (k2, _, n2), (k3, _, n3) = sums
    assert f"{k} studies with {x} events among {n} people, {k1} with {x1} among {n1} without" in readme
    assert f"counted in {k2} studies with {n2} people ({k3} with {n3})" in readme


def test_counts_are_split_by_a_column_with_every_other_row_in_the_ledger(sheets):
    counts = sheets({}, {"route": "inhaled"}, {"route": "inhaled"}).event_counts()
    parts = mx.split(counts, "route")
    assert {key: part.k for key, part in parts.items()} == {("inhaled",): 2, ("topical",): 1}
    assert {entry.reason for entry in parts["topical",].ledger.left_out} == {"not topical"}
    assert all(part.ledger.total == 3 for part in parts.values())


def test_a_folder_without_the_sheet_is_told_to_hold_it(sheets, tmp_path):
    sheets({})
    (file,) = tmp_path.rglob("safety_events.csv")
    file.unlink()
    with pytest.raises(TooFewStudiesError, match=r"safety_events\.csv is not in the folder"):
        mx.read_sheets(file.parent).event_counts()
