"""Every method for small-study effects and selection takes every family of results, and answers alike.

Methods and families are found, not listed: a new one is asked from the day it is written.
"""

from __future__ import annotations

import inspect
import json
import re
import warnings
from collections.abc import Callable
from functools import cache
from html import unescape
from typing import Any

import numpy as np
import pytest

import metaexo as mx
from metaexo.bias.results import AdjustedEstimate, BiasResult, BiasTest
from metaexo.errors import InputError, MetaexoWarning
from metaexo.formatting import latex_text, plain_text
from tests.contract.test_results import EXAMPLES, example
from tests.contract.test_wrong_inputs_models import WRONG, bare

# What a method needs beside the results.
NEEDED: dict[str, dict[str, Any]] = {"proportion_beyond": {"threshold": 0.1, "draws": 20}}
TAKE_MODERATORS = {"regression_test", "selection_model", "report"}
METHODS = {
    name: found
    for name in mx.bias.__all__
    if inspect.isfunction(found := getattr(mx.bias, name))
    and next(iter(inspect.signature(found).parameters), "") == "results"
}
# Fits of each family, of several effects per study.
FAMILIES = [(kind, name) for kind, fits in EXAMPLES.items() for name in fits]


@cache
def effects() -> mx.EffectSizes:
    """Return twelve risk ratios of twelve studies, small ones larger."""
    y = [0.9, 0.75, 0.7, 0.55, 0.6, 0.35, 0.4, 0.2, 0.3, 0.1, 0.15, 0.05]
    se = [0.45, 0.4, 0.33, 0.3, 0.27, 0.22, 0.2, 0.17, 0.15, 0.12, 0.1, 0.08]
    return mx.EffectSizes(y, se=se, measure="RR")


@cache
def answer(name: str, **choices: Any) -> BiasResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetaexoWarning)
        return METHODS[name](mx.RandomEffects(effects()).fit(), **NEEDED.get(name, {}), **choices)


def test_there_are_methods_and_families() -> None:
    assert {"regression_test", "trim_and_fill", "pet_peese"} <= set(METHODS)
    assert {kind for kind, _ in FAMILIES} >= {"RandomEffectsResults", "MultilevelResults", "CensoredResults"}


@pytest.mark.parametrize("name", METHODS)
def test_a_result_is_complete_in_every_form(name: str) -> None:
    found = answer(name)
    assert isinstance(found, BiasResult)
    assert found.name
    assert found.k == 12
    assert found.sentence.endswith(".")
    assert "nan" not in found.sentence.lower()
    wanted = [found.sentence, *found.cautions()]
    forms = {
        "markdown": found.to_markdown().replace("\\", ""),
        "latex": found.to_latex(),
        "html": unescape(found.to_html()),
        "text": str(found),
    }
    for form, shown in forms.items():
        as_read = {"latex": latex_text, "text": plain_text}.get(form, str)
        there = map(as_read, wanted)
        assert [words for words in there if words not in shown] == [], form
    values = found.to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert len(found.to_frame()) >= 1


@pytest.mark.parametrize("name", METHODS)
def test_an_adjusted_estimate_has_its_interval_and_a_test_its_p(name: str) -> None:
    found = answer(name)
    if isinstance(found, AdjustedEstimate):
        rows = found.to_frame()
        row = rows[(rows["estimate"] == found.estimate) | rows["estimate"].isna()].iloc[0]
        assert row["ratio"] == pytest.approx(np.exp(found.estimate), nan_ok=True)
        if not np.isnan(found.low):
            assert found.low <= found.estimate <= found.high
        assert found.level == 0.95
    elif isinstance(found, BiasTest):
        assert 0 <= found.pvalue <= 1
        assert found.test.null
    else:
        assert not hasattr(found, "pvalue") or np.isnan(found.pvalue) or 0 <= found.pvalue <= 1


