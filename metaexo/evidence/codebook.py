"""The codebook: which sheets there are, which columns they have, and what may stand in each.

There is one source of truth, the Frictionless `datapackage.json` beside the sheets; everything here is read
from it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from metaexo.evidence.places import Stamp, find_codebook, find_vocabulary, stamp

REQUIRED_SHEETS = ("studies", "outcomes")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a sheet and what may stand in it.

    Attributes
    ----------
    name, description, unit : str
        As in the codebook.
    type : {"string", "number", "integer"}
        Kind of its values.
    quantity : str
        What a number is ("sample_size", "standard_deviation", ...), where that decides how it is checked.
    required : bool
        Whether every row needs a value.
    unique : bool
        Whether no value may stand twice.
    words : tuple of str
        The allowed words; empty if any text will do.
    minimum, maximum : float or None
        Limits of a number.
    pattern : str
        Regular expression that text must match as a whole; empty for none.
    """

    name: str
    type: str = "string"
    description: str = ""
    unit: str = ""
    quantity: str = ""
    required: bool = False
    unique: bool = False
    words: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    pattern: str = ""

    @property
    def is_number(self) -> bool:
        """Whether the column holds numbers."""
        return self.type in ("number", "integer")

    @property
    def allowed(self) -> str:
        """What may stand in the column, in words."""
        if self.words:
            return ", ".join(self.words)
        if not self.is_number:
            return f"text of the form {self.pattern}" if self.pattern else "any text"
        kind = "whole numbers" if self.type == "integer" else "numbers"
        if self.minimum is not None and self.maximum is not None:
            return f"{kind} from {self.minimum:g} to {self.maximum:g}"
        return kind if self.minimum is None else f"{kind} of at least {self.minimum:g}"


@dataclass(frozen=True, slots=True)
class SheetPlan:
    """What the codebook says of one sheet."""

    name: str
    file: str
    title: str
    columns: Mapping[str, Column]
    key: str
    one_row_a_study: bool
    needs_study: bool

    @property
    def required_columns(self) -> tuple[str, ...]:
        """Columns without which the sheet cannot be read."""
        return tuple(column.name for column in self.columns.values() if column.required)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A word of the outcome vocabulary: what a reader sees, and the family that analyses group by."""

    label: str
    family: str


@dataclass(frozen=True, slots=True)
class Codebook:
    """The sheets of an evidence folder and the outcome vocabulary.

    Attributes
    ----------
    sheets : mapping of str to SheetPlan
        What each sheet holds, by name.
    outcomes : mapping of str to Outcome
        The words for outcomes, and the family of each.
    """

    sheets: Mapping[str, SheetPlan]
    outcomes: Mapping[str, Outcome]


def load_codebook(folder: Path | None = None) -> Codebook:
    """Return the codebook of a folder of sheets, or the one of metaexo.

    Parameters
    ----------
    folder : Path, optional
        A folder that may hold its own `datapackage.json` and `vocabulary/`.

    Returns
    -------
    Codebook
        Plans of the sheets by name, and the outcome vocabulary.

    Examples
    --------
    >>> load_codebook().sheets["outcomes"].columns["better"].words
    ('higher', 'lower', 'none')
    """
    names = ("source", "isolation", "outcome_family")
    vocabularies = tuple(stamp(find_vocabulary(name, folder)) for name in names)
    return _load(stamp(find_codebook(folder)), vocabularies)


@lru_cache(maxsize=8)
def _load(package: Stamp, vocabularies: tuple[Stamp, ...]) -> Codebook:
    """Return the codebook of these files."""
    resources = json.loads(package[0].read_text(encoding="utf-8"))["resources"]
    rows = {path.name: _rows(path) for path, _ in vocabularies}
    words = {r["name"]: rows.get(Path(r["path"]).name, []) for r in resources if "/" in r["path"]}
    return Codebook(
        {r["name"]: _plan(r, words) for r in resources if "/" not in r["path"]},
        {row["outcome"]: Outcome(row["label"], row["family"]) for row in rows["outcome_family.csv"]},
    )


def _plan(table: dict[str, Any], vocabularies: Mapping[str, list[dict[str, str]]]) -> SheetPlan:
    schema = table["schema"]
    words: dict[str, tuple[str, ...]] = {}
    needs_study = False
    for link in schema.get("foreignKeys", ()):
        target = link["reference"]["resource"]
        if target in vocabularies:
            words[link["fields"]] = tuple(row[link["reference"]["fields"]] for row in vocabularies[target])
        else:
            needs_study = True
    columns = {f["name"]: _column(f, words.get(f["name"], ())) for f in schema["fields"]}
    key = schema["fields"][0]["name"]
    return SheetPlan(
        table["name"],
        table["path"],
        table.get("title", table["name"]),
        columns,
        key,
        schema.get("primaryKey") == key,
        needs_study,
    )


def _column(entry: dict[str, Any], words: tuple[str, ...]) -> Column:
    limits = entry.get("constraints", {})
    return Column(
        name=entry["name"],
        type=entry["type"],
        description=entry.get("description", ""),
        unit=entry.get("unit", ""),
        quantity=entry.get("quantity", ""),
        required=limits.get("required", False),
        unique=limits.get("unique", False),
        words=words or tuple(limits.get("enum", ())),
        minimum=limits.get("minimum"),
        maximum=limits.get("maximum"),
        pattern=limits.get("pattern", ""),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
