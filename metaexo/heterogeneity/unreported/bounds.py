r"""How far means and differences can move with the levels that some studies do not report.

With few studies every level is fitted with every set of them. With many, or with a given tau2, the weights
are held, and the extremes follow from the order of the effects:

A unit i has weight w_i and value y_i. Let a stratum have the mean N/W without any unit.

One mean. With x_i in [0, 1] the part of unit i that is assigned to the stratum, the mean
:math:`a = (N + \sum x_i w_i y_i) / (W + \sum x_i w_i)` has the derivative :math:`w_i (y_i - a) / W_x`. At a
maximum every unit above a is in and every unit below it is out: the units are ordered by y, and one of the
U + 1 top sets is the best.

Difference of two means, every unit in one of them. The derivative of a - b with respect to the part of unit i
that is in the first is :math:`w_i (1/W_a + 1/W_b)(y_i - c)` with
:math:`c = (a / W_a + b / W_b) / (1 / W_a + 1 / W_b)` the same for all units. So at a maximum over parts all
units above c are in the first and all below it in the second, and at most the units at c are split. The best
of the U + 1 thresholds is an assignment; the best with one unit split is a bound for all assignments, found
in closed form. Where both agree the assignment is proved to be the best, and where they do not the bound says
by how much it can be missed.

Difference of two means, units may also be elsewhere. The best top set of the first and the best bottom set of
the second, chosen apart, bound the difference; where no unit is in both they are an assignment, proved to be
the best. Where one is in both, a < b holds, no unit is better off elsewhere, and it is the case before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.check import refuse_zero_variances
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, TooFewStudiesError
from metaexo.formatting import interval, number, plural, text_table
from metaexo.heterogeneity.levels import factor_levels, is_unreported, read_factor_named, studies_of
from metaexo.heterogeneity.means import difference_interval
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice, check_level, check_number, whole_number
from metaexo.models.linear.choices import get_test
from metaexo.models.univariate.batched import ManyFits, fit_many
from metaexo.models.univariate.inference import TESTS
from metaexo.models.univariate.model import RandomEffects
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.likelihood_maximum import restricted_maximum_likelihood
from metaexo.numeric.problem import make_batch
from metaexo.readable import ReadableLines, shows_itself
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

FIRST, SECOND, ELSEWHERE = 0, 1, 2
AGREE = 1e-12
ANOTHER = "another level"


@shows_itself
@dataclass(frozen=True, eq=False)
class AssignmentBound(Immutable):
    """The range of one quantity over all assignments.

    Attributes
    ----------
    quantity : str
        A level, for its mean, or "b minus a".
    reported : float
        Its estimate from the studies that report their level.
    lowest, highest : float
        The smallest and the largest estimate.
    lowest_interval, highest_interval : tuple of float
        The confidence intervals that belong to these two.
    lowest_assignment, highest_assignment : dict of str to str
        Which study would be of which level there.
    limits : tuple of float
        What no assignment exceeds: `lowest` and `highest` where `proved`.
    proved : bool
        Whether no assignment exceeds them.
    """

    quantity: str
    reported: float
    lowest: float
    highest: float
    lowest_interval: tuple[float, float]
    highest_interval: tuple[float, float]
    lowest_assignment: Mapping[str, str]
    highest_assignment: Mapping[str, str]
    limits: tuple[float, float]
    proved: bool

    @property
    def outer_interval(self) -> tuple[float, float]:
        """From the lowest to the highest end of the two intervals."""
        lows, highs = zip(self.lowest_interval, self.highest_interval, strict=True)
        return min(lows), max(highs)

    @property
    def sign_holds(self) -> bool:
        """Whether the estimate has one sign under every assignment."""
        return self.limits[0] > 0 or self.limits[1] < 0


@dataclass(frozen=True, eq=False, repr=False)
class AssignmentBounds(ReadableLines):
    """Bounds over all assignments of unreported studies to known levels.

    Attributes
    ----------
    by : str
        The moderator.
    levels : tuple of str
        Its known levels.
    studies : tuple of str
        The studies that do not report it.
    bounds : tuple of AssignmentBound
        Means of the levels, and differences between them.
    assignments : int
        Number of assignments.
    how : str
        How the extremes were found, in words.
    left_out : str
        Which levels have no bounds and why, in words; may be empty.
    level : float
        Level of the intervals.
    """

    by: str
    levels: tuple[str, ...]
    studies: tuple[str, ...]
    bounds: tuple[AssignmentBound, ...]
    assignments: int
    how: str
    left_out: str
    level: float

    def __getitem__(self, quantity: str) -> AssignmentBound:
        """Return the bounds of one quantity."""
        names = [bound.quantity for bound in self.bounds]
        check_choice("quantity", quantity, names)
        return self.bounds[names.index(quantity)]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per quantity: reported, lowest and highest with intervals, limits, proved."""
        import pandas as pd

        rows = []
        for bound in self.bounds:
            row: dict[str, object] = {"quantity": bound.quantity, "reported": bound.reported}
            for end in ("lowest", "highest"):
                low, high = getattr(bound, f"{end}_interval")
                row |= {end: getattr(bound, end), f"{end}_low": low, f"{end}_high": high}
            row |= {"limit_low": bound.limits[0], "limit_high": bound.limits[1]}
            rows.append(row | {"proved": bound.proved, "sign_holds": bound.sign_holds})
        return pd.DataFrame(rows)

    def lines(self) -> list[str]:
        """Return the bounds in lines: how many assignments, a table, how they were found."""
        rows = [
            [
                bound.quantity,
                number(bound.reported),
                number(bound.lowest),
                number(bound.highest),
                interval(*bound.outer_interval),
                "yes" if bound.sign_holds else "no",
            ]
            for bound in self.bounds
        ]
        header = ["quantity", "reported only", "lowest", "highest", "both intervals", "sign holds"]
        head = (
            f"{plural(len(self.studies), 'study', 'studies')} without {self.by}, "
            f"{self.assignments} assignments to {plural(len(self.levels), 'level')}"
        )
        return [head, text_table(rows, header), self.how, *([self.left_out] if self.left_out else [])]


