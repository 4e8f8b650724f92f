"""The design matrix: named columns, full rank, an intercept that is known to be one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.counts import EventCounts
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import (
    CollinearError,
    InputError,
    NearlyCollinearWarning,
    NotIdentifiableError,
    RedundantColumnsWarning,
    RowsLeftOutWarning,
    ShapeError,
    TooFewStudiesError,
    warn_caller,
)
from metaexo.formatting import plural
from metaexo.inputs import LARGEST, check_choice, check_flag, read_numbers, read_words
from metaexo.models.linear.formula import Encoding, Term, learn_encoding, read_formula
from metaexo.models.linear.moderators import blank_cells, missing_remedy, named_columns
from metaexo.types import Array, Index, Mask

if TYPE_CHECKING:
    import pandas as pd

    Moderators = str | ArrayLike | pd.DataFrame | None

Effects = TypeVar("Effects", EffectSizes, BoundedEffectSizes, EventCounts)

RANK_TOLERANCE = 1e-9
# A column whose own part is a smaller share than this of its length has a variance inflation above 1e8.
NEAR_TOLERANCE = 1e-4
# A row is a combination of others if what is left of it, relative to its length, is below this.
ESTIMABLE = 1e-8
Redundant = Literal["raise", "drop"]
MISSING = ("raise", "drop")
DEPENDENCE = ("warn", "accept")


class FullDesign(NamedTuple):
    """All columns of a design of which redundant ones were left out."""

    x: Array  # (k, P): the columns
    positions: tuple[int, ...]  # those that were kept
    terms: tuple[Term, ...]  # the terms on all columns

    def estimable(self, rows: Array) -> Mask:
        """Say which rows, shape (r, P), are linear combinations of the rows of x."""
        size = np.linalg.norm(self.x, axis=0)
        size = np.where(size > 0, size, 1.0)
        _, values, basis = np.linalg.svd(self.x / size, full_matrices=False)
        basis = basis[values > RANK_TOLERANCE * values[0]]
        scaled = rows / size
        rest = scaled - (scaled @ basis.T) @ basis
        return np.asarray(np.linalg.norm(rest, axis=1) <= ESTIMABLE * np.linalg.norm(scaled, axis=1))


@dataclass(frozen=True, slots=True)
class Design:
    """Columns of the linear predictor."""

    x: Array | None  # (k, p): the columns; None stands for a single column of ones
    names: tuple[str, ...]  # their names
    intercept: int | None  # position of the column of ones
    added: bool = True  # whether the intercept was put in front of the moderators
    terms: tuple[Term, ...] = ()  # what the columns belong to, the intercept left out
    encoding: Encoding | None = None  # how a formula makes the columns, for new rows
    dropped: tuple[str, ...] = ()  # redundant columns that were left out
    # names of numeric moderators in the order in which they were handed in; empty for a formula
    moderators: tuple[str, ...] = ()
    full: FullDesign | None = None  # the columns before redundant ones were left out; None if none were

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that a table of new rows must have."""
        return self.moderators if self.encoding is None else self.encoding.formula.columns

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know about the columns."""
        found = [] if self.encoding is None else list(self.encoding.unused)
        if self.dropped:
            found.append(
                f"left out as redundant: {', '.join(self.dropped)}; the other coefficients take these to be 0"
            )
        return tuple(found)

    @property
    def p(self) -> int:
        """Number of columns."""
        return len(self.names)

    @property
    def tested(self) -> NDArray[np.intp]:
        """Positions of the coefficients of the omnibus test: all but the intercept, or it alone."""
        others = np.array([j for j in range(self.p) if j != self.intercept], dtype=np.intp)
        return others if others.size else np.arange(self.p)

    def null_of(self, term: Term) -> str:
        """Return in words that all coefficients of a term are zero: effects, or the means of all its levels.

        They are means where there is no intercept and the columns of the term add up to one.
        """
        of_levels = self.intercept is None and self.x is not None and len(term.columns) > 1
        if of_levels and (self.matrix(0)[:, list(term.columns)].sum(axis=1) == 1).all():
            return f"all means of {term.name} are zero"
        return f"no effect of {term.name}"

    def matrix(self, k: int) -> Array:
        """Return the columns as an array of shape (k, p)."""
        return np.ones((k, 1)) if self.x is None else self.x

    def at(self, rows: Index) -> Design:
        """Return the design of some rows, which may repeat; refuse it if they do not determine a column."""
        if self.x is None:
            return self
        x = self.x[rows]
        lost = [name for name, own in zip(self.names, own_parts(x), strict=True) if own < RANK_TOLERANCE]
        if lost:
            raise NotIdentifiableError(
                f"{plural(len(rows), 'row')} cannot determine {', '.join(lost)}",
                "rows in which each moderator varies beyond what the others explain",
                "fit a model with fewer moderators or levels, or keep more rows",
            )
        x.flags.writeable = False
        full = None if self.full is None else self.full._replace(x=self.full.x[rows])
        return replace(self, x=x, full=full)

    def with_column(self, name: str, values: Array) -> Design:
        """Return the design with one more column; refuse one that the others determine.

        It is for one more fit of the same rows: it does not know how to make the columns of new rows.
        """
        x = np.column_stack([self.matrix(values.size), values])
        if self.x is None:  # what the others determine of it is its mean
            own = np.linalg.norm(values - values.mean()) / (np.linalg.norm(values) or 1.0)
        else:
            own = own_parts(x)[-1]
        if own < RANK_TOLERANCE:
            alone = np.ptp(values) <= RANK_TOLERANCE * np.abs(values).max()
            raise CollinearError(
                f"{name} is the same in all rows"
                if alone
                else f"{name} is determined by {', '.join(self.names)}",
                "a column that varies between the rows, beyond what the others explain",
                "leave it out, or take another",
            )
        x.flags.writeable = False
        term = Term(name, (self.p,))
        return Design(x, (*self.names, name), self.intercept, self.added, (*self.terms, term))

    def encode(self, new: pd.DataFrame) -> Array:
        """Return the columns of new rows of a table, coded by the formula as in the fit, shape (r, p)."""
        rows = [f"row {i + 1}" for i in range(len(new))]
        if self.encoding is not None:
            return self.kept(self.encoding.encode(new, rows))
        frame = named_columns(new, self.moderators)
        columns = [read_numbers(frame[name], name, rows=rows, ndim=1) for name in self.moderators]
        return self.of_numbers(np.column_stack(columns))

    def of_numbers(self, values: Array) -> Array:
        """Return the columns of new rows from the values of all moderators, shape (r, q)."""
        bad = np.flatnonzero(~(np.abs(values) <= LARGEST).all(axis=1))
        if bad.size:
            raise InputError(
                "some new rows have a missing, infinite or too large moderator",
                f"a value of every moderator in every row, at most {LARGEST:g} in size",
                rows=[f"row {i + 1}" for i in bad],
            )
        return self.kept(np.column_stack([np.ones(len(values)), values]) if self.added else values)

    def kept(self, rows: Array) -> Array:
        """Return rows on all columns, redundant ones included, as rows on those of the fit, shape (r, p).

        A row that is no combination of the rows of the fit is refused: it is not estimable.
        """
        if self.full is None:
            return rows
        lost = np.flatnonzero(~self.full.estimable(rows))
        if lost.size:
            raise NotIdentifiableError(
                "some new rows are not estimable: the data hold no such "
                f"combination (left out as redundant: {', '.join(self.dropped)})",
                "combinations of moderators that occur in the data, or follow from those that do",
                "fit a model without the interaction, or leave these rows out",
                [f"row {i + 1}" for i in lost],
            )
        return rows[:, list(self.full.positions)]

    def estimable(self, rows: Array) -> Mask:
        """Say which combinations of the coefficients, shape (q, p), the data determine.

        Where redundant columns were left out the coefficients depend on which; a combination is determined
        by the data if it is one of the rows of the whole design.
        """
        if self.full is None:
            return np.ones(len(rows), dtype=np.bool_)
        whole = np.zeros((len(rows), self.full.x.shape[1]))
        whole[:, list(self.full.positions)] = rows
        return self.full.estimable(whole)

    def term_is_testable(self, term: Term) -> bool:
        """Say whether leaving a term out, redundant columns included, makes the model as much smaller.

        If not, what is tested is the choice of columns that were left out.
        """
        if self.full is None:
            return True
        mine = next(t.columns for t in self.full.terms if t.name == term.name)
        others = [j for j in range(self.full.x.shape[1]) if j not in mine]
        rank = int((own_parts(self.full.x[:, others]) >= RANK_TOLERANCE).sum())
        return rank == self.p - len(term.columns)


INTERCEPT_ONLY = Design(None, ("intercept",), 0)


def make_design(
    moderators: str | ArrayLike | pd.DataFrame | None,
    k: int,
    names: Sequence[str] | None = None,
    intercept: bool = True,
    *,
    data: pd.DataFrame | None = None,
    rows: Sequence[str] | None = None,
    redundant: Redundant = "raise",
    can_drop: bool = False,
) -> Design:
    """Return the design of numeric moderators, or of a formula.

    Parameters
    ----------
    moderators : str, array_like or DataFrame, shape (k, q), or None
        A formula on the columns of `data`, or one column per moderator. None: the intercept alone.
    k : int
        Number of effects.
    names : sequence of str, optional
        Names of the columns; default: those of the frame, or x1, x2, ... Not for a formula.
    intercept : bool
        Whether to put a column of ones in front. A formula can leave it out itself, with ``0 +``.
    data : DataFrame, optional
        The columns that a formula may use.
    rows : sequence of str, optional
        What the rows are called in errors.
    redundant : {"raise", "drop"}
        Whether columns that add nothing to those before them are refused by name, or left out with a
        RedundantColumnsWarning. Columns that are close to that are named by a NearlyCollinearWarning.
    can_drop : bool
        Whether the caller leaves rows without a moderator out if asked to, for the remedy of errors.
    """
    check_choice("redundant", redundant, ("raise", "drop"))
    check_flag("intercept", intercept)
    if moderators is None:
        if names is not None or not intercept:
            raise InputError(
                "names or intercept=False were given without moderators",
                "moderators, or the intercept alone",
            )
        return INTERCEPT_ONLY
    if k == 0:
        raise TooFewStudiesError("there are no effects", "at least one effect", "look at the ledger")
    called = [f"row {i + 1}" for i in range(k)] if rows is None else rows
    if isinstance(moderators, str):
        if names is not None:
            raise InputError("names were given beside a formula", "a formula alone; it names its own columns")
        design = _from_formula(moderators, data, called, intercept, can_drop)
    else:
        design = _from_columns(moderators, k, names, intercept, called, can_drop)
    if design.x is None:
        return design
    design = _full_rank(design, redundant)
    assert design.x is not None
    design.x.flags.writeable = False
    return design


def _from_formula(
    text: str, data: pd.DataFrame | None, rows: Sequence[str], intercept: bool, can_drop: bool
) -> Design:
    encoding, x = learn_encoding(text, data, rows, intercept, missing_remedy(can_drop))
    if not encoding.terms:
        if encoding.formula.intercept:
            return replace(INTERCEPT_ONLY, encoding=encoding)
        raise InputError(f"the formula {text!r} has no columns at all", "an intercept or a moderator")
    added = encoding.formula.intercept
    return Design(x, encoding.names, _ones(x), added, terms=encoding.terms, encoding=encoding)


def _from_columns(
    moderators: ArrayLike | pd.DataFrame,
    k: int,
    names: Sequence[str] | None,
    intercept: bool,
    rows: Sequence[str],
    can_drop: bool,
) -> Design:
    values = read_moderators(moderators, k, rows)
    names = _moderator_names(moderators, values.shape[1], names, intercept)
    missing = ~(np.abs(values) <= LARGEST).all(axis=1)
    if missing.any():
        raise InputError(
            "some rows have a missing, infinite or too large moderator",
            f"a value of every moderator in every row, at most {LARGEST:g} in size",
            missing_remedy(can_drop and bool(np.isnan(values[missing]).any(axis=1).all())),
            [rows[int(i)] for i in np.flatnonzero(missing)],
        )
    moderators_named = tuple(names)
    terms = [Term(name, (j + intercept,)) for j, name in enumerate(names)]
    if intercept:
        values = np.column_stack([np.ones(k), values])
        names = ["intercept", *names]
    position = _ones(values)
    return Design(
        values,
        tuple(names),
        position,
        intercept,
        terms=tuple(term for term in terms if term.columns != (position,)),
        moderators=moderators_named,
    )


def too_few_remedy(p: int) -> str:
    """Return what can be done where there are too few effects for p coefficients."""
    return "use fewer levels or moderators" if p > 1 else "with one effect, report it as it is"


def without_missing(
    effects: Effects, *moderators: Moderators
) -> tuple[Effects, tuple[Moderators, ...], Mask]:
    """Return effects and moderators of the rows in which no moderator is missing, and which these are.

    A warning and the ledger name the others.
    """
    gone: Mask = np.zeros(effects.k, dtype=np.bool_)
    lacking: list[str] = []
    for one in moderators:
        for name, missing in _missing_cells(effects, one).items():
            gone |= missing
            lacking += [name] if missing.any() and name not in lacking else []
    if not gone.any():
        return effects, moderators, ~gone
    named = ", ".join(lacking)
    if gone.all():
        raise TooFewStudiesError(
            f"none of {plural(effects.k, 'row')} has a value of each of its moderators (missing: {named})",
            "rows with a value of every moderator",
            "fill the values, or leave the moderators out",
        )
    gaps, of = int(gone.sum()), plural(effects.k, "row")
    warn_caller(
        f"{gaps} of {of} {'has' if gaps == 1 else 'have'} no value of {named} and "
        f"{'is' if gaps == 1 else 'are'} left out",
        RowsLeftOutWarning,
    )
    kept = tuple(rows_of(one, ~gone, effects.row_ids) for one in moderators)
    return effects.select(~gone, f"no value of {named}"), kept, ~gone


def _missing_cells(effects: Any, moderators: Moderators) -> dict[str, Mask]:
    """Return, per column of the data or for all numeric moderators, the rows without a value."""
    if moderators is None:
        return {}
    if not isinstance(moderators, str):
        values = read_moderators(moderators, effects.k, effects.row_ids)
        return {"moderators": np.logical_or.reduce(np.isnan(values), axis=1)}
    data = effects.data
    if data is None:
        return {}
    used = read_formula(moderators, [str(c) for c in data.columns]).columns
    frame = named_columns(data, used)
    return {name: blank_cells(frame[name]) for name in used}


def rows_of(moderators: Moderators, keep: Mask, rows: Sequence[str]) -> Moderators:
    """Return the moderators of the rows that are kept; a formula stays as it is."""
    if moderators is None or isinstance(moderators, str) or keep.all():
        return moderators
    values = read_moderators(moderators, keep.size, rows)
    table: Any = moderators
    return table.iloc[np.flatnonzero(keep)] if hasattr(table, "iloc") else values[keep]


def _as_formula(moderators: object) -> str:
    """Return the formula that a list of names stands for, as a remedy; "" for anything else."""
    if not isinstance(moderators, list | tuple) or not all(isinstance(name, str) for name in moderators):
        return ""
    names = [name if name.isidentifier() else f"`{name}`" for name in moderators]
    return f'write moderators="{" + ".join(names)}"' if names else ""


def read_moderators(moderators: object, k: int, rows: Sequence[str]) -> Array:
    """Return numeric moderators as an array of shape (k, q); what is missing is NaN."""
    try:
        values = read_numbers(moderators, "moderators", rows=rows)
    except ShapeError:
        raise
    except InputError as error:
        raise InputError(
            error.given,
            "numbers, one column per moderator",
            _as_formula(moderators)
            or "put the columns into the data of the effects, EffectSizes(..., data=frame), and write a "
            'formula such as moderators="source + dose"',
            error.rows,
        ) from error
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[0] != k:
        raise ShapeError(f"moderators have shape {values.shape} for {k} effects", "one row for each effect")
    return values


def _moderator_names(
    moderators: object, count: int, names: Sequence[str] | None, intercept: bool
) -> list[str]:
    """Return the names of numeric moderators: as given, those of the frame or the series, or x1, x2, ..."""
    own: object = [f"x{j + 1}" for j in range(count)]
    if names is not None:
        own = names
    elif hasattr(moderators, "columns"):
        own = [str(c) for c in moderators.columns]
    elif count == 1 and isinstance(getattr(moderators, "name", None), str):
        own = [moderators.name]  # type: ignore[attr-defined]
    found = list(read_words(own, "names of the moderators"))
    if len(found) != count:
        raise ShapeError(
            f"names has {plural(len(found), 'entry', 'entries')} for {count} moderators",
            "one name for each moderator",
        )
    taken = ["intercept", *found] if intercept else found
    twice = sorted({name for name in taken if taken.count(name) > 1})
    if twice:
        raise InputError(
            f"several columns are called {', '.join(map(repr, twice))}", "one name for each moderator"
        )
    return found


def _ones(x: Array) -> int | None:
    """Return the position of the first column of ones."""
    found = np.flatnonzero((x == 1).all(axis=0))
    return int(found[0]) if found.size else None


def _full_rank(design: Design, redundant: Redundant) -> Design:
    """Return the design without redundant columns, or refuse them; warn of nearly redundant ones."""
    assert design.x is not None
    own = own_parts(design.x)
    bad = [j for j in range(design.p) if own[j] < RANK_TOLERANCE]
    wide = design.x.shape[1] - len(bad) > design.x.shape[0]
    left = [j for j in range(design.p) if j not in bad and j != design.intercept]
    if bad and not left:
        raise CollinearError(
            "; ".join(_alone_in_words(design, j) for j in bad),
            "a moderator with at least two values",
            "leave these moderators out",
        )
    if bad and redundant == "drop" and not wide:
        return _full_rank(_without(design, bad), redundant)
    if bad or wide:
        named = ", ".join(design.names[j] for j in bad) or "given"
        still = [_alone_in_words(design, j) for j in bad if np.ptp(design.x[:, j]) == 0]
        raise CollinearError(
            "; ".join(still)
            if still and len(still) == len(bad) and not wide
            else f"the moderator columns {named} add nothing to those before them",
            "columns that are linearly independent, and at least as many rows as columns",
            'leave these columns out (redundant="drop" does), or join levels of the factor they come from',
        )
    _warn_if_near(design)
    return design


def own_parts(x: Array) -> Array:
    """Return the share of each column that is not a combination of the columns before it, of its length.

    Columns with a share of zero are not used in the combinations, so that dropping them leaves the others
    as they are. The shares are 0 for columns beyond the number of rows.
    """
    size = np.linalg.norm(x, axis=0)
    unit = x / np.where(size > 0, size, 1.0)
    basis = np.empty((x.shape[0], 0))
    shares = np.zeros(x.shape[1])
    for j in range(x.shape[1]):
        rest = unit[:, j]
        for _ in range(2):  # the second pass removes what rounding left in
            rest = rest - basis @ (basis.T @ rest)
        length = float(np.linalg.norm(rest))
        if length >= RANK_TOLERANCE and basis.shape[1] < x.shape[0]:
            shares[j] = length
            basis = np.column_stack([basis, rest / length])
    return shares


def _warn_if_near(design: Design) -> None:
    assert design.x is not None
    x = design.x
    moving = [j for j in range(design.p) if np.ptp(x[:, j]) > 0]
    if design.intercept is None or len(moving) < 2:
        return
    centred = x[:, moving] - x[:, moving].mean(axis=0)
    near = [design.names[moving[j]] for j in np.flatnonzero(own_parts(centred) < NEAR_TOLERANCE)]
    if near:
        warn_caller(
            f"{', '.join(near)} is almost a linear combination of the columns before it (a variance "
            "inflation above 1e8): the coefficients of these columns rest on rounding of the data",
            NearlyCollinearWarning,
        )


def _without(design: Design, bad: list[int]) -> Design:
    """Return the design without some columns, and say so."""
    assert design.x is not None
    dropped = tuple(design.names[j] for j in bad)
    warn_caller(
        f"the columns {', '.join(dropped)} add nothing to those before them and are left out",
        RedundantColumnsWarning,
    )
    kept = [j for j in range(design.p) if j not in bad]
    where = {old: new for new, old in enumerate(kept)}
    terms = [Term(t.name, tuple(where[j] for j in t.columns if j in where)) for t in design.terms]
    x = design.x[:, kept]
    return replace(
        design,
        x=x,
        names=tuple(design.names[j] for j in kept),
        intercept=_ones(x),
        terms=tuple(term for term in terms if term.columns),
        dropped=dropped,
        full=FullDesign(design.x, tuple(kept), design.terms),
    )


def _alone_in_words(design: Design, j: int) -> str:
    """Say of a redundant column what it is."""
    assert design.x is not None
    column = design.x[:, j]
    if column.size and np.ptp(column) == 0:
        return f"{design.names[j]} has one value ({column[0]:g}) in all rows"
    return f"{design.names[j]} adds nothing to the columns before it"
