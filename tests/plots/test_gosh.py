"""The plot of all subsets: each subset at its own fit, counts, groups with and without a study, medians."""

from __future__ import annotations

from itertools import chain, combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots import gosh, gosh_plan, overlapping_texts
from metaexo.plots.canvas.chart import Cells, Points

Y, V = [0.2, -0.3, 0.1, 1.4, 0.5], [0.02, 0.03, 0.02, 0.04, 0.02]
NAMES = ("Li 2020", "Cho 2021", "Diaz 2019", "Okafor 2022", "Moreau 2018")


def fit_of(measure="RR", k=5, **choices):
    es = mx.EffectSizes(Y[:k], V[:k], measure, labels=NAMES[:k])
    return mx.RandomEffects(es).fit(**{"method": "DL", "test": "z", **choices})


def by_hand(rows):
    """Return the ratio, I2 in per cent, tau2 and Q of some of the effects by DerSimonian and Laird."""
    y, v = np.array(Y)[list(rows)], np.array(V)[list(rows)]
    w = 1 / v
    q = float(np.sum(w * (y - np.sum(w * y) / w.sum()) ** 2))
    df = len(rows) - 1
    size = w.sum() - np.sum(w**2) / w.sum()
    tau2 = max(0.0, (q - df) / size) if df else 0.0
    w_star = 1 / (v + tau2)
    typical = df * w.sum() / (w.sum() ** 2 - np.sum(w**2)) if df else 1.0
    return np.exp(np.sum(w_star * y) / w_star.sum()), 100 * tau2 / (tau2 + typical), tau2, q


def every_subset(k=5):
    return list(chain.from_iterable(combinations(range(k), n) for n in range(1, k + 1)))


def points_of(plan, name):
    """Return the places of the points of a name that starts so."""
    frame = plan.to_frame().query("layer == 'points'")
    return frame[frame["name"].str.startswith(name)][["x", "y"]].to_numpy(dtype=float)


def sorted_rows(table):
    table = np.asarray(table, dtype=float).round(9)
    return table[np.lexsort(table.T[::-1])]


@pytest.mark.parametrize(("vertical", "column"), [("i2", 1), ("tau2", 2), ("q", 3)])
def test_each_subset_stands_at_its_own_fit(vertical, column):
    plan = gosh_plan(fit_of(), vertical=vertical)
    wanted = [(by_hand(rows)[0], by_hand(rows)[column]) for rows in every_subset()]
    assert sorted_rows(points_of(plan, "31 subsets")) == pytest.approx(sorted_rows(wanted), abs=1e-7)
    whole = by_hand(range(5))
    assert points_of(plan, "all studies") == pytest.approx(np.array([[whole[0], whole[column]]]))
    assert plan.panels[0].x.scale == "log"
    assert plan.notes == (
        "All subsets of 5 studies, each fitted anew (DL).",
        "5 subsets are one effect alone, from which τ² and I² cannot be estimated.",
    )


def test_subsets_with_and_without_a_study_and_their_medians():
    plan = gosh_plan(fit_of(), highlight="Okafor 2022")
    for word, side in (("with", True), ("without", False)):
        wanted = np.array([by_hand(rows)[:2] for rows in every_subset() if (3 in rows) is side])
        found = points_of(plan, f"{word} Okafor 2022 ({len(wanted)} subsets)")
        assert sorted_rows(found) == pytest.approx(sorted_rows(wanted), abs=1e-7)
        logs = np.median(np.log(wanted[:, 0]))
        (middle,) = points_of(plan, f"median {word} Okafor 2022")
        assert middle == pytest.approx([np.exp(logs), np.median(wanted[:, 1])])
    signs = {(one.color, one.shape) for one in plan.layers(Points) if one.name.startswith("with")}
    assert len(signs) == 2
    assert len({color for color, _ in signs}) == len({shape for _, shape in signs}) == 2
    strips = plan.panels[0].above, plan.panels[0].beside
    assert [sum(steps.heights) for strip in strips for steps in strip] == [16, 15, 16, 15]
    assert [steps.edge for steps in strips[0]] == ["solid", "dashed"]


def test_cells_hold_each_subset_once_and_the_axes_hold_all():
    draws = np.random.default_rng(0)
    es = mx.EffectSizes(draws.normal(0.3, 0.4, 15), draws.uniform(0.02, 0.2, 15), "SMD")
    found = mx.sensitivity.gosh(mx.RandomEffects(es).fit(method="DL"))
    plan = gosh_plan(found, highlight="3", vertical="tau2")
    without = found.without("3")
    cells = plan.layers(Cells)
    assert plan.layers(Points)[0].name.startswith("median")
    assert [int(one.counts.sum()) for one in cells] == [int((~without).sum()), int(without.sum())]
    for one, rows in zip(cells, (~without, without), strict=True):
        wanted, _, _ = np.histogram2d(found.tau2[rows], found.estimate[rows], [one.y, one.x])
        assert np.abs(wanted - one.counts).sum() <= 4  # a value on an edge falls on either side
    ends = plan.panels[0].x.limits
    assert ends[0] <= found.estimate.min()
    assert found.estimate.max() <= ends[1]
    strip = plan.panels[0].above[0]
    assert sum(strip.heights) == cells[0].counts.sum()
    assert "colour of a cell" in plan.notes[1]
    frame = plan.to_frame()
    assert frame["count"].sum() == found.size
    assert overlapping_texts(gosh(plan)) == []


