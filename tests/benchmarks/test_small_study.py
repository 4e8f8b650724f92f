"""The simulation of small-study effects: its draws, batched methods beside single fits, bookkeeping."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metaexo as mx
from benchmarks import small_study, small_study_data, small_study_methods, small_study_page
from benchmarks.small_study_data import Setting, simulate

bias = mx.bias


@pytest.fixture(scope="module")
def draw():
    return simulate(Setting("SMD", "step", 0.5, 0.3, 12), 40)


# ---------------------------------------------------------------- what is drawn


def test_the_same_setting_gives_the_same_draws(draw):
    again = simulate(Setting("SMD", "step", 0.5, 0.3, 12), 40)
    assert np.array_equal(draw.y, again.y)
    assert draw.y.shape == draw.v.shape == draw.n.shape == (40, 12)


def test_effects_are_those_of_their_means_and_sds():
    """Compute Hedges' g and its variance from the statistics, without the package."""
    setting = Setting("SMD", "none", 0.5, 0.3, 5)
    _, measured = small_study_data.studies(setting, setting.rng, 200)
    y, v, n = small_study_data.effects(setting, measured)
    pooled = np.sqrt((measured["treated_sd"] ** 2 + measured["control_sd"] ** 2) / 2)
    d = (measured["treated"] - measured["control"]) / pooled
    assert np.allclose(y, d * (1 - 3 / (4 * (2 * n - 2) - 1)), rtol=2e-3)
    assert np.allclose(v, 2 / n + y**2 / (4 * n), rtol=1e-9)
    assert n.min() >= 5
    assert n.max() <= 10


def test_p_values_are_those_of_the_t_test_and_of_the_z_test():
    setting = Setting("SMD", "none", 0.5, 0.3, 5)
    p, it = small_study_data.studies(setting, setting.rng, 50)
    for i in range(50):
        found = stats.ttest_ind_from_stats(
            it["treated"][i], it["treated_sd"][i], it["n"][i],
            it["control"][i], it["control_sd"][i], it["n"][i], alternative="greater",
        )  # fmt: skip
        assert p[i] == pytest.approx(found.pvalue, rel=1e-9)
    p, it = small_study_data.studies(Setting("MD", "none", 0.5, 0.3, 5), setting.rng, 50)
    assert np.allclose(p, stats.norm.sf((it["treated"] - it["control"]) / np.sqrt(2 / it["n"])))


def test_selection_publishes_as_often_as_its_weights_say():
    """Compare with closed forms: without effects and with known standard errors p is uniform."""
    size = 4000
    for selection, share in (
        ("none", 1.0),
        ("step", 0.025 + 0.2 * 0.975),
        ("strong", 0.125 * (1 - 5 * np.exp(-4.0))),
    ):
        found = simulate(Setting("MD", selection, 0.0, 0.0, 5), size // 5)
        assert found.share == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / (size / share)))
        significant = (found.y / found.se > stats.norm.isf(0.025)).mean()
        if selection == "step":
            expected = 0.025 / share
            assert significant == pytest.approx(expected, abs=4 * np.sqrt(expected / size))


def test_variances_depend_on_effects_where_these_are_standardised():
    smd, md = (simulate(Setting(design, "none", 0.5, 0.3, 100), 10) for design in ("SMD", "MD"))
    assert np.allclose(md.v, md.size)
    assert np.corrcoef(smd.y.ravel() ** 2, (smd.v - smd.size).ravel())[0, 1] > 0.9


# ---------------------------------------------------------------- what is computed


SINGLE = {
    "random effects": lambda es: mx.RandomEffects(es).fit().pooled(),
    "random effects, z": lambda es: mx.RandomEffects(es).fit(test="z").pooled(),
    "trim and fill": lambda es: bias.trim_and_fill(es, side="left"),
    "PET-PEESE": bias.pet_peese,
    "limit": bias.limit_meta_analysis,
    "WAAP-WLS": bias.waap_wls,
    "p-uniform": lambda es: bias.p_uniform(es, alternative="greater"),
    "selection": lambda es: bias.selection_model(es, alternative="greater"),
    "worst case": lambda es: bias.worst_case(es, alternative="greater"),
}


