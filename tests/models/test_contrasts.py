"""Linear combinations, term tests, adjusted p-values and variance inflation: definitions and properties."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

import metaexo as mx
from metaexo import errors
from metaexo.models import adjust_pvalues

RNG = np.random.default_rng(11)
K = 24
DATA = pd.DataFrame(
    {
        "source": ["milk", "adipose", "plant", "plant"] * 6,
        "dose": RNG.uniform(1, 9, K),
        "year": RNG.integers(2010, 2024, K).astype(float),
    }
)
Y, V = RNG.normal(0.5, 0.4, K) + 0.1 * DATA["dose"].to_numpy(), RNG.uniform(0.02, 0.2, K)


def fit(text: str | None = "source + dose", **choices):
    return mx.RandomEffects(mx.EffectSizes(Y, V, data=DATA), text).fit(**choices)


def test_a_combination_has_the_variance_of_a_combination() -> None:
    result = fit()
    found = result.contrast({"sourcemilk": 1, "sourceplant": -1, "dose": 2})
    weights = np.array([0, 1, -1, 2.0])
    assert found.names == ("sourcemilk + 2 dose - sourceplant",)
    assert found.estimate[0] == pytest.approx(weights @ result.beta, rel=1e-12)
    assert found.se[0] == pytest.approx(np.sqrt(weights @ result.cov @ weights), rel=1e-12)
    df = K - 4
    assert found.df[0] == df
    assert found.pvalue[0] == pytest.approx(2 * stats.t.sf(abs(found.statistic[0]), df), rel=1e-10)
    half = stats.t.ppf(0.975, df) * found.se[0]
    assert found.high[0] - found.low[0] == pytest.approx(2 * half, rel=1e-10)
    assert found.joint.statistic == pytest.approx(found.statistic[0] ** 2, rel=1e-10)


def test_single_coefficients_are_those_of_the_fit() -> None:
    for test in ("z", "knapp-hartung"):
        result = fit(test=test)
        found = result.contrast(["sourcemilk", "dose"])
        table = found.to_frame()
        np.testing.assert_allclose(table["pvalue"], result.pvalues[["sourcemilk", "dose"]], rtol=1e-12)
        np.testing.assert_allclose(
            table["low"], result.conf_int().loc[["sourcemilk", "dose"], "low"], rtol=1e-12
        )
        assert ("df" in table) is (test != "z")


def test_a_null_that_is_not_zero_shifts_the_test_and_not_the_interval() -> None:
    result = fit(test="z")
    zero, shifted = result.contrast("dose"), result.contrast("dose", null=0.05)
    assert shifted.statistic[0] == pytest.approx(
        (result.params["dose"] - 0.05) / result.bse["dose"], rel=1e-12
    )
    assert shifted.low[0] == zero.low[0]
    assert "0.05" in shifted.joint.null


def test_several_combinations_are_tested_together() -> None:
    result = fit()
    rows = np.eye(4)[1:]
    joint = result.contrast(rows).joint
    assert joint.statistic == pytest.approx(result.moderator_test.statistic, rel=1e-12)
    assert joint.df == (3, K - 4)
    dependent = result.contrast(np.vstack([rows, rows[0] + rows[1]])).joint
    assert np.isnan(dependent.statistic)
    assert np.isnan(dependent.pvalue)


def test_a_joint_test_does_not_depend_on_how_the_combinations_are_written() -> None:
    result = fit()
    rows = np.eye(4)[1:3]
    mixed = np.array([[2.0, -1.0], [0.5, 3.0]]) @ rows
    assert result.contrast(mixed).joint.statistic == pytest.approx(
        result.contrast(rows).joint.statistic, rel=1e-9
    )


def test_names_of_several_combinations() -> None:
    named = fit().contrast(
        {"plant": {"sourceplant": 1}, "mean": {"intercept": 1, "dose": 4.5}}, adjust="holm"
    )
    assert named.names == ("plant", "mean")
    assert list(named.to_frame().columns)[-1] == "adjusted"
    assert "holm p" in str(named)
    assert "plant" in repr(named)


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        ("dosis", errors.UnknownChoiceError),
        ({"dosis": 1.0}, errors.UnknownChoiceError),
        ([1.0, 2.0], errors.ShapeError),
        ([[np.nan, 0, 0, 0]], errors.ShapeError),
        ([[0.0, 0, 0, 0]], errors.InputError),
    ],
)
def test_combinations_that_cannot_be_read_are_refused(weights: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        fit().contrast(weights)


def test_term_tests_do_not_depend_on_the_base_level() -> None:
    one = fit("source + dose").test_terms(adjust="bonferroni")
    other = fit('C(source, base="plant") + dose').test_terms()
    assert one["source"].statistic == pytest.approx(other["C(source)"].statistic, rel=1e-9)
    assert one["source"].df == (2, K - 4)
    assert one["dose"].statistic == pytest.approx(fit().tvalues["dose"] ** 2, rel=1e-10)
    table = one.to_frame().set_index("term")
    assert table.loc["source", "adjusted"] == pytest.approx(min(1, 2 * table.loc["source", "pvalue"]))
    assert "source: F" in str(one)
    with pytest.raises(errors.UnknownChoiceError, match="source"):
        one["sourse"]
    with pytest.raises(errors.InputError, match="no terms"):
        fit(None).test_terms()


def test_array_designs_have_a_term_a_column() -> None:
    result = mx.RandomEffects(mx.EffectSizes(Y, V), DATA[["dose", "year"]]).fit(test="z")
    assert list(result.test_terms().tests) == ["dose", "year"]
    assert result.test_terms().to_frame()["distribution"].tolist() == ["chi2", "chi2"]


def test_holm_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(3)
    for size in (1, 2, 7, 40):
        p = np.round(rng.uniform(0, 0.2, size), 2)  # with ties
        np.testing.assert_allclose(adjust_pvalues(p, "holm"), multipletests(p, method="holm")[1], rtol=1e-14)


def test_holm_and_bonferroni_by_hand() -> None:
    p = np.array([0.01, 0.04, np.nan, 0.03])
    np.testing.assert_allclose(adjust_pvalues(p, "bonferroni"), [0.03, 0.12, np.nan, 0.09])
    np.testing.assert_allclose(adjust_pvalues(p, "holm"), [0.03, 0.06, np.nan, 0.06])
    np.testing.assert_allclose(adjust_pvalues(p, "benjamini-hochberg"), [0.03, 0.04, np.nan, 0.04])
    with pytest.raises(errors.UnknownChoiceError, match="holm"):
        adjust_pvalues(p, "holms")


def test_adjusted_p_values_are_never_smaller() -> None:
    p = np.random.default_rng(6).uniform(size=7)
    for how in ("holm", "bonferroni", "sidak", "holm-sidak", "hochberg", "hommel", "benjamini-yekutieli"):
        assert (adjust_pvalues(p, how) >= p - 1e-15).all()


def test_vif_is_that_of_the_regression_of_each_moderator_on_the_others() -> None:
    es = mx.EffectSizes(Y, np.full(K, 0.1), data=DATA)  # equal weights: the textbook definition
    found = mx.RandomEffects(es, "dose + year").fit().vif()
    r = np.corrcoef(DATA["dose"], DATA["year"])[0, 1]
    np.testing.assert_allclose(found.factor, 1 / (1 - r**2), rtol=1e-9)
    np.testing.assert_allclose(found.generalised, found.factor, rtol=1e-12)
    assert found.to_frame()["se_factor"].iloc[0] == pytest.approx(np.sqrt(found.factor[0]))


def test_vif_is_a_table_of_terms_as_it_prints() -> None:
    found = fit("source + dose").vif()
    table = found.to_frame()
    assert table.index.tolist() == ["source", "dose"]
    assert [row[0] for row in found.reader_tables()[0].rows] == table.index.tolist()
    assert found.coefficients_frame().index.tolist() == list(found.names)


def test_several_combinations_by_name() -> None:
    model = fit("source + dose")
    first, second = [name for name in model.design.names if name.startswith("source")][:2]
    rows = [{first: 1, second: -1}, {first: 1}]
    listed = model.contrast(rows, adjust="holm")
    named = model.contrast({"a": rows[0], "b": rows[1]}, adjust="holm")
    assert listed.estimate.tolist() == named.estimate.tolist()
    assert listed.pvalue.tolist() == named.pvalue.tolist()
    assert listed.names == (f"{first} - {second}", first)


def test_generalised_vif_does_not_depend_on_the_base_level() -> None:
    one = fit("source + dose").vif().to_frame()
    other = fit('C(source, base="plant") + dose').vif().to_frame()
    np.testing.assert_allclose(one["factor"], other["factor"], rtol=1e-9)
    # a set and all the others share one factor
    assert one["factor"].iloc[0] == pytest.approx(one["factor"].iloc[1], rel=1e-9)
    assert one.loc["source", "se_factor"] == pytest.approx(one.loc["source", "factor"] ** 0.25)


def test_uncorrelated_moderators_do_not_inflate() -> None:
    x = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]] * 3)
    found = mx.RandomEffects(mx.EffectSizes(np.arange(12.0) ** 1.5, np.full(12, 0.2)), x).fit().vif()
    np.testing.assert_allclose(found.factor, 1.0, rtol=1e-12)
    assert "1.00" in str(found)
    with pytest.raises(errors.InputError, match="no moderators"):
        fit(None).vif()


def test_contrasts_of_ratio_measures_show_ratios():
    """The exponential of a difference of log risk ratios is a ratio of risk ratios."""
    trials = mx.load_dataset("bcg")
    es = mx.effect_sizes("RR", data=trials, labels="study")
    found = (
        mx.RandomEffects(es, "allocation").fit().contrast({"allocationrandom": 1, "allocationsystematic": -1})
    )
    table = found.to_frame()
    np.testing.assert_allclose(table["ratio"], np.exp(found.estimate))
    np.testing.assert_allclose(table[["ratio_low", "ratio_high"]], np.exp(table[["low", "high"]]))
    assert f"{np.exp(found.estimate[0]):.3f} (" in found.to_markdown()
    pairs = mx.stratify(es, "allocation").pairwise(adjust="BH")
    assert pairs.adjustment == "benjamini-hochberg"
    np.testing.assert_allclose(pairs.to_frame()["ratio"], np.exp(pairs.estimate))
    plain = mx.RandomEffects(mx.EffectSizes(es.y, es.v, data=es.data), "allocation").fit()
    assert "ratio" not in plain.contrast("allocationrandom").to_frame()


def test_a_difference_in_words_is_answered_with_its_weights():
    trials = mx.load_dataset("bcg")
    fit = mx.RandomEffects(mx.effect_sizes("RR", data=trials, labels="study"), "allocation").fit()
    for text in ("allocationrandom - allocationsystematic", "allocationrandom-allocationsystematic"):
        with pytest.raises(mx.errors.InputError) as caught:
            fit.contrast(text)
        assert "contrast({'allocationrandom': 1, 'allocationsystematic': -1})" in str(caught.value)
    both = fit.contrast({"allocationrandom": 1, "allocationsystematic": -1})
    assert both.estimate[0] == pytest.approx(fit.beta[1] - fit.beta[2], rel=1e-12)
