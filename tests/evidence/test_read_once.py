"""A folder that did not change is read once; nothing that a caller does to its tables is seen by another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import metaexo as mx
from metaexo.errors import ZeroSDWarning
from metaexo.evidence import SheetErrors
from metaexo.evidence import folder as reading
from tests.evidence.folders import Write


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders that were read from the start."""
    done: list[Path] = []
    first = reading._Reading

    def counted(folder: Path) -> Any:
        done.append(folder)
        return first(folder)

    monkeypatch.setattr(reading, "_Reading", counted)
    return done


def test_an_unchanged_folder_is_read_once(write: Write, passes: list[Path]) -> None:
    folder = write()
    sheets = mx.read_sheets(folder)
    again = mx.read_sheets(str(folder))
    assert mx.check_sheets(folder).ok
    assert len(passes) == 1
    assert again is not sheets
    assert again.outcomes.equals(sheets.outcomes)
    assert again.effects("SMD").y.tolist() == sheets.effects("SMD").y.tolist()


def test_what_a_caller_changes_stays_with_the_caller(write: Write) -> None:
    folder = write()
    first = mx.read_sheets(folder)
    before = first.outcomes
    for table in (first.outcomes, first._frames["outcomes"]):
        table.loc[:, "treatment_mean"] = -1.0
    assert mx.read_sheets(folder).outcomes.equals(before)


def test_a_changed_byte_is_seen_though_time_and_size_stay(write: Write) -> None:
    folder = write(treatment_mean=82.3)
    assert mx.read_sheets(folder).outcomes["treatment_mean"].iloc[0] == 82.3
    path = folder / "outcomes.csv"
    known = path.stat()
    path.write_text(path.read_text(encoding="utf-8").replace("82.3", "93.2"), encoding="utf-8")
    os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert path.stat().st_mtime_ns == known.st_mtime_ns
    assert mx.read_sheets(folder).outcomes["treatment_mean"].iloc[0] == 93.2


def test_a_vocabulary_of_its_own_is_seen(write: Write) -> None:
    folder = write()
    ours = mx.read_sheets(folder).studies["isolation"].iloc[0]
    words = (reading.find_codebook().parent / "vocabulary" / "isolation.csv").read_text(encoding="utf-8")
    (folder / "vocabulary").mkdir()
    (folder / "vocabulary" / "isolation.csv").write_text(words.replace(ours, "Spun"), encoding="utf-8")
    assert mx.read_sheets(folder).studies["isolation"].iloc[0] == "Spun"


def test_warnings_and_errors_come_at_every_call(write: Write) -> None:
    folder = write(treatment_sd=0)
    for _ in range(2):
        with pytest.warns(ZeroSDWarning):
            mx.read_sheets(folder)
    wrong = write(treatment_sd=-2)
    for _ in range(2):
        with pytest.raises(SheetErrors):
            mx.read_sheets(wrong)


def test_few_folders_are_kept(write: Write, tmp_path: Path) -> None:
    folder = write()
    for i in range(reading.MOST_KEPT + 2):
        other = tmp_path / f"copy{i}"
        other.mkdir()
        for path in folder.glob("*.csv"):
            (other / path.name).write_bytes(path.read_bytes())
        assert mx.read_sheets(other).folder == str(other)
    assert len(reading._KEPT) <= reading.MOST_KEPT
