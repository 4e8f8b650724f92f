"""Tests of funnel asymmetry: the regression test in all its forms, and the rank correlation test."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from metaexo.bias.estimates import SPREAD, Estimates, estimates_of, hardly_differ
from metaexo.bias.results import IMPOSSIBLE, NO_SPREAD, BiasTest, is_impossible, shown_estimate
from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure
from metaexo.effects.sample_sizes import group_sizes, sample_sizes
from metaexo.errors import (
    CollinearError,
    FewStudiesWarning,
    InputError,
    MetaexoError,
    NotIdentifiableError,
    TooFewStudiesError,
    UnknownChoiceError,
)
from metaexo.formatting import number, p_value, plural, shown
from metaexo.inputs import check_choice, check_flag, read_numbers
from metaexo.models.linear.design import Design
from metaexo.models.linear.grouping import split_clusters
from metaexo.models.linear.hypothesis import (
    ROUNDING,
    RobustCovariance,
    TestResult,
    WaldInference,
    make_test,
    quantiles,
    wald_statistics,
)
from metaexo.models.linear.results import FEW_DF_ROBUST, FitResults
from metaexo.models.multilevel import model as multilevel
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.univariate import model as univariate
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.problem import without_rounding
from metaexo.numeric.sandwich import cluster_sandwich
from metaexo.numeric.tails import normal_two_sided
from metaexo.numeric.weighted import weighted_least_squares
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

GROUPS = "sqrt(1/n1+1/n2)"
# Predictors, what they are in words, and whether they go to 0 as studies grow, so that there is a limit.
PREDICTORS: dict[str, tuple[str, bool]] = {
    "se": ("standard error", True),
    "variance": ("sampling variance", True),
    "n": ("sample size", False),
    "1/n": ("inverse of the sample size", True),
    "sqrt(n)": ("root of the sample size", False),
    "1/sqrt(n)": ("inverse root of the sample size", True),
    GROUPS: ("root of 1/n1 + 1/n2", True),
}
SPELLINGS = {
    "sei": "se",
    "standarderror": "se",
    "vi": "variance",
    "v": "variance",
    "ni": "n",
    "ninv": "1/n",
    "sqrtni": "sqrt(n)",
    "sqrtninv": "1/sqrt(n)",
}
MODELS = ("mixed", "dispersion")
MODELS_OF_R = {"lm": "dispersion", "rma": "mixed"}
SUGGESTIVE = 0.10  # p-value from which a trend is not reported as one: tests of asymmetry have little power
EXACT_UP_TO = 400  # effects: the exact distribution of Kendall's tau takes seconds beyond, and hardly differs
# Measures whose sampling variance is no function of what makes the effect, or, for ratios and effects as
# given, is not known to be one; of all others effects and standard errors are correlated by construction.
FREE = frozenset(
    "GEN RATIO HR MD MC MN VR VRC SDLN AS PAS PFT IRS IRSD IRFT ZCOR ZPCOR ZR2 ABT".split()  # noqa: SIM905
)
# What rules out cluster-robust standard errors.
NOT_ROBUST = (InputError, NotIdentifiableError, np.linalg.LinAlgError)
COUNTS = "two groups, events"
# Papers that propose sizes as predictors, by what the effects are made of and whether groups are known.
PAPERS = {
    ("means", True): "Pustejovsky and Rodgers 2019, doi:10.1002/jrsm.1332",
    ("means", False): "Zwetsloot et al. 2017, doi:10.7554/eLife.24260",
    ("events", True): "Deeks et al. 2005, doi:10.1016/j.jclinepi.2005.01.016",
    ("events", False): "Hunter et al. 2014, doi:10.1016/j.jclinepi.2014.03.003",
}
BOUNDS = "which takes effects known only within bounds along"
EQUAL = 1e-9  # share of their size by which values that are taken as equal may differ
CONSTANT = 1e-8  # how far from 1 a combination of columns may be that is taken as constant
TABLES = "mx.bias.counts_test has the tests that are made for tables of events"
INFLATED = "the test finds asymmetry too often where there is none"


def correlated(measure: Measure) -> str:
    """Say that effects and standard errors of a measure depend on each other."""
    return f"effect and standard error are correlated by construction ({measure.name})"


def depends_on_effect(measure: Measure) -> bool:
    """Say whether the standard error of a measure depends on the effect by construction."""
    return measure.code not in FREE


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RegressionTest(BiasTest):
    """A regression test of funnel asymmetry.

    Attributes
    ----------
    predictor : str
        What effects are regressed on: "se", "variance", "n", "1/n", "sqrt(n)", "1/sqrt(n)" or
        "sqrt(1/n1+1/n2)".
    reason : str
        Why it is this predictor, where it was not asked for; may be empty.
    model : {"mixed", "dispersion"}
        Meta-regression with between-study variance, or weighted least squares with multiplicative dispersion.
    x : ndarray, shape (k,)
        The predictor of each effect.
    names : tuple of str
        Names of the coefficients, that of the predictor last.
    beta : ndarray, shape (p,)
        Coefficients.
    inference : WaldInference
        Their covariance matrix and degrees of freedom.
    method : str
        Estimator of the between-study variance; empty for the dispersion model.
    tau2 : float
        Between-study variance, the sum over its components; NaN for the dispersion model.
    dispersion : float
        Factor on the sampling variances; 1 for mixed models.
    level : float
        Level of intervals.
    clusters : int
        Number of clusters of the robust standard errors; 0 if they are those of the model.
    fit : FitResults or None
        The meta-regression; None for the dispersion model.
    limit_usable : bool
        Whether the estimate as the predictor goes to 0 is one to be used; not where the predictor hardly
        differs between studies, and not an impossible value or one far outside the range of the effects.
    """

    predictor: str
    reason: str
    model: str
    x: Array
    names: tuple[str, ...]
    beta: Array
    inference: WaldInference
    method: str
    tau2: float
    dispersion: float
    level: float
    clusters: int = 0
    fit: FitResults | None = None
    limit_usable: bool = True

    @property
    def name(self) -> str:  # type: ignore[override]
        """Name of the method with its predictor: "regression test (standard error)"."""
        return f"regression test ({PREDICTORS[self.predictor][0]})"

    @property
    def coef(self) -> float:
        """Slope: the change of the effect per unit of the predictor."""
        return float(self.beta[-1])

    @property
    def se(self) -> float:
        """Standard error of the slope."""
        return float(np.sqrt(self.inference.cov[-1, -1]))

    @property
    def has_limit(self) -> bool:
        """Whether there is an estimate as the predictor goes to 0; not with moderators."""
        return PREDICTORS[self.predictor][1] and len(self.names) == 2

    @property
    def limit_estimate(self) -> float:
        """Effect as the predictor goes to 0, in a study without sampling error; NaN if there is none."""
        return float(self.beta[0]) if self.has_limit else np.nan

    @property
    def limit_low(self) -> float:
        """Lower end of its interval."""
        return float(self.line(0.0)[1][0]) if self.has_limit else np.nan

    @property
    def limit_high(self) -> float:
        """Upper end of its interval."""
        return float(self.line(0.0)[2][0]) if self.has_limit else np.nan

    def line(self, at: ArrayLike, level: float | None = None) -> tuple[Array, Array, Array]:
        """Return the regression line with its interval at values of the predictor.

        Use it to draw the line of the test into a funnel.

        Parameters
        ----------
        at : array_like, shape (q,)
            Values of the predictor.
        level : float, optional
            Level of the interval; default that of the test.

        Returns
        -------
        tuple of ndarray, shape (q,)
            Effect, lower and upper end, on the scale of the analysis.

        Raises
        ------
        InputError
            If the model has moderators: there is then one line for each of their values.
        """
        if len(self.names) != 2:
            raise InputError(
                f"the model has moderators ({', '.join(self.names[1:-1])})",
                "a regression on the predictor alone",
                "hand in a fit without moderators",
            )
        values = np.atleast_1d(read_numbers(at, "at"))
        rows = np.column_stack([np.ones(values.size), values])
        middle = rows @ self.beta
        spread = np.sqrt(np.einsum("qi,ij,qj->q", rows, self.inference.cov, rows))
        half = quantiles(self.level if level is None else level, self.inference.df_of(rows)) * spread
        return middle, middle - half, middle + half

    @property
    def sentence(self) -> str:
        """The test, which way the effects go, and the limit, in one plain sentence."""
        words = PREDICTORS[self.predictor][0]
        robust = f", standard errors robust by {plural(self.clusters, 'cluster')}" if self.clusters else ""
        model = "mixed-effects" if self.model == "mixed" else "weighted, with dispersion"
        head = f"Regression test on the {words} ({model}{robust}): "
        if np.isnan(self.statistic):
            return f"{head}not testable, because the slope has no standard error."
        df = f"({self.test.df[0]:.4g})" if self.test.df else ""
        way = f"effects {'increase' if self.coef > 0 else 'decrease'} with the {words}"
        if not self.pvalue < SUGGESTIVE:
            way = f"whether effects change with the {words} is not clear"
        found = (
            f"{head}{self.test.distribution}{df} = {number(self.statistic)}, {p_value(self.pvalue)}; "
            f"{way} ({slope_words(self.coef, self.se)})"
        )
        if not self.has_limit or not self.limit_usable:
            return f"{found}."
        ends = self.limit_estimate, self.limit_low, self.limit_high
        return (
            f"{found}; as it goes to 0, the mean goes to {shown_estimate(self.effects, *ends, self.level)}."
        )

    def table_notes(self) -> list[str]:
        """Return the sentence, and why this predictor was taken."""
        return [self.sentence, *([self.reason] if self.reason else [])]

    def to_frame(self) -> pd.DataFrame:
        """Return one row: method, k, slope, its test, limit estimate with its interval, tau2."""
        frame = super().to_frame()
        frame.insert(2, "model", self.model)
        frame.insert(3, "coef", self.coef)
        frame.insert(4, "se", self.se)
        for name in ("limit_estimate", "limit_low", "limit_high", "tau2"):
            frame.insert(frame.shape[1] - 1, name, getattr(self, name))
        return frame


def slope_words(coef: float, se: float, word: str = "slope") -> str:
    """Return a slope and its standard error to two digits of the latter: "slope 1.31, SE 0.48"."""
    digits = 2 if not 0 < se < np.inf else max(0, 1 - math.floor(math.log10(se)))
    return f"{word} {shown(coef, digits)}, SE {shown(se, digits)}"


def regression_test(
    results: FitResults | EffectSizes,
    predictor: str | None = None,
    model: str | None = None,
    *,
    test: str | None = None,
    level: float | None = None,
    cluster: str | Sequence[object] | ArrayLike | None = "study",
) -> RegressionTest:
    r"""Test whether effects change with the size of the studies, by regression (Egger's test).

    Use it, with ten studies or more, to ask whether small studies show other effects than large ones. That
    may be publication bias, but also true heterogeneity, poorer methods of small studies, or chance. With a
    predictor :math:`z_i` of the size of a study the model is

    .. math:: y_i = \beta_0 + \beta_1 z_i + \ldots,\qquad H_0: \beta_1 = 0.

    "mixed" adds a between-study variance (the moderators, estimator and test of the fit are taken along; a
    multilevel fit keeps its random terms); "dispersion" is weighted least squares with weights :math:`1/v`
    and a free factor on the sampling variances, tested by t with k - p degrees of freedom: the classical
    test of Egger.

    Where the standard error depends on the effect by construction, effects and standard errors are
    correlated without any bias, and a regression on the standard error rejects too often. This holds for
    standardised mean differences (their variance has a term :math:`g^2`), ratios of means, log odds and risk
    ratios, risk differences, proportions and rates (their variance is made of the same counts), and
    correlations. For these the default predictor is made of sizes alone: :math:`\sqrt{1/n_1 + 1/n_2}` with
    known group sizes, :math:`1/\sqrt{n}` with a known total, and the standard error, with a caution, if
    no sizes are known. Mean differences, Fisher's z, arcsine and double arcsine scales, and ratios and
    effects as given have the standard error. For tables of events see :func:`metaexo.bias.counts_test`.

    Several effects per study, and multilevel fits, have cluster-robust standard errors (CR2 with
    Satterthwaite degrees of freedom).

    Parameters
    ----------
    results : FitResults or EffectSizes
        A fit of any model, or bare effects. Of fits other than RandomEffects and Multilevel the effects and
        moderators are taken, with one between-study variance by REML.
    predictor : str, optional
        "se", "variance", "n", "1/n", "sqrt(n)", "1/sqrt(n)" or "sqrt(1/n1+1/n2)"; metafor's names (sei, vi,
        ni, ninv, sqrtni, sqrtninv) are understood. Default: see above.
    model : {"mixed", "dispersion"}, optional
        Default: "mixed".
    test : str, optional
        Test of the mixed model, as in :meth:`metaexo.RandomEffects.fit`; default that of the fit.
    level : float, optional
        Level of the interval of the limit; default that of the fit, or 0.95.
    cluster : str, sequence of length k, or None
        What is independent: a column, or a label per effect. None: effects are taken as independent.

    Returns
    -------
    RegressionTest
        Slope, test, and the estimate as the predictor goes to 0 with its interval.

    Raises
    ------
    CollinearError
        If the predictor is the same in all rows, or determined by the moderators.
    NotIdentifiableError
        If the fit has moderators and no intercept, so that the slope would take up the mean.
    TooFewStudiesError
        If there are not more effects than coefficients.
    InputError
        If sample sizes are needed and not known, or a sampling variance is zero.

    References
    ----------
    Egger, M., Davey Smith, G., Schneider, M., Minder, C. (1997). https://doi.org/10.1136/bmj.315.7109.629
    Sterne, J. A. C., Egger, M. (2005). https://doi.org/10.1002/0470870168.ch6
    Sterne, J. A. C., et al. (2011). https://doi.org/10.1136/bmj.d4002
    Moreno, S. G., et al. (2009). https://doi.org/10.1186/1471-2288-9-2
    Pustejovsky, J. E., Rodgers, M. A. (2019). https://doi.org/10.1002/jrsm.1332
    Zwetsloot, P.-P., et al. (2017). https://doi.org/10.7554/eLife.24260
    Rodgers, M. A., Pustejovsky, J. E. (2021). https://doi.org/10.1037/met0000300
    Nakagawa, S., et al. (2022). https://doi.org/10.1111/2041-210X.13724
    Hunter, J. P., et al. (2014). https://doi.org/10.1016/j.jclinepi.2014.03.003

    Examples
    --------
    >>> import metaexo as mx
    >>> y = [0.1, 0.3, 0.2, 0.5, 0.4, 0.7, 0.6, 0.9, 0.8, 1.2]
    >>> es = mx.EffectSizes(y, se=[0.1, 0.12, 0.15, 0.2, 0.22, 0.25, 0.3, 0.35, 0.4, 0.5])
    >>> found = mx.bias.regression_test(es, model="dispersion")
    >>> print(f"slope {found.coef:.2f}, p {found.pvalue:.1e}, limit {found.limit_estimate:.2f}")
    slope 2.68, p 7.1e-05, limit -0.12
    """
    model = "mixed" if model is None else model
    est = estimates_of(results, "regression_test", least=3, moderators=True, level=level)
    chosen, reason, said = choose_predictor(est.effects, predictor)
    x = predictor_values(est.effects, chosen)
    words = PREDICTORS[chosen][0]
    refuse_without_intercept(est)
    refuse_equal_sizes(words, x)
    design = est.design.with_column(words, x)
    if est.k <= design.p:
        raise TooFewStudiesError(
            f"{plural(est.k, 'effect')} for {plural(design.p, 'coefficient')}",
            f"at least {design.p + 1} effects",
            "use fewer moderators" if est.has_moderators else "add studies",
        )
    check_choice("model", model, MODELS, MODELS_OF_R)
    if model == "dispersion" and test is not None:
        raise InputError(
            f"test is {test!r} with model='dispersion'",
            "no test: this model is tested by t with its residual degrees of freedom",
            'leave test out, or use model="mixed"',
        )
    clusters = robust_clusters(est, cluster)
    found = (
        mixed_regression(est, design, test, clusters)
        if model == "mixed"
        else dispersion_regression(est, design, clusters)
    )
    inference, slope = found.inference, np.eye(design.p)[-1:]
    df = inference.df_of(slope)
    statistic = wald_statistics(found.beta[-1:], np.sqrt(inference.cov[-1:, -1]))
    if df is not None and found.clusters and not df[0] >= FEW_DF_ROBUST - ROUNDING:
        few = f"{df[0]:.2g} degrees of freedom, fewer than {FEW_DF_ROBUST:.0f}"
        said.append(f"the robust test has {few}: its p-value is not to be relied on")
    of_limit: list[str] = []
    if PREDICTORS[chosen][1] and design.p == 2:
        of_limit += [
            text.replace("the mean", "the limit", 1) for text in est.far_outside(float(found.beta[0]))
        ]
        if is_impossible(est.effects.measure, float(found.beta[0])):
            of_limit = [IMPOSSIBLE.format("limit", est.effects.measure.name)]
    return RegressionTest(
        effects=est.effects,
        limit_usable=not of_limit and bool(x.max() >= SPREAD * x.min()),
        said=(
            *said,
            *of_limit,
            *hardly_differs(est, chosen, x),
            *est.cautions(independent=not found.clusters),
            *found.said,
            *([NO_SPREAD] if np.isnan(statistic[0]) else []),
        ),
        test=make_test(
            float(statistic[0]),
            "z" if df is None else "t",
            () if df is None else (float(df[0]),),
            f"effects do not change with the {words}",
        ),
        predictor=chosen,
        reason=reason,
        model=model,
        x=x,
        names=design.names,
        beta=found.beta,
        inference=inference,
        method=found.method,
        tau2=found.tau2,
        dispersion=found.dispersion,
        level=est.level,
        clusters=found.clusters,
        fit=found.fit,
    )


# -- the predictor ------------------------------------------------------------------------------------------


def choose_predictor(effects: EffectSizes, asked: object) -> tuple[str, str, list[str]]:
    """Return the predictor, why it is this one if it was not asked for, and what has to be said of it."""
    measure = effects.measure
    depends = depends_on_effect(measure)
    said = [TABLES] if depends and measure.family == COUNTS else []
    if asked is not None:
        plain = "".join(asked.split()).casefold() if isinstance(asked, str) else ""
        chosen = SPELLINGS.get(plain, plain)
        if chosen not in PREDICTORS:
            raise UnknownChoiceError("predictor", asked, PREDICTORS)
        inflated = depends and chosen in ("se", "variance")
        return chosen, "", [*([f"{correlated(measure)}: {INFLATED}"] if inflated else []), *said]
    if not depends:
        return "se", "", []
    for chosen, sizes in ((GROUPS, group_sizes), ("1/sqrt(n)", sample_sizes)):
        try:
            sizes(effects)
        except InputError:
            continue
        paper = PAPERS.get((measure.family.rpartition(" ")[2], chosen == GROUPS))
        taken = f"the predictor is therefore the {PREDICTORS[chosen][0]}{f' ({paper})' if paper else ''}"
        return chosen, f"{correlated(measure)}; {taken}", said
    remedy = "hand in the effects with columns treatment_n and control_n, or n, in data="
    return "se", "", [f"{correlated(measure)}, and sample sizes are not known: {INFLATED}; {remedy}", *said]


def predictor_values(effects: EffectSizes, predictor: str) -> Array:
    """Return the predictor of each effect, shape (k,)."""
    if predictor == "se":
        return np.sqrt(effects.v)
    if predictor == "variance":
        return effects.v
    otherwise = 'use predictor="se"'
    if predictor == GROUPS:
        first, second = group_sizes(effects, otherwise)
        return np.asarray(np.sqrt(1 / first + 1 / second))
    n = sample_sizes(effects, otherwise)
    values = {"n": n, "1/n": 1 / n, "sqrt(n)": np.sqrt(n), "1/sqrt(n)": 1 / np.sqrt(n)}
    return np.asarray(values[predictor])


def refuse_without_intercept(est: Estimates) -> None:
    """Raise NotIdentifiableError if no combination of the columns of the model is a constant."""
    if est.design.intercept is not None:
        return
    ones = np.ones(est.k)
    rest = ones - est.x @ np.linalg.lstsq(est.x, ones, rcond=None)[0]
    if np.abs(rest).max() > CONSTANT:
        raise NotIdentifiableError(
            f"the model of the mean ({', '.join(est.design.names)}) has no intercept, so that the slope of "
            "the predictor would take up the mean",
            "a model with an intercept",
            "fit it with intercept=True",
        )


def refuse_equal_sizes(words: str, x: Array) -> None:
    """Raise CollinearError if a predictor is the same in all rows."""
    if np.ptp(x) <= EQUAL * np.abs(x).max():
        raise CollinearError(
            f"the {words} is the same in all rows ({x[0]:.4g}), so that there are no small and large "
            "studies to compare",
            "studies of different size",
            "say that small-study effects could not be looked into, and report the mean as it is",
        )


def hardly_differs(est: Estimates, predictor: str, x: Array) -> list[str]:
    """Say that the predictor hardly differs between effects; of standard errors all methods say so."""
    if predictor in ("se", "variance") or x.max() >= SPREAD * x.min():
        return []
    return [hardly_differ(f"values of the {PREDICTORS[predictor][0]}", x)]


# -- the regression -----------------------------------------------------------------------------------------

Clusters = tuple[tuple[str, ...], list[Index]]


class Regression(NamedTuple):
    """What a regression on precision came to."""

    inference: WaldInference
    beta: Array
    method: str
    tau2: float
    dispersion: float
    clusters: int
    fit: FitResults | None
    said: tuple[str, ...]


def robust_clusters(est: Estimates, cluster: Any) -> Clusters | None:
    """Return names and rows of the clusters for robust standard errors; None if the model's own will do."""
    nested = isinstance(est.fit, MultilevelResults)
    robust = est.fit is not None and est.fit.robust_covariance is not None
    by_study = isinstance(cluster, str) and cluster == "study"
    if cluster is None or (by_study and not (est.clustered or nested or robust)):
        return None
    names, members = split_clusters(est.effects, None if by_study else cluster)
    return (names, members) if len(names) < est.k or nested or robust else None


