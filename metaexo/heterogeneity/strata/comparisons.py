r"""Comparisons of strata: pairs, trend, permutation test, and the test whether tau2 differs.

The permutation test gives every arrangement of the labels between the studies, or many drawn at random, each
with as many studies per label as there are, and makes the test between strata afresh, between-study variances
included. A study with several effects keeps them together. A study with effects in several strata keeps its
labels: to permute them would compare it with itself.

Whether tau2 differs is tested by restricted likelihoods: the model with a tau2 for each stratum against that
with one tau2 for all, both with a mean per stratum. It is the location-scale model with the strata on both
sides, :math:`\log\tau^2_i = \alpha_{s(i)}`. The chi-square distribution of the statistic needs many
studies in every stratum, and variances that are not zero; the parametric bootstrap needs neither. It draws
effects from the smaller model and fits both models to each draw.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects.check import refuse_zero_variances
from metaexo.errors import InputError, NotIdentifiableError, TooFewStudiesError
from metaexo.formatting import number, p_value, plural, printed
from metaexo.heterogeneity.levels import STUDY, studies_of
from metaexo.heterogeneity.means import SAME_MEAN, differences, distance_of_means, welch
from metaexo.heterogeneity.strata.fit import StrataFit, check_strata
from metaexo.immutable import Immutable
from metaexo.inputs import whole_number
from metaexo.models.linear.choices import get_adjustment
from metaexo.models.linear.contrasts import ADJUSTMENTS, Contrasts, adjust_pvalues, make_contrasts
from metaexo.models.linear.hypothesis import TestResult, make_test
from metaexo.numeric.arrangements import Orders, as_extreme, permutation_p
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.likelihood import log_likelihood
from metaexo.numeric.likelihood_maximum import restricted_maximum_likelihood
from metaexo.numeric.moments import weighted_fit
from metaexo.numeric.problem import CHUNK_ELEMENTS, make_batch
from metaexo.readable import ReadableLines, shows_itself
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

# Arrangements that are fitted at once.
CHUNK = 2048
# A count of more digits is printed as a power of ten.
MOST_DIGITS = 12
ONE_TAU2 = "all strata share one between-study variance"
TIED_RATIO = 1e-9
# A scan for maxima looks at some thirty values of tau2 at once.
SCAN_POINTS = 32


# -- contrasts of the means ----------------------------------------------------------------------------------


def pairwise(results: StrataFit, adjust: str | None = "holm", level: float | None = None) -> Contrasts:
    """Return the differences between all pairs of strata; see `StratifiedResults.pairwise`.

    Each pair is tested by itself: together they are more than the means can carry, so the joint test is that
    all means are equal.
    """
    names = [s.name for s in results.compared]
    _need_several(names, "pairs to compare")
    fitted = results.design.names
    places = [fitted.index(name) for name in names]
    pairs = list(combinations(places, 2))
    rows = np.zeros((len(pairs), len(fitted)))
    for row, (i, j) in zip(rows, pairs, strict=True):
        row[[i, j]] = -1.0, 1.0
    parts = [make_contrasts(results, row[None], level=level) for row in rows]
    column = {
        field: np.concatenate([getattr(part, field) for part in parts])
        for field in ("null", "estimate", "se", "statistic", "pvalue", "low", "high")
    }
    df = [part.df for part in parts if part.df is not None]
    joint = results.between
    if joint is None:
        apart = differences(len(fitted), places)
        joint = results.joint_test(apart, np.zeros(len(apart)), SAME_MEAN)
    return Contrasts(
        names=tuple(f"{fitted[j]} minus {fitted[i]}" for i, j in pairs),
        weights=rows,
        **column,
        df=np.concatenate(df) if df else None,
        adjusted=None if adjust is None else adjust_pvalues(column["pvalue"], adjust),
        adjustment=None if adjust is None else get_adjustment(adjust, ADJUSTMENTS),
        level=parts[0].level,
        joint=joint,
        logarithms=parts[0].logarithms,
    )


def trend(results: StrataFit, level: float | None = None) -> Contrasts:
    """Return the linear trend of the means over the order of the strata; see `StratifiedResults.trend`."""
    if not results.order:
        raise InputError(
            "the strata have no order",
            "all strata that are reported, from the first to the last",
            "stratify again with order=[...]",
        )
    ordered = [name for name in results.order if results[name].fit is not None]
    _need_several(ordered, "a trend")
    names = results.design.names
    known = [i for i, name in enumerate(names) if name in results.order]
    places = np.array([results.order.index(names[i]) for i in known], dtype=float)
    row = np.zeros(len(names))
    centred = places - places.mean()
    row[known] = centred / (centred @ centred)
    words = f"trend per step over {' < '.join(names[i] for i in known)}"
    return replace(make_contrasts(results, row[None], level=level), names=(words,))


def _need_several(names: Sequence[str], what: str) -> None:
    """Raise if there are fewer than two strata to compare."""
    if len(names) < 2:
        raise TooFewStudiesError(
            f"{plural(len(names), 'stratum', 'strata')} with two or more studies, so no {what}",
            "two strata of two or more studies each",
            "join levels that belong together, or read the strata one by one",
        )


# -- permutation test ----------------------------------------------------------------------------------------


@shows_itself
@dataclass(frozen=True, eq=False)
class BetweenPermutation(Immutable):
    """A permutation test between strata.

    Attributes
    ----------
    statistic : float
        The statistic of the data: that of the test between strata.
    pvalue : float
        Share of the arrangements whose statistic is at least as large; for drawn ones (1 + count) /
        (1 + draws).
    smallest : float
        The smallest p-value that these studies can give.
    arrangements : int
        Distinct arrangements, that of the data included.
    fitted : int
        How many of them were fitted.
    exact : bool
        Whether all were.
    permuted, kept : int
        Studies between which labels were permuted, and studies that kept theirs because they have several.
    statistics : ndarray, shape (fitted,)
        The statistics of all arrangements fitted; the first is that of the data.
    cluster : str
        What kept its effects together: "study", or the column of the clusters.
    """

    statistic: float
    pvalue: float
    smallest: float
    arrangements: int
    fitted: int
    exact: bool
    permuted: int
    kept: int
    statistics: Array
    cluster: str = "study"

    @printed
    def __str__(self) -> str:
        return f"permutation test between strata: {p_value(self.pvalue)}, {self.how}"

    @property
    def how(self) -> str:
        """How the labels were permuted, and the smallest possible p-value, in words."""
        unit = ("study", "studies") if self.cluster == "study" else ("cluster", "clusters")
        drawn = "all" if self.exact else f"{self.fitted - 1} drawn of"
        digits = math.log10(self.arrangements)  # of whole numbers of any size
        many = str(self.arrangements) if digits < MOST_DIGITS else f"about 10^{math.floor(digits)}"
        words = (
            f"{drawn} {many} arrangements of the labels of {plural(self.permuted, *unit)}; the smallest "
            f"possible {p_value(self.smallest)}"
        )
        if not self.kept:
            return words
        keep = "keeps its label" if self.kept == 1 else "keep their labels"
        return f"{words}; {plural(self.kept, *unit)} in several strata {keep}"


def permute_strata(
    results: StrataFit, limit: int = 50_000, draws: int = 9_999, seed: int = 0
) -> BetweenPermutation:
    """Test strata by permuting their labels between the studies.

    Use it with few studies, where the distribution of a test statistic is least certain; the p-value holds
    for any number of studies. The statistic is that of the test between strata (with several effects per
    study that of independent effects: the permutation, not the statistic, allows for dependence; with
    smoothed variances that of one variance for all). Strata that are left out of that test are left out here.

    Parameters
    ----------
    results : StratifiedResults
        The strata.
    limit : int
        Up to this many arrangements all are fitted, and the test is exact; beyond it some are drawn.
    draws : int
        How many are drawn.
    seed : int
        Seed of the draws.

    Returns
    -------
    BetweenPermutation
        The p-value, and the smallest one that was possible.

    Raises
    ------
    TooFewStudiesError
        If fewer than two strata have two or more studies.
    NotIdentifiableError
        If no labels can be permuted, because every study stands in several strata, or a statistic is
        undefined.
    InputError
        If `results` are no strata.

    References
    ----------
    Higgins, J. P. T., Thompson, S. G. (2004). Controlling the risk of spurious findings from meta-regression.
    Statistics in Medicine 23, 1663-1682. https://doi.org/10.1002/sim.1752
    Phipson, B., Smyth, G. K. (2010). Permutation p-values should never be zero. Statistical Applications in
    Genetics and Molecular Biology 9, 39. https://doi.org/10.2202/1544-6115.1585

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> from metaexo.heterogeneity import permute_strata
    >>> data = pd.DataFrame({"source": ["milk"] * 4 + ["plant"] * 4})
    >>> es = mx.EffectSizes([0.9, 0.7, 1.2, 1.0, 0.1, 0.3, 0.2, 0.4], [0.04] * 8, data=data)
    >>> found = permute_strata(mx.stratify(es, by="source"))
    >>> found.arrangements, round(found.pvalue, 3), round(found.smallest, 3)
    (70, 0.029, 0.029)
    """
    check_strata(results)
    limit, draws = whole_number(limit, "limit", 1), whole_number(draws, "draws", 19)
    seed = whole_number(seed, "seed", 0)
    _need_several([s.name for s in results.compared], "labels to permute")
    labels = _Arrangements(results)
    number = labels.orders.count
    exact = number <= limit
    blocks = labels.all() if exact else _blocks(labels.drawn(draws, np.random.default_rng(seed)))
    statistic = _Statistic(results, labels.rows, labels.label)
    values = np.concatenate([statistic(block) for block in blocks])
    observed = float(values[0])
    return BetweenPermutation(
        statistic=observed,
        pvalue=permutation_p(values, observed, drawn=False),
        smallest=float(as_extreme(values, float(values.max())).mean()) if exact else 1 / len(values),
        arrangements=number,
        fitted=len(values),
        exact=exact,
        permuted=len(labels.own),
        kept=labels.kept,
        statistics=values,
        cluster="study" if results.clusters is None else results.cluster,
    )


class _Arrangements:
    """The arrangements of the labels of strata between studies."""

    def __init__(self, results: StrataFit) -> None:
        # Strata that are not compared keep their labels; with one variance for all they count for that.
        others = [s for s in results.fitted if s not in results.compared]
        strata = [*results.compared, *(others if results.tau2_mode != "separate" else [])]
        compared = len(results.compared)
        self.rows: Index = np.sort(np.concatenate([s.rows for s in strata]))
        label = np.empty(results.effects.k, dtype=np.intp)
        for j, stratum in enumerate(strata):
            label[stratum.rows] = j
        self.label = label[self.rows]
        units = results.clusters or studies_of(results.effects)
        names = np.array([units[i] for i in self.rows], dtype=object)
        # every study by the positions of its effects
        number = {name: i for i, name in enumerate(dict.fromkeys(names))}
        study = np.array([number[name] for name in names], dtype=np.intp)
        members = np.split(np.argsort(study, kind="stable"), np.cumsum(np.bincount(study))[:-1])
        members = [part for part in members if (self.label[part] < compared).any()]
        single = [part for part in members if len(set(self.label[part])) == 1]
        self.kept = len(members) - len(single)
        self.members = single
        self.own: list[int] = [int(self.label[part[0]]) for part in single]
        if len(set(self.own)) < 2:
            what = "studies" if results.clusters is None or results.cluster == STUDY else "clusters"
            raise NotIdentifiableError(
                f"of {len(members)} {what} {self.kept} have effects in several strata"
                + (", and the others are all in one stratum" if single else "")
                + f": no labels can be permuted between {what}",
                f"{what} that are in one stratum each, in two strata or more",
                f"compare the strata within {what}, for example by Multilevel with the factor as a moderator",
            )

    @property
    def orders(self) -> Orders:
        """The arrangements of the labels between studies that have one each."""
        return Orders(np.unique(self.own, return_inverse=True)[1])

    def all(self) -> Iterator[Index]:
        """Yield all arrangements in blocks, shape (b, k), that of the data first."""
        yield self.label[None]
        own, orders = np.array(self.own), self.orders
        for begin in range(0, orders.count, CHUNK):
            studies = orders.numbered(begin, min(begin + CHUNK, orders.count))
            given = np.empty_like(studies)
            np.put_along_axis(given, studies, np.broadcast_to(own, studies.shape), axis=1)
            given = given[(given != own).any(axis=1)]
            labels = np.tile(self.label, (len(given), 1))
            for part, values in zip(self.members, given.T, strict=True):
                labels[:, part] = values[:, None]
            yield labels

    def drawn(self, draws: int, rng: np.random.Generator) -> Iterator[Index]:
        """Yield the arrangement of the data, and some drawn at random."""
        yield self.label
        own, places = np.array(self.own), np.concatenate(self.members)
        sizes = [part.size for part in self.members]
        for _ in range(draws):
            label = self.label.copy()
            label[places] = np.repeat(rng.permutation(own), sizes)
            yield label


def _blocks(source: Iterator[Index]) -> Iterator[Index]:
    while block := list(islice(source, CHUNK)):
        yield np.array(block, dtype=np.intp)


class _Statistic:
    """The statistic between strata of many arrangements at once."""

    def __init__(self, results: StrataFit, rows: Index, labels: Index) -> None:
        self.y, self.v = results.effects.y[rows], results.effects.v[rows]
        self.size, self.compared = int(labels.max()) + 1, len(results.compared)
        self.separate, self.test = results.tau2_mode == "separate", results.test
        self.kernel = get_estimator(results.method).kernel

    def __call__(self, labels: Index) -> Array:
        """Return the statistics of arrangements, shape (B,), from labels of shape (B, k)."""
        masks = [np.asarray(labels == j, dtype=float) for j in range(self.size)]
        if self.separate:
            tau2 = [self.kernel(make_batch(self.y, self.v, n=mask)).tau2 for mask in masks]
        else:
            tau2 = [self._one_tau2(labels)] * self.size
        mean, variance, ss, df = self._means(masks, tau2)
        scale = np.ones(len(labels))
        if self.test.startswith("knapp-hartung"):
            scale = ss / df if self.separate else ss.sum(axis=0) / df.sum(axis=0)
            scale = scale if self.test == "knapp-hartung" else np.maximum(scale, 1.0)
        if self.separate:
            variance = variance * scale
            distance = distance_of_means(mean, variance)
            return distance if self.test == "z" else welch(distance, variance, df)[0]
        n = self.compared
        distance = distance_of_means(mean[:n], variance[:n])
        if self.test == "z":
            return distance
        with np.errstate(divide="ignore", invalid="ignore"):
            found = distance / scale / (n - 1)
        return np.asarray(np.where(distance == 0, 0.0, found))

    def _one_tau2(self, labels: Index) -> Array:
        """Return the variance that all strata share, shape (B,): effects are put to rows of one design."""
        order = np.argsort(labels, axis=1, kind="stable")
        tau2 = np.empty(len(labels))
        sizes = np.sort(labels, axis=1)
        kinds, which = np.unique(sizes, axis=0, return_inverse=True)
        for kind, pattern in enumerate(kinds):
            rows = np.flatnonzero(which.ravel() == kind)
            x = np.eye(self.size)[pattern]
            tau2[rows] = self.kernel(make_batch(self.y[order[rows]], self.v[order[rows]], x)).tau2
        return tau2

    def _means(self, masks: list[Array], tau2: list[Array]) -> tuple[Array, Array, Array, Array]:
        """Return means, squared standard errors, weighted sums of squares and df of strata, each (S, B)."""
        rows = []
        for mask, t in zip(masks, tau2, strict=True):
            batch = make_batch(self.y, self.v, n=mask)
            with np.errstate(divide="ignore", invalid="ignore"):
                fit = weighted_fit(batch, 1.0 / (batch.v + t[:, None]))
            rows.append((fit.beta[:, 0], fit.cov[:, 0, 0], fit.weighted_ss, batch.df))
        mean, variance, ss, df = (np.array(column) for column in zip(*rows, strict=True))
        return mean, variance, ss, df


# -- whether tau2 differs ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class HeterogeneityComparison(ReadableLines):
    """A test whether strata differ in their between-study variance.

    Attributes
    ----------
    names : tuple of str
        The strata that are compared.
    tau2 : ndarray, shape (S,)
        The variance of each by itself (REML).
    common : float
        The variance that all share under the null hypothesis.
    test : TestResult
        Likelihood-ratio test with the chi-square distribution.
    pvalue : float
        p-value of the parametric bootstrap, (1 + count) / (1 + draws).
    draws : int
        Data sets drawn.
    note : str
        What makes the chi-square distribution a rough guide, in words; may be empty.
    """

    names: tuple[str, ...]
    tau2: Array
    common: float
    test: TestResult
    pvalue: float
    draws: int
    note: str

    def to_frame(self) -> pd.DataFrame:
        """Return one row per stratum: stratum, tau2."""
        import pandas as pd

        return pd.DataFrame({"stratum": self.names, "tau2": self.tau2})

    def lines(self) -> list[str]:
        """Return the variances and their tests in lines."""
        each = ", ".join(f"{name} {number(t, 4)}" for name, t in zip(self.names, self.tau2, strict=True))
        lines = [
            f"tau2 by stratum: {each}; one for all: {number(self.common, 4)}",
            f"likelihood ratio {self.test}",
            f"parametric bootstrap of {self.draws} draws: {p_value(self.pvalue)}",
        ]
        return lines + ([self.note] if self.note else [])


def compare_heterogeneity(results: StrataFit, draws: int = 999, seed: int = 0) -> HeterogeneityComparison:
    r"""Test whether strata differ in heterogeneity itself.

    Use it to ask whether effects of one source vary more than those of another, whatever their means. The
    statistic is :math:`2 (\sum_s \max_t \ell_s(t) - \max_t \sum_s \ell_s(t))` with the restricted likelihoods
    of the strata, that of :class:`metaexo.LocationScale` with the strata as moderators of mean and scale.

    Parameters
    ----------
    results : StratifiedResults
        The strata; those without a fit are left out.
    draws : int
        Data sets of the parametric bootstrap.
    seed : int
        Its seed.

    Returns
    -------
    HeterogeneityComparison
        The test by chi-square and by bootstrap.

    Raises
    ------
    TooFewStudiesError
        If fewer than two strata can be fitted, or no stratum has three effects.
    InputError
        If effects depend on each other, a sampling variance is zero, or there are no draws.

    References
    ----------
    Viechtbauer, W., López-López, J. A. (2022). Location-scale models for meta-analysis. Research Synthesis
    Methods 13, 697-715. https://doi.org/10.1002/jrsm.1562
    Davison, A. C., Hinkley, D. V. (1997). Bootstrap methods and their application. Cambridge University
    Press. https://doi.org/10.1017/CBO9780511802843

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> from metaexo.heterogeneity import compare_heterogeneity
    >>> data = pd.DataFrame({"source": ["milk"] * 5 + ["plant"] * 5})
    >>> y = [0.3, 0.4, 0.2, 0.5, 0.3, -0.9, 1.3, 0.1, 1.9, -0.4]
    >>> found = compare_heterogeneity(mx.stratify(mx.EffectSizes(y, [0.01] * 10, data=data), by="source"))
    >>> found.tau2.round(3), found.pvalue
    (array([0.003, 1.36 ]), 0.002)
    """
    check_strata(results)
    draws, seed = whole_number(draws, "draws", 0), whole_number(seed, "seed", 0)
    strata = results.compared
    _check_comparable(results)
    if draws < 1:
        raise InputError("0 draws", "at least one, better 999 or more")
    vs = [s.effects.v for s in strata]
    statistic, tau2, common = _likelihood_ratio([s.effects.y[None] for s in strata], [v[None] for v in vs])
    observed = float(statistic[0])
    drawn = _bootstrap(vs, float(common[0]), draws, np.random.default_rng(seed))
    count = int((drawn >= observed - TIED_RATIO).sum())
    zero = [s.name for s, t in zip(strata, tau2[:, 0], strict=True) if t == 0]
    small = [f"{s.name} ({s.k})" for s in strata if s.k < 10]
    doubts = [f"tau2 is 0 in {', '.join(zero)}"] if zero else []
    doubts += [f"few effects in {', '.join(small)}"] if small else []
    return HeterogeneityComparison(
        names=tuple(s.name for s in strata),
        tau2=tau2[:, 0],
        common=float(common[0]),
        test=make_test(observed, "chi2", (len(strata) - 1,), ONE_TAU2),
        pvalue=(1 + count) / (1 + draws),
        draws=draws,
        note=f"chi-square is a rough guide here: {'; '.join(doubts)}" if doubts else "",
    )


def _check_comparable(results: StrataFit) -> None:
    """Raise where the variances cannot be compared, with the reason in words."""
    strata = results.compared
    if len(strata) < 2 or max(s.k for s in strata) < 3:
        sizes = ", ".join(f"{s.name} {s.k}" for s in strata)
        raise TooFewStudiesError(
            f"{plural(len(strata), 'stratum', 'strata')} with two or more studies"
            + (f" ({sizes})" * bool(sizes)),
            "two strata of two or more studies, and three effects in one of them, to compare variances",
            "read the intervals of tau2, which say how little is known",
        )
    if results.clusters is not None:
        raise InputError(
            "several effects of one study are not independent, and this test takes them so",
            "one effect per study",
            "choose one with metaexo.effects.one_per_study, or fit mx.Multilevel with a variance per level",
        )
    for stratum in strata:
        refuse_zero_variances(stratum.effects.row_ids, stratum.effects.v)


def _likelihood_ratio(ys: Sequence[Array], vs: Sequence[Array]) -> tuple[Array, Array, Array]:
    """Return the statistics (B,), variances by stratum (S, B) and the common ones (B,) of B data sets.

    Each stratum is an array of shape (B, k_s).
    """
    batches = [make_batch(y, v) for y, v in zip(ys, vs, strict=True)]
    tau2 = np.array([restricted_maximum_likelihood(batch).tau2 for batch in batches])
    x = np.repeat(np.eye(len(ys)), [y.shape[1] for y in ys], axis=0)
    joint = make_batch(np.concatenate(ys, axis=1), np.concatenate(vs, axis=1), x)
    common = restricted_maximum_likelihood(joint).tau2
    gain = sum(
        log_likelihood(batch, t, True) - log_likelihood(batch, common, True)
        for batch, t in zip(batches, tau2, strict=True)
    )
    return np.maximum(2 * gain, 0.0), tau2, common


def _bootstrap(vs: Sequence[Array], tau2: float, draws: int, rng: np.random.Generator) -> Array:
    """Return the statistics of data sets drawn with one variance for all, shape (draws,).

    The means are zero in every draw: the statistic is the same whatever they are.
    """
    rows = max(1, CHUNK_ELEMENTS // (sum(len(v) for v in vs) * SCAN_POINTS))
    parts = []
    for begin in range(0, draws, rows):
        size = min(rows, draws - begin)
        ys = [rng.standard_normal((size, len(v))) * np.sqrt(v + tau2) for v in vs]
        wide = [np.broadcast_to(v, y.shape) for v, y in zip(vs, ys, strict=True)]
        parts.append(_likelihood_ratio(ys, wide)[0])
    return np.concatenate(parts)
