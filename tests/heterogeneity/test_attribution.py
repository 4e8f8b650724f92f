"""Attribution of heterogeneity: shares that add up, chance by permutations, and refusals without numbers."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.heterogeneity import attribution_verdict
from metaexo.heterogeneity.attribution.shares import commonality_weights, shapley_weights, subsets

SOURCES, METHODS = ["plant", "milk", "MSC"], ["UC", "SEC", "kit"]


def effects(k=30, size=(0.6, 0.0), seed=1, spread=0.09, **more):
    """Return effects of k studies with three sources and three methods, all combinations in turn."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {"source": [SOURCES[i % 3] for i in range(k)], "isolation": [METHODS[(i // 3) % 3] for i in range(k)]}
    )
    v = rng.uniform(0.03, 0.15, k)
    true = size[0] * np.array([SOURCES.index(s) - 1 for s in data["source"]])
    true = true + size[1] * np.array([METHODS.index(s) - 1 for s in data["isolation"]])
    return mx.EffectSizes(rng.normal(true, np.sqrt(v + spread)), v, data=data, **more)


def confounded(k=18, seed=2):
    """Return effects whose source tells the isolation method."""
    es = effects(k, seed=seed)
    method = dict(zip(SOURCES, METHODS, strict=True))
    return es.with_columns(isolation=[method[s] for s in es.column("source")])


def by_kind(result, *kinds):
    return {p.name: p.share for p in result.parts if p.kind in kinds}


@pytest.fixture(scope="module")
def found():
    return mx.attribute_heterogeneity(effects(), draws=200, permutations=199)


# -- shares ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_shapley_is_the_mean_over_all_orders(p):
    rng = np.random.default_rng(p)
    sets = subsets(p)
    e = dict(zip(sets, rng.normal(size=len(sets)), strict=True))
    e[()] = 0.0
    orders = list(permutations(range(p)))
    wanted = np.zeros(p)
    for order in orders:
        for place, factor in enumerate(order):
            before = tuple(sorted(order[:place]))
            wanted[factor] += e[tuple(sorted((*before, factor)))] - e[before]
    given = shapley_weights(p) @ np.array([e[s] for s in sets])
    assert given == pytest.approx(wanted / len(orders), abs=1e-12)


@pytest.mark.parametrize("p", [2, 3, 4])
def test_commonalities_add_up_and_make_the_shapley_shares(p):
    rng = np.random.default_rng(p)
    sets = subsets(p)
    e = rng.normal(size=len(sets))
    e[0] = 0.0
    common = commonality_weights(p) @ e
    assert common.sum() == pytest.approx(e[-1], abs=1e-12)
    shapley = [sum(c / len(s) for s, c in zip(sets[1:], common, strict=True) if f in s) for f in range(p)]
    assert shapley_weights(p) @ e == pytest.approx(shapley, abs=1e-12)


def test_two_factors_by_hand(found):
    es = effects()
    tau2 = {
        s: mx.RandomEffects(es, s).fit().tau2 for s in (None, "source", "isolation", "source + isolation")
    }
    whole, both = tau2[None], tau2["source + isolation"]
    shares = by_kind(found, "only", "common", "together", "factor")
    assert shares["together"] == pytest.approx((whole - both) / whole, rel=1e-8)
    assert shares["only source"] == pytest.approx((tau2["isolation"] - both) / whole, rel=1e-8)
    assert shares["only isolation"] == pytest.approx((tau2["source"] - both) / whole, rel=1e-8, abs=1e-10)
    common = (whole - tau2["source"] - tau2["isolation"] + both) / whole
    assert shares["common to source and isolation"] == pytest.approx(common, rel=1e-8, abs=1e-10)
    assert shares["source"] == pytest.approx(shares["only source"] + common / 2, rel=1e-8)
    assert found.explained.tau2 == pytest.approx(whole, rel=1e-10)


def test_the_interaction_is_what_all_combinations_explain_beyond_both(found):
    es = effects()
    additive = mx.RandomEffects(es, "source + isolation").fit().tau2
    crossed = mx.RandomEffects(es, "source * isolation").fit().tau2
    part = found.part("interaction")
    assert part.tau2 == pytest.approx(additive - crossed, rel=1e-8, abs=1e-10)
    assert found.part("unexplained").tau2 == pytest.approx(crossed, rel=1e-8)


