"""Reading and checking a folder of sheets; categories, labels and outcome families are added."""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects.measure import get_measure
from metaexo.errors import (
    CodebookError,
    InputError,
    MetaexoError,
    MissingSheetError,
    UnknownOutcomeWarning,
    nearest_word,
)
from metaexo.evidence import reading
from metaexo.evidence.checking.gaps import gaps_of
from metaexo.evidence.checking.places import Place, places_of
from metaexo.evidence.checking.prospects import prospect_of
from metaexo.evidence.checking.sheet_check import SheetCheck
from metaexo.evidence.codebook import (
    CODEBOOK,
    REQUIRED_SHEETS,
    Codebook,
    SheetPlan,
    find_codebook,
    find_sheets,
    load_codebook,
)
from metaexo.evidence.names import NAME
from metaexo.evidence.problems import (
    SheetErrors,
    SheetProblem,
    collected,
)
from metaexo.evidence.reading import RawSheet, read_raw
from metaexo.evidence.sheets import Sheets
from metaexo.evidence.slips.checks import find_slips
from metaexo.evidence.slips.rows import ARMS
from metaexo.evidence.values import check_across, to_values
from metaexo.evidence.vocabulary import (
    NOT_REPORTED,
    VOCABULARIES,
    Kind,
    isolation_category,
    isolation_main_step,
    isolation_methods,
    isolation_step_label,
    isolation_steps,
    load_vocabulary,
    source_category,
    source_kind,
)

if TYPE_CHECKING:
    import pandas as pd


def read_sheets(folder: str | Path) -> Sheets:
    """Read and check a folder of evidence sheets.

    Use it for your own sheets, a folder with `studies.csv` and `outcomes.csv`; the other sheets may be
    missing. Those of metaexo are in `data/`; :func:`evidence_sheets` finds them wherever it is installed. The
    codebook is that of metaexo unless the folder has a `datapackage.json` or a `vocabulary/` of its own.
    Columns of your own are kept.

    Parameters
    ----------
    folder : str or Path
        The folder.

    Returns
    -------
    Sheets
        Tables, ledger, and `effects()`.

    Raises
    ------
    SheetErrors
        All problems of all sheets at once, each an error of its own class that names file, line, study,
        column, value, what is allowed and what to do.

    Warns
    -----
    SheetWarning
        One warning per kind for what is possible but looks wrong, unless the row explains it in `caution`:
        words that name kinds of findings settle these alone, others whatever is found.

    Examples
    --------
    >>> import metaexo as mx
    >>> sheets = mx.read_sheets("data")
    >>> len(sheets.outcomes), sheets.ledger.total
    (227, 227)
    """
    check, sheets = _read(_path(folder))
    if sheets is None:
        raise SheetErrors(check.folder, check.problems)
    kinds: dict[type, list[SheetProblem]] = {}
    for finding in check.warnings:
        if finding.kind is UnknownOutcomeWarning and finding.nearest is None:
            continue  # a word outside the vocabulary: listed by check_sheets, nothing to warn of
        kinds.setdefault(finding.kind, []).append(finding)
    for kind, findings in kinds.items():
        places = "; ".join(f"{finding.where}: {finding.what}" for finding in findings[:8])
        more = f"; and {len(findings) - 8} more" if len(findings) > 8 else ""
        warnings.warn(
            f"{places}{more}. What to do: {findings[0].remedy}. Words in the column `caution` of a row "
            f"silence this for the row (all findings, unless they name kinds such as {kind.__name__})",
            kind,
            stacklevel=2,
        )
    return sheets


def evidence_sheets() -> Sheets:
    """Return the evidence sheets of metaexo: what exosome studies report.

    Use it to begin without data of your own: clinical and preclinical outcomes, preparations, safety,
    published meta-analyses, the miRNA cargo of 305 public projects, isolation methods on the same material,
    and vesicles after brain injury. They come with the installed package; in a checkout they are those in
    `data/`. Each row has the place where its numbers stand; `data/README.md` says what they can carry.

    Returns
    -------
    Sheets
        As :func:`read_sheets` gives them.

    Raises
    ------
    SheetErrors
        If they were changed and do not fit the codebook any more.

    Examples
    --------
    >>> import metaexo as mx
    >>> cargo = mx.evidence_sheets().cargo_groups
    >>> cargo["study_id"].nunique(), cargo["laboratory"].nunique()
    (305, 278)
    """
    return read_sheets(find_sheets())


