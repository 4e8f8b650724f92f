"""Limit meta-analysis against dense least squares, and its behaviour at the edges."""

from __future__ import annotations

import numpy as np
import pytest

import metaexo as mx

Y = [0.10, 0.20, 0.40, 0.30, 0.70, 0.90, 0.35, 0.05]
V = [0.01, 0.02, 0.04, 0.05, 0.08, 0.10, 0.03, 0.015]


def effects(y: object = Y, v: object = V, **choices: object) -> mx.EffectSizes:
    return mx.EffectSizes(y, v, **choices)


def radial(y: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return ordinary least squares of y/s on a constant and 1/s: coefficients, (X'X)^-1, RSS and R2."""
    x, z = np.column_stack([np.ones(y.size), 1 / s]), y / s
    beta = np.linalg.lstsq(x, z, rcond=None)[0]
    rss = float(((z - x @ beta) ** 2).sum())
    return beta, np.linalg.inv(x.T @ x), rss, 1 - rss / float(((z - z.mean()) ** 2).sum())


@pytest.mark.parametrize("method", ["REML", "DL", "PM"])
def test_all_numbers_are_those_of_two_radial_regressions(method: str) -> None:
    fit = mx.RandomEffects(effects()).fit(method=method, level=0.9)
    y, v, tau = np.array(Y), np.array(V), fit.tau
    (alpha, beta), inverse, *_ = radial(y, np.sqrt(v + tau**2))
    shrunken = beta + tau / np.sqrt(v + tau**2) * (y - beta)
    (_, limit), limit_inverse, _, r2 = radial(shrunken, np.sqrt(v))
    row = np.array([tau, 1.0])
    wanted = {
        "beta0": (beta + tau * alpha, np.sqrt(row @ inverse @ row)),
        "betalim": (limit, np.sqrt(limit_inverse[1, 1])),
        "mulim": ((shrunken / v).sum() / (1 / v).sum(), (1 / v).sum() ** -0.5),
    }
    for adjust, (estimate, se) in wanted.items():
        found = mx.bias.limit_meta_analysis(fit, adjust)
        assert [found.estimate, found.se] == pytest.approx([estimate, se], rel=1e-11)
        assert [found.low, found.high] == pytest.approx(
            [estimate - 1.6448536269514722 * se, estimate + 1.6448536269514722 * se], rel=1e-11
        )
        assert [found.alpha, found.beta] == pytest.approx([alpha, beta], rel=1e-11)
        assert [found.alpha_se, found.beta_se] == pytest.approx(np.sqrt(np.diagonal(inverse)), rel=1e-11)
        assert found.g2 == pytest.approx(1 - r2, rel=1e-9)
        np.testing.assert_allclose(found.shrunken, shrunken, rtol=1e-11)
        np.testing.assert_allclose(found.shrunken_se, np.sqrt(v))
        assert found.unadjusted == pytest.approx(fit.estimate, rel=1e-11)
    rss = radial(y, np.sqrt(v))[2]
    q = fit.q.statistic
    assert found.q.statistic == pytest.approx(q, rel=1e-11)
    assert found.q_residual.statistic == pytest.approx(rss, rel=1e-11)
    assert found.q_small_study.statistic == pytest.approx(q - rss, rel=1e-10)
    assert (found.q.df, found.q_small_study.df, found.q_residual.df) == ((7,), (1,), (6,))


def test_the_curve_ends_at_beta0() -> None:
    found = mx.bias.limit_meta_analysis(effects())
    assert found.curve(0.0) == pytest.approx(found.estimate)
    se = np.array([0.1, 0.3])
    wanted = found.beta + found.alpha * np.sqrt(se**2 + found.tau2)
    np.testing.assert_allclose(found.curve(se), wanted)
    with pytest.raises(mx.errors.InputError, match="negative"):
        found.curve([-0.1])


def test_without_heterogeneity_the_three_means_are_one_and_it_is_said() -> None:
    fit = mx.RandomEffects(effects()).fit(method="EE")
    each = [mx.bias.limit_meta_analysis(fit, adjust) for adjust in ("beta0", "betalim", "mulim")]
    (_, beta), *_ = radial(np.array(Y), np.sqrt(V))
    assert [found.estimate for found in each] == pytest.approx([beta] * 3, rel=1e-10)
    assert all(found.g2 == 0 for found in each)
    assert any("tau2 is 0" in line for line in each[0].cautions())


@pytest.mark.parametrize("factor", [1e-40, 1e-6, 1e6, 1e40])
@pytest.mark.parametrize("adjust", ["beta0", "betalim", "mulim"])
def test_units_shifts_and_mirrors(factor: float, adjust: str) -> None:
    plain = mx.bias.limit_meta_analysis(effects(), adjust)
    scaled = mx.bias.limit_meta_analysis(effects(np.array(Y) * factor, np.array(V) * factor**2), adjust)
    shifted = mx.bias.limit_meta_analysis(effects(np.array(Y) + 3), adjust)
    mirror = mx.bias.limit_meta_analysis(effects(-np.array(Y)), adjust)
    names = ("estimate", "se", "low", "high")
    of = lambda found: np.array([getattr(found, name) for name in names])  # noqa: E731
    np.testing.assert_allclose(of(scaled), of(plain) * factor, rtol=1e-7)
    np.testing.assert_allclose(of(shifted), of(plain) + np.array([3, 0, 3, 3]), rtol=1e-7)
    assert [mirror.estimate, mirror.se, mirror.low] == pytest.approx([-plain.estimate, plain.se, -plain.high])
    assert [scaled.g2, scaled.alpha] == pytest.approx([plain.g2, plain.alpha], rel=1e-6)


def test_three_studies_are_enough_and_equal_standard_errors_are_not() -> None:
    assert mx.bias.limit_meta_analysis(effects(Y[:3], V[:3])).q_residual.df == (1,)
    with pytest.raises(mx.errors.TooFewStudiesError, match="at least 3"):
        mx.bias.limit_meta_analysis(effects(Y[:2], V[:2]))
    with pytest.raises(mx.errors.NotIdentifiableError, match="equal"):
        mx.bias.limit_meta_analysis(effects(Y, [0.04] * 8))
    with pytest.raises(mx.errors.UnknownChoiceError, match="beta0"):
        mx.bias.limit_meta_analysis(effects(), "beta")


def test_ratios_are_shown_as_ratios() -> None:
    found = mx.bias.limit_meta_analysis(effects(measure="RR"))
    assert f"{np.exp(found.estimate):.3f} (95% CI" in found.sentence
    assert found.to_frame()["ratio"].iloc[0] == pytest.approx(np.exp(found.estimate))


def test_it_says_where_standard_errors_depend_on_effects() -> None:
    y, v = [0.1, 0.2, 0.4, 0.3], [0.01, 0.02, 0.04, 0.05]
    smd, md = (mx.bias.limit_meta_analysis(mx.EffectSizes(y, v, measure)) for measure in ("SMD", "MD"))
    assert any("correlated by construction" in one for one in smd.cautions())
    assert not any("correlated by construction" in one for one in md.cautions())
    assert smd.estimate == md.estimate
