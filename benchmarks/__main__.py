"""Speed, side by side in one run: python -m benchmarks [--small].

The same problems go to metaexo, to R's metafor, and to every Python peer that is installed; the table gives
times and ratios, and is written to benchmarks/results.md. A ratio counts only if both sides found the same.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import metaexo as mx
from benchmarks.cases import Array, many_problems, one_problem
from benchmarks.peers import installed, metaexo
from benchmarks.timing import seconds
from metaexo.formatting import markdown_table

HERE = Path(__file__).parent
SIZES = (13, 100, 1000)
LARGE = (10_000, 1_000_000)
MANY, MANY_IN_R, MANY_K = 10_000, 200, 20
SAME = 1e-3
# All sides are timed in turn so many times, because the speed of a machine drifts; the least times count.
ROUNDS = 3


@dataclass
class Row:
    """One line of the table: what was done, by whom, how long it took, and what it found."""

    work: str
    side: str
    seconds: float
    estimate: float
    ours: float | None = None

    @property
    def ratio(self) -> str:
        """Return their time over ours; empty for our own line."""
        return "" if self.ours is None else f"{self.seconds / self.ours:,.1f}"


def time_r(sizes: tuple[int, ...]) -> dict[str, Any]:
    """Return what metafor took and found."""
    y, v = many_problems(MANY, MANY_K)
    content = {
        "one": [dict(zip("yv", (a.tolist() for a in one_problem(k)), strict=True)) for k in sizes],
        "many": {"y": y[:MANY_IN_R].tolist(), "v": v[:MANY_IN_R].tolist()},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problems.json"
        path.write_text(json.dumps(content))
        done = subprocess.run(
            ["Rscript", str(HERE / "time_metafor.R"), str(path)], check=True, capture_output=True, text=True
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def single_fits(sizes: tuple[int, ...], r: dict[str, Any]) -> list[Row]:
    """Time one fit at each size: metaexo, then R and the peers."""
    rows = []
    in_r = {one["k"]: one for one in r["one"]}
    for k in (*sizes, *LARGE):
        y, v = one_problem(k)
        work = f"one REML fit, k = {k:,}"
        ours = seconds(lambda y=y, v=v: metaexo(y, v))
        rows.append(Row(work, "metaexo", ours, metaexo(y, v)[0]))
        if k in in_r:
            rows.append(Row(work, "R metafor", in_r[k]["seconds"], in_r[k]["estimate"], ours))
        if k in sizes:
            rows += beside_peers(work, "REML", y, v, ours)
    for k in sizes:
        y, v = one_problem(k)
        work = f"one Paule-Mandel fit, k = {k:,}"
        ours = seconds(lambda y=y, v=v: metaexo(y, v, "PM"))
        rows.append(Row(work, "metaexo", ours, metaexo(y, v, "PM")[0]))
        rows += beside_peers(work, "PM", y, v, ours)
    return rows


def beside_peers(work: str, method: str, y: Array, v: Array, ours: float) -> list[Row]:
    """Time the Python peers that have this estimator of tau2."""
    return [
        Row(work, name, seconds(lambda f=fit: f(y, v)), fit(y, v)[0], ours)
        for name, fit in installed(method).items()
    ]


def many_fits(r: dict[str, Any]) -> list[Row]:
    """Time 10,000 fits of k = 20: one batched call, R's loop (a part, scaled), PyMARE's call on columns."""
    y, v = many_problems(MANY, MANY_K)
    work = f"{MANY:,} REML fits, k = {MANY_K}"
    batched = mx.fit_many(y, v)
    ours = seconds(lambda: mx.fit_many(y, v), budget=3)
    rows = [Row(work, "metaexo, one batched call", ours, float(batched.estimate.mean()))]
    found = float(np.mean(r["many"]["estimate"]))
    part = float(batched.estimate[:MANY_IN_R].mean())
    if abs(found - part) > SAME:
        raise SystemExit(f"R found a mean of {found}, metaexo {part}: not the same work")
    scaled = r["many"]["seconds"] * MANY / r["many"]["count"]
    rows.append(Row(work, f"R metafor, loop ({MANY_IN_R} fits, scaled)", scaled, rows[0].estimate, ours))
    if "PyMARE" in installed():
        from pymare.estimators import VarianceBasedLikelihoodEstimator

        def pymare() -> Any:
            estimator = VarianceBasedLikelihoodEstimator(method="reml")
            estimator.fit(y.T, v.T, np.ones((MANY_K, 1)))
            return estimator.summary().get_fe_stats()["est"]

        mean = float(np.mean(pymare()))
        rows.append(Row(work, "PyMARE, two-dimensional call", seconds(pymare, budget=3), mean, ours))
    return rows


def least(lines: tuple[Row, ...]) -> Row:
    """Return a line with the least times of several rounds."""
    ours = [line.ours for line in lines if line.ours is not None]
    return replace(lines[0], seconds=min(line.seconds for line in lines), ours=min(ours) if ours else None)


def import_time(module: str) -> float:
    """Return how long a fresh interpreter takes to import a module, in seconds: the least of five."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    return min(
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
        for _ in range(5)
    )


def check_same(rows: list[Row]) -> None:
    """Stop if two sides of one work found different estimates."""
    by_work: dict[str, Row] = {}
    for row in rows:
        first = by_work.setdefault(row.work, row)
        if abs(first.estimate - row.estimate) > SAME:
            raise SystemExit(f"{row.work}: {row.side} found {row.estimate}, metaexo {first.estimate}")


def table(rows: list[Row]) -> str:
    """Return the table in Markdown."""
    cells = [[r.work, r.side, f"{1e3 * r.seconds:,.3f}", r.ratio] for r in rows]
    return markdown_table(cells, ["work", "side", "ms", "times metaexo's"], left=2)


def main(arguments: list[str]) -> None:
    """Run everything and write benchmarks/results.md."""
    sizes = SIZES[:2] if "--small" in arguments else SIZES
    rounds = []
    for _ in range(ROUNDS):
        r = time_r(sizes)
        rounds.append(single_fits(sizes, r) + many_fits(r))
    rows = [least(lines) for lines in zip(*rounds, strict=True)]
    check_same(rows)
    extra = import_time("numpy, metaexo") - import_time("numpy")
    text = (
        "# Speed\n\n"
        f"Made by `make benchmark`: the sides were timed in turn, {ROUNDS} times, in one run on one\n"
        f"machine, and found the same estimate within {SAME:g}. Each time is the least of many; the ratio\n"
        "is what to look at. statsmodels has no REML, so Paule-Mandel fits are compared.\n\n"
        f"{table(rows)}\n\n"
        f"`import metaexo` adds {1e3 * extra:.0f} ms to numpy's own import.\n\n"
        f"Python {platform.python_version()}, numpy {np.__version__}, {r['R']}, metafor {r['metafor']}, "
        f"{os.cpu_count()} cores.\n"
    )
    print(text)
    if "--small" not in arguments:
        (HERE / "results.md").write_text(text, encoding="utf8")


if __name__ == "__main__":
    main(sys.argv[1:])
