"""From the neutral call of a reference case to multilevel fits looked at by groups of effects.

Groups are clusters that are left out together, subgroups with a fit of their own, or levels with a mean of
their own in one fit. Fits, tests, profiles and predictions are asked for as in the topic multilevel.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo.models.multilevel.results import MultilevelResults
from tests.reference.adapters.multilevel import (
    MODELS,
    base_fit,
    cluster_of,
    components,
    make_fit,
    numbers,
    residuals,
)
from tests.reference.cases import Case, NotCovered


def in_order(names: tuple[str, ...]) -> list[int]:
    """Return the positions of clusters in the order of the reference: numbers by size, words by letters."""
    if all(re.fullmatch(r"-?\d+(\.\d+)?", name) for name in names):
        return sorted(range(len(names)), key=lambda i: float(names[i]))
    return sorted(range(len(names)), key=lambda i: (names[i].casefold(), names[i]))


def refitted(case: Case) -> bool:
    """Say whether components are estimated anew without each cluster."""
    call = case["call"]
    given = [call[name] for name in ("refit", "reestimate", "re_estimated") if name in call]
    return bool(given[0]) if given else "reestimate=FALSE" not in case["r_call"].replace(" ", "")


def by_row(fit: MultilevelResults, cluster: str, refit: bool) -> dict[str, Any]:
    """Return residuals of every kind, by effect."""
    inner, outer = fit.residuals(), fit.residuals("studentized", cluster=cluster, refit=refit)
    out: dict[str, Any] = {"raw": inner["residual"].to_numpy(), "fitted": fit.fitted_values}
    for name, table in (("standardized", inner), ("deleted", outer)):
        out[f"{name}_residual"] = table["residual"].to_numpy()
        out[f"{name}_se"] = table["se"].to_numpy()
        out[f"{name}_z"] = table["z"].to_numpy()
    out["pearson"] = fit.residuals("pearson")["z"].to_numpy()
    out["cholesky"] = fit.residuals("cholesky")["z"].to_numpy()
    return out


def matrices(fit: MultilevelResults) -> dict[str, Any]:
    """Return the matrices behind residuals and weights, under the names that they may have."""
    own = {
        "hat_matrix": fit.hat_matrix,
        "weight_matrix": fit.weight_matrix,
        "fitted": fit.cov_fitted(),
        "residual": fit.cov_residuals(),
        "residuals": fit.cov_residuals(),
        "marginal": fit.cov_effects(),
        "observed": fit.cov_effects(),
    }
    out = {name: value for name, value in own.items() if name.endswith("_matrix")}
    for name, value in own.items():
        if not name.endswith("_matrix"):
            out |= {f"vcov_{name}": value, f"{name}_vcov": value, f"covariance_of_{name}": value}
    return out | {"covariance_of_fitted_values": own["fitted"], "fitted_se": np.sqrt(np.diag(own["fitted"]))}


def by_cluster(
    fit: MultilevelResults, cluster: str, refit: bool, kind: str = "studentized"
) -> dict[str, Any]:
    """Return the chi-square of each cluster with its size, degrees of freedom and p-value."""
    table = fit.cluster_residuals(cluster, kind, refit)
    table = table.iloc[in_order(tuple(map(str, table.index)))]
    statistic, p = table["statistic"].to_numpy(), table["pvalue"].to_numpy()
    size = table["effects"].to_numpy()
    return {
        "cluster": list(table.index),
        "level": list(table.index),
        "X2": statistic,
        "chi_square": statistic,
        "k": size,
        "n_effects": size,
        "df": table["df"].to_numpy(),
        "p_value": p,
    }


def influence(fit: MultilevelResults, cluster: str, refit: bool) -> dict[str, Any]:
    """Return Cook's distances and DFBETAS without each cluster, and the fits without them."""
    found = fit.influence(cluster, refit)
    order = in_order(found.labels) if cluster != "effect" else list(range(len(found.labels)))
    names = [name.replace("C(", "factor(") for name in found.names]
    dfbetas = found.dfbetas[order]
    out = {
        "cluster": [found.labels[i] for i in order],
        "cooks_distance": found.cooks_distance[order],
        "dfbetas": {name: dfbetas[:, j] for j, name in enumerate(names)},
        "estimate_deleted": {name: found.beta[order, j] for j, name in enumerate(names)},
        "sigma2_deleted": found.components[order],
    }
    return out | {f"dfbetas_{name}": dfbetas[:, j] for j, name in enumerate(names)}


