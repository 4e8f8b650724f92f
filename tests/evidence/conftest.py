from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import metaexo as mx
from metaexo.evidence import Sheets
from tests.evidence.folders import DATA, OUTCOMES, STUDIES, Row, Write, write_sheet


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a folder of sheets; keywords change the first row of the outcomes."""

    def folder(
        studies: Sequence[Row] = STUDIES, outcomes: Sequence[Row] = OUTCOMES, **changes: object
    ) -> Path:
        first = {**outcomes[0], **changes}
        write_sheet(tmp_path / "studies.csv", studies)
        write_sheet(tmp_path / "outcomes.csv", [first, *outcomes[1:]])
        return tmp_path

    return folder


@pytest.fixture(scope="session")
def ours() -> Sheets:
    return mx.read_sheets(DATA)
