"""The answer in five sentences, each made from the numbers of the tables, and the certainty of it."""

from __future__ import annotations

import math

from metaexo.formatting import plural
from metaexo.report.certainty import FEW, Certainty, certainty
from metaexo.report.content import Section, Words
from metaexo.report.own.bias import bias_words, mostly_high
from metaexo.report.own.counts import rare_effect_is_decided, rare_events
from metaexo.report.own.part import Part
from metaexo.report.own.pooled import (
    FEWEST_TO_PREDICT,
    heterogeneity_is_shown,
    heterogeneity_sentence,
    pooled_sentence,
)
from metaexo.report.own.strata import confounded, settling_pair, strata_sentence
from metaexo.report.own.trust import SUGGESTIVE, holds, resting_on, sizes_alike
from metaexo.report.own.words import factor_words, listed

MOST = 5
OBSERVED = ("nonrandomised_controlled", "pre_post")
UNCONTROLLED = ("post_vs_pre", "single_arm")
HIGH_RISK = "high risk of bias in at least half of the studies"
IN_A_REPORT = {
    "the result changes without doubtful rows": (
        "the result changes in another defensible analysis or without one study"
    ),
    "the interval or test does not decide": "the interval includes no effect",
}
"""Reasons of a certainty -> what they are in a report."""


def answer_of(part: Part) -> tuple[str, ...]:
    """Return the answer to one question, in five sentences at most."""
    factors = [strata_sentence(part, factor) for factor in part.asked.by]
    if len(factors) > MOST - 3:
        first, *others = factors
        last = [others[0], *map(_lower, others[1:])]
        factors = [first, "; ".join([*(text.removesuffix(".") for text in last[:-1]), last[-1]])]
    return (pooled_sentence(part), heterogeneity_sentence(part), *factors, trust_sentence(part))


def answer_to_all(parts: tuple[Part, ...]) -> tuple[str, ...]:
    """Return what opens the report: the answer, or of several questions the first sentence of each."""
    if len(parts) == 1:
        return answer_of(parts[0])
    return tuple(f"{part.title}: {_lower(pooled_sentence(part))}" for part in parts)


def answer_section(part: Part) -> Section:
    """Return the section that opens one of several questions."""
    return Section(
        part.called("answer"), part.title, tuple(Words(text, "answer") for text in answer_of(part))
    )


def _lower(text: str) -> str:
    """Return a sentence for the place behind a colon."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


# -- certainty -----------------------------------------------------------------------------------------------


def certainty_of(part: Part) -> Certainty:
    """Return the certainty of the pooled effect by the rules of GRADE."""
    design = "randomised" if randomised(part) else "observational" if observed(part) else "not reported"
    biased = HIGH_RISK if mostly_high(part.every) else ""
    if rare_events(part):
        return certainty(
            design=design, m=part.studies.m, decides=rare_effect_is_decided(part), units="studies",
            risk_of_bias=biased,
        )  # fmt: skip
    if part.fit is None:
        return certainty(design=design, m=max(part.studies.m, 1), decides=False, units="studies")
    found, null = part.fit.pooled(), part.every.measure.null
    known = not math.isnan(null)
    bounded = known and found.prediction_low is not None and found.prediction_high is not None
    bounded = bounded and part.studies.m >= FEWEST_TO_PREDICT
    test = part.small_studies
    return certainty(
        design=design,
        m=part.studies.m,
        units="studies",
        risk_of_bias=biased,
        decides=not known or not found.low <= null <= found.high,
        holds_without_doubtful=holds(part) and not resting_on(part),
        i2=part.fit.i2 if heterogeneity_is_shown(part.fit) else None,
        prediction=(found.prediction_low, found.prediction_high) if bounded else None,  # type: ignore[arg-type]
        null=null if known else 0.0,
        small_study_effects=test is not None and test.pvalue < SUGGESTIVE and not sizes_alike(test),
    )


def randomised(part: Part) -> bool:
    """Return whether every study says that it was randomised."""
    data = part.every.data
    if data is None or "design" not in data:
        return False
    return bool(data["design"].fillna("").astype(str).str.startswith("rct").all())


def observed(part: Part) -> bool:
    """Return whether studies say that nobody was allocated to a group, or there is one group only."""
    data = part.every.data
    if data is None:
        return False
    if "contrast" in data and data["contrast"].isin(UNCONTROLLED).any():
        return True
    return "design" in data and bool(data["design"].isin(OBSERVED).any())


def trust_sentence(part: Part) -> str:
    """Return the last sentence of the answer: the certainty with its reasons, and what would settle it."""
    if part.fit is None:
        few = "one study" if part.every.m == 1 else "no pooled effect"
        return f"The certainty is very low ({few}; {bias_words(part.every)}); {_settle(part)}."
    sure = certainty_of(part)
    reasons = [IN_A_REPORT.get(reason, reason) for reason in sure.reasons]
    why = "; ".join([*reasons, bias_words(part.every)])
    text = f"The certainty of the pooled effect is {sure.word} ({why})"
    text += _compared(part)
    if confounded(part):
        names = listed([factor_words(name) for name in part.asked.by])
        text += f"; {names} are confounded in these studies"
    return f"{text}; {_settle(part)}."


def _compared(part: Part) -> str:
    """Return that strata are compared between studies, or where within them, as a clause."""
    if rare_events(part):
        return ""
    within = {factor: len(part.in_several(factor)) for factor in part.between}
    apart = [factor_words(name, many=True) for name, n in within.items() if not n]
    text = f", and what is said of {listed(apart)} compares studies, which is observational" if apart else ""
    for name, n in within.items():
        if not n:
            continue
        many, others = factor_words(name, many=True), part.every.m - n
        between = " and between the others, which is observational" if others else ""
        text += f"; {many} are compared within {plural(n, 'study', 'studies')}{between}"
    return text


def _settle(part: Part) -> str:
    """Return what would settle what is open, two things at most."""
    if part.studies.m < 2:
        return "what would settle more: more studies"
    wanted = []
    found = part.attribution
    if found is not None and confounded(part):
        pair = settling_pair(found.estimability)
        wanted.append(f"studies that cross them{f' (for example {pair})' if pair else ''}")
    for factor, strata in part.strata.items():
        lacking = len({study for s in strata.strata if not s.reported for study in s.effects.study})
        if lacking and lacking * 2 >= part.studies.m:
            wanted.append(
                f"the {factor_words(factor)} of the {plural(lacking, 'study', 'studies')} without it"
            )
        elif factor not in part.between and not lacking:
            wanted.append(f"two studies or more of each {factor_words(factor)}")
    if part.studies.m < FEW:
        wanted.append("more independent studies")
    apart = [factor_words(one, many=True) for one in part.asked.by if not part.in_several(one)]
    if apart:
        wanted.append(f"comparisons of {listed(apart)} within one laboratory")
    elif not randomised(part):
        wanted.append("randomised comparisons")
    return f"what would settle more: {listed(wanted[:2] or ['larger studies'])}"
