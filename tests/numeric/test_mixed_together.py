"""Many likelihoods on one chain are those of single evaluations, with their slopes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from metaexo.numeric.mixed.likelihood import generalised_fit
from metaexo.numeric.mixed.likelihood_ratios import likelihood_ratios
from metaexo.numeric.mixed.problem import MixedProblem
from metaexo.numeric.mixed.structured import maximise
from metaexo.numeric.mixed.structures import Diagonal
from metaexo.numeric.mixed.terms import intercept_term
from metaexo.numeric.mixed.together import ChainPoints, can_use_chain

rng = np.random.default_rng(3)
K = 24
LEVELS = {
    "lab": np.repeat(np.arange(8), 3),
    "effect": np.arange(K),
    "source": rng.integers(0, 4, K),
    "method": rng.integers(0, 3, K),
}
LEVELS["study"] = 2 * LEVELS["lab"] + (np.arange(K) % 3 == 2)  # two studies in each laboratory
V = rng.uniform(0.05, 0.3, K)
X = np.column_stack([np.ones(K), rng.normal(size=K)])


def problem(names: list[str]) -> MixedProblem:
    terms = []
    for name in names:
        code = np.unique(LEVELS[name], return_inverse=True)[1]
        terms.append(intercept_term(code, int(code.max()) + 1, Diagonal(1, True)))
    return MixedProblem(rng.normal(size=K), X, sparse.csr_array(sparse.diags_array(V)), tuple(terms))


MODELS = [
    ["source", "method", "lab", "study", "effect"],
    ["lab", "effect", "source"],
    ["source", "lab"],
    ["source", "effect"],
    ["lab", "study", "effect"],
]


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("names", MODELS, ids=", ".join)
def test_values_slopes_and_coefficients_are_those_of_single_evaluations(names, restricted):
    one = problem(names)
    assert can_use_chain(one)
    theta = rng.uniform(0.05, 0.5, (2, len(names)))
    theta[1, 0] = 0.0
    y = rng.normal(size=(2, K))
    at = ChainPoints(one, restricted, y=y)(np.arange(2), theta)
    llf = [
        [generalised_fit(own, own.matrices(t)).llf(restricted) for t in theta]
        for own in (replace(one, y=effects) for effects in y)
    ]
    assert at.value[1] - at.value[0] == pytest.approx(llf[1][1] - llf[0][0], abs=1e-10)
    for i in range(2):
        fit = generalised_fit(replace(one, y=y[i]), one.matrices(theta[i]))
        basis, r = one.basis
        assert np.linalg.solve(r, basis.T @ y[i] + at.gamma[i]) == pytest.approx(fit.beta, rel=1e-9)
        m = np.diag(V) + sum(
            t * np.equal.outer(LEVELS[name], LEVELS[name]) for t, name in zip(theta[i], names, strict=True)
        )
        inverse = np.linalg.inv(m)
        p = inverse - inverse @ X @ np.linalg.inv(X.T @ inverse @ X) @ X.T @ inverse
        shared = [np.equal.outer(LEVELS[name], LEVELS[name]) for name in names]
        residual, traced = p @ y[i], p if restricted else inverse
        slopes = [0.5 * (residual @ part @ residual - np.sum(traced * part)) for part in shared]
        assert at.gradient[i] == pytest.approx(slopes, rel=1e-8, abs=1e-10)
        f = np.stack([part @ residual for part in shared])
        assert at.curvature[i] == pytest.approx(0.5 * f @ p @ f.T, rel=1e-8, abs=1e-12)


def test_rows_that_are_left_out_have_no_part_in_the_likelihood():
    one = problem(["source", "lab", "effect"])
    kept = np.ones((2, K))
    kept[0, [0, 1, 2]], kept[1, 5] = 0.0, 0.0  # a whole laboratory, and a row
    theta = np.array([[0.1, 0.2, 0.3], [0.4, 0.1, 0.2]])
    points = ChainPoints(one, False, kept=kept)
    first, second = points(np.arange(2), theta), points(np.arange(2), theta[::-1].copy())
    for i in range(2):
        rows = np.flatnonzero(kept[i])
        some = replace(
            one,
            y=one.y[rows],
            x=X[rows],
            v=sparse.csr_array(sparse.diags_array(V[rows])),
            terms=tuple(
                intercept_term(
                    np.unique(t.level[rows], return_inverse=True)[1],
                    np.unique(t.level[rows]).size,
                    Diagonal(1, True),
                )
                for t in one.terms
            ),
        )
        values = [generalised_fit(some, some.matrices(t)).llf(False) for t in (theta[i], theta[1 - i])]
        assert first.value[i] - second.value[i] == pytest.approx(values[0] - values[1], abs=1e-10)


@pytest.mark.parametrize("names", [["source", "lab", "effect"], ["lab", "effect"]], ids=", ".join)
def test_likelihood_ratios_are_those_of_single_maxima(names):
    one = problem(names)
    y = rng.normal(size=(12, K)) + rng.normal(size=(12, 8))[:, LEVELS["lab"]]
    tested = names.index("lab")
    found = likelihood_ratios(one, True, y, np.full(len(names), 0.3), tested, {})
    for i, effects in enumerate(y):
        own = replace(one, y=effects)
        gain = 2 * (maximise(own, True, {}).llf - maximise(own, True, {tested: 0.0}).llf)
        assert found[i] == pytest.approx(max(gain, 0.0), abs=1e-5)
    assert (found == 0).any() == bool((found < 1e-9).any())


def test_layouts_without_a_chain_are_refused_by_the_fast_way():
    related = intercept_term(LEVELS["lab"], 8, Diagonal(1, True), np.eye(8) * 0.5 + 0.5)
    one = replace(problem(["lab", "effect"]), terms=(related,))
    assert not can_use_chain(one)
    y = rng.normal(size=(2, K))
    found = likelihood_ratios(one, True, y, np.array([0.2]), 0, {})
    own = replace(one, y=y[0])
    assert found[0] == pytest.approx(
        max(2 * (maximise(own, True, {}).llf - maximise(own, True, {0: 0.0}).llf), 0.0), abs=1e-6
    )
