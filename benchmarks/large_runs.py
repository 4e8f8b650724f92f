"""Very many random subsets as a stream of bounded memory: python -m benchmarks.large_runs [--small].

Every measurement is a process of its own, so that its peak memory is its own. Chunks and measurements stay
among the temporary files until all is done: after an interruption the same command goes on with what is
unfinished, and times that alone. Writes benchmarks/large_runs.md.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from benchmarks.cases import one_problem
from metaexo.formatting import markdown_table, number
from metaexo.numeric.subsets import SubsetFits, Subsets
from metaexo.runs import run

HERE = Path(__file__).parent
PAGE = HERE / "large_runs.md"
K, SEED, BLOCK = 30, 0, 1 << 14
# Columns and rows of the map of estimates and I2, and the estimates that it spans.
BINS, SPAN = (200, 100), (-0.2, 0.8)
KINDS = {"summary": "npz", "columns": "parquet"}
SIZES, CORES = (10**7, 10**8, 10**9, 10**10), (1, 2, 16, 256)


@dataclass(frozen=True)
class Case:
    """What is measured: the estimator, how many subsets on how many workers, and what is kept of them."""

    method: str
    size: int
    workers: int
    kept: str  # "summary" or "columns"


CASES = (
    Case("DL", 10**6, 1, "summary"),
    Case("DL", 10**7, 1, "summary"),
    Case("DL", 10**7, 2, "summary"),
    Case("DL", 10**8, 2, "summary"),
    Case("DL", 10**7, 2, "columns"),
    Case("REML", 10**6, 1, "summary"),
    Case("REML", 10**7, 1, "summary"),
    Case("REML", 10**7, 2, "summary"),
)


@dataclass(frozen=True)
class Summary:
    """The task of a stream: what is kept of a block of subsets."""

    fits: SubsetFits

    def __call__(self, begin: int, end: int) -> dict[str, Any]:
        found = self.fits(begin, end)
        fitted = found["state"] == 0
        estimate, i2 = found["beta"][fitted, 0], found["i2"][fitted]
        low, high = SPAN
        columns, rows = BINS
        column = np.clip((estimate - low) / (high - low) * columns, 0, columns - 1).astype(np.intp)
        row = np.minimum(i2 * rows, rows - 1).astype(np.intp)
        counts = np.bincount(column * rows + row, minlength=columns * rows)
        return {
            "map": counts.reshape(columns, rows),
            "fitted": np.int64(fitted.sum()),
            "sums": np.array([estimate.sum(), (estimate**2).sum(), found["tau2"][fitted].sum(), i2.sum()]),
            "ends": np.array([-estimate.min(), estimate.max()]),
        }


def together(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """Return the summary of two neighbouring summaries."""
    added = {name: left[name] + right[name] for name in ("map", "fitted", "sums")}
    return added | {"ends": np.maximum(left["ends"], right["ends"])}


def measure(case: Case, folder: Path) -> dict[str, Any]:
    """Return what a case took, and what it found."""
    y, v = one_problem(K)
    fits = SubsetFits(y, v, np.arange(K), Subsets(K, case.size, SEED), case.method)
    ends = (path.stem.split("-")[1:] for path in folder.glob(f"items-*.{KINDS[case.kept]}"))
    before = sum(int(end) - int(begin) for begin, end in ends)  # of an interrupted call
    clock, processor = time.perf_counter(), time.process_time()
    with joblib.parallel_config(backend="loky", n_jobs=case.workers):
        if case.kept == "summary":
            found = run(Summary(fits), case.size, block=BLOCK, to=folder, reduce=together, what="subsets")
        else:
            stored = run(fits, case.size, block=BLOCK, to=folder, what="subsets")
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    joblib.externals.loky.get_reusable_executor().shutdown()  # and the workers are counted
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    made: dict[str, Any] = {
        "computed": case.size - before,
        "clock": clock,
        "processor": processor + workers.ru_utime + workers.ru_stime,
        "memory": [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, workers.ru_maxrss / 1024],
        "disk": sum(path.stat().st_size for path in folder.iterdir()) / 2**20,
        "load": os.getloadavg()[0],
    }
    if case.kept == "summary":
        return made | {"digest": joblib.hash(found), "found": in_words(found)}
    clock = time.perf_counter()
    mean = sum(chunk.columns["beta"].sum() for chunk in stored.chunks(["beta"])) / case.size
    return made | {"read": time.perf_counter() - clock, "mean": mean}


def in_words(found: dict[str, Any]) -> list[str]:
    """Return what a summary says."""
    n = int(found["fitted"])
    low, high = SPAN
    by_estimate = np.cumsum(found["map"].sum(axis=1)) / n
    at = [low + (high - low) * (np.searchsorted(by_estimate, p) + 0.5) / BINS[0] for p in (0.025, 0.5, 0.975)]
    mean, square, tau2, i2 = found["sums"] / n
    return [
        f"{n:,} subsets have a fit; the mean of the estimates is {mean:.5f}, their standard deviation "
        f"{np.sqrt(square - mean**2):.5f}, from {-found['ends'][0]:.3f} to {found['ends'][1]:.3f}.",
        f"Quantiles of the estimates, to {(high - low) / BINS[0]:g}: {at[0]:.4f} (2.5%), {at[1]:.4f} (50%), "
        f"{at[2]:.4f} (97.5%). The mean of tau2 is {tau2:.4f}, of I2 {100 * i2:.1f}%.",
    ]


def name_of(case: Case) -> str:
    return f"{case.method} {case.size} {case.workers} {case.kept}"


def measured(cases: tuple[Case, ...], work: Path) -> dict[str, Any]:
    """Return the measurements of all cases; those that are there are not made again."""
    work.mkdir(exist_ok=True)
    kept = work / "measured.json"
    held: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    for case in cases:
        if name_of(case) in held:
            continue
        folder = work / name_of(case).replace(" ", "_")
        code = "import json, sys; from pathlib import Path; from benchmarks.large_runs import Case, measure\n"
        code += f"print(json.dumps(measure(Case(**{asdict(case)!r}), Path(sys.argv[1]))))"
        made = subprocess.run(
            [sys.executable, "-c", code, str(folder)], check=True, stdout=subprocess.PIPE, text=True
        )
        held[name_of(case)] = json.loads(made.stdout)
        kept.write_text(json.dumps(held, indent=1) + "\n")
        shutil.rmtree(folder)
        print(name_of(case), {n: x for n, x in held[name_of(case)].items() if n != "found"}, flush=True)
    return held


def duration(seconds: float) -> str:
    """Return a time with two digits, in the unit that suits it."""
    units = (("days", 86_400), ("h", 3_600), ("min", 60), ("s", 1), ("ms", 0.001))
    unit, size = next((one for one in units if seconds >= one[1]), units[-1])
    return f"{seconds / size:.0f} {unit}" if seconds >= 10 * size else f"{seconds / size:.1f} {unit}"


def page(cases: tuple[Case, ...], held: dict[str, Any]) -> str:
    """Return the page."""
    rows = []
    for case in cases:
        it = held[name_of(case)]
        rows.append(
            [
                case.method, f"{case.size:,}", str(case.workers), case.kept, number(it["clock"], 1),
                number(it["processor"], 1), f"{it['computed'] / it['processor'] / 1e6:.2f}",
                f"{it['memory'][0]:.0f}", "–" if case.workers == 1 else f"{it['memory'][1]:.0f}",
                f"{it['disk']:,.1f}", f"{it['load']:.1f}",
            ]
        )  # fmt: skip
    header = [
        "estimator",
        "subsets",
        "workers",
        "kept",
        "clock, s",
        "processors, s",
        "million per s",
    ]
    header += ["caller, MB", "worker, MB", "disk, MB", "load"]
    blocks = [
        markdown_table(rows, header, left=1),
        same_bits(cases, held),
        extended(cases, held),
        said(cases, held),
    ]
    return "\n\n".join([INTRODUCTION.format(machine=machine()), *blocks]) + "\n"


def same_bits(cases: tuple[Case, ...], held: dict[str, Any]) -> str:
    """Return a sentence on the summaries of one and of two workers; stop if they differ."""
    digests: dict[tuple[str, int], set[str]] = {}
    counts: dict[tuple[str, int], int] = {}
    for case in cases:
        if case.kept == "summary":
            key = (case.method, case.size)
            digests.setdefault(key, set()).add(held[name_of(case)]["digest"])
            counts[key] = counts.get(key, 0) + 1
    if any(len(every) > 1 for every in digests.values()):
        raise SystemExit(f"summaries differ between workers: {digests}")
    both = " and ".join(f"{size:,} by {method}" for (method, size), n in counts.items() if n > 1)
    return f"The summaries of {both} are the same bit for bit on one worker and on two."


def extended(cases: tuple[Case, ...], held: dict[str, Any]) -> str:
    """Return the table that extends the times to other sizes and numbers of cores."""
    out = ["## To 10^10 subsets", EXTENDED]
    rows = []
    for method in ("DL", "REML"):
        case = max((c for c in cases if c.method == method and c.kept == "summary"), key=lambda c: c.size)
        each = held[name_of(case)]["processor"] / held[name_of(case)]["computed"]
        for size in SIZES:
            times = [duration(size * each / cores) for cores in CORES]
            rows.append([method, f"10^{len(str(size)) - 1}", *times])
    header = ["estimator", "subsets", *(f"{n} core{'s' * (n > 1)}" for n in CORES)]
    out.append(markdown_table(rows, header, left=1))
    stored = next(case for case in cases if case.kept == "columns")
    it = held[name_of(stored)]
    each = it["disk"] * 2**20 / stored.size
    out.append(
        f"If all columns are kept rather than a summary, a subset takes {each:.0f} bytes on disk: "
        f"{each * 1e8 / 1e9:.1f} GB for 10^8 and {each * 1e10 / 1e12:.2f} TB for 10^10. One column of "
        f"{stored.size:,} subsets is read back, chunk by chunk, in {number(it['read'], 2)} s."
    )
    return "\n\n".join(out)


def said(cases: tuple[Case, ...], held: dict[str, Any]) -> str:
    """Return what the largest run found."""
    case = max(cases, key=lambda case: (case.kept == "summary", case.size))
    lines = held[name_of(case)]["found"]
    return "\n\n".join([f"## What {case.size:,} subsets say ({case.method})", *lines])


def machine() -> str:
    """Return what this was measured on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    processor = f"{os.cpu_count()} cores ({names[0] if names else platform.machine()})"
    return f"{processor}, Python {platform.python_version()}, numpy {np.__version__}"


