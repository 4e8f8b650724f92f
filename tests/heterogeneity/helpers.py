"""Effects of studies in strata, drawn with a fixed seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

import metaexo as mx


def effects(
    sizes: Mapping[str, int],
    means: Mapping[str, float] | None = None,
    tau2: Mapping[str, float] | float = 0.05,
    seed: int = 3,
    factor: str = "source",
) -> mx.EffectSizes:
    """Return one effect a study; a stratum called "not reported" has a missing level."""
    rng = np.random.default_rng(seed)
    level = [name for name, count in sizes.items() for _ in range(count)]
    v = rng.uniform(0.02, 0.2, len(level))
    spread = [tau2 if isinstance(tau2, float) else tau2[name] for name in level]
    centre = [0.0 if means is None else means[name] for name in level]
    y = rng.normal(centre, np.sqrt(v + np.array(spread)))
    words = [None if name == "not reported" else name for name in level]
    return mx.EffectSizes(y, v, data=pd.DataFrame({factor: pd.Series(words, dtype=object)}))


def several_a_study(strata: Mapping[str, int], per_study: int = 3, seed: int = 4) -> mx.EffectSizes:
    """Return several effects a study, each study in one stratum of `source` and in both of `isolation`."""
    rng = np.random.default_rng(seed)
    source = [name for name, count in strata.items() for _ in range(count)]
    study = [f"study {i}" for i in range(len(source)) for _ in range(per_study)]
    k = len(study)
    v = rng.uniform(0.02, 0.1, k)
    y = np.repeat(rng.normal(0, 0.4, len(source)), per_study) + rng.normal(0, np.sqrt(v))
    isolation = np.tile(["UC", "SEC", "UC"], len(source))[:k] if per_study == 3 else ["UC", "SEC"] * (k // 2)
    data = pd.DataFrame({"source": np.repeat(source, per_study), "isolation": isolation})
    return mx.EffectSizes(y, v, study=study, data=data)
