"""Which arm 1 and 2 are in the headings of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.evidence.tables.making import problems, read, said, values, workbook

NUMBERED = ("Study", "n1{}", "mean1", "sd1", "n2{}", "mean2", "sd2")


@pytest.mark.parametrize("words", [(" (PBS)", " (exo)"), (" (PBS)", ""), ("", " (EVs)")])
def test_the_words_beside_a_number_decide_which_arm_it_is(tmp_path: Path, words: tuple[str, str]) -> None:
    marks = iter(words)
    head = [name.format(next(marks)) if "{}" in name else name for name in NUMBERED]
    tables = read(workbook(tmp_path / "t.xlsx", [head, ("Li 2020", 9, 3.9, 1.1, 10, 5.1, 1.2)]))
    assert problems(tables) == []
    assert values(tables, "treatment_n", "treatment_mean", "control_sd") == [("10", "5.1", "1.1")]


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        ([("1 = PBS, 2 = exosomes",), [name.format("") for name in NUMBERED]], None),
        ([[name.format("") for name in NUMBERED]], {"n1": "control_n", "n2": "treatment_n"}),
    ],
)
def test_a_legend_or_the_user_decides_which_arm_a_number_is(tmp_path: Path, rows: Any, columns: Any) -> None:
    path = workbook(tmp_path / "t.xlsx", [*rows, ("Li 2020", 9, 3.9, 1.1, 10, 5.1, 1.2)])
    tables = read(path, columns=columns)
    assert values(tables, "treatment_n", "treatment_mean", "control_sd") == [("10", "5.1", "1.1")]


def test_numbers_of_arms_that_contradict_are_asked(tmp_path: Path) -> None:
    head = [name.format(" (exo)") for name in NUMBERED]
    tables = read(workbook(tmp_path / "t.xlsx", [head, ("Li 2020", 9, 3.9, 1.1, 10, 5.1, 1.2)]))
    assert problems(tables) != []
    assert values(tables, "treatment_mean", "control_mean") == [("", "")]


def test_numbers_that_nothing_explains_are_asked_for_once(tmp_path: Path) -> None:
    head = [name.format("") for name in NUMBERED]
    path = workbook(tmp_path / "t.xlsx", [head, ("Li 2020", 9, 3.9, 1.1, 10, 5.1, 1.2)])
    (problem,) = read(path).raws["outcomes"].problems
    assert '--map "n1=treatment_n" if 1 is the exosomes; --map "n1=control_n" if 1 is' in problem.remedy
    for said_, mean in (("treatment_n", "3.9"), ("control_n", "5.1")):
        tables = read(path, columns={"n1": said_})
        assert problems(tables) == []
        assert values(tables, "treatment_mean") == [(mean,)]


@pytest.mark.parametrize(
    "head",
    [
        ("Study", "Mean 1", "SD 1", "Total 1", "Mean 2", "SD 2", "Total 2"),  # RevMan
        ("Study", "m1i", "sd1i", "n1i", "m2i", "sd2i", "n2i"),  # metafor
    ],
)
def test_the_first_group_of_a_known_program_is_the_treated_one(tmp_path: Path, head: Any) -> None:
    tables = read(workbook(tmp_path / "t.xlsx", [head, ("Li 2020", 5.1, 1.2, 10, 3.9, 1.1, 9)]))
    assert problems(tables) == []
    assert values(tables, "treatment_mean", "control_n") == [("5.1", "9")]
    assert said(tables, "1 was taken as the exosomes and 2 as the control in the headings, as nothing says")