def assignment_bounds(
    effects: EffectSizes,
    by: str,
    *,
    tau2: float | None = None,
    method: str = "REML",
    test: str | None = None,
    level: float = 0.95,
    limit: int = 2**15,
) -> AssignmentBounds:
    r"""Return the range of means and differences over all levels that unreported studies may have.

    Use it beside an analysis in which studies that do not report their isolation method are left out or are a
    separate stratum: if a difference keeps its sign in the best and in the worst case, what is not reported
    does not matter. The estimate without these studies need not lie in the range, which holds estimates with
    all of them. Every level has a separate between-study variance, estimated anew for each of the :math:`2^U`
    sets of U unreported studies that may join it; all sets are fitted, so the range is exact. A study may be
    of any known level, also of one that is not compared.

    Beyond `limit` sets, or with a given tau2, the weights :math:`1 / (v + \tau^2)` are held. The extremes
    are then ordered by the effect: the studies above a threshold are of one level and those below it of the
    other; the module has the proof.

    Parameters
    ----------
    effects : EffectSizes
        Effects with the moderator among the columns of `data`; missing, empty and "not reported" values are
        those to assign. All effects of a study go to one level.
    by : str
        The column.
    tau2 : float, optional
        A known between-study variance.
    method, test, level : str, str and float
        As in :meth:`metaexo.RandomEffects.fit`; the tests are those of :func:`metaexo.fit_many`.
    limit : int
        Up to this many sets of unreported studies all are fitted; beyond it tau2 is held at that of the
        studies which report their level.

    Returns
    -------
    AssignmentBounds
        One entry per mean and difference, with the assignments that attain the ends.

    Raises
    ------
    InputError
        If every study reports the moderator, a variance is zero, or tau2 is negative.
    TooFewStudiesError
        If fewer than two levels are known, or none is reported by two studies.

    References
    ----------
    Manski, C. F. (2003). Partial identification of probability distributions. Springer, New York.
    https://doi.org/10.1007/b97478

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> from metaexo.heterogeneity import assignment_bounds
    >>> method = pd.DataFrame({"isolation": ["UC"] * 3 + ["SEC"] * 3 + [None] * 2})
    >>> y = [0.1, 0.3, 0.2, 1.6, 1.4, 1.5, 1.2, 0.4]
    >>> found = assignment_bounds(mx.EffectSizes(y, [0.05] * 8, data=method), "isolation")
    >>> difference = found["UC minus SEC"]
    >>> round(difference.reported, 2), round(difference.lowest, 2), round(difference.highest, 2)
    (-1.3, -1.18, -0.78)
    """
    limit = whole_number(limit, "limit", 1)
    task = Task(effects, by, method, test, level)
    ranges: Exhaustive | Held
    if tau2 is None and 2 ** len(task.units) <= limit:
        ranges = Exhaustive(task)
        how = f"every level fitted with each of {2 ** len(task.units)} sets of these studies: exact"
    else:
        held = task.held_tau2(tau2)
        ranges = Held(task, held)
        how = f"tau2 held at {number(held, 4)}; for these weights the extremes are ordered by the effects"
    found = [ranges.mean(name) for name in task.compared]
    found += [ranges.difference(a, b) for a, b in combinations(task.compared, 2)]
    if not all(bound.proved for bound in found):
        how += "; where no assignment was proved to be the most extreme, `limits` is what none exceeds"
    lone = [name for name in task.levels if name not in task.compared]
    left_out = f"reported by one study, so without bounds: {', '.join(lone)}" if lone else ""
    return AssignmentBounds(
        by=by,
        levels=task.levels,
        studies=task.studies,
        bounds=tuple(found),
        assignments=len(task.levels) ** len(task.units),
        how=how,
        left_out=left_out,
        level=level,
    )


