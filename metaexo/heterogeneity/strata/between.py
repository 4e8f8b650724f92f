"""Tests between strata side by side: by formula and by permutation, with all strata and without small ones.

A stratum of two clusters (studies, laboratories) has a mean that rests on one degree of freedom, and one such
stratum can make a test between many. So each test is made again without strata of fewer than three clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from metaexo.errors import MetaexoError
from metaexo.formatting import MISSING, level_words, number, p_value, percent, plural, printed
from metaexo.heterogeneity.levels import STUDY
from metaexo.heterogeneity.strata.comparisons import permute_strata
from metaexo.heterogeneity.strata.estimation import (
    JOIN,
    Choices,
    Means,
    means_of_strata,
    name_of_test,
    test_of_means,
)
from metaexo.heterogeneity.strata.fit import LARGE, StrataFit, Stratum
from metaexo.immutable import Immutable
from metaexo.inputs import whole_number
from metaexo.models.linear.hypothesis import TestResult
from metaexo.readable import Readable, ReaderTable, plain, shows_itself

if TYPE_CHECKING:
    import pandas as pd

Fit = TypeVar("Fit", bound=StrataFit)
ALL = "all strata"
SAME = "no stratum{} has fewer than three {}: the same test"


# -- without strata of two clusters --------------------------------------------------------------------------


def kept_strata(results: StrataFit) -> tuple[Stratum, ...]:
    """Return the strata without those of two clusters that are in tests between strata."""
    out = {s.name for s in results.small}
    return tuple(s for s in results.strata if s.name not in out)


def test_without_small(results: StrataFit) -> tuple[TestResult | None, str, str]:
    """Return the test between strata without those of two clusters, its name, and what to do without one.

    Separate means stay as they are: clusters that two strata share change no mean, and no variance, of a
    third. One variance for all, and smoothed ones, are estimated again from the strata that are left.
    """
    kept = [s for s in kept_strata(results) if s.fit is not None]
    compared = [s.name for s in kept if s in results.compared]
    if len(compared) < 2:
        left = f"{plural(len(compared), 'stratum', 'strata')} with three or more {units(results)}"
        return None, f"no test: {left}", JOIN
    clustered = results.clusters is not None
    if results.tau2_mode == "separate":
        names = [s.name for s in results.fitted]
        means = Means(results.fits, results.estimates, results.inference, clustered, units(results))
    else:
        names = [s.name for s in kept]
        choices = Choices(results.method, results.test, results.level)
        means = means_of_strata(results.effects, kept, results.clusters, results.tau2_mode, choices)
    return test_of_means(means, names, compared, results.tau2_mode, results.method)


def with_test_without_small(results: Fit) -> Fit:
    """Return strata that say what their test is without strata of two clusters, where there are any."""
    if not results.small or len(results.compared) < 2:
        return results
    test, note, _ = test_without_small(results)
    words = f"without {words_of_small(results)}: {note if test is None else short_words(test)}"
    return replace(results, between_without=test, between_note=f"{results.between_note}; {words}")


def repr_words(results: StrataFit) -> str:
    """Return both p-values for a repr where there are strata of two clusters; else nothing."""
    if not results.small or results.between is None:
        return ""
    without = results.between_without
    found = "no test" if without is None else p_value(without.pvalue)
    whole = p_value(results.between.pvalue)
    return f"; between strata {whole}, without strata of two {units(results)} {found}"


def words_of_small(results: StrataFit) -> str:
    """Return which strata have two clusters, in words: "strata of two studies (milk)"."""
    return f"strata of two {units(results)} ({', '.join(s.name for s in results.small)})"


def units(results: StrataFit) -> str:
    """Return what tests between strata count: studies, or clusters of them."""
    return "studies" if results.clusters is None or results.cluster == STUDY else "clusters"


def short_words(test: TestResult) -> str:
    """Return a test in words without its null hypothesis."""
    return str(test).replace(f" (null: {test.null})", "")


# -- side by side --------------------------------------------------------------------------------------------


@shows_itself
@dataclass(frozen=True, eq=False)
class BetweenTest(Immutable):
    """One of several tests between the same strata.

    Attributes
    ----------
    name : str
        The test and its strata in words: "cluster-robust test (CR2), all strata".
    strata : tuple of str
        The strata that are compared.
    left_out : tuple of str
        The strata of two clusters that are not.
    statistic : float
        Its statistic; NaN without a test.
    df : tuple of float
        Degrees of freedom: two for F, one for chi-square, none for permutations.
    pvalue : float
        Its p-value; NaN without a test.
    note : str
        What limits it, or why there is no test and what to do.
    smallest : float
        The smallest p-value that it can have: with few studies above the level, so that a permutation test
        cannot show anything. 0 for tests by formula.
    """

    name: str
    strata: tuple[str, ...]
    left_out: tuple[str, ...]
    statistic: float
    df: tuple[float, ...]
    pvalue: float
    note: str
    smallest: float = 0.0

    def decides(self, level: float) -> bool:
        """Return whether it has a p-value, and could have one below 1 - level."""
        return not np.isnan(self.pvalue) and self.smallest < 1 - level


@dataclass(frozen=True, eq=False, repr=False)
class BetweenTests(Readable):
    """Tests between strata side by side: by formula and by permutation, with and without small strata.

    Attributes
    ----------
    formula, formula_without : BetweenTest
        The test of the fit (cluster-robust where effects share clusters), with all strata and without strata
        of fewer than three clusters.
    permutation, permutation_without : BetweenTest
        The permutation test of whole clusters, likewise.
    level : float
        Level of the fit: tests disagree where one p-value is below 1 - level and the other is not.
    """

    formula: BetweenTest
    formula_without: BetweenTest
    permutation: BetweenTest
    permutation_without: BetweenTest
    level: float

    def __iter__(self) -> Iterator[BetweenTest]:
        """Iterate over the tests, in the order of the table."""
        yield from (self.formula, self.formula_without, self.permutation, self.permutation_without)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per test: test, strata, number, left_out, statistic, df1, df2, pvalue, note.

        `strata` and `left_out` are names ("none" where nothing is left out), `number` counts the strata that
        are compared. Degrees of freedom that a test does not have are missing; so are statistic and p-value
        without a test, and the note says why.
        """
        import pandas as pd

        rows = []
        for test in self:
            df = (*test.df, np.nan, np.nan)[:2]
            names = {"strata": ", ".join(test.strata) or "none", "number": len(test.strata)}
            found = {"statistic": test.statistic, "df1": df[0], "df2": df[1], "pvalue": test.pvalue}
            out = ", ".join(test.left_out) or "none"
            rows.append({"test": test.name, **names, "left_out": out, **found, "note": test.note})
        return pd.DataFrame(rows)

    def reader_tables(self) -> list[ReaderTable]:
        """Return the tests with rounded numbers; strata by their number."""
        rows = [
            [
                test.name,
                str(len(test.strata)),
                number(test.statistic),
                ", ".join(f"{d:.4g}" for d in test.df) or MISSING,
                p_value(test.pvalue).removeprefix("p = ").removeprefix("p "),
            ]
            for test in self
        ]
        return [ReaderTable(rows, ["test", "strata", "statistic", "df", "p"])]

    def table_notes(self) -> list[str]:
        """Return which strata are left out, and the note on each test, those of the same words once."""
        out = self.formula_without.left_out
        lines = [f"left out: {', '.join(out)}"] if out else []
        return [*lines, *dict.fromkeys(f"{test.name}: {test.note}" for test in self if test.note)]

    def cautions(self) -> tuple[str, ...]:
        """Return where the tests disagree at the level: one p-value below it, the other not.

        A permutation test of so few studies that no arrangement is below the level disagrees with none.
        """
        alone = "neither alone settles whether strata differ"
        pairs = [(self.formula, self.permutation, alone)]
        if self.formula_without.left_out:
            rests = f"what is found rests on {', '.join(self.formula_without.left_out)}"
            pairs += [
                (self.formula_without, self.permutation_without, alone),
                (self.formula, self.formula_without, rests),
                (self.permutation, self.permutation_without, rests),
            ]
        level = percent(1 - self.level)
        return tuple(
            f"{one.name} ({p_value(one.pvalue)}), and {other.name} ({p_value(other.pvalue)}), disagree at "
            f"the {level} level: {meaning}"
            for one, other, meaning in pairs
            if self._disagree(one, other)
        )

    def _disagree(self, one: BetweenTest, other: BetweenTest) -> bool:
        alpha = 1 - self.level
        known = one.decides(self.level) and other.decides(self.level)
        return known and (one.pvalue < alpha) != (other.pvalue < alpha)

    def to_dict(self) -> dict[str, Any]:
        """Return the tests as plain values: one record per test, the level, and the cautions."""
        return {"tests": plain(self.to_frame()), "level": self.level, "cautions": list(self.cautions())}

    @printed
    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"BetweenTests({len(self.formula.strata)} strata, {level_words(self.level)})"


