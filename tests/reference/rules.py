"""Cases where the reference is not the better answer: how each is compared all the same.

Every case stands here by name, and in DISAGREEMENTS.md with its reason. A rule compares whatever can be
compared at the tolerance of the case, and demands proof for the rest: a likelihood that is at least as high,
and the reference's own likelihood reproduced by our formula at its estimates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from metaexo.models.scale_likelihood import make_likelihood
from tests.reference.adapters.model_tests import location_scale_model
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare

Rule = Callable[[Case, dict[str, Any]], Comparison]

FROM_HESSIAN = (
    "scale_se",
    "scale_statistic",
    "scale_p",
    "scale_ci_lower",
    "scale_ci_upper",
    "scale_vcov",
    "scale_QM",
    "scale_QM_p",
)
DATA_ONLY = (
    "coefficient_names",
    "scale_names",
    "test_distribution",
    "test_df",
    "QM_df1",
    "scale_QM_df",
    "QE",
    "QE_p",
)
R_ROOT_TOLERANCE = np.finfo(float).eps ** 0.25
FAR = 10.0  # a log variance that stands for minus or plus infinity
NO_INFORMATION = 1000.0  # a standard error of a log variance that stands for "not identified"


def _compare(
    case: Case, actual: dict[str, Any], keep: Iterable[str] | None = None, without: Iterable[str] = ()
) -> Comparison:
    """Compare the chosen fields at the tolerance of the case."""
    expected = case["results"]
    chosen = [name for name in (keep or expected) if name in expected and name not in set(without)]
    return compare(actual, {name: expected[name] for name in chosen}, case["rtol"], case["atol"])


def _demand(found: Comparison, words: str, holds: bool) -> None:
    if holds:
        found.agreed += 1
    else:
        found.different.append(words)


def _likelihoods(case: Case, actual: dict[str, Any]) -> tuple[float, float]:
    """Return our log-likelihood and the reference's, both of the kind that was maximised."""
    kind = case["call"]["tau2_method"]
    return (
        actual["fit_statistics"][kind]["log_likelihood"],
        case["results"]["fit_statistics"][kind]["log_likelihood"],
    )


def _at_theirs(case: Case) -> float:
    """Return our log-likelihood at the reference's scale coefficients, constants included."""
    model = location_scale_model(case, case["data"])
    es = model.effects
    x, z = model.design.matrix(es.k), model.scale_design.matrix(es.k)
    restricted = case["call"]["tau2_method"] == "REML"
    likelihood = make_likelihood(x, es.y, es.v, z, model.link, restricted)
    return likelihood.at(np.array(case["results"]["scale_estimate"])).value


def limit(case: Case, actual: dict[str, Any]) -> Comparison:
    """Both reach one supremum, at no finite coefficients: the reference stops on the way."""
    found = _compare(case, actual, without=(*FROM_HESSIAN, "scale_estimate"))
    ours, theirs = _likelihoods(case, actual)
    _demand(found, f"likelihood {ours!r} below the reference's {theirs!r}", ours >= theirs - 1e-12)
    _demand(found, f"likelihood {ours!r} far above the reference's {theirs!r}", ours <= theirs + 1e-7)
    expected = case["results"]
    for i, value in enumerate(actual["scale_estimate"]):
        reference, se = expected["scale_estimate"][i], expected["scale_se"][i]
        if math.isfinite(value):
            part = {"scale_estimate": value, "scale_se": actual["scale_se"][i]}
            inner = compare(part, {"scale_estimate": reference, "scale_se": se}, case["rtol"], case["atol"])
            found.different += inner.different
            found.agreed += inner.agreed
            continue
        _demand(
            found, f"scale_se[{i}] {se!r} is that of a finite estimate", se is None or se > NO_INFORMATION
        )
        if not math.isnan(value):
            where = f"scale_estimate[{i}] {reference!r} is not on the way to {value!r}"
            _demand(
                found, where, abs(reference) > FAR and math.copysign(1, reference) == math.copysign(1, value)
            )
    return found


def higher(case: Case, actual: dict[str, Any]) -> Comparison:
    """The reference stops at a local maximum; ours is higher by the same formula."""
    found = _compare(case, actual, keep=DATA_ONLY)
    ours, theirs = _likelihoods(case, actual)
    at_theirs = _at_theirs(case)
    _demand(found, f"our formula gives {at_theirs!r} there, not {theirs!r}", abs(at_theirs - theirs) < 1e-6)
    _demand(found, f"likelihood {ours!r} is not above the reference's {theirs!r}", ours > theirs + 1e-3)
    return found


def rough_hessian(case: Case, actual: dict[str, Any]) -> Comparison:
    """The same maximum; the reference's standard errors come from finite differences."""
    found = _compare(case, actual, without=FROM_HESSIAN)
    near = compare(actual, {name: case["results"][name] for name in FROM_HESSIAN}, 0.02, 0.02)
    found.different += near.different
    found.agreed += near.agreed
    return found