@pytest.mark.parametrize("name", SINGLE)
def test_a_batched_estimate_is_that_of_the_function(name, draw):
    found = small_study_methods.METHODS[name].apply(draw)
    for i in range(20):
        one = SINGLE[name](mx.EffectSizes(draw.y[i], draw.v[i]))
        ours = [found.estimate[i], found.low[i], found.high[i]]
        tolerance = 1e-5 if name == "selection" else 1e-9  # Newton's method stops where nothing is gained
        assert np.allclose(ours, [one.estimate, one.low, one.high], rtol=tolerance, atol=tolerance)


def test_a_batched_egger_test_is_that_of_the_function(draw):
    on_se, on_sizes = (small_study_methods.METHODS[name].apply(draw) for name in ("Egger", "Egger, sizes"))
    for i in range(20):
        sizes = pd.DataFrame({"treatment_n": draw.n[i], "control_n": draw.n[i]})
        es = mx.EffectSizes(draw.y[i], draw.v[i], "SMD", data=sizes)
        found = bias.regression_test(es, "se", model="dispersion")
        assert on_se.pvalue[i] == pytest.approx(found.pvalue, rel=1e-9)
        assert on_sizes.pvalue[i] == pytest.approx(
            bias.regression_test(es, model="dispersion").pvalue, rel=1e-9
        )


def test_pet_peese_on_sizes_is_what_smds_have_by_default(draw):
    found = small_study_methods.METHODS["PET-PEESE, sizes"].apply(draw)
    for i in range(10):
        sizes = pd.DataFrame({"treatment_n": draw.n[i], "control_n": draw.n[i]})
        one = bias.pet_peese(mx.EffectSizes(draw.y[i], draw.v[i], "SMD", data=sizes))
        ours = [found.estimate[i], found.low[i], found.high[i]]
        assert np.allclose(ours, [one.estimate, one.low, one.high], rtol=1e-9, atol=1e-10)


def test_equal_sizes_give_no_regression():
    found = small_study_methods.lines(np.array([[0.1, 0.4, 0.2]]), np.full((1, 3), 0.1), np.full((1, 3), 0.3))
    assert np.isnan(found.slope_pvalue).all()


# ---------------------------------------------------------------- what is written down


def test_tests_without_selection_and_correlation_keep_their_level():
    """The type I error of regression tests of mean differences lies within four Monte Carlo errors of 5%."""
    setting = Setting("MD", "none", 0.5, 0.0, 10)
    draws = simulate(setting, 2000)
    line = small_study.row(setting, draws, "Egger")
    assert line["rejected"] == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 2000))
    line = small_study.row(setting, draws, "random effects")
    assert line["bias"] == pytest.approx(0, abs=4 * line["bias_se"])
    assert line["covers"] > 0.95 - 4 * line["covers_se"]


def test_the_standard_error_of_an_smd_rejects_too_often_and_its_sizes_do_not():
    setting = Setting("SMD", "none", 0.5, 0.0, 50)
    draws = simulate(setting, 1000)
    on_se, on_sizes = (small_study.row(setting, draws, name) for name in ("Egger", "Egger, sizes"))
    assert on_se["rejected"] > 0.25
    assert on_sizes["rejected"] == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 1000))


def test_a_summary_counts_what_it_says():
    found = small_study_methods.Found(
        estimate=np.array([0.5, 0.7, np.nan, 0.1]),
        low=np.array([0.1, 0.6, np.nan, -0.1]),
        high=np.array([0.9, 0.8, np.nan, 0.3]),
    )
    line = small_study.summary(found, 0.5)
    assert (line["draws"], line["none"]) == (4, 1)
    assert line["bias"] == pytest.approx(np.mean([0.0, 0.2, -0.4]))
    assert line["bias_se"] == pytest.approx(np.std([0.0, 0.2, -0.4], ddof=1) / np.sqrt(3))
    assert line["covers"] == pytest.approx(1 / 3)
    assert line["rejected"] == pytest.approx(2 / 3)
    assert line["rejected_se"] == pytest.approx(np.sqrt(2 / 9 / 3))