class Task:
    """The effects by level, and the units that may be of any."""

    def __init__(self, effects: EffectSizes, by: str, method: str, test: str | None, level: float) -> None:
        effects = check_effects(effects, "mx.heterogeneity.assignment_bounds")
        by, level = read_factor_named(by), check_level(level)
        self.effects, self.method, self.level = effects, get_estimator(method).code, level
        usual = "z" if self.method == "EE" else "knapp-hartung"
        self.test = usual if test is None else get_test(test, TESTS)
        words = factor_levels(effects, by)
        studies = np.array(studies_of(effects), dtype=object)
        hidden = np.array([is_unreported(word) for word in words], dtype=bool)
        counts = {name: len(set(studies[words == name])) for name in set(words[~hidden])}
        self.levels = tuple(sorted(counts, key=lambda name: (-counts[name], name)))
        self.compared = tuple(name for name in self.levels if counts[name] > 1)
        self.studies: tuple[str, ...] = tuple(dict.fromkeys(studies[hidden]))
        self.units: list[Index] = [np.flatnonzero(hidden & (studies == s)) for s in self.studies]
        self.rows: dict[str, Index] = {name: np.flatnonzero(words == name) for name in self.levels}
        self._check(by)

    def _check(self, by: str) -> None:
        if not self.units:
            raise InputError(f"every study reports {by}", "studies that do not", "use mx.stratify")
        if len(self.levels) < 2 or not self.compared:
            raise TooFewStudiesError(
                f"{plural(len(self.levels), 'level')} of {by} known, {len(self.compared)} of them by two "
                "studies or more",
                "two known levels, at least one of them reported by two studies",
                "with so few reports nothing bounds the means: read the studies one by one",
            )
        refuse_zero_variances(self.effects.row_ids, self.effects.v)

    def held_tau2(self, tau2: float | None) -> float:
        """Return the tau2 to hold: as given, or that of the studies that report their level."""
        if tau2 is not None:
            value = check_number("tau2", tau2)
            if not (np.isfinite(value) and value >= 0):
                raise InputError(f"tau2 is {value}", "a finite variance of at least 0")
            return value
        if self.method == "EE":
            return 0.0
        rows = np.concatenate([self.rows[name] for name in self.compared])
        x = np.repeat(np.eye(len(self.compared)), [len(self.rows[name]) for name in self.compared], axis=0)
        batch = make_batch(self.effects.y[rows], self.effects.v[rows], x)
        return float(restricted_maximum_likelihood(batch).tau2[0])

    def in_words(self, place: Sequence[int] | Index, first: str, second: str = "") -> dict[str, str]:
        """Return which study would be of which level."""
        others = [name for name in self.levels if name != first]
        words = {FIRST: first, SECOND: second, ELSEWHERE: others[0] if len(others) == 1 else ANOTHER}
        return {study: words[int(at)] for study, at in zip(self.studies, place, strict=True)}


