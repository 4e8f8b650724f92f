"""The ledger: every row is used or left out, and the counts always add up to the rows of the sheet."""

from __future__ import annotations

import random
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metaexo as mx
from metaexo.errors import AssumptionWarning, MixedContrastsWarning, TooFewStudiesError, VarianceRatioWarning
from metaexo.evidence import Sheets
from metaexo.evidence.views import VIEWS
from tests.evidence.folders import DATA

MEASURES = ("SMD", "MD", "ROM", "SMCC", "MC", "OR", "RR", "RD", "PLO", "PFT")
SELECTIONS = (
    None,
    "domain == 'clinical'",
    "domain == 'preclinical' and use != 'apart'",
    "contrast == 'exosome_vs_control'",
    "outcome_family == 'Wound closure'",
    "treatment_n >= 10",
    "source == 'Adipose MSC' or isolation == 'Ultracentrifugation'",
    "note.str.contains('SD')",
)


def effects(sheets: Sheets, measure: str, where: str | None, **options: object) -> mx.EffectSizes | None:
    with warnings.catch_warnings():
        for kind in (AssumptionWarning, MixedContrastsWarning, VarianceRatioWarning):
            warnings.simplefilter("ignore", kind)
        try:
            return sheets.effects(measure, where, **options)
        except TooFewStudiesError as error:
            counted = sum(int(row.split()[0]) for row in error.rows)
            assert counted == len(sheets.outcomes), "the error counts every row"
            return None


@settings(max_examples=12)
@given(
    measure=st.sampled_from(MEASURES),
    where=st.sampled_from(SELECTIONS),
    correlation=st.sampled_from([None, 0.3, 0.7]),
    orient=st.booleans(),
)
def test_it_adds_up_for_every_measure_and_selection(
    ours: Sheets, measure: str, where: str | None, correlation: float | None, orient: bool
) -> None:
    es = effects(ours, measure, where, assumed_correlation=correlation, orient=orient)
    if es is None:
        return
    assert es.ledger is not None
    lines = [*es.ledger.used, *(entry.line for entry in es.ledger.left_out)]
    assert sorted(lines) == list(ours.outcomes["line"])
    assert len(es.ledger.used) == es.k
    assert es.ledger.counts()["rows"].sum() == len(ours.outcomes)
    assert all(entry.reason and entry.study for entry in es.ledger.left_out)
    assert np.isfinite(es.y).all()
    assert (es.v > 0).all()


def test_every_sheet_has_one_that_adds_up(ours: Sheets) -> None:
    assert set(ours.ledgers) == set(ours.codebook.sheets)
    for name, ledger in ours.ledgers.items():
        frame = getattr(ours, name)
        assert ledger.total == len(frame)
        assert ledger.counts()["rows"].sum() == len(frame)
        assert all(entry.reason for entry in ledger.left_out)
    assert ours.ledger == ours.ledgers["outcomes"]


def test_a_row_is_used_if_some_measure_takes_it(ours: Sheets) -> None:
    taken: set[int] = set()
    for measure in (*VIEWS["outcomes"].measures,):
        es = effects(ours, measure, None, orient=False)
        taken |= set(es.ledger.used) if es is not None and es.ledger is not None else set()
    assert taken == set(ours.ledger.used)


def test_words_only_results_are_all_left_out_with_the_reason(ours: Sheets) -> None:
    ledger = ours.ledgers["direction_only"]
    assert not ledger.used
    assert {entry.reason for entry in ledger.left_out} == {"given in words only"}


@pytest.fixture
def shuffled(tmp_path: Path) -> Sheets:
    """Our sheets with the rows in another order."""
    shutil.copytree(DATA, tmp_path / "data")
    for path in (tmp_path / "data").glob("*.csv"):
        header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
        random.Random(7).shuffle(rows)
        path.write_text(header + "".join(rows), encoding="utf-8")
    return mx.read_sheets(tmp_path / "data")


def test_the_order_of_the_rows_does_not_matter(ours: Sheets, shuffled: Sheets) -> None:
    where = "contrast == 'exosome_vs_control'"
    here, there = effects(ours, "SMD", where), effects(shuffled, "SMD", where)
    assert here is not None
    assert there is not None
    rows = [sorted(zip(es.labels, es.y, es.v, es.study, strict=True)) for es in (here, there)]
    assert rows[0] == rows[1]
    reasons = [sorted((entry.study, entry.reason) for entry in s.ledger.left_out) for s in (ours, shuffled)]
    assert reasons[0] == reasons[1]
