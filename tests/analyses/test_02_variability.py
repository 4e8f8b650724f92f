"""Shares of source, method and laboratory: against independent fits, and sentences that follow the data."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.report.answers import read_answers

NAME = "02_variability"


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
    found = table("shares").query("outcome == 'Share of red-cell miRNAs'").set_index("term")
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
    said = [one for one in read_answers(folders.results / "answers.csv") if one.script == NAME]
    assert [one.part for one in said] == ["answer", "known", "known"]
    assert len(said[0].words.split()) <= 45
    assert all(len(one.words.split()) <= 35 for one in said[1:])
    shares = table("shares").set_index(["outcome", "term"])
    wide = shares["share"].unstack()
    lead = wide.index[wide.idxmax(axis=1) == "laboratory"]
    clear = [
        outcome
        for outcome in lead
        if shares.loc[(outcome, "laboratory"), "low"]
        > max(shares.loc[(outcome, term), "high"] for term in ("source", "isolation method"))
    ]
    inside = {term: (wide.loc[lead, term].min(), wide.loc[lead, term].max()) for term in wide}
    first, source, method = (
        f"{100 * inside[term][0]:.0f} to {100 * inside[term][1]:.0f}%"
        for term in ("laboratory", "source", "isolation method")
    )
    assert f"{first} of the variance of miRNA cargo in {len(lead)} of {len(wide)} outcomes" in said[0].words
    assert f"source {source}, isolation method {method}" in said[0].words
    assert said[0].words.endswith("; the source leads in the share of red-cell miRNAs.")
    assert "observational" in said[0].words
    assert said[1].words.startswith(f"Where its interval overlaps no other ({len(clear)} outcomes): ")
    spans = {term: (wide.loc[clear, term].min(), wide.loc[clear, term].max()) for term in wide}
    for term in ("laboratory", "source", "isolation method"):
        assert f"{term} {100 * spans[term][0]:.0f} to {100 * spans[term][1]:.0f}%" in said[1].words


def test_all_laboratories_that_link_sources_or_methods_are_left_out(script, root, table):
    cargo = mx.read_sheets(root / "data").cargo_groups
    for outcome, name in (("ln_mirnas_10cpm", "Number of miRNAs detected"), ("log2cpm_let7a", "let-7a-5p")):
        es = script.groups(cargo, outcome)
        used = es.data.groupby("laboratory")[["source_kind", "isolation_step"]].nunique()
        several = used.index[(used > 1).any(axis=1)]
        left = {
            lab: script.model(es.select((es.data["laboratory"] != lab).to_numpy(), "left out"))
            for lab in several
        }
        rests = table("levels")
        rests = rests[(rests["outcome"] == name) & (rests["left_out"] == "laboratory")]
        found = rests[rests["component"] == "source"]
        lowest = min(several, key=lambda lab: left[lab].tau2_shares[0])
        assert found["level"].item() == lowest
        p = left[lowest].test_components().to_frame()["pvalue"]["source_kind"]
        assert found["p_without"].item() == pytest.approx(p, rel=1e-5)


def test_tests_are_counted_at_one_adjusted_level(table):
    verdict, rests = table("verdict").iloc[0], table("levels").query("left_out == 'laboratory'")
    for term in ("source", "isolation method"):
        p = table("shares").query("term == @term")["pvalue"]
        assert verdict[f"{term} by likelihood"] == (p < 0.05 / 7).sum()
        assert (
            verdict[f"{term} without one laboratory"]
            == (rests.loc[rests["component"] == term, "p_without"] < 0.05 / 7).sum()
        )
        factors = table("attribution")["factors"].fillna("").str.split("; ")
        assert verdict[f"{term} by permutation"] == sum(term in one for one in factors)


def shares_of(script, rows, width=0.0):
    """Return a table of shares, the same interval about each."""
    return pd.DataFrame(
        [
            {"outcome": outcome, "term": term, "share": share, "low": share - width, "high": share + width}
            for outcome, values in rows.items()
            for term, share in zip(script.WORDS.values(), values, strict=True)
        ]
    )


def test_the_answer_follows_the_shares(script):
    source = (0.7, 0.1, 0.15, 0.05)
    of_source = script.ranges(shares_of(script, {"A": source, "B": source}))
    words = script.answer_words(of_source)
    assert words.startswith("Mostly the source: ")
    assert words.endswith(
        "70% of the variance of miRNA cargo in all 2 outcomes (observational), laboratory 15%, "
        "isolation method 10%."
    )
    assert script.share_words(of_source).startswith(
        "Where its interval overlaps no other (2 outcomes): source 70%, laboratory 15%, "
    )
    laboratory = (0.1, 0.2, 0.6, 0.1)
    mixed = script.ranges(shares_of(script, {"Size": laboratory, "let-7": laboratory, "Yield": source}, 0.25))
    words = script.answer_words(mixed)
    assert words.startswith("Mostly the laboratory and what goes with it (kit, sequencer, donors, disease): ")
    assert words.endswith(
        "60% of the variance of miRNA cargo in 2 of 3 outcomes (observational), source 10%, "
        "isolation method 20%; the source leads in the yield."
    )
    assert script.share_words(mixed).startswith("Where it leads: laboratory 60%")
    tests = {
        f"{term} {way}": count
        for term, count in (("source", 2), ("isolation method", 0))
        for way in ("by likelihood", "without one laboratory", "by permutation")
    }
    assert "source and method to matter in 2 and 0 of 3 outcomes" in script.tests_words(mixed | tests)


def test_what_doubtful_rows_do_follows_the_shares(script):
    terms = list(script.WORDS.values())
    table = pd.DataFrame([[0.1, 0.1, 0.7, 0.1], [0.1, 0.1, 0.7, 0.1], [0.1, 0.1, 0.7, 0.1]], columns=terms)
    three = table.assign(rows=["Without doubtful rows", "With doubtful rows", "All but x"], outcome="Size")
    assert script.doubtful_words(three.assign(k=9)) == "No row is doubtful."
    three["k"] = [9, 12, 11]
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


def test_without_methods_or_variance_the_answer_is_that_it_cannot_be_said(run, root, tmp_path):
    data = shutil.copytree(root / "data", tmp_path / "data")
    cargo = pd.read_csv(data / "cargo_groups.csv", dtype=str, keep_default_na=False)
    unknown = dict.fromkeys(("isolation_main_step", "isolation_steps", "treatment_isolation"), "not_reported")
    cargo.assign(**unknown, isolation_reported="").to_csv(data / "cargo_groups.csv", index=False)
    folders, _ = run(data)
    (said,) = read_answers(folders.results / "answers.csv")
    assert said.words.startswith("Cannot be said: ")
    assert said.certainty == "very low"


def test_an_outcome_that_does_not_vary_between_groups_has_no_shares(script, root):
    cargo = mx.read_sheets(root / "data").cargo_groups
    assert script.fitted(cargo, script.DIVERSITY).tau2 > 0
    assert script.fitted(cargo.assign(treatment_mean=3.0), script.DIVERSITY) is None
