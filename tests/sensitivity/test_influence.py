"""Influence of single effects, against fits without each of them."""

from __future__ import annotations

import numpy as np
import pytest

import metaexo as mx
from metaexo.sensitivity import influence

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
