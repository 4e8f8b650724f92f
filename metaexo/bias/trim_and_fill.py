r"""Trim and fill: how many studies are missing on one side of the funnel, and the mean with them filled in.

Effects are centred at the mean of those that are left after the k0 most extreme ones on one side are taken
away (trimmed); studies are missing on the other side. From the ranks of the absolute centred effects follows
a new k0, and so on until k0 no longer changes. The trimmed studies are then put back, together with their
mirror images (filled), and the model is fitted to all of them.

The unrounded estimates of k0 never lie half-way between two integers.

References
----------
Duval, S., Tweedie, R. (2000). Trim and fill: a simple funnel-plot-based method of testing and adjusting for
publication bias in meta-analysis. Biometrics 56, 455-463. https://doi.org/10.1111/j.0006-341X.2000.00455.x
Duval, S., Tweedie, R. (2000). A nonparametric "trim and fill" method of accounting for publication bias in
meta-analysis. Journal of the American Statistical Association 95, 89-98.
https://doi.org/10.1080/01621459.2000.10473905
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.bias.estimates import Estimates, estimates_of
from metaexo.bias.results import AdjustedEstimate, shown_estimate
from metaexo.effects.check import read_variances
from metaexo.effects.derivation import REPORTED, Derivation
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import ConvergenceError, InputError, NotIdentifiableError
from metaexo.formatting import number, plural
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice, read_numbers
from metaexo.models.univariate.batched import ManyFits, fit_many
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.moments import weighted_fit
from metaexo.numeric.problem import make_batch
from metaexo.readable import shows_itself, with_ratios
from metaexo.types import Array, Index, Mask

if TYPE_CHECKING:
    import pandas as pd

ESTIMATORS = ("L0", "R0", "Q0")
SIDES = ("left", "right")
Side = Literal["left", "right"]
# Mean of problems of the same size: from effects, variances and weights (or None), each (B, K), to (B,).
Mean = Callable[[Array, Array, Array | None], Array]
OPPOSITE = {"left": "right", "right": "left"}
FILLED = Derivation("assumed", "mirror image", "filled in by trim and fill")
# Columns of whole numbers and of flags that can have gaps.
GAPS = {"i": "Int64", "b": "boolean"}
# Differences between absolute centred effects below this share of the largest effect are rounding errors.
ROUNDING = 64 * float(np.finfo(float).eps)
# Standard errors that differ by a smaller share do not say on which side small studies are missing.
SAME_PRECISION = 1e-9


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TrimAndFill(AdjustedEstimate):
    """Result of :func:`trim_and_fill`; `estimate`, `se`, `low` and `high` are those with filled studies.

    Attributes
    ----------
    k0 : int
        Estimated number of missing studies.
    k0_se : float
        Its standard error by the formula of Duval and Tweedie at the unrounded estimate; NaN where that is
        so far below 0 that there is none.
    k0_pvalue : float
        For R0, the probability of at least this k0 where no study is missing; NaN for L0 and Q0.
    side : {"left", "right"}
        Side on which studies are missing: "left" of the mean, where effects are smaller.
    side_given : bool
        Whether the side was given, and not chosen by the regression test.
    estimator : {"L0", "R0", "Q0"}
        Estimator of k0.
    iterations : int
        Number of trimmed fits.
    is_filled : ndarray of bool
        Which rows of `filled` were filled in, shape (k + k0,).
    fit : RandomEffectsResults
        The fit to all effects, those filled in included.
    unadjusted : RandomEffectsResults
        The same model fitted to the effects alone.
    """

    rests_on: ClassVar[str] = "symmetric funnel"
    k0: int
    k0_se: float
    k0_pvalue: float
    side: Side
    side_given: bool
    estimator: str
    iterations: int
    is_filled: Mask
    fit: RandomEffectsResults
    unadjusted: RandomEffectsResults

    @property
    def name(self) -> str:  # type: ignore[override]
        """The method with its estimator."""
        return f"trim and fill ({self.estimator})"

    @property
    def filled(self) -> EffectSizes:
        """The effects, followed by those filled in."""
        return self.fit.effects

    @property
    def mirrored(self) -> Index:
        """Rows of the effects that those filled in mirror, in their order, shape (k0,)."""
        order = np.argsort(self.effects.y if self.side == "left" else -self.effects.y, kind="stable")
        return order[self.k - self.k0 :]

    @property
    def sentence(self) -> str:
        """What was filled in, and what it changes."""
        before = self.unadjusted.pooled(self.level)
        ends = (before.low, before.high) if before.se > 0 else (np.nan, np.nan)
        unadjusted = shown_estimate(self.effects, before.estimate, *ends, self.level)
        name = f"{self.name[0].upper()}{self.name[1:]}"
        how = "as given" if self.side_given else "by the slope of the regression test"
        if self.k0 == 0:
            return (
                f"{name} finds no missing study on the {self.side} (side {how}); the estimate stays "
                f"{unadjusted}."
            )
        p = f" (SE {number(self.k0_se, 2)})" if np.isfinite(self.k0_se) else ""
        return (
            f"{name} fills in {plural(self.k0, 'study', 'studies')}{p} on the {self.side} (side {how}): "
            f"{self.shown} with them, {unadjusted} without."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return two rows, without and with the studies filled in; ratios beside logarithms.

        Columns: method, k, filled, estimate, se, low, high, pvalue, tau2.
        """
        import pandas as pd

        before = self.unadjusted.pooled(self.level)
        p = float(self.unadjusted.wald_pvalues[0])
        rows = [
            ("without filled studies", 0, before.estimate, before.se, before.low, before.high, p),
            (self.name, self.k0, self.estimate, self.se, self.low, self.high, self.pvalue),
        ]
        frame = pd.DataFrame(
            rows, columns=["method", "filled", "estimate", "se", "low", "high", "pvalue"]
        ).assign(tau2=[self.unadjusted.tau2, self.tau2])
        frame.insert(1, "k", [self.k, self.k + self.k0])
        return with_ratios(frame, "pvalue") if self.measure.display_log else frame


