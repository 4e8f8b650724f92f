"""What the caller of a forest plot may choose."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal

from metaexo.errors import InputError
from metaexo.inputs import check_choice
from metaexo.plots.canvas.arguments import Column
from metaexo.plots.canvas.plan import WIDTH
from metaexo.plots.canvas.scale import Scale
from metaexo.plots.canvas.theme import Theme, get_theme

WEIGHTS = ("overall", "stratum")
SCALES = ("linear", "log", "logit")
SUBTOTALS = ("only",)
STRATA_ORDERS = ("given", "estimate", "size", "label")
PER = (1, 100, 1000, 10_000, 100_000)
FORMAT = re.compile(r"(?P<open>[^{}]*)\{low\}(?P<middle>[^{}]*)\{high\}(?P<close>[^{}]*)")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Choices of a forest plot, as :func:`metaexo.plots.forest_plan` tells of them."""

    columns: str | Sequence[str | Column] | None = None
    heads: Mapping[str, Sequence[str]] | None = None
    titles: Mapping[str, str] | None = None
    by: str | None = None
    order: str = "given"
    descending: bool | None = None
    strata_order: str | Sequence[str] | None = None
    level: float | None = None
    models: Sequence[Any] = ()
    overall: bool = True
    overall_label: str = "All studies"
    subtotals: bool | Literal["only"] = True
    prediction: bool = True
    heterogeneity: bool = True
    between: bool = True
    test_effect: bool | None = None
    totals: bool | None = None
    fitted: bool = True
    weights: Literal["overall", "stratum"] | None = "overall"
    weight_column: bool = True
    decimals: int | Mapping[str, int] | None = None
    ci_format: str | None = None
    wording: Mapping[str, str] | None = None
    remark: str | None = None
    interval: Literal["exact", "mid-p", "wilson", "jeffreys"] = "exact"
    upper: bool = False
    per: float = 1.0
    label_title: str = "Study"
    scale: Scale | None = None
    limits: tuple[float, float] | None = None
    ticks: Sequence[float] | None = None
    reference: float | Literal["null"] | None = "null"
    axis_label: str | None = None
    favours: tuple[str, str] | None = None
    color: str | None = None
    marker_size: float = 9.0
    row_height: float | None = None
    pages: bool | int = False
    title: str = ""
    notes: Sequence[str] = ()
    ax: Any = None
    width: float = WIDTH
    height: float | None = None
    theme: str | Theme | None = None
    font_size: float | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any], **more: Any) -> Options:
        """Return the options among the local names of a function."""
        names = {one.name for one in fields(cls)}
        return cls(**({name: value for name, value in given.items() if name in names} | more))

    def __post_init__(self) -> None:
        if self.weights is not None:
            check_choice("weights", self.weights, WEIGHTS)
        if self.scale is not None:
            check_choice("scale", self.scale, SCALES)
        if isinstance(self.subtotals, str):
            check_choice("subtotals", self.subtotals, SUBTOTALS)
        if isinstance(self.strata_order, str):
            check_choice("strata_order", self.strata_order, STRATA_ORDERS)
        if self.per not in PER:
            raise InputError(
                f"per is {self.per!r}", "1, or 100, 1,000, 10,000 or 100,000 people", "choose per=1000"
            )
        if self.color is not None:
            self.look.color(self.color)
        least = 1.22 * self.look.size
        if self.row_height is not None and self.row_height < least:
            raise InputError(
                f"rows of {self.row_height:g} points are too low for letters of {self.look.size:g} points",
                f"at least {least:.1f} points",
            )
        if self.ci_format is not None and not FORMAT.fullmatch(self.ci_format):
            raise InputError(
                f"ci_format is {self.ci_format!r}",
                "a text with {low} and {high} in it, once each",
                'write ci_format="({low} to {high})"',
            )

    @cached_property
    def look(self) -> Theme:
        """The theme; read once, because every number of a table is written in its style."""
        return get_theme(self.theme, self.font_size)

    @property
    def journal(self) -> bool:
        """Whether heterogeneity and tests have rows of their own, and events and numbers are summed."""
        return self.look.totals if self.totals is None else self.totals

    def decimals_of(self, key: str, usual: int | None = 2) -> int | None:
        """Return the decimals of a column."""
        if isinstance(self.decimals, Mapping):
            return self.decimals.get(key, usual)
        return self.decimals if key == "estimate" and self.decimals is not None else usual

    def ends(self, negative: bool) -> tuple[str, str, str]:
        """Return what stands before, between and after the ends of an interval.

        A bare dash between them becomes "to" where an end is negative.
        """
        found = FORMAT.fullmatch(self.ci_format or self.look.interval)
        parts = ("[", " to ", "]") if found is None else (found["open"], found["middle"], found["close"])
        dash = parts[1].strip() in ("-", "\N{EN DASH}", "\N{EM DASH}")
        return (parts[0], " to ", parts[2]) if dash and negative else parts
