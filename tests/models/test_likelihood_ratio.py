"""The likelihood-ratio test, the profile of tau2 and the comparison of fits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metaexo as mx
from metaexo import errors
from metaexo.sensitivity import permutation_test

RNG = np.random.default_rng(3)
K = 20
DATA = pd.DataFrame({"source": ["milk", "plant"] * 10, "dose": RNG.uniform(1, 9, K)})
ES = mx.EffectSizes(RNG.normal(0.4, 0.5, K) + 0.1 * DATA["dose"], RNG.uniform(0.02, 0.2, K), data=DATA)


def fit(text: str | None = None, method: str = "ML", **choices):
    return mx.RandomEffects(ES, text).fit(method=method, **choices)


def test_the_statistic_is_twice_the_difference_and_p_its_tail() -> None:
    full, reduced = fit("source + dose"), fit("dose")
    found = mx.likelihood_ratio_test(full, reduced)
    assert found.statistic == pytest.approx(2 * (full.llf - reduced.llf), rel=1e-12)
    assert found.df == 1
    assert found.pvalue == pytest.approx(stats.chi2.sf(found.statistic, 1), rel=1e-10)
    assert (found.full.parameters, found.reduced.parameters) == (4, 3)
    assert found.r2 == pytest.approx(max(0, 1 - full.tau2 / reduced.tau2))
    assert "AIC" in str(found)


def test_models_in_a_row_add_up() -> None:
    a, b, c = fit("source*dose"), fit("dose"), fit()
    outer = mx.likelihood_ratio_test(a, c).statistic
    inner = mx.likelihood_ratio_test(a, b).statistic + mx.likelihood_ratio_test(b, c).statistic
    assert outer == pytest.approx(inner, rel=1e-9)


def test_writing_the_moderators_otherwise_changes_nothing() -> None:
    one = mx.likelihood_ratio_test(fit("source + dose"), fit("dose"))
    other = mx.likelihood_ratio_test(fit("0 + source + scale(dose)"), fit("I(dose/7 + 2)"))
    assert one.statistic == pytest.approx(other.statistic, rel=1e-8)


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_no_heterogeneity_lies_on_the_boundary(method: str) -> None:
    full = fit(method=method)
    none = fit(method="EE")
    found = mx.likelihood_ratio_test(full, none)
    assert found.boundary
    assert found.df == 1
    assert found.pvalue == pytest.approx(0.5 * stats.chi2.sf(found.statistic, 1), rel=1e-10)
    both = mx.likelihood_ratio_test(fit("dose"), none)
    mixture = 0.5 * (stats.chi2.sf(both.statistic, 1) + stats.chi2.sf(both.statistic, 2))
    assert both.pvalue == pytest.approx(mixture, rel=1e-10)
    assert "boundary" in both.test.null


def test_equal_models_at_the_boundary_have_p_one() -> None:
    es = mx.EffectSizes([0.2, 0.21, 0.19, 0.2], [0.2, 0.3, 0.2, 0.3])
    full = mx.RandomEffects(es).fit(method="ML")
    found = mx.likelihood_ratio_test(full, mx.RandomEffects(es).fit(method="EE"))
    assert found.statistic == 0
    assert found.pvalue == 1.0


def test_a_given_tau2_can_be_tested() -> None:
    found = mx.likelihood_ratio_test(fit(), fit(tau2=0.05))
    assert found.df == 1
    assert not found.boundary
    assert found.r2 is None


@pytest.mark.parametrize(
    ("full", "reduced", "error", "words"),
    [
        (lambda: fit("dose"), lambda: fit("source"), errors.NotNestedError, "moderators"),
        (fit, lambda: fit("source"), errors.NotNestedError, "moderators"),
        (lambda: fit("dose"), lambda: fit("dose"), errors.NotNestedError, "parameters"),
        (lambda: fit("dose", "REML"), lambda: fit(None, "REML"), errors.InputError, 'method="ML"'),
        (lambda: fit("dose"), lambda: fit(None, "REML"), errors.InputError, "by ML and REML"),
        (lambda: fit("dose", "DL"), lambda: fit(None, "DL"), errors.InputError, "by DL"),
        (lambda: fit("dose", "EE"), lambda: fit(None, "EE"), errors.InputError, "by EE"),
        (
            fit,
            lambda: mx.RandomEffects(ES.select([0, 1, 2], "x")).fit("ML"),
            errors.NotNestedError,
            "k = 20 and 3",
        ),
    ],
)
def test_fits_that_are_not_nested_are_refused(full, reduced, error, words: str) -> None:
    with pytest.raises(error, match=words):
        mx.likelihood_ratio_test(full(), reduced())


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_the_profile_is_highest_at_the_estimate(method: str) -> None:
    result = fit("dose", method)
    found = result.profile()
    assert found.maximum == pytest.approx(result.llf, rel=1e-12)
    assert found.maximum_at == result.tau2
    assert (found.llf <= found.maximum + 1e-12).all()
    assert found.restricted is (method == "REML")
    at = result.profile([result.tau2])
    np.testing.assert_allclose(at.params[0], result.beta, rtol=1e-10)
    np.testing.assert_allclose(at.low[0], result.conf_int()["low"], rtol=1e-10)
    row = mx.RandomEffects(ES, "dose").fit(method=method, tau2=0.3)
    np.testing.assert_allclose(result.profile([0.3]).llf, row.llf, rtol=1e-12)
    np.testing.assert_allclose(result.profile([0.3]).high[0], row.conf_int()["high"], rtol=1e-9)
    assert list(found.to_frame().columns)[:3] == ["tau2", "llf", "below"]
    with pytest.raises(errors.InputError, match="negative"):
        result.profile([-1.0])


def test_the_profile_of_other_estimators_is_the_restricted_one() -> None:
    found = fit(method="DL").profile()
    assert found.maximum_at == pytest.approx(fit(method="REML").tau2, rel=1e-8)
    zero = mx.EffectSizes([0.1, 0.5, 0.9], [0.0, 0.1, 0.2])
    result = mx.RandomEffects(zero).fit()
    assert np.isfinite(result.profile().llf).all()
    with pytest.raises(errors.InputError, match="tau2 = 0"):
        result.profile([0.0, 1.0])


def test_fits_side_by_side() -> None:
    one, two = fit(), fit("source + dose")
    table = mx.compare(one, two, names=["none", "all"])
    frame = table.to_frame()
    assert frame.loc["all", "aic"] == pytest.approx(two.aic)
    assert frame.loc["none", "parameters"] == 2
    assert np.isnan(frame["r2"].iloc[0])
    assert len(table.coefficients()) == 4
    text = str(table)
    assert "sourceplant" in text
    assert f"{two.aicc:.2f}" in text
    assert "| estimate (SE) | none | all |" in table.to_markdown()
    assert r"\toprule" in table.to_latex("Fits & more")
    assert r"\caption{Fits \& more}" in table.to_latex("Fits & more")
    assert "<caption>a &lt; b</caption>" in table.to_html("a < b")
    assert table._repr_html_() == table.to_html()
    assert repr(table) == "FitComparison(none, all)"


def test_fits_that_cannot_be_compared_are_said_to_be_so() -> None:
    with pytest.warns(errors.IncomparableFitsWarning, match="REML likelihoods"):
        table = mx.compare(fit(None, "REML"), fit("dose", "REML"))
    assert "fit them by ML" in str(table)
    with pytest.warns(errors.IncomparableFitsWarning, match="others not"):
        mx.compare(fit(None, "REML"), fit(None, "ML"))
    other = mx.RandomEffects(ES.select(range(5), "x")).fit(method="ML")
    with pytest.warns(errors.IncomparableFitsWarning, match="different effects"):
        mx.compare(fit(), other)
    mx.compare(fit("dose", "REML"), fit("dose", "REML", test="z"))
    with pytest.raises(errors.InputError, match="nothing to compare"):
        mx.compare()
    with pytest.raises(errors.ShapeError, match="2 names for 1"):
        mx.compare(fit(), names=["a", "b"])


def test_fits_are_tables_for_documents() -> None:
    result = fit("source + dose")
    assert "| sourceplant |" in result.to_markdown()
    assert "Random-effects model of 20 effects" in result.to_html("x")
    assert r"\begin{tabular}{lrrrr}" in result.to_latex()
    assert result._repr_html_().startswith("<table>")
    assert "source: F(2" not in str(result.summary())
    three = ES.data.assign(kind=["a", "b", "c", "a"] * 5)
    es = mx.EffectSizes(ES.y, ES.v, data=three)
    assert "kind: F(2, 16)" in str(mx.RandomEffects(es, "kind + dose").fit().summary())


def test_weights_of_ones_own_and_special_tests_are_refused() -> None:
    own = mx.RandomEffects(ES, "dose", weights=np.linspace(1, 2, K)).fit(method="ML")
    with pytest.raises(errors.InputError, match="likelihood-ratio test is made for inverse-variance"):
        mx.likelihood_ratio_test(own, fit())
    with pytest.raises(errors.InputError, match="profile is made"):
        own.profile()
    special = fit("dose", "REML", test="kenward-roger")
    with pytest.raises(errors.InputError, match="the profile knows only"):
        special.profile()
    with pytest.raises(errors.InputError, match="permutation test knows only"):
        permutation_test(special)


def test_fits_of_effects_without_bounds_are_compared_with_those_of_exact_effects() -> None:
    exact, censored = mx.RandomEffects(ES).fit("ML"), mx.CensoredRandomEffects(ES).fit("ML")
    assert exact.digest == censored.digest
    assert mx.compare(exact, censored).notes == ()
    larger = mx.CensoredRandomEffects(ES, ES.data["dose"]).fit("ML")
    found = mx.likelihood_ratio_test(larger, censored)
    assert found.statistic == pytest.approx(larger.likelihood_ratio_test(censored).statistic)
    assert mx.likelihood_ratio_test(larger, exact).statistic == pytest.approx(found.statistic)
    with pytest.raises(errors.NotNestedError, match="exchange the two"):
        mx.likelihood_ratio_test(censored, larger)


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_separate_variances_of_strata_are_tested_against_a_common_one(method: str) -> None:
    separate, common, smoothed = (
        mx.stratify(ES, "source", tau2, method) for tau2 in ("separate", "common", "smoothed")
    )
    found = mx.likelihood_ratio_test(separate, common)
    assert found.df == len(separate.fits) - 1
    assert found.statistic == pytest.approx(max(0.0, 2 * (separate.llf - common.llf)), abs=1e-9)
    with pytest.raises(errors.NotNestedError, match="exchange the two"):
        mx.likelihood_ratio_test(common, separate)
    with pytest.raises(errors.InputError, match="smoothed tau2 maximise no likelihood"):
        mx.likelihood_ratio_test(separate, smoothed)


def test_strata_that_hold_only_some_effects_are_of_other_effects() -> None:
    alone = ES.with_columns(kind=["alone", *["one", "two"] * 9, "one"])
    strata = mx.stratify(alone, "kind", method="ML")
    assert strata.rows_in_likelihood.tolist() == [False] + [True] * (K - 1)
    with pytest.raises(errors.NotNestedError, match="different effects"):
        mx.likelihood_ratio_test(strata, fit())


def test_fits_are_to_be_exchanged_only_where_that_helps() -> None:
    with pytest.raises(errors.NotNestedError) as found:
        mx.likelihood_ratio_test(fit("dose"), fit("source"))
    assert "exchange" not in str(found.value)
    assert "AIC" in found.value.remedy
    with pytest.raises(errors.InputError, match="hand in the fits one by one"):
        mx.compare([fit(), fit()])
    with pytest.raises(errors.InputError, match="has no likelihood") as refused:
        mx.compare(mx.CensoredRandomEffects(ES).fit().impute(2))
    assert not refused.value.remedy


COUNTS = mx.event_counts(
    treatment_events=[4, 3, 1, 6, 2, 9], treatment_n=[20, 40, 25, 60, 30, 22],
    control_events=[2, 5, 4, 9, 2, 3], control_n=[21, 38, 25, 61, 29, 20],
).with_columns(year=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])  # fmt: skip


@pytest.mark.parametrize(("model", "df"), [(mx.CountGLMM, 1), (mx.BetaBinomial, 2)])
@pytest.mark.parametrize("method", ["ML", "EE"])
def test_nested_models_of_counts(model, df, method) -> None:
    """A beta-binomial model of two arms has the moderator in the control arm as well."""
    full, reduced = (model(COUNTS, "OR", x).fit(method=method) for x in ("year", None))
    found = mx.likelihood_ratio_test(full, reduced)
    assert found.statistic == pytest.approx(2 * (full.llf - reduced.llf), abs=1e-10)
    assert found.df == df
    assert found.pvalue == pytest.approx(stats.chi2.sf(found.statistic, df), rel=1e-9)


def test_heterogeneity_of_counts_is_on_the_boundary() -> None:
    full, reduced = (mx.CountGLMM(COUNTS).fit(method=method) for method in ("ML", "EE"))
    found = mx.likelihood_ratio_test(full, reduced)
    assert full.tau2 > 0
    assert found.boundary
    assert found.pvalue == pytest.approx(stats.chi2.sf(2 * (full.llf - reduced.llf), 1) / 2, rel=1e-9)


def test_other_counts_and_other_models_of_counts_are_refused() -> None:
    full = mx.CountGLMM(COUNTS, "OR", "year").fit()
    fewer = mx.CountGLMM(COUNTS.select([0, 1, 2, 3, 4], "fewer")).fit()
    moved = mx.event_counts(
        treatment_events=COUNTS.events[:, 0], treatment_n=COUNTS.totals[:, 0] + 1,
        control_events=COUNTS.events[:, 1], control_n=COUNTS.totals[:, 1],
    )  # fmt: skip
    for other in (fewer, mx.CountGLMM(moved).fit()):
        with pytest.raises(errors.NotNestedError, match="different counts"):
            mx.likelihood_ratio_test(full, other)
    effects = mx.RandomEffects(COUNTS.effect_sizes("OR")).fit(method="ML")
    for other in (mx.CountGLMM(COUNTS, model="UM.FS").fit(), mx.BetaBinomial(COUNTS).fit(), effects):
        with pytest.raises(errors.NotNestedError, match="the fits are"):
            mx.likelihood_ratio_test(full, other)
    with pytest.raises(errors.NotNestedError, match="exchange the two"):
        mx.likelihood_ratio_test(mx.CountGLMM(COUNTS).fit(), full)


def test_the_intercept_is_no_moderator_and_has_no_ratio_at_the_year_0() -> None:
    late = COUNTS.with_columns(year=[2019.0, 2020, 2021, 2022, 2023, 2024])
    text = str(mx.CountGLMM(late, "OR", "year").fit().summary())
    assert "moderators: year\n" in text
    line = next(line for line in text.splitlines() if line.strip().startswith("intercept"))
    assert line.endswith("–")
    centred = str(mx.CountGLMM(COUNTS, "OR", "year").fit().summary())
    line = next(line for line in centred.splitlines() if line.strip().startswith("intercept"))
    assert line.endswith(")")
