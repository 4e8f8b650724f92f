"""Results of heterogeneity cannot be changed, and pickle and copy as what they are."""

from __future__ import annotations

import copy
import pickle
from dataclasses import fields, is_dataclass

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.heterogeneity import confounding, estimability, latent_moderator, repeatability
from metaexo.sensitivity import permutation_test

pytestmark = pytest.mark.filterwarnings("ignore::metaexo.errors.DependentEffectsWarning")


def made():
    rng = np.random.default_rng(3)
    k = 24
    data = pd.DataFrame(
        {
            "source": (["milk", "plant", "adipose"] * 8)[:22] + [None] * 2,
            "isolation": ["UC", "UC", "SEC", "SEC"] * 6,
            "repetition": ["preparation"] * k,
        }
    )
    y = rng.normal(1.2 * (data["source"] == "milk"), 0.3)
    es = mx.EffectSizes(y, rng.uniform(0.02, 0.1, k), data=data)
    twice = mx.EffectSizes(es.y, es.v, study=np.arange(k) // 2, data=data)
    strata = mx.stratify(es, "source")
    spreads = mx.effect_sizes("CVLN", mean=[9.0] * k, sd=rng.uniform(1, 3, k), n=[12] * k).with_columns(
        **{name: data[name].tolist() for name in data}
    )
    return {
        "strata": strata,
        "smoothed": mx.stratify(es, "source", "smoothed"),
        "clusters": mx.stratify(twice, "source"),
        "mixture in strata": mx.stratify(es, "source", unreported="mixture"),
        "pairs": strata.pairwise(),
        "permutation": strata.permutation_test(limit=10, draws=50),
        "spread": strata.heterogeneity_test(draws=20),
        "bounds": strata.assignment_bounds(),
        "attribution": mx.attribute_heterogeneity(es, draws=19, permutations=19),
        "estimability": estimability(es),
        "confounding": confounding(es),
        "mixture": latent_moderator(es, "source"),
        "repeatability": repeatability(spreads),
        "exact": permutation_test(mx.RandomEffects(es.select(range(5))).fit()),
    }


def arrays(value, seen=None):
    """Yield every array that a result holds in its fields, however deep."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        yield value
    elif is_dataclass(value) and type(value).__module__.startswith("metaexo.heterogeneity"):
        for field in fields(value):
            yield from arrays(getattr(value, field.name), seen)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from arrays(part, seen)


@pytest.fixture(scope="module")
def results():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return made()


NAMES = [
    "strata",
    "smoothed",
    "clusters",
    "mixture in strata",
    "pairs",
    "permutation",
    "spread",
    "bounds",
    "attribution",
    "estimability",
    "confounding",
    "mixture",
    "repeatability",
    "exact",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["itself", "copy", "deepcopy", "pickle"])
def test_no_array_of_a_result_can_be_written_to(results, name, how) -> None:
    result = results[name]
    again = {
        "itself": lambda x: x,
        "copy": copy.copy,
        "deepcopy": copy.deepcopy,
        "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    }[how](result)
    assert str(again) == str(result)
    assert type(again) is type(result)
    for array in arrays(again):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(AttributeError):
        again.note = "other"


def test_mappings_of_a_result_cannot_be_written_to(results) -> None:
    for mapping in (
        results["strata"].strata[0].levels,
        results["repeatability"].levels,
        results["bounds"].bounds[0].lowest_assignment,
        results["attribution"].random.shares,
    ):
        with pytest.raises(TypeError):
            mapping["x"] = 1
