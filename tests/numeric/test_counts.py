"""Counts with random effects: derivatives, integrals, maxima, and estimates that are infinite."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, gammaln, logsumexp

from metaexo.numeric.counts.formulations import formulate
from metaexo.numeric.counts.integrals import integrate
from metaexo.numeric.counts.kernels import Binomial, CountKernel, Hypergeometric, Poisson
from metaexo.numeric.counts.separation import direction_of_infinity
from metaexo.numeric.quadrature import gauss_hermite


def one(value: float) -> np.ndarray:
    return np.full((1, 1, 1), float(value))


KERNELS = {
    "logit": Binomial(one(2), one(9), "logit"),
    "probit": Binomial(one(2), one(9), "probit"),
    "cloglog": Binomial(one(2), one(9), "cloglog"),
    "poisson": Poisson(one(2), one(1.5)),
    "hypergeometric": Hypergeometric(one(2), one(9), one(12), one(6)),
    "large tables": Hypergeometric(one(500), one(4000), one(6000), one(1100)),
}


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_derivatives_of_kernels(kernel: CountKernel) -> None:
    eta, step = np.linspace(-5, 3, 23)[None, None, None], 1e-4
    here, above, below = (kernel.at(eta + move, 4) for move in (0.0, step, -step))
    for order in range(4):
        slope = (above[order] - below[order]) / (2 * step)
        np.testing.assert_allclose(here[order + 1], slope, rtol=1e-6, atol=1e-7)


def test_log_likelihoods_are_those_of_scipy() -> None:
    eta = np.array([-2.0, 0.3])[None, None, None]
    for link, p in (
        ("logit", expit(eta)),
        ("probit", stats.norm.cdf(eta)),
        ("cloglog", -np.expm1(-np.exp(eta))),
    ):
        value = Binomial(one(2), one(9), link).at(eta, 2)[0]
        np.testing.assert_allclose(value, stats.binom.logpmf(2, 9, p), rtol=1e-13)
    value = Poisson(one(2), one(np.log(7.0))).at(eta, 2)[0]
    np.testing.assert_allclose(value, stats.poisson.logpmf(2, 7 * np.exp(eta)), rtol=1e-13)
    value = Hypergeometric(one(2), one(9), one(12), one(6)).at(eta, 2)[0]
    np.testing.assert_allclose(value, stats.nchypergeom_fisher.logpmf(2, 21, 9, 6, np.exp(eta)), rtol=1e-10)


@pytest.mark.parametrize(
    ("x", "n1", "n2", "total"),
    [(3, 10_000, 20_000, 150), (4_000, 5_000, 6_000, 8_000), (3_996, 9_000, 9, 4_000)],
)
def test_windows_of_large_tables_lose_nothing(x: int, n1: int, n2: int, total: int) -> None:
    at = np.arange(max(0, total - n2), min(n1, total) + 1)
    own = Hypergeometric(one(x), one(n1), one(n2), one(total))
    logs = -gammaln(at + 1) - gammaln(n1 - at + 1) - gammaln(total - at + 1) - gammaln(n2 - total + at + 1)
    for eta in (-9.0, -0.4, 0.0, 2.0, 12.0):
        weights = np.exp(logs + at * eta - logsumexp(logs + at * eta))
        value, slope, curvature = (part.item() for part in own.at(one(eta), 2))
        if weights[at == x].item() > 1e-300:
            assert value == pytest.approx(np.log(weights[at == x].item()), rel=1e-8)
        mean = float(weights @ at)
        assert slope == pytest.approx(x - mean, rel=1e-8, abs=1e-7)
        assert -curvature == pytest.approx(float(weights @ (at - mean) ** 2), rel=1e-6)


HALF = np.array([0.5, -0.5])
MODELS = {
    "one effect": np.array([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]]),
    "own intercepts": np.stack(
        [np.column_stack([HALF, 0 * HALF, 1 + 0 * HALF]), np.column_stack([0 * HALF, HALF, 0 * HALF])]
    ),
    "two effects": np.stack(
        [
            np.column_stack([HALF, 0 * HALF, 1 + 0 * HALF, 0 * HALF]),
            np.column_stack([0 * HALF, 0 * HALF, 0 * HALF, 1 + 0 * HALF]),
            np.column_stack([0 * HALF, HALF, 0 * HALF, 0 * HALF]),
        ]
    ),
}


@pytest.mark.parametrize("points", [1, 2, 7])
@pytest.mark.parametrize("constants", MODELS.values(), ids=MODELS)
def test_derivatives_of_the_sum_with_moving_points(constants: np.ndarray, points: int) -> None:
    rng = np.random.default_rng(1)
    n = rng.integers(3, 40, (2, 3, 2)).astype(float)
    kernel = Binomial(np.floor(n * rng.random((2, 3, 2))), n)
    theta = rng.normal(size=(2, 3, constants.shape[-1]))
    here, step = integrate(kernel, constants, theta, points), 1e-5
    for j in range(theta.shape[-1]):
        move = step * np.eye(theta.shape[-1])[j]
        above, below = (integrate(kernel, constants, theta + s * move, points) for s in (1, -1))
        slope, bend = (above.value - below.value) / (2 * step), (above.gradient - below.gradient) / (2 * step)
        np.testing.assert_allclose(here.gradient[..., j], slope, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(here.hessian[..., j, :], bend, rtol=1e-5, atol=1e-6)


def test_integrals_are_those_of_a_dense_rule() -> None:
    constants = MODELS["two effects"]
    kernel = Binomial(np.array([[[3.0, 0.0]]]), np.array([[[14.0, 9.0]]]))
    theta = np.array([[[0.7, 1.1, -1.2, 0.8]]])
    nodes, weights = gauss_hermite(120, 2)
    eta = (constants[0] @ theta[0, 0])[:, None] + np.tensordot(
        constants[1:] @ theta[0, 0], nodes, axes=(0, 0)
    )
    dense = logsumexp(kernel.at(eta[None, None], 2)[0].sum(axis=2).ravel() + weights)
    assert integrate(kernel, constants, theta, 25).value.item() == pytest.approx(dense, abs=1e-10)
    assert abs(integrate(kernel, constants, theta, 1).value.item() - dense) > 1e-3  # Laplace is not exact


def many(size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    n = rng.integers(5, 150, (size, 6, 2)).astype(float)
    base = np.log(rng.uniform(0.01, 0.1, (size, 1, 1))) + 0.5 * rng.normal(size=(size, 6, 1))
    effect = rng.normal(size=(size, 1, 1)) + rng.normal(size=(size, 6, 1))
    return rng.binomial(n.astype(int), expit(base + effect * HALF)).astype(float), n


@pytest.mark.parametrize(
    "model",
    [
        "one-arm",
        "conditional-exact",
        "conditional-approximate",
        "unconditional-fixed",
        "unconditional-random",
    ],
)
def test_sparse_counts_have_a_certified_maximum_or_an_infinite_estimate(model: str) -> None:
    x, n = many(60)
    if model == "one-arm":
        x, n = x[..., :1], n[..., :1]
    columns, points = np.ones((1, 6, 1)), 1 if model == "unconditional-random" else 7
    infinite = np.logical_or(*formulate(model, x, n, columns, points=points).infinite())
    assert infinite.any() or model != "conditional-exact"
    found = formulate(model, x[~infinite], n[~infinite], columns, points=points).maximum()
    assert found.certified.all()
    # a batch is its problems one by one
    alone = formulate(model, x[~infinite][3:4], n[~infinite][3:4], columns, points=points).maximum()
    assert alone.value[0] == pytest.approx(found.value[3], rel=1e-10)
    # a study that is not counted is not there
    w = np.ones((1, 6))
    w[0, 2] = 0
    keep = w[0] > 0
    short = formulate(model, x[~infinite][:, keep], n[~infinite][:, keep], columns[:, keep], points=points)
    fine = ~np.logical_or(*short.infinite())
    long = formulate(
        model, x[~infinite][fine], n[~infinite][fine], columns, points=points, weights=w
    ).maximum()
    short = formulate(
        model, x[~infinite][fine][:, keep], n[~infinite][fine][:, keep], columns[:, keep], points=points
    )
    np.testing.assert_allclose(long.value, short.maximum().value, rtol=1e-8)


def test_directions_of_infinity() -> None:
    columns = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    none, every = np.zeros(4, dtype=bool), np.ones(4, dtype=bool)
    low = np.array([False, False, True, True])
    found = direction_of_infinity(columns, low, none, every)
    assert found is not None
    assert found[0] == pytest.approx(0.0, abs=1e-12)
    assert found[1] < 0  # the second group has no event: its coefficient goes to minus infinity
    assert direction_of_infinity(columns, np.array([False, True, True, False]), none, every) is None
    # without the last two rows the second coefficient is not identified
    assert direction_of_infinity(columns, none, none, np.array([True, True, False, False])) is not None