INTRODUCTION = """# Very many subsets

Random subsets of K = 30 effects, each with a fit of its own, as a stream: blocks of 16,384 subsets are
fitted, summarised (a map of estimate and I2, sums and extremes) or written, and forgotten. Made by
`python -m benchmarks.large_runs`, which goes on where it was interrupted.
{machine}.

Each line is a process of its own. Memory is the peak of the calling process and of its largest worker, Python
and its libraries included; it does not grow with the number of subsets. Seconds of processors are those of
the caller and its workers together, their start included, and "million per s" are subsets per such second.
The clock also counts what other work on the machine took: it is a measure where the load, the last column, is
no more than the number of workers."""

EXTENDED = """Seconds of processors per subset of the largest run of each estimator, times the number of
subsets, divided by the number of cores. Chunks are independent and exchange nothing but receipts, so that
cores count in full as long as each has a chunk; a chunk is a thousandth of a run, at most 1,048,576 subsets.
Runs of up to 10^8 (DL) and 10^7 (REML) were made, as the first table says; the rest is arithmetic. To hand
out a thousand chunks takes 0.1 s with processes of one machine and 2 s with dask, which is not included."""


def main() -> None:
    cases = CASES
    if "--small" in sys.argv:
        cases = tuple(Case(case.method, case.size // 100, case.workers, case.kept) for case in CASES)
    work = Path(tempfile.gettempdir()) / "metaexo_large_runs"
    text = page(cases, measured(cases, work))
    print(text)
    if "--small" not in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
