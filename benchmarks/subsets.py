"""All subsets of the studies, beside metafor in one run: python -m benchmarks.subsets [--small].

Times subsets of 13 trials by both sides, then what metaexo does alone: 2^20 subsets of 20 studies with the
peak of memory, how time grows with the studies, with the subsets and with the workers, and how far that is
from what the machine allows. Writes benchmarks/subsets.md.
"""

from __future__ import annotations

import ast
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np

import metaexo as mx
from benchmarks.cases import SEED, Array
from benchmarks.timing import seconds
from metaexo.formatting import markdown_table, number
from metaexo.numeric import subsets as kernel

HERE = Path(__file__).parent
PAGE = HERE / "subsets.md"
SAME = 1e-3
# Estimators beside metafor with the ratio that is asked for, and of 2^20 subsets with the seconds.
RATIOS = {"EE": 0, "DL": 300, "REML": 3000}
SECONDS = {"EE": 0.0, "DL": 0.5, "PM": 0.0, "REML": 10.0, "ML": 0.0}
STUDIES, SMALL_STUDIES = 20, 12
GROWTH = (12, 14, 16, 18, 20, 22)
DRAWS, DRAWS_OF = (10_000, 100_000, 1_000_000), 50
DRAWN_STUDIES, DRAWN = (25, 50, 100, 200, 400), 50_000
MANY = 20_000  # subsets that are handed to fit_many
# Passes over arrays of one number per subset, counted in the code: for merging and the answer, per point of
# the grid, and per evaluation of Newton's iteration; and passes over the rows of the subsets per evaluation.
PASSES = {"EE": 30, "DL": 40, "PM": 40, "REML": 60, "ML": 60}
PER_POINT, PER_STEP, PER_ROW = 38, 40, {"DL": 2, "PM": 3, "REML": 4, "ML": 4}


def bcg() -> mx.EffectSizes:
    """Return the log risk ratios of 13 trials of BCG vaccine: 8,191 subsets."""
    return mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")


def problem(k: int) -> tuple[Array, Array]:
    """Return k effects and sampling variances; nearly every subset has a tau2 above 0."""
    rng = np.random.default_rng([SEED, k])
    v = rng.uniform(0.01, 0.3, k)
    return rng.normal(0.3, np.sqrt(v + 0.5)), v


def fit_of(k: int, method: str) -> Any:
    """Return a fit of k studies."""
    return mx.RandomEffects(mx.EffectSizes(*problem(k))).fit(method=method, test="z")


# ------------------------------------------------------------------------------------------- Beside metafor


def time_r(es: mx.EffectSizes, methods: tuple[str, ...]) -> dict[str, Any]:
    """Return what metafor took and found."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.json"
        path.write_text(json.dumps({"y": es.y.tolist(), "v": es.v.tolist(), "methods": list(methods)}))
        command = ["Rscript", "--vanilla", str(HERE / "time_subsets.R"), str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def time_ours(es: mx.EffectSizes, method: str) -> dict[str, Any]:
    """Return what metaexo took and found, before and after metafor in the same run."""
    fit = mx.RandomEffects(es).fit(method=method, test="z")
    taken = seconds(lambda: mx.sensitivity.gosh(fit))
    found = mx.sensitivity.gosh(fit)
    return {
        "method": method,
        "size": found.size,
        "seconds": taken,
        "estimate": float(np.median(found.estimate)),
        "tau2": float(np.median(found.tau2)),
    }


def beside(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one line per estimator."""
    lines = []
    for mine, other in zip(ours, theirs, strict=True):
        agrees = all(abs(mine[n] - other[n]) <= SAME * max(1, abs(other[n])) for n in ("estimate", "tau2"))
        ratio = other["seconds"] / mine["seconds"] if agrees else np.nan
        lines.append(mine | {"theirs": other["seconds"], "median": other["estimate"], "ratio": ratio})
    return lines


# --------------------------------------------------------------------------------------------------- Alone


class Run(NamedTuple):
    """A run of many subsets."""

    method: str
    studies: int
    subsets: int
    workers: int
    seconds: float
    cpu: float  # seconds of this process, which other work on the machine hardly changes
    peak: float  # resident memory at its highest, in MB
    before: float  # the same before the run


