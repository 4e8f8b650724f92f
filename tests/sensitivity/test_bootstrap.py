"""The bootstrap, against refits by hand of the rows and effects that were drawn."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError, TooFewStudiesError, UnknownChoiceError
from metaexo.numeric.bootstrap import acceleration_of, intervals_of
from metaexo.runs.counter import integers
from metaexo.sensitivity import bootstrap, refit, simulate
from metaexo.sensitivity.bootstrap import statistics_of
from tests.contract.test_results import effects, example

BCG = mx.load_dataset("bcg")
ES = mx.effect_sizes("RR", data=BCG, labels="study")
FIT = mx.RandomEffects(ES).fit()


def at(es: mx.EffectSizes, rows: np.ndarray) -> mx.EffectSizes:
    return mx.EffectSizes(es.y[rows], es.v[rows])


def test_draws_are_fits_of_the_studies_that_were_drawn() -> None:
    found = bootstrap(FIT, ["estimate", "tau2", "i2", "h2", "q", "tau"], draws=40, seed=3)
    drawn = integers(3, 0, 40, 13, 13)
    for rows, draw in zip(drawn, found.draws, strict=True):
        fit = mx.RandomEffects(at(ES, rows)).fit()
        byhand = [fit.estimate, fit.tau2, fit.i2, fit.h2, fit.q.statistic, fit.tau]
        np.testing.assert_allclose(draw, byhand, rtol=1e-7, atol=1e-10)
    assert found.estimates == pytest.approx(
        [FIT.estimate, FIT.tau2, FIT.i2, FIT.h2, FIT.q.statistic, FIT.tau]
    )
    assert (found.size, found.fitted, found.units) == (40, 40, "13 studies")


def test_moderators_are_drawn_with_their_studies() -> None:
    fit = mx.RandomEffects(ES, "latitude").fit("DL", test="z")
    found = bootstrap(fit, draws=30, interval="studentized")
    assert found.names == ("intercept", "latitude", "tau2", "i2")
    latitude = BCG["latitude"].to_numpy()
    ratios = []
    for rows, draw in zip(integers(0, 0, 30, 13, 13), found.draws, strict=True):
        one = mx.RandomEffects(at(ES, rows), latitude[rows]).fit("DL", test="z")
        np.testing.assert_allclose(draw, [*one.beta, one.tau2, one.i2], rtol=1e-7, atol=1e-12)
        ratios.append((one.beta[1] - fit.beta[1]) / one.se[1])
    ends = intervals_of(fit.beta[1], found.draws[:, 1], 0.95, 0.0, fit.se[1], found.draws[:, 1] * 0 + 1)
    assert ends["studentized"] != found.intervals["studentized"][1]
    low, high = np.sort(ratios)[[0, -1]]  # 31 * 0.025 is below the first rank
    assert found.low[1] == pytest.approx(fit.beta[1] - high * fit.se[1], rel=1e-7)
    assert found.high[1] == pytest.approx(fit.beta[1] - low * fit.se[1], rel=1e-7)
    assert any("no studentized interval" in text and "tau2" in text for text in found.cautions())


def test_the_acceleration_is_by_leaving_out_a_study() -> None:
    found = bootstrap(FIT, draws=99)
    without = [mx.RandomEffects(at(ES, np.delete(np.arange(13), i))).fit() for i in range(13)]
    for j, name in enumerate(("estimate", "tau2", "i2")):
        a = acceleration_of(np.array([getattr(one, name) for one in without]))
        assert found.acceleration[j] == pytest.approx(a, rel=1e-6)
        ends = intervals_of(found.estimates[j], found.draws[:, j], 0.95, a)
        assert (found.low[j], found.high[j]) == pytest.approx(ends["bca"][:2], rel=1e-6)


def test_parametric_draws_are_fits_of_simulated_effects() -> None:
    found = bootstrap(FIT, kind="parametric", draws=30, seed=5)
    for y, draw in zip(simulate(FIT, 30, seed=5), found.draws, strict=True):
        fit = mx.RandomEffects(mx.EffectSizes(y, ES.v)).fit()
        np.testing.assert_allclose(draw, [fit.estimate, fit.tau2, fit.i2], rtol=1e-7, atol=1e-10)
    # the skewness of the score of tau2, with P of the restricted likelihood; 0 for the mean
    w = 1 / (ES.v + FIT.tau2)
    p = np.diag(w) - np.outer(w, w) / w.sum()
    a = np.trace(p @ p @ p) / (6 * (0.5 * np.trace(p @ p)) ** 1.5)
    np.testing.assert_allclose(found.acceleration, [0.0, a, a], rtol=1e-9)
    ml = bootstrap(mx.RandomEffects(ES).fit("ML"), "tau2", kind="parametric", draws=19)
    w = 1 / (ES.v + mx.RandomEffects(ES).fit("ML").tau2)
    assert ml.acceleration[0] == pytest.approx((w**3).sum() / (6 * (0.5 * (w**2).sum()) ** 1.5))
    assert bootstrap(mx.RandomEffects(ES).fit("DL"), "tau2", kind="parametric", draws=19).acceleration == [
        0.0
    ]


def test_effects_of_a_study_stay_together() -> None:
    es = effects()
    fit = mx.RandomEffects(es, dependence="accept").fit()
    names = list(dict.fromkeys(es.study))
    members = [np.flatnonzero(np.array(es.study) == name) for name in names]
    found = bootstrap(fit, "estimate", draws=25)
    for drawn, draw in zip(integers(0, 0, 25, 6, 6), found.draws, strict=True):
        rows = np.concatenate([members[i] for i in drawn])
        assert draw[0] == pytest.approx(mx.RandomEffects(at(es, rows)).fit().estimate, rel=1e-8)
    assert found.units == "6 studies"
    single = bootstrap(fit, "estimate", draws=25, cluster="effect")
    assert single.units == "8 effects"
    assert not np.array_equal(single.draws, found.draws)
    by_label = bootstrap(fit, "estimate", draws=25, cluster=list(es.study))
    np.testing.assert_array_equal(by_label.draws, found.draws)
    # robust standard errors change no draw
    np.testing.assert_array_equal(
        bootstrap(fit.robust("study", "CR1"), "estimate", draws=25).draws, found.draws
    )


def test_draws_without_a_fit_are_left_out_and_counted() -> None:
    fit = mx.RandomEffects(mx.EffectSizes([0.1, 0.5, 1.2], [0.02, 0.03, 0.05])).fit()
    found = bootstrap(fit, draws=500)
    alone = [len(set(rows)) == 1 for rows in integers(0, 0, 500, 3, 3).tolist()]
    assert sorted(found.reasons) == np.flatnonzero(alone).tolist()
    assert np.isnan(found.draws[alone]).all()
    assert np.isfinite(found.draws[~np.array(alone)]).all()
    assert found.fitted == 500 - sum(alone) == found.values("tau2").size
    assert any(
        f"{sum(alone)} of 500 draws" in text and "different effects" in text for text in found.cautions()
    )
    assert f"{sum(alone)} draws without a fit left out" in found.sentence
    # a moderator that one study alone determines
    slope = mx.RandomEffects(ES, np.arange(13.0) == 4, names=["fifth"]).fit()
    lost = bootstrap(slope, "fifth", draws=200)
    absent = [4 not in rows for rows in integers(0, 0, 200, 13, 13).tolist()]
    assert sorted(lost.reasons) == np.flatnonzero(absent).tolist()


@pytest.mark.parametrize("kind", ["nonparametric", "parametric"])
def test_multilevel_refits_that_start_from_the_fit_are_those_that_do_not(kind: str) -> None:
    fit = mx.Multilevel(effects(), "study/effect").fit()
    found = bootstrap(fit, kind=kind, draws=19)
    assert found.names == (
        "estimate", "study", "study/effect", "tau2", "i2", "i2:study", "i2:study/effect",
    )  # fmt: skip
    names = list(dict.fromkeys(effects().study))
    simulated = simulate(fit, 19)
    for i in range(6):
        if kind == "parametric":
            cold = refit(fit, y=simulated[i])
        else:
            drawn = integers(0, i, i + 1, 6, 6)[0]
            rows = [r for n in drawn for r in np.flatnonzero(np.array(effects().study) == names[n])]
            copies = [
                str(n) for n in range(6) for _ in np.flatnonzero(np.array(effects().study) == names[drawn[n]])
            ]
            try:
                cold = refit(fit, rows, copies=copies)
            except mx.errors.MetaexoError:
                assert i in found.reasons
                continue
        expected = [cold.estimate, *cold.component_values.values(), cold.tau2, cold.i2]
        np.testing.assert_allclose(found.draws[i, :5], expected, rtol=1e-4, atol=1e-6)
    known = found.draws[np.isfinite(found.draws[:, 0])]
    np.testing.assert_allclose(known[:, 5] + known[:, 6], known[:, 4], atol=1e-12)


def test_components_have_the_acceleration_of_their_score() -> None:
    # with one term the direction is that of tau2, as with one level
    one = bootstrap(mx.Multilevel(effects(), "effect").fit(), ["effect", "i2"], kind="parametric", draws=19)
    level = mx.RandomEffects(effects(), dependence="accept").fit()
    same = bootstrap(level, ["tau2", "i2"], kind="parametric", draws=19)
    np.testing.assert_allclose(one.acceleration, same.acceleration, rtol=1e-6)
    # with two of them: by hand, along the inverse of the information times the derivative
    fit = mx.Multilevel(effects(), "study/effect", fix={}).fit("ML")
    study = np.array(effects().study)
    between = np.equal.outer(study, study).astype(float)
    m = np.diag(effects().v) + fit.component_values["study"] * between
    p = np.linalg.inv(m + fit.component_values["study/effect"] * np.eye(8))
    changes = [between, np.eye(8)]
    information = np.array([[0.5 * np.trace(p @ a @ p @ b) for b in changes] for a in changes])
    for name, gradient in (("study", [1.0, 0.0]), ("tau2", [1.0, 1.0])):
        d = np.linalg.solve(information, gradient)
        b = p @ (d[0] * between + d[1] * np.eye(8))
        expected = np.trace(b @ b @ b) / (6 * (0.5 * np.trace(b @ b)) ** 1.5)
        assert bootstrap(fit, name, kind="parametric", draws=19).acceleration[0] == pytest.approx(expected)


def test_functions_of_a_fit_are_statistics() -> None:
    named = bootstrap(FIT, ["tau2", "estimate"], draws=30)
    own = bootstrap(FIT, {"tau2": lambda fit: fit.tau2, "pooled": "estimate"}, draws=30)
    assert own.names == ("tau2", "pooled")
    np.testing.assert_allclose(own.draws, named.draws, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(own.acceleration, named.acceleration, rtol=1e-5)

    def typical(fit: mx.models.RandomEffectsResults) -> np.ndarray:
        return np.array([fit.typical_variance])

    assert bootstrap(FIT, typical, kind="parametric", draws=20).names == ("typical",)
    assert bootstrap(FIT, lambda fit: fit.tau2, draws=20).names == ("statistic 1",)


def test_other_families_and_their_names() -> None:
    strata = bootstrap(example("StratifiedResults", "separate"), draws=19, kind="parametric")
    assert strata.names == ("milk", "plant", "tau2:milk", "tau2:plant")
    assert strata.level == 0.9
    fit = example("MultilevelResults", "correlation")
    rho = bootstrap(fit, ["source|study:rho", "source|study:tau2"], draws=19, kind="parametric")
    assert rho.estimates.tolist() == [fit.component_values[name] for name in rho.names]
    # at its edge, which is -1 and no variance of 0
    assert not any("estimated as 0" in text for text in rho.cautions())
    assert rho.intervals["normal"][0].low == -1
    assert rho.intervals["basic"][1].low >= 0
    spread = example("LocationScaleResults", "mean")
    names = [one.name for one in statistics_of(spread, None)]
    assert names == ["estimate", "scale:intercept", "tau2", "i2"]
    (scale,) = statistics_of(spread, "scale:intercept")
    assert scale.value(refit(spread, range(7))) == pytest.approx(
        math.log(refit(mx.RandomEffects(effects(), dependence="accept").fit(), range(7)).tau2), rel=1e-5
    )
    assert bootstrap(example("CensoredResults", "mean"), "tau2", draws=19).fitted > 0
    assert bootstrap(example("MomentResults", "correlated"), draws=19).names == ("estimate", "tau2", "i2")
    assert bootstrap(example("RandomEffectsResults", "equal effects"), draws=19).names == ("estimate", "i2")
    assert bootstrap(example("RandomEffectsResults", "given tau2"), draws=19).names == ("estimate",)


def test_a_stratum_that_a_draw_lacks_has_no_value_there() -> None:
    es = mx.EffectSizes(
        [0.2, 0.3, 0.1, 0.4, 0.9, 0.7], [0.02] * 6, data=pd.DataFrame({"source": list("aaaabb")})
    )
    found = bootstrap(mx.stratify(es, "source"), ["a", "b"], draws=40)
    absent = [not {4, 5} & set(rows) for rows in integers(0, 0, 40, 6, 6).tolist()]
    assert np.isnan(found.draws[absent, 1]).all()
    assert np.isfinite(found.draws[absent, 0]).any()
    assert any("without a value" in text and "b (" in text for text in found.cautions())


def test_what_is_shown() -> None:
    found = bootstrap(FIT, draws=999)
    frame = found.to_frame()
    assert list(frame.index) == ["estimate", "tau2", "i2"]
    np.testing.assert_allclose(frame.loc["estimate", "ratio_low"], np.exp(frame.loc["estimate", "low"]))
    assert math.isnan(frame.loc["tau2", "ratio"])
    np.testing.assert_allclose(found.bias, found.draws.mean(axis=0) - found.estimates)
    np.testing.assert_allclose(found.se, found.draws.std(axis=0, ddof=1))
    every = found.all_intervals()
    assert every.loc[("estimate", "bca"), "low"] == found.low[0]
    low, high = every.loc[("tau2", "percentile")][["low", "high"]]
    assert ((found.values("tau2") >= low) & (found.values("tau2") <= high)).mean() == pytest.approx(
        0.95, abs=0.002
    )
    shown = np.exp([FIT.estimate, found.low[0], found.high[0]])
    assert f"(Risk ratio {shown[0]:.3f}, {shown[1]:.3f} to {shown[2]:.3f})" in found.sentence
    assert found.sentence.startswith("999 non-parametric bootstrap draws of 13 studies (seed 0): 95% BCa")
    assert (
        "caution: only 13 studies: with so few to draw from, bootstrap intervals tend to cover less"
        in str(found)
    )
    assert found.to_dict()["names"] == ["estimate", "tau2", "i2"]
    assert any('kind="parametric"' in text and text.endswith("tau2, I2") for text in found.cautions())
    # nothing below what is possible
    assert (every.loc["tau2"]["low"].dropna() >= 0).all()
    assert (every.loc["i2"]["high"].dropna() <= 1).all()


def test_cautions_at_the_edge() -> None:
    y, v = [0.30, 0.32, 0.28, 0.31, 0.35, 0.29], [0.04] * 6
    none = bootstrap(mx.RandomEffects(mx.EffectSizes(y, v)).fit(), draws=199)
    assert any("estimated as 0" in text and "tau2, I2" in text for text in none.cautions())
    assert any("do not vary at all" in text and "tau2, I2" in text for text in none.cautions())
    # of equal effects no draw has an I2 like that of effects which differ
    equal = bootstrap(mx.RandomEffects(ES).fit("EE"), "i2", kind="parametric", draws=49)
    assert any("no BCa interval" in text and text.endswith("I2") for text in equal.cautions())
    assert "tau2 0.0000, no interval" in none.sentence
    same = mx.RandomEffects(mx.EffectSizes([0.3] * 6, [0.02, 0.03, 0.04, 0.05, 0.06, 0.07])).fit(test="z")
    still = bootstrap(same, draws=49, interval="percentile")
    assert np.isnan(still.low).all()
    assert any("do not vary at all" in text and "estimate, tau2, I2" in text for text in still.cautions())
    little = mx.RandomEffects(mx.EffectSizes([0.1, 0.3, 0.5, 0.75, 0.4, 0.2], [0.04] * 6)).fit()
    text = " ".join(bootstrap(little, kind="parametric", draws=199).cautions())
    assert "near the edge" in text
    assert "rests on few effects" in text
    assert any("most extreme draw" in one for one in bootstrap(FIT, draws=19, level=0.99).cautions())


def test_an_end_that_is_the_most_extreme_draw_has_no_monte_carlo_error() -> None:
    draws = np.random.default_rng(1).normal(size=39)
    ends = intervals_of(0.0, draws, 0.95, 0.0)["percentile"]
    # ranks 1 and 39 of 39
    assert (ends.low, ends.high) == pytest.approx((draws.min(), draws.max()), rel=1e-12)
    assert np.isnan([ends.low_error, ends.high_error]).all()
    found = bootstrap(FIT, "estimate", draws=39, interval="percentile")
    assert found.to_frame()[["low_error", "high_error"]].isna().all(axis=None)
    assert any("has no Monte Carlo error" in text for text in found.cautions())
    assert found.reader_tables()[0].rows[0][-5:-3] == ["–", "–"]
    # between the first and the second draw, the error is about that of repetitions
    many = np.random.default_rng(2).normal(size=(4_000, 199))
    each = [intervals_of(0.0, one, 0.98, 0.0)["percentile"] for one in many]
    spread = np.std([one.low for one in each])
    assert np.mean([one.low_error for one in each]) == pytest.approx(spread, rel=0.25)


def test_an_end_at_the_edge_of_what_is_possible_has_no_error() -> None:
    y, v = [0.1, 0.3, 0.5, 0.75, 0.4, 0.2], [0.04] * 6
    found = bootstrap(mx.RandomEffects(mx.EffectSizes(y, v)).fit(), "tau2", draws=39, interval="percentile")
    assert (found.low[0], found.to_frame()["low_error"].iloc[0]) == (0.0, 0.0)


def test_draws_depend_on_seed_and_place_alone() -> None:
    many, few = bootstrap(FIT, draws=60), bootstrap(FIT, draws=20)
    np.testing.assert_allclose(many.draws[:20], few.draws, rtol=1e-10)
    assert (bootstrap(FIT, draws=20, seed=1).draws[:, 0] != few.draws[:, 0]).all()
    c = 100.0
    scaled = bootstrap(mx.RandomEffects(mx.EffectSizes(c * ES.y, c**2 * ES.v)).fit(), draws=20)
    np.testing.assert_allclose(scaled.draws, few.draws * [c, c**2, 1], rtol=1e-6, atol=1e-9)


def test_columns_are_listed_once_where_one_is_not_known() -> None:
    with pytest.raises(UnknownChoiceError) as caught:
        bootstrap(FIT, cluster="labratory")
    assert str(caught.value).count("'study'") == 1


def test_wrong_inputs_say_what_to_do() -> None:
    two = mx.RandomEffects(mx.EffectSizes([0.1, 0.5], [0.02, 0.03])).fit()
    with pytest.raises(TooFewStudiesError, match="parametric"):
        bootstrap(two)
    assert bootstrap(two, "estimate", kind="parametric", draws=19).fitted == 19
    for fit, choices, words in (
        ("fit", {}, "a fitted model"),
        (FIT, {"statistic": 3}, "names, or functions"),
        (FIT, {"statistic": []}, "at least one"),
        (FIT, {"statistic": ["tau2", 4]}, "a name, or a function"),
        (FIT, {"statistic": ["tau2", "tau2"]}, "its own name"),
        (FIT, {"statistic": lambda fit: fit.nothing}, "failed for the fit itself"),
        (FIT, {"statistic": lambda fit: [1.0, 2.0]}, "a single number"),
        (FIT, {"draws": 5}, "at least 19"),
        (FIT, {"draws": 99.5}, "whole number"),
        (FIT, {"draws": 99.0}, "write draws=99"),
        (FIT, {"statistic": lambda fit: fit.nothing}, "^statistic 1 failed"),
        (FIT, {"seed": -1}, "whole number"),
        (FIT, {"level": 95}, "0.95"),
        (FIT, {"kind": "parametric", "cluster": "effect"}, "leave cluster out"),
        (example("AttributionResults", "divided"), {}, "results.model"),
        (example("ImputedResults", "mean"), {}, "results.likelihood"),
        (example("CensoredResults", "mean"), {"kind": "parametric"}, "nonparametric"),
        (example("MomentResults", "correlated"), {"kind": "parametric"}, "Multilevel"),
    ):
        with pytest.raises(InputError, match=words):
            bootstrap(fit, **choices)
    for choices in (
        {"statistic": "tua2"},
        {"statistic": "i2:x"},
        {"kind": "wild"},
        {"interval": "bc"},
        {"cluster": "lab"},
    ):
        with pytest.raises(UnknownChoiceError):
            bootstrap(FIT, **choices)
    with pytest.raises(UnknownChoiceError):
        bootstrap(FIT, draws=19).values("i3")
    assert bootstrap(FIT, "tau2", kind="non-parametric", interval="perc", draws=19).interval == "percentile"
