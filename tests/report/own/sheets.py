"""Small sheets for tests of the report, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from metaexo.report.content import Report

SOURCES = ("adipose_msc", "umbilical_cord_msc", "platelet")
ISOLATIONS = ("ultracentrifugation", "size_exclusion")


def studies_of(count: int = 12, **columns: Sequence[object] | object) -> list[dict[str, object]]:
    """Return studies whose sources and isolation methods are crossed; columns replace theirs."""
    found = []
    for i in range(count):
        row: dict[str, object] = {
            "study_id": f"s{i}",
            "first_author": f"{'Abe Bo Cho Du Eng Fu Go Ho Ito Jo Kim Li'.split()[i % 12]} X",  # noqa: SIM905
            "year": 2010 + i // 12,
            "source_category": SOURCES[i % 3],
            "isolation_category": ISOLATIONS[(i // 3) % 2],
            "domain": "preclinical",
            "design": "animal_controlled",
        }
        row |= {name: v[i] if isinstance(v, list) else v for name, v in columns.items()}
        found.append(row)
    return found


def outcomes_of(
    count: int = 12, effect: Callable[[int], float] = lambda i: 0.8, noise: float = 0.3, **columns: Any
) -> list[dict[str, object]]:
    """Return one row of means per study, with this effect in SDs; columns replace those of each row."""
    rng, found = np.random.default_rng(3), []
    for i in range(count):
        n = 8 + 3 * (i % 5)
        row: dict[str, object] = {
            "study_id": f"s{i}", "outcome": "wound_closure_pct", "better": "higher", "timepoint": "day 7",
            "contrast": "exosome_vs_control", "treatment_n": n, "control_n": n + i % 3, "paired": "no",
            "treatment_mean": round(60 + 10 * (effect(i) + noise * rng.normal()), 2), "treatment_sd": 10,
            "control_mean": 60, "control_sd": 9.5,
        }  # fmt: skip
        row |= {name: v[i] if isinstance(v, list) else v for name, v in columns.items()}
        found.append({name: value for name, value in row.items() if value is not None})
    return found


def said(report: Report) -> str:
    """Return the answer of a report as one text."""
    return " ".join(report.answer)
