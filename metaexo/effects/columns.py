"""Which columns of a table mean the inputs of a measure, for messages that say what to write.

Nothing is read by these guesses: they are shown to the reader, as a call that can be typed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from metaexo.effects.measure import Measure, all_measures
from metaexo.errors import InputError, MissingInputError, UnknownChoiceError

# What the inputs are called elsewhere, without punctuation.
OTHER_NAMES = {
    "treatment_mean": ("m1i", "m1", "mean1", "meane", "mean1i", "xe"),
    "treatment_sd": ("sd1i", "sd1", "sde"),
    "treatment_n": ("n1i", "n1", "ne"),
    "control_mean": ("m2i", "m2", "mean2", "meanc", "mean2i", "xc"),
    "control_sd": ("sd2i", "sd2", "sdc"),
    "control_n": ("n2i", "n2", "nc"),
    "treatment_events": ("ai", "x1i", "evente"),
    "control_events": ("ci", "x2i", "eventc"),
    "treatment_time": ("t1i", "timee"),
    "control_time": ("t2i", "timec"),
    "events": ("xi", "event"),
    "time": ("ti",),
    "n": ("ni",),
    "mean": ("mi",),
    "sd": ("sdi",),
    "correlation": ("ri", "r", "cor"),
    "post_mean": ("m1i",),
    "pre_mean": ("m2i",),
    "pre_sd": ("sd1i",),
}
# Those without an event, which make the size of the arm together with those with one.
WITHOUT_EVENT = {"treatment_n": ("ai", "bi"), "control_n": ("ci", "di")}
ARGUMENTS = {
    "slab": "labels",
    "label": "labels",
    "author": "labels",
    "authors": "labels",
    "names": "labels",
    "studlab": "study",
    "studies": "study",
    "cluster": "study",
    "vtype": "variance",
    "add": "continuity",
    "cc": "continuity",
    "df": "data",
    "table": "data",
    "frame": "data",
}
"""Arguments as other packages call them."""
EFFECTS = (
    "yi",
    "y",
    "te",
    "es",
    "effect",
    "effectsize",
    "estimate",
    "d",
    "g",
    "smd",
    "hedgesg",
    "logor",
    "logrr",
)
VARIANCES = ("vi", "v", "var", "variance", "vari", "effectvariance")
ERRORS = ("sei", "se", "sete", "stderr", "standarderror", "seeffect")
STATISTICS = {
    "mean": ("mean", "means", "avg", "average", "m"),
    "sd": ("sd", "std", "stdev", "sds", "stddev"),
    "n": ("n", "size", "count", "ntotal", "number", "total"),
    "events": ("events", "event", "cases", "responders", "deaths"),
    "time": ("time", "persontime", "years"),
}
CONTROLS = (
    *("control", "controls", "ctrl", "ctl", "con", "c", "vehicle", "veh", "placebo", "pbs", "sham", "saline"),
    *("untreated", "comparator", "model", "ref", "reference", "negative", "0", "2"),
)
"""Words for the arm without exosomes."""


def columns_of_effects(columns: Iterable[object]) -> str:
    """Return the call that reads a table's columns of effects and variances; "" where none look like it.

    Examples
    --------
    >>> columns_of_effects(["study", "TE", "seTE"])
    'mx.EffectSizes("TE", se="seTE", data=data)'
    """
    plain = _plain(columns)
    effect = next((plain[word] for word in EFFECTS if word in plain), None)
    if effect is None:
        return ""
    for words, argument in ((VARIANCES, ""), (ERRORS, "se=")):
        found = next((plain[word] for word in words if word in plain), None)
        if found is not None:
            return f'mx.EffectSizes("{effect}", {argument}"{found}", data=data)'
    return ""


def meant(name: str, columns: Sequence[str], inputs: Iterable[str]) -> str:
    """Return what to write for an input of a measure: a column, in quotes, or a sum of two; "" if unknown.

    `columns`: those of the table. `inputs`: all inputs of the measure; a column called so is no other.

    Examples
    --------
    >>> meant("control_n", ["ai", "bi", "ci", "di"], ["control_n"])
    'data["ci"] + data["di"]'
    >>> meant("control_mean", ["exo_mean", "veh_mean"], ["control_mean", "treatment_mean"])
    '"veh_mean"'
    """
    taken = {*inputs} - {name}
    free = [column for column in columns if column not in taken]
    plain = _plain(free)
    for word in (name.replace("_", ""), *OTHER_NAMES.get(name, ())):
        if word in plain:
            return f'"{plain[word]}"'
    parts = WITHOUT_EVENT.get(name, ())
    if parts and all(part in plain for part in parts):
        return " + ".join(f'data["{plain[part]}"]' for part in parts)
    found = _by_words(name, free)
    if found is None:
        near = difflib.get_close_matches(name.replace("_", ""), plain, n=1, cutoff=0.8)
        found = plain[near[0]] if near else None
    return "" if found is None else f'"{found}"'


def _by_words(name: str, columns: Sequence[str]) -> str | None:
    """Return the one column that names the statistic and the arm of an input, in words of its own."""
    arm, _, statistic = name.rpartition("_")
    if arm not in ("treatment", "control") or statistic not in STATISTICS:
        return None
    fitting = []
    for column in columns:
        words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", column)
        words = [word.casefold() for word in words]
        if any(word in STATISTICS[statistic] for word in words) and len(words) > 1:
            others = [word for word in words if word not in STATISTICS[statistic]]
            fitting.append((column, any(word in CONTROLS for word in others)))
    of_arm = [column for column, control in fitting if control == (arm == "control")]
    return of_arm[0] if len(of_arm) == 1 and len(fitting) == 2 else None


def _plain(columns: Iterable[object]) -> dict[str, str]:
    """Return columns by their letters and digits alone, capitals ignored."""
    return {"".join(filter(str.isalnum, str(column))).casefold(): str(column) for column in columns}


def call_with(function: str, names: Sequence[str], columns: Sequence[str], inputs: Iterable[str]) -> str:
    """Return a call that hands in the columns of a table, with "my ..." where none is meant."""
    every = [*inputs]
    found = {name: f'"{name}"' if name in columns else meant(name, columns, every) for name in names}
    return f"{function}data=data, {', '.join(f'{name}={x or _mine(name)}' for name, x in found.items())})"


def _mine(name: str) -> str:
    """Return what stands for a column that is not known."""
    return f'"my {name.replace("_", " ")}"'


def missing_columns(record: Measure, columns: Sequence[str], found: Mapping[str, Any]) -> MissingInputError:
    """Return the error for columns that a table lacks: which these are, which there are, what to write."""
    missing = [name for name in record.inputs if name not in found]
    inputs = dict.fromkeys(sum((route.inputs for route in record.routes), ()))
    near = [name for name in missing if meant(name, columns, inputs)]
    effects = columns_of_effects(columns)
    if not near and effects and not found:
        remedy = f"write {effects[:-1]}, measure={record.code!r}) if these columns hold the effects"
    else:
        call = call_with(f'mx.effect_sizes("{record.code}", ', record.inputs, columns, inputs)
        remedy = f"say which column is which: {call}"
        if len(near) < len(missing):
            lacking = ", ".join(_mine(name) for name in missing if name not in near)
            remedy += f", with the names of your columns in the place of {lacking}"
    return MissingInputError(
        f"data has no column {', '.join(missing)} for {record.code}; its columns are "
        + (", ".join(map(repr, columns)) or "none"),
        needed_inputs(record) if len(near) < len(missing) else ", ".join(record.inputs),
        remedy,
    )


def needed_inputs(record: Measure) -> str:
    """Return the inputs of a measure in words, other sets of them too."""
    others = "; ".join(", ".join(way.inputs) for way in record.alternatives)
    return ", ".join(record.inputs) + (f" (or: {others})" if others else "")


def check_names(record: Measure, given: Mapping[str, Any]) -> None:
    """Refuse inputs that the measure does not have, with what they are called here."""
    allowed = dict.fromkeys(sum((route.inputs for route in record.routes), ()))
    unknown = [name for name in given if name not in allowed]
    if not unknown or not allowed:
        return
    plain = _plain(given)
    if columns_of_effects(unknown) and len(unknown) == len(given):
        effect, error = (
            next((plain[word] for word in words if word in plain), "v")
            for words in (EFFECTS, VARIANCES + ERRORS)
        )
        argument = "se" if "".join(filter(str.isalnum, error)).casefold() in ERRORS else "v"
        raise InputError(
            f"{record.code} is computed from statistics, and effects are given ({', '.join(unknown)})",
            needed_inputs(record),
            f"write mx.EffectSizes(y={effect}, {argument}={error}, measure={record.code!r})",
        )
    first = unknown[0]
    argument = ARGUMENTS.get(first.casefold().replace("_", ""), "")
    if argument:
        raise UnknownChoiceError(f"argument of {record.code}", first, [argument, *allowed], nearest=argument)
    ours = {name: _given_as(name, plain) for name in record.inputs}
    if all(ours.values()) and not any(name in allowed for name in given):
        raise InputError(
            f"{record.code} has no input {', '.join(unknown)}",
            needed_inputs(record),
            "write " + ", ".join(f"{name}={value}" for name, value in ours.items()),
        )
    names = {word: name for name in allowed for word in OTHER_NAMES.get(name, ())}
    of_any = {name for one in all_measures() for route in one.routes for name in route.inputs}
    unused = [name for name in unknown if name in of_any]
    if unused == unknown:
        remedy = f"leave out {', '.join(f'{name}=' for name in unused)}"
        ways = ((one.code, way.inputs) for one in all_measures() for way in one.routes)
        others = [code for code, inputs in ways if set(inputs) == set(given)]
        if len(unknown) == len(given) and others:
            remedy = f"write mx.effect_sizes({others[0]!r}, ...), which is computed from these inputs"
        raise InputError(f"{record.code} does not use {', '.join(unused)}", needed_inputs(record), remedy)
    first = next(name for name in unknown if name not in of_any)
    raise UnknownChoiceError(f"input of {record.code}", first, allowed, nearest=names.get(first.casefold()))


def _given_as(name: str, plain: Mapping[str, str]) -> str:
    """Return the argument, or the sum of two, that means an input; "" if none does."""
    for word in OTHER_NAMES.get(name, ()):
        if word in plain:
            return plain[word]
    parts = WITHOUT_EVENT.get(name, ())
    return " + ".join(plain[part] for part in parts) if parts and all(part in plain for part in parts) else ""
