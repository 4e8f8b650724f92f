"""BetaBinomial: counts of events whose true risks or rates differ between studies, and its results."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincc, betaincinv, gammaincc, gammaincinv, ndtr

from metaexo.effects.counts import ARMS, EventCounts
from metaexo.effects.measure import find_measure
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.formatting import TEST_NAMES, interval, number, plural
from metaexo.inputs import check_choice, check_level, check_number, read_words
from metaexo.models.counts.beta_binomial.fit import PROFILE, BetaBinomialFit, estimates, highest
from metaexo.models.counts.common_effect import check_dependence
from metaexo.models.counts.fit import CountResults, check_event_counts, cochran_q
from metaexo.models.linear.choices import get_interval, get_test
from metaexo.models.linear.design import MISSING, Redundant, make_design, without_missing
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

# Measures by arms and kind of size, the first the default, with the links that they can have.
MEASURES: dict[tuple[int, bool], dict[str, tuple[str, ...]]] = {
    (1, False): {"PLO": ("logit", "probit", "cloglog"), "PLN": ("log",), "PR": ("identity",)},
    (2, False): {"OR": ("logit",), "RR": ("log",), "RD": ("identity",)},
    (1, True): {"IRLN": ("log",)},
    (2, True): {"IRR": ("log",)},
}
METHODS = ("ML", "EE")
TESTS = ("z", "t")
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
            Rows of moderators, as in :meth:`metaexo.models.RandomEffectsResults.predict`.
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

    @cached_property
    def heterogeneity_test(self) -> TestResult:
        """Likelihood-ratio test that true risks do not differ: rho is 0.

        The null lies on the edge of what rho can be: the p-value is that of an equal mixture of chi-squares
        with no and one degree of freedom (Self and Liang 1987).
        """
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
        if self.is_random and not self.counts.person_time and self.counts.totals.max() == 1:
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
                plural(int(found.maxima[0]), "local maximum", "local maxima"),
                *(edge if self.is_random and found.at_zero[0] else []),
            ),
        )

    def __repr__(self) -> str:
        spread = f"cv2 = {self.cv2:.4g}" if self.counts.person_time else f"rho = {self.rho:.4g}"
        return (
            f"BetaBinomialResults({self.measure.code}, {self.method}, {self.test}: k = {self.k}, "
            f"{plural(int(self.counts.events.sum()), 'event')}, {spread})"
        )


class BetaBinomial:
    r"""Beta-binomial model of counts of events; negative binomial for person-time.

    Use it for rare events, where many studies have none: every study counts in full, also one without an
    event in either arm, and nothing is added to zeros. The number of people with an event in arm i is
    binomial, :math:`y_i \sim B(n_i, \pi_i)`, and its true risk :math:`\pi_i` has a beta distribution with
    mean :math:`\mu_i` and variance :math:`\rho \mu_i (1 - \mu_i)`, so that

    .. math:: P(y_i) = \binom{n_i}{y_i} \frac{B(a_i + y_i, b_i + n_i - y_i)}{B(a_i, b_i)}, \qquad
        a_i = \mu_i \frac{1 - \rho}{\rho}, \quad b_i = (1 - \mu_i) \frac{1 - \rho}{\rho},
        \quad \rho = \frac{1}{1 + a_i + b_i}.

    The link :math:`g(\mu_i) = x_i'\beta` depends on the measure: the log odds for OR and PLO, the logarithm
    for RR and PLN, the risk itself for RD and PR. For person-time :math:`t_i` the rate has a gamma
    distribution with mean :math:`\lambda_i` and coefficient of variation :math:`\sqrt\theta`, and the events
    are negative binomial with mean :math:`\lambda_i t_i` and variance
    :math:`\lambda_i t_i + \theta (\lambda_i t_i)^2`.

    With two arms all arms count as separate, with one :math:`\rho`: which arms belong to one study is
    ignored. That lets studies without any event inform a ratio, and it costs the protection that the
    comparison within studies gives: if the baseline risk differs much between studies whose arms are of
    unequal size, prefer :class:`metaexo.ArmBased` or :class:`metaexo.CountGLMM`.

    Parameters
    ----------
    counts : EventCounts
        Counts of one or two arms; see :func:`metaexo.event_counts`.
    measure : {"OR", "RR", "RD", "IRR", "PLO", "PLN", "PR", "IRLN"}, optional
        What the coefficients are: of two arms log odds ratio, log risk ratio, risk difference, or, for
        person-time, log rate ratio; of one arm log odds, log risk or risk, or the log rate. Default: OR, PLO,
        IRR or IRLN.
    moderators : str, array_like or DataFrame, shape (k, q), optional
        A formula on the columns of the counts' data, or numeric columns. With two arms the risk of the
        control arm has the same moderators, with coefficients that are not shown.
    link : {"logit", "probit", "cloglog"}, optional
        For PLO: the scale on which risks are linear in the moderators. Default: "logit".
    redundant : {"raise", "drop"}
        What to do with columns that add nothing to those before them.
    dependence : {"warn", "accept"}
        What to do if several rows belong to one study: they are taken as independent.
    missing : {"raise", "drop"}
        What to do with rows in which a moderator is missing.

    Raises
    ------
    InputError
        If `counts` are no counts.
    UnknownChoiceError
        If there is no such measure of these counts, or no such link.

    Warns
    -----
    DependentEffectsWarning
        If several rows belong to one study.
    RowsLeftOutWarning
        If rows were left out because `missing` is "drop".

    References
    ----------
    Kuss, O. (2015). Statistical methods for meta-analyses including information from studies without any
    events - add nothing to nothing and succeed nevertheless. Statistics in Medicine 34, 1097-1116.
    https://doi.org/10.1002/sim.6383
    Mathes, T., Kuss, O. (2018). A comparison of methods for meta-analysis of a small number of studies with
    binary outcomes. Research Synthesis Methods 9, 366-381. https://doi.org/10.1002/jrsm.1296

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(
    ...     treatment_events=[0, 3, 0, 2, 1], treatment_n=[12, 40, 25, 30, 22],
    ...     control_events=[0, 5, 1, 6, 3], control_n=[11, 42, 25, 31, 20],
    ... )
    >>> fit = mx.BetaBinomial(counts, "OR").fit()
    >>> print(f"{fit.estimate:.2f} (SE {fit.se[0]:.2f}), rho {fit.rho:.3f}")
    -0.99 (SE 0.50), rho 0.000
    """

    def __init__(
        self,
        counts: EventCounts,
        measure: str | None = None,
        moderators: str | ArrayLike | pd.DataFrame | None = None,
        *,
        link: Literal["logit", "probit", "cloglog"] | None = None,
        redundant: Redundant = "raise",
        dependence: Literal["warn", "accept"] = "warn",
        missing: Literal["raise", "drop"] = "raise",
    ) -> None:
        counts = check_event_counts(counts, "BetaBinomial")
        check_dependence(counts, dependence)
        check_choice("missing", missing, MISSING)
        known = MEASURES[counts.arms, counts.person_time]
        self.code = _measure(measure, known)
        self.link = known[self.code][0]
        if link is not None:
            check_choice("link", link, tuple(LINKS))
            if len(known[self.code]) == 1 and link != self.link:
                raise InputError(
                    f"link {link!r} was given for the measure {self.code}",
                    f"the link of {self.code}: {self.link}",
                    'probit and cloglog are for one arm of people, with the measure "PLO"',
                )
            check_choice("link", link, known[self.code])
            self.link = link
        counts.check_index("moderators", moderators)
        if missing == "drop":
            counts, (moderators,), _ = without_missing(counts, moderators)
        self.counts = counts
        self.design = make_design(
            moderators,
            counts.k,
            data=counts.data,
            rows=None if counts.ledger is None else counts.row_ids,
            redundant=redundant,
            can_drop=True,
        )

    def fit(
        self, method: Literal["ML", "EE"] = "ML", test: Literal["z", "t"] = "z", level: float = 0.95
    ) -> BetaBinomialResults:
        """Fit the model by maximum likelihood.

        The likelihood is climbed in the coefficients for a grid of correlations, and from each that is as
        high as its neighbours in all parameters, by Newton's method with exact derivatives. Correlations of 0
        and 1 are possible.

        Parameters
        ----------
        method : {"ML", "EE"}
            "ML": rho is estimated. "EE": equal risks, rho is 0; with two arms that is the table of all
            studies taken together.
        test : {"z", "t"}
            "z": normal; "t": k - p degrees of freedom for k rows and p coefficients of the effect.
        level : float
            Confidence level of the intervals.

        Returns
        -------
        BetaBinomialResults
            The fit, immutable.

        Raises
        ------
        UnknownChoiceError
            If `method` or `test` is not known.
        NotIdentifiableError
            If no arm has an event, or all people of an arm have one: the error names what gives an answer.
        ConvergenceError
            If the likelihood has no maximum at possible risks.
        """
        check_choice("method", method, METHODS)
        return BetaBinomialResults(
            counts=self.counts,
            effects=estimates(self.counts, self.code, self.link),
            design=self.design,
            code=self.code,
            maximum=highest(self.counts, self.design, self.link, method),
            link=self.link,
            method=method,
            test=get_test(test, TESTS),
            level=check_level(level),
        )


def _measure(measure: object, known: dict[str, tuple[str, ...]]) -> str:
    """Return the code of a measure that these counts have; the first if none is asked for."""
    if measure is None:
        return next(iter(known))
    found = find_measure(measure if isinstance(measure, str) else getattr(measure, "code", measure))
    if found is None or found.code not in known:
        raise UnknownChoiceError("measure of these counts", measure, tuple(known))
    return found.code
