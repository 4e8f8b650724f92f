"""Models with arranged data: their statistics, how many are extreme, and intervals by inversion of the test.

A model flips the signs of units, or gives their places in the design to other units, and refits: a model of
one level in batches, others one by one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import ConvergenceError, InputError
from metaexo.models.univariate.inference import scale_of_test
from metaexo.numeric.arrangements import NOTHING, TIE, Orders, share_of, sign_patterns
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.mixed.likelihood import GeneralisedFit, generalised_fit
from metaexo.numeric.mixed.problem import MixedProblem
from metaexo.numeric.mixed.structured import maximise as maximise_mixed
from metaexo.numeric.moments import MOST_COLUMNS, small_inverses, weighted_fit
from metaexo.numeric.problem import Batch, make_batch
from metaexo.numeric.scale.batched import many_maxima
from metaexo.numeric.scale.likelihood import make_likelihood
from metaexo.numeric.scale.maximum import maximise as maximise_scale
from metaexo.numeric.tau2 import PART_ROWS
from metaexo.numeric.weighted import weighted_least_squares
from metaexo.runs import run
from metaexo.runs.counter import orders as drawn_orders
from metaexo.runs.counter import signs as drawn_signs
from metaexo.types import Array, Index

# Arrangements of models that are fitted one by one, per block.
SLOW_BLOCK = 16
# The same of location-scale models with a log link.
SCALE_BLOCK = 128
# Drawn arrangements that are made at once where only some of them are needed.
SPAN = 8_192
# Ends of intervals: doublings of the first step, relative width of the last bracket, and from how many
# arrangements on a first look is taken at a sample.
DOUBLINGS, NARROW, MANY, SAMPLE = 40, 1e-9, 20_000, 2_000


# -- models --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ArrangedModel(ABC):
    """A model, and the statistics of its coefficients and joint tests where data are arranged in another way.

    An arrangement flips the signs of whole units, or gives each unit's place in the design to another unit.
    """

    y: Array  # (k,): effects
    x: Array  # (k, p): the design whose coefficients are tested
    unit: Index  # (k,): unit of each row
    joint: tuple[Index, ...]  # columns of each joint test

    def quick(self, of_signs: bool) -> bool:
        """Whether many arrangements are fitted at once; then none without a statistic is let pass.

        Arrangements are signs of units, or else orders.
        """
        return False

    def block(self, of_signs: bool) -> int:
        """Return the number of arrangements per block."""
        return SLOW_BLOCK

    @property
    def units(self) -> int:
        """Number of units."""
        return int(self.unit.max()) + 1

    @property
    def columns(self) -> list[Index]:
        """The columns of each test: of coefficients one by one, then of joint tests."""
        return [*np.arange(self.x.shape[1])[:, None], *self.joint]

    def flipped(self, base: Array, rest: Array, signs: Array) -> Array:
        """Return statistics, shape (B, S), where `rest`, with signs of units (B, U), is added to `base`."""
        return np.array([self._safely(base + one * rest, self.x) for one in signs[:, self.unit]])

    def moved(self, base: Array, rest: Array, orders: Array) -> Array:
        """Return statistics, shape (B, S), where places of the design have the units of orders, (B, U).

        What is permuted is `rest`, with all that belongs to it; `base` belongs to the design.
        """
        firsts = np.unique(self.unit, return_index=True)[1]
        rows = self.x[firsts]
        out = []
        for order in orders:
            place = np.argsort(order)[self.unit]  # of each row: the unit whose place its own unit has
            out.append(self._safely(rest + base[firsts][place], rows[place]))
        return np.array(out)

    def _safely(self, y: Array, x: Array) -> Array:
        """Return the statistics; NaN where there is no fit."""
        try:
            return self.statistics(y, x)
        except ConvergenceError:
            return np.full(len(self.columns), np.nan)

    @abstractmethod
    def statistics(self, y: Array, x: Array) -> Array:
        """Return the statistics of one set of effects and one design, shape (S,)."""

    def fitted_without(self, y: Array, columns: Index) -> Array:
        """Return the fitted values of the model without some columns, shape (k,)."""
        raise InputError(f"{self.__class__.__name__} has no residuals to arrange", 'scheme="rows"')


@dataclass(frozen=True, eq=False)
class ArrangedOneLevel(ArrangedModel):
    """A random-effects model of one level; its arrangements are fitted as a batch."""

    v: Array
    method: str
    test: str
    tau2: float | None  # where it is given
    mean_alone: bool

    def quick(self, of_signs: bool) -> bool:
        """Whether a batch is arranged at once: signs always, orders if all units have as many rows."""
        return of_signs or self._members is not None

    def block(self, of_signs: bool) -> int:
        """Return the number of arrangements per block: as many as a part of a batch."""
        return max(1, PART_ROWS // self.y.size) if self.quick(of_signs) else SLOW_BLOCK

    @property
    def _members(self) -> Index | None:
        """The rows of each unit, shape (U, n), if all have as many."""
        counts = np.bincount(self.unit)
        if (counts != counts[0]).any():
            return None
        return np.argsort(self.unit, kind="stable").reshape(counts.size, -1)

    def flipped(self, base: Array, rest: Array, signs: Array) -> Array:
        """Return the statistics of a batch of flipped effects."""
        y = base + signs[:, self.unit] * rest
        return self._of_batch(make_batch(y, np.broadcast_to(self.v, y.shape), self._design), y)

    def moved(self, base: Array, rest: Array, orders: Array) -> Array:
        """Return the statistics of a batch of permuted effects, each with its variance."""
        members = self._members
        if members is None:
            return super().moved(base, rest, orders)
        rows = np.empty((len(orders), self.y.size), dtype=np.intp)
        rows[:, members.ravel()] = members[orders].reshape(len(orders), -1)
        y = base + rest[rows]
        return self._of_batch(make_batch(y, self.v[rows], self._design), y)

    def statistics(self, y: Array, x: Array) -> Array:
        """Return the statistics of one fit."""
        return np.asarray(self._of_batch(make_batch(y, self.v, x), y[None])[0])

    def fitted_without(self, y: Array, columns: Index) -> Array:
        """Return the fitted values of the model without some columns."""
        x = np.delete(self.x, columns, axis=1)
        if not x.shape[1]:
            return np.zeros(y.size)
        batch = make_batch(y, self.v, x)
        return np.asarray(x @ weighted_fit(batch, 1.0 / (batch.v + self._tau2(batch)[:, None])).beta[0])

    @property
    def _design(self) -> Array | None:
        return None if self.mean_alone else self.x

    def _tau2(self, batch: Batch) -> Array:
        if self.tau2 is not None:
            return np.full(batch.size, self.tau2)
        return get_estimator(self.method).tau2(batch)

    def _of_batch(self, batch: Batch, y: Array) -> Array:
        """Return the statistics of a batch made of effects y, shape (B, k)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            wls = weighted_fit(batch, 1.0 / (batch.v + self._tau2(batch)[:, None]))
        scale = scale_of_test(self.test, wls.weighted_ss, batch.df)
        reach = np.abs(self.x).max(axis=0)
        beta = wls.beta
        beta = np.where(np.abs(beta) * reach <= NOTHING * np.abs(y).max(axis=-1, keepdims=True), 0.0, beta)
        return _wald(beta, wls.cov, self.joint, scale)


