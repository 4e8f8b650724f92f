"""Sizes of preparations: the ledger adds up, the numbers can be had by hand, the runs are the same."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from metaexo.report.run import Folders, run_analysis

NAME = "04_preparations"


@pytest.fixture(scope="module")
def sheet(root):
    """Return the rows of the sheet as they stand in the file, read without metaexo."""
    with (root / "data" / "preparations.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_preparation_takes_part_or_has_a_reason(table, sheet):
    used, left_out = table("sizes"), table("left_out")
    assert sorted([*used["line"], *left_out["line"]]) == list(range(2, len(sheet) + 2))
    assert left_out["reason"].notna().all()


def test_only_means_take_part_and_nothing_that_is_set_apart(table, sheet):
    wanted = [
        line
        for line, row in enumerate(sheet, start=2)
        if row["size_statistic"] == "mean" and row["use"] != "apart"
    ]
    sizes = table("sizes")
    assert sizes["line"].tolist() == wanted
    assert sizes["size_nm"].tolist() == [float(sheet[line - 2]["size_nm"]) for line in wanted]


def test_the_geometric_mean_counts_every_laboratory_once(table):
    sizes, spread = table("sizes"), table("spread").set_index("rows")
    logs = sizes.assign(log=np.log(sizes["size_nm"])).groupby("laboratory")["log"].mean()
    found = spread.loc["all means"]
    assert found["m"] == len(logs)
    assert found["mean"] == pytest.approx(math.exp(logs.mean()), rel=1e-6)


def test_shares_are_those_of_the_group_means(table):
    sizes, explained = table("sizes"), table("explained")
    row = explained[(explained["rows"] == "all means") & (explained["factor"] == "technique")].iloc[0]
    known = sizes[sizes["technique"].isin([level.split()[0] for level in row["levels"].split("; ")])]
    logs = np.log(known["size_nm"])
    fitted = logs.groupby(known["technique"]).transform("mean")
    assert row["k"] == len(known)
    assert row["share"] == pytest.approx(fitted.var() / logs.var(), rel=1e-6)


def test_a_factor_without_a_share_says_why(table):
    explained = table("explained")
    assert (explained["share"].isna() == explained["note"].notna()).all()
    shown = explained[explained["share"].notna()]
    assert ((shown["low"] >= 0) & (shown["low"] <= shown["high"]) & (shown["high"] <= 1)).all()


def test_levels_stand_in_two_laboratories_at_least(table):
    for levels in table("explained")["levels"]:
        assert all(int(level.rsplit(" ", 1)[1]) >= 2 for level in levels.split("; "))


def test_ratios_compare_methods_on_one_source(table, sheet):
    ratios = table("method_ratios")
    assert ratios["study_id"].nunique() == 4
    klymiuk = {
        row["isolation_category"]: float(row["size_nm"]) for row in sheet if row["study_id"] == "klymiuk2019"
    }
    first = ratios[ratios["methods"] == "Precipitation / ultracentrifugation"].iloc[0]
    assert first["ratio"] == pytest.approx(
        klymiuk["precipitation"] / klymiuk["ultracentrifugation"], rel=1e-6
    )
    assert math.isnan(first["low"])


def test_the_interval_of_a_ratio_is_that_of_the_delta_method(table, sheet):
    rows = {row["isolation_category"]: row for row in sheet if row["study_id"] == "greenberg2024"}
    a, b = rows["affinity"], rows["ultracentrifugation"]
    v = sum((float(r["size_sd"]) / float(r["size_nm"])) ** 2 / float(r["n_replicates"]) for r in (a, b))
    ratios = table("method_ratios")
    found = ratios[(ratios["study_id"] == "greenberg2024") & ratios["methods"].str.startswith("Affinity")]
    low = found["ratio"].iloc[0] * math.exp(-1.959963985 * math.sqrt(v))
    assert found["low"].tolist() == pytest.approx([low], rel=1e-6)


def test_a_second_run_writes_the_same_bytes(folders, root, tmp_path):
    again = Folders(root / "analyses", root / "data", tmp_path)
    run_analysis(root / "analyses" / f"{NAME}.py", again)
    for before, after in ((folders.results, again.results), (folders.figures, again.figures)):
        names = sorted(path.name for path in before.iterdir())
        assert names == sorted(path.name for path in after.iterdir())
        assert [n for n in names if (before / n).read_bytes() != (after / n).read_bytes()] == []
