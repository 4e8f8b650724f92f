"""Results of a run in a folder: a file per chunk that is there whole or not at all, and a manifest.

Chunks of columns are parquet files, which any program reads; chunks of summaries are npz files. A file is
written under another name and renamed when it is complete, by the worker that computed it. So a folder of a
cluster must be one that all workers and the calling process share.
"""

from __future__ import annotations

import json
import os
import re
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.formatting import html_table
from metaexo.inputs import describe
from metaexo.ledger import versions

if TYPE_CHECKING:
    import pandas as pd

Span = tuple[int, int]

MANIFEST, PART = "run.json", ".part"
COLUMNS, SUMMARIES = ".parquet", ".npz"
# Seconds after which a file of a worker must be seen here; network file systems show it late.
SEEN_WITHIN = 60.0
# What must be equal for a folder to be gone on with, in the words of messages.
FACTS = {
    "task": "task or its values",
    "size": "size",
    "block": "block",
    "chunk": "chunk",
    "files": "kind of result",
    "versions": "versions",
}


@dataclass(frozen=True)
class Folder:
    """The folder of a run, for those who write into it."""

    path: Path
    suffix: str

    def file(self, span: Span) -> Path:
        """Return the file of a chunk."""
        return self.path / f"items-{span[0]:015d}-{span[1]:015d}{self.suffix}"

    def holds(self, span: Span) -> bool:
        """Say whether a chunk is there and can be read; what cannot be read is computed anew."""
        path = self.file(span)
        if not path.exists():
            return False
        if self.suffix == SUMMARIES:
            return zipfile.is_zipfile(path)
        try:
            return bool(parquet().read_metadata(path).num_rows == span[1] - span[0])
        except (OSError, ValueError):  # pyarrow's error for what is no parquet file is a ValueError
            return False

    def write(self, span: Span, made: Mapping[Any, Any]) -> None:
        """Write a chunk: columns, or summaries by their place in the tree."""
        path = self.file(span)
        part = path.with_name(f"{path.name}.{uuid4().hex}{PART}")
        try:
            with part.open("wb") as file:
                if self.suffix == SUMMARIES:
                    np.savez_compressed(file, **_named(made))
                else:
                    parquet().write_table(_table(made), file, compression="zstd", use_dictionary=False)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as problem:
            part.unlink(missing_ok=True)
            raise _unwritable(self.path, problem) from None

    def wait_for(self, span: Span) -> None:
        """Wait until the file of a chunk, which a worker has written, is seen here."""
        until = time.monotonic() + SEEN_WITHIN
        while not self.file(span).exists():
            if time.monotonic() > until:
                raise InputError(
                    f"a worker wrote into the folder {self.path}, and its file is not here",
                    "a folder that this process and all workers share",
                    "give a folder of a shared file system",
                )
            time.sleep(0.1)

    def summaries(self, span: Span) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
        """Yield the summaries of a chunk with their places in the tree."""
        found: dict[tuple[int, int], dict[str, Any]] = {}
        with np.load(self.file(span), allow_pickle=False) as held:
            for key in held.files:
                level, index, name = key.split(" ", 2)
                found.setdefault((int(level), int(index)), {})[name] = held[key][()]
        yield from found.items()

    def sweep(self) -> None:
        """Remove what workers that were lost left half written."""
        for part in self.path.glob(f"items-*{PART}"):
            part.unlink(missing_ok=True)


def open_folder(to: object, facts: Mapping[str, Any], chunk_given: bool) -> tuple[Folder, int]:
    """Return the folder of a run and the chunk that its files have; refuse a folder of another run."""
    path = _path("to", to)
    if facts["files"] == COLUMNS:
        parquet()
    if not (path / MANIFEST).exists():
        _begin(path, facts)
    held = _manifest(path)
    differ = [
        f"{words}: {held.get(name)} there, {facts[name]} here"
        for name, words in FACTS.items()
        if held.get(name) != facts[name] and (name != "chunk" or chunk_given)
    ]
    if differ:
        raise InputError(
            f"the folder {path} holds another run ({held.get('name')})",
            "the folder of the same run, or an empty one",
            "give another folder, or the same values as before",
            differ,
        )
    return Folder(path, str(held["files"])), int(held["chunk"])


