"""All families of measures: importing this module registers their measures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaexo.effects.measure import Measure, all_measures, find_measure, register
from metaexo.effects.measures import (
    correlations,
    events,
    mean_ratios,
    one_group,
    paired_means,
    superiority,
    two_means,
)
from metaexo.errors import UnknownChoiceError

if TYPE_CHECKING:
    import pandas as pd

for family in (
    two_means,
    mean_ratios,
    superiority,
    paired_means,
    events,
    one_group,
    correlations,
):
    register(*family.MEASURES)

FAMILIES = (
    "two groups, means",
    "one group twice, means",
    "two groups, events",
    "matched pairs, events",
    "two groups, person-time",
    "one group, means",
    "one group, events",
    "one group, person-time",
    "one group, correlation",
    "regression, one predictor",
    "regression, all predictors",
    "one scale, reliability",
    "one group, genotypes",
    "generic",
)
"""Families of inputs, in the order in which the table of measures lists them."""


def measures(family: str | None = None) -> pd.DataFrame:
    """Return a table of the effect-size measures.

    Use it to find the code of a measure and the inputs it needs.

    Parameters
    ----------
    family : str, optional
        Only measures whose family contains this word, for example "means" or "events"; or the code or a usual
        name of one measure, for example "SMD" or "risk ratio".

    Returns
    -------
    pandas.DataFrame
        One row per measure: code, name, family, use (when to use it), inputs, or (other sets of inputs that
        will do), variances (types of sampling variance, the default first), formula (of the effect and its
        default variance, in the signs of :func:`metaexo.explain`: m, s, n for means, SDs and sizes, x for
        events, 1 and 2 for the groups), null (value of no effect on the scale of the analysis), display,
        reference (DOI).

    Raises
    ------
    UnknownChoiceError
        If it is neither a family nor a measure.

    Examples
    --------
    >>> measures("person-time")["code"].tolist()
    ['IRR', 'IRD', 'IRSD', 'IR', 'IRLN', 'IRS', 'IRFT']
    """
    import pandas as pd

    chosen = _chosen(family)
    chosen.sort(key=lambda one: FAMILIES.index(one.family))
    rows = [
        {
            "code": one.code,
            "name": one.name,
            "family": one.family,
            "use": one.use,
            "inputs": ", ".join(one.inputs),
            "or": "; ".join(", ".join(route.inputs) for route in one.alternatives),
            "variances": ", ".join(one.variances),
            "formula": one.formula(),
            "null": one.null,
            "display": one.display,
            "reference": one.reference,
        }
        for one in chosen
    ]
    return pd.DataFrame(rows)


def _chosen(family: object) -> list[Measure]:
    """Return the measures of the families that contain a word, or the one measure of this name."""
    if family is None:
        return list(all_measures())
    word = family.strip().casefold() if isinstance(family, str) else ""
    chosen = [one for one in all_measures() if word and word in one.family]
    found = find_measure(family)
    if chosen or found is not None:
        return chosen or [one for one in all_measures() if one is found]
    raise UnknownChoiceError("family of measures", family, [*FAMILIES, *(one.code for one in all_measures())])
