"""Published meta-analyses as data: oriented, described, and never pooled as if they were independent."""

from __future__ import annotations

import csv

import pandas as pd
import pytest
from scipy.special import ndtri

NAME = "03_published_meta_analyses"


@pytest.fixture(scope="module")
def sheet(root):
    """Return the rows of the sheet as they stand in the file, read without metaexo."""
    with (root / "data" / "published_meta_analyses.csv").open(encoding="utf-8", newline="") as file:
        return dict(enumerate(csv.DictReader(file), 2))


def wanted(row):
    return row["measure"] == "SMD" and row["ci_low"] and row["use"] != "apart"


def test_the_ledger_adds_up_to_the_sheet(table, sheet):
    ledger = table("ledger")
    assert ledger["rows"].sum() == len(sheet)
    told = pd.Series([row["measure"] for row in sheet.values()]).value_counts()
    assert ledger.groupby("measure")["rows"].sum().to_dict() == told.to_dict()
    assert ledger.loc[ledger["step"] != "used", "reason"].notna().all()


def test_every_standardised_difference_with_an_interval_is_there_and_no_other_row(table, sheet):
    lines = [line for line, row in sheet.items() if wanted(row)]
    assert table("estimates")["line"].tolist() == lines


def test_positive_means_benefit_and_the_standard_error_is_that_of_the_interval(table, sheet):
    for line, y, se in table("estimates")[["line", "y", "se"]].itertuples(index=False):
        row = sheet[line]
        sign = 1 if row["better"] == "higher" else -1
        width = float(row["ci_high"]) - float(row["ci_low"])
        assert y == pytest.approx(sign * float(row["estimate"]), rel=1e-7)
        assert se == pytest.approx(width / (2 * ndtri(0.975)), rel=1e-7)


def test_ratios_that_are_not_on_a_ratio_scale_stay_out_with_words(table):
    ledger = table("ledger")
    told = ledger[ledger["reason"].str.contains("not on a ratio scale", na=False)]
    assert told["rows"].sum() == 2
    assert set(ledger.loc[ledger["step"] == "used", "measure"]) == {"SMD"}
    assert "dermalwound_exosome_or" not in set(table("other_measures")["review_id"])


def test_the_spread_between_reviews_is_one_estimate_a_review(table, sheet):
    between = table("between_reviews").set_index(["question", "rows"])
    found = between.loc[("Wound: wound closure", "with doubtful rows")]
    by_hand = {
        row["review_id"]: float(row["estimate"])
        for row in sheet.values()
        if wanted(row) and row["outcome"] == "wound_closure" and row["subgroup_variable"] == "overall"
    }
    assert found["estimates"] == len(by_hand) == 5
    assert (found["lowest"], found["highest"]) == (min(by_hand.values()), max(by_hand.values()))
    assert found["q_df"] == 4
    firm = between.loc[("Wound: wound closure", "without")]
    assert firm["estimates"] == found["estimates"] - 1


def test_q_is_the_weighted_spread(table, sheet):
    between = table("between_reviews").set_index(["question", "rows"])
    rows = [row for row in sheet.values() if row["outcome"] == "serum_creatinine"]
    y = [-float(row["estimate"]) for row in rows]
    w = [(2 * ndtri(0.975) / (float(row["ci_high"]) - float(row["ci_low"]))) ** 2 for row in rows]
    mean = sum(a * b for a, b in zip(w, y, strict=True)) / sum(w)
    q = sum(a * (b - mean) ** 2 for a, b in zip(w, y, strict=True))
    assert between.loc[("Acute kidney injury: kidney", "without"), "q"] == pytest.approx(q, rel=1e-6)


def test_no_table_holds_a_value_pooled_across_reviews(table):
    for name in ("between_reviews", "sources_within_reviews"):
        assert not {"estimate", "pooled", "p", "pvalue", "q_pvalue"} & set(table(name).columns)


def test_sources_are_told_apart_within_one_review_and_outcome(table, sheet):
    within = table("sources_within_reviews")
    cells = [row for row in sheet.values() if wanted(row) and row["subgroup_variable"] == "source"]
    assert within["estimates"].sum() == len(cells)
    named = [row for row in cells if row["review_id"] == "poi_mscev2024"]
    assert within.loc[within["review_id"] == "poi_mscev2024", "estimates"].sum() == len(named) == 24
    assert within["of_one_study"].sum() == sum(row["k_studies"] == "1" for row in cells)


def test_the_figures_say_that_reviews_share_studies(folders):
    for name in ("by_indication", "between_reviews"):
        drawn = (folders.figures / f"03_{name}.svg").read_text(encoding="utf-8")
        assert "share primary studies" in drawn
        assert "Subtotal" not in drawn


def test_the_funnel_of_reviews_is_contoured_and_says_what_it_cannot_show(folders):
    drawn = (folders.figures / "03_funnel.svg").read_text(encoding="utf-8")
    for words in ("p &lt; 0.01", "share primary studies", "nothing about missing studies", "not doubtful"):
        assert words in drawn
    assert "pooled effect" not in drawn.replace("the pooled effect of a review", "")


def test_cells_by_source_are_drawn_where_an_outcome_has_several(folders, table):
    within = table("sources_within_reviews")
    several = within[within["estimates"] >= 5]
    drawn = (folders.figures / "03_sources.svg").read_text(encoding="utf-8")
    for outcome in several["outcome_label"]:
        assert outcome in drawn
    for outcome in set(within["outcome_label"]) - set(several["outcome_label"]):
        assert outcome not in drawn
    assert f"Cells of {several['study_name'].unique().item()}." in drawn
    assert "All studies" not in drawn


def test_the_same_run_gives_the_same_bytes(folders, run):
    again, analysis = run()
    for path in analysis.written:
        assert path.read_bytes() == (folders.output / path.relative_to(again.output)).read_bytes()
