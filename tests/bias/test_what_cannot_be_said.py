"""What methods for small-study effects say where effects, sizes or scales do not let them say anything."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metaexo as mx
from metaexo.bias.results import AdjustedEstimate, is_impossible
from metaexo.models.univariate.intervals import _q_given_r
from metaexo.types import Array

ADJUSTED = ("pet_peese", "waap_wls", "worst_case", "trim_and_fill", "limit_meta_analysis", "henmi_copas")
Y = np.array([0.9, 0.75, 0.7, 0.55, 0.6, 0.35, 0.4, 0.2, 0.3, 0.1, 0.15, 0.05])
SE = np.array([0.45, 0.4, 0.33, 0.3, 0.27, 0.22, 0.2, 0.17, 0.15, 0.12, 0.1, 0.08])


def adjusted(name: str, es: mx.EffectSizes) -> AdjustedEstimate:
    found = getattr(mx.bias, name)(es)
    assert isinstance(found, AdjustedEstimate)
    return found


def words(found: mx.bias.PetPeese | AdjustedEstimate | mx.bias.RegressionTest) -> str:
    return " ".join(found.cautions())


# -- no spread ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ADJUSTED)
@pytest.mark.parametrize("value", [0.04, 0.0, -0.13])
def test_equal_effects_have_no_width(name: str, value: float) -> None:
    """Twelve times the same says nothing of precision; limit and Henmi-Copas take theirs from the studies."""
    found = adjusted(name, mx.EffectSizes(np.full(12, value), se=SE))
    assert found.estimate == pytest.approx(value)
    if name in ("limit_meta_analysis", "henmi_copas"):
        assert found.se > 0
    else:
        assert np.isnan([found.se, found.low, found.high, found.pvalue]).all()
        assert not found.usable
        assert "do not vary about the model" in words(found)
        assert "CI" not in found.sentence


@pytest.mark.parametrize("model", ["dispersion", "mixed"])
@pytest.mark.parametrize("intercept", [0.0, 0.3])
def test_effects_on_a_line_let_no_rule_be_applied(model: str, intercept: float) -> None:
    found = mx.bias.pet_peese(mx.EffectSizes(intercept + 2.1 * SE, se=SE), model)  # type: ignore[arg-type]
    assert found.chosen == "PET"
    assert found.estimate == pytest.approx(intercept, rel=1e-14, abs=0)
    assert np.isnan([found.se, found.low, found.high, found.pvalue, found.pet.low, found.test_pvalue]).all()
    assert not found.usable
    assert "the rule cannot be applied" in found.sentence
    test = mx.bias.regression_test(mx.EffectSizes(intercept + 2.1 * SE, se=SE), model=model)
    assert "not testable" in test.sentence
    assert "do not vary about the model" in words(test)


def test_equal_effects_have_no_small_study_effect_of_rounding_errors() -> None:
    es = mx.EffectSizes(np.full(12, 0.4), se=np.linspace(0.1, 0.5, 12))
    found = mx.bias.limit_meta_analysis(es)
    assert (found.alpha, found.estimate, found.q.statistic) == (0, 0.4, 0)
    assert mx.bias.trim_and_fill(es).side == "left"  # that of a slope of 0


# -- sizes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("se", "said"),
    [
        (0.2 + 1e-6 * np.arange(12), "hardly differ (all are 0.2 to three digits)"),
        (np.linspace(0.2, 0.29, 12), "hardly differ (from 0.2 to 0.29)"),
    ],
)
def test_studies_of_one_size_adjust_nothing(se: Array, said: str) -> None:
    es = mx.EffectSizes(Y, se=se)
    for name in ("pet_peese", "limit_meta_analysis"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mx.errors.MetaexoWarning)
            found = adjusted(name, es)
        assert not found.usable
        assert said in words(found)
    assert mx.bias.pet_peese(mx.EffectSizes(Y, se=SE)).usable
    assert mx.bias.limit_meta_analysis(mx.EffectSizes(Y, se=SE)).usable


def test_equal_sizes_are_refused_with_what_to_say() -> None:
    es = mx.EffectSizes(Y, se=np.full(12, 0.2))
    for method in (mx.bias.regression_test, mx.bias.pet_peese):
        with pytest.raises(mx.errors.CollinearError, match="could not be looked into"):
            method(es)
    assert "are all equal (0.2)" in " ".join(mx.bias.rank_test(es).cautions())
    with pytest.raises(mx.errors.TooFewStudiesError, match="nothing can be said"):
        mx.bias.pet_peese(mx.EffectSizes([0.1, 0.2], [0.1, 0.2]))


def test_a_mean_far_outside_the_effects_is_not_usable() -> None:
    se = np.linspace(0.2, 0.31, 12)
    es = mx.EffectSizes(20 * se + 0.01 * np.cos(np.arange(12)), se=se)
    found = mx.bias.pet_peese(es)
    assert found.estimate < es.y.min() - np.ptp(es.y)
    assert not found.usable
    assert "far outside the range of the effects" in words(found)
    test = mx.bias.regression_test(es)
    assert test.limit_estimate == pytest.approx(mx.bias.pet_peese(es, "mixed").pet.estimate)
    assert not test.limit_usable
    assert "the limit, " in words(test)
    assert "as it goes to 0" not in test.sentence
    usual = mx.bias.regression_test(mx.EffectSizes(Y, se=SE))
    assert usual.limit_usable
    assert "as it goes to 0, the mean goes to" in usual.sentence


def tables(method: str, measure: str) -> mx.bias.CountsTest:
    events = [3, 6, 9, 5, 12, 8, 7, 10, 4, 11, 6, 9]
    others = [5, 7, 8, 9, 10, 11, 6, 8, 7, 9, 10, 5]
    n = [20] * 12
    es = mx.effect_sizes(measure, treatment_events=events, treatment_n=n, control_events=others, control_n=n)
    return mx.bias.counts_test(es, method)


@pytest.mark.parametrize("method", ["harbord", "schwarzer"])
def test_no_study_of_twenty_and_twenty_is_smaller(method: str) -> None:
    found = tables(method, "OR")
    assert found.pvalue > 0.1
    assert (
        "whether the log odds ratio differs in studies with less information is not clear" in found.sentence
    )
    assert "smaller" not in found.sentence
    assert "the sizes of the studies are all equal (40)" in " ".join(found.cautions())


@pytest.mark.parametrize("method", ["peters", "macaskill", "deeks", "ruecker"])
def test_regressions_on_equal_sizes_are_refused(method: str) -> None:
    with pytest.raises(mx.errors.CollinearError, match=r"same in all rows .*could not be looked into"):
        tables(method, "OR")


@pytest.mark.parametrize("method", ["debray", "debray-approximate"])
def test_regressions_on_equal_numbers_of_events_are_refused(method: str) -> None:
    events = pd.DataFrame({"treatment_events": [20] * 12, "control_events": [20] * 12})
    with pytest.raises(mx.errors.CollinearError, match="number of events is the same in all rows"):
        mx.bias.counts_test(mx.EffectSizes(Y, se=SE, measure="HR", data=events), method)


def test_a_test_of_another_quantity_says_so() -> None:
    said = " ".join(tables("schwarzer", "RR").cautions())
    assert "the log odds ratio is tested, not the log risk ratio" in said
    for method, measure in (("harbord", "RR"), ("harbord", "OR"), ("schwarzer", "OR"), ("harbord", "PETO")):
        assert "is tested, not the" not in " ".join(tables(method, measure).cautions())


def test_directions_are_said_of_trends_alone() -> None:
    trend = mx.bias.regression_test(mx.EffectSizes(Y, se=SE), model="dispersion")
    assert trend.pvalue < 0.01
    assert "effects increase with the standard error (slope" in trend.sentence
    none = mx.bias.regression_test(mx.EffectSizes(Y[[0, 11, 2, 9, 5, 4, 6, 7, 8, 3, 10, 1]], se=SE))
    assert none.pvalue > 0.1
    assert "whether effects change with the standard error is not clear (slope" in none.sentence
    assert "increase" not in none.sentence


# -- the model ----------------------------------------------------------------------------------------------


def test_a_model_without_intercept_has_no_regression_test() -> None:
    group = np.tile([0.0, 1.0], 6)
    es = mx.EffectSizes(Y, se=SE)
    with pytest.raises(mx.errors.NotIdentifiableError, match="no intercept"):
        mx.bias.regression_test(mx.RandomEffects(es, np.linspace(1, 3, 12), intercept=False).fit())
    cells = np.column_stack([group, 1 - group])  # a mean for each of two groups: the intercept is their sum
    of_cells = mx.bias.regression_test(mx.RandomEffects(es, cells, intercept=False).fit())
    expected = mx.bias.regression_test(mx.RandomEffects(es, group).fit())
    assert of_cells.coef == pytest.approx(expected.coef)
    assert of_cells.pvalue == pytest.approx(expected.pvalue)


def test_the_model_of_a_censored_fit_is_named() -> None:
    es = mx.effects.bounded_effects(lower=np.r_[-0.3, Y], upper=np.r_[0.3, Y], v=np.r_[0.1, SE**2])
    said = words(mx.bias.regression_test(mx.CensoredRandomEffects(es).fit()))
    assert "not the model of the fit (which takes effects known only within bounds along)" in said


# -- the scale ----------------------------------------------------------------------------------------------


def proportions(measure: str) -> mx.EffectSizes:
    events, n = [0, 1, 2, 3, 5, 9, 12, 15, 14, 16], [120, 90, 80, 70, 60, 50, 45, 40, 30, 24]
    return mx.effect_sizes(measure, events=events, n=n)


def test_estimates_outside_the_possible_values_are_not_usable() -> None:
    found = mx.bias.pet_peese(proportions("PFT"))
    assert found.estimate < 0
    assert not found.usable
    assert "outside the values that are possible (double arcsine proportion)" in words(found)
    assert "finds" not in found.sentence
    assert "from 0 on the scale of the analysis" in found.sentence
    assert "-0.1" in found.sentence.replace("\N{MINUS SIGN}", "-")  # and not the 0 that it is shown as
    assert np.isnan(found.pvalue)  # there is no value of no effect
    test = mx.bias.regression_test(proportions("PFT"), "se")
    assert not test.limit_usable
    assert "the limit is outside the values that are possible" in words(test)
    assert "as it goes to 0" not in test.sentence
    inside = mx.bias.trim_and_fill(proportions("PFT"))
    assert "outside the values" not in words(inside)


@pytest.mark.parametrize(
    ("measure", "inside", "outside"),
    [
        ("PR", (0.0, 0.5, 1.0), (-0.01, 1.01)),
        ("PAS", (0.0, 0.7, np.pi / 2), (-0.01, 1.58)),
        ("PFT", (0.0, 0.7, np.pi / 2), (-0.01, 1.58)),
        ("PLN", (-3.0, 0.0), (0.01,)),
        ("PLO", (-9.0, 9.0), ()),
        ("RD", (-1.0, 0.0, 1.0), (-1.01, 1.01)),
        ("COR", (-1.0, 1.0), (-1.01, 1.01)),
        ("ZCOR", (-3.0, 3.0), ()),
        ("IRS", (0.0, 2.0), (-0.01,)),
        ("SMD", (-9.0, 9.0), ()),
        ("OR", (-9.0, 9.0), ()),
    ],
)
def test_what_is_possible(measure: str, inside: tuple[float, ...], outside: tuple[float, ...]) -> None:
    found = mx.effects.get_measure(measure)
    assert [is_impossible(found, value) for value in inside] == [False] * len(inside)
    assert [is_impossible(found, value) for value in outside] == [True] * len(outside)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("measure", ["RR", "PLO", "PLN", "PFT", "ZCOR", "IRLN"])
def test_extrapolations_beyond_all_numbers_give_words(measure: str, sign: int) -> None:
    """Of sizes that differ in the ninth digit a limit goes to ratios that no number can hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", mx.errors.MetaexoWarning)
        es = mx.EffectSizes(sign * Y, se=0.2 + 1e-8 * np.arange(12), measure=measure)
        for name in ("pet_peese", "limit_meta_analysis"):
            found = adjusted(name, es)
            assert not found.usable
            assert found.name in str(found)
            assert "nan" not in found.sentence
        assert not mx.bias.regression_test(es, "se").limit_usable


