r"""Fail-safe N: how many studies without an effect would have to be added to change the conclusion.

All variants answer the same question of different summaries: a combined p-value (Rosenthal), the signs of the
effects (binomial), their mean (Orwin), the mean of the equal-effects model (Rosenberg), or that of any
random-effects model (general).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from scipy import special

from metaexo.bias.estimates import Estimates, estimates_of
from metaexo.bias.results import BiasResult
from metaexo.effects.conversions.scales import back_pooled
from metaexo.errors import InputError, NotIdentifiableError
from metaexo.formatting import number, p_value, plural
from metaexo.inputs import check_choice, check_flag, check_level, check_number, in_any_case
from metaexo.numeric.tails import chi2_tail, normal_quantile, normal_two_sided
from metaexo.numeric.weighted import refuse_own_weights
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["rosenthal", "binomial", "orwin", "rosenberg", "general"]
KINDS = ("rosenthal", "binomial", "orwin", "rosenberg", "general")
Fields = dict[str, Any]
POOLINGS = ("stouffer", "fisher")
POOR_GUIDE = (
    "fail-safe N is a poor guide to publication bias: it supposes that missing studies show no effect on "
    "average, where selection leaves out those that point the other way, and takes no account of their size "
    "(Becker 2005; Cochrane Handbook, chapter 13). Selection models, PET-PEESE or the worst case of "
    "selection say more"
)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FailSafeN(BiasResult):
    """Result of :func:`fail_safe_n`.

    Attributes
    ----------
    kind : {"rosenthal", "binomial", "orwin", "rosenberg", "general"}
        Variant.
    number : int
        The fewest studies without an effect that change the conclusion; 0 if nothing has to change.
    pvalue : float
        p-value of the effects as they are; NaN for Orwin.
    average : float
        Mean of the effects as they are, on the scale of the analysis; NaN where the variant has none.
    tau2 : float
        Between-study variance of the general variant; NaN for the others.
    pvalue_with, average_with, tau2_with : float
        The same with the studies added; NaN where the variant has none.
    target : float or None
        The mean that the added studies bring it down to; None if it is the significance that goes.
    significance : float
        Level at which significance is lost, where there is no target.
    pooling : {"stouffer", "fisher"} or None
        How Rosenthal's variant combines p-values.
    weighted : bool
        Whether the mean of Orwin's variant is weighted.
    """

    kind: Kind
    number: int
    pvalue: float = np.nan
    average: float = np.nan
    tau2: float = np.nan
    pvalue_with: float = np.nan
    average_with: float = np.nan
    tau2_with: float = np.nan
    target: float | None = None
    significance: float
    pooling: str | None = None
    weighted: bool = False

    @property
    def name(self) -> str:  # type: ignore[override]
        """The method with its variant."""
        detail = {
            "rosenthal": f"Rosenthal, {str(self.pooling).capitalize()}",
            "orwin": f"Orwin, {'weighted' if self.weighted else 'unweighted'}",
            "rosenberg": "Rosenberg",
        }.get(self.kind, self.kind)
        return f"fail-safe N ({detail})"

    @property
    def sentence(self) -> str:
        """How many studies change what."""
        name = f"{self.name[0].upper()}{self.name[1:]}"
        studies = plural(self.number, "study", "studies") + " without an effect"
        if self.target is not None:
            mean, target = (
                number(float(x), 3) for x in back_pooled(self.effects, [self.average, self.target])
            )
            if self.number == 0:
                return f"{name}: the mean, {mean}, is not beyond {target}, so no study has to be added."
            return f"{name}: {studies} would bring the mean from {mean} to {target}."
        if self.number == 0:
            return (
                f"{name}: the effects as they are do not differ significantly from no effect "
                f"({p_value(self.pvalue)}), so none has to be added."
            )
        observed = p_value(self.pvalue).removeprefix("p ").removeprefix("= ")
        return (
            f"{name}: {studies} would bring the p-value from {observed} to more than {self.significance:g}."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row: method, k, number, and what it is of, as it is and with the studies added."""
        import pandas as pd

        row: dict[str, object] = {"method": self.name, "k": self.k, "number": self.number}
        names = ("pvalue", "pvalue_with", "average", "average_with", "tau2", "tau2_with")
        row |= {name: getattr(self, name) for name in names}
        row |= {"target": np.nan if self.target is None else self.target, "significance": self.significance}
        return pd.DataFrame([row])


