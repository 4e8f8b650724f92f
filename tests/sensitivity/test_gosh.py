"""GOSH: which subsets, what is said of them, and what is refused."""

from __future__ import annotations

import os
import pickle
import sys

import joblib
import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError, MetaexoError, UnknownChoiceError
from metaexo.sensitivity import gosh, refit

BCG = mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")
FIT = mx.RandomEffects(BCG).fit(method="DL", test="z")
ALL = gosh(FIT)


def test_bcg_by_metafor():
    """Values of gosh(rma(yi, vi, data=dat, method="DL")) in metafor 5.1-12, with the log RR of dat.bcg."""
    table = ALL.quantiles()
    expected = {
        "k": [1, 5, 7, 6.50079355, 8, 13],
        "q": [0, 22.8447747, 46.4122173, 58.7599271, 92.6438104, 152.2330081],
        "i2": [0, 0.786711822, 0.877068908, 0.832697777, 0.934674292, 0.988653418],
        "tau2": [0, 0.187348236, 0.277208322, 0.307187693, 0.403864595, 1.758093599],
        "estimate": [-1.620898224, -0.837580403, -0.710491343, -0.711343522, -0.582722542, 0.445913401],
    }
    for name, values in expected.items():
        found = table.loc[name, ["min", "q25", "median", "mean", "q75", "max"]].to_numpy(dtype=float)
        np.testing.assert_allclose(found, values, rtol=2e-8)
    assert (table["n"] == 8191).all()
    equal = gosh(mx.RandomEffects(BCG).fit(method="EE", test="z")).quantiles().loc["estimate"]
    assert equal["median"] == pytest.approx(-0.430285164, rel=1e-8)
    assert equal["mean"] == pytest.approx(-0.514893706, rel=1e-8)


def test_subset_0_is_the_fit_and_the_others_are_fits_of_their_rows():
    assert ALL.estimate[0] == pytest.approx(FIT.estimate, rel=1e-13)
    assert (ALL.tau2[0], ALL.i2[0], ALL.h2[0], ALL.q[0]) == pytest.approx(
        (FIT.tau2, FIT.i2, FIT.h2, FIT.q.statistic), rel=1e-12
    )
    for i in (1, 777, 8000):
        rows = ALL.rows(i)
        single = mx.RandomEffects(mx.EffectSizes(BCG.y[rows], BCG.v[rows])).fit(method="DL")
        assert ALL.k[i] == rows.size
        assert (ALL.estimate[i], ALL.tau2[i]) == pytest.approx((single.estimate, single.tau2), rel=1e-11)


def test_without_says_which_subsets_leave_a_study_out():
    j = 4
    without = ALL.without(BCG.row_labels[j])
    assert [j not in ALL.rows(i) for i in range(0, 8191, 501)] == without[::501].tolist()
    assert (without == ALL.without(j)).all()
    some = gosh(FIT, 500, seed=3)
    assert [j not in some.rows(i) for i in range(500)] == some.without(j).tolist()


def test_the_study_that_moves_the_median():
    """A heavy outlier: with it the estimates are elsewhere, by medians over masks made by hand."""
    y, v = [0.2, 0.3, 0.1, 0.25, 1.4], [0.02, 0.03, 0.02, 0.04, 0.005]
    found = gosh(mx.RandomEffects(mx.EffectSizes(y, v, labels=list("abcde"))).fit())
    table = found.by_cluster()
    assert table.index[0] == "e"
    held = np.array([4 in found.rows(i) for i in range(31)])
    expected = np.median(found.estimate[held]) - np.median(found.estimate[~held])
    assert table.loc["e", "difference"] == pytest.approx(expected, rel=1e-12)
    ranges = [np.subtract(*np.quantile(found.estimate[side], [0.75, 0.25])) for side in (held, ~held)]
    assert table.loc["e", "separation"] == pytest.approx(expected / np.mean(ranges), rel=1e-12)
    assert table["separation"].abs().to_list()[0] > 2 > table["separation"].abs().to_list()[1]
    assert "e moves it most" in found.sentence
    assert "hardly overlap" in found.sentence
    assert "hardly overlap" not in ALL.sentence


def test_moderators_have_columns_of_their_own():
    fit = mx.RandomEffects(BCG, "latitude").fit()
    found = gosh(fit, 300, seed=1)
    np.testing.assert_allclose(found.beta[found.fitted][:0].shape, (0, 2))
    i = int(np.flatnonzero(found.fitted)[7])
    rows = found.rows(i)
    single = mx.RandomEffects(BCG.select(np.isin(np.arange(13), rows), "subset"), "latitude").fit()
    np.testing.assert_allclose(found.beta[i], single.beta, rtol=1e-8)
    assert found.values("latitude")[i] == found.beta[i, 1]
    with pytest.raises(InputError, match="no single estimate"):
        _ = found.estimate
    assert "coefficient latitude" in found.sentence


