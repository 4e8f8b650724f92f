"""Grids of what can be estimated: two factors crossed, and groups of levels that no study links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.heterogeneity import AttributionResults, Estimability
from metaexo.heterogeneity import estimability as find_estimability
from metaexo.inputs import describe
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.fonts import contrast
from metaexo.plots.canvas.legend import Key
from metaexo.plots.canvas.plan import WIDTH, drawn, size_of
from metaexo.plots.canvas.tables import levels_of
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import title_of, words
from metaexo.plots.grids.grid import Cell, Grid, size_words, sized

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

FACTORS = ("source", "isolation")
CELL = (30.0, 26.0)
NUMBER_ROOM = 8.0
# How much of its group's colour a cell of one, of two, and of three studies or more has.
TINTS = {1: 0.25, 2: 0.55, 3: 1.0}
STATES = {1: "one study", 2: "two: a mean", 3: "three or more: a mean and heterogeneity"}


@checked
def estimability_plan(
    source: EffectSizes | AttributionResults | Estimability,
    by: Sequence[str] = FACTORS,
    *,
    wording: Mapping[str, str] | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Grid:
    """Return what a grid of two crossed factors shows, without drawing it.

    Use it before a model with both factors: each cell has its studies (m) and effects (k); the shade says
    what can be estimated within it, the colour to which group of linked levels it belongs. Only with a
    single group are the two factors separately estimable.

    Parameters
    ----------
    source : EffectSizes, AttributionResults or Estimability
        What is shown. Of an attribution to several factors the first two are.
    by : two str
        Columns of the effects, for rows and columns of the grid; for effects only.
    wording : mapping of str to str, optional
        Words for levels.

    Returns
    -------
    Grid
        Cells; ``to_frame()`` has row, column, k, m, group and estimable of each.

    Raises
    ------
    InputError
        If there are not two factors, or the columns do not fit.
    UnknownChoiceError
        If a factor is not a column.

    References
    ----------
    Weeks, D. L., Williams, D. R. (1964). https://doi.org/10.1080/00401706.1964.10490188

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> data = pd.DataFrame({"source": ["plant"] * 3 + ["milk"] * 3, "isolation": ["SEC"] * 3 + ["UC"] * 3})
    >>> plan = mx.plots.estimability_plan(mx.EffectSizes([1, 2, 3, 4, 5, 6], [0.1] * 6, data=data))
    >>> plan.to_frame().query("m > 0")[["row", "column", "m", "group"]].values.tolist()
    [['milk', 'UC', 3, 1], ['plant', 'SEC', 3, 2]]
    >>> ax = mx.plots.estimability(plan)
    """
    found, look = _read(source, tuple(by)), get_theme(theme, font_size)
    orders = [_order(found, side) for side in (0, 1)]
    by_level = {cell.levels: cell for cell in found.cells}
    numbered = len(found.groups) > 1
    placed = [[by_level[row, column] for column in orders[1]] for row in orders[0]]
    names = [tuple(words(level, wording or {}) for level in order) for order in orders]
    records = [
        (row, column, cell.k, cell.m, None if cell.group is None else cell.group + 1, cell.estimable)
        for row, cells in zip(orders[0], placed, strict=True)
        for column, cell in zip(orders[1], cells, strict=True)
    ]
    titles = [title_of(factor) for factor in found.by]
    return sized(
        Grid(
            title=title,
            notes=(*_notes(found), *notes),
            width=width if ax is None else size_of(ax)[0],
            height=1.0,
            theme=look,
            rows=names[0],
            columns=names[1],
            cells=tuple(tuple(_cell(cell, numbered, look) for cell in cells) for cells in placed),
            row_title=titles[0],
            column_title=titles[1],
            keys=tuple(_keys(found, look)),
            fields=("row", "column", "k", "m", "group", "estimable"),
            records=tuple(records),
            types={"group": "Int64"},
            cell=(CELL[0], CELL[1] + NUMBER_ROOM * numbered),
            summary=f"Studies by {titles[0].lower()} and {titles[1].lower()}, {size_words(*names)}.",
        ),
        height,
    )


def _read(source: EffectSizes | AttributionResults | Estimability, by: tuple[str, ...]) -> Estimability:
    """Return what is shown, with its first two factors; raises InputError if there are not two factors."""
    if isinstance(source, Estimability):
        found = source
    elif isinstance(source, AttributionResults):
        found = source.estimability
        if len(found.by) > 2:
            found = find_estimability(source.effects, found.by[:2], found.min_studies)
    elif isinstance(source, EffectSizes):
        found = find_estimability(source, by)
    else:
        raise InputError(
            f"a grid cannot be made of {describe(source)}",
            "EffectSizes, or what mx.attribute_heterogeneity(...) returns",
        )
    if len(found.by) != 2:
        raise InputError(f"a grid of the factors {', '.join(found.by)}", "two factors, rows and columns")
    return found


def _order(found: Estimability, side: int) -> list[str]:
    """Return the levels of a factor, those of the largest group and of most studies first."""
    group, studies = dict[str, int](), dict[str, int]()
    for cell in found.cells:
        level = cell.levels[side]
        studies[level] = studies.get(level, 0) + cell.m
        if cell.group is not None:
            group[level] = cell.group
    usual = levels_of(studies)
    return sorted(studies, key=lambda level: (group.get(level, len(studies)), usual.index(level)))


def _cell(cell: Any, numbered: bool, theme: Theme) -> Cell:
    """Return the cell of two levels: studies, effects, and the number of its group if there are several."""
    if cell.m == 0:
        return Cell(lines=("0",), bold=False)
    aside = cell.group is None
    fill = theme.track if aside else theme.tint(TINTS[min(cell.m, 3)], _group_color(cell.group, theme))
    lines = tuple(f"({text})" if aside else text for text in (f"m = {cell.m}", f"k = {cell.k}"))
    corner = str(cell.group + 1) if numbered and not aside else ""
    return Cell(fill=fill, lines=lines, bold=not aside, corner=corner)


def _group_color(group: int, theme: Theme) -> str:
    """Return the colour of a group; none of them is that of the ink."""
    colors = [color for color in theme.palette if contrast(color, theme.ink) > 1.2]
    return colors[group % len(colors)]


def _keys(found: Estimability, theme: Theme) -> list[Key]:
    """Return the legend: shades, groups that no study links, what is set aside."""
    groups = range(len(found.groups))
    used = {min(cell.m, 3) for cell in found.cells if cell.group is not None}
    base = _group_color(0, theme) if len(groups) == 1 else theme.grey
    keys = [Key(label=STATES[m], color=theme.tint(TINTS[m], base), shape="area") for m in sorted(used)]
    if len(groups) > 1:
        keys += [
            Key(label=f"linked group {g + 1}", color=_group_color(g, theme), shape="area") for g in groups
        ]
    if any(cell.m and cell.group is None for cell in found.cells):
        keys.append(Key(label="set aside: a level of too few studies", color="track", shape="area"))
    return keys


def _notes(found: Estimability) -> list[str]:
    """Return what the grid tells, below it."""
    first = "m: studies; k: effects."
    if any(cell.m and cell.group is None for cell in found.cells):
        first += " In brackets: set aside."
    if len(found.groups) > 1:
        first += " The number in a corner is that of the linked group."
    return [first, *(f"{line[:1].upper()}{line[1:]}." for line in found.words()[1:])]


estimability = drawn(
    estimability_plan, "Draw a grid of two crossed factors and of what can be estimated from it."
)
