"""A report as files: the page, the document, figures, tables, and the script that makes the numbers again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from metaexo.errors import InputError
from metaexo.formatting import legible, plural
from metaexo.report.content import Report, ReportTable, check_report, traces_table
from metaexo.report.drawings import Drawings, file_names
from metaexo.report.html import page_with
from metaexo.report.word import document_with
from metaexo.report.workbook import LONGEST, write_csv, write_workbook

if TYPE_CHECKING:
    import pandas as pd

PAGE = "report.html"
DOCUMENT = "report.docx"
WORKBOOK = "tables.xlsx"
SCRIPT = "analysis.py"
LIST = "files.sha256"
TRACES = "How each effect came from the cells of the file"
ENDINGS = ("svg", "pdf", "png")
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def write_files(report: Report, folder: str | Path) -> tuple[Path, ...]:
    """Write a report into a folder, in every form.

    Use it to have a report that was made before in another place as well. The folder is made if it is
    missing. It may hold an earlier report, which is replaced; nothing else in it is touched. All files are
    made before the first is put in its place.

    Parameters
    ----------
    report : Report
        What the files say.
    folder : str or Path
        Where they go: ``report.html``, ``report.docx``, ``figures/NAME.svg``, ``.pdf`` and ``.png``,
        ``tables/NAME.csv``, ``tables.xlsx`` (the same under the headings that a reader sees, and a list),
        ``analysis.py``, and ``files.sha256``, the list of them.

    Returns
    -------
    tuple of Path
        The files, the page first.

    Raises
    ------
    InputError
        If it is no report, the folder holds other files and no earlier report, a file of the earlier report
        was changed since, or a file cannot be written.
    """
    check_report(report)
    target = Path(folder)
    before = earlier_report(target)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target, prefix=".report-") as made:
            names = _make(report, Path(made))
            _refuse_what_is_in_use([target / name for name in names if (target / name).exists()])
            for name in names:
                (target / name).parent.mkdir(exist_ok=True)
                os.replace(Path(made) / name, target / name)
        for old in before:
            if old.relative_to(target).as_posix() not in names:
                old.unlink()
                with contextlib.suppress(OSError):  # a folder that holds something else stays
                    old.parent.rmdir()
    except OSError as problem:
        raise _cannot(problem, target) from problem
    return tuple(target / name for name in names)


def earlier_report(folder: str | Path) -> tuple[Path, ...]:
    """Return the files of an earlier report in a folder, which a new one replaces; empty if there is none.

    Parameters
    ----------
    folder : str or Path
        The folder; it need not be there yet.

    Returns
    -------
    tuple of Path
        What the earlier report wrote, as far as it is still there.

    Raises
    ------
    InputError
        If it is no folder, holds files and no report, or holds a report of which a file was changed since.
    """
    target = Path(folder)
    try:
        there_is = target.exists()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{str(target)[:60]!r} cannot be the name of a folder ({error.__class__.__name__})",
            "the name of a folder",
            "choose a shorter name of letters and digits, such as report",
        ) from error
    if not there_is:
        return ()
    if not target.is_dir():
        raise InputError(
            f"{target} is a file", "a folder for the report", "choose another name for the folder"
        )
    there = sorted(
        one.name for one in target.iterdir() if one.name not in (".DS_Store", "desktop.ini", "Thumbs.db")
    )
    if not there:
        return ()
    listed = _listed(target)
    if not listed:
        raise InputError(
            f"the folder {target} is not empty and holds no earlier report",
            "an empty folder, a new one, or one with an earlier report",
            f"choose another folder, such as {_unused(target)}",
            there[:8],
        )
    kept = {name: digest for name, digest in listed.items() if (target / name).is_file()}
    changed = [name for name, digest in kept.items() if digest != _digest(target / name)]
    if changed:
        raise InputError(
            f"{plural(len(changed), 'file')} of the earlier report in {target} changed after it was written",
            "a folder in which nothing of yours would be lost",
            f"choose another folder, such as {_unused(target)}, or move what you changed to another place",
            changed,
        )
    return tuple(target / name for name in (*kept, LIST))


def _make(report: Report, folder: Path) -> list[str]:
    """Write all files of a report into an empty folder; returned: their names, as they are listed."""
    (folder / "figures").mkdir()
    (folder / "tables").mkdir()
    with Drawings.of(report) as drawings:
        (folder / PAGE).write_text(page_with(report, drawings), encoding="utf-8", newline="\n")
        (folder / DOCUMENT).write_bytes(document_with(report, drawings))
        figures = [f for one in report.figures for ending in ENDINGS for f in drawings.files(one, ending)]
        for drawn in figures:
            shutil.move(drawn, folder / "figures" / drawn.name)
    tables = [(one.name, one.frame) for one in report.tables]
    tables += [("traces", traces_table(report.traces))] if report.traces else []
    frames = dict(zip(file_names([name for name, _ in tables]), (frame for _, frame in tables), strict=True))
    for name, frame in frames.items():
        write_csv(folder / "tables" / f"{name}.csv", frame)
    if frames:
        named = [*map(_with_headings, report.tables), *(frame for _, frame in tables[len(report.tables) :])]
        titles = _worksheets(report, list(frames))
        write_workbook(folder / WORKBOOK, dict(zip(titles, named, strict=True)), titles)
    (folder / SCRIPT).write_text(report.script, encoding="utf-8", newline="\n")
    written = [PAGE, DOCUMENT, *([WORKBOOK] if frames else []), SCRIPT]
    written += [f"figures/{drawn.name}" for drawn in figures] + [f"tables/{name}.csv" for name in frames]
    lines = [f"{_digest(folder / name)}  {name}\n" for name in written]
    (folder / LIST).write_text("".join(lines), encoding="utf-8", newline="\n")
    return [*written, LIST]


def _worksheets(report: Report, names: list[str]) -> dict[str, str]:
    """Return the names of worksheets with the titles of their tables, in the order of the tables.

    Of several questions each has its name before those of its tables; where that is too long for a
    worksheet, numbers stand in the place of all.
    """
    opening = [part for part in report.sections if part.name.endswith("_answer")]
    asked = {part.name.removesuffix("answer"): legible(part.title) for part in opening}
    number = {one: f"Q{i}_" for i, one in enumerate(asked, start=1)}
    of = [max((one for one in asked if name.startswith(one)), key=len, default="") for name in names]
    if any(one and len(name) > LONGEST for one, name in zip(of, names, strict=True)):
        names = [number.get(one, "") + name.removeprefix(one) for one, name in zip(of, names, strict=True)]
    titles = [*(legible(one.title) for one in report.tables), TRACES][: len(names)]
    questions = [asked.get(one, "") for one in of]
    return {
        name: title if question in title else f"{title} ({question})"
        for name, title, question in zip(names, titles, questions, strict=True)
    }


def _with_headings(table: ReportTable) -> pd.DataFrame:
    """Return the values of a table under the headings that a reader sees, where each is there once."""
    given = [legible(table.headings.get(name, name)) for name in table.frame.columns]
    names = [
        heading if given.count(heading) == 1 else name
        for heading, name in zip(given, table.frame.columns, strict=True)
    ]
    return table.frame.set_axis(names, axis=1)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _listed(folder: Path) -> dict[str, str]:
    """Return names and digests of the files that an earlier report wrote; empty if there is none."""
    try:
        lines = (folder / LIST).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    found = [match for match in map(_LINE.fullmatch, lines) if match]
    names = {match[2]: match[1] for match in found if _is_below(match[2])}
    return names if PAGE in names and len(found) == len(lines) else {}


def _is_below(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and ":" not in name


def _unused(folder: Path) -> Path:
    number, name = 2, folder.resolve().name or "report"  # that of . and of the root of a disk is empty
    while (made := folder.parent / f"{name}_{number}").exists():
        number += 1
    return made


def _refuse_what_is_in_use(paths: list[Path]) -> None:
    """Raise OSError before anything is replaced, if a file is open elsewhere (Windows) or write-protected."""
    for path in paths:
        with path.open("r+b"):
            pass


def _cannot(problem: OSError, folder: Path) -> InputError:
    name = problem.filename or folder
    return InputError(
        f"{name} cannot be written: {problem.strerror or problem}",
        f"room and the right to write in {folder}",
        "close the file if it is open in Word, Excel or a viewer, or choose another folder",
    )
