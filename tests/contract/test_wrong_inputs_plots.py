"""Wrong inputs to every public function of `metaexo.plots`: only the package's own errors."""

from __future__ import annotations

import inspect
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import metaexo as mx
from metaexo.errors import InputError, MetaexoError, UnknownChoiceError
from metaexo.plots.canvas.arguments import OWN_CHECKS, check_of

ES = mx.EffectSizes(
    [0.1, 0.5, 0.9, 0.3, 0.2, 0.8],
    [0.04, 0.05, 0.06, 0.04, 0.03, 0.05],
    labels=list("abcdef"),
    study=list("aabbcc"),
    data=pd.DataFrame(
        {
            "source": ["plant", "milk"] * 3,
            "isolation": ["SEC"] * 3 + ["UC"] * 3,
            "mixed": [1, "x", None, 2.5, "y", True],
            "dose": [1.0, 2, 3, 4, 5, 6],
        }
    ),
)
TABLE = pd.DataFrame(
    {
        "label": ["Li", "Cho"],
        "estimate": [0.5, 0.8],
        "low": [0.3, 0.6],
        "high": [0.9, 1.1],
        "source": ["plant", "milk"],
        "isolation": ["SEC", "UC"],
        "n": [3, 4],
        "yes": [True, False],
        "text": ["x", "y"],
        "gaps": [1.0, None],
    }
)


