"""Kernels by cells against those by rows: the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.moments import CellBatch, cell_batch, cells_of, moments
from metaexo.numeric.problem import make_batch

LEVELS = [(5,), (4, 3), (3, 6), (4, 3, 3)]


def problems(levels, k=60, size=7, seed=1, spread=1.0):
    rng = np.random.default_rng(seed)
    factors = [np.unique(rng.integers(0, n, k), return_inverse=True)[1] for n in levels]
    y, v = rng.normal(0, 1, (size, k)), np.exp(rng.normal(-2, spread, (size, k)))
    x = np.hstack([np.ones((k, 1)), *(np.eye(codes.max() + 1)[codes][:, 1:] for codes in factors)])
    return y, v, x, factors


@pytest.mark.parametrize("levels", LEVELS)
def test_moments_by_cells_are_those_by_rows(levels):
    y, v, x, factors = problems(levels)
    by_rows, by_cells = make_batch(y, v, x), cell_batch(y, v, cells_of(factors))
    assert isinstance(by_cells, CellBatch)
    for tau2 in (np.zeros(7), np.linspace(0.01, 2, 7)):
        a, b = moments(by_rows, tau2), moments(by_cells, tau2)
        for name in a.__slots__:
            assert getattr(b, name) == pytest.approx(getattr(a, name), rel=1e-10), name


@pytest.mark.parametrize("method", ["REML", "ML", "DL", "PM", "HE", "SJ", "EB"])
@pytest.mark.parametrize("levels", LEVELS)
def test_every_estimator_gives_the_same_by_cells(levels, method):
    y, v, x, factors = problems(levels, seed=3)
    kernel = get_estimator(method).kernel
    by_rows = kernel(make_batch(y, v, x)).tau2
    assert kernel(cell_batch(y, v, cells_of(factors))).tau2 == pytest.approx(by_rows, rel=1e-8, abs=1e-12)


def test_redundant_columns_are_left_out():
    """The second factor follows from the first, the third partly does."""
    y, v, _, (one,) = problems((6,))
    two = one // 2
    three = np.where(one < 3, one % 3, np.arange(60) % 3)
    cells = cells_of([one, two, three])
    assert cells.z.shape[1] == 2
    x = np.hstack([np.eye(6)[one], np.eye(3)[three][:, 1:]])
    wanted = get_estimator("REML").kernel(make_batch(y, v, x)).tau2
    assert get_estimator("REML").kernel(cell_batch(y, v, cells)).tau2 == pytest.approx(wanted, rel=1e-8)


def test_variances_far_apart_are_left_to_the_kernels_of_rows():
    y, v, x, factors = problems((4, 3), spread=12.0)
    batch = cell_batch(y, v, cells_of(factors))
    assert not isinstance(batch, CellBatch)
    wanted = get_estimator("HE").kernel(make_batch(y, v, x)).tau2
    assert get_estimator("HE").kernel(batch).tau2 == pytest.approx(wanted, rel=1e-8)
