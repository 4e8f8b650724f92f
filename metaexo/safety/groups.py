"""What few or no events exclude in each group of studies: by route, by source, by kind of donor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects import split
from metaexo.effects.counts import EventCounts
from metaexo.formatting import level_words
from metaexo.safety.limits import UpperLimit, upper_limit
from metaexo.safety.results import (
    Arm,
    OneArmResult,
    events_seen,
    first_low,
    one_arm,
    risk_words,
    same_study_cautions,
)
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

NO_COMPARISON = (
    "no group has an event: limits differ because groups hold different numbers of people, and do not "
    "compare their risks"
)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GroupLimits(OneArmResult):
    """Result of :func:`limits_by_group`.

    Attributes
    ----------
    by : str
        What the groups are of: the name of the column, or of several, joined by " / ".
    groups : tuple of str
        Names of the groups, in alphabetical order.
    limits : tuple of UpperLimit
        The upper limit of each group.
    """

    by: str
    groups: tuple[str, ...]
    limits: tuple[UpperLimit, ...]

    @property
    def limit(self) -> Array:
        """Upper limit of each group, shape (groups,)."""
        return np.array([found.value for found in self.limits])

    @property
    def method(self) -> str:
        """How the limits were found."""
        return f"in each group, {self.limits[0].method}"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the limits rest on."""
        return tuple(
            one.replace("all studies", "all studies of a group") for one in self.limits[0].assumptions
        )

    @property
    def sentence(self) -> str:
        """The smallest and the largest limit."""
        order = np.argsort(self.limit, kind="stable")
        ends = order[[0, -1]] if len(order) > 1 else order
        what = self.limits[0].quantity
        told = [
            f"{self.groups[i]} {risk_words(self.limits[i].value, self.person_time)}, with "
            f"{first_low(events_seen(self.limits[i].counts))}"
            for i in ends
        ]
        return (
            f"Largest {what} that is not excluded, by {self.by} ({level_words(self.level)}, one-sided): "
            f"{'; '.join(told)}."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per group: its studies, people and events, and the limit."""
        import pandas as pd

        return pd.DataFrame(
            {
                "group": name,
                "studies": found.m,
                "without_event": found.without_event,
                "people": found.total,
                "events": found.events,
                "limit": found.value,
            }
            for name, found in zip(self.groups, self.limits, strict=True)
        ).rename(columns={"people": "person_time"} if self.person_time else {})


def limits_by_group(
    counts: EventCounts,
    by: str | Sequence[str],
    *,
    arm: Arm | None = None,
    level: float = 0.95,
    heterogeneity: float = 0.0,
) -> GroupLimits:
    """Return the largest risk, or rate, that is left possible in each group of studies.

    Use it to show what is known by route, source or kind of donor. Each group is asked by itself, as in
    :func:`upper_limit`. A group with few people has a high limit whatever its risk is, so that limits of
    groups without events are not to be compared; a caution says so.

    Parameters
    ----------
    counts : EventCounts
        Counts of one arm, or of two arms, with `arm`.
    by : str or sequence of str
        Column of the data, or several: each combination of their values is a group. A missing value counts
        as "not reported".
    arm : {"treatment", "control"}, optional
        Arm of counts of two arms.
    level : float
        Confidence level of the one-sided limits.
    heterogeneity : float
        How much study risks vary within a group, on the default scale of :func:`upper_limit`: 0 for a
        common risk.

    Returns
    -------
    GroupLimits
        One limit per group, in alphabetical order of the groups.

    Raises
    ------
    UnknownChoiceError
        If a name in `by` is not a column of the data.
    InputError
        If the counts are no counts, or the heterogeneity is not on the scale.

    See Also
    --------
    by_follow_up : What follow-up of each length excludes.

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(events=[0, 0, 0], n=[12, 8, 30])
    >>> counts = counts.with_columns(route=["inhaled", "topical", "topical"])
    >>> found = mx.safety.limits_by_group(counts, "route")
    >>> found.to_frame().round(3).values.tolist()
    [['inhaled', 1, 1, 12.0, 0, 0.221], ['topical', 2, 2, 38.0, 0, 0.076]]
    """
    rows = one_arm(counts, arm, "limits_by_group")
    parts = split(rows, by)
    found = tuple(upper_limit(part, level=level, heterogeneity=heterogeneity) for part in parts.values())
    said = (NO_COMPARISON,) if len(parts) > 1 and not rows.events.any() else ()
    return GroupLimits(
        counts=rows,
        level=float(level),
        said=(*said, *same_study_cautions(rows)),
        by=by if isinstance(by, str) else " / ".join(by),
        groups=tuple(" / ".join(key) for key in parts),
        limits=found,
    )