def check_sheets(folder: str | Path, *, measure: str | None = None) -> SheetCheck:
    """Check a folder of evidence sheets without raising.

    Use it on the command line and while sheets are being filled.

    Parameters
    ----------
    folder : str or Path
        The folder.
    measure : str, optional
        Code of the measure whose effects are counted. Default: the one that most rows give.

    Returns
    -------
    SheetCheck
        Problems, warnings and cautions; where each study goes (`places`); rows that give no effect and what
        they need (`gaps`); effects and studies per stratum (`prospect`). `ok`, `to_frame()`, and `report()`
        for reading.

    Raises
    ------
    UnknownChoiceError
        If the measure is not known.

    Examples
    --------
    >>> import metaexo as mx
    >>> check = mx.check_sheets("data")
    >>> check.ok, check.prospect.measure, check.prospect.effects
    (True, 'SMD', 23)
    """
    if measure is not None:
        get_measure(measure)
    found, sheets = _read(_path(folder))
    if sheets is None:
        return found
    prospect = prospect_of(sheets, measure)
    names = dict(
        zip(sheets.studies[sheets.codebook.sheets["studies"].key], sheets.studies[NAME], strict=True)
    )
    return replace(
        found,
        ledger=sheets.ledger,
        bounded=sheets.rows_with_bounds(),
        places=tuple(
            replace(place, studies=tuple(dict.fromkeys(names[study] for study in place.studies)))
            for place in found.places
        ),
        gaps=gaps_of(sheets, prospect.left_out),
        prospect=prospect,
    )


def _path(folder: object) -> Path:
    """Return a path; refuse what is none."""
    text = str(folder) if isinstance(folder, str | PathLike) else ""
    if (
        text.strip()
        and "\0" not in text
        and all(len(part.encode()) <= LONGEST_NAME for part in Path(text).parts)
    ):
        return Path(text)
    raise InputError(
        f"the folder is {folder!r}"[:200],
        "the path of a folder with studies.csv and outcomes.csv",
        'read_sheets("data")',
    )


def _of_codebook(error: CodebookError) -> SheetProblem:
    """Return the problem of a codebook that cannot be used; without it no sheet can be read."""
    file = error.rows[0] if error.rows else CODEBOOK
    return SheetProblem(CodebookError, error.given, error.needed, error.remedy, file)


def _without_bad_cells(sheet: RawSheet, frame: pd.DataFrame) -> tuple[RawSheet, pd.DataFrame]:
    """Return a sheet in which the cells that have a problem are empty: nothing follows from them."""
    at = {line: i for i, line in enumerate(sheet.lines)}
    bad = [(at[p.line], p.column) for p in sheet.problems if p.line in at and p.column in sheet.plan.columns]
    if not bad:
        return sheet, frame
    rows, frame = list(sheet.rows), frame.copy()
    for i, column in bad:
        rows[i] = {**rows[i], column: ""}
    for column in {column for _, column in bad}:
        empty = np.nan if sheet.plan.columns[column].is_number else None
        values = frame[column].to_numpy(copy=True)
        values[[i for i, name in bad if name == column]] = empty
        frame[column] = values
    return replace(sheet, rows=rows), frame


def _missing(folder: Path, plan: SheetPlan) -> SheetProblem:
    """Return the problem of a sheet that is not there, with what is there in its place."""
    others = sorted(found.name for found in folder.glob("*.csv")) if folder.is_dir() else []
    near = nearest_word(plan.file, others)
    what, remedy = f"there is no {plan.file} in {folder}", f"add {plan.file}"
    books = _workbooks(folder)
    if folder.is_file() and not books:
        what, remedy = f"{folder} is a file, not a folder", f"name the folder: {str(folder.parent)!r}"
    elif books:
        what = f"{what}, but there is the workbook {books[0].name}"
        remedy = (
            f'save each of its sheets as "CSV UTF-8" under the names {" and ".join(_REQUIRED)}, in one folder'
        )
    elif near:
        remedy = f"rename {near} to {plan.file}, if it is that sheet"
    elif not folder.exists():
        what, remedy = f"there is no folder {folder}", "look at the path; it begins at the working folder"
    needed = "a folder with " + " and ".join(_REQUIRED)
    return SheetProblem(MissingSheetError, what, needed, remedy, plan.file, nearest=near)


