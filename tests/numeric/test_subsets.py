"""Fits of all subsets against the kernel of single fits and plain sums, on random and on hard data."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.likelihood import log_likelihood
from metaexo.numeric.problem import make_batch
from metaexo.numeric.subsets import (
    EMPTY,
    FITTED,
    RANK,
    TOO_FEW,
    SubsetFits,
    Subsets,
    Tables,
    full_rank,
    random_members,
)
from metaexo.runs import run

RNG = np.random.default_rng(5)


def ordinary(k=9):
    v = RNG.uniform(0.01, 0.3, k)
    return RNG.normal(0.3, np.sqrt(v + 0.1)), v


def two_hills(k=9):
    """Precise effects alike, others far: many subsets have a likelihood with several maxima."""
    v = np.exp(RNG.normal(-3, 2, k))
    return np.where(v < np.median(v), 0.0, 3.0) + RNG.normal(0, np.sqrt(v)), v


def fits(y, v, method, *, draws=None, unit=None, **more):
    unit = np.arange(y.size) if unit is None else np.asarray(unit)
    return SubsetFits(y, v, unit, Subsets(int(unit.max()) + 1, draws), method, **more)


def all_of(task):
    return task(0, task.subsets.size)


def by_kernel(y, v, rows, method):
    """Return tau2, mean, Q and trace(P) of one subset by the kernel of single fits and plain sums."""
    y, v = y[rows], v[rows]
    tau2 = float(get_estimator(method).kernel(make_batch(y, v)).tau2[0])
    w, w0 = 1 / (v + tau2), 1 / v
    q = w0 @ (y - w0 @ y / w0.sum()) ** 2
    return tau2, w @ y / w.sum(), q, w0.sum() - (w0 @ w0) / w0.sum()


@pytest.mark.parametrize("method", ["EE", "DL", "REML", "ML", "PM", "PMM", "HE", "HS", "SJ"])
@pytest.mark.parametrize("data", [ordinary, two_hills])
def test_every_subset_is_the_single_fit(method, data):
    y, v = data(8)
    task = fits(y, v, method)
    found, members = all_of(task), task.subsets.members(0, 255)
    assert (found["state"] == FITTED).all()
    for i in range(255):
        rows = members[:, i]
        assert found["k"][i] == rows.sum()
        if rows.sum() == 1:
            assert found["beta"][i, 0] == pytest.approx(y[rows][0], rel=1e-13)
            assert [found[name][i] for name in ("tau2", "i2", "h2", "q")] == [0, 0, 1, 0]
            continue
        tau2, mean, q, trace = by_kernel(y, v, rows, method)
        df = rows.sum() - 1
        assert found["tau2"][i] == pytest.approx(tau2, rel=1e-9, abs=1e-13)
        assert found["beta"][i, 0] == pytest.approx(mean, rel=1e-10, abs=1e-12)
        assert found["q"][i] == pytest.approx(q, rel=1e-9, abs=1e-12)
        i2 = max(0, (q - df) / q) if method == "EE" else tau2 / (tau2 + df / trace)
        h2 = q / df if method == "EE" else tau2 * trace / df + 1
        assert found["i2"][i] == pytest.approx(i2, rel=1e-9, abs=1e-12)
        assert found["h2"][i] == pytest.approx(h2, rel=1e-9)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_hard_likelihoods_are_those_of_the_single_fits(method):
    """Many subsets with several maxima: each has the one that the kernel of single fits finds."""
    for _ in range(25):
        y, v = two_hills(8)
        task = fits(y, v, method)
        found, known = all_of(task), task.by_counts(task.subsets.members(0, 255))
        np.testing.assert_allclose(found["tau2"], known["tau2"], rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(found["beta"], known["beta"], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_no_tau2_has_a_higher_likelihood(method):
    """The maximum is the global one: no value on a dense grid does better, with several maxima too."""
    restricted, several = method == "REML", 0
    for _ in range(6):
        y, v = two_hills(8)
        task = fits(y, v, method)
        found, members = all_of(task), task.subsets.members(0, 255)
        enough = np.flatnonzero(found["k"] > 1)
        batch = make_batch(y, v, n=members[:, enough].T.astype(float))
        best = log_likelihood(batch, found["tau2"][enough], restricted)
        grid = np.concatenate([[0.0], np.geomspace(1e-5, 1e3, 60)])
        heights = np.array([log_likelihood(batch, np.full(enough.size, t), restricted) for t in grid])
        assert (best >= heights.max(axis=0) - 1e-9).all()
        inner = (heights[1:-1] > heights[:-2]) & (heights[1:-1] > heights[2:])
        several += int((inner.sum(axis=0) + (heights[0] > heights[1]) > 1).sum())
    assert several > 10  # else nothing was tried


def test_nearly_no_subset_is_left_to_the_other_kernel(monkeypatch):
    kernel, left = SubsetFits.by_counts, []

    def counted(task, members):
        left.append(members.shape[1])
        return kernel(task, members)

    monkeypatch.setattr(SubsetFits, "by_counts", counted)
    for data in (ordinary, two_hills):
        for method in ("REML", "ML", "PM"):
            all_of(fits(*data(11), method))
    assert sum(left) < 0.01 * 6 * 2047


def test_no_bit_depends_on_the_chunks():
    y, v = ordinary(13)
    for draws in (None, 6000):
        task = fits(y, v, "REML", draws=draws)
        size = task.subsets.size
        whole = run(task, size, block=2048, chunk=8192)
        other = pickle.loads(pickle.dumps(task))  # made anew, as in another process
        parts = [other(begin, min(begin + 2048, size)) for begin in range(0, size, 2048)][::-1]
        for name, values in whole.items():
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts[::-1]]), values)


def test_the_order_is_by_the_bits_of_who_is_left_out():
    members = Subsets(3).members(0, 7)
    assert members.T.astype(int).tolist() == [
        [1, 1, 1], [0, 1, 1], [1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 1, 0], [1, 0, 0],
    ]  # fmt: skip
    assert Subsets(3).size == 7


def test_q_keeps_its_digits_in_subsets_that_are_alike_and_far_from_the_others():
    y = np.array([0.0, 0.0, 0.0, 1000.0, 1000.001])
    v = np.array([0.1, 0.2, 0.1, 0.5, 0.5])
    found = all_of(fits(y, v, "DL"))
    assert found["q"][0b00111] == pytest.approx(1e-6, rel=1e-9)  # of effects 4 and 5
    assert found["q"][0b11000] == 0


def test_random_subsets_hold_each_unit_half_of_the_time_and_empty_ones_are_seen():
    members = random_members(1, 0, 40_000, 70)
    assert np.abs(members.mean(axis=1) - 0.5).max() < 4 * 0.5 / np.sqrt(40_000)
    np.testing.assert_array_equal(random_members(1, 100, 150, 70), members[:, 100:150])
    y, v = ordinary(3)
    found = all_of(fits(y, v, "REML", draws=400))
    held = random_members(0, 0, 400, 3).sum(axis=0)
    assert ((found["state"] == EMPTY) == (held == 0)).all()
    assert (held == 0).any()
    assert np.isnan(found["beta"][held == 0, 0]).all()


def test_random_subsets_have_the_numbers_of_all_subsets():
    y, v = ordinary(6)
    for method in ("DL", "REML"):
        everything, some = fits(y, v, method), fits(y, v, method, draws=300)
        held = some.subsets.members(0, 300)
        number = 63 - (held * 2 ** np.arange(6)[:, None]).sum(axis=0)
        found, known = all_of(some), all_of(everything)
        there = number < 63
        for name in ("beta", "tau2", "i2", "h2", "q"):
            np.testing.assert_allclose(found[name][there], known[name][number[there]], rtol=1e-10, atol=1e-13)


def test_effects_of_one_unit_go_together():
    y, v = ordinary(8)
    unit = np.array([0, 1, 0, 2, 3, 3, 1, 3])
    for method in ("DL", "REML", "HE"):
        found = all_of(fits(y, v, method, unit=unit))
        assert found["tau2"].size == 15
        rows = np.isin(unit, [1, 3])  # units 0 and 2 are left out: bits 1 and 4
        tau2, mean, q, _ = by_kernel(y, v, rows, method)
        assert found["k"][0b0101] == 5
        for name, value in (("tau2", tau2), ("q", q)):
            assert found[name][0b0101] == pytest.approx(value, rel=1e-9, abs=1e-13)
        assert found["beta"][0b0101, 0] == pytest.approx(mean, rel=1e-10)


def test_scales_and_shifts():
    y, v = ordinary(7)
    for method in ("DL", "REML", "PM"):
        here = all_of(fits(y, v, method))
        for c, shift in ((1e-5, 0.0), (2e4, 0.0), (1.0, 1e4)):
            there = all_of(fits(c * y + shift, c * c * v, method))
            tolerance = 1e-9 if not shift else 1e-6
            np.testing.assert_allclose(there["tau2"], c * c * here["tau2"], rtol=tolerance, atol=1e-9 * c * c)
            np.testing.assert_allclose(there["beta"], c * here["beta"] + shift, rtol=1e-10)
            np.testing.assert_allclose(there["i2"], here["i2"], rtol=tolerance, atol=1e-9)


def test_equal_effects_do_not_vary():
    v = np.array([0.048, 0.027, 0.03, 0.029, 0.029, 0.064])
    for method in ("EE", "DL", "REML", "ML", "PM"):
        found = all_of(fits(np.full(6, 0.25), v, method))
        assert not found["tau2"].any()
        assert not found["q"].any()
        assert (found["beta"] == 0.25).all()


def test_a_given_tau2_stays():
    y, v = ordinary(5)
    found = all_of(fits(y, v, "REML", tau2=0.07))
    w = 1 / (v + 0.07)
    assert found["tau2"] == pytest.approx(0.07, rel=1e-14)
    assert found["beta"][0, 0] == pytest.approx(w @ y / w.sum())
    assert found["beta"][1, 0] == pytest.approx(w[1:] @ y[1:] / w[1:].sum())


def test_designs_of_subsets_without_full_rank_are_marked():
    y, v = ordinary(8)
    group = np.array([0, 0, 0, 1, 1, 1, 1, 1.0])
    x = np.column_stack([np.ones(8), group])
    found = all_of(fits(y, v, "DL", x=x))
    members = Subsets(8).members(0, 255)
    k, both = members.sum(axis=0), members[:3].any(axis=0) & members[3:].any(axis=0)
    expected = np.where(k < 3, TOO_FEW, np.where(both, FITTED, RANK))
    np.testing.assert_array_equal(found["state"], expected)
    i = int(np.flatnonzero(expected == FITTED)[40])
    rows = members[:, i]
    tau2 = found["tau2"][i]
    w = 1 / (v[rows] + tau2)
    means = [np.average(y[rows][group[rows] == g], weights=w[group[rows] == g]) for g in (0, 1)]
    np.testing.assert_allclose(found["beta"][i], [means[0], means[1] - means[0]], rtol=1e-10)
    single = get_estimator("DL").kernel(make_batch(y[rows], v[rows], x[rows]))
    assert tau2 == pytest.approx(float(single.tau2[0]), rel=1e-10, abs=1e-14)
    assert np.isnan(found["beta"][expected != FITTED]).all()


def test_full_rank_by_singular_values():
    x = np.column_stack([np.ones(6), [2000.0, 2000, 2000, 2000 + 1e-4, 2001, 2002]])
    counts = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 0], [0, 0, 0, 0, 1, 1.0]])
    assert full_rank(x, counts).tolist() == [False, True, True]


def test_the_bound_of_the_grid_holds_for_every_subset():
    """The last tau2 of the grid lies above every solution."""
    for _ in range(5):
        y, v = two_hills(9)
        task = fits(y, v, "REML")
        tables = Tables(task)
        assert all_of(task)["tau2"].max() <= tables.grid[-1] * tables.length**2
