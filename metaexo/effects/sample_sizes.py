"""What effects were computed from, by name: the sizes of their samples and groups, and their events."""

from __future__ import annotations

from typing import Any

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.least_variances import SIZE_COLUMNS
from metaexo.errors import EventsError, InputError
from metaexo.inputs import read_numbers
from metaexo.types import Array

EVENT_COLUMNS = (
    ("treatment_events", "control_events"),
    ("ai", "ci"),
    ("event_e", "event_c"),
    ("event.e", "event.c"),
)


def known_columns(es: EffectSizes) -> dict[str, Any]:
    """Return by name what effects were computed from, and the columns of their data; an entry per effect."""
    found: dict[str, Any] = {}
    if es.data is not None:
        found |= {str(name): es.data[name].to_numpy() for name in es.data.columns}
    if es.origin is not None:
        found |= {name: np.asarray(values)[es.origin.rows] for name, values in es.origin.inputs.items()}
    return found


def sample_sizes(es: EffectSizes, otherwise: str = "") -> Array:
    """Return the sample size of each effect, shape (k,), from what it was computed from or from the data.

    It is n (or ni), or the sizes of two groups together. `otherwise` is what can be done without sizes, for
    errors. Raises InputError if sizes are not known, or not above 0; it names the rows.
    """
    known = known_columns(es)
    single = next((name for name in ("n", "ni") if name in known), None)
    if single is None:
        first, second = group_sizes(es, otherwise)
        return first + second
    return _above_zero(es, known, single, otherwise)


def group_sizes(es: EffectSizes, otherwise: str = "") -> tuple[Array, Array]:
    """Return the sizes of the two groups of each effect; see `sample_sizes`."""
    known = known_columns(es)
    names = next((pair for pair in SIZE_COLUMNS if set(pair) <= set(known)), None)
    if names is None:
        raise InputError(
            "the sample sizes are not known",
            "a column n, or columns treatment_n and control_n, in data=",
            f"hand them in with the effects{f', or {otherwise}' if otherwise else ''}",
        )
    first, second = (_above_zero(es, known, name, otherwise) for name in names)
    return first, second


def event_counts(es: EffectSizes, otherwise: str = "") -> tuple[Array, Array]:
    """Return the events in the two groups of each effect, whole and not negative; see `sample_sizes`."""
    known = known_columns(es)
    names = next((pair for pair in EVENT_COLUMNS if set(pair) <= set(known)), None)
    if names is None:
        raise InputError(
            "the numbers of events are not known",
            "columns treatment_events and control_events in data=",
            f"hand them in with the effects{f', or {otherwise}' if otherwise else ''}",
        )
    first, second = (read_numbers(known[name], name, ndim=1, rows=es.row_labels) for name in names)
    bad = np.flatnonzero(~((first >= 0) & (second >= 0) & np.isfinite(first) & np.isfinite(second)))
    if bad.size:
        raise EventsError(
            f"{bad.size} of {es.k} effects have no number of events, or a negative or infinite one",
            "a number of events in each group of each effect",
            "fill them in, or leave these rows out with EffectSizes.select",
            [es.row_labels[i] for i in bad],
        )
    return first, second


def _above_zero(es: EffectSizes, known: dict[str, Any], name: str, otherwise: str) -> Array:
    sizes = read_numbers(known[name], name, ndim=1, rows=es.row_labels)
    lacking = np.flatnonzero(~(sizes > 0) | np.isinf(sizes))
    if lacking.size:
        raise InputError(
            f"{lacking.size} of {es.k} effects have no sample size above 0 ({name})",
            "a sample size of each effect",
            f"fill them in{f', or {otherwise}' if otherwise else ''}",
            [es.row_labels[i] for i in lacking],
        )
    return sizes
