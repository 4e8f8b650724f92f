"""Influence of single effects, against fits without each of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

import metaexo as mx
from metaexo.sensitivity import influence
from tests.contract.test_results import EXAMPLES, example

Y = np.array([0.2, 0.9, -0.4, 1.3, 0.6, 0.1, -0.2, 1.1])
V = np.array([0.02, 0.05, 0.03, 0.04, 0.06, 0.02, 0.09, 0.05])
DOSE = np.array([1.0, 3.0, 1.0, 5.0, 2.0, 2.0, 1.0, 4.0])


@pytest.mark.parametrize("test", ["z", "knapp-hartung"])
def test_measures_are_those_of_fits_without_each_effect(test: str) -> None:
    # Viechtbauer and Cheung (2010): tau2 and scale without the effect, weights of all
    x = np.column_stack([np.ones(8), DOSE])
    fit = mx.RandomEffects(mx.EffectSizes(Y, V), DOSE).fit(test=test)
    found = influence(fit)
    for i in range(8):
        rest = np.arange(8) != i
        less = mx.RandomEffects(mx.EffectSizes(Y[rest], V[rest]), DOSE[rest]).fit(test=test)
        change = np.asarray(fit.beta) - np.asarray(less.beta)
        w = 1 / (V + less.tau2)
        scale = 1.0
        if test == "knapp-hartung":
            scale = float(w[rest] @ (Y[rest] - x[rest] @ less.beta) ** 2) / (7 - 2)
        spread = np.sqrt(scale * np.diagonal(np.linalg.inv((x.T * w) @ x)))
        assert found.dfbetas[i] == pytest.approx(change / spread, rel=1e-7)
        assert found.tau2[i] == pytest.approx(less.tau2, rel=1e-7, abs=1e-12)
        assert found.q[i] == pytest.approx(less.q.statistic, rel=1e-9)
        cooks = float(change @ np.linalg.solve(fit.cov, change))
        assert found.cooks_distance[i] == pytest.approx(cooks, rel=1e-6)
        ratio = np.linalg.det(less.cov) / np.linalg.det(fit.cov)
        assert found.covariance_ratio[i] == pytest.approx(ratio, rel=1e-6)
        hat = fit.hat_values[i]
        dffits = float(x[i] @ change) / np.sqrt(scale * hat * (V[i] + less.tau2))
        assert found.dffits[i] == pytest.approx(dffits, rel=1e-6)


DATA = pd.DataFrame({"study": list("aabbcdef"), "dose": DOSE})
ES = mx.EffectSizes(Y, V, data=DATA)


def parts_by_hand(fit, less, rows, total):
    """Return Cook's distance and the statistic of the deleted residuals of some rows."""
    x = fit.design.matrix(fit.k)[rows]
    change, residual = np.asarray(fit.beta) - less.beta, Y[rows] - x @ less.beta
    covariance = total + x @ less.cov @ x.T
    cooks = float(change @ np.linalg.solve(fit.cov, change))
    return change, cooks, float(residual @ np.linalg.solve(covariance, residual))


@pytest.mark.parametrize("moderators", [None, "dose"])
def test_clusters_of_one_level_are_left_out_together(moderators) -> None:
    fit = mx.RandomEffects(ES, moderators, dependence="accept").fit()
    found = influence(fit, "study")
    assert found.labels == tuple("abcdef")
    for g, name in enumerate("abcdef"):
        rows = np.flatnonzero(DATA["study"] == name)
        rest = np.setdiff1d(np.arange(8), rows)
        less = mx.RandomEffects(ES.select(rest), moderators, dependence="accept").fit()
        total = np.diag(less.test_scale * (V[rows] + less.tau2))
        change, cooks, statistic = parts_by_hand(fit, less, rows, total)
        assert found.cooks_distance[g] == pytest.approx(cooks, rel=1e-6)
        assert found.statistic[g] == pytest.approx(statistic, rel=1e-6)
        assert found.pvalue[g] == pytest.approx(chi2.sf(statistic, rows.size), rel=1e-6)
        x, w = fit.design.matrix(8), 1 / (V + less.tau2)
        spread = less.test_scale * np.diagonal(np.linalg.inv((x.T * w) @ x))
        assert found.dfbetas[g] == pytest.approx(change / np.sqrt(spread), rel=1e-6)
        assert found.q[g] == pytest.approx(less.q.statistic)
        assert found.hat[g] == pytest.approx(fit.hat_values[rows].sum())
    assert np.isnan(found.rstudent).tolist() == [True, True, False, False, False, False]
    single = influence(fit, [*"abcdefgh"])
    np.testing.assert_allclose(single.dffits, influence(fit).dffits)
    np.testing.assert_allclose(single.statistic, influence(fit).rstudent ** 2)


