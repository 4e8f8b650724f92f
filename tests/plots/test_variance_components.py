"""Variance components are drawn at the numbers of the fit: estimates, intervals, and shares."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError, MetaexoError
from metaexo.plots.canvas.chart import Intervals, Points, Words
from tests.combined import combined

SCHOOLS = mx.load_dataset("school_calendars")
SAMPLING = "sampling error (typical)"


def of_studies(k, seed=0, effects=2):
    draws = np.random.default_rng(seed)
    data = pd.DataFrame({"source": np.resize(["a", "b", "c"], k), "isolation": np.resize(["x", "y"], k)})
    study = [f"s{i // effects}" for i in range(k)]
    return mx.EffectSizes(draws.normal(0.5, 0.4, k), draws.uniform(0.02, 0.1, k), data=data, study=study)


@pytest.fixture(scope="module")
def schools():
    return mx.Multilevel(mx.EffectSizes(SCHOOLS["y"], SCHOOLS["v"], data=SCHOOLS), "district/school").fit()


@pytest.fixture(scope="module")
def strata():
    return mx.stratify(of_studies(40, effects=1), "source")


@pytest.fixture(scope="module")
def one_level():
    return mx.RandomEffects(of_studies(40), dependence="accept").fit()


def estimates(plan):
    return {n: x for layer in plan.layers(Points) for n, x in zip(layer.labels, layer.x, strict=True)}


def ends(plan):
    return {
        name: (low, high)
        for layer in plan.layers(Intervals)
        for name, low, high in zip(layer.labels, layer.low, layer.high, strict=True)
    }


@pytest.mark.parametrize("scale", ["sd", "variance"])
def test_components_of_levels_and_strata_are_those_of_the_fit(schools, strata, one_level, scale) -> None:
    change = np.sqrt if scale == "sd" else np.asarray
    for fit in (schools, strata, one_level):
        table = fit.heterogeneity()
        plan = mx.plots.variance_components_plan(fit, scale=scale)
        assert estimates(plan) == pytest.approx(
            {**change(table["tau2"]).to_dict(), SAMPLING: float(change(fit.typical_variance))}
            if scale == "sd"
            else {**table["tau2"].to_dict(), SAMPLING: fit.typical_variance}
        )
        for name, shown in ends(plan).items():
            assert shown == pytest.approx(
                tuple(change(table.loc[name, ["low", "high"]].to_numpy(dtype=float)))
            )
        assert set(ends(plan)) == set(table.index)


def test_values_are_those_of_metafor(schools) -> None:
    # metafor 3.8-1: rma.mv(yi, vi, random = ~ 1 | district/school, data = dat.konstantopoulos2011);
    # its confint(), which looks for ends to about 1e-4; sigma2 over their sum and the typical variance
    # (k - p) / trace(P), P at sigma2 = 0
    plan = mx.plots.variance_components_plan(schools)
    assert estimates(plan)["district"] == pytest.approx(0.255072, abs=2e-6)
    assert estimates(plan)["district/school"] == pytest.approx(0.180932, abs=2e-6)
    assert ends(plan)["district"] == pytest.approx((0.149107, 0.455238), abs=1e-4)
    assert ends(plan)["district/school"] == pytest.approx((0.127568, 0.250650), abs=1e-4)
    shares = estimates(mx.plots.variance_components_plan(schools, scale="share", intervals=False))
    assert shares["district"] == pytest.approx(63.324838, abs=1e-4)
    assert shares["district/school"] == pytest.approx(31.862476, abs=1e-4)


def test_shares_of_levels_add_up_and_have_their_own_intervals(schools) -> None:
    plan = mx.plots.variance_components_plan(schools, scale="share")
    table = schools.conf_int_i2()
    shown = estimates(plan)
    assert shown["district"] + shown["district/school"] == pytest.approx(shown["all together (I²)"])
    assert shown["all together (I²)"] + shown[SAMPLING] == pytest.approx(100.0)
    for name, term in (("district", "district"), ("all together (I²)", "total")):
        assert shown[name] == pytest.approx(100 * table.loc[term, "i2"])
        assert ends(plan)[name] == pytest.approx(
            tuple(100 * table.loc[term, ["low", "high"]].to_numpy(float))
        )


def test_the_share_of_one_level_is_i2_with_its_interval(one_level) -> None:
    plan = mx.plots.variance_components_plan(one_level, scale="share")
    known = one_level.conf_int_heterogeneity().i2
    assert estimates(plan)["between studies"] == pytest.approx(100 * known.estimate)
    assert ends(plan)["between studies"] == pytest.approx((100 * known.low, 100 * known.high))


def test_shares_of_strata_have_the_sampling_error_of_each(strata) -> None:
    plan = mx.plots.variance_components_plan(strata, scale="share")
    frame = strata.to_frame().set_index("stratum") if "stratum" in strata.to_frame() else strata.to_frame()
    for name, (low, high) in ends(plan).items():
        assert (low, high) == pytest.approx(tuple(100 * frame.loc[name, ["i2_low", "i2_high"]].astype(float)))
    assert SAMPLING not in estimates(plan)


def test_an_estimate_of_zero_is_at_zero_with_its_interval() -> None:
    es = mx.EffectSizes([0.30, 0.31, 0.29, 0.30, 0.32], [0.05, 0.04, 0.06, 0.05, 0.03])
    fit = mx.RandomEffects(es).fit()
    plan = mx.plots.variance_components_plan(fit)
    assert estimates(plan)["between studies"] == 0.0
    assert ends(plan)["between studies"] == pytest.approx((0.0, np.sqrt(fit.heterogeneity()["high"].iloc[0])))
    assert "Estimated as zero: between studies." in plan.notes


def test_what_has_no_estimate_is_said_in_words(strata) -> None:
    one = mx.RandomEffects(mx.EffectSizes([0.1], [0.2])).fit(method="EE")
    several = mx.RandomEffects(mx.EffectSizes([0.1, 0.5, 0.3], [0.2, 0.1, 0.1])).fit(method="EE")
    alone = mx.stratify(
        mx.EffectSizes([0.1, 0.5, 0.3], [0.2, 0.1, 0.1], data=pd.DataFrame({"g": list("aab")})), "g"
    )
    for fit, said in (
        (one, "not estimable: as many coefficients as effects"),
        (several, "none in the equal-effects model"),
        (alone, "not estimable: one study"),
    ):
        texts = [layer.text for layer in mx.plots.variance_components_plan(fit).layers(Words)]
        assert any(text.startswith(said) for text in texts), texts


def test_a_variance_below_zero_is_no_standard_deviation() -> None:
    found = mx.attribute_heterogeneity(of_studies(40), draws=50, permutations=19)
    below = found.heterogeneity()["tau2"] < 0
    assert below.any()
    plan = mx.plots.variance_components_plan(found)
    assert len(plan.layers(Words)) == below.sum()
    assert not set(estimates(plan)) & set(below.index[below])
    drawn = estimates(mx.plots.variance_components_plan(found, scale="variance"))
    assert {name: drawn[name] for name in below.index} == found.heterogeneity()["tau2"].to_dict()
    shares = estimates(mx.plots.variance_components_plan(found, scale="share"))
    assert sum(shares.values()) == pytest.approx(100.0)
    assert mx.plots.overlapping_texts(plan.draw()) == []


def test_a_given_variance_is_hollow(one_level) -> None:
    fit = mx.RandomEffects(of_studies(40), dependence="accept").fit(tau2=0.1)
    plan = mx.plots.variance_components_plan(fit, scale="variance")
    assert {n: layer.hollow for layer in plan.layers(Points) for n in layer.labels} == {
        "between studies": True,
        SAMPLING: False,
    }
    assert any(note.startswith("Hollow") for note in plan.notes)


def test_several_fits_have_a_colour_and_a_shape_each(one_level) -> None:
    es = of_studies(40)
    fits = {
        "two levels": mx.Multilevel(es, ["study", "effect"]).fit(),
        "studies": mx.Multilevel(es, "study").fit(),
    }
    plan = mx.plots.variance_components_plan(fits, scale="variance")
    named = {layer.name: layer for layer in plan.layers(Points) if layer.name}
    assert set(named) == set(fits)
    assert (
        len({layer.color for layer in named.values()}) == len({layer.shape for layer in named.values()}) == 2
    )
    for name, layer in named.items():
        expected = fits[name].heterogeneity(method=None)["tau2"]
        assert dict(zip(layer.labels, layer.x, strict=True)) == pytest.approx(expected.to_dict())
    names = dict(plan.panels[0].y.ticks)
    for layer in plan.layers(Points):
        assert [names[round(y)] for y in layer.y] == list(layer.labels)


def test_without_intervals_there_is_no_line_and_other_methods_and_levels_are_those_of_the_fit(
    one_level,
) -> None:
    assert ends(mx.plots.variance_components_plan(one_level, intervals=False)) == {}
    plan = mx.plots.variance_components_plan(
        one_level, method="profile-likelihood", level=0.9, scale="variance"
    )
    table = one_level.heterogeneity(0.9, "profile-likelihood")
    assert ends(plan)["between studies"] == tuple(table[["low", "high"]].iloc[0])
    assert plan.notes[0] == "Lines: 90% intervals (profile-likelihood)."


def test_values_without_sampling_variance_have_no_sampling_error() -> None:
    es = of_studies(40)
    fit = mx.model_of_values(es.y, ["study", "effect"], data=es.data, study=es.study).fit()
    plan = mx.plots.variance_components_plan(fit, scale="share", wording={"study": "laboratory"})
    assert list(estimates(plan)) == ["laboratory", "effect"]
    assert sum(estimates(plan).values()) == pytest.approx(100.0)


def test_slopes_that_correlate_have_no_share_of_their_own() -> None:
    draws = np.random.default_rng(0)
    dose = np.tile([0.0, 1.0, 2.0, 3.0], 12)
    by_study = draws.normal(0.0, 0.3, (2, 12)).repeat(4, axis=1)
    es = mx.EffectSizes(
        by_study[0] + dose * (0.2 + by_study[1]) + draws.normal(0.0, 0.2, 48),
        np.full(48, 0.04),
        data=pd.DataFrame({"dose": dose}),
        study=[f"s{i // 4}" for i in range(48)],
    )
    fit = mx.Multilevel(es, mx.RandomTerm("study", "1 + dose", "GEN"), moderators="dose").fit()
    plan = mx.plots.variance_components_plan(fit, scale="share")
    assert [layer.text for layer in plan.layers(Words)] == [
        "no share of its own: it correlates with the others"
    ] * 2
    assert estimates(plan)["all together (I²)"] == pytest.approx(100 * fit.i2)
    assert "Without an interval: all together (I²)." in plan.notes
    assert "Variance that moderators leave." in plan.notes
    rho = fit.component_values["1 + dose|study:rho[intercept,dose]"]
    assert any(f"ρ[intercept,dose] = {rho:.2f}".replace("-", "−") in note for note in plan.notes)


def test_a_component_that_was_held_is_hollow_and_has_no_interval() -> None:
    fit = mx.Multilevel(of_studies(40), ["study", "effect"], fix={"study": 0.1}).fit()
    plan = mx.plots.variance_components_plan(fit, scale="variance")
    assert estimates(plan)["study"] == pytest.approx(0.1)
    assert set(ends(plan)) == {"effect"}
    assert [layer.labels for layer in plan.layers(Points) if layer.hollow] == [["study"]]


@combined(scale=["sd", "share"], k=[2, 3, 13, 150])
def test_no_texts_overlap(k, scale) -> None:
    fit = mx.RandomEffects(of_studies(k), dependence="accept").fit()
    ax = mx.plots.variance_components(fit, scale=scale, title="Heterogeneity of effects " * 5)
    assert mx.plots.overlapping_texts(ax) == []


@pytest.mark.parametrize("theme", mx.plots.THEMES)
def test_no_texts_overlap_in_any_theme(schools, theme) -> None:
    names = {
        "district": "A level of a name as long as eighty letters are, of which nobody has asked for 研究"
    }
    ax = mx.plots.variance_components(schools, intervals=False, theme=theme, wording=names)
    assert mx.plots.overlapping_texts(ax) == []


def test_other_things_are_refused(one_level) -> None:
    ratio = mx.EffectSizes([0.1, 0.2, 0.5], [0.1, 0.2, 0.1], "RR")
    for wrong in ({}, [one_level], None, mx.RandomEffects, {"a": 3}):
        with pytest.raises(InputError):
            mx.plots.variance_components_plan(wrong)
    with pytest.raises(InputError, match="different scales"):
        mx.plots.variance_components_plan({"a": one_level, "b": mx.RandomEffects(ratio).fit()})
    with pytest.raises(MetaexoError):
        mx.plots.variance_components_plan(one_level, method="nonsense")


@pytest.mark.parametrize(("width", "font_size"), [(3.5, 12.0), (3.0, None), (7.0, 14.0)])
def test_narrow_figures_hold_their_texts(schools, width, font_size) -> None:
    ax = mx.plots.variance_components(schools, intervals=False, width=width, font_size=font_size)
    assert mx.plots.overlapping_texts(ax) == []


def test_in_axes_of_the_users(schools, one_level) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
    assert mx.plots.variance_components(one_level, ax=left, title="A") is left
    mx.plots.variance_components({"all": schools}, ax=right, title="B", intervals=False)
    assert mx.plots.overlapping_texts(figure) == []


@pytest.mark.parametrize(
    ("measure", "unit"), [("SMD", "standardised mean difference"), ("RR", "log risk ratio")]
)
def test_the_unit_stands_in_brackets_that_hold_no_others(measure, unit):
    fit = mx.RandomEffects(mx.EffectSizes([0.1, 0.5, 0.9], [0.02, 0.03, 0.02], measure)).fit()
    axis = mx.plots.variance_components_plan(fit).panels[0].x
    assert axis.label == f"Standard deviation ({unit})"
