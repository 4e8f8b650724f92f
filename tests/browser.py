"""A real Chromium for tests of pages: found on this machine, never downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
HOW = (
    "no Chromium was found on this machine; install one (Debian: apt-get install chromium; "
    "Windows and macOS: Google Chrome, or python -m playwright install chromium)"
)


@contextmanager
def opened_browser() -> Iterator:
    """Start Chromium without a window; skip the test, and say how to install it, where there is none.

    Close it before anything else in the same process runs an event loop of its own.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        own = Path(started.chromium.executable_path)
        found = next(filter(None, map(shutil.which, NAMES)), None) or (str(own) if own.exists() else None)
        if found is None:
            pytest.skip(HOW)
        # root has no sandbox in containers; a small /dev/shm would end the browser
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = started.chromium.launch(executable_path=found, args=options)
        try:
            yield browser
        finally:
            browser.close()
