"""Every kind of bad input: an error or a warning of its own class that names file, line, value and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

import metaexo as mx
from metaexo import errors
from metaexo.evidence import SheetErrors, SheetProblem
from tests.evidence.folders import OUTCOMES, STUDIES, Write, write_sheet

FIRST_LINE = 2


def problems_of(folder: Path) -> tuple[SheetProblem, ...]:
    with pytest.raises(SheetErrors) as caught:
        mx.read_sheets(folder)
    return caught.value.problems


def only_problem(folder: Path) -> SheetProblem:
    found = problems_of(folder)
    assert len(found) == 1, [str(problem) for problem in found]
    return found[0]


CELLS = [
    ("treatment_sd", "-2", errors.NegativeSDError, "at least 0"),
    ("treatment_se", "-0.5", errors.NegativeSDError, "at least 0"),
    ("treatment_n", "0", errors.SampleSizeError, "whole numbers of at least 1"),
    ("treatment_n", "2.5", errors.SampleSizeError, "whole numbers of at least 1"),
    ("p_value", "1.3", errors.PValueError, "from 0 to 1"),
    ("p_value", "-0.1", errors.PValueError, "from 0 to 1"),
    ("treatment_events", "-1", errors.EventsError, "at least 0"),
    ("treatment_events", "2.5", errors.EventsError, "whole numbers"),
    ("treatment_mean", "12,345", errors.UnclearCellError, "numbers"),
    ("treatment_mean", "twelve", errors.NotANumberError, "numbers"),
    ("better", "hihger", errors.UnknownWordError, "higher, lower, none"),
    ("paired", "maybe", errors.UnknownWordError, "yes, no, unknown"),
    ("outcome", "", errors.MissingCellError, "text"),
    ("study_id", "li2021", errors.UnknownStudyError, "study_id"),
]


@pytest.mark.parametrize(("column", "value", "kind", "allowed"), CELLS)
def test_a_wrong_cell_is_named_with_its_place_value_and_remedy(
    write: Write, column: str, value: str, kind: type, allowed: str
) -> None:
    relation = {"p_relation": "="} if column == "p_value" else {}
    problem = only_problem(write(**{column: value}, **relation))
    assert problem.kind is kind
    assert (problem.file, problem.line, problem.column) == ("outcomes.csv", FIRST_LINE, column)
    assert problem.study == (value if column == "study_id" else "li2020")
    assert problem.value == value
    assert allowed in problem.allowed
    assert problem.remedy
    text = str(problem)
    assert "outcomes.csv line 2" in text
    assert column in text
    assert kind.__name__ in text


ACROSS = [
    ({"treatment_se": 12}, errors.StandardErrorError, "treatment_se"),
    ({"treatment_events": 11}, errors.EventsError, "treatment_events"),
    (
        {"difference": 9, "difference_ci_low": 10, "difference_ci_high": 14},
        errors.IntervalError,
        "difference",
    ),
    ({"difference_ci_low": 14, "difference_ci_high": 10}, errors.IntervalError, "difference_ci_low"),
    ({"treatment_ci_low": 60, "treatment_ci_high": 70}, errors.IntervalError, "treatment_mean"),
    ({"treatment_min": 90, "treatment_max": 95}, errors.IntervalError, "treatment_mean"),
]


@pytest.mark.parametrize(("cells", "kind", "column"), ACROSS)
def test_cells_that_contradict_each_other(
    write: Write, cells: dict[str, object], kind: type, column: str
) -> None:
    problem = only_problem(write(**cells))
    assert problem.kind is kind
    assert (problem.file, problem.line, problem.study, problem.column) == (
        "outcomes.csv",
        FIRST_LINE,
        "li2020",
        column,
    )
    assert problem.remedy
    assert problem.allowed


def test_the_nearest_word_is_offered(write: Write) -> None:
    assert only_problem(write(better="hihger")).nearest == "higher"
    assert only_problem(write(treatment_mean="12 mm")).nearest == "12"
    studies = [dict(STUDIES[0], source_category="ADSC"), STUDIES[1]]
    assert only_problem(write(studies=studies)).nearest == "adipose_msc"
    studies = [dict(STUDIES[0], isolation_category="ultra-centrifugation at 100,000 g"), STUDIES[1]]
    assert only_problem(write(studies=studies)).nearest == "ultracentrifugation"


def test_a_misspelt_column(write: Write) -> None:
    row = {("treatment_men" if name == "treatment_mean" else name): x for name, x in OUTCOMES[0].items()}
    problem = only_problem(write(outcomes=[row]))
    assert problem.kind is errors.UnclearColumnError
    assert (problem.file, problem.line, problem.value) == ("outcomes.csv", 1, "treatment_men")
    assert problem.nearest == "treatment_mean"
    assert '--map "treatment_men=treatment_mean" if it is' in problem.remedy
    sheets = mx.read_sheets(write(outcomes=[row]), columns={"treatment_men": "treatment_mean"})
    assert sheets.outcomes["treatment_mean"].tolist() == [80]


def test_a_column_that_has_the_name_of_an_added_one(write: Write) -> None:
    sheets = mx.read_sheets(write(studies=[dict(STUDIES[0], source_group="fat"), STUDIES[1]]))
    assert sheets.studies["source_group (as in the file)"].dropna().tolist() == ["fat"]
    assert sheets.studies["source_group"].notna().all()


def test_a_missing_column(write: Write) -> None:
    rows = [{name: x for name, x in row.items() if name != "better"} for row in OUTCOMES]
    problem = only_problem(write(outcomes=rows))
    assert problem.kind is errors.MissingColumnError
    assert (problem.line, problem.column) == (1, "better")


def test_a_doubled_column(write: Write) -> None:
    folder = write()
    path = folder / "studies.csv"
    path.write_text(path.read_text().replace("study_id,", "study_id,study_id,", 1).replace("\n", ",x\n"))
    kinds = {problem.kind for problem in problems_of(folder)}
    assert errors.DuplicateColumnError in kinds


def test_two_rows_of_one_study(write: Write) -> None:
    problem = only_problem(write(studies=[*STUDIES, dict(STUDIES[0], year=2022)]))
    assert problem.kind is errors.DuplicateStudyError
    assert (problem.file, problem.line, problem.value) == ("studies.csv", 4, "li2020")
    assert "line 2" in problem.what
    assert problem.remedy


def test_a_result_entered_twice(write: Write) -> None:
    problem = only_problem(write(outcomes=[*OUTCOMES, dict(OUTCOMES[0], note="again")]))
    assert problem.kind is errors.DuplicateRowError
    assert (problem.line, problem.study) == (4, "li2020")
    later = dict(OUTCOMES[0], timepoint="day 14")
    assert len(mx.read_sheets(write(outcomes=[*OUTCOMES, later])).outcomes) == len(OUTCOMES) + 1


@pytest.mark.parametrize("text", ["", "\n\n", "study_id,outcome,contrast,better\n"])
def test_an_empty_sheet(write: Write, text: str) -> None:
    folder = write()
    (folder / "outcomes.csv").write_text(text)
    problem = only_problem(folder)
    assert problem.kind is errors.EmptySheetError
    assert problem.file == "outcomes.csv"
    assert problem.remedy


def test_bytes_that_are_no_text(write: Write) -> None:
    folder = write()
    path = folder / "studies.csv"
    path.write_bytes(path.read_bytes().replace(b"Cho", b"\x81ho"))
    problem = only_problem(folder)
    assert problem.kind is errors.EncodingError
    assert problem.file == "studies.csv"
    assert "UTF-8" in problem.remedy
    assert f"byte {path.read_bytes().index(0x81)} of studies.csv (0x81)" in problem.what


def test_a_byte_order_mark_is_let_pass(write: Write) -> None:
    folder = write()
    path = folder / "studies.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(mx.read_sheets(folder).studies) == len(STUDIES)


def test_a_quote_that_does_not_close(write: Write) -> None:
    folder = write()
    with (folder / "outcomes.csv").open("a") as file:
        file.write('li2020,"wound_area\n')
    problem = only_problem(folder)
    assert problem.kind is errors.SeparatorError
    assert problem.file == "outcomes.csv row 4"


def test_a_row_with_too_many_cells(write: Write) -> None:
    folder = write()
    path = folder / "outcomes.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1] + ",extra", *lines[2:]]) + "\n")
    problem = only_problem(folder)
    assert (problem.kind, problem.line, problem.study) == (errors.RowLengthError, 2, "li2020")


def test_a_missing_sheet_and_its_misspelt_name(write: Write) -> None:
    folder = write()
    (folder / "outcomes.csv").rename(folder / "outcome.csv")
    problem = only_problem(folder)
    assert problem.kind is errors.MissingSheetError
    assert problem.nearest == "outcome.csv"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    kinds = [problem.kind for problem in problems_of(tmp_path / "nowhere")]
    assert kinds == [errors.MissingSheetError]


def test_all_problems_of_all_sheets_come_at_once(write: Write) -> None:
    folder = write(
        studies=[*STUDIES, STUDIES[0]],
        treatment_sd=-2,
        treatment_n=2.5,
        better="hihger",
    )
    write_sheet(folder / "preparations.csv", [{"study_id": "x", "size_nm": "big", "technique": "NTB"}])
    with pytest.raises(SheetErrors) as caught:
        mx.read_sheets(folder)
    group = caught.value
    assert [problem.kind for problem in group.problems] == [
        errors.DuplicateStudyError,
        errors.UnknownWordError,
        errors.SampleSizeError,
        errors.NegativeSDError,
        errors.NotANumberError,
        errors.UnknownWordError,
    ]
    assert [type(error) for error in group.exceptions] == [problem.kind for problem in group.problems]
    text = str(group)
    assert text.startswith("6 problems")
    for problem in group.problems:
        assert str(problem) in text
    table = group.to_frame()
    assert list(table["kind"]) == [problem.kind.__name__ for problem in group.problems]
    assert table["remedy"].str.len().min() > 0


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        ("MD", "mean_difference"),
        ("SMD", "standardised_mean_difference"),
        ("Hedges' g", "standardised_mean_difference"),
        ("Cohens d", "standardised_mean_difference"),
        ("ROM", "ratio_of_means"),
        ("RR", "risk_ratio"),
        ("OR", "odds_ratio"),
        ("HR", "hazard_ratio"),
        ("odds-ratio", "odds_ratio"),
    ],
)
def test_the_code_of_a_measure_leads_to_its_word(write: Write, typed: str, word: str) -> None:
    sheets = mx.read_sheets(write(effect_measure=typed, effect=1.2, effect_se=0.3, caution="a test"))
    assert sheets.outcomes["effect_measure"].iloc[0] == word
    assert any(f"read as {word!r} in effect_measure" in note for note in sheets.reading.notes)


def test_one_kind_can_be_caught_alone(write: Write) -> None:
    seen = []
    folder = write(treatment_sd=-2, better="hihger")
    rest: list[Exception] = []
    try:
        mx.read_sheets(folder)
    except* errors.NegativeSDError as found:
        seen = list(found.exceptions)
    except* errors.UnknownWordError as found:
        rest = list(found.exceptions)
    assert len(seen) == len(rest) == 1
    assert "outcomes.csv line 2" in str(seen[0])


def test_errors_are_caught_as_metaexo_errors(write: Write) -> None:
    with pytest.raises(errors.MetaexoError):
        mx.read_sheets(write(treatment_sd=-2))


ODD = [
    ({"control_mean": "", "control_sd": "", "control_n": ""}, errors.OneArmWarning, "control_mean"),
    ({"treatment_sd": 0}, errors.ZeroSDWarning, "treatment_sd"),
    ({"p_value": 0, "p_relation": "="}, errors.ZeroPValueWarning, "p_value"),
    ({"treatment_sd": 0.5, "control_sd": 0.5}, errors.LargeDifferenceWarning, "treatment_sd"),
    ({"treatment_se": 1}, errors.SpreadMismatchWarning, "treatment_se"),
    ({"outcome": "wound_closure_pc"}, errors.UnknownOutcomeWarning, "outcome"),
]


@pytest.mark.parametrize(("cells", "kind", "column"), ODD)
def test_what_looks_wrong_is_a_warning_of_its_own_class(
    write: Write, cells: dict[str, object], kind: type[Warning], column: str
) -> None:
    folder = write(**cells)
    with pytest.warns(kind, match=rf"outcomes.csv line 2, study li2020, column {column}") as caught:
        sheets = mx.read_sheets(folder)
    assert {warning.category for warning in caught} == {kind}
    assert "What to do" in str(caught[0].message)
    assert len(sheets.outcomes) == len(OUTCOMES), "nothing is lost"


@pytest.mark.parametrize(("cells", "kind", "column"), ODD)
def test_words_in_caution_silence_the_warning(
    write: Write, cells: dict[str, object], kind: type[Warning], column: str
) -> None:
    sheets = mx.read_sheets(write(**cells, caution="as printed"))
    assert set(sheets.cautions["kind"]) == {"caution", kind.__name__}


def test_a_study_with_one_arm_goes_to_the_ledger(write: Write) -> None:
    with pytest.warns(errors.OneArmWarning):
        sheets = mx.read_sheets(write(control_mean="", control_sd="", control_n=""))
    assert [(entry.line, entry.reason) for entry in sheets.ledger.left_out] == [(2, "a mean in one arm only")]
    assert sheets.ledger.used == (3,)


def test_a_single_arm_that_says_so_is_no_surprise(write: Write) -> None:
    sheets = mx.read_sheets(
        write(control_mean="", control_sd="", control_n="", contrast="single_arm", treatment_events=4)
    )
    assert sheets.effects("PLO", where="contrast == 'single_arm'").k == 1


def test_check_sheets_says_the_same_without_raising(write: Write) -> None:
    check = mx.check_sheets(write(treatment_sd=-2, control_n=2.5))
    assert not check.ok
    assert [problem.kind for problem in check.problems] == [errors.NegativeSDError, errors.SampleSizeError]
    assert list(check.to_frame()["column"]) == ["treatment_sd", "control_n"]
    assert "2 problems, 0 warnings" in str(check)
    odd = mx.check_sheets(write(treatment_sd=0))
    assert odd.ok
    assert [finding.kind for finding in odd.warnings] == [errors.ZeroSDWarning]
