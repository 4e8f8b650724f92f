"""What pooled effects of two-arm counts share: rules for zeros, Q, I2, residuals, tests of no effect."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from metaexo.effects.counts import EventCounts
from metaexo.effects.measures.zero_cells import ZeroCells, add_to_cells, cells
from metaexo.errors import (
    DependentEffectsWarning,
    InputError,
    warn_caller,
)
from metaexo.formatting import plural
from metaexo.immutable import lock
from metaexo.inputs import check_choice, check_flag, describe
from metaexo.models.counts.exact_test import ExactTest, exact_test
from metaexo.models.counts.fit import CountFit, CountResults, no_comparison
from metaexo.models.linear.design import DEPENDENCE
from metaexo.models.linear.fit_statistics import FitStatistics, statistics_at
from metaexo.models.linear.hypothesis import TestResult, WaldInference, make_test
from metaexo.numeric.counts.two_arms import TwoArms, homogeneity, score, squared_score
from metaexo.numeric.likelihood import LOG_2PI
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd

NOTHING_ADDED = ZeroCells(0.0)
# The studies' own estimates, for Q, tables and drawings, where they need something added to zeros.
HALF_IN_STUDIES = ZeroCells(0.5, drop_double_zero=True)
DOUBLE_ZERO = "no event in either arm, or an event in everyone of both"
OF_PEOPLE, OF_TIME = ("OR", "RR", "RD"), ("IRR", "IRD")
TESTS = ("mantel-haenszel", "cochran")
# Below this number of events in an arm, all studies together, normal intervals are rough.
FEW_EVENTS = 5
# Elements of arrays of sets of studies that are made at a time.
CHUNK = 1 << 20
NO_RATIO = "not testable, no finite ratio"
NULLS = {
    "OR": "the odds ratio",
    "IRR": "the rate ratio",
    "RR": "the risk ratio",
    "RD": "the risk difference",
    "IRD": "the rate difference",
    "PETO": "the odds ratio",
}


def check_rule(name: str, rule: ZeroCells | None, default: ZeroCells, pooling: bool = False) -> ZeroCells:
    """Return a rule for zeros, or its default; a rule for pooled counts changes counts, not one result."""
    if rule is None:
        return default
    if not isinstance(rule, ZeroCells):
        raise InputError(
            f"{name} is {describe(rule)}", "a rule for zeros", f"{name}=mx.effects.ZeroCells(0.5)"
        )
    if pooling and rule.share != "both":
        raise InputError(
            f"{name} changes the {rule.share} alone",
            "a rule that changes the counts, from which the pooled effect and its variance are made",
            'leave out share="..."',
        )
    return rule


def check_measure(
    measure: object,
    counts: EventCounts,
    *,
    people: tuple[str, ...] = OF_PEOPLE,
    time: tuple[str, ...] = OF_TIME,
) -> str:
    """Return the measure, by default the first of its kind; refuse one of people for person-time."""
    allowed = time if counts.person_time else people
    if measure is None:
        return allowed[0]
    check_choice("measure", measure, (*people, *time))
    if measure not in allowed:
        what = "person-time" if counts.person_time else "people"
        raise InputError(
            f"measure is {measure}, and the counts are of {what}",
            f"a measure of {what}: {', '.join(allowed)}",
            f'measure="{allowed[0]}"',
        )
    return str(measure)


def check_dependence(counts: EventCounts, dependence: str) -> None:
    """Warn where several rows are of one study: they are taken as independent."""
    check_choice("dependence", dependence, DEPENDENCE)
    if dependence == "warn" and counts.m < counts.k:
        warn_caller(
            f"{counts.k} rows of counts come from {plural(counts.m, 'study', 'studies')}; this model takes "
            "them as independent, as strata with other people are",
            DependentEffectsWarning,
        )


def without_double_zeros(counts: EventCounts, rule: ZeroCells) -> EventCounts:
    """Return the counts that are pooled: double-zero studies are left out if the rule says so."""
    gone = counts.is_double_zero
    if not rule.drop_double_zero or not gone.any():
        return counts
    if gone.all():
        raise no_comparison(counts, "the rule for zeros leaves such rows out, and there are no others")
    return counts.select(~gone, DOUBLE_ZERO)


def pooled_tables(counts: EventCounts, rule: ZeroCells) -> tuple[TwoArms, Mask]:
    """Return the counts with the additions of a rule, and which studies it touches, shape (k,)."""
    inputs = dict(counts.inputs)
    events, others = cells(inputs)
    touched = rule.touched(np.any([cell == 0 for cell in (*events, *others)], axis=0))
    added = add_to_cells(inputs, rule, touched)
    size = "time" if counts.person_time else "n"
    names = ("treatment_events", f"treatment_{size}", "control_events", f"control_{size}")
    return TwoArms(*(added[name] for name in names)), touched


def plain_tables(counts: EventCounts) -> TwoArms:
    """Return the counts as they are."""
    return TwoArms(counts.events[:, 0], counts.totals[:, 0], counts.events[:, 1], counts.totals[:, 1])


def rule_in_words(rule: ZeroCells, touched: int, k: int) -> str:
    """Return what a rule for zeros did to the counts of k studies."""
    if not touched:
        return "nothing added to zeros"
    return f"{rule.derivation().note}, in {touched} of {plural(k, 'row')}"


def others_of_each(k: int) -> Iterator[tuple[int, Array]]:
    """Yield the first of some studies, and how often each study counts without each of them, (b, k)."""
    step = max(1, CHUNK // k)
    for i in range(0, k, step):
        yield i, 1 - np.eye(min(step, k - i), k, i)


def normal_test(statistic: float, df: float, null: str) -> TestResult:
    """Return a chi-square test; without degrees of freedom nothing is tested and p is 1."""
    if not np.isfinite(statistic):
        return TestResult(np.nan, "chi2", (max(df, 0.0),), np.nan, f"{null}; {NO_RATIO}")
    if not df > 0:
        return TestResult(0.0, "chi2", (0.0,), 1.0, null)
    return make_test(statistic, "chi2", (df,), null)


class ManyPooled(NamedTuple):
    """Pooled effects of many sets of the rows of a fit, shapes (B,); infinite or NaN where there are none."""

    estimate: Array
    variance: Array
    q: Array  # Cochran's Q
    q_df: Array  # its degrees of freedom; Q is 0 without any


@dataclass(frozen=True, eq=False, repr=False)
class CommonEffectFit(CountFit):
    """Record of an effect that all studies have in common, pooled from counts without moderators."""

    zero_cells: ZeroCells
    study_zero_cells: ZeroCells

    @property
    @abstractmethod
    def estimate_and_variance(self) -> tuple[float, float]:
        """The pooled effect and its variance."""

    @abstractmethod
    def without_each(self) -> tuple[Array, Array]:
        """Return estimate and variance without each study in turn, shapes (k,); NaN where there are none."""

    def many(self, n: Array) -> ManyPooled | None:
        """Return the same model of many sets of rows, each as often as `n`, shape (B, k), says.

        None where sets are fitted one by one.
        """
        return None

    @property
    def _rows_are_apart(self) -> bool:
        """Whether no rule for zeros does to a row what depends on the other rows."""
        return "all_if_any_zero" not in (self.zero_cells.studies, self.study_zero_cells.studies)

    @property
    @abstractmethod
    def weights(self) -> Array:
        """Share of each study in the pooled effect, scaled to sum to 1, shape (k,)."""

    @property
    def beta(self) -> Array:
        """The pooled effect, shape (1,)."""
        return lock(np.array([self.estimate_and_variance[0]]))

    @cached_property
    def model_inference(self) -> WaldInference:
        """Variance of the pooled effect and its normal test."""
        return lock(WaldInference(np.array([[self.estimate_and_variance[1]]]), None))

    # -- heterogeneity -----------------------------------------------------------------------------------

    @property
    def is_random(self) -> bool:
        """Whether true effects differ between studies in this model: they do not."""
        return False

    @property
    def tau2_by_component(self) -> Mapping[str, float]:
        """Component of the heterogeneity to its variance: there is none in this model."""
        return {}

    @property
    def q_and_df(self) -> tuple[float, float]:
        """Cochran's Q of the studies' own estimates around the pooled effect, and its degrees of freedom."""
        has = self.has_estimate
        off = self.effects.y[has] - self.estimate_and_variance[0]
        return float((off**2 / self.effects.v[has]).sum()), float(has.sum() - 1)

    @property
    def i2(self) -> float:
        """Share of the variability of the studies' own estimates that is not sampling error, (Q - df) / Q.

        At least 0; 0 without degrees of freedom, NaN where the pooled effect is infinite.
        """
        q, df = self.q_and_df
        if math.isnan(q):
            return math.nan
        return max(0.0, (q - df) / q) if df > 0 and q != 0 else 0.0

    @property
    def h2(self) -> float:
        """Total over sampling variability, Q / df; 1 without degrees of freedom, NaN as I2 is."""
        q, df = self.q_and_df
        if math.isnan(q):
            return math.nan
        return q / df if df > 0 else 1.0

    @property
    def ratio_words(self) -> str:
        """The effect in words: "the odds ratio"."""
        return NULLS[self.measure.code]

    # -- likelihood --------------------------------------------------------------------------------------

    @property
    def has_likelihood(self) -> bool:
        """Whether some study has an estimate of its own, which the normal likelihood is of."""
        return bool(self.has_estimate.any())

    @property
    def rows_in_likelihood(self) -> Mask:
        """Which rows the likelihood is of, shape (k,): those with an estimate of their own."""
        return self.has_estimate

    def fit_statistics(self, restricted: bool | None = None) -> FitStatistics:
        """Return the statistics of the normal likelihood of the studies' own estimates at the pooled effect.

        The pooled effect does not maximise it; use it to set fits of the same estimates beside each other.

        Parameters
        ----------
        restricted : bool, optional
            There is no restricted likelihood here.
        """
        if restricted is not None and check_flag("restricted", restricted):
            raise InputError("a restricted likelihood of pooled counts", "restricted=False")
        has = self.has_estimate
        if not has.any():
            raise InputError("no study has an estimate of its own", "a study with an estimate")
        v = self.effects.v[has]
        llf = -0.5 * (v.size * LOG_2PI + float(np.log(v).sum()) + self._squares())
        return statistics_at(llf, v, float(v.size), 1, False)

    def _squares(self) -> float:
        """Return the sum of the squared standardised residuals of the studies' own estimates."""
        has = self.has_estimate
        off = self.effects.y[has] - self.estimate_and_variance[0]
        return float((off**2 / self.effects.v[has]).sum())


