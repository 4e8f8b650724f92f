"""Drawing and saving: the Axes that come back, no overlaps as drawn, the same bytes twice."""

from __future__ import annotations

import pickle
import xml.dom.minidom

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots import forest, forest_plan, funnel, overlapping_texts, save
from tests.plots.drawn import ARROW, AT_EDGE, BRACKET, intervals, points, texts, ticks


@pytest.mark.parametrize("k", [1, 13])
def test_no_two_texts_overlap_as_drawn(make_effects, k):
    ax = forest(mx.stratify(make_effects(k, measure="OR", oriented=True), by="source"), title="Title")
    assert overlapping_texts(ax) == []


def test_overlaps_are_found_where_they_are(make_effects):
    ax = forest(make_effects(3))
    ax.text(0.02, 0.5, "a text in the way", transform=ax.figure.transFigure)
    ax.text(0.98, 0.02, "a text that leaves the figure", transform=ax.figure.transFigure)
    found = overlapping_texts(ax)
    assert ("a text that leaves the figure", "leaves the figure") in found
    assert any("a text in the way" in pair for pair in found)


def test_the_figure_has_the_planned_size(make_effects):
    plan = forest_plan(make_effects(7))
    assert forest(plan).figure.get_size_inches() == pytest.approx((plan.width, plan.height))


@pytest.mark.parametrize("size", [(10.0, 3.5), (15.0, 9.0)])
def test_given_axes_are_drawn_into_and_returned(make_effects, size):
    figure = Figure(figsize=size)
    left, right = figure.subplots(1, 2)
    before = left.get_position().bounds
    assert forest(make_effects(10), ax=left, columns=[]) is left
    assert funnel(make_effects(12), ax=right) is right
    assert figure.axes == [left, right]
    assert overlapping_texts(figure) == []
    figure.draw_without_rendering()
    frame = figure.transFigure.inverted()
    for text in figure.artists:
        if hasattr(text, "get_text"):
            (x0, _), (x1, _) = frame.transform(text.get_window_extent().get_points())
            assert before[0] - 0.01 < x0 < x1 < before[0] + before[2] + 0.02, "texts stand in the given Axes"
    assert {text.size for text in texts(left)} == {8.0}, "letters never shrink"


def test_axes_that_are_too_small_say_how_large_they_must_be(make_effects):
    narrow, low = Figure(figsize=(4, 3)).subplots(1, 2)[0], Figure(figsize=(8, 2)).subplots()
    for ax, words in ((narrow, "inches"), (low, "12 rows need")):
        with pytest.raises(InputError, match=words):
            forest(make_effects(12), ax=ax)


def places():
    """Return the ways to say where a figure is drawn, each with the Axes that are expected."""
    whole = plt.figure(figsize=(8, 5))
    left, right = plt.figure(figsize=(14, 5)).subfigures(1, 2)
    _, axes = plt.subplots(1, 2, figsize=(16, 7))
    return {"Figure": whole, "SubFigure": left, "second SubFigure": right, "Axes": axes[1]}


@pytest.mark.parametrize("place", ["Figure", "SubFigure", "second SubFigure", "Axes"])
def test_every_place_holds_the_whole_figure(make_effects, place):
    given = places()[place]
    ax = forest(mx.RandomEffects(make_effects(8)).fit(), ax=given, columns=[], title="Title")
    if place == "Axes":
        assert ax is given
    else:
        assert ax.figure is given
        assert ax in given.axes
    assert overlapping_texts(ax) == []
    row = mx.plots.plans_of(ax)[0].rows[3]
    text = next(t for t in texts(ax) if t.text == row.cells["label"][0])
    assert text.y == pytest.approx(row.y)
    assert points(ax)[3][1] == pytest.approx(row.y)


