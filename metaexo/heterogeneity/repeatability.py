"""Which isolation method gives the most repeatable preparations, level of repetition by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import TooFewStudiesError
from metaexo.formatting import MISSING, interval, number, p_value, plural, text_table
from metaexo.heterogeneity.levels import (
    COLUMN,
    OF_ONE_GROUP,
    REPETITIONS,
    is_unreported,
    read_factor_named,
    repetition_levels,
)
from metaexo.heterogeneity.strata.fit import Stratum, Tau2Mode
from metaexo.heterogeneity.strata.results import StratifiedResults
from metaexo.heterogeneity.strata.stratify import stratify
from metaexo.heterogeneity.strata.tables import ALONE
from metaexo.inputs import check_choice, check_level
from metaexo.models.linear.contrasts import adjust_pvalues
from metaexo.readable import ReadableLines

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 0.05
IS_THE_MOST, CANNOT = " is the most repeatable", "cannot be said"


@dataclass(frozen=True, eq=False, repr=False)
class Repeatability(ReadableLines):
    """Variability by method, for each level of repetition apart.

    Attributes
    ----------
    by : str
        The column of the methods.
    effects : EffectSizes
        All effects.
    levels : dict of str to StratifiedResults
        Level of repetition to the methods at that level, the smallest step first.
    unreported : EffectSizes or None
        Effects whose level is not reported: they are not used.
    """

    by: str
    effects: EffectSizes
    levels: Mapping[str, StratifiedResults]
    unreported: EffectSizes | None

    def to_frame(self) -> pd.DataFrame:
        """Return one row per level and method: k, m, value, low, high, tau, note; values on the scale shown.

        A method of one study has the value of that study, and its note says so.
        The value is a coefficient of variation, a standard deviation, or a ratio of two of them.
        """
        import pandas as pd

        rows = []
        for level, results in self.levels.items():
            for s in results.strata:
                row: dict[str, object] = {"repetition": level, self.by: s.name, "k": s.k, "m": s.m}
                pooled, fit = s.pooled or s.single, s.fit
                ends = [np.nan] * 3 if pooled is None else [pooled.estimate, pooled.low, pooled.high]
                row |= dict(zip(("value", "low", "high"), back_pooled(s.effects, ends).tolist(), strict=True))
                row |= {"tau": np.nan if fit is None else fit.tau, "note": s.note}
                rows.append(row)
        return pd.DataFrame(rows)

    def verdict(self, level: str) -> str:
        """Return which method is the most repeatable at a level of repetition, or why that cannot be said."""
        word: object = level
        if not isinstance(word, str):
            check_choice("level of repetition", word, tuple(REPETITIONS))
        results = self.levels.get(level)
        if results is None:
            return f"{level}: no spread is known to be over this level"
        known = [s for s in results.fitted if s.reported]
        if len(known) < 2:
            counts = [f"{s.name} {s.m}" for s in results.strata if s.reported]
            return (
                f"{level}: which method is the most repeatable {CANNOT}: "
                f"{plural(len(known), 'method')} with two or more independent {self._units(results)} "
                f"(studies: {', '.join(counts) or 'none reports the method'})"
            )
        if self.effects.measure.code not in OF_ONE_GROUP:
            return f"{level}: {results.between or results.between_note}"
        return f"{level}: {_most_repeatable(results, known)}"

    @property
    def undecided(self) -> bool:
        """Whether at no level two methods can be compared: none has two independent groups."""
        return all(CANNOT in self.verdict(level) for level in self.levels)

    @property
    def sentence(self) -> str:
        """Which method is the most repeatable over what was repeated, over all levels, in one clause."""
        said = {level: self.verdict(level).removeprefix(f"{level}: ") for level in self.levels}
        best = [
            f"{words.partition(IS_THE_MOST)[0]} over {level}s"
            for level, words in said.items()
            if IS_THE_MOST in words and CANNOT not in words
        ]
        if best:
            return f"the most repeatable method is {' and '.join(best)}"
        if self.undecided:
            return f"which method is the most repeatable {CANNOT}"
        return "no method is shown to be the most repeatable"

    def _units(self, results: StratifiedResults) -> str:
        return {"study": "studies", "": "effects"}.get(results.cluster, f"groups by {results.cluster}")

    def lines(self) -> list[str]:
        """Return a table of the methods, and which of them is the most repeatable."""
        name = self.effects.measure.display.lower()
        rows = [
            [
                str(row["repetition"]),
                str(row[self.by]),
                str(row["k"]),
                str(row["m"]),
                number(row["value"], 3) + (f" {ALONE}" if np.isnan(row["tau"]) else ""),
                MISSING if np.isnan(row["low"]) else interval(row["low"], row["high"], 3),
            ]
            for row in self.to_frame().to_dict("records")
        ]
        lines = [text_table(rows, ["repetition", self.by, "k", "m", name, "interval"], left=2)]
        lines += [self.verdict(level) for level in self.levels]
        if self.unreported is not None:
            lines.append(
                f"{plural(self.unreported.k, 'spread')} over something that is not reported: left out, as it "
                "may be of any level"
            )
        return lines


def _most_repeatable(results: StratifiedResults, known: Sequence[Stratum]) -> str:
    """Return which of two or more methods is the most repeatable, if the pairs of methods show it."""
    value = {s.name: s.pooled.estimate for s in known if s.pooled is not None}
    best = min(value, key=lambda name: value[name])
    pairs = list(combinations(value, 2))
    plain = [float(results.contrast({a: 1.0, b: -1.0}).pvalue[0]) for a, b in pairs]
    adjusted = adjust_pvalues(plain, "holm")
    largest = max(float(p) for pair, p in zip(pairs, adjusted, strict=True) if best in pair)
    shown = number(float(back_pooled(results[best].effects, value[best])), 3)
    if largest < SHOWN:
        return f"{best}{IS_THE_MOST} ({shown}); against others, by Holm, {p_value(largest)} at most"
    return (
        f"no method is shown to be the most repeatable; {best} has the smallest value ({shown}), but against "
        f"another method, by Holm, {p_value(largest)}"
    )


def repeatability(
    effects: EffectSizes,
    by: str = "isolation",
    repetition: str = COLUMN,
    *,
    tau2: Tau2Mode = "separate",
    cluster: str | None = "study",
    method: str = "REML",
    test: str | None = None,
    level: float = 0.95,
) -> Repeatability:
    r"""Compare the variability of methods, each level of repetition in a separate model.

    Use it to ask which isolation method gives the most repeatable preparations. The effect is the logarithm
    of a coefficient of variation with the bias and the sampling variance of a small sample,
    :math:`\log(s/m) + 1/(2(n-1))`, of a standard deviation, or of a ratio of two of them.

    How far readings of one preparation lie apart says nothing of how far preparations do. So no model holds
    more than one level of repetition: reading, preparation, batch, laboratory, donor. Effects whose level is
    not reported are left out and counted. Within a level the methods are strata
    (:func:`metaexo.stratify`), and where a study or laboratory has several effects, standard errors allow
    for it.

    Parameters
    ----------
    effects : EffectSizes
        Effects of one quantity (size, yield, ...) by a measure of variability: "CVLN", "SDLN", or with two
        groups "CVR", "VR", "CVRC", "VRC".
    by : str
        Column of the methods, or of the pairs of methods.
    repetition : str
        Column that says what was repeated.
    tau2, cluster, method, test, level : str, str, str, str and float
        As in :func:`metaexo.stratify`.

    Returns
    -------
    Repeatability
        The methods by level, and a verdict in words for each.

    Raises
    ------
    InputError
        If the effects are not of variability.
    MixedRepetitionError
        If no column says what was repeated.
    UnknownChoiceError
        If a word for the level is not known.
    TooFewStudiesError
        If no effect has a known level.

    References
    ----------
    Nakagawa, S., Poulin, R., Mengersen, K., Reinhold, K., Engqvist, L., Lagisz, M., Senior, A. M. (2015).
    Meta-analysis of variation: ecological and evolutionary applications and beyond. Methods in Ecology and
    Evolution 6, 143-152. https://doi.org/10.1111/2041-210X.12309

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> from metaexo.heterogeneity import repeatability
    >>> data = pd.DataFrame({"isolation": ["SEC"] * 3 + ["UC"] * 3, "repetition": ["preparation"] * 6})
    >>> sd = [8.0, 9.0, 7.0, 30.0, 34.0, 31.0]
    >>> es = mx.effect_sizes("CVLN", mean=[100.0] * 6, sd=sd, n=[12] * 6).with_columns(**data)
    >>> print(repeatability(es).verdict("preparation"))
    preparation: SEC is the most repeatable (0.083); against others, by Holm, p = 0.0005 at most
    """
    effects, level = check_effects(effects, "mx.repeatability"), check_level(level)
    by, repetition = read_factor_named(by), read_factor_named(repetition)
    words = repetition_levels(effects, repetition)
    hidden = np.array([is_unreported(word) for word in words])
    if hidden.all():
        raise TooFewStudiesError(
            f"of {plural(effects.k, 'spread')} none is known to be over readings, preparations, batches, "
            "laboratories or donors",
            "at least one with a known level of repetition",
            "look up what the standard deviations are over; they cannot be compared without",
        )
    parts = {
        name: effects.select(words == name, f"not over a {name}")
        for name in REPETITIONS
        if (words == name).any()
    }
    levels = {
        name: stratify(part, by, tau2, method, test, level, cluster=cluster) for name, part in parts.items()
    }
    unreported = effects.select(hidden, "the level of repetition is known") if hidden.any() else None
    return Repeatability(by, effects, levels, unreported)
