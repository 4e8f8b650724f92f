"""Pooled proportions by models of counts and by transformations of old, side by side, with what is wrong."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from metaexo.effects.conversions.scales import back_pooled, inverse_double_arcsine
from metaexo.effects.conversions.translations import clopper_pearson
from metaexo.effects.counts import EventCounts
from metaexo.errors import InputError, MetaexoError, MetaexoWarning
from metaexo.formatting import level_words, number, percent, plural
from metaexo.inputs import check_level, describe
from metaexo.models import BetaBinomial, CountGLMM, RandomEffects
from metaexo.models.counts.beta_binomial.results import BetaBinomialResults
from metaexo.models.linear.results import FitResults
from metaexo.numeric.study_risks import KINDS
from metaexo.numeric.tails import normal_quantile
from metaexo.safety.results import Arm, OneArmResult, SafetyResult, kind_of, one_arm, same_study_cautions
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

MIDDLE = 0.95  # share of the studies whose range of risks is shown
LOGIT_NORMAL = next(kind for kind in KINDS if kind.of_people and kind.scale == "tau")
NAMES = (
    "sum of events",
    "mixed model",
    "mixed model, mean",
    "beta-binomial",
    "logit, 1/2 added",
    "double arcsine",
    "arcsine",
)


@dataclass(frozen=True)
class _Row:
    """One method: its estimate with interval, the range of study risks, tau, and what is wrong with it."""

    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    tau: float = math.nan
    range_low: float = math.nan
    range_high: float = math.nan
    fault: str = ""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ProportionComparison(OneArmResult):
    """Result of :func:`compare_proportions`.

    Attributes
    ----------
    names : tuple of str
        Methods.
    estimate, low, high : ndarray, shape (7,)
        Pooled proportions with their intervals; NaN where a method has no answer.
    tau : ndarray, shape (7,)
        Standard deviation of study effects on the scale of the method (of the beta-binomial model: the
        intra-class correlation); NaN for a common risk.
    range_low, range_high : ndarray, shape (7,)
        Range of the risks of the middle 95% of studies that it amounts to, so that methods can be compared.
    faults : tuple of str
        What is wrong with each method, or to be known of it; why it has no answer.
    """

    names: tuple[str, ...]
    estimate: Array
    low: Array
    high: Array
    tau: Array
    range_low: Array
    range_high: Array
    faults: tuple[str, ...]

    @property
    def method(self) -> str:
        """What was compared."""
        return "models of counts beside normal models of transformed proportions (REML, normal intervals)"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What all methods rest on."""
        return ("people are independent within a study", "studies are a sample of those meant")

    @property
    def sentence(self) -> str:
        """How far the methods are apart, and which to use."""
        known = self.estimate[np.isfinite(self.estimate)]
        return (
            f"{self.seen}: pooled proportions from {percent(float(known.min()), 2)} to "
            f"{percent(float(known.max()), 2)} ({level_words(self.level)} intervals in the table); models "
            "of counts add nothing to zeros and need no back-transformation."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per method: estimate, low, high, tau, the range of study risks, and its fault."""
        import pandas as pd

        columns = ("estimate", "low", "high", "tau", "range_low", "range_high")
        table = {"method": self.names} | {name: getattr(self, name) for name in columns}
        return pd.DataFrame(table | {"fault": self.faults})


def compare_proportions(
    counts: EventCounts, *, arm: Arm | None = None, level: float = 0.95
) -> ProportionComparison:
    r"""Return pooled proportions by models of counts and by old transformations, with their faults.

    Use it to see what a transformation does to rare events, not to choose the answer one likes. The models
    of counts are to be reported: the binomial-normal mixed model, or the beta-binomial one.

    - "sum of events": x / N with the exact interval, which takes one risk for all studies.
    - "mixed model": logits of study risks are normal; the estimate is the risk of the middle study. "mixed
      model, mean" is the mean of study risks, :math:`E[\operatorname{expit}(\theta + \tau Z)]`, which is
      higher where they vary; its interval is that of :math:`\theta` with :math:`\tau` as estimated.
    - "beta-binomial": study risks have a beta distribution; the estimate is their mean.
    - "logit, 1/2 added": logits of studies with 1/2 added to both counts where one is zero.
    - "double arcsine" (Freeman and Tukey) and "arcsine": transformed proportions. The double arcsine goes
      back by a study size, here the harmonic mean as usual; with another size the same mean is another
      proportion, and pooled proportions may leave the range of those of the studies (Schwarzer et al. 2019).

    Parameters
    ----------
    counts : EventCounts
        Counts of people in one arm, or of two arms, with `arm`.
    arm : {"treatment", "control"}, optional
        Arm of counts of two arms.
    level : float
        Level of the intervals.

    Returns
    -------
    ProportionComparison
        One row per method.

    Raises
    ------
    InputError
        If the counts are in person-time.

    References
    ----------
    Schwarzer, Chemaitelly, Abu-Raddad & Rücker (2019), Research Synthesis Methods 10, 476-483.
    https://doi.org/10.1002/jrsm.1348
    Stijnen, Hamza & Özdemir (2010), Statistics in Medicine 29, 3046-3067. https://doi.org/10.1002/sim.4040
    Warton & Hui (2011), Ecology 92, 3-10. https://doi.org/10.1890/10-0340.1

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(events=[0, 4, 0, 0, 1, 6], n=[12, 18, 300, 10, 25, 20])
    >>> found = mx.safety.compare_proportions(counts)
    >>> for name, estimate in zip(found.names, found.estimate.round(3)):
    ...     print(name, estimate)
    sum of events 0.029
    mixed model 0.017
    mixed model, mean 0.103
    beta-binomial 0.087
    logit, 1/2 added 0.064
    double arcsine 0.05
    arcsine 0.045
    """
    rows = one_arm(counts, arm, "compare_proportions")
    if rows.person_time:
        raise InputError(
            "the counts are in person-time",
            "counts of people",
            'fit mx.CountGLMM(counts, "IRLN") for rates, or hand in events= and n=',
        )
    check_level(level)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetaexoWarning)
        middle, mean = _mixed(rows, level)
        made = [
            _sum(rows, level),
            middle,
            mean,
            _tried(partial(_beta_binomial, rows, level)),
            *(_tried(partial(_transformed, rows, code, level)) for code in ("PLO", "PFT", "PAS")),
        ]
    columns = ("estimate", "low", "high", "tau", "range_low", "range_high")
    return ProportionComparison(
        counts=rows,
        level=float(level),
        said=same_study_cautions(rows),
        names=NAMES,
        faults=tuple(row.fault for row in made),
        **{name: np.array([getattr(row, name) for row in made]) for name in columns},
    )


def _tried(row: Callable[[], _Row]) -> _Row:
    """Return a row; where the method has no answer, one that says why."""
    try:
        return row()
    except MetaexoError as error:
        return _Row(fault=f"no answer: {error.given}")


def _sum(rows: EventCounts, level: float) -> _Row:
    x, n = float(rows.events.sum()), float(rows.totals.sum())
    low, high = (float(end) for end in clopper_pearson(x, n, level))
    return _Row(x / n, low, high, fault="takes one risk for all studies: too narrow where they differ")


def _mixed(rows: EventCounts, level: float) -> tuple[_Row, _Row]:
    """Return the rows of the risk of the middle study and of the mean risk."""
    try:
        fit = CountGLMM(rows, "PLO", dependence="accept").fit(level=level)
    except MetaexoError as error:
        gone = _Row(fault=f"no answer: {error.given}")
        return gone, gone
    pooled, tau = fit.pooled(), fit.tau
    ends = np.array([pooled.estimate, pooled.low, pooled.high])
    z = normal_quantile(MIDDLE) * tau
    least, most = (float(p) for p in special.expit(pooled.estimate + np.array([-z, z])))
    first = "the risk of the middle study, below the mean risk where studies differ"
    second = "the interval takes tau as estimated; the mean depends on the tail of a normal distribution"
    spread = {"tau": tau, "range_low": least, "range_high": most}
    middle, mean = special.expit(ends), LOGIT_NORMAL.mean(ends, np.full(3, tau))
    return (
        _Row(float(middle[0]), float(middle[1]), float(middle[2]), fault=first, **spread),
        _Row(float(mean[0]), float(mean[1]), float(mean[2]), fault=second, **spread),
    )


def _beta_binomial(rows: EventCounts, level: float) -> _Row:
    fit = BetaBinomial(rows, "PLO", dependence="accept").fit(level=level)
    found = fit.risks(level).iloc[0]
    estimate, low, high = (float(found[name]) for name in ("estimate", "low", "high"))
    least, most = _beta_range(estimate, fit.rho, MIDDLE)
    said = "the mean of study risks; large correlations make it that of all-or-nothing studies"
    return _Row(estimate, low, high, fit.rho, least, most, said)


def _beta_range(mean: float, rho: float, share: float) -> tuple[float, float]:
    at = np.array([(1 - share) / 2, (1 + share) / 2])
    kind, h = kind_of("icc", False), np.full(2, rho)
    least, most = kind.quantile(at, kind.location(np.full(2, mean), h), h)
    return float(least), float(most)


def _transformed(rows: EventCounts, code: str, level: float) -> _Row:
    effects = rows.effect_sizes(code)
    model = RandomEffects(effects, dependence="accept")
    fit = model.fit("REML" if effects.k > 1 else "EE", test="z", level=level)
    pooled, z = fit.pooled(), normal_quantile(MIDDLE) * fit.tau
    values = [pooled.estimate, pooled.low, pooled.high, pooled.estimate - z, pooled.estimate + z]
    if code == "PAS":  # beyond its ends the transform turns back
        values = list(np.clip(values, 0.0, math.pi / 2))
    estimate, low, high, least, most = (float(p) for p in back_pooled(effects, values))
    return _Row(estimate, low, high, fit.tau, least, most, _fault(rows, code, pooled.estimate, high))


def _fault(rows: EventCounts, code: str, estimate: float, high: float) -> str:
    """Return what is wrong with a transformation, for these counts."""
    x, n = rows.events[:, 0], rows.totals[:, 0]
    none = bool(x.any())
    if code == "PLO":
        edge = int(((x == 0) | (x == n)).sum())
        if not edge:
            return "nothing was added here, but the normal approximation is poor for few events"
        added = f"1/2 was added to both counts of {plural(edge, 'row')}: it pulls their share towards 1/2"
        return added if none else f"{added}; without any event the estimate is made of study sizes alone"
    exact = percent(float(special.betainccinv(1.0, n.sum(), 0.025)), 2)
    silent = (
        ""
        if none
        else f"; without any event the interval ends at {percent(high, 2)}, the exact one at {exact}"
    )
    if code == "PAS":
        return f"unequal variances remain for few events; intervals are cut off at 0 and 1{silent}"
    least, most = (percent(float(inverse_double_arcsine(estimate, size)), 2) for size in (n.min(), n.max()))
    mean = number(float(rows.k / (1 / n).sum()), 1).removesuffix(".0")
    return (
        f"back-transformation needs one study size (here {mean}, the harmonic mean): the same mean is "
        f"{least} for the smallest study and {most} for the largest{silent}"
    )


# -- heterogeneity as a range --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RiskRange(SafetyResult):
    """Result of :func:`risk_range`.

    Attributes
    ----------
    middle : float
        Risk, or rate, of the middle study.
    low, high : float
        Range of the risks of the middle `share` of studies.
    share : float
        That share.
    heterogeneity : float
        Standard deviation tau on the scale of the analysis; intra-class correlation, or coefficient of
        variation, of a beta-binomial or negative binomial model.
    scale_words : str
        What it is.
    quantity : str
        What varies, as the measure shows it: "proportion", "odds ratio".
    """

    middle: float
    low: float
    high: float
    share: float
    heterogeneity: float
    scale_words: str
    quantity: str

    @property
    def method(self) -> str:
        """How the range was found."""
        return f"quantiles of the fitted distribution of the true {self.quantity} over studies"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the range rests on."""
        return (
            "that distribution, with the estimated mean and heterogeneity",
            "the uncertainty of the estimates is not in it, unlike in a prediction interval",
        )

    @property
    def sentence(self) -> str:
        """The heterogeneity as a range of risks."""
        ends = f"{number(self.low, 4)} to {number(self.high, 4)}"
        return (
            f"{self.scale_words} {number(self.heterogeneity, 3)}: the true {self.quantity} of "
            f"{percent(self.share)} of studies is from {ends}, of the middle one {number(self.middle, 4)}."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row: middle, low, high, share, heterogeneity."""
        import pandas as pd

        names = ("middle", "low", "high", "share", "heterogeneity")
        return pd.DataFrame([{name: getattr(self, name) for name in names}])


def risk_range(results: FitResults, *, share: float = 0.95) -> RiskRange:
    r"""Return the heterogeneity of a fit as the range of true risks (or other effects) of most studies.

    Use it in the place of a bare tau on the logit scale, which nobody can read: the middle 95% of studies
    have risks from :math:`g^{-1}(\hat\theta - 1.96 \hat\tau)` to
    :math:`g^{-1}(\hat\theta + 1.96 \hat\tau)`, where g is the transformation of the measure. For a
    beta-binomial model they are quantiles of the beta distribution.

    Parameters
    ----------
    results : FitResults
        A fit without moderators.
    share : float
        Share of the studies in the range.

    Returns
    -------
    RiskRange
        The range, and the middle study.

    Raises
    ------
    InputError
        If the results are no fit, or have moderators.

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(events=[0, 4, 0, 0, 1, 6], n=[12, 18, 30, 10, 25, 20])
    >>> found = mx.safety.risk_range(mx.CountGLMM(counts, "PLO").fit())
    >>> round(found.low, 4), round(found.middle, 3), round(found.high, 2)
    (0.0017, 0.042, 0.53)
    """
    if not isinstance(results, FitResults):
        raise InputError(
            f"the results are {describe(results)}", "a fit", 'risk_range(mx.CountGLMM(counts, "PLO").fit())'
        )
    check_level(share, "share")
    pooled = results.pooled()
    if isinstance(results, BetaBinomialResults) and results.counts.arms == 1:
        time = results.counts.person_time
        h = math.sqrt(results.cv2) if time else results.rho
        kind = kind_of(None, time)
        mean = results.measure.back(np.full(3, pooled.estimate))
        at = np.array([(1 - share) / 2, 0.5, (1 + share) / 2])
        low, middle, high = kind.quantile(at, kind.location(mean, np.full(3, h)), np.full(3, h))
        words = "Coefficient of variation" if time else "Intra-class correlation"
    else:
        h, z = results.tau, normal_quantile(share)
        ends = [pooled.estimate - z * h, pooled.estimate, pooled.estimate + z * h]
        low, middle, high = back_pooled(results.effects, ends)
        words = "Tau"
    display = results.effects.measure.display
    return RiskRange(
        level=float(share),
        middle=float(middle),
        low=float(low),
        high=float(high),
        share=float(share),
        heterogeneity=float(h),
        scale_words=words,
        quantity=display[0].lower() + display[1:],
    )
