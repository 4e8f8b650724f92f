"""Risk of bias: what a column of the sheet says of it, in words and signs, and whether it is high."""

from __future__ import annotations

import re

from metaexo.effects import EffectSizes
from metaexo.formatting import MINUS, plural
from metaexo.inputs import is_blank

COLUMN = re.compile(
    r"(?:overall )?(?:risk of bias|bias|rob ?2?|robins ?[ie]|syrcle)"
    r"(?: (?:overall|judge?ment|rating|risk))*"
)
"""Headings of a column with the judgement of the whole study."""
LOW, SOME, HIGH = "low", "some concerns", "high"
SIGNS = {LOW: "+", SOME: "?", HIGH: MINUS}
WORDS = {
    LOW: ("low", "low risk", "+"),
    SOME: ("some concerns", "some", "unclear", "moderate", "medium", "unclear risk", "moderate risk", "?"),
    HIGH: ("high", "serious", "critical", "high risk", "serious risk", "critical risk", "-", MINUS),
}
"""Judgement -> words of RoB 2, ROBINS-I and SYRCLE's tool for it, in small letters."""
TOOLS = (
    "Judge it with RoB 2 (randomised studies in people), ROBINS-I (others in people) or SYRCLE's tool "
    "(animals), write low, some concerns or high for each study into a column risk_of_bias, and make this "
    "report again."
)


def bias_column(effects: EffectSizes) -> str:
    """Return the column with the risk of bias of each study; empty if there is none with a judgement."""
    names = [] if effects.data is None else [str(name) for name in effects.data.columns]
    for name in names:
        plain = " ".join(re.findall(r"[a-z0-9]+", name.casefold()))
        if COLUMN.fullmatch(plain) and any(judgements(effects, name)):
            return name
    return ""


def judgements(effects: EffectSizes, column: str) -> list[str]:
    """Return the judgement of each row: low, some concerns, high, or empty where there is none of these."""
    said = ["" if is_blank(value) else str(value).strip().casefold() for value in effects.column(column)]
    return [next((found for found, words in WORDS.items() if one in words), "") for one in said]


def with_sign(judgement: str) -> str:
    """Return a judgement with the sign that stands for its colour: "low (+)"."""
    return f"{judgement} ({SIGNS[judgement]})" if judgement else "not judged"


def bias_words(effects: EffectSizes) -> str:
    """Return how many studies have which risk of bias, as a reason of the certainty."""
    column = bias_column(effects)
    if not column:
        return "risk of bias was not judged"
    of = dict(zip(effects.study, judgements(effects, column), strict=True))
    counts = {word: list(of.values()).count(word) for word in (*SIGNS, "")}
    each = [f"{word or 'not judged'} in {n}" for word, n in counts.items() if n]
    return f"risk of bias {', '.join(each)} of {plural(len(of), 'study', 'studies')}"


def mostly_high(effects: EffectSizes) -> bool:
    """Return whether at least half of the studies are at high risk of bias, which lowers the certainty."""
    column = bias_column(effects)
    if not column:
        return False
    of = dict(zip(effects.study, judgements(effects, column), strict=True))
    return 2 * list(of.values()).count(HIGH) >= len(of)
