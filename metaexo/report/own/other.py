"""Other defensible analyses of the same effects, by fixed rules: rows, estimators, intervals, dependence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from metaexo.effects import EffectSizes, back_pooled
from metaexo.errors import MetaexoError, TooFewStudiesError
from metaexo.formatting import TEST_NAMES
from metaexo.models import Multilevel, RandomEffects
from metaexo.models.linear.results import FitResults
from metaexo.report.own.asked import Asked
from metaexo.report.own.bias import HIGH, bias_column, judgements
from metaexo.report.own.fits import covariances, one_row_each, quiet

if TYPE_CHECKING:
    import pandas as pd

NOT_HIGH = "without studies at high risk of bias"
MAIN, MULTILEVEL = "random effects", "all effects, multilevel"
ROBUST = "robust (CR2)"
"""The interval of the multilevel model of all effects."""


def selections(es: EffectSizes) -> dict[str, EffectSizes]:
    """Return the rows that other analyses use, by what they leave out; the first are all."""
    found = {"all": es}
    data = es.data
    doubtful = None if data is None or "use" not in data else (data["use"] == "doubtful").to_numpy()
    if doubtful is not None and doubtful.any() and not doubtful.all():
        found["without doubtful rows"] = es.select(~doubtful, "doubtful by the sheet")
    if column := bias_column(es):
        high = [one == HIGH for one in judgements(es, column)]
        if any(high) and not all(high):
            found[NOT_HIGH] = es.select([not one for one in high], "high risk of bias")
    for words, ways in (
        ("without rows that rest on an assumption", ("assumed",)),
        ("without converted rows", ("assumed", "converted")),
    ):
        out = [mark.how in ways for mark in es.derived]
        if any(out) and not all(out):
            found[words] = es.select([not one for one in out], words)
    return found


def other_analyses(every: EffectSizes, asked: Asked, averaged: bool, said: list[str]) -> pd.DataFrame:
    """Return the pooled effect by fixed rules: rows, estimators and intervals in turn.

    every: all effects. averaged: whether effects of one study are averaged. said: takes the warnings.
    """
    import pandas as pd

    rows = list[dict[str, Any]]()
    chosen = pairs_of(asked)
    for words, es in selections(every).items():
        of_all = words == "all"
        for method, test in chosen if of_all else chosen[:1]:
            rows.append({"rows": words, "model": MAIN, **_one(asked, said, es, method, test)})
        if averaged and of_all:
            rows.append({"rows": words, "model": MULTILEVEL, **_multilevel(asked, said, es)})
    frame = pd.DataFrame(rows)
    frame["interval"] = [TEST_NAMES.get(test, test) for test in frame["test"]]
    for name in ("estimate", "low", "high"):
        frame[f"{name}_shown"] = back_pooled(every, frame[name].to_numpy(dtype=float))
    return frame


def pairs_of(asked: Asked) -> list[tuple[str, str]]:
    """Return the estimators and intervals of the analyses of all rows, that of the report first."""
    first = (asked.method, asked.test)
    return [first, *(pair for pair in METHODS if pair != first)]


METHODS = (
    ("REML", "knapp-hartung-adhoc"),
    ("REML", "knapp-hartung"),
    ("REML", "z"),
    ("DL", "knapp-hartung-adhoc"),
    ("DL", "z"),
    ("PM", "knapp-hartung-adhoc"),
)
"""Estimators and intervals of other analyses: the usual default, and those of other programs."""


def _one(asked: Asked, said: list[str], effects: EffectSizes, method: str, test: str) -> dict[str, Any]:
    """Return the numbers of one analysis, or why there are none."""
    about = {"method": method, "test": test}
    try:
        with quiet(said):
            rows = one_row_each(effects, ())
            if rows.m < 2:
                raise TooFewStudiesError("one study", "two studies")
            return about | _numbers(RandomEffects(rows).fit(method, test, asked.level))
    except MetaexoError as error:
        return (
            about
            | dict.fromkeys(("k", "m", "estimate", "low", "high", "tau2"), math.nan)
            | {"note": error.given}
        )


def _multilevel(asked: Asked, said: list[str], effects: EffectSizes) -> dict[str, Any]:
    """Return the multilevel model of all effects, with intervals robust by study."""
    about = {"method": "REML", "test": ROBUST}
    try:
        with quiet(said):
            fit = Multilevel(effects, "study/effect", V=covariances(effects)).fit(level=asked.level)
            return about | _numbers(fit.robust("study"))
    except MetaexoError as error:
        return (
            about
            | dict.fromkeys(("k", "m", "estimate", "low", "high", "tau2"), math.nan)
            | {"note": error.given}
        )


def _numbers(fit: FitResults) -> dict[str, Any]:
    found = fit.pooled()
    return {
        "k": fit.k, "m": fit.effects.m, "estimate": found.estimate, "low": found.low, "high": found.high,
        "tau2": fit.tau2, "note": "",
    }  # fmt: skip
