"""The comparison of committed and made files: what passes, and above all what does not."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imsave

from metaexo.report.compare import SHADE_ATOL, compare_files, compare_folders


@pytest.fixture
def pair(tmp_path):
    """Return a function that writes two versions of a file and compares them."""

    def compare(name, committed, made):
        for folder, content in (("committed", committed), ("made", made)):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).write_text(content, encoding="utf-8", newline="\n")
        return compare_files(tmp_path / "committed" / name, tmp_path / "made" / name)

    return compare


TABLE = "stratum,k,tau2,p\nplasma,12,0.25,1e-20\nurine,3,,\n"


def test_the_same_bytes_are_identical(pair):
    assert pair("a.csv", TABLE, TABLE).verdict == "identical"


def test_a_table_may_differ_by_rounding_and_says_by_how_much(pair):
    found = pair("a.csv", TABLE, TABLE.replace("0.25", "0.25000001"))
    assert found.verdict == "equal within tolerance"
    assert "4.0e-08" in found.detail
    assert "line 2, tau2" in found.detail


def test_two_ways_to_write_zero_are_equal(pair):
    assert pair("a.csv", "x\n0.0\n", "x\n-0\n").verdict == "equal within tolerance"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.25", "0.250001"),  # a relative 4e-6
        ("0.25", ""),  # a value that went missing
        ("0.25", "nan"),
        (",12,", ",13,"),  # a count
        ("1e-20", "1e-11"),
        ("plasma", "serum"),  # a word
        ("tau2", "tau"),  # a heading
        ("urine,3,,\n", ""),  # a row
        ("stratum,k", "k,stratum"),  # the order of columns
        ("urine,3,,", "urine,3,"),  # a cell
    ],
)
def test_a_real_difference_in_a_table_fails(pair, old, new):
    found = pair("a.csv", TABLE, TABLE.replace(old, new))
    assert found.verdict == "different"
    assert found.detail
    assert not found.agrees


def test_a_large_count_must_be_exact(pair):
    assert not pair("a.csv", "n\n100000000\n", "n\n100000001\n").agrees


DRAWING = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="300pt">
<metadata>made by 1.0</metadata>
<g id="p1a2b"><path d="M 10.5 20.25 L 30 40" style="fill: #1e5f77; stroke-width: 0.8"/></g>
<use xlink:href="#p1a2b" clip-path="url(#p1a2b)"/>
<text x="12" y="3.5">tau2 = 0.45</text>
</svg>
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("20.25", "20.251"),
        ("p1a2b", "q9z8"),  # the name of a part, everywhere
        ("made by 1.0", "made by 2.0"),
        ("300pt", "300.001pt"),
    ],
)
def test_a_drawing_may_shift_by_less_than_the_eye_sees(pair, old, new):
    assert pair("a.svg", DRAWING, DRAWING.replace(old, new)).verdict == "equal within tolerance"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("20.25", "20.5"),
        ("20.25", "20.25 7"),
        ("20.25", "9e999"),
        ("0.45", "0.451"),  # a printed number has no tolerance
        ("tau2", "tau3"),
        ("#1e5f77", "#1e5f78"),
        ("#1e5f77", "#1e9f77"),  # colours that would read as numbers
        ("stroke-width", "stroke-height"),
        ('xlink:href="#p1a2b"', 'xlink:href="#other"'),
        ("<metadata>", "<desc>a</desc><metadata>"),
        ('<text x="12" y="3.5">tau2 = 0.45</text>', ""),
        ("path d", "line d"),
    ],
)
def test_a_real_difference_in_a_drawing_fails(pair, old, new):
    assert pair("a.svg", DRAWING, DRAWING.replace(old, new)).verdict == "different"


@pytest.fixture
def pictures(tmp_path):
    def compare(committed, made):
        for name, pixels in (("committed.png", committed), ("made.png", made)):
            imsave(tmp_path / name, pixels)
        return compare_files(tmp_path / "committed.png", tmp_path / "made.png")

    return compare


@pytest.mark.parametrize(("shift", "agrees"), [(0.5 * SHADE_ATOL, True), (2 * SHADE_ATOL, False)])
def test_one_pixel_decides(pictures, shift, agrees):
    pixels = np.full((20, 30, 3), 0.5)
    other = pixels.copy()
    other[3, 4, 1] += shift
    found = pictures(pixels, other)
    assert found.verdict == ("equal within tolerance" if agrees else "different")
    if not agrees:
        assert found.detail == "1 of 600 pixels differ"


def test_pictures_of_different_size_differ(pictures):
    assert not pictures(np.zeros((4, 4, 3)), np.zeros((4, 5, 3))).agrees


def test_texts_must_be_equal_but_for_line_ends(pair):
    assert pair("a.md", "k = 3\nend\n", "k = 3\r\nend\r\n").verdict == "equal within tolerance"
    assert pair("a.md", "k = 3\n", "k = 4\n").detail == "line 1: k = 3 before, k = 4 now"
    assert not pair("a.md", "k = 3\n", "k = 3\nmore\n").agrees


@pytest.mark.parametrize("name", ["a.md", "a.csv"])
def test_a_difference_late_in_a_long_sentence_is_shown(pair, name):
    sentence = "No serious adverse event was counted in any of the people who were followed up: {} people.\n"
    detail = pair(name, "words\n" + sentence.format(156), "words\n" + sentence.format(372)).detail
    assert "156 people. before" in detail
    assert "372 people. now" in detail
    assert len(detail) < 200


def test_a_missing_file_and_an_extra_file_fail(tmp_path):
    for folder, names in (("committed", ["a.csv", "b.csv"]), ("made", ["a.csv", "c.csv"])):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_text("x\n1\n")
    found = compare_folders(tmp_path / "committed", tmp_path / "made")
    verdicts = {item.file: (item.verdict, item.agrees) for item in found}
    assert verdicts == {
        "a.csv": ("identical", True),
        "b.csv": ("not made", False),
        "c.csv": ("new", False),
    }


def test_a_folder_that_is_not_there_counts_as_empty(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a.csv").write_text("x\n")
    found = compare_folders(tmp_path / "nowhere", tmp_path / "made")
    assert [item.verdict for item in found] == ["new"]
