"""Sentences of analyses are held to the rows of the tables behind them."""

from __future__ import annotations

import pandas as pd
import pytest

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.report.answers import (
    answer_page,
    read_answers,
    rows_behind,
    unsupported_numbers,
    update_answers,
    update_readme,
)
from metaexo.report.collected import Folders
from metaexo.report.run import Analysis

SHARES = pd.DataFrame(
    {
        "outcome": ["size", "cargo"],
        "share": [0.6812, 0.0449],
        "low": [0.51, 0.0],
        "p": [0.00004, 0.16],
        "risk": [0.001, 0.01],
        "people": [2995, 299],
        "change": [-1.25, 0.0],
        "study": ["Park 2023", "Li 2020"],
    }
)


@pytest.fixture
def analysis(tmp_path):
    folders = Folders(tmp_path, tmp_path, tmp_path)
    found = Analysis(tmp_path / "22_shares.py", "How much?", folders)
    found.write_table("shares", SHARES)
    return found


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        ("68% (95% CI 51% to 100%)", ["100"]),
        ("68.1 to 51%", []),
        ("p < 0.0001 as it stands", []),
        ("p < 0.00001", ["0.00001"]),
        ("a risk of 1 in 1,000 needs 2,995 people", []),
        ("a risk of 1 in 500", ["500"]),
        ("Park 2023 of 278 laboratories", []),
        ("Park 2024", ["2024"]),
        ("miR-21-5p and let-7a: 0.681", []),
        ("−0.68 or 0.69", ["0.68", "0.69"]),
        ("0.6813", ["0.6813"]),
        ("3 of `22_shares.csv`", ["3"]),
        ("a range of 0.51-0.9", ["0.9"]),
        ("a 7-fold rise, 8x, the 9th, g1.9, (0.5,0.93)", ["7", "8", "9", "1.9", "0.93"]),
        ("a 1-in-1,000 risk, or 1 per 1,000", []),
        ("a 1-in-900 risk", ["900"]),
        ("p > 0.05 and p ≤ 0.00001", ["0.05", "0.00001"]),
        ("CD63 in 68 to 51% of PRJNA798069, 0.68", []),
        ("51% of 51 people", ["51"]),
        ("a difference of −0.68, or -0.51", ["0.68", "0.51"]),
        ("a change of −1.25 (1.25 lower)", []),
        ("1,23 and 2,995", ["23"]),
        ("2023 reports of Park 2023", ["2023"]),
    ],
)
def test_numbers_must_stand_in_the_row(words, missing):
    cells = [(name, SHARES[name][0]) for name in SHARES]
    assert unsupported_numbers(words, cells, given=[278]) == missing


def test_rows_are_found_by_their_cells_and_only_one_each():
    behind, told = rows_behind(SHARES, [{"outcome": "cargo"}, {"outcome": "size", "people": 2995}])
    assert behind["share"].tolist() == [0.0449, 0.6812]
    assert told == "outcome=cargo | outcome=size; people=2995"
    for wrong in ({"outcome": "dose"}, {"dose": 1}, None, [], "size", [3]):
        with pytest.raises(InputError):
            rows_behind(SHARES, wrong)


def test_a_sentence_that_disagrees_with_its_table_stops_the_run(analysis):
    with pytest.raises(InputError, match=r"0\.71"):
        analysis.state("A share of 0.71.", table="shares", row={"outcome": "size"})
    with pytest.raises(UnknownChoiceError, match="shares"):
        analysis.state("A share of 68%.", table="share", row={"outcome": "size"})
    with pytest.raises(UnknownChoiceError, match="certainty"):
        analysis.answer("68%", k=3, m=2, units="laboratories", certainty="lo", table="shares", row=[])
    analysis.state("20% would be found.", table="shares", row={"outcome": "size"}, defined=[20])


def test_one_answer_and_the_page_of_all(analysis, tmp_path):
    said = {"k": 9, "m": 4, "units": "laboratories", "table": "shares", "row": {"outcome": "size"}}
    analysis.answer("Of 9 groups 68% goes with it.", certainty="low", reasons="observational", **said)
    with pytest.raises(InputError, match="two answers"):
        analysis.answer("68%.", certainty="low", **said)
    analysis.state("It is 4%.", table="shares", row={"outcome": "cargo"})
    analysis.state("299 people.", table="shares", row={"outcome": "cargo"}, part="settle")
    update_answers(tmp_path, "22_shares", analysis.sentences, {"22_shares", "23_other"})
    assert read_answers(tmp_path / "answers.csv") == analysis.sentences
    page = (tmp_path / "answer.md").read_text(encoding="utf-8")
    assert page == answer_page(analysis.sentences)
    assert page.index("Of 9 groups") < page.index("- It is 4%.") < page.index("- 299 people.")
    assert "| How much? | Of 9 groups 68% goes with it. | 9 | 4 laboratories | low |" in page
    update_answers(tmp_path, "23_other", [], {"23_other"})
    assert read_answers(tmp_path / "answers.csv") == []


def test_the_readme_opens_with_the_main_answer(analysis, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# x\n\n<!-- answer -->\nold\n<!-- end of answer -->\n\nmore\n")
    rest = {"k": 9, "m": 4, "units": "laboratories", "table": "shares", "row": {"outcome": "size"}}
    analysis.answer("It is 68%.", certainty="low", reasons="observational", figure="shares", **rest)
    update_readme(readme, analysis.sentences)
    text = readme.read_text()
    assert "**How much?** It is 68%. Certainty: low (observational)." in text
    assert "![How much?](figures/22_shares.svg)" in text
    assert "old" not in text
    assert text.endswith("<!-- end of answer -->\n\nmore\n")
    update_readme(readme, [])
    assert readme.read_text() == text
