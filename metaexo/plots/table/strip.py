"""Strips of single values with intervals by category, for example vesicle sizes by source and isolation."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.effects.measure import GENERIC
from metaexo.errors import InputError
from metaexo.formatting import MINUS, MISSING, NOT_REPORTED, plural, shown, whole_or_decimals
from metaexo.inputs import is_blank, read_numbers
from metaexo.plots.canvas.arguments import Column, checked
from metaexo.plots.canvas.chart import group_sign
from metaexo.plots.canvas.legend import Key
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.scale import LOGARITHM, axis_words, given_limits, place_of
from metaexo.plots.canvas.tables import column_of, levels_of
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import same_line, title_of, words
from metaexo.plots.table.layout import lay_out
from metaexo.plots.table.plan import TablePlan
from metaexo.plots.table.rows import ESTIMATE, LABEL, AxisSpec, Mark, Row, Table, shape_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MOST_POINTS = 5000
INDENT = 8.0
LOZENGE = 1.25  # its width over that of the other points, so that it looks as large
NUMBER = re.compile(rf"[-{MINUS}<>≤≥~]?\s?[\d.]+.*|{MISSING}|")


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
    ticks: Sequence[float] | None = None,
    reference: float | None = None,
    marker_size: float = 5.0,
    row_height: float | None = None,
    pages: bool | int = False,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> TablePlan:
    """Return what a strip of values by category shows, without drawing it.

    Use it to show every single value, nothing pooled: one row per category, one point per value; points that
    would overlap stand one below the other. Points of one category with different `cells` have a row each.

    Parameters
    ----------
    table : DataFrame
        One row per value; rows without a value are counted in a note.
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
        empty for none.
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
        Ends of the axis. Default: all values, and all ends of intervals but far ones. An interval that is cut
        ends in an arrow; a value outside the axis is a hollow triangle at its edge, and a note counts them.
    ticks : sequence of float, optional
        Ticks of the axis. Default: round values that stand apart.
    reference : float, optional
        Value of a vertical line.
    marker_size : float
        Diameter of the points, in points (1/72 inch).
    row_height : float, optional
        Height of a row of one line, in points.
    pages : bool or int
        Most rows on a page; True is 40. Further pages repeat headings and are figures of their own:
        :func:`metaexo.plots.pages_of` has them, and ``save`` writes all into one PDF.

    Returns
    -------
    TablePlan
        Rows, points, axis and legend with their places. Its table has the columns head and category.

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
    >>> [(row.cells["label"], row.cells["median"]) for row in plan.rows]
    [(('plant',), ('164',)), (('urine',), ('91',))]
    >>> ax = mx.plots.interval_strip(plan)
    """
    keys = (rows,) if isinstance(rows, str) else tuple(rows)
    if len(keys) not in (1, 2):
        raise InputError(f"rows names {len(keys)} columns", "one column, or two")
    if len(table) > MOST_POINTS:
        raise InputError(
            f"a table of {len(table)} rows, one point per row",
            f"at most {MOST_POINTS} points",
            "draw a part of the table, for example table.sample(1000, random_state=0)",
        )
    look, wording = get_theme(theme, font_size), wording or {}
    read = _Reader(table, wording, log)
    values = read.values(value, keys, (low, high), by, hollow, study, tuple(cells or ()))
    groups = levels_of([one.group for one in values], by_order, wording)
    write = _Writer(values, look, groups if by is not None else [], marker_size)
    heads = levels_of([one.head for one in values], head_order if len(keys) == 2 else None, wording)
    categories = levels_of([one.category for one in values], row_order, wording)
    counted = None if cells is not None else (study is not None)
    written = write.rows(heads, categories, counted)
    without = len(table) - len(values)
    unseen = [f"Not shown: {plural(without, 'row')} of the table without a value."] if without else []
    meaning = wording.get(hollow, title_of(hollow).lower()) if hollow is not None else ""
    headings = {"n": "n"} | ({"studies": study_title or "Studies"} if counted else {}) | {"median": "Median"}
    made = Table(
        rows=tuple(written),
        columns=(
            Column(LABEL, row_title or " / ".join(map(title_of, keys)), "text", letters=200),
            *_columns(headings if cells is None else {_key(k): v for k, v in cells.items()}, written),
        ),
        axis=_axis(log, axis_label or title_of(value), limits, ticks, reference),
        theme=look,
        keys=write.keys(meaning, counted=cells is None),
        title=title,
        notes=(*notes, *unseen),
        row_height=row_height,
        summary=f"{plural(len(values), 'value')} in {plural(len(categories), 'category', 'categories')}.",
    )
    return lay_out(made, width, height, ax, pages)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Value:
    """One value of the table, with what belongs to it; `cells` are the texts on the right."""

    value: float
    low: float | None
    high: float | None
    head: str
    category: str
    group: str
    hollow: bool
    study: str
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the values of a table."""

    table: pd.DataFrame
    wording: Mapping[str, str]
    log: bool

    def values(
        self,
        value: str,
        keys: tuple[str, ...],
        ends: tuple[str | None, str | None],
        by: str | None,
        hollow: str | None,
        study: str | None,
        cells: tuple[str, ...],
    ) -> list[_Value]:
        """Return the values; rows of the table without one are left out."""
        numbers, lows, highs = (self._numbers(name) for name in (value, *ends))
        present = [i for i, x in enumerate(numbers) if x is not None]
        if not present:
            raise InputError(f"the column {value!r} holds no number", "at least one value")
        self._check_positive([(i, numbers[i]) for i in present], value)
        head, category = ([None, *keys])[-2:]
        heads, categories, groups, studies = map(self._names, (head, category, by, study))
        flags = [False] * len(numbers) if hollow is None else _flags(self._column(hollow), hollow)
        texts = {_key(name): [words(x) for x in self._column(name)] for name in cells}
        return [
            _Value(
                value=number,
                low=lows[i],
                high=highs[i],
                head=heads[i],
                category=categories[i],
                group=groups[i],
                hollow=flags[i],
                study=studies[i],
                cells=tuple((key, column[i]) for key, column in texts.items()),
            )
            for i, number in enumerate(numbers)
            if number is not None
        ]

    def _column(self, name: str) -> list[Any]:
        return list(column_of(self.table, name).tolist())

    def _numbers(self, name: str | None) -> list[float | None]:
        """Return a column of numbers; what is missing or infinite is None."""
        if name is None:
            return [None] * len(self.table)
        numbers = read_numbers(self._column(name), name, ndim=1).tolist()
        return [float(x) if math.isfinite(x) else None for x in numbers]

    def _names(self, name: str | None) -> list[str]:
        if name is None:
            return [""] * len(self.table)
        return [words(x, self.wording, NOT_REPORTED) for x in self._column(name)]

    def _check_positive(self, values: Sequence[tuple[int, float | None]], name: str) -> None:
        bad = [(i, x) for i, x in values if self.log and x is not None and x <= 0]
        if bad:
            raise InputError(
                f"{plural(len(bad), 'value')} of {name!r} cannot stand on a logarithmic axis",
                "values above 0",
                "look the rows up in the source, or choose log=False",
                [f"row {i + 1}: {x:g}" for i, x in bad],
            )


