"""Levels of factors, and studies that do not report theirs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.effect_sizes import EffectSizes

NOT_REPORTED = "not reported"


def is_unreported(level: str) -> bool:
    """Say whether a level stands for a study that does not report it.

    Examples
    --------
    >>> is_unreported("Not_reported"), is_unreported("plant")
    (True, False)
    """
    return level.replace("_", " ").strip().casefold() in (NOT_REPORTED, "")


def factor_levels(effects: EffectSizes, factor: str) -> NDArray[np.object_]:
    """Return the level of each effect as a word, shape (k,); all that are not reported under one word.

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
    """
    words = effects.column(factor).fillna("").astype(str).tolist()
    own = next((word for word in words if word.strip() and is_unreported(word)), NOT_REPORTED)
    levels = np.empty(len(words), dtype=object)
    levels[:] = [own if is_unreported(word) else word for word in words]
    return levels


def studies_of(effects: EffectSizes) -> tuple[str, ...]:
    """Return the study of each effect; every effect is one of its own where none are given."""
    return effects.study or effects.row_ids
