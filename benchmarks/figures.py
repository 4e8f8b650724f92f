"""Drawing, side by side in one run: python -m benchmarks.figures [--small].

Forest plots of 13, 150 and 1,000 studies, each from a fit to a file: SVG, PNG (300 dpi) and PDF. metaexo, R's
metafor and every Python peer that is installed draw the same data in turn, each in a process of its own that
has drawn before. What counts is the time of the processor (user and system) between the fit and the written
file: planning, drawing and saving. Fits, imports and the closing of figures are outside.

Every drawing is of data that its process has not seen, so no text is measured in advance. The least time of
all rounds is shown. Writes benchmarks/figures.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import metaexo as mx
from benchmarks.cases import SEED, Array
from metaexo.formatting import markdown_table

HERE = Path(__file__).parent
PAGE = HERE / "figures.md"
SIZES = (13, 150, 1000)
ENDINGS = ("svg", "png", "pdf")
DPI = 300
# Drawings of each size in a round: small ones are over at once and need more of them.
DRAWINGS = {13: 5, 150: 3, 1000: 1}
ROUNDS = 3
# Processor seconds after which a side is stopped.
LIMIT = 60.0
SAME = 1e-3
# Inches per row of metafor's devices, so that no two of its lines touch.
R_ROW = 0.2
# Seconds for a number of rows as SVG.
TARGETS = {150: 0.5, 1000: 2.0}


@dataclass(frozen=True)
class Task:
    """One figure to draw: its data, its format, and how tall R's device is to be, in inches."""

    rows: int
    ending: str
    y: list[float]
    v: list[float]
    labels: list[str]
    inches: float


@dataclass(frozen=True)
class Drawing:
    """What a side made of a task; no seconds if it failed, with the reason."""

    rows: int
    ending: str
    seconds: float | None
    estimate: float
    inches: float
    failure: str = ""


def task(rows: int, ending: str, number: int) -> Task:
    """Return a task; each number has data of its own with tau2 = 0.1 and a mean of 0.3."""
    rng = np.random.default_rng([SEED, rows, ENDINGS.index(ending), number])
    v = rng.uniform(0.01, 0.3, rows)
    y = rng.normal(0.3, np.sqrt(v + 0.1))
    labels = [f"Author {i}, {year}" for i, year in enumerate(rng.integers(1990, 2026, rows), 1)]
    return Task(rows, ending, y.tolist(), v.tolist(), labels, round(1.5 + R_ROW * rows, 2))


# ---------------------------------------------------------------- the sides


def fit_metaexo(y: Array, v: Array, labels: list[str]) -> tuple[Any, float]:
    """Return a fit and its estimate."""
    fit = mx.RandomEffects(mx.EffectSizes(y, v, "SMD", labels=labels)).fit()
    return fit, fit.estimate


def draw_metaexo(fit: Any, path: Path) -> list[Any]:
    """Draw one page and save it; return its figure."""
    ax = mx.plots.forest(fit)
    mx.plots.save(ax, path, dpi=DPI)
    return [ax.get_figure(root=True)]


def draw_pages(fit: Any, path: Path) -> list[Any]:
    """Draw pages of 40 rows and save them: one PDF, or a file for each page; return their figures."""
    pages = mx.plots.pages_of(mx.plots.forest(fit, pages=True))
    if path.suffix == ".pdf":
        mx.plots.save(pages, path)
    else:
        for i, page in enumerate(pages, 1):
            mx.plots.save([page], path.with_stem(f"{path.stem}_{i}"), dpi=DPI)
    return [page.get_figure(root=True) for page in pages]


def fit_pymetaanalysis(y: Array, v: Array, labels: list[str]) -> tuple[Any, float]:
    """Return a fit of PyMetaAnalysis and its estimate."""
    import meta_analyze

    fit: Any = meta_analyze.meta_analysis(
        effect=y, variance=v, study=labels, tau2_method="REML", ci_method="hartung_knapp"
    )
    return fit, float(fit.estimate)


def draw_pymetaanalysis(fit: Any, path: Path) -> list[Any]:
    """Draw with PyMetaAnalysis, and save with matplotlib."""
    ax = fit.forest()
    ax.figure.savefig(path, dpi=DPI)
    return [ax.figure]


