"""Tests of funnel asymmetry for tables of events, whose standard errors depend on the effect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from metaexo.bias.asymmetry import (
    SUGGESTIVE,
    dispersed,
    kendall,
    refuse_equal_sizes,
    regression_test,
    slope_words,
)
from metaexo.bias.estimates import SPREAD, Estimates, estimates_of, hardly_differ
from metaexo.bias.results import BiasTest
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import get_measure
from metaexo.effects.sample_sizes import event_counts, group_sizes, known_columns
from metaexo.errors import EventsError, InputError, TooFewStudiesError, UnknownChoiceError
from metaexo.formatting import number, p_value, plural
from metaexo.inputs import check_number, read_numbers
from metaexo.models.linear.design import INTERCEPT_ONLY
from metaexo.models.linear.hypothesis import TestResult, make_test, wald_statistics
from metaexo.models.linear.results import FitResults
from metaexo.models.univariate.model import RandomEffects
from metaexo.numeric.counts.hypergeometric import ConditionalSum
from metaexo.numeric.counts.two_arms import TwoArms
from metaexo.numeric.counts.two_arms import odds_ratio as mantel_haenszel_odds
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd

# Tests, what they are called, and what the effects are regressed on or correlated with.
METHODS: dict[str, tuple[str, str]] = {
    "harbord": ("Harbord's test", "inverse root of the information"),
    "peters": ("Peters' test", "inverse of the sample size"),
    "macaskill": ("Macaskill's test", "sample size"),
    "macaskill-pooled": ("Macaskill's test with pooled variances", "sample size"),
    "deeks": ("Deeks' test", "inverse root of the effective sample size"),
    "schwarzer": ("Schwarzer's test", "inverse of the variance of the cell count"),
    "ruecker": ("Rücker's arcsine-Thompson test", "standard error of the arcsine difference"),
    "debray": ("Debray's test (FIV)", "inverse of the number of events"),
    "debray-approximate": ("Debray's test (FAV)", "inverse of the number of events"),
}
SPELLINGS = {
    "score": "harbord",
    "count": "schwarzer",
    "rücker": "ruecker",
    "rucker": "ruecker",
    "arcsine-thompson": "ruecker",
    "macaskill-fpv": "macaskill-pooled",
    "macaskill-fiv": "macaskill",
    "debray-fiv": "debray",
    "debray-fav": "debray-approximate",
}
SMALLER = "smaller studies"
# What is small of the studies of a test, where it is not their size.
WHICH = {
    "harbord": "studies with less information",
    "schwarzer": "studies with less information",
    "debray": "studies with fewer events",
    "debray-approximate": "studies with fewer events",
}
SURVIVAL = ("debray", "debray-approximate")
HALF = 0.5


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CountsTest(BiasTest):
    """A test of funnel asymmetry made for events.

    Attributes
    ----------
    method : str
        Which test.
    scale : str
        What was regressed or ranked, in words: "log odds ratio".
    coef, se : float
        Slope and its standard error; for Schwarzer's test concordant minus discordant pairs.
    tau2 : float
        Between-study variance of Rücker's test; NaN for the others.
    dispersion : float
        Factor on the variances; 1 where it is not estimated.
    corrected : int
        Number of studies with a zero cell, to whose cells 0.5 was added.
    """

    method: str
    scale: str
    coef: float
    se: float
    tau2: float
    dispersion: float
    corrected: int

    @property
    def name(self) -> str:  # type: ignore[override]
        """Name of the test."""
        return METHODS[self.method][0]

    @property
    def sentence(self) -> str:
        """The test and which way small studies differ, in one plain sentence."""
        if np.isnan(self.statistic):
            return f"{self.name}: not testable, because the effects have no spread."
        df = f"({self.test.df[0]:.4g})" if self.test.df else ""
        grows_with_size = self.method.startswith("macaskill")
        up = self.coef < 0 if grows_with_size else self.coef > 0
        way = f"the {self.scale} is {'higher' if up else 'lower'} in {WHICH.get(self.method, SMALLER)}"
        if not self.pvalue < SUGGESTIVE:
            way = f"whether the {self.scale} differs in {WHICH.get(self.method, SMALLER)} is not clear"
        what = "score" if self.method == "schwarzer" else "slope"
        found = f"{self.test.distribution}{df} = {number(self.statistic)}, {p_value(self.pvalue)}"
        size = slope_words(self.coef, self.se, what)
        return f"{self.name}: {found}; {way} ({size})."

    def to_frame(self) -> pd.DataFrame:
        """Return one row: method, k, scale, coef, se, tau2, and the columns of the test."""
        frame = super().to_frame()
        for place, name in enumerate(("scale", "coef", "se", "tau2"), start=2):
            frame.insert(place, name, getattr(self, name))
        return frame


def counts_test(
    effects: EffectSizes | FitResults, method: str = "harbord", *, odds_ratio: float | None = None
) -> CountsTest:
    r"""Test tables of events for funnel asymmetry, where Egger's test finds too much of it.

    Use it for odds ratios and risk ratios with ten studies or more: a log odds ratio and its standard error
    are made of the same four counts a, b (events and no events, treated), c, d (controls), and so are
    correlated. With :math:`N = n_1 + n_2`, the tests are

    ====================  ==================================================================================
    "harbord"             :math:`Z / V` on :math:`1 / \sqrt V` with weights V: efficient score
                          :math:`Z = a - (a + c) n_1 / N` and information
                          :math:`V = n_1 n_2 (a + c)(b + d) / (N^2 (N - 1))`; for risk ratios
                          :math:`Z = (a N - (a + c) n_1) / (b + d)`, :math:`V = n_1 n_2 (a + c) / (N (b + d))`
    "peters"              log ratio on :math:`1 / N` with weights :math:`(a + c)(b + d) / N`
    "macaskill"           log ratio on N with weights 1 / v; "macaskill-pooled": the weights of Peters
    "deeks"               log ratio on :math:`1 / \sqrt{E}` with weights :math:`E = 4 n_1 n_2 / N`, the
                          effective sample size; for diagnostic odds ratios (treated: diseased)
    "schwarzer"           Kendall's tau between :math:`(a - \mathrm E a) / \sqrt{\mathrm{Var}\, a}` and
                          :math:`1 / \mathrm{Var}\, a` of the hypergeometric distribution with a common odds
                          ratio
    "ruecker"             arcsine difference on its standard error (which is made of sizes alone), with a
                          between-study variance by the estimator and test of the fit
    "debray"              log hazard ratio as given on 1 / (number of events) with weights 1 / v (FIV);
                          "debray-approximate": with weights :math:`1 / (1 / d_1 + 1 / d_2)` (FAV)
    ====================  ==================================================================================

    All regressions but Rücker's have a free dispersion and t tests with k - 2 degrees of freedom. Sterne et
    al. (2011) advise Harbord, Peters or Rücker for odds ratios, Rücker with between-study variance where
    there is heterogeneity.

    Risk ratios are tested as log risk ratios, all other tables as log odds ratios. Studies with a zero cell
    have 0.5 added to their cells for the log ratios (not for scores and weights); studies without events, or
    with events alone, are left out, but by Rücker's test; the output says how many.

    Parameters
    ----------
    effects : EffectSizes or FitResults
        Effects, or a fit without moderators, with their events and sizes: computed from tables, or with
        columns treatment_events, treatment_n, control_events, control_n in `data`. For Debray's test the
        effects as they are, with the numbers of events: treatment_events and control_events, or events.
    method : str
        Which test.
    odds_ratio : float, optional
        The common odds ratio of Schwarzer's test. Default: that of Mantel and Haenszel, without correction.

    Returns
    -------
    CountsTest
        Slope with its test.

    Raises
    ------
    UnknownChoiceError
        If the method is not known.
    InputError
        If events or sizes are not known.
    CollinearError
        If what the test is a regression on is the same in all studies.
    TooFewStudiesError
        If fewer than three studies are left.

    References
    ----------
    Harbord, R. M., Egger, M., Sterne, J. A. C. (2006). https://doi.org/10.1002/sim.2380
    Peters, J. L., et al. (2006). https://doi.org/10.1001/jama.295.6.676
    Macaskill, P., Walter, S. D., Irwig, L. (2001). https://doi.org/10.1002/sim.698
    Deeks, J. J., Macaskill, P., Irwig, L. (2005). https://doi.org/10.1016/j.jclinepi.2005.01.016
    Schwarzer, G., Antes, G., Schumacher, M. (2007). https://doi.org/10.1002/sim.2588
    Rücker, G., Schwarzer, G., Carpenter, J. (2008). https://doi.org/10.1002/sim.2971
    Debray, T. P. A., Moons, K. G. M., Riley, R. D. (2018). https://doi.org/10.1002/jrsm.1266
    Sterne, J. A. C., et al. (2011). https://doi.org/10.1136/bmj.d4002

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.effect_sizes(
    ...     "OR",
    ...     treatment_events=[2, 4, 5, 9, 12, 40],
    ...     treatment_n=[20, 25, 40, 60, 110, 400],
    ...     control_events=[8, 9, 12, 16, 20, 45],
    ...     control_n=[20, 25, 40, 60, 110, 400],
    ... )
    >>> found = mx.bias.counts_test(es, "peters")
    >>> print(f"slope {found.coef:.1f}, p {found.pvalue:.4f}")
    slope -64.5, p 0.0030
    """
    word: object = method
    plain = word.strip().casefold() if isinstance(word, str) else ""
    chosen = SPELLINGS.get(plain, plain)
    if chosen not in METHODS:
        raise UnknownChoiceError("test", method, METHODS)
    if odds_ratio is not None and (chosen != "schwarzer" or not check_number("odds_ratio", odds_ratio) > 0):
        given = f"odds_ratio is {odds_ratio!r} with method={chosen!r}"
        raise InputError(given, "a number above 0, for Schwarzer's test alone")
    est = estimates_of(effects, "counts_test", least=3)
    if chosen in SURVIVAL:
        found = _debray(est, chosen)
    else:
        table = _table(est.effects)
        found = _ruecker(est, table) if chosen == "ruecker" else _of_tables(est, table, chosen, odds_ratio)
        found = found._replace(said=(*_of_sizes(table), *_of_scale(est.effects, found.scale), *found.said))
    return CountsTest(method=chosen, **found._asdict())


class _Table(NamedTuple):
    """Events and sizes of two groups, each of shape (k,)."""

    a: Array
    n1: Array
    c: Array
    n2: Array

    @property
    def b(self) -> Array:
        return self.n1 - self.a

    @property
    def d(self) -> Array:
        return self.n2 - self.c

    @property
    def total(self) -> Array:
        return self.n1 + self.n2

    @property
    def informative(self) -> Mask:
        """Whether there are both events and people without, so that there is a ratio."""
        return np.asarray((self.a + self.c > 0) & (self.b + self.d > 0))


class _Found(NamedTuple):
    """The fields of a result, its method apart."""

    effects: EffectSizes
    said: tuple[str, ...]
    test: TestResult
    scale: str
    coef: float
    se: float
    tau2: float
    dispersion: float
    corrected: int


def _table(effects: EffectSizes) -> _Table:
    a, c = event_counts(effects)
    n1, n2 = group_sizes(effects)
    bad = np.flatnonzero((a > n1) | (c > n2))
    if bad.size:
        raise EventsError(
            f"{bad.size} of {effects.k} effects have more events than people in a group",
            "numbers of events up to the size of the group",
            "look these rows up in the source",
            [effects.row_labels[i] for i in bad],
        )
    return _Table(a, n1, c, n2)


def _of_sizes(table: _Table) -> list[str]:
    """Say that studies hardly differ in size, where standard errors differ by their events alone."""
    roots = np.sqrt(table.total)
    return [hardly_differ("sizes of the studies", table.total)] if roots.max() < SPREAD * roots.min() else []


def _of_scale(effects: EffectSizes, scale: str) -> list[str]:
    """Say that another quantity is tested than the effects are."""
    own = {"OR": "log odds ratio", "AS": "arcsine difference"}.get(effects.measure.code, effects.measure.name)
    return [] if own.startswith(scale) else [f"the {scale} is tested, not the {own}"]


def _of_tables(est: Estimates, table: _Table, method: str, odds_ratio: float | None) -> _Found:
    """Return a test of log ratios, scores or cell counts, for the studies that are informative."""
    keep = table.informative
    said: list[str] = []
    if not keep.all():
        gone = plural(int((~keep).sum()), "study", "studies")
        said.append(f"{gone} without events, or with events alone, left out: such tables have no ratio")
        if keep.sum() < 3:
            raise TooFewStudiesError(
                f"{plural(int(keep.sum()), 'study', 'studies')} with events and people without events",
                "at least three studies",
                'use method="ruecker", which keeps the others',
            )
        table = _Table(*(column[keep] for column in table))
        est = replace(est, effects=est.effects.select(keep, "no events, or events alone"))
    code = "RR" if est.effects.measure.code == "RR" else "OR"
    if method == "schwarzer":
        return _schwarzer(est, table, odds_ratio, said)
    a, n1, c, _ = table
    events, others, n = a + c, table.b + table.d, table.total
    corrected = 0
    if method == "harbord":
        if code == "RR":
            information = n1 * table.n2 * events / (n * others)
            y = (a * n - events * n1) / others / information
        else:
            information = n1 * table.n2 * events * others / (n**2 * (n - 1))
            y = (a - events * n1 / n) / information
        x, v = 1 / np.sqrt(information), 1 / information
    else:
        y, v, corrected = _log_ratios(table, code)
        if corrected:
            said.append(
                f"0.5 was added to the cells of {plural(corrected, 'study', 'studies')} with a zero cell"
            )
        effective = 4 * n1 * table.n2 / n
        pooled = n / (events * others)
        x, v = {
            "peters": (1 / n, pooled),
            "macaskill": (n, v),
            "macaskill-pooled": (n, pooled),
            "deeks": (1 / np.sqrt(effective), 1 / effective),
        }[method]
    scale = get_measure(code).name if code == "RR" else "log odds ratio"
    return _regressed(est, method, scale, (y, x, v), corrected, said)


def _log_ratios(table: _Table, code: str) -> tuple[Array, Array, int]:
    """Return log odds or risk ratios, their variances, and how many studies have 0.5 added to their cells."""
    zero = (table.a == 0) | (table.b == 0) | (table.c == 0) | (table.d == 0)
    a, b, c, d = (cell + HALF * zero for cell in (table.a, table.b, table.c, table.d))
    if code == "RR":
        y, v = np.log(a / (a + b)) - np.log(c / (c + d)), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)
    else:
        y, v = np.log(a * d / (b * c)), 1 / a + 1 / b + 1 / c + 1 / d
    return y, v, int(zero.sum())


def _regressed(
    est: Estimates,
    method: str,
    scale: str,
    columns: tuple[Array, Array, Array],
    corrected: int,
    said: list[str],
) -> _Found:
    """Return the weighted regression of y on x with variances proportional to v; `columns` are y, x and v."""
    y, x, v = columns
    words = METHODS[method][1]
    refuse_equal_sizes(words, x)
    design = INTERCEPT_ONLY.with_column(words, x).matrix(y.size)
    beta, inference, _ = dispersed(design, y, v)
    se = np.sqrt(inference.cov[1, 1])
    assert inference.df is not None
    statistic = float(wald_statistics(beta[1:], np.array([se]))[0])
    return _Found(
        effects=est.effects,
        said=(*said, *est.cautions()),
        test=make_test(statistic, "t", (inference.df,), f"effects do not change with the {words}"),
        scale=scale,
        coef=float(beta[1]),
        se=float(se),
        tau2=np.nan,
        dispersion=inference.scale,
        corrected=corrected,
    )


def _schwarzer(est: Estimates, table: _Table, odds_ratio: float | None, said: list[str]) -> _Found:
    """Return the rank correlation of cell counts, standardised by the hypergeometric distribution."""
    if any((column != np.round(column)).any() for column in table):
        raise EventsError(
            "some counts are not whole", "whole numbers for Schwarzer's test", "use another test"
        )
    if odds_ratio is None:
        odds_ratio = mantel_haenszel(table.a, table.b, table.c, table.d)
    if not 0 < odds_ratio < np.inf:
        raise EventsError(
            f"the odds ratio of Mantel and Haenszel is {odds_ratio:g}",
            "a common odds ratio between 0 and infinity",
            "hand it in as odds_ratio=, or use another test",
        )
    mean, variance = hypergeometric_moments(table.n1, table.n2, table.a + table.c, odds_ratio)
    _, score, spread, pvalue = kendall((table.a - mean) / np.sqrt(variance), 1 / variance, exact=False)
    null = "standardised cell counts and their variances are not correlated"
    statistic = score / spread if spread > 0 else np.nan
    return _Found(
        effects=est.effects,
        said=(*said, *est.cautions()),
        test=TestResult(statistic, "z", (), pvalue, null),
        scale="log odds ratio",
        coef=score,
        se=spread,
        tau2=np.nan,
        dispersion=1.0,
        corrected=0,
    )


def mantel_haenszel(a: Array, b: Array, c: Array, d: Array) -> float:
    """Return the odds ratio of Mantel and Haenszel, uncorrected; infinite or NaN if it is not defined."""
    return float(np.exp(mantel_haenszel_odds(TwoArms(a, a + b, c, c + d)).estimate))


def hypergeometric_moments(n1: Array, n2: Array, events: Array, odds_ratio: float) -> tuple[Array, Array]:
    """Return mean and variance of the events in the first group given all events, each of shape (k,)."""
    mean = np.maximum(0.0, events - n2)
    variance = np.zeros_like(mean)
    family = ConditionalSum(TwoArms(mean, n1, events - mean, n2), False)
    if family.informative:
        _, mean[family.free], variance[family.free] = family.cumulants_by_study(np.log(odds_ratio))
    return mean, variance


def _ruecker(est: Estimates, table: _Table) -> _Found:
    """Return the regression of arcsine differences on their standard errors, with between-study variance."""
    y = np.arcsin(np.sqrt(table.a / table.n1)) - np.arcsin(np.sqrt(table.c / table.n2))
    v = 1 / (4 * table.n1) + 1 / (4 * table.n2)
    arcsines = EffectSizes(y, v, "AS", study=est.effects.study or None)
    fit = RandomEffects(arcsines, dependence="accept").fit(est.method, est.test, est.level)
    found = regression_test(fit, "se", cluster=None)
    return _Found(
        effects=est.effects,
        said=found.said,
        test=replace(found.test, null=f"effects do not change with the {METHODS['ruecker'][1]}"),
        scale="arcsine difference",
        coef=found.coef,
        se=found.se,
        tau2=found.tau2,
        dispersion=1.0,
        corrected=0,
    )


def _debray(est: Estimates, method: str) -> _Found:
    """Return the regression of effects as given on the inverse of their numbers of events."""
    said: list[str] = []
    known = known_columns(est.effects)
    if method == "debray" and "events" in known:
        total = read_numbers(known["events"], "events", ndim=1, rows=est.effects.row_labels)
        v = est.v
    else:
        first, second = event_counts(est.effects, 'use method="debray" with a column events')
        total, v = first + second, est.v
        if method == "debray-approximate":
            zero = (first == 0) | (second == 0)
            if zero.any():
                words = plural(int(zero.sum()), "study", "studies")
                said.append(
                    f"0.5 was added to the events of both groups in {words} with a group without events"
                )
            v = 1 / (first + HALF * zero) + 1 / (second + HALF * zero)
    bad = np.flatnonzero(~(total >= 0) | np.isinf(total))
    if bad.size:
        raise EventsError(
            f"{bad.size} of {est.k} effects have no number of events, or a negative or infinite one",
            "a number of events for each effect",
            "fill them in, or leave these rows out with EffectSizes.select",
            [est.effects.row_labels[i] for i in bad],
        )
    if (total == 0).any():
        said.append("studies without events are taken as having one")
    x = 1 / np.where(total == 0, 1.0, total)
    scale = est.effects.measure.name
    return _regressed(est, method, scale, (est.y, x, v), 0, said)
