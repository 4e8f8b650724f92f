"""Methods for small-study effects beside metafor in one run: python -m benchmarks.bias_speed [--small].

The same effects go to metaexo and to metafor, each of which is given its fit where a method starts from one.
A ratio counts only if both sides found the same. Writes benchmarks/bias_speed.md.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

import metaexo as mx
from benchmarks.cases import SEED, Array
from benchmarks.timing import seconds
from metaexo.formatting import markdown_table, number

HERE = Path(__file__).parent
PAGE = HERE / "bias_speed.md"
ROUNDS = 2
SAME = 1e-3
# Of metafor's selection models, which stop where an iteration gains little.
SAME_SELECTION = 1e-2

bias = mx.bias


def step(fit: Any, *cuts: float) -> float:
    """Return the mean of a selection model with steps."""
    return float(bias.selection_model(fit, cuts=cuts, alternative="greater").estimate)


def smooth(fit: Any, weights: str) -> float:
    """Return the mean of a selection model with smooth weights."""
    return float(bias.selection_model(fit, weights=weights, alternative="greater").estimate)


# What is timed: a function of effects and fit that returns the number that is compared, the sizes, and how
# many times as fast as metafor it is to be.
WORKS: dict[str, tuple[Callable[[Any, Any], float], tuple[int, ...], float]] = {
    "regression test": (lambda es, fit: bias.regression_test(fit).statistic, (20, 1000), 10),
    "regression test, weighted least squares": (
        lambda es, fit: bias.regression_test(es, model="dispersion").statistic,
        (20, 1000),
        10,
    ),
    "rank test": (lambda es, fit: bias.rank_test(es).tau, (20, 100), 0),
    "trim and fill": (lambda es, fit: bias.trim_and_fill(fit, side="left").estimate, (20, 1000), 10),
    "fail-safe N (Rosenthal)": (lambda es, fit: bias.fail_safe_n(es).number, (20, 1000), 0),
    "fail-safe N (Rosenberg)": (lambda es, fit: bias.fail_safe_n(es, "rosenberg").number, (20, 1000), 0),
    "excess significance": (lambda es, fit: bias.excess_significance(es, model="common").chi2, (20, 1000), 0),
    "Henmi-Copas": (lambda es, fit: bias.henmi_copas(es).low, (20, 1000), 0),
    "selection, step function": (lambda es, fit: step(fit, 0.025), (40,), 20),
    "selection, three steps": (lambda es, fit: step(fit, 0.025, 0.5), (40,), 20),
    "selection, beta": (lambda es, fit: smooth(fit, "beta"), (40,), 0),
    "selection, negative exponential": (lambda es, fit: smooth(fit, "negative-exponential"), (40,), 0),
}


def problem(k: int) -> tuple[Array, Array]:
    """Return k effects with tau2 = 0.1 and a mean of 0.3 before selection: of others 30% were published."""
    rng = np.random.default_rng([SEED, k])
    v = rng.uniform(0.01, 0.3, 4 * k + 100)
    y = rng.normal(0.3, np.sqrt(v + 0.1))
    published = rng.random(v.size) < np.where(special.ndtr(-y / np.sqrt(v)) < 0.025, 1.0, 0.3)
    return y[published][:k], v[published][:k]


def time_r(works: list[tuple[str, int]]) -> dict[str, Any]:
    """Return what metafor took and found."""
    content = [
        {"work": work, **dict(zip("yv", (one.tolist() for one in problem(k)), strict=True))}
        for work, k in works
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problems.json"
        path.write_text(json.dumps(content))
        command = ["Rscript", "--vanilla", str(HERE / "time_bias.R"), str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def time_ours(work: str, k: int) -> tuple[float, float]:
    """Return what metaexo took and found."""
    y, v = problem(k)
    es = mx.EffectSizes(y, v)
    selects = work.startswith("selection")
    fit = mx.RandomEffects(es).fit(*(("ML", "z") if selects else ("REML", "knapp-hartung")))
    call = WORKS[work][0]
    return seconds(lambda: call(es, fit)), float(call(es, fit))


def run(works: list[tuple[str, int]], rounds: int = ROUNDS) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return one line per work with the least times of both sides; they are timed in turn."""
    lines: dict[tuple[str, int], dict[str, Any]] = {}
    versions: dict[str, Any] = {}
    for _ in range(rounds):
        versions = time_r(works)
        for (work, k), theirs in zip(works, versions.pop("works"), strict=True):
            taken, found = time_ours(work, k)
            line = lines.setdefault((work, k), {"work": work, "k": k, "ours": np.inf, "theirs": np.inf})
            line |= {"ours": min(line["ours"], taken), "found": found, "found_by_r": theirs["found"]}
            line |= {"theirs": min(line["theirs"], theirs["seconds"] or np.inf)}
    return list(lines.values()), versions