def test_user_supplied_weights() -> None:
    """influence(rma(yi, vi, weights=1:13)) and with mods=~ablat, test="knha", of metafor 3.8-1, dat.bcg."""
    es = mx.effect_sizes("RR", data=mx.load_dataset("bcg"))
    found = influence(mx.RandomEffects(es, weights=np.arange(1.0, 14.0)).fit(test="z"))
    np.testing.assert_allclose(found.dffits[[0, 6]], [-0.01869687677, -0.43935015016], rtol=1e-4)
    np.testing.assert_allclose(found.dfbetas[[0, 6], 0], [-0.01869687677, -0.43935015016], rtol=1e-4)
    found = influence(mx.RandomEffects(es, "latitude", weights=np.arange(1.0, 14.0)).fit())
    np.testing.assert_allclose(found.dffits[[0, 6]], [-0.007677253949, -1.522446167507], rtol=1e-4)
    np.testing.assert_allclose(
        found.dfbetas[[0, 6]],
        [[0.004548653371, -0.007533084801], [-1.693745034153, 1.279662480629]],
        rtol=1e-4,
    )


def test_multilevel_fits_have_all_measures() -> None:
    fit = mx.Multilevel(ES, moderators="dose").fit("ML")
    found = influence(fit)
    for g, name in enumerate("abcdef"):
        rows = np.flatnonzero(DATA["study"] == name)
        rest = np.setdiff1d(np.arange(8), rows)
        less = mx.Multilevel(ES.select(rest), moderators="dose").fit("ML")
        between, within = less.component_values.values()
        total = np.diag(V[rows] + within) + between
        _, cooks, statistic = parts_by_hand(fit, less, rows, total)
        assert found.cooks_distance[g] == pytest.approx(cooks, rel=1e-4)
        assert found.statistic[g] == pytest.approx(statistic, rel=1e-4)
        assert found.tau2[g] == pytest.approx(less.tau2, rel=1e-4)
        assert found.q[g] == pytest.approx(less.q.statistic, rel=1e-7)
        ratio = np.linalg.det(less.cov) / np.linalg.det(fit.cov)
        assert found.covariance_ratio[g] == pytest.approx(ratio, rel=1e-4)
        assert found.components[g] == pytest.approx([between, within], rel=1e-3, abs=1e-6)
    assert found.hat.sum() == pytest.approx(2.0)
    assert influence(mx.Multilevel(ES).fit()).weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_family_by_study(kind) -> None:
    fit = example(kind, next(iter(EXAMPLES[kind])))
    found = influence(fit, "study")
    assert found.labels == tuple("abcdef")
    again = mx.sensitivity.refit(fit, np.arange(8) != 4)
    at = [again.design.names.index(name) for name in fit.design.names]
    change = fit.beta - again.beta[at]
    assert found.cooks_distance[2] == pytest.approx(change @ np.linalg.solve(fit.cov, change), rel=1e-4)
    known = kind not in ("CensoredResults", "ImputedResults", "AttributionResults")
    if hasattr(fit, "has_estimate"):  # a study whose counts give no estimate has no residual
        known = not set(np.array(list("aabbcdef"))[~fit.has_estimate])
        assert np.isfinite(found.statistic).sum() == found.statistic.size - (not known)
    assert np.isfinite(found.statistic).all() == known
    assert found.to_frame().index.tolist() == list("abcdef")
    assert found.sentence in found.to_text()


