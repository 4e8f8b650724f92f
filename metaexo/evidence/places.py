"""Where the codebook is found: beside the sheets, in the installed package, or in the source tree."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from metaexo.errors import InputError

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


def stamp(path: Path) -> Stamp:
    """Return a file with the time of its last change."""
    return path, path.stat().st_mtime_ns


def _find(part: str, folder: Path | None) -> Path:
    if folder is not None and not isinstance(folder, str | PathLike):
        raise InputError(
            f"the folder is of type {type(folder).__name__}", "a path, or None for metaexo's own"
        )
    if folder is not None and ("\0" in str(folder) or any(len(p.encode()) > 255 for p in Path(folder).parts)):
        raise InputError(f"the folder is {str(folder)[:80]!r}", "the path of a folder")
    places: list[Path] = [Path(folder)] if folder is not None else []
    for place in [*places, *_OURS]:
        path = place / part
        if path.is_file():
            return path
    raise InputError(f"{part} is not installed with metaexo", f"it in {_OURS[0]}", "install metaexo again")
