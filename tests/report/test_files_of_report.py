"""The files of a report: what they hold, that they are reproducible, that nothing of a user is lost."""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import replace

import docx
import numpy as np
import openpyxl
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError
from metaexo.report.content import Listing, Report, ReportTable, Section
from metaexo.report.drawings import inline_svg
from metaexo.report.html import linked
from metaexo.report.workbook import csv_text, sheet_names
from tests.report.made_up import HOSTILE, report, small


@pytest.fixture(scope="module")
def hostile_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "out"
    return folder, mx.report.write_files(report(12, hostile=True), folder)


def test_all_files_are_written_and_listed(hostile_files):
    folder, paths = hostile_files
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == {path.relative_to(folder).as_posix() for path in paths}
    figures = {f"figures/{name}.{end}" for name in ("forest", "funnel") for end in ("svg", "pdf", "png")}
    assert there > figures | {
        "report.html",
        "report.docx",
        "tables.xlsx",
        "analysis.py",
        "tables/effects.csv",
    }


def test_texts_of_the_user_read_as_they_stand(hostile_files):
    folder, _ = hostile_files
    document = docx.Document(folder / "report.docx")
    in_document = [cell.text for cell in document.tables[0].columns[0].cells]
    sheet = openpyxl.load_workbook(folder / "tables.xlsx")["effects"]
    assert [cell.value for cell in sheet[1]][4:6] == ["SMD", "Standard error"]
    in_workbook = [row[0] for row in sheet.iter_rows(min_row=2)]
    with (folder / "tables" / "effects.csv").open(encoding="utf-8-sig", newline="") as file:
        in_csv = [row["study"] for row in csv.DictReader(file)]
    for i, name in enumerate(HOSTILE):
        visible = "".join(sign for sign in name if sign.isprintable())
        assert in_document[i + 1] == visible
        assert "".join(sign for sign in in_workbook[i].value if sign.isprintable()) == visible
        assert (in_workbook[i].data_type, in_workbook[i].quotePrefix) == ("s", name[0] in "=@-")
        assert "".join(s for s in in_csv[i] if s.isprintable()) == ("'" if name[0] in "=@-" else "") + visible


def test_how_each_number_came_about_is_a_table_as_well(hostile_files):
    folder, _ = hostile_files
    made = pd.read_csv(folder / "tables" / "traces.csv")
    assert len(made) == 12 * 6
    assert list(made.loc[made["kind"] == "cell", "cell"][:3]) == ["Data!F2", "Data!G2", "Data!H2"]
    assert made.loc[5, "text"].startswith("Effect and sampling variance\n  y = ")


def test_the_document_has_headings_captions_and_alternative_texts():
    made = report(12)
    document = docx.Document(io.BytesIO(written(made)))
    headings = [p.text for p in document.paragraphs if p.style.name == "Heading 1"]
    assert headings == ["Answer", *(part.title for part in made.sections), "Versions and settings"]
    assert document.paragraphs[3].text == made.answer[0]
    captions = [p for p in document.paragraphs if p.style.name == "Caption"]
    counted = [(p.text.split(".")[0].strip(), p._p.xpath("string(w:fldSimple)")) for p in captions]
    assert counted == [("Table", "1"), ("Figure", "1"), ("Figure", "2"), ("Table", "2")]
    assert [shape._inline.docPr.get("descr") for shape in document.inline_shapes] == [
        one.alternative for one in made.figures
    ]
    assert all(table.rows[0]._tr.xpath("w:trPr/w:tblHeader") for table in document.tables)
    sections = [(round(s.page_width.cm, 1), round(s.page_height.cm, 1)) for s in document.sections]
    assert sections == [(21.0, 29.7), (29.7, 21.0), (21.0, 29.7)]  # the wide table stands on its side


def written(made: Report) -> bytes:
    """Return the document of a report."""
    from metaexo.report.drawings import Drawings
    from metaexo.report.word import document_with

    with Drawings.of(made) as drawings:
        return document_with(made, drawings)


