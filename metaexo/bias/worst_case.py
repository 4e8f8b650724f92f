"""Sensitivity to publication bias: how much of it would explain a pooled effect away, and the worst case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from metaexo.bias.estimates import Alternative, estimates_of, rows_of
from metaexo.bias.results import AdjustedEstimate
from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, NotIdentifiableError
from metaexo.formatting import number, plural
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice, check_level, check_number
from metaexo.models.linear.hypothesis import quantiles, two_sided_pvalues, wald_statistics
from metaexo.numeric.problem import without_rounding
from metaexo.numeric.sandwich import cluster_sandwich
from metaexo.numeric.tails import normal_two_sided
from metaexo.readable import shows_itself
from metaexo.types import Array, Index, Mask

MODELS = ("robust", "random", "common")
# Selection ratios among which the first that moves the confidence bound far enough is sought.
RATIOS = 10.0 ** np.linspace(0, 6, 25)
FEW_DF = 4.0


@shows_itself
@dataclass(frozen=True, eq=False)
class CorrectedMean(Immutable):
    """A mean effect, corrected for selection by an assumed ratio.

    Attributes
    ----------
    ratio : float
        How many times as likely affirmative studies are assumed to be published; infinite in the worst case.
    estimate, se, low, high, pvalue : float
        The mean on the scale of the analysis, its standard error, its interval and its two-sided p-value of
        no effect; NaN where there is none.
    df : float
        Degrees of freedom of its t distribution; infinite for a normal one.
    """

    ratio: float
    estimate: float
    se: float
    low: float
    high: float
    pvalue: float
    df: float


@dataclass(frozen=True, eq=False)
class Selection:
    """Effects, which of them are affirmative, and how their means are made."""

    effects: EffectSizes
    affirmative: Mask
    model: str
    tau2: float
    cluster_of: Index
    level: float

    def mean(self, ratio: float) -> CorrectedMean:
        """Return the mean for an assumed selection ratio, which may be infinite."""
        share = 0.0 if np.isinf(ratio) else 1.0 / ratio
        used = ~self.affirmative | (share > 0)
        if not used.any():
            return CorrectedMean(ratio, *[np.nan] * 6)
        y, v = self.effects.y[used], self.effects.v[used]
        total = v + self.tau2
        weights = np.where(self.affirmative[used], share, 1.0) / total
        estimate = float(y[0] + weights @ (y - y[0]) / weights.sum())
        df = np.inf
        if self.model == "robust":
            residuals = without_rounding(y - estimate, y)
            variance, df = self._robust(residuals, total, weights, self.cluster_of[used])
        else:
            variance = float(weights**2 @ total) / float(weights.sum()) ** 2
        se = float(np.sqrt(variance))
        of_t = None if np.isinf(df) else np.array([df])
        half = pvalue = np.nan
        if se > 0:  # neither without a standard error, nor where effects do not vary at all
            half = float(np.ravel(quantiles(self.level, of_t))[0]) * se
            statistic = wald_statistics(np.array([estimate - self.effects.measure.null]), np.array([se]))
            pvalue = float(two_sided_pvalues(statistic, of_t)[0])
        return CorrectedMean(ratio, estimate, se, estimate - half, estimate + half, pvalue, df)

    @staticmethod
    def _robust(residuals: Array, total: Array, weights: Array, labels: Index) -> tuple[float, float]:
        """Return the cluster-robust variance of a weighted mean and its df; NaN for a single cluster."""
        members = rows_of(labels)
        if len(members) < 2:
            return np.nan, np.nan
        made = cluster_sandwich(
            np.ones((total.size, 1)),
            residuals,
            members,
            [total[rows] for rows in members],
            weights=[weights[rows] for rows in members],
        )
        return float(made.cov[0, 0]), float(made.satterthwaite(np.eye(1))[0])


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class WorstCase(AdjustedEstimate):
    """The worst case, and how much selection would explain the pooled effect away.

    Attributes
    ----------
    s_value : float
        How many times as likely affirmative studies would have to be published to move the mean to `value`;
        1 if it is there without selection, infinite if no ratio does.
    s_value_bound : float
        The same for the end of its interval that is nearer to `value`; NaN where there is no interval.
    value : float
        Where the mean is to be moved, on the scale of the analysis.
    alternative : {"greater", "less"}
        Direction in which significant results are favoured.
    significance : float
        Two-sided level at which results are significant.
    affirmative : ndarray of bool, shape (k,)
        Whether each effect is significant in that direction.
    model : {"robust", "random", "common"}
        How means are weighted, and what their standard errors rest on.
    unadjusted : CorrectedMean
        The mean without selection, of ratio 1.
    cluster_of : ndarray of int, shape (k,)
        Cluster of each effect.
    """

    name: ClassVar[str] = "worst case"
    rests_on: ClassVar[str] = "non-affirmative studies"
    s_value: float
    s_value_bound: float
    value: float
    alternative: Alternative
    significance: float
    affirmative: Mask
    model: Literal["robust", "random", "common"]
    unadjusted: CorrectedMean
    cluster_of: Index

    @property
    def sentence(self) -> str:
        """What was found, in one plain sentence."""
        null = self.measure.null
        at = "no effect" if self.value == null else number(float(back_pooled(self.effects, self.value)), 3)
        others = self.k - int(self.affirmative.sum())
        mean = number(float(back_pooled(self.effects, self.unadjusted.estimate)), 3)
        if np.isinf(self.s_value):
            moved = f"no selection of this kind moves the mean to {at}"
        elif self.s_value == 1:
            moved = f"the mean is not beyond {at} in that direction even without selection"
        else:
            moved = (
                f"significant results would have to be {number(self.s_value, 1)} times as likely to be "
                f"published to move the mean to {at}"
            )
        if not others:
            return (
                f"Worst case: none, because all {plural(self.k, 'effect')} are significant in the favoured "
                f"direction ({self.alternative}): how much selection would explain their mean of {mean} away "
                "cannot be said."
            )
        return (
            f"Worst case: {self.shown} from the {others} of {plural(self.k, 'effect')} that are not "
            f"significant in the favoured direction ({self.alternative}), where the mean of all is {mean}; "
            f"{moved}, {self._bound_words(at)}."
        )

    def _bound_words(self, at: str) -> str:
        """Say what becomes of the interval of the mean; `at`: the value where it is to be moved."""
        if np.isnan(self.s_value_bound):
            return "and its confidence bounds are not known"
        if np.isinf(self.s_value_bound):
            return "and its confidence bound stays beyond"
        if self.s_value_bound > 1:
            return f"and its confidence bound gets there at a ratio of {number(self.s_value_bound, 1)}"
        if self.unadjusted.low <= self.value <= self.unadjusted.high:
            return f"and its confidence interval includes {at} without selection"
        return f"and its confidence interval lies wholly on the other side of {at}"

    def corrected(self, ratio: float) -> CorrectedMean:
        """Return the mean if affirmative studies are this many times as likely to be published as others.

        Parameters
        ----------
        ratio : float
            At least 1; 1 is no selection, infinity the worst case.

        Returns
        -------
        CorrectedMean
            The mean with its interval, on the scale of the analysis.

        Raises
        ------
        InputError
            If `ratio` is below 1.
        """
        given = check_number("ratio", ratio)
        if not given >= 1:
            raise InputError(f"ratio is {given:g}", "a ratio of at least 1")
        tau2 = 0.0 if self.model == "common" else self.tau2
        selection = Selection(self.effects, self.affirmative, self.model, tau2, self.cluster_of, self.level)
        return selection.mean(given)


def worst_case(
    results: object,
    value: float | None = None,
    model: Literal["robust", "random", "common"] = "robust",
    *,
    alternative: Alternative | None = None,
    significance: float = 0.05,
    cluster: str | Sequence[object] | ArrayLike | None = "study",
    level: float | None = None,
) -> WorstCase:
    r"""Ask how much publication bias would explain a pooled effect away, and pool the worst case.

    Use it to say how robust a pooled effect is, without estimating selection. Affirmative studies, those with
    a significant effect in the favoured direction, are assumed to be :math:`\eta` times as likely to be
    published as all others. Then each other study stands for :math:`\eta` times as many, and the mean is

    .. math:: \hat\mu_\eta = \frac{\sum_i \pi_i w_i y_i}{\sum_i \pi_i w_i}, \qquad \pi_i = 1
              \text{ if affirmative, } \eta \text{ if not},

    with :math:`w_i = 1 / (v_i + \tau^2)`, or :math:`1 / v_i` for model="common". As :math:`\eta` increases it
    goes to the mean of the other studies alone, the worst case. The S-value is the :math:`\eta` that moves
    the mean, or the nearer end of its interval, to `value`. The larger it is, the less plausible it is that
    selection alone explains the effect; where even the worst case is beyond `value`, it is infinite.

    Parameters
    ----------
    results : FitResults or EffectSizes
        A fit of any model without moderators, or effects. tau2 is that of a fit of
        :class:`metaexo.RandomEffects`; for anything else it is estimated by REML.
    value : float, optional
        Where the mean is to be moved, on the scale of the analysis. Default: no effect.
    model : {"robust", "random", "common"}
        "robust": cluster-robust standard errors (CR2 with the working variances v + tau2, Satterthwaite df),
        also for one effect per study. "random", "common": those of the random-effects and of the
        common-effect model with known weights, and normal quantiles.
    alternative : {"greater", "less"}, optional
        Direction in which significant results are favoured. Default: "greater" for effects of which positive
        means benefit, else that of the fixed-effect mean.
    significance : float
        Two-sided level at which a result is significant.
    cluster : str or sequence of length k, optional
        Column of the data, or a label for each effect, for model="robust". None: effects are independent.
    level : float, optional
        Level of intervals; default that of the fit, or 0.95.

    Returns
    -------
    WorstCase
        The mean of the worst case, S-values, and `corrected(ratio)` for any ratio.

    Raises
    ------
    UnknownChoiceError
        If `model` or `alternative` is not known.
    NotIdentifiableError
        If the measure has no value of no effect, or there are fewer than two clusters.
    TooFewStudiesError
        If there are fewer than two effects.

    Notes
    -----
    The R package PublicationBias takes the sampling variances alone as working variances of the robust model,
    so that its standard errors are smaller under heterogeneity; and t quantiles on k - 1 degrees of freedom
    in the common-effect model. Means, and S-values of means, are the same.

    References
    ----------
    Mathur, M. B., VanderWeele, T. J. (2020). Sensitivity analysis for publication bias in meta-analyses.
    Journal of the Royal Statistical Society C 69, 1091-1119. https://doi.org/10.1111/rssc.12440

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.6, 0.5, 0.1, 0.2, -0.1, 0.7], [0.04, 0.03, 0.02, 0.03, 0.02, 0.05])
    >>> found = mx.bias.worst_case(es)
    >>> print(f"worst case {found.estimate:.3f}, S-value {found.s_value}")
    worst case 0.062, S-value inf
    """
    check_choice("model", model, MODELS)
    significance = check_level(significance, "significance")
    est = estimates_of(results, "worst_case", level=level)
    null = est.effects.measure.null
    if np.isnan(null):
        raise NotIdentifiableError(
            f"{est.effects.measure.display} has no value of no effect, so that no effect is significant",
            "a measure of a difference or a ratio",
            "compute effects against a control group",
        )
    target = float(null) if value is None else check_number("value", value)
    if not np.isfinite(target):
        raise InputError(f"value is {target:g}", "a finite number")
    side = est.direction(alternative)
    sign = 1.0 if side == "greater" else -1.0
    z = sign * (est.y - null) / est.se
    affirmative = (z > 0) & (normal_two_sided(z) < significance)
    labels = est.cluster_of(cluster)
    tau2 = 0.0 if model == "common" else est.tau2
    selection = Selection(est.effects, affirmative, model, tau2, labels, est.level)
    worst, unadjusted = selection.mean(np.inf), selection.mean(1.0)
    beyond = sign * (est.y - target) / (est.v + tau2)

    def bound(ratio: float) -> float:
        found = selection.mean(ratio)
        return sign * ((found.low if side == "greater" else found.high) - target)

    return WorstCase(
        effects=est.effects,
        said=(*est.cautions(independent=model != "robust"), *_said(worst, affirmative, unadjusted, sign)),
        is_adjusted=bool(affirmative.any()),
        estimate=worst.estimate,
        se=worst.se,
        low=worst.low,
        high=worst.high,
        level=est.level,
        pvalue=worst.pvalue,
        tau2=np.nan if model == "common" else tau2,
        s_value=_ratio_of_mean(float(beyond[affirmative].sum()), float(beyond[~affirmative].sum())),
        s_value_bound=_ratio_of_bound(bound),
        value=target,
        alternative=side,
        significance=significance,
        affirmative=affirmative,
        model=model,
        unadjusted=unadjusted,
        cluster_of=labels,
    )


def _ratio_of_mean(affirmative: float, others: float) -> float:
    """Return the ratio at which `affirmative` + ratio `others`, positive at first, is 0."""
    if affirmative + others <= 0:
        return 1.0
    return affirmative / -others if others < 0 else np.inf


def _ratio_of_bound(bound: Callable[[float], float]) -> float:
    """Return the least ratio at which a function that is positive at first is 0; NaN if it has no value."""
    first = bound(1.0)
    if not first > 0:
        return 1.0 if first <= 0 else np.nan

    def at_share(share: float) -> float:
        return bound(1.0 / share if share > 0 else np.inf)

    shares = [*(1.0 / RATIOS), 0.0]
    for upper, lower in pairwise(shares):
        value = at_share(lower)
        if np.isnan(value) and lower > 0:  # but the worst case may have no interval
            return np.nan
        if value <= 0:
            try:
                return float(1.0 / brentq(at_share, lower, upper, xtol=1e-18, rtol=1e-12))
            except ValueError:  # somewhere between there is no interval
                return np.nan
    return np.inf


def _said(worst: CorrectedMean, affirmative: Mask, unadjusted: CorrectedMean, sign: float) -> list[str]:
    """Return what to know before relying on the worst case."""
    if affirmative.all():
        return ["all effects are significant in the favoured direction: there is no worst case"]
    said = []
    if not affirmative.any():
        said.append(
            "no effect is significant in the favoured direction: selection of this kind has nothing to act on"
        )
    elif sign * worst.estimate >= sign * unadjusted.estimate:
        said.append(
            "the worst case is no worse than the mean of all effects: those that are not significant do not "
            "lie on its other side"
        )
    if np.isnan(worst.se):
        said.append(
            "all effects that are not significant come from one study: the worst case has no standard error"
        )
    elif worst.df < FEW_DF:
        said.append(
            f"the worst case rests on {worst.df:.3g} degrees of freedom: its interval and p-value are a "
            "rough guide"
        )
    return said
