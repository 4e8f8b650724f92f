"""Numbers, lines of text, axes: what all figures are made of."""

from __future__ import annotations

import itertools
import math
import pickle

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import metaexo as mx
from metaexo.effects.measure import get_measure
from metaexo.errors import InputError
from metaexo.formatting import shown, ten_digits
from metaexo.plots import THEMES
from metaexo.plots.canvas.chart import SHAPES, group_sign
from metaexo.plots.canvas.fonts import contrast, font, text_width, wrap_to_width
from metaexo.plots.canvas.saving import overlapping
from metaexo.plots.canvas.scale import from_axis, make_ticks, on_axis, place_of, robust_limits, round_values
from metaexo.plots.canvas.tables import levels_of
from metaexo.plots.canvas.words import stratum_words
from metaexo.plots.table.lanes import lanes
from metaexo.plots.table.layout import _snap

MEASURES = ("SMD", "RR", "OR", "PAS", "PLO")
# Least contrast of a text and of a line or mark against what it stands on: WCAG 2.2, 1.4.3 and 1.4.11.
TEXT, LINE = 4.5, 3.0


RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")


def number(label):
    """Return the value of a label, which may hold a power of ten."""
    if not any(letter in "⁻⁰¹²³⁴⁵⁶⁷⁸⁹" for letter in label):
        return float(label.translate(RAISED))
    mantissa, _, exponent = label.partition("10")
    return float(mantissa.rstrip("×").translate(RAISED) or 1) * 10.0 ** int(exponent.translate(RAISED))


@given(st.floats(-1e6, 1e6, allow_nan=False), st.sampled_from([-1, 1]))
def test_noise_in_the_last_digits_changes_neither_places_nor_texts(value, sign):
    # Only values that are printed with few digits can stand on a tie; those are the dangerous ones.
    value = round(value, 3)
    noisy = value * (1 + sign * 1e-13)
    assert _snap(noisy) == _snap(value)
    assert shown(noisy, 2) == shown(value, 2)
    assert ten_digits(noisy) == ten_digits(value)


@given(st.text(alphabet="abcdef -", min_size=1, max_size=200), st.floats(30.0, 400.0))
def test_wrapping_keeps_every_letter_and_the_width(text, width):
    lines = wrap_to_width(text, width, 8.0)
    assert "".join("".join(lines).split()) == "".join(text.split())
    if text.strip():
        assert all(text_width(line, 8.0) <= width for line in lines)


@given(st.text(alphabet="abcdef -", min_size=1, max_size=200), st.floats(30.0, 300.0))
def test_wrapping_to_a_width_breaks_only_words_that_are_wider(text, width):
    pieces = {word for line in wrap_to_width(text, width, 8.0) for word in line.split()}
    assert all(word in pieces for word in text.split() if text_width(word, 8.0) <= width)


def test_a_heading_of_two_words_stands_in_two_lines():
    assert wrap_to_width("Assumed correlation", text_width("correlation", 8.0), 8.0) == (
        "Assumed",
        "correlation",
    )


def test_a_number_stands_beside_what_it_is_of():
    room = text_width("Q(36) = 47.5, p", 8.0)
    assert wrap_to_width("Q(36) = 47.5, p = 0.095", room, 8.0) == ("Q(36) = 47.5,", "p = 0.095")
    assert wrap_to_width("Q(36) = 47.5, p < .001", room, 8.0) == ("Q(36) = 47.5,", "p < .001")
    held = "Test between strata: F(2,\xa03.4)\xa0=\xa02.50,\xa0p\xa0=\xa00.21"
    assert wrap_to_width(held, 160.0, 8.0) == tuple(held.replace(": F", ":|F").split("|"))
    assert wrap_to_width("log(x) = 0.25", text_width("log(x) =", 8.0), 8.0) == ("log(x) =", "0.25")


def test_hyphens_are_no_places_to_break():
    lines = wrap_to_width("stem and progenitor cell-derived EVs", 120.0, 8.0)
    assert lines == ("stem and progenitor", "cell-derived EVs")


@pytest.mark.parametrize("code", MEASURES)
def test_the_way_back_from_the_axis(code):
    measure = get_measure(code)
    for value in (0.05, 0.3, 0.9):
        place = on_axis(measure, value)
        assert place == (np.log(value) if measure.display_log else value)
        assert from_axis(measure, place) == pytest.approx(value, rel=1e-12)


def test_a_value_that_the_scale_does_not_have_is_refused():
    with pytest.raises(InputError, match="Risk ratio"):
        place_of(get_measure("RR"), 0.0, "reference")