def no_standard_error(case: Case, actual: dict[str, Any]) -> Comparison:
    """The same inner maximum; the reference gives no standard errors there."""
    found = _compare(case, actual, without=FROM_HESSIAN)
    given = case["results"]["scale_se"]
    _demand(found, "the reference has standard errors", all(value is None for value in given))
    _demand(found, "we have no standard errors", bool(np.isfinite(actual["scale_se"]).all()))
    _demand(found, "tau2 at the boundary", bool((np.array(actual["tau2_per_study"]) > 0).all()))
    return found


def stopped_early(case: Case, actual: dict[str, Any]) -> Comparison:
    """A flat likelihood: the reference stops below the maximum, near it."""
    ours, theirs = _likelihoods(case, actual)
    found = compare(actual, case["results"], 1e-3, 1e-4)
    _demand(found, f"likelihood {ours!r} is not above the reference's {theirs!r}", ours > theirs)
    return found


def higher_saturated(case: Case, actual: dict[str, Any]) -> Comparison:
    """The statistic grows with the likelihood of the model with a variance a study: ours is higher."""
    found = _compare(case, actual, keep=("df",))
    reference = case["results"]["statistic"]
    _demand(
        found,
        f"statistic {actual['statistic']!r} is not above {reference!r}",
        actual["statistic"] > reference,
    )
    return found


def not_testable(case: Case, actual: dict[str, Any]) -> Comparison:
    """One residual degree of freedom tells nothing of two variances."""
    found = _compare(case, actual, keep=("df",))
    _demand(found, "we return a statistic", math.isnan(actual["statistic"]) and math.isnan(actual["p"]))
    return found


def unconverged_tau2(case: Case, actual: dict[str, Any]) -> Comparison:
    """The reference's tau2 is no maximum; ours is, and its other cases confirm it."""
    found = _compare(case, actual, keep=("df",))
    _demand(found, "no statistic", math.isfinite(actual["statistic"]))
    return found


def grid_above_zero(case: Case, actual: dict[str, Any]) -> Comparison:
    """The reference's grid has multiples of a tau2 of 1e-12 that is 0: they are one point."""
    expected = case["results"]
    kept = [i for i, tau2 in enumerate(expected["tau2"]) if tau2 == 0 or tau2 > 1e-10]
    thin = {
        name: [column[i] for i in kept] if isinstance(column, list) else column
        for name, column in expected.items()
    }
    return compare(actual, thin, case["rtol"], case["atol"])


def coarse_quantile(case: Case, actual: dict[str, Any]) -> Comparison:
    """The reference finds the quantile of an interval by a root search that stops at 1.22e-4.

    What it searches is the quantile over the root of 1 + tau2 W_2, with W_2 the sum of the squared weights
    over their sum, so that the bounds are only as good as that root times the standard error.
    """
    found = _compare(case, actual, without=("ci_lower", "ci_upper"))
    w = 1 / np.array(case["data"]["vi"], dtype=float)
    w = w[np.isfinite(w)]
    stretch = math.sqrt(1 + actual["tau2"] * (w**2).sum() / w.sum())
    near = R_ROOT_TOLERANCE * stretch * actual["se"]
    for name in ("ci_lower", "ci_upper"):
        off = abs(actual[name] - case["results"][name])
        _demand(found, f"{name} is off by {off!r}, more than {near!r}", off <= near)
    return found


RULES: dict[str, Rule] = {
    f"{name.split('/')[0]}/{topic}/{name.split('/')[1]}": rule
    for topic, rule, names in (
        (
            "location_scale",
            limit,
            "landenberger2005/mod_both_ML pignon2000/mod_scale pignon2000/mod_scale_t pignon2000/mod_both "
            "pignon2000/mod_both_ML thompson1999/mod_both_ML yusuf1985/intercept_scale yusuf1985/mod_scale "
            "yusuf1985/mod_scale_t yusuf1985/mod_both yusuf1985/mod_both_ML",
        ),
        (
            "location_scale",
            higher,
            "egger2001/mod_both_ML nielweise2007/mod_both nielweise2007/mod_both_ML "
            "viechtbauer2021/mod_both_ML",
        ),
        (
            "location_scale",
            rough_hessian,
            "bcg/mod_scale bcg/mod_scale_t bcg/mod_scale_identity cohen1981/mod_both egger2001/mod_both "
            "gibson2002/mod_both hackshaw1998/mod_both konstantopoulos2011/mod_both",
        ),
        ("location_scale", no_standard_error, "landenberger2005/mod_scale_identity"),
        ("location_scale", stopped_early, "nielweise2007/mod_scale_identity"),
        (
            "tests",
            higher_saturated,
            "bcg/hettest_lrt_ML stress_pub_hugehet/hettest_lrt_ML stress_pub_varspan/hettest_lrt_ML "
            "stress_pub_tinyscale/hettest_lrt_ML",
        ),
        (
            "publication_bias",
            coarse_quantile,
            "bcg/henmi_copas stress_pub_hugehet/henmi_copas stress_pub_outlier/henmi_copas "
            "stress_pub_varspan/henmi_copas",
        ),
        ("tests", not_testable, "stress_pub_k2/hettest_score_REML"),
        ("tests", unconverged_tau2, "stress_pub_tinyscale/hettest_score_REML"),
        ("tests", grid_above_zero, "stress_pub_k3/ML_profile"),
    )
    for name in names.split()
}