LONGEST_NAME = 255
"""Bytes that the name of a file may have."""
_REQUIRED = tuple(f"{name}.csv" for name in REQUIRED_SHEETS)
_WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")


def _workbooks(folder: Path) -> list[Path]:
    """Return the workbooks in a folder, or beside it under its name, or in its place."""
    if folder.suffix.lower() in _WORKBOOKS:
        return [folder]
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    beside = [folder.with_name(folder.name + suffix) for suffix in _WORKBOOKS] if folder.name else []
    found = [*inside, *(path for path in beside if path.is_file())]
    return [path for path in found if path.suffix.lower() in _WORKBOOKS and not path.name.startswith("~")]


_KIND = re.compile(r"\b[A-Z][A-Za-z]*Warning\b")
"""The name of a kind of finding."""
MOST_KEPT = 4
"""Folders that are kept in memory after they were read."""
_KEPT: dict[bytes, tuple[SheetCheck, Sheets]] = {}


def _read(folder: Path) -> tuple[SheetCheck, Sheets | None]:
    """Return what was found in a folder, and its sheets unless there are problems.

    A folder without problems is read once: as long as no byte of its files changes, the next call copies the
    tables of the first.
    """
    content = _content(folder)
    if content not in _KEPT:
        made = _Reading(folder)
        check = made.check
        if check.problems:
            return check, None
        if content is None:
            return check, made.sheets()
        while len(_KEPT) >= MOST_KEPT:
            _KEPT.pop(next(iter(_KEPT)), None)
        _KEPT[content] = check, made.sheets()
    check, sheets = _KEPT[content]
    frames = {name: frame.copy() for name, frame in sheets._frames.items()}
    return check, replace(sheets, _frames=MappingProxyType(frames))


def _content(folder: Path) -> bytes | None:
    """Return the fingerprint of all that is read of a folder, and of its path; None if it cannot be read."""
    found = hashlib.blake2b(f"{folder}\n{Path.cwd()}".encode(errors="surrogatepass"))
    try:
        books = dict.fromkeys([find_codebook(folder), find_codebook()])
        sheets = [folder / plan.file for plan in load_codebook(folder).sheets.values()]
        places = dict.fromkeys([folder, *(book.parent for book in books)])
        words = [path for place in places for path in sorted((place / "vocabulary").glob("*.csv"))]
        for path in filter(Path.is_file, (*books, *words, *sheets)):
            if path.stat().st_size > reading.LARGEST_FILE:
                return None
            content = path.read_bytes()
            found.update(f"\n{path} {len(content)}\n".encode(errors="surrogatepass") + content)
    except (OSError, CodebookError):
        return None
    return found.digest()


