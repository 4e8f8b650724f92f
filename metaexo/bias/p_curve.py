"""The p-curve: the distribution of significant p-values, and what it says of the evidence behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy import special

from metaexo.bias.estimates import Alternative, estimates_of
from metaexo.bias.results import BiasResult
from metaexo.bias.significant import crossing, significant
from metaexo.formatting import interval, level_words, p_value, percent, plural
from metaexo.models.linear.hypothesis import TestResult
from metaexo.numeric.tails import normal_quantile
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

LOW_POWER = 1 / 3  # of studies that would not have been worth running (Simonsohn 2014)
BINS = 5
CLEAR, FAIR = 0.05, 0.1  # p-values of the rules of Simonsohn (2015)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PCurve(BiasResult):
    """A p-curve with its tests.

    Attributes
    ----------
    alternative : {"greater", "less"}
        The direction in which effects were significant.
    significance : float
        The level of single studies, two-sided.
    pvalues : Array
        The two-sided p-values of the significant effects, in the order of the effects.
    labels : tuple of str
        The effects that they belong to.
    k_significant, k_half : int
        Number of significant effects, and of those with a p-value below half of `significance`.
    right_skew, right_skew_half : TestResult
        Tests that there is no effect anywhere, of all significant p-values and of the lower half: z far below
        0 is evidence of an effect. One-sided.
    right_skew_binomial : float
        P-value of the share of p-values in the lower half, if there is no effect.
    flatness, flatness_half : TestResult
        Tests that studies had a power of one third: z far below 0 means that they had less. One-sided.
    flatness_binomial : float
        P-value of the share of p-values in the lower half, if studies had a power of one third.
    power, power_low, power_high : float
        Power at which the p-values are as expected, with its interval; at least `significance`.
    level : float
        Level of the interval.
    edges : Array
        Ends of five bins of p-values, shape (6,).
    observed, expected_null, expected_low_power, expected_power : Array
        Shares of p-values per bin, shape (5,): found; without any effect; at a power of one third; at the
        estimated power.
    """

    alternative: Alternative
    significance: float
    pvalues: Array
    labels: tuple[str, ...]
    k_significant: int
    k_half: int
    right_skew: TestResult
    right_skew_half: TestResult
    right_skew_binomial: float
    flatness: TestResult
    flatness_half: TestResult
    flatness_binomial: float
    power: float
    power_low: float
    power_high: float
    level: float
    edges: Array
    observed: Array
    expected_null: Array
    expected_low_power: Array
    expected_power: Array

    name: ClassVar[str] = "p-curve"

    @property
    def evidential(self) -> bool:
        """Whether there is evidence of an effect: half curve p < 0.05, or both curves p < 0.1."""
        full, half = self.right_skew.pvalue, self.right_skew_half.pvalue
        return half < CLEAR or (full < FAIR and half < FAIR)

    @property
    def inadequate(self) -> bool:
        """Whether evidence is absent or inadequate: flatter than a power of one third would have it.

        Full curve p < 0.05, or both the half curve and the binomial test p < 0.1.
        """
        half = self.flatness_half.pvalue < FAIR and self.flatness_binomial < FAIR
        return self.flatness.pvalue < CLEAR or half

    @property
    def sentence(self) -> str:
        """What the p-curve says."""
        if not self.k_significant:
            return (
                f"p-curve: none of {plural(self.k, 'effect')} is significant in the direction "
                f"{self.alternative!r}, so there is no curve."
            )
        if self.evidential:
            verdict = "right-skewed, as with a true effect"
        elif self.inadequate:
            verdict = "flatter than with studies of 33% power: no adequate evidence of an effect"
        else:
            verdict = "neither right-skewed nor flatter than with studies of 33% power: inconclusive"
        bounds = interval(100 * self.power_low, 100 * self.power_high, 0)
        skew, half = p_value(self.right_skew.pvalue), p_value(self.right_skew_half.pvalue)
        return (
            f"p-curve of {plural(self.k_significant, 'significant p-value')} out of {self.k}: {verdict} "
            f"(right skew {skew}, half curve {half}; power {percent(self.power)}, "
            f"{level_words(self.level)} CI {bounds}%)."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a row per test: test, p-values used, statistic (z), pvalue, the binomial test beside it."""
        import pandas as pd

        rows = []
        for test, whole, half, binomial in (
            ("right skew", self.right_skew, self.right_skew_half, self.right_skew_binomial),
            ("flatness", self.flatness, self.flatness_half, self.flatness_binomial),
        ):
            for curve, n, found in (("full", self.k_significant, whole), ("half", self.k_half, half)):
                rows.append(
                    {"test": test, "curve": curve, "n": n, "statistic": found.statistic}
                    | {"pvalue": found.pvalue}
                )
            rows.append({"test": test, "curve": "binomial", "n": self.k_significant} | {"pvalue": binomial})
        return pd.DataFrame(rows)

    def histogram(self) -> pd.DataFrame:
        """Return a row per bin: low, high, count, and the shares observed and expected."""
        import pandas as pd

        return pd.DataFrame(
            {
                "low": self.edges[:-1],
                "high": self.edges[1:],
                "count": np.histogram(self.pvalues, self.edges)[0],
                "observed": self.observed,
                "expected_null": self.expected_null,
                "expected_low_power": self.expected_low_power,
                "expected_power": self.expected_power,
            }
        )


