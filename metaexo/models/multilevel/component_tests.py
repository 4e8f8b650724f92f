"""Likelihood-ratio tests of the random terms of a multilevel fit, in large samples and by simulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import MISSING, number, p_value, percent, plural
from metaexo.immutable import frozen
from metaexo.inputs import whole_number
from metaexo.models.multilevel.fit import MultilevelFit
from metaexo.models.multilevel.profile import refuse_moments
from metaexo.models.multilevel.terms import NamedTerm
from metaexo.numeric.mixed.law import BLOCK, mixed_law
from metaexo.numeric.mixed.likelihood_ratios import likelihood_ratios
from metaexo.numeric.mixed.maximum import MixedMaximum
from metaexo.numeric.mixed.problem import MixedProblem, NotPositiveDefinite
from metaexo.numeric.mixed.structured import maximise
from metaexo.numeric.tails import chi2_tail
from metaexo.numeric.weighted import refuse_own_weights
from metaexo.readable import Readable, ReaderTable, plain
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

# A variance below this share of all is on its boundary, 0.
ON_BOUNDARY = 1e-8
# A statistic below this, relative to the log-likelihood, is 0 by rounding.
ROUNDING = 1e-11


@dataclass(frozen=True, eq=False, repr=False)
class ComponentTests(Readable):
    """A likelihood-ratio test per random term.

    Attributes
    ----------
    terms : tuple of str, length t
        The random terms.
    df : ndarray, shape (t,)
        Variances and correlations that the null hypothesis sets to 0.
    share : ndarray, shape (t,)
        Share of the term in the variance of true effects.
    statistic : ndarray, shape (t,)
        Twice what the log-likelihood gains by the term; NaN where there is none without it.
    pvalue : ndarray, shape (t,)
        By an equal mixture of 0 and chi-square with one degree of freedom, for a single variance; by
        chi-square for terms of several parameters, which is too large.
    simulated : ndarray, shape (t,)
        p-value by effects drawn under the null hypothesis; NaN without draws.
    notes : tuple of str, length t
        What to know about each test; mostly empty.
    method : str
        The likelihood: "REML" or "ML".
    draws : int
        Sets of effects that were drawn for each test.
    """

    terms: tuple[str, ...]
    df: Array
    share: Array
    statistic: Array
    pvalue: Array
    simulated: Array
    notes: tuple[str, ...]
    method: str
    draws: int

    def null(self, term: str) -> str:
        """Return the null hypothesis of a term in words."""
        return f"effects do not vary between the levels of {term}: the variance of {term} is 0"

    def to_frame(self) -> pd.DataFrame:
        """Return a row per term: share, statistic, df, pvalue, simulated, null, note."""
        import pandas as pd

        return pd.DataFrame(
            {
                "share": self.share,
                "statistic": self.statistic,
                "df": self.df.astype(int),
                "pvalue": self.pvalue,
                "simulated": self.simulated,
                "null": [self.null(term) for term in self.terms],
                "note": self.notes,
            },
            index=pd.Index(self.terms, name="term"),
        )

    def reader_tables(self) -> list[ReaderTable]:
        """Return the tests, numbers rounded."""
        header = ["term", "share", "LR", "df", "p", *(["p by simulation"] if self.draws else [])]
        rows = [
            [
                term,
                percent(share),
                number(statistic),
                f"{df:.0f}",
                MISSING if np.isnan(p) else p_value(p),
                *([MISSING if np.isnan(drawn) else p_value(drawn)] if self.draws else []),
            ]
            for term, share, statistic, df, p, drawn in zip(
                self.terms, self.share, self.statistic, self.df, self.pvalue, self.simulated, strict=True
            )
        ]
        return [ReaderTable(rows, header)]

    def table_notes(self) -> list[str]:
        """Return the null hypothesis, how p-values were found, and what to know about single tests."""
        lines = [
            "null of each test: the variance of the term is 0",
            f"likelihood-ratio tests by {self.method}; p by an equal mixture of 0 and chi-square with 1 df, "
            "because 0 is the boundary of a variance",
        ]
        if self.draws:
            lines.append(f"p by simulation: {plural(self.draws, 'draw')} from the fit without the term")
        return lines + [f"{term}: {note}" for term, note in zip(self.terms, self.notes, strict=True) if note]

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain values, for files such as JSON."""
        facts = {"method": self.method, "draws": self.draws, "tests": self.to_frame().reset_index()}
        return plain(facts)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"ComponentTests({', '.join(self.terms)})"

    def __str__(self) -> str:
        return self.to_text()


