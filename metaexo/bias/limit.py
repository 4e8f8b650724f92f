"""Limit meta-analysis: the mean effect of studies of unlimited size, where effects depend on precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.bias.asymmetry import correlated, depends_on_effect
from metaexo.bias.estimates import EQUAL, estimates_of
from metaexo.bias.results import AdjustedEstimate
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, NotIdentifiableError
from metaexo.formatting import number, p_value, percent
from metaexo.inputs import check_choice, read_numbers
from metaexo.models.linear.hypothesis import TestResult, make_test, two_sided_pvalues, wald_statistics
from metaexo.numeric.tails import normal_quantile
from metaexo.numeric.weighted import WeightedLeastSquares, weighted_least_squares
from metaexo.types import Array

ADJUSTMENTS = ("beta0", "betalim", "mulim")
LEAST = 3
NO_TAU2 = "tau2 is 0: the limits of all effects are equal, and so are the three adjusted means"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LimitMetaAnalysis(AdjustedEstimate):
    """A limit meta-analysis: the adjusted mean, and what it is made of.

    Attributes
    ----------
    adjust : {"beta0", "betalim", "mulim"}
        Which adjusted mean `estimate` is.
    alpha, alpha_se : float
        Slope of effects on sqrt(v + tau2), the small-study effect, and its standard error; above 0 if small
        studies have greater effects.
    beta, beta_se : float
        Intercept of that regression, and its standard error.
    q, q_small_study, q_residual : TestResult
        Cochran's Q; the part of it that the regression of effects on standard errors explains, on 1 degree of
        freedom; and the rest, on k - 2.
    g2 : float
        Share of the variation of the shrunken effects, in units of their standard errors, that is left after
        allowing for the small-study effect.
    shrunken, shrunken_se : ndarray, shape (k,)
        Limit of each effect as the precision of its study goes to infinity, and its standard error, which is
        that of the effect itself.
    unadjusted : float
        Mean of the random-effects model with the same tau2.
    """

    name: ClassVar[str] = "limit meta-analysis"
    rests_on: ClassVar[str] = "trend with standard error"
    adjust: Literal["beta0", "betalim", "mulim"]
    alpha: float
    alpha_se: float
    beta: float
    beta_se: float
    q: TestResult
    q_small_study: TestResult
    q_residual: TestResult
    g2: float
    shrunken: Array
    shrunken_se: Array
    unadjusted: float

    @property
    def sentence(self) -> str:
        """What was found, in one plain sentence."""
        return (
            f"Limit meta-analysis ({self.adjust}): adjusted estimate {self.shown}; small-study effect "
            f"{number(self.alpha, 3)} (Q(1) = {number(self.q_small_study.statistic)}, "
            f"{p_value(self.q_small_study.pvalue)}); G2 {percent(self.g2)}."
        )

    def curve(self, se: ArrayLike) -> Array:
        """Return the effect that the model expects of studies with these standard errors.

        beta + alpha sqrt(se^2 + tau2), on the scale of the analysis; at a standard error of 0 it is the
        estimate "beta0".

        Parameters
        ----------
        se : array_like
            Standard errors, at least 0.

        Returns
        -------
        ndarray
            Expected effects, of the shape of `se`.

        Raises
        ------
        InputError
            If a standard error is negative.
        """
        given = read_numbers(se, "se")
        if (given < 0).any():
            raise InputError("some standard errors are negative", "standard errors of at least 0")
        return np.asarray(self.beta + self.alpha * np.hypot(given, np.sqrt(self.tau2)))


def limit_meta_analysis(
    results: object,
    adjust: Literal["beta0", "betalim", "mulim"] = "beta0",
    *,
    level: float | None = None,
) -> LimitMetaAnalysis:
    r"""Estimate the mean effect of studies of unlimited precision, allowing for a small-study effect.

    Use it where effects depend on the size of the study and vary beyond that. The model extends the
    random-effects model by a small-study effect :math:`\alpha`,

    .. math:: y_i = \beta + \sqrt{v_i + \tau^2} (\alpha + \epsilon_i), \qquad \epsilon_i \sim N(0, 1),

    fitted by least squares with weights 1 / (v + tau2), and tau2 as in the random-effects model. As the
    precision of its study increases, an effect goes to its limit
    :math:`\beta + (y_i - \beta) \tau / \sqrt{v_i + \tau^2}`, the shrunken effect. The adjusted mean is

    - "beta0": :math:`\beta + \tau \alpha`, the expected effect of a study without sampling error;
    - "betalim": the intercept of the regression of the shrunken effects on their standard errors;
    - "mulim": the inverse-variance mean of the shrunken effects.

    Intervals and p-values are normal, with the variances of the model taken as known. Effects are taken as
    independent. Where standard errors depend on effects by construction, as those of standardised mean
    differences of small groups do, the estimate is far too low without any bias, and the result says so;
    :func:`metaexo.bias.pet_peese` regresses such effects on the sizes of the studies.

    Parameters
    ----------
    results : FitResults or EffectSizes
        A fit of any model without moderators, or effects. tau2 is that of a fit of
        :class:`metaexo.RandomEffects`, by whatever estimator; for anything else it is estimated by REML.
    adjust : {"beta0", "betalim", "mulim"}
        Which adjusted mean; "beta0" is recommended.
    level : float, optional
        Level of the interval; default that of the fit, or 0.95.

    Returns
    -------
    LimitMetaAnalysis
        Adjusted mean, small-study effect, tests and shrunken effects, on the scale of the analysis.

    Raises
    ------
    UnknownChoiceError
        If `adjust` is not known.
    NotIdentifiableError
        If all standard errors are equal.
    TooFewStudiesError
        If there are fewer than three effects.

    References
    ----------
    Rücker, G., Schwarzer, G., Carpenter, J. R., Binder, H., Schumacher, M. (2011). Treatment-effect
    estimates adjusted for small-study effects via a limit meta-analysis. Biostatistics 12, 122-142.
    https://doi.org/10.1093/biostatistics/kxq046

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.1, 0.2, 0.4, 0.3, 0.7, 0.9], [0.01, 0.02, 0.04, 0.05, 0.08, 0.10])
    >>> found = mx.bias.limit_meta_analysis(es)
    >>> print(f"{found.estimate:.3f} (unadjusted {found.unadjusted:.3f}), G2 {found.g2:.2f}")
    -0.042 (unadjusted 0.331), G2 0.97
    """
    check_choice("adjust", adjust, ADJUSTMENTS)
    est = estimates_of(results, "limit_meta_analysis", least=LEAST, level=level)
    y, v, se, tau2 = est.y, est.v, est.se, est.tau2
    total = v + tau2
    for each, what in ((se, "are equal"), (np.sqrt(total), "are equal but for rounding, beside tau")):
        if np.ptp(each) <= EQUAL * each.max():
            raise NotIdentifiableError(
                f"all standard errors {what}: how effects depend on them cannot be estimated",
                "standard errors that differ",
                "report the random-effects mean: it cannot be adjusted without small and large studies",
            )
    first = y[0]  # effects that are all equal have no slope, not one of rounding errors
    model = _on_se(y - first, total)
    alpha, beta = model.beta[0], first + model.beta[1]
    shrunken = beta + np.sqrt(tau2 / total) * (y - beta)
    weights = 1.0 / v
    limit = _on_se(shrunken - first, v)
    estimate, estimate_se = {
        "beta0": (beta + np.sqrt(tau2) * alpha, _se_of(model, np.sqrt(tau2))),
        "betalim": (first + limit.beta[1], _se_of(limit, 0.0)),
        "mulim": (weights @ shrunken / weights.sum(), 1.0 / np.sqrt(weights.sum())),
    }[adjust]
    q = _squares(weighted_least_squares(np.ones((est.k, 1)), y - first, v))
    residual = min(_squares(_on_se(y - first, v)), q)
    ratio = shrunken / se
    spread = float(((ratio - ratio.mean()) ** 2).sum())
    half = normal_quantile(est.level) * estimate_se
    mean = "all true effects are equal"
    far = est.far_outside(float(estimate))
    return LimitMetaAnalysis(
        effects=est.effects,
        said=(*far, *est.cautions(), *_cautions(est.effects, tau2)),
        usable=not (far or est.same_precision),
        estimate=float(estimate),
        se=float(estimate_se),
        low=float(estimate - half),
        high=float(estimate + half),
        level=est.level,
        pvalue=float(two_sided_pvalues(wald_statistics(estimate - est.null, estimate_se), None)),
        tau2=tau2,
        adjust=adjust,
        alpha=float(alpha),
        alpha_se=float(np.sqrt(model.cov[0, 0])),
        beta=float(beta),
        beta_se=_se_of(model, 0.0),
        q=make_test(q, "chi2", (est.k - 1,), mean),
        q_small_study=make_test(q - residual, "chi2", (1,), "effects do not depend on their standard errors"),
        q_residual=make_test(
            residual, "chi2", (est.k - 2,), f"{mean}, but for their dependence on the standard errors"
        ),
        g2=_squares(limit) / spread if tau2 > 0 and spread > 0 else 0.0,
        shrunken=shrunken,
        shrunken_se=se,
        unadjusted=float((y / total).sum() / (1.0 / total).sum()),
    )


def _cautions(effects: EffectSizes, tau2: float) -> list[str]:
    """Return what to know of the limit of these effects."""
    said = [NO_TAU2] if tau2 == 0 else []
    if depends_on_effect(effects.measure):
        said.append(
            f"{correlated(effects.measure)}: the estimate is adjusted where there is no bias, too; pet_peese "
            "takes the sizes of the studies instead"
        )
    return said


def _on_se(y: Array, variance: Array) -> WeightedLeastSquares:
    """Return the weighted regression on the roots of the variances (first coefficient) and a mean."""
    return weighted_least_squares(np.column_stack([np.sqrt(variance), np.ones(y.size)]), y, variance)


def _se_of(fit: WeightedLeastSquares, at: float) -> float:
    """Return the standard error of the expected effect where the root of the variance is `at`."""
    row = np.array([at, 1.0])
    return float(np.sqrt(row @ fit.cov @ row))


def _squares(fit: WeightedLeastSquares) -> float:
    """Return the weighted sum of squared residuals."""
    return float(fit.residuals @ fit.residuals)
