"""One row against the others of its outcome: each slip is asked about, clean sheets rarely are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.evidence.codebook import load_codebook
from metaexo.evidence.reading import RawSheet
from metaexo.evidence.slips.odd_rows import CHECKS
from metaexo.evidence.slips.rows import Rows

Cells = dict[str, object]
CONTROL = (42.1, 38.4, 44.9, 40.2, 47.3, 36.8, 43.5, 41.7)
EXOSOME = (29.2, 30.1, 27.4, 28.3, 35.9, 24.6, 33.0, 26.2)


def rows() -> list[Cells]:
    return [
        {
            "Study": f"Li {2010 + i}",
            "Species": "mouse",
            "Source": ("BM-MSC", "UC-MSC")[i % 2],
            "Isolation": ("SEC", "ultracentrifugation")[i // 2 % 2],
            "Outcome": "infarct size",
            "Unit": "%",
            "better": "lower",
            "Exosome mean": EXOSOME[i],
            "Exosome SD": (6.1, 7.3, 5.2, 6.6)[i % 4],
            "Exosome n": (9, 9, 7, 8, 6)[i % 5],
            "Control mean": CONTROL[i],
            "Control SD": (7.4, 6.2, 6.9)[i % 3],
            "Control n": (7, 8, 9, 6)[i % 4],
        }
        for i in range(8)
    ]


def found(tmp_path: Path, table: list[Cells]) -> list[tuple[type, str, str]]:
    pd.DataFrame(table).to_csv(tmp_path / "t.csv", index=False)
    check = mx.check_sheets(tmp_path / "t.csv")
    assert check.ok
    return [(f.kind, f"{f.line} {f.column}", f"{f.what}; {f.reading}") for f in check.warnings]


def times(factor: float, *names: str) -> Callable[[Cells], Cells]:
    return lambda row: {name: round(float(str(row[name])) * factor, 4) for name in names}


def exchange(*pairs: tuple[str, str]) -> Callable[[Cells], Cells]:
    return lambda row: {a: row[b] for pair in pairs for a, b in (pair, pair[::-1])}


MEANS = ("Exosome mean", "Exosome SD", "Control mean", "Control SD")
SLIPS: dict[str, tuple[Callable[[Cells], Cells], type, str, str]] = {
    "better": (lambda _: {"better": "higher"}, errors.MixedDirectionsWarning, "better", "line 5 (Li 2013)"),
    "unit": (lambda _: {"Unit": "mm"}, errors.MixedUnitsWarning, "unit", "% in 7 rows, mm in line 5"),
    "row": (times(10, *MEANS), errors.UnusualScaleWarning, "treatment_mean", "10 times too large"),
    "arm": (times(0.1, *MEANS[2:]), errors.UnusualScaleWarning, "control_mean", "10 times too small"),
    "fraction": (times(0.01, *MEANS), errors.UnusualScaleWarning, "treatment_mean", "fractions and per cent"),
    "n": (lambda _: {"Control n": 80}, errors.UnusualSizeWarning, "control_n", "n is 80"),
    "arms": (
        exchange(("Exosome mean", "Control mean"), ("Exosome SD", "Control SD")),
        errors.ExchangedNumbersWarning,
        "treatment_mean",
        "in 7 of 7 other studies of this outcome it is lower",
    ),
    "mean and n": (
        lambda _: {"Exosome mean": 7, "Exosome n": 30},
        errors.ExchangedNumbersWarning,
        "treatment_mean",
        "mean and n exchanged",
    ),
    "mean and SD": (
        exchange(("Control mean", "Control SD")),
        errors.ExchangedNumbersWarning,
        "control_mean",
        "mean and SD exchanged",
    ),
}


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_in_one_row_is_the_one_thing_that_is_asked(name: str, tmp_path: Path) -> None:
    change, kind, column, words = SLIPS[name]
    table = rows()
    table[3] |= change(table[3])
    ((what, place, said),) = found(tmp_path, table)
    assert (what, place) == (kind, f"5 {column}")
    assert words in said


def test_a_clean_table_is_not_asked_and_another_unit_explains_a_direction(tmp_path: Path) -> None:
    table = rows()
    assert found(tmp_path, table) == []
    table[3] |= {"better": "higher", "Unit": "% of the area at risk that is spared"}
    assert found(tmp_path, table) == []


def test_events_in_per_cent_are_asked_about(tmp_path: Path) -> None:
    table: list[Cells] = [
        {
            **{name: row[name] for name in ("Study", "Source", "Isolation", "better")},
            "Outcome": "survival",
            "Exosome events": 2 + i % 3,
            "Exosome n": 20,
            "Control events": 5,
            "Control n": 21,
        }
        for i, row in enumerate(rows())
    ]
    known = found(tmp_path, table)
    table[2] |= {"Exosome events": 15, "Control events": 24, "Control n": 25}
    new = [one for one in found(tmp_path, table) if one not in known]
    assert [one[:2] for one in new] == [(errors.UnusualScaleWarning, "4 treatment_events")]
    assert "15% of 20: 3" in new[0][2]


def simulated(rng: np.random.Generator, k: int) -> Rows:
    """Draw a sheet of k studies of animals without a slip."""
    cv = np.exp(np.log(0.25) + 0.45 * rng.standard_normal() + 0.35 * rng.standard_normal(k))
    gain = 1 + np.exp(np.log(0.3) + 0.5 * rng.standard_normal() + 0.4 * rng.standard_normal(k))
    base = 30 * np.exp(0.5 * rng.standard_normal(k))
    table = pd.DataFrame({"study_id": [f"s{i}" for i in range(k)]})
    fixed = {"outcome": "a", "unit": "%", "better": "lower", "contrast": "exosome_vs_control", "use": "main"}
    table = table.assign(**fixed)
    for arm, mean in (("treatment", gain), ("control", np.ones(k))):
        n, sd = rng.integers(4, 13, k), cv * np.sqrt(mean)
        table[f"{arm}_n"] = n
        table[f"{arm}_mean"] = (base * (mean + sd / np.sqrt(n) * rng.standard_normal(k))).round(2)
        table[f"{arm}_sd"] = (base * sd * np.sqrt(rng.chisquare(n - 1) / (n - 1))).round(2)
    text = table.astype(str).to_dict("records")
    plan = load_codebook().sheets["outcomes"]
    return Rows(RawSheet(plan, list(table), list(range(2, k + 2)), text), table, {})


@pytest.mark.long
@pytest.mark.parametrize("k", [6, 12, 30])
def test_clean_sheets_are_asked_about_in_fewer_than_one_of_twenty(k: int) -> None:
    rng, draws = np.random.default_rng(3), 300
    asked = sum(
        any(list(check.find(sheet)) for check in CHECKS)
        for sheet in (simulated(rng, k) for _ in range(draws))
    )
    assert asked < 0.05 * draws