def between_tests(results: StrataFit, seed: int, permutations: int) -> BetweenTests:
    """Return all tests between strata; see `StratifiedResults.between_tests`."""
    permutations = whole_number(permutations, "permutations", 19)
    seed = whole_number(seed, "seed", 0)
    without = f"without strata of two {units(results)}"
    clustered = results.clusters is not None
    means = Means(results.fits, results.estimates, results.inference, clustered, units(results))
    name = name_of_test(means)
    names, compared = [s.name for s in results.fitted], [s.name for s in results.compared]
    of_fit = test_of_means(means, names, compared, results.tau2_mode, results.method)
    permuted = f"permutation of whole {units(results)}"
    same = "" if results.small or of_fit[0] is None else _same(results)
    fewer = replace(results, strata=kept_strata(results))
    return BetweenTests(
        formula=_by_formula(f"{name}, {ALL}", of_fit, results, ()),
        formula_without=_noted(
            _by_formula(f"{name}, {without}", test_without_small(results), fewer, results.small), same
        ),
        permutation=_by_permutation(f"{permuted}, {ALL}", results, (), seed, permutations),
        permutation_without=_noted(
            _by_permutation(f"{permuted}, {without}", fewer, results.small, seed, permutations), same
        ),
        level=results.level,
    )


def _same(results: StrataFit) -> str:
    """Return why a test without strata of two clusters is the same; strata of one cluster are in no test."""
    single = any(results.clusters_in(s) < LARGE for s in results.strata)
    return SAME.format(" that is compared" if single else "", units(results))


