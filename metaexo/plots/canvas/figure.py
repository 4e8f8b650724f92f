"""What all kinds of figures share: what stands around a panel, and the way from a plan to Axes.

A kind of figure has a function that makes its plan, and another that makes a page of the plan. The function
that draws it follows from these two: it has the arguments of the first, by name, and `ax`.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from metaexo.errors import InputError
from metaexo.plots.canvas.arguments import bind
from metaexo.plots.canvas.canvas import draw
from metaexo.plots.canvas.fonts import MARGIN
from metaexo.plots.canvas.page import (
    Item,
    Key,
    Page,
    legend_rows,
    legend_rows_height,
    legend_rows_items,
    note_items,
    note_lines,
    notes_height,
    title_height,
    title_items,
    title_lines,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PlanKind = TypeVar("PlanKind", bound="Plan")
SECTIONS = re.compile(r"\n\n(?=(?:Parameters|Returns|Raises|Notes|References|Examples)\n-+\n)")
AX = """ax : matplotlib.axes.Axes, optional
    Where to draw: the whole figure takes the place of these Axes, and they become its panel. Axes smaller
    than the plan shrink everything alike. Default: a figure of the planned size, apart from pyplot."""
AXES = "Returns\n-------\nmatplotlib.axes.Axes\n    `ax`, or the new Axes, which are those of the panel."


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What stands around the panel of a figure; places are points from the upper left corner.

    Attributes
    ----------
    title, notes : tuple of str
        Lines above and below.
    keys : tuple of tuple of Key
        Rows of the legend.
    width, height : float
        Size of the figure.
    """

    title: tuple[str, ...]
    notes: tuple[str, ...]
    keys: tuple[tuple[Key, ...], ...] = ()
    width: float
    height: float = 0.0

    @property
    def top(self) -> float:
        """Where title and legend end."""
        return MARGIN + title_height(self.title) + legend_rows_height(self.keys)

    def closed(self, bottom: float) -> dict[str, Any]:
        """Return what stands around a panel, by name, with the height of a figure whose notes begin there."""
        height = float(math.ceil(bottom + notes_height(self.notes)))
        around = {"title": self.title, "notes": self.notes, "keys": self.keys, "width": self.width}
        return around | {"height": height}

    def with_notes(self, before: Sequence[str], now: Sequence[str]) -> Plan:
        """Return what stands around the panel when the last notes are others than before."""
        kept = len(self.notes) - len(note_lines(before, self.width))
        notes = (*self.notes[:kept], *note_lines(now, self.width))
        more = float(math.ceil(notes_height(notes) - notes_height(self.notes)))
        height = self.height + more
        return Plan(title=self.title, notes=notes, keys=self.keys, width=self.width, height=height)

    def items_above(self) -> list[Item]:
        """Return title and legend."""
        return title_items(self.title) + legend_rows_items(self.keys, MARGIN + title_height(self.title))

    def items_below(self) -> list[Item]:
        """Return the notes."""
        return note_items(self.notes, self.height)


def surround(title: str, keys: Sequence[Key], notes: Sequence[str], width: float) -> Plan:
    """Return what stands around a panel on a page of a width in points; its height is not known yet."""
    return Plan(
        title=title_lines(title, width),
        notes=note_lines(notes, width),
        keys=legend_rows(keys, width),
        width=width,
    )