def quiet(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


MULTI = quiet(lambda: mx.Multilevel(ES, "study").fit())
NESTED = quiet(lambda: mx.Multilevel(ES, ["study", "effect"]).fit())  # with a variance to share out
EVENTS = mx.effect_sizes(
    "RR", treatment_events=[4, 6], treatment_n=[123, 306], control_events=[11, 29], control_n=[139, 303]
)
FIT = quiet(lambda: mx.RandomEffects(ES, dependence="accept").fit())
SLOPE = quiet(lambda: mx.RandomEffects(ES, "dose + source", dependence="accept").fit())
SWEEP = quiet(lambda: mx.rho_sweep(ES, [0.0, 0.5]))
FOUND = quiet(lambda: mx.attribute_heterogeneity(ES, draws=0, permutations=19))

PATHS = mx.sensitivity.multiverse(ES, {"method": ["REML", "DL"], "test": ["t", "z"]})
SELECTION = mx.bias.selection_model(ES)
COPAS = mx.bias.copas_selection(ES)
FILLED = mx.bias.trim_and_fill(FIT)
PERMUTED = mx.sensitivity.permutation_test(FIT, statistics=True)
BOOTSTRAP = mx.sensitivity.bootstrap(FIT, draws=99)

LEDGER = mx.Ledger.of_rows(4).leave_out({2: "no SD"}, "effect")
JUDGED = pd.DataFrame({"study": ["Li", "Cho"], **{f"D{i}": ["low", "high"] for i in range(1, 6)}})

EXCLUDED = mx.safety.exclusion_curve(mx.event_counts(events=[0, 1], n=[12, 30]))

# What each function is called with when nothing is wrong.
RIGHT = {
    "copas": (COPAS,),
    "copas_plan": (COPAS,),
    "adjusted": ([FIT, FILLED],),
    "adjusted_plan": (FILLED,),
    "attribution": (FOUND,),
    "attribution_plan": (FOUND,),
    "baujat": (FIT,),
    "baujat_plan": (mx.sensitivity.baujat(FIT),),
    "bootstrap": (BOOTSTRAP,),
    "bootstrap_plan": (BOOTSTRAP,),
    "bubble": (SLOPE,),
    "bubble_plan": (SLOPE,),
    "caterpillar": (ES,),
    "caterpillar_plan": (ES,),
    "doi": (ES,),
    "doi_plan": (FIT,),
    "drapery": (FIT,),
    "drapery_plan": (FIT,),
    "estimability": (ES,),
    "estimability_plan": (ES,),
    "evidence_map": (TABLE, "source", "isolation"),
    "evidence_map_plan": (TABLE, "source", "isolation"),
    "exclusion_curve": (EXCLUDED,),
    "exclusion_curve_plan": ({"common": EXCLUDED},),
    "flow": (LEDGER,),
    "flow_plan": (LEDGER,),
    "forest": (ES,),
    "forest_plan": (ES,),
    "funnel": (quiet(lambda: mx.bias.trim_and_fill(ES)),),
    "funnel_plan": (ES,),
    "gosh": (FIT,),
    "gosh_plan": (mx.sensitivity.gosh(FIT),),
    "influence": (mx.RandomEffects(ES, dependence="accept").fit(),),
    "influence_plan": (MULTI,),
    "interval_strip": (TABLE, "estimate", "source"),
    "interval_strip_plan": (TABLE, "estimate", "source"),
    "orchard": (FIT,),
    "orchard_plan": (FIT,),
    "overlapping_texts": (Figure().subplots(),),
    "p_curve": (ES,),
    "p_curve_plan": (mx.bias.p_curve(ES),),
    "pages_of": (Figure(),),
    "permutation": (PERMUTED,),
    "permutation_plan": (PERMUTED,),
    "plans_of": (Figure(),),
    "profile": (MULTI.profile("study"),),
    "profile_plan": (MULTI.profile("study"),),
    "radial": (FIT,),
    "radial_plan": (FIT,),
    "normal_quantile": (FIT,),
    "normal_quantile_plan": (FIT,),
    "labbe": (EVENTS,),
    "labbe_plan": (EVENTS,),
    "reported_shares": (TABLE, ["source"]),
    "reported_shares_plan": (TABLE, ["source"]),
    "reporting_map": (TABLE.assign(study=["a", "b"]), ["source"]),
    "reporting_map_plan": (TABLE.assign(study=["a", "b"]), ["source"]),
    "rho_sweep": (SWEEP,),
    "rho_sweep_plan": (SWEEP,),
    "risk_columns": (mx.evidence.read_risk_of_bias(JUDGED),),
    "risk_of_bias": (JUDGED,),
    "risk_of_bias_plan": (JUDGED,),
    "risk_of_bias_summary": (JUDGED,),
    "risk_of_bias_summary_plan": (JUDGED,),
    "save": (Figure(), "PATH"),
    "selection_weights": (SELECTION,),
    "selection_weights_plan": ({"step": SELECTION},),
    "specification_curve": (PATHS,),
    "specification_curve_plan": (PATHS,),
    "sunset": (ES,),
    "sunset_plan": (FIT,),
    "variance_components": (MULTI,),
    "variance_components_plan": (MULTI,),
    "variance_shares": (NESTED,),
    "variance_shares_plan": (NESTED,),
    "heterogeneity": (TABLE,),
    "heterogeneity_plan": (TABLE,),
}
WRONG = (
    None,
    True,
    0,
    -1,
    95,
    1e300,
    float("nan"),
    float("inf"),
    1 + 2j,
    "nonsense",
    "",
    b"x",
    [],
    ["nonsense"],
    [None],
    [1, 2, 3],
    [[1]],
    (float("nan"), 1.0),
    (2.0, 1.0),
    (1.0, 1.0),
    ("a", "b"),
    {},
    {"nonsense": 3},
    {3: "x"},
    {"x": {"y": 1}},
    {"a", 1},
    object(),
    len,
    mx.EffectSizes,
    mx.RandomEffects(mx.EffectSizes([0.1, 0.2], [0.1, 0.1])),
    np.array([1.0, np.nan]),
    np.zeros((2, 2)),
    pd.DataFrame(),
    pd.DataFrame({"a": [1]}),
    pd.Series(["x"]),
    pd.NA,
    pd.Timestamp("2024-01-01"),
    iter(()),
)


def call(name, args, **choices):
    """Call a function; return "right" or the error of the package that it raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            getattr(mx.plots, name)(*args, **choices)
        except MetaexoError as error:
            return error
        finally:
            plt.close("all")
    return "right"


def parameters(name):
    """Return the parameters of a function by their names."""
    return inspect.signature(getattr(mx.plots, name)).parameters


def is_default(parameter, value):
    """Say whether a value is what the function takes without it: the call that is right, drawn once more."""
    return type(value) is type(parameter.default) and bool(value == parameter.default)


def right(name, tmp_path):
    return tuple(
        str(tmp_path / "figure.svg") if isinstance(arg, str) and arg == "PATH" else arg for arg in RIGHT[name]
    )


def test_every_public_function_is_in_the_battery():
    functions = {name for name in mx.plots.__all__ if inspect.isfunction(getattr(mx.plots, name))}
    assert functions == set(RIGHT)


@pytest.mark.parametrize("name", RIGHT)
def test_all_arguments_have_names(name):
    kinds = {parameter.kind for parameter in parameters(name).values()}
    assert kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("name", [name for name in RIGHT if name.endswith("_plan")])
def test_a_figure_has_the_arguments_of_its_plan_and_axes(name):
    drawn = dict(parameters(name.removesuffix("_plan")))
    assert drawn.pop("ax").default is None
    assert list(drawn) == [word for word in parameters(name) if word != "ax"]


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_right(name, tmp_path):
    assert call(name, right(name, tmp_path)) == "right"


@pytest.mark.parametrize("name", RIGHT)
def test_wrong_values_of_every_argument(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = right(name, tmp_path)
    places = [p.name for p in inspect.signature(getattr(mx.plots, name)).parameters.values()]
    refused = 0
    for word, parameter in parameters(name).items():
        for value in WRONG:
            if is_default(parameter, value):
                continue
            if word in places[: len(args)]:
                at = places.index(word)
                answer = call(name, (*args[:at], value, *args[at + 1 :]))
            else:
                answer = call(name, args, **{word: value})
            refused += answer != "right"
            assert answer == "right" or (answer.given and answer.needed and answer.remedy), (word, value)
    assert refused > 20 * len(parameters(name))


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("adjusted_plan", {"limits": (2.0, 1.0)}),
        ("adjusted_plan", {"decimals": -1}),
        ("adjusted_plan", {"row_height": 5.0}),
        ("flow", {"height": 0.5}),
        ("flow_plan", {"most": 0}),
        ("forest_plan", {"level": 95}),
        ("forest_plan", {"limits": (1.0, 0.2)}),
        ("forest_plan", {"limits": (float("nan"), 1.0)}),
        ("forest_plan", {"limits": (0.1, 0.2, 0.3)}),
        ("forest_plan", {"columns": "sauce"}),
        ("forest_plan", {"columns": ["sauce"]}),
        ("forest_plan", {"columns": [mx.plots.Column("source", kind="numbre")]}),
        ("forest_plan", {"columns": [mx.plots.Column("source", kind="number")]}),
        ("forest_plan", {"columns": [mx.plots.Column("source", title=3)]}),
        ("forest_plan", {"columns": [mx.plots.Column("source", wording={"plant": 1})]}),
        ("forest_plan", {"columns": [mx.plots.Column("dose", decimals=-1)]}),
        ("forest_plan", {"order": "presicion"}),
        ("forest_plan", {"order": "mixed"}),
        ("forest_plan", {"weights": "strata"}),
        ("forest_plan", {"reference": "nul"}),
        ("forest_plan", {"decimals": 2.5}),
        ("forest_plan", {"decimals": {"estimate": -1}}),
        ("forest_plan", {"decimals": {"estimat": 1}}),
        ("forest_plan", {"ci_format": "{low} to high"}),
        ("forest_plan", {"favours": ("left",)}),
        ("forest_plan", {"font_size": 6.0}),
        ("forest_plan", {"height": 0.5}),
        ("forest_plan", {"width": 2.0, "columns": ["source", "isolation", "dose"]}),
        ("forest_plan", {"marker_size": 0}),
        ("forest_plan", {"models": ["comon"]}),
        ("forest_plan", {"models": [MULTI]}),
        ("forest_plan", {"pages": 2}),
        ("forest_plan", {"row_height": 5.0}),
        ("forest_plan", {"scale": "ln"}),
        ("forest_plan", {"scale": "logit", "reference": 2.0}),
        ("forest_plan", {"strata_order": "sizes"}),
        ("forest_plan", {"subtotals": "alone"}),
        ("forest_plan", {"theme": "drak"}),
        ("forest_plan", {"ticks": [float("nan")]}),
        ("forest_plan", {"titles": {"estimat": "Effect"}}),
        ("forest_plan", {"notes": "a note"}),
        ("forest_plan", {"heads": {"Group": "source"}}),
        ("forest_plan", {"by": "sauce"}),
        ("forest_plan", {"remark": "sauce"}),
        ("funnel_plan", {"level": 95}),
        ("funnel_plan", {"by": "sauce"}),
        ("influence_plan", {"measures": ["dfits"]}),
        ("influence_plan", {"measures": []}),
        ("influence_plan", {"cluster": "sauce"}),
        ("funnel_plan", {"limits": (300.0,)}),
        ("funnel_plan", {"limits": (1.0, 0.2)}),
        ("funnel_plan", {"yaxis": "se"}),
        ("funnel_plan", {"yaxis": "ni"}),
        ("funnel_plan", {"labels": "outer"}),
        ("funnel_plan", {"labels": "outside"}),
        ("funnel_plan", {"residuals": True}),
        ("funnel_plan", {"reference": "nil"}),
        ("funnel_plan", {"overlays": "egger"}),
        ("funnel_plan", {"overlays": [None]}),
        ("funnel_plan", {"contours": "yes"}),
        ("doi_plan", {"labels": "outside"}),
        ("doi_plan", {"by": "sauce"}),
        ("baujat_plan", {"labels": "outside"}),
        ("baujat_plan", {"cluster": "study"}),
        ("bootstrap_plan", {"statistics": ["tau3"]}),
        ("bootstrap_plan", {"columns": 0}),
        ("permutation_plan", {"tests": ["intersept"]}),
        ("gosh_plan", {"highlight": "z"}),
        ("gosh_plan", {"vertical": "I2"}),
        ("gosh_plan", {"coefficient": "dose"}),
        ("gosh_plan", {"limits": (1.0, 0.0)}),
        ("interval_strip_plan", {"hollow": "text"}),
        ("interval_strip_plan", {"low": "text"}),
        ("interval_strip_plan", {"row_order": ["plant"]}),
        ("interval_strip_plan", {"limits": (0.0, 1.0)}),
        ("interval_strip_plan", {"reference": -1.0}),
        ("bubble_plan", {"moderator": "does"}),
        ("bubble_plan", {"at": {"sauce": "milk"}}),
        ("bubble_plan", {"at": {"source": "mikl"}}),
        ("bubble_plan", {"at": {"dose": 1.0}}),
        ("bubble_plan", {"color_by": "dose"}),
        ("bubble_plan", {"interval": "confidense"}),
        ("bubble_plan", {"labels": ["z"]}),
        ("drapery_plan", {"levels": [95]}),
        ("drapery_plan", {"y_scale": "log"}),
        ("orchard_plan", {"moderator": "source"}),
        ("caterpillar_plan", {"true_effects": True}),
        ("evidence_map_plan", {"count": "text"}),
        ("evidence_map_plan", {"count": "gaps"}),
        ("evidence_map_plan", {"study": "nobody"}),
        ("heterogeneity_plan", {"low": "text"}),
        ("heterogeneity_plan", {"measure": "XYZ"}),
        ("heterogeneity_plan", {"estimate": "low", "low": "high"}),
        ("reported_shares_plan", {"by": ["source", "isolation", "n"]}),
        ("estimability_plan", {"by": "source"}),
        ("estimability_plan", {"by": ["source"]}),
        ("risk_of_bias_summary", {"height": 0.5}),
        ("risk_of_bias_plan", {"tool": "ROBINS-I"}),
        ("risk_of_bias_plan", {"headings": "shrot"}),
        ("risk_of_bias_plan", {"theme": "drak"}),
        ("reporting_map", {"height": 0.5}),
        ("reporting_map_plan", {"order": "shares"}),
        ("reporting_map_plan", {"study": "text", "unseen": "text"}),
        ("risk_of_bias", {"height": 0.5}),
        ("risk_of_bias_summary_plan", {"weights": [1, 2, 3]}),
        ("risk_of_bias_summary_plan", {"weights": MULTI}),
        ("p_curve_plan", {"height": 0.1}),
        ("selection_weights_plan", {"scale": "root"}),
        ("selection_weights_plan", {"limits": (1.0, 0.0)}),
        ("selection_weights_plan", {"intervals": "wald"}),
        ("copas_plan", {"limits": (1.0, 0.0)}),
        ("copas_plan", {"reference": "nul"}),
        ("specification_curve_plan", {"choices": ["methods"]}),
        ("specification_curve_plan", {"limits": (1.0, 0.5)}),
        ("sunset_plan", {"true_effect": float("nan")}),
        ("sunset_plan", {"significance": 5}),
        ("sunset_plan", {"labels": "outer"}),
        ("variance_components_plan", {"scale": "shares"}),
        ("variance_components_plan", {"method": "q-profle"}),
        ("variance_components_plan", {"wording": ["study"]}),
        ("variance_shares_plan", {"wording": ["study"]}),
        ("variance_shares_plan", {"intervals": "yes"}),
        ("save", {"dpi": 0}),
        ("overlapping_texts", {"tolerance": -1}),
    ],
)
def test_mistakes_that_people_make(name, choices, tmp_path):
    assert isinstance(call(name, right(name, tmp_path), **choices), InputError)


@pytest.mark.parametrize("key", [3, None, "", [3], ["source", ""]])
def test_a_column_has_a_name(key):
    with pytest.raises(InputError, match="key of a column"):
        mx.plots.Column(key)


def test_a_plan_is_drawn_as_it_is():
    plan = mx.plots.forest_plan(ES)
    with pytest.raises(InputError, match="a plan, and with it decimals"):
        mx.plots.forest(plan, decimals=3)


def test_a_row_that_is_not_there_is_named():
    with pytest.raises(UnknownChoiceError, match="row"):
        mx.plots.forest_plan(ES).row("totla")


def test_columns_that_are_there_twice_are_refused():
    twice = pd.concat([TABLE, TABLE[["estimate"]]], axis=1)
    with pytest.raises(InputError, match="columns called 'estimate'"):
        mx.plots.heterogeneity_plan(twice)


def test_a_file_in_the_way_is_said(tmp_path):
    (tmp_path / "folder").write_text("a file, not a folder")
    with pytest.raises(InputError, match="cannot be written"):
        mx.plots.save(Figure(), tmp_path / "folder" / "figure.svg")


def test_axes_of_no_figure_and_of_other_projections_are_refused():
    figure = Figure()
    polar = figure.add_subplot(projection="polar")
    gone = figure.add_subplot()
    gone.remove()
    for ax in (polar, gone):
        with pytest.raises(InputError):
            mx.plots.forest(ES, ax=ax)


def test_no_argument_of_a_public_function_is_unchecked():
    for name in RIGHT:
        for parameter in parameters(name).values():
            kind = str(parameter.annotation).removesuffix(" | None")
            assert kind in OWN_CHECKS or check_of(name, parameter) is not None


CELLS = {
    "lists": [[1], [2], [3]],
    "mappings": [{}, {"a": 1}, None],
    "times": [pd.NaT, pd.Timestamp("2020-01-01"), pd.Timestamp("2021-01-01")],
    "categories": pd.Categorical(["a", "b", None]),
    "complex": [1 + 2j, 2, 3],
    "whole with gaps": pd.array([1, None, 3], dtype="Int64"),
    "texts of numbers": pd.array(["1", "2", None], dtype="string"),
    "true with gaps": pd.array([True, None, False], dtype="boolean"),
    "infinite": [np.inf, 1.0, -np.inf],
    "not positive": [-1, 0, 2],
    "bytes": [b"a", b"b", b"c"],
    "huge": [1e300, -1e300, 1e-300],
    "too long for a float": pd.Series([10**400, 1, 2], dtype=object),
    "objects": [object(), object(), None],
    "mixed": [1, "x", None],
}


@pytest.mark.parametrize("kind", CELLS)
def test_columns_of_any_kind(kind):
    table = pd.DataFrame(
        {"ok": [1.0, 2, 3], "label": ["a", "b", "c"], "low": [0.5, 1.5, 2.5], "high": [2, 3, 4]}
    )
    table["w"] = CELLS[kind]
    es = mx.EffectSizes([0.1, 0.2, 0.3], [0.1, 0.1, 0.1], data=table)
    for name, args, choices in (
        ("interval_strip", (table, "w", "label"), {}),
        ("interval_strip", (table, "w", "label"), {"log": False}),
        ("interval_strip", (table, "ok", "label"), {"low": "w", "high": "high"}),
        ("interval_strip", (table, "ok", ["w", "label"]), {"by": "w", "study": "w", "cells": {"w": "W"}}),
        ("interval_strip", (table, "ok", "label"), {"hollow": "w"}),
        ("evidence_map", (table, "w", "label"), {"by": "w", "study": "w"}),
        ("evidence_map", (table, "label", "label"), {"count": "w"}),
        ("reported_shares", (table, ["w"]), {"by": "w"}),
        ("heterogeneity", (table,), {"estimate": "w"}),
        ("heterogeneity", (table,), {"estimate": "ok", "low": "w", "measure": "RR"}),
        ("heterogeneity", (table,), {"estimate": "ok", "label": "w", "by": "w", "columns": ["w"]}),
        ("bubble", (mx.RandomEffects(es, "ok").fit(),), {"color_by": "w"}),
        ("caterpillar", (es,), {"color_by": "w"}),
        ("forest", (es,), {"columns": ["w"], "by": "w", "remark": "w"}),
        ("forest", (es,), {"columns": [mx.plots.Column("w", kind="number")]}),
        ("forest", (es,), {"columns": [mx.plots.Column("w", kind="risk")], "order": "w"}),
        ("funnel", (es,), {"by": "w"}),
        ("estimability", (es, ["w", "label"]), {}),
    ):
        answer = call(name, args, **choices)
        assert answer == "right" or answer.needed