class Exhaustive:
    """Ranges from fits of every level with every set of units."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.size = 2 ** len(task.units)
        self.fits: dict[str, ManyFits] = {name: self._fit(task.rows[name]) for name in task.compared}

    def _fit(self, own: Index) -> ManyFits:
        """Return the fits of one level with each set of units; bit u of a set's number is unit u."""
        task = self.task
        rows = np.concatenate([own, *task.units])
        unit = np.repeat(np.arange(len(task.units)), [len(part) for part in task.units])
        bits = (np.arange(self.size)[:, None] >> unit) & 1
        counts = np.concatenate([np.ones((self.size, len(own))), bits], axis=1)
        y, v = (np.broadcast_to(part[rows], counts.shape) for part in (task.effects.y, task.effects.v))
        return fit_many(y, v, counts, task.method, task.test, task.level)

    def mean(self, name: str) -> AssignmentBound:
        """Return the range of the mean of a level."""
        fits = self.fits[name]
        ends = int(fits.estimate.argmin()), int(fits.estimate.argmax())
        intervals = [(float(fits.low[i]), float(fits.high[i])) for i in ends]
        words = [self.task.in_words(self._place(i, 0), name) for i in ends]
        return _bound(name, fits.estimate[0], [float(fits.estimate[i]) for i in ends], intervals, words)

    def difference(self, first: str, second: str) -> AssignmentBound:
        """Return the range of the mean of the second level minus that of the first."""
        a, b = self.fits[first], self.fits[second]
        ends = []
        for sign in (-1.0, 1.0):
            best, where = self._partner(sign * b.estimate)
            i = int((best - sign * a.estimate).argmax())
            ends.append((i, int(where[i])))
        values = [float(b.estimate[j] - a.estimate[i]) for i, j in ends]
        intervals = [self._interval(a, b, i, j) for i, j in ends]
        words = [self.task.in_words(self._place(i, j), first, second) for i, j in ends]
        reported = float(b.estimate[0] - a.estimate[0])
        return _bound(f"{second} minus {first}", reported, values, intervals, words)

    def _partner(self, values: Array) -> tuple[Array, Index]:
        """Return, a set of units in one level, the largest value of the other over sets it may then have.

        With two known levels that is all other units; with more, any of them.
        """
        other = (self.size - 1) ^ np.arange(self.size)
        where = np.arange(self.size)
        if len(self.task.levels) > 2:
            values = values.copy()
            for u in range(len(self.task.units)):
                holds = np.flatnonzero((np.arange(self.size) >> u) & 1)
                without = holds ^ (1 << u)
                better = values[without] > values[holds]
                values[holds[better]] = values[without[better]]
                where[holds[better]] = where[without[better]]
        return values[other], where[other]

    def _interval(self, a: ManyFits, b: ManyFits, i: int, j: int) -> tuple[float, float]:
        """Return the interval of the difference of two independent means."""
        return difference_interval(
            np.array([a.estimate[i], b.estimate[j]]),
            np.array([a.se[i] ** 2, b.se[j] ** 2]),
            None if self.task.test == "z" else np.array([a.k[i] - 1.0, b.k[j] - 1.0]),
            self.task.level,
        )

    def _place(self, i: int, j: int) -> list[int]:
        """Return where each unit is when set i is of the first level and set j of the second."""
        units = range(len(self.task.units))
        return [FIRST if i >> u & 1 else SECOND if j >> u & 1 else ELSEWHERE for u in units]


