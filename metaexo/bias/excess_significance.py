"""The test of excess significance: whether more studies are significant than their power lets one expect."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from scipy import special

from metaexo.bias.estimates import TRUE_EFFECTS, estimates_of
from metaexo.bias.power import power_of_studies
from metaexo.bias.results import BiasTest
from metaexo.effects.conversions.scales import back_pooled
from metaexo.errors import InputError, NotIdentifiableError
from metaexo.formatting import number, p_value, plural
from metaexo.inputs import check_choice, check_level, check_number
from metaexo.models.linear.hypothesis import TestResult
from metaexo.numeric.tails import chi2_tail
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd

Sided = Literal["two-sided", "greater", "less"]
SIDED = ("two-sided", "greater", "less")
SIDES_IN_WORDS = {
    "greater": "one-sided, for more than expected",
    "less": "one-sided, for fewer than expected",
    "two-sided": "two-sided",
}
SIGNS = {"two-sided": (1, -1), "greater": (1,), "less": (-1,)}
# Chances that differ by less than this share are equal where those not above the observed one are summed.
EQUAL = 1e-7
HETEROGENEOUS = 0.10  # p-value of Cochran's Q, which has little power


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ExcessSignificance(BiasTest):
    """Result of :func:`excess_significance`.

    `test` is Pearson's chi-square as its root with the sign of observed minus expected, z, so that it has the
    side that is asked for; `pvalue` is that of the exact test.

    Attributes
    ----------
    exact_pvalue, binomial_pvalue, chi2_pvalue : float
        p-values of the exact (Poisson-binomial), the binomial and the chi-square test, on the side of
        `excess`.
    chi2 : float
        Pearson's chi-square, the square of the statistic.
    power : ndarray, shape (k,)
        Power of each study for the true effect.
    significant : ndarray of bool, shape (k,)
        Which studies are significant.
    true_effect : float
        The assumed mean of the true effects, on the scale of the analysis.
    tau2 : float
        Between-study variance over which power is averaged.
    given : bool
        Whether the true effect was given; if not, it is estimated from the same studies.
    alternative : {"two-sided", "greater", "less"}
        Alternative of the tests of single studies.
    excess : {"greater", "less", "two-sided"}
        Whether more, fewer, or another number of significant studies than expected is looked for.
    significance : float
        Level of the tests of single studies.
    """

    name: ClassVar[str] = "test of excess significance"
    exact_pvalue: float
    binomial_pvalue: float
    chi2_pvalue: float
    chi2: float
    power: Array
    significant: Mask
    true_effect: float
    tau2: float
    given: bool
    alternative: Sided
    excess: Sided
    significance: float

    @property
    def pvalue(self) -> float:
        """The p-value of the exact test."""
        return self.exact_pvalue

    @property
    def observed(self) -> int:
        """Number of significant studies."""
        return int(self.significant.sum())

    @property
    def expected(self) -> float:
        """Expected number of significant studies: the sum of the powers."""
        return float(self.power.sum())

    @property
    def ratio(self) -> float:
        """Observed over expected number; infinite where none is expected."""
        expected = self.expected
        return self.observed / expected if expected > 0 else math.inf if self.observed else math.nan

    @property
    def sentence(self) -> str:
        """How many were observed, and how many expected."""
        true = number(float(back_pooled(self.effects, self.true_effect)), 3)
        source = "assumed" if self.given else "estimated"
        spread = f" (tau2 {number(self.tau2, 3)})" if self.tau2 > 0 else ""
        rows = plural(self.k, "study", "studies") if self.m == self.k else plural(self.k, "effect")
        be = "is" if self.observed == 1 else "are"
        return (
            f"{self.observed} of {rows} {be} significant where {number(self.expected, 1)} are expected for "
            f"the {source} true effect of {true}{spread}: {p_value(self.exact_pvalue)} by the exact test, "
            f"{p_value(self.chi2_pvalue)} by the chi-square test (both {SIDES_IN_WORDS[self.excess]})."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row: method, k, observed, expected, ratio and the p-values of the three tests."""
        import pandas as pd

        row: dict[str, object] = {"method": self.name, "k": self.k}
        names = ("observed", "expected", "ratio", "exact_pvalue", "binomial_pvalue", "chi2_pvalue")
        row |= {name: getattr(self, name) for name in names}
        return pd.DataFrame([row])


