"""What a heading says of the scale of its numbers, and these numbers on the scale that the columns have.

An interval of 90 %, a logarithm of a ratio, a one-sided p, a variance, Cohen's d or a risk difference in
per cent is turned into what is read elsewhere; the rows say that it was done.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from metaexo.effects.conversions.sd_and_se import se_from_ci
from metaexo.effects.corrections import hedges_factor

OF_EFFECTS = ("effect", "effect_se", "effect_ci_low", "effect_ci_high")
RATIOS = ("odds_ratio", "risk_ratio", "hazard_ratio", "rate_ratio", "ratio_of_means")
"""Measures that are analysed as logarithms."""
LOGARITHMS: Mapping[str, float] = {"log": 1.0, "ln": 1.0}
BASES: Mapping[str, float] = {"10": math.log(10), "2": math.log(2)}
SQUARES = ("variance", "var", "vi")
USUAL = 0.95
AMBIGUOUS = ("rr",)
"""Measures whose short name beside a logarithm may be another one: lnRR is mostly a response ratio."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How the numbers below a heading differ from those that its columns hold."""

    log: float = 0.0  # natural logarithm of the base; 0 for numbers that are no logarithms
    level: float = USUAL  # of intervals
    tails: int = 2  # of p-values
    square: bool = False  # a variance where a standard error is read
    percent: bool = False  # a risk difference in per cent
    cohen: bool = False  # a standardised difference without Hedges' correction
    test: str = ""  # the test that a statistic is of

    def __bool__(self) -> bool:
        return self != Scale()

    def joined(self, other: Scale) -> Scale:
        """Return what two parts of a heading say together."""
        usual = Scale()
        more = {
            one.name: value
            for one in fields(Scale)
            if (value := getattr(other, one.name)) != getattr(usual, one.name)
        }
        return replace(self, **more)

    def fits(self, columns: Sequence[str], measure: str) -> bool:
        """Return whether numbers of some columns can be on this scale."""
        parts = {*columns}
        effects = parts <= {*OF_EFFECTS}
        return bool(
            (not self.log or (effects and (not measure or measure in RATIOS)))
            and (self.level == USUAL or any(name.endswith(("ci_low", "ci_high")) for name in parts))
            and (self.tails == 2 or parts == {"p_value"})
            and (not self.square or parts == {"effect_se"})
        )


AS_IT_STANDS = Scale()


def scale_of(found: Sequence[str]) -> tuple[list[str], Scale]:
    """Return the words of a heading without those that name a scale, and the scale.

    Examples
    --------
    >>> words, scale = scale_of(["or", "(", "90", "%", "ci", ")"])
    >>> words, scale.level
    (['or', '(', 'ci', ')'], 0.9)
    >>> scale_of(["log", "10", "or"])[0], scale_of(["p", "(", "one", "sided", ")"])[1].tails
    (['or'], 1)
    """
    rest: list[str] = []
    scale = Scale()
    i = 0
    while i < len(found):
        token, after = found[i], found[i + 1] if i + 1 < len(found) else ""
        before = rest[-1] if rest else ""
        if (
            token.isdigit()
            and 50 <= int(token) < 100
            and token != "95"
            and (after in ("%", "ci") or before == "ci")
        ):
            scale = replace(scale, level=int(token) / 100)
            i += 1 + (after == "%")
        elif token in LOGARITHMS:
            scale = replace(scale, log=BASES.get(after, LOGARITHMS[token]))
            i += 1 + (after in BASES)
        elif token in ("one", "1", "two", "2") and after in ("sided", "tailed", "side", "tail"):
            scale = replace(scale, tails=1 if token in ("one", "1") else 2)
            i += 2
        elif token in SQUARES:
            scale = replace(scale, square=True)
            rest.append("se")
            i += 1
        else:
            rest.append(token)
            i += 1
    return _without_empty_brackets(rest), scale


def _without_empty_brackets(found: Iterable[str]) -> list[str]:
    rest: list[str] = []
    for token in found:
        if token in ")]" and rest and rest[-1] in "([":
            rest.pop()
        else:
            rest.append(token)
    return rest


@dataclass(frozen=True, slots=True)
class Impossible:
    """A number that cannot be on its scale."""

    column: str
    what: str
    allowed: str
    remedy: str


def on_our_scale(
    row: dict[str, str], scales: Mapping[str, Scale], measure: str, in_percent: Iterable[str] = ()
) -> Iterator[tuple[str, str] | Impossible]:
    """Turn the numbers of a row into those of its columns; say how, and of which column, or why it cannot be.

    `in_percent`: columns whose cell has a percent sign.
    """
    numbers = _numbers(row, ("p_value", *OF_EFFECTS))
    if numbers is None:
        return
    if scales.get("p_value", AS_IT_STANDS).tails == 1 and "p_value" in numbers:
        if numbers["p_value"] > 0.5:
            yield Impossible(
                "p_value",
                f"the one-sided p is {row['p_value']}, and the effect lies on the other side",
                "a one-sided p of at most 0.5",
                "write the two-sided p that the paper gives, or 2 × (1 - p), in a column p; means or a "
                "column direction say on which side the effect lies",
            )
        else:
            row["p_value"] = _text(2 * numbers["p_value"])
            yield "p of one side", "p_value"
    test = scales.get("statistic", AS_IT_STANDS).test
    if test and row.get("statistic") and not row.get("reported_as"):
        row["reported_as"] = test
    if "effect" in numbers or "effect_se" in numbers:
        yield from _effect(row, numbers, scales, measure, {*in_percent} & {*OF_EFFECTS})
    for arm in ("treatment", "control"):
        yield from _interval_of_arm(row, arm, scales)