class Held:
    """Ranges for given weights."""

    def __init__(self, task: Task, tau2: float) -> None:
        self.task, self.tau2 = task, tau2
        weight = 1.0 / (task.effects.v + tau2)
        total = weight * task.effects.y
        self.w = np.array([weight[part].sum() for part in task.units])
        self.y = np.array([total[part].sum() for part in task.units]) / self.w
        self.sides = {
            name: Side(float(weight[rows].sum()), float(total[rows].sum()))
            for name, rows in task.rows.items()
        }

    def mean(self, name: str) -> AssignmentBound:
        """Return the range of the mean of a level."""
        side = self.sides[name]
        mirrored = Side(side.weight, -side.total)
        low, high = largest_mean(mirrored, self.w, -self.y), largest_mean(side, self.w, self.y)
        fits = [self._fit(name, end.place == FIRST) for end in (low, high)]
        intervals = [(f.pooled().low, f.pooled().high) for f in fits]
        words = [self.task.in_words(end.place, name) for end in (low, high)]
        reported = side.total / side.weight
        return _bound(name, reported, [-low.value, high.value], intervals, words)

    def difference(self, first: str, second: str) -> AssignmentBound:
        """Return the range of the mean of the second level minus that of the first."""
        a, b = self.sides[first], self.sides[second]
        elsewhere = len(self.task.levels) > 2
        high = largest_difference(b, a, self.w, self.y, elsewhere)
        low = largest_difference(a, b, self.w, self.y, elsewhere)
        intervals = [self._interval(first, second, low, FIRST), self._interval(first, second, high, SECOND)]
        words = [self.task.in_words(low.place, first, second), self.task.in_words(high.place, second, first)]
        return _bound(
            f"{second} minus {first}",
            b.total / b.weight - a.total / a.weight,
            [-low.value, high.value],
            intervals,
            words,
            (-low.bound, high.bound),
            low.proved and high.proved,
        )

    def _interval(self, first: str, second: str, end: Extreme, mine: int) -> tuple[float, float]:
        """Return the interval of the difference at an extreme; units at `mine` are of the first level."""
        theirs = SECOND if mine == FIRST else FIRST
        fits = [self._fit(first, end.place == mine), self._fit(second, end.place == theirs)]
        return difference_interval(
            np.array([f.estimate for f in fits]),
            np.array([f.se[0] ** 2 for f in fits]),
            None if self.task.test == "z" else np.array([float(f.df_residual) for f in fits]),
            self.task.level,
        )

    def _fit(self, name: str, joined: NDArray[np.bool_]) -> RandomEffectsResults:
        """Return the model of a level with some units, at the tau2 that is held."""
        task = self.task
        more = [part for part, yes in zip(task.units, joined, strict=True) if yes]
        rows = np.sort(np.concatenate([task.rows[name], *more]))
        part = task.effects.select(rows, f"not in {name}")
        return RandomEffects(part, dependence="accept").fit(task.method, task.test, task.level, self.tau2)


def _bound(
    quantity: str,
    reported: float,
    ends: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    words: Sequence[dict[str, str]],
    limits: tuple[float, float] | None = None,
    proved: bool = True,
) -> AssignmentBound:
    low, high = ends
    return AssignmentBound(
        quantity=quantity,
        reported=float(reported),
        lowest=low,
        highest=high,
        lowest_interval=intervals[0],
        highest_interval=intervals[1],
        lowest_assignment=words[0],
        highest_assignment=words[1],
        limits=(low, high) if limits is None else limits,
        proved=proved,
    )


