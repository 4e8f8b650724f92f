"""Flow of rows: counts that add up, the order of the steps, the words in the boxes, and what is drawn."""

from __future__ import annotations

import re
import xml.dom.minidom

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import Rectangle

import metaexo as mx
from metaexo.errors import AssumptionWarning, InputError
from metaexo.ledger import LeftOut
from tests.combined import combined
from tests.evidence.folders import DATA

LONG = (
    "paired, and the correlation of the two conditions is neither reported nor assumed, so that no variance "
)
LEDGER = (
    mx.Ledger("outcomes.csv", tuple(range(2, 22)))
    .leave_out(
        {2: "not selected: domain == 'clinical'", 3: "not selected: domain == 'clinical'"}, "selection"
    )
    .leave_out({4: "no SD", 5: "no SD", 6: LONG, 7: ""}, "effect")
    .leave_out({8: "no moderator"}, "model")
)


@pytest.fixture(scope="module")
def sheets():
    return mx.read_sheets(DATA)


def numbers(ax):
    """Return the counts in the boxes, from top to bottom, as they are drawn."""
    texts = " ".join(text.get_text() for text in ax.texts)
    return [int(n) for n in re.findall(r"\(n\s=\s(\d+)\)", texts)]


def adds_up(plan):
    frame = plan.to_frame()
    for _, part in frame.groupby("source", sort=False):
        read = int(part.loc[part["step"] == "read", "rows"].sum())
        used = int(part.loc[part["step"] == "used", "rows"].sum())
        out = int(part.loc[~part["step"].isin(["read", "used"]), "rows"].sum())
        assert read == used + out


def test_the_steps_and_their_counts():
    plan = mx.plots.flow_plan(LEDGER)
    (chain,) = plan.chains
    assert (chain.total, chain.used) == (20, 13)
    assert [(s.step, s.left_out, s.remaining) for s in chain.stages] == [
        ("selection", 2, 18),
        ("effect", 4, 14),
        ("model", 1, 13),
    ]
    assert chain.stages[1].reasons == (("no SD", 2), ("", 1), (LONG, 1))
    adds_up(plan)
    left_out = "2 left out (selection), 4 left out (effect), 1 left out (model)"
    assert plan.describe() == f"outcomes.csv: 20 rows read, {left_out}, 13 used."


def test_the_boxes_say_the_counts():
    ax = mx.plots.flow(LEDGER)
    drawn = numbers(ax)
    # from top to bottom: rows; a step with its reasons; rows that remain; ...
    assert drawn == [20, 2, 2, 18, 4, 2, 1, 1, 14, 1, 1, 13]
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert len(boxes) == 7
    texts = [" ".join(text.get_text().split()) for text in ax.texts]
    assert "not in the selection domain == 'clinical' (n = 2)" in texts
    assert "no reason given (n = 1)" in texts
    assert any(
        "does not claim that a search was complete" in note for note in mx.plots.flow_plan(LEDGER).notes
    )


def test_texts_stand_within_their_boxes():
    ax = mx.plots.flow(LEDGER)
    figure = ax.figure
    figure.draw_without_rendering()
    boxes = [p.get_window_extent() for p in ax.patches if isinstance(p, Rectangle)]
    for text in ax.texts:
        if text.get_text():
            inside = text.get_window_extent()
            assert any(
                box.x0 <= inside.x0 and inside.x1 <= box.x1 and box.y0 <= inside.y0 and inside.y1 <= box.y1
                for box in boxes
            )
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_effects_and_fits_say_effects_and_studies():
    es = mx.EffectSizes(
        [0.1, 0.2, 0.4, 0.3], [0.1] * 4, study=list("aabc"), ledger=mx.Ledger("x.csv", (2, 3, 4, 5))
    ).select([True, True, False, True], "animals")
    fit = mx.RandomEffects(es, dependence="accept").fit()
    for one in (es, fit):
        (chain,) = mx.plots.flow_plan(one).chains
        assert (chain.total, chain.used, chain.effects, chain.studies) == (4, 3, es.k, es.m) == (4, 3, 3, 2)
        texts = [text.get_text() for text in mx.plots.flow(one).texts]
        assert {"Effects (k = 3)", "Studies (m = 2)"} <= set(texts)


def test_a_ledger_of_which_every_row_is_used():
    ax = mx.plots.flow(mx.Ledger.of_rows(5))
    assert numbers(ax) == [5, 5]
    assert sum(isinstance(patch, Rectangle) for patch in ax.patches) == 1


def test_several_ledgers_stand_below_each_other(sheets):
    plan = mx.plots.flow_plan(sheets)
    assert [chain.source for chain in plan.chains] == [one.source for one in sheets.ledgers.values()]
    adds_up(plan)
    two = mx.plots.flow_plan({"Outcomes": LEDGER, "Effects": mx.Ledger.of_rows(3)})
    assert [chain.source for chain in two.chains] == ["Outcomes", "Effects"]
    assert [chain.total for chain in mx.plots.flow_plan([LEDGER, LEDGER]).chains] == [20, 20]
    assert mx.plots.overlapping_texts(mx.plots.flow(plan).figure) == []


