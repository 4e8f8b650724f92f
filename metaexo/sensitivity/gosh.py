"""All subsets of the studies (GOSH): how a pooled effect and its heterogeneity vary over them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.formatting import number
from metaexo.immutable import lock
from metaexo.inputs import check_choice, describe, whole_number
from metaexo.models.linear.grouping import split_clusters
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
from metaexo.runs import run
from metaexo.types import Array, Index, Mask

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

# All subsets are made of so many studies; of more a million random ones, unless a number is given.
MOST_UNITS, DRAWS, MOST_DRAWS = 24, 1_000_000, 10**12
# Subsets per call of the task, and per worker at a time: a worker makes its tables once.
BLOCK, CHUNK = 1 << 14, 1 << 17
# Shares of the subsets at the quantiles of the summary.
QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}
NUMBERS = ("tau2", "i2", "h2", "q", "k")
REASONS = {
    EMPTY: "hold no study",
    TOO_FEW: "hold too few effects",
    RANK: "do not determine all coefficients",
    NO_MAXIMUM: "have a likelihood without a maximum",
    ZERO_VARIANCE: "need a sampling variance above 0",
}
FREE = 0.5  # share of the machine's memory that a result may take


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Gosh(Readable):
    """The fits of many subsets of the studies, one entry per subset.

    Where all subsets were fitted, subset i leaves out the clusters whose bits are set in i: subset 0 is
    the whole, subset 1 leaves out the first cluster, subset 5 the first and the third.

    Attributes
    ----------
    effects : EffectSizes
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
        0 where a subset has a fit, else a number that says why not; `reasons` has it in words.
    """

    effects: EffectSizes
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
    state: NDArray[np.int8]

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
            return np.asarray((np.arange(self.size) >> j) & 1 == 1)
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
        """How many subsets have no fit, by why."""
        counts = np.bincount(self.state, minlength=len(REASONS) + 1)
        return {words: int(counts[code]) for code, words in REASONS.items() if counts[code]}

    def summary(self) -> pd.DataFrame:
        """Return quantiles over the subsets that have a fit: a row per number.

        Columns: n (subsets with a fit), min, q25, median, mean, q75, max; quantiles are interpolated.
        """
        import pandas as pd

        rows = {}
        for name in self._columns:
            values = self.values(name)[self.fitted]
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
            A row per cluster: median_with, median_without, difference (with minus without), and in_iqr, the
            difference in units of the interquartile range of all subsets.
        """
        import pandas as pd

        medians, spread = self._medians(self._columns[len(self.names) - 1] if name is None else name)
        table = pd.DataFrame(medians, columns=["median_with", "median_without"], index=list(self.clusters))
        table["difference"] = table["median_with"] - table["median_without"]
        table["in_iqr"] = table["difference"] / spread if spread > 0 else np.nan
        largest = np.argsort(-table["difference"].abs().fillna(-1.0).to_numpy(), kind="stable")
        return table.iloc[largest].rename_axis(self.cluster)

    def _medians(self, name: str) -> tuple[Array, float]:
        """Return the medians with and without each cluster, shape (m, 2), and the interquartile range."""
        fitted = self.fitted
        values = self.values(name)[fitted]
        out = np.full((len(self.clusters), 2), np.nan)
        for j in range(len(self.clusters)):
            away = self.without(j)[fitted]
            for side, chosen in enumerate((values[~away], values[away])):
                if chosen.size:
                    out[j, side] = np.median(chosen)
        spread = float(np.subtract(*np.quantile(values, [0.75, 0.25]))) if values.size else np.nan
        return out, spread

    def to_frame(self) -> pd.DataFrame:
        """Return a row per subset: estimate or coefficients, tau2, i2, h2, q, k, and why there is no fit."""
        import pandas as pd

        words = np.array(["", *REASONS.values()], dtype=object)
        frame = pd.DataFrame({name: self.values(name) for name in self._columns})
        frame["no_fit"] = words[self.state]
        return frame.rename_axis("subset")

    def reader_tables(self) -> list[ReaderTable]:
        """Return the quantiles, and what each cluster does to the median."""
        return [cells_of(self.summary()), cells_of(self.by_cluster(), "Medians with and without")]

    def table_notes(self) -> list[str]:
        """Return the sentences below the tables."""
        return [self.sentence]

    @cached_property
    def sentence(self) -> str:
        """What was done and found, in plain words."""
        what = {"study": "studies", "effect": "effects"}.get(self.cluster, f"clusters ({self.cluster})")
        kind = "All" if self.subsets.draws is None else f"{self.size:,} random subsets of"
        of = (
            f"{self.size:,} subsets of {len(self.clusters)}"
            if self.subsets.draws is None
            else f"{len(self.clusters)}"
        )
        said = [f"{kind} {of} {what}, {self.method}."]
        name = self._columns[len(self.names) - 1]
        fitted = self.fitted
        if fitted.any():
            low, middle, high = np.quantile(self.values(name)[fitted], [0.025, 0.5, 0.975])
            measure = self.effects.measure
            called = "pooled effect" if name == "estimate" else f"coefficient {name}"
            if name == "estimate" and measure.display_log:
                called = f"pooled effect ({measure.display.lower()})"
            text = f"The {called} has the median {self._shown(name, middle)}, and 95% of subsets lie from "
            said.append(text + f"{self._shown(name, low)} to {self._shown(name, high)}.")
            said += self._of_the_worst(name)
        failed = int(self.size - fitted.sum())
        if failed:
            parts = ", ".join(f"{count:,} {words}" for words, count in self.reasons.items())
            said.append(f"{failed:,} of {self.size:,} subsets have no fit: {parts}.")
        return " ".join(said)

    def _of_the_worst(self, name: str) -> list[str]:
        """Return what is said of the cluster that moves the median most."""
        medians, _ = self._medians(name)
        apart = np.abs(medians[:, 0] - medians[:, 1])
        if len(self.clusters) < 2 or not (apart > 0).any():
            return []
        j = int(np.nanargmax(apart))
        held, away = (self._shown(name, value) for value in medians[j])
        return [f"{self.clusters[j]} moves it most: the median is {held} with it and {away} without."]

    def _shown(self, name: str, value: float) -> str:
        """Return a number as readers see it: a pooled effect on the scale on which its measure is shown."""
        return number(float(back_pooled(self.effects, value)) if name == "estimate" else value, 3)


