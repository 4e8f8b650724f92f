"""What is done with counts of zero before an effect is computed from them.

Logarithms and inverse counts do not exist at zero, so a small number is added to the cells. Which number,
to which studies and to which cells is a choice that can move a result; every row it touches says so in its
derivation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from metaexo.effects.check import MATCHED_CELLS
from metaexo.effects.derivation import Derivation
from metaexo.errors import InputError
from metaexo.inputs import check_choice, check_flag, check_number
from metaexo.types import Array, Mask

STUDIES = ("studies_with_zero", "all", "all_if_any_zero", "none")
OF_METAFOR = {"if0all": "all_if_any_zero", "only0": "studies_with_zero"}
CELLS = ("all", "events")
PREFIXES = ("treatment_", "control_", "first_", "second_", "")
SHARES = ("both", "estimate", "variance")


@dataclass(frozen=True, slots=True)
class ZeroCells:
    """A rule for counts of zero.

    Attributes
    ----------
    add : float
        What is added to a cell.
    studies : {"studies_with_zero", "all", "all_if_any_zero", "none"}
        Which studies receive it: those with a zero cell; all; all as soon as one has a zero cell; none.
    cells : {"all", "events"}
        Whether events and non-events receive it, or only the events.
    share : {"both", "estimate", "variance"}
        Whether the effect, its sampling variance or both are computed from the changed counts.
    drop_double_zero : bool
        Whether studies without events in both groups, or with events in everyone, give no effect.

    Examples
    --------
    >>> rule = ZeroCells(0.5)
    >>> rule.touched(np.array([True, False]))
    array([ True, False])
    """

    add: float
    studies: Literal["studies_with_zero", "all", "all_if_any_zero", "none"] = "studies_with_zero"
    cells: Literal["all", "events"] = "all"
    share: Literal["both", "estimate", "variance"] = "both"
    drop_double_zero: bool = False

    def __post_init__(self) -> None:
        if not 0 <= check_number("what is added to cells", self.add) < np.inf:
            raise InputError(f"{self.add!r} is to be added to zero cells", "a number of at least 0")
        for what, word, allowed in (
            ("continuity_to", self.studies, STUDIES),
            ("continuity_cells", self.cells, CELLS),
            ("continuity_in", self.share, SHARES),
        ):
            check_choice(what, word, allowed, OF_METAFOR if what == "continuity_to" else {})
        check_flag("drop_double_zero", self.drop_double_zero)

    def touched(self, has_zero: Mask) -> Mask:
        """Return which studies receive the addition, given which have a zero cell."""
        if self.add == 0 or self.studies == "none":
            return np.zeros_like(has_zero)
        if self.studies == "all" or (self.studies == "all_if_any_zero" and bool(has_zero.any())):
            return np.ones_like(has_zero)
        return has_zero if self.studies == "studies_with_zero" else np.zeros_like(has_zero)

    def derivation(self) -> Derivation:
        """Return the mark of a row that the rule touched."""
        where = "every cell" if self.cells == "all" else "the events"
        what = {"both": "", "estimate": ", in the effect only", "variance": ", in the variance only"}
        return Derivation(
            "converted", "continuity correction", f"{self.add:g} added to {where}{what[self.share]}"
        )


def cells(inputs: Mapping[str, Array]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Return the cells of each study's table: counts of events, and of non-events where n is known.

    Of a matched table all four cells count as events.

    Examples
    --------
    >>> events, others = cells({"events": np.array([3.0]), "n": np.array([10.0])})
    >>> float(events[0][0]), float(others[0][0])
    (3.0, 7.0)
    """
    matched = tuple(inputs[name] for name in MATCHED_CELLS if name in inputs)
    if matched:
        return matched, ()
    prefixes = [p for p in PREFIXES if f"{p}events" in inputs]
    events = tuple(inputs[f"{p}events"] for p in prefixes)
    sizes = [inputs.get(f"{p}n", inputs.get("n")) for p in prefixes]
    others = tuple(n - x for n, x in zip(sizes, events, strict=True) if n is not None)
    return events, others


def add_to_cells(inputs: Mapping[str, Array], rule: ZeroCells, touched: Mask) -> dict[str, Array]:
    """Return the inputs with the addition of `rule` in the studies that are touched.

    Person-times stay as they are.

    Examples
    --------
    >>> counts = {"events": np.array([0.0]), "n": np.array([10.0])}
    >>> {name: float(x[0]) for name, x in add_to_cells(counts, ZeroCells(0.5), np.array([True])).items()}
    {'events': 0.5, 'n': 11.0}
    """
    add = np.where(touched, rule.add, 0.0)
    per_group = 2 * add if rule.cells == "all" else add
    more = {name: add for name in inputs if name.endswith("events") or name in MATCHED_CELLS}
    more |= {name: per_group for name in ("treatment_n", "control_n", "n") if name in inputs}
    return {name: values + more[name] if name in more else values for name, values in inputs.items()}
