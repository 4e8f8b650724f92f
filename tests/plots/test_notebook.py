"""Figures show themselves in a notebook, at their size, and scripts draw where there is no display."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import nbformat
import pytest
from nbclient import NotebookClient

import metaexo as mx

HOMES = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
FIT = """
import metaexo as mx
names = ["Li 2020", "Cho 2021", "Diaz 2019", "Okafor 2022", "Moreau 2018"]
es = mx.EffectSizes([0.2, 0.3, 0.1, 0.25, 1.4], [0.02, 0.03, 0.02, 0.04, 0.02], labels=names)
fit = mx.RandomEffects(es).fit()
"""
CELLS = {
    "fit": FIT,
    "forest": "mx.plots.forest(fit)",
    "chart": "mx.plots.profile(fit.profile())",
    "narrow": "mx.plots.influence(fit, width=3.5, height=4.0, measures=['dffits']);",
    "none": "plan = mx.plots.forest_plan(fit)",
    "whole": "%config InlineBackend.print_figure_kwargs = {'bbox_inches': None}\n"
    "ax = mx.plots.influence(fit, measures=['dffits'])",
    "size": "print(*ax.figure.get_size_inches() * ax.figure.dpi)",
}


def size_of_png(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels, as the head of the file has them."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def executed(root: Path, folder: Path) -> dict[str, list[nbformat.NotebookNode]]:
    """Return what each cell of an executed notebook puts out, with nothing told to matplotlib."""
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=cells)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MPLBACKEND", raising=False)
        patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        for name in HOMES:
            patch.setenv(name, str(folder / name.lower()))
        client = NotebookClient(
            notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(root)}}
        )
        client.execute()
    return {name: cell["outputs"] for name, cell in zip(CELLS, notebook["cells"], strict=True)}


def images(cell: list[nbformat.NotebookNode]) -> list[tuple[int, int]]:
    """Return the sizes of the images that a cell puts out, in pixels."""
    found = [output["data"]["image/png"] for output in cell if "image/png" in output.get("data", {})]
    return [size_of_png(base64.b64decode(data)) for data in found]


def test_a_notebook_shows_every_figure_once_and_at_its_size(root, tmp_path) -> None:
    # one test, since each would start a kernel where tests run in several processes
    cells = executed(root, tmp_path)
    for name in ("forest", "chart"):
        ((width, height),) = images(cells[name])
        # a notebook cuts empty edges, and has 100 pixels per inch
        assert 650 <= width <= 720
        assert 100 <= height <= 1000
    ((width, height),) = images(cells["narrow"])
    assert 300 <= width <= 370
    assert 340 <= height <= 420
    assert cells["none"] == []  # a plan draws nothing
    (said,) = cells["size"]
    ((width, height),) = images(cells["whole"])
    assert width == 700
    assert (width, height) == pytest.approx(tuple(map(float, said["text"].split())), abs=1.0)
    assert not [out for cell in cells.values() for out in cell if out.get("name") == "stderr"]


def test_a_script_without_a_display_draws_and_saves(root, tmp_path) -> None:
    script = tmp_path / "figure.py"
    script.write_text(
        FIT
        + "import matplotlib.pyplot as plt\n"
        + "mx.plots.save(mx.plots.forest(fit), 'forest.png', dpi=100)\n"
        + "mx.plots.save(mx.plots.profile(fit.profile()), 'profile.png', dpi=100)\n"
        + "print(len(plt.get_fignums()))\n"
    )
    hidden = ("MPLBACKEND", "DISPLAY", "WAYLAND_DISPLAY")
    env = {key: value for key, value in os.environ.items() if key not in hidden} | {"PYTHONPATH": str(root)}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "2", "")
    for name in ("forest", "profile"):
        assert size_of_png((tmp_path / f"{name}.png").read_bytes())[0] == 700


def test_a_theme_sets_back_its_own_settings_alone() -> None:
    with mpl.rc_context():
        mpl.rcParams["interactive"] = False
        before = mpl.rcParams["font.size"]
        with mx.plots.THEMES["dark"].context():
            assert mpl.rcParams["font.size"] == mx.plots.THEMES["dark"].size != before
            mpl.rcParams["interactive"] = True  # as a notebook does when it makes its first figure
        assert mpl.rcParams["interactive"]
        assert mpl.rcParams["font.size"] == before
