"""What methods for small-study effects and selection take from effects, or from a fit of any model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, NotIdentifiableError, TooFewStudiesError
from metaexo.formatting import number, percent, plural
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice, check_level, describe
from metaexo.models.linear.design import Design, make_design
from metaexo.models.linear.grouping import split_clusters
from metaexo.models.linear.results import FitResults
from metaexo.models.univariate.model import RandomEffects
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.problem import without_rounding
from metaexo.numeric.tails import chi2_tail, normal_quantile
from metaexo.types import Array, Index

USUAL = 0.95  # level whose complement single studies are usually tested at
ROUNDING = 1e-3  # of bounds that were made from critical values, which are often rounded: 1.96
FEW = 10  # studies below which methods for small-study effects tell little (Sterne 2011, 10.1136/bmj.d4002)
RESTS_ON_ONE = ": what is weighted by precision rests on it"
MOST = 0.5  # of the inverse-variance weight: whoever has more decides
EQUAL = 1e-8  # share of their size below whose spread standard errors are equal but for rounding
SPREAD = 1.5  # largest over smallest standard error below which small and large studies hardly differ
BOUNDED, NO_ESTIMATE = "known only within bounds", "without an estimate of its own"
TRUE_EFFECTS = ("random", "common")
Alternative = Literal["greater", "less"]


@dataclass(frozen=True, eq=False, repr=False)
class Estimates(Immutable):
    """Effects whose asymmetry or selection is looked into, and how they are to be refitted.

    Attributes
    ----------
    effects : EffectSizes
        The effects: of a fit, or as they were handed in.
    fit : FitResults or None
        The fit that they come from; None for bare effects.
    design : Design
        Columns of the model of the mean: a column of ones without moderators.
    method, test : str
        Estimator of tau2 and kind of test of fits of one level: those of a fit of RandomEffects, else REML
        and Knapp-Hartung.
    level : float
        Level of intervals.
    left_out : tuple of str
        Rows of the fit that have no exact effect (censored ones), or no estimate of their own (counts without
        event), and so no place here.
    weights : ndarray, shape (k,), or None
        User-supplied weights of a fit of RandomEffects.
    tau2_given, df_given : float or None
        The between-study variance and the degrees of freedom that were given to such a fit.
    """

    effects: EffectSizes
    fit: FitResults | None
    design: Design
    method: str
    test: str
    level: float
    left_out: tuple[str, ...] = ()
    weights: Array | None = None
    tau2_given: float | None = None
    df_given: float | None = None

    @property
    def k(self) -> int:
        """Number of effects."""
        return self.effects.k

    @property
    def m(self) -> int:
        """Number of studies."""
        return self.effects.m

    @property
    def y(self) -> Array:
        """Effects, shape (k,), on the scale of the analysis."""
        return self.effects.y

    @property
    def v(self) -> Array:
        """Sampling variances, shape (k,)."""
        return self.effects.v

    @cached_property
    def se(self) -> Array:
        """Standard errors, shape (k,)."""
        return np.sqrt(self.effects.v)

    @cached_property
    def x(self) -> Array:
        """Columns of the model of the mean, shape (k, p)."""
        return self.design.matrix(self.k)

    @property
    def clustered(self) -> bool:
        """Whether some study has several effects."""
        return self.m < self.k

    def cluster_of(self, cluster: str | Sequence[object] | ArrayLike | None) -> Index:
        """Return the number of the cluster of each effect, shape (k,); each its own if `cluster` is None."""
        labels = np.arange(self.k)
        if cluster is not None:
            for i, rows in enumerate(split_clusters(self.effects, cluster)[1]):
                labels[rows] = i
        return labels

    @property
    def null(self) -> float:
        """Value of no effect on the scale of the analysis; 0 for a measure without one."""
        null = self.effects.measure.null
        return 0.0 if np.isnan(null) else float(null)

    def no_effect(self) -> float:
        """Return the value of no effect; raise NotIdentifiableError if the measure has none."""
        null = self.effects.measure.null
        if np.isnan(null):
            raise NotIdentifiableError(
                f"{self.effects.measure.display} has no value of no effect",
                "a measure of a difference or a ratio",
                "compute effects against a control group",
            )
        return float(null)

    @property
    def has_moderators(self) -> bool:
        """Whether the model of the mean has more than an intercept."""
        return self.design.x is not None

    @cached_property
    def tau2(self) -> float:
        """Between-study variance of a model of one level without moderators: the fit's, or refitted."""
        if isinstance(self.fit, RandomEffectsResults) and not self.has_moderators:
            return self.fit.tau2
        return self.refit().tau2

    def refit(self, effects: EffectSizes | None = None, weights: Array | None = None) -> RandomEffectsResults:
        """Fit a random-effects model of one level without moderators to these effects, or to others.

        `weights`: those of the others, where the fit that these effects come from has some.
        """
        fit = self.fit if effects is None and not self.has_moderators else None
        if isinstance(fit, RandomEffectsResults) and fit.robust_covariance is None:
            return fit
        own = (self.effects, self.weights) if effects is None else (effects, weights)
        model = RandomEffects(own[0], weights=own[1], dependence="accept")
        return model.fit(self.method, self.test, self.level, self.tau2_given, df=self.df_given)

    @property
    def q_pvalue(self) -> float:
        """P-value of Cochran's Q of the effects, taken as independent."""
        w = 1 / self.v
        q = float(w @ without_rounding(self.y - (w @ self.y) / w.sum(), self.y) ** 2)
        return float(chi2_tail(q, self.k - 1))

    def true_effects(self, model: str) -> tuple[float, float]:
        """Return mean and variance of the true effects, for the power of studies.

        `model`: "random", those of the fit, or of a random-effects model of bare effects; or "common", the
        inverse-variance mean, as if true effects were equal.
        """
        if model == "common" or (self.fit is None and self.k == 1):
            return float((self.y / self.v).sum() / (1 / self.v).sum()), 0.0
        fit = self.refit() if self.fit is None else self.fit
        return float(fit.estimate), float(fit.tau2)

    def cautions(self, independent: bool = True, counts: bool = False) -> tuple[str, ...]:
        """Return what to know before relying on a method for small-study effects or selection.

        `independent`: whether the method takes all effects as independent.
        `counts`: whether it counts significant effects.
        """
        said = []
        if self.m < FEW:
            said.append(
                f"{plural(self.m, 'study', 'studies')}: with fewer than {FEW}, methods for small-study "
                "effects and selection tell little"
            )
        if self.k > 1 and self.same_precision:
            said.append(hardly_differ("standard errors", self.se))
        if independent and self.clustered:
            said.append(
                f"{self.k} effects of {self.m} studies are taken as independent; standard errors, intervals "
                "and p-values are too small"
            )
        heaviest = heaviest_study(self.effects)
        if heaviest:
            said.append(heaviest + RESTS_ON_ONE)
        if self.left_out:
            said.append(
                f"{plural(len(self.left_out), 'effect')} {self._why_left_out} took no part: "
                + "; ".join(self.left_out[:8])
                + (f"; and {len(self.left_out) - 8} more" if len(self.left_out) > 8 else "")
            )
            if counts and self._why_left_out == BOUNDED:
                said.append(self._of_counts())
        return tuple(said)

    @property
    def _why_left_out(self) -> str:
        bounded = self.fit is not None and isinstance(self.fit.effects, BoundedEffectSizes)
        return BOUNDED if bounded else NO_ESTIMATE

    def far_outside(self, mean: float) -> tuple[str, ...]:
        """Return a caution where a mean lies far outside the range of the effects, else nothing.

        Far is more than the width of the range and two typical standard errors beyond it.
        """
        least, most = float(self.y.min()), float(self.y.max())
        beyond = max(least - mean, mean - most) - (most - least)
        if not beyond > 0 or not beyond > 2 * float(np.median(self.se)):
            return ()
        shown, first, last = sorted_back(self.effects, mean, least, most)
        return (
            f"the mean, {number(shown, 3)}, is far outside the range of the effects ({number(first, 3)} to "
            f"{number(last, 3)}): do not use it",
        )

    def _of_counts(self) -> str:
        """Say what counts of significant effects lack of those that are known only within bounds."""
        assert self.fit is not None
        held: Any = self.fit.effects
        null, critical = self.effects.measure.null, normal_quantile(USUAL)
        unknown = ~held.is_exact
        with np.errstate(invalid="ignore"):
            low = np.where(np.isfinite(held.lower), (held.lower - null) / np.sqrt(held.v_lower), -np.inf)[
                unknown
            ]
            high = np.where(np.isfinite(held.upper), (held.upper - null) / np.sqrt(held.v_upper), np.inf)[
                unknown
            ]
        above = int(((low >= critical) | (high <= -critical)).sum())
        below = int(((low > -critical - ROUNDING) & (high < critical + ROUNDING)).sum())
        return (
            "counts of significant effects leave out those known only within bounds, and are biased by it: "
            f"of these {plural(len(self.left_out), 'effect')} the bounds show {below} not to be significant "
            f"at 0.05, and {above} to be"
        )

    @property
    def same_precision(self) -> bool:
        """Whether standard errors hardly differ, so that nothing can be said of small and large studies."""
        return bool(self.se.min() > 0 and self.se.max() < SPREAD * self.se.min())

    def direction(self, alternative: str | None) -> Alternative:
        """Return in which direction results are favoured: as given, or else that of the fixed-effect mean.

        It is that from no effect to the mean.
        Effects of which positive means benefit (`oriented`) are favoured where they are greater.
        """
        if alternative is not None:
            check_choice("alternative", alternative, ("greater", "less"))
            return "greater" if alternative == "greater" else "less"
        if self.effects.oriented:
            return "greater"
        return "less" if ((self.y - self.null) / self.v).sum() < 0 else "greater"


