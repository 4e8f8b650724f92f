"""Reference cases on Mantel-Haenszel and Peto pooling.

The reference has, of each study, an estimate by one rule for zeros, and pools by another. Rows with a missing
count are no rows of ours; they come back as missing.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import metaexo as mx
from metaexo.effects import ZeroCells
from metaexo.effects.counts import EventCounts
from metaexo.errors import InputError, NotIdentifiableError, RowsLeftOutWarning
from metaexo.models import MantelHaenszelResults, PetoResults
from metaexo.numeric.counts.two_arms import KERNELS, TwoArms
from metaexo.sensitivity import Refits, cumulative, leave_one_out
from tests.reference.cases import Case, NotCovered

Fit = MantelHaenszelResults | PetoResults
Fields = dict[str, Any]
STUDIES = {"all": "all", "only0": "studies_with_zero", "none": "none", "if0all": "all_if_any_zero"}
TESTS = (
    "cochran_mantel_haenszel_chi2",
    "cochran_mantel_haenszel_p",
    "cochran_chi2_uncorrected",
    "cochran_p",
    "breslow_day_chi2",
    "breslow_day_p",
    "tarone_chi2",
    "tarone_p",
)


def event_counts(data: Fields) -> EventCounts:
    """Return the counts of two arms, of people or of person-time."""
    if "x1i" in data:
        names = {"treatment_events": "x1i", "treatment_time": "t1i"}
        names |= {"control_events": "x2i", "control_time": "t2i"}
    else:
        names = {"treatment_events": "ai", "treatment_n": "n1i", "control_events": "ci", "control_n": "n2i"}
    columns = {ours: np.array(_column(data, theirs), dtype=float) for ours, theirs in names.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RowsLeftOutWarning)
        return mx.event_counts(**columns)


def _column(data: Fields, name: str) -> list[Any]:
    """Return a column; group sizes may be given by the counts of those without the event."""
    if name in data:
        return list(data[name])
    events, others = {"n1i": ("ai", "bi"), "n2i": ("ci", "di")}[name]
    pairs = zip(data[events], data[others], strict=True)
    return [None if a is None or b is None else a + b for a, b in pairs]


def rules(case: Case) -> tuple[ZeroCells, ZeroCells]:
    """Return the rules for zeros of the studies' own estimates and of the pooled one."""
    call = case["call"]
    first, second = (words.strip() for words in call.get("to", "only0 / none").split("/"))
    drop = bool(call.get("drop_double_zero_in_study_estimates", "drop00=FALSE" not in case["r_call"]))
    pooled = bool(call.get("drop_double_zero_in_pooling", False))
    of_studies = ZeroCells(0.5, STUDIES[first], drop_double_zero=drop)  # type: ignore[arg-type]
    of_pooled = ZeroCells(0.5, STUDIES[second], drop_double_zero=pooled)  # type: ignore[arg-type]
    return of_studies, of_pooled


def fitted(case: Case, data: Fields) -> Fit:
    """Return the fit of a case."""
    call = case["call"]
    counts = event_counts(data)
    if call.get("model") == "peto_one_step" or call.get("behaviour", "").startswith("Peto"):
        of_studies, of_pooled = rules(case)
        return mx.Peto(counts, zero_cells=of_pooled, study_zero_cells=of_studies).fit()
    measure = call["measure"]
    of_studies, of_pooled = rules(case)
    model = mx.MantelHaenszel(counts, measure, zero_cells=of_pooled, study_zero_cells=of_studies)
    return model.fit()


def described(fit: Fit, call: Fields, rows: int) -> Fields:
    """Return every field of a pooled fit."""
    code = fit.measure.code
    low, high = fit.bounds()
    used = np.array(fit.ledger.used) - 1
    out: Fields = {
        "k": fit.k,
        "k_with_estimates": int(fit.has_estimate.sum()),
        # the reference counts them of odds ratios alone
        "k_informative": int(fit.informative.sum()) if code in ("OR", "PETO") else None,
        "estimate": fit.estimate,
        "se": fit.se[0],
        "z": fit.wald_statistics[0],
        "p_value": fit.wald_pvalues[0],
        "ci_lower": low[0],
        "ci_upper": high[0],
        "QE": fit.q.statistic,
        "QE_p": fit.q.pvalue,
        "I2_percent": 100 * fit.i2,
        "H2": fit.h2,
        "yi": _spread(fit.effects.y, used, rows),
        "vi": _spread(fit.effects.v, used, rows),
        **likelihood(fit),
        "weights_percent": 100 * fit.weights,
        **dict.fromkeys(TESTS),
    }
    correct = bool(call.get("continuity_corrected_test", True))
    if code in ("OR", "IRR"):
        test = fit.cochran_mantel_haenszel(correct)
        out |= {"cochran_mantel_haenszel_chi2": test.statistic, "cochran_mantel_haenszel_p": test.pvalue}
    if code == "OR":
        test = fit.cochran_mantel_haenszel(correct, kind="cochran")
        day, tarone = fit.breslow_day_test(tarone=False), fit.breslow_day_test()
        out |= {"cochran_chi2_uncorrected": test.statistic, "cochran_p": test.pvalue}
        out |= {"breslow_day_chi2": day.statistic, "breslow_day_p": day.pvalue}
        out |= {"tarone_chi2": tarone.statistic, "tarone_p": tarone.pvalue}
    return out