@pytest.mark.parametrize(("kind", "fit"), FAMILIES)
def test_every_family_is_taken(kind: str, fit: str) -> None:
    """Few studies give cautions; with moderators a method takes them along or says that it cannot."""
    results = example(kind, fit)
    for name, method in METHODS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", MetaexoWarning)
            if results.design.x is not None and name not in TAKE_MODERATORS:
                with pytest.raises(InputError, match=re.escape(results.design.names[-1])):
                    method(results, **NEEDED.get(name, {}))
                continue
            found = method(results, **NEEDED.get(name, {}))
        assert any("fewer than 10" in line for line in found.cautions()), name


@pytest.mark.parametrize("name", METHODS)
def test_bare_effects_do_as_well(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetaexoWarning)
        bare_answer = METHODS[name](effects(), **NEEDED.get(name, {}))
    expected = answer(name).to_frame().select_dtypes("number")
    np.testing.assert_allclose(
        bare_answer.to_frame().select_dtypes("number").to_numpy(dtype=float),
        expected.to_numpy(dtype=float),
        rtol=1e-9,
    )


def changed(es: mx.EffectSizes, change: Callable[[Any], Any]) -> mx.EffectSizes:
    return mx.EffectSizes(change(es.y), es.v, measure="RR")


@pytest.mark.parametrize("name", METHODS)
def test_a_mirror_image_has_the_mirrored_answer(name: str) -> None:
    """What small studies favour may be low or high: turned round, an estimate changes its sign alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetaexoWarning)
        needed = dict(NEEDED.get(name, {}))
        if name == "proportion_beyond":
            needed |= {"threshold": -0.1, "tail": "below"}
        found = METHODS[name](mx.RandomEffects(changed(effects(), np.negative)).fit(), **needed)
    if isinstance(found, AdjustedEstimate) and name != "proportion_beyond":
        assert found.estimate == pytest.approx(-answer(name).estimate, rel=1e-5, abs=1e-8, nan_ok=True)
        assert found.low == pytest.approx(-answer(name).high, rel=1e-4, abs=1e-6, nan_ok=True)
    elif isinstance(found, BiasTest):
        assert abs(found.statistic) == pytest.approx(abs(answer(name).statistic), rel=1e-6)
        assert found.pvalue == pytest.approx(answer(name).pvalue, rel=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_wrong_inputs_are_refused_in_words(name: str) -> None:
    method, fit = METHODS[name], mx.RandomEffects(effects()).fit()
    needed = NEEDED.get(name, {})
    wrong = {}
    for parameter in inspect.signature(method).parameters:
        for value in WRONG:
            choices = needed | {parameter: value}
            given = choices.pop("results", fit)
            said = bare(lambda given=given, choices=choices: method(given, **choices))
            if said:
                wrong[f"{parameter}={value!r}"] = said
    assert not wrong


@pytest.mark.parametrize(
    "few",
    [
        mx.EffectSizes([0.3], [0.02]),
        mx.EffectSizes([0.3, 0.5], [0.02, 0.03]),
        mx.EffectSizes([0.3, 0.5, 0.1], [0.02, 0.02, 0.02]),
        mx.EffectSizes([0.3] * 12, [0.02] * 12),
        mx.EffectSizes([0.3, 0.5, 0.1], [0.0, 0.02, 0.02]),
        mx.EffectSizes(np.linspace(-9, 9, 12) * 1e8, np.linspace(1, 5, 12) * 1e14),
        mx.EffectSizes(np.linspace(-9, 9, 12) * 1e-8, np.linspace(1, 5, 12) * 1e-18),
        mx.EffectSizes(np.linspace(20, 40, 12), np.linspace(0.01, 0.09, 12)),
        mx.EffectSizes(np.zeros(12), np.linspace(0.01, 0.09, 12)),
    ],
    ids=["one", "two", "equal SEs", "no spread", "a zero variance", "large", "small", "far", "nothing"],
)
def test_edges_answer_or_refuse(few: mx.EffectSizes) -> None:
    faults = {
        name: said
        for name, method in METHODS.items()
        if (said := bare(lambda name=name, method=method: str(method(few, **NEEDED.get(name, {})))))
    }
    assert faults == {}
