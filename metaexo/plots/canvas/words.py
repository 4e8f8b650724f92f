"""What figures say of columns and categories, of fits, of rows left out and of derived effects."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metaexo.effects.derivation import Derivation
from metaexo.formatting import (
    MISSING,
    NOT_REPORTED,
    TEST_NAMES,
    at_least,
    p_value,
    percent,
    plural,
    ten_digits,
)
from metaexo.ledger import Ledger
from metaexo.models.linear.results import FitResults
from metaexo.numeric.estimators import ESTIMATORS

NAMES = {"isolation": "isolation method"}
OTHER = "other"


def same_line(text: str) -> str:
    """Return the text with blanks at which no line breaks."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def typeset(text: str) -> str:
    """Return a remark with Greek letters and raised digits where plain text had to do without."""
    return text.replace("tau2", "τ²").replace("I2", "I²")


def name_of(key: str) -> str:
    """Return the name of a column in words."""
    text = key.replace("_", " ").removesuffix(" category")
    return NAMES.get(text, text)


def title_of(key: str) -> str:
    """Return the name of a column as a heading."""
    text = name_of(key)
    return text if len(text) == 1 else text[:1].upper() + text[1:]


def words(value: object, wording: Mapping[str, str] | None = None, missing: str = MISSING) -> str:
    """Return a category in words: its entry in `wording`, or itself with blanks for underscores.

    A missing value is shown as `missing`.
    """
    if value is None or (isinstance(value, float) and np.isnan(value)) or str(value) in {"", "<NA>", "nan"}:
        return missing
    text = str(value)
    return (wording or {}).get(text, text.replace("_", " "))


def stratum_words(levels: Mapping[str, str], wording: Mapping[str, str] | None = None) -> str:
    """Return the levels of a stratum in words; "other" and "not reported" say of what."""
    known = wording or {}
    named = [
        known[level] if level in known else _with_factor(factor, words(level), first=not position)
        for position, (factor, level) in enumerate(levels.items())
    ]
    return " / ".join(named)


def _with_factor(factor: str, level: str, first: bool) -> str:
    """Return the level, with the name of its factor if it says nothing without it."""
    name = name_of(factor)
    said = {OTHER: f"{OTHER} {name}", NOT_REPORTED: f"{name} {NOT_REPORTED}"}.get(level.casefold())
    if said is None:
        return level
    return said[:1].upper() + said[1:] if first and level[:1].isupper() else said


NOT_ASKED = "not selected:"
THRESHOLD = re.compile(r"only p .+: gives a bound, not a point")


def heterogeneity_words(fit: Any) -> list[str]:
    """Return the between-study variance and I² of a fit, as far as it has them.

    Where there are as many coefficients as effects there is neither.
    """
    parts: list[str] = []
    if getattr(fit, "df_residual", 1) < 1:
        return parts
    tau2, i2 = getattr(fit, "tau2", None), getattr(fit, "i2", None)
    if isinstance(tau2, float | int | np.floating):
        parts.append(same_line(f"τ²{at_least(float(tau2))}"))
    if isinstance(i2, float | int | np.floating):
        parts.append(same_line(f"I² = {percent(ten_digits(float(i2)))}"))
    return parts


def count_words(effects: int, studies: int) -> list[str]:
    """Return the counts of effects and studies."""
    return [same_line(f"k = {effects}"), same_line(f"m = {studies}")]


def p_words(p: float, style: str = "p = 0.024") -> str:
    """Return a p-value in the style of a theme: "p = 0.024", "P = .02" or "P = 0.02".

    Examples
    --------
    >>> p_words(0.0238, "P = .02"), p_words(0.0004, "P = .02"), p_words(0.0004, "P = 0.02")
    ('P = .02', 'P < .001', 'P < 0.001')
    """
    if style == "p = 0.024" or math.isnan(p):
        return p_value(ten_digits(p))
    digits = 3 if p < 0.01 else 2
    words = "P < 0.001" if p < 0.001 else "P > 0.99" if p > 0.99 else f"P = {ten_digits(p):.{digits}f}"
    return words.replace(" 0.", " .") if style == "P = .02" else words


