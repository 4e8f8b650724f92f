"""What effects, bounded effects and counts have in common: labels, studies, columns and a ledger."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.conditions import example_of, refuse_misspelt, rows_where, words_in_no_row
from metaexo.effects.check import look_up
from metaexo.effects.derivation import REPORTED, Derivation, Origin
from metaexo.errors import InputError, RowNumberError, ShapeError, UnknownChoiceError, UnknownNameError
from metaexo.formatting import one_line, plural
from metaexo.immutable import ByContents
from metaexo.inputs import check_aligned, check_flag, describe, is_blank, is_number, read_entries
from metaexo.ledger import Ledger, without_rows
from metaexo.other_names import Answering
from metaexo.readable import frame_view
from metaexo.types import Mask

if TYPE_CHECKING:
    import pandas as pd

NOT_SELECTED = "not selected"
MOST_COLUMNS = 6
NOT_TAKEN = "not in this refit"
Key = TypeVar("Key", bound=Hashable)


class EffectRows(ByContents, Answering, ABC):
    """Base of :class:`metaexo.EffectSizes`, :class:`metaexo.effects.BoundedEffectSizes` and `EventCounts`.

    A heir is a frozen dataclass; it says which columns it has beside these, and how it is made anew.
    """

    _answers_as = "effects"

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

    def __getitem__(self, rows: Any) -> Any:
        """Return a column by its name, or the effects of a row, a slice, a mask or a list of rows."""
        if isinstance(rows, str):
            own = self._data is None or rows not in self._data.columns
            frame = self.to_frame() if own else self._data
            return look_up(frame, "column", rows).copy()
        if isinstance(rows, slice):
            return self.select(range(*rows.indices(self.k)))
        if isinstance(rows, int | np.integer) and not isinstance(rows, bool):
            at = int(rows) + (self.k if rows < 0 else 0)
            if not 0 <= at < self.k:
                raise RowNumberError(
                    f"row {rows} of {plural(self.k, 'row')}", f"a number from 0 to {self.k - 1}"
                )
            return self.select([at])
        return self.select(rows)

    def __iter__(self) -> Iterator[Any]:
        raise InputError(
            f"{describe(self)} is gone through row by row",
            "a table, whose rows can be gone through",
            f"for row in {self._kind_name}.to_frame().itertuples(): ...",
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        raise InputError(
            f"{describe(self)} stands where an array is expected",
            "numbers, or a table",
            f"take its columns, or the table {self._kind_name}.to_frame()",
        )

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

    def with_labels(self, labels: Sequence[str] | pd.Series) -> Self:
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

    def select(self, rows: ArrayLike | str, reason: str = NOT_SELECTED) -> Self:
        """Return the effects at `rows`; the others enter the ledger with `reason`.

        Parameters
        ----------
        rows : array_like or str
            A boolean mask of length k, positions from 0, or a condition on the columns of `to_frame`, as
            text: ``"year > 2015 and source == 'adipose'"``. A blank cell is equal to nothing, and neither
            above nor below anything.
        reason : str
            Why the others are left out, in words. Default for a condition: "not selected: " and the
            condition.

        Raises
        ------
        ShapeError
            If a mask does not have one entry per effect.
        InputError
            If `rows` is no condition, mask or positions, or a Series with another index than the effects; if
            no row meets a condition.
        UnknownChoiceError
            If a condition asks for a column, or a word of a column, that is not there.

        Examples
        --------
        >>> import pandas as pd
        >>> import metaexo as mx
        >>> data = pd.DataFrame({"yi": [0.1, 0.4], "vi": [0.04, 0.01], "year": [2014, 2020]})
        >>> new = mx.EffectSizes("yi", "vi", data=data).select("year > 2015")
        >>> new.k, new.ledger.left_out[0].reason
        (1, 'not selected: year > 2015')
        """
        if isinstance(rows, str):
            if reason == NOT_SELECTED:
                reason = f"{NOT_SELECTED}: {one_line(rows).strip()}"
            rows = self._where(rows)
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

    def _where(self, condition: str) -> Mask:
        """Return which rows meet a condition; refuse one that none meets."""
        frame = self.to_frame()
        chosen = rows_where(frame, condition, called="rows")
        refuse_misspelt(frame, condition, "rows")
        if not chosen.any():
            absent = "; ".join(map(str, words_in_no_row(frame, condition)))
            raise InputError(
                f"rows = {condition!r} selects none of {plural(self.k, 'row')}",
                "a condition that some rows meet",
                absent or f"look at the columns it names: {self._kind_name}.to_frame()",
            )
        return chosen

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

    def _repr_html_(self) -> str:
        """Return the rows as a table for a notebook; of many rows, the first and the last."""
        frame = self.to_frame()
        own = [name for name in ("label", "study", *self._numbers()) if name in frame]
        own += ["how"] if any(mark.how != "reported" for mark in self.derived) else []
        if not self.study or self.study == self.row_labels:
            own.remove("study")
        every = [] if self._data is None else list(self._data.columns)
        further = [name for name in every if name in frame and name not in own]
        telling = [name for name in further if _tells_more(frame, name, own)][:MOST_COLUMNS]
        left = len(further) - len(telling)
        more = f"\n<div>{plural(left, 'more column')} in to_frame()</div>" if left else ""
        return frame_view(frame[[*own, *telling]], repr(self)) + more

    @property
    def _kind_name(self) -> str:
        """What a variable of this kind is called in messages."""
        return "counts" if self._answers_as == "counts" else "es"

    def _unknown(self, name: str) -> UnknownNameError:
        data = self.__dict__.get("_data")
        if data is None or name not in data.columns:
            error = super()._unknown(name)
            if "select(" not in error.remedy:
                return error
            written = error.remedy.replace('"year > 2015"', example_of(self.to_frame()))
            return UnknownNameError(error.given, error.needed, written)
        return UnknownNameError(
            f"{type(self).__name__!r} object has no attribute {name!r}",
            "the column of that name",
            f'write {self._kind_name}.column("{name}")',
        )

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


def _tells_more(frame: pd.DataFrame, name: Any, shown: Sequence[str]) -> bool:
    """Say whether a column of data is no copy of one that is shown, and not blank."""
    column = frame[name].astype(object)
    return bool(column.notna().any()) and not any(column.equals(frame[one].astype(object)) for one in shown)


def rows_by(keys: Iterable[Key]) -> dict[Key, NDArray[np.intp]]:
    """Return the positions of each key, in order of first appearance."""
    found: dict[Key, list[int]] = {}
    for i, key in enumerate(keys):
        found.setdefault(key, []).append(i)
    return {key: np.array(rows, dtype=np.intp) for key, rows in found.items()}


def _positions(rows: object, k: int, row_name: Callable[[int], str]) -> NDArray[np.intp]:
    """Return the positions that a mask or positions select; `row_name` names a position in messages."""
    needed = (
        f"a mask of {k} entries that are True or False, positions from 0 to {k - 1}, each once, or a "
        "condition on the columns"
    )
    remedy = 'write a condition in quotes: es.select("y > 0")'
    if callable(rows):
        raise InputError(f"rows is {describe(rows)}", needed, remedy)
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
