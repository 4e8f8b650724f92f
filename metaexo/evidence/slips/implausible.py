"""What is possible but looks wrong in a single row: one-armed comparisons, an SE in the place of an SD."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from metaexo.errors import (
    LargeDifferenceWarning,
    MisnamedColumnWarning,
    OneArmWarning,
    ShrinkingSDWarning,
    SpreadMismatchWarning,
    StandardErrorsAsSDsWarning,
    StatisticMismatchWarning,
    UnknownCategoryWarning,
    UnknownOutcomeWarning,
    UnspecificCategoryWarning,
    UnusualCVWarning,
    ZeroPValueWarning,
    ZeroSDWarning,
)
from metaexo.evidence.problems import SheetProblem
from metaexo.evidence.slips.rows import ARMS, Rows, SlipCheck
from metaexo.evidence.vocabulary import load_vocabulary, unclear

LARGE_DIFFERENCE = 5.0
"""Standardised difference from which an SE is suspected in the place of an SD."""
SPREAD_TOLERANCE = 0.1
"""Share by which SD / sqrt(n) may differ from SE, which both are rounded."""
NEAR_OUTCOME = 0.75
MOST_NEAREST = 100
"""Strange words of a column for which the nearest word is looked for."""
KINDS: tuple[Literal["source", "isolation"], ...] = ("source", "isolation")
NAMES_OF = {
    "source": ("source", "sources", "origin", "donor", "tissue", "celltype", "derived"),
    "isolation": ("isolation", "isolated", "isolate", "purification", "purified", "extraction", "enrichment"),
}
"""Words of columns that may hold the source or the isolation."""
LIKE_COLUMN = 0.8
FEWEST_SUSPECTED = 3
SHARE_SUSPECTED = 0.25
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
    """Find outcomes that are no word of the vocabulary, and name the nearest."""
    found = []
    words = rows.words("outcome")
    strange = [word for word in dict.fromkeys(words) if word and word not in rows.outcomes]
    near = {
        word: difflib.get_close_matches(word[:80], rows.outcomes, n=1, cutoff=NEAR_OUTCOME)
        if i < MOST_NEAREST
        else []
        for i, word in enumerate(strange)
    }
    for i, outcome in enumerate(words):
        if outcome not in near:
            continue
        nearest = near[outcome][0] if near[outcome] else None
        meant = (
            f"write {nearest!r} if that is what was meant; otherwise"
            if nearest
            else "if it is another name of one,"
        )
        finding = rows.finding(
            UnknownOutcomeWarning,
            i,
            "outcome",
            f"{outcome!r} is not in the outcome vocabulary, so it is a family of its own",
            "a word of the vocabulary, or a word of your own",
            f"{meant} add it to vocabulary/outcome_family.csv beside the sheets, with its family",
            nearest=nearest,
        )
        found.append(finding)
    return found


def find_unclear_categories(rows: Rows) -> list[SheetProblem]:
    """Find words for source and isolation that lead to no category, or only to a broad one."""
    return [
        finding
        for kind in KINDS
        if f"{kind}_reported" in rows.frame and f"{kind}_category" in rows.frame
        for finding in _unclear(rows, kind)
    ]


def _unclear(rows: Rows, kind: Literal["source", "isolation"]) -> list[SheetProblem]:
    category, reported = f"{kind}_category", f"{kind}_reported"
    vocabulary = load_vocabulary(kind, rows.folder)
    told = rows.words(reported)
    said = {text: unclear(kind, text, rows.folder) for text in dict.fromkeys(told) if text}
    strange = [text for text, what in said.items() if what]
    near = {text: vocabulary.nearest(text) if i < MOST_NEAREST else None for i, text in enumerate(strange)}
    found = []
    for i, (text, given) in enumerate(zip(told, rows.words(category), strict=True)):
        if given or not said.get(text):
            continue
        unknown = said[text] == "no category"
        finding = rows.finding(
            UnknownCategoryWarning if unknown else UnspecificCategoryWarning,
            i,
            reported,
            f"{text!r} names no {kind} of the vocabulary, so the row counts as not reported"
            if unknown
            else f"{text!r} names the {kind} only broadly",
            f"words of vocabulary/{kind}.csv, or a category in {category}",
            f"write the category in {category}, or add the words to vocabulary/{kind}.csv beside the sheets",
            nearest=near[text],
        )
        found.append(finding)
    return found


def find_misnamed_columns(rows: Rows) -> list[SheetProblem]:
    """Find columns of the user's own that may be the source or the isolation, where the sheet has neither."""
    header, known = rows.sheet.header, rows.sheet.plan.columns
    found = []
    for kind in KINDS:
        reported = f"{kind}_reported"
        if reported not in known or {reported, f"{kind}_category"} & set(header):
            continue
        own = [name for name in header if name not in known and name and _is_like(name, NAMES_OF[kind])]
        found += [
            SheetProblem(
                MisnamedColumnWarning,
                f"{name!r} is a column of your own, and no column of the codebook says the {kind}: every row "
                "counts as not reported",
                f"{reported} (words of the paper) or {kind}_category",
                f"rename it to {reported!r} if it holds the {kind}",
                rows.sheet.plan.file,
                1,
                column=name,
                value=name,
                nearest=reported,
            )
            for name in own
        ]
    return found


