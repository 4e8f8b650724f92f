"""Turning effects so that positive means benefit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from metaexo.errors import UnknownChoiceError
from metaexo.inputs import check_aligned, is_blank, read_entries, read_numbers
from metaexo.types import Array

BETTER = ("higher", "lower", "none")
NO_DIRECTION = "the sheet does not say which direction is the benefit"


def orient(y: ArrayLike, better: Sequence[str] | str) -> tuple[Array, tuple[str, ...]]:
    """Turn effects so that positive means benefit.

    Use it on effects that are zero when nothing happens (differences, log ratios) before outcomes with
    different directions meet in one analysis. The sampling variance does not change.

    Parameters
    ----------
    y : array_like, shape (k,)
        Effects.
    better : sequence of str or str
        "higher" keeps the sign, "lower" changes it, "none" (or an empty cell) has no answer.

    Returns
    -------
    y : ndarray, shape (k,)
        Effects with positive for benefit; NaN where the direction is not told.
    reasons : tuple of str
        Why a row has no oriented effect; "" where it has one.

    Raises
    ------
    UnknownChoiceError
        If a word is none of the three.

    Examples
    --------
    >>> turned, reasons = orient([0.5, 0.5, 0.5], ["higher", "lower", "none"])
    >>> turned
    array([ 0.5, -0.5,  nan])
    >>> reasons[2]
    'the sheet does not say which direction is the benefit'
    """
    check_aligned(y=y, better=better)
    effects = read_numbers(y, "y", ndim=1)
    given = (
        [better] * effects.size if isinstance(better, str) else read_entries(better, "better", effects.size)
    )
    words = ["none" if is_blank(word) else str(word) for word in given]
    for i, word in enumerate(words):
        if word not in BETTER:
            raise UnknownChoiceError("better", word, BETTER, f"row {i + 1}")
    signs = np.array([{"higher": 1.0, "lower": -1.0, "none": np.nan}[word] for word in words])
    return effects * signs, tuple(NO_DIRECTION if word == "none" else "" for word in words)
