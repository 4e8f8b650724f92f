"""The plain answer of an attribution, and the rules by which it is given or refused.

Rules, in this order:

1. A factor with fewer than two levels that are in enough studies: "too_few".
2. The factors are confounded in the additive model: "not_separable".
3. Fewer than four studies more than means: "too_few". A variance on three degrees of freedom or fewer may be
   ten times larger or smaller than its estimate.
4. tau2 without factors is zero: "no_heterogeneity".
5. A factor is named if it explains more, given the others, than permuted residuals, and so does every
   set of factors that holds it (a closed test, which keeps the chance of any false naming at 1 - level), and
   its share is above zero.
6. All factors together explain more than chance but none of them given the others: "not_separable".
7. Otherwise: "neither".

References
----------
Marcus, R., Peritz, E., Gabriel, K. R. (1976). On closed testing procedures with special reference to ordered
analysis of variance. Biometrika 63, 655-660. https://doi.org/10.1093/biomet/63.3.655
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from metaexo.formatting import p_value, percent, plural, printed
from metaexo.heterogeneity.attribution.confounding import Confounding
from metaexo.heterogeneity.attribution.estimability import Estimability, linkage_words
from metaexo.heterogeneity.levels import readable, whole_percent
from metaexo.readable import shows_itself

# Degrees of freedom that the unexplained variance needs.
LEAST_DF = 4
# Studies that precise shares need (López-López et al. 2014, https://doi.org/10.1111/bmsp.12002).
PRECISE = 40
KINDS = ("both", "several", "neither", "not_separable", "too_few", "no_heterogeneity")
Subset = tuple[int, ...]


@shows_itself
@dataclass(frozen=True, slots=True)
class Verdict:
    """A plain answer to what explains the heterogeneity.

    Attributes
    ----------
    kind : str
        The name of the factor, if one explains heterogeneity; "both" or (of more than two) "several";
        "neither"; "not_separable"; "too_few"; "no_heterogeneity".
    factors : tuple of str
        The factors that are named.
    sentence : str
        The answer in one sentence.
    reasons : tuple of str
        What it rests on.
    """

    kind: str
    factors: tuple[str, ...]
    sentence: str
    reasons: tuple[str, ...]

    @printed
    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict is given on, where numbers can be had."""

    names: tuple[str, ...]
    given_others: Mapping[Subset, float]  # p-value of each set of factors, given the others
    alone: tuple[float, ...]  # p-value of each factor by itself
    shares: tuple[float, ...]  # share of each factor
    bounds: tuple[tuple[float, float], ...]  # its interval; NaN without draws
    together: float  # share of all factors together
    interaction: float | None  # p-value; None where it is not estimable
    level: float  # of intervals and, as 1 - level, of the tests


def refusal(found: Estimability, confounding: Confounding) -> Verdict | None:
    """Return the verdict of data that cannot be attributed, whatever the effects are; None if they can."""
    reasons = (*found.words(), *confounding.words())
    names = [readable(name) for name in found.by]
    if any(len(levels) < 2 for levels in found.used.levels):
        return Verdict("too_few", (), _single_levels(found), reasons)
    if not found.separable:
        listed = f"{names[0]} from {' and '.join(names[1:])}"
        words = f"These data cannot separate {listed} because {linkage_words(found)}."
        return Verdict("not_separable", (), words, (*reasons, *_remedy(found)))
    if found.residual_df < LEAST_DF:
        return Verdict("too_few", (), _few(found), reasons)
    return None


def no_heterogeneity(found: Estimability) -> Verdict:
    """Return the verdict of effects that vary no more than by sampling."""
    sentence = (
        f"There is nothing to attribute: the {plural(found.used.k, 'effect')} vary no more than expected "
        "from their sampling errors (tau2 is estimated as zero)."
    )
    return Verdict("no_heterogeneity", (), sentence, tuple(found.words()))


def judge(evidence: Evidence, confounding: Confounding) -> Verdict:
    """Return the verdict of data whose factors are separately estimable."""
    names = [readable(name) for name in evidence.names]
    named = [f for f in range(len(names)) if _is_named(evidence, f)]
    everything = tuple(range(len(names)))
    reasons = [*_test_words(evidence), *confounding.words()]
    kind, sentence = "neither", _neither(evidence, names)
    if len(named) == 1:
        kind, sentence = evidence.names[named[0]], _one(evidence, names, named[0])
    elif named:
        kind = "both" if len(names) == 2 else "several"
        each = "; ".join(_share_words(evidence, names, f) for f in named)
        sentence = f"{_capital(_listed([names[f] for f in named]))} each explain heterogeneity: {each}."
    elif len(names) > 1 and evidence.given_others[everything] <= 1 - evidence.level:
        kind, sentence = "not_separable", _not_separable(evidence, names)
    studies = confounding.estimability.used.m
    if studies < PRECISE:
        reasons.append(f"{plural(studies, 'study', 'studies')}: precise shares need at least {PRECISE}")
    if evidence.interaction is not None and evidence.interaction <= 1 - evidence.level:
        reasons.insert(
            0, f"what one factor does depends on the other: interaction {p_value(evidence.interaction)}"
        )
    return Verdict(kind, tuple(evidence.names[f] for f in named), sentence, tuple(reasons))


