"""Where the codebook is found: beside the sheets, in the installed package, or in the source tree."""

from __future__ import annotations

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
    places: list[Path] = [folder] if folder is not None else []
    for place in [*places, *_OURS]:
        path = place / part
        if path.is_file():
            return path
    raise InputError(f"{part} is not installed with metaexo", f"it in {_OURS[0]}", "install metaexo again")
