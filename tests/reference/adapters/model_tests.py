"""From the neutral call of a reference case to tests of models: contrasts, terms, likelihoods, permutations.

Moderators go through the formula that the case names, on the rows that it used.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo.errors import DependentEffectsWarning
from metaexo.models import LocationScaleResults, RandomEffectsResults, TestResult
from tests.reference.adapters.models import fit_case
from tests.reference.cases import Case, NotCovered

TESTS = {"z": "z", "t": "t", "knha": "knapp-hartung", "adhoc": "knapp-hartung-adhoc"}
# The grid of the profile cases, in units of the estimate and of the median sampling variance.
OF_TAU2 = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5)
OF_VARIANCE = (0.1, 0.5, 1, 2)


def effects_of(case: Case, data: dict[str, Any]) -> mx.EffectSizes:
    """Return the effects with their columns, on the rows that the case used."""
    frame = pd.DataFrame({name: column for name, column in data.items() if isinstance(column, list)})
    if "design_input" in case:
        frame = frame.iloc[case["design_input"]["rows_used_0based"]]
    frame = frame[frame["yi"].notna() & frame["vi"].notna()].reset_index(drop=True)
    return mx.EffectSizes(frame["yi"], frame["vi"], data=frame)


def fit_formula(case: Case, data: dict[str, Any], **choices: Any) -> RandomEffectsResults:
    """Return the fit of the case, its moderators by formula."""
    call = case["call"]
    options = {
        "method": call["tau2_method"],
        "test": TESTS[call["test"]],
        "level": call["level_percent"] / 100,
    }
    model = mx.RandomEffects(effects_of(case, data), call.get("moderator_formula"))
    columns = case.get("design_input", {}).get("column_names", list(model.design.names))
    if list(model.design.names) != columns:  # levels of rows that are not used moved the base of a factor
        return fit_case(case, data, **choices)
    return model.fit(**(options | choices))


def likelihood_ratio(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return the test against the model without moderators."""
    full = fit_formula(case, data)
    reduced = mx.RandomEffects(full.effects).fit(method=full.method, test=full.test)
    found = mx.likelihood_ratio_test(full, reduced)
    return {
        "full": _likelihood(full),
        "reduced": _likelihood(reduced),
        "LRT": found.statistic,
        "LRT_df": found.df,
        "LRT_p": found.pvalue,
        "R2_percent": None if found.r2 is None else 100 * found.r2,
    }


def _likelihood(fit: RandomEffectsResults) -> dict[str, float]:
    found = fit.fit_statistics()
    return {
        "parameters": found.parameters,
        "AIC": found.aic,
        "BIC": found.bic,
        "AICc": found.aicc,
        "log_likelihood": found.llf,
        "tau2": fit.tau2,
        "QE": fit.q.statistic,
    }


