"""CensoredResults: what a fitted model of exact and censored effects can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metaexo.errors import InputError, NotNestedError
from metaexo.formatting import interval, number, percent, text_table
from metaexo.inputs import check_choice
from metaexo.models.censored import evidence
from metaexo.models.censored.effects import count_in_words
from metaexo.models.censored.fit import CENSORED_TESTS, CensoredFit
from metaexo.models.censored.imputation import ImputedResults, impute
from metaexo.models.linear.choices import get_interval
from metaexo.models.linear.fit import Tau2Limits
from metaexo.models.linear.hypothesis import TestResult, make_test
from metaexo.models.linear.likelihood_ratio import same_effects, within
from metaexo.models.linear.results import FitResults
from metaexo.models.linear.summary import FamilyLines
from metaexo.models.univariate.intervals import HeterogeneityInterval, heterogeneity_interval_of
from metaexo.numeric.censored.limits import coefficient_limits
from metaexo.numeric.censored.limits import tau2_limits as limits_of_tau2
from metaexo.numeric.censored.maximum import censored_at, censored_maximum
from metaexo.numeric.censored.rows import make_censored_batch
from metaexo.numeric.tails import chi2_tail, normal_quantile
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

CRITERIA = {
    "REML": "restricted maximum likelihood, coefficients integrated out by Laplace's method",
    "ML": "maximum likelihood",
}
PROFILE = "profile-likelihood"
NO_END = "the likelihood does not bound tau2 from above at this level"


@dataclass(frozen=True, eq=False, repr=False)
class CensoredResults(CensoredFit, FitResults):
    """A fitted model of exact and censored effects; asking again with other choices gives a new one.

    Attributes
    ----------
    effects : BoundedEffectSizes
        What was fitted.
    design : Design
        Columns of the mean.
    batch : CensoredBatch
        The problem as the kernels see it.
    maximum : CensoredMaximum
        Estimates with their certificate.
    inference : CensoredInference
        Covariance matrix and effective numbers.
    method : {"REML", "ML"}
        Criterion of tau2.
    test : str
        Kind of test.
    level : float
        Confidence level of all intervals unless a call says otherwise.
    tau2_given : bool
        Whether tau2 was given and not estimated.
    """

    # -- coefficients ------------------------------------------------------------------------------------

    def conf_int(self, level: float | None = None, kind: Literal["wald", "profile"] = "wald") -> pd.DataFrame:
        """Return the confidence intervals of the coefficients: columns low and high.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the fit.
        kind : {"wald", "profile"}
            "wald": estimate plus and minus a multiple of its standard error, by the test of the fit.
            "profile": the values within half a chi-square quantile of the highest likelihood, tau2 and the
            other coefficients being at their best; not symmetric, and by ML whatever the method.

        Raises
        ------
        UnknownChoiceError
            If the kind is not known.
        """
        import pandas as pd

        check_choice("kind of interval", kind, ("wald", "profile"))
        if kind == "wald":
            return super().conf_int(level)
        low, high = _profile_bounds(self, self.at_level(level))
        return pd.DataFrame({"low": low, "high": high}, index=pd.Index(self.design.names))

    # -- heterogeneity -----------------------------------------------------------------------------------

    @property
    def q(self) -> TestResult:
        """Cochran's Q where all effects are exact; with censored ones statistic and p-value are NaN.

        `heterogeneity_test` is the test of heterogeneity then.
        """
        return evidence.q_test(self, "the likelihood-ratio test takes its place")

    def tau2_limits(self, level: float, method: str | None) -> Tau2Limits | None:
        """Return the interval of tau2 for the table of heterogeneity; see `conf_int_heterogeneity`."""
        if method is not None:
            get_interval(method, (PROFILE,))
        elif self.tau2_given:
            return None
        found = self.conf_int_heterogeneity(level)
        ends = dict.fromkeys(self.tau2_by_component, (found.tau2.low, found.tau2.high))
        return Tau2Limits(ends, found.method, found.note)

    def conf_int_heterogeneity(self, level: float | None = None) -> HeterogeneityInterval:
        """Return profile-likelihood intervals for tau2, tau, I2 and H2.

        They hold the values within half a chi-square quantile of the highest criterion; an end that the data
        do not set is infinite, and the note says so.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the fit.

        Raises
        ------
        InputError
            If tau2 was given, and not estimated.

        References
        ----------
        Hardy, R. J., Thompson, S. G. (1996).
        https://doi.org/10.1002/(SICI)1097-0258(19960330)15:6<619::AID-SIM188>3.0.CO;2-A
        """
        level = self.at_level(level)
        if self.tau2_given:
            raise InputError("tau2 was given, so there is no interval for it", "an estimated tau2")
        drop = 0.5 * normal_quantile(level) ** 2
        low, high = limits_of_tau2(self.batch, self.maximum, self.method == "REML", drop)
        ends = (self.tau2, float(low[0]), float(high[0]))
        note = "" if np.isfinite(high[0]) else NO_END
        return heterogeneity_interval_of(ends, self.typical_variance, PROFILE, level, note)

    @cached_property
    def heterogeneity_test(self) -> TestResult:
        """Likelihood-ratio test of tau2 = 0, its p-value that of an equal mixture of chi-squares.

        It is the boundary of what tau2 can be (Self and Liang 1987). With a given tau2, that value is tested
        against the best one, and the p-value is that of chi-square.
        """
        restricted = self.method == "REML"
        if self.tau2_given:
            best = censored_maximum(self.batch, restricted)
            statistic = max(0.0, 2 * float(best.value[0] - self.maximum.value[0]))
            return make_test(statistic, "chi2", (1.0,), f"tau2 is {self.tau2:g}")
        at_zero = censored_at(self.batch, 0.0, restricted)
        statistic = max(0.0, 2 * float(self.maximum.value[0] - at_zero.value[0]))
        p = 0.5 * (float(chi2_tail(statistic, 1)) + float(statistic <= 0))
        null = self.homogeneity_words()
        return TestResult(statistic, "chi2", (1.0,), p, f"{null} (p-value of a mixture of chi-squares)")

    def likelihood_ratio_test(self, smaller: CensoredFit | None = None) -> TestResult:
        """Return the test of a smaller model against this one, both by maximum likelihood.

        Use it for moderators: the Wald test rests on a curvature at one point, this one on how far the
        likelihood falls. Both models are fitted by ML here, whatever they were fitted by.

        Parameters
        ----------
        smaller : CensoredResults, optional
            A fit of the same effects whose columns are combinations of those of this one. Default: the model
            without moderators.

        Raises
        ------
        InputError
            If there are no moderators and no smaller model.
        NotNestedError
            If the smaller fit is of other effects or no special case.
        """
        x = self.design.matrix(self.k)
        if smaller is None:
            if self.design.x is None:
                raise InputError(
                    "the model has no moderators, so there is no smaller one",
                    "a model with moderators",
                    "heterogeneity_test tests tau2 = 0, moderator_test the pooled effect",
                )
            small, same, words = np.ones((self.k, 1)), True, "no effect of any moderator"
        elif isinstance(smaller, CensoredFit):
            small, words = smaller.design.matrix(smaller.k), "the smaller model holds"
            same = same_effects(smaller, self)
        else:
            raise InputError(
                f"the smaller model is of type {type(smaller).__name__}",
                "a CensoredResults",
                "fit both with CensoredRandomEffects",
            )
        if not same or not within(small, x) or small.shape[1] >= x.shape[1]:
            raise NotNestedError(
                "the smaller fit is of other effects" if not same else "the smaller fit is no special case",
                "a fit of the same effects whose columns are combinations of those of this one",
                "call the test on the larger fit and hand in the smaller one"
                if same and within(x, small) and x.shape[1] < small.shape[1]
                else "",
            )
        heights = [_highest(self, columns) for columns in (x, small)]
        df = float(x.shape[1] - small.shape[1])
        return make_test(max(0.0, 2 * (heights[0] - heights[1])), "chi2", (df,), words)

    # -- evidence ----------------------------------------------------------------------------------------

    @property
    def information_shares(self) -> Array:
        """Share of each effect in the information on the coefficients, shape (k,); they add up to 1.

        -l_i'' x_i' J^-1 x_i / p with J the information; without moderators these are the weights of the mean.
        """
        return evidence.information_shares(self)

    @property
    def weights(self) -> Array | None:
        """Weights of the effects in the pooled mean, shape (k,); None with moderators."""
        return self.information_shares if self.design.x is None else None

    @property
    def expected_effects(self) -> Array:
        """What each observed effect is expected to be, given its interval and the fit, shape (k,).

        The mean of the truncated normal distribution; the effect itself where it is exact. It is a result of
        the model and no datum.
        """
        return evidence.expected_effects(self)

    def rows(self) -> pd.DataFrame:
        """Return the effects one by one: what is known of each, and how much that contributes.

        Returns
        -------
        DataFrame
            Columns row, label, study, kind, lower, upper; `retained`, the share of its complete information
            that an effect retains (1 if it is exact); `share`, its share of the information on the
            coefficients; `expected`, what the observed effect is expected to be.
        """
        return evidence.rows(self)

    def contributions(self) -> pd.DataFrame:
        """Return what each kind of evidence contributes, one row per kind.

        Use it to see whether a result rests on numbers or on thresholds; the fits without each kind are
        :func:`metaexo.sensitivity.leave_kind_out`.

        Returns
        -------
        DataFrame
            Indexed by kind. `k`; `effective`, the number of exact effects with as much information; `share`,
            part of the information on the coefficients; `tau2_share`, part of the information on tau2
            (negative where a kind makes tau2 less certain); `tau2_pull`, part of the score of tau2 times tau2
            (times the smallest sampling variance at tau2 = 0): positive for a kind that asks for a larger
            one, and over all kinds 0 where tau2 is above 0.
        """
        return evidence.contributions(self)

    def residuals(self, kind: str = "standardized") -> pd.DataFrame:
        """Return the residuals: columns fitted, residual, se and z, indexed by the rows' labels.

        The residual of a censored effect is that of its expected value; it has no standard error.

        Parameters
        ----------
        kind : {"standardized", "pearson"}
            Whether the standard error allows for the estimation of the mean.

        References
        ----------
        Gourieroux, C., Monfort, A., Renault, E., Trognon, A. (1987). Generalised residuals. Journal of
        Econometrics 34, 5-32. https://doi.org/10.1016/0304-4076(87)90065-0
        """
        return evidence.residuals(self, kind)

    def random_effects(self, level: float | None = None) -> pd.DataFrame:
        """Return the predicted deviations of true effects from their mean, with intervals (BLUPs).

        For a censored effect it is the expectation given its interval, and the standard error is larger by
        what the interval leaves open.
        """
        return evidence.random_effects(self, level)

    # -- a second method ---------------------------------------------------------------------------------

    def impute(self, draws: int = 200, seed: int = 0, draw_tau2: bool = True) -> ImputedResults:
        """Return the fit by multiple imputation of the censored effects: a second method that must agree.

        Each draw takes tau2 and the coefficients from their likelihood, draws every censored effect within
        its interval, and fits the usual random-effects model; the fits are combined by Rubin's rules. With
        many effects both methods agree but for Monte Carlo error. With few, tau2 that is drawn makes wider
        intervals than tau2 that is estimated.

        Parameters
        ----------
        draws : int
            Number of imputations, at least 2.
        seed : int
            Seed of the random numbers.
        draw_tau2 : bool
            Whether tau2 is drawn for each imputation; otherwise effects are imputed at its estimate.

        Raises
        ------
        InputError
            If there are fewer than two draws.
        NotIdentifiableError
            If too few effects are points or have two ends to draw tau2 from its likelihood.

        References
        ----------
        Rubin, D. B. (1987). Multiple Imputation for Nonresponse in Surveys. Wiley.
        https://doi.org/10.1002/9780470316696
        """
        return impute(self, draws, seed, draw_tau2)

    # -- for readers -------------------------------------------------------------------------------------

    def family_lines(self) -> FamilyLines:
        """Return what this family adds to the summary and to the notes below the tables."""
        pooled = []
        if self.design.x is None:
            low, high = _profile_bounds(self, self.level)
            pooled = [f"profile-likelihood interval {interval(low[0], high[0], 4)}"]
        header = ["kind", "k", "effective", "of the mean", "of tau2"]
        rows = [
            [
                str(kind),
                f"{row['k']:.0f}",
                number(row["effective"], 1),
                percent(row["share"]),
                percent(row["tau2_share"]),
            ]
            for kind, row in self.contributions().iterrows()
        ]
        exact = number(self.effective, 1)
        data = (
            f"equivalent to {exact} exact effects of {self.k}; shares of the information:",
            text_table(rows, header),
        )
        return FamilyLines(
            model="Random-effects model",
            tests=CENSORED_TESTS[self.test],
            fitted=(
                f"evidence: {count_in_words(self.kinds)}",
                f"tau2: {'given' if self.tau2_given else CRITERIA[self.method]}",
            ),
            pooled=tuple(pooled),
            heterogeneity=(f"likelihood ratio: {self.heterogeneity_test}",),
            data=data,
            certificate=tuple(_certificate(self)),
        )

    def facts(self) -> dict[str, Any]:
        """Return what this family adds to `to_dict`."""
        return super().facts() | {
            "kinds": self.contributions().reset_index(),
            "effective": self.effective,
            "tau2_se": self.tau2_se,
            "tau2_given": self.tau2_given,
            "heterogeneity_test": self.heterogeneity_test,
        }

    def __repr__(self) -> str:
        return (
            f"CensoredResults({self.measure.code}, {self.method}, {self.test}: k = {self.k}, "
            f"{self.effective:.1f} effective, tau2 = {self.tau2:.4g})"
        )


def _profile_bounds(fit: CensoredFit, level: float) -> tuple[Array, Array]:
    """Return the ends of the profile-likelihood intervals of the coefficients, each of shape (p,)."""
    drop = 0.5 * normal_quantile(level) ** 2
    x, known = fit.design.matrix(fit.k), fit.tau2 if fit.tau2_given else None
    ends = [coefficient_limits(fit.batch, x, j, drop, known) for j in range(fit.design.p)]
    return np.array([low[0] for low, _ in ends]), np.array([high[0] for _, high in ends])


def _certificate(fit: CensoredFit) -> list[str]:
    found = fit.certificate
    lines = []
    if not fit.tau2_given:
        boundary = "at the boundary tau2 = 0, where no positive value fits better"
        lines.append(boundary if found.at_boundary else "converged")
        of = "" if found.maxima == 1 else f": the highest of {found.maxima} local maxima"
        lines.append(f"highest maximum of a fine scan{of}")
    if fit.effective < 5:
        lines.append(
            f"equivalent to only {number(fit.effective, 1)} effects: tau and prediction interval rest on "
            "very little"
        )
    return lines


def _highest(fit: CensoredFit, x: Array) -> float:
    """Return the highest log-likelihood of the effects of a fit with other columns."""
    es = fit.effects
    batch = make_censored_batch(es.lower, es.upper, es.v_lower, es.v_upper, x)
    best = censored_at(batch, fit.tau2, False) if fit.tau2_given else censored_maximum(batch, False)
    return float(best.value[0])
