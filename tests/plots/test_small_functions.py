"""The small functions below the figures, each by what it gives."""

from __future__ import annotations

from metaexo.formatting import at_least, fixed, power_label, shown, ten_digits, whole_or_decimals
from metaexo.plots.canvas.chart import group_sign
from metaexo.plots.canvas.fonts import (
    contrast,
    letters_of_no_font,
    lines_in,
    luminance,
    plain,
    text_width,
    wrap_to_width,
)
from metaexo.plots.canvas.saving import overlapping
from metaexo.plots.canvas.scale import robust_limits, tick_label, tick_labels
from metaexo.plots.canvas.tables import is_reported, levels_of
from metaexo.plots.canvas.theme import THEMES
from metaexo.plots.canvas.words import name_of, stratum_words, title_of, typeset, words
from metaexo.plots.forest.families import _split_labels
from metaexo.plots.forest.rows import short_remark
from metaexo.plots.table.lanes import lanes


def test_letters_of_no_font():
    assert (letters_of_no_font("Li et al. 2020, µ = 3 ± 1")) == ""


def test_plain():
    assert (plain("Li 2020\n(a)\x00\x1b[1m")) == "Li 2020 (a)[1m"


def test_lines_in():
    assert (lines_in("Li 2020\nfirst trial"), lines_in("")) == (("Li 2020", "first trial"), ("",))


def test_text_width():
    assert text_width("ww", 10.0) > text_width("il", 10.0) > 0


def test_wrap_to_width():
    assert wrap_to_width("short", 200.0, 8.0) == ("short",)
    lines = wrap_to_width("a long label that will not stand in one line", 120.0, 8.0)
    assert lines == ("a long label that will not", "stand in one line")


def test_group_sign():
    assert (group_sign(0), group_sign(7)) == ((0, "circle"), (7, "cross"))


def test_text_on():
    theme = THEMES["metaexo"]
    assert (theme.text_on("#0072B2"), theme.text_on("#2F93CF")) == ("#ffffff", "#000000")


def test_tint():
    light, dark = THEMES["metaexo"], THEMES["dark"]
    assert (light.tint(1.0, "#0072B2"), light.tint(0.0, "#0072B2")) == ("#0072b2", "#ffffff")
    assert dark.tint(0.0, "#0072B2") == dark.paper


def test_luminance():
    assert (luminance("#ffffff"), luminance("#000000")) == (1.0, 0.0)


def test_contrast():
    assert (contrast("#ffffff", "#000000")) == 21.0


def test_overlapping():
    assert (overlapping([("a", (0, 0, 2, 2)), ("b", (5, 0, 6, 2)), ("c", (1, 1, 3, 3))], 0.0)) == [("a", "c")]


def test_robust_limits():
    assert (robust_limits([-1.0, -0.5, -90.0], [1.0, 0.8, 95.0], [0.0], pad=0.0)) == (-1.0, 1.0)


def test_tick_label():
    assert (tick_label(0.5), tick_label(-2.0), tick_label(1e6)) == ("0.5", "−2", "10⁶")


def test_ticks_of_one_axis_have_one_notation():
    assert tick_labels([1e-5, 1.0, 1e5]) == ["10⁻⁵", "1", "10⁵"]
    assert tick_labels([0.0, 5e5, 1e6, 1.5e6]) == ["0", "5×10⁵", "10⁶", "1.5×10⁶"]
    assert tick_labels([-0.5, 0.0, 1000.0]) == ["−0.5", "0", "1000"]


def test_levels_of():
    assert (levels_of(["not reported", "plant", "urine", "urine", "not reported", "not reported"])) == [
        "urine",
        "plant",
        "not reported",
    ]


def test_lanes():
    assert (lanes([(0, 5), (3, 8), (10, 12)])) == [0, 1, 0]


def test_settle():
    assert (ten_digits(0.1249999999999), ten_digits(0.1250000000001)) == (0.125, 0.125)


def test_shown():
    assert (shown(0.125, 2), shown(-3.0, 1), shown(None, 2), shown(7.93e-12, 2)) == (
        "0.12",
        "−3.0",
        "–",
        "7.93×10⁻¹²",
    )


def test_fixed():
    assert (fixed(-0.000524, 2), fixed(0.46, 0), fixed(None, 2), fixed(2.5e9, 1)) == (
        "0.00",
        "0",
        "–",
        "2.5×10⁹",
    )


def test_at_least():
    assert (at_least(0.314), at_least(0.0003), at_least(0.0)) == (" = 0.31", " < 0.01", " = 0.00")


def test_power_label():
    assert (power_label(1e6), power_label(-2e-5)) == ("10⁶", "−2×10⁻⁵")
    assert (power_label(1.25e6), power_label(-1e-7)) == ("1.25×10⁶", "−10⁻⁷")


def test_typeset():
    assert (typeset("one tau2 for all")) == "one τ² for all"


def test_name_of():
    assert (name_of("source_category"), name_of("isolation")) == ("source", "isolation method")


def test_title_of():
    assert (title_of("source_category"), title_of("follow_up_weeks"), title_of("n")) == (
        "Source",
        "Follow up weeks",
        "n",
    )


def test_whole_or_decimals():
    assert (
        whole_or_decimals([2020.0, 2021.0]),
        whole_or_decimals([0.5, 1.25]),
        whole_or_decimals([1 / 3]),
    ) == (0, 2, 2)


def test_words():
    assert (words("bone_marrow_msc"), words("adipose_msc", {"adipose_msc": "adipose MSC"}), words(None)) == (
        "bone marrow msc",
        "adipose MSC",
        "–",
    )


def test_stratum_words():
    assert (
        stratum_words({"outcome": "wound_closure", "source": "Not reported"})
    ) == "wound closure / source not reported"
    assert (
        stratum_words({"source": "Other", "isolation": "other"})
    ) == "Other source / other isolation method"


def test_split_labels():
    assert (_split_labels("lee2020", ["Lee 2020, day 4", "Lee 2020, day 8"])) == (
        "Lee 2020",
        ("day 4", "day 8"),
    )
    assert (_split_labels("lee2020", ["low dose", "high dose"])) == ("lee2020", ("low dose", "high dose"))


def test_short_remark():
    assert (short_remark("one study: shown, not used to estimate tau2")) == "one study"


def test_is_reported():
    assert ([is_reported(v) for v in (True, False, "UC", "not_reported", None, float("nan"), 0.0)]) == [
        True,
        False,
        True,
        False,
        False,
        False,
        True,
    ]
