"""Selection models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo.bias import SelectionModel
from metaexo.numeric.tails import normal_two_sided
from tests.reference.adapters.one_level_extras import plain_effects
from tests.reference.cases import Case

SIDES = {"two.sided": "two-sided"}


# The last fits: a rule looks at the same fit of the same case as the adapter before it.
_FITS: dict[tuple[str, float | None], tuple[Any, SelectionModel]] = {}


def fit_selection(case: Case, data: dict[str, Any], tau2: float | None = None) -> SelectionModel:
    """Return the selection model that a case asks for; that of the last case is not made twice."""
    asked, key = (case["call"], data), (case["id"], tau2)
    known = _FITS.get(key)
    if known is not None and known[0] == asked:
        return known[1]
    if tau2 is None:
        _FITS.clear()
    made = _fit(case, data, tau2)
    _FITS[key] = asked, made
    return made


def _fit(case: Case, data: dict[str, Any], tau2: float | None) -> SelectionModel:
    call = case["call"]
    es, x = plain_effects(data), None
    if case.get("design_input"):
        design = case["design_input"]
        keep = np.zeros(es.k, dtype=bool)
        keep[design["rows_used_0based"]] = True
        columns = design["column_names"]
        es = es.select(keep)
        x = pd.DataFrame(design["X"], columns=columns, index=es.index).drop(columns="intercept")
    options = call.get("options") or {}
    steps = options.get("steps")
    kind = call["selection_model"]
    fit = mx.RandomEffects(es, x, dependence="accept").fit(method=call["tau2_method"], test="z")
    side = call.get("alternative", "greater")
    return mx.bias.selection_model(
        fit,
        kind,
        None if steps is None else tuple(steps),
        alternative=SIDES.get(side, side),
        precision=options["prec"][0] if "prec" in options else None,
        delta=options.get("delta"),
        tau2=tau2,
    )


def random_effects(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Answer a case of selection_models."""
    found = fit_selection(case, data)
    if case["call"].get("interval_type"):
        return profiles(found)
    low, high = found.coefficients.bounds()
    wald = found.wald_intervals()
    weights = wald.loc[list(found.delta_names)]
    neutral = np.array({"step": [1.0], "beta": [1.0, 1.0], "truncated": [1.0]}.get(found.weights, [0.0]))
    if found.weights == "truncated-estimated":
        neutral = np.array([1.0, 0.0])
    statistic = (found.delta - neutral) / found.delta_se
    smooth = {"beta": [0.0, 1.0], "truncated-estimated": None}.get(found.weights, [0.0])
    fixed = found.tau2_given
    return {
        "coefficient_names": list(found.design.names),
        "estimate": found.coefficients.beta,
        "se": found.coefficients.se,
        "statistic": found.coefficients.wald_statistics,
        "p_value": found.coefficients.wald_pvalues,
        "ci_lower": low,
        "ci_upper": high,
        "tau2": found.tau2,
        "se_tau2": found.tau2_se,
        "tau2_ci_lower": wald.loc["tau2", "low"],
        "tau2_ci_upper": wald.loc["tau2", "high"],
        "heterogeneity_LRT": None if fixed else found.heterogeneity_test.statistic,
        "heterogeneity_LRT_p": None if fixed else found.heterogeneity_test.pvalue,
        "delta": found.delta,
        "delta_se": found.delta_se,
        "delta_statistic": statistic,
        "delta_p": normal_two_sided(statistic),
        "delta_ci_lower": weights["low"].to_numpy(),
        "delta_ci_upper": weights["high"].to_numpy(),
        "selection_LRT": max(0.0, found.lrt.statistic),
        "selection_LRT_df": found.lrt.df[0],
        "selection_LRT_p": found.lrt.pvalue,
        "log_likelihood": found.llf,
        "log_likelihood_without_selection": found.plain.llf,
        "steps": [*found.cuts, 1.0] if found.weights == "step" or found.cuts not in ((), (0.0,)) else smooth,
        "p_values_one_sided": found.study_pvalues,
    }


def profiles(found: SelectionModel) -> dict[str, Any]:
    """Return the profile intervals of tau2, tau and the weights."""
    low, high = found.profile_interval("tau2")
    rows = {"tau^2": (found.tau2, low, high), "tau": (found.tau, np.sqrt(low), np.sqrt(high))}
    for j, name in enumerate(found.delta_names):
        if found.delta_is_fixed[j]:
            continue
        rows[name.replace("_", ".")] = (found.delta[j], found.delta_low[j], found.delta_high[j])
    keys = ("estimate", "ci_lower", "ci_upper")
    return {name: dict(zip(keys, row, strict=True)) for name, row in rows.items()}


def weight_function_step(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Answer a case of weightr: tau2 (if it is estimated), mean, weights."""
    found, plain = weightr(case, data), weightr(case, data, without=True)

    def parts(fit: SelectionModel) -> tuple[list[float], list[float]]:
        if fit.tau2_given:
            return [fit.estimate], [fit.se]
        return [fit.tau2, fit.estimate], [fit.tau2_se, fit.se]

    return {
        "parameter_order": "mean, then weights" if found.tau2_given else "tau2, mean, then weights",
        "unadjusted": parts(plain)[0],
        "unadjusted_se": parts(plain)[1],
        "adjusted": [*parts(found)[0], *found.delta[1:]],
        "adjusted_se": [*parts(found)[1], *found.delta_se[1:]],
        "LRT": found.lrt.statistic,
        "LRT_df": found.lrt.df[0],
    }


def weightr(case: Case, data: dict[str, Any], without: bool = False) -> SelectionModel:
    """Return the fit of a case of weightr, or that without selection."""
    call = case["call"]
    return mx.bias.selection_model(
        plain_effects(data),
        cuts=tuple(call["steps"]),
        alternative="greater",
        delta=np.ones(len(call["steps"])) if without else None,
        tau2="estimated" if call["heterogeneity"] else 0.0,
    )


MODELS = {
    ("selection_models", "random_effects"): random_effects,
    ("publication_bias_extra", "weight_function_step"): weight_function_step,
}
