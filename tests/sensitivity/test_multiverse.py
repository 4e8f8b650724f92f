"""Multiverse: each path against the same analysis by hand, counts of paths, shares, and the decomposition."""

from __future__ import annotations

import itertools
import json
import math
import pickle
import warnings
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.effects import bounded_effects
from metaexo.errors import InputError, NotIdentifiableError, RunInterrupted, UnknownChoiceError
from metaexo.sensitivity import multiverse
from metaexo.sensitivity.multiverse.results import decompose

TABLE = pd.DataFrame(
    {
        "treatment_mean": [12.1, 14.0, 9.5, 11.2, 10.4],
        "treatment_sd": [3.0, 4.1, 2.2, 2.9, 2.4],
        "treatment_n": [12, 20, 9, 15, 11],
        "control_mean": [9.0, 12.8, 8.9, 8.1, 10.9],
        "control_sd": [2.5, 3.3, 2.6, 3.1, 2.0],
        "control_n": [12, 18, 10, 15, 14],
        "design": ["RCT", "RCT", "cohort", "RCT", "cohort"],
        "source": ["adipose", "cord", "plant", "adipose", "plant"],
    }
)
CLUSTERED = mx.EffectSizes(
    [0.3, 0.5, 0.9, 0.7, 0.1, -0.1, 0.4, 0.6],
    [0.02, 0.03, 0.04, 0.02, 0.05, 0.03, 0.02, 0.04],
    study=list("aabbccdd"),
    data=pd.DataFrame({"arm": [1, 2] * 4, "source": list("xxyyxxyy")}),
)


def row(found, **options):
    """Return the one path that has these options."""
    frame = found.to_frame(all_paths=True)
    for name, option in options.items():
        frame = frame[frame[name] == option]
    assert len(frame) == 1
    return frame.iloc[0]


def check(path, fit):
    """Hold a path against a fit."""
    pooled = fit.pooled()
    told = (pooled.estimate, pooled.se, pooled.low, pooled.high, fit.tau2, fit.i2, fit.k, fit.m)
    names = ("estimate", "se", "low", "high", "tau2", "i2", "k", "m")
    np.testing.assert_allclose(path[list(names)].to_numpy(dtype=float), told, rtol=1e-12, atol=1e-14)
    ends = [pooled.prediction_low, pooled.prediction_high]
    ends = [math.nan if end is None else end for end in ends]
    np.testing.assert_allclose(
        path[["prediction_low", "prediction_high"]].to_numpy(dtype=float), ends, rtol=1e-12, atol=1e-14
    )
    assert path["pvalue"] == pytest.approx(float(fit.pvalues.iloc[0]), rel=1e-10)


@pytest.fixture(scope="module")
def found():
    choices = {
        "measure": ["SMD", "ROM"],
        "method": ["REML", "DL", "PM", "EE"],
        "test": ["knapp-hartung", "z", "knapp-hartung-or-z"],
        "include": {"all": None, "randomised": "design == 'RCT'", "large": "treatment_n >= 11"},
    }
    return multiverse(TABLE, choices, unless="method == 'EE' and test != 'z'", better="higher")


def test_every_path_is_the_analysis_by_hand(found):
    seen = 0
    for measure, rows in itertools.product(("SMD", "ROM"), ("all", "randomised", "large")):
        kept = {"all": [0, 1, 2, 3, 4], "randomised": [0, 1, 3], "large": [0, 1, 3, 4]}[rows]
        model = mx.RandomEffects(mx.effect_sizes(measure, data=TABLE.iloc[kept]))
        for method, test in itertools.product(
            ("REML", "DL", "PM", "EE"), ("knapp-hartung", "z", "knapp-hartung-or-z")
        ):
            path = row(found, measure=measure, include=rows, method=method, test=test)
            if method == "EE" and test != "z":
                assert path["status"] == "ruled out"
                continue
            seen += 1
            check(path, model.fit(method=method, test=test))
    assert seen == 60 == found.distinct
    assert found.declared == 72


def test_a_measure_that_gives_ratios_is_shown_as_ratios(found):
    frame = found.to_frame()
    ratios = frame["measure"] == "ROM"
    np.testing.assert_allclose(frame.loc[ratios, "ratio_low"], np.exp(frame.loc[ratios, "low"]))
    assert frame.loc[~ratios, "ratio"].isna().all()
    assert found.scales == ("Standardised mean difference", "Ratio of means")
    assert found.default_of == "z"
    with pytest.raises(InputError, match="2 scales"):
        found.importance("estimate")


