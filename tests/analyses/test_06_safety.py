"""Safety: every report is used or left out, intervals are exact, people chosen for harm are in no rate."""

from __future__ import annotations

import csv
import math

import pytest

from metaexo.report.run import Folders, run_analysis

NAME = "06_safety"
KINDS = {
    "adverse events": "ae_patients_treated",
    "serious adverse events": "sae_patients_treated",
    "related serious adverse events": "sae_related_treated",
    "deaths": "deaths_treated",
}


@pytest.fixture(scope="module")
def sheet(root):
    """Return the rows of the sheet as they stand in the file, read without metaexo."""
    with (root / "data" / "safety_events.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def lines_of_harm(sheet):
    return {line for line, row in enumerate(sheet, start=2) if row["design"].startswith("ae_")}


@pytest.mark.parametrize("kind", KINDS)
def test_every_report_is_counted_or_has_a_reason(table, sheet, kind):
    rates, left_out = table("rates"), table("left_out")
    used = rates.loc[(rates["events"] == kind) & (rates["arm"] == "treated"), "line"]
    gone = left_out.loc[left_out["events"] == kind, "line"]
    assert sorted([*used, *gone]) == list(range(2, len(sheet) + 2))


@pytest.mark.parametrize(("kind", "column"), KINDS.items())
def test_the_counts_are_those_of_the_file_and_an_empty_cell_is_no_zero(table, sheet, kind, column):
    rates = table("rates")
    found = rates[(rates["events"] == kind) & (rates["arm"] == "treated")]
    wanted = {
        line: (int(row[column]), int(row["n_treated"]))
        for line, row in enumerate(sheet, start=2)
        if row[column] and row["n_treated"] and not row["design"].startswith("ae_") and row["use"] != "apart"
    }
    assert {row.line: (row.people, row.n) for row in found.itertuples()} == wanted


def test_people_chosen_for_harm_are_in_no_rate_and_in_no_figure(folders, table, sheet):
    chosen = lines_of_harm(sheet)
    assert len(chosen) == 4
    assert chosen.isdisjoint(table("rates")["line"])
    assert set(table("harmed")["line"]) == chosen


def test_people_chosen_for_harm_are_told_in_words(folders, sheet):
    words = (folders.results / "summary.md").read_text(encoding="utf-8")
    for line in lines_of_harm(sheet):
        assert sheet[line - 2]["ae_definition"] in words


def test_the_upper_end_of_no_event_has_a_closed_form(table):
    none = table("rates").query("people == 0")
    assert len(none) > 20
    assert (none["low"] == 0).all()
    for row in none.itertuples():
        assert row.high == pytest.approx(1 - 0.025 ** (1 / row.n), rel=1e-6)


def test_one_event_of_sixty_by_the_binomial_formula(table):
    rates = table("rates")
    row = rates[(rates["study_id"] == "heliumplasma_fibroblast") & (rates["arm"] == "treated")].iloc[0]
    assert (row["people"], row["n"]) == (1, 60)
    assert 1 - (1 - row["low"]) ** 60 == pytest.approx(0.025, rel=1e-5)
    at_most_one = (1 - row["high"]) ** 60 + 60 * row["high"] * (1 - row["high"]) ** 59
    assert at_most_one == pytest.approx(0.025, rel=1e-5)


def test_the_overview_counts_studies_with_and_without_the_doubtful(table, sheet):
    overview = table("overview")
    for reports, uses in (
        ("with doubtful reports", ("main", "doubtful", "")),
        ("without doubtful reports", ("main", "")),
    ):
        found = overview[(overview["reports"] == reports) & (overview["level"] == "any adverse event")].iloc[
            0
        ]
        rows = [
            row
            for row in sheet
            if row["ae_scope"] == "all"
            and row["ae_patients_treated"]
            and row["n_treated"]
            and row["use"] in uses
        ]
        assert found["studies"] == len(rows)
        assert found["largest_n"] == max(int(row["n_treated"]) for row in rows)
        assert found["studies_without_event"] == sum(row["ae_patients_treated"] == "0" for row in rows)


def test_nothing_is_pooled(folders, table, sheet):
    treated = [row for row in sheet if row["ae_patients_treated"] and row["n_treated"]]
    everybody = sum(int(row["n_treated"]) for row in treated)
    assert everybody > 900
    rates, overview = table("rates"), table("overview")
    assert rates["n"].max() == max(int(row["n_treated"]) for row in treated)
    assert overview["largest_n"].max() == rates["n"].max()
    words = (folders.results / "summary.md").read_text(encoding="utf-8")
    assert str(everybody) not in words
    assert "Nothing is pooled" in words


def test_split_bodies_are_marked(table, sheet):
    rates = table("rates")
    same = {line for line, row in enumerate(sheet, start=2) if row["paired"] == "yes"}
    assert set(rates.loc[rates["same_people"], "line"]) == same & set(rates["line"])
    assert same & set(rates["line"])


def test_every_share_lies_in_its_interval(table):
    rates = table("rates")
    assert ((rates["low"] <= rates["share"]) & (rates["share"] <= rates["high"])).all()
    assert all(math.isfinite(x) for x in rates["high"])


def test_a_second_run_writes_the_same_bytes(folders, root, tmp_path):
    again = Folders(root / "analyses", root / "data", tmp_path)
    run_analysis(root / "analyses" / f"{NAME}.py", again)
    for before, after in ((folders.results, again.results), (folders.figures, again.figures)):
        names = sorted(path.name for path in before.iterdir())
        assert names == sorted(path.name for path in after.iterdir())
        assert [n for n in names if (before / n).read_bytes() != (after / n).read_bytes()] == []
