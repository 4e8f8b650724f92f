"""Censored evidence stratum by stratum: each has its fit, or the reason in words why it has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes, as_bounded
from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.dependence.arms import warn_of_mixed_subjects
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import MetaexoError, UnknownChoiceError
from metaexo.formatting import NOT_REPORTED, interval, number, plural, printed
from metaexo.immutable import Immutable
from metaexo.inputs import as_word, is_blank, read_words
from metaexo.models.censored.effects import count_in_words, kinds_of, usable_effects
from metaexo.models.censored.model import CensoredRandomEffects
from metaexo.models.censored.results import CensoredResults
from metaexo.models.linear.hypothesis import TestResult
from metaexo.numeric.censored.inference import rising_direction
from metaexo.readable import Readable, ReaderTable, shows_itself

if TYPE_CHECKING:
    import pandas as pd

UNHELD = "bounds of one side only, which have no mean: not in the test between strata"


@shows_itself
@dataclass(frozen=True, eq=False)
class CensoredStratum(Immutable):
    """One stratum of censored evidence.

    Attributes
    ----------
    name : str
        The levels in words, joined by " / ".
    effects : BoundedEffectSizes
        Its effects.
    fit : CensoredResults or None
        Its own fit; None where the evidence has no estimate.
    note : str
        Why there is no fit.
    """

    name: str
    effects: BoundedEffectSizes
    fit: CensoredResults | None
    note: str


@dataclass(frozen=True, eq=False, repr=False)
class CensoredStrata(Readable):
    """Censored evidence by stratum, and the tests between strata.

    Attributes
    ----------
    by : tuple of str
        The factors.
    strata : tuple of CensoredStratum
        The strata, those with most effects first, "not reported" last.
    joint : CensoredResults or None
        The model with a mean for each stratum that has one and one tau2 for all, if two strata have one.
    wald, likelihood_ratio : TestResult or None
        Tests that all strata share one mean, both of the joint model.
    note : str
        What the tests are of, or why there are none.
    """

    by: tuple[str, ...]
    strata: tuple[CensoredStratum, ...]
    joint: CensoredResults | None
    wald: TestResult | None
    likelihood_ratio: TestResult | None
    note: str

    def to_frame(self) -> pd.DataFrame:
        """Return one row per stratum: counts, evidence in words, estimate with intervals, tau2, I2, note."""
        import pandas as pd

        return pd.DataFrame([_record(stratum) for stratum in self.strata])

    def reader_tables(self) -> list[ReaderTable]:
        """Return the strata with their evidence and pooled effects, numbers rounded."""
        measure = self.strata[0].effects.measure if self.strata else None
        rescaled = measure is not None and measure.rescaled
        rows = []
        for s in self.strata:
            cells = [s.name, count_in_words(kinds_of(s.effects)), *[""] * (3 if rescaled else 2)]
            if s.fit is not None:
                pooled = s.fit.pooled()
                cells[2:4] = [number(pooled.estimate), interval(pooled.low, pooled.high)]
                if rescaled:
                    shown = back_pooled(s.effects, [pooled.estimate, pooled.low, pooled.high]).tolist()
                    cells[4] = f"{number(shown[0])} ({interval(shown[1], shown[2])})"
            rows.append([*cells, s.note])
        header = ["stratum", "evidence", "estimate", "interval"]
        if measure is not None and rescaled:
            header.append(measure.display.lower())
        return [ReaderTable(rows, [*header, "note"])]

    def table_notes(self) -> list[str]:
        """Return what the tests are of, and the tests."""
        return [self.note, *(str(test) for test in (self.wald, self.likelihood_ratio) if test is not None)]

    @printed
    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"CensoredStrata(by {', '.join(self.by)}: {plural(len(self.strata), 'stratum', 'strata')})"


def censored_strata(
    effects: BoundedEffectSizes | EffectSizes,
    by: str | Sequence[str],
    method: str = "REML",
    test: str = "knapp-hartung",
    level: float = 0.95,
    *,
    direction_v: float | None = None,
) -> CensoredStrata:
    """Pool censored evidence stratum by stratum, and test whether the strata share one mean.

    Use it to ask whether effects differ between exosome sources or isolation methods where many studies give
    only a threshold. Every stratum is a separate model; where its evidence has no estimate, the reason
    is given in words. The tests between strata are those of one model with a mean each and one tau2: Wald,
    and likelihood ratio by ML. A stratum of bounds of one side has no mean and is not used in them.

    Parameters
    ----------
    effects : BoundedEffectSizes or EffectSizes
        Effects with the factors among the columns of `data`; one per study, as they are taken as independent.
    by : str or sequence of str
        One column or more; several are crossed.
    method, test, level : str, str and float
        As in :meth:`metaexo.CensoredRandomEffects.fit`.
    direction_v : float, optional
        As in :class:`metaexo.CensoredRandomEffects`.

    Returns
    -------
    CensoredStrata
        Strata and the tests between them.

    Raises
    ------
    UnknownChoiceError
        If a factor is not a column.
    NotIdentifiableError
        If directions without sizes are all there is.

    Warns
    -----
    MixedDomainsWarning
        If a stratum holds results in people, in animals or in cells side by side.

    Examples
    --------
    >>> import pandas as pd
    >>> import metaexo as mx
    >>> from metaexo.effects import bounded_effects
    >>> inf = float("inf")
    >>> source = pd.DataFrame({"source": ["adipose"] * 4 + ["plant"] * 3 + ["milk"] * 2})
    >>> es = bounded_effects(
    ...     [0.9, 1.3, 0.7, 0.8, 0.1, 0.3, -0.6, 0.7, 0.9], [0.9, 1.3, 0.7, inf, 0.1, 0.3, 0.6, inf, inf],
    ...     [0.08] * 9, data=source,
    ... )
    >>> found = mx.models.censored_strata(es, by="source")
    >>> [(s.name, s.fit is not None) for s in found.strata]
    [('adipose', True), ('plant', True), ('milk', False)]
    """
    es, _ = usable_effects(as_bounded(effects), direction_v)
    factors = (by,) if isinstance(by, str) else read_words(by, "by")
    if not factors:
        raise UnknownChoiceError("by", by, [str(name) for name in es.data.columns])
    groups = _groups(es, factors)
    strata = [_stratum(es, name, rows, method, test, level) for name, rows in groups.items()]
    warn_of_mixed_subjects({s.name: s.effects for s in strata})
    strata.sort(key=lambda s: (NOT_REPORTED in s.name, -s.effects.k, s.name))
    joint, note = _joint(es, groups, method, test, level)
    if joint is None:
        return CensoredStrata(factors, tuple(strata), None, None, None, note)
    size = joint.design.p
    contrast = np.column_stack([np.ones(size - 1), -np.eye(size - 1)])
    wald = joint.joint_test(contrast, np.zeros(size - 1), "all strata share one mean effect (Wald)")
    ratio = joint.likelihood_ratio_test()
    words = "all strata share one mean effect (likelihood ratio)"
    ratio = TestResult(ratio.statistic, ratio.distribution, ratio.df, ratio.pvalue, words)
    return CensoredStrata(factors, tuple(strata), joint, wald, ratio, note)


def _groups(es: BoundedEffectSizes, factors: tuple[str, ...]) -> dict[str, NDArray[np.intp]]:
    """Return the rows of each crossing of the factors."""
    columns = [
        np.array([NOT_REPORTED if is_blank(cell) else as_word(cell) for cell in es.column(name).tolist()])
        for name in factors
    ]
    found: dict[str, list[int]] = {}
    for i, levels in enumerate(zip(*columns, strict=True)):
        found.setdefault(" / ".join(word.replace("_", " ") for word in levels), []).append(i)
    return {name: np.array(rows, dtype=np.intp) for name, rows in found.items()}


def _at(es: BoundedEffectSizes, rows: NDArray[np.intp], reason: str) -> BoundedEffectSizes:
    mask = np.zeros(es.k, dtype=bool)
    mask[rows] = True
    return es if mask.all() else es.select(mask, reason)


def _stratum(
    es: BoundedEffectSizes, name: str, rows: NDArray[np.intp], method: str, test: str, level: float
) -> CensoredStratum:
    """Return a stratum with its fit, or with the words why there is none."""
    part = _at(es, rows, "another stratum")
    try:
        fit = CensoredRandomEffects(part, dependence="accept").fit(method, test, level)
    except MetaexoError as error:
        return CensoredStratum(name, part, None, error.given)
    return CensoredStratum(name, part, fit, "")


def _joint(
    es: BoundedEffectSizes, groups: dict[str, NDArray[np.intp]], method: str, test: str, level: float
) -> tuple[CensoredResults | None, str]:
    """Return the model with a mean for each stratum that can have one, and what it is of."""
    held = {
        name: rows
        for name, rows in groups.items()
        if rising_direction(np.ones((rows.size, 1)), es.lower[rows], es.upper[rows]) is None
    }
    rest = [name for name in groups if name not in held]
    left = f"; {', '.join(rest)}: {UNHELD}" if rest else ""
    if len(held) < 2:
        return None, f"no test between strata: {plural(len(held), 'stratum', 'strata')} with a mean{left}"
    rows = np.sort(np.concatenate(list(held.values())))
    part = _at(es, rows, UNHELD)
    dummies = np.column_stack([np.isin(rows, mine) for mine in held.values()]).astype(float)
    model = CensoredRandomEffects(part, dummies, intercept=False, names=list(held), dependence="accept")
    try:
        joint = model.fit(method, test, level)
    except MetaexoError as error:
        return None, f"no test between strata: {error.given}{left}"
    return joint, f"tests over {plural(len(held), 'stratum', 'strata')}, one tau2 for all{left}"


def _record(stratum: CensoredStratum) -> dict[str, object]:
    """Return one row of the table of strata."""
    names = ("estimate", "low", "high", "prediction_low", "prediction_high")
    record: dict[str, object] = {
        "stratum": stratum.name,
        "k": stratum.effects.k,
        "m": stratum.effects.m,
        "evidence": count_in_words(kinds_of(stratum.effects)),
    }
    if stratum.fit is None:
        nothing = dict.fromkeys(("effective", *names, "tau2", "tau2_low", "tau2_high", "i2"), float("nan"))
        return record | nothing | {"note": stratum.note}
    pooled, ends = stratum.fit.pooled(), stratum.fit.conf_int_heterogeneity()
    numbers = {name: getattr(pooled, name) for name in names}
    about = {"tau2": ends.tau2.estimate, "tau2_low": ends.tau2.low, "tau2_high": ends.tau2.high}
    return (
        record | {"effective": stratum.fit.effective} | numbers | about | {"i2": stratum.fit.i2, "note": ""}
    )
