"""Permutations and draws: what they keep together, and that they agree with what can be counted."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from metaexo.heterogeneity.attribution.draws import (
    PRIOR,
    FittedModel,
    Nested,
    hedges_tau2,
    permutation_p_value,
    permuted_studies,
    shrunk_mean,
)
from metaexo.heterogeneity.levels import basis_beyond, column_space
from metaexo.numeric.moment_estimators import hedges
from metaexo.numeric.problem import make_batch


def two_groups(k=7, first=3, seed=0):
    rng = np.random.default_rng(seed)
    group = (np.arange(k) < first).astype(float)
    v = rng.uniform(0.05, 0.3, k)
    y = rng.normal(0.8 * group, np.sqrt(v + 0.1))
    ones = np.ones((k, 1))
    return y, v, column_space(ones), column_space(np.column_stack([ones, group]))


def test_deals_of_single_effects_are_permutations():
    rows = permuted_studies(np.arange(9), 200, np.random.default_rng(1))
    assert (np.sort(rows, axis=1) == np.arange(9)).all()
    assert len({tuple(row) for row in rows}) == 200


def test_whole_studies_are_dealt_in_turn():
    study = np.array([2, 0, 0, 1, 2, 2])
    for row in permuted_studies(study, 100, np.random.default_rng(1)):
        donors = study[row]
        for s in range(3):
            mine = row[study == s]
            assert len(set(donors[study == s])) == 1
            rows = np.flatnonzero(study == donors[study == s][0])
            assert mine.tolist() == np.resize(rows, mine.size).tolist()
        assert sorted({int(donors[study == s][0]) for s in range(3)}) == [0, 1, 2]


def test_the_moment_estimate_is_that_of_the_kernels():
    y, v, _, more = two_groups(12, 5)
    batch = make_batch(y, v, more)
    assert hedges_tau2(y[None], v[None], more) == pytest.approx(hedges(batch).tau2, rel=1e-10)


@pytest.mark.parametrize("clustered", [False, True])
def test_the_statistic_is_a_wald_statistic_with_a_robust_covariance(clustered, monkeypatch):
    """By the textbook: b' C^-1 b with the sandwich of statsmodels (HC0, or by study without its factor)."""
    import statsmodels.api as sm

    rng = np.random.default_rng(2)
    k = 24
    one, two = rng.integers(0, 3, k), np.arange(k) % 2
    study = np.arange(k) // 2 if clustered else np.arange(k)
    y, v = rng.normal(size=k), rng.uniform(0.05, 0.3, k)
    less = np.column_stack([np.ones(k), two])
    more = np.column_stack([less, np.eye(3)[one][:, 1:]])
    weights = 1 / (v + hedges_tau2(y[None], v[None], column_space(more))[0])
    fit = sm.WLS(y, more, weights=weights).fit()
    how = {"cov_type": "HC0"}
    if clustered:
        how = {"cov_type": "cluster", "cov_kwds": {"groups": study, "use_correction": False}}
    robust = sm.WLS(y, more, weights=weights).fit(**how).cov_params()[2:, 2:]
    b = fit.params[2:]
    nested = Nested(column_space(less), column_space(more), study)
    monkeypatch.setattr("metaexo.heterogeneity.attribution.draws.PRIOR", 0.0)
    assert nested.statistics(y[None], v[None])[0] == pytest.approx(b @ np.linalg.solve(robust, b), rel=1e-8)
    # the part of the model: its covariance, with the weight of PRIOR studies for each of two coefficients
    monkeypatch.setattr("metaexo.heterogeneity.attribution.draws.PRIOR", PRIOR)
    x, e = more, y - fit.fittedvalues
    bread = np.linalg.inv(x.T * weights @ x)
    meat = np.zeros((4, 4))
    for s in np.unique(study):
        u = x[study == s].T @ (weights * e)[study == s]
        meat += np.outer(u, u)
    scale = weights @ e**2 / (k - 4)
    # coefficients beyond the smaller design: their rows of the bread times the scores
    m = np.linalg.inv(bread[2:, 2:])
    score = m @ b
    inner = m @ (bread @ meat @ bread)[2:, 2:] @ m + PRIOR * 2 / len(np.unique(study)) * scale * m
    wanted = score @ np.linalg.solve(inner, score)
    assert nested.statistics(y[None], v[None])[0] == pytest.approx(wanted, rel=1e-8)


