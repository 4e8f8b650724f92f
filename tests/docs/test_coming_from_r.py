"""The pages for users of R: every function of metafor and meta is on them, and every call on them runs."""

from __future__ import annotations

import doctest
import json
import re
import warnings
from pathlib import Path

import pytest

import metaexo as mx
from metaexo.errors import AssumptionWarning

DOCS = Path(__file__).parents[2] / "docs"
CALLS_PAGE = (DOCS / "from_metafor.rst").read_text(encoding="utf-8")
PLOTS_PAGE = (DOCS / "from_metafor_plots.rst").read_text(encoding="utf-8")
R = json.loads((Path(__file__).parent / "r_functions.json").read_text(encoding="utf-8"))
LITERALS = re.findall(r"``([^`]*)``", CALLS_PAGE + PLOTS_PAGE)
WORDS = {word for text in LITERALS for word in re.findall(r"[\w.$\[<-]*[\w.\[*-]", text)}
# Calls in the tables: they begin with one of the names that the page sets out with.
CALL = re.compile(r"``((?:mx|es|fit|regression|counts|effects|levels|spread|pooled|odds|mixed)\.[^`]*\))``")
CALLS = list(dict.fromkeys(CALL.findall(CALLS_PAGE)))


# What follows the name of a function in the name of a method.
CLASSES = (
    r"(rma(\.(uni|mv|mh|peto|glmm|ls))?|escalc|default|predict\.rma|list\.rma|cumul\.rma|summary\.rma|permutest\.rma\.\w+"
    r"|(list\.)?(anova|confint|vif|profile)\.rma|infl\.rma\.uni|(gosh|hc)\.rma(\.uni)?|matreg|fsn|tes|regtest|ranktest"
    r"|rma\.uni\.selmodel|regplot)"
)


def on_the_pages(name):
    """Whether a function is named, or, for a method such as blup.rma.uni, the function that it belongs to."""
    method = re.fullmatch(rf"(\[|\$<-|[\w.]+?)\.?{CLASSES}", name)
    return name in WORDS or (method is not None and method[1] in WORDS)


@pytest.mark.parametrize("package", [name for name in R if "functions" in R[name]])
def test_every_function_of_r_is_on_the_pages(package):
    functions = R[package]["functions"]
    assert len(functions) == len(set(functions)) > 10
    assert [name for name in functions if not on_the_pages(name)] == []


def test_a_function_that_is_not_on_the_pages_is_noticed():
    assert not on_the_pages("metasplines")
    assert not on_the_pages("splines.rma.uni")


def test_every_argument_of_the_functions_of_metafor_is_on_the_pages():
    arguments = R["arguments of metafor 3.8-1"]["arguments"]
    assert len(arguments) > 200
    assert [name for name in arguments if name not in WORDS] == []


def test_every_measure_of_escalc_is_on_the_page_and_here():
    codes = R["measures of escalc"]["codes"]
    assert len(codes) > 70
    assert [code for code in codes if code not in WORDS] == []
    assert [code for code in codes if code not in set(mx.measures()["code"])] == []


@pytest.fixture(scope="module")
def names_of_the_page():
    """What the page says that its calls are run with."""
    examples = doctest.DocTestParser().get_doctest(CALLS_PAGE, {}, "page", None, 0).examples
    names = {}
    for example in examples:
        if re.match(r"(import|from|\w+ = )", example.source):
            exec(compile(example.source, "page", "exec"), names)
    return names


def test_the_page_has_calls():
    assert len(CALLS) > 120


@pytest.mark.parametrize("call", CALLS)
def test_the_calls_in_place_of_those_of_r_run(call, names_of_the_page):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        assert eval(call, dict(names_of_the_page)) is not None
