"""Command line: python -m tests.reference DIR."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.reference.cases import reference_files
from tests.reference.runner import report, run_folder


def main(arguments: list[str]) -> int:
    """Run the reference files of a folder; 1 if a case disagrees, 2 if there is nothing to run."""
    if len(arguments) != 1:
        print("usage: python -m tests.reference DIR", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    if not reference_files(folder):
        print(f"no reference files (<dataset>__<topic>.json) in {folder}", file=sys.stderr)
        return 2
    outcomes = run_folder(folder)
    print(report(outcomes))
    return 1 if any(outcome.verdict == "disagreed" for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
