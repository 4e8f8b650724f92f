"""Random and adversarial data through every estimator of tau2: python -m benchmarks.robustness [SETS].

Each data set must give finite numbers and a certificate that holds: the estimating equation is solved, or the
boundary is named and the equation confirms it. For ML and REML a subsample is compared with a fine grid of
likelihoods, none of which may be higher. Writes benchmarks/results/robustness.md.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.random import Generator

from metaexo.numeric.estimators import ESTIMATORS, Estimator
from metaexo.numeric.likelihood import log_likelihood, upper_bound
from metaexo.numeric.problem import Batch, make_batch
from metaexo.numeric.tau2 import Tau2
from metaexo.types import Array

SEED = 20_240_117
SETS = 100_000
SIZES = (2, 3, 4, 5, 6, 8, 10, 13, 20, 30, 50, 100, 200, 500)
SHARES = np.array([8, 8, 8, 8, 8, 8, 8, 8, 6, 4, 3, 2, 1, 0.5])
BATCH = 50
RESULT = Path(__file__).parent / "results" / "robustness.md"
GRID_POINTS = 300
GRID_SHARE = 0.1
# Equations are solved to this, relative to the number of rows; likelihoods are compared to this, relatively.
SCORE_TOLERANCE = 1e-7
LIKELIHOOD_TOLERANCE = 1e-9

Data = tuple[Array, Array, Array | None]


def log_uniform(rng: Generator, low: float, high: float, size: tuple[int, ...] | int) -> Array:
    """Return numbers whose decimal logarithm is uniform."""
    return np.asarray(10 ** rng.uniform(low, high, size))


def effects(rng: Generator, v: Array, tau2: Array) -> Array:
    """Return normal effects with variances v + tau2."""
    return np.asarray(rng.normal(0, 1, v.shape) * np.sqrt(v + tau2))


def ordinary(rng: Generator, size: int, k: int) -> Data:
    """Variances within a factor of fifty, tau2 as large as they are, or none."""
    v = rng.uniform(0.01, 0.5, (size, k))
    return effects(rng, v, rng.choice([0.0, 0.05, 0.5], (size, 1))), v, None


def twelve_orders(rng: Generator, size: int, k: int) -> Data:
    """Variances and tau2 over twelve orders of magnitude."""
    v = log_uniform(rng, -6, 6, (size, k))
    return effects(rng, v, log_uniform(rng, -8, 8, (size, 1))), v, None


def two_clusters(rng: Generator, size: int, k: int) -> Data:
    """Precise effects that nearly agree beside imprecise ones that do not: often two maxima."""
    precise = rng.random((size, k)) < 0.5
    v = np.where(precise, log_uniform(rng, -5, -3, (size, k)), log_uniform(rng, -1, 1, (size, k)))
    spread = np.where(precise, log_uniform(rng, -5, -2, (size, 1)), log_uniform(rng, -2, 2, (size, 1)))
    return effects(rng, v, spread), v, None


def equal_variances(rng: Generator, size: int, k: int) -> Data:
    """Equal variances, or equal but for rounding."""
    v = np.broadcast_to(log_uniform(rng, -3, 3, (size, 1)), (size, k)).copy()
    v[::2] *= 1 + 1e-15 * rng.integers(0, 4, v[::2].shape)
    return effects(rng, v, v * rng.choice([0.0, 1.0, 100.0], (size, 1))), v, None


def one_dominates(rng: Generator, size: int, k: int) -> Data:
    """One study a trillion times more precise than the others."""
    v = rng.uniform(0.1, 1, (size, k))
    v[:, 0] = 1e-12
    return effects(rng, v, log_uniform(rng, -14, 1, (size, 1))), v, None


def huge_heterogeneity(rng: Generator, size: int, k: int) -> Data:
    """A tau2 up to 1e12 times the variances."""
    v = rng.uniform(0.01, 0.5, (size, k))
    return effects(rng, v, log_uniform(rng, 2, 12, (size, 1))), v, None


def extreme_units(rng: Generator, size: int, k: int) -> Data:
    """Any unit: effects multiplied by 1e-40 to 1e40."""
    y, v, _ = ordinary(rng, size, k)
    unit = log_uniform(rng, -40, 40, (size, 1))
    return y * unit, v * unit**2, None


def agreement(rng: Generator, size: int, k: int) -> Data:
    """Effects that agree better than chance allows, some exactly, some far from zero."""
    v = rng.uniform(0.01, 0.5, (size, k))
    y = effects(rng, v, np.zeros((size, 1))) * rng.choice([0.0, 1e-12, 1e-3, 0.3], (size, 1))
    return y + rng.choice([0.0, 0.3, 1e8], (size, 1)), v, None


def ties(rng: Generator, size: int, k: int) -> Data:
    """Few distinct rows, repeated."""
    rows = rng.integers(0, max(2, k // 3), k)
    v = log_uniform(rng, -3, 0, (size, k))[:, rows]
    return effects(rng, v, np.full((size, 1), 0.1))[:, rows], v, None


def moderators(rng: Generator, size: int, k: int) -> Data:
    """Ordinary moderators: a year, a share, a group."""
    p = min(int(rng.integers(2, 5)), k - 1)
    x = np.column_stack([np.ones(k), rng.uniform(1990, 2024, k), rng.random(k), np.arange(k) % 2])[:, :p]
    v = rng.uniform(0.01, 0.5, (size, k))
    y = effects(rng, v, rng.choice([0.0, 0.1, 10.0], (size, 1))) + 0.1 * (x[:, 1] - 2000 if p > 1 else 0)
    return y, v, x


def near_collinear(rng: Generator, size: int, k: int) -> Data:
    """Moderators that differ from each other by a millionth, variances over eight orders of magnitude."""
    if k < 4:
        return moderators(rng, size, k)
    first = rng.normal(0, 1, k)
    x = np.column_stack([np.ones(k), first, first + 1e-6 * rng.normal(0, 1, k)])
    v = log_uniform(rng, -4, 4, (size, k))
    return effects(rng, v, log_uniform(rng, -4, 4, (size, 1))), v, x


KINDS: dict[str, Callable[[Generator, int, int], Data]] = {
    kind.__name__: kind
    for kind in (
        ordinary,
        twelve_orders,
        two_clusters,
        equal_variances,
        one_dominates,
        huge_heterogeneity,
        extreme_units,
        agreement,
        ties,
        moderators,
        near_collinear,
    )
}


@dataclass
class Tally:
    """What came of a run.

    Attributes
    ----------
    sets : Counter
        Data sets by kind.
    boundary, several : Counter
        Estimates of zero, and REML likelihoods with several maxima, by kind.
    failures : dict
        Kind and estimator to what failed, with the size and number of the batch.
    compared : int
        Likelihoods compared with a grid.
    seconds : Counter
        Time by estimator.
    """

    sets: Counter[str] = field(default_factory=Counter)
    boundary: Counter[str] = field(default_factory=Counter)
    several: Counter[str] = field(default_factory=Counter)
    failures: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    compared: int = 0
    seconds: Counter[str] = field(default_factory=Counter)

    def fail(self, kind: str, code: str, words: str) -> None:
        """Note a failure."""
        self.failures.setdefault((kind, code), []).append(words)


def batches(sets: int, seed: int) -> Iterator[tuple[str, Batch, Generator]]:
    """Yield batches of data sets of all kinds, `sets` in all."""
    rng = np.random.default_rng(seed)
    done, kinds = 0, list(KINDS)
    while done < sets:
        kind = kinds[(done // BATCH) % len(kinds)]
        k = int(rng.choice(SIZES, p=SHARES / SHARES.sum()))
        size = min(BATCH, sets - done)
        y, v, x = KINDS[kind](rng, size, k)
        weights = log_uniform(rng, -2, 2, (1, k))
        yield kind, make_batch(y, v, x, weights=weights), rng
        done += size


def check(code: str, estimator: Estimator, batch: Batch, found: Tau2) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what may be wrong with the solutions, with the problems where it is."""
    k = batch.k
    yield "tau2 not finite or negative", ~(np.isfinite(found.tau2) & (found.tau2 >= 0))
    if code != "EE":
        yield "standard error not finite", ~np.isfinite(found.se)
    yield "not proved", ~found.proved
    if np.isnan(found.score).all():
        return
    inner = ~found.at_boundary
    yield "equation not solved", inner & ~(np.abs(found.score) <= SCORE_TOLERANCE * k)
    yield "not a maximum", inner & ~(found.curvature < 0)
    yield "boundary against the score", found.at_boundary & ~(found.score <= SCORE_TOLERANCE * k)
    yield "boundary without tau2 = 0", found.at_boundary & (found.tau2 != 0)


