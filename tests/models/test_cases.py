"""Residuals, leverages, predictions of true effects and deletion, against dense algebra and single refits."""

from __future__ import annotations

import numpy as np
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.sensitivity import influence

Y = np.array([0.2, 0.9, -0.4, 1.3, 0.6, 0.1, -0.2, 1.1])
V = np.array([0.02, 0.05, 0.03, 0.04, 0.06, 0.02, 0.09, 0.05])
DOSE = np.array([1.0, 3.0, 1.0, 5.0, 2.0, 2.0, 1.0, 4.0])
MODELS = [{}, {"moderators": DOSE}, {"weights": 1 / V}, {"moderators": DOSE, "weights": np.arange(1.0, 9)}]


@pytest.mark.parametrize("model", MODELS)
def test_the_hat_matrix_makes_the_fitted_values(model: dict) -> None:
    fit = mx.RandomEffects(mx.EffectSizes(Y, V), **model).fit()
    np.testing.assert_allclose(fit.hat_matrix @ Y, fit.fitted_values, rtol=1e-10)
    np.testing.assert_allclose(np.diagonal(fit.hat_matrix), fit.hat_values, rtol=1e-12)
    assert fit.hat_values.sum() == pytest.approx(fit.design.p)


@pytest.mark.parametrize("model", MODELS)
def test_standard_errors_of_residuals_are_those_of_the_dense_matrices(model: dict) -> None:
    fit = mx.RandomEffects(mx.EffectSizes(Y, V), **model).fit()
    rest = np.eye(8) - fit.hat_matrix
    dense = rest @ np.diag(V + fit.tau2) @ rest.T
    frame = fit.residuals()
    np.testing.assert_allclose(frame["se"], np.sqrt(np.diagonal(dense)), rtol=1e-10)
    np.testing.assert_allclose(frame["z"], frame["residual"] / frame["se"], rtol=1e-12)
    np.testing.assert_allclose(frame["residual"], Y - fit.fitted_values)
    np.testing.assert_allclose(frame["fitted"], fit.fitted_values)
    np.testing.assert_allclose(fit.residuals("pearson")["se"], np.sqrt(V + fit.tau2))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("choices", [{}, {"method": "DL", "test": "z"}, {"test": "knapp-hartung-adhoc"}])
def test_deletion_is_refitting(model: dict, choices: dict) -> None:
    fit = mx.RandomEffects(mx.EffectSizes(Y, V), **model).fit(**choices)
    for i in (0, 3, 7):
        keep = np.arange(8) != i
        part = {name: values[keep] for name, values in model.items()}
        alone = mx.RandomEffects(mx.EffectSizes(Y[keep], V[keep]), **part).fit(**choices)
        assert fit.deletion.tau2[i] == pytest.approx(alone.tau2, rel=1e-9, abs=1e-14)
        np.testing.assert_allclose(fit.deletion.beta[i], alone.beta, rtol=1e-9)
        np.testing.assert_allclose(fit.deletion.cov[i], alone.cov, rtol=1e-8)
        assert fit.deletion.q[i] == pytest.approx(alone.q.statistic, rel=1e-10)
        x = fit.design.matrix(8)[i]
        assert fit.deletion.residual[i] == pytest.approx(Y[i] - x @ alone.beta, rel=1e-9)


def test_predictions_of_true_effects_lie_between_effect_and_fit() -> None:
    fit = mx.RandomEffects(mx.EffectSizes(Y, V, labels=list("abcdefgh")), DOSE).fit(test="z")
    table = fit.blup()
    assert list(table.index) == list("abcdefgh")
    low, high = np.minimum(Y, fit.fitted_values), np.maximum(Y, fit.fitted_values)
    assert ((table["estimate"] >= low) & (table["estimate"] <= high)).all()
    deviations = fit.random_effects()
    assert list(deviations["level"]) == list("abcdefgh")
    np.testing.assert_allclose(fit.fitted_values + deviations["estimate"], table["estimate"], rtol=1e-12)
    assert (fit.blup(level=0.5)["high"] < table["high"]).all()


def test_without_heterogeneity_every_study_is_predicted_by_the_mean() -> None:
    fit = mx.RandomEffects(mx.EffectSizes(Y, V)).fit(tau2=0.0, test="z")
    np.testing.assert_allclose(fit.blup()["estimate"], fit.estimate)
    np.testing.assert_allclose(fit.blup()["se"], fit.se[0])


def test_a_study_that_alone_tells_of_a_coefficient_has_no_deleted_fit() -> None:
    group = [1.0, 0, 0, 0, 0, 0, 0, 0]
    fit = mx.RandomEffects(mx.EffectSizes(Y, V), group).fit()
    deleted = fit.residuals("studentized")["z"]
    assert np.isnan(deleted.iloc[0])
    assert np.isfinite(deleted.iloc[1:]).all()
    assert fit.residuals()["z"].iloc[0] == 0
    assert influence(fit).influential[0]


def test_an_outlier_is_flagged_and_named() -> None:
    y = Y.copy()
    y[3] = 9.0
    es = mx.EffectSizes(y, V, labels=list("abcdefgh"))
    table = influence(mx.RandomEffects(es).fit()).to_frame()
    assert list(table.index[table["influential"]]) == ["d"]
    assert table["rstudent"].abs().idxmax() == "d"
    assert {"dfbetas intercept", "cooks_distance", "covariance_ratio"} <= set(table.columns)


def test_wrong_kinds_are_named() -> None:
    fit = mx.RandomEffects(mx.EffectSizes(Y, V)).fit()
    with pytest.raises(errors.UnknownChoiceError, match="studentized"):
        fit.residuals("studentised")
    with pytest.raises(errors.InputError, match="deletion"):
        _ = mx.RandomEffects(mx.EffectSizes(Y, V)).fit(test="kenward-roger").deletion


@pytest.mark.parametrize("model", MODELS)
def test_cooks_distance_is_the_move_of_the_coefficients(model: dict) -> None:
    es = mx.EffectSizes(Y, V)
    fit = mx.RandomEffects(es, **model).fit(method="DL", test="z")
    for i in (0, 3, 7):
        rest = np.arange(8) != i
        moderators = model.get("moderators")
        weights = model.get("weights")
        again = mx.RandomEffects(
            mx.EffectSizes(Y[rest], V[rest]),
            None if moderators is None else moderators[rest],
            weights=None if weights is None else weights[rest],
        ).fit(method="DL", test="z")
        move = fit.beta - again.beta
        assert fit.cooks_distance[i] == pytest.approx(move @ np.linalg.inv(fit.cov) @ move, rel=1e-8)
    np.testing.assert_allclose(fit.cooks_distance, influence(fit).cooks_distance, rtol=1e-10)
