"""Reference cases of the topic effect_sizes, by the public names of effects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from metaexo import effects
from metaexo.effects import ZeroCells
from tests.reference.adapters import effect_conversions
from tests.reference.cases import NotCovered

Inputs = dict[str, Any]

# Columns of the reference -> inputs in words, by family of measures.
WORDS = {
    "two groups, means": {
        "m1i": "treatment_mean",
        "sd1i": "treatment_sd",
        "n1i": "treatment_n",
        "m2i": "control_mean",
        "sd2i": "control_sd",
        "n2i": "control_n",
        "di": "d",
        "ti": "t",
        "ri": "point_biserial",
        "ai": "auc",
        "mi": "ties",
    },
    "one group twice, means": {
        "m1i": "post_mean",
        "sd1i": "post_sd",
        "m2i": "pre_mean",
        "sd2i": "pre_sd",
        "ni": "n",
        "ri": "correlation",
        "di": "d",
        "ti": "t",
    },
    "matched pairs, events": {"ai": "both", "bi": "first_only", "ci": "second_only", "di": "neither"},
    "two groups, person-time": {
        "x1i": "treatment_events",
        "t1i": "treatment_time",
        "x2i": "control_events",
        "t2i": "control_time",
    },
    "one group, person-time": {"xi": "events", "ti": "time"},
    "one group, events": {"xi": "events", "ni": "n"},
    "one group, means": {"mi": "mean", "sdi": "sd", "ni": "n"},
    "one group, correlation": {"ri": "correlation", "ni": "n", "ti": "t"},
    "regression, one predictor": {"ni": "n", "mi": "predictors", "ti": "t", "r2i": "r_squared"},
    "regression, all predictors": {"r2i": "r_squared", "ni": "n", "mi": "predictors", "fi": "f"},
    "one scale, reliability": {"ai": "alpha", "mi": "items", "ni": "n"},
    "one group, genotypes": {"ai": "homozygous_first", "bi": "heterozygous", "ci": "homozygous_second"},
}
TO = {
    "only0": "studies_with_zero",
    "all": "all",
    "if0all": "all_if_any_zero",
    "none": "none",
}


def effect_sizes(case: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """Effects, variances, and where the case lists them their z tests and intervals."""
    call = case["call"]
    measure = call["measure"]
    try:
        effects.get_measure(measure)
    except ValueError as error:
        raise NotCovered(measure) from error
    columns = {arg: column(data, name) for arg, name in call["columns"].items()}
    options = choices(call)
    words = inputs(measure, columns)
    done = effects.calculate(measure, words, **options)
    if measure == "RTET" and "variance_type" not in call:
        # these cases leave out tables with an empty cell, whose correlation is -1 or 1
        done = replace(done, y=np.where(np.isfinite(done.v), done.y, np.nan))
    sign = -1.0 if "flip=TRUE" in case.get("r_call", "") else 1.0
    return summary(sign * done.y, done.v) | {"total_n": total_n(words)}


def total_n(words: Inputs) -> np.ndarray:
    """Return the number of people, or the person-time, behind each effect."""
    groups = (
        ("treatment_n", "control_n"),
        ("treatment_time", "control_time"),
        ("both", "first_only", "second_only", "neither"),
        ("homozygous_first", "heterozygous", "homozygous_second"),
        ("n",),
        ("time",),
    )
    names = next(names for names in groups if names[0] in words)
    return sum(words[name] for name in names)


def summary(y: np.ndarray, v: np.ndarray) -> dict[str, Any]:
    se = np.sqrt(v)
    with np.errstate(all="ignore"):
        z = y / se
    half = ndtri(0.975) * se
    return {
        "k": y.size,
        "yi": y,
        "vi": v,
        "sei": se,
        "z": z,
        "p_value": 2 * ndtr(-np.abs(z)),
        "ci_lower": y - half,
        "ci_upper": y + half,
    }


def column(data: dict[str, Any], name: str) -> np.ndarray:
    return np.array([np.nan if x is None else x for x in data[name]], dtype=float)


def choices(call: dict[str, Any]) -> Inputs:
    options: Inputs = {"bias_correction": call.get("bias_correction", True)}
    kind = call.get("variance_type") or "default (LS)"
    if not kind.startswith("default"):
        options["variance"] = kind
    if call.get("continuity_to") is not None:
        add = call["continuity_add"]
        share = "both"
        if call.get("add_to_estimate") is False:
            share = "variance"
        if call.get("add_to_variance") is False:
            share = "estimate"
        options["zero_cells"] = ZeroCells(
            0.5 if add is False else add,
            TO[call["continuity_to"]],
            "events" if call.get("add_only_to_events") else "all",
            share,
            bool(call.get("drop_double_zero")),
        )
    return options


def inputs(measure: str, columns: Inputs) -> Inputs:
    """Return the inputs of a measure in words."""
    family = effects.get_measure(measure).family
    if family == "two groups, events":
        a, b, c, d = (columns[x] for x in ("ai", "bi", "ci", "di"))
        return {"treatment_events": a, "treatment_n": a + b, "control_events": c, "control_n": c + d}
    if measure == "MPORM":
        a, b, c = (columns[x] for x in ("ai", "bi", "ci"))
        pairs = {"phi": columns["ri"]} if "ri" in columns else {"both_share": columns["pi"]}
        return {"first_events": a, "second_events": c, "n": a + b, **pairs}
    names = dict(WORDS[family])
    if measure in ("SMCR", "SMCRH"):
        # the reference calls the standardising SD the first, with the mean that was measured last
        names |= {"sd1i": "pre_sd", "sd2i": "post_sd"}
    if family == "regression, one predictor":
        names["ri"] = "partial" if measure in ("PCOR", "ZPCOR") else "semipartial"
    words = {names[x]: values for x, values in columns.items() if x in names}
    if "pi" in columns and family == "regression, all predictors":
        words["p_value"] = columns["pi"]
    elif "pi" in columns:
        words |= {"p_value": np.abs(columns["pi"]), "direction": np.sign(columns["pi"])}
    return words


TOPICS = {"effect_sizes": effect_sizes, **effect_conversions.TOPICS}
