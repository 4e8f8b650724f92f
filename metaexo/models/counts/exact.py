"""The common odds ratio or rate ratio given each study's margins: exact estimate, limits and tests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from metaexo.effects.counts import EventCounts
from metaexo.effects.measures.zero_cells import ZeroCells
from metaexo.errors import InputError
from metaexo.formatting import number, plural
from metaexo.immutable import lock
from metaexo.inputs import check_choice, check_flag, check_level, check_number, whole_number
from metaexo.models.counts.common_effect import (
    HALF_IN_STUDIES,
    NOTHING_ADDED,
    CommonEffectFit,
    CommonEffectResults,
    check_dependence,
    check_measure,
    check_rule,
)
from metaexo.models.counts.exact_test import ExactTest, conditional_sum, exact_test
from metaexo.models.counts.fit import check_event_counts, no_comparison
from metaexo.models.linear.design import INTERCEPT_ONLY, Design
from metaexo.models.linear.fit_statistics import FitStatistics
from metaexo.models.linear.hypothesis import OwnInference, TestResult
from metaexo.models.linear.model import Model
from metaexo.models.linear.summary import FamilyLines
from metaexo.numeric.counts.hypergeometric import ConditionalSum
from metaexo.numeric.counts.two_arms import TwoArms
from metaexo.types import Array, Mask

TESTS = {"exact": "exact, central", "mid-p": "mid-p"}
LEAST_DRAWS, MOST_DRAWS = 99, 10**7
SIDES = ("lower", "upper")
ONE_SET = "not testable, these margins and this sum leave no other tables"


@dataclass(frozen=True, eq=False, repr=False)
class ExactConditionalFit(CommonEffectFit):
    """What the conditional likelihood came to; `ExactConditionalResults` describes the fields."""

    theta: float
    information: float

    @cached_property
    def family(self) -> ConditionalSum:
        """The distribution of the events of the treated arms given the margins of each study."""
        return conditional_sum(self.counts)

    @property
    def estimate_and_variance(self) -> tuple[float, float]:
        """The most likely log ratio, and the inverse of its information; both may be infinite."""
        return self.theta, 1 / self.information if self.information > 0 else math.inf

    @cached_property
    def informative(self) -> Mask:
        """Which rows the estimate rests on, shape (k,): those whose margins leave a choice."""
        silent = self.counts.is_zero if self.counts.person_time else self.counts.is_double_zero
        return lock(~silent)

    @property
    def weights(self) -> Array:
        """Share of each study in the information on the log ratio at the estimate, shape (k,).

        At no effect where the estimate is infinite.
        """
        theta = self.theta if math.isfinite(self.theta) else 0.0
        found = np.zeros(self.k)
        found[self.family.free] = self.family.cumulants_by_study(theta)[2]
        return lock(found / found.sum())

    def _alone(self, i: int) -> ConditionalSum:
        x, n = self.counts.events[[i]], self.counts.totals[[i]]
        return ConditionalSum(TwoArms(x[:, 0], n[:, 0], x[:, 1], n[:, 1]), self.counts.person_time)

    def without_each(self) -> tuple[Array, Array]:
        """Return estimate and variance without each study in turn, shapes (k,); NaN where there are none."""
        found = np.full((2, self.k), np.nan)
        for i in range(self.k):
            rest = np.arange(self.k) != i
            x, n = self.counts.events[rest], self.counts.totals[rest]
            family = ConditionalSum(TwoArms(x[:, 0], n[:, 0], x[:, 1], n[:, 1]), self.counts.person_time)
            if family.informative:
                theta = family.estimate
                known = math.isfinite(theta)
                found[:, i] = theta, 1 / family.cumulants(theta).variance if known else math.inf
        return found[0], found[1]

    # -- limits and tests --------------------------------------------------------------------------------

    def _limits(self, level: float) -> tuple[float, float]:
        """Return the exact limits of the log ratio at a level; infinite where there is none."""
        tail, mid_p = (1 - level) / 2, self.test == "mid-p"
        return self.family.limit(tail, False, mid_p), self.family.limit(tail, True, mid_p)

    @property
    def _kind(self) -> Literal["central", "mid-p"]:
        """Kind of the p-value that agrees with the interval."""
        return "mid-p" if self.test == "mid-p" else "central"

    def own_inference(self, rows: Array) -> OwnInference:
        """Return exact intervals and p-values of multiples of the log ratio, shape (q, 1)."""
        times = rows[:, 0]

        def ends(level: float) -> tuple[Array, Array]:
            both = times[:, None] * np.array([self._limits(level)])
            return both.min(axis=1), both.max(axis=1)

        def pvalues(null: Array) -> Array:
            thetas = null / times
            return np.array([exact_test(self.counts, t, self._kind, self.family).pvalue for t in thetas])

        return OwnInference(ends, pvalues)

    def joint_test(self, rows: Array, null: Array, words: str) -> TestResult:
        """Return the exact test that a multiple of the log ratio has a given value."""
        rows, values = self._combinations(rows, null)
        if rows.shape != (1, 1) or not rows[0, 0] or not math.isfinite(values[0]):
            return super().joint_test(rows, values, words)
        found = exact_test(self.counts, float(values[0] / rows[0, 0]), self._kind, self.family)
        kind: Literal["exact", "mid-p"] = "mid-p" if self.test == "mid-p" else "exact"
        return TestResult(found.statistic, kind, (), found.pvalue, words)

    # -- likelihood --------------------------------------------------------------------------------------

    @property
    def has_likelihood(self) -> bool:
        """Whether the model has a likelihood: it has, given the margins."""
        return True

    @property
    def rows_in_likelihood(self) -> Mask:
        """Which rows the likelihood is of, shape (k,)."""
        return self.informative

    @property
    def q_and_df(self) -> tuple[float, float]:
        """Cochran's Q of the studies' own estimates; NaN where the pooled effect is infinite."""
        q, df = super().q_and_df
        return (q if math.isfinite(self.theta) else math.nan), df

    def fit_statistics(self, restricted: bool | None = None) -> FitStatistics:
        """Return log-likelihood, deviance, AIC, BIC and AICc of the likelihood given the margins.

        The deviance is twice its distance from that in which each study has a ratio of its own.

        Parameters
        ----------
        restricted : bool, optional
            There is no restricted likelihood here.
        """
        if restricted is not None and check_flag("restricted", restricted):
            raise InputError("a restricted likelihood given the margins", "restricted=False")
        llf, apart = self.family.log_likelihood(self.theta), 0.0
        for i in np.flatnonzero(self.informative).tolist():
            alone = self._alone(i)
            apart += alone.log_likelihood(alone.estimate)
        n = self.family.informative
        room = max(n, 3)
        return FitStatistics(
            llf=llf,
            deviance=2 * max(apart - llf, 0.0),
            aic=-2 * llf + 2,
            bic=-2 * llf + math.log(n),
            aicc=-2 * llf + 2 * room / (room - 2),
            restricted=False,
            parameters=1,
        )


@dataclass(frozen=True, eq=False, repr=False)
class ExactConditionalResults(ExactConditionalFit, CommonEffectResults):
    """A common odds ratio or rate ratio with exact limits.

    Attributes
    ----------
    counts : EventCounts
        What was fitted.
    effects : EffectSizes
        The studies' own estimates, for Q, I2, tables and drawings; NaN where a study has none.
    design : Design
        The intercept.
    method, test : str
        "CMLE", and "exact" or "mid-p".
    level : float
        Confidence level of the interval unless a call says otherwise.
    zero_cells, study_zero_cells : ZeroCells
        Nothing is added for the estimate; what was added for the studies' own.
    theta : float
        The most likely log ratio; infinite where all events, or all people without, are in one arm.
    information : float
        Information on it, the variance of the events of the treated arms; 0 where it is infinite.
    """

    def on(self, counts: EventCounts, design: Design) -> ExactConditionalResults:
        """Return the same model fitted to other counts."""
        model = ExactConditional(
            counts, self.measure.code, study_zero_cells=self.study_zero_cells, dependence="accept"
        )
        return model.fit("mid-p" if self.test == "mid-p" else "exact", self.level)

    def limit(self, side: Literal["lower", "upper"], level: float | None = None) -> float:
        """Return a one-sided exact limit of the ratio.

        Use it where all events are in one arm: what is the largest, or smallest, ratio that the counts do not
        exclude? An interval of the level 0.95 has one-sided limits of the level 0.975.

        Parameters
        ----------
        side : {"lower", "upper"}
            Which limit.
        level : float, optional
            Confidence level; default that of the fit.

        Returns
        -------
        float
            The odds ratio or rate ratio; 0 or infinite where there is no such limit.

        Examples
        --------
        >>> import metaexo as mx
        >>> counts = mx.event_counts(
        ...     treatment_events=[0, 0], treatment_n=[50, 40], control_events=[3, 2], control_n=[50, 42]
        ... )
        >>> round(mx.ExactConditional(counts).fit().limit("upper"), 2)
        0.82
        """
        check_choice("side", side, SIDES)
        theta = self.family.limit(1 - self.at_level(level), side == "upper", self.test == "mid-p")
        return _ratio(theta)

    def exact_test(
        self, kind: Literal["central", "probability", "mid-p"] | None = None, ratio: float = 1.0
    ) -> ExactTest:
        """Test exactly that the ratio has a given value in all studies, given the margins of each study.

        Parameters
        ----------
        kind : {"central", "probability", "mid-p"}, optional
            Two-sided p-value: twice the smaller tail, which agrees with the exact interval; the probability
            of all sums that are no more likely than the observed one, as Fisher's test has it; or twice the
            smaller tail with half of the probability of the observed sum. Default: that of the interval.
        ratio : float
            The odds ratio or rate ratio under the null.

        Returns
        -------
        ExactTest
            The p-value with both tails.
        """
        value = check_number("ratio", ratio)
        if not 0 < value < math.inf:
            raise InputError(f"the ratio under the null is {value:g}", "a number above 0")
        return exact_test(self.counts, math.log(value), self._kind if kind is None else kind, self.family)

    def zelen_test(self, draws: int = 9999, seed: int = 0) -> TestResult:
        """Test exactly whether the ratio is the same in all studies, given the margins and the sum of events.

        Use it where events are too few for ``breslow_day_test``. The p-value is the probability of all
        sets of tables, with the same margins and the same sum of events in the treated arms, that are no more
        likely than the observed one; it does not depend on the ratio.

        Parameters
        ----------
        draws : int
            Sets that are drawn at random where there are too many to go through all of them; the p-value is
            then (1 + sets that are no more likely) / (1 + draws), and the null says so.
        seed : int
            Seed of the draws.

        Returns
        -------
        TestResult
            Its statistic is minus twice the log probability of the observed set given the sum. NaN where no
            other set has the same sum: with one row with information, or with an infinite estimate.

        References
        ----------
        Zelen, M. (1971). The analysis of several 2 x 2 contingency tables. Biometrika 58, 129-137.
        https://doi.org/10.1093/biomet/58.1.129

        Examples
        --------
        >>> import metaexo as mx
        >>> counts = mx.event_counts(
        ...     treatment_events=[0, 5, 1], treatment_n=[20, 20, 20],
        ...     control_events=[4, 1, 2], control_n=[20, 20, 20],
        ... )
        >>> print(mx.ExactConditional(counts).fit().zelen_test())
        exact test, p = 0.024 (null: the odds ratio is the same in all studies)
        """
        draws, seed = whole_number(draws, "draws", LEAST_DRAWS), whole_number(seed, "seed", 0)
        if draws > MOST_DRAWS:
            raise InputError(f"draws is {draws}", f"at most {MOST_DRAWS:,}")
        null = f"{self.ratio_words} is the same in all studies"
        if not self.family.leaves_a_choice:
            return TestResult(math.nan, "exact", (), math.nan, f"{null}; {ONE_SET}")
        pvalue, statistic, drawn = self.family.tables_no_more_likely(draws, seed)
        said = f"{null}; {drawn:,} sets of tables drawn" if drawn else null
        return TestResult(statistic, "exact", (), pvalue, said)

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the fit; empty if there is nothing."""
        if math.isfinite(self.theta):
            return ()
        side = "upper" if self.theta < 0 else "lower"
        limit = self._limits(self.level)[side == "upper"]
        x, n = self.counts.events.sum(axis=0), self.counts.totals.sum(axis=0)
        empty = int(x[1] < x[0]) if 0 in x else None
        where = (
            f"no event in the {('treatment', 'control')[empty]} arms"
            if empty is not None
            else "the events of every row are as uneven as its margins allow"
        )
        return (
            f"{where}, {plural(int(x.sum()), 'event')} in {n.sum():,.10g}: the estimate is at the end of its "
            f"scale, and the interval has the {side} limit {number(_ratio(limit), 3)} alone",
        )

    def family_lines(self) -> FamilyLines:
        """Return what this family adds to the summary and to the notes below the tables."""
        return FamilyLines(
            model=f"Conditional likelihood of a common {self.measure.display.lower()}",
            tests=TESTS[self.test],
            fitted=("estimate: given the margins of each row, nothing added to zeros", *self.study_lines()),
            pooled=(str(self.exact_test()),),
            data=self.count_lines(),
            certificate=("converged",),
        )

    def facts(self) -> dict[str, Any]:
        """Return by name what the fit knows beyond its coefficients; it goes into `to_dict`."""
        return super().facts() | {"exact_test": self.exact_test(), "information": self.information}


