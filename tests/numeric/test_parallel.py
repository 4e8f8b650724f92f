"""Parts of a batch give the same numbers one by one, in threads and in processes."""

from __future__ import annotations

import joblib
import numpy as np
import pytest

import metaexo as mx
from metaexo.models.univariate import batched


def problems() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    v = rng.uniform(0.01, 0.3, (40, 6))
    return rng.normal(0.3, np.sqrt(v + 0.1)), v


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_workers_give_the_numbers_of_one_core(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    y, v = problems()
    whole = mx.fit_many(y, v)
    monkeypatch.setattr(batched, "PART_ROWS", 60)
    seen = []
    with joblib.parallel_config(backend=backend, n_jobs=2):
        seen.append(mx.fit_many(y, v))
    seen.append(mx.fit_many(y, v))
    for many in seen:
        np.testing.assert_allclose(many.tau2, whole.tau2, rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(many.low, whole.low, rtol=1e-9)
        assert (many.k == 6).all()


def test_a_fault_in_a_part_is_raised_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    y, v = problems()
    monkeypatch.setattr(batched, "PART_ROWS", 60)
    monkeypatch.setattr(batched, "_fit", lambda *_: 1 / 0)
    with joblib.parallel_config(backend="threading", n_jobs=2), pytest.raises(ZeroDivisionError):
        mx.fit_many(y, v)
