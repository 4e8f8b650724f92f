"""Linear combinations of coefficients, term tests, and p-values adjusted for several of them.

A combination L b has covariance L C L'. With one row it is tested by its ratio to its standard error, with
several together by the Wald statistic (L b - c)' (L C L')^-1 (L b - c).

Variance inflation says how much correlation among the coefficients widens their intervals. With R their
correlation matrix (the intercept left out), the generalised factor of a set of them is
|R_set| |R_others| / |R|; for a single coefficient this is the diagonal of the inverse of R.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike

from metaexo.errors import InputError, NotIdentifiableError, ShapeError
from metaexo.formatting import interval, number, p_value, percent, printed
from metaexo.immutable import lock
from metaexo.inputs import LARGEST, check_choice, check_number, read_numbers
from metaexo.models.linear.cautions import cautions_of_estimates
from metaexo.models.linear.choices import get_adjustment
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import Coefficients, LinearFit
from metaexo.models.linear.formula import Term
from metaexo.models.linear.hypothesis import (
    TestResult,
    combine,
    quantiles,
    two_sided_pvalues,
    wald_statistics,
)
from metaexo.readable import Readable, ReaderTable, plain, with_ratios
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd


ByName = Mapping[str, float]
Weights = str | Sequence[str] | ByName | Sequence[ByName] | Mapping[str, ByName] | ArrayLike

# What readers call the adjustments, and what statsmodels does.
ADJUSTMENTS = {
    "bonferroni": "bonferroni",
    "holm": "holm",
    "sidak": "sidak",
    "holm-sidak": "holm-sidak",
    "hochberg": "simes-hochberg",
    "hommel": "hommel",
    "benjamini-hochberg": "fdr_bh",
    "benjamini-yekutieli": "fdr_by",
}


def adjust_pvalues(pvalues: ArrayLike, how: str) -> Array:
    """Return p-values adjusted for their number.

    Use it where several tests answer one question; Holm's keeps the chance of any false claim below the
    level whatever the dependence.

    Parameters
    ----------
    pvalues : array_like, shape (q,)
        Unadjusted p-values.
    how : {"holm", "bonferroni", "sidak", "holm-sidak", "hochberg", "hommel", "benjamini-hochberg", \
"benjamini-yekutieli"}
        The last two bound the expected share of false claims instead.

    Returns
    -------
    ndarray, shape (q,)
        Adjusted p-values, at most 1; NaN stays NaN and does not count.

    Raises
    ------
    UnknownChoiceError
        If `how` is not known.

    References
    ----------
    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of
    Statistics 6, 65-70. https://www.jstor.org/stable/4615733
    Benjamini, Y., Hochberg, Y. (1995). https://doi.org/10.1111/j.2517-6161.1995.tb02031.x

    Examples
    --------
    >>> adjust_pvalues([0.01, 0.04, 0.03], "holm").round(3)
    array([0.03, 0.06, 0.06])
    """
    how = get_adjustment(how, ADJUSTMENTS)
    p = read_numbers(pvalues, "pvalues", ndim=1)
    if ((p < 0) | (p > 1)).any():
        raise InputError("some p-values lie outside 0 to 1", "p-values from 0 to 1, NaN where there is none")
    known = ~np.isnan(p)
    out = np.full(p.shape, np.nan)
    if known.any():
        out[known] = _holm(p[known]) if how == "holm" else _multipletests(p[known], how)
    return out


def _holm(p: Array) -> Array:
    """Return p-values by Holm. It is the default of pairs: statsmodels takes a second to load for it."""
    order = np.argsort(p)
    out = np.empty(p.size)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)), 1.0)
    return out


def _multipletests(p: Array, how: str) -> Array:
    from statsmodels.stats.multitest import multipletests

    return np.asarray(multipletests(p, method=ADJUSTMENTS[how])[1])


def estimate_rows(
    what: str,
    names: Sequence[str],
    numbers: tuple[Array, Array, Array, Array, Array],
    df: Array | None,
    level: float,
    se: str = "SE",
) -> tuple[list[list[str]], list[str]]:
    """Return rows and header of a table of estimates for readers; with a column df where they differ.

    `what` says what the names are, `se` what the standard errors are called. The numbers are estimates,
    standard errors, ends of the intervals and p-values, each of shape (q,); df is None for z.
    """
    rows = [
        [name, number(b, 4), number(error, 4), interval(low, high, 4), p_value(p)]
        for name, b, error, low, high, p in zip(names, *numbers, strict=True)
    ]
    header = [what, "estimate", se, f"{percent(level)} interval", "p"]
    if df is not None and np.ptp(df) > 0:
        header.insert(4, "df")
        for row, one in zip(rows, df, strict=True):
            row.insert(4, number(one, 1))
    return rows, header


@dataclass(frozen=True, eq=False, repr=False)
class Contrasts(Readable):
    """Linear combinations of coefficients, each with its test and interval, and their joint test.

    Attributes
    ----------
    names : tuple of str
        What the combinations are called.
    weights : ndarray, shape (q, p)
        The combinations, one per row.
    null : ndarray, shape (q,)
        Values under the null hypothesis.
    estimate, se, statistic, pvalue, low, high : ndarray, shape (q,)
        Estimates with standard errors, tests against `null`, and intervals.
    df : ndarray, shape (q,), or None
        Degrees of freedom of the t distributions; None for z.
    adjusted : ndarray, shape (q,), or None
        p-values adjusted for their number.
    adjustment : str or None
        How they were adjusted.
    level : float
        Level of the intervals, which are not adjusted.
    joint : TestResult
        Test of all combinations together; its statistic is NaN where the rows are linearly dependent.
    logarithms : bool
        Whether the estimates are logarithms of ratios; tables then show the ratios as well.
    """

    names: tuple[str, ...]
    weights: Array
    null: Array
    estimate: Array
    se: Array
    statistic: Array
    pvalue: Array
    low: Array
    high: Array
    df: Array | None
    adjusted: Array | None
    adjustment: str | None
    level: float
    joint: TestResult
    logarithms: bool = False

    def to_frame(self) -> pd.DataFrame:
        """Return one row per combination: estimate, se, statistic, df, pvalue, low, high, adjusted.

        Of ratio measures it has the columns ratio, ratio_low and ratio_high as well.
        """
        import pandas as pd

        columns: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("estimate", "se", "statistic", "df", "pvalue", "low", "high")
        }
        if self.df is None:
            del columns["df"]
        if self.adjusted is not None:
            columns["adjusted"] = self.adjusted
        table = pd.DataFrame(columns, index=pd.Index(self.names, name="contrast"))
        return with_ratios(table) if self.logarithms else table

    def reader_tables(self) -> list[ReaderTable]:
        """Return the combinations, numbers rounded."""
        numbers = (self.estimate, self.se, self.low, self.high, self.pvalue)
        rows, header = estimate_rows("contrast", self.names, numbers, self.df, self.level)
        if self.adjusted is not None:
            header.append(f"{self.adjustment} p")
            rows = [[*row, p_value(p)] for row, p in zip(rows, self.adjusted, strict=True)]
        if self.logarithms:
            header.append("ratio (exp)")
            shown = self.to_frame()[["ratio", "ratio_low", "ratio_high"]].to_numpy()
            cells = [f"{number(b, 3)} ({interval(low, high, 3)})" for b, low, high in shown]
            rows = [[*row, cell] for row, cell in zip(rows, cells, strict=True)]
        return [ReaderTable(rows, header)]

    def table_notes(self) -> list[str]:
        """Return the joint test."""
        return [f"together: {self.joint}"]

    def cautions(self) -> tuple[str, ...]:
        """Return what to know about tests and intervals: few degrees of freedom, no width."""
        return cautions_of_estimates(self.names, self.se, self.df)

    def __repr__(self) -> str:
        return f"Contrasts({', '.join(self.names)})"


@dataclass(frozen=True, eq=False, repr=False)
class TermTests(Readable):
    """A test of each term of a model: all its coefficients are zero.

    Attributes
    ----------
    tests : dict of str to TestResult
        Term to test.
    columns : dict of str to tuple of str
        Term to the names of its coefficients.
    adjusted : dict of str to float, or None
        p-values adjusted for their number.
    """

    tests: dict[str, TestResult]
    columns: dict[str, tuple[str, ...]]
    adjusted: dict[str, float] | None = None

    def __getitem__(self, term: str) -> TestResult:
        """Return the test of one term."""
        check_choice("term", term, tuple(self.tests))
        return self.tests[term]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per term: coefficients, distribution, statistic, df1, df2, pvalue, adjusted."""
        import pandas as pd

        tests = pd.concat([test.to_frame() for test in self.tests.values()], ignore_index=True)
        frame = tests[["distribution", "statistic", "df1", "df2", "pvalue"]]
        frame.insert(0, "term", list(self.tests))
        frame.insert(1, "coefficients", [len(self.columns[term]) for term in self.tests])
        return frame if self.adjusted is None else frame.assign(adjusted=list(self.adjusted.values()))

    def to_dict(self) -> dict[str, Any]:
        """Return the tests as plain values: one record per term."""
        return {"terms": plain(self.to_frame())}

    @printed
    def __str__(self) -> str:
        return "\n".join(f"{term}: {test}" for term, test in self.tests.items())

    def __repr__(self) -> str:
        return f"TermTests({', '.join(self.tests)})"