def test_a_run_that_was_stopped_goes_on_and_ends_the_same(tmp_path, monkeypatch):
    few = [Setting("SMD", "none", 0.5, 0.3, 5), Setting("MD", "step", 0.0, 0.0, 10)]
    monkeypatch.setattr(small_study, "settings", lambda: iter(few))
    monkeypatch.setattr(small_study, "simulate", lambda setting: simulate(setting, 30))
    names = ("random effects", "PET-PEESE", "Egger")
    monkeypatch.setattr(small_study, "METHODS", {name: small_study_methods.METHODS[name] for name in names})
    path = tmp_path / "small_study.csv"
    whole = small_study.run(pd.DataFrame(), path).drop(columns="seconds")
    part = pd.read_csv(path).iloc[[0, 4]]
    again = small_study.run(part, path).drop(columns="seconds")
    assert len(whole) == len(again) == 6
    pd.testing.assert_frame_equal(whole, again, rtol=1e-4)
    assert pd.read_csv(path)["method"].tolist() == [*names, *names]


@pytest.fixture(scope="module")
def stored(root):
    return pd.read_csv(root / "benchmarks" / "results" / "small_study.csv")


def test_the_stored_table_is_of_all_settings_and_methods(stored):
    expected = [(one, name) for one in small_study_data.settings() for name in small_study.methods_of(one)]
    assert len(stored) == len(expected)
    assert not stored.duplicated(small_study_data.KEY).any()


def test_a_stored_row_is_what_the_setting_gives_again(stored):
    setting = Setting("SMD", "step", 0.5, 0.3, 10)
    draw = simulate(setting)
    for name in ("random effects", "trim and fill", "PET-PEESE, sizes", "selection", "worst case", "Egger"):
        again = small_study.row(setting, draw, name)
        key = pd.Series(again)[small_study_data.KEY]
        (found,) = stored[(stored[small_study_data.KEY] == key).all(axis=1)].to_dict("records")
        numbers = {one: value for one, value in again.items() if isinstance(value, float)}
        del numbers["seconds"]
        assert len(numbers) >= 5
        assert found["draws"] == again["draws"]
        assert {one: found[one] for one in numbers} == pytest.approx(numbers, rel=2e-4, abs=1e-6)


def test_the_tables_of_the_pages_are_those_of_the_stored_results(stored, root):
    for name, table in small_study_page.tables(stored).items():
        shown = pd.read_csv(root / "benchmarks" / "results" / f"{name}.csv", dtype=str)
        assert shown.to_numpy().tolist() == table.to_numpy().tolist(), name


def test_figures_show_the_stored_numbers(stored):
    for name, plan in small_study_page.figures(stored).items():
        shown = plan.to_frame().query("layer == 'points'")
        assert len(shown), name
        assert mx.plots.overlapping_texts(plan.draw()) == []
    plan = small_study_page.figures(stored)["small_study_tests"]
    egger = stored.query("design == 'SMD' and mean == 0.5 and tau == 0.3 and method == 'Egger'")
    shown = plan.to_frame().query("layer == 'points' and panel == 'Egger on SE' and name == 'no selection'")
    assert np.allclose(shown["y"], egger.query("selection == 'none'")["rejected"])


