"""BetaBinomialResults: what a fitted beta-binomial model can be asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import betaincc, betaincinv, gammaincc, gammaincinv, ndtr

from metaexo.effects.counts import ARMS
from metaexo.errors import InputError
from metaexo.formatting import TEST_NAMES, interval, number, plural
from metaexo.inputs import check_choice, check_number, read_words
from metaexo.models.counts.beta_binomial.fit import PROFILE, BetaBinomialFit
from metaexo.models.counts.fit import CountResults, cochran_q
from metaexo.models.linear.choices import get_interval
from metaexo.models.linear.fit_statistics import Pooled
from metaexo.models.linear.hypothesis import TestResult, quantiles
from metaexo.models.linear.prediction import (
    Prediction,
    adjusted_level,
    index_of,
    new_rows,
    predict_new,
    prediction_frame,
    refuse_moderators,
)
from metaexo.models.linear.summary import FamilyLines
from metaexo.numeric.counts.mean_links import LINKS
from metaexo.numeric.counts.overdispersed import LARGEST
from metaexo.numeric.tails import chi2_tail
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.linear.prediction import NewRows

INTERVALS = (PROFILE, "wald")
LEAST = 1e-300  # the smallest risk or rate whose logarithm is shown


@dataclass(frozen=True, slots=True)
class RiskPrediction(Prediction):
    """Means on the scale of the analysis, and the beta or gamma distribution of a new study's risk."""

    risk: Array = field(kw_only=True)  # mean risks or rates, shape (r,)
    variance: Array = field(kw_only=True)  # of a new study's risk, that of the mean included, shape (r,)
    link: str = field(kw_only=True)
    person_time: bool = field(kw_only=True)

    def intervals(self, level: float) -> tuple[Array, Array, Array, Array]:
        """Return low, high, prediction low and prediction high, each of shape (r,)."""
        low, high, *_ = Prediction.intervals(self, level)
        tail = ndtr(-np.asarray(quantiles(level, self.prediction_df)))
        ends = []
        for part in (tail, 1 - tail):
            if self.person_time:
                shape = self.risk**2 / self.variance
                risk = gammaincinv(shape, part) * self.risk / shape
            else:
                risk = betaincinv(*self._parameters(), part)
                risk = np.minimum(risk, 1 - np.finfo(float).epsneg)
            ends.append(np.asarray(LINKS[self.link].forward(np.maximum(risk, LEAST))))
        return low, high, ends[0], ends[1]

    def above(self, value: float) -> Array:
        """Return the probability that the effect of a new study exceeds a value, shape (r,)."""
        risk = LINKS[self.link].means(np.full_like(self.risk, value)).mean
        if self.person_time:
            shape = self.risk**2 / self.variance
            return np.asarray(gammaincc(shape, np.maximum(risk, 0.0) * shape / self.risk))
        return np.asarray(betaincc(*self._parameters(), np.clip(risk, 0.0, 1.0)))

    def _parameters(self) -> tuple[Array, Array]:
        """Return the parameters of the beta distribution with these means and variances."""
        correlation = np.minimum(self.variance / (self.risk * (1 - self.risk)), 1 - 1e-9)
        people = (1 - correlation) / correlation
        return self.risk * people, (1 - self.risk) * people


