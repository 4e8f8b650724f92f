"""What every figure is before it is drawn, and the way from a function that plans to one that draws."""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, cast
from weakref import WeakKeyDictionary, ref

from metaexo.calls import bound
from metaexo.errors import InputError
from metaexo.immutable import ByContents
from metaexo.plots.canvas.arguments import axes_of_figure, checked
from metaexo.plots.canvas.theme import Theme
from metaexo.readable import shows_itself

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

P = ParamSpec("P")
ROWS_PER_PAGE = 40
WIDTH = 7.0  # inches: two columns of most journals
AXES = "Returns\n-------\nmatplotlib.axes.Axes\n    `ax`, or the new Axes: those of the (first) panel."
RETURNS = re.compile(r"Returns\n-------\n.*?(?=\n\n\w+\n-+\n|\Z)", re.DOTALL)


@shows_itself
@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Plan(ByContents, ABC):
    """What a figure shows, before it is drawn.

    Attributes
    ----------
    title : str
        Line above.
    notes : tuple of str
        Lines below.
    width, height : float
        Size in inches.
    theme : Theme
        Colours, letters and habits.
    """

    title: str
    notes: tuple[str, ...]
    width: float
    height: float
    theme: Theme

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """Return what is drawn as a table, on the scale that is shown."""

    @abstractmethod
    def describe(self) -> str:
        """Return what is seen in a sentence or two, for readers who do not see it."""

    @abstractmethod
    def draw(self, ax: Axes | Figure | SubFigure | None = None) -> Axes:
        """Draw the plan.

        Parameters
        ----------
        ax : matplotlib Axes, Figure or SubFigure, optional
            Where to draw. Default: a new figure of pyplot.

        Returns
        -------
        matplotlib.axes.Axes
            `ax`, or the new Axes: those of the (first) panel.
        """

    @property
    def texts(self) -> tuple[str, ...]:
        """What is written besides title and notes and may be in any script."""
        return ()

    @property
    def alternative(self) -> str:
        """Title, description and notes as one text: the alternative text of a saved SVG."""
        return " ".join(
            part for part in (self.title and f"{self.title}.", self.describe(), *self.notes) if part
        )


_PLANS: WeakKeyDictionary[Any, list[tuple[ref[Axes], Plan]]] = WeakKeyDictionary()  # by figure
_PAGES: WeakKeyDictionary[Any, tuple[Any, ...]] = WeakKeyDictionary()


def remember(plan: Plan, ax: Axes, others: Sequence[Axes] = ()) -> Axes:
    """Keep the plan of Axes in place of an earlier one, and further pages, while their figure lives."""
    whole = whole_figure(ax)
    before = [(one, kept) for one, kept in _PLANS.get(whole, ()) if one() is not ax and _stands(one(), whole)]
    _PLANS[whole] = [*before, (ref(ax), plan)]
    if others:
        _PAGES[whole] = tuple(others)
    return ax


def _stands(ax: Axes | None, whole: Figure) -> bool:
    """Return whether Axes are still in their figure, on their own or within others."""
    return ax is not None and any(ax is one or ax in one.child_axes for one in whole.axes)


def rows_on_a_page(pages: bool | int) -> int | None:
    """Return the most rows on a page for what a user asked for; None for all on one page."""
    return None if pages is False else ROWS_PER_PAGE if pages is True else int(pages)


def further_pages(plans: Sequence[Any], draw: Callable[[Any], Axes]) -> list[Axes]:
    """Draw plans as figures of their own, many of them if need be; return their Axes."""
    import matplotlib as mpl

    with mpl.rc_context({"figure.max_open_warning": 0}):
        return [draw(plan) for plan in plans]


@checked
def pages_of(ax: Axes | Figure | SubFigure) -> tuple[Axes, ...]:
    """Return the Axes of all pages of a figure, the first one first.

    Parameters
    ----------
    ax : matplotlib Axes, Figure or SubFigure
        What ``forest(..., pages=...)`` returned.

    Returns
    -------
    tuple of matplotlib.axes.Axes
        One per page; a single one for a figure without further pages, none for an empty figure.

    Raises
    ------
    InputError
        If it is no figure, and no part of one.

    Examples
    --------
    >>> import metaexo as mx
    >>> ax = mx.plots.forest(mx.EffectSizes([0.1] * 50, [0.02] * 50), pages=20)
    >>> len(mx.plots.pages_of(ax))
    3
    """
    whole = whole_figure(ax)
    first = [ax] if hasattr(ax, "get_xlim") else whole.axes[:1]
    return (*first, *_PAGES.get(whole, ()))


