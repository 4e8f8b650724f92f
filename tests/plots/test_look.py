"""How figures look: themes, settings of matplotlib, contrast, second codes, files of all kinds, pages."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.transforms import Affine2D
from PIL import Image

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots import THEMES, Theme, forest, forest_plan, overlapping_texts, pages_of, save
from metaexo.plots.canvas.chart import ChartAxis, Points, group_sign
from metaexo.plots.canvas.fonts import contrast
from metaexo.plots.canvas.theme import LINE_CONTRAST, get_theme
from tests.plots.drawn import all_texts, as_fonts_allow, points, texts, ticks

TEXT_CONTRAST = 4.5  # WCAG 2.2, 1.4.3
SVG = "{http://www.w3.org/2000/svg}"


def color_of_text(ax, words):
    return next(to_hex(text.get_color()) for text in all_texts(ax) if text.get_text() == words)


# -- settings of the user's --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [forest, mx.plots.funnel])
def test_fonts_that_are_not_installed_fill_no_log(make_effects, caplog, kind):
    with mpl.rc_context({"font.family": "serif", "font.serif": ["No Such Serif", "DejaVu Serif"]}):
        ax = kind(make_effects(4))
        ax.figure.savefig(io.BytesIO())
        assert ax.xaxis.label.get_family() == ["DejaVu Serif"]
    assert [record.message for record in caplog.records if "No Such Serif" in record.message] == []
    with mpl.rc_context({"font.family": "No Such Font"}):
        kind(make_effects(4)).figure.savefig(io.BytesIO())
    assert len([record for record in caplog.records if "No Such Font" in record.message]) <= 2


@pytest.mark.parametrize("setting", ["figure.autolayout", "figure.constrained_layout.use"])
def test_layouts_in_the_settings_leave_tables_alone(make_effects, setting):
    plain = forest(make_effects(4))
    with mpl.rc_context({setting: True}):
        ax = forest(make_effects(4))
        ax.figure.savefig(io.BytesIO())
    plain.figure.savefig(io.BytesIO())
    assert ax.get_position().bounds == pytest.approx(plain.get_position().bounds)


def test_a_colour_that_is_not_known_names_the_nearest(make_effects):
    with pytest.raises(UnknownChoiceError, match="write 'blue' if"):
        forest(make_effects(2), color="bleu")
    with pytest.raises(UnknownChoiceError, match="write 'pooled' if"):
        forest(make_effects(2), color="poled")


def test_settings_of_matplotlib_do_what_they_say(make_effects):
    es = make_effects(4)
    settings = {
        "font.size": 11.0,
        "figure.facecolor": "#fff8e7",
        "text.color": "#003366",
        "axes.prop_cycle": mpl.cycler(color=["#aa0044", "#00aa44"]),
    }
    with mpl.rc_context(settings):
        ax = forest(es, columns=[])
    assert {text.size for text in texts(ax)} == {11.0}
    assert to_hex(ax.figure.get_facecolor()) == "#fff8e7"
    assert color_of_text(ax, "Author 1 2000") == "#003366"
    assert {to_hex(fill) for *_, fill in points(ax)} == {"#aa0044"}
    assert overlapping_texts(ax) == []
    plain = forest(es)
    assert {text.size for text in texts(plain)} == {8.0}
    assert to_hex(plain.figure.get_facecolor()) == "#ffffff"


def test_further_settings_reach_axis_and_ticks(make_effects):
    with mpl.rc_context({"xtick.labelsize": 10.0, "axes.edgecolor": "#884400", "axes.linewidth": 2.0}):
        ax = forest(make_effects(4))
        ax.figure.draw_without_rendering()
    assert {label.get_fontsize() for label in ax.get_xticklabels()} == {10.0}
    assert ax.spines["bottom"].get_linewidth() == 2.0


@pytest.mark.parametrize("style", ["dark_background", "ggplot", "grayscale", "seaborn-v0_8-poster", "bmh"])
def test_style_sheets_of_matplotlib_give_figures_that_can_be_read(make_effects, style):
    fit = mx.RandomEffects(make_effects(5)).fit()
    with plt.style.context(style):
        ax = forest(fit, width=12, title="A title")
        paper = to_hex(ax.figure.get_facecolor())
        assert paper == to_hex(plt.rcParams["figure.facecolor"])
    assert overlapping_texts(ax) == []
    for text in all_texts(ax):
        assert contrast(to_hex(text.get_color()), paper) >= TEXT_CONTRAST, text.get_text()
        assert text.get_fontsize() >= 7.0
    assert len(points(ax)) == 5


def test_a_dark_style_sheet_makes_dark_figures(make_effects):
    with plt.style.context("dark_background"):
        ax = forest(make_effects(5))
    assert to_hex(ax.figure.get_facecolor()) == "#000000"
    assert contrast(color_of_text(ax, "Study"), "#000000") > 15
    for *_, fill in points(ax):
        assert contrast(to_hex(fill), "#000000") >= LINE_CONTRAST


def test_drawing_leaves_the_settings_as_they_were(make_effects):
    before = dict(mpl.rcParams)
    forest(make_effects(3), theme="dark", font_size=12)
    assert dict(mpl.rcParams) == before


def test_themes_are_chosen_by_name_or_made(make_effects):
    es = make_effects(3)
    own = Theme(name="own", paper="#f4f4f4", study="#663399", size=9.0, small=7.5, stripe="#e2e2e2")
    ax = forest(es, theme=own)
    assert to_hex(ax.figure.get_facecolor()) == "#f4f4f4"
    assert {to_hex(fill) for *_, fill in points(ax)} == {"#663399"}
    assert {text.size for text in texts(ax)} == {9.0}
    with pytest.raises(UnknownChoiceError, match="bmj"):
        forest(es, theme="bjm")
    with pytest.raises(InputError, match="7 points"):
        forest(es, theme=Theme(name="small", size=6.0))


@pytest.mark.parametrize(
    ("theme", "cell", "words"),
    [
        ("metaexo", "[0.05 to 1.15]", "p = 0."),
        ("jama", "(0.05-1.15)", "P = ."),
        ("bmj", "(0.05 to 1.15)", "P = 0."),
        ("lancet", "(0·05–1·15)", "P = 0·"),
        ("revman", "[0.05, 1.15]", "P = 0."),
        ("minimal", "[0.05 to 1.15]", "p = 0."),
    ],
)
def test_themes_write_intervals_and_p_values_as_their_journals_do(theme, cell, words):
    es = mx.EffectSizes([0.6, 0.5, 1.1, 0.7], [(0.55 / 1.959963984540054) ** 2, 0.05, 0.05, 0.05])
    fit = mx.RandomEffects(es).fit()
    plan = forest_plan(fit, theme=theme)
    found = [text.text for text in texts(forest(plan))]
    assert cell in found
    said = " ".join(found).replace("\N{NO-BREAK SPACE}", " ")
    assert f"{words}{f'{fit.q.pvalue:.2f}'[2:]}" in said
    signs = {sign for _, label in ticks(forest(plan)) for sign in label if not sign.isdigit()}
    assert signs - {THEMES[theme].point, "\N{MINUS SIGN}"} == set()
    rows = [row.id for row in plan.rows if row.kind == "test"]
    assert rows == (["total:heterogeneity", "total:effect"] if THEMES[theme].totals else [])


# -- contrast (WCAG 2.2: 4.5 for text, 3 for lines and marks) and a second code beside colour --------------


@pytest.mark.parametrize("name", THEMES)
def test_every_colour_of_a_theme_stands_out(name):
    theme = THEMES[name]
    for paper in filter(None, (theme.paper, theme.stripe)):
        for ink in (theme.ink, theme.grey):
            assert contrast(ink, paper) >= TEXT_CONTRAST
        for mark in (theme.pale, theme.study, theme.pooled, theme.subtotal, *theme.palette):
            assert contrast(mark, paper) >= LINE_CONTRAST
    assert len(set(theme.palette)) == len(theme.palette)


@pytest.mark.parametrize("name", THEMES)
def test_what_is_drawn_stands_out(name, make_effects, derived):
    es = make_effects(8, derived=derived(8), oriented=True)
    ax = forest(mx.stratify(es, by="source"), theme=name, columns=[mx.plots.Column("bias", kind="risk")])
    theme = THEMES[name]
    papers = [paper for paper in (theme.paper, theme.stripe) if paper]
    signs = {"+", "?", "\N{MINUS SIGN}"}
    for text in all_texts(ax):
        if text.get_text() not in signs:
            assert all(contrast(to_hex(text.get_color()), paper) >= TEXT_CONTRAST for paper in papers)
    for line in ax.lines:
        assert all(contrast(to_hex(line.get_color()), paper) >= LINE_CONTRAST for paper in papers)
    for group in ax.collections:
        edges = [to_hex(color) for color in group.get_edgecolors()] or [
            to_hex(color) for color in group.get_facecolors()
        ]
        assert all(contrast(edge, paper) >= LINE_CONTRAST for edge in edges for paper in papers)


def test_what_color_says_a_second_sign_says_too(make_effects, derived):
    """Studies are squares, pooled effects diamonds, derived values hollow; all in one grey."""
    es = make_effects(8, derived=derived(8))
    grey = Theme(name="grey", study="#444444", pooled="#444444", subtotal="#444444", palette=("#444444",))
    plan = forest_plan(mx.stratify(es, by="source"), theme=grey)
    signs = {
        (row.kind, row.how): (row.mark.shape, row.mark.hollow) for row in plan.rows if row.mark is not None
    }
    assert len(set(signs.values())) >= 5
    assert signs["study", "reported"] == ("square", False)
    assert signs["study", "converted"] == ("square", True)
    assert signs["study", "assumed"] == ("circle", True)
    assert signs["total", ""] == ("diamond", False)
    assert signs["prediction", ""] == ("bar", False)


# -- files -------------------------------------------------------------------------------------------------


def test_an_svg_holds_text_title_and_description(make_effects, tmp_path):
    names = ["Li & Wu <2020>", "王 2021", "Cho \x07 2022"]
    es = make_effects(3, labels=names)
    path = save(forest(mx.RandomEffects(es).fit(), columns=[], title="Scar & burn"), tmp_path / "a.svg")
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text == "Scar & burn"
    described = root.find(f"{SVG}desc").text
    assert "3 effects" in described
    assert "All studies" in described
    written = {"".join(text.itertext()).strip() for text in root.iter(f"{SVG}text")}
    assert written >= {"Li & Wu <2020>", as_fonts_allow("王 2021"), "Cho  2022", "Scar & burn", "Study"}
    own = save(forest(es), tmp_path / "b.svg", title="Mine", description="What is seen")
    root = ElementTree.fromstring(own.read_text(encoding="utf-8"))
    assert (root.find(f"{SVG}title").text, root.find(f"{SVG}desc").text) == ("Mine", "What is seen")


def test_files_of_every_kind_hold_what_they_should(make_effects, tmp_path):
    ax = forest(make_effects(3), title="A title")
    width, height = ax.figure.get_size_inches()
    files = {
        ending: save(ax, tmp_path / f"figure.{ending}") for ending in ("svg", "pdf", "png", "tiff", "eps")
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in files.values())
    for ending in ("png", "tiff"):
        with Image.open(files[ending]) as picture:
            assert picture.size == pytest.approx((300 * width, 300 * height), abs=1)
            assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    pdf = files["pdf"].read_bytes()
    assert b"/FontFile2" in pdf, "TrueType"
    assert b"/Subtype /Type3" not in pdf
    assert re.search(rb"/MediaBox \[ 0 0 504(\.\d+)? \d", pdf)
    assert b"/FontType 42" in files["eps"].read_bytes()
    assert files["eps"].read_bytes().startswith(b"%!PS-Adobe-3.0 EPSF")
    assert not re.search(rb"CreationDate|figure\.eps", files["eps"].read_bytes()), "the same bytes anywhere"
    with Image.open(save(ax, tmp_path / "small.png", dpi=72)) as picture:
        assert picture.size == pytest.approx((72 * width, 72 * height), abs=1)


@pytest.mark.parametrize("ending", ["svg", "png", "pdf", "tiff"])
def test_the_same_figure_gives_the_same_bytes_in_every_format(make_effects, tmp_path, ending):
    fit = mx.stratify(make_effects(5, "RR"), by="source")
    one, two = (save(forest(fit), tmp_path / f"{name}.{ending}", dpi=72) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


# -- pages -------------------------------------------------------------------------------------------------


def test_rows_go_on_on_further_pages_with_headings_and_heads_repeated(make_effects, tmp_path):
    es = make_effects(90)
    results = mx.stratify(es, by="source")
    whole = forest_plan(results)
    plan = forest_plan(results, pages=20, title="Sources")
    pages = (plan, *plan.more)
    found = [row.id for page in pages for row in page.rows if row.kind not in ("spacer", "rule")]
    wanted = [row.id for row in whole.rows if row.kind not in ("spacer", "rule")]
    assert [name for name in found if ":page" not in name] == wanted
    assert len(pages) > 4
    for number, page in enumerate(pages, start=1):
        seen = [row for row in page.rows if row.kind not in ("spacer", "rule")]
        assert len(seen) <= 20
        assert seen[-1].kind != "head"
        assert seen[0].kind != "study", "studies stand under their head on every page"
        assert (page.axis, page.columns, page.title) == (
            plan.axis,
            plan.columns,
            f"Sources ({number} of {len(pages)})",
        )
        assert bool(page.notes) == (number == len(pages))
    repeated = [row for page in pages[1:] for row in page.rows if ":page" in row.id]
    assert repeated
    assert all(row.text[0].endswith("(continued)") for row in repeated)
    ax = forest(plan)
    drawn = pages_of(ax)
    assert len(drawn) == len(pages)
    assert [len(points(page)) for page in drawn] == [
        sum(row.kind == "study" for row in page.rows) for page in pages
    ]
    assert all(overlapping_texts(page) == [] for page in drawn)
    assert plan.to_frame().query("kind == 'study'").shape[0] == 90
    path = save(ax, tmp_path / "pages.pdf")
    assert len(re.findall(rb"/Type /Page\b", path.read_bytes())) == len(pages)


def test_forty_rows_are_a_page_if_nothing_else_is_said(make_effects):
    plan = forest_plan(make_effects(100), pages=True)
    assert [len(page.rows) for page in (plan, *plan.more)] == [40, 40, 20]
    assert forest_plan(make_effects(40), pages=True).more == ()
    assert forest_plan(make_effects(100)).more == ()
    assert max(page.height for page in (plan, *plan.more)) < 11.0, "a page of letter paper"


# -- the size and the letters of the figure ----------------------------------------------------------------


def test_letters_have_the_size_that_is_asked_for(make_effects):
    es = make_effects(4)
    for size in (7.0, 9.5, 14.0):
        plan = forest_plan(es, font_size=size, columns=[])
        ax = forest(plan)
        assert {text.size for text in texts(ax)} == {size}
        assert plan.theme.small == max(7.0, size - 1)
        assert overlapping_texts(ax) == []
    with pytest.raises(InputError, match="font_size"):
        forest_plan(es, font_size=6.5)
    assert get_theme("bmj", 10.0).study == THEMES["bmj"].study


def test_a_given_height_is_kept_and_rows_share_the_room(make_effects):
    es = make_effects(6)
    low, tall = forest_plan(es), forest_plan(es, height=4.0)
    assert tall.height == 4.0
    assert np.ptp([row.height for row in tall.rows]) < 0.02
    assert tall.rows[0].height > low.rows[0].height
    ax = forest(tall)
    assert ax.figure.get_size_inches()[1] == 4.0
    assert overlapping_texts(ax) == []
    with pytest.raises(InputError, match="height=") as error:
        forest_plan(make_effects(60), height=4.0)
    enough = float(re.search(r"height=([\d.]+)", str(error.value))[1])
    assert forest_plan(make_effects(60), height=enough).height == enough


def test_a_width_that_is_too_small_is_refused_with_one_that_is_enough(make_effects):
    es = make_effects(3)
    columns = ["source", "isolation", "animals", "dose", "bias"]
    with pytest.raises(InputError, match="width=") as error:
        forest_plan(es, width=3.0, columns=columns)
    enough = float(re.search(r"width=([\d.]+)", str(error.value))[1])
    assert overlapping_texts(forest(es, width=enough, columns=columns)) == []


# -- plans of what was drawn -------------------------------------------------------------------------------


def test_a_figure_has_the_plans_of_what_stands_in_it(make_effects):
    fit = mx.RandomEffects(make_effects(4)).fit()
    figure, (one, other) = plt.subplots(ncols=2, figsize=(9, 4))
    mx.plots.funnel(fit, title="Earlier", ax=one)
    mx.plots.funnel(fit, title="Beside", ax=other)
    one.clear()
    mx.plots.radial(fit, title="Later", ax=one)
    assert [plan.title for plan in mx.plots.plans_of(figure)] == ["Beside", "Later"]
    other.remove()
    assert [plan.title for plan in mx.plots.plans_of(figure)] == ["Later"]
    figure.clf()
    mx.plots.funnel(fit, title="Anew", ax=figure)
    assert [plan.title for plan in mx.plots.plans_of(figure)] == ["Anew"]
    inset = figure.axes[0].inset_axes((0.6, 0.6, 0.4, 0.4))
    mx.plots.funnel(fit, title="Inset", ax=inset)
    assert [plan.title for plan in mx.plots.plans_of(figure)] == ["Anew", "Inset"]


@pytest.mark.parametrize("paper", ["#f0f0f0", "#fff8e7", "#202020"])
def test_bands_are_seen_on_the_paper_of_the_user(paper):
    usual = THEMES["metaexo"]
    with mpl.rc_context({"figure.facecolor": paper}):
        theme = get_theme()
    assert theme.paper == paper
    assert contrast(theme.track, theme.paper) > 0.97 * contrast(usual.track, usual.paper)


# -- colours of groups for readers who are colour blind ----------------------------------------------------

# Linear RGB as it is seen without cones of one kind: Machado, G. M., Oliveira, M. M., Fernandes, L. A. F.
# (2009), severity 1.0. https://doi.org/10.1109/TVCG.2009.113
SEEN = {
    "all cones": np.eye(3),
    "no red": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "no green": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "no blue": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
TO_XYZ = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.072175],
    [0.0193339, 0.119192, 0.9503041],
]


def lab(color, seen):
    """Return a colour in CIE L*a*b* (D65) as it is seen."""
    shares = np.array(mpl.colors.to_rgb(color))
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    x, y, z = TO_XYZ @ np.clip(np.array(seen) @ linear, 0.0, 1.0) / [0.95047, 1.0, 1.08883]
    x, y, z = (t ** (1 / 3) if t > 216 / 24389 else 841 / 108 * t + 4 / 29 for t in (x, y, z))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("name", THEMES)
def test_groups_of_one_shape_differ_in_colour_for_readers_who_are_colour_blind(name, seen):
    theme = THEMES[name]
    signs = [group_sign(position) for position in range(30)]
    seen_as = [lab(theme.color(color), SEEN[seen]) for color, _ in signs]
    pairs = [(i, j) for i in range(30) for j in range(i) if signs[i][1] == signs[j][1]]
    assert len(pairs) == 30
    pairs += [(i, j) for i in range(4) for j in range(i)]  # the first groups, whatever their shape
    for i, j in pairs:
        assert np.linalg.norm(seen_as[i] - seen_as[j]) > 15.0, (i, j)


def test_a_star_has_about_the_area_of_a_circle():
    layers = [Points(x=[i], y=[0.0], shape=shape, size=10.0) for i, shape in enumerate(("circle", "star"))]
    plan = replace(mx.plots.funnel_plan(mx.EffectSizes([0.1, 0.2], [0.1, 0.1])), notes=())
    panel = replace(plan.panels[0], layers=layers, x=ChartAxis(), y=ChartAxis())
    ax = replace(plan, panels=(panel,)).draw()
    areas = []
    for marks in ax.collections:
        (corners,) = marks.get_paths()[0].transformed(Affine2D(marks.get_transforms()[0])).to_polygons()
        x, y = corners.T
        areas.append(0.5 * abs(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])))
    assert areas[1] / areas[0] == pytest.approx(1.0, abs=0.25)


def test_a_chart_takes_the_place_of_a_map_or_table_in_the_same_axes(make_effects):
    fit, table = mx.RandomEffects(make_effects(5)).fit(), mx.load_dataset("bcg")
    alone = mx.plots.funnel(fit, ax=plt.figure(figsize=(9, 6)).add_subplot())
    ax = plt.figure(figsize=(9, 6)).add_subplot()
    for draw in (
        lambda: mx.plots.evidence_map(table, "allocation", "study", ax=ax),
        lambda: forest(fit, title="A forest", ax=ax),
    ):
        draw()
        mx.plots.funnel(fit, ax=ax)
        for one in (ax, alone):
            one.figure.draw_without_rendering()
        assert ax.get_window_extent().bounds == pytest.approx(alone.get_window_extent().bounds)
        shown = [sorted(text.get_text() for text in all_texts(one)) for one in (ax, alone)]
        assert shown[0] == shown[1]
        assert len(mx.plots.plans_of(ax)) == 1
