"""Every effect-size measure brings what a reader of its numbers has to know."""

from __future__ import annotations

import math
import re

import pytest

import metaexo as mx
from metaexo.effects import all_measures, get_measure
from metaexo.effects.formulas import INPUTS

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
def test_the_record_says_when_to_use_it_what_its_inputs_are_and_whose_formula_it_is(code):
    record = get_measure(code)
    assert record.use.endswith(".")
    assert record.papers
    assert all(paper.endswith((".", ")")) for paper in record.papers)
    assert all(name in INPUTS for route in record.routes for name in route.inputs)
    for kind in record.variances:
        assert f"; v = {record.formula(kind).split('; v = ')[1]}" in record.formula(kind)