def timed(method: str, studies: int, draws: int | None = None, workers: int = 1, repeats: int = 2) -> Run:
    """Return the least times of a run; modules are loaded and workers are started before."""
    fit = fit_of(studies, method)
    walls, cpus = [], []
    with joblib.parallel_config(backend="loky" if workers > 1 else "threading", n_jobs=workers):
        mx.sensitivity.gosh(fit, 16 * kernel_block() if workers > 1 else 2 * kernel_block())
        before = peak_memory()
        for _ in range(repeats):
            began, worked = time.perf_counter(), time.process_time()
            size = mx.sensitivity.gosh(fit, draws).size
            walls.append(time.perf_counter() - began)
            cpus.append(time.process_time() - worked)
    return Run(method, studies, size, workers, min(walls), min(cpus), peak_memory(), before)


def kernel_block() -> int:
    """Return the number of subsets of one call of the task."""
    block: int = import_module("metaexo.sensitivity.gosh").BLOCK
    return block


def peak_memory() -> float:
    """Return the highest resident memory of this process so far, in MB."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (1e6 if sys.platform == "darwin" else 1e3)


def alone(method: str, studies: int) -> Run:
    """Return the best of several runs in a process of its own, so that the peak is that of the run."""
    code = f"from benchmarks.subsets import timed; print(tuple(timed({method!r}, {studies}, repeats=5)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=HERE.parent)
    return Run(*ast.literal_eval(done.stdout))


def time_fit_many(method: str, studies: int, size: int) -> float:
    """Return seconds per subset with the general function for many meta-analyses."""
    y, v = problem(studies)
    held = np.random.default_rng(1).random((size, studies)) < 0.5
    held[:, :2] = True
    ys, vs = np.broadcast_to(y, held.shape), np.broadcast_to(v, held.shape)
    return seconds(lambda: mx.fit_many(ys, vs, held.astype(float), method, "z"), 0.1) / size


# --------------------------------------------------------------------------------------------------- Limits


def machine() -> dict[str, float]:
    """Return what numpy reaches here on one core."""
    large, other = np.ones(25_000_000), np.ones(25_000_000)
    square = np.ones((1000, 1000))
    near = np.full(2048, 1.5)
    out = np.empty_like(near)

    def repeat(call: Any, times: int = 200) -> float:
        return seconds(lambda: [call() for _ in range(times)], 0.2) / times

    return {
        "copy": 2 * large.nbytes / seconds(lambda: np.copyto(other, large), 0.5) / 1e9,
        "product": 2e9 / seconds(lambda: square @ square, 0.5) / 1e9,
        "multiply": repeat(lambda: np.multiply(near, near, out=out)) / near.size * 1e9,
        "reciprocal": repeat(lambda: np.reciprocal(near, out=out)) / near.size * 1e9,
    }


class Work(NamedTuple):
    """What a subset takes on average."""

    rows: float  # reciprocals: one per row and evaluation
    steps: float  # evaluations of the iteration
    points: int  # points of the grid
    passes: float  # multiplications, additions and the like, over arrays in the cache
    flops: float  # of matrix products
    bytes: int  # of the answer


def work_of(method: str, studies: int) -> Work:
    """Count what the subsets of one block take, by looking at each evaluation."""
    y, v = problem(studies)
    task = kernel.SubsetFits(y, v, np.arange(studies), kernel.Subsets(studies), method)
    seen: list[tuple[int, int]] = []
    whole = kernel.Tables._weights

    def counted(tables: Any, rows: Any, tau2: Array) -> Array:
        seen.append((rows.powers.shape[1], tau2.size))
        return whole(tables, rows, tau2)

    kernel.Tables._weights = counted  # type: ignore[method-assign]
    size = min(kernel_block(), task.subsets.size)
    try:
        task(0, size)
    finally:
        kernel.Tables._weights = whole  # type: ignore[method-assign]
    rows, steps = sum(r * n for r, n in seen) / size, sum(n for _, n in seen) / size
    points = task.tables.grid.size
    passes = PASSES[method] + PER_POINT * points + (PER_STEP * steps if method in kernel.ITERATED else 0)
    passes += PER_ROW.get(method, 0) * rows
    sums = {"REML": 9, "ML": 9, "PM": 6}.get(method, 2)
    answer = task(0, 1)
    return Work(rows, steps, points, passes, 2 * sums * rows, sum(x[:1].nbytes for x in answer.values()))


def least(work: Work, speed: dict[str, float]) -> tuple[float, float]:
    """Return nanoseconds per subset that arithmetic in the cache and writing the answer take at the least."""
    arithmetic = work.rows * speed["reciprocal"] + work.passes * speed["multiply"]
    return arithmetic + work.flops / speed["product"], work.bytes / speed["copy"]


# ----------------------------------------------------------------------------------------------------- Page


def table_beside(lines: list[dict[str, Any]]) -> str:
    """Return the times beside metafor in Markdown."""
    rows = []
    for line in lines:
        ratio = "different result" if np.isnan(line["ratio"]) else f"{line['ratio']:,.0f}"
        target = f"{RATIOS[line['method']]:,}" if RATIOS[line["method"]] else ""
        found = [number(line["estimate"], 5), number(line["median"], 5)]
        times = [f"{1e3 * line['seconds']:.2f}", f"{1e3 * line['theirs']:,.0f}"]
        rows.append([line["method"], f"{line['size']:,}", *times, ratio, target, *found])
    medians = ["median by metaexo", "median by metafor"]
    return markdown_table(
        rows, ["estimator", "subsets", "metaexo, ms", "metafor, ms", "times ours", "target", *medians]
    )


def table_alone(runs: list[Run], many: dict[str, float]) -> str:
    """Return the runs of 2^20 subsets in Markdown."""
    rows = []
    for run in runs:
        target = f"{SECONDS[run.method]:g}" if SECONDS[run.method] else ""
        other = f"{many[run.method] * run.subsets:.1f}" if run.method in many else ""
        memory = [f"{run.before:.0f}", f"{run.peak:.0f}"]
        taken = [f"{run.seconds:.2f}", f"{run.cpu:.2f}"]
        rows.append([run.method, f"{run.subsets:,}", *taken, target, other, *memory])
    times = ["seconds", "of the processor", "target", "fit_many, seconds"]
    return markdown_table(rows, ["estimator", "subsets", *times, "MB before", "MB at most"])


def table_limits(runs: list[Run], speed: dict[str, float], studies: int) -> str:
    """Return how far the runs are from what the machine allows."""
    rows = []
    for run in runs:
        work = work_of(run.method, studies)
        arithmetic, moved = least(work, speed)
        taken = 1e9 * run.cpu / run.subsets
        counts = [f"{work.rows:.0f}", f"{work.passes:.0f}", f"{work.flops:.0f}", str(work.bytes)]
        share = f"{100 * (arithmetic + moved) / taken:.0f}%"
        rows.append([run.method, *counts, f"{arithmetic:.0f}", f"{moved:.1f}", f"{taken:.0f}", share])
    counts = ["reciprocals", "passes", "flops of products", "bytes of the answer"]
    return markdown_table(rows, ["estimator", *counts, "arithmetic, ns", "answer, ns", "taken, ns", "share"])


def table_growth(runs: list[Run]) -> str:
    """Return times per subset in Markdown; that of the processor where one process did all the work."""
    rows = []
    for run in runs:
        cpu = f"{1e9 * run.cpu / run.subsets:,.0f}" if run.workers == 1 else ""
        each = f"{1e9 * run.seconds / run.subsets:,.0f}"
        what = [run.method, f"{run.studies}", f"{run.subsets:,}", f"{run.workers}"]
        rows.append([*what, f"{run.seconds:.3f}", each, cpu])
    times = ["seconds", "ns per subset", "of the processor, ns"]
    return markdown_table(rows, ["estimator", "studies", "subsets", "workers", *times])


def verdict(lines: list[dict[str, Any]], runs: list[Run]) -> str:
    """Say which targets were met."""
    missed = [
        f"{line['method']} beside metafor" for line in lines if not line["ratio"] >= RATIOS[line["method"]]
    ]
    missed += [
        f"{run.method}, {run.subsets:,} subsets"
        for run in runs
        if run.seconds > (SECONDS[run.method] or np.inf)
    ]
    return f"Targets not met: {'; '.join(missed)}." if missed else "All targets are met."


def page(
    lines: list[dict[str, Any]],
    versions: dict[str, Any],
    runs: list[Run],
    many: dict[str, float],
    speed: dict[str, float],
    growth: dict[str, list[Run]],
) -> str:
    """Return the page."""
    parts = "\n\n".join(f"{words}\n\n{table_growth(part)}" for words, part in growth.items())
    return (
        "# Subsets of the studies: speed\n\n"
        "Made by `python -m benchmarks.subsets`, in one run on one machine; the ratios are what to look at. "
        f"{verdict(lines, runs)}\n\n"
        "## Beside metafor: all subsets of 13 trials\n\n"
        "Times of `gosh`, the least of many, of metafor with REML the time of one call. metafor's REML stops "
        "early and fails for some subsets, so its median differs a little.\n\n"
        f"{table_beside(lines)}\n\n"
        f"## All subsets of {runs[0].studies} studies\n\n"
        "The least of five runs, in a process for each estimator. The answer takes 45 bytes per subset; what "
        "else a run needs does not grow with the subsets. Beside it the time that `fit_many` takes for the "
        "same number, from a part of them.\n\n"
        f"{table_alone(runs, many)}\n\n"
        "## How far that is from the limit\n\n"
        f"On one core numpy copies {speed['copy']:.1f} GB/s (bytes read and written), reaches "
        f"{speed['product']:.0f} GFlop/s in a product of matrices of 1,000 rows, and takes "
        f"{speed['multiply']:.2f} ns for a product and {speed['reciprocal']:.2f} ns for a reciprocal in an "
        "array of 2,048 numbers, which stays in the cache. What a subset needs was counted: reciprocals, of "
        "which there is one per row and evaluation; passes, which are products, sums and the like of arrays "
        "with one number per subset or row; matrix products. At these speeds they take the time under "
        "arithmetic; writing the answer to memory takes little beside it. The share is how much of the time "
        "of the processor that is; the rest is the cost of calls and of arrays that leave the nearest "
        "cache.\n\n"
        f"{table_limits(runs, speed, runs[0].studies)}\n\n"
        "## Growth\n\n"
        f"{parts}\n\n"
        f"Python {platform.python_version()}, numpy {np.__version__}, {versions['R']}, metafor "
        f"{versions['metafor']}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}.\n"
    )


def growth_of(small: bool) -> dict[str, list[Run]]:
    """Return runs by what grows in them."""
    methods = ("DL", "REML")
    sizes, draws, drawn = (GROWTH[:2], DRAWS[:1], 2_000) if small else (GROWTH, DRAWS, DRAWN)
    workers, of = ((1,), SMALL_STUDIES) if small else ((1, 2), 22)
    return {
        "All subsets, by the number of studies.": [timed(m, k) for m in methods for k in sizes],
        f"Random subsets of {DRAWS_OF} studies, by their number.": [
            timed(m, DRAWS_OF, n) for m in methods for n in draws
        ],
        f"{drawn:,} random subsets, by the number of studies.": [
            timed(m, k, drawn) for m in methods for k in DRAWN_STUDIES[: 2 if small else None]
        ],
        "All subsets, on one worker and on two (processes of joblib).": [
            timed(m, of, None, n) for m in methods for n in workers
        ],
    }


def main(arguments: list[str]) -> None:
    """Time everything and write the page; --small is a trial that writes nothing."""
    small = "--small" in arguments
    studies, es, methods = SMALL_STUDIES if small else STUDIES, bcg(), tuple(RATIOS)
    ours = [time_ours(es, method) for method in methods]
    versions = time_r(es, methods[:2] if small else methods)
    again = [time_ours(es, method) for method in methods]
    best = [min(pair, key=lambda line: line["seconds"]) for pair in zip(ours, again, strict=True)]
    lines = beside(best[: len(versions["works"])], versions["works"])
    runs = [alone(method, studies) for method in SECONDS]
    many = {m: time_fit_many(m, studies, MANY // (20 if small else 1)) for m in ("DL", "REML")}
    text = page(lines, versions, runs, many, machine(), growth_of(small))
    print(text)
    if not small:
        PAGE.write_text(text, encoding="utf8")


if __name__ == "__main__":
    main(sys.argv[1:])
