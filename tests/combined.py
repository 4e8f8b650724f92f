"""Cases of tests that take time: some of each kind in ``make test``, all of them in ``make test-long``."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest


def combined(**choices: Iterable[object]) -> pytest.MarkDecorator:
    """Parametrize by every combination of choices; all but one of each choice are `long`.

    ``make test`` takes each choice once, beside one of each of the others; ``make test-long`` the rest.
    """
    lists = {name: list(values) for name, values in choices.items()}
    most = max(map(len, lists.values()))
    once = {tuple(i % len(values) for values in lists.values()) for i in range(most)}
    cases = [
        pytest.param(
            *(values[i] for values, i in zip(lists.values(), places, strict=True)),
            marks=() if places in once else pytest.mark.long,
        )
        for places in itertools.product(*(range(len(values)) for values in lists.values()))
    ]
    return pytest.mark.parametrize(list(lists), cases)


def some_of(cases: Iterable[object], first: int) -> list[object]:
    """Return cases of which the first are always tested and the others are `long`."""
    return [case if i < first else pytest.param(case, marks=pytest.mark.long) for i, case in enumerate(cases)]
