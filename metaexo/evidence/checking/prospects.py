"""How many effects will result: the measure that fits, and effects and studies per stratum."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects import EffectSizes, get_measure
from metaexo.effects.dependence.arms import shared_arms, subjects_of
from metaexo.errors import MetaexoError, MetaexoWarning, TooFewStudiesError
from metaexo.evidence.domains import domains_of
from metaexo.evidence.names import NAME
from metaexo.evidence.sheets import Sheets
from metaexo.inputs import is_blank
from metaexo.ledger import LeftOut

if TYPE_CHECKING:
    import pandas as pd

IN_ONE_UNIT = ("MD",)
"""Measures whose effects can be pooled only where all rows have one outcome and one unit."""
PREFERRED = ("SMD", "RR", "MD", "ROM", "OR", "RD")
"""Measures of two groups, the first of those that give most effects is taken."""
ONE_GROUP = ("PFT", "MN")
"""Measures of one group, which are taken where no measure of two gives an effect."""
APART_BY = ("outcome", "contrast", "domain")
"""Columns whose values a report never pools together."""
NOT_APART = "use != 'apart'"
BY: tuple[tuple[str, ...], ...] = (("source",), ("isolation",), ("source", "isolation"), ("outcome_label",))


@dataclass(frozen=True, slots=True)
class Stratum:
    """How many effects one stratum will have.

    Attributes
    ----------
    by : tuple of str
        What the strata are made by: source, isolation, both, or outcome_label.
    levels : tuple of str
        The labels of the stratum, one for each.
    effects, studies : int
        Effects of the measure, and the studies that give them.
    rows : int
        Rows of the sheet in this stratum, with an effect or without.
    """

    by: tuple[str, ...]
    levels: tuple[str, ...]
    effects: int
    studies: int
    rows: int

    @property
    def note(self) -> str:
        """What the number of studies does not allow."""
        if self.studies > 1:
            return ""
        return "one study: cannot estimate heterogeneity" if self.studies else "no effect"


@dataclass(frozen=True, slots=True)
class Shared:
    """Effects of one study that rest on one arm, or repeat each other.

    Attributes
    ----------
    study : str
        The study.
    arm : {"control", "treatment", "either", "both"}
        Which arm they share; "both" means that the rows repeat each other.
    lines : tuple of int
        Their lines in the file.
    """

    study: str
    arm: str
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Prospect:
    """The effects that will result from a sheet, before any analysis.

    Attributes
    ----------
    measure : str
        Code of the measure.
    chosen : str
        Why it is this one, in words.
    giving : tuple of (str, int)
        For each measure that was tried, how many rows give it.
    effects, studies : int
        Effects of the measure, and the studies that give them.
    rows : int
        Rows of the sheet.
    apart : int
        Rows that are kept apart (`use` is apart), and so are not counted.
    turned : bool
        Whether effects are turned so that positive means benefit.
    contrasts : tuple of str
        What is compared, where the effects are of several contrasts that should not be pooled.
    strata : tuple of Stratum
        By source, by isolation, by both, and by outcome.
    left_out : tuple of LeftOut
        Rows that give another measure and not this one, with the reason.
    shared : tuple of Shared
        Effects of one study that share an arm.
    several : tuple of (str, int)
        Studies that give several effects of one outcome, and how many.
    questions : int
        Combinations of outcome, contrast and domain among the effects, which are never pooled together.
    differ : tuple of str
        Which of these three differ.
    mixed : tuple of str
        Whom effects were seen in (people, animals, cells), where the column domain does not keep them apart.
    """

    measure: str
    chosen: str
    giving: tuple[tuple[str, int], ...]
    effects: int
    studies: int
    rows: int
    apart: int
    turned: bool
    contrasts: tuple[str, ...]
    strata: tuple[Stratum, ...]
    left_out: tuple[LeftOut, ...]
    shared: tuple[Shared, ...] = ()
    several: tuple[tuple[str, int], ...] = ()
    questions: int = 1
    differ: tuple[str, ...] = ()
    mixed: tuple[str, ...] = ()


def prospect_of(sheets: Sheets, measure: str | None = None) -> Prospect:
    """Return the effects that will result from outcomes.csv, by the measure that fits or the one asked for.

    The measure that fits gives most effects; of several, the first of SMD, RR, MD, ROM, OR, RD. A mean
    difference is passed over where rows have different outcomes or units, and measures of one group where
    one of two gives effects.
    """
    frame = sheets._joined("outcomes")
    kept = ~(frame["use"] == "apart").to_numpy()
    giving = {code: int((mask & kept).sum()) for code, mask in sheets._surveyed.rows.items()}
    code, why = _chosen(giving, frame[kept]) if measure is None else (get_measure(measure).code, "asked for")
    turned = _is_known(frame["better"])
    es = _effects(sheets, code, turned)
    if es is None and measure is None:
        code, es = "MN", _effects(sheets, "MN", turned)  # means of one group, which no other measure takes
        code = "SMD" if es is None else code
    data = frame.iloc[:0] if es is None or es.data is None else es.data
    contrasts = tuple(sorted(set(data["contrast"].dropna())))
    apart = data[list(APART_BY)].copy()
    apart["domain"] = np.array(domains_of(data), dtype=object)
    possible = set(sheets.ledger.used)
    left = () if es is None or es.ledger is None else es.ledger.left_out
    return Prospect(
        code,
        why,
        tuple(giving.items()),
        len(data),
        data[NAME].nunique(),
        len(frame),
        int((~kept).sum()),
        turned,
        contrasts if len(contrasts) > 1 else (),
        tuple(stratum for by in BY for stratum in _strata(frame[kept], data, by)),
        tuple(entry for entry in left if entry.line in possible and entry.step == "effect"),
        () if es is None else _shared(es, data),
        _several(data),
        max(len(apart.drop_duplicates()), 1),
        tuple(name for name in APART_BY if apart[name].nunique(dropna=False) > 1),
        () if es is None else _mixed(es, data),
    )


def _mixed(es: EffectSizes, data: pd.DataFrame) -> tuple[str, ...]:
    """Return the subjects of effects of one domain, where they are several."""
    domains: dict[str, set[str]] = {}
    for domain, subject in zip(domains_of(data), subjects_of(es), strict=True):
        domains.setdefault(str(domain), set()).update([subject] if subject else [])
    return tuple(sorted({subject for found in domains.values() if len(found) > 1 for subject in found}))


def _effects(sheets: Sheets, code: str, turned: bool) -> EffectSizes | None:
    """Return the effects of the rows that are not set apart; None if there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetaexoWarning)
        try:
            return sheets.effects(code, where=NOT_APART, orient=turned)
        except TooFewStudiesError:
            return None
        except MetaexoError:  # a codebook of one's own may allow words for the direction that turn nothing
            return _effects(sheets, code, False) if turned else None


