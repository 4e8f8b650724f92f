"""What effects, bounded effects and counts have in common: labels, studies, columns and a ledger."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.check import look_up
from metaexo.effects.derivation import REPORTED, Derivation, Origin
from metaexo.errors import InputError, ShapeError, UnknownChoiceError
from metaexo.formatting import plural
from metaexo.inputs import check_aligned, check_flag, is_blank, is_number, read_entries
from metaexo.ledger import Ledger, without_rows
from metaexo.types import Mask

if TYPE_CHECKING:
    import pandas as pd

NOT_SELECTED = "not selected"
NOT_TAKEN = "not in this refit"
Key = TypeVar("Key", bound=Hashable)


class EffectRows(ABC):
    """Base of :class:`metaexo.EffectSizes`, :class:`metaexo.effects.BoundedEffectSizes` and `EventCounts`.

    A heir is a frozen dataclass; it says which columns it has beside these, and how it is made anew.
    """

    labels: tuple[str, ...]
    study: tuple[str, ...]
    derived: tuple[Derivation, ...]
    ledger: Ledger | None
    oriented: bool
    origin: Origin | None
    study_column: str | None
    _data: pd.DataFrame | None

    @property
    @abstractmethod
    def k(self) -> int:
        """Number of effects."""

    @abstractmethod
    def _numbers(self) -> dict[str, Any]:
        """Return the columns of `to_frame` that stand between the study and the derivation."""

    @abstractmethod
    def _with(self, **changes: Any) -> Self:
        """Return the same effects with some of the arguments exchanged."""

    def __len__(self) -> int:
        return self.k

    @property
    def m(self) -> int:
        """Number of studies."""
        return len(set(self.study)) if self.study else self.k

    @property
    def data(self) -> pd.DataFrame | None:
        """Further columns, one row per effect: a copy, so that no change reaches these effects."""
        return None if self._data is None else self._data.copy()

    @property
    def row_ids(self) -> tuple[str, ...]:
        """Unique name of each row: the line of its sheet, or its number."""
        ledger = self._ledger
        return tuple(f"{ledger.source}:{line}" for line in ledger.used)

    @property
    def row_labels(self) -> tuple[str, ...]:
        """What a reader sees of each row; not necessarily unique."""
        return self.labels or tuple(str(i + 1) for i in range(self.k))

    def column(self, name: str) -> pd.Series:
        """Return one column of `data`.

        Raises
        ------
        UnknownChoiceError
            If there is no such column.
        """
        if self._data is None:
            raise UnknownChoiceError("column", name, [])
        found: pd.Series[Any] = look_up(self._data, "column", str(name))
        return found.copy()

    def with_columns(self, **columns: Sequence[object]) -> Self:
        """Return the same effects with further columns of data, or with columns replaced.

        Parameters
        ----------
        **columns : sequence
            Name to values, one per effect. A column `study` is the study of each effect from then on.

        Raises
        ------
        ShapeError
            If a column does not have one value per effect.
        InputError
            If a column is a single text, or a pandas object with another index than the effects.
        """
        import pandas as pd

        for name, values in columns.items():
            self.check_index(name, values)
        if self._data is not None:
            data = self._data.copy()
        else:
            index = getattr(self, "index", None)
            data = pd.DataFrame(index=pd.RangeIndex(self.k) if index is None else index)
        for name, values in columns.items():
            entries = read_entries(values, name, len(data))
            data[name] = pd.Series(_typed(values, entries), index=data.index)
        return self._with(data=data, **({"study": "study"} if "study" in columns else {}))

    def with_labels(self, labels: Sequence[str]) -> Self:
        """Return the same effects under other labels.

        Parameters
        ----------
        labels : sequence of str
            What a reader sees of each row, one per effect.
        """
        return self._with(labels=labels)

    def check_index(self, name: str, values: object) -> None:
        """Refuse a pandas object whose index is not that of the effects.

        Parameters
        ----------
        name : str
            What the values are called in the message.
        values : object
            What was handed in; anything without an index passes.

        Raises
        ------
        InputError
            If both have an index, and these differ.
        """
        if getattr(self, "index", None) is not None and isinstance(name, str):
            check_aligned(**{"the effects": self, name: values})

    def select(self, rows: ArrayLike, reason: str = NOT_SELECTED) -> Self:
        """Return the effects at `rows`; the others enter the ledger with `reason`.

        Parameters
        ----------
        rows : array_like
            A boolean mask of length k, or positions from 0.
        reason : str
            Why the others are left out, in words.

        Raises
        ------
        ShapeError
            If a mask does not have one entry per effect.
        InputError
            If `rows` is a text or no mask and no positions, or a Series with another index than the effects.
        """
        self.check_index("rows", rows)
        gone = np.ones(self.k, dtype=bool)
        gone[_positions(rows, self.k, self._row_name)] = False
        told: object = reason
        if not isinstance(told, str) or not told.strip():
            raise InputError(
                f"the reason is {told!r}",
                "words that say why the other rows are left out",
                'reason="animals only"',
            )
        made = object.__new__(type(self))
        made.__setstate__(self.__dict__ | self._without(gone, reason, "selection"))
        return made

    def _taken(self, rows: NDArray[np.intp], copies: Sequence[str] | None, **changes: Any) -> Self:
        """Return the effects at positions that may repeat, in that order, for a refit.

        Rows with different `copies`, one label per row, belong to different studies. Fields in `changes` are
        exchanged. Rows that are not taken enter the ledger; repeated rows have none.
        """
        ledger = None
        if np.unique(rows).size == rows.size:
            gone = np.ones(self.k, dtype=bool)
            gone[rows] = False
            had = self._ledger
            left = without_rows(had, gone, NOT_TAKEN, "model", self.study, self.labels)
            ledger = replace(left, used=tuple(had.used[i] for i in rows))
        found = self._columns_at(rows) | {"ledger": ledger} | changes
        if copies is not None and self.study:
            study = tuple(f"{name} ({copy})" for name, copy in zip(found["study"], copies, strict=True))
            found["study"] = study
            if self.study_column is not None and self._data is not None:
                found["_data"] = found["_data"].assign(**{self.study_column: list(study)})
        made = object.__new__(type(self))
        made.__setstate__(self.__dict__ | found)
        return made

    def to_frame(self, all_rows: bool = False) -> pd.DataFrame:
        """Return a table: row, label, study, the effects, how, formula, note, and the columns of `data`.

        Parameters
        ----------
        all_rows : bool
            Also list the rows that were left out, in the order of the table that was handed in; the column
            `left_out` says why, and is empty for the effects.
        """
        import pandas as pd

        check_flag("all_rows", all_rows)
        derived = self.derived or (REPORTED,) * self.k
        frame = pd.DataFrame(
            {
                "row": self.row_ids,
                "label": self.row_labels,
                "study": self.study or self.row_labels,
                **self._numbers(),
                "how": [mark.how for mark in derived],
                "formula": [mark.formula for mark in derived],
                "note": [mark.note for mark in derived],
            }
        )
        if self._data is not None:
            extra = self._data.reset_index(drop=True)
            frame = pd.concat([frame, extra[[c for c in extra.columns if c not in frame.columns]]], axis=1)
        if not all_rows:
            return frame
        frame["left_out"] = ""
        left_out = self._ledger.left_out
        if not left_out:
            return frame
        gone = pd.DataFrame(
            {
                "row": [f"{self._ledger.source}:{one.line}" for one in left_out],
                "label": [one.item for one in left_out],
                "study": [one.study for one in left_out],
                "left_out": [one.reason for one in left_out],
            }
        )
        lines = [*self._ledger.used, *(one.line for one in left_out)]
        whole = pd.concat([frame, gone], ignore_index=True)
        return whole.iloc[np.argsort(lines, kind="stable")].reset_index(drop=True)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @property
    def _ledger(self) -> Ledger:
        """The ledger; without one, that of a table of which every row is used."""
        return self.ledger or Ledger.of_rows(self.k)

    def _row_name(self, i: int) -> str:
        """Return what a row is called in messages."""
        line = f"{self.ledger.source} line {self.ledger.used[i]}" if self.ledger else f"row {i + 1}"
        return f"{line} ({self.labels[i]})" if self.labels else line

    def _columns_at(self, rows: NDArray[np.intp]) -> dict[str, Any]:
        """Return every field that has one entry per row, at the given positions."""

        def pick(column: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(column[i] for i in rows) if column else ()

        return {
            "labels": pick(self.labels),
            "study": pick(self.study),
            "derived": pick(self.derived),
            "origin": self.origin.at(rows) if self.origin is not None else None,
            "_data": None if self._data is None else self._data.iloc[rows],
        }

    def _without(self, gone: Mask, reasons: str | Sequence[str], step: str) -> dict[str, Any]:
        """Return the fields that change when rows are left out, the ledger among them."""
        ledger = without_rows(self._ledger, gone, reasons, step, self.study, self.labels)
        return self._columns_at(np.flatnonzero(~gone)) | {"ledger": ledger}


def rows_by(keys: Iterable[Key]) -> dict[Key, NDArray[np.intp]]:
    """Return the positions of each key, in order of first appearance."""
    found: dict[Key, list[int]] = {}
    for i, key in enumerate(keys):
        found.setdefault(key, []).append(i)
    return {key: np.array(rows, dtype=np.intp) for key, rows in found.items()}


def _positions(rows: object, k: int, row_name: Callable[[int], str]) -> NDArray[np.intp]:
    """Return the positions that a mask or positions select; `row_name` names a position in messages."""
    needed = f"a mask of {k} entries that are True or False, or positions from 0 to {k - 1}, each once"
    remedy = 'compare a column with a value: es.select(es.column("year") > 2010, "published before 2011")'
    if isinstance(rows, str):
        raise InputError(f"rows is the text {rows!r}", needed, remedy)
    entries = read_entries(rows, "rows")
    if all(isinstance(entry, bool | np.bool_) for entry in entries) and entries:
        if len(entries) != k:
            raise ShapeError(
                f"the mask has {plural(len(entries), 'entry', 'entries')} for {plural(k, 'effect')}",
                "one for each",
            )
        return np.flatnonzero(np.array(entries, dtype=bool))
    blank = [i for i, entry in enumerate(entries) if is_blank(entry)]
    if blank and len(entries) == k:
        raise InputError(
            "the mask is missing in some rows", needed, "fill them", [row_name(i) for i in blank]
        )
    whole = all(isinstance(e, int | np.integer) and is_number(e) for e in entries)
    if not whole or any(not 0 <= int(e) < k for e in entries) or len(set(entries)) < len(entries):
        raise InputError("rows are neither a mask nor positions", needed, remedy)
    return np.array([int(e) for e in entries], dtype=np.intp)


def _typed(values: Any, entries: list[Any]) -> Any:
    """Return a column of pandas as it is typed (categories, nullable numbers), anything else as entries."""
    import pandas as pd

    if isinstance(values, pd.Series | pd.Index):
        return values.array
    return values if isinstance(values, pd.api.extensions.ExtensionArray) else entries