def test_permutation_p_values_agree_with_all_permutations():
    y, v, less, more = two_groups()
    rows = np.array(list(permutations(range(7))))
    f = Nested(less, more, np.arange(7)).statistics(y[rows], v[rows])
    exact = (f >= f[0] * (1 - 1e-9)).mean()
    draws = 4000
    found = permutation_p_value(y, v, less, more, np.arange(7), draws, np.random.default_rng(3))
    assert abs(found - exact) < 4 * np.sqrt(exact * (1 - exact) / draws) + 1 / draws


def test_p_values_are_uniform_where_nothing_matters():
    found = []
    for seed in range(200):
        y, v, less, more = two_groups(10, 5, seed)
        y = np.random.default_rng([seed, 1]).normal(0, np.sqrt(v + 0.1))
        found.append(permutation_p_value(y, v, less, more, np.arange(10), 99, np.random.default_rng(seed)))
    error = 4 * np.sqrt(0.25 / 200)
    for share in (0.1, 0.5, 0.9):
        assert abs(np.mean(np.array(found) <= share) - share) < error


def test_an_exact_fit_is_no_division_by_zero():
    _, _, less, more = two_groups()
    group = (np.arange(7) < 3).astype(float)
    nested = Nested(less, more, np.arange(7))
    assert nested.statistics(group[None], np.zeros((1, 7)))[0] > 1e6
    assert nested.statistics(np.ones((1, 7)), np.zeros((1, 7)))[0] == 0


def test_draws_have_the_variances_of_the_model():
    study = np.array([0, 0, 1, 1, 2])
    v = np.array([0.1, 0.2, 0.3, 0.1, 0.4])
    model = FittedModel(np.arange(5.0), v, 0.5, 0.25, study)
    y = model.draw(40_000, np.random.default_rng(1))
    covariance = model.covariance()
    assert covariance[0, 1] == 0.5
    assert covariance[1, 2] == 0
    assert covariance[0, 0] == pytest.approx(0.85)
    assert np.cov(y.T) == pytest.approx(covariance, abs=4 * 1.2 / np.sqrt(40_000) * 1.5)
    assert y.mean(axis=0) == pytest.approx(np.arange(5.0), abs=4 * 1.1 / np.sqrt(40_000))


def test_coefficients_are_shrunk_by_the_noise_in_them():
    group = (np.arange(8) < 4).astype(float)[:, None]
    rng = np.random.default_rng(2)
    v = np.full(8, 0.2)
    clear = FittedModel(np.zeros(8), np.full(8, 1e-9), 0.0, 0.0, np.arange(8))
    y = 3 * group[:, 0] + rng.normal(0, 1e-5, 8)
    assert shrunk_mean([group], y, clear) == pytest.approx(3 * group[:, 0], abs=1e-4)
    noisy = FittedModel(np.zeros(8), v, 0.1, 0.0, np.arange(8))
    small = 0.05 * group[:, 0]
    assert np.ptp(shrunk_mean([group], small, noisy)) == 0
    # between: the variance that is left is the one made minus the noise
    some = 1.0 * group[:, 0]
    made, noise = 0.25, 0.3 * 2 / 4 / 4
    assert np.var(shrunk_mean([group], some, noisy)) == pytest.approx(made - noise, rel=1e-10)


def test_what_a_design_has_beyond_another_is_as_many_columns_as_it_has_more():
    """Rounding can leave singular values above a threshold: 5 of 6,000 simulated designs had one more."""
    rng = np.random.default_rng(4)
    for _ in range(300):
        one, two = rng.integers(0, 3, 10), rng.integers(0, 3, 10)
        less = column_space(np.column_stack([np.eye(3)[one], np.eye(3)[two]]))
        more = column_space(np.eye(9)[3 * one + two])
        beyond = basis_beyond(more, less)
        assert beyond.shape[1] == more.shape[1] - less.shape[1]
        assert np.abs(less.T @ beyond).max(initial=0) < 1e-12
        assert np.abs(beyond.T @ beyond - np.eye(beyond.shape[1])).max(initial=0) < 1e-12
