"""The page on the speed of subsets, without R."""

from __future__ import annotations

import numpy as np

from benchmarks import subsets

VERSIONS = {"R": "R 4", "metafor": "3.8.1"}
SPEED = {"copy": 5.0, "product": 20.0, "multiply": 0.3, "reciprocal": 0.6}


def side(method: str, seconds: float, tau2: float = 0.2) -> dict:
    return {"method": method, "size": 8191, "seconds": seconds, "estimate": -0.7, "tau2": tau2}


def page(lines, taken: float = 0.3) -> str:
    runs = [subsets.Run("DL", 10, 1023, 1, taken, taken, 150.0, 100.0)]
    return subsets.page(lines, VERSIONS, runs, {"DL": 3e-6}, SPEED, {"By studies.": runs})


def test_ratios_count_where_both_sides_found_the_same() -> None:
    ours, theirs = [side("DL", 1e-3), side("REML", 1e-2)], [side("DL", 0.4), side("REML", 40.0)]
    text = page(subsets.beside(ours, theirs))
    assert "| DL | 8,191 | 1.00 | 400 | 400 | 300 |" in text
    assert "| 4,000 | 3,000 |" in text
    assert "All targets are met." in text
    other = subsets.beside(ours, [side("DL", 0.4, tau2=0.3), side("REML", 20.0)])
    assert np.isnan(other[0]["ratio"])
    assert "Targets not met: DL beside metafor; REML beside metafor; DL, 1,023 subsets." in page(other, 0.6)


def test_work_is_counted_by_looking_at_the_evaluations() -> None:
    closed, root = subsets.work_of("DL", 10), subsets.work_of("REML", 10)
    assert closed.rows == 10  # every row of every subset once
    assert closed.bytes == root.bytes == 45
    assert root.steps > 1
    assert root.points > 2
    arithmetic, moved = subsets.least(closed, SPEED)
    assert moved == 9
    assert arithmetic == 10 * 0.6 + closed.passes * 0.3 + closed.flops / 20


def test_a_run_and_the_general_function_are_timed() -> None:
    run = subsets.timed("DL", 10)
    assert (run.subsets, run.workers) == (1023, 1)
    assert run.peak >= run.before > 10
    assert 0 < subsets.time_fit_many("DL", 10, 100) < 1
    assert subsets.time_ours(subsets.bcg().select(np.arange(13) < 5, "few"), "EE")["size"] == 31