def _shared(es: EffectSizes, data: pd.DataFrame) -> tuple[Shared, ...]:
    lines = [int(line) for line in data["line"]]
    return tuple(Shared(one.study, one.arm, tuple(lines[i] for i in one.rows)) for one in shared_arms(es))


def _several(data: pd.DataFrame) -> tuple[tuple[str, int], ...]:
    """Return the studies with several effects of one outcome."""
    counts = data.groupby([NAME, "outcome"], sort=False).size()
    most = counts[counts > 1].groupby(NAME, sort=False).max()
    return tuple((str(study), int(n)) for study, n in most.items())


def _chosen(giving: Mapping[str, int], frame: pd.DataFrame) -> tuple[str, str]:
    """Return the measure that gives most effects, and why it was taken, in words."""
    mixed = len(frame[["outcome", "unit"]].drop_duplicates()) > 1
    tried = [code for code in PREFERRED if code in giving and not (mixed and code in IN_ONE_UNIT)]
    if not any(giving[code] for code in tried):
        tried = [code for code in ONE_GROUP if code in giving] or tried
    best = max(tried, key=lambda code: giving[code], default=PREFERRED[0])
    as_many = [code for code in tried if code != best and giving[code] == giving[best] > 0]
    others = [f"{code} {giving[code]}" for code in tried if 0 < giving[code] < giving[best]]
    why = "it gives most effects" if not as_many else f"no other gives more ({', '.join(as_many)} as many)"
    return best, f"{why}; {', '.join(others)}" if others else why


def _is_known(better: Iterable[object]) -> bool:
    return any(not is_blank(word) and word != "none" for word in better)


def _strata(frame: pd.DataFrame, data: pd.DataFrame, by: tuple[str, ...]) -> list[Stratum]:
    """Return the strata of the rows of a sheet, those with most effects first."""
    if not set(by) <= set(frame.columns):
        return []
    found = []
    with_effect = {_key(levels): part for levels, part in data.groupby(list(by), sort=False)}
    for levels, part in frame.groupby(list(by), sort=False, dropna=False):
        here = with_effect.get(_key(levels))
        effects, studies = (0, 0) if here is None else (len(here), here[NAME].nunique())
        found.append(Stratum(by, _key(levels), effects, studies, len(part)))
    return sorted(found, key=lambda one: (-one.effects, -one.rows, one.levels))


def _key(levels: object) -> tuple[str, ...]:
    return tuple(map(str, np.atleast_1d(np.asarray(levels, dtype=object))))