def test_parts_add_up_to_one_both_ways(found):
    for kinds in (("factor", "interaction", "unexplained"), ("only", "common", "interaction", "unexplained")):
        assert sum(by_kind(found, *kinds).values()) == pytest.approx(1.0, abs=1e-12)


def test_without_sampling_variances_shares_are_those_of_adjusted_r2():
    import statsmodels.formula.api as smf

    es = effects(27)
    exact = mx.EffectSizes(es.y, np.zeros(27), data=es.data)
    found = mx.attribute_heterogeneity(exact, draws=0, permutations=19)
    frame = es.data.assign(y=es.y)
    adjusted = {f: smf.ols(f"y ~ {f}", frame).fit().rsquared_adj for f in ("source", "isolation")}
    both = smf.ols("y ~ source + isolation", frame).fit().rsquared_adj
    assert found.part("together").share == pytest.approx(both, abs=1e-8)
    mean = (adjusted["source"] + both - adjusted["isolation"]) / 2
    assert found.shares["source"] == pytest.approx(mean, abs=1e-8)


def test_order_of_rows_names_shift_and_scale_do_not_matter():
    es = effects()
    base = mx.attribute_heterogeneity(es, draws=0, permutations=19)
    turned = np.random.default_rng(0).permutation(es.k)
    renamed = es.data.iloc[turned].replace({"plant": "zebra", "UC": "other"}).reset_index(drop=True)
    other = mx.EffectSizes(5 + 3 * es.y[turned], 9 * es.v[turned], data=renamed)
    again = mx.attribute_heterogeneity(other, draws=0, permutations=19)
    assert [p.share for p in again.parts] == pytest.approx([p.share for p in base.parts], abs=1e-8)
    assert again.explained.tau2 == pytest.approx(9 * base.explained.tau2, rel=1e-8)


def test_one_factor_and_three():
    es = effects(36).with_columns(technique=["NTA", "DLS"] * 18)
    one = mx.attribute_heterogeneity(es, "source", draws=0, permutations=19)
    fit = mx.RandomEffects(es, "source").fit()
    assert one.shares["source"] == pytest.approx(1 - fit.tau2 / one.explained.tau2, rel=1e-8)
    assert [p.kind for p in one.parts] == ["factor", "unexplained", "together"]
    three = mx.attribute_heterogeneity(es, ["source", "isolation", "technique"], draws=0, permutations=19)
    assert len(by_kind(three, "only", "common")) == 7
    assert sum(by_kind(three, "factor", "interaction", "unexplained").values()) == pytest.approx(1.0)


def test_r2_is_cut_off_at_zero_and_corrected_for_chance(found):
    explained = found.explained
    assert explained.r2 == pytest.approx(found.part("together").share)
    assert 0 < explained.r2_chance < 0.3
    wanted = (explained.r2 - explained.r2_chance) / (1 - explained.r2_chance)
    assert explained.r2_corrected == pytest.approx(wanted)
    assert found.part("together").corrected <= 1
    nothing = mx.attribute_heterogeneity(effects(size=(0, 0), seed=0), draws=0, permutations=99)
    assert nothing.part("together").share < 0
    assert nothing.explained.r2 == 0
    assert nothing.explained.r2_corrected == 0


# -- intervals, seeds, versions --------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_numbers():
    one, two = (mx.attribute_heterogeneity(effects(18), draws=50, permutations=49, seed=3) for _ in range(2))
    other = mx.attribute_heterogeneity(effects(18), draws=50, permutations=49, seed=4)
    pd.testing.assert_frame_equal(one.to_frame(), two.to_frame())
    assert other.part("source").low != one.part("source").low
    assert other.shares == one.shares


def test_intervals_stay_within_what_is_possible_and_hold_a_clear_share(found):
    source = found.part("source")
    assert 0 < source.low < source.share < source.high <= 1
    assert source.p_zero < 0.02
    for part in found.parts:
        assert (-1 if part.kind == "common" else 0) <= part.low <= part.high <= 1
    assert found.part("isolation").p_zero > 0.1


