"""Climbs without many sets of rows at once end where single fits of the other rows do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.models.multilevel.residuals import subproblem
from metaexo.numeric.mixed.deletions import can_climb_together, maximise_without
from metaexo.numeric.mixed.likelihood import generalised_fit
from metaexo.numeric.mixed.structured import maximise

rng = np.random.default_rng(11)
SIZES = [1, 2, 3, 5, 2, 4, 1, 6, 3, 2, 4, 3]
LAB = np.repeat(np.arange(len(SIZES)), SIZES)
K = LAB.size
DATA = pd.DataFrame(
    {
        "lab": LAB.astype(str),
        "study": [f"{a}.{b}" for a, b in zip(LAB, rng.integers(0, 2, K), strict=True)],
        "outcome": rng.choice(["x", "y"], K),
        "dose": rng.normal(size=K),
        "source": rng.choice(list("mnop"), K),
        "method": rng.choice(list("uvw"), K),
    }
)
V = rng.uniform(0.02, 0.1, K)


def effects(between: float, within: float) -> mx.EffectSizes:
    y = 0.3 + between * rng.normal(size=len(SIZES))[LAB] + within * rng.normal(size=K)
    return mx.EffectSizes(y + np.sqrt(V) * rng.normal(size=K), V, data=DATA)


MANY, NONE = effects(0.5, 0.3), effects(0.0, 0.0)
MODELS = {
    "nested": mx.Multilevel(MANY, "lab/effect"),
    "three levels": mx.Multilevel(MANY, "lab/study/effect", moderators="dose"),
    "no variance left": mx.Multilevel(NONE, "lab/effect"),
    "one term": mx.Multilevel(MANY, "lab"),
    "held": mx.Multilevel(MANY, "lab/effect", fix={"lab": 0.1}),
    "crossed": mx.Multilevel(MANY, ["source", "lab", "effect"]),
    "crossed, three levels": mx.Multilevel(MANY, ["source", "method", "lab/study/effect"], moderators="dose"),
    "crossed, no residual": mx.Multilevel(MANY, ["method", "lab/study"]),
    "crossed, no variance left": mx.Multilevel(NONE, ["source", "lab", "effect"]),
    "crossed, held": mx.Multilevel(MANY, ["source", "lab", "effect"], fix={"source": 0.1}),
    "one variance per outcome": mx.Multilevel(MANY, ["lab", mx.RandomTerm("study", "outcome", "DIAG")]),
    "correlated errors": mx.Multilevel(
        MANY, "lab/effect", mx.effects.covariance_blocks(V, LAB, correlation=0.5), "dose"
    ),
}


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("name", MODELS)
def test_the_maxima_are_those_of_single_fits(name: str, method: str) -> None:
    fit = MODELS[name].fit(method, "z")
    problem, restricted = fit.problem, method == "REML"
    assert can_climb_together(problem)
    sets = [np.flatnonzero(lab == LAB) for lab in range(len(SIZES))] + [np.array([7]), np.array([3, 9, 30])]
    found = maximise_without(problem, sets, restricted, fit.maximum.theta, fit.fixed)
    assert found.found.all()
    for i, rows in enumerate(sets):
        part = subproblem(problem, np.setdiff1d(np.arange(K), rows))
        one = maximise(part, restricted, fit.fixed)
        scale = fit.maximum.theta.max() + 1e-3
        np.testing.assert_allclose(found.theta[i], one.theta, atol=2e-6 * scale)
        at = generalised_fit(part, part.matrices(found.theta[i]))
        assert at.llf(restricted) == pytest.approx(one.llf, abs=1e-9)
        np.testing.assert_allclose(found.beta[i], at.beta, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.cov[i], at.cov, rtol=1e-9)


def test_sets_whose_complement_determines_no_fit_are_left_out() -> None:
    alone = (LAB == 3).astype(float)
    fit = mx.Multilevel(MANY, "lab/effect", moderators=alone[:, None]).fit()
    sets = [np.flatnonzero(LAB == 3), np.arange(K - 2), np.array([0])]
    found = maximise_without(fit.problem, sets, True, fit.maximum.theta, {})
    assert found.found.tolist() == [False, False, True]
    assert np.isnan(found.beta[:2]).all()


def test_the_unit_of_the_effects_does_not_matter() -> None:
    fit = MODELS["nested"].fit()
    sets = [np.flatnonzero(lab == LAB) for lab in range(len(SIZES))]
    found = maximise_without(fit.problem, sets, True, fit.maximum.theta, {})
    for c in (1e-6, 1e6):
        other = mx.Multilevel(mx.EffectSizes(c * MANY.y, c**2 * V, data=DATA), "lab/effect").fit()
        scaled = maximise_without(other.problem, sets, True, other.maximum.theta, {})
        np.testing.assert_allclose(scaled.theta, c**2 * found.theta, rtol=1e-6, atol=1e-9 * c**2)
        np.testing.assert_allclose(scaled.beta, c * found.beta, rtol=1e-8)


def test_models_that_do_not_fall_into_blocks_are_fitted_one_by_one() -> None:
    assert not can_climb_together(mx.Multilevel(MANY, mx.RandomTerm("study", "outcome", "CS")).problem)
    free = mx.EffectSizes(MANY.y, np.where(np.arange(K) == 4, 0.0, V), data=DATA)
    assert not can_climb_together(mx.Multilevel(free, "lab/effect").problem)
