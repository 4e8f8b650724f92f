"""explain for effects that are known only as an interval: the ends can be computed by hand."""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import pytest

import metaexo as mx
from metaexo.effects.explain.explain import BOUND_NOT_KEPT, BOUND_NOT_WRITTEN
from metaexo.effects.formulas import FUNCTIONS
from metaexo.errors import AssumptionWarning, MixedContrastsWarning, VarianceRatioWarning


def by_hand(text: str) -> float:
    return float(eval(text.replace("^", "**"), {"__builtins__": {}, "pi": np.pi, **FUNCTIONS}))


@pytest.fixture(scope="module")
def bounds(root):
    with warnings.catch_warnings():
        for kind in (AssumptionWarning, MixedContrastsWarning, VarianceRatioWarning):
            warnings.simplefilter("ignore", kind)
        return mx.read_sheets(root / "data").effects("SMD", bounds=True, assumed_correlation=0.5)


def test_every_bound_of_our_sheets_can_be_computed_by_hand(bounds):
    assert {"exact", "interval", "direction"} <= set(bounds.kind)
    for i, kind in enumerate(bounds.kind):
        if kind == "direction":
            continue
        told = mx.explain(bounds, i)
        assert told.remark == "", str(told)
        steps = [step for block in told.blocks for step in block.steps]
        for step in steps:
            if "average" not in step.formula:
                assert by_hand(step.filled) == pytest.approx(step.value, rel=2e-5, abs=1e-7)
        if kind == "interval":
            sign = -1 if told.turned else 1
            found = sorted(sign * block.steps[-1].value for block in told.blocks[1:])
            finite = sorted(end for end in (told.lower, told.upper) if np.isfinite(end) and end != 0)
            assert found == pytest.approx(finite, rel=1e-8)
            assert (told.lower, told.upper) == (bounds.lower[i], bounds.upper[i])


def test_the_text_names_threshold_ends_and_assumptions(bounds):
    at = next(i for i, mark in enumerate(bounds.derived) if mark.formula.startswith("bound") and mark.note)
    text = str(mx.explain(bounds, at))
    assert "t at the threshold" in text
    assert f"note: {bounds.derived[at].note}" in text
    plain = next(i for i, mark in enumerate(bounds.derived) if mark.formula.startswith("bound"))
    assert "where t_of_p(p, df): the t of a two-sided p" in str(mx.explain(bounds, plain))


def test_a_direction_has_no_steps_and_says_so(bounds):
    told = mx.explain(bounds, bounds.kind.index("direction"))
    assert told.blocks == ()
    assert "only the direction is reported" in str(told)


def test_an_exact_row_is_explained_as_among_the_exact(bounds):
    at = bounds.kind.index("exact")
    assert str(mx.explain(bounds, at)) == str(mx.explain(bounds.exact, 0))
    assert str(mx.explain(bounds, bounds.row_ids[at])) == str(mx.explain(bounds, at))


def test_bounds_told_in_words_say_that_no_numbers_are_kept(root):
    with warnings.catch_warnings():
        for kind in (AssumptionWarning, MixedContrastsWarning):
            warnings.simplefilter("ignore", kind)
        words = mx.read_sheets(root / "data").effects(
            "SMD", sheet="direction_only", bounds=True, assumed_correlation=0.5
        )
    assert mx.explain(words, words.kind.index("interval")).remark == BOUND_NOT_KEPT


def test_steps_that_do_not_arrive_at_the_bound_are_not_shown(bounds, monkeypatch):
    at = bounds.kind.index("interval")
    assert mx.explain(bounds, at).blocks
    module = importlib.import_module("metaexo.effects.explain.explain")
    monkeypatch.setattr(module, "range_of_t", lambda *_: (0.1, 9.0))
    assert mx.explain(bounds, at).remark == BOUND_NOT_WRITTEN
