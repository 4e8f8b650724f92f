"""Turning effects so that positive means benefit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.errors import ShapeError, UnknownChoiceError

Array = NDArray[np.float64]
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
    effects = np.atleast_1d(np.asarray(y, dtype=float))
    given = [better] * effects.size if isinstance(better, str) else list(better)
    if len(given) != effects.size:
        raise ShapeError(f"better has {len(given)} entries for {effects.size} effects", "one for each")
    words = [word if str(word) in BETTER else _gap(word) for word in given]
    for i, word in enumerate(words):
        if word not in BETTER:
            raise UnknownChoiceError("better", word, BETTER, f"row {i + 1}")
    signs = np.array([{"higher": 1.0, "lower": -1.0, "none": np.nan}[word] for word in words])
    return effects * signs, tuple(NO_DIRECTION if word == "none" else "" for word in words)


def _gap(word: object) -> str:
    """Return "none" for an empty cell (None, NaN, ""), any other word as it is."""
    return "none" if word is None or word != word or word == "" else str(word)
