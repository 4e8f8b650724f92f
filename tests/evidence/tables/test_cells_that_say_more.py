"""What a cell says of its numbers counts: it agrees with the heading, or it is asked about."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaexo.evidence.codebook import load_codebook
from metaexo.evidence.tables.headings import read_map
from metaexo.evidence.tables.values import Dialect, Trouble, Value, value_of, values_of
from tests.evidence.tables.making import HEADINGS, LI, problems, read, said, values, workbook

KNOWN = load_codebook().sheets["outcomes"].columns
TABLE = ("Study", "Exosome n", "Control mean", "Control SD", "Control n")
ROW = ("Li", 10, 3.9, 1.1, 9)


@pytest.mark.parametrize(
    ("names", "heading", "cell"),
    [
        ("mean sd", "Exosome mean (SD)", "5.0 (SE 1.1)"),
        ("mean sd", "Exosome mean (SD)", "5.0 ± SEM 1.1"),
        ("mean sd", "Exosome mean (SD)", "5.0 ± 1.1 SEM"),
        ("mean sd", "Exosome mean (SD)", "5.0 (S.E.M. = 1.1)"),
        ("mean sd", "Exosome mean (SD)", "5.0 (n = 10)"),
        ("mean se", "Exosome mean (SE)", "5.0 (SD 1.1)"),
        ("mean se", "Exosome mean (SE)", "5.0 (n=10)"),
        ("mean sd n", "Exosome mean ± SD (n)", "5.0 ± SEM 1.1 (10)"),
        ("mean ci_low ci_high", "Exosome mean (95% CI)", "5.0 (IQR 4.1 to 5.9)"),
        ("mean ci_low ci_high", "Exosome mean (95% CI)", "5.0 (range 4.1 to 5.9)"),
        ("mean ci_low ci_high", "Exosome mean (95% CI)", "5.0 (90% CI 4.1 to 5.9)"),
        ("median q1 q3", "Exosome median (IQR)", "5.0 (range 4.1 to 5.9)"),
        ("median q1 q3", "Exosome median (IQR)", "5.0 (95% CI 4.1 to 5.9)"),
        ("median min max", "Exosome median (range)", "5.0 (IQR 4.1 to 5.9)"),
    ],
)
def test_a_cell_that_contradicts_its_heading_is_asked_about(names: str, heading: str, cell: str) -> None:
    columns = [KNOWN[f"treatment_{name}"] for name in names.split()]
    found = values_of(cell, columns, Dialect(), heading)
    assert isinstance(found, Trouble)
    assert ", and its heading was read as treatment_" in found.what


@pytest.mark.parametrize(
    ("names", "heading", "cell", "numbers"),
    [
        ("mean sd", "Exosome mean (SD)", "5.0 (SD 1.1)", "5.0 1.1"),
        ("mean se", "Exosome mean (SEM)", "5.0 ± 1.1 SE", "5.0 1.1"),
        ("mean n", "Exosome mean (n)", "5.0 (n = 10)", "5.0 10"),
        ("mean ci_low ci_high", "Exosome mean (95% CI)", "5.0 (95% CI: 4.1 to 5.9)", "5.0 4.1 5.9"),
        ("mean ci_low ci_high", "Exosome mean (90% CI)", "5.0 (90% CI 4.1 to 5.9)", "5.0 4.1 5.9"),
        ("median q1 q3", "Exosome median (IQR)", "5.0 (IQR 4.1–5.9)", "5.0 4.1 5.9"),
        ("mean ci_low ci_high", "Exosome mean ± 95% CI", "78.2 ± 7.6", "78.2 70.6 85.8"),
        ("mean sd", "Exosome mean (SD)", "78.2* ± 9.1 a,b", "78.2 9.1"),
    ],
)
def test_a_cell_that_agrees_is_read(names: str, heading: str, cell: str, numbers: str) -> None:
    columns = [KNOWN[f"treatment_{name}"] for name in names.split()]
    found = values_of(cell, columns, Dialect(), heading)
    assert not isinstance(found, Trouble)
    assert " ".join(value.text for value in found) == numbers


def test_the_option_of_a_column_of_standard_errors_works(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", [(*TABLE, "Exosome mean (SD)"), (*ROW, "5.0 (SE 1.1)")])
    (problem,) = read(path).raws["outcomes"].problems
    entry = problem.remedy.partition('--map "')[2].partition('"')[0]
    settled = read(path, columns=read_map([entry]))
    assert values(settled, "treatment_mean", "treatment_se", "treatment_sd") == [("5.0", "1.1", "")]
    assert problems(settled) == []


@pytest.mark.parametrize(
    ("name", "cell", "value"),
    [
        ("treatment_mean", "81.0**", "81.0"),
        ("treatment_mean", "61.5†", "61.5"),
        ("treatment_mean", "9.1 a,b", "9.1"),
        ("treatment_mean", "11.0b", "11.0"),
        ("p_value", "0.02*", "0.02"),
        ("treatment_mean", "81·0", "81.0"),
        ("treatment_sd", "±10.0", "10.0"),
        ("treatment_se", "(8.4)", "8.4"),
        ("treatment_n", "8 per group", "8"),
        ("treatment_n", "8/group", "8"),
        ("treatment_n", "n = 8 each", "8"),
        ("treatment_n", "8 mice per group", "8"),
    ],
)
def test_signs_around_one_number_are_read_and_said(name: str, cell: str, value: str) -> None:
    found = value_of(cell, KNOWN[name], Dialect(), "a heading")
    assert isinstance(found, Value)
    assert (found.text, bool(found.how)) == (value, True)


@pytest.mark.parametrize(
    ("name", "cell", "remedy"),
    [
        ("treatment_mean", "(8.4)", "write a number"),
        ("treatment_mean", "ND", "leave the cell empty if it was not measured"),
        ("treatment_mean", "70.5 mm2", "write 70.5 alone"),
        ("treatment_mean", "5 d", "write 5 alone"),
        ("treatment_n", "6/8", "write 6 if 6 of 8 were measured"),
    ],
)
def test_what_is_not_certain_is_asked_with_what_to_do(name: str, cell: str, remedy: str) -> None:
    found = value_of(cell, KNOWN[name], Dialect(), "Exosome n")
    assert isinstance(found, Trouble)
    assert remedy in found.remedy


def test_marks_are_said_once(tmp_path: Path) -> None:
    row = ("Li", "5.1*", "1.2†", "10 per group", 3.9, 1.1, 9)
    tables = read(workbook(tmp_path / "t.xlsx", [HEADINGS, row, LI]))
    assert values(tables)[0] == ("Li", "5.1", "1.2", "10", "3.9", "1.1", "9")
    assert said(tables, "marks and letters after numbers were left out in 2 cells of 'Exosome mean'")
    assert said(tables, '"8 per group" was read as 8 in 1 cell')
