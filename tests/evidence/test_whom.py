"""Whom the rows of a table are of: words for species, design and domain, and columns of another name."""

from __future__ import annotations

from pathlib import Path

import pytest

import metaexo as mx
from metaexo.evidence.codebook import load_codebook
from metaexo.evidence.domains import domains_of, word_meant
from metaexo.evidence.problems import SheetErrors
from metaexo.evidence.template import FIELDS, list_of
from tests.evidence.tables.making import problems, read, text, values

HEAD = ("Study", "Exosome mean", "Exosome SD", "Exosome n", "Control mean", "Control SD", "Control n")
CODEBOOK = load_codebook()
PEOPLE = ("patients", "human", "Patients", "RCT")


def _table(path: Path, heading: str, cells: tuple[str, ...]) -> Path:
    rows = [(f"Li {2000 + i}", 5.1 + i, 1.2, 10, 3.9, 1.1 + i, 9 + i, cell) for i, cell in enumerate(cells)]
    return text(path, [(*HEAD, heading), *rows])


@pytest.mark.parametrize(
    ("column", "cell", "word"),
    [
        ("species", "New Zealand white rabbits", "rabbit"),
        ("species", "C57BL/6 mice", "mouse"),
        ("species", "SD rats", "rat"),
        ("species", "guinea pigs", "guinea_pig"),
        ("species", "Bama minipig", "pig"),
        ("species", "rhesus macaque", "monkey"),
        ("species", "non-human primate", "monkey"),
        ("species", "Syrian hamster", "hamster"),
        ("species", "horses", "horse"),
        ("species", "sheep", "sheep"),
        ("species", "patients with acne scars", "human"),
        ("species", "zebrafish", "other"),
        ("species", "mice and patients", None),
        ("design", "RCT", "rct_parallel"),
        ("design", "randomised controlled trial", "rct_parallel"),
        ("design", "Randomized, double-blind", "rct_parallel"),
        ("design", "randomised split-face trial", "rct_split_body"),
        ("design", "randomised animal study", "animal_controlled"),
        ("design", "non-randomised controlled trial", "nonrandomised_controlled"),
        ("design", "not randomised", None),
        ("design", "case series", "pre_post"),
        ("design", "before-after", "pre_post"),
        ("design", "animal study", "animal_controlled"),
        ("design", "in vitro", "in_vitro"),
        ("domain", "animal", "preclinical"),
        ("domain", "non-clinical", "preclinical"),
        ("domain", "clinical trial", "clinical"),
    ],
)
def test_words_of_papers_are_words_of_the_codebook(column: str, cell: str, word: str | None) -> None:
    assert word_meant(column, cell, CODEBOOK.sheets["studies"].columns[column].words) == word


def test_a_word_is_read_and_said_and_the_template_offers_it(tmp_path: Path) -> None:
    tables = read(_table(tmp_path / "t.csv", "Species", ("Rabbit", "rat", "db/db mice")))
    assert values(tables, "species") == [("rabbit",), ("rat",), ("mouse",)]
    assert any("'Rabbit' was read as 'rabbit' in species" in note for note in tables.notes)
    field = next(field for field in FIELDS if field.name == "species")
    assert {"rabbit", "horse", "sheep", "guinea_pig", "hamster", "monkey", "other"} <= {
        *list_of(field, CODEBOOK)
    }


@pytest.mark.parametrize(
    ("heading", "cell", "not_nearest"),
    [("Design", "randomissed_controlled", "nonrandomised_controlled"), ("Species", "marsupial", "rabbit")],
)
def test_the_opposite_is_never_the_nearest_word(
    tmp_path: Path, heading: str, cell: str, not_nearest: str
) -> None:
    found = mx.check_sheets(_table(tmp_path / "t.csv", heading, (cell, cell)))
    assert {problem.value for problem in found.problems} == {cell}
    assert all(problem.nearest != not_nearest for problem in found.problems)


@pytest.mark.parametrize(
    ("heading", "cells", "name", "own"),
    [
        ("Subjects", ("mouse", "patients", "human"), "species", ""),
        ("Population", ("mice", "Patients with DFU", "mice"), "species", ""),
        ("Host", ("mouse", "human", "rat"), "species", ""),
        ("Model", ("db/db mouse", "diabetic foot ulcer patients", "mouse"), "species", "model"),
        ("Study type", ("preclinical", "RCT", "preclinical"), "domain", ""),
        ("In vivo / clinical", ("in vivo", "patients", "in vitro"), "domain", ""),
    ],
)
def test_people_and_animals_below_another_heading_are_asked_for(
    tmp_path: Path, heading: str, cells: tuple[str, ...], name: str, own: str
) -> None:
    path = _table(tmp_path / "t.csv", heading, cells)
    (problem,) = read(path).raws["outcomes"].problems
    assert f'--map "{heading}={name}" if it says whom the rows are of' in problem.remedy
    assert f'--map "{heading}={own}" if not' in problem.remedy
    with pytest.raises(SheetErrors):
        mx.read_table(path)
    assert problems(read(path, columns={heading: own or None})) == []
    found = mx.read_table(path, columns={heading: name}).effects("SMD", orient=False)
    clinical = [domain == "clinical" for domain in domains_of(found.data)]
    assert clinical == [any(word in cell for word in PEOPLE) for cell in cells]


@pytest.mark.parametrize("cells", [("mouse", "mice", "rat"), ("men", "women", "men"), ("a", "b", "patients")])
def test_a_column_of_one_kind_is_not_asked_for(tmp_path: Path, cells: tuple[str, ...]) -> None:
    tables = read(_table(tmp_path / "t.csv", "Subjects", cells))
    assert problems(tables) == []
    assert any("nothing says whether these are people or animals" in note for note in tables.notes)
