"""Speed of multilevel models, beside R in one run: python -m benchmarks.multilevel [--small].

Nested models of 500 and 2,000 effects go to metaexo and to metafor (dense, and with sparse = TRUE); larger
nested ones, up to 100,000 effects, and crossed ones of 20,000 go to metaexo alone, each in its own process so
that its memory can be read. The table is written to benchmarks/multilevel.md. A ratio counts only if both
sides found the same.
"""

from __future__ import annotations

import json
import math
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import metaexo as mx
from metaexo.formatting import markdown_table, number
from metaexo.models import MultilevelResults

HERE = Path(__file__).parent
BESIDE_R = (500, 2_000)
LARGE = (1_000, 10_000, 100_000)
CROSSED = 20_000
PER_STUDY = 5
SAME = 1e-3


def problem(k: int, crossed: bool = False, seed: int = 1) -> dict[str, np.ndarray]:
    """Return effects nested in studies; crossed: with a source and an isolation method of each effect."""
    rng = np.random.default_rng(seed)
    studies = k // PER_STUDY
    study = np.sort(np.concatenate([np.arange(studies), rng.integers(0, studies, k - studies)]))
    v = rng.uniform(0.01, 0.1, k)
    y = 0.3 + 0.3 * rng.normal(size=studies)[study] + rng.normal(size=k) * np.sqrt(0.04 + v)
    out = {"y": y, "v": v, "study": study}
    if crossed:
        out |= {"source": rng.integers(0, 30, k), "isolation": rng.integers(0, 12, k)}
        out["y"] = y + 0.2 * rng.normal(size=30)[out["source"]] + 0.1 * rng.normal(size=12)[out["isolation"]]
    return out


def fit(data: dict[str, np.ndarray]) -> MultilevelResults:
    """Fit the nested or crossed model."""
    import pandas as pd

    es = mx.EffectSizes(data["y"], data["v"], data=pd.DataFrame(data))
    extra = [name for name in ("source", "isolation") if name in data]
    return mx.Multilevel(es, ["study/effect", *extra]).fit()


def seconds(data: dict[str, np.ndarray], repeats: int) -> tuple[float, MultilevelResults]:
    """Return the median time of a fit, and the fit."""
    fit(problem(50))  # imports are not what is timed
    taken = []
    for _ in range(repeats):
        before = time.perf_counter()
        found = fit(data)
        taken.append(time.perf_counter() - before)
    return float(np.median(taken)), found


def alone(k: int, crossed: bool) -> dict[str, float]:
    """Time one large fit in a process of its own, and return its time, memory in MB, and what it found."""
    command = [sys.executable, "-m", "benchmarks.multilevel", "--one", str(k), str(int(crossed))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def one(k: int, crossed: bool) -> None:
    """Print time, memory and result of one fit as JSON."""
    taken, found = seconds(problem(k, crossed), 1)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": taken, "memory": memory, "estimate": float(found.beta[0])}))


def in_r(sizes: tuple[int, ...]) -> dict[str, Any]:
    """Run metafor on the nested problems."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problems.json"
        path.write_text(json.dumps([{n: x.tolist() for n, x in problem(k).items()} for k in sizes]))
        command = ["Rscript", str(HERE / "time_multilevel.R"), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def beside_r(sizes: tuple[int, ...]) -> tuple[list[list[str]], list[str]]:
    """Return rows of times beside R, and notes."""
    ours = {k: seconds(problem(k), 5) for k in sizes}
    rows, notes = [], []
    for k, (taken, _) in ours.items():
        rows.append([f"nested, {k:,} effects", "metaexo", number(taken, 3), "", ""])
    if shutil.which("Rscript") is None:
        return rows, ["Rscript is not installed: no comparison."]
    theirs = in_r(sizes)
    for one_fit in theirs["fits"]:
        taken, found = ours[one_fit["k"]]
        same = abs(found.beta[0] - one_fit["estimate"]) < SAME * abs(found.beta[0])
        side = f"metafor {'sparse' if one_fit['sparse'] else 'dense'}"
        ratio = one_fit["seconds"] / taken
        text = f"{ratio:,.0f}" if same else "different result"
        gain = found.llf - one_fit["llf"]
        work = f"nested, {one_fit['k']:,} effects"
        rows.append([work, side, number(one_fit["seconds"], 3), text, number(gain, 6)])
    notes.append(f"metafor {theirs['metafor']}, {theirs['R']}; last column: our log-likelihood minus theirs.")
    return rows, notes


def main(arguments: list[str]) -> None:
    """Write the table."""
    if arguments[:1] == ["--one"]:
        one(int(arguments[1]), bool(int(arguments[2])))
        return
    small = "--small" in arguments
    rows, notes = beside_r(BESIDE_R[:1] if small else BESIDE_R)
    large = [] if small else LARGE
    found = {k: alone(k, False) for k in large}
    for k, line in found.items():
        rows.append(
            [
                f"nested, {k:,} effects ({line['memory']:.0f} MB)",
                "metaexo",
                number(line["seconds"], 3),
                "",
                "",
            ]
        )
    if not small:
        line = alone(CROSSED, True)
        rows.append(
            [
                f"study x source x isolation, {CROSSED:,} effects ({line['memory']:.0f} MB)",
                "metaexo",
                number(line["seconds"], 3),
                "",
                "",
            ]
        )
        first, last = found[LARGE[1]], found[LARGE[-1]]
        slope = math.log(last["seconds"] / first["seconds"]) / math.log(LARGE[-1] / LARGE[1])
        notes.append(f"Slope of log time against log K from {LARGE[1]:,} to {LARGE[-1]:,}: {slope:.2f}.")
    table = markdown_table(rows, ["work", "by", "seconds", "times ours", "log-likelihood gained"], left=2)
    text = "\n\n".join(["# Multilevel models", table, *notes]) + "\n"
    (HERE / "multilevel.md").write_text(text, encoding="utf8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