class _Reading:
    """One pass over a folder: raw sheets, values, problems and findings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[SheetProblem] = []
        self.findings: list[SheetProblem] = []
        self.frames: dict[str, pd.DataFrame] = {}
        self.spoken: dict[tuple[str, int | None], frozenset[str]] = {}  # kinds that words name; empty: all
        try:
            self.codebook = load_codebook(folder)
        except CodebookError as error:
            self.problems.append(_of_codebook(error))
            return
        studies: dict[str, set[str]] = {}
        for name, plan in self.codebook.sheets.items():
            sheet = self._raw(plan)
            self.findings += [p for p in sheet.problems if not issubclass(p.kind, MetaexoError)]
            sheet.problems = [p for p in sheet.problems if issubclass(p.kind, MetaexoError)]
            frame = to_values(sheet)
            if sheet.rows:
                check_across(sheet, frame, studies.get(plan.studies))
                found = find_slips(*_without_bad_cells(sheet, frame), self.codebook.outcomes, self.folder)
                sheet.problems += [slip for slip in found if issubclass(slip.kind, MetaexoError)]
                self.findings += [slip for slip in found if not issubclass(slip.kind, MetaexoError)]
                self._note_cautions(plan, frame)
            if plan.one_row_per_study and sheet.rows:
                studies[name] = set(frame[plan.key].dropna())
            self.problems += sheet.problems
            self.frames[name] = frame

    def _raw(self, plan: SheetPlan) -> RawSheet:
        path = self.folder / plan.file
        if path.is_file():
            return read_raw(path, plan)
        if plan.name in REQUIRED_SHEETS:
            self.problems.append(_missing(self.folder, plan))
        return RawSheet(plan)

    def _note_cautions(self, plan: SheetPlan, frame: pd.DataFrame) -> None:
        if "caution" in frame:
            said = frame.loc[frame["caution"].notna(), ["line", "caution"]]
            for line, words in said.itertuples(index=False):
                self.spoken[plan.file, int(line)] = frozenset(_KIND.findall(str(words)))

    def _is_settled(self, finding: SheetProblem) -> bool:
        """Return whether words in `caution` of the row settle a finding: those that name kinds only these."""
        named = self.spoken.get((finding.file, finding.line))
        return named is not None and (not named or finding.kind.__name__ in named)

    @property
    def check(self) -> SheetCheck:
        """What was found."""
        spoken = [f for f in self.findings if self._is_settled(f)]
        rows = {name: len(frame) for name, frame in self.frames.items() if len(frame)}
        new = tuple(f for f in self.findings if not self._is_settled(f))
        problems, new = collected(self.problems), collected(new)
        return SheetCheck(str(self.folder), problems, new, tuple(spoken), rows, places=self.places())

    def places(self) -> tuple[Place, ...]:
        """Return where the studies go by their words, as they stand in the sheet."""
        if (frame := self.frames.get("studies")) is None or not len(frame):
            return ()
        return places_of(frame, frame[self.codebook.sheets["studies"].key].fillna(""), self.folder)

    def sheets(self) -> Sheets:
        """Return the sheets, once there are no problems."""
        frames = {
            name: finish(name, frame, self.codebook, self.folder) for name, frame in self.frames.items()
        }
        cautions = tuple(finding for finding in self.findings if self._is_settled(finding))
        return Sheets(str(self.folder), self.codebook, MappingProxyType(frames), cautions)


def finish(name: str, frame: pd.DataFrame, codebook: Codebook, folder: Path | None) -> pd.DataFrame:
    """Return a sheet with empty categories filled and with the columns that analyses group by.

    These are `use`, "main" where it was empty; `source`, `source_group`, `source_kind`, `isolation`,
    `isolation_group` and `isolation_step` (labels) where there are categories, the step of both arms where
    there are two; `outcome_label` and `outcome_family` where there are outcomes; `isolation_methods` for
    studies; `method_pair` where two methods are compared.
    """
    frame = frame.copy()
    own = codebook.sheets[name].columns
    if "use" in frame:
        frame["use"] = frame["use"].fillna("main")
    _fill_categories(frame, folder)
    for kind, column in _columns_of_kinds(frame):
        words = load_vocabulary(kind, folder)
        frame[kind] = frame[column].map(words.label)
        if f"{kind}_group" not in own:
            frame[f"{kind}_group"] = frame[column].map(words.group)
    if "source_category" in frame:
        frame["source_kind"] = _source_kinds(frame, "source_group" in own, folder)
    _add_steps(frame, folder)
    if "outcome" in frame and name != "direction_only":
        known = codebook.outcomes
        frame["outcome_label"] = [_outcome_label(codebook, word) for word in frame["outcome"]]
        frame["outcome_family"] = [
            known[word].family if word in known else _outcome_label(codebook, word)
            for word in frame["outcome"]
        ]
    if name == "studies":
        frame["isolation_methods"] = [
            _methods(text, category, folder)
            for text, category in zip(frame["isolation_reported"], frame["isolation_category"], strict=True)
        ]
    if "control_isolation" in frame:
        isolation = load_vocabulary("isolation", folder)
        frame["method_pair"] = [
            f"{isolation.label(a)} vs {_small(isolation.label(b))}"
            if isinstance(a, str) and isinstance(b, str)
            else None
            for a, b in zip(frame["treatment_isolation"], frame["control_isolation"], strict=True)
        ]
    return frame


def _columns_of_kinds(frame: pd.DataFrame) -> list[tuple[Kind, str]]:
    """Return the column that holds the category of each kind; that of a single arm is the row's."""
    found = [(kind, f"{kind}_category") for kind in VOCABULARIES if f"{kind}_category" in frame]
    if len(found) == 1 and "treatment_isolation" in frame and "control_isolation" not in frame:
        found.append(("isolation", "treatment_isolation"))
    return found