def _key(name: str) -> str:
    """Return the key of a column of the table in the figure, which has columns of these names itself."""
    return f"{name}_" if name in (LABEL, ESTIMATE) else name


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


class _Writer:
    """Writes the rows and the legend of a strip."""

    def __init__(self, values: Sequence[_Value], theme: Theme, groups: Sequence[str], size: float) -> None:
        self.values, self.theme, self.groups, self.size = values, theme, groups, size
        self.signs = {group: group_sign(position) for position, group in enumerate(groups)}
        usual = [one.value for one in values]
        middle = float(np.median(np.abs(usual)))
        # three significant digits of a usual value
        self.digits = min(whole_or_decimals(usual), 0 if middle >= 100 else 1 if middle >= 10 else 2)

    def rows(self, heads: Sequence[str], categories: Sequence[str], with_studies: bool | None) -> list[Row]:
        """Return heads and categories in their orders; without cells of the table there are counts."""
        found: dict[tuple[str, str], list[_Value]] = {}
        for one in self.values:
            found.setdefault((one.head, one.category), []).append(one)
        rows: list[Row] = []
        for head in heads:
            if head and any(key[0] == head for key in found):
                rows.append(Row(id=f"head:{head}", kind="head", text=(head,), wide=True))
            for category in categories:
                members = found.get((head, category), [])
                rows += self._category(members, INDENT if head else 0.0, with_studies) if members else []
        return rows

    def _category(self, members: Sequence[_Value], indent: float, with_studies: bool | None) -> list[Row]:
        """Return the rows of a category: one, or one for each of the different texts on the right."""
        first = members[0]
        blocks: dict[tuple[tuple[str, str], ...], list[_Value]] = {}
        for one in members:
            blocks.setdefault(one.cells, []).append(one)
        rows = []
        for number, (texts, block) in enumerate(blocks.items()):
            cells = dict(texts) if with_studies is None else self._counts(block, with_studies)
            label = {LABEL: first.category} if number == 0 else {}
            rows.append(
                Row(
                    id=f"category:{first.head}:{first.category}:{number}",
                    kind="study",
                    cells={key: (text,) for key, text in (label | cells).items()},
                    marks=tuple(map(self._mark, block)),
                    indent=indent,
                    packed=True,
                    ruled=number == len(blocks) - 1,
                    extra={"head": first.head, "category": first.category},
                )
            )
        return rows

    def _counts(self, members: Sequence[_Value], with_studies: bool) -> dict[str, str]:
        """Return how many values and studies there are, and the median."""
        median = float(np.median([one.value for one in members]))
        studies = {"studies": str(len({one.study for one in members}))} if with_studies else {}
        return {"n": str(len(members))} | studies | {"median": self._number(median, self.digits)}

    def _number(self, value: float, digits: int) -> str:
        return shown(value, digits).replace(".", self.theme.point)

    def _mark(self, one: _Value) -> Mark:
        color, shape = self.signs.get(one.group, (None, "circle"))
        size = abs(one.value)
        return Mark(
            shape=shape_of(shape),
            estimate=one.value,
            low=one.low,
            high=one.high,
            size=self.size * (LOZENGE if shape == "diamond" else 1.0),
            hollow=one.hollow,
            color=color,
            name=one.group,
            text=self._number(one.value, 0 if size >= 100 else 1 if size >= 10 else 2),
        )

    def keys(self, hollow: str, counted: bool) -> tuple[Key, ...]:
        """Return the legend: the groups that are there, and what hollow points are."""
        found = [one.group for one in self.values]
        keys = []
        for group in self.groups:
            if group in found:
                color, shape = self.signs[group]
                count = f" ({same_line(f'n = {found.count(group)}')})" if counted else ""
                keys.append(Key(label=group + count, color=color, shape=shape_of(shape)))
        if hollow and any(one.hollow for one in self.values):
            keys.append(Key(label=f"hollow: {hollow}", color="grey", hollow=True))
        return tuple(keys)


def _columns(headings: Mapping[str, str], rows: Sequence[Row]) -> list[Column]:
    """Return the columns on the right; one of numbers is aligned to the right, other texts to the left."""
    columns = []
    for key, heading in headings.items():
        texts = [line for row in rows for line in row.cells.get(key, ())]
        numbers = all(NUMBER.fullmatch(text) for text in texts)
        columns.append(Column(key, heading, "number" if numbers else "text", side="right"))
    return columns


def _axis(
    log: bool,
    label: str,
    limits: tuple[float, float] | None,
    ticks: Sequence[float] | None,
    reference: float | None,
) -> AxisSpec:
    """Return what the axis is to be; raises InputError for limits, ticks or a line that it does not have."""
    measure = LOGARITHM if log else GENERIC
    if limits is not None:
        given_limits(measure, limits)
    for name, values in (("reference", [reference]), ("ticks", ticks or ())):
        for value in values:
            if value is not None:
                place_of(measure, value, name)
    return AxisSpec(
        label=axis_words(measure, label),
        scale="log" if log else "linear",
        limits=limits,
        reference=reference,
        ticks=ticks,
    )


interval_strip = drawn(interval_strip_plan, "Draw a strip of values by category.")
