"""Likelihood-ratio tests between random structures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaexo.errors import InputError, NotNestedError
from metaexo.models.hypothesis import TestResult
from metaexo.models.likelihood_ratio import LikelihoodRatioTest, same_data, within
from metaexo.models.weighted import refuse_own_weights
from metaexo.numeric.tails import chi2_tail

if TYPE_CHECKING:
    from metaexo.models.multilevel_results import MultilevelResults

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
