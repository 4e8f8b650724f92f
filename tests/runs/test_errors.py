"""Errors come back from another process as they were raised there."""

from __future__ import annotations

import copy
import pickle

import joblib
import pytest

from metaexo import errors
from metaexo.runs import run

RAISED = [
    errors.InputError("a is 3", "a word", "write it", ["row 1", "row 2"]),
    errors.UnknownChoiceError("method", "RELM", ["REML", "DL"], "row 3"),
    errors.FormulaError("x**", "~ x**", "a name"),
    errors.ScaleConvergenceError("no maximum", "one", "", ["start 1"]),
    errors.WorkerLostError("a process ended", "one that lives", "", ["items 0 to 5"]),
    errors.RunInterrupted({"z": 1}, [(0, 5)], 10, "subsets", "Call again"),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_after_pickling_and_copying(error: BaseException) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)


def misspelt(begin, end):
    raise errors.UnknownChoiceError("method", "RELM", ["REML", "DL"])


def test_a_worker_says_what_one_core_says() -> None:
    said = []
    for workers in (1, 2):
        with (
            joblib.parallel_config(backend="loky", n_jobs=workers),
            pytest.raises(errors.UnknownChoiceError) as caught,
        ):
            run(misspelt, 4, block=1, chunk=1)
        said.append((str(caught.value), caught.value.nearest))
    assert said[0] == said[1]
    assert said[0][1] == "REML"
