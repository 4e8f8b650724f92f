"""Copy reference files in compact form: python -m tests.reference.compact SOURCE.

Keeps the cases that the package covers, with the inputs they need, as gzipped JSON in tests/reference/data.
What a case says beyond its call, its results and its tolerances (control settings, software versions) stays
behind in the source; a case that disagrees is kept, so that the tests show it.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from tests.reference.cases import EXTRA_INPUTS, read_cases, reference_files
from tests.reference.runner import run_case

KEPT = (
    "id",
    "dataset",
    "topic",
    "input",
    "call",
    "r_call",
    "r_warnings",
    "rtol",
    "atol",
    "error_kind",
    "results",
)
DATA = Path(__file__).parent / "data"


def compact(path: Path) -> dict[str, Any] | None:
    """Return the compact content of a file, or None if none of its cases is covered."""
    cases = [case for case in read_cases(path) if run_case(case).verdict != "not covered"]
    if not cases:
        return None
    wanted = {case["input"] for case in cases}
    wanted |= {case["call"][key] for case in cases for key in EXTRA_INPUTS if case["call"].get(key)}
    blocks = cases[0]["inputs"]
    return {
        "format": 1,
        "inputs": {name: blocks[name] for name in sorted(wanted) if name in blocks},
        "cases": [{key: case[key] for key in KEPT if key in case} for case in cases],
    }


def main(source: Path) -> None:
    """Rewrite tests/reference/data from a folder of reference files."""
    DATA.mkdir(exist_ok=True)
    for old in reference_files(DATA):
        old.unlink()
    for path in reference_files(source):
        content = compact(path)
        if content is not None:
            text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
            target = DATA / f"{path.name.split('.')[0]}.json.gz"
            target.write_bytes(gzip.compress(text.encode("utf8"), mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
