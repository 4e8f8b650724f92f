"""Results in a folder: whole files, the bits of memory, resumed after a stop, no other run mixed in."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from metaexo.errors import InputError, UnknownChoiceError, WorkerLostError
from metaexo.runs import Stored, run, stored
from tests.runs.tasks import added, columns, fragile, moments
from tests.runs.test_chunks import BLOCK, SIZE, assert_same, by_hand

needs_parquet = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow, of the extra parquet, is not installed"
)
chunked = partial(run, size=SIZE, block=BLOCK, chunk=128)


def files(folder: Path) -> dict[str, int]:
    """Return when each file was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


@needs_parquet
def test_columns_come_back_bit_for_bit(tmp_path) -> None:
    found = chunked(columns, to=tmp_path / "made" / "here")
    assert_same(found, by_hand())
    assert found.complete
    assert found.size == found.done == SIZE
    assert found.spans == tuple((at, min(at + 128, SIZE)) for at in range(0, SIZE, 128))
    again = Stored(str(tmp_path / "made" / "here"))
    assert_same(again, by_hand())
    assert "pair" in again
    assert again == found
    assert len({again, found}) == 1
    with pytest.raises(KeyError):
        again["pairs"]
    assert repr(again).endswith("all 1,003 items; item, pair, positive, z")


@needs_parquet
def test_chunks_are_read_one_by_one(tmp_path) -> None:
    found = chunked(partial(columns, seed=2), to=tmp_path)
    wanted = by_hand(2)
    for begin, end, part in found.chunks(["z", "pair"]):
        assert list(part) == ["z", "pair"]
        np.testing.assert_array_equal(part["z"], wanted["z"][begin:end])
        np.testing.assert_array_equal(part["pair"], wanted["pair"][begin:end])
    table = found.to_frame()
    assert list(table) == ["item", "pair_0", "pair_1", "positive", "z"]
    assert table.index.name == "item"
    np.testing.assert_array_equal(table.index, np.arange(SIZE))
    np.testing.assert_array_equal(table["pair_1"], wanted["pair"][:, 1])
    assert list(found.to_frame(["z"])) == ["z"]
    other = pd.read_parquet(sorted(tmp_path.glob("*.parquet"))[1])  # any program reads the files
    np.testing.assert_array_equal(other["z"], wanted["z"][128:256])


@needs_parquet
def test_values_that_are_no_numbers_come_back(tmp_path) -> None:
    found = run(odd, 6, block=2, to=tmp_path)
    wanted = odd(0, 6)
    assert found["z"].tobytes() == wanted["z"].tobytes()  # NaN, infinities, minus zero
    assert found["word"].tolist() == wanted["word"].tolist()


def odd(begin, end):
    z = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324, 1e308])[begin:end]
    return {"z": z, "word": np.array(["a", "ä", "", "b c", "τ²", "x"])[begin:end]}


@pytest.mark.parametrize("reduce", [pytest.param(None, marks=needs_parquet), added])
def test_a_second_call_computes_what_is_unfinished_alone(reduce, tmp_path) -> None:
    task = columns if reduce is None else moments
    wanted = run(task, SIZE, block=BLOCK, reduce=reduce)
    assert_same(chunked(task, reduce=reduce, to=tmp_path), wanted)
    before = files(tmp_path)
    assert len(before) == 9
    names = sorted(name for name in before if name.startswith("items"))
    (tmp_path / names[2]).unlink()
    (tmp_path / names[5]).write_bytes((tmp_path / names[5]).read_bytes()[:100])  # a half file
    (tmp_path / f"{names[3]}.0.part").touch()
    assert_same(chunked(task, reduce=reduce, to=tmp_path), wanted)
    after = files(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {names[2], names[5]}
    assert after.keys() == before.keys()
    # whatever the workers; the chunk is that of the first call, unless another one is asked for
    (tmp_path / names[0]).unlink()
    with joblib.parallel_config(backend="loky", n_jobs=2):
        assert_same(run(task, SIZE, block=BLOCK, reduce=reduce, to=tmp_path), wanted)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": partial(moments, seed=1)}, "task or its values"),
        ({"size": SIZE + 1}, "size: 1003 there, 1004 here"),
        ({"block": 32}, "block: 64 there, 32 here"),
        ({"chunk": 256}, "chunk: 128 there, 256 here"),
        ({"reduce": None}, "kind of result"),
        ({"reduce": np.add}, "task or its values"),
    ],
)
def test_another_run_is_refused(change, words: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "parquet", lambda: None)
    call = {"task": moments, "size": SIZE, "block": BLOCK, "chunk": 128, "reduce": added, "to": tmp_path}
    run(**call)
    with pytest.raises(InputError, match=words):
        run(**call | change)


