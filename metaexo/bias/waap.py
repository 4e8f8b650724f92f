"""WAAP-WLS: the weighted average of the adequately powered studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.bias.estimates import estimates_of, rows_of
from metaexo.bias.power import power_of_studies
from metaexo.bias.results import AdjustedEstimate
from metaexo.errors import NotIdentifiableError
from metaexo.formatting import percent, plural
from metaexo.immutable import Immutable
from metaexo.models.linear.hypothesis import quantiles, two_sided_pvalues, wald_statistics
from metaexo.numeric.problem import without_rounding
from metaexo.numeric.sandwich import cluster_sandwich
from metaexo.readable import shows_itself
from metaexo.types import Array, Index, Mask

# The 97.5% and 80% quantiles of the normal distribution add up to 2.8: a study has 80% power in a two-sided
# test at 0.05 if its standard error is at most the true effect over 2.8.
ADEQUATE = 2.8
SIGNIFICANCE = 0.05
FEW_DF = 4.0


@shows_itself
@dataclass(frozen=True, eq=False)
class UnrestrictedMean(Immutable):
    """An unrestricted weighted least squares mean: weights 1 / v, and a factor on the variances.

    Attributes
    ----------
    estimate, se, low, high, pvalue : float
        The mean, its standard error, its interval and its two-sided p-value of no effect.
    df : float
        Degrees of freedom of its t distribution.
    dispersion : float
        Estimated factor on the sampling variances, which can be below 1.
    """

    estimate: float
    se: float
    low: float
    high: float
    pvalue: float
    df: float
    dispersion: float


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Waap(AdjustedEstimate):
    """The weighted average of the adequately powered studies, or that of all if they are fewer than two.

    Attributes
    ----------
    wls : UnrestrictedMean
        The mean of all effects, which stands for the true effect where power is computed.
    adequate : ndarray of bool, shape (k,)
        Whether each effect has adequate power: a standard error of at most the distance of that mean from no
        effect, divided by 2.8.
    used : {"WAAP", "WLS"}
        Whether `estimate` is the mean of these effects, or that of all.
    power : ndarray, shape (k,)
        Power of each effect in a two-sided test at 0.05, if that mean is the true effect.
    clusters : int
        Number of clusters of the robust variance; 0 where effects are taken as independent.
    """

    name: ClassVar[str] = "WAAP-WLS"
    rests_on: ClassVar[str] = "adequate power"
    wls: UnrestrictedMean
    adequate: Mask
    used: Literal["WAAP", "WLS"]
    power: Array
    clusters: int

    @property
    def median_power(self) -> float:
        """Median power."""
        return float(np.median(self.power))

    @property
    def sentence(self) -> str:
        """What was found, in one plain sentence."""
        count = int(self.adequate.sum())
        rest = (
            "their weighted average was used"
            if self.used == "WAAP"
            else "too few, so the weighted average of all was used"
        )
        return (
            f"WAAP-WLS: adjusted estimate {self.shown}; {count} of {plural(self.k, 'effect')} "
            f"{'has' if count == 1 else 'have'} adequate power (median power {percent(self.median_power)}), "
            f"{rest}."
        )


def waap_wls(
    results: object,
    *,
    cluster: str | Sequence[object] | ArrayLike | None = "study",
    level: float | None = None,
) -> Waap:
    r"""Estimate the mean effect from the adequately powered studies alone.

    Use it as one of several adjusted estimates: studies with much power depend less on selection, because
    they are significant without it. The unrestricted weighted least squares mean of all effects (weights
    1 / v, the variance of the residuals estimated) stands for the true effect :math:`\theta`. A study is
    adequately powered, with a power of 80% in a two-sided test at 0.05, if its standard error is at most
    :math:`|\theta| / 2.8`, with :math:`\theta` as a distance from no effect. Where at least two studies are,
    the estimate is their unrestricted weighted least squares mean; otherwise it is that of all effects, and
    the result says so. Where heterogeneity is large, and where all studies are small, the bias remains.

    Parameters
    ----------
    results : FitResults or EffectSizes
        A fit of any model without moderators, or effects.
    cluster : str or sequence of length k, optional
        Column of the data, or a label for each effect. If a cluster has several effects, standard errors are
        cluster-robust (CR2, Satterthwaite df). None: effects are taken as independent.
    level : float, optional
        Level of the intervals; default that of the fit, or 0.95.

    Returns
    -------
    Waap
        The estimate, the mean of all effects, and the power of each effect, on the scale of the analysis.

    Raises
    ------
    NotIdentifiableError
        If the measure has no value of no effect.
    TooFewStudiesError
        If there are fewer than two effects.
    InputError
        If `results` is neither a fit nor effects.

    References
    ----------
    Stanley, T. D., Doucouliagos, H., Ioannidis, J. P. A. (2017). Finding the power to reduce publication
    bias. Statistics in Medicine 36, 1580-1598. https://doi.org/10.1002/sim.7228

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.3, 0.2, 0.4, 0.9, 0.7], [0.004, 0.006, 0.05, 0.09, 0.08])
    >>> found = mx.bias.waap_wls(es)
    >>> found.used, found.adequate.tolist(), round(found.estimate, 3)
    ('WAAP', [True, True, False, False, False], 0.26)
    """
    est = estimates_of(results, "waap_wls", level=level)
    null = est.effects.measure.null
    if np.isnan(null):
        raise NotIdentifiableError(
            f"{est.effects.measure.display} has no value of no effect, so that studies have no power",
            "a measure of a difference or a ratio",
            "compute effects against a control group",
        )
    labels = est.cluster_of(cluster)
    clustered = np.unique(labels).size < est.k
    every = _mean(est.y, est.v, labels, clustered, est.level, null)
    distance = every.estimate - null
    adequate = est.se * ADEQUATE <= abs(distance)
    enough = np.unique(labels[adequate]).size >= 2
    found = every
    if enough:
        found = _mean(est.y[adequate], est.v[adequate], labels[adequate], clustered, est.level, null)
    said = list(est.cautions(independent=not clustered))
    if not enough:
        said.append(
            "fewer than two studies have adequate power: the estimate is the weighted average of all "
            "effects, which is no remedy for selection"
        )
    if found.df < FEW_DF:
        said.append(
            f"{'WAAP' if enough else 'WLS'} rests on {found.df:.3g} degrees of freedom: its interval and "
            "p-value are a rough guide"
        )
    return Waap(
        effects=est.effects,
        said=tuple(said),
        is_adjusted=enough,
        estimate=found.estimate,
        se=found.se,
        low=found.low,
        high=found.high,
        level=est.level,
        pvalue=found.pvalue,
        wls=every,
        adequate=adequate,
        used="WAAP" if enough else "WLS",
        power=power_of_studies(distance, est.se, SIGNIFICANCE),
        clusters=int(np.unique(labels).size) if clustered else 0,
    )


def _mean(y: Array, v: Array, labels: Index, clustered: bool, level: float, null: float) -> UnrestrictedMean:
    """Return the unrestricted weighted least squares mean; `labels`: the cluster of each effect."""
    weights = 1.0 / v
    estimate = float(y[0] + weights @ (y - y[0]) / weights.sum())
    residuals = without_rounding(y - estimate, y)
    dispersion = float(weights @ residuals**2) / (y.size - 1)
    variance, df = dispersion / weights.sum(), float(y.size - 1)
    if clustered:
        members = rows_of(labels)
        robust = cluster_sandwich(np.ones((y.size, 1)), residuals, members, [v[rows] for rows in members])
        variance, df = float(robust.cov[0, 0]), float(robust.satterthwaite(np.eye(1))[0])
    se = float(np.sqrt(variance))
    half = pvalue = np.nan
    if se > 0:  # effects that do not vary at all say nothing about precision
        half = float(np.ravel(quantiles(level, np.array([df])))[0]) * se
        statistic = wald_statistics(np.array([estimate - null]), np.array([se]))
        pvalue = float(two_sided_pvalues(statistic, np.array([df]))[0])
    return UnrestrictedMean(estimate, se, estimate - half, estimate + half, pvalue, df, dispersion)
