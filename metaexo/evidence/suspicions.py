"""What is possible but looks wrong in a single row: one-armed comparisons, an SE in the place of an SD."""

from __future__ import annotations

import difflib
import math

import numpy as np

from metaexo.errors import (
    LargeDifferenceWarning,
    OneArmWarning,
    SpreadMismatchWarning,
    UnknownOutcomeWarning,
    ZeroPValueWarning,
    ZeroSDWarning,
)
from metaexo.evidence.problems import SheetProblem
from metaexo.evidence.slips_rows import ARMS, Rows, SlipCheck

LARGE_DIFFERENCE = 5.0
"""Standardised difference from which an SE is suspected in the place of an SD."""
SPREAD_TOLERANCE = 0.1
"""Share by which SD / sqrt(n) may differ from SE, which both are rounded."""
ONE_GROUP = ("single_arm", "post_vs_pre")
ARM_NUMBERS = ("mean", "median", "events", "min", "max")


def find_one_arm(rows: Rows) -> list[SheetProblem]:
    """Find comparisons of which only one arm has numbers."""
    frame = rows.frame
    has = {arm: frame[[f"{arm}_{name}" for name in ARM_NUMBERS]].notna().any(axis=1) for arm in ARMS}
    whole = frame[["difference", "effect"]].notna().any(axis=1)
    one = (has["treatment"] ^ has["control"]) & ~whole & ~frame["contrast"].isin(ONE_GROUP)
    return [
        rows.finding(
            OneArmWarning,
            i,
            "treatment_mean" if not has["treatment"].iloc[i] else "control_mean",
            "only one arm of the comparison has numbers",
            "numbers in both arms, or contrast single_arm",
            "enter the other arm, or say in `caution` why it is missing",
        )
        for i in np.flatnonzero(one)
    ]


def find_zero_p(rows: Rows) -> list[SheetProblem]:
    """Find p-values of exactly zero."""
    zero = (rows.frame["p_value"] == 0) & (rows.frame["p_relation"] != "<=")
    return [
        rows.finding(
            ZeroPValueWarning,
            i,
            "p_value",
            "a p-value is never exactly zero; a program prints p = 0.000 for p < 0.0005",
            "a number above 0",
            "write < in p_relation and half a unit of the last printed digit in p_value",
        )
        for i in np.flatnonzero(zero)
    ]


def find_large_differences(rows: Rows) -> list[SheetProblem]:
    """Find means so many SDs apart that the SDs may be standard errors."""
    m1, s1, n1, m2, s2, n2 = (rows.numbers(f"{arm}_{name}") for arm in ARMS for name in ("mean", "sd", "n"))
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = np.sqrt((s1**2 + s2**2) / 2)
        d = np.where(pooled > 0, np.abs(m1 - m2) / pooled, np.nan)
        as_se = np.abs(m1 - m2) / np.sqrt((n1 * s1**2 + n2 * s2**2) / 2)
    found = []
    for i in np.flatnonzero(d > LARGE_DIFFERENCE):
        known = math.isfinite(as_se[i])
        sds = " and ".join(f"{s[i] * math.sqrt(n[i]):.3g}" for s, n in ((s1, n1), (s2, n2)) if known)
        reading = f"standard errors: the SDs are {sds} then, and the means {as_se[i]:.1f} SDs apart"
        finding = rows.finding(
            LargeDifferenceWarning,
            i,
            "treatment_sd",
            f"the means are {d[i]:.0f} standard deviations apart; standard errors may stand as SDs",
            f"differences of fewer than {LARGE_DIFFERENCE:g} standard deviations",
            "look at the source; if these are standard errors, move them to treatment_se and control_se",
            reading=reading if known else "standard errors",
        )
        found.append(finding)
    return found


def find_spread_mismatch(rows: Rows) -> list[SheetProblem]:
    """Find standard errors that are not the SD over the root of n."""
    found = []
    for arm in ARMS:
        sd, se, n = (rows.numbers(f"{arm}_{name}") for name in ("sd", "se", "n"))
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = sd / np.sqrt(np.where(n >= 1, n, np.nan))
            off = (np.abs(se - expected) > SPREAD_TOLERANCE * expected) & (se <= sd)
            size = (sd / se) ** 2
        found += [
            rows.finding(
                SpreadMismatchWarning,
                i,
                f"{arm}_se",
                f"SE is {se[i]:g}, but SD divided by the root of n is {expected[i]:.3g}",
                "SE = SD / sqrt(n)",
                "look at the source; n may be that of another analysis",
                reading=f"n = {size[i]:.1f}",
            )
            for i in np.flatnonzero(off)
        ]
    return found


def find_zero_spread(rows: Rows) -> list[SheetProblem]:
    """Find standard deviations and standard errors of zero."""
    return [
        rows.finding(
            ZeroSDWarning,
            i,
            column,
            f"{column} is zero",
            "a value above 0",
            "look at the source; a spread that is not reported is an empty cell",
        )
        for column in (f"{arm}_{name}" for arm in ARMS for name in ("sd", "se"))
        for i in np.flatnonzero(rows.numbers(column) == 0)
    ]


def find_unknown_outcomes(rows: Rows) -> list[SheetProblem]:
    """Find outcomes that look like a misspelt word of the vocabulary."""
    found = []
    for i, outcome in enumerate(rows.words("outcome")):
        if not outcome or outcome in rows.outcomes:
            continue
        near = difflib.get_close_matches(outcome, rows.outcomes, n=1, cutoff=0.9)
        if near:
            finding = rows.finding(
                UnknownOutcomeWarning,
                i,
                "outcome",
                f"{outcome!r} is not in the outcome vocabulary, {near[0]!r} is",
                "a word of the vocabulary, or a word of your own unlike those",
                f"write {near[0]!r} if that is what was meant",
                nearest=near[0],
            )
            found.append(finding)
    return found


CHECKS = (
    SlipCheck(
        "one arm",
        "comparisons of which only one arm has numbers",
        OneArmWarning,
        ("outcomes",),
        find_one_arm,
    ),
    SlipCheck("zero p", "p-values of exactly zero", ZeroPValueWarning, ("outcomes",), find_zero_p),
    SlipCheck(
        "large difference",
        "means so many SDs apart that standard errors may stand as SDs",
        LargeDifferenceWarning,
        ("outcomes",),
        find_large_differences,
        "10.1002/9781119536604.ch6",
    ),
    SlipCheck(
        "spread mismatch",
        "standard errors that are not SD / sqrt(n)",
        SpreadMismatchWarning,
        ("outcomes",),
        find_spread_mismatch,
        "10.1002/9781119536604.ch6",
    ),
    SlipCheck(
        "zero spread", "SDs and standard errors of zero", ZeroSDWarning, ("outcomes",), find_zero_spread
    ),
    SlipCheck(
        "unknown outcome",
        "outcomes that look like a misspelt word of the vocabulary",
        UnknownOutcomeWarning,
        ("outcomes", "published_meta_analyses"),
        find_unknown_outcomes,
    ),
)