def mixed_regression(
    est: Estimates, design: Design, test: str | None, clusters: Clusters | None
) -> Regression:
    """Fit the model of the results with one more column."""
    given = est.fit
    fit: FitResults
    said: list[str] = []
    of_fit = given.test if isinstance(given, MultilevelResults | RandomEffectsResults) else est.test
    chosen = of_fit if test is None else test
    if isinstance(given, MultilevelResults):
        fit = multilevel.with_design(given, design).fit(given.method, chosen, est.level)
    elif isinstance(given, RandomEffectsResults):
        model = univariate.with_design(est.effects, design, given.weighting)
        tau2 = given.tau2 if given.tau2_given else None
        df = given.df_given if test is None else None
        fit = model.fit(given.method, chosen, est.level, tau2, df=df)
    else:
        fit = univariate.with_design(est.effects, design).fit(est.method, chosen, est.level)
        if given is not None:
            kind = BOUNDS if isinstance(given.effects, BoundedEffectSizes) else given.family_lines().model
            said.append(
                f"one between-study variance by {est.method} is taken, not the model of the fit ({kind})"
            )
    if clusters is not None:
        names, members = clusters
        labels = np.empty(est.k, dtype=object)
        for name, rows in zip(names, members, strict=True):
            labels[rows] = name
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FewStudiesWarning)
                fit = fit.robust(labels.tolist())
        except NOT_ROBUST as error:
            said.append(_by_model(error))
    robust = fit.robust_covariance
    return Regression(
        fit.wald, fit.beta, fit.method, fit.tau2, 1.0, len(robust.clusters) if robust else 0, fit, tuple(said)
    )