def test_shares_are_counts_over_distinct_paths(found):
    shares = found.shares().set_index("conclusion")
    frame = found.to_frame()
    for word, kept in (
        ("benefit", frame["low"] > 0),
        ("harm", frame["high"] < 0),
        ("neither", (frame["low"] <= 0) & (frame["high"] >= 0)),
    ):
        assert shares.loc[f"95% CI: {word}", "paths"] == kept.sum()
        assert (frame["conclusion"] == word).sum() == kept.sum()
    assert shares.loc["95% CI: benefit", "of"] == 60
    predicted = frame["prediction_low"].notna()
    assert shares.loc["95% prediction interval: benefit", "of"] == predicted.sum() == 54
    assert shares.loc["95% prediction interval: benefit", "paths"] == (frame["prediction_low"] > 0).sum()
    assert "benefit in" in found.sentence
    assert any("not probabilities" in said for said in found.cautions())


def test_thresholds_are_on_the_shown_scale_and_follow_the_benefit():
    table = pd.DataFrame(
        {
            "treatment_events": [4, 6, 9],
            "treatment_n": [30, 40, 60],
            "control_events": [9, 12, 14],
            "control_n": [31, 39, 62],
        }
    )
    found = multiverse(
        table,
        {"measure": ["RR"], "method": ["REML", "DL"], "test": ["z", "t"]},
        better="lower",
        thresholds=[0.6],
    )
    shares = found.shares().set_index("conclusion")["paths"]
    shown = np.exp(found.estimate)
    assert shares["estimate at most 0.6"] == (shown <= 0.6).sum()
    assert shares["whole 95% CI at most 0.6"] == (np.exp(found.high) <= 0.6).sum()
    assert shares["95% CI: benefit"] == (found.high < 0).sum() > 0
    assert found.words == ("harm", "benefit", "neither")


def test_paths_that_are_one_analysis_count_once():
    choices = {
        "method": ["PM", "EB", "REML"],
        "include": {"all": None, "also all": "y > -10", "few": "y > 0.2"},
    }
    es = mx.EffectSizes([0.1, 0.4, 0.3, 0.9], [0.02, 0.05, 0.03, 0.04])
    found = multiverse(es, choices)
    assert (found.declared, found.distinct) == (9, 4)
    assert row(found, method="EB", include="also all")["status"] == "same as path 1"
    assert found.counts_sentence == "9 paths declared (5 the same as another): 4 distinct paths."
    # each distinct path counts as one, by whichever of its labels it is reached
    assert found.weights.sum() == pytest.approx(4)
    assert found.by_option().set_index(["choice", "option"])["paths"].to_dict() == {
        ("method", "PM"): 2, ("method", "EB"): 2, ("method", "REML"): 2,
        ("include", "all"): 2, ("include", "also all"): 2, ("include", "few"): 2,
    }  # fmt: skip


def test_impossible_paths_are_counted_with_the_reason():
    choices = {
        "include": {"all": None, "one": "arm == 1 and source == 'x' and y > 0.2", "none": "y > 5"},
        "model": ["random effects", "multilevel"],
        "method": ["REML", "DL"],
    }
    found = multiverse(CLUSTERED, choices)
    assert found.impossible().set_index("reason")["paths"].to_dict() == {
        "no effects are left": 4,
        "1 study where 2 are needed": 4,
        "a multilevel model is fitted by likelihood, not by DL": 1,
    }
    assert found.distinct == 3
    with pytest.raises(NotIdentifiableError, match="no effects are left"):
        multiverse(CLUSTERED, {"include": {"none": "y > 5"}})


