"""Where effects come from: the statistics that they were computed from, and the choices that were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metaexo.immutable import Immutable

How = Literal["reported", "converted", "assumed"]


@dataclass(frozen=True, slots=True)
class Derivation:
    """How one effect came about.

    Attributes
    ----------
    how : {"reported", "converted", "assumed"}
        "reported": every input stands in the source as the formula needs it; "converted": an input was
        computed from another statistic; "assumed": an input is not in the source at all.
    formula : str
        Name of the formula or formulas, for example "SD from SE".
    note : str
        The assumption in words with its value, where there is one.
    """

    how: How
    formula: str = ""
    note: str = ""


REPORTED = Derivation("reported")
AVERAGED = "average within study"
"""Formula of an effect that is the average of several effects of one study."""


@dataclass(frozen=True, slots=True, eq=False)
class Origin(Immutable):
    """The statistics that effects were computed from."""

    # statistics by name, every row that was handed in, rows without an effect included: some variances rest
    # on averages over all rows
    inputs: Mapping[str, NDArray[Any]]
    rows: NDArray[np.intp]  # for each effect its row in `inputs`
    # choices: variance, bias_correction and zero_cells, or assumed_correlation for a table
    options: Mapping[str, Any] = field(default_factory=dict)
    # whether the inputs are the columns of a table of reported statistics with gaps, from which the measure's
    # own inputs were derived
    from_table: bool = False

    def at(self, positions: NDArray[np.intp]) -> Origin:
        """Return the origin of the effects at these positions."""
        return replace(self, rows=self.rows[positions])
