"""Long work in chunks: the one way in which many items are computed, here or on a cluster.

The items of a run, numbered from 0, are computed block by block. A block always begins at a multiple of its
size, so that its arrays, and with them every bit of its numbers, are the same however many blocks make a
chunk and wherever the chunk is computed. Summaries of blocks are merged along a binary tree over the blocks,
which does not depend on the chunks either.
"""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pickle import dumps
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import InputError, RunInterrupted, ShapeError, WorkerLostError
from metaexo.inputs import describe, whole_number
from metaexo.runs.parallel import as_finished, is_configured, progress_bar
from metaexo.runs.stored import Folder, Stored, facts_of, open_folder

Columns = Mapping[str, NDArray[Any]]
Task = Callable[[int, int], Any]
Merge = Callable[[Any, Any], Any]
Span = tuple[int, int]
Nodes = dict[tuple[int, int], Any]

# Chunks are as small as keeps their number and their bookkeeping small, and no larger than memory likes.
MOST_CHUNKS, MOST_ITEMS = 1_000, 1_048_576
# A chunk during which so many workers were lost, alone in the end, is at fault itself.
MOST_LOST = 3
# What is raised where a worker was lost: once, or as often as the backend allows.
BROKEN = (
    ("concurrent.futures.process", "BrokenProcessPool"),
    ("ray.exceptions", "RayActorError"),
    ("ray.exceptions", "WorkerCrashedError"),
    ("ray.exceptions", "OutOfMemoryError"),
)
GIVEN_UP = (("distributed", "KilledWorker"),)


@overload
def run(
    task: Task,
    size: int,
    *,
    block: int,
    chunk: int | None = None,
    to: None = None,
    reduce: None = None,
    progress: bool | None = None,
    what: str = "items",
) -> dict[str, NDArray[Any]]: ...
@overload
def run(
    task: Task,
    size: int,
    *,
    block: int,
    chunk: int | None = None,
    to: str | os.PathLike[str],
    reduce: None = None,
    progress: bool | None = None,
    what: str = "items",
) -> Stored: ...
@overload
def run(
    task: Task,
    size: int,
    *,
    block: int,
    chunk: int | None = None,
    to: str | os.PathLike[str] | None = None,
    reduce: Merge,
    progress: bool | None = None,
    what: str = "items",
) -> Any: ...
def run(
    task: Task,
    size: int,
    *,
    block: int,
    chunk: int | None = None,
    to: str | os.PathLike[str] | None = None,
    reduce: Merge | None = None,
    progress: bool | None = None,
    what: str = "items",
) -> Any:
    """Compute many items block by block, here or on the workers of joblib.

    For what takes long, or does not fit in memory: subsets, permutations, bootstrap draws, paths. Inside
    ``joblib.parallel_config`` the chunks of the same call go to other processes (``backend="loky"``), to a
    dask cluster (``"dask"``) or to a ray cluster (``"ray"``).

    Every number is the same, bit for bit, whatever the chunks and the workers, if the task returns the same
    for the same block. `metaexo.runs.counter` gives it random numbers by position.

    Parameters
    ----------
    task : callable
        ``task(begin, end)`` returns the columns of items begin to end (end excluded): a dict of arrays with
        one row per item. With `reduce` it returns their summary. Workers and folders need one that pickle
        can write: ``functools.partial`` of a function of a module, or an instance of a class of a module.
    size : int
        Number of items; at least 1.
    block : int
        Items per call of the task. Blocks begin at multiples of it; the last one may be shorter.
    chunk : int, optional
        Items that are handed to a worker at a time, rounded up to whole blocks; by default at most a
        thousandth of all, and at most 1,048,576.
    to : str or path, optional
        A folder for what would not fit in memory, or must not be lost: every chunk is written to it when it
        is finished (columns as parquet, which needs the extra ``metaexo[parquet]``). The same call with the
        same folder goes on with what is unfinished. On a cluster all workers must share it.
    reduce : callable, optional
        ``reduce(left, right)`` returns the summary of two neighbouring summaries; the items are not kept. For
        a folder a summary is a dict of arrays.
    progress : bool, optional
        Whether to show a progress bar; by default where there is a terminal or a notebook, after half a
        second.
    what : str, default: "items"
        What the items are, in the plural, for the progress bar and for messages.

    Returns
    -------
    dict of str to array, Stored, or the summary
        The columns, one row per item in the order of the items; with `to` they are read when they are asked
        for (:class:`metaexo.runs.Stored`); with `reduce` the summary of all items.

    Raises
    ------
    InputError
        If the task cannot be sent to a worker, if it does not return columns of the right size, or if the
        folder holds another run.
    WorkerLostError
        If the processes that compute a chunk end again and again.
    RunInterrupted
        If the run is stopped from the keyboard; its attribute `finished` holds what was done.

    References
    ----------
    Salmon, J. K., Moraes, M. A., Dror, R. O., Shaw, D. E. (2011). https://doi.org/10.1145/2063384.2063405

    Examples
    --------
    The largest of five normal numbers, ten thousand times:

    >>> from metaexo.runs import counter, run
    >>> def largest(begin, end):
    ...     return {"largest": counter.normals(0, begin, end, per_item=5).max(axis=1)}
    >>> found = run(largest, 10_000, block=1_000)
    >>> float(found["largest"].mean().round(2))
    1.16
    """
    plan = _plan(task, size, block, chunk, reduce, what, by_name=to is not None)
    if to is not None:
        facts = facts_of(task, reduce, plan.size, plan.block, plan.chunk, what)
        folder, held = open_folder(to, facts, chunk_given=chunk is not None)
        plan = replace(plan, folder=folder, chunk=held)
    collected = _Files(plan) if to is not None else _Rows(plan) if reduce is None else _Summaries(plan)
    try:
        done = collected.begin()
        with progress_bar(plan.size, what, progress, sum(end - begin for begin, end in done)) as bar:
            for span, made in _finished(plan, done):
                collected.add(span, made)
                bar.update(span[1] - span[0])
        return collected.all()
    except KeyboardInterrupt:
        remedy = "" if to is None else "The same call goes on with what is unfinished"
        spans = sorted(collected.spans)
        raise RunInterrupted(collected.finished(), spans, plan.size, what, remedy) from None