def _is_like(name: str, words: Sequence[str]) -> bool:
    """Return whether a word of a column's name is one of these, or nearly."""
    parts = [part for part in re.split(r"[\W_\d]+", name.casefold()) if part]
    return any(difflib.get_close_matches(part[:40], words, n=1, cutoff=LIKE_COLUMN) for part in parts)


def verdict_on_spreads(rows: Rows, found: Sequence[SheetProblem]) -> list[SheetProblem]:
    """Return what many SDs that look like standard errors say of the whole sheet.

    Parameters
    ----------
    rows : Rows
        The rows.
    found : sequence of SheetProblem
        What the single checks found.

    Returns
    -------
    list of SheetProblem
        One finding if at least three rows, and a quarter of the rows with SDs, are suspected; else none.
    """
    kinds = (LargeDifferenceWarning, UnusualCVWarning, ShrinkingSDWarning, StatisticMismatchWarning)
    suspected = {problem.line for problem in found if problem.kind in kinds and problem.line is not None}
    has_sd = np.isfinite(np.stack([rows.numbers(f"{arm}_sd") for arm in ARMS])).any(axis=0)
    with_sd = int(has_sd.sum())
    if len(suspected) < FEWEST_SUSPECTED or len(suspected) < SHARE_SUSPECTED * with_sd:
        return []
    return [
        SheetProblem(
            StandardErrorsAsSDsWarning,
            f"the SDs of {len(suspected)} of {with_sd} rows look like standard errors, as all of them may be",
            "standard deviations in treatment_sd and control_sd",
            "look at the sources of a few of these rows; if they give standard errors, move all of them to "
            "treatment_se and control_se",
            rows.sheet.plan.file,
            min(suspected),
            column="treatment_sd",
            reading="standard errors in the whole sheet",
            lines=tuple(sorted(suspected)),
        )
    ]


CHECKS = (
    SlipCheck(
        "misnamed column",
        "columns of your own that may be the source or the isolation, where the sheet has neither",
        MisnamedColumnWarning,
        ("studies", "preparations", "safety_events"),
        find_misnamed_columns,
    ),
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
        "outcomes that are no word of the vocabulary",
        UnknownOutcomeWarning,
        ("outcomes", "published_meta_analyses"),
        find_unknown_outcomes,
    ),
    SlipCheck(
        "unclear category",
        "words for source and isolation that lead to no category, or to a broad one",
        UnknownCategoryWarning,
        ("studies", "preparations", "safety_events"),
        find_unclear_categories,
    ),
)
