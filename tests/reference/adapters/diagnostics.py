"""Reference cases on residuals, leverages, predictions of true effects and case deletion."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo.models import RandomEffectsResults
from metaexo.plots.canvas.chart import Rule
from metaexo.sensitivity import Refits, baujat, cumulative, influence, leave_one_out
from tests.reference.adapters.models import fit_case, rows_used
from tests.reference.cases import Case, NotCovered

Answer = Callable[[RandomEffectsResults], dict[str, Any]]


def residuals(fit: RandomEffectsResults) -> dict[str, Any]:
    """Every kind of residual."""
    inner, outer = fit.residuals(), fit.residuals("studentized")
    return {
        "fitted": fit.fitted_values,
        "raw": inner["residual"].to_numpy(),
        "standardized_residual": inner["residual"].to_numpy(),
        "standardized_se": inner["se"].to_numpy(),
        "standardized_z": inner["z"].to_numpy(),
        "deleted_residual": outer["residual"].to_numpy(),
        "deleted_se": outer["se"].to_numpy(),
        "deleted_z": outer["z"].to_numpy(),
        "pearson": fit.residuals("pearson")["z"].to_numpy(),
        "cholesky": fit.residuals("cholesky")["z"].to_numpy(),
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
    for name, table in (("blup", fit.blup()), ("random_effect", fit.random_effects())):
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
    # where the fit without a study is not possible the reference knows of the leverage alone
    leverage = np.where(found.hat > 3 * fit.design.p / fit.k, True, None)
    flags = np.where(np.isfinite(found.tau2), found.influential, leverage)
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
        "influential": list(flags),
    }


def series(found: Refits, fit: RandomEffectsResults) -> dict[str, Any]:
    """Estimates, heterogeneity and Q of leave-one-out and of cumulative analyses."""
    return {
        "estimate": found.estimate,
        "se": found.se[:, 0],
        "statistic": found.statistic[:, 0],
        "p_value": found.pvalue[:, 0],
        "ci_lower": found.low[:, 0],
        "ci_upper": found.high[:, 0],
        "Q": found.q,
        "Q_p": found.q_pvalue,
        "tau2": found.tau2 if fit.is_random else [],
        "I2_percent": 100 * found.i2,
        "H2": found.h2,
    }


def left_out(fit: RandomEffectsResults) -> dict[str, Any]:
    """Leave-one-out."""
    return series(leave_one_out(fit), fit)


def growing(case: Case, data: dict[str, Any], fit: RandomEffectsResults) -> dict[str, Any]:
    """Cumulative analyses, equal values in the order of the rows."""
    by, used = case["call"]["order_variable"], rows_used(case, data)
    order = used if by == "row number" else [data[by][i] for i in used]
    found = cumulative(fit, order, ties="rows")
    added = np.concatenate(found.rows)
    return series(found, fit) | {"row_added_0based": used[added]}


def contributions(fit: RandomEffectsResults) -> dict[str, Any]:
    """Baujat's plot."""
    found = baujat(fit)
    return {"x": found.contribution, "y": found.influence}


def points(plan: Any, fit: RandomEffectsResults, x: str = "x", y: str = "y") -> pd.DataFrame:
    """Return the points of a chart in the order of the effects."""
    frame = plan.to_frame()
    frame = frame[(frame["layer"] == "points") & frame["id"].notna()].set_index("id")
    ids = [row for row in fit.effects.row_ids if row in frame.index]
    return frame.loc[ids, [x, y]].astype(float).set_axis(["x", "y"], axis=1)


def quantiles(fit: RandomEffectsResults) -> dict[str, Any]:
    """Points of normal quantile plots of both kinds of residuals."""
    out: dict[str, Any] = {}
    for theirs, kind in (("rstandard", "standardized"), ("rstudent", "studentized")):
        table = points(mx.plots.normal_quantile_plan(fit, kind=kind, envelope=None), fit)
        out |= {f"{theirs}_x": table["x"].to_numpy(), f"{theirs}_y": table["y"].to_numpy()}
    return out


def radial(fit: RandomEffectsResults) -> dict[str, Any]:
    """Points of a radial plot."""
    table = points(mx.plots.radial_plan(fit), fit)
    return {"x": table["x"].to_numpy(), "y": table["y"].to_numpy()}


def funnel(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Points of funnel plots on all axes, of residuals on one, and where the region lies."""
    fit = fit_case(case, data, ("ni",) if "ni" in data else ())
    axes = ["sei"]
    if fit.design.x is None:
        of_sizes = ("ni", "ninv", "sqrtni", "sqrtninv", "lni") if "ni" in data else ()
        axes += ["vi", "seinv", "vinv", "wi", *of_sizes]
    tables = {axis: points(mx.plots.funnel_plan(fit, yaxis=axis), fit, "place", "height") for axis in axes}
    rules = mx.plots.funnel_plan(fit, reference=None).layers(Rule)
    return {
        "x": tables[axes[0]]["x"].to_numpy(),
        "y": {axis: table["y"].to_numpy() for axis, table in tables.items()},
        "reference_line": rules[0].at,
    }


# Opening words of what a case asks for.
ANSWERS: dict[str, Answer] = {
    "leave-one-out": left_out,
    "Baujat": contributions,
    "normal quantile": quantiles,
    "radial": radial,
    "case deletion": influential,
    "fitted values, raw": residuals,
    "hat values": leverage,
    "empirical Bayes predictions": blup,
}


def diagnostics(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Topic diagnostics."""
    asked = case["call"]["statistic"]
    if asked.startswith("cumulative"):
        return growing(case, data, fit_case(case, data))
    if asked.startswith("funnel"):
        return funnel(case, data)
    answer = next((answer for words, answer in ANSWERS.items() if asked.startswith(words)), None)
    if answer is None:
        raise NotCovered(f"series: {' '.join(asked.split()[:3])}")
    return answer(fit_case(case, data)) | {"rows_used_0based": rows_used(case, data)}


TOPICS = {"diagnostics": diagnostics}
