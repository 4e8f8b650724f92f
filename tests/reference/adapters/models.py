"""From the neutral call of a reference case to one-level models: fits, intervals, predictions."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo.models import RandomEffectsResults
from tests.reference.cases import Case

TESTS = {"z": "z", "t": "t", "knha": "knapp-hartung", "adhoc": "knapp-hartung-adhoc"}
INTERVALS = {
    "QP": "q-profile",
    "GENQ": "generalised-q",
    "PL": "profile-likelihood",
    "HT": "higgins-thompson",
    "Wald": "wald",
    "Wald.log": "wald-log",
    "Wald.sqrt": "wald-sqrt",
}


def fit_case(
    case: Case, data: dict[str, Any], columns: tuple[str, ...] = (), **choices: Any
) -> RandomEffectsResults:
    """Return the fit that the call describes; its effects carry the named columns of the data."""
    call = case["call"]
    used = rows_used(case, data)
    y, v = (np.array(data[call.get(*name)], dtype=float) for name in (("effect", "yi"), ("variance", "vi")))
    weights = own_weights(call, data, y.size)
    design = case.get("design_input")
    options: dict[str, Any] = {"weights": weights if weights is None else weights[used]}
    if design is not None:
        x, names = np.array(design["X"], dtype=float), list(design["column_names"])
        if names[0] == "intercept":
            options |= {"moderators": x[:, 1:], "names": names[1:]}
        else:
            options |= {"moderators": x, "names": names, "intercept": False}
    chosen: dict[str, Any] = {
        "method": call.get("tau2_method", "REML"),
        "test": TESTS[call.get("test", "z")],
        "level": call.get("level_percent", 95) / 100,
        "tau2": call.get("tau2_fixed"),
    }
    frame = pd.DataFrame({name: np.array(data[name])[used] for name in columns}) if columns else None
    return mx.RandomEffects(mx.EffectSizes(y[used], v[used], data=frame), **options).fit(**(chosen | choices))


def rows_used(case: Case, data: dict[str, Any]) -> np.ndarray:
    """Return the rows of a case: those its design names, or those with an effect and a variance."""
    if case.get("design_input") is not None:
        return np.array(case["design_input"]["rows_used_0based"])
    call = case["call"]
    y, v = (np.array(data[call.get(*name)], dtype=float) for name in (("effect", "yi"), ("variance", "vi")))
    return np.flatnonzero(np.isfinite(y) & np.isfinite(v))


def own_weights(call: dict[str, Any], data: dict[str, Any], k: int) -> np.ndarray | None:
    """Return the weights that the call names."""
    words = call.get("weighting", "")
    if words.startswith("unweighted"):
        return np.ones(k)
    column = call.get("q_weights") or (words.split("column ")[1] if words else None)
    return None if column is None else np.array(data[column], dtype=float)


def fitted(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Topics random_effects and meta_regression."""
    return described(fit_case(case, data), case["call"]["test"])


def described(fit: RandomEffectsResults, test: str) -> dict[str, Any]:
    """Return what the reference says of a fit, under its names."""
    bounds = fit.conf_int()
    moderators = fit.moderator_test
    df = fit.df_test
    return {
        "k": fit.k,
        "p": len(fit.params),
        "coefficient_names": list(fit.params.index),
        "estimate": fit.params.to_numpy(),
        "se": fit.bse.to_numpy(),
        "test_statistic": fit.tvalues.to_numpy(),
        "test_distribution": "normal" if df is None else "t",
        "test_df": None if df is None else [df] * len(fit.params),
        "p_value": fit.pvalues.to_numpy(),
        "ci_lower": bounds["low"].to_numpy(),
        "ci_upper": bounds["high"].to_numpy(),
        "vcov": fit.cov_params().to_numpy(),
        "tau2": fit.tau2,
        "se_tau2": fit.tau2_se,
        "tau": fit.tau,
        "I2_percent": 100 * fit.i2,
        "H2": fit.h2,
        "R2_percent": None if fit.r2 is None else 100 * fit.r2,
        "QE": fit.q.statistic,
        "QE_df": fit.q.df[0],
        "QE_p": fit.q.pvalue,
        "QM": moderators.statistic,
        "QM_df1": moderators.df[0],
        "QM_df2": moderators.df[1] if len(moderators.df) > 1 else None,
        "QM_distribution": moderators.distribution,
        "QM_p": moderators.pvalue,
        "QM_tested_coefficients_1based": list(fit.design.tested + 1),
        "knapp_hartung_scale": fit.test_scale if test in ("knha", "adhoc") else None,
        "typical_sampling_variance": fit.typical_variance,
        "fit_statistics": {"ML": statistics(fit, False), "REML": statistics(fit, True)},
    }