# ------------------------------------------------------------------------------------- What goes to a worker


@dataclass(frozen=True)
class _Plan:
    """A run as it is sent to the workers."""

    task: Task
    size: int
    block: int
    chunk: int
    reduce: Merge | None
    what: str
    folder: Folder | None = None

    def merge(self, left: Any, right: Any) -> Any:
        """Return the summary of two neighbouring summaries."""
        return self.reduce(left, right) if self.reduce else None

    def spans(self) -> Iterator[Span]:
        """Yield where each chunk begins and ends."""
        return ((at, min(at + self.chunk, self.size)) for at in range(0, self.size, self.chunk))

    def written(self, spans: Iterable[Span]) -> list[Span]:
        """Return those chunks that are in the folder, if there is one."""
        return [] if self.folder is None else [span for span in spans if self.folder.holds(span)]

    def compute(self, begin: int, end: int) -> tuple[Span, Any]:
        """Return where a chunk begins and ends, and what it holds unless that goes into a folder."""
        blocks = [(at, min(at + self.block, end)) for at in range(begin, end, self.block)]
        made: Any
        if self.reduce is None:
            made = _joined([_columns(self.task(*cut), *cut) for cut in blocks])
        else:
            made = Nodes()
            for cut in blocks:
                _insert(made, (0, cut[0] // self.block), self.task(*cut), self.reduce)
        if self.folder is None:
            return (begin, end), made
        self.folder.write((begin, end), made)
        return (begin, end), None


def _plan(
    task: Any, size: int, block: int, chunk: int | None, reduce: Any, what: str, by_name: bool
) -> _Plan:
    """Return a checked plan; `by_name`: whether the parts of the task must be known by names."""
    size, block = whole_number(size, "size", 1), whole_number(block, "block", 1)
    if not isinstance(what, str):
        raise InputError(f"what is {describe(what)}", 'a word such as "subsets"')
    _check_callable("task", task, by_name)
    if reduce is not None:
        _check_callable("reduce", reduce, by_name)
    if chunk is None:
        least = -(-size // MOST_CHUNKS)
        chunk = max(block, min(least, MOST_ITEMS))
    blocks = -(-whole_number(chunk, "chunk", 1) // block)
    return _Plan(task, size, block, blocks * block, reduce, what)


def _check_callable(name: str, value: Any, by_name: bool) -> None:
    """Refuse what cannot be called; and what has no name for a folder, or cannot be sent to a worker."""
    if not callable(value):
        raise InputError(f"{name} is {describe(value)}", "a function")
    try:
        if by_name:
            dumps(value)
        elif is_configured():
            from joblib import wrap_non_picklable_objects

            dumps(wrap_non_picklable_objects(value))  # as the backends send it
    except Exception as problem:  # whatever the parts of the task raise
        raise InputError(
            f"{name}, {describe(value)}, cannot be {'written down' if by_name else 'sent to a worker'} "
            f"({problem})",
            "what pickle can write: functools.partial of a function of a module, or an instance of a frozen "
            "dataclass of a module with __call__",
            "move a lambda, or a function inside another one, to the top of a module, and give it values by "
            "functools.partial: arrays, numbers and words, not open files or locks",
        ) from None


def _columns(made: Any, begin: int, end: int) -> dict[str, NDArray[Any]]:
    """Return what a task made of a block as arrays; refuse what is not one row per item."""
    if not isinstance(made, Mapping) or not made or not all(isinstance(name, str) for name in made):
        raise InputError(
            f"the task returned {describe(made)}", "a dict of arrays by the names of the columns"
        )
    columns = {name: np.asarray(values) for name, values in made.items()}
    for name, values in columns.items():
        if values.ndim == 0 or len(values) != end - begin:
            raise ShapeError(
                f"column {name!r} of items {begin} to {end} has shape {values.shape}",
                f"{end - begin} rows, one per item",
            )
    return columns


def _joined(parts: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return the columns of neighbouring blocks as one."""
    for part in parts[1:]:
        _check_alike(parts[0], part)
    return parts[0] if len(parts) == 1 else {n: np.concatenate([part[n] for part in parts]) for n in parts[0]}


def _check_alike(first: Columns, other: Columns) -> None:
    kinds = [
        [(name, values.dtype, values.shape[1:]) for name, values in part.items()] for part in (first, other)
    ]
    if kinds[0] != kinds[1]:
        differ = next((pair for pair in zip(*kinds, strict=False) if pair[0] != pair[1]), None)
        given = f"{differ[0]} and {differ[1]}" if differ else f"{list(first)} and {list(other)}"
        raise InputError(
            f"the task returned columns that differ from block to block: {given}",
            "the same names, types and shapes for every block",
        )


def _insert(nodes: Nodes, place: tuple[int, int], summary: Any, merge: Merge) -> None:
    """Add a summary at its place (level, index) of the binary tree; merge it with its siblings, upwards."""
    level, index = place
    while (level, index ^ 1) in nodes:
        sibling = nodes.pop((level, index ^ 1))
        summary = merge(sibling, summary) if index & 1 else merge(summary, sibling)
        level, index = level + 1, index >> 1
    nodes[level, index] = summary


# ------------------------------------------------------------------------------------------ What comes of it


@dataclass
class _Collected(ABC):
    """What has been finished of a run."""

    plan: _Plan
    spans: list[Span] = field(default_factory=list)

    def begin(self) -> frozenset[Span]:
        """Return the chunks that an earlier call has finished."""
        return frozenset()

    @abstractmethod
    def add(self, span: Span, made: Any) -> None:
        """Take a finished chunk."""

    @abstractmethod
    def all(self) -> Any:
        """Return what the run returns."""

    def finished(self) -> Any:
        """Return the same of the finished items alone."""
        return self.all()


@dataclass
class _Rows(_Collected):
    """Columns that are filled chunk by chunk."""

    columns: dict[str, NDArray[Any]] = field(default_factory=dict)

    def add(self, span: Span, made: dict[str, NDArray[Any]]) -> None:
        if not self.columns:
            try:
                self.columns = {name: self.empty(values) for name, values in made.items()}
            except (MemoryError, ValueError):  # numpy knows arrays that no machine could hold
                each = sum(values[:1].nbytes for values in made.values())
                raise InputError(
                    f"the columns of {self.plan.size:,} {self.plan.what} take "
                    f"{each * self.plan.size / 1e9:,.0f} GB, and there is not so much memory",
                    "columns that fit in memory",
                    "give to= a folder, or reduce= for a summary",
                ) from None
        _check_alike(self.columns, made)
        for name, values in made.items():
            self.columns[name][slice(*span)] = values
        self.spans.append(span)

    def empty(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return a column for all items, like one of some items."""
        return np.empty((self.plan.size, *values.shape[1:]), values.dtype)

    def all(self) -> dict[str, NDArray[Any]]:
        return self.columns

    def finished(self) -> dict[str, NDArray[Any]]:
        cuts = [slice(*span) for span in sorted(self.spans)]
        return {n: np.concatenate([x[cut] for cut in cuts]) for n, x in self.columns.items() if cuts}


@dataclass
class _Summaries(_Collected):
    """Summaries that are merged as they come, in an order that does not depend on when they come."""

    nodes: Nodes = field(default_factory=dict)

    def add(self, span: Span, made: Nodes) -> None:
        for place, summary in made.items():
            _insert(self.nodes, place, summary, self.plan.merge)
        self.spans.append(span)

    def all(self) -> Any:
        """Return the summary of all nodes that are left, merged from the last to the first."""
        places = sorted(self.nodes, key=lambda place: place[1] << place[0])
        total = self.nodes[places.pop()] if places else None
        while places:
            total = self.plan.merge(self.nodes[places.pop()], total)
        return total


@dataclass
class _Files(_Collected):
    """Chunks that are in a folder."""

    @property
    def folder(self) -> Folder:
        assert self.plan.folder is not None
        return self.plan.folder

    def begin(self) -> frozenset[Span]:
        self.spans = self.plan.written(self.plan.spans())
        return frozenset(self.spans)

    def add(self, span: Span, made: None) -> None:
        self.folder.wait_for(span)
        self.spans.append(span)

    def all(self) -> Any:
        self.folder.sweep()
        return self.finished()

    def finished(self) -> Any:
        if self.plan.reduce is None:
            return Stored(self.folder.path)
        merged = _Summaries(self.plan)
        for span in sorted(self.spans):
            merged.add(span, dict(self.folder.summaries(span)))
        return merged.all()


def _finished(plan: _Plan, done: frozenset[Span]) -> Iterator[tuple[Span, Any]]:
    """Yield every chunk as it is finished; go on with what is unfinished where a worker was lost.

    A pool breaks as a whole when one of its workers is killed, so every chunk that was handed out is a
    suspect. Twice they all go to new workers; then each goes alone, so that the one at fault is known. dask
    replaces workers by itself, and gives a chunk up after four of them.
    """
    todo, lost = [span for span in plan.spans() if span not in done], Counter[Span]()
    if plan.size <= plan.chunk:  # a single chunk is not worth a way to a worker
        yield from (plan.compute(*span) for span in todo)
        return
    while todo:
        handed: set[Span] = set()
        found: set[Span] = set()
        some = [span for span in todo if lost[span] < MOST_LOST - 1] or todo[:1]
        try:
            for span, made in as_finished(plan.compute, _noted(some, handed)):
                found.add(span)
                yield span, made
        except _loaded(GIVEN_UP) as problem:
            raise _lost_error(plan.what, handed - found, "again and again") from problem
        except _loaded(BROKEN) as problem:
            for span in plan.written(handed - found):  # their news was lost with the pool
                found.add(span)
                yield span, None
            lost.update(handed - found)
            given_up = [span for span in handed - found if lost[span] >= MOST_LOST]
            if given_up or not handed:
                raise _lost_error(plan.what, given_up, f"{MOST_LOST} times") from problem
        todo = [span for span in todo if span not in found]


def _noted(spans: list[Span], handed: set[Span]) -> Iterator[Span]:
    """Yield where chunks begin and end, and note which were handed out."""
    for span in spans:
        handed.add(span)
        yield span


def _loaded(names: tuple[tuple[str, str], ...]) -> tuple[type[BaseException], ...]:
    """Return the exceptions of those modules that are loaded: of the others none can have been raised."""
    return tuple(getattr(sys.modules[module], name) for module, name in names if module in sys.modules)


def _lost_error(what: str, spans: Collection[Span], how_often: str) -> WorkerLostError:
    """Return an error that names the chunks whose workers were lost."""
    return WorkerLostError(
        f"the process that computed {what} ended {how_often}",
        "a process that lives until its chunk is done; memory that is too small is a usual cause",
        "try smaller chunks or fewer workers, or call the task for these items alone",
        [f"{'one of ' if len(spans) > 1 else ''}{what} {begin} to {end}" for begin, end in sorted(spans)],
    )
