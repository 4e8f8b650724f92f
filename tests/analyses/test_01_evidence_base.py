"""The evidence base: maps and shares add up to the sheets, and the sentences change with the data."""

from __future__ import annotations

import csv
import shutil

import pandas as pd
import pytest

from metaexo.report.answers import read_answers

NAME = "01_evidence_base"


def rows_of(root, sheet):
    """Return the rows of a sheet as they stand in the file, read without metaexo."""
    with (root / "data" / f"{sheet}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def said(folders):
    return read_answers(folders.results / "answers.csv")


def test_laboratories_of_the_map_are_recounted_from_the_file(root, table):
    cells = table("map").set_index(["evidence", "source", "isolation"])["unit"]
    groups = [
        r for r in rows_of(root, "cargo_groups") if r["outcome"] == "log2cpm_mir21" and r["use"] != "apart"
    ]
    for kind, source in (("plasma", "Plasma"), ("serum", "Serum")):
        for word, step in (("size_exclusion", "Size exclusion"), ("precipitation", "Precipitation")):
            wanted = {
                r["laboratory"]
                for r in groups
                if (r["source_group"], r["isolation_main_step"]) == (kind, word)
            }
            assert cells["Laboratories with sequenced miRNA cargo", source, step] == len(wanted)


def test_studies_of_the_map_count_once_for_each_method(root, table):
    cells = table("map")
    studies = cells[cells["evidence"] == "Studies of treatment or of methods"]
    assert studies["unit"].sum() > len(rows_of(root, "studies"))
    plants = studies[studies["source"] == "Plant"]["unit"].sum()
    assert plants >= sum(r["source_category"] == "plant" for r in rows_of(root, "studies"))


def test_what_can_be_compared_is_recounted(root, table):
    compared = table("compared").set_index("rows")
    groups = [r for r in rows_of(root, "cargo_groups") if r["outcome"] == "log2cpm_mir21"]
    for rows, uses in (("all", ("main", "doubtful")), ("without doubtful rows", ("main",))):
        known = [
            r
            for r in groups
            if r["use"] in uses
            and r["isolation_main_step"] != "not_reported"
            and r["source_category"] != "not_reported"
            and int(r["treatment_n"]) > 1
        ]
        steps = {}
        for r in known:
            steps.setdefault(r["laboratory"], set()).add(r["isolation_main_step"])
        found = compared.loc[rows]
        assert (found["groups_known"], found["laboratories_known"]) == (len(known), len(steps))
        assert found["two_methods"] == sum(len(each) > 1 for each in steps.values())


def test_shares_of_papers_are_recounted_and_lie_in_their_intervals(root, table):
    by_source = table("methods_by_source").set_index(["source", "isolation_step"])
    survey = [
        r
        for r in rows_of(root, "methods_survey")
        if r["isolation_main_step"] != "not_reported" and r["year"] and r["pmid"]
    ]
    urine = [r for r in survey if r["source_category"] == "urine"]
    sec = {r["study_id"] for r in urine if r["isolation_main_step"] == "size_exclusion"}
    found = by_source.loc[("Urine", "Size exclusion")]
    assert (found["papers"], found["of"]) == (len(sec), len({r["study_id"] for r in urine}))
    for name in ("methods_by_year", "methods_by_source", "reported"):
        shares = table(name)
        assert ((shares["low"] <= shares["share"]) & (shares["share"] <= shares["high"])).all()


def test_shares_of_studies_are_recounted(root, table):
    reported = table("reported").set_index(["item", "domain"])
    for domain in ("clinical", "preclinical"):
        rows = [r for r in rows_of(root, "studies") if r["domain"] == domain]
        named = sum(r["isolation_category"] not in ("", "not_reported") for r in rows)
        assert tuple(reported.loc[("isolation", domain), ["reported", "studies"]]) == (named, len(rows))


def test_molecules_are_medians_of_experiments(root, table):
    found = table("identified").set_index(["outcome", "isolation_step"])
    counts = pd.DataFrame(rows_of(root, "identified_counts")).astype({"n_identified": float})
    part = counts.query("outcome == 'proteins_identified' and isolation_main_step == 'density_gradient'")
    assert found.loc[("proteins_identified", "Density gradient"), "median"] == part["n_identified"].median()


def test_it_opens_with_one_answer_and_says_what_the_shares_are_not(folders, said):
    assert [one.part for one in said] == ["answer", "known"]
    assert said[0].words.startswith("Source and isolation method are both known for 255 groups")
    assert "but only 3 of them used two methods" in said[0].words
    words = " ".join((folders.results / "summary.md").read_text(encoding="utf-8").split())
    assert "Ultracentrifugation rose, from 10%" in words
    assert "(since 2021); some of it is wording: papers that name nothing but differential" in words
    assert "Median number of miRNAs that papers list (quartiles): ultracentrifugation 2 (1 to 6" in words
    assert "lower bounds" in words
    assert "does not support claims of completeness" in words


@pytest.mark.long
def test_the_sentences_change_with_the_data(run, root, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(root / "data", data)
    cargo = pd.read_csv(data / "cargo_groups.csv", dtype=str, keep_default_na=False)
    many = cargo["isolation_main_step"] != "not_reported"
    cargo.loc[many, "laboratory"] = "L" + (cargo.loc[many].index // 70).astype(str)
    cargo.to_csv(data / "cargo_groups.csv", index=False)
    studies = pd.read_csv(data / "studies.csv", dtype=str, keep_default_na=False)
    studies.loc[studies["domain"] != "isolation", "isolation_category"] = "size_exclusion"
    studies.to_csv(data / "studies.csv", index=False)
    survey = pd.read_csv(data / "methods_survey.csv", dtype=str, keep_default_na=False)
    survey.loc[survey["year"] >= "2021", "isolation_main_step"] = "density_gradient"
    survey.to_csv(data / "methods_survey.csv", index=False)
    folders, _ = run(data)
    answer, isolation = read_answers(folders.results / "answers.csv")
    assert "methods can be compared within laboratories" in answer.words
    assert "39 of 39 clinical studies" in isolation.words
    assert "can be compared by it" in isolation.words
    words = " ".join((folders.results / "summary.md").read_text(encoding="utf-8").split())
    assert "Density gradient rose, from 38%" in words
    assert "100% (since 2021)." in words


def test_a_paper_counts_once_and_only_with_an_identifier(root, table):
    survey = pd.DataFrame(rows_of(root, "methods_survey"))
    survey = survey[
        (survey["isolation_main_step"] != "not_reported") & (survey["year"] != "") & (survey["pmid"] != "")
    ]
    by_year = table("methods_by_year").drop_duplicates("period")
    assert by_year["of"].sum() == survey["pmid"].nunique()
