"""A table of one's own as the package reads it: sheets, effects, cells, what is found, and the copy."""

from __future__ import annotations

import csv
import pickle
import time
import warnings
from pathlib import Path

import openpyxl
import pytest

import metaexo as mx
from metaexo.errors import InputError, SheetWarning
from metaexo.evidence import SheetErrors, Sheets
from tests.evidence.tables.making import HEADINGS, LI, WU, text, workbook

NAMES = ("Study", "EV source", "Isolation", "Outcome", "Better", *HEADINGS[1:], "Lab")
ROWS = (
    NAMES,
    ("Li 2020", "ADSC", "UC", "scar width", "lower", *LI[1:], "A"),
    ("Li 2020", "BMSC", "UC", "scar width", "lower", *WU[1:], "A"),
    ("Wu 2021", "platelets", "SEC", "Wound closure", "higher", 4.0, 1.0, 12, 3.0, 1.0, 12, "@lab"),
)


@pytest.fixture
def sheets(tmp_path: Path) -> Sheets:
    return mx.read_table(workbook(tmp_path / "mine.xlsx", ROWS))


def test_source_and_isolation_are_those_of_the_row(sheets: Sheets) -> None:
    effects = sheets.effects("SMD")
    assert list(effects.data["source"]) == ["Adipose MSC", "Bone marrow MSC", "Platelet"]
    assert list(effects.data["isolation"]) == ["Ultracentrifugation"] * 2 + ["Size exclusion"]
    assert list(effects.data["isolation_step"]) == ["Ultracentrifugation"] * 2 + ["Size exclusion"]
    assert list(effects.study) == ["Li 2020", "Li 2020", "Wu 2021"]
    assert effects.oriented
    assert (effects.y[:2] < 0).all()
    assert effects.y[2] > 0


def test_effects_are_those_of_the_numbers(sheets: Sheets) -> None:
    arms = [row[5:11] for row in ROWS[1:]]
    direct = mx.effect_sizes(
        "SMD",
        **{
            f"{arm}_{name}": [row[i] for row in arms]
            for i, (arm, name) in enumerate(
                (arm, name) for arm in ("treatment", "control") for name in ("mean", "sd", "n")
            )
        },
    )
    found = sheets.effects("SMD", orient=False)
    assert found.y == pytest.approx(direct.y, rel=1e-12)
    assert found.v == pytest.approx(direct.v, rel=1e-12)


def test_the_studies_of_a_table(sheets: Sheets) -> None:
    studies = sheets.studies.set_index("study_id")
    assert list(studies.index) == ["Li 2020", "Wu 2021"]
    assert studies.loc["Li 2020", "source_reported"] == "ADSC; BMSC"
    assert studies.loc["Li 2020", "source_category"] == "not_reported"
    assert studies.loc["Wu 2021", "isolation"] == "Size exclusion"
    assert any("source_reported differs between the rows of Li 2020" in note for note in sheets.reading.notes)


def test_every_value_leads_to_its_cell(sheets: Sheets) -> None:
    reading = sheets.reading
    assert reading.sheet == "Data"
    assert reading.cell(4, "treatment_sd") == "Data!G4"
    assert reading.heading("treatment_sd") == "Exosome SD"
    assert reading.text(4, "treatment_sd") == "1"
    assert reading.cell(4, "contrast") == "Data, row 4"
    assert reading.text(4, "contrast") == ""
    assert reading.cell(4, "Lab") == "Data!L4"
    assert pickle.loads(pickle.dumps(sheets)).reading == reading


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "folder"
    place.mkdir()
    text(place / "studies.csv", [("study_id",), ("li",)])
    names = ("study_id", "outcome", "better", "contrast", "treatment_mean")
    text(place / "outcomes.csv", [names, ("li", "scar_width", "lower", "single_arm", 5.25)])
    return place


def test_values_of_a_folder_lead_to_their_line(folder: Path, tmp_path: Path) -> None:
    sheets = mx.read_sheets(folder)
    assert sheets.reading.cell(2, "treatment_mean") == "outcomes.csv line 2, treatment_mean"
    assert sheets.reading.text(2, "treatment_mean") == "5.25"
    with pytest.raises(InputError, match="folder"):
        sheets.write_corrected(tmp_path / "x.csv")
    with pytest.raises(InputError, match="folder"):
        mx.check_sheets(folder, columns={"a": "note"})


def test_a_table_without_a_direction_of_benefit_is_not_turned(tmp_path: Path) -> None:
    without = [[cell for i, cell in enumerate(row) if i != 4] for row in ROWS]
    sheets = mx.read_sheets(workbook(tmp_path / "t.xlsx", without))
    effects = sheets.effects("SMD")
    assert not effects.oriented
    assert (effects.y > 0).all()
    assert any("effects are not turned" in note for note in sheets.reading.notes)
    some = [*ROWS[:3], [cell if i != 4 else None for i, cell in enumerate(ROWS[3])]]
    mixed = mx.read_table(workbook(tmp_path / "some.xlsx", some)).effects("SMD")
    assert mixed.k == 2
    assert "direction" in mixed.ledger.left_out[0].reason


