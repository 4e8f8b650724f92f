"""What studies are called in print: author and year, or a short description; no two have one name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from itertools import count
from numbers import Real
from typing import TYPE_CHECKING

from metaexo.inputs import check_columns, is_blank

if TYPE_CHECKING:
    import pandas as pd

NAME = "study_name"
"""Column of every table of the sheets: what the study is called in figures, tables and sentences."""

Owner = tuple[str, str]
"""The column that identifies studies (study_id, review_id) and its cell."""

ONE_VALUE = ("source", "source_reported", "isolation")
"""Fields that describe a study only where all its rows agree."""
FIELDS = ("first_author", "year", "domain", "model", "indication", *ONE_VALUE)
UNTOLD = frozenset(("other", "other method", "not reported", "all sources", "all methods"))
CONDITIONS = {
    "covid19_ards": "COVID-19 or ARDS",
    "gvhd": "graft-versus-host disease",
    "alzheimer": "Alzheimer's disease",
}
LONGEST = 32
"""Letters that words of a paper may have to stand in a name."""
NOT_SEEN = "authors not seen"
EXAMPLE = "example"
"""How the name of a study begins that is an example of the template, in small letters."""
_PUBMED = re.compile(r"pmid([1-9]\d*)")


def is_example(study: object) -> bool:
    """Return whether a row is an example of the template: its study begins with the word "Example".

    Readers leave such rows out and say so.

    Examples
    --------
    >>> is_example("Example 1 (delete)"), is_example(" EXAMPLE 2"), is_example("Exampli 2020")
    (True, True, False)
    """
    text = str(study).strip().casefold() if isinstance(study, str) else ""
    return text.startswith(EXAMPLE) and not text[len(EXAMPLE) : len(EXAMPLE) + 1].isalpha()


def study_names(tables: Iterable[tuple[str, pd.DataFrame]]) -> dict[Owner, str]:
    """Return what each study is called, by the column that identifies it and its cell.

    The name is "Author year". Where the authors were not seen it is a short description from the fields of
    the study: what was treated, the source of the vesicles (or the method of isolation), the year. Equal
    names get letters, those of the sheet's own keys if there are any ("li2020b"). Where no study of the
    tables has an author, and where a key reads as a name ("Li 2020", "PRJNA675356"), the key is the name; a
    paper known by its PubMed identifier alone is "PMID 12345".

    Parameters
    ----------
    tables : iterable of (str, DataFrame)
        The column that identifies studies, and a table that has it. What an earlier table knows of a study
        stands before what a later one knows.
    """
    known: dict[Owner, dict[str, object]] = {}
    for key, table in tables:
        for owner, facts in _facts(key, table).items():
            known[owner] = facts | known.get(owner, {})
    authors = any("first_author" in facts for facts in known.values())
    owners: dict[str, list[Owner]] = {}
    for owner, facts in known.items():
        owners.setdefault(_name(owner[1], facts, authors), []).append(owner)
    names: dict[Owner, str] = {}
    taken = set(owners)
    for name, several in owners.items():
        letters = _letters(name, several, taken) if len(several) > 1 else [name]
        names.update(zip(several, letters, strict=True))
    return {owner: names[owner] for owner in known}


def named_studies(frame: pd.DataFrame, key: str) -> list[str]:
    """Return what a reader sees of the study of each row: the author and the year, or what was studied.

    Use it for a table of one's own with the columns of the sheets. Two studies of one name get letters. A
    column `study_name` is taken as it is.

    Parameters
    ----------
    frame : DataFrame
        One row per effect; of use are the columns first_author, year, domain, model, indication, source and
        isolation.
    key : str
        Column that tells studies apart, for example "study_id".

    Returns
    -------
    list of str
        A name per row.

    Raises
    ------
    UnknownChoiceError
        If the table has no such column.

    Examples
    --------
    >>> import pandas as pd
    >>> import metaexo as mx
    >>> rows = pd.DataFrame({"study_id": ["a", "b"], "first_author": ["Li J", "Li X"], "year": [2020, 2020]})
    >>> mx.evidence.named_studies(rows, "study_id")
    ['Li 2020a', 'Li 2020b']
    """
    check_columns(frame, "the table", [key])
    if NAME in frame:
        return [str(name) for name in frame[NAME]]
    made = study_names([(key, frame)])
    return [made[key, str(study)] for study in frame[key]]


def _facts(key: str, table: pd.DataFrame) -> dict[Owner, dict[str, object]]:
    """Return what a table says of each of its studies: of each field the first cell that is filled."""
    columns = [(field, list(table[field])) for field in FIELDS if field in table]
    found: dict[Owner, dict[str, object]] = {}
    for i, study in enumerate(table[key]):
        facts = found.setdefault((key, str(study)), {})
        for field, cells in columns:
            if is_blank(cells[i]):
                continue
            differs = facts.setdefault(field, cells[i]) != cells[i]
            if differs and field in ONE_VALUE:
                facts[field] = ""
    return found


def _name(key: str, facts: Mapping[str, object], authors: bool) -> str:
    """Return the name of one study, before equal names get letters."""
    year = facts.get("year")
    when = [f"{year:.0f}"] if isinstance(year, Real) and math.isfinite(year) else []
    author = facts.get("first_author")
    if isinstance(author, str):
        return " ".join([_family_name(author), *when])
    if not authors or " " in key or key[:1].isupper():
        return key
    if of_pubmed := _PUBMED.fullmatch(key):
        return f"PMID {of_pubmed[1]}"
    what = _what(facts)
    told = [what, _source(facts), "" if what else _small(_text(facts, "isolation"))]
    told = [words for words in told if words]
    if not told or (len(told) == 1 and not when):
        told.append(NOT_SEEN)
    return ", ".join([_capital(told[0]), *told[1:], *when])


def _family_name(author: str) -> str:
    """Return an author without the initials that follow the family name."""
    words = author.split()
    while len(words) > 1 and re.fullmatch(r"[A-Z]{1,4}", words[-1]):
        words.pop()
    return " ".join(words)


def _what(facts: Mapping[str, object]) -> str:
    """Return what was treated: the model of a preclinical study if it is short, else the indication."""
    if facts.get("domain") == "preclinical" and (model := _phrase(facts, "model")):
        return model
    indication = _text(facts, "indication")
    return CONDITIONS.get(indication, indication.replace("_", " "))


def _source(facts: Mapping[str, object]) -> str:
    """Return the source of the vesicles: its label, or, if that says nothing, the words of the paper."""
    return _small(_text(facts, "source").partition(",")[0]) or _phrase(facts, "source_reported")


def _phrase(facts: Mapping[str, object], field: str) -> str:
    """Return the first words of a field, without what stands in brackets; empty if they are many."""
    words = re.split(r"[,;]", re.sub(r"\([^)]*\)\s*", "", _text(facts, field)))[0].strip()
    return words if len(words) <= LONGEST else ""


def _text(facts: Mapping[str, object], field: str) -> str:
    """Return the words of a field, empty if they say nothing."""
    words = str(facts.get(field, "")).strip()
    return "" if words.replace("_", " ").casefold() in UNTOLD else words


def _small(label: str) -> str:
    """Return a label for the middle of a name; acronyms stay as they are."""
    return label[0].lower() + label[1:] if label[1:2].islower() else label


def _capital(words: str) -> str:
    """Return words for the beginning of a name; "db/db" and "iPSC" stay as they are."""
    first = re.split(r"[ -]", words)[0]
    return words[0].upper() + words[1:] if first.isalpha() and first.islower() else words


def _letters(name: str, owners: Iterable[Owner], taken: set[str]) -> list[str]:
    """Return one name per owner of the same name: that of its key if it ends in a letter, else the next."""
    year = name[-4:] if name[-4:].isdigit() else ""
    own = [re.search(rf"{year}([a-z])$", key) if year else None for _, key in owners]
    wanted = [match.group(1) if match else "" for match in own]
    if len({letter for letter in wanted if letter}) < sum(map(bool, wanted)):
        wanted = [""] * len(wanted)
    taken |= {_with_letter(name, year, letter) for letter in wanted if letter}
    fresh = (letter for letter in map(_letter, count(1)) if _with_letter(name, year, letter) not in taken)
    return [_with_letter(name, year, letter or next(fresh)) for letter in wanted]


def _with_letter(name: str, year: str, letter: str) -> str:
    return f"{name}{letter}" if year else f"{name} ({letter})"


def _letter(number: int) -> str:
    """Return a, b, ..., z, aa, ab, ... for 1, 2, ..."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters
