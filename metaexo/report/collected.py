"""Where analyses read and write, and the two files that they share: `summary.md` and the figures' manifest.

Each analysis owns one part of `summary.md` and the lines of its own figures in the manifest; running it
again replaces these and leaves the others as they are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.evidence.tables.cells import TEXTS, WORKBOOKS
from metaexo.readable import shows_itself

SUMMARY = "summary.md"
MANIFEST = "MANIFEST.tsv"
_HEAD = "# What the analyses found\n\nWritten by `metaexo reproduce`; do not edit."
_MARK = re.compile(r"<!-- (\d\d_\w+) -->")
_COLUMNS = ("file", "script", "title", "data")


SCRIPT_NAME = re.compile(r"(\d\d)_\w+")


@shows_itself
@dataclass(frozen=True, slots=True)
class Folders:
    """Where analyses read and write.

    Attributes
    ----------
    scripts : Path
        The numbered scripts.
    data : Path
        The extraction sheets.
    output : Path
        What is written goes below it: the checkout, or a scratch folder.
    """

    scripts: Path
    data: Path
    output: Path

    @classmethod
    def of(cls, root: Path, output: Path | None = None) -> Folders:
        """Return the folders of a checkout at `root`; what is written goes below `output` if it is given.

        Raises
        ------
        InputError
            If there is no folder of scripts or no folder of data.
        """
        folders = cls(root / "analyses", root / "data", output or root)
        for needed in (folders.scripts, folders.data):
            if not needed.is_dir():
                raise InputError(
                    f"{root} has no folder {needed.name!r}",
                    "the folder of a checkout of metaexo, with analyses/ and data/",
                    "change to that folder, or name it with --root; for studies of your own write: "
                    "metaexo report PATH, with your file or folder for PATH",
                )
        return folders

    @property
    def results(self) -> Path:
        """Folder of the tables, and of `summary.md`."""
        return self.output / "analyses" / "results"

    @property
    def figures(self) -> Path:
        """Folder of the figures, and of their manifest."""
        return self.output / "figures"

    def scripts_in_order(self, only: Sequence[str] = ()) -> list[Path]:
        """Return the numbered scripts in order; `only` picks some by their two digits.

        Raises
        ------
        UnknownChoiceError
            If a number belongs to no script.
        InputError
            If there are no scripts, or two with one number.
        """
        found = [path for path in sorted(self.scripts.glob("*.py")) if SCRIPT_NAME.fullmatch(path.stem)]
        scripts = {path.stem[:2]: path for path in found}
        if not found or len(scripts) < len(found):
            raise InputError(
                f"{len(found)} scripts with {len(scripts)} numbers in {self.scripts}",
                "scripts NN_name.py, each with a number of its own",
                "rename one of two" if found else "get them back from the commit: git checkout -- analyses",
                rows=[path.name for path in found],
            )
        for number in only:
            if number not in scripts:
                raise UnknownChoiceError("analysis", number, scripts)
        return [path for number, path in scripts.items() if not only or number in only]


@dataclass(frozen=True, slots=True)
class FigureEntry:
    """One line of the figures' manifest."""

    file: str  # name in the figures folder
    script: str  # name of the script that draws it, without ``.py``
    title: str  # what it shows, in words
    data: str  # digest of the extraction sheets it was drawn from


def read_summary(path: Path) -> dict[str, str]:
    """Return the parts of a `summary.md` by script; none if there is no such file."""
    if not path.is_file():
        return {}
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        mark = _MARK.fullmatch(line)
        if mark:
            current = sections.setdefault(mark.group(1), [])
        else:
            current.append(line)
    return {script: "\n".join(lines).strip() for script, lines in sections.items()}


def update_summary(path: Path, script: str, text: str, scripts: Collection[str]) -> None:
    """Put `text` in the place of one script; parts of scripts that are gone go too.

    `script`: name of the script, without ``.py``.
    `text`: its part, Markdown.
    `scripts`: all scripts that there are.
    """
    sections = {name: part for name, part in read_summary(path).items() if name in scripts}
    sections[script] = text
    parts = [_HEAD, *(f"<!-- {name} -->\n{sections[name]}" for name in sorted(sections))]
    _write(path, "\n\n".join(parts))


def read_manifest(path: Path) -> list[FigureEntry]:
    """Return the entries of a figures' manifest; none if there is no such file.

    Raises InputError if a line has not one cell for each column.
    """
    if not path.is_file():
        return []
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], start=2):
        cells = line.split("\t")
        if len(cells) != len(_COLUMNS):
            raise InputError(
                f"a line of {path.name} has {len(cells)} cells",
                "the cells " + ", ".join(_COLUMNS),
                "delete the file and run `metaexo reproduce`",
                f"line {number}",
            )
        entries.append(FigureEntry(*cells))
    return entries


def update_manifest(
    path: Path, script: str, figures: Sequence[FigureEntry], scripts: Collection[str]
) -> None:
    """Put `figures` in the place of one script's lines; lines of scripts that are gone go too.

    `script`: name of the script, without ``.py``.
    `figures`: what it drew.
    `scripts`: all scripts that there are.
    """
    old = read_manifest(path)
    kept = [entry for entry in old if entry.script in scripts and entry.script != script]
    entries = sorted([*kept, *figures], key=lambda entry: entry.file)
    if entries or old:
        rows = ["\t".join((entry.file, entry.script, entry.title, entry.data)) for entry in entries]
        _write(path, "\n".join(["\t".join(_COLUMNS), *rows]))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def digest_of_data(folder: Path) -> str:
    """Return a digest of the sheets and their codebook: twelve hexadecimal digits.

    The digest is of names and contents, line ends aside, so it is the same on every machine.
    """
    total = hashlib.sha256()
    for path in sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in (".json", *TEXTS, *WORKBOOKS)
    ):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0")
        total.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return total.hexdigest()[:12]
