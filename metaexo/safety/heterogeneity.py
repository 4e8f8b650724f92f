"""What counts of one arm say themselves about how much study risks vary: their likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special
from scipy.optimize import brentq, minimize_scalar

from metaexo.effects.counts import EventCounts
from metaexo.errors import InputError
from metaexo.formatting import level_words, number
from metaexo.inputs import check_level
from metaexo.numeric.study_risks import StudyRisks
from metaexo.numeric.tails import normal_quantile
from metaexo.readable import ReaderTable, cells_of
from metaexo.safety.results import (
    SHORT,
    Arm,
    OneArmResult,
    Scale,
    check_heterogeneity,
    kind_of,
    one_arm,
    risk_words,
    same_study_cautions,
)
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

# Heterogeneity up to which the likelihood is searched; beyond it hardly changes.
FARTHEST = {"icc": 0.999, "tau": 10.0, "cv": 30.0}
POINTS = 60
STEPS, DIFFERENCE, CLOSE = 80, 1e-3, 1e-6  # of the search for the best mean
ONE_STUDY = "one study says nothing about how much studies vary"
FLAT = 1e-9  # log-likelihood by which a maximum has to stand out


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class HeterogeneityLikelihood(OneArmResult):
    """Result of :func:`heterogeneity_likelihood`.

    Attributes
    ----------
    scale : {"icc", "tau", "cv"}
        What the heterogeneity is.
    heterogeneity : ndarray, shape (b,)
        Values at which the likelihood was computed.
    mean : ndarray, shape (b,)
        Mean risk, or rate, of the highest likelihood at each of them.
    log_likelihood : ndarray, shape (b,)
        That likelihood, on the log scale, less the highest of all.
    estimate : float
        Heterogeneity of the highest likelihood; NaN where the data do not determine it.
    low, high : float
        Interval of the likelihood ratio; `high` is infinite where the likelihood does not fall below the
        limit as far as it was searched.
    mean_limit : float
        One-sided upper limit of the mean over both parameters, by the likelihood ratio: what is left if the
        heterogeneity is not stated; infinite where the likelihood sets none.
    is_flat : bool
        Whether the likelihood is the same for every heterogeneity, as with no event at all.
    """

    scale: Scale
    heterogeneity: Array
    mean: Array
    log_likelihood: Array
    estimate: float
    low: float
    high: float
    mean_limit: float
    is_flat: bool

    @property
    def method(self) -> str:
        """How the interval was found."""
        return "profile likelihood over the mean and the heterogeneity, chi-square with 1 degree of freedom"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the likelihood rests on."""
        kind = "rates" if self.person_time else "risks"
        return (
            f"study {kind} with {kind_of(self.scale, self.person_time).words}",
            "the interval holds its level in large samples, and covers more where the estimate is 0",
        )

    @property
    def sentence(self) -> str:
        """What the data say about the heterogeneity."""
        name, noun = SHORT[self.scale], "rate" if self.person_time else "risk"
        if self.mean_limit >= (np.inf if self.person_time else 1):
            left = f"no mean {noun} is excluded without an assumption on it"
        else:
            left = (
                f"with it left open, the profile likelihood excludes a mean {noun} above "
                f"{risk_words(self.mean_limit, self.person_time)} ({level_words(self.level)}, one-sided)"
            )
        if self.is_flat:
            extreme = "no" if self.events == 0 else "every possible"
            return (
                f"{self.seen}: with {extreme} event the likelihood is the same for every {name}, and the "
                f"data say nothing about the heterogeneity; {left}."
            )
        ends = (
            f"{number(self.low, 3)} to {number(self.high, 3)}"
            if np.isfinite(self.high)
            else f"{number(self.low, 3)} upwards without an upper end"
        )
        return (
            f"{self.seen}: {name} {number(self.estimate, 3)} ({level_words(self.level)} CI {ends}); {left}."
        )

    def reader_tables(self) -> list[ReaderTable]:
        """Return some rows of the profile."""
        return [cells_of(self.to_frame().iloc[:: POINTS // 10])]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per heterogeneity: the mean that fits best, and the log-likelihood."""
        import pandas as pd

        return pd.DataFrame(
            {
                "heterogeneity": self.heterogeneity,
                "mean": self.mean,
                "log_likelihood": self.log_likelihood,
            }
        )


@dataclass(frozen=True)
class _Profile:
    """The likelihood of unlike rows of counts, each with how often it is there."""

    risks: StudyRisks
    x: Array
    totals: Array
    times: Array

    def value(self, t: Array, h: Array) -> Array:
        """Return the log-likelihood for locations and heterogeneity of one shape, (B,)."""
        logs = self.risks.log_pmf(self.x, self.totals, np.asarray(t)[..., None], np.asarray(h)[..., None])
        return np.asarray(np.where(np.isneginf(logs), -1e300, logs) @ self.times)

    def best(self, h: Array) -> tuple[Array, Array]:
        """Return the location of the highest likelihood for each heterogeneity, and its log-likelihood.

        Newton steps, with derivatives by differences; where the curve bends upwards, uphill by one.
        """
        t = np.full(h.shape, self.start)
        for _ in range(STEPS):
            low, middle, high = self.value(t + np.array([[-DIFFERENCE], [0.0], [DIFFERENCE]]), h[None, :])
            slope, bend = (high - low) / (2 * DIFFERENCE), (high - 2 * middle + low) / DIFFERENCE**2
            curved = bend < 0
            step = np.where(curved, -slope / np.where(curved, bend, -1.0), np.sign(slope))
            t = t + np.clip(step, -1.0, 1.0)
            if np.abs(step).max() < CLOSE:
                break
        return t, self.value(t, h)

    @property
    def start(self) -> float:
        """The location of the pooled risk."""
        share = float(self.x @ self.times) / float(self.totals @ self.times)
        return float(special.logit(share)) if self.risks.of_people else math.log(share)

    def highest(self, h: float) -> float:
        return float(self.best(np.array([h]))[1][0])

    def with_mean(self, mean: float, h: Array) -> Array:
        """Return log-likelihoods at a given mean."""
        return self.value(self.risks.location(np.full(h.shape, mean), h), h)


def heterogeneity_likelihood(
    counts: EventCounts,
    *,
    arm: Arm | None = None,
    scale: Scale | None = None,
    level: float = 0.95,
    most: float | None = None,
) -> HeterogeneityLikelihood:
    r"""Return what counts of one arm say about the heterogeneity of study risks.

    Use it to see whether the heterogeneity that an upper limit assumes can be taken from the data. With no
    event at all it cannot: the likelihood tends to its highest value, 1, as the mean risk goes to 0, whatever
    the heterogeneity, so that no estimate and no interval exist. With a few events the interval is wide.

    The profile likelihood is :math:`\max_\mu \sum_i \log P(x_i \mid n_i, \mu, h)`; the interval holds the
    values of h for which twice its distance from the maximum is at most the quantile of a chi-square with
    1 degree of freedom. `mean_limit` is the largest mean with a heterogeneity for which that distance is at
    most :math:`z_{\text{level}}^2`. With no event in k studies it is
    :math:`1 - \exp(-z_{\text{level}}^2 / 2k)`, reached where risks are all or nothing.

    Parameters
    ----------
    counts : EventCounts
        Counts of one arm, or of two arms, with `arm`.
    arm : {"treatment", "control"}, optional
        Arm of counts of two arms.
    scale : {"icc", "tau", "cv"}, optional
        What the heterogeneity is. Default: "icc" for people, "cv" for person-time.
    level : float
        Level of the interval.
    most : float, optional
        Heterogeneity up to which the likelihood is searched. Default: 0.999 for "icc", 10 for "tau", 30 for
        "cv".

    Returns
    -------
    HeterogeneityLikelihood
        The profile, the estimate and its interval, and whether there are any.

    Raises
    ------
    InputError
        If `most` is none of the scale.

    Examples
    --------
    >>> import metaexo as mx
    >>> silent = mx.event_counts(events=[0, 0, 0, 0], n=[12, 8, 30, 10])
    >>> mx.safety.heterogeneity_likelihood(silent).is_flat
    True
    >>> some = mx.event_counts(events=[0, 4, 0, 0, 1, 6], n=[12, 18, 30, 10, 25, 20])
    >>> found = mx.safety.heterogeneity_likelihood(some)
    >>> round(found.estimate, 2), round(found.low, 2), round(found.high, 2)
    (0.17, 0.02, 0.67)
    """
    rows = one_arm(counts, arm, "heterogeneity_likelihood")
    risks = kind_of(scale, rows.person_time)
    check_level(level)
    farthest = FARTHEST[risks.scale] if most is None else check_heterogeneity(most, risks, "most")
    if not farthest > 0:
        raise InputError(f"most is {farthest:g}", "a value above 0")
    farthest = min(farthest, FARTHEST["icc"]) if risks.scale == "icc" else farthest
    grid = np.concatenate([[0.0], np.geomspace(1e-3 * farthest, farthest, POINTS)])
    x, totals = rows.events[:, 0], rows.totals[:, 0]
    shared = {
        "counts": rows,
        "level": float(level),
        "said": (*same_study_cautions(rows), *((ONE_STUDY,) if rows.m == 1 else ())),
        "scale": risks.scale,
        "heterogeneity": grid,
    }
    fall = normal_quantile(2 * level - 1) ** 2 / 2 if level > 0.5 else 0.0
    unlike, times = np.unique(np.column_stack([x, totals]), axis=0, return_counts=True)
    profile = _Profile(risks, unlike[:, 0], unlike[:, 1], times.astype(float))
    everyone = risks.of_people and bool((x == totals).all())
    if not x.any() or everyone:
        edge = 1.0 if everyone else 0.0
        silent = math.inf if rows.person_time else 1.0 if everyone else -math.expm1(-fall / rows.k)
        return HeterogeneityLikelihood(
            mean=np.full(grid.shape, edge),
            log_likelihood=np.zeros(grid.shape),
            estimate=math.nan,
            low=0.0,
            high=math.inf,
            mean_limit=silent,
            is_flat=True,
            **shared,  # type: ignore[arg-type]
        )
    t, heights = profile.best(grid)
    top, estimate = _maximum(profile, grid, heights)
    limit = normal_quantile(level) ** 2 / 2
    low, high = _ends(profile, grid, heights - (top - limit), top - limit)
    flat = bool(np.ptp(heights) < FLAT)
    return HeterogeneityLikelihood(
        mean=risks.mean(t, grid),
        log_likelihood=heights - top,
        estimate=math.nan if flat else estimate,
        low=low,
        high=high,
        mean_limit=_mean_limit(profile, grid, top - fall, float(risks.mean(t, grid)[np.argmax(heights)])),
        is_flat=flat,
        **shared,  # type: ignore[arg-type]
    )


def _maximum(profile: _Profile, grid: Array, heights: Array) -> tuple[float, float]:
    """Return the highest log-likelihood and where it is."""
    i = int(np.argmax(heights))
    near = (float(grid[max(i - 1, 0)]), float(grid[min(i + 1, grid.size - 1)]))
    found = minimize_scalar(lambda h: -profile.highest(h), bounds=near, options={"xatol": 1e-9})
    if -found.fun > heights[i]:
        return float(-found.fun), float(found.x)
    return float(heights[i]), float(grid[i])


def _ends(profile: _Profile, grid: Array, above: Array, least: float) -> tuple[float, float]:
    """Return between which values of the heterogeneity the profile stays above the least height."""
    inside = np.flatnonzero(above >= 0)
    first, last = int(inside[0]), int(inside[-1])

    def crossing(a: float, b: float) -> float:
        return float(brentq(lambda h: profile.highest(h) - least, a, b, xtol=1e-9))

    low = 0.0 if first == 0 else crossing(grid[first - 1], grid[first])
    return low, math.inf if last == grid.size - 1 else crossing(grid[last], grid[last + 1])


def _mean_limit(profile: _Profile, grid: Array, least: float, start: float) -> float:
    """Return the largest mean at which some heterogeneity keeps the likelihood at the least height."""
    of_people = profile.risks.of_people
    to = special.expit if of_people else np.exp
    first = float(special.logit(start)) if of_people else math.log(start)

    def highest(at: float) -> tuple[float, bool]:
        """Return the highest log-likelihood at a mean, and whether it is where the search ends."""
        heights = profile.with_mean(float(to(at)), grid)
        i = int(np.argmax(heights))
        near = (float(grid[max(i - 1, 0)]), float(grid[min(i + 1, grid.size - 1)]))
        found = minimize_scalar(
            lambda h: -float(profile.with_mean(float(to(at)), np.array([h]))[0]),
            bounds=near,
            options={"xatol": 1e-9},
        )
        return max(float(heights[i]), -float(found.fun)), i == grid.size - 1

    last = first
    while highest(last)[0] >= least:
        last += 1.0
        if last > (36.0 if of_people else first + 50.0):
            return 1.0 if of_people else math.inf
    if last == first:
        return start
    found = brentq(lambda at: highest(at)[0] - least, last - 1.0, last, xtol=1e-10)
    return math.inf if highest(found)[1] and not of_people else float(to(found))
