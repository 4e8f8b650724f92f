r"""Permutation tests: the p-value is a count over arrangements of the data, no distribution is assumed.

Three things can be arranged.

- *Signs.* Without moderators the signs of the effects are flipped in all 2^k patterns: if true effects are
  symmetric about zero, each pattern is as likely.
- *Rows.* With moderators the rows of the design are permuted against the effects and their variances in all
  distinct orders: if no moderator has to do with the effects, each is as likely. All moderators move
  together.
- *Residuals.* For one moderator given the others: what the model without it explains stays, and its residuals
  are permuted with their variances, or their signs flipped (Freedman and Lane 1983; Winkler and others 2014).
  With other moderators in the model this is exact in large samples only.

Whole clusters are flipped or permuted where effects of a cluster depend on each other. Every arrangement is
refitted, between-study variances included. Where there are more than can be fitted, some are drawn at random,
with that of the data as one more (Phipson and Smyth 2010), so that no p-value is below 1 / (draws + 1).

The interval of a coefficient holds the values that the test does not reject: with theta x_j taken off the
effects the same arrangements are fitted again, and the ends are where the p-value crosses 1 - level
(Garthwaite 1996). Between two values close to each other most arrangements are decided alike; only the others
are fitted.

References
----------
Follmann, D. A., Proschan, M. A. (1999). Valid inference in random effects meta-analysis. Biometrics 55,
732-737. https://doi.org/10.1111/j.0006-341X.1999.00732.x
Higgins, J. P. T., Thompson, S. G. (2004). Controlling the risk of spurious findings from meta-regression.
Statistics in Medicine 23, 1663-1682. https://doi.org/10.1002/sim.1752
Freedman, D., Lane, D. (1983). A nonstochastic interpretation of reported significance levels. Journal of
Business and Economic Statistics 1, 292-298. https://doi.org/10.1080/07350015.1983.10509354
Winkler, A. M., Ridgway, G. R., Webster, M. A., Smith, S. M., Nichols, T. E. (2014). Permutation inference for
the general linear model. NeuroImage 92, 381-397. https://doi.org/10.1016/j.neuroimage.2014.01.060
Garthwaite, P. H. (1996). Confidence intervals from randomization tests. Biometrics 52, 1387-1393.
https://doi.org/10.2307/2532852
Phipson, B., Smyth, G. K. (2010). Permutation p-values should never be zero. Statistical Applications in
Genetics and Molecular Biology 9, 39. https://doi.org/10.2202/1544-6115.1585
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.counts import EventCounts
from metaexo.errors import InputError, NotIdentifiableError
from metaexo.formatting import level_words, number, p_value, plural
from metaexo.inputs import check_choice, check_flag, read_words, whole_number
from metaexo.models.counts.fit import CountResults
from metaexo.models.linear.design import Design
from metaexo.models.linear.grouping import split_clusters
from metaexo.models.linear.results import FitResults
from metaexo.models.location_scale.results import LocationScaleResults
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.arrangements import Orders, monte_carlo_interval, refuse_undefined, share_of
from metaexo.numeric.mixed.partition import dependent_rows
from metaexo.numeric.weighted import refuse_own_weights, refuse_special_tests
from metaexo.readable import Readable, ReaderTable, cells_of
from metaexo.runs import run
from metaexo.sensitivity.arranged import (
    ArrangedLocationScale,
    ArrangedModel,
    ArrangedMultilevel,
    ArrangedOneLevel,
    Choices,
    CountsTask,
    Experiment,
    StatisticsTask,
    permutation_interval,
)
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

ARRANGED = {
    "signs": "patterns of signs of {}",
    "rows": "permutations of the moderator values over {}",
    "residuals": "permutations of the residuals, given the other moderators, of {}",
    "residual-signs": "patterns of signs of the residuals, given the other moderators, of {}",
}
OF_INTERCEPT = (
    "the p-value of the intercept does not test whether it is 0: moderator values are permuted, and the "
    "effects keep their mean"
)
ALTERNATIVES = ("two-sided", "greater", "less")
TWO_SIDED = ("absolute", "doubled")
SCHEMES = ("signs", "rows", "residuals", "residual-signs")
# Up to so many arrangements all are fitted, and so many are drawn beyond; of models fitted one by one fewer.
MOST, DRAWS = 5_000_000, 9_999
MOST_SLOW, DRAWS_SLOW = 1_000, 999
# With fewer draws no p-value reaches 0.05.
FEWEST = 19


@dataclass(frozen=True, eq=False, repr=False)
class PermutedTest(Readable):
    """One of the tests of a permutation test: of a coefficient, of a term, or of all moderators.

    Attributes
    ----------
    name : str
        Coefficient or term; "moderators" for the omnibus test.
    kind : {"coefficient", "term", "omnibus"}
        What is tested.
    estimate : float
        The coefficient; NaN for joint tests.
    statistic : float
        Coefficient over standard error, or the Wald statistic of a joint test.
    pvalue : float
        Share of the arrangements whose statistic is at least as extreme as that of the data; for drawn ones
        (1 + count) / (1 + draws). NaN where the scheme has no test.
    error : float
        Monte Carlo standard error of the p-value; 0 for an exact test.
    pvalue_low, pvalue_high : float
        Clopper-Pearson interval of the exact p-value; the p-value itself for an exact test.
    low, high : float
        Permutation interval of the coefficient; infinite where no value is rejected, NaN where there is none.
    undefined : int
        Arrangements without a statistic, which count as extreme.
    """

    name: str
    kind: str
    estimate: float
    statistic: float
    pvalue: float
    error: float
    pvalue_low: float
    pvalue_high: float
    low: float = np.nan
    high: float = np.nan
    undefined: int = 0

    def to_frame(self) -> pd.DataFrame:
        """Return the test as a table of one row."""
        import pandas as pd

        return pd.DataFrame([vars(self)])


@dataclass(frozen=True, eq=False, repr=False)
class PermutationTest(Readable):
    """A permutation test of a fit.

    Attributes
    ----------
    tests : tuple of PermutedTest
        The coefficients in order, then the omnibus test, then terms of several moderators.
    scheme : {"signs", "rows", "residuals", "residual-signs"}
        What was arranged.
    units : int
        How many effects, or whole clusters, were flipped or permuted.
    k : int
        Number of effects.
    arrangements : int
        Number of distinct arrangements, that of the data included.
    fitted : int
        How many of them the p-values rest on, that of the data included.
    exact : bool
        Whether these are all.
    alternative : {"two-sided", "greater", "less"}
        What counts as extreme for single coefficients.
    two_sided : {"absolute", "doubled"}
        How two-sided p-values are defined.
    level : float
        Level of the intervals.
    seed : int
        Seed of drawn arrangements.
    statistics : ndarray, shape (n, number of tests), or None
        Statistics of all arrangements that were fitted, where they were asked for; those of the data are not
        among drawn ones.
    scale : PermutationTest or None
        The test of the moderators of the between-study variance, of a location-scale model.
    draws_asked : int or None
        How many arrangements were to be drawn; an exact test draws none.
    """

    tests: tuple[PermutedTest, ...]
    scheme: str
    units: int
    k: int
    arrangements: int
    fitted: int
    exact: bool
    alternative: str
    two_sided: str
    level: float
    seed: int
    statistics: Array | None = None
    scale: PermutationTest | None = None
    draws_asked: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients."""
        return tuple(test.name for test in self.tests if test.kind == "coefficient")

    @property
    def pvalue(self) -> Array:
        """The p-values of the coefficients."""
        return np.array([test.pvalue for test in self.tests if test.kind == "coefficient"])

    @property
    def omnibus(self) -> float:
        """The p-value of the omnibus test."""
        return next(test.pvalue for test in self.tests if test.kind == "omnibus")

    @property
    def terms(self) -> dict[str, float]:
        """The p-values of the moderator terms, each tested jointly."""
        return {test.name: test.pvalue for test in self.tests if test.kind == "term"}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per test; of a location-scale model those of both parts."""
        import pandas as pd

        frame = pd.DataFrame([vars(test) for test in self.tests])
        if self.scale is None:
            return frame
        parts = [frame.assign(part="location"), self.scale.to_frame().assign(part="scale")]
        return pd.concat(parts, ignore_index=True)

    def reader_tables(self) -> list[ReaderTable]:
        """Return the tables that readers see, numbers rounded."""
        frame = self.to_frame()
        simple = self.exact and (self.scale is None or self.scale.exact)
        hidden = ["undefined", *(["error", "pvalue_low", "pvalue_high"] if simple else [])]
        hidden += [name for name in ("low", "high") if frame[name].isna().all()]
        return [cells_of(frame.drop(columns=hidden))]

    def table_notes(self) -> list[str]:
        """Return what was arranged, how often, and what counts as extreme."""
        parts = [("", self)] if self.scale is None else [("location: ", self), ("scale: ", self.scale)]
        notes = [f"{name}{part.done}{part._errors}" for name, part in parts]
        if self.alternative != "two-sided":
            notes.append(f"alternative: coefficients are {self.alternative} than 0")
        elif self.two_sided == "doubled":
            notes.append("two-sided p: twice the smaller one-sided one")
        lost = {test.name: test.undefined for _, part in parts for test in part.tests if test.undefined}
        notes += [f"{name}: no statistic in {n} arrangements, counted as extreme" for name, n in lost.items()]
        if not all(np.isnan(test.low) for test in self.tests):
            notes.append(f"low, high: {level_words(self.level)} permutation interval")
        return notes

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the p-values; empty if there is nothing."""
        asked = self.scheme == "rows" and any(
            test.name == "intercept" and np.isfinite(test.pvalue) for test in self.tests
        )
        return (OF_INTERCEPT,) if asked else ()

    @property
    def done(self) -> str:
        """What was arranged, and how often, in words."""
        units = f"{self.units} whole clusters" if self.units < self.k else f"{self.units} effects"
        many = self.arrangements
        count = f"{many:,}" if many < 1e9 else f"more than 10^{math.floor(math.log10(many))}"
        what = ARRANGED[self.scheme].format(units)
        if self.exact:
            without = f" (draws={self.draws_asked} was not needed)" if self.draws_asked else ""
            return f"exact permutation test: all {count} {what}{without}"
        return f"permutation test: {self.fitted - 1:,} of {count} {what}, drawn at random (seed {self.seed})"

    @property
    def _errors(self) -> str:
        """What the columns of drawn tests are, in words."""
        words = f"{level_words(self.level)} Clopper-Pearson interval"
        return "" if self.exact else f"; error: Monte Carlo standard error of p; {words}"

    @property
    def sentence(self) -> str:
        """What was arranged, how often, and the p-values, in words."""
        scale = "" if self.scale is None else f"; scale: {self.scale.sentence}"
        return f"{self.done}: {'; '.join(self._found())}{scale}"

    def _found(self) -> list[str]:
        """Return the p-values in words: those of coefficients, and of tests of several of them."""
        names = list(self.names)
        several = sum(name != "intercept" for name in names) > 1
        found = []
        for test in self.tests:
            tested = np.isfinite(test.pvalue) and not (self.cautions() and test.name == "intercept")
            joint = several if test.kind == "omnibus" else test.name not in names
            if tested and (test.kind == "coefficient" or joint):
                error = f" (Monte Carlo error {number(test.error, 4)})" if not self.exact else ""
                name = "mean" if names == ["intercept"] else test.name
                size = f" {number(test.estimate, 4)}" if test.kind == "coefficient" else ""
                found.append(f"{name}{size}, {p_value(test.pvalue)}{error}")
        return found