def fit_forestplot(y: Array, v: Array, labels: list[str]) -> tuple[Any, float]:
    """Return the table that forestplot draws; it fits nothing, so the pooled row is metaexo's."""
    import pandas as pd

    fit, estimate = fit_metaexo(y, v, labels)
    half = 1.959964 * np.sqrt(v)
    pooled = fit.pooled()
    table = pd.DataFrame(
        {
            "label": [*labels, "Random effects"],
            "estimate": [*y, estimate],
            "low": [*(y - half), pooled.low],
            "high": [*(y + half), pooled.high],
        }
    )
    return table, estimate


def draw_forestplot(table: Any, path: Path) -> list[Any]:
    """Draw with forestplot, as tall as its rows need, and save as its documentation says."""
    import forestplot
    import matplotlib.pyplot as plt

    ax = forestplot.forestplot(
        table,
        estimate="estimate",
        ll="low",
        hl="high",
        varlabel="label",
        xlabel="Standardized mean difference",
        figsize=(4, 0.25 * len(table) + 1),
    )
    plt.savefig(path, bbox_inches="tight", dpi=DPI)
    return [ax.figure]


@dataclass(frozen=True)
class Side:
    """One package: its module and name, how it fits and draws, and the sizes that it is asked for."""

    module: str
    package: str
    fit: Callable[[Array, Array, list[str]], tuple[Any, float]]
    draw: Callable[[Any, Path], list[Any]]
    sizes: tuple[int, ...] = SIZES


OURS, PAGES, R, RIVAL = "metaexo", "metaexo, pages of 40", "R metafor", "PyMetaAnalysis"
SIDES: dict[str, Side] = {
    OURS: Side("metaexo", "metaexo", fit_metaexo, draw_metaexo),
    PAGES: Side("metaexo", "metaexo", fit_metaexo, draw_pages, (1000,)),
    RIVAL: Side("meta_analyze", "PyMetaAnalysis", fit_pymetaanalysis, draw_pymetaanalysis),
    "forestplot": Side("forestplot", "forestplot", fit_forestplot, draw_forestplot),
}


def installed() -> list[str]:
    """Return the sides that are here, in the order in which they draw."""
    python = [name for name, side in SIDES.items() if importlib.util.find_spec(side.module)]
    return [*python, *([R] if shutil.which("Rscript") else [])]


def sizes_of(name: str) -> tuple[int, ...]:
    """Return the numbers of rows that a side is asked for."""
    return SIDES[name].sizes if name in SIDES else SIZES


# ---------------------------------------------------------------- one process


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Stop a block with TimeoutError after so many seconds of the processor."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"stopped after {seconds:g} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def drawn(side: Side, work: Task, folder: Path) -> Drawing:
    """Fit, then time a drawing from the fit to the file."""
    import gc

    import matplotlib.pyplot as plt

    result, estimate = side.fit(np.array(work.y), np.array(work.v), work.labels)
    path = folder / f"{work.rows}.{work.ending}"
    gc.collect()
    taken, inches, failure = None, 0.0, ""
    try:
        with limited(LIMIT):
            before = time.process_time()
            figures = side.draw(result, path)
            taken = time.process_time() - before
        inches = float(sum(figure.get_size_inches()[1] for figure in figures))
    except Exception as problem:  # a peer may fail in any way
        failure = str(problem).splitlines()[0]
    plt.close("all")
    return Drawing(work.rows, work.ending, taken, estimate, inches, failure)


def draw_here(name: str, problems: Path) -> list[Drawing]:
    """Draw the tasks of a file in this process."""
    work = [Task(**one) for one in json.loads(problems.read_text(encoding="utf8"))]
    return [drawn(SIDES[name], one, problems.parent) for one in work]


# ---------------------------------------------------------------- all of them


def in_process(name: str, work: Sequence[Task]) -> list[Drawing]:
    """Let a side draw in a process of its own, after one small figure of each format that does not count."""
    first = [task(SIZES[0], ending, 0) for ending in ENDINGS]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tasks.json"
        path.write_text(json.dumps([asdict(one) for one in (*first, *work)]), encoding="utf8")
        if name == R:
            command = ["Rscript", "--vanilla", str(HERE / "time_figures.R"), str(path), str(LIMIT), str(DPI)]
        else:
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.figures", "--side", name, str(path)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**os.environ, "MPLBACKEND": "Agg"},
            cwd=HERE.parent,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{name} stopped:\n{done.stderr}")
    return [Drawing(**one) for one in json.loads(done.stdout)][len(first) :]


