"""Time and memory of multilevel models against the number of effects, beside R.

python -m benchmarks.multilevel [--dense K] [--sparse K] [--small]

Nested models of 100 to 100,000 effects, and crossed ones (study, source and isolation method) of up to
20,000, each fitted in a process of its own, so that its peak memory can be read. metafor fits the nested ones
with its default dense matrices and with sparse = TRUE. A fit is everything that a summary says: components,
coefficients, standard errors, Q and the log-likelihood. A ratio counts only if both sides found the same.

Writes benchmarks/multilevel.md, benchmarks/results/multilevel.csv and docs/figures/multilevel_scale; fits
that a run leaves out keep the line of an earlier run. The time of dense R grows with the cube of K: 2,000
effects take ten minutes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import metaexo as mx
from benchmarks.multilevel_figure import draw
from benchmarks.timing import seconds
from metaexo.formatting import markdown_table, number
from metaexo.models import MultilevelResults

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "multilevel.csv"
FIGURE = HERE.parent / "docs" / "figures" / "multilevel_scale"
NESTED = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
CROSSED = (500, 2_000, 5_000, 20_000)
SMALL = 1_000
# Sizes whose ratios the table shows.
SHOWN = (500, 1_000, 2_000, 5_000)
SLOPE_FROM = 10_000
PER_STUDY = 5
SAME = 1e-3
KEY = ["by", "model", "k"]


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
    """Fit the nested or crossed model, and ask for what its summary says."""
    es = mx.EffectSizes(data["y"], data["v"], data=pd.DataFrame(data))
    extra = [name for name in ("source", "isolation") if name in data]
    found = mx.Multilevel(es, ["study/effect", *extra]).fit()
    _ = found.beta, found.se, found.pvalues, found.q, found.llf
    return found


def one(k: int, crossed: bool) -> None:
    """Print time, memory and result of one fit as JSON."""
    fit(problem(50, crossed))  # imports are not what is timed
    data = problem(k, crossed)
    found, taken = fit(data), seconds(lambda: fit(data), budget=2.0)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    said = {"seconds": taken, "memory": memory}
    print(json.dumps(said | {"estimate": float(found.beta[0]), "llf": found.llf}))


def by_metaexo(k: int, crossed: bool) -> dict[str, Any]:
    """Return time, memory and result of one fit in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.multilevel", "--one", str(k), str(int(crossed))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout)) | {"version": f"metaexo {mx.__version__}"}


def by_metafor(k: int, kind: str) -> dict[str, Any]:
    """Return the same of metafor, dense or sparse."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.json"
        path.write_text(json.dumps({name: x.tolist() for name, x in problem(k).items()}))
        command = ["Rscript", str(HERE / "time_multilevel.R"), str(path), kind]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = dict(json.loads(done.stdout))
    return said | {"version": f"metafor {said.pop('metafor')}, {said.pop('R')}"}


def measure(dense: int, sparse: int, largest: int) -> pd.DataFrame:
    """Return one row per fit: by, model, k, seconds, memory (MB), estimate, llf, version, load and day."""
    work: list[tuple[str, str, int]] = [("metaexo", "nested", k) for k in NESTED if k <= largest]
    work += [("metaexo", "crossed", k) for k in CROSSED if k <= largest]
    if shutil.which("Rscript") is not None:
        work += [("metafor dense", "nested", k) for k in NESTED if k <= min(dense, largest)]
        work += [("metafor sparse", "nested", k) for k in NESTED if k <= min(sparse, largest)]
    rows = []
    for by, model, k in work:
        said = by_metaexo(k, model == "crossed") if by == "metaexo" else by_metafor(k, by.split()[1])
        load = os.getloadavg()[0]
        day = datetime.datetime.now(datetime.UTC).date().isoformat()
        rows.append({"by": by, "model": model, "k": k} | said | {"load": round(load, 1), "day": day})
        print(f"{by}, {model}, {k:,} effects: {said['seconds']:.3g} s", flush=True)
    return pd.DataFrame(rows)


def merged(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of this run, and of earlier ones those that this one left out."""
    if RESULTS.exists():
        earlier = pd.read_csv(RESULTS)
        again = earlier.set_index(KEY).index.isin(found.set_index(KEY).index)
        found = pd.concat([found, earlier[~again]])
    return found.sort_values(KEY).reset_index(drop=True)