def dispersion_regression(est: Estimates, design: Design, clusters: Clusters | None) -> Regression:
    """Fit by weighted least squares with weights 1/v and a free dispersion."""
    x = design.matrix(est.k)
    beta, inference, residuals = dispersed(x, est.y, est.v)
    factor = inference.scale
    said: tuple[str, ...] = ()
    if clusters is not None:
        names, members = clusters
        try:
            made = cluster_sandwich(x, residuals, members, [est.v[rows] for rows in members])
            inference = RobustCovariance(
                cov=made.cov,
                df=float(len(names) - design.p),
                kind="CR2",
                df_rule="satterthwaite",
                clusters=names,
                sandwich=made,
            )
        except NOT_ROBUST as error:
            said = (_by_model(error),)
    count = len(inference.clusters) if isinstance(inference, RobustCovariance) else 0
    return Regression(inference, beta, "", np.nan, factor, count, None, said)


def dispersed(x: Array, y: Array, v: Array) -> tuple[Array, WaldInference, Array]:
    """Return coefficients, inference and residuals of weighted least squares with variances phi v."""
    if x.shape[1] == 2 and (x[:, 0] == 1).all():  # an intercept and the predictor: three times as fast
        beta, cov, residuals = _line(x[:, 1], y, v)
    else:
        found = weighted_least_squares(x, y, v)
        beta, cov, residuals = found.beta, found.cov, found.residuals * np.sqrt(v)
    residuals = without_rounding(residuals, y)
    df = y.size - x.shape[1]
    factor = float((residuals**2 / v).sum()) / df
    return beta, WaldInference(cov * factor, float(df), factor), residuals


