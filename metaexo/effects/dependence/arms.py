"""Which effects of a study share an arm or occur twice, and whom each effect was seen in."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.check import check_kind
from metaexo.effects.effect_rows import rows_by
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import (
    MixedDomainsWarning,
    warn_caller,
)
from metaexo.formatting import printed
from metaexo.inputs import as_word, is_blank
from metaexo.readable import shows_itself
from metaexo.types import Array

Ids = NDArray[np.intp]

SUBJECTS: dict[str, str] = {
    "clinical": "people",
    "rct_parallel": "people",
    "rct_split_body": "people",
    "animal_controlled": "animals",
    "in_vitro": "cells",
    **dict.fromkeys(("mouse", "rat", "rabbit", "dog", "pig", "horse", "sheep"), "animals"),
    **dict.fromkeys(("guinea_pig", "hamster", "monkey"), "animals"),
}
"""Words of the columns design, domain and species, and whom the result was seen in."""

ARMS = ("treatment", "control")
# Columns that say which result an arm belongs to; rows of different outcomes or times share no number.
SAME_RESULT = ("outcome", "unit", "timepoint")
NUMBERS = ("n", "mean", "sd", "se", "median", "events", "time")
FEWEST = 2  # numbers that must be there and equal: a sample size alone is no sign of a shared arm
IN_WORDS = {
    "both": "repeat each other",
    "control": "share a control arm",
    "treatment": "share a treated arm",
    "either": "share an arm that is treated in some and control in others",
}


@shows_itself
@dataclass(frozen=True, slots=True)
class SharedArm:
    """Effects that rest on one arm.

    Attributes
    ----------
    study : str
        The study.
    arm : {"control", "treatment", "either", "both"}
        What the arm they share is: the control arm of all of them, the treated arm of all of them, or treated
        in some and control in others; "both" means that the rows repeat each other, perhaps reversed.
    rows : tuple of int
        Positions of the effects, from 0.
    labels : tuple of str
        Their labels.
    """

    study: str
    arm: str
    rows: tuple[int, ...]
    labels: tuple[str, ...]

    @printed
    def __str__(self) -> str:
        rows = "rows " if all(label.isdecimal() for label in self.labels) else ""
        return f"{rows}{'; '.join(self.labels[:-1])} and {self.labels[-1]} {IN_WORDS[self.arm]}"


def shared_arms(effects: EffectSizes) -> tuple[SharedArm, ...]:
    """Return the effects of one study that rest on the same arm, and those that occur twice.

    Use it before effects are pooled: an arm that feeds two effects makes them correlated, positively where it
    has the same role in both, negatively where it is treated in one and control in the other;
    :func:`metaexo.effects.shared_control_covariances` gives the covariance. Arms are the same if they belong
    to one study, outcome and time and every number of them is equal, two known numbers at least.

    Parameters
    ----------
    effects : EffectSizes
        Effects of two groups: computed by :func:`metaexo.effect_sizes` or from sheets, which keep the arms'
        numbers whatever their columns are called, or with these numbers among the columns of `data`
        (control_n, control_mean, ...).

    Returns
    -------
    tuple of SharedArm
        One record per group of effects; empty if nothing is shared, or if the numbers are not known.

    References
    ----------
    Gleser, L. J., Olkin, I. (2009). Stochastically dependent effect sizes. In The Handbook of Research
    Synthesis and Meta-Analysis, 2nd ed., 357-376. https://www.jstor.org/stable/10.7758/9781610441384

    Examples
    --------
    >>> import pandas as pd
    >>> import metaexo as mx
    >>> arms = pd.DataFrame({
    ...     "treatment_mean": [5.0, 6.0], "treatment_sd": [1.0, 1.2], "treatment_n": [8, 8],
    ...     "control_mean": [4.0, 4.0], "control_sd": [1.1, 1.1], "control_n": [8, 8],
    ... })
    >>> es = mx.effect_sizes("MD", data=arms, study=["Lee", "Lee"], labels=["low dose", "high dose"])
    >>> print(*mx.effects.shared_arms(es))
    low dose and high dose share a control arm
    """
    check_kind("effects", effects, EffectSizes)
    ids = arms_by_numbers(effects)
    if ids is None:
        return ()
    twice = _groups([frozenset(pair) if min(pair) >= 0 else None for pair in ids.T.tolist()])
    repeated = {tuple(rows) for rows in twice}
    found = [_record(effects, "both", rows) for rows in twice]
    members: dict[int, tuple[list[int], list[int]]] = {}
    for i, pair in enumerate(ids.T.tolist()):
        for role, arm in enumerate(pair):
            if arm >= 0:
                members.setdefault(arm, ([], []))[role].append(i)
    for treated, control in members.values():
        rows = sorted({*treated, *control})
        if len(rows) > 1 and tuple(rows) not in repeated:
            role_in_words = "either" if treated and control else "treatment" if treated else "control"
            found.append(_record(effects, role_in_words, rows))
    return tuple(sorted(found, key=lambda one: one.rows))


def arms_by_numbers(effects: EffectSizes) -> Ids | None:
    """Return what identifies the treated and the control arm of each effect, found by their numbers.

    Equal numbers from 0 where arms are the same, in whatever role; below 0 where the numbers of an arm are
    not known. None if no study has several effects.
    """
    if not effects.study or effects.m == effects.k:
        return None
    context = list(zip(effects.study, *_same_result(effects), strict=True))
    called = {"treatment": "post", "control": "pre"} if "post_mean" in effects.measure.inputs else {}
    numbers = {
        arm: {
            name: _either(arm_numbers(effects, f"{arm}_{name}"), effects, f"{called.get(arm, arm)}_{name}")
            for name in NUMBERS
        }
        for arm in ARMS
    }
    there = {arm: {name for name, x in numbers[arm].items() if np.isfinite(x).any()} for arm in ARMS}
    in_both = there["treatment"] & there["control"]
    keys = {arm: _keys(context, numbers[arm], there[arm]) for arm in ARMS}
    common = {arm: _keys(context, numbers[arm], in_both) for arm in ARMS}
    return _identified([keys[arm] for arm in ARMS], [common[arm] for arm in ARMS])


def _either(found: Array, effects: EffectSizes, other: str) -> Array:
    return arm_numbers(effects, other) if np.isnan(found).all() else found


def paired_rows(effects: EffectSizes) -> NDArray[np.bool_]:
    """Return which rows have the same people in both arms, by their measure or a column `paired`."""
    if effects.measure.family.startswith(("one group twice", "matched pairs")):
        return np.ones(effects.k, dtype=bool)
    origin, data = effects.origin, effects.data
    words: list[object] = [""] * effects.k
    if origin is not None and "paired" in origin.inputs:
        words = np.asarray(origin.inputs["paired"])[origin.rows].tolist()
    elif data is not None and "paired" in data.columns:
        words = data["paired"].tolist()
    return np.array([not is_blank(word) and as_word(word) == "yes" for word in words], dtype=bool)


def arms_by_name(
    effects: EffectSizes, treated: Sequence[object] | None, control: Sequence[object] | None
) -> Ids:
    """Return what identifies the arms of each effect by name; a name is that of one arm per study.

    The identifiers are those of :func:`arms_by_numbers`; blank names are no arm.
    """
    studies = effects.study or effects.row_ids
    known: dict[Hashable, int] = {}
    ids = np.full((2, effects.k), -1, dtype=np.intp)
    for role, names in ((0, treated), (1, control)):
        for i, name in enumerate(names or ()):
            if not is_blank(name):
                ids[role, i] = known.setdefault((studies[i], as_word(name)), len(known))
    return ids


def arm_numbers(effects: EffectSizes, name: str) -> Array:
    """Return a number of an arm, shape (k,): what the effects were computed from, else a column of `data`.

    NaN where it is in neither; a column of `data` that holds no numbers counts as absent.
    """
    origin = effects.origin
    found = np.full(effects.k, np.nan)
    if origin is not None and name in origin.inputs:
        found = _as_numbers(np.asarray(origin.inputs[name])[origin.rows])
    elif effects.data is not None and name in effects.data.columns:
        found = _as_numbers(effects.data[name].to_numpy())
    return found


def _as_numbers(values: NDArray[np.generic]) -> Array:
    try:
        return np.array([np.nan if is_blank(x) else x for x in values.tolist()], dtype=float)
    except (TypeError, ValueError):
        return np.full(values.shape, np.nan)


def _same_result(effects: EffectSizes) -> list[list[str]]:
    """Return the columns that say which result a row belongs to, as words."""
    if effects.data is None:
        return []
    columns = [effects.data[name].tolist() for name in SAME_RESULT if name in effects.data.columns]
    return [["" if is_blank(x) else as_word(x) for x in column] for column in columns]


def _keys(context: list[tuple[str, ...]], numbers: dict[str, Array], names: set[str]) -> list[Hashable]:
    """Return for each row its study, result and the known numbers of an arm; None where there are too few."""
    table = {name: numbers[name].tolist() for name in NUMBERS if name in names}
    keys: list[Hashable] = []
    for i, where in enumerate(context):
        known = tuple((name, column[i]) for name, column in table.items() if column[i] == column[i])
        keys.append((where, known) if len(known) >= FEWEST else None)
    return keys


def _identified(keys: list[list[Hashable]], common: list[list[Hashable]]) -> Ids:
    """Return numbers for the arms: equal for equal keys of a role, and across roles for equal common keys."""
    ids = np.full((2, len(keys[0])), -1, dtype=np.intp)
    roles: dict[Hashable, tuple[set[int], set[int]]] = {}
    count = 0
    for role in (0, 1):
        known: dict[Hashable, int] = {}
        for i, key in enumerate(keys[role]):
            if key is None:
                continue
            if key not in known:
                known[key], count = count, count + 1
            ids[role, i] = known[key]
            if common[role][i] is not None:
                roles.setdefault(common[role][i], (set(), set()))[role].add(known[key])
    against_itself = {(int(a), int(b)) for a, b in ids.T}
    same = np.arange(count + 1)
    for treated, control in roles.values():
        # equal numbers of the two arms of one row belong to two arms: then numbers alone do not suffice
        if len(treated) == len(control) == 1 and (pair := (*treated, *control)) not in against_itself:
            same[pair[0]] = pair[1]
    return np.where(ids >= 0, same[ids], ids)


def _groups(keys: list[frozenset[int] | None]) -> list[list[int]]:
    """Return the positions of equal keys, where there are several."""
    return [rows.tolist() for key, rows in rows_by(keys).items() if key is not None and len(rows) > 1]


def _record(effects: EffectSizes, arm: str, rows: Sequence[int]) -> SharedArm:
    labels = tuple(effects.row_labels[i] for i in rows)
    return SharedArm(effects.study[rows[0]], arm, tuple(int(i) for i in rows), labels)


def subjects_of(effects: EffectSizes | BoundedEffectSizes) -> tuple[str, ...]:
    """Return whom each effect was seen in: "people", "animals", "cells", or "" where the data do not say.

    Use it before effects are pooled: an effect in a dish is no effect in a patient.

    Examples
    --------
    >>> import pandas as pd
    >>> words = {"design": ["in_vitro", "animal_controlled", None], "domain": [None, None, "clinical"]}
    >>> data = pd.DataFrame(words)
    >>> subjects_of(EffectSizes([1, 2, 3], [1, 1, 1], data=data))
    ('cells', 'animals', 'people')
    """
    data = effects.data
    if data is None:
        return ("",) * effects.k
    columns = [list(data[name]) for name in ("design", "domain", "species") if name in data]
    found = [
        next((SUBJECTS[w] for w in words if isinstance(w, str) and w in SUBJECTS), "")
        for words in zip(*columns, strict=True)
    ]
    return tuple(found) or ("",) * effects.k


def warn_of_mixed_subjects(parts: Mapping[str, EffectSizes | BoundedEffectSizes]) -> None:
    """Warn of strata, by name, that hold results in people, in animals and in cells."""
    kinds = {name: sorted(set(subjects_of(part)) - {""}) for name, part in parts.items()}
    mixed = [f"{name} ({', '.join(found)})" for name, found in kinds.items() if len(found) > 1]
    if mixed:
        warn_caller(
            f"{'strata' if len(mixed) > 1 else 'one stratum'} with results in different subjects: "
            f"{'; '.join(mixed)}. Select one domain, or make the strata by domain as well",
            MixedDomainsWarning,
        )