def drawing(
    make: Callable[..., PlanKind],
    kind: type[PlanKind],
    page: Callable[[PlanKind], Page],
    summary: str,
    *,
    at_limits: Callable[[PlanKind, float, float, float, float], PlanKind] | None = None,
    fixed: bool = False,
) -> Callable[..., Axes]:
    """Return the function that draws what another one plans.

    `make`: makes the plan; it is named for the figure and "_plan".
    `page`: makes a page of a plan.
    `summary`: first line of the docstring; the rest is that of `make`.
    `at_limits`: returns the plan for other limits of the Axes, as shown: left, right, bottom, top. With it
        the figure is drawn anew after `ax.set_xlim` and `ax.set_ylim`; without it what leaves the panel is
        clipped.
    `fixed`: whether the limits of the Axes cannot be changed.
    """
    name = make.__name__.removesuffix("_plan")
    signature = _with_ax(inspect.signature(make))
    shown = next(iter(signature.parameters))

    def drawn(*args: Any, **kwargs: Any) -> Axes:
        given = bind(name, signature, args, kwargs).arguments
        ax, plan = given.pop("ax", None), given[shown]
        if not isinstance(plan, kind):
            plan = make(**given)
        elif len(given) > 1:
            raise InputError(
                f"a plan, and with it {', '.join(word for word in given if word != shown)}",
                "a plan alone, which is drawn as it is",
                "make the plan anew with these choices",
            )
        again = None if at_limits is None else lambda *ends: page(at_limits(plan, *ends))
        return draw(page(plan), ax, again, fixed)

    drawn.__name__ = drawn.__qualname__ = name
    drawn.__module__ = make.__module__
    drawn.__doc__ = _docstring(make, kind, signature, summary)
    drawn.__signature__ = signature  # type: ignore[attr-defined]
    return drawn


def passing(
    other: Callable[..., Any], without: Sequence[str] = ()
) -> Callable[[Callable[..., PlanKind]], Callable[..., PlanKind]]:
    """Give a function that passes `**choices` on to another one their names and descriptions.

    What the function has itself, and what is `without` meaning there, is not among them.
    """

    def describe(function: Callable[..., PlanKind]) -> Callable[..., PlanKind]:
        own = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
        settled = {*(p.name for p in own), *without}
        named = inspect.signature(other).parameters
        free = {n: p for n, p in named.items() if p.kind is p.KEYWORD_ONLY and n not in settled}
        sections = _sections(function)
        described = (block for block in _blocks(_sections(other)[1]) if free.keys() & _names(block))
        blocks = (block for block in _blocks(sections[1]) if not block.startswith("**"))
        sections[1] = "\n".join(["Parameters\n----------", *blocks, *described])
        function.__doc__ = "\n\n".join(sections)
        function.__signature__ = inspect.Signature([*own, *free.values()])  # type: ignore[attr-defined]
        return function

    return describe


def _with_ax(signature: inspect.Signature) -> inspect.Signature:
    """Return a signature with `ax` behind the arguments that need no name; a plan needs none of these."""
    first, *others = signature.parameters.values()
    places = [p for p in others if p.kind is not p.KEYWORD_ONLY]
    optional = [p.replace(default="") if p.default is p.empty else p for p in places]
    ax = inspect.Parameter("ax", first.POSITIONAL_OR_KEYWORD, default=None, annotation="Axes | None")
    named = [p for p in others if p.kind is p.KEYWORD_ONLY]
    return inspect.Signature([first, *optional, ax, *named], return_annotation="Axes")


def _docstring(make: Callable[..., Any], kind: type, signature: inspect.Signature, summary: str) -> str:
    head, parameters, _, *rest = _sections(make)
    usage = head.partition("\n\n")[2]
    blocks = _blocks(parameters)
    blocks[0] = re.sub(r"\n", f", or {kind.__name__}\n", blocks[0], count=1)
    places = {p.name for p in signature.parameters.values() if p.kind is not p.KEYWORD_ONLY}
    at = sum(bool(_names(block) & places) for block in blocks)
    parameters = "\n".join(["Parameters\n----------", *blocks[:at], AX, *blocks[at:]])
    opening = "\n\n".join(part for part in (summary, usage, "A plan is drawn as it is.") if part)
    return "\n\n".join([opening, parameters, AXES, *rest])


def _sections(function: Callable[..., Any]) -> list[str]:
    """Return a docstring in parts: what it opens with, its parameters, and the others."""
    return SECTIONS.split(inspect.cleandoc(function.__doc__ or ""))


def _blocks(parameters: str) -> list[str]:
    """Return the descriptions of parameters one by one."""
    body = parameters.split("\n", 2)[2]
    return re.split(r"\n(?=\S)", body)


def _names(block: str) -> set[str]:
    return set(block.partition(" : ")[0].split(", "))
