"""From the neutral call of a reference case to multilevel models: fits, tests, profiles, predictions."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

import metaexo as mx
from metaexo.models.multilevel.model import Multilevel
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.multilevel.terms import RandomTerm
from tests.reference.cases import Case, NotCovered

# Cases refer to fits of earlier cases of their file by name.
FITS: dict[tuple[str, str], MultilevelResults] = {}
TESTS = {"z": "z", "t": "t"}


def base_fit(case: Case) -> MultilevelResults:
    """Return the fit of the earlier case that a case refers to, or the one that it describes itself."""
    if "base_case" not in case["call"]:
        return make_fit(case)
    key = (case["dataset"], case["call"]["base_case"])
    if key not in FITS:
        raise NotCovered(f"the fit {key[1]} that it refers to")
    return FITS[key]


def make_fit(case: Case, held: Sequence[float] | None = None) -> MultilevelResults:
    """Return the fit that a call describes, if asked for with all components held at given values."""
    call, blocks = case["call"], case["inputs"]
    frame = pd.DataFrame(blocks["data"])
    weights = None
    if "weights" in call:
        if call["weights"] != "diagonal, 1/vi":
            raise NotCovered(f"user weights {call['weights']}")
        weights = 1 / frame["vi"].to_numpy()
    es = mx.EffectSizes(frame["yi"], frame["vi"], data=frame)
    v = None
    if call.get("sampling_covariance_input"):
        v = covariance(blocks[call["sampling_covariance_input"]])
    formula = call.get("moderator_formula")
    test = TESTS[call["test"]]
    if str(call.get("df", "")).startswith("contain"):
        test = "t-containment"
    terms = random_terms(call, blocks)
    x = None if formula is None else formula_of(formula)
    model = Multilevel(es, terms, v, x, fix=fixed(call, terms), weights=weights)
    if held is not None:
        names = [name for term in model.terms for name in term.components]
        fix = dict(zip(names, held, strict=True))
        model = Multilevel(es, terms, v, x, fix=fix, weights=weights)
    return model.fit(call["method"], test)


def formula_of(text: str) -> str:
    """Return the formula in the package's words."""
    return text.replace("factor(", "C(").strip()


def covariance(block: dict[str, Any]) -> Any:
    """Return V of an input block."""
    if "V" in block:
        return np.array(block["V"], dtype=float)
    n, i, j = block["n"], block["upper_rows_0based"], block["upper_cols_0based"]
    upper = sparse.csr_array((block["upper_values"], (i, j)), shape=(n, n))
    return upper + sparse.csr_array(sparse.triu(upper, 1)).T


def named(block: dict[str, Any], key: str) -> pd.DataFrame:
    """Return a matrix with its level names."""
    names = list(map(str, block["levels"]))
    return pd.DataFrame(np.array(block[key], dtype=float), index=names, columns=names)


def random_terms(call: dict[str, Any], blocks: dict[str, Any]) -> list[RandomTerm]:
    """Return the random terms of a call."""
    known = call.get("known_correlation_term")
    relation = named(blocks[call["known_correlation_input"]], "R") if known else None
    distance = named(blocks[call["distance_input"]], "D") if call.get("distance_input") else None
    terms = [
        RandomTerm(name, relation=relation if name == known else None) for name in call.get("random", [])
    ]
    inner, outer, structure = (
        value if isinstance(value, list) else [value]
        for value in (call.get("inner"), call.get("outer"), call.get("structure"))
    )
    for one, two, code in zip(inner, outer, structure, strict=True):
        if one is not None:
            terms.append(RandomTerm(two, one, code.split(" ")[0], distance=distance))
    return terms


def fixed(call: dict[str, Any], terms: list[RandomTerm]) -> dict[str, float]:
    """Return the components that a call holds fixed."""
    out = {
        term.name: value
        for term, value in zip(terms, call.get("fixed_sigma2", []), strict=False)
        if value is not None
    }
    if "rho_fixed" in call:
        out[f"{terms[0].name}:rho"] = call["rho_fixed"]
    return out


def numbers(fit: Any) -> dict[str, Any]:
    """Return the coefficients of a fit under their reference names."""
    bounds = fit.conf_int()
    return {
        "coefficient_names": [name.replace("C(", "factor(") for name in fit.params.index],
        "estimate": fit.params.to_numpy(),
        "se": fit.bse.to_numpy(),
        "test_statistic": fit.tvalues.to_numpy(),
        "p_value": fit.pvalues.to_numpy(),
        "ci_lower": bounds["low"].to_numpy(),
        "ci_upper": bounds["high"].to_numpy(),
        "vcov": fit.cov_params().to_numpy(),
    }


