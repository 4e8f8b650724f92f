"""Trim and fill."""

from __future__ import annotations

from typing import Any

import numpy as np

import metaexo as mx
from tests.reference.adapters.models import described, fit_case
from tests.reference.cases import Case


def trim_and_fill(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return the number of missing studies, those filled in, and the fit with them."""
    call = case["call"]
    side = call["side"] if call["side"] in ("left", "right") else None
    found = mx.bias.trim_and_fill(fit_case(case, data), estimator=call["estimator"], side=side)
    fit = described(found.fit, call["test"])
    if side is None:  # such cases have plain numbers
        names = ("estimate", "se", "ci_lower", "ci_upper")
        fit |= {name: float(np.asarray(fit[name])[0]) for name in names}
    return fit | {
        "k0": found.k0,
        "se_k0": found.k0_se,
        "p_k0": found.k0_pvalue,
        "side": found.side,
        "k_total": found.filled.k,
        "filled_yi": found.filled.y[found.is_filled],
        "filled_vi": found.filled.v[found.is_filled],
    }


MODELS = {("publication_bias", "random_effects"): trim_and_fill}