# -- one study, the other direction -------------------------------------------------------------------------


def test_a_study_with_most_of_the_weight_is_named() -> None:
    se = SE.copy()
    se[4] = 0.01
    labels = [f"S{i}" for i in range(12)]
    es = mx.EffectSizes(Y, se=se, labels=labels)
    share = 1e4 / (1 / se**2).sum()
    assert 0.5 < share < 0.99
    said = f"one study, S4, has {100 * share:.0f}% of the inverse-variance weight: what is weighted"
    for name in ("pet_peese", "waap_wls", "worst_case", "p_curve"):
        assert said in " ".join(getattr(mx.bias, name)(es).cautions())
    together = mx.EffectSizes(Y, se=SE, study=["A"] * 10 + ["B", "C"])
    assert "one study" not in " ".join(mx.bias.waap_wls(mx.EffectSizes(Y, se=SE)).cautions())
    half = 1 / SE[10:] ** 2 / (1 / SE**2).sum()
    assert ("one study, A" in " ".join(mx.bias.waap_wls(together).cautions())) == (half.sum() < 0.5)


def test_effects_the_other_way_are_not_said_to_include_no_effect() -> None:
    es = mx.EffectSizes(-np.array([0.5, 0.4, 0.6, 0.45, 0.55]), se=[0.1, 0.12, 0.2, 0.15, 0.1])
    found = mx.bias.worst_case(es, alternative="greater")
    assert found.unadjusted.high < 0
    assert (found.s_value, found.s_value_bound) == (1, 1)
    assert "lies wholly on the other side of no effect" in found.sentence
    assert "includes" not in found.sentence
    assert not found.is_adjusted
    within = mx.bias.worst_case(mx.EffectSizes([0.1, -0.2, 0.3], se=[0.3, 0.3, 0.3]))
    assert "confidence interval includes no effect without selection" in within.sentence


