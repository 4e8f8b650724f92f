"""Reference cases of one-level models on intervals, definitions and behaviour beyond the plain fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import metaexo as mx
from tests.reference.adapters.models import rows_used
from tests.reference.cases import Case

R2_DEFINITIONS = {
    "1": "tau2",
    "1v": "tau2-of-total",
    "2": "fitted",
    "2v": "fitted-of-total",
    "3": "fitted-of-tau2",
    "3v": "fitted-of-tau2-total",
    "4": "correlation",
    "4w": "weighted-correlation",
    "5": "mcfadden",
    "6": "cox-snell",
    "7": "nagelkerke",
    "8": "deviance",
}
I2_DEFINITIONS = {"1": "typical", "2": "harmonic-mean"}
INTERVAL_TESTS = {
    ("classic", ""): "z",
    ("HK", ""): "knapp-hartung",
    ("HK", "se"): "knapp-hartung-adhoc",
    ("HK", "ci"): "knapp-hartung-or-z",
    ("HK", "IQWiG6"): "knapp-hartung-iqwig",
    ("KR", ""): "kenward-roger",
}
# Method of prediction -> test of the fit and kind of prediction.
PREDICTIONS = {
    "HTS": ("z", "riley"),
    "V": ("z", "t"),
    "HK": ("knapp-hartung", "default"),
    "KR": ("kenward-roger", "default"),
    "S": ("z", "default"),
}


def plain_effects(data: dict[str, Any]) -> mx.EffectSizes:
    """Return the effects with their columns."""
    frame = pd.DataFrame({name: column for name, column in data.items() if isinstance(column, list)})
    return mx.EffectSizes(frame["yi"], frame["vi"], data=frame)


def definitions(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Topic alternative_definitions."""
    call, es = case["call"], plain_effects(data)
    if "df" in call:
        fit = mx.RandomEffects(es).fit(method=call["tau2_method"], test="t", df=call["df"])
        pooled = fit.pooled()
        return {
            "estimate": pooled.estimate,
            "se": pooled.se,
            "p_value": fit.pvalues.iloc[0],
            "ci_lower": pooled.low,
            "ci_upper": pooled.high,
        }
    fit = mx.RandomEffects(es, call.get("moderator_formula")).fit(method=call["tau2_method"], test="z")
    if call["statistic"] == "R2":
        return {"R2_percent": 100 * fit.r2_by(R2_DEFINITIONS[call["definition"]]), "tau2": fit.tau2}
    found = fit.i2_by(I2_DEFINITIONS[call["definition"]])
    return {
        "I2_percent": 100 * found.i2,
        "H2": found.h2,
        "typical_sampling_variance": found.typical_variance,
    }


def intervals(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Topic intervals_extra: intervals by the names of the package meta."""
    call, model = case["call"], mx.RandomEffects(plain_effects(data))
    if call["model"] == "prediction_interval":
        test, kind = PREDICTIONS[call["prediction_method"]]
        fit = model.fit(method=call["tau2_method"], test=test)
        row = fit.predict(kind=kind).iloc[0]
        df = {"default": fit.df_test, "t": fit.df_residual, "riley": max(1, fit.df_residual - 1)}[kind]
        return {
            "estimate": row["estimate"],
            "prediction_se": row["prediction_se"],
            "prediction_df": np.inf if df is None else df,
            "prediction_lower": row["prediction_low"],
            "prediction_upper": row["prediction_high"],
            "tau2": fit.tau2,
        }
    test = INTERVAL_TESTS[call["ci_method"], call["ad_hoc_variance_correction"]]
    fit = model.fit(method=call["tau2_method"], test=test)
    pooled = fit.pooled()
    return {
        "estimate": pooled.estimate,
        "se": pooled.se,
        "ci_lower": pooled.low,
        "ci_upper": pooled.high,
        "df": np.inf if fit.df_test is None else fit.df_test,
        "p_value": fit.pvalues.iloc[0],
        "tau2": fit.tau2,
    }


def converged(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Topic default_convergence: the reference's defaults stop early, ours are the solutions.

    The generalised Q takes the sample sizes as weights, as in the other cases of this data set.
    """
    method = case["call"]["tau2_method"]
    weighted = method.startswith("GENQ")
    weights = np.array(data["ni"], dtype=float)[rows_used(case, data)] if weighted else None
    model = mx.RandomEffects(plain_effects(data), weights=weights)
    fit = model.fit(method=method, test="z")
    bounds = fit.conf_int_heterogeneity("generalised-q" if weighted else "q-profile").tau2
    return {
        "tau2": fit.tau2,
        "estimate": fit.estimate,
        "se": fit.se[0],
        "tau2_ci_lower": bounds.low,
        "tau2_ci_upper": bounds.high,
    }


TOPICS = {
    "alternative_definitions": definitions,
    "intervals_extra": intervals,
    "default_convergence": converged,
}
