"""Peto's one-step odds ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from metaexo.effects.counts import EventCounts
from metaexo.effects.measures.zero_cells import ZeroCells
from metaexo.errors import InputError
from metaexo.formatting import number
from metaexo.immutable import lock
from metaexo.inputs import check_level
from metaexo.models.counts.common_effect import (
    NOTHING_ADDED,
    CommonEffectFit,
    CommonEffectResults,
    ManyPooled,
    check_dependence,
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
from metaexo.numeric.counts.two_arms import Sums, peto, score
from metaexo.types import Array, Mask

# How far from the most likely log odds ratio a one-step one is cautioned of; and what unequal arms are.
FAR_OFF, UNEQUAL = 0.05, 2.0


@dataclass(frozen=True, eq=False, repr=False)
class PetoFit(CommonEffectFit):
    """What Peto's method came to; `PetoResults` describes the fields."""

    sums: Sums

    @property
    def estimate_and_variance(self) -> tuple[float, float]:
        """The pooled log odds ratio and its variance."""
        return float(self.sums.estimate), float(self.sums.variance)

    @property
    def weights(self) -> Array:
        """Share of each study in the pooled effect: its variance V over their sum, shape (k,)."""
        return lock(np.asarray(self.sums.weights / self.sums.weights.sum()))

    @property
    def informative(self) -> Mask:
        """Which rows the pooled effect rests on, shape (k,): those with an event and someone without."""
        return lock(np.asarray(self.sums.weights > 0))

    @property
    def q_and_df(self) -> tuple[float, float]:
        """Q and its degrees of freedom, from observed minus expected events of studies with information.

        The sum of V (y - pooled)^2 with y = (O - E) / V: nothing is added to zeros, and a study without
        information adds neither to the sum nor to the degrees of freedom.
        """
        found, has = score(pooled_tables(self.counts, self.zero_cells)[0]), self.informative
        o, v = found.excess[has], found.variance[has]
        return float(((o - v * self.estimate_and_variance[0]) ** 2 / v).sum()), float(has.sum() - 1)

    def without_each(self) -> tuple[Array, Array]:
        """Return estimate and variance without each study in turn, shapes (k,); NaN where there are none."""
        found = np.empty((2, self.k))
        t = pooled_tables(self.counts, self.zero_cells)[0]
        for i, n in others_of_each(self.k):
            sums = peto(t, n)
            found[:, i : i + len(n)] = sums.estimate, sums.variance
        return found[0], found[1]

    def many(self, n: Array) -> ManyPooled | None:
        """Return the same pooling of many sets of rows, each as often as `n`, shape (B, k), says."""
        if not self._rows_are_apart:
            return None
        t = pooled_tables(self.counts, self.zero_cells)[0]
        sums, (o, v), has = peto(t, n), score(t), self.informative
        off = o[has] - v[has] * sums.estimate[:, None]
        q, df = (n[:, has] * off**2 / v[has]).sum(axis=1), n[:, has].sum(axis=1) - 1
        return ManyPooled(sums.estimate, sums.variance, q, df)


