"""Strips of single values with intervals by category, for example vesicle sizes by source and isolation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.effects.measure import GENERIC, Measure
from metaexo.errors import InputError
from metaexo.formatting import plural
from metaexo.inputs import is_blank, read_numbers
from metaexo.plots.arguments import checked, plan_of
from metaexo.plots.canvas import draw
from metaexo.plots.furniture import Key
from metaexo.plots.page import Page
from metaexo.plots.scale import Axis, axis_between, given_limits, on_axis, place_of, robust_limits
from metaexo.plots.strip_layout import Ask, Value, lay_out_strip, on, strip_rows, with_limits
from metaexo.plots.strip_page import StripPlan, StripPoint, strip_page
from metaexo.plots.style import GREY, colour_and_shape
from metaexo.plots.tables import column_of, levels_of
from metaexo.plots.wording import same_line, title_of, words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST_POINTS = 5000
LOGARITHM = Measure(
    code="LOG",
    name="value on a logarithmic axis",
    family="values",
    inputs=(),
    compute=None,
    null=float("nan"),
    display="Value",
    back=np.exp,
    display_log=True,
)


@checked
def interval_strip_plan(
    table: pd.DataFrame,
    value: str,
    rows: str | Sequence[str],
    *,
    low: str | None = None,
    high: str | None = None,
    by: str | None = None,
    hollow: str | None = None,
    study: str | None = None,
    log: bool = True,
    cells: Mapping[str, str] | None = None,
    row_title: str = "",
    study_title: str = "Studies",
    row_order: Sequence[str] | None = None,
    head_order: Sequence[str] | None = None,
    by_order: Sequence[str] | None = None,
    wording: Mapping[str, str] | None = None,
    axis_label: str = "",
    limits: tuple[float, float] | None = None,
    reference: float | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    panel_width: float = 260.0,
) -> StripPlan:
    """Return what a strip of values by category shows, without drawing it.

    Use it to show every single value, nothing pooled: one row a category, one point a value; points that
    would overlap stand one below the other. What `cells` says of a point stands at its height.

    Parameters
    ----------
    table : DataFrame
        One row a value; rows without a value are counted in a note.
    value : str
        Column of the values.
    rows : str or two str
        Column of the categories; with two, the values of the first become heads.
    low, high : str, optional
        Columns of the ends of an interval around each value.
    by : str, optional
        Column whose values get a colour and a mark each, for example the technique.
    hollow : str, optional
        Column of true and false: points to be drawn hollow.
    study : str, optional
        Column that names the study; the studies of each row are counted.
    log : bool
        Whether the axis is logarithmic.
    cells : mapping of str to str, optional
        Columns of the table to show on the right, with their headings, in place of all counts and medians;
        empty for none. Different texts of one row stand one below the other.
    row_title, study_title : str
        Headings of the rows (default: the names of the columns in words) and of the counts of studies.
    row_order, head_order, by_order : sequence of str, optional
        Orders of the categories, of the heads if `rows` names two columns, and of the groups of `by`.
        Default: the commonest first.
    wording : mapping of str to str, optional
        Words for categories.
    axis_label : str
        Words at the axis, with the unit.
    limits : tuple of float, optional
        Ends of the axis. Default: all values but far ones; what is cut ends in an arrow.
    reference : float, optional
        Value of a vertical line.
    title : str
        Line above.
    notes : sequence of str
        Further lines below.
    panel_width : float
        Width of the panel in points.

    Returns
    -------
    StripPlan
        Rows, points, axis and legend with their places.

    Raises
    ------
    UnknownChoiceError
        If a column is not in the table.
    InputError
        If there is no value, or one that is not positive on a logarithmic axis.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> source = ["plant", "plant", "urine", "urine"]
    >>> table = pd.DataFrame({"size_nm": [101.0, 226.0, 91.0, None], "source": source})
    >>> plan = mx.plots.interval_strip_plan(table, "size_nm", "source")
    >>> [(row.label[0], row.cells) for row in plan.rows]
    [('plant', ('2', '164')), ('urine', ('1', '91'))]
    """
    keys = (rows,) if isinstance(rows, str) else tuple(rows)
    if len(keys) not in (1, 2):
        raise InputError(f"rows names {len(keys)} columns", "one column, or two")
    texts = None if cells is None else dict(cells)
    ask = Ask(
        value, keys, low, high, by, hollow, study, dict(wording or {}), log, texts, row_title, study_title
    )
    if len(table) > MOST_POINTS:
        raise InputError(
            f"a table of {len(table)} rows, a point each",
            f"at most {MOST_POINTS} points",
            "draw a part of the table, for example table.sample(1000, random_state=0)",
        )
    measure = LOGARITHM if log else GENERIC
    values, without = _read(table, ask, measure, by_order)
    axis = _axis(values, measure, limits, reference, axis_label or title_of(value), panel_width)
    values = [replace(value, point=on(axis, value.point)) for value in values]
    if without:
        notes = [*notes, f"Not shown: {plural(without, 'row')} of the table without a value."]
    orders = (head_order if len(keys) == 2 else None, row_order)
    drafted = strip_rows(values, ask, orders, measure, axis, panel_width)
    legend = _keys(values, ask, by_order)
    return lay_out_strip(drafted, ask, axis, measure, legend, title, notes, panel_width)


@checked
def interval_strip(
    table: pd.DataFrame | StripPlan,
    value: str = "",
    rows: str | Sequence[str] = "",
    ax: Axes | None = None,
    **choices: Any,
) -> Axes:
    """Draw a strip of values by category.

    Parameters
    ----------
    table : DataFrame or StripPlan
        What is shown; a plan is drawn as it is.
    value, rows : str
        As for :func:`interval_strip_plan`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a figure of the planned size, apart from pyplot.
    **choices
        As for :func:`interval_strip_plan`.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or the new Axes, which are those of the panel; the horizontal coordinate is the value.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame({"size_nm": [101.0, 226.0, 91.0], "source": ["plant", "plant", "urine"]})
    >>> ax = mx.plots.interval_strip(table, "size_nm", "source", axis_label="Diameter (nm)")
    """
    asked = choices | {"value": value, "rows": rows}
    plan = plan_of(StripPlan, interval_strip_plan, table, asked)

    def again(low: float, high: float, *_: float) -> Page:
        if isinstance(table, StripPlan):
            ends = (on_axis(plan.measure, low), on_axis(plan.measure, high))
            return strip_page(with_limits(plan, *ends))
        return strip_page(interval_strip_plan(table, **(asked | {"limits": (low, high)})))

    return draw(strip_page(plan), ax, again)


def _read(
    table: pd.DataFrame, ask: Ask, measure: Measure, by_order: Sequence[str] | None
) -> tuple[list[Value], int]:
    """Return the values, and how many rows of the table have none."""
    known = [c for c in (ask.low, ask.high, ask.by, ask.hollow, ask.study) if c is not None]
    known += ask.cells or {}
    columns = {name: column_of(table, name).tolist() for name in (ask.value, *ask.rows, *known)}
    for name_ in (ask.value, ask.low, ask.high):
        if name_ is not None:
            columns[name_] = read_numbers(columns[name_], name_, ndim=1).tolist()
    if ask.hollow is not None:
        columns[ask.hollow] = _flags(columns[ask.hollow], ask.hollow)
    present = [i for i, x in enumerate(columns[ask.value]) if _is_number(x)]
    if not present:
        raise InputError(f"the column {ask.value!r} holds no number", "at least one value")
    bad = [i for i in present if ask.log and columns[ask.value][i] <= 0]
    if bad:
        raise InputError(
            f"{plural(len(bad), 'value')} of {ask.value!r} cannot stand on a logarithmic axis",
            "values above 0",
            "look the rows up in the source, or choose log=False",
            [f"row {i + 1}: {columns[ask.value][i]:g}" for i in bad],
        )

    def name(column: str | None, i: int) -> str:
        return "" if column is None else words(columns[column][i], ask.wording, "not reported")

    def end(column: str | None, i: int) -> float | None:
        x = None if column is None else columns[column][i]
        return on_axis(measure, float(x)) if x is not None and _is_number(x) else None

    signs = {
        group: colour_and_shape(position)
        for position, group in enumerate(levels_of((name(ask.by, i) for i in present), by_order, ask.wording))
    }
    values = []
    for i in present:
        group = name(ask.by, i)
        hollow = ask.hollow is not None and bool(columns[ask.hollow][i])
        x = on_axis(measure, float(columns[ask.value][i]))
        cells = tuple(words(columns[column][i]) for column in ask.cells or ())
        point = StripPoint(x, end(ask.low, i), end(ask.high, i), group, *signs[group], hollow, cells)
        head = name(ask.rows[0], i) if len(ask.rows) == 2 else ""
        values.append(Value(head, name(ask.rows[-1], i), name(ask.study, i), point))
    return values, len(table) - len(present)


def _flags(cells: list[Any], name: str) -> list[bool]:
    """Return a column of true and false; what is missing is false."""
    bad = [
        f"row {i + 1}: {cell!r}"
        for i, cell in enumerate(cells)
        if not is_blank(cell) and not isinstance(cell, bool | np.bool_)
    ]
    if bad:
        raise InputError(
            f"{len(bad)} cells of {name!r} are not true or false",
            "True, False or nothing in every row",
            f"make the column by a comparison, for example table[{name!r}] == 'yes'",
            bad,
        )
    return [not is_blank(cell) and bool(cell) for cell in cells]


def _is_number(x: object) -> bool:
    return isinstance(x, int | float | np.number) and math.isfinite(float(x))


def _axis(
    values: Sequence[Value],
    measure: Measure,
    limits: tuple[float, float] | None,
    reference: float | None,
    label: str,
    width: float,
) -> Axis:
    points = [v.point for v in values]
    line = None if reference is None else place_of(measure, reference, "reference")
    if limits is not None:
        low, high = given_limits(measure, limits)
    else:
        lows = [p.value if p.low is None else p.low for p in points]
        highs = [p.value if p.high is None else p.high for p in points]
        always = [p.value for p in points] + ([] if line is None else [line])
        low, high = robust_limits(lows, highs, always)
    suffix = ", logarithmic scale" if measure.display_log else ""
    return axis_between(measure, low, high, line, label + suffix, width)


def _keys(values: Sequence[Value], ask: Ask, by_order: Sequence[str] | None) -> tuple[Key, ...]:
    """Return the legend: groups, with their counts if counts are shown, and what hollow points are."""
    groups = [v.point.group for v in values]
    signs = {v.point.group: (v.point.colour, v.point.shape) for v in values}
    counts = {group: f" ({same_line(f'n = {groups.count(group)}')})" for group in signs}
    keys = [
        Key(group + (counts[group] if ask.cells is None else ""), *signs[group])
        for group in levels_of(groups, by_order, ask.wording)
        if group and group in signs
    ]
    if ask.hollow is not None and any(v.point.hollow for v in values):
        meaning = ask.wording.get(ask.hollow, title_of(ask.hollow).lower())
        keys.append(Key(f"hollow: {meaning}", GREY, "circle", hollow=True))
    return tuple(keys)
