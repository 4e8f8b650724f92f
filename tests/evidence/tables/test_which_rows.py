"""Sums, remarks, rows that were left out, copies, and papers of one name: which rows of a table count."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import metaexo as mx
from metaexo.errors import RepeatedNumbersWarning, TwoPapersWarning, UnclearCellError, UnclearColumnError
from metaexo.evidence.tables.headings import read_map
from tests.evidence.tables.making import HEADINGS, LI, WU, workbook

MO = ("Mo 2022", 6.0, 1.3, 6, 4.1, 1.2, 6)
MEANS = (5.17, 1.13, 8, 3.9, 1.18, 7)
SUMS = (15.5, 3.4, 24, 11.7, 3.55, 22)
THREE = [HEADINGS, LI, WU, MO]


def _check(path: Path, rows: Any, maps: str = "") -> mx.SheetCheck:
    options = re.findall(r'--map "([^"]*)"', maps)
    return mx.check_sheets(workbook(path / "t.xlsx", rows), columns=read_map(options) or None)


@pytest.mark.parametrize(
    "word",
    [
        *(
            "Average",
            "Mittelwert",
            "Mean",
            "MEDIAN",
            "All studies",
            "SD",
            "∑",
            "Σ",
            "Summe",
            "Total:",
            "Pooled",
        ),
        *("mean of all", "Durchschnitt", "Min", "n", "Average of the studies"),
    ],
)
def test_a_row_that_sums_up_is_no_study_and_that_is_said(tmp_path: Path, word: str) -> None:
    found = _check(tmp_path, [*THREE, (word, 9.9, 9, 9, 9.8, 9, 9)])
    assert found.ok
    assert found.rows["studies"] == 3
    assert any("row 5 was not read" in note and "sums up" in note for note in found.notes)


def test_words_that_are_names_of_people_are_studies_where_words_stand_beside_them(tmp_path: Path) -> None:
    headings = ("First author", "Year", "Source", *HEADINGS[1:])
    rows = [(name, 2019, "ADSC", *row[1:]) for name, row in zip(("Li", "Min", "Sum"), THREE[1:], strict=True)]
    assert _check(tmp_path, [headings, *rows]).rows["studies"] == 3


@pytest.mark.parametrize(("numbers", "word"), [(MEANS, "means"), (SUMS, "sums")])
def test_a_last_row_of_means_or_sums_is_asked_about_whatever_it_is_called(
    tmp_path: Path, numbers: Any, word: str
) -> None:
    found = _check(tmp_path, [*THREE, ("Z", *numbers)])
    (one,) = found.problems
    assert one.kind is UnclearCellError
    assert word in one.what
    assert one.cells == ("Data!A5",)
    assert _check(tmp_path, [HEADINGS, ("Z", *numbers), LI, WU, MO]).ok


def test_remarks_below_the_numbers_are_said_and_are_no_studies(tmp_path: Path) -> None:
    remarks = [
        ("SD from SEM", None, "see text"),
        ("* n is per group",),
        ("Li 2020: values read from Fig. 3 b", 5.1),
    ]
    found = _check(tmp_path, [*THREE, *remarks])
    assert found.ok
    assert found.rows["studies"] == 3
    assert sum(re.match("row [567] was not read", note) is not None for note in found.notes) == 3


def test_a_study_without_numbers_in_the_last_row_stays_a_study(tmp_path: Path) -> None:
    assert _check(tmp_path, [*THREE, ("Zhu 2024",) + (None,) * 5 + ("n.r.",)]).rows["studies"] == 4


def test_boxes_down_to_the_last_row_are_one_sentence(tmp_path: Path) -> None:
    rows = [(*HEADINGS, "Included?"), *((*row, True) for row in THREE[1:])]
    found = _check(tmp_path, [*rows, *[(None,) * 7 + (False,)] * 90])
    assert found.ok
    assert found.rows["studies"] == 3
    assert "rows 5 to 94 were not read: they hold only 'FALSE'" in found.notes
    assert not any("row 6 " in note for note in found.notes)


@pytest.mark.parametrize(
    ("heading", "cells"),
    [
        ("Include in meta-analysis?", ("yes", "no", "yes")),
        ("Included", (True, False, True)),
        ("Eligible", (1, 0, 1)),
        ("Included", ("x", None, "x")),
        ("Excluded", (None, "x", None)),
    ],
)
def test_a_study_that_a_column_leaves_out_is_asked_about_and_both_answers_work(
    tmp_path: Path, heading: str, cells: Any
) -> None:
    rows = [(*HEADINGS, heading), *((*row, cell) for row, cell in zip(THREE[1:], cells, strict=True))]
    found = _check(tmp_path, rows)
    (one,) = found.problems
    assert one.kind is UnclearCellError
    assert one.cells == ("Data!H3",)
    kept = _check(tmp_path, rows, one.remedy)
    assert kept.ok
    assert kept.prospect is not None
    assert kept.prospect.effects == 3
    sheets = mx.read_table(tmp_path / "t.xlsx", columns={heading: None})
    (where,) = re.findall(r"""--where (?:'([^']*)'|"([^"]*)")""", one.remedy)
    assert sorted(sheets.outcomes.query("".join(where))["study_id"]) == ["Li 2020", "Mo 2022"]


