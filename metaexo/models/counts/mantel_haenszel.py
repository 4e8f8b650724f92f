"""Mantel-Haenszel: pooled odds ratios, risk ratios, risk differences, rate ratios and rate differences."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from metaexo.effects.counts import EventCounts
from metaexo.effects.measures.zero_cells import ZeroCells
from metaexo.errors import NotIdentifiableError
from metaexo.formatting import plural
from metaexo.immutable import lock
from metaexo.inputs import check_choice, check_level
from metaexo.models.counts.common_effect import (
    HALF_IN_STUDIES,
    NOTHING_ADDED,
    CommonEffectFit,
    CommonEffectResults,
    ManyPooled,
    check_dependence,
    check_measure,
    check_rule,
    others_of_each,
    pooled_tables,
    rule_in_words,
    without_double_zeros,
)
from metaexo.models.counts.exact_test import conditional_sum
from metaexo.models.counts.fit import check_event_counts, no_comparison
from metaexo.models.linear.design import INTERCEPT_ONLY, Design
from metaexo.models.linear.model import Model
from metaexo.models.linear.summary import FamilyLines
from metaexo.numeric.counts.two_arms import KERNELS, Sums, TwoArms, risk_difference_binomial
from metaexo.types import Array, Mask

VARIANCES = {
    "OR": ("robins-breslow-greenland",),
    "RR": ("greenland-robins",),
    "RD": ("sato", "greenland-robins"),
    "IRR": ("greenland-robins",),
    "IRD": ("greenland-robins",),
}
IN_WORDS = {
    "robins-breslow-greenland": "Robins, Breslow and Greenland",
    "greenland-robins": "Greenland and Robins",
    "sato": "Sato, Greenland and Robins",
}


@dataclass(frozen=True, eq=False, repr=False)
class MantelHaenszelFit(CommonEffectFit):
    """What Mantel-Haenszel pooling came to; `MantelHaenszelResults` describes the fields."""

    variance: str
    sums: Sums

    @property
    def estimate_and_variance(self) -> tuple[float, float]:
        """The pooled effect and its variance."""
        return float(self.sums.estimate), float(self.sums.variance)

    @property
    def weights(self) -> Array:
        """Share of each study in the pooled effect, scaled to sum to 1, shape (k,).

        Before scaling: b c / N of an odds ratio (b without event in the treated arm, c with event in the
        control arm), c n1 / N of a risk or rate ratio, n1 n2 / N of a difference. They are the weights of the
        studies' ratios in their mean: one without event in the control arm has an infinite ratio and weight
        0, and counts all the same.
        """
        return lock(np.asarray(self.sums.weights / self.sums.weights.sum()))

    @cached_property
    def informative(self) -> Mask:
        """Which rows the pooled effect rests on, shape (k,).

        Of an odds ratio those with an event and someone without; of a risk or rate ratio those with an event;
        of a difference all.
        """
        t, code = pooled_tables(self.counts, self.zero_cells)[0], self.measure.code
        if code in ("RD", "IRD"):
            return lock(np.ones(self.k, dtype=bool))
        some = t.x1 + t.x2 > 0
        return lock(some & (t.x1 + t.x2 < t.n1 + t.n2) if code == "OR" else some)

    def without_each(self) -> tuple[Array, Array]:
        """Return estimate and variance without each study in turn, shapes (k,); infinite where undefined."""
        t = pooled_tables(self.counts, self.zero_cells)[0]
        found = np.empty((2, self.k))
        for i, n in others_of_each(self.k):
            sums = pool(self.measure.code, self.variance, t, n)
            found[:, i : i + len(n)] = sums.estimate, sums.variance
        return found[0], found[1]

    def many(self, n: Array) -> ManyPooled | None:
        """Return the same pooling of many sets of rows, each as often as `n`, shape (B, k), says."""
        if not self._rows_are_apart:
            return None
        sums = pool(self.measure.code, self.variance, pooled_tables(self.counts, self.zero_cells)[0], n)
        q, df = _q_of_sets(self.effects.y, self.effects.v, sums.estimate, n)
        return ManyPooled(sums.estimate, sums.variance, q, df)


def _q_of_sets(y: Array, v: Array, estimate: Array, n: Array) -> tuple[Array, Array]:
    """Return Q of the studies' own estimates in many sets, and its degrees of freedom, shapes (B,)."""
    has = np.isfinite(y) & np.isfinite(v)
    known = np.isfinite(estimate)
    off = y[has] - np.where(known, estimate, np.nan)[:, None]
    return np.asarray((n[:, has] * off**2 / v[has]).sum(axis=1)), np.asarray(n[:, has].sum(axis=1) - 1)


