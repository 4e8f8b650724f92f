"""Scales there and back, translations of effects, the delta method."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from metaexo import effects
from metaexo.effects.conversions.delta import hessians, jacobian
from metaexo.effects.conversions.scales import TRANSFORMATIONS
from metaexo.errors import InputError, ShapeError, UnknownChoiceError

INSIDE = {
    "log": (0.1, 9.0),
    "exponential": (-2.0, 2.0),
    "square_root": (0.05, 9.0),
    "fisher_z": (-0.9, 0.9),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_there_and_back_and_both_slopes(name):
    scale = effects.get_transformation(name)
    x = np.linspace(*INSIDE.get(name, (0.05, 0.95)), 17)
    z = np.asarray(scale.forward(x))
    assert scale.inverse(z) == pytest.approx(x, rel=1e-12, abs=1e-14)
    for values, function, slope in ((x, scale.forward, scale.slope), (z, scale.inverse, scale.inverse_slope)):
        numeric = [jacobian(function, values[i : i + 1])[0, 0] for i in range(1, values.size - 1)]
        assert np.asarray(slope(values))[1:-1] == pytest.approx(numeric, rel=1e-6)
    assert np.asarray(scale.slope(x)) * np.asarray(scale.inverse_slope(z)) == pytest.approx(1.0, rel=1e-10)


@pytest.mark.parametrize("name", ["logit", "probit", "fisher_z", "arcsine", "log_reliability", "superiority"])
@pytest.mark.parametrize(("mu", "tau2"), [(0.4, 0.02), (0.9, 0.3)])
def test_the_mean_of_back_transformed_effects_by_adaptive_quadrature(name, mu, tau2):
    scale = effects.get_transformation(name)
    low, high = max(scale.low, mu - 9), min(scale.high, mu + 9)

    def weight(z: float) -> float:
        return float(np.exp(-((z - mu) ** 2) / (2 * tau2)))

    top = integrate.quad(lambda z: weight(z) * float(scale.inverse(np.asarray(z))), low, high, points=[mu])[0]
    expected = top / integrate.quad(weight, low, high, points=[mu])[0]
    assert effects.back_transformed_mean(mu, tau2, name) == pytest.approx(expected, rel=1e-7)


def test_mean_and_mode_of_a_log_normal_distribution():
    mu, tau2 = np.array([-1.0, 0.5]), np.array([0.2, 0.6])
    assert effects.back_transformed_mean(mu, tau2, "log") == pytest.approx(np.exp(mu + tau2 / 2), rel=1e-10)
    assert effects.back_transformed_mode(mu, tau2, "log") == pytest.approx(np.exp(mu - tau2), rel=1e-6)
    assert effects.back_transformed_mean(0.3, 0.0, "logit") == pytest.approx(1 / (1 + np.exp(-0.3)))
    assert effects.back_transformed_mode(0.3, 0.0, "logit") == pytest.approx(1 / (1 + np.exp(-0.3)))


def test_a_distribution_below_the_range_piles_up_at_its_end():
    assert effects.back_transformed_mode(-2.0, 0.01, "arcsine") == 0
    assert 0 < effects.back_transformed_mean(-2.0, 0.01, "arcsine") < 1e-3
    assert effects.back_transformed_mean(3.0, 0.01, "arcsine") > 0.999


@given(p=st.floats(0, 1), n=st.integers(2, 2000))
def test_double_arcsine_there_and_back(p, n):
    assert effects.inverse_double_arcsine(effects.double_arcsine(p, n), n) == pytest.approx(p, abs=1e-7)


def test_double_arcsine_beyond_its_ends_and_its_interval_keeps_its_order():
    assert effects.inverse_double_arcsine([-0.2, 0.0, 1.7], 20).tolist() == [0.0, 0.0, 1.0]
    grid = effects.inverse_double_arcsine(np.linspace(0, np.pi / 2, 200), effects.harmonic_mean([5, 20, 80]))
    assert (np.diff(grid) >= 0).all()


@given(rate=st.floats(0, 50), time=st.floats(0.5, 1000))
def test_rates_there_and_back(rate, time):
    z = effects.freeman_tukey_of_rate(rate, time)
    assert effects.inverse_freeman_tukey_rate(z, time) == pytest.approx(rate, rel=1e-9, abs=1e-9)
    assert effects.inverse_freeman_tukey_rate(0.0, time) == 0


@given(d=st.floats(-3, 3), n1=st.integers(3, 200), n2=st.integers(3, 200))
def test_correlations_with_group_membership_there_and_back(d, n1, n2):
    for sizes in ((), (n1, n2)):
        r = effects.point_biserial_of_d(d, *sizes)
        assert effects.d_of_point_biserial(r, *sizes) == pytest.approx(d, rel=1e-8, abs=1e-10)
        r = effects.biserial_of_d(d, *sizes)
        assert effects.d_of_biserial(r, *sizes) == pytest.approx(d, rel=1e-8, abs=1e-10)


@given(d=st.floats(0, 4))
def test_words_for_an_effect_fit_together(d):
    assert effects.superiority_of_d(d) + effects.superiority_of_d(-d) == pytest.approx(1)
    assert effects.d_of_superiority(effects.superiority_of_d(d)) == pytest.approx(d, abs=1e-9)
    assert effects.cliffs_delta(d) == pytest.approx(2 * effects.superiority_of_d(d) - 1)
    assert effects.overlap(d) == pytest.approx(2 * (1 - effects.cohens_u2(d)))
    assert effects.cohens_u1(d) == pytest.approx(1 - effects.overlap(d) / (2 - effects.overlap(d)))
    assert effects.cohens_u3(d) >= effects.cohens_u2(d)
    assert effects.success_rate(d) >= 0.5


@given(log_or=st.floats(-4, 4), risk=st.floats(0.01, 0.99))
def test_the_risk_of_an_odds_ratio_has_this_odds_ratio(log_or, risk):
    p = effects.risk_of_log_odds_ratio(log_or, risk)
    assert np.log(p / (1 - p)) - np.log(risk / (1 - risk)) == pytest.approx(log_or, abs=1e-9)
    for formula in ("pearson", "digby"):
        assert abs(effects.tetrachoric_of_log_odds_ratio(log_or, formula)) <= 1


def test_the_delta_method_is_exact_for_straight_lines_and_second_order_for_squares():
    cov = np.array([[0.04, 0.01], [0.01, 0.09]])
    line = effects.delta_method([1.0, 2.0], cov, lambda a, b: 3 * a - b)
    assert line.se[0] ** 2 == pytest.approx(9 * 0.04 + 0.09 - 6 * 0.01)
    assert line.z[0] == pytest.approx(1 / line.se[0])
    assert line.low[0] < 1 < line.high[0]
    # Var(X^2) = 4 mu^2 s^2 + 2 s^4 for normal X, and Cov(X^2, Y^2) = 4 mu nu c + 2 c^2
    squares = effects.delta_method([1.0, 2.0], cov, lambda a, b: [a**2, b**2], order=2)
    expected = [[4 * 0.04 + 2 * 0.04**2, 8 * 0.01 + 2e-4], [8 * 0.01 + 2e-4, 16 * 0.09 + 2 * 0.09**2]]
    assert squares.cov == pytest.approx(np.array(expected), rel=1e-8)


def test_derivatives_by_extrapolation():
    at = np.array([0.7, -1.3, 2.0])
    function = lambda x: np.array([np.exp(x[0] * x[1]), np.sin(x[2]) / x[0]])  # noqa: E731
    e = np.exp(at[0] * at[1])
    first = [[at[1] * e, at[0] * e, 0], [-np.sin(2) / 0.49, 0, np.cos(2) / 0.7]]
    assert jacobian(function, at) == pytest.approx(np.array(first), rel=1e-9, abs=1e-10)
    second = hessians(function, at)
    assert second[0, 0, 1] == pytest.approx(e * (1 + at[0] * at[1]), rel=1e-7)
    assert second[1, 2, 2] == pytest.approx(-np.sin(2) / 0.7, rel=1e-7)
    assert second[1] == pytest.approx(second[1].T)


def test_refusals():
    with pytest.raises(UnknownChoiceError, match="'logit'"):
        effects.get_transformation("logitt")
    with pytest.raises(InputError, match="order = 3"):
        effects.delta_method([1.0], [[1.0]], lambda a: a, order=3)
    with pytest.raises(ShapeError, match="p x p"):
        effects.delta_method([1.0, 2.0], [[1.0]], lambda a, b: a)


@given(p=st.floats(0.05, 0.95), v=st.floats(1e-5, 1e-2))
def test_variances_survive_the_way_to_a_scale_and_back(p, v):
    y, there = effects.transform([p], [v], "logit")
    inverse = effects.Transformation(
        "back",
        effects.get_transformation("logit").inverse,
        effects.get_transformation("logit").forward,
        effects.get_transformation("logit").inverse_slope,
        effects.get_transformation("logit").slope,
    )
    again, back = effects.transform(y, there, inverse)
    assert again[0] == pytest.approx(p)
    assert back[0] == pytest.approx(v)
