"""Location-scale models: what they must agree with, and that the highest likelihood is found."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import metaexo as mx
from metaexo import errors
from metaexo.numeric.scale import maximum as scale_maximum
from metaexo.numeric.scale.likelihood import make_likelihood

K = 24
rng = np.random.default_rng(1)
DATA = pd.DataFrame(
    {"source": ["milk", "plant"] * 12, "dose": rng.uniform(1, 9, K), "year": np.arange(2000.0, 2024)}
)
V = rng.uniform(0.02, 0.2, K)
TAU = np.where(DATA["source"] == "milk", 0.6, 1.1)
Y = 0.3 + 0.1 * DATA["dose"].to_numpy() + TAU * rng.normal(size=K) + np.sqrt(V) * rng.normal(size=K)
ES = mx.EffectSizes(Y, V, data=DATA)


def fit(location=None, scale=None, method="REML", test="z", es=ES, **options):
    return mx.LocationScale(es, location, scale, **options).fit(method, test=test)


# -- the likelihood -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["log", "identity"])
@pytest.mark.parametrize("restricted", [True, False])
@given(seed=st.integers(0, 10_000))
def test_gradient_and_hessian_are_the_derivatives(link: str, restricted: bool, seed: int) -> None:
    r = np.random.default_rng(seed)
    k = int(r.integers(6, 15))
    x, z = (np.column_stack([np.ones(k), r.normal(size=(k, 2))]) for _ in range(2))
    model = make_likelihood(x, r.normal(size=k), r.uniform(0.1, 1, k), z, link, restricted)
    a = r.normal(size=3) * 0.5
    if link == "identity":
        a = np.array([6.0, 0, 0]) + 0.3 * a
    at = model.at(a)

    def slope(values, step=1e-3):
        """Return central differences, extrapolated (Richardson)."""
        near, wide = (
            np.array([(values(a + h * e) - values(a - h * e)) / (2 * h) for e in np.eye(3)])
            for h in (step, 2 * step)
        )
        return near + (near - wide) / 3

    np.testing.assert_allclose(slope(lambda b: model.at(b).value), at.gradient, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(slope(lambda b: model.at(b).gradient), at.hessian, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_the_likelihood_is_that_of_full_matrices(method: str) -> None:
    result = fit("dose", "source", method)
    x = result.design.matrix(K)
    s = np.diag(V + result.tau2_by_effect)
    w = np.linalg.inv(s)
    e = Y - x @ np.linalg.solve(x.T @ w @ x, x.T @ w @ Y)
    full = -0.5 * (K * np.log(2 * np.pi) + np.linalg.slogdet(s)[1] + e @ w @ e)
    if method == "REML":
        sides = np.linalg.slogdet(x.T @ w @ x)[1] - np.linalg.slogdet(x.T @ x)[1]
        full += np.log(2 * np.pi) - 0.5 * sides
    assert result.llf == pytest.approx(full, rel=1e-10)
    assert result.maximum.value == pytest.approx(result.llf, rel=1e-12)


# -- what it must agree with --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("link", ["log", "identity"])
@pytest.mark.parametrize("location", [None, "dose"])
def test_without_scale_moderators_it_is_the_random_effects_model(method: str, link: str, location) -> None:
    result = fit(location, None, method, link=link)
    plain = mx.RandomEffects(ES, location).fit(method=method, test="z")
    np.testing.assert_allclose(result.tau2_by_effect, plain.tau2, rtol=1e-7)
    np.testing.assert_allclose(result.params, plain.params, rtol=1e-7)
    np.testing.assert_allclose(result.bse, plain.bse, rtol=1e-7)
    for name in ("llf", "aic", "bic", "aicc"):
        assert getattr(result, name) == pytest.approx(getattr(plain, name), rel=1e-9)
    assert result.q.statistic == pytest.approx(plain.q.statistic, rel=1e-9)
    assert result.moderator_test.statistic == pytest.approx(plain.moderator_test.statistic, rel=1e-6)


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("link", ["log", "identity"])
def test_groups_in_both_parts_are_separate_fits(method: str, link: str) -> None:
    result = fit("0 + source", "0 + source", method, link=link)
    for group in ("milk", "plant"):
        rows = (DATA["source"] == group).to_numpy()
        alone = mx.RandomEffects(ES.select(rows, "other")).fit(method=method, test="z")
        np.testing.assert_allclose(result.tau2_by_effect[rows], alone.tau2, rtol=1e-6)
        assert result.params[f"source{group}"] == pytest.approx(alone.estimate, rel=1e-8)
        assert result.bse[f"source{group}"] == pytest.approx(alone.se[0], rel=1e-6)
    if link == "log":
        np.testing.assert_allclose(
            np.exp(result.scale_coefficients.params),
            [result.tau2_by_effect[0], result.tau2_by_effect[1]],
            rtol=1e-9,
        )


def test_the_scale_can_be_coded_in_any_way() -> None:
    one = fit("dose", "source + year")
    other = fit("dose", 'C(source, base="plant") + I((year - 2010)/5)')
    np.testing.assert_allclose(one.tau2_by_effect, other.tau2_by_effect, rtol=1e-6)
    assert one.llf == pytest.approx(other.llf, rel=1e-11)
    assert one.scale_coefficients.params["sourceplant"] == pytest.approx(
        -other.scale_coefficients.params.iloc[1], rel=1e-6
    )
    assert one.scale_coefficients.bse["year"] * 5 == pytest.approx(
        other.scale_coefficients.bse.iloc[2], rel=1e-5
    )


def test_shift_and_units() -> None:
    plain = fit("dose", "source")
    moved = fit("dose", "source", es=mx.EffectSizes(7 + 0.1 * Y, 0.01 * V, data=DATA))
    assert moved.scale_coefficients.params["intercept"] == pytest.approx(
        plain.scale_coefficients.params["intercept"] + np.log(0.01), rel=1e-7
    )
    assert moved.scale_coefficients.params["sourceplant"] == pytest.approx(
        plain.scale_coefficients.params["sourceplant"], rel=1e-7
    )
    linear = fit("dose", "dose", link="identity")
    scaled = fit("dose", "dose", es=mx.EffectSizes(1e-3 * Y, 1e-6 * V, data=DATA), link="identity")
    np.testing.assert_allclose(scaled.tau2_by_effect, 1e-6 * linear.tau2_by_effect, rtol=1e-5)


def test_it_can_be_tested_against_one_variance() -> None:
    full, one = fit("dose", "source", "ML"), mx.RandomEffects(ES, "dose").fit(method="ML")
    found = mx.likelihood_ratio_test(full, one)
    assert found.df == 1
    assert found.statistic == pytest.approx(2 * (full.llf - one.llf), rel=1e-10)
    assert mx.likelihood_ratio_test(fit("dose", "source"), mx.RandomEffects(ES, "dose").fit()).df == 1
    two = fit("dose", "source + year", "ML")
    assert mx.likelihood_ratio_test(two, full).df == 1
    with pytest.raises(errors.NotNestedError):
        mx.likelihood_ratio_test(two, fit("dose", "source", "ML", link="identity"))
    assert mx.compare(full, one).to_frame()["parameters"].tolist() == [4, 3]


# -- coefficients -------------------------------------------------------------------------------------------


def test_standard_errors_come_from_the_second_derivatives_at_the_maximum() -> None:
    result = fit("dose", "source")
    z, x = result.scale_design.matrix(K), result.design.matrix(K)
    model = make_likelihood(x, Y, V, z, "log", True)
    at = model.at(result.scale_coefficients.beta)
    np.testing.assert_allclose(at.gradient, 0, atol=1e-8)
    np.testing.assert_allclose(result.scale_coefficients.cov, np.linalg.inv(-at.hessian), rtol=1e-7)


def test_both_parts_have_tests_of_their_own() -> None:
    result = fit("dose", "source + year", test="t")
    assert result.df_test == K - 2
    assert result.scale_coefficients.df_test == K - 3
    assert result.scale_test.df == (2, K - 3)
    assert list(result.scale_coefficients.test_terms().tests) == ["source", "year"]
    assert result.scale_coefficients.contrast("year").df[0] == K - 3
    assert result.scale_coefficients.vif().factor.size == 2
    assert "sourceplant" in str(result.scale_coefficients)
    assert "ScaleCoefficients" in repr(result.scale_coefficients)


def test_predictions_hold_the_variance_there() -> None:
    result = fit("dose", "source")
    np.testing.assert_allclose(result.predict()["tau2"], result.tau2_by_effect, rtol=1e-12)
    np.testing.assert_allclose(
        result.predict(DATA)["prediction_high"], result.predict()["prediction_high"], rtol=1e-9
    )
    row = result.predict([[4.0]], scale_moderators=[[1.0]]).iloc[0]
    assert row["estimate"] == pytest.approx(result.params["intercept"] + 4 * result.params["dose"])
    assert row["tau2"] == pytest.approx(np.exp(result.scale_coefficients.params.sum()))
    assert row["prediction_se"] == pytest.approx(np.sqrt(row["se"] ** 2 + row["tau2"]))
    assert len(fit(None, "dose").predict(scale_moderators=[[1.0], [2.0]])) == 2
    with pytest.raises(errors.InputError, match="location has moderators"):
        result.predict(scale_moderators=[[1.0]])
    with pytest.raises(errors.ShapeError, match="2 rows for the location and 3"):
        result.predict([[1.0], [2.0]], scale_moderators=[[1.0], [2.0], [3.0]])


def test_the_summary_has_its_five_parts() -> None:
    result = fit("dose", "source", test="t")
    assert list(result.summary().parts) == ["What was fitted", "Pooled", "Heterogeneity", "Data", "Fit"]
    text = str(result.summary())
    assert "moderators of log tau2" in text
    assert result.digest in text
    assert "Location-scale model" in result.to_html()
    assert f"k = {K}" in repr(result)


# -- the boundary -------------------------------------------------------------------------------------------


def still_group() -> mx.EffectSizes:
    """Return effects of which one source does not vary beyond chance."""
    y = np.where(DATA["source"] == "milk", 0.3 + 0.01 * np.cos(np.arange(K)), Y)
    return mx.EffectSizes(y, V, data=DATA)


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_a_group_without_heterogeneity_is_a_limit(method: str) -> None:
    es = still_group()
    with pytest.warns(errors.ScaleBoundaryWarning, match="12 rows of 24"):
        result = fit("0 + source", "source", method, es=es)
    milk = (DATA["source"] == "milk").to_numpy()
    assert (result.tau2_by_effect[milk] == 0).all()
    alone = mx.RandomEffects(es.select(~milk, "milk")).fit(method=method, test="z")
    np.testing.assert_allclose(result.tau2_by_effect[~milk], alone.tau2, rtol=1e-6)
    assert list(np.sign(result.scale_coefficients.params)) == [-1, 1]
    assert np.isinf(result.scale_coefficients.params).all()
    assert np.isnan(result.scale_coefficients.bse).all()
    assert np.isnan(result.scale_test.pvalue)
    with pytest.warns(errors.ScaleBoundaryWarning):
        other = fit("0 + source", 'C(source, base="plant")', method, es=es)
    assert other.llf == pytest.approx(result.llf, rel=1e-12)
    assert np.exp(other.scale_coefficients.params["intercept"]) == pytest.approx(alone.tau2, rel=1e-6)
    assert np.isfinite(other.scale_coefficients.bse["intercept"])
    assert other.scale_coefficients.params.iloc[1] == -np.inf
    assert other.predict([[1, 0], [0, 1]], scale_moderators=[[1.0], [0.0]])["tau2"].tolist() == pytest.approx(
        [0, alone.tau2]
    )
    with pytest.warns(errors.ScaleBoundaryWarning):
        linear = fit("0 + source", "source", method, es=es, link="identity")
    np.testing.assert_allclose(linear.tau2_by_effect, result.tau2_by_effect, rtol=1e-6, atol=1e-12)
    assert linear.llf == pytest.approx(result.llf, rel=1e-10)


def test_no_heterogeneity_at_all_is_a_limit_too() -> None:
    es = mx.EffectSizes(0.3 + 0.01 * np.cos(np.arange(K)), V, data=DATA)
    for link in ("log", "identity"):
        with pytest.warns(errors.ScaleBoundaryWarning, match="24 rows of 24"):
            result = fit(None, "dose", es=es, link=link)
        assert (result.tau2_by_effect == 0).all()
        equal = mx.RandomEffects(es).fit(method="EE")
        assert result.params.iloc[0] == pytest.approx(equal.estimate, rel=1e-12)
    with pytest.warns(errors.ScaleBoundaryWarning):
        assert fit(None, None, es=es).scale_coefficients.params.iloc[0] == -np.inf


@pytest.mark.parametrize("link", ["log", "identity"])
def test_no_random_start_climbs_higher(link: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.ScaleBoundaryWarning)
        result = fit("dose", "year", "ML", link=link)
    z = np.linalg.qr(result.scale_design.matrix(K))[0] * np.sqrt(K)
    model = make_likelihood(result.design.matrix(K), Y, V, z, link, False)
    constraints = np.empty((0, 2)) if link == "log" else z
    r = np.random.default_rng(5)
    best = -np.inf
    for _ in range(60):
        start = np.linalg.lstsq(z, np.log(V.mean()) + r.normal() * 2 + 3 * r.normal() * z[:, 1], rcond=None)[
            0
        ]
        if link == "identity":
            start = np.linalg.lstsq(z, np.exp(z @ start), rcond=None)[0]
            if (z @ start < 0).any():
                continue
        best = max(best, scale_maximum.climb(model.at, start, constraints).point.value)
    assert np.isfinite(best)
    assert result.maximum.value >= best - 1e-8


# -- refusals -----------------------------------------------------------------------------------------------


def test_an_ascent_without_a_certificate_is_an_error_with_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_maximum, "MAX_STEPS", 1)
    with pytest.raises(errors.ScaleConvergenceError) as caught:
        fit("dose", "source")
    assert len(caught.value.log) > 5
    assert any("log-likelihood" in line for line in caught.value.log)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ({"method": "DL"}, errors.UnknownChoiceError, "REML"),
        ({"test": "knapp-hartung"}, errors.UnknownChoiceError, "'t', 'z'"),
        ({"link": "probit"}, errors.UnknownChoiceError, "identity"),
        ({"scale": "sorce"}, errors.UnknownChoiceError, "'source'"),
        ({"es": mx.EffectSizes([0.1, 0.2, 0.4], [0.0, 0.1, 0.1])}, errors.InputError, "input:1"),
        (
            {"es": ES.select([0, 1, 2, 3], "few"), "location": "dose + I(dose^2)", "scale": "dose"},
            errors.TooFewStudiesError,
            "at least 5 effects",
        ),
        ({"scale": "0 + center(dose)", "link": "identity"}, errors.NotIdentifiableError, "intercept"),
    ],
)
def test_what_cannot_be_done_is_said(call: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        fit(**call)


def test_two_groups_of_two_are_just_enough() -> None:
    """As many effects as coefficients: each group is a random-effects model of its own, with REML."""
    y, v = [0.1, 1.9, -0.5, 1.4], [0.02, 0.05, 0.03, 0.04]
    es = mx.EffectSizes(y, v, data=pd.DataFrame({"group": ["a", "a", "b", "b"]}))
    both = mx.LocationScale(es, "0 + group", "0 + group").fit()
    for j, rows in enumerate(([0, 1], [2, 3])):
        alone = mx.RandomEffects(mx.EffectSizes(np.array(y)[rows], np.array(v)[rows])).fit()
        assert both.params.iloc[j] == pytest.approx(alone.estimate, rel=1e-8)
        assert both.tau2_by_effect[rows] == pytest.approx([alone.tau2] * 2, rel=1e-6)


@pytest.mark.parametrize("share", [1e-2, 1e-4, 1e-5])
def test_a_variance_that_is_tiny_but_not_zero_is_a_maximum(share: float) -> None:
    """With equal variances in a group of its own, tau2 is the sample variance less that of sampling."""
    spread = np.array([-1.0, 1.0, 0.5, -0.5, 0.0])
    first = spread * np.sqrt(0.1 * (1 + share) / spread.var(ddof=1))
    es = mx.EffectSizes(
        np.concatenate([first, 1 + 3 * spread]),
        [0.1] * 10,
        data=pd.DataFrame({"group": ["a"] * 5 + ["b"] * 5}),
    )
    result = mx.LocationScale(es, "0 + group", "0 + group").fit()
    assert result.tau2_by_effect[0] == pytest.approx(0.1 * share, rel=1e-4)
    assert result.tau2_by_effect[5] == pytest.approx(9 * spread.var(ddof=1) - 0.1, rel=1e-8)
    assert result.maximum.slope < 1e-4 * result.maximum.curvature


def test_a_limit_leaves_rows_alone_that_are_tiny_for_another_reason() -> None:
    """A steep slope makes two rows of group a tiny; only those of group b fall for ever."""
    y = [-0.38, 0.16, -0.01, 0.63, 0.03, 0.65, 0.9, 0.11, 0.54, -0.55]
    v = [0.08, 0.04, 0.19, 0.15, 0.06, 0.16, 0.18, 0.18, 0.03, 0.07]
    data = pd.DataFrame(
        {"x": [0.53, -0.73, 0.85, -0.34, 1.51, 1.96, -0.67, 0.3, 0.21, 1.55], "g": list("cbbaabbcaa")}
    )
    es = mx.EffectSizes(y, v, data=data)
    with pytest.warns(errors.ScaleBoundaryWarning, match="4 rows of 10"):
        result = mx.LocationScale(es, None, "x + g").fit("ML", test="z")
    np.testing.assert_array_equal(result.tau2_by_effect == 0, data["g"] == "b")
    assert result.scale_coefficients.params["gb"] == -np.inf
    rest = (data["g"] != "b").to_numpy()
    at_limit = result.llf
    for away in (10.0, 20.0):  # the likelihood rises towards the limit along gb
        tau2 = np.where(rest, result.tau2_by_effect, np.exp(-away))
        total = np.array(v) + tau2
        mean = (np.array(y) / total).sum() / (1 / total).sum()
        value = -0.5 * (np.log(2 * np.pi * total) + (np.array(y) - mean) ** 2 / total).sum()
        assert value < at_limit + 1e-12
    assert value == pytest.approx(at_limit, abs=1e-6)


def test_levels_and_dependence_are_minded() -> None:
    with pytest.raises(errors.InputError, match="fraction"):
        mx.LocationScale(ES).fit(level=95)
    es = mx.EffectSizes(Y, V, study=["a"] * 12 + ["b"] * 12)
    with pytest.warns(errors.DependentEffectsWarning, match="24 effects come from 2 studies"):
        mx.LocationScale(es)
    assert mx.LocationScale(es, dependence="accept").effects.m == 2


# -- one number, predictions by name, plain values ----------------------------------------------------------


def test_tau2_of_the_model_is_the_mean_over_the_effects() -> None:
    result = fit("dose", "source")
    assert result.tau2 == pytest.approx(result.tau2_by_effect.mean())
    plain = mx.RandomEffects(ES, "dose").fit(method="REML")
    assert result.i2 == pytest.approx(result.tau2 / (result.tau2 + plain.typical_variance))
    row = mx.compare(result).to_frame().iloc[0]
    assert (row["tau2"], row["i2"]) == (result.tau2, result.i2)


@pytest.mark.parametrize(("link", "method"), [("log", "wald-log"), ("identity", "wald")])
def test_with_one_variance_the_interval_is_that_of_the_random_effects_model(link: str, method: str) -> None:
    result, plain = fit("dose", None, "ML", link=link), mx.RandomEffects(ES, "dose").fit("ML")
    ends = plain.conf_int_heterogeneity(method).tau2
    row = result.heterogeneity().iloc[0]
    # that model takes the expected information, this one the observed
    assert row[["low", "high"]].tolist() == pytest.approx([ends.low, ends.high], rel=0.1)
    se = result.scale_coefficients.se[0]
    half = 1.959963984540054 * se
    expected = result.tau2 * np.exp([-half, half]) if link == "log" else result.tau2 + np.array([-half, half])
    assert row[["low", "high"]].tolist() == pytest.approx(np.maximum(expected, 0.0))


def test_the_interval_of_the_mean_is_by_the_delta_method() -> None:
    """Numerical derivatives of log mean tau2 by the scale coefficients."""
    result = fit("dose", "source + year")
    z, at = result.scale_design.matrix(K), result.scale_coefficients.beta

    def log_mean(a: np.ndarray) -> float:
        return float(np.log(np.exp(z @ a).mean()))

    step = 1e-6 / np.abs(z).max(axis=0)
    slope = np.array(
        [
            (log_mean(at + h * e) - log_mean(at - h * e)) / (2 * h)
            for h, e in zip(step, np.eye(3), strict=True)
        ]
    )
    half = 1.959963984540054 * np.sqrt(slope @ result.scale_coefficients.cov @ slope)
    row = result.heterogeneity().iloc[0]
    assert np.log(row["high"] / row["tau2"]) == pytest.approx(half, rel=1e-5)
    assert np.log(row["tau2"] / row["low"]) == pytest.approx(half, rel=1e-5)


def test_new_rows_by_name_serve_both_parts() -> None:
    result = fit("dose", "source")
    expected = result.predict([[4.0]], scale_moderators=[[1.0]])
    named = {"dose": 4.0, "source": "plant"}
    table = pd.DataFrame([named])
    for new in (named, pd.Series(named), table, table.assign(other=1)):
        pd.testing.assert_frame_equal(result.predict(new), expected)
    for scale in ({"source": "plant"}, pd.Series({"source": "plant"}), table[["source"]]):
        pd.testing.assert_frame_equal(result.predict({"dose": 4.0}, scale_moderators=scale), expected)
    one = fit(None, "dose").predict({"dose": [1.0, 2.0]})
    np.testing.assert_allclose(one["tau2"], fit(None, "dose").predict(scale_moderators=[1.0, 2.0])["tau2"])
    with pytest.raises(errors.UnknownChoiceError, match="doze"):
        result.predict({"doze": 4.0, "source": "plant"})
    with pytest.raises(errors.MetaexoError, match="source"):
        result.predict({"dose": 4.0})


def test_predictions_on_the_scale_of_the_measure_and_of_observed_effects() -> None:
    result = fit("dose", "source", es=mx.EffectSizes(Y, V, "RR", data=DATA))
    plain, shown = result.predict(), result.predict(scale="measure")
    np.testing.assert_allclose(shown["prediction_high"], np.exp(plain["prediction_high"]))
    np.testing.assert_allclose(shown["tau2"], plain["tau2"])
    observed = result.predict(sampling_variance=0.3)
    np.testing.assert_allclose(observed["prediction_se"] ** 2, plain["prediction_se"] ** 2 + 0.3)
    simple = result.predict(kind="simple")
    np.testing.assert_allclose(simple["prediction_se"], np.sqrt(plain["tau2"]))


def test_residuals_and_random_effects_are_those_of_full_matrices() -> None:
    result = fit("dose", "source")
    x, total = result.design.matrix(K), V + result.tau2_by_effect
    w = np.diag(1 / total)
    left = np.eye(K) - x @ np.linalg.solve(x.T @ w @ x, x.T @ w)
    table = result.residuals()
    np.testing.assert_allclose(table["residual"], left @ Y)
    np.testing.assert_allclose(table["se"], np.sqrt(np.diag(left @ np.diag(total) @ left.T)))
    np.testing.assert_allclose(result.residuals("pearson")["se"], np.sqrt(total))
    others = np.arange(K) != 5
    cov = np.linalg.inv(x[others].T @ w[np.ix_(others, others)] @ x[others])
    predicted = x[5] @ cov @ x[others].T @ (Y[others] / total[others])
    row = result.residuals("studentized").iloc[5]
    assert row["fitted"] == pytest.approx(predicted)
    assert row["se"] == pytest.approx(np.sqrt(total[5] + x[5] @ cov @ x[5]))
    share = result.tau2_by_effect / total
    np.testing.assert_allclose(result.random_effects()["estimate"], share * (left @ Y))
    plain = mx.RandomEffects(ES, "dose").fit(test="z")
    same = fit("dose", None).random_effects()
    np.testing.assert_allclose(same["se"], plain.random_effects()["se"], rtol=1e-6)
    np.testing.assert_allclose(same["high"], plain.random_effects()["high"], rtol=1e-6)


def test_the_plain_values_have_the_scale_and_what_is_infinite_as_a_word() -> None:
    with pytest.warns(errors.ScaleBoundaryWarning):
        found = fit("0 + source", "source", es=still_group()).to_dict()
    assert [row["estimate"] for row in found["scale_coefficients"]] == ["-inf", "inf"]
    assert found["components"][0]["low"] is None
    assert found["versions"]["metaexo"]
    assert found["certificate"]["zero"].count(True) == 12