def pool(measure: str, variance: str, t: TwoArms, n: Array | None = None) -> Sums:
    """Return pooled effects; see :mod:`metaexo.numeric.counts.two_arms`."""
    if measure == "RD" and variance == "greenland-robins":
        return risk_difference_binomial(t, n)
    return KERNELS[measure](t, n)


@dataclass(frozen=True, eq=False, repr=False)
class MantelHaenszelResults(MantelHaenszelFit, CommonEffectResults):
    """An effect pooled by the method of Mantel and Haenszel.

    Attributes
    ----------
    counts : EventCounts
        What was pooled: double-zero studies are left out only if the rule for zeros says so.
    effects : EffectSizes
        The studies' own estimates, for Q, I2, tables and drawings; NaN where a study has none.
    design : Design
        The intercept.
    method, test : str
        "MH" and "z".
    level : float
        Confidence level of the interval unless a call says otherwise.
    zero_cells : ZeroCells
        What was added to the counts before pooling.
    study_zero_cells : ZeroCells
        What was added for the studies' own estimates.
    variance : str
        Estimator of the variance of the pooled effect.
    sums : Sums
        Pooled effect, variance and weights.
    """

    def on(self, counts: EventCounts, design: Design) -> MantelHaenszelResults:
        """Return the same model fitted to other counts."""
        model = MantelHaenszel(
            counts,
            self.measure.code,
            zero_cells=self.zero_cells,
            study_zero_cells=self.study_zero_cells,
            dependence="accept",
        )
        return model.fit(self.level, variance=self.variance)

    def family_lines(self) -> FamilyLines:
        """Return what this family adds to the summary and to the notes below the tables."""
        touched = int(pooled_tables(self.counts, self.zero_cells)[1].sum())
        return FamilyLines(
            model="Mantel-Haenszel pooling",
            tests=f"normal, variance of {IN_WORDS[self.variance]}",
            fitted=(
                f"pooled estimate: {rule_in_words(self.zero_cells, touched, self.k)}",
                *self.study_lines(),
            ),
            data=self.count_lines(),
            certificate=("closed form",),
        )

    def facts(self) -> dict[str, Any]:
        """Return by name what the fit knows beyond its coefficients; it goes into `to_dict`."""
        ratio = self.measure.code in ("OR", "IRR")
        return super().facts() | {
            "variance": self.variance,
            "cochran_mantel_haenszel": self.cochran_mantel_haenszel(),
            "breslow_day": self.breslow_day_test(tarone=False) if ratio else None,
            "tarone": self.breslow_day_test() if ratio else None,
        }


