"""Printed effects, their intervals and standard errors, against what stands beside them in the row."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.conversions.sd_and_se import se_from_ci
from metaexo.effects.least_variances import variances_too_small
from metaexo.effects.measure import get_measure
from metaexo.effects.measures.calculate import calculate_quietly
from metaexo.effects.tables.derive import EFFECT_NAMES
from metaexo.errors import (
    EffectMismatchWarning,
    EffectTooPreciseWarning,
    OffCentreIntervalWarning,
    PValueMismatchWarning,
)
from metaexo.evidence.slips.grim import typed
from metaexo.evidence.slips.rows import ARMS, Checks, Positions, Rows, Slip, Slips
from metaexo.evidence.slips.statistics import interval_and_p_agree, interval_is_centred
from metaexo.evidence.slips.within_rows import ONE_GROUP, span
from metaexo.evidence.values import P_SIGNS, P_VALUE
from metaexo.types import Array

CHECKS = Checks()

# what a printed effect is called -> whether it is a ratio
SCALES: Mapping[str, bool] = {
    "SMD": False,
    "MD": False,
    "OR": True,
    "RR": True,
    "standardised_mean_difference": False,
    "mean_difference": False,
    "log10_ratio": False,
    "ratio_of_means": True,
    "odds_ratio": True,
    "risk_ratio": True,
    "hazard_ratio": True,
    "rate_ratio": True,
}
INTERVALS: Mapping[str, tuple[tuple[str, str, str, str], ...]] = {
    "outcomes": (
        ("difference", "difference_ci_low", "difference_ci_high", ""),
        ("effect", "effect_ci_low", "effect_ci_high", "effect_measure"),
    ),
    "published_meta_analyses": (("estimate", "ci_low", "ci_high", "measure"),),
}
MEANS: Mapping[str, tuple[tuple[str, str, str, str], ...]] = {
    "outcomes": tuple((f"{arm}_mean", f"{arm}_ci_low", f"{arm}_ci_high", "") for arm in ARMS),
    "published_meta_analyses": (),
}
"""Intervals of the means of arms, from which SDs are derived; their p-value is that of a difference."""


@CHECKS.add(
    "off-centre interval",
    "estimates and means that are not in the middle of their interval",
    OffCentreIntervalWarning,
    "10.1136/bmj.d2090",
    sheets=("outcomes", "published_meta_analyses"),
)
def _off_centre(rows: Rows) -> Slips:
    for estimate, low, high, measure in (*INTERVALS[rows.sheet.plan.name], *MEANS[rows.sheet.plan.name]):
        known, ratio = _scale(rows, measure)
        columns = [rows.cells(name) for name in (estimate, low, high)]
        wrong = known & ~interval_is_centred(*columns, log=ratio)
        for i in np.flatnonzero(wrong):
            yield Slip(
                i,
                estimate,
                f"{columns[0][i]} is not in the middle of {columns[1][i]} to {columns[2][i]}"
                + (" on the logarithmic scale" if ratio[i] else ""),
                "an estimate in the middle of its interval",
                "look at the source; a digit or a sign may be lost, or the interval be of another estimate",
                reading=_middle(rows, i, low, high, bool(ratio[i])),
            )


@CHECKS.add(
    "p against interval",
    "p-values that contradict the interval beside them",
    PValueMismatchWarning,
    "10.1136/bmj.d2304",
    sheets=("outcomes", "published_meta_analyses"),
)
def _p_against_interval(rows: Rows) -> Slips:
    relation, p = _p_values(rows)
    level = rows.numbers("level") / 100
    level = np.where(np.isfinite(level), level, 0.95)
    for _, low, high, measure in INTERVALS[rows.sheet.plan.name]:
        known, ratio = _scale(rows, measure)
        ends = rows.cells(low), rows.cells(high)
        null = np.where(ratio, 1.0, 0.0)
        wrong = known & ~interval_and_p_agree(*ends, p, relation, null=null, level=level)
        for i in np.flatnonzero(wrong):
            yield Slip(
                i,
                "p_value",
                f"p {relation[i]} {p[i]} and the {100 * level[i]:g}% interval {ends[0][i]} to {ends[1][i]} "
                f"contradict each other",
                f"an interval that leaves out {null[i]:g} exactly where p is below {1 - level[i]:.2g}",
                "look at the source; one of the two may be misprinted, or the level be another",
            )


@CHECKS.add(
    "impossible variance",
    "standardised mean differences more precise than the sizes of their arms allow",
    EffectTooPreciseWarning,
    "10.3102/10769986006002107",
)
def _impossible_variances(rows: Rows) -> Slips:
    se, _, column = _standard_errors(rows, "effect")
    at, least = _too_small(rows, se)
    for i, floor in zip(at, least, strict=True):
        yield Slip(
            i,
            column[i],
            f"the standard error of the effect is {se[i]:.3g}, and two independent groups of these sizes "
            f"give {np.sqrt(floor):.3g} at least",
            "a standard error of sqrt(1/n1 + 1/n2) or more (a little less if multiplied by the "
            "small-sample correction)",
            "look at the source; the sizes may be wrong, the interval be of another level, the design paired",
        )


FORMULAS: Mapping[str, tuple[tuple[str, str, bool], ...]] = {
    "MD": (("MD", "LS", True), ("MD", "HO", True)),
    "SMD": (
        *(("SMD", kind, corrected) for kind in ("LS", "LS2", "UB") for corrected in (True, False)),
        *((code, "LS", corrected) for code in ("SMDH", "SMD1H") for corrected in (True, False)),
    ),
    "ROM": (("ROM", "LS", True), ("ROM", "HO", True)),
}
"""Measure, type of variance and small-sample correction: what a printed effect of this kind may be."""
ARM = ("mean", "sd", "n")
FARTHEST = 1.0
"""Standard errors that a printed effect may lie off that of means and SDs, by adjustment for baseline."""
MOST_TIMES = 1.5
"""Times that a printed standard error may differ from that of means, SDs and n, by adjustment."""
NAMED = 0.1
"""Share by which a standard error may differ from what it is taken for."""


@CHECKS.add(
    "effect against means",
    "effects, or their standard errors, that do not follow from means, SDs and n",
    EffectMismatchWarning,
    "10.3102/10769986006002107",
)
def _effect_mismatch(rows: Rows) -> Slips:
    measure = rows.words("effect_measure")
    for code, names in EFFECT_NAMES.items():
        of_code = np.array([word in names for word in measure], dtype=bool)
        if code in FORMULAS and of_code.any():
            yield from _mismatches(rows, code, of_code, "effect")
    if np.isfinite(rows.numbers("difference")).any():
        yield from _mismatches(rows, "MD", np.ones(len(measure), dtype=bool), "difference")


def _mismatches(rows: Rows, code: str, where: NDArray[np.bool_], name: str) -> Slips:
    """Compare the effects in one column, and their standard errors, with those of the means."""
    log = code == "ROM"
    values, places = typed(rows.cells(name), None)
    at = _with_means(rows, where & np.isfinite(values))
    if not at.size:
        return
    low, high = values - 0.5 * 10.0**-places, values + 0.5 * 10.0**-places
    if log:
        with np.errstate(invalid="ignore", divide="ignore"):
            low, high = np.log(low), np.log(high)
    se, least, column = _standard_errors(rows, name, log)
    too_small = set(_too_small(rows, se)[0].tolist()) if name == "effect" else set()
    for i, y_low, y_high, se_low, se_high in zip(at.tolist(), *_implied(rows, code, at), strict=True):
        off = FARTHEST * se_high
        shown = tuple(np.exp(end) if log else end for end in (y_low, y_high))
        no_ratio = log and values[i] <= 0
        if no_ratio or high[i] < y_low - off or low[i] > y_high + off:
            yield Slip(
                i,
                name,
                f"{rows.cells(name)[i]} is printed, but means, SDs and n give {span(*shown)}",
                "the effect of the numbers in the row, treatment against control",
                "look at the source; the effect may be of another outcome, or the average of several",
                reading=_meant(values[i], y_low - off, y_high + off, log),
            )
        elif i not in too_small and (se[i] < se_low / MOST_TIMES or least[i] > se_high * MOST_TIMES):
            yield Slip(
                i,
                column[i],
                f"the standard error of the {name} is {se[i]:.3g}, but means, SDs and n give "
                f"{span(se_low, se_high)}",
                "the standard error of the numbers in the row",
                "look at the source; n may be that of another analysis, the variance computed wrongly, the "
                "effect adjusted for what the means are not",
                reading=_taken_for(se[i], se_low, se_high),
            )


def _meant(value: float, low: float, high: float, log: bool) -> str:
    """Return what a printed effect may be that is not from low to high; these on the scale of effects."""
    turned = "the same effect with its sign turned"
    readings = {turned: -value}
    if log:
        inverse = -np.log(value) if value > 0 else np.nan
        readings = {
            "the logarithm of the ratio": value,
            f"{turned}, the ratio of control to treatment": inverse,
        }
    off = {words: abs(meant - (low + high) / 2) for words, meant in readings.items()}
    near = [words for words in off if off[words] <= (high - low) / 2]
    return min(near, key=off.__getitem__, default="")


def _with_means(rows: Rows, where: NDArray[np.bool_]) -> Positions:
    """Return the comparisons of two independent groups that have means, SDs and sizes."""
    means, sds, sizes = (np.stack([rows.numbers(f"{arm}_{name}") for arm in ARMS]) for name in ARM)
    known = (np.isfinite(means) & (sds > 0) & np.isfinite(sds) & (sizes > 1)).all(axis=0)
    known &= np.isin(rows.words("paired"), ("no", "")) & ~np.isin(rows.words("contrast"), ONE_GROUP)
    return np.flatnonzero(where & known)


def _implied(rows: Rows, code: str, at: Positions) -> tuple[Array, Array, Array, Array]:
    """Return the smallest and largest effect and standard error of rows, by all formulas, with rounding."""
    names = [f"{arm}_{name}" for arm in ARMS for name in ARM]
    numbers = {name: rows.numbers(name)[at] for name in names}
    half = {name: 0.5 * 10.0 ** -typed(rows.cells(name), None)[1][at] for name in names}
    found = []
    for mean_off, sd_off in itertools.product((-1, 1), (-1, 1)):
        given = dict(numbers)
        for arm, sign in zip(ARMS, (1, -1), strict=True):
            given[f"{arm}_mean"] = given[f"{arm}_mean"] + sign * mean_off * half[f"{arm}_mean"]
            given[f"{arm}_sd"] = np.maximum(given[f"{arm}_sd"] + sd_off * half[f"{arm}_sd"], 0.0)
        found += list(_by_formulas(code, given))
    effects, errors = (np.stack(each) for each in zip(*found, strict=True))
    return *_ends(effects), *_ends(errors)


def _ends(values: Array) -> tuple[Array, Array]:
    """Return the smallest and the largest of each column, whatever is missing."""
    return np.fmin.reduce(values), np.fmax.reduce(values)


def _by_formulas(code: str, given: Mapping[str, Array]) -> Iterator[tuple[Array, Array]]:
    """Yield effects and standard errors by each formula of a kind of effect."""
    for formula, kind, corrected in FORMULAS[code]:
        done = calculate_quietly(get_measure(formula), given, variance=kind, bias_correction=corrected)
        with np.errstate(invalid="ignore"):
            yield done.y, np.sqrt(np.where(done.v > 0, done.v, np.nan))


def _taken_for(se: float, low: float, high: float) -> str:
    """Return what stands in the place of a standard error, if it is one of the usual things."""
    for words, ends in {
        "the sampling variance, the square of the standard error": (low**2, high**2),
        "half the width of a 95% interval": (1.96 * low, 1.96 * high),
    }.items():
        if ends[0] * (1 - NAMED) <= se <= ends[1] * (1 + NAMED):
            return words
    return ""


def _standard_errors(rows: Rows, name: str, log: bool = False) -> tuple[Array, Array, list[str]]:
    """Return the standard errors of printed effects, or those of their intervals, and where they stand.

    An interval may have been made with the normal distribution or with t on as few degrees of freedom as the
    smaller group has: the second array has the standard errors by this t.
    """
    level = rows.numbers("level") / 100
    level = np.where(np.isfinite(level), level, 0.95)
    ends = rows.numbers(f"{name}_ci_low"), rows.numbers(f"{name}_ci_high")
    df = np.fmin(*(rows.numbers(f"{arm}_n") for arm in ARMS)) - 1
    se = se_from_ci(*ends, level=level, log=log)
    by_t = se_from_ci(*ends, level=level, df=np.where(df >= 1, df, np.inf), log=log)
    given = np.full(se.shape, np.nan) if log else rows.numbers(f"{name}_se")
    columns = [f"{name}_se" if known else f"{name}_ci_low" for known in np.isfinite(given)]
    known = np.isfinite(given)
    return np.where(known, given, se), np.where(known, given, by_t), columns


def _too_small(rows: Rows, se: Array) -> tuple[Positions, Array]:
    """Return the standardised mean differences too precise for their arms, and the least variances.

    Those of programs that multiply the variance by the squared small-sample correction are not among them.
    """
    of_smd = np.array([word in EFFECT_NAMES["SMD"] for word in rows.words("effect_measure")], dtype=bool)
    at, least, corrected = variances_too_small("SMD", np.where(of_smd & (se > 0), se**2, np.nan), rows.frame)
    return at[~corrected], least[~corrected]


def _scale(rows: Rows, measure: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows have an effect of known scale, and which of these are ratios."""
    words = rows.words(measure) if measure else ["mean_difference"] * len(rows.frame)
    known = np.array([word in SCALES for word in words], dtype=bool)
    return known, np.array([SCALES.get(word, False) for word in words], dtype=bool)


def _middle(rows: Rows, i: int | np.signedinteger, low: str, high: str, ratio: bool) -> str:
    a, b = float(rows.numbers(low)[i]), float(rows.numbers(high)[i])
    return f"the middle of the interval is {np.sqrt(a * b) if ratio else (a + b) / 2:.3g}"


def _p_values(rows: Rows) -> tuple[list[str], list[str]]:
    """Return relations and p-values as typed, "" where there is none that can be read."""
    if "p_relation" in rows.sheet.plan.columns:
        return rows.words("p_relation"), rows.cells("p_value")
    read = [P_VALUE.fullmatch(word.strip()) for word in rows.words("p_value")]
    relations = [P_SIGNS.get(found[1], found[1]) if found else "" for found in read]
    return relations, [found[2] if found else "" for found in read]
