"""p-uniform: the mean effect from significant results alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import numpy as np
from scipy import special

from metaexo.bias.estimates import Alternative, estimates_of
from metaexo.bias.results import AdjustedEstimate
from metaexo.bias.significant import (
    Significant,
    crossing,
    log_complement,
    log_density,
    log_share,
    mean_excess,
    significant,
)
from metaexo.formatting import number, p_value, percent, plural
from metaexo.inputs import check_choice
from metaexo.numeric.tails import chi2_tail

PUniformMethod = Literal["P", "LNP", "LN1MINP", "ML"]
METHODS: tuple[PUniformMethod, ...] = ("P", "LNP", "LN1MINP", "ML")
HETEROGENEOUS = 0.5  # I2 from which the mean effect is overestimated (van Aert 2016)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PUniform(AdjustedEstimate):
    """The estimate of p-uniform.

    Attributes
    ----------
    method : {"P", "LNP", "LN1MINP", "ML"}
        How conditional p-values are summed up.
    alternative : {"greater", "less"}
        The direction in which effects were significant.
    significance : float
        The level of single studies, two-sided.
    k_significant : int
        Number of effects that are significant in that direction.
    solution : float
        The effect at which conditional p-values are as expected; it is the estimate, unless method "P" sets
        that to 0.
    zero_statistic, zero_pvalue : float
        Test of no effect against one in the direction of `alternative`, one-sided for all methods: the
        standardized sum of conditional p-values ("P"), minus the sum of their logarithms ("LNP") or of those
        of their complements ("LN1MINP"), or twice the difference of the log-likelihoods ("ML"), of which the
        p-value is that of the signed root. `pvalue` is the two-sided one.
    bias_statistic, bias_pvalue : float
        The same at the mean of all effects, one-sided: that it is too large.
    fixed_effect : float
        The mean of all effects, weighted by precision.
    """

    method: PUniformMethod
    alternative: Alternative
    significance: float
    k_significant: int
    solution: float
    zero_statistic: float
    zero_pvalue: float
    bias_statistic: float
    bias_pvalue: float
    fixed_effect: float

    name: ClassVar[str] = "p-uniform"
    rests_on: ClassVar[str] = "significant effects"

    @property
    def sentence(self) -> str:
        """The estimate with its test, or why there is none."""
        if not self.k_significant:
            return (
                f"p-uniform: none of {plural(self.k, 'effect')} is significant in the direction "
                f"{self.alternative!r}, so there is no estimate."
            )
        used = plural(self.k_significant, "significant effect")
        return (
            f"p-uniform ({self.method}), from {used} of {self.k}: {self.shown}; one-sided tests: no effect "
            f"{p_value(self.zero_pvalue)}, publication bias {p_value(self.bias_pvalue)}."
        )


def p_uniform(
    results: object,
    method: str = "P",
    *,
    alternative: str | None = None,
    significance: float = 0.05,
    level: float | None = None,
) -> PUniform:
    r"""Return the estimate of p-uniform: the mean effect from significant results alone.

    Use it where significant results are all that can be trusted to be published, and effects hardly vary
    between studies; where they vary, the mean is overestimated and `p_uniform_star` is the better choice.

    Given that it is significant, an effect :math:`y_i` has the conditional p-value

    .. math:: q_i(\mu) = \frac{\Phi((\mu - y_i) / s_i)}{\Phi(\mu / s_i - c)},

    with the critical value c of z. At the true mean they are uniform: the estimate is where their sum is half
    their number k ("P"), where :math:`-\sum \log q_i` ("LNP") or :math:`-\sum \log(1 - q_i)` ("LN1MINP")
    is k, or where the conditional likelihood is highest ("ML"). Each has one solution. Intervals and
    tests follow from the Irwin-Hall distribution of the sum, the gamma distribution, and the likelihood
    ratio. Tests of no effect and of publication bias are one-sided, by the signed root of the likelihood
    ratio too.

    Parameters
    ----------
    results : FitResults or EffectSizes
        A fit of any model without moderators, or effects.
    method : {"P", "LNP", "LN1MINP", "ML"}
        How conditional p-values are summed up. The default is that of the authors since 2016: single
        extreme p-values have the least influence on a plain sum. Where the average p-value of the
        significant effects exceeds half of `significance`, its solution is on the wrong side of 0 and the
        estimate is set to 0, as they recommend; the interval then reaches up to it.
    alternative : {"greater", "less"}, optional
        In which direction results are favoured; default that of the fixed-effect mean.
    significance : float
        The level at which single studies were tested, two-sided.
    level : float, optional
        Confidence level; default that of the fit, or 0.95.

    Returns
    -------
    PUniform
        Estimate and interval, the tests of no effect and of publication bias, all on the scale of the
        analysis. All missing where no effect is significant.

    Raises
    ------
    InputError
        If a sampling variance is zero, the fit has moderators, or `significance` is no fraction.

    References
    ----------
    van Assen, M. A. L. M., van Aert, R. C. M., Wicherts, J. M. (2015). https://doi.org/10.1037/met0000025

    van Aert, R. C. M., Wicherts, J. M., van Assen, M. A. L. M. (2016).
    https://doi.org/10.1177/1745691616650874

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.62, 0.71, 0.48, 0.9, 0.1], [0.05, 0.04, 0.03, 0.09, 0.04])
    >>> found = mx.bias.p_uniform(es)
    >>> found.k_significant, round(found.estimate, 3)
    (4, 0.586)
    """
    est = estimates_of(results, "p_uniform", least=1, level=level)
    check_choice("method", method, METHODS)
    how = cast(PUniformMethod, method)
    taken = significant(est, alternative, significance)
    fixed = float((taken.y / est.v).sum() / (1 / est.v).sum())
    q = float(((taken.y - fixed) ** 2 / est.v).sum())
    i2 = max(0.0, 1 - (est.k - 1) / q) if q > 0 else 0.0
    said = est.cautions()
    found: dict[str, float] = {}
    if taken.count:
        found = (
            _likelihood(taken, fixed, est.level) if how == "ML" else _moments(taken, how, fixed, est.level)
        )
        said += _cautions(taken, how, found, i2)
    far = est.far_outside(found.get("estimate", np.nan))
    missing = dict.fromkeys(
        (
            *("estimate", "se", "low", "high", "solution", "pvalue"),
            *("zero_statistic", "zero_pvalue", "bias_statistic", "bias_pvalue"),
        ),
        np.nan,
    )
    return PUniform(
        effects=est.effects,
        said=said + far + taken.cautions(kept=False),
        usable=bool(taken.count) and not far,
        level=est.level,
        method=how,
        alternative=taken.alternative,
        significance=float(significance),
        k_significant=taken.count,
        fixed_effect=taken.back(fixed),
        **(missing | found),  # type: ignore[arg-type]  # floats all of them
    )


def _cautions(taken: Significant, method: str, found: dict[str, float], i2: float) -> tuple[str, ...]:
    """Return what to know of an estimate."""
    said = []
    wrong = taken.sign * (found["solution"] - taken.null) < 0
    if wrong and method == "P":
        said.append(
            "the significant effects are less so than expected without any effect, on average (solution "
            f"{number(found['solution'], 3)}): the estimate was set to 0 and "
            "the interval reaches up to it"
        )
    elif wrong:
        said.append(
            "the solution lies on the other side of 0 than the significant effects, which are less so than "
            "expected without any effect: take it as 0"
        )
    if i2 >= HETEROGENEOUS:
        said.append(
            f"effects differ between studies (I2 = {percent(i2)}), so that p-uniform overestimates their "
            "mean; see p_uniform_star"
        )
    return tuple(said)


def _moments(taken: Significant, method: str, fixed: float, level: float) -> dict[str, float]:
    """Return estimate, interval and tests of a sum of conditional p-values, or of their logarithms."""
    from scipy import stats

    y, se, k = taken.y[taken.chosen], taken.se[taken.chosen], taken.count
    z, start, step = y / se, float(y.mean()), float(se.mean())
    rule = stats.irwinhall(k) if method == "P" else stats.gamma(k)
    tail = (1 - level) / 2
    targets = (float(rule.mean()), float(rule.ppf(tail)), float(rule.isf(tail)))
    way = -1.0 if method == "LNP" else 1.0  # conditional p-values rise with the effect

    def total(mu: float) -> float:
        logarithm = log_complement if method == "LN1MINP" else log_share
        log_q = logarithm(z, taken.critical, mu / se)
        return float(np.exp(log_q).sum()) if method == "P" else -float(log_q.sum())

    def solve(target: float) -> float:
        return crossing(lambda mu: way * np.log(np.float64(total(mu)) / target), start, step)

    solution, *ends = (solve(target) for target in targets)
    none, biased = total(0.0), total(fixed)
    less, more = (rule.sf, rule.cdf) if way < 0 else (rule.cdf, rule.sf)
    zero = float(less(none))
    centre, sd = (k / 2, np.sqrt(k / 12)) if method == "P" else (0.0, 1.0)
    estimate = max(solution, 0.0) if method == "P" else solution
    low, high = sorted(taken.back(end) for end in (min(ends), max(*ends, estimate)))
    return {
        "estimate": taken.back(estimate),
        "low": low,
        "high": high,
        "solution": taken.back(solution),
        "pvalue": min(1.0, 2 * min(zero, float(more(none)))),
        "zero_statistic": (none - centre) / sd,
        "zero_pvalue": zero,
        "bias_statistic": (biased - centre) / sd,
        "bias_pvalue": float(more(biased)),
    }


def _likelihood(taken: Significant, fixed: float, level: float) -> dict[str, float]:
    """Return estimate, interval and tests of the conditional likelihood, which is concave."""
    y, se = taken.y[taken.chosen], taken.se[taken.chosen]
    start, step = float(y.mean()), float(se.mean())

    z = y / se

    def log_likelihood(mu: float) -> float:
        return float(log_density(z, taken.critical, mu / se).sum())

    def falling(mu: float) -> float:
        above = (z - taken.critical) - mean_excess(taken.critical - mu / se)
        return -step * float((above / se).sum())

    best = crossing(falling, start, step)
    top = log_likelihood(best)
    drop = 0.5 * float(special.chdtri(1, 1 - level))
    b = taken.critical - best / se
    excess = mean_excess(b)
    information = float(((1 - excess * (excess + b)) / se**2).sum())

    def beyond(way: float) -> float:
        found = crossing(lambda mu: top - log_likelihood(best + way * mu) - drop, 0.0, step)
        return best + way * found

    tested = [max(0.0, 2 * (top - log_likelihood(mu))) for mu in (0.0, fixed)]
    roots = np.sqrt(tested) * np.sign([best, fixed - best])
    pvalues = special.ndtr(-roots).tolist()
    low, high = sorted(taken.back(beyond(way)) for way in (-1.0, 1.0))
    return {
        "estimate": taken.back(best),
        "se": information**-0.5 if information > 0 else np.nan,
        "low": low,
        "high": high,
        "solution": taken.back(best),
        "pvalue": float(chi2_tail(tested[0], 1)),
        "zero_statistic": tested[0],
        "zero_pvalue": pvalues[0],
        "bias_statistic": tested[1],
        "bias_pvalue": pvalues[1],
    }
