"""Files of any kind give the same rows, or are refused in words that say what to do."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import openpyxl.chart
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metaexo.errors import MetaexoError, UnknownChoiceError
from tests.evidence.tables.making import (
    COLUMNS,
    HEADINGS,
    LI,
    WU,
    problems,
    read,
    said,
    text,
    values,
    workbook,
)

ROWS = (HEADINGS, LI, WU)
READ = [tuple(map(str, LI)), tuple(map(str, WU))]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(range(len(HEADINGS))),
    mark=st.sampled_from(",;\t|"),
    decimal=st.sampled_from(".,"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    ending=st.sampled_from([".csv", ".tsv", ".txt"]),
    empty=st.integers(0, 3),
    above=st.integers(0, 2),
)
def test_any_form_of_a_file_gives_the_same_rows(
    place: Path, order: list[int], mark: str, decimal: str, encoding: str, ending: str, empty: int, above: int
) -> None:
    rows = [[row[i] for i in order] + [""] * empty for row in ROWS]
    rows = [[title, *[""] * (len(rows[0]) - 1)] for title in ("Größe der Wunden", "")[:above]] + rows
    tables = read(text(place / f"t{ending}", rows, mark, decimal, encoding))
    assert problems(tables) == []
    assert values(tables) == READ
    book = read(workbook(place / "t.xlsx", rows))
    assert values(book) == READ
    assert book.raws["outcomes"].lines == tables.raws["outcomes"].lines == [above + 2, above + 3]


numbers = st.floats(-1e6, 1e6).map(lambda x: round(x, 4)) | st.integers(-999, 999)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=st.lists(numbers, min_size=6, max_size=6), mark=st.sampled_from(",;"), comma=st.booleans())
def test_a_number_is_read_as_it_is_or_asked_for(
    place: Path, cells: list[float], mark: str, comma: bool
) -> None:
    path = text(place / "n.csv", [HEADINGS, ("Li", *cells)], mark, "," if comma else ".")
    tables = read(path)
    asked = {cell for _, cell in problems(tables)}
    for letter, name, cell in zip("BCDEFG", COLUMNS[1:], cells, strict=True):
        found = tables.raws["outcomes"].rows[0].get(name, "")
        assert (f"{letter}2" in asked) or float(found) == cell


def test_separators_and_encodings_are_said(tmp_path: Path) -> None:
    rows = (HEADINGS, ("Müller 2020", *LI[1:]))
    path = text(tmp_path / "t.csv", rows, ";", ",", "cp1252")
    path.write_bytes(b"sep=;\r\n" + path.read_bytes())
    tables = read(path)
    assert values(tables)[0][0] == "Müller 2020"
    assert tables.raws["outcomes"].lines == [2]
    assert said(tables, "separated by semicolons")
    assert said(tables, "read as Windows-1252; its special letters are ü")
    assert said(tables, "decimal commas were read in 4 cells")


def test_cells_that_are_shifted_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",".join(HEADINGS) + "\nLi,5,1,1,2,10,3,9,1,1,10\nWu,5,1,10,4,1\n")
    assert problems(read(path)) == [("RowLengthError", "row 2"), ("RowLengthError", "row 3")]


def merge(*spans: str) -> Callable[[Any], object]:
    return lambda sheet: [sheet.merge_cells(span) for span in spans]


def test_merged_cells_among_the_rows_are_named_and_nothing_else(tmp_path: Path) -> None:
    rows = (HEADINGS, LI, (None, *WU[1:]), WU, ("A remark, merged",))
    tables = read(workbook(tmp_path / "t.xlsx", rows, merge("A2:A3", "B4:C4", "A5:G5")))
    assert problems(tables) == [("MergedCellsError", "A2"), ("MergedCellsError", "B4")]
    first, second = tables.raws["outcomes"].problems
    assert "Data!A2:A3 are merged and hold 'Li 2020'" in first.what
    assert "every row" in first.remedy
    assert "every column" in second.remedy


def test_an_empty_study_below_a_study_is_asked_to_be_filled_down(tmp_path: Path) -> None:
    tables = read(workbook(tmp_path / "t.xlsx", (HEADINGS, LI, (None, *WU[1:]))))
    (problem,) = tables.raws["outcomes"].problems
    assert problem.cells == ("Data!A3",)
    assert "'Li 2020'" in problem.remedy
    assert "fill down" in problem.remedy


def test_rows_that_are_no_comparison_are_named(tmp_path: Path) -> None:
    rows = (
        HEADINGS,
        LI,
        ("Mouse studies",),
        WU,
        HEADINGS,
        ("Subtotal (95% CI)", *LI[1:]),
        ("Total", *LI[1:]),
    )
    tables = read(workbook(tmp_path / "t.xlsx", rows))
    assert problems(tables) == [("UnclearCellError", "A3")]
    assert values(tables) == READ
    assert all(said(tables, f"row {line} was not read") for line in (5, 6, 7))


def test_hidden_rows_columns_and_worksheets_are_said(tmp_path: Path) -> None:
    def hide(sheet: Any) -> None:
        sheet.row_dimensions[3].hidden = True
        sheet.column_dimensions["C"].hidden = True
        sheet.sheet_state = "hidden"

    more = {"Notes": [("a remark",)]}
    tables = read(workbook(tmp_path / "t.xlsx", ROWS, hide, more=more))
    assert values(tables) == READ
    assert said(tables, "1 row (3) of the worksheet is hidden")
    assert said(tables, "1 column (C) is hidden")
    assert said(tables, "the worksheet 'Data' (hidden) was read; not read: 'Notes'")


def test_of_several_worksheets_one_is_read_or_asked_for(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", ROWS, more={"More": (HEADINGS, WU), "Notes": [("x",)]})
    with pytest.raises(MetaexoError, match=r"'Data', 'More'.*--sheet \"Data\""):
        read(path)
    assert values(read(path, sheet="more")) == READ[1:]
    with pytest.raises(UnknownChoiceError, match="'More'"):
        read(path, sheet="Mor")
    with pytest.raises(UnknownChoiceError):
        read(text(tmp_path / "t.csv", ROWS), sheet="Data")


def test_linked_worksheets_are_read_as_the_sheets_of_a_folder(tmp_path: Path) -> None:
    outcomes = ("study_id", "outcome", "better", "contrast", "Exosome mean", "control_mean")
    rows = [outcomes, ("li", "scar_width", "lower", "exosome_vs_control", "5,1", "x")]
    path = workbook(
        tmp_path / "t.xlsx", [("Study", "Source"), ("li", "ADSC")], title="Studies", more={"outcomes": rows}
    )
    tables = read(path)
    assert not tables.flat
    assert tables.raws["studies"].rows == [{"study_id": "li", "source_reported": "ADSC"}]
    assert values(tables, "treatment_mean") == [("5.1",)]
    assert problems(tables) == [("NotANumberError", "F2")]


def test_cells_far_away_cost_nothing_and_are_said(tmp_path: Path) -> None:
    tables = read(workbook(tmp_path / "t.xlsx", ROWS, lambda sheet: sheet.cell(1_048_576, 16_384, "x")))
    assert values(tables) == READ
    assert said(tables, "1 cell to the right of column BXX was not read")


def with_entity(path: Path) -> None:
    book = workbook(path.with_name("plain.xlsx"), ROWS)
    with zipfile.ZipFile(book) as source, zipfile.ZipFile(path, "w") as made:
        for part in source.infolist():
            content = source.read(part)
            if part.filename.endswith("sheet1.xml"):
                content = b'<!DOCTYPE x [<!ENTITY y "z">]>' + content
            made.writestr(part, content)


def with_entity_elsewhere(path: Path) -> None:
    book = workbook(path.with_name("plain.xlsx"), ROWS)
    with zipfile.ZipFile(book) as source, zipfile.ZipFile(path, "w") as made:
        for part in source.infolist():
            content = source.read(part).replace(b"sheet1.xml", b"sheet1.dat")
            if part.filename.endswith("sheet1.xml"):
                content = b'<!DOCTYPE x [<!ENTITY y "z">]>' + content
            made.writestr(part.filename.replace("sheet1.xml", "sheet1.dat"), content)


def chart_alone(path: Path) -> None:
    book = openpyxl.Workbook()
    book.create_chartsheet("Chart").add_chart(openpyxl.chart.BarChart())
    book.remove(book["Sheet"])
    book.save(path)


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("xl/worksheets/sheet1.xml", b"0" * 151_000_000)


OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.xls", OLD, "Excel before 2007"),
        ("t.xlsx", OLD, "password"),
        ("t.xlsx", b"PK\x03\x04" + bytes(600), "open it in Excel and save it again"),
        ("t.xlsx", b"hello", "open it in Excel and save it again"),
        ("t.ods", b"PK\x03\x04" + bytes(600), "LibreOffice"),
        ("t.docx", b"PK\x03\x04" + bytes(600), "Word"),
        ("t.csv", b"\x89PNG\r\n\x1a\n" + bytes(60), "no text"),
        ("t.csv", b"a,b\n\x81\x8d", "CSV UTF-8"),
        ("t.csv", b"\xff\xfea", "utf-16"),
        ("t.csv", b'Study,Exosome mean\n"Li,5\n', "close the quotes"),
        ("t.csv", b" \n", "empty"),
        ("t.xlsx", with_entity, "open it in Excel"),
        ("t.xlsx", with_entity_elsewhere, "open it in Excel"),
        ("t.xlsx", bomb, "at most 150 MB"),
        ("t.xlsx", chart_alone, "no worksheet"),
    ],
)
def test_files_that_cannot_be_read(
    tmp_path: Path, name: str, content: bytes | Callable[[Path], None], words: str
) -> None:
    path = tmp_path / name
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    with pytest.raises(MetaexoError) as caught:
        read(path)
    assert words in str(caught.value)
    assert caught.value.remedy
    assert name in str(caught.value)


def test_a_cell_of_ten_million_letters_is_named_and_not_repeated(tmp_path: Path) -> None:
    path = text(tmp_path / "t.csv", (HEADINGS, LI, ("x" * 10_000_000, *WU[1:])))
    tables = read(path)
    assert problems(tables) == [("SheetSizeError", "A3")]
    assert len(str(tables.raws["outcomes"].problems[0])) < 1000
