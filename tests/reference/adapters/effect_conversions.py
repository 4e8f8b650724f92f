"""Reference cases of the topics conversions and aggregation, by the public names of effects."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import linalg

from metaexo import effects
from tests.reference.cases import NotCovered

Answer = dict[str, Any]
Case = dict[str, Any]

# names of elementwise transformations in the reference -> scale and direction, or a function of its own
SCALES = {
    "rtoz": ("fisher_z", "forward"),
    "ztor": ("fisher_z", "inverse"),
    "r2toz": ("fisher_z_of_r_squared", "forward"),
    "ztor2": ("fisher_z_of_r_squared", "inverse"),
    "logit": ("logit", "forward"),
    "ilogit": ("logit", "inverse"),
    "arcsin": ("arcsine", "forward"),
    "iarcsin": ("arcsine", "inverse"),
    "probit": ("probit", "forward"),
    "iprobit": ("probit", "inverse"),
    "isqrt": ("square_root", "inverse"),
    "ahw": ("cube_root_reliability", "forward"),
    "iahw": ("cube_root_reliability", "inverse"),
    "abt": ("log_reliability", "forward"),
    "iabt": ("log_reliability", "inverse"),
    "exp": ("log", "inverse"),
    "dtocles": ("superiority", "inverse"),
    "clestod": ("superiority", "forward"),
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "dtou1": effects.cohens_u1,
    "dtou2": effects.cohens_u2,
    "dtou3": effects.cohens_u3,
    "dtoovl": effects.overlap,
    "dtocliffd": effects.cliffs_delta,
    "dtobesd": effects.success_rate,
    "lnortod.norm": lambda x: x / 1.65,
    "lnortod.logis": lambda x: x * np.sqrt(3) / np.pi,
    "dtolnor.norm": lambda x: x * 1.65,
    "dtolnor.logis": lambda x: x * np.pi / np.sqrt(3),
    "lnortortet.pearson": effects.tetrachoric_of_log_odds_ratio,
    "lnortortet.digby": lambda x: effects.tetrachoric_of_log_odds_ratio(x, "digby"),
    "pft": effects.double_arcsine,
    "ipft": effects.inverse_double_arcsine,
    "irft": effects.freeman_tukey_of_rate,
    "iirft": effects.inverse_freeman_tukey_rate,
    "dtorpb": effects.point_biserial_of_d,
    "dtorbis": effects.biserial_of_d,
    "rpbtorbis": effects.biserial_of_point_biserial,
    "rtorpb": effects.point_biserial_of_biserial,
    "rtod": effects.d_of_biserial,
    "rpbtod": effects.d_of_point_biserial,
    "lnortord": lambda x, p: effects.risk_of_log_odds_ratio(x, p) - p,
    "lnortorr": lambda x, p: effects.risk_of_log_odds_ratio(x, p) / p,
    "dtomd": lambda d, sd: d * sd,
}
DELTA = {
    "natural log": "log",
    "logit": "logit",
    "probit": "probit",
    "asin(sqrt(x))": "arcsine",
    "atanh": "fisher_z",
    "exponential": "exponential",
}


DELTA_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp(b1)": lambda a, b, c: np.exp(a),
    "b1/b3": lambda a, b, c: a / c,
    "b1*b2+b3^2": lambda a, b, c: a * b + c**2,
}


def column(data: dict[str, Any], name: str) -> np.ndarray:
    return np.array([np.nan if x is None else x for x in data[name]], dtype=float)


def conversions(case: Case, data: dict[str, Any]) -> Answer:
    """Hand the case to the operation it names."""
    operations = {
        "wald_conversion": wald,
        "transformation": transformation,
        "reconstruct_2x2": two_by_two,
        "delta_method": delta,
        "multivariate_delta_method": multivariate_delta,
        "mean_sd_from_five_numbers": five_numbers,
    }
    operation = case["call"]["operation"]
    if operation not in operations:
        raise NotCovered(operation)
    return operations[operation](case, data)


def wald(case: Case, data: dict[str, Any]) -> Answer:
    call = case["call"]
    given = {word: column(data, name) for word, name in call["columns"].items()}
    y, v = effects.estimates_and_variances(
        given.get("est"),
        low=given.get("lower"),
        high=given.get("upper"),
        z=given.get("z"),
        p_value=given.get("p"),
        level=given["level"] / 100 if "level" in given else 0.95,
        log=call["transformation"] == "log",
    )
    return {"yi": y, "vi": v}


def transformation(case: Case, data: dict[str, Any]) -> Answer:
    call = case["call"]
    name = call["name"]
    if name.endswith((".int", ".mode")):
        return distribution(name, data)
    if "argument" in call:
        return {"value": elementwise(name)(column(data, call["argument"]))}
    arguments = [column(data, x) if isinstance(x, str) else x for x in call["arguments"].values()]
    if name == "ipft.hm":
        mean = effects.harmonic_mean(arguments[1])
        return {"value": effects.inverse_double_arcsine(arguments[0], mean), "harmonic_mean_n": mean}
    found = {"value": FUNCTIONS[name](*arguments)}
    if "n1i" in call["arguments"]:
        found["value_without_group_sizes"] = FUNCTIONS[name](arguments[0])
    if "pi" in call["arguments"]:
        found["value_at_half"] = FUNCTIONS[name](arguments[0])
    return found


def elementwise(name: str) -> Callable[..., Any]:
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    if name not in SCALES:
        raise NotCovered(f"transformation {name}")
    scale, way = SCALES[name]
    function = getattr(effects.get_transformation(scale), way)

    def quietly(x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return function(x)

    return quietly


def distribution(name: str, data: dict[str, Any]) -> Answer:
    """Mean or mode of back-transformed true effects: rows are values of tau2, columns of mu."""
    base, kind = name.rsplit(".", 1)
    scale, _ = SCALES[base]
    mu, tau2 = column(data, "mu"), column(data, "tau2")
    function = effects.back_transformed_mean if kind == "int" else effects.back_transformed_mode
    value = function(mu[None, :], tau2[:, None], scale)
    if kind == "mode" and base != "exp":
        # the reference repeats the whole row once for each value of mu
        value = np.tile(value, (1, mu.size))
    return {"value": value}


def two_by_two(case: Case, data: dict[str, Any]) -> Answer:
    call = case["call"]
    given = {word: column(data, name) for word, name in call["columns"].items()}
    if "sens" in given:
        table = effects.tables_from_diagnostics(
            given["n"],
            sensitivity=given["sens"],
            specificity=given["spec"],
            positive_predictive_value=given["ppv"],
            negative_predictive_value=given.get("npv"),
        )
    else:
        margins = (given["n"], given["row1"], given["col1"])
        if "or" in given:
            table = effects.tables_from_odds_ratio(given["or"], *margins)
        elif "r" in given:
            table = effects.tables_from_phi(given["r"], *margins)
        else:
            corrected = call["continuity_corrected"]
            table = effects.tables_from_chi_square(given["chisq"], *margins, continuity_corrected=corrected)
    return {"ai": table.a, "bi": table.b, "ci": table.c, "di": table.d}


def delta(case: Case, data: dict[str, Any]) -> Answer:
    y, v = effects.transform(column(data, "yi"), column(data, "vi"), DELTA[case["call"]["transformation"]])
    return {"yi": y, "vi": v}


def multivariate_delta(case: Case, data: dict[str, Any]) -> Answer:
    call = case["call"]
    functions = [DELTA_FUNCTIONS[text] for text in call["functions"]]
    done = effects.delta_method(
        data["estimate"],
        data["vcov"],
        lambda a, b, c: np.array([function(a, b, c) for function in functions]),
        order=call["order"],
        level=call["level_percent"] / 100,
    )
    return {
        "estimate": done.estimate,
        "se": done.se,
        "z": done.z,
        "p_value": done.pvalue,
        "ci_lower": done.low,
        "ci_upper": done.high,
        "vcov": done.cov,
    }


METHODS = {
    "hozo2005": "hozo",
    "wan2014": "wan",
    "bland2015": "bland",
    "mean: luo2016, SD: shi2020": "luo-shi",
    "walter2007": "walter",
    "quantile estimation (McGrath 2020)": "quantile-estimation",
    "Box-Cox (McGrath 2020)": "box-cox",
    "method for unknown non-normal distributions (Cai 2021)": "mln",
    "BLUE (Yang 2022)": "blue",
}
SHORT = {"lognormal": "lnorm", "transformed normal": "norm"}


def five_numbers(case: Case, data: dict[str, Any]) -> Answer:
    call = case["call"]
    method = METHODS.get(call["method"], "luo-wan-shi")
    done = effects.mean_sd_from_quantiles(
        column(data, "n"),
        minimum=column(data, "min"),
        q1=column(data, "q1"),
        median=column(data, "median"),
        q3=column(data, "q3"),
        maximum=column(data, "max"),
        method=method,
        distribution=call["distribution"],
        skewness_test=call["skewness_test"],
        back_transform=call["back_transform"],
    )
    short = SHORT | ({} if method == "quantile-estimation" else {"normal": "norm"})
    return {
        "mean": done.mean,
        "sd": done.sd,
        "skewness_statistic": done.skewness,
        "skewness_critical_value": done.critical,
        "skewness_significant": done.skewed.tolist(),
        "selected_distribution": [short.get(name, name) for name in done.distribution],
    }


def aggregation(case: Case, data: dict[str, Any]) -> Answer:
    """Hand the case to the operation it names."""
    operations = {
        "aggregate_within_clusters": averaged,
        "covariance_matrix_within_clusters": covariances,
        "covariance_of_correlations": of_correlations,
        "regression_from_correlation_matrix": matrix_regression,
        "regression_from_covariance_matrix": matrix_regression,
        "regression_from_correlation_matrix_with_V": matrix_regression,
    }
    return operations[case["call"]["operation"]](case, data)


def averaged(case: Case, data: dict[str, Any]) -> Answer:
    call = case["call"]
    structure = call["structure"]
    options: dict[str, Any] = {"weighted": call.get("weighted", True)}
    if structure.startswith("compound"):
        options["correlation"] = call["rho"]
    elif structure.startswith("independent"):
        options["correlation"] = 0.0
    else:
        options |= {"time": "time", "autocorrelation": call["phi"]}
        if structure.startswith("CS+CAR"):
            options["lasting"] = call["rho"]
        if structure.startswith("CS*CAR"):
            options |= {"kind": call["obs"], "between_kinds": call["rho"]}
    import pandas as pd

    frame = pd.DataFrame({name: data[name] for name in data if len(data[name]) == len(data["yi"])})
    es = effects.EffectSizes(data["yi"], data["vi"], study=data[call["cluster"]], data=frame)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = effects.aggregate(es, **options)
    return {"cluster": list(done.study), "yi": done.y, "vi": done.v}


def covariances(case: Case, data: dict[str, Any]) -> Answer:
    call = case["call"]
    options: dict[str, Any] = {}
    rho = call.get("rho")
    if "time" in call:
        options |= {"time": column(data, call["time"]), "autocorrelation": call["phi"]}
    if isinstance(rho, list):
        options |= {"correlation": rho[0], "between_kinds": rho[1], "kind": data[call["type"]]}
    elif "type" in call:
        options |= {"between_kinds": rho, "kind": data[call["type"]]}
    elif rho is not None:
        options["correlation"] = rho
    blocks = effects.covariance_blocks(column(data, "vi"), data[call["cluster"]], **options)
    whole = effects.covariance_matrix(blocks)
    # column by column, as the reference lists them
    columns, rows = np.nonzero(np.triu(whole).T)
    return {
        "V": whole,
        "n": whole.shape[0],
        "upper_rows_0based": rows,
        "upper_cols_0based": columns,
        "upper_values": whole[rows, columns],
    }


def of_correlations(case: Case, data: dict[str, Any]) -> Answer:
    effects_y, blocks, pairs, studies = [], [], [], []
    study = np.array(data["study"])
    for one in dict.fromkeys(data["study"]):
        rows = np.flatnonzero(study == one)
        first, second = (np.array(data[name])[rows] for name in ("var1", "var2"))
        names = list(dict.fromkeys([*first, *second]))
        matrix = np.eye(len(names))
        for a, b, r in zip(first, second, np.array(data["ri"])[rows], strict=True):
            i, j = names.index(a), names.index(b)
            matrix[i, j] = matrix[j, i] = r
        y, cov = effects.covariance_of_correlations(
            matrix, float(np.array(data["ni"])[rows][0]), fisher_z=case["call"]["fisher_z"]
        )
        effects_y.extend(y)
        blocks.append(cov)
        pairs += [f"{names[i]}.{names[j]}" for i in range(len(names)) for j in range(i + 1, len(names))]
        studies += [str(one)] * y.size
    return {"yi": np.array(effects_y), "V": linalg.block_diag(*blocks), "pair": pairs, "study": studies}


def matrix_regression(case: Case, data: dict[str, Any]) -> Answer:
    call = case["call"]
    matrix, n = np.array(data["R"]), data["n"]
    options: dict[str, Any] = {"n": n}
    found: Answer = {}
    if call["operation"] == "regression_from_covariance_matrix":
        matrix = matrix * np.outer(data["sds"], data["sds"])
        options["means"] = data["means"]
    if call["operation"].endswith("with_V"):
        _, errors = effects.covariance_of_correlations(matrix, n)
        options = {"errors": errors}
        found["V"] = errors
    fit = effects.regression_from_matrix(
        matrix, call["outcome"], call["predictors"], data["names"], **options
    )
    df = fit.f_df or (None, None)
    return found | {
        "coefficient_names": ["intrcpt" if name == "intercept" else name for name in fit.names],
        "estimate": fit.estimate,
        "se": fit.se,
        "statistic": fit.statistic,
        "p_value": fit.pvalue,
        "ci_lower": fit.low,
        "ci_upper": fit.high,
        "vcov": fit.cov,
        "R2": fit.r2,
        "R2_adjusted": fit.r2_adjusted,
        "F": fit.f,
        "F_df1": df[0],
        "F_df2": df[1],
        "F_p": fit.f_pvalue,
        "QM": fit.chi2,
        "QM_df": None if fit.chi2 is None else len(fit.names),
        "QM_p": fit.chi2_pvalue,
    }


TOPICS = {"conversions": conversions, "aggregation": aggregation}