def test_a_worst_case_that_is_no_worse_says_so() -> None:
    found = mx.bias.worst_case(mx.EffectSizes([0.5, 0.9], se=[0.1, 0.6]))
    assert found.affirmative.tolist() == [True, False]
    assert found.estimate > found.unadjusted.estimate
    assert "no worse than the mean of all effects" in words(found)
    assert "no worse" not in words(mx.bias.worst_case(mx.EffectSizes(Y, se=SE)))


def test_studies_that_no_mean_needs() -> None:
    es = mx.EffectSizes([0.5, 0.6, 0.7], [0.1, 0.1, 0.1])
    for kind in ("orwin", "general"):
        found = mx.bias.fail_safe_n(es, kind, target=2)  # type: ignore[arg-type]
        assert found.number == 0
        assert "the mean, 0.600, is not beyond 2.000, so no study has to be added" in found.sentence


def test_what_changed_nothing_is_marked() -> None:
    es = mx.EffectSizes([0.1, -0.1, 0.2, -0.2, 0.3, -0.3], se=[0.3, 0.31, 0.35, 0.4, 0.5, 0.6])
    found = mx.bias.trim_and_fill(es, side="left")
    assert (found.k0, found.is_adjusted) == (0, False)
    assert not mx.bias.waap_wls(es).is_adjusted
    assert not mx.bias.worst_case(es).is_adjusted
    small = mx.EffectSizes(Y, se=SE)
    assert mx.bias.trim_and_fill(small).is_adjusted
    assert mx.bias.worst_case(small).is_adjusted