def test_without_draws_there_are_no_intervals():
    result = mx.attribute_heterogeneity(effects(18), draws=0, permutations=19)
    assert all(p.low is None and p.high is None and p.p_zero is None for p in result.parts)
    assert "interval" not in result.verdict.sentence
    assert "no draws" in str(result)


def test_variance_components_are_those_of_the_multilevel_model(found):
    es = effects()
    cells = [f"{a}/{b}" for a, b in zip(es.column("source"), es.column("isolation"), strict=True)]
    terms = [mx.RandomTerm(name) for name in ("source", "isolation", "cell", "study")]
    fit = mx.Multilevel(es.with_columns(cell=cells), terms).fit()
    values = fit.component_values
    total = sum(values.values())
    assert found.random.shares["source"] == pytest.approx(values["source"] / total, rel=1e-6)
    assert found.random.shares["interaction"] == pytest.approx(values["cell"] / total, rel=1e-6, abs=1e-8)
    gaps = [abs(p.share - p.random_share) for p in found.parts if p.kind == "factor"]
    assert found.disagreement == max(gaps)
    assert "fixed and random versions" in str(found)


# -- verdicts --------------------------------------------------------------------------------------------


def test_a_factor_that_matters_is_named(found):
    assert found.verdict.kind == "source"
    assert found.verdict.factors == ("source",)
    assert found.verdict.sentence.startswith("Source explains ")
    assert "isolation p = " in found.verdict.sentence
    swapped = mx.attribute_heterogeneity(effects(size=(0, 0.6)), draws=0, permutations=199)
    assert swapped.verdict.kind == "isolation"


def test_two_factors_that_matter_are_both_named():
    result = mx.attribute_heterogeneity(effects(45, (0.6, 0.6)), draws=0, permutations=199)
    assert result.verdict.kind == "both"
    assert result.verdict.factors == ("source", "isolation")
    assert "Source and isolation each explain heterogeneity" in result.verdict.sentence


def test_neither_says_what_remains_possible():
    result = mx.attribute_heterogeneity(effects(size=(0, 0), seed=6), draws=100, permutations=199)
    assert result.verdict.kind == "neither"
    assert result.verdict.factors == ()
    assert "remain possible" in result.verdict.sentence
    assert any("precise shares need at least 40" in reason for reason in result.verdict.reasons)


def test_an_interaction_is_told_where_it_is_there():
    es = effects(45, (0, 0), seed=3, spread=0.01)
    bump = (es.column("source") == "plant") & (es.column("isolation") == "UC")
    crossed = mx.EffectSizes(es.y + 1.5 * bump.to_numpy(), es.v, data=es.data)
    result = mx.attribute_heterogeneity(crossed, draws=0, permutations=199)
    assert result.part("interaction").pvalue < 0.05
    assert "depends on the other" in result.verdict.reasons[0]


@pytest.mark.parametrize("make", [effects, confounded], ids=["separable", "confounded"])
def test_the_verdict_alone_is_the_same_verdict(make):
    es = make(18)
    alone = attribution_verdict(es, permutations=99, seed=5)
    full = mx.attribute_heterogeneity(es, draws=0, permutations=99, seed=5)
    assert (alone.kind, alone.sentence) == (full.verdict.kind, full.verdict.sentence)


# -- refusals: a sentence and no number ------------------------------------------------------------------


def silent(result):
    """Return whether no part but all factors together, and the rest, has a number."""
    told = [p for p in result.parts if p.kind not in ("together", "unexplained")]
    numbers = ("tau2", "share", "low", "high", "p_zero", "chance", "corrected", "pvalue", "random_share")
    return all(getattr(p, name) is None for p in told for name in numbers)


