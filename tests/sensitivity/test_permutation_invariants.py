"""What holds for every permutation test: p is a count of arrangements, and at least one of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metaexo as mx
from metaexo import errors
from metaexo.numeric.arrangements import permutation_p
from metaexo.sensitivity import permutation_test

# Few different values, so that equal effects, exact fits and zero estimates are common.
VALUES = st.sampled_from([-0.5, 0.0, 0.3, 0.3, 0.7, 1.0])
VARIANCES = st.sampled_from([0.02, 0.02, 0.05, 0.1])
CHOICES = st.sampled_from(
    [("REML", "knapp-hartung"), ("REML", "z"), ("DL", "knapp-hartung-adhoc"), ("EE", "z")]
)


def whole(p: float, arrangements: int) -> bool:
    """Whether a p-value is a whole number of arrangements, at least one and at most all."""
    count = p * arrangements
    return abs(count - round(count)) < 1e-9 * arrangements and 1 <= round(count) <= arrangements


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(VALUES, VARIANCES), min_size=2, max_size=5), CHOICES, st.booleans())
def test_the_p_value_of_a_fit_is_a_count_of_its_arrangements(rows, choices, with_moderator) -> None:
    y, v = (np.array(column) for column in zip(*rows, strict=True))
    moderator = np.arange(len(y)) % 2 if with_moderator and len(y) > 3 else None
    fit = mx.RandomEffects(mx.EffectSizes(y, v), moderator).fit(choices[0], choices[1])
    for alternative in ("two-sided", "greater", "less"):
        found = permutation_test(fit, alternative=alternative)
        assert all(whole(p, found.arrangements) for p in [*found.pvalue, found.omnibus])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(VALUES, VARIANCES), min_size=4, max_size=6),
    st.sampled_from(["separate", "common"]),
    st.sampled_from([("REML", "knapp-hartung"), ("DL", "z"), ("REML", "knapp-hartung-adhoc")]),
)
def test_the_p_value_between_strata_is_a_count_of_its_arrangements(rows, mode, choices) -> None:
    y, v = (np.array(column) for column in zip(*rows, strict=True))
    data = pd.DataFrame({"g": ["a", "a"] + ["b"] * (len(y) - 2)})
    strata = mx.stratify(mx.EffectSizes(y, v, data=data), "g", mode, choices[0], choices[1])
    found = strata.permutation_test()
    assert whole(found.pvalue, found.arrangements)
    assert found.pvalue >= found.smallest - 1e-12
    assert not np.isnan(found.statistics).any()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(VALUES, VARIANCES), min_size=12, max_size=12), st.integers(0, 3))
def test_the_p_values_of_an_attribution_are_counts_of_its_deals(rows, seed) -> None:
    y, v = (np.array(column) for column in zip(*rows, strict=True))
    data = pd.DataFrame({"source": list("aabbcc") * 2, "isolation": list("xyxyxyyxyxyx")})
    es = mx.EffectSizes(y, v, data=data)
    found = mx.attribute_heterogeneity(es, draws=0, permutations=19, seed=seed)
    for part in found.parts:
        assert part.pvalue is None or whole(part.pvalue, 20)


def test_infinite_statistics_tie_and_undefined_ones_are_refused() -> None:
    assert permutation_p(np.array([np.inf, np.inf, 5.0, 1.0]), np.inf, False) == 0.5
    assert permutation_p(np.array([-np.inf, 2.0]), -np.inf, False) == 1.0
    assert permutation_p(np.array([3.0 * (1 - 1e-12), 1.0]), 3.0, False) == 0.5
    assert permutation_p(np.array([1.0, 2.0, 3.0]), 9.0, True) == 0.25
    for values, observed in ((np.array([1.0, np.nan]), 1.0), (np.array([1.0]), np.nan)):
        with pytest.raises(errors.NotIdentifiableError, match="undefined"):
            permutation_p(values, observed, False)


def test_no_spread_at_all_is_no_evidence_against_zero() -> None:
    """Six risk differences of 0, and equal effects under a moderator: nothing is less extreme."""
    n = [10, 12, 20, 8, 15, 30]
    es = mx.effect_sizes("RD", treatment_events=[0] * 6, treatment_n=n, control_events=[0] * 6, control_n=n)
    assert permutation_test(mx.RandomEffects(es).fit()).pvalue[0] == 1
    equal = mx.EffectSizes([0.4] * 5, [0.02] * 5)
    found = permutation_test(mx.RandomEffects(equal, [1.0, 2.0, 3.0, 4.0, 5.0]).fit())
    assert (found.pvalue[1], found.omnibus) == (1, 1)


def test_equal_effects_in_a_stratum_tie_with_the_arrangements_that_have_them_too() -> None:
    """Two equal effects in a stratum. With one variance 4 of 15 arrangements are as extreme."""
    data = pd.DataFrame({"g": list("aabbbb")})
    es = mx.EffectSizes([0.3, 0.3, 0.4, 0.5, 0.7, 0.2], [0.02, 0.03, 0.04, 0.02, 0.03, 0.05], data=data)
    assert mx.stratify(es, by="g", tau2="common").permutation_test().pvalue == pytest.approx(4 / 15)
    assert mx.stratify(es, by="g").permutation_test().pvalue >= 1 / 15
    # both strata without spread, means apart: of the 6 arrangements those two have an infinite statistic
    two = mx.EffectSizes([0.1, 0.1, 0.5, 0.5], [0.02] * 4, data=pd.DataFrame({"g": list("aabb")}))
    found = mx.stratify(two, by="g").permutation_test()
    assert (found.statistic, found.pvalue) == (np.inf, pytest.approx(2 / 6))


def test_beyond_the_limit_rearrangements_are_drawn_where_that_is_asked_for() -> None:
    rng = np.random.default_rng(5)
    es = mx.EffectSizes(rng.normal(0.3, 0.5, 14), rng.uniform(0.02, 0.2, 14))
    fit = mx.RandomEffects(es).fit()
    exact = permutation_test(fit)
    assert exact.exact
    drawn = permutation_test(fit, 1999, limit=100, seed=2)
    assert not drawn.exact
    assert drawn.fitted == 2000
    p = float(exact.pvalue[0])
    assert abs(drawn.pvalue[0] - p) < 4 * np.sqrt(p * (1 - p) / 1999) + 1 / 2000
    assert "1,999 of 16,384 patterns of signs of 14 effects, drawn at random (seed 2)" in str(drawn)
    mean = drawn.tests[0]
    assert mean.error == pytest.approx(np.sqrt(mean.pvalue * (1 - mean.pvalue) / 1999))
    assert mean.pvalue_low < p < mean.pvalue_high
    again = permutation_test(fit, 1999, limit=100, seed=2)
    np.testing.assert_array_equal(again.pvalue, drawn.pvalue)
    many = mx.RandomEffects(mx.EffectSizes(rng.normal(0, 1, 2000), [0.1] * 2000)).fit(method="DL")
    assert "99 of more than 10^602 patterns" in str(permutation_test(many, 99))
    moderated = mx.RandomEffects(es, np.arange(14.0)).fit()
    assert 1 / 200 <= permutation_test(moderated, 199).pvalue[1] <= 1
