"""Forest plots of multilevel fits: effects stand under their study, and the texts say what the fit says."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex

import metaexo as mx
from metaexo.errors import UnknownChoiceError
from metaexo.plots import forest, forest_plan, overlapping_texts
from tests.plots.drawn import AT_EDGE, diamonds, points

STUDY = ["lee2020", "lee2020", "lee2020", "cho2021", "abe2022", "abe2022", "sato2023"]
LABELS = [
    "Lee 2020, day 4",
    "Lee 2020, day 8",
    "Lee 2020, day 12",
    "Cho 2021",
    "low dose",
    "high dose",
    "Sato 2023",
]


@pytest.fixture
def effects():
    data = pd.DataFrame(
        {
            "source": ["plant"] * 3 + ["milk"] + ["plant", "milk"] + ["plant"],
            "isolation": ["SEC", "SEC", "SEC", "SEC", "UC", "UC", "UC"],
        }
    )
    y = [0.9, 1.1, 1.4, 0.3, 0.6, 0.2, 0.5]
    return mx.EffectSizes(
        y, [0.05, 0.04, 0.06, 0.05, 0.03, 0.04, 0.05], "SMD", labels=LABELS, study=STUDY, data=data
    )


@pytest.fixture
def fit(effects):
    return mx.Multilevel(effects, "study/effect").fit(test="t-containment")


def numbers(row):
    pieces = [re.sub(r"[\[\]]|to", "", piece).strip() for piece in row.cells["estimate"]]
    return [float(piece.replace("−", "-")) if piece else None for piece in pieces]


def kinds(plan):
    return [row.kind for row in plan.rows]


def test_effects_stand_under_their_study(fit):
    plan = forest_plan(fit)
    assert kinds(plan) == [
        *["cluster", "study", "study", "study", "rule", "study", "rule"],
        *["cluster", "study", "study", "rule", "study", "spacer", "total", "prediction"],
    ]
    lee, abe = (row for row in plan.rows if row.kind == "cluster")
    assert lee.cells["label"] == ("Lee 2020",)
    assert abe.cells["label"] == ("abe2022",)
    studies = [row for row in plan.rows if row.kind == "study"]
    assert [row.cells["label"][0] for row in studies] == [
        *["day 4", "day 8", "day 12", "Cho 2021", "low dose", "high dose", "Sato 2023"]
    ]
    assert [row.indent > 0 for row in studies] == [True, True, True, False, True, True, False]


def test_what_all_effects_of_a_study_share_is_said_once(fit):
    plan = forest_plan(fit)
    lee, abe = (row for row in plan.rows if row.kind == "cluster")
    assert (lee.cells["source"], lee.cells["isolation"]) == (("plant",), ("SEC",))
    assert "source" not in abe.cells
    below = [row for row in plan.rows if row.kind == "study"]
    assert all("source" not in row.cells for row in below[:3])
    assert [row.cells["source"] for row in below[4:6]] == [("plant",), ("milk",)]
    assert all("isolation" not in row.cells for row in below[4:6])


def test_the_open_mark_is_the_predicted_mean_of_the_study(fit):
    plan = forest_plan(fit, decimals=4)
    for row, name in zip([r for r in plan.rows if r.kind == "cluster"], ["lee2020", "abe2022"], strict=True):
        seen = fit.predict(given={"study": name}).iloc[0]
        assert numbers(row) == pytest.approx([seen["estimate"], seen["low"], seen["high"]], abs=6e-5)
        assert (row.mark.shape, row.mark.hollow) == ("diamond", True)
    words = " ".join(plan.notes)
    assert "Open diamond: mean effect of the study as the model predicts it" in words


def test_the_whole_says_what_the_fit_says(fit):
    plan = forest_plan(fit, decimals=4)
    new = fit.predict().iloc[0]
    assert numbers(plan.row("total")) == pytest.approx([new["estimate"], new["low"], new["high"]], abs=6e-5)
    ends = [new["prediction_low"], new["prediction_high"]]
    assert numbers(plan.row("prediction"))[1:] == pytest.approx(ends, abs=6e-5)
    assert plan.pooled == pytest.approx((new["estimate"],))
    words = " ".join(plan.notes)
    sd = fit.components["sd"]
    assert f"study {sd['study']:.2f}, study/effect {sd['study/effect']:.2f}" in words
    assert "Sampling errors independent" in words


def test_weights_are_those_of_the_mean_and_add_up(fit):
    plan = forest_plan(fit)
    weights = fit.weights
    shown = [row.weight for row in plan.rows if row.kind == "study"]
    assert shown == pytest.approx(weights)
    assert fit.effects.y @ weights == pytest.approx(fit.beta[0])
    lee = next(row for row in plan.rows if row.kind == "cluster")
    assert lee.weight == pytest.approx(weights[:3].sum())
    assert plan.row("total").weight == pytest.approx(1.0)


def test_the_level_is_honoured_everywhere(fit):
    plan = forest_plan(fit, level=0.8, decimals=4)
    seen = fit.predict(level=0.8, given={"study": "lee2020"}).iloc[0]
    assert numbers(plan.rows[0]) == pytest.approx([seen["estimate"], seen["low"], seen["high"]], abs=6e-5)
    assert plan.row("prediction").text == ("80% prediction interval",)


def test_order_keeps_studies_together(fit):
    plan = forest_plan(fit, order="estimate")
    rows = [row for row in plan.rows if row.kind in ("cluster", "study")]
    assert rows[0].cells["label"] == ("abe2022",)
    assert [row.cells["label"][0] for row in rows[1:3]] == ["high dose", "low dose"]
    last = [row.cells["label"][0] for row in rows[-4:]]
    assert last == ["Lee 2020", "day 4", "day 8", "day 12"]


def test_another_term_can_make_the_heads(effects):
    fit = mx.Multilevel(effects, ["study/effect", "source"]).fit()
    plan = forest_plan(fit, by="source")
    heads = [row for row in plan.rows if row.kind == "cluster"]
    assert [row.cells["label"] for row in heads] == [("plant",), ("milk",)]
    seen = fit.predict(given={"source": "plant"}).iloc[0]
    assert heads[0].mark.estimate == pytest.approx(seen["estimate"])
    with pytest.raises(UnknownChoiceError, match="random term"):
        forest_plan(fit, by="isolation")


def test_one_effect_a_study_looks_like_any_other_fit(effects):
    single = effects.select([0, 3, 4, 6], "one each")
    fit = mx.Multilevel(single, "study").fit()
    assert kinds(forest_plan(fit)) == ["study"] * 4 + ["spacer", "total", "prediction"]


def test_moderators_leave_no_pooled_effect(effects):
    fit = mx.Multilevel(effects, "study/effect", moderators="source").fit()
    plan = forest_plan(fit)
    assert "total" not in kinds(plan)
    assert all(row.mark is None for row in plan.rows if row.kind == "cluster")
    assert "there is no single pooled effect" in " ".join(plan.notes)


def test_outcomes_within_a_study_have_a_head_but_no_single_mean(effects):
    both = effects.with_columns(outcome=["a", "b", "a", "a", "a", "b", "b"])
    fit = mx.Multilevel(both, mx.RandomTerm("study", "outcome", "DIAG")).fit()
    heads = [row for row in forest_plan(fit).rows if row.kind == "cluster"]
    assert len(heads) == 2
    assert all(row.mark is None for row in heads)


def test_ratios_are_shown_as_ratios(effects):
    ratios = mx.EffectSizes(effects.y, effects.v, "ROM", labels=LABELS, study=STUDY)
    fit = mx.Multilevel(ratios, "study/effect").fit()
    plan = forest_plan(fit, decimals=4)
    seen = fit.predict(given={"study": "lee2020"}).iloc[0]
    assert numbers(plan.rows[0])[0] == pytest.approx(np.exp(seen["estimate"]), abs=6e-5)


def test_lines_stand_between_studies_and_diamonds_of_studies_are_open(fit):
    plan = forest_plan(fit)
    ax = forest(plan)
    lines = [
        line[0, 1]
        for group in ax.figure.artists
        if isinstance(group, LineCollection)
        for line in group.get_segments()
    ]
    assert set(lines) >= {row.y for row in plan.rows if row.kind == "rule"}
    assert sum(row.kind == "rule" for row in plan.rows) == 3
    rows = [row for row in plan.rows if row.kind in ("cluster", "total")]
    for row, corners in zip([*rows[:2], rows[-1]], diamonds(ax), strict=True):
        mark = row.mark
        assert corners[:, 0] == pytest.approx([mark.low, mark.estimate, mark.high, mark.estimate])
    (shapes,) = [group for group in ax.collections if isinstance(group, PolyCollection)]
    assert [to_hex(fill) == plan.theme.paper for fill in shapes.get_facecolors()] == [True, True, False]


def test_no_texts_overlap(fit):
    assert overlapping_texts(forest(fit, title="All outcomes and time points by study")) == []
    long = fit.effects.with_labels([f"{label}, in a hydrogel of gelatin methacryloyl" for label in LABELS])
    assert overlapping_texts(forest(mx.Multilevel(long, "study/effect").fit())) == []


def test_drawing_returns_axes(fit):
    ax = mx.plots.forest(fit)
    assert ax.get_xlim()[0] < 0.2 < 1.4 < ax.get_xlim()[1]


def test_estimates_outside_the_axis_are_counted(fit):
    plan = forest_plan(fit, limits=(0.55, 0.95))
    outside = [row for row in plan.rows if row.mark is not None and row.mark.beyond]
    assert sum(row.kind == "study" for row in outside) == 5
    assert any(note.startswith(f"{len(outside)} estimates lie outside") for note in plan.notes)
    assert len(points(forest(plan), AT_EDGE)) == len(outside)


def test_without_the_weights_or_covariances_of_the_model_clusters_have_no_means(effects):
    """User-supplied weights and cluster-robust fits: heads stay, open diamonds go, the interval is robust."""
    fit = mx.Multilevel(effects, "study/effect").fit()
    weighted = mx.Multilevel(effects, "study/effect", weights="equal").fit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.FewStudiesWarning)
        robust = fit.robust()
    for other in (weighted, robust):
        plan = forest_plan(other)
        assert [row.id for row in plan.rows] == [row.id for row in forest_plan(fit).rows]
        assert all(row.mark is None for row in plan.rows if row.kind == "cluster")
    assert any("CR2" in note for note in forest_plan(robust).notes)
