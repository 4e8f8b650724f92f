"""The interval of Henmi and Copas as an adjusted estimate, of a fit of any model or of effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from metaexo.bias.estimates import estimates_of
from metaexo.bias.results import AdjustedEstimate, shown_estimate
from metaexo.models.univariate.intervals import henmi_copas as interval_of
from metaexo.numeric.tails import normal_quantile

FAR_WIDER = 2.0  # times the range of the intervals of all effects
TOO_WIDE = (
    "the interval is far wider than the intervals of all effects together reach: it says nothing of the mean "
    "(one study outweighs the others, and the between-study variance is estimated from the rest)"
)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class HenmiCopasEstimate(AdjustedEstimate):
    """Result of :func:`henmi_copas`: the numbers of :class:`metaexo.models.HenmiCopas` with their effects.

    Attributes
    ----------
    quantile : float
        Factor on the standard error; it exceeds the normal one because tau2 is estimated.
    """

    name: ClassVar[str] = "Henmi-Copas"
    rests_on: ClassVar[str] = "large studies"
    quantile: float

    @property
    def sentence(self) -> str:
        """The mean and its interval."""
        shown = shown_estimate(self.effects, self.estimate, self.low, self.high, self.level)
        return f"The equal-effects mean, with an interval that allows for heterogeneity, is {shown}."


def henmi_copas(results: object, *, level: float | None = None) -> HenmiCopasEstimate:
    r"""Return the equal-effects mean with an interval that allows for heterogeneity.

    Use it beside the random-effects mean where small studies may have been published selectively: that mean
    gives them more weight, and so is biased more. The bias of this one is smaller, and not zero. With
    :math:`w_i = 1 / v_i` and :math:`\hat\tau^2` by DerSimonian and Laird the mean is
    :math:`\sum w_i y_i / \sum w_i`, its variance :math:`\sum w_i^2 (v_i + \hat\tau^2) / (\sum w_i)^2`, and
    the quantile of the interval is that of the ratio of both, computed by quadrature.

    Parameters
    ----------
    results : EffectSizes or fit
        Effects, or a fit of any model without moderators; its estimator of tau2 does not matter.
    level : float, optional
        Level of the interval; default that of the fit, or 0.95.

    Returns
    -------
    HenmiCopasEstimate
        The mean, its standard error and its interval.

    Raises
    ------
    TooFewStudiesError
        If there are fewer than two effects.
    InputError
        If the fit has moderators, a sampling variance is zero, or the level is not a fraction.

    See Also
    --------
    metaexo.models.henmi_copas : The interval alone, of effects.

    References
    ----------
    Henmi, M., Copas, J. B. (2010). Confidence intervals for random effects meta-analysis and robustness to
    publication bias. Statistics in Medicine 29, 2969-2983. https://doi.org/10.1002/sim.4029

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.02, 0.05, 0.03, 0.04])
    >>> found = mx.bias.henmi_copas(es)
    >>> round(found.estimate, 4), round(found.low, 4), round(found.high, 4)
    (0.3727, -0.1496, 0.8951)
    """
    est = estimates_of(results, "henmi_copas", level=level)
    found = interval_of(est.effects, est.level)
    reach = normal_quantile(est.level) * est.se
    widest = float((est.y + reach).max() - (est.y - reach).min())
    wide = found.high - found.low > FAR_WIDER * widest
    return HenmiCopasEstimate(
        effects=est.effects,
        said=(*est.cautions(), *([TOO_WIDE] if wide else [])),
        usable=not wide,
        estimate=found.estimate,
        se=found.se,
        low=found.low,
        high=found.high,
        level=found.level,
        tau2=found.tau2,
        quantile=found.quantile,
    )
