"""What a public object says of itself: one short line at the prompt, a table in a notebook, text escaped.

Classes are found, not listed. Fits and answers of bias tests are those of the contracts of results.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import sys
import warnings
from html import unescape
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import MetaexoWarning
from metaexo.formatting import html_table
from metaexo.models.linear.model import Model
from metaexo.readable import Readable, Summary, frame_view, short_repr, table_view
from tests.contract.test_bias_results import METHODS, answer
from tests.contract.test_results import CASES, counts, effects, example

HOSTILE = '<script>alert(1)</script> & "q"'
LONGEST = 230


def every_class() -> list[type]:
    """Return the public classes of all rooms, and all kinds of results and of models."""
    for module in pkgutil.walk_packages(mx.__path__, "metaexo."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    rooms = [getattr(mx, room) for room in mx._ROOMS]
    public = [getattr(room, name) for room in rooms for name in room.__all__]
    todo = [Readable, Model]
    while todo:
        kind = todo.pop()
        public.append(kind)
        todo += kind.__subclasses__()
    found = {kind: None for kind in public if inspect.isclass(kind) and not issubclass(kind, BaseException)}
    current = [kind for kind in found if getattr(sys.modules[kind.__module__], kind.__name__, None) is kind]
    return [kind for kind in current if not inspect.isabstract(kind)]  # with slots, a class is made twice


CLASSES = every_class()
# Their own repr writes out few words and numbers.
SMALL = {"Derivation", "Multiple", "Rule", "ZeroCells"}


class Reader(HTMLParser):
    """Reads a view, and refuses tags that do not close or that are no part of a table."""

    allowed = frozenset(
        ("table", "thead", "tbody", "tr", "th", "td", "caption", "div", "p", "strong", "em", "sup", "sub")
    )

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag in self.allowed, tag
        self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check(found: object) -> str:
    """Check the line and the table of an object, and return the table."""
    line = repr(found)
    assert "\n" not in line
    assert len(line) <= LONGEST, line
    assert " object at 0x" not in line
    assert line.startswith(type(found).__name__)
    view = found._repr_html_()  # type: ignore[attr-defined]
    reader = Reader()
    reader.feed(view)
    assert not reader.open
    assert "table" in reader.seen
    return str(view)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_no_class_shows_its_address_or_writes_out_what_it_holds(kind):
    if kind.__name__ in SMALL:
        return
    assert kind.__repr__ is not object.__repr__
    if dataclasses.is_dataclass(kind):
        written = inspect.getsourcefile(inspect.unwrap(kind.__repr__)) or ""
        assert "metaexo" in written, "the repr that dataclasses make writes out everything"
    assert hasattr(kind, "_repr_html_")


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_fits(kind, name):
    fit = example(kind, name)
    check(fit)
    summary = fit.summary()
    assert isinstance(summary, Summary)
    check_summary(summary)


@pytest.mark.parametrize("name", METHODS)
def test_answers_of_tests_of_bias(name):
    check(answer(name))
    check_summary(answer(name).summary())


def check_summary(summary: Summary) -> None:
    """A summary is its text, and has every line in every form."""
    assert isinstance(summary, str)
    assert repr(summary) == str(summary) == summary.to_text()
    view = unescape(summary._repr_html_())
    for form in (view, summary.to_markdown().replace("\\", ""), summary.to_latex().replace("\\", "")):
        for title in summary.parts:
            assert title in form
    for lines in summary.parts.values():
        for line in lines:
            if "\n" not in line:
                assert " ".join(line.split()) in " ".join(view.split())
    again = pickle.loads(pickle.dumps(summary))
    assert again == summary
    assert again.to_html() == summary.to_html()


def with_preparations() -> mx.EffectSizes:
    return effects().with_columns(isolation=list("aabbabab"))


def one_arm() -> Any:
    return counts().arm("treatment")


OTHERS = {
    "leave one out": mx.sensitivity.leave_one_out,
    "cumulative": lambda fit: mx.sensitivity.cumulative(fit, order=list(range(8))),
    "influence": mx.sensitivity.influence,
    "baujat": mx.sensitivity.baujat,
    "gosh": mx.sensitivity.gosh,
    "permutation": mx.sensitivity.permutation_test,
    "bootstrap": lambda fit: mx.sensitivity.bootstrap(fit, draws=50),
    "profile": mx.sensitivity.profile,
    "upper limit": lambda fit: mx.safety.upper_limit(one_arm()),
    "exclusion": lambda fit: mx.safety.exclusion_curve(one_arm()),
    "study intervals": lambda fit: mx.safety.study_intervals(one_arm()),
    "prediction": lambda fit: mx.safety.predict_count(one_arm(), 100),
    "patients": lambda fit: mx.safety.patients_to_exclude(0.01),
    "by group": lambda fit: mx.safety.limits_by_group(one_arm(), "source"),
    "confounding": lambda fit: mx.confounding(with_preparations(), ["source", "isolation"]),
    "estimability": lambda fit: mx.estimability(with_preparations(), ["source", "isolation"]),
    "differences of tau2": lambda fit: mx.heterogeneity.compare_heterogeneity(
        example("StratifiedResults", "separate"), draws=19
    ),
    "strata of counts": lambda fit: mx.stratify_counts(
        mx.MantelHaenszel(counts(), dependence="accept").fit(), by="source"
    ),
    "comparison": lambda fit: mx.compare(fit, fit),
    "contrast": lambda fit: fit.contrast([1.0]),
    "Q": lambda fit: fit.q,
    "terms": lambda fit: mx.identifiable_terms(fit.effects, ["study"]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_results(name):
    fit = example("RandomEffectsResults", "mean")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetaexoWarning)
        found = OTHERS[name](fit)
    check(found)
    check_summary(found.summary())
    assert str(found)


def test_records_beside_results():
    strata, parts = example("StratifiedResults", "separate"), example("AttributionResults", "divided")
    fit = example("RandomEffectsResults", "robust mean")
    for found in (
        effects(),
        counts(),
        fit.measure,
        fit.ledger,
        mx.explain(mx.effect_sizes("RD", treatment_events=4, treatment_n=9, control_events=1, control_n=9)),
        mx.RandomEffects(effects(), "dose + source", dependence="accept"),
        mx.Multilevel(effects()),
        mx.Peto(counts(), dependence="accept"),
        strata.strata[0],
        parts.verdict,
        parts.parts[0],
        fit.robust_covariance,
        mx.fit_many(np.tile(fit.effects.y, (50, 1)), np.tile(fit.effects.v, (50, 1))),
        mx.plots.forest_plan(example("RandomEffectsResults", "mean")),
        mx.plots.THEMES["metaexo"],
    ):
        check(found)


def test_text_of_users_is_escaped_everywhere():
    data = pd.DataFrame({"group": [HOSTILE, "b", HOSTILE, "b"], "y": [0.1, 0.3, 0.2, 0.5], HOSTILE: 1.0})
    es = mx.EffectSizes("y", [0.02] * 4, labels=[HOSTILE] * 4, data=data)
    for found in (
        es,
        mx.explain(es),
        mx.stratify(es, "group"),
        mx.stratify(es, "group").summary(),
        es.select("y > 0.2", HOSTILE).ledger,
    ):
        view = check(found) if not isinstance(found, Summary) else found._repr_html_()
        assert "<script>" not in view
        assert "&lt;script&gt;" in view
    assert "<script>" not in mx.stratify(es, "group").summary().to_markdown()


def test_long_tables_are_shown_by_their_ends():
    many = mx.EffectSizes(np.arange(1000) / 1000, np.full(1000, 0.1))
    view = check(many)
    assert view.count("<tr>") == 1 + 20 + 1 + 5
    assert "1,000 rows, the first 20 and the last 5 shown" in view
    assert view.count("0.9990") == 1
    rows = [[str(i)] for i in range(30)]
    assert table_view(rows, ["i"]) == html_table(rows, ["i"])


def test_whole_numbers_and_words_in_a_view():
    view = frame_view(pd.DataFrame({"n": [10.0, np.nan], "x": [0.5, 1.0], "who": ["a", "b"]}))
    assert ">10<" in view
    assert ">0.5000<" in view
    assert '<td style="text-align: left">b</td>' in view


def test_a_wide_table_says_how_many_columns_it_leaves_out():
    data = pd.DataFrame({f"c{i}": [float(i), 2.0] for i in range(9)})
    assert "3 more columns in to_frame()" in mx.EffectSizes([0.1, 0.2], [0.1, 0.2], data=data)._repr_html_()


def test_a_record_is_cut_where_it_is_long():
    @dataclasses.dataclass
    class Long:
        a: str
        b: np.ndarray
        c: tuple[str, ...]
        d: str
        e: str

    found = short_repr(Long("x" * 90, np.zeros((3, 2)), ("q",) * 9, "y" * 90, "z" * 90))
    assert found.startswith("Long(a='" + "x" * 37 + "...', b=<3 x 2>, c=<9>, d='yyy")
    assert found.endswith(", ...)")
