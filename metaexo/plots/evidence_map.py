"""Evidence-gap maps: which combinations of two things have been studied, and which never were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.errors import InputError
from metaexo.inputs import read_numbers
from metaexo.plots.arguments import checked, plan_of
from metaexo.plots.canvas import draw
from metaexo.plots.evidence_map_layout import count_units, lay_out_map
from metaexo.plots.evidence_map_page import EvidenceMapPlan, evidence_map_page
from metaexo.plots.style import PALETTE
from metaexo.plots.tables import column_of, levels_of
from metaexo.plots.wording import title_of, words
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@checked
def evidence_map_plan(
    table: pd.DataFrame,
    rows: str,
    columns: str,
    *,
    by: str | None = None,
    study: str | None = None,
    count: str | None = None,
    counted: str = "",
    row_order: Sequence[str] | None = None,
    column_order: Sequence[str] | None = None,
    wording: Mapping[str, str] | None = None,
    row_title: str = "",
    column_title: str = "",
    title: str = "",
    notes: Sequence[str] = (),
) -> EvidenceMapPlan:
    """Return what an evidence-gap map shows, without drawing it.

    Use it to show where evidence is and where there is none: sources against isolation methods, say. The area
    of a bubble goes with its count, the count is printed, and empty cells are shaded.

    Parameters
    ----------
    table : DataFrame
        One row a study, an effect or a count.
    rows, columns : str
        Columns of the table whose values make the rows and the columns of the map; missing values count as
        "not reported", which comes last.
    by : str, optional
        Column whose values get a bubble of their own colour each, side by side in the cell.
    study : str, optional
        Column that names the study; different studies are counted. Default: rows of the table are.
    count : str, optional
        Column of counts that are summed, in place of `study`.
    counted : str
        What is counted, for the note; default "studies" or "rows".
    row_order, column_order : sequence of str, optional
        Values in the order wanted; values that the table never has make empty rows. Default: by count.
    wording : mapping of str to str, optional
        Words for values.
    row_title, column_title, title : str
        Headings; default: the names of the columns in words.
    notes : sequence of str
        Further lines below.

    Returns
    -------
    EvidenceMapPlan
        Rows, columns, bubbles with their places; `gaps` names the empty cells.

    Raises
    ------
    UnknownChoiceError
        If a column is not in the table.
    InputError
        If nothing can be counted, or an order leaves out a value of the table.

    References
    ----------
    Snilstveit, B., et al. (2016). Evidence & Gap Maps. https://doi.org/10.1016/j.jclinepi.2016.05.015

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame({"source": ["plant", "plant", "urine"], "isolation": ["SEC", "UC", "UC"]})
    >>> plan = mx.plots.evidence_map_plan(table, rows="source", columns="isolation")
    >>> plan.total, plan.gaps
    (3, (('urine', 'SEC'),))
    """
    if len(table) == 0:
        raise InputError("the table has no rows", "at least one row to count")
    frame = _counts_frame(table, rows, columns, by, study, count, wording or {})
    row_names = levels_of(_counted(frame, "row"), row_order, wording)
    column_names = levels_of(_counted(frame, "column"), column_order, wording)
    groups = levels_of(_counted(frame, "group"))
    if len(groups) > len(PALETTE):
        raise InputError(
            f"{by!r} has {len(groups)} values", f"at most {len(PALETTE)}, a colour each", "group the values"
        )
    return lay_out_map(
        frame,
        (row_names, column_names, groups),
        counted or ("studies" if study else "rows"),
        (row_title or title_of(rows), column_title or title_of(columns)),
        title,
        notes,
    )


@checked
def evidence_map(
    table: pd.DataFrame | EvidenceMapPlan,
    rows: str = "",
    columns: str = "",
    ax: Axes | None = None,
    **choices: Any,
) -> Axes:
    """Draw an evidence-gap map.

    Parameters
    ----------
    table : DataFrame or EvidenceMapPlan
        What is shown; a plan is drawn as it is.
    rows, columns : str
        As for :func:`evidence_map_plan`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a figure of the planned size, apart from pyplot.
    **choices
        As for :func:`evidence_map_plan`.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or the new Axes; its coordinates are points of the page, and its limits cannot be changed.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame({"source": ["plant", "plant", "urine"], "isolation": ["SEC", "UC", "UC"]})
    >>> ax = mx.plots.evidence_map(table, "source", "isolation")
    """
    asked = choices | {"rows": rows, "columns": columns}
    plan = plan_of(EvidenceMapPlan, evidence_map_plan, table, asked)
    return draw(evidence_map_page(plan), ax, fixed=True)


def _counts(table: pd.DataFrame, count: str) -> Array:
    """Return a column of counts.

    Raises
    ------
    InputError
        If some are no whole numbers, or all are zero.
    """
    counts = read_numbers(column_of(table, count), count, ndim=1)
    bad = np.flatnonzero(~(counts >= 0) | (counts != np.floor(counts)))
    if bad.size or not counts.sum() > 0:
        raise InputError(
            f"{bad.size} of {counts.size} cells of {count!r} are no counts"
            if bad.size
            else "all counts are 0",
            "whole numbers that are not negative, and at least one above 0",
            "look these rows up in the source",
            [f"row {int(i) + 1}: {counts[i]:g}" for i in bad],
        )
    return counts


def _counted(frame: pd.DataFrame, side: str) -> dict[str, int]:
    """Return the different names on one side of the map with what is counted of each."""
    return {str(name): count_units(part) for name, part in frame.groupby(side, sort=False)}


def _counts_frame(
    table: pd.DataFrame,
    rows: str,
    columns: str,
    by: str | None,
    study: str | None,
    count: str | None,
    wording: Mapping[str, str],
) -> pd.DataFrame:
    """Return row, column, group, unit and count, one line a row of the table."""
    import pandas as pd

    def named(column: str | None) -> list[str]:
        if column is None:
            return [""] * len(table)
        return [words(v, wording, "not reported") for v in column_of(table, column)]

    units = range(len(table)) if study is None else column_of(table, study).astype(str)
    counts = np.ones(len(table)) if count is None else _counts(table, count)
    return pd.DataFrame(
        {
            "row": named(rows),
            "column": named(columns),
            "group": named(by),
            "unit": list(units),
            "count": counts.astype(int),
            "summed": count is not None,
        }
    )
