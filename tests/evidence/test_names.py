"""Names of studies: author and year, or a short description; one per study, the same everywhere."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.evidence import Sheets, row_labels
from metaexo.evidence.names import study_names
from tests.evidence.folders import OUTCOMES, STUDIES, Write, write_sheet

BURN = {
    "study_id": "burn_ucmsc",
    "year": 2023,
    "domain": "preclinical",
    "model": "chemical burn (2 M NaOH), dorsal skin, Wistar",
    "indication": "wound",
    "source": "Umbilical cord MSC",
    "isolation": "Ultracentrifugation",
}


def named(*rows: dict[str, object]) -> list[str]:
    """Return the names of studies, of which the first has authors."""
    first = {"study_id": "li2020", "first_author": "Li X", "year": 2020}
    table = pd.DataFrame([first, *rows])
    return list(study_names([("study_id", table)]).values())[1:]


@pytest.mark.parametrize(
    ("author", "year", "name"),
    [
        ("Kwon HH", 2020, "Kwon 2020"),
        ("Mohseni Meybodi MA", 2024, "Mohseni Meybodi 2024"),
        ("Van Delen M", 2024.0, "Van Delen 2024"),
        ("Vrabec", np.nan, "Vrabec"),
        ("Wang H", np.inf, "Wang"),
    ],
)
def test_author_and_year(author: str, year: float, name: str) -> None:
    assert named({"study_id": "x", "first_author": author, "year": year}) == [name]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "Chemical burn, umbilical cord MSC, 2023"),
        ({"year": np.nan}, "Chemical burn, umbilical cord MSC"),
        ({"domain": "clinical"}, "Wound, umbilical cord MSC, 2023"),
        ({"model": "wound " * 9}, "Wound, umbilical cord MSC, 2023"),
        ({"model": "db/db wound"}, "db/db wound, umbilical cord MSC, 2023"),
        ({"model": np.nan, "indication": "gvhd"}, "Graft-versus-host disease, umbilical cord MSC, 2023"),
        ({"source": "MSC, tissue not named"}, "Chemical burn, MSC, 2023"),
        ({"source": "Other"}, "Chemical burn, 2023"),
        ({"source": "Other", "source_reported": "saliva; serum"}, "Chemical burn, saliva, 2023"),
        ({"source": "Not reported", "year": np.nan}, "Chemical burn, authors not seen"),
        ({"model": np.nan, "indication": "other"}, "Umbilical cord MSC, ultracentrifugation, 2023"),
        (
            {"model": np.nan, "indication": None, "source": None, "isolation": "Other method"},
            "Authors not seen, 2023",
        ),
        ({"study_id": "Burn of 2023"}, "Burn of 2023"),
        ({"study_id": "Burn2023"}, "Burn2023"),
    ],
)
def test_without_authors_a_study_is_described(changes: dict[str, object], name: str) -> None:
    assert named(BURN | changes) == [name]


def test_a_source_that_differs_between_the_rows_of_a_study_is_not_named() -> None:
    same, other = BURN, BURN | {"source": "Plant"}
    assert named(same, same) == ["Chemical burn, umbilical cord MSC, 2023"]
    assert named(same, other) == ["Chemical burn, 2023"]


def test_equal_names_get_letters() -> None:
    def keys(*found: str) -> list[str]:
        return named(*({"study_id": key, "first_author": "Hu J", "year": 2019} for key in found))

    assert keys("hu2019") == ["Hu 2019"]
    assert keys("hu2019", "hu_wound") == ["Hu 2019a", "Hu 2019b"]
    assert keys("hu2019b", "hu2019c", "hu_wound") == ["Hu 2019b", "Hu 2019c", "Hu 2019a"]
    assert keys("hu2019a", "old_hu2019a") == ["Hu 2019a", "Hu 2019b"]
    undated = BURN | {"year": np.nan}
    assert named(undated, undated | {"study_id": "burn_2"}) == [
        "Chemical burn, umbilical cord MSC (a)",
        "Chemical burn, umbilical cord MSC (b)",
    ]


def test_no_name_is_given_twice_however_many_are_equal() -> None:
    rows = [{"study_id": f"s{i}", "first_author": "Hu J", "year": 2019} for i in range(800)]
    taken = {"study_id": "Hu 2019c", "year": 2019}
    names = named(*rows, taken)
    assert len(set(names)) == len(names) == 801
    assert names[:4] == ["Hu 2019a", "Hu 2019b", "Hu 2019d", "Hu 2019e"]
    assert names[25:27] == ["Hu 2019aa", "Hu 2019ab"]
    assert names[-1] == "Hu 2019c"


def test_where_no_authors_are_given_the_keys_are_the_names(write: Write) -> None:
    studies = [{"study_id": study["study_id"], "source_category": "platelet"} for study in STUDIES]
    es = mx.read_sheets(write(studies=studies)).effects("SMD")
    assert es.labels == es.study == ("li2020", "cho2021")


def test_a_study_has_one_name_in_every_sheet(write: Write) -> None:
    folder = write()
    own = {
        "source_category": "plant",
        "size_statistic": "mean",
        "size_nm": 100,
        "size_sd": 9,
        "n_replicates": 3,
    }
    rows = [{"study_id": "cho2021"} | own, {"study_id": "li_b", "first_author": "Li Y", "year": 2020} | own]
    write_sheet(folder / "preparations.csv", rows)
    sheets = mx.read_sheets(folder)
    assert list(sheets.studies["study_name"]) == ["Li 2020a", "Cho 2021"]
    assert list(sheets.outcomes["study_name"]) == ["Li 2020a", "Cho 2021"]
    assert list(sheets.preparations["study_name"]) == ["Cho 2021", "Li 2020b"]
    assert sheets.effects("SMD").study == ("Li 2020a", "Cho 2021")
    assert sheets.effects("MN", sheet="preparations").study == ("Cho 2021", "Li 2020b")
    assert sheets.effects("SMD", where="study_name == 'Li 2020a'").study == ("Li 2020a",)


def test_ledgers_call_studies_by_their_names(write: Write) -> None:
    es = mx.read_sheets(write(treatment_sd="")).effects("SMD")
    assert [entry.study for entry in es.ledger.left_out] == ["Li 2020"]
    with_one_more = es.select([False], "not asked for")
    assert [entry.study for entry in with_one_more.ledger.left_out] == ["Li 2020", "Cho 2021"]


def test_the_column_is_reserved(write: Write) -> None:
    studies = [dict(study, study_name="mine") for study in STUDIES]
    folder = write(studies=studies)
    first = mx.check_sheets(folder).problems[0]
    assert (first.kind, first.column) == (errors.DuplicateColumnError, "study_name")
    assert '--map "study_name="' in first.remedy
    assert not mx.check_sheets(folder, columns={"study_name": ""}).problems


def test_labels_without_sheets_are_made_from_the_rows() -> None:
    rows = pd.DataFrame([OUTCOMES[0], dict(OUTCOMES[0], timepoint="day 14"), OUTCOMES[1]])
    authors = {"li2020": "Li X", "cho2021": "Li Y"}
    rows = rows.assign(first_author=rows["study_id"].map(authors), year=2020)
    found = row_labels(rows, "study_id", ["timepoint"])
    assert found == ["Li 2020a, day 7", "Li 2020a, day 14", "Li 2020b"]


def test_our_studies_have_names_and_no_keys(ours: Sheets) -> None:
    names: dict[str, str] = {}
    for table, key in (
        *((t, "study_id") for t in (ours.studies, ours.outcomes, ours.preparations, ours.safety_events)),
        (ours.published_meta_analyses, "review_id"),
    ):
        for study, name in zip(table[key], table["study_name"], strict=True):
            assert names.setdefault(study, name) == name
    assert len(set(names.values())) == len(names) > 340
    assert not set(names) & set(names.values())
    for name in names.values():
        assert not re.search(r"_|not_|[a-z]{3}\d{4}", name)
    assert names["kwon2020"] == "Kwon 2020"
    assert names["chemburn_hucmsc"] == "Alkaline chemical burn, umbilical cord MSC"
    assert names["poi_mscev2024"] == "Ovarian insufficiency, 2024"