def gosh(
    results: RandomEffectsResults,
    draws: int | None = None,
    *,
    cluster: str | Sequence[object] | ArrayLike = "study",
    seed: int = 0,
    progress: bool | None = None,
) -> Gosh:
    r"""Fit a model to all subsets of the studies, or to many random ones.

    Use it to see whether a pooled effect and its heterogeneity rest on single studies or on groups of them: a
    distribution of the estimates with two hills, or a cloud of estimate and I2 that falls apart, says that
    some studies do not belong together (GOSH, a graphical display of study heterogeneity).

    Each of the :math:`2^m - 1` non-empty subsets of m studies gets a fit of its own, with the estimator, the
    moderators and the weights of the fit. A single effect has tau2 and I2 of 0. All subsets are fitted in
    batches; the numbers are those that single fits would give, for REML and ML the global maximum.

    Parameters
    ----------
    results : RandomEffectsResults
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
    progress : bool, optional
        Whether to show a progress bar; by default where there is a terminal or a notebook.

    Returns
    -------
    Gosh
        One entry per subset: coefficients, tau2, I2, H2, Q and k.

    Raises
    ------
    InputError
        If the fit is of a family that is not fitted in batches, or the result would not fit in memory.

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
    if not isinstance(results, RandomEffectsResults):
        raise InputError(
            f"the fit is {describe(results)}", "a fit of RandomEffects", "mx.RandomEffects(effects).fit()"
        )
    names, unit, word = _units(results.effects, cluster)
    subsets = _subsets(len(names), draws, seed)
    _check_memory(subsets, results.design.p)
    es = results.effects
    task = SubsetFits(
        es.y,
        es.v,
        unit,
        subsets,
        results.method,
        results.tau2 if results.tau2_given else None,
        results.design.x,
        results.weighting,
    )
    return _collected(results, task, names, unit, word, progress)


def _units(effects: EffectSizes, cluster: object) -> tuple[tuple[str, ...], Index, str]:
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
    if whole_number(draws, "draws", 1) > MOST_DRAWS:
        raise InputError(f"draws is {draws}", f"at most {MOST_DRAWS:,} random subsets")
    return Subsets(units, whole_number(draws, "draws", 1), seed)


def _check_memory(subsets: Subsets, p: int) -> None:
    """Refuse a result that would not fit in the memory of the machine."""
    needed = subsets.size * (8 * (p + 4) + 5)
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not known on this system
        return
    if needed > FREE * memory:
        fits = int(FREE * memory / (8 * (p + 4) + 5))
        raise InputError(
            f"the result of {subsets.size:,} subsets takes {needed / 1e9:,.1f} GB, and this machine has "
            f"{memory / 1e9:,.1f} GB of memory",
            f"at most {fits:,} subsets",
            f"give draws={min(DRAWS, fits)}",
        )


def _collected(
    results: RandomEffectsResults,
    task: SubsetFits,
    names: tuple[str, ...],
    unit: Index,
    word: str,
    progress: bool | None,
) -> Gosh:
    """Run the task and return the result."""
    size = task.subsets.size
    if size <= BLOCK and task.is_plain:  # a few milliseconds
        columns = task(0, size)
    else:
        columns = run(task, size, block=BLOCK, chunk=CHUNK, progress=progress, what="subsets")
    for column in columns.values():
        column.flags.writeable = False  # so that no copy is made of it
    return Gosh(
        effects=results.effects,
        names=results.design.names,
        method=results.method,
        clusters=names,
        cluster_of_row=unit,
        cluster=word,
        subsets=task.subsets,
        **columns,
    )