@pytest.mark.parametrize(
    ("code", "low", "high"),
    [
        ("SMD", -3.2, 1.1),
        ("SMD", 0.001, 0.0012),
        ("RR", -2, 1.5),
        ("RR", -0.2, 0.25),
        ("RR", -30, 4),
        ("PAS", 0, 1),
        ("PLO", 0, 1),
        ("ZCOR", -1, 1),
        ("ZCOR", -0.4, 0.97),
    ],
)
def test_ticks_stand_inside_at_the_values_that_they_name(code, low, high):
    measure = get_measure(code)
    ticks = make_ticks(measure, low, high, 200.0)
    assert 3 <= len(ticks) <= 9
    for tick in ticks:
        assert low - 1e-9 <= tick.value <= high + 1e-9
        assert from_axis(measure, tick.value) == pytest.approx(number(tick.label), rel=1e-9, abs=1e-9)


def test_tick_labels_never_touch():
    measure = get_measure("MD")
    for high in (1e-3, 0.7, 30, 99999.0, 123456789.0):
        for width in (60.0, 120.0, 300.0):
            ticks = make_ticks(measure, -high, high, width)
            places = [(t.value + high) / (2 * high) * width for t in ticks]
            ends = [text_width(t.label, 7.5) / 2 for t in ticks]
            for i in range(len(ticks) - 1):
                assert places[i] + ends[i] < places[i + 1] - ends[i + 1]


def test_ticks_of_a_wide_axis_have_one_notation_and_different_labels():
    for code, low, high in (("RR", math.log(1e-6), math.log(1e6)), ("MD", 1e6, 1.5e6), ("MD", -2e5, 2.2e6)):
        labels = [tick.label for tick in make_ticks(get_measure(code), low, high, 400.0)]
        assert len(set(labels)) == len(labels) >= 3
        assert all("10" in label for label in labels if label not in ("0", "1"))
    es = mx.EffectSizes(np.log([1e-7, 1.0, 1e7]), [4.0, 4.0, 4.0], "RR")
    for ax in (mx.plots.forest(es), mx.plots.funnel(es)):
        ax.figure.canvas.draw()
        shown = [label.get_text() for label in ax.get_xticklabels()]
        assert any("⁻" in label for label in shown)
        assert all("10" in label for label in shown if label != "1")


@pytest.mark.parametrize("kind", ["forest", "funnel", "drapery"])
def test_ticks_stand_apart_whatever_the_size_that_their_labels_were_given(kind):
    rng = np.random.default_rng(0)
    es = mx.EffectSizes(rng.normal(0.0, 1000.0, 9), rng.uniform(1e5, 4e5, 9), "MD")
    ax = getattr(mx.plots, kind)(mx.RandomEffects(es).fit())
    small = len(ax.get_xticks())
    ax.tick_params(labelsize=20)
    ax.figure.canvas.draw()
    boxes = sorted(label.get_window_extent().extents[[0, 2]].tolist() for label in ax.get_xticklabels())
    assert 2 <= len(boxes) < small
    for (_, right), (left, _) in itertools.pairwise(boxes):
        assert right < left


def test_a_font_for_some_letters_that_is_not_bold_leaves_the_others_bold(caplog):
    def width(bold, others=()):
        text = figure.text(0.5, 0.5, "Mesenchymal", fontproperties=font(13.7, bold, others))
        return text.get_window_extent().width

    figure = plt.figure()
    assert width(True, ("DejaVu Sans Display",)) == width(True) > width(False)
    with plt.rc_context({"font.size": 14.2}):  # matplotlib then looks for its fonts again
        figure.canvas.draw()
        pickle.loads(pickle.dumps(figure)).canvas.draw()
    assert not caplog.records


def test_linear_ticks_are_round_and_evenly_spaced():
    assert round_values(-0.31, 0.92, 8) == [-0.2, 0.0, 0.2, 0.4, 0.6, 0.8]


def test_one_huge_interval_does_not_squash_the_others():
    lows, highs = [-1.0, -0.5, -0.2, 0.1, -80.0], [1.0, 0.8, 0.9, 1.4, 95.0]
    assert robust_limits(lows, highs, [0.0], pad=0.0) == (-1.0, 1.4)
    assert robust_limits(lows, highs, [0.0, 7.0], pad=0.0) == (-1.0, 7.0)


def test_two_groups_of_effects_are_both_shown():
    lows, highs = [-5.5, -5.0, 2.0, 3.0, 4.0], [-2.5, -2.3, 5.6, 6.4, 8.0]
    assert robust_limits(lows, highs, [0.0], pad=0.0) == (-5.5, 8.0)


