"""From the rows of a sheet to effects with bounds: thresholds, directions, and results told in words."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.bounds import BoundedEffects, bounds_from_table, turned
from metaexo.effects.measure import get_measure
from metaexo.effects.orientation import orient
from metaexo.effects.origin import Origin
from metaexo.errors import AssumptionWarning
from metaexo.evidence.codebook import SheetPlan
from metaexo.evidence.to_effects import (
    Chosen,
    Request,
    choose_rows,
    directions_of_benefit,
    leave_rows_out,
    origin_of,
    row_labels,
    sd_of_rows,
)
from metaexo.evidence.views import VIEWS, View, statistics

if TYPE_CHECKING:
    import pandas as pd

WORDS_ONLY = "direction_only"
LABELS = ("outcome", "contrast")
SIGNIFICANCE = 0.05
TOLD = "significance in words, taken at the level 0.05"
_NOT = re.compile(r"\b(?:no|not|non|without)\b.*significan|nonsignifican", re.IGNORECASE)
_SIGNIFICANT = re.compile(r"\bsignifican", re.IGNORECASE)
_DIRECTIONS = {"favours_treatment": "higher", "favours_control": "lower"}
SIZED = ("exosome_vs_control", "post_vs_pre")
"""Contrasts whose arms are those of the study, so that its sizes hold."""


APART = ("rct_parallel", "animal_controlled")
SPLIT = r"\bsplit|_split"
"""Words of designs in which both arms are the same people."""


def make_bounds(view: View, plan: SheetPlan, frame: pd.DataFrame, asked: Request) -> BoundedEffectSizes:
    """Return the effects of the rows of a view, bounds included; see `Sheets.effects` with `bounds`."""
    chosen = choose_rows(plan, frame, asked)
    sd = None if asked.assumed_sd is None else sd_of_rows(frame, chosen.frame, asked.assumed_sd)
    table = statistics(view, chosen.frame, asked.measure)
    found = bounds_from_table(
        asked.measure, table, asked.assumed_correlation, assumed_sd=sd, rows=chosen.names
    )
    reasons = list(found.reasons)
    if asked.turn:
        signs, unturned = orient(np.ones(len(chosen.frame)), directions_of_benefit(view, chosen.frame))
        found = turned(found, signs)
        reasons = [first or second for first, second in zip(reasons, unturned, strict=True)]
    origin = origin_of(table, np.arange(len(table)), asked.assumed_correlation, sd)
    return _collected(plan, chosen, found, reasons, asked, view.labels, asked.turn, origin)


def bounds_of_words(plan: SheetPlan, frame: pd.DataFrame, asked: Request) -> BoundedEffectSizes:
    """Return the bounds of results that are told in words only; positive means in favour of treatment.

    "Significant" is taken as p < 0.05 and "not significant" as p > 0.05; such rows are marked as assumed.
    Sizes are those of the study.
    """
    chosen = choose_rows(plan, frame, asked)
    table = table_from_words(chosen.frame)
    found = bounds_from_table(asked.measure, table, asked.assumed_correlation, rows=chosen.names)
    derived = [
        replace(mark, how="assumed", note="; ".join(filter(None, (TOLD, mark.note))))
        if kind == "interval"
        else mark
        for mark, kind in zip(found.derived, found.kind, strict=True)
    ]
    found = replace(found, derived=tuple(derived))
    return _collected(plan, chosen, found, list(found.reasons), asked, LABELS, oriented=True)


def count_bounds(rows: pd.DataFrame) -> int:
    """Return how many rows of outcomes give an interval of a standardised mean difference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        found = bounds_from_table("SMD", statistics(VIEWS["outcomes"], rows, get_measure("SMD")))
    return sum(kind == "interval" for kind in found.kind)


def table_from_words(rows: pd.DataFrame) -> pd.DataFrame:
    """Return results in words as a table of reported statistics.

    Parameters
    ----------
    rows : DataFrame
        Rows of the sheet with the columns of their studies.

    Returns
    -------
    DataFrame
        treatment_n, control_n, direction, p_relation, p_value, paired.
    """
    import pandas as pd

    told = rows["significance_as_worded"].fillna("")
    refused = told.map(lambda words: bool(_NOT.search(words)))
    claimed = told.map(lambda words: bool(_SIGNIFICANT.search(words))) & ~refused
    sized = rows["contrast"].isin(SIZED)
    apart = rows["design"].isin(APART)
    split = rows[["design", "model", "title"]].fillna("").agg(" ".join, axis=1).str.contains(SPLIT)
    twice = (rows["contrast"] == "post_vs_pre") | (split & ~apart)
    return pd.DataFrame(
        {
            "treatment_n": rows["n_treatment"].where(sized),
            "control_n": rows["n_control"].where(sized & (rows["contrast"] != "post_vs_pre")),
            "direction": rows["direction"].map(_DIRECTIONS),
            "p_relation": np.where(claimed, "<", np.where(refused, ">", "")),
            "p_value": np.where(claimed | refused, SIGNIFICANCE, np.nan),
            "paired": np.where(twice, "yes", np.where(apart, "no", "unknown")),
        },
        index=rows.index,
    )


def _collected(
    plan: SheetPlan,
    chosen: Chosen,
    found: BoundedEffects,
    reasons: list[str],
    asked: Request,
    labels: tuple[str, ...],
    oriented: bool,
    origin: Origin | None = None,
) -> BoundedEffectSizes:
    """Return what is known as one container; the rows of which nothing is known enter the ledger."""
    kept, ledger, gone = leave_rows_out(plan, chosen, reasons, asked)
    at = np.flatnonzero(~gone)
    return BoundedEffectSizes(
        found.at(at),
        asked.measure,
        tuple(row_labels(kept, plan.key, labels)),
        tuple(str(study) for study in kept[plan.key]),
        kept,
        ledger,
        oriented,
        origin.at(at) if origin is not None else None,
    )