def statistics(fit: MultilevelResults, restricted: bool) -> dict[str, float]:
    """Return the fit statistics under their reference names."""
    found = fit.fit_statistics(restricted)
    return {
        "log_likelihood": found.llf,
        "deviance": found.deviance,
        "AIC": found.aic,
        "BIC": found.bic,
        "AICc": found.aicc,
    }


def fitted(case: Case) -> dict[str, Any]:
    """Model multilevel_multivariate."""
    fit = FITS[case["dataset"], case["id"].split("/")[-1]] = make_fit(case)
    moderators = fit.moderator_test
    df = fit.df_of(np.eye(fit.design.p))
    out = numbers(fit) | {
        "n_effects": fit.k,
        "p": fit.design.p,
        "test_distribution": "normal" if df is None else "t",
        "test_df": df,
        "QE": fit.q.statistic,
        "QE_df": fit.q.df[0],
        "QE_p": fit.q.pvalue,
        "QM": moderators.statistic,
        "QM_df1": moderators.df[0],
        "QM_df2": moderators.df[1] if len(moderators.df) > 1 else None,
        "QM_distribution": moderators.distribution,
        "QM_p": moderators.pvalue,
        "QM_tested_coefficients_1based": list(fit.design.tested + 1),
        "fit_statistics": {"ML": statistics(fit, False), "REML": statistics(fit, True)},
    }
    return out | components(fit, case)


def components(fit: MultilevelResults, case: Case) -> dict[str, Any]:
    """Return variances and correlations under their reference names."""
    table = fit.components
    plain = table[table["structure"] == "intercept"]
    out: dict[str, Any] = {}
    if len(plain):
        out["sigma2"] = {
            "terms": list(plain["term"]),
            "estimate": plain["estimate"].to_numpy(),
            "levels": list(plain["levels"]),
            "fixed": [bool(x) for x in plain["fixed"]],
        }
        if len(plain) == len(table) and fit.design.x is None:
            out["I2"] = {
                "v": fit.typical_variance,
                "total_percent": 100 * fit.i2,
                "per_component_percent": 100 * fit.heterogeneity(method=None)["i2"].to_numpy(),
            }
    structured = [named for named in fit.terms if named.structure != "intercept"]
    words = [("tau2", "rho", "G"), ("gamma2", "phi", "H")]
    for i, (term, (variance, correlation, matrix)) in enumerate(zip(structured, words, strict=False)):
        own = table[table["term"] == term.name]
        slopes = term.structure in ("GEN", "GDIAG")
        others = own[own["kind"] != "variance"]["estimate"].to_numpy()
        inner, outer = term.name.split("|")
        written = f"factor({inner})" if f"~factor({inner})|" in case["r_call"].replace(" ", "") else inner
        out[f"inner_outer_{i + 1}"] = {
            "structure": term.structure,
            "terms": [*("intrcpt" if n == "intercept" else n for n in term.inner), outer]
            if slopes
            else [written, outer],
            variance: own[own["kind"] == "variance"]["estimate"].to_numpy(),
            correlation: others if len(others) else [0.0],
            "inner_levels": slope_levels(term, case) if slopes else list(term.inner),
            # the reference gives no matrix for spatial structures
            matrix: None if term.structure.startswith("SP") else fit.matrix(term.name).to_numpy(),
        }
    return out


def slope_levels(term: Any, case: Case) -> list[str]:
    """Return the distinct rows of the slopes' design as the reference writes them."""
    values = [case["data"][name] for name in term.inner if name != "intercept"]
    return sorted({"1 + " + " + ".join(f"{x:.15g}" for x in row) for row in zip(*values, strict=True)})


def robust(case: Case) -> dict[str, Any]:
    """Model cluster_robust."""
    call = case["call"]
    fit = base_fit(case)
    satterthwaite = "tests" in call
    kind = call["variance_type"]
    if not satterthwaite and kind == "CR1":
        kind = "CR1p"
    found = fit.robust(call["cluster"], kind, "satterthwaite" if satterthwaite else "clusters")
    test = found.moderator_test
    out = numbers(found) | {
        "n_clusters": len(found.robust_covariance.clusters),
        "F": test.statistic,
        "F_df1": test.df[0],
        "F_df2": test.df[1],
        "F_p": test.pvalue,
    }
    out["satterthwaite_df" if satterthwaite else "test_df"] = found.df_inference.to_numpy()
    return out