class CommonEffectResults(CommonEffectFit, CountResults):
    """Results of an effect that all studies have in common, pooled from counts."""

    # -- tests of no effect ------------------------------------------------------------------------------

    def cochran_mantel_haenszel(
        self, correct: bool = True, kind: Literal["mantel-haenszel", "cochran"] = "mantel-haenszel"
    ) -> TestResult:
        r"""Test that the arms do not differ in any study, against a common direction.

        The statistic is :math:`(|\sum (x_i - E_i)| - 1/2)^2 / \sum V_i` with the expected events
        :math:`E_i = m_i n_{1i} / N_i` of the treated arm and the variance
        :math:`V_i = n_{1i} n_{2i} m_i (N_i - m_i) / (N_i^2 (N_i - 1))`, where m of N people had an event. Of
        person-time :math:`V_i = m_i t_{1i} t_{2i} / T_i^2`. The null is the same for ratios and differences.

        Parameters
        ----------
        correct : bool
            Whether 1/2 is taken off, for continuity.
        kind : {"mantel-haenszel", "cochran"}
            "cochran" has N in the place of N - 1 in the variance.

        Returns
        -------
        TestResult
            Chi-square on 1 degree of freedom; NaN where no study has information.

        References
        ----------
        Mantel, N., Haenszel, W. (1959). https://doi.org/10.1093/jnci/22.4.719
        Cochran, W. G. (1954). Some methods for strengthening the common chi-square tests. Biometrics 10,
        417-451. https://doi.org/10.2307/3001616
        """
        check_flag("correct", correct)
        check_choice("kind", kind, TESTS)
        t, person_time = self.tables, self.counts.person_time
        excess, variance = score(t, person_time)
        if kind == "cochran" and not person_time:
            whole = t.n1 + t.n2
            variance = variance * (whole - 1) / whole
        statistic = float(squared_score(excess, variance, correct))
        null = "the arms do not differ in any study"
        if math.isnan(statistic):
            return TestResult(np.nan, "chi2", (1.0,), np.nan, f"{null}; not testable, no information")
        return make_test(statistic, "chi2", (1.0,), null)

    def exact_test(self, kind: Literal["central", "probability", "mid-p"] = "central") -> ExactTest:
        """Test exactly that the arms do not differ in any study, given the margins of each study.

        The exact version of :meth:`cochran_mantel_haenszel`: the sum of the events in the treated arms has a
        known distribution, whatever the risks of the studies. Nothing is added to zeros.

        Parameters
        ----------
        kind : {"central", "probability", "mid-p"}
            Two-sided p-value: twice the smaller tail; the probability of all sums that are no more likely
            than the observed one, as Fisher's test has it; or twice the smaller tail with half of the
            probability of the observed sum.

        Returns
        -------
        ExactTest
            The p-value with both tails.

        References
        ----------
        Gart, J. J. (1970). Point and interval estimation of the common odds ratio in the combination of 2 x 2
        tables with fixed marginals. Biometrika 57, 471-475. https://doi.org/10.1093/biomet/57.3.471
        """
        return exact_test(self.counts, 0.0, kind)

    @property
    def tables(self) -> TwoArms:
        """The counts that were pooled, with what was added to them."""
        return pooled_tables(self.counts, self.zero_cells)[0]

    # -- tests of homogeneity ----------------------------------------------------------------------------

    @cached_property
    def q(self) -> TestResult:
        """Cochran's Q test of heterogeneity: the studies' own estimates around the pooled effect."""
        q, df = self.q_and_df
        return normal_test(q, df, f"{self.ratio_words} is the same in all studies")

    def breslow_day_test(self, tarone: bool = True) -> TestResult:
        r"""Test whether the odds ratio, or the rate ratio, is the same in all studies, from the counts.

        Use it in the place of Q where events are rare: it needs no estimate of single studies. With the
        events :math:`A_i` that the treated arm would have at the pooled ratio, and their variance
        :math:`V_i`, the statistic is :math:`\sum (x_i - A_i)^2 / V_i`, chi-square with as many degrees of
        freedom as studies with information, less 1.

        Parameters
        ----------
        tarone : bool
            Whether :math:`(\sum (x_i - A_i))^2 / \sum V_i` is taken off, as Tarone showed it must be where
            the ratio is not the most likely one.

        Returns
        -------
        TestResult
            Chi-square.

        Raises
        ------
        InputError
            If the measure is neither an odds ratio nor a rate ratio.

        References
        ----------
        Breslow, N. E., Day, N. E. (1980). Statistical Methods in Cancer Research I, section 4.4. IARC.
        Breslow, N. E., Day, N. E. (1987). Statistical Methods in Cancer Research II, section 3.6. IARC.
        Tarone, R. E. (1985). On heterogeneity tests based on efficient scores. Biometrika 72, 91-95.
        https://doi.org/10.1093/biomet/72.1.91
        """
        check_flag("tarone", tarone)
        code = self.measure.code
        if code not in ("OR", "IRR", "PETO"):
            raise InputError(
                f"a test of Breslow and Day of {code}",
                "an odds ratio, or a rate ratio of person-time",
                "use q, which is of the studies' own estimates",
            )
        null = f"{self.ratio_words} is the same in all studies"
        if not math.isfinite(self.beta[0]):
            return TestResult(np.nan, "chi2", (np.nan,), np.nan, f"{null}; {NO_RATIO}")
        found = homogeneity(math.exp(self.beta[0]), self.tables, self.counts.person_time)
        statistic = found.tarone if tarone else found.breslow_day
        return normal_test(float(statistic), float(found.df), null)

    # -- studies -----------------------------------------------------------------------------------------

    def residuals(self, kind: str = "standardized") -> pd.DataFrame:
        """Return the studies' own estimates less the pooled effect.

        Parameters
        ----------
        kind : {"standardized", "pearson", "studentized"}
            "standardized" and "pearson": over the standard error of the estimate. "studentized": less the
            effect pooled without the study, over the root of both variances; the one to look at for outliers.

        Returns
        -------
        DataFrame
            Columns fitted, residual, se, z, indexed by the rows' labels; NaN where a study has no estimate of
            its own, or the others have no pooled effect.

        Raises
        ------
        UnknownChoiceError
            If the kind is not known.
        """
        import pandas as pd

        check_choice("kind of residual", kind, ("standardized", "pearson", "studentized"))
        fitted, variance = self.fitted_values, np.zeros(self.k)
        if kind == "studentized":
            fitted, variance = self.without_each()
        known = np.isfinite(fitted)
        residual = self.effects.y - np.where(known, fitted, np.nan)
        se = np.sqrt(self.effects.v + np.where(known, variance, np.nan))
        with np.errstate(invalid="ignore", divide="ignore"):
            z = residual / se
        columns = {"fitted": fitted, "residual": residual, "se": se, "z": z}
        return pd.DataFrame(columns, index=pd.Index(self.effects.row_labels, name="label"))

    # -- for readers -------------------------------------------------------------------------------------

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the fit; empty if there is nothing."""
        return (*super().cautions(), *self._few_events())

    def _few_events(self) -> tuple[str, ...]:
        """Return the caution on normal intervals from few events; empty if there are enough."""
        events = self.counts.events.sum(axis=0)
        if not events.sum():
            return ("no event in either arm: the estimate says nothing on its precision",)
        if events.min() >= FEW_EVENTS:
            return ()
        treated, control = (int(n) for n in events)
        return (
            f"{plural(treated, 'event')} in the treatment arms and {control} in the control arms: the normal "
            "interval is a rough guide",
        )

    def study_lines(self) -> tuple[str, ...]:
        """Return what was done to zeros in the studies' own estimates, and how many studies have none."""
        rule, k = self.study_zero_cells, self.k
        marks = zip(self.effects.derived, self.has_estimate, strict=True)
        touched = sum(has and "continuity correction" in mark.formula for mark, has in marks)
        lines = [f"studies' own estimates (for Q, I2 and drawings): {rule_in_words(rule, touched, k)}"]
        none = k - int(self.has_estimate.sum())
        if none:
            lines.append(
                f"{none} of {plural(k, 'row')} without an estimate of {'its' if none == 1 else 'their'} own"
            )
        return tuple(lines)