def below_grid(batch: Batch, found: Tau2, restricted: bool) -> np.ndarray:
    """Say which solutions have a likelihood below that of some point of a fine grid."""
    high = np.maximum(upper_bound(batch, restricted), batch.variance_range()[0])
    grid = np.concatenate([[0.0], np.geomspace(1e-22, 1, GRID_POINTS)])
    best = np.full(batch.size, -np.inf)
    for share in grid:
        best = np.maximum(best, log_likelihood(batch, share * high, restricted))
    at = log_likelihood(batch, found.tau2, restricted)
    return np.asarray(at < best - LIKELIHOOD_TOLERANCE * np.maximum(1.0, np.abs(best)))


def run(sets: int = SETS, seed: int = SEED, codes: tuple[str, ...] = tuple(ESTIMATORS)) -> Tally:
    """Run all estimators on `sets` data sets."""
    tally = Tally()
    for number, (kind, batch, rng) in enumerate(batches(sets, seed)):
        tally.sets[kind] += batch.size
        compare = rng.random() < GRID_SHARE
        for code in codes:
            estimator = ESTIMATORS[code]
            begin = time.perf_counter()
            with np.errstate(all="raise", under="ignore"):
                try:
                    found = estimator.kernel(batch)
                except (ArithmeticError, ValueError, np.linalg.LinAlgError) as error:
                    tally.fail(kind, code, f"batch {number}, k = {batch.k[0]:.0f}: {error!r}")
                    continue
            tally.seconds[code] += time.perf_counter() - begin
            problems = list(check(code, estimator, batch, found))
            if code in ("ML", "REML") and compare:
                problems.append(("likelihood below the grid's", below_grid(batch, found, code == "REML")))
                tally.compared += batch.size
            for words, where in problems:
                for b in np.flatnonzero(where):
                    tally.fail(kind, code, f"batch {number}, set {b}, k = {batch.k[b]:.0f}: {words}")
            if code == "REML":
                tally.boundary[kind] += int(found.at_boundary.sum())
                tally.several[kind] += int((found.maxima > 1).sum())
    return tally


