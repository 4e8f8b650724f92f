"""The evidence base: maps and shares add up to the sheets, and the same run gives the same bytes."""

from __future__ import annotations

import csv

import pandas as pd
import pytest

from metaexo.report.run import Folders, run_analysis

NAME = "01_evidence_base"


@pytest.fixture(scope="module")
def sheet(root):
    """Return the rows of the sheet as they stand in the file, read without metaexo."""
    with (root / "data" / "studies.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_study_stands_in_one_cell(table, sheet):
    cells = table("cells")
    assert cells["studies"].sum() == len(sheet)
    for domain in ("clinical", "preclinical", "isolation"):
        counted = cells.loc[cells["domain"] == domain, "studies"].sum()
        assert counted == sum(row["domain"] == domain for row in sheet)
    assert cells["set_apart"].sum() == sum(row["use"] == "apart" for row in sheet)


def test_crossings_count_studies_and_no_cell_is_zero(table, sheet):
    crossings = table("crossings")
    plain = crossings[(crossings["factor_1"] == "indication") & (crossings["factor_2"] == "design")]
    assert plain["studies"].sum() == len(sheet)
    assert (crossings["studies"] > 0).all()
    animals = plain[(plain["level_1"] == "Wound") & (plain["level_2"] == "Animals, controlled")]
    wanted = sum(row["indication"] == "wound" and row["design"] == "animal_controlled" for row in sheet)
    assert animals["studies"].tolist() == [wanted]


def test_a_study_that_compares_methods_counts_once_for_each(table):
    crossings = table("crossings")
    by_isolation = crossings[(crossings["factor_1"] == "isolation") & (crossings["factor_2"] == "design")]
    treated = by_isolation[by_isolation["domain"] != "isolation"]
    compared = by_isolation[by_isolation["domain"] == "isolation"]
    assert treated["studies"].sum() == 170
    assert compared["studies"].sum() > 80


def test_shares_are_recounted_from_the_file(table, sheet):
    shares = table("reporting").set_index(["item", "domain", "access"])
    for domain in ("clinical", "preclinical"):
        for access in ("abstract", "secondary"):
            rows = [row for row in sheet if row["domain"] == domain and row["access"] == access]
            named = [row for row in rows if row["isolation_category"] not in ("", "not_reported")]
            found = shares.loc[("isolation", domain, access)]
            assert (found["reported"], found["studies"]) == (len(named), len(rows))
    before_after = [row for row in sheet if row["design"] == "pre_post"]
    clinical = shares.loc[("control", "clinical", "all")]
    assert clinical["reported"] == clinical["studies"] - len(before_after)


def test_shares_add_up_over_access_and_lie_in_their_intervals(table):
    shares = table("reporting")
    whole = shares[shares["access"] == "all"].set_index(["item", "domain"])
    parts = shares[shares["access"] != "all"].groupby(["item", "domain"])[["reported", "studies"]].sum()
    pd.testing.assert_frame_equal(whole[["reported", "studies"]].sort_index(), parts, check_like=True)
    assert ((shares["low"] <= shares["share"]) & (shares["share"] <= shares["high"])).all()


def test_the_words_say_what_the_shares_are_not(folders):
    words = (folders.results / "summary.md").read_text(encoding="utf-8")
    assert "lower bounds" in words
    assert "semantic search" in words
    assert "completeness" in words


def test_a_second_run_writes_the_same_bytes(folders, root, tmp_path):
    again = Folders(root / "analyses", root / "data", tmp_path)
    run_analysis(root / "analyses" / f"{NAME}.py", again)
    for before, after in ((folders.results, again.results), (folders.figures, again.figures)):
        names = sorted(path.name for path in before.iterdir())
        assert names == sorted(path.name for path in after.iterdir())
        assert [n for n in names if (before / n).read_bytes() != (after / n).read_bytes()] == []
