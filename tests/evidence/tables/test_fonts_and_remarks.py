"""Raised figures, lines through a part of a cell, and remarks that a row has standard errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.comments import Comment

from metaexo.evidence.codebook import load_codebook
from tests.evidence.tables.making import HEADINGS, LI, WU, problems, read, said, values, workbook

RAISED, LOWERED = InlineFont(vertAlign="superscript"), InlineFont(vertAlign="subscript")
STRUCK = InlineFont(strike=True)
NAMED = ("study_id", *(f"{arm}_{part}" for arm in ("treatment", "control") for part in ("mean", "sd", "n")))


def with_runs(path: Path, cell: str, *runs: str | TextBlock) -> Path:
    def change(sheet: Any) -> None:
        sheet[cell] = CellRichText(*runs)

    return workbook(path / "t.xlsx", [HEADINGS, LI, WU], change)


@pytest.mark.parametrize(
    ("cell", "runs", "kept"),
    [
        ("D2", ("8", TextBlock(RAISED, "1")), "'8'"),
        ("B2", ("81.0", TextBlock(RAISED, "2")), "'81.0'"),
        ("B2", ("81.0", TextBlock(LOWERED, "2")), "'81.0'"),
        ("D2", (TextBlock(STRUCK, "8"), "10"), "'10'"),
        ("B2", (TextBlock(STRUCK, "70.0"), " 72.4"), "'72.4'"),
    ],
)
def test_a_number_with_a_mark_or_a_struck_part_is_asked_about(
    tmp_path: Path, cell: str, runs: tuple[str | TextBlock, ...], kept: str
) -> None:
    tables = read(with_runs(tmp_path, cell, *runs))
    assert problems(tables) == [("UnclearCellError", cell)]
    (problem,) = tables.raws["outcomes"].problems
    assert problem.remedy == f"write {kept} alone if that is what counts"


@pytest.mark.parametrize(
    ("cell", "runs", "column", "value", "marked"),
    [
        ("A2", ("Li 2020", TextBlock(RAISED, "3")), "study_id", "Li 2020", True),
        ("A2", ("Li 2020", TextBlock(RAISED, "a,b")), "study_id", "Li 2020", True),
        ("B2", ("5.1", TextBlock(RAISED, "a")), "treatment_mean", "5.1", True),
        ("B2", ("1.5×10", TextBlock(RAISED, "9")), "treatment_mean", "1.5e9", False),
        ("B2", (TextBlock(InlineFont(b=True), "5"), ".1"), "treatment_mean", "5.1", False),
        ("A2", ("CD63", TextBlock(RAISED, "+"), " study"), "study_id", "CD63+ study", False),
    ],
)
def test_marks_of_texts_are_left_out_and_powers_are_read(
    tmp_path: Path, cell: str, runs: tuple[str | TextBlock, ...], column: str, value: str, marked: bool
) -> None:
    tables = read(with_runs(tmp_path, cell, *runs))
    assert problems(tables) == []
    assert values(tables, column)[0] == (value,)
    assert said(tables, "raised marks were left out of texts") == marked


def test_a_unit_with_a_raised_figure_in_a_heading_is_one(tmp_path: Path) -> None:
    tables = read(with_runs(tmp_path, "B1", "Exosome mean (mm", TextBlock(RAISED, "2"), ")"))
    assert problems(tables) == []
    assert values(tables, "treatment_mean")[0] == ("5.1",)


@pytest.mark.parametrize(
    ("column", "words", "warned"),
    [
        ("note", "SEM", True),
        ("locator", "Fig. 2, mean ± SEM", True),
        ("note", "SEM converted to SD", False),
        ("note", "SD computed from SEM", False),
        ("note", "SEM and TEM of exosomes", False),
        ("note", "n per group", False),
    ],
)
def test_a_row_that_says_sem_beside_sds_is_warned_of(
    tmp_path: Path, column: str, words: str, warned: bool
) -> None:
    names = (*NAMED, "treatment_se", "control_se", column, "caution")
    row = (*LI, None, None, words, None)
    path = workbook(tmp_path / "t.xlsx", [names, row, (*WU, None, None, None, None)])
    expected = [("StandardErrorsAsSDsWarning", "C2")] if warned else []
    assert problems(read(path)) == expected
    settled = workbook(
        tmp_path / "s.xlsx", [names, (*row[:-1], "StandardErrorsAsSDsWarning: it says SD"), (*WU,)]
    )
    assert problems(read(settled)) == []


def test_a_comment_counts_as_a_remark_and_those_of_the_template_are_not_listed(tmp_path: Path) -> None:
    def remarks(sheet: Any) -> None:
        sheet["C2"].comment = Comment("this is SEM!", "me")
        for cell in sheet[1]:
            cell.comment = Comment("Needed in every row.", "somebody")

    path = workbook(
        tmp_path / "t.xlsx", [(*NAMED, "treatment_se", "control_se"), (*LI, None, None), WU], remarks
    )
    tables = read(path)
    assert problems(tables) == [("StandardErrorsAsSDsWarning", "C2")]
    assert said(tables, "1 cell has a comment, not read: Data!C2 'this is SEM!'")
    assert set(NAMED) <= set(load_codebook().sheets["outcomes"].columns)