def trim_and_fill(
    results: object,
    estimator: Literal["L0", "R0", "Q0"] = "L0",
    side: Side | None = None,
    *,
    level: float | None = None,
) -> TrimAndFill:
    r"""Estimate how many studies are missing on one side of the funnel, and the mean with them filled in.

    Use it to see how far the mean moves if the funnel is made symmetric. It assumes that the studies with
    the most extreme effects on one side were suppressed. Where true effects differ it also adds studies when
    none are missing (Terrin et al. 2003; Peters et al. 2007), so it is a sensitivity analysis and no estimate
    to replace the mean; selection models say more where there are enough studies.

    With n effects, :math:`T_n` the sum of the ranks of the positive centred effects (studies missing on the
    left) and :math:`\gamma` the number of positive ones at the end of the ranking,

    .. math:: L_0 = \frac{4 T_n - n (n + 1)}{2 n - 1}, \quad R_0 = \gamma - 1, \quad
       Q_0 = n - \tfrac12 - \sqrt{2 n^2 - 4 T_n + \tfrac14}.

    Ranks of equal absolute effects follow the order of the effects, then that of the rows.

    Parameters
    ----------
    results : EffectSizes or fit
        Effects, or a fit of any model without moderators. The estimator of tau2, the test, the level, a
        tau2 that was given and weights are those of a fit of RandomEffects; otherwise REML with
        Knapp-Hartung, the effects taken as independent.
    estimator : {"L0", "R0", "Q0"}
        Estimator of the number of missing studies. L0 is the usual one; R0 gives a test as well, and sees
        only the most extreme studies.
    side : {"left", "right"}, optional
        Side on which studies are missing. Default: by the slope of the regression of effects on their
        standard errors with the same estimator of tau2; right if it is negative, otherwise left.
    level : float, optional
        Level of the interval; default that of the fit, or 0.95.

    Returns
    -------
    TrimAndFill
        The number of missing studies, the effects with those filled in, and the fit to them beside the
        unadjusted one.

    Raises
    ------
    TooFewStudiesError
        If there are fewer than two effects.
    InputError
        If standard errors do not differ and no side is given, if the fit has moderators, or if a sampling
        variance is zero.
    NotIdentifiableError
        If Q0 is not defined, because nearly all ranks are of effects on one side.
    ConvergenceError
        If the number of missing studies goes round in a circle.

    References
    ----------
    Duval, S., Tweedie, R. (2000). https://doi.org/10.1111/j.0006-341X.2000.00455.x
    Duval, S., Tweedie, R. (2000). https://doi.org/10.1080/01621459.2000.10473905
    Terrin, N. et al. (2003). Statistics in Medicine 22, 2113-2126. https://doi.org/10.1002/sim.1461
    Peters, J. L. et al. (2007). Statistics in Medicine 26, 4544-4562. https://doi.org/10.1002/sim.2889

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.1, 0.15, 0.2, 0.3, 0.5, 0.6, 0.8], [0.01, 0.01, 0.02, 0.02, 0.05, 0.06, 0.1])
    >>> found = mx.bias.trim_and_fill(mx.RandomEffects(es).fit(method="DL", test="z"))
    >>> found.k0, found.side
    (3, 'left')
    """
    check_choice("estimator", estimator, ESTIMATORS)
    if side is not None:
        check_choice("side", side, SIDES)
    est = estimates_of(results, "trim_and_fill", level=level)
    mean = _mean(est.method, est.tau2_given)
    y, v = est.y[None], est.v[None]
    w = None if est.weights is None else est.weights[None]
    chosen = side or _side_of(est)
    sign = 1.0 if chosen == "left" else -1.0
    order = np.argsort(sign * est.y, kind="stable")
    unadjusted = est.refit()
    whole = np.array([sign * unadjusted.estimate])
    ascending = (sign * y[:, order], v[:, order], None if w is None else w[:, order])
    found = _iterate(*ascending, mean, estimator, whole)
    k0 = _settled(found, estimator, chosen)
    extreme = order[est.k - k0 :]
    effects = _with_mirrored(est.effects, extreme, sign * float(found.mean[0])) if k0 else est.effects
    weights = None if est.weights is None else np.concatenate((est.weights, est.weights[extreme]))
    fit = est.refit(effects, weights) if k0 else unadjusted
    pooled = fit.pooled(est.level)
    return TrimAndFill(
        effects=est.effects,
        said=(*est.cautions(), *_cautions(k0, unadjusted)),
        is_adjusted=k0 > 0,
        estimate=pooled.estimate,
        se=pooled.se,
        low=pooled.low,
        high=pooled.high,
        level=pooled.level,
        pvalue=float(fit.wald_pvalues[0]),
        tau2=fit.tau2,
        k0=k0,
        k0_se=float(_standard_errors(est.k, found.raw, estimator)[0]),
        k0_pvalue=0.5 ** (k0 + 1) if estimator == "R0" else np.nan,
        side=chosen,
        side_given=side is not None,
        estimator=estimator,
        iterations=int(found.iterations[0]),
        is_filled=np.arange(est.k + k0) >= est.k,
        fit=fit,
        unadjusted=unadjusted,
    )


