"""The interval of Henmi and Copas."""

from __future__ import annotations

from typing import Any

import metaexo as mx
from tests.reference.adapters.one_level_extras import plain_effects
from tests.reference.cases import Case


def henmi_copas(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return estimate, interval and tau2 by DerSimonian and Laird."""
    found = mx.bias.henmi_copas(plain_effects(data))
    return {
        "estimate": found.estimate,
        "se": found.se,
        "ci_lower": found.low,
        "ci_upper": found.high,
        "tau2": found.tau2,
    }


MODELS = {("publication_bias", "henmi_copas"): henmi_copas}
