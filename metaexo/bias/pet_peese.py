"""PET-PEESE: the mean effect as the standard error goes to zero, by regression on precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.bias.asymmetry import (
    GROUPS,
    PREDICTORS,
    Clusters,
    Regression,
    choose_predictor,
    correlated,
    depends_on_effect,
    dispersion_regression,
    hardly_differs,
    mixed_regression,
    predictor_values,
    refuse_equal_sizes,
    robust_clusters,
)
from metaexo.bias.estimates import Alternative, Estimates, estimates_of
from metaexo.bias.results import AdjustedEstimate
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.formatting import p_value
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice, check_flag, check_level, read_numbers
from metaexo.models.linear.hypothesis import quantiles, two_sided_pvalues, wald_statistics
from metaexo.numeric.problem import without_rounding
from metaexo.numeric.tails import upper_tail
from metaexo.readable import shows_itself
from metaexo.types import Array

MODELS = ("dispersion", "mixed")
OF_PET = ("se", "1/sqrt(n)", GROUPS)
OF_SQUARE = {"variance": "se", "1/n": "1/sqrt(n)"}
NO_NULL = "the measure has no value of no effect: the rule tests against 0 on the scale of the analysis"
LEAST = 3
FEW_DF = 4.0


@shows_itself
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
        Factor on the sampling variances; 1 in mixed-effects models.
    tau2 : float
        Residual between-study variance; NaN in the dispersion model.
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
    model : {"dispersion", "mixed"}
        Weighted least squares with multiplicative dispersion, or mixed-effects.
    predictor : {"se", "1/sqrt(n)", "sqrt(1/n1+1/n2)"}
        What effects are regressed on in PET; in PEESE it is its square.
    reason : str
        Why it is this predictor, where it was not asked for; may be empty.
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

    rests_on: ClassVar[str] = "trend with precision"
    pet: PrecisionRegression
    peese: PrecisionRegression
    chosen: Literal["PET", "PEESE"]
    model: Literal["dispersion", "mixed"]
    predictor: str
    reason: str
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
        if np.isnan(self.test_pvalue):
            return "PET has no standard error, so that the rule cannot be applied"
        found = "finds an effect" if self.chosen == "PEESE" else "finds no effect"
        if np.isnan(self.measure.null):
            differs = "differs" if self.chosen == "PEESE" else "does not differ"
            found = f"{differs} from 0 on the scale of the analysis"
        side = self.alternative if self.alternative == "two-sided" else "one-sided"
        return f"PET {found} at the {side} level {self.significance:g} ({p_value(self.test_pvalue)})"

    @property
    def sentence(self) -> str:
        """What was found, in one plain sentence."""
        so = "stands" if np.isnan(self.test_pvalue) else "was chosen"
        return f"{self.name}: adjusted estimate {self.shown}; {self.why}, so {self.chosen} {so}."

    def table_notes(self) -> list[str]:
        """Return the sentence, and why this predictor was taken."""
        return [self.sentence, *([self.reason] if self.reason else [])]

    def curve(self, x: ArrayLike, which: Literal["PET", "PEESE"] | None = None) -> Array:
        """Return the fitted effect at values of the predictor.

        Parameters
        ----------
        x : array_like
            Values of the predictor, at least 0: standard errors, unless `predictor` is another.
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
    model: Literal["dispersion", "mixed"] = "dispersion",
    *,
    predictor: str | None = None,
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

    with :math:`s_i` the standard error, or, for measures whose standard error depends on the effect by
    construction, such as standardised mean differences, a predictor made of the sizes of the study alone
    (see :func:`metaexo.bias.regression_test`). PET is nearly unbiased if there is no effect, PEESE less
    biased if there is one; so the PET intercept is tested against no effect, and the intercept of PEESE is
    taken if there is evidence of an effect, that of PET if not.

    The test is two-sided at 0.10 by default, a lenient level because PET has little power: that is the rule
    of Stanley (2017) and of the usual software. ``significance=0.05`` is the stricter rule of Carter et al.
    (2019); ``one_sided=True`` asks for an effect in the favoured direction, and then ``significance=0.05`` is
    the one-sided form of the default.

    Parameters
    ----------
    results : FitResults or EffectSizes
        A fit of any model without moderators, or effects.
    model : {"dispersion", "mixed"}
        "dispersion": weighted least squares with weights 1 / v and a free factor on the sampling variances,
        which is how the method is defined. "mixed": with a between-study variance instead, by estimator and
        test of the fit; a multilevel fit keeps its random terms.
    predictor : {"se", "1/sqrt(n)", "sqrt(1/n1+1/n2)"}, optional
        The predictor of PET; that of PEESE is its square. Default: see above.
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
        If `model`, `predictor` or `alternative` is not known.
    CollinearError
        If the predictor is the same in all rows.
    TooFewStudiesError
        If there are fewer than three effects.
    InputError
        If `results` is neither a fit nor effects, sample sizes are needed and not known, or a value cannot be
        used.

    References
    ----------
    Stanley, T. D., Doucouliagos, H. (2014). Meta-regression approximations to reduce publication selection
    bias. Research Synthesis Methods 5, 60-78. https://doi.org/10.1002/jrsm.1095
    Stanley, T. D. (2017). Limitations of PET-PEESE and other meta-analysis methods. Social Psychological and
    Personality Science 8, 581-591. https://doi.org/10.1177/1948550617693062
    Pustejovsky, J. E., Rodgers, M. A. (2019). Testing for funnel plot asymmetry of standardized mean
    differences. Research Synthesis Methods 10, 57-71. https://doi.org/10.1002/jrsm.1332
    Carter, E. C., Schönbrodt, F. D., Gervais, W. M., Hilgard, J. (2019). Correcting for bias in psychology:
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
    chosen, reason, said = _predictor(est, predictor)
    x = predictor_values(est.effects, chosen)
    refuse_equal_sizes(PREDICTORS[chosen][0], x)
    clusters = robust_clusters(est, cluster)
    pet, peese, found_said, count = _both(est, x, PREDICTORS[chosen][0], model, clusters)
    pvalue, words = pet.pvalue, "two-sided"
    if check_flag("one_sided", one_sided):
        sign = 1.0 if side == "greater" else -1.0
        statistic = sign * wald_statistics(np.array(pet.estimate - est.null), np.array(pet.se))
        pvalue, words = float(upper_tail(statistic, None if np.isinf(pet.df) else pet.df)), side
    found = peese if pvalue < significance else pet
    alike, far = hardly_differs(est, chosen, x), est.far_outside(found.estimate)
    said += [] if not np.isnan(est.effects.measure.null) else [NO_NULL]
    said += [
        f"{each.name} rests on {each.df:.3g} degrees of freedom: its interval and p-value are a rough guide"
        for each in ((pet, peese) if found is peese else (pet,))
        if each.df < FEW_DF
    ]
    return PetPeese(
        effects=est.effects,
        said=(*said, *alike, *far, *est.cautions(independent=not count), *found_said),
        usable=not (alike or far or (chosen == "se" and est.same_precision)),
        estimate=found.estimate,
        se=found.se,
        low=found.low,
        high=found.high,
        level=est.level,
        pvalue=found.pvalue,
        tau2=found.tau2,
        pet=pet,
        peese=peese,
        chosen=found.name,
        model=model,
        predictor=chosen,
        reason=reason,
        x=x,
        significance=significance,
        alternative=words,  # type: ignore[arg-type]
        test_pvalue=pvalue,
        clusters=count,
    )