# -- the test ------------------------------------------------------------------------------------------------


def permutation_test(
    results: FitResults,
    draws: int | None = None,
    *,
    alternative: Literal["two-sided", "greater", "less"] = "two-sided",
    two_sided: Literal["absolute", "doubled"] = "absolute",
    scheme: Literal["signs", "rows", "residuals", "residual-signs"] | None = None,
    cluster: str | Sequence[object] | ArrayLike = "study",
    limit: int | None = None,
    seed: int = 0,
    intervals: bool | str | Sequence[str] = False,
    level: float | None = None,
    statistics: bool = False,
    progress: bool | None = None,
) -> PermutationTest:
    r"""Test a fit against all arrangements of its data, or against many drawn at random.

    Use it with few studies, where the distribution of a test statistic is least certain. With very few the
    smallest possible p-value is large: 2 / 2^k for a mean.

    With T the statistic of the data and :math:`T_a` that of arrangement a of A, refitted by the same method
    and test,

    .. math::

        p = \frac{1}{A} \sum_{a=1}^{A} 1\{|T_a| \ge |T|\}, \quad \text{or} \quad
        p = \frac{1 + \sum_{b=1}^{B} 1\{|T_b| \ge |T|\}}{1 + B}

    with B arrangements drawn at random.

    Parameters
    ----------
    results : FitResults
        A fit of :class:`~metaexo.RandomEffects`, :class:`~metaexo.Multilevel` or
        :class:`~metaexo.LocationScale`. Of a location-scale model each part is tested by itself: the rows of
        its design are permuted, those of the other part stay.
    draws : int, optional
        How many arrangements are drawn where there are more than `limit`; at least 19. Where there are fewer,
        all are fitted, and the result says that none was drawn. Default: 9,999; 999 for models that are
        fitted one arrangement at a time, and for rows of clusters of unequal size.
    alternative : {"two-sided", "greater", "less"}
        Whether large coefficients of any sign, positive or negative ones count as extreme.
    two_sided : {"absolute", "doubled"}
        The two-sided p-value: share of the statistics that are as far from 0, or twice the smaller of the
        one-sided ones.
    scheme : {"signs", "rows", "residuals", "residual-signs"}, optional
        What is arranged: the signs of the effects (the default without moderators), the rows of the design
        (the default with them), or, for one moderator given the others, the residuals of the model without
        it, or the signs of these residuals.
    cluster : str or sequence, length k
        What is flipped or permuted as a whole: studies; "effect" for single effects; another column, or
        labels. Rows are permuted between clusters only where moderators are the same within each.
    limit : int, optional
        Up to this many arrangements all are fitted, and the test is exact. Default: 5,000,000; 1,000 for
        models that are fitted one arrangement at a time, and for rows of clusters of unequal size.
    seed : int
        Seed of drawn arrangements.
    intervals : bool, str or sequence of str
        Whether to look for the permutation intervals of all coefficients, or of those named. One takes about
        ten times as long as the test.
    level : float, optional
        Level of these intervals. Default: that of the fit.
    statistics : bool
        Whether the statistics of all arrangements are kept.
    progress : bool, optional
        Whether to show a progress bar. Default: in a terminal or notebook.

    Returns
    -------
    PermutationTest
        p-values of the coefficients, of the omnibus test and of terms; none is below 1 over the number of
        arrangements that were fitted.

    Raises
    ------
    InputError
        If the results are of another model, have a robust covariance or weights of their own, or if the
        scheme does not suit them.
    NotIdentifiableError
        If a statistic is undefined in the data or in an arrangement.
    UnknownChoiceError
        If a word is not known.
    ConvergenceError
        If an arrangement cannot be fitted.

    References
    ----------
    Follmann, D. A., Proschan, M. A. (1999). https://doi.org/10.1111/j.0006-341X.1999.00732.x
    Higgins, J. P. T., Thompson, S. G. (2004). https://doi.org/10.1002/sim.1752
    Winkler, A. M., and others (2014). https://doi.org/10.1016/j.neuroimage.2014.01.060
    Garthwaite, P. H. (1996). https://doi.org/10.2307/2532852
    Phipson, B., Smyth, G. K. (2010). https://doi.org/10.2202/1544-6115.1585

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9, 0.5, 0.4], [0.02, 0.05, 0.03, 0.04, 0.03, 0.06])
    >>> found = mx.sensitivity.permutation_test(mx.RandomEffects(es).fit(), intervals=True)
    >>> found.pvalue
    array([0.03125])
    >>> mean = found.tests[0]
    >>> round(mean.low, 2), round(mean.high, 2)
    (0.1, 0.9)
    """
    check_choice("alternative", alternative, ALTERNATIVES)
    check_choice("two_sided", two_sided, TWO_SIDED)
    if scheme is not None:
        check_choice("scheme", scheme, SCHEMES)
    if not isinstance(results, RandomEffectsResults | MultilevelResults | LocationScaleResults):
        raise _refusal(results)
    choices = Choices(
        None if draws is None else whole_number(draws, "draws", FEWEST),
        alternative,
        two_sided,
        None if limit is None else whole_number(limit, "limit", 1),
        whole_number(seed, "seed", 0),
        results.at_level(level),
        _named(intervals, results),
        check_flag("statistics", statistics),
        progress,
    )
    members = split_clusters(results.effects, cluster)[1]
    unit = np.empty(results.k, dtype=np.intp)
    for i, rows in enumerate(members):
        unit[rows] = i
    if isinstance(results, LocationScaleResults):
        return _of_location_scale(results, scheme, unit, choices)
    if isinstance(results, MultilevelResults):
        model: ArrangedModel = _multilevel(results, unit)
    else:
        model = _one_level(results, unit)
    return _test(model, results.design, scheme, choices, results.beta, results.se)


