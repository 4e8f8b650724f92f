"""Reference cases on all subsets of the studies (GOSH)."""

from __future__ import annotations

from typing import Any

import numpy as np

from metaexo.sensitivity import gosh
from tests.reference.adapters.models import fit_case
from tests.reference.cases import Case

FIRST = 60  # subsets that the reference lists
NAMES = {"estimate": "estimate", "I2_percent": "i2", "tau2": "tau2", "QE": "q"}
COLUMNS = ("min", "q25", "median", "mean", "q75", "max", "n")


def all_subsets(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Topic all_subsets: quantiles over the subsets, and the first of them, small ones first."""
    found = gosh(fit_case(case, data))
    held = found.subsets.members(0, found.size)
    # by the number of studies, then by the number whose bits say which studies are in
    bits = (held * 2 ** np.arange(len(found.clusters))[:, None]).sum(axis=0)
    first = np.lexsort((bits, held.sum(axis=0)))[:FIRST]
    summary = found.quantiles()
    scale = {"I2_percent": 100}
    return {
        "number_of_subsets": found.size,
        "summary": {
            name: {
                column: float(summary.loc[ours, column]) * (scale.get(name, 1) if column != "n" else 1)
                for column in COLUMNS
            }
            for name, ours in NAMES.items()
        },
        "first_subsets": ["".join(map(str, column)) for column in held[:, first].T.astype(int)],
        "first_k": found.k[first],
        **{f"first_{name}": scale.get(name, 1) * found.values(ours)[first] for name, ours in NAMES.items()},
    }


TOPICS = {"all_subsets": all_subsets}