@shows_itself
@dataclass(frozen=True, eq=False)
class ManyTrimAndFill(Immutable):
    """Result of :func:`trim_and_fill_many` for B meta-analyses.

    Attributes
    ----------
    k0 : ndarray of int, shape (B,)
        Estimated number of missing studies; -1 where there is none.
    settled : ndarray of bool, shape (B,)
        Whether k0 could be estimated: it reproduces itself, and Q0 is defined.
    fits : ManyFits
        Fits with the studies filled in; NaN where k0 could not be estimated.
    unadjusted : ManyFits
        Fits to the effects alone.
    """

    k0: NDArray[np.intp]
    settled: Mask
    fits: ManyFits
    unadjusted: ManyFits


def trim_and_fill_many(
    y: ArrayLike,
    v: ArrayLike | None = None,
    *,
    se: ArrayLike | None = None,
    estimator: Literal["L0", "R0", "Q0"] = "L0",
    side: Side = "left",
    method: str = "REML",
    test: str | None = None,
    level: float = 0.95,
) -> ManyTrimAndFill:
    """Trim and fill for B meta-analyses in one batched call.

    Use it in simulations. The numbers are those of :func:`trim_and_fill` with the side given.

    Parameters
    ----------
    y, v : array_like, shape (B, K)
        Effects and sampling variances above 0, one meta-analysis per row.
    se : array_like, shape (B, K), optional
        Standard errors, in the place of `v`.
    estimator : {"L0", "R0", "Q0"}
        Estimator of the number of missing studies.
    side : {"left", "right"}
        Side on which studies are missing.
    method, test : str
        Estimator of tau2 and kind of test; see :func:`metaexo.fit_many`.
    level : float
        Level of the intervals.

    Returns
    -------
    ManyTrimAndFill
        Numbers of missing studies, and the fits with and without them.

    Raises
    ------
    ShapeError
        If the shapes differ.
    InputError
        If an effect or a variance cannot be used.

    References
    ----------
    Duval, S., Tweedie, R. (2000). https://doi.org/10.1111/j.0006-341X.2000.00455.x

    Examples
    --------
    >>> import metaexo as mx
    >>> y = [[0.1, 0.15, 0.2, 0.3, 0.5, 0.6, 0.8], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]]
    >>> v = [[0.01, 0.01, 0.02, 0.02, 0.05, 0.06, 0.1]] * 2
    >>> mx.bias.trim_and_fill_many(y, v, method="DL").k0.tolist()
    [3, 3]
    """
    check_choice("estimator", estimator, ESTIMATORS)
    check_choice("side", side, SIDES)
    unadjusted = fit_many(y, v, None, method, test, level, se=se)
    sign = 1.0 if side == "left" else -1.0
    effects = sign * read_numbers(y, "y", ndim=2)
    order = np.argsort(effects, axis=1, kind="stable")
    effects = np.take_along_axis(effects, order, axis=1)
    variances = np.take_along_axis(read_variances(v, se, ndim=2), order, axis=1)
    whole = sign * unadjusted.estimate
    found = _iterate(effects, variances, None, _mean(method), estimator, whole)
    k0 = np.where(found.settled, found.k0, 0)
    fits, most = unadjusted, int(k0.max(initial=0))
    if most:
        mirrored = 2 * found.mean[:, None] - effects[:, : -most - 1 : -1]
        there = np.arange(most) < k0[:, None]
        counts = np.concatenate((np.ones(effects.shape), there), axis=1)
        filled = np.concatenate((effects, mirrored), axis=1)
        weighed = np.concatenate((variances, variances[:, : -most - 1 : -1]), axis=1)
        fits = fit_many(sign * filled, weighed, counts, method, test, level)
    if not found.settled.all():
        names = ("estimate", "se", "low", "high", "tau2", "q")
        values = {name: np.where(found.settled, getattr(fits, name), np.nan) for name in names}
        fits = replace(fits, **values)
    return ManyTrimAndFill(np.where(found.settled, k0, -1), found.settled, fits, unadjusted)