def table(found: pd.DataFrame) -> str:
    """Return the table of times and ratios in Markdown."""
    ours = found[(found["by"] == "metaexo") & (found["model"] == "nested")].set_index("k")
    rows = []
    for line in found.itertuples():
        ratio = gained = ""
        if line.by != "metaexo":
            if line.k not in SHOWN:
                continue
            mine = ours.loc[line.k]
            same = abs(mine["estimate"] - line.estimate) < SAME * abs(mine["estimate"])
            ratio = f"{line.seconds / mine['seconds']:,.0f}" if same else "different result"
            gained = number(mine["llf"] - line.llf, 6)
        memory = "" if math.isnan(line.memory) else f"{line.memory:,.0f}"
        work = f"{line.model}, {line.k:,} effects"
        rows.append([work, line.by, number(line.seconds, 4), memory, ratio, gained])
    headings = ["work", "by", "seconds", "peak MB", "times ours", "log-likelihood gained"]
    return markdown_table(rows, headings, left=2)


def slope(found: pd.DataFrame, by: str, model: str) -> float:
    """Return the slope of log time against log K, from 10,000 effects on (R: over its last factor of ten)."""
    part = found[(found["by"] == by) & (found["model"] == model)]
    part = part[part["k"] >= min(SLOPE_FROM, part["k"].max() / 10)]
    return float(np.polyfit(np.log(part["k"]), np.log(part["seconds"]), 1)[0])


def notes(found: pd.DataFrame) -> list[str]:
    """Return what is to be said below the table."""
    slopes = [
        f"{by} {number(slope(found, by, 'nested'), 2)}"
        for by in ("metaexo", "metafor sparse", "metafor dense")
        if (found["by"] == by).sum() > 1
    ]
    versions = "; ".join(sorted(found["version"].dropna().unique()))
    return [
        "A line is one fit in a process of its own: the median of several by metaexo, one by metafor. Peak "
        "memory includes Python or R itself and the packages, about 110 and 220 MB. The last column is our "
        "log-likelihood minus metafor's.",
        f"Slope of log time against log K, nested models, from {SLOPE_FROM:,} effects on (metafor: over its "
        f"last factor of ten): {', '.join(slopes)}.",
        f"{versions}; {os.cpu_count()} cores; load of the machine while it ran "
        f"{found['load'].min():.1f} to {found['load'].max():.1f}; measured {found['day'].min()} to "
        f"{found['day'].max()}.",
    ]


def main(arguments: list[str]) -> None:
    """Measure, and write table, CSV and figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.multilevel", description=__doc__)
    parser.add_argument("--dense", type=int, default=1_000, help="largest problem for dense R")
    parser.add_argument("--sparse", type=int, default=5_000, help="largest problem for sparse R")
    parser.add_argument("--small", action="store_true", help="sizes up to 1,000; nothing is written")
    parser.add_argument("--one", nargs=2, type=int, metavar=("K", "CROSSED"), help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.one:
        one(chosen.one[0], bool(chosen.one[1]))
        return
    found = measure(chosen.dense, chosen.sparse, SMALL if chosen.small else max(NESTED))
    if chosen.small:
        print(table(found))
        return
    found = merged(found)
    found.to_csv(RESULTS, index=False, float_format="%.16g", lineterminator="\n")
    draw(found, FIGURE)
    text = "\n\n".join(["# Multilevel models", table(found), *notes(found)]) + "\n"
    (HERE / "multilevel.md").write_text(text, encoding="utf8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