def test_the_guide_says_what_the_results_say(stored, root):
    """Each number of the guide is that of the stored results."""
    text = " ".join((root / "docs" / "small_study_effects.rst").read_text(encoding="utf-8").split())

    def value(column, method, selection, k=20, mean=0.5, design="SMD"):
        keys = dict(zip(small_study_data.KEY, (design, selection, mean, 0.3, k, method), strict=True))
        (found,) = stored.loc[(stored[list(keys)] == pd.Series(keys)).all(axis=1), column]
        return found

    for selection, words in (("step", "too large by 0.33"), ("strong", "by 0.46")):
        assert words in text
        for k in small_study_data.SIZES:
            assert value("bias", "random effects", selection, k) == pytest.approx(
                float(words[-4:]), abs=0.035
            )
        assert value("covers", "random effects", selection, 100) < 0.01
    for method in ("PET-PEESE", "limit"):
        assert value("bias", method, "none") == pytest.approx(-0.9, abs=0.05)
    assert "22% of meta-analyses of twenty studies and in 71% of a hundred" in text
    assert [round(100 * value("rejected", "Egger", "none", k)) for k in (20, 100)] == [22, 71]
    assert value("rejected", "Egger, sizes", "none") < 0.06
    assert value("rejected", "Egger, sizes", "strong") < 0.1
    assert "4 to 6 units wide" in text
    assert all(4 < value("width", "PET-PEESE, sizes", one) < 6 for one in ("none", "step", "strong"))
    assert f"by a step (−{-value('bias', 'selection', 'step'):.2f})" in text
    assert abs(value("bias", "selection", "none")) < 0.05
    covers = [round(100 * value("covers", "selection", one)) for one in ("none", "step")]
    assert f"in {min(covers)} to {max(covers)}%" in text
    found = [round(100 * value("rejected", "selection test", "step", k)) for k in (20, 100)]
    assert f"{found[0]}% of meta-analyses of twenty studies and in {found[1]}% of a hundred" in text
    assert f"too large by {value('bias', 'selection', 'strong'):.2f}, p-uniform*" in text
    assert f"p-uniform* by {value('bias', 'p-uniform*', 'strong'):.2f}" in text
    assert f"rejects in {100 * value('rejected', 'selection test', 'strong'):.0f}%" in text
    assert abs(value("bias", "p-uniform*", "step")) < 0.06
    wide = {"design": "SMD, sizes vary"}
    for method, words in (("PET-PEESE, sizes", "0.04 (step) and 0.06 (strong)"), ("limit", "0.05 and 0.05")):
        assert words in text
        errors = [value("bias", method, one, **wide) for one in ("step", "strong")]
        assert [f"{error:.2f}" for error in errors] == re.findall(r"0\.\d\d", words)
    assert all(round(100 * value("covers", "limit", one, **wide)) == 93 for one in ("step", "strong"))
    assert (
        abs(value("bias", "selection", "step", **wide)) < 0.02 < value("bias", "selection", "strong", **wide)
    )
    for method in ("PET-PEESE, sizes", "limit", "selection"):
        assert value("rejected", method, "strong", mean=0.0, **wide) > 0.4
    assert all(value("bias", "p-uniform", one) > 0.05 for one in ("none", "step", "strong"))
    found = [round(100 * value("rejected", "excess", "step", k)) for k in (20, 100)]
    assert f"{found[0]}% of meta-analyses of twenty studies after selection by a step, {found[1]}%" in text
    assert all(value("rejected", "excess", "strong", k) < 0.05 for k in small_study_data.SIZES)
    fill = [-value("bias", "trim and fill", "none", k) for k in (20, 100)]
    assert f"takes {fill[0]:.2f} to {fill[1]:.2f} away" in text
    assert f"no bound: +{value('bias', 'worst case', 'strong'):.2f}" in text
    assert value("bias", "worst case", "step") < 0
    held = [value("covers", "PET-PEESE, sizes", one, **wide) for one in ("strong", "step")]
    assert f"(that of PET-PEESE in {100 * held[0]:.0f} to {100 * held[1]:.0f}%)" in text
    errors = [value("rejected", name, "step", mean=0.0, **wide) for name in ("PET-PEESE, sizes", "limit")]
    assert f"both regressions are {100 * errors[0]:.0f} to {100 * errors[1]:.0f}%" in text
    few = [value(column, "selection", "none", 5) for column in ("bias", "median_bias")]
    assert f"mean bias is {few[0]:.1f} where nothing was selected, with a median of {few[1]:.2f}" in text
    assert "does not depend on how selection works" not in text
