"""Tasks that the tests run: workers import them from here."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from metaexo.runs.counter import normals


def columns(begin, end, seed=0):
    """Return numbers whose last bits depend on how the items are cut into blocks, and on nothing else."""
    z = normals(seed, begin, end, 3)
    shares = z / np.sqrt((z * z).sum())
    return {
        "item": np.arange(begin, end),
        "pair": shares[:, :2],
        "positive": z[:, 2] > 0,
        "z": shares.sum(axis=1),
    }


def moments(begin, end, seed=0):
    """Return a summary of a block."""
    z = normals(seed, begin, end, 1)[:, 0]
    return {"count": np.array(len(z)), "sum": z.sum(), "powers": np.array([(z**k).sum() for k in (2, 3, 4)])}


def added(left, right):
    """Return the summary of two neighbouring summaries."""
    return {name: left[name] + right[name] for name in left}


def named(begin, end):
    """Return a summary that shows in which order parts were merged."""
    return f"{begin}-{end}"


def joined(left, right):
    """Return names in the order of the merges."""
    return f"({left} {right})"


def fragile(begin, end, folder, at, times, seed=0, seconds=0.0):
    """Return `columns` after some time; the process that computes item `at` is killed, `times` times."""
    time.sleep(seconds)
    if begin <= at < end:
        for number in range(times):
            try:
                (Path(folder) / f"killed {number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            os.kill(os.getpid(), signal.SIGKILL)
    (Path(folder) / f"done {begin} {os.getpid()} {time.monotonic_ns()}").touch()
    return columns(begin, end, seed)


def who(begin, end):
    """Return which process computes each item, after long enough for two to take part."""
    time.sleep(0.01)
    return {"process": np.full(end - begin, os.getpid())}


def slow(begin, end, seconds, folder, seed=0):
    """Return `columns` after some time."""
    time.sleep(seconds)
    (Path(folder) / f"done {begin}").touch()
    return columns(begin, end, seed)
