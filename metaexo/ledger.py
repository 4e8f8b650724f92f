"""The ledger: which rows of a table took part, which did not, and why.

A row is either used or left out with a reason in words, and the two always add up to
the rows that were handed in. The ledger travels with the effects and with every fit made of them.

What else a result must say about its origin stands here too: the versions of the packages that made it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.calls import explained
from metaexo.errors import InputError
from metaexo.formatting import html_table, plural
from metaexo.types import Mask

if TYPE_CHECKING:
    import pandas as pd

NO_LINES = (bool, np.timedelta64)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One row that did not take part."""

    line: int  # line of the sheet (the header is line 1), or the row number, from 1, of an array
    study: str  # study the row belongs to; empty if not known
    item: str  # what the row reports, for example the outcome; may be empty
    step: str  # where it dropped out: "sheet", "selection", "effect" or "model"
    reason: str  # why, in words


@explained
@dataclass(frozen=True, slots=True, repr=False)
class Ledger:
    """Which rows of one table were used and which were left out.

    Parameters
    ----------
    source : str
        The table's name, for example "outcomes.csv"; "input" for arrays.
    used : tuple of int
        Lines of the rows that took part.
    left_out : tuple of LeftOut
        The others, one entry per row.

    Raises
    ------
    InputError
        If a line occurs twice: a row is used or left out, once.

    Examples
    --------
    >>> ledger = Ledger("outcomes.csv", used=(2, 3, 4))
    >>> ledger = ledger.leave_out({3: "no SD in either arm"}, step="effect")
    >>> ledger.total, len(ledger.used), len(ledger.left_out)
    (3, 2, 1)
    """

    source: str
    used: tuple[int, ...]
    left_out: tuple[LeftOut, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "used", _whole(self.used))
        object.__setattr__(self, "left_out", _entries(self.source, self.left_out))
        lines = [*self.used, *(entry.line for entry in self.left_out)]
        if len(lines) != len(set(lines)):
            twice = sorted(line for line, n in Counter(lines).items() if n > 1)
            raise InputError(
                f"lines {twice} of {self.source} occur twice in the ledger",
                "each row either used once or left out once",
            )

    @classmethod
    def of_rows(cls, k: int, source: str = "input") -> Ledger:
        """Return the ledger of a table of k rows, all of them used."""
        return cls(source, tuple(range(1, k + 1)))

    def __repr__(self) -> str:
        return f"Ledger({self})"

    def _repr_html_(self) -> str:
        """Return the counts of rows by reason as a table for a notebook."""
        counts = self.counts()
        rows = [[str(value) for value in row] for row in counts.itertuples(index=False, name=None)]
        return html_table(rows, list(counts.columns), left=counts.shape[1] - 1, caption=str(self))

    @property
    def total(self) -> int:
        """Rows of the table: used plus left out."""
        return len(self.used) + len(self.left_out)

    def leave_out(
        self,
        reasons: Mapping[int, str],
        step: str,
        studies: Mapping[int, str] | None = None,
        items: Mapping[int, str] | None = None,
    ) -> Ledger:
        """Return a ledger in which the lines of `reasons`, used so far, are left out.

        Parameters
        ----------
        reasons : mapping of int to str
            Line to reason.
        step : str
            Where the rows drop out.
        studies, items : mapping of int to str, optional
            Line to study and to what the row reports.
        """
        for given in (reasons, studies, items):
            _check_mapping(given, given is not reasons)
        unknown = sorted(set(reasons) - set(self.used), key=str)
        if unknown:
            raise InputError(
                f"lines {unknown} are not among the used rows of {self.source}",
                "lines that are still used",
            )
        entries = tuple(
            LeftOut(line, (studies or {}).get(line, ""), (items or {}).get(line, ""), step, reason)
            for line, reason in reasons.items()
        )
        kept = tuple(line for line in self.used if line not in reasons)
        return Ledger(self.source, kept, self.left_out + entries)

    def keep(self, lines: Iterable[int], reason: str, step: str = "selection") -> Ledger:
        """Return a ledger in which only `lines` are used; the others drop out for `reason`."""
        wanted = set(_whole(lines))
        return self.leave_out({line: reason for line in self.used if line not in wanted}, step)

    def counts(self) -> pd.DataFrame:
        """Return a table of step, reason and number of rows; the used rows come first.

        The column `rows` adds up to `total`.
        """
        import pandas as pd

        tally: dict[tuple[str, str], int] = {}
        for entry in self.left_out:
            key = (entry.step, entry.reason)
            tally[key] = tally.get(key, 0) + 1
        rows = [("used", "", len(self.used))]
        rows += [(*key, n) for key, n in sorted(tally.items(), key=lambda pair: (-pair[1], pair[0]))]
        return pd.DataFrame(rows, columns=["step", "reason", "rows"])

    def to_frame(self) -> pd.DataFrame:
        """Return the rows left out, in the order of the sheet: line, study, item, step, reason."""
        import pandas as pd

        entries = sorted(self.left_out, key=lambda entry: entry.line)
        return pd.DataFrame(
            [(e.line, e.study, e.item, e.step, e.reason) for e in entries],
            columns=["line", "study", "item", "step", "reason"],
        )

    def __str__(self) -> str:
        counts = f"{len(self.used)} used, {len(self.left_out)} left out"
        return f"{self.source}: {plural(self.total, 'row')}, {counts}"


def without_rows(
    ledger: Ledger,
    gone: Mask,
    reasons: str | Sequence[str],
    step: str,
    studies: Sequence[str] = (),
    items: Sequence[str] = (),
) -> Ledger:
    """Return a ledger without some of its used rows; reasons, studies and items are one per used row."""
    at = np.flatnonzero(gone).tolist()
    told = {ledger.used[i]: reasons if isinstance(reasons, str) else reasons[i] for i in at}
    named = ({ledger.used[i]: words[i] for i in at if words} for words in (studies, items))
    return ledger.leave_out(told, step, *named)


def _whole(lines: object) -> tuple[int, ...]:
    """Return lines as whole numbers; refuse anything else."""
    given: list[Any] = (
        list(lines) if isinstance(lines, Iterable) and not isinstance(lines, str | Mapping) else [lines]
    )
    if not all(isinstance(line, int | np.integer) and type(line) not in NO_LINES for line in given):
        raise InputError("some lines are no whole numbers", "a list of the numbers of lines, from 1")
    return tuple(int(line) for line in given)


def _entries(source: object, left_out: object) -> tuple[LeftOut, ...]:
    """Return the rows left out; refuse anything else, and a source that is no name."""
    given: list[Any] = list(left_out) if isinstance(left_out, Iterable) else [left_out]
    if not isinstance(source, str) or not all(isinstance(entry, LeftOut) for entry in given):
        raise InputError(
            "the ledger holds other things than a name and rows left out",
            "the name of a table, the lines that were used, and a LeftOut for each other row",
        )
    return tuple(given)


def _check_mapping(given: object, optional: bool) -> None:
    if not (isinstance(given, Mapping) or (optional and given is None)):
        raise InputError(f"a {type(given).__name__} was given", "a mapping of lines to words")


def installed_version(package: str) -> str:
    """Return the version of a package; "0+unknown" for one that runs from a source tree only."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "0+unknown"


def versions() -> dict[str, str]:
    """Return the versions of metaexo, numpy and scipy."""
    return {name: installed_version(name) for name in ("metaexo", "numpy", "scipy")}
