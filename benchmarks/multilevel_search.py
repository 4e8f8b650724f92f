"""Is the maximum of a multilevel fit the highest one? Against dense likelihoods from many starts.

python -m benchmarks.multilevel_search [DESIGNS]

Ten kinds of random designs, ML and REML in turn, each fitted by the package and by a likelihood of this file
alone: dense matrices, computed at every point of a grid of the variances (zero among them), then climbed
from the highest points of the grid. Where the two log-likelihoods differ by more than 1e-6, whichever is
higher, both points are computed again in whole numbers (fractions, without any rounding but that of the last
logarithm): a miss is a dense point that is higher by more than 1e-6 then. A point at which the covariance
matrix is not positive definite is no point, for either side. Where the package says that the likelihood has
no maximum, it has to rise along the way to zero, without bound or above everything else. Writes
benchmarks/results/multilevel_search.md.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.optimize import minimize

import metaexo as mx
from metaexo.errors import MetaexoError, NoMaximumError
from metaexo.formatting import markdown_table, number

Array = NDArray[np.float64]
SEED = 20_261_129
DESIGNS = 10_000
RESULT = Path(__file__).parent / "results" / "multilevel_search.md"
HIGHER = 1e-6
# Points of the grid of each variance: 0, and a range around the spread of the effects and of their errors.
GRID = {1: 60, 2: 18, 3: 9}
# Climbs of the dense likelihood, from points of the grid that are higher than their neighbours.
CLIMBS = 6


@dataclass
class Data:
    """One data set: effects, sampling covariances, random terms, moderators."""

    y: Array
    v: Array
    factors: dict[str, NDArray[np.intp]]
    random: list[str]
    moderators: Array | None = None

    @property
    def k(self) -> int:
        return self.y.size

    @property
    def groups(self) -> list[NDArray[np.intp]]:
        """The levels of each variance, in the order of the package's components."""
        out: list[NDArray[np.intp]] = []
        for word in self.random:
            names = word.split("/")
            for i in range(len(names)):
                if names[i] == "effect":
                    out.append(np.arange(self.k))
                else:
                    parts = np.stack([self.factors[name] for name in names[: i + 1]])
                    out.append(np.unique(parts, axis=1, return_inverse=True)[1].ravel())
        return out


def sizes(rng: Generator, groups: tuple[int, int], most: int) -> NDArray[np.intp]:
    """Return the group of each row; the groups have 1 to `most` rows, and some group has two."""
    while True:
        size = rng.integers(1, most + 1, rng.integers(*groups, endpoint=True))
        if size.max() > 1 and 6 <= size.sum() <= 28:
            return np.repeat(np.arange(size.size), size)


def variances(rng: Generator, k: int) -> Array:
    return rng.uniform(0.01, 0.3, k)


def truth(rng: Generator) -> float:
    return float(rng.choice([0.0, 0.0, 0.03, 0.1, 0.4]))


def effects(rng: Generator, v: Array, factors: list[NDArray[np.intp]]) -> Array:
    """Return effects around 0.3 with a random variance of each factor, sampling errors and rows."""
    y = 0.3 + np.sqrt(truth(rng)) * rng.normal(size=len(v))
    y += (
        rng.multivariate_normal(np.zeros(len(v)), v, method="svd")
        if v.ndim == 2
        else rng.normal(0, np.sqrt(v))
    )
    for level in factors:
        y += np.sqrt(truth(rng)) * rng.normal(size=level.max() + 1)[level]
    return np.asarray(y)


def correlated(v: Array, study: NDArray[np.intp], correlation: float) -> Array:
    """Return sampling covariances with one correlation within studies."""
    sd = np.sqrt(v)
    same = study[:, None] == study
    return np.asarray(np.outer(sd, sd) * np.where(same, correlation, 0.0) + np.diag((1 - correlation) * v))


def one(rng: Generator) -> Data:
    """One variance: between studies of several effects, or between effects"""
    study = sizes(rng, (3, 12), 4)
    v = variances(rng, study.size)
    return Data(effects(rng, v, [study]), v, {"study": study}, [str(rng.choice(["study", "effect"]))])