def test_numbers_of_a_list_begin_anew():
    part = Section("s", "S", (Listing(("a", "b"), ordered=True), Listing(("c",), ordered=True)))
    document = docx.Document(io.BytesIO(written(replace(small(), sections=(part,)))))
    numbers = [p._p.pPr.numPr.numId.val for p in document.paragraphs if p.style.name == "List Number"]
    assert numbers[0] == numbers[1] != numbers[2]


def test_the_same_report_gives_the_same_bytes(hostile_files, tmp_path):
    folder, paths = hostile_files
    again = mx.report.write_files(report(12, hostile=True), tmp_path / "again")
    for old, new in zip(paths, again, strict=True):
        assert old.read_bytes() == new.read_bytes(), old.relative_to(folder)
    with zipfile.ZipFile(folder / "report.docx") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_an_earlier_report_is_replaced_and_nothing_else(tmp_path):
    folder = tmp_path / "out"
    mx.report.write_files(small(), folder)
    (folder / "notes.txt").write_text("mine")
    renamed = replace(small().tables[0], name="other")
    mx.report.write_files(replace(small(), sections=(Section("s", "S", (renamed,)),)), folder)
    assert [path.name for path in (folder / "tables").iterdir()] == ["other.csv"]
    assert (folder / "notes.txt").read_text() == "mine"
    assert not (folder / "figures").exists()
    assert {path.name for path in mx.report.earlier_report(folder)} > {"report.html", "other.csv"}


def test_what_the_user_changed_is_not_overwritten(tmp_path):
    mx.report.write_files(small(), tmp_path / "out")
    (tmp_path / "out" / "analysis.py").write_text("print(2)\n")
    with pytest.raises(InputError, match=r"changed after it was written.*analysis\.py.*out_2"):
        mx.report.write_files(small(), tmp_path / "out")
    assert (tmp_path / "out" / "analysis.py").read_text() == "print(2)\n"


