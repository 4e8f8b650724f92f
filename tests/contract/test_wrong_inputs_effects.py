"""Whatever is handed to the public functions, classes and methods of effects: only the package's own errors.

The callables are found by themselves, and so are their parameters: each in turn gets every wrong value, while
the others keep a good one. A new parameter needs a good value in GOOD.
"""

from __future__ import annotations

import datetime
import inspect
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import datasets, effects
from metaexo.errors import MetaexoError, MetaexoWarning
from metaexo.ledger import Ledger

# Made anew for each call: a generator can be used once, and a call might change a list.
WRONG: dict[str, Callable[[], Any]] = {
    "text": lambda: "abc",
    "empty text": lambda: "",
    "decimal comma": lambda: "5,1",
    "letters": lambda: list("abc"),
    "one cell of text": lambda: [0.5, "6*", 0.5],
    "bytes": lambda: b"x",
    "None": lambda: None,
    "list of None": lambda: [None, None, None],
    "pandas.NA": lambda: [pd.NA, pd.NA, pd.NA],
    "NaN": lambda: np.nan,
    "list of NaN": lambda: [np.nan] * 3,
    "NaT": lambda: [pd.NaT] * 3,
    "Decimal NaN": lambda: [Decimal("NaN")] * 3,
    "dict": dict,
    "dict of a number": lambda: {"a": 1},
    "set": lambda: {1, 2, 3},
    "generator": lambda: (x for x in (0.5, 0.6, 0.7)),
    "data frame": lambda: pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 2.0]}),
    "Series of another index": lambda: pd.Series([0.5, 0.6, 0.7], index=[2, 1, 0]),
    "too long": lambda: [0.5] * 7,
    "empty": list,
    "ragged": lambda: [[1.0, 2.0], [3.0]],
    "two dimensions": lambda: np.ones((2, 2)),
    "three dimensions": lambda: np.ones((2, 2, 2)),
    "complex": lambda: [1 + 2j] * 3,
    "one complex": lambda: 1j,
    "dates": lambda: pd.to_datetime(["2020-01-01"] * 3),
    "one date": lambda: datetime.date(2020, 1, 1),
    "timedeltas": lambda: np.array([1, 2, 3], dtype="timedelta64[D]"),
    "masked": lambda: np.ma.masked_all(3),
    "minus one": lambda: -1.0,
    "negative": lambda: [-1.0, -2.0, -3.0],
    "zero": lambda: 0,
    "zeros": lambda: [0, 0, 0],
    "infinite": lambda: np.inf,
    "list of infinite": lambda: [np.inf, -np.inf, np.inf],
    "huge": lambda: 1e308,
    "tiny": lambda: 1e-310,
    "huge whole number": lambda: 10**400,
    "ninety-five": lambda: 95,
    "half": lambda: 2.5,
    "True": lambda: True,
    "list of True": lambda: [True, False, True],
    "object": object,
    "function": lambda: print,
    "class": lambda: int,
    "error": lambda: ValueError("x"),
}

TABLE = pd.DataFrame(
    {
        "treatment_mean": [5.0, 6.0, 7.0], "treatment_sd": [1.0, 1.1, 1.2], "treatment_n": [10, 11, 12],
        "control_mean": [4.0, 4.5, 4.4], "control_sd": [1.0, 1.0, 1.1], "control_n": [10, 10, 12],
        "paired": ["no"] * 3,
    }
)  # fmt: skip
INPUTS = TABLE.drop(columns="paired").to_dict("list")
ES = mx.effect_sizes("SMD", data=TABLE.assign(kind=list("aab"), time=[1, 2, 3]), study=list("aab"))
BOUNDED = effects.bounded_effects([0.1, 0.2, 0.3], [0.1, 0.2, np.inf], [0.1] * 3, data=TABLE)
COUNTS = effects.EventCounts(
    [[1, 2], [0, 1], [3, 0]], [[9, 9], [8, 8], [9, 9]], data=TABLE, study=list("aab")
)
BLOCKS = effects.covariance_blocks([0.02, 0.03, 0.04], list("aab"), correlation=0.5)

