"""The interval of Henmi and Copas: its pieces by definition, and its coverage of the quantile."""

from __future__ import annotations

import numpy as np
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.models import henmi_copas
from metaexo.models.univariate.intervals import _q_given_r, _tail

RNG = np.random.default_rng(9)
Y, V = RNG.normal(0.4, 0.5, 9), RNG.uniform(0.02, 0.3, 9)
ES = mx.EffectSizes(Y, V)


def test_moments_of_q_given_r_with_full_matrices() -> None:
    w, tau2, r = 1 / V, 0.17, 1.3
    s = np.diag(V + tau2)
    loading = w / np.sqrt(w.sum())
    form = np.diag(w) - np.outer(loading, loading)
    v = loading @ s @ loading
    c = s @ loading / v
    given = s - v * np.outer(c, c)
    mean = np.trace(form @ given) + r**2 * c @ form @ c
    variance = 2 * np.trace(form @ given @ form @ given) + 4 * r**2 * c @ form @ given @ form @ c
    found = _q_given_r(w, tau2, np.array([r]))
    assert found[0][0] == pytest.approx(mean, rel=1e-10)
    assert found[1][0] == pytest.approx(variance, rel=1e-10)


def test_the_tail_is_exact_where_q_is_a_gamma_variable() -> None:
    # without heterogeneity Q is chi-square and independent of R: simulation within four Monte Carlo errors
    w, u, draws = 1 / V, 1.5, 400_000
    rng = np.random.default_rng(7)
    q = rng.chisquare(w.size - 1, draws)
    w1, w2 = w.sum(), (w**2).sum() / w.sum()
    tau2 = np.maximum(0, (q - (w.size - 1)) / (w1 - w2))
    share = (rng.standard_normal(draws) / np.sqrt(1 + tau2 * w2) > u).mean()
    assert _tail(w, 0.0, u) == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / draws))


def test_the_interval_is_centred_on_the_fixed_effect_and_wider() -> None:
    found = henmi_copas(ES)
    fixed = mx.RandomEffects(ES).fit(method="EE")
    assert found.estimate == pytest.approx(fixed.estimate, rel=1e-12)
    assert found.high - found.estimate == pytest.approx(found.estimate - found.low, rel=1e-12)
    assert found.high - found.low > fixed.pooled().high - fixed.pooled().low
    assert found.tau2 == pytest.approx(mx.RandomEffects(ES).fit(method="DL").tau2, rel=1e-12)
    assert str(found).endswith("(Henmi-Copas)")


def test_it_follows_shift_scale_and_level() -> None:
    plain = henmi_copas(ES)
    moved = henmi_copas(mx.EffectSizes(3 - 1e-3 * Y, 1e-6 * V))
    assert moved.low == pytest.approx(3 - 1e-3 * plain.high, rel=1e-9)
    assert moved.quantile == pytest.approx(plain.quantile, rel=1e-9)
    assert henmi_copas(ES, 0.5).quantile < plain.quantile < henmi_copas(ES, 0.99).quantile
    fit = mx.RandomEffects(ES).fit(level=0.9)
    assert fit.henmi_copas() == henmi_copas(ES, 0.9)


def test_refusals() -> None:
    with pytest.raises(errors.TooFewStudiesError):
        henmi_copas(mx.EffectSizes([0.1], [0.1]))
    with pytest.raises(errors.InputError, match="input:2"):
        henmi_copas(mx.EffectSizes([0.1, 0.2], [0.1, 0.0]))
    with pytest.raises(errors.InputError, match="fraction"):
        henmi_copas(ES, 95)
    with pytest.raises(errors.InputError, match="moderators"):
        mx.RandomEffects(ES, np.arange(9.0)).fit().henmi_copas()
