"""What the figures say of fits, of rows that were left out, and of effects that were derived."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.formatting import p_value, percent, plural
from metaexo.numeric.estimators import ESTIMATORS
from metaexo.plots.wording import at_least, settle, shown

if TYPE_CHECKING:
    from metaexo.effects.effect_sizes import Derivation
    from metaexo.ledger import Ledger

TESTS = {
    "z": "the normal distribution",
    "t": "the t distribution",
    "knapp-hartung": "Knapp-Hartung",
    "knapp-hartung-adhoc": "Knapp-Hartung (scale of at least 1)",
}
NOT_ASKED = "not selected:"
THRESHOLD = re.compile(r"only p .+: gives a bound, not a point")


def spread_words(fit: Any) -> list[str]:
    """Return the between-study variance and I² of a fit, as far as it has them.

    Where there are as many coefficients as effects there is neither.
    """
    parts: list[str] = []
    if getattr(fit, "df_residual", 1) < 1:
        return parts
    tau2, i2 = getattr(fit, "tau2", None), getattr(fit, "i2", None)
    if isinstance(tau2, float | int | np.floating):
        parts.append(f"τ²{at_least(float(tau2))}")
    if isinstance(i2, float | int | np.floating):
        parts.append(f"I² = {percent(settle(float(i2)))}")
    return parts


def count_words(effects: int, studies: int) -> list[str]:
    """Return the counts of effects and studies."""
    return [f"k = {effects}", f"m = {studies}"]


def words_of_test(test: Any) -> str:
    """Return a test as "F(3, 12.1) = 4.50, p = 0.024"."""
    df = test.df if isinstance(test.df, tuple | list) else (test.df,)
    degrees = ", ".join(f"{settle(d):.1f}".removesuffix(".0") for d in df if d is not None)
    name = str(test.distribution)
    sign = "χ²" if name.lower().startswith("chi") else name[:1] if name[:1] in "FtTzZ" else name
    bracket = f"({degrees})" if degrees else ""
    return f"{sign}{bracket} = {shown(test.statistic, 2)}, {p_value(settle(test.pvalue))}"


def method_words(fit: Any) -> str:
    """Return the model of a fit in one sentence."""
    method = str(getattr(fit, "method", "") or "")
    test = str(getattr(fit, "test", "") or "")
    if method in {"EE", "FE", "CE"}:
        text = "Equal-effects model"
    elif method:
        name = f"{ESTIMATORS[method].name} ({method})" if method in ESTIMATORS else method
        text = f"Random-effects model; τ² by {name}"
    else:
        text = type(fit).__name__
    if test:
        text += f"; intervals of pooled effects by {TESTS.get(test, test)}"
    return text + "."


def ledger_words(ledger: Ledger | None, most: int = 3) -> str:
    """Return what was left out of a table and the commonest reasons; empty if nothing was.

    Rows that were not asked for are told apart from those that were and could not be used.

    Examples
    --------
    >>> from metaexo.ledger import Ledger
    >>> ledger = Ledger("outcomes.csv", (2, 3, 4, 5)).leave_out({2: "not selected: unit == '%'"}, "selection")
    >>> ledger_words(ledger.leave_out({3: "no SD", 4: "only p < 0.05: gives a bound, not a point"}, "effect"))
    '3 of 4 rows of outcomes.csv were asked for; 2 of these are left out: no SD (1); only a threshold ...'
    """
    if ledger is None or not ledger.left_out:
        return ""
    reasons = [entry.reason for entry in ledger.left_out if not entry.reason.startswith(NOT_ASKED)]
    asked = len(ledger.used) + len(reasons)
    rows = f"{plural(ledger.total, 'row')} of {ledger.source}"
    left_out = _tally([_in_a_list(reason) for reason in reasons], most, "other reasons")
    if asked == ledger.total:
        return f"Left out: {len(reasons)} of {rows}: {left_out}."
    told = f"{asked} of {rows} {'was' if asked == 1 else 'were'} asked for"
    if not reasons:
        return f"{told}."
    return f"{told}; {len(reasons)} of these {'is' if len(reasons) == 1 else 'are'} left out: {left_out}."


def _in_a_list(reason: str) -> str:
    """Return a reason as it stands among others; all thresholds of p are one."""
    if THRESHOLD.fullmatch(reason):
        return "only a threshold of p, which gives a bound"
    return reason.replace("; ", ", ")


def derived_words(derived: Sequence[Derivation], mark: str = "square") -> list[str]:
    """Return how hollow marks are to be read; empty if every effect is as reported."""
    notes = []
    converted = [d.formula or "formula not named" for d in derived if d.how == "converted"]
    assumed = [d.note or d.formula or "not named" for d in derived if d.how == "assumed"]
    if converted:
        notes.append(f"Hollow {mark}: converted from another statistic: {_tally(converted, 4)}.")
    if assumed:
        told = _tally([_in_a_list(words) for words in assumed], 4)
        notes.append(f"Hollow circle: rests on a value that the source does not state: {told}.")
    return notes


def _tally(words: Sequence[str], most: int, others: str = "others") -> str:
    """Return the different words with their counts, the commonest first."""
    counted = Counter(words).most_common()
    named = [f"{word} ({n})" for word, n in counted[:most]]
    rest = sum(n for _, n in counted[most:])
    return "; ".join([*named, *([f"{others} ({rest})"] if rest else [])])
