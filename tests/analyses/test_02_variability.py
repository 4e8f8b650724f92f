"""Shares of source, method and laboratory: against independent fits, and sentences that follow the data."""

from __future__ import annotations

import importlib.util

import numpy as np
import pandas as pd
import pytest

NAME = "02_variability"


@pytest.fixture(scope="module")
def script(root):
    spec = importlib.util.spec_from_file_location("variability", root / "analyses" / f"{NAME}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cargo(root):
    """Return the rows as they stand in the file, read without metaexo."""
    return pd.read_csv(root / "data" / "cargo_groups.csv", keep_default_na=False, na_values=[""])


def test_groups_are_those_of_the_file_with_source_method_and_an_sd(table, cargo):
    rows = cargo[(cargo["outcome"] == "ln_effective_mirnas") & (cargo["use"] == "main")]
    rows = rows[(rows["source_group"] != "not_reported") & (rows["isolation_main_step"] != "not_reported")]
    rows = rows[(rows["treatment_n"] > 1) & (rows["treatment_sd"] > 0)]
    facts = table("facts").iloc[0]
    assert facts["k"] == len(rows)
    assert facts["laboratories"] == rows["laboratory"].nunique()
    assert facts["two_methods"] == (rows.groupby("laboratory")["isolation_main_step"].nunique() > 1).sum()


def test_the_variances_maximise_the_restricted_likelihood_of_dense_matrices(table, cargo):
    rows = cargo[(cargo["outcome"] == "log10_redcell_share") & (cargo["use"] == "main")]
    rows = rows[(rows["source_group"] != "not_reported") & (rows["isolation_main_step"] != "not_reported")]
    rows = rows[(rows["treatment_n"] > 1) & (rows["treatment_sd"] > 0)]
    y, v = rows["treatment_mean"].to_numpy(), (rows["treatment_sd"] ** 2 / rows["treatment_n"]).to_numpy()
    labels = [rows[name].to_numpy() for name in ("source_group", "isolation_main_step", "laboratory")]
    shared = [np.equal.outer(label, label).astype(float) for label in labels] + [np.eye(len(y))]
    found = table("shares").query("outcome == 'Red-cell miRNAs'").set_index("term")
    theta = found.loc[["source", "isolation method", "laboratory", "rest between groups"], "tau2"].to_numpy()
    m = np.linalg.inv(np.diag(v) + sum(t * s for t, s in zip(theta, shared, strict=True)))
    p = m - np.outer(m.sum(axis=1), m.sum(axis=0)) / m.sum()
    slopes = [0.5 * ((p @ y) @ s @ (p @ y) - np.sum(p * s)) for s in shared]
    assert np.array(slopes) * theta == pytest.approx(0.0, abs=1e-4)
    assert found["share"].tolist() == pytest.approx((theta / theta.sum()).tolist(), rel=1e-6)


def test_shares_add_up_and_lie_in_their_intervals(table):
    shares = table("shares")
    assert shares.groupby("outcome")["share"].sum().to_numpy() == pytest.approx(1.0)
    assert shares["share"].between(shares["low"] - 1e-9, shares["high"] + 1e-9).all()
    ways = table("sensitivity")
    terms = ["source", "isolation method", "laboratory", "rest between groups"]
    assert ways[terms].sum(axis=1).to_numpy() == pytest.approx(1.0)
    assert (ways[terms].idxmax(axis=1) == ways["leading"]).all()
    assert set(ways["rows"]) == {"all", "without doubtful rows"}


def test_the_answer_is_that_of_the_largest_shares(folders, table):
    row = table("ranges").iloc[0]
    words = (folders.results / "answer.md").read_text(encoding="utf-8")
    assert row["leading"] == "laboratory"
    begin = "Mostly the laboratory: of the variance of miRNA cargo between groups of samples, "
    assert f"{begin}{100 * row['laboratory low']:.0f} to " in words
    assert f"in {row['outcomes']} of {row['of']} outcomes; another term leads in Red-cell miRNAs" in words


def test_the_answer_follows_the_shares(script):
    terms = list(script.WORDS.values())
    of_source = pd.DataFrame(
        [
            {"outcome": outcome, "term": term, "share": share, "low": share, "high": share, "laboratories": 9}
            for outcome in ("a", "b")
            for term, share in zip(terms, (0.7, 0.1, 0.15, 0.05), strict=True)
        ]
    )
    words = script.answer_words(script.ranges(of_source))
    assert words.startswith("Mostly the source: ")
    assert "15% goes with the laboratory, 70% with the source and 10% with the isolation" in words
    assert words.endswith("in all 2 outcomes.")
    table = pd.DataFrame([[0.1, 0.1, 0.7, 0.1], [0.1, 0.1, 0.7, 0.1], [0.1, 0.1, 0.7, 0.1]], columns=terms)
    three = table.assign(rows=["Without doubtful rows", "With doubtful rows", "All but x"], outcome="Size")
    assert script.doubtful_words(three).endswith("no single level makes it.")
    three.loc[1, ["source", "laboratory"]] = [0.6, 0.2]
    assert script.doubtful_words(three).endswith("60% with them, and 10% with all but x: one level makes it.")


def test_a_share_that_doubtful_rows_make_is_found(table):
    without, every, rest = table("doubtful").to_dict("records")
    assert every["k"] > without["k"]
    assert every["isolation method"] > 2 * rest["isolation method"]
    assert without["isolation method"] == pytest.approx(rest["isolation method"], abs=0.05)


def test_power_grows_with_the_share_and_the_size_is_small(table):
    for _, rows in table("power").groupby("term"):
        assert rows["power"].is_monotonic_increasing
        assert rows["power"].iloc[0] < 0.05 + 4 * np.sqrt(0.05 * 0.95 / rows["draws"].iloc[0])
