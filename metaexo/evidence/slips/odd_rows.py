"""One row that does not fit the others of its outcome: its direction, unit, scale, sizes, or exchanged cells.

What stands in one row is held against the other studies of the same outcome and unit (median of the rows of
each study), on the logarithmic scale. A row is far off if its deleted residual is beyond the quantile of
Student's t at a tail of 0.3% shared by all rows (Bonferroni)::

    t = (x_i - mean of the others) / (s sqrt(1 + 1/m)),
    s^2 = (4 s0^2 + (m - 1) s_others^2) / (4 + m - 1),

with 3 + m degrees of freedom, m other studies (four at least) and s0 = 0.4, which counts for four of them; s
is never below s_others. Two cells are called exchanged if the row is 1,000 k times as likely (k rows) after
the exchange.

In 600 simulated sheets each of 6, 12 and 30 studies without a slip (n of 4 to 12; CV about 0.25; levels that
differ by an SD of 0.5 on the log scale) any of the questions on numbers was asked in 0.2%, 1.5%
and 2.8%, and in 2.3%, 3.2% and 5.5% of sheets with effects of both signs (means of 30 with an SD of 8 between
studies against 42 with 5). Of slips in one row of 12 such studies about 85% of exchanged means and SDs,
88% of means and n, 98% of arms ten times too large, 84% of a tenfold n, and half of whole rows ten times too
large are asked about. Of exchanged arms it is one in six: that needs clear effects in the other studies.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from metaexo.errors import (
    ExchangedNumbersWarning,
    MixedDirectionsWarning,
    MixedUnitsWarning,
    UnusualScaleWarning,
    UnusualSizeWarning,
)
from metaexo.evidence.problems import MOST_LINES
from metaexo.evidence.slips.rows import ARMS, Checks, Positions, Rows, Slip, Slips
from metaexo.formatting import plural
from metaexo.numeric.tails import t_of_tail
from metaexo.types import Array, Mask

CHECKS = Checks()
FEWEST_OTHERS = 4
"""Other studies of an outcome that a row is held against."""
USUAL, COUNTS_FOR = 0.4, 4.0
"""Spread of logarithms between studies that is expected, and how many studies it counts for."""
TAIL = 0.003
EXCHANGED = 1000.0
"""How many times likelier, times the rows, the exchange of two cells has to make a row."""
STILL_ODD = 6.0
"""Squared standard scores of two cells after the exchange, at most."""
SCALE = 5.0
"""Factor from which another unit is asked about."""
SIZE = 3.0
SMALL_ANIMAL_STUDY, LARGE_ARM = 20.0, 30.0
ARMS_TURNED = 9.0
"""Twice the logarithm of how much likelier the arms are the other way round."""
MOST_AGREE = 0.8
AGAINST = 2.5
"""Standard errors by which an effect has to go the other way."""
FRACTION_GAP = 5.0
PLAIN_UNIT = re.compile(r"[^\W\d_]{0,5}%?(?:[/ ]?[^\W\d_]{1,3})?[²³23]?")
"""A unit, and no description of how something was measured: "%", "mm", "mm2", "mg/dL"."""
PEOPLE = ("human", "humans")
FIRST = "look at the source first"


class Others(NamedTuple):
    """The other studies, row by row: how many there are, their mean, and the spread between them."""

    studies: Array
    mean: Array
    spread: Array

    def score(self, x: Array) -> Array:
        """Return how many spreads a value is from the others; NaN where there are too few."""
        with np.errstate(invalid="ignore", divide="ignore"):
            score = (x - self.mean) / (self.spread * np.sqrt(1 + 1 / self.studies))
        return np.asarray(np.where(self.studies >= FEWEST_OTHERS, score, np.nan))

    def far(self, x: Array) -> Mask:
        """Return which values are beyond what one of so many shows by chance."""
        rows = max(int(np.isfinite(x).sum()), 1)
        with np.errstate(invalid="ignore"):
            limit = t_of_tail(np.full(x.shape, TAIL / rows / 2), COUNTS_FOR + np.maximum(self.studies, 1) - 1)
            return np.asarray(np.abs(self.score(x)) > limit)


def others(x: Array, study: Sequence[str]) -> Others:
    """Return the other studies of each value: each study counts with the median of its rows.

    Examples
    --------
    >>> found = others(np.log([10.0, 12, 11, 9, 100]), ["a", "b", "c", "d", "e"])
    >>> found.studies, found.far(np.log([10.0, 12, 11, 9, 100]))
    (array([4., 4., 4., 4., 4.]), array([False, False, False, False,  True]))
    """
    names = {name: at for at, name in enumerate(dict.fromkeys(study))}
    of = np.array([names[name] for name in study], dtype=np.intp)
    known = np.isfinite(x)
    rows: list[list[float]] = [[] for _ in names]
    for at, value in zip(of[known], x[known], strict=True):
        rows[at].append(float(value))
    centre = np.array([float(np.median(values)) if values else np.nan for values in rows])
    has = np.isfinite(centre)
    filled = np.where(has, centre, 0.0)
    count = has.sum() - has.astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (filled.sum() - filled) / count
        square = np.array(
            [float((filled[has & (np.arange(has.size) != j)] ** 2).sum()) for j in range(has.size)]
        )
        within = np.maximum(square - count * mean**2, 0.0)
        pooled = (COUNTS_FOR * USUAL**2 + within) / (COUNTS_FOR + np.maximum(count, 1) - 1)
        spread = np.sqrt(np.fmax(pooled, within / (count - 1)))
    return Others(count[of], mean[of], spread[of])


def _comparisons(rows: Rows) -> Iterator[Positions]:
    """Yield the rows of each outcome and unit that hold exosomes against a control."""
    usable = np.isin(rows.words("contrast"), ("exosome_vs_control", ""))
    usable &= ~np.isin(rows.words("use"), ("apart",))
    for group in rows.groups("outcome", "unit"):
        here = group[usable[group]]
        if len(here) > FEWEST_OTHERS:
            yield here


def _log(values: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(values > 0, np.log(values), np.nan))


def _values(rows: Rows, name: str) -> list[str]:
    """Return a column of words as it was understood; "" for what is missing."""
    return ["" if value is None or value != value else str(value) for value in rows.frame[name]]


def _named(rows: Rows, at: Sequence[int]) -> str:
    shown = ", ".join(f"{rows.sheet.lines[i]} ({rows.sheet.study(i)})" for i in at[:MOST_LINES])
    more = len(at) - MOST_LINES
    return f"{'line' if len(at) == 1 else 'lines'} {shown}{f' and {more} more' if more > 0 else ''}"


def _lines(rows: Rows, at: Sequence[int]) -> str:
    shown = ", ".join(str(rows.sheet.lines[i]) for i in at[:MOST_LINES])
    more = len(at) - MOST_LINES
    return f"{'line' if len(at) == 1 else 'lines'} {shown}{f' and {more} more' if more > 0 else ''}"


def _place(rows: Rows, at: Sequence[int]) -> int:
    """Return the row at which a finding of several stands: the first that no word explains."""
    said = rows.words("caution")
    return next((i for i in at if not said[i]), at[0])


# ------------------------------------------------------------------------------------- direction and unit


@CHECKS.add(
    "mixed directions",
    "rows of one outcome that give different directions of benefit",
    MixedDirectionsWarning,
)
def _mixed_directions(rows: Rows) -> Slips:
    # a warning and no error: one word can hold two things, as apoptosis in a tumour and in a wound
    better, unit = _values(rows, "better"), rows.words("unit")
    for group in rows.groups("outcome"):
        at = {word: [int(i) for i in group if better[i] == word] for word in ("higher", "lower")}
        most, fewest = sorted(at, key=lambda word: -len(at[word]))
        units = {unit[i] for i in at[most]}
        odd = [i for i in at[fewest] if unit[i] in units or "" in (*units, unit[i])]
        if not odd or not at[most]:
            continue
        word = rows.words("outcome")[odd[0]] or "the outcome"
        yield Slip(
            _place(rows, odd),
            "better",
            f"{word}: {fewest} is better in {_named(rows, odd)}, and {most} is better in "
            f"{_lines(rows, at[most])}; the effects of {plural(len(odd), 'row')} are turned the other way",
            "one direction of benefit for one outcome",
            f"write {most if len(at[most]) > 2 * len(odd) else 'the same'} in these rows, if all measure the "
            "same; if not, give the outcomes two names",
            rows=tuple(odd),
        )


@CHECKS.add("mixed units", "rows of one outcome in different units", MixedUnitsWarning)
def _mixed_units(rows: Rows) -> Slips:
    unit, contrast = rows.words("unit"), rows.words("contrast")
    for group in rows.groups("outcome"):
        at: dict[str, list[int]] = {}
        for i in map(int, group):
            if contrast[i] in ("exosome_vs_control", "") and PLAIN_UNIT.fullmatch(unit[i].strip()):
                at.setdefault(_unit(unit[i]), []).append(i)
        at.pop("", None)
        if len(at) < 2 or sum(map(len, at.values())) <= FEWEST_OTHERS:
            continue
        most, *fewer = sorted(at, key=lambda word: -len(at[word]))
        odd = sorted(i for word in fewer for i in at[word])
        told = "; ".join(f"{unit[at[word][0]]} in {_named(rows, at[word])}" for word in fewer)
        yield Slip(
            _place(rows, odd),
            "unit",
            f"{rows.words('outcome')[odd[0]] or 'the outcome'} stands in several units: "
            f"{unit[at[most][0]]} in {plural(len(at[most]), 'row')}, {told}",
            "one unit for one outcome",
            "correct the unit, or convert mean and SD; different quantities need outcomes of two names. SMD "
            "and ROM do not depend on the unit, a mean difference (MD) must not be pooled over units",
            rows=tuple(odd),
        )


def _unit(text: str) -> str:
    word = text.strip().lower().replace("²", "2").replace("³", "3").replace("μ", "µ")
    return "%" if word in ("percent", "per cent", "pct") else word


# ------------------------------------------------------------------------------------- cells exchanged


@CHECKS.add(
    "exchanged cells",
    "a mean that stands in the place of n or of the SD, and the other way",
    ExchangedNumbersWarning,
)
def _exchanged_cells(rows: Rows) -> Slips:
    for i, found in _exchanges(rows).items():
        name = {"n": "n", "sd": "SD"}[found[0][1]]
        told = " and ".join(
            f"{arm} mean {rows.cells(f'{arm}_mean')[i]}, {name} {rows.cells(f'{arm}_{other}')[i]}"
            for arm, other in found
        )
        yield Slip(
            i,
            f"{found[0][0]}_mean",
            f"are mean and {name} exchanged here ({told})? As they stand they do not fit the other studies "
            "of this outcome, and exchanged they do",
            f"the mean in the column of means and the {name} in its own",
            f"{FIRST}; if they are exchanged, put each in its own column",
            reading=f"mean and {name} exchanged",
        )


def _exchanges(rows: Rows) -> dict[int, list[tuple[str, str]]]:
    """Return the rows in which a mean stands in the place of another number: arm and that number."""
    if "exchanged" not in rows.shared:
        found: dict[int, list[tuple[str, str]]] = {}
        for group in _comparisons(rows):
            study = [rows.sheet.study(int(i)) for i in group]
            for other in ("sd", "n"):
                for arm in ARMS:
                    mean, beside = (rows.numbers(f"{arm}_{name}")[group] for name in ("mean", other))
                    for at in np.flatnonzero(_swapped(mean, beside, study, of_n=other == "n")):
                        places = found.setdefault(int(group[at]), [])
                        if all(name == other for _, name in places):
                            places.append((arm, other))
        rows.shared["exchanged"] = dict(sorted(found.items()))
    known: dict[int, list[tuple[str, str]]] = rows.shared["exchanged"]
    return known


def _swapped(mean: Array, other: Array, study: Sequence[str], *, of_n: bool) -> Mask:
    """Return where two cells fit the other studies if exchanged, and do not as they stand.

    A mean and its SD are weighed by log(SD / mean) alone, which the exchange turns the other way.
    """
    x, y = _log(mean), _log(other)
    if of_n:
        of_x, of_y = others(x, study), others(y, study)
        stands = of_x.score(x) ** 2 + of_y.score(y) ** 2
        exchanged = of_x.score(y) ** 2 + of_y.score(x) ** 2
    else:
        beside = others(y - x, study)
        stands, exchanged = beside.score(y - x) ** 2, beside.score(x - y) ** 2
    with np.errstate(invalid="ignore"):
        found = (stands - exchanged > _limit(study)) & (exchanged < STILL_ODD)
        return np.asarray(found & (np.mod(mean, 1) == 0) if of_n else found)


def _limit(study: Sequence[str]) -> float:
    """Return the difference of two squared scores from which one reading is so much likelier."""
    return 2 * math.log(EXCHANGED * max(len(study), 1))


@CHECKS.add(
    "exchanged arms", "an effect of the opposite sign where all other studies agree", ExchangedNumbersWarning
)
def _exchanged_arms(rows: Rows) -> Slips:
    m1, s1, n1, m2, s2, n2 = (rows.numbers(f"{arm}_{name}") for arm in ARMS for name in ("mean", "sd", "n"))
    passed = {*_exchanges(rows), *_scales(rows)}
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = np.sqrt((s1**2 + s2**2) / 2)
        g = np.where(pooled > 0, (m1 - m2) / pooled, np.nan)
        z = g / np.sqrt(1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2)))
    for group in _comparisons(rows):
        known = np.array([i for i in group if np.isfinite(z[i]) and i not in passed], dtype=np.intp)
        study = [rows.sheet.study(int(i)) for i in known]
        beside = others(g[known], study)
        with np.errstate(invalid="ignore", divide="ignore"):
            noise = (g[known] / z[known]) ** 2
            turned = -4 * g[known] * beside.mean / (beside.spread**2 * (1 + 1 / beside.studies) + noise)
        signs = {name: np.sign(np.median(g[known][[s == name for s in study]])) for name in study}
        for at in np.flatnonzero((turned > ARMS_TURNED) & (beside.studies >= FEWEST_OTHERS)):
            i, sign = int(known[at]), np.sign(g[known[at]])
            agree = [signs[name] == -sign for name in signs if name != study[at]]
            if abs(z[i]) < AGAINST or sum(agree) < MOST_AGREE * len(agree):
                continue
            here, there = ("higher", "lower") if sign > 0 else ("lower", "higher")
            yield Slip(
                i,
                "treatment_mean",
                f"are the two arms exchanged? The means are {m1[i]:g} and {m2[i]:g}, so the exosome arm is "
                f"{here} here; in {sum(agree)} of {len(agree)} other studies of this outcome it is {there}",
                "the arm with exosomes in its own columns",
                f"{FIRST}; a study may well find the opposite, and then the row stays as it is",
                reading=f"the arms exchanged: {m2[i]:g} with exosomes, {m1[i]:g} without",
            )


# ------------------------------------------------------------------------------------- scale and sizes


@CHECKS.add(
    "unusual scale", "means ten times and more those of the other studies of an outcome", UnusualScaleWarning
)
def _unusual_scales(rows: Rows) -> Slips:
    for i, (column, what, reading) in _scales(rows).items():
        yield Slip(
            i,
            column,
            what,
            "means on the scale of the other rows of the outcome",
            f"{FIRST}; convert mean and SD to the unit of the other rows, or correct the decimal point",
            reading=reading,
        )


def _scales(rows: Rows) -> dict[int, tuple[str, str, str]]:
    """Return the rows on another scale than the others: column, what is seen, and how it may be read."""
    if "scales" not in rows.shared:
        found: dict[int, tuple[str, str, str]] = {}
        mean = [_log(rows.numbers(f"{arm}_mean")) for arm in ARMS]
        for group in _comparisons(rows):
            study = [rows.sheet.study(int(i)) for i in group]
            level = [x[group] for x in mean]
            apart = level[0] - level[1]
            for at in _far(apart, study):
                by = apart[at] - others(apart, study).mean[at]
                arm = int(np.argmax([abs(others(x, study).score(x)[at]) for x in level]))
                off = by if arm == 0 else -by
                said = f"this mean is {_times(off)} what the other arm and the other studies let expect"
                found[int(group[at])] = (f"{ARMS[arm]}_mean", said, _factor(off))
            both = (level[0] + level[1]) / 2
            for at in _far(both, study):
                off = float(both[at] - others(both, study).mean[at])
                said = f"both means are {_times(off)} those of the other studies of this outcome"
                found.setdefault(int(group[at]), ("treatment_mean", said, _factor(off)))
        passed = {*_exchanges(rows), *(i for low, high in _fractions(rows) for i in (*low, *high))}
        rows.shared["scales"] = {i: said for i, said in sorted(found.items()) if i not in passed}
    known: dict[int, tuple[str, str, str]] = rows.shared["scales"]
    return known


def _far(x: Array, study: Sequence[str]) -> list[int]:
    beside = others(x, study)
    with np.errstate(invalid="ignore"):
        return [int(i) for i in np.flatnonzero(beside.far(x) & (np.abs(x - beside.mean) > math.log(SCALE)))]


def _times(off: float) -> str:
    factor = math.exp(abs(off))
    shown = f"{factor:.2g}" if factor < 100 else f"{factor:,.0f}"
    return f"{shown} times" if off > 0 else f"1/{shown} of"


def _factor(off: float) -> str:
    power = 10 ** max(round(abs(off) / math.log(10)), 1)
    return f"another unit, or a shifted decimal point: {power:,} times too {'large' if off > 0 else 'small'}"


@CHECKS.add(
    "fractions and per cent",
    "rows of an outcome between 0 and 1 beside rows in per cent",
    UnusualScaleWarning,
)
def _fractions_and_percent(rows: Rows) -> Slips:
    mean = np.fmax(*(rows.numbers(f"{arm}_mean") for arm in ARMS))
    for low, high in _fractions(rows):
        odd = min(low, high, key=len)
        most = [f"{min(mean[at]):g} to {max(mean[at]):g}" for at in (low, high)]
        yield Slip(
            _place(rows, odd),
            "treatment_mean",
            f"are fractions and per cent mixed? The means of {_lines(rows, low)} lie between 0 and 1 "
            f"({most[0]}), those of {_lines(rows, high)} do not ({most[1]})",
            "one scale for one outcome",
            f"{FIRST}; multiply means and SDs of the fractions by 100",
            reading="fractions in the first, per cent in the others",
            rows=tuple(odd),
        )


def _fractions(rows: Rows) -> list[tuple[list[int], list[int]]]:
    """Return the rows of fractions and of per cent, outcome by outcome that has both."""
    if "fractions" not in rows.shared:
        found = []
        means = np.stack([rows.numbers(f"{arm}_mean") for arm in ARMS])
        least, most = np.fmin(*means), np.fmax(*means)
        for group in _comparisons(rows):
            low = [int(i) for i in group if least[i] >= 0 and 0 < most[i] <= 1]
            high = [int(i) for i in group if least[i] > 1 and most[i] <= 150]
            if not low or not high or len(low) + len(high) < np.isfinite(most[group]).sum():
                continue
            ratio = float(np.median(most[high]) / np.median(most[low]))
            if 100 / 3 < ratio < 300 and least[high].min() > FRACTION_GAP * most[low].max():
                found.append((low, high))
        rows.shared["fractions"] = found
    known: list[tuple[list[int], list[int]]] = rows.shared["fractions"]
    return known


@CHECKS.add(
    "unusual size", "groups of animals far larger than those of the other studies", UnusualSizeWarning
)
def _unusual_sizes(rows: Rows) -> Slips:
    people = np.isin([word.lower() for word in rows.words("species")], PEOPLE)
    people |= np.isin(rows.words("domain"), ("clinical", "human"))
    usable = np.isin(rows.words("contrast"), ("exosome_vs_control", "")) & ~people
    at = np.flatnonzero(usable)
    if len(at) <= FEWEST_OTHERS:
        return
    study = [rows.sheet.study(int(i)) for i in at]
    for arm in ARMS:
        n = rows.numbers(f"{arm}_n")[at]
        x = _log(n)
        beside = others(x, study)
        with np.errstate(invalid="ignore"):
            odd = beside.far(x) & (x - beside.mean > math.log(SIZE)) & (n >= LARGE_ARM)
            odd &= np.exp(beside.mean) < SMALL_ANIMAL_STUDY
        for j in np.flatnonzero(odd):
            i = int(at[j])
            if i not in _exchanges(rows):
                yield Slip(
                    i,
                    f"{arm}_n",
                    f"n is {n[j]:g}; in the other studies of this sheet groups have about "
                    f"{math.exp(beside.mean[j]):.0f}",
                    "the number of animals of this group",
                    f"{FIRST}; n counts animals, and not wells, fields or cells, and of this group alone",
                    reading="a slip of the pen, or wells, cells or both groups counted",
                )


@CHECKS.add("events in per cent", "events that are per cent in one row of an outcome", UnusualScaleWarning)
def _events_in_percent(rows: Rows) -> Slips:
    counts = {arm: (rows.numbers(f"{arm}_events"), rows.numbers(f"{arm}_n")) for arm in ARMS}
    for group in _comparisons(rows):
        study = [rows.sheet.study(int(i)) for i in group]
        typed, read = np.zeros(len(group)), np.zeros(len(group))
        for events, n in counts.values():
            e, size = events[group], n[group]
            x, noise = _logit(e, size)
            beside = others(x, study)
            as_read, read_noise = _logit(e / 100 * size, size)
            typed += _scored(x, noise, beside)
            read += _scored(as_read, read_noise, beside)
        with np.errstate(invalid="ignore"):
            found = (typed - read > _limit(study)) & (read < STILL_ODD)
        for at in np.flatnonzero(found):
            i = int(group[at])
            events, n = counts["treatment"]
            yield Slip(
                i,
                "treatment_events",
                f"are these events per cent? {events[i]:g} of {n[i]:g} is a share that no other study of "
                f"this outcome comes near; {events[i]:g}% is",
                "numbers of animals or patients with the event",
                f"{FIRST}; write how many had the event",
                reading=f"{events[i]:g}% of {n[i]:g}: {round(events[i] * n[i] / 100)}",
            )


def _logit(events: Array, n: Array) -> tuple[Array, Array]:
    """Return the log odds of a share and their variance."""
    with np.errstate(invalid="ignore", divide="ignore"):
        yes, no = events + 0.5, n - events + 0.5
        return _log(yes) - _log(no), np.asarray(1 / yes + 1 / no)


def _scored(x: Array, noise: Array, beside: Others) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        score = (x - beside.mean) ** 2 / (beside.spread**2 + noise)
    return np.asarray(np.where(beside.studies >= FEWEST_OTHERS, score, np.nan))


def rows_exchanged(rows: Rows) -> frozenset[int]:
    """Return the rows of which another question is asked here: their SDs and variances say nothing then."""
    fractions = (i for low, high in _fractions(rows) for i in (*low, *high))
    return frozenset((*_exchanges(rows), *_scales(rows), *fractions))
