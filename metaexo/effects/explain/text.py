"""The text of an explanation: inputs, steps in blocks, result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaexo.effects.derivation import Derivation
from metaexo.effects.formulas import Line, computed, filled, meanings, readable, shown
from metaexo.effects.measure import Measure
from metaexo.formatting import printed

WIDTH = 100
HOW = {"reported": "as reported", "converted": "converted", "assumed": "rests on an assumption"}


@dataclass(frozen=True, slots=True)
class Input:
    """One number that went in: its name, its sign in formulas, its value, and whether it was assumed."""

    name: str
    sign: str
    value: float
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One line: a sign, its formula, the formula with the numbers put in, and its value."""

    sign: str
    formula: str
    filled: str
    value: float

    @printed
    def __str__(self) -> str:
        value = shown(self.value)
        filled = value if self.filled == f"({value})" else self.filled
        parts = list(dict.fromkeys([self.formula, filled, value]))
        one = f"  {self.sign} = {' = '.join(parts)}"
        if len(one) <= WIDTH:
            return one
        blank = " " * (len(self.sign) + 2)
        return "\n".join([f"  {self.sign} = {parts[0]}", *(f"{blank} = {part}" for part in parts[1:])])


@dataclass(frozen=True, slots=True)
class Block:
    """Steps that belong together, with the paper that they come from."""

    title: str
    reference: str
    steps: tuple[Step, ...]

    @printed
    def __str__(self) -> str:
        source = f" (doi:{self.reference})" if self.reference else ""
        return "\n".join([f"{self.title}{source}", *map(str, self.steps)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What every explanation of a row has.

    Attributes
    ----------
    row : str
        The row: the line of its sheet, or its number.
    label : str
        What a reader sees of the row.
    measure : Measure
        The measure.
    mark : Derivation
        Whether the inputs were reported, converted or assumed.
    inputs : tuple of Input
        The numbers that went in.
    blocks : tuple of Block
        Conversions, then what was computed, step by step; empty where the steps are not known.
    turned : bool
        Whether the sign was changed so that positive means benefit.
    shown_as : str
        The effect on the display scale, with an interval.
    remark : str
        Why there are no steps; empty where there are.
    """

    row: str
    label: str
    measure: Measure
    mark: Derivation
    inputs: tuple[Input, ...] = ()
    blocks: tuple[Block, ...] = ()
    turned: bool = False
    shown_as: str
    remark: str = ""

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in order."""
        return tuple(step for block in self.blocks for step in block.steps)

    def text(self, origin: str, remark: Sequence[str], turned: str, result: str) -> str:
        """Return the whole text, from the parts that differ between kinds of explanations."""
        parts = [f"{self.row}, {self.label}" if self.label != self.row else self.row]
        parts.append(f"{self.measure.code}: {self.measure.name}; {origin}")
        parts += [f"note: {self.mark.note}"] if self.mark.note else []
        parts += listed(self.inputs)
        parts += [str(block) for block in self.blocks]
        parts += remark if self.remark else []
        parts += meanings(" ".join(step.formula for step in self.steps))
        parts += [turned] if self.turned else []
        return "\n".join([*parts, result, f"shown as: {self.shown_as}"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(Explained):
    """How one effect came about; `str()` gives the text. See :class:`Explained` for the other attributes.

    Attributes
    ----------
    y, v : float
        Effect and sampling variance, as they stand in the effects.
    """

    y: float
    v: float

    @printed
    def __str__(self) -> str:
        return self.text(
            HOW[self.mark.how],
            (self.remark, f"  {self.measure.formula()}"),
            f"lower is better: the sign is changed, y = {shown(self.y)}",
            f"result: y = {shown(self.y)}, v = {shown(self.v)}, SE = {shown(math.sqrt(self.v))}",
        )


def steps_of(lines: Sequence[Line], known: Mapping[str, Any], at: int) -> tuple[Step, ...]:
    """Return the lines of one row with its numbers; a sign that is set twice has its value of the moment."""
    shape = shape_of(known)
    here = {sign: float(np.broadcast_to(value, shape)[at]) for sign, value in known.items()}
    moving, steps = dict(known), []
    for line in lines:
        text = line.chosen(here)
        numbers = readable(filled(text, here))
        moving = computed([line], moving)
        here[line.sign] = float(np.broadcast_to(moving[line.sign], shape)[at])
        steps.append(Step(line.sign, readable(text), numbers, here[line.sign]))
    return tuple(steps)


def shape_of(known: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the common shape of the known values, one row at least."""
    return np.broadcast_shapes(*(np.shape(value) for value in known.values()), (1,))


def listed(inputs: Sequence[Input]) -> list[str]:
    """Return the lines that list inputs with their signs and values."""
    if not inputs:
        return []
    width = max(len(entry.name) for entry in inputs)
    lines = []
    for entry in inputs:
        sign = f"{entry.sign} = " if entry.sign != entry.name else "= "
        end = "  (assumed)" if entry.assumed else ""
        lines.append(f"{entry.name.ljust(width)}  {sign}{shown(entry.value)}{end}")
    return lines
