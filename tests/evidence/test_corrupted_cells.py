"""One cell that is shifted, torn or typed wrongly is one problem beside all others; nothing raises."""

from __future__ import annotations

import contextlib
import csv
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from metaexo.cli import main
from metaexo.errors import MetaexoError, MetaexoWarning
from metaexo.evidence import SheetCheck, SheetErrors, check_sheets, load_codebook, read_sheets
from tests.evidence.folders import DATA, OUTCOMES, Write

PLANS = load_codebook(DATA).sheets
ROWS = 8
BAD = (
    "x",
    "",
    "=1+1",
    "1,000",
    "5.0 ± 1.0",
    "1e308",
    "1e400",
    "-1e308",
    "1e-320",
    "0",
    "-0",
    "-1",
    "99999999999999999999",
    "nan",
    "inf",
    "\u0665",
    "<0.05",
    "p < 0.05",
    "日本語 \U0001f600 \u202e",
    "a\x00b",
    "two\nlines",
    '"quoted"',
    "a;b,c\td",
    "=cmd|' /C calc'!A0",
    "<script>",
    "x" * 5_000,
    "[(\\",
    "%s %d {0} {x}",
)


def rows_of(name: str, most: int = ROWS) -> tuple[list[str], list[dict[str, str]]]:
    with (DATA / PLANS[name].file).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        return list(reader.fieldnames or ()), list(reader)[:most]


def put(folder: Path, name: str, header: list[str], rows: list[dict[str, str]]) -> None:
    with (folder / PLANS[name].file).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of our sheets, the first rows of each, with the studies of these rows."""
    named = set()
    for name in PLANS:
        if name != "studies":
            header, rows = rows_of(name)
            named |= {row.get("study_id") for row in rows}
            put(tmp_path, name, header, rows)
    header, studies = rows_of("studies", 1_000)
    put(tmp_path, "studies", header, [row for row in studies if row["study_id"] in named])
    return tmp_path


def checked(folder: Path) -> SheetCheck:
    """Check a folder in every way that there is; only the package's errors and warnings may come of it."""
    found = check_sheets(folder)
    assert found.report(noted=True)
    assert str(found)
    assert len(found.to_frame(noted=True)) == len(found.findings(noted=True))
    return found


@pytest.mark.long
@pytest.mark.parametrize("name", PLANS)
def test_every_column_fed_with_everything(folder: Path, name: str) -> None:
    """Row by row another bad text in one column of a sheet: each is judged by itself.

    The texts go on from column to column, so that every text meets every kind of column; three columns far
    apart are torn at once, and each has its own problems.
    """
    for other in PLANS.keys() - {"studies", "outcomes", PLANS[name].studies, name}:
        (folder / PLANS[other].file).unlink()
    header, rows = rows_of(name)
    texts = {
        column: [BAD[(i + at * len(rows)) % len(BAD)] for i in range(len(rows))]
        for at, column in enumerate(header)
    }
    third = -(-len(header) // 3)
    for at in range(third):
        columns = header[at::third]
        torn = [{**row, **{name: texts[name][i] for name in columns}} for i, row in enumerate(rows)]
        put(folder, name, header, torn)
        judge(checked(folder), name, columns, {c: sum(text != "nan" for text in texts[c]) for c in columns})


def judge(found: SheetCheck, name: str, columns: list[str], rows: dict[str, int]) -> None:
    """Bad texts are found in each of the columns that have numbers or a closed list of words.

    `rows` has the texts of each column that are not read as an empty cell, as "nan" is.
    """
    for column in columns:
        quantity = PLANS[name].columns[column]
        if quantity.is_number or quantity.words:
            bad = {line for p in found.problems if p.column == column for line in p.lines or (p.line,)}
            assert len(bad) >= rows[column] // 2, column


def test_one_shifted_cell_is_one_problem_in_its_place(folder: Path) -> None:
    header, rows = rows_of("outcomes")
    for column, text in (
        ("p_relation", "x"),
        ("treatment_n", "ten"),
        ("better", "sideways"),
        ("control_sd", "-3"),
    ):
        torn = [dict(row) for row in rows]
        torn[3][column] = text
        put(folder, "outcomes", header, torn)
        (problem,) = checked(folder).problems
        assert (problem.file, problem.line, problem.column) == ("outcomes.csv", 5, column)
        assert problem.value == text
        done = CliRunner().invoke(main, ["check", str(folder)])
        assert done.exit_code == 1
        assert "outcomes.csv line 5" in done.output
        assert column in done.output
        with pytest.raises(SheetErrors):
            read_sheets(folder)


def test_all_problems_stand_beside_one_another(folder: Path) -> None:
    header, rows = rows_of("outcomes")
    rows[1]["p_relation"], rows[2]["treatment_n"], rows[4]["study_id"] = "x", "ten", "nobody"
    rows[6]["timepoint"] = rows[5]["timepoint"]
    put(folder, "outcomes", header, rows)
    preparations = rows_of("preparations")
    preparations[1][0]["size_nm"] = "big"
    put(folder, "preparations", *preparations)
    places = {(p.file, p.line, p.column) for p in checked(folder).problems}
    assert {
        ("outcomes.csv", 3, "p_relation"),
        ("outcomes.csv", 4, "treatment_n"),
        ("outcomes.csv", 6, "study_id"),
        ("preparations.csv", 2, "size_nm"),
    } <= places


def test_the_same_wrong_word_is_one_problem_with_its_rows(folder: Path) -> None:
    header, rows = rows_of("outcomes")
    for row in rows[:7]:
        row["better"] = "hihger"
    put(folder, "outcomes", header, rows)
    (problem,) = checked(folder).problems
    assert problem.lines == tuple(range(2, 9))
    assert "lines 2, 3, 4" in str(problem)
    assert problem.nearest == "higher"
    assert "higher, lower, none" in " ".join(check_sheets(folder).report().split())


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_random_corruption_of_all_sheets(folder: Path, seed: int) -> None:
    """Some cells of every sheet, torn at random; what can be read is read, or refused by the package."""
    draw = random.Random(seed)
    for name in PLANS:
        header, rows = rows_of(name)
        for row in rows:
            for column in header:
                if draw.random() < 0.03:
                    row[column] = draw.choice(BAD)
        put(folder, name, header, rows)
    found = checked(folder)
    if not found.ok:
        with pytest.raises(SheetErrors) as caught:
            read_sheets(folder)
        assert len(caught.value.problems) == len(found.problems)
        return
    with contextlib.suppress(MetaexoError, MetaexoWarning):
        read_sheets(folder).effects("SMD")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(12))
