"""Charts of the effects of a fit fit in every theme and width, whatever the names are."""

from __future__ import annotations

from functools import cache

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.plots import THEMES, overlapping_texts
from tests.combined import combined
from tests.plots.drawn import all_texts
from tests.plots.test_it_fits import LONG, UNICODE

pytestmark = pytest.mark.long
KINDS = ("along a number", "along a factor", "lines per level", "orchard", "strata", "caterpillar", "drapery")
KINDS += ("funnel", "funnel of residuals", "radial", "normal quantile", "labbe", "doi")
KINDS += ("funnel with filled studies", "funnel with lines", "specification curve")
OF_BIAS = ("sunset", "p curve", "selection weights", "copas")
KINDS += OF_BIAS
WITH_REFITS = (*KINDS, "baujat", "gosh")
GROUPS = (LONG, *UNICODE[:3])


def effects(k, measure):
    """Return k effects of groups with names that are hard to set."""
    draws = np.random.default_rng(k)
    names = [GROUPS[i % 4] for i in range(k)]
    data = pd.DataFrame({"dose": draws.uniform(1, 9, k), "group": names, "setting": ["a", "b"] * (k // 2)})
    labels = [(LONG, *UNICODE)[i % 7] for i in range(k)]
    return mx.EffectSizes(
        draws.normal(0.3, 0.5, k), draws.uniform(0.02, 0.3, k), measure, labels=labels, data=data
    )


def with_events(es):
    """Return odds ratios with the events of two groups in their data."""
    draws = np.random.default_rng(es.k)
    people = draws.integers(20, 90, (2, es.k))
    counts = {
        f"{group}_{what}": values
        for group, n in zip(("treatment", "control"), people, strict=True)
        for what, values in (("events", draws.binomial(n, 0.3)), ("n", n))
    }
    return mx.EffectSizes(es.y, es.v, "OR", labels=es.labels, data=es.data.assign(**counts))


def drawing(kind, es, **look):
    """Return the Axes of a kind of chart."""
    if kind == "along a number":
        return mx.plots.bubble(mx.RandomEffects(es, "dose").fit(), labels="all", color_by="group", **look)
    if kind == "along a factor":
        return mx.plots.bubble(mx.RandomEffects(es, "group + dose").fit(), color_by="setting", **look)
    if kind == "lines per level":
        return mx.plots.bubble(mx.RandomEffects(es, "dose * group").fit(), color_by="group", **look)
    if kind == "orchard":
        return mx.plots.orchard(mx.RandomEffects(es, "group").fit(), **look)
    if kind == "strata":
        return mx.plots.orchard(mx.stratify(es, by="group"), **look)
    if kind == "caterpillar":
        return mx.plots.caterpillar(mx.RandomEffects(es).fit(), color_by="group", true_effects=True, **look)
    if kind in OF_BIAS:
        return of_bias(kind, es, **look)
    if kind == "baujat":
        return mx.plots.baujat(refits_of(kind, es.k, es.measure.code), labels="all", **look)
    if kind == "gosh":
        return mx.plots.gosh(refits_of(kind, es.k, es.measure.code), highlight=f"{LONG} 0", **look)
    if kind == "funnel of residuals":
        return mx.plots.funnel(mx.RandomEffects(es, "dose").fit(), by="group", labels="outside", **look)
    return of_one_mean(kind, es, **look)


@cache
def copas_of(k, measure):
    """Return the Copas selection model, which takes its time, of k effects."""
    return mx.bias.copas_selection(effects(k, measure))


@cache
def refits_of(kind, k, measure):
    """Return the numbers of a Baujat plot, or a few random subsets, of k effects with labels of their own."""
    es = effects(k, measure)
    es = mx.EffectSizes(es.y, es.v, measure, labels=[f"{name} {i}" for i, name in enumerate(es.labels)])
    fit = mx.RandomEffects(es).fit(method="DL", test="z")
    return mx.sensitivity.baujat(fit) if kind == "baujat" else mx.sensitivity.gosh(fit, 500)


def of_bias(kind, es, **look):
    """Return the Axes of a kind of chart that needs a value of no effect."""
    if es.measure.code == "PLO":
        es = mx.EffectSizes(es.y, es.v, "OR", labels=es.labels)
    if kind == "sunset":
        return mx.plots.sunset(es, labels="all", **look)
    if kind == "selection weights":
        models = {name: mx.bias.selection_model(es, cuts=0.025, alternative="greater") for name in GROUPS[:2]}
        return mx.plots.selection_weights(models, **look)
    if kind == "copas":
        return mx.plots.copas(copas_of(es.k, es.measure.code), **look)
    return mx.plots.p_curve(es, **look)


def of_one_mean(kind, es, **look):
    """Return the Axes of a kind of chart of a fit without moderators."""
    if kind == "labbe":
        return mx.plots.labbe(mx.RandomEffects(with_events(es)).fit(), by="group", labels="all", **look)
    if kind == "specification curve":
        choices = {
            "include": {LONG: None, **{name: f"dose > {i + 2}" for i, name in enumerate(UNICODE[:3])}},
            "method": ["REML", "DL", "EE"],
            LONG: {"all": lambda effects: effects, UNICODE[3]: lambda effects: effects.select(effects.y < 1)},
        }
        return mx.plots.specification_curve(mx.sensitivity.multiverse(es, choices), **look)
    fit = mx.RandomEffects(es).fit()
    if kind == "funnel with filled studies":
        tf = mx.bias.trim_and_fill(fit, side="left")
        return mx.plots.funnel(tf, by="group", labels="all", **look)
    if kind == "funnel with lines":
        over = [mx.bias.regression_test(fit, "se"), mx.bias.pet_peese(fit), mx.bias.limit_meta_analysis(fit)]
        return mx.plots.funnel(fit, overlays=over, by="group", labels="all", **look)
    if kind == "drapery":
        return mx.plots.drapery(fit, **look)
    if kind == "funnel":
        look["contours"] = es.measure.code != "PLO"
    draw = getattr(mx.plots, kind.replace(" ", "_"))
    return draw(fit, by="group", labels="all", **look)


def check(ax):
    """All texts stand apart, within the figure, in letters of 7 points at least."""
    assert overlapping_texts(ax) == []
    assert min(text.get_fontsize() for text in all_texts(ax)) >= 7.0


# Every kind meets three themes, and every theme a third of the kinds.
THIRD = [(theme, kind) for i, theme in enumerate(THEMES) for j, kind in enumerate(KINDS) if (i + j) % 3 == 0]


@pytest.mark.parametrize(("theme", "kind"), THIRD)
def test_every_theme_fits(theme, kind):
    check(drawing(kind, effects(24, "RR"), theme=theme, title=LONG * 2, notes=[LONG * 3]))


@combined(look=[{"width": 3.5}, {"font_size": 12.0}, {"width": 11.0, "height": 6.0}], kind=WITH_REFITS)
def test_every_width_and_size_of_letters_fits(look, kind):
    check(drawing(kind, effects(24, "PLO"), title=LONG, **look))


@pytest.mark.parametrize(
    ("kind", "measure"), [(kind, ("ZCOR", "SMD")[i % 2]) for i, kind in enumerate(WITH_REFITS)]
)
def test_letters_of_a_screen_fit_too(kind, measure):
    """They are wider than those of a file of vectors, which ``overlapping_texts`` looks at."""
    ax = drawing(kind, effects(40, measure), title=LONG * 2, notes=[LONG * 4])
    with mpl.rc_context({"text.hinting": "force_autohint"}):
        ax.figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in all_texts(ax)]
    wide = ax.figure.bbox.width
    assert [box for box in boxes if not (box.x0 > 0 and box.x1 < wide)] == []
