"""The power of single studies: how likely each was to find an effect of an assumed size significant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from scipy import special

from metaexo.bias.estimates import TRUE_EFFECTS, estimates_of
from metaexo.bias.results import BiasResult
from metaexo.effects.conversions.scales import back_pooled
from metaexo.errors import InputError
from metaexo.formatting import fixed, number, percent, plural
from metaexo.inputs import check_choice, check_level, check_number
from metaexo.numeric.tails import normal_two_sided
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

ENOUGH = 0.8  # the power that studies are usually planned for


def power_of_studies(
    mean: float, se: Array, significance: float, tau2: float = 0.0, sides: tuple[int, ...] = (1, -1)
) -> Array:
    """Return how likely studies are to be significant by the normal test of no effect, shape of `se`.

    `mean`: true mean effect, as a distance from no effect.
    `tau2`: between-study variance, over which power is averaged.
    `sides`: the signs of effects that count as significant: (1, -1) for a two-sided test at `significance`,
        (1,) or (-1,) for a one-sided one.
    """
    z = float(-special.ndtri(significance / len(sides)))
    spread = np.sqrt(se**2 + tau2)
    found = sum(special.ndtr((sign * mean - z * se) / spread) for sign in sides)
    return np.asarray(found, dtype=float)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Power(BiasResult):
    """The power of single studies for one assumed true effect.

    Attributes
    ----------
    true_effect : float
        The assumed true effect, on the scale of the analysis.
    given : bool
        Whether it was given; if not, it is estimated from the same studies.
    significance : float
        Level of the two-sided test of each study.
    power : ndarray, shape (k,)
        Power of each effect.
    """

    name: ClassVar[str] = "power of single studies"
    true_effect: float
    given: bool
    significance: float
    power: Array

    @property
    def pvalues(self) -> Array:
        """Two-sided p-value of each effect, by the normal distribution, shape (k,)."""
        return normal_two_sided((self.effects.y - self.measure.null) / np.sqrt(self.effects.v))

    @property
    def median(self) -> float:
        """Median power."""
        return float(np.median(self.power))

    @property
    def enough(self) -> int:
        """Number of effects with a power of 80% or more."""
        return int((self.power >= ENOUGH).sum())

    @property
    def expected(self) -> float:
        """Expected number of significant effects: the sum of the powers."""
        return float(self.power.sum())

    @property
    def observed(self) -> int:
        """Number of significant effects."""
        return int((self.pvalues <= self.significance).sum())

    @property
    def r_index(self) -> float:
        """Median power minus the excess of the share of significant effects over it.

        It is 2 median - observed / k, and can lie below 0.
        """
        return 2 * self.median - self.observed / self.k

    @property
    def sentence(self) -> str:
        """What was found, in one plain sentence."""
        true = number(float(back_pooled(self.effects, self.true_effect)), 3)
        measure = f"{self.measure.display[:1].lower()}{self.measure.display[1:]}"
        source = "assumed" if self.given else "estimated"
        rows = plural(self.k, "study", "studies") if self.m == self.k else plural(self.k, "effect")
        return (
            f"For the {source} true {measure} of {true} the median power of {rows} is "
            f"{percent(self.median)}, and {self.enough} {'has' if self.enough == 1 else 'have'} 80% or more; "
            f"{self.observed} {'is' if self.observed == 1 else 'are'} significant at the level "
            f"{self.significance:g} where {number(self.expected, 1)} are expected (R-index "
            f"{fixed(100 * self.r_index, 0)}%)."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a row per effect: label, effect, se, pvalue, significant and power."""
        import pandas as pd

        return pd.DataFrame(
            {
                "label": list(self.effects.row_labels),
                "effect": self.effects.y,
                "se": np.sqrt(self.effects.v),
                "pvalue": self.pvalues,
                "significant": self.pvalues <= self.significance,
                "power": self.power,
            }
        )


def power(
    results: object,
    true_effect: float | None = None,
    *,
    significance: float = 0.05,
    model: Literal["random", "common"] = "random",
) -> Power:
    r"""Return the power of single studies for an assumed true effect.

    Use it to see whether the studies could have found what they report. Where most had little power and still
    most are significant, some of the significance comes from selection or from flexible analyses. The power
    of a study with the standard error :math:`s_i` for the true effect :math:`\theta`, measured from no
    effect, is

    .. math:: \Phi(\theta / s_i - z_{1 - \alpha / 2}) + \Phi(-\theta / s_i - z_{1 - \alpha / 2}),

    where :math:`\alpha` is `significance`. With :math:`m` for the median power and :math:`q` for the share of
    significant studies, the R-index of the sunset plot is :math:`m - (q - m)`. Schimmack's own has the median
    of the power for each observed effect in place of :math:`m`, which is too high where effects are noisy.

    Parameters
    ----------
    results : FitResults or EffectSizes
        A fit of any model without moderators, or bare effects.
    true_effect : float, optional
        The assumed true effect, on the scale of the analysis: the logarithm of a ratio. Default: the pooled
        effect of the fit, or that of a random-effects model of bare effects; see `model`. One
        from outside, such as the smallest effect that matters, is better: an estimate from selected studies
        is too large, and so is the power for it.
    significance : float
        Level of the two-sided test of each study.
    model : {"random", "common"}
        Where the true effect is estimated: "common" takes the inverse-variance mean of the effects, whatever
        they were fitted by. :func:`metaexo.bias.excess_significance` has the same choice, and the same mean.

    Returns
    -------
    Power
        The power of each effect, its median, the R-index, and how many significant effects are expected and
        observed.

    Raises
    ------
    NotIdentifiableError
        If the measure has no value of no effect.
    InputError
        If `results` is something else, or a fit with moderators.

    References
    ----------
    Kossmeier, M., Tran, U. S., Voracek, M. (2020). Power-enhanced funnel plots for meta-analysis: The sunset
    funnel plot. Zeitschrift für Psychologie 228, 43-49. https://doi.org/10.1027/2151-2604/a000392

    Ioannidis, J. P. A., Trikalinos, T. A. (2007). An exploratory test for an excess of significant findings.
    Clinical Trials 4, 245-253. https://doi.org/10.1177/1740774507079441

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.5, 0.4, 0.9], [0.04, 0.05, 0.09], measure="SMD")
    >>> found = mx.bias.power(es, 0.5)
    >>> found.power.round(3).tolist()
    [0.705, 0.609, 0.385]
    >>> found.observed, round(found.expected, 1)
    (2, 1.7)
    """
    est = estimates_of(results, "power", least=1)
    check_level(significance, "significance")
    check_choice("model", model, TRUE_EFFECTS)
    null = est.no_effect()
    if true_effect is not None:
        true = check_number("true_effect", true_effect)
        if not math.isfinite(true):
            raise InputError(f"true_effect is {true:g}", "a finite number")
    else:
        true = est.true_effects(model)[0]
    return Power(
        effects=est.effects,
        said=est.cautions(independent=False, counts=True),
        true_effect=true,
        given=true_effect is not None,
        significance=float(significance),
        power=power_of_studies(true - null, est.se, significance),
    )
