"""Likelihood-ratio tests between random structures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metaexo.errors import InputError, NotNestedError
from metaexo.models.hypothesis import TestResult
from metaexo.models.likelihood_ratio import LikelihoodRatioTest, same_data, within
from metaexo.models.weighted import refuse_own_weights
from metaexo.numeric.tails import chi2_tail
from metaexo.types import Index

if TYPE_CHECKING:
    from metaexo.models.multilevel_results import MultilevelResults
    from metaexo.models.multilevel_terms import NamedTerm

# A simpler fit may be better than the larger one by rounding, not by more.
ROUNDING = 1e-6


def structure_test(full: MultilevelResults, reduced: MultilevelResults) -> LikelihoodRatioTest:
    """Return the likelihood-ratio test of two structures; see `MultilevelResults.test_against`."""
    if not hasattr(reduced, "component_values"):
        raise InputError(
            f"a {type(reduced).__name__} was given",
            "a multilevel fit of the same effects",
            "fit it as Multilevel",
        )
    same_data(full, reduced)
    for fit in (full, reduced):
        refuse_own_weights(fit, "the likelihood-ratio test")
    _same_question(full, reduced)
    restricted = full.method == "REML"
    first, second = full.fit_statistics(restricted), reduced.fit_statistics(restricted)
    df = first.parameters - second.parameters
    statistic = 2 * (first.llf - second.llf)
    if df <= 0 or statistic < -ROUNDING * (1 + abs(first.llf)):
        raise NotNestedError(
            f"the second fit has {second.parameters} parameters and the first {first.parameters}; "
            f"their log-likelihoods are {second.llf:.6g} and {first.llf:.6g}",
            "the larger model first, and a smaller one that it holds",
            "exchange the two, or compare their AIC",
        )
    dropped = set(full.component_values) - set(reduced.component_values)
    held = [set(fit.components.index[fit.components["fixed"]]) for fit in (full, reduced)]
    dropped |= {str(name) for name in held[1] - held[0] if reduced.component_values.get(name) == 0}
    dropped &= set(full.component_values)
    kinds = {
        name: kind for term in full.terms for name, kind in zip(term.components, term.kinds, strict=True)
    }
    edge = df == 1 and len(dropped) == 1 and kinds[next(iter(dropped))] == "variance"
    value = max(statistic, 0.0)
    p = float(chi2_tail(value, df))
    words = "the simpler structure holds"
    if edge:
        p = 0.5 * (p + float(value <= 0))
        words += " (a variance of 0 is on the boundary: p-value of a mixture of chi-squares)"
    elif any(kinds[name] == "variance" for name in dropped):
        words += " (variances of 0 are on the boundary: the p-value is too large)"
    test = TestResult(value, "chi2", (float(df),), p, words)
    return LikelihoodRatioTest(test, first, second, None, edge)


def _same_question(full: MultilevelResults, reduced: MultilevelResults) -> None:
    if full.method != reduced.method:
        raise InputError(f"the fits are by {full.method} and {reduced.method}", "two fits by one method")
    _structures_within(reduced, full)
    if (full.problem.v != reduced.problem.v).nnz:
        raise NotNestedError("the fits have different sampling covariances", "one V for both")
    if not within(reduced.problem.x, full.problem.x):
        raise NotNestedError(
            "the moderators of the second fit are no special case of those of the first",
            "the larger model first",
        )
    if full.method == "REML" and full.design.p != reduced.design.p:
        raise InputError(
            "the fits are by REML and have different moderators", "fits by ML", 'fit both with method="ML"'
        )


# Structures that each structure holds as special cases, itself apart.
HELD: dict[str, tuple[str, ...]] = {
    "DIAG": ("ID",),
    "CS": ("ID",),
    "AR": ("ID",),
    "CAR": ("ID",),
    "HCS": ("ID", "DIAG", "CS"),
    "HAR": ("ID", "DIAG", "AR"),
    "UN": ("ID", "DIAG", "CS", "AR", "CAR", "HCS", "HAR", "SPEXP", "SPGAU", "SPLIN", "SPRAT", "SPSPH"),
    "GEN": ("GDIAG",),
    **dict.fromkeys(("SPEXP", "SPGAU", "SPLIN", "SPRAT", "SPSPH"), ("ID",)),
}
# With all correlations 1 these are one effect of the outer level; GEN has an intercept of its own.
ALIKE = ("CS", "AR", "CAR", "HCS", "HAR", "UN")


def _structures_within(reduced: MultilevelResults, full: MultilevelResults) -> None:
    """Raise if a random term of the smaller model is no special case of a term of the larger one."""
    lost = [one.name for one in reduced.terms if not any(_holds(other, one) for other in full.terms)]
    if lost:
        raise NotNestedError(
            f"the random terms {', '.join(lost)} of the second fit are no special case of those of the first "
            f"({', '.join(named.name for named in full.terms)})",
            "the larger model first, and a smaller one that it holds",
            "compare their AIC with metaexo.compare, or fit a model with the terms of both",
        )


def _holds(full: NamedTerm, reduced: NamedTerm) -> bool:
    """Say whether a random term has another one as a special case."""
    a, b = full.term, reduced.term
    if (a.relation is None) != (b.relation is None) or (
        a.relation is not None and (b.relation is None or not np.array_equal(a.relation, b.relation))
    ):
        return False
    same_outer = _same_groups(a.level, b.level)
    if reduced.structure == "intercept":
        if full.structure == "intercept":
            return same_outer
        if full.inner_code is None:
            return same_outer and "intercept" in full.inner
        single = _groups(np.column_stack([a.level, full.inner_code]))
        return (same_outer and full.structure in ALIKE) or _same_groups(single, b.level)
    if not same_outer or reduced.structure not in (full.structure, *HELD.get(full.structure, ())):
        return False
    if full.inner_code is None or reduced.inner_code is None:
        return full.inner_code is reduced.inner_code and set(reduced.inner) <= set(full.inner)
    return _same_groups(full.inner_code, reduced.inner_code)


def _groups(columns: Index) -> Index:
    """Return the number of the group of each row, in order of first appearance."""
    firsts, group = np.unique(columns, axis=0, return_index=True, return_inverse=True)[1:]
    return np.asarray(np.argsort(np.argsort(firsts))[np.ravel(group)], dtype=np.intp)


def _same_groups(a: Index, b: Index) -> bool:
    """Say whether two codes group the rows alike."""
    return np.array_equal(_groups(a[:, None]), _groups(b[:, None]))
