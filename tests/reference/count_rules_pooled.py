"""Mantel-Haenszel and Peto pooling, where the reference counts what says nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from metaexo.types import Array
from tests.reference.adapters.counts.mantel_haenszel import event_counts
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare, demand

Fields = dict[str, Any]
Rule = Callable[[Case, Fields], Comparison]
OF_DF = ("QE_p", "I2_percent", "H2")
OF_LIKELIHOOD = ("log_likelihood", "AIC", "BIC", "AICc")
TESTS_OF_RATIO = ("breslow_day_p", "tarone_p")
TESTS_OF_NONE = (
    "cochran_mantel_haenszel_chi2",
    "cochran_mantel_haenszel_p",
    "cochran_chi2_uncorrected",
    "cochran_p",
)
OF_STUDIES = ("k_with_estimates", "yi", "vi", "QE", "QE_p", "I2_percent", "H2")
NO_Q = {"Q": 0.0, "Q_p": 1.0, "I2_percent": 0.0, "H2": 1.0}


def rules_of(case: Case) -> list[Rule]:
    """Return the rules that a case may fall under."""
    call = case["call"]
    peto = call.get("model") == "peto_one_step" or call.get("behaviour", "").startswith("Peto")
    if call.get("statistic", "").startswith(("cumulative", "leave-one-out")):
        of_counts = call.get("model") in ("mantel_haenszel", "peto_one_step")
        return [no_estimate_no_q, no_spread_no_test] if of_counts else []
    if peto:
        return [df_of_double_zeros]
    return [pooled_by_field] if call.get("model") == "mantel_haenszel" and not call.get("statistic") else []


def pooled_by_field(case: Case, actual: Fields) -> Comparison:
    """Compare Mantel-Haenszel pooling: each group of fields plainly, and where that differs by its proof."""
    expected, found = case["results"], Comparison()
    proofs = {
        TESTS_OF_RATIO: nothing_to_compare,
        TESTS_OF_NONE: corrected_beyond_zero,
        OF_LIKELIHOOD: likelihood_of_one,
        OF_STUDIES: no_spread_no_weight,
    }
    rest = tuple(name for name in expected if not any(name in names for names in proofs))
    for names in (rest, *proofs):
        part = {name: expected[name] for name in names if name in expected}
        plain = compare(actual, part, case["rtol"], case["atol"])
        if plain.different and names in proofs:
            plain = proofs[names](case, actual)
        found.different += plain.different
        found.absent += plain.absent
        found.agreed += plain.agreed
    return found


def nothing_to_compare(case: Case, actual: Fields) -> Comparison:
    """A single table fits its own odds ratio: the statistic is 0 with certainty and its p 1.

    The reference has no p. It counts one table with information, and both statistics are 0 but for rounding.
    """
    theirs, found = case["results"], Comparison()
    demand(found, f"{theirs['k_informative']} tables with information", theirs["k_informative"] == 1)
    for name in ("breslow_day", "tarone"):
        for fields in (theirs, actual):
            demand(
                found, f"{name} of one table: {fields[f'{name}_chi2']}", abs(fields[f"{name}_chi2"]) < 1e-9
            )
        demand(found, f"{name}_p of the reference", theirs[f"{name}_p"] is None)
        demand(found, f"{name}_p of ours: {actual[f'{name}_p']}", actual[f"{name}_p"] == 1.0)
    return found


def corrected_beyond_zero(case: Case, actual: Fields) -> Comparison:
    """The reference takes 1/2 from an excess below 1/2 and squares what is left: the statistic grows again.

    With an excess of 0, the least evidence there is, it has 1/4 over the variance. A correction for
    continuity brings a statistic no further than to 0, which is ours. The reference must have the former.
    """
    theirs, found = case["results"], Comparison()
    x, n = tables_of_pooling(case)
    m, whole = x.sum(axis=1), n.sum(axis=1)
    excess = abs(float((x[:, 0] - m * n[:, 0] / whole).sum()))
    with np.errstate(divide="ignore", invalid="ignore"):
        binomial = m * n.prod(axis=1) / whole**2
        spread = binomial * (whole - m) / whole
        corrected = np.where(whole > 1, spread * whole / (whole - 1), 0.0)
    person_time = case["call"]["measure"] == "IRR"
    demand(found, "not corrected", bool(case["call"].get("continuity_corrected_test", True)))
    demand(found, f"an excess of {excess}", excess < 0.5)
    kinds = {"cochran_mantel_haenszel_chi2": binomial if person_time else corrected}
    if not person_time:
        kinds["cochran_chi2_uncorrected"] = spread
    for name, variance in kinds.items():
        p = {"cochran_mantel_haenszel_chi2": "cochran_mantel_haenszel_p"}.get(name, "cochran_p")
        value = (excess - 0.5) ** 2 / float(variance.sum())
        wanted = {name: value, p: float(stats.chi2.sf(value, 1))}
        part = compare(theirs, wanted, 1e-8, 1e-12)
        found.different += part.different
        demand(found, f"{name} of ours: {actual[name]}", actual[name] == 0.0 and actual[p] == 1.0)
    return found


def tables_of_pooling(case: Case) -> tuple[Array, Array]:
    """Return events and sizes, (k, 2), with what the call adds to them before pooling."""
    counts = event_counts(case["data"])
    if case["call"].get("drop_double_zero_in_pooling") and counts.is_double_zero.any():
        counts = counts.select(~counts.is_double_zero, "double zero")
    rule = case["call"].get("to", "only0 / none").split("/")[1].strip()
    x, n = counts.events, counts.totals
    zero = (x == 0).any(axis=1)
    if not counts.person_time:
        zero = zero | (x == n).any(axis=1)
    touched = {"all": zero | True, "only0": zero, "none": zero & False, "if0all": zero | zero.any()}[rule]
    add = np.where(touched, 0.5, 0.0)[:, None]
    return x + add, n if counts.person_time else n + 2 * add


def likelihood_of_one(case: Case, actual: Fields) -> Comparison:
    """The reference has the density of a single estimate at itself, not at the pooled effect.

    Where zeros get another rule in pooling, a single study's own estimate is not the pooled one, and its
    log-density lacks the distance between them. With it the reference's must be ours; where there is no
    pooled effect there is no likelihood.
    """
    theirs, found = case["results"], Comparison()
    known = [(y, v) for y, v in zip(theirs["yi"], theirs["vi"], strict=True) if v]
    if len(known) != 1 or theirs["k_with_estimates"] != 1:
        return no_spread_no_weight(case, actual)
    y, v = known[0]
    at_itself = -0.5 * float(np.log(2 * np.pi * v))
    terms = {"AIC": 2.0, "BIC": 0.0, "AICc": 6.0}  # of one parameter and one estimate
    wanted = {"log_likelihood": at_itself} | {name: 2.0 * (c / 2 - at_itself) for name, c in terms.items()}
    part = compare(theirs, wanted, 1e-8, 1e-12)
    found.different += part.different
    if theirs["estimate"] is None:
        for name in OF_LIKELIHOOD:
            demand(found, f"{name} of ours: {actual[name]}", actual[name] is None)
        return found
    right = at_itself - 0.5 * (y - theirs["estimate"]) ** 2 / v
    wanted = {"log_likelihood": right} | {name: 2.0 * (c / 2 - right) for name, c in terms.items()}
    part = compare(actual, wanted, 1e-8, 1e-12)
    found.different += part.different
    found.agreed += part.agreed
    return found


def no_spread_no_weight(case: Case, actual: Fields) -> Comparison:
    """A risk difference of arms with events in no one or in everyone has an estimated variance of 0.

    The reference weighs it without bound: Q is infinite, its p 0, as if such a study of one person an arm
    proved heterogeneity. Ours leaves it out of Q. The reference's variances must be 0 for such studies alone;
    the others must give our Q by the reference's own estimates, about the same pooled effect.
    """
    theirs, found = case["results"], Comparison()
    counts = event_counts(case["data"])
    certain = ((counts.events == 0) | (counts.events == counts.totals)).all(axis=1)
    y, v = (np.array(theirs[name], dtype=float) for name in ("yi", "vi"))
    whole = np.isfinite(np.array([list(column) for column in case["data"].values()], dtype=float)).all(axis=0)
    demand(found, "no study without variance", bool((v == 0).any()) and theirs["QE"] == "Inf")
    demand(found, "another study without variance", bool(certain[(v == 0)[whole]].all()))
    some = v > 0
    for name, mine, values in (("yi", actual["yi"], y), ("vi", actual["vi"], v)):
        same = np.allclose(np.where(some, mine, 0), np.where(some, values, 0), rtol=1e-9, atol=1e-12)
        demand(found, f"{name} of ours", bool(same and np.isnan(mine)[~some].all()))
    df = int(some.sum()) - 1
    demand(found, f"{actual['k_with_estimates']} estimates", actual["k_with_estimates"] == df + 1)
    off = (y - theirs["estimate"])[some]
    wanted: Fields = {"QE": float((off**2 / v[some]).sum()) if df else 0.0}
    wanted["QE_p"] = float(stats.chi2.sf(wanted["QE"], df)) if df else 1.0
    wanted["I2_percent"] = max(0.0, 100 * (1 - df / wanted["QE"])) if df and wanted["QE"] else 0.0
    wanted["H2"] = wanted["QE"] / df if df else 1.0
    wanted["log_likelihood"] = -0.5 * float((np.log(2 * np.pi * v[some]) + off**2 / v[some]).sum())
    part = compare(actual, wanted, 1e-8, 1e-12)
    found.different += part.different
    found.agreed += part.agreed
    return found


def no_spread_no_test(case: Case, actual: Fields) -> Comparison:
    """A pooled difference with a standard error of 0 has no z; the reference's is infinite and its p 0.

    All studies pooled there must have events in no one or in everyone of an arm, so that the variance is 0
    for want of people, not by precision; all else is compared.
    """
    theirs, found = case["results"], Comparison()
    none = np.array([se == 0 for se in theirs["se"]])
    demand(found, "no standard error is 0", bool(none.any()))
    for name, values in theirs.items():
        skips = none if name in ("z", "p_value") else np.zeros_like(none)
        known = [value for value, skip in zip(values, skips, strict=True) if not skip]
        part = compare(
            {name: [value for value, skip in zip(actual[name], skips, strict=True) if not skip]},
            {name: known},
            case["rtol"],
            case["atol"],
        )
        found.different += part.different
        found.agreed += part.agreed
    counts = event_counts(case["data"])
    certain = ((counts.events == 0) | (counts.events == counts.totals)).all(axis=1)
    growing = case["call"]["statistic"].startswith("cumulative")
    for i in np.flatnonzero(none):
        rows = np.arange(counts.k) <= i if growing else np.arange(counts.k) != i
        demand(found, f"entry {i} has a spread", bool(certain[rows].all()))
        demand(found, f"z[{i}]: {theirs['z'][i]}", theirs["z"][i] in (None, "Inf", "-Inf"))
        demand(found, f"p[{i}]: {theirs['p_value'][i]}", theirs["p_value"][i] in (None, 0))
        demand(found, f"z[{i}] of ours", bool(np.isnan(actual["z"][i]) and np.isnan(actual["p_value"][i])))
    return found


def df_of_double_zeros(case: Case, actual: Fields) -> Comparison:
    """Peto's Q has a degree of freedom for each study with information, less 1; the reference counts all.

    A study without any event, or with events in everyone, has O - E = 0 with certainty, whatever the odds
    ratio: it adds exactly 0 to Q, and cannot add a degree of freedom. With the studies that the reference
    counts, Q must give its p, I2 and H2, and with those that have a variance ours; all else is compared.
    """
    theirs = case["results"]
    rest = {name: value for name, value in theirs.items() if name not in OF_DF}
    found = compare(actual, rest, case["rtol"], case["atol"])
    counts = event_counts(case["data"])
    n, m = counts.totals, counts.events.sum(axis=1)
    whole = n.sum(axis=1)
    variance = n.prod(axis=1) * m * (whole - m) / whole**2
    excess = counts.events[:, 0] - m * n[:, 0] / whole
    informative = int((variance > 0).sum())
    demand(found, "a study without variance has an excess", bool((excess[variance == 0] == 0).all()))
    demand(found, "the reference counts no more studies", theirs["k_with_estimates"] > informative)
    q = float(theirs["QE"])
    for df, fields in ((theirs["k_with_estimates"] - 1, theirs), (informative - 1, actual)):
        wanted = {
            "QE_p": float(stats.chi2.sf(q, df)),
            "I2_percent": max(0.0, 100 * (q - df) / q),
            "H2": q / df,
        }
        said = {name: wanted[name] for name in OF_DF if name in theirs}
        part = compare(fields, said, 1e-8, 1e-12)
        found.different += part.different
        found.agreed += part.agreed
    return found


def no_estimate_no_q(case: Case, actual: Fields) -> Comparison:
    """Where counts have no pooled effect there is nothing around which Q could be; the reference prints 0.

    It must have no estimate there, and print what one study by itself has; one arm of all studies pooled up
    to there must have no event (or no one without), so that the ratio is 0, infinite or undefined.
    """
    theirs, found = case["results"], Comparison()
    none = np.array([value is None for value in theirs["estimate"]])
    demand(found, "every entry has an estimate", bool(none.any()))
    for name, values in theirs.items():
        known = [value for value, skip in zip(values, none, strict=True) if not (skip and name in NO_Q)]
        mine = [value for value, skip in zip(actual[name], none, strict=True) if not (skip and name in NO_Q)]
        part = compare({name: mine}, {name: known}, case["rtol"], case["atol"])
        found.different += part.different
        found.agreed += part.agreed
    counts = event_counts(case["data"])
    x, n = counts.events, counts.totals
    up, down = x.T
    if case["call"].get("measure", "OR") == "OR":
        up, down = x[:, 0] * (n[:, 1] - x[:, 1]), (n[:, 0] - x[:, 0]) * x[:, 1]
    growing = case["call"]["statistic"].startswith("cumulative")
    for i in np.flatnonzero(none):
        rows = np.arange(counts.k) <= i if growing else np.arange(counts.k) != i
        demand(found, f"entry {i} has an odds ratio", not (up[rows].sum() > 0 and down[rows].sum() > 0))
        for name, value in NO_Q.items():
            demand(found, f"{name}[{i}]: {theirs[name][i]}", theirs[name][i] in (None, value))
            demand(found, f"{name}[{i}] of ours", bool(np.isnan(actual[name][i])))
    return found
