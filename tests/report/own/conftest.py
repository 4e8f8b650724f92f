from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from metaexo.report.content import Report
from metaexo.report.write import write_report
from tests.evidence.folders import Row, write_sheet
from tests.report.own.sheets import outcomes_of, studies_of

Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Write a folder of two sheets."""

    def write(studies: Sequence[Row], outcomes: Sequence[Row]) -> Path:
        write_sheet(tmp_path / "studies.csv", studies)
        write_sheet(tmp_path / "outcomes.csv", outcomes)
        return tmp_path

    return write


@pytest.fixture(scope="session")
def usual(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """Return a folder of twelve studies, one of them with two times, and its report."""
    path = tmp_path_factory.mktemp("own")
    outcomes = outcomes_of(effect=lambda i: (0.2, 2.4, 0.9)[i % 3])
    second = {**outcomes[1], "timepoint": "day 14", "treatment_mean": 79.0, "use": "doubtful"}
    write_sheet(path / "studies.csv", studies_of())
    write_sheet(path / "outcomes.csv", [*outcomes, second])
    return path, write_report(path, "SMD", out=None)