def _line(x: Array, y: Array, v: Array) -> tuple[Array, Array, Array]:
    """Return intercept and slope with weights 1 / v, their covariance matrix, and the residuals."""
    least = v.min()
    w = least / v
    total = w.sum()
    middle, mean = w @ x / total, w @ y / total
    centred, deviations = x - middle, y - mean
    spread = w @ (centred * centred)
    slope = w @ (centred * deviations) / spread
    beta = np.array([mean - slope * middle, slope])
    cov = np.array([[1 / total + middle * middle / spread, -middle / spread], [-middle / spread, 1 / spread]])
    return beta, cov * least, deviations - slope * centred


def _by_model(error: Exception) -> str:
    """Say why the standard errors are those of the model."""
    why = error.given if isinstance(error, MetaexoError) else "the clusters do not determine the coefficients"
    return f"the standard errors are those of the model, not cluster-robust: {why}"


# -- rank correlation ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RankTest(BiasTest):
    """A rank correlation test of funnel asymmetry.

    Attributes
    ----------
    tau : float
        Kendall's tau-b of standardised deviates and sampling variances; NaN if there is none.
    score, score_se : float
        Concordant minus discordant pairs, and their standard error without correlation, ties allowed for.
    exact : bool
        Whether the p-value is from the exact distribution, without ties, or from the normal one.
    """

    tau: float
    score: float
    score_se: float
    exact: bool

    @property
    def name(self) -> str:  # type: ignore[override]
        """Name of the method."""
        return "rank correlation test"

    @property
    def sentence(self) -> str:
        """The correlation and its p-value, in one plain sentence."""
        if np.isnan(self.tau):
            return "Rank correlation test: not testable, because all deviates or all variances are equal."
        kind = "exact" if self.exact else f"z = {number(self.statistic)}"
        return (
            "Rank correlation of effects and sampling variances: Kendall's tau = "
            f"{number(self.tau, 3)}, {p_value(self.pvalue)} ({kind})."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row: method, k, tau, score, score_se, exact, and the columns of the test."""
        frame = super().to_frame()
        for place, name in enumerate(("tau", "score", "score_se", "exact"), start=2):
            frame.insert(place, name, getattr(self, name))
        return frame


def rank_test(results: FitResults | EffectSizes, *, exact: bool | None = None) -> RankTest:
    r"""Test whether effects and their sampling variances are correlated, by ranks (Begg and Mazumdar).

    Use it beside the regression test where outlying effects may decide that one; it has less power. Kendall's
    tau-b is taken between the sampling variances and the standardised deviates

    .. math:: y^*_i = (y_i - \hat\mu) / \sqrt{v_i - 1 / \textstyle\sum_j 1 / v_j},

    with the fixed-effect mean. Where the standard error depends on the effect by construction (see
    :func:`metaexo.bias.regression_test`) it rejects too often.

    Parameters
    ----------
    results : FitResults or EffectSizes
        A fit without moderators, or bare effects, taken as independent.
    exact : bool, optional
        Whether the p-value is from the exact distribution, which needs data without ties. Default: if there
        are no ties and at most 400 effects. Otherwise the normal approximation, corrected for ties.

    Returns
    -------
    RankTest
        Kendall's tau-b with its test.

    Raises
    ------
    InputError
        If a sampling variance is zero, or `exact` is asked for and there are ties.
    TooFewStudiesError
        If there is one effect.

    References
    ----------
    Begg, C. B., Mazumdar, M. (1994). Operating characteristics of a rank correlation test for publication
    bias. Biometrics 50, 1088-1101. https://doi.org/10.2307/2533446
    Kendall, M. G. (1948). Rank Correlation Methods. Griffin.

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.1, 0.3, 0.2, 0.5, 0.9], [0.01, 0.02, 0.03, 0.05, 0.08])
    >>> found = mx.bias.rank_test(es)
    >>> print(f"tau {found.tau:.1f}, p {found.pvalue:.3f}")
    tau 0.8, p 0.083
    """
    est = estimates_of(results, "rank_test")
    if exact is not None:
        check_flag("exact", exact)
    deviates = standardised_deviates(est.y, est.v)
    ties = np.unique(deviates).size < est.k or np.unique(est.v).size < est.k
    if exact and ties:
        raise InputError(
            "some deviates or sampling variances are tied", "data without ties", "leave exact out"
        )
    by_counting = not ties and est.k <= EXACT_UP_TO if exact is None else exact
    tau, score, spread, pvalue = kendall(deviates, est.v, by_counting)
    measure = est.effects.measure
    said = [f"{correlated(measure)}: {INFLATED}; regression_test allows for that"]
    null = "effects and sampling variances are not correlated"
    test = TestResult(
        score / spread if spread > 0 else np.nan, "z", (), pvalue, f"{null}; exact p" if by_counting else null
    )
    return RankTest(
        effects=est.effects,
        said=(*(said if depends_on_effect(measure) else ()), *est.cautions()),
        test=test,
        tau=tau,
        score=score,
        score_se=spread,
        exact=by_counting,
    )


def standardised_deviates(y: Array, v: Array) -> Array:
    """Return deviations from the fixed-effect mean over their standard errors, shape (k,)."""
    w = v.min() / v
    deviations = without_rounding(y - (w @ y) / w.sum(), y)
    # The weights of all others: summed for a study that outweighs them, where a difference would lose digits.
    total = w.sum()
    others = total - w
    first = int(w.argmax())
    if w[first] > total / 2:
        others[first] = w[:first].sum() + w[first + 1 :].sum()
    return np.asarray(deviations / np.sqrt(v * others / total))


def kendall(a: Array, b: Array, exact: bool) -> tuple[float, float, float, float]:
    """Return Kendall's tau-b, concordant minus discordant pairs, their standard error, and the p-value.

    All but the standard error are NaN if one of the variables is constant. `exact` needs data without ties.
    """
    from scipy.stats import kendalltau

    k = a.size
    t, u = (np.unique(values, return_counts=True)[1].astype(float) for values in (a, b))
    pairs = k * (k - 1) / 2
    untied = [pairs - float((n * (n - 1)).sum()) / 2 for n in (t, u)]
    if min(untied) == 0:
        return np.nan, np.nan, 0.0, np.nan
    found = kendalltau(a, b, method="exact" if exact else "asymptotic")
    score = float(np.round(found.statistic * np.sqrt(untied[0] * untied[1])))
    first = k * (k - 1) * (2 * k + 5) - sum(float((n * (n - 1) * (2 * n + 5)).sum()) for n in (t, u))
    second = float((t * (t - 1)).sum() * (u * (u - 1)).sum()) / (2 * k * (k - 1))
    third = float((t * (t - 1) * (t - 2)).sum() * (u * (u - 1) * (u - 2)).sum())
    variance = first / 18 + second + (third / (9 * k * (k - 1) * (k - 2)) if k > 2 else 0.0)
    spread = float(np.sqrt(variance))
    pvalue = float(found.pvalue) if exact else float(normal_two_sided(score / spread))
    return float(found.statistic), score, spread, min(pvalue, 1.0)