def _named(intervals: object, results: FitResults) -> tuple[str, ...]:
    """Return the coefficients whose intervals are wanted."""
    names = results.design.names
    if isinstance(intervals, bool | np.bool_):
        return names if intervals else ()
    wanted = (intervals,) if isinstance(intervals, str) else read_words(intervals, "intervals")
    for name in wanted:
        check_choice("intervals", name, names)
    return tuple(wanted)


OF_COUNTS = (
    "there is none for counts: mx.ExactConditional(counts).fit() has exact tests, and "
    'mx.RandomEffects(counts.effect_sizes("OR")).fit() has the permutation test of the studies\' estimates'
)


ONE_ARM = "counts of one arm have no value of no effect to be tested: read the interval of the fit"


def _refusal(results: object) -> InputError:
    """Return the error for results of a kind that has no permutation test here."""
    kind = type(results).__name__
    counted = isinstance(results, EventCounts | CountResults)
    one_arm = counted and getattr(results, "counts", results).arms == 1  # type: ignore[attr-defined]
    exact = "fit the exact effects with mx.RandomEffects(effects).fit()"
    remedies = {
        "StratifiedResults": "ask the strata themselves: strata.permutation_test()",
        "AttributionResults": "its parts have p-values by permutation already",
        "MomentResults": "fit them with mx.Multilevel: whole clusters are flipped or permuted",
    }
    return InputError(
        f"the results are of type {kind}",
        "a fit of RandomEffects, Multilevel or LocationScale",
        remedies.get(kind, (ONE_ARM if one_arm else OF_COUNTS) if counted else exact),
    )


