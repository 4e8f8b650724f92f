"""Batches with a design: cross-products that they share give what a basis of each problem's own gives."""

from __future__ import annotations

import numpy as np
import pytest

from metaexo.numeric.moments import _by_bases, _by_cross_products, _fit_by_bases, moments, weighted_fit
from metaexo.numeric.problem import make_batch

RNG = np.random.default_rng(4)
K = 12


def columns(p: int) -> np.ndarray:
    return np.column_stack([np.ones(K), 2010 + RNG.normal(size=(K, p - 1)), RNG.integers(0, 2, (K, 0))])


@pytest.mark.parametrize("p", [1, 2, 3, 6])
@pytest.mark.parametrize("counted", [False, True])
def test_moments_and_fits_agree(p: int, counted: bool) -> None:
    size = 30
    y, v = RNG.normal(size=(size, K)), RNG.uniform(0.01, 1.0, (size, K))
    n = RNG.integers(0, 3, (size, K)) + np.r_[np.ones(p + 2), np.zeros(K - p - 2)] if counted else None
    batch = make_batch(y, v, columns(p), n)
    tau2 = RNG.uniform(0, 0.5, size)
    quick, plain = _by_cross_products(batch, tau2), _by_bases(batch, tau2)
    for name in type(quick).__slots__:
        np.testing.assert_allclose(getattr(quick, name), getattr(plain, name), rtol=1e-10, err_msg=name)
    weights = 1 / (batch.v + tau2[:, None])
    fit, own = weighted_fit(batch, weights), _fit_by_bases(batch, batch.n * weights)
    for name in type(fit).__slots__:
        np.testing.assert_allclose(getattr(fit, name), getattr(own, name), rtol=1e-10, err_msg=name)


def test_problems_whose_rows_hardly_fix_the_coefficients_go_by_bases_of_their_own() -> None:
    """The second column differs in one row only, whose weight is a millionth of the others'."""
    x = np.column_stack([np.ones(K), np.r_[np.zeros(K - 1), 1.0]])
    y = RNG.normal(size=(3, K))
    v = np.full((3, K), 0.1)
    v[1, -1] = 5e4
    batch, tau2 = make_batch(y, v, x), np.zeros(3)
    alone = [moments(make_batch(y[b], v[b], x), np.zeros(1)) for b in range(3)]
    together = _by_cross_products(batch, tau2)
    for name in type(together).__slots__:
        expected = np.concatenate([getattr(one, name) for one in alone])
        np.testing.assert_allclose(getattr(together, name), expected, rtol=1e-12, err_msg=name)