def test_limits_leave_subsets_out_and_say_so():
    plan = gosh_plan(fit_of(), limits=(1.0, 2.0))
    ratios = np.array([by_hand(rows)[0] for rows in every_subset()])
    beyond = int(((ratios < 1.0) | (ratios > 2.0)).sum())
    assert f"{beyond} subsets beyond the horizontal axis." in plan.notes
    assert len(points_of(plan, "31 subsets")) == 31 - beyond
    (middle,) = points_of(plan, "median of the subsets")
    assert middle[0] == pytest.approx(np.exp(np.median(np.log(ratios))))


def test_proportions_are_shown_as_proportions_and_slopes_by_name():
    es = mx.EffectSizes(Y, V, "PLO", labels=NAMES)
    plan = gosh_plan(mx.RandomEffects(es).fit(method="DL", test="z"))
    odds = np.array([by_hand(rows)[0] for rows in every_subset()])
    assert np.sort(points_of(plan, "31 subsets")[:, 0]) == pytest.approx(np.sort(odds / (1 + odds)), abs=1e-7)
    es = mx.EffectSizes(Y, V, labels=NAMES)
    x = [1.0, 2.0, 4.0, 3.0, 5.0]
    fit = mx.RandomEffects(es, x, names=["dose"]).fit(method="DL", test="z")
    found = mx.sensitivity.gosh(fit)
    plan = gosh_plan(found, coefficient="dose")
    assert plan.panels[0].x.label == "Effect: dose, as analysed"
    slopes = found.values("dose")
    known = np.isfinite(slopes)
    assert 0 < known.sum() < found.size
    drawn = points_of(plan, f"{int(known.sum())} subsets")
    assert sorted(drawn[:, 0]) == pytest.approx(sorted(slopes[known]))
    assert any("without an estimate" in note for note in plan.notes)


@pytest.mark.parametrize(("k", "theme"), [(1, "metaexo"), (2, "dark"), (3, "metaexo")])
def test_few_studies(k, theme):
    fit = fit_of(k=k, method="EE")
    ax = gosh(fit, highlight=NAMES[0], theme=theme, title="Few studies")
    assert overlapping_texts(ax) == []


def test_axes_of_the_user_have_no_strips_and_a_figure_has():
    plan = gosh_plan(fit_of(), highlight=NAMES[3])
    _, (one, other) = plt.subplots(ncols=2, figsize=(9.0, 4.0))
    for ax in (one, other):
        assert plan.draw(ax).child_axes == []
    assert overlapping_texts(one) == []
    sub = plt.figure(figsize=(10.0, 4.0), layout="constrained").subfigures(ncols=2)[1]
    ax = plan.draw(sub)
    assert len(ax.child_axes) == 2
    assert overlapping_texts(ax) == []


def test_wrong_inputs():
    with pytest.raises(InputError):
        gosh_plan(fit_of().effects)
    with pytest.raises(UnknownChoiceError, match="Okafor"):
        gosh_plan(fit_of(), highlight="Okafer 2022")
    with pytest.raises(UnknownChoiceError, match="intercept"):
        gosh_plan(fit_of(), coefficient="intersept")


def test_a_family_that_is_refitted_one_by_one():
    table = mx.load_dataset("school_calendars").query("district < 30")
    fit = mx.Multilevel(mx.EffectSizes(table["y"], table["v"], data=table), "district/school").fit()
    found = mx.sensitivity.gosh(fit, cluster="district")
    plan = gosh_plan(found, highlight=found.clusters[0])
    assert sum(len(layer.x) for layer in plan.layers(Points) if layer.name.startswith("with")) == int(
        np.isfinite(found.i2).sum()
    )
    assert points_of(plan, "all studies")[0, 0] == pytest.approx(fit.estimate, abs=1e-6)
    assert "clusters, each fitted anew (REML)" in plan.notes[0]


def test_the_figure_and_the_sentence_take_the_same_coefficient():
    es = mx.EffectSizes([0.2, 0.3, 0.1, 0.25, 1.4], [0.02, 0.03, 0.02, 0.04, 0.02], "SMD")
    found = mx.sensitivity.gosh(
        mx.RandomEffects(es, [1.0, 2.0, 3.0, 5.0, 4.0], names=["dose"]).fit(method="DL")
    )
    plan = gosh_plan(found)
    assert "coefficient dose" in found.sentence
    assert "95% of the subsets with a fit lie from" in found.sentence
    assert set(found.quantiles()["n"]) == {int(found.fitted.sum())}
    assert "dose" in plan.panels[0].x.label
    assert points_of(plan, "all studies")[0, 0] == pytest.approx(found.values("dose")[0])


def test_strata_with_variances_of_their_own_have_no_place_on_the_axis_of_i2():
    y, v = [0.1, 0.9, 0.3, 1.6, 0.2, 0.4, 0.1, 1.1], [0.02, 0.05, 0.03, 0.04] * 2
    es = mx.EffectSizes(y, v, data=pd.DataFrame({"source": ["milk", "plant"] * 4}))
    found = mx.sensitivity.gosh(mx.stratify(es, "source", cluster=None), draws=60)
    with pytest.raises(InputError, match="each stratum") as caught:
        mx.plots.gosh_plan(found)
    assert 'vertical="q"' in str(caught.value)
    heights = mx.plots.gosh_plan(found, vertical="q").to_frame()
    assert np.isfinite(heights["y"]).any()
