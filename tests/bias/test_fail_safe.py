"""Fail-safe N."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import metaexo as mx
from metaexo.errors import InputError, NotIdentifiableError, TooFewStudiesError
from tests.contract.test_results import CASES, example

KINDS = ["rosenthal", "binomial", "orwin", "rosenberg", "general"]


def draw(seed, k=12, mean=0.4):
    draws = np.random.default_rng(seed)
    v = draws.uniform(0.01, 0.2, k)
    return draws.normal(mean, np.sqrt(v + 0.03)), v


def counted(significant):
    """Return the first number from 0 that is not significant."""
    count = 0
    while significant(count):
        count += 1
    return count


@pytest.mark.parametrize("seed", range(5))
def test_rosenthal_by_counting(seed):
    y, v = draw(seed)
    z = y / np.sqrt(v)
    es = mx.EffectSizes(y, v)

    def stouffer(count):
        return stats.combine_pvalues(stats.norm.sf(np.append(z, np.zeros(count))), "stouffer").pvalue <= 0.05

    def fisher(count):
        p = np.append(stats.norm.sf(np.abs(z)), np.full(count, 0.5))
        return stats.combine_pvalues(p, "fisher").pvalue <= 0.05

    assert mx.bias.fail_safe_n(es).number == counted(stouffer)
    found = mx.bias.fail_safe_n(es, pooling="fisher")
    assert found.number == counted(fisher)
    assert found.pvalue == pytest.approx(stats.combine_pvalues(stats.norm.sf(np.abs(z)), "fisher").pvalue)


@pytest.mark.parametrize("seed", range(5))
def test_binomial_by_counting_pairs(seed):
    y, v = draw(seed, 20)
    y[3] = 0.0  # without a sign
    plus = int((y > 0).sum())

    def significant(pairs):
        return stats.binomtest(plus + pairs, 19 + 2 * pairs).pvalue <= 0.05

    found = mx.bias.fail_safe_n(mx.EffectSizes(y, v), "binomial")
    assert found.number == 2 * counted(significant)
    assert found.pvalue == pytest.approx(stats.binomtest(plus, 19).pvalue)
    mirrored = mx.bias.fail_safe_n(mx.EffectSizes(-y, v), "binomial")
    assert (mirrored.number, mirrored.pvalue) == (found.number, found.pvalue)


@pytest.mark.parametrize("weighted", [False, True])
def test_orwin_brings_the_mean_to_its_target(weighted):
    y, v = draw(1)
    mean = np.average(y, weights=1 / v if weighted else None)
    found = mx.bias.fail_safe_n(mx.EffectSizes(y, v), "orwin", weighted=weighted, target=-0.1)
    assert found.average == pytest.approx(mean)
    assert found.target == pytest.approx(0.1)
    assert 12 * mean / (12 + found.number) <= 0.1 < 12 * mean / (11 + found.number)
    half = mx.bias.fail_safe_n(mx.EffectSizes(y, v), "orwin", weighted=weighted)
    assert half.number == 12
    assert "arbitrary" in " ".join(half.cautions())


@pytest.mark.parametrize("seed", range(5))
def test_rosenberg_and_the_general_method_agree_for_equal_effects(seed):
    """Studies without an effect and of the mean weight are added to the data themselves."""
    y, v = draw(seed)
    es = mx.EffectSizes(y, v)

    def significant(count):
        more = np.append(y, np.zeros(count)), np.append(1 / v, np.full(count, np.mean(1 / v)))
        z = (more[0] @ more[1]) / math.sqrt(more[1].sum())
        return 2 * stats.norm.sf(abs(z)) <= 0.05

    expected = counted(significant)
    assert mx.bias.fail_safe_n(es, "rosenberg").number == expected
    fit = mx.RandomEffects(es).fit(method="EE")
    found = mx.bias.fail_safe_n(fit, "general")
    assert found.number == expected
    assert found.pvalue == pytest.approx(float(fit.pvalues.iloc[0]))


@pytest.mark.parametrize("method", ["DL", "REML", "PM", "SJ", "HE"])
@pytest.mark.parametrize("seed", range(3))
def test_the_general_method_adds_studies_with_the_same_heterogeneity(method, seed):
    """The variance of both groups of true effects together, by the sum of squares of invented ones."""
    y, v = draw(seed)
    fit = mx.RandomEffects(mx.EffectSizes(y, v)).fit(method=method, test="z")

    def together(count):
        def invented(mean, size):
            scores = np.linspace(-1, 1, size) if size > 1 else np.zeros(1)
            spread = np.sqrt(fit.tau2 / np.var(scores, ddof=1)) if size > 1 else 0.0
            return mean + spread * scores

        true = np.concatenate((invented(fit.estimate, 12), invented(0.0, count))) if count else None
        tau2 = fit.tau2 if true is None else np.var(true, ddof=1)
        w = np.append(1 / (v + tau2), np.full(count, 1 / (stats.hmean(v) + tau2)))
        mean = np.append(y, np.zeros(count)) @ w / w.sum()
        return tau2, mean, 2 * stats.norm.sf(abs(mean) * math.sqrt(w.sum()))

    found = mx.bias.fail_safe_n(fit, "general")
    assert found.number == counted(lambda count: together(count)[2] <= 0.05)
    values = [found.tau2_with, found.average_with, found.pvalue_with]
    assert values == pytest.approx(list(together(found.number)), rel=1e-9)
    target = mx.bias.fail_safe_n(fit, "general", target=0.1)
    assert target.number == counted(lambda count: abs(together(count)[1]) > 0.1)
    assert target.target == pytest.approx(0.1)


def test_values_of_r():
    """fsn() of metafor 3.8-1 with type Rosenthal, Rosenberg and Orwin."""
    es = mx.EffectSizes([0.5, 0.4, 0.9, 0.3], [0.04, 0.05, 0.09, 0.02])
    assert mx.bias.fail_safe_n(es).number == 29
    assert mx.bias.fail_safe_n(es, "rosenberg").number == 17
    assert mx.bias.fail_safe_n(es, "orwin", target=0.2).number == 7


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [1e-8, 1e6])
def test_units_and_direction_do_not_matter(kind, factor):
    y, v = draw(2)
    plain = mx.bias.fail_safe_n(mx.RandomEffects(mx.EffectSizes(y, v)).fit(), kind)
    turned = mx.EffectSizes(-factor * y, factor**2 * v)
    other = mx.bias.fail_safe_n(mx.RandomEffects(turned).fit(), kind)
    assert plain.number == other.number > 0
    if kind in ("orwin", "rosenberg", "general"):
        assert other.average_with == pytest.approx(-factor * plain.average_with)


@pytest.mark.parametrize("kind", KINDS)
def test_effects_that_are_not_significant_need_no_study(kind):
    es = mx.EffectSizes([0.1, -0.1, 0.05], [0.1, 0.1, 0.1])
    found = mx.bias.fail_safe_n(es, kind, **({"target": 0.5} if kind == "orwin" else {}))
    assert found.number == 0
    none = mx.bias.fail_safe_n(mx.EffectSizes([0.0, 0.0], [0.1, 0.2]), kind)
    assert none.number == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_words_say_that_it_is_a_poor_guide(kind):
    y, v = draw(3)
    found = mx.bias.fail_safe_n(mx.EffectSizes(y, v, "RATIO"), kind)
    assert "poor guide" in found.cautions()[0]
    assert found.sentence in found.to_text()
    assert f"{found.number} studies without an effect" in found.sentence
    assert found.to_frame()["number"].tolist() == [found.number]
    if kind == "orwin":
        assert f"from {math.exp(found.average):.3f}" in found.sentence


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("family", "name"), CASES)
def test_every_family_of_results(kind, family, name):
    fit = example(family, name)
    if fit.design.x is not None:
        with pytest.raises(InputError, match="moderators"):
            mx.bias.fail_safe_n(fit, kind)
        return
    assert mx.bias.fail_safe_n(fit, kind).number >= 0


def test_wrong_inputs():
    es = mx.EffectSizes(*draw(4))
    wrong = (
        {"kind": "rosental"},
        {"pooling": "tippett"},
        {"weighted": "yes"},
        {"significance": 5},
        {"kind": "orwin", "target": 0},
        {"kind": "orwin", "target": "small"},
        {"kind": "orwin", "target": math.inf},
        {"target": 0.1},
    )
    for choices in wrong:
        with pytest.raises(InputError):
            mx.bias.fail_safe_n(es, **choices)
    with pytest.raises(TooFewStudiesError):
        mx.bias.fail_safe_n(mx.EffectSizes([0.1], [0.1]))
    with pytest.raises(NotIdentifiableError, match="no value of no effect"):
        mx.bias.fail_safe_n(mx.effect_sizes("PLO", events=[2, 5], n=[10, 10]))
    weighted = mx.RandomEffects(es, weights="equal").fit()
    with pytest.raises(InputError, match="weights"):
        mx.bias.fail_safe_n(weighted, "general")
