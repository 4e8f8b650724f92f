"""Loading the example data sets."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from io import StringIO
from typing import TYPE_CHECKING, Any

from metaexo.errors import UnknownChoiceError
from metaexo.inputs import check_choice

if TYPE_CHECKING:
    import pandas as pd


# What R's package metadat calls them.
METADAT = {
    "colditz1994": "bcg",
    "normand1999": "stroke_units",
    "raudenbush1985": "teacher_expectations",
    "konstantopoulos2011": "school_calendars",
    "hackshaw1998": "passive_smoking",
    "nissen2007": "rosiglitazone",
    "nielweise2007": "catheter_infections",
    "hart1999": "warfarin",
}


@lru_cache(maxsize=1)
def _index() -> dict[str, dict[str, Any]]:
    text = files("metaexo.datasets").joinpath("index.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found


def load_dataset(name: str | None = None) -> pd.DataFrame:
    """Return an example data set with its citation.

    Use it to try things out. The columns have the names that :func:`metaexo.effect_sizes` takes; `y` and `v`
    are ready effects and sampling variances.

    Parameters
    ----------
    name : str, optional
        Name of the set. Without one: the table of all sets, as :func:`metaexo.datasets.datasets` gives it.

    Returns
    -------
    pandas.DataFrame
        One row per study. `attrs` holds the title, the question, the citation, its DOI, the usual measure and
        the meaning of each column.

    Raises
    ------
    UnknownChoiceError
        If there is no set of this name.

    Examples
    --------
    >>> import metaexo as mx
    >>> bcg = mx.load_dataset("bcg")
    >>> bcg.shape, bcg.attrs["doi"]
    ((13, 8), '10.1001/jama.1994.03510330076038')
    """
    if name is None:
        return datasets()
    import pandas as pd

    if str(name) not in _index():
        plain = str(name).casefold().removeprefix("dat.")
        raise UnknownChoiceError(
            "data set", name, _index(), nearest=METADAT.get(plain, plain if plain in _index() else None)
        )
    check_choice("data set", name, tuple(_index()))
    text = files("metaexo.datasets").joinpath(f"{name}.csv").read_text(encoding="utf-8")
    frame = pd.read_csv(StringIO(text))
    frame.attrs.update({"name": name, **_index()[name]})
    return frame


def datasets() -> pd.DataFrame:
    """Return what data sets there are.

    Returns
    -------
    pandas.DataFrame
        One row a set: name, title, question, rows, measure, citation, DOI.

    Examples
    --------
    >>> import metaexo as mx
    >>> names = list(mx.datasets.datasets()["name"])
    >>> names[:4]
    ['bcg', 'stroke_units', 'teacher_expectations', 'school_calendars']
    >>> names[4:]
    ['vasospasm', 'passive_smoking', 'rosiglitazone', 'catheter_infections', 'warfarin']
    """
    import pandas as pd

    columns = ["name", "title", "question", "rows", "measure", "citation", "doi"]
    rows = [{"name": name, **entry} for name, entry in _index().items()]
    table = pd.DataFrame(rows)[columns]
    counts = [len(load_dataset(name)) for name in table["name"]]
    table["rows"] = [f"{n} rows, one per {kind}" for n, kind in zip(counts, table["rows"], strict=True)]
    return table
