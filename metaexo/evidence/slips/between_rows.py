"""Slips that show between rows: numbers typed twice, constant multiples, SEs among SDs, odd variances."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from metaexo.effects.conversions.sd_and_se import se_from_ci
from metaexo.errors import (
    ConstantMultipleWarning,
    ExtremeVarianceWarning,
    RepeatedNumbersWarning,
    ShrinkingSDWarning,
    UnusualCVWarning,
)
from metaexo.evidence.problems import SheetProblem
from metaexo.evidence.slips.patterns import (
    constant_multiples,
    extreme_variances,
    repeated_numbers,
    sd_against_n,
    unusual_cv,
)
from metaexo.evidence.slips.rows import ARMS, Rows, SlipCheck
from metaexo.types import Array

ARM_NUMBERS = ("mean", "sd", "se", "ci_low", "ci_high", "median", "q1", "q3", "min", "max")
ARM_OWNER = ("study_id", "outcome", "unit", "timepoint")
MULTIPLE_OF = tuple(f"{arm}_{name}" for arm in ARMS for name in ("mean", "sd", "se"))


def find_repeated_arms(rows: Rows) -> list[SheetProblem]:
    """Find arms that give the same numbers as the arm of another study, outcome, time point or name."""
    places = [(arm, i) for i in range(len(rows.sheet.rows)) for arm in ARMS]
    columns = {f"{arm}_{name}": rows.cells(f"{arm}_{name}") for arm in ARMS for name in ARM_NUMBERS}
    owners = list(zip(*(rows.words(name) for name in ARM_OWNER), strict=True))
    labels = {arm: rows.words(f"{arm}_label") for arm in ARMS}
    numbers = [_given(columns[f"{arm}_{name}"][i] for name in ARM_NUMBERS) for arm, i in places]
    return _repeats(rows, places, numbers, [(*owners[i], labels[arm][i] or arm) for arm, i in places], "mean")


def find_repeated_estimates(rows: Rows) -> list[SheetProblem]:
    """Find pooled estimates whose interval and value stand in two rows."""
    names = ("estimate", "ci_low", "ci_high")
    columns = [rows.cells(name) for name in names]
    numbers = [cells if all(cells) else () for cells in zip(*columns, strict=True)]
    places = [("", i) for i in range(len(numbers))]
    return _repeats(rows, places, numbers, list(range(len(numbers))), "estimate")


def find_repeated_sizes(rows: Rows) -> list[SheetProblem]:
    """Find preparations whose size and SD are those of another preparation."""
    columns = [rows.cells(name) for name in ("size_nm", "size_sd")]
    numbers = [cells if all(cells) else () for cells in zip(*columns, strict=True)]
    places = [("", i) for i in range(len(numbers))]
    return _repeats(rows, places, numbers, list(range(len(numbers))), "size_nm")


def _given(cells: Iterable[str]) -> tuple[str, ...]:
    return tuple(cell for cell in cells if cell)


def _repeats(
    rows: Rows,
    places: Sequence[tuple[str, int]],
    numbers: Sequence[tuple[str, ...]],
    owners: Sequence[Hashable],
    column: str,
) -> list[SheetProblem]:
    found = []
    for at, earlier in enumerate(repeated_numbers(numbers, owners)):
        if earlier < 0:
            continue
        (arm, i), cells, other = places[at], numbers[at], places[earlier]
        finding = rows.finding(
            RepeatedNumbersWarning,
            i,
            f"{arm}_{column}" if arm else column,
            f"{', '.join(cells)} stand in {rows.line(other[1])} as well, for something else",
            "numbers of its own in every row",
            "look at the source; one of the two may have been typed from the wrong line",
        )
        found.append(finding)
    return found


def find_constant_multiples(rows: Rows) -> list[SheetProblem]:
    """Find rows of one study whose means and SDs are one multiple of those of another row."""
    columns = [rows.cells(name) for name in MULTIPLE_OF]
    found = []
    for group in rows.groups("study_id"):
        table = np.array([[column[i] for i in group] for column in columns], dtype=object)
        for pair in constant_multiples(table):
            first, second = int(group[pair.first]), int(group[pair.second])
            finding = rows.finding(
                ConstantMultipleWarning,
                second,
                "treatment_mean",
                f"means and SDs are {pair.factor:.6g} times those of {rows.line(first)}",
                "numbers that vary by themselves",
                "look at the source; one row may be the other in another unit, or computed from it",
            )
            found.append(finding)
    return found


def find_shrinking_sds(rows: Rows) -> list[SheetProblem]:
    """Find outcomes whose SDs fall as the root of n grows."""
    sd, n = _per_row(rows, "sd"), _per_row(rows, "n")
    study = np.array(rows.words("study_id"), dtype=object)
    found = []
    for group in rows.groups("outcome", "unit"):
        known = group[np.isfinite(sd[group]) & np.isfinite(n[group]) & (sd[group] > 0)]
        owners = sorted(set(study[known].tolist()))
        at_study: dict[str, list[int]] = {name: [] for name in owners}
        for i in known:
            at_study[study[i]].append(int(i))
        of_study = list(at_study.values())
        slope, low, high = sd_against_n(
            [_log_mean(sd[at]) for at in of_study], [_log_mean(n[at]) for at in of_study]
        )
        if high < 0 and low <= -0.5 <= high:
            finding = rows.finding(
                ShrinkingSDWarning,
                known[int(np.argmax(n[known]))],
                "treatment_sd",
                f"the SDs of {len(owners)} studies of this outcome fall as n grows (slope {slope:.2f} on log "
                f"scales, {low:.2f} to {high:.2f})",
                "SDs that do not depend on n (slope 0)",
                "look at the sources; standard errors may stand as SDs",
                reading="standard errors, for which the slope is -0.5",
            )
            found.append(finding)
    return found


def _per_row(rows: Rows, name: str) -> Array:
    """Return the geometric mean of both arms, or the one that is there."""
    values = np.stack([rows.numbers(f"{arm}_{name}") for arm in ARMS])
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.where(values > 0, values, np.nan))
    known = np.isfinite(logs)
    total = np.where(known, logs, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, np.exp(total / np.maximum(count, 1)), np.nan)


def _log_mean(values: Array) -> float:
    return float(np.exp(np.log(values).mean()))


def find_unusual_cvs(rows: Rows) -> list[SheetProblem]:
    """Find SDs far smaller beside their means than those of other studies of the same outcome."""
    study, unit = rows.words("study_id"), rows.words("unit")
    found = []
    for group in rows.groups("outcome", "unit"):
        if "log" in unit[int(group[0])].lower():
            continue
        places = [(arm, int(i)) for i in group for arm in ARMS]
        mean, sd, n = (
            np.array([rows.numbers(f"{arm}_{name}")[i] for arm, i in places]) for name in ("mean", "sd", "n")
        )
        odd, others = unusual_cv(mean, sd, n, [study[i] for _, i in places])
        for at in np.flatnonzero(odd):
            arm, i = places[at]
            known = math.isfinite(n[at])
            as_sd = f": the SD is {sd[at] * math.sqrt(n[at]):.3g} then" if known else ""
            finding = rows.finding(
                UnusualCVWarning,
                i,
                f"{arm}_sd",
                f"the SD is {100 * sd[at] / mean[at]:.2g}% of the mean; in other studies of this outcome "
                f"it is {100 * others[at]:.2g}%",
                f"at least a quarter of the usual share ({25 * others[at]:.2g}%)",
                "look at the source; if this is a standard error, move it to the column of standard errors",
                reading=f"a standard error{as_sd}",
            )
            found.append(finding)
    return found


def find_extreme_variances(rows: Rows) -> list[SheetProblem]:
    """Find rows of one outcome whose sampling variance is far from those of the others."""
    s1, n1, s2, n2 = (rows.numbers(f"{arm}_{name}") for arm in ARMS for name in ("sd", "n"))
    with np.errstate(divide="ignore", invalid="ignore"):
        v = s1**2 / n1 + s2**2 / n2
    return _extremes(rows, v, ("outcome", "unit"), "treatment_sd")


def find_extreme_estimates(rows: Rows) -> list[SheetProblem]:
    """Find pooled estimates without a unit whose variance is far from the others of measure and outcome."""
    low, high = rows.numbers("ci_low"), rows.numbers("ci_high")
    ratio = np.isin(rows.words("measure"), ("OR", "RR"))
    se = np.where(ratio, se_from_ci(low, high, log=True), se_from_ci(low, high))
    se = np.where(ratio | np.isin(rows.words("measure"), ("SMD",)), se, np.nan)
    return _extremes(rows, se**2, ("outcome", "measure"), "ci_low")


def _extremes(rows: Rows, v: Array, groups: tuple[str, ...], column: str) -> list[SheetProblem]:
    found = []
    for group in rows.groups(*groups):
        for at in np.flatnonzero(extreme_variances(v[group])):
            others = np.delete(v[group], at)
            ratio = float(v[group][at] / np.median(others[np.isfinite(others)]))
            size = f"{ratio:.3g}" if ratio > 1 else f"1 / {1 / ratio:.3g}"
            finding = rows.finding(
                ExtremeVarianceWarning,
                group[at],
                column,
                f"the sampling variance is {size} of what is usual for this outcome",
                "variances within a factor of 1000",
                "look at the source; a standard error may stand as an SD, or a unit may be mixed up",
            )
            found.append(finding)
    return found


CHECKS = (
    SlipCheck(
        "repeated arm",
        "the same numbers in arms of different studies, outcomes or time points",
        RepeatedNumbersWarning,
        ("outcomes",),
        find_repeated_arms,
    ),
    SlipCheck(
        "repeated estimate",
        "the same estimate and interval in two rows",
        RepeatedNumbersWarning,
        ("published_meta_analyses",),
        find_repeated_estimates,
    ),
    SlipCheck(
        "repeated size",
        "the same vesicle size and SD in two rows",
        RepeatedNumbersWarning,
        ("preparations",),
        find_repeated_sizes,
    ),
    SlipCheck(
        "constant multiple",
        "rows of a study whose numbers are one multiple of those of another row",
        ConstantMultipleWarning,
        ("outcomes",),
        find_constant_multiples,
    ),
    SlipCheck(
        "SD against n",
        "SDs of an outcome that fall as the root of n grows, as standard errors do",
        ShrinkingSDWarning,
        ("outcomes",),
        find_shrinking_sds,
        "10.1002/9781119536604.ch6",
    ),
    SlipCheck(
        "unusual CV",
        "SDs far smaller beside their means than in other studies of the outcome",
        UnusualCVWarning,
        ("outcomes",),
        find_unusual_cvs,
        "10.1002/9781119536604.ch6",
    ),
    SlipCheck(
        "extreme variance",
        "sampling variances a thousand times smaller or larger than the others of an outcome",
        ExtremeVarianceWarning,
        ("outcomes",),
        find_extreme_variances,
    ),
    SlipCheck(
        "extreme variance of an estimate",
        "pooled estimates with such a variance",
        ExtremeVarianceWarning,
        ("published_meta_analyses",),
        find_extreme_estimates,
    ),
)
