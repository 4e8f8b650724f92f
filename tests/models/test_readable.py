"""Every result can be shown as a table and written down as plain values."""

from __future__ import annotations

import json
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.readable import Readable, cells_of, plain
from metaexo.sensitivity import permutation_test

Y = [0.2, 0.6, 0.1, 0.9, 0.4, 0.7]
V = [0.02, 0.05, 0.03, 0.04, 0.02, 0.03]
DATA = pd.DataFrame({"source": ["milk", "plant"] * 3, "dose": [1.0, 2.0, 4.0, 3.0, 6.0, 5.0]})


@cache
def results() -> dict[str, Readable]:
    es = mx.EffectSizes(Y, V, data=DATA, study=list("aabbcc"))
    fit = mx.RandomEffects(es, dependence="accept").fit()
    regression = mx.RandomEffects(es, "dose", dependence="accept").fit(method="ML")
    null = mx.RandomEffects(es, dependence="accept").fit(method="ML")
    scale = mx.LocationScale(es, "dose", "source", dependence="accept").fit()
    with pytest.warns(mx.errors.FewStudiesWarning):
        robust = fit.robust()
    with pytest.warns(mx.errors.FewStudiesWarning):
        moments = mx.robust_variance(es)
    return {
        "fit": fit,
        "regression": regression,
        "equal effects": mx.RandomEffects(es, dependence="accept").fit(method="EE", test="z"),
        "own weights": mx.RandomEffects(es, weights=[1, 2, 3, 4, 5, 6], dependence="accept").fit(),
        "location-scale": scale,
        "scale": scale.scale_coefficients,
        "robust": robust,
        "moments": moments,
        "Henmi-Copas": fit.henmi_copas(),
        "comparison": mx.compare(null, regression, names=["null", "dose"]),
        "contrasts": regression.contrast(["dose"], adjust="holm"),
        "terms": regression.test_terms(adjust="holm"),
        "inflation": mx.RandomEffects(es, "dose + source", dependence="accept").fit().vif(),
        "likelihood ratio": mx.likelihood_ratio_test(regression, null),
        "profile": fit.profile([0.0, 0.1]),
        "permutation": permutation_test(fit),
        "heterogeneity": fit.conf_int_heterogeneity(),
        "test": fit.q,
    }


NAMES = (
    "fit",
    "regression",
    "equal effects",
    "own weights",
    "location-scale",
    "scale",
    "robust",
    "moments",
    "Henmi-Copas",
    "comparison",
    "contrasts",
    "terms",
    "inflation",
    "likelihood ratio",
    "profile",
    "permutation",
    "heterogeneity",
    "test",
)


@pytest.mark.parametrize("name", NAMES)
def test_every_result_has_its_tables(name: str) -> None:
    result = results()[name]
    assert isinstance(result, Readable)
    frame = result.to_frame()
    assert len(frame) > 0
    tables = result.reader_tables()
    html, latex, markdown = result.to_html("A & b"), result.to_latex("A & b"), result.to_markdown()
    assert html.count("<table>") == html.count("<caption>A &amp; b") == len(tables)
    assert latex.count(r"\begin{tabular}") == latex.count(r"\caption{A \& b") == len(tables)
    assert result._repr_html_() == result.to_html()
    for table in tables:
        assert all(len(row) == len(table.header) for row in table.rows)
        assert table.rows[0][0] in html
        assert markdown.count("| " + " | ".join(table.header) + " |") >= 1
    for note in result.table_notes():
        assert note in markdown
    assert all(line in result.to_text() for line in result.table_notes())


@pytest.mark.parametrize("name", NAMES)
def test_every_result_can_be_written_as_json(name: str) -> None:
    found = results()[name].to_dict()
    assert found
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_plain_values_of_a_fit_are_those_of_the_fit() -> None:
    fit = results()["fit"]
    found = fit.to_dict()
    assert found["coefficients"][0]["estimate"] == fit.estimate
    assert found["pooled"]["prediction_high"] == fit.pooled().prediction_high
    assert found["tau2"] == fit.tau2
    assert found["components"][0]["high"] == fit.conf_int_heterogeneity().tau2.high
    assert found["q"]["pvalue"] == fit.q.pvalue
    assert found["likelihood"]["llf"] == fit.llf
    assert found["certificate"]["maxima"] == fit.certificate.maxima
    assert found["ledger"] == {"source": "input", "used": 6, "left_out": []}
    assert found["k"] == 6
    assert found["m"] == 3
    assert found["digest"] == fit.digest
    assert set(found["versions"]) == {"metaexo", "numpy", "scipy"}


def test_what_is_missing_is_none_and_no_number() -> None:
    equal = results()["equal effects"].to_dict()
    assert equal["components"][0]["high"] is None
    assert equal["tau2_se"] is None
    assert equal["pooled"]["prediction_low"] is None
    regression = results()["regression"].to_dict()
    assert regression["pooled"] is None
    assert plain([math.nan, 1, np.int64(2), np.True_, "a", None]) == [None, 1, 2, True, "a", None]


def test_a_location_scale_fit_shows_both_parts() -> None:
    result = results()["location-scale"]
    first, second, _ = result.reader_tables()
    assert [row[0] for row in first.rows] == ["intercept", "dose"]
    assert [row[0] for row in second.rows] == ["intercept", "sourceplant"]
    assert second.title == "moderators of log tau2"
    assert not any("\n" in note for note in result.table_notes())
    found = result.to_dict()
    assert found["scale_coefficients"][1]["term"] == "sourceplant"
    assert len(found["tau2_by_effect"]) == 6
    assert found["tau2"] == pytest.approx(np.mean(found["tau2_by_effect"]))


def test_robust_results_say_what_they_are() -> None:
    found = results()["robust"].to_dict()
    assert found["robust"] == {"kind": "CR2", "df_rule": "satterthwaite", "clusters": ["a", "b", "c"]}
    assert found["tau2"] == results()["fit"].tau2
    assert results()["moments"].to_dict()["working"] == "correlated"


def test_cells_are_rounded_by_their_kind() -> None:
    frame = pd.DataFrame({"pvalue": [0.00001], "df": [11.0], "level": [0.9], "x": [1 / 3], "ok": [True]})
    table = cells_of(frame)
    assert table.header == ["p", "df", "level", "x", "ok"]
    assert table.rows == [["p < 0.0001", "11", "90%", "0.3333", "yes"]]
    assert cells_of(pd.DataFrame({"x": [np.nan]})).rows == [["\N{EN DASH}"]]


def test_an_interval_reads_as_text() -> None:
    interval = results()["heterogeneity"]
    text = str(interval)
    assert f"{interval.tau2.high:.4f}" in text
    assert f"{100 * interval.i2.low:.0f}%" in text
    assert "q-profile" in text


def test_a_summary_shows_itself() -> None:
    summary = results()["fit"].summary()
    assert repr(summary) == str(summary)
    view = summary._repr_html_()
    assert view.startswith("<table>")
    assert [view.count(f">{title}</th>") for title in summary.parts] == [1] * 5