class MantelHaenszel(Model):
    r"""Mantel-Haenszel pooling of the counts of two arms.

    Use it for few events and for many small studies: it needs no estimate of single studies, and nothing is
    added to zeros. It takes the effect as the same in all studies; ``q`` and ``breslow_day_test`` ask whether
    it is. With x of n people with an event, arms 1 (treated) and 2, and :math:`N = n_1 + n_2`,

    .. math::

        \mathrm{OR} = \frac{\sum x_1 (n_2 - x_2) / N}{\sum (n_1 - x_1) x_2 / N}, \quad
        \mathrm{RR} = \frac{\sum x_1 n_2 / N}{\sum x_2 n_1 / N}, \quad
        \mathrm{RD} = \frac{\sum (x_1 n_2 - x_2 n_1) / N}{\sum n_1 n_2 / N},

    and likewise the rate ratio and the rate difference of person-time. A study without any event has no
    weight in a ratio, and has one in a difference, which it draws towards 0; one with events in everyone has
    no weight in an odds ratio.

    Parameters
    ----------
    counts : EventCounts
        Counts of two arms.
    measure : {"OR", "RR", "RD", "IRR", "IRD"}, optional
        Odds ratio, risk ratio or risk difference of people, rate ratio or rate difference of person-time.
        Default: OR, or IRR of person-time.
    zero_cells : ZeroCells, optional
        What is added to the counts before pooling, and whether double-zero studies are left out. Default:
        nothing is added, and all studies stay.
    study_zero_cells : ZeroCells, optional
        The same for the studies' own estimates, on which Q and I2 rest. Default: 1/2 is added to every cell
        of studies with a zero, and double-zero studies have no estimate.
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
    Mantel, N., Haenszel, W. (1959). Statistical aspects of the analysis of data from retrospective studies of
    disease. Journal of the National Cancer Institute 22, 719-748. https://doi.org/10.1093/jnci/22.4.719
    Greenland, S., Robins, J. M. (1985). https://doi.org/10.2307/2530643
    Robins, J., Breslow, N., Greenland, S. (1986). https://doi.org/10.2307/2531052
    Sato, T., Greenland, S., Robins, J. M. (1989). https://doi.org/10.2307/2531784
    Bradburn, M. J., Deeks, J. J., Berlin, J. A., Localio, A. R. (2007). Much ado about nothing: a comparison
    of the performance of meta-analytical methods with rare events. Statistics in Medicine 26, 53-77.
    https://doi.org/10.1002/sim.2528

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(
    ...     treatment_events=[1, 0, 3, 0], treatment_n=[50, 30, 61, 20],
    ...     control_events=[4, 2, 5, 0], control_n=[49, 31, 60, 20],
    ... )
    >>> fit = mx.MantelHaenszel(counts).fit()
    >>> print(fit.predict(scale="measure")[["estimate", "low", "high"]].round(2).to_string(index=False))
     estimate  low  high
         0.34  0.1   1.1
    >>> print(fit.cochran_mantel_haenszel())
    chi2(1) = 2.59, p = 0.11 (null: the arms do not differ in any study)
    >>> print(fit.exact_test())
    4 events in the treated arms, 7.54 expected: p = 0.10 (exact; null: the arms do not differ in any study)
    """

    def __init__(
        self,
        counts: EventCounts,
        measure: str | None = None,
        *,
        zero_cells: ZeroCells | None = None,
        study_zero_cells: ZeroCells | None = None,
        dependence: Literal["warn", "accept"] = "warn",
    ) -> None:
        checked = check_event_counts(counts, "mx.MantelHaenszel", arms=2)
        self.measure = check_measure(measure, checked)
        self.zero_cells = check_rule("zero_cells", zero_cells, NOTHING_ADDED, pooling=True)
        self.study_zero_cells = check_rule("study_zero_cells", study_zero_cells, HALF_IN_STUDIES)
        self.counts = without_double_zeros(checked, self.zero_cells)
        check_dependence(self.counts, dependence)

    def fit(self, level: float = 0.95, *, variance: str | None = None) -> MantelHaenszelResults:
        """Pool the counts.

        Parameters
        ----------
        level : float
            Confidence level of the interval.
        variance : str, optional
            Variance of a risk difference: "sato", consistent both for few large and for many small studies,
            or "greenland-robins", from the risk observed in each arm. Other measures have one each.

        Returns
        -------
        MantelHaenszelResults
            The fit, immutable.

        Raises
        ------
        UnknownChoiceError
            If the measure has no such variance.
        NotIdentifiableError
            If a ratio has no finite estimate, because one arm has no event in any study.
        """
        level = check_level(level)
        chosen = VARIANCES[self.measure][0] if variance is None else variance
        check_choice(f"variance of {self.measure}", chosen, VARIANCES[self.measure])
        t, _ = pooled_tables(self.counts, self.zero_cells)
        sums = pool(self.measure, chosen, t)
        if not np.isfinite(sums.estimate):
            raise no_ratio(self.counts, self.measure, t)
        return MantelHaenszelResults(
            counts=self.counts,
            effects=self.counts.study_estimates(self.measure, self.study_zero_cells),
            design=INTERCEPT_ONLY,
            method="MH",
            test="z",
            level=level,
            zero_cells=self.zero_cells,
            study_zero_cells=self.study_zero_cells,
            variance=chosen,
            sums=sums,
        )


def no_ratio(counts: EventCounts, measure: str, t: TwoArms) -> NotIdentifiableError:
    """Return the error for a ratio that is 0, infinite or undefined."""
    if not conditional_sum(counts).informative:
        return no_comparison(counts, f"there is no {measure}")
    ratio = "IRR" if counts.person_time else "OR"
    exact = f'mx.ExactConditional(counts, "{ratio}").fit(), with a one-sided limit and the tests of no effect'
    difference = "IRD" if counts.person_time else "RD"
    empty = [arm for arm, x in (("treatment", t.x1), ("control", t.x2)) if not x.sum() > 0]
    full = [
        arm for arm, x, n in (("treatment", t.x1, t.n1), ("control", t.x2, t.n2)) if not (n - x).sum() > 0
    ]
    rows = plural(counts.k, "row")
    if empty:
        given, remedy = (
            f"no event in the {empty[0]} arm of {rows}",
            f'{exact}; or a difference, measure="{difference}"',
        )
    elif full:
        given, remedy = (
            f"events in everyone in the {full[0]} arm of {rows}",
            f'{exact}; or measure="RR" or "RD"',
        )
    else:
        given, remedy = (
            f"no row has an event in the one arm and someone without in the other, as {measure} needs it",
            f'{exact}; or a difference, measure="{difference}"',
        )
    return NotIdentifiableError(
        f"{given}: the {measure} has no finite estimate", "events in both arms, and people without", remedy
    )