@pytest.mark.parametrize("there", ["folder with files", "file", "list that points outside"])
def test_a_folder_of_other_things_is_refused(tmp_path, there):
    target = tmp_path / "out"
    if there == "file":
        target.write_text("x")
    else:
        target.mkdir()
        (target / "thesis.docx").write_text("mine")
    if there == "list that points outside":
        lines = [f"{'0' * 64}  {name}\n" for name in ("report.html", "../thesis.docx", "a/../../b")]
        (target / "files.sha256").write_text("".join(lines[1:]))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"choose another"):
        mx.report.write_files(small(), target)
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_left_of_a_report_that_failed(tmp_path):
    folder = tmp_path / "out"
    mx.report.write_files(small(), folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    broken = replace(small().tables[0], formats={"b": "nonsense"})
    with pytest.raises(ValueError, match="format"):
        mx.report.write_files(replace(small(), sections=(Section("s", "S", (broken,)),)), folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("write", ["html_page", "write_docx", "write_files"])
def test_what_is_no_report_is_refused(tmp_path, write):
    more = {"html_page": (), "write_docx": (tmp_path / "a.docx",), "write_files": (tmp_path / "a",)}[write]
    with pytest.raises(InputError, match="a Report"):
        getattr(mx.report, write)("report", *more)
    assert not list(tmp_path.iterdir())


def test_cells_of_a_workbook_keep_their_kinds(tmp_path):
    frame = pd.DataFrame(
        {
            "n": [1, 2],
            "y": [0.1, np.nan],
            "inf": [np.inf, 1.0],
            "flag": [True, False],
            "text": ["+1", None],
            "mixed": ["007", 7],
        }
    )
    path = mx.report.write_workbook(tmp_path / "t.xlsx", {"a/b": frame, "A b": frame[:0]})
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["a b", "A b 2"]
    rows = list(book["a b"].values)
    assert rows[1:] == [(1, 0.1, "inf", True, "+1", "007"), (2, None, 1, False, None, 7)]
    assert book["a b"].freeze_panes == "A2"
    with pytest.raises(InputError, match=r"write t\.xlsx"):
        mx.report.write_workbook(tmp_path / "t.xls", {"a": frame})
    with pytest.raises(InputError, match="folder that is there"):
        mx.report.write_workbook(tmp_path / "no" / "t.xlsx", {"a": frame})


def test_names_of_worksheets_are_valid_and_differ():
    made = sheet_names(["x" * 40, "x" * 50, "[a]:*?/\\", "'q'", "", " ", "History"])
    assert len({name.casefold() for name in made}) == 7
    assert all(1 <= len(name) <= 31 and not set(name) & set("[]:*?/\\") for name in made)


def test_a_drawing_in_a_page_has_attributes_and_identifiers_of_its_own(tmp_path):
    drawn = tmp_path / "drawn.svg"
    drawn.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="10pt" '
        'height="20pt" viewBox="0 0 10 20"><title>T</title><desc>D</desc><metadata>x</metadata>'
        '<defs><style>*{stroke: red}</style><path id="m1" d="M 0 0"/></defs><g id="unused">'
        '<use xlink:href="#m1" style="fill: #aabbcc"/>'
        "<text style=\"font: italic 700 8px 'DejaVu Sans', serif; fill: #m1\">a &lt; b</text></g></svg>"
    )
    made = inline_svg(drawn, "figure-a")
    assert 'id="figure-a-m1"' in made
    assert 'xlink:href="#figure-a-m1"' in made
    assert 'fill="#aabbcc"' in made
    font = (
        "font-style=|italic| font-weight=|700| font-size=|8px| font-family=|'DejaVu Sans', serif| fill=|#m1|"
    )
    font = font.replace("|", '"')
    assert font in made
    assert 'aria-labelledby="figure-a-title figure-a-words"' in made
    assert not [left for left in (" style=", "<style", "unused", "metadata") if left in made]


def test_only_addresses_of_the_web_become_links():
    said = "See https://e.org/a(b), doi:10.1/x and 10.3102/1076(99)4; javascript:alert(1) <b> ftp://x.org"
    assert str(linked(said)).count("<a href=") == 1
    assert "https://e.org/a(b)" in linked(said)
    assert 'href="https://e.org' not in linked(said)
    assert 'href="https://doi.org/10.3102/1076(99)4"' in linked(said)
    assert "&lt;b&gt;" in linked(said)


def test_what_a_reader_sees_of_values():
    frame = pd.DataFrame(
        {"a": [-0.126, np.nan], "p": [0.00001, 0.2], "w": [0.256, 1], "k": [3, 4], "t": ["x", None]}
    )
    table = ReportTable("t", "T", frame, dict.fromkeys(frame, "H"), {"a": ".2f", "p": "p", "w": ".1%"})
    assert [table.texts(name) for name in table.columns] == [
        ["−0.13", "–"], ["< 0.0001", "0.20"], ["25.6%", "100.0%"], ["3", "4"], ["x", "–"],
    ]  # fmt: skip
    assert csv_text(frame).splitlines()[1] == "-0.126,1e-05,0.256,3,x"


def test_worksheets_have_whole_words_for_names_and_a_list_with_links(tmp_path):
    frame = pd.DataFrame({"n": [1, 2]})
    names = [
        "wound_closure_pct_in_animals_or_cells_tests_by_isolation",
        "wound_closure_pct_in_people_tests_by_isolation_method",
        "of_another_outcome_tests_by_isolation_method",
        "pooled",
    ]
    titles = {name: f"Title of {name}" for name in names}
    path = mx.report.write_workbook(tmp_path / "t.xlsx", dict.fromkeys(names, frame), titles)
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == [
        "Contents",
        "or_cells_tests_by_isolation",
        "tests_by_isolation_method",
        "tests_by_isolation_method 2",
        "pooled",
    ]
    assert all(len(name) <= 31 for name in book.sheetnames)
    listed = book["Contents"]
    assert [row[1].value for row in listed.iter_rows(min_row=2)] == list(titles.values())
    for row, name in zip(listed.iter_rows(min_row=2), book.sheetnames[1:], strict=True):
        assert (row[0].value, row[0].hyperlink.location) == (name, f"'{name}'!A1")
