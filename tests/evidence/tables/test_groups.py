"""Which groups of a table are the treated and the control: three groups, groups in rows, and negations."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaexo.evidence.tables.headings import arm_named, load_headings
from tests.evidence.tables.making import Rows, problems, read, values, workbook

SHAM, MODEL, EXOSOME = (1.0, 0.5, 8), (6.9, 1.2, 9), (5.1, 1.1, 10)
PARTS = ("mean", "SD", "n")


def _table(path: Path, *groups: str) -> Path:
    numbers = dict(zip(groups, (SHAM, MODEL, EXOSOME)[-len(groups) :], strict=True))
    head = ["Study", *(f"{group} {part}" for group in groups for part in PARTS)]
    return workbook(path, [head, ["Li 2020", *(cell for group in groups for cell in numbers[group])]])


@pytest.mark.parametrize(
    ("control", "third"),
    [
        ("Sham", "Model"),
        ("Control", "Model"),
        ("Control", "LPS"),
        ("Untreated", "Injury"),
        ("Placebo", "I/R"),
        ("Control", "Blank"),
        ("Control", "Healthy"),
    ],
)
def test_a_third_group_is_asked_for_and_either_answer_settles_it(
    tmp_path: Path, control: str, third: str
) -> None:
    path = _table(tmp_path / "t.xlsx", control, third, "Exosome")
    (problem,) = read(path).raws["outcomes"].problems
    assert "of a third group" in problem.what
    keep = f'--map "{third} mean="'
    instead = " ".join(f'--map "{control} {part}="' for part in PARTS)
    instead += "".join(f' --map "{third} {part}=control_{part.lower()}"' for part in PARTS)
    assert keep in problem.remedy
    assert instead in problem.remedy
    kept = read(path, columns={f"{third} mean": None})
    assert problems(kept) == []
    assert values(kept, "treatment_mean", "control_mean") == [("5.1", "1")]
    said = {f"{control} {part}": None for part in PARTS}
    said |= {f"{third} {part}": f"control_{part.lower()}" for part in PARTS}
    turned = read(path, columns=said)
    assert problems(turned) == []
    assert values(turned, "treatment_mean", "control_mean") == [("5.1", "6.9")]


def test_a_third_group_of_pairs_is_asked_for_once_the_spread_is_said(tmp_path: Path) -> None:
    rows: Rows = [("Study", "Sham", "Model", "Exosome"), ("Li 2020", "1.0 ± 0.5", "6.9 ± 1.2", "5.1 ± 1.1")]
    tables = read(workbook(tmp_path / "t.xlsx", rows), columns={"Exosome": "treatment_mean ± treatment_sd"})
    assert [where for _, where in problems(tables)] == ["B1"]
    rows = [tuple(f"{cell} mean ± SD" if cell in ("Sham", "Exosome") else cell for cell in rows[0]), rows[1]]
    assert [where for _, where in problems(read(workbook(tmp_path / "u.xlsx", rows)))] == ["C1"]


def test_what_describes_the_animals_is_no_third_group(tmp_path: Path) -> None:
    head = ["Study", *(f"{group} {part}" for group in ("Control", "Exosome") for part in PARTS)]
    more = ["Age mean", "Age SD", "Exosome size mean", "Exosome size SD"]
    row = ["Li 2020", *MODEL, *EXOSOME, 8.1, 0.4, 120, 30]
    assert problems(read(workbook(tmp_path / "t.xlsx", [[*head, *more], row]))) == []


@pytest.mark.parametrize(
    ("without", "with_"),
    [
        ("exo-", "exo+"),
        ("exo−", "exo+"),
        ("Without exosomes", "With exosomes"),
        ("No exosomes", "Exosomes"),
        ("EV-free medium", "EVs"),
        ("Exosome-depleted", "Exosome"),
        ("w/o EVs", "EVs"),
        ("Ohne Exosomen", "Exosomen"),
    ],
)
def test_a_group_without_exosomes_is_offered_as_the_control_and_never_as_treated(
    tmp_path: Path, without: str, with_: str
) -> None:
    path = _table(tmp_path / "t.xlsx", without, with_)
    (problem,) = read(path).raws["outcomes"].problems
    assert f'--map "{without} mean=control_mean"' in problem.remedy
    assert "treatment_mean" not in problem.remedy
    said = {f"{without} {part}": f"control_{part.lower()}" for part in PARTS}
    assert values(read(path, columns=said), "treatment_mean", "control_mean") == [("5.1", "6.9")]


def test_a_control_that_says_so_twice_is_the_control(tmp_path: Path) -> None:
    tables = read(_table(tmp_path / "t.xlsx", "PBS (no exosomes)", "Exosomes"))
    assert problems(tables) == []
    assert values(tables, "treatment_mean", "control_mean") == [("5.1", "6.9")]
    words = load_headings()
    assert [arm_named(text, words) for text in ("PBS", "no EVs", "EV-free", "EVs")] == [
        "control",
        "",
        "",
        "treatment",
    ]


@pytest.mark.parametrize(
    ("heading", "cells", "settled_by"),
    [
        ("Treatment", ("EV-high", "Model"), None),
        ("Group", ("ADSC 50", "DMEM"), None),
        ("Cells", ("without exosomes", "hADSC-Exo"), None),
        ("Source", ("ADSC", "none (PBS)"), "source_reported"),
    ],
)
def test_a_row_per_group_is_asked_for_where_a_name_is_not_known(
    tmp_path: Path, heading: str, cells: tuple[str, str], settled_by: str | None
) -> None:
    rows = [
        (f"Li {year}", cell, *numbers)
        for year in (2020, 2021)
        for cell, numbers in zip(cells, (EXOSOME, MODEL), strict=True)
    ]
    path = workbook(tmp_path / "t.xlsx", [("Study", heading, "Mean", "SD", "n"), *rows])
    (problem,) = read(path).raws["outcomes"].problems
    assert "the table may have a row per group" in problem.what
    assert f'--map "{heading}={settled_by or ""}" if no row is of a control' in problem.remedy
    assert problems(read(path, columns={heading: settled_by})) == []


@pytest.mark.parametrize("heading", ["Sex", "Group"])
def test_rows_of_one_group_that_are_no_arms_are_not_asked_for(tmp_path: Path, heading: str) -> None:
    rows = [(f"Li {2020 + i}", "male" if i else "female", *EXOSOME) for i in range(3)]
    assert problems(read(workbook(tmp_path / "t.xlsx", [("Study", heading, "Mean", "SD", "n"), *rows]))) == []