@pytest.mark.filterwarnings("ignore::metaexo.errors.FewStudiesWarning")
def test_deleted_residuals_of_other_families_by_hand() -> None:
    """The covariance matrix of the left-out rows by the heterogeneity without them."""
    rows, rest = np.array([0, 1]), np.arange(2, 8)
    moment = mx.robust_variance(ES, correlation=0.6)
    less = mx.robust_variance(ES.select(rest), correlation=0.6)
    sd = np.sqrt(V[rows])
    total = 0.6 * np.outer(sd, sd) + less.tau2
    np.fill_diagonal(total, V[rows] + less.tau2)
    expected = parts_by_hand(moment, less, rows, total)[2]
    assert influence(moment).statistic[0] == pytest.approx(expected, rel=1e-6)

    robust = mx.Multilevel(ES).fit().robust()
    less = mx.Multilevel(ES.select(rest)).fit().robust()
    between, within = less.component_values.values()
    expected = parts_by_hand(robust, less, rows, np.diag(V[rows] + within) + between)[2]
    assert influence(robust).statistic[0] == pytest.approx(expected, rel=1e-4)

    es = mx.EffectSizes(Y, V, data=pd.DataFrame({"g": list("xxxxyyyy"), "lab": list("aabbccdd")}))
    strata = mx.stratify(es, "g", test="z")
    part = mx.RandomEffects(es.select([2, 3])).fit(test="z")
    residual = Y[rows] - part.estimate
    total = np.diag(V[rows] + part.tau2) + part.cov[0, 0]
    expected = float(residual @ np.linalg.solve(total, residual))
    assert influence(strata, "lab").statistic[0] == pytest.approx(expected, rel=1e-6)


def test_what_no_fit_can_be_made_without_is_said() -> None:
    data = pd.DataFrame({"g": ["a"] * 7 + ["b"], "study": list("stuvwxyz")})
    found = influence(mx.RandomEffects(mx.EffectSizes(Y, V, data=data), "g").fit())
    assert list(found.reasons) == [7]
    assert found.influential[7]
    assert "No fit is possible without 8." in found.sentence
    two = influence(mx.RandomEffects(mx.EffectSizes(Y[:2], V[:2])).fit())
    assert len(two.reasons) == 2
    assert two.sentence == "None of 2 effects can be judged. No fit is possible without 1, 2."
    assert not two.judged.any()
    data = pd.DataFrame({"g": list("aaaab"), "lab": list("xyxyz")})
    rest = mx.EffectSizes([0.1, 0.2, 0.25, 0.2, 0.2], [0.1] * 5, data=data)
    assert influence(mx.RandomEffects(rest, "g").fit(test="z"), "lab").sentence == (
        "None of 2 levels of lab that can be judged is influential. No fit is possible without z."
    )


def test_wrong_inputs_are_said() -> None:
    model = mx.RandomEffects(ES, dependence="accept")
    fit = model.fit()
    for wrong, error in (
        (lambda: influence(3), mx.errors.InputError),
        (lambda: influence(fit, refit=False), mx.errors.InputError),
        (lambda: influence(fit, refit="no"), mx.errors.InputError),
        (lambda: influence(fit, "lab"), mx.errors.UnknownChoiceError),
        (
            lambda: influence(model.fit(test="kenward-roger")),
            mx.errors.InputError,
        ),
    ):
        with pytest.raises(error):
            wrong()


def test_effects_without_any_spread_have_no_units_to_measure_a_move_in() -> None:
    found = influence(mx.RandomEffects(mx.EffectSizes(np.full(5, 0.3), V[:5])).fit())
    assert np.isnan(found.cooks_distance).all()
    assert found.tau2.tolist() == [0.0] * 5
    assert not found.influential.any()
