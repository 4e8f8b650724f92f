"""Profile likelihoods of scale coefficients, predicted variances, and what a fit says of each effect."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.models.location_scale.profile import scale_curve

BCG = mx.load_dataset("bcg")
TRIALS = mx.effect_sizes("RR", data=BCG)
rng = np.random.default_rng(3)
K = 40
DATA = pd.DataFrame({"dose": rng.uniform(0, 4, K), "source": ["milk", "plant"] * 20})
V = rng.uniform(0.02, 0.2, K)
SD = np.exp(-1.0 + 0.4 * DATA["dose"].to_numpy())
ES = mx.EffectSizes(0.2 + SD * rng.normal(size=K) + np.sqrt(V) * rng.normal(size=K), V, data=DATA)


def fit(es: mx.EffectSizes = ES, location=None, scale="dose", method="REML", test="z", **options):
    return mx.LocationScale(es, location, scale, **options).fit(method, test)


def likelihood(found, tau2: np.ndarray) -> float:
    """Return the log-likelihood of dense matrices at some variances."""
    x, total = found.design.matrix(found.k), found.effects.v + tau2
    information = (x.T / total) @ x
    beta = np.linalg.solve(information, (x.T / total) @ found.effects.y)
    e = found.effects.y - x @ beta
    value = np.log(2 * np.pi * total).sum() + e @ (e / total)
    if found.method == "REML":
        value += np.linalg.slogdet(information)[1] - np.linalg.slogdet(x.T @ x)[1]
        value -= x.shape[1] * np.log(2 * np.pi)
    return float(-0.5 * value)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_the_profile_is_the_best_of_the_other_coefficients(method: str) -> None:
    found = fit(location="dose", scale="dose", method=method)
    z = found.scale_design.matrix(K)
    curve = scale_curve(found, "dose")
    for value in (-0.2, 0.5, 1.4):
        best = optimize.minimize_scalar(
            lambda a: -likelihood(found, np.exp(a + value * z[:, 1])),  # noqa: B023
            bracket=(-2.0, 0.0),
            tol=1e-12,
        )
        assert curve.llf(np.array([value]))[0] == pytest.approx(-best.fun, rel=1e-9)
    assert curve.maximum == pytest.approx(likelihood(found, found.tau2_by_effect), rel=1e-10)


@pytest.mark.parametrize("options", [{}, {"method": "ML"}, {"link": "identity", "scale": "source"}])
def test_ends_of_the_interval_are_where_the_likelihood_has_fallen_enough(options: dict) -> None:
    found = fit(**options)
    drop = 0.5 * stats.chi2.ppf(0.9, 1)
    table = found.conf_int_scale(level=0.9)
    assert list(table.index) == list(found.scale_design.names)
    for name, row in table.tail(1).iterrows():
        curve = scale_curve(found, str(name))
        for end, is_open in ((row["low"], row["low_open"]), (row["high"], row["high_open"])):
            assert not is_open
            assert curve.maximum - curve.llf(np.array([end]))[0] == pytest.approx(drop, abs=1e-5)
        assert row["low"] < row["estimate"] < row["high"]
        curve = mx.sensitivity.profile(found, f"scale:{name}", [row["low"], row["high"]], level=0.9)
        assert (curve.low, curve.high) == pytest.approx((row["low"], row["high"]), rel=1e-6)
        np.testing.assert_allclose(curve.maximum - curve.llf, drop, atol=1e-5)


def test_one_variance_has_the_interval_of_tau2() -> None:
    """Without scale moderators both links have the profile-likelihood interval of the one-level model."""
    one = mx.RandomEffects(ES).fit().conf_int_heterogeneity("profile-likelihood").tau2
    log = fit(scale=None).conf_int_scale().iloc[0]
    assert (np.exp(log["low"]), np.exp(log["high"])) == pytest.approx((one.low, one.high), rel=1e-6)
    identity = fit(scale=None, link="identity").conf_int_scale().iloc[0]
    assert (identity["low"], identity["high"]) == pytest.approx((one.low, one.high), rel=1e-6)


def test_an_end_at_no_heterogeneity_is_open() -> None:
    es = mx.EffectSizes([0.1, 0.35, 0.2, 0.5, 0.15, 0.3], [0.02, 0.02, 0.03, 0.02, 0.02, 0.03])
    one = mx.RandomEffects(es).fit().conf_int_heterogeneity("profile-likelihood").tau2
    assert one.low == 0
    identity = mx.LocationScale(es, link="identity").fit().conf_int_scale().iloc[0]
    assert identity["low"] == 0
    assert identity["low_open"]
    assert identity["high"] == pytest.approx(one.high, rel=1e-6)
    log = mx.LocationScale(es).fit().conf_int_scale().iloc[0]
    assert log["low"] == -np.inf
    assert log["low_open"]
    assert np.exp(log["high"]) == pytest.approx(one.high, rel=1e-6)


def test_values_of_r() -> None:
    """metafor 3.8-1: confint, predict, hatvalues, rstandard, blup of rma(yi, vi, scale = ~ablat), dat.bcg."""
    found = fit(TRIALS, scale="latitude")
    table = found.conf_int_scale()
    assert table.loc["intercept", ["low", "high"]].tolist() == pytest.approx([-5.9545, 3.0446], abs=6e-5)
    rows = pd.DataFrame({"latitude": [20, 50]})
    linear, tau2 = found.predict_scale(rows), found.predict_scale(rows, scale="tau2")
    assert linear["estimate"].tolist() == pytest.approx([-1.15795435904, -1.16450666785], rel=1e-6)
    assert linear["se"].tolist() == pytest.approx([1.05225321178, 1.31319984459], rel=1e-5)
    assert linear["low"].tolist() == pytest.approx([-3.22033275675, -3.73833106776], rel=1e-5)
    assert tau2["estimate"].tolist() == pytest.approx([0.3141, 0.3121], abs=6e-5)
    assert tau2["high"].tolist() == pytest.approx([2.4705, 4.0932], abs=6e-5)
    hat = [0.0506669070906, 0.0638514158176, 0.0444086443530]
    assert found.hat_values[:3].tolist() == pytest.approx(hat, rel=1e-6)
    z = [-0.223146061271, -1.263313196801, -0.758258042802]
    assert found.residuals()["z"].iloc[:3].tolist() == pytest.approx(z, rel=1e-6)
    blup = found.blup().iloc[:3]
    estimates = [-0.800692047123, -1.251137564258, -0.987225954884]
    assert blup["estimate"].tolist() == pytest.approx(estimates, rel=1e-6)
    se = [0.409716891520, 0.352954672002, 0.434622776287]
    assert blup["se"].tolist() == pytest.approx(se, rel=1e-6)
    alone = fit(TRIALS, scale=None).conf_int_scale().iloc[0]
    assert [alone["low"], alone["high"]] == pytest.approx([-2.1605, -0.0359], abs=6e-5)


def test_matrices_of_a_fit_are_those_of_its_weights() -> None:
    found = fit(location="dose", scale="source")
    x, total = found.design.matrix(K), ES.v + found.tau2_by_effect
    w = np.diag(1 / total)
    hat = x @ np.linalg.solve(x.T @ w @ x, x.T @ w)
    left = np.eye(K) - hat
    np.testing.assert_allclose(found.hat_matrix, hat, rtol=1e-9)
    np.testing.assert_allclose(found.hat_values, np.diag(hat), rtol=1e-9)
    np.testing.assert_allclose(found.fitted_values, hat @ ES.y, rtol=1e-9)
    np.testing.assert_allclose(found.cov_residuals(), left @ np.diag(total) @ left.T, rtol=1e-8, atol=1e-14)
    np.testing.assert_allclose(found.cov_fitted(), hat @ np.diag(total) @ hat.T, rtol=1e-8)
    np.testing.assert_allclose(found.cov_effects(), np.diag(total))
    np.testing.assert_allclose(found.weights, 1 / total / (1 / total).sum())
    np.testing.assert_array_equal(found.residuals("cholesky"), found.residuals("pearson"))
    random = found.random_effects()["estimate"].to_numpy()
    np.testing.assert_allclose(found.blup()["estimate"], found.fitted_values + random, rtol=1e-10)


def test_predicted_variances() -> None:
    found = fit(test="t")
    table = found.predict_scale(scale="tau", level=0.9)
    np.testing.assert_allclose(table["estimate"] ** 2, found.tau2_by_effect, rtol=1e-9)
    z = found.scale_design.matrix(K)
    linear = found.predict_scale(level=0.9)
    se = np.sqrt(np.diag(z @ found.scale_coefficients.cov @ z.T))
    np.testing.assert_allclose(linear["se"], se, rtol=1e-9)
    half = stats.t.ppf(0.95, K - 2) * se
    np.testing.assert_allclose(linear["high"], linear["estimate"] + half, rtol=1e-9)
    np.testing.assert_allclose(table["high"], np.exp(0.5 * linear["high"]), rtol=1e-9)
    identity = fit(link="identity", scale="source")
    low = identity.predict_scale(scale="tau2")["low"]
    assert (low >= 0).all()
    assert len(fit(scale=None).predict_scale()) == 1


def test_the_order_of_the_rows_and_the_unit_of_the_effects() -> None:
    found = fit().conf_int_scale()
    order = np.random.default_rng(1).permutation(K)
    mixed = mx.EffectSizes(ES.y[order], ES.v[order], data=DATA.iloc[order].reset_index(drop=True))
    np.testing.assert_allclose(
        fit(mixed).conf_int_scale()[["low", "high"]], found[["low", "high"]], rtol=1e-6
    )
    c = 1e-2
    small = fit(mx.EffectSizes(c * ES.y, c**2 * ES.v, data=DATA)).conf_int_scale()
    moved = found[["low", "high"]].to_numpy() + np.array([[2 * np.log(c)], [0.0]])
    np.testing.assert_allclose(small[["low", "high"]], moved, rtol=1e-5)


def test_an_interval_where_a_variance_of_zero_binds() -> None:
    with pytest.warns(mx.errors.ScaleBoundaryWarning):
        found = fit(link="identity")
    z, drop = found.scale_design.matrix(K), 0.5 * stats.chi2.ppf(0.95, 1)
    row = found.conf_int_scale("dose").iloc[0]
    for end in (row["low"], row["high"]):
        floor = (-end * z[:, 1]).max()  # the least intercept that keeps every variance at 0 or above
        best = max(
            likelihood(found, np.maximum(a + end * z[:, 1], 0)) for a in floor + np.linspace(0, 0.5, 2001)
        )
        assert found.maximum.value - best == pytest.approx(drop, abs=1e-4)


def test_what_has_no_interval_is_refused() -> None:
    found = fit()
    with pytest.raises(UnknownChoiceError, match="dose"):
        found.conf_int_scale("doze")
    with pytest.raises(UnknownChoiceError, match="tau2"):
        found.predict_scale(scale="tau^2")
    with pytest.raises(UnknownChoiceError, match="scale:dose"):
        mx.sensitivity.profile(found, "scale:doze")
    y = np.where(DATA["source"] == "milk", 0.3, ES.y)
    with pytest.warns(mx.errors.ScaleBoundaryWarning):
        endless = fit(mx.EffectSizes(y, V, data=DATA), scale="source")
    with pytest.raises(InputError, match="not finite"):
        endless.conf_int_scale()