def statistics(fit: RandomEffectsResults, restricted: bool) -> dict[str, float]:
    """Return the fit statistics under their reference names."""
    found = fit.fit_statistics(restricted)
    return {
        "log_likelihood": found.llf,
        "deviance": found.deviance,
        "AIC": found.aic,
        "BIC": found.bic,
        "AICc": found.aicc,
    }


def heterogeneity(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Topic heterogeneity_intervals."""
    call = case["call"]
    fit = fit_case(case, data)
    level = call["interval_level_percent"] / 100
    found = fit.conf_int_heterogeneity(INTERVALS[call["interval_type"]], level)
    coefficients = fit.conf_int(level)
    out: dict[str, Any] = {
        name: {"estimate": scale * part.estimate, "ci_lower": scale * part.low, "ci_upper": scale * part.high}
        for name, part, scale in (
            ("tau2", found.tau2, 1),
            ("tau", found.tau, 1),
            ("I2_percent", found.i2, 100),
            ("H2", found.h2, 1),
        )
    }
    # Where the estimate is 0 the log and root scales exclude nothing; the reference has no number for that.
    if np.isinf(found.tau2.high):
        lost = out if call["interval_type"] == "Wald.log" else ("I2_percent",)
        for name in lost:
            out[name]["ci_upper"] = None
    return out | {
        "lower_note": "<" if found.empty else "",
        "upper_note": "<" if found.empty else "",
        "interval_is_null_set": found.empty,
        "coefficients": {
            "names": list(fit.params.index),
            "estimate": fit.params.to_numpy(),
            "ci_lower": coefficients["low"].to_numpy(),
            "ci_upper": coefficients["high"].to_numpy(),
        },
    }


def prediction(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Topic prediction."""
    call = case["call"]
    fit = fit_case(case, data)
    new = call.get("new_design_rows_without_intercept")
    level = call.get("prediction_level_percent", call["level_percent"]) / 100
    kind = call.get("prediction_type", "default")
    rows = None if new is None else np.array(new, dtype=float)
    table = fit.predict(
        rows,
        level,
        kind=kind,
        sampling_variance=call.get("new_study_sampling_variance", 0.0),
        scale=call.get("transformation", "analysis"),
        adjust="bonferroni" if "adjust" in call else None,
    )
    names = {
        "estimate": "estimate",
        "se": "se",
        "low": "ci_lower",
        "high": "ci_upper",
        "prediction_se": "prediction_se",
        "prediction_low": "prediction_lower",
        "prediction_high": "prediction_upper",
    }
    df = {"default": fit.df_test, "t": fit.df_residual, "riley": max(1, fit.df_residual - 1)}.get(kind)
    out = {names[column]: table[column].to_numpy() for column in table.columns}
    if call.get("at") == "every study in the data" and "design_input" in case:
        out["prediction_se"] = at_every_row(case, data, fit, out["prediction_se"])
    if "transformation" in call:  # the reference has no standard errors of transformed means
        out["se"] = [None] * len(table)
    if "probability_of" in call:
        value = float(call["probability_of"].split(">")[1])
        out["probability"] = fit.probability_above(value, rows, kind)
    x = fit.design.matrix(fit.k) if new is None else np.column_stack([np.ones(len(new)), rows])
    return out | {
        "prediction_distribution": "norm" if df is None else "t",
        "prediction_df": [] if df is None else [df] * len(out["prediction_se"]),
        "tau2": fit.tau2,
        "covariance_of_predictions": x @ fit.cov_params().to_numpy() @ x.T,
    }


def at_every_row(
    case: Case, data: dict[str, Any], fit: RandomEffectsResults, values: np.ndarray
) -> np.ndarray:
    """Return prediction standard errors at every row of the data, NaN where a moderator is missing.

    Rows that the fit did not use may have moderators nevertheless: those go through the formula.
    """
    frame = pd.DataFrame(data)
    out = np.full(len(frame), np.nan)
    out[rows_used(case, data)] = values
    formula = case["call"]["moderator_formula"]
    words = {word for word in re.findall(r"[A-Za-z_]\w*", formula) if word in frame.columns}
    rest = np.isnan(out) & frame[sorted(words)].notna().all(axis=1).to_numpy()
    if rest.any():
        used = frame.iloc[rows_used(case, data)].reset_index(drop=True)
        model = mx.RandomEffects(mx.EffectSizes(fit.effects.y, fit.effects.v, data=used), formula)
        again = model.fit(method=fit.method, test=fit.test)
        out[rest] = again.predict(frame[rest])["prediction_se"].to_numpy()
    return out


TOPICS = {
    "random_effects": fitted,
    "meta_regression": fitted,
    "heterogeneity_intervals": heterogeneity,
    "prediction": prediction,
}
