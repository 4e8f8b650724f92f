"""Whom a result was seen in: people or animals, by the words of papers and of the columns that say it."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from metaexo.evidence.codebook import vocabulary_rows
from metaexo.evidence.vocabulary import Term, Vocabulary, denied
from metaexo.inputs import is_blank

if TYPE_CHECKING:
    import pandas as pd

HUMAN = "human"
CLINICAL, PRECLINICAL = "clinical", "preclinical"
OF_DESIGNS = {
    "rct_parallel": CLINICAL,
    "rct_split_body": CLINICAL,
    "animal_controlled": PRECLINICAL,
    "in_vitro": PRECLINICAL,
}
"""Designs that say it whatever the species: human cells in a dish are no people."""
WORDS = Path(__file__).with_name("domains.csv")
"""Words of papers for the words of the columns species, design and domain."""
NARROWER = {"rct_parallel": ("rct_split_body", "animal_controlled")}
"""Designs that count where a text names both: a split face and animals are randomised, too."""


def word_meant(column: str, cell: str, words: Collection[str]) -> str | None:
    """Return the word of the codebook that a cell of species, design or domain means.

    None if it means none, or several. column: name of the column. words: those that the sheet allows.

    Examples
    --------
    >>> word_meant("species", "New Zealand rabbits", ("human", "rabbit", "rat"))
    'rabbit'
    >>> word_meant("design", "randomized, split-face", ("rct_parallel", "rct_split_body"))
    'rct_split_body'
    >>> word_meant("species", "mice and patients", ("human", "mouse")) is None
    True
    """
    vocabulary = _vocabulary(column, tuple(words))
    if not vocabulary.terms or denied(cell, vocabulary):
        return None
    found = {mention.category for mention in vocabulary.found(cell)}
    found -= {word for word in found if found.intersection(NARROWER.get(word, ()))}
    return found.pop() if len(found) == 1 else None


def domain_meant(column: str, cell: str) -> str | None:
    """Return whether a cell of species or domain means people or animals; None if it says neither.

    Examples
    --------
    >>> domain_meant("species", "db/db mouse"), domain_meant("domain", "RCT"), domain_meant("domain", "day 7")
    ('preclinical', 'clinical', None)
    """
    word = word_meant(column, cell, [known for of, known, _ in _words() if of == column])
    return word if column == "domain" else _by(None, word)


@lru_cache(maxsize=1)
def _words() -> tuple[tuple[str, str, str], ...]:
    rows = vocabulary_rows(WORDS, ("read_as", "column", "synonyms"))
    return tuple((row["column"], row["read_as"], row["synonyms"]) for row in rows)


@lru_cache(maxsize=64)
def _vocabulary(column: str, words: tuple[str, ...]) -> Vocabulary:
    terms = (
        Term(word, word, of, tuple(synonyms.split("|")))
        for of, word, synonyms in _words()
        if of == column and word in words
    )
    return Vocabulary({term.category: term for term in terms})


def domains_of(data: pd.DataFrame) -> list[str | None]:
    """Return the domain of each row: what the sheet says; where it is silent, by design and species.

    People are clinical, any other species is preclinical; rows that say neither stay as they are, as does a
    table without any domain whose rows are all of one kind: nothing is to be kept apart in it.

    Examples
    --------
    >>> import pandas as pd
    >>> domains_of(pd.DataFrame({"domain": [None, None], "species": ["mouse", "human"]}))
    ['preclinical', 'clinical']
    >>> domains_of(pd.DataFrame({"domain": [None, None], "species": ["mouse", "rat"]}))
    [None, None]
    """
    given = [None if is_blank(word) else str(word) for word in _column(data, "domain")]
    rows = zip(given, _column(data, "design"), _column(data, "species"), strict=True)
    found = [domain if domain is not None else _by(design, species) for domain, design, species in rows]
    silent = all(domain is None for domain in given)
    return given if silent and len(set(found) - {None}) < 2 else found


def domain_condition(data: pd.DataFrame, domain: str | None) -> str:
    """Return the condition that the rows of a domain meet, as `where` of a sheet takes it.

    data: all effects. domain: one that :func:`domains_of` gives for them.

    Examples
    --------
    >>> import pandas as pd
    >>> domain_condition(pd.DataFrame({"domain": [None, None], "species": ["mouse", "human"]}), "clinical")
    "is_blank(domain) and species == 'human'"
    """
    if not any(map(is_blank, _column(data, "domain"))) or domain not in (None, CLINICAL, PRECLINICAL):
        return f"domain == {domain!r}"
    has = {name: not all(map(is_blank, _column(data, name))) for name in ("domain", "design", "species")}
    known = [word for word in OF_DESIGNS if has["design"] and word in set(_column(data, "design"))]
    by_species = {None: "is_blank(species)", CLINICAL: f"species == {HUMAN!r}"}
    ways = [f"design in {here!r}"] if (here := [word for word in known if OF_DESIGNS[word] == domain]) else []
    other = [f"design not in {known!r}"] if known else []
    if has["species"]:
        other += [by_species.get(domain, f"not_blank(species) and species != {HUMAN!r}")]
    if has["species"] or domain is None:
        ways += [" and ".join(other)] if other else []
    silent = ["is_blank(domain)", f"({' or '.join(ways)})" if len(ways) > 1 else "".join(ways)]
    silent_words = " and ".join(filter(None, silent)) if ways or domain is None else ""
    given = f"domain == {domain!r}" if has["domain"] and domain is not None else ""
    found = [words for words in (given, silent_words) if words]
    return f"({' or '.join(found)})" if len(found) > 1 else "".join(found)


def _by(design: object, species: object) -> str | None:
    """Return the domain that the design, or else the species, says."""
    if design in OF_DESIGNS:
        return OF_DESIGNS[str(design)]
    if is_blank(species):
        return None
    return CLINICAL if str(species).casefold() == HUMAN else PRECLINICAL


def _column(data: pd.DataFrame, name: str) -> list[object]:
    return list(data[name]) if name in data else [None] * len(data)