def sorted_back(effects: EffectSizes, mean: float, least: float, most: float) -> tuple[float, float, float]:
    """Return a mean and the ends of a range as the measure is shown, the smaller end first."""
    shown, *ends = map(float, back_pooled(effects, [mean, least, most]))
    return shown, min(ends), max(ends)


def hardly_differ(what: str, x: Array) -> str:
    """Say that sizes of studies, `what` in the plural, hardly differ."""
    least, most = f"{x.min():.3g}", f"{x.max():.3g}"
    if x.min() == x.max():
        how = f"are all equal ({least})"
    elif least == most:
        how = f"hardly differ (all are {least} to three digits)"
    else:
        how = f"hardly differ (from {least} to {most})"
    return f"the {what} {how}, so that small and large studies cannot be distinguished"


def heaviest_study(effects: EffectSizes) -> str:
    """Say which of three studies or more has more than half of the inverse-variance weight; else ""."""
    if effects.m < 3 or not effects.v.min() > 0:
        return ""
    shares = effects.v.min() / effects.v
    names: Sequence[str] = ()
    if effects.m < effects.k:
        names, members = split_clusters(effects, None)
        shares = np.array([shares[rows].sum() for rows in members])
    first = int(shares.argmax())
    share = float(shares[first] / shares.sum())
    if share <= MOST:
        return ""
    name = (names or effects.study or effects.row_labels)[first]
    name = name if effects.study or effects.labels else f"number {name}"
    of = "more than 99%" if share > 0.99 else percent(share)
    return f"one study, {name}, has {of} of the inverse-variance weight"