@dataclass(frozen=True, eq=False)
class ArrangedMultilevel(ArrangedModel):
    """A multilevel model; its arrangements are fitted one by one."""

    problem: MixedProblem
    restricted: bool
    fixed: dict[int, float]

    def statistics(self, y: Array, x: Array) -> Array:
        """Return the statistics of one fit."""
        found = self._fit(y, x)
        return np.asarray(_wald(found.beta[None], found.cov[None], self.joint)[0])

    def fitted_without(self, y: Array, columns: Index) -> Array:
        """Return the fitted values of the model without some columns."""
        x = np.delete(self.x, columns, axis=1)
        return np.asarray(x @ self._fit(y, x).beta) if x.shape[1] else np.zeros(y.size)

    def _fit(self, y: Array, x: Array) -> GeneralisedFit:
        problem = replace(self.problem, y=y, x=x)
        found = maximise_mixed(problem, self.restricted, self.fixed, certify=False)
        if isinstance(found, tuple):
            raise ConvergenceError(
                "the model cannot be fitted to one of the arrangements of the data",
                "a likelihood with a maximum in all of them",
                "use a simpler model of the random effects",
                rows=found,
            )
        return generalised_fit(problem, problem.matrices(found.theta))


@dataclass(frozen=True, eq=False)
class ArrangedLocationScale(ArrangedModel):
    """A location-scale model: `x` is the design of the part that is tested, `other` that of the other."""

    v: Array
    other: Array
    of_scale: bool
    link: str
    restricted: bool

    def block(self, of_signs: bool) -> int:
        """Return the number of arrangements per block: many with a log link."""
        return SCALE_BLOCK if self._together else SLOW_BLOCK

    @property
    def _together(self) -> bool:
        """Whether arrangements are fitted many at a time."""
        return self.link == "log" and self.x.shape[1] + self.other.shape[1] <= MOST_COLUMNS

    def flipped(self, base: Array, rest: Array, signs: Array) -> Array:
        """Return the statistics of flipped effects."""
        y = base + signs[:, self.unit] * rest
        return self._many(y, np.broadcast_to(self.x, (len(y), *self.x.shape)))

    def moved(self, base: Array, rest: Array, orders: Array) -> Array:
        """Return the statistics where rows of the tested design are permuted."""
        firsts = np.unique(self.unit, return_index=True)[1]
        place = np.argsort(orders, axis=1)[:, self.unit]
        return self._many(rest + base[firsts][place], self.x[firsts][place])

    def _many(self, y: Array, x: Array) -> Array:
        """Return the statistics, shape (B, S), of effects y, shape (B, k), and designs x, shape (B, k, p)."""
        if not self._together:
            return np.array([self._safely(*one) for one in zip(y, x, strict=True)])
        other = np.broadcast_to(self.other, (len(y), *self.other.shape))
        location, scale = (other, x) if self.of_scale else (x, other)
        v = np.broadcast_to(self.v, y.shape)
        start = np.full(len(y), self._start(self.y, self.other if self.of_scale else self.x))
        found = many_maxima(y, v, location, scale, self.restricted, start)
        if self.of_scale:
            out = self._of_scale(found.coefficients, found.cov)
        else:
            root = 1.0 / np.sqrt(v + found.tau2)[..., None]
            q, upper = np.linalg.qr(np.where(np.isnan(root), 1.0, root) * location)
            inverse = np.linalg.inv(upper)
            beta = (inverse @ (np.swapaxes(q, 1, 2) @ (root * y[..., None])))[..., 0]
            out = _wald(beta, inverse @ np.swapaxes(inverse, 1, 2), self.joint)
        for b in np.flatnonzero(~found.certified):
            out[b] = self._safely(y[b], x[b])
        return out

    def _start(self, y: Array, location: Array) -> float:
        """Return the between-study variance of the model with one for all."""
        kernel = get_estimator("REML" if self.restricted else "ML").kernel
        return float(kernel(make_batch(y, self.v, location)).tau2[0])

    def _of_scale(self, coefficients: Array, cov: Array) -> Array:
        """Return the statistics of scale coefficients.

        On the way to an infinite one the standard error grows beyond all bounds of the coefficient: its
        statistic is 0 there.
        """
        finite = np.isfinite(coefficients)
        both = finite[:, :, None] & finite[:, None, :]
        beta = np.where(finite, coefficients, 0.0)
        return _wald(beta, np.where(both, cov, np.eye(finite.shape[1])), self.joint)

    def statistics(self, y: Array, x: Array) -> Array:
        """Return the statistics of one fit, from the search for single problems."""
        location, scale = (self.other, x) if self.of_scale else (x, self.other)
        model = make_likelihood(location, y, self.v, scale, self.link, self.restricted)
        maximum = maximise_scale(model, self._start(y, location))
        if self.of_scale:
            return np.asarray(self._of_scale(maximum.coefficients[None], maximum.cov[None])[0])
        wls = weighted_least_squares(location, y, self.v + maximum.tau2)
        return np.asarray(_wald(wls.beta[None], wls.cov[None], self.joint)[0])


