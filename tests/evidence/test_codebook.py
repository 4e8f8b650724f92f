"""The codebook: one source of truth for columns, words and limits."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from metaexo.errors import UnknownWordError
from metaexo.evidence import check_sheets, load_codebook, read_sheets
from tests.evidence.folders import DATA, STUDIES, Write, write_sheet

PACKAGE = json.loads((DATA / "datapackage.json").read_text(encoding="utf-8"))
RESOURCES = {resource["name"]: resource for resource in PACKAGE["resources"]}


@pytest.mark.parametrize("name", RESOURCES)
def test_the_fields_are_the_columns_of_the_file(name: str) -> None:
    resource = RESOURCES[name]
    with (DATA / resource["path"]).open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    assert header == [field["name"] for field in resource["schema"]["fields"]]


@pytest.mark.parametrize("name", RESOURCES)
def test_every_field_is_explained(name: str) -> None:
    for field in RESOURCES[name]["schema"]["fields"]:
        assert field["type"] in ("string", "number", "integer")
        assert field["description"].endswith("."), field["name"]


def test_keys_and_links_are_those_of_frictionless() -> None:
    for resource in PACKAGE["resources"]:
        names = {field["name"] for field in resource["schema"]["fields"]}
        assert resource["schema"].get("primaryKey", resource["schema"]["fields"][0]["name"]) in names
        for link in resource["schema"].get("foreignKeys", ()):
            assert link["fields"] in names
            target = RESOURCES[link["reference"]["resource"]]
            assert link["reference"]["fields"] in {f["name"] for f in target["schema"]["fields"]}


def test_it_says_what_may_be_done_with_the_data() -> None:
    assert [licence["name"] for licence in PACKAGE["licenses"]] == ["CC-BY-4.0"]
    assert "cite the publication" in PACKAGE["licenseNote"]
    assert PACKAGE["sources"]


def test_patterns_are_regular_expressions_that_our_values_match() -> None:
    for plan in load_codebook(DATA).sheets.values():
        with (DATA / plan.file).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for column in plan.columns.values():
            if column.pattern:
                assert all(re.fullmatch(column.pattern, r[column.name]) for r in rows if r[column.name])


def test_a_folder_may_bring_a_vocabulary_of_its_own(write: Write) -> None:
    studies = [dict(STUDIES[0], source_category="sea_urchin"), STUDIES[1]]
    folder = write(studies=studies)
    check = check_sheets(folder)
    assert [problem.kind for problem in check.problems] == [UnknownWordError]
    (folder / "vocabulary").mkdir()
    write_sheet(
        folder / "vocabulary" / "source.csv",
        [
            {"category": "sea_urchin", "label": "Sea urchin", "group": "Animal", "synonyms": "urchin"},
            {"category": "platelet", "label": "Platelet", "group": "Blood", "synonyms": "platelet"},
        ],
    )
    sheets = read_sheets(folder)
    assert list(sheets.studies["source"]) == ["Sea urchin", "Platelet"]


def test_a_folder_whose_name_is_no_text_has_the_codebook_of_metaexo(tmp_path: Path) -> None:
    """Python gives bytes of a name that are no letters as surrogates."""
    assert load_codebook(tmp_path / "wounds \udcb5") == load_codebook()


def test_a_folder_may_bring_a_codebook_of_its_own(write: Write) -> None:
    folder = write(better="sideways")
    package = json.loads(json.dumps(PACKAGE))
    fields = next(r for r in package["resources"] if r["name"] == "outcomes")["schema"]["fields"]
    next(f for f in fields if f["name"] == "better")["constraints"]["enum"].append("sideways")
    (folder / "datapackage.json").write_text(json.dumps(package), encoding="utf-8")
    assert check_sheets(folder).ok
