"""What rests on few degrees of freedom, or on no spread at all, says so wherever it is shown."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.models.linear.hypothesis import make_test


def shown(fit: object) -> list[str]:
    return [str(fit.summary()), fit.to_text(), fit.to_markdown(), fit.to_latex(), fit.to_html()]  # type: ignore[attr-defined]


def test_a_fit_without_anything_to_say_has_no_cautions() -> None:
    fit = mx.RandomEffects(mx.EffectSizes([0.1, 0.5, -0.4, 0.9, 0.2, 0.4], [0.02] * 6)).fit()
    assert fit.cautions() == ()
    assert all("caution" not in text for text in shown(fit))


def test_an_interval_on_one_df_carries_a_caution_wherever_it_is_shown() -> None:
    fit = mx.RandomEffects(mx.EffectSizes([0.1, 0.9], [0.01, 0.02])).fit()
    assert any("intercept: 1 df" in text for text in fit.cautions())
    assert all("caution" in text for text in shown(fit))
    assert fit.to_frame()["df"].tolist() == [1.0]
    assert "1 denominator df" in str(fit.moderator_test)


def test_a_test_on_less_than_one_denominator_df_has_no_p_value() -> None:
    for df, testable in ((0.36, False), (0.97, False), (1.0, True), (1.6, True)):
        test = make_test(3.0, "F", (1, df), "nothing")
        assert np.isfinite(test.pvalue) == testable
        assert f"{df:.4g} denominator df" in str(test)
    assert "caution" not in str(make_test(3.0, "F", (1, 4.0), "nothing"))
    assert "caution" not in str(make_test(3.0, "chi2", (1,), "nothing"))


def test_knapp_hartung_narrower_than_equal_effects() -> None:
    es = mx.EffectSizes([0.45, 0.47, 0.5], [0.05, 0.04, 0.06])
    fit = mx.RandomEffects(es).fit()
    equal = mx.RandomEffects(es).fit("EE")
    bounds, other = fit.conf_int(), equal.conf_int()
    assert float((bounds.high - bounds.low).iloc[0]) < float((other.high - other.low).iloc[0])
    assert any("narrower" in text for text in fit.cautions())
    wider = mx.RandomEffects(es).fit(test="knapp-hartung-adhoc")
    assert not any("narrower" in text for text in wider.cautions())


def test_equal_effects_with_knapp_hartung_warns_and_keeps_the_caution() -> None:
    model = mx.RandomEffects(mx.EffectSizes([0.1, 0.3, 0.5, 0.2, 0.3], [0.02, 0.03, 0.04, 0.02, 0.02]))
    with pytest.warns(errors.EqualEffectsTestWarning, match="meant for random-effects models"):
        fit = model.fit(method="EE", test="knapp-hartung")
    assert any("meant for random-effects" in text for text in fit.cautions())


def test_no_spread_is_not_testable_in_table_test_and_summary_alike() -> None:
    es = mx.EffectSizes([0.1, 0.1, 0.5, 0.5], [0.02] * 4, data=pd.DataFrame({"g": list("aabb")}))
    fit = mx.RandomEffects(es, moderators="g").fit()
    assert fit.se.tolist() == [0.0, 0.0]
    assert fit.pvalues.isna().all()
    assert fit.tvalues.isna().all()
    assert np.isnan(fit.moderator_test.pvalue)
    contrast = fit.contrast("gb")
    assert np.isnan([contrast.pvalue[0], contrast.joint.pvalue]).all()
    assert all("no width" in text for text in shown(fit))
    assert "p < 0.0001" not in str(fit.summary())


def test_one_effect_has_no_heterogeneity() -> None:
    fit = mx.RandomEffects(mx.EffectSizes([0.4], [0.05])).fit(method="EE")
    assert any("no tau2 and no I2" in text for text in fit.cautions())
    assert "I2 0" not in str(fit.summary())


@pytest.mark.filterwarnings("ignore::metaexo.errors.FewStudiesWarning")
def test_equal_effects_have_no_spread_for_robust_errors_and_for_censored_fits() -> None:
    # the residuals are rounding error of the effects; taken for spread they gave p = 1e-34
    for k in (2, 3, 6, 7):
        for y in (0.0, 0.2, -1.1):
            es = mx.EffectSizes([y] * (2 * k), [0.1] * (2 * k), study=[str(i // 2) for i in range(2 * k)])
            fits = (
                mx.RandomEffects(es, dependence="accept").fit().robust("study", kind="CR1"),
                mx.robust_variance(es, kind="CR1"),
                mx.robust_variance(es, "hierarchical", kind="CR1"),
                mx.Multilevel(es).fit().robust("study", kind="CR1"),
                mx.CensoredRandomEffects(mx.EffectSizes([y] * k, [0.1] * k)).fit(),
            )
            for fit in fits:
                assert fit.pvalues.isna().all()
                assert (fit.se == 0).all()
                assert any("no width" in text for text in fit.cautions())


def test_equal_effects_within_levels_have_no_spread_for_censored_fits() -> None:
    es = mx.EffectSizes([0.1, 0.1, 0.5, 0.5], [0.02] * 4, data=pd.DataFrame({"g": list("aabb")}))
    assert mx.CensoredRandomEffects(es, "g").fit().pvalues.isna().all()


@pytest.mark.filterwarnings("ignore::metaexo.errors.FewStudiesWarning")
@pytest.mark.parametrize("rows", [0, None, "x", [], [1.0], [[1.0, 2.0, 3.0]], [[np.nan, 1.0]], {}])
def test_combinations_of_another_shape_are_refused(rows: object) -> None:
    es = mx.EffectSizes(
        [0.1, 0.5, -0.4, 0.9, 0.2, 0.4], [0.02] * 6, data=pd.DataFrame({"x": range(6)}), study=list("aabbcc")
    )
    plain = mx.RandomEffects(es, "x", dependence="accept")
    for fit in (
        plain.fit(),
        plain.fit(test="kenward-roger"),
        plain.fit().robust("study", kind="CR1"),
        mx.Multilevel(es, moderators="x").fit(test="t-containment"),
    ):
        for call in (lambda fit=fit: fit.df_of(rows), lambda fit=fit: fit.joint_test(rows, 0.0, "nothing")):
            with pytest.raises(errors.MetaexoError):
                call()


def test_values_whose_squares_overflow_are_refused_without_a_warning_of_numpy() -> None:
    es = mx.EffectSizes([0.1, 0.5, -0.4, 0.9], [0.02] * 4, data=pd.DataFrame({"x": [1e308, 1.0, 2.0, 3.0]}))
    huge = [1e200, 1.0, 2.0, 3.0]
    fit = mx.RandomEffects(es, [4.0, 1.0, 2.0, 3.0]).fit()
    for call in (
        lambda: mx.EffectSizes([0.1, 0.2], [1e308, 1e308]),
        lambda: mx.RandomEffects(es, huge),
        lambda: mx.RandomEffects(es, "x"),
        lambda: mx.LocationScale(es, None, huge),
        lambda: mx.fit_many([[1e308, 1e308]], [[0.1, 0.1]]),
        lambda: mx.fit_many([[0.1, 0.2]], [[0.1, 0.1]], counts=[1e308, 1]),
        lambda: mx.RandomEffects(es).fit(tau2=1e308),
        lambda: mx.CensoredRandomEffects(es).fit(tau2=1e308),
        lambda: fit.predict([[1e308]]),
        lambda: fit.contrast([1e308, 0.0]),
        lambda: fit.contrast({"x1": 1e308}),
    ):
        with pytest.raises(errors.MetaexoError):
            call()


def test_names_that_differ_by_blanks_or_capitals_alone_are_said_to_count_as_several() -> None:
    def effects(words: list[str]) -> mx.EffectSizes:
        return mx.EffectSizes([0.1, 0.2, 0.5, 0.6], [0.02] * 4, data=pd.DataFrame({"g": words}))

    for near in (["milk", "milk ", "plant", "plant"], ["milk", "Milk", "plant", "plant"]):
        with pytest.warns(errors.UnclearLevelWarning, match="blanks or capitals"):
            assert len(mx.stratify(effects(near), by="g").strata) == 3
        with pytest.warns(errors.UnclearLevelWarning, match="blanks or capitals"):
            mx.RandomEffects(effects(near), "g")
    with pytest.warns(errors.UnclearLevelWarning, match="'Li 2020', 'Li 2020 '"):
        assert mx.EffectSizes([0.1, 0.2], [0.1, 0.1], study=["Li 2020", "Li 2020 "]).m == 2
    mx.stratify(effects(["milk", "milk", "plant", "plant"]), by="g")  # says nothing


@pytest.mark.parametrize(
    ("measure", "inputs", "other"),
    [
        ("PR", {"events": [0, 1, 2], "n": [10, 10, 10]}, "PLO"),
        ("COR", {"correlation": [0.7, 0.97, 0.9], "n": [8, 9, 7]}, "ZCOR"),
        ("PLN", {"events": [9, 5, 8], "n": [10, 10, 10]}, "PLO"),
        ("IR", {"events": [1, 2, 1], "time": [9.0, 10.0, 20.0]}, "IRLN"),
    ],
)
def test_intervals_beyond_what_is_possible_are_said(measure: str, inputs: dict, other: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        es = mx.effect_sizes(measure, **inputs)
        safe = mx.effect_sizes(other, **inputs)
    for fit in (mx.RandomEffects(es).fit(), mx.Multilevel(es, "effect").fit(test="t")):
        said = [text for text in fit.cautions() if "beyond what is possible" in text]
        assert said
        assert other in said[0]
        assert said[0] in str(fit.summary()).replace("\n", " ") or "beyond what" in str(fit.summary())
    assert not any("beyond" in text for text in mx.RandomEffects(safe).fit().cautions())


def test_intervals_within_what_is_possible_are_not_blamed() -> None:
    es = mx.effect_sizes("COR", correlation=[0.2, 0.3, 0.25, 0.1, 0.15], n=[80, 90, 70, 100, 60])
    assert not any("beyond" in text for text in mx.RandomEffects(es).fit().cautions())
