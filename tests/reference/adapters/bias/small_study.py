"""Tests of small-study effects as the package meta names them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo.bias.counts_test import mantel_haenszel
from tests.reference.adapters.one_level_extras import plain_effects
from tests.reference.cases import Case, NotCovered

# Tests of tables by their names in the reference.
OF_TABLES = {"Harbord", "Peters", "Macaskill", "Schwarzer", "Deeks"}


def answer(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Answer a test: of effects with DerSimonian and Laird's estimator, or of tables."""
    test = case["call"]["test"]
    if test in OF_TABLES or test.startswith("Thompson ("):
        return of_tables(case, data)
    effects = plain_effects(data)
    if test == "Begg":
        ranks = mx.bias.rank_test(effects, exact=False)
        return {
            "statistic": ranks.statistic,
            "p_value": ranks.pvalue,
            "bias": ranks.score,
            "bias_se": ranks.score_se,
            "intercept": None,
        }
    if test not in ("Egger", "Thompson"):
        raise NotCovered(f"test {test}")
    if test == "Egger":
        found = mx.bias.regression_test(effects, "se", "dispersion", cluster=None)
    else:  # the package meta tests by t with k - 2 degrees of freedom
        fit = mx.RandomEffects(effects, dependence="accept").fit("DL", "t")
        found = mx.bias.regression_test(fit, "se", cluster=None)
    return {
        "statistic": found.statistic,
        "df": found.test.df[0],
        "p_value": found.pvalue,
        "bias": found.coef,
        "bias_se": found.se,
        "intercept": None,
        "tau2": found.dispersion if test == "Egger" else found.tau2,
    }


def of_tables(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Answer a test of two-by-two tables."""
    test = case["call"]["test"]
    a, n1, c, n2 = (np.array(data[name], dtype=float) for name in ("ai", "n1i", "ci", "n2i"))
    names = ("treatment_events", "treatment_n", "control_events", "control_n")
    table = pd.DataFrame(dict(zip(names, (a, n1, c, n2), strict=True)))
    measure = {"ASD": "AS"}.get(case["call"]["measure"], case["call"]["measure"])
    effects = mx.effect_sizes(measure, data=table)
    if test.startswith("Thompson"):
        fit = mx.RandomEffects(effects, dependence="accept").fit("DL", "t")
        found = mx.bias.counts_test(fit, "ruecker")
    elif test == "Schwarzer":  # the common odds ratio with 0.5 in the studies with a zero cell
        some = (a + c > 0) & (a + c < n1 + n2)
        cells = np.stack([a, n1 - a, c, n2 - c])[:, some]
        cells = cells + 0.5 * (cells == 0).any(axis=0)
        found = mx.bias.counts_test(effects, "schwarzer", odds_ratio=mantel_haenszel(*cells))
    else:
        found = mx.bias.counts_test(effects, test.casefold())
    return {
        "statistic": found.statistic,
        "df": found.test.df[0] if found.test.df else None,
        "p_value": found.pvalue,
        "bias": found.coef,
        "bias_se": found.se,
    }


MODELS = {
    ("publication_bias_extra", "small_study_test"): answer,
    ("binary_small_study_tests", "small_study_test"): answer,
}
