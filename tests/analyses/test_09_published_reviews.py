"""Published meta-analyses as data: oriented, described, and never pooled as if they were independent."""

from __future__ import annotations

import csv
import shutil

import pytest
from scipy.special import ndtri

NAME = "09_published_reviews"
ALL, FIRM = "all", "without doubtful rows"


def read(folder):
    """Return the rows of the sheet as they stand in the file, read without metaexo."""
    with (folder / "published_meta_analyses.csv").open(encoding="utf-8", newline="") as file:
        return dict(enumerate(csv.DictReader(file), 2))


@pytest.fixture(scope="module")
def sheet(root):
    return read(root / "data")


@pytest.fixture(scope="module")
def words(folders):
    return (folders.results / "summary.md").read_text(encoding="utf-8")


def wanted(row):
    return row["measure"] == "SMD" and row["ci_low"] and row["use"] != "apart" and row["better"] != "none"


def effect(row):
    """Return the effect of a row, positive for benefit, and its interval about the estimate."""
    y = float(row["estimate"]) * (1 if row["better"] == "higher" else -1)
    half = (float(row["ci_high"]) - float(row["ci_low"])) / 2
    return y, y - half, y + half


def of_wound_closure(sheet, uses=("main", "doubtful")):
    rows = (row for row in sheet.values() if wanted(row) and row["outcome"] == "wound_closure")
    return [effect(row) for row in rows if row["subgroup_variable"] == "overall" and row["use"] in uses]


def most_sharing(effects):
    return max(sum(low <= at <= high for _, low, high in effects) for _, at, _ in effects)


def test_every_row_is_used_or_has_a_reason(table, sheet):
    rows = table("rows")
    assert rows["rows"].sum() == len(sheet)
    assert rows.loc[rows["step"] != "used", "reason"].notna().all()
    assert table("estimates")["line"].tolist() == [line for line, row in sheet.items() if wanted(row)]


def test_positive_means_benefit_and_the_standard_error_is_that_of_the_interval(table, sheet):
    for line, y, se in table("estimates")[["line", "y", "se"]].itertuples(index=False):
        value, low, high = effect(sheet[line])
        assert y == pytest.approx(value, rel=1e-7)
        assert se == pytest.approx((high - low) / (2 * ndtri(0.975)), rel=1e-7)


def test_reviews_of_one_question_are_counted_and_their_intervals_held_against_each_other(table, sheet):
    between = table("between_reviews").set_index(["question", "rows"])
    for rows, uses in ((ALL, ("main", "doubtful")), (FIRM, ("main",))):
        found, by_hand = between.loc[("Wound closure", rows)], of_wound_closure(sheet, uses)
        values = [y for y, _, _ in by_hand]
        assert found["reviews"] == len(by_hand)
        assert (found["lowest"], found["highest"]) == pytest.approx((min(values), max(values)))
        assert found["sharing_a_value"] == most_sharing(by_hand) < len(by_hand)
        assert sum(low <= found["shared_low"] <= high for _, low, high in by_hand) == found["sharing_a_value"]
        assert (
            sum(low <= found["shared_high"] <= high for _, low, high in by_hand) == found["sharing_a_value"]
        )


def test_the_answer_counts_every_pooled_estimate_over_all_studies(table, sheet, words, folders, ours):
    rows = [row for row in sheet.values() if wanted(row) and row["subgroup_variable"] == "overall"]
    favour = sum(effect(row)[1] > 0 for row in rows)
    reviews = {row["review_id"] for row in rows}
    whole = table("agreement").iloc[0]
    assert (whole["estimates"], whole["favour_exosomes"], whole["reviews"]) == (
        len(rows),
        favour,
        len(reviews),
    )
    assert f"{favour} of {len(rows)} pooled estimates, all in animals, favour exosomes" in words
    page = (folders.results / "answer.md").read_text(encoding="utf-8")
    asked = [row for row in sheet.values() if row["subgroup_variable"] == "source" and row["use"] != "apart"]
    single = sum(row["k_studies"] == "1" and bool(wanted(row)) for row in asked)
    assert f"Of {len({row['review_id'] for row in sheet.values()})} reviews " in page
    assert (
        f"{len({row['review_id'] for row in asked})} compare exosome sources ({single} of "
        f"{sum(bool(wanted(row)) for row in asked)} subgroups are one study each) and none isolation methods"
    ) in page
    most = {"answer": 45, "known": 35}
    assert [one.part for one in ours[1].sentences] == list(most)
    assert all(len(one.words.split()) <= most[one.part] for one in ours[1].sentences)


