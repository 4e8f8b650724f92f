"""Time points in the words of a paper, as days."""

from __future__ import annotations

import math
import re

DAYS = {"hour": 1 / 24, "day": 1.0, "week": 7.0, "month": 365.25 / 12, "year": 365.25}

_UNIT = "|".join(DAYS)
_NUMBER = r"\d+(?:\.\d+)?\b"
_NUMBERS = rf"{_NUMBER}(?:\s*(?:,|-|–|to|and|or)\s*{_NUMBER})*"
_TIMES = re.compile(
    rf"(?P<count>{_NUMBERS})[\s-]*(?P<unit>{_UNIT})s?\b"
    rf"|\b(?P<named>{_UNIT})s?\s+(?P<place>{_NUMBERS})(?![\s-]*(?:{_UNIT}))"
    rf"|\bD(?P<short>{_NUMBER})",
    re.IGNORECASE,
)


def days_after(timepoint: object) -> float:
    """Return a time point in days, the last one if several are named; NaN if no time is told.

    Use it to put the time points of a study in order: "day 7", "12 weeks", "weeks 2 and 4", "D21".

    Parameters
    ----------
    timepoint : str or missing
        The words of the sheet.

    Returns
    -------
    float
        Days; a month is a twelfth of 365.25 days.

    Examples
    --------
    >>> days_after("12 weeks"), days_after("weeks 2 and 4"), days_after("3 to 12 days"), days_after("D21")
    (84.0, 28.0, 12.0, 21.0)
    >>> days_after("end of study")
    nan
    """
    if not isinstance(timepoint, str):
        return math.nan
    found = [_days(match) for match in _TIMES.finditer(timepoint)]
    return max(found, default=math.nan)


def _days(match: re.Match[str]) -> float:
    unit = (match["unit"] or match["named"] or "day").lower()
    numbers = match["count"] or match["place"] or match["short"]
    return max(float(number) for number in re.findall(_NUMBER, numbers)) * DAYS[unit]
