"""Maps of reporting: which study reports which item, with the share of each item and of each study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import MISSING, percent, ten_digits
from metaexo.inputs import as_word, is_blank
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.legend import Key
from metaexo.plots.canvas.plan import drawn, size_of
from metaexo.plots.canvas.tables import column_of, is_reported
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import title_of
from metaexo.plots.grids.grid import Beside, Grid, paged, with_signs
from metaexo.readable import shows_itself

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

REPORTED, NOT_REPORTED, NOT_APPLICABLE, NOT_SEEN = "reported", "not reported", "not applicable", "not seen"
KEYS = {
    REPORTED: Key(label="Reported", color="#0072B2", shape="square", text="+"),
    NOT_REPORTED: Key(label="Not reported", color="#D55E00", shape="square", text="−"),
    NOT_SEEN: Key(label="Not seen", color="#808080", shape="square", text="?"),
    NOT_APPLICABLE: Key(label="Not applicable", color="paper", shape="square", text="/"),
}
WRITTEN = {"n/a": NOT_APPLICABLE, "does not apply": NOT_APPLICABLE, "not accessible": NOT_SEEN}


@shows_itself
@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ReportingMap(Grid):
    """What a map of reporting shows: a :class:`metaexo.plots.Grid` of studies by items.

    Attributes
    ----------
    counts : tuple of (str, int, int, int)
        Of each item: its name, and how many studies report it, to how many it applies, and in how many it
        was not seen.
    """

    counts: tuple[tuple[str, int, int, int], ...]

    def shares(self) -> pd.DataFrame:
        """Return the counts of each item: reported, applicable, not_seen, and share of the applicable."""
        import pandas as pd

        frame = pd.DataFrame(self.counts, columns=["item", "reported", "applicable", "not_seen"])
        return frame.assign(share=frame["reported"] / frame["applicable"].where(frame["applicable"] > 0))


@checked
def reporting_map_plan(
    table: pd.DataFrame,
    items: Sequence[str] | Mapping[str, str],
    *,
    study: str = "study",
    unseen: str | None = None,
    order: Literal["given", "share"] = "given",
    pages: bool | int = False,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = 7.0,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> ReportingMap:
    """Return what a map of reporting shows, without drawing it.

    Use it to show, study by study, what was reported of the items that a guideline such as MISEV2023 asks
    for. The share of an item is the number of studies that report it, over those to which it applies:

        share = reported / (studies - not applicable)

    and the share of a study likewise, over the items. EV-METRIC is such a share over the nine components of
    EV-TRACK; over other items it is not EV-METRIC. What was not seen counts as not reported, so that shares
    are then lower bounds.

    Parameters
    ----------
    table : DataFrame
        One row per study, one column per item. A cell is reported if it is True or filled, not reported if it
        is False, blank, "not reported", "unclear" or "none"; "not applicable" ("n/a") and "not seen" are said
        in words.
    items : sequence or mapping of str
        Columns of the table; a mapping gives their names in words.
    study : str
        Column of the names of the studies.
    unseen : str, optional
        Column that is True for studies of which only a part could be read, such as an abstract: what was not
        found in them was not seen.
    order : {"given", "share"}
        Studies as the table has them, or those that report most first.
    pages : bool or int
        Most rows on a page; True is 40. Further pages are figures of their own:
        :func:`metaexo.plots.pages_of` has them, and ``save`` writes all into one PDF. The shares of the
        items, which are those of all studies, stand on the last page.

    Returns
    -------
    ReportingMap
        Cells; ``to_frame()`` has them as a table, ``shares()`` the counts of the items.

    Raises
    ------
    UnknownChoiceError
        If a column or an order is not known.
    InputError
        If there are no studies or items, more studies than one page holds, a study without a name or two
        of one name, or if `unseen` is not True or False in every row.

    References
    ----------
    Welsh, J. A., et al. (2024). MISEV2023. https://doi.org/10.1002/jev2.12404
    EV-TRACK Consortium (2017). EV-TRACK. https://doi.org/10.1038/nmeth.4185

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame(
    ...     {
    ...         "study": ["Li 2020", "Cho 2021"],
    ...         "isolation": ["UC", "not_reported"],
    ...         "markers": ["CD63", "CD9"],
    ...         "rotor": ["SW 32", "n/a"],
    ...     }
    ... )
    >>> plan = mx.plots.reporting_map_plan(table, ["isolation", "markers", "rotor"])
    >>> plan.shares()["share"].tolist()
    [0.5, 1.0, 1.0]
    >>> ax = mx.plots.reporting_map(plan)
    """
    if len(table) == 0 or len(items) == 0:
        raise InputError(
            f"a table of {len(table)} rows and {len(items)} items", "at least one study and one item"
        )
    named = dict(items) if isinstance(items, Mapping) else {item: title_of(item) for item in items}
    studies = _studies(table, study)
    partly = _partly(table, unseen, studies)
    columns = [
        [_status(cell, part) for cell, part in zip(column_of(table, item), partly, strict=True)]
        for item in named
    ]
    cells = list(zip(*columns, strict=True))
    at = list(range(len(cells)))
    if order == "share":
        at.sort(key=lambda i: -_share(cells[i]))
    words = [status for row in cells for status in row]
    names = tuple(named.values())
    plan = with_signs(
        ReportingMap(
            title=title,
            notes=(*_notes(words), *notes),
            width=width if ax is None else size_of(ax)[0],
            height=1.0,
            theme=get_theme(theme, font_size),
            rows=tuple(studies[i] for i in at),
            columns=names,
            after=Beside("Items", tuple(_fraction(cells[i]) for i in at)),
            below=Beside("Studies", tuple(f"{_fraction(column)}\n{_percent(column)}" for column in columns)),
            counts=tuple(
                (name, *_counts(column), column.count(NOT_SEEN))
                for name, column in zip(names, columns, strict=True)
            ),
            fields=("study", "item", "status", "sign"),
        ),
        [cells[i] for i in at],
        {word: key for word, key in KEYS.items() if word in words},
    )
    return paged(plan, height, pages)


reporting_map = drawn(reporting_map_plan, "Draw a map of what each study reports.")


def _studies(table: pd.DataFrame, study: str) -> list[str]:
    """Return the names of the studies; refuse blank ones and two of one name."""
    names = ["" if is_blank(cell) else as_word(cell) for cell in column_of(table, study)]
    blank = [f"row {i}" for i, name in enumerate(names, 1) if not name]
    twice = [f"row {i} ({name})" for i, name in enumerate(names, 1) if name and names.count(name) > 1]
    if blank or twice:
        raise InputError(
            f"{len(blank or twice)} rows {'without a study' if blank else 'of studies that stand twice'}",
            f"a name in {study!r}, each once",
            "join the rows of one study first, for example table.groupby(...).first()",
            blank or twice,
        )
    return names


def _partly(table: pd.DataFrame, unseen: str | None, studies: Sequence[str]) -> list[bool]:
    """Return of which studies only a part was read."""
    if unseen is None:
        return [False] * len(studies)
    cells = list(column_of(table, unseen))
    bad = [study for study, cell in zip(studies, cells, strict=True) if not isinstance(cell, bool | np.bool_)]
    if bad:
        raise InputError(
            f"{unseen!r} is not True or False for {len(bad)} studies",
            "True for studies of which only a part could be read",
            f'make such a column, for example table["{unseen}"] = table["access"] != "full_text"',
            bad,
        )
    return [bool(cell) for cell in cells]


def _status(cell: Any, partly: bool) -> str:
    """Return what a cell says."""
    text = "" if is_blank(cell) or isinstance(cell, bool | np.bool_) else str(cell)
    text = " ".join(text.replace("_", " ").casefold().split())
    text = WRITTEN.get(text, text)
    if text in (NOT_APPLICABLE, NOT_SEEN):
        return text
    if not is_blank(cell) and is_reported(cell):
        return REPORTED
    return NOT_SEEN if partly else NOT_REPORTED


def _counts(words: Sequence[str]) -> tuple[int, int]:
    """Return how many are reported, and how many apply."""
    return list(words).count(REPORTED), len(words) - list(words).count(NOT_APPLICABLE)


def _share(words: Sequence[str]) -> float:
    reported, applicable = _counts(words)
    return reported / applicable if applicable else 0.0


def _fraction(words: Sequence[str]) -> str:
    reported, applicable = _counts(words)
    return f"{reported}/{applicable}" if applicable else MISSING


def _percent(words: Sequence[str]) -> str:
    return percent(ten_digits(_share(words))) if _counts(words)[1] else MISSING


def _notes(words: Sequence[str]) -> tuple[str, ...]:
    """Return what the numbers beside the map count."""
    applies = ", over those to which the item applies" if NOT_APPLICABLE in words else ""
    note = f"At the right: items reported; below: studies that report the item{applies}."
    if NOT_SEEN in words:
        note += " What was not seen counts as not reported: shares are lower bounds."
    return (note,)