@pytest.mark.parametrize("measure", ["SMD", "RR", "PLO", "ZCOR"])
def test_coordinates_are_what_is_shown(make_effects, measure):
    es = make_effects(5, measure=measure)
    plan = forest_plan(es)
    ax = forest(plan)
    ax.figure.draw_without_rendering()
    row = plan.rows[2]
    shown = float(es.measure.back(es.y[2]))
    assert points(ax)[2][:2] == pytest.approx((shown, row.y), rel=1e-12)
    per_point = ax.figure.dpi / 72
    left, top = ax.transData.transform((plan.axis.low, plan.panel.top)) / per_point
    right, bottom = ax.transData.transform((plan.axis.high, plan.panel.bottom)) / per_point
    height = 72 * plan.height
    assert (left, right) == pytest.approx((plan.panel.left, plan.panel.right), abs=0.01)
    assert (height - top, height - bottom) == pytest.approx((plan.panel.top, plan.panel.bottom), abs=0.01)
    assert ax.get_xscale() == ("log" if measure == "RR" else "linear")
    assert all(float(label.replace("−", "-")) == pytest.approx(value) for value, label in ticks(ax))


def test_other_limits_move_marks_ticks_and_what_is_added_later():
    es = mx.EffectSizes(np.log([0.5, 0.7, 1.2, 0.9, 3.0]), [0.01, 0.02, 0.03, 0.01, 0.02], "RR")
    ax = forest(es)
    ax.set_xlim(0.6, 1.4)
    assert ax.get_xlim() == pytest.approx((0.6, 1.4))
    later = ax.axvline(1.2)
    x = later.get_transform().transform((1.2, 0.5))[0]
    inside = points(ax)
    assert [mark[0] for mark in inside] == pytest.approx([0.7, 1.2, 0.9])
    assert ax.transData.transform(inside[1][:2])[0] == pytest.approx(x)
    assert [mark[0] for mark in points(ax, AT_EDGE)] == [0.0, 1.0]  # left and right, in parts of the panel
    assert {text.get_text() for text in ax.texts} == {"0.50", "3.00"}
    z = 1.959963984540054
    ends = np.exp([np.log(0.9) - z * 0.1, np.log(0.9) + z * 0.1])
    assert [line[:2] for line in intervals(ax)][3] == pytest.approx(tuple(ends))
    # 0.7 is cut on the left, 1.2 on the right, and both that lie outside point there
    assert sorted((x, int(y)) for x, y, *_ in points(ax, ARROW)) == sorted(
        (side, int(row.y))
        for row, side in zip((*mx.plots.plans_of(ax)[0].rows,), (0.0, 0.0, 1.0, None, 1.0), strict=True)
        if side is not None
    )
    seen = ticks(ax)
    assert len(seen) >= 3
    assert all(float(label) == pytest.approx(value) for value, label in seen)
    ax.set_xlim(0.1, 10.0)
    assert len(points(ax)) == 5
    assert (points(ax, AT_EDGE), points(ax, ARROW), list(ax.texts)) == ([], [], [])
    assert overlapping_texts(ax) == []
    ax.set_xlim(10.0, 0.1)  # turned round
    assert len(points(ax)) == 5


def test_what_the_user_sets_stays(make_effects):
    ax = forest(make_effects(6, measure="RR"))
    ax.xaxis.set_major_locator(mpl.ticker.FixedLocator([0.75, 2.5]))
    ax.xaxis.set_major_formatter("{x:.3f}")
    ax.set_xlabel("mine")
    ax.set_xlim(0.5, 4.0)
    assert ticks(ax) == [(0.75, "0.750"), (2.5, "2.500")]
    assert ax.get_xlabel() == "mine"
    ax.set_xscale("linear")
    assert [mark[0] for mark in points(ax)] == pytest.approx(
        [m for m in np.exp(make_effects(6).y) if 0.5 <= m <= 4.0]
    )
    ax.legend(handles=[ax.plot([], [], label="later")[0]])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["later"]


@pytest.mark.parametrize("layout", ["constrained", "tight", "compressed", None])
def test_no_layout_parts_marks_from_their_names(make_effects, layout):
    figure = Figure(figsize=(14, 5), layout=layout)
    left, right = figure.subplots(1, 2)
    plan = forest_plan(make_effects(6), ax=left, columns=[])
    forest(plan, ax=left)
    funnel(make_effects(6), ax=right)
    if layout is None:
        figure.tight_layout()
    figure.draw_without_rendering()
    names = {t.get_text(): t.get_window_extent() for t in figure.artists if hasattr(t, "get_text")}
    for (x, y, *_), row in zip(points(left), plan.rows, strict=True):
        at = left.transData.transform((x, y))
        box = names[row.cells["label"][0]]
        assert box.y0 < at[1] < box.y1
        assert x == row.mark.estimate
        assert box.x1 < left.get_window_extent().x0 + 1
    (cloud,) = [one for one in right.collections if len(one.get_offsets())]
    assert cloud.get_offset_transform() == right.transData
    where = np.column_stack([make_effects(6).y, np.sqrt(make_effects(6).v)])
    assert np.asarray(cloud.get_offsets()) == pytest.approx(where)
    again = pickle.loads(pickle.dumps(figure))
    assert texts(again.axes[0]) == texts(left)
    assert points(again.axes[0]) == points(left)


