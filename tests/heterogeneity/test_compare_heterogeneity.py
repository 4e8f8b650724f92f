"""Does heterogeneity itself differ: the location-scale model's test, its bootstrap, and refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.heterogeneity import compare_heterogeneity
from tests.heterogeneity.helpers import effects, several_a_study

SIZES = {"a": 9, "b": 8, "c": 10}


def test_the_statistic_is_that_of_the_location_scale_model() -> None:
    es = effects(SIZES, tau2={"a": 0.05, "b": 0.9, "c": 0.2}, seed=11)
    found = mx.stratify(es, by="source").heterogeneity_test(draws=19)
    full = mx.LocationScale(es, "source", "source").fit()
    reduced = mx.RandomEffects(es, "source").fit()
    theirs = mx.likelihood_ratio_test(full, reduced)
    assert found.test.statistic == pytest.approx(theirs.statistic, rel=1e-7)
    assert found.test.df == (2.0,)
    assert found.test.pvalue == pytest.approx(theirs.pvalue, rel=1e-6)
    assert found.common == pytest.approx(reduced.tau2, rel=1e-8)


@pytest.mark.filterwarnings("ignore::metaexo.errors.ScaleBoundaryWarning")
def test_it_is_so_at_the_boundary_too() -> None:
    data = pd.DataFrame({"source": ["a"] * 6 + ["b"] * 6})
    y = [0.1, 0.12, 0.09, 0.11, 0.1, 0.1, -1.0, 1.3, 0.1, 1.9, -0.4, 0.2]
    es = mx.EffectSizes(y, [0.05] * 12, data=data)
    found = mx.stratify(es, by="source").heterogeneity_test(draws=19)
    full = mx.LocationScale(es, "source", "source").fit()
    assert found.tau2[0] == 0
    theirs = mx.likelihood_ratio_test(full, mx.RandomEffects(es, "source").fit())
    assert found.test.statistic == pytest.approx(theirs.statistic, rel=1e-7)
    assert "tau2 is 0 in a" in found.note


def test_bootstrap_and_chi_square_agree_where_strata_are_large() -> None:
    es = effects({"a": 120, "b": 120}, tau2={"a": 0.3, "b": 0.45}, seed=2)
    found = mx.stratify(es, by="source").heterogeneity_test(draws=999, seed=1)
    assert 0.005 < found.test.pvalue < 0.5
    error = np.sqrt(found.test.pvalue * (1 - found.test.pvalue) / 999)
    assert found.pvalue == pytest.approx(found.test.pvalue, abs=4 * error + 0.01)
    assert found.note == ""


def test_the_bootstrap_keeps_its_level_with_few_studies() -> None:
    # one variance for both strata of four studies: p <= 0.1 in about a tenth of the data sets
    rng = np.random.default_rng(12)
    data = pd.DataFrame({"source": ["a"] * 4 + ["b"] * 4})
    hits = 0
    for i in range(150):
        v = rng.uniform(0.02, 0.2, 8)
        es = mx.EffectSizes(rng.normal(0, np.sqrt(v + 0.2)), v, data=data)
        hits += compare_heterogeneity(mx.stratify(es, by="source"), draws=99, seed=i).pvalue <= 0.1
    assert hits / 150 == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 150))


def test_a_large_difference_is_found_and_means_do_not_matter() -> None:
    es = effects({"a": 12, "b": 12}, tau2={"a": 0.0, "b": 2.0})
    found = mx.stratify(es, by="source").heterogeneity_test()
    assert found.pvalue < 0.01
    shifted = mx.EffectSizes(es.y + 5.0 * (es.data["source"] == "a"), es.v, data=es.data)
    again = mx.stratify(shifted, by="source").heterogeneity_test()
    assert again.test.statistic == pytest.approx(found.test.statistic, rel=1e-8)
    assert again.pvalue == found.pvalue


def test_equal_spread_gives_a_statistic_of_zero_and_p_of_one() -> None:
    data = pd.DataFrame({"source": ["a"] * 4 + ["b"] * 4})
    y = [0.1, 0.5, 0.9, 0.3] * 2
    found = mx.stratify(mx.EffectSizes(y, [0.02] * 8, data=data), by="source").heterogeneity_test(draws=99)
    assert found.test.statistic == pytest.approx(0.0, abs=1e-9)
    assert found.pvalue == 1.0


def test_the_seed_decides_the_draws() -> None:
    result = mx.stratify(effects(SIZES), by="source")
    assert result.heterogeneity_test(seed=1).pvalue == result.heterogeneity_test(seed=1).pvalue


@pytest.mark.parametrize("sizes", [{"a": 6}, {"a": 6, "b": 1}, {"a": 2, "b": 2}])
def test_too_few_studies_are_refused_in_words(sizes: dict[str, int]) -> None:
    result = mx.stratify(effects(sizes), by="source")
    with pytest.raises(errors.TooFewStudiesError, match="three effects in one of them"):
        result.heterogeneity_test()


@pytest.mark.filterwarnings("ignore::metaexo.errors.DependentEffectsWarning")
def test_dependent_effects_are_refused_with_a_remedy() -> None:
    result = mx.stratify(several_a_study({"a": 4, "b": 4}), by="source")
    with pytest.raises(errors.InputError, match="one_per_study"):
        result.heterogeneity_test()


def test_no_draws_and_no_variance_are_refused() -> None:
    result = mx.stratify(effects(SIZES), by="source")
    with pytest.raises(errors.InputError, match="0 draws"):
        result.heterogeneity_test(draws=0)
    es = effects(SIZES)
    v = es.v.copy()
    v[0] = 0.0
    with pytest.raises(errors.InputError, match="zero"):
        mx.stratify(mx.EffectSizes(es.y, v, data=es.data), by="source").heterogeneity_test()


def test_words_hold_variances_and_both_p_values() -> None:
    text = str(mx.stratify(effects(SIZES), by="source").heterogeneity_test(draws=99))
    assert "tau2 by stratum" in text
    assert "parametric bootstrap of 99 draws" in text
    assert "rough guide" in text
