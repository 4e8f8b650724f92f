"""Why a row of a table of reported statistics cannot become an effect, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from metaexo.effects.measure import Measure
from metaexo.effects.tables.reported import (
    ARMS,
    ArmMoments,
    Reported,
    arm_moments,
    direction_of,
    exact_p,
    f_of_the_arms,
)
from metaexo.types import Mask

# measure of two independent groups -> measure of the same people twice, on the same scale
PAIRED_FORM = {"MD": "MC", "SMD": "SMCRP", "ROM": "ROMC", "CVR": "CVRC", "VR": "VRC"}
PAIRED_FAMILY = "one group twice, means"
NO_CORRELATION = "paired, and the correlation of the two conditions is neither reported nor assumed"
FOREIGN_F = "an F statistic whose degrees of freedom are not those of the two arms"
FLAT = "quartiles, a range or an interval without distance, or an SE of 0: they tell no standard deviation"
ASYMMETRIC = "medians and quantiles too asymmetric for a normal sample"
PAIRED_EVENTS = "paired events: the number of people with the event on both sides is not reported"


def why_no_effect(
    record: Measure,
    table: Reported,
    without: Mask,
    paired: Mask,
    correlation_assumed: bool,
    refused: Sequence[str],
) -> tuple[str, ...]:
    """Return a reason for each row without an effect, "" for the others.

    Parameters
    ----------
    record : Measure
        The measure.
    table : Reported
        The table.
    without : ndarray of bool
        Rows that have no effect.
    paired : ndarray of bool
        Rows of paired conditions.
    correlation_assumed : bool
        Whether the caller gave a correlation to assume.
    refused : sequence of str
        Why the formula of the measure gave no effect for numbers that were complete; "" where they were not.

    Returns
    -------
    tuple of str
        Reasons.
    """
    reasons = [""] * table.k
    moments = {arm: arm_moments(table, arm, 0.95) for arm in ARMS}
    for i in np.flatnonzero(without).tolist():
        if any(name.endswith("events") for name in record.inputs):
            reasons[i] = refused[i] or _events_reason(record, table, i, bool(paired[i]))
        else:
            reasons[i] = refused[i] or _means_reason(
                record, table, i, bool(paired[i]), correlation_assumed, moments
            )
    return tuple(reasons)


def _events_reason(record: Measure, table: Reported, i: int, paired: bool) -> str:
    """Reason of a row for a measure of events."""
    needed = [name if "_" in name else f"treatment_{name}" for name in record.inputs]
    if paired and len(needed) > len(ARMS):
        return PAIRED_EVENTS
    missing = [name for name in needed if not table.has(name)[i]]
    if all(name in missing for name in needed if name.endswith("events")):
        return "no numbers of events"
    if missing:
        return f"not given: {', '.join(missing)}"
    return f"{record.code} has no value for these numbers of events"


def _means_reason(
    record: Measure, table: Reported, i: int, paired: bool, assumed: bool, moments: Mapping[str, ArmMoments]
) -> str:
    """Reason of a row for a measure of means: the first thing that stood in the way."""
    one_arm = "control_mean" not in record.inputs and "pre_mean" not in record.inputs
    arms = ARMS[:1] if one_arm else ARMS
    sizes = [bool(table.has(f"{arm}_n")[i]) for arm in arms]
    n_known = any(sizes) if paired else all(sizes)
    own = [moments[arm] for arm in arms]
    spread = all(np.isfinite(arm.sd[i]) for arm in own)
    means = all(np.isfinite(arm.mean[i]) for arm in own)
    exact = bool(np.isfinite(exact_p(table)[i]))
    has_f = bool(f_of_the_arms(table)[i])
    has_t = has_f or bool(table.words("reported_as")[i] == "t" and table.has("statistic")[i])
    if paired and record.family != PAIRED_FAMILY and record.code not in PAIRED_FORM:
        return f"paired, and {record.code} has no paired form"
    if not paired and record.family == PAIRED_FAMILY:
        return f"two independent groups, and {record.code} needs one group measured twice"
    if means and spread:
        if not n_known:
            return _no_n(sizes, arms)
        if paired and _sizes_differ(table, i):
            return "paired, but the two arms have different n"
        if paired and not assumed:
            return NO_CORRELATION
        return f"{record.code} has no value for these means and SDs"
    if exact or has_t:
        return _test_reason(record, table, i, paired, assumed, n_known)
    if any(arm.flat[i] and not np.isfinite(arm.sd[i]) for arm in own):
        return FLAT
    if all(arm.has_quantiles[i] for arm in own) and not means:
        return ASYMMETRIC if any(arm.asymmetric[i] for arm in own) else "medians and quantiles, but no n"
    return _thin_reason(table, i, means, arms)


def _test_reason(record: Measure, table: Reported, i: int, paired: bool, assumed: bool, n_known: bool) -> str:
    """Reason of a row that has an exact p-value, a t statistic, or an F of the two arms."""
    exact, has_f = bool(np.isfinite(exact_p(table)[i])), bool(f_of_the_arms(table)[i])
    what = "an exact p" if exact else "an F statistic" if has_f else "a t statistic"
    if not record.alternatives:
        return f"{what}, but {record.code} needs means and SDs"
    if not n_known:
        return f"{what}, but no n"
    if (exact or has_f) and not np.isfinite(direction_of(table)[i]):
        return f"{what}, but neither means nor a difference tell the direction"
    if paired and not assumed:
        return NO_CORRELATION
    if not table.has("treatment_mean", "control_mean")[i] and record.code in ("MD", "MC"):
        return f"{what}, but no means"
    return f"{what} that gives no finite effect"


def _thin_reason(table: Reported, i: int, means: bool, arms: tuple[str, ...]) -> str:
    """Reason of a row without SDs, t or exact p."""
    relation, kind = table.words("p_relation")[i], table.words("reported_as")[i]
    if kind == "f" and table.has("statistic")[i] and not f_of_the_arms(table)[i]:
        return FOREIGN_F
    if table.has("p_value")[i] and relation != "=":
        return f"only p {relation or '(no sign)'} {table.numbers('p_value')[i]:g}: gives a bound, not a point"
    if kind == "percent_change":
        return "percentage change without SD"
    if any(table.has(f"{arm}_q1", f"{arm}_q3")[i] for arm in arms):
        return "median and quartiles only"
    if any(table.has(f"{arm}_{end}")[i] for arm in arms for end in ("median", "min", "max")):
        return "median and range only"
    if means:
        return "no SD in either arm and no t or exact p" if len(arms) > 1 else "no SD and no t or exact p"
    if any(table.has(f"{arm}_mean")[i] for arm in arms):
        return "a mean in one arm only"
    if table.has("effect")[i]:
        return "an effect without interval or standard error, or of another measure"
    if table.has("difference")[i]:
        return "a difference without SD, interval or exact p"
    if any(table.has(f"{arm}_events")[i] for arm in ARMS):
        return "numbers of events, not means"
    return "no numbers from which the effect follows"


def _no_n(sizes: list[bool], arms: tuple[str, ...]) -> str:
    """Say which arm's n is missing."""
    if not any(sizes):
        return "means and SDs, but no n"
    return f"means and SDs, but no n in the {arms[sizes.index(False)]} arm"


def _sizes_differ(table: Reported, i: int) -> bool:
    n1, n2 = table.numbers("treatment_n")[i], table.numbers("control_n")[i]
    return bool(np.isfinite(n1) and np.isfinite(n2) and n1 != n2)