def read_weights(design: Design, weights: Weights) -> tuple[tuple[str, ...], Array]:
    """Return the names and rows, shape (q, p), of combinations written in one of several ways."""
    if isinstance(weights, str):
        _refuse_difference(design, weights)
        return (weights,), _row(design, {weights: 1.0})[None]
    if isinstance(weights, Mapping):
        if weights and all(isinstance(value, Mapping) for value in weights.values()):
            rows = [_row(design, row) for row in weights.values()]  # type: ignore[arg-type]
            return tuple(map(str, weights)), np.array(rows)
        row = _row(design, weights)  # type: ignore[arg-type]
        return (_in_words(design, row),), row[None]
    if isinstance(weights, list | tuple) and weights and all(isinstance(row, Mapping) for row in weights):
        found = [_row(design, cast("Mapping[str, float]", row)) for row in weights]
        return tuple(_in_words(design, row) for row in found), np.array(found)
    if isinstance(weights, Sequence) and weights and all(isinstance(name, str) for name in weights):
        names = tuple(map(str, weights))
        return names, np.array([_row(design, {name: 1.0}) for name in names])
    table = np.atleast_2d(read_numbers(weights, "weights"))
    if table.ndim != 2 or table.shape[1] != design.p or not (np.abs(table) <= LARGEST).all():
        raise ShapeError(
            f"the weights have shape {table.shape}",
            f"numbers from -{LARGEST:g} to {LARGEST:g}, one column for each of {', '.join(design.names)}",
        )
    return tuple(_in_words(design, row) for row in table), table