def _by_formula(
    name: str, found: tuple[TestResult | None, str, str], results: StrataFit, out: tuple[Stratum, ...]
) -> BetweenTest:
    test, why, remedy = found
    strata, left_out = tuple(s.name for s in results.compared), tuple(s.name for s in out)
    if test is None:
        return BetweenTest(name, strata, left_out, np.nan, (), np.nan, f"{why}; what to do: {remedy}")
    return BetweenTest(
        name, strata, left_out, test.statistic, test.df, test.pvalue, "; ".join(test.cautions())
    )


def _by_permutation(
    name: str, results: StrataFit, out: tuple[Stratum, ...], seed: int, permutations: int
) -> BetweenTest:
    strata, left_out = tuple(s.name for s in results.compared), tuple(s.name for s in out)
    try:
        found = permute_strata(results, permutations, permutations, seed)
    except MetaexoError as error:
        why = f"no test: {error.given}; what to do: {error.remedy}"
        return BetweenTest(name, strata, left_out, np.nan, (), np.nan, why)
    return BetweenTest(name, strata, left_out, found.statistic, (), found.pvalue, found.how, found.smallest)


def _noted(test: BetweenTest, words: str) -> BetweenTest:
    """Return a test with a remark before its note."""
    return replace(test, note="; ".join(part for part in (words, test.note) if part))
