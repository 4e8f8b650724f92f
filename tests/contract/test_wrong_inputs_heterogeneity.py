"""Every public door of heterogeneity, and the permutation tests, answers wrong inputs in words."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import errors, heterogeneity
from metaexo.models.linear.results import FitResults
from metaexo.sensitivity import permutation_test
from tests.contract.test_wrong_inputs_models import bare

RNG = np.random.default_rng(7)
K = 16
DATA = pd.DataFrame(
    {
        "source": ["milk", "plant"] * 7 + [None, None],
        "isolation": ["UC", "UC", "SEC", "SEC"] * 4,
        "repetition": ["preparation"] * K,
        "year": [2010.0, 2012.0] * 8,
    }
)
ES = mx.EffectSizes(RNG.normal(1.2 * (DATA["source"] == "milk"), 0.3), RNG.uniform(0.02, 0.1, K), data=DATA)
KNOWN = ES.select(np.arange(14), "not reported")
SPREADS = mx.effect_sizes("CVLN", mean=[9.0] * K, sd=RNG.uniform(1, 3, K), n=[12] * K).with_columns(
    **{name: DATA[name].tolist() for name in DATA}
)
FIT = mx.RandomEffects(ES.select(np.arange(6))).fit()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    STRATA = mx.stratify(ES, "source")
    BOUNDS = STRATA.assignment_bounds()
    FOUND = mx.attribute_heterogeneity(KNOWN, draws=0, permutations=19)
    GRID = heterogeneity.estimability(ES)
    MIXTURE = heterogeneity.latent_moderator(ES, "source")
    REPEATED = heterogeneity.repeatability(SPREADS)

COUNTS = mx.MantelHaenszel(mx.event_counts(mx.load_dataset("bcg"))).fit()

HERE = "metaexo.heterogeneity"
SMALL = {"draws": 19, "permutations": 19}
# Every public call with arguments that work.
CALLS = {
    "stratify": (mx.stratify, {"effects": ES, "by": "source"}),
    "stratify_counts": (mx.stratify_counts, {"fit": COUNTS, "by": "allocation"}),
    "counts.pairwise": (mx.stratify_counts(COUNTS, "allocation").pairwise, {}),
    "attribute_heterogeneity": (mx.attribute_heterogeneity, {"effects": KNOWN, **SMALL}),
    "attribution_verdict": (heterogeneity.attribution_verdict, {"effects": KNOWN, "permutations": 19}),
    "estimability": (heterogeneity.estimability, {"effects": ES}),
    "confounding": (heterogeneity.confounding, {"effects": ES}),
    "latent_moderator": (heterogeneity.latent_moderator, {"effects": ES, "by": "source"}),
    "assignment_bounds": (heterogeneity.assignment_bounds, {"effects": ES, "by": "source"}),
    "compare_heterogeneity": (heterogeneity.compare_heterogeneity, {"results": STRATA, "draws": 19}),
    "permute_strata": (heterogeneity.permute_strata, {"results": STRATA, "limit": 5, "draws": 19}),
    "repeatability": (heterogeneity.repeatability, {"effects": SPREADS}),
    "permutation_test": (permutation_test, {"results": FIT}),
    "strata.pairwise": (STRATA.pairwise, {}),
    "strata.test_terms": (STRATA.test_terms, {}),
    "strata.trend": (mx.stratify(KNOWN, "source", order=["milk", "plant"]).trend, {}),
    "strata.permutation_test": (STRATA.permutation_test, {"limit": 5, "draws": 19}),
    "strata.between_tests": (STRATA.between_tests, {"permutations": 19}),
    "strata.heterogeneity_test": (STRATA.heterogeneity_test, {"draws": 19}),
    "strata.assignment_bounds": (STRATA.assignment_bounds, {}),
    "strata.clusters_in": (STRATA.clusters_in, {"stratum": STRATA.strata[0]}),
    "strata.heterogeneity": (STRATA.heterogeneity, {}),
    "strata.predict": (STRATA.predict, {}),
    "strata.probability_above": (STRATA.probability_above, {}),
    "strata.residuals": (STRATA.residuals, {}),
    "strata.random_effects": (STRATA.random_effects, {}),
    "strata.fit_statistics": (STRATA.fit_statistics, {}),
    "strata[]": (STRATA.__getitem__, {"name": "milk"}),
    "strata.to_latex": (STRATA.to_latex, {}),
    "strata.to_html": (STRATA.to_html, {}),
    "bounds[]": (BOUNDS.__getitem__, {"quantity": "milk"}),
    "attribution.heterogeneity": (FOUND.heterogeneity, {}),
    "attribution.predict": (FOUND.predict, {}),
    "attribution.probability_above": (FOUND.probability_above, {}),
    "attribution.residuals": (FOUND.residuals, {}),
    "attribution.random_effects": (FOUND.random_effects, {}),
    "attribution.part": (FOUND.part, {"name": "source"}),
    "estimability.rows_of": (GRID.rows_of, {"group": 0}),
    "estimability.to_latex": (GRID.to_latex, {}),
    "estimability.to_html": (GRID.to_html, {}),
    "repeatability.to_latex": (REPEATED.to_latex, {}),
    "repeatability.to_html": (REPEATED.to_html, {}),
    "repeatability.verdict": (REPEATED.verdict, {"level": "preparation"}),
}
WRONG = {
    "nothing": None,
    "text": "sauce",
    "empty text": "",
    "95": 95,
    "-1": -1,
    "0": 0,
    "2.5": 2.5,
    "nan": float("nan"),
    "inf": float("inf"),
    "complex": 1 + 2j,
    "huge": 10**30,
    "True": True,
    "list": [1, 2],
    "texts": ["source", "sauce"],
    "twice": ["source", "source"],
    "no texts": [],
    "dict": {"a": 1},
    "array": np.arange(3.0),
    "date": pd.Timestamp("2020-01-01"),
    "missing": pd.NA,
    "frame": DATA,
    "effects": ES,
    "no effects": ES.select(np.zeros(K, bool), "none"),
    "one effect": ES.select([0], "one"),
    "fit": FIT,
    "strata": STRATA,
    "object": object(),
    "bytes": b"source",
    "function": len,
}
PARAMETERS = [
    (name, parameter)
    for name, (call, _) in CALLS.items()
    for parameter in inspect.signature(call).parameters
    if (name, parameter) not in (("attribute_heterogeneity", "progress"), ("attribution.predict", "choices"))
]
# What these parameters mean allows it: more draws than a test should make, or a long seed.
SLOW = {"draws", "permutations"}


def ask(name: str, parameter: str, value: object) -> object:
    """Return what a call answers with one of its arguments replaced; the package's errors are answers."""
    call, arguments = CALLS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", errors.MetaexoWarning)
        return call(**{**arguments, parameter: value})


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_wrong_inputs_are_answered_in_words(name: str, parameter: str) -> None:
    faults = {
        kind: said
        for kind, value in WRONG.items()
        if not (kind == "huge" and parameter in SLOW)
        and (said := bare(lambda value=value: ask(name, parameter, value)))
    }
    assert faults == {}


