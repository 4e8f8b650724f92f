"""Levels of repetition: what was repeated decides what a standard deviation is a spread of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, MixedRepetitionError, UnknownChoiceError
from metaexo.heterogeneity.levels import factor_levels, is_unreported

# From the smallest step to the largest; with donors the biology differs as well.
REPETITIONS = {
    "reading": "one preparation measured again",
    "preparation": "one material isolated again",
    "batch": "another production batch of the same source",
    "laboratory": "another laboratory",
    "donor": "material of other donors, patients, animals or pools",
}
COLUMN = "repetition"
OF_ONE_GROUP = ("CVLN", "SDLN")
OF_TWO_GROUPS = ("CVR", "VR", "CVRC", "VRC")
VARIABILITY = (*OF_ONE_GROUP, *OF_TWO_GROUPS)


def repetition_levels(effects: EffectSizes, column: str = COLUMN) -> NDArray[np.object_]:
    """Return the level of repetition of each effect, shape (k,).

    Parameters
    ----------
    effects : EffectSizes
        Logarithms of coefficients of variation, of standard deviations, or of their ratios.
    column : str
        Column of the levels.

    Raises
    ------
    InputError
        If the effects are of another kind.
    MixedRepetitionError
        If there is no such column.
    UnknownChoiceError
        If a word in it is not one of the levels.
    """
    if effects.measure.code not in VARIABILITY:
        raise InputError(
            f"the effects are {effects.measure.name} ({effects.measure.code}), no measure of variability",
            "one of " + ", ".join(VARIABILITY),
            'compute them with mx.effect_sizes("CVLN", mean=..., sd=..., n=...)',
        )
    if effects.data is None or column not in effects.data.columns:
        raise MixedRepetitionError(
            f"no column {column!r} says what was repeated",
            "for each standard deviation, whether it is over " + ", ".join(_phrases()),
            f'add it: effects.with_columns({column}=[...]), with "not_reported" where it is not known',
        )
    levels = factor_levels(effects, column)
    strange = [i for i, word in enumerate(levels) if not is_unreported(word) and word not in REPETITIONS]
    if strange:
        rows = [effects.row_ids[i] for i in strange]
        raise UnknownChoiceError(
            "level of repetition", levels[strange[0]], [*REPETITIONS, "not_reported"], rows
        )
    return levels


def _phrases() -> list[str]:
    return [f"a {name} ({words})" for name, words in REPETITIONS.items()]


def refuse_mixed_levels(effects: EffectSizes, factors: Sequence[str] = ()) -> None:
    """Raise if one model would mix spreads of different levels of repetition.

    Nothing is asked of effects of another kind, nor of those without a column `repetition`.

    Parameters
    ----------
    effects : EffectSizes
        The effects of one model.
    factors : sequence of str
        Columns by which the model keeps effects apart.

    Raises
    ------
    MixedRepetitionError
        If the levels differ and are no factor.
    """
    measured = effects.measure.code in VARIABILITY
    if not measured or effects.data is None or COLUMN not in effects.data.columns or COLUMN in factors:
        return
    found = list(dict.fromkeys(factor_levels(effects, COLUMN)))
    if len(found) > 1:
        raise MixedRepetitionError(
            f"the spreads are over {', '.join(found)}: they are of different things, and a method with many "
            "readings would look better than one with many preparations",
            "one level of repetition in a model",
            "use mx.heterogeneity.repeatability, which keeps the levels apart, or select one level",
        )
