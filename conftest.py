"""What holds for all tests, the examples in docstrings and in the guide included."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def _no_open_figures():
    """Close what a test drew through pyplot."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
