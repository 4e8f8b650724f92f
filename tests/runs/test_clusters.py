"""Clusters for real: worker processes of dask and of ray give the bits of one core, and may be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial

import joblib
import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import WorkerLostError
from metaexo.runs import run
from tests.runs.tasks import added, columns, fragile, moments, who
from tests.runs.test_chunks import BLOCK, SIZE, assert_same, by_hand
from tests.runs.test_stored import files, needs_parquet

# Both start processes, sockets and files of their own and leave some to the garbage collector.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def dask():
    """A cluster of two worker processes on this machine; a new one per test, as tests kill workers."""
    distributed = pytest.importorskip("distributed", reason="dask, of the extra dask, is not installed")
    kinds = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    with (
        distributed.LocalCluster(**kinds, dashboard_address=None, memory_limit=0) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def ray(root):
    """A cluster of two worker processes on this machine."""
    module = pytest.importorskip("ray", reason="ray, of the extra ray, is not installed")
    from ray.util.joblib import register_ray

    module.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20,
        runtime_env={"env_vars": {"PYTHONPATH": str(root)}},
    )  # fmt: skip
    register_ray()
    yield module
    module.shutdown()


CLUSTERS = ["dask", "ray"]


@pytest.fixture(params=CLUSTERS)
def workers(request: pytest.FixtureRequest):
    """What joblib is configured with for each kind of cluster."""
    request.getfixturevalue(request.param)
    return {"dask": {"backend": "dask"}, "ray": {"backend": "ray", "n_jobs": 2}}[request.param]


@pytest.mark.parametrize("chunk", [64, 320])
def test_a_cluster_gives_the_bits_of_one_core(workers, chunk: int) -> None:
    with joblib.parallel_config(**workers):
        assert_same(run(partial(columns, seed=7), SIZE, block=BLOCK, chunk=chunk), by_hand(7))
        found = run(moments, SIZE, block=BLOCK, chunk=chunk, reduce=added)
    assert_same(found, run(moments, SIZE, block=BLOCK, reduce=added))


def test_the_number_of_workers_does_not_matter(dask) -> None:
    dask.cluster.scale(3)
    dask.wait_for_workers(3)
    with joblib.parallel_config(backend="dask"):
        assert_same(run(columns, SIZE, block=BLOCK, chunk=64), by_hand())


def test_it_was_computed_elsewhere(workers) -> None:
    with joblib.parallel_config(**workers):
        found = run(who, 64, block=1, chunk=1)["process"]
    assert os.getpid() not in found
    assert len(np.unique(found)) > 1


def test_a_killed_worker_costs_its_chunk(workers, tmp_path) -> None:
    task = partial(fragile, folder=tmp_path, at=500, times=1, seconds=0.2)
    with joblib.parallel_config(**workers):
        found = run(task, SIZE, block=BLOCK, chunk=64)
    assert (tmp_path / "killed 0").exists()
    assert_same(found, by_hand())
    computed = [int(path.name.split()[1]) for path in tmp_path.glob("done *")]
    assert len(computed) - len(set(computed)) <= 4  # what was in hand, or not yet fetched, on two workers


@needs_parquet
def test_a_killed_worker_costs_no_file(workers, tmp_path) -> None:
    notes, kept = tmp_path / "notes", tmp_path / "kept"
    notes.mkdir()
    task = partial(fragile, folder=notes, at=500, times=1)
    with joblib.parallel_config(**workers):
        found = run(task, SIZE, block=BLOCK, chunk=64, to=kept)
    assert_same(found, by_hand())
    assert len(files(kept)) == 17


def test_a_chunk_that_loses_every_worker_is_named(workers, tmp_path) -> None:
    task = partial(fragile, folder=tmp_path, at=500, times=99)
    with joblib.parallel_config(**workers), pytest.raises(WorkerLostError) as caught:
        run(task, SIZE, block=BLOCK, chunk=64)
    assert any("items 448 to 512" in row for row in caught.value.rows)
    assert len(caught.value.rows) <= 6
    with joblib.parallel_config(**workers):  # and the cluster is as before
        assert_same(run(columns, SIZE, block=BLOCK), by_hand())


def test_an_error_of_a_task_comes_back_as_it_is(workers) -> None:
    with joblib.parallel_config(**workers), pytest.raises(ZeroDivisionError):
        run(faulty, 8, block=2)


def faulty(begin, end):
    return {"z": np.zeros(end - begin) + 1 / (begin - 4)}


def test_many_fits_go_to_a_cluster(workers, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    v = rng.uniform(0.01, 0.3, (40, 6))
    y = rng.normal(0.3, np.sqrt(v + 0.1))
    monkeypatch.setattr("metaexo.models.univariate.batched.PART_ROWS", 60)
    alone = mx.fit_many(y, v, method="REML")
    with joblib.parallel_config(**workers):
        together = mx.fit_many(y, v, method="REML")
    np.testing.assert_array_equal(together.tau2, alone.tau2)
    np.testing.assert_array_equal(together.low, alone.low)


CALLS = {
    "gosh": lambda fit: mx.sensitivity.gosh(mx.RandomEffects(fit.effects).fit(), draws=140_000).beta,
    "bootstrap": lambda fit: mx.sensitivity.bootstrap(fit, draws=2_000).draws,
    "simulate": lambda fit: mx.sensitivity.simulate(fit, draws=50_000),
    "leave_one_out": lambda fit: mx.sensitivity.leave_one_out(fit).to_frame()["tau2"],
}


@pytest.mark.parametrize("name", CALLS)
def test_sensitivity_on_a_cluster_gives_the_bits_of_one_core(workers, name: str) -> None:
    es = mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")
    fit = mx.RandomEffects(es, "latitude").fit()
    alone = CALLS[name](fit)
    with joblib.parallel_config(**workers):
        together = CALLS[name](fit)
    np.testing.assert_array_equal(together, alone)


INTERRUPTED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # which jobs in the background ignore
import sys
from functools import partial
import joblib, numpy as np
from dask.distributed import Client, LocalCluster
from metaexo.errors import RunInterrupted
from metaexo.runs import run
from tests.runs.tasks import columns, slow
if __name__ == "__main__":
    kinds = dict(n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0)
    with LocalCluster(**kinds) as cluster, Client(cluster), joblib.parallel_config(backend="dask"):
        try:
            run(partial(slow, seconds=0.05, folder=sys.argv[1]), 100_000, block=100, chunk=100)
        except RunInterrupted as stopped:
            wanted = [columns(*span) for span in stopped.spans]
            for name, values in stopped.finished.items():
                assert np.array_equal(values, np.concatenate([part[name] for part in wanted]))
            again = run(columns, 1_000, block=100)["z"]
            print(len(wanted), len(again), flush=True)
"""


def test_finished_chunks_survive_an_interrupt(root, tmp_path) -> None:
    pytest.importorskip("distributed", reason="dask, of the extra dask, is not installed")
    script, notes = tmp_path / "interrupted.py", tmp_path / "notes"
    script.write_text(INTERRUPTED)
    notes.mkdir()
    env = os.environ | {"PYTHONPATH": str(root)}
    process = subprocess.Popen(
        [sys.executable, str(script), str(notes)], cwd=root, env=env, stdout=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 180
    while len(list(notes.iterdir())) < 10 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=120)[0]
    done, again = map(int, out.split())
    assert process.returncode == 0
    assert 0 < done < 1_000
    assert again == 1_000