def test_the_figure_says_what_the_ledger_counts(sheets):
    with pytest.warns(AssumptionWarning):
        es = sheets.effects("SMD", where="use != 'apart'")
    plan = mx.plots.flow_plan(es)
    frame = plan.to_frame()
    counts = es.ledger.counts()
    assert frame.loc[frame["step"] == "used", "rows"].tolist() == [es.k]
    for step in ("selection", "effect"):
        mine = frame[frame["step"] == step].set_index("reason")["rows"].to_dict()
        assert mine == counts[counts["step"] == step].set_index("reason")["rows"].to_dict()
    # thresholds of p are one reason in the box, and the others are counted together
    (chain,) = plan.chains
    drawn = numbers(mx.plots.flow(es, most=2))
    effect = chain.stages[1]
    at = drawn.index(effect.left_out)
    assert sum(drawn[at + 1 : at + 4]) == effect.left_out


def test_a_later_selection_stands_after_the_effects():
    ledger = mx.Ledger("x", (1, 2, 3, 4)).leave_out({1: "a"}, "selection").leave_out({2: "b"}, "effect")
    plan = mx.plots.flow_plan(ledger.keep([4], "later"))
    assert [stage.step for stage in plan.chains[0].stages] == ["selection", "effect", "selection"]
    mixed = mx.Ledger(
        "x", (), tuple(LeftOut(i, "", "", "effect" if i % 2 else "selection", "why") for i in range(1, 21))
    )
    stages = mx.plots.flow_plan(mixed).chains[0].stages
    assert [(stage.step, stage.left_out) for stage in stages] == [("effect", 10), ("selection", 10)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sheet", "selection", "effect", "model", "mine", ""]), st.text(max_size=90)
        ),
        max_size=40,
    ),
    st.integers(0, 30),
    st.integers(1, 9),
)
@settings(max_examples=40, deadline=None)
def test_counts_add_up_whatever_was_left_out(entries, used, most):
    ledger = mx.Ledger(
        "sheet.csv",
        tuple(range(1000, 1000 + used)),
        tuple(LeftOut(i, "", "", step, why) for i, (step, why) in enumerate(entries, 1)),
    )
    plan = mx.plots.flow_plan(ledger, most=most)
    adds_up(plan)
    remaining = [chain.remaining for chain in plan.chains[0].stages]
    assert remaining == sorted(remaining, reverse=True)
    assert ([ledger.total, *remaining])[-1] == used


@combined(theme=["metaexo", "dark", "bmj"], width=[7.0, 3.4])
def test_no_texts_overlap(theme, width):
    many = {i: f"{LONG * 2} {i}, 陈 Å" for i in range(9, 15)}
    ledger = LEDGER.leave_out(many, "another step, whose name is rather long")
    ax = mx.plots.flow(ledger, theme=theme, width=width, title=LONG, most=9)
    assert mx.plots.overlapping_texts(ax.figure) == []
    assert min(text.get_fontsize() for text in ax.figure.findobj(plt.Text)) >= 7


def test_signs_that_are_no_letters_do_no_harm(tmp_path):
    odd = ["\x07bell", "$x_1$", "a\nb", "<b>&", "\ud800", "\u202b\u05d0\u05d1", "emoji \U0001f600", "ab" * 60]
    left_out = tuple(LeftOut(i, "", "", why, why) for i, why in enumerate(odd, 1))
    ax = mx.plots.flow(mx.Ledger("a\x00b.csv", (99,), left_out), title=odd[0], notes=odd)
    assert mx.plots.overlapping_texts(ax.figure) == []
    path = mx.plots.save(ax, tmp_path / "odd.svg")
    assert "9 rows read" in xml.dom.minidom.parse(str(path)).getElementsByTagName("desc")[0].toxml()


def test_axes_and_parts_of_a_figure_hold_it():
    figure, ax = plt.subplots(figsize=(7, 7))
    assert mx.plots.flow(LEDGER, ax=ax) is ax
    assert mx.plots.overlapping_texts(figure) == []
    whole = plt.figure(figsize=(9, 5))
    left, _ = whole.subfigures(1, 2)
    mx.plots.flow(LEDGER, ax=left)
    assert mx.plots.overlapping_texts(whole) == []
    with pytest.raises(InputError, match="inches"):
        mx.plots.flow(LEDGER, ax=plt.subplots(figsize=(4, 2))[1])


@pytest.mark.parametrize("source", [None, 3, "ledger", [], {}, [LEDGER, 3], np.array([1.0]), mx.Ledger])
def test_what_has_no_ledger_is_refused(source):
    with pytest.raises(InputError):
        mx.plots.flow_plan(source)
    with pytest.raises(InputError, match="without a ledger"):
        mx.plots.flow_plan(mx.EffectSizes([0.1], [0.1]))