# -- the iterations, batched --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    """Where the iterations of B problems ended."""

    k0: NDArray[np.intp]  # (B,): number of missing studies; the last one tried where nothing was found
    raw: Array  # (B,): the last estimate before it was rounded; NaN where Q0 is not defined
    mean: Array  # (B,): mean of the effects left after trimming
    settled: Mask  # (B,): whether k0 reproduces itself
    circle: Mask  # (B,): whether k0 comes back without doing so; otherwise the estimator is not defined
    iterations: NDArray[np.intp]  # (B,): trimmed fits


def _mean(method: str, tau2: float | None = None) -> Mean:
    """Return the function that gives the means of problems by an estimator of tau2, or at a given tau2."""
    kernel = get_estimator(method).kernel

    def mean(y: Array, v: Array, w: Array | None) -> Array:
        if y.shape[1] == 1:
            return y[:, 0]
        batch = make_batch(y, v, weights=w)
        if w is None:
            between = kernel(batch).tau2[:, None] if tau2 is None else tau2
            return weighted_fit(batch, 1.0 / (v + between)).beta[:, 0]
        return weighted_fit(batch, w).beta[:, 0]

    return mean


def _iterate(
    y: Array, v: Array, w: Array | None, mean: Mean, estimator: str, whole: Array | None = None
) -> _Found:
    """Find k0 of problems whose effects, shape (B, K), ascend and lack studies on the left.

    `whole`, shape (B,): the means of all effects, where they are known.
    """
    size, k = y.shape
    k0 = np.zeros(size, dtype=np.intp)
    raw, centre = np.zeros(size), np.zeros(size)
    tried = np.zeros((size, k + 1), dtype=bool)
    settled, circle = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    iterations = np.zeros(size, dtype=np.intp)
    active = np.arange(size)
    while active.size:
        tried[active, k0[active]] = True
        iterations[active] += 1
        for trimmed in np.unique(k0[active]).tolist():
            rows = active[k0[active] == trimmed]
            left = slice(0, k - trimmed)
            if trimmed == 0 and whole is not None:
                centre[rows] = whole[rows]
                continue
            centre[rows] = mean(y[rows, left], v[rows, left], None if w is None else w[rows, left])
        raw[active] = _statistic(y[active], centre[active], estimator)
        defined = np.isfinite(raw[active])
        new = np.where(defined, np.maximum(np.rint(raw[active]), 0), k0[active]).astype(np.intp)
        same = new == k0[active]
        settled[active[same & defined]] = True
        again = ~same & tried[active, new]
        circle[active[again]] = True
        k0[active] = new
        active = active[~same & ~again]
    return _Found(k0, raw, centre, settled, circle, iterations)