# Good values by the name of the parameter; those of one callable are named "callable.parameter".
GOOD: dict[str, Any] = {
    "es": ES, "effects": ES, "parts": BOUNDED, "measure": "SMD", "table": TABLE, "inputs": INPUTS,
    "data": TABLE, "code": "SMD",
    "family": "two groups, means", "blocks": BLOCKS, "ledger": Ledger("input", (1, 2, 3)),
    "labels": list("xyz"), "study": list("aab"),
    "cluster": list("aab"), "kind": list("xyz"), "time": [1.0, 2.0, 3.0],
    "better": "higher", "within": (), "latest": [1, 2, 3], "row": 0, "rows": [0, 1], "reason": "not wanted",
    "name": "log", "function": lambda a, b: a * b, "order": 1, "outcome": "logistic", "formula": "pearson",
    "n": [20, 30, 40], "y": [0.1, 0.2, 0.3], "v": [0.01, 0.02, 0.03], "level": 0.95, "direction": [1, -1, 1],
    "p_value": [0.03, 0.2, 0.5], "treatment_n": [10, 11, 12],
    "control_n": [10, 11, 12], "low": [0.1, 0.2, 0.3],
    "high": [0.5, 0.6, 0.7], "estimate": [0.3, 0.4, 0.5], "se": [0.1, 0.2, 0.3], "df": [10, 11, 12],
    "events": [3, 4, 5], "minimum": [1.0, 1.0, 1.0], "q1": [2.0, 2.0, 2.0], "median": [3.0, 3.0, 3.0],
    "q3": [4.0, 4.0, 4.0], "maximum": [5.0, 5.0, 5.0], "missing": "drop", "variance": "LS", "oriented": False,
    "chi_square": [1.0, 2.0, 3.0], "phi": [0.1, 0.2, 0.1],
    "odds_ratio": [1.5, 2.0, 0.5], "risk_ratio": [1.2, 1.5, 0.8],
    "row_total": [10, 15, 20], "column": [10, 15, 20], "bounds": BOUNDED.bounds, "origin": ES.origin,
    "reasons": {1: "x"}, "step": "effect", "lines": [1], "used": (1, 2), "left_out": (), "source": "input",
    "index": pd.RangeIndex(3), "values": [1.0, 2.0, 3.0],
    "all_rows": True, "lower": [0.1] * 3, "upper": [0.5] * 3,
    "derived": [effects.REPORTED] * 3, "continuity": None, "zero_cells": None, "arm": list("aab"),
    "tables_from_chi_square.row": [10, 15, 20], "tables_from_odds_ratio.row": [10, 15, 20],
    "tables_from_phi.row": [10, 15, 20], "tables_from_risk_ratio.row": [10, 15, 20],
    "aggregate.kind": "kind", "aggregate.time": "time", "aggregate.blocks": None,
    "delta_method.estimate": [1.0, 2.0], "delta_method.cov": np.eye(2), "sd_from_anova.f": 3.0,
    "sd_from_anova.means": [1.0, 2.0, 3.0],
    "anova_f_from_sd.sd": 3.0, "anova_f_from_sd.means": [1.0, 2.0, 3.0],
    "covariance_of_correlations.correlations": [[1, 0.5, 0.3], [0.5, 1, 0.2], [0.3, 0.2, 1]],
    "covariance_of_correlations.n": 50, "regression_from_matrix.matrix": [[2.0, 0.5], [0.5, 1.0]],
    "regression_from_matrix.outcome": "a", "regression_from_matrix.predictors": ["b"],
    "regression_from_matrix.names": ["a", "b"], "regression_from_matrix.n": 50, "means": None, "errors": None,
    "pooled_sd.outcome": list("aab"), "bounds_from_table.assumed_sd": None, "assumed_sd": [1.0, 1.0, 1.0],
    "method": "luo-wan-shi", "distribution": "normal",
    "bounded_effects.se": None, "covariance_blocks.se": None, "split.by": "kind",
    "load_dataset.name": "bcg", "column.name": "paired", "EffectSizes.se": None, "add": 0.5,
    "keep.reason": "x", "leave_out.studies": None, "leave_out.items": None, "check_index.values": [1, 2, 3],
    "aggregate.between_kinds": 0.5, "covariance_blocks.between_kinds": 0.5, "correlation": 0.6,
    "aggregate.autocorrelation": 0.8, "covariance_blocks.autocorrelation": 0.8, "assumed_correlation": 0.5,
    "effects_from_table.rows": list("xyz"), "bounds_from_table.rows": list("xyz"),
    "effects_with_assumed_sd.rows": list("xyz"), "columns": {"x": [1, 2, 3]},
    "tables_from_diagnostics.sensitivity": 0.9, "tables_from_diagnostics.specificity": 0.8,
    "tables_from_diagnostics.positive_predictive_value": 0.7,
    "EventCounts.events": [[1, 2], [0, 1], [3, 0]], "EventCounts.totals": [[9, 9], [8, 8], [9, 9]],
    "EventCounts.ledger": None,
    "event_counts.treatment_events": [1, 0, 3], "event_counts.control_events": [2, 1, 0],
    "event_counts.events": None, "event_counts.n": None, "event_counts.time": None, "which": "control",
    "effect_sizes.zero_cells": None, "study_estimates.measure": "OR", "counts.effect_sizes.measure": "OR",
}  # fmt: skip
# Records that functions return or that describe a thing; nobody hands values of papers to them.
RESULTS = {
    "Block", "BoundExplanation", "BoundedEffects",
    "Calculated", "DeltaResult", "Derivation", "DerivedEffects",
    "Explanation", "MatrixRegression", "Measure",
    "QuantileEstimates", "SharedArm", "Tables", "Transformation",
}  # fmt: skip
MISSING = {"None", "empty", "empty text", "list of None", "pandas.NA", "NaN", "list of NaN", "NaT", "masked"}


