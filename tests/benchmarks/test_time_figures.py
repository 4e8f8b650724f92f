"""The benchmark of drawing: its table of work, what it draws, and its page. No time is asserted."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from benchmarks import figures
from benchmarks.figures import DRAWINGS, ENDINGS, OURS, RIVAL, SIDES, SIZES, Drawing, Found, R, task

ALL = [*SIDES, R]


def filled(slower: float = 2.0) -> Found:
    """Return a run in which each side takes `slower` times as long as the one before it."""
    found = Found()
    for place, name in enumerate(ALL):
        for rows in figures.sizes_of(name):
            made = [Drawing(rows, e, rows * 1e-4 * slower**place, 0.3, 5.0) for e in ENDINGS]
            found.add(name, made)
    return found


@pytest.mark.parametrize("name", ALL)
def test_every_side_is_asked_for_every_size_and_format(name: str) -> None:
    work = Counter((one.rows, one.ending) for one in figures.tasks_of(name, SIZES, 0, Found()))
    sizes = figures.sizes_of(name)
    assert work == {(rows, ending): DRAWINGS[rows] for rows in sizes for ending in ENDINGS}


def test_all_sides_draw_the_same_data_and_none_twice() -> None:
    seen = set()
    for turn in range(figures.ROUNDS):
        ours, theirs = (figures.tasks_of(name, SIZES, turn, Found()) for name in (OURS, R))
        assert ours == theirs
        seen |= {tuple(one.y) for one in ours}
        assert all(one.rows == len(one.y) == len(one.v) == len(set(one.labels)) for one in ours)
    assert len(seen) == figures.ROUNDS * len(ENDINGS) * sum(DRAWINGS.values())
    warm = {tuple(task(SIZES[0], ending, 0).y) for ending in ENDINGS}
    assert not warm & seen


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_drawing_is_a_file_with_every_study(tmp_path, ending: str) -> None:
    work = task(13, ending, 1)
    made = figures.drawn(SIDES[OURS], work, tmp_path)
    assert made.failure == ""
    assert made.seconds is not None
    assert made.inches > 0
    assert made.estimate == pytest.approx(
        figures.fit_metaexo(np.array(work.y), np.array(work.v), work.labels)[1]
    )
    (written,) = tmp_path.glob(f"*.{ending}")
    assert written.stat().st_size > 0
    if ending == "svg":
        text = written.read_text(encoding="utf8")
        assert all(label in text for label in work.labels)


def test_a_side_that_fails_or_takes_too_long_says_so_and_is_not_asked_again(tmp_path, monkeypatch) -> None:
    def broken(fit: object, path: object) -> list[object]:
        raise ValueError("too tall\nfor this format")

    def endless(fit: object, path: object) -> list[object]:
        while True:
            pass

    monkeypatch.setattr(figures, "LIMIT", 0.05)
    for draw, words in ((broken, "too tall"), (endless, "stopped after 0.05 s")):
        side = figures.Side("metaexo", "metaexo", figures.fit_metaexo, draw)
        made = figures.drawn(side, task(13, "png", 1), tmp_path)
        assert (made.seconds, made.failure) == (None, words)
        found = Found()
        found.add(RIVAL, [made])
        asked = {(one.rows, one.ending) for one in figures.tasks_of(RIVAL, SIZES, 1, found)}
        assert asked == {(rows, e) for rows in SIZES for e in ENDINGS} - {(13, "png")}
        assert figures.failures(found, [RIVAL], SIZES) == [f"{RIVAL} draws no PNG of 13 rows: {words}."]
        assert "| – |" in figures.table(found, [RIVAL], (13,))


def test_the_table_has_a_line_for_each_side_and_the_least_times() -> None:
    found = filled()
    found.add(RIVAL, [Drawing(150, "svg", 1.0, 0.3, 5.0)])  # a slower round changes nothing
    lines = figures.table(found, ALL, SIZES).splitlines()[2:]
    wanted = sum(len(figures.sizes_of(name)) for name in ALL)
    assert len(lines) == wanted
    (line,) = [one for one in lines if one.startswith(f"| 150 | {RIVAL} |")]
    ratio = 2 ** ALL.index(RIVAL)
    assert line == f"| 150 | {RIVAL} | 5 |" + f" {0.015 * ratio:.3f} | {ratio} |" * 3


def test_targets_are_judged_by_the_times() -> None:
    fast, slow = (figures.targets(filled(slower), SIZES) for slower in (2.0, 0.5))
    assert len(fast) == len(figures.TARGETS) + len(SIZES) * len(ENDINGS)
    assert all(line.endswith(", met.") for line in fast)
    rival = [line for line in slow if RIVAL in line]
    assert len(rival) == len(SIZES) * len(ENDINGS)
    assert all(line.endswith(", not met.") for line in rival)


def test_sides_that_are_not_installed_are_named() -> None:
    text = figures.page(filled(), [OURS], SIZES)
    for name in (RIVAL, "forestplot", R):
        assert f"{name} was not installed." in text
    assert re.search(r"metaexo \d", text)


def test_the_stored_page_is_whole() -> None:
    """Every side has a line for each of its sizes, and every target a verdict."""
    lines = figures.PAGE.read_text(encoding="utf8").splitlines()
    for name in ALL:
        for rows in figures.sizes_of(name):
            assert len([line for line in lines if line.startswith(f"| {rows:,} | {name} |")]) == 1
    judged = [line for line in lines if line.endswith((", met.", ", not met."))]
    assert len(judged) == len(figures.TARGETS) + len(SIZES) * len(ENDINGS)


def test_different_estimates_stop_the_run(monkeypatch) -> None:
    def other(name: str, work: list[figures.Task]) -> list[Drawing]:
        return [Drawing(one.rows, one.ending, 0.1, 0.3 + 0.1 * (name == RIVAL), 5.0) for one in work]

    monkeypatch.setattr(figures, "in_process", other)
    assert figures.run([OURS, R], SIZES, 2).seconds(R, 1000, "pdf") == 0.1
    with pytest.raises(SystemExit, match="not the same work"):
        figures.run([OURS, RIVAL], SIZES, 1)