def profile_interval(case: Case) -> dict[str, Any]:
    """Model profile_likelihood_interval."""
    call = case["call"]
    fit = base_fit(case)
    kind, at = call["component"], call["component_index_1based"]
    table = fit.components
    chosen = table[(table["kind"] == ("correlation" if kind == "rho" else "variance"))]
    if kind == "sigma2":
        chosen = chosen[chosen["structure"] == "intercept"]
    found = fit.conf_int_components([str(chosen.index[at - 1])], call["level_percent"] / 100).iloc[0]
    several = len(chosen) > 1
    name, root = ("rho", None) if kind == "rho" else (f"{kind.rstrip('2')}^2", kind.rstrip("2"))
    suffix = f".{at}" if several else ""
    bounds = {"estimate": found["estimate"], "ci_lower": found["low"], "ci_upper": found["high"]}
    out: dict[str, Any] = {f"{name}{suffix}": bounds}
    if root is not None:
        out[f"{root}{suffix}"] = {key: math.sqrt(value) for key, value in bounds.items()}
    # a note says that the search stopped inside the range of the parameter; ours goes to its edge
    return out | {"lower_note": "", "upper_note": ""}


def profile(case: Case) -> dict[str, Any]:
    """Model profile_likelihood."""
    call = case["call"]
    fit = base_fit(case)
    component = list(fit.component_values)[call["component_index_1based"] - 1]
    grid = call.get("grid", [0, 0.02, 0.05, 0.1, 0.2, 0.4])
    found = fit.profile(component, grid)
    return {"value": found.value, "log_likelihood": found.llf, "maximum": found.maximum}


def ranef(case: Case) -> dict[str, Any]:
    """Model random_effects_predictions."""
    fit = base_fit(case)
    out = {}
    effects = fit.random_effects()
    for term, table in effects.groupby(effects["component"].str.split(":").str[0], sort=False):
        inner = table["inner"] != ""
        label = table["level"].where(~inner, table["inner"] + " | " + table["level"])
        name = f"~{term.replace('|', ' | ')}" if "|" in term else term
        out[name] = {
            "level": list(label),
            "prediction": table["estimate"].to_numpy(),
            "se": table["se"].to_numpy(),
            "lower": table["low"].to_numpy(),
            "upper": table["high"].to_numpy(),
        }
    return out


def residuals(case: Case) -> dict[str, Any]:
    """Model residuals_and_influence."""
    fit = base_fit(case)
    table = fit.residuals()
    out = {name: table[name].to_numpy() for name in ("fitted", "residual", "se", "z")}
    out |= {"hat": fit.hat_values, "diagonal_weight_percent": 100 * fit.diagonal_weights}
    pooled = fit.design.x is None
    return out | {"rowsum_weight_percent": 100 * fit.weights if pooled else None}


def cluster_of(case: Case) -> str:
    """Return what a case leaves out together: a column, by its call or by the R call; else single effects."""
    given = case["call"].get("cluster")
    if given is None:
        found = re.search(r"cluster\s*=\s*(?:\w+\$)?(\w+)", case["r_call"])
        given = found.group(1) if found else "effect"
    return str(given)


def deletion(case: Case) -> dict[str, Any]:
    """Model case_deletion."""
    fit = base_fit(case)
    found = fit.influence(cluster_of(case))
    return {
        "cluster": list(found.labels),
        "cooks_distance": found.cooks_distance,
        "dfbetas_intercept": found.dfbetas[:, 0],
    }


def prediction(case: Case) -> dict[str, Any]:
    """Model prediction."""
    fit = base_fit(case)
    names = {
        "estimate": "estimate",
        "se": "se",
        "low": "ci_lower",
        "high": "ci_upper",
        "prediction_low": "prediction_lower",
        "prediction_high": "prediction_upper",
    }
    if fit.design.x is None:
        table = fit.predict()
        return {name: table[column].to_numpy() for column, name in names.items()}
    term = fit.terms[0]
    rows = [
        fit.predict(np.eye(len(term.inner))[i : i + 1], inner={term.name: level})
        for i, level in enumerate(term.inner)
    ]
    table = pd.concat(rows)
    return {"levels": list(term.inner)} | {name: table[c].to_numpy() for c, name in names.items()}


def robust_one_level(case: Case) -> dict[str, Any]:
    """Model cluster_robust_one_level."""
    call, frame = case["call"], pd.DataFrame(case["data"])
    fit = mx.RandomEffects(mx.EffectSizes(frame["yi"], frame["vi"], data=frame)).fit(call["tau2_method"])
    satterthwaite = "tests" in call
    kind = "CR1p" if call["variance_type"] == "CR1" else call["variance_type"]
    found = fit.robust(call["cluster"], kind, "satterthwaite" if satterthwaite else "clusters")
    df = found.df_inference.to_numpy()
    tested = {"satterthwaite_df": df} if satterthwaite else {"test_df": df[0]}
    return numbers(found) | tested