def component_tests(fit: MultilevelFit, draws: int, seed: int) -> ComponentTests:
    """Return a test of each random term; see `MultilevelResults.test_components`."""
    for refuse in (refuse_own_weights, refuse_moments):
        refuse(fit, "the likelihood-ratio test")
    count, start = whole_number(draws, "draws", 0), whole_number(seed, "seed", 0)
    terms = [(j, named) for j, named in enumerate(fit.terms) if not _is_held(fit, j)]
    if not terms:
        raise InputError("every component was held fixed", "a term whose variance was estimated")
    found = [_Test.of(fit, j, named) for j, named in terms]
    total = fit.term_variances.sum()
    return ComponentTests(
        terms=tuple(named.name for _, named in terms),
        df=frozen(np.array([float(one.df) for one in found])),
        share=frozen(
            np.array([fit.term_variances[j] / total if total > 0 else np.nan for j, _ in terms], dtype=float)
        ),
        statistic=frozen(np.array([one.statistic for one in found])),
        pvalue=frozen(np.array([one.pvalue for one in found])),
        simulated=frozen(np.array([one.simulated(fit, count, start) for one in found])),
        notes=tuple(one.note(fit) for one in found),
        method=fit.method,
        draws=count,
    )


def _is_held(fit: MultilevelFit, j: int) -> bool:
    """Say whether all parameters of a term were held fixed."""
    return all(i in fit.fixed for i in range(int(fit.problem.offsets[j]), int(fit.problem.offsets[j + 1])))


@dataclass(frozen=True, eq=False)
class _Test:
    """The test of one term."""

    position: int
    named: NamedTerm
    df: int
    null: MixedMaximum | None  # the maximum without the term; None if there is none
    statistic: float

    @classmethod
    def of(cls, fit: MultilevelFit, j: int, named: NamedTerm) -> _Test:
        """Return the test of the term at a position."""
        first, last = int(fit.problem.offsets[j]), int(fit.problem.offsets[j + 1])
        df = sum(i not in fit.fixed for i in range(first, last))
        null = _without(fit, j)
        gain = float("nan") if null is None else 2 * (fit.maximum.llf - null.llf)
        if gain < ROUNDING * (1 + abs(fit.maximum.llf)):
            gain = 0.0
        return cls(j, named, df, null, gain)

    @property
    def pvalue(self) -> float:
        """The p-value by the asymptotic distribution."""
        if np.isnan(self.statistic):
            return float("nan")
        tail = float(chi2_tail(self.statistic, self.df))
        return 0.5 * (tail + float(self.statistic <= 0)) if self._is_single else tail

    @property
    def _is_single(self) -> bool:
        return self.named.term.structure.count == 1

    def simulated(self, fit: MultilevelFit, draws: int, seed: int) -> float:
        """Return the p-value by draws from the fit without the term; NaN if there is none."""
        if not draws or self.null is None or not self._is_single:
            return float("nan")
        at = int(fit.problem.offsets[self.position])
        theta = np.insert(self.null.theta, at, 0.0)
        problem = fit.problem
        law = mixed_law(problem, problem.matrices(theta), np.zeros(fit.k))
        parts = [
            likelihood_ratios(
                problem,
                fit.method == "REML",
                law.draw(seed, i, min(i + BLOCK, draws)),
                theta,
                at,
                fit.fixed,
            )
            for i in range(0, draws, BLOCK)
        ]
        drawn = np.concatenate(parts)
        known = drawn[~np.isnan(drawn)]
        return float((1 + (known >= self.statistic - 1e-9).sum()) / (1 + known.size))

    def note(self, fit: MultilevelFit) -> str:
        """Return what to know about the test."""
        if self.null is None:
            return "no likelihood without the term: a sampling variance is 0, or V is singular"
        lines = []
        if not self._is_single:
            lines.append("several parameters: the p-value is too large")
        edge = ON_BOUNDARY * fit.term_variances.sum()
        others = [
            named.name
            for j, named in enumerate(fit.terms)
            if j != self.position and fit.term_variances[j] <= edge and not _is_held(fit, j)
        ]
        if others:
            lines.append(
                f"{', '.join(others)} at 0, on the boundary too: the mixture is approximate, simulation "
                "allows for it"
            )
        return "; ".join(lines)


def _without(fit: MultilevelFit, j: int) -> MixedMaximum | None:
    """Return the maximum of the likelihood without a term."""
    had = fit.problem
    first, last = int(had.offsets[j]), int(had.offsets[j + 1])
    shift = last - first
    fixed: Mapping[int, float] = {
        i if i < first else i - shift: value for i, value in fit.fixed.items() if not first <= i < last
    }
    terms = tuple(term for i, term in enumerate(had.terms) if i != j)
    problem: MixedProblem = replace(had, terms=terms)
    try:
        found = maximise(problem, fit.method == "REML", fixed)
    except (NotPositiveDefinite, np.linalg.LinAlgError):
        return None
    return found if isinstance(found, MixedMaximum) and np.isfinite(found.llf) else None
