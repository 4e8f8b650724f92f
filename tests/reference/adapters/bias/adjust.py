"""Adjusted estimates, proportions of true effects beyond a threshold, and combined p-values."""

from __future__ import annotations

import re
from typing import Any

import metaexo as mx
from tests.reference.adapters.one_level_extras import plain_effects
from tests.reference.cases import Case, NotCovered


def limit(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return the adjusted mean and what it is made of."""
    fit = mx.RandomEffects(plain_effects(data)).fit(method=case["call"]["tau2_method"])
    found = mx.bias.limit_meta_analysis(fit, case["call"]["method_adjust"])
    return {
        "estimate": found.estimate,
        "se": found.se,
        "ci_lower": found.low,
        "ci_upper": found.high,
        "p_value": found.pvalue,
        "alpha": found.alpha,
        "beta": found.beta,
        "Q": found.q.statistic,
        "Q_small_study": found.q_small_study.statistic,
        "Q_residual": found.q_residual.statistic,
        "G2": found.g2,
        "tau": found.tau2**0.5,
        "shrunken_effects": found.shrunken,
        "shrunken_se": found.shrunken_se,
    }


# Methods by their names in the reference, with what else they need.
COMBINATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "fisher": ("fisher", {}),
    "stouffer": ("stouffer", {}),
    "edgington": ("edgington", {}),
    "tippett": ("tippett", {}),
    "maximum": ("maximum", {}),
    "simes": ("simes", {}),
    "logit": ("logit", {}),
    "mean_p": ("mean-p", {}),
    "mean_z": ("mean-z", {}),
    "vote": ("vote", {}),
}
RANKED = re.compile(r"wilkinson_r(\d+)")
WITH_DF = re.compile(r"inv(chisq|t)(\d*)")


def combined(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return statistic, degrees of freedom and combined p-value."""
    word = case["call"]["method"]
    ranked, with_df = RANKED.fullmatch(word), WITH_DF.fullmatch(word)
    if ranked:
        method, choices = "wilkinson", {"smallest": int(ranked[1])}
    elif with_df:
        method = "inverse-chi-square" if with_df[1] == "chisq" else "inverse-t"
        named = re.search(r"(\d+) df", case["call"]["words"])
        choices = {"df": int(with_df[2] or (named[1] if named else 10))}
    elif word in COMBINATIONS:
        method, choices = COMBINATIONS[word]
    else:
        raise NotCovered(f"combination by {word}")
    found = mx.bias.combine_pvalues(data["p"], method, **choices)
    # the reference's t test of the mean of z has no statistic by that name
    statistic = None if method == "mean-z" else found.statistic
    return {"statistic": statistic, "df": found.df[0] if found.df else None, "p_value": found.pvalue}


def beyond(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return the proportion by a normal distribution, or the calibrated effects."""
    call = case["call"]
    fit = mx.RandomEffects(plain_effects(data)).fit(method=call["tau2_method"], test="z")
    if call.get("estimate_method") != "parametric":
        return {"calibrated": mx.bias.proportion_beyond(fit, 0.0).calibrated}
    found = mx.bias.proportion_beyond(fit, call["threshold"], call["tail"], "parametric")
    return {
        "mu": found.mean,
        "tau2": found.tau2,
        "se": found.mean_se,
        "se_tau2": found.tau2_se,
        "proportion": found.proportion,
        "proportion_se": found.se,
        "ci_lower": found.low,
        "ci_upper": found.high,
    }


MODELS = {
    ("proportion_beyond_threshold", ""): beyond,
    ("publication_bias_extra", "limit_meta_analysis"): limit,
    ("p_value_combination", ""): combined,
}
