"""What a model of censored evidence takes of its effects: ends it can use, or a refusal in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.derivation import Derivation
from metaexo.errors import (
    InputError,
    NotIdentifiableError,
    RowsLeftOutWarning,
    TooFewStudiesError,
    warn_caller,
)
from metaexo.formatting import plural
from metaexo.inputs import check_number
from metaexo.models.linear.design import Design
from metaexo.numeric.censored.inference import rising_direction
from metaexo.numeric.censored.rows import variance_of_scale
from metaexo.types import Mask

EXACT, TWO_ENDS, ONE_END, DIRECTION = "exact", "interval, two ends", "interval, one end", "direction"
KINDS = (EXACT, TWO_ENDS, ONE_END, DIRECTION)
NO_SIZES = "a direction alone, without sizes: the probability of its sign cannot be computed"
ALONE = "give the between-study variance, fit(tau2=...), or pool the exact effects alone if there are two"


def kinds_of(effects: BoundedEffectSizes) -> tuple[str, ...]:
    """Return what is known of each row: one of `KINDS`.

    An interval with one finite end holds the mean from one side only, which makes it a separate kind.

    Parameters
    ----------
    effects : BoundedEffectSizes
        Exact and bounded effects.

    Returns
    -------
    tuple of str
        One kind per row.

    Examples
    --------
    >>> import metaexo as mx
    >>> kinds_of(mx.bounded_effects([0.1, 0.4], [0.1, float("inf")], [0.02, 0.05]))
    ('exact', 'interval, one end')
    """
    closed = np.isfinite(effects.lower) & np.isfinite(effects.upper)
    return tuple(
        kind if kind != "interval" else TWO_ENDS if two else ONE_END
        for kind, two in zip(effects.kind, closed, strict=True)
    )


def count_in_words(kinds: Sequence[str]) -> str:
    """Return how many rows there are of each kind.

    Parameters
    ----------
    kinds : sequence of str
        Kinds as `kinds_of` returns them.

    Returns
    -------
    str
        Counts in words.

    Examples
    --------
    >>> count_in_words(["exact", "exact", "direction"])
    '2 exact, 1 direction'
    """
    counted = Counter(kinds)
    words = {TWO_ENDS: "between two ends", ONE_END: "beyond one end"}
    return ", ".join(f"{counted[kind]} {words.get(kind, kind)}" for kind in KINDS if counted[kind])


def usable_effects(effects: BoundedEffectSizes, direction_v: float | None) -> tuple[BoundedEffectSizes, Mask]:
    """Return the effects whose probability can be computed, and which of those given they are.

    Directions without a sampling variance get `direction_v`, marked as assumed, or are left out.
    """
    direction_v = None if direction_v is None else check_number("direction_v", direction_v)
    if direction_v is not None and not (np.isfinite(direction_v) and direction_v > 0):
        raise InputError(f"direction_v is {direction_v}", "a sampling variance above 0")
    if not effects.k:
        raise TooFewStudiesError("there are no effects", "at least one effect", "look at the ledger")
    bare = np.array([kind == "direction" for kind in effects.kind]) & np.isnan(_finite_v(effects))
    if bare.any() and direction_v is not None:
        effects, bare = _with_variance(effects, bare, direction_v), np.zeros_like(bare)
    if bare.any():
        if bare.all():
            raise NotIdentifiableError(
                f"all {effects.k} effects are a direction alone, without sizes",
                "effects of which a size is known, or a bound",
                "report the counts of directions; they say nothing about how large an effect is",
                list(effects.labels),
            )
        warn_caller(
            f"{plural(int(bare.sum()), 'row')} of {effects.k} left out: {NO_SIZES}",
            RowsLeftOutWarning,
        )
        effects = effects.select(~bare, NO_SIZES)
    _check(effects)
    return effects, ~bare


def _finite_v(effects: BoundedEffectSizes) -> NDArray[np.float64]:
    """Return the sampling variance at a finite end of each row; NaN where it is not known."""
    return np.where(np.isfinite(effects.lower), effects.v_lower, effects.v_upper)


def _with_variance(effects: BoundedEffectSizes, bare: Mask, v: float) -> BoundedEffectSizes:
    """Return the effects with an assumed sampling variance at the ends of some rows."""
    note = f"sampling variance taken as {v:g}"
    ends = [
        np.where(bare & np.isfinite(end), v, known)
        for end, known in ((effects.lower, effects.v_lower), (effects.upper, effects.v_upper))
    ]
    derived = tuple(
        Derivation("assumed", mark.formula, "; ".join(filter(None, (mark.note, note)))) if here else mark
        for mark, here in zip(effects.derived, bare, strict=True)
    )
    bounds = replace(effects.bounds, v_lower=ends[0], v_upper=ends[1], derived=derived)
    return effects._with(bounds=bounds)


def _check(effects: BoundedEffectSizes) -> None:
    """Raise if a row has no finite end, or has no sampling variance at an end that is known."""
    low, high = np.isfinite(effects.lower), np.isfinite(effects.upper)
    at_zero, _ = variance_of_scale(effects.lower, effects.upper, effects.v_lower, effects.v_upper)
    with np.errstate(invalid="ignore"):
        wrong = (low & ~(np.isfinite(effects.v_lower) & (effects.v_lower > 0))) | (
            high & ~(np.isfinite(effects.v_upper) & (effects.v_upper > 0))
        )
    for bad, given, needed, remedy in (
        (~low & ~high, "some rows have no finite end: they say nothing", "at least one finite end", ""),
        (
            wrong,
            "some sampling variances are missing or not above 0 at an end that is known",
            "a sampling variance above 0 at every finite end",
            "give it, or leave these rows out with select(), which records the reason",
        ),
        (
            np.isnan(at_zero),
            "the sampling variances at the two ends do not follow from v(y) = v(0) + c y^2 with c y^2 of at "
            "most 400 v(0)",
            "one variance at both ends, or a larger one at the end that is farther from zero",
            "give both ends the same sampling variance",
        ),
    ):
        if bad.any():
            rows = [effects.labels[i] for i in np.flatnonzero(bad)]
            raise InputError(given, needed, remedy, rows)


def require_identifiable(effects: BoundedEffectSizes, design: Design, tau2_given: bool) -> None:
    """Raise, in words, if the likelihood has no maximum in the coefficients, or says nothing of tau2."""
    kinds = kinds_of(effects)
    if set(kinds) == {DIRECTION} and not tau2_given:
        raise NotIdentifiableError(
            f"{_all_of(effects)} a direction alone: it says on which side of zero an effect lies, and not "
            "how far from it, so that neither a mean nor a between-study variance can be estimated",
            "effects of which a size is known, or a bound",
            "report the counts of directions",
        )
    x = design.matrix(effects.k)
    direction = rising_direction(x, effects.lower, effects.upper)
    if direction is not None:
        raise NotIdentifiableError(*_rising_in_words(effects, design, direction))
    held = int((np.isfinite(effects.lower) & np.isfinite(effects.upper)).sum())
    if not tau2_given and held < design.p + 1:
        beyond = ", as effects beyond one end never bound it from above" if held < effects.k else ""
        raise NotIdentifiableError(
            f"{plural(held, 'effect')} of {effects.k} ({count_in_words(kinds)}) "
            f"{'is a point or lies' if held == 1 else 'are points or lie'} between two ends, for "
            f"{plural(design.p, 'coefficient')}: nothing is left to estimate a between-study "
            f"variance from{beyond}",
            f"at least {design.p + 1} effects that are points or lie between two ends",
            ALONE,
        )


def _all_of(effects: BoundedEffectSizes) -> str:
    """Return the effects as the subject of a sentence, with its verb."""
    return "the one effect is" if effects.k == 1 else f"all {effects.k} effects are"


def _rising_in_words(
    effects: BoundedEffectSizes, design: Design, direction: NDArray[np.float64]
) -> tuple[str, str, str]:
    """Return the refusal of a likelihood without a maximum."""
    if design.x is None:
        up = direction[0] > 0
        kinds = f" ({count_in_words(kinds_of(effects))})" if effects.k > 1 else ""
        return (
            f"{_all_of(effects)} known from one side only, to lie {'above' if up else 'below'} a "
            f"bound{kinds}: the likelihood has no maximum, it increases without bound as the mean goes "
            f"{'up' if up else 'down'}",
            "an exact effect, an interval with two ends, or a bound from the other side",
            "report the bounds as they are",
        )
    named = ", ".join(
        f"{name} ({'up' if d > 0 else 'down'})"
        for name, d in zip(design.names, direction, strict=True)
        if d != 0
    )
    return (
        f"the likelihood has no maximum, it increases without bound as these coefficients move: {named}; the "
        "effects that could bound them are all known from one side only",
        "an exact effect, an interval with two ends, or bounds from both sides at every level of a moderator",
        "leave this moderator out, or leave out the level whose effects are bounds of one side",
    )


def unbounded_error(effects: BoundedEffectSizes, design: Design) -> NotIdentifiableError:
    """Return the refusal of a likelihood that increases without bound with tau2."""
    return NotIdentifiableError(
        f"the likelihood of {plural(effects.k, 'effect')} ({count_in_words(kinds_of(effects))}) with "
        f"{plural(design.p, 'coefficient')} increases without bound with the between-study variance",
        "effects that bound the between-study variance from above",
        ALONE,
    )