def test_limits_of_a_single_value_have_room():
    low, high = robust_limits([0.0], [0.0], [0.0])
    assert low < 0 < high


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_colors_and_shapes_tell_seventy_groups_apart(theme):
    assert len(set(theme.palette)) == 7
    assert len(set(SHAPES)) == 10
    assert len({(theme.color(color), shape) for color, shape in map(group_sign, range(70))}) == 70


def test_lanes_hold_no_two_stretches_that_overlap():
    draws = np.random.default_rng(3)
    extents = [
        (float(x), float(x + w))
        for x, w in zip(draws.uniform(0, 90, 60), draws.uniform(1, 30, 60), strict=True)
    ]
    found = lanes(extents)
    for i, (a, b) in enumerate(extents):
        for j, (c, d) in enumerate(extents[:i]):
            assert found[i] != found[j] or b <= c or d <= a


def test_an_order_that_leaves_a_category_out_is_refused():
    with pytest.raises(InputError, match="urine"):
        levels_of(["plant", "urine"], ["plant"])
    assert levels_of(["Not reported", "Other", "urine"]) == ["urine", "Other", "Not reported"]
    assert levels_of(["plant"], ["milk_colostrum", "plant"]) == ["milk colostrum", "plant"]


def test_levels_that_say_nothing_alone_are_told_with_their_factor():
    assert stratum_words({"family": "Scar", "isolation": "not_reported"}) == (
        "Scar / isolation method not reported"
    )
    assert stratum_words({"source_category": "Not reported"}) == "Source not reported"
    assert stratum_words({"source": "other"}, {"other": "something else"}) == "something else"


# -- contrast: WCAG 2.2, 1.4.3 (text, 4.5) and 1.4.11 (lines and marks, 3) ---------------------------------


def test_contrast_is_that_of_the_guidelines():
    # Values of the contrast checker of webaim.org.
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert contrast("#0000ff", "#ffffff") == pytest.approx(8.59, abs=0.005)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_texts_and_lines_of_the_themes_stand_out(theme):
    for ground in filter(None, (theme.paper, theme.stripe)):
        assert contrast(theme.ink, ground) >= TEXT
        assert contrast(theme.grey, ground) >= TEXT
    for color in (theme.pale, theme.study, theme.pooled, theme.subtotal, *theme.palette):
        assert contrast(color, theme.paper) >= LINE


@given(st.integers(0, 0xFFFFFF), st.sampled_from(list(THEMES)))
def test_a_text_can_be_read_on_any_color(color, theme):
    ground = f"#{color:06x}"
    assert contrast(THEMES[theme].text_on(ground), ground) >= TEXT


@pytest.mark.parametrize("theme", THEMES)
def test_every_text_in_a_cell_can_be_read(make_effects, studies, theme):
    bubbles = mx.plots.evidence_map(studies, "source", "isolation", by="kind", theme=theme)
    grid = mx.plots.estimability(make_effects(24), theme=theme)
    for ax in (bubbles, grid):
        plan = mx.plots.plans_of(ax)[0]
        inks = {text.get_text(): text.get_color() for text in ax.texts}
        for cell in (cell for cells in plan.cells for cell in cells):
            ground = cell.fill or plan.theme.paper
            for line in cell.lines:
                assert contrast(inks[line], ground) >= TEXT
            for bubble in cell.bubbles:
                ground = bubble.color if bubble.inside else plan.theme.paper
                assert contrast(plan.theme.text_on(ground), ground) >= TEXT


def test_groups_of_a_map_have_shapes_of_their_own(studies):
    plan = mx.plots.evidence_map_plan(studies, "source", "isolation", by="kind")
    signs = {(one.color, one.shape) for cells in plan.cells for cell in cells for one in cell.bubbles}
    assert len(signs) == len({shape for _, shape in signs}) == 2
    assert {key.label for key in plan.keys} == set(studies["kind"])
    assert {(plan.theme.color(key.color), key.shape) for key in plan.keys} == signs


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 0.5]))
def test_boxes_that_overlap_are_found_all(seed, tolerance):
    draws = np.random.default_rng(seed)
    corners, sizes = draws.uniform(0, 10, (25, 2)), draws.uniform(0.1, 2, (25, 2))
    boxes = [(str(i), (*a, *(a + b))) for i, (a, b) in enumerate(zip(corners, sizes, strict=True))]
    wanted = [
        (a, b)
        for (a, one), (b, two) in itertools.combinations(boxes, 2)
        if one[0] + tolerance < two[2]
        and two[0] + tolerance < one[2]
        and one[1] + tolerance < two[3]
        and two[1] + tolerance < one[3]
    ]
    assert overlapping(boxes, tolerance) == wanted
