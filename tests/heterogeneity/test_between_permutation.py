"""Labels permuted between studies: counted by hand, refused where nothing can be permuted."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from math import comb

import numpy as np
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.heterogeneity import permute_strata
from tests.heterogeneity.helpers import effects, several_a_study


@pytest.mark.parametrize("mode", ["separate", "common"])
@pytest.mark.parametrize("test", ["knapp-hartung", "z", "t", "knapp-hartung-adhoc"])
def test_the_statistic_of_the_data_is_that_of_the_test_between_strata(mode: str, test: str) -> None:
    result = mx.stratify(effects({"a": 4, "b": 3, "c": 3}), by="source", tau2=mode, test=test)
    assert result.permutation_test().statistic == pytest.approx(result.between.statistic, rel=1e-8)


@pytest.mark.parametrize("mode", ["separate", "common"])
def test_every_arrangement_is_the_test_of_relabelled_studies(mode: str) -> None:
    es = effects({"a": 4, "b": 3}, {"a": 0.0, "b": 0.9})
    found = mx.stratify(es, by="source", tau2=mode).permutation_test()
    labels = es.data["source"].tolist()
    statistics = {
        order: mx.stratify(es.with_columns(source=order), by="source", tau2=mode).between.statistic
        for order in set(permutations(labels))
    }
    assert found.exact
    assert found.arrangements == len(statistics) == comb(7, 3)
    assert np.sort(found.statistics) == pytest.approx(np.sort(list(statistics.values())), rel=1e-7)
    observed = statistics[tuple(labels)]
    share = np.mean([s >= observed * (1 - 1e-8) for s in statistics.values()])
    assert found.pvalue == pytest.approx(share, rel=1e-12)


def test_equal_strata_can_be_exchanged_so_the_smallest_p_is_twice_as_large() -> None:
    result = mx.stratify(effects({"a": 4, "b": 4}, {"a": -3.0, "b": 3.0}), by="source")
    found = result.permutation_test()
    assert found.pvalue == found.smallest == pytest.approx(2 / comb(8, 4))


def test_many_arrangements_are_drawn_with_a_seed() -> None:
    result = mx.stratify(effects({"a": 9, "b": 9}, {"a": 0.0, "b": 0.5}), by="source")
    exact = result.permutation_test()
    first, again = (result.permutation_test(limit=100, draws=1999, seed=7) for _ in range(2))
    assert exact.exact
    assert not first.exact
    assert (first.pvalue, first.fitted) == (again.pvalue, 2000)
    assert first.pvalue == pytest.approx(
        exact.pvalue, abs=4 * np.sqrt(exact.pvalue * (1 - exact.pvalue) / 2000)
    )
    assert first.smallest == 1 / 2000
    assert first.pvalue >= first.smallest


def test_strata_of_one_study_are_not_dealt() -> None:
    es = effects({"a": 4, "b": 3, "lone": 1})
    found = mx.stratify(es, by="source").permutation_test()
    assert found.permuted == 7
    assert found.arrangements == comb(7, 3)


@pytest.mark.filterwarnings("ignore::metaexo.errors.DependentEffectsWarning")
def test_effects_of_a_study_stay_together() -> None:
    es = several_a_study({"a": 4, "b": 3})
    found = mx.stratify(es, by="source", tau2="common").permutation_test()
    assert (found.permuted, found.kept) == (7, 0)
    assert found.arrangements == comb(7, 3)
    studies = list(dict.fromkeys(es.study))
    statistics = []
    for order in set(permutations("aaaabbb")):
        level = dict(zip(studies, order, strict=True))
        moved = es.with_columns(source=[level[s] for s in es.study])
        fit = mx.stratify(moved, by="source", tau2="common", cluster=None)
        statistics.append(fit.between.statistic)
    assert np.sort(found.statistics) == pytest.approx(np.sort(statistics), rel=1e-7)


@pytest.mark.filterwarnings("ignore::metaexo.errors.DependentEffectsWarning")
def test_a_study_in_several_strata_keeps_its_labels() -> None:
    es = several_a_study({"a": 3, "b": 3})
    source = es.data["source"].tolist()
    source[0] = "b"  # the first study has an effect in each
    found = mx.stratify(es.with_columns(source=source), by="source").permutation_test()
    assert (found.permuted, found.kept) == (5, 1)
    assert found.arrangements == comb(5, 2)
    assert "1 study in several strata keeps its label" in str(found)


@pytest.mark.filterwarnings("ignore::metaexo.errors.DependentEffectsWarning")
def test_methods_compared_within_every_study_cannot_be_dealt() -> None:
    result = mx.stratify(several_a_study({"a": 4, "b": 3}), by="isolation")
    with pytest.raises(errors.NotIdentifiableError, match="of 7 studies 7 have effects in several strata"):
        result.permutation_test()


def test_without_two_strata_there_is_nothing_to_deal() -> None:
    with pytest.raises(errors.TooFewStudiesError, match="no labels to permute"):
        permute_strata(mx.stratify(effects({"a": 4, "b": 1}), by="source"))


def test_smoothed_strata_are_dealt_by_the_statistic_of_one_variance() -> None:
    es = effects({"a": 4, "b": 3}, tau2={"a": 0.0, "b": 1.0})
    smoothed = mx.stratify(es, by="source", tau2="smoothed").permutation_test()
    common = mx.stratify(es, by="source", tau2="common").permutation_test()
    assert smoothed.pvalue == common.pvalue


def test_words_say_how_many_and_how_small() -> None:
    text = str(mx.stratify(effects({"a": 4, "b": 3}), by="source").permutation_test())
    assert "all 35 arrangements of the labels of 7 studies" in text
    assert "smallest possible" in text


def test_arrangements_of_thousands_of_studies_are_printed_as_a_power_of_ten() -> None:
    """Python writes no whole number of more than 4300 digits."""
    es = effects({"a": 6, "b": 6})
    found = permute_strata(mx.stratify(es, by="source"), limit=9, draws=19)
    assert "19 drawn of 924 arrangements" in found.how
    assert "drawn of about 10^4771 arrangements" in replace(found, arrangements=3**10_000).how
    assert "drawn of 999999999999 arrangements" in replace(found, arrangements=10**12 - 1).how
    assert "drawn of about 10^12 arrangements" in replace(found, arrangements=10**12).how
