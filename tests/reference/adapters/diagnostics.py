"""Reference cases on residuals, leverages, predictions of true effects and case deletion."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from metaexo.models import RandomEffectsResults
from metaexo.sensitivity import influence
from tests.reference.adapters.models import fit_case
from tests.reference.cases import Case, NotCovered

Answer = Callable[[RandomEffectsResults], dict[str, Any]]


def residuals(fit: RandomEffectsResults) -> dict[str, Any]:
    """Every kind of residual."""
    inner, outer = fit.residual_frame("standardised"), fit.residual_frame("studentised")
    return {
        "fitted": fit.fitted_values,
        "raw": fit.residuals("raw"),
        "standardized_residual": inner["residual"].to_numpy(),
        "standardized_se": inner["se"].to_numpy(),
        "standardized_z": inner["z"].to_numpy(),
        "deleted_residual": outer["residual"].to_numpy(),
        "deleted_se": outer["se"].to_numpy(),
        "deleted_z": outer["z"].to_numpy(),
        "pearson": fit.residuals("pearson"),
        "cholesky": fit.residuals("cholesky"),
    }


def leverage(fit: RandomEffectsResults) -> dict[str, Any]:
    """Hat values and weights."""
    return {
        "hat": fit.hat_values,
        "weight_percent": 100 * fit.weights,
        "hat_matrix": fit.hat_matrix,
    }


def blup(fit: RandomEffectsResults) -> dict[str, Any]:
    """Predictions of true effects and of random effects."""
    out: dict[str, Any] = {}
    for name, table in (("blup", fit.blup()), ("random_effect", fit.blup(random_effects=True))):
        out[name] = table["estimate"].to_numpy()
        for end, column in (("se", "se"), ("lower", "low"), ("upper", "high")):
            out[f"{name}_{end}"] = table[column].to_numpy()
    return out


def _column(name: str) -> str:
    """Return the name of a coefficient as a column of an R data frame."""
    return re.sub(r"[^0-9A-Za-z._]", ".", name)


def influential(fit: RandomEffectsResults) -> dict[str, Any]:
    """Case deletion."""
    found = influence(fit)
    flags = zip(found.influential, np.isfinite(found.tau2), strict=True)
    return {
        "rstudent": found.rstudent,
        "dffits": found.dffits,
        "cooks_distance": found.cooks_distance,
        "covariance_ratio": found.covariance_ratio,
        "tau2_deleted": found.tau2,
        "QE_deleted": found.q,
        "hat": found.hat,
        "weight_percent": 100 * found.weights,
        "dfbetas": {_column(name): found.dfbetas[:, j] for j, name in enumerate(found.names)},
        # the reference has no flag where the fit without the study is not possible
        "influential": [bool(x) if known else None for x, known in flags],
    }


ANSWERS: dict[str, Answer] = {
    "influence": influential,
    "residuals": residuals,
    "leverage_weights": leverage,
    "blup": blup,
}


def diagnostics(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Topic diagnostics: what is asked for is the last part of the name."""
    name = case["id"].split("/")[-1]
    kind = next((kind for kind in ANSWERS if name.endswith(f"_{kind}")), None)
    if kind is None:
        raise NotCovered(f"{name.split('_')[-1]} plot or series")
    fit = fit_case(case, data)
    rows = case.get("design_input", {}).get("rows_used_0based", list(range(fit.k)))
    return ANSWERS[kind](fit) | {"rows_used_0based": rows}


TOPICS = {"diagnostics": diagnostics}
