"""Rows that give no effect: what is missing in each, and what would be needed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metaexo.effects.tables.derive import NO_DIRECTION
from metaexo.effects.tables.why_not import ASYMMETRIC, FLAT, FOREIGN_F, NO_CORRELATION
from metaexo.evidence.sheets import Sheets
from metaexo.evidence.to_effects import ONLY_P, lines_with_bounds
from metaexo.inputs import is_blank
from metaexo.ledger import LeftOut

if TYPE_CHECKING:
    import pandas as pd

ARMS = ("treatment", "control")
IN_WORDS: Mapping[str, tuple[str, str]] = {
    "exosome_vs_control": ("the exosome arm", "the control arm"),
    "post_vs_pre": ("the results after treatment", "the results before treatment"),
}
"""What the arms of a contrast are called."""
OTHER_ARMS = ("the first arm", "the second arm")
ONE_GROUP = "single_arm"
CENTRE = (("mean",), ("median",))
SPREAD = (("sd",), ("se",), ("ci_low", "ci_high"), ("q1", "q3"), ("min", "max"))
"""Columns of which one, or one pair, is enough."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Rows that give no effect for one reason.

    Attributes
    ----------
    lines : tuple of int
        Their lines in the file.
    studies : tuple of str
        The study of each line.
    what : str
        What is missing, in words.
    remedy : str
        What would be needed.
    columns : tuple of str
        The empty columns of which it is said, by their names in the codebook.
    reason : str
        The reason as the ledger has it.
    bound : bool
        Whether the rows give a bound: `sheets.effects("SMD", bounds=True)` keeps them.
    cells : tuple of str
        The headings of the empty columns and, for a file, the empty cells of the first row.
    """

    lines: tuple[int, ...]
    studies: tuple[str, ...]
    what: str
    remedy: str
    columns: tuple[str, ...]
    reason: str
    bound: bool = False
    cells: tuple[str, ...] = ()


def gaps_of(sheets: Sheets, others: Sequence[LeftOut] = ()) -> tuple[Gap, ...]:
    """Return the rows of outcomes.csv that give no effect in any measure, and `others`, with what is missing.

    Rows of which the same is missing stand together, the largest groups first.
    """
    entries = sorted([*sheets.ledger.left_out, *others], key=lambda entry: entry.line)
    if not entries:
        return ()
    frame = sheets._frames["outcomes"]
    at = {int(line): i for i, line in enumerate(frame["line"])}
    bounded = lines_with_bounds(frame[frame["line"].isin([entry.line for entry in entries])])
    groups: dict[tuple[str, str, tuple[str, ...], str, bool], list[LeftOut]] = {}
    columns = {name: [not is_blank(cell) for cell in frame[name]] for name in frame.columns}
    for entry in entries:
        has = {name: cells[at[entry.line]] for name, cells in columns.items()}
        contrast = str(frame["contrast"].iloc[at[entry.line]])
        what, remedy, empty = _missing(has, entry.reason, contrast)
        if contrast == "exosome_vs_control" and empty and all(map(OF_CONTROL, empty)):
            remedy = _control_beside(frame, at[entry.line]) or remedy
        if entry.reason.startswith(ONLY_P) and entry.line not in bounded:
            remedy += LEAST
        groups.setdefault((what, remedy, empty, entry.reason, entry.line in bounded), []).append(entry)
    found = [
        Gap(
            tuple(e.line for e in rows),
            tuple(e.study for e in rows),
            *said,
            tuple(_cell(sheets, rows[0].line, name) for name in said[2]),
        )
        for said, rows in groups.items()
    ]
    return tuple(sorted(found, key=lambda gap: -len(gap.lines)))


OF_CONTROL = re.compile("control_").match


def _control_beside(frame: pd.DataFrame, at: int) -> str:
    """Return what to do where another row of the study has the control that a row lacks."""
    names = [name for name in ("control_mean", "control_median", "control_n") if name in frame]
    same = frame["study_id"].eq(frame["study_id"].iloc[at]) & frame[names].notna().sum(axis=1).ge(2)
    if "outcome" in frame:
        same &= frame["outcome"].eq(frame["outcome"].iloc[at])
    lines = frame.loc[same, "line"].tolist()
    if not lines:
        return ""
    return (
        f"row {lines[0]} of the study has a control: if it is the same one, write its numbers in this row as "
        "well (that it is shared is allowed for)"
    )


def _cell(sheets: Sheets, line: int, column: str) -> str:
    """Return the heading of an empty column with its cell, or say that the file has no such column."""
    told = sheets.reading
    if column not in told.columns():
        return f"there is no column {column}"
    heading, cell = told.heading(column), told.cell(line, column)
    return heading if cell.endswith(column) else f'{cell} "{heading}"'


LEAST = "; with both n, and higher or lower in a column direction, it gives a bound at least"
BOUND = "add mean, SD and n of both arms, or the exact p-value with both n"
SIZES = "add n of both arms"
NEEDED: Mapping[str, str] = {
    NO_CORRELATION: "add a column correlation with the correlation of the two conditions (in Python, "
    "assumed_correlation=0.5 assumes one)",
    NO_DIRECTION: "write higher or lower in the column better",
    "an exact p, but no n": SIZES,
    "a t statistic, but no n": SIZES,
    "an F statistic, but no n": SIZES,
    "an exact p, but neither means nor a difference give the direction": (
        "write higher or lower in a column with the heading direction (add it where there is none): where "
        "the exosome arm stands against the control arm"
    ),
    "a difference without SD, interval or exact p": (
        "add the confidence interval of the difference, or the exact p-value with both n"
    ),
    "an effect without interval or standard error, or of another measure": (
        "add the confidence interval or the standard error of the printed effect, and what it is in "
        "effect_measure"
    ),
    "numbers of events, not means": "ask for a measure of events (RR, OR or RD) of these rows",
    FOREIGN_F: "add means with SDs, or the p-value of the two arms alone",
    FLAT: "look at the source: a spread of 0 is mostly one that was not reported; empty the cells then",
    ASYMMETRIC: "add mean and SD, which the authors may give on request",
}
"""What would make an effect of rows that are left out for a reason."""
SAID: Mapping[str, str] = {
    NO_CORRELATION: "both arms are the same animals or people, and their correlation is not given",
}


def _missing(has: Mapping[str, bool], reason: str, contrast: str) -> tuple[str, str, tuple[str, ...]]:
    """Return what is missing in a row, what would be needed, and the empty columns."""
    if reason.startswith(ONLY_P):
        return f"{reason.partition(':')[0]}, which bounds the effect and does not give it", BOUND, ()
    if reason in NEEDED:
        return SAID.get(reason, reason), NEEDED[reason], ()
    if contrast == ONE_GROUP:
        return f"one group only, and {reason}", "nothing: it has no control to be compared with", ()
    if any(has.get(f"{arm}_events", False) for arm in ARMS):
        return _missing_events(has, reason, contrast)
    return _missing_means(has, reason, contrast)


def _missing_events(has: Mapping[str, bool], reason: str, contrast: str) -> tuple[str, str, tuple[str, ...]]:
    empty = tuple(f"{arm}_{part}" for arm in ARMS for part in ("events", "n") if not has[f"{arm}_{part}"])
    if not empty:
        return reason, "choose a measure of events (RR, OR or RD) for this row", ()
    parts = {"events": "number with the event", "n": "n"}
    arms = dict(zip(ARMS, IN_WORDS.get(contrast, OTHER_ARMS), strict=True))
    said = [f"{parts[name.partition('_')[2]]} in {arms[name.partition('_')[0]]}" for name in empty]
    return f"no {' and no '.join(said)}", "fill these cells", empty


def _missing_means(has: Mapping[str, bool], reason: str, contrast: str) -> tuple[str, str, tuple[str, ...]]:
    lacking: dict[str, list[str]] = {}
    empty: list[str] = []
    for name, ways in (("mean", CENTRE), ("SD, SE or confidence interval", SPREAD), ("n", (("n",),))):
        arms = [
            arm for arm in ARMS if not any(all(has.get(f"{arm}_{x}", False) for x in way) for way in ways)
        ]
        if arms:
            lacking[name] = arms
            empty += [f"{arm}_{ways[0][0]}" for arm in arms]
    if not lacking:
        return reason, "look at the numbers of the row", ()
    by_arms: dict[tuple[str, ...], list[str]] = {}
    for name, arms in lacking.items():
        by_arms.setdefault(tuple(arms), []).append(name)
    said = [f"no {' and no '.join(names)} in {_of(arms, contrast)}" for arms, names in by_arms.items()]
    return "; ".join(said), _needed(lacking), tuple(empty)


def _of(arms: Sequence[str], contrast: str) -> str:
    words = IN_WORDS.get(contrast, OTHER_ARMS)
    return "either arm" if len(arms) == len(ARMS) else words[ARMS.index(arms[0])]


def _needed(lacking: Mapping[str, Sequence[str]]) -> str:
    """Return what would make an effect of a row that lacks these numbers."""
    if set(lacking) == {"n"}:
        return "add n (animals or people, not wells or fields) of each arm"
    last = "the exact p-value (= in p_relation)" if "n" not in lacking else "the exact p-value with both n"
    return f"add {' and '.join(lacking)}, or {last}"