def _statistic(y: Array, centre: Array, estimator: str) -> Array:
    """Return the unrounded estimates of k0, shape (B,); NaN where Q0 has no real root."""
    n = y.shape[1]
    away = y - centre[:, None]
    grain = ROUNDING * np.abs(y).max(axis=1, keepdims=True)
    ranks = _ranks(np.abs(away), grain)
    positive = away > grain
    if estimator == "R0":
        return np.asarray(n - 1.0 - np.where(positive, 0, ranks).max(axis=1))
    total = np.where(positive, ranks, 0).sum(axis=1)
    if estimator == "L0":
        return np.asarray((4 * total - n * (n + 1)) / (2 * n - 1))
    inner = 2 * n * n - 4 * total + 0.25
    return np.where(inner >= 0, n - 0.5 - np.sqrt(np.maximum(inner, 0)), np.nan)


def _ranks(sizes: Array, grain: Array) -> NDArray[np.intp]:
    """Return ranks from 1 within rows; sizes that differ by no more than a grain rank in their order."""
    order = np.argsort(sizes, axis=1, kind="stable")
    near = np.diff(np.take_along_axis(sizes, order, axis=1), axis=1) <= grain
    if near.any():
        tied = np.cumsum(np.pad(~near, ((0, 0), (1, 0))), axis=1)
        order = np.take_along_axis(order, np.argsort(tied * sizes.shape[1] + order, axis=1), axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, sizes.shape[1] + 1)[None], axis=1)
    return ranks


def _standard_errors(n: int, k: Array, estimator: str) -> Array:
    """Return standard errors of unrounded estimates, shape (B,); NaN where the formula gives none."""
    if estimator == "R0":
        return np.asarray(np.sqrt(2 * np.maximum(k, 0) + 2))
    cubic = 10 * k**3 + 27 * k**2 + 17 * k - 18 * n * k**2 - 18 * n * k + 6 * n**2 * k
    variance = (n * (n + 1) * (2 * n + 1) + cubic) / 24
    slope = (n - 0.5) ** 2 / 4 if estimator == "L0" else ((n - 0.5) ** 2 - k * (2 * n - k - 1)) / 4
    known = (variance >= 0) & (slope > 0)
    return np.asarray(np.sqrt(np.where(known, variance / np.where(known, slope, 1.0), np.nan)))


