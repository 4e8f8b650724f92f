"""Counts of events stratum by stratum: the model of a fit in each, and whether the strata differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.counts import EventCounts
from metaexo.errors import InputError, MetaexoError
from metaexo.formatting import MISSING, level_words, number, plural, printed
from metaexo.heterogeneity.levels import (
    as_number,
    columns_beside,
    factor_levels,
    is_unreported,
    natural_key,
    read_factors_named,
    refuse_mixed_levels,
    word_for_all,
)
from metaexo.heterogeneity.means import equality_of_separate, separate_means
from metaexo.heterogeneity.strata.between import short_words
from metaexo.heterogeneity.strata.fit import LARGE
from metaexo.immutable import Immutable
from metaexo.inputs import describe
from metaexo.models.counts.fit import CountResults
from metaexo.models.linear.contrasts import Contrasts
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit_statistics import Pooled
from metaexo.models.linear.formula import Term
from metaexo.models.linear.hypothesis import TestResult, WaldInference, make_test
from metaexo.models.linear.results import LinearResults
from metaexo.readable import ReaderTable, shows_itself, with_ratios
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

# Methods whose estimate is the maximum of the likelihood that they state.
MAXIMISED = ("ML", "EE", "CMLE")
NO_TEST = "no test between strata: {} with an estimate and a standard error"


@shows_itself
@dataclass(frozen=True, eq=False)
class CountStratum(Immutable):
    """One stratum of counts.

    Attributes
    ----------
    name : str
        The levels in words, joined by " / ".
    levels : dict of str to str
        Factor to level.
    rows : ndarray of int
        Positions of its rows in the counts of the whole fit.
    counts : EventCounts
        Its counts.
    fit : CountResults or None
        The model of this stratum; None where its counts have no estimate.
    pooled : Pooled or None
        Its pooled effect.
    note : str
        Why there is no fit; else empty.
    """

    name: str
    levels: Mapping[str, str]
    rows: Index
    counts: EventCounts
    fit: CountResults | None
    pooled: Pooled | None
    note: str

    @property
    def reported(self) -> bool:
        """Whether its studies report a level of every factor."""
        return not any(is_unreported(level) for level in self.levels.values())


@dataclass(frozen=True, eq=False, repr=False)
class CountStrata(LinearResults):
    """A subgroup analysis of counts; the coefficients are the pooled effects of the strata that have one.

    Attributes
    ----------
    by : tuple of str
        The factors.
    overall : CountResults
        The model of all rows, strata ignored.
    strata : tuple of CountStratum
        Those with most studies first, numbers by size, "not reported" last.
    between : TestResult or None
        Wald test that the strata share one effect; None if fewer than two have one.
    likelihood_ratio : TestResult or None
        The same by the likelihoods, heterogeneity included: one model for all strata against a model each.
        None where the model has no likelihood, or a stratum no fit.
    note : str
        Which strata the tests are of, or why there are none.
    design : Design
        One column per stratum with a fit.
    level : float
        Level of all intervals.
    """

    by: tuple[str, ...]
    overall: CountResults
    strata: tuple[CountStratum, ...]
    between: TestResult | None
    likelihood_ratio: TestResult | None
    note: str
    design: Design
    level: float

    def __getitem__(self, name: str) -> CountStratum:
        """Return a stratum by its name."""
        for stratum in self.strata:
            if stratum.name == name:
                return stratum
        names = ", ".join(s.name for s in self.strata)
        raise InputError(f"there is no stratum {name!r}", f"one of {names}")

    @property
    def fitted(self) -> tuple[CountStratum, ...]:
        """The strata with a fit: those whose effects are the coefficients."""
        return tuple(s for s in self.strata if s.fit is not None)

    @property
    def compared(self) -> tuple[CountStratum, ...]:
        """The strata in the tests: reported, with a finite effect and a standard error."""
        return tuple(s for s in self.fitted if s.reported and _has_error(s))

    @property
    def _key_of_all(self) -> str:
        """The name of the row of all strata."""
        return word_for_all(word for s in self.strata for word in (s.name, *s.levels.values()))

    @property
    def beta(self) -> Array:
        """Pooled effects of the fitted strata, shape (S,)."""
        return np.array([float(s.fit.beta[0]) for s in self.strata if s.fit is not None])

    @property
    def model_inference(self) -> WaldInference:
        """Covariance matrix of the pooled effects: strata are independent."""
        return separate_means(np.array([s.fit.se[0] ** 2 for s in self.strata if s.fit is not None]), None)

    def pairwise(self, adjust: str | None = "holm", level: float | None = None) -> Contrasts:
        """Return the differences between all pairs of strata with an effect, the later minus the earlier.

        Parameters
        ----------
        adjust : str, optional
            As in :func:`metaexo.models.adjust_pvalues`; None leaves the p-values as they are.
        level : float, optional
            Level of the intervals, which are not adjusted.

        Raises
        ------
        InputError
            If fewer than two strata have an effect.
        """
        names = [s.name for s in self.compared]
        if len(names) < 2:
            raise InputError("fewer than two strata have an effect to compare", "two strata to compare")
        pairs = {f"{b} minus {a}": {b: 1.0, a: -1.0} for a, b in combinations(names, 2)}
        found = self.contrast(pairs, 0.0, level, adjust)
        joint = found.joint if self.between is None else self.between
        return replace(found, joint=joint, logarithms=self.overall.measure.display_log)

    # -- for readers -------------------------------------------------------------------------------------

    def to_frame(self) -> pd.DataFrame:
        """Return one row per stratum, and one for all: counts by arm, estimate, intervals, tau2, I2, note.

        Ratio measures have the columns ratio, ratio_low and ratio_high as well.
        """
        import pandas as pd

        whole, name = self.overall, self._key_of_all
        last = _record(name, whole.counts, whole, whole.pooled(self.level), "")
        columns = columns_beside(self.by, (*last, "ratio", "ratio_low", "ratio_high"))
        rows = [
            {columns[factor]: level for factor, level in s.levels.items()}
            | _record(s.name, s.counts, s.fit, s.pooled, s.note)
            for s in self.strata
        ]
        rows.append({**dict.fromkeys(columns.values(), name), **last})
        frame = pd.DataFrame(rows)
        return with_ratios(frame) if whole.measure.display_log else frame

    def reader_tables(self) -> list[ReaderTable]:
        """Return the table of the strata, numbers rounded."""
        whole = self.overall
        rows = [_cells(s.name, s.counts, s.fit, s.pooled) for s in self.strata]
        rows.append(_cells(self._key_of_all, whole.counts, whole, whole.pooled(self.level)))
        arms = ["events / n"] if whole.counts.arms == 1 else ["treated", "control"]
        shown = whole.measure.display.lower() if whole.measure.rescaled else whole.scale
        header = ["stratum", "rows", *arms, shown, f"{level_words(self.level)} interval"]
        if not whole.is_random:
            rows = [row[:-1] for row in rows]
        return [ReaderTable(rows, [*header, "tau"] if whole.is_random else header)]

    def table_notes(self) -> list[str]:
        """Return the lines below the table: the model, the tests, and why strata have no estimate."""
        family = self.overall.family_lines()
        lines = [f"{family.model} in each stratum by {' x '.join(self.by)}, {self.overall.scale}"]
        lines += [f"between strata: {test}" for test in (self.between, self.likelihood_ratio) if test]
        lines += [self.note, *(f"{s.name}: {s.note}" for s in self.strata if s.note)]
        return [*lines, *self.overall.count_lines(), str(self.overall.ledger)]

    def facts(self) -> dict[str, Any]:
        """Return what the strata know beyond their effects; it goes into `to_dict`."""
        return {
            "by": self.by,
            "measure": self.overall.measure.code,
            "strata": self.to_frame(),
            "between": self.between,
            "likelihood_ratio": self.likelihood_ratio,
            "note": self.note,
            "digest": self.overall.digest,
        }

    @printed
    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        strata = plural(len(self.strata), "stratum", "strata")
        return f"CountStrata(by {', '.join(self.by)}: {strata}, k = {self.overall.k})"


def stratify_counts(fit: CountResults, by: str | Sequence[str]) -> CountStrata:
    r"""Fit the model of counts of events in each stratum, and test whether the strata differ.

    Use it to ask whether risks, or the effect on them, differ between exosome sources, isolation methods or
    routes. Each stratum has the model of the fit: its method, test, level and rule for zeros. A stratum whose
    counts have no estimate, for example without any event, is shown with its counts and the reason. The test
    between S strata is Wald's: with effects :math:`b_s`, weights :math:`w_s = 1 / se_s^2` and their weighted
    mean :math:`\bar b`, :math:`\sum w_s (b_s - \bar b)^2` is chi-square on S - 1 degrees of freedom; where
    every stratum has a likelihood, the likelihood ratio is beside it. Studies that do not report a factor are
    a separate stratum, which is not in the tests.

    Parameters
    ----------
    fit : CountResults
        A fit of a model of counts without moderators, such as :class:`metaexo.MantelHaenszel`.
    by : str or sequence of str
        One column of the counts' data or more; several are crossed.

    Returns
    -------
    CountStrata
        The strata with their fits and the tests between them.

    Raises
    ------
    InputError
        If the fit is of no model of counts, or has moderators.
    UnknownChoiceError
        If a factor is not a column.

    References
    ----------
    Borenstein, M., Higgins, J. P. T. (2013). Meta-analysis and subgroups. Prevention Science 14, 134-143.
    https://doi.org/10.1007/s11121-013-0377-7

    Examples
    --------
    >>> import numpy as np
    >>> import metaexo as mx
    >>> counts = mx.event_counts(mx.load_dataset("bcg"))
    >>> found = mx.stratify_counts(mx.MantelHaenszel(counts, "RR").fit(), by="allocation")
    >>> [(s.name, s.counts.k, round(float(np.exp(s.pooled.estimate)), 2)) for s in found.strata]
    [('random', 7, 0.7), ('systematic', 4, 0.64), ('alternate', 2, 0.49)]
    >>> print(found.between)
    chi2(2) = ...
    """
    if not isinstance(fit, CountResults):
        raise InputError(
            f"the fit is {describe(fit)}",
            "a fit of a model of counts",
            "mx.stratify(effects, by=...) takes effects; fit counts first: mx.MantelHaenszel(counts).fit()",
        )
    if fit.design.x is not None:
        raise InputError(
            "the fit has moderators, and strata take their place",
            "a fit without moderators",
            "fit the model without them, or add the factor to the moderators",
        )
    factors = read_factors_named(by)
    refuse_mixed_levels(fit.effects, factors)
    strata = _in_order(_strata(fit, factors))
    held = [s for s in strata if s.fit is not None]
    design = _design(fit.k, held, factors)
    compared = [i for i, s in enumerate(held) if s.reported and _has_error(s)]
    names = [held[i].name for i in compared]
    out = [s.name for s in strata if s.name not in names]
    small = [i for i in compared if held[i].counts.m < LARGE]
    if len(compared) < 2:
        note = NO_TEST.format(plural(len(compared), "stratum", "strata"))
        return CountStrata(factors, fit, tuple(strata), None, None, note, design, fit.level)
    fits = [s.fit for s in held if s.fit is not None]
    means = separate_means(np.array([one.se[0] ** 2 for one in fits]), None)
    beta = np.array([one.beta[0] for one in fits])
    between = equality_of_separate(means, beta, np.array(compared, dtype=np.intp))
    note = f"tests over {plural(len(compared), 'stratum', 'strata')}" + (
        f"; {', '.join(out)} left out" if out else ""
    )
    if small:
        left = np.array([i for i in compared if i not in small], dtype=np.intp)
        without = equality_of_separate(means, beta, left) if left.size > 1 else None
        few = ", ".join(held[i].name for i in small)
        words = f"no test, {len(left)} left" if without is None else short_words(without)
        note += f"; without strata of fewer than three studies ({few}): {words}"
    ratio = _likelihood_ratio(fit, strata) if len(compared) == len(strata) else None
    return CountStrata(factors, fit, tuple(strata), between, ratio, note, design, fit.level)


def _strata(fit: CountResults, factors: tuple[str, ...]) -> list[CountStratum]:
    """Return the strata with their fits, or with the words why they have none."""
    columns = [factor_levels(fit.effects, factor) for factor in factors]
    cells: dict[tuple[str, ...], list[int]] = {}
    for i, cell in enumerate(zip(*columns, strict=True)):
        cells.setdefault(cell, []).append(i)
    found = []
    for cell, members in cells.items():
        rows: Index = np.array(members, dtype=np.intp)
        name = " / ".join(cell)
        counts = fit.counts.select(rows, f"not in stratum {name}")
        one: CountResults | None = None
        pooled, note = None, ""
        try:
            one = fit.on(counts, fit.design.at(rows))
            pooled = one.pooled()
        except MetaexoError as error:
            one, note = None, error.given
        found.append(
            CountStratum(name, dict(zip(factors, cell, strict=True)), rows, counts, one, pooled, note)
        )
    return found


def _in_order(strata: Sequence[CountStratum]) -> list[CountStratum]:
    """Return strata that are numbers by size, others by their number of studies; "not reported" last."""
    reported = [level for s in strata if s.reported for level in s.levels.values()]
    numbers = all(as_number(level) is not None for level in reported)

    def place(s: CountStratum) -> tuple[object, ...]:
        levels = [natural_key(level) for level in s.levels.values()]
        return (not s.reported, 0 if numbers else -s.counts.m, levels)

    return sorted(strata, key=place)


def _has_error(stratum: CountStratum) -> bool:
    """Say whether a stratum has a finite effect with a standard error."""
    fit = stratum.fit
    return fit is not None and bool(np.isfinite(fit.beta[0]) and np.isfinite(fit.se[0]) and fit.se[0] > 0)


def _design(k: int, strata: Sequence[CountStratum], by: tuple[str, ...]) -> Design:
    """Return the design with one mean per stratum; rows of other strata have zeros."""
    x = np.column_stack([np.zeros((k, 0)), *(np.isin(np.arange(k), s.rows) for s in strata)])
    names = tuple(s.name for s in strata)
    terms = (Term(" x ".join(by), tuple(range(len(names)))),) if names else ()
    return Design(x, names, None, added=False, terms=terms, moderators=names)


def _likelihood_ratio(fit: CountResults, strata: Sequence[CountStratum]) -> TestResult | None:
    """Return the test of one model for all strata against a model each."""
    fits = [s.fit for s in strata if s.fit is not None]
    if fit.method not in MAXIMISED:
        return None
    whole, parts = fit.fit_statistics(), [one.fit_statistics() for one in fits]
    df = sum(part.parameters for part in parts) - whole.parameters
    statistic = 2 * (sum(part.llf for part in parts) - whole.llf)
    words = (
        "all strata share one effect and one heterogeneity"
        if fit.is_random
        else "all strata share one effect"
    )
    return None if df < 1 else make_test(max(0.0, statistic), "chi2", (float(df),), words)


def _arms(counts: EventCounts) -> list[str]:
    """Return events and sizes of each arm, in words."""
    return [
        f"{int(x):,} / {n:,.10g}"
        for x, n in zip(counts.events.sum(axis=0), counts.totals.sum(axis=0), strict=True)
    ]


def _cells(name: str, counts: EventCounts, fit: CountResults | None, pooled: Pooled | None) -> list[str]:
    cells = [name, str(counts.k), *_arms(counts)]
    if fit is None or pooled is None:
        return [*cells, MISSING, MISSING, MISSING]
    shown = [float(x) for x in back_pooled(fit.effects, [pooled.estimate, pooled.low, pooled.high])]
    middle, low, high = (_cell(x, fit.measure.display_log) for x in shown)
    return [*cells, middle, f"{low} to {high}", number(fit.tau)]


def _cell(value: float, ratio: bool) -> str:
    """Return a ratio with two decimals, or another number, such as a risk, with three."""
    if ratio and 0 < value < SMALLEST:
        return f"< {SMALLEST}"
    return number(value, 2 if ratio else 3)


SMALLEST = 0.005  # ratio that two decimals show


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _record(
    name: str, counts: EventCounts, fit: CountResults | None, pooled: Pooled | None, note: str
) -> dict[str, Any]:
    prefixes = ("",) if counts.arms == 1 else ("treatment_", "control_")
    size = "time" if counts.person_time else "n"
    found: dict[str, Any] = {"stratum": name, "k": counts.k, "m": counts.m}
    for j, prefix in enumerate(prefixes):
        found[f"{prefix}events"] = float(counts.events[:, j].sum())
        found[f"{prefix}{size}"] = float(counts.totals[:, j].sum())
    numbers = ("estimate", "se", "low", "high", "prediction_low", "prediction_high")
    found |= {key: np.nan if pooled is None else _number(getattr(pooled, key)) for key in numbers}
    found |= {key: np.nan if fit is None else getattr(fit, key) for key in ("tau2", "i2")}
    return found | {"note": note}
