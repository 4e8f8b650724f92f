"""Time points in words."""

from __future__ import annotations

import math

import pytest

from metaexo.evidence.descriptions.rows import days_after


@pytest.mark.parametrize(
    ("words", "days"),
    [
        ("day 7", 7),
        ("12 weeks", 84),
        ("12-week", 84),
        ("week 10", 70),
        ("weeks 2 and 4", 28),
        ("3 to 12 days", 12),
        ("D0", 0),
        ("D21", 21),
        ("6 months", 182.625),
        ("2 years", 730.5),
        ("48 hours", 2),
        ("day 7, 12 weeks", 84),
        ("not clear (about day 16)", 16),
        ("1.5 Weeks", 10.5),
    ],
)
def test_the_last_time_is_told_in_days(words, days):
    assert days_after(words) == pytest.approx(days)


@pytest.mark.parametrize(
    "words", ["end of study", "after 4-5 sessions", "", None, math.nan, "not stated", "D"]
)
def test_words_without_a_time_have_none(words):
    assert math.isnan(days_after(words))