def test_what_is_wrong_is_said_with_the_cell_the_heading_and_the_words(tmp_path: Path) -> None:
    rows = [*ROWS[:3], ("Wu 2021", "BMSC", "SEC", "scar width", "sideways", 4, -1, 12.5, 3, 1, 12, "B")]
    path = workbook(
        tmp_path / "t.xlsx",
        [(*row, species) for row, species in zip(rows, ("Species", "Mouse", "mouse", "Newt"), strict=True)],
    )
    check = mx.check_sheets(path)
    places = {problem.cells[0]: problem for problem in check.problems}
    assert sorted(places) == ["Data!E4", "Data!G4", "Data!H4", "Data!M4"]
    assert "higher, lower, none" in str(places["Data!E4"])
    assert "column 'Exosome SD' (treatment_sd)" in str(places["Data!G4"])
    assert '--map "Species="' in places["Data!M4"].remedy
    assert check.warnings == ()
    with pytest.raises(SheetErrors) as caught:
        mx.read_table(path)
    assert "Data!G4" in str(caught.value)
    frame = check.to_frame()
    assert set(frame["line"]) == {4}


def test_the_same_in_several_rows_is_one_finding_with_all_cells(tmp_path: Path) -> None:
    rows = [NAMES, *[(f"S{i}", "unicorn", *row[2:]) for i, row in enumerate(ROWS[1:])]]
    (finding,) = [
        f
        for f in mx.check_sheets(workbook(tmp_path / "t.xlsx", rows)).warnings
        if f.column == "source_reported"
    ]
    assert finding.cells == ("Data!B2", "Data!B3", "Data!B4")
    assert finding.place == "t.xlsx Data!B2, Data!B3, Data!B4"
    with pytest.warns(SheetWarning, match="Data!B2, Data!B3"):
        mx.read_table(tmp_path / "t.xlsx")


def test_what_to_do_next_repeats_what_was_said_of_the_file(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", ROWS)
    check = mx.check_sheets(path, columns={"Lab": "note", "Exosome n": "treatment_n"}, sheet="Data")
    said = '--map "Lab=note" --map "Exosome n=treatment_n" --sheet "Data"'
    assert f"Next: metaexo report {path} {said} --measure" in check.report(width=200)


def test_folders_files_and_what_is_neither(tmp_path: Path) -> None:
    path = text(tmp_path / "mine.csv", ROWS)
    assert mx.read_sheets(path).outcomes.equals(mx.read_table(str(path)).outcomes)
    with pytest.raises(InputError, match=r"mine\.csv"):
        mx.read_table(tmp_path)
    (problem,) = mx.check_sheets(tmp_path / "none.xlsx").problems
    assert "there is no folder or file" in problem.what
    found = mx.check_sheets(tmp_path).problems
    assert all("mine.csv" in problem.remedy for problem in found)
    (tmp_path / "old.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    assert "xlsx" in mx.check_sheets(tmp_path / "old.xls").problems[0].remedy


@pytest.mark.parametrize("name", ["copy.xlsx", "copy.csv"])
def test_a_corrected_copy_is_read_as_the_same_table(sheets: Sheets, tmp_path: Path, name: str) -> None:
    before = (tmp_path / "mine.xlsx").read_bytes()
    path = sheets.write_corrected(tmp_path / name)
    again = mx.read_table(path)
    assert again.effects("SMD").y.tolist() == sheets.effects("SMD").y.tolist()
    assert list(again.outcomes["Lab"]) == ["A", "A", "@lab"]
    if name.endswith("csv"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            cells = list(csv.reader(file))
    else:
        cells = [[cell.value for cell in row] for row in openpyxl.load_workbook(path).active.iter_rows()]
    assert cells[0][:6] == [
        "study_id",
        "source_reported",
        "isolation_reported",
        "outcome",
        "better",
        "treatment_mean",
    ]
    assert "'@lab" in cells[3]
    assert (tmp_path / "mine.xlsx").read_bytes() == before
    with pytest.raises(InputError, match="there already"):
        sheets.write_corrected(path)


def test_a_copy_is_never_the_file_that_was_read(sheets: Sheets, tmp_path: Path) -> None:
    for wrong in (tmp_path / "mine.xlsx", tmp_path / "x.txt", tmp_path / "no" / "x.csv", "", 3):
        with pytest.raises(InputError):
            sheets.write_corrected(wrong)  # type: ignore[arg-type]


def test_a_file_is_read_anew_when_it_or_the_question_changes(tmp_path: Path) -> None:
    path = text(tmp_path / "t.csv", ROWS)
    first = mx.read_table(path)
    assert mx.read_table(path, columns={"Lab": "note"}).outcomes["note"].tolist() == ["A", "A", "@lab"]
    text(path, ROWS[:-1])
    assert len(mx.read_table(path).outcomes) == 2
    assert len(first.outcomes) == 3


def test_two_hundred_rows_take_little_time(tmp_path: Path) -> None:
    rows = [NAMES, *((f"S{i}", *ROWS[1 + i % 3][1:5], i / 7, 1.5, 9, i / 9, 1.25, 8, "") for i in range(200))]
    path = workbook(tmp_path / "t.xlsx", rows)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SheetWarning)
        assert len(mx.read_table(path).outcomes) == 200
    assert time.process_time() - start < 2


def test_texts_of_strangers_stay_texts(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    rows = [NAMES, (hostile, "=HYPERLINK(1)", "${x}", "../../etc", "lower", *LI[1:], "\x1b[31m")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SheetWarning)
        sheets = mx.read_table(text(tmp_path / "t.csv", rows))
    assert sheets.outcomes["study_id"][0] == hostile
    assert sheets.outcomes["source_reported"][0] == "=HYPERLINK(1)"
    assert "\x1b" not in sheets.write_corrected(tmp_path / "c.csv").read_text("utf-8")
