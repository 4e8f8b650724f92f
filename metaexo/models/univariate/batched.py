"""Many random-effects fits in one call: refits of one fit, and thousands of small meta-analyses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.check import read_variances
from metaexo.errors import InputError, ShapeError, TooFewStudiesError
from metaexo.immutable import Immutable
from metaexo.inputs import check_level, read_numbers
from metaexo.models.linear.choices import get_test
from metaexo.models.linear.hypothesis import LEAST_DF
from metaexo.models.univariate.fit import UnivariateFit
from metaexo.models.univariate.inference import scale_of_test
from metaexo.numeric.estimators import Estimator, get_estimator
from metaexo.numeric.moment_estimators import dersimonian_laird, own_weights_fit
from metaexo.numeric.moments import WeightedFit, moments, weighted_fit
from metaexo.numeric.problem import Batch, make_batch
from metaexo.numeric.tails import normal_quantile, t_of_tail
from metaexo.numeric.tau2 import PART_ROWS
from metaexo.numeric.weighted import PLAIN_TESTS
from metaexo.readable import shows_itself
from metaexo.runs.parallel import each_part
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

MOST_COUNTS = 1e9


@shows_itself
@dataclass(frozen=True, eq=False)
class ManyFits(Immutable):
    """Pooled effects of B independent meta-analyses.

    Attributes
    ----------
    estimate, se, low, high : ndarray, shape (B,)
        Pooled effect, standard error, confidence interval.
    tau2 : ndarray, shape (B,)
        Between-study variance.
    q : ndarray, shape (B,)
        Cochran's Q.
    at_boundary : ndarray of bool, shape (B,)
        Whether tau2 is 0 because no positive value fits better.
    k : ndarray, shape (B,)
        Number of effects.
    """

    estimate: Array
    se: Array
    low: Array
    high: Array
    tau2: Array
    q: Array
    at_boundary: NDArray[np.bool_]
    k: Array

    def to_frame(self) -> pd.DataFrame:
        """Return one row per meta-analysis."""
        import pandas as pd

        return pd.DataFrame(vars(self))


def fit_many(
    y: ArrayLike,
    v: ArrayLike | None = None,
    counts: ArrayLike | None = None,
    method: str = "REML",
    test: str | None = None,
    level: float = 0.95,
    *,
    se: ArrayLike | None = None,
) -> ManyFits:
    """Fit B random-effects models without moderators in one batched call.

    Use it where fits come by the thousand: each row is one meta-analysis, and no fit is a Python object. The
    numbers are those of :class:`metaexo.RandomEffects`. Inside ``joblib.parallel_config`` the parts of a
    large batch go to the workers of joblib.

    Parameters
    ----------
    y, v : array_like, shape (B, K)
        Effects and sampling variances above 0, one meta-analysis per row. Ignored where `counts` is 0.
    counts : array_like, shape (K,) or (B, K), optional
        How often each effect takes part: 0 leaves it out, so that meta-analyses may differ in size, and
        integers above 1 repeat it. Default: once.
    method, test, level : str, str and float
        As in :meth:`metaexo.RandomEffects.fit`.
    se : array_like, shape (B, K), optional
        Standard errors, in the place of `v`.

    Returns
    -------
    ManyFits
        One entry per meta-analysis.

    Raises
    ------
    ShapeError
        If the arrays do not fit together.
    InputError
        If a value that takes part is missing or infinite, or a variance is not above 0.
    TooFewStudiesError
        If a row has fewer than two effects.

    References
    ----------
    Viechtbauer, W. (2005). https://doi.org/10.3102/10769986030003261
    Knapp, G., Hartung, J. (2003). https://doi.org/10.1002/sim.1482

    Examples
    --------
    >>> import metaexo as mx
    >>> fits = mx.fit_many([[0.2, 0.6, 0.1], [0.5, 0.4, 0.6]], [[0.02, 0.05, 0.03], [0.02, 0.05, 0.03]])
    >>> fits.estimate.round(2), fits.tau2.round(3)
    (array([0.26, 0.51]), array([0.015, 0.   ]))
    """
    estimator = get_estimator(method)
    chosen = (
        ("z" if estimator.code == "EE" else "knapp-hartung") if test is None else get_test(test, PLAIN_TESTS)
    )
    if estimator.needs_weights:
        raise InputError(
            f"{estimator.code} makes tau2 from weights, and many fits have none",
            "an estimator without weights",
            "use RandomEffects(effects, weights=...) for each",
        )
    level = check_level(level)
    effects, variances = read_numbers(y, "y", ndim=2), read_variances(v, se, ndim=2)
    if effects.shape != variances.shape or 0 in effects.shape:
        raise ShapeError(f"y has shape {effects.shape} and v {variances.shape}", "two arrays of shape (B, K)")
    weights = None if counts is None else read_counts(counts, effects.shape)
    _check(effects, variances, weights)
    rows = max(1, PART_ROWS // effects.shape[1])
    cuts = [slice(begin, begin + rows) for begin in range(0, len(effects), rows)]
    counted = [None if weights is None else weights[cut] for cut in cuts]
    parts = each_part(
        _fit,
        [(effects[c], variances[c], n, estimator, chosen, level) for c, n in zip(cuts, counted, strict=True)],
    )
    return ManyFits(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _fit(
    y: Array, v: Array, counts: Array | None, estimator: Estimator, test: str, level: float
) -> tuple[NDArray[Any], ...]:
    """Return the columns of ManyFits for one part."""
    batch = make_batch(y, v, n=counts)
    solution = estimator.kernel(batch)
    wls = weighted_fit(batch, 1.0 / (batch.v + solution.tau2[:, None]))
    se = np.sqrt(wls.cov[:, 0, 0] * scale_of_test(test, wls.weighted_ss, batch.df))
    quantile = normal_quantile(level) if test == "z" else t_by_df(level, batch.df)
    estimate = wls.beta[:, 0]
    q = weighted_fit(batch, 1.0 / batch.v).weighted_ss
    half = quantile * se
    return estimate, se, estimate - half, estimate + half, solution.tau2, q, solution.at_boundary, batch.k


@dataclass(frozen=True, slots=True)
class BatchFit:
    """Fits of a batch of problems by the choices of one fit; NaN where there is none."""

    beta: Array  # coefficients, shape (B, p)
    cov: Array  # their covariance, the scale of the test included, shape (B, p, p)
    df: Array  # degrees of freedom of the t distribution, NaN for the normal one, shape (B,)
    scale: Array  # that of the test, 1 where it has none, shape (B,)
    tau2: Array  # between-study variance, shape (B,)
    q: Array  # Cochran's Q; NaN with a sampling variance of 0, shape (B,)
    trace: Array  # trace of P at tau2 = 0, which typical variances are made of, shape (B,)


def fit_batch(fit: UnivariateFit, batch: Batch) -> BatchFit:
    """Return the fits of all problems of a batch with the estimator, test, weights and given tau2 of a fit.

    Each problem has more effects than coefficients if tau2 is estimated, and its rows determine all of them.
    """
    given = np.full(batch.size, fit.tau2) if fit.tau2_given else None
    tau2 = get_estimator(fit.method).tau2(batch) if given is None else given
    exact = ((batch.v == 0) & (batch.n > 0)).any(axis=1)  # a sampling variance of 0 takes part
    tau2 = np.where(exact & (tau2 == 0), np.nan, tau2)
    with np.errstate(divide="ignore", invalid="ignore"):
        best = weighted_fit(batch, 1.0 / (batch.v + tau2[:, None]))
        found = best if fit.weighting is None else own_weights_fit(batch, tau2)
        scale, df = _tests(fit, batch, best, found.cov)
        at_zero = moments(batch, np.zeros(batch.size))
    q = np.where(exact, np.nan, at_zero.y_p_y)
    trace = np.where(exact, np.nan, at_zero.trace_p)
    lost = np.isnan(tau2)
    beta, cov = found.beta.copy(), found.cov * scale[:, None, None]
    beta[lost], cov[lost] = np.nan, np.nan
    return BatchFit(beta, cov, df, scale, tau2, q, trace)


BATCHED_TESTS = (*PLAIN_TESTS, "knapp-hartung-or-z", "knapp-hartung-iqwig")


def _tests(fit: UnivariateFit, batch: Batch, best: WeightedFit, cov: Array) -> tuple[Array, Array]:
    """Return the scale of the test of a fit for each problem, and its degrees of freedom, NaN for z."""
    free = np.broadcast_to(batch.df, batch.size).astype(float)
    nothing = np.full(batch.size, np.nan)
    if fit.test == "z":
        return np.ones(batch.size), nothing
    if fit.test == "t":
        return np.ones(batch.size), free if fit.df_given is None else np.full(batch.size, fit.df_given)
    scale = scale_of_test(fit.test, best.weighted_ss, free)
    half, z = t_by_df(fit.level, free) ** 2 * scale, normal_quantile(fit.level) ** 2
    if fit.test == "knapp-hartung-or-z":
        narrow = half < z
        return np.where(narrow, 1.0, scale), np.where(narrow, np.nan, free)
    if fit.test == "knapp-hartung-iqwig":
        other = weighted_fit(batch, 1.0 / (batch.v + dersimonian_laird(batch).tau2[:, None])).cov[:, 0, 0]
        wider = half * cov[:, 0, 0] >= z * other  # never where a sampling variance is 0
        scale = np.where(wider, scale, np.maximum(scale, 1.0))
    return scale, free


def t_by_df(level: float, df: Array) -> Array:
    """Return quantiles that enclose `level` from both sides, shape (B,); normal ones where df is NaN."""
    each, where = np.unique(df, return_inverse=True)
    known = each >= LEAST_DF
    quantile = np.where(np.isnan(each), normal_quantile(level), np.nan)
    quantile[known] = t_of_tail((1 - level) / 2, each[known])
    return np.asarray(quantile[where])


def read_counts(counts: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Return how often each effect takes part, of the shape (B, K)."""
    found = read_numbers(counts, "counts")
    if found.shape not in (shape, shape[1:], ()):
        raise ShapeError(f"counts have shape {found.shape}", f"shape {shape} or {shape[1:]}")
    if not ((found >= 0) & (found <= MOST_COUNTS) & (found == np.floor(found))).all():
        raise InputError(
            "some counts are missing, negative or not whole", f"whole numbers from 0 to {MOST_COUNTS:g}"
        )
    return np.broadcast_to(found, shape)


def _check(y: Array, v: Array, counts: Array | None) -> None:
    """Raise if values that take part cannot be used; the first rows are named."""
    part = np.ones(y.shape, dtype=bool) if counts is None else counts > 0
    bad = part & ~((np.abs(y) <= 1e100) & (v >= 1e-100) & (v <= 1e100))
    if bad.any():
        raise InputError(
            "some effects or variances that take part are missing, infinite, too large or not above 0",
            "y from -1e100 to 1e100, and v from 1e-100 to 1e100",
            "set the count of such an effect to 0, which leaves it out",
            [f"row {b + 1}, effect {k + 1}" for b, k in np.argwhere(bad)[:20]],
        )
    few = np.flatnonzero((np.full(len(y), y.shape[1]) if counts is None else counts.sum(axis=1)) < 2)
    if few.size:
        raise TooFewStudiesError(
            f"{few.size} rows have fewer than two effects",
            "at least two effects in each row",
            "leave these rows out",
            [f"row {b + 1}" for b in few[:20]],
        )
