"""How many studies report a thing: shares by kind of access, told as floors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.errors import InputError
from metaexo.plots.arguments import checked, plan_of
from metaexo.plots.canvas import draw
from metaexo.plots.shares_layout import Draft, Group, lay_out_shares
from metaexo.plots.shares_page import SharesPlan, reported_shares_page
from metaexo.plots.style import PALETTE
from metaexo.plots.tables import column_of, levels_of
from metaexo.plots.wording import NOT_REPORTED, title_of, words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FLOOR = "A share is a floor: what was not seen may still stand in the paper."
SILENT = ("", "not_reported", "not reported", "unclear", "nan", "<na>", "none")


@checked
def reported_shares_plan(
    table: pd.DataFrame,
    items: Sequence[str] | Mapping[str, str],
    *,
    by: str | Sequence[str] | None = None,
    by_order: Sequence[str] | None = None,
    head_order: Sequence[str] | None = None,
    wording: Mapping[str, str] | None = None,
    floor: bool = True,
    title: str = "",
    notes: Sequence[str] = (),
    panel_width: float = 190.0,
) -> SharesPlan:
    """Return what a figure of shares of studies that report something shows, without drawing it.

    Use it to show how completely studies report, told apart by how much of each study could be read.

    Parameters
    ----------
    table : DataFrame
        One row a study.
    items : sequence or mapping of str
        Columns of the table; a mapping gives their names in words. A study reports an item if its cell is
        True, or is filled with something else than "not reported", "unclear" or "none".
    by : str or two str, optional
        Column whose values make a bar and have a colour each, for example the kind of access; with two, the
        values of the first become heads.
    by_order, head_order : sequence of str, optional
        Order of these values, and of the heads. Default: the commonest first.
    wording : mapping of str to str, optional
        Words for the values of `by`.
    floor : bool
        Whether to say below that the shares are floors.
    title : str
        Line above.
    notes : sequence of str
        Further lines below.
    panel_width : float
        Length of a bar of 100 per cent, in points.

    Returns
    -------
    SharesPlan
        Shares with their places.

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
    >>> [s.text for s in mx.plots.reported_shares_plan(table, ["isolation"], by="access").shares]
    ['0 of 1 (0 %)', '1 of 1 (100 %)']
    """
    if len(table) == 0 or len(items) == 0:
        raise InputError(
            f"a table of {len(table)} rows and {len(items)} items", "at least one study and one item"
        )
    named = dict(items) if isinstance(items, Mapping) else {item: title_of(item) for item in items}
    groups = _groups(table, by, (head_order, by_order), wording or {})
    draft = Draft()
    for column, name in named.items():
        reported = column_of(table, column).map(is_reported).to_numpy(dtype=bool)
        draft.add(name, [(group, int(reported[list(group.rows)].sum())) for group in groups])
    return lay_out_shares(draft, title, [*([FLOOR] if floor else []), *notes], panel_width)


@checked
def reported_shares(
    table: pd.DataFrame | SharesPlan,
    items: Sequence[str] | Mapping[str, str] = (),
    ax: Axes | None = None,
    **choices: Any,
) -> Axes:
    """Draw the shares of studies that report something.

    Parameters
    ----------
    table : DataFrame or SharesPlan
        What is shown; a plan is drawn as it is.
    items : sequence or mapping of str
        As for :func:`reported_shares_plan`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a figure of the planned size, apart from pyplot.
    **choices
        As for :func:`reported_shares_plan`.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or the new Axes.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame({"isolation": ["UC", "not_reported", "SEC"], "dose": [1.0, None, None]})
    >>> ax = mx.plots.reported_shares(table, ["isolation", "dose"])
    """
    plan = plan_of(SharesPlan, reported_shares_plan, table, choices | {"items": items})
    return draw(reported_shares_page(plan), ax)


def is_reported(value: object) -> bool:
    """Return whether a cell says something.

    Examples
    --------
    >>> [is_reported(v) for v in (True, False, "UC", "not_reported", None, float("nan"), 0.0)]
    [True, False, True, False, False, False, True]
    """
    if value is None or isinstance(value, bool | np.bool_):
        return bool(value)
    return str(value).strip().lower() not in SILENT


def _groups(
    table: pd.DataFrame,
    by: str | Sequence[str] | None,
    orders: tuple[Sequence[str] | None, Sequence[str] | None],
    wording: Mapping[str, str],
) -> list[Group]:
    """Return the groups of the table, those of one head side by side."""
    keys = [by] if isinstance(by, str) else list(by or ())
    if len(keys) > 2:
        raise InputError(f"by names {len(keys)} columns", "none, one or two columns")
    columns = [[words(v, wording, NOT_REPORTED) for v in column_of(table, key)] for key in keys]
    blank = [""] * len(table)
    heads, names = ([blank, blank, *columns])[-2:]
    head_levels = levels_of(heads, orders[0] if len(keys) == 2 else None, wording)
    levels = levels_of(names, orders[1] if keys else None, wording)
    colours = {name: PALETTE[g % len(PALETTE)] for g, name in enumerate(levels)}
    found: dict[tuple[str, str], list[int]] = {}
    for i, pair in enumerate(zip(heads, names, strict=True)):
        found.setdefault(pair, []).append(i)
    pairs = [(head, name) for head in head_levels for name in levels if (head, name) in found]
    return [Group(head, name, colours[name], tuple(found[head, name])) for head, name in pairs]
