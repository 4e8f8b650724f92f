"""ArmBased: risks or rates of both arms that vary together between studies, and its results."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metaexo.effects.counts import ARMS, EventCounts
from metaexo.effects.measure import find_measure
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.formatting import TEST_NAMES, interval, number, plural
from metaexo.inputs import check_choice, check_level, whole_number
from metaexo.models.counts.arm_based.fit import PROFILE, STRUCTURES, ArmBasedFit, estimates, highest
from metaexo.models.counts.common_effect import check_dependence
from metaexo.models.counts.fit import CountResults, check_event_counts, cochran_q
from metaexo.models.linear.choices import get_interval, get_test
from metaexo.models.linear.design import INTERCEPT_ONLY
from metaexo.models.linear.hypothesis import TestResult, quantiles
from metaexo.models.linear.model import Model
from metaexo.models.linear.summary import FamilyLines
from metaexo.numeric.counts.mean_links import LINKS
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

INTERVALS = (PROFILE, "wald")
MEASURES = {False: ("OR", "RR", "RD"), True: ("IRR",)}
RISK_LINKS = ("logit", "probit", "cloglog")
TESTS = ("z", "t")
# What the difference of the arms on the scale of the link is.
CONDITIONAL = {
    "logit": "log odds ratio",
    "probit": "difference of normal quantiles",
    "cloglog": "log hazard ratio",
    "log": "log rate ratio",
}
LEAST_POINTS, MOST_POINTS = 1, 60
# Variances as combinations of the moments: two means, two variances, the covariance.
VARIANCES = {
    "variance, treatment": np.array([0.0, 0.0, 1.0, 0.0, 0.0]),
    "variance, control": np.array([0.0, 0.0, 0.0, 1.0, 0.0]),
    "variance of the difference": np.array([0.0, 0.0, 1.0, 1.0, -2.0]),
}
SINGULAR = 1 - 1e-12  # correlations from here on are 1
NOISE_OF_SUMS = 1e-14  # variances below, as a share of both arms' variances, are rounding: 0


@dataclass(frozen=True, eq=False, repr=False)
class ArmBasedResults(ArmBasedFit, CountResults):
    """A fitted bivariate model of both arms.

    The estimate is marginal: it compares the mean risks of the arms over all studies (population-averaged).
    `conditional()` compares the arms of a study at the middle of the distribution of the random effects.
    `tau2`, and with it `tau` and `i2`, is the variance of the studies' true effects, on the scale of the
    measure; `components()` has the covariance matrix of the random effects.

    Attributes
    ----------
    counts : EventCounts
        What was fitted.
    effects : EffectSizes
        Estimates of single studies, for tables and drawings; the fit does not use them.
    maximum : CountMaximum
        Where the likelihood is highest.
    link : {"logit", "probit", "cloglog", "log"}
        On which scale the risks are normal; "log" for rates.
    structure : {"unstructured", "compound"}
        Covariance matrix of the random effects.
    points : int
        Points of the quadrature, in each of two dimensions.
    test : {"z", "t"}
        Kind of test.
    level : float
        Confidence level of all intervals unless a call says otherwise.
    """

    # -- what was estimated ------------------------------------------------------------------------------

    def risks(self, level: float | None = None, method: str = PROFILE) -> pd.DataFrame:
        """Return the marginal risk, or rate, of each arm: the mean over studies.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the fit.
        method : {"profile-likelihood", "wald"}
            By the likelihood, or by the delta method on the scale of the link.

        Returns
        -------
        DataFrame
            A row per arm: estimate, se, low, high, and median, the risk of a study in the middle.
        """
        import pandas as pd

        chosen, method = self.at_level(level), get_interval(method, INTERVALS)
        values, slopes = self._risks_of(self.moments.values)
        link, rows = LINKS[self.link], {}
        for j, arm in enumerate(ARMS):
            se = math.sqrt(self._variance_of(slopes[j]))
            if method == PROFILE:
                low, high = self._ends(self._through_moments(partial(self._risk_of, j)), chosen)
            else:
                eta = link.forward(values[j : j + 1])
                half = float(quantiles(chosen, self.df_test)) * se / float(link.means(eta).slope[0])
                low, high = (float(link.means(end).mean[0]) for end in (eta - half, eta + half))
            median = float(link.means(self.moments.values[j : j + 1]).mean[0])
            rows[arm] = [float(values[j]), se, low, high, median]
        columns = ["estimate", "se", "low", "high", "median"]
        table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        table.index.name = "arm"
        return table

    def _risk_of(self, j: int, moments: Array) -> tuple[float, Array]:
        """Return the marginal risk of one arm, and its derivatives by the moments."""
        values, slopes = self._risks_of(moments)
        return float(values[j]), slopes[j]

    def marginal(self, level: float | None = None, method: str = PROFILE) -> pd.DataFrame:
        """Return every marginal effect: of the mean risks (or rates) of both arms.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the fit.
        method : {"profile-likelihood", "wald"}
            By the likelihood, or by the delta method.

        Returns
        -------
        DataFrame
            A row per measure (OR, RR and RD; IRR for person-time): estimate, se, low, high on the scale of
            the analysis, which is the logarithm for ratios, and ratio, ratio_low, ratio_high for these.
        """
        import pandas as pd

        chosen, method = self.at_level(level), get_interval(method, INTERVALS)
        rows = {}
        for code in MEASURES[self.counts.person_time]:
            other = self if code == self.measure.code else self._of_measure(code)
            value, slope = other._measure_of(self.moments.values)
            se = math.sqrt(self._variance_of(slope))
            if method == PROFILE:
                low, high = self._ends(self._through_moments(other._measure_of), chosen)
            else:
                half = float(quantiles(chosen, self.df_test)) * se
                low, high = value - half, value + half
            ratios = np.exp([value, low, high]) if code != "RD" else np.full(3, np.nan)
            rows[code] = [value, se, low, high, *ratios]
        columns = ["estimate", "se", "low", "high", "ratio", "ratio_low", "ratio_high"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

    def _of_measure(self, code: str) -> ArmBasedResults:
        """Return the same fit with another marginal effect as its estimate."""
        return replace(self, effects=estimates(self.counts, code))

    def conditional(self, level: float | None = None, method: str = PROFILE) -> pd.DataFrame:
        """Return the effect within a study in the middle: the difference of the means of the random effects.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the fit.
        method : {"profile-likelihood", "wald"}
            By the likelihood, or by the standard error.

        Returns
        -------
        DataFrame
            One row: estimate, se, low, high on the scale of the link (the log odds ratio for the logit), with
            prediction_low and prediction_high for the effect of a new study: normal with its variance, that
            of the mean included.
        """
        import pandas as pd

        chosen, method = self.at_level(level), get_interval(method, INTERVALS)
        slope = np.array([1.0, -1.0, 0.0, 0.0, 0.0])
        moments = self.moments.values
        estimate, se = float(slope @ moments), math.sqrt(self._variance_of(slope))
        quantile = float(quantiles(chosen, self.df_test))
        if method == PROFILE:
            low, high = self._ends(self._through_moments(partial(_combined, slope)), chosen)
        else:
            low, high = estimate - quantile * se, estimate + quantile * se
        wide = quantile * math.sqrt(se**2 + max(moments[2] + moments[3] - 2 * moments[4], 0.0))
        columns = ["estimate", "se", "low", "high", "prediction_low", "prediction_high"]
        row = [estimate, se, low, high, estimate - wide, estimate + wide]
        return pd.DataFrame([row], columns=columns, index=[CONDITIONAL[self.link]])

    @property
    def correlation(self) -> float:
        """Correlation of the random effects of the arms; NaN where one of them has no variance."""
        return _correlation(self.moments.values)[0]

    def components(self, level: float | None = None) -> pd.DataFrame:
        """Return the covariance matrix of the random effects, with profile-likelihood intervals.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the fit.

        Returns
        -------
        DataFrame
            Columns estimate, low, high; rows: the variance of each arm on the scale of the link, their
            correlation (NaN where a variance is 0; from -1 to 1 where the interval of a variance reaches
            0), and the variance of their difference.
        """
        import pandas as pd

        chosen = self.at_level(level)
        rows: dict[str, list[float]] = {}
        for name, estimate in self.component_estimates.items():
            if name == "correlation":
                ends = self._correlation_ends(chosen, [rows[arm][1] for arm in rows])
            else:
                target = self._through_moments(partial(_combined, VARIANCES[name]))
                ends = self._variance_ends(target, chosen)
            rows[name] = [estimate, *ends]
        return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "low", "high"])

    def _correlation_ends(self, level: float, lowest: list[float]) -> tuple[float, float]:
        """Return the profile-likelihood interval of the correlation, given the low ends of both variances.

        Where a variance may be 0, the correlation may be anything.
        """
        at = self.correlation
        if math.isnan(at):
            return math.nan, math.nan
        if min(lowest) == 0:
            return -1.0, 1.0
        low, high = np.clip(self._ends(self._through_moments(_correlation), level), -1.0, 1.0).tolist()
        return (-1.0 if at <= -SINGULAR else low), (1.0 if at >= SINGULAR else high)

    @property
    def component_estimates(self) -> dict[str, float]:
        """Variances of the random effects, their correlation, and the variance of their difference."""
        moments = self.moments.values
        rounding = NOISE_OF_SUMS * float(moments[2] + moments[3])
        sums = {name: float(slope @ moments) for name, slope in VARIANCES.items()}
        found = {name: value if value > rounding else 0.0 for name, value in sums.items()}
        last = found.popitem()
        return found | {"correlation": self.correlation} | dict([last])

    # -- what every fit has ------------------------------------------------------------------------------

    @cached_property
    def q(self) -> TestResult:
        """Cochran's Q test of heterogeneity of the studies' own estimates, with weights 1/v."""
        return cochran_q(self)

    def residuals(self, kind: str = "standardized") -> pd.DataFrame:
        """Return the studies' own estimates less the marginal one; see the base.

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
        if self.k < 5:
            found.append(f"{self.k} rows say little on variances and a correlation; intervals are rough")
        return (*found, *super().cautions())

    def facts(self) -> dict[str, Any]:
        """Return by name what only this family knows: risks, effects, and the covariance matrix."""
        return super().facts() | {
            "link": self.link,
            "structure": self.structure,
            "points": self.points,
            "risks": self.risks(method="wald").reset_index(),
            "marginal": self.marginal(method="wald").reset_index(names="measure"),
            "conditional": self.conditional(method="wald").reset_index(names="effect"),
            "covariance_components": self.component_estimates,
        }

    def family_lines(self) -> FamilyLines:
        """Return link, structure, risks, the conditional effect and the components, in words."""
        words = "rate" if self.counts.person_time else "risk"
        tables = {
            f"mean {words}, ": self.risks(method="wald"),
            "within a study in the middle: ": self.conditional(method="wald"),
        }
        pooled = [
            f"{before}{name} {number(row['estimate'], 4)} (Wald {interval(row['low'], row['high'], 4)})"
            for before, table in tables.items()
            for name, row in table.iterrows()
        ]
        components = ", ".join(f"{name} {number(v, 4)}" for name, v in self.component_estimates.items())
        found = self.maximum
        edge = [] if found.free[0].all() else ["the covariance matrix is singular: at the boundary"]
        quadrature = f"adaptive Gauss-Hermite quadrature, {self.points} points in each of 2 dimensions"
        return FamilyLines(
            model="Arm-based model",
            tests=TEST_NAMES[self.test],
            fitted=(
                f"maximum likelihood, {self.link} link, {self.structure} covariance of the arms",
                f"the estimate compares mean {words}s over studies (marginal)",
            ),
            pooled=tuple(pooled),
            heterogeneity=(
                f"{self.link} scale: {components}",
                "tau2: variance of the studies' true effects, on the scale of the measure",
            ),
            data=self.count_lines(),
            certificate=(
                "converged at the highest maximum found",
                plural(int(found.maxima[0]), "local maximum", "local maxima"),
                *edge,
                quadrature,
            ),
        )

    def __repr__(self) -> str:
        return (
            f"ArmBasedResults({self.measure.code}, {self.link}, {self.structure}: k = {self.k}, "
            f"{plural(int(self.counts.events.sum()), 'event')}, correlation = {self.correlation:.3g})"
        )


