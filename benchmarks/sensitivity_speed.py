"""Refits beside metafor in one run: python -m benchmarks.sensitivity_speed [--small].

All subsets have a benchmark of their own, benchmarks.subsets.

The same effects go to metaexo and to metafor. Where metafor would take hours a part of its refits is timed,
and the page says which part; what both sides find is compared. Writes benchmarks/sensitivity_speed.md.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import metaexo as mx
from benchmarks.cases import SEED, Array
from benchmarks.timing import seconds
from metaexo.formatting import markdown_table, number

HERE = Path(__file__).parent
PAGE = HERE / "sensitivity_speed.md"
SAME = 1e-4
SLOW = 5.0  # seconds of a call that is not repeated
DRAWS = 10_000


@dataclass(frozen=True)
class Work:
    """What is timed."""

    name: str  # as in time_sensitivity.R
    k: int  # effects
    method: str
    ours: Callable[[Any], float]  # from a fit to the number that is compared
    refits: int
    run: int  # refits that metafor makes; the rest is in proportion
    times: float = 0.0  # how many times as fast as metafor it is to be; 0 if nothing was asked
    at_most: float = 0.0  # seconds that it may take; 0 if nothing was asked


def leave_one_out(fit: Any) -> float:
    return float(mx.sensitivity.leave_one_out(fit).estimate[0])


def influence(fit: Any) -> float:
    return float(mx.sensitivity.influence(fit).cooks_distance[0])


def permutation_test(fit: Any) -> float:
    mx.sensitivity.permutation_test(fit)
    return float(fit.beta[1])


def bootstrap(fit: Any) -> float:
    return float(mx.sensitivity.bootstrap(fit, "estimate", draws=DRAWS).estimates[0])


WORKS = (
    Work("leave-one-out", 1000, "REML", leave_one_out, 1000, 4, times=1000),
    Work("influence", 1000, "REML", influence, 1000, 4, times=1000),
    Work("permutation test", 10, "DL", permutation_test, 3_628_800, 500, times=1000),
    Work("permutation test", 10, "REML", permutation_test, 3_628_800, 500, times=1000),
    Work("bootstrap", 20, "REML", bootstrap, DRAWS, 500, at_most=0.5),
)


def problem(k: int) -> tuple[Array, Array, Array]:
    """Return k effects, their sampling variances and a moderator."""
    rng = np.random.default_rng([SEED, k])
    v = rng.uniform(0.02, 0.3, k)
    return rng.normal(0.3, np.sqrt(v + 0.1)), v, rng.normal(size=k)


def time_r(works: tuple[Work, ...]) -> dict[str, Any]:
    """Return what metafor took and found."""
    content = [
        {"work": work.name, "method": work.method, "run": work.run, "of": work.refits}
        | dict(zip("yvx", (one.tolist() for one in problem(work.k)), strict=True))
        for work in works
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problems.json"
        path.write_text(json.dumps(content))
        command = ["Rscript", "--vanilla", str(HERE / "time_sensitivity.R"), str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def time_ours(work: Work) -> tuple[float, float]:
    """Return what metaexo took and found."""
    y, v, x = problem(work.k)
    moderators = {"x": x} if work.name == "permutation test" else None
    model = mx.RandomEffects(mx.EffectSizes(y, v), None if moderators is None else x[:, None])

    def call() -> float:
        return work.ours(model.fit(work.method, "z"))

    before = time.perf_counter()
    found = call()
    first = time.perf_counter() - before
    return (first if first > SLOW else seconds(call)), found


def run(works: tuple[Work, ...]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return one line per work with the times of both sides."""
    versions = time_r(works)
    lines = []
    for work, theirs in zip(works, versions.pop("works"), strict=True):
        taken, found = time_ours(work)
        lines.append({"work": work, "ours": taken, "theirs": theirs["seconds"], "found": found})
        lines[-1]["found_by_r"] = theirs["found"]
    return lines, versions


def agrees(line: dict[str, Any]) -> bool:
    """Say whether both sides found the same."""
    return bool(abs(line["found"] - line["found_by_r"]) <= SAME * max(1.0, abs(line["found"])))


def met(line: dict[str, Any]) -> bool:
    """Say whether a work is as fast as it is to be."""
    work = line["work"]
    fast = line["theirs"] >= work.times * line["ours"]
    return agrees(line) and fast and (not work.at_most or line["ours"] <= work.at_most)


def table(lines: list[dict[str, Any]]) -> str:
    """Return the times and ratios in Markdown."""
    rows = []
    for line in lines:
        work = line["work"]
        part = "" if work.run == work.refits else f"{work.run:,} of {work.refits:,}"
        target = f"{work.times:,g} times" if work.times else f"{work.at_most:g} s"
        ratio = f"{line['theirs'] / line['ours']:,.0f}" if agrees(line) else "different result"
        times = [number(line["ours"], 3), f"{line['theirs']:,.1f}", part, ratio, target]
        found = [number(line["found"], 6), number(line["found_by_r"], 6)]
        rows.append([f"{work.name}, {work.method}", f"{work.k:,}", f"{work.refits:,}", *times, *found])
    head = ["work", "k", "refits", "metaexo, s", "metafor, s", "metafor ran", "times ours", "target"]
    return markdown_table(rows, [*head, "metaexo found", "metafor found"], left=1)


def page(lines: list[dict[str, Any]], versions: dict[str, Any]) -> str:
    """Return the page."""
    missed = [f"{line['work'].name}, {line['work'].method}" for line in lines if not met(line)]
    verdict = f"Targets not met: {'; '.join(missed)}." if missed else "All targets are met."
    return (
        "# Refits: speed\n\n"
        "Made by `python -m benchmarks.sensitivity_speed` in one run on one machine; the fit itself is in\n"
        "the times of metaexo. Where metafor ran a part of the refits its time is in proportion to it: the\n"
        f"whole would take hours. metafor's bootstrap is a loop by the package boot. {verdict}\n\n"
        f"{table(lines)}\n\n"
        f"Python {platform.python_version()}, numpy {np.__version__}, {versions['R']}, metafor "
        f"{versions['metafor']}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}.\n"
    )


def main(arguments: list[str]) -> None:
    """Time everything and write the page; --small is a trial that writes nothing."""
    small = "--small" in arguments
    lines, versions = run(tuple(work for work in WORKS if not small or work.k < 1000))
    text = page(lines, versions)
    print(text)
    if not small:
        PAGE.write_text(text, encoding="utf8")


if __name__ == "__main__":
    main(sys.argv[1:])