@pytest.mark.parametrize("formula", ["x", "g", "x + g", "h", "x * g"])
def test_subsets_with_moderators_are_what_refit_gives(formula):
    """Each subset by itself: the same numbers, and no fit where there is none."""
    rng = np.random.default_rng(len(formula))
    data = pd.DataFrame({"x": [2001, 2001, 1999, 2004, 2004, 2010], "g": list("aababb"), "h": list("pqrpqr")})
    es = mx.EffectSizes(rng.normal(0, 1, 6), rng.uniform(0.02, 0.5, 6), data=data)
    method = "REML" if formula in "xg" else "DL"
    fit = mx.RandomEffects(es, formula).fit(method=method, test="z")
    found = gosh(fit)
    for i in range(63):
        try:
            single = refit(fit, found.rows(i))
        except MetaexoError:
            assert not found.fitted[i]
            assert np.isnan([*found.beta[i], found.tau2[i], found.i2[i], found.h2[i], found.q[i]]).all()
            continue
        assert found.fitted[i]
        np.testing.assert_allclose(found.beta[i], single.beta, rtol=1e-7, atol=1e-9)
        numbers = (found.tau2[i], found.i2[i], found.h2[i], found.q[i])
        expected = (single.tau2, single.i2, single.h2, single.cochran_q)
        np.testing.assert_allclose(numbers, expected, rtol=1e-7, atol=1e-9)
    assert 5 < found.fitted.sum() < 63


def test_subsets_without_a_fit_are_counted_by_why():
    fit = mx.RandomEffects(BCG.select(np.arange(13) < 5, "few"), "C(allocation)").fit(method="DL")
    found = gosh(fit)
    assert sum(found.reasons.values()) == (~found.fitted).sum() > 0
    assert "effects that do not determine all coefficients" in found.reasons
    assert "subsets have no fit" in found.sentence
    assert (found.to_frame()["no_fit"] != "").sum() == (~found.fitted).sum()
    empty = gosh(mx.RandomEffects(mx.EffectSizes([0.1, 0.4], [0.1, 0.2])).fit(), 200)
    assert empty.reasons == {"no study": int((empty.k == 0).sum())}


def test_studies_with_several_effects_go_together():
    study = ["a", "a", "b", "c", "c", "c", "d"]
    es = mx.EffectSizes(BCG.y[:7], BCG.v[:7], study=study)
    fit = mx.RandomEffects(es, dependence="accept").fit()
    found = gosh(fit)
    assert (found.size, found.clusters, found.cluster) == (15, ("a", "b", "c", "d"), "study")
    assert found.rows(0b0110).tolist() == [0, 1, 6]
    assert gosh(fit, cluster="effect").size == 127
    assert gosh(fit, cluster=[1, 1, 1, 2, 2, 2, 2]).size == 3


def test_other_fits_keep_what_they_were_told():
    weighted = mx.RandomEffects(BCG, weights="equal").fit()
    given = mx.RandomEffects(BCG).fit(tau2=0.2)
    assert gosh(weighted, 50).tau2.max() > 0
    i = 17
    found = gosh(weighted, 50)
    assert found.estimate[i] == pytest.approx(BCG.y[found.rows(i)].mean(), rel=1e-12)
    assert gosh(given, 50).tau2 == pytest.approx(0.2, rel=1e-14)


def test_other_families_are_refitted_one_at_a_time():
    """A multilevel fit: each subset is the fit of its studies, and what cannot be fitted says why."""
    study = list("aabbccdd")
    es = mx.EffectSizes(BCG.y[:8], BCG.v[:8], study=study)
    fit = mx.Multilevel(es).fit()
    found = gosh(fit)
    assert found.size == 15
    assert found.estimate[0] == pytest.approx(fit.estimate, rel=1e-8)
    rows = found.rows(0b0010)
    assert rows.tolist() == [0, 1, 4, 5, 6, 7]
    part = mx.Multilevel(mx.EffectSizes(es.y[rows], es.v[rows], study=[study[i] for i in rows])).fit()
    assert found.estimate[0b0010] == pytest.approx(part.estimate, rel=1e-7)
    assert found.tau2[0b0010] == pytest.approx(part.tau2, rel=1e-6, abs=1e-9)
    assert not found.fitted[0b0111]  # one study
    assert sum(found.reasons.values()) == 4
    assert "one level" in found.sentence
    with pytest.raises(
        InputError, match=r"one subset at a time, and 15 subsets of 4 take about .* draws=10 "
    ):
        gosh(fit, limit=10)
    few = gosh(fit, 6, limit=10)
    assert few.size == 6
    with pytest.raises(InputError, match="no folder"):
        gosh(fit, 6, to="somewhere")