# -- Henmi and Copas ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dominant", [Fraction(1), Fraction(10) ** 6, Fraction(10) ** 14])
def test_moments_of_q_keep_their_digits(dominant: Fraction) -> None:
    """By the matrices of the definition, in exact arithmetic."""
    w = [dominant, Fraction(3), Fraction(7), Fraction(2)]
    tau2, r2 = Fraction(1, 8), Fraction(9, 4)
    total, k = sum(w), len(w)
    s = [1 / one + tau2 for one in w]
    v = sum(a * a * b for a, b in zip(w, s, strict=True)) / total
    cov = [
        [(s[i] if i == j else 0) - s[i] * w[i] * s[j] * w[j] / (total * v) for j in range(k)]
        for i in range(k)
    ]
    d = [[(w[i] if i == j else 0) - w[i] * w[j] / total for j in range(k)] for i in range(k)]
    c = [s[i] * w[i] / v for i in range(k)]  # times r / sqrt(total)

    def times(a: list[list[Fraction]], b: list[list[Fraction]]) -> list[list[Fraction]]:
        return [[sum((a[i][m] * b[m][j] for m in range(k)), Fraction(0)) for j in range(k)] for i in range(k)]

    def form(a: list[list[Fraction]]) -> Fraction:
        return sum((c[i] * a[i][j] * c[j] for i in range(k) for j in range(k)), Fraction(0)) * r2 / total

    ds = times(d, cov)
    mean = sum(ds[i][i] for i in range(k)) + form(d)
    variance = 2 * sum(times(ds, ds)[i][i] for i in range(k)) + 4 * form(times(ds, d))
    found = _q_given_r(np.array([float(one) for one in w]), float(tau2), np.array([1.5]))
    assert found[0][0] == pytest.approx(float(mean), rel=1e-13)
    assert found[1][0] == pytest.approx(float(variance), rel=1e-12)


def test_a_dominant_study_has_an_interval_that_is_said_to_say_nothing() -> None:
    widths = []
    for se in (1e-4, 1e-5, 1e-8):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mx.errors.MetaexoWarning)
            es = mx.EffectSizes([0.1, 0.7, 0.4, 0.8, 0.3, 0.9, 0.5], se=[se, 0.3, 0.2, 0.4, 0.25, 0.45, 0.3])
            found = mx.bias.henmi_copas(es)
        assert found.estimate == pytest.approx(0.1, abs=1e-6)
        assert not found.usable
        assert "far wider than the intervals of all effects" in words(found)
        widths.append((found.high - found.low) * se)
    assert widths == pytest.approx([widths[-1]] * 3, rel=1e-3)  # it grows as 1 / se
    usual = mx.bias.henmi_copas(mx.EffectSizes(Y, se=SE))
    assert usual.usable
    assert usual.high - usual.low < 2 * stats.norm.ppf(0.975) * SE.max()