@dataclass(frozen=True, eq=False, repr=False)
class BetaBinomialResults(BetaBinomialFit, CountResults):
    """A fitted beta-binomial model, or negative binomial model of rates.

    True risks of the arms of all studies with the same mean have a beta distribution around it; `rho` is the
    intra-class correlation of the people of an arm. `tau2`, and with it `tau` and `i2`, is the variance of
    true risks taken to the scale of the analysis by the delta method; of two arms it is the sum over both,
    because the model does not know which arms belong together. `dispersion()` has the standard deviation of
    the risks themselves.

    Attributes
    ----------
    counts : EventCounts
        What was fitted.
    effects : EffectSizes
        Estimates of single studies, for tables and drawings; the fit does not use them.
    design : Design
        Columns of the effect. With two arms the control arm has the same columns, with other coefficients.
    code : str
        The measure.
    maximum : Highest
        Where the likelihood is highest.
    link : str
        On which scale the coefficients add up: "logit", "probit", "cloglog", "log" or "identity".
    method : {"ML", "EE"}
        Maximum likelihood, or equal risks: rho is 0.
    test : {"z", "t"}
        Kind of test.
    level : float
        Confidence level of all intervals unless a call says otherwise.
    """

    # -- risks and their heterogeneity -------------------------------------------------------------------

    def risks(self, level: float | None = None, method: str = PROFILE) -> pd.DataFrame:
        """Return the mean risk, or rate, of each arm with its interval, for a fit without moderators.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the fit.
        method : {"profile-likelihood", "wald"}
            By the likelihood, or by the standard error on the scale of the link.

        Returns
        -------
        DataFrame
            A row per arm: estimate, se, low, high.

        Raises
        ------
        InputError
            If the fit has moderators.
        """
        import pandas as pd

        chosen, method = self.at_level(level), get_interval(method, INTERVALS)
        if self.design.x is not None:
            raise InputError(
                "this fit has moderators, so there is no single risk of an arm",
                "a fit without moderators",
                'use predict(..., scale="measure") for one arm, or fit one level of the moderators',
            )
        rows = {}
        for name, along in self._arms().items():
            eta = float(along @ self.every_beta)
            se = math.sqrt(max(float(along @ self.every_cov[:-1, :-1] @ along), 0.0))
            if method == PROFILE:
                ends = self._linear_ends(along, chosen)
            else:
                half = float(quantiles(chosen, self.df_test)) * se
                ends = (eta - half, eta + half)
            means = LINKS[self.link].means(np.array([eta, *ends]))
            rows[name] = [means.mean[0], se * abs(means.slope[0]), means.mean[1], means.mean[2]]
        columns = ["estimate", "se", "low", "high"]
        table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        table.index.name = "arm"
        return table

    def dispersion(self, level: float | None = None) -> pd.DataFrame:
        """Return how much true risks, or rates, differ between studies, with profile-likelihood intervals.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the fit.

        Returns
        -------
        DataFrame
            Columns estimate, low, high. The first row is the intra-class correlation rho of the people of an
            arm (of rates: their coefficient of variation); then, without moderators, the standard deviation
            of the true risks of each arm at its mean.

        Raises
        ------
        InputError
            If the fit is of equal risks.
        """
        import pandas as pd

        if not self.is_random:
            raise InputError("the fit is of equal risks", "a fit by maximum likelihood", 'fit(method="ML")')
        w = np.array([float(self.maximum.w[0]), *self._correlation_limits(self.at_level(level))])
        if self.counts.person_time:
            with np.errstate(divide="ignore"):
                rows = {"coefficient of variation": np.sqrt(w / (1 - w))}
        else:
            rows = {"intra-class correlation": w}
        if self.design.x is None:
            kept = np.minimum(w, 1 - 1e-15)
            for j, name in enumerate(self._arms()):
                what = "rates" if self.counts.person_time else "risks"
                rows[f"SD of {what}, {name}"] = np.sqrt([self._risk_variances(one)[j, 0] for one in kept])
        return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "low", "high"])

    def profile_intervals(
        self, names: str | Sequence[str] | None = None, level: float | None = None
    ) -> pd.DataFrame:
        """Return profile-likelihood intervals of the coefficients.

        Use them in place of `conf_int` where events are few: they need not be symmetric. An interval holds
        the values at which the log-likelihood, all else at its best, is at most half a chi-square quantile
        below its maximum.

        Parameters
        ----------
        names : str or sequence of str, optional
            Coefficients; default all.
        level : float, optional
            Confidence level; default that of the fit.

        Returns
        -------
        DataFrame
            A row per coefficient: estimate, low, high.

        Raises
        ------
        UnknownChoiceError
            If a coefficient is not known.
        """
        import pandas as pd

        chosen = self.at_level(level)
        if names is None:
            asked = self.design.names
        else:
            asked = (names,) if isinstance(names, str) else read_words(names, "names")
        rows = {}
        for name in asked:
            check_choice("coefficient", name, self.design.names)
            j = self.design.names.index(name)
            along = np.eye(self.every_beta.size)[j]
            rows[name] = [float(self.beta[j]), *self._linear_ends(along, chosen)]
        return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "low", "high"])

    def _arms(self) -> Mapping[str, Array]:
        """Return the arms with the combinations of coefficients that are their linear predictors."""
        if self.counts.arms == 1:
            return {"all": np.ones(1)}
        return {ARMS[0]: np.array([1.0, 1.0]), ARMS[1]: np.array([0.0, 1.0])}

    # -- new studies -------------------------------------------------------------------------------------

    def predict(
        self,
        new: NewRows = None,
        level: float | None = None,
        scale: str | Callable[[Array], Array] = "analysis",
        *,
        kind: str = "default",
        sampling_variance: float = 0.0,
        adjust: str | None = None,
        transform: str | Callable[[Array], Array] | None = None,
    ) -> pd.DataFrame:
        """Return mean effects at moderator values, with confidence and prediction intervals.

        With one arm the prediction interval is that of a beta distribution of the risk (of rates, a gamma
        distribution) with its mean and with the variance of the true risks plus that of the mean. Two arms
        have none: the model does not know how the arms of a study go together.

        Parameters
        ----------
        new : array_like, dict or DataFrame, shape (r, q), optional
            Rows of moderators, as in :meth:`metaexo.models.FitResults.predict`.
        level, scale : float and str, optional
            As there.
        kind : str
            As there: its quantile sets how much of the distribution lies outside.
        sampling_variance : float
            As there; with it all is normal on the scale of the analysis.
        adjust, transform : str, optional
            As there.

        Returns
        -------
        DataFrame
            Columns estimate, se, low, high, prediction_se, prediction_low, prediction_high.
        """
        x = new_rows(self.design, new)
        return prediction_frame(
            self,
            self._prediction(x, kind, sampling_variance),
            adjusted_level(self, level, adjust, len(x)),
            scale if transform is None else transform,
            index_of(new),
        )

    def pooled(self, level: float | None = None, kind: str = "default") -> Pooled:
        """Return the pooled effect with confidence and prediction interval; see `predict`."""
        refuse_moderators(self)
        chosen = self.at_level(level)
        found = self._prediction(np.ones((1, 1)), kind, 0.0)
        low, high, *ends = (float(end[0]) for end in found.intervals(chosen))
        known = self.is_random and self.counts.arms == 1
        below, above = ends if known else (None, None)
        return Pooled(float(found.mean[0]), float(found.se[0]), low, high, below, above, chosen)

    def probability_above(self, value: float = 0.0, new: NewRows = None, kind: str = "default") -> Array:
        """Return the probability that the true effect of a new study exceeds a value, shape (r,).

        It is from the distribution of the prediction interval; NaN for two arms and equal risks.
        """
        x = new_rows(self.design, new)
        return self._prediction(x, kind, 0.0).above(check_number("value", value))

    def _prediction(self, x: Array, kind: str, sampling_variance: float) -> Prediction:
        """Return the prediction for rows of the design, shape (r, p)."""
        found = predict_new(self, x, kind, sampling_variance)
        if self.counts.arms == 2 or not self.is_random or sampling_variance > 0:
            return found
        means = LINKS[self.link].means(found.mean)
        w, risk = min(float(self.maximum.w[0]), LARGEST), means.mean
        between = risk**2 * w / (1 - w) if self.counts.person_time else w * risk * (1 - risk)
        of_mean = np.zeros_like(risk) if kind == "simple" else (found.se * means.slope) ** 2
        variance = between + of_mean
        return RiskPrediction(
            found.mean,
            found.se,
            found.df,
            np.sqrt(variance) / np.abs(means.slope),
            found.prediction_df,
            risk=risk,
            variance=np.maximum(variance, LEAST),
            link=self.link,
            person_time=self.counts.person_time,
        )

    # -- tests -------------------------------------------------------------------------------------------

    @property
    def _is_flat(self) -> bool:
        """Whether every arm has one person, so that the likelihood is the same for every rho."""
        return self.is_random and not self.counts.person_time and bool(self.counts.totals.max() == 1)

    @cached_property
    def heterogeneity_test(self) -> TestResult:
        """Likelihood-ratio test that true risks do not differ: rho is 0.

        The null lies on the edge of what rho can be: the p-value is that of an equal mixture of chi-squares
        with no and one degree of freedom (Self and Liang 1987).
        """
        if self._is_flat:
            null = "true risks do not differ; not testable: every arm has one person"
            return TestResult(math.nan, "chi2", (1.0,), math.nan, null)
        statistic = max(2 * float(self.maximum.value[0] - self.maximum.binomial[0]), 0.0)
        edge = float(self.maximum.w[0]) == 0
        p = 1.0 if edge else 0.5 * float(chi2_tail(statistic, 1))
        what = "rates" if self.counts.person_time else "risks"
        null = f"true {what} do not differ (on the boundary: p-value of a mixture of chi-squares)"
        return TestResult(0.0 if edge else statistic, "chi2", (1.0,), p, null)

    @cached_property
    def q(self) -> TestResult:
        """Cochran's Q test of (residual) heterogeneity of the studies' own estimates, with weights 1/v."""
        return cochran_q(self)

    # -- for readers -------------------------------------------------------------------------------------

    def residuals(self, kind: str = "standardized") -> pd.DataFrame:
        """Return the studies' own estimates less the fitted ones; see the base.

        The standard error is the root of the sampling variance plus `tau2`.
        """
        found = super().residuals(kind)
        found["se"] = np.sqrt(self.effects.v + self.tau2)
        with np.errstate(divide="ignore", invalid="ignore"):
            found["z"] = found["residual"] / found["se"]
        return found

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the fit; empty if there is nothing."""
        found = []
        if self._is_flat:
            found.append("every arm has one person: rho cannot be estimated, and is taken as 0")
        elif bool(self.maximum.at_one[0]):
            found.append(
                "every arm has no event, or events alone: rho is at its upper end 1, and each arm counts as "
                "one person"
            )
        return (*found, *super().cautions())

    def facts(self) -> dict[str, Any]:
        """Return by name what only this family knows: link, risks, rho and its test."""
        alone = self.design.x is None
        return super().facts() | {
            "link": self.link,
            "rho": self.rho,
            "cv2": self.cv2,
            "risks": self.risks().reset_index() if alone else None,
            "dispersion": self.dispersion().reset_index() if self.is_random else None,
            "heterogeneity_test": self.heterogeneity_test if self.is_random else None,
        }

    def family_lines(self) -> FamilyLines:
        """Return the model, rho with its interval and test, the risks, and how the maximum was found."""
        found, words = self.maximum, "rate" if self.counts.person_time else "risk"
        two = self.counts.arms == 2
        name = ("Negative binomial" if self.counts.person_time else "Beta-binomial") + " model"
        pairing = "arms count as separate: which belong to one study is ignored" if two else ""
        likelihood = "maximum likelihood" if self.is_random else f"equal {words}s, maximum likelihood"
        heterogeneity: tuple[str, ...] = ()
        if self.is_random:
            heterogeneity = tuple(
                f"{label} {number(row['estimate'], 4)} ({interval(row['low'], row['high'], 4)}, {PROFILE})"
                for label, row in self.dispersion().iterrows()
            )
            heterogeneity = (
                *heterogeneity,
                str(self.heterogeneity_test),
                f"tau2: variance of the true {words}s{' of both arms' if two else ''}, taken to the scale of "
                "the analysis by the delta method",
            )
        risks: tuple[str, ...] = ()
        if self.design.x is None and two:
            risks = tuple(
                f"mean {words}, {arm}: {number(row['estimate'], 4)} ({interval(row['low'], row['high'], 4)})"
                for arm, row in self.risks().iterrows()
            )
        edge = [f"{'rho' if not self.counts.person_time else 'tau2'} is 0: at the boundary"]
        return FamilyLines(
            model=name,
            tests=TEST_NAMES[self.test],
            fitted=(f"{likelihood}, {self.link} link", *([pairing] if pairing else [])),
            pooled=risks,
            heterogeneity=heterogeneity,
            data=self.count_lines(),
            certificate=(
                "converged at the highest maximum found",
                *(
                    ["every rho has the same likelihood: 0 is a choice"]
                    if self._is_flat
                    else [
                        plural(int(found.maxima[0]), "local maximum", "local maxima"),
                        *(edge if self.is_random and found.at_zero[0] else []),
                    ]
                ),
            ),
        )

    def __repr__(self) -> str:
        spread = f"cv2 = {self.cv2:.4g}" if self.counts.person_time else f"rho = {self.rho:.4g}"
        return (
            f"BetaBinomialResults({self.measure.code}, {self.method}, {self.test}: k = {self.k}, "
            f"{plural(int(self.counts.events.sum()), 'event')}, {spread})"
        )
