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

# Subsets that are worked on at a time, as a power of two: their arrays stay in the processor's cache.
LOW_UNITS = 11
# What the state of a subset says: fitted, or why not; and, within this module, that it is yet to be fitted.
FITTED, EMPTY, TOO_FEW, RANK, NO_MAXIMUM, ZERO_VARIANCE, UNSOLVED = range(7)
# A difference that is so much smaller than what it is made of has lost digits.
LOST = 1e4
# By how much, as a share, inequalities of the proof must hold beyond rounding error.
SLACK = 1e-9
# The first grid has this ratio between neighbouring values of v_min + tau2. It is refined, a few times, where
# more than a share of some subsets is not settled.
RATIO, UNSETTLED, REFINEMENTS, TRIED = 16.0, 0.01, 6, 512
# The most evaluations of Newton's iteration, and the square of its last step that is rounding error.
STEPS, CLOSE = 12, 1e-15
TINY = 1e-300
# Columns of length 1 are independent if their least singular value is above RANK_TOLERANCE; if the least
# eigenvalue of their products is above CLEAR they are without further ado.
RANK_TOLERANCE, CLEAR = 1e-9, 1e-8
LIKELIHOODS, ROOTS = ("REML", "ML"), ("PM", "EB", "DLIT", "SJIT", "PMM")
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
        left = np.flatnonzero(out["state"] == UNSOLVED)
        if left.size:
            members = self.subsets.members(begin, end)
            step = max(1, PART_ROWS // (self.y.size * self.p))
            for at in range(0, left.size, step):
                these = left[at : at + step]
                _put(out, these, self.by_counts(members[:, these]))
        return out

    @cached_property
    def is_plain(self) -> bool:
        """Whether there is nothing but a mean, and an estimator that has a way of its own here."""
        known = self.tau2 is not None or self.method in ("EE", "DL", *LIKELIHOODS, *ROOTS)
        least, most = float(self.v.min()), float(self.v.max())
        return self.x is None and self.weights is None and known and 0 < most <= FAR_APART * least

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
            tau2[free] = get_estimator(self.method).kernel(batch.take(free)).tau2
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
    free = df > 0
    divisor = np.where(free, df, 1.0)
    if method == "EE":
        return np.where(free & (q > df), 1 - df / q, 0.0), np.where(free, q / divisor, 1.0)
    ratio = np.where(free, tau2 * trace / divisor, 0.0)
    return ratio / (1 + ratio), 1 + ratio


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


NOBODY = Group(0.0, 0.0, 0.0, 0.0, 0.0)


def merged(one: Group, two: Group) -> Group:
    """Return what the unions of groups come to."""
    total = one.total + two.total
    share = two.total / np.maximum(total, TINY)
    apart = two.mean - one.mean
    return Group(
        total,
        one.mean + apart * share,
        one.q + two.q + apart * apart * (one.total * share),
        one.products + two.products + one.total * two.total,
        one.k + two.k,
    )


def table_of(units: Group) -> Group:
    """Return the groups of all subsets of units, arrays (U,), in the order of `Subsets`: arrays (2^U,)."""
    table = Group(*np.zeros((5, 1)))
    for unit in zip(*units, strict=True):
        whole = merged(table, Group(*unit))
        table = Group(*(np.concatenate(pair) for pair in zip(whole, table, strict=True)))
    return table


def sums_of(parts: Array) -> Array:
    """Return the sums of parts, shape (..., U), over all subsets of units, shape (..., 2^U)."""
    table = np.zeros((*parts.shape[:-1], 1))
    for j in range(parts.shape[-1]):
        table = np.concatenate([table + parts[..., j, None], table], axis=-1)
    return table


class Score(NamedTuple):
    """Means, and what the score of a likelihood is made of (see :mod:`metaexo.numeric.likelihood`)."""

    mean: Array
    mean_slope: Array  # minus the derivative of the mean with respect to tau2
    form: Array  # y'PPy
    form_slope: Array  # y'PPPy
    trace: Array  # trace(P), for ML trace(W)
    trace_slope: Array  # trace(PP), for ML trace(WW)
    lost: Mask  # where digits are lost


def score_of(sums: Any, restricted: bool) -> Score:
    """Return the score from the sums of w, w^2, w^3, wy, w^2 y, w^3 y, w^2 y^2 and w^3 y^2."""
    s1, s2, s3, b1, b2, b3, c2, c3 = sums
    inverse = 1.0 / s1
    mean = b1 * inverse
    pull = mean * s2
    second = b2 - pull
    slope = second * inverse
    form = c2 - mean * (b2 + second)
    form_slope = c3 - mean * (2 * b3 - mean * s3) - second * slope
    lost = c2 + mean * pull > LOST * form
    if not restricted:
        return Score(mean, slope, form, form_slope, s1, s2, lost)
    share = s2 * inverse
    trace, trace_slope = s1 - share, s2 - 2 * s3 * inverse + share * share
    return Score(mean, slope, form, form_slope, trace, trace_slope, lost | (s1 > LOST * trace))


class Rows(NamedTuple):
    """The rows of some subsets: those that only some of them hold, and those that all of them hold."""

    v: Array  # (R, n): sampling variances, infinite where a subset does not hold the row
    shared: Array  # (F, 1): sampling variances of the rows that all of them hold
    powers: Array  # (3, R + F): ones, effects, and their squares

    def take(self, which: Index) -> Rows:
        """Return the rows of the subsets at `which`."""
        return self if which.size == self.v.shape[1] else self._replace(v=self.v.take(which, axis=1))


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
        units = [self._unit(np.flatnonzero(fits.unit == j)) for j in range(self.subsets.units)]
        self.units = Group(*np.array(units).T)
        self.likelihood = self.given is None and self.method in LIKELIHOODS
        self.restricted = self.method == "REML"
        self.grid: Array = np.zeros(0)
        self.known: Mask = np.zeros(0, dtype=np.bool_)
        if self.likelihood:
            self.grid, self.known = self._grid()
        self.added = self._added(self.grid)
        self.low = min(self.subsets.units, LOW_UNITS)
        self.step = 1 << LOW_UNITS
        self.work = np.empty((2, self.y.size * self.step))
        if self.subsets.draws is None:
            self._double()

    def _unit(self, rows: Index) -> Group:
        """Return what the rows of a unit come to."""
        group = NOBODY
        for i in rows:
            group = merged(group, Group(1.0 / self.v[i], self.y[i], 0.0, 0.0, 1.0))
        return group

    def _added(self, grid: Array) -> Array:
        """Return what each unit adds to the sums at tau2, shape (8, G, units)."""
        w = 1.0 / (self.v + grid[:, None])
        w2, y = w * w, self.y
        rows = np.array([w, w2, w2 * w, w * y, w2 * y, w2 * w * y, w2 * y * y, w2 * w * y * y])
        return np.asarray(rows @ (self.of_row[:, None] == np.arange(self.subsets.units)).astype(float))

    def _double(self) -> None:
        """Make the tables of all subsets of the first units, and of the other ones."""
        low = self.low
        self.low_groups = table_of(Group(*(part[:low] for part in self.units)))
        self.high_groups = table_of(Group(*(part[low:] for part in self.units)))
        self.low_rows, self.high_rows = np.flatnonzero(self.of_row < low), np.flatnonzero(self.of_row >= low)
        held = Subsets(low).members(0, 1 << low)[self.of_row[self.low_rows]]
        self.low_v = np.where(held, self.v[self.low_rows][:, None], np.inf)
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
        sums = self.low_sums[..., cut] + self.high_sums[..., high, None] if self.likelihood else None
        return Part(groups, rows, sums)

    def _random_part(self, at: int, cut: slice) -> Part:
        members = self.subsets.members(at + cut.start, at + cut.stop)
        groups = NOBODY
        for held, total, mean, q, products, k in zip(members, *self.units, strict=True):
            groups = merged(groups, Group(held * total, mean, held * q, held * products, held * k))
        v = np.where(members[self.of_row], self.v[:, None], np.inf)
        sums = self.added @ members.astype(float) if self.likelihood else None
        return Part(groups, Rows(v, np.empty((0, 1)), self.powers), sums)

    def fit(self, part: Part) -> Columns:
        """Return the columns of some subsets; those that are left to the other kernel are UNSOLVED."""
        groups = part.groups
        df, trace = groups.k - 1, 2 * groups.products / groups.total
        tau2, mean, solved = self._tau2(part, df, trace)
        single = df <= 0
        if self.given is None:
            tau2[single] = 0.0
        mean[single] = groups.mean[single]
        i2, h2 = shares(self.method, tau2, groups.q, df, trace)
        q = groups.q.copy()
        empty = groups.k == 0
        for column in (mean, tau2, i2, h2, q):
            column[empty] = np.nan
        state = np.where(solved | single, np.where(empty, EMPTY, FITTED), UNSOLVED)
        beta = (self.centre + self.length * mean)[:, None]
        return {
            "beta": beta,
            "tau2": tau2 * self.length**2,
            "i2": i2,
            "h2": h2,
            "q": q,
            "k": groups.k,
            "state": state,
        }

    def _tau2(self, part: Part, df: Array, trace: Array) -> tuple[Array, Array, Mask]:
        """Return tau2, means, and which of them are solved."""
        groups, every = part.groups, np.ones(df.size, np.bool_)
        if self.given is not None:
            tau2 = np.full(df.size, self.given)
            return tau2, self._means(part.rows, tau2), every
        if self.method == "EE":
            return np.zeros(df.size), groups.mean.copy(), every
        if self.method == "DL":
            tau2 = np.maximum((groups.q - df) / trace, 0.0)
            return tau2, np.where(tau2 > 0, self._means(part.rows, tau2), groups.mean), every
        if self.likelihood:
            return self._maxima(part)
        target = chi2_median(np.maximum(df, 1.0)) if self.method == "PMM" else df
        return self._roots(part, target)

    def _weights(self, rows: Rows, tau2: Array) -> Array:
        """Return 1 / (v + tau2), shape (R + F, n), 0 where a subset does not hold the row."""
        own, n = rows.v.shape
        w = self.work[0, : rows.powers.shape[1] * n].reshape(-1, n)
        np.add(rows.v, tau2, out=w[:own])
        np.add(rows.shared, tau2, out=w[own:])
        return np.reciprocal(w, out=w)

    def _means(self, rows: Rows, tau2: Array) -> Array:
        """Return the means of subsets, each at its tau2."""
        total, first = rows.powers[:2] @ self._weights(rows, tau2)
        return np.asarray(first / total)

    def _sums(self, rows: Rows, tau2: Array, cubes: bool) -> tuple[Array, Array, Array | None]:
        """Return the sums of w, w^2 and w^3 times 1, y and y^2, each of shape (3, n)."""
        w = self._weights(rows, tau2)
        square = np.multiply(w, w, out=self.work[1, : w.size].reshape(w.shape))
        first, second = rows.powers @ w, rows.powers @ square
        return first, second, rows.powers @ np.multiply(square, w, out=square) if cubes else None

    def _roots(self, part: Part, target: Array) -> tuple[Array, Array, Mask]:
        """Return where Q is its target: Newton's iteration on 1 / Q, which is concave, rises to the root."""
        tau2, mean = np.zeros(target.size), part.groups.mean.copy()
        which = np.flatnonzero(part.groups.q > target)
        solved = np.ones(target.size, np.bool_)
        solved[which] = False
        t, goal = np.zeros(which.size), target[which]
        rows = part.rows.take(which)
        for _ in range(STEPS if which.size else 0):
            (s1, b1, c1), (s2, b2, c2), _ = self._sums(rows, t, cubes=False)
            centre = b1 / s1
            q, second = c1 - centre * b1, b2 - centre * s2
            fall = c2 - centre * (b2 + second)
            step = (q - goal) * q / (goal * fall)
            lost = (c1 > LOST * q) | (c2 + centre * centre * s2 > LOST * fall)
            t = np.maximum(t + step, 0.0)
            close = step * step <= CLOSE * t * (t + self.scale)
            if (close | lost).all():
                break
        if which.size:
            tau2[which], mean[which] = t, centre - step * second / s1
            solved[which] = close & ~lost
        return tau2, mean, solved

    # -- REML and ML -------------------------------------------------------------------------------------

    def _grid(self) -> tuple[Array, Mask]:
        """Return values of tau2 that settle nearly all subsets, and the intervals that need no proof.

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
                at = score_of(self._added(grid) @ tried, self.restricted)
                settled = self._settled(self._points(grid, at), grid[:-1] >= middle)
                sound = ~at.lost.any(axis=0) & (at.form > 0).all(axis=0)
                poor = np.flatnonzero((~settled & sound).sum(axis=1) > UNSETTLED * TRIED)
                if not poor.size:
                    break
                between = np.sqrt((grid[poor] + least) * (grid[poor + 1] + least)) - least
                grid = np.sort(np.append(grid, between))
        return grid, grid[:-1] >= middle

    @staticmethod
    def _points(grid: Array, at: Score) -> Array:
        """Return what describes points of the scan, shape (5, G, n): tau2, form, trace, rho and sigma."""
        out = np.empty((5, *at.form.shape))
        out[0], out[1], out[2] = grid[:, None], at.form, at.trace
        np.divide(at.trace, at.trace_slope, out=out[3])
        np.divide(at.form, at.form_slope, out=out[4])
        return out

    @staticmethod
    def _settled(points: Array, known: Mask) -> Mask:
        """Say which intervals of the grid are settled, shape (G - 1, n)."""
        return np.asarray(settled_between(points[:, :-1], points[:, 1:], SLACK) | known[:, None])

    def _maxima(self, part: Part) -> tuple[Array, Array, Mask]:
        """Return the maxima of likelihoods that were shown to have one alone."""
        at = score_of(part.sums, self.restricted)
        points = self._points(self.grid, at)
        rises = at.form > at.trace
        turns = rises[:-1] & ~rises[1:]
        one = turns.sum(axis=0) + ~rises[0] == 1
        sound = one & self._settled(points, self.known).all(axis=0) & ~at.lost.any(axis=0)
        # equal effects: the score is negative throughout
        solved = (sound & ~rises[0]) | (part.groups.q == 0)
        tau2, mean = np.zeros(one.size), part.groups.mean.copy()
        which = np.flatnonzero(sound & rises[0])
        if which.size:
            place = turns[:, which].argmax(axis=0)
            ends = points[:, place, which], points[:, place + 1, which]
            tau2[which], mean[which], solved[which] = self._refined(part.rows.take(which), *ends)
        return tau2, mean, solved

    def _refined(self, rows: Rows, low: Array, high: Array) -> tuple[Array, Array, Mask]:
        """Return the maxima in brackets, the means there, and which were found.

        Newton's iteration is made on h = log(form / trace) as a function of log(tau2 + scale).
        """
        t = self._first_guess(low, high)
        for _ in range(STEPS):
            (s1, b1, _), (s2, b2, c2), cubes = self._sums(rows, t, cubes=True)
            assert cubes is not None
            at = score_of((s1, s2, cubes[0], b1, b2, cubes[1], c2, cubes[2]), self.restricted)
            moved = t + self.scale
            h = 2 * (at.form - at.trace) / (at.form + at.trace)  # near the root log(form / trace)
            rate = (at.trace_slope / at.trace - 2 * at.form_slope / at.form) * moved
            following = np.clip(t + moved * np.expm1(np.clip(-h / rate, -4.0, 4.0)), low[0], high[0])
            step = following - t
            t = following
            close = step * step <= CLOSE * t * (t + self.scale)
            if (close | at.lost).all():
                break
        return t, at.mean - step * at.mean_slope, close & ~at.lost & (rate < 0)

    def _first_guess(self, low: Array, high: Array) -> Array:
        """Return roots of h by inverse cubic interpolation; the middle of a bracket where that leaves it."""
        begin, end = low[0] + self.scale, high[0] + self.scale
        h, h_after = np.log(low[1] / low[2]), np.log(high[1] / high[2])
        rise, width = h_after - h, np.log(end / begin)
        m, m_after = (rise / ((1 / at[3] - 2 / at[4]) * x) for at, x in ((low, begin), (high, end)))
        u = -h / rise
        cubic = u * ((1 - u) ** 2 * m + u * ((3 - 2 * u) * width - (1 - u) * m_after))
        inside = (cubic > 0) & (cubic < width)
        return np.asarray(low[0] + begin * np.expm1(np.where(inside, cubic, 0.5 * width)))


def spread(begin: float, end: float, least: float) -> Array:
    """Return values from begin to end, at most RATIO apart in v_min + tau2."""
    ratio = (end + least) / (begin + least)
    steps = max(math.ceil(math.log(ratio) / math.log(RATIO)), 1)
    grid = (begin + least) * ratio ** (np.arange(steps + 1) / steps) - least
    grid[0], grid[-1] = begin, end
    return grid
