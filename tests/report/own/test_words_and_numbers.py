"""Every verdict of a report is held to its numbers: degrees of difference, ends of intervals, empty cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import openpyxl
import pandas as pd
import pytest

import metaexo as mx
from metaexo.report import Report
from metaexo.report.content import ReportTable, distinct
from metaexo.report.own.words import figure_of
from tests.report.own.conftest import Folder
from tests.report.own.sheets import ISOLATIONS, SOURCES, outcomes_of, said, studies_of
from tests.report.own.test_answers import words_of
from tests.report.own.test_numbers import run_here

Reported = Callable[..., Report]


@pytest.fixture
def reported(folder: Folder) -> Reported:
    def make(
        studies: Sequence[dict[str, object]], outcomes: Sequence[dict[str, object]], **choices: Any
    ) -> Report:
        return mx.write_report(folder(studies, outcomes), choices.pop("measure", "SMD"), out=None, **choices)

    return make


def table(report: Report, name: str) -> ReportTable:
    return next(one for one in report.tables if one.name == name)


@pytest.mark.parametrize(
    ("k", "effect", "words"),
    [
        (12, lambda i: 0.8, "vary no more than by chance"),
        (5, lambda i: 0.8 + 0.25 * (-1) ** i, "that does not rule out that they differ"),
        (12, lambda i: 0.8 + 0.55 * (-1) ** i, "but the interval of I² reaches 0"),
        (12, lambda i: 0.8 + 0.65 * (-1) ** i, "how much they differ is uncertain"),
        (12, lambda i: 0.8 + 2.5 * (-1) ** i, "The true effects differ considerably"),
    ],
)
def test_how_much_effects_differ_is_said_by_the_interval_of_i2_and_not_by_i2(
    reported: Reported, k: int, effect: Callable[[int], float], words: str
) -> None:
    report = reported(studies_of(k), outcomes_of(k, effect=effect, noise=0.01), by="source")
    assert words in report.answer[1]
    row = table(report, "heterogeneity").frame.iloc[0]
    if "considerably between" in report.answer[1]:
        assert row["i2_low"] > 0.75
    if row["i2_low"] == 0:
        assert "The true effects differ" not in report.answer[1]
        assert "inconsistency (I²" not in report.answer[-1]


def test_effects_that_agree_are_no_sign_of_small_study_effects(reported: Reported) -> None:
    """Hedges' correction makes equal means differ in the third decimal, in step with size: no bias."""
    report = reported(studies_of(), outcomes_of(noise=0.0), by="source")
    assert table(report, "small_studies").frame["pvalue"].item() > 0.5
    assert "No difference between small and large studies was found" in words_of(report, "small_studies")
    assert "signs of small-study effects" not in said(report)
    assert "stays at 0.80; the interval excludes 0 each time" in words_of(report, "leave_one_out")


def test_factors_that_are_crossed_are_not_called_confounded_because_one_study_lies_apart(
    reported: Reported,
) -> None:
    report = reported(studies_of(), outcomes_of(effect=lambda i: 6.5 if i == 3 else 0.5, noise=0.1))
    assert "cannot say which of them it is" in words_of(report, "attribution")
    assert "a hint at most" in words_of(report, "attribution")
    assert "confounded" not in said(report)
    assert "studies that cross them" not in said(report)


def test_an_interval_with_no_effect_in_it_says_so_in_its_value(reported: Reported) -> None:
    report = reported(studies_of(3), outcomes_of(3, noise=0.9), by="source")
    assert "an interval that includes 0, no effect" in report.answer[0]
    means = reported(studies_of(3), outcomes_of(3, noise=0.9), by="source", measure="ROM")
    assert "an interval that includes 1, no effect" in means.answer[0]
    assert "the interval includes 1 in all" in words_of(means, "sensitivity")


def test_studies_without_a_source_are_no_level_of_it(reported: Reported) -> None:
    sources = [*SOURCES, "", *SOURCES, ""] * 2
    report = reported(studies_of(16, source_category=sources), outcomes_of(16))
    assert "4 studies that do not report source or isolation method are not in this" in words_of(
        report, "attribution"
    )
    m = table(report, "attribution").frame["m"]
    assert set(m) == {12}
    silent = reported(studies_of(6, source_category=""), outcomes_of(6))
    assert "No study reports source and isolation method" in words_of(silent, "attribution")


