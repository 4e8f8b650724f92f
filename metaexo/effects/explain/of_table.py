"""How a row of a table of reported statistics became the inputs of a measure, as lines of formulas.

The derivation of an effect names its conversions; here each name has its formula and its paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metaexo.effects.conversions.d import T_OF_F
from metaexo.effects.conversions.quantile_rules import LUO_MEAN, SHI_SD, WAN_SD
from metaexo.effects.conversions.sd_and_se import (
    FORMULAS,
    R_OF_SE,
    SD_OF_CI,
    SD_OF_SE,
    SE_OF_CI,
    SE_OF_CI_T,
    T_OF_CHANGE_SD,
)
from metaexo.effects.derivation import Derivation
from metaexo.effects.formulas import SYMBOLS, Line, Route, lines_of, renamed
from metaexo.effects.measure import Measure
from metaexo.effects.tables.facts import NUMBERS, Facts, paired_form, read_facts

HANDBOOK = "10.1002/9781119536604.ch6"
PAIRED_HANDBOOK = "10.1002/9781119536604.ch23"
LUO, WAN, SHI = "10.1177/0962280216669183", "10.1186/1471-2288-14-135", "10.1002/jrsm.1429"
OF_F = "10.3389/fpsyg.2013.00863"
OF_CHANGES = "t from mean and SD of the changes"
OF_D = "variance from d and n"
CONTINUITY = "continuity correction"
OF_SE = "v = se**2"
LEVEL = "0.95"
ASSUMED_SD = "SD taken as"
ASSUMED_R = "correlation of the two conditions taken as"


@dataclass(slots=True)
class RowFormulas:
    """What leads from the cells of a row to its effect: known values, conversions, formulas."""

    measure: Measure  # the measure whose formulas are followed: the paired form for paired rows
    route: Route | None  # the formulas; None if none are written down for this row
    known: dict[str, float]  # values by sign, before the conversions
    names: dict[str, str]  # the column behind each of these signs
    # inputs that stand nowhere in the source: sign to name
    assumed: dict[str, str] = field(default_factory=dict)
    # title, DOI and lines of each conversion
    conversions: list[tuple[str, str, tuple[Line, ...]]] = field(default_factory=list)

    def convert(self, title: str, reference: str, text: str, signs: Mapping[str, str] | None = None) -> None:
        """Add a conversion, its formulas with the signs of the row."""
        self.conversions.append((title, reference, lines_of(renamed(text, signs or {}))))


def formulas_of_row(
    record: Measure, cells: Mapping[str, Any], mark: Derivation, options: Mapping[str, Any]
) -> RowFormulas:
    """Return the conversions and formulas that the derivation of a row names.

    The cells are the numbers and words of the row by column, missing ones left out; the options
    assumed_correlation and assumed_sd.
    """
    facts = read_facts({name: [value] for name, value in cells.items()}, ("row",))
    paired = bool(facts.paired(record)[0])
    form = paired_form(record) if paired else record
    names = [name for name in mark.formula.split(", ") if name]
    row = _known_cells(form, cells, facts, paired)
    _assume(row, mark, options)
    special = _printed_effect(row, record, cells, names, paired)
    if special is None:
        _convert_medians(row, names)
        _convert_spreads(row, names)
        if FORMULAS["t_from_f"] in names:
            row.convert(FORMULAS["t_from_f"], OF_F, T_OF_F)
        _convert_pairs(row, names)
    row.route = special or _route(form, names)
    return row


READ = tuple(name for name in NUMBERS if name != "df")
"""Columns of a table whose numbers may stand in a formula."""


def _route(form: Measure, names: list[str]) -> Route | None:
    """Return the route of the measure that is among the names of a derivation, or its own."""
    found = next((route for route in form.alternatives if route.formula in names), None)
    return found or next(iter(form.routes), None)


def _known_cells(form: Measure, cells: Mapping[str, Any], facts: Facts, paired: bool) -> RowFormulas:
    """Return the numbers of a row under the signs that the formulas of the measure ask for."""
    own = {name: SYMBOLS.get(name, name) for name in READ}
    if paired:
        own |= {"treatment_n": "n", "control_n": "n"}
    elif not any(name.startswith("control") for name in form.inputs):
        own |= {f"treatment_{name}": SYMBOLS.get(name, name) for name in ("mean", "sd", "n", "events")}
    names: dict[str, str] = {}
    for name, sign in own.items():  # the treatment arm first: n of a pair is told by either arm
        if isinstance(cells.get(name), float):
            names.setdefault(sign, name)
    known = {sign: float(cells[name]) for sign, name in names.items()}
    direction, t = float(facts.direction[0]), float(facts.t[0])
    printed = known.pop("t", math.nan)
    if cells.get("reported_as") == "f":
        known, names = {**known, "F": printed}, {**names, "F": "statistic"}
    elif math.isfinite(t):
        known["t"] = t
    known |= {"direction": direction} if math.isfinite(direction) else {}
    return RowFormulas(form, None, known, {**names, "direction": "direction"})


def _assume(row: RowFormulas, mark: Derivation, options: Mapping[str, Any]) -> None:
    """Enter what was assumed: a correlation, or standard deviations."""
    correlation, sd = options.get("assumed_correlation"), options.get("assumed_sd")
    if ASSUMED_R in mark.note and correlation is not None:
        row.known["r"], row.assumed["r"] = float(correlation), "correlation"
    if ASSUMED_SD in mark.note and sd is not None:
        for sign, arm in (("1", "treatment"), ("2", "control")):
            mean, own = (f"m{sign}", f"s{sign}") if f"m{sign}" in row.known else ("m", "s")
            own_sd = bool(row.known.get(own))  # an SD of 0 is none
            if mean in row.known and not own_sd and not {f"se{sign}", f"low{sign}"} & set(row.known):
                row.known[own], row.assumed[own] = float(sd), f"{arm}_sd"


MEDIANS = {
    FORMULAS["mean_sd_from_quartiles"]: ("quartiles", WAN, WAN_SD),
    FORMULAS["mean_sd_from_range"]: ("range", WAN, WAN_SD),
    FORMULAS["mean_sd_from_five"]: ("five", SHI, SHI_SD),
}
"""Conversion of a median -> quantiles that it needs; paper and formulas of the SD."""


def _convert_medians(row: RowFormulas, names: list[str]) -> None:
    """Add the conversions of arms that report a median with quartiles or range, and no mean."""
    alone = "m1" not in {SYMBOLS.get(name, name) for name in row.measure.inputs}
    for i in "12":
        own = {name: f"{name}{i}" for name in ("min", "lowq", "med", "upq", "max", "w", "u")}
        own |= {"m": "m", "s": "s"} if alone else {"m": f"m{i}", "s": f"s{i}"}
        own |= {"n": f"n{i}" if f"n{i}" in row.known else "n"}
        if own["med"] not in row.known or own["m"] in row.known:
            continue
        for name, (scenario, paper, sd) in MEDIANS.items():
            if name in names and _has_quantiles(row, i, name):
                row.convert(f"{name}, arm {i}: mean", LUO, LUO_MEAN[scenario], own)
                row.convert(f"{name}, arm {i}: SD", paper, sd[scenario], own)
                break


def _has_quantiles(row: RowFormulas, i: str, name: str) -> bool:
    """Say whether the quantiles of an arm are those of this conversion."""
    quartiles, ends = {f"lowq{i}", f"upq{i}"} <= set(row.known), {f"min{i}", f"max{i}"} <= set(row.known)
    if name == FORMULAS["mean_sd_from_five"]:
        return quartiles and ends
    return quartiles and not ends if name == FORMULAS["mean_sd_from_quartiles"] else ends and not quartiles


def _convert_spreads(row: RowFormulas, names: list[str]) -> None:
    """Add the conversions to the SD of each arm; an SD that is reported is kept."""
    for i in "12":
        if f"s{i}" in row.known:
            continue
        own = {name: f"{name}{i}" for name in ("s", "se", "low", "high")} | {"level": LEVEL}
        own |= {"n": f"n{i}" if f"n{i}" in row.known else "n"}
        if FORMULAS["sd_from_se"] in names and own["se"] in row.known:
            row.convert(FORMULAS["sd_from_se"], HANDBOOK, SD_OF_SE, own)
        elif FORMULAS["sd_from_ci"] in names and own["low"] in row.known:
            row.convert(FORMULAS["sd_from_ci"], HANDBOOK, SD_OF_CI, own)


def _convert_pairs(row: RowFormulas, names: list[str]) -> None:
    """Add the conversions of paired rows: the correlation, or the t of the changes."""
    if OF_CHANGES in names:
        row.known["m2"] = 0.0
        if "t" not in row.known:
            row.convert(OF_CHANGES, PAIRED_HANDBOOK, T_OF_CHANGE_SD, {"D": "m1", "s_c": "s1"})
    if FORMULAS["correlation_from_difference_se"] in names:
        se, own = _se_of_interval("n - 1" if "n" in row.known else "")
        text = f"{renamed(se, own)}\n{R_OF_SE}"
        row.convert(FORMULAS["correlation_from_difference_se"], PAIRED_HANDBOOK, text)
    elif FORMULAS["correlation_from_t"] in names:
        t = "t" if "t" in row.known or FORMULAS["t_from_f"] in names else "t_of_p(p, n - 1)"
        text = f"se = abs(m1 - m2) / abs({t})\n{R_OF_SE}"
        row.convert(FORMULAS["correlation_from_t"], PAIRED_HANDBOOK, text)


def _se_of_interval(df: str) -> tuple[str, dict[str, str]]:
    """Return the formula of the standard error of an interval, by t where degrees of freedom are known."""
    return (SE_OF_CI_T, {"level": LEVEL, "df": df}) if df else (SE_OF_CI, {"level": LEVEL})


def _printed_effect(
    row: RowFormulas, record: Measure, cells: Mapping[str, Any], names: list[str], paired: bool
) -> Route | None:
    """Return the formulas of a row whose difference or effect is printed; None for other rows."""
    known = row.known
    if FORMULAS["se_from_ci_t"] in names:
        _choose_interval(row, cells, "difference")
        sized = math.isfinite(known.get("n", math.nan)) if paired else {"n1", "n2"} <= set(known)
        df = ("n - 1" if paired else "n1 + n2 - 2") if sized else ""
        row.convert(FORMULAS["se_from_ci_t"], HANDBOOK, *_se_of_interval(df))
        return Route((), "y = D", OF_SE)
    if FORMULAS["se_from_ci"] in names:
        row.measure = record
        _choose_interval(row, cells, "effect")
        logs = {"high": "log(high)", "low": "log(low)"} if record.display_log else {}
        row.convert(FORMULAS["se_from_ci"], HANDBOOK, SE_OF_CI, {"level": LEVEL} | logs)
        return Route((), f"y = {'log(E)' if record.display_log else 'E'}", OF_SE)
    if OF_D in names:
        row.measure = record
        if cells.get("effect_measure") == "cohens_d":
            known["d"] = known["E"]
        else:
            row.convert("d from Hedges' g", record.reference, "d = E / hedges(n1 + n2 - 2)")
        return next((one for one in record.routes if one.formula == "from d"), None)
    needs = {SYMBOLS.get(name, name) for name in row.measure.inputs}
    if not names and {"E", "se"} <= set(known) and not needs <= set(known):
        row.measure = record
        return Route((), "y = E", OF_SE)
    return None


def _choose_interval(row: RowFormulas, cells: Mapping[str, Any], name: str) -> None:
    """Let "low" and "high" stand for the interval that was used."""
    for end in ("low", "high"):
        row.known[end], row.names[end] = float(cells[f"{name}_ci_{end}"]), f"{name}_ci_{end}"


def cells_of(inputs: Mapping[str, Any], i: int) -> dict[str, Any]:
    """Return row `i` of a table: numbers as float, words as text, without what is missing."""
    found: dict[str, Any] = {}
    for name, column in inputs.items():
        value = column[i]
        if isinstance(value, int | float | np.number) and not isinstance(value, bool):
            if math.isfinite(float(value)):
                found[name] = float(value)
        elif isinstance(value, str) and value:
            found[name] = value
    return found
