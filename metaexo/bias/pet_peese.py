"""PET-PEESE: the mean effect as the standard error goes to zero, by regression on precision."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.bias.estimates import Alternative, Estimates, estimates_of
from metaexo.bias.results import AdjustedEstimate
from metaexo.errors import EqualEffectsTestWarning, InputError, NearlyCollinearWarning, NotIdentifiableError
from metaexo.formatting import p_value
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice, check_flag, check_level, read_numbers
from metaexo.models.linear.grouping import split_clusters
from metaexo.models.linear.hypothesis import quantiles, two_sided_pvalues, wald_statistics
from metaexo.models.univariate.model import RandomEffects
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.problem import without_rounding
from metaexo.numeric.sandwich import cluster_sandwich
from metaexo.numeric.tails import upper_tail
from metaexo.numeric.weighted import weighted_least_squares
from metaexo.types import Array, Index

MODELS = ("wls", "random")
NO_NULL = "the measure has no value of no effect: the rule tests against 0 on the scale of the analysis"
LEAST = 3
FEW_DF = 4.0
# Predictors whose spread is a smaller share of their size are equal but for rounding.
EQUAL = 1e-8


@dataclass(frozen=True, eq=False)
class PrecisionRegression(Immutable):
    """A regression of effects on a measure of imprecision.

    Attributes
    ----------
    name : {"PET", "PEESE"}
        Which of the two.
    estimate, se, low, high, pvalue : float
        The intercept, which is the effect at perfect precision: its standard error, interval and two-sided
        p-value.
    slope, slope_se, slope_pvalue : float
        The coefficient of the predictor (PET) or of its square (PEESE).
    df, slope_df : float
        Degrees of freedom of the t distributions of intercept and slope; infinite for normal ones.
    dispersion : float
        Factor on the sampling variances ("wls"); 1 in mixed-effects models.
    tau2 : float
        Residual between-study variance ("random"); 0 for "wls".
    cov : ndarray, shape (2, 2)
        Covariance matrix of intercept and slope.
    """

    name: Literal["PET", "PEESE"]
    estimate: float
    se: float
    low: float
    high: float
    pvalue: float
    slope: float
    slope_se: float
    slope_pvalue: float
    df: float
    slope_df: float
    dispersion: float
    tau2: float
    cov: Array

    def at(self, x: Array) -> Array:
        """Return the fitted effect at values of the predictor: standard errors, not their squares."""
        return np.asarray(self.estimate + self.slope * (x if self.name == "PET" else x**2))


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PetPeese(AdjustedEstimate):
    """Both regressions, and which of them the rule chose.

    Attributes
    ----------
    pet, peese : PrecisionRegression
        The regressions on the predictor and on its square.
    chosen : {"PET", "PEESE"}
        Which of them `estimate` is from.
    model : {"wls", "random"}
        Weighted least squares with a factor on the variances, or mixed-effects.
    predictor : str
        What effects are regressed on, in words.
    x : ndarray, shape (k,)
        Its value for each effect.
    significance : float
        Level of the test of the PET intercept.
    alternative : {"two-sided", "greater", "less"}
        Direction of that test.
    test_pvalue : float
        Its p-value.
    clusters : int
        Number of clusters of the robust variance; 0 where effects are taken as independent.
    """

    rests_on: ClassVar[str] = "trend with standard error"
    pet: PrecisionRegression
    peese: PrecisionRegression
    chosen: Literal["PET", "PEESE"]
    model: Literal["wls", "random"]
    predictor: str
    x: Array
    significance: float
    alternative: Literal["two-sided", "greater", "less"]
    test_pvalue: float
    clusters: int

    @property
    def name(self) -> str:  # type: ignore[override]
        """Name of the method, with the regression that was chosen."""
        return f"PET-PEESE ({self.chosen})"

    @property
    def why(self) -> str:
        """Why this regression was chosen, in words."""
        found = "an" if self.chosen == "PEESE" else "no"
        side = self.alternative if self.alternative == "two-sided" else "one-sided"
        return (
            f"PET finds {found} effect at the {side} level {self.significance:g} "
            f"({p_value(self.test_pvalue)})"
        )

    @property
    def sentence(self) -> str:
        """What was found, in one plain sentence."""
        return f"{self.name}: adjusted estimate {self.shown}; {self.why}, so {self.chosen} was chosen."

    def curve(self, x: ArrayLike, which: Literal["PET", "PEESE"] | None = None) -> Array:
        """Return the fitted effect at values of the predictor.

        Parameters
        ----------
        x : array_like
            Values of the predictor, at least 0: standard errors, unless `predictor` says otherwise.
        which : {"PET", "PEESE"}, optional
            Which regression; default the one that was chosen.

        Returns
        -------
        ndarray
            Fitted effects on the scale of the analysis, of the shape of `x`.

        Raises
        ------
        UnknownChoiceError
            If `which` is not known.
        InputError
            If a value is negative.
        """
        chosen = self.chosen if which is None else which
        check_choice("which", chosen, ("PET", "PEESE"))
        given = read_numbers(x, "x")
        if (given < 0).any():
            raise InputError("some values of the predictor are negative", "values of at least 0")
        return (self.pet if chosen == "PET" else self.peese).at(given)


def pet_peese(
    results: object,
    model: Literal["wls", "random"] = "wls",
    *,
    significance: float = 0.10,
    one_sided: bool = False,
    alternative: Alternative | None = None,
    cluster: str | Sequence[object] | ArrayLike | None = "study",
    level: float | None = None,
) -> PetPeese:
    r"""Estimate the mean effect at perfect precision by PET-PEESE.

    Use it as one of several adjusted estimates where small studies report greater effects than large ones. It
    is least reliable where there are few studies, much heterogeneity, or no large study. Two regressions are
    fitted:

    .. math:: \text{PET: } y_i = \beta_0 + \beta_1 s_i + \epsilon_i, \qquad
              \text{PEESE: } y_i = \beta_0 + \beta_1 s_i^2 + \epsilon_i,

    with :math:`s_i` the standard error. PET is nearly unbiased if there is no effect, PEESE less biased if
    there is one; so the PET intercept is tested against no effect, and the intercept of PEESE is taken if
    there is evidence of an effect, that of PET if not.

    The test is two-sided at 0.10 by default, a lenient level because PET has little power: that is the rule
    of Stanley (2017) and of the usual software. ``significance=0.05`` is the stricter rule of Carter et al.
    (2019); ``one_sided=True`` asks for an effect in the favoured direction, and then ``significance=0.05`` is
    the one-sided form of the default.

    Parameters
    ----------
    results : FitResults or EffectSizes
        A fit of any model without moderators, or effects.
    model : {"wls", "random"}
        "wls": weighted least squares with weights 1 / v and the variance of the residuals estimated, which is
        how the method is defined. "random": mixed-effects model with tau2 between studies, with estimator and
        test of the fit if it is one of :class:`metaexo.RandomEffects`.
    significance : float
        Level of the test of the PET intercept.
    one_sided : bool
        Whether that test is one-sided.
    alternative : {"greater", "less"}, optional
        Direction of a one-sided test. Default: "greater" for effects of which positive means benefit, else
        that of the fixed-effect mean.
    cluster : str or sequence of length k, optional
        Column of the data, or a label for each effect. If a cluster has several effects, standard errors are
        cluster-robust (CR2, Satterthwaite df). None: effects are taken as independent.
    level : float, optional
        Level of the intervals; default that of the fit, or 0.95.

    Returns
    -------
    PetPeese
        Both regressions and the estimate that was chosen, on the scale of the analysis.

    Raises
    ------
    UnknownChoiceError
        If `model` or `alternative` is not known.
    NotIdentifiableError
        If all standard errors are equal.
    TooFewStudiesError
        If there are fewer than three effects.
    InputError
        If `results` is neither a fit nor effects, or a value cannot be used.

    References
    ----------
    Stanley, T. D., Doucouliagos, H. (2014). Meta-regression approximations to reduce publication selection
    bias. Research Synthesis Methods 5, 60-78. https://doi.org/10.1002/jrsm.1095
    Stanley, T. D. (2017). Limitations of PET-PEESE and other meta-analysis methods. Social Psychological and
    Personality Science 8, 581-591. https://doi.org/10.1177/1948550617693062
    Carter, E. C., Schoenbrodt, F. D., Gervais, W. M., Hilgard, J. (2019). Correcting for bias in psychology:
    a comparison of meta-analytic methods. Advances in Methods and Practices in Psychological Science 2,
    115-144. https://doi.org/10.1177/2515245919847196

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.1, 0.2, 0.4, 0.3, 0.7, 0.9], [0.01, 0.02, 0.04, 0.05, 0.08, 0.10])
    >>> found = mx.bias.pet_peese(es)
    >>> found.chosen, round(found.estimate, 4)
    ('PEESE', 0.0179)
    """
    check_choice("model", model, MODELS)
    significance = check_level(significance, "significance")
    est = estimates_of(results, "pet_peese", least=LEAST, level=level)
    side = est.direction(alternative)
    predictor, x = "standard error", est.se
    if np.ptp(x) <= EQUAL * x.max():
        raise NotIdentifiableError(
            f"the {predictor} is the same in all studies: there is no telling how effects depend on it",
            "studies of different precision",
            "report the random-effects mean; without small and large studies there is no adjusting it",
        )
    members = None
    if cluster is not None:
        members = split_clusters(est.effects, cluster)[1]
        members = members if len(members) < est.k else None
    pet = _regression("PET", est, x, model, members)
    peese = _regression("PEESE", est, x, model, members)
    pvalue, words = pet.pvalue, "two-sided"
    if check_flag("one_sided", one_sided):
        sign = 1.0 if side == "greater" else -1.0
        statistic = sign * wald_statistics(np.array(pet.estimate - est.null), np.array(pet.se))
        pvalue, words = float(upper_tail(statistic, None if np.isinf(pet.df) else pet.df)), side
    found = peese if pvalue < significance else pet
    few = [] if not np.isnan(est.effects.measure.null) else [NO_NULL]
    few += [
        f"{each.name} rests on {each.df:.3g} degrees of freedom: its interval and p-value are a rough guide"
        for each in (pet, peese)
        if each.df < FEW_DF
    ]
    return PetPeese(
        effects=est.effects,
        said=(*est.cautions(independent=members is None), *few),
        estimate=found.estimate,
        se=found.se,
        low=found.low,
        high=found.high,
        level=est.level,
        pvalue=found.pvalue,
        tau2=found.tau2 if model == "random" else np.nan,
        pet=pet,
        peese=peese,
        chosen=found.name,
        model=model,
        predictor=predictor,
        x=x,
        significance=significance,
        alternative=words,  # type: ignore[arg-type]
        test_pvalue=pvalue,
        clusters=0 if members is None else len(members),
    )


def _regression(
    name: Literal["PET", "PEESE"], est: Estimates, x: Array, model: str, members: list[Index] | None
) -> PrecisionRegression:
    """Return the regression on the predictor or on its square, robust if there are clusters."""
    column = x if name == "PET" else x**2
    design = np.column_stack([np.ones(est.k), column])
    tau2, dispersion, df = 0.0, 1.0, np.full(2, float(est.k - 2))
    if model == "random":
        fit = _mixed(est, column)
        tau2, beta, cov = fit.tau2, fit.beta, fit.cov
        known = fit.wald.df_of(np.eye(2))
        df = np.full(2, np.inf) if known is None else known
        residuals = without_rounding(est.y - design @ beta, est.y)
    else:
        plain = weighted_least_squares(design, est.y, est.v)
        beta = plain.beta
        residuals = without_rounding(plain.residuals * est.se, est.y)
        dispersion = float((residuals**2 / est.v).sum()) / (est.k - 2)
        cov = plain.cov * dispersion
    if members is not None:
        total = est.v + tau2
        robust = cluster_sandwich(design, residuals, members, [total[rows] for rows in members])
        cov, df = robust.cov, robust.satterthwaite(np.eye(2))
    se = np.sqrt(np.diagonal(cov))
    normal = bool(np.isinf(df).all())
    pvalues = two_sided_pvalues(wald_statistics(beta - [est.null, 0.0], se), None if normal else df)
    half = float(np.ravel(quantiles(est.level, None if normal else df[:1]))[0] * se[0])
    return PrecisionRegression(
        name=name,
        estimate=float(beta[0]),
        se=float(se[0]),
        low=float(beta[0] - half),
        high=float(beta[0] + half),
        pvalue=float(pvalues[0]),
        slope=float(beta[1]),
        slope_se=float(se[1]),
        slope_pvalue=float(pvalues[1]),
        df=float(df[0]),
        slope_df=float(df[1]),
        dispersion=dispersion,
        tau2=float(tau2),
        cov=cov,
    )


def _mixed(est: Estimates, column: Array) -> RandomEffectsResults:
    """Return the mixed-effects regression on a column, by the estimator and the test of the fit."""
    test = (
        "knapp-hartung-adhoc" if est.test == "knapp-hartung-iqwig" else est.test
    )  # not made for regressions
    with warnings.catch_warnings():
        for kind in (EqualEffectsTestWarning, NearlyCollinearWarning):  # said of the fit, and by our cautions
            warnings.simplefilter("ignore", kind)
        fitted = RandomEffects(est.effects, column[:, None], names=["precision"], dependence="accept")
        return fitted.fit(est.method, test, est.level)
