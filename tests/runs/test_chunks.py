"""Long work in chunks: the same bits whatever the chunks and workers; what is done when a run is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import joblib
import numpy as np
import pytest

from metaexo.errors import InputError, RunInterrupted, ShapeError, WorkerLostError
from metaexo.runs import run
from tests.runs.tasks import added, columns, fragile, joined, moments, named, who

SIZE, BLOCK = 1_003, 64


def assert_same(one, other) -> None:
    """Both hold the same columns, bit for bit."""
    assert list(one) == list(other)
    for name in one:
        assert one[name].dtype == other[name].dtype
        np.testing.assert_array_equal(one[name], other[name])


def by_hand(seed: int = 0):
    parts = [columns(at, min(at + BLOCK, SIZE), seed) for at in range(0, SIZE, BLOCK)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("chunk", [None, 1, 64, 65, 128, 1_000, 10_000])
def test_no_bit_depends_on_the_chunks(chunk: int | None) -> None:
    assert_same(run(columns, SIZE, block=BLOCK, chunk=chunk), by_hand())
    found = run(moments, SIZE, block=BLOCK, chunk=chunk, reduce=added)
    assert_same(found, run(moments, SIZE, block=BLOCK, reduce=added))
    assert found["count"] == SIZE


def test_bits_do_depend_on_the_blocks() -> None:
    """Or the tests above could not fail."""
    assert not np.array_equal(run(columns, SIZE, block=BLOCK)["z"], run(columns, SIZE, block=32)["z"])
    whole, halves = moments(0, SIZE), run(moments, SIZE, block=BLOCK, reduce=added)
    np.testing.assert_allclose(halves["powers"], whole["powers"], rtol=1e-12)
    assert not np.array_equal(halves["powers"], whole["powers"])


@pytest.mark.parametrize(("workers", "chunk"), [(1, 64), (2, 64), (2, 192), (3, 500)])
def test_processes_give_the_numbers_of_one_core(workers: int, chunk: int) -> None:
    task = partial(columns, seed=7)
    with joblib.parallel_config(backend="loky", n_jobs=workers):
        assert_same(run(task, SIZE, block=BLOCK, chunk=chunk), by_hand(7))
        found = run(moments, SIZE, block=BLOCK, chunk=chunk, reduce=added)
    assert_same(found, run(moments, SIZE, block=BLOCK, reduce=added))


def test_work_is_done_elsewhere_unless_it_is_one_chunk() -> None:
    with joblib.parallel_config(backend="loky", n_jobs=2):
        many, one = (run(who, 40, block=10, chunk=chunk)["process"] for chunk in (10, 40))
    assert os.getpid() not in many
    assert set(one) == {os.getpid()}


def test_workers_take_functions_without_a_name() -> None:
    def twice(begin, end):
        return {"z": 2.0 * np.arange(begin, end)}

    with joblib.parallel_config(backend="loky", n_jobs=2):
        found = run(twice, 40, block=10, chunk=10)
    np.testing.assert_array_equal(found["z"], 2.0 * np.arange(40))


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
def test_other_backends_give_them_too(backend: str) -> None:
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert_same(run(columns, SIZE, block=BLOCK, chunk=64), by_hand())


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 100])
def test_neighbours_are_merged_along_one_tree(chunk: int) -> None:
    assert run(named, 7, block=1, chunk=chunk, reduce=joined) == ("(((0-1 1-2) (2-3 3-4)) ((4-5 5-6) 6-7))")
    assert run(named, 5, block=2, chunk=chunk, reduce=joined) == "((0-2 2-4) 4-5)"
    assert run(named, 5, block=9, chunk=chunk, reduce=joined) == "0-5"


def test_a_lost_worker_costs_the_chunks_in_hand_alone(tmp_path) -> None:
    task = partial(fragile, folder=tmp_path, at=500, times=1, seconds=0.1)
    with joblib.parallel_config(backend="loky", n_jobs=2):
        found = run(task, SIZE, block=BLOCK, chunk=64)
    assert_same(found, by_hand())
    assert (tmp_path / "killed 0").exists()
    computed = [int(path.name.split()[1]) for path in tmp_path.glob("done *")]
    again = len(computed) - len(set(computed))
    assert again <= 4  # twice as many as workers are handed out at most


def test_a_chunk_that_loses_every_worker_is_named(tmp_path) -> None:
    task = partial(fragile, folder=tmp_path, at=500, times=99)
    with joblib.parallel_config(backend="loky", n_jobs=2), pytest.raises(WorkerLostError) as caught:
        run(task, SIZE, block=BLOCK, chunk=64, what="subsets")
    assert "subsets ended 3 times" in str(caught.value)
    assert caught.value.rows == ("subsets 448 to 512",)
    assert len(list(tmp_path.glob("killed *"))) == 3


INTERRUPTED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # which jobs in the background ignore
import sys
from functools import partial
import joblib, numpy as np
from metaexo.errors import RunInterrupted
from metaexo.runs import run
from tests.runs.tasks import columns, slow, moments, added
try:
    with joblib.parallel_config(backend=sys.argv[1], n_jobs=int(sys.argv[2])):
        run(partial(slow, seconds=0.05, folder=sys.argv[3]), 100_000, block=100, chunk=100, what="subsets")
except RunInterrupted as stopped:
    found, spans = stopped.finished, stopped.spans
    wanted = [columns(*span) for span in spans]
    assert wanted, "nothing was done"
    assert all(np.array_equal(found[n], np.concatenate([w[n] for w in wanted])) for n in wanted[0])
    assert isinstance(stopped, KeyboardInterrupt)
    print(len(spans), stopped, flush=True)
"""