def test_confounded_factors_get_a_sentence_and_no_shares():
    result = mx.attribute_heterogeneity(confounded(), draws=100, permutations=99)
    assert result.verdict.kind == "not_separable"
    assert result.shares == {"source": None, "isolation": None}
    assert silent(result)
    assert result.random is None
    assert result.disagreement is None
    sentence = result.verdict.sentence
    assert sentence.startswith("These data cannot separate source from isolation because every effect with ")
    for source, method in zip(SOURCES, METHODS, strict=True):
        assert f"source {source} has isolation {method}" in sentence
    assert "%" not in sentence


def test_what_confounded_factors_explain_together_can_be_told():
    es = confounded(30)
    result = mx.attribute_heterogeneity(es, draws=100, permutations=199)
    part = result.part("together")
    fit = mx.RandomEffects(es, "source").fit()
    assert part.share == pytest.approx(1 - fit.tau2 / result.explained.tau2, rel=1e-8)
    assert part.share + result.part("unexplained").share == pytest.approx(1.0)
    assert part.pvalue < 0.05
    assert "together they explain" in result.verdict.reasons[0]


def test_groups_that_no_study_links_are_refused_and_one_is_offered():
    es = effects(36)
    apart = es.with_columns(
        isolation=["kit" if s == "MSC" else ("UC", "SEC")[i % 2] for i, s in enumerate(es.column("source"))]
    )
    result = mx.attribute_heterogeneity(apart, draws=0, permutations=19)
    assert result.verdict.kind == "not_separable"
    assert silent(result)
    assert any("within group 1" in reason for reason in result.verdict.reasons)
    rows = result.estimability.rows_of(0)
    part = mx.attribute_heterogeneity(apart.select(rows, "another group"), draws=0, permutations=19)
    assert part.shares["source"] is not None


def test_factors_that_go_together_in_most_studies_are_not_told_apart_by_force():
    es = effects(40, (0.8, 0.0), seed=8)
    method = dict(zip(SOURCES, METHODS, strict=True))
    most = [method[s] if i > 1 else METHODS[i + 1] for i, s in enumerate(es.column("source"))]
    result = mx.attribute_heterogeneity(es.with_columns(isolation=most), draws=0, permutations=199)
    assert result.estimability.separable
    assert result.verdict.kind == "not_separable"
    assert "none of them does beyond the others" in result.verdict.sentence
    assert result.part("common to source and isolation").share > 0.5


def test_too_few_studies_for_their_levels_are_refused():
    data = pd.DataFrame({"source": list("aabbcc"), "isolation": list("xyxyxy")})
    es = mx.EffectSizes([1, 2, 3, 4, 5, 6], [0.1] * 6, data=data)
    result = mx.attribute_heterogeneity(es)
    assert result.verdict.kind == "too_few"
    assert silent(result)
    assert result.explained is None
    assert "6 studies in 5 levels (3 of source and 2 of isolation)" in result.verdict.sentence
    assert "2 degrees of freedom" in result.verdict.sentence


def test_one_level_is_nothing_to_compare():
    es = effects(12).with_columns(isolation=["UC"] * 12)
    result = mx.attribute_heterogeneity(es)
    assert result.verdict.kind == "too_few"
    assert "isolation has only one level (UC) in two studies or more" in result.verdict.sentence
    assert silent(result)


def test_a_level_in_all_studies_is_not_said_to_be_in_none():
    data = pd.DataFrame({"source": list("abcde"), "isolation": ["not_reported"] * 5})
    result = mx.attribute_heterogeneity(mx.EffectSizes(range(5), [0.1] * 5, data=data))
    assert result.verdict.sentence == (
        "No attribution is possible: among 5 effects of 5 studies, source has no level in two studies or "
        "more and isolation has only one level (not reported) in two studies or more."
    )
    chain = pd.DataFrame({"source": list("aab"), "isolation": list("xyy")})
    alone = mx.attribute_heterogeneity(mx.EffectSizes(range(3), [0.1] * 3, data=chain))
    assert alone.verdict.kind == "too_few"


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_very_few_effects_never_get_a_number(k):
    result = mx.attribute_heterogeneity(effects(k), draws=10, permutations=19)
    assert result.verdict.kind in ("too_few", "not_separable")
    assert result.to_frame().drop(columns=["name", "kind", "note"]).isna().all().all()


