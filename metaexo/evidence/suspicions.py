"""What is possible but looks wrong: one-armed comparisons, SE in the place of SD, p-values of zero."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.errors import (
    LargeDifferenceWarning,
    OneArmWarning,
    SheetWarning,
    SpreadMismatchWarning,
    UnknownOutcomeWarning,
    ZeroPValueWarning,
    ZeroSDWarning,
)
from metaexo.evidence.codebook import Outcome
from metaexo.evidence.problems import SheetProblem
from metaexo.evidence.reading import RawSheet

if TYPE_CHECKING:
    import pandas as pd

LARGE_DIFFERENCE = 5.0
"""Standardised difference from which an SE is suspected in the place of an SD."""
SPREAD_TOLERANCE = 0.1
"""Share by which SD / sqrt(n) may differ from SE, which both are rounded."""
ONE_GROUP = ("single_arm", "post_vs_pre")
ARM_NUMBERS = ("mean", "median", "events", "min", "max")


def find_suspicions(
    sheet: RawSheet, frame: pd.DataFrame, outcomes: Mapping[str, Outcome]
) -> list[SheetProblem]:
    """Return what looks wrong in a sheet without being impossible.

    Parameters
    ----------
    sheet : RawSheet
        The sheet as text.
    frame : DataFrame
        Its values.
    outcomes : mapping
        The outcome vocabulary.
    """
    found: list[SheetProblem] = []
    if sheet.plan.name == "outcomes":
        found += _one_arm(sheet, frame) + _zero_p(sheet, frame) + _large_differences(sheet, frame)
        for arm in ("treatment", "control"):
            found += _spread(sheet, frame, arm)
    if "outcome" in sheet.plan.columns and sheet.plan.name != "direction_only":
        found += _outcomes(sheet, frame, outcomes)
    return found


def _one_arm(sheet: RawSheet, frame: pd.DataFrame) -> list[SheetProblem]:
    has = {
        arm: frame[[f"{arm}_{name}" for name in ARM_NUMBERS]].notna().any(axis=1)
        for arm in ("treatment", "control")
    }
    whole = frame[["difference", "effect"]].notna().any(axis=1)
    one = (has["treatment"] ^ has["control"]) & ~whole & ~frame["contrast"].isin(ONE_GROUP)
    return [
        _finding(
            sheet,
            OneArmWarning,
            i,
            "treatment_mean" if not has["treatment"].iloc[i] else "control_mean",
            "only one arm of the comparison has numbers",
            "numbers in both arms, or contrast single_arm",
            "enter the other arm, or say in `caution` why it is missing",
        )
        for i in np.flatnonzero(one)
    ]


def _zero_p(sheet: RawSheet, frame: pd.DataFrame) -> list[SheetProblem]:
    zero = (frame["p_value"] == 0) & (frame["p_relation"] != "<=")
    return [
        _finding(
            sheet,
            ZeroPValueWarning,
            i,
            "p_value",
            "a p-value is never exactly zero; a program prints p = 0.000 for p < 0.0005",
            "a number above 0",
            "write < in p_relation and half a unit of the last printed digit in p_value",
        )
        for i in np.flatnonzero(zero)
    ]


def _large_differences(sheet: RawSheet, frame: pd.DataFrame) -> list[SheetProblem]:
    """Find means so many SDs apart that the SDs may be standard errors."""
    m1, s1, m2, s2 = (
        frame[name].to_numpy(dtype=float)
        for name in ("treatment_mean", "treatment_sd", "control_mean", "control_sd")
    )
    pooled = np.sqrt((s1**2 + s2**2) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        d = np.where(pooled > 0, (m1 - m2) / pooled, np.nan)
    return [
        _finding(
            sheet,
            LargeDifferenceWarning,
            i,
            "treatment_sd",
            f"the means are {abs(d[i]):.0f} standard deviations apart; standard errors may stand as SDs",
            f"differences of fewer than {LARGE_DIFFERENCE:g} standard deviations",
            "look at the source; if these are standard errors, move them to treatment_se and control_se",
        )
        for i in np.flatnonzero(np.abs(d) > LARGE_DIFFERENCE)
    ]


def _spread(sheet: RawSheet, frame: pd.DataFrame, arm: str) -> list[SheetProblem]:
    sd, se, n = (frame[f"{arm}_{name}"].to_numpy(dtype=float) for name in ("sd", "se", "n"))
    expected = sd / np.sqrt(np.where(n >= 1, n, np.nan))
    with np.errstate(invalid="ignore"):
        off = (np.abs(se - expected) > SPREAD_TOLERANCE * expected) & (se <= sd)
    found = [
        _finding(
            sheet,
            SpreadMismatchWarning,
            i,
            f"{arm}_se",
            f"SE is {se[i]:g}, but SD divided by the root of n is {expected[i]:.3g}",
            "SE = SD / sqrt(n)",
            "look at the source; n may be that of another analysis",
        )
        for i in np.flatnonzero(off)
    ]
    for column in (f"{arm}_sd", f"{arm}_se"):
        zero = frame[column].to_numpy(dtype=float) == 0
        found += [
            _finding(
                sheet,
                ZeroSDWarning,
                i,
                column,
                f"{column} is zero",
                "a value above 0",
                "look at the source; a spread that is not reported is an empty cell",
            )
            for i in np.flatnonzero(zero)
        ]
    return found


def _outcomes(sheet: RawSheet, frame: pd.DataFrame, outcomes: Mapping[str, Outcome]) -> list[SheetProblem]:
    found = []
    for i, outcome in enumerate(frame["outcome"]):
        if not isinstance(outcome, str) or outcome in outcomes:
            continue
        near = difflib.get_close_matches(outcome, outcomes, n=1, cutoff=0.9)
        if near:
            what = f"{outcome!r} is not in the outcome vocabulary, {near[0]!r} is"
            finding = _finding(
                sheet,
                UnknownOutcomeWarning,
                i,
                "outcome",
                what,
                "a word of the vocabulary, or a word of your own unlike those",
                f"write {near[0]!r} if that is what was meant",
                near[0],
            )
            found.append(finding)
    return found


def _finding(
    sheet: RawSheet,
    kind: type[SheetWarning],
    i: int | np.signedinteger[Any],
    column: str,
    what: str,
    allowed: str,
    remedy: str,
    nearest: str | None = None,
) -> SheetProblem:
    row = int(i)
    cell = sheet.rows[row].get(column, "")
    return SheetProblem(
        kind,
        what,
        allowed,
        remedy,
        sheet.plan.file,
        sheet.lines[row],
        sheet.study(row),
        column,
        cell,
        nearest,
    )
