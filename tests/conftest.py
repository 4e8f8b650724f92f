"""Settings that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.browser import opened_browser

os.environ.setdefault("MPLBACKEND", "agg")
# Workers share the cores: linear algebra on several threads in each makes them wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# The same cases on every run; METAEXO_HYPOTHESIS=thorough draws many new ones.
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=25, database=None)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("METAEXO_HYPOTHESIS", "ci"))


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the folder of the checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def browser():
    """Return a real Chromium, the same for all tests of a file; tests are skipped where there is none."""
    with opened_browser() as found:
        yield found
