"""The codebook: which sheets there are, which columns they have, and what may stand in each.

There is one source of truth, the Frictionless `datapackage.json` beside the sheets; everything here is read
from it. It is found beside the sheets, in the installed package, or in the source tree.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

from metaexo.errors import CodebookError, InputError
from metaexo.evidence.patterns import read_form
from metaexo.readable import shows_itself

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
        Whether every value may occur only once.
    words : tuple of str
        The allowed words; empty if any text will do.
    minimum, maximum : float or None
        Limits of a number.
    pattern : str
        Form that text must have as a whole, as :func:`metaexo.evidence.patterns.read_form` reads it; empty
        for none.
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
    one_row_per_study: bool
    studies: str  # the sheet in which the studies of the rows stand; empty if the rows stand alone

    @property
    def required_columns(self) -> tuple[str, ...]:
        """Columns without which the sheet cannot be read."""
        return tuple(column.name for column in self.columns.values() if column.required)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A word of the outcome vocabulary: what a reader sees, and the family that analyses group by."""

    label: str
    family: str


@shows_itself
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
        Plans of the sheets by name, and the outcome vocabulary. Sheets and columns that the codebook of a
        folder does not describe are as metaexo has them.

    Raises
    ------
    CodebookError
        If the codebook or a vocabulary cannot be read; it says where and why.

    Examples
    --------
    >>> load_codebook().sheets["outcomes"].columns["better"].words
    ('higher', 'lower', 'none')
    """
    names = tuple(_VOCABULARY)
    vocabularies = tuple(stamp(find_vocabulary(name, folder)) for name in names)
    return _load(stamp(find_codebook(folder)), vocabularies)


@lru_cache(maxsize=8)
def _load(package: Stamp, vocabularies: tuple[Stamp, ...]) -> Codebook:
    """Return the codebook of these files; what a folder's own does not describe is as metaexo has it."""
    path = package[0]
    ours = find_codebook()
    base = None if path == ours else _load(stamp(ours), vocabularies).sheets
    entries = _Entries(path.name)
    top = entries.need(_json(path), dict, "the file")
    resources = [
        entries.need(r, dict, f"resource {i}") for i, r in enumerate(entries.of(top, "resources", list), 1)
    ]
    files = [entries.of(r, "path", str) for r in resources]
    for file in files:
        if "/" in file.removeprefix("vocabulary/"):
            raise entries.error(f"a 'path' is {file!r}", "a file beside the codebook, or in vocabulary/")
    rows = {found.name: vocabulary_rows(found, _VOCABULARY[found.stem]) for found, _ in vocabularies}
    words = {
        entries.of(r, "name", str): rows.get(Path(file).name, [])
        for r, file in zip(resources, files, strict=True)
        if "/" in file
    }
    plans = [
        _plan(entries, r, words, base or {})
        for r, file in zip(resources, files, strict=True)
        if "/" not in file
    ]
    return Codebook(
        {**(base or {}), **{plan.name: plan for plan in plans}},
        {row["outcome"]: Outcome(row["label"], row["family"]) for row in rows["outcome_family.csv"]},
    )


_VOCABULARY = {
    "source": ("category", "label", "group"),
    "isolation": ("category", "label", "group"),
    "source_kind": ("category", "label", "group"),
    "isolation_step": ("category", "label", "group"),
    "outcome_family": ("outcome", "label", "family"),
}
"""Columns that a vocabulary needs."""


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        where = f"{path.name} line {error.lineno}, letter {error.colno}"
        raise CodebookError(
            f"{path.name} is no JSON ({error.msg})", "a Frictionless package", _MEND, where
        ) from None
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        why = "its brackets are nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CodebookError(
            f"{path.name} cannot be read ({why})", "JSON in UTF-8", _MEND, path.name
        ) from None


_MEND = "mend it, or delete it: the codebook of metaexo is used then"
_KINDS: Mapping[Any, str] = {
    dict: "an object { }",
    list: "a list [ ]",
    str: "a text",
    bool: "true or false",
    float: "a number",
}