@dataclass(frozen=True, eq=False)
class Extreme:
    """The largest mean or difference found, with a bound that no assignment exceeds."""

    place: NDArray[np.intp]  # where each unit is: FIRST, SECOND or ELSEWHERE
    value: float
    bound: float

    @property
    def proved(self) -> bool:
        """Whether the value reaches the bound."""
        return bool(self.bound <= self.value + AGREE * (1 + abs(self.value)))


@dataclass(frozen=True)
class Side:
    """A stratum without the units: the sum of its weights and of weights times values."""

    weight: float
    total: float


def largest_mean(side: Side, w: Array, y: Array) -> Extreme:
    """Return the largest mean of a stratum over all sets of units (weights w, values y) that may join."""
    order = np.argsort(-y, kind="stable")
    weight = side.weight + np.append(0.0, np.cumsum(w[order]))
    means = (side.total + np.append(0.0, np.cumsum((w * y)[order]))) / weight
    best = int(means.argmax())
    place = np.full(len(y), ELSEWHERE)
    place[order[:best]] = FIRST
    return Extreme(place, float(means[best]), float(means[best]))


def largest_difference(first: Side, second: Side, w: Array, y: Array, elsewhere: bool) -> Extreme:
    """Return the largest difference of two means, first minus second, over all assignments of units."""
    if elsewhere:
        top = largest_mean(first, w, y)
        bottom = largest_mean(Side(second.weight, -second.total), w, -y)
        joined, left = top.place == FIRST, bottom.place == FIRST
        if not (joined & left).any():
            place = np.where(joined, FIRST, np.where(left, SECOND, ELSEWHERE))
            value = top.value + bottom.value
            return Extreme(place, value, value)
    return _best_threshold(first, second, w, y)


def _best_threshold(first: Side, second: Side, w: Array, y: Array) -> Extreme:
    """Return the best threshold, and the best with the units of one value split."""
    order = np.argsort(-y, kind="stable")
    w, y = w[order], y[order]
    above, above_total = np.append(0.0, np.cumsum(w)), np.append(0.0, np.cumsum(w * y))
    joined = (first.total + above_total) / (first.weight + above)
    left = (second.total + above_total[-1] - above_total) / (second.weight + above[-1] - above)
    best = int((joined - left).argmax())
    value = bound = float(joined[best] - left[best])
    for r in np.unique(y, return_index=True)[1]:
        same = y == y[r]
        mass = float(w[same].sum())
        p, q = first.total + above_total[r], first.weight + above[r]
        last = int(np.flatnonzero(same)[-1]) + 1
        rest, s = second.total + above_total[-1] - above_total[last], second.weight + above[-1] - above[last]
        bound = max(bound, _split((p, q), (rest, s), mass, float(y[r])))
    place = np.full(len(y), SECOND)
    place[order[:best]] = FIRST
    return Extreme(place, value, bound)


def _split(first: tuple[float, float], second: tuple[float, float], mass: float, y: float) -> float:
    """Return the largest difference as a unit of weight `mass` and value y is split between two strata.

    The strata are given by totals and weights without it. With x the part in the first, the derivative is
    zero where (y Q - P) / (Q + x m)^2 = -(y S - R) / (S + (1 - x) m)^2.
    """
    (p, q), (r, s) = first, second
    rise, fall = y * q - p, y * s - r
    if rise * fall >= 0 or mass == 0:
        return -math.inf
    ratio = math.sqrt(-fall / rise)
    x = (s + mass - ratio * q) / (mass * (1 + ratio))
    if not 0 < x < 1:
        return -math.inf
    return (p + x * mass * y) / (q + x * mass) - (r + (1 - x) * mass * y) / (s + (1 - x) * mass)
