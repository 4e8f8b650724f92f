"""The design matrix: named columns, full rank, an intercept that is known to be one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.errors import (
    CollinearError,
    InputError,
    NearlyCollinearWarning,
    RedundantColumnsWarning,
    ShapeError,
)
from metaexo.models.formula_encoding import Encoding, Term, learn_encoding
from metaexo.numeric.problem import Array

if TYPE_CHECKING:
    import pandas as pd

RANK_TOLERANCE = 1e-9
# A column whose own part is smaller than this share of its spread has a variance inflation above 1e8.
NEAR_TOLERANCE = 1e-4
Redundant = Literal["raise", "drop"]


@dataclass(frozen=True, slots=True)
class Design:
    """Columns of the linear predictor.

    Attributes
    ----------
    x : ndarray, shape (k, p), or None
        The columns; None stands for a single column of ones.
    names : tuple of str
        Their names.
    intercept : int or None
        Position of the column of ones.
    added : bool
        Whether the intercept was put in front of the moderators.
    terms : tuple of Term
        What the columns belong to, the intercept left out.
    encoding : Encoding or None
        How a formula makes the columns, for new rows.
    dropped : tuple of str
        Redundant columns that were left out.
    """

    x: Array | None
    names: tuple[str, ...]
    intercept: int | None
    added: bool = True
    terms: tuple[Term, ...] = ()
    encoding: Encoding | None = None
    dropped: tuple[str, ...] = ()

    @property
    def p(self) -> int:
        """Number of columns."""
        return len(self.names)

    @property
    def tested(self) -> NDArray[np.intp]:
        """Positions of the coefficients of the omnibus test: all but the intercept, or it alone."""
        others = np.array([j for j in range(self.p) if j != self.intercept], dtype=np.intp)
        return others if others.size else np.arange(self.p)

    def matrix(self, k: int) -> Array:
        """Return the columns as an array of shape (k, p)."""
        return np.ones((k, 1)) if self.x is None else self.x

    def encode(self, new: pd.DataFrame) -> Array:
        """Return the columns of new rows of a table, coded by the formula as in the fit, shape (r, p).

        Raises
        ------
        UnknownChoiceError
            If a column or a level of a factor is not known; it names the allowed ones.
        InputError
            If the design was not made by a formula, or a value is missing.
        """
        if self.encoding is None:
            raise InputError("this design was not made by a formula", "an array of moderator values")
        table, names, _ = self.encoding.encode(new, [f"row {i + 1}" for i in range(len(new))])
        return table[:, [names.index(name) for name in self.names]]


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
) -> Design:
    """Return the design of numeric moderators, or of a formula.

    Parameters
    ----------
    moderators : str, array_like or DataFrame, shape (k, q), or None
        A formula on the columns of `data`, or one column a moderator. None: the intercept alone.
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
        What to do with columns that add nothing to those before them: refuse them by name, or leave them
        out with a warning.

    Raises
    ------
    ShapeError
        If the rows do not match the effects.
    InputError
        If a value is missing or infinite; it names the rows.
    CollinearError
        If a column is a linear combination of those before it; it names the columns.
    FormulaError
        If a formula holds something other than columns, operators and known functions.

    Warns
    -----
    RedundantColumnsWarning
        If redundant columns were left out because `redundant` is "drop".
    NearlyCollinearWarning
        If a column is almost a linear combination of those before it.
    """
    if moderators is None:
        return INTERCEPT_ONLY
    called = [f"row {i + 1}" for i in range(k)] if rows is None else rows
    if isinstance(moderators, str):
        if names is not None:
            raise InputError("names were given beside a formula", "a formula alone; it names its own columns")
        formula = moderators if intercept else f"0 + ({moderators.lstrip().removeprefix('~')})"
        design = _from_formula(formula, data, called)
    else:
        design = _from_columns(moderators, k, names, intercept, called)
    return design if design.x is None else _full_rank(design, redundant)


def _from_formula(text: str, data: pd.DataFrame | None, rows: Sequence[str]) -> Design:
    encoding = learn_encoding(text, data, rows)
    if data is None or not encoding.formula.terms:
        if encoding.formula.intercept:
            return replace(INTERCEPT_ONLY, encoding=encoding)
        raise InputError(f"the formula {text!r} has no columns at all", "an intercept or a moderator")
    x, names, terms = encoding.encode(data, rows)
    return Design(
        x, tuple(names), _ones(x), encoding.formula.intercept, terms=tuple(terms), encoding=encoding
    )


def _from_columns(
    moderators: ArrayLike | pd.DataFrame,
    k: int,
    names: Sequence[str] | None,
    intercept: bool,
    rows: Sequence[str],
) -> Design:
    columns = getattr(moderators, "columns", None)
    try:
        values = np.asarray(moderators, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(
            "the moderators hold words",
            "numbers, one column a moderator",
            'put the columns into the data of the effects and write a formula: moderators="source + dose"',
        ) from error
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[0] != k:
        raise ShapeError(f"moderators have shape {values.shape} for {k} effects", "one row for each effect")
    if names is None:
        known = [f"x{j + 1}" for j in range(values.shape[1])] if columns is None else columns
        names = [str(c) for c in known]
    missing = ~np.isfinite(values).all(axis=1)
    if missing.any():
        raise InputError(
            "some rows have a missing or infinite moderator",
            "a finite value of every moderator in every row",
            "fill the values, or leave the rows out with EffectSizes.select, which records the reason",
            [rows[int(i)] for i in np.flatnonzero(missing)],
        )
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
    )


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
    if bad and redundant == "drop" and not wide and len(bad) < design.p:
        return _full_rank(_without(design, bad), redundant)
    if bad or wide:
        named = ", ".join(design.names[j] for j in bad) or "given"
        raise CollinearError(
            f"the moderator columns {named} add nothing to those before them",
            "columns that are linearly independent, and at least as many rows as columns",
            'leave these columns out (redundant="drop" does), or join levels of the factor they come from',
        )
    _warn_if_near(design)
    return design


def own_parts(x: Array) -> Array:
    """Return, a column, the share of its length that is not a combination of the columns before it.

    Columns with a share of zero take no part in the combinations, so that dropping them leaves the others
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
        warnings.warn(
            f"{', '.join(near)} is almost a linear combination of the columns before it (a variance "
            "inflation above 1e8): the coefficients of these columns rest on rounding of the data",
            NearlyCollinearWarning,
            stacklevel=4,
        )


def _without(design: Design, bad: list[int]) -> Design:
    """Return the design without some columns, and say so."""
    assert design.x is not None
    dropped = tuple(design.names[j] for j in bad)
    warnings.warn(
        f"the columns {', '.join(dropped)} add nothing to those before them and are left out",
        RedundantColumnsWarning,
        stacklevel=5,
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
    )