@dataclass
class Found:
    """All drawings of a run, by side, number of rows and format."""

    rounds: int = ROUNDS
    drawings: dict[tuple[str, int, str], list[Drawing]] = field(default_factory=dict)

    def add(self, name: str, made: Sequence[Drawing]) -> None:
        """Keep the drawings of a side."""
        for one in made:
            self.drawings.setdefault((name, one.rows, one.ending), []).append(one)

    def failed(self, name: str, rows: int, ending: str) -> str:
        """Return why a side does not draw this; empty if it does, or was not asked."""
        return next((one.failure for one in self.drawings.get((name, rows, ending), []) if one.failure), "")

    def seconds(self, name: str, rows: int, ending: str) -> float | None:
        """Return the least time of a side; None if it does not draw this."""
        taken = [one.seconds for one in self.drawings.get((name, rows, ending), [])]
        return min((one for one in taken if one is not None), default=None)

    def inches(self, name: str, rows: int) -> float:
        """Return how tall the figure of a side is."""
        return max(
            (one.inches for key, made in self.drawings.items() if key[:2] == (name, rows) for one in made),
            default=0.0,
        )


def tasks_of(name: str, sizes: Sequence[int], turn: int, found: Found) -> list[Task]:
    """Return what a side draws in a round: not again what it could not draw."""
    asked = [rows for rows in sizes if rows in sizes_of(name)]
    return [
        task(rows, ending, 1 + turn * DRAWINGS[rows] + number)
        for rows in asked
        for ending in ENDINGS
        if not found.failed(name, rows, ending)
        for number in range(DRAWINGS[rows])
    ]


def run(names: Sequence[str], sizes: Sequence[int], rounds: int = ROUNDS) -> Found:
    """Let all sides draw in turn; stop if two of them fitted the same data differently."""
    found = Found(rounds)
    for turn in range(rounds):
        estimates: dict[tuple[int, str, int], float] = {}
        for name in names:
            work = tasks_of(name, sizes, turn, found)
            made = in_process(name, work)
            found.add(name, made)
            count: dict[tuple[int, str], int] = {}
            for one in made:
                at = count[one.rows, one.ending] = count.get((one.rows, one.ending), 0) + 1
                first = estimates.setdefault((one.rows, one.ending, at), one.estimate)
                if abs(first - one.estimate) > SAME:
                    raise SystemExit(f"{name} found {one.estimate}, {names[0]} {first}: not the same work")
    return found


# ---------------------------------------------------------------- the page


def cell(taken: float | None, ours: float | None) -> list[str]:
    """Return a time and its ratio to ours."""
    if taken is None:
        return ["–", ""]
    return [f"{taken:.{3 if taken < 1 else 2}f}", f"{float(f'{taken / ours:.2g}'):g}" if ours else ""]


def table(found: Found, names: Sequence[str], sizes: Sequence[int]) -> str:
    """Return the results in Markdown: a line for each number of rows and side."""
    lines = []
    for rows in sizes:
        for name in names:
            if rows not in sizes_of(name):
                continue
            times = [(found.seconds(name, rows, e), found.seconds(OURS, rows, e)) for e in ENDINGS]
            cells = [text for theirs, ours in times for text in cell(theirs, ours)]
            lines.append([f"{rows:,}", name, f"{found.inches(name, rows):.0f}", *cells])
    heads = [head for ending in ENDINGS for head in (f"{ending.upper()}, s", "times metaexo's")]
    return markdown_table(lines, ["rows", "side", "inches", *heads], left=2)


def failures(found: Found, names: Sequence[str], sizes: Sequence[int]) -> list[str]:
    """Return in words what a side could not draw."""
    return [
        f"{name} draws no {ending.upper()} of {rows:,} rows: {words.rstrip('.')}."
        for name in names
        for rows in sizes
        for ending in ENDINGS
        if (words := found.failed(name, rows, ending))
    ]


