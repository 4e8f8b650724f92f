"""What follow-up of each length excludes: a risk over that time, and a rate per person-year."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metaexo.effects.counts import EventCounts
from metaexo.errors import InputError
from metaexo.formatting import level_words, number, plural
from metaexo.inputs import check_level, read_numbers
from metaexo.safety.results import (
    Arm,
    OneArmResult,
    first_low,
    one_arm,
    risk_words,
    same_study_cautions,
)
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

WEEKS_PER_YEAR = 365.25 / 7
NO_WEEKS = "the follow-up is missing, and the people count at no follow-up"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FollowUpLimits(OneArmResult):
    """Result of :func:`by_follow_up`.

    Attributes
    ----------
    weeks : ndarray, shape (w,)
        Lengths of follow-up, in weeks, in ascending order.
    studies : ndarray of int, shape (w,)
        Rows of counts that were followed at least so long.
    people, seen_events : ndarray of int, shape (w,)
        People in them, and events among these.
    person_years : ndarray, shape (w,)
        Their whole person-time, in years.
    risk_limit : ndarray, shape (w,)
        Upper limit of the common risk over that follow-up.
    rate_limit : ndarray, shape (w,)
        Upper limit of the rate per person-year.
    missing : int
        Rows without a length of follow-up.
    """

    weeks: Array
    studies: Index
    people: Index
    seen_events: Index
    person_years: Array
    risk_limit: Array
    rate_limit: Array
    missing: int

    @property
    def method(self) -> str:
        """How the limits were found."""
        return "exact one-sided limits: Clopper-Pearson for risks, Garwood for rates per person-year"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the limits rest on."""
        return (
            "everyone was followed for the whole follow-up of the study",
            "a risk, or a rate, that is the same in all studies; the rate does not change with time",
        )

    @property
    def sentence(self) -> str:
        """What the longest follow-up excludes, and what all follow-up does."""
        first = self._line(
            -1, f"at least {number(float(self.weeks[-1]), 1).removesuffix('.0')} weeks, the longest,"
        )
        if self.weeks.size == 1:
            return f"{first}."
        return f"{first}; {first_low(self._line(0, 'any time'))}."

    def _line(self, i: int, how_long: str) -> str:
        x, n = int(self.seen_events[i]), int(self.people[i])
        what = "No event" if x == 0 else plural(x, "event")
        return (
            f"{what} in {n:,} {'person' if n == 1 else 'people'} followed for {how_long} "
            f"{'exclude' if x > 1 else 'excludes'} a rate "
            f"above {number(float(self.rate_limit[i]), 3)} per person-year and a risk above "
            f"{risk_words(float(self.risk_limit[i]), False)} ({level_words(self.level)}, one-sided)"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per length of follow-up: who was followed so long, and what that excludes."""
        import pandas as pd

        names = ("weeks", "studies", "people", "seen_events", "person_years", "risk_limit", "rate_limit")
        table = {name: getattr(self, name) for name in names}
        return pd.DataFrame(table).rename(columns={"seen_events": "events"})


def by_follow_up(
    counts: EventCounts,
    weeks: str | Sequence[float] | ArrayLike,
    *,
    arm: Arm | None = None,
    level: float = 0.95,
) -> FollowUpLimits:
    r"""Return what follow-up of at least each length excludes.

    Use it because harm that takes a year to appear is not excluded by people who were followed for a month.
    For each length w of follow-up, the studies that followed their people for at least w weeks give the
    number of people N and their person-years T; with x events the largest risk is the exact limit of x in N,
    and the largest rate

    .. math:: \lambda_U = \tfrac12 \chi^2_{2 x + 2,\, \text{level}} / T ,

    which is 3 / T for x = 0 and 95%.

    Parameters
    ----------
    counts : EventCounts
        Counts of people of one arm, or of two arms, with `arm`.
    weeks : str or array_like
        Follow-up of each row in weeks, or the name of a column of the counts. Rows without it count at no
        length, with a caution.
    arm : {"treatment", "control"}, optional
        Arm of counts of two arms.
    level : float
        Confidence level of the one-sided limits.

    Returns
    -------
    FollowUpLimits
        One entry per length of follow-up, ascending.

    Raises
    ------
    InputError
        If the counts are in person-time, a follow-up is not above 0, or all are missing.

    References
    ----------
    Garwood (1936), Biometrika 28, 437-442. https://doi.org/10.1093/biomet/28.3-4.437

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(events=[0, 0, 0, 0], n=[12, 8, 30, 10])
    >>> found = mx.safety.by_follow_up(counts, [4, 52, 12, 12])
    >>> found.to_frame().round(3)[["weeks", "people", "person_years", "rate_limit"]].values.tolist()
    [[4.0, 60.0, 18.092, 0.166], [12.0, 48.0, 17.172, 0.174], [52.0, 8.0, 7.973, 0.376]]
    """
    rows = one_arm(counts, arm, "by_follow_up")
    if rows.person_time:
        raise InputError(
            "the counts are in person-time", "counts of people with their follow-up", "hand in events= and n="
        )
    check_level(level)
    given = rows.column(weeks) if isinstance(weeks, str) else weeks
    rows.check_index("weeks", given)
    length = read_numbers(given, "weeks", rows=[rows._row_name(i) for i in range(rows.k)], ndim=1)
    if length.shape != (rows.k,):
        raise InputError(f"weeks has {length.size} entries for {plural(rows.k, 'row')}", "one for each row")
    wrong = np.flatnonzero(~(np.isnan(length) | ((length > 0) & (length < np.inf))))
    if wrong.size:
        raise InputError(
            "weeks is not above 0",
            "follow-up in weeks; NaN where it is not reported",
            "",
            [f"{rows._row_name(int(i))}: {length[i]:g}" for i in wrong],
        )
    known = ~np.isnan(length)
    if not known.any():
        raise InputError("the follow-up of every row is missing", "a follow-up in weeks for at least one row")
    x, n = rows.events[:, 0], rows.totals[:, 0]
    at = np.unique(length[known])
    reached = length[None, :] >= at[:, None]
    people, events = reached @ n, reached @ x
    years = reached @ np.where(known, n * length, 0.0) / WEEKS_PER_YEAR
    tail = 1 - level
    open_ended = events >= people
    safe = np.where(open_ended, people - 1, events)
    gone = int((~known).sum())
    said = (f"{plural(gone, 'row')} of {rows.k}: {NO_WEEKS}",) if gone else ()
    return FollowUpLimits(
        counts=rows,
        level=float(level),
        said=(*said, *same_study_cautions(rows)),
        weeks=at,
        studies=reached.sum(axis=1).astype(np.intp),
        people=people.astype(np.intp),
        seen_events=events.astype(np.intp),
        person_years=years,
        risk_limit=np.where(open_ended, 1.0, special.betainccinv(safe + 1, people - safe, tail)),
        rate_limit=special.gammainccinv(events + 1, tail) / years,
        missing=gone,
    )
