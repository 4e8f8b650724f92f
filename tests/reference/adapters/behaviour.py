"""Reference cases on how rows, columns and studies that cannot all be used are dealt with.

What a case is about is in the opening words of its behaviour; formula and rows, where the call does not name
them, are in its R call.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo import effects
from metaexo.errors import CollinearError, NearlyCollinearWarning, TooFewStudiesError
from metaexo.models import RandomEffectsResults
from metaexo.sensitivity import cumulative
from tests.reference.adapters.counts import mantel_haenszel
from tests.reference.adapters.effects import TO
from tests.reference.adapters.model_tests import effects_of
from tests.reference.adapters.models import TESTS, described
from tests.reference.cases import Case, NotCovered

Answer = Callable[[Case, dict[str, Any]], dict[str, Any]]


def all_effects(data: dict[str, Any]) -> mx.EffectSizes:
    """Return the effects with their columns, rows with missing values among them."""
    frame = pd.DataFrame({name: column for name, column in data.items() if isinstance(column, list)})
    return mx.EffectSizes(frame["yi"], frame["vi"], data=frame)


def formula_of(case: Case) -> str | None:
    """Return the moderators of the case: those of the call, or of its R call."""
    found = re.search(r"mods *= *~ *([^,)]+)", case["r_call"])
    return case["call"].get("moderator_formula") or (found.group(1).strip() if found else None)


def redundant(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return a fit whose redundant columns are dropped because that is asked for."""
    es, formula = effects_of(case, data), formula_of(case)
    model = dropping(es, formula)
    names = model.design.encoding.names
    dropped = [name in model.design.dropped for name in names]
    return described(model.fit(method=case["call"]["tau2_method"], test="z"), "z") | {
        "column_dropped": dropped
    }


def dropping(es: mx.EffectSizes, formula: str | None) -> mx.RandomEffects:
    """Return the model without redundant columns.

    A column that is nearly redundant is refused by the reference; here it raises a warning, which counts.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", NearlyCollinearWarning)
        try:
            return mx.RandomEffects(es, formula, redundant="drop")
        except NearlyCollinearWarning as warning:
            raise CollinearError(str(warning), "columns that differ by more than rounding") from warning


def saturated(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return a fit of the first rows, as many as there are coefficients."""
    rows = re.search(r"dat\[1:(\d+) *,", case["r_call"])
    method = re.search(r"method *= *['\"](\w+)['\"]", case["r_call"])
    if rows is None:
        raise NotCovered(f"rows of {case['r_call']}")
    es = effects_of(case, data).select(range(int(rows.group(1))), "not among the first")
    fit = dropping(es, formula_of(case)).fit(method=method.group(1) if method else "REML", test="z")
    return described(fit, "z")


def missing(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return a fit of the rows that are complete."""
    formula = formula_of(case)
    fit = fit_of_complete_rows(data, formula)
    return described(fit, "z") | {"rows_used_0based": [line - 1 for line in fit.effects.ledger.used]}


def residuals_of_complete_rows(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return residuals and hat values of the regression on x, a value for each row that is complete."""
    fit = fit_of_complete_rows(data, "x")
    return {
        "residual": fit.residuals()["residual"].to_numpy(),
        "hat": fit.hat_values,
        "fitted": fit.fitted_values,
    }


def fit_of_complete_rows(data: dict[str, Any], formula: str | None) -> RandomEffectsResults:
    """Return the REML fit of the rows with effect, variance and moderators."""
    es = all_effects(data)
    for name in re.findall(r"[A-Za-z_]\w*", formula or ""):
        es = es.select(es.column(name).notna().to_numpy(), "a moderator is missing")
    return mx.RandomEffects(es, formula).fit(method="REML", test="z")


def degenerate(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return fits with variances of zero, or of one study."""
    test = case["call"].get("test", "z")
    try:
        fit = mx.RandomEffects(all_effects(data)).fit(method=case["call"]["tau2_method"], test=TESTS[test])
    except TooFewStudiesError as error:
        words = "one study is refused by choice unless method and test allow it"
        raise NotCovered(f"{words}: {error.remedy}") from error
    return described(fit, test)


def zero_cells(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return pooled effects of tables with zeros, by the handling of zeros."""
    call = case["call"]
    a, b, c, d = (np.array(data[x], dtype=float) for x in ("ai", "bi", "ci", "di"))
    words = {"treatment_events": a, "treatment_n": a + b, "control_events": c, "control_n": c + d}
    add, to = call["continuity_add"], TO[call["continuity_to"]]
    zeros = effects.ZeroCells(add, to, drop_double_zero=bool(call["drop_double_zero"]))
    done = effects.calculate(call["measure"], words, zero_cells=zeros)
    es = mx.EffectSizes(done.y, done.v)
    return {
        "yi": done.y,
        "vi": done.v,
        "k_used": es.k,
        "DL": _pooled(mx.RandomEffects(es).fit(method="DL", test="z")),
        "equal_effects": _pooled(mx.RandomEffects(es).fit(method="EE")),
    }


def _pooled(fit: RandomEffectsResults) -> dict[str, float]:
    return {
        "estimate": fit.estimate,
        "se": fit.se[0],
        "tau2": fit.tau2,
        "Q": fit.q.statistic,
        "I2_percent": 100 * fit.i2,
    }


def not_by_choice(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Say what is not offered on purpose."""
    raise NotCovered("tau2 and sampling variances are at least 0 by choice")


def in_sequence(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return the cumulative analysis of the complete rows, in their order."""
    fit = mx.RandomEffects(effects_of(case, data)).fit(test="z")
    found = cumulative(fit, np.arange(fit.k), ties="rows")
    return {"estimate": found.estimate, "tau2": found.tau2}


# Opening words of the behaviour.
ANSWERS: dict[str, Answer] = {
    "redundant columns": redundant,
    "as many coefficients as studies": saturated,
    "p+1 > k": saturated,
    "rows with a missing": missing,
    "same for a factor": missing,
    "residuals, hat values": residuals_of_complete_rows,
    "some sampling variances are zero": degenerate,
    "a single study": degenerate,
    "study effects and pooled estimates": zero_cells,
    "Mantel-Haenszel pooled estimate": mantel_haenszel.pooled,
    "Peto pooled estimate": mantel_haenszel.pooled,
    "tau2 estimates are truncated": not_by_choice,
    "negative variances": not_by_choice,
    "cumulative analysis": in_sequence,
}


def behaviour(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Topic stress_behaviour."""
    asked = case["call"]["behaviour"]
    for words, answer in ANSWERS.items():
        if asked.startswith(words):
            return answer(case, data)
    raise NotCovered(f"behaviour: {' '.join(asked.split()[:6])}")


TOPICS = {"stress_behaviour": behaviour}
