"""Effects to draw: published standardised mean differences, and tables of any number of rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.effects.derivation import Derivation

# Pooled estimates of animal studies as printed: review, question, estimate, 95% interval.
PUBLISHED = (
    ("qiao2022", "wound closure", 5.42, 4.40, 6.44),
    ("yue2024", "wound closure", 3.16, 2.65, 3.66),
    ("bailey2021", "wound closure", 5.48, 3.55, 8.13),
    ("tian2023", "wound closure", 1.423, 1.137, 1.709),
    ("soltani2024", "wound closure", 4.22, 3.07, 5.36),
    ("scev_stroke2023", "infarct volume", -2.05, -2.70, -1.40),
    ("wang2020_ali", "lung injury score", -4.02, -5.28, -2.23),
)
SOURCES = ("adipose_msc", "umbilical_cord_msc", "platelet", "not_reported")
METHODS = ("ultracentrifugation", "size_exclusion", "not_reported")
HOWS = ("reported", "reported", "converted", "assumed")


@pytest.fixture
def published():
    """Return the published estimates as a table."""
    return pd.DataFrame(PUBLISHED, columns=["review", "question", "estimate", "ci_low", "ci_high"])


@pytest.fixture
def make_effects():
    """Return a function that makes k effects with sources and isolation methods."""

    def make(k, measure="SMD", labels=None, seed=7, **more):
        draws = np.random.default_rng(seed)
        v = draws.uniform(0.02, 0.3, k)
        y = draws.normal(0.6, 0.4, k)
        data = pd.DataFrame(
            {
                "source": [SOURCES[i % 4] for i in range(k)],
                "isolation": [METHODS[(i // 2) % 3] for i in range(k)],
                "animals": draws.integers(6, 60, k),
                "dose": draws.integers(1, 20, k) / 4,
                "bias": [("low", "unclear", "high")[i % 3] for i in range(k)],
            }
        )
        labels = labels or [f"Author {i + 1} {2000 + i % 25}" for i in range(k)]
        return mx.EffectSizes(y, v, measure, labels=labels, data=data, **more)

    return make


@pytest.fixture
def derived():
    """Return k derivations of all three kinds."""

    def make(k):
        notes = {"assumed": "correlation 0.5 assumed", "converted": ""}
        return [Derivation(how, "SD from SE", notes.get(how, "")) for how in (HOWS[i % 4] for i in range(k))]

    return make


@pytest.fixture
def studies():
    """Return forty studies with source, isolation method, kind and access."""
    draws = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "study": [f"s{i // 2}" for i in range(40)],
            "source": draws.choice(["adipose_msc", "plant", "urine", None], 40),
            "isolation": draws.choice(["ultracentrifugation", "size_exclusion", "not_reported"], 40),
            "kind": draws.choice(["clinical", "preclinical"], 40),
            "access": draws.choice(["abstract", "full_text"], 40, p=[0.8, 0.2]),
            "size_nm": np.where(draws.random(40) < 0.2, np.nan, draws.lognormal(4.8, 0.4, 40)),
            "size_sd": 20.0,
        }
    )
