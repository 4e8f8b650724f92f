"""The mixed-model kernel against brute force: likelihood, gradient, least squares, blocks against dense."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from metaexo.numeric.mixed.likelihood import evaluate, factorise, generalised_fit
from metaexo.numeric.mixed.maximum import MixedMaximum, maximise
from metaexo.numeric.mixed.problem import MixedProblem
from metaexo.numeric.mixed.structures import (
    SPATIAL,
    Diagonal,
    Heterogeneous,
    Homogeneous,
    Structure,
    Unstructured,
    compound,
    power,
    spatial,
)
from metaexo.numeric.mixed.terms import Term, intercept_term

K = 40
POINT = np.array(
    [0.1, 0.3, 0.1, 0.2, 0.05, -0.1, 0.2, 0.3, 0.2, 0.1, 0.5, 0.4, 0.3, -0.3, 0.2, 0.1, 0.3], dtype=float
)


def codes(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1].astype(np.intp)


@pytest.fixture(scope="module")
def parts() -> dict:
    rng = np.random.default_rng(1)
    study, source, inner = codes(rng.integers(0, 9, K)), codes(rng.integers(0, 4, K)), rng.integers(0, 3, K)
    x = rng.normal(size=K)
    square = rng.normal(size=(4, 4))
    relation = square @ square.T
    size = np.sqrt(np.diagonal(relation))
    relation /= np.outer(size, size)
    steps = np.abs(np.subtract.outer(np.arange(3), np.arange(3)))
    levels, one = int(study.max()) + 1, np.ones((K, 1))
    terms = (
        intercept_term(np.arange(K), K, Diagonal(1, True)),
        Term(study, levels, inner[:, None], one, Unstructured(3)),
        Term(study, levels, inner[:, None], one, Heterogeneous(3, power(steps, True))),
        Term(
            study,
            levels,
            np.tile([0, 1], (K, 1)),
            np.column_stack([np.ones(K), x]),
            Heterogeneous(2, compound(2, -1.0)),
        ),
        intercept_term(source, 4, Diagonal(1, True), relation),
        Term(source, 4, inner[:, None], one, Homogeneous(3, compound(3, -0.5))),
    )
    v = np.diag(rng.uniform(0.1, 0.3, K))
    first = np.flatnonzero(study == 0)
    v[np.ix_(first, first)] += 0.05
    return {
        "terms": terms,
        "v": v,
        "x": np.column_stack([np.ones(K), rng.normal(size=K)]),
        "y": rng.normal(size=K),
    }


def problem(parts: dict, limit: int) -> MixedProblem:
    return MixedProblem(parts["y"], parts["x"], sparse.csr_array(parts["v"]), parts["terms"], limit)


def dense(one: MixedProblem, theta: np.ndarray) -> np.ndarray:
    m = one.v.toarray()
    for term, g in zip(one.terms, one.matrices(theta), strict=True):
        z = term.z.toarray()
        relation = np.eye(term.levels) if term.relation is None else term.relation
        m = m + z @ np.kron(relation, g) @ z.T
    return m


def brute(one: MixedProblem, theta: np.ndarray, restricted: bool) -> float:
    m, x, y = dense(one, theta), one.x, one.y
    inverse = np.linalg.inv(m)
    information = x.T @ inverse @ x
    e = y - x @ np.linalg.solve(information, x.T @ inverse @ y)
    value = np.linalg.slogdet(m)[1] + e @ inverse @ e
    k, p = x.shape
    if not restricted:
        return float(-0.5 * (k * np.log(2 * np.pi) + value))
    logs = np.linalg.slogdet(information)[1] - np.linalg.slogdet(x.T @ x)[1]
    return float(-0.5 * ((k - p) * np.log(2 * np.pi) + value + logs))


@pytest.mark.parametrize("limit", [300, 12, 1])
@pytest.mark.parametrize("restricted", [True, False])
def test_likelihood_is_that_of_the_dense_matrix(parts: dict, limit: int, restricted: bool) -> None:
    one = problem(parts, limit)
    found = evaluate(one, POINT, restricted)
    assert found.llf == pytest.approx(brute(one, POINT, restricted), rel=1e-12)


@pytest.mark.parametrize("limit", [300, 12, 1])
@pytest.mark.parametrize("restricted", [True, False])
def test_gradient_is_that_of_the_dense_likelihood(parts: dict, limit: int, restricted: bool) -> None:
    one, h = problem(parts, limit), 1e-5
    slopes = [
        (brute(one, POINT + h * d, restricted) - brute(one, POINT - h * d, restricted)) / (2 * h)
        for d in np.eye(POINT.size)
    ]
    np.testing.assert_allclose(evaluate(one, POINT, restricted).gradient, slopes, rtol=1e-6, atol=1e-6)


def test_blocks_and_low_rank_updates_give_one_answer(parts: dict) -> None:
    found = [
        generalised_fit(problem(parts, limit), problem(parts, limit).matrices(POINT)) for limit in (300, 1)
    ]
    np.testing.assert_allclose(found[0].beta, found[1].beta, rtol=1e-11)
    np.testing.assert_allclose(found[0].cov, found[1].cov, rtol=1e-11)
    inverse = np.linalg.inv(dense(problem(parts, 300), POINT))
    for fit in found:
        np.testing.assert_allclose(fit.factor.diagonal(), np.diagonal(inverse), rtol=1e-10)


def test_the_update_works_where_variances_are_zero(parts: dict) -> None:
    one = problem(parts, 1)
    factor = factorise(one, [np.zeros_like(g) for g in one.matrices(POINT)])
    assert factor.logdet == pytest.approx(np.linalg.slogdet(parts["v"])[1], rel=1e-12)


def structures() -> list[tuple[Structure, np.ndarray]]:
    d = np.array([[0.0, 1.0, 2.5], [1.0, 0.0, 1.5], [2.5, 1.5, 0.0]])
    out: list[tuple[Structure, np.ndarray]] = [
        (Diagonal(3, True), np.array([0.4])),
        (Diagonal(3, False), np.array([0.4, 0.1, 0.2])),
        (Homogeneous(3, compound(3, -0.5)), np.array([0.4, 0.3])),
        (Homogeneous(3, power(d, False)), np.array([0.4, 0.6])),
        (Heterogeneous(3, compound(3, -0.5)), np.array([0.4, 0.1, 0.2, -0.2])),
        (Unstructured(3), np.array([0.5, 0.1, 0.3, -0.2, 0.1, 0.4])),
        (Unstructured(3, first_correlation=0.7), np.array([0.5, 0.3, -0.2, 0.1, 0.4])),
    ]
    return out + [(Homogeneous(3, spatial(d, form)), np.array([0.4, 2.0])) for form in SPATIAL]


@pytest.mark.parametrize(("structure", "theta"), structures())
def test_derivatives_of_structures(structure: Structure, theta: np.ndarray) -> None:
    h = 1e-6
    slopes = [
        (structure.matrix(theta + h * d) - structure.matrix(theta - h * d)) / (2 * h)
        for d in np.eye(theta.size)
    ]
    np.testing.assert_allclose(structure.derivatives(theta), slopes, atol=1e-8)
    assert np.linalg.eigvalsh(structure.matrix(theta)).min() > -1e-12
    assert structure.values(theta).size == len(structure.components())


def test_tied_correlation_is_kept() -> None:
    g = Unstructured(3, first_correlation=0.7).matrix(np.array([0.5, 0.3, -0.2, 0.1, 0.4]))
    assert g[0, 1] / np.sqrt(g[0, 0] * g[1, 1]) == pytest.approx(0.7, rel=1e-12)


def nested(groups: int, seed: int) -> MixedProblem:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 8, groups)
    study = np.repeat(np.arange(groups), sizes)
    k = study.size
    v = rng.uniform(0.01, 0.1, k)
    y = rng.normal(size=groups)[study] * 0.3 + rng.normal(size=k) * np.sqrt(0.04 + v)
    terms = (
        intercept_term(study, groups, Diagonal(1, True)),
        intercept_term(np.arange(k), k, Diagonal(1, True)),
    )
    return MixedProblem(y, np.ones((k, 1)), sparse.csr_array(sparse.diags_array(v)), terms)


def test_the_maximum_is_one_and_all_starts_find_it() -> None:
    one = nested(60, 3)
    found = maximise(one, True)
    assert isinstance(found, MixedMaximum)
    assert found.certified
    assert found.agreeing == found.starts
    assert np.abs(evaluate(one, found.theta, True).gradient).max() < 1e-6
    rng = np.random.default_rng(0)
    for _ in range(20):
        other = found.theta * rng.uniform(0.5, 2, 2)
        assert evaluate(one, other, True).llf < found.llf


def test_a_variance_that_is_zero_rests_on_its_bound() -> None:
    one = nested(40, 5)
    quiet = MixedProblem(one.y * 1e-3, one.x, one.v, one.terms)
    found = maximise(quiet, True)
    assert isinstance(found, MixedMaximum)
    assert found.certified
    assert found.at_bound.all()
    np.testing.assert_array_equal(found.theta, 0.0)
    assert (evaluate(quiet, found.theta, True).gradient < 0).all()


def test_many_effects_take_no_dense_matrix() -> None:
    one = nested(2_000, 7)
    found = maximise(one, True)
    assert isinstance(found, MixedMaximum)
    assert found.certified
    assert one.cut.largest < 10
    assert max(blocks.v.size for blocks in one.cut.blocks) < 20 * one.y.size
