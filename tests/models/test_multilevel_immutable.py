"""Multilevel and robust results cannot be written to: as they are made, copied, or read from a pickle."""

from __future__ import annotations

import contextlib
import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import metaexo as mx

RNG = np.random.default_rng(2)
K = 24
DATA = pd.DataFrame(
    {
        "outcome": ["x", "y", "z"] * 8,
        "place": [f"p{i}" for i in range(K)],
        "dose": RNG.normal(size=K),
    }
)
ES = mx.EffectSizes(
    RNG.normal(0.3, 0.4, K), RNG.uniform(0.02, 0.08, K), study=np.repeat(list("abcdefgh"), 3), data=DATA
)
DISTANCE = pd.DataFrame(
    np.abs(np.subtract.outer(np.arange(K), np.arange(K))) * 1.0, index=DATA["place"], columns=DATA["place"]
)
RESULTS: dict[str, Callable[[], Any]] = {
    "nested": lambda: mx.Multilevel(ES, moderators="dose").fit(),
    "CS": lambda: mx.Multilevel(ES, mx.RandomTerm("study", "outcome", "CS")).fit(),
    "UN": lambda: mx.Multilevel(ES, mx.RandomTerm("study", "outcome", "UN")).fit(),
    "AR": lambda: mx.Multilevel(ES, mx.RandomTerm("study", "outcome", "HAR")).fit(),
    "space": lambda: mx.Multilevel(ES, mx.RandomTerm(None, "place", "SPEXP", distance=DISTANCE)).fit(),
    "weights": lambda: mx.Multilevel(ES, weights="equal").fit(),
    "robust": lambda: mx.Multilevel(ES, moderators="dose").fit().robust(),
    "moments": lambda: mx.robust_variance(ES),
    "sweep": lambda: mx.rho_sweep(ES, [0.2, 0.6]),
    "influence": lambda: mx.Multilevel(ES).fit().influence(refit=False),
    "profile": lambda: mx.Multilevel(ES).fit().profile("study", [0.1, 0.2]),
    "values": lambda: mx.model_of_values(ES.y, "outcome", data=DATA).fit(),
}


def arrays(value: Any, depth: int = 3) -> list[np.ndarray]:
    """All arrays that are reached by the public attributes of a result."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, list | tuple):
        return [a for part in value for a in arrays(part, depth)]
    if depth == 0 or not type(value).__module__.startswith("metaexo.") or isinstance(value, type):
        return []
    found = []
    for name in dir(value):
        held = getattr(type(value), name, None)
        if not name.startswith("_") and not callable(held):
            found += arrays(getattr(value, name), depth - 1)
    return found


@pytest.mark.parametrize("name", RESULTS)
def test_no_array_of_a_result_can_be_written_to(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.MetaexoWarning)
        made = RESULTS[name]()
        for result in (made, copy.deepcopy(made), copy.copy(made), pickle.loads(pickle.dumps(made))):
            for field in ("beta", "cov", "se", "estimate", "components", "value", "llf", "weights"):
                held = None
                with contextlib.suppress(mx.errors.InputError):  # no single estimate, no likelihood
                    held = getattr(result, field, None)
                if isinstance(held, np.ndarray) and held.ndim:
                    np.testing.assert_array_equal(held, getattr(made, field))
                    with pytest.raises(ValueError, match="read-only"):
                        held[...] = 99.0
            for part in ("robust_covariance", "maximum"):
                if hasattr(result, part):
                    for held in arrays(getattr(result, part), 1):
                        assert not held.flags.writeable
            for held in getattr(result, "g", ()):
                assert not held.flags.writeable


def test_what_is_handed_in_is_copied() -> None:
    v, w = np.diag(ES.v), sparse.csr_array(np.eye(K))
    x, fix = DATA[["dose"]].copy(), {"study": 0.1}
    model = mx.Multilevel(ES, V=v, moderators=x, weights=w, fix=fix)
    before = model.fit().beta.copy()
    v[:] = 7.0
    w.data[:] = np.arange(1.0, K + 1)
    x["dose"] = 0.0
    fix["study"] = 9.0
    np.testing.assert_array_equal(model.fit().beta, before)


def test_components_cannot_be_changed() -> None:
    fit = RESULTS["nested"]()
    with pytest.raises(TypeError):
        fit.component_values["study"] = 3.0
    table = fit.components
    table.loc["study", "estimate"] = 99.0
    assert fit.components.loc["study", "estimate"] == fit.component_values["study"]