@dataclass(frozen=True, slots=True)
class _Entries:
    """Reads the entries of a codebook, and says which is not as it has to be."""

    file: str

    def error(self, given: str, needed: str) -> CodebookError:
        return CodebookError(given, needed, _MEND, self.file)

    def need(self, value: Any, kind: type, what: str) -> Any:
        """Return a value that is of a kind."""
        fits = (
            isinstance(value, int | float) and not isinstance(value, bool)
            if kind is float
            else isinstance(value, kind)
        )
        if not fits:
            shown = repr(value)
            shown = shown if len(shown) <= 60 else f"{shown[:60]} ..."
            raise self.error(f"{what} is {shown}", _KINDS[kind])
        return value

    def of(self, entry: Mapping[str, Any], name: str, kind: type, default: Any = None) -> Any:
        """Return one part of an entry; without a default it has to be there."""
        what = f"{name!r} of {entry.get('name', 'an entry')!r}"
        if entry.get(name) is None:
            if default is None:
                raise self.error(f"{what} is missing", _KINDS[kind])
            return default
        return self.need(entry[name], kind, what)

    def words(self, entry: Mapping[str, Any], name: str) -> tuple[str, ...]:
        return tuple(self.need(word, str, f"a word of {name!r}") for word in self.of(entry, name, list, []))


def _plan(
    entries: _Entries,
    table: Mapping[str, Any],
    vocabularies: Mapping[str, list[dict[str, str]]],
    base: Mapping[str, SheetPlan],
) -> SheetPlan:
    name, file = entries.of(table, "name", str), entries.of(table, "path", str)
    if not file.endswith(".csv") or file.startswith(".") or "\\" in file:
        raise entries.error(f"'path' of {name!r} is {file!r}", "the name of a CSV file beside it")
    ours = base.get(name)
    schema = entries.of(table, "schema", dict)
    fields = [entries.need(f, dict, f"a field of {name!r}") for f in entries.of(schema, "fields", list)]
    if not fields:
        raise entries.error(f"{name!r} has no field", "one field at least")
    words, studies = _links(entries, schema, vocabularies, name)
    columns: dict[str, Column] = {}
    for field in fields:
        column = _column(entries, field, words)
        known = ours.columns.get(column.name) if ours else None
        if known is not None and known.is_number != column.is_number:
            raise entries.error(
                f"'type' of {column.name!r} is {column.type!r}", f"{known.type!r}, as metaexo has it"
            )
        if column.name in columns:
            raise entries.error(f"{name!r} has the field {column.name!r} twice", "one field of each name")
        columns[column.name] = column
    key = ours.key if ours else next(iter(columns))
    return SheetPlan(
        name,
        file,
        entries.of(table, "title", str, name),
        {**columns, **{c.name: c for c in (ours.columns.values() if ours else ()) if c.name not in columns}},
        key,
        ours.one_row_per_study if ours else schema.get("primaryKey") == key,
        ours.studies if ours else studies,
    )


def _links(
    entries: _Entries, schema: Mapping[str, Any], vocabularies: Mapping[str, list[dict[str, str]]], sheet: str
) -> tuple[dict[str, tuple[str, ...]], str]:
    """Return the words that columns take from vocabularies, and the sheet that rows have their studies in."""
    words: dict[str, tuple[str, ...]] = {}
    studies = ""
    for link in entries.of(schema, "foreignKeys", list, []):
        entries.need(link, dict, f"a foreign key of {sheet!r}")
        there = entries.of(link, "reference", dict)
        target, column = entries.of(there, "resource", str), entries.of(there, "fields", str)
        if target not in vocabularies:
            studies = target
            continue
        rows = vocabularies[target]
        if rows and column not in rows[0]:
            raise entries.error(
                f"a foreign key of {sheet!r} leads to {column!r} of {target!r}",
                f"one of {', '.join(rows[0])}",
            )
        words[entries.of(link, "fields", str)] = tuple(row[column] for row in rows)
    return words, studies