def test_models_are_those_by_hand():
    choices = {
        "model": ["random effects", "one per study", "aggregate", "multilevel", "robust"],
        "correlation": [0.2, 0.7],
    }
    found = multiverse(CLUSTERED, choices)
    assert found.distinct == 1 + 1 + 2 + 2 + 2
    first = CLUSTERED.select(np.arange(0, 8, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(row(found, model="random effects", correlation="0.2"), mx.RandomEffects(CLUSTERED).fit())
        check(row(found, model="one per study", correlation="0.2"), mx.RandomEffects(first).fit())
        for correlation in (0.2, 0.7):
            label = f"{correlation}"
            one = mx.RandomEffects(mx.aggregate(CLUSTERED, correlation=correlation)).fit()
            check(row(found, model="aggregate", correlation=label), one)
            fit = mx.correlated_effects(CLUSTERED, correlation=correlation).fit()
            check(row(found, model="multilevel", correlation=label), fit)
            check(row(found, model="robust", correlation=label), fit.robust())
    assert "several effects of one study are taken as independent" in " ".join(found.cautions())


def test_one_per_study_is_the_latest():
    es = CLUSTERED.with_columns(timepoint=["week 4", "week 2"] * 4)
    found = multiverse(es, {"model": ["one per study"]})
    assert found.estimate[0] == pytest.approx(mx.RandomEffects(es.select(np.arange(0, 8, 2))).fit().estimate)
    other = multiverse(es.with_columns(timepoint=["week 4", "week 8"] * 4), {"model": ["one per study"]})
    assert other.estimate[0] == pytest.approx(mx.RandomEffects(es.select(np.arange(1, 8, 2))).fit().estimate)


def test_groups_are_grouped_before_later_choices_and_coefficients_are_followed():
    es = mx.effect_sizes("SMD", data=TABLE)
    broad = {"adipose": "cell", "cord": "cell"}
    choices = {"group": {"as coded": None, "broad": {"source": broad}}, "method": ["REML", "EE"]}
    found = multiverse(es, choices, moderators="0 + source", term="sourcecell")
    recoded = es.with_columns(source=["cell", "cell", "plant", "cell", "plant"])
    fit = mx.RandomEffects(recoded, "0 + source").fit()
    at = list(fit.design.names).index("sourcecell")
    path = row(found, group="broad", method="REML")
    assert path["estimate"] == pytest.approx(fit.beta[at], rel=1e-12)
    assert path["low"] == pytest.approx(fit.conf_int().iloc[at, 0], rel=1e-12)
    assert path["pvalue"] == pytest.approx(fit.pvalues.iloc[at], rel=1e-10)
    assert "sourcecell" in row(found, group="as coded", method="REML")["status"]
    kept = multiverse(es, choices | {"include": ["source == 'cell'"]})
    assert row(kept, group="broad", method="REML")["k"] == 3


def test_derived_and_censored_rows():
    inf = math.inf
    bounds = bounded_effects(
        [0.2, 0.9, 0.6, 0.7, -0.6], [0.2, 0.9, 0.6, inf, 0.6], [0.08, 0.1, 0.09, 0.13, 0.09]
    )
    found = multiverse(bounds, {"censored": ["keep", "drop"], "method": ["REML", "ML", "DL"]})
    check(row(found, censored="keep", method="ML"), mx.CensoredRandomEffects(bounds).fit("ML"))
    check(row(found, censored="drop", method="DL"), mx.RandomEffects(bounds.exact).fit("DL"))
    assert "by likelihood, not by DL" in row(found, censored="keep", method="DL")["status"]

    marks = [mx.effects.Derivation(how) for how in ("reported", "converted", "assumed", "reported")]
    es = mx.EffectSizes([0.1, 0.4, 0.3, 0.9], [0.02, 0.05, 0.03, 0.04], derived=marks)
    found = multiverse(es, {"derived": ["keep", "drop assumed", "drop"]})
    assert found.k.tolist() == [4, 3, 2]
    check(row(found, derived="drop"), mx.RandomEffects(es.select([0, 3])).fit())


def test_sheets_and_the_assumed_correlation():
    sheets = mx.read_sheets("data")
    where = "contrast == 'exosome_vs_control' and use != 'apart' and domain == 'clinical'"
    choices = {"assumed_correlation": [0.3, 0.8], "model": ["one per study"], "censored": ["drop", "keep"]}
    found = multiverse(sheets, choices, where=where)
    assert found.better == "higher"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        es = sheets.effects("SMD", where, assumed_correlation=0.8)
    latest = [mx.evidence.days_after(words) for words in es.column("timepoint")]
    fit = mx.RandomEffects(mx.one_per_study(es, latest=latest)).fit()
    check(row(found, assumed_correlation="0.8", censored="drop"), fit)
    assert row(found, assumed_correlation="0.8", censored="keep")["k"] > fit.k


def test_tables_with_gaps_and_paired_rows():
    table = pd.DataFrame(
        {
            "treatment_mean": [24.0, 30.0, 15.0, 21.0], "treatment_sd": [5.0, 6.0, None, 5.5],
            "treatment_se": [None, None, 1.1, None], "treatment_n": [10, 12, 25, 14],
            "control_mean": [18.0, 26.0, 13.5, 18.0], "control_sd": [5.0, 5.5, 4.8, 5.0],
            "control_n": [10, 12, 25, 14], "paired": ["no", "yes", "no", "yes"], "study": list("abcd"),
        }
    )  # fmt: skip
    found = multiverse(table, {"measure": ["SMD", "MD"], "assumed_correlation": [0.3, 0.7]}, better="higher")
    assert found.distinct == 4
    for measure, correlation in itertools.product(("SMD", "MD"), (0.3, 0.7)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            done = mx.effects.effects_from_table(measure, table, correlation)
        fit = mx.RandomEffects(mx.EffectSizes(done.y, done.v, measure)).fit()
        check(row(found, measure=measure, assumed_correlation=f"{correlation}"), fit)
    assert found.effects(1).study == tuple("abcd")


def test_intervals_without_a_width_are_none():
    es = mx.EffectSizes([0.3, 0.3, 0.3], [0.02, 0.03, 0.02])
    found = multiverse(es, {"test": ["knapp-hartung", "z"]})
    assert found.distinct == 1
    assert row(found, test="knapp-hartung")["status"].endswith("so that its interval has no width")


def test_numbers_of_options_can_be_compared_in_conditions():
    choices = {"model": ["aggregate"], "correlation": [0.1, 0.5, 0.9]}
    found = multiverse(CLUSTERED, choices, unless="correlation > 0.4 and correlation < 0.6")
    assert found.to_frame(all_paths=True)["status"].tolist() == ["fitted", "ruled out", "fitted"]


def test_a_multiverse_can_be_kept_and_shown(found):
    again = pickle.loads(pickle.dumps(found))
    pd.testing.assert_frame_equal(again.to_frame(all_paths=True), found.to_frame(all_paths=True))
    assert json.loads(json.dumps(found.to_dict()))["estimate"] == found.estimate.tolist()
    for text in (found.to_text(), found.to_markdown(), found.to_latex(), found.to_html()):
        assert "not probabilities" in text
    with pytest.raises(ValueError, match="read-only"):
        found.estimate[0] = 0.0


def test_functions_as_options_and_as_data():
    es = mx.effect_sizes("SMD", data=TABLE)
    choices = {
        "winsorised": {"no": lambda effects: effects, "yes": lambda effects: effects.select(effects.y < 1)},
        "model": {
            "weighted": lambda effects: mx.RandomEffects(effects).fit("ML", "z"),
            "plain": "random effects",
        },
    }
    found = multiverse(es, choices)
    check(
        row(found, winsorised="yes", model="weighted"), mx.RandomEffects(es.select(es.y < 1)).fit("ML", "z")
    )
    made = multiverse(
        lambda measure, variance: mx.effect_sizes(measure, data=TABLE, variance=variance),
        {"measure": ["SMD"], "variance": ["LS", "UB"]},
    )
    check(row(made, variance="UB"), mx.RandomEffects(mx.effect_sizes("SMD", data=TABLE, variance="UB")).fit())


def test_a_model_of_the_reader_s_takes_choices_by_name():
    def weighted(effects, method, correlation):
        blocks = mx.covariance_blocks(effects.v, list(effects.study), correlation=correlation)
        return mx.Multilevel(effects, "study", V=blocks).fit(method)

    choices = {"model": [weighted], "method": ["REML", "ML"], "test": ["t", "z"], "correlation": [0.2, 0.7]}
    found = multiverse(CLUSTERED, choices)
    assert found.distinct == 4  # the function does not take the test
    blocks = mx.covariance_blocks(CLUSTERED.v, list(CLUSTERED.study), correlation=0.7)
    fit = mx.Multilevel(CLUSTERED, "study", V=blocks).fit("ML")
    check(row(found, method="ML", correlation="0.7", test="t"), fit)
    said = "the model 'weighted' takes no argument 'test': its paths that differ in test alone are one"
    assert said in found.cautions()
    one_option = multiverse(CLUSTERED, {"model": [weighted], "method": ["ML"], "test": ["t"]})
    assert not any("takes no argument" in words for words in one_option.cautions())


def test_a_default_of_a_model_stands_unless_the_choice_is_declared():
    seen = []

    def own(effects, method="ML", correlation=0.3, level="study"):  # another level than that of intervals
        seen.append((method, correlation, level))
        return mx.RandomEffects(effects).fit(method)

    multiverse(CLUSTERED, {"model": [own]})
    assert seen == [("ML", 0.3, "study")]
    seen.clear()
    found = multiverse(CLUSTERED, {"model": [own], "correlation": [0.2, 0.7], "test": ["z", "t"]})
    assert seen == [("ML", 0.2, "study"), ("ML", 0.7, "study")]
    assert found.without_effect == (("own", "test"),)

    def any_choice(effects, **choices):
        seen.append(choices)
        return mx.RandomEffects(effects).fit(choices["method"], level=choices["level"])

    seen.clear()
    found = multiverse(CLUSTERED, {"model": [any_choice], "method": ["REML", "DL"]}, level=0.9)
    assert [(one["method"], one["level"]) for one in seen] == [("REML", 0.9), ("DL", 0.9)]
    assert found.without_effect == ()


def test_a_choice_that_unless_leaves_one_option_of_is_not_missed():
    def own(effects):
        return mx.RandomEffects(effects).fit("ML")

    choices = {"model": ["random effects", own], "method": ["REML", "DL"]}
    assert multiverse(CLUSTERED, choices).without_effect == (("own", "method"),)
    found = multiverse(CLUSTERED, choices, unless="model == 'own' and method == 'DL'")
    assert found.without_effect == ()


def test_functions_see_the_columns_of_their_own_grouping():
    def first(effects):
        return mx.RandomEffects(effects.select((effects.column("source") == "x").to_numpy())).fit()

    choices = {
        "model": {"plain": "random effects", "first": first},
        "group": {"as coded": None, "all one": {"source": {"y": "x"}}},
    }
    found = multiverse(CLUSTERED, choices)
    assert found.distinct == 3  # the plain model has no use for groups
    assert row(found, model="first", group="as coded")["k"] == 4
    assert row(found, model="first", group="all one")["k"] == 8


def test_what_is_fitted_is_kept_when_the_reader_stops():
    def stopped(effects):
        raise KeyboardInterrupt

    choices = {"model": ["random effects", "multilevel", stopped], "test": ["t", "z"]}
    with pytest.raises(RunInterrupted, match="4 of 6 paths") as caught:
        multiverse(CLUSTERED, choices)
    found = caught.value.finished
    assert found.distinct == 4
    assert row(found, model="stopped", test="t")["status"].startswith("not fitted")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(row(found, model="multilevel", test="z"), mx.correlated_effects(CLUSTERED, 0.6).fit(test="z"))
    with pytest.raises(RunInterrupted, match="before the first of 1 paths"):
        multiverse(CLUSTERED, {"model": [stopped]})


def test_results_do_not_depend_on_units_and_on_the_order_of_rows():
    choices = {
        "method": ["REML", "DL", "SJ"],
        "test": ["knapp-hartung", "z"],
        "include": {"all": None, "some": "arm == 1 or y > 0.5"},
    }
    base = multiverse(CLUSTERED, choices)
    scaled = mx.EffectSizes(1e3 * CLUSTERED.y, 1e6 * CLUSTERED.v, data=CLUSTERED.data, study=CLUSTERED.study)
    other = multiverse(scaled, choices | {"include": {"all": None, "some": "arm == 1 or y > 500"}})
    np.testing.assert_allclose(other.estimate, 1e3 * base.estimate, rtol=1e-9)
    np.testing.assert_allclose(other.importance()["share"], base.importance()["share"], atol=1e-9)
    turned = multiverse(CLUSTERED.select(np.arange(8)[::-1]), choices)
    np.testing.assert_allclose(turned.estimate, base.estimate, rtol=1e-12)


# -- which choice matters -----------------------------------------------------------------------------------


def brute_force(options, values, weights):
    """Return Shapley shares by going through every order in which choices are added."""
    d = options.shape[1]
    frame = pd.DataFrame(options).assign(value=values, weight=weights)
    mean = np.average(values, weights=weights)

    def explained(chosen):
        if not chosen:
            return 0.0
        total = 0.0
        for _, group in frame.groupby(list(chosen)):
            size = group["weight"].sum()
            total += size * (np.average(group["value"], weights=group["weight"]) - mean) ** 2
        return total

    out = np.zeros(d)
    orders = list(itertools.permutations(range(d)))
    for order in orders:
        for i, choice in enumerate(order):
            out[choice] += explained(sorted(order[: i + 1])) - explained(sorted(order[:i]))
    return out / len(orders) / (np.average((values - mean) ** 2, weights=weights) * weights.sum())


def test_an_additive_result_has_the_shares_of_its_parts():
    options = np.array(list(itertools.product(range(3), range(2), range(2))))
    values = np.array([0.0, 1.0, 5.0])[options[:, 0]] + 2.0 * options[:, 1]
    parts = np.array([np.var([0.0, 1.0, 5.0]), np.var([0.0, 2.0]), 0.0])
    found = decompose(options, values, np.ones(12))
    for shares in (found.main, found.share, found.total):
        np.testing.assert_allclose(shares, parts / parts.sum(), atol=1e-12)


def test_an_interaction_is_shared_equally():
    options = np.array(list(itertools.product(range(2), repeat=3)))
    values = (2.0 * options[:, 0] - 1) * (2.0 * options[:, 1] - 1)
    found = decompose(options, values, np.ones(8))
    np.testing.assert_allclose(found.main, [0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found.share, [0.5, 0.5, 0], atol=1e-12)
    np.testing.assert_allclose(found.total, [1, 1, 0], atol=1e-12)


def test_shares_of_an_incomplete_grid_add_up_and_are_those_of_all_orders():
    rng = np.random.default_rng(3)
    options = np.array(list(itertools.product(range(3), range(2), range(4), range(2))))
    kept = rng.random(len(options)) < 0.6
    options, weights = options[kept], rng.uniform(0.2, 1.0, kept.sum())
    values = rng.normal(size=kept.sum()) + options[:, 0] * options[:, 1]
    found = decompose(options, values, weights)
    assert found.share.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(found.share, brute_force(options, values, weights), rtol=1e-9)


def test_paths_that_agree_have_no_variance_to_share():
    es = mx.EffectSizes([0.3, 0.3, 0.3], [0.02, 0.02, 0.02])
    found = multiverse(es, {"method": ["REML", "DL"], "test": ["t", "z"]})
    assert found.importance()["share"].isna().all()
    assert "All paths agree on the estimate." in found.sentence


def test_importance_of_other_results(found):
    z = found.importance("z")
    assert z["share"].sum() == pytest.approx(1.0)
    assert set(z["choice"]) == {"measure", "method", "test", "include"}
    by_hand = [
        -math.copysign(1, path.estimate) * NormalDist().inv_cdf(path.pvalue / 2)
        for path in found.to_frame().itertuples()
    ]
    np.testing.assert_allclose(found.z, by_hand, rtol=1e-10)


# -- the whole curve ----------------------------------------------------------------------------------------


def test_permuted_signs_are_those_of_all_patterns_by_hand():
    es = mx.EffectSizes(
        [0.6, 0.2, 0.7, 0.9, -0.1, 0.5], [0.05, 0.09, 0.04, 0.11, 0.05, 0.06], study=list("aabcde")
    )
    choices = {"method": ["DL", "EE"], "test": ["t", "z"], "include": {"all": None, "precise": "v < 0.1"}}
    found = multiverse(es, choices)

    def curve(signs):
        """Return median, share on the commoner side, and estimates, of the signs of five studies."""
        y = es.y * np.repeat(signs, [2, 1, 1, 1, 1])
        fits = []
        for rows, method, test in itertools.product((es.v < 1, es.v < 0.1), ("DL", "EE"), ("t", "z")):
            one = mx.EffectSizes(y[rows], es.v[rows])
            fits.append(mx.RandomEffects(one).fit(method, test).pooled())
        sides = [sum(fit.low > 0 for fit in fits), sum(fit.high < 0 for fit in fits)]
        estimates = sorted(fit.estimate for fit in fits)
        return np.median(estimates), max(sides) / len(fits), estimates

    patterns = [curve(signs) for signs in itertools.product([1, -1], repeat=5)]
    medians, shares = (np.array([one[i] for one in patterns]) for i in (0, 1))
    test = found.permutation_test()
    assert (test.exact, test.patterns, test.studies, test.paths, test.left_out) == (True, 32, 5, 8, 0)
    assert test.observed["median"] == pytest.approx(medians[0])
    assert test.observed["share"] == pytest.approx(shares[0])
    assert test.pvalues["median"] == pytest.approx((np.abs(medians) >= medians[0] - 1e-9).mean())
    assert test.pvalues["share"] == pytest.approx((shares >= shares[0] - 1e-9).mean())
    low, high = np.quantile([one[2] for one in patterns], [0.025, 0.975], axis=0)
    np.testing.assert_allclose(test.curve_low, low, atol=1e-12)
    np.testing.assert_allclose(test.curve_high, high, atol=1e-12)
    assert any("no p-value can be below 0.062" in said for said in test.cautions())


def test_random_patterns_are_those_of_the_seed_and_near_the_exact_ones(found):
    es = mx.EffectSizes([0.3, 0.1, 0.4, -0.2, 0.5, 0.2, 0.6, -0.1, 0.3, 0.2, -0.3, 0.4], [0.04] * 12)
    paths = multiverse(
        es, {"method": ["DL", "EE"], "test": ["t", "z"], "include": {"all": None, "some": "y < 0.6"}}
    )
    exact, random = paths.permutation_test(), paths.permutation_test(900, seed=3)
    assert (exact.exact, exact.patterns, random.exact, random.patterns) == (True, 4096, False, 900)
    for name in ("median", "share", "z"):
        error = math.sqrt(exact.pvalues[name] * (1 - exact.pvalues[name]) / 900)
        assert abs(exact.pvalues[name] - random.pvalues[name]) < 4 * error + 1 / 900
    assert random.pvalues == paths.permutation_test(900, seed=3).pvalues
    assert random.pvalues != paths.permutation_test(900, seed=4).pvalues

    of_two_scales = found.permutation_test(50)  # five studies have fewer patterns
    assert of_two_scales.exact
    assert np.isnan(of_two_scales.observed["median"])
    assert of_two_scales.left_out == 18  # tests that many fits in one call do not have
    assert "18 paths of other models" in " ".join(of_two_scales.cautions())


def test_only_paths_with_signs_can_be_tested():
    shares = mx.effect_sizes("PLO", events=[3, 5, 9], n=[20, 30, 40])
    with pytest.raises(InputError, match="no value of no effect"):
        multiverse(shares, {"method": ["REML", "DL"]}).permutation_test()
    with pytest.raises(InputError, match="no path is a random-effects model"):
        multiverse(CLUSTERED, {"model": ["multilevel"]}).permutation_test()


def test_the_effects_of_a_path_are_those_that_it_fits(found):
    path = row(found, measure="ROM", include="large", method="DL", test="z")
    kept = mx.effect_sizes("ROM", data=TABLE[TABLE["treatment_n"] >= 11])
    np.testing.assert_allclose(found.effects(int(path.name)).y, kept.y)
    for number in (0, 73, "1"):
        with pytest.raises(InputError):
            found.effects(number)
    excluded = int(row(found, measure="SMD", include="all", method="EE", test="knapp-hartung").name)
    with pytest.raises(InputError, match="ruled out"):
        found.effects(excluded)


# -- wrong inputs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "more", "error"),
    [
        ({}, {}, InputError),
        ("REML", {}, InputError),
        ({"method": "REML"}, {}, InputError),
        ({"method": []}, {}, InputError),
        ({"method": ["REML", "REML"]}, {}, InputError),
        ({"method": ["RELM"]}, {}, UnknownChoiceError),
        ({"test": ["wald"]}, {}, UnknownChoiceError),
        ({"model": ["fixed"]}, {}, UnknownChoiceError),
        ({"derived": ["no"]}, {}, UnknownChoiceError),
        ({"include": ["arms == 1"]}, {}, UnknownChoiceError),
        ({"include": [3]}, {}, InputError),
        ({"group": [{"arms": "source"}]}, {}, UnknownChoiceError),
        ({"group": [{"arm": 3}]}, {}, InputError),
        ({"measure": ["SMD"]}, {}, InputError),
        ({"correlation": [0.5]}, {}, InputError),
        ({"correlation": [1.5], "model": ["robust"]}, {}, InputError),
        ({"own": ["a", "b"]}, {}, InputError),
        ({"own": [len, "b"]}, {}, InputError),
        ({"own": [len]}, {}, InputError),
        ({"own": [lambda effects: 1 / 0]}, {}, InputError),
        ({"method": ["REML"]}, {"unless": "method == 'REML'"}, InputError),
        ({"method": ["REML", "DL"]}, {"unless": "method == 'REML'"}, InputError),
        ({"method": ["REML"]}, {"unless": "methods == 'REML'"}, UnknownChoiceError),
        ({"method": ["REML"]}, {"reference": {"method": "DL"}}, UnknownChoiceError),
        ({"method": ["REML"]}, {"reference": {"methods": "REML"}}, UnknownChoiceError),
        ({"method": ["REML"]}, {"thresholds": 0.2}, InputError),
        ({"method": ["REML"]}, {"thresholds": {"Risk": [1]}}, UnknownChoiceError),
        ({"method": ["REML"]}, {"where": "arm == 1"}, InputError),
        ({"method": ["REML"]}, {"moderators": "source"}, InputError),
        ({"method": ["REML"]}, {"better": "up"}, UnknownChoiceError),
        ({"method": ["REML"]}, {"least": 0}, InputError),
        ({"method": ["REML"]}, {"level": 95}, InputError),
        ({f"own{i}": [str, int, float, abs, max, min] for i in range(9)}, {}, InputError),
    ],
)
def test_wrong_declarations_are_refused_in_words(choices, more, error):
    with pytest.raises(error):
        multiverse(CLUSTERED, choices, **more)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({}, "no choices were given"),
        ({"includ": ["arm == 1"]}, "choice 'includ' is not known.*write 'include'"),
        ({"include": ["arms == 1"]}, "column in include 'arms'"),
        ({"include": ["arm = 1"]}, "include = 'arm = 1'"),
        ({"test": ["t-test"]}, "write 't' if"),
    ],
)
def test_messages_speak_of_what_the_reader_wrote(choices, said):
    with pytest.raises(InputError, match="(?s)" + said):
        multiverse(CLUSTERED, choices)
    with pytest.raises(InputError, match="column in unless 'tests'"):
        multiverse(CLUSTERED, {"test": ["t", "z"]}, unless="tests == 'z'")


def test_levels_of_groups_are_levels_of_the_column():
    found = {"broad": {"source": {"x": "xy", "Y": "xy"}}, "as coded": None}
    with pytest.raises(UnknownChoiceError, match=r"(?s)level of source in group 'Y'.*write 'y'"):
        multiverse(CLUSTERED, {"group": found})
    with pytest.raises(UnknownChoiceError, match="level of arm in group 3"):
        multiverse(CLUSTERED, {"group": [{"arm": {1: 2, 3: 2}}]})
    # a level that another choice leaves out, or in some paths only, is one of the column
    rows = {"x alone": "source == 'x'", "some": "arm == 1"}
    groups = {"group": {"one": {"source": {"y": "z"}}, "as coded": None}}
    kept = multiverse(CLUSTERED, {"include": {"x alone": rows["x alone"]}, **groups})
    assert kept.distinct == 1
    of_groups = {"include": {"renamed": "source == 'z'", "all": None}}
    assert multiverse(CLUSTERED, {**groups, "include": {"all": None, "arm 1": rows["some"]}}).distinct == 2
    found = multiverse(CLUSTERED, {"group": {"one": groups["group"]["one"]}, **of_groups})
    assert sorted(found.k.tolist()) == [4, 8]


def test_options_without_a_path_are_said():
    choices = {"model": ["random effects", "robust"], "test": ["z", "knapp-hartung"], "method": ["DL", "EE"]}
    found = multiverse(CLUSTERED, choices, unless="method == 'EE'")
    (robust, ruled_out) = found.without_paths()
    assert robust[:2] == ("model", "robust")
    assert "not by DL" in robust[2]
    assert ruled_out == ("method", "EE", "is left, all being ruled out")
    said = [text for text in found.cautions() if text.startswith("no path")]
    assert said[0].startswith("no path with model = robust could be fitted (a multilevel model")
    assert said[1] == "no path with method = EE is left, all being ruled out"
    assert multiverse(CLUSTERED, {"test": ["z", "t"]}).without_paths() == []


@pytest.mark.parametrize("data", [None, 3, "table", [1, 2]])
def test_wrong_data_are_refused(data):
    with pytest.raises(InputError):
        multiverse(data, {"method": ["REML"]})
    with pytest.raises(InputError):
        multiverse(TABLE, {"method": ["REML"]})


def test_a_condition_on_sheets_that_cannot_be_read_is_refused():
    sheets = mx.read_sheets("data")
    with pytest.raises(UnknownChoiceError, match="column in where"):
        multiverse(sheets, {"method": ["REML"]}, where="domains == 'clinical'")
    with pytest.raises(UnknownChoiceError, match="sheet"):
        multiverse(sheets, {"method": ["REML"]}, sheet="outcome")


def test_paths_that_drop_bounds_need_none(root):
    sheets = mx.read_sheets(root / "data")
    found = mx.sensitivity.multiverse(sheets, {"measure": ["SMD", "ROM"], "censored": ["drop", "keep"]})
    paths = found.to_frame()
    assert set(zip(paths["measure"], paths["censored"], strict=True)) >= {("ROM", "drop"), ("SMD", "drop")}
    alone = mx.sensitivity.multiverse(sheets, {"measure": ["ROM"], "censored": ["drop"]})
    ratio = paths[paths["measure"] == "ROM"]
    assert ratio["estimate"].tolist() == pytest.approx(alone.to_frame()["estimate"].tolist())