def _ratio(theta: float) -> float:
    return math.exp(theta) if theta < 700 else math.inf


class ExactConditional(Model):
    r"""A common odds ratio or rate ratio from the exact distribution of the counts.

    Use it where events are so few that normal intervals fail, and where all of them are in one arm: the
    limits are exact, and one of them exists even then. The effect is taken as the same in all studies, each
    of which may have any risk. Given its m events, the events of the treated arm of a study have the
    non-central hypergeometric distribution

    .. math::

        P(x) \propto \binom{n_1}{x} \binom{n_2}{m - x} \psi^x

    with the odds ratio :math:`\psi`; of person-time they are binomial with the odds
    :math:`\psi t_1 / t_2`. The estimate is the most likely :math:`\psi`, and the limits of the level
    :math:`1 - \alpha` are those at which the sum of the events of the treated arms, or one farther out, has
    the probability :math:`\alpha / 2`. The mid-p limits count half of the probability of the observed sum;
    they are shorter, and their level holds on average only. A study without any event, or with events in
    everyone, has one possible outcome and says nothing.

    Parameters
    ----------
    counts : EventCounts
        Counts of two arms.
    measure : {"OR", "IRR"}, optional
        Odds ratio of people, or rate ratio of person-time. Default: the one that the counts have.
    study_zero_cells : ZeroCells, optional
        What is added to zeros for the studies' own estimates, on which Q and I2 rest. Default: 1/2 to every
        cell of studies with a zero, and double-zero studies have no estimate.
    dependence : {"warn", "accept"}
        What to do if several rows belong to one study.

    Raises
    ------
    InputError
        If the counts are of one arm, or the measure is not one of people or of person-time, as they are.

    Warns
    -----
    DependentEffectsWarning
        If several rows belong to one study: they are taken as independent.

    References
    ----------
    Mehta, C. R., Patel, N. R., Gray, R. (1985). https://doi.org/10.1080/01621459.1985.10478212
    Vollset, S. E., Hirji, K. F., Elashoff, R. M. (1991). https://doi.org/10.1080/01621459.1991.10475053
    Martin, D. O., Austin, H. (2000). Exact estimates for a rate ratio. Epidemiology 11, 29-33.

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(
    ...     treatment_events=[0, 0, 0], treatment_n=[50, 30, 20],
    ...     control_events=[2, 1, 0], control_n=[48, 31, 20],
    ... )
    >>> fit = mx.ExactConditional(counts).fit()
    >>> print(fit.predict(scale="measure")[["estimate", "low", "high"]].round(2).to_string(index=False))
     estimate  low  high
          0.0  0.0  2.37
    >>> print(fit.exact_test())
    0 events in the treated arms, 1.51 expected: p = 0.24 (exact; null: the arms do not differ in any study)
    """

    def __init__(
        self,
        counts: EventCounts,
        measure: str | None = None,
        *,
        study_zero_cells: ZeroCells | None = None,
        dependence: Literal["warn", "accept"] = "warn",
    ) -> None:
        self.counts = check_event_counts(counts, "mx.ExactConditional", arms=2)
        self.measure = check_measure(measure, self.counts, people=("OR",), time=("IRR",))
        self.study_zero_cells = check_rule("study_zero_cells", study_zero_cells, HALF_IN_STUDIES)
        check_dependence(self.counts, dependence)

    def fit(self, test: Literal["exact", "mid-p"] = "exact", level: float = 0.95) -> ExactConditionalResults:
        """Estimate the ratio.

        Parameters
        ----------
        test : {"exact", "mid-p"}
            "exact": the level of the interval holds whatever the ratio and the risks are, and the p-value is
            twice the smaller tail. "mid-p": with half of the probability of the observed sum.
        level : float
            Confidence level of the interval.

        Returns
        -------
        ExactConditionalResults
            The fit, immutable. The estimate is infinite, on the logarithmic scale, where all events, or all
            people without, are in one arm; the interval then has one limit.

        Raises
        ------
        NotIdentifiableError
            If no study has information: none with both an event and someone without.
        """
        level = check_level(level)
        check_choice("test", test, tuple(TESTS))
        family = conditional_sum(self.counts)
        if not family.informative:
            raise no_comparison(self.counts, f"there is no {self.measure}")
        theta = family.estimate
        return ExactConditionalResults(
            counts=self.counts,
            effects=self.counts.study_estimates(self.measure, self.study_zero_cells),
            design=INTERCEPT_ONLY,
            method="CMLE",
            test=test,
            level=level,
            zero_cells=NOTHING_ADDED,
            study_zero_cells=self.study_zero_cells,
            theta=theta,
            information=family.cumulants(theta).variance if math.isfinite(theta) else 0.0,
        )
