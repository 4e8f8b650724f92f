"""Compare what the analyses make now with what stood there before: in the commit, or on the disk.

The goal is the same bytes. Where the bytes differ (another machine's arithmetic, another version of the
drawing library), a table may differ in numbers by a relative 1e-6, a drawing by a hundredth of a point and
a picture by a shade that no eye sees; everything else, down to a file that is missing or too many, is a
difference.
"""

from __future__ import annotations

import csv
import io
import math
import re
import subprocess
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from metaexo.report.answers import ANSWERS, read_answers
from metaexo.report.collected import MANIFEST, SUMMARY, Folders, read_manifest, read_summary

Verdict = Literal["identical", "equal within tolerance", "different", "not made", "new"]

TABLE_RTOL = 1e-6
TABLE_ATOL = 1e-12
DRAWING_ATOL = 0.01  # points
SHADE_ATOL = 16 / 255  # largest difference of one colour channel of one pixel

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_INTEGER = re.compile(r"[-+]?\d+")
# A number that stands alone: no part of a name or of a colour such as #1e5f77.
_LENGTH = re.compile(rf"(?<![\w#.]){_NUMBER.pattern}(?=(?:pt|px|%)?(?!\w))")
_REFERENCE = re.compile(r"#([A-Za-z_][\w.:-]*)")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One file, as it was before and as made now."""

    file: str  # path below the folder that was compared
    verdict: Verdict
    detail: str = ""  # the largest or the first difference, in words

    @property
    def agrees(self) -> bool:
        """Whether the two files say the same."""
        return self.verdict in ("identical", "equal within tolerance")


def committed_outputs(root: Path, into: Path) -> tuple[Folders, str] | None:
    """Write what the last commit holds of results and figures into a folder; its folders and its short name.

    `root`: the checkout. `into`: a scratch folder.
    Returned: None where there is no git, no commit, or a commit without any of these files.
    """

    def git(*words: str) -> bytes:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, check=True).stdout

    try:
        name = git("rev-parse", "--short", "HEAD").decode().strip()
        tracked = git("ls-tree", "--name-only", "HEAD", "--", "analyses/results", "figures").decode().split()
        if not tracked:
            return None
        archive = git("archive", "--format=zip", "HEAD", "--", *tracked)
    except (OSError, subprocess.CalledProcessError):
        return None
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(into)
    return replace(Folders.of(root), output=into), name


def compare_outputs(committed: Folders, made: Folders, only: Sequence[str] = ()) -> list[Comparison]:
    """Compare all that the analyses write: tables, figures, `summary.md` and the manifest.

    Parameters
    ----------
    committed : Folders
        What is compared with: the checkout as it lies on the disk, or the files of a commit.
    made : Folders
        The same scripts, writing into a scratch folder.
    only : sequence of str
        Numbers of the scripts that were run; empty for all.

    Returns
    -------
    list of Comparison
        One entry for each file, or part of a shared file, that is on either side.
    """
    beginnings = [f"{number}_" for number in only]
    found = []
    for before, now in ((committed.results, made.results), (committed.figures, made.figures)):
        below = now.relative_to(made.output).as_posix()
        found += [
            replace(item, file=f"{below}/{item.file}") for item in compare_folders(before, now, beginnings)
        ]
    for number in only:
        found += _parts_of_shared_files(committed, made, number)
    return found


def _parts_of_shared_files(committed: Folders, made: Folders, number: str) -> list[Comparison]:
    stem = made.scripts_in_order([number])[0].stem

    def parts(folders: Folders) -> dict[str, list[str]]:
        figures = read_manifest(folders.figures / MANIFEST)
        said = read_answers(folders.results / ANSWERS)
        return {
            SUMMARY: read_summary(folders.results / SUMMARY).get(stem, "").splitlines(),
            MANIFEST: ["\t".join(astuple(one)) for one in figures if one.script == stem],
            ANSWERS: ["\t".join(map(str, astuple(one))) for one in said if one.script == stem],
        }

    before, now = parts(committed), parts(made)
    found = []
    for name, lines in now.items():
        same = lines == before[name]
        detail = "" if same else _first_difference(before[name], lines)
        found.append(Comparison(f"{name}, part {stem}", "identical" if same else "different", detail))
    return found


def compare_folders(committed: Path, made: Path, beginnings: Sequence[str] = ()) -> list[Comparison]:
    """Compare every file of two folders, sub-folders included.

    `committed`: the folder as it was, or should be.
    `made`: the folder as it came out now.
    `beginnings`: beginnings of the file names to look at; empty for all files.
    Returned: one entry for each file that is in either folder, in order of name.
    """

    def names(folder: Path) -> set[str]:
        files = (path for path in folder.rglob("*") if path.is_file())
        wanted = (path for path in files if not beginnings or path.name.startswith(tuple(beginnings)))
        return {path.relative_to(folder).as_posix() for path in wanted}

    before, now = names(committed), names(made)
    found = []
    for name in sorted(before | now):
        if name not in now:
            found.append(Comparison(name, "not made", "no script writes it"))
        elif name not in before:
            found.append(Comparison(name, "new", "a script writes it"))
        else:
            found.append(compare_files(committed / name, made / name, name))
    return found


def compare_files(committed: Path, made: Path, name: str = "") -> Comparison:
    """Compare two files by their kind: tables (csv), drawings (svg), pictures (png), or else text.

    `name`: what to call the file in the answer; by default its name.
    """
    name = name or committed.name
    if committed.read_bytes() == made.read_bytes():
        return Comparison(name, "identical")
    compare = {".csv": _tables, ".svg": _drawings, ".png": _pictures}.get(committed.suffix, _texts)
    return Comparison(name, *compare(committed, made))


def _tables(committed: Path, made: Path) -> tuple[Verdict, str]:
    before, now = _cells(committed), _cells(made)
    if [len(row) for row in before] != [len(row) for row in now]:
        return "different", f"{_extent(before)} before, {_extent(now)} now"
    header = before[0] if before else []
    largest, where = 0.0, ""
    for line, (row_before, row_now) in enumerate(zip(before, now, strict=True), start=1):
        for column, (a, b) in enumerate(zip(row_before, row_now, strict=True)):
            if a == b:
                continue
            place = f"line {line}, {header[column]}: {_apart(a, b)}"
            if line == 1 or not _close(a, b):
                return "different", place
            gap = abs(float(a) - float(b)) / (max(abs(float(a)), abs(float(b))) or 1.0)
            if gap > largest:
                largest, where = gap, place
    return "equal within tolerance", f"largest relative difference {largest:.1e} ({where})"


def _cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _extent(rows: list[list[str]]) -> str:
    return f"{len(rows)} lines of {len(rows[0]) if rows else 0} cells"


def _close(a: str, b: str) -> bool:
    """Say whether two cells are numbers that agree; counts must be the same."""
    if not (_NUMBER.fullmatch(a) and _NUMBER.fullmatch(b)):
        return False
    if _INTEGER.fullmatch(a) and _INTEGER.fullmatch(b):
        return int(a) == int(b)
    return math.isclose(float(a), float(b), rel_tol=TABLE_RTOL, abs_tol=TABLE_ATOL)


def _drawings(committed: Path, made: Path) -> tuple[Verdict, str]:
    before, now = _drawing_parts(committed), _drawing_parts(made)
    largest = 0.0
    for a, b in zip(before, now, strict=False):
        gap = _gap(a, b)
        if not gap <= DRAWING_ATOL:
            return "different", _apart(a.value, b.value)
        largest = max(largest, gap)
    if len(before) != len(now):
        return "different", f"{len(before)} parts before, {len(now)} now"
    return "equal within tolerance", f"largest shift {largest:.1e} pt"


@dataclass(frozen=True, slots=True)
class _Part:
    """A tag, an attribute or a text of a drawing; only attributes hold lengths."""

    kind: Literal["tag", "attribute", "text"]
    value: str


def _drawing_parts(path: Path) -> list[_Part]:
    """Return the parts of a drawing in order, with its names numbered and its metadata left out."""
    elements = list(_visible(ElementTree.parse(path).getroot()))
    names = [element.attrib["id"] for element in elements if "id" in element.attrib]
    numbered = {name: f"part{i}" for i, name in enumerate(names)}

    def renamed(value: str) -> str:
        return _REFERENCE.sub(lambda match: "#" + numbered.get(match.group(1), match.group(1)), value)

    parts = []
    for element in elements:
        parts.append(_Part("tag", element.tag))
        for key, value in sorted(element.attrib.items()):
            parts.append(_Part("attribute", f"{key}={numbered[value] if key == 'id' else renamed(value)}"))
        texts = (element.text, element.tail)
        parts += [_Part("text", text.strip()) for text in texts if text and text.strip()]
    return parts


def _visible(element: ElementTree.Element) -> Iterator[ElementTree.Element]:
    if element.tag.endswith("}metadata"):
        return
    yield element
    for child in element:
        yield from _visible(child)


def _gap(a: _Part, b: _Part) -> float:
    """Return the largest difference of the lengths in two parts; infinite if anything else differs."""
    if a == b:
        return 0.0
    alike = a.kind == b.kind == "attribute" and _LENGTH.sub("0", a.value) == _LENGTH.sub("0", b.value)
    if not alike:
        return math.inf
    pairs = zip(_LENGTH.findall(a.value), _LENGTH.findall(b.value), strict=True)
    return max(abs(float(x) - float(y)) for x, y in pairs)


def _apart(before: str, now: str, most: int = 60) -> str:
    """Return two texts in words, each from shortly before the first place where they differ."""
    pairs = enumerate(zip(before, now, strict=False))
    same = next((i for i, (a, b) in pairs if a != b), min(len(before), len(now)))
    start = max(same - most // 2, 0)

    def shown(text: str) -> str:
        cut = text[start : start + most]
        return f"{'...' if start else ''}{cut}{'...' if start + most < len(text) else ''}"

    return f"{shown(before) or 'empty'} before, {shown(now) or 'empty'} now"


def _first_difference(before: Sequence[str], now: Sequence[str]) -> str:
    for line, (a, b) in enumerate(zip(before, now, strict=False), start=1):
        if a != b:
            return f"line {line}: {_apart(a, b)}"
    return f"{len(before)} lines before, {len(now)} now"


def _pictures(committed: Path, made: Path) -> tuple[Verdict, str]:
    import numpy as np
    from matplotlib.image import imread

    before, now = imread(committed), imread(made)
    if before.shape != now.shape:
        return "different", f"{before.shape} pixels and channels before, {now.shape} now"
    gap = np.abs(before.astype(float) - now.astype(float))
    largest = float(gap.max())
    if largest > SHADE_ATOL:
        many = int((gap > SHADE_ATOL).any(axis=-1).sum())
        return "different", f"{many} of {gap.shape[0] * gap.shape[1]} pixels differ"
    return "equal within tolerance", f"largest difference of a shade {largest * 255:.0f} of 255"


def _texts(committed: Path, made: Path) -> tuple[Verdict, str]:
    before = committed.read_text(encoding="utf-8").splitlines()
    now = made.read_text(encoding="utf-8").splitlines()
    if before != now:
        return "different", _first_difference(before, now)
    return "equal within tolerance", "line ends only"
