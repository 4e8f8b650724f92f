"""Multilevel fits against dense likelihoods from many starts: none is higher (a lean run)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from benchmarks.multilevel_search import KINDS, Dense, Tally, compare, drawn, fitted
from metaexo.errors import NoMaximumError, NotIdentifiableError

EACH = 15


@pytest.mark.filterwarnings("ignore::metaexo.errors.VarianceRatioWarning")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "nearly singular V"])
def test_no_dense_likelihood_is_higher(kind: str) -> None:
    tally = Tally()
    for i in range(EACH):
        compare(kind, i, tally)
    assert tally.missed == []
    if kind not in ("crossed", "three nested", "zero and tiny variances"):
        assert tally.count["verified"] == tally.count["fitted"] > 0


def test_no_dense_likelihood_is_higher_where_v_is_nearly_singular() -> None:
    tally = Tally()
    for i in range(EACH):
        compare("nearly singular V", i, tally)
    assert tally.missed == []
    assert tally.count["fitted"] == EACH


def test_the_dense_likelihood_is_that_of_the_fit() -> None:
    data = drawn("moderators", 3)
    fit = fitted(data, True)
    assert Dense(data, True).several(fit.certificate.theta[None])[0][0] == pytest.approx(fit.llf, rel=1e-10)
    assert Dense(data, True).exactly(fit.certificate.theta) == pytest.approx(fit.llf, rel=1e-12)


def test_the_higher_of_two_maxima_is_found_and_proved() -> None:
    # metafor and a dense likelihood: -2.42859 at 0.0679 and 0.00687; another maximum is -2.46668 at (0, ...)
    effects = mx.EffectSizes(
        [1.01, 0.8, 0.59, 0.63, 0.03, 0.8], [0.02, 0.05, 0.21, 0.26, 0.11, 0.28], study=list("aaaabc")
    )
    fit = mx.Multilevel(effects).fit("ML")
    assert fit.llf == pytest.approx(-2.4285941773, abs=1e-9)
    np.testing.assert_allclose(fit.certificate.theta, [0.0679, 0.00687], rtol=1e-3)
    assert fit.certificate.verified
    assert "global maximum verified" in str(fit.summary())


def test_three_variances_are_not_said_to_be_verified() -> None:
    fit = fitted(drawn("three nested", 0), True)
    assert not fit.certificate.verified
    assert "global maximum verified" not in str(fit.summary())
    assert f"highest of {fit.certificate.starts} starts" in str(fit.summary())


def test_a_likelihood_without_a_maximum_is_refused_with_its_rows() -> None:
    # two effects of one study without sampling error that agree: log|M| falls without bound
    effects = mx.EffectSizes([0.2, 0.2, 0.9, 0.4, 0.1], [0.0, 0.0, 0.1, 0.1, 0.2], study=list("aabbc"))
    for method in ("ML", "REML"):
        with pytest.raises(NoMaximumError, match="increases without bound") as caught:
            mx.Multilevel(effects).fit(method)
        assert len(caught.value.rows) == 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("unit", [1e-40, 1e-15, 1e15, 1e40])
def test_the_unit_of_the_effects_changes_nothing_but_the_unit(unit: float) -> None:
    y = np.array([1.01, 0.8, 0.59, 0.63, 0.03, 0.8, 0.1])
    v = np.array([0.02, 0.05, 0.21, 0.26, 0.11, 0.28, 0.02])
    one, other = (
        mx.Multilevel(mx.EffectSizes(y * a, v * a**2, study=list("aaaabcc"))).fit() for a in (1.0, unit)
    )
    np.testing.assert_allclose(other.certificate.theta / unit**2, one.certificate.theta, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(other.se / unit, one.se, rtol=1e-8)
    assert other.llf == pytest.approx(one.llf - 6 * np.log(unit), abs=1e-6)


@pytest.mark.parametrize("number", [257, 334, 954])
def test_covariances_near_singular_are_fitted_in_long_doubles(number: int) -> None:
    # correlations of 1 - 1e-9: with doubles no start ended at a gradient of 0
    data = drawn("nearly singular V", number)
    fit = fitted(data, bool(number % 2))
    assert fit.certificate.certified
    assert fit.certificate.gradient < 1e-4
    exact = Dense(data, bool(number % 2))
    best = exact.exactly(fit.certificate.theta)
    for j in range(2):
        for factor in (0.99, 1.01):
            beside = fit.certificate.theta.copy()
            beside[j] *= factor
            assert exact.exactly(beside) < best


@pytest.mark.filterwarnings("ignore::metaexo.errors.VarianceRatioWarning")
@pytest.mark.parametrize("number", [7, 33, 37, 450, 839])
def test_the_log_likelihood_is_exact_where_sampling_variances_are_tiny(number: int) -> None:
    # sampling variances of 1e-12 of the others; the likelihood in whole numbers
    data = drawn("zero and tiny variances", number)
    fit = fitted(data, bool(number % 2))
    assert fit.llf == pytest.approx(Dense(data, bool(number % 2)).exactly(fit.certificate.theta), abs=1e-8)


@pytest.mark.parametrize("number", [333, 517])
def test_a_likelihood_highest_where_it_is_singular_is_refused_with_its_row(number: int) -> None:
    # one effect without sampling error, REML: its variance goes to 0, and it alone would be the mean
    data = drawn("zero and tiny variances", number)
    with pytest.raises(NoMaximumError, match="alone would decide the coefficients") as caught:
        fitted(data, True)
    assert len(caught.value.rows) == (data.v == 0).sum() == 1


@pytest.mark.parametrize("v", [0.0, 0.1])
def test_variances_of_which_the_sum_alone_is_known_are_refused(v: float) -> None:
    # the only study of two effects has a moderator of its own for one of them: N'ZZ'N is N'N (REML)
    rng = np.random.default_rng(1)
    study = ["s0", "s0", *(f"s{i}" for i in range(1, 20))]
    x = np.column_stack([np.arange(21) == 0, rng.normal(size=21)])
    effects = mx.EffectSizes(rng.normal(size=21), np.full(21, v), study=study)
    with pytest.raises(
        NotIdentifiableError, match="the sum of the variances of study and study/effect alone"
    ):
        mx.Multilevel(effects, moderators=x).fit()
    fit = mx.Multilevel(effects, "effect", moderators=x).fit()  # the remedy
    assert fit.certificate.certified
    held = mx.Multilevel(effects, moderators=x, fix={"study": 0.0}).fit()  # the other one
    assert held.llf == pytest.approx(fit.llf, abs=1e-9)


def test_a_narrow_maximum_next_to_zero_is_found() -> None:
    # two effects without sampling error in one study: the grid's maximum is at 7e-7, others are at 0.002
    data = drawn("zero and tiny variances", 873)
    fit = fitted(data, True)
    assert fit.llf == pytest.approx(-0.0831181364, abs=1e-8)
    assert fit.certificate.theta[1] == pytest.approx(7.304e-7, rel=1e-3)


def test_variances_that_a_latin_square_confounds_are_refused() -> None:
    # the three groupings of a Latin square of order 2 add up to J + 2I, and the mean takes J away (REML)
    data = pd.DataFrame({"a": list("1122"), "b": list("1212"), "c": list("1221")})
    effects = mx.EffectSizes([0.1, 0.5, 0.3, 0.9], [0.1] * 4, study=list("wxyz"), data=data)
    with pytest.raises(
        NotIdentifiableError, match="a combination of the variances of a, b, c and effect alone"
    ):
        mx.Multilevel(effects, ["a", "b", "c", "effect"]).fit()
    assert mx.Multilevel(effects, ["b", "c", "effect"]).fit().certificate.certified  # the remedy
