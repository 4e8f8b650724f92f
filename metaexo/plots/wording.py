"""Numbers and names as the figures print them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.formatting import MINUS, MISSING, number, p_value, percent, plural

if TYPE_CHECKING:
    from metaexo.effects.effect_sizes import Derivation
    from metaexo.ledger import Ledger

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
METHODS = {
    "REML": "restricted maximum likelihood",
    "ML": "maximum likelihood",
    "DL": "DerSimonian and Laird",
    "PM": "Paule and Mandel",
    "SJ": "Sidik and Jonkman",
    "HE": "Hedges and Olkin",
    "EB": "empirical Bayes",
}


def settle(value: float) -> float:
    """Return the value to ten significant digits, so that noise in the last ones cannot turn a tie.

    Examples
    --------
    >>> settle(0.1249999999999), settle(0.1250000000001)
    (0.125, 0.125)
    """
    return float(f"{float(value):.10g}")


def shown(value: float | None, digits: int) -> str:
    """Return a number as text; None and NaN as a dash, extreme ones with a power of ten.

    Examples
    --------
    >>> shown(0.125, 2), shown(-3.0, 1), shown(None, 2), shown(7.93e-12, 2)
    ('0.12', '−3.0', '–', '7.93×10⁻¹²')
    """
    text = number(None if value is None else settle(value), digits)
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}×10{_raised(exponent)}" if e else text


def power_label(value: float) -> str:
    """Return a round value with a power of ten.

    Examples
    --------
    >>> power_label(1e6), power_label(-2e-5)
    ('10⁶', '−2×10⁻⁵')
    """
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    sign = mantissa.replace("-", MINUS).removesuffix("1")
    return f"{sign}{'×' if sign[-1:].isdigit() else ''}10{_raised(exponent)}"


def _raised(exponent: str) -> str:
    return str(int(exponent.replace(MINUS, "-"))).translate(RAISED)


def same_line(text: str) -> str:
    """Return the text with blanks at which no line breaks."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def typeset(text: str) -> str:
    """Return a remark with Greek letters and raised digits where plain text had to do without.

    Examples
    --------
    >>> typeset("one tau2 for all")
    'one τ² for all'
    """
    return text.replace("tau2", "τ²").replace("I2", "I²")


def title_of(key: str) -> str:
    """Return the name of a column as a heading.

    Examples
    --------
    >>> title_of("source_category"), title_of("follow_up_weeks"), title_of("n")
    ('Source', 'Follow up weeks', 'n')
    """
    text = key.replace("_", " ").removesuffix(" category")
    return text if len(text) == 1 else text[:1].upper() + text[1:]


def whole_or_decimals(values: Sequence[float], most: int = 3) -> int:
    """Return how many decimals a column of numbers needs, at most `most`.

    Examples
    --------
    >>> whole_or_decimals([2020.0, 2021.0]), whole_or_decimals([0.5, 1.25]), whole_or_decimals([1 / 3])
    (0, 2, 2)
    """
    finite = [v for v in values if np.isfinite(v)]
    for digits in range(most + 1):
        if all(abs(v - round(v, digits)) <= 1e-9 * max(1.0, abs(v)) for v in finite):
            return digits
    return 2


def words(value: object, wording: Mapping[str, str] | None = None, missing: str = MISSING) -> str:
    """Return a category in words: its entry in `wording`, or itself with blanks for underscores.

    A missing value is shown as `missing`.

    Examples
    --------
    >>> words("bone_marrow_msc"), words("adipose_msc", {"adipose_msc": "adipose MSC"}), words(None)
    ('bone marrow msc', 'adipose MSC', '–')
    """
    if value is None or (isinstance(value, float) and np.isnan(value)) or str(value) in {"", "<NA>", "nan"}:
        return missing
    text = str(value)
    return (wording or {}).get(text, text.replace("_", " "))


def level_words(level: float) -> str:
    """Return a level in per cent.

    Examples
    --------
    >>> level_words(0.95), level_words(0.975)
    ('95 %', '97.5 %')
    """
    return f"{settle(100 * level):g} %"


def spread_words(fit: Any) -> list[str]:
    """Return the between-study variance and I² of a fit, as far as it has them."""
    parts = []
    tau2, i2 = getattr(fit, "tau2", None), getattr(fit, "i2", None)
    if isinstance(tau2, float | int | np.floating):
        parts.append(f"τ² = {shown(float(tau2), 2)}")
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
    test = str(getattr(fit, "test", "") or "").replace("knapp-hartung", "Knapp and Hartung")
    if method in {"EE", "FE", "CE"}:
        text = "Equal-effects model"
    elif method:
        text = f"Random-effects model; τ² by {METHODS.get(method, method)}"
        text += f" ({method})" if method in METHODS else ""
    else:
        text = type(fit).__name__
    if test:
        text += f"; intervals of pooled effects by {'the normal distribution' if test == 'z' else test}"
    return text + "."


def ledger_words(ledger: Ledger | None, most: int = 3) -> str:
    """Return what was left out of a table and the commonest reasons; empty if nothing was."""
    if ledger is None or not ledger.left_out:
        return ""
    reasons = Counter(entry.reason for entry in ledger.left_out).most_common()
    named = "; ".join(f"{reason} ({n})" for reason, n in reasons[:most])
    rest = sum(n for _, n in reasons[most:])
    return (
        f"Left out: {len(ledger.left_out)} of {plural(ledger.total, 'row')} of {ledger.source}: {named}"
        + (f"; other reasons ({rest})" if rest else "")
        + "."
    )


def derived_words(derived: Sequence[Derivation], mark: str = "square") -> list[str]:
    """Return how hollow marks are to be read; empty if every effect is as reported."""
    notes = []
    converted = [d for d in derived if d.how == "converted"]
    assumed = [d for d in derived if d.how == "assumed"]
    if converted:
        notes.append(
            f"Hollow {mark}: converted from another statistic ({_names(d.formula for d in converted)})."
        )
    if assumed:
        notes.append(
            "Hollow circle: rests on a value that the source does not state "
            f"({_names(d.note or d.formula for d in assumed)})."
        )
    return notes


def _names(found: Any, most: int = 4) -> str:
    """Return the different names with their counts, the commonest first."""
    tally = Counter(name or "formula not named" for name in found).most_common()
    text = "; ".join(f"{name}: {n}" for name, n in tally[:most])
    return text + (f"; and {len(tally) - most} more" if len(tally) > most else "")
