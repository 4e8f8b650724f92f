"""Traffic lights and bars of the risk of bias: the numbers, the signs, and what is drawn."""

from __future__ import annotations

import re
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.evidence import bias_tool, read_risk_of_bias
from metaexo.evidence.risk_of_bias.tool import judgements
from metaexo.plots.canvas.fonts import contrast
from metaexo.plots.canvas.theme import THEMES

LONG = "A randomised trial of umbilical cord exosomes in people with chronic wounds, 2021"


def table(k, tool="RoB 2", seed=0, names=None):
    made = bias_tool(tool)
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({key: rng.choice(made.words, k) for key in made.keys})
    if made.overall_is_worst:
        frame["overall"] = made.words[-1] if "no information" not in made.words else "critical"
    frame.insert(0, "study", names or [f"Author {2000 + i}" for i in range(k)])
    return frame


def drawn_signs(ax):
    """Return the signs that stand in the cells, by place."""
    found = {}
    for text in ax.texts:
        if text.get_text() in "+?−~!" and tuple(text.xyann) == (0.0, 0.0):
            x, y = text.xy
            found[round(float(x), 2), round(float(y))] = text.get_text()
    return found


def words(plan):
    """Return the words of the cells, one tuple per row."""
    frame = plan.to_frame()
    found = {row: tuple(part[frame.columns[2]]) for row, part in frame.groupby(frame.columns[0], sort=False)}
    return [found[row] for row in plan.rows]


@pytest.mark.parametrize("tool", ["RoB 2", "ROBINS-I", "SYRCLE"])
def test_every_cell_has_its_mark_and_its_sign(tool):
    frame = table(9, tool)
    plan = mx.plots.risk_of_bias_plan(frame, tool)
    ax = mx.plots.risk_of_bias(plan)
    signs = drawn_signs(ax)
    assert len(signs) == 9 * len(plan.columns)
    known = judgements()
    for i, said in enumerate(words(plan)):
        assert list(said) == [str(word) for word in frame.iloc[i, 1:]]
        for place, word in zip(plan.places, said, strict=True):
            assert signs[round(place, 2), i] == known[word].sign
    marks = {
        (round(float(x), 2), round(float(y))): to_hex(color)
        for collection in ax.collections
        if isinstance(collection, PathCollection)
        for (x, y), color in zip(collection.get_offsets(), collection.get_facecolor(), strict=True)
    }
    assert marks == {
        (round(place, 2), i): known[word].color.lower()
        for i, said in enumerate(words(plan))
        for place, word in zip(plan.places, said, strict=True)
    }


def test_rows_stand_beside_their_studies():
    frame = table(5)
    ax = mx.plots.risk_of_bias(frame)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(frame["study"])
    assert list(ax.get_yticks()) == [0, 1, 2, 3, 4]
    assert ax.get_ylim() == (4.5, -0.5)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["D1", "D2", "D3", "D4", "D5", "Overall"]


def test_the_frame_is_the_table():
    frame = table(4, "SYRCLE")
    found = mx.plots.risk_of_bias_plan(frame, "SYRCLE").to_frame()
    wide = found.pivot(index="study", columns="domain", values="judgement")
    short = {domain.key: domain.short for domain in bias_tool("SYRCLE").domains}
    wanted = frame.set_index("study").rename(columns=short)
    assert wide.loc[wanted.index, wanted.columns].to_numpy().tolist() == wanted.to_numpy().tolist()
    assert set(found["sign"]) <= set("+?−")


def test_domains_are_named_below_or_above():
    frame = table(3)
    plan = mx.plots.risk_of_bias_plan(frame)
    for i, domain in enumerate(bias_tool("RoB 2").domains, 1):
        assert f"D{i}\N{NO-BREAK SPACE}{domain.name}" in plan.notes[0]
    animals = mx.plots.risk_of_bias_plan(table(3, "SYRCLE"), "SYRCLE").notes[0]
    assert "; Attrition bias: D8\N{NO-BREAK SPACE}Incomplete outcome data; " in animals
    short = mx.plots.risk_of_bias_plan(frame, headings="short", notes=["A note."])
    assert short.notes == ("A note.",)
    assert short.headings[0] == "Randomization process"
    _, ax = plt.subplots(figsize=(7, 5))
    assert mx.plots.risk_of_bias_plan(frame, ax=ax).headings == short.headings
    with pytest.raises(UnknownChoiceError) as caught:
        mx.plots.risk_of_bias_plan(frame, headings="numbers")
    assert caught.value.nearest == "number"


def test_the_overall_judgement_stands_apart():
    plan = mx.plots.risk_of_bias_plan(table(3))
    steps = np.diff(plan.places)
    assert steps[-1] > steps[0] == steps[1]
    alone = mx.plots.risk_of_bias_plan(table(3).drop(columns="overall"))
    assert set(np.diff(alone.places)) == {1.0}