def agrees(line: dict[str, Any]) -> bool:
    """Say whether both sides found the same."""
    tolerance = SAME_SELECTION if line["work"].startswith("selection") else SAME
    theirs = line["found_by_r"]
    return theirs is not None and abs(line["found"] - theirs) <= tolerance * max(1.0, abs(line["found"]))


def target_of(line: dict[str, Any]) -> float:
    """Return how many times as fast as metafor a work is to be; 0 if nothing was asked."""
    return WORKS[line["work"]][2]


def table(lines: list[dict[str, Any]]) -> str:
    """Return the times and ratios in Markdown."""
    rows = []
    for line in lines:
        ratio = f"{line['theirs'] / line['ours']:,.1f}" if agrees(line) else "different result"
        target = f"{target_of(line):g}" if target_of(line) else ""
        ours, theirs = (f"{1e3 * line[name]:,.3f}" for name in ("ours", "theirs"))
        found = [number(line["found"], 6), number(line["found_by_r"], 6)]
        rows.append([line["work"], f"{line['k']:,}", ours, theirs, ratio, target, *found])
    times = ["metaexo, ms", "metafor, ms", "times ours", "target"]
    return markdown_table(rows, ["work", "k", *times, "metaexo found", "metafor found"], left=1)


def page(lines: list[dict[str, Any]], versions: dict[str, Any]) -> str:
    """Return the page."""
    missed = [
        f"{line['work']}, k = {line['k']:,}"
        for line in lines
        if target_of(line) and not (agrees(line) and line["theirs"] >= target_of(line) * line["ours"])
    ]
    verdict = f"Targets not met: {'; '.join(missed)}." if missed else "All targets are met."
    return (
        "# Methods for small-study effects: speed\n\n"
        f"Made by `python -m benchmarks.bias_speed`: both sides were timed in turn, {ROUNDS} times, in one\n"
        "run on one machine. Each time is the least of many; the ratio is what to look at. Methods that\n"
        "start from a fit are given it. Selection models of metaexo start from several points and come with\n"
        f"a certificate, those of metafor from one. {verdict}\n\n"
        f"{table(lines)}\n\n"
        "metafor's exact rank test needs gigabytes for 1,000 effects, and its exact test of excess\n"
        "significance most of a minute for 20; here both sides use the chi-square test of excess.\n\n"
        f"Python {platform.python_version()}, numpy {np.__version__}, {versions['R']}, metafor "
        f"{versions['metafor']}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}.\n"
    )


def main(arguments: list[str]) -> None:
    """Time everything and write the page; --small is a trial that writes nothing."""
    small = "--small" in arguments
    works = [(work, k) for work, (_, sizes, _) in WORKS.items() for k in sizes if not small or k < 1000]
    lines, versions = run(works, 1 if small else ROUNDS)
    text = page(lines, versions)
    print(text)
    if not small:
        PAGE.write_text(text, encoding="utf8")


if __name__ == "__main__":
    main(sys.argv[1:])
