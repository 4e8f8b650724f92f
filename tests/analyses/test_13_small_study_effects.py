"""Small-study effects: effects and simple tests by hand, and methods only where there are ten studies."""

from __future__ import annotations

import csv
import math
import shutil

import numpy as np
import pytest
from scipy import special, stats

NAME = "13_small_study_effects"
BRAIN, DOUBTFUL, EVENTS = "brain injury", "brain injury, with a doubtful row", "adverse events"


@pytest.fixture(scope="module")
def rows(root):
    """Return the rows on brain injury that show benefit or harm and are not set apart, without metaexo."""
    with (root / "data" / "brain_outcomes.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    return [row for row in found if row["better"] in ("lower", "higher") and row["use"] != "apart"]


def smd(row):
    """Return Hedges' g, positive for benefit, and its sampling variance."""
    n1, n2 = float(row["treatment_n"]), float(row["control_n"])
    df = n1 + n2 - 2
    squares = (n1 - 1) * float(row["treatment_sd"]) ** 2 + (n2 - 1) * float(row["control_sd"]) ** 2
    d = (float(row["treatment_mean"]) - float(row["control_mean"])) / math.sqrt(squares / df)
    g = d * math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)
    return (-g if row["better"] == "lower" else g), 1 / n1 + 1 / n2 + g * g / (2 * (n1 + n2))


def effects(rows):
    return np.array([smd(row) for row in rows]).T


def test_sets_are_counted_by_effects_and_studies(table, rows):
    sets = table("sets").set_index("question")
    used = [row for row in rows if row["use"] == "main"]
    all_markers = sets.loc["brain injury, all markers"]
    assert all_markers["effects"] == len(used)
    assert all_markers["studies"] == len({row["study_id"] for row in used})
    for outcome in {row["outcome"] for row in used}:
        part = [row for row in used if row["outcome"] == outcome]
        assert sets.loc[f"brain injury, {outcome}", "studies"] == len({row["study_id"] for row in part})
    assert (sets["enough"] == np.where(sets["studies"] >= 10, "yes", "no")).all()


def test_methods_are_applied_where_there_are_ten_studies_and_nowhere_else(table):
    sets = table("sets")
    enough = sets.loc[sets["enough"] == "yes", "question"].tolist()
    assert enough == ["brain injury, all markers", "adverse events of any kind"]
    assert set(table("tests")["evidence"]) == {BRAIN, DOUBTFUL, EVENTS}
    assert set(table("estimates")["evidence"]) == {BRAIN, DOUBTFUL}


@pytest.mark.parametrize(("evidence", "uses"), [(BRAIN, ("main",)), (DOUBTFUL, ("main", "doubtful"))])
def test_rank_correlation_and_simple_means_by_hand(table, rows, evidence, uses):
    y, v = effects([row for row in rows if row["use"] in uses])
    w = 1 / v
    mean = (w @ y) / w.sum()
    tests = table("tests").set_index(["evidence", "method"])
    found = tests.loc[(evidence, "rank correlation test")]
    tau = stats.kendalltau((y - mean) / np.sqrt(v - 1 / w.sum()), v, method="exact")
    assert found["k"] == y.size
    assert found["pvalue"] == pytest.approx(tau.pvalue, rel=1e-5, abs=0)
    estimates = table("estimates").set_index(["evidence", "method"])
    assert estimates.loc[(evidence, "Henmi-Copas"), "estimate"] == pytest.approx(mean, rel=1e-7)
    adequate = np.sqrt(v) <= abs(mean) / 2.8
    waap = (w[adequate] @ y[adequate]) / w[adequate].sum()
    assert estimates.loc[(evidence, "WAAP-WLS"), "estimate"] == pytest.approx(waap, rel=1e-7)
    assert estimates.loc[(evidence, "test of excess significance"), "pvalue"] < 0.05


def test_the_regression_of_adverse_events_by_hand(table, root):
    with (root / "data" / "safety_events.csv").open(encoding="utf-8", newline="") as file:
        reports = list(csv.DictReader(file))
    tests = table("tests")
    found = tests[(tests["evidence"] == EVENTS) & tests["method"].str.startswith("regression")].iloc[0]
    assert found["tau2"] == 0
    any_kind = [
        (float(row["ae_patients_treated"]), float(row["n_treated"]))
        for row in reports
        if row["ae_patients_treated"] and row["n_treated"]
    ]
    assert found["k"] <= len(any_kind)
    assert found["df1"] == found["k"] - 2


def test_reviews_of_ten_studies_are_counted(table, root):
    with (root / "data" / "published_meta_analyses.csv").open(encoding="utf-8", newline="") as file:
        sheet = [row for row in csv.DictReader(file) if row["use"] != "apart"]
    large = [row for row in sheet if float(row["k_studies"] or 0) >= 10]
    reviews = table("reviews").set_index("review_id")
    assert set(reviews.index) == {row["review_id"] for row in large}
    assert reviews["test"].notna().sum() == len({row["review_id"] for row in large if row["bias_test"]})


def test_with_fewer_studies_nothing_is_told(run, root, tmp_path):
    data = shutil.copytree(root / "data", tmp_path / "data")
    path = data / "brain_outcomes.csv"
    with path.open(encoding="utf-8", newline="") as file:
        every = list(csv.DictReader(file))
    kept = sorted({row["study_id"] for row in every})[:8]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, every[0].keys())
        writer.writeheader()
        writer.writerows(row for row in every if row["study_id"] in kept)
    folders, _ = run(data)
    words = (folders.results / "summary.md").read_text(encoding="utf-8")
    assert "1 of " in words
    assert "it is not possible to tell whether small studies differ" in words
