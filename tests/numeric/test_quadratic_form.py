"""Combinations of chi-square variables: known laws, published values, simulation, dense eigenvalues."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metaexo.numeric.distributions import Path, chi2_mixture, integrate, right_path
from metaexo.numeric.moment_estimators import distributions, generalised_q_interval
from metaexo.numeric.moments import generalised_q
from metaexo.numeric.problem import make_batch


@pytest.mark.parametrize("df", [1, 2, 3, 10, 300])
@pytest.mark.parametrize("tail", [1e-30, 1e-8, 0.1, 0.5, 0.9, 1 - 1e-8])
def test_equal_coefficients_give_a_chi_square(df: int, tail: float) -> None:
    below, above = chi2_mixture(3.0 * stats.chi2.isf(tail, df), [3.0], [df])
    assert above == pytest.approx(tail, rel=1e-12)
    assert below == pytest.approx(1 - tail, rel=1e-12)
    repeated = chi2_mixture(3.0 * stats.chi2.isf(tail, df), [3.0] * df)
    assert repeated == pytest.approx((below, above), rel=1e-12)


@pytest.mark.parametrize(
    ("coefficients", "counts", "x", "below"),
    [
        # Imhof 1961 (10.1093/biomet/48.3-4.419), table 1, printed to four digits
        ([0.6, 0.3, 0.1], [1, 1, 1], 0.1, 0.0542),
        ([0.6, 0.3, 0.1], [1, 1, 1], 0.7, 0.4936),
        ([0.6, 0.3, 0.1], [1, 1, 1], 2.0, 0.8760),
        ([0.6, 0.3, 0.1], [2, 2, 2], 0.2, 0.0065),
        ([0.6, 0.3, 0.1], [2, 2, 2], 2.0, 0.6002),
        ([0.6, 0.3, 0.1], [2, 2, 2], 6.0, 0.9839),
        ([0.6, 0.3, 0.1], [6, 4, 2], 1.0, 0.0027),
        ([0.6, 0.3, 0.1], [6, 4, 2], 5.0, 0.5648),
        ([0.6, 0.3, 0.1], [6, 4, 2], 12.0, 0.9912),
        ([0.6, 0.3, 0.1], [2, 4, 6], 1.0, 0.0334),
        ([0.6, 0.3, 0.1], [2, 4, 6], 3.0, 0.5804),
        ([0.6, 0.3, 0.1], [2, 4, 6], 8.0, 0.9913),
    ],
)
def test_published_values(coefficients: list[float], counts: list[int], x: float, below: float) -> None:
    assert chi2_mixture(x, coefficients, counts)[0] == pytest.approx(below, abs=6e-5)


def test_simulated_tails() -> None:
    rng = np.random.default_rng(8)
    lam = 10 ** rng.uniform(-3, 0, 7)
    draws = rng.chisquare(1, (400_000, 7)) @ lam
    for quantile in (0.02, 0.3, 0.8, 0.99):
        x = float(np.quantile(draws, quantile))
        error = np.sqrt(quantile * (1 - quantile) / len(draws))
        assert chi2_mixture(x, lam)[0] == pytest.approx(quantile, abs=4 * error)


@given(seed=st.integers(0, 100_000), spread=st.floats(0, 12), shift=st.floats(-1, 1))
def test_the_path_does_not_matter(seed: int, spread: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    lam = 10 ** rng.uniform(-spread, 0, int(rng.integers(1, 40)))
    lam /= lam.max()
    x = float(lam @ rng.chisquare(1, lam.size)) * 10**shift
    below, above = chi2_mixture(x, lam)

    def transform(s: np.ndarray) -> np.ndarray:
        return (-0.5 * np.log1p(2 * s[:, None] * lam).sum(axis=-1))[None]

    path = right_path(x, lam, np.ones_like(lam))
    other = integrate(transform, x, Path(1.1 * path.saddle, 0.5 * path.curvature, path.width))[0]
    assert below == pytest.approx(other, rel=1e-9, abs=1e-300)
    assert below + above == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("x", "expected"), [(-1.0, (0.0, 1.0)), (0.0, (0.0, 1.0))])
def test_nothing_lies_below_zero(x: float, expected: tuple[float, float]) -> None:
    assert chi2_mixture(x, [1.0, 2.0]) == expected


@pytest.mark.parametrize("p", [1, 2, 4])
@pytest.mark.parametrize("tau2", [0.0, 0.3, 20.0])
def test_the_generalised_q_has_the_distribution_of_its_eigenvalues(p: int, tau2: float) -> None:
    rng = np.random.default_rng(p)
    v, a = rng.uniform(0.01, 1, 11), rng.uniform(0.1, 10, 11)
    x = np.column_stack([np.ones(11), rng.normal(size=(11, p - 1))])
    y = rng.normal(0, np.sqrt(v + 0.2))
    q = distributions(make_batch(y, v, x if p > 1 else None, weights=a))[0]
    dense = np.diag(a) - (a[:, None] * x) @ np.linalg.solve((x.T * a) @ x, x.T * a)
    root = np.sqrt(v + tau2)
    eigenvalues = np.linalg.eigvalsh(root[:, None] * dense * root)[p:]
    below, slope = q.below(tau2)
    assert q.value == pytest.approx(y @ dense @ y, rel=1e-12)
    assert below == pytest.approx(chi2_mixture(q.value, eigenvalues)[0], rel=1e-10)
    step = 1e-6 * (1 + tau2)
    assert slope == pytest.approx((q.below(tau2 + step)[0] - below) / step, rel=1e-4)


def test_bounds_of_the_generalised_q_have_the_tail_probabilities() -> None:
    rng = np.random.default_rng(3)
    v, a = rng.uniform(0.01, 1, 9), rng.uniform(0.1, 10, 9)
    batch = make_batch(rng.normal(0, np.sqrt(v + 5.0)), v, weights=a)
    low, high = generalised_q_interval(batch, 0.9)
    q = distributions(batch)[0]
    assert 0 < low[0] < high[0]
    assert q.below(low[0])[0] == pytest.approx(0.95, abs=1e-12)
    assert q.below(high[0])[0] == pytest.approx(0.05, abs=1e-12)


def test_with_inverse_variances_at_zero_the_weighted_q_is_a_chi_square() -> None:
    rng = np.random.default_rng(4)
    v = rng.uniform(0.01, 1, 8)
    batch = make_batch(rng.normal(0, np.sqrt(v + 0.5)), v, weights=1 / v)
    statistic = generalised_q(batch, np.zeros(1))[0][0]
    assert distributions(batch)[0].below(0.0)[0] == pytest.approx(stats.chi2.cdf(statistic, 7), rel=1e-10)
