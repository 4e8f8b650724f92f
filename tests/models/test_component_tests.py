"""Likelihood-ratio tests of random terms: values of metafor, the mixture, simulation, and what they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metaexo as mx
from metaexo.errors import InputError

TABLE = mx.load_dataset("school_calendars")
SCHOOLS = mx.EffectSizes(TABLE["y"], TABLE["v"], data=TABLE)
FIT = mx.Multilevel(SCHOOLS, "district/school").fit()


def test_statistics_are_those_of_metafor() -> None:
    # metafor 3.8-1: 2 (logLik(full) - logLik(reduced)) of rma.mv(yi, vi, random = ~ 1 | district/school)
    table = FIT.test_components().to_frame()
    assert table["statistic"].to_dict() == pytest.approx(
        {"district": 17.77355084, "district/school": 48.5155}, abs=1e-4
    )
    assert table["pvalue"].tolist() == pytest.approx(0.5 * stats.chi2.sf(table["statistic"], 1), rel=1e-10)
    assert table.loc["district", "null"] == (
        "effects do not vary between the levels of district: the variance of district is 0"
    )


def test_the_test_is_that_of_two_fits() -> None:
    other = FIT.test_against(mx.Multilevel(SCHOOLS, "district").fit())
    found = FIT.test_components().to_frame().loc["district/school"]
    assert found["statistic"] == pytest.approx(other.statistic, abs=1e-7)
    assert found["pvalue"] == pytest.approx(other.pvalue, rel=1e-5)


def test_simulation_is_near_the_mixture_where_levels_are_many_and_counts_draws() -> None:
    rng = np.random.default_rng(7)
    lab, k = np.repeat(np.arange(40), 2), 80
    y = rng.normal(0, 0.25, 40)[lab] + rng.normal(0, 0.5, k)
    es = mx.EffectSizes(y, np.full(k, 0.15), data=pd.DataFrame({"lab": lab.astype(str)}))
    fit = mx.Multilevel(es, ["lab", "effect"]).fit()
    found = fit.test_components(400, seed=3).to_frame()
    p, drawn = found.loc["lab", "pvalue"], found.loc["lab", "simulated"]
    assert drawn * 401 == pytest.approx(round(drawn * 401))
    assert abs(p - drawn) < 4 * np.sqrt(p * (1 - p) / 400) + 0.02
    assert fit.test_components(400, seed=3).to_frame()["simulated"].tolist() == found["simulated"].tolist()


def test_a_variance_of_zero_has_p_one_and_is_noted_for_the_others() -> None:
    y = [0.1, 0.3, 0.2, 0.0, 0.3, 0.2, 1.1, 1.2]
    data = pd.DataFrame({"a": list("pqpqpqpq"), "b": list("rrssttuu")})
    fit = mx.Multilevel(mx.EffectSizes(y, [0.02] * 8, data=data), ["a", "b"]).fit()
    table = fit.test_components().to_frame()
    assert fit.component_values["a"] == 0
    assert table.loc["a", ["statistic", "pvalue"]].tolist() == pytest.approx([0.0, 1.0], abs=1e-7)
    assert "a at 0, on the boundary too" in table.loc["b", "note"]
    assert table.loc["a", "note"] == ""
    assert "boundary too" in str(fit.test_components())


def test_terms_of_several_parameters_have_a_p_value_that_is_too_large() -> None:
    data = TABLE.assign(part=["x", "y"] * 28)
    es = mx.EffectSizes(data["y"], data["v"], data=data)
    fit = mx.Multilevel(es, [mx.RandomTerm("district", "part", "DIAG"), "effect"]).fit()
    found = fit.test_components(5).to_frame().iloc[0]
    assert found["df"] == 2
    assert found["pvalue"] == pytest.approx(stats.chi2.sf(found["statistic"], 2))
    assert np.isnan(found["simulated"])
    assert "too large" in found["note"]


def test_a_component_that_is_held_is_not_tested() -> None:
    fit = mx.Multilevel(SCHOOLS, "district/school", fix={"district": 0.05}).fit()
    assert fit.test_components().terms == ("district/school",)
    both = {"district": 0.05, "district/school": 0.03}
    with pytest.raises(InputError, match="held fixed"):
        mx.Multilevel(SCHOOLS, "district/school", fix=both).fit().test_components()


def test_without_sampling_variance_there_is_no_likelihood_without_the_term() -> None:
    data = pd.DataFrame({"lab": list("aabbccdd")})
    es = mx.EffectSizes([0.1, 0.2, 0.5, 0.7, 0.1, 0.0, 0.9, 1.0], [0.0] * 8, data=data)
    table = mx.Multilevel(es, ["lab", "effect"]).fit().test_components().to_frame()
    assert np.isnan(table.loc["effect", "statistic"])
    assert "no likelihood without the term" in table.loc["effect", "note"]
    assert table.loc["lab", "statistic"] > 0


def test_intervals_of_shares_are_where_the_profile_likelihood_falls_by_the_quantile() -> None:
    from scipy.optimize import brentq, minimize_scalar

    from metaexo.numeric.mixed.likelihood import generalised_fit

    problem, critical = FIT.problem, stats.chi2.isf(0.05, 1)

    def excess(share: float) -> float:
        def loss(log_total: float) -> float:
            theta = np.exp(log_total) * np.array([share, 1 - share])
            return -generalised_fit(problem, problem.matrices(theta)).llf(True)

        best = -minimize_scalar(loss, bounds=(-6, 2), method="bounded", options={"xatol": 1e-10}).fun
        return 2 * (FIT.llf - best) - critical

    found = FIT.conf_int_shares()
    share = found.loc["district", "share"]
    assert share == pytest.approx(FIT.tau2_shares[0])
    low, high = brentq(excess, 1e-6, share), brentq(excess, share, 1 - 1e-6)
    assert found.loc["district", ["low", "high"]].tolist() == pytest.approx([low, high], abs=1e-5)
    assert found.loc["district/school", ["low", "high"]].tolist() == pytest.approx(
        [1 - high, 1 - low], abs=1e-5
    )


def test_intervals_of_shares_of_crossed_terms_and_of_none() -> None:
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"a": rng.choice(list("pqrst"), 60), "b": np.repeat(np.arange(20), 3).astype(str)})
    y = rng.normal(0, 0.5, 20)[np.repeat(np.arange(20), 3)] + rng.normal(0, 0.4, 60)
    fit = mx.Multilevel(mx.EffectSizes(y, [0.05] * 60, data=data), ["a", "b", "effect"]).fit()
    table = fit.conf_int_shares()
    assert ((table["low"] <= table["share"]) & (table["share"] <= table["high"])).all()
    assert fit.component_values["a"] > 0 or table.loc["a", "low"] == 0
    wide = fit.conf_int_shares(0.99)
    assert (wide["low"] <= table["low"] + 1e-9).all()
    assert (wide["high"] >= table["high"] - 1e-9).all()
    correlated = mx.Multilevel(fit.effects, mx.RandomTerm("b", "a", "CS")).fit()
    assert correlated.conf_int_shares()["low"].isna().all()
