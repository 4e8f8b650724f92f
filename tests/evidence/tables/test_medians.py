"""Medians with an interval: quartiles, smallest and largest value, and a width, which is neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaexo.evidence.tables.headings import read_map
from tests.evidence.tables.making import problems, read, said, text, values

ENDS = ("treatment_median", "treatment_q1", "treatment_q3", "treatment_min", "treatment_max")


def table(path: Path, headings: tuple[str, ...], treated: tuple[str, ...], control: tuple[str, ...]) -> Path:
    head = ("Study", *(f"{arm} {name}" for arm in ("EV", "PBS") for name in (*headings, "n")))
    rows = [(study, *treated, n, *control, n) for study, n in (("Li 2020", 10), ("Wu 2021", 8))]
    return text(path / "t.csv", [head, *rows], ";")


@pytest.mark.parametrize(
    ("headings", "treated", "control", "expected"),
    [
        (("median (IQR)",), ("5 (2-9)",), ("4 (3-6)",), ("5", "2", "9", "", "")),
        (("median (IQR)",), ("5 (IQR 2–9)",), ("4 (3–6)",), ("5", "2", "9", "", "")),
        (("median [range]",), ("5 [2-9]",), ("4 [3 to 6]",), ("5", "", "", "2", "9")),
        (("median", "IQR"), ("5", "2-9"), ("4", "3-6"), ("5", "2", "9", "", "")),
        (("median", "range"), ("5", "2-9"), ("4", "3-6"), ("5", "", "", "2", "9")),
        (("median",), ("5 (range 2-9)",), ("4 (range: 3-6)",), ("5", "", "", "2", "9")),
        (("median",), ("5,5 (IQR 2,5-9)",), ("4 [IQR 3 to 6]",), ("5.5", "2.5", "9", "", "")),
    ],
)
def test_what_the_heading_or_the_cell_says_of_an_interval_is_read(
    tmp_path: Path,
    headings: tuple[str, ...],
    treated: tuple[str, ...],
    control: tuple[str, ...],
    expected: tuple[str, ...],
) -> None:
    tables = read(table(tmp_path, headings, treated, control))
    assert problems(tables) == []
    assert values(tables, *ENDS)[0] == expected
    assert said(tables, "was read as it says") == (headings == ("median",))


def test_an_interval_that_nothing_names_is_asked_for_once_and_both_answers_work(tmp_path: Path) -> None:
    path = table(tmp_path, ("median",), ("5 (2-9)",), ("4 (3-6)",))
    asked = read(path).raws["outcomes"].problems
    assert [problem.cells for problem in asked] == [("B2", "B3"), ("D2", "D3")]
    for ends, expected in (("q1 q3", ("5", "2", "9", "", "")), ("min max", ("5", "", "", "2", "9"))):
        low, high = ends.split()
        options = [
            f"{name} median={arm}_median ({arm}_{low} to {arm}_{high})"
            for name, arm in (("EV", "treatment"), ("PBS", "control"))
        ]
        assert all(f'--map "{one}"' in problem.remedy for one, problem in zip(options, asked, strict=True))
        tables = read(path, columns=read_map(options))
        assert problems(tables) == []
        assert values(tables, *ENDS)[0] == expected


@pytest.mark.parametrize(
    ("headings", "treated"),
    [
        (("median", "IQR"), ("5", "3.2")),
        (("median (IQR)",), ("5 (3.2)",)),
        (("median (IQR)",), ("5 (IQR 3.2)",)),
        (("median", "range"), ("5", "7")),
    ],
)
def test_a_width_is_no_interval_and_is_asked_for_once_per_column(
    tmp_path: Path, headings: tuple[str, ...], treated: tuple[str, ...]
) -> None:
    asked = read(table(tmp_path, headings, treated, treated)).raws["outcomes"].problems
    assert [len(problem.cells) for problem in asked] == [2, 2]
    assert all("its width, from which its ends do not follow" in problem.what for problem in asked)
    assert all("minus and plus half of it" in problem.remedy for problem in asked)
    kept = read_map(part.split('"')[1] for problem in asked for part in problem.remedy.split("--map ")[1:])
    assert problems(read(table(tmp_path, headings, treated, treated), columns=kept)) == []


def test_a_cell_that_says_another_interval_than_its_heading_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, ("median (IQR)",), ("5 (range 2-9)",), ("4 (3-6)",))
    (first, second) = read(path).raws["outcomes"].problems
    assert (first.cells, second.cells) == (("B2",), ("B3",))
    assert (
        "says range, and its heading was read as treatment_median, treatment_q1, treatment_q3" in first.what
    )