@pytest.mark.parametrize("cells", [("yes", "yes", "yes"), ("mice", "rats", "no pigs"), (12, 10, 8)])
def test_other_columns_of_that_name_are_no_choice(tmp_path: Path, cells: Any) -> None:
    rows = [(*HEADINGS, "Included"), *((*row, cell) for row, cell in zip(THREE[1:], cells, strict=True))]
    assert _check(tmp_path, rows).ok


@pytest.mark.parametrize(
    "name",
    ["Li et al. 2020", "Li et al., 2020", "Li, 2020", "Li (2020)", "LI 2020", "Li2020", "Li et al 2020"],
)
def test_one_paper_in_two_spellings_is_one_study(tmp_path: Path, name: str) -> None:
    (one,) = _check(tmp_path, [*THREE, (name, 6.1, 1.4, 7, 4.4, 1.5, 7)]).problems
    assert one.kind is UnclearCellError
    assert "'Li 2020' in row 2" in one.what
    assert "'Li 2020a'" in one.remedy


def test_letters_and_numbers_make_another_paper(tmp_path: Path) -> None:
    more = [
        (name, 6.1 + i, 1.4, 7, 4.4, 1.5, 7) for i, name in enumerate(("Li 2020a", "Li 2021", "Lin 2020"))
    ]
    assert _check(tmp_path, [*THREE, *more]).rows["studies"] == 6


def test_two_papers_of_one_name_are_a_warning_that_a_caution_settles(tmp_path: Path) -> None:
    rows = [(*HEADINGS, "DOI", "Caution"), (*LI, "10.1/a", None), ("Li 2020", *WU[1:], "10.1/b", None)]
    (one,) = [one for one in _check(tmp_path, rows).warnings if one.kind is TwoPapersWarning]
    assert one.cells == ("Data!H3",)
    assert '"Li 2020a" and "Li 2020b"' in one.remedy
    assert "Two papers under one name?" in _check(tmp_path, rows).report()
    rows[2] = (*rows[2][:-1], "TwoPapersWarning: one experiment in two papers")
    assert not any(one.kind is TwoPapersWarning for one in _check(tmp_path, rows).warnings)


def test_readings_of_several_people_are_one_result(tmp_path: Path) -> None:
    people = ("Anna", "Consensus", "Bob")
    rows = [(*HEADINGS, "Reviewer name"), *((*row, one) for row in THREE[1:] for one in people)]
    found = _check(tmp_path, rows)
    copies = [one for one in found.warnings if one.kind is RepeatedNumbersWarning]
    assert [one.lines for one in copies] == [(2, 3, 4), (5, 6, 7), (8, 9, 10)]
    assert """--where '`Reviewer name` == "Consensus"'""" in copies[0].remedy
    with pytest.warns(RepeatedNumbersWarning, match="the same in every number"):
        sheets = mx.read_table(tmp_path / "t.xlsx")
    table = sheets.outcomes.query('`Reviewer name` == "Consensus"')
    assert list(table["line"]) == [3, 6, 9]


