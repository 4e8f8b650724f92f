"""Whatever is drawn fits: texts apart and inside, letters of 7 points, each study one mark at its value."""

from __future__ import annotations

import itertools
import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.plots import THEMES, forest, forest_plan, overlapping_texts
from tests.combined import some_of
from tests.plots.drawn import AT_EDGE, all_texts, points, texts

LONG = "Exosomes of umbilical cord stem cells for the healing of diabetic wounds, arm B"
UNICODE = (
    "王小明 2021, 山田太郎",
    "محمد العلي 2020",
    "Cafe\u0301 Noe\u0308l 2019 o\u0323\u0302",
    "C\x00\x1b[31m\u200b tab\tbell\x07 2018",
    "Ωμέγα Привет 2022",
    "Ⅳ № 🧪 <b>&amp; $x_1^2$",
)
BACK = {"RR": np.exp, "PLO": lambda y: 1 / (1 + np.exp(-y)), "ZCOR": np.tanh}
KINDS = ("fit", "strata", "multilevel")


def effects(k, measure, labels=(LONG, *UNICODE)):
    """Return k effects under labels that are hard to set, two of each laboratory's."""
    draws = np.random.default_rng(k)
    data = pd.DataFrame({"source": [("plant", "milk", "urine")[i // 2 % 3] for i in range(k)]})
    return mx.EffectSizes(
        draws.normal(0.3, 0.5, k),
        draws.uniform(0.02, 0.3, k),
        measure,
        labels=[labels[i % len(labels)] for i in range(k)],
        study=[f"laboratory {i // 2}" for i in range(k)],
        data=data,
        oriented=True,
    )


def results(kind, es):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.MetaexoWarning)
        if kind == "fit":
            return mx.RandomEffects(es, dependence="accept").fit(method="DL" if es.k > 2 else "EE")
        if kind == "strata":
            return mx.stratify(es, by="source", method="DL")
        return mx.Multilevel(es, "study").fit()


def check_marks(ax, plan, es):
    """Every study has one mark, at its value, at the height of its name; the table says the same."""
    rows = {row.id: row for row in plan.rows if row.kind == "study"}
    shown = BACK[es.measure.code](es.y)
    marks, beyond = points(ax), points(ax, AT_EDGE)
    table = plan.to_frame().query("kind == 'study'").set_index("id")
    assert beyond == []
    at = {}
    for x, y, *_ in marks:
        at.setdefault(y, []).append(x)
    labels = {}
    for text in texts(ax):
        if text.x < plan.columns[0].right:
            labels.setdefault(round(text.y, 2), []).append(text)
    ys = np.array(sorted(labels))
    assert len(rows) == len(table) == es.k
    for name, value in zip(es.row_ids, shown, strict=True):
        row = rows[f"study:{name}"]
        assert at[row.y] == [pytest.approx(value, rel=1e-9)]
        assert table.loc[row.id, "estimate"] == pytest.approx(value, rel=1e-9)
        half = row.height / 2
        lines = [t for y in ys[(ys > row.y - half) & (ys < row.y + half)] for t in labels[y]]
        assert np.mean([line.y for line in lines]) == pytest.approx(row.y, abs=0.01)
        assert tuple(line.text for line in lines) == row.cells["label"]


def check_texts(ax):
    assert overlapping_texts(ax) == []
    assert min(text.get_fontsize() for text in all_texts(ax)) >= 7.0


# Every theme meets every kind and every measure once, and over the themes every kind every measure.
SQUARE = [
    (theme, kind, list(BACK)[(i + j) % 3]) for i, theme in enumerate(THEMES) for j, kind in enumerate(KINDS)
]


@pytest.mark.parametrize(("theme", "kind", "measure"), SQUARE)
def test_every_theme_fits_every_kind(theme, kind, measure):
    es = effects(7, measure)
    plan = forest_plan(results(kind, es), theme=theme, title=LONG, notes=[LONG * 3], columns="source")
    ax = forest(plan)
    check_texts(ax)
    check_marks(ax, plan, es)


def judged(k):
    """Return a table of judgements of k studies with long names."""
    draws = np.random.default_rng(k)
    return pd.DataFrame(
        {
            "study": [f"{LONG} {i}" for i in range(k)],
            **{f"D{i}": draws.choice(["low", "some concerns", "high"], k) for i in range(1, 6)},
        }
    )


def adjusted(es):
    """Return a fit and adjusted estimates."""
    fit = results("fit", es)
    return [fit, mx.bias.trim_and_fill(fit), mx.bias.pet_peese(fit), mx.bias.waap_wls(fit)]


SCREEN = {
    "strata": lambda look: forest(results("strata", effects(13, "RR")), **look),
    "adjusted": lambda look: mx.plots.adjusted(adjusted(effects(13, "RR")), **look),
    "filled": lambda look: mx.plots.funnel(
        mx.bias.trim_and_fill(results("fit", effects(13, "RR")), side="left"), labels="all", **look
    ),
    "map": lambda look: mx.plots.evidence_map(judged(9), "study", "D1", by="D2", **look),
    "signs": lambda look: mx.plots.risk_of_bias(judged(9), **look),
    "flow": lambda look: mx.plots.flow(
        mx.Ledger(LONG, used=(2, 3, 4)).leave_out({3: LONG * 2}, "effect"), **look
    ),
    "fit": lambda look: forest(results("fit", effects(13, "RR")), **look),
    "multilevel": lambda look: forest(results("multilevel", effects(13, "RR")), **look),
    "left out": lambda look: forest(mx.sensitivity.leave_one_out(results("fit", effects(7, "RR"))), **look),
    "chart": lambda look: mx.plots.funnel(effects(13, "RR"), **look),
    "doi": lambda look: mx.plots.doi(effects(13, "RR"), labels="all", **look),
    "bars": lambda look: mx.plots.risk_of_bias_summary(judged(9), **look),
}


@pytest.mark.parametrize("kind", some_of(SCREEN, 6))
def test_letters_of_a_screen_fit_too(kind):
    """They are up to a tenth wider than those of a file of vectors, which ``overlapping_texts`` looks at."""
    ax = SCREEN[kind]({"title": LONG * 2, "notes": [LONG * 4, "Numbers of studies and of effects. " * 9]})
    figure = ax.figure
    # a change of resolution makes a new renderer, so that no width is remembered from the other hinting
    for hinting, dpi in itertools.product(("default", "force_autohint"), (72, 90, 100, 150, 300)):
        figure.set_dpi(dpi)
        with mpl.rc_context({"text.hinting": hinting}):
            figure.draw_without_rendering()
            boxes = {text.get_text(): text.get_window_extent() for text in all_texts(ax) if text.get_text()}
        edges = -0.5 * dpi / 72, figure.bbox.width + 0.5 * dpi / 72
        outside = [text for text, box in boxes.items() if box.x0 < edges[0] or box.x1 > edges[1]]
        assert outside == [], (dpi, hinting)


@pytest.mark.parametrize("kind", ["signs", "map", "flow"])
def test_letters_that_no_font_has_are_told(kind):
    """The last plane of Unicode is for private use, so that no font of a machine has its letters."""
    lacking = chr(0x10FFF0)
    frame = judged(3).replace({"study": {f"{LONG} 0": lacking}})
    ax = {
        "signs": lambda: mx.plots.risk_of_bias(frame),
        "map": lambda: mx.plots.evidence_map(frame, "study", "D1"),
        "flow": lambda: mx.plots.flow(mx.Ledger("a.csv", used=(2, 3)).leave_out({3: lacking}, "effect")),
    }[kind]()
    said = " ".join(text.get_text() for text in all_texts(ax))
    assert "no installed font has" in said
    assert lacking not in said
    assert overlapping_texts(ax.figure) == []
    assert "no installed font" not in " ".join(text.get_text() for text in all_texts(SCREEN[kind]({})))


@pytest.mark.parametrize(("width", "font_size"), [(4.6, None), (5.5, 9.0), (7.0, 12.0), (12.0, 7.0)])
def test_every_width_fits(width, font_size):
    es = effects(13, "RR")
    plan = forest_plan(results("strata", es), width=width, font_size=font_size, title=LONG)
    ax = forest(plan)
    check_texts(ax)
    check_marks(ax, plan, es)


@pytest.mark.parametrize(("k", "kind", "measure"), [
    (1, "fit", "RR"), (1, "strata", "PLO"), (5, "multilevel", "ZCOR"), (5, "fit", "PLO"),
    (40, "strata", "RR"), (40, "multilevel", "PLO"), (150, "fit", "ZCOR"), (150, "multilevel", "RR"),
    pytest.param(1000, "strata", "RR", marks=pytest.mark.long),
])  # fmt: skip
def test_every_number_of_rows_fits(k, kind, measure):
    es = effects(k, measure)
    plan = forest_plan(results(kind, es))
    ax = forest(plan)
    check_texts(ax)
    check_marks(ax, plan, es)


@pytest.mark.parametrize(
    ("kind", "width", "decimals"), [("strata", 6.0, 0), ("strata", 9.0, 2), ("fit", 5.0, 0)]
)
def test_what_each_side_favours_stays_in_the_figure(kind, width, decimals):
    words = "favours the group that was treated with exosomes from umbilical cord stem cells"
    choices = {"width": width, "decimals": decimals, "favours": (words, words), "weights": None}
    for limits, size in ((None, 9.0), ((0.8, 1.3), 8.0), ((0.01, 1.1), 11.0), ((0.9, 50.0), 9.0)):
        ax = forest(
            results(kind, effects(5, "RR")), limits=limits, font_size=size, columns="source", **choices
        )
        assert overlapping_texts(ax) == []


def test_a_page_without_marks_has_no_axis_and_nothing_below_it():
    fit = results("multilevel", effects(5, "RR"))
    plan = forest_plan(fit, totals=True, pages=10, favours=("fewer scars", "more scars"))
    pages = mx.plots.pages_of(forest(plan))
    assert [any(row.marks for row in page.rows) for page in (plan, *plan.more)] == [True, False]
    for page, one in zip((plan, *plan.more), pages, strict=True):
        assert ("fewer scars" in {text.text for text in texts(one)}) == page.has_axis
        assert overlapping_texts(one) == []


@pytest.mark.parametrize(("columns", "width"), [(1, 4.75), (2, 5.5), (3, 6.25), (3, 6.5)])
def test_words_are_broken_in_one_column_alone_where_that_will_do_and_not_in_names(columns, width):
    names = [
        "Edinburgh group",
        "Rosenthal et al",
        "Frimodt-Moller et al",
        "Ferguson & Simes",
        "Stein & Aronson",
    ]
    data = pd.DataFrame(
        {
            "place": ["Edinburgh", "Johannesburg", "Stockholm", "Copenhagen", "Northern Ireland"],
            "design": ["randomised trial", "cohort", "crossover trial", "registry", "case series"],
            "cells": ["umbilical cord", "adipose tissue", "bone marrow", "amniotic membrane", "platelets"],
        }
    )
    es = mx.EffectSizes([0.1, 0.4, 0.2, 0.5, 0.3], [0.02] * 5, "SMD", labels=names, data=data)
    keys = list(data.columns[:columns])
    plan = mx.plots.forest_plan(mx.RandomEffects(es).fit(), columns=keys, width=width)
    rows = [row for row in plan.rows if row.kind == "study"]
    given = {"label": names, **{key: data[key].tolist() for key in keys}}
    broken = {
        key
        for key, texts in given.items()
        for row, text in zip(rows, texts, strict=True)
        if " ".join(row.cells[key]) != text
    }
    assert len(broken) == 1
    assert "label" not in broken
