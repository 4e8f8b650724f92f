"""Cells are read in any notation that leaves no doubt; every other is named, with what settles it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metaexo.evidence.codebook import load_codebook
from metaexo.evidence.tables.cells import Number, Percent
from metaexo.evidence.tables.headings import ARMS, read_map
from metaexo.evidence.tables.values import Dialect, Trouble, Value, dialect_of, number, value_of, values_of
from tests.evidence.tables.making import HEADINGS, LI, problems, read, said, text, values, workbook

KNOWN = load_codebook().sheets["outcomes"].columns
MEAN, SIZE, EVENTS = KNOWN["treatment_mean"], KNOWN["treatment_n"], KNOWN["treatment_events"]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("5.1", "5.1"),
        (" 5,1 ", "5.1"),
        ("0,125", "0.125"),
        ("1.234,5", "1234.5"),
        ("1,234.5", "1234.5"),
        ("1,234,567", "1234567"),
        ("1 000", "1000"),
        ("1\u202f000,5", "1000.5"),
        ("1'000", "1000"),
        ("\u22120.5", "-0.5"),
        ("–0,5", "-0.5"),
        ("+3", "3"),
        ("1e-3", "1e-3"),
        ("1,5 × 10^9", "1.5e9"),
        ("1.5x10⁹", "1.5e9"),
        (".5", ".5"),
    ],
)
def test_numbers_that_leave_no_doubt(cell: str, value: str) -> None:
    found = number(cell, Dialect())
    assert found is not None
    assert found.text == value


@pytest.mark.parametrize(
    "cell", ["1.5 x 109", "5 10", "10-12", "12.10.2024", "5.1*", "5a", "1,2,3", "٣", "--5"]
)
def test_texts_that_are_no_number(cell: str) -> None:
    assert number(cell, Dialect(".")) is None


@pytest.mark.parametrize(
    ("others", "separator", "cell", "value"),
    [
        (["5.1"], "", "1,000", "1000"),
        (["5,1"], "", "1,000", "1.000"),
        ([], "", "1,000", None),
        (["5.1", "5,2"], "", "1,000", None),
        (["5.1"], "", "1.234", "1.234"),
        ([], ",", "1.234", "1.234"),
        ([], ";", "1.234", None),
        (["5,1"], ";", "1.234", "1234"),
        (["5,1"], "", "0.234", "0.234"),
        ([Number("5.1")], "", "1,000", None),
    ],
)
def test_three_digits_after_a_sign_are_settled_by_the_other_numbers(
    others: list[str], separator: str, cell: str, value: str | None
) -> None:
    found = number(cell, dialect_of([*others, cell], separator))
    assert (found and found.text) == value
    if value is None:
        trouble = value_of(cell, MEAN, dialect_of([*others, cell], separator), "Exosome mean")
        assert isinstance(trouble, Trouble)
        assert cell.replace(",", "").replace(".", "") in trouble.remedy


def test_percentages() -> None:
    assert value_of("50 %", MEAN, Dialect(), "") == Value("50", "percent")
    assert value_of("85,2%", MEAN, Dialect(), "") == Value("85.2", "percent, decimal comma")
    assert value_of(Percent("12.345%"), MEAN, Dialect(","), "") == Value("12.345", "percent")
    assert isinstance(value_of("50 %", EVENTS, Dialect(), ""), Trouble)
    assert isinstance(value_of("50%", SIZE, Dialect(), ""), Trouble)
    assert value_of("12 (60 %)", EVENTS, Dialect(), "") == Value("12", "count with its percentage")


@pytest.mark.parametrize("cell", ["n/a", "NA", "-", "–", "nr", "Not reported", "k. A.", "#N/A", "."])
def test_words_for_nothing_are_empty_cells(cell: str) -> None:
    assert value_of(cell, MEAN, Dialect(), "") == Value("", "empty")


@pytest.mark.parametrize("cell", ["n.d.", "none", "ns", "0/0/0", "see text", "x" * 10_000, "1" * 5_000])
def test_other_words_are_asked_for(cell: str) -> None:
    trouble = value_of(cell, MEAN, Dialect(), "")
    assert isinstance(trouble, Trouble)
    assert len(trouble.what) < 200


@pytest.mark.parametrize(
    ("names", "cell", "found"),
    [
        ("mean sd", "5.0 ± 1.0", "5.0 1.0"),
        ("mean sd", "5,0 (1,0)", "5.0 1.0"),
        ("mean sd", "-5.0 +/- 1", "-5.0 1"),
        ("mean ci_low ci_high", "5.0 (4.1–5.9)", "5.0 4.1 5.9"),
        ("mean ci_low ci_high", "-1.2 [-2.0, -0.4]", "-1.2 -2.0 -0.4"),
        ("mean ci_low ci_high", "-1,2 (-2,0 to -0,4)", "-1.2 -2.0 -0.4"),
        ("events n", "12/20", "12 20"),
        ("events n", "12 of 20 (60%)", "12 20"),
        ("mean sd n", "5.0 ± 1.0 (10)", "5.0 1.0 10"),
        ("mean sd n", "5.0 ± 1.0 (n = 10)", "5.0 1.0 10"),
        ("median q1 q3", "5 [3; 7]", "5 3 7"),
        ("mean sd", "n/a", " "),
        ("mean sd", "5.0", None),
        ("mean sd", "5.0 ± 1.0 ± 2.0", None),
        ("mean sd", "1,000 ± 100", None),
        ("median q1 q3", "5 (4)", None),
        ("events n", "60 %", None),
    ],
)
def test_several_numbers_in_one_cell(names: str, cell: str, found: str | None) -> None:
    columns = [KNOWN[f"treatment_{name}"] for name in names.split()]
    read_ = values_of(cell, columns, Dialect(), "Exosome")
    if found is None:
        assert isinstance(read_, Trouble)
    else:
        assert not isinstance(read_, Trouble)
        assert " ".join(value.text for value in read_).strip() == found.strip()


def changed(cell: str, change: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda sheet: change(sheet[cell])


@pytest.mark.parametrize(
    ("at", "value", "kind"),
    [
        (1, "5.1 ± 1.2", "UnclearCellError"),
        (1, "10–12", "UnclearCellError"),
        (1, "1,000", "UnclearCellError"),
        (1, datetime.datetime(2024, 10, 12), "UnclearCellError"),
        (1, datetime.time(10, 12), "UnclearCellError"),
        (1, "=1+2", "UncomputedCellError"),
        (1, "#DIV/0!", "UncomputedCellError"),
        (3, "10 %", "UnclearCellError"),
        (3, "ten", "NotANumberError"),
        (0, None, "MissingCellError"),
    ],
)
def test_cells_that_are_named(tmp_path: Path, at: int, value: object, kind: str) -> None:
    row = [*LI]
    row[at] = value
    tables = read(workbook(tmp_path / "t.xlsx", [HEADINGS, LI, row]))
    assert problems(tables) == [(kind, f"{'ABCDEFG'[at]}3")]
    (problem,) = tables.raws["outcomes"].problems
    assert problem.remedy
    assert problem.line == 3


def test_a_mean_with_something_after_it_names_both_options(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", [HEADINGS, ("Li", "5.1 ± 1.2", None, 10, 3.9, 1.1, 9)])
    (problem,) = read(path).raws["outcomes"].problems
    assert '--map "Exosome mean=treatment_mean ± treatment_sd"' in problem.remedy
    assert '--map "Exosome mean=treatment_mean ± treatment_se"' in problem.remedy
    settled = read(path, columns={"Exosome mean": "treatment_mean ± treatment_se"})
    assert values(settled, "treatment_mean", "treatment_se", "treatment_sd") == [("5.1", "1.2", "")]


@pytest.mark.parametrize(
    ("heading", "columns"),
    [
        ("SMD", ("effect", "effect_ci_low", "effect_ci_high")),
        ("Exosome mean", ("treatment_mean", "treatment_ci_low", "treatment_ci_high")),
        ("Control median", ("control_median", "control_q1", "control_q3")),
    ],
)
def test_a_number_with_its_interval_names_the_option(
    tmp_path: Path, heading: str, columns: tuple[str, ...]
) -> None:
    path = workbook(tmp_path / "t.xlsx", [("Study", heading), ("Li", "5.0 (4.1 to 5.9)")])
    (problem,) = read(path).raws["outcomes"].problems
    entry = problem.remedy.partition('--map "')[2].partition('"')[0]
    assert values(read(path, columns=read_map([entry])), *columns) == [("5.0", "4.1", "5.9")]


def test_what_was_read_in_another_notation_is_said(tmp_path: Path) -> None:
    row = ("Li", "5,1", "1,2", "n = 10", "3,9", "n/a", 9.0)
    tables = read(workbook(tmp_path / "t.xlsx", [(*HEADINGS, "p"), (*row, "p < 0,05"), (*row, 0.2)]))
    assert (
        values(tables, "treatment_mean", "treatment_sd", "treatment_n", "control_sd", "control_n")
        == [("5.1", "1.2", "10", "", "9")] * 2
    )
    assert values(tables, "p_relation", "p_value") == [("<", "0.05"), ("=", "0.2")]
    assert said(tables, "decimal commas were read in 7 cells")
    assert said(tables, "read as empty cells: 'n/a' (2)")
    assert said(tables, '"n = 10" was read as 10')
    assert said(tables, "p_relation is <")


def test_percent_formats_are_per_cent_in_the_whole_row_or_asked_for(tmp_path: Path) -> None:
    row = ("Li", 0.51, 0.07, 10, 0.39, 0.11, 9)

    def all_of_them(sheet: Any) -> None:
        for cell in ("B2", "C2", "E2", "F2"):
            sheet[cell].number_format = "0%"

    tables = read(workbook(tmp_path / "all.xlsx", [HEADINGS, row], all_of_them))
    assert values(tables, "treatment_mean", "treatment_sd", "control_mean") == [("51", "7", "39")]
    assert said(tables, "50 % is read as 50, in per cent")
    one = workbook(
        tmp_path / "one.xlsx", [HEADINGS, row], lambda sheet: setattr(sheet["B2"], "number_format", "0%")
    )
    assert problems(read(one)) == [("UnclearCellError", "C2")]


@pytest.mark.parametrize("shown_as", ['0.0"%"', "0.0\\%", '[Red]0"% of wounds"'])
def test_a_percent_sign_that_a_format_only_shows_scales_nothing(tmp_path: Path, shown_as: str) -> None:
    def both(sheet: Any) -> None:
        sheet["B2"].number_format = sheet["C2"].number_format = shown_as

    tables = read(workbook(tmp_path / "t.xlsx", [HEADINGS, ("Li", 30, 5, 10, 39, 6, 9)], both))
    assert values(tables, "treatment_mean", "treatment_sd", "control_mean") == [("30", "5", "39")]


def test_events_of_a_size(tmp_path: Path) -> None:
    names = ("Study", "Exosome events", "Exosome n", "Control events")
    tables = read(
        workbook(tmp_path / "t.xlsx", [names, ("Li", "12/20", 20, "3/19"), ("Wu", "12/20", 21, "3/19")])
    )
    assert values(tables, "treatment_events", "treatment_n", "control_events", "control_n")[0] == (
        "12",
        "20",
        "3",
        "19",
    )
    assert problems(tables) == [("UnclearCellError", "B3")]


@pytest.mark.parametrize(
    ("cell", "relation", "value"),
    [
        ("p<0.05", "<", "0.05"),
        ("P = .03", "=", ".03"),
        ("≤0,01", "<=", "0.01"),
        ("0.2", "=", "0.2"),
        ("n/a", "", ""),
    ],
)
def test_p_values(tmp_path: Path, cell: str, relation: str, value: str) -> None:
    tables = read(workbook(tmp_path / "t.xlsx", [("Study", "n1", "n2", "p value"), ("Li", 10, 9, cell)]))
    assert values(tables, "p_relation", "p_value", "contrast") == [(relation, value, "exosome_vs_control")]


@pytest.mark.parametrize("cell", ["ns", "**", "5 %", "p", "significant"])
def test_p_values_in_words_are_asked_for(tmp_path: Path, cell: str) -> None:
    tables = read(workbook(tmp_path / "t.xlsx", [("Study", "n1", "n2", "p value"), ("Li", 10, 9, cell)]))
    assert [where for _, where in problems(tables)] == ["D2"]


def test_words_of_lists_and_of_the_outcomes(tmp_path: Path) -> None:
    names = (*HEADINGS, "Outcome", "Better", "Source category", "Paired")
    rows = [
        names,
        (*LI, "Wound closure (%)", "Higher is better", "Adipose MSC", "Yes"),
        ("Wu", *LI[1:], "wound closure", "LOWER", "platelet", "n/a"),
        ("Xu", *LI[1:], "My own", "none", None, None),
        ("Yu", *LI[1:], "my own", "sideways", "moon", None),
    ]
    tables = read(workbook(tmp_path / "t.xlsx", rows))
    assert values(tables, "outcome", "better", "source_category", "paired") == [
        ("wound_closure_pct", "higher", "adipose_msc", "yes"),
        ("wound_closure", "lower", "platelet", ""),
        ("My own", "none", "", ""),
        ("My own", "sideways", "moon", ""),
    ]
    assert said(tables, "'my own' was read as 'My own' in outcome")


@pytest.mark.parametrize("cell", ["10.1/x", "https://doi.org/10.1/x", "doi: 10.1/x", "DOI:10.1/x"])
def test_identifiers_without_what_stands_before_them(tmp_path: Path, cell: str) -> None:
    rows = [(*HEADINGS, "DOI", "PMID"), (*LI, cell, "PMID: 123"), ("Wu", *LI[1:], "n/a", 123)]
    tables = read(workbook(tmp_path / "t.xlsx", rows))
    assert values(tables, "doi", "pmid") == [("10.1/x", "123"), ("", "123")]


def test_studies_in_two_spellings_are_refused(tmp_path: Path) -> None:
    tables = read(
        workbook(tmp_path / "t.xlsx", [HEADINGS, LI, ("li 2020", *LI[1:]), ("Li  2020", 5.6, *LI[2:])])
    )
    assert problems(tables) == [("UnclearCellError", "A3")]
    assert values(tables, "study_id")[2] == ("Li 2020",)


def test_two_numbers_among_single_ones_go_into_the_columns_that_are_there(tmp_path: Path) -> None:
    rows = [HEADINGS, LI, ("Wu 2021", "70 ± 8", None, 8, 3.7, 1.25, 7)]
    (problem,) = read(workbook(tmp_path / "t.xlsx", rows)).raws["outcomes"].problems
    assert "--map" not in problem.remedy
    assert problem.remedy.startswith("write 70 in")
    assert re.search(r"8 in \S*C3 \(treatment_sd\)", problem.remedy)


@pytest.mark.parametrize(
    ("cell", "size", "remedy"),
    [
        ("8 mice", "8", ""),
        ("6-8", "", "the smaller is the cautious choice"),
        ("8 wells", "", "number of animals"),
        ("~8", "", "write 8 if that is near enough"),
    ],
)
def test_sizes_that_are_more_than_a_number(tmp_path: Path, cell: str, size: str, remedy: str) -> None:
    tables = read(workbook(tmp_path / "t.xlsx", [HEADINGS, (*LI[:3], cell, *LI[4:])]))
    assert values(tables, "treatment_n") == [(size,)]
    assert all(remedy in problem.remedy for problem in tables.raws["outcomes"].problems)
    assert bool(remedy) == bool(tables.raws["outcomes"].problems)


@pytest.mark.parametrize(
    ("cell", "species"),
    [("C57BL/6 mice", "mouse"), ("rats", "rat"), ("mice and rats", "mice and rats"), ("axolotl", "axolotl")],
)
def test_a_species_is_read_where_one_is_named(tmp_path: Path, cell: str, species: str) -> None:
    tables = read(workbook(tmp_path / "t.xlsx", [(*HEADINGS, "Species"), (*LI, cell)]))
    assert values(tables, "species") == [(species,)]
    assert said(tables, f"{cell!r} was read as") == (cell != species)


AMBIGUOUS = (
    ("Study", "Exosome mean", "Exosome SD", "Exosome n", "Control mean", "Control SD", "Control n"),
    ("Li 2020", "1,234", "210", 10, "1,020", "198", "1,250"),
    ("Wu 2021", "1,310", "190", 8, "1,050", "205", 8),
    ("Ma 2022", "980", "185", 9, "900", "177", 9),
)


def test_a_number_that_can_be_two_is_asked_for_once_per_column_and_both_answers_work(tmp_path: Path) -> None:
    path = text(tmp_path / "t.csv", AMBIGUOUS)
    asked = read(path).raws["outcomes"].problems
    assert [problem.cells for problem in asked] == [("B2", "B3"), ("E2", "E3")]
    assert asked[0].lines == (2, 3)
    assert "'1,234' can be 1234 or 1.234, and 1 other cell of the column likewise" in asked[0].what
    assert '--map "Exosome mean=treatment_mean, decimal point" if it is 1234' in asked[0].remedy
    assert '--map "Exosome mean=treatment_mean, decimal comma" if it is 1.234' in asked[0].remedy
    for words, first in (("decimal point", "1234"), ("decimal comma", "1.234")):
        arms = zip(("Exosome", "Control"), ARMS, strict=True)
        tables = read(path, columns=read_map(f"{arm} mean={name}_mean, {words}" for arm, name in arms))
        assert tables.raws["outcomes"].problems == []
        assert values(tables, "treatment_mean", "control_n")[0] == (first, "1250")


@pytest.mark.parametrize(
    ("other", "first"), [("12,5", "1.234"), ("1,234,567", "1234"), ("1,234.5", "1234"), ("0,980", "1.234")]
)
def test_one_cell_of_a_column_settles_the_others_whatever_other_columns_have(
    tmp_path: Path, other: str, first: str
) -> None:
    rows = [list(row) for row in AMBIGUOUS]
    rows[3][1], rows[2][2] = other, "190.5"
    rows[2][4] = "1,050.5"
    tables = read(text(tmp_path / "t.csv", rows))
    assert tables.raws["outcomes"].problems == []
    assert values(tables, "treatment_mean", "control_mean")[0] == (first, "1020")
    how = "decimal commas were read in" if "." in first else "signs between thousands were taken out of"
    assert any(note.startswith(how) and "'Exosome mean'" in note for note in tables.notes)
