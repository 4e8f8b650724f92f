"""What an installation has: the wheel holds every file of the package, and the command line is quick."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

MADE = {"__pycache__", ".mypy_cache"}
HEAVY = {"pandas", "numpy", "scipy", "matplotlib", "openpyxl", "docx", "jinja2", "pandera"}


def test_the_wheel_holds_every_file_of_the_package_and_of_the_sheets(root: Path) -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="hatchling builds the wheel")
    found = wheel.WheelBuilder(str(root)).recurse_included_files()
    included = {Path(file.distribution_path).as_posix() for file in found}
    wanted = {
        "metaexo/evidence/codebook_data" / path.relative_to(root / "data") for path in files(root / "data")
    }
    wanted |= {path.relative_to(root) for path in files(root / "metaexo")}
    assert {path.as_posix() for path in wanted} == included


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not MADE & set(path.parts)]


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["report", "--help"]], ids=" ".join)
def test_the_command_line_answers_at_once_and_loads_nothing_heavy(root: Path, tmp_path: Path, words) -> None:
    """In an empty folder, as ``python -m metaexo``."""
    command = [sys.executable, "-X", "importtime", "-m", "metaexo", *words]
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        seconds.append(time.perf_counter() - start)
        if seconds[-1] < 1:
            break
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line}
    assert "click" in loaded
    assert not HEAVY & loaded
    assert min(seconds) < 1
    assert done.stdout.startswith(("Usage: metaexo", "metaexo, version "))
