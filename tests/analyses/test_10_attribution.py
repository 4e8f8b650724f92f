"""Attribution on the sheets: numbers where they can be had, a sentence and no number elsewhere."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import metaexo as mx
from metaexo.report.run import Folders, run_analysis

NAME = "10_attribution"
REFUSED = ("not_separable", "too_few", "no_heterogeneity")


@pytest.fixture(scope="module")
def preparations(root):
    """Return the rows of the sheet as they stand in the file, read without metaexo."""
    with (root / "data" / "preparations.csv").open(encoding="utf-8", newline="") as file:
        return dict(enumerate(csv.DictReader(file), 2))


def test_a_refusal_has_no_share_and_a_sentence(table):
    verdicts, shares = table("verdicts"), table("shares")
    refused = verdicts[verdicts["verdict"].isin(REFUSED)]
    assert len(refused) > 0
    assert (
        refused["sentence"].str.startswith(("No attribution", "These data cannot", "There is nothing")).all()
    )
    parts = shares[shares["data"].isin(refused["data"]) & shares["kind"].isin(["factor", "interaction"])]
    assert parts.drop(columns=["data", "name", "kind", "note"]).isna().all().all()
    assert parts["note"].notna().all()


def test_effects_of_a_handful_of_studies_are_refused(table):
    verdicts = table("verdicts").set_index("data")
    for name in ("Animals, effects", "Patients, effects"):
        assert verdicts.loc[name, "studies"] < 9
        assert verdicts.loc[name, "verdict"] == "too_few"


def test_shares_that_are_given_add_up(table):
    shares = table("shares")
    given = shares[shares["share"].notna()]
    whole = given[given["kind"].isin(["factor", "interaction", "unexplained"])]
    assert whole.groupby("data")["share"].sum().to_numpy() == pytest.approx(1.0, abs=1e-6)
    ends = given[given["kind"] != "common"]
    assert ends["low"].between(0, 1).all()
    assert (ends["low"] <= ends["high"]).all()


def test_sizes_are_one_mean_a_laboratory_source_and_method(table, preparations):
    means = [
        row for row in preparations.values() if row["size_statistic"] == "mean" and row["use"] != "apart"
    ]
    cells = table("cells")
    sizes = cells[cells["data"] == "Vesicle sizes"]
    total = table("verdicts").set_index("data").loc["Vesicle sizes", "effects"]
    assert sizes["k"].sum() == total < len(means)
    assert (sizes["k"] == sizes["m"]).all()
    silent = sizes[(sizes["source"] == "not reported") | (sizes["isolation"] == "not reported")]["k"].sum()
    both = table("verdicts").set_index("data").loc["Vesicle sizes, both reported", "effects"]
    assert both == total - silent


def test_the_shares_of_sizes_are_those_of_adjusted_r2(root, table):
    """Without sampling variances tau2 is a mean square, so the joint share is an adjusted R2."""
    import statsmodels.formula.api as smf

    from metaexo.evidence.descriptions.sizes import choose_means, laboratories

    sheet = mx.read_sheets(root / "data").preparations
    sizes = sheet[sheet["line"].isin(choose_means(sheet).used)].assign(laboratory=laboratories)
    sizes["log_size"] = np.log(sizes["size_nm"])
    keys = ["laboratory", "source_group", "isolation"]
    means = sizes.groupby(keys)["log_size"].mean().reset_index()
    while True:
        before = len(means)
        for factor in keys[1:]:
            studies = means.groupby(factor)["laboratory"].nunique()
            means = means[means[factor].isin(studies.index[studies > 1])]
        if len(means) == before:
            break
    fit = smf.ols("log_size ~ C(source_group) + C(isolation)", means).fit()
    shares = table("shares")
    found = shares[(shares["data"] == "Vesicle sizes") & (shares["kind"] == "together")]
    assert found["share"].item() == pytest.approx(fit.rsquared_adj, abs=1e-6)


def test_levels_that_are_not_reported_are_counted(table):
    verdicts = table("verdicts").set_index("data")
    assert (
        verdicts.loc["Patients, effects", "isolation_not_reported"]
        == verdicts.loc["Patients, effects", "effects"]
    )
    assert verdicts.loc["Vesicle sizes, both reported", "isolation_not_reported"] == 0


def test_the_summary_tells_every_verdict_and_what_it_does_not_show(folders, table):
    words = (folders.results / "summary.md").read_text(encoding="utf-8")
    for sentence in table("verdicts")["sentence"]:
        assert sentence in words
    assert "What this does not show" in words


def test_two_runs_give_the_same_tables(root, folders, tmp_path):
    again = Folders(root / "analyses", root / "data", tmp_path)
    run_analysis(root / "analyses" / f"{NAME}.py", again)
    for path in folders.results.glob("10_*.csv"):
        assert (again.results / path.name).read_bytes() == path.read_bytes()
