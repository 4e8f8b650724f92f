"""Isolation methods: ratios within papers, and no pooled value from a single study."""

from __future__ import annotations

import csv
import math
import shutil

import numpy as np
import pandas as pd
import pytest

NAME = "05_isolation_methods"


@pytest.fixture(scope="module")
def sheet(root):
    """Return the rows of the sheet as they stand in the file, read without metaexo."""
    with (root / "data" / "outcomes.csv").open(encoding="utf-8", newline="") as file:
        return dict(enumerate(csv.DictReader(file), 2))


def test_the_ledger_adds_up_to_the_sheet(table, sheet):
    ledger = table("ledger")
    assert ledger["rows"].sum() == len(sheet)
    told = pd.Series([row["contrast"] for row in sheet.values()]).value_counts()
    assert ledger.groupby("contrast")["rows"].sum().to_dict() == told.to_dict()
    assert set(ledger.loc[ledger["step"] == "used", "contrast"]) == {"method_a_vs_method_b"}
    assert ledger.loc[ledger["step"] != "used", "reason"].notna().all()


def test_only_contrasts_of_methods_take_part(table, sheet):
    wanted = [
        line
        for line, row in sheet.items()
        if row["contrast"] == "method_a_vs_method_b" and row["use"] != "apart"
    ]
    found = table("contrasts")
    assert found["line"].tolist() == wanted
    assert (found["log_ratio"].notna() ^ found["reason_without_interval"].notna()).all()


def test_log_ratios_of_independent_arms_are_those_of_the_means(table, sheet):
    found = table("contrasts").set_index("line")
    rows = found[found["assumption"].str.contains("independent", na=False)]
    assert len(rows) >= 15
    for line, row in rows.iterrows():
        arms = [
            [float(sheet[line][f"{arm}_{x}"]) for x in ("mean", "sd", "n")]
            for arm in ("treatment", "control")
        ]
        (m1, _, _), (m2, _, _) = arms
        cv1, cv2 = (sd**2 / (n * mean**2) for mean, sd, n in arms)
        # Lajeunesse (2015): first-order variance and half its difference as the correction of the bias
        assert row["ratio"] == pytest.approx(m1 / m2, rel=1e-6)
        assert row["log_ratio"] == pytest.approx(math.log(m1 / m2) + (cv1 - cv2) / 2, rel=1e-5)
        assert row["se"] == pytest.approx(math.sqrt(cv1 + cv2), rel=1e-6)


def test_the_assumed_correlation_changes_intervals_and_no_ratio(table):
    found = table("correlations")
    paired = found.groupby("line")
    assert (paired["log_ratio"].nunique() == 1).all()
    assert (paired["se"].apply(lambda se: se.is_monotonic_decreasing and se.nunique() == 3)).all()


def test_a_pair_with_one_study_has_no_pooled_value(table):
    pairs = table("pairs")
    alone = pairs[pairs["studies_with_an_interval"] < 2]
    assert alone[["pooled_ratio", "low", "high", "tau"]].isna().all(axis=None)
    assert alone["words"].str.contains("not pooled").all()
    assert (pairs["studies_with_a_ratio"] <= pairs["studies"]).all()
    assert pairs["contrasts"].sum() == len(table("contrasts"))


def test_today_no_pair_can_be_pooled(table, folders):
    assert (table("pairs")["studies_with_an_interval"] < 2).all()
    assert "Pooled: nothing." in (folders.results / "summary.md").read_text(encoding="utf-8")


def test_a_second_study_of_a_pair_is_pooled(run, root, tmp_path):
    # the same contrast under the name of another study, with other numbers
    data = shutil.copytree(root / "data", tmp_path / "data")
    outcomes = pd.read_csv(data / "outcomes.csv", dtype=str, keep_default_na=False)
    yields = (outcomes["study_id"] == "greenberg2024") & (outcomes["outcome"] == "protein_yield")
    added = outcomes[yields].head(1).assign(study_id="klymiuk2019", treatment_mean="120", caution="made up")
    pd.concat([outcomes, added]).to_csv(data / "outcomes.csv", index=False, lineterminator="\n")
    folders, _ = run(data)
    pairs = pd.read_csv(folders.results / "05_pairs.csv").set_index(["outcome_family", "method_pair"])
    found = pairs.loc[("Protein yield", "Affinity, no antibody vs ultracentrifugation")]
    contrasts = pd.read_csv(folders.results / "05_contrasts.csv")
    contrasts = contrasts[(contrasts["outcome_family"] == "Protein yield") & contrasts["log_ratio"].notna()]
    ratios = np.exp(contrasts.loc[contrasts["method_pair"].str.startswith("Affinity"), "log_ratio"])
    assert (found["studies_with_an_interval"], len(ratios)) == (2, 2)
    assert ratios.min() < found["pooled_ratio"] < ratios.max()
    assert found["low"] < found["pooled_ratio"] < found["high"]
    assert "k = 2 effects of m = 2 studies" in found["words"]
    assert pairs["pooled_ratio"].notna().sum() == 1


def test_the_same_run_gives_the_same_bytes(folders, run, root):
    again, analysis = run(root / "data")
    for path in analysis.written:
        assert path.read_bytes() == (folders.output / path.relative_to(again.output)).read_bytes()