# -- from a fit to its model ---------------------------------------------------------------------------------


def _joint(design: Design) -> dict[tuple[str, str], Index]:
    """Return the columns of each joint test by kind and name: the omnibus test, and terms beside it."""
    tests = {("omnibus", "moderators" if design.p > 1 or design.intercept is None else "mean"): design.tested}
    terms = {term.name: np.array(term.columns, dtype=np.intp) for term in design.terms}
    if len(terms) > 1:
        tests |= {("term", name): columns for name, columns in terms.items()}
    return tests


def _one_level(results: RandomEffectsResults, unit: Index) -> ArrangedOneLevel:
    refuse_special_tests(results, "the permutation test")
    return ArrangedOneLevel(
        results.effects.y,
        results.design.matrix(results.k),
        unit,
        tuple(_joint(results.design).values()),
        results.effects.v,
        results.method,
        results.test,
        results.tau2 if results.tau2_given else None,
        results.design.x is None,
    )


def _multilevel(results: MultilevelResults, unit: Index) -> ArrangedMultilevel:
    refuse_own_weights(results, "the permutation test")
    if results.robust_covariance is not None:
        raise InputError(
            "the fit has a cluster-robust covariance matrix, and the permutation test rests on the model",
            "a fit before robust()",
        )
    together = dependent_rows(results.problem.v, results.problem.terms)
    firsts = np.unique(together, return_index=True)[1]
    if (unit != unit[firsts[together]]).any():
        raise InputError(
            "some effects of different clusters share a random effect or a sampling covariance",
            "clusters that are independent of each other, to be flipped or permuted as a whole",
            "name a cluster that takes in all effects that depend on each other: cluster=...",
        )
    return ArrangedMultilevel(
        results.effects.y,
        results.design.matrix(results.k),
        unit,
        tuple(_joint(results.design).values()),
        results.problem,
        results.method == "REML",
        dict(results.fixed),
    )


