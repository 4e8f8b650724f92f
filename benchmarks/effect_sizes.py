"""Effect sizes of a million rows: python -m benchmarks.effect_sizes.

Closed forms are vectorised, so a million rows are one call. Prints seconds a measure.
"""

from __future__ import annotations

import numpy as np

from benchmarks.cases import SEED
from benchmarks.timing import seconds
from metaexo.effects import calculate, get_measure
from metaexo.formatting import markdown_table

ROWS = 1_000_000


def inputs() -> dict[str, dict[str, np.ndarray]]:
    """Return the inputs of each kind of measure."""
    rng = np.random.default_rng(SEED)
    n = rng.integers(5, 40, ROWS).astype(float)
    means = {
        "treatment_mean": rng.normal(10, 2, ROWS),
        "treatment_sd": rng.uniform(1, 3, ROWS),
        "treatment_n": n,
        "control_mean": rng.normal(8, 2, ROWS),
        "control_sd": rng.uniform(1, 3, ROWS),
        "control_n": n,
    }
    events = {
        "treatment_events": np.floor(n * rng.uniform(0, 1, ROWS)),
        "treatment_n": n,
        "control_events": np.floor(n * rng.uniform(0, 1, ROWS)),
        "control_n": n,
    }
    return {"means": means, "events": events, "one group": {"events": events["treatment_events"], "n": n}}


def main() -> None:
    """Print the table."""
    given = inputs()
    kinds = {
        "means": ("MD", "SMD", "ROM", "CVR", "VR"),
        "events": ("OR", "RR", "RD"),
        "one group": ("PLO", "PFT"),
    }
    rows = []
    for kind, codes in kinds.items():
        for code in codes:
            arrays = {name: given[kind][name] for name in get_measure(code).inputs}
            taken = seconds(lambda c=code, a=arrays: calculate(c, a), budget=2)
            rows.append([code, f"{ROWS:,}", f"{taken:.2f}"])
    print(markdown_table(rows, ["measure", "rows", "seconds"]))


if __name__ == "__main__":
    main()
