"""Studies that were entered twice: the same means, SDs and n under two names."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metaexo.errors import InputError
from metaexo.evidence.slips.patterns import FEWEST_DIGITS, digits
from metaexo.inputs import check_columns, is_blank, read_numbers

if TYPE_CHECKING:
    import pandas as pd

ARMS = ("treatment", "control")
ARM_NUMBERS = ("mean", "sd", "se", "ci_low", "ci_high", "median", "q1", "q3", "min", "max")
BEYOND_CHANCE = 2
"""Digits that two studies have to share beyond those that meet once among all pairs of rows."""
ENOUGH_VALUES = 20
"""Values of a column from which on their range says how many digits they can tell apart."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Two studies that share the numbers of their rows.

    Attributes
    ----------
    first, second : hashable
        The studies, in the order of the table.
    rows : tuple of (int, int)
        Positions of the rows that share all means and spreads: of the first study, and of the second.
    other_n : tuple of (int, int)
        Those of them whose sample sizes differ: near-copies.
    """

    first: Hashable
    second: Hashable
    rows: tuple[tuple[int, int], ...]
    other_n: tuple[tuple[int, int], ...]


Arm = tuple[str, ...]


def find_copies(
    numbers: Sequence[Sequence[Arm]], sizes: Sequence[tuple[str, ...]], studies: Sequence[Hashable]
) -> tuple[Copy, ...]:
    """Return the pairs of studies that share the numbers of rows, with the rows.

    Two rows share their numbers if every mean and spread of one stands in the other, whichever arm comes
    first. A pair counts if its rows have two digits more in common than chance would give in one pair of
    studies, from the number of pairs and of rows that may meet. Scores from 0.1 to 0.8 have eight values and
    so less than one digit. Numbers that stand in three studies make pairs with the first of them.

    Parameters
    ----------
    numbers : sequence of sequence of tuple of str
        For each row the numbers of each arm as typed, sizes apart; an empty tuple for an arm without numbers.
    sizes : sequence of tuple of str
        For each row the sizes of its arms as typed.
    studies : sequence of hashable
        The study of each row.
    """
    weight = _weights(numbers)
    keys = [tuple(sorted(tuple(map(_value, arm)) for arm in row if arm)) for row in numbers]
    first_of: dict[object, int] = {}  # the first row with certain numbers
    first_in: dict[tuple[object, Hashable], int] = {}  # the same within a study
    rows_of: dict[Hashable, list[int]] = {}
    pairs: dict[tuple[Hashable, Hashable], list[float]] = {}  # digits of each row that two studies share
    for i, (key, study) in enumerate(zip(keys, studies, strict=True)):
        rows_of.setdefault(study, []).append(i)
        first_in.setdefault((key, study), i)
        if weight[i] >= FEWEST_DIGITS and studies[first_of.setdefault(key, i)] != study:
            pair = (studies[first_of[key]], study)
            pairs.setdefault(pair, []).append(weight[i])
    needed = BEYOND_CHANCE + math.log10(max(math.comb(len(rows_of), 2), 1))
    found = []
    for (one, two), each in pairs.items():
        ways = math.comb(len(rows_of[two]), len(each)) * len(rows_of[one]) ** len(each)
        if sum(each) - math.log10(ways) >= needed and sum(each) >= FEWEST_DIGITS:
            rows = [
                (first_in[keys[i], one], i) for i in rows_of[two] if keys[i] and (keys[i], one) in first_in
            ]
            other_n = tuple(pair for pair in rows if _differ(numbers, sizes, *pair))
            found.append(Copy(one, two, tuple(rows), other_n))
    return tuple(found)


def _weights(numbers: Sequence[Sequence[Arm]]) -> list[float]:
    """Return how many digits the numbers of each row can be distinguished by."""
    cells: dict[int, list[str]] = {}  # by place in an arm: means with means, SDs with SDs
    for row in numbers:
        for arm in row:
            for place, cell in enumerate(arm):
                cells.setdefault(place, []).append(cell)
    spans = {place: _span(typed) for place, typed in cells.items()}
    return [sum(_told(cell, spans[i]) for arm in row for i, cell in enumerate(arm)) for row in numbers]


def _span(cells: Sequence[str]) -> float:
    """Return how far the middle nine tenths of a column reach; infinite where it holds few values."""
    values = sorted(map(_value, cells))
    out = len(values) // 20
    return values[-1 - out] - values[out] if len(values) >= ENOUGH_VALUES else math.inf


def _told(cell: str, span: float) -> float:
    """Return the digits of a number, at most those by which numbers of its decimals differ in that span."""
    decimals = len(cell.lower().partition("e")[0].partition(".")[2])
    return min(digits(cell), math.log10(span * 10.0**decimals + 1))


def _value(cell: str) -> float:
    return float(cell.replace("\N{MINUS SIGN}", "-"))


def _differ(numbers: Sequence[Sequence[Arm]], sizes: Sequence[tuple[str, ...]], i: int, j: int) -> bool:
    """Return whether two rows of the same numbers have other sample sizes, arm by arm."""
    one, two = (
        sorted(
            (tuple(map(_value, arm)), _value(n) if n else -1.0) for arm, n in zip(*row, strict=True) if arm
        )
        for row in ((numbers[i], sizes[i]), (numbers[j], sizes[j]))
    )
    return one != two


def copied_studies(table: pd.DataFrame, study: str = "study_id") -> pd.DataFrame:
    """Return the pairs of studies of a table that share means, SDs and n: studies that were entered twice.

    Use it before pooling: one set of samples may stand under two accessions, or one trial in two papers.
    Counted twice, it narrows the interval and hides between-study variance. Rows share their numbers if all
    means and spreads agree, whichever arm comes first. What meets by chance is passed over: the shared rows
    need two digits more than chance gives in one pair of studies, and four at least.

    Parameters
    ----------
    table : DataFrame
        One row per result, with columns as in the sheets: treatment_mean, treatment_sd, treatment_n, and the
        same of the control arm, where there is one. Standard errors, intervals, medians and quartiles
        (treatment_se, treatment_median, ...) take part.
    study : str
        Column of the study.

    Returns
    -------
    DataFrame
        One row per pair: study, other, shared (rows), other_n (rows of which only n differs), rows and
        other_rows (labels of the rows in the index of the table).

    Raises
    ------
    InputError
        If the table has no means, medians or other numbers of arms, or holds something else there.
    UnknownChoiceError
        If it has no column of the study.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = {"treatment_mean": [4.213, 7.1, 4.213], "treatment_sd": [1.37, 2.2, 1.37]}
    >>> names = ["Li 2020", "Ito 2021", "Li 2022"]
    >>> table = pd.DataFrame({"study_id": names, **rows, "treatment_n": [8, 9, 8]})
    >>> copied_studies(table)[["study", "other", "shared", "other_n"]]
         study    other  shared  other_n
    0  Li 2020  Li 2022       1        0
    """
    import pandas as pd

    check_columns(table, "the table", [study])
    names = [f"{arm}_{name}" for arm in ARMS for name in (*ARM_NUMBERS, "n")]
    cells = {name: _typed(table[name], name) for name in names if name in table}
    if all(name.endswith("_n") for name in cells):
        raise InputError(
            "the table has no numbers of arms",
            "columns such as treatment_mean and treatment_sd",
            "rename the columns of means and SDs to these names",
        )
    studies = [None if is_blank(entry) else entry for entry in table[study]]
    found = find_copies(*numbers_of_arms(cells, len(table)), list(map(str, studies)))
    rows = [
        (
            studies[copy.rows[0][0]],
            studies[copy.rows[0][1]],
            len(copy.rows),
            len(copy.other_n),
            *(tuple(table.index[pair[side]] for pair in copy.rows) for side in (0, 1)),
        )
        for copy in found
    ]
    return pd.DataFrame(rows, columns=["study", "other", "shared", "other_n", "rows", "other_rows"])


def _typed(column: pd.Series, name: str) -> list[str]:
    """Return the numbers of a column as typed; "" for what is missing."""
    values = read_numbers(column, name)
    return [
        "" if not known else cell.strip() if isinstance(cell, str) else f"{value:.15g}"
        for cell, value, known in zip(column, values, np.isfinite(values), strict=True)
    ]


def numbers_of_arms(
    cells: Mapping[str, Sequence[str]], k: int
) -> tuple[list[list[Arm]], list[tuple[str, ...]]]:
    """Return the numbers of the arms of each row, and their sizes, from columns of cells."""
    columns = {
        arm: [cells[name] for part in ARM_NUMBERS if (name := f"{arm}_{part}") in cells] for arm in ARMS
    }
    empty = [""] * k
    sizes = [cells.get(f"{arm}_n", empty) for arm in ARMS]
    arms = [[tuple(column[i] for column in columns[arm] if column[i]) for arm in ARMS] for i in range(k)]
    return arms, list(zip(*sizes, strict=True))