def _refuse_difference(design: Design, text: str) -> None:
    """Refuse "a - b", which is no coefficient, with the weights that mean it."""
    for at in (i for i, letter in enumerate(text) if letter == "-" and text not in design.names):
        first, second = text[:at].strip(), text[at + 1 :].strip()
        if first in design.names and second in design.names:
            meant = {first: 1, second: -1}
            raise InputError(f"{text!r} is no coefficient", "the weights by name", f"write contrast({meant})")


def _row(design: Design, weights: Mapping[str, float]) -> Array:
    row = np.zeros(design.p)
    for name, weight in weights.items():
        check_choice("coefficient", name, design.names)
        row[design.names.index(name)] = check_number(f"the weight of {name}", weight)
    if not (np.abs(row) <= LARGEST).all():
        raise InputError(
            "a weight is missing, infinite or too large", f"weights from -{LARGEST:g} to {LARGEST:g}"
        )
    return row


def _in_words(design: Design, row: Array) -> str:
    """Return a combination as it would be written, positive parts first: "2 a - b"."""
    parts = []
    for name, weight in sorted(zip(design.names, row, strict=True), key=lambda part: part[1] < 0):
        if weight:
            size = "" if abs(weight) == 1 else f"{abs(weight):.4g} "
            parts.append(f"{'-' if weight < 0 else '+'} {size}{name}")
    return " ".join(parts).removeprefix("+ ") or "0"