@pytest.mark.parametrize(("workers", "group"), [(1, False), (2, True)])
def test_finished_chunks_survive_an_interrupt(root, tmp_path, workers: int, group: bool) -> None:
    """A terminal sends it to all processes of the group, another process to one."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, "loky", str(workers), str(tmp_path)],
        cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    until = time.monotonic() + 180
    while len(list(tmp_path.iterdir())) < 5 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    count, words = out.split(maxsplit=1)
    assert words.startswith(f"interrupted after {100 * int(count):,} of 100,000 subsets;")


@pytest.mark.parametrize(("reduce", "nothing"), [(None, {}), (added, None)])
def test_an_early_interrupt_holds_nothing(reduce, nothing, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("metaexo.runs.chunks.as_finished", stopped)
    with pytest.raises(RunInterrupted) as caught:
        run(moments, 10, block=5, reduce=reduce)
    assert caught.value.finished == nothing
    assert str(caught.value) == "interrupted before the first of 10 items."
    assert caught.value.spans == ()


def test_progress_counts_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bar:
        def __init__(self, **chosen):
            seen.append(chosen)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, count):
            seen.append(count)

    seen: list = []
    monkeypatch.setattr("tqdm.tqdm", Bar)
    run(columns, 150, block=64, what="subsets")
    assert seen[0]["total"] == 150
    assert seen[0]["unit"] == " subsets"
    assert seen[0]["disable"] is None  # tqdm shows itself in a terminal
    assert seen[1:] == [64, 64, 22]
    seen.clear()
    run(columns, 10, block=64, progress=True)
    run(columns, 10, block=64, progress=False)
    assert [one["disable"] for one in seen[::2]] == [False, True]


def no_dict(begin, end):
    return np.zeros(end - begin)


def too_short(begin, end):
    return {"z": np.zeros(3)}


def changing(begin, end):
    return {"z": np.zeros(end - begin, dtype=float if begin else int)}


def wide(begin, end):
    return {"z": np.zeros((end - begin, 1_000_000))}


def faulty(begin, end):
    return {"z": np.zeros(end - begin) + 1 / (begin - 4)}


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: run(no_dict, 8, block=4), InputError, "the task returned a ndarray"),
        (lambda: run(too_short, 8, block=4), ShapeError, "column 'z' of items 0 to 4 has shape"),
        (lambda: run(changing, 8, block=4, chunk=4), InputError, "differ from block to block"),
        (lambda: run(changing, 8, block=4, chunk=8), InputError, "differ from block to block"),
        (lambda: run(lambda begin, end: {}, 8, block=4, to="new"), InputError, "functools.partial"),
        (lambda: run(moments, 8, block=4, to="new", reduce=lambda a, b: a), InputError, "reduce, a function"),
        (lambda: run(partial(columns, seed=threading.Lock()), 8, block=4), InputError, "sent to a worker"),
        (lambda: run(wide, 10**6, block=1, chunk=1, what="fits"), InputError, "1,000,000 fits take 8,000 GB"),
        (lambda: run("moments", 8, block=4), InputError, "task is a str"),
        (lambda: run(moments, 8, block=4, reduce=3), InputError, "reduce is 3"),
        (lambda: run(columns, 0, block=4), InputError, "size is 0"),
        (lambda: run(columns, 8, block=0), InputError, "block is 0"),
        (lambda: run(columns, 8, block=4, chunk=1.5), InputError, "chunk is 1.5"),
        (lambda: run(columns, 8, block=4, progress="yes"), InputError, "progress"),
        (lambda: run(columns, 8, block=4, what=3), InputError, "what is 3"),
        (lambda: run(faulty, 8, block=4), ZeroDivisionError, "division"),  # the task's own, as it is
    ],
)
def test_wrong_inputs_are_named(call, kind, words: str) -> None:
    with pytest.raises(kind, match=words):
        call()