def contrasts(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return linear combinations one by one and together."""
    fit = fit_formula(case, data)
    x = fit.design.matrix(fit.k)
    found = fit.contrast(np.vstack([np.eye(fit.design.p)[1:], x.mean(axis=0)]))
    joint = found.joint
    testable = not np.isnan(joint.statistic)
    return {
        "L": found.weights,
        "estimate": found.estimate,
        "se": found.se,
        "statistic": found.statistic,
        "p_value": found.pvalue,
        "joint_statistic": joint.statistic,
        "joint_df1": joint.df[0] if testable else None,
        "joint_df2": joint.df[1] if testable and len(joint.df) > 1 else None,
        "joint_p": joint.pvalue,
    }


def adjusted(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return p-values of single coefficients, adjusted for their number."""
    fit = fit_formula(case, data)
    weights = np.eye(fit.design.p)[1:]
    holm, bonferroni = (fit.contrast(weights, adjust=how) for how in ("holm", "bonferroni"))
    return {"L": holm.weights, "p_holm": holm.adjusted, "p_bonferroni": bonferroni.adjusted}


def term(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return the test of one term."""
    name = re.sub("^.* of the term ", "", case["call"]["statistic"])
    fit = fit_formula(case, data)
    own = [part.columns for part in fit.design.terms if part.name == name]
    columns = own[0] if own else [j for j, known in enumerate(fit.design.names) if known.startswith(name)]
    found = fit.test_terms()[name] if own else fit.contrast(np.eye(fit.design.p)[columns]).joint
    return {
        "term": name,
        "coefficients_1based": [j + 1 for j in columns],
        "QM": found.statistic,
        "df1": found.df[0],
        "df2": found.df[1] if len(found.df) > 1 else None,
        "p": found.pvalue,
    }


def inflation(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return variance inflation factors."""
    found = fit_formula(case, data).vif()
    return {
        "coefficient_names": list(found.names),
        "vif": found.factor,
        "sif": found.se_factor,
        "generalized": {
            "term": list(found.terms),
            "gvif": found.generalised,
            "gsif": found.generalised_se_factor,
            "df": list(found.df),
        },
    }


def profile(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return the profile likelihood on the grid of the reference."""
    fit = fit_formula(case, data)
    grid = [0.0, *(fit.tau2 * np.array(OF_TAU2)), *(np.median(fit.effects.v) * np.array(OF_VARIANCE))]
    found = fit.profile(np.unique(grid))
    return {
        "tau2": found.tau2,
        "log_likelihood": found.llf,
        "mean": found.params[:, 0],
        "ci_lower": found.low[:, 0],
        "ci_upper": found.high[:, 0],
        "maximum": found.maximum,
    }


def heteroscedastic(kind: str) -> Callable[[Case, dict[str, Any]], dict[str, Any]]:
    """Return the adapter of one test of equal between-study variances."""

    def run(case: Case, data: dict[str, Any]) -> dict[str, Any]:
        found = fit_formula(case, data).heteroscedasticity_test(kind)
        return {"statistic": found.statistic, "df": found.df[0], "p": found.pvalue}

    return run


def permutation(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return an exact permutation test."""
    alternative = case["call"].get("alternative", "two.sided").replace(".", "-")
    found = mx.sensitivity.permutation_test(
        fit_formula(case, data), alternative=alternative, cluster="effect"
    )
    return {
        "iterations": found.arrangements,
        "coefficient_names": list(found.names),
        "p_value": found.pvalue,
        "QM_p": found.omnibus,
    }


def subgroups(tau2: str) -> Callable[[Case, dict[str, Any]], dict[str, Any]]:
    """Return the adapter of a subgroup analysis with separate or common between-study variance."""

    def run(case: Case, data: dict[str, Any]) -> dict[str, Any]:
        call = case["call"]
        by, method = call["subgroup_variable"], call["tau2_method"]
        es = effects_of(case, data)
        es = es.select(es.column(by).notna().to_numpy(), "no subgroup")
        with warnings.catch_warnings():  # R takes the effects as independent, whatever their study
            warnings.simplefilter("ignore", DependentEffectsWarning)
            found = mx.stratify(es, by, tau2=tau2, method=method, test="z", cluster=None)
        strata = sorted(found.strata, key=lambda s: _place(s.name))
        pooled = [s.pooled for s in strata]
        assert found.between is not None
        out: dict[str, Any] = {
            "groups": [s.name for s in strata],
            "k": [s.k for s in strata],
            "estimate": [p.estimate for p in pooled],
            "se": [p.se for p in pooled],
            "ci_lower": [p.low for p in pooled],
            "ci_upper": [p.high for p in pooled],
            **_test("Q_between", found.between),
        }
        if tau2 == "separate":
            means = mx.EffectSizes(out["estimate"], np.square(out["se"]))
            over = mx.RandomEffects(means).fit(method="EE", test="z").pooled()
            return out | {
                "tau2": [s.fit.tau2 for s in strata],
                "Q": [s.fit.q.statistic for s in strata],
                "I2_percent": [100 * s.fit.i2 for s in strata],
                "pooled": over.estimate,
                "pooled_se": over.se,
            }
        joint = mx.RandomEffects(es, f"0 + C({by})").fit(method=method, test="z")
        return out | {"tau2": joint.tau2, "se_tau2": joint.tau2_se, **_test("Q_within", joint.q)}

    return run


def _place(name: str) -> tuple[float, str]:
    try:
        return float(name), name
    except ValueError:
        return 0.0, name


def _test(name: str, test: TestResult) -> dict[str, float]:
    return {name: test.statistic, f"{name}_df": test.df[0], f"{name}_p": test.pvalue}


# Opening words of what a case asks for.
STATISTICS: dict[str, Callable[[Case, dict[str, Any]], dict[str, Any]]] = {
    "likelihood ratio test against": likelihood_ratio,
    "linear combinations": contrasts,
    "tests of the coefficients after the first": adjusted,
    "Wald-type test of all coefficients of the term": term,
    "variance inflation factors": inflation,
    "profile log-likelihood of tau2": profile,
    "test for heteroscedastic heterogeneity (score": heteroscedastic("score"),
    "test for heteroscedastic heterogeneity (likelihood": heteroscedastic("likelihood-ratio"),
    "separate fit in every subgroup": subgroups("separate"),
    "subgroup means with one tau2": subgroups("common"),
    "exact permutation test": permutation,
}


def model_test(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Topic tests."""
    asked = case["call"]["statistic"]
    for words, adapter in STATISTICS.items():
        if asked.startswith(words):
            return adapter(case, data)
    raise NotCovered(f"statistic {asked}")


def location_scale(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Topic location_scale."""
    call = case["call"]
    fit = location_scale_model(case, data).fit(
        call["tau2_method"], test=call["test"], level=call["level_percent"] / 100
    )
    bounds, scale_bounds = fit.conf_int(), fit.scale_coefficients.conf_int()
    df = fit.df_test
    return {
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
        "scale_names": list(fit.scale_coefficients.params.index),
        "scale_estimate": fit.scale_coefficients.params.to_numpy(),
        "scale_se": fit.scale_coefficients.bse.to_numpy(),
        "scale_statistic": fit.scale_coefficients.tvalues.to_numpy(),
        "scale_p": fit.scale_coefficients.pvalues.to_numpy(),
        "scale_ci_lower": scale_bounds["low"].to_numpy(),
        "scale_ci_upper": scale_bounds["high"].to_numpy(),
        "scale_vcov": fit.scale_coefficients.cov_params().to_numpy(),
        "tau2_per_study": fit.tau2_by_effect,
        "QM": fit.moderator_test.statistic,
        "QM_df1": fit.moderator_test.df[0],
        "QM_p": fit.moderator_test.pvalue,
        "scale_QM": fit.scale_test.statistic,
        "scale_QM_df": fit.scale_test.df[0],
        "scale_QM_p": fit.scale_test.pvalue,
        "QE": fit.q.statistic,
        "QE_p": fit.q.pvalue,
        "fit_statistics": {
            "ML": fit_statistics(fit, False),
            "REML": fit_statistics(fit, True),
        },
    }


def location_scale_model(case: Case, data: dict[str, Any]) -> mx.LocationScale:
    """Return the model of a location-scale case."""
    call = case["call"]
    es = complete(case, data, (call.get("moderator_formula"), call["scale_formula"]))
    return mx.LocationScale(
        es,
        call.get("moderator_formula"),
        call["scale_formula"],
        link=call["scale_link"],
        dependence="accept",  # as the reference does
    )


def complete(case: Case, data: dict[str, Any], formulas: tuple[str | None, ...]) -> mx.EffectSizes:
    """Return the effects without the rows that miss a column of the formulas."""
    es = effects_of(case, data)
    wanted = {word for text in formulas if text for word in re.findall(r"[A-Za-z_]\w*", text)}
    used = es.data[[name for name in es.data.columns if name in wanted]]
    return es.select(used.notna().all(axis=1).to_numpy(), "a moderator is missing")


def fit_statistics(fit: LocationScaleResults, restricted: bool) -> dict[str, float]:
    """Return the fit statistics under their reference names."""
    found = fit.fit_statistics(restricted)
    return {
        "log_likelihood": found.llf,
        "deviance": found.deviance,
        "AIC": found.aic,
        "BIC": found.bic,
        "AICc": found.aicc,
    }


TOPICS = {"tests": model_test, "location_scale": location_scale}
