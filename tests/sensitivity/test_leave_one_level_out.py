"""Leave-one-level-out: components without each level are those of fits to the rest, and what it says."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError

rng = np.random.default_rng(5)
K = 60
DATA = pd.DataFrame(
    {
        "source": rng.choice(list("abcdef"), K),
        "method": rng.choice(["SEC", "UC", "kit"], K),
        "laboratory": np.repeat(np.arange(30), 2).astype(str),
    }
)
V = rng.uniform(0.02, 0.08, K)
LABORATORY = rng.normal(0, 0.5, 30)[DATA["laboratory"].astype(int)]
NOISE = LABORATORY + rng.normal(0, np.sqrt(V + 0.04))


def effects(odd: float) -> mx.EffectSizes:
    """Return effects of which those of one source are shifted."""
    return mx.EffectSizes(
        NOISE + odd * (DATA["source"] == "e"), V, study=DATA["laboratory"].tolist(), data=DATA
    )


TERMS = ["source", "method", "laboratory", "effect"]
ODD = mx.Multilevel(effects(3.0), TERMS).fit()
FOUND = mx.sensitivity.leave_one_level_out(ODD)


def test_components_are_those_of_fits_to_the_rest() -> None:
    assert FOUND.size == 6 + 3 + DATA["laboratory"].nunique()
    assert not FOUND.reasons
    for term, level in (("source", "e"), ("source", "b"), ("method", "kit"), ("laboratory", "7")):
        i = next(i for i in range(FOUND.size) if (FOUND.terms[i], FOUND.levels[i]) == (term, level))
        rest = ODD.effects.select((DATA[term] != level).to_numpy())
        alone = mx.Multilevel(rest, TERMS).fit()
        assert FOUND.tau2[i] == pytest.approx(list(alone.tau2_by_component.values()), abs=2e-7)
        assert FOUND.shares[i] == pytest.approx(alone.tau2_shares, abs=1e-6)
        assert (FOUND.k[i], FOUND.m[i]) == (rest.k, rest.m)
    assert FOUND.whole_shares.sum() == pytest.approx(1.0)


def test_a_source_that_makes_a_component_is_found_and_named() -> None:
    (one,) = FOUND.rests_on()
    assert (one.term, one.level, one.component) == ("source", "e", "source")
    assert one.share > 0.5
    assert one.share_without < 0.5 * one.share
    assert FOUND.most_influential("source").level == "e"
    sentence = f"Without source e the share of source falls from {one.share:.0%} to {one.share_without:.0%}."
    assert FOUND.sentence == str(one) == sentence


def test_the_sentence_follows_the_effects() -> None:
    plain = mx.sensitivity.leave_one_level_out(mx.Multilevel(effects(0.0), TERMS).fit())
    assert "source e" not in plain.sentence
    settled = mx.sensitivity.leave_one_level_out(mx.Multilevel(effects(0.0), ["laboratory"]).fit())
    assert settled.rests_on() == []
    one = settled.most_influential()
    assert settled.sentence == f"No single level makes a component. The largest change: {one}"
    assert re.search(r"(falls|rises) from [\d.]+ to [\d.]+\.$", settled.sentence)


def test_a_single_component_is_spoken_of_by_its_variance() -> None:
    y = np.array([0.1, 0.2, 0.0, 0.2, 0.1, 0.3, 2.9, 3.1])
    es = mx.EffectSizes(y, [0.01] * 8, data=pd.DataFrame({"batch": list("ppqqrrss")}))
    fit = mx.Multilevel(es, "batch").fit()
    found = mx.sensitivity.leave_one_level_out(fit)
    (one,) = found.rests_on()
    assert one.tau2_without == 0  # 0.1 to 0.3 is less than by sampling
    assert one.sentence == (
        f"Without batch s no variance is left; with all levels the variance of batch is {fit.tau2:.3f}."
    )
    larger = mx.EffectSizes(y, [0.001] * 8, data=es.data)
    (one,) = mx.sensitivity.leave_one_level_out(mx.Multilevel(larger, "batch").fit()).rests_on()
    assert one.sentence == (
        f"Without batch s the variance of batch falls from {one.tau2:.3f} to {one.tau2_without:.3g}."
    )
    assert one.level == "s"


def test_shares_of_several_variances_per_term_are_those_of_the_rest() -> None:
    data = DATA.assign(outcome=["x", "y"] * (K // 2))
    es = mx.EffectSizes(NOISE, V, study=data["laboratory"].tolist(), data=data)
    fit = mx.Multilevel(es, [mx.RandomTerm("laboratory", "outcome", "DIAG"), "source"]).fit()
    found = mx.sensitivity.leave_one_level_out(fit, "source")
    kept = (data["source"] != found.levels[2]).to_numpy()
    alone = mx.sensitivity.refit(fit, kept)
    assert found.components == ("laboratory|x", "laboratory|y") or len(found.components) == 3
    assert found.shares[2] == pytest.approx(alone.tau2_shares, abs=1e-5)


def test_of_many_levels_those_that_link_others_and_then_the_largest_are_left_out() -> None:
    found = mx.sensitivity.leave_one_level_out(ODD, "laboratory", most=5)
    table = ODD.random_effects().query("component == 'laboratory'").set_index("level")["estimate"].abs()
    by_laboratory = DATA.groupby("laboratory")
    linked = by_laboratory["source"].nunique() + by_laboratory["method"].nunique()
    order = sorted(table.index, key=lambda name: (-linked[name], -table[name]))
    assert set(found.levels) == set(order[:5])
    assert set(found.levels) != set(table.nlargest(5).index)
    assert "laboratory: 5 of" in str(found)
    assert "most levels of other terms" in str(found)
    alone = mx.Multilevel(effects(0.0), "laboratory").fit()
    size = alone.random_effects().set_index("level")["estimate"].abs()
    assert set(mx.sensitivity.leave_one_level_out(alone, most=4).levels) == set(size.nlargest(4).index)


def test_a_laboratory_that_links_sources_is_among_few_however_small_its_prediction() -> None:
    data = pd.DataFrame(
        {"laboratory": list("aaaabbccddeeffgghh"), "source": list("pqrspp") + list("qqrrss") * 2}
    )
    y = [0.0, 0.1, 0.0, -0.1, 1.0, 1.1, -1.0, -1.1, 0.9, 1.0, -1.2, -1.0, 0.8, 0.9, -0.9, -1.0, 1.1, 1.2]
    fit = mx.Multilevel(mx.EffectSizes(y, [0.01] * 18, data=data), ["source", "laboratory", "effect"]).fit()
    assert mx.sensitivity.leave_one_level_out(fit, "laboratory", most=1).levels == ("a",)


def test_levels_without_a_fit_have_a_reason() -> None:
    data = pd.DataFrame({"g": list("aabb"), "lab": list("xyxy")})
    fit = mx.Multilevel(mx.EffectSizes([0.1, 0.9, 0.4, 1.2], [0.02] * 4, data=data), ["g"]).fit()
    found = mx.sensitivity.leave_one_level_out(fit)
    assert set(found.reasons) == {0, 1}
    assert np.isnan(found.tau2).all()
    assert "No level can be left out" in found.sentence
    with pytest.raises(InputError, match="no level has a fit"):
        found.most_influential()


def test_what_has_no_levels_is_refused_with_a_remedy() -> None:
    with pytest.raises(InputError, match="no random terms"):
        mx.sensitivity.leave_one_level_out(mx.RandomEffects(effects(0.0), dependence="accept").fit())
    with pytest.raises(UnknownChoiceError, match="source"):
        mx.sensitivity.leave_one_level_out(ODD, "sourse")
    with pytest.raises(InputError, match="one level per effect"):
        mx.sensitivity.leave_one_level_out(mx.Multilevel(effects(0.0), "effect").fit())


def test_the_summary_points_to_it_where_levels_are_few() -> None:
    assert "(source 6, method 3): one of them can make a variance" in str(ODD.summary())
    assert "leave_one_level_out" not in str(mx.Multilevel(effects(0.0), ["laboratory"]).fit().summary())


def test_an_attribution_is_looked_at_without_each_level_and_each_study() -> None:
    es = effects(3.0).with_columns(study=[str(i) for i in range(K)])
    fit = mx.attribute_heterogeneity(es, ["source", "method"], draws=0, permutations=99)
    found = mx.sensitivity.leave_one_level_out(fit)
    assert found.components == ("source", "method")
    assert found.whole_shares == pytest.approx([fit.shares["source"], fit.shares["method"]])
    assert set(found.terms) == {"source", "method", "study"}
    for term, level in (("source", "e"), ("study", "7")):
        i = next(i for i in range(found.size) if (found.terms[i], found.levels[i]) == (term, level))
        kept = np.array([x != level for x in (es.data["source"] if term == "source" else es.study)])
        rest = mx.attribute_heterogeneity(
            fit.used.select(kept), ["source", "method"], draws=0, permutations=19, min_studies=1
        )
        assert found.shares[i] == pytest.approx([rest.shares["source"], rest.shares["method"]], abs=1e-6)
        assert found.k[i] == kept.sum()
    (one,) = (one for one in found.rests_on() if one.component == "source")
    assert (one.term, one.level) == ("source", "e")
    (caution,) = (reason for reason in fit.verdict.reasons if reason.startswith("caution"))
    assert caution.startswith("caution: without source e (")
    assert f"falls from {one.share:.0%} to " in caution


def test_no_caution_where_no_level_makes_the_share() -> None:
    draws = np.random.default_rng(1)
    data = pd.DataFrame({"source": ["a", "b", "c", "d"] * 12})
    y = draws.normal(data["source"].map({"a": 0.0, "b": 1.0, "c": 2.0, "d": 3.0}), 0.3)
    fit = mx.attribute_heterogeneity(
        mx.EffectSizes(y, [0.02] * 48, data=data), "source", draws=0, permutations=99
    )
    assert fit.verdict.kind == "source"
    assert not any(reason.startswith("caution") for reason in fit.verdict.reasons)


def test_clusters_stand_in_the_place_of_studies() -> None:
    es = effects(0.0).with_columns(study=[str(i) for i in range(K)])
    by_column = mx.attribute_heterogeneity(es, "source", draws=0, permutations=99, cluster="laboratory")
    labs = es.with_columns(study=DATA["laboratory"].tolist())
    by_hand = mx.attribute_heterogeneity(labs, "source", draws=0, permutations=99)
    assert by_column.verdict == by_hand.verdict
    assert by_column.m == DATA["laboratory"].nunique()
    assert (
        mx.heterogeneity.attribution_verdict(es, "source", permutations=99, cluster="laboratory").sentence
        == by_hand.verdict.sentence
    )
    with pytest.raises(UnknownChoiceError):
        mx.attribute_heterogeneity(es, "source", cluster="labratory")