def targets(found: Found, sizes: Sequence[int]) -> list[str]:
    """Return each target with what was measured."""

    def verdict(right: bool) -> str:
        return "met" if right else "not met"

    lines = []
    for rows, most in TARGETS.items():
        taken = found.seconds(OURS, rows, "svg")
        if taken is not None:
            lines.append(
                f"{rows:,} rows to SVG in less than {most:g} s: {taken:.3f} s, {verdict(taken < most)}."
            )
    for rows in sizes:
        for ending in ENDINGS:
            ours, theirs = found.seconds(OURS, rows, ending), found.seconds(RIVAL, rows, ending)
            if ours is not None and theirs is not None:
                lines.append(
                    f"Faster than {RIVAL}, {rows:,} rows to {ending.upper()}: {ours:.3f} s against "
                    f"{theirs:.3f} s, {verdict(ours < theirs)}."
                )
    return lines


def versions(names: Sequence[str]) -> str:
    """Return what was compared, and on what."""
    packages = dict.fromkeys(SIDES[name].package for name in names if name in SIDES)
    said = [f"{package} {version(package)}" for package in packages]
    if R in names:
        code = 'cat(R.version.string, "; metafor ", as.character(packageVersion("metafor")), sep = "")'
        said += [subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=True).stdout]
    python = f"Python {platform.python_version()}, matplotlib {version('matplotlib')}"
    return f"{'; '.join([*said, python])}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}."


def page(found: Found, names: Sequence[str], sizes: Sequence[int]) -> str:
    """Return the page that is written to benchmarks/figures.md."""
    absent = [name for name in (*SIDES, R) if name not in names]
    notes = [
        *failures(found, names, sizes),
        *(f"{name} was not installed." for name in absent),
        f"metafor draws on devices of {R_ROW:g} inches per row, so that its lines do not touch. forestplot's "
        "figures have a quarter of an inch per row, because its default of 8 inches holds about 30. The "
        "other figures have their default height.",
        "PyMetaAnalysis prints labels and weights; the others print estimates with intervals too.",
        "forestplot fits nothing: its pooled row is metaexo's, and it has no weights.",
        "metaexo's PDF embeds TrueType fonts (Type 42), as journals ask; the Python peers have matplotlib's "
        "default, Type 3. Making the fonts of a file takes the same time for few rows as for many; the rest "
        "of a PDF takes time per letter, and PyMetaAnalysis prints fewer of them.",
        "Pages are one file each as SVG and PNG, and one file as PDF; their inches are those of all pages.",
        "metaexo's SVG holds text as text; the others' hold the outlines of letters.",
    ]
    bullets = "\n".join(f"- {line}" for line in notes)
    goals = "\n".join(f"- {line}" for line in targets(found, sizes))
    return (
        "# Drawing forest plots\n\n"
        "Seconds of the processor (user and system) from the fit to the written file, in a process that\n"
        "has drawn before: `time.process_time` in Python, `proc.time` in R. Made by\n"
        "`python -m benchmarks.figures`, a part of `make benchmark`. The sides drew the same data in turn\n"
        f"({found.rounds} rounds) and fitted the same estimates within {SAME:g}; the least times are shown.\n"
        f"PNG have {DPI} dpi. Ratios above 1 mean slower than metaexo.\n\n"
        f"{table(found, names, sizes)}\n\n"
        f"## Targets\n\n{goals}\n\n"
        f"## What was drawn\n\n{bullets}\n\n"
        "Run it again with `make benchmark`, or `python -m benchmarks.figures` alone. Python peers take\n"
        "part if they are installed: `.venv/bin/python -m pip install pymetaanalysis forestplot`.\n\n"
        f"{versions(names)}\n"
    )


def main() -> None:
    """Run everything and write benchmarks/figures.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="13 and 150 rows, one round; nothing is written")
    parser.add_argument("--side", nargs=2, metavar=("NAME", "FILE"), help="draw the tasks of a file")
    given = parser.parse_args()
    if given.side:
        name, path = given.side
        print(json.dumps([asdict(one) for one in draw_here(name, Path(path))]))
        return
    names, sizes = installed(), SIZES[:2] if given.small else SIZES
    text = page(run(names, sizes, 1 if given.small else ROUNDS), names, sizes)
    print(text)
    if not given.small:
        PAGE.write_text(text, encoding="utf8")


if __name__ == "__main__":
    main()
