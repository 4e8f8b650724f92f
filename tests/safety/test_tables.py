"""Printed tables and plain values of the results on safety."""

from __future__ import annotations

import json

import pandas as pd

import metaexo as mx

DATA = pd.DataFrame({"events": [0, 1, 0], "n": [1200, 40, 33], "secret": ["x", "y", "z"]})
COUNTS = mx.event_counts(DATA, events="events", n="n")


def column(result, name):
    (table,) = result.reader_tables()
    at = table.header.index(name)
    return [row[at] for row in table.rows]


def test_people_are_counted_without_decimals():
    assert column(mx.safety.upper_limit(COUNTS), "total") == ["1,273"]
    assert column(mx.safety.study_intervals(COUNTS), "total") == ["1,200", "40", "33"]
    assert column(mx.safety.exclusion_curve(COUNTS), "cumulative total") == ["1,200", "1,240", "1,273"]
    more = mx.safety.patients_to_exclude(risk=[0.01, 0.001])
    assert column(more, "in all") == ["299", "2,995"]
    assert column(more, "trials") == ["–", "–"]
    assert "299.0" not in more.to_markdown() + more.to_latex() + more.to_html()


def test_person_time_keeps_what_can_be_read():
    counts = mx.event_counts(events=[0, 1], time=[12.52, 95.7071675])
    assert column(mx.safety.study_intervals(counts), "total") == ["12.5", "95.7"]


def test_plain_values_have_the_sentence_and_not_the_table_of_the_user():
    for result in (mx.safety.upper_limit(COUNTS), mx.safety.bayesian_limit(COUNTS)):
        found = result.to_dict()
        assert found["sentence"] == result.sentence
        assert found["counts"]["events"] == [[0.0], [1.0], [0.0]]
        assert "secret" not in json.dumps(found)
