"""Versions of the packages that make the numbers."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version(package: str) -> str:
    """Return the version of a package; "0+unknown" for one that runs from a source tree only."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "0+unknown"


def versions() -> dict[str, str]:
    """Return the versions of metaexo, numpy and scipy."""
    return {name: installed_version(name) for name in ("metaexo", "numpy", "scipy")}