def contrast(case: Case) -> dict[str, Any]:
    """Model linear_contrast: one row of weights, or several bound together."""
    rows = re.findall(r"c\(([-+\d.eE,\s/]+)\)", case["r_call"].split("X=", 1)[-1])
    weights = [[float(x) for x in row.split(",")] for row in rows] or [[-1.0, 1.0]]
    found = base_fit(case).contrast(np.array(weights))
    return {
        "estimate": found.estimate,
        "se": found.se,
        "statistic": found.statistic,
        "p_value": found.pvalue,
    }


MODELS = {
    "multilevel_multivariate": fitted,
    "cluster_robust": robust,
    "cluster_robust_one_level": robust_one_level,
    "profile_likelihood_interval": profile_interval,
    "profile_likelihood": profile,
    "random_effects_predictions": ranef,
    "residuals_and_influence": residuals,
    "case_deletion": deletion,
    "prediction": prediction,
    "linear_contrast": contrast,
}


def multilevel(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Topic multilevel: the call names the model."""
    kind = case["call"]["model"]
    if kind not in MODELS:
        raise NotCovered(f"model {kind}")
    return MODELS[kind](case)


METHODS = {"fixed": "REML", "ml": "ML", "reml": "REML", "mm": "MM", "vc": "VC"}


def multivariate(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Topic multivariate_extra: several outcomes per study, some of them missing, with moderators."""
    call = case["call"]
    method = call["method"]
    if method not in METHODS:
        raise NotCovered(f"multivariate method {method}")
    names, y = data["outcomes"], np.array(data["y"], dtype=float)
    studies, n = y.shape
    column, line = map(np.array, zip(*sorted(zip(*np.tril_indices(n)[::-1], strict=True)), strict=True))
    blocks = np.zeros((studies, n, n))
    blocks[:, line, column] = blocks[:, column, line] = np.array(data["S_vech"], dtype=float)
    frame = pd.DataFrame({"outcome": names * studies, "trial": np.repeat(np.arange(studies), n)})
    for name, values in data.items():
        if name not in ("outcomes", "y", "S_vech") and isinstance(values, list) and len(values) == studies:
            frame[name] = np.repeat(values, n)
    variances = np.diagonal(blocks, axis1=1, axis2=2).ravel()
    seen = np.isfinite(y.ravel()) & np.isfinite(variances)
    of_study = call.get("moderator_formula")
    x = np.ones((studies * n, 1))
    words = ["intercept"]
    if of_study is not None:
        design = mx.RandomEffects(
            mx.EffectSizes(np.zeros(studies), np.ones(studies), data=frame.iloc[::n].reset_index(drop=True)),
            formula_of(of_study),
        ).design
        x, words = np.repeat(design.matrix(studies), n, axis=0), list(design.names)
    own = (np.array(frame["outcome"])[:, None] == np.array(names)).astype(float)
    columns = (own[:, :, None] * x[:, None, :]).reshape(studies * n, -1)
    es = mx.EffectSizes(y.ravel()[seen], variances[seen], data=frame[seen].reset_index(drop=True))
    v = sparse.csr_array(sparse.block_diag(list(np.nan_to_num(blocks))))[seen][:, seen]
    terms = [] if method == "fixed" else [RandomTerm("trial", "outcome", "UN")]
    labels = [name if word == "intercept" else f"{name}:{word}" for name in names for word in words]
    fit = Multilevel(es, terms, v, columns[seen], intercept=False, names=labels).fit(METHODS[method], "z")
    likelihood = method in ("fixed", "ml", "reml")
    return {
        "estimate": fit.beta,
        "vcov": fit.cov,
        "Psi": fit.matrix("outcome|trial").loc[names, names].to_numpy() if terms else None,
        "log_likelihood": fit.fit_statistics(method == "reml").llf if likelihood else None,
        "Q": fit.q.statistic,
        "Q_df": fit.q.df[0],
        "Q_p": fit.q.pvalue,
    }


def moments(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Topic robust_rve: variances by moments, robust standard errors."""
    call, frame = case["call"], pd.DataFrame(data)
    fit = mx.robust_variance(
        mx.EffectSizes(frame["yi"], frame["vi"], data=frame),
        {"CORR": "correlated", "HIER": "hierarchical"}[call["working_model"]],
        call["rho"],
        moderators=call["moderator_formula"],
        cluster=call["cluster"],
        kind="CR2" if call["small_sample"] else "CR1p",
    )
    out = numbers(fit)
    return out | {
        "t": out["test_statistic"],
        "df": fit.df_inference.to_numpy(),
        "tau2": fit.variances["between studies"],
        "omega2": fit.variances.get("within studies"),
        "I2_percent": None if fit.excess is None else 100 * fit.excess,
        "n_studies": len(fit.robust_covariance.clusters),
        "n_effects": fit.k,
    }


TOPICS = {"multilevel": multilevel, "multivariate_extra": multivariate, "robust_rve": moments}
