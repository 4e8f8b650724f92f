"""Levels of factors, and studies that do not report theirs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.inputs import as_word, check_choice, is_blank, warn_of_unclear_levels

NOT_REPORTED = "not reported"
# What programs write for a missing value; no level is called so.
SILENT = ("", NOT_REPORTED, "nan", "<na>", "nat")
# What people write for a missing value, but may also mean as a level.
STUDY = "study"


def is_unreported(level: str) -> bool:
    """Say whether a level stands for a study that does not report it.

    Examples
    --------
    >>> is_unreported("Not_reported"), is_unreported("plant")
    (True, False)
    """
    return level.replace("_", " ").strip().casefold() in SILENT


def check_effects(effects: object) -> EffectSizes:
    """Return the effects, or say what was handed in instead.

    Raises
    ------
    InputError
        If it is something else than EffectSizes.
    """
    if not isinstance(effects, EffectSizes):
        raise InputError(
            f"the effects are of type {type(effects).__name__}",
            "an EffectSizes object",
            "make one with mx.EffectSizes or mx.effect_sizes; a fit has it as its attribute `effects`",
        )
    return effects


def read_factors_named(by: object, most: int | None = None) -> tuple[str, ...]:
    """Return the names of one factor or several, each once.

    Parameters
    ----------
    by : str or sequence of str
        The names.
    most : int, optional
        How many there may be.

    Raises
    ------
    InputError
        If there is no name, one stands twice, there are too many, or something is no name.
    """
    several = by.tolist() if isinstance(by, np.ndarray) or type(by).__name__ == "Index" else by  # type: ignore[attr-defined]
    names = (by,) if isinstance(by, str) else tuple(several) if isinstance(several, Sequence) else None
    needed = "one column or more, each once" if most is None else f"one to {most} different columns"
    if names is None or not all(isinstance(name, str) for name in names):
        kind = type(by).__name__
        raise InputError(f"the factors are of type {kind}", f"{needed}, by name", 'write by="source"')
    if not names or len(set(names)) < len(names) or (most is not None and len(names) > most):
        raise InputError(f"the factors {', '.join(names) or '(none)'}", needed)
    return names


def read_factor_named(by: object) -> str:
    """Return the name of one factor.

    Raises
    ------
    InputError
        If it is no name.
    """
    if not isinstance(by, str) or not by:
        raise InputError("the factor is no name of a column", "the name of one column", 'write by="source"')
    return by


def read_caption(caption: object) -> str | None:
    """Return a caption of a table; refuse what is no text.

    Raises
    ------
    InputError
        If it is something else.
    """
    if caption is not None and not isinstance(caption, str):
        raise InputError(f"the caption is of type {type(caption).__name__}", "a text")
    return caption


def factor_levels(effects: EffectSizes, factor: str) -> NDArray[np.object_]:
    """Return the level of each effect as a word, shape (k,); all that are not reported under one word.

    Blank cells (None, NaN, NaT, pandas.NA, empty text) and "not reported" are not reported. Whole numbers
    read as they are written. The word "study" stands for the studies of the effects, where there is no
    such column.

    Parameters
    ----------
    effects : EffectSizes
        Effects with the factor among the columns of `data`.
    factor : str
        The column.

    Raises
    ------
    UnknownChoiceError
        If there is no such column.

    Warns
    -----
    UnclearLevelWarning
        If levels are called "NA", "-" or the like, or differ by blanks or capitals alone: they count as
        levels.
    """
    words = ["" if is_blank(value) else as_word(value) for value in _values(effects, factor)]
    own = next((word for word in words if word.strip() and is_unreported(word)), NOT_REPORTED)
    own = NOT_REPORTED if own.casefold() in ("nan", "<na>", "nat") else own
    reported = ["" if is_unreported(word) else word for word in words]
    warn_of_unclear_levels(factor, reported, lambda i: effects.row_ids[i], 3)
    levels = np.empty(len(words), dtype=object)
    levels[:] = [own if is_unreported(word) else word for word in words]
    return levels


def _values(effects: EffectSizes, factor: str) -> Sequence[object]:
    """Return the cells of a column, or the studies."""
    columns = [] if effects.data is None else [str(name) for name in effects.data.columns]
    if factor == STUDY and STUDY not in columns:
        return studies_of(effects)
    if not columns:
        check_choice("column", factor, [STUDY])
    return list(effects.column(factor))


def natural_key(level: str) -> tuple[bool, float, str]:
    """Return what sorts levels as a reader expects: numbers by size and before words.

    Examples
    --------
    >>> sorted(["10", "2", "milk", "9"], key=natural_key)
    ['2', '9', '10', 'milk']
    """
    number = as_number(level)
    return (number is None, 0.0 if number is None else number, level)


def as_number(level: str) -> float | None:
    """Return a level as a number; None if it is a word."""
    try:
        number = float(level)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def studies_of(effects: EffectSizes) -> tuple[str, ...]:
    """Return the study of each effect; every effect is one of its own where none are given."""
    return effects.study or effects.row_ids