def test_words_that_differ_within_studies_may_be_the_outcome(tmp_path: Path) -> None:
    second = [(row[0], *(value + 0.71 if value % 1 else value for value in row[1:])) for row in THREE[1:]]
    rows = [(*HEADINGS, "What"), *((*row, "area") for row in THREE[1:]), *((*row, "width") for row in second)]
    (one,) = _check(tmp_path, rows).problems
    assert one.kind is UnclearColumnError
    assert one.heading == "What"
    assert "'area', 'width'" in one.what
    as_outcome, as_own, *_ = re.findall(r'--map "[^"]*"', one.remedy)
    assert _check(tmp_path, rows, as_outcome).ok
    table = mx.read_table(tmp_path / "t.xlsx", columns={"What": "outcome"}).outcomes
    assert {*table["outcome"]} == {"area", "width"}
    assert _check(tmp_path, rows, as_own).ok


def test_what_tells_studies_apart_and_not_their_rows_is_no_outcome(tmp_path: Path) -> None:
    rows = [(*HEADINGS, "Country"), (*LI, "China"), (*WU, "Japan"), ("Li 2020", *MO[1:], "China")]
    assert _check(tmp_path, rows).ok


EITHER = ("Study", *(f"{arm} {part}" for arm in ("Exosome", "Control") for part in ("mean", "SD/SEM", "n")))


@pytest.mark.parametrize(
    ("headings", "rows"),
    [
        (EITHER, THREE[1:]),
        (
            ("Study", "Exosome", "Control"),
            [(r[0], f"{r[1]} ± {r[2]} (n = {r[3]})", f"{r[4]} ± {r[5]} (n = {r[6]})") for r in THREE[1:]],
        ),
    ],
)
def test_numbers_that_give_no_effect_are_never_no_error(tmp_path: Path, headings: Any, rows: Any) -> None:
    found = _check(tmp_path, [headings, *rows])
    (one,) = found.problems
    assert one.kind is UnclearColumnError
    assert "no row gives an effect" in one.what
    first: dict[str, str] = {}
    for heading, name in re.findall(r'--map "([^"]*)=([^"=]+)"', one.remedy):
        first.setdefault(heading, name)
    said = " ".join(f'--map "{heading}={name}"' for heading, name in first.items())
    mapped = _check(tmp_path, [headings, *rows], said)
    assert mapped.ok
    assert mapped.prospect is not None
    assert mapped.prospect.effects == 3
    own = _check(tmp_path, [headings, *rows], " ".join(re.findall(r'--map "[^"]*="', one.remedy)))
    assert own.ok
    assert own.prospect is not None
    assert own.prospect.effects == 0


def test_a_control_that_another_row_has_is_pointed_at(tmp_path: Path) -> None:
    rows = [
        (*HEADINGS, "Dose"),
        (*LI, "50 µg"),
        ("Li 2020", 6.2, 1.1, 10, None, None, None, "200 µg"),
        (*WU, ""),
    ]
    (gap,) = _check(tmp_path, rows).gaps
    assert gap.lines == (3,)
    assert "row 2 of the study has a control" in gap.remedy


@pytest.mark.parametrize("mark", ['"', "〃", "ditto", '-"-', "idem", "s.o."])
def test_a_ditto_mark_is_no_study(tmp_path: Path, mark: str) -> None:
    (one,) = _check(tmp_path, [*THREE, (mark, 6.1, 1.4, 7, 4.4, 1.5, 7)]).problems
    assert one.cells == ("Data!A5",)
    assert one.remedy.startswith("write 'Mo 2022' in it")
