"""Every kind of figure is in the gallery of the documentation; its scripts run, and no texts overlap."""

from __future__ import annotations

import doctest
import inspect
import re
import textwrap
from pathlib import Path

import pytest

import metaexo as mx
from metaexo.readable import Readable

ROOT = Path(__file__).parents[2]
FROM_METAFOR = ROOT / "docs" / "from_metafor_plots.rst"
CALLS = re.findall(r"``((?:mx|es)\.[^`]*\))``", FROM_METAFOR.read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "figure_gallery.rst").read_text(encoding="utf-8")
SCRIPTS = {
    name: textwrap.dedent(script)
    for name, script in re.findall(r"^\.\. drawn:: (\w+)\n((?:\n|   .*\n?)+)", PAGE, re.MULTILINE)
}
NO_KINDS = {"overlapping_texts", "pages_of", "plans_of", "risk_columns", "save"}
KINDS = [
    name
    for name in mx.plots.__all__
    if inspect.isfunction(getattr(mx.plots, name)) and not name.endswith("_plan") and name not in NO_KINDS
]


def test_each_script_has_a_figure_of_its_own():
    assert len(SCRIPTS) == PAGE.count(".. drawn::") > 30
    assert all("import metaexo as mx" in script for script in SCRIPTS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_and_linked(kind):
    assert any(f"mx.plots.{kind}(" in script for script in SCRIPTS.values())
    assert f":func:`metaexo.plots.{kind}`" in PAGE


@pytest.mark.long
@pytest.mark.parametrize("name", SCRIPTS)
def test_the_script_draws_a_figure_with_a_title_and_no_overlapping_texts(name, monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.chdir(ROOT)
    names = {"__name__": "__main__"}
    exec(compile(SCRIPTS[name], name, "exec"), names)
    pages = mx.plots.pages_of(names["ax"])
    for page in pages:
        plans = mx.plots.plans_of(page)
        assert plans
        assert all(plan.title and len(plan.to_frame()) for plan in plans)
        assert mx.plots.overlapping_texts(page) == []
    plt.close("all")


@pytest.fixture(scope="module")
def names_of_the_page():
    """What the page for users of metafor says that its calls are run with."""
    test = doctest.DocTestParser().get_doctest(FROM_METAFOR.read_text(encoding="utf-8"), {}, "page", None, 0)
    names = {}
    for example in test.examples:
        exec(compile(example.source, "page", "exec"), names)
    return names


def test_the_page_for_users_of_metafor_has_calls():
    assert len(CALLS) > 40


@pytest.mark.parametrize("call", CALLS)
def test_the_calls_in_place_of_those_of_metafor_run(call, names_of_the_page):
    import matplotlib.pyplot as plt

    found = eval(call, dict(names_of_the_page))
    if hasattr(found, "get_xlim"):
        assert mx.plots.overlapping_texts(found) == []
        plt.close("all")
    else:
        assert isinstance(found, mx.EffectSizes | Readable)
