"""An analysis, run once into a fresh folder: the module of tests names its script as NAME."""

from __future__ import annotations

import sys

import pandas as pd
import pytest

from metaexo.report.run import Folders, run_analysis


@pytest.fixture(scope="module")
def run(root, tmp_path_factory, request):
    """Return a function that runs the script on a folder of sheets, ours unless told, into a fresh folder."""

    def run(data=root / "data"):
        folders = Folders(root / "analyses", data, tmp_path_factory.mktemp("run"))
        return folders, run_analysis(root / "analyses" / f"{request.module.NAME}.py", folders)

    return run


@pytest.fixture(scope="module")
def ours(run):
    """Return the folders and the analysis of one run on our sheets."""
    return run()


@pytest.fixture(scope="module")
def script(ours, request):
    """Return the module of the script, which the run has loaded: its functions make the sentences."""
    return sys.modules[f"analyses.{request.module.NAME}"]


@pytest.fixture(scope="module")
def folders(ours):
    """Return the folders of a run on our sheets."""
    return ours[0]


@pytest.fixture(scope="module")
def table(folders, request):
    """Return a function that reads a table of the run by its name."""
    return lambda name: pd.read_csv(folders.results / f"{request.module.NAME[:2]}_{name}.csv")
