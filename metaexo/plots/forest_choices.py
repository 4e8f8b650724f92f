"""What the caller of a forest plot chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from metaexo.plots.plan import Column


@dataclass(frozen=True, slots=True)
class Choices:
    """What the caller of a forest plot chose; see :func:`metaexo.plots.forest_plan`."""

    columns: tuple[Column, ...] | None = None
    by: str | None = None
    order: str = "given"
    level: float | None = None
    weights: str | None = "overall"
    digits: int = 2
    prediction: bool = True
    heterogeneity: bool = True
    between: bool = True
    overall: bool = True
    overall_label: str = "All studies"
    wording: Mapping[str, str] = field(default_factory=dict)
    remark: str | None = None