def _column(entries: _Entries, entry: Mapping[str, Any], words: Mapping[str, tuple[str, ...]]) -> Column:
    name = entries.of(entry, "name", str)
    limits = entries.of(entry, "constraints", dict, {})
    pattern = entries.of(limits, "pattern", str, "")
    if pattern:
        try:
            read_form(pattern)
        except InputError as error:
            raise entries.error(f"column {name!r}: {error.given}", error.needed) from None
    ends = {
        end: None if limits.get(end) is None else entries.of(limits, end, float)
        for end in ("minimum", "maximum")
    }
    return Column(
        name=name,
        type=entries.of(entry, "type", str, "string"),
        description=entries.of(entry, "description", str, ""),
        unit=entries.of(entry, "unit", str, ""),
        quantity=entries.of(entry, "quantity", str, ""),
        required=entries.of(limits, "required", bool, False),
        unique=entries.of(limits, "unique", bool, False),
        words=words.get(name) or entries.words(limits, "enum"),
        minimum=ends["minimum"],
        maximum=ends["maximum"],
        pattern=pattern,
    )


def vocabulary_rows(path: Path, needed: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the rows of a vocabulary, cells stripped; refuse missing cells and a value held twice."""
    name = f"vocabulary/{path.name}"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = [(row, line) for line, row in enumerate(csv.DictReader(file, strict=True), 2)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CodebookError(f"{name} cannot be read ({error})", "CSV in UTF-8", _MEND, name) from None
    rows: dict[str, dict[str, str]] = {}
    for row, line in found:
        cells = {(key or "").strip(): value.strip() for key, value in row.items() if isinstance(value, str)}
        lacking = [column for column in needed if not cells.get(column)]
        if lacking:
            raise CodebookError(
                f"{name} has no {' and no '.join(lacking)} in a row",
                f"the columns {', '.join(needed)}",
                _MEND,
                f"{name} line {line}",
            )
        if cells[needed[0]] in rows:
            raise CodebookError(
                f"{name} holds {cells[needed[0]]!r} twice", "each word once", _MEND, f"{name} line {line}"
            )
        rows[cells[needed[0]]] = cells
    if not rows:
        raise CodebookError(f"{name} has no row", f"rows with {', '.join(needed)}", _MEND, name)
    return list(rows.values())


Stamp = tuple[Path, int]
"""A file and the time of its last change: what a cache of its content is kept under."""

CODEBOOK = "datapackage.json"
_HERE: Path = Path(__file__).parent
_OURS: tuple[Path, ...] = (_HERE / "codebook_data", _HERE.parents[1] / "data")


def find_codebook(folder: Path | None = None) -> Path:
    """Return the path of the codebook that describes the sheets of a folder.

    A folder may bring a `datapackage.json` of its own; otherwise the one of metaexo is used.
    """
    return _find(CODEBOOK, folder)


def find_vocabulary(name: str, folder: Path | None = None) -> Path:
    """Return the path of a vocabulary: `vocabulary/<name>.csv` of the folder, or the one of metaexo."""
    return _find(f"vocabulary/{name}.csv", folder)


def find_sheets() -> Path:
    """Return the folder of metaexo's own sheets: that of the installed package, or data/ of a checkout."""
    return _find(f"{REQUIRED_SHEETS[0]}.csv", None).parent


def stamp(path: Path) -> Stamp:
    """Return a file with the time of its last change."""
    return path, path.stat().st_mtime_ns


def _find(part: str, folder: Path | None) -> Path:
    if folder is not None and not isinstance(folder, str | PathLike):
        raise InputError(
            f"the folder is of type {type(folder).__name__}", "a path, or None for metaexo's own"
        )
    if folder is not None and (
        "\0" in str(folder) or any(len(p.encode(errors="surrogatepass")) > 255 for p in Path(folder).parts)
    ):
        raise InputError(f"the folder is {str(folder)[:80]!r}", "the path of a folder")
    places: list[Path] = [Path(folder)] if folder is not None else []
    for place in [*places, *_OURS]:
        path = place / part
        if path.is_file():
            return path
    raise InputError(f"{part} is not installed with metaexo", f"it in {_OURS[0]}", "install metaexo again")
