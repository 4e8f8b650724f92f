"""Habits that a linter does not know: short files, and nothing that holds on one machine only."""

from __future__ import annotations

import re

import pytest

SKIPPED = {".git", "_build", "build", "dist", "node_modules", "__pycache__", "api", "gallery"}
TEXT = {".py", ".md", ".rst", ".toml", ".txt", ".csv", ".json", ".tsv", ".svg", ".R", ".yml", ".cfg", ""}

# In pieces, so that this file does not break its own rule.
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:" + "|".join(["home", "root", "Users", "work", "tmp"]) + r")/\w")
REGISTRY = re.compile("|".join(["py" + r"pi\.org", "python" + "hosted", r"registry\." + "npmjs"]))


def texts(root):
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if any(part in SKIPPED or part.startswith((".venv", ".hypothesis")) for part in parts):
            continue
        if any(part.endswith("_cache") for part in parts) or path.suffix not in TEXT or not path.is_file():
            continue
        yield path


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY], ids=["machine path", "registry"])
def test_no_file_names_a_machine_or_a_registry(root, pattern):
    found = []
    for path in texts(root):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{path.relative_to(root)} line {number}: {line.strip()[:80]}")
    assert not found


def test_the_patterns_find_what_they_are_for():
    assert MACHINE_PATH.search("see " + "/".join(["", "home", "ana", "x.csv"]))
    assert not MACHINE_PATH.search("https://example.org/work/x and src/work/y")
    assert REGISTRY.search("https://" + "py" + "pi.org/simple")