def nested(rng: Generator) -> Data:
    """Effects within studies"""
    study = sizes(rng, (3, 12), 4)
    v = variances(rng, study.size)
    return Data(effects(rng, v, [study]), v, {"study": study}, ["study/effect"])


def crossed(rng: Generator) -> Data:
    """Study and source, half of them with effects within studies"""
    study = sizes(rng, (4, 10), 4)
    source = np.concatenate([[0, 1], rng.integers(0, rng.integers(2, 6), study.size - 2)])
    v = variances(rng, study.size)
    first = "study/effect" if rng.random() < 0.5 else "study"
    y = effects(rng, v, [study, source])
    return Data(y, v, {"study": study, "source": source}, [first, "source"])


def three(rng: Generator) -> Data:
    """Effects within studies within laboratories"""
    study = sizes(rng, (5, 12), 4)
    lab = rng.integers(0, max(2, (study.max() + 1) // 2), study.max() + 1)[study]
    v = variances(rng, study.size)
    return Data(effects(rng, v, [lab, study]), v, {"study": study, "lab": lab}, ["lab/study/effect"])


def moderated(rng: Generator) -> Data:
    """Effects within studies, one or two moderators of effects or of studies"""
    data = nested(rng)
    study = data.factors["study"]
    columns = [rng.normal(size=data.k), rng.normal(size=study.max() + 1)[study]]
    chosen = [[0], [1], [0, 1]][rng.integers(3)] if study.max() > 3 else [0]
    data.moderators = np.stack([columns[i] for i in chosen], axis=1)
    return data


def with_covariances(rng: Generator) -> Data:
    """Sampling errors that correlate within studies, by 0.2 to 0.9"""
    study = sizes(rng, (3, 12), 4)
    v = correlated(variances(rng, study.size), study, rng.uniform(0.2, 0.9))
    return Data(effects(rng, v, [study]), v, {"study": study}, [str(rng.choice(["study/effect", "study"]))])


def near_singular(rng: Generator) -> Data:
    """Sampling errors that correlate by 1 - 1e-3 to 1 - 1e-9"""
    study = sizes(rng, (3, 12), 4)
    v = correlated(variances(rng, study.size), study, 1 - 10 ** rng.uniform(-9, -3))
    return Data(effects(rng, v, [study]), v, {"study": study}, ["study/effect"])


def zeros(rng: Generator) -> Data:
    """Three of ten sampling variances zero, or 1e-12 to 1e-6 of the others"""
    data = nested(rng)
    small = rng.random(data.k) < 0.3
    data.v[small] *= 0.0 if rng.random() < 0.5 else 10 ** rng.uniform(-12, -6)
    data.y = effects(rng, data.v, [data.factors["study"]])
    return data


def unbalanced(rng: Generator) -> Data:
    """Six to nine effects: one study of several, the others of one or two"""
    k, large = int(rng.integers(6, 10)), int(rng.integers(3, 5))
    study = np.concatenate([np.zeros(large), 1 + np.sort(rng.integers(0, k - large, k - large))]).astype(int)
    study = np.unique(study, return_inverse=True)[1]
    v = rng.uniform(0.01, 0.3, k)
    return Data(effects(rng, v, [study]), v, {"study": study}, ["study/effect"])


def wide(rng: Generator) -> Data:
    """Sampling variances over six orders of magnitude, effects twice as far apart as they say"""
    data = nested(rng)
    data.v = 10 ** rng.uniform(-4, 2, data.k)
    data.y = effects(rng, data.v, [data.factors["study"]]) * rng.choice([0.5, 1.0, 2.0])
    return data


KINDS: dict[str, Callable[[Generator], Data]] = {
    "one variance": one,
    "two nested": nested,
    "crossed": crossed,
    "three nested": three,
    "moderators": moderated,
    "correlated errors": with_covariances,
    "nearly singular V": near_singular,
    "zero and tiny variances": zeros,
    "small and unbalanced": unbalanced,
    "variances far apart": wide,
}


def drawn(kind: str, i: int) -> Data:
    """Return the data set of a number, drawn again until it can be fitted at all."""
    rng = np.random.default_rng([SEED, list(KINDS).index(kind), i])
    while True:
        data = KINDS[kind](rng)
        groups = [np.unique(g, return_inverse=True)[1] for g in data.groups]
        differ = len({g.tobytes() for g in map(_renumbered, groups)}) == len(groups)
        if differ and min(g.max() for g in groups) > 0:
            return data


def _renumbered(group: NDArray[np.intp]) -> NDArray[np.intp]:
    first = np.unique(group, return_index=True)[1]
    return np.asarray(first[group])


class Dense:
    """The likelihood by dense matrices, at many points at once."""

    def __init__(self, data: Data, restricted: bool, kind: Any = float) -> None:
        self.y = data.y.astype(kind)
        ones = np.ones((data.k, 1))
        self.x = (ones if data.moderators is None else np.hstack([ones, data.moderators])).astype(kind)
        self.v = (np.diag(data.v) if data.v.ndim == 1 else data.v).astype(kind)
        self.d = np.stack([(g[:, None] == g).astype(kind) for g in data.groups])
        self.restricted = restricted
        gram = np.linalg.slogdet(self.x.astype(float).T @ self.x.astype(float))[1]
        self.constant = (data.k - self.x.shape[1] * restricted) * np.log(2 * np.pi) - gram * restricted

    def several(self, theta: Array) -> tuple[Array, Array]:
        """Return log-likelihoods and their derivatives at points, shape (t, n)."""
        m = self.v + np.einsum("tn,nij->tij", theta, self.d)
        np.linalg.cholesky(m)
        inverse = np.linalg.inv(m)
        value = np.linalg.slogdet(m)[1]
        mx_ = inverse @ self.x
        information = self.x.T @ mx_
        p = inverse - mx_ @ np.linalg.solve(information, mx_.swapaxes(1, 2))
        if self.restricted:
            value = value + np.linalg.slogdet(information)[1]
        r = p @ self.y
        value = value + r @ self.y + self.constant
        trace = np.einsum("tij,nij->tn", p if self.restricted else inverse, self.d)
        slope = np.einsum("ti,nij,tj->tn", r, self.d, r, optimize=True) - trace
        return -0.5 * value, 0.5 * slope

    def exactly(self, theta: Array) -> float:
        """Return the log-likelihood at one point without rounding; NaN if M is not positive definite.

        The determinants of the leading parts of M, bordered by X and y, in whole numbers (Bareiss 1968,
        https://doi.org/10.1090/S0025-5718-1968-0226829-0): their ratios hold log|M|, log|X'M^-1 X| and y'Py.
        """
        k, p = self.x.shape
        parts = [[_ratio(a) for a in row] for row in np.hstack([self.v, self.x, self.y[:, None]])]
        shift = [_ratio(t) for t in theta]
        most = max(d for row in parts for _, d in row) * max(d for _, d in shift)
        whole = [[a * (most // d) for a, d in row] for row in parts]
        for (a, d), same in zip(shift, self.d, strict=True):
            for i, j in np.argwhere(same):
                whole[i][j] += a * (most // d)
        rows = whole + [[whole[i][j] for i in range(k)] + [0] * (p + 1) for j in range(k, k + p + 1)]
        minors = _minors(rows)
        if len(minors) <= k + p or min(minors[:k]) <= 0:
            return float("nan")
        value = math.log(minors[k - 1]) - k * math.log(most)
        q = -float(Fraction(minors[-1], minors[-2] * most))
        if self.restricted:
            value += math.log(abs(minors[k + p - 1])) - math.log(minors[k - 1]) - p * math.log(most)
        return float(-0.5 * (value + q + self.constant))


def _ratio(value: float) -> tuple[int, int]:
    """Return a number as a whole one over a power of two."""
    return float(value).as_integer_ratio()


def _minors(a: list[list[int]]) -> list[int]:
    """Return the leading principal minors of a matrix of whole numbers, up to the first that is 0."""
    n, before, out = len(a), 1, []
    for k in range(n):
        pivot = a[k][k]
        out.append(pivot)
        if pivot == 0:
            break
        for i in range(k + 1, n):
            first, row, own = a[i][k], a[k], a[i]
            for j in range(k + 1, n):
                own[j] = (own[j] * pivot - first * row[j]) // before
        before = pivot
    return out


def highest(dense: Dense, data: Data) -> tuple[float, Array]:
    """Return the highest log-likelihood found from a grid and climbs from its tops."""
    own = np.diagonal(dense.v)
    spread = float(np.var(data.y))
    n, floor = len(dense.d), max(float(own.min()), 1e-7 * spread)
    each = np.concatenate([[0.0], np.geomspace(0.05 * floor, 30 * spread + 3 * floor, GRID[n] - 1)])
    grid = np.array(list(product(each, repeat=n)))
    try:
        values = dense.several(grid)[0]
    except np.linalg.LinAlgError:
        values = np.full(len(grid), -np.inf)
        for i, point in enumerate(grid):
            try:
                values[i] = dense.several(point[None])[0][0]
            except np.linalg.LinAlgError:
                continue
    values = np.where(np.isfinite(values), values, -np.inf).reshape((each.size,) * n)
    padded = np.pad(values, 1, constant_values=-np.inf)
    top = np.ones(values.shape, dtype=bool)
    for axis in range(n):
        for shift in (0, 2):
            window = [slice(1, -1)] * n
            window[axis] = slice(shift, shift + each.size)
            top &= values >= padded[tuple(window)]
    order = np.argsort(np.where(top, values, -np.inf).ravel())[::-1][:CLIMBS]
    best, where = -np.inf, grid[0]
    for i in order:
        if not np.isfinite(values.ravel()[i]) or not top.ravel()[i]:
            continue
        for value, point in ((float(values.ravel()[i]), grid[i]), _climbed(dense, grid[i], spread)):
            if value > best and np.isfinite(point).all():
                best, where = value, point
    return best, where


def _climbed(dense: Dense, start: Array, spread: float) -> tuple[float, Array]:
    """Climb in the logs of the variances first, where they are not zero, then in the variances."""

    def minus(theta: Array) -> tuple[float, Array]:
        try:
            value, slope = dense.several(theta[None])
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(theta)
        if not np.isfinite(value[0]):
            return 1e10, np.zeros_like(theta)
        return -float(value[0]), -slope[0]

    inside = start > 0
    point = start.copy()

    def in_logs(u: Array) -> tuple[float, Array]:
        point[inside] = np.exp(u)
        value, slope = minus(point)
        return value, slope[inside] * point[inside]

    if inside.any():
        found = minimize(in_logs, np.log(start[inside]), jac=True, method="L-BFGS-B", options={"ftol": 1e-15})
        point[inside] = np.exp(found.x)
    unit = np.maximum(point, 1e-3 * spread)
    found = minimize(
        lambda u: tuple(part * scale for part, scale in zip(minus(u * unit), (1.0, unit), strict=True)),
        point / unit,
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * start.size,
        options={"ftol": 1e-15},
    )
    before = -minus(point)[0]
    return (-float(found.fun), found.x * unit) if -found.fun > before else (before, point)


def has_no_maximum(dense: Dense, data: Data) -> bool:
    """Say whether the likelihood rises along some way to zero where the covariance matrix is singular.

    By the same amount for each factor of ten: without bound; or above all that is found elsewhere.
    """
    spread = float(np.var(data.y))
    n, edge = len(dense.d), False
    top = highest(dense, data)[0]
    for chosen in product((False, True), repeat=n):
        if not any(chosen):
            continue
        for rest in (0.01 * spread, spread):
            small = np.where(chosen, 1.0, 0.0) * spread * 10.0 ** -np.arange(6, 14, 2)[:, None]
            found = np.array([dense.exactly(t) for t in small + np.where(chosen, 0.0, rest)])
            steps = np.diff(found)
            if np.isfinite(steps).all() and steps.min() > 0.4 * np.log(100.0):
                return True
            if steps.min() > 0 and found[-1] > top - HIGHER:
                edge = edge or np.isnan(dense.exactly(np.where(chosen, 0.0, rest)))
    return edge


@dataclass
class Tally:
    """What came out for one kind."""

    count: Counter[str] = field(default_factory=Counter)
    gained: float = 0.0
    rounding: float = 0.0
    missed: list[str] = field(default_factory=list)


def fitted(data: Data, restricted: bool) -> Any:
    frame = {name: [f"{name}{i}" for i in level] for name, level in data.factors.items()}
    own = data.v if data.v.ndim == 1 else np.diagonal(data.v).copy()
    es = mx.EffectSizes(data.y, own, study=frame.pop("study"), data=pd.DataFrame(frame) if frame else None)
    v = None if data.v.ndim == 1 else data.v
    model = mx.Multilevel(es, data.random, V=v, moderators=data.moderators)
    return model.fit("REML" if restricted else "ML")


def compare(kind: str, i: int, tally: Tally) -> None:
    """Fit one data set both ways."""
    data, restricted = drawn(kind, i), bool(i % 2)
    dense = Dense(data, restricted)
    tally.count["designs"] += 1
    try:
        fit = fitted(data, restricted)
    except NoMaximumError:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            right = has_no_maximum(dense, data)
        tally.count["no maximum" if right else "refused"] += 1
        if not right:
            tally.missed.append(f"{kind} {i}: said to have no maximum")
        return
    except MetaexoError as error:
        tally.count["refused"] += 1
        tally.missed.append(f"{kind} {i}: {error}")
        return
    except Exception as error:
        tally.count["bare errors"] += 1
        tally.missed.append(f"{kind} {i}: {error!r}")
        return
    tally.count["fitted"] += 1
    tally.count["verified"] += fit.certificate.verified
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        best, where = highest(dense, data)
    ours, theirs = fit.llf, best
    if abs(best - fit.llf) > HIGHER:
        ours, theirs = dense.exactly(fit.certificate.theta), dense.exactly(where)
        tally.rounding = max(tally.rounding, abs(fit.llf - ours) / (1 + abs(ours)))
    if np.isnan(ours) or theirs > ours + HIGHER:
        tally.count["misses"] += 1
        tally.missed.append(f"{kind} {i}: {ours:.8f} at {fit.certificate.theta}, {theirs:.8f} at {where}")
    elif theirs < ours:
        tally.gained = max(tally.gained, ours - theirs)


def _kind(kind: str, designs: int) -> Tally:
    tally = Tally()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.MetaexoWarning)
        for i in range(designs):
            compare(kind, i, tally)
    return tally


def run(designs: int) -> dict[str, Tally]:
    """Compare as many designs, in equal parts of each kind, in two processes."""
    with ProcessPoolExecutor(2) as pool:
        found = pool.map(_kind, KINDS, repeat(designs // len(KINDS)))
        return dict(zip(KINDS, found, strict=True))


def report(found: dict[str, Tally]) -> str:
    """Return the table in Markdown."""
    names = ("designs", "fitted", "verified", "no maximum", "refused", "bare errors", "misses")
    rows = []
    for kind, tally in found.items():
        what = (KINDS[kind].__doc__ or "").strip()
        rows.append(
            [
                kind,
                what,
                *(f"{tally.count[name]:,}" for name in names),
                number(tally.gained, 2),
                number(tally.rounding, 2),
            ]
        )
    total = sum((tally.count for tally in found.values()), Counter())
    rows.append(["all", "", *(f"{total[name]:,}" for name in names), "", ""])
    headings = ["kind", "designs of", *names, "dense lower by up to", "relative rounding"]
    return "\n\n".join(
        [
            "# Multilevel fits against dense likelihoods from many starts",
            f"{total['designs']:,} designs (seed {SEED}), ML and REML in turn. "
            "Made by `python -m benchmarks.multilevel_search`.",
            "A miss is a dense log-likelihood that is higher than that of the fit by more than 1e-6. Where "
            "the two differ by more than that, whichever is higher, both are computed again without "
            "rounding, and count as computed then; relative rounding is the most by which the log-likelihood "
            "of the fit differs from it. Where the dense one is lower, its climbs stopped early. "
            "Verified: the package has proved its maximum to be the global one, as it does for one and two "
            "variances. No maximum: the package says that the likelihood increases up to where the "
            "covariance matrix is singular, and the dense one does.",
            markdown_table(rows, headings, left=2),
            *[line for tally in found.values() for line in tally.missed],
        ]
    )


if __name__ == "__main__":
    text = report(run(int(sys.argv[1]) if len(sys.argv) > 1 else DESIGNS)) + "\n"
    if len(sys.argv) == 1:
        RESULT.write_text(text, encoding="utf8")
    print(text)