@pytest.mark.parametrize(
    ("name", "parameter"),
    # the level of a verdict on repeatability is a level of repetition
    [pair for pair in PARAMETERS if pair[1] == "level" and pair[0] != "repeatability.verdict"],
)
@pytest.mark.parametrize("level", [95, 0, 1, -0.5, float("nan"), "0.95", True, [0.9]])
def test_a_level_that_is_no_fraction_is_refused(name: str, parameter: str, level: object) -> None:
    with pytest.raises(errors.InputError, match="level"):
        ask(name, parameter, level)


@pytest.mark.parametrize(
    "name",
    ["stratify", "attribute_heterogeneity", "attribution_verdict", "estimability", "confounding",
     "latent_moderator", "assignment_bounds", "repeatability"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["fit", "frame", "strata", "array", "nothing", "text"])
def test_what_is_no_set_of_effects_is_named(name: str, kind: str) -> None:
    with pytest.raises(errors.InputError, match=r"the effects are (an? |None)"):
        ask(name, "effects", WRONG[kind])


def test_every_public_function_is_asked() -> None:
    functions = {name for name in heterogeneity.__all__ if inspect.isfunction(getattr(heterogeneity, name))}
    assert functions <= set(CALLS)
    classes = (
        (mx.heterogeneity.StratifiedResults, "strata"),
        (mx.heterogeneity.AttributionResults, "attribution"),
        (mx.heterogeneity.Estimability, "estimability"),
        (mx.heterogeneity.Repeatability, "repeatability"),
    )
    for kind, word in classes:
        inherited = set(dir(FitResults)) if issubclass(kind, FitResults) else set()
        own = {name for base in kind.__mro__ if base.__module__.startswith(HERE) for name in vars(base)}
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            asked = name in own or name not in inherited
            if asked and not name.startswith("_") and len(inspect.signature(method).parameters) > 1:
                assert f"{word}.{name}" in CALLS, f"{word}.{name}"
