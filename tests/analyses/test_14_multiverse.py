"""Multiverse of the sheets: single paths by hand, counts that add up, and shares that are of the paths."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

NAME = "14_multiverse"
BRAIN = "Vesicles of mesenchymal stromal cells against control after brain injury in animals"
SIZES = "Diameter of vesicles, size exclusion over precipitation"


def hedges(row):
    """Return Hedges' g and its variance of a row of the sheet."""
    n1, n2 = row["treatment_n"], row["control_n"]
    df = n1 + n2 - 2
    pooled = ((n1 - 1) * row["treatment_sd"] ** 2 + (n2 - 1) * row["control_sd"] ** 2) / df
    exact = math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)
    g = exact * (row["treatment_mean"] - row["control_mean"]) / math.sqrt(pooled)
    return pd.Series({"y": g, "v": 1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2))})


def dersimonian_laird(y, v):
    """Return the mean, its standard error and tau2."""
    w = 1 / v
    q = (w * (y - (w * y).sum() / w.sum()) ** 2).sum()
    tau2 = max(0.0, (q - (len(y) - 1)) / (w.sum() - (w**2).sum() / w.sum()))
    w = 1 / (v + tau2)
    return (w * y).sum() / w.sum(), math.sqrt(1 / w.sum()), tau2


@pytest.fixture(scope="module")
def paths(table):
    found = table("paths")
    return lambda question, **options: found[
        np.logical_and.reduce([found["question"] == question, *(found[k] == v for k, v in options.items())])
    ]


def test_a_path_of_averages_is_that_by_hand(root, paths):
    rows = pd.read_csv(root / "data" / "brain_outcomes.csv")
    rows = rows[rows["better"].isin(["lower", "higher"]) & (rows["use"] == "main")]
    effects = rows.apply(hedges, axis=1)
    effects["y"] *= np.where(rows["better"] == "lower", -1, 1)
    means = []
    for _, group in effects.groupby(rows["study_id"], sort=False):
        root_v = np.sqrt(group["v"].to_numpy())
        cov = np.outer(root_v, root_v) * np.where(np.eye(len(group)), 1.0, 0.3)
        weight = np.linalg.inv(cov).sum(axis=0)
        means.append((weight @ group["y"] / weight.sum(), 1 / weight.sum()))
    y, v = np.array(means).T
    estimate, se, tau2 = dersimonian_laird(y, v)
    path = paths(
        BRAIN, measure="SMD", include="without doubtful rows", markers="all", model="averages of studies",
        correlation=0.3, method="DL", test="normal",
    )  # fmt: skip
    assert len(path) == 1
    path = path.iloc[0]
    assert path["k"] == len(y)
    assert path["estimate"] == pytest.approx(estimate, rel=1e-6)
    assert path["tau2"] == pytest.approx(tau2, rel=1e-6)
    assert path["low"] == pytest.approx(estimate - stats.norm.ppf(0.975) * se, rel=1e-6)


def test_a_path_of_means_of_laboratories_is_a_t_test(root, paths):
    sheet = pd.read_csv(root / "data" / "preparations.csv")
    rows = sheet[sheet["isolation_category"].isin(["size_exclusion", "precipitation"])]
    rows = rows[(rows["size_statistic"] == "mean") & (rows["use"] != "apart") & (rows["technique"] == "NTA")]
    laboratory = rows["study_id"].str.partition("_")[0]  # two papers are of one
    means = np.log(rows["size_nm"]).groupby([rows["isolation_category"], laboratory]).mean()
    first, second = means["size_exclusion"], means["precipitation"]
    test = stats.ttest_ind(first, second)
    low, high = test.confidence_interval()
    path = paths(
        SIZES, include="all rows", group="a step alone", technique="NTA", sources="not adjusted",
        model="means of laboratories",
    )  # fmt: skip
    assert len(path) == 1
    path = path.iloc[0]
    assert path["k"] == len(means) == 5
    assert path["ratio"] == pytest.approx(math.exp(first.mean() - second.mean()), rel=1e-6)
    assert path["ratio_low"] == pytest.approx(math.exp(low), rel=1e-6)
    assert path["ratio_high"] == pytest.approx(math.exp(high), rel=1e-6)
    assert path["pvalue"] == pytest.approx(test.pvalue, rel=1e-6)


def test_counts_add_up(table):
    counts = table("counts")
    parts = counts[["ruled_out", "not_possible", "repeated", "distinct"]].sum(axis=1)
    assert (parts == counts["declared"]).all()
    per_question = table("paths").groupby("question").size()
    assert counts.set_index("question")["distinct"].to_dict() == per_question.to_dict()
    lost = table("not_possible").groupby("question")["paths"].sum()
    assert counts.set_index("question")["not_possible"].loc[lost.index].to_dict() == lost.to_dict()


def test_the_summary_names_choices_and_options_in_words(ours):
    text = "\n".join(ours[1].paragraphs)
    assert "most goes with the assumed correlation (" in text
    assert (
        'Options that no path could be fitted with: "randomised" (design), "drop assumed" (derived).' in text
    )
    assert "Ratio of mean diameters: median" in text
    assert "_" not in text


def test_shares_are_those_of_the_paths(table):
    found = table("paths")
    shares = table("shares").set_index(["question", "conclusion"])
    for question, group in found.groupby("question"):
        above = shares.loc[question].filter(regex="^95% CI: (benefit|above)", axis=0).iloc[0]
        assert above["paths"] == (group["low"] > 0).sum()
        assert above["of"] == len(group)
    importance = table("importance").groupby(["question", "of"])["share"].sum()
    assert importance.to_numpy() == pytest.approx(np.ones(len(importance)))


def test_curves_are_tested_where_signs_can_turn(table):
    tests = table("curve_tests")
    counts = table("counts").set_index("question")["distinct"]
    assert set(tests["question"]) == set(counts.index) - {SIZES}
    for row in tests.itertuples():
        assert row.paths + row.left_out == counts[row.question]
    known = tests.dropna(subset="pvalue")
    assert known["pvalue"].between(1 / 500, 1).all()
    assert (known["pvalue"] >= 0.9 * 2.0 ** (1 - known["studies"])).all()
