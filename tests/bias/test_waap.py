"""WAAP-WLS against statsmodels, and its behaviour at the edges."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

import metaexo as mx

Y = np.array([0.30, 0.20, 0.40, 0.90, 0.70, 0.25])
V = np.array([0.004, 0.006, 0.05, 0.09, 0.08, 0.007])


def wls(y: np.ndarray, v: np.ndarray) -> sm.regression.linear_model.RegressionResultsWrapper:
    return sm.WLS(y, np.ones(y.size), 1 / v).fit()


def test_the_mean_of_adequate_studies_is_weighted_least_squares() -> None:
    found = mx.bias.waap_wls(mx.EffectSizes(Y, V), level=0.9)
    every = wls(Y, V)
    adequate = np.sqrt(V) <= every.params[0] / 2.8
    assert found.adequate.tolist() == adequate.tolist() == [True, True, False, False, False, True]
    part = wls(Y[adequate], V[adequate])
    assert found.used == "WAAP"
    for one, wanted in ((found.wls, every), (found, part)):
        assert [one.estimate, one.se, one.pvalue] == pytest.approx(
            [wanted.params[0], wanted.bse[0], wanted.pvalues[0]]
        )
        assert [one.low, one.high] == pytest.approx(wanted.conf_int(0.1)[0])
    assert found.wls.dispersion == pytest.approx(every.scale)
    z = every.params[0] / np.sqrt(V)
    power = stats.norm.sf(1.959963984540054 - z) + stats.norm.sf(1.959963984540054 + z)
    np.testing.assert_allclose(found.power, power)
    assert found.median_power == pytest.approx(np.median(power))
    assert (found.power[adequate] > 0.7995).all()  # 2.8 is 2.8016 rounded
    assert "3 of 6 effects have adequate power" in found.sentence


def test_fewer_than_two_adequate_studies_leave_the_mean_of_all() -> None:
    found = mx.bias.waap_wls(mx.EffectSizes(Y, V * 20))
    assert not found.adequate.any()
    assert found.used == "WLS"
    assert [found.estimate, found.se] == [found.wls.estimate, found.wls.se]
    assert "too few" in found.sentence
    assert any("no remedy" in line for line in found.cautions())


def test_two_adequate_effects_of_one_study_are_not_two_studies() -> None:
    study = ["a", "a", "b", "c", "d", "a"]
    found = mx.bias.waap_wls(mx.EffectSizes(Y, V, study=study))
    assert found.adequate.sum() == 3
    assert (found.used, found.clusters) == ("WLS", 4)
    assert mx.bias.waap_wls(mx.EffectSizes(Y, V, study=study), cluster=None).used == "WAAP"


def test_effects_of_one_study_get_the_robust_variance() -> None:
    """CR2 of a weighted mean by dense matrices, with working variances v."""
    study = ["a", "b", "b", "c", "c", "d"]
    found = mx.bias.waap_wls(mx.EffectSizes(Y, V, study=study))
    w = 1 / V
    residuals = Y - found.wls.estimate
    total = 0.0
    for name in "abcd":
        rows = [i for i, one in enumerate(study) if one == name]
        root = np.diag(np.sqrt(V[rows]))
        spread = root @ (np.diag(V[rows]) - np.ones((len(rows),) * 2) / w.sum()) @ root
        values, vectors = np.linalg.eigh(spread)
        adjust = root @ vectors @ np.diag(values**-0.5) @ vectors.T @ root
        total += float(w[rows] @ adjust @ residuals[rows]) ** 2
    assert found.wls.se == pytest.approx(np.sqrt(total) / w.sum())


@pytest.mark.parametrize("factor", [1e-40, 1e-6, 1e6, 1e40])
def test_units_and_mirrors(factor: float) -> None:
    plain = mx.bias.waap_wls(mx.EffectSizes(Y, V))
    scaled = mx.bias.waap_wls(mx.EffectSizes(Y * factor, V * factor**2))
    mirror = mx.bias.waap_wls(mx.EffectSizes(-Y, V))
    assert [scaled.estimate, scaled.se, scaled.low] == pytest.approx(
        [plain.estimate * factor, plain.se * factor, plain.low * factor], rel=1e-9, abs=0
    )
    assert [mirror.estimate, mirror.low] == pytest.approx([-plain.estimate, -plain.high])
    np.testing.assert_allclose(scaled.power, plain.power)
    np.testing.assert_allclose(mirror.power, plain.power)


def test_edges() -> None:
    two = mx.bias.waap_wls(mx.EffectSizes([0.5, 0.6], [0.01, 0.01]))
    assert (two.used, two.wls.df) == ("WAAP", 1)
    assert any("1 degrees of freedom" in line for line in two.cautions())
    still = mx.bias.waap_wls(mx.EffectSizes([0.5] * 4, [0.01, 0.02, 0.01, 0.04]))
    assert still.estimate == 0.5
    assert np.isnan([still.se, still.low, still.high, still.pvalue]).all()
    assert not still.usable
    assert any("do not vary" in line for line in still.cautions())
    with pytest.raises(mx.errors.TooFewStudiesError):
        mx.bias.waap_wls(mx.EffectSizes([0.5], [0.01]))
    with pytest.raises(mx.errors.NotIdentifiableError, match="no value of no effect"):
        mx.bias.waap_wls(mx.effect_sizes("PLO", events=[3, 5, 9], n=[10, 12, 30]))
    ratio = mx.bias.waap_wls(mx.EffectSizes(Y, V, measure="RR"))
    assert f"{np.exp(ratio.estimate):.3f} (95% CI" in ratio.sentence


def test_power_is_measured_from_no_effect() -> None:
    """A probability of superiority of 0.5 is no effect."""
    found = mx.bias.waap_wls(mx.EffectSizes(Y + 0.5, V, measure="CLES"))
    plain = mx.bias.waap_wls(mx.EffectSizes(Y, V))
    np.testing.assert_allclose(found.power, plain.power)
    assert [found.estimate, found.pvalue] == pytest.approx([plain.estimate + 0.5, plain.pvalue])
    shifted, pet = (
        mx.bias.pet_peese(mx.EffectSizes(Y + 0.5, V, measure="CLES")),
        mx.bias.pet_peese(mx.EffectSizes(Y, V)),
    )
    assert [shifted.chosen, shifted.test_pvalue] == [pet.chosen, pytest.approx(pet.test_pvalue)]
