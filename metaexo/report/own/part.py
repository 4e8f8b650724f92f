"""One question of a report: its effects, and every number that is made of them, each made once."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

from metaexo import sensitivity
from metaexo.bias import RegressionTest, regression_test
from metaexo.effects import BoundedEffectSizes, EffectSizes, join_bounded
from metaexo.errors import MetaexoError
from metaexo.heterogeneity import AttributionResults, StratifiedResults, attribute_heterogeneity, stratify
from metaexo.heterogeneity.levels import is_unreported
from metaexo.heterogeneity.strata.between import BetweenTests
from metaexo.models import CensoredRandomEffects, RandomEffects
from metaexo.models.censored.results import CensoredResults
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.report.own.asked import DRAWS, PERMUTATIONS, SEED, Asked
from metaexo.report.own.fits import in_order, levels_of, one_row_each, quiet
from metaexo.report.own.other import other_analyses
from metaexo.sensitivity import LeaveOneOut

if TYPE_CHECKING:
    import pandas as pd

ENOUGH = 10
"""Effects from which on small-study effects are tested; fewer tell nothing (Sterne et al. 2011)."""


LONGEST_NAME = 40
"""Letters of a name of files."""


@dataclass(frozen=True, eq=False)
class Part:
    """One question: one outcome, one kind of comparison, one kind of subject.

    Attributes
    ----------
    name : str
        Before the names of its tables and figures; empty for the only part of a report.
    title : str
        What is asked, in words.
    asked : Asked
        The choices.
    every : EffectSizes
        All effects, one per row of the sheet.
    bounds : BoundedEffectSizes or None
        Results of studies without an effect that are known as a bound only; None if there are none.
    pooled_outcomes : tuple of str
        The outcomes that stand in it, where several were asked for together as a family.
    said : list of str
        What was warned of when its numbers were made, each once.
    """

    name: str
    title: str
    asked: Asked
    every: EffectSizes
    bounds: BoundedEffectSizes | None = None
    pooled_outcomes: tuple[str, ...] = ()
    said: list[str] = field(default_factory=list)

    def called(self, name: str) -> str:
        """Return the name of a table, a figure or a section of this part."""
        return f"{self.name}_{name}" if self.name else name

    @cached_property
    def names(self) -> dict[str, str]:
        """Factor to its name in the names of tables and figures."""
        return dict(zip(self.asked.by, names_once(self.asked.by, "factor"), strict=True))

    @cached_property
    def studies(self) -> EffectSizes:
        """The effects that are pooled: one per study, whatever the factors are."""
        return one_row_each(self.every, ())

    @cached_property
    def rows(self) -> EffectSizes:
        """One effect per study and combination of levels of all factors."""
        return one_row_each(self.every, self.asked.by)

    @cached_property
    def rows_by(self) -> dict[str, EffectSizes]:
        """Factor to its effects: one per study and level, so that the rows of a stratum are independent."""
        found = {factor: one_row_each(self.every, (factor,)) for factor in self.asked.by}
        return {factor: rows.with_labels(list(rows.study)) for factor, rows in found.items()}

    @property
    def averaged(self) -> bool:
        """Whether effects of one study were averaged."""
        return self.studies.k < self.every.k

    def in_several(self, factor: str) -> list[str]:
        """Return the studies with effects in several levels of a factor."""
        return [study for study, n in Counter(self.rows_by[factor].study).items() if n > 1]

    @property
    def dependent(self) -> bool:
        """Whether a study is in several levels of a factor."""
        return any(self.in_several(factor) for factor in self.asked.by)

    @cached_property
    def _fitted(self) -> tuple[RandomEffectsResults | None, str]:
        if self.studies.m < 2:
            return None, "one study: there is nothing to pool"
        try:
            with quiet(self.said):
                return RandomEffects(self.studies).fit(*self._choices), ""
        except MetaexoError as error:
            return None, error.given

    @property
    def fit(self) -> RandomEffectsResults | None:
        """The pooled effect; None where there is none."""
        return self._fitted[0]

    @property
    def no_fit(self) -> str:
        """Why there is no pooled effect; empty where there is one."""
        return self._fitted[1]

    @property
    def _choices(self) -> tuple[str, str, float]:
        return self.asked.method, self.asked.test, self.asked.level

    @cached_property
    def strata(self) -> dict[str, StratifiedResults]:
        """The strata by each factor, and tests between them that are robust to studies in several of them.

        The rows of one stratum are of different studies, so each stratum is a model of its own.
        """
        method, test, level = self._choices
        found = {}
        with quiet(self.said):
            for factor, rows in self.rows_by.items():
                each = stratify(rows, factor, method=method, test=test, level=level, cluster=None)
                robust = self._tested[factor]
                found[factor] = replace(
                    each, between=robust.between, between_without=robust.between_without,
                    between_note=robust.between_note,
                )  # fmt: skip
        return found

    @cached_property
    def _tested(self) -> dict[str, StratifiedResults]:
        """The strata by each factor as they are tested: robust to studies in several of them."""
        method, test, level = self._choices
        with quiet(self.said):
            return {
                factor: stratify(in_order(rows, (factor,)), factor, method=method, test=test, level=level)
                for factor, rows in self.rows_by.items()
            }

    @cached_property
    def between(self) -> dict[str, BetweenTests]:
        """The tests between strata by each factor that has two strata to compare."""
        with quiet(self.said):
            return {
                factor: found.between_tests(SEED, PERMUTATIONS)
                for factor, found in self._tested.items()
                if found.between is not None
            }

    @cached_property
    def reporting(self) -> EffectSizes | None:
        """The rows of :attr:`rows` that report all factors, by study; None where there are none.

        "Not reported" is no level that could explain anything.
        """
        levels = [levels_of(self.rows, factor) for factor in self.asked.by]
        known = [not any(map(is_unreported, row)) for row in zip(*levels, strict=True)]
        if not any(known):
            return None
        return in_order(self.rows.select(known, "a factor is not reported"), self.asked.by)

    @cached_property
    def attribution(self) -> AttributionResults | None:
        """What the factors explain of the heterogeneity; None with fewer than two factors or studies."""
        asked, rows = self.asked, self.reporting
        if len(asked.by) < 2 or rows is None or rows.m < 2:
            return None
        method = "REML" if asked.method == "EE" else asked.method
        with quiet(self.said):
            return attribute_heterogeneity(
                rows, asked.by, draws=DRAWS, permutations=PERMUTATIONS, seed=SEED, level=asked.level,
                method=method, progress=False,
            )  # fmt: skip

    @cached_property
    def _small(self) -> tuple[RegressionTest | None, str]:
        if self.fit is None or self.studies.m < ENOUGH:
            return None, ""
        try:
            with quiet(self.said):
                return regression_test(self.fit), ""
        except MetaexoError as error:
            return None, error.given

    @property
    def small_studies(self) -> RegressionTest | None:
        """The test for small-study effects; None where there is none."""
        return self._small[0]

    @property
    def no_small_studies(self) -> str:
        """Why the test could not be made although there are enough effects; may be empty."""
        return self._small[1]

    @cached_property
    def left_out(self) -> LeaveOneOut | None:
        """The pooled effect without each study in turn; None with fewer than three studies."""
        if self.fit is None or self.studies.m < 3:
            return None
        with quiet(self.said):
            return sensitivity.leave_one_out(self.fit, "study")

    @cached_property
    def _censored(self) -> tuple[CensoredResults | None, str]:
        if self.bounds is None:
            return None, ""
        try:
            with quiet(self.said):
                known = join_bounded(self.studies, first_of_each_study(self.bounds))
                model = CensoredRandomEffects(known, dependence="accept")
                return model.fit(level=self.asked.level), ""
        except MetaexoError as error:
            return None, error.given

    @property
    def censored(self) -> CensoredResults | None:
        """The pooled effect with bounds taken along; None where there are none, or it has no fit."""
        return self._censored[0]

    @property
    def no_censored(self) -> str:
        """Why there is no pooled effect with bounds; empty where there is one, or are no bounds."""
        return self._censored[1]

    @cached_property
    def analyses(self) -> pd.DataFrame | None:
        """Other defensible analyses, a row each, that of the report first; None without a pooled effect."""
        if self.fit is None:
            return None
        return other_analyses(self.every, self.asked, self.averaged, self.said)


def first_of_each_study(bounds: BoundedEffectSizes) -> BoundedEffectSizes:
    """Return one bound per study, the first of each: bounds of one study say much the same."""
    rows = [bounds.study.index(study) == i for i, study in enumerate(bounds.study)]
    return bounds.select(rows, "another bound of the same study is taken")


def names_once(texts: Iterable[str], without: str) -> list[str]:
    """Return texts as names of files, each once: small letters, digits and underscores.

    `without`: the name of a text that has none of them. Greek letters are named.

    Examples
    --------
    >>> names_once(["SMA", "sma", "SMA 2", "α-SMA", "Größe", "创面"], "question")
    ['sma', 'sma_2', 'sma_2_2', 'alpha_sma', 'grosse', 'question']
    """
    found: list[str] = []
    for text in texts:
        plain = "".join(_plain(sign) for sign in unicodedata.normalize("NFKD", text.casefold()))
        name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:LONGEST_NAME].strip("_") or without
        more = (f"{name}_{number}" for number in count(2))
        found.append(name if name not in found else next(one for one in more if one not in found))
    return found


def _plain(sign: str) -> str:
    """Return a letter without accents; of a Greek letter its name."""
    if unicodedata.combining(sign):
        return ""
    name = unicodedata.name(sign, "")
    return name.rpartition(" ")[2].lower() if name.startswith("GREEK SMALL LETTER ") else sign