def test_axes_that_were_cleared_can_be_drawn_on_again(make_effects):
    figure = Figure(figsize=(9, 5))
    ax = figure.subplots()
    forest(make_effects(5), ax=ax)
    figure.draw_without_rendering()
    before = ax.get_position().bounds
    ax.clear()
    ax.set_xlim(0, 1)
    forest(make_effects(5), ax=ax)
    figure.draw_without_rendering()
    assert ax.get_position().bounds == pytest.approx(before)
    assert len(points(ax)) == 5
    ax.set_xlim(-9, 9)
    assert len(points(ax)) == 5


def test_a_table_takes_the_place_of_one_that_was_drawn_before(make_effects):
    """Names of two tables, one over the other, could not be read; what the user drew stays."""
    figure = Figure(figsize=(9, 5))
    ax, other = figure.subplots(2, 1)
    forest(make_effects(3), ax=other)
    once = forest(make_effects(4), ax=Figure(figsize=(9, 5)).subplots(2, 1)[0])
    forest(make_effects(6), ax=ax)
    ax.plot([0.1, 0.2], [10.0, 20.0], label="mine")
    ax.set_xlim(-9, 9)
    forest(make_effects(4), ax=ax)
    assert len(points(ax)) == 4
    assert len(ax.collections) == len(once.collections)
    assert [line.get_label() for line in ax.lines if not line.get_label().startswith("_")] == ["mine"]
    assert len(points(other)) == 3
    assert overlapping_texts(figure) == []
    ax.clear()
    forest(make_effects(2), ax=ax)
    assert len(points(ax)) == 2
    assert overlapping_texts(figure) == []


def test_the_same_numbers_give_the_same_bytes_and_noise_changes_nothing(make_effects, tmp_path):
    es = make_effects(13)
    noise = 1 + 1e-13 * np.resize([1.0, -1.0], 13)
    noisy = mx.EffectSizes(es.y * noise, es.v / noise, es.measure, labels=es.labels, data=es.data)
    files = [
        [
            save(ax, tmp_path / f"{name}_{kind}{ending}")
            for kind, ax in (
                ("forest", forest(mx.stratify(e, by="source"))),
                ("funnel", funnel(mx.RandomEffects(e).fit(), by="source", contours=True)),
            )
            for ending in (".svg", ".png")
        ]
        for name, e in (("one", es), ("two", es), ("noisy", noisy))
    ]
    for first, second, third in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()
        assert first.read_bytes() == third.read_bytes()


def test_files_hold_no_date_and_no_version(make_effects, tmp_path):
    svg, png, pdf = (
        save(forest(make_effects(2)), tmp_path / "folder" / f"a.b{e}") for e in (".svg", ".png", ".pdf")
    )
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["a.b.pdf", "a.b.png", "a.b.svg"]
    assert mpl.__version__.encode() not in png.read_bytes()
    assert b"<dc:date>" not in svg.read_bytes()
    assert b"CreationDate" not in pdf.read_bytes()
    with pytest.raises(UnknownChoiceError, match="jpeg"):
        save(forest(make_effects(2)), tmp_path / "figure.jpeg")


def test_dollar_signs_are_no_formulas(make_effects):
    ax = forest(make_effects(2, labels=["costs $5 and $6", "x_1^2"]))
    assert "costs $5 and $6" in [text.text for text in texts(ax)]
    assert overlapping_texts(ax) == []


# -- a name stands at the height of its mark, in every kind of figure ---------------------------------------

STUDIES = [f"s{i // 2}" for i in range(12)]