def test_effects_that_vary_by_sampling_alone_have_nothing_to_attribute():
    es = effects(18)
    still = mx.EffectSizes(0.01 * es.y, np.ones(18), data=es.data)
    result = mx.attribute_heterogeneity(still, draws=10, permutations=19)
    assert result.verdict.kind == "no_heterogeneity"
    assert result.explained is None
    assert silent(result)
    assert attribution_verdict(still, permutations=19).kind == "no_heterogeneity"


def test_effects_without_sampling_variances():
    es = effects(18)
    same = mx.EffectSizes(np.ones(18), np.zeros(18), data=es.data)
    assert mx.attribute_heterogeneity(same, draws=10, permutations=19).verdict.kind == "no_heterogeneity"
    levels = [float(SOURCES.index(s)) for s in es.column("source")]
    exact = mx.attribute_heterogeneity(
        mx.EffectSizes(levels, np.zeros(18), data=es.data), draws=10, permutations=99
    )
    assert exact.verdict.kind == "source"
    assert "Source explains 100%" in exact.verdict.sentence
    assert exact.part("unexplained").share == 0
    assert exact.part("interaction").pvalue == 1
    with pytest.raises(errors.InputError, match="18 of 18 sampling variances are zero"):
        mx.attribute_heterogeneity(same, method="PM")
    some = mx.EffectSizes(es.y, np.where(np.arange(18) < 2, 0.0, es.v), data=es.data)
    with pytest.raises(errors.InputError, match="2 of 18 sampling variances are zero") as caught:
        mx.attribute_heterogeneity(some)
    assert caught.value.rows == ("input:1", "input:2")


def test_a_refusal_prints_no_table():
    result = mx.attribute_heterogeneity(effects(4), permutations=19)
    assert "no shares are given" in str(result)
    assert "<table" not in result._repr_html_()
    assert result.verdict.sentence in str(result)


def test_an_interaction_that_cannot_be_told_is_a_sentence():
    data = pd.DataFrame({"source": list("aaaaabbbbbb"), "isolation": list("xxxyyyyyyyy")})
    es = mx.EffectSizes(np.random.default_rng(1).normal(size=11), [0.05] * 11, data=data)
    part = mx.attribute_heterogeneity(es, draws=10, permutations=19).part("interaction")
    assert part.share is None
    assert "no degree of freedom" in part.note


# -- rows that take no part ------------------------------------------------------------------------------


def test_a_level_of_one_study_is_set_aside_and_in_the_ledger():
    es = effects(18)
    one = es.with_columns(source=["urine", *es.column("source")[1:]])
    result = mx.attribute_heterogeneity(one, draws=0, permutations=19)
    assert result.used.k == 17
    assert result.used.ledger.left_out[0].reason == "a level of too few studies"
    assert "source set aside, as in one study only: urine" in str(result)
    kept = mx.attribute_heterogeneity(one.select(np.arange(18) > 0, "by hand"), draws=0, permutations=19)
    assert kept.shares == result.shares
    everyone = mx.attribute_heterogeneity(one, draws=0, permutations=19, min_studies=1)
    assert everyone.used.k == 18


def test_levels_that_are_not_reported_are_a_level_and_counted():
    es = effects(30)
    silent_rows = [None, float("nan"), "not_reported", "Not reported", *es.column("isolation")[4:]]
    result = mx.attribute_heterogeneity(es.with_columns(isolation=silent_rows), draws=0, permutations=19)
    assert result.not_reported == {"source": 0, "isolation": 4}
    assert "not reported" in result.estimability.used.levels[1]
    assert "isolation not reported in 4 effects" in str(result)


# -- several effects a study -----------------------------------------------------------------------------


def clustered(m=24, seed=0, size=0.0):
    rng = np.random.default_rng(seed)
    study = np.repeat(np.arange(m), rng.integers(1, 5, m))
    source = np.array(SOURCES)[rng.integers(0, 3, m)][study]
    data = pd.DataFrame({"source": source, "isolation": rng.choice(METHODS, study.size)})
    true = size * np.array([SOURCES.index(s) - 1 for s in source]) + rng.normal(0, 0.6, m)[study]
    v = rng.uniform(0.02, 0.1, study.size)
    return mx.EffectSizes(rng.normal(true, np.sqrt(v)), v, data=data, study=study)


