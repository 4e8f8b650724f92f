"""Small folders of sheets for tests."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Row = Mapping[str, object]
Write = Callable[..., Path]

DATA = Path(__file__).parents[2] / "data"

STUDIES: tuple[Row, ...] = (
    {"study_id": "li2020", "first_author": "Li X", "year": 2020, "source_category": "adipose_msc"},
    {"study_id": "cho2021", "first_author": "Cho BS", "year": 2021, "source_category": "platelet"},
)
OUTCOMES: tuple[Row, ...] = (
    {
        "study_id": "li2020",
        "outcome": "wound_closure_pct",
        "better": "higher",
        "timepoint": "day 7",
        "contrast": "exosome_vs_control",
        "treatment_n": 10,
        "treatment_mean": 80,
        "treatment_sd": 9,
        "control_n": 10,
        "control_mean": 71,
        "control_sd": 8,
        "paired": "no",
    },
    {
        "study_id": "cho2021",
        "outcome": "wound_area",
        "better": "lower",
        "timepoint": "day 7",
        "contrast": "exosome_vs_control",
        "treatment_n": 12,
        "treatment_mean": 20,
        "treatment_sd": 6,
        "control_n": 12,
        "control_mean": 26,
        "control_sd": 7,
        "paired": "no",
    },
)


def write_sheet(path: Path, rows: Sequence[Row]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
