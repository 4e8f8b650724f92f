"""The LFK index: ranks counted one by one, what it does not depend on, and what it refuses."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import InputError, NotIdentifiableError, TooFewStudiesError
from tests.contract.test_results import CASES, example

INVERSE = NormalDist().inv_cdf
Y = np.array([0.9, 0.1, 0.4, -0.2, 0.3, 1.6])
V = np.array([0.2, 0.05, 0.1, 0.2, 0.04, 0.4])  # the ranks are whole: 200, 800, 400, 200, 1000, 100


def by_counting(y, v):
    """Return scores and index from a list in which each effect stands as often as it has ranks."""
    repeated = np.sort(np.repeat(y, np.rint(100 * max(v) / v).astype(int)))
    middle = [np.mean(np.flatnonzero(repeated == one)) for one in y]  # from 0
    z = np.array([INVERSE(one / repeated.size) for one in middle])
    tip = y[np.abs(z).argmin()]
    slope = (z.max() - z.min()) / (y.max() - y.min())
    return z, 2.5 * np.mean([a + slope * (b - tip) for a, b in zip(z, y, strict=True)]), tip


@pytest.mark.parametrize("y", [Y, np.array([0.9, 0.1, 0.4, 0.4, 0.1, 1.6])], ids=["apart", "tied"])
def test_scores_and_index_are_those_of_counted_ranks(y):
    found = mx.bias.lfk_index(mx.EffectSizes(y, V))
    z, index, tip = by_counting(y, V)
    assert found.scores == pytest.approx(z, abs=1e-13)
    assert found.index == pytest.approx(index, rel=1e-12)
    assert found.tip == tip


def test_the_order_of_rows_and_units_do_not_matter():
    draws = np.random.default_rng(3)
    y, v = draws.normal(0.3, 0.5, 40).round(1), draws.uniform(0.01, 0.3, 40)  # some are tied
    found = mx.bias.lfk_index(mx.EffectSizes(y, v))
    order = draws.permutation(40)
    other = mx.bias.lfk_index(mx.EffectSizes(y[order], v[order]))
    assert other.index == pytest.approx(found.index, rel=1e-12)
    assert other.scores == pytest.approx(found.scores[order], rel=1e-12)
    for c in (1e-6, 1e6):
        scaled = mx.bias.lfk_index(mx.EffectSizes(c * y, c**2 * v))
        assert scaled.index == pytest.approx(found.index, rel=1e-9)
        assert scaled.tip == pytest.approx(c * found.tip, rel=1e-12)
    moved = mx.bias.lfk_index(mx.EffectSizes(y + 5, v))
    assert moved.index == pytest.approx(found.index, rel=1e-9)


def test_a_mirror_image_has_the_opposite_index_but_for_half_a_rank():
    found, mirrored = (mx.bias.lfk_index(mx.EffectSizes(y, V)).index for y in (Y, -Y))
    assert found > 0
    assert mirrored == pytest.approx(-found, abs=0.01)
    symmetric = mx.bias.lfk_index(mx.EffectSizes([-1.0, 0.0, 1.0], [0.1, 0.01, 0.1])).index
    assert symmetric == pytest.approx(0.0, abs=0.01)


def test_precision_without_bounds_keeps_the_scores_finite():
    with pytest.warns(mx.errors.VarianceRatioWarning):
        es = mx.EffectSizes([0.1, 0.2, 0.3], [1e-12, 1.0, 1e6])
    found = mx.bias.lfk_index(es)
    assert np.isfinite(found.scores).all()
    assert found.scores[2] == pytest.approx(-INVERSE(50.5 / 1e20), rel=1e-9)


def test_it_says_that_it_is_no_test():
    found = mx.bias.lfk_index(mx.EffectSizes(Y, V))
    for text in (found.to_text(), found.to_markdown(), found.to_latex(), found.to_html()):
        assert "no test" in text
    assert not hasattr(found, "pvalue")
    assert any("should not be used to judge asymmetry" in words for words in found.cautions())
    assert any("6 studies" in words for words in found.cautions())
    assert found.to_frame().loc[0, ["method", "k", "index"]].tolist() == ["LFK index", 6, found.index]
    assert "call major asymmetry" in found.sentence
    flat = mx.bias.lfk_index(mx.EffectSizes([-1.0, 0.0, 1.0], [0.1, 0.01, 0.1])).sentence
    assert "call no asymmetry" in flat


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_family_of_results_has_the_index_of_its_effects(kind, name):
    fit = example(kind, name)
    if fit.design.x is not None:
        with pytest.raises(InputError, match="moderators"):
            mx.bias.lfk_index(fit)
        return
    es = getattr(fit.effects, "exact", fit.effects)
    es = es.select(~np.isnan(es.v))  # counts without events have no effect of their own
    assert mx.bias.lfk_index(fit).index == mx.bias.lfk_index(es).index


def test_two_effects_have_an_index_and_one_has_none():
    es = mx.EffectSizes([0.1, 0.7], [0.02, 0.08])  # 400 and 100 ranks
    z = INVERSE(199.5 / 500), INVERSE(449.5 / 500)
    wanted = 2.5 * (z[0] + z[1] + (z[1] - z[0])) / 2
    assert mx.bias.lfk_index(es).index == pytest.approx(wanted, rel=1e-12)
    with pytest.raises(TooFewStudiesError):
        mx.bias.lfk_index(mx.EffectSizes([0.1], [0.02]))
    with pytest.raises(NotIdentifiableError, match="all 3 effects are equal"):
        mx.bias.lfk_index(mx.EffectSizes([0.1] * 3, [0.02, 0.03, 0.04]))
    with pytest.raises(InputError, match="zero"):
        mx.bias.lfk_index(mx.EffectSizes([0.1, 0.2], [0.0, 0.1]))
    with pytest.raises(InputError, match="lfk_index was given"):
        mx.bias.lfk_index("effects")