def excess_significance(
    results: object,
    *,
    true_effect: float | None = None,
    tau2: float | None = None,
    alternative: Sided = "two-sided",
    excess: Sided = "greater",
    significance: float = 0.05,
    model: Literal["random", "common"] = "random",
) -> ExcessSignificance:
    r"""Test whether more studies are significant than their power lets one expect.

    Use it beside other methods. Selective publication and selective reporting both lead to an excess, but an
    excess does not say which; if true effects differ and this is not allowed for, it can arise without
    either. The true effect is estimated from the same studies, and so is too large where they are selected;
    power is then too high and the test loses its own.

    With :math:`O` the number of significant studies and :math:`\pi_i` the power of study i for a true effect
    :math:`\theta + u_i`, averaged over :math:`u_i \sim N(0, \tau^2)`, :math:`E = \sum_i \pi_i`.

    - exact: :math:`O` is a sum of independent events of the chances :math:`\pi_i` (Poisson-binomial).
    - binomial: all have the chance :math:`E / k`.
    - chi-square: :math:`(O - E)^2 / E + (O - E)^2 / (k - E)` with one degree of freedom; one-sided by the
      sign of :math:`O - E`.

    Parameters
    ----------
    results : EffectSizes or fit
        Effects, or a fit of any model without moderators.
    true_effect : float, optional
        Mean of the true effects on the scale of the analysis: the logarithm of a ratio. Default: that of the
        fit, or of a random-effects model of bare effects; see `model`.
    tau2 : float, optional
        Between-study variance. Default: that of the fit, in all over its components, or of that model; 0
        where only `true_effect` is given.
    alternative : {"two-sided", "greater", "less"}
        Alternative of the tests of single studies.
    excess : {"greater", "less", "two-sided"}
        Whether more, fewer, or another number of significant studies than expected is looked for.
    significance : float
        Level of the tests of single studies.
    model : {"random", "common"}
        Where mean and variance of the true effects are from: "common" takes all true effects as equal, with
        the inverse-variance mean, whatever they were fitted by. Then heterogeneity alone makes an excess.

    Returns
    -------
    ExcessSignificance
        Observed and expected numbers, the power of each study, and three tests.

    Raises
    ------
    TooFewStudiesError
        If there are fewer than two effects.
    NotIdentifiableError
        If the measure has no value of no effect.
    InputError
        If `true_effect` or `tau2` cannot be used, or if the fit has moderators.

    References
    ----------
    Ioannidis, J. P. A., Trikalinos, T. A. (2007). An exploratory test for an excess of significant findings.
    Clinical Trials 4, 245-253. https://doi.org/10.1177/1740774507079441
    Francis, G. (2013). Replication, statistical consistency, and publication bias. Journal of Mathematical
    Psychology 57, 153-169. https://doi.org/10.1016/j.jmp.2013.02.003

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.5, 0.4, 0.9, 0.1], [0.04, 0.03, 0.09, 0.09])
    >>> found = mx.bias.excess_significance(es)
    >>> found.observed, round(found.expected, 2), round(found.pvalue, 3)
    (3, 2.05, 0.312)
    """
    check_choice("alternative", alternative, SIDED)
    check_choice("excess", excess, SIDED)
    check_choice("model", model, TRUE_EFFECTS)
    check_level(significance, "significance")
    est = estimates_of(results, "excess_significance")
    null = est.effects.measure.null
    if math.isnan(null):
        raise NotIdentifiableError(
            f"{est.effects.measure.display} has no value of no effect",
            "a measure of a difference or a ratio",
            "compute effects against a control group",
        )
    if true_effect is not None:
        true, between = _finite("true_effect", true_effect), 0.0
    else:
        true, between = est.true_effects(model)
    if tau2 is not None:
        between = _finite("tau2", tau2)
        if between < 0:
            raise InputError(f"tau2 is {between:g}", "a variance of at least 0")
    signs = SIGNS[alternative]
    critical = -float(special.ndtri(significance / len(signs)))
    z = (est.y - null) / est.se
    significant = np.any([sign * z >= critical for sign in signs], axis=0)
    power = power_of_studies(true - null, est.se, significance, between, signs)
    observed, expected, k = int(significant.sum()), float(power.sum()), est.k
    off = (observed - expected) ** 2
    statistic = k * off / (expected * (k - expected)) if 0 < expected < k else math.inf if off else 0.0
    upper = float(chi2_tail(statistic, 1)) / 2
    more = upper if observed >= expected else 1 - upper
    chi2 = {"greater": more, "less": 1 - more, "two-sided": 2 * upper}[excess]
    return ExcessSignificance(
        effects=est.effects,
        said=(*est.cautions(counts=True), *_cautions(est.q_pvalue if between == 0 else 1.0)),
        test=TestResult(
            math.copysign(math.sqrt(statistic), observed - expected),
            "z",
            (),
            chi2,
            f"as many studies are significant as expected; {SIDES_IN_WORDS[excess]}",
        ),
        chi2=statistic,
        exact_pvalue=count_pvalue(power, observed, excess),
        binomial_pvalue=count_pvalue(np.full(k, min(1.0, expected / k)), observed, excess),
        chi2_pvalue=chi2,
        power=power,
        significant=significant,
        true_effect=true,
        tau2=between,
        given=true_effect is not None,
        alternative=alternative,
        excess=excess,
        significance=float(significance),
    )


def _cautions(of_q: float) -> list[str]:
    """Say that true effects vary where they were taken as equal; `of_q`: p-value of Cochran's Q."""
    if not of_q < HETEROGENEOUS:
        return []
    return [
        f"all true effects are taken as equal, where they differ by Cochran's Q ({p_value(of_q)}): an excess "
        'may be that of heterogeneity; model="random" allows for it'
    ]


def count_pvalue(chances: Array, observed: int, excess: str) -> float:
    """Return the p-value of a number of events of these chances, shape (k,), from 0 and 1 on."""
    law = count_distribution(chances)
    if excess == "two-sided":
        return min(1.0, float(law[law <= law[observed] * (1 + EQUAL)].sum()))
    return min(1.0, float(law[observed:].sum() if excess == "greater" else law[: observed + 1].sum()))


def count_distribution(chances: Array) -> Array:
    """Return the chances of 0 to k events, shape (k + 1,): one event after another, sums of products only."""
    law = np.zeros(chances.size + 1)
    law[0] = 1.0
    for n, chance in enumerate(chances.tolist(), 1):
        law[1 : n + 1] = law[1 : n + 1] * (1 - chance) + law[:n] * chance
        law[0] *= 1 - chance
    return law


def _finite(name: str, value: object) -> float:
    found = check_number(name, value)
    if not math.isfinite(found):
        raise InputError(f"{name} is {found:g}", "a finite number")
    return found