def good(owner: str, parameter: inspect.Parameter) -> Any:
    """Return a good value of a parameter: by callable and name, by name, its default, or numbers."""
    for name in (f"{owner}.{parameter.name}", parameter.name):
        if name in GOOD:
            return GOOD[name]
    if parameter.default is not inspect.Parameter.empty:
        return parameter.default
    if "ArrayLike" in str(parameter.annotation):
        return [0.3, 0.4, 0.5]
    raise AssertionError(f"GOOD needs a value of {owner}.{parameter.name}: {parameter.annotation}")


def callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Find every public function, class and method."""
    found = {name: getattr(effects, name) for name in effects.__all__}
    found |= {name: getattr(datasets, name) for name in datasets.__all__}
    found |= {"Ledger": Ledger}
    instances = (ES, BOUNDED, COUNTS, GOOD["ledger"])
    for name, one in found.items():
        if callable(one) and name not in RESULTS:
            yield name, one
    for one in instances:
        for name, _ in inspect.getmembers(type(one), inspect.isfunction):
            if not name.startswith("_"):
                yield f"{type(one).__name__}.{name}", getattr(one, name)


CALLABLES = dict(callables())


def run(
    call: Callable[..., Any], arguments: dict[str, Any], parameters: dict[str, inspect.Parameter]
) -> None:
    """Call with arguments by position where they must be, else by name."""
    positional = []
    by_name = {}
    for name, value in arguments.items():
        if parameters[name].kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY):
            positional.append(value)
        elif parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            by_name |= value if value is GOOD[name] else {next(iter(GOOD[name])): value}
        else:
            by_name[name] = value
    call(*positional, **by_name)


def must_refuse(parameter: inspect.Parameter, wrong: str) -> bool:
    """Say whether a wrong value may not be accepted."""
    annotation = str(parameter.annotation)
    if parameter.name == "level":
        return wrong not in MISSING | {"Decimal NaN", "tiny", "generator", "Series of another index"}
    if annotation == "bool":
        return wrong != "True"
    return "Literal" in annotation and wrong == "text"


@pytest.mark.parametrize("name", CALLABLES)
def test_only_errors_and_warnings_of_the_package(name: str) -> None:
    call = CALLABLES[name]
    parameters = dict(inspect.signature(call).parameters)
    owner = "counts.effect_sizes" if name == "EventCounts.effect_sizes" else name.rsplit(".", 1)[-1]
    base = {key: good(owner, one) for key, one in parameters.items()}
    faults = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", MetaexoWarning)
        run(call, base, parameters)
        for key, parameter in parameters.items():
            for wrong, make in WRONG.items():
                try:
                    run(call, base | {key: make()}, parameters)
                except MetaexoError:
                    continue
                except Exception as error:
                    faults.append(f"{key} = {wrong}: {type(error).__name__}: {str(error)[:100]}")
                else:
                    if must_refuse(parameter, wrong):
                        faults.append(f"{key} = {wrong}: accepted")
    assert not faults, f"{len(faults)} faults\n" + "\n".join(faults)