def _combined(slope: Array, moments: Array) -> tuple[float, Array]:
    """Return a linear combination of the moments, and its derivatives by them."""
    return float(slope @ moments), slope


def _correlation(moments: Array) -> tuple[float, Array]:
    """Return the correlation of the random effects, and its derivatives by the moments."""
    treated, control, shared = moments[2:]
    size = math.sqrt(max(treated * control, 0.0))
    if not size > 0:
        return math.nan, np.zeros(5)
    value = shared / size
    return float(value), np.array([0.0, 0.0, -value / (2 * treated), -value / (2 * control), 1 / size])


class ArmBased(Model):
    r"""Bivariate model of the risks, or rates, of both arms: marginal risks and what follows from them.

    Use it where the question is about populations: the mean risk with and without treatment, and their ratio
    or difference. Every study counts in full, also one without an event in either arm, and nothing is added
    to zeros. On the scale of a link g the true risks of the two arms of study i are normal together,

    .. math:: (g(\pi_{1i}), g(\pi_{0i})) \sim N_2\big((\nu_1, \nu_0), \Sigma\big),

    and the events are binomial (for person-time: Poisson, with the log link). The marginal risk of an arm is
    the mean over studies, :math:`\bar\pi_a = E\, g^{-1}(\nu_a + \sigma_a z)`, and the estimate is the log
    odds ratio, log risk ratio or difference of these. The likelihood is integrated by adaptive Gauss-Hermite
    quadrature in two dimensions. With the logit link this is the mixed model with random study intercepts and
    correlated random effects ("unconditional-random"), whose estimate is the effect within a study,
    :math:`\nu_1 - \nu_0`; `conditional()` has it here.

    Parameters
    ----------
    counts : EventCounts
        Counts of two arms; see :func:`metaexo.event_counts`.
    measure : {"OR", "RR", "RD", "IRR"}, optional
        Which marginal effect is the estimate. Default: OR, or IRR for person-time. `marginal()` has all.
    link : {"logit", "probit", "cloglog"}
        On which scale risks are normal. Rates: the logarithm.
    structure : {"unstructured", "compound"}
        Covariance matrix of the arms: any, or equal variances with any correlation.
    dependence : {"warn", "accept"}
        What to do if several rows belong to one study: they are taken as independent.

    Raises
    ------
    InputError
        If `counts` are no counts of two arms.
    UnknownChoiceError
        If there is no such measure of these counts, no such link or structure.

    Warns
    -----
    DependentEffectsWarning
        If several rows belong to one study.

    References
    ----------
    Chu, H., Cole, S. R. (2006). Bivariate meta-analysis of sensitivity and specificity with sparse data: a
    generalized linear mixed model approach. Journal of Clinical Epidemiology 59, 1331-1332.
    https://doi.org/10.1016/j.jclinepi.2006.06.011
    Hong, H., Chu, H., Zhang, J., Carlin, B. P. (2016). A Bayesian missing data framework for generalized
    multiple outcome mixed treatment comparisons. Research Synthesis Methods 7, 6-22.
    https://doi.org/10.1002/jrsm.1153

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(
    ...     treatment_events=[0, 3, 0, 2, 1, 7], treatment_n=[12, 40, 25, 30, 22, 50],
    ...     control_events=[0, 5, 1, 6, 3, 1], control_n=[11, 42, 25, 31, 20, 60],
    ... )
    >>> fit = mx.ArmBased(counts, "RD").fit()
    >>> print(f"{fit.estimate:.4f} (SE {fit.se[0]:.4f})")
    -0.0235 (SE 0.0440)
    """

    def __init__(
        self,
        counts: EventCounts,
        measure: str | None = None,
        *,
        link: Literal["logit", "probit", "cloglog"] | None = None,
        structure: Literal["unstructured", "compound"] = "unstructured",
        dependence: Literal["warn", "accept"] = "warn",
    ) -> None:
        counts = check_event_counts(counts, "ArmBased", arms=2)
        check_dependence(counts, dependence)
        check_choice("structure", structure, STRUCTURES)
        known = MEASURES[counts.person_time]
        found = None if measure is None else find_measure(getattr(measure, "code", measure))
        if measure is not None and (found is None or found.code not in known):
            raise UnknownChoiceError("measure of these counts", measure, known)
        if link is not None:
            check_choice("link", link, RISK_LINKS)
        if link is not None and counts.person_time:
            raise InputError(
                f"link {link!r} was given for person-time",
                "no link: rates are on the log scale",
                "leave it out",
            )
        self.link = "log" if counts.person_time else (link or RISK_LINKS[0])
        self.counts = counts
        self.code = known[0] if found is None else found.code
        self.structure = structure

    def fit(self, test: Literal["z", "t"] = "z", level: float = 0.95, points: int = 25) -> ArmBasedResults:
        """Fit the model by maximum likelihood.

        Parameters
        ----------
        test : {"z", "t"}
            "z": normal; "t": k - 1 degrees of freedom.
        level : float
            Confidence level of the intervals.
        points : int
            Points of the quadrature in each of the two dimensions, 1 to 60; 1 is Laplace's approximation.

        Returns
        -------
        ArmBasedResults
            The fit, immutable.

        Raises
        ------
        UnknownChoiceError
            If `test` is not known.
        InputError
            If `points` is not a whole number from 1 to 60.
        TooFewStudiesError
            If there is one row.
        NotIdentifiableError
            If an arm has no event in any row, or events in everyone, or if no row bounds a variance.
        ConvergenceError
            If the search ends without a maximum.
        """
        kind, level = get_test(test, TESTS), check_level(level)
        points = whole_number(points, "points", LEAST_POINTS)
        if points > MOST_POINTS:
            raise InputError(f"points is {points}", f"a whole number from {LEAST_POINTS} to {MOST_POINTS}")
        return ArmBasedResults(
            counts=self.counts,
            effects=estimates(self.counts, self.code),
            design=INTERCEPT_ONLY,
            maximum=highest(self.counts, self.link, self.structure, points),
            link=self.link,
            structure=self.structure,
            points=points,
            method="ML",
            test=kind,
            level=level,
        )
