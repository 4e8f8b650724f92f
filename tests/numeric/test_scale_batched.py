"""Location-scale models fitted together are those fitted one by one, limits with tau2 = 0 among them."""

from __future__ import annotations

import numpy as np
import pytest

from metaexo.numeric.scale.batched import many_maxima
from metaexo.numeric.scale.likelihood import make_likelihood
from metaexo.numeric.scale.maximum import maximise


@pytest.mark.parametrize(("k", "q", "restricted"), [(10, 2, True), (16, 3, False)])
def test_maxima_and_limits_are_those_of_the_search_for_single_problems(
    k: int, q: int, restricted: bool
) -> None:
    rng = np.random.default_rng(5)
    size = 8
    x = np.stack([np.column_stack([np.ones(k), rng.normal(size=k)]) for _ in range(size)])
    z = np.stack(
        [np.column_stack([np.ones(k), rng.integers(0, 2, k), rng.normal(size=k)]) for _ in range(size)]
    )
    z = z[..., :q]
    y, v = rng.normal(0, 0.5, (size, k)), rng.uniform(0.02, 0.2, (size, k))
    found = many_maxima(y, v, x, z, restricted, np.full(size, 0.1))
    assert found.certified.all()
    limits = 0
    for b in range(size):
        one = maximise(make_likelihood(x[b], y[b], v[b], z[b], "log", restricted), 0.1)
        assert found.value[b] == pytest.approx(one.value, rel=1e-9)
        np.testing.assert_array_equal(found.tau2[b] == 0, one.zero)
        finite = np.isfinite(one.coefficients)
        np.testing.assert_array_equal(np.isfinite(found.coefficients[b]), finite)
        np.testing.assert_allclose(found.coefficients[b][finite], one.coefficients[finite], rtol=1e-6)
        both = np.ix_(finite, finite)
        np.testing.assert_allclose(found.cov[b][both], one.cov[both], rtol=1e-5)
        limits += not finite.all()
    assert 0 < limits < size
