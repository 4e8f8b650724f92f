"""How a mixed model of counts is fitted: what can be estimated, the search, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from metaexo.effects.counts import EventCounts
from metaexo.effects.measure import Measure
from metaexo.effects.measures.zero_cells import ZeroCells
from metaexo.errors import ConvergenceError, NotIdentifiableError, TooFewStudiesError
from metaexo.formatting import plural
from metaexo.models.linear.design import Design, too_few_remedy
from metaexo.numeric.counts.formulations import EXACT, RANDOM, Formulation, formulate
from metaexo.numeric.counts.separation import direction_of_infinity

# The studies' own estimates, for tables and drawings, need something added to zeros.
HALF = ZeroCells(0.5, drop_double_zero=True)
HALF_OF_ONE = ZeroCells(0.5)
# A coefficient moves along a direction if its part of it is above this share of the largest.
MOVES = 1e-6


def fitted(
    counts: EventCounts,
    design: Design,
    measure: Measure,
    *,
    model: str,
    link: str,
    coding: tuple[float, float],
    correlated: bool,
    points: int,
    method: str,
    test: str,
) -> dict[str, Any]:
    """Return the fields of the record of a fit that depend on the counts."""
    made = formulate(
        model,
        counts.events[None],
        counts.totals[None],
        design.matrix(counts.k)[None],
        person_time=counts.person_time,
        link=link,
        coding=coding,
        random=method != "EE",
        correlated=correlated,
        points=points,
    )
    refuse(counts, design, made, model, method, test)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = made.maximum()
    if not np.isfinite(found.value[0]) or not found.certified[0]:
        raise ConvergenceError(
            f"the search ended without a maximum: one more step promises {found.promised[0]:.1e}, the "
            f"smallest curvature is {found.curvature[0]:.1e}",
            "a maximum of the likelihood",
            'scale the moderators, use fewer, or fit method="EE"',
        )
    return {
        "counts": counts,
        "design": design,
        "maximum": found,
        "effects": counts.study_estimates(measure, HALF_OF_ONE if counts.arms == 1 else HALF),
    }


def refuse(
    counts: EventCounts, design: Design, made: Formulation, model: str, method: str, test: str
) -> None:
    """Refuse counts for which an estimate is infinite, or that are too few; in words, with what answers."""
    weights = made.problem.weights[0] > 0
    rows, p = int(weights.sum()), design.p
    if not rows:
        raise NotIdentifiableError(
            "every row has no event in either arm, or events in everyone: none has information on the ratio",
            "a row with an event, and someone without",
            _limits_of_a_risk(counts),
        )
    if rows < p + (method == "ML") or (test == "t" and rows < p + 1):
        what = "tau2" if method == "ML" else "t tests"
        equal = '; or fit method="EE", test="z"' if rows >= p else ""
        raise TooFewStudiesError(
            f"too few rows with information ({rows}) for {what} with {plural(p, 'coefficient')}",
            f"at least {p + 1} rows",
            f"{too_few_remedy(p)}{equal}",
        )
    coefficients, variances = made.infinite()
    if coefficients[0]:
        raise NotIdentifiableError(
            _separated_in_words(counts, design, made),
            "rows with events and rows without, beyond what the moderators explain"
            if p > 1
            else "events, and people without"
            if not counts.person_time
            else "events",
            _what_answers(counts, p),
        )
    if variances[0]:
        raise NotIdentifiableError(
            "no row has both events and people without: the likelihood does not fall as "
            f"{'tau2' if method == 'ML' else 'the variance of the intercepts'} grows",
            "a row whose count is neither the least nor the largest possible",
            'fit method="EE", which assumes no heterogeneity'
            if model != RANDOM
            else f'fit model="{EXACT}" with method="EE", which assumes no heterogeneity',
        )


def _what_answers(counts: EventCounts, p: int) -> str:
    """Return what has an answer where a coefficient is infinite."""
    if p > 1:
        return "use fewer moderators or levels, so that each level has rows with and without events"
    if counts.arms == 1 or counts.is_double_zero.all():
        return _limits_of_a_risk(counts)
    return "mx.ExactConditional(counts).fit() has the one-sided limit that the counts set"


def _limits_of_a_risk(counts: EventCounts) -> str:
    """Return which function says what counts that are zero, or everyone's, exclude."""
    arm = "counts" if counts.arms == 1 else 'counts.arm("treatment")'
    if counts.person_time or counts.events[:, 0].sum() < counts.totals[:, 0].sum():
        return f"mx.safety.upper_limit({arm}) says what {_rate(counts)} the counts exclude"
    return (
        "count the people without the event as events: mx.safety.upper_limit of those counts says how many "
        "of them the counts exclude"
    )


def _rate(counts: EventCounts) -> str:
    return "rate" if counts.person_time else "risk"


def _separated_in_words(counts: EventCounts, design: Design, made: Formulation) -> str:
    """Return which estimates are infinite, and why."""
    arms = ("treatment", "control") if counts.arms == 2 else ("",)
    events, totals = counts.events.sum(axis=0), counts.totals.sum(axis=0)
    none = [f"no event in the {arm} arms" if arm else "no row has an event" for arm in arms]
    every = [f"everyone of the {arm} arms has an event" if arm else "everyone has an event" for arm in arms]
    facts = [none[a] for a in range(len(arms)) if events[a] == 0]
    if not counts.person_time:
        facts += [every[a] for a in range(len(arms)) if events[a] == totals[a]]
    low, high = (part[0] for part in made.extreme)
    counted = np.broadcast_to(made.counted[0], low.shape)
    direction = direction_of_infinity(made.rows[0], low, high, counted)
    assert direction is not None
    if len(facts) == 2 and counts.is_double_zero.all():
        return f"{' and '.join(facts)}: the intercepts are infinite"
    found = made.back[0] @ direction[: design.p]
    scale = np.abs(found).max(initial=0.0)
    if scale <= MOVES * np.abs(direction).max():
        return f"{' and '.join(facts) or 'the counts are at their limits'}: the intercepts are infinite"
    if design.p == 1:
        why = " and ".join(facts) or "in every row the count is the least or the largest possible"
        return f"{why}: the estimate is {_infinity(float(found[0]))}"
    moving = [
        f"{name} ({_infinity(float(value))})"
        for name, value in zip(design.names, found, strict=True)
        if abs(value) > MOVES * scale
    ]
    return f"the counts have no finite estimate of {', '.join(moving)}"


def _infinity(value: float) -> str:
    return "plus infinity" if value > 0 else "minus infinity"
