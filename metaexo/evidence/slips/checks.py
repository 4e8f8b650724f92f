"""The register of everything that is looked for in sheets once each value can be read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from metaexo.evidence.codebook import Outcome
from metaexo.evidence.problems import SheetProblem
from metaexo.evidence.reading import RawSheet
from metaexo.evidence.slips import between_rows, implausible, intervals, within_rows
from metaexo.evidence.slips.rows import Rows, SlipCheck

if TYPE_CHECKING:
    import pandas as pd

SLIP_CHECKS: tuple[SlipCheck, ...] = (
    *implausible.CHECKS,
    *within_rows.CHECKS,
    *between_rows.CHECKS,
    *intervals.CHECKS,
)


def slip_checks() -> pd.DataFrame:
    """Return what is looked for in sheets: one row a check.

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
    """Return what looks wrong in a sheet, by every check that reads it.

    Parameters
    ----------
    sheet : RawSheet
        The sheet as text.
    frame : DataFrame
        Its values.
    outcomes : mapping
        The outcome vocabulary.
    folder : Path, optional
        Folder of sheets with a vocabulary of its own.

    Returns
    -------
    list of SheetProblem
        Findings, check by check; their kind is a warning, or an error for what is impossible.
    """
    rows = Rows(sheet, frame, outcomes, folder)
    name = sheet.plan.name
    found = [finding for check in SLIP_CHECKS if name in check.sheets for finding in check.find(rows)]
    return [*found, *implausible.verdict_on_spreads(rows, found)] if name == "outcomes" else found
