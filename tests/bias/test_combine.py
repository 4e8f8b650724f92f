"""Combined p-values against scipy, exact arithmetic, mpmath-free closed forms and the definitions."""

from __future__ import annotations

from fractions import Fraction
from math import comb, factorial, floor

import numpy as np
import pytest
from scipy import stats

import metaexo as mx
from metaexo.bias.combine import METHODS, RECURRENCE, below_sum

P = np.array([0.5046, 0.0606, 0.1518, 0.0084, 0.9256, 0.0001, 0.3298, 0.5843, 0.7628])


@pytest.mark.parametrize(
    ("ours", "theirs", "sign"),
    [
        ("fisher", "fisher", 1),
        ("pearson", "pearson", 1),
        ("tippett", "tippett", 1),
        ("logit", "mudholkar_george", 0),
        ("stouffer", "stouffer", 1),
    ],
)
def test_methods_of_scipy(ours: str, theirs: str, sign: int) -> None:
    found, wanted = mx.bias.combine_pvalues(P, ours), stats.combine_pvalues(P, theirs)
    assert found.pvalue == pytest.approx(wanted.pvalue, rel=1e-12)
    if sign:
        assert found.statistic == pytest.approx(wanted.statistic, rel=1e-12)


def test_weights_of_stouffer() -> None:
    weights = np.arange(1.0, 10)
    found = mx.bias.combine_pvalues(P, "stouffer", weights=weights)
    wanted = stats.combine_pvalues(P, "stouffer", weights=weights)
    assert [found.statistic, found.pvalue] == pytest.approx([wanted.statistic, wanted.pvalue], rel=1e-12)
    left_out = mx.bias.combine_pvalues([*P, 0.0], "stouffer", weights=[*weights, 0])
    assert left_out.pvalue == pytest.approx(found.pvalue, rel=1e-12)


def test_methods_by_their_definitions() -> None:
    ordered = np.sort(P)
    t = stats.t.isf(P, 10)
    wanted = {
        "inverse-chi-square": stats.chi2.sf(stats.chi2.isf(P, 1).sum(), 9),
        "inverse-t": stats.norm.sf(t.sum() / np.sqrt(9 * 10 / 8)),
        "mean-z": stats.ttest_1samp(stats.norm.isf(P), 0, alternative="greater").pvalue,
        "mean-p": stats.norm.sf((0.5 - P.mean()) * np.sqrt(12 * 9)),
        "wilkinson": stats.binom.sf(2, 9, ordered[2]),
        "maximum": ordered[-1] ** 9,
        "simes": min(ordered * 9 / np.arange(1, 10)),
        "vote": stats.binomtest(5, 9, alternative="greater").pvalue,
        "cauchy": stats.cauchy.sf(np.tan((0.5 - P) * np.pi).mean()),
        "harmonic-mean": stats.landau.sf(
            (1 / P).mean(), np.log(9) + 1 - np.euler_gamma - np.log(2 / np.pi), np.pi / 2
        ),
    }
    for method, pvalue in wanted.items():
        choices = {"smallest": 3} if method == "wilkinson" else {}
        assert mx.bias.combine_pvalues(P, method, **choices).pvalue == pytest.approx(pvalue, rel=1e-10), (
            method
        )
    assert set(wanted) | {"fisher", "pearson", "stouffer", "logit", "edgington", "tippett"} == set(METHODS)


def test_votes_beyond_a_cut() -> None:
    found = mx.bias.combine_pvalues(P, "vote", cut=0.1)  # three below 0.1 and one above 0.9
    assert (found.statistic, found.pvalue) == (3, pytest.approx(5 / 16))
    assert mx.bias.combine_pvalues([0.4, 0.6], "vote", cut=0.1).pvalue == 1
    tied = mx.bias.combine_pvalues([0.5, 0.1, 0.2], "vote")  # a p-value of one half is no vote
    assert tied.pvalue == pytest.approx(1 / 4)


def exact_sum(x: float, k: int) -> float:
    """Return P(S <= x) by the alternating sum in rational numbers."""
    value = Fraction(x)
    terms = ((-1) ** j * comb(k, j) * (value - j) ** k for j in range(floor(value) + 1))
    return float(sum(terms) / factorial(k))


@pytest.mark.parametrize("k", [1, 2, 3, 20, 150, RECURRENCE, RECURRENCE + 1])
@pytest.mark.parametrize("share", [0.1, 0.25, 0.4, 0.49, 0.5, 0.7])
def test_edgingtons_sum_is_exact_for_few_and_many(k: int, share: float) -> None:
    assert below_sum(share * k, k) == pytest.approx(exact_sum(share * k, k), rel=2e-13, abs=1e-300)


