"""The committed answers: one per analysis, each sentence with rows behind it, and the pages made of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from metaexo.report.answers import answer_page, read_answers, unsupported_numbers, update_readme

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "analyses" / "results"
SAID = read_answers(RESULTS / "answers.csv")
SCRIPTS = sorted(path.stem for path in (ROOT / "analyses").glob("[0-9][0-9]_*.py"))


def test_every_analysis_answers_its_question_once():
    assert [one.script for one in SAID if one.part == "answer"] == SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS)
def test_sentences_have_rows_behind_them(script):
    """The tables are read as they are committed, not as the script held them."""
    said = [one for one in SAID if one.script == script]
    assert said
    for one in said:
        table = pd.read_csv(RESULTS / one.table)
        found = [i for cells in one.row.split(" | ") for i in selected(table, cells)]
        assert found, f"{one.table} has no row {one.row}"
        cells = [(name, value) for name in table for value in table[name].iloc[found].tolist()]
        missing = unsupported_numbers(one.words, cells, [one.k, one.m, len(found)])
        assert one.part == "settle" or not missing, f"{missing} in {one.words!r}"


def selected(table: pd.DataFrame, cells: str) -> list[int]:
    """Return the rows in which the columns hold these words: "outcome=size; rows=all"."""
    rows = pd.Series(True, index=table.index)
    for cell in filter(None, cells.split("; ")):
        column, value = cell.split("=", 1)
        rows &= table[column].astype(str) == value
    return list(table.index[rows])


def test_the_page_is_made_of_the_sentences_and_fits_on_one():
    page = (RESULTS / "answer.md").read_text(encoding="utf-8")
    assert page == answer_page(SAID)
    assert len(page.split()) < 1150


def test_the_readme_holds_the_main_answer(tmp_path):
    readme = ROOT / "README.md"
    copy = tmp_path / "README.md"
    copy.write_text(readme.read_text(encoding="utf-8"), encoding="utf-8")
    update_readme(copy, SAID)
    assert copy.read_text(encoding="utf-8") == readme.read_text(encoding="utf-8")
    assert "<!-- answer -->" in copy.read_text(encoding="utf-8")


def test_nothing_is_said_twice():
    """A refusal, or any other paragraph or item, stands once in the words of all analyses."""
    lines = (RESULTS / "summary.md").read_text(encoding="utf-8").splitlines()
    said = [line for line in lines if len(line.split()) > 5 and not line.startswith(("|", "<!--"))]
    assert len(set(said)) == len(said)
