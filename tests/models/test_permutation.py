"""Exact permutation tests against a loop over single fits."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.models import exact_permutation_test

Y = np.array([0.4, 0.1, 0.7, -0.2, 0.5])
V = np.array([0.05, 0.1, 0.08, 0.2, 0.04])
ES = mx.EffectSizes(Y, V)


@pytest.mark.parametrize("choices", [{"method": "EE"}, {"method": "REML", "test": "z"}, {"method": "DL"}])
@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_signs_are_flipped_in_every_way(choices: dict, alternative: str) -> None:
    fit = mx.RandomEffects(ES).fit(**choices)
    found = exact_permutation_test(fit, alternative)
    z = np.array(
        [
            mx.RandomEffects(mx.EffectSizes(Y * signs, V)).fit(**choices).tvalues.iloc[0]
            for signs in product((1, -1), repeat=5)
        ]
    )
    observed = fit.tvalues.iloc[0]
    extreme = {"two-sided": abs(z) >= abs(observed), "greater": z >= observed, "less": z <= observed}
    # ties are counted: the observed arrangement, and for two sides its mirror image
    slack = {"two-sided": abs(z) >= abs(observed) * (1 - 1e-9), "greater": z >= observed * (1 - 1e-9)}
    assert found.pvalue[0] == slack.get(alternative, extreme[alternative]).mean()
    assert found.arrangements == 32
    assert found.omnibus == slack["two-sided"].mean()


@pytest.mark.parametrize("test", ["z", "knapp-hartung", "knapp-hartung-adhoc"])
def test_rows_are_exchanged_in_every_way(test: str) -> None:
    dose = np.array([1.0, 2.0, 3.0, 5.0, 8.0])
    fit = mx.RandomEffects(ES, dose).fit(test=test)
    found = exact_permutation_test(fit)
    t = np.array([mx.RandomEffects(ES, dose[list(o)]).fit(test=test).tvalues for o in permutations(range(5))])
    share = (np.abs(t) >= np.abs(fit.tvalues.to_numpy()) * (1 - 1e-9)).mean(axis=0)
    np.testing.assert_allclose(found.pvalue, share, rtol=1e-12)
    assert found.arrangements == 120
    assert list(found.to_frame().index) == ["intercept", "x1"]


def test_equal_rows_are_not_told_apart() -> None:
    group = np.array([0.0, 0.0, 1.0, 1.0, 1.0])
    fit = mx.RandomEffects(ES, group).fit(method="EE")
    found = exact_permutation_test(fit)
    assert found.arrangements == 10
    z = np.array(
        [
            mx.RandomEffects(ES, group[list(o)]).fit(method="EE").tvalues.iloc[1]
            for o in permutations(range(5))
        ]
    )
    share = (np.abs(z) >= abs(fit.tvalues.iloc[1]) * (1 - 1e-9)).mean()
    assert found.pvalue[1] == pytest.approx(share, rel=1e-12)


def test_several_moderators_are_tested_together() -> None:
    x = np.array([[1.0, 0], [0, 1], [0, 0], [1, 1], [2, 0]])
    fit = mx.RandomEffects(ES, x).fit(method="EE")
    found = exact_permutation_test(fit)
    q = np.array(
        [
            mx.RandomEffects(ES, x[list(o)]).fit(method="EE").moderator_test.statistic
            for o in permutations(range(5))
        ]
    )
    assert found.omnibus == pytest.approx((q >= fit.moderator_test.statistic * (1 - 1e-9)).mean(), rel=1e-12)
    assert "120 rearrangements" in str(found)


def test_a_given_tau2_stays() -> None:
    fit = mx.RandomEffects(ES).fit(tau2=0.1, test="z")
    weights = 1 / (V + 0.1)
    means = np.array([weights @ (Y * s) for s in product((1, -1), repeat=5)])
    share = (np.abs(means) >= abs(weights @ Y) * (1 - 1e-9)).mean()
    assert exact_permutation_test(fit).pvalue[0] == share


def test_refusals() -> None:
    fit = mx.RandomEffects(ES).fit()
    with pytest.raises(errors.InputError, match="32 rearrangements"):
        exact_permutation_test(fit, limit=31)
    with pytest.raises(errors.UnknownChoiceError, match="two-sided"):
        exact_permutation_test(fit, "both")
