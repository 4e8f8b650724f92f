"""Mantel-Haenszel and Peto pooling, where the reference counts what says nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from tests.reference.adapters.counts.mantel_haenszel import event_counts
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare, demand

Fields = dict[str, Any]
Rule = Callable[[Case, Fields], Comparison]
OF_DF = ("QE_p", "I2_percent", "H2")
NO_Q = {"Q": 0.0, "Q_p": 1.0, "I2_percent": 0.0, "H2": 1.0}


def rules_of(case: Case) -> list[Rule]:
    """Return the rules that a case may fall under."""
    call = case["call"]
    peto = call.get("model") == "peto_one_step" or call.get("behaviour", "").startswith("Peto")
    if call.get("statistic", "").startswith(("cumulative", "leave-one-out")):
        return [no_estimate_no_q] if call.get("model") in ("mantel_haenszel", "peto_one_step") else []
    return [df_of_double_zeros] if peto else []


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
    up, down = x[:, 0] * (n[:, 1] - x[:, 1]), (n[:, 0] - x[:, 0]) * x[:, 1]
    growing = case["call"]["statistic"].startswith("cumulative")
    for i in np.flatnonzero(none):
        rows = np.arange(counts.k) <= i if growing else np.arange(counts.k) != i
        demand(found, f"entry {i} has an odds ratio", not (up[rows].sum() > 0 and down[rows].sum() > 0))
        for name, value in NO_Q.items():
            demand(found, f"{name}[{i}]: {theirs[name][i]}", theirs[name][i] in (None, value))
            demand(found, f"{name}[{i}] of ours", bool(np.isnan(actual[name][i])))
    return found