def test_studies_with_many_effects_do_not_make_a_source_matter():
    """Studies differ, sources do not: effects taken as independent would name the source far too often."""
    sets = [clustered(seed=s) for s in range(40)]
    named = [attribution_verdict(es, permutations=59).kind in ("source", "both") for es in sets]
    assert np.mean(named) < 0.15
    apart = [mx.EffectSizes(es.y, es.v, data=es.data) for es in sets]
    naive = [attribution_verdict(es, permutations=59).kind in ("source", "both") for es in apart]
    assert np.mean(naive) > 0.25


def test_the_draws_keep_studies_together():
    es = clustered(seed=3, size=0.5)
    together = mx.attribute_heterogeneity(es, draws=300, permutations=19).part("source")
    apart = mx.attribute_heterogeneity(mx.EffectSizes(es.y, es.v, data=es.data), draws=300, permutations=19)
    assert together.share == pytest.approx(apart.part("source").share)
    assert together.high - together.low > apart.part("source").high - apart.part("source").low


# -- records and errors ----------------------------------------------------------------------------------


def test_records_hold_plain_values(found):
    record = json.loads(json.dumps(found.to_dict()))
    assert record["verdict"]["kind"] == "source"
    assert record["k_used"] == 30
    assert len(record["parts"]) == len(found.parts) == len(found.to_frame())
    assert "<table" in found._repr_html_()
    assert list(found.summary().parts) == ["What was fitted", "Verdict", "Heterogeneity", "Data", "Fit"]
    with pytest.raises(AttributeError):
        found.verdict = None


def test_an_unknown_part_is_answered_with_the_known_ones(found):
    with pytest.raises(errors.UnknownChoiceError, match="sauce"):
        found.part("sauce")


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"by": []}, "one to 5"),
        ({"by": ["source", "source"]}, "different columns"),
        ({"by": list("abcdef")}, "one to 5"),
        ({"draws": -1}, "at least 0 draws"),
        ({"permutations": 10}, "19 permutations"),
        ({"level": 95}, "level is 95"),
        ({"method": "EE"}, "method EE"),
        ({"method": "GENQ"}, "method GENQ"),
        ({"min_studies": 0}, "min_studies is 0"),
    ],
)
def test_what_cannot_be_used_is_named(choices, words):
    with pytest.raises(errors.InputError, match=words):
        mx.attribute_heterogeneity(effects(9), **choices)


def test_unknown_columns_and_no_effects_are_errors():
    with pytest.raises(errors.UnknownChoiceError, match="sauce"):
        mx.attribute_heterogeneity(effects(9), ["sauce", "isolation"])
    with pytest.raises(errors.TooFewStudiesError):
        mx.attribute_heterogeneity(effects(9).select(np.zeros(9, bool), "none"))


def test_many_levels_are_refused_in_words_and_a_grid_of_them_too():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"source": rng.integers(0, 300, 1500), "isolation": rng.integers(0, 300, 1500)})
    es = mx.EffectSizes(rng.normal(size=1500), [0.1] * 1500, data=data)
    with pytest.raises(errors.InputError, match="at most 250 levels together"):
        mx.attribute_heterogeneity(es)


def test_a_bar_shows_how_far_the_work_is(capsys):
    mx.attribute_heterogeneity(effects(12), draws=19, permutations=19, progress=None)
    assert capsys.readouterr().err == ""
    import metaexo.heterogeneity.attribution.steps as steps

    seen = []

    class Bar:
        def __init__(self, total, **choices):
            seen.append(total)
            self.choices = choices

        def __enter__(self):
            return self

        def __exit__(self, *what):
            return None

        def update(self, count):
            seen.append(count)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tqdm.tqdm", Bar)
        found = mx.attribute_heterogeneity(effects(30), draws=60, permutations=70, progress=True)
    assert steps.has_interaction
    assert found.explained is not None
    assert seen[0] == sum(seen[1:])
