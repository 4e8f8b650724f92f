"""Settings that all tests share."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "agg")

# The same cases on every run; METAEXO_HYPOTHESIS=thorough draws many new ones.
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=25, database=None)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("METAEXO_HYPOTHESIS", "ci"))


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the folder of the checkout."""
    return Path(__file__).resolve().parents[1]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep the thousands of collected tests out of every later garbage collection: they stay anyway."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def no_collection_per_adjustment() -> Iterator[None]:
    """Let statsmodels adjust p-values by Holm's method without collecting all garbage, 0.1 s a time here."""
    collect = gc.collect

    def unless_adjusting(generation: int = 2) -> int:
        caller = sys._getframe(1).f_globals.get("__name__")
        return 0 if caller == "statsmodels.stats.multitest" else collect(generation)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", unless_adjusting)
        yield
