"""A condition on the rows of a sheet with a word that stands in no row, and sheets that give no effect."""

from __future__ import annotations

import pytest

from metaexo.errors import InputError, TooFewStudiesError, UnknownChoiceError
from metaexo.evidence import Sheets, read_sheets
from tests.evidence.folders import Write


@pytest.mark.parametrize(
    ("where", "meant"),
    [
        ("outcome == 'ln_effective_mirna'", "ln_effective_mirnas"),
        ("source_kind == 'Plasm'", "Plasma"),
        ("source_kind in ['Plasma', 'serum']", "Serum"),  # the other word is right, and is not enough
        ("source_kind != 'plasma'", "Plasma"),
        ("isolation_step == 'Ultracentrifugtion' and use == 'main'", "Ultracentrifugation"),
        ("use == 'Main'", "main"),
    ],
)
def test_a_misspelt_word_gets_the_nearest(ours: Sheets, where: str, meant: str) -> None:
    with pytest.raises(UnknownChoiceError, match="is not known") as caught:
        ours.effects("MN", sheet="cargo_groups", where=where)
    assert caught.value.nearest == meant


def test_a_word_that_is_like_no_other_is_told_beside_those_that_are_there(ours: Sheets) -> None:
    with pytest.raises(TooFewStudiesError, match=r"'UC' stands in no row: isolation_step holds .*'Ultrac"):
        ours.effects("MN", sheet="cargo_groups", where="isolation_step == 'UC' and use == 'main'")
    with pytest.raises(TooFewStudiesError, match="choose another measure or selection"):
        ours.effects("MN", sheet="cargo_groups", where="treatment_n > 100000")


def test_other_numbers_are_other_words(ours: Sheets) -> None:
    """A study that is not there is no misspelt one, and beside another it leaves that one alone."""
    one = ours.effects("MN", sheet="cargo_groups", where="study_id == 'PRJNA1004226' and use == 'main'")
    where = "study_id in ['PRJNA1004226', 'PRJNA1004227'] and use == 'main'"
    assert ours.effects("MN", sheet="cargo_groups", where=where).k == one.k > 0


@pytest.mark.parametrize(
    ("sheet", "words"),
    [
        ("methods_survey", "a method that was used, without a result"),
        ("identified_counts", "without a sampling variance"),
        ("studies", 'sheet="outcomes"'),
        ("brain_studies", 'sheet="brain_outcomes"'),
        ("direction_only", "bounds=True"),
    ],
)
def test_a_sheet_without_effects_is_refused_for_what_it_holds(ours: Sheets, sheet: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        ours.effects("MN", sheet=sheet)
    assert "is what was meant" not in str(caught.value)


@pytest.mark.parametrize("where", [None, "use == 'main'"])
def test_a_sheet_that_the_folder_does_not_have_is_said_to_be_missing(write: Write, where: str | None) -> None:
    sheets = read_sheets(write())
    with pytest.raises(TooFewStudiesError, match=r"no brain_outcomes\.csv"):
        sheets.effects("SMD", sheet="brain_outcomes", where=where)