def test_signs_and_edges_have_contrast_on_every_paper():
    for judgement in judgements().values():
        if judgement.sign:
            assert contrast(THEMES["metaexo"].text_on(judgement.color), judgement.color) >= 4.5
        for theme in THEMES.values():
            edge = theme.edge(judgement.color)
            assert max(contrast(color, theme.paper) for color in (judgement.color, edge)) >= 3


# Machado, Oliveira and Fernandes (2009), complete loss: linear red, green and blue as they are seen.
SEEN = {
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.01182, 0.04294, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.3039),
    ),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(color, seen):
    """Return the place of a colour in CIELAB, as seen without one kind of cones."""
    part = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ @ np.clip(np.array(seen) @ linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = [np.cbrt(one) if one > 0.008856 else 7.787 * one + 16 / 116 for one in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("tool", ["RoB 2", "ROBINS-I", "SYRCLE"])
@pytest.mark.parametrize("blindness", SEEN)
def test_colours_are_safe_for_colour_blind_readers(tool, blindness):
    for one, other in combinations(bias_tool(tool).judgements, 2):
        apart = lab(one.color, SEEN[blindness]) - lab(other.color, SEEN[blindness])
        assert np.linalg.norm(apart) > 25  # 2 is a difference that is just seen


@pytest.mark.parametrize(
    ("k", "theme"), [*((3, theme) for theme in sorted(THEMES)), *((k, "metaexo") for k in (1, 2, 13, 60))]
)
def test_no_texts_overlap(k, theme):
    names = [LONG if i % 3 == 0 else f"陈 and Ångström {2000 + i}" for i in range(k)]
    names = [f"{name} {i}" for i, name in enumerate(names)]
    frame = table(k, names=names)
    for ax in (
        mx.plots.risk_of_bias(frame, theme=theme, title=LONG),
        mx.plots.risk_of_bias(frame, headings="short", theme=theme),
        mx.plots.risk_of_bias_summary(frame, theme=theme, title=LONG, weights=range(1, k + 1)),
    ):
        assert mx.plots.overlapping_texts(ax.figure) == []
        assert min(text.get_fontsize() for text in ax.figure.findobj(plt.Text)) >= 7


@pytest.mark.parametrize("tool", ["ROBINS-I", "SYRCLE"])
def test_other_tools_do_not_overlap(tool):
    frame = table(7, tool)
    for ax in (
        mx.plots.risk_of_bias(frame, tool),
        mx.plots.risk_of_bias(frame, tool, headings="short", width=3.6),
        mx.plots.risk_of_bias_summary(frame, tool),
        mx.plots.risk_of_bias_summary(frame, tool, width=3.6),
    ):
        assert mx.plots.overlapping_texts(ax.figure) == []


def test_axes_and_parts_of_a_figure_hold_them():
    frame = table(6)
    figure = plt.figure(figsize=(10, 4))
    left, right = figure.subfigures(1, 2)
    ax = mx.plots.risk_of_bias(frame, ax=left)
    mx.plots.risk_of_bias_summary(frame, ax=right)
    assert ax.figure is left
    assert mx.plots.overlapping_texts(figure) == []
    figure, both = plt.subplots(1, 2, figsize=(11, 4.5))
    assert mx.plots.risk_of_bias(frame, ax=both[0]) is both[0]
    mx.plots.risk_of_bias_summary(frame, ax=both[1])
    assert mx.plots.overlapping_texts(figure) == []
    assert len(mx.plots.plans_of(figure)) == 2
    assert not both[1].spines["top"].get_visible()
    assert {text.get_fontsize() for text in both[1].get_xticklabels()} == {7.0}


def test_a_place_that_is_too_small_is_refused():
    _, ax = plt.subplots(figsize=(7, 3))
    with pytest.raises(InputError, match="inches"):
        mx.plots.risk_of_bias(table(60), ax=ax)
    with pytest.raises(InputError, match="inches"):
        mx.plots.risk_of_bias_summary(table(3), height=1.0)
    weights = {"weights": [1, 2, 3], "title": "Weighted"}
    with pytest.raises(InputError, match="a width of 2 inches") as caught:
        mx.plots.risk_of_bias_summary_plan(table(3), width=2.0, **weights)
    width = float(re.search(r"width=([\d.]+)", caught.value.remedy)[1])
    ax = mx.plots.risk_of_bias_summary(table(3), width=width, **weights)
    assert mx.plots.overlapping_texts(ax.figure) == []


def test_many_studies_are_drawn_or_refused():
    plan = mx.plots.risk_of_bias_plan(table(150))
    assert len(drawn_signs(mx.plots.risk_of_bias(plan))) == 150 * 6
    with pytest.raises(InputError, match="1000 rows") as caught:
        mx.plots.risk_of_bias_plan(table(1000))
    assert "pages=True" in caught.value.remedy
    bars = mx.plots.risk_of_bias_summary_plan(table(1000)).to_frame()
    assert bars.groupby("domain")["count"].sum().tolist() == [1000.0] * 6


def test_studies_go_on_on_further_pages(tmp_path):
    frame = table(95)
    plan = mx.plots.risk_of_bias_plan(frame, pages=True, title="Risk of bias")
    assert [len(page.rows) for page in (plan, *plan.more)] == [40, 40, 15]
    assert [page.title for page in (plan, *plan.more)] == [f"Risk of bias ({i} of 3)" for i in (1, 2, 3)]
    assert plan.to_frame()["study"].unique().tolist() == frame["study"].tolist()
    assert plan.describe().startswith("95 studies by 6 domains")
    ax = mx.plots.risk_of_bias(plan)
    pages = mx.plots.pages_of(ax)
    assert [len(page.get_yticklabels()) for page in pages] == [40, 40, 15]
    assert all(mx.plots.overlapping_texts(page.figure) == [] for page in pages)
    names = [label.get_text() for page in pages for label in page.get_yticklabels()]
    assert names == frame["study"].tolist()
    assert mx.plots.save(ax, tmp_path / "all.pdf").stat().st_size > 10_000
    whole = mx.plots.risk_of_bias_plan(table(1000), pages=50)
    assert len(whole.more) == 19
    with pytest.raises(InputError, match="at most 200"):
        mx.plots.risk_of_bias_plan(table(1000), pages=300)


def test_bars_show_the_shares():
    frame = table(8)
    plan = mx.plots.risk_of_bias_summary_plan(frame)
    counts = read_risk_of_bias(frame).counts()
    found = plan.to_frame()
    assert found["count"].tolist() == counts.to_numpy().ravel().tolist()
    assert np.allclose(found.groupby("domain")["share"].sum(), 1.0, rtol=1e-14)
    ax = mx.plots.risk_of_bias_summary(plan)
    widths = {}
    for container in ax.containers:
        for bar in container:
            widths[round(bar.get_y() + bar.get_height() / 2), container.get_label()] = bar.get_width()
    for i, key in enumerate(counts.index):
        for word in counts.columns:
            assert widths[i, judgements()[word].label] == pytest.approx(100 * counts.loc[key, word] / 8)
    numbers = [text.get_text() for text in ax.texts if text.get_text().isdigit()]
    assert sorted(numbers) == sorted(str(n) for n in counts.to_numpy().ravel())


def test_each_judgement_has_a_hatch_of_its_own():
    ax = mx.plots.risk_of_bias_summary(table(12, "ROBINS-I"), "ROBINS-I")
    hatches = {container.get_label(): container[0].get_hatch() for container in ax.containers}
    assert len(set(hatches.values())) == len(hatches) == 5
    legend = ax.get_legend()
    keys = [patch for patch in legend.findobj(Rectangle) if patch is not legend.get_frame()]
    assert [key.get_hatch() for key in keys] == list(hatches.values())
    signs = [text.get_text() for text in legend.findobj(plt.Text) if len(text.get_text()) == 1]
    assert signs == [one.sign for one in bias_tool("ROBINS-I").judgements]


def test_bars_are_weighted_as_the_fit():
    frame = table(3, names=["a", "b", "c"])
    es = mx.EffectSizes([0.1, 0.3, 0.5, 0.2], [0.01, 0.04, 0.09, 0.02], study=["a", "b", "b", "c"])
    fit = mx.RandomEffects(es, dependence="accept").fit()
    found = mx.plots.risk_of_bias_summary_plan(frame, weights=fit)
    each = np.asarray(fit.weights)
    by_study = {"a": each[0], "b": each[1] + each[2], "c": each[3]}
    wanted = read_risk_of_bias(frame).counts(by_study)
    assert found.to_frame()["count"].tolist() == pytest.approx(wanted.to_numpy().ravel().tolist(), rel=1e-14)
    assert "weights of the pooled effect" in found.notes[0]
    multi = mx.Multilevel(es, "study").fit()
    shares = mx.plots.risk_of_bias_summary_plan(frame, weights=multi).to_frame()
    assert shares.groupby("domain")["count"].sum().tolist() == pytest.approx([1.0] * 6)
    slopes = mx.RandomEffects(es.with_columns(x=[1.0, 2, 3, 5]), "x", dependence="accept").fit()
    with pytest.raises(InputError, match="moderator"):
        mx.plots.risk_of_bias_summary_plan(frame, weights=slopes)


def test_what_nobody_judged_is_hollow():
    frame = table(4).replace("low", "not assessed")
    plan = mx.plots.risk_of_bias_plan(frame)
    key = plan.keys[-1]
    assert (key.label, key.color, key.text) == ("Not assessed", "paper", "")
    drawn = mx.plots.risk_of_bias(plan).get_legend().legend_handles[-1]
    assert contrast(to_hex(drawn.get_markeredgecolor()), plan.theme.paper) >= 3
    assert (
        len(drawn_signs(mx.plots.risk_of_bias(plan)))
        == (plan.to_frame()["judgement"] != "not assessed").sum()
    )
    assert mx.plots.risk_of_bias_summary_plan(frame).levels[-1].word == "not assessed"


def test_a_fill_that_does_not_stand_out_has_an_edge():
    tool = {"name": "Own", "domains": ["A"], "judgements": ["low", {"word": "high", "color": "#fffff0"}]}
    frame = pd.DataFrame({"study": ["a", "b"], "A": ["low", "high"]})
    for theme in ("metaexo", "dark"):
        ax = mx.plots.risk_of_bias(frame, tool, theme=theme)
        (marks,) = (one for one in ax.collections if isinstance(one, PathCollection))
        edges = [to_hex(color) for color in marks.get_edgecolor()]
        paper = THEMES[theme].paper
        fills = [to_hex(color) for color in marks.get_facecolor()]
        assert len(fills) == 2
        assert all(
            max(contrast(e, paper), contrast(f, paper)) >= 3 for e, f in zip(edges, fills, strict=True)
        )


def test_a_tool_of_ones_own_is_drawn():
    tool = {"name": "Vesicles", "domains": ["Purity", "Dose"], "judgements": ["low", "unclear", "high"]}
    frame = pd.DataFrame({"study": ["a", "b"], "Purity": ["low", "high"], "Dose": ["unclear", "low"]})
    plan = mx.plots.risk_of_bias_plan(frame, tool)
    assert plan.columns == ("Purity", "Dose")
    assert plan.describe() == "2 studies by 2 domains: low 2, unclear 1, high 1."
    assert "Vesicles" in mx.plots.risk_of_bias_summary_plan(frame, tool).describe()


def test_columns_of_a_forest_plot():
    record = read_risk_of_bias(table(3, names=["a", "b", "c"]))
    es = record.join(mx.EffectSizes([0.1, 0.3, 0.5], [0.01, 0.04, 0.09], study=["c", "a", "b"]))
    columns = mx.plots.risk_columns(record)
    assert [column.title for column in columns] == ["D1", "D2", "D3", "D4", "D5", "Overall"]
    assert {column.kind for column in columns} == {"risk"}
    assert all(column.key in es.data for column in columns)
    ax = mx.plots.forest(es, columns=columns)
    assert mx.plots.overlapping_texts(ax.figure) == []
    note = next(note for note in mx.plots.plans_of(ax)[0].notes if note.startswith("Risk of bias (RoB 2)"))
    assert "+ low, ? some concerns, − high" in note
    assert mx.plots.risk_columns(record, prefix="x_")[0].key == "x_randomization"


def test_judgements_of_ones_own_stand_in_a_forest_plot():
    tool = {"name": "Own", "domains": ["A"], "judgements": ["low", {"word": "doubtful", "sign": "d"}]}
    frame = pd.DataFrame({"study": ["a", "b"], "A": ["doubtful", "low"]})
    record = read_risk_of_bias(frame, tool)
    es = record.join(mx.EffectSizes([0.1, 0.3], [0.01, 0.04], study=["a", "b"]))
    ax = mx.plots.forest(es, columns=mx.plots.risk_columns(record))
    texts = [text.get_text() for text in ax.figure.findobj(plt.Text)]
    assert texts.count("d") == texts.count("+") == 1
    with pytest.raises(InputError, match="tool of a column"):
        mx.plots.forest_plan(es, columns=[mx.plots.Column("rob_a", kind="risk", tool=tool)])


def test_a_record_keeps_its_tool():
    record = read_risk_of_bias(table(2, "SYRCLE"), "SYRCLE")
    assert len(mx.plots.risk_of_bias_plan(record).columns) == 10
    assert len(mx.plots.risk_of_bias_summary_plan(record, "syrcle").domains) == 10
    with pytest.raises(InputError, match="by SYRCLE, and with it the tool ROBINS-I"):
        mx.plots.risk_of_bias_plan(record, "ROBINS-I")


def test_an_svg_says_what_is_seen(tmp_path):
    path = mx.plots.save(mx.plots.risk_of_bias(table(3), title="Risk of bias"), tmp_path / "a.svg")
    text = path.read_text(encoding="utf-8")
    assert "3 studies by 6 domains" in text
    assert ">D1</text>" in text or "D1<" in text
