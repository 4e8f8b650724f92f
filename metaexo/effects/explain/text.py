"""The text of an explanation: inputs, steps in blocks, result."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaexo.effects.derivation import Derivation
from metaexo.effects.formulas import MEANINGS, Line, computed, filled, readable, shown
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


@dataclass(frozen=True, slots=True)
class Explanation:
    """How one effect came about; `str()` gives the text.

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
        Conversions, then the effect and its sampling variance, step by step; empty where the steps are not
        written down.
    y, v : float
        Effect and sampling variance, as they stand in the effects.
    turned : bool
        Whether the sign was changed so that positive means benefit.
    shown_as : str
        The effect on the display scale, with a normal interval.
    remark : str
        Why there are no steps; empty where there are.
    """

    row: str
    label: str
    measure: Measure
    mark: Derivation
    inputs: tuple[Input, ...]
    blocks: tuple[Block, ...]
    y: float
    v: float
    turned: bool
    shown_as: str
    remark: str = ""

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in order."""
        return tuple(step for block in self.blocks for step in block.steps)

    @printed
    def __str__(self) -> str:
        parts = [f"{self.row}, {self.label}" if self.label != self.row else self.row]
        parts.append(f"{self.measure.code}: {self.measure.name}; {HOW[self.mark.how]}")
        parts += [f"note: {self.mark.note}"] if self.mark.note else []
        parts += listed(self.inputs)
        parts += [str(block) for block in self.blocks]
        parts += [self.remark, f"  {self.measure.formula()}"] if self.remark else []
        parts += meanings(self.steps)
        if self.turned:
            parts.append(f"lower is better: the sign is changed, y = {shown(self.y)}")
        parts.append(f"result: y = {shown(self.y)}, v = {shown(self.v)}, SE = {shown(math.sqrt(self.v))}")
        parts.append(f"shown as: {self.shown_as}")
        return "\n".join(parts)


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


def meanings(steps: Sequence[Step]) -> list[str]:
    """Return what the functions in these steps are."""
    words = " ".join(step.formula for step in steps)
    named = set(re.findall(r"[A-Za-z_]\w*(?=\s*\()", words))
    return [f"where {MEANINGS[name]}" for name in MEANINGS if name in named]
