"""Definitions of R2 and I2."""

from __future__ import annotations

import numpy as np
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.models.univariate.heterogeneity import DEFINITIONS

Y = np.array([0.2, 0.9, -0.4, 1.3, 0.6, 0.1, -0.2, 1.1])
V = np.array([0.02, 0.05, 0.03, 0.04, 0.06, 0.02, 0.09, 0.05])
DOSE = np.array([1.0, 3.0, 1.0, 5.0, 2.0, 2.0, 1.0, 4.0])
ES = mx.EffectSizes(Y, V)


def test_the_first_definition_is_r2() -> None:
    fit = mx.RandomEffects(ES, DOSE).fit()
    assert fit.r2_by("tau2") == fit.r2


@pytest.mark.parametrize("definition", sorted(DEFINITIONS))
@pytest.mark.parametrize("method", ["REML", "ML", "DL"])
def test_every_definition_is_near_nothing_for_noise_and_larger_for_the_dose(
    definition: str, method: str
) -> None:
    noise = np.array([1.0, -1, 1, 1, -1, 1, -1, -1])
    useless = mx.RandomEffects(ES, noise).fit(method=method).r2_by(definition)
    useful = mx.RandomEffects(ES, DOSE).fit(method=method).r2_by(definition)
    assert 0 <= useless < 0.3
    assert useful > useless


def test_the_correlation_is_that_of_numpy() -> None:
    fit = mx.RandomEffects(ES, DOSE).fit()
    r = np.corrcoef(Y, fit.fitted_values)[0, 1]
    assert fit.r2_by("correlation") == pytest.approx(r**2)


def test_equal_variances_have_one_typical_variance() -> None:
    fit = mx.RandomEffects(mx.EffectSizes(Y, np.full(8, 0.04))).fit()
    assert fit.i2_by("harmonic-mean") == pytest.approx(fit.i2_by("typical"))
    assert fit.i2_by().typical_variance == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("fit", "definition", "words"),
    [
        (lambda: mx.RandomEffects(ES).fit(), "fitted", "moderators"),
        (lambda: mx.RandomEffects(ES, DOSE, intercept=False).fit(), "fitted", "intercept"),
        (lambda: mx.RandomEffects(ES, DOSE).fit(tau2=0.1), "tau2", "estimated"),
        (lambda: mx.RandomEffects(ES, DOSE).fit(), "nagelkerk", "nagelkerke"),
    ],
)
def test_what_cannot_be_said_is_refused(fit: object, definition: str, words: str) -> None:
    with pytest.raises(errors.InputError, match=words):
        fit().r2_by(definition)


def test_definitions_of_i2_are_named() -> None:
    with pytest.raises(errors.UnknownChoiceError, match="harmonic-mean"):
        mx.RandomEffects(ES).fit().i2_by("harmonic")