def forests():
    """Return a plan of every kind of figure that is a forest."""
    draws = np.random.default_rng(3)
    names = [f"Author {i} 20{i:02d}" for i in range(12)]
    data = pd.DataFrame({"source": ["plant", "milk", "urine"] * 4})
    y, v = draws.normal(0.4, 0.3, 12), draws.uniform(0.02, 0.2, 12)
    es = mx.EffectSizes(y, v, labels=names, data=data)
    nested = mx.EffectSizes(y, v, labels=names, data=data, study=STUDIES)
    bounds = np.where(np.arange(12) % 3 == 0, np.inf, y)
    censored = mx.effects.bounded_effects(y, bounds, v, measure="SMD", labels=names, data=data)
    table = pd.DataFrame({"label": names, "estimate": y, "low": y - 0.4, "high": y + 0.4})
    return {
        "effects": forest_plan(es, by="source", order="estimate"),
        "fit": forest_plan(mx.RandomEffects(es).fit(), order="precision"),
        "strata": forest_plan(mx.stratify(es, by="source"), limits=(-0.2, 0.6)),
        "multilevel": forest_plan(mx.Multilevel(nested, "study/effect").fit()),
        "censored": forest_plan(mx.CensoredRandomEffects(censored).fit(), by="source"),
        "heterogeneity": mx.plots.heterogeneity_plan(table, label_title="Review"),
        "rho sweep": mx.plots.rho_sweep_plan(mx.rho_sweep(nested, [0.0, 0.4, 0.8])),
    }, dict(zip(names, y, strict=True))


def test_names_stand_beside_their_marks_in_forests():
    plans, value_of = forests()
    for kind, plan in plans.items():
        ax = forest(plan)
        names = texts(ax)
        ink = {y for order in (3, AT_EDGE, ARROW, BRACKET) for _, y, *_ in points(ax, order)}
        ink |= {y for *_, y in intervals(ax)}
        seen = 0
        for row in plan.rows:
            if row.kind != "study":
                continue
            seen += 1
            lines = row.cells["label"]
            ys = [text.y for text in names if text.x < plan.panel.left and text.text in lines]
            assert min(abs(y - row.y) for y in ys) < 0.6 * plan.theme.line, kind
            assert row.y in ink, f"{kind}: no mark beside {lines}"
            beside = [x for x, y, *_ in points(ax) if y == row.y]
            assert len(beside) == (row.mark.estimate is not None and not row.mark.beyond), kind
            assert beside in ([], [row.mark.estimate]), kind
            if lines[0] in value_of and row.mark.estimate is not None:
                assert row.mark.estimate == pytest.approx(value_of[lines[0]], abs=1e-12), kind
        assert seen == (3 if kind == "rho sweep" else 12), kind


# -- texts as people have them, in every kind of figure -----------------------------------------------------

HARD = ["Li 2020\nfirst arm", "C\x00\x1b[31m \ud800x", "王 2021 山田太郎", "a\u2028b\tc", "x" * 70, "<b>&\"'"]
HARD += ["$\\alpha$ _x^2", "--> end", "  lead", "اللغة", "e\u0301", "𓀀 x" * 30]


@pytest.mark.parametrize(
    "draw",
    [
        lambda es, t: forest(es, columns=["source"], by="g", title="\n".join(HARD[:3]), notes=HARD),
        lambda es, t: forest(mx.stratify(es, by="g")),
        lambda es, t: funnel(mx.RandomEffects(es).fit(), by="source", title=HARD[0]),
        lambda es, t: mx.plots.interval_strip(t, "y", ["g", "source"], log=False, cells={"source": HARD[0]}),
        lambda es, t: mx.plots.evidence_map(t, "source", "isolation", by="g", width=15),
        lambda es, t: mx.plots.reported_shares(t, {"source": HARD[0]}, by="g"),
        lambda es, t: mx.plots.estimability(es),
        lambda es, t: mx.plots.heterogeneity(t, estimate="y", by="g"),
    ],
)
def test_hard_texts_overlap_nothing_and_make_valid_files(draw, tmp_path):
    rng = np.random.default_rng(0)
    y = rng.normal(0, 1, 12)
    data = pd.DataFrame({"source": HARD, "isolation": HARD[::-1], "g": HARD[:3] * 4})
    table = data.assign(y=y, low=y - 1, high=y + 1, label=HARD)
    ax = draw(mx.EffectSizes(y, rng.uniform(0.05, 0.2, 12), labels=HARD, data=data), table)
    assert overlapping_texts(ax) == []
    svg = save(ax, tmp_path / "figure.svg")
    xml.dom.minidom.parse(str(svg))
