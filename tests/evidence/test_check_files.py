"""A check of a spreadsheet names its cells, and says in one line what cannot be read at all."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

import metaexo as mx
from metaexo.cli import main
from metaexo.evidence import SheetCheck
from tests.evidence.folders import OUTCOMES, STUDIES, Write, write_sheet

HEADINGS = (
    "Study;Source;Isolation;Outcome;Exosome mean;Exosome SD;Exosome n;Control mean;Control SD;Control n;p"
)
NUMBERS = "78.2;9.1;8;64.9;8.3;8;"
ROWS = (
    f"Li 2020;hUC-MSC;UC;wound closure;{NUMBERS}",
    "Cho 2021;ADSC;SEC;wound closure;81.3;10.2;9;70.1;7.7;9;",
    "Cho 2021;ADSC;SEC;wound closure;75.6;9.4;9;70.1;7.7;9;",
    "Kim 2019;plasma;UC;wound closure;79.5;;7;66.1;;7;<0.05",
    "Roy 2022;ADSC;TFF;wound closure;77.7;;10;69.3;9.9;10;",
)


def table(
    folder: Path, rows: tuple[str, ...] = ROWS, headings: str = HEADINGS, name: str = "mine.csv"
) -> Path:
    path = folder / name
    path.write_text("\n".join([headings, *rows]) + "\n", encoding="utf-8")
    return path


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["check", *map(str, words)])
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> SheetCheck:
    return mx.check_sheets(table(tmp_path_factory.mktemp("flat")))


def test_missing_cells_are_named_by_their_headings_and_addresses(check: SheetCheck) -> None:
    gaps = {gap.lines: gap for gap in check.gaps}
    assert gaps[6,].cells == ('F6 "Exosome SD"',)
    assert gaps[6,].what == "no SD, SE or confidence interval in the exosome arm"
    assert (gaps[5,].bound, gaps[5,].what) == (
        True,
        "only p < 0.05, which bounds the effect and does not give it",
    )
    text = " ".join(check.report().split())
    assert (
        'row 6 (Roy 2022): no SD, SE or confidence interval in the exosome arm (empty: F6 "Exosome SD")'
        in text
    )
    assert "1 of these rows gives a bound of an effect: metaexo report leaves it out of the pooled" in text


def test_a_shared_control_is_said_with_what_the_analysis_does(check: SheetCheck) -> None:
    assert check.prospect is not None
    (shared,) = check.prospect.shared
    assert (shared.study, shared.arm, shared.lines) == ("Cho 2021", "control", (3, 4))
    assert check.prospect.several == (("Cho 2021", 2),)
    assert "* rows 3, 4 (Cho 2021) share a control arm" in check.report()


def test_strata_of_rows_of_one_study_are_those_of_the_analysis(tmp_path: Path) -> None:
    """In one table the rows of a study may have different sources."""
    rows = (ROWS[0], ROWS[1], ROWS[2].replace("ADSC", "plasma"))
    found = mx.check_sheets(table(tmp_path, rows))
    frame = found.strata_frame()
    counts = frame[frame["by"] == "source"].set_index("source")["effects"].to_dict()
    assert counts == {"Umbilical cord MSC": 1, "Adipose MSC": 1, "Plasma or serum": 1}
    (plasma,) = (place for place in found.places if place.words == "plasma")
    assert (plasma.studies, plasma.lines) == (("Cho 2021",), (4,))


IMPOSSIBLE: dict[str, tuple[Mapping[str, str], bool, str]] = {
    "a negative SD": ({"Exosome SD": "-9.1"}, True, "at least 0"),
    "an SD of 0": ({"Exosome SD": "0"}, False, "is zero"),
    "n of 2.5": ({"Exosome n": "2.5"}, True, "whole"),
    "p of 1.2": ({"p": "1.2"}, True, "from 0 to 1"),
    "SE above SD": ({"Exosome SE": "12"}, True, "at most"),
    "more events than people": ({"Exosome events": "11", "Control events": "2"}, True, "at most"),
    "an interval without its mean": ({"Exosome CI low": "80", "Exosome CI high": "90"}, True, "from"),
    "an interval turned": ({"Exosome CI low": "90", "Exosome CI high": "80"}, True, "at most"),
    "an SMD too precise": (
        {"effect measure": "standardised_mean_difference", "effect": "0.9", "effect SE": "0.05"},
        False,
        "",
    ),
}


@pytest.mark.parametrize("name", list(IMPOSSIBLE))
def test_what_cannot_be_is_said_with_its_cell(name: str, tmp_path: Path) -> None:
    changes, is_error, allowed = IMPOSSIBLE[name]
    cells = dict(zip(HEADINGS.split(";"), ROWS[0].split(";"), strict=True)) | changes
    if "effect" in changes:
        cells |= dict.fromkeys(("Exosome mean", "Exosome SD", "Control mean", "Control SD"), "")
    path = table(tmp_path, (";".join(cells.values()),), ";".join(cells))
    found = mx.check_sheets(path)
    said = found.problems if is_error else found.warnings
    here = [f for f in said if f.line == 2 and allowed in f"{f.what} {f.allowed}"]
    assert here, found.report()
    assert here[0].cells
    assert here[0].remedy
    assert run(path)[0] == is_error
    assert run("--strict", path)[0] == 1


def test_a_category_of_ones_own_is_a_stratum_and_is_marked(tmp_path: Path) -> None:
    write_sheet(tmp_path / "studies.csv", [{**STUDIES[0], "source_category": "adipose MSCs"}])
    write_sheet(tmp_path / "outcomes.csv", OUTCOMES[:1])
    (place,) = (p for p in mx.check_sheets(tmp_path).places if p.kind == "source")
    assert (place.how, place.nearest) == ("given", "Adipose MSC")
    assert place.unused == "no category of the vocabulary: a stratum of its own"


def test_a_folder_with_one_table_is_that_table(tmp_path: Path) -> None:
    path = table(tmp_path)
    assert mx.check_sheets(tmp_path).folder == str(path)
    code, text = run(tmp_path)
    assert code == 0
    assert text.splitlines()[1].startswith(f"Next: metaexo report {path} --measure SMD --by source")
    table(tmp_path, name="other.csv")
    code, text = run(tmp_path)
    assert code == 1
    assert "holds 2 tables: mine.csv, other.csv" in " ".join(text.split())


@pytest.mark.parametrize(
    ("name", "content", "said", "remedy"),
    [
        ("nowhere", None, "there is no folder or file", "look at the path"),
        ("empty", "folder", "holds no table", "metaexo new"),
        ("paper.pdf", b"%PDF-1.7", "is a PDF file", "metaexo new"),
        ("paper.docx", b"PK\x03\x04", "is a document of Word", "save it as"),
        ("figure.png", b"\x89PNG\r\n", "is a picture", "metaexo new"),
        ("old.xls", b"\xd0\xcf\x11\xe0", "Excel before 2007", "save it as"),
        ("none.csv", b"", "is empty", "look at the path"),
    ],
)
def test_what_is_no_table_is_said_in_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: bytes | str | None,
    said: str,
    remedy: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(name)
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    code, text = run(path)
    assert code == 1
    first, rest = " ".join(text.split()).split(" What to do: ")
    assert said in first
    assert remedy in rest
    assert len(text.splitlines()) <= 4


def test_headings_measure_and_width_can_be_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    path = table(tmp_path, headings=HEADINGS.replace("Exosome SD", "how far it spreads"))
    assert ": 0 give an SMD; " in run(path)[1]
    code, text = run("--map", "how far it spreads=treatment_sd", path)
    assert (code, text.splitlines()[0]) == (0, "4 studies, 5 rows: 3 give an SMD; 0 errors, 0 warnings.")
    assert max(len(line) for line in text.splitlines() if not line.startswith("Next")) <= 60
    assert "3 give an MD" in run("--map", "how far it spreads=treatment_sd", "--measure", "MD", path)[1]
    for wrong in (("--map", "nonsense"), ("--measure", "SMDD"), ("--map", "no heading=treatment_sd")):
        assert run(*wrong, path)[0] != 0


def test_many_outcomes_are_asked_for_one_by_one(write: Write) -> None:
    rows = [{**OUTCOMES[0], "outcome": f"outcome {i}"} for i in (1, 2, 2, 3, 4, 5)]
    rows = [{**row, "timepoint": f"day {i}", "treatment_mean": 71 + i} for i, row in enumerate(rows)]
    text = mx.check_sheets(write(outcomes=rows)).report()
    assert '--outcome "Outcome 2" --out report' in text


def test_what_is_to_be_typed_runs_nothing_else(write: Write) -> None:
    words = 'a"; touch x; `b` $(c)'
    rows = [{**OUTCOMES[0], "outcome": f"{words} {i}", "treatment_mean": 80 + i} for i in range(5)]
    line = mx.check_sheets(write(outcomes=rows)).report().splitlines()[1]
    typed = shlex.split(line.removeprefix("Next: "))
    assert typed[typed.index("--outcome") + 1].casefold() == f"{words} 0"
    assert len(typed) == 13


def test_arms_are_called_by_what_is_compared(write: Write) -> None:
    gone, alone = {"control_sd": ""}, {"control_mean": "", "control_n": "", "contrast": "single_arm"}
    rows = [
        {**OUTCOMES[0], **gone, "contrast": "post_vs_pre"},
        {**OUTCOMES[0], **gone, "contrast": "method_a_vs_method_b", "timepoint": "day 8"},
        {**OUTCOMES[0], **gone, **alone, "timepoint": "day 9"},
    ]
    said = {gap.lines[0]: gap.what for gap in mx.check_sheets(write(outcomes=rows)).gaps}
    assert said[2].endswith("in the results before treatment")
    assert said[3].endswith("in the second arm")
    assert said[4].startswith("one group only")


def test_studies_entered_twice_and_controls_of_two_studies_are_said(tmp_path: Path) -> None:
    copied = ROWS[0].replace("Li 2020", "Li 2021")
    control = f"Han 2018;ADSC;SEC;wound closure;83.6;9.9;8;{';'.join(NUMBERS.split(';')[3:])}"
    found = mx.check_sheets(table(tmp_path, (ROWS[0], copied, control)))
    kinds = {f.kind.__name__: f for f in found.warnings}
    assert kinds["CopiedStudyWarning"].cells == ("A3",)
    assert kinds["RepeatedNumbersWarning"].cells == ("H4",)
    assert "give them one name" in kinds["RepeatedNumbersWarning"].remedy
    assert "metaexo report takes the numbers, and all rows, as they stand" in " ".join(found.report().split())


def test_what_is_pooled_and_what_is_not_is_said(tmp_path: Path) -> None:
    rows = tuple(f"{row};{kind}" for row, kind in zip(ROWS[:3], ("mouse", "human", "human"), strict=True))
    found = mx.check_sheets(table(tmp_path, rows, f"{HEADINGS};species"))
    assert found.prospect is not None
    assert (found.prospect.mixed, found.prospect.differ, found.prospect.questions) == ((), ("domain",), 2)
    assert "Effects that differ in domain are reported apart" in " ".join(found.report().split())
    apart = tuple(f"{row};{kind}" for row, kind in zip(ROWS[:2], ("preclinical", "clinical"), strict=True))
    found = mx.check_sheets(table(tmp_path, apart, f"{HEADINGS};domain"))
    assert found.prospect is not None
    assert (found.prospect.mixed, found.prospect.differ, found.prospect.questions) == ((), ("domain",), 2)
    assert "Effects that differ in domain are reported apart" in " ".join(found.report().split())


def test_a_copy_that_is_not_written_is_said(tmp_path: Path) -> None:
    path = table(tmp_path, (ROWS[0], ROWS[1].replace("Cho 2021", "")))
    code, output = run(path, "--copy", tmp_path / "copy.csv")
    assert code == 1
    assert "not written" in output.splitlines()[-1]
    assert not (tmp_path / "copy.csv").exists()
    assert "(study not named)" in output


def test_letters_in_another_order_are_the_measure_that_is_meant(tmp_path: Path) -> None:
    assert "write 'SMD'" in run(table(tmp_path), "--measure", "SDM")[1]
    assert "1 gives an SMD" in run(table(tmp_path, ROWS[:1]))[1]
