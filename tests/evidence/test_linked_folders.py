"""Two linked sheets are read in every form a single table is read in: as files, or as worksheets."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest
from click.testing import CliRunner

import metaexo as mx
from metaexo.cli import main
from metaexo.report.collected import digest_of_data
from tests.evidence.tables.making import text, workbook

STUDIES = (
    ("Study", "Author", "Year", "EV source", "Isolation method", "Journal"),
    ("Müller 2020", "Müller", 2020, "adipose MSC", "UC", "n/a"),
    ("Wu 2021", "Wu", 2021, "bone marrow MSC", "SEC", "Cell, 2"),
    ("Li 2022", "Li", 2022, "adipose MSC", "UC", "k. A."),
)
OUTCOMES = (
    ("Study", "Outcome", "Contrast", "Better", "EV mean", "EV SD", "EV n", "PBS mean", "PBS SD", "PBS n"),
    ("Müller 2020", "wound area", "exosome_vs_control", "lower", 12.5, 2.25, 10, 18.75, 3.5, 9),
    ("Wu 2021", "wound area", "exosome_vs_control", "lower", 10.2, 2.8, 8, 14.6, 3.1, 8),
    ("Li 2022", "wound area", "exosome_vs_control", "lower", 11.9, "n.r.", 8, 15.2, 3.3, 8),
)
G = [-2.0542, -1.4081]
"""Hedges' g of the first two rows."""


def padded(rows: tuple[tuple[object, ...], ...]) -> list[tuple[object, ...]]:
    """Return a sheet as it comes out of a spreadsheet: an empty row, empty columns, a title."""
    width = len(rows[0])
    head, *body = ((*row, "", "") for row in rows)
    return [("Exosomes for wounds", *[""] * (width + 1)), ("",) * (width + 2), head, *body]


def effects(path: Path) -> list[float]:
    with pytest.warns(mx.errors.RowsWithoutEffectWarning):
        return [round(float(y), 4) for y in mx.read_sheets(path).effects("SMD", orient=False).y]


@pytest.mark.parametrize(
    ("mark", "decimal", "encoding", "ending"),
    [
        (",", ".", "utf-8", "csv"),
        (";", ",", "utf-8-sig", "csv"),
        (";", ",", "cp1252", "csv"),
        (",", ",", "utf-8", "csv"),
        ("\t", ",", "utf-16", "csv"),
        ("\t", ".", "utf-8", "tsv"),
        ("|", ".", "utf-8", "txt"),
    ],
)
def test_files_of_a_folder_are_read_in_any_form(
    tmp_path: Path, mark: str, decimal: str, encoding: str, ending: str
) -> None:
    for name, rows in (("studies", STUDIES), ("outcomes", OUTCOMES)):
        text(tmp_path / f"{name}.{ending}", padded(rows), mark, decimal, encoding)
    sheets = mx.read_sheets(tmp_path)
    assert effects(tmp_path) == G
    assert sheets.studies["source_category"].tolist() == ["adipose_msc", "bone_marrow_msc", "adipose_msc"]
    assert sheets.studies["first_author"].tolist() == ["Müller", "Wu", "Li"]
    notes = " ".join(sheets.reading.notes)
    assert f"outcomes.{ending}: read as empty cells: 'n.r.' (1)" in notes
    assert f"outcomes.{ending}: column E 'EV mean' was read as treatment_mean" in notes
    assert ("decimal commas were read in" in notes) == (decimal == ",")
    assert sheets.reading.cell(4, "treatment_mean") == f"outcomes.{ending} line 4, treatment_mean"
    assert sheets.reading.text(4, "treatment_mean") == f"12{decimal}5"


def test_two_worksheets_and_two_workbooks_give_the_same(tmp_path: Path) -> None:
    rows = {"studies": padded(STUDIES), "outcomes": padded(OUTCOMES)}
    book = workbook(
        tmp_path / "one.xlsx", rows["studies"], title="Studies", more={"Outcomes": rows["outcomes"]}
    )
    assert effects(book) == G
    folder = tmp_path / "two"
    folder.mkdir()
    for name, lines in rows.items():
        workbook(folder / f"{name}.xlsx", lines, title="Sheet1")
    assert effects(folder) == G
    assert mx.read_sheets(folder).reading.notes[0] == "read as linked sheets: studies.xlsx, outcomes.xlsx"
    before = digest_of_data(folder)
    workbook(folder / "studies.xlsx", rows["studies"][:-1], title="Sheet1")
    assert digest_of_data(folder) != before


def test_decimal_commas_settle_points_between_thousands(tmp_path: Path) -> None:
    rows = [
        OUTCOMES[0],
        (*OUTCOMES[1][:4], "1.234,5", "150,5", 10, "1.020", "160", 9),
        (*OUTCOMES[2][:4], "1.310", "170", 8, "980,5", "155,5", 8),
    ]
    for name, lines in (("studies", STUDIES[:3]), ("outcomes", rows)):
        text(tmp_path / f"{name}.csv", lines, ";", ",")
    sheets = mx.read_sheets(tmp_path)
    assert sheets.outcomes["treatment_mean"].tolist() == [1234.5, 1310.0]
    assert sheets.outcomes["control_mean"].tolist() == [1020.0, 980.5]
    assert any("signs between thousands were taken out of" in note for note in sheets.reading.notes)


def test_a_heading_is_asked_for_and_the_option_works_on_a_folder(tmp_path: Path) -> None:
    rows = [("Study", *OUTCOMES[0][1:4], "EV meen", *OUTCOMES[0][5:]), *OUTCOMES[1:]]
    for name, lines in (("studies", STUDIES), ("outcomes", rows)):
        text(tmp_path / f"{name}.csv", lines, ";", ",")
    (problem,) = mx.check_sheets(tmp_path).problems
    assert problem.place == "outcomes.csv line 1"
    assert '--map "EV meen=treatment_mean" if it is' in problem.remedy
    done = CliRunner().invoke(main, ["check", str(tmp_path), "--map", "EV meen=treatment_mean"])
    assert done.exit_code == 0, done.output
    assert "2 give an SMD" in done.output
    report = ["report", str(tmp_path), "--map", "EV meen=treatment_mean", "--measure", "SMD"]
    assert report[-1] in done.output
    wrong = CliRunner().invoke(main, ["check", str(tmp_path), "--map", "EV mode=treatment_mean"])
    assert wrong.exit_code != 0
    assert "EV mode" in wrong.output


def test_a_file_that_cannot_be_opened_is_one_problem_beside_the_others(tmp_path: Path) -> None:
    text(tmp_path / "outcomes.csv", [OUTCOMES[0], (*OUTCOMES[1][:6], "ten", *OUTCOMES[1][7:])])
    openpyxl.Workbook().save(tmp_path / "studies.xlsx")
    found = mx.check_sheets(tmp_path)
    assert {p.kind.__name__ for p in found.problems} == {"EmptySheetError", "NotANumberError"}
    (asked,) = [p for p in found.problems if p.kind.__name__ == "NotANumberError"]
    assert (asked.file, asked.line, asked.column) == ("outcomes.csv", 2, "treatment_n")