def _wald(beta: Array, cov: Array, joint: Sequence[Index], scale: Array | None = None) -> Array:
    """Return statistics of coefficients and of joint tests, shape (B, S).

    `beta`, shape (B, p); `cov`, shape (B, p, p), to be multiplied by `scale`, shape (B,).
    """
    unit = np.ones(len(beta)) if scale is None else scale
    out = [_over(beta, np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1) * unit[:, None]))]
    for columns in joint:
        if columns.size == 1:
            out.append(out[0][:, columns] ** 2)
            continue
        some = beta[:, columns]
        part = np.moveaxis(cov[:, columns[:, None], columns], 0, -1)
        inverse, clear, _ = small_inverses(part)
        with np.errstate(invalid="ignore", over="ignore"):
            size = ((inverse * some.T).sum(axis=1) * some.T).sum(axis=0)
        for b in np.flatnonzero(~clear & np.isfinite(part).all(axis=(0, 1))):
            size[b] = some[b] @ np.linalg.lstsq(part[:, :, b], some[b], rcond=None)[0]
        size[~np.isfinite(part).all(axis=(0, 1))] = np.nan
        out.append(_over(size, unit)[:, None])
    return np.hstack(out)


def _over(size: Array, spread: Array) -> Array:
    """Return a size over its spread: infinite without spread; 0, the least extreme, where the size is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where((size == 0) & ~np.isnan(spread), 0.0, size / spread))


# -- arrangements and counts ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choices:
    """What was asked for."""

    draws: int | None
    alternative: str
    two_sided: str
    limit: int | None
    seed: int
    level: float
    intervals: tuple[str, ...]
    statistics: bool
    progress: bool | None


@dataclass(frozen=True, eq=False)
class Experiment:
    """A model with its arrangements: all of them, or drawn ones."""

    model: ArrangedModel
    scheme: str
    tested: tuple[bool, ...]  # which tests the scheme has
    drawn: int  # how many are drawn; 0: all are fitted
    seed: int
    orders: Orders | None  # of the units; None where signs are flipped

    @property
    def quick(self) -> bool:
        """Whether many arrangements are fitted at once; then none without a statistic is let pass."""
        return self.model.quick(self.orders is None)

    @property
    def block(self) -> int:
        """Arrangements per block."""
        return self.model.block(self.orders is None)

    @property
    def number(self) -> int:
        """Number of distinct arrangements."""
        return 2**self.model.units if self.orders is None else self.orders.count

    @property
    def mirrored(self) -> bool:
        """Whether all signs of the effects are flipped: those of the other half give minus the statistics."""
        return self.scheme == "signs" and not self.drawn

    @property
    def size(self) -> int:
        """How many arrangements are fitted."""
        return self.drawn or self.number // (2 if self.mirrored else 1)

    def unfolded(self, statistics: Array) -> Array:
        """Return the statistics of the arrangements that were fitted, and of those that mirror them."""
        if not self.mirrored:
            return statistics
        other = statistics.copy()
        other[:, : self.model.x.shape[1]] *= -1
        return np.concatenate([statistics, other])

    def arrangements(self, numbers: Index) -> NDArray[Any]:
        """Return the arrangements of rising numbers, shape (B, U)."""
        units = self.model.units
        if self.orders is None and not self.drawn:
            return sign_patterns(numbers, units)
        if self.orders is not None and not self.drawn:
            return self.orders.at(numbers)
        draw = drawn_signs if self.orders is None else drawn_orders
        cuts = np.flatnonzero(np.diff(numbers // SPAN)) + 1
        parts = [
            draw(self.seed, int(part[0]), int(part[-1]) + 1, units)[part - part[0]]
            for part in np.split(numbers, cuts)
        ]
        return np.concatenate(parts)

    @property
    def of_data(self) -> NDArray[Any]:
        """The arrangement of the data, shape (1, U)."""
        units = self.model.units
        return np.ones((1, units)) if self.orders is None else np.arange(units)[None]

    def statistics(self, arrangements: NDArray[Any], y: Array) -> Array:
        """Return statistics, shape (B, S), where the effects are y; NaN for tests that the scheme lacks."""
        arrange = self.model.flipped if self.orders is None else self.model.moved
        nothing = np.zeros(y.size)
        if self.scheme in ("signs", "rows"):
            return arrange(nothing, y, arrangements)
        out = np.full((len(arrangements), len(self.tested)), np.nan)
        for j, columns in enumerate(self.model.columns):
            if self.tested[j]:
                base = self.model.fitted_without(y, columns)
                out[:, j] = arrange(base, y - base, arrangements)[:, j]
        return out


@dataclass(frozen=True, eq=False)
class StatisticsTask:
    """The task that returns the statistics of arrangements."""

    experiment: Experiment

    def __call__(self, begin: int, end: int) -> dict[str, Array]:
        """Return the column of statistics of the arrangements from begin to end."""
        experiment = self.experiment
        arrangements = experiment.arrangements(np.arange(begin, end))
        return {"statistics": experiment.statistics(arrangements, experiment.model.y)}


@dataclass(frozen=True, eq=False)
class CountsTask:
    """The task that counts arrangements as large, as small, as far from 0, and undefined: shape (4, S)."""

    experiment: Experiment
    observed: Array

    def __call__(self, begin: int, end: int) -> Index:
        """Return the counts of the arrangements from begin to end."""
        return self.of(self.experiment.unfolded(StatisticsTask(self.experiment)(begin, end)["statistics"]))

    def of(self, values: Array) -> Index:
        """Return the counts of statistics, shape (B, S)."""
        large, small, both = (
            _extreme(values, self.observed, how) for how in ("greater", "less", "two-sided")
        )
        return np.array([part.sum(axis=0) for part in (large, small, both, np.isnan(values))])


def _extreme(values: Array, observed: Array, alternative: str) -> Any:
    """Return which statistics are at least as extreme as those of the data; undefined ones are."""
    direct = {"two-sided": np.abs, "greater": np.positive, "less": np.negative}[alternative]
    sizes, seen = direct(values), direct(observed)
    with np.errstate(invalid="ignore"):
        bound = np.where(np.isinf(seen), seen, seen - TIE * np.abs(seen))
    return (sizes >= bound) | np.isnan(sizes)


# -- intervals -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Flags:
    """The task that says of arrangements whether they are extreme for one coefficient at a null value.

    A mirrored arrangement stands for two: 0, 1 or 2 of them are extreme.
    """

    experiment: Experiment
    numbers: Index
    y: Array
    observed: float
    column: int
    alternative: str

    def __call__(self, begin: int, end: int) -> dict[str, Any]:
        arrangements = self.experiment.arrangements(self.numbers[begin:end])
        values = self.experiment.statistics(arrangements, self.y)[:, self.column]
        flags = _extreme(values, np.array(self.observed), self.alternative).astype(np.int8)
        if self.experiment.mirrored:
            flags += _extreme(-values, np.array(self.observed), self.alternative)
        return {"flags": flags}


@dataclass(frozen=True, eq=False)
class Inversion:
    """The p-value of one coefficient by its null value, with the same arrangements throughout."""

    experiment: Experiment
    column: int
    alternative: str
    error_rate: float  # the p-value at the ends of the interval
    progress: bool | None

    def flags(self, value: float, numbers: Index) -> Array:
        """Return how many of each arrangement are extreme where the coefficient is `value`."""
        model = self.experiment.model
        y = model.y - value * model.x[:, self.column]
        observed = self.experiment.statistics(self.experiment.of_data, y)[0, self.column]
        task = _Flags(self.experiment, numbers, y, float(observed), self.column, self.alternative)
        found = run(
            task, numbers.size, block=self.experiment.block, progress=self.progress, what="arrangements"
        )
        return np.asarray(found["flags"])

    def rejected(self, flags: Array) -> bool:
        """Say whether the p-value of these arrangements is at most the error rate."""
        fitted = flags.size * (2 if self.experiment.mirrored else 1)
        drawn = bool(self.experiment.drawn) or flags.size < self.experiment.size
        return share_of(int(flags.sum()), fitted, drawn) <= self.error_rate * (1 + TIE)

    def end(self, inside: float, step: float) -> float:
        """Return the end of the interval in the direction of `step`, from a value inside it."""
        every = np.arange(self.experiment.size)
        if every.size > MANY:
            sample = np.random.default_rng(self.experiment.seed).choice(every, SAMPLE, replace=False)
            near = self._outwards(inside, step, np.sort(sample), 1e-3)
            if np.isfinite(near):
                return self._around(inside, near, every)
        return self._outwards(inside, step, every, NARROW)

    def _outwards(self, inside: float, step: float, numbers: Index, narrow: float) -> float:
        """Return the end, looked for in steps that double."""
        accepted, flags = inside, self.flags(inside, numbers)
        for _ in range(DOUBLINGS):
            rejected = accepted + step
            further = self.flags(rejected, numbers)
            if self.rejected(further):
                return self._between(accepted, rejected, flags, further, numbers, narrow)
            accepted, flags, step = rejected, further, 2 * step
        return float(np.copysign(np.inf, step))

    def _around(self, inside: float, near: float, numbers: Index) -> float:
        """Return the end, looked for on both sides of a value that is near it."""
        step = 0.05 * (near - inside)
        low, high = near - step, near + step
        below, above = self.flags(low, numbers), self.flags(high, numbers)
        while not self.rejected(above):
            low, below, step = high, above, 2 * step
            high += step
            above = self.flags(high, numbers)
        while self.rejected(below):
            high, above, step = low, below, 2 * step
            low = low - step if abs(low - inside) > abs(step) else inside
            below = self.flags(low, numbers)
        return self._between(low, high, below, above, numbers, NARROW)

    def _between(
        self, low: float, high: float, below: Array, above: Array, numbers: Index, narrow: float
    ) -> float:
        """Return where the p-value crosses the error rate between an accepted and a rejected value.

        Arrangements that are decided alike at both ends are taken to be so between them. Where that turns out
        wrong at the end, all are fitted at each step.
        """
        width = narrow * abs(high - low)
        for every in (False, True):
            accepted, rejected, ends = low, high, [below, above]
            while abs(rejected - accepted) > width:
                middle = 0.5 * (accepted + rejected)
                open_ = np.arange(numbers.size) if every else np.flatnonzero(ends[0] != ends[1])
                flags = ends[0].copy()
                if open_.size:
                    flags[open_] = self.flags(middle, numbers[open_])
                out = self.rejected(flags)
                ends[out] = flags
                accepted, rejected = (accepted, middle) if out else (middle, rejected)
            right = every or (
                not self.rejected(self.flags(accepted, numbers))
                and self.rejected(self.flags(rejected, numbers))
            )
            if right:
                break
        return 0.5 * (accepted + rejected)


def permutation_interval(
    experiment: Experiment, column: int, choices: Choices, estimate: float, se: float
) -> tuple[float, float]:
    """Return the permutation interval of a coefficient."""
    tail = 1 - choices.level
    sides: tuple[float, ...] = {"two-sided": (-1.0, 1.0), "greater": (-1.0,), "less": (1.0,)}[
        choices.alternative
    ]
    out = {-1.0: -np.inf, 1.0: np.inf}
    for side in sides:
        alternative, rate = choices.alternative, tail
        if alternative == "two-sided" and choices.two_sided == "doubled":
            alternative, rate = ("greater" if side < 0 else "less"), tail / 2
        inversion = Inversion(experiment, column, alternative, rate, choices.progress)
        out[side] = inversion.end(estimate, side * 2 * se)
    return float(out[-1.0]), float(out[1.0])
