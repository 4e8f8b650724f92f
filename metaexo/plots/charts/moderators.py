"""What a fit says at values of its moderators: what others are held at, means, levels of factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.formatting import shown, ten_digits
from metaexo.inputs import as_word, check_number
from metaexo.models.linear.design import Design
from metaexo.models.linear.moderators import numbers_in
from metaexo.models.linear.results import FitResults
from metaexo.plots.canvas.words import name_of, words
from metaexo.plots.charts.effects import estimate_words
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

Held = Mapping[str, float | str]


@dataclass(frozen=True, slots=True)
class Moderators:
    """The moderators of a fit in their order; a value per effect, and the levels of factors, base first."""

    names: tuple[str, ...]
    numbers: Mapping[str, Array]
    factors: Mapping[str, tuple[str, ...]]  # levels in words
    cells: Mapping[str, tuple[str, ...]]  # levels in words, one per effect

    def need(self, name: str) -> str:
        """Return the name of a moderator, or raise UnknownChoiceError if the fit does not have it."""
        if name not in self.names:
            raise UnknownChoiceError("moderator", name, self.names)
        return name


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean effect with its intervals on the scale that is shown; NaN where there is none."""

    estimate: float
    low: float
    high: float
    prediction_low: float
    prediction_high: float

    @classmethod
    def of(cls, numbers: Sequence[float | None]) -> Mean:
        """Return the mean of estimate, low, high and the ends of the prediction interval."""
        return cls(*(float("nan") if x is None else float(x) for x in numbers))


@dataclass(frozen=True, slots=True)
class Level:
    """Effects that stand together: their name, their positions, and their mean if there is one."""

    name: str
    rows: Index
    mean: Mean | None


def level_in_words(one: Level, level: float) -> str:
    """Return a level with its mean, for readers who do not see it."""
    if one.mean is None:
        return f"{one.name} without a pooled effect"
    return f"{one.name} {estimate_words((one.mean.estimate, one.mean.low, one.mean.high), level)}"


def moderators_of(fit: FitResults) -> Moderators:
    """Return the moderators of a fit, those of the scale of a location-scale model included."""
    numbers: dict[str, Array] = {}
    factors: dict[str, tuple[str, ...]] = {}
    cells: dict[str, tuple[str, ...]] = {}
    for design in (fit.design, getattr(fit, "scale_design", None)):
        if design is None or design.x is None:
            continue
        if design.encoding is None:
            numbers |= _numbers_of(design)
            continue
        formula, data = design.encoding.formula, cast("Any", fit.effects.data)
        own = {formula.parts[i].columns[0]: factor for i, factor in design.encoding.factors.items()}
        counted = {
            name
            for i, part in enumerate(formula.parts)
            if i not in design.encoding.factors
            for name in part.columns
        }
        for name in formula.columns:
            if name in counted:
                numbers[name] = numbers_in(data, name)
            else:
                factors[name] = own[name].names
                cells[name] = tuple(as_word(cell) for cell in data[name].tolist())
    return Moderators(tuple(dict.fromkeys([*fit.design.needed, *numbers, *factors])), numbers, factors, cells)


def _numbers_of(design: Design) -> dict[str, Array]:
    """Return the columns of moderators that were handed in as numbers."""
    whole = design.x if design.full is None else design.full.x
    assert whole is not None
    return {name: whole[:, j + design.added] for j, name in enumerate(design.moderators)}


def held_values(found: Moderators, free: Sequence[str], at: Held | None) -> dict[str, float | str]:
    """Return the values that moderators are held at: numbers at their mean, factors at their base level.

    `free`: moderators that are not held.
    `at`: other values, by name.
    Raises UnknownChoiceError for a moderator or a level that is not there.
    """
    others = [name for name in found.names if name not in free]
    held: dict[str, float | str] = {
        name: float(found.numbers[name].mean()) if name in found.numbers else found.factors[name][0]
        for name in others
    }
    for name, value in (at or {}).items():
        if name in free:
            raise InputError(
                f"at= holds {name}, whose values the chart shows",
                f"values of {', '.join(others) or 'others'}",
            )
        if name not in others:
            raise UnknownChoiceError("moderator", name, others)
        if name in found.numbers:
            held[name] = check_number(f"at[{name!r}]", value)
        elif as_word(value) in found.factors[name]:
            held[name] = as_word(value)
        else:
            raise UnknownChoiceError(f"level of {name}", value, found.factors[name])
    return held


def held_note(found: Moderators, held: Held, at: Held | None, wording: Mapping[str, str]) -> tuple[str, ...]:
    """Return what other moderators are held at, as a note."""
    if not held:
        return ()
    parts = []
    for name, value in held.items():
        number = name in found.numbers
        how = "" if name in (at or {}) else " (mean)" if number else " (reference)"
        said = shown(ten_digits(float(value)), 2) if number else words(value, wording)
        parts.append(f"{name_of(name)} {said}{how}")
    return (f"Other moderators are held at: {', '.join(parts)}.",)


def new_table(held: Held, **columns: Sequence[float] | Sequence[str] | Array) -> pd.DataFrame:
    """Return rows of moderators: columns as they are, and values that are held in every row."""
    import pandas as pd

    rows = len(next(iter(columns.values())))
    return pd.DataFrame(dict(columns) | {name: [value] * rows for name, value in held.items()})


def means_at(fit: Any, new: pd.DataFrame, level: float | None) -> dict[str, Array]:
    """Return mean effects and intervals on the scale that is shown, within the range of the measure."""
    es = cast("EffectSizes", fit.effects)
    table = fit.predict(new, level=level, scale="measure")
    return {
        name: np.clip(table[name].to_numpy(dtype=float), *es.measure.possible)
        for name in ("estimate", "low", "high", "prediction_low", "prediction_high")
    }


def levels_with_means(
    fit: Any, found: Moderators, factor: str, held: Held, level: float | None, wording: Mapping[str, str]
) -> list[Level]:
    """Return the levels of a factor with their effects and predicted means, others held."""
    names = found.factors[factor]
    numbers = means_at(fit, new_table(held, **{factor: names}), level)
    cells = np.array(found.cells[factor], dtype=object)
    return [
        Level(words(name, wording), np.flatnonzero(cells == name), Mean.of(row))
        for name, row in zip(names, zip(*numbers.values(), strict=True), strict=True)
    ]
