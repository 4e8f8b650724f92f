"""Intervals from draws, against those of R and of SciPy for the same draws."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special, stats

from metaexo.numeric.bootstrap import (
    INTERVALS,
    acceleration_of,
    acceleration_of_variance,
    intervals_of,
    quantiles_of_draws,
)

X = np.array([2.11, 0.37, 4.53, 1.74, 9.29, 3.32, 0.81, 5.16, 2.25, 7.78])
WITHOUT = np.array([np.delete(X, i).mean() for i in range(10)])
AT = np.arange(1, 1000)
Z = special.ndtri((AT * 0.6180339887498949) % 1)
DRAWS = 3.5 + 0.9 * Z + 0.15 * Z**2
SE_OF_DRAWS = 0.8 + 0.3 * ((AT * 0.7548776662466927) % 1)


def test_every_interval_is_that_of_the_package_boot() -> None:
    # boot.ci of boot 1.3 with these t, t0, var.t0 = 0.85^2 and var.t; L = 9 (mean(WITHOUT) - WITHOUT)
    found = intervals_of(X.mean(), DRAWS, 0.9, acceleration_of(WITHOUT), 0.85, SE_OF_DRAWS)
    boot = {
        "bca": (2.7081495005452, 6.3831843589135),
        "percentile": (2.4264475831019, 5.3866058435061),
        "basic": (2.0853941564939, 5.0455524168981),
        "studentized": (2.2491602881677, 4.9200284386701),
        "normal": (2.2989027575554, 5.3420327367898),
    }
    assert set(boot) == set(INTERVALS)
    for kind, ends in boot.items():
        assert found[kind][:2] == pytest.approx(ends, rel=1e-12), kind


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_bca_is_that_of_scipy_up_to_the_interpolation_between_two_draws(level: float) -> None:
    given = SimpleNamespace(bootstrap_distribution=DRAWS)
    theirs = stats.bootstrap(
        (X,), np.mean, n_resamples=0, bootstrap_result=given, method="BCa", confidence_level=level
    ).confidence_interval
    ours = intervals_of(X.mean(), DRAWS, level, acceleration_of(WITHOUT))["bca"]
    ordered = np.sort(DRAWS)
    for a, b in zip(theirs, ours[:2], strict=True):
        assert abs(np.interp(a, ordered, AT) - np.interp(b, ordered, AT)) <= 1


def test_quantiles_are_draws_where_the_rank_is_whole() -> None:
    ordered = np.sort(DRAWS)
    np.testing.assert_array_equal(quantiles_of_draws(ordered, np.array([0.025, 0.5])), ordered[[24, 499]])
    # between two draws: on the scale of normal quantiles
    between = quantiles_of_draws(ordered, np.array([0.0255]))[0]
    z = special.ndtri([0.025, 0.0255, 0.026])
    assert between == pytest.approx(ordered[24] + (z[1] - z[0]) / (z[2] - z[0]) * (ordered[25] - ordered[24]))
    np.testing.assert_array_equal(quantiles_of_draws(ordered, np.array([0.0, 1.0])), ordered[[0, -1]])
    assert quantiles_of_draws(np.array([3.0]), np.array([0.1]))[0] == 3.0


def test_monte_carlo_errors_are_the_spread_of_the_ends() -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(400):
        draws, se = rng.gamma(4, size=600), rng.uniform(1.5, 2.5, 600)
        found.append(intervals_of(3.2, draws, 0.9, 0.1, 2.0, se))
    for kind in INTERVALS:
        table = np.array([one[kind] for one in found])
        spread = table[:, :2].std(axis=0, ddof=1)
        np.testing.assert_allclose(np.sqrt((table[:, 2:] ** 2).mean(axis=0)), spread, rtol=0.2)


def test_acceleration_of_a_variance_is_the_known_one() -> None:
    # sigma^2 (1, ..., n): the score is a chi-square with n degrees of freedom, whose skewness is sqrt(8 / n)
    for n, s in ((5, 1.0), (20, 0.3)):
        assert acceleration_of_variance(np.eye(n) / s, np.eye(n)) == pytest.approx(np.sqrt(8 / n) / 6)
    # and by the cumulants of a score that is drawn
    rng = np.random.default_rng(2)
    a = rng.normal(size=(6, 6))
    m = a @ a.T + np.eye(6)
    change = np.diag(rng.uniform(0, 1, 6)) + 0.2
    u = rng.multivariate_normal(np.zeros(6), np.linalg.inv(m), 400_000)
    score = 0.5 * np.einsum("bi,ij,bj->b", u, change, u)
    assert acceleration_of_variance(np.linalg.inv(m), change) == pytest.approx(
        stats.skew(score) / 6, rel=0.03
    )


def test_there_is_no_interval_where_draws_do_not_tell() -> None:
    assert np.isnan(acceleration_of(np.full(5, 0.3)))
    assert np.isnan(acceleration_of(np.array([np.nan, 1.0])))
    still = 0.1 + 1e-17 * np.arange(
        50.0
    )  # equal up to rounding: an interval without width would say too much
    for ends in intervals_of(0.1, still, 0.95, 0.0, 1.0, np.ones(50)).values():
        assert np.isnan(ends).all()
    beyond = intervals_of(9.0, np.arange(50.0) / 10, 0.95, 0.0)
    assert np.isnan(beyond["bca"].low)
    assert np.isnan(intervals_of(9.0, np.array([1.0]), 0.95)["percentile"].low)
    assert np.isnan(intervals_of(np.nan, DRAWS, 0.95)["percentile"].low)
    # an acceleration so large that the levels would cross
    assert np.isnan(intervals_of(X.mean(), DRAWS, 0.95, 0.6)["bca"].low)


def test_ties_with_the_estimate_count_by_half() -> None:
    draws = np.array([0.0] * 40 + [1.0] * 20 + [2.0] * 40)
    shifted = intervals_of(1.0, draws, 0.9, 0.0)["bca"]
    assert shifted[:2] == intervals_of(1.0, draws, 0.9, 0.0)["percentile"][:2]