def rows_of(labels: Index) -> list[Index]:
    """Return the rows of each cluster, from the number of the cluster of each row."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def estimates_of(
    results: object,
    what: str,
    *,
    least: int = 2,
    moderators: bool = False,
    zero_variances: bool = False,
    level: float | None = None,
) -> Estimates:
    """Return the effects of a fit of any model, or bare ones, for a method of this room.

    `what`: the function, for errors, such as "trim_and_fill".
    `least`: how many effects it needs.
    `moderators`: whether it can use a model with moderators; if not, fits with moderators are refused.
    `zero_variances`: whether it can use effects without sampling variance.
    `level`: of intervals; default that of the fit, or 0.95.
    Raises InputError if `results` is neither, TooFewStudiesError if there are too few effects.
    """
    fit: FitResults | None = None
    left_out: tuple[str, ...] = ()
    design = make_design(None, 1)
    if isinstance(results, FitResults):
        fit, design, effects = results, results.design, results.effects
        if isinstance(effects, BoundedEffectSizes):
            exact = np.asarray(effects.is_exact)
            left_out = tuple(name for name, known in zip(effects.row_ids, exact, strict=True) if not known)
            if design.x is not None:
                design = replace(design, x=design.x[exact])
            effects = effects.exact
    elif isinstance(results, EffectSizes):
        effects = results
    else:
        raise InputError(
            f"{what} was given {describe(results)}",
            "a fit of effects, or mx.EffectSizes",
            "hand in mx.RandomEffects(es).fit(), a fit of another model, or the effects themselves",
        )
    known = np.isfinite(effects.v)
    if not known.all():  # a fit of counts: some studies have no estimate of their own
        left_out = tuple(name for name, has in zip(effects.row_ids, known, strict=True) if not has)
        if design.x is not None:
            design = replace(design, x=design.x[known])
        effects = effects.select(known, NO_ESTIMATE)
    if not moderators and design.x is not None:
        raise InputError(
            f"{what} was given a fit with moderators ({', '.join(design.names)})",
            "one mean for all effects",
            "hand in a fit without moderators; or look at regression_test, which takes moderators along",
        )
    if effects.k < least:
        raise TooFewStudiesError(
            f"{what} was given {plural(effects.k, 'effect')}",
            f"at least {least} effects",
            "report the effects as they are: with so few nothing can be said of small studies or selection",
        )
    still = [] if zero_variances else [effects.row_ids[i] for i in np.flatnonzero(effects.v == 0)]
    if still:
        raise InputError(
            f"{plural(len(still), 'sampling variance is', 'sampling variances are')} zero",
            f"sampling variances above 0 for {what}",
            "look these rows up in the source, or leave them out with EffectSizes.select",
            still,
        )
    one_level = fit if isinstance(fit, RandomEffectsResults) else None
    return Estimates(
        effects=effects,
        fit=fit,
        design=design,
        method="REML" if one_level is None else one_level.method,
        test="knapp-hartung" if one_level is None else one_level.test,
        level=check_level(level) if level is not None else 0.95 if fit is None else fit.level,
        left_out=left_out,
        weights=None if one_level is None else one_level.weighting,
        tau2_given=one_level.tau2 if one_level is not None and one_level.tau2_given else None,
        df_given=None if one_level is None else one_level.df_given,
    )
