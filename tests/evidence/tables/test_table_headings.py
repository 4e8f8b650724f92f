"""Headings are read by their words; what is not certain is asked for, with the option that settles it."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import pytest

from metaexo.errors import InputError, MisnamedColumnWarning, MissingColumnError, UnknownChoiceError
from metaexo.evidence.codebook import load_codebook
from metaexo.evidence.tables.headings import OURS, load_headings, meaning, read_map, targets
from metaexo.evidence.tables.table import flat_plan
from tests.evidence.tables.making import HEADINGS, LI, WU, problems, read, said, values, workbook

KNOWN = flat_plan(load_codebook(), "t.xlsx").columns
WORDS = load_headings()
OPTIONS = re.compile(r'--map "([^"]+)"')
ARM = {"treatment_mean": "5.1", "treatment_sd": "1.2", "treatment_n": "10"}
READ = [("Li 2020", "5.1", "1.2", "10", "3.9", "1.1", "9")]


@pytest.mark.parametrize(
    ("heading", "columns"),
    [
        ("Treatment Mean", "treatment_mean"),
        ("Exp N", "treatment_n"),
        ("EV mean (SD)", "treatment_mean treatment_sd"),
        ("n1", "treatment_n"),
        ("M1", "treatment_mean"),
        ("SD2", "control_sd"),
        ("Author (year)", "study_id"),
        ("Study or Subgroup", "study_id"),
        ("Control mean ± SEM", "control_mean control_se"),
        ("Exosome Std. Dev.", "treatment_sd"),
        ("Exosome S.E.M.", "treatment_se"),
        ("meanExo", "treatment_mean"),
        ("sd.c", "control_sd"),
        ("n_treatment", "treatment_n"),
        ("MSC-Exo mean (mm2)", "treatment_mean"),
        ("Kontrolle Mittelwert", "control_mean"),
        ("Exosomen Standardabweichung", "treatment_sd"),
        ("EV source", "source_reported"),
        ("Method of isolation", "isolation_reported"),
        ("Source category", "source_category"),
        ("Exosome events / n", "treatment_events treatment_n"),
        ("Control n/N", "control_events control_n"),
        ("Exosome median (IQR)", "treatment_median treatment_q1 treatment_q3"),
        ("Control mean (95% CI)", "control_mean control_ci_low control_ci_high"),
        ("OR (95% CI)", "effect effect_ci_low effect_ci_high"),
        ("Hedges' g", "effect"),
        ("P-value", "p_value"),
        ("treatment_ci_low", "treatment_ci_low"),
    ],
)
def test_headings_that_say_one_thing(heading: str, columns: str) -> None:
    said_ = meaning(heading, KNOWN, WORDS)
    assert said_.sure
    assert said_.columns == tuple(columns.split())


@pytest.mark.parametrize(
    "heading",
    [
        "Exosome mean diameter",
        "Exosome mean at baseline",
        "Total exosomes",
        "Exosome n (µg)",
        "Exosome vs control mean",
        "Low dose exosome mean",
        "Exosome mean SD",
        "Exosome 1 mean",
        "Control 2 mean",
        "Exp 2 mean",
        "lnRR",
        "d",
        "Remarks of mine",
    ],
)
def test_headings_that_are_not_certain(heading: str) -> None:
    assert not meaning(heading, KNOWN, WORDS).sure


def test_every_synonym_leads_to_its_own_column() -> None:
    for words in (WORDS.columns, WORDS.measures):
        assert all(meaning(phrase, KNOWN, WORDS).sure for phrase, name in words.items() if name in KNOWN)
    assert not set(WORDS.columns) & set(WORDS.measures)
    assert not set(WORDS.arms) & set(WORDS.statistics)
    assert set(WORDS.columns.values()) <= set(KNOWN)


@pytest.mark.parametrize("merged", [True, False])
def test_two_rows_of_headings(tmp_path: Path, merged: bool) -> None:
    rows = [
        ("Study or Subgroup", "Exosome (n=10)", "", "", "PBS", "", "", ""),
        ("", "Mean", "SD", "Total", "Mean", "SD", "Total", "Weight"),
        (*LI, "50%"),
        ("Total (95% CI)", None, None, 10, None, None, 9),
        ("Heterogeneity: Tau² = 0.00",),
    ]

    def merge(sheet: object) -> None:
        for span in ("A1:A2", "B1:D1", "E1:G1") if merged else ():
            sheet.merge_cells(span)  # type: ignore[attr-defined]

    tables = read(workbook(tmp_path / "t.xlsx", rows, merge))
    assert values(tables) == READ
    assert problems(tables) == []
    assert said(tables, "row 4 was not read: 'Total (95% CI)' sums up other rows")
    assert said(tables, "row 5 was not read")
    assert said(tables, "'(n=10)' in the heading 'Exosome (n=10)' was not read")
    assert said(tables, "column D 'Exosome Total' was read as treatment_n")
    assert said(tables, "1 column kept as your own and not used: H 'Weight'")


def test_groups_without_names_are_refused(tmp_path: Path) -> None:
    tables = read(workbook(tmp_path / "t.xlsx", [("Study", *("Mean", "SD", "Total") * 2), LI]))
    (problem,) = tables.raws["outcomes"].problems
    assert "'SD' in Data!C1 and Data!F1" in problem.what
    assert values(tables, *ARM) == [("", "", "")]


@pytest.mark.parametrize("second", ["Exosome SD", "EV SD"])
def test_two_headings_of_one_meaning_are_refused(tmp_path: Path, second: str) -> None:
    tables = read(workbook(tmp_path / "t.xlsx", [(*HEADINGS, second), (*LI, 2)]))
    (problem,) = tables.raws["outcomes"].problems
    assert problem.kind.__name__ == "DuplicateColumnError"
    assert all(cell in problem.what for cell in ("Data!C1", "Data!H1"))


def test_a_misspelt_heading_is_asked_for_and_the_option_settles_it(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", [("Study", "Exosome meen", *HEADINGS[2:]), LI])
    (problem,) = read(path).raws["outcomes"].problems
    assert problem.nearest == "treatment_mean"
    assert problem.cells == ("Data!B1",)
    assert '--map "Exosome meen=treatment_mean"' in problem.remedy
    settled = read(path, columns=read_map(["Exosome meen=treatment_mean"]))
    assert values(settled) == READ
    assert problems(settled) == []
    assert problems(read(path, columns={"exosome  MEEN": ""})) == []


def test_an_arm_alone_is_asked_for_by_what_stands_in_its_cells(tmp_path: Path) -> None:
    rows = [("Study", "Exosome", "n1", "Control", "n2"), ("Li 2020", "5.1 ± 1.2", 10, "3.9 ± 1.1", 9)]
    path = workbook(tmp_path / "t.xlsx", rows)
    asked = read(path).raws["outcomes"].problems
    assert [problem.cells for problem in asked] == [("Data!B1",), ("Data!D1",)]
    assert all(
        "±" in problem.what and "_sd" in problem.remedy and "_se" in problem.remedy for problem in asked
    )
    entries = [option for problem in asked for option in problem.remedy.split('"')[1:2]]
    settled = read(path, columns=read_map(entries))
    assert values(settled) == READ
    events = workbook(tmp_path / "e.xlsx", [("Study", "Exosome", "Control"), ("Li", "12/20", "3 of 19")])
    names = ("treatment_events", "treatment_n", "control_events", "control_n")
    assert values(read(events), *names) == [("12", "20", "3", "19")]


def test_one_n_for_two_arms_is_asked_for(tmp_path: Path) -> None:
    rows = [
        ("Study", "Exosome mean", "Exosome SD", "Control mean", "Control SD", "n"),
        ("Li", 5, 1, 4, 1, 10),
    ]
    path = workbook(tmp_path / "t.xlsx", rows)
    assert problems(read(path)) == [("UnclearColumnError", "F1")]
    both = read(path, columns={"n": "treatment_n and control_n"})
    assert values(both, "treatment_n", "control_n") == [("10", "10")]


def test_a_row_per_group_is_refused_and_one_group_is_not(tmp_path: Path) -> None:
    single = [("Study", "Mean", "SD", "N"), ("Li", 5, 1, 10)]
    tables = read(workbook(tmp_path / "s.xlsx", single))
    assert values(tables, *ARM, "contrast") == [("5", "1", "10", "single_arm")]
    groups = [("Study", "Group", "Mean", "SD", "N"), ("Li", "MSC-Exo", 5, 1, 10), ("Li", "PBS", 4, 1, 10)]
    assert problems(read(workbook(tmp_path / "g.xlsx", groups))) == [("UnclearColumnError", "B1")]


def test_effects_need_their_measure(tmp_path: Path) -> None:
    names = ("effect", "effect_se", "effect_ci_low", "effect_ci_high", "effect_measure")
    rows = [("Study", "Hedges g", "lower", "upper"), ("Li", 0.5, 0.1, 0.9)]
    tables = read(workbook(tmp_path / "g.xlsx", rows))
    assert values(tables, *names) == [("0.5", "", "0.1", "0.9", "standardised_mean_difference")]
    unnamed = [("Study", "Effect size", "SE"), ("Li", 0.5, 0.1)]
    assert problems(read(workbook(tmp_path / "e.xlsx", unnamed))) == [("UnclearColumnError", "B1")]
    named = [("Study", "Effect size", "SE", "Measure"), ("Li", 0.5, 0.1, "SMD"), ("Wu", 1.5, 0.1, "OR")]
    tables = read(workbook(tmp_path / "m.xlsx", named))
    assert values(tables, *names[:2], names[4]) == [
        ("0.5", "0.1", "standardised_mean_difference"),
        ("1.5", "0.1", "odds_ratio"),
    ]


def test_author_and_year_are_the_study(tmp_path: Path) -> None:
    rows = [("Author", "Year", *HEADINGS[1:]), ("Li", 2020, *LI[1:]), ("Wu", 2021, *WU[1:])]
    tables = read(workbook(tmp_path / "t.xlsx", rows))
    assert values(tables, "study_id", "year") == [("Li 2020", "2020"), ("Wu 2021", "2021")]
    nobody = read(workbook(tmp_path / "n.xlsx", [HEADINGS[1:], LI[1:]]))
    assert problems(nobody) == [("MissingColumnError", "A1")]


def test_headings_below_titles_and_columns_of_ones_own(tmp_path: Path) -> None:
    rows = [
        ("My studies", *[None] * 6),
        (),
        (*HEADINGS, "Zeta", "line", ""),
        (*LI, -20, 3, "x"),
        ("Note: SEM",),
    ]
    tables = read(workbook(tmp_path / "t.xlsx", rows))
    assert values(tables) == READ
    assert tables.raws["outcomes"].lines == [4]
    assert tables.raws["outcomes"].rows[0]["Zeta"] == "-20"
    assert "line" not in tables.raws["outcomes"].header
    assert said(tables, "the headings stand in row 3")
    assert said(tables, "1 column has cells and no heading, and was not used: J")
    assert said(tables, "row 5 was not read: it holds only 'Note: SEM'")


def test_no_headings_at_all_are_answered_with_those_that_are_needed(tmp_path: Path) -> None:
    tables = read(workbook(tmp_path / "t.xlsx", [("a", "b"), (1, 2)]))
    (problem,) = tables.raws["outcomes"].problems
    assert "metaexo new" in problem.remedy
    assert problem.cells == ("Data, row 1",)


def test_entries_of_the_option() -> None:
    assert read_map(["a=b=treatment_sd"]) == {"a=b": "treatment_sd"}
    for wrong in (["treatment_sd"], ["=treatment_sd"], ["A=note", "a=note"]):
        with pytest.raises(InputError):
            read_map(wrong)
    for word in ("treatment_sdd", "±", "treatment_mean ± sd"):
        with pytest.raises(UnknownChoiceError):
            targets(word, KNOWN)


def test_a_folder_may_bring_words_of_its_own(tmp_path: Path) -> None:
    words = tmp_path / "vocabulary" / "heading.csv"
    words.parent.mkdir()
    ours = OURS.read_text(encoding="utf-8")
    words.write_text(ours.replace("study_id,column,", "study_id,column,chantier|"), encoding="utf-8")
    path = workbook(tmp_path / "t.xlsx", [("Chantier", *HEADINGS[1:]), LI])
    assert problems(read(path)) == [("MissingColumnError", "A1")]
    assert values(read(path, folder=tmp_path)) == READ


def test_a_heading_that_is_not_there(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", [HEADINGS, LI])
    with pytest.raises(UnknownChoiceError, match="Exosome SD"):
        read(path, columns={"Exosome SDs": "treatment_sd"})


@pytest.mark.parametrize(
    ("exosomes", "other", "asked"),
    [
        ("Exosome", "Model", ["control"]),
        ("Exosome", "I/R", ["control"]),
        ("EV", "Non-EV", ["control"]),
        ("Exosome in PBS", "PBS", ["treatment"]),
        ("Post", "Pre", ["control"]),
        ("Group A", "Group B", ["treatment", "control"]),
    ],
)
def test_a_group_that_is_not_known_is_asked_for_and_never_lost(
    tmp_path: Path, exosomes: str, other: str, asked: list[str]
) -> None:
    names = ("Study", *(f"{arm} {part}" for arm in (exosomes, other) for part in ("mean", "SD", "n")))
    rows = [(*names, "Source"), (*LI, "BMSC"), (*WU, "ADSC")]
    path = workbook(tmp_path / "t.xlsx", rows)
    found = read(path).raws["outcomes"].problems
    assert len(found) == len(asked)
    options = read_map(OPTIONS.findall(found[0].remedy)[:3])
    assert {name.partition("_")[0] for name in options.values()} == {asked[0]}
    for problem, arm in zip(found, asked, strict=True):
        assert f"{arm}_mean" in problem.remedy
    if len(asked) == 1:
        assert values(read(path, columns=options)) == values(
            read(workbook(tmp_path / "u.xlsx", [HEADINGS, LI, WU]))
        )


@pytest.mark.parametrize(
    ("heading", "cells", "offered"),
    [
        ("Healed (exosome)", ("6/8", "5/9"), "treatment_events / treatment_n"),
        ("Exosome healed", ("6 (75%)", "5 (55%)"), "treatment_events"),
        ("Experimental cases", (6, 5), "treatment_events"),
        ("Healed (exosome)", (datetime.date(2024, 8, 6), datetime.date(2024, 9, 5)), None),
    ],
)
def test_counts_under_a_heading_that_does_not_say_so_are_asked_for(
    tmp_path: Path, heading: str, cells: tuple[Any, Any], offered: str | None
) -> None:
    rows = [("Study", "Source", heading), ("Li 2020", "BMSC", cells[0]), ("Wu 2021", "ADSC", cells[1])]
    (problem,) = read(workbook(tmp_path / "t.xlsx", rows)).raws["outcomes"].problems
    assert "_se" not in problem.remedy
    assert offered is None or f'--map "{heading}={offered}"' in problem.remedy


def test_a_spread_that_says_nothing_or_both_is_asked_for(tmp_path: Path) -> None:
    for name in ("error exosome", "variance exosome", "SD or SE exosome", "±"):
        names = ("Study", "Exosome mean", name, *HEADINGS[3:])
        problem, *_ = read(workbook(tmp_path / "t.xlsx", [names, LI])).raws["outcomes"].problems
        assert {f"{name}=treatment_sd", f"{name}=treatment_se"} <= set(OPTIONS.findall(problem.remedy))


def test_a_remedy_never_names_a_column_that_is_taken_or_doubles_a_size(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", [(*HEADINGS, "Mean"), (*LI, 4.4)])
    (problem,) = read(path).raws["outcomes"].problems
    assert "_mean" not in problem.remedy
    assert not read(path, columns={"Mean": ""}).raws["outcomes"].problems
    names = [name for name in HEADINGS if not name.endswith(" n")]
    (problem,) = (
        read(workbook(tmp_path / "n.xlsx", [(*names, "N"), (*LI[:3], *LI[4:6], 19)]))
        .raws["outcomes"]
        .problems
    )
    assert re.search("EACH group.*the total of two groups", problem.remedy)


def test_a_column_that_may_name_the_source_or_the_isolation_is_said(tmp_path: Path) -> None:
    more = [("Made from", "Prepared"), ("ADSC", "UC"), ("hUC-MSC exosomes", "SEC")]
    rows = [(*row, *cells) for row, cells in zip([HEADINGS, LI, WU], more, strict=True)]
    path = workbook(tmp_path / "t.xlsx", rows)
    found = read(path).raws["outcomes"].problems
    assert {problem.kind for problem in found} == {MisnamedColumnWarning}
    options = read_map([OPTIONS.findall(problem.remedy)[0] for problem in found])
    assert options == {"Made from": "source_reported", "Prepared": "isolation_reported"}
    tables = read(path, columns=options)
    assert not tables.raws["outcomes"].problems
    assert not said(tables, "nothing can be compared")
    plain = read(
        workbook(tmp_path / "p.xlsx", [(*HEADINGS, "EVs from", "How isolated?"), (*LI, "ADSC", "UC")])
    )
    assert values(plain, "source_reported", "isolation_reported") == [("ADSC", "UC")]
    assert said(read(workbook(tmp_path / "n.xlsx", [HEADINGS, LI])), "nothing can be compared by source")


def test_a_table_in_which_no_heading_names_results_is_no_table_without_errors(tmp_path: Path) -> None:
    names = ("trial", "author", "year", "tpos", "tneg", "cpos", "cneg", "ablat")
    path = workbook(tmp_path / "t.xlsx", [names, (1, "Aronson", 1948, 4, 119, 11, 128, 44)])
    (problem,) = read(path).raws["outcomes"].problems
    assert problem.kind is MissingColumnError
    assert '"tpos=treatment_events"' in problem.remedy


def test_a_spread_whose_heading_stands_twice_is_named_by_a_heading_of_its_own(tmp_path: Path) -> None:
    """--map cannot tell two headings "±" apart; the headings that the remedy says are read."""
    row = ("Li 2020", 6, 30.1, 5.1, 6, 45.2, 6.2)
    names = ["Study", "Exosome n", "Exosome mean", "±", "Control n", "Control mean", "±"]
    problems = read(workbook(tmp_path / "twice.xlsx", [names, row])).raws["outcomes"].problems
    assert [problem.remedy.partition(" as its heading")[0] for problem in problems] == [
        'write "treatment SD" or "treatment SE"',
        'write "control SD" or "control SE"',
    ]
    names[3], names[6] = "treatment SD", "control SE"
    mended = read(workbook(tmp_path / "mended.xlsx", [names, row]))
    assert values(mended, "treatment_sd", "control_se") == [("5.1", "6.2")]
