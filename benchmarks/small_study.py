"""Bias, coverage and type I error of methods for small-study effects: python -m benchmarks.small_study.

Meta-analyses of k published studies, with and without selection; benchmarks/small_study_data.py says what
they are, benchmarks/small_study_methods.py what is computed from them. Every method gets the same draws, slow
ones fewer of them; each number has its Monte Carlo standard error. Results of a setting are written as soon
as it is done, and a run that was stopped goes on where it ended; each setting has random numbers of its own,
so that the result is the same.

Options: --fresh begins again, --draw makes tables and figures from the stored results, --small is a trial
that writes nothing.

References
----------
Morris, T. P., White, I. R., Crowther, M. J. (2019). Using simulation studies to evaluate statistical methods.
Statistics in Medicine 38, 2074-2102. https://doi.org/10.1002/sim.8086
Begg, C. B., Mazumdar, M. (1994). Operating characteristics of a rank correlation test for publication bias.
Biometrics 50, 1088-1101. https://doi.org/10.2307/2533446
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import small_study_page
from benchmarks.small_study_data import KEY, Draw, Setting, settings, simulate
from benchmarks.small_study_methods import METHODS, Found

RESULTS = Path(__file__).parent / "results" / "small_study.csv"


def summary(found: Found, mean: float) -> dict[str, float]:
    """Return bias, coverage and rejections of one method with their Monte Carlo standard errors.

    `none` counts the draws without an estimate or a p-value, which the other numbers leave out.
    """
    known = found.known
    line: dict[str, float] = {"draws": known.size, "none": int((~known).sum())}
    line |= _share("rejected", found.rejects[known])
    if found.estimate is None or known.sum() < 2:
        return line
    away, low, high = (one[known] for one in (found.estimate - mean, found.low, found.high))
    line |= {
        "bias": away.mean(),
        "bias_se": away.std(ddof=1) / np.sqrt(away.size),
        "median_bias": float(np.median(away)),
        "rmse": np.sqrt((away**2).mean()),
    }
    return line | _share("covers", (low <= mean) & (mean <= high)) | {"width": float(np.median(high - low))}


def _share(name: str, holds: np.ndarray) -> dict[str, float]:
    """Return a share and its Monte Carlo standard error."""
    if not holds.size:
        return {name: np.nan, f"{name}_se": np.nan}
    share = float(holds.mean())
    return {name: share, f"{name}_se": float(np.sqrt(share * (1 - share) / holds.size))}


def row(setting: Setting, draw: Draw, name: str) -> dict[str, object]:
    """Return what one method made of the draws of a setting."""
    method = METHODS[name]
    before = time.process_time()
    found = method.apply(draw.first(method.draws))
    seconds = time.process_time() - before
    line = asdict(setting) | {"published": draw.share, "method": name}
    return line | summary(found, setting.mean) | {"seconds": round(seconds, 3)}


def methods_of(setting: Setting) -> list[str]:
    """Return the methods that are looked at in a setting."""
    return [
        name for name, method in METHODS.items() if setting.tau in method.taus and setting.k in method.sizes
    ]


def run(done: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the rows of all settings and methods; those that are not in `done` are made, and written."""
    known = set(done[KEY].itertuples(index=False, name=None)) if len(done) else set()
    for setting in settings():
        wanted = [name for name in methods_of(setting) if (*asdict(setting).values(), name) not in known]
        if wanted:
            draw = simulate(setting)
            made = pd.DataFrame([row(setting, draw, name) for name in wanted])
            done = pd.concat([done, made]) if len(done) else made
            write(done, path)
            print(f"{setting}: {made['seconds'].sum():.1f} s", flush=True)
    return ordered(done)


def write(found: pd.DataFrame, path: Path) -> None:
    """Write results in the order of settings and methods."""
    path.parent.mkdir(exist_ok=True)
    ordered(found).to_csv(path, index=False, float_format="%.5g", lineterminator="\n")


def ordered(found: pd.DataFrame) -> pd.DataFrame:
    """Return results in the order of settings and methods, without methods that are no more."""
    keys = [(*asdict(setting).values(), name) for setting in settings() for name in methods_of(setting)]
    places = {key: i for i, key in enumerate(keys)}
    place = np.array([places.get(key, -1) for key in found[KEY].itertuples(index=False, name=None)])
    return found.iloc[np.argsort(place, kind="stable")[(place < 0).sum() :]].reset_index(drop=True)


def main(arguments: list[str]) -> None:
    """Run what is not stored yet, and write tables and figures."""
    if "--small" in arguments:
        setting = Setting("SMD", "step", 0.5, 0.3, 20)
        draw = simulate(setting, 100)
        print(pd.DataFrame([row(setting, draw, name) for name in METHODS]).iloc[:, 6:].to_string())
        return
    stored = pd.read_csv(RESULTS) if RESULTS.exists() and "--fresh" not in arguments else pd.DataFrame()
    found = stored if "--draw" in arguments else run(stored, RESULTS)
    small_study_page.write(found)


if __name__ == "__main__":
    main(sys.argv[1:])
