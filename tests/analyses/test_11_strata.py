"""Strata by source and isolation: every question has an answer or a reason, and no number without one."""

from __future__ import annotations

import csv
import math
import shutil

import numpy as np
import pandas as pd
import pytest

import metaexo as mx

NAME = "11_strata"
QUESTIONS = {
    "pooled strata",
    "test between strata",
    "labels permuted between studies",
    "pairs of strata",
    "heterogeneity differs",
    "unreported as a mixture",
    "bounds over the unreported",
}
TOGETHER = "all outcomes together"


def test_every_question_is_asked_of_every_set(table):
    strata, questions = table("strata"), table("questions")
    keys = ["rows", "domain", "outcomes", "factor"]
    assert set(map(tuple, strata[keys].to_numpy())) == set(map(tuple, questions[keys].to_numpy()))
    assert questions.groupby(keys)["question"].agg(set).map(lambda asked: asked == QUESTIONS).all()


def test_every_answer_has_words_and_every_refusal_a_reason(table):
    questions = table("questions")
    assert set(questions["answered"]) == {"yes", "no"}
    assert questions["words"].str.len().min() > 10
    refused = questions[questions["answered"] == "no"]
    assert refused["words"].str.contains("; needed: ").all()
    assert not refused["words"].str.contains("p = |p < 0|χ²|nan").any()


def test_a_stratum_of_one_study_has_the_effect_of_that_study(table):
    strata = table("strata")
    spread = strata.columns[strata.columns.get_loc("prediction_low") : strata.columns.get_loc("note")]
    alone = strata[strata["m"] == 1]
    assert len(alone)
    assert alone[spread].isna().all(axis=None)
    assert alone.loc[alone["stratum"] != "all", ["estimate", "se", "low", "high"]].notna().all(axis=None)
    assert alone.loc[alone["stratum"] != "all", "note"].str.startswith("one study").all()


def test_the_strata_add_up_to_the_effects_of_the_other_analysis(table, root):
    strata = table("strata")
    whole = strata[(strata["outcomes"] == TOGETHER) & (strata["rows"] == "with doubtful rows")]
    counts = whole[whole["stratum"] != "all"].groupby("factor")["k"].sum()
    with (root / "analyses" / "results" / "02_effects.csv").open(encoding="utf-8", newline="") as file:
        used = sum(row["step"] == "used" for row in csv.DictReader(file))
    assert set(counts) == {used}


def test_unreported_isolation_is_a_stratum_of_its_own(table):
    strata = table("strata")
    whole = strata[(strata["outcomes"] == TOGETHER) & (strata["factor"] == "isolation")]
    assert (whole["stratum"] == "Not reported").sum() == whole.groupby(["rows", "domain"]).ngroups


def test_today_nothing_can_be_said_between_strata(table, folders):
    questions = table("questions")
    further = questions[questions["question"] != "pooled strata"]
    assert (further["answered"] == "no").all()
    words = (folders.results / "summary.md").read_text(encoding="utf-8")
    assert "Answers beyond pooled strata: none." in words
    assert "What this does not show" in words


def test_with_more_studies_the_questions_are_answered(run, root, tmp_path):
    # copies of a wound study under the names of others, half of them with another source and method
    data = shutil.copytree(root / "data", tmp_path / "data")
    outcomes = pd.read_csv(data / "outcomes.csv", dtype=str, keep_default_na=False)
    studies = pd.read_csv(data / "studies.csv", dtype=str, keep_default_na=False)
    row = outcomes[(outcomes["study_id"] == "chemburn_hucmsc") & (outcomes["treatment_sd"] != "")].iloc[0]
    home = studies[studies["study_id"] == "chemburn_hucmsc"].iloc[0]
    rng = np.random.default_rng(0)
    new_rows, new_studies = [], []
    for i in range(12):
        kind = i % 3  # two known pairs of source and method, and studies that do not report the method
        name = f"madeup{i}"
        source, method = [
            ("plant", "ultracentrifugation"),
            ("milk_colostrum", "size_exclusion"),
            ("plant", ""),
        ][kind]
        mean = float(row["treatment_mean"]) + rng.normal(0, 2) + (12 if kind == 1 else 0)
        new_rows.append(
            row.to_dict() | {"study_id": name, "treatment_mean": f"{mean:.2f}", "caution": "made up"}
        )
        new_studies.append(
            home.to_dict()
            | {"study_id": name, "source_category": source, "source_reported": source, "doi": "", "pmid": ""}
            | {
                "isolation_category": method or "not_reported",
                "isolation_reported": method,
                "first_author": "",
            }
        )
    pd.concat([outcomes, pd.DataFrame(new_rows)]).to_csv(
        data / "outcomes.csv", index=False, lineterminator="\n"
    )
    pd.concat([studies, pd.DataFrame(new_studies)]).to_csv(
        data / "studies.csv", index=False, lineterminator="\n"
    )
    folders, _ = run(data)
    questions = pd.read_csv(folders.results / "11_questions.csv")
    asked = questions[
        (questions["rows"] == "with doubtful rows")
        & (questions["outcomes"] == "Wound closure")
        & (questions["factor"] == "isolation")
    ].set_index("question")
    assert (asked["answered"] == "yes").all()
    assert "arrangements of the labels of" in asked.loc["labels permuted between studies", "words"]
    strata = pd.read_csv(folders.results / "11_strata.csv")
    here = strata[
        (strata["rows"] == "with doubtful rows")
        & (strata["outcomes"] == "Wound closure")
        & (strata["factor"] == "isolation")
    ].set_index("stratum")
    assert here.loc["Ultracentrifugation", "m"] == 4
    assert here.loc["Size exclusion", "estimate"] > here.loc["Ultracentrifugation", "estimate"]
    assert math.isfinite(here.loc["Size exclusion", "i2_high"])

    sheets = mx.read_sheets(data)
    where = (
        "outcome_family == 'Wound closure' and isolation == 'Ultracentrifugation' and domain == 'preclinical'"
    )
    fit = mx.RandomEffects(sheets.effects("SMD", where=where)).fit(test="knapp-hartung-adhoc")
    assert here.loc["Ultracentrifugation", "estimate"] == pytest.approx(fit.estimate, rel=1e-6)


def test_the_same_run_gives_the_same_bytes(folders, run, root):
    again, analysis = run(root / "data")
    for path in analysis.written:
        assert path.read_bytes() == (folders.output / path.relative_to(again.output)).read_bytes()
