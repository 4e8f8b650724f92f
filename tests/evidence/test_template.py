"""The template of `metaexo new`: lists and limits are those of the codebook, and no file is lost."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from click.testing import CliRunner

import metaexo as mx
from metaexo.cli import main
from metaexo.errors import InputError
from metaexo.evidence import template
from metaexo.evidence.names import is_example
from metaexo.evidence.template import EXAMPLES, FIELDS

ARM = ("n", "mean", "sd", "se", "median", "q1", "q3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("new") / "wounds and scars"
    done = CliRunner().invoke(main, ["new", str(place)])
    assert done.exit_code == 0, done.output
    assert f'metaexo check "{place / "my_studies.xlsx"}"' in done.output
    return place


@pytest.fixture(scope="module")
def book(folder: Path) -> openpyxl.Workbook:
    return openpyxl.load_workbook(folder / "my_studies.xlsx")


def checks_by_column(book: openpyxl.Workbook) -> dict[str, object]:
    """Return the data validation of each column, by its heading."""
    sheet = book["data"]
    names = {cell.column_letter: cell.value for cell in sheet[1]}
    found = {}
    for check in sheet.data_validations.dataValidation:
        (place,) = check.sqref.ranges
        assert place.min_col == place.max_col
        assert (place.min_row, place.max_row) == (2, template.LAST_ROW)
        found[names[openpyxl.utils.get_column_letter(place.min_col)]] = check
    return found


def words_of(book: openpyxl.Workbook, formula: str) -> list[str]:
    """Return the words that a list refers to."""
    name, cells = formula.split("!")
    return [row[0].value for row in book[name][cells.replace("$", "")]]


def test_every_column_with_words_has_its_list_and_own_words_are_let_in_where_they_are_allowed(book):
    codebook, checks = mx.evidence.load_codebook(), checks_by_column(book)
    assert [cell.value for cell in book["data"][1]] == [field.name for field in FIELDS] == list(checks)
    for field in FIELDS:
        words, check = template.column_of(field, codebook).words, checks[field.name]
        if words:
            assert check.type == "list"
            assert words_of(book, check.formula1) == list(words)
            assert (check.errorStyle, check.showErrorMessage) == ("stop", True)
        elif field.free:
            assert check.type == "list"
            assert (check.errorStyle, check.showErrorMessage) == ("information", False)
    free = {field.name for field in FIELDS if field.free}
    assert free == {"source_reported", "isolation_reported", "outcome"}


def test_every_suggested_source_and_isolation_is_read_as_its_own_category(book):
    checks = checks_by_column(book)
    for kind, derive in (
        ("source", mx.evidence.source_category),
        ("isolation", lambda text: mx.evidence.isolation_category(mx.evidence.isolation_steps(text))),
    ):
        terms = mx.evidence.load_vocabulary(kind).terms.values()
        by_label = {term.label: term.category for term in terms}
        words = words_of(book, checks[f"{kind}_reported"].formula1)
        assert len(words) > len(by_label) / 2
        assert {word: derive(word) for word in words} == {word: by_label[word] for word in words}


def test_numbers_have_the_limits_of_the_codebook_and_texts_stay_texts(book):
    checks, sheet = checks_by_column(book), book["data"]
    formats = {cell.value: sheet.column_dimensions[cell.column_letter].number_format for cell in sheet[1]}
    n, sd, p = checks["control_n"], checks["treatment_sd"], checks["p_value"]
    assert (n.type, n.operator, float(n.formula1), n.formula2) == ("whole", "greaterThanOrEqual", 1, None)
    assert (sd.type, sd.operator, float(sd.formula1), sd.formula2) == (
        "decimal",
        "greaterThanOrEqual",
        0,
        None,
    )
    assert (p.type, float(p.formula1), float(p.formula2)) == ("decimal", 0, 1)
    assert (float(checks["difference"].formula1), float(checks["difference"].formula2)) == (-1e50, 1e50)
    assert (formats["timepoint"], formats["p_relation"], formats["control_n"]) == ("@", "@", "0")


def test_headings_say_what_is_needed_and_messages_are_as_short_as_excel_wants(book):
    codebook, checks, sheet = mx.evidence.load_codebook(), checks_by_column(book), book["data"]
    for head, field in zip(sheet[1], FIELDS, strict=True):
        required = template.column_of(field, codebook).required
        assert (head.font.underline == "single") is required
        assert field.note in head.comment.text
        assert ("Needed in every row" in head.comment.text) is required
        check = checks[field.name]
        assert check.showInputMessage
        assert 0 < len(check.prompt) <= 255
        assert len(check.error or "") <= 225
        assert len(check.promptTitle) <= 32
    assert sheet.freeze_panes == "B2"
    assert book["lists"].sheet_state == "hidden"
    assert book.sheetnames[:4] == ["data", "help", "codebook", "words"]


def test_no_cell_of_the_workbook_is_a_formula(book):
    assert not [cell for sheet in book for row in sheet for cell in row if cell.data_type == "f"]


def test_the_codebook_and_the_words_are_in_the_workbook(book):
    rows = list(book["codebook"].values)
    assert [row[0] for row in rows[1:]] == [field.name for field in FIELDS]
    better = next(row for row in rows if row[0] == "better")
    assert better[3:] == ("yes", None, "higher, lower, none", "higher")
    words = {row[:2]: row[3] for row in book["words"].values}
    assert "hADSC" in words["source", "adipose_msc"]
    assert "ExoQuick" in words["isolation", "precipitation"]


def test_the_csv_says_the_same_and_is_utf_8_with_a_mark_for_excel(folder, book):
    content = (folder / "my_studies.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    cells = list(csv.reader(content.decode("utf-8-sig").splitlines()))
    assert "100 µg, once" in cells[1]
    as_text = [["" if cell is None else str(cell) for cell in row] for row in book["data"].values]
    assert as_text == cells


def test_nothing_is_written_over_a_file(folder, tmp_path):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match=r"my_studies.xlsx is there already"):
        mx.new_table(folder)
    (folder / "my_studies.xlsx").rename(folder / "moved.xlsx")
    done = CliRunner().invoke(main, ["new", str(folder)])
    (folder / "moved.xlsx").rename(folder / "my_studies.xlsx")
    assert done.exit_code == 1
    assert "my_studies.csv is there already" in done.output
    assert "What to do: name another folder" in done.output
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"cannot be written"):
        mx.new_table(tmp_path / "file" / "inside")


@pytest.fixture(scope="module")
def renamed(folder: Path) -> Path:
    """Return the workbook with the examples as studies, as a user would write over them."""
    book = openpyxl.load_workbook(folder / "my_studies.xlsx")
    for row, name in ((2, "Li 2021"), (3, "Cho 2022"), (4, "Rossi 2024")):
        book["data"].cell(row, 1).value = name
    path = folder.parent / "filled.xlsx"
    book.save(path)
    return path


def means_and_sds(arm: str) -> dict[str, np.ndarray]:
    """Return n, means and SDs of the examples, each from what its row gives."""
    frame = pd.DataFrame([{name: row.get(f"{arm}_{name}") for name in ARM} for row in EXAMPLES], dtype=float)
    of_medians = mx.effects.mean_sd_from_quantiles(
        frame["n"], median=frame["median"], q1=frame["q1"], q3=frame["q3"]
    )
    sds = frame["sd"].fillna(frame["se"] * np.sqrt(frame["n"])).fillna(pd.Series(of_medians.sd))
    means = frame["mean"].fillna(pd.Series(of_medians.mean))
    return {f"{arm}_n": frame["n"], f"{arm}_mean": means, f"{arm}_sd": sds}


def test_effects_of_the_filled_workbook_are_those_of_the_numbers(renamed):
    sheets = mx.read_table(renamed)
    direct = mx.effect_sizes("SMD", **means_and_sds("treatment"), **means_and_sds("control"))
    turned = np.where([row["better"] == "lower" for row in EXAMPLES], -1, 1)
    es = sheets.effects("SMD")
    assert es.k == 3
    np.testing.assert_allclose(es.y, turned * direct.y, rtol=1e-12)
    np.testing.assert_allclose(es.v, direct.v, rtol=1e-12)
    assert list(sheets.outcomes["source_category"]) == ["adipose_msc", "umbilical_cord_msc", "platelet"]
    isolations = ["ultracentrifugation", "size_exclusion", "tangential_flow"]
    assert list(sheets.outcomes["isolation_category"]) == isolations
    check = mx.check_sheets(renamed)
    assert (check.problems, check.warnings) == ((), ())


@pytest.mark.parametrize("file", ["my_studies.xlsx", "my_studies.csv"])
def test_examples_alone_are_no_studies(folder, file):
    check = mx.check_sheets(folder / file)
    (problem,) = check.problems
    assert problem.what == "the table holds only the examples of the template"
    assert "one row per comparison" in problem.remedy
    assert any("3 rows not read (2, 3, 4)" in note for note in check.notes)


def test_examples_beside_studies_are_left_out_and_said(folder, tmp_path):
    book = openpyxl.load_workbook(folder / "my_studies.xlsx")
    sheet = book["data"]
    for cell in sheet[2]:
        sheet.cell(5, cell.column).value = cell.value
    sheet["A5"] = "Li 2021"
    book.save(tmp_path / "mixed.xlsx")
    sheets = mx.read_table(tmp_path / "mixed.xlsx")
    assert list(sheets.outcomes["line"]) == [5]
    assert list(sheets.studies["study_id"]) == ["Li 2021"]
    said = [note for note in sheets.reading.notes if "Example" in note]
    assert said == [
        '3 rows not read (2, 3, 4): the study begins with "Example", as the examples of the template do'
    ]
    done = CliRunner().invoke(main, ["check", str(tmp_path / "mixed.xlsx")])
    assert "3 rows not read (2, 3, 4)" in " ".join(done.output.split())


@pytest.mark.parametrize("wrong", ["", " ", "a\0b", None, 3])
def test_what_is_no_folder_is_refused(wrong):
    with pytest.raises(InputError, match="the path of a folder"):
        mx.new_table(wrong)


def test_every_example_is_known_as_one_and_its_words_are_in_the_codebook():
    codebook = mx.evidence.load_codebook()
    assert len(EXAMPLES) == 3
    assert all(is_example(row["study_id"]) for row in EXAMPLES)
    assert not any(map(is_example, ("Exampler 2020", "Li 2020 example", None, 3.0)))
    for field in FIELDS:
        words = template.list_of(field, codebook)
        for row in EXAMPLES:
            if field.name in row and words and not field.free:
                assert row[field.name] in words
    assert {name for row in EXAMPLES for name in row} <= {field.name for field in FIELDS}