def test_torn_files(folder: Path, seed: int) -> None:
    """Bytes cut, doubled and changed anywhere in the files."""
    draw = random.Random(seed)
    for name in ("studies", "outcomes", "preparations"):
        path = folder / PLANS[name].file
        content = bytearray(path.read_bytes()[:20_000])
        for _ in range(draw.randrange(1, 6)):
            at = draw.randrange(len(content))
            match draw.randrange(4):
                case 0:
                    del content[at : at + draw.randrange(200)]
                case 1:
                    content[at] = draw.randrange(256)
                case 2:
                    content[at:at] = draw.choice([b'"', b"\n", b"\r", b"\x00", b",", b";", b"\xff", b'"\n,'])
                case 3:
                    content[at:at] = content[at : at + 300]
        path.write_bytes(bytes(content))
    checked(folder)


@pytest.mark.parametrize(
    ("cell", "nearest", "words"),
    [
        ("1,000", None, ("1000", "1.000")),
        ("5.0 ± 1.0", None, ("5.0 in", "(treatment_mean)", "1.0 in", "(treatment_sd)")),
        ("5.0 (1.0)", None, ("1.0 in",)),
        ("5.0 +/- 1.0", None, ("1.0 in",)),
        ("10-20", None, ("column of its own",)),
        ("12 mm", "12", ("alone",)),
        ("=1+1", None, ("result of the formula",)),
    ],
)
def test_what_a_text_among_numbers_may_mean(
    write: Write, cell: str, nearest: str | None, words: tuple[str, ...]
) -> None:
    (problem,) = check_sheets(write(treatment_mean=cell)).problems
    assert problem.nearest == nearest
    assert all(word in problem.remedy for word in words), problem.remedy


@pytest.mark.parametrize(
    ("cell", "value"), [("12,345,678", 12345678), ("12,5", 12.5), ("0,500", 0.5), ("1.000,5", 1000.5)]
)
def test_a_number_that_can_be_read_in_one_way_is_read(write: Write, cell: str, value: float) -> None:
    cells = dict.fromkeys(("treatment_mean", "control_mean"), cell)
    found = read_sheets(write(**cells, caution="a test"))
    assert found.outcomes["treatment_mean"].tolist() == [value, 20]
    assert any("treatment_mean" in note and "cell" in note for note in found.reading.notes)


def test_empty_cells_at_the_end_are_left_out_and_others_are_not(write: Write) -> None:
    folder = write()
    path = folder / "outcomes.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    for ends in (",,", ""), (",,", ",,"), ("", ",,"):
        path.write_text(
            "\n".join([lines[0] + ends[1], *(f"{line}{ends[0] or ends[1]}" for line in lines[1:])]) + "\n",
            encoding="utf-8",
        )
        assert check_sheets(folder).findings() == ()
    path.write_text(
        "\n".join([f"{lines[0]},", *(f"{line},7" for line in lines[1:])]) + "\n", encoding="utf-8"
    )
    found = check_sheets(folder)
    assert found.ok
    assert any("1 column has cells and no heading, and was not used: M" in note for note in found.notes)


