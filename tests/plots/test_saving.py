"""What a saved file holds: the pages that were asked for, and texts where they were put."""

from __future__ import annotations

import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.text import Text

import metaexo as mx
from metaexo.errors import InputError


@pytest.fixture
def pages():
    """Return the pages of a forest plot of 50 studies, 20 rows each."""
    effects = mx.EffectSizes(np.linspace(0, 1, 50), [0.02] * 50, labels=[f"Study {i}" for i in range(50)])
    return mx.plots.pages_of(mx.plots.forest(effects, pages=20))


def pages_in(path) -> int:
    return len(re.findall(rb"/Type /Page\b", path.read_bytes()))


def test_one_axes_stand_for_all_pages_and_a_list_for_those_in_it(pages, tmp_path) -> None:
    assert len(pages) == 3
    for given, count in ((pages[0], 3), (pages[0].figure, 3), (pages, 3), (pages[1:], 2), (pages[:1], 1)):
        assert pages_in(mx.plots.save(given, tmp_path / "pages.pdf")) == count


def test_every_page_can_have_a_file_of_its_own(pages, tmp_path) -> None:
    with pytest.raises(InputError, match=r"3 pages for one SVG file.*save\(\[page\]"):
        mx.plots.save(pages[0], tmp_path / "all.svg")
    seen: list[str] = []
    for i, page in enumerate(pages):
        text = mx.plots.save([page], tmp_path / f"{i}.svg").read_text(encoding="utf8")
        seen += re.findall(r">(Study \d+)</text>", text)
    assert seen == [f"Study {i}" for i in range(50)]


def test_many_pages_are_drawn_without_a_warning() -> None:
    """Matplotlib warns of more than 20 open figures; here they were asked for."""
    effects = mx.EffectSizes(np.linspace(0, 1, 66), [0.02] * 66)
    assert len(mx.plots.pages_of(mx.plots.forest(effects, pages=3))) == 22


class Recorder(RendererAgg):
    """Keeps where texts are drawn."""

    def __init__(self, figure) -> None:
        super().__init__(int(figure.bbox.width), int(figure.bbox.height), figure.dpi)
        self.places: dict[str, float] = {}

    def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None) -> None:
        width = self.get_text_width_height_descent(s, prop, ismath)[0]
        self.places[s] = x + width * {"left": 0, "center": 0.5, "right": 1}[mtext.get_horizontalalignment()]


@pytest.mark.parametrize("change", ["nothing", "text", "size", "font"])
def test_a_text_that_was_changed_stays_aligned(change: str) -> None:
    """A cell ends where its column does, whatever its text and its letters become."""
    ax = mx.plots.forest(mx.EffectSizes([0.125, 0.375], [0.02, 0.05], labels=["Li 2020", "Cho 2021"]))
    figure = ax.figure
    cells = [one for one in figure.findobj(Text) if one.get_text() in ("0.12", "0.38", "Li 2020")]
    assert {cell.get_horizontalalignment() for cell in cells} == {"left", "right"}
    for cell in cells:
        if change == "text":
            cell.set_text(f"about {cell.get_text()}")
        elif change == "size":
            cell.set_fontsize(14)
        elif change == "font":
            cell.set_fontweight("bold")
    recorder = Recorder(figure)
    figure.draw(recorder)
    for cell in cells:
        place = cell.get_transform().transform(cell.get_unitless_position())[0]
        assert recorder.places[cell.get_text()] == pytest.approx(place, abs=0.6)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "figure is None"),
        ([], "figure is an empty list"),
        ("plot", "figure is a str"),
        ([None], "a page is None"),
    ],
)
def test_what_is_no_figure_is_called_so(given, said, tmp_path) -> None:
    with pytest.raises(InputError, match=f"{said}.*any of its Axes, or a list of pages") as found:
        mx.plots.save(given, tmp_path / "a.svg")
    assert "ax=" not in str(found.value)