def _predictor(est: Estimates, asked: str | None) -> tuple[str, str, list[str]]:
    """Return the predictor of PET, why it is this one if it was not asked for, and cautions."""
    chosen, reason, _ = choose_predictor(est.effects, asked)
    if chosen not in OF_PET:
        raise UnknownChoiceError("predictor", asked, OF_PET, nearest=OF_SQUARE.get(chosen))
    measure, said = est.effects.measure, []
    if chosen == "se" and depends_on_effect(measure):
        lacking = "" if asked is not None else ", and sample sizes are not known"
        said.append(f"{correlated(measure)}{lacking}: the estimate is adjusted where there is no bias, too")
    return chosen, reason, said


def _both(
    est: Estimates, x: Array, words: str, model: str, clusters: Clusters | None
) -> tuple[PrecisionRegression, PrecisionRegression, tuple[str, ...], int]:
    """Return PET and PEESE, what has to be said of the fits, and the number of clusters."""
    # made for a mean alone
    test = "knapp-hartung-adhoc" if est.test == "knapp-hartung-iqwig" else None
    made: list[PrecisionRegression] = []
    said: list[str] = []
    count = 0
    for column in (x, x**2):
        design = est.design.with_column(words if column is x else f"square of the {words}", column)
        if model == "mixed":
            found = mixed_regression(est, design, test, clusters)
        else:
            found = dispersion_regression(est, design, clusters)
        made.append(_regression("PEESE" if made else "PET", est, found))
        said += [line for line in found.said if line not in said]
        count = found.clusters
    return made[0], made[1], tuple(said), count


def _regression(name: Literal["PET", "PEESE"], est: Estimates, found: Regression) -> PrecisionRegression:
    """Return one of the regressions with the tests and the interval of its coefficients."""
    beta, cov = found.beta, found.inference.cov
    df = found.inference.df_of(np.eye(2))
    se = np.sqrt(np.diagonal(cov))
    pvalues = two_sided_pvalues(wald_statistics(beta - [est.null, 0.0], se), df)
    half = float(np.ravel(quantiles(est.level, None if df is None else df[:1]))[0] * se[0]) or np.nan
    of_each = np.full(2, np.inf) if df is None else df
    return PrecisionRegression(
        name=name,
        estimate=float(without_rounding(beta[:1], est.y)[0]),
        se=float(se[0]),
        low=float(beta[0] - half),
        high=float(beta[0] + half),
        pvalue=float(pvalues[0]),
        slope=float(beta[1]),
        slope_se=float(se[1]),
        slope_pvalue=float(pvalues[1]),
        df=float(of_each[0]),
        slope_df=float(of_each[1]),
        dispersion=found.dispersion,
        tau2=found.tau2,
        cov=cov,
    )