def fail_safe_n(
    results: object,
    kind: Kind = "rosenthal",
    *,
    pooling: Literal["stouffer", "fisher"] = "stouffer",
    weighted: bool = False,
    significance: float = 0.05,
    target: float | None = None,
) -> FailSafeN:
    r"""Return how many studies without an effect would have to be added to change the conclusion.

    Use it only where a journal asks for it. It is a poor guide to publication bias (Becker 2005; Cochrane
    Handbook, chapter 13): it supposes that missing studies show no effect on average, although selection
    leaves out those that point the other way; it looks at significance, not at the size of the effect; and no
    number is large enough by any theory. Selection models, PET-PEESE and the worst case of selection
    (:func:`metaexo.bias.worst_case`) answer the question better.

    With :math:`y_i` measured from no effect, :math:`z_i = y_i / \sqrt{v_i}` and :math:`w_i = 1 / v_i`:

    - "rosenthal" with Stouffer: the least :math:`N \ge (\sum z_i)^2 / z_{1 - \alpha}^2 - k`. With Fisher: the
      least N for which :math:`-2 \sum \log p_i + 2 N \log 2` is not significant as a chi-square with
      2 (k + N) degrees of freedom, where :math:`p_i` is one-sided in the direction of its own study.
    - "binomial": the least even N, half of each sign, for which the two-sided sign test is not significant.
      Effects of exactly 0 have no sign and are left out.
    - "orwin": the least :math:`N \ge k (\bar y / \text{target} - 1)`.
    - "rosenberg": the least :math:`N \ge ((\sum w_i y_i)^2 / z_{1 - \alpha / 2}^2 - \sum w_i) / \bar w`.
    - "general": added studies have the harmonic mean of the sampling variances and, among themselves, the
      tau2 of the observed ones. Together they have the between-study variance

      .. math:: \tau_N^2 = \frac{(k - 1) \tau^2 + (N - 1) \tau^2 + k N \mu^2 / (k + N)}{k + N - 1}

      (0 for equal effects). N is the least for which the normal test of their weighted mean is not
      significant, or for which this mean reaches the target.

    Parameters
    ----------
    results : EffectSizes or fit
        Effects, or a fit of any model without moderators.
    kind : {"rosenthal", "binomial", "orwin", "rosenberg", "general"}
        Variant. "general" uses the estimator of tau2 of a fit of RandomEffects, otherwise REML.
    pooling : {"stouffer", "fisher"}
        How "rosenthal" combines p-values.
    weighted : bool
        Whether the mean of "orwin" has inverse-variance weights.
    significance : float
        Level: one-sided for "rosenthal", two-sided for the others.
    target : float, optional
        For "orwin" and "general", the mean that would no longer matter, on the scale of the analysis (the
        logarithm of a ratio); its sign does not matter. Default for "orwin": half the mean, which is
        arbitrary.

    Returns
    -------
    FailSafeN
        The number, and what it is of with and without the studies added.

    Raises
    ------
    TooFewStudiesError
        If there are fewer than two effects.
    NotIdentifiableError
        If the measure has no value of no effect.
    InputError
        If the target is 0 or given to a variant without one, or if the fit has moderators.

    References
    ----------
    Rosenthal, R. (1979). Psychological Bulletin 86, 638-641. https://doi.org/10.1037/0033-2909.86.3.638
    Orwin, R. G. (1983). Journal of Educational Statistics 8, 157-159.
    https://doi.org/10.3102/10769986008002157
    Rosenberg, M. S. (2005). Evolution 59, 464-468. https://doi.org/10.1111/j.0014-3820.2005.tb01004.x
    Becker, B. J. (2005). Failsafe N or file-drawer number. In Publication Bias in Meta-Analysis, 111-125.
    https://doi.org/10.1002/0470870168.ch7

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.5, 0.4, 0.9, 0.3], [0.04, 0.05, 0.09, 0.02])
    >>> mx.bias.fail_safe_n(es).number, mx.bias.fail_safe_n(es, "rosenberg").number
    (29, 17)
    """
    kind = cast("Any", in_any_case(kind, KINDS))
    check_choice("kind", kind, KINDS)
    check_choice("pooling", pooling, POOLINGS)
    check_flag("weighted", weighted)
    check_level(significance, "significance")
    est = estimates_of(results, "fail_safe_n")
    null = est.effects.measure.null
    if math.isnan(null):
        raise NotIdentifiableError(
            f"{est.effects.measure.display} has no value of no effect",
            "a measure of a difference or a ratio",
            "compute effects against a control group",
        )
    aim = None if target is None else _target(target, null, kind)
    y = est.y - null
    return FailSafeN(
        effects=est.effects,
        said=(POOR_GUIDE, *est.cautions(counts=kind in ("rosenthal", "binomial")), *_cautions(kind, target)),
        kind=kind,
        significance=float(significance),
        **{
            "rosenthal": lambda: _rosenthal(y, est.se, significance, pooling),
            "binomial": lambda: _binomial(y, significance),
            "orwin": lambda: _orwin(y, 1 / est.v if weighted else np.ones(est.k), aim, null, weighted),
            "rosenberg": lambda: _rosenberg(y, est.v, significance, null),
            "general": lambda: _general(est, y, significance, aim, null),
        }[kind](),
    )