def _read_null(null: ArrayLike, size: int) -> Array:
    """Return the value of each combination under the null hypothesis."""
    values = read_numbers(null, "null")
    if values.shape not in ((), (1,), (size,)) or not np.isfinite(values).all():
        raise ShapeError(
            f"null has shape {values.shape}" if np.isfinite(values).all() else "null has missing values",
            f"one finite number, or one for each of {size} combinations",
        )
    return np.broadcast_to(values, size).astype(float)


def make_contrasts(
    fit: Coefficients,
    weights: Weights,
    null: ArrayLike = 0.0,
    level: float | None = None,
    adjust: str | None = None,
) -> Contrasts:
    """Return linear combinations of the coefficients of a fit; see `FitResults.contrast`."""
    names, rows = read_weights(fit.design, weights)
    wanted = _read_null(null, len(names))
    if not rows.any(axis=1).all():
        raise InputError("a combination has no weights but zeros", "at least one weight that is not zero")
    lost = [name for name, known in zip(names, fit.design.estimable(rows), strict=True) if not known]
    if lost:
        raise NotIdentifiableError(
            f"not estimable: {', '.join(lost)}; the value depends on which "
            f"of the redundant columns were left out ({', '.join(fit.design.dropped)})",
            "combinations of coefficients that the data determine",
            "compare means of cells that the data hold, or fit a model without the interaction",
        )
    estimate, cov = combine(rows, fit.beta, fit.cov)
    se = np.sqrt(np.maximum(np.diagonal(cov), 0.0))
    df = fit.df_of(rows)
    statistic = wald_statistics(estimate - wanted, se)
    chosen = fit.at_level(level)
    quantile, own = quantiles(chosen, df), fit.own_inference(rows)
    pvalue = two_sided_pvalues(statistic, df)
    low, high = estimate - quantile * se, estimate + quantile * se
    if own is not None:
        statistic, pvalue, (low, high) = np.full(se.shape, np.nan), own.pvalues(wanted), own.ends(chosen)
    return Contrasts(
        names=names,
        weights=rows,
        null=wanted,
        estimate=estimate,
        se=se,
        statistic=statistic,
        pvalue=pvalue,
        low=low,
        high=high,
        df=df,
        adjusted=None if adjust is None else adjust_pvalues(pvalue, adjust),
        adjustment=None if adjust is None else get_adjustment(adjust, ADJUSTMENTS),
        level=chosen,
        joint=fit.joint_test(rows, wanted, _null_in_words(names, wanted)),
        logarithms=isinstance(fit, LinearFit) and fit.measure.display_log,
    )


def _null_in_words(names: tuple[str, ...], null: Array) -> str:
    if not null.any():
        return f"{', '.join(names)} {'is' if len(names) == 1 else 'are all'} zero"
    return " and ".join(f"{name} is {value:.4g}" for name, value in zip(names, null, strict=True))


def term_test(fit: Coefficients, term: Term) -> TestResult:
    """Return the test that all coefficients of a term are zero; NaN where redundant columns hide it."""
    null, count = fit.design.null_of(term), len(term.columns)
    if not fit.design.term_is_testable(term):
        df = (float(count),) if fit.df_test is None else (float(count), float(fit.df_test))
        why = f"{null}; not estimable: it is confounded with what was left out as redundant"
        return TestResult(np.nan, "chi2" if fit.df_test is None else "F", df, np.nan, why)
    rows = np.eye(fit.design.p)[list(term.columns)]
    return fit.joint_test(rows, np.zeros(count), null)


def make_term_tests(
    fit: Coefficients,
    adjust: str | None = None,
    test: Callable[[Coefficients, Term], TestResult] | None = None,
) -> TermTests:
    """Return the test of each term of a fit; see `FitResults.test_terms`."""
    design = fit.design
    if not design.terms:
        raise InputError(
            "the fit has no moderators, so there are no terms",
            "a fit with moderators",
            'fit mx.RandomEffects(es, "year"), for example; pooled() tests the pooled effect',
        )
    if isinstance(adjust, str) and adjust in {term.name for term in design.terms}:
        raise InputError(
            f"adjust is {adjust!r}, which is a term of the model",
            "a way to adjust p-values, or nothing: test_terms() tests every term",
            f"write test_terms().to_frame().loc[{adjust!r}]",
        )
    tests, columns = {}, {}
    for term in design.terms:
        tests[term.name] = (test or term_test)(fit, term)
        columns[term.name] = tuple(design.names[j] for j in term.columns)
    adjusted = None
    if adjust is not None:
        values = adjust_pvalues([test.pvalue for test in tests.values()], adjust)
        adjusted = dict(zip(tests, map(float, values), strict=True))
    return TermTests(tests, columns, adjusted)