def likelihood(fit: Fit) -> Fields:
    """Return the log-likelihood of the studies' estimates and what follows from it; missing without any."""
    try:
        stats = fit.fit_statistics()
    except InputError:  # no study has an estimate of its own
        return dict.fromkeys(("log_likelihood", "AIC", "BIC", "AICc"))
    return {"log_likelihood": stats.llf, "AIC": stats.aic, "BIC": stats.bic, "AICc": stats.aicc}


def without_ratio(case: Case, data: Fields) -> Fields:
    """Return the fields of counts that have no finite ratio: no pooled effect, and the tests that remain.

    The tests of no effect are the same for a difference, which has an estimate.
    """
    call, counts = case["call"], event_counts(data)
    people, ratio = not counts.person_time, call["measure"]
    of_studies, of_pooled = rules(case)
    names = {"zero_cells": of_pooled, "study_zero_cells": of_studies}
    other = mx.MantelHaenszel(counts, "RD" if people else "IRD", **names).fit()
    out: Fields = dict.fromkeys(described(other, call, len(next(iter(data.values())))))
    estimates = other.counts.study_estimates(ratio, of_studies)
    known = int(np.isfinite(estimates.v).sum())
    used, rows = np.array(other.ledger.used) - 1, len(next(iter(data.values())))
    out |= {"k": other.k, "k_with_estimates": known, "k_informative": 0 if ratio == "OR" else None}
    out |= {"yi": _spread(estimates.y, used, rows), "vi": _spread(estimates.v, used, rows)}
    x, n = other.counts.events, other.counts.totals
    weights = KERNELS[ratio](TwoArms(x[:, 0], n[:, 0], x[:, 1], n[:, 1]), None).weights
    with np.errstate(invalid="ignore"):
        out["weights_percent"] = 100 * weights / weights.sum()
    if known < 2:  # one study by itself
        out |= {"QE": 0.0, "QE_p": 1.0, "I2_percent": 0.0, "H2": 1.0}
    for kind, name in (("mantel-haenszel", "cochran_mantel_haenszel"), ("cochran", "cochran")):
        test = other.cochran_mantel_haenszel(bool(call.get("continuity_corrected_test", True)), kind)
        if ratio == "OR" or (ratio == "IRR" and kind == "mantel-haenszel"):
            statistic = "cochran_chi2_uncorrected" if kind == "cochran" else f"{name}_chi2"
            out |= {statistic: test.statistic, f"{name}_p": test.pvalue}
    return out


def _spread(values: np.ndarray, used: np.ndarray, rows: int) -> np.ndarray:
    """Return values of the rows that are used as a column of all rows."""
    column = np.full(rows, np.nan)
    column[used] = values
    return column


def series(found: Refits) -> Fields:
    """Return the fields of leave-one-out and of cumulative analyses."""
    return {
        "estimate": found.estimate,
        "se": found.se[:, 0],
        "z": found.statistic[:, 0],
        "p_value": found.pvalue[:, 0],
        "ci_lower": found.low[:, 0],
        "ci_upper": found.high[:, 0],
        "Q": found.q,
        "Q_p": found.q_pvalue,
        "I2_percent": 100 * found.i2,
        "H2": found.h2,
    }


def series_without_ratio(case: Case, data: Fields) -> Fields:
    """Return the same of counts that have no finite ratio: fewer of them have none either."""
    call, counts = case["call"], event_counts(data)
    if not call["statistic"].startswith("standardized"):
        names = ("estimate", "se", "z", "p_value", "ci_lower", "ci_upper", "Q", "Q_p", "I2_percent", "H2")
        return dict.fromkeys(names, np.full(counts.k, np.nan))
    v = counts.study_estimates(call["measure"], rules(case)[0]).v
    known = v[np.isfinite(v)]
    names = ("residual", "se", "z", "deleted_residual", "deleted_se", "deleted_z")
    return dict.fromkeys(names, np.full(known.size, np.nan)) | {"se": np.sqrt(known)}


def residuals(fit: Fit) -> Fields:
    """Return both kinds of residuals of the studies with an estimate of their own."""
    inner, outer = (fit.residuals(kind)[fit.has_estimate] for kind in ("standardized", "studentized"))
    out = {name: inner[name].to_numpy() for name in ("residual", "se", "z")}
    return out | {f"deleted_{name}": outer[name].to_numpy() for name in ("residual", "se", "z")}


def pooled(case: Case, data: Fields) -> Fields:
    """Answer a case on pooled counts."""
    call = case["call"]
    asked = call.get("statistic", "")
    try:
        fit = fitted(case, data)
    except NotIdentifiableError:
        if "measure" not in call or call.get("model") == "peto_one_step":
            raise
        return series_without_ratio(case, data) if asked else without_ratio(case, data)
    if asked.startswith("leave-one-out"):
        return series(leave_one_out(fit, "effect"))
    if asked.startswith("cumulative"):
        return series(cumulative(fit, np.arange(fit.k), ties="rows"))
    if asked.startswith("standardized"):
        return residuals(fit)
    if asked:
        raise NotCovered(f"statistic {asked}")
    return described(fit, call, len(next(iter(data.values()))))


MODELS = {("count_models", "mantel_haenszel"): pooled, ("count_models", "peto_one_step"): pooled}
