"""The test of excess significance."""

from __future__ import annotations

from typing import Any

import metaexo as mx
from tests.reference.adapters.one_level_extras import plain_effects
from tests.reference.cases import Case

MOST = 12  # studies up to which the reference enumerates


def excess_significance(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return observed and expected numbers, the power of each study, and the tests."""
    call = case["call"]
    equal = call["effect"].startswith("equal-effects")
    effects = plain_effects(data)
    results = effects if equal else mx.RandomEffects(effects).fit(method="REML", test="z")
    found = mx.bias.excess_significance(
        results,
        alternative=call["alternative"].replace(".", "-"),
        significance=call["alpha"],
        model="common" if equal else "random",
    )
    return {
        "observed": found.observed,
        "expected": found.expected,
        "ratio": found.ratio,
        "theta": found.true_effect,
        "power": found.power,
        "significant": found.significant,
        "exact_p": found.exact_pvalue if found.k <= MOST else None,
        "chi2": found.chi2,
        "chi2_p": found.chi2_pvalue,
        "binomial_p": found.binomial_pvalue,
    }


MODELS = {("publication_bias", "test_of_excess_significance"): excess_significance}
