"""The design matrix: named columns, full rank, an intercept that is known to be one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.errors import CollinearError, InputError, ShapeError
from metaexo.numeric.problem import Array

if TYPE_CHECKING:
    import pandas as pd

RANK_TOLERANCE = 1e-9


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
        Position of the constant column.
    added : bool
        Whether the constant column was put in front of the moderators.
    """

    x: Array | None
    names: tuple[str, ...]
    intercept: int | None
    added: bool = True

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


INTERCEPT_ONLY = Design(None, ("intercept",), 0)


def make_design(
    moderators: ArrayLike | pd.DataFrame | None,
    k: int,
    names: Sequence[str] | None = None,
    intercept: bool = True,
) -> Design:
    """Return the design of numeric moderators.

    Parameters
    ----------
    moderators : array_like or DataFrame, shape (k, q), or None
        One column a moderator. None: the intercept alone.
    k : int
        Number of effects.
    names : sequence of str, optional
        Names of the columns; default: those of the frame, or x1, x2, ...
    intercept : bool
        Whether to put a column of ones in front.

    Raises
    ------
    ShapeError
        If the rows do not match the effects.
    InputError
        If a value is missing or infinite; it names the rows.
    CollinearError
        If a column is a linear combination of those before it; it names the columns.
    """
    if moderators is None:
        return INTERCEPT_ONLY
    columns = getattr(moderators, "columns", None)
    values = np.asarray(moderators, dtype=float)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[0] != k:
        raise ShapeError(f"moderators have shape {values.shape} for {k} effects", "one row for each effect")
    if names is None:
        names = (
            [str(c) for c in columns]
            if columns is not None
            else [f"x{j + 1}" for j in range(values.shape[1])]
        )
    missing = ~np.isfinite(values).all(axis=1)
    if missing.any():
        raise InputError(
            "some rows have a missing or infinite moderator",
            "a finite value of every moderator in every row",
            "fill the values, or leave the rows out with EffectSizes.select, which records the reason",
            [f"row {i + 1}" for i in np.flatnonzero(missing)],
        )
    if intercept:
        values = np.column_stack([np.ones(k), values])
        names = ["intercept", *names]
    check_rank(values, names)
    constant = [j for j in range(values.shape[1]) if np.ptp(values[:, j]) == 0]
    return Design(values, tuple(names), constant[0] if constant else None, intercept)


def check_rank(values: Array, names: Sequence[str]) -> None:
    """Raise CollinearError naming each column that depends on those before it."""
    scale = np.linalg.norm(values, axis=0)
    zero = [name for name, size in zip(names, scale, strict=True) if size == 0]
    unit = values / np.where(scale > 0, scale, 1.0)
    upper = np.linalg.qr(unit, mode="r")
    short = np.abs(np.diagonal(upper)) < RANK_TOLERANCE
    dependent = [names[j] for j in range(len(names)) if j >= short.size or short[j]]
    if zero or dependent or values.shape[1] > values.shape[0]:
        bad = dict.fromkeys([*zero, *dependent])
        raise CollinearError(
            f"the moderator columns {', '.join(bad) or 'given'} add nothing to those before them",
            "columns that are linearly independent, and at least as many rows as columns",
            "leave these columns out, or join levels of the factor that they come from",
        )