@dataclass(frozen=True, eq=False, repr=False)
class PetoResults(PetoFit, CommonEffectResults):
    """An odds ratio pooled by Peto's one-step method.

    Attributes
    ----------
    counts : EventCounts
        What was pooled: double-zero studies are left out only if the rule for zeros says so.
    effects : EffectSizes
        The studies' own one-step estimates; NaN where a study has none.
    design : Design
        The intercept.
    method, test : str
        "Peto" and "z".
    level : float
        Confidence level of the interval unless a call says otherwise.
    zero_cells, study_zero_cells : ZeroCells
        What was added to the counts before pooling, and for the studies' own estimates.
    sums : Sums
        Pooled effect, variance and weights.
    """

    def on(self, counts: EventCounts, design: Design) -> PetoResults:
        """Return the same model fitted to other counts."""
        model = Peto(
            counts,
            zero_cells=self.zero_cells,
            study_zero_cells=self.study_zero_cells,
            dependence="accept",
        )
        return model.fit(self.level)

    @cached_property
    def most_likely(self) -> float:
        """The conditional maximum-likelihood log odds ratio, which the one-step estimate is a step towards.

        Infinite where all events, or all people without, are in one arm. See :class:`ExactConditional`.
        """
        return conditional_sum(self.counts).estimate

    @property
    def bias(self) -> float:
        """One-step log odds ratio less the most likely one.

        It is also how far the one-step estimate is off on average, to first order, where the most likely odds
        ratio is the true one.
        """
        return self.estimate - self.most_likely

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the fit; empty if there is nothing."""
        return (*super().cautions(), *self._bias_words())

    def _bias_words(self) -> tuple[str, ...]:
        if not abs(self.bias) > FAR_OFF:
            return ()
        t = pooled_tables(self.counts, NOTHING_ADDED)[0]
        has = self.informative
        unequal = int((np.maximum(t.n1 / t.n2, t.n2 / t.n1)[has] >= UNEQUAL).sum())
        sizes = (
            f"; one arm is at least twice the other in {unequal} of {int(has.sum())} rows with information"
            if unequal
            else ""
        )
        ratio = math.exp(self.most_likely) if self.most_likely < 700 else math.inf
        return (
            f"the one-step odds ratio is {number(math.exp(self.estimate), 3)}, the most likely one "
            f"{number(ratio, 3)}: Peto's method is biased where the effect is large or the arms are of "
            f"unequal size{sizes}",
        )

    def family_lines(self) -> FamilyLines:
        """Return what this family adds to the summary and to the notes below the tables."""
        touched = int(pooled_tables(self.counts, self.zero_cells)[1].sum())
        return FamilyLines(
            model="Peto's one-step method",
            tests="normal",
            fitted=(
                f"pooled estimate: {rule_in_words(self.zero_cells, touched, self.k)}",
                *self.study_lines(),
            ),
            data=self.count_lines(),
            certificate=("closed form",),
        )

    def facts(self) -> dict[str, Any]:
        """Return by name what the fit knows beyond its coefficients; it goes into `to_dict`."""
        return super().facts() | {
            "cochran_mantel_haenszel": self.cochran_mantel_haenszel(),
            "most_likely": self.most_likely,
            "bias": self.bias,
        }


class Peto(Model):
    r"""Peto's one-step odds ratio of the counts of two arms.

    Use it for rare events (about 1%), arms of similar size and effects that are not large. With O events of
    the m events of a study in the treated arm, :math:`E = m n_1 / N` and :math:`V = n_1 n_2 m (N - m) / (N^2
    (N - 1))`, the log odds ratio is :math:`\sum (O - E) / \sum V` with the variance :math:`1 / \sum V`: one
    step of Newton's method from no effect towards the conditional maximum of the likelihood. Nothing is added
    to zeros; a study without event, or with events in everyone, has V = 0 and no weight. Where the step falls
    short, because the effect is large or the arms are unequal, the estimate is biased: the fit compares it
    with the most likely one (:attr:`PetoResults.bias`).

    Parameters
    ----------
    counts : EventCounts
        Counts of people in two arms.
    zero_cells : ZeroCells, optional
        What is added to the counts before pooling, and whether double-zero studies are left out. Default:
        nothing is added, and all studies stay.
    study_zero_cells : ZeroCells, optional
        The same for the studies' own estimates. Default: nothing is added.
    dependence : {"warn", "accept"}
        What to do if several rows belong to one study.

    Raises
    ------
    InputError
        If the counts are of one arm, or of person-time.

    Warns
    -----
    DependentEffectsWarning
        If several rows belong to one study: they are taken as independent.

    References
    ----------
    Yusuf, S., Peto, R., Lewis, J., Collins, R., Sleight, P. (1985). Beta blockade during and after myocardial
    infarction. Progress in Cardiovascular Diseases 27, 335-371. https://doi.org/10.1016/S0033-0620(85)80003-7
    Greenland, S., Salvan, A. (1990). Bias in the one-step method for pooling study results. Statistics in
    Medicine 9, 247-252. https://doi.org/10.1002/sim.4780090307
    Bradburn, M. J., Deeks, J. J., Berlin, J. A., Localio, A. R. (2007). https://doi.org/10.1002/sim.2528

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(
    ...     treatment_events=[1, 0, 3, 0], treatment_n=[500, 300, 610, 200],
    ...     control_events=[2, 1, 5, 0], control_n=[490, 310, 600, 200],
    ... )
    >>> fit = mx.Peto(counts).fit()
    >>> print(fit.predict(scale="measure")[["estimate", "low", "high"]].round(2).to_string(index=False))
     estimate  low  high
         0.51 0.16  1.57
    >>> round(fit.bias, 3)
    0.026
    """

    def __init__(
        self,
        counts: EventCounts,
        *,
        zero_cells: ZeroCells | None = None,
        study_zero_cells: ZeroCells | None = None,
        dependence: Literal["warn", "accept"] = "warn",
    ) -> None:
        checked = check_event_counts(counts, "mx.Peto", arms=2)
        if checked.person_time:
            raise InputError(
                "the counts are of person-time",
                "counts of people in two arms",
                "pool rates with mx.MantelHaenszel or mx.ExactConditional",
            )
        self.zero_cells = check_rule("zero_cells", zero_cells, NOTHING_ADDED, pooling=True)
        self.study_zero_cells = check_rule("study_zero_cells", study_zero_cells, NOTHING_ADDED)
        self.counts = without_double_zeros(checked, self.zero_cells)
        check_dependence(self.counts, dependence)

    def fit(self, level: float = 0.95) -> PetoResults:
        """Pool the counts.

        Parameters
        ----------
        level : float
            Confidence level of the interval.

        Returns
        -------
        PetoResults
            The fit, immutable.

        Raises
        ------
        NotIdentifiableError
            If no study has both an event and someone without.
        """
        level = check_level(level)
        sums = peto(pooled_tables(self.counts, self.zero_cells)[0])
        if np.isnan(sums.estimate):
            raise no_comparison(self.counts, "there is no odds ratio")
        return PetoResults(
            counts=self.counts,
            effects=self.counts.study_estimates("PETO", self.study_zero_cells),
            design=INTERCEPT_ONLY,
            method="Peto",
            test="z",
            level=level,
            zero_cells=self.zero_cells,
            study_zero_cells=self.study_zero_cells,
            sums=sums,
        )
