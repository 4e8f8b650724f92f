"""Why a row of a table of reported statistics cannot become an effect, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from metaexo.effects.measure import Measure
from metaexo.effects.tables.facts import ARMS, PAIRED_FAMILY, PAIRED_FORM, Facts
from metaexo.types import Mask

NO_CORRELATION = "paired, and the correlation of the two conditions is neither reported nor assumed"
FOREIGN_F = "an F statistic whose degrees of freedom are not those of the two arms"
FLAT = "quartiles, a range or an interval of zero width, or an SE of 0: they give no standard deviation"
ASYMMETRIC = "medians and quantiles too asymmetric for a normal sample"
PAIRED_EVENTS = "paired events: the number of people with the event on both sides is not reported"


def why_no_effect(
    record: Measure,
    facts: Facts,
    without: Mask,
    paired: Mask,
    correlation_assumed: bool,
    refused: Sequence[str],
) -> tuple[str, ...]:
    """Return for each row without an effect the first thing that stood in the way; "" for the others.

    `refused` says why the formula of the measure gave no effect for numbers that were complete.
    """
    reasons = _Reasons(without)
    reasons.by_row([bool(text) for text in refused], lambda i: refused[i])
    if any(name.endswith("events") for name in record.inputs):
        _of_events(reasons, record, facts, paired)
    else:
        _of_means(reasons, record, facts, paired, correlation_assumed)
    return tuple(reasons.texts)


class _Reasons:
    """Reasons row by row: the first one that holds is kept."""

    def __init__(self, without: Mask) -> None:
        self.texts = np.full(without.size, "", dtype=object)
        self.open = without.copy()

    def say(self, where: Mask, text: str) -> None:
        """Give a reason to the rows of `where` that have none yet."""
        here = where & self.open
        self.texts[here] = text
        self.open = self.open & ~here

    def by_row(self, where: Mask | Sequence[bool], text: Callable[[int], str]) -> None:
        """Give each row of `where` that has none yet a reason of its own."""
        here = np.asarray(where, dtype=bool) & self.open
        for i in np.flatnonzero(here).tolist():
            self.texts[i] = text(i)
        self.open = self.open & ~here


def _of_events(reasons: _Reasons, record: Measure, facts: Facts, paired: Mask) -> None:
    """Give the reasons of a measure of events."""
    needed = [name if "_" in name else f"treatment_{name}" for name in record.inputs]
    given = {name: facts.has(name) for name in needed}
    if len(needed) > len(ARMS):
        reasons.say(paired, PAIRED_EVENTS)
    events = np.any([given[name] for name in needed if name.endswith("events")], axis=0)
    reasons.say(~events, "no numbers of events")
    reasons.by_row(
        ~facts.has(*needed),
        lambda i: f"not given: {', '.join(name for name in needed if not given[name][i])}",
    )
    reasons.say(reasons.open, f"{record.code} has no value for these numbers of events")


def _of_means(reasons: _Reasons, record: Measure, facts: Facts, paired: Mask, assumed: bool) -> None:
    """Give the reasons of a measure of means."""
    one_arm = "control_mean" not in record.inputs and "pre_mean" not in record.inputs
    arms = ARMS[:1] if one_arm else ARMS
    own = [facts.arms[arm] for arm in arms]
    sizes = np.array([facts.has(f"{arm}_n") for arm in arms])
    n_known = np.where(paired, sizes.any(axis=0), sizes.all(axis=0))
    means = np.all([np.isfinite(arm.mean) for arm in own], axis=0)
    spreads = np.array([np.isfinite(arm.sd) for arm in own])
    if record.family == PAIRED_FAMILY:
        reasons.say(~paired, f"two independent groups, and {record.code} needs one group measured twice")
    elif record.code not in PAIRED_FORM:
        reasons.say(paired, f"paired, and {record.code} has no paired form")

    complete = means & spreads.all(axis=0)
    reasons.say(complete & ~sizes.any(axis=0), "means and SDs, but no n")
    for arm, size in zip(arms, sizes, strict=True):
        reasons.say(complete & ~n_known & ~size, f"means and SDs, but no n in the {arm} arm")
    reasons.say(complete & paired & facts.sizes_differ(), "paired, but the two arms have different n")
    if not assumed:
        reasons.say(complete & paired, NO_CORRELATION)
    reasons.say(complete, f"{record.code} has no value for these means and SDs")

    _of_tests(reasons, record, facts, n_known, paired & (not assumed))
    reasons.say(np.any([arm.flat & np.isnan(arm.sd) for arm in own], axis=0), FLAT)
    medians = np.all([arm.has_quantiles for arm in own], axis=0) & ~means
    reasons.say(medians & np.any([arm.skewed for arm in own], axis=0), ASYMMETRIC)
    reasons.say(medians, "medians and quantiles, but no n")
    _of_little(reasons, facts, means, arms)


def _of_tests(reasons: _Reasons, record: Measure, facts: Facts, n_known: Mask, no_correlation: Mask) -> None:
    """Give the reasons of rows that have an exact p-value, a t statistic, or an F of the two arms."""
    exact, has_f = np.isfinite(facts.exact_p), facts.f_of_arms
    has_t = (facts.words["reported_as"] == "t") & facts.has("statistic")
    no_direction = np.isnan(facts.direction) & (exact | has_f)
    no_means = ~facts.has("treatment_mean", "control_mean") & (record.code in ("MD", "MC"))
    for where, what in ((exact, "an exact p"), (has_f, "an F statistic"), (has_t, "a t statistic")):
        if not record.alternatives:
            reasons.say(where, f"{what}, but {record.code} needs means and SDs")
        reasons.say(where & ~n_known, f"{what}, but no n")
        reasons.say(where & no_direction, f"{what}, but neither means nor a difference give the direction")
        reasons.say(where & no_correlation, NO_CORRELATION)
        reasons.say(where & no_means, f"{what}, but no means")
        reasons.say(where, f"{what} that gives no finite effect")


def _of_little(reasons: _Reasons, facts: Facts, means: Mask, arms: Sequence[str]) -> None:
    """Give the reasons of rows without SDs, t or exact p."""
    kind, relation, p = facts.words["reported_as"], facts.words["p_relation"], facts.numbers["p_value"]
    one_of = {
        name: np.any([facts.has(f"{arm}_{name}") for arm in arms], axis=0)
        for name in ("median", "min", "max", "mean")
    }
    reasons.say((kind == "f") & facts.has("statistic") & ~facts.f_of_arms, FOREIGN_F)
    reasons.by_row(
        np.isfinite(p) & (relation != "="),
        lambda i: f"only p {relation[i] or '(no sign)'} {p[i]:g}: gives a bound, not a point",
    )
    reasons.say(kind == "percent_change", "percentage change without SD")
    quartiles = np.any([facts.has(f"{arm}_q1", f"{arm}_q3") for arm in arms], axis=0)
    reasons.say(quartiles, "median and quartiles only")
    reasons.say(one_of["median"] | one_of["min"] | one_of["max"], "median and range only")
    single = np.any([facts.numbers[f"{arm}_n"] == 1 for arm in arms], axis=0)
    reasons.say(means & single, "n = 1: a single value has no SD and so no sampling variance")
    where = " in either arm" if len(arms) > 1 else ""
    reasons.say(means, f"no SD{where} and no t or exact p")
    reasons.say(one_of["mean"], "a mean in one arm only")
    reasons.say(facts.has("effect"), "an effect without interval or standard error, or of another measure")
    reasons.say(facts.has("difference"), "a difference without SD, interval or exact p")
    events = np.any([facts.has(f"{arm}_events") for arm in ARMS], axis=0)
    reasons.say(events, "numbers of events, not means")
    reasons.say(reasons.open, "no numbers from which the effect follows")
