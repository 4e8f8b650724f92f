"""The influence panel shows the numbers of mx.sensitivity.influence, its bounds, and who passes them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots.canvas.chart import Points, Rule, Words

SCHOOLS = mx.load_dataset("school_calendars")


@pytest.fixture(scope="module")
def bcg():
    table = mx.load_dataset("bcg")
    arms = {name: table[name] for name in table.columns if name.endswith(("events", "_n"))}
    return mx.RandomEffects(mx.effect_sizes("RR", **arms, labels=table["study"])).fit()


@pytest.fixture(scope="module")
def schools():
    es = mx.EffectSizes(SCHOOLS["y"], SCHOOLS["v"], data=SCHOOLS)
    return mx.Multilevel(es, "district/school").fit()


def of_studies(k, seed=3):
    """Return a fit of k studies, of which the last is far from the others where there are enough."""
    draws = np.random.default_rng(seed)
    y = draws.normal(0.0, 0.3, k)
    y[-1] += 4.0 if k > 2 else 0.0
    es = mx.EffectSizes(
        y, draws.uniform(0.02, 0.2, k), labels=[f"Author {i} 20{i % 26:02d}" for i in range(k)]
    )
    return mx.RandomEffects(es).fit(method="REML" if k > 1 else "EE")


def drawn_values(plan, column, heading):
    """Return the shown values of a panel by label."""
    (panel,) = (one for one in plan.panels if one.heading == heading)
    points = [layer for layer in panel.layers if isinstance(layer, Points)]
    return {n: x for layer in points for n, x in zip(layer.labels, layer.x, strict=True)}


HEADINGS = {
    "rstudent": "Studentised residual",
    "dffits": "DFFITS",
    "cooks_distance": "Cook's distance",
    "covariance_ratio": "Covariance ratio",
    "tau2": "τ² without it",
    "q": "Q without it",
    "hat": "Hat value",
    "weights": "Weight (share)",
}


def test_weights_that_differ_by_rounding_alone_have_an_axis():
    """matplotlib would warn that the ends of the axis are the same."""
    es = mx.EffectSizes(np.log([1e-4, 0.1, 1.0, 10.0, 1e4]), [0.1] * 5, "RR")
    ax = mx.plots.influence(mx.RandomEffects(es).fit(), measures=["weights"])
    low, high = ax.get_xlim()
    assert low < 0.19
    assert high > 0.21


@pytest.mark.parametrize("k", [3, 13, 150])
def test_every_mark_is_at_the_number_of_the_table(k) -> None:
    fit = of_studies(k)
    frame = mx.sensitivity.influence(fit).to_frame()
    plan = mx.plots.influence_plan(fit)
    assert [panel.heading for panel in plan.panels] == list(HEADINGS.values())
    for column, heading in HEADINGS.items():
        shown = drawn_values(plan, column, heading)
        assert shown == frame[column].dropna().to_dict()


def test_a_mark_stands_beside_the_name_of_its_study(bcg) -> None:
    plan = mx.plots.influence_plan(bcg)
    names = dict(plan.panels[0].y.ticks)
    for layer in plan.layers(Points):
        assert [names[y] for y in layer.y] == list(layer.labels)
    assert plan.panels[0].y.inverted


def test_what_is_marked_is_what_is_influential_by_colour_and_shape() -> None:
    fit = of_studies(13)
    frame = mx.sensitivity.influence(fit).to_frame()
    for panel in mx.plots.influence_plan(fit).panels:
        kinds = {layer.name: layer for layer in panel.layers if isinstance(layer, Points)}
        assert (
            list(kinds["influential"].labels)
            == frame.index[frame["influential"]].tolist()
            == ["Author 12 2012"]
        )
        assert kinds["influential"].shape != kinds["not influential"].shape
        assert kinds["influential"].color != kinds["not influential"].color


def test_lines_are_the_bounds_and_the_values_of_all_studies(bcg) -> None:
    lines = {
        panel.heading: {r.name: [s.at for s in panel.layers if isinstance(s, Rule) and s.name == r.name]
                        for r in panel.layers if isinstance(r, Rule)}
        for panel in mx.plots.influence_plan(bcg).panels
    }  # fmt: skip
    every, bound = "no influence, or all studies together", "bound of influence"
    assert lines["DFFITS"] == {every: [0.0], bound: [pytest.approx(-3 / 12**0.5), pytest.approx(3 / 12**0.5)]}
    # qchisq(0.5, 1) in R
    assert lines["Cook's distance"] == {every: [0.0], bound: [pytest.approx(0.454936423119573)]}
    assert lines["Hat value"] == {every: [1 / 13], bound: [3 / 13]}
    assert lines["Covariance ratio"] == {every: [1.0]}
    assert lines["τ² without it"] == {every: [bcg.tau2]}
    assert lines["Q without it"] == {every: [bcg.q.statistic]}
    assert lines["Studentised residual"]["±1.96"] == [-1.96, 1.96]


def test_the_influence_alone_has_no_values_of_all_studies(bcg) -> None:
    plan = mx.plots.influence_plan(mx.sensitivity.influence(bcg), measures=["tau2", "weights"])
    assert [[r.at for r in panel.layers if isinstance(r, Rule)] for panel in plan.panels] == [[], [1 / 13]]


def test_dfbetas_have_a_panel_per_coefficient() -> None:
    y, v, x = [0.1, 0.2, 0.3, 0.4, 0.5, 1.9], [0.1, 0.04, 0.04, 0.04, 0.04, 0.01], [1, 2, 3, 4, 5, 9]
    fit = mx.RandomEffects(mx.EffectSizes(y, v), x).fit()
    frame = mx.sensitivity.influence(fit).to_frame()
    plan = mx.plots.influence_plan(fit, measures=["dfbetas"])
    columns = [column for column in frame if column.startswith("dfbetas")]
    assert len(plan.panels) == len(columns) == 2
    for column, panel in zip(columns, plan.panels, strict=True):
        assert (
            drawn_values(plan, column, panel.heading)
            == frame.loc[np.isfinite(frame[column]), column].to_dict()
        )
    assert np.isinf(frame[columns].loc["6"]).any()
    assert any(note.startswith("Infinite, and not drawn: 6 (DFBETAS: ") for note in plan.notes)


def test_who_is_influential_by_dfbetas_alone_is_named() -> None:
    y, x = [0.8, 1.1, -0.6, 0.3, 0.8, 0.9, 0.7], [1, 2, 3, 4, 5, 6, 7]
    v = [0.02, 0.02, 0.05, 0.02, 0.06, 0.05, 0.05]
    fit = mx.RandomEffects(mx.EffectSizes(y, v, labels=list("abcdefg")), x).fit()
    found = mx.sensitivity.influence(fit)
    bounds = np.abs(found.dffits) > 3 * np.sqrt(2 / 5)
    other = bounds | (found.cooks_distance > 2 * np.log(2)) | (found.hat > 6 / 7)  # median of chi2(2)
    alone = [label for label, a, b in zip(found.labels, found.influential, other, strict=True) if a and not b]
    assert alone
    said = f"By DFBETAS alone, which are not shown: {'; '.join(alone)}."
    assert said in mx.plots.influence_plan(fit, measures=["dffits", "cooks_distance", "hat"]).notes
    assert said not in mx.plots.influence_plan(fit).notes
    assert said not in mx.plots.influence_plan(fit, measures=["dfbetas"]).notes


@pytest.mark.parametrize("refit", [True, False])
def test_clusters_of_a_multilevel_fit(schools, refit) -> None:
    frame = schools.influence("district", refit).to_frame()
    plan = mx.plots.influence_plan(schools, cluster="district", refit=refit)
    headings = {
        "pvalue": "p of its residuals",
        "cooks_distance": "Cook's distance",
        "covariance_ratio": "Covariance ratio",
        "district": "τ² district, without it",
        "district/school": "τ² district/school, without it",
        "q": "Q without it",
        "hat": "Hat value",
        "weights": "Weight (share)",
        "dfbetas intercept": "DFBETAS: intercept",
    }
    assert [panel.heading for panel in plan.panels] == list(headings.values())
    for column, heading in headings.items():
        assert drawn_values(plan, column, heading) == frame[column].to_dict()
    marked = frame.index[
        (frame["cooks_distance"] > 0.454936423119573) | (frame["dfbetas intercept"].abs() > 1)
    ]
    assert {n for layer in plan.layers(Points) if layer.name == "influential" for n in layer.labels} == set(
        marked
    )
    rules = [[r.at for r in panel.layers if isinstance(r, Rule)] for panel in plan.panels]
    assert rules[0] == [1.0, 0.05]
    assert rules[3] == [schools.component_values["district"]]
    assert rules[5] == [schools.q.statistic]
    assert rules[6] == []  # clusters of several sizes have no common leverage
    assert plan.panels[0].x.scale == "log"
    assert mx.plots.overlapping_texts(plan.draw()) == []


def test_numbers_take_the_place_of_many_names_and_a_note_names_who_is_influential() -> None:
    plan = mx.plots.influence_plan(of_studies(150))
    assert plan.panels[0].y.ticks is None
    assert any(note.startswith("Influential: 150 Author 149") for note in plan.notes)


@pytest.mark.parametrize("k", [1, 2])
def test_what_cannot_be_estimated_is_said(k) -> None:
    plan = mx.plots.influence_plan(of_studies(k))
    assert "not estimable" in {layer.text for layer in plan.layers(Words)}
    assert any(note.startswith("No fit is possible without: Author 0 2000") for note in plan.notes)


@pytest.mark.parametrize("k", [1, 2, 3, 13, 30, 150])
def test_no_texts_overlap(k) -> None:
    ax = mx.plots.influence(
        of_studies(k), title="Influence of single studies on a pooled effect of many names"
    )
    assert mx.plots.overlapping_texts(ax) == []


@pytest.mark.parametrize("theme", mx.plots.THEMES)
def test_no_texts_overlap_in_any_theme(bcg, theme) -> None:
    assert mx.plots.overlapping_texts(mx.plots.influence(bcg, theme=theme)) == []


def test_long_names_are_cut_and_whole_in_the_table() -> None:
    name = "A trial of exosomes of umbilical cord mesenchymal stromal cells in wounds 研究"
    es = mx.EffectSizes([0.1, 0.3, 0.2, 0.9], [0.02] * 4, labels=[name, "b", "c", "d"])
    plan = mx.plots.influence_plan(mx.RandomEffects(es).fit())
    assert plan.panels[0].y.ticks[0][1].endswith("…")
    assert name in set(plan.to_frame()["label"])
    assert mx.plots.overlapping_texts(plan.draw()) == []


def test_other_things_are_refused(bcg) -> None:
    with pytest.raises(InputError, match="first argument"):
        mx.plots.influence_plan(mx.RandomEffects)
    with pytest.raises(UnknownChoiceError) as error:
        mx.plots.influence_plan(bcg, measures=["dffit"])
    assert error.value.nearest == "dffits"
    with pytest.raises(InputError, match="known already"):
        mx.plots.influence_plan(mx.sensitivity.influence(bcg), refit=False)


@pytest.mark.parametrize(("width", "font_size"), [(3.5, 7.0), (7.0, 12.0), (10.0, None)])
def test_panels_stand_below_each_other_where_a_figure_is_narrow(bcg, width, font_size) -> None:
    ax = mx.plots.influence(bcg, width=width, font_size=font_size)
    assert mx.plots.overlapping_texts(ax) == []
    (plan,) = mx.plots.plans_of(ax)
    assert (plan.across == 1) == (width == 3.5)


def test_in_axes_and_parts_of_a_figure(bcg, schools) -> None:
    figure = plt.figure(figsize=(7, 7), layout="constrained")
    above, below = figure.subfigures(2, 1)
    mx.plots.influence(bcg, measures=["dffits", "weights"], ax=above, title="Trials of BCG")
    ax = below.subplots()
    assert (
        mx.plots.influence(schools, cluster="district", measures=["cooks_distance"], ax=ax, title="A") is ax
    )
    assert ax.get_xlabel() == "Cook's distance"
    assert ax.get_title(loc="left") == "A"
    assert mx.plots.overlapping_texts(figure) == []
    with pytest.raises(InputError, match="chart of 8 panels"):
        mx.plots.influence(bcg, ax=ax)


def test_variances_that_are_zero_stand_at_the_start_of_their_axis():
    fit = mx.RandomEffects(mx.EffectSizes([0.20, 0.21, 0.19, 0.20], [0.04, 0.05, 0.04, 0.06])).fit()
    assert fit.tau2 == 0.0
    (panel,) = mx.plots.influence_plan(fit, measures=["tau2"]).panels
    assert panel.x.limits == (0.0, 1.0)


def test_moderators_have_a_panel_of_dfbetas_each():
    es = mx.EffectSizes([0.2, 0.3, 0.1, 0.25, 1.4], [0.02, 0.03, 0.02, 0.04, 0.02])
    fit = mx.RandomEffects(es, [1.0, 2.0, 3.0, 5.0, 4.0], names=["dose"]).fit()
    headings = [panel.heading for panel in mx.plots.influence_plan(fit).panels]
    assert headings[-2:] == ["DFBETAS: intercept", "DFBETAS: dose"]
    alone = [panel.heading for panel in mx.plots.influence_plan(mx.RandomEffects(es).fit()).panels]
    assert not any("DFBETAS" in heading for heading in alone)