def _path(name: str, given: object) -> Path:
    """Return a folder, absolute: workers may stand elsewhere."""
    words = os.fspath(given) if isinstance(given, str | os.PathLike) else None
    if not isinstance(words, str) or not words:
        raise InputError(f"{name} is {describe(given)}", 'the name of a folder, for example "subsets"')
    return Path(words).expanduser().resolve()


def _begin(path: Path, facts: Mapping[str, Any]) -> None:
    """Make the folder and its manifest."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise InputError(
                f"the folder {path} holds other files", "a folder of a run, or an empty one", "give another"
            )
        part = path / f"{MANIFEST}.{uuid4().hex}{PART}"
        part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        part.replace(path / MANIFEST)
    except OSError as problem:
        raise _unwritable(path, problem) from None


def _manifest(path: Path) -> dict[str, Any]:
    try:
        held = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if isinstance(held, dict) and {*FACTS, "what"} <= held.keys():
            return held
    except (OSError, ValueError):  # not there, no UTF-8, no JSON
        pass
    raise InputError(f"the folder {path} has no {MANIFEST} that can be read", "the folder of a run")


def facts_of(task: Any, reduce: Any, size: int, block: int, chunk: int, what: str) -> dict[str, Any]:
    """Return what the manifest of a run says."""
    import joblib

    inner = getattr(task, "func", task)  # of functools.partial
    values = getattr(task, "keywords", {})
    seed = values.get("seed", getattr(task, "seed", None))
    return {
        "name": getattr(inner, "__qualname__", type(inner).__qualname__),
        "what": what,
        "seed": seed if isinstance(seed, int) else None,
        "size": size,
        "block": block,
        "chunk": chunk,
        "files": COLUMNS if reduce is None else SUMMARIES,
        "task": joblib.hash([task, reduce]),
        "versions": versions(),
    }


# --------------------------------------------------------------------------------------------------- Reading


class Chunk(NamedTuple):
    """Finished items of a run: where they begin and end, and their columns."""

    begin: int
    end: int
    columns: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Stored(Mapping[str, NDArray[Any]]):
    """Columns of a run in a folder, read when they are asked for.

    It is a mapping like the dict that a run in memory returns: ``stored["tau2"]`` reads one column of all
    finished items. What does not fit in memory is read chunk by chunk.

    Parameters
    ----------
    path : str or path
        The folder.

    Raises
    ------
    InputError
        If it is not the folder of a run that stores columns.

    Examples
    --------
    With the extra ``metaexo[parquet]``, and a task in a module of one's own::

        from metaexo.runs import Stored, run

        run(my_tasks.draws, 10**8, block=10_000, to="draws")
        stored = Stored("draws")
        sum(chunk.columns["estimate"].sum() for chunk in stored.chunks(["estimate"])) / stored.size
    """

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", _path("path", self.path))
        if self.facts["files"] != COLUMNS:
            raise InputError(
                f"the folder {self.path} holds summaries", "a folder of columns", "call the run again"
            )

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """What the manifest says: name and digest of the task, size, block, chunk, seed and versions."""
        return _manifest(self.path)

    @property
    def size(self) -> int:
        """Number of items of the whole run."""
        return int(self.facts["size"])

    @property
    def spans(self) -> tuple[Span, ...]:
        """Finished items, in order: where each chunk begins and where it ends."""
        found = (re.fullmatch(r"items-(\d+)-(\d+)", path.stem) for path in self.path.glob(f"*{COLUMNS}"))
        return tuple(sorted((int(name[1]), int(name[2])) for name in found if name))

    @property
    def done(self) -> int:
        """Number of finished items."""
        return sum(end - begin for begin, end in self.spans)

    @property
    def complete(self) -> bool:
        """Whether all items are finished."""
        return self.done == self.size

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns; none before the first chunk is finished."""
        for span in self.spans:
            return tuple(parquet().read_schema(Folder(self.path, COLUMNS).file(span)).names)
        return ()

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self.names:
            raise KeyError(name)
        return np.concatenate([chunk.columns[name] for chunk in self.chunks([name])])

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[Chunk]:
        """Yield the finished chunks in the order of the items, one in memory at a time.

        Parameters
        ----------
        columns : sequence of str, optional
            The columns to read; by default all of them.

        Yields
        ------
        Chunk
            Where the chunk begins and ends, and its columns: ``begin, end, columns``.
        """
        wanted = self.names if columns is None else _checked_names(columns, self.names)
        folder = Folder(self.path, COLUMNS)
        for begin, end in self.spans:
            table = parquet().read_table(folder.file((begin, end)), columns=list(wanted))
            yield Chunk(begin, end, {name: _array(table.column(name)) for name in wanted})

    def to_frame(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return columns as a table, a row per finished item; its index holds the numbers of the items.

        Parameters
        ----------
        columns : sequence of str, optional
            The columns to read; by default all of them. A column of vectors becomes several.

        Returns
        -------
        DataFrame
            A row per finished item.
        """
        import pandas as pd

        parts = []
        for begin, end, held in self.chunks(columns):
            flat: dict[str, NDArray[Any]] = {}
            for name, values in held.items():
                wide = values.ndim == 2
                flat |= (
                    {f"{name}_{j}": values[:, j] for j in range(values.shape[1])} if wide else {name: values}
                )
            parts.append(pd.DataFrame(flat, index=pd.RangeIndex(begin, end, name="item")))
        return pd.concat(parts) if parts else pd.DataFrame(index=pd.RangeIndex(0, name="item"))

    def __repr__(self) -> str:
        done = "all" if self.complete else f"{self.done:,} of"
        return (
            f"Stored({str(self.path)!r}): {done} {self.size:,} {self.facts['what']}; {', '.join(self.names)}"
        )

    def _repr_html_(self) -> str:
        """Return the names of the columns as a table for a notebook; nothing is read."""
        rows = [[name, f"{self.done:,} of {self.size:,}"] for name in self.names]
        return html_table(rows, ["column", str(self.facts["what"])], caption=str(self.path))


# --------------------------------------------------------------------------------------------- Kinds of files


def parquet() -> ModuleType:
    """Return the module that reads and writes parquet files."""
    try:
        from pyarrow import parquet as module
    except ImportError:
        raise InputError(
            "pyarrow, which writes and reads results in a folder, is not installed",
            "the extra parquet of metaexo",
            "install it with: pip install 'metaexo[parquet]'",
        ) from None
    made: ModuleType = module
    return made


def _table(columns: Mapping[str, NDArray[Any]]) -> Any:
    """Return columns as a table of pyarrow; rows of vectors are lists of fixed size."""
    import pyarrow as pa

    made = {}
    for name, values in columns.items():
        try:
            flat = pa.array(values.reshape(-1))
        except (pa.ArrowException, TypeError) as problem:
            raise InputError(f"column {name!r} cannot be stored ({problem})", "numbers or words") from None
        if values.ndim > 2:
            raise InputError(f"column {name!r} has {values.ndim} dimensions", "one or two to be stored")
        made[name] = flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    return pa.table(made)


def _array(column: Any) -> NDArray[Any]:
    """Return a column of pyarrow as an array."""
    whole = column.combine_chunks()
    if not hasattr(whole.type, "list_size"):
        return np.asarray(whole.to_numpy(zero_copy_only=False))
    values = np.asarray(whole.flatten().to_numpy(zero_copy_only=False))
    return values.reshape(len(whole), whole.type.list_size)


def _named(nodes: Mapping[tuple[int, int], Any]) -> dict[str, Any]:
    """Return summaries as arrays by level, index and name."""
    made: dict[str, Any] = {}
    for (level, index), summary in nodes.items():
        if not isinstance(summary, Mapping):
            raise InputError(
                f"the summary is {describe(summary)}", "a dict of arrays, to be stored in a folder"
            )
        for name, value in summary.items():
            array = np.asarray(value)
            if array.dtype.hasobject:
                raise InputError(f"{name!r} of the summary is {describe(value)}", "numbers or words")
            made[f"{level} {index} {name}"] = array
    return made


def _checked_names(columns: object, known: tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(columns, str) or not isinstance(columns, Sequence):
        raise InputError(f"columns is {describe(columns)}", "a list of names of columns")
    for name in columns:
        if name not in known:
            raise UnknownChoiceError("column", name, known)
    return tuple(columns)


def _unwritable(path: Path, problem: OSError) -> InputError:
    return InputError(
        f"the folder {path} cannot be written ({problem.strerror or problem})",
        "a folder that can be written, with room for the results",
        "make room or give another folder, and call again: finished chunks are kept",
    )
