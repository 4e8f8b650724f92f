"""A batched call gives what single fits give."""

from __future__ import annotations

import numpy as np
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.models.univariate import batched


def problems() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    v = rng.uniform(0.01, 0.4, (6, 9))
    return rng.normal(0.2, np.sqrt(v + 0.1)), v


@pytest.mark.filterwarnings("ignore::metaexo.errors.EqualEffectsTestWarning")
@pytest.mark.parametrize("method", ["EE", "DL", "PM", "ML", "REML"])
@pytest.mark.parametrize("test", [None, "z", "t", "knapp-hartung-adhoc"])
def test_numbers_are_those_of_single_fits(method: str, test: str | None) -> None:
    y, v = problems()
    many = mx.fit_many(y, v, method=method, test=test, level=0.9)
    for b in range(len(y)):
        one = mx.RandomEffects(mx.EffectSizes(y[b], v[b])).fit(method=method, test=test, level=0.9)
        pooled = one.pooled()
        expected = [pooled.estimate, pooled.se, pooled.low, pooled.high, one.q.statistic]
        got = [many.estimate[b], many.se[b], many.low[b], many.high[b], many.q[b]]
        np.testing.assert_allclose(got, expected, rtol=1e-9)
        assert many.tau2[b] == pytest.approx(one.tau2, rel=1e-9, abs=1e-14)


def test_counts_leave_out_and_repeat() -> None:
    y, v = problems()
    counts = np.ones(y.shape)
    counts[0, :4] = 0
    counts[1, 0] = 2
    y[0, 0] = np.nan
    many = mx.fit_many(y, v, counts=counts)
    short = mx.RandomEffects(mx.EffectSizes(y[0, 4:], v[0, 4:])).fit()
    assert many.estimate[0] == pytest.approx(short.estimate, rel=1e-10)
    assert many.k[0] == 5
    twice = mx.RandomEffects(mx.EffectSizes(np.r_[y[1], y[1, 0]], np.r_[v[1], v[1, 0]])).fit()
    assert many.estimate[1] == pytest.approx(twice.estimate, rel=1e-10)
    assert many.se[1] == pytest.approx(twice.se[0], rel=1e-9)


def test_parts_side_by_side_do_not_change_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    y, v = problems()
    whole = mx.fit_many(y, v)
    monkeypatch.setattr(batched, "PART_ROWS", 1)
    np.testing.assert_allclose(mx.fit_many(y, v).tau2, whole.tau2, rtol=1e-10, atol=1e-15)


def test_bad_input_is_named() -> None:
    y, v = problems()
    v[2, 3] = 0.0
    with pytest.raises(errors.InputError, match="row 3, effect 4"):
        mx.fit_many(y, v)
    with pytest.raises(errors.ShapeError):
        mx.fit_many(y[0], v[0])
    v[2, 3] = 0.1
    counts = np.ones(y.shape)
    counts[4, 1:] = 0
    with pytest.raises(errors.TooFewStudiesError, match="row 5"):
        mx.fit_many(y, v, counts=counts)
    with pytest.raises(errors.UnknownChoiceError):
        mx.fit_many(y, v, test="wald")
