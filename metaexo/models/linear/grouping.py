"""Which level of a grouping each effect belongs to, what the levels are called, and clusters of effects."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, ShapeError, UnknownChoiceError
from metaexo.formatting import plural
from metaexo.inputs import as_word, is_blank, read_entries, warn_of_unclear_levels
from metaexo.types import Index

if TYPE_CHECKING:
    import pandas as pd

A_CLUSTER = "a cluster for every effect"


class LevelNames(Sequence[str]):
    """Names of levels, written out when they are asked for: "a", or "a/b" for combinations.

    The parts are the levels of each column; the codes, shape (levels, columns), which of them a level has.
    """

    def __init__(self, parts: Sequence[Any], codes: Index) -> None:
        self._parts, self._codes = parts, codes

    @cached_property
    def _names(self) -> tuple[str, ...]:
        words = [
            [f"{value:.15g}" for value in part.tolist()] if part.dtype.kind == "f" else list(map(str, part))
            for part in self._parts
        ]
        columns = [[word[i] for i in code] for word, code in zip(words, self._codes.T.tolist(), strict=True)]
        return tuple(map("/".join, zip(*columns, strict=True)))

    def __len__(self) -> int:
        return len(self._codes)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self._names[index]

    def __repr__(self) -> str:
        return repr(self._names)


def grouping(es: EffectSizes, name: object) -> tuple[Index, LevelNames]:
    """Return the level of each effect, from 0, and the names of the levels; "a/b" means combinations.

    "effect" is the single effect, "study" the study of the effects (a column of that name if they have none).
    Levels are in order, numbers by size.
    """
    if not isinstance(name, str) or not name.strip():
        raise InputError(
            f"a grouping is {name!r}", 'the name of a column, or names joined by "/", such as "study/effect"'
        )
    parts, codes = zip(*(_levels(es, part) for part in name.split("/")), strict=True)
    if len(codes) == 1:
        return codes[0], LevelNames(parts, np.arange(parts[0].size)[:, None])
    combined = codes[0]
    for part, code in zip(parts[1:], codes[1:], strict=True):
        combined = np.unique(combined * part.size + code, return_inverse=True)[1]
    firsts = np.unique(combined, return_index=True)[1]
    return combined, LevelNames(parts, np.column_stack(codes)[firsts])


def column_values(
    es: EffectSizes, name: str, needed: str = "a level of every random term for every effect"
) -> pd.Series:
    """Return a column of the effects, "effect" and "study" included; `needed` is what errors ask of gaps."""
    import pandas as pd

    known = [] if es.data is None else list(map(str, es.data.columns))
    if name == "effect":
        return pd.Series(np.arange(1, es.k + 1))
    if name == "study" and es.study:
        return pd.Series(es.study, dtype=object)
    if name in known:
        values = es.column(name)
    elif name == "study":
        return pd.Series(es.row_ids, dtype=object)
    else:
        raise UnknownChoiceError("column", name, list(dict.fromkeys([*known, "study", "effect"])))
    missing = np.flatnonzero([is_blank(value) for value in values.tolist()])
    if missing.size:
        raise InputError(
            f"the column {name} is empty in some rows",
            needed,
            "fill it (merged cells: fill down), or leave the rows out with EffectSizes.select",
            [es.row_ids[int(i)] for i in missing],
        )
    if values.dtype.kind not in "biuf":
        warn_of_unclear_levels(name, [as_word(value) for value in values], lambda i: es.row_ids[i])
    return values


def _levels(es: EffectSizes, name: str) -> tuple[Any, Index]:
    """Return the levels of a column in order, and the position of each effect's."""
    if name == "effect":
        return np.arange(1.0, es.k + 1), np.arange(es.k)
    return levels_in_order(column_values(es, name).to_numpy())


def levels_in_order(values: NDArray[Any]) -> tuple[Any, Index]:
    """Return the levels among values in order, numbers by size, and the position of each value's."""
    if values.dtype.kind in "biuf":
        plain: Any = values.astype(float)
    else:
        items = values.tolist()
        numeric = all(isinstance(item, int | float | np.integer | np.floating) for item in items)
        plain = np.array(items, dtype=float) if numeric else np.array(list(map(as_word, items)))
    uniques, code = np.unique(plain, return_inverse=True)
    if uniques.dtype.kind == "U":  # words that are all whole numbers stand in the order of these
        words = uniques.tolist()
        if all(word.isdecimal() for word in words):
            order = np.array(
                sorted(range(len(words)), key=lambda i: (int(words[i]), words[i])), dtype=np.intp
            )
            uniques, code = uniques[order], np.argsort(order)[code]
    return uniques, np.asarray(code, dtype=np.intp)


def split_clusters(
    es: EffectSizes, cluster: str | Sequence[object] | ArrayLike | None
) -> tuple[tuple[str, ...], list[NDArray[np.intp]]]:
    """Return the names of the clusters in order of appearance, and the rows of each."""
    rows: dict[str, list[int]] = {}
    for i, label in enumerate(cluster_labels(es, cluster)):
        rows.setdefault(as_word(label), []).append(i)
    return tuple(rows), [np.array(part, dtype=np.intp) for part in rows.values()]


def cluster_labels(es: EffectSizes, cluster: str | Sequence[object] | ArrayLike | None) -> list[Any]:
    """Return the cluster of each effect; refuse effects without one."""
    if cluster is None:
        labels: list[Any] = list(es.study or es.row_ids)
    elif isinstance(cluster, str):
        labels = _words_of(es, cluster)
    else:
        if getattr(cluster, "ndim", 1) != 1:
            raise ShapeError("cluster is no list of single entries", "one entry for each effect")
        es.check_index("cluster", cluster)
        labels = read_entries(cluster, "cluster")
    if len(labels) != es.k:
        raise ShapeError(
            f"cluster has {plural(len(labels), 'entry', 'entries')} for {es.k} effects", "one for each effect"
        )
    missing = [es.row_ids[i] for i, label in enumerate(labels) if is_blank(label)]
    if missing:
        raise InputError(
            "some effects have no cluster",
            A_CLUSTER,
            "fill them in; where cells were merged, fill down",
            rows=missing,
        )
    return labels


def _words_of(es: EffectSizes, name: str) -> list[Any]:
    """Return the labels of a grouping: a column, "study", "effect", or combinations as "study/sample"."""
    known = [] if es.data is None else list(map(str, es.data.columns))
    parts = [name] if name in known else name.split("/")
    columns = [column_values(es, part, A_CLUSTER).tolist() for part in parts]
    if len(columns) == 1:
        return columns[0]
    return ["/".join(map(as_word, row)) for row in zip(*columns, strict=True)]
