"""The answer in five sentences, each made from the numbers of the tables."""

from __future__ import annotations

from metaexo.report.content import Section, Words
from metaexo.report.own.part import Part
from metaexo.report.own.pooled import heterogeneity_sentence, pooled_sentence
from metaexo.report.own.strata import strata_sentence
from metaexo.report.own.trust import trust_sentence

MOST = 5


def answer_of(part: Part) -> tuple[str, ...]:
    """Return the answer to one question, in five sentences at most."""
    factors = [strata_sentence(part, factor) for factor in part.asked.by]
    if len(factors) > MOST - 3:
        first, *others = factors
        factors = [first, "; ".join([*(text.removesuffix(".") for text in others[:-1]), others[-1]])]
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
