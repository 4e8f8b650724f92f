"""Reading reference files: one JSON file (plain or gzipped) a data set and topic."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Case = dict[str, Any]

# Blocks of input that a call may name besides its own data.
EXTRA_INPUTS = ("design_input", "sampling_covariance_input", "known_correlation_input", "distance_input")


class NotCovered(Exception):
    """The package does not offer what a case asks for; the message says what is missing."""


def reference_files(folder: Path) -> list[Path]:
    """Return the reference files of a folder, sorted by name."""
    found = [*folder.glob("*__*.json"), *folder.glob("*__*.json.gz")]
    return sorted(found)


def read_cases(path: Path) -> Iterator[Case]:
    """Yield the cases of a file, each with its input blocks."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf8") as stream:
        content = json.load(stream)
    for case in content["cases"]:
        loaded = dict(case)
        loaded["data"] = content["inputs"].get(case["input"], {})
        for key in EXTRA_INPUTS:
            block = case["call"].get(key)
            if isinstance(block, str) and block in content["inputs"]:
                loaded[key] = content["inputs"][block]
        loaded["inputs"] = content["inputs"]
        yield loaded