def p_curve(
    results: object,
    *,
    alternative: str | None = None,
    significance: float = 0.05,
    level: float | None = None,
) -> PCurve:
    r"""Return the p-curve: whether significant p-values look like those of a true effect.

    Use it to ask whether selective reporting can be all there is behind a set of significant results. It
    looks at significant p-values alone. Without an effect they are uniform; the higher the power, the more of
    them are very small; p-values just below the level suggest that analyses were chosen by their results.

    At the power that belongs to a noncentrality :math:`\delta`, a significant z has the conditional
    probability

    .. math:: q_i(\delta) = \frac{P(|Z + \delta| > |z_i|)}{P(|Z + \delta| > c)},

    which is uniform if that is the power of the studies. Stouffer's statistic
    :math:`\sum \Phi^{-1}(q_i) / \sqrt{k}` tests that there is no effect (:math:`\delta = 0`, right skew) and,
    of the complements, that the power is one third (flatness). The estimated power is where it is 0, and its
    interval where it reaches the quantiles of the normal distribution. The half curve is the same below half
    the level, where choosing analyses by their results leaves fewer traces.

    Parameters
    ----------
    results : FitResults or EffectSizes
        A fit of any model without moderators, or effects.
    alternative : {"greater", "less"}, optional
        In which direction results are favoured; default that of the fixed-effect mean. What is significant
        in the other direction is left out.
    significance : float
        The level at which single studies were tested, two-sided.
    level : float, optional
        Confidence level of the power; default that of the fit, or 0.95. The authors print 0.9.

    Returns
    -------
    PCurve
        Tests, power and shares of p-values in five bins. All missing where no effect is significant.

    Raises
    ------
    InputError
        If a sampling variance is zero, the fit has moderators, or `significance` is no fraction.

    References
    ----------
    Simonsohn, U., Nelson, L. D., Simmons, J. P. (2014). https://doi.org/10.1037/a0033242

    Simonsohn, U., Simmons, J. P., Nelson, L. D. (2015). https://doi.org/10.1037/xge0000104

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.62, 0.71, 0.48, 0.9, 0.1], [0.05, 0.04, 0.03, 0.09, 0.04])
    >>> found = mx.bias.p_curve(es)
    >>> found.k_significant, round(found.right_skew.pvalue, 3), round(found.power, 2)
    (4, 0.001, 0.78)
    """
    est = estimates_of(results, "p_curve", least=1, level=level)
    taken = significant(est, alternative, significance)
    cut, half = taken.critical, -float(special.ndtri(significance / 4))
    z = taken.z[taken.chosen]
    upper = z[z > half]
    weak = _noncentrality(LOW_POWER, cut) if significance < LOW_POWER else np.nan
    edges = significance * np.arange(BINS + 1) / BINS
    fitted, *ends = (np.nan, np.nan, np.nan)
    said = est.cautions(counts=True) + taken.cautions(kept=False)
    if taken.count:
        quantile = normal_quantile(est.level)
        fitted, *ends = (_fitted(z, cut, goal) for goal in (0.0, quantile, -quantile))
        if fitted == 0:
            said += (
                "the p-values are no smaller than expected without any effect: the estimated power is the "
                "significance level",
            )
    power, *ends = (float(np.exp(_log_tail(cut, delta))) for delta in (fitted, *ends))
    pvalues = np.exp(special.log_ndtr(-z) + np.log(2))
    bins = np.searchsorted(edges[1:-1], pvalues, side="right")
    return PCurve(
        effects=est.effects,
        said=said,
        alternative=taken.alternative,
        significance=float(significance),
        pvalues=pvalues,
        labels=tuple(est.effects.row_labels[i] for i in np.flatnonzero(taken.chosen)),
        k_significant=taken.count,
        k_half=upper.size,
        right_skew=_stouffer(z, cut, 0.0, -1.0, "no effect"),
        right_skew_half=_stouffer(upper, half, 0.0, -1.0, "no effect"),
        right_skew_binomial=_binomial(upper.size, taken.count, 0.5, above=True),
        flatness=_stouffer(z, cut, weak, 1.0, "a power of 33%"),
        flatness_half=_stouffer(upper, half, weak, 1.0, "a power of 33%"),
        flatness_binomial=_binomial(
            upper.size, taken.count, float(np.exp(_log_tail(half, weak) - _log_tail(cut, weak))), above=False
        ),
        power=power,
        power_low=ends[0],
        power_high=ends[1],
        level=est.level,
        edges=edges,
        observed=np.bincount(bins, minlength=BINS) / taken.count if taken.count else np.full(BINS, np.nan),
        expected_null=_shares(edges, cut, 0.0),
        expected_low_power=_shares(edges, cut, weak),
        expected_power=_shares(edges, cut, fitted),
    )