def _side_of(est: Estimates) -> Side:
    """Return the side opposite to the one towards which effects of small studies lean."""
    largest = float(est.se.max())
    x = est.se / largest
    if np.ptp(x) <= SAME_PRECISION:
        raise InputError(
            f"all standard errors are {largest:.4g}: no regression on them can choose the side",
            "standard errors that differ, or a side",
            'say on which side studies may be missing: side="left" or side="right"',
        )
    design = np.column_stack((np.ones(est.k), x))
    weights = est.weights
    # Equal effects have no slope, not one of rounding errors.
    batch = make_batch(est.y - est.y[0], est.v, design, weights=weights)
    if weights is None:
        known = est.tau2_given if est.k > 2 else 0.0
        tau2 = get_estimator(est.method).kernel(batch).tau2[0] if known is None else known
        weights = 1.0 / (est.v + tau2)
    slope = float(weighted_fit(batch, weights[None]).beta[0, 1])
    return "right" if slope < 0 else "left"


def _settled(found: _Found, estimator: str, side: str) -> int:
    """Return k0 of one problem; raise if there is none."""
    k0, n = int(found.k0[0]), int(found.iterations[0])
    if found.settled[0]:
        return k0
    if found.circle[0]:
        raise ConvergenceError(
            f"the number of missing studies by {estimator} does not settle: after {plural(n, 'fit')} it is "
            f"{k0} again, which does not reproduce itself",
            "a number that reproduces itself",
            "take another estimator of it (L0, R0, Q0), or another estimator of tau2",
            (),
        )
    raise NotIdentifiableError(
        f"Q0 is not defined: nearly all ranks belong to effects on the {OPPOSITE[side]} of the trimmed mean",
        "a sum of ranks of at most about half the squared number of effects",
        'use estimator="L0" or estimator="R0"',
    )


# -- one result ---------------------------------------------------------------------------------------------


def _with_mirrored(effects: EffectSizes, extreme: NDArray[np.intp], mean: float) -> EffectSizes:
    """Return effects followed by the mirror images of some of them, each a study of its own."""
    images = [f"filled: {effects.row_labels[i]}" for i in extreme]
    own = tuple(f"{image} ({n})" for n, image in enumerate(images, 1))
    made = object.__new__(EffectSizes)  # what there is to say of the values was said when they were read
    made.__setstate__(
        effects.__dict__
        | {
            "y": np.concatenate((effects.y, 2 * mean - effects.y[extreme])),
            "v": np.concatenate((effects.v, effects.v[extreme])),
            "labels": (*effects.row_labels, *images),
            "study": (*effects.study, *own) if effects.study else (),
            "derived": (*(effects.derived or (REPORTED,) * effects.k), *(FILLED,) * extreme.size),
            "ledger": None,
            "origin": None,
            "index": None,
            "study_column": None,
            "_data": _lengthened(effects.data, extreme.size),
        }
    )
    return made


def _lengthened(data: pd.DataFrame | None, more: int) -> pd.DataFrame | None:
    """Return a table with empty rows below; whole numbers and flags stay what they are."""
    if data is None:
        return None
    kinds = {name: GAPS[kind] for name, kind in ((n, d.kind) for n, d in data.dtypes.items()) if kind in GAPS}
    return data.astype(kinds).reset_index(drop=True).reindex(range(len(data) + more))


def _cautions(k0: int, unadjusted: RandomEffectsResults) -> tuple[str, ...]:
    """Return what to know beside what holds for every method."""
    said = []
    if k0 and unadjusted.tau2 > 0:
        said.append(
            "true effects may differ (tau2 is above 0); trim and fill then adds studies even if none are "
            "missing, so take the adjusted estimate as a sensitivity analysis"
        )
    if k0 >= unadjusted.k - 1:
        said.append("only one effect was left to say where the middle is")
    return tuple(said)
