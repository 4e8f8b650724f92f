"""Slips in printed effects: intervals that are off centre, and p-values that contradict them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.check import variances_too_small
from metaexo.effects.conversions.sd_and_se import se_from_ci
from metaexo.effects.tables.derive import EFFECT_NAMES
from metaexo.errors import EffectTooPreciseWarning, OffCentreIntervalWarning, PValueMismatchWarning
from metaexo.evidence.problems import SheetProblem
from metaexo.evidence.slips.rows import Rows, SlipCheck
from metaexo.evidence.slips.statistics import interval_and_p_agree, interval_is_centred

# what a printed effect is called -> whether it is a ratio
SCALES: Mapping[str, bool] = {
    "SMD": False,
    "MD": False,
    "OR": True,
    "RR": True,
    "standardised_mean_difference": False,
    "mean_difference": False,
    "log10_ratio": False,
    "ratio_of_means": True,
    "odds_ratio": True,
    "risk_ratio": True,
    "hazard_ratio": True,
    "rate_ratio": True,
}
INTERVALS: Mapping[str, tuple[tuple[str, str, str, str], ...]] = {
    "outcomes": (
        ("difference", "difference_ci_low", "difference_ci_high", ""),
        ("effect", "effect_ci_low", "effect_ci_high", "effect_measure"),
    ),
    "published_meta_analyses": (("estimate", "ci_low", "ci_high", "measure"),),
}
_P = re.compile(r"(?:p\s*)?(<=|>=|<|>|=|≤|≥)?\s*(0?\.\d+|[01](?:\.\d*)?)", re.IGNORECASE)
_SIGNS = {"≤": "<=", "≥": ">=", None: "="}


def find_off_centre(rows: Rows) -> list[SheetProblem]:
    """Find estimates that do not stand in the middle of their interval, on the scale it was made on."""
    found = []
    for estimate, low, high, measure in INTERVALS[rows.sheet.plan.name]:
        known, ratio = _scale(rows, measure)
        columns = [rows.cells(name) for name in (estimate, low, high)]
        wrong = known & ~interval_is_centred(*columns, log=ratio)
        found += [
            rows.finding(
                OffCentreIntervalWarning,
                i,
                estimate,
                f"{columns[0][i]} is not in the middle of {columns[1][i]} to {columns[2][i]}"
                + (" on the logarithmic scale" if ratio[i] else ""),
                "an estimate in the middle of its interval",
                "look at the source; a digit or a sign may be lost, or the interval be of another estimate",
                reading=_middle(rows, i, low, high, bool(ratio[i])),
            )
            for i in np.flatnonzero(wrong)
        ]
    return found


def find_p_against_interval(rows: Rows) -> list[SheetProblem]:
    """Find p-values that say of the value of no effect what the interval denies."""
    relation, p = _p_values(rows)
    level = rows.numbers("level") / 100
    level = np.where(np.isfinite(level), level, 0.95)
    found = []
    for _, low, high, measure in INTERVALS[rows.sheet.plan.name]:
        known, ratio = _scale(rows, measure)
        ends = rows.cells(low), rows.cells(high)
        null = np.where(ratio, 1.0, 0.0)
        wrong = known & ~interval_and_p_agree(*ends, p, relation, null=null, level=level)
        found += [
            rows.finding(
                PValueMismatchWarning,
                i,
                "p_value",
                f"p {relation[i]} {p[i]} and the {100 * level[i]:g}% interval {ends[0][i]} to {ends[1][i]} "
                f"contradict each other",
                f"an interval that leaves out {null[i]:g} exactly where p is below {1 - level[i]:.2g}",
                "look at the source; one of the two may be misprinted, or the level be another",
            )
            for i in np.flatnonzero(wrong)
        ]
    return found


def find_impossible_variances(rows: Rows) -> list[SheetProblem]:
    """Find standardised mean differences whose standard error is smaller than the sizes of the arms allow."""
    low, high = rows.numbers("effect_ci_low"), rows.numbers("effect_ci_high")
    given = rows.numbers("effect_se")
    se = np.where(np.isfinite(given), given, se_from_ci(low, high))
    of_smd = np.array([word in EFFECT_NAMES["SMD"] for word in rows.words("effect_measure")], dtype=bool)
    at, least, _ = variances_too_small("SMD", np.where(of_smd & (se > 0), se**2, np.nan), rows.frame)
    return [
        rows.finding(
            EffectTooPreciseWarning,
            i,
            "effect_se" if np.isfinite(given[i]) else "effect_ci_low",
            f"the standard error of the effect is {se[i]:.3g}, and two independent groups of these sizes "
            f"give {np.sqrt(floor):.3g} at least",
            "a standard error of sqrt(1/n1 + 1/n2) or more",
            "look at the source; the sizes may be wrong, the interval be of another level, the design paired",
        )
        for i, floor in zip(at, least, strict=True)
    ]


def _scale(rows: Rows, measure: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows have an effect of known scale, and which of these are ratios."""
    words = rows.words(measure) if measure else ["mean_difference"] * len(rows.frame)
    known = np.array([word in SCALES for word in words], dtype=bool)
    return known, np.array([SCALES.get(word, False) for word in words], dtype=bool)


def _middle(rows: Rows, i: int | np.signedinteger, low: str, high: str, ratio: bool) -> str:
    a, b = float(rows.numbers(low)[i]), float(rows.numbers(high)[i])
    return f"the middle of the interval is {np.sqrt(a * b) if ratio else (a + b) / 2:.3g}"


def _p_values(rows: Rows) -> tuple[list[str], list[str]]:
    """Return relations and p-values as typed, "" where there is none that can be read."""
    if "p_relation" in rows.sheet.plan.columns:
        return rows.words("p_relation"), rows.cells("p_value")
    read = [_P.fullmatch(word.strip()) for word in rows.words("p_value")]
    relations = [_SIGNS.get(found[1], found[1]) if found else "" for found in read]
    return relations, [found[2] if found else "" for found in read]


CHECKS = (
    SlipCheck(
        "off-centre interval",
        "estimates that are not in the middle of their interval",
        OffCentreIntervalWarning,
        ("outcomes", "published_meta_analyses"),
        find_off_centre,
        "10.1136/bmj.d2090",
    ),
    SlipCheck(
        "p against interval",
        "p-values that contradict the interval beside them",
        PValueMismatchWarning,
        ("outcomes", "published_meta_analyses"),
        find_p_against_interval,
        "10.1136/bmj.d2304",
    ),
    SlipCheck(
        "impossible variance",
        "standardised mean differences more precise than the sizes of their arms allow",
        EffectTooPreciseWarning,
        ("outcomes",),
        find_impossible_variances,
        "10.3102/10769986006002107",
    ),
)