def test_no_table_holds_a_value_pooled_across_reviews(table):
    for name in ("between_reviews", "sources_within_reviews", "agreement"):
        assert not {"estimate", "pooled", "pvalue", "tau2"} & set(table(name).columns)


def test_four_reviews_compare_sources_and_subgroups_of_one_study_are_counted(table, sheet):
    sources = table("sources_within_reviews")
    asked = [row for row in sheet.values() if row["subgroup_variable"] == "source" and row["use"] != "apart"]
    assert set(sources["review_id"]) == {row["review_id"] for row in asked}
    assert sources["subgroups"].sum() == sum(bool(wanted(row)) for row in asked)
    assert sources["of_one_study"].sum() == sum(
        row["k_studies"] == "1" and bool(wanted(row)) for row in asked
    )


def test_reviews_of_ten_studies_and_their_tests_are_counted(table, sheet, words):
    large = [row for row in sheet.values() if row["use"] != "apart" and float(row["k_studies"] or 0) >= 10]
    ids, tested = {row["review_id"] for row in large}, {row["review_id"] for row in large if row["bias_test"]}
    assert set(table("small_study_tests")["review_id"]) == ids
    assert f"Of {len(ids)} reviews of 10 studies or more, {len(tested)} named a test" in words


def test_the_figures_say_what_cannot_be_pooled(folders):
    for name in ("by_indication", "between_reviews"):
        drawn = (folders.figures / f"09_{name}.svg").read_text(encoding="utf-8")
        assert "share primary studies" in drawn
        assert "Subtotal" not in drawn
    assert len(list(folders.figures.glob("09_*.svg"))) == 3


@pytest.mark.long
def test_the_sentences_change_with_the_numbers(run, root, tmp_path, sheet):
    """Reviews of wound closure that agree, one review against exosomes, one by isolation method."""
    data = shutil.copytree(root / "data", tmp_path / "data")
    rows = list(read(data).values())
    for row in rows:
        if row["outcome"] == "wound_closure" and wanted(row):
            row |= {"estimate": "3.0", "ci_low": "2.0", "ci_high": "4.0"}
        if row["review_id"] == "yue2024":
            row["isolation_category"] = "ultracentrifugation"
    for row in rows:
        if row["review_id"] == "soltani2024" and row["outcome"] == "collagen_deposition":
            row |= {"estimate": "-3.0", "ci_low": "-4.0", "ci_high": "-2.0"}
    with (data / "published_meta_analyses.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    folders, _ = run(data)
    said = (folders.results / "answer.md").read_text(encoding="utf-8")
    summary = (folders.results / "summary.md").read_text(encoding="utf-8")
    reviews = len(of_wound_closure(sheet))
    assert f"Wound closure: {reviews} reviews, SMD 3.00, 2.00 to 4.00 in all intervals" in summary
    assert "On wound closure" not in said
    assert "On vessels (wound) 3 reviews find" in said
    assert "and 1 isolation methods" in said


def test_harm_is_said_as_harm(script, folders, table):
    """Where most estimates favour the control, the sentence leads with it."""
    row = table("agreement").iloc[0].copy()
    row["favour_exosomes"], row["favour_control"] = 1, row["favour_exosomes"]
    said = script.agreement_in_words(row)
    assert said.startswith(
        f"{row['favour_control']} of {row['estimates']} pooled estimates, all in animals, favour the control"
    )
    assert "and 1 exosomes" in said


def test_one_review_agrees_with_no_other(run, root, tmp_path):
    data = shutil.copytree(root / "data", tmp_path / "data")
    rows = [row for row in read(data).values() if row["review_id"] == "soltani2024"]
    with (data / "published_meta_analyses.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    said = [one.words for one in run(data)[1].sentences]
    assert "no question was asked by two reviews" in said[0]
    assert said[1] == "Of 1 review none compares exosome sources and none isolation methods."
