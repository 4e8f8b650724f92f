"""All subsets of the studies (GOSH): how a pooled effect and its heterogeneity vary over them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import GENERIC
from metaexo.errors import InputError
from metaexo.formatting import number, plural
from metaexo.immutable import lock
from metaexo.inputs import check_choice, describe, whole_number
from metaexo.models.linear.grouping import split_clusters
from metaexo.models.linear.results import FitResults
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.subsets import (
    EMPTY,
    FITTED,
    NO_MAXIMUM,
    RANK,
    TOO_FEW,
    ZERO_VARIANCE,
    SubsetFits,
    Subsets,
)
from metaexo.readable import Readable, ReaderTable, cells_of
from metaexo.runs import Stored, run
from metaexo.sensitivity.refit import checked_fit
from metaexo.sensitivity.refits import refits
from metaexo.types import Array, Index, Mask

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

# All subsets are made of so many studies; of more a million random ones, unless a number is given.
MOST_UNITS, DRAWS, MOST_DRAWS = 24, 1_000_000, 10**12
# Subsets per call of the task, and per worker at a time: a worker makes its tables once.
BLOCK, CHUNK = 1 << 14, 1 << 17
# Subsets that are refitted one at a time unless a higher limit is given: those of 12 studies.
LIMIT = 4_095
# Shares of the subsets at the quantiles of the summary.
QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}
NUMBERS = ("tau2", "i2", "h2", "q", "k")
REASONS = {
    EMPTY: "no study",
    TOO_FEW: "too few effects",
    RANK: "effects that do not determine all coefficients",
    NO_MAXIMUM: "a likelihood without a maximum",
    ZERO_VARIANCE: "a sampling variance of 0 beside a tau2 of 0",
}
MOST_REASONS = 4  # that the sentence names
SEPARATE = 2.0  # separation of two groups of subsets that hardly overlap
LEAST = 4  # clusters of which one can stand apart
TRIAL, MOST_TRIED = 0.2, 256  # seconds, and subsets, from which the time of all is estimated
FREE = 0.5  # share of the machine's memory that a result may take


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Gosh(Readable):
    """The fits of many subsets of the studies, one entry per subset.

    Where all subsets were fitted, subset i leaves out the clusters whose bits are set in i: subset 0 is
    the whole, subset 1 leaves out the first cluster, subset 5 the first and the third.

    Attributes
    ----------
    effects : EffectSizes or BoundedEffectSizes
        The effects.
    names : tuple of str
        Coefficients.
    method : str
        Estimator of the between-study variance.
    clusters : tuple of str
        What is in a subset or not: studies, or other clusters of effects, by name.
    cluster_of_row : ndarray, shape (k,)
        Position of the cluster of each effect.
    cluster : str
        What the clusters are: "study", "effect", the name of a column, or "cluster".
    subsets : Subsets
        Which clusters are in which subset: `subsets.members(begin, end)` is a mask, shape (m, end - begin).
    beta : ndarray, shape (B, p)
        Coefficients; NaN where a subset has no fit.
    tau2, i2, h2, q : ndarray, shape (B,)
        Between-study variance, I2 (a fraction), H2 and Cochran's Q.
    k : ndarray, shape (B,)
        Number of effects.
    state : ndarray, shape (B,)
        0 where a subset has a fit, else the position, from 1, in `why`.
    why : tuple of str
        Why subsets have no fit; `reasons` counts them.
    """

    effects: Any  # EffectSizes or BoundedEffectSizes
    names: tuple[str, ...]
    method: str
    clusters: tuple[str, ...]
    cluster_of_row: Index
    cluster: str
    subsets: Subsets
    beta: Array
    tau2: Array
    i2: Array
    h2: Array
    q: Array
    k: NDArray[np.int32]
    state: NDArray[np.integer[Any]]
    why: tuple[str, ...] = tuple(REASONS.values())

    @property
    def size(self) -> int:
        """Number of subsets B."""
        return int(self.tau2.size)

    @property
    def fitted(self) -> Mask:
        """Which subsets have a fit, shape (B,)."""
        return lock(np.asarray(self.state == FITTED))

    @property
    def estimate(self) -> Array:
        """Pooled effects of a fit without moderators, shape (B,)."""
        if len(self.names) > 1:
            raise InputError(
                f"the fit has {len(self.names)} coefficients and no single estimate",
                "the name of a coefficient",
                f"use values({self.names[-1]!r})",
            )
        return self.beta[:, 0]

    def values(self, name: str) -> Array:
        """Return one number per subset, shape (B,).

        Parameters
        ----------
        name : str
            "estimate" for the pooled effect, the name of a coefficient, "tau2", "i2", "h2", "q" or "k".

        Returns
        -------
        ndarray, shape (B,)
            The numbers; NaN where a subset has no fit.
        """
        check_choice("number of a subset", name, self._columns)
        if name in NUMBERS and name not in self.names:
            found: Array = getattr(self, name)
            return found
        return self.beta[:, 0 if name == "estimate" and len(self.names) == 1 else self.names.index(name)]

    @property
    def _columns(self) -> tuple[str, ...]:
        return ("estimate", *NUMBERS) if len(self.names) == 1 else (*self.names, *NUMBERS)

    def rows(self, i: int) -> Index:
        """Return the positions of the effects in subset i."""
        i = whole_number(i, "i", 0)
        if i >= self.size:
            raise InputError(f"i is {i}", f"a subset from 0 to {self.size - 1}")
        return np.flatnonzero(self.subsets.members(i, i + 1)[self.cluster_of_row, 0])

    def without(self, cluster: str | int) -> Mask:
        """Say which subsets leave a cluster out, shape (B,).

        Parameters
        ----------
        cluster : str or int
            The cluster, such as a study, by its name or by its position from 0.

        Returns
        -------
        ndarray of bool, shape (B,)
            True where it is left out.
        """
        j = self._position(cluster)
        if self.subsets.draws is None:
            away = np.zeros((1 << (len(self.clusters) - j - 1), 2, 1 << j), dtype=np.bool_)
            away[:, 1] = True
            return away.reshape(-1)[: self.size]
        cuts = [(at, min(at + BLOCK, self.size)) for at in range(0, self.size, BLOCK)]
        return np.concatenate([~self.subsets.members(*cut)[j] for cut in cuts])

    def _position(self, cluster: str | int) -> int:
        if isinstance(cluster, str):
            check_choice("cluster", cluster, self.clusters)
            return self.clusters.index(cluster)
        j = whole_number(cluster, "cluster", 0)
        if j >= len(self.clusters):
            raise InputError(f"cluster is {j}", f"a position from 0 to {len(self.clusters) - 1}, or a name")
        return j

    @cached_property
    def reasons(self) -> dict[str, int]:
        """How many subsets have no fit, by why, the most frequent first."""
        counts = np.bincount(self.state, minlength=len(self.why) + 1)[1:]
        order = np.argsort(-counts, kind="stable")
        return {self.why[i]: int(counts[i]) for i in order if counts[i]}

    def _known(self, name: str) -> tuple[Array, Mask]:
        """Return the numbers of the subsets that have one, and which subsets these are."""
        values = self.values(name)
        known = np.isfinite(values) & self.fitted
        return values[known], known

    def quantiles(self) -> pd.DataFrame:
        """Return quantiles over the subsets that have a fit: a row per number.

        Columns: n (subsets that have the number), min, q25, median, mean, q75, max.
        """
        import pandas as pd

        rows = {}
        for name in self._columns:
            values, _ = self._known(name)
            ends = (
                np.quantile(values, list(QUANTILES.values()))
                if values.size
                else np.full(len(QUANTILES), np.nan)
            )
            row = {"n": values.size, **dict(zip(QUANTILES, map(float, ends), strict=True))}
            row["mean"] = float(values.mean()) if values.size else np.nan
            rows[name] = row
        order = ["n", "min", "q25", "median", "mean", "q75", "max"]
        return pd.DataFrame.from_dict(rows, orient="index")[order].rename_axis("number")

    def by_cluster(self, name: str | None = None) -> pd.DataFrame:
        """Return how the median over subsets differs with and without each cluster, the largest first.

        Use it to see which study makes the distribution fall apart: one that lies far from the others, and
        has much weight, splits the subsets into those that hold it and those that do not.

        Parameters
        ----------
        name : str, optional
            The number that is compared, as in `values`. Default: the estimate, or the last coefficient.

        Returns
        -------
        DataFrame
            A row per cluster: median_with, median_without, difference (with minus without), and separation,
            the difference in units of the mean interquartile range of the two groups of subsets. Far beyond 1
            the two hardly overlap.
        """
        import pandas as pd

        found = self._with_and_without(self._columns[len(self.names) - 1] if name is None else name)
        table = pd.DataFrame(
            found[:, :2], columns=["median_with", "median_without"], index=list(self.clusters)
        )
        table["difference"] = table["median_with"] - table["median_without"]
        width = found[:, 2:].mean(axis=1)
        table["separation"] = table["difference"] / np.where(width > 0, width, np.nan)
        largest = np.argsort(-table["difference"].abs().fillna(-1.0).to_numpy(), kind="stable")
        return table.iloc[largest].rename_axis(self.cluster)

    def _with_and_without(self, name: str) -> Array:
        """Return medians with and without each cluster, and interquartile ranges of both, shape (m, 4)."""
        values, known = self._known(name)
        out = np.full((len(self.clusters), 4), np.nan)
        for j in range(len(self.clusters)):
            away = self.without(j)[known]
            for side, chosen in enumerate((values[~away], values[away])):
                if chosen.size:
                    low, out[j, side], high = np.quantile(chosen, [0.25, 0.5, 0.75])
                    out[j, 2 + side] = high - low
        return out

    def to_frame(self) -> pd.DataFrame:
        """Return a row per subset: estimate or coefficients, tau2, i2, h2, q, k, and why there is no fit."""
        import pandas as pd

        words = np.array(["", *self.why], dtype=object)
        frame = pd.DataFrame({name: self.values(name) for name in self._columns})
        frame["no_fit"] = words[self.state]
        return frame.rename_axis("subset")

    def reader_tables(self) -> list[ReaderTable]:
        """Return the quantiles, and what each cluster does to the median."""
        return [cells_of(self.quantiles()), cells_of(self.by_cluster(), "Medians with and without")]

    def table_notes(self) -> list[str]:
        """Return the sentences below the tables."""
        return [self.sentence]

    @cached_property
    def alone(self) -> str:
        """How many subsets with a fit are one effect alone, in words; empty where none is."""
        single = int(((self.k == 1) & self.fitted).sum())
        are = "1 subset is one effect alone" if single == 1 else f"{single:,} subsets are one effect alone"
        what = "tau2 and I2" if (self.tau2 > 0).any() else "I2"  # a common effect has no tau2
        return f"{are}, from which {what} cannot be estimated" if single else ""

    @cached_property
    def sentence(self) -> str:
        """What was done and found, in plain words."""
        one, many = {"study": ("study", "studies"), "effect": ("effect", "effects")}.get(
            self.cluster, ("cluster", "clusters")
        )
        kind = "non-empty" if self.subsets.draws is None else "random"
        every = "All " if self.subsets.draws is None and self.size > 1 else ""
        of = plural(len(self.clusters), one, many)
        said = [
            f"{every}{self.size:,} {kind} {'subset' if self.size == 1 else 'subsets'} of {of}, {self.method}."
        ]
        name = self._columns[len(self.names) - 1]
        values, _ = self._known(name)
        if values.size:
            low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
            measure = self.effects.measure
            called = "pooled effect" if name == "estimate" else f"coefficient {name}"
            if name == "estimate" and measure.display != GENERIC.display:
                called = f"pooled effect ({measure.display[:1].lower()}{measure.display[1:]})"
            which = "the subsets with a fit" if self.reasons else "subsets"
            text = f"The {called} has the median {self._shown(name, middle)}, and 95% of {which} lie from "
            said.append(text + f"{self._shown(name, low)} to {self._shown(name, high)}.")
            said += self._of_the_worst(name)
        said += [f"{self.alone}."] if self.alone else []
        failed = sum(self.reasons.values())
        if failed:
            parts = [f"{words} ({count:,})" for words, count in self.reasons.items()]
            more = f"; {len(parts) - MOST_REASONS} other reasons" if len(parts) > MOST_REASONS else ""
            said.append(
                f"{failed:,} of {self.size:,} subsets have no fit: {'; '.join(parts[:MOST_REASONS])}{more}."
            )
        return " ".join(said)

    def _of_the_worst(self, name: str) -> list[str]:
        """Return what is said of the cluster that moves the median most."""
        found = self._with_and_without(name)
        apart = np.abs(found[:, 0] - found[:, 1])
        if len(self.clusters) < LEAST or not (apart > 0).any():
            return []
        j = int(np.nanargmax(apart))
        held, away = (self._shown(name, value) for value in found[j, :2])
        more = ", and the two groups hardly overlap" if apart[j] > SEPARATE * found[j, 2:].mean() else ""
        label = self.clusters[j]
        called = f"{self.cluster.capitalize()} {label}" if label.isdecimal() else label
        return [f"{called} moves it most: the median is {held} with it and {away} without{more}."]

    def _shown(self, name: str, value: float) -> str:
        """Return a number as readers see it: a pooled effect on the scale on which its measure is shown."""
        return number(float(back_pooled(self.effects, value)) if name == "estimate" else value, 3)


@overload
def gosh(
    results: FitResults,
    draws: int | None = None,
    *,
    cluster: str | Sequence[object] | ArrayLike = "study",
    seed: int = 0,
    limit: int = LIMIT,
    to: None = None,
    progress: bool | None = None,
) -> Gosh: ...
@overload
def gosh(
    results: FitResults,
    draws: int | None = None,
    *,
    cluster: str | Sequence[object] | ArrayLike = "study",
    seed: int = 0,
    limit: int = LIMIT,
    to: str | os.PathLike[str],
    progress: bool | None = None,
) -> Stored: ...
def gosh(
    results: FitResults,
    draws: int | None = None,
    *,
    cluster: str | Sequence[object] | ArrayLike = "study",
    seed: int = 0,
    limit: int = LIMIT,
    to: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> Gosh | Stored:
    r"""Fit a model to all subsets of the studies, or to many random ones.

    Use it to see whether a pooled effect and its heterogeneity rest on single studies or on groups of them: a
    distribution of the estimates with two hills, or a cloud of estimate and I2 that falls apart, says that
    some studies do not belong together (GOSH, a graphical display of study heterogeneity).

    Each of the :math:`2^m - 1` non-empty subsets of m studies gets a fit of its own, with the estimator, the
    moderators and the weights of the fit. A single effect has tau2 and I2 of 0. Fits of
    :class:`metaexo.RandomEffects` are made in batches; the numbers are those that single fits would give, for
    REML and ML the global maximum. Other families are refitted one at a time.

    Parameters
    ----------
    results : FitResults
        The fit.
    draws : int, optional
        Number of random subsets, in which each study is with probability 1/2, independently; empty ones and
        repetitions occur. Default: all subsets of up to 24 studies, and 1,000,000 random ones of more.
    cluster : str or sequence, length k
        What is in a subset as a whole or not at all: "study", "effect" for single effects, a column of the
        effects' data, or one label per effect.
    seed : int
        Seed of the random subsets. Subset i depends neither on the number of subsets nor on how the work is
        divided.
    limit : int
        The most subsets that are refitted one at a time, for families that are not fitted in batches.
    to : str or path, optional
        A folder into which the columns are written chunk by chunk, for what would not fit in memory; the same
        call goes on with what is unfinished. For fits of RandomEffects; it needs the extra
        ``metaexo[parquet]``.
    progress : bool, optional
        Whether to show a progress bar, for fits of RandomEffects; by default where there is a terminal or a
        notebook.

    Returns
    -------
    Gosh, or Stored
        One entry per subset: coefficients, tau2, I2, H2, Q and k. With `to` the columns of the folder, which
        are read when they are asked for (:class:`metaexo.runs.Stored`).

    Raises
    ------
    InputError
        If the result would not fit in memory, or more than `limit` subsets would be refitted one at a time.
    RunInterrupted
        If it is stopped from the keyboard; its attribute `finished` holds the columns that were done.

    See Also
    --------
    metaexo.sensitivity.influence : Leaves out one study at a time.

    References
    ----------
    Olkin, I., Dahabreh, I. J., Trikalinos, T. A. (2012). GOSH - a graphical display of study heterogeneity.
    Research Synthesis Methods 3, 214-223. https://doi.org/10.1002/jrsm.1053

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.3, 0.1, 0.25, 1.4], [0.02, 0.03, 0.02, 0.04, 0.02], labels=list("abcde"))
    >>> found = mx.sensitivity.gosh(mx.RandomEffects(es).fit())
    >>> found.size, found.rows(3)
    (31, array([2, 3, 4]))
    >>> found.by_cluster().index[0]
    'e'
    """
    fit = checked_fit(results)
    if not isinstance(fit.effects, EffectSizes | BoundedEffectSizes):
        raise InputError(f"the effects of the fit are {describe(fit.effects)}", "a fit of effects")
    names, unit, word = _units(fit.effects, cluster)
    subsets = _subsets(len(names), draws, seed)
    what: dict[str, Any] = {"effects": fit.effects, "names": fit.design.names, "method": fit.method}
    what |= {"clusters": names, "cluster_of_row": unit, "cluster": word, "subsets": subsets}
    if not isinstance(fit, RandomEffectsResults):
        if to is not None:
            raise InputError("to was given for a fit that is refitted one subset at a time", "no folder")
        return Gosh(**what | _one_by_one(fit, unit, subsets, whole_number(limit, "limit", 1)))
    tau2 = fit.tau2 if fit.tau2_given else None
    task = SubsetFits(
        fit.effects.y, fit.effects.v, unit, subsets, fit.method, tau2, fit.design.x, fit.weighting
    )
    if to is not None:
        return run(task, subsets.size, block=BLOCK, chunk=CHUNK, to=to, progress=progress, what="subsets")
    _check_memory(subsets, fit.design.p)
    if subsets.size <= BLOCK and task.is_plain:  # a few milliseconds
        columns = task(0, subsets.size)
    else:
        columns = run(task, subsets.size, block=BLOCK, chunk=CHUNK, progress=progress, what="subsets")
    return Gosh(**what | _locked(columns))


def _locked(columns: dict[str, Any]) -> dict[str, Any]:
    """Return columns that cannot be written to, so that a result takes them as they are."""
    for column in columns.values():
        column.flags.writeable = False
    return columns


def _units(effects: EffectSizes | BoundedEffectSizes, cluster: Any) -> tuple[tuple[str, ...], Index, str]:
    """Return the names of the units, the unit of each effect, and what the units are."""
    by_study = isinstance(cluster, str) and cluster == "study"
    names, members = split_clusters(effects, None if by_study else cluster)  # type: ignore[arg-type]
    unit = np.empty(effects.k, dtype=np.intp)
    for j, rows in enumerate(members):
        unit[rows] = j
    labels = effects.row_labels
    if len(names) == effects.k == len(set(labels)):  # each effect is a unit: its label says which
        names = labels
    return names, unit, cluster if isinstance(cluster, str) else "cluster"


def _subsets(units: int, draws: object, seed: object) -> Subsets:
    """Return which subsets there are: all, or random ones."""
    seed = whole_number(seed, "seed", 0)
    if draws is None:
        return Subsets(units, None if units <= MOST_UNITS else DRAWS, seed)
    number_of = whole_number(draws, "draws", 1)
    if number_of > MOST_DRAWS:
        raise InputError(f"draws is {draws}", f"at most {MOST_DRAWS:,} random subsets")
    return Subsets(units, number_of, seed)


def _check_memory(subsets: Subsets, p: int) -> None:
    """Refuse a result that would not fit in the memory of the machine."""
    of_one = 8 * (p + 4) + 5
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not known on this system
        return
    if subsets.size * of_one > FREE * memory:
        fits = int(FREE * memory / of_one)
        raise InputError(
            f"the result of {subsets.size:,} subsets takes {subsets.size * of_one / 1e9:,.1f} GB, and this "
            f"machine has {memory / 1e9:,.1f} GB of memory",
            f"at most {fits:,} subsets at a time",
            f"give draws={min(DRAWS, fits)}, or to= a folder into which the subsets are written",
        )


@dataclass(frozen=True, slots=True)
class _Counts:
    """How often each effect is in subsets begin to end: once or not at all."""

    unit: Index
    subsets: Subsets

    def __call__(self, begin: int, end: int) -> Array:
        return self.subsets.members(begin, end)[self.unit].T.astype(float)


def _one_by_one(fit: FitResults, unit: Index, subsets: Subsets, limit: int) -> dict[str, Any]:
    """Return the columns of subsets that are refitted one at a time; refuse too many of them."""
    if subsets.size > limit:
        seconds = _seconds_each(fit, _Counts(unit, subsets))
        raise InputError(
            f"{type(fit).__name__} are refitted one subset at a time, and {subsets.size:,} subsets of "
            f"{subsets.units} take about {_duration(seconds * subsets.size)} ({1e3 * seconds:.3g} ms each)",
            f"at most {limit:,} subsets",
            f"give draws={min(1000, limit)} for random subsets, or a higher limit",
        )
    found = refits(fit, _Counts(unit, subsets), subsets.size)
    reasons = np.array([_without_numbers(found.reasons.get(i, "")) for i in range(found.size)], dtype=object)
    reasons[found.k == 0] = REASONS[EMPTY]
    why = tuple(sorted(set(reasons) - {""}))
    place = {"": 0, **{words: i + 1 for i, words in enumerate(why)}}
    columns = {name: np.array(getattr(found, name)) for name in ("beta", "tau2", "i2", "h2", "q")}
    columns |= {"k": found.k.astype(np.int32), "state": np.array([place[words] for words in reasons])}
    return {**_locked(columns), "why": why}


ROWS_OF_SUBSET = (
    (re.compile(r", in (the only row|each of [\d,]+ rows)(?=:)"), ""),
    (re.compile(r" of [\d,]+ rows?\b"), ""),
    (re.compile(r" \(\d+\)"), ""),
)


def _without_numbers(reason: str) -> str:
    """Return a reason without the number of rows, which differs from subset to subset."""
    for pattern, words in ROWS_OF_SUBSET:
        reason = pattern.sub(words, reason)
    return reason


def _seconds_each(fit: FitResults, counts: _Counts) -> float:
    """Return the time that a subset takes, from as many as show it: some families are quicker in numbers."""
    size, taken = 1, 0.0
    while taken < TRIAL and size < MOST_TRIED:
        size *= 4
        began = time.perf_counter()
        refits(fit, counts, size)
        taken = time.perf_counter() - began
    return taken / size


def _duration(seconds: float) -> str:
    """Return a time in words."""
    for size, one in ((86_400 * 365.25, "year"), (86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {one}s"
    return f"{seconds:.0f} seconds"