def test_results_of_other_versions_are_not_gone_on_with(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunked(partial(moments, seed=3), reduce=added, to=tmp_path)
    held = json.loads((tmp_path / "run.json").read_text())
    assert held["seed"] == 3
    assert held["name"] == "moments"
    assert held["versions"].keys() == {"metaexo", "numpy", "scipy"}
    monkeypatch.setattr(stored, "versions", lambda: {"metaexo": "9", "numpy": "9", "scipy": "9"})
    with pytest.raises(InputError, match="versions"):
        chunked(partial(moments, seed=3), reduce=added, to=tmp_path)


def test_the_digest_is_that_of_other_processes(root) -> None:
    """Where text has other hashes, so that sets have another order."""
    values = "seed=1, y=np.arange(5.0), names={'b', 'a', 'c', 'd'}, kinds={'x': ('y', 2)}"
    code = (
        "from functools import partial; import numpy as np; from tests.runs.tasks import moments, added;"
        f"from metaexo.runs.stored import facts_of; task = partial(moments, {values});"
        "made = facts_of(task, added, 1, 1, 1, 'items')['task']"
    )
    here: dict = {}
    exec(code, here)
    other = subprocess.run(
        [sys.executable, "-c", f"{code}; print(made)"], cwd=root, capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(root), "PYTHONHASHSEED": "1"},
    )  # fmt: skip
    assert other.stdout.strip() == here["made"]


STOPPED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # which jobs in the background ignore
import sys
from functools import partial
from metaexo.runs import run
from tests.runs.tasks import moments, slow, added
run(partial(slow, seconds=0.03, folder=sys.argv[1]), 4_000, block=100, chunk=200, to=sys.argv[2])
"""


@needs_parquet
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_goes_on_from_its_files(root, tmp_path, sign: int) -> None:
    notes, kept = tmp_path / "notes", tmp_path / "kept"
    notes.mkdir()
    command = [sys.executable, "-c", STOPPED, str(notes), str(kept)]
    env = os.environ | {"PYTHONPATH": str(root)}
    process = subprocess.Popen(command, cwd=root, env=env, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 180
    while len(list(notes.iterdir())) < 9 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(sign)
    err = process.communicate(timeout=120)[1]
    part = Stored(kept)
    assert 0 < part.done < part.size
    assert not part.complete
    assert_same(part, {name: values[: part.done] for name, values in columns_of_blocks(4_000, 100).items()})
    if sign == signal.SIGINT:
        assert f"RunInterrupted: interrupted after {part.done:,} of 4,000 items;" in err
        assert "The same call goes on with what is unfinished." in err
    before = files(kept)
    subprocess.run(command, cwd=root, env=env, check=True)
    whole = Stored(kept)
    assert whole.complete
    assert_same(whole, columns_of_blocks(4_000, 100))
    assert before.items() <= files(kept).items() or sign == signal.SIGKILL  # nothing was computed again


def columns_of_blocks(size: int, block: int):
    parts = [columns(at, at + block) for at in range(0, size, block)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@needs_parquet
def test_a_lost_worker_leaves_what_others_finished(tmp_path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    task = partial(fragile, folder=notes, at=500, times=3)
    with joblib.parallel_config(backend="loky", n_jobs=2):
        with pytest.raises(WorkerLostError, match="items 384 to 512"):
            chunked(task, to=tmp_path / "kept")
        part = Stored(tmp_path / "kept")
        assert 0 < part.done <= SIZE - 128
        assert_same(chunked(task, to=tmp_path / "kept"), by_hand())  # it is not killed a fourth time


def test_pyarrow_is_asked_for_where_it_is_missing(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'metaexo\[parquet\]'"):
        chunked(columns, to=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    chunked(moments, reduce=added, to=tmp_path / "new")  # summaries do without


def words_as_summary(begin, end):
    return {"name": np.array([object()])}


def cube(begin, end):
    return {"cube": np.zeros((end - begin, 2, 2))}


def objects(begin, end):
    return {"thing": np.array([object() for _ in range(begin, end)])}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda new: chunked(columns, to=3), "to is 3"),
        (lambda new: chunked(columns, to=b"x"), "to is a bytes"),
        (lambda new: chunked(columns, to=""), "to is a str"),
        (lambda new: chunked(moments, reduce=added, to=__file__), "cannot be written"),
        (lambda new: chunked(moments, reduce=added, to=Path(__file__).parent), "holds other files"),
        (lambda new: run(list_of, 4, block=2, reduce=added, to=new), "a dict of arrays"),
        (lambda new: run(words_as_summary, 4, block=4, reduce=added, to=new), "'name' of the summary"),
        pytest.param(lambda new: run(cube, 4, block=4, to=new), "3 dimensions", marks=needs_parquet),
        pytest.param(lambda new: run(objects, 4, block=4, to=new), "cannot be stored", marks=needs_parquet),
        (Stored, "no run.json"),
        (lambda new: Stored(None), "path is None"),
    ],
)
def test_wrong_inputs_are_named(call, words: str, tmp_path) -> None:
    with pytest.raises(InputError, match=words):
        call(tmp_path / "new")


def list_of(begin, end):
    return [begin, end]


@needs_parquet
def test_wrong_columns_and_folders_are_named(tmp_path) -> None:
    found = chunked(columns, to=tmp_path / "columns")
    with pytest.raises(UnknownChoiceError, match="'positive'"):
        found.to_frame(["positiv"])
    with pytest.raises(InputError, match="a list of names"):
        list(found.chunks("z"))
    chunked(moments, reduce=added, to=tmp_path / "summaries")
    with pytest.raises(InputError, match="holds summaries"):
        Stored(tmp_path / "summaries")
    (tmp_path / "columns" / "run.json").write_text("[]")
    with pytest.raises(InputError, match="can be read"):
        chunked(columns, to=tmp_path / "columns")