def _log_tail(z: Array | float, delta: float) -> Array:
    """Return log P(|Z + delta| > z); NaN where delta is."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.logaddexp(special.log_ndtr(delta - z), special.log_ndtr(-delta - z)))


def _quantiles(z: Array, cut: float, delta: float) -> Array:
    """Return minus the normal quantiles of P(|Z + delta| > z) / P(|Z + delta| > cut), shape of z."""
    return -np.asarray(special.ndtri_exp(np.minimum(_log_tail(z, delta) - _log_tail(cut, delta), 0.0)))


def _noncentrality(power: float, cut: float) -> float:
    """Return the delta at which P(|Z + delta| > cut) is the power; 0 if it is no larger without an effect."""
    if np.exp(_log_tail(cut, 0.0)) >= power:
        return 0.0
    return crossing(lambda delta: float(np.exp(_log_tail(cut, delta))) - power, 0.0, 1.0)


def _fitted(z: Array, cut: float, goal: float) -> float:
    """Return the noncentrality at which Stouffer's statistic is `goal`; 0 if it is below it there."""

    def fall(delta: float) -> float:
        return float(goal - _quantiles(z, cut, delta).sum() / np.sqrt(z.size))

    return crossing(fall, 0.0, 1.0) if fall(0.0) < 0 else 0.0


def _stouffer(z: Array, cut: float, delta: float, sign: float, null: str) -> TestResult:
    """Return Stouffer's one-sided test of conditional probabilities; missing without z or delta."""
    statistic = np.nan
    if z.size:
        statistic = sign * float(_quantiles(z, cut, delta).sum()) / np.sqrt(z.size)
    return TestResult(statistic, "z", (), float(special.ndtr(statistic)), f"{null}; one-sided")


def _binomial(count: int, n: int, share: float, above: bool) -> float:
    """Return how likely such a count of n is, or one further above or below; NaN if n is 0."""
    if not n:
        return np.nan
    if above:
        return float(special.bdtrc(count - 1, n, share)) if count else 1.0
    return float(special.bdtr(count, n, share))


def _shares(edges: Array, cut: float, delta: float) -> Array:
    """Return the shares of significant p-values between the edges, shape (edges - 1,)."""
    z = -special.ndtri(edges / 2)
    return np.diff(np.exp(_log_tail(z, delta) - _log_tail(cut, delta)))
