"""What looks wrong between the rows of a sheet, and the list of everything that is looked for."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects.conversions.sd_and_se import se_from_ci
from metaexo.errors import (
    ConstantMultipleWarning,
    CopiedStudyWarning,
    ExtremeVarianceWarning,
    RepeatedNumbersWarning,
    ShrinkingSDWarning,
    UnusualCVWarning,
)
from metaexo.evidence.codebook import Outcome
from metaexo.evidence.problems import MOST_LINES, SheetProblem
from metaexo.evidence.reading import RawSheet
from metaexo.evidence.slips import odd_rows, printed_effects, standard_errors, whole_columns, within_rows
from metaexo.evidence.slips.copies import ARM_NUMBERS, Copy, find_copies, numbers_of_arms
from metaexo.evidence.slips.patterns import (
    FEWEST_DIGITS,
    constant_multiples,
    digits,
    extreme_variances,
    repeated_numbers,
    sd_against_n,
    unusual_cv,
)
from metaexo.evidence.slips.rows import ARMS, Checks, Rows, Slip, SlipCheck, Slips
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

CHECKS = Checks()
ARM_OWNER = ("study_id", "outcome", "unit", "timepoint")
WITH_ARMS = ("outcomes", "cargo_groups", "method_contrasts", "marker_arms", "brain_outcomes")
"""Sheets whose rows have means and SDs of arms."""
MULTIPLE_OF = tuple(f"{arm}_{name}" for arm in ARMS for name in ("mean", "sd", "se"))


@CHECKS.add(
    "repeated arm",
    "the same numbers in arms of different studies, outcomes or time points",
    RepeatedNumbersWarning,
    sheets=WITH_ARMS,
)
def _repeated_arms(rows: Rows) -> Slips:
    copied = {i for copy in _copies(rows) for _, i in copy.rows}
    copied |= {i for copy in _copies(rows) for _, i, _ in _nearly(rows, copy)}
    places = [(arm, i) for i in range(len(rows.sheet.rows)) if i not in copied for arm in ARMS]
    columns = {f"{arm}_{name}": rows.cells(f"{arm}_{name}") for arm in ARMS for name in ARM_NUMBERS}
    owners = list(zip(*(rows.words(name) for name in ARM_OWNER), strict=True))
    labels = {arm: rows.words(f"{arm}_label") for arm in ARMS}
    numbers = [
        tuple(cell for name in ARM_NUMBERS if (cell := columns[f"{arm}_{name}"][i])) for arm, i in places
    ]
    return _repeats(rows, places, numbers, [(*owners[i], labels[arm][i] or arm) for arm, i in places], "mean")


@CHECKS.add(
    "copied study",
    "the same means, SDs and n under two study ids",
    CopiedStudyWarning,
    sheets=WITH_ARMS,
)
def _copied_studies(rows: Rows) -> Slips:
    said = rows.words("caution")
    for copy in _copies(rows):
        first, theirs, ours = copy.first, [i for i, _ in copy.rows], [i for _, i in copy.rows]
        if all(said[i] for i in theirs):
            first, theirs, ours = copy.second, ours, theirs  # words in either study settle it
        other = len(copy.other_n)
        near = "" if not other else " with another n" if other == len(ours) else f", {other} with another n"
        many = "row shares its" if len(ours) == 1 else "rows share their"
        what = "means and SDs" if other else "means, SDs and n"
        yield Slip(
            next((i for i in ours if not said[i]), ours[0]),
            "study_id",
            f"{len(ours)} {many} {what} with {first} (line {_lines(rows, theirs)}){near}"
            f"{_but_one(rows, copy)}",
            "results of its own under every study",
            "look at the sources; if the samples are the same, keep one of the studies or set rows apart",
            rows=tuple(ours),
        )


def _copies(rows: Rows) -> tuple[Copy, ...]:
    """Return the pairs of studies that share the numbers of rows; two checks ask for them."""
    if "copies" not in rows.shared:
        names = [f"{arm}_{name}" for arm in ARMS for name in (*ARM_NUMBERS, "n")]
        arms = numbers_of_arms({name: rows.cells(name) for name in names}, len(rows.sheet.rows))
        rows.shared["copies"] = find_copies(*arms, rows.words(rows.sheet.plan.key))
    found: tuple[Copy, ...] = rows.shared["copies"]
    return found


def _nearly(rows: Rows, copy: Copy) -> list[tuple[int, int, str]]:
    """Return the other rows of two copied studies that differ in one number: both rows, and its column."""
    columns = {f"{arm}_{name}": rows.cells(f"{arm}_{name}") for arm in ARMS for name in (*ARM_NUMBERS, "n")}
    studies = rows.words(rows.sheet.plan.key)
    taken = {i for pair in copy.rows for i in pair}
    first, second = (
        [i for i, study in enumerate(studies) if study == name and i not in taken]
        for name in (copy.first, copy.second)
    )
    found = []
    for i in second:
        for j in first:
            off = [name for name, cells in columns.items() if cells[i] != cells[j]]
            same = [cells[i] for cells in columns.values() if cells[i] and cells[i] == cells[j]]
            if len(off) == 1 and sum(map(digits, same)) >= FEWEST_DIGITS:
                found.append((j, i, off[0]))
                break
    return found


def _but_one(rows: Rows, copy: Copy) -> str:
    """Say which other rows of two copied studies differ in one number."""
    said = [
        f"{rows.line(i)} differs from {rows.line(j)} in {name} only "
        f"({rows.cells(name)[i] or 'empty'}, {rows.cells(name)[j] or 'empty'})"
        for j, i, name in _nearly(rows, copy)
    ]
    return "".join(f"; {words}" for words in said)


def _lines(rows: Rows, at: Sequence[int]) -> str:
    more = len(at) - MOST_LINES
    shown = ", ".join(str(rows.sheet.lines[i]) for i in at[:MOST_LINES])
    return f"{shown} and {more} more" if more > 0 else shown


@CHECKS.add(
    "repeated estimate",
    "the same estimate and interval in two rows",
    RepeatedNumbersWarning,
    sheets=("published_meta_analyses",),
)
def _repeated_estimates(rows: Rows) -> Slips:
    return _repeated_rows(rows, "estimate", "ci_low", "ci_high")


@CHECKS.add(
    "repeated size",
    "the same vesicle size and SD in two rows",
    RepeatedNumbersWarning,
    sheets=("preparations",),
)
def _repeated_sizes(rows: Rows) -> Slips:
    return _repeated_rows(rows, "size_nm", "size_sd")


def _repeated_rows(rows: Rows, *names: str) -> Slips:
    """Find rows with the same numbers in all of these columns; the finding stands at the first."""
    numbers = [cells if all(cells) else () for cells in zip(*map(rows.cells, names), strict=True)]
    places = [("", i) for i in range(len(numbers))]
    return _repeats(rows, places, numbers, list(range(len(numbers))), names[0])


def _repeats(
    rows: Rows,
    places: Sequence[tuple[str, int]],
    numbers: Sequence[tuple[str, ...]],
    owners: Sequence[Hashable],
    column: str,
) -> Slips:
    said = rows.words("caution")
    for at, earlier in enumerate(repeated_numbers(numbers, owners)):
        if earlier < 0:
            continue
        pair = [at, earlier]
        if said[places[earlier][1]] and not said[places[at][1]]:
            pair.reverse()  # words in either row settle it, whichever comes first
        (arm, i), cells, other = places[pair[0]], numbers[at], places[pair[1]]
        yield Slip(
            i,
            f"{arm}_{column}" if arm else column,
            f"{', '.join(cells)} stand in {rows.line(other[1])} as well, for something else",
            "numbers of its own in every row",
            "look at the source; one of the two may have been typed from the wrong line"
            + (SHARED if arm else ""),
        )


@CHECKS.add(
    "constant multiple",
    "rows of a study whose numbers are one multiple of those of another row",
    ConstantMultipleWarning,
)
def _constant_multiples(rows: Rows) -> Slips:
    columns = [rows.cells(name) for name in MULTIPLE_OF]
    for group in rows.groups("study_id"):
        table = np.array([[column[i] for i in group] for column in columns], dtype=object)
        for pair in constant_multiples(table):
            first, second = int(group[pair.first]), int(group[pair.second])
            yield Slip(
                second,
                "treatment_mean",
                f"means and SDs are {pair.factor:.6g} times those of {rows.line(first)}",
                "numbers that vary by themselves",
                "look at the source; one row may be the other in another unit, or computed from it",
            )


@CHECKS.add(
    "SD against n",
    "SDs of an outcome that fall as the root of n grows, as standard errors do",
    ShrinkingSDWarning,
    "10.1002/9781119536604.ch6",
)
def _shrinking_sds(rows: Rows) -> Slips:
    sd, n = _per_row(rows, "sd"), _per_row(rows, "n")
    study = np.array(rows.words("study_id"), dtype=object)
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
            yield Slip(
                known[int(np.argmax(n[known]))],
                "treatment_sd",
                f"the SDs of {len(owners)} studies of this outcome fall as n grows (slope {slope:.2f} on log "
                f"scales, {low:.2f} to {high:.2f})",
                "SDs that do not depend on n (slope 0)",
                "look at the sources; standard errors may stand as SDs",
                reading="standard errors, for which the slope is -0.5",
            )


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


@CHECKS.add(
    "unusual CV",
    "SDs far smaller beside their means than in other studies of the outcome",
    UnusualCVWarning,
    "10.1002/9781119536604.ch6",
)
def _unusual_cvs(rows: Rows) -> Slips:
    study, unit = rows.words("study_id"), rows.words("unit")
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
            if i in odd_rows.rows_exchanged(rows):
                continue
            known = math.isfinite(n[at])
            as_sd = f": the SD is {sd[at] * math.sqrt(n[at]):.3g} then" if known else ""
            yield Slip(
                i,
                f"{arm}_sd",
                f"the SD is {100 * sd[at] / mean[at]:.2g}% of the mean; in other studies of this outcome "
                f"it is {100 * others[at]:.2g}%",
                f"at least a quarter of the usual share ({25 * others[at]:.2g}%)",
                "look at the source; if this is a standard error, move it to the column of standard errors",
                reading=f"a standard error{as_sd}",
            )


@CHECKS.add(
    "extreme variance",
    "sampling variances a thousand times smaller or larger than the others of an outcome",
    ExtremeVarianceWarning,
)
def _extreme_variances(rows: Rows) -> Slips:
    s1, n1, s2, n2 = (rows.numbers(f"{arm}_{name}") for arm in ARMS for name in ("sd", "n"))
    with np.errstate(divide="ignore", invalid="ignore"):
        v = s1**2 / n1 + s2**2 / n2
    v[list(odd_rows.rows_exchanged(rows))] = np.nan
    return _extremes(rows, v, ("outcome", "unit"), "treatment_sd")


@CHECKS.add(
    "extreme variance of an estimate",
    "pooled estimates with such a variance",
    ExtremeVarianceWarning,
    sheets=("published_meta_analyses",),
)
def _extreme_estimates(rows: Rows) -> Slips:
    low, high = rows.numbers("ci_low"), rows.numbers("ci_high")
    ratio = np.isin(rows.words("measure"), ("OR", "RR"))
    se = np.where(ratio, se_from_ci(low, high, log=True), se_from_ci(low, high))
    se = np.where(ratio | np.isin(rows.words("measure"), ("SMD",)), se, np.nan)
    return _extremes(rows, se**2, ("outcome", "measure"), "ci_low")


def _extremes(rows: Rows, v: Array, groups: tuple[str, ...], column: str) -> Slips:
    for group in rows.groups(*groups):
        for at in np.flatnonzero(extreme_variances(v[group])):
            others = np.delete(v[group], at)
            ratio = float(v[group][at] / np.median(others[np.isfinite(others)]))
            size = f"{ratio:,.0f} times" if ratio > 1 else f"1/{1 / ratio:,.0f} of"
            yield Slip(
                group[at],
                column,
                f"the sampling variance is {size} what is usual for this outcome",
                "variances within a factor of 1000",
                "look at the source; a standard error may stand as an SD, or a unit may be mixed up",
            )


SHARED = ". Studies that share a control group are one study: give them one name"
SLIP_CHECKS: tuple[SlipCheck, ...] = (
    *whole_columns.CHECKS,
    *within_rows.CHECKS,
    *printed_effects.CHECKS,
    *CHECKS,
    *odd_rows.CHECKS,
    *standard_errors.CHECKS,
)


def slip_checks() -> pd.DataFrame:
    """Return what is looked for in sheets: one row per check.

    Use it to see what :func:`metaexo.check_sheets` and `metaexo check` look for, and on which paper it rests.

    Returns
    -------
    DataFrame
        name, looks_for, sheets, kind (class of the warning or error), reference (DOI).

    Examples
    --------
    >>> checks = slip_checks().set_index("name")
    >>> checks.loc["GRIM", "kind"], checks.loc["GRIM", "reference"]
    ('ImpossibleMeanWarning', '10.1177/1948550616673876')
    """
    import pandas as pd

    rows = [(c.name, c.looks_for, ", ".join(c.sheets), c.kind.__name__, c.reference) for c in SLIP_CHECKS]
    return pd.DataFrame(rows, columns=["name", "looks_for", "sheets", "kind", "reference"])


def find_slips(
    sheet: RawSheet, frame: pd.DataFrame, outcomes: Mapping[str, Outcome], folder: Path | None = None
) -> list[SheetProblem]:
    """Return what looks wrong in a sheet, by every check that reads it."""
    raw = Rows(sheet, frame, outcomes, folder)
    rows = Rows(*_without_bad_cells(sheet, frame), outcomes, folder)
    here = [check for check in SLIP_CHECKS if sheet.plan.name in check.sheets]
    return [slip for check in here for slip in check.problems(raw if check.raw else rows)]


def _without_bad_cells(sheet: RawSheet, frame: pd.DataFrame) -> tuple[RawSheet, pd.DataFrame]:
    """Return a sheet in which the cells that have a problem are empty: nothing follows from them."""
    at = {line: i for i, line in enumerate(sheet.lines)}
    bad = [(at[p.line], p.column) for p in sheet.problems if p.line in at and p.column in sheet.plan.columns]
    if not bad:
        return sheet, frame
    rows, frame = list(sheet.rows), frame.copy()
    for i, column in bad:
        rows[i] = {**rows[i], column: ""}
    for column in {column for _, column in bad}:
        empty = np.nan if sheet.plan.columns[column].is_number else None
        values = frame[column].to_numpy(copy=True)
        values[[i for i, name in bad if name == column]] = empty
        frame[column] = values
    return replace(sheet, rows=rows), frame