def test_a_combination_that_no_study_has_is_an_empty_cell_with_a_note(reported: Reported) -> None:
    pairs = {
        "source_category": [*SOURCES[:2], SOURCES[0]] * 2,
        "isolation_category": [*ISOLATIONS, ISOLATIONS[0]] * 2,
    }
    report = reported(studies_of(6, **pairs), outcomes_of(6))
    found = table(report, "crossing")
    cells = [found.texts(name) for name in found.columns]
    assert cells == [["Adipose MSC", "Umbilical cord MSC"], ["–", "2"], ["4", "–"]]
    assert [found.headings[name] for name in found.columns] == [
        "Source",
        "Size exclusion",
        "Ultracentrifugation",
    ]
    assert "–: no study has this combination" in found.notes[0]


@pytest.mark.parametrize(
    ("value", "null", "text"),
    [
        (0.004, 0.0, "0.004"), (-0.0041, 0.0, "−0.004"), (0.0, 0.0, "0.00"), (-0.0, 0.0, "0.00"),
        (1.0032, 1.0, "1.003"), (0.9996, 1.0, "0.9996"), (0.003, 1.0, "0.003"), (1.0, 1.0, "1.00"),
        (-1e-12, 0.0, "0.00"), (12.3456, 0.0, "12.35"),
    ],
)  # fmt: skip
def test_no_number_looks_like_no_effect_without_being_it(value: float, null: float, text: str) -> None:
    assert distinct(value, null, 2) == text
    frame = pd.DataFrame({"low": [value]})
    assert ReportTable("t", "T", frame, {"low": "Low"}, {"low": ".2f"}, null=null).texts("low") == [text]


def test_risk_of_bias_is_shown_where_the_sheet_judges_it_and_else_said_to_be_missing(
    reported: Reported, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = ["Low", "some concerns", "HIGH", "high", "serious", "+", "high", "Critical", "low", "?"]
    studies = [{**row, "RoB 2 overall": word} for row, word in zip(studies_of(10), judged, strict=True)]
    report = reported(studies, outcomes_of(10, noise=0.6), by="source")
    shown = table(report, "characteristics")
    assert shown.texts("risk_of_bias")[:4] == ["low (+)", "some concerns (?)", "high (−)", "high (−)"]
    assert "high risk of bias in at least half of the studies" in report.answer[-1]
    assert "risk of bias low in 3, some concerns in 2, high in 5 of 10 studies" in report.answer[-1]
    others = table(report, "sensitivity").frame
    assert others.loc[others["rows"] == "without studies at high risk of bias", "m"].tolist() == [5]
    assert "was not judged" not in said(report) + words_of(report, "assumed")
    monkeypatch.chdir(tmp_path)
    run_here(report, tmp_path)
    silent = reported(studies_of(3), outcomes_of(3), by="source")
    assert "risk of bias was not judged" in said(silent)
    assert all(tool in words_of(silent, "assumed") for tool in ("RoB 2", "ROBINS-I", "SYRCLE"))


def test_worksheets_of_several_questions_have_numbers_where_names_are_too_long(
    folder: Folder, tmp_path: Any
) -> None:
    outcomes = [*outcomes_of(3), *outcomes_of(3, outcome="scar_width")]
    mx.write_report(folder(studies_of(3), outcomes), "SMD", by="source", out=tmp_path / "out")
    book = openpyxl.load_workbook(tmp_path / "out" / "tables.xlsx")
    assert book.sheetnames[:3] == ["Contents", "Q1_characteristics", "Q1_pooled"]
    assert {"Q2_characteristics", "Q2_by_source", "traces"} <= set(book.sheetnames)
    titles = [str(row[1].value) for row in book["Contents"].iter_rows(min_row=2)]
    assert titles[0].startswith("Study characteristics (Wound closure")
    assert titles[-1] == "How each effect came from the cells of the file"


def test_pyplot_keeps_no_page_of_a_figure_of_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """With matplotlib 3.9 too, where get_figure() takes no argument."""
    before = plt.get_fignums()
    axes = mx.plots.forest(mx.EffectSizes([0.1] * 50, [0.02] * 50), pages=20)
    for page in mx.plots.pages_of(axes):
        monkeypatch.setattr(page, "get_figure", lambda page=page: page.figure)
    assert len(plt.get_fignums()) == len(before) + 3
    assert figure_of(axes) is axes.figure
    assert plt.get_fignums() == before
