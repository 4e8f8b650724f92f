r"""All subsets of the studies of one meta-analysis, or random ones, each with a fit of its own.

A unit is a study with one effect, or a cluster of effects that belong together. Subset i of all subsets
leaves out the units whose bits are set in i: subset 0 is the whole; the last number, with all bits set, would
be the empty subset and is not made.

Without moderators, let S be the sum of the weights w = 1 / v of some effects, m their weighted mean, Q
Cochran's statistic and E the sum of the products of all pairs of weights. For the union of two groups

.. math::

    S = S_1 + S_2, \quad m = m_1 + d\, S_2 / S, \quad Q = Q_1 + Q_2 + d^2 S_1 S_2 / S, \quad
    E = E_1 + E_2 + S_1 S_2, \qquad d = m_2 - m_1.

Only means are subtracted, so that Q and trace(P) = 2 E / S keep their digits however alike the effects of
a subset are. A table of all subsets of the first units, made by doubling, is merged with each subset of the
other units: a dozen operations on arrays that stay in the processor's cache.

For REML and ML the sums of w^a y^b at some values of tau2 that all subsets share are additive and come from
such tables too. They are what :func:`metaexo.numeric.likelihood.settled_between` needs to prove that the
likelihood has one maximum, and where; Newton's iteration, as in :mod:`metaexo.numeric.likelihood_maximum`,
refines it. PM and its relatives need no proof. A subset for which the proof or the digits do not suffice
goes to the kernel that a single fit uses, and so does everything else: moderators, weights, other estimators.

References
----------
Olkin, I., Dahabreh, I. J., Trikalinos, T. A. (2012). GOSH - a graphical display of study heterogeneity.
Research Synthesis Methods 3, 214-223. https://doi.org/10.1002/jrsm.1053
Chan, T. F., Golub, G. H., LeVeque, R. J. (1983). Algorithms for computing the sample variance: analysis and
recommendations. The American Statistician 37, 242-247. https://doi.org/10.1080/00031305.1983.10483115
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.likelihood import settled_between
from metaexo.numeric.moment_estimators import own_weights_fit
from metaexo.numeric.moments import FAR_APART, moments, weighted_fit
from metaexo.numeric.problem import Batch, make_batch
from metaexo.numeric.tails import chi2_median
from metaexo.numeric.tau2 import PART_ROWS
from metaexo.runs.counter import words
from metaexo.types import Array, Index, Mask

# Subsets that are worked on at a time, as a power of two; fewer if there are many rows, so that arrays of
# rows times subsets stay in the processor's cache.
LOW_UNITS, LEAST_UNITS, CACHED_ROWS = 11, 7, 1 << 17
BYTE = 8
# Effects that are so many times farther apart than the largest variance are left to the other kernel.
FAR_EFFECTS = 1e12
# What the state of a subset says: fitted, or why not; and, within this module, that it is yet to be fitted.
FITTED, EMPTY, TOO_FEW, RANK, NO_MAXIMUM, ZERO_VARIANCE, UNSOLVED = range(7)
# A difference that is so much smaller than what it is made of has lost too many digits: for a maximum, and
# for the inequalities of the proof, which must hold by a share that is above rounding error even so.
LOST, LOST_TO_PROOF, SLACK = 1e4, 1e5, 1e-9
# The first grid has this ratio between neighbouring values of v_min + tau2. It is refined, a few times, where
# more than a share of some subsets is not settled.
RATIO, UNSETTLED, REFINEMENTS, TRIED = 16.0, 0.01, 6, 512
# How often an interval that is not settled is halved, before the other kernel takes over.
HALVINGS = 12
# Share of columns of which all are kept, as to take them apart costs more.
MANY = 0.75
# The most evaluations of Newton's iteration, and the square of its last step that is rounding error.
STEPS, CLOSE = 12, 1e-15
TINY = 1e-300
# Columns of length 1 are independent if their least singular value is above RANK_TOLERANCE; if the least
# eigenvalue of their products is above CLEAR they are without further ado.
RANK_TOLERANCE, CLEAR = 1e-9, 1e-8
LIKELIHOODS, ROOTS = ("REML", "ML"), ("PM", "EB", "DLIT", "SJIT", "PMM")
ITERATED = LIKELIHOODS + ROOTS
NUMBERS = ("tau2", "i2", "h2", "q")
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Subsets:
    """Which units are in which subset: all subsets by the bits of their number, or random ones."""

    units: int
    draws: int | None = None  # None: all subsets but the empty one
    seed: int = 0

    @property
    def size(self) -> int:
        """Number of subsets."""
        return 2**self.units - 1 if self.draws is None else self.draws

    def members(self, begin: int, end: int) -> Mask:
        """Return which units are in subsets begin to end, shape (units, end - begin)."""
        if self.draws is not None:
            return random_members(self.seed, begin, end, self.units)
        numbers = np.arange(begin, end, dtype=np.int64)
        return np.asarray((numbers >> np.arange(self.units)[:, None]) & 1 == 0)


def random_members(seed: int, begin: int, end: int, units: int) -> Mask:
    """Return which units are in random subsets begin to end, each with probability 1/2, shape (units, n)."""
    drawn = words(seed, begin, end, -(-units // 64)).astype("<u8", copy=False)
    bits = np.unpackbits(drawn.view(np.uint8), axis=1, count=units, bitorder="little")
    return np.ascontiguousarray(bits.T).view(np.bool_)


# -------------------------------------------------------------------------------------------------- The task


@dataclass(frozen=True, eq=False)
class SubsetFits:
    """The fits of subsets, as a task for :func:`metaexo.runs.run`.

    `y`, `v`, shape (K,): effects and sampling variances. `unit`, shape (K,): unit of each row, from 0.
    `subsets`: which units are in which subset. `method`: estimator of tau2. `tau2`: a known one. `x`, shape
    (K, P): design; none for a mean alone. `weights`, shape (K,): user-supplied weights.
    """

    y: Array
    v: Array
    unit: Index
    subsets: Subsets
    method: str
    tau2: float | None = None
    x: Array | None = None
    weights: Array | None = None

    def __reduce__(self) -> tuple[Any, ...]:  # tables are made where they are needed
        return SubsetFits, tuple(getattr(self, field.name) for field in fields(self))

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return 1 if self.x is None else int(self.x.shape[1])

    def __call__(self, begin: int, end: int) -> Columns:
        """Return the columns of subsets begin to end: beta, shape (n, P), tau2, i2, h2, q, k and state."""
        n = end - begin
        out: Columns = {"beta": np.empty((n, self.p)), **{name: np.empty(n) for name in NUMBERS}}
        out |= {"k": np.empty(n, np.int32), "state": np.full(n, UNSOLVED, np.int8)}
        if self.is_plain:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                for cut, part in self.tables.parts(begin, end):
                    _put(out, cut, self.tables.fit(part))
            self._finish(begin, out)
        left = np.flatnonzero(out["state"] == UNSOLVED)
        if left.size:
            members = self.subsets.members(begin, end)
            step = max(1, PART_ROWS // (self.y.size * self.p))
            for at in range(0, left.size, step):
                these = left[at : at + step]
                _put(out, these, self.by_counts(members[:, these]))
        return out

    def _finish(self, begin: int, out: Columns) -> None:
        """Look longer at subsets whose likelihood was not shown to have one maximum."""
        left = np.flatnonzero(out["state"] == UNSOLVED)
        if left.size and self.method in LIKELIHOODS:
            members = self.subsets.members(begin, begin + out["state"].size)[:, left]
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                for at in range(0, left.size, self.tables.step):
                    cut = slice(at, at + self.tables.step)
                    part = self.tables.part_of(members[:, cut])
                    _put(out, left[cut], self.tables.fit(part, patient=True))

    @cached_property
    def is_plain(self) -> bool:
        """Whether there is nothing but a mean, and an estimator that has a way of its own here."""
        known = self.tau2 is not None or self.method in ("EE", "DL", *ITERATED)
        if self.x is not None or self.weights is not None or not known:
            return False
        least, most = float(self.v.min()), float(self.v.max())
        near = float(np.ptp(self.y)) <= math.sqrt(FAR_EFFECTS * most)
        return near and 0 < most <= FAR_APART * least

    @cached_property
    def tables(self) -> Tables:
        """What the subsets of a mean alone are made of."""
        return Tables(self)

    def by_counts(self, members: Mask) -> Columns:
        """Return the columns of some subsets by the kernel of single fits; a count of 0 leaves a row out."""
        counts = np.ascontiguousarray(members[self.unit].T, dtype=float)
        k, p = counts.sum(axis=1), self.p
        estimated = self.tau2 is None and self.method != "EE"
        state = np.where(k > 0, FITTED, EMPTY).astype(np.int8)
        state[(k > 0) & ((k < p) | (estimated & (k == p) & (p > 1)))] = TOO_FEW
        if self.x is not None:
            enough = np.flatnonzero(state == FITTED)
            state[enough[~full_rank(self.x, counts[enough])]] = RANK
        beta, numbers = np.full((k.size, p), np.nan), np.full((len(NUMBERS), k.size), np.nan)
        at = np.flatnonzero(state == FITTED)
        if at.size:
            batch = make_batch(self.y, self.v, self.x, counts[at], self.weights)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                beta[at], numbers[:, at], state[at] = self._of_batch(batch)
        beta[state != FITTED], numbers[:, state != FITTED] = np.nan, np.nan
        found = dict(zip(NUMBERS, numbers, strict=True))
        return {"beta": beta, **found, "k": k.astype(np.int32), "state": state}

    def _of_batch(self, batch: Batch) -> tuple[Array, Array, NDArray[np.int8]]:
        """Return coefficients, numbers and states of a batch."""
        df = batch.df
        tau2 = np.full(batch.size, 0.0 if self.tau2 is None else self.tau2)
        free = np.flatnonzero(df > 0)
        if self.tau2 is None and free.size:
            tau2[free] = get_estimator(self.method).tau2(batch.take(free))
        exact = ((batch.v == 0) & (batch.n > 0)).any(axis=1)
        state = np.where(np.isnan(tau2), NO_MAXIMUM, FITTED).astype(np.int8)
        state[exact & (tau2 == 0) & (df > 0)] = ZERO_VARIANCE
        if self.weights is not None:
            beta = own_weights_fit(batch, np.where(np.isnan(tau2), 1.0, tau2)).beta
        else:  # as many effects as coefficients are met exactly, whatever their weights
            total = batch.v + tau2[:, None]
            equal = (df == 0) | (state != FITTED)
            beta = weighted_fit(batch, 1.0 / np.where(equal[:, None], 1.0, total)).beta
        q, trace = np.where(exact & (df > 0), np.nan, np.zeros((2, batch.size)))
        sound = np.flatnonzero((df > 0) & ~exact)
        if sound.size:
            at_zero = moments(batch.take(sound), np.zeros(sound.size))
            q[sound], trace[sound] = at_zero.y_p_y, at_zero.trace_p
        return beta, np.array([tau2, *shares(self.method, tau2, q, df, trace), q]), state


def _put(out: Columns, where: Any, part: Columns) -> None:
    for name, values in part.items():
        out[name][where] = values


def shares(method: str, tau2: Array, q: Array, df: Array, trace: Array) -> tuple[Array, Array]:
    """Return I2, a fraction, and H2 from trace(P) at tau2 = 0; 0 and 1 without degrees of freedom."""
    divisor = np.maximum(df, 1.0)
    if method == "EE":
        return np.where(q > df, 1 - df / np.maximum(q, TINY), 0.0), np.where(df > 0, q / divisor, 1.0)
    ratio = tau2 * trace / divisor
    h2 = ratio + 1
    return ratio / h2, h2


def full_rank(x: Array, counts: Array) -> Mask:
    """Say in which subsets, counts of shape (B, K), the columns of x, shape (K, P), are independent."""
    p, basis = x.shape[1], np.linalg.qr(x)[0]
    products = counts @ (basis[:, :, None] * basis[:, None, :]).reshape(-1, p * p)
    values = np.linalg.eigvalsh(products.reshape(-1, p, p))
    full = np.asarray(values[:, 0] > CLEAR * values[:, -1])
    unclear = np.flatnonzero(~full)
    for begin in range(0, unclear.size, TRIED):
        these = unclear[begin : begin + TRIED]
        rows = counts[these][:, :, None] * x
        size = np.linalg.norm(rows, axis=1, keepdims=True)
        single = np.linalg.svd(rows / np.where(size > 0, size, 1.0), compute_uv=False)
        full[these] = single[:, -1] > RANK_TOLERANCE
    return full


# ------------------------------------------------------------------------------------------ Groups of units


class Group(NamedTuple):
    """What groups of units come to: arrays that broadcast."""

    total: Any  # the sum S of weights
    mean: Any  # the weighted mean
    q: Any  # Cochran's Q
    products: Any  # the sum E of products of two weights
    k: Any  # number of effects


def merged(one: Group, two: Group) -> Group:
    """Return what the unions of groups come to; NaN where both hold nobody."""
    total = one.total + two.total
    apart = two.mean - one.mean
    step = apart * (two.total / total)
    return Group(
        total,
        one.mean + step,
        one.q + two.q + step * apart * one.total,
        one.products + two.products + one.total * two.total,
        one.k + two.k,
    )


def table_of(units: Group) -> Group:
    """Return the groups of all subsets of units, arrays (U,), in the order of `Subsets`: arrays (2^U,)."""
    size = units.total.size
    table = np.zeros((5, 1 << size))
    for j, unit in enumerate(zip(*units, strict=True)):
        table[:, 1 << j : 2 << j] = merged(Group(*table[:, : 1 << j]), Group(*unit))
    return Group(*table[:, ::-1])  # so far bits stood for who is in


def sums_of(parts: Array) -> Array:
    """Return the sums of parts, shape (..., U), over all subsets of units, shape (..., 2^U)."""
    size = parts.shape[-1]
    table = np.zeros((*parts.shape[:-1], 1 << size))
    for j in range(size):
        np.add(table[..., : 1 << j], parts[..., j, None], out=table[..., 1 << j : 2 << j])
    return table[..., ::-1]


class Score(NamedTuple):
    """Means, and what the score of a likelihood is made of (see :mod:`metaexo.numeric.likelihood`)."""

    mean: Array
    mean_slope: Array  # minus the derivative of the mean with respect to tau2
    form: Array  # y'PPy
    form_slope: Array  # y'PPPy
    trace: Array  # trace(P), for ML trace(W)
    trace_slope: Array  # trace(PP), for ML trace(WW)
    lost: Mask  # where digits are lost


def score_of(sums: Any, restricted: bool, most: float = LOST_TO_PROOF) -> Score:
    """Return the score from the sums of w, w^2, w^3, wy, w^2 y, w^3 y, w^2 y^2 and w^3 y^2."""
    s1, s2, s3, b1, b2, b3, c2, c3 = sums
    inverse = 1.0 / s1
    mean = b1 * inverse
    second = b2 - mean * s2
    slope = second * inverse
    form = c2 - mean * (b2 + second)
    form_slope = c3 - mean * (2 * b3 - mean * s3) - second * slope
    lost = c2 > most * form  # no other part of it is much larger than the larger of these
    if not restricted:
        return Score(mean, slope, form, form_slope, s1, s2, lost)
    share = s2 * inverse
    trace, trace_slope = s1 - share, s2 - 2 * s3 * inverse + share * share
    return Score(mean, slope, form, form_slope, trace, trace_slope, lost | (s1 > most * trace))


class Points(NamedTuple):
    """The points of a scan on the grid, shape (G, n), as `likelihood.settled_between` takes them."""

    tau2: Array
    form: Array
    trace: Array
    rho: Array
    sigma: Array

    def at(self, place: Index, which: Index) -> Points:
        """Return the points at these places of the grid of these subsets."""
        return Points(self.tau2[place, 0], *(part[place, which] for part in self[1:]))

    def take(self, which: Index) -> Points:
        """Return some of a list of points."""
        return Points(*(part[which] for part in self))

    def joined(self, *others: Points) -> Points:
        """Return a list of points and others after it."""
        return Points(*(np.concatenate(parts) for parts in zip(self, *others, strict=True)))


def points_of(grid: Array, at: Score) -> Points:
    """Return the points of a scan from the score at them."""
    return Points(grid[:, None], at.form, at.trace, at.trace / at.trace_slope, at.form / at.form_slope)


def unsettled(points: Points, proved: int) -> tuple[Index, Index]:
    """Return the intervals of the grid, and their subsets, that are not settled.

    `proved`: number of intervals, from the last one, in which h is known to fall. It does in most of the
    others; what else may settle an interval is looked at where it does not.
    """
    end = points.tau2.size - proved
    tau2, rho, sigma = points.tau2[:end], points.rho[: end - 1], points.sigma[1:end]
    falls = 2 * rho + (tau2[1:] - tau2[:-1]) > (1 + SLACK) * sigma
    place, which = np.nonzero(~falls)
    left = ~settled_between(points.at(place, which), points.at(place + 1, which), SLACK)
    return place[left], which[left]


class Rows(NamedTuple):
    """The rows of some subsets: those that only some of them hold, and those that all of them hold."""

    v: Array  # (R, n): sampling variances, infinite where a subset does not hold the row
    shared: Array  # (F, 1): sampling variances of the rows that all of them hold
    powers: Array  # (3, R + F): ones, effects, and their squares

    def take(self, which: Index) -> Rows:
        """Return the rows of the subsets at `which`."""
        return self._replace(v=self.v.take(which, axis=1, mode="clip"))


class Part(NamedTuple):
    """Some subsets: what they come to, their rows, and their sums on the grid of tau2 if it is needed."""

    groups: Group
    rows: Rows
    sums: Array | None  # (8, G, n)


# ------------------------------------------------------------------------------------- Fits of a mean alone


class Tables:
    """What the subsets of a mean alone are made of, in units of the size of the sampling variances."""

    def __init__(self, fits: SubsetFits) -> None:
        self.subsets, self.method, self.of_row = fits.subsets, fits.method, fits.unit
        self.length = 2.0 ** round(0.5 * math.log2(float(np.median(fits.v))))
        self.v = fits.v / self.length**2
        self.centre = float(np.average(fits.y, weights=1.0 / self.v))
        self.y = (fits.y - self.centre) / self.length
        self.given = None if fits.tau2 is None else fits.tau2 / self.length**2
        self.powers = np.array([np.ones_like(self.y), self.y, self.y * self.y])
        self.scale = float(self.v.size / (1.0 / self.v).sum())
        self.units = self._units()
        self.likelihood = self.given is None and self.method in LIKELIHOODS
        self.restricted = self.method == "REML"
        self.grid, self.proved = self._grid() if self.likelihood else (np.zeros(0), 0)
        self.added = self._added(self.grid)
        most = LOW_UNITS
        while self.y.size << most > CACHED_ROWS and most > LEAST_UNITS:
            most -= 1
        self.low, self.step = min(self.subsets.units, most), 1 << most
        self.work = np.empty((2, self.y.size * self.step))
        self.sums = np.empty(8 * self.grid.size * self.step)
        if self.subsets.draws is None:
            self._double()

    @cached_property
    def by_byte(self) -> Group:
        """The groups of eight units at a time, (bytes, 256); a byte says which of them are left out."""
        cuts = [slice(at, at + BYTE) for at in range(0, self.subsets.units, BYTE)]
        tables = np.zeros((5, len(cuts), 1 << BYTE))
        for i, cut in enumerate(cuts):
            table = np.array(self._table(cut))
            tables[:, i, : table.shape[1]] = table
        return Group(*tables)

    def _table(self, cut: slice) -> Group:
        """Return the groups of all subsets of some units."""
        return table_of(Group(*(part[cut] for part in self.units)))

    def _units(self) -> Group:
        """Return what the rows of each unit come to, arrays (units,)."""
        size, nothing = self.subsets.units, np.zeros(self.y.size)
        rows = np.array([1.0 / self.v, self.y, nothing, nothing, nothing + 1.0])
        if size == self.y.size:
            return Group(*rows[:, np.argsort(self.of_row)])
        units = np.zeros((5, size))
        for unit, row in zip(self.of_row, rows.T, strict=True):
            units[:, unit] = merged(Group(*units[:, unit]), Group(*row))
        return Group(*units)

    def _added(self, grid: Array) -> Array:
        """Return what each unit adds to the sums at tau2, shape (8, G, units)."""
        w = 1.0 / (self.v + grid[:, None])
        w2, y = w * w, self.y
        rows = np.array([w, w2, w2 * w, w * y, w2 * y, w2 * w * y, w2 * y * y, w2 * w * y * y])
        return np.asarray(rows @ (self.of_row[:, None] == np.arange(self.subsets.units)).astype(float))

    def _double(self) -> None:
        """Make the tables of the first units and of the others: what they come to, their rows, their sums."""
        low = self.low
        self.low_groups, self.high_groups = self._table(slice(0, low)), self._table(slice(low, None))
        self.low_rows, self.high_rows = np.flatnonzero(self.of_row < low), np.flatnonzero(self.of_row >= low)
        self.low_v = np.full((self.low_rows.size, 1 << low), np.inf)
        for into, row in zip(self.low_v, self.low_rows, strict=True):
            into.reshape(-1, 2, 1 << self.of_row[row])[:, 0] = self.v[row]
        if self.likelihood:
            self.low_sums, self.high_sums = sums_of(self.added[..., :low]), sums_of(self.added[..., low:])

    def parts(self, begin: int, end: int) -> Iterator[tuple[slice, Part]]:
        """Yield the subsets in parts that stay in the cache, each with its place after `begin`."""
        for at in range(begin - begin % self.step, end, self.step):
            cut = slice(max(begin - at, 0), min(end - at, self.step))
            place = slice(at + cut.start - begin, at + cut.stop - begin)
            make = self._random_part if self.subsets.draws is not None else self._doubled_part
            yield place, make(at, cut)

    def _doubled_part(self, at: int, cut: slice) -> Part:
        high = at >> self.low
        rest = Group(*(part[high] for part in self.high_groups))
        groups = merged(Group(*(part[cut] for part in self.low_groups)), rest)
        shared = self.high_rows[(high >> (self.of_row[self.high_rows] - self.low)) & 1 == 0]
        powers = self.powers[:, np.concatenate([self.low_rows, shared])]
        rows = Rows(self.low_v[:, cut], self.v[shared][:, None], powers)
        sums = None
        if self.likelihood:
            n = cut.stop - cut.start
            sums = self.sums[: 8 * self.grid.size * n].reshape(8, -1, n)
            np.add(self.low_sums[..., cut], self.high_sums[..., high, None], out=sums)
        return Part(groups, rows, sums)

    def _random_part(self, at: int, cut: slice) -> Part:
        return self.part_of(self.subsets.members(at + cut.start, at + cut.stop))

    def part_of(self, members: Mask) -> Part:
        """Return any subsets, by which units are in each, shape (units, n)."""
        place = np.packbits(~members, axis=0, bitorder="little")
        groups = Group(*(np.take_along_axis(part, place, axis=1) for part in self.by_byte))
        while len(groups.total) > 1:
            half = len(groups.total) // 2
            pairs = merged(*(Group(*(x[i * half : (i + 1) * half] for x in groups)) for i in (0, 1)))
            pairs = pairs._replace(mean=np.nan_to_num(pairs.mean), q=np.nan_to_num(pairs.q))
            groups = Group(*(np.concatenate([a, b[2 * half :]]) for a, b in zip(pairs, groups, strict=True)))
        groups = Group(*(part[0] for part in groups))
        v = np.where(members[self.of_row], self.v[:, None], np.inf)
        sums = self.added @ members.astype(float) if self.likelihood else None
        return Part(groups, Rows(v, np.empty((0, 1)), self.powers), sums)

    def fit(self, part: Part, patient: bool = False) -> Columns:
        """Return the columns of some subsets; those that are left to the other kernel are UNSOLVED."""
        groups = part.groups
        df, trace = groups.k - 1, 2 * groups.products / groups.total
        tau2, mean, solved = self._highest(part) if patient else self._tau2(part, df, trace)
        i2, h2 = shares(self.method, tau2, groups.q, df, trace)
        state: Any = FITTED if solved is None else np.where(solved, FITTED, UNSOLVED)
        q, k = groups.q, groups.k
        if self.subsets.draws is not None and not k.all():
            nobody = k == 0
            state = np.where(nobody, EMPTY, state)
            tau2, mean, i2, h2, q = (np.where(nobody, np.nan, x) for x in (tau2, mean, i2, h2, q))
        beta, tau2 = (self.centre + self.length * mean)[:, None], tau2 * self.length**2
        return {"beta": beta, "tau2": tau2, "i2": i2, "h2": h2, "q": q, "k": k, "state": state}

    def _tau2(self, part: Part, df: Array, trace: Array) -> tuple[Array, Array, Mask | None]:
        """Return tau2, means, and which of them are solved; None if all are."""
        groups = part.groups
        if self.given is not None:
            tau2 = np.full(df.size, self.given)
            return tau2, self._means(part.rows, tau2), None
        if self.method == "EE":
            return np.zeros(df.size), groups.mean, None
        if self.method == "DL":
            tau2 = np.fmax((groups.q - df) / trace, 0.0)  # 0 for a single effect
            return tau2, np.where(tau2 > 0, self._means(part.rows, tau2), groups.mean), None
        if self.likelihood:
            return self._maxima(part)
        target = chi2_median(np.maximum(df, 1.0)) if self.method == "PMM" else df
        return self._roots(part, target)

    def _weights(self, rows: Rows, tau2: Array) -> Array:
        """Return 1 / (v + tau2), shape (R + F, n), 0 where a subset does not hold the row."""
        own, n = rows.v.shape
        w = self._room(0, rows.powers.shape[1], n)
        np.add(rows.v, tau2, out=w[:own])
        np.add(rows.shared, tau2, out=w[own:])
        return np.reciprocal(w, out=w)

    def _room(self, i: int, rows: int, n: int) -> Array:
        """Return room for an array, one of two that are used again and again."""
        size = rows * n
        return self.work[i, :size].reshape(rows, n) if size <= self.work.shape[1] else np.empty((rows, n))

    def _means(self, rows: Rows, tau2: Array) -> Array:
        """Return the means of subsets, each at its tau2."""
        total, first = rows.powers[:2] @ self._weights(rows, tau2)
        return np.asarray(first / total)

    def _sums(self, rows: Rows, tau2: Array, cubes: bool) -> tuple[Array, Array, Array | None]:
        """Return the sums of w, w^2 and w^3 times 1, y and y^2, each of shape (3, n)."""
        w = self._weights(rows, tau2)
        square = np.multiply(w, w, out=self._room(1, *w.shape))
        first, second = rows.powers @ w, rows.powers @ square
        return first, second, rows.powers @ np.multiply(square, w, out=square) if cubes else None

    def _roots(self, part: Part, target: Array) -> tuple[Array, Array, Mask]:
        """Return where Q is its target: Newton's iteration on 1 / Q, which is concave, rises to the root."""
        tau2, mean = np.zeros(target.size), part.groups.mean.copy()
        places = np.flatnonzero(part.groups.q > target)
        solved = np.ones(target.size, np.bool_)
        solved[places] = False
        rows = part.rows.take(places)
        for _ in range(STEPS):
            t, goal = tau2[places], target[places]
            (s1, b1, c1), (s2, b2, c2), _ = self._sums(rows, t, cubes=False)
            centre = b1 / s1
            q, second = c1 - centre * b1, b2 - centre * s2
            fall = c2 - centre * (b2 + second)
            step = (q - goal) * q / (goal * fall)
            lost = (c1 > LOST * q) | (c2 + centre * centre * s2 > LOST * fall)
            following = np.maximum(t + step, 0.0)
            close = step * step <= CLOSE * following * (following + self.scale)
            tau2[places], mean[places] = following, centre - step * second / s1
            solved[places] |= close & ~lost
            open_ = np.flatnonzero(~close & ~lost)
            if not open_.size:
                break
            if open_.size < MANY * places.size:
                places, rows = places[open_], rows.take(open_)
        return tau2, mean, solved

    # -- REML and ML -------------------------------------------------------------------------------------

    def _grid(self) -> tuple[Array, int]:
        """Return values of tau2 that settle nearly all subsets, and how many intervals need no proof.

        The first ones have a fixed ratio; intervals that are not settled for some subsets of a sample are
        halved. No score is positive above the last value: the sum of squares around the mean of k effects
        with the range d is at most (k - 1) d^2 / 2, from which the bound of `likelihood.upper_bound` follows.
        """
        least, most = float(self.v.min()), float(self.v.max())
        far = 0.5 * float(np.ptp(self.y)) ** 2
        end = 1.0000001 * 0.5 * (far + math.sqrt(far * far + 4 * far * (most - least))) - least
        end = max(end, least)  # of equal effects it is 0
        middle = min(max(most - 2 * least, 0.0), end)
        grid = np.unique(np.concatenate([spread(0.0, middle, least), spread(middle, end, least)]))
        tried = random_members(0, 0, TRIED, self.subsets.units).astype(float)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for _ in range(REFINEMENTS):
                at, proved = (
                    score_of(self._added(grid) @ tried, self.restricted),
                    int((grid[1:] > middle).sum()),
                )
                place, which = unsettled(points_of(grid, at), proved)
                sound = ~at.lost.any(axis=0) & (at.form > 0).all(axis=0)
                often = np.bincount(place[np.asarray(sound)[which]], minlength=grid.size) > UNSETTLED * TRIED
                if not often.any():
                    break
                poor = np.flatnonzero(often)
                between = np.sqrt((grid[poor] + least) * (grid[poor + 1] + least)) - least
                grid = np.sort(np.append(grid, between))
        return grid, int((grid[1:] > middle).sum())

    def _maxima(self, part: Part) -> tuple[Array, Array, Mask]:
        """Return the maxima of likelihoods that were shown to have one alone."""
        assert part.sums is not None
        groups, at = part.groups, score_of(part.sums, self.restricted)
        points = points_of(self.grid, at)
        rises = at.form > at.trace
        turns = rises[:-1] & ~rises[1:]
        sound = turns.sum(axis=0) + ~rises[0] == 1
        sound &= ~at.lost.any(axis=0)
        sound[unsettled(points, self.proved)[1]] = False
        # The form is at most Q / (v_min + tau2), and the trace at least df / (v_max + tau2): no score is
        # positive where Q is so small.
        solved = (sound & ~rises[0]) | (groups.q * self.v.max() <= (groups.k - 1) * self.v.min())
        tau2, mean = np.zeros(sound.size), groups.mean.copy()
        inner = sound & rises[0] & ~solved
        which, rows = np.flatnonzero(inner), part.rows
        if which.size:
            if which.size > MANY * inner.size:
                which = np.arange(inner.size)
            else:
                rows = rows.take(which)
            place = turns[:, which].argmax(axis=0)
            ends = points.at(place, which), points.at(place + 1, which)
            t, centre, found = self._refined(rows, *ends, inner[which])
            which = which[found]
            tau2[which], mean[which], solved[which] = t[found], centre[found], True
        return tau2, mean, solved

    def _highest(self, part: Part) -> tuple[Array, Array, Mask]:
        """Return the highest maxima of likelihoods that may have several; intervals are halved until settled.

        What is not settled then, or has lost digits, is left to the other kernel.
        """
        assert part.sums is not None
        groups, at = part.groups, score_of(part.sums, self.restricted)
        points, n = points_of(self.grid, at), groups.k.size
        solved, rises = np.asarray(~at.lost.any(axis=0)), at.form > at.trace
        open_ = np.zeros((self.grid.size - 1, n), dtype=np.bool_)
        place, which = unsettled(points, self.proved)
        open_[place, which] = True
        turns = np.nonzero(rises[:-1] & ~rises[1:] & ~open_)
        brackets = [(turns[1], points.at(*turns), points.at(turns[0] + 1, turns[1]))]
        low, high, least = points.at(place, which), points.at(place + 1, which), float(self.v.min())
        for _ in range(HALVINGS):
            t = np.sqrt((low.tau2 + least) * (high.tau2 + least)) - least
            here = self._score_at(part.rows.take(which), t)
            middle = points_of(t, here)._replace(tau2=t)
            solved[which[here.lost]] = False
            which = np.tile(which, 2)
            low, high = low.joined(middle), middle.joined(high)
            left = ~settled_between(low, high, SLACK)
            turns_here = np.flatnonzero(~left & (low.form > low.trace) & (high.form <= high.trace))
            brackets.append((which[turns_here], low.take(turns_here), high.take(turns_here)))
            left &= solved[which]
            which, low, high = which[left], low.take(left), high.take(left)
            if not which.size:
                break
        solved[which] = False
        return self._best(part, solved, ~rises[0], brackets)

    def _best(
        self, part: Part, solved: Mask, at_zero: Mask, brackets: list[tuple[Index, Points, Points]]
    ) -> tuple[Array, Array, Mask]:
        """Return the highest of the maxima in brackets and, where there is one, at 0, which wins a tie."""
        owner = np.concatenate([which for which, _, _ in brackets])
        low = Points.joined(*(points for _, points, _ in brackets))
        high = Points.joined(*(points for _, _, points in brackets))
        rows, zero = part.rows.take(owner), np.flatnonzero(at_zero)
        t, centre, found = self._refined(rows, low, high, np.ones(owner.size, dtype=np.bool_))
        least = np.full(at_zero.size, -np.inf)
        least[zero] = self._log_likelihood(part.rows.take(zero), np.zeros(zero.size))
        heights = self._log_likelihood(rows, t)
        rising = np.argsort(heights)  # of several values for one subset the last one stays
        rising = rising[heights[rising] > least[owner[rising]]]
        tau2, mean = np.zeros(at_zero.size), part.groups.mean.copy()
        tau2[owner[rising]], mean[owner[rising]] = t[rising], centre[rising]
        solved[owner[~found]] = False
        known = at_zero.copy()
        known[owner] = True
        return tau2, mean, solved & known

    def _log_likelihood(self, rows: Rows, tau2: Array) -> Array:
        """Return log-likelihoods of subsets, each at its tau2, but for what does not depend on tau2."""
        total = np.concatenate([rows.v + tau2, rows.shared + tau2])
        logs = np.log(np.where(np.isinf(total), 1.0, total)).sum(axis=0)
        (s1, b1, c1), _, _ = self._sums(rows, tau2, cubes=False)
        logs = logs + np.log(s1) if self.restricted else logs
        return np.asarray(-0.5 * (logs + c1 - b1 * b1 / s1))

    def _score_at(self, rows: Rows, tau2: Array) -> Score:
        """Return the score of subsets, each at its tau2."""
        (s1, b1, _), (s2, b2, c2), cubes = self._sums(rows, tau2, cubes=True)
        assert cubes is not None
        return score_of((s1, s2, cubes[0], b1, b2, cubes[1], c2, cubes[2]), self.restricted, LOST)

    def _refined(self, rows: Rows, low: Points, high: Points, wanted: Mask) -> tuple[Array, Array, Mask]:
        """Return the maxima in brackets, the means there, and which of those that are wanted were found.

        Newton's iteration is made on h = log(form / trace) as a function of log(tau2 + scale).
        """
        t, mean = self._first_guess(low, high), np.zeros(wanted.size)
        found, places = np.zeros(wanted.size, dtype=np.bool_), np.arange(wanted.size)
        least, most = low.tau2, high.tau2
        for _ in range(STEPS):
            now = t[places]
            at, moved = self._score_at(rows, now), now + self.scale
            h = 2 * (at.form - at.trace) / (at.form + at.trace)  # near the root log(form / trace)
            rate = (at.trace_slope / at.trace - 2 * at.form_slope / at.form) * moved
            following = np.clip(now + moved * np.expm1(np.clip(-h / rate, -4.0, 4.0)), least, most)
            step = following - now
            t[places], mean[places] = following, at.mean - step * at.mean_slope
            close = step * step <= CLOSE * following * (following + self.scale)
            found[places] |= wanted & close & ~at.lost & (rate < 0)
            open_ = np.flatnonzero(wanted & ~close & ~at.lost)
            if not open_.size:
                break
            if open_.size < MANY * places.size:
                places, rows, wanted = places[open_], rows.take(open_), wanted[open_]
                least, most = least[open_], most[open_]
        return t, mean, found

    def _first_guess(self, low: Points, high: Points) -> Array:
        """Return roots of h by inverse cubic interpolation; the middle of a bracket where that leaves it."""
        begin, end = low.tau2 + self.scale, high.tau2 + self.scale
        h = np.log(low.form / low.trace)
        rise, width = np.log(high.form / high.trace) - h, np.log(end / begin)
        m = rise / ((1 / low.rho - 2 / low.sigma) * begin)
        m_after = rise / ((1 / high.rho - 2 / high.sigma) * end)
        u = -h / rise
        cubic = u * ((1 - u) ** 2 * m + u * ((3 - 2 * u) * width - (1 - u) * m_after))
        inside = (cubic > 0) & (cubic < width)
        return np.asarray(low.tau2 + begin * np.expm1(np.where(inside, cubic, 0.5 * width)))


def spread(begin: float, end: float, least: float) -> Array:
    """Return values from begin to end, at most RATIO apart in v_min + tau2."""
    ratio = (end + least) / (begin + least)
    steps = max(math.ceil(math.log(ratio) / math.log(RATIO)), 1)
    grid = (begin + least) * ratio ** (np.arange(steps + 1) / steps) - least
    grid[0], grid[-1] = begin, end
    return grid