def left_out(case: Case) -> dict[str, Any]:
    """Return all that leaves out clusters: residuals, chi-square tests, influence, and the matrices."""
    fit, cluster, refit = base_fit(case), cluster_of(case), refitted(case)
    out = residuals(case) | by_row(fit, cluster, refit) | matrices(fit)
    if cluster == "effect":
        return out | influence(fit, cluster, refit)
    inner = by_cluster(fit, cluster, refit, "standardized")
    out |= {f"standardized_{name}": inner[name] for name in ("X2", "chi_square", "p_value")}
    outer = by_cluster(fit, cluster, refit)
    out |= {f"deleted_{name}": outer[name] for name in ("X2", "chi_square", "p_value")}
    asked = case["r_call"]
    chosen = inner if "rstandard(" in asked and "rstudent(" not in asked else outer
    return out | influence(fit, cluster, refit) | chosen


def subgroups(case: Case) -> dict[str, Any]:
    """Return a fit per subgroup, and the test of whether their means are the same."""
    call, frame = case["call"], pd.DataFrame(case["inputs"]["data"])
    by = next((call[name] for name in ("subgroup_variable", "group", "by") if name in call), None)
    if by is None:
        raise NotCovered("a subgroup analysis without a named variable")
    fits = []
    labels = frame[by].dropna().unique()
    order = in_order(tuple(map(str, labels)))
    for label in (labels[i] for i in order):
        rows = frame[frame[by] == label]
        part = case | {"inputs": case["inputs"] | {"data": rows.to_dict("list")}}
        fits.append(make_fit(part))
    estimates = np.array([fit.estimate for fit in fits])
    se = np.array([fit.se[0] for fit in fits])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        over = mx.RandomEffects(mx.EffectSizes(estimates, se**2)).fit(method="EE", test="z")
    each = [numbers(fit) for fit in fits]
    return {
        "groups": [str(labels[i]) for i in order],
        "k": [fit.k for fit in fits],
        "estimate": estimates,
        "se": se,
        "ci_lower": [one["ci_lower"][0] for one in each],
        "ci_upper": [one["ci_upper"][0] for one in each],
        "p_value": [one["p_value"][0] for one in each],
        "Q": [fit.q.statistic for fit in fits],
        "sigma2": [components(fit, case)["sigma2"]["estimate"] for fit in fits],
        "pooled": over.estimate,
        "pooled_se": over.se[0],
        "Q_between": over.q.statistic,
        "Q_between_df": over.q.df[0],
        "Q_between_p": over.q.pvalue,
    }


# What a case asks for beside the models of the topic multilevel, by words in the name of its model.
ANSWERS: dict[str, Callable[[Case], dict[str, Any]]] = {
    "subgroup": subgroups,
    "separate": subgroups,
    "deletion": left_out,
    "residual": left_out,
    "influence": left_out,
    "hat": left_out,
    "fitted": left_out,
    "cluster_diagnostics": left_out,
}


def groups(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Topic multilevel_groups: the call names the model."""
    kind = case["call"]["model"]
    answer = next((answer for words, answer in ANSWERS.items() if words in kind), MODELS.get(kind))
    if answer is None:
        raise NotCovered(f"model {kind}")
    return answer(case)


TOPICS = {"multilevel_groups": groups}