def _of_location_scale(
    results: LocationScaleResults, scheme: str | None, unit: Index, choices: Choices
) -> PermutationTest:
    """Return the test of the location, and beside it that of the scale."""
    if scheme in ("residuals", "residual-signs") or choices.intervals:
        raise InputError(
            f"scheme={scheme!r} was given for a location-scale model"
            if scheme in ("residuals", "residual-signs")
            else "intervals were asked for of a location-scale model",
            "whole rows of its designs are permuted, and there are no permutation intervals",
            "leave scheme and intervals out; results.conf_int() has the intervals of the model",
        )
    x, z = results.design.matrix(results.k), results.scale_design.matrix(results.k)
    y, v, restricted = results.effects.y, results.effects.v, results.method == "REML"
    location = ArrangedLocationScale(
        y, x, unit, tuple(_joint(results.design).values()), v, z, False, results.link, restricted
    )
    found = _test(location, results.design, scheme, choices, results.beta, results.se)
    design, own = results.scale_design, results.scale_coefficients
    if design.x is None:
        return found
    scale = ArrangedLocationScale(
        y, z, unit, tuple(_joint(design).values()), v, x, True, results.link, restricted
    )
    with np.errstate(invalid="ignore"):
        return replace(found, scale=_test(scale, design, "rows", choices, own.beta, own.se))


