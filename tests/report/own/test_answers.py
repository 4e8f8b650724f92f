"""What a report says follows the data: sources that differ or not, heterogeneity, confounding, few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import metaexo as mx
from metaexo.errors import InputError
from metaexo.report import Report
from tests.report.own.conftest import Folder
from tests.report.own.sheets import ISOLATIONS, SOURCES, outcomes_of, said, studies_of

Sheet = Sequence[dict[str, object]]


@pytest.fixture
def reported(folder: Folder) -> Callable[..., Report]:
    def make(studies: Sheet, outcomes: Sheet, measure: str | None = "SMD", **choices: Any) -> Report:
        return mx.write_report(folder(studies, outcomes), measure, out=None, **choices)

    return make


def words_of(report: Report, name: str) -> str:
    section = next(one for one in report.sections if one.name == name)
    texts = [getattr(block, "text", "") or "; ".join(getattr(block, "items", ())) for block in section.blocks]
    return " ".join(texts)


def test_sources_that_differ_are_said_to_differ_the_largest_effect_first(usual: tuple[Path, Report]) -> None:
    text = said(usual[1])
    assert "Effects differ by source (p " in text
    assert text.index("Umbilical cord MSC") < text.index("Platelet") < text.index("Adipose MSC")
    assert "A difference between isolation methods was not shown" in text
    assert "averaged within studies" in text


def test_sources_that_do_not_differ_and_effects_that_agree(reported: Callable[..., Report]) -> None:
    report = reported(studies_of(), outcomes_of(noise=0.01))
    text = said(report)
    assert "A difference between sources was not shown" in text
    assert "The effects vary no more than by chance (I² = 0%" in text
    assert "in favour of exosomes" in text
    assert "Nothing: all 12 rows gave an effect" in words_of(report, "left_out")


def test_lower_values_that_are_better_turn_the_answer(reported: Callable[..., Report]) -> None:
    report = reported(studies_of(6), outcomes_of(6, noise=0.01, better="lower"), by="source")
    assert "in favour of the control" in said(report)
    assert "the sign is changed" in " ".join(report.traces[0].steps)


def test_without_a_direction_of_benefit_nothing_is_turned(reported: Callable[..., Report]) -> None:
    report = reported(studies_of(6), outcomes_of(6, noise=0.01, better="none"), by="source")
    assert "higher with exosomes than with the control" in said(report)
    assert "does not say which direction is the benefit" in words_of(report, "assumed")


def test_the_direction_of_benefit_can_be_said_for_a_table_that_does_not(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    rows = outcomes_of(6, noise=0.01, better=None)
    names = [name for name in rows[0] if name.startswith(("study", "treatment", "control"))]
    lines = [",".join(names), *(",".join(str(row[name]) for name in names) for row in rows)]
    path.write_text("\n".join(lines), encoding="utf-8")
    text = said(mx.write_report(path, "SMD", out=None))
    assert "higher with exosomes than with the control" in text
    with pytest.raises(InputError, match="no column of the table names outcomes"):
        mx.write_report(path, "SMD", out=None, outcomes="wound")
    report = mx.write_report(path, "SMD", out=None, better="lower")
    assert "effects are not turned" not in words_of(report, "assumed")
    assert "in favour of the control" in said(report)
    assert "lower values were taken as the benefit" in words_of(report, "assumed")
    assert [cell.address for cell in report.traces[0].cells if cell.heading == "treatment_sd"] == ["E2"]


def test_confounded_factors_are_said_to_be(reported: Callable[..., Report]) -> None:
    pairs = {"source_category": [*SOURCES[:2]] * 4, "isolation_category": [*ISOLATIONS] * 4}
    report = reported(studies_of(8, **pairs), outcomes_of(8, effect=lambda i: (0.2, 2.0)[i % 2]))
    assert "source and isolation method are confounded" in said(report)
    assert "it may as well be one by isolation method" in said(report)
    assert "studies that cross them (for example adipose MSC with size exclusion)" in said(report)
    assert "These data cannot separate source from isolation" in words_of(report, "attribution")


@pytest.mark.parametrize(
    ("studies", "words"),
    [
        ({"source_category": "platelet"}, "All studies have one source (Platelet)"),
        ({"source_category": "not_reported"}, "No study reports its source"),
        ({"source_category": [*SOURCES, "plasma_serum"]}, "each of 4 sources has one study only"),
        (
            {"source_category": ["platelet", "platelet", "plasma_serum", "adipose_msc"]},
            "only Platelet has two",
        ),
        ({"source_category": ["platelet"] * 3 + ["not_reported"]}, "1 study does not report it"),
    ],
)
def test_why_strata_cannot_be_compared(
    reported: Callable[..., Report], studies: dict[str, Any], words: str
) -> None:
    report = reported(studies_of(4, **studies), outcomes_of(4), by="source")
    assert words in said(report)
    assert len(report.answer) == 4
    assert "At least" not in said(report)
    assert "at least 10 are needed" in words_of(report, "small_studies")


def test_one_study_is_not_pooled(reported: Callable[..., Report]) -> None:
    report = reported(studies_of(1), outcomes_of(1))
    assert report.answer[0].startswith("1 study gives an effect, so that nothing can be pooled")
    assert not any(one.name == "pooled" for one in report.tables)
    assert [one.name for one in report.figures] == ["forest"]


def test_a_study_in_two_strata_counts_once_in_the_pooled_effect_and_the_test_between_is_robust(
    reported: Callable[..., Report],
) -> None:
    outcomes = outcomes_of(6)
    for i, row in enumerate(outcomes):
        row["species"] = ("mouse", "rat")[i % 2]
    second = {**outcomes[0], "timepoint": "day 14", "treatment_mean": 75.0, "species": "rat"}
    report = reported(studies_of(6), [*outcomes, second], by="species")
    assert "Across 6 studies (7 effects), averaged within studies, the pooled" in report.answer[0]
    assert "levels of species are compared within 1 study and between the others" in report.answer[-1]
    assert "CR2" in words_of(report, "methods")
    assert "1 study is in several strata (Abe 2010)" in words_of(report, "by_species")
    tables = {one.name: one.frame for one in report.tables}
    assert (tables["pooled"]["k"].item(), tables["pooled"]["m"].item()) == (6, 6)
    assert tables["by_species"][["stratum", "m"]].to_numpy().tolist() == [["rat", 4], ["mouse", 3]]
    assert tables["tests_by_species"]["test"][0].startswith("Cluster-robust test (CR2)")
    assert tables["sensitivity"]["model"].tolist()[-1] == "all effects, multilevel"
    assert "All studies" not in report.figures[1].alternative
    by_source = reported(studies_of(6), [*outcomes, second], by="source")
    assert by_source.answer[0] == report.answer[0]  # whatever it is compared by


def test_results_with_p_alone_stand_beside_as_bounds(reported: Callable[..., Report]) -> None:
    outcomes = outcomes_of(7)
    for name in ("treatment_mean", "treatment_sd", "control_mean", "control_sd"):
        del outcomes[6][name]
    outcomes[6] |= {"p_relation": "<", "p_value": 0.05, "direction": "higher"}
    report = reported(studies_of(7), outcomes)
    assert "1 further study gives a p-value and no effect (Go 2010); taken as bounds" in words_of(
        report, "bounds"
    )
    left = next(one.frame for one in report.tables if one.name == "left_out")
    assert left["cell"].tolist() == ["outcomes.csv line 8, study_id"]
    assert "only p < 0.05" in left["reason"].item()


def test_a_source_in_words_that_are_not_known_is_not_called_unreported(
    reported: Callable[..., Report],
) -> None:
    studies = studies_of(4)
    for row, words in zip(studies, ["platelets", "unicorn horn", "platelets", "not reported"], strict=True):
        row |= {"source_category": "", "source_reported": words}
    report = reported(studies, outcomes_of(4), by="source")
    text = said(report)
    assert "1 study names the source in words that the vocabulary does not know (“unicorn horn”)" in text
    assert "1 study does not report it" in text
    assert "studies.csv line 3" in words_of(report, "assumed")


def test_strata_of_few_studies_that_agree_have_no_interval_narrower_than_chance(
    reported: Callable[..., Report],
) -> None:
    report = reported(studies_of(6), outcomes_of(6, noise=0.01), by="source")
    frame = next(one.frame for one in report.tables if one.name == "by_source")
    rows = next(one.frame for one in report.tables if one.name == "characteristics")
    for _, stratum in frame[frame["stratum"] != "All studies"].iterrows():
        v = rows.loc[rows["source"] == stratum["stratum"], "v"]
        assert stratum["m"] == 2
        assert stratum["high"] - stratum["low"] > 2 * 1.96 * (1 / v).sum() ** -0.5


@pytest.mark.parametrize(
    ("design", "words"),
    [
        ("", "low (how groups were allocated is not reported"),
        ("nonrandomised_controlled", "low (observational comparison"),
        ("rct_parallel", "high (randomised comparison"),
    ],
)
def test_a_comparison_within_studies_is_not_called_observational_unasked(
    reported: Callable[..., Report], design: str, words: str
) -> None:
    report = reported(studies_of(design=design), outcomes_of(), by="source")
    assert f"The certainty of the pooled effect is {words}" in said(report)


def test_the_prediction_interval_is_said_to_be_of_the_true_effect(usual: tuple[Path, Report]) -> None:
    assert "the true effect in a new study may lie from " in usual[1].answer[0]


def test_a_reader_sees_the_factors_and_no_share_that_few_studies_cannot_give(
    usual: tuple[Path, Report],
) -> None:
    report = usual[1]
    table = next(one for one in report.tables if one.name == "attribution")
    assert table.seen.texts("part") == ["Source", "Isolation method"]
    assert set(table.seen.texts("share_shown")) == {"not estimable with 12 studies"}
    assert {"unexplained", "interaction", "together"} <= set(table.frame["kind"])
    text = words_of(report, "attribution")
    assert "Differences between studies go with source (p " in text
    assert not [word for word in ("standard errors", "tau2") if word in text]


def test_one_study_and_few_are_not_said_more_of_than_they_show(reported: Callable[..., Report]) -> None:
    alone = reported(studies_of(1), outcomes_of(1, effect=lambda i: 3.0), by="source")
    assert "The certainty is very low (one study; risk of bias was not judged)" in said(alone)
    four = reported(studies_of(4, source_category="platelet"), outcomes_of(4, noise=1.5), by="source")
    assert next(one.frame for one in four.tables if one.name == "heterogeneity")["tau2"].item() > 0
    assert "prediction interval" not in said(four)
    assert "With 4 studies small-study effects" in words_of(four, "small_studies")
    headings = next(one.headings for one in four.tables if one.name == "characteristics")
    assert headings["treatment_n"] == "n (exosomes)"


def test_words_for_a_program_are_no_words_for_a_reader(reported: Callable[..., Report]) -> None:
    means = dict.fromkeys(("treatment_mean", "treatment_sd", "control_mean", "control_sd"))
    events = {"treatment_events": [2, 3, 1, 3] * 3, "control_events": [4, 3, 5, 6] * 3}
    report = reported(studies_of(), outcomes_of(**means, **events, better="lower"), "OR", by="source")
    blocks = [block for section in report.sections for block in section.blocks]
    texts = [getattr(block, "text", "") + "".join(getattr(block, "notes", ())) for block in blocks]
    assert not [text for text in texts if "mx." in text or "data=" in text or "tau2" in text]
