"""The proportion of true effects beyond a threshold, by formulas, by refitted samples, and at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import metaexo as mx

Y = np.array([0.6, 0.1, -0.2, 0.9, 0.4, 0.7, -0.1, 0.3])
V = np.array([0.02, 0.03, 0.04, 0.03, 0.02, 0.05, 0.02, 0.03])
STUDY = list("aabcdefg")


def effects(**choices: object) -> mx.EffectSizes:
    return mx.EffectSizes(Y, V, **choices)


@pytest.mark.parametrize("tail", ["above", "below"])
def test_the_parametric_proportion_and_its_delta_method(tail: str) -> None:
    fit = mx.RandomEffects(effects()).fit(level=0.9)
    found = mx.bias.proportion_beyond(fit, 0.2, tail, "parametric")

    def proportion(mean: float, tau2: float) -> float:
        above = stats.norm.sf(0.2, mean, np.sqrt(tau2))
        return float(above if tail == "above" else 1 - above)

    step = 1e-6
    by_mean = (proportion(fit.estimate + step, fit.tau2) - proportion(fit.estimate - step, fit.tau2)) / (
        2 * step
    )
    by_tau2 = (proportion(fit.estimate, fit.tau2 + step) - proportion(fit.estimate, fit.tau2 - step)) / (
        2 * step
    )
    se = np.hypot(by_mean * fit.se[0], by_tau2 * fit.tau2_se)
    assert found.proportion == pytest.approx(proportion(fit.estimate, fit.tau2))
    assert found.se == pytest.approx(se, rel=1e-6)
    assert found.low == pytest.approx(max(0, found.proportion - 1.6448536 * se), rel=1e-6)
    assert found.high == pytest.approx(min(1, found.proportion + 1.6448536 * se), rel=1e-6)
    assert found.interval == "delta"


def test_calibrated_effects_have_the_variance_of_the_true_ones() -> None:
    fit = mx.RandomEffects(effects()).fit(method="DL")
    found = mx.bias.proportion_beyond(fit, 0.25)
    wanted = fit.estimate + np.sqrt(fit.tau2 / (fit.tau2 + V)) * (Y - fit.estimate)
    np.testing.assert_allclose(found.calibrated, wanted)
    assert found.proportion == np.mean(wanted > 0.25)
    below = mx.bias.proportion_beyond(fit, 0.25, "below")
    assert below.proportion + found.proportion == pytest.approx(1)


@pytest.mark.parametrize("study", [None, STUDY])
def test_the_bootstrap_refits_each_sample_of_studies(study: list[str] | None) -> None:
    """The same samples, each fitted by itself; the BCa interval by its definition."""
    es = effects(study=study)
    names = list(range(8)) if study is None else study
    found = mx.bias.proportion_beyond(es, 0.25, draws=200, seed=3)
    plain = mx.bias.proportion_beyond(es, 0.25, draws=200, seed=3, interval="percentile")
    groups = {name: [i for i, one in enumerate(names) if one == name] for name in dict.fromkeys(names)}
    members = list(groups.values())
    m = len(members)

    def share(chosen: list[int]) -> float:
        rows = [i for one in chosen for i in members[one]]
        y, v = Y[rows], V[rows]
        if np.ptp(y) == 0:
            mean, tau2 = y[0], 0.0
        else:
            fit = mx.RandomEffects(mx.EffectSizes(y, v)).fit()
            mean, tau2 = fit.estimate, fit.tau2
        return float(np.mean(mean + np.sqrt(tau2 / (tau2 + v)) * (y - mean) > 0.25))

    times = np.random.default_rng(3).multinomial(m, np.full(m, 1 / m), size=200)
    draws = np.array([share(np.repeat(np.arange(m), row).tolist()) for row in times])
    deleted = np.array([share([j for j in range(m) if j != i]) for i in range(m)])
    assert [plain.low, plain.high] == pytest.approx(np.quantile(draws, [0.025, 0.975]))
    assert found.se == pytest.approx(draws.std(ddof=1))
    z0 = stats.norm.ppf(np.mean(draws < found.proportion) + np.mean(draws == found.proportion) / 2)
    d = deleted.mean() - deleted
    a = (d**3).sum() / (6 * (d**2).sum() ** 1.5)
    z = z0 + stats.norm.ppf([0.025, 0.975])
    tails = stats.norm.cdf(z0 + z / (1 - a * z))
    assert found.interval == "BCa"
    assert [found.low, found.high] == pytest.approx(np.quantile(draws, tails))


def test_few_samples_are_said() -> None:
    few = mx.bias.proportion_beyond(effects(), 0.25, draws=50)
    assert any("50 bootstrap samples" in line for line in few.cautions())
    assert not any("bootstrap" in line for line in mx.bias.proportion_beyond(effects(), 0.25).cautions())


def test_samples_in_parts_are_the_same_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mx.bias.proportion_beyond(effects(), 0.25)
    monkeypatch.setattr("metaexo.bias.beyond.CHUNK_ELEMENTS", 800)
    assert mx.bias.proportion_beyond(effects(), 0.25).se == whole.se


def test_the_same_seed_gives_the_same_interval() -> None:
    one, same, other = (mx.bias.proportion_beyond(effects(), 0.25, seed=seed) for seed in (0, 0, 1))
    assert (one.low, one.high, one.se) == (same.low, same.high, same.se)
    assert one.se != other.se


@pytest.mark.parametrize("factor", [1e-40, 1e-6, 1e6, 1e40])
@pytest.mark.parametrize("method", ["calibrated", "parametric"])
def test_units_shifts_and_mirrors(factor: float, method: str) -> None:
    names = ("proportion", "se", "low", "high")

    def of(y: np.ndarray, v: np.ndarray, threshold: float, tail: str = "above") -> list[float]:
        found = mx.bias.proportion_beyond(mx.EffectSizes(y, v), threshold, tail, method)
        return [getattr(found, name) for name in names]

    plain = of(Y, V, 0.25)
    assert of(Y * factor, V * factor**2, 0.25 * factor) == pytest.approx(plain, rel=1e-6)
    assert of(Y + 3, V, 3.25) == pytest.approx(plain, rel=1e-6)
    assert of(-Y, V, -0.25, "below") == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("method", ["calibrated", "parametric"])
def test_without_heterogeneity_all_or_none_are_beyond(method: str) -> None:
    fit = mx.RandomEffects(effects()).fit(method="EE")
    for threshold, share in ((0.2, 1.0), (0.5, 0.0)):
        found = mx.bias.proportion_beyond(fit, threshold, method=method)
        assert found.proportion == share
        assert any("tau2 is 0" in line for line in found.cautions())
    if method == "parametric":
        assert np.isnan([found.se, found.low, found.high]).all()
        assert "CI" not in found.sentence


def test_few_studies() -> None:
    two = mx.bias.proportion_beyond(mx.EffectSizes([0.1, 0.9], [0.02, 0.03]), 0.4)
    assert two.interval == "percentile"
    assert any("percentiles" in line for line in two.cautions())
    three = mx.bias.proportion_beyond(mx.EffectSizes([0.1, 0.9, 0.5], [0.02, 0.03, 0.01]), 0.4)
    assert 0 <= three.low <= three.proportion <= three.high <= 1
    one = mx.bias.proportion_beyond(mx.EffectSizes([0.1, 0.9, 0.5], [0.02, 0.03, 0.01], study=["a"] * 3), 0.4)
    assert one.interval == "none"
    assert any("one study" in line for line in one.cautions())
    with pytest.raises(mx.errors.TooFewStudiesError):
        mx.bias.proportion_beyond(mx.EffectSizes([0.1], [0.02]), 0.4)


def test_fits_with_given_parts_are_refitted_where_samples_are() -> None:
    fit = mx.RandomEffects(effects()).fit(tau2=0.5)
    found = mx.bias.proportion_beyond(fit, 0.2)
    assert found.tau2 == pytest.approx(mx.RandomEffects(effects()).fit().tau2)
    assert any("estimated by REML" in line for line in found.cautions())
    assert mx.bias.proportion_beyond(fit, 0.2, method="parametric").tau2 == 0.5


def test_wrong_inputs() -> None:
    for choices, error in (
        ({"tail": "up"}, mx.errors.UnknownChoiceError),
        ({"method": "normal"}, mx.errors.UnknownChoiceError),
        ({"interval": "bca"}, mx.errors.UnknownChoiceError),
        ({"threshold": np.nan}, mx.errors.InputError),
        ({"threshold": "0"}, mx.errors.InputError),
        ({"draws": 1}, mx.errors.InputError),
        ({"draws": 10**7}, mx.errors.InputError),
        ({"seed": -1}, mx.errors.InputError),
        ({"cluster": "nobody"}, mx.errors.InputError),
    ):
        with pytest.raises(error):
            mx.bias.proportion_beyond(effects(), **({"threshold": 0.2} | choices))


def test_ratios_are_shown_as_ratios() -> None:
    found = mx.bias.proportion_beyond(effects(measure="RR"), np.log(1.25), method="parametric")
    assert "of true effects are above 1.250" in found.sentence