@dataclass(frozen=True, eq=False, repr=False)
class VarianceInflation(Readable):
    """Variance inflation of the coefficients and of the terms of a fit.

    Attributes
    ----------
    names : tuple of str
        Coefficients, the intercept left out.
    factor : ndarray
        Factors on their variances; 1 means none.
    terms : tuple of str
        Terms.
    df : tuple of int
        Coefficients of each term.
    generalised : ndarray
        Factor of each term, on the square of the volume of its confidence region.
    """

    names: tuple[str, ...]
    factor: Array
    terms: tuple[str, ...]
    df: tuple[int, ...]
    generalised: Array

    @property
    def se_factor(self) -> Array:
        """Factors on the standard errors: the roots of `factor`."""
        return lock(np.asarray(np.sqrt(self.factor)))

    @property
    def generalised_se_factor(self) -> Array:
        """Factor of each term on the scale of standard errors: `generalised` to the power 1 / (2 df)."""
        return lock(np.asarray(self.generalised ** (1 / (2 * np.array(self.df)))))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per term: df, factor, se_factor."""
        import pandas as pd

        return pd.DataFrame(
            {"df": self.df, "factor": self.generalised, "se_factor": self.generalised_se_factor},
            index=pd.Index(self.terms, name="term"),
        )

    def coefficients_frame(self) -> pd.DataFrame:
        """Return one row per coefficient: factor, se_factor."""
        import pandas as pd

        index = pd.Index(self.names, name="coefficient")
        return pd.DataFrame({"factor": self.factor, "se_factor": self.se_factor}, index=index)

    def reader_tables(self) -> list[ReaderTable]:
        """Return the factors by term, numbers rounded."""
        rows = [
            [name, str(df), number(factor), number(root)]
            for name, df, factor, root in zip(
                self.terms, self.df, self.generalised, self.generalised_se_factor, strict=True
            )
        ]
        return [ReaderTable(rows, ["term", "df", "factor", "factor on the SE"])]

    def table_notes(self) -> list[str]:
        """Return what the factors are."""
        return ["factor: variance inflation, of a term of several coefficients the generalised one"]

    def to_dict(self) -> dict[str, Any]:
        """Return the factors as plain values: by coefficient and by term."""
        return {
            "coefficients": plain(self.coefficients_frame().reset_index()),
            "terms": plain(self.to_frame().reset_index()),
        }


def variance_inflation(fit: Coefficients) -> VarianceInflation:
    """Return the variance inflation of a fit; see `FitResults.vif`."""
    design = fit.design
    kept = [j for j in range(design.p) if j != design.intercept]
    if not kept:
        raise InputError("the fit has no moderators, so nothing can inflate", "a fit with moderators")
    cov = fit.cov[np.ix_(kept, kept)]
    size = np.sqrt(np.diagonal(cov))
    correlation = cov / np.outer(size, size)
    where = {j: i for i, j in enumerate(kept)}
    sets = [[where[j] for j in term.columns] for term in design.terms]
    return VarianceInflation(
        names=tuple(design.names[j] for j in kept),
        factor=np.array([_generalised(correlation, [i]) for i in range(len(kept))]),
        terms=tuple(term.name for term in design.terms),
        df=tuple(len(one) for one in sets),
        generalised=np.array([_generalised(correlation, one) for one in sets]),
    )


def _generalised(correlation: Array, chosen: list[int]) -> float:
    others = [i for i in range(len(correlation)) if i not in chosen]
    logs = [np.linalg.slogdet(correlation[np.ix_(part, part)])[1] for part in (chosen, others)]
    return float(np.exp(sum(logs) - np.linalg.slogdet(correlation)[1]))