@checked
def plans_of(figure: Axes | Figure | SubFigure) -> tuple[Plan, ...]:
    """Return the plans of all that metaexo drew in a figure; of Axes that were drawn anew, the last one.

    Parameters
    ----------
    figure : matplotlib Axes, Figure or SubFigure
        The figure, or any part of it.

    Returns
    -------
    tuple of Plan
        The plans, in the order in which they were drawn; ``to_frame()`` gives their numbers.

    Raises
    ------
    InputError
        If it is no figure, and no part of one.

    Examples
    --------
    >>> import metaexo as mx
    >>> ax = mx.plots.funnel(mx.EffectSizes([0.2, 0.6], [0.02, 0.05], labels=["Li 2020", "Cho 2021"]))
    >>> mx.plots.plans_of(ax)[0].to_frame().query("layer == 'points'")["label"].tolist()
    ['Li 2020', 'Cho 2021']
    """
    whole = whole_figure(figure)
    return tuple(plan for ax, plan in _PLANS.get(whole, ()) if _stands(ax(), whole))


def whole_figure(what: Any) -> Figure:
    """Return a figure, or the figure of Axes or of a part of a figure."""
    from matplotlib.figure import Figure, SubFigure

    if isinstance(what, Figure):
        return what
    if isinstance(what, SubFigure):
        return what.figure.figure
    axes_of_figure("ax", what)
    return cast("Figure", what.figure.figure)


def in_lines(
    title: str, notes: Sequence[str], room: float, theme: Theme
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a title and notes in lines no wider than `room` points."""
    lines = theme.wrap(title, room, bold=True) if title else ()
    return lines, tuple(line for note in notes for line in theme.wrap(note, room, size=theme.small))


def is_axes(ax: object) -> bool:
    """Return whether a place to draw is Axes of the user's, where notes are not drawn."""
    from matplotlib.axes import Axes

    return isinstance(ax, Axes)


def size_of(ax: Any) -> tuple[float, float]:
    """Return the size in inches of Axes, of a figure or of a part of one."""
    from matplotlib.axes import Axes

    dpi = whole_figure(ax).dpi
    if isinstance(ax, Axes):
        placed = ax.get_axes_locator()
        frame = placed.frame if hasattr(placed, "frame") else ax.get_position()
        box = frame.transformed(ax.figure.transSubfigure)
    else:
        box = ax.bbox
    return float(box.width / dpi), float(box.height / dpi)


def drawn(make: Callable[P, Plan], summary: str) -> Callable[P, Axes]:
    """Return the function that draws what another one plans; it has the same arguments.

    `make`: makes the plan; it is named for the figure and "_plan". Its first argument may also be a plan,
        which is drawn as it is.
    `summary`: first line of the docstring; the rest is that of `make`.
    """
    name = make.__name__.removesuffix("_plan")
    signature = inspect.signature(make)
    first = next(iter(signature.parameters))

    @wraps(make)
    def draw(*args: P.args, **kwargs: P.kwargs) -> Axes:
        given = bound(draw, _needing_one(signature, args, kwargs), args, kwargs).arguments
        what = given[first]
        if isinstance(what, Plan):
            others = [word for word in given if word not in (first, "ax")]
            if others:
                raise InputError(
                    f"a plan, and with it {', '.join(others)}",
                    "a plan alone, which is drawn as it is",
                    "make the plan anew with these choices",
                )
            return what.draw(given.get("ax"))
        return make(*args, **kwargs).draw(given.get("ax"))

    draw.__name__ = draw.__qualname__ = name
    draw.__doc__ = RETURNS.sub(lambda _: AXES, inspect.cleandoc(make.__doc__ or ""), count=1)
    draw.__doc__ = re.sub(r"\A.*?(?=\n\n)", lambda _: summary, draw.__doc__, count=1, flags=re.DOTALL)
    draw.__signature__ = signature.replace(return_annotation="Axes")  # type: ignore[attr-defined]
    draw.__annotations__ = {**make.__annotations__, "return": "Axes"}
    return draw


def _needing_one(signature: inspect.Signature, args: Any, kwargs: Any) -> inspect.Signature:
    """Return the signature with only its first argument required, if that one is a plan."""
    first, *others = signature.parameters.values()
    if not isinstance(args[0] if args else kwargs.get(first.name), Plan):
        return signature
    return signature.replace(
        parameters=[first, *(p.replace(default=None) if p.default is p.empty else p for p in others)]
    )