def test_edgingtons_sum_of_very_many_is_nearly_normal() -> None:
    k = 1_000_000
    z = -2.0
    # the first Edgeworth term: kurtosis -6/5
    correction = -stats.norm.pdf(z) * (z**3 - 3 * z) / 24 * (-1.2 / k)
    wanted = stats.norm.cdf(z) + correction
    assert below_sum(k / 2 + z * np.sqrt(k / 12), k) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_uniform_pvalues_give_a_uniform_pvalue(method: str) -> None:
    """In 4,000 sets of nine p-values, 5% are below 0.05 up to four standard errors; the limit of the
    harmonic mean is for many p-values and anti-conservative by design up to a few per cent."""
    rng = np.random.default_rng(5)
    below = np.mean([mx.bias.combine_pvalues(one, method).pvalue <= 0.05 for one in rng.random((4000, 9))])
    allowed = 4 * np.sqrt(0.05 * 0.95 / 4000)
    if method == "vote":  # whole numbers: P(7 or more of 9) = 0.0898, P(8 or more) = 0.0195
        assert below == pytest.approx(stats.binom.sf(7, 9, 0.5), abs=allowed)
    else:
        assert below == pytest.approx(0.05, abs=allowed)


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"mean-z", "pearson"}))
def test_a_pvalue_of_zero_is_taken_and_said(method: str) -> None:
    found = mx.bias.combine_pvalues([0.0, 0.3, 0.4], method)
    assert found.pvalue == 0 or method in ("edgington", "mean-p", "maximum", "vote")
    assert bool(found.cautions()) == (found.pvalue == 0)


@pytest.mark.parametrize("method", ["stouffer", "logit", "inverse-t", "cauchy", "mean-z"])
def test_zero_and_one_together_are_refused_by_name(method: str) -> None:
    with pytest.raises(mx.errors.InputError, match="row 1: 0; row 3: 1"):
        mx.bias.combine_pvalues([0.0, 0.3, 1.0], method)


def test_effects_give_onesided_pvalues_in_a_direction() -> None:
    y, v = [0.3, 0.1, -0.2, 0.5], [0.04, 0.01, 0.02, 0.09]
    z = np.array(y) / np.sqrt(v)
    fit = mx.RandomEffects(mx.EffectSizes(y, v)).fit()
    for alternative, p in (("greater", stats.norm.sf(z)), ("less", stats.norm.cdf(z))):
        found = mx.bias.combine_pvalues(fit, "stouffer", alternative=alternative)
        np.testing.assert_allclose(found.pvalues, p)
        assert found.pvalue == pytest.approx(mx.bias.combine_pvalues(p, "stouffer").pvalue)
        assert (found.alternative, found.cautions()) == (alternative, ())
    free = mx.bias.combine_pvalues(fit)
    assert free.alternative == "greater"
    assert any("chosen by the effects" in line for line in free.cautions())
    assert not mx.bias.combine_pvalues(mx.EffectSizes(y, v, oriented=True)).cautions()
    twice = mx.EffectSizes(y, v, study=["a", "a", "b", "c"])
    assert any("independent" in line for line in mx.bias.combine_pvalues(twice).cautions())
    half = mx.EffectSizes(np.array(y) + 0.5, v, measure="CLES")
    np.testing.assert_allclose(mx.bias.combine_pvalues(half, alternative="greater").pvalues, stats.norm.sf(z))


@pytest.mark.parametrize(
    ("pvalues", "choices", "error"),
    [
        ([0.1, 1.2], {}, mx.errors.PValueError),
        ([0.1, np.nan], {}, mx.errors.PValueError),
        (["a", "b"], {}, mx.errors.InputError),
        ([0.1], {}, mx.errors.TooFewStudiesError),
        ([], {}, mx.errors.TooFewStudiesError),
        ([0.1, 0.2], {"method": "fischer"}, mx.errors.UnknownChoiceError),
        ([0.1, 0.2], {"weights": [1, 2]}, mx.errors.InputError),
        ([0.1, 0.2], {"method": "stouffer", "weights": [1, -2]}, mx.errors.InputError),
        ([0.1, 0.2], {"method": "stouffer", "weights": [1]}, mx.errors.ShapeError),
        ([0.1, 0.2], {"method": "wilkinson", "smallest": 3}, mx.errors.InputError),
        ([0.1, 0.2], {"method": "inverse-t", "df": 2}, mx.errors.InputError),
        ([0.1, 0.2], {"method": "inverse-t", "df": [3, 4, 5]}, mx.errors.ShapeError),
        ([0.1, 0.2], {"cut": 0.6}, mx.errors.InputError),
        ([0.1, 0.2], {"alternative": "greater"}, mx.errors.InputError),
        ([0.2, 0.2], {"method": "mean-z"}, mx.errors.InputError),
    ],
)
def test_wrong_inputs(pvalues: list[object], choices: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        mx.bias.combine_pvalues(pvalues, **choices)


def test_a_measure_without_no_effect_has_no_pvalues() -> None:
    with pytest.raises(mx.errors.NotIdentifiableError, match="no value of no effect"):
        mx.bias.combine_pvalues(mx.effect_sizes("PLO", events=[3, 5], n=[10, 12]))


def test_a_result_is_shown_whole() -> None:
    found = mx.bias.combine_pvalues(P, "edgington")
    assert found.to_frame()["pvalue"].iloc[0] == found.pvalue
    assert "Edgington: 9 one-sided p-values, combined p = 0.089." in found.to_text()
    assert found.to_dict()["k"] == 9
