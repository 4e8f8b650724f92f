"""How many studies report a thing: shares by kind of access, at the least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.formatting import NOT_REPORTED, percent, plural, ten_digits
from metaexo.plots.canvas.arguments import Column, checked
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.tables import column_of, is_reported, levels_of
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import title_of, words
from metaexo.plots.table.layout import lay_out
from metaexo.plots.table.plan import TablePlan
from metaexo.plots.table.rows import LABEL, AxisSpec, Mark, Row, Table, group_hatch

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

LOWER_BOUND = "Shares are lower bounds: what was not seen may still be reported in the paper."
BAR, INDENT = 7.0, 8.0
GROUP, REPORTED = "group", "reported"


@checked
def reported_shares_plan(
    table: pd.DataFrame,
    items: Sequence[str] | Mapping[str, str],
    *,
    by: str | Sequence[str] | None = None,
    by_order: Sequence[str] | None = None,
    head_order: Sequence[str] | None = None,
    wording: Mapping[str, str] | None = None,
    titles: Mapping[str, str] | None = None,
    lower_bound: bool = True,
    row_height: float | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> TablePlan:
    """Return what a figure of shares of studies that report something shows, without drawing it.

    Use it to show how completely studies report, separated by how much of each study could be read.

    Parameters
    ----------
    table : DataFrame
        One row per study.
    items : sequence or mapping of str
        Columns of the table; a mapping gives their names in words. A study reports an item if its cell is
        True, or is filled with something else than "not reported", "unclear" or "none".
    by : str or two str, optional
        Column whose values make a bar each, with a colour and a hatch, for example the kind of access; with
        two, the values of the first stand before those of the second.
    by_order, head_order : sequence of str, optional
        Order of these values, and of those of the first column of two. Default: the commonest first.
    wording : mapping of str to str, optional
        Words for the values of `by`.
    titles : mapping of str to str, optional
        Headings of the columns of `by`, by their names. Default: the names in words.
    lower_bound : bool
        Whether to say below that the shares are lower bounds.
    row_height : float, optional
        Height of a bar with the room around it, in points.

    Returns
    -------
    TablePlan
        Bars in per cent with their places. Its table has the columns item, head, reported and total.

    Raises
    ------
    UnknownChoiceError
        If a column is not in the table.
    InputError
        If the table or the items are empty.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame({"isolation": ["UC", "not_reported"], "access": ["full", "abstract"]})
    >>> plan = mx.plots.reported_shares_plan(table, ["isolation"], by="access")
    >>> [row.cells["reported"][0] for row in plan.rows if row.kind == "study"]
    ['0 of 1 (0%)', '1 of 1 (100%)']
    >>> ax = mx.plots.reported_shares(table, ["isolation"])
    """
    if len(table) == 0 or len(items) == 0:
        raise InputError(
            f"a table of {len(table)} rows and {len(items)} items", "at least one study and one item"
        )
    named = dict(items) if isinstance(items, Mapping) else {item: title_of(item) for item in items}
    keys = [by] if isinstance(by, str) else list(by or ())
    for key in titles or {}:
        if key not in keys:
            raise UnknownChoiceError("column in titles", key, keys)
    groups = _groups(table, keys, (head_order, by_order), wording or {})
    rows: list[Row] = []
    for column, name in named.items():
        reported = column_of(table, column).map(is_reported).to_numpy(dtype=bool)
        if rows and keys:
            rows.append(Row(id=f"spacer:{column}", kind="spacer"))
        rows += _rows(column, name, [(group, int(reported[list(group.rows)].sum())) for group in groups])
    headings = [(titles or {}).get(key, title_of(key)) for key in keys] or ["Item"]
    columns = [Column(LABEL, headings[0], letters=200), *(Column(GROUP, name) for name in headings[1:])]
    made = Table(
        rows=tuple(rows),
        columns=(*columns, Column(REPORTED, "Reported", "number", side="right")),
        axis=AxisSpec(label="Share of studies (%)", limits=(0.0, 100.0)),
        theme=get_theme(theme, font_size),
        title=title,
        notes=(*([LOWER_BOUND] if lower_bound else []), *notes),
        row_height=row_height,
        summary=f"{plural(len(named), 'item')} of {plural(len(table), 'study', 'studies')}.",
    )
    return lay_out(made, width, height, ax)


@dataclass(frozen=True, slots=True)
class _Group:
    """A group of rows of the table: what stands before it, its name, its position and its rows."""

    head: str
    name: str
    position: int
    rows: tuple[int, ...]


def _groups(
    table: pd.DataFrame,
    keys: Sequence[str],
    orders: tuple[Sequence[str] | None, Sequence[str] | None],
    wording: Mapping[str, str],
) -> list[_Group]:
    """Return the groups of the table, those of one head side by side."""
    if len(keys) > 2:
        raise InputError(f"by names {len(keys)} columns", "none, one or two columns")
    columns = [[words(v, wording, NOT_REPORTED) for v in column_of(table, key)] for key in keys]
    blank = [""] * len(table)
    heads, names = ([blank, blank, *columns])[-2:]
    head_levels = levels_of(heads, orders[0] if len(keys) == 2 else None, wording)
    levels = levels_of(names, orders[1] if keys else None, wording)
    found: dict[tuple[str, str], list[int]] = {}
    for i, pair in enumerate(zip(heads, names, strict=True)):
        found.setdefault(pair, []).append(i)
    return [
        _Group(head, name, position, tuple(found[head, name]))
        for head in head_levels
        for position, name in enumerate(levels)
        if (head, name) in found
    ]


def _rows(column: str, item: str, counts: Sequence[tuple[_Group, int]]) -> list[Row]:
    """Return the rows of an item: one alone, or its name above a bar for each group."""
    grouped = any(group.name for group, _ in counts)
    rows = [Row(id=f"item:{column}", kind="head", text=(item,), wide=True)] if grouped else []
    before = ""
    for group, reported in counts:
        total = len(group.rows)
        share = ten_digits(reported / total)
        cells = {REPORTED: f"{reported} of {total} ({percent(share)})"}
        if not group.head:
            cells[LABEL] = group.name or item
        else:
            cells |= {GROUP: group.name} | ({LABEL: group.head} if group.head != before else {})
        before = group.head
        bar = Mark(
            shape="fill",
            estimate=100 * share,
            low=0.0,
            high=100 * share,
            whole=100.0,
            size=BAR,
            color=group.position if grouped else "study",
            hatch=group_hatch(group.position),
            name=group.name,
        )
        rows.append(
            Row(
                id=f"share:{column}:{group.head}:{group.name}",
                kind="study",
                cells={key: (text,) for key, text in cells.items()},
                marks=(bar,),
                indent=INDENT if grouped else 0.0,
                extra={"item": item, "head": group.head, "reported": reported, "total": total},
            )
        )
    return rows


reported_shares = drawn(reported_shares_plan, "Draw the shares of studies that report something.")