def _rosenthal(y: Array, se: Array, significance: float, pooling: str) -> Fields:
    z = y / se
    k = z.size
    if pooling == "stouffer":
        total = abs(float(z.sum()))
        critical = normal_quantile(1 - 2 * significance) if significance < 0.5 else 0.0
        p = float(special.ndtr(-total / math.sqrt(k)))
        count = max(0, math.ceil((total / critical) ** 2 - k)) if critical > 0 else 0
        return {"number": count, "pvalue": p, "pooling": pooling}
    statistic = -2 * float(special.log_ndtr(-np.abs(z)).sum())

    def pvalue(added: int) -> float:
        return float(chi2_tail(statistic + 2 * added * math.log(2), 2 * (k + added)))

    count = fewest(lambda added: pvalue(added) > significance)
    return {"number": count, "pvalue": pvalue(0), "pvalue_with": pvalue(count), "pooling": pooling}


def _binomial(y: Array, significance: float) -> Fields:
    more, signs = int(max((y > 0).sum(), (y < 0).sum())), int((y != 0).sum())

    def pvalue(pairs: int) -> float:
        return min(1.0, 2 * float(special.bdtrc(more + pairs - 1, signs + 2 * pairs, 0.5))) if signs else 1.0

    pairs = fewest(lambda added: pvalue(added) > significance)
    return {"number": 2 * pairs, "pvalue": pvalue(0), "pvalue_with": pvalue(pairs)}


def _orwin(y: Array, w: Array, aim: float | None, null: float, weighted: bool) -> Fields:
    mean = float(np.average(y, weights=w))
    size = abs(mean) / 2 if aim is None else aim
    count = max(0, math.ceil(y.size * (abs(mean) / size - 1))) if size > 0 else 0
    return {
        "number": count,
        "average": null + mean,
        "average_with": null + mean * y.size / (y.size + count),
        "target": null + math.copysign(size, mean),
        "weighted": weighted,
    }


def _rosenberg(y: Array, v: Array, significance: float, null: float) -> Fields:
    w = 1 / v
    total, weighted = float(w.sum()), float(w @ y)
    z = normal_quantile(1 - significance)
    count = max(0, math.ceil(((weighted / z) ** 2 - total) / float(w.mean())))
    whole = total + count * float(w.mean())
    return {
        "number": count,
        "pvalue": float(normal_two_sided(weighted / math.sqrt(total))),
        "pvalue_with": float(normal_two_sided(weighted / math.sqrt(whole))),
        "average": null + weighted / total,
        "average_with": null + weighted / whole,
    }


def _general(est: Estimates, y: Array, significance: float, aim: float | None, null: float) -> Fields:
    fit = est.refit()
    refuse_own_weights(fit, "fail_safe_n")
    tau2, k = fit.tau2, est.k
    mean = fit.estimate - null
    typical = k / float((1 / est.v).sum())

    def with_added(added: int) -> tuple[float, float, float]:
        """Return between-study variance, mean and p-value with some studies added."""
        between = tau2
        if added and fit.method != "EE":
            apart = k * added / (k + added) * mean**2
            between = ((k + added - 2) * tau2 + apart) / (k + added - 1)
        w = 1 / (est.v + between)
        total = float(w.sum()) + added / (typical + between)
        average = float(w @ y) / total
        return between, average, float(normal_two_sided(average * math.sqrt(total)))

    def enough(added: int) -> bool:
        _, average, p = with_added(added)
        return p > significance if aim is None else abs(average) <= aim

    count = fewest(enough)
    (_, average, p), (between, average_with, p_with) = with_added(0), with_added(count)
    return {
        "number": count,
        "pvalue": p,
        "average": null + average,
        "tau2": tau2,
        "pvalue_with": p_with,
        "average_with": null + average_with,
        "tau2_with": between,
        "target": None if aim is None else null + math.copysign(aim, mean),
    }


def fewest(enough: Callable[[int], bool]) -> int:
    """Return the least number from 0 that is enough, where every larger one is enough too."""
    if enough(0):
        return 0
    high = 1
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _target(target: float, null: float, kind: str) -> float:
    """Return the distance of the target from no effect."""
    if kind not in ("orwin", "general"):
        raise InputError(
            f"kind={kind!r} was given a target",
            "a target only for a mean",
            'use kind="orwin" or kind="general"',
        )
    size = abs(check_number("target", target) - null)
    if not 0 < size < math.inf:
        raise InputError(
            f"target is {target:g}",
            f"a finite mean other than no effect ({null:g})",
            "give the smallest mean that matters",
        )
    return size


def _cautions(kind: str, target: float | None) -> tuple[str, ...]:
    if kind == "orwin" and target is None:
        return ("the target is half the mean, which is arbitrary; give the smallest mean that matters",)
    return ()
