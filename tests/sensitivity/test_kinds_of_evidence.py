"""Censored fits without each kind of evidence, against fits of the remaining effects."""

from __future__ import annotations

import numpy as np
import pytest

import metaexo as mx
from metaexo.effects import bounded_effects
from metaexo.errors import InputError

INF = float("inf")
LOWER = [0.2, 0.9, 0.6, 0.7, -0.6, -0.7, 0.0]
UPPER = [0.2, 0.9, 0.6, INF, 0.6, 0.7, INF]
V = [0.08, 0.10, 0.09, 0.13, 0.09, 0.12, 0.11]
KINDS = ["exact", "interval, two ends", "interval, one end", "direction"]


@pytest.fixture
def effects():
    """Return three exact effects, one p < 0.05, two p > 0.05, and a direction."""
    return bounded_effects(LOWER, UPPER, V, measure="SMD", oriented=True)


def test_every_kind_is_left_out_in_turn(effects):
    fit = mx.CensoredRandomEffects(effects).fit()
    table = mx.sensitivity.leave_kind_out(fit)
    assert table.index.tolist() == ["nothing", *KINDS]
    assert table.loc["nothing", "estimate"] == pytest.approx(fit.estimate)
    rest = mx.CensoredRandomEffects(effects.select([True] * 6 + [False], "a test")).fit()
    assert table.loc["direction", "estimate"] == pytest.approx(rest.estimate)
    assert mx.sensitivity.without_kind(fit, "direction").tau2 == pytest.approx(rest.tau2)


def test_a_kind_without_which_there_is_no_estimate_has_a_note():
    few = bounded_effects([0.2, 0.5, 0.7, 0.4], [0.2, 0.5, INF, INF], [0.1] * 4)
    table = mx.sensitivity.leave_kind_out(mx.CensoredRandomEffects(few).fit())
    assert "no maximum" in table.loc["exact", "note"]
    assert np.isnan(table.loc["exact", "estimate"])


def test_all_choices_stay_as_they_were(effects):
    fit = mx.CensoredRandomEffects(effects).fit("ML", "z", 0.9, tau2=0.1)
    rest = mx.sensitivity.without_kind(fit, "direction")
    assert (rest.method, rest.test, rest.level, rest.tau2, rest.tau2_given) == ("ML", "z", 0.9, 0.1, True)


def test_kinds_are_left_out_of_models_with_moderators_too(effects):
    x = np.array([0.1, 0.5, -0.2, 0.3, 0.0, -0.4, 0.2])
    fit = mx.CensoredRandomEffects(effects, x, names=["x"]).fit()
    table = mx.sensitivity.leave_kind_out(fit)
    assert {"intercept", "x", "x_low", "x_high"} <= set(table.columns)
    assert table.loc["nothing", "x"] == pytest.approx(fit.params["x"])
    rest = mx.CensoredRandomEffects(effects.select([True] * 6 + [False], "a test"), x[:6], names=["x"]).fit()
    assert table.loc["direction", ["k", "x"]].tolist() == pytest.approx([6, rest.params["x"]])


@pytest.mark.parametrize("kind", ["interval", "", None, 3, ["exact"]])
def test_a_kind_that_is_not_there_is_refused(effects, kind):
    with pytest.raises(InputError, match="no effect is of the kind"):
        mx.sensitivity.without_kind(mx.CensoredRandomEffects(effects).fit(), kind)


@pytest.mark.parametrize(
    "wrong", [None, "fit", mx.RandomEffects(mx.EffectSizes([0.1, 0.2], [0.1, 0.1])).fit()]
)
def test_a_fit_of_another_model_is_refused(wrong):
    with pytest.raises(InputError, match="a fit of CensoredRandomEffects"):
        mx.sensitivity.leave_kind_out(wrong)
    with pytest.raises(InputError, match="a fit of CensoredRandomEffects"):
        mx.sensitivity.without_kind(wrong, "exact")