def test_a_workbook_in_the_place_of_the_folder_or_in_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    for place in (tmp_path / "one" / "data.xlsx", tmp_path / "two.xlsx"):
        place.write_bytes(b"PK")
    for folder in (tmp_path / "one", tmp_path / "one" / "data.xlsx", tmp_path / "two", tmp_path / "two.xlsx"):
        (problem,) = check_sheets(folder).problems
        assert ".xlsx" in problem.what
        assert ".xlsx" in problem.remedy or "CSV UTF-8" in problem.remedy
    assert "no folder" in check_sheets(tmp_path / "nowhere").problems[0].what


def test_check_says_which_rows_can_give_no_effect(write: Write) -> None:
    gone = dict.fromkeys(("treatment_sd", "control_sd"), "")
    rows = [
        OUTCOMES[0],
        {**OUTCOMES[0], **gone, "timepoint": "day 8", "p_relation": "<", "p_value": 0.05},
        {**OUTCOMES[0], **gone, "timepoint": "day 9", "reported_as": "percent_change"},
        {**OUTCOMES[0], "timepoint": "day 10", "treatment_n": "", "control_n": ""},
    ]
    found = check_sheets(write(outcomes=rows))
    words = "\n".join(found.rows_without_effect())
    assert "3 of 4 rows of outcomes.csv can give no effect" in words
    assert "only p < 0.05: gives a bound, not a point (line 3)" in words
    assert "percentage change without SD (line 4)" in words
    assert "means and SDs, but no n (line 5)" in words
    assert "1 of them give a bound" in words
    assert "bounds=True" in words
    assert words in str(found)
    report = " ".join(found.report().split())
    assert "row 3 (Li 2020): only p < 0.05, which bounds the effect and does not give it" in report
    assert "row 5 (Li 2020): no n in either arm (empty: treatment_n, control_n)" in report
    assert "1 of these rows gives a bound" in report
    sheets = read_sheets(write(outcomes=rows))
    with pytest.warns(MetaexoWarning, match=r"3 of 4 rows.*bounds=True"):
        sheets.effects("SMD")


def test_a_sheet_whose_sds_are_standard_errors_gets_a_verdict(write: Write) -> None:
    """Standard errors of n = 40 in every row: the means stand many "SDs" apart."""
    cells = {"treatment_n": 40, "control_n": 40, "treatment_sd": 1.1, "control_sd": 1.2}
    rows = [
        {
            **OUTCOMES[0],
            **cells,
            "timepoint": f"day {i}",
            "treatment_mean": 80 + i,
            "control_mean": 71 + 0.7 * i,
        }
        for i in range(8)
    ]
    kinds = {w.kind.__name__: w for w in check_sheets(write(outcomes=rows)).warnings}
    verdict = kinds["StandardErrorsAsSDsWarning"]
    assert "1 of 1 study (8 rows)" in verdict.what
    assert "treatment_se" in verdict.remedy


def test_a_misnamed_column_is_named_with_the_nearest(write: Write) -> None:
    for name in ("isolation_metod", "purificaton"):
        studies = [{"study_id": s, "source_category": "platelet", name: "UC"} for s in ("li2020", "cho2021")]
        (problem,) = check_sheets(write(studies=studies)).problems
        assert problem.kind.__name__ == "UnclearColumnError"
        assert (problem.column, problem.nearest) == (name, "isolation_reported")
        columns = {name: "isolation_reported"}
        assert read_sheets(write(studies=studies), columns=columns).studies["isolation"].nunique() == 1
    for name, column in (("Isolation method", "isolation_reported"), ("source_of_EVs", "source_reported")):
        studies = [{"study_id": study, name: "platelets, UC"} for study in ("li2020", "cho2021")]
        sheets = read_sheets(write(studies=studies))
        assert {*sheets.studies[column]} == {"platelets, UC"}


def test_a_file_that_is_no_sheet_is_refused_in_a_word(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metaexo.evidence.tables.cells.LARGEST_FILE", 100)
    kinds = {problem.kind.__name__ for problem in check_sheets(write()).problems}
    assert kinds == {"SheetSizeError"}


def test_an_error_of_very_many_problems_says_where_the_rest_is(write: Write) -> None:
    rows = [{**OUTCOMES[0], "timepoint": f"day {i}", "treatment_mean": f"x{i}"} for i in range(300)]
    with pytest.raises(SheetErrors) as caught:
        read_sheets(write(outcomes=rows))
    assert len(caught.value.problems) == 300
    assert "and 100 more" in str(caught.value)
