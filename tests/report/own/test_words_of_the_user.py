"""Whatever words a table holds as outcomes, levels and headings, each question and stratum keeps its own."""

from __future__ import annotations

import csv
import os
import re
import runpy
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

import metaexo as mx
from metaexo.conditions import quoted
from metaexo.report import Report
from metaexo.report.content import ReportTable

HEAD = ("Study", "Source", "Isolation", "Outcome", "Better", "Exosome mean", "Exosome SD", "Exosome n",
        "Control mean", "Control SD", "Control n")  # fmt: skip


def write(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    """Write a table of studies, an effect of 0.2, 0.4, ... SD each unless a row says another mean."""
    usual = [
        dict(zip(HEAD, (f"Li {2001 + i}", "adipose MSC", "UC", "wound closure", "higher",
                        5 + 0.2 * (i + 1), 1.0, 10 + i, 5.0, 1.1, 10), strict=True))
        for i in range(len(rows))
    ]  # fmt: skip
    full = [one | row for one, row in zip(usual, rows, strict=True)]
    heads = list(dict.fromkeys(name for row in full for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, heads)
        writer.writeheader()
        writer.writerows(full)
    return path


def table(report: Report, name: str) -> ReportTable:
    return next(one for one in report.tables if one.name == name)


OUTCOMES = ("α-SMA", "β-SMA", "SMA", "SMA 2")


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """Return the folder of a report on four outcomes whose names are alike, by a column with signs."""
    folder = tmp_path_factory.mktemp("several")
    rows = [{"Outcome": OUTCOMES[i % 4], "Diet <kJ/day>": ("low/1", "high")[i // 4 % 2]} for i in range(16)]
    path = write(folder / "my studies.csv", rows)
    return folder, mx.write_report(path, "SMD", by="Diet <kJ/day>", out=folder / "out")


def test_questions_whose_names_are_alike_have_each_their_tables_and_traces(
    several: tuple[Path, Report],
) -> None:
    folder, report = several
    names = [one.name for one in report.tables]
    assert len(set(names)) == len(names)
    traces = [one.name for one in report.traces]
    assert len(set(traces)) == len(traces) == 16
    ids = re.findall(r'<details class="trace" id="([^"]+)"', (folder / "out/report.html").read_text())
    assert len(set(ids)) == 16
    pooled = {one.title: one for one in report.tables if one.name.endswith("_pooled")}
    assert len(pooled) == 4
    for outcome in OUTCOMES:
        title = next(title for title in pooled if f" {outcome}," in title)
        means = [5 + 0.2 * (i + 1) for i in range(16) if OUTCOMES[i % 4] == outcome]
        assert pooled[title].frame["estimate"].item() == pytest.approx(sum(means) / 4 - 5, abs=0.25)
        assert "alpha" in pooled[title].name or outcome != "α-SMA"


def test_the_script_makes_the_tables_of_the_report_under_their_names(several: tuple[Path, Report]) -> None:
    folder, _ = several
    before = Path.cwd()
    os.chdir(folder)
    try:
        runpy.run_path("out/analysis.py")
    finally:
        os.chdir(before)
    made = {path.stem: pd.read_csv(path) for path in (folder / "numbers").glob("*.csv")}
    stems = ("alpha_sma", "beta_sma", "sma", "sma_2")
    for suffix in ("pooled", "by_diet_kj_day", "tests_by_diet_kj_day", "characteristics"):
        for name in (f"{stem}_{suffix}" for stem in stems):
            numbers = pd.read_csv(folder / f"out/tables/{name}.csv").select_dtypes("number")
            same = set(numbers) & set(made[name])
            assert len(same) > 1
            for column in same:
                a, b = numbers[column], made[name][column].iloc[: len(numbers)]
                assert a.to_list() == pytest.approx(b.to_list(), nan_ok=True), (name, column)


def test_the_script_finds_the_table_where_it_lies_and_beside_itself(several: tuple[Path, Report]) -> None:
    folder, report = several
    assert str(folder) not in report.script
    assert "'../my studies.csv'" in report.script
    for place in (folder / "out", folder):
        script = place / "analysis2.py"
        script.write_text(report.script.partition("BY =")[0] + "\n", encoding="utf-8")
        assert runpy.run_path(str(script))["FILE"].resolve() == (folder / "my studies.csv").resolve()


@pytest.mark.parametrize(
    "outcome",
    ["nbsp\u00a0word", "zero\u200bwidth", "cr\rword", "bell\x07word", "\u202ertl", "sep\u2028x",
     "O'Neil \"x\" \\ back", "\\n", "é", "a\tb"],
)  # fmt: skip
def test_an_outcome_with_signs_that_are_not_printed_is_a_question_as_any(
    tmp_path: Path, outcome: str
) -> None:
    rows = [{"Outcome": outcome if i < 3 else "another"} for i in range(6)]
    report = mx.write_report(write(tmp_path / "t.csv", rows), "SMD", by=(), out=None)
    assert [len(one.frame) for one in report.tables if one.name.endswith("_characteristics")] == [3, 3]


@pytest.mark.parametrize("outcome", ["wound\u00a0closure", "\u200bwound closure", "wound\u2009closure\u200e"])
def test_an_outcome_that_was_pasted_is_no_other_outcome(tmp_path: Path, outcome: str) -> None:
    rows = [{"Outcome": outcome if i < 3 else "wound closure"} for i in range(6)]
    report = mx.write_report(write(tmp_path / "t.csv", rows), "SMD", by=(), out=None)
    assert len(table(report, "characteristics").frame) == 6


@pytest.mark.parametrize("heading", ["Diet", "Route"])
@pytest.mark.parametrize("word", ["NA", "n/a", "unknown", "-", "not stated", "", "Not reported"])
def test_a_word_for_nothing_is_no_level(tmp_path: Path, heading: str, word: str) -> None:
    """A third level of studies that say nothing would take part in the test between strata."""
    rows = [{heading: ("low", "high", word)[i % 3]} for i in range(9)]
    report = mx.write_report(
        write(tmp_path / "t.csv", rows),
        "SMD",
        by=heading.lower() if heading == "Route" else heading,
        out=None,
    )
    assert "3 studies do not report it" in report.answer[2]
    tests = next(one.frame for one in report.tables if one.name.startswith("tests_by"))
    assert tests["number"].iloc[0] == 2
    assumed = str(next(one for one in report.sections if one.name == "assumed").blocks)
    assert f"read as empty cells: {word!r} (3)".casefold() in assumed.casefold() or not word


def test_signs_are_words_where_they_are_meant(tmp_path: Path) -> None:
    rows = [
        {"CD63": ("+", "-")[i % 2], "RoB": ("low", "-", "?")[i % 3], "Diet": ("a", "b", "-")[i % 3]}
        for i in range(6)
    ]
    outcomes = mx.read_table(write(tmp_path / "t.csv", rows)).outcomes
    assert outcomes["CD63"].tolist() == ["+", "-"] * 3
    assert outcomes["RoB"].tolist() == ["low", "-", "?"] * 2
    assert outcomes["Diet"].isna().tolist() == [False, False, True] * 2


def test_levels_that_may_be_one_are_named(tmp_path: Path) -> None:
    rows = [{"Diet": ("low", "Low", "none")[i % 3]} for i in range(9)]
    report = mx.write_report(write(tmp_path / "t.csv", rows), "SMD", by="Diet", out=None)
    assumed = str(next(one for one in report.sections if one.name == "assumed").blocks)
    assert "differ by blanks or capitals alone and count as several: 'Low', 'low'" in assumed
    assert "'none' is a level of Diet, and reads like a missing value" in assumed


@pytest.mark.parametrize("sign", ["'", '"', "'\"", "\\", "\\n", "\n", "\t", "\u2028", "\xa0", "{", "`"])
def test_a_text_in_a_condition_is_read_as_it_is(sign: str) -> None:
    text = f"a{sign}b"
    es = mx.EffectSizes([0.1, 0.2], [1, 1], data=pd.DataFrame({"word": [text, "other"]}))
    assert es.select(f"word == {quoted(text)}").k == 1


def test_a_level_called_all_keeps_its_name_beside_all_studies(tmp_path: Path) -> None:
    rows = [{"Sex": ("all", "male")[i % 2]} for i in range(6)]
    report = mx.write_report(write(tmp_path / "t.csv", rows), "SMD", by="Sex", out=None)
    assert table(report, "by_sex").frame["stratum"].tolist() == ["all", "male", "All studies"]
    rows = [{"Sex": ("All studies", "all strata", "all")[i % 3]} for i in range(6)]
    report = mx.write_report(write(tmp_path / "t.csv", rows), "SMD", by="Sex", out=None)
    strata = table(report, "by_sex").frame["stratum"].tolist()
    assert strata[-1] == "All studies together"
    assert sorted(strata[:-1]) == ["All studies", "all", "all strata"]


@pytest.mark.parametrize("heading", ["label", "k", "tau2", "note", "y", "how", "effect_shown", "stratum"])
def test_a_column_of_ones_own_is_never_overwritten_by_a_result_of_that_name(
    tmp_path: Path, heading: str
) -> None:
    rows = [{heading: ("pp", "qq")[i // 3]} for i in range(6)]
    report = mx.write_report(write(tmp_path / "t.csv", rows), "SMD", by=(heading, "source"), out=None)
    seen = table(report, "characteristics")
    texts = {seen.headings[name]: seen.texts(name) for name in seen.columns}
    assert texts["Study"] == [f"Li {2001 + i}" for i in range(6)]
    assert ["pp"] * 3 + ["qq"] * 3 in texts.values()
    frame = table(report, f"by_{heading}").frame
    assert frame["stratum"].tolist()[:2] == ["pp", "qq"]
    assert frame["k"].tolist() == [3, 3, 6]
    assert any(frame[name].tolist()[:2] == ["pp", "qq"] for name in frame if name != "stratum")


def test_levels_that_hold_the_sign_between_levels_are_not_averaged(tmp_path: Path) -> None:
    pairs = [("a | b", "c"), ("a", "b | c"), ("a", "c"), ("a | b", "c"), ("a", "b | c")]
    rows = [{"one": one, "two": two} for one, two in pairs]
    rows[0] |= {"Study": "A 2001"}
    rows[1] |= {"Study": "A 2001"}
    report = mx.write_report(write(tmp_path / "t.csv", rows), "SMD", by=("one", "two"), out=None)
    crossing = table(report, "crossing").frame.set_index("one")
    assert crossing.loc["a | b", "two: c"] == 2
    assert crossing.loc["a", "two: b | c"] == 2


def test_a_column_called_as_the_numbers_of_studies_is_a_factor(tmp_path: Path) -> None:
    rows = [{"studies": f"s{i % 2}", "group": f"g{i // 2 % 2}"} for i in range(8)]
    report = mx.write_report(write(tmp_path / "t.csv", rows), "SMD", by=("studies", "group"), out=None)
    assert table(report, "by_group").frame["m"].tolist() == [4, 4, 8]


def test_the_order_of_the_rows_changes_no_number(tmp_path: Path) -> None:
    """Permuted labels are drawn, so the studies have to stand in an order of their own."""
    rows = [
        {
            "Study": f"Li {2001 + i}", "Source": ("adipose MSC", "UC-MSC")[i % 2], "Exosome n": 10 + i,
            "Isolation": ("UC", "SEC")[i // 3 % 2], "Exosome mean": 5 + (1.3 * i) % 2,
        }
        for i in range(14)
    ]  # fmt: skip
    tables = []
    for name, order in (("t", rows), ("u", rows[::-1]), ("v", rows[5:] + rows[:5])):
        report = mx.write_report(write(tmp_path / f"{name}.csv", order), "SMD", out=None)
        names = ("tests_by_source", "tests_by_isolation", "attribution")
        tables.append([table(report, one).frame for one in names])
    assert "drawn of" in tables[0][0]["note"].iloc[2]
    for others in tables[1:]:
        for one, other in zip(tables[0], others, strict=True):
            assert one["pvalue"].to_list() == pytest.approx(other["pvalue"].to_list(), nan_ok=True)


def test_an_interval_that_there_is_not_is_an_empty_cell(tmp_path: Path) -> None:
    rows = [{"Exosome mean": 6.0, "Exosome n": 10} for _ in range(6)]
    report = mx.write_report(write(tmp_path / "t.csv", rows), "SMD", by=(), out=None)
    found = table(report, "heterogeneity")
    assert "its interval cannot be given" in report.answer[1]
    for name in ("tau2_low", "tau2_high", "i2_low", "i2_high"):
        assert found.texts(name) == ["–"]
        assert found.frame[name].isna().all()
    assert any("no interval" in note for note in found.notes)


def test_a_family_of_outcomes_is_more_than_the_outcome_of_its_name(tmp_path: Path) -> None:
    rows = [{"Outcome": ("Wound closure (%)", "wound closure")[i % 2]} for i in range(6)]
    path = write(tmp_path / "t.csv", rows)
    for asked, k in (("Wound closure", 6), ("wound_closure", 3), ("wound_closure_pct", 3)):
        report = mx.write_report(path, "SMD", by=(), outcomes=asked, out=None)
        assert table(report, "pooled").frame["k"].item() == k


def test_events_of_harm_stand_beside_those_of_the_controls(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "Study,Source,Isolation,Outcome,Better,Exosome events,Exosome n,Control events,Control n\n"
        + "".join(
            f"Li {2001 + i},ADSC,UC,{outcome},{better},{a},30,{c},28\n"
            for i, a, c in ((0, 0, 3), (1, 1, 2))
            for outcome, better in (("infection", "lower"), ("healed", "higher"))
        )
    )
    report = mx.write_report(path, "RR", by=(), out=None, outcomes="healed")
    words = next(one for one in report.sections if one.name == "safety").blocks[0]
    difference = (1 / 30 - 5 / 28) / 2  # of two studies of one size
    assert "1 of 60 treated, 5 of 56 controls; risk difference" in words.text
    assert f"risk difference −{abs(difference):.2f} (95% CI −" in words.text
    assert table(report, "left_out").frame["outcome"].tolist() == ["Infection", "Infection"]
    assert "DerSimonian" not in str(report.sections)
    methods = str(next(one for one in report.sections if one.name == "methods").blocks)
    assert "restricted maximum likelihood: doi" not in methods


def test_an_assumed_correlation_is_said_where_it_is_assumed_alone(tmp_path: Path) -> None:
    shared = [
        {"Study": "Li 2001", "Dose": i, "Control mean": 4.9, "Control SD": 1.3, "Control n": 9}
        for i in (1, 2)
    ]
    other = [{}, {}, {}]
    for more, said in (
        ([], False),
        ([{"Study": "Wu 2010"}, {"Study": "Wu 2010", "Control mean": 5.5}], True),
    ):
        report = mx.write_report(write(tmp_path / "t.csv", [*shared, *other, *more]), "SMD", by=(), out=None)
        for name in ("methods", "assumed"):
            text = str(next(one for one in report.sections if one.name == name).blocks)
            assert "computed" in text
            assert ("elsewhere" in text) is said