def table(tally: Tally, sets: int, seed: int) -> str:
    """Return the result in Markdown."""
    lines = [
        "# Robustness of the estimators of tau2",
        "",
        f"{sets:,} data sets (seed {seed}), each through {len(ESTIMATORS)} estimators: "
        f"{', '.join(ESTIMATORS)}. Made by `python -m benchmarks.robustness`.",
        "",
        "A failure is an error, a floating-point exception, a number that is not finite, an equation that is "
        "not solved, a boundary that the score contradicts, a scan that is not proved complete, or a "
        "likelihood below the highest on a grid of "
        f"{GRID_POINTS + 1} points ({tally.compared:,} likelihoods of ML and REML were compared).",
        "",
        "| kind of data | what is hard | data sets | failures | REML estimates of 0 | several REML maxima |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for kind, count in tally.sets.items():
        words = (KINDS[kind].__doc__ or "").rstrip(".")
        failed = sum(len(found) for (name, _), found in tally.failures.items() if name == kind)
        numbers = f"{count:,} | {failed:,} | {tally.boundary[kind]:,} | {tally.several[kind]:,}"
        lines.append(f"| {kind.replace('_', ' ')} | {words} | {numbers} |")
    total = sum(len(found) for found in tally.failures.values())
    lines += ["", f"Failures in all: {total}.", ""]
    lines += [
        f"- {kind}, {code}: {len(found)} (first: {found[0]})"
        for (kind, code), found in tally.failures.items()
    ]
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    """Run, write the table, and tell by the exit code whether anything failed."""
    sets = int(arguments[0]) if arguments else SETS
    tally = run(sets)
    text = table(tally, sets, SEED)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text, encoding="utf8")
    print(text)
    print({code: round(seconds, 1) for code, seconds in tally.seconds.items()})
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