def _test(
    model: ArrangedModel, design: Design, scheme: str | None, choices: Choices, beta: Array, se: Array
) -> PermutationTest:
    """Return the permutation test of one part of a model."""
    experiment = _experiment(model, design, scheme, choices)
    observed = experiment.statistics(experiment.of_data, model.y)[0]
    tested = np.array(experiment.tested)
    lost = bool(np.isnan(observed[tested]).any())
    if lost and not experiment.quick:
        raise NotIdentifiableError(
            "a coefficient has no standard error in the data: it is at the boundary of what it can be",
            "coefficients with a test statistic",
            'use fewer moderators or, for a location-scale model, link="log"',
        )
    values: Array | None = None
    options: dict[str, Any] = {
        "size": experiment.size,
        "block": experiment.block,
        "progress": choices.progress,
        "what": "arrangements",
    }
    counting = CountsTask(experiment, observed)
    if choices.statistics:
        values = experiment.unfolded(run(StatisticsTask(experiment), **options)["statistics"])
        counts = counting.of(values)
    else:
        counts = run(counting, reduce=np.add, **options)
    fitted = experiment.size * (2 if experiment.mirrored else 1)
    undefined = np.where(tested, counts[3], 0)
    refuse_undefined(int(undefined.max()) if experiment.quick else 0, fitted, lost)
    kinds = [*(("coefficient", name) for name in design.names), *_joint(design)]
    tests = []
    for j, (kind, name) in enumerate(kinds):
        single = kind == "coefficient"
        low, high = np.nan, np.nan
        if single and tested[j] and name in choices.intervals:
            low, high = permutation_interval(experiment, j, choices, float(beta[j]), float(se[j]))
        p = _p_values(counts[:, j], fitted, experiment, choices, single) if tested[j] else (np.nan,) * 4
        tests.append(
            PermutedTest(
                name,
                kind,
                float(beta[j]) if single else np.nan,
                float(observed[j]),
                *p,
                low,
                high,
                int(undefined[j]),
            )
        )
    return PermutationTest(
        tests=tuple(tests),
        scheme=experiment.scheme,
        units=model.units,
        k=model.y.size,
        arrangements=experiment.number,
        fitted=fitted + bool(experiment.drawn),
        exact=not experiment.drawn,
        alternative=choices.alternative,
        two_sided=choices.two_sided,
        level=choices.level,
        seed=choices.seed,
        statistics=values,
        draws_asked=choices.draws,
    )


