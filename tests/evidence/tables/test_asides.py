"""What stands beside the numbers of a table and can change what they are: titles, remarks, comments."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from openpyxl.comments import Comment
from openpyxl.styles import Font

from metaexo.evidence.tables.headings import read_map
from tests.evidence.tables.making import HEADINGS, LI, WU, problems, read, said, values, workbook

AS_SE = {"Exosome SD": "treatment_se", "Control SD": "control_se"}
AS_SD = {"Exosome SD": "treatment_sd", "Control SD": "control_sd"}
SEM = ("Values are mean ± SEM",)


def _comment(sheet: Any) -> None:
    sheet["C1"].comment = Comment("this is SEM!", "a student")


@pytest.mark.parametrize(
    ("rows", "change", "cell"),
    [
        ([SEM, HEADINGS, LI, WU], None, "A1"),
        ([SEM, (), HEADINGS, LI, WU], None, "A1"),
        ([HEADINGS, LI, WU, (), SEM], None, "A5"),
        ([HEADINGS, LI, WU, ("Error bars: standard errors",)], None, "A4"),
        ([HEADINGS, LI, WU], _comment, "C1"),
        ([(*HEADINGS, "Remark"), LI, (*WU, "mean and SEM, Figure 2")], None, "H3"),
    ],
)
def test_what_says_se_of_columns_read_as_sd_is_asked(
    tmp_path: Path, rows: Any, change: Any, cell: str
) -> None:
    path = workbook(tmp_path / "t.xlsx", rows, change)
    tables = read(path)
    assert problems(tables) == [("UnclearCellError", cell)]
    remedy = tables.raws["outcomes"].problems[0].remedy
    for columns in (AS_SE, AS_SD):  # what is offered settles it
        assert all(f'--map "{heading}={name}"' in remedy for heading, name in columns.items())
        mended = read(path, columns=columns)
        assert problems(mended) == []
        assert values(mended, columns["Exosome SD"]) == [("1.2",), ("0.9",)]


@pytest.mark.parametrize(
    "rows",
    [
        [("Values are mean ± SD",), HEADINGS, LI],
        [("Exosomes by TEM and SEM",), HEADINGS, LI],
        [(*HEADINGS, "Remark"), (*LI, "SD computed from the SEM: mean ± SEM in the paper")],
        [SEM, [name.replace("SD", "SEM") for name in HEADINGS], LI],
    ],
)
def test_what_agrees_is_not_asked(tmp_path: Path, rows: Any) -> None:
    assert problems(read(workbook(tmp_path / "t.xlsx", rows))) == []


def test_comments_are_named(tmp_path: Path) -> None:
    def change(sheet: Any) -> None:
        sheet["B2"].comment = Comment("see Figure 2", "a student")

    tables = read(workbook(tmp_path / "t.xlsx", [HEADINGS, LI], change))
    assert said(tables, "1 cell has a comment, not read: Data!B2 'see Figure 2'")


def test_cells_with_a_line_through_them_are_asked(tmp_path: Path) -> None:
    def change(sheet: Any) -> None:
        for cell in [*sheet[2], sheet["C3"]]:
            cell.font = Font(strike=True)

    tables = read(workbook(tmp_path / "t.xlsx", [HEADINGS, LI, WU], change))
    assert problems(tables) == [("UnclearCellError", "A2"), ("UnclearCellError", "C3")]


def test_a_row_of_units_is_not_read(tmp_path: Path) -> None:
    units = (None, "(%)", "%", "mice", "%", "%", "mice")
    tables = read(workbook(tmp_path / "t.xlsx", [HEADINGS, units, LI]))
    assert problems(tables) == []
    assert [row[0] for row in values(tables)] == ["Li 2020"]
    assert said(tables, "row 2 was not read: it holds units ('(%)', '%', 'mice')")


@pytest.mark.parametrize("title", [[], [("Scar width",)], [(), ("Scar width",)]])
def test_a_second_table_below_is_refused(tmp_path: Path, title: list[Any]) -> None:
    tables = read(workbook(tmp_path / "t.xlsx", [HEADINGS, LI, WU, *title, HEADINGS, LI]))
    assert problems(tables) == [("UnclearCellError", f"A{4 + len(title)}")]
    assert [row[0] for row in values(tables)] == ["Li 2020", "Wu 2021"]


def test_a_second_table_with_other_headings_is_refused(tmp_path: Path) -> None:
    other = ("Study", "Control mean", "Control SD", "Control n", "Exosome mean", "Exosome SD", "Exosome n")
    named = [(*HEADINGS, "Outcome"), (*LI, "closure"), other, LI]
    assert problems(read(workbook(tmp_path / "t.xlsx", named))) == [("UnclearCellError", "A3")]


def test_headings_repeated_in_a_table_that_names_its_outcomes_are_left_out(tmp_path: Path) -> None:
    head = (*HEADINGS, "Outcome")
    tables = read(workbook(tmp_path / "t.xlsx", [head, (*LI, "closure"), head, (*WU, "closure")]))
    assert problems(tables) == []
    assert len(values(tables)) == 2


@pytest.mark.parametrize(
    ("heading", "words"),
    [("Day", "day 7"), ("Time (weeks)", "week 7"), ("Time point", "7")],
)
def test_days_and_weeks_are_time_points(tmp_path: Path, heading: str, words: str) -> None:
    rows = [(*HEADINGS, heading), (*LI, 3), (*LI, 7)]
    tables = read(workbook(tmp_path / "t.xlsx", rows))
    assert values(tables, "timepoint")[1] == (words,)
    assert said(tables, f"--where \"timepoint == '{words}'\"")
    assert not said(tables, "do not say how they differ")


def test_rows_that_nothing_tells_apart_are_named(tmp_path: Path) -> None:
    tables = read(workbook(tmp_path / "t.xlsx", [HEADINGS, LI, WU, ("Li 2020", *WU[1:])]))
    assert said(tables, "rows of one study do not say how they differ (2 and 4)")


@pytest.mark.parametrize("marks", [(" d7", " d14"), (" closure", " scar"), ("", " d14")])
def test_time_points_side_by_side_are_one_question(tmp_path: Path, marks: tuple[str, str]) -> None:
    numbers = ("Exosome mean", "Exosome SD", "Control mean", "Control SD")
    head = ("Study", "Exosome n", "Control n", *(f"{name}{mark}" for mark in marks for name in numbers))
    path = workbook(tmp_path / "t.xlsx", [head, ("Li 2020", 10, 9, 5.1, 1.2, 3.9, 1.1, 6.1, 1.3, 4.9, 1.0)])
    (problem,) = read(path).raws["outcomes"].problems
    assert "below one another" in problem.remedy
    options = read_map(re.findall(r'--map "([^"]+)"', problem.remedy))
    tables = read(path, columns=options)  # what is offered reads one of them
    assert problems(tables) == []
    assert values(tables, "treatment_mean", "control_sd") == [("5.1", "1.1")]


def test_tables_side_by_side_are_one_question(tmp_path: Path) -> None:
    rows = [[*HEADINGS, None, *HEADINGS], [*LI, None, *LI]]
    assert problems(read(workbook(tmp_path / "t.xlsx", rows))) == [("DuplicateColumnError", "J1")]
    high = [
        ["Study", "Closure", *[None] * 5, "Scar", *[None] * 5],
        [None, "Exosomes", None, None, "PBS", None, None, "Exosomes", None, None, "PBS", None, None],
        [None, *["Mean", "SD", "n"] * 4],
        [*LI, *LI[1:]],
    ]
    assert problems(read(workbook(tmp_path / "h.xlsx", high))) == [("DuplicateColumnError", "H3")]


def test_characteristics_of_the_groups_are_no_second_outcome(tmp_path: Path) -> None:
    head = (*HEADINGS, "Exosome age mean", "Exosome age SD", "Baseline control mean", "Baseline control SD")
    assert problems(read(workbook(tmp_path / "t.xlsx", [head, (*LI, 8, 1, 7, 1)]))) == []


def test_a_mean_change_beside_an_sd_is_asked(tmp_path: Path) -> None:
    head = [name.replace("mean", "mean change") for name in HEADINGS]
    path = workbook(tmp_path / "t.xlsx", [head, LI])
    assert problems(read(path)) == [("UnclearColumnError", "B1"), ("UnclearColumnError", "E1")]
    columns = {"Exosome mean change": "treatment_mean", "Control mean change": "control_mean"}
    assert problems(read(path, columns=columns)) == []
    assert problems(read(path, columns=dict.fromkeys(columns, ""))) == []