def _numbers(row: Mapping[str, str], names: Iterable[str]) -> dict[str, float] | None:
    """Return the numbers of some columns; None if a cell holds something else, which is said elsewhere."""
    try:
        return {name: float(row[name]) for name in names if row.get(name)}
    except ValueError:
        return None


def _effect(
    row: dict[str, str],
    numbers: dict[str, float],
    scales: Mapping[str, Scale],
    measure: str,
    in_percent: set[str],
) -> Iterator[tuple[str, str] | Impossible]:
    effect, se = scales.get("effect", AS_IT_STANDS), scales.get("effect_se", AS_IT_STANDS)
    ends = scales.get("effect_ci_low", AS_IT_STANDS)
    found = {name: numbers[name] for name in OF_EFFECTS if name in numbers}
    if se.square and found.get("effect_se", -1.0) >= 0:
        found["effect_se"] = math.sqrt(found["effect_se"])
        yield "variance of an effect", "effect_se"
    if measure == "risk_difference":
        if effect.percent or in_percent:
            found = {name: value / 100 for name, value in found.items()}
            yield "risk difference in per cent", "effect"
        if abs(found.get("effect", 0.0)) > 1:
            yield Impossible(
                "effect",
                f"the risk difference is {row['effect']}: it lies between -1 and 1",
                "a difference of two risks: 0.12, or 12%",
                'name the heading "RD (%)" if it is in per cent; else look at the paper',
            )
            return
    ratio = measure in RATIOS
    if measure and not ratio and (effect.log or se.log or ends.log):
        yield Impossible(
            "effect",
            f"a heading says logarithm, and the effect is a {measure}, which has none",
            "a ratio and its logarithm, or a difference",
            "look which of the two the heading says wrongly",
        )
        return
    if ratio and (effect.log or se.log or ends.log):
        found = _of_logarithms(found, effect, se, ends)
        yield "logarithm of a ratio", "effect"
    if ends.level != USUAL and {"effect_ci_low", "effect_ci_high"} <= {*found}:
        low, high = found["effect_ci_low"], found["effect_ci_high"]
        if not ratio or min(low, high) > 0:
            ends_ = _of_usual_level(low, high, ends.level, log=ratio)
            found["effect_ci_low"], found["effect_ci_high"] = ends_
            yield "interval of another level", "effect_ci_low"
    if effect.cohen and "effect" in found:
        sizes = _numbers(row, ("treatment_n", "control_n")) or {}
        if len(sizes) == 2 and sum(sizes.values()) > 3:
            factor = float(hedges_factor(sum(sizes.values()) - 2))
            found = {name: value * factor for name, value in found.items()}
            yield "Cohen's d", "effect"
        else:
            yield "Cohen's d without n", "effect"
    row |= {name: _text(value) for name, value in found.items() if value != numbers.get(name)}


def _of_logarithms(found: Mapping[str, float], effect: Scale, se: Scale, ends: Scale) -> dict[str, float]:
    """Return a ratio and its interval of 95 % of logarithms, or of a ratio and the SE of its logarithm."""
    base = effect.log or se.log or ends.log
    made = dict(found)
    if "effect" not in found:
        return made
    if not effect.log and found["effect"] <= 0:
        return made
    log = found["effect"] * effect.log if effect.log else math.log(found["effect"])
    made["effect"] = math.exp(log) if effect.log else found["effect"]
    low, high = found.get("effect_ci_low"), found.get("effect_ci_high")
    if low is not None and high is not None:
        if ends.log or (effect.log and _are_logarithms(low, high, log, base)):
            made["effect_ci_low"], made["effect_ci_high"] = math.exp(low * base), math.exp(high * base)
    elif "effect_se" in found:
        half = found["effect_se"] * base / float(se_from_ci(-1.0, 1.0, level=USUAL))
        made["effect_ci_low"], made["effect_ci_high"] = math.exp(log - half), math.exp(log + half)
    return made


def _are_logarithms(low: float, high: float, log: float, base: float) -> bool:
    """Return whether the ends beside a logarithm are logarithms too: then it is in the middle of them."""
    if low <= 0 or high <= 0:
        return True
    return abs((low + high) / 2 * base - log) < abs((math.log(low) + math.log(high)) / 2 - log)


def _of_usual_level(
    low: float, high: float, level: float, *, log: bool = False, df: float | None = None
) -> tuple[float, float]:
    """Return the ends of the interval of 95 % of the same estimate, by the normal distribution or by t."""
    part = float(se_from_ci(-1.0, 1.0, level=level, df=df) / se_from_ci(-1.0, 1.0, level=USUAL, df=df))
    if log:
        low, high = _of_usual_level(math.log(low), math.log(high), level, df=df)
        return math.exp(low), math.exp(high)
    middle, half = (low + high) / 2, (high - low) / 2 * part
    return middle - half, middle + half


def _interval_of_arm(row: dict[str, str], arm: str, scales: Mapping[str, Scale]) -> Iterator[tuple[str, str]]:
    level = scales.get(f"{arm}_ci_low", AS_IT_STANDS).level
    names = (f"{arm}_ci_low", f"{arm}_ci_high")
    ends, size = _numbers(row, names) or {}, _numbers(row, (f"{arm}_n",)) or {}
    if level == USUAL or len(ends) < 2:
        return
    n = size.get(f"{arm}_n", 0.0)
    made = _of_usual_level(ends[names[0]], ends[names[1]], level, df=n - 1 if n > 1 else None)
    row |= {name: _text(value) for name, value in zip(names, made, strict=True)}
    yield "interval of another level", names[0]


def _text(value: float) -> str:
    return format(value, ".12g")
