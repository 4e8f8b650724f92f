"""Shares of a variance: known answers, what is refused, and that chance is told apart from effect."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from metaexo.errors import InputError, TooFewStudiesError
from metaexo.evidence.descriptions.shares_explained import ALIASED, REFUSED, shares_explained, study_spread


def example(seed=3, studies=24):
    """Return values of studies with two preparations each; `a` matters, `b` does not."""
    rng = np.random.default_rng(seed)
    study = np.repeat([f"s{i:02d}" for i in range(studies)], 2)
    a = np.repeat(rng.permutation(["x", "y"] * (studies // 2)), 2)
    b = np.repeat(rng.permutation(["p", "q", "r"] * (studies // 3)), 2)
    y = 1.5 * (a == "y") + np.repeat(rng.normal(0, 0.3, studies), 2) + rng.normal(0, 0.3, 2 * studies)
    return y, pd.DataFrame({"a": a, "b": b}), study


def row(table, factor, given):
    return table[(table["factor"] == factor) & (table["given"] == given)].iloc[0]


def test_shares_are_those_of_least_squares():
    y, factors, study = example()
    found = shares_explained(y, factors, study, draws=50)
    data = factors.assign(y=y)
    fits = {f: smf.ols(f"y ~ {f}", data).fit() for f in ("a", "b", "a + b")}
    assert row(found, "a", "alone")["share"] == pytest.approx(fits["a"].rsquared, rel=1e-10)
    assert row(found, "b", "alone")["adjusted"] == pytest.approx(fits["b"].rsquared_adj, rel=1e-8)
    gain = fits["a + b"].rsquared - fits["b"].rsquared
    assert row(found, "a", "after the others")["share"] == pytest.approx(gain, rel=1e-10)


def test_what_matters_stands_out_from_labels_dealt_at_random():
    y, factors, study = example()
    found = shares_explained(y, factors, study, draws=400)
    a, b = row(found, "a", "alone"), row(found, "b", "alone")
    assert a["low"] > 0.5
    assert a["p_value"] == pytest.approx(1 / 401)
    assert a["chance"] < 0.1
    assert b["p_value"] > 0.05
    assert b["low"] <= b["share"] <= b["high"]


def test_dealt_labels_explain_what_they_should_on_average():
    # One value a study: the mean share of permuted labels is (levels - 1) / (studies - 1).
    y, factors, study = example(studies=30)
    found = shares_explained(y[::2], factors[::2], study[::2], draws=4000)
    chance = row(found, "b", "alone")["chance"]
    # A share of permuted labels has an SD below 2 / 29, so this is four Monte Carlo errors and more.
    assert chance == pytest.approx(2 / 29, abs=4 * (2 / 29) / np.sqrt(4000))


def test_a_level_of_one_study_takes_no_part():
    factors = pd.DataFrame({"a": ["x", "x", "y", "y", "z", "z", None]})
    found = shares_explained(np.arange(7.0), factors, ["1", "2", "3", "4", "5", "5", "6"], draws=20)
    alone = row(found, "a", "alone")
    assert (alone["k"], alone["m"], alone["levels"]) == (4, 4, "x 2; y 2")


def test_a_factor_that_cannot_be_told_from_the_study_is_refused():
    factors = pd.DataFrame({"a": ["x", "x", "y", "y"], "b": ["p", "q", "p", "q"]})
    found = shares_explained([1.0, 2.0, 3.0, 4.0], factors, ["1", "1", "2", "2"], draws=20)
    assert row(found, "a", "alone")["note"] == REFUSED
    assert np.isnan(row(found, "a", "alone")["share"])
    assert row(found, "b", "alone")["note"] == ""


def test_factors_that_go_together_have_no_share_of_their_own():
    y, factors, study = example()
    found = shares_explained(y, factors.assign(c=factors["a"].str.upper()), study, draws=20)
    for factor in ("a", "c"):
        assert row(found, factor, "after the others")["note"] == ALIASED
    assert row(found, "b", "after the others")["note"] == ""


def test_the_same_seed_gives_the_same_table_whatever_the_names_of_the_studies():
    y, factors, study = example()
    first = shares_explained(y, factors, study, draws=60, seed=5)
    again = shares_explained(y, factors, [f"z{name}" for name in study], draws=60, seed=5)
    pd.testing.assert_frame_equal(first, again)
    other = shares_explained(y, factors, study, draws=60, seed=6)
    assert first["share"].equals(other["share"])
    assert not first["low"].equals(other["low"])


def test_missing_values_and_odd_lengths_are_refused():
    factors = pd.DataFrame({"a": ["x", "y"]})
    with pytest.raises(InputError):
        shares_explained([1.0, np.nan], factors, ["1", "2"])
    with pytest.raises(InputError):
        shares_explained([1.0], factors, ["1", "2"])


def test_a_balanced_spread_is_that_of_the_mixed_model():
    y, _, study = example()
    spread = study_spread(y, study)
    fit = smf.mixedlm("y ~ 1", pd.DataFrame({"y": y}), groups=study).fit(reml=True)
    assert spread.within_sd**2 == pytest.approx(fit.scale, rel=1e-4)
    assert spread.between_sd**2 == pytest.approx(float(fit.cov_re.iloc[0, 0]), rel=1e-4)
    share = spread.between_sd**2 / (spread.between_sd**2 + spread.within_sd**2)
    assert spread.share_between == pytest.approx(share, rel=1e-12)
    assert spread.low < spread.mean < spread.high


def test_studies_that_are_alike_share_no_variance():
    spread = study_spread([1.0, 3.0, 1.0, 3.0], ["a", "a", "b", "b"])
    assert (spread.between_sd, spread.share_between) == (0.0, 0.0)


@pytest.mark.parametrize("study", [["a", "a", "a"], ["a", "b", "c"]])
def test_a_spread_needs_two_studies_and_two_values_in_one(study):
    with pytest.raises(TooFewStudiesError):
        study_spread([1.0, 2.0, 3.0], study)