def words_of_test(test: Any, style: str = "p = 0.024") -> str:
    """Return a test as "F(3, 12.1) = 4.50, p = 0.024"."""
    df = test.df if isinstance(test.df, tuple | list) else (test.df,)
    degrees = ", ".join(f"{ten_digits(d):.1f}".removesuffix(".0") for d in df if d is not None)
    name = str(test.distribution)
    sign = "χ²" if name.lower().startswith("chi") else name[:1] if name[:1] in "FtTzZ" else name
    bracket = f"({degrees})" if degrees else ""
    return f"{sign}{bracket}{at_least(test.statistic)}, {p_words(test.pvalue, style)}"


def method_words(fit: FitResults) -> str:
    """Return the model of a fit in one sentence: how tau2 and the intervals are made."""
    text = fit.family_lines().model
    if fit.method in ESTIMATORS and fit.method != "EE":
        text += f"; τ² by {ESTIMATORS[fit.method].name} ({fit.method})"
    return f"{text}; intervals of pooled effects: {intervals_of(fit)}."


def intervals_of(fit: FitResults) -> str:
    """Return by what the intervals of a fit are made."""
    robust = fit.robust_covariance
    return TEST_NAMES.get(fit.test, fit.test) if robust is None else str(robust)


def ledger_words(ledger: Ledger | None, most: int = 3) -> str:
    """Return what was left out of a table and the commonest reasons; empty if nothing was.

    Rows that were not eligible are counted apart from those that were and could not be used.

    Examples
    --------
    >>> from metaexo.ledger import Ledger
    >>> ledger = Ledger("outcomes.csv", (2, 3, 4, 5)).leave_out({2: "not selected: unit == '%'"}, "selection")
    >>> ledger_words(ledger.leave_out({3: "no SD", 4: "only p < 0.05: gives a bound, not a point"}, "effect"))
    '3 of 4 rows of outcomes.csv were eligible; 2 of these are left out: no SD (1); only a threshold ...'
    """
    if ledger is None or not ledger.left_out:
        return ""
    reasons = [entry.reason for entry in ledger.left_out if not entry.reason.startswith(NOT_ASKED)]
    asked = len(ledger.used) + len(reasons)
    rows = f"{plural(ledger.total, 'row')} of {ledger.source}"
    left_out = _tally([_in_a_list(reason) for reason in reasons], most, "other reasons")
    if asked == ledger.total:
        return f"Left out: {len(reasons)} of {rows}: {left_out}."
    said = f"{asked} of {rows} {'was' if asked == 1 else 'were'} eligible"
    if not reasons:
        return f"{said}."
    return f"{said}; {len(reasons)} of these {'is' if len(reasons) == 1 else 'are'} left out: {left_out}."


def with_ledger(summary: str, ledger: Ledger | None) -> str:
    """Return what is seen in a figure, and what was left out of its table, for the alternative text."""
    return f"{summary} {ledger_words(ledger)}".rstrip()


def _in_a_list(reason: str) -> str:
    """Return a reason as it stands among others; all thresholds of p are one."""
    if THRESHOLD.fullmatch(reason):
        return "only a threshold of p, which gives a bound"
    return reason.replace("; ", ", ")


def derived_words(derived: Sequence[Derivation], mark: str = "square") -> tuple[str, ...]:
    """Return how hollow marks are to be read; empty if every effect is as reported."""
    notes = []
    converted = [d.formula or "formula not named" for d in derived if d.how == "converted"]
    assumed = [d.note or d.formula or "not named" for d in derived if d.how == "assumed"]
    if converted:
        notes.append(f"Hollow {mark}: converted from another statistic: {_tally(converted, 4)}.")
    if assumed:
        said = _tally([_in_a_list(words) for words in assumed], 4)
        notes.append(f"Hollow circle: based on an assumption: {said}.")
    return tuple(notes)


def _tally(words: Sequence[str], most: int, others: str = "others") -> str:
    """Return the different words with their counts, the commonest first."""
    counted = Counter(words).most_common()
    named = [f"{word} ({n})" for word, n in counted[:most]]
    rest = sum(n for _, n in counted[most:])
    return "; ".join([*named, *([f"{others} ({rest})"] if rest else [])])
