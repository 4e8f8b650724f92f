"""Power of the test of a component: against single maxima, its size at a share of 0, and its words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.numeric.mixed.law import mixed_law
from metaexo.numeric.mixed.structured import maximise

rng = np.random.default_rng(2)
K = 60
DATA = pd.DataFrame(
    {"source": rng.choice(list("abcdefgh"), K), "laboratory": np.repeat(np.arange(30), 2).astype(str)}
)
ES = mx.EffectSizes(
    rng.normal(0, 0.4, 30)[np.repeat(np.arange(30), 2)] + rng.normal(0, 0.3, K), [0.05] * K, data=DATA
)
FIT = mx.Multilevel(ES, ["source", "laboratory", "effect"]).fit()


def test_it_is_the_share_of_draws_in_which_single_fits_reject() -> None:
    found = mx.sensitivity.power_of_component(FIT, "source", 0.3, tau2=0.5, draws=25, seed=4)
    shares = FIT.maximum.theta[1:] / FIT.maximum.theta[1:].sum()
    critical = stats.chi2.isf(0.1, 1)
    for i, share in enumerate((0.0, 0.3)):
        theta = np.append(share * 0.5, (1 - share) * 0.5 * shares)
        y = mixed_law(FIT.problem, FIT.problem.matrices(theta), np.zeros(K)).draw(4, 0, 25)
        rejected = []
        for effects in y:
            one = replace(FIT.problem, y=effects)
            gain = 2 * (maximise(one, True, {}).llf - maximise(one, True, {0: 0.0}).llf)
            rejected.append(gain > critical)
        assert found.power[i] == pytest.approx(np.mean(rejected))
    assert found.se[1] == pytest.approx(np.sqrt(found.power[1] * (1 - found.power[1]) / 25))
    assert found.tau2 == 0.5


def test_a_power_of_all_or_none_of_the_draws_has_an_interval_of_some_width() -> None:
    found = mx.sensitivity.power_of_component(FIT, "laboratory", (0.9,), tau2=50.0, draws=20)
    assert found.power[1] == 1.0
    assert found.power_low[1] == pytest.approx(0.025 ** (1 / 20))  # Clopper and Pearson, 20 of 20
    assert found.power_high[1] == 1.0
    x = round(found.power[0] * 20)
    assert found.power_high[0] == pytest.approx(stats.beta.isf(0.025, x + 1, 20 - x))
    assert f"{found.power_low[1]:.0%} to 100%" in str(found)
    frame = found.to_frame()
    assert frame["power_low"].tolist() == found.power_low.tolist()
    with pytest.raises(InputError, match="20"):
        mx.sensitivity.power_of_component(FIT, "source", draws=19)


def test_the_size_is_near_its_level_and_power_grows_with_the_share() -> None:
    found = mx.sensitivity.power_of_component(FIT, "laboratory", (0.2, 0.6), draws=400)
    assert found.size < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 400)
    assert found.power[0] < found.power[1] < found.power[2]
    assert found.to_frame()["share"].tolist() == [0.0, 0.2, 0.6]


def test_draws_depend_on_the_seed_alone() -> None:
    few, more = (mx.sensitivity.power_of_component(FIT, "source", 0.4, draws=n) for n in (100, 101))
    assert abs(round(more.power[1] * 101) - round(few.power[1] * 100)) in (0, 1)
    again = mx.sensitivity.power_of_component(FIT, "source", 0.4, draws=100)
    assert again.power.tolist() == few.power.tolist()


def test_the_sentence_has_the_numbers() -> None:
    found = mx.sensitivity.power_of_component(FIT, "source", (0.1, 0.5), draws=40)
    a, b = (f"{power:.0%}" for power in found.power[1:])
    assert found.sentence == (
        "With 8 levels of source in 60 effects a likelihood-ratio test finds a share of 10% with probability "
        f"{a} and 50% with probability {b}; at a share of 0 it rejects in {found.size:.0%} of the draws."
    )
    assert found.sentence in str(found)


def test_what_cannot_be_asked_is_refused() -> None:
    power = mx.sensitivity.power_of_component
    with pytest.raises(UnknownChoiceError, match="source"):
        power(FIT, "sorce")
    with pytest.raises(InputError, match=r"level=0\.95"):
        power(FIT, "source", level=0.05)
    with pytest.raises(InputError, match="above 0 and at most 1"):
        power(FIT, "source", (0.1, 10))
    with pytest.raises(InputError, match="two random terms"):
        power(mx.Multilevel(ES, "laboratory").fit(), "laboratory")
    with pytest.raises(InputError, match="no random terms"):
        power(mx.RandomEffects(ES, dependence="accept").fit(), "study")
