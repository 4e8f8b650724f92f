"""Many fits of mixed models of counts in one call: refits of one fit, thousands of meta-analyses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.counts import EventCounts
from metaexo.errors import ShapeError
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice, check_flag, check_level, read_numbers
from metaexo.models.counts.mixed.fit import CountGLMMFit
from metaexo.models.counts.mixed.model import (
    CODINGS,
    LINKS,
    POINTS,
    get_method,
    read_model,
    read_points,
)
from metaexo.numeric.counts.formulations import RANDOM, Formulation, formulate
from metaexo.numeric.counts.maximum import CountMaximum
from metaexo.numeric.tails import normal_quantile
from metaexo.readable import shows_itself
from metaexo.types import Array, Mask


@shows_itself
@dataclass(frozen=True, eq=False)
class ManyCountFits(Immutable):
    """Pooled effects of B meta-analyses of counts; NaN where there is no finite estimate.

    Attributes
    ----------
    estimate, se, low, high : ndarray, shape (B,)
        Pooled effect, standard error, normal confidence interval.
    tau2 : ndarray, shape (B,)
        Between-study variance; 0 for equal effects.
    sigma2 : ndarray, shape (B,)
        Variance of random study intercepts; NaN where the model has none.
    llf : ndarray, shape (B,)
        Log-likelihood.
    at_boundary : ndarray of bool, shape (B,)
        Whether a variance is 0 because no positive value fits better.
    certified : ndarray of bool, shape (B,)
        Whether the fit is known to be a maximum; False where there is no fit.
    k : ndarray, shape (B,)
        Number of rows with information.
    infinite : ndarray of bool, shape (B,)
        Whether there is no fit because an estimate is infinite; the other rows without a fit have too few
        rows with information.
    """

    estimate: Array
    se: Array
    low: Array
    high: Array
    tau2: Array
    sigma2: Array
    llf: Array
    at_boundary: Mask
    certified: Mask
    k: Array
    infinite: Mask


@dataclass(frozen=True, slots=True)
class Refitted:
    """A fit of other sets of its rows; NaN where a set has no fit."""

    beta: Array  # (B, p)
    cov: Array  # (B, p, p)
    tau2: Array  # (B,)
    q: Array  # (B,): Wald test of heterogeneity
    q_df: Array  # (B,)
    typical_variance: Array  # (B,)
    k: Array  # (B,): rows with information
    certified: Mask  # (B,)


def fit_many_counts(
    events: ArrayLike,
    totals: ArrayLike,
    *,
    person_time: bool = False,
    model: str | None = None,
    method: str = "ML",
    coding: Literal["1/2", "1/0", "0/1"] = "1/2",
    link: Literal["logit", "cloglog", "probit"] = "logit",
    points: int | None = None,
    level: float = 0.95,
) -> ManyCountFits:
    """Fit B mixed models of counts without moderators in one batched call.

    Use it where fits come by the thousand, as in simulations: each row is one meta-analysis, and no fit is a
    Python object. The numbers are those of :class:`metaexo.CountGLMM`. Nothing fails where an estimate is
    infinite: these rows come back as missing, and `infinite` says so.

    Parameters
    ----------
    events, totals : array_like, shape (B, K) or (B, K, g)
        Events, and people or person-time, of g = 1 or 2 arms, the treated one first.
    person_time : bool
        Whether `totals` are person-time.
    model, method, coding, link : str
        As in :class:`metaexo.CountGLMM` and its `fit`.
    points : int, optional
        Points of the quadrature, as in its `fit`.
    level : float
        Confidence level of the intervals.

    Returns
    -------
    ManyCountFits
        Arrays with an entry per meta-analysis.

    Raises
    ------
    ShapeError
        If the arrays do not fit each other.
    InputError
        If counts cannot be used; see :class:`metaexo.effects.EventCounts`.
    UnknownChoiceError
        If a word is not known.

    Examples
    --------
    >>> import numpy as np
    >>> import metaexo as mx
    >>> rng = np.random.default_rng(1)
    >>> n = np.full((1000, 6, 2), 40)
    >>> found = mx.models.fit_many_counts(rng.binomial(n, 0.05), n)
    >>> bool(found.certified[~found.infinite].all())
    True
    """
    x, n = (_three(read_numbers(v, name), name) for v, name in ((events, "events"), (totals, "totals")))
    if x.shape != n.shape:
        raise ShapeError(f"events has shape {x.shape} and totals {n.shape}", "the same shape")
    arms = x.shape[2]
    counts = EventCounts(
        x.reshape(-1, arms), n.reshape(-1, arms), person_time=check_flag("person_time", person_time)
    )
    check_choice("coding", coding, tuple(CODINGS))
    check_choice("link", link, LINKS)
    code, chosen = get_method(method), read_model(model, counts)
    random, level = code == "ML", check_level(level)
    count = POINTS[2 if chosen == RANDOM and random else 1] if points is None else read_points(points)

    def made(which: Mask | slice) -> Formulation:
        return formulate(
            chosen,
            x[which],
            n[which],
            np.ones((1, x.shape[1], 1)),
            person_time=person_time,
            link=link,
            coding=CODINGS[coding],
            random=random,
            points=count,
        )

    every = made(slice(None))
    k = np.broadcast_to((every.problem.weights > 0).sum(axis=1), len(x)).astype(float)
    infinite = np.logical_or(*every.infinite())
    few = k < 1 + random
    fine = ~infinite & ~few
    out = {name: np.full(len(x), np.nan) for name in ("estimate", "se", "tau2", "sigma2", "llf")}
    boundary, certified = np.zeros(len(x), dtype=bool), np.zeros(len(x), dtype=bool)
    if fine.any():
        part = made(fine)
        found = _quietly(part)
        beta, cov = _coefficients(part, found)
        out["estimate"][fine], out["se"][fine] = beta[:, 0], np.sqrt(cov[:, 0, 0])
        out["llf"][fine], out["tau2"][fine] = found.value, _tau2(chosen, random, found, 1)
        if chosen == RANDOM:
            out["sigma2"][fine] = found.psi[:, 2] ** 2
        boundary[fine], certified[fine] = ~found.free.all(axis=1), found.certified
    half = normal_quantile(level) * out["se"]
    return ManyCountFits(
        low=out["estimate"] - half,
        high=out["estimate"] + half,
        at_boundary=boundary,
        certified=certified,
        k=k,
        infinite=infinite & ~few,
        **out,
    )


def _three(values: Array, name: str) -> Array:
    """Return counts with an axis of arms."""
    found = values[..., None] if values.ndim == 2 else values
    if found.ndim != 3 or found.shape[2] not in (1, 2) or 0 in found.shape:
        raise ShapeError(
            f"{name} has shape {values.shape}",
            "a row per meta-analysis, a column per study and, for two arms, a third axis of length 2",
        )
    return found


def _quietly(made: Formulation) -> CountMaximum:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return made.maximum()


def _coefficients(made: Formulation, found: CountMaximum) -> tuple[Array, Array]:
    """Return coefficients, (B, p), and their covariance matrices."""
    p, back, free = made.p, made.back, found.free
    both = free[:, :, None] & free[:, None, :]
    information = np.where(both, -found.hessian, np.eye(free.shape[1]))
    cov = np.where(both, np.linalg.inv(information), 0.0)[:, :p, :p]
    return (back @ found.psi[:, :p, None])[..., 0], back @ cov @ np.swapaxes(back, 1, 2)


def _tau2(model: str, random: bool, found: CountMaximum, p: int) -> Array:
    """Return the between-study variances, (B,)."""
    if not random:
        return np.zeros(len(found.value))
    first = p + 2 if model == RANDOM else p
    return np.asarray((found.psi[:, first:] ** 2).sum(axis=1))


def refitted(fit: CountGLMMFit, n: Array) -> Refitted:
    """Return a fit of many sets of its rows, each row as often as `n`, shape (B, k), says.

    Not for random study intercepts, whose test of heterogeneity is a fit of its own.
    """
    x, size, p = fit.design.matrix(fit.k), len(n), fit.design.p

    def made(weights: Array) -> Formulation:
        return formulate(
            fit.model,
            fit.counts.events[None],
            fit.counts.totals[None],
            x[None],
            person_time=fit.counts.person_time,
            link=fit.link,
            coding=fit.coding,
            random=fit.is_random,
            points=fit.points,
            weights=weights,
        )

    every = made(n)
    k = every.problem.weights.sum(axis=1)
    fine = (k >= p + (fit.is_random or fit.test == "t")) & ~np.logical_or(*every.infinite())
    beta, cov = np.full((size, p), np.nan), np.full((size, p, p), np.nan)
    tau2, certified = np.full(size, np.nan), np.zeros(size, dtype=bool)
    if fine.any():
        part = made(n[fine])
        found = _quietly(part)
        beta[fine], cov[fine] = _coefficients(part, found)
        tau2[fine], certified[fine] = _tau2(fit.model, fit.is_random, found, p), found.certified
    saturated = fit.saturated
    own = n[:, saturated.finite]
    q, q_df = q_and_trace(x[saturated.finite], saturated.y, np.diagonal(saturated.cov), own)[:2]
    has = fit.has_estimate & fit.informative
    _, df, trace = q_and_trace(x[has], fit.effects.y[has], fit.effects.v[has], n[:, has])
    with np.errstate(divide="ignore", invalid="ignore"):
        typical = np.where(df > 0, df / trace, np.nan)
    return Refitted(beta, cov, tau2, q, q_df, typical, k, certified)


def q_and_trace(x: Array, y: Array, v: Array, n: Array) -> tuple[Array, Array, Array]:
    """Return Cochran's Q of sets of estimates, its degrees of freedom, and trace(P); NaN without any."""
    df = n.sum(axis=1) - x.shape[1]
    w = n / v
    gram = np.einsum("bk,kp,kq->bpq", w, x, x)
    usable = (df > 0) & (np.linalg.matrix_rank(gram) == x.shape[1])
    gram = np.where(usable[:, None, None], gram, np.eye(x.shape[1]))
    beta = np.linalg.solve(gram, np.einsum("bk,kp,k->bp", w, x, y)[..., None])[..., 0]
    q = (w * (y - beta @ x.T) ** 2).sum(axis=1)
    inner = np.einsum("bk,kp,kq->bpq", w / v, x, x)
    trace = w.sum(axis=1) - np.trace(np.linalg.solve(gram, inner), axis1=1, axis2=2)
    return np.where(usable, q, np.nan), np.where(usable, df, 0.0), np.where(usable, trace, np.nan)
