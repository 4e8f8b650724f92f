"""What an analysis says of our sheets, and runs on others: the module of tests names its script as NAME."""

from __future__ import annotations

import shutil
from importlib import import_module

import pandas as pd
import pytest

from metaexo.report.answers import read_answers, update_answers
from metaexo.report.collected import Folders, read_summary, update_summary
from metaexo.report.run import Analysis, run_analysis


@pytest.fixture(scope="module")
def run(root, tmp_path_factory, request):
    """Return a function that runs the script on a folder of sheets into a fresh folder."""

    def run(data):
        folders = Folders(root / "analyses", data, tmp_path_factory.mktemp("run"))
        return folders, run_analysis(root / "analyses" / f"{request.module.NAME}.py", folders)

    return run


@pytest.fixture(scope="module")
def ours(root, tmp_path_factory, request):
    """Return the folders and the analysis of our sheets: of what is committed, the part of this script alone.

    That it is what the script makes is tested by ``metaexo reproduce --check``, which runs them all.
    """
    name = request.module.NAME
    all_scripts, alone = Folders.of(root), Folders.of(root, tmp_path_factory.mktemp("ours"))
    for source, target in ((all_scripts.results, alone.results), (all_scripts.figures, alone.figures)):
        target.mkdir(parents=True)
        for path in source.glob(f"{name[:2]}_*"):
            shutil.copy(path, target)
    said = [one for one in read_answers(all_scripts.results / "answers.csv") if one.script == name]
    words = read_summary(all_scripts.results / "summary.md")[name]
    update_answers(alone.results, name, said, [name])
    update_summary(alone.results / "summary.md", name, words, [name])
    title, _answer, *paragraphs = words.split("\n\n")
    script = root / "analyses" / f"{name}.py"
    return alone, Analysis(script, title, alone, paragraphs=paragraphs, sentences=said)


@pytest.fixture(scope="module")
def script(request):
    """Return the module of the script: its functions make the sentences."""
    return import_module(f"analyses.{request.module.NAME}")


@pytest.fixture(scope="module")
def folders(ours):
    """Return the folders of what is said of our sheets."""
    return ours[0]


@pytest.fixture(scope="module")
def table(folders, request):
    """Return a function that reads a table of our sheets by its name."""
    return lambda name: pd.read_csv(folders.results / f"{request.module.NAME[:2]}_{name}.csv")
