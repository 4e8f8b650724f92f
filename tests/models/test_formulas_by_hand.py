"""Formulas computed a second time in plain NumPy: each test fails if its formula is changed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metaexo as mx
from metaexo.inputs import LevelOfCurve

Y = np.array([0.2, 0.9, -0.4, 1.3, 0.6, 0.1, -0.2, 1.1])
V = np.array([0.02, 0.05, 0.03, 0.04, 0.06, 0.02, 0.09, 0.05])
DOSE = np.array([1.0, 3.0, 1.0, 5.0, 2.0, 2.0, 1.0, 4.0])
TIME = np.array([2.0, 1.0, 4.0, 3.0, 5.0, 1.0, 2.0, 6.0])
ES = mx.EffectSizes(Y, V)
X = np.column_stack([np.ones(8), DOSE, TIME])


def likelihood(x: np.ndarray, tau2: float) -> float:
    """Return the log-likelihood at the weighted least-squares coefficients."""
    w = 1 / (V + tau2)
    b = np.linalg.solve((x.T * w) @ x, (x.T * w) @ Y)
    return float(stats.norm.logpdf(Y, x @ b, np.sqrt(V + tau2)).sum())


@pytest.mark.parametrize("p", [1, 3])
def test_q_profile_limits_are_those_of_equal_variances(p: int) -> None:
    # with one v, Q(tau2) is SS / (v + tau2) with k - p degrees of freedom (Viechtbauer 2007)
    v, x = 0.05, X[:, :p]
    es = mx.EffectSizes(Y, np.full(8, v))
    fit = mx.RandomEffects(es, None if p == 1 else X[:, 1:]).fit()
    ss = float(((Y - x @ np.linalg.lstsq(x, Y, rcond=None)[0]) ** 2).sum())
    found = fit.conf_int_heterogeneity("q-profile", LevelOfCurve(0.2)).tau2
    wanted = [max(0.0, ss / stats.chi2.ppf(q, 8 - p) - v) for q in (0.6, 0.4)]
    assert wanted[0] > 0
    assert tuple(found[1:]) == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_aicc_counts_coefficients_and_tau2_among_the_effects(method: str) -> None:
    # Hurvich and Tsai (1989): -2 l + 2 q n / (n - q - 1); the restricted likelihood has n = k - p
    for fit in (
        mx.RandomEffects(ES, DOSE).fit(method),
        mx.Multilevel(ES, "study", moderators=DOSE).fit(method),
    ):
        n = 8 if method == "ML" else 6
        assert fit.aicc == pytest.approx(-2 * fit.llf + 2 * 3 * n / (n - 3 - 1), rel=1e-12)
        assert fit.aic == pytest.approx(-2 * fit.llf + 6, rel=1e-12)
        assert fit.bic == pytest.approx(-2 * fit.llf + 3 * np.log(n), rel=1e-12)


def test_nagelkerke_is_cox_and_snell_over_its_largest_value() -> None:
    fit, null = mx.RandomEffects(ES, DOSE).fit("ML"), mx.RandomEffects(ES).fit("ML")
    l1, l0 = likelihood(X[:, :2], fit.tau2), likelihood(X[:, :1], null.tau2)
    cox_snell = 1 - np.exp(2 * (l0 - l1) / 8)
    assert fit.r2_by("cox-snell") == pytest.approx(cox_snell, rel=1e-9)
    assert fit.r2_by("nagelkerke") == pytest.approx(cox_snell / (1 - np.exp(2 * l0 / 8)), rel=1e-9)


@pytest.mark.parametrize("test", ["t", "knapp-hartung"])
def test_the_omnibus_f_is_the_wald_statistic_over_its_coefficients(test: str) -> None:
    fit = mx.RandomEffects(ES, X[:, 1:]).fit(test=test)
    w = 1 / (V + fit.tau2)
    cov = np.linalg.inv((X.T * w) @ X)
    b = cov @ ((X.T * w) @ Y)
    if test == "knapp-hartung":
        cov = cov * float(w @ (Y - X @ b) ** 2) / 5
    f = float(b[1:] @ np.linalg.solve(cov[1:, 1:], b[1:])) / 2
    omnibus = fit.moderator_test
    assert omnibus.statistic == pytest.approx(f, rel=1e-9)
    assert omnibus.df == (2, 5)
    assert omnibus.pvalue == pytest.approx(stats.f.sf(f, 2, 5), rel=1e-9)


def test_predictions_without_a_term_leave_its_variance_out() -> None:
    rng = np.random.default_rng(5)
    study, source = np.repeat(np.arange(10), 4), np.tile(np.arange(4), 10)
    y = (
        rng.normal(size=10)[study]
        + 0.8 * np.array([-1.5, 0.4, 1.2, -0.1])[source]
        + 0.3 * rng.normal(size=40)
    )
    es = mx.EffectSizes(
        y, np.full(40, 0.02), data=pd.DataFrame({"study": study.astype(str), "source": source.astype(str)})
    )
    fit = mx.Multilevel(es, ["study", "source"]).fit(test="z")
    values = fit.component_values
    assert min(values.values()) > 0.1
    row, fewer = fit.predict().iloc[0], fit.predict(without=["source"]).iloc[0]
    assert row["prediction_se"] ** 2 == pytest.approx(row["se"] ** 2 + sum(values.values()), rel=1e-10)
    assert fewer["prediction_se"] ** 2 == pytest.approx(row["se"] ** 2 + values["study"], rel=1e-10)
