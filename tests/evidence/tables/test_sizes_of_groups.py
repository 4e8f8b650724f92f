"""The total of two groups is never taken as the size of each: it is asked for, and the answer works."""

from __future__ import annotations

from pathlib import Path

import pytest

import metaexo as mx
from metaexo.errors import InputError
from metaexo.evidence.tables.headings import read_map
from tests.evidence.tables.making import problems, read, said, text, values

MEANS = ("Study", "EV mean", "EV SD", "PBS mean", "PBS SD")
SIZES = ("treatment_n", "control_n")


def table(path: Path, *more: str, cells: tuple[object, ...] = (20,)) -> Path:
    return text(path / "t.csv", [(*MEANS, *more), ("Li 2020", 5.1, 1.2, 3.9, 1.1, *cells)])


@pytest.mark.parametrize(
    "heading",
    ["n total", "Total N", "N (total)", "Total sample size", "n (both)", "Overall n", "Total animals"],
)
def test_a_heading_of_a_total_is_asked_for_and_each_answer_works(tmp_path: Path, heading: str) -> None:
    path = table(tmp_path, heading)
    (asked,) = read(path).raws["outcomes"].problems
    assert asked.what == (
        f"{heading!r} is the size of both groups together, and no heading names the size of each group"
    )
    options = [part.split('"')[1] for part in asked.remedy.split("; ") if "--map" in part]
    assert options == [f"{heading}=treatment_n + control_n", f"{heading}="]
    tables = read(path, columns=read_map(options[:1]))
    assert values(tables, *SIZES) == [("10", "10")]
    assert said(tables, "taken as the total of two groups of one size: each has half")
    assert problems(read(path, columns=read_map(options[1:]))) == []
    (both,) = read(path, columns={heading: "treatment_n and control_n"}).raws["outcomes"].problems
    assert both.remedy == asked.remedy


@pytest.mark.parametrize("heading", ["N", "n", "Sample size", "No. of animals", "total"])
def test_a_size_that_names_no_group_is_asked_for(tmp_path: Path, heading: str) -> None:
    path = table(tmp_path, heading)
    (asked,) = read(path).raws["outcomes"].problems
    for meant, sizes in (("and", ("20", "20")), ("+", ("10", "10"))):
        option = f"{heading}=treatment_n {meant} control_n"
        assert f'--map "{option}"' in asked.remedy
        assert values(read(path, columns=read_map([option])), *SIZES) == [sizes]


@pytest.mark.parametrize(
    "heading", ["n per group", "n/group", "n (each)", "Animals per group", "n je Gruppe"]
)
def test_a_size_of_each_group_says_so(tmp_path: Path, heading: str) -> None:
    tables = read(table(tmp_path, heading, cells=(10,)))
    assert problems(tables) == []
    assert values(tables, *SIZES) == [("10", "10")]
    assert said(tables, f"{heading!r} was read as treatment_n and control_n")


def test_a_total_beside_both_sizes_is_kept_and_beside_one_is_asked_for(tmp_path: Path) -> None:
    tables = read(table(tmp_path, "EV n", "PBS n", "N", cells=(9, 11, 20)))
    assert problems(tables) == []
    assert values(tables, *SIZES) == [("9", "11")]
    (asked,) = read(table(tmp_path, "EV n", "N", cells=(9, 20))).raws["outcomes"].problems
    assert '--map "N=control_n" if it is of the control' in asked.remedy
    assert "if it is the total" in asked.remedy


def test_an_odd_total_has_no_halves_and_nothing_else_adds_up(tmp_path: Path) -> None:
    path = table(tmp_path, "N", cells=(21,))
    assert problems(read(path, columns={"N": "treatment_n + control_n"})) == [("UnclearCellError", "F2")]
    with pytest.raises(InputError, match="only sizes of groups add up"):
        read(path, columns={"N": "treatment_mean + control_mean"})


def test_two_sizes_in_one_cell(tmp_path: Path) -> None:
    path = table(tmp_path, "n (EV/PBS)", cells=("9/11",))
    assert values(read(path, columns={"n (EV/PBS)": "treatment_n / control_n"}), *SIZES) == [("9", "11")]


def test_a_size_in_the_sheet_of_studies_is_no_size_of_an_arm(tmp_path: Path) -> None:
    text(tmp_path / "studies.csv", [("Study", "Author", "N"), ("Li 2020", "Li", 20)])
    head = ("Study", "Outcome", "Contrast", "Better", *MEANS[1:], "EV n", "PBS n")
    row = ("Li 2020", "scar", "exosome_vs_control", "lower", 5.1, 1.2, 3.9, 1.1, 10, 10)
    text(tmp_path / "outcomes.csv", [head, row])
    assert mx.read_sheets(tmp_path).studies["N"].tolist() == ["20"]