def _p_values(
    counts: Index, fitted: int, experiment: Experiment, choices: Choices, single: bool
) -> tuple[float, float, float, float]:
    """Return the p-value, its Monte Carlo error, and the ends of its interval."""
    large, small, both = (int(count) for count in counts[:3])
    drawn, factor = bool(experiment.drawn), 1
    count = large
    if single and choices.alternative == "less":
        count = small
    elif single and choices.alternative == "two-sided":
        count, factor = (both, 1) if choices.two_sided == "absolute" else (min(large, small), 2)
    share = share_of(count, fitted, drawn)
    p = min(1.0, factor * share)
    if not drawn:
        return p, 0.0, p, p
    error = factor * np.sqrt(share * (1 - share) / fitted)
    low, high = (min(1.0, factor * end) for end in monte_carlo_interval(count, fitted, choices.level))
    return p, float(error), low, high


def _experiment(model: ArrangedModel, design: Design, scheme: str | None, choices: Choices) -> Experiment:
    """Return the arrangements of a model: all, or drawn ones where there are too many."""
    mean_alone = design.p == 1 and design.intercept == 0
    chosen = scheme or ("signs" if mean_alone else "rows")
    if (chosen in ("signs", "residual-signs")) and (chosen == "signs") != mean_alone:
        raise InputError(
            f'scheme="{chosen}" was given for a model {"without" if mean_alone else "with"} moderators',
            'signs of the effects without moderators, signs of residuals ("residual-signs") with them',
            "leave scheme out" + ("" if mean_alone else ', or use scheme="residual-signs"'),
        )
    orders = None if chosen.endswith("signs") else Orders(_kinds(model, chosen))
    tested = [True] * len(model.columns)
    if chosen == "residuals":
        tested = [_keeps_the_mean(np.delete(model.x, columns, axis=1)) for columns in model.columns]
    experiment = Experiment(model, chosen, tuple(tested), 0, choices.seed, orders)
    if experiment.number == 1 or not any(tested):
        raise InputError(
            "all rows of the design are alike" if experiment.number == 1 else "there are no moderators",
            "moderators whose values differ between the rows that are permuted",
            "leave scheme out: the signs of the effects are flipped then",
        )
    limit = choices.limit or (MOST if experiment.quick else MOST_SLOW)
    if experiment.number <= limit:
        return experiment
    return replace(experiment, drawn=choices.draws or (DRAWS if experiment.quick else DRAWS_SLOW))


def _kinds(model: ArrangedModel, scheme: str) -> Index:
    """Return the kind of row that each unit has in the design; refuse units whose rows differ."""
    firsts = np.unique(model.unit, return_index=True)[1]
    rows = model.x[firsts]
    varying = np.flatnonzero((model.x != rows[model.unit]).any(axis=1))
    if varying.size:
        raise InputError(
            f"moderators vary within {plural(np.unique(model.unit[varying]).size, 'cluster')}, and whole "
            "clusters are permuted",
            "moderators that are the same for all effects of a cluster",
            'use scheme="residual-signs", which flips the signs of whole clusters, or, where effects of a '
            'cluster are independent, cluster="effect"',
        )
    if scheme == "residuals":
        return np.arange(len(rows))
    return np.unique(rows, axis=0, return_inverse=True)[1].ravel()


def _keeps_the_mean(x: Array) -> bool:
    """Say whether some combination of the columns is 1 in every row."""
    if not x.shape[1]:
        return False
    ones = np.ones(len(x))
    return bool(np.abs(x @ np.linalg.lstsq(x, ones, rcond=None)[0] - ones).max() < 1e-8)