def _is_named(evidence: Evidence, f: int) -> bool:
    tests = [p for subset, p in evidence.given_others.items() if f in subset]
    return max(tests) <= 1 - evidence.level and evidence.shares[f] > 0


def _one(evidence: Evidence, names: list[str], f: int) -> str:
    rest = [i for i in range(len(names)) if i != f]
    first = _capital(_share_words(evidence, names, f))
    if not rest:
        return f"{first}."
    others = "; ".join(f"{names[i]} {p_value(evidence.given_others[i,])}" for i in rest)
    return f"{first}; beyond that nothing explains more than permuted labels ({others})."


def _share_words(evidence: Evidence, names: list[str], f: int) -> str:
    low, high = evidence.bounds[f]
    ends = f"{whole_percent(low).removesuffix('%')} to {whole_percent(high)}"
    bounds = "" if math.isnan(low) else f", {percent(evidence.level)} interval {ends}"
    return (
        f"{names[f]} explains {whole_percent(min(evidence.shares[f], 1.0))} of the between-study variance"
        f" ({p_value(evidence.given_others[f,])}{bounds})"
    )


def _neither(evidence: Evidence, names: list[str]) -> str:
    everything = tuple(range(len(names)))
    who = (
        f"Neither {' nor '.join(names)} explains"
        if len(names) > 1
        else f"{_capital(names[0])} does not explain"
    )
    reach = [high for _, high in evidence.bounds]
    up_to = ""
    if not any(map(math.isnan, reach)):
        each = ", ".join(f"{name} {whole_percent(high)}" for name, high in zip(names, reach, strict=True))
        up_to = f"; shares of up to {each} remain possible"
    p = p_value(evidence.given_others[everything])
    return f"{who} more than permuted labels ({'together ' if len(names) > 1 else ''}{p}){up_to}."


def _not_separable(evidence: Evidence, names: list[str]) -> str:
    p = p_value(evidence.given_others[tuple(range(len(names)))])
    each = ", ".join(f"{name} {p_value(evidence.given_others[f,])}" for f, name in enumerate(names))
    return (
        f"These data cannot separate {names[0]} from {' and '.join(names[1:])}: together they explain "
        f"{whole_percent(min(evidence.together, 1.0))} of the between-study variance ({p}), "
        f"but none of them does beyond the others ({each})."
    )


def _test_words(evidence: Evidence) -> list[str]:
    names = [readable(name) for name in evidence.names]
    lines = [
        f"{name}: {p_value(evidence.given_others[f,])} given the others, {p_value(evidence.alone[f])} alone"
        for f, name in enumerate(names)
    ]
    if len(names) > 1:
        lines.append(f"together: {p_value(evidence.given_others[tuple(range(len(names)))])}")
    return lines


def _single_levels(found: Estimability) -> str:
    """Return which factors have nothing to compare."""
    enough = "two studies" if found.min_studies == 2 else plural(found.min_studies, "study", "studies")
    parts = []
    for j, name in enumerate(found.by):
        studies = found.table.studies_of(j)
        levels = [
            level for level, m in zip(found.table.levels[j], studies, strict=True) if m >= found.min_studies
        ]
        if len(levels) < 2:
            only = f"only one level ({readable(levels[0])})" if levels else "no level"
            parts.append(f"{readable(name)} has {only} in {enough} or more")
    if not parts:
        parts = [
            f"fewer than two levels of a factor are left when those in {found.too_few} only are set aside"
        ]
    total = f"{plural(found.table.k, 'effect')} of {plural(found.table.m, 'study', 'studies')}"
    return f"No attribution is possible: among {total}, {_listed(parts)}."


def _few(found: Estimability) -> str:
    levels = " and ".join(
        f"{len(every)} of {readable(name)}" for name, every in zip(found.by, found.used.levels, strict=True)
    )
    total = sum(len(every) for every in found.used.levels)
    return (
        f"No attribution is possible: {plural(found.used.m, 'study', 'studies')} in {total} levels "
        f"({levels}) leave {plural(max(found.residual_df, 0), 'degree')} of freedom for what is not "
        f"explained, and at least {LEAST_DF} are needed."
    )


def _remedy(found: Estimability) -> list[str]:
    """Return which group of levels could be attributed by itself, if there is one."""
    for number, group in enumerate(found.groups):
        if min(len(levels) for levels in group.levels) > 1:
            levels = "; ".join(
                f"{readable(name)} {', '.join(readable(level) for level in every)}"
                for name, every in zip(found.by, group.levels, strict=True)
            )
            return [
                f"within group {number + 1} ({levels}) they are separately estimable: "
                "select its rows and ask again"
            ]
    return []


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
