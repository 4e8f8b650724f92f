"""Reference cases on generalised linear mixed models of counts."""

from __future__ import annotations

from typing import Any

import numpy as np

import metaexo as mx
from metaexo.effects.counts import EventCounts
from metaexo.models import CountGLMMResults
from tests.reference.adapters.counts import mantel_haenszel
from tests.reference.cases import Case

Fields = dict[str, Any]
# The reference fits two random effects by Laplace's approximation only. It says so if asked for more.
TWO_EFFECTS = "nAGQ automatically set to 1"


def event_counts(case: Case, data: Fields) -> EventCounts:
    """Return the counts with the moderators; studies without information are left out if the call says so."""
    call = case["call"]
    if call["measure"] in ("OR", "IRR"):
        counts = mantel_haenszel.event_counts(data)
    else:
        size = {"ti": "time"}.get("ti" if "ti" in data else "ni", "n")
        total = np.array(data["ti" if "ti" in data else "ni"], dtype=float)
        counts = mx.event_counts(events=np.array(data["xi"], dtype=float), missing="drop", **{size: total})
    words = call.get("moderator_formula", "~").split("~")[1]
    named = [name for name in data if name in words]
    if named:
        used = np.array(counts.ledger.used) - 1 if counts.ledger is not None else np.arange(counts.k)
        counts = counts.with_columns(**{name: np.array(data[name])[used] for name in named})
    if call.get("drop_double_zero") and counts.is_double_zero.any():
        counts = counts.select(~counts.is_double_zero, "double zero")
    return counts


def fitted(case: Case, data: Fields) -> CountGLMMResults:
    """Return the fit of a case."""
    call = case["call"]
    counts = event_counts(case, data)
    formula = call.get("moderator_formula", "~").split("~")[1].strip() or None
    two = any(TWO_EFFECTS in words for words in case.get("r_warnings") or ())
    model = mx.CountGLMM(
        counts,
        call["measure"],
        formula,
        model=call["formulation"] if counts.arms == 2 else None,
        correlated=bool(call.get("random_effects_correlated", False)),
    )
    method = "EE" if call["tau2_method"].startswith("none") else "ML"
    return model.fit(method, call["test"], points=1 if two else 7)


def described(fit: CountGLMMResults) -> Fields:
    """Return every field of a fit, under the names of the reference."""
    low, high = fit.bounds()
    stats, q, lrt, moderators = fit.fit_statistics(), fit.q, fit.likelihood_ratio_q, fit.omnibus
    exact = fit.model == "conditional-exact" and not fit.counts.person_time and fit.is_random
    return {
        "k": int(fit.informative.sum()),
        "coefficient_names": list(fit.design.names),
        "estimate": fit.beta,
        "se": fit.se,
        "statistic": fit.wald_statistics,
        "p_value": fit.wald_pvalues,
        "ci_lower": low,
        "ci_upper": high,
        "tau2": fit.tau2,
        # the reference has it for one model only, and 0 at the boundary, where there is none
        "se_tau2": (fit.tau2_se or 0.0) if exact else None,
        "study_variance_sigma2": fit.sigma2,
        "correlation_rho": fit.rho,
        "I2_percent": 100 * fit.i2,
        "H2": fit.h2,
        "QE_wald": q.statistic,
        "QE_wald_p": q.pvalue,
        "QE_lrt": lrt.statistic,
        "QE_lrt_p": lrt.pvalue,
        "QE_df": lrt.df[0],
        "QM": moderators.statistic,
        "QM_df": moderators.df[0],
        "QM_p": moderators.pvalue,
        "log_likelihood": stats.llf,
        "deviance": stats.deviance,
        "AIC": stats.aic,
        "BIC": stats.bic,
        "AICc": stats.aicc,
    }


def answer(case: Case, data: Fields) -> Fields:
    """Return what a case asks for."""
    return described(fitted(case, data))


MODELS = {("count_models", "generalized_linear_mixed"): answer}