def _source_kinds(frame: pd.DataFrame, grouped: bool, folder: Path | None) -> list[str]:
    """Return the label of the finer source of each row: that of the sheet's own groups, or from its words."""
    if grouped:
        label = load_vocabulary("source_kind", folder).label
        return [label(word) for word in frame["source_group"].fillna(NOT_REPORTED)]
    words = frame["source_reported"] if "source_reported" in frame else frame["source_category"]
    pairs = list(zip(words, frame["source_category"], strict=True))
    kinds = {pair: source_kind(*pair, folder) for pair in dict.fromkeys(pairs)}
    return [kinds[pair] for pair in pairs]


def _add_steps(frame: pd.DataFrame, folder: Path | None) -> None:
    """Add the label of the step that decides the isolation, of the row and of both arms of a comparison."""
    parts = ("isolation_step", "main_step", "isolation", "label")
    places = [tuple(f"{arm}_{part}" for part in parts) for arm in ARMS]
    if "control_isolation" not in frame:
        column = dict(_columns_of_kinds(frame)).get("isolation", "")
        places = [("isolation_step", "isolation_main_step", column, "isolation_reported")]
    for added, *names in places:
        if names[1] not in frame:
            continue
        columns = [frame.get(name, [None] * len(frame)) for name in names]
        cells = list(zip(*columns, strict=True))
        found = {
            row: isolation_step_label(row[0], folder)
            if isinstance(row[0], str)
            else _step(row[1], row[2], folder)
            for row in dict.fromkeys(cells)
        }
        frame[added] = [found[row] for row in cells]


def _step(category: object, words: object, folder: Path | None) -> str | None:
    """Return the label of the step that decides: that of the words, if they lead to the category."""
    if not isinstance(category, str):
        return None
    for part in words.split(";") if isinstance(words, str) else ():
        if isolation_category(isolation_steps(part, folder)) == category:
            return isolation_step_label(isolation_main_step(part, folder), folder)
    return isolation_step_label(isolation_main_step(category, folder), folder)


def _fill_categories(frame: pd.DataFrame, folder: Path | None) -> None:
    """Derive empty categories from the words of the paper; without words they are not reported."""

    def isolation(text: str) -> str:
        return isolation_category(isolation_steps(text, folder))

    def source(text: str) -> str:
        return source_category(text, folder)

    for kind, derive in (("source", source), ("isolation", isolation)):
        category, reported = f"{kind}_category", f"{kind}_reported"
        if category not in frame:
            continue
        words = frame[reported] if reported in frame else frame[category]
        frame[category] = [
            given if isinstance(given, str) else derive(text) if isinstance(text, str) else NOT_REPORTED
            for given, text in zip(frame[category], words, strict=True)
        ]


def _methods(text: object, category: str, folder: Path | None) -> str:
    """Return the categories of all methods that a study names, joined by "; "."""
    methods = isolation_methods(text, folder) if isinstance(text, str) else ()
    found = dict.fromkeys(isolation_category(steps) for steps in methods)
    if category not in found:
        found = {category: None, **found}
    return "; ".join(word for word in found if word != NOT_REPORTED or len(found) == 1)


def _outcome_label(codebook: Codebook, word: str) -> str:
    known = codebook.outcomes.get(word)
    return known.label if known else word.replace("_", " ").capitalize()


def _small(label: str) -> str:
    """Return a label for the middle of a sentence."""
    return label[0].lower() + label[1:] if label[1:2].islower() else label