def test_a_folder_holds_what_would_not_fit_in_memory(tmp_path):
    pytest.importorskip("pyarrow")
    stored = gosh(FIT, 300, seed=2, to=tmp_path / "subsets")
    here = gosh(FIT, 300, seed=2)
    np.testing.assert_array_equal(stored["tau2"], here.tau2)
    np.testing.assert_array_equal(stored["beta"], here.beta)


def test_one_and_two_studies():
    two = gosh(mx.RandomEffects(mx.EffectSizes([0.1, 0.4], [0.01, 0.02])).fit())
    assert two.estimate.tolist() == pytest.approx([two.estimate[0], 0.4, 0.1])
    one = gosh(mx.RandomEffects(mx.EffectSizes([0.1], [0.01])).fit(method="EE", test="z"))
    assert (one.size, one.tau2[0], one.i2[0], one.estimate[0]) == (1, 0, 0, pytest.approx(0.1))
    assert one.sentence.startswith("1 non-empty subset of 1 study, EE.")
    assert "moves it most" not in two.sentence


def test_workers_and_chunks_change_no_bit():
    es = mx.EffectSizes(np.linspace(-1, 1, 15) ** 3, np.linspace(0.1, 0.5, 15))
    fit = mx.RandomEffects(es).fit()
    serial = gosh(fit)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        parallel = gosh(fit)
    for name in ("beta", "tau2", "i2", "h2", "q", "k", "state"):
        np.testing.assert_array_equal(getattr(serial, name), getattr(parallel, name))


def test_a_result_is_immutable_and_travels():
    with pytest.raises(ValueError, match="read-only"):
        ALL.tau2[0] = 1
    other = pickle.loads(pickle.dumps(gosh(FIT, 20)))
    assert other.sentence == gosh(FIT, 20).sentence
    frame = ALL.to_frame()
    assert frame.shape == (8191, 7)
    assert list(frame.columns) == ["estimate", "tau2", "i2", "h2", "q", "k", "no_fit"]
    assert "Medians with and without" in ALL.to_html()


def test_wrong_inputs(monkeypatch):
    for wrong in (BCG, None, "fit"):
        with pytest.raises(InputError):
            gosh(wrong)
    for choices in ({"draws": 0}, {"draws": 2.5}, {"seed": -1}, {"cluster": [1, 2]}, {"cluster": 3}):
        with pytest.raises(InputError):
            gosh(FIT, **choices)
    with pytest.raises(UnknownChoiceError):
        gosh(FIT, cluster="country")
    for wrong in ("Nobody 1900", 13, -1, 1.5, None):
        with pytest.raises(InputError):
            ALL.without(wrong)
    for wrong in (8191, -1, "a"):
        with pytest.raises(InputError):
            ALL.rows(wrong)
    with pytest.raises(UnknownChoiceError):
        ALL.values("tau")
    monkeypatch.setattr(os, "sysconf", lambda _: 1000)
    with pytest.raises(InputError, match=r"takes 0\.0 GB.*draws="):
        gosh(FIT, 20_000)


def test_of_more_studies_than_can_be_listed_random_subsets_are_drawn(monkeypatch):
    monkeypatch.setattr(sys.modules["metaexo.sensitivity.gosh"], "DRAWS", 3_000)
    fit = mx.RandomEffects(mx.EffectSizes(np.linspace(-1, 1, 80), np.full(80, 0.1))).fit()
    found = gosh(fit)
    assert found.sentence.startswith("3,000 random subsets of 80 studies, REML.")
    assert found.k.mean() == pytest.approx(40, abs=4 * np.sqrt(20 / 3000))
    for i in (0, 2999):
        rows = found.rows(i)
        single = mx.RandomEffects(mx.EffectSizes(fit.effects.y[rows], fit.effects.v[rows])).fit()
        assert found.tau2[i] == pytest.approx(single.tau2, rel=1e-9)


def test_subsets_of_one_effect_alone_are_said() -> None:
    two = gosh(mx.RandomEffects(mx.EffectSizes([0.2, 0.9], [0.02, 0.05])).fit())
    assert "2 subsets are one effect alone, from which tau2 and I2 cannot be estimated." in two.sentence
    assert "2 subsets are one effect alone, from which τ² and I² cannot be estimated." in (
        mx.plots.gosh_plan(two).notes
    )
    pairs = mx.EffectSizes([0.2, 0.9, 0.4, 0.1], [0.02] * 4, study=list("aabb"))
    assert gosh(mx.RandomEffects(pairs, dependence="accept").fit()).alone == ""
