"""Every effect-size measure brings what a reader of its numbers has to know."""

from __future__ import annotations

import inspect
import math
import re

import pytest

import metaexo as mx
from metaexo.effects import all_measures, get_measure

CODES = [measure.code for measure in all_measures()]
COMPUTED = [measure.code for measure in all_measures() if measure.compute is not None]
DOI = re.compile(r"10\.\d{4,9}/\S+")


@pytest.fixture(scope="module")
def table():
    return mx.measures().set_index("code")


@pytest.mark.parametrize("code", CODES)
def test_the_reference_is_a_doi(code):
    assert DOI.fullmatch(get_measure(code).reference)


@pytest.mark.parametrize("code", CODES)
def test_the_null_value_and_the_display_scale_are_told(code):
    record = get_measure(code)
    assert record.display
    if math.isnan(record.null):
        assert record.orientation == "none"
    else:
        shown = float(record.back([record.null, record.null])[0])
        assert shown == pytest.approx(1.0 if record.display_log else record.null, abs=1e-12)


@pytest.mark.parametrize("code", CODES)
def test_the_table_gives_a_formula_of_effect_and_variance(table, code):
    formula = table.loc[code, "formula"]
    if get_measure(code).compute is None:
        assert formula == "y and v as given"
        return
    signs = [line.split(" = ", 1)[0] for line in formula.split("; ")]
    assert "y" in signs
    assert signs[-1] == "v"


@pytest.mark.parametrize("code", COMPUTED)
def test_the_function_says_its_formula_or_whose_it_follows_and_its_paper(code):
    compute = get_measure(code).compute
    text = inspect.getdoc(getattr(compute, "func", compute)).split("\nParameters\n")[0]
    assert re.search(r"[=:] |see :func:", text), "a formula, or the function that has it"
