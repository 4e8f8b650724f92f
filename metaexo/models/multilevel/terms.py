"""Random terms in words, read against the columns of the effects, and the registry of their structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.immutable import ByContents, Immutable
from metaexo.inputs import as_word, check_choice, read_numbers
from metaexo.models.linear.grouping import column_values, grouping
from metaexo.numeric.mixed.structures import (
    Diagonal,
    Heterogeneous,
    Homogeneous,
    Structure,
    Unstructured,
    compound,
    power,
    spatial,
)
from metaexo.numeric.mixed.terms import Term, intercept_term
from metaexo.readable import shows_itself
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd


@shows_itself
@dataclass(frozen=True, eq=False)
class RandomTerm(ByContents):
    """One random term of a multilevel model.

    Use it for what a plain word cannot say: effects of several outcomes or times that differ and correlate
    within a study, random slopes, known relationships between the levels.

    Parameters
    ----------
    outer : str or None
        Column whose levels are independent (or related as `relation` says); ``"study/sample"`` for
        combinations. None: all effects together, for spatial structures.
    inner : str or sequence of str, optional
        Column of the outcomes, times, groups or places within a level; or the columns of random slopes,
        ``"1 + dose"``. Default: one random effect per level.
    structure : str
        How the inner effects vary and correlate. "ID": one variance; "DIAG": one variance per inner level;
        "CS": one variance and one correlation; "HCS": one variance per inner level, one correlation; "UN":
        any; "AR", "HAR": correlation by steps of the sorted inner levels; "CAR": by their distance in time;
        "SPEXP", "SPGAU", "SPLIN", "SPRAT", "SPSPH": by distance in space. For slopes "GEN" (any) or "GDIAG"
        (uncorrelated). Default: "CS" with `inner`.
    relation : DataFrame, optional
        Known correlations of the outer levels (phylogeny, kinship), rows and columns named by them.
    distance : DataFrame, optional
        Distances between the inner levels, for spatial structures.

    References
    ----------
    Viechtbauer, W. (2010). https://doi.org/10.18637/jss.v036.i03
    Konstantopoulos, S. (2011). Fixed effects and variance components estimation in three-level
    meta-analysis. Research Synthesis Methods 2, 61-76. https://doi.org/10.1002/jrsm.35

    Examples
    --------
    >>> RandomTerm("study", inner="outcome", structure="UN").name
    'outcome|study'
    """

    outer: str | None
    inner: str | Sequence[str] | None = None
    structure: str | None = None
    relation: pd.DataFrame | None = None
    distance: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        for name in ("relation", "distance"):
            table = getattr(self, name)
            if hasattr(table, "columns"):
                object.__setattr__(self, name, table.copy())

    @property
    def name(self) -> str:
        """What the term is called: "study", "study/effect" or "outcome|study"."""
        outer = "all" if self.outer is None else self.outer
        inner = self.inner if isinstance(self.inner, str | None) else " + ".join(map(str, self.inner))
        return outer if inner is None else f"{inner}|{outer}"


@dataclass(frozen=True, eq=False)
class NamedTerm(Immutable):
    """A random term with the words that belong to its numbers."""

    name: str
    structure: str  # its code; "intercept" for one effect per level
    term: Term
    levels: Sequence[str]  # outer levels
    inner: tuple[str, ...]  # inner levels, or the columns of slopes; empty for an intercept
    record: RandomTerm  # what it was read from
    inner_code: Index | None = None  # inner level of each row; None for intercepts and slopes

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the variances and correlations."""
        if self.structure == "intercept":
            return (self.name,)
        words = {"variance": "tau2", "correlation": "rho", "range": "range"}
        out = []
        for part in self.term.structure.components():
            shown = part.inner if part.kind == "variance" or self.structure in ("UN", "GEN") else ()
            inside = f"[{','.join(self.inner[i] for i in shown)}]" if shown else ""
            out.append(f"{self.name}:{words[part.kind]}{inside}")
        return tuple(out)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kind of each component: variance, correlation or range."""
        return tuple(part.kind for part in self.term.structure.components())


def read_terms(
    es: EffectSizes, random: str | RandomTerm | Sequence[str | RandomTerm]
) -> tuple[NamedTerm, ...]:
    """Return the terms that words and records describe."""
    if isinstance(random, str | RandomTerm):
        entries: list[Any] = [random]
    else:
        entries = list(random) if isinstance(random, list | tuple) else [random]
    strange = [repr(entry) for entry in entries if not isinstance(entry, str | RandomTerm)]
    if strange:
        raise InputError(
            f"random terms are given as {', '.join(strange[:4])}",
            'words such as "study/effect", RandomTerm records, or a list of them',
        )
    if not all(entry.strip() for entry in entries if isinstance(entry, str)):
        raise InputError("a random term is blank", 'a word such as "study/effect"')
    records: list[RandomTerm] = []
    for entry in entries:
        if isinstance(entry, RandomTerm):
            records.append(entry)
            continue
        text = str(entry).replace(" ", "").removeprefix("~").removeprefix("1|")
        if "|" in text:
            inner, outer = text.split("|", 1)
            records.append(RandomTerm(outer, inner, "GEN" if "+" in inner else None))
            continue
        parts = text.split("/")
        records += [RandomTerm("/".join(parts[: i + 1])) for i in range(len(parts))]
    return tuple(_read(es, record) for record in records)


def reread_terms(
    es: EffectSizes, had: Sequence[NamedTerm], rows: Index, copies: Sequence[str] | None
) -> tuple[NamedTerm, ...]:
    """Return the terms of a fit for effects that are some of its rows, which may repeat.

    Levels of different `copies`, one label per row, are different ones in a term that is nested within them:
    each level has all its rows in each copy that it occurs in. The levels of a crossed term are shared.
    """
    found = tuple(_read(es, named.record) for named in had)
    if copies is None:
        return found
    copy = np.unique(list(copies), return_inverse=True)[1]
    return tuple(_split(now, then.term, rows, copy) for now, then in zip(found, had, strict=True))


def _split(named: NamedTerm, had: Term, rows: Index, copy: Index) -> NamedTerm:
    """Return a term whose levels are different in each copy, if it is nested within the copies."""
    pairs, level = np.unique(np.column_stack([named.term.level, copy]), axis=0, return_inverse=True)
    level = np.asarray(level, dtype=np.intp).ravel()
    whole = np.bincount(had.level)[had.level[rows]]  # rows of the level in the fit
    if named.term.relation is not None or (np.bincount(level)[level] != whole).any():
        return named
    levels = [f"{named.levels[i]} ({j + 1})" for i, j in pairs]
    return replace(named, term=replace(named.term, level=level, levels=len(levels)), levels=levels)


def _read(es: EffectSizes, record: RandomTerm) -> NamedTerm:
    _refuse_strange(record)
    if record.outer is None:
        level = np.zeros(es.k, dtype=np.intp)
        levels: Sequence[str] = ("all",)
    else:
        level, levels = grouping(es, record.outer)
    relation = None if record.relation is None else named_matrix(record.relation, levels, record.name)
    if record.inner is None:
        structure: Structure = Diagonal(1, True)
        term = intercept_term(level, len(levels), structure, relation)
        return NamedTerm(record.name, "intercept", term, levels, (), record)
    slopes = not isinstance(record.inner, str) or "+" in record.inner
    code = ("GEN" if slopes else "CS") if record.structure is None else record.structure
    check_choice("structure", code, tuple(STRUCTURES))
    if slopes != (code in SLOPES):
        raise InputError(
            f"the term {record.name} has the structure {code}",
            "GEN or GDIAG for columns of slopes, another structure for one inner column",
        )
    if slopes:
        return _slopes(es, record, code, level, levels, relation)
    column, names = grouping(es, str(record.inner))
    inner = tuple(names)
    structure = make_structure(code, inner, _distances(es, record, code, inner))
    structure, place = _relabelled(structure, code, level, column)
    term = Term(level, len(levels), place[:, None], np.ones((es.k, 1)), structure, relation)
    return NamedTerm(record.name, code, term, levels, inner, record, column)


def _slopes(
    es: EffectSizes,
    record: RandomTerm,
    code: str,
    level: Index,
    levels: Sequence[str],
    relation: Array | None,
) -> NamedTerm:
    assert record.inner is not None
    words = record.inner.split("+") if isinstance(record.inner, str) else record.inner
    names = tuple(word.strip() for word in words)
    try:
        columns = [None if name == "1" else column_values(es, name).to_numpy(dtype=float) for name in names]
        weight = np.column_stack([np.ones(es.k) if column is None else column for column in columns])
    except ValueError as error:
        raise InputError(f"a slope of {record.name} is no number", "numeric columns for slopes") from error
    column = np.tile(np.arange(len(names)), (es.k, 1))
    term = Term(level, len(levels), column, weight, make_structure(code, names, None), relation)
    shown = tuple("intercept" if name == "1" else name for name in names)
    return NamedTerm(record.name, code, term, levels, shown, record)


def _refuse_strange(record: RandomTerm) -> None:
    """Raise if a term is described by something other than names of columns and tables."""
    inner = record.inner
    if not isinstance(inner, str | None) and not (
        isinstance(inner, list | tuple) and inner and all(isinstance(name, str) for name in inner)
    ):
        raise InputError(f"inner is {inner!r}", "the name of a column, or a list of the columns of slopes")
    if not isinstance(record.outer, str | None):
        raise InputError(f"outer is {record.outer!r}", "the name of a column, or None")
    if record.outer is None and inner is None:
        raise InputError(
            "a random term has neither outer nor inner levels", "the name of a column", "name one of them"
        )
    for name in ("relation", "distance"):
        table = getattr(record, name)
        if table is not None and not (hasattr(table, "columns") and hasattr(table, "iloc")):
            raise InputError(
                f"{name} of the term {record.name} is a {type(table).__name__}",
                "a data frame whose rows and columns are named by the levels",
            )


def _relabelled(structure: Structure, code: str, level: Index, column: Index) -> tuple[Structure, Index]:
    """Return inner levels numbered within each outer one where only equality counts, so that G is small."""
    if code not in ("CS", "ID") or structure.size <= 20:
        return structure, column
    pairs = np.unique(np.column_stack([level, column]), axis=0, return_inverse=True)
    table, row = pairs[0], np.asarray(pairs[1]).ravel()
    first = np.searchsorted(table[:, 0], table[:, 0])
    place = (np.arange(len(table)) - first)[row]
    size = int(place.max()) + 1
    return make_structure(code, tuple(map(str, range(size))), None, structure.size), place.astype(np.intp)


def _distances(es: EffectSizes, record: RandomTerm, code: str, inner: tuple[str, ...]) -> Array | None:
    if record.distance is not None:
        return named_matrix(record.distance, inner, record.name)
    if code == "CAR":
        try:
            times = np.array(inner, dtype=float)
        except ValueError as error:
            raise InputError(
                f"the inner levels of {record.name} are no numbers", "times as numbers for the structure CAR"
            ) from error
        return np.asarray(np.abs(np.subtract.outer(times, times)))
    return None


def named_matrix(table: pd.DataFrame, names: Sequence[str], term: str) -> Array:
    """Return the rows and columns of a named square table in the order of `names`."""
    index = {as_word(name): i for i, name in enumerate(table.columns)}
    if table.shape[0] == table.shape[1] and [as_word(name) for name in table.index] not in (
        list(index),
        [str(i) for i in range(len(table))],
    ):
        raise InputError(
            f"the rows and columns of the matrix of the term {term} have different names",
            "a square table whose rows and columns are named by the levels, in one order",
        )
    missing = [name for name in names if name not in index]
    if missing or table.shape[0] != table.shape[1]:
        raise InputError(
            f"the matrix of the term {term} has no row for some levels"
            if missing
            else "the matrix is not square",
            "a square table whose rows and columns are named by the levels, in one order",
            rows=missing,
        )
    where = [index[name] for name in names]
    values = read_numbers(table, f"the matrix of the term {term}", ndim=2)[np.ix_(where, where)]
    if not np.isfinite(values).all():
        raise InputError(f"the matrix of the term {term} has missing entries", "finite numbers")
    if not np.allclose(values, values.T, rtol=1e-8, atol=1e-12):
        raise InputError(f"the matrix of the term {term} is not symmetric", "a symmetric matrix")
    return np.asarray(0.5 * (values + values.T))


# Code to what it says, in words.
STRUCTURES: dict[str, str] = {
    "ID": "one variance, no correlation",
    "DIAG": "a variance for each inner level, no correlation",
    "CS": "one variance, one correlation",
    "HCS": "a variance for each inner level, one correlation",
    "UN": "unstructured",
    "AR": "one variance, autoregressive",
    "HAR": "a variance for each inner level, autoregressive",
    "CAR": "one variance, autoregressive in continuous time",
    "GEN": "intercept and slopes, unstructured",
    "GDIAG": "intercept and slopes, uncorrelated",
    "SPEXP": "one variance, correlation exp(-d/range)",
    "SPGAU": "one variance, correlation exp(-d^2/range^2)",
    "SPLIN": "one variance, correlation 1 - d/range up to the range",
    "SPRAT": "one variance, correlation 1/(1 + d^2/range^2)",
    "SPSPH": "one variance, spherical correlation up to the range",
}
SLOPES = ("GEN", "GDIAG")
# Structures whose components are seen between outer levels only.
BETWEEN = ("CS", "HCS", "UN", "HAR", "DIAG", "GEN", "GDIAG")


def make_structure(
    code: str, inner: Sequence[str], distance: Array | None, all_levels: int | None = None
) -> Structure:
    """Return the structure of a code."""
    s = len(inner)
    if code in ("ID", "DIAG", "GDIAG"):
        return Diagonal(s, common=code == "ID")
    if s == 1:
        return Diagonal(1, common=True)
    total = s if all_levels is None else all_levels
    steps = np.abs(np.subtract.outer(np.arange(s), np.arange(s)))
    if code in ("UN", "GEN"):
        return Unstructured(s) if s > 2 else Heterogeneous(2, compound(2, -1.0))
    if code == "CS":
        return Homogeneous(s, compound(s, -1.0 / (total - 1)))
    if code == "HCS":
        return Heterogeneous(s, compound(s, -1.0 / (total - 1)))
    if code == "AR":
        return Homogeneous(s, power(steps, True))
    if code == "HAR":
        return Heterogeneous(s, power(steps, True))
    if distance is None:
        raise InputError(f"the structure {code} came without distances", "distance= a table of distances")
    if code == "CAR":
        return Homogeneous(s, power(distance, False))
    return Homogeneous(s, spatial(distance, code))


# Structures that each structure holds as special cases, itself apart.
HELD: dict[str, tuple[str, ...]] = {
    "DIAG": ("ID",),
    "CS": ("ID",),
    "AR": ("ID",),
    "CAR": ("ID",),
    "HCS": ("ID", "DIAG", "CS"),
    "HAR": ("ID", "DIAG", "AR"),
    "UN": ("ID", "DIAG", "CS", "AR", "CAR", "HCS", "HAR", "SPEXP", "SPGAU", "SPLIN", "SPRAT", "SPSPH"),
    "GEN": ("GDIAG",),
    **dict.fromkeys(("SPEXP", "SPGAU", "SPLIN", "SPRAT", "SPSPH"), ("ID",)),
}
# With all correlations 1 these are one effect of the outer level; GEN has its own intercept.
ALIKE = ("CS", "AR", "CAR", "HCS", "HAR", "UN")


def holds(full: NamedTerm, reduced: NamedTerm) -> bool:
    """Say whether a random term has another one as a special case."""
    a, b = full.term, reduced.term
    if (a.relation is None) != (b.relation is None) or (
        a.relation is not None and (b.relation is None or not np.array_equal(a.relation, b.relation))
    ):
        return False
    same_outer = _same_groups(a.level, b.level)
    if reduced.structure == "intercept":
        if full.structure == "intercept":
            return same_outer
        if full.inner_code is None:
            return same_outer and "intercept" in full.inner
        single = _groups(np.column_stack([a.level, full.inner_code]))
        return (same_outer and full.structure in ALIKE) or _same_groups(single, b.level)
    if not same_outer or reduced.structure not in (full.structure, *HELD.get(full.structure, ())):
        return False
    if full.inner_code is None or reduced.inner_code is None:
        return full.inner_code is reduced.inner_code and set(reduced.inner) <= set(full.inner)
    return _same_groups(full.inner_code, reduced.inner_code)


def _groups(columns: Index) -> Index:
    """Return the number of the group of each row, in order of first appearance."""
    firsts, group = np.unique(columns, axis=0, return_index=True, return_inverse=True)[1:]
    return np.asarray(np.argsort(np.argsort(firsts))[np.ravel(group)], dtype=np.intp)


def _same_groups(a: Index, b: Index) -> bool:
    """Say whether two codes group the rows alike."""
    return np.array_equal(_groups(a[:, None]), _groups(b[:, None]))
