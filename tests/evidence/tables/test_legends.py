"""Worksheets that explain the others: a legend of the arms is read, a remark on the spread is asked about."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evidence.tables.making import HEADINGS, LI, WU, problems, read, said, values, workbook

NUMBERED = ("Study", "Mean 1", "SD 1", "n1", "Mean 2", "SD 2", "n2")
LETTERS = ("Study", "Mean A", "SD A", "n A", "Mean B", "SD B", "n B")
TURNED = [tuple(map(str, (row[0], *row[4:], *row[1:4]))) for row in (LI, WU)]
READ = [tuple(map(str, row)) for row in (LI, WU)]


@pytest.mark.parametrize("name", ["Legend", "Key", "Codes", "Abbreviations", "Notes", "READ ME"])
@pytest.mark.parametrize(
    "lines",
    [
        [("1 = PBS, 2 = exosomes",)],
        [("Group", "Meaning"), (1, "PBS-treated mice"), (2, "exosome-treated mice")],
        [("Column", "Meaning"), ("Mean 1", "mean of the PBS group"), ("Mean 2", "mean of the EV group")],
        [("1: control (no exosomes)",), ("SD", "standard deviation"), ("SEM", "standard error of the mean")],
    ],
)
def test_a_legend_says_which_arm_a_number_is(
    tmp_path: Path, name: str, lines: list[tuple[object, ...]]
) -> None:
    tables = read(workbook(tmp_path / "t.xlsx", (NUMBERED, LI, WU), more={name: lines}))
    assert problems(tables) == []
    assert values(tables) == TURNED
    assert said(
        tables, f"1 was taken as the control and 2 as the exosomes in the headings, as the worksheet {name!r}"
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([("A = exosomes; B = PBS",)], READ),
        ([("Code", "Group"), ("A", "vehicle (PBS)"), ("B", "MSC exosomes")], TURNED),
    ],
)
def test_a_legend_says_which_arm_a_letter_is(
    tmp_path: Path, lines: list[tuple[object, ...]], expected: list[tuple[str, ...]]
) -> None:
    tables = read(workbook(tmp_path / "t.xlsx", (LETTERS, LI, WU), more={"Key": lines}))
    assert problems(tables) == []
    assert values(tables) == expected
    assert said(tables, "as the worksheet 'Key' says")


def test_what_is_no_legend_of_arms_is_said_not_to_be_read(tmp_path: Path) -> None:
    notes = [
        ("DLS", "size of exosomes by light scattering"),
        ("SEM", "standard error of the mean"),
        ("Ask Ann.",),
    ]
    more = {"Abbreviations": notes, "Notes": [HEADINGS, LI]}
    tables = read(workbook(tmp_path / "t.xlsx", (HEADINGS, LI, WU), more=more))
    assert problems(tables) == []
    assert values(tables) == READ
    assert said(tables, "the worksheet 'Data' was read; not read: 'Abbreviations', 'Notes'")
    alone = read(workbook(tmp_path / "n.xlsx", (HEADINGS, LI, WU), title="Notes", more={"Old": [("x",)]}))
    assert values(alone) == READ


def test_a_remark_on_the_spread_beside_the_data_is_asked_about(tmp_path: Path) -> None:
    more = {"Notes": [("All values are mean ± SEM.",)]}
    (asked,) = read(workbook(tmp_path / "t.xlsx", (HEADINGS, LI, WU), more=more)).raws["outcomes"].problems
    assert asked.what.startswith("the worksheet 'Notes' says 'All values are mean ± SEM.'")
    assert '--map "Exosome SD=treatment_se"' in asked.remedy


def test_linked_worksheets_have_a_legend_too(tmp_path: Path) -> None:
    head = (NUMBERED[0], "Outcome", "Contrast", "Better", *NUMBERED[1:])
    rows = [(row[0], "scar", "exosome_vs_control", "lower", *row[1:]) for row in (LI, WU)]
    more = {"outcomes": [head, *rows], "Legend": [("1 = PBS, 2 = exosomes",)]}
    studies = [("Study", "Year"), ("Li 2020", 2020), ("Wu 2021", 2021)]
    tables = read(workbook(tmp_path / "t.xlsx", studies, title="studies", more=more))
    assert values(tables) == TURNED
    assert said(tables, "read as linked sheets; not read: 'Legend'")
