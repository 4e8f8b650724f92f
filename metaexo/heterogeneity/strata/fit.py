"""The immutable outcome of a subgroup analysis."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, TooFewStudiesError
from metaexo.formatting import plural, printed
from metaexo.heterogeneity.levels import is_unreported, read_caption
from metaexo.heterogeneity.strata.smoothed import Smoothing
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice
from metaexo.models.linear.contrasts import Contrasts, make_contrasts
from metaexo.models.linear.fit import LinearResults
from metaexo.models.linear.fit_statistics import Pooled
from metaexo.models.linear.hypothesis import TestResult
from metaexo.models.univariate.fit import RandomEffectsResults
from metaexo.models.univariate.intervals import HeterogeneityInterval

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.heterogeneity.strata.comparisons import BetweenPermutation, SpreadBetween
    from metaexo.heterogeneity.unreported.bounds import AssignmentBounds
    from metaexo.heterogeneity.unreported.mixture import LatentModerator
    from metaexo.models.univariate.summary import Summary

Tau2Mode = Literal["separate", "common", "smoothed"]


@dataclass(frozen=True, eq=False)
class Stratum(Immutable):
    """One stratum: the effects that share a level of every factor.

    Attributes
    ----------
    name : str
        The levels in words, joined by " / ".
    levels : dict of str to str
        Factor to level.
    rows : ndarray of int
        Positions of its effects in the effects handed in.
    effects : EffectSizes
        Its effects.
    fit : RandomEffectsResults or None
        The model of this stratum; None where one study is all there is. With a common or smoothed tau2 it is
        the fit at that tau2.
    pooled : Pooled or None
        Its pooled effect: from its own fit, with a common tau2 from the joint model, and with several
        effects a study robust to their dependence.
    note : str
        Why there is no fit, or what is special about it.
    spread : HeterogeneityInterval or None
        tau2 and I2 with their intervals; None without a fit, and where there is no interval.
    single : Pooled or None
        Without a fit, the effect of its one study; the interval rests on the sampling variance alone.
        Several effects of the study are averaged with weights 1/v, and the standard error is that of
        effects that depend on each other completely.
    """

    name: str
    levels: Mapping[str, str]
    rows: NDArray[np.intp]
    effects: EffectSizes
    fit: RandomEffectsResults | None
    pooled: Pooled | None
    note: str
    spread: HeterogeneityInterval | None = None
    single: Pooled | None = None

    @property
    def k(self) -> int:
        """Number of effects."""
        return self.effects.k

    @property
    def m(self) -> int:
        """Number of studies."""
        return self.effects.m

    @property
    def reported(self) -> bool:
        """Whether its studies report a level of every factor."""
        return not any(is_unreported(level) for level in self.levels.values())


@dataclass(frozen=True, eq=False, repr=False)
class StratifiedResults(Immutable):
    """A subgroup analysis.

    Attributes
    ----------
    by : tuple of str
        The factors.
    effects : EffectSizes
        All effects, in the order handed in.
    strata : tuple of Stratum
        The strata in the order asked for, else those with most studies first; "not reported" last.
    overall : RandomEffectsResults or None
        The model of all effects, strata ignored; None if they come from fewer than two studies.
    overall_pooled : Pooled or None
        Its pooled effect; with several effects a study robust to their dependence.
    overall_df : float or None
        Degrees of freedom of its interval; None for normal ones.
    tau2_mode : {"separate", "common", "smoothed"}
        Whose the between-study variances are.
    between : TestResult or None
        Test that all strata share one mean effect; None if fewer than two strata can be fitted.
    between_note : str
        Which strata and which method the test uses, or why there is none.
    means : LinearResults or None
        Means of the strata that are fitted, with their covariance matrix; None if none is.
    method, test : str
        As in :meth:`metaexo.RandomEffects.fit`.
    level : float
        Level of all intervals.
    clusters : tuple of str or None
        Cluster of each effect, where some share one; None where effects are independent.
    cluster : str
        What the clusters are: "study", or a column.
    order : tuple of str
        The strata in their natural order, where one was given.
    smoothing : Smoothing or None
        How smoothed variances came about.
    latent : LatentModerator or None
        Studies that do not report the factor as a mixture of the known strata, where that was asked for.
    latent_note : str
        Why there is no such mixture although it was asked for.
    compare_unreported : bool
        Whether studies that do not report a factor take part in tests between strata.
    """

    by: tuple[str, ...]
    effects: EffectSizes
    strata: tuple[Stratum, ...]
    overall: RandomEffectsResults | None
    overall_pooled: Pooled | None
    tau2_mode: Tau2Mode
    between: TestResult | None
    between_note: str
    means: LinearResults | None
    method: str
    test: str
    level: float
    clusters: tuple[str, ...] | None = None
    cluster: str = "study"
    order: tuple[str, ...] = ()
    smoothing: Smoothing | None = None
    latent: LatentModerator | None = None
    latent_note: str = ""
    compare_unreported: bool = False
    overall_df: float | None = None

    def __getitem__(self, name: str) -> Stratum:
        """Return a stratum by its name."""
        names = [s.name for s in self.strata]
        check_choice("stratum", name, names)
        return self.strata[names.index(name)]

    @property
    def fitted(self) -> tuple[Stratum, ...]:
        """The strata with a fit."""
        return tuple(s for s in self.strata if s.fit is not None)

    @property
    def compared(self) -> tuple[Stratum, ...]:
        """The strata that take part in tests between strata: fitted, and by default reported."""
        return tuple(s for s in self.fitted if s.reported or self.compare_unreported)

    @property
    def digest(self) -> str:
        """Fingerprint of effects, variances and strata: the same data give the same one."""
        parts = [self.effects.y, self.effects.v, *(s.rows for s in self.strata)]
        whole = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        return hashlib.sha256(
            whole + "|".join(s.name for s in self.strata).encode(errors="surrogatepass")
        ).hexdigest()[:16]

    # -- between strata --------------------------------------------------------------------------------------

    def pairwise(self, adjust: str | None = "holm", level: float | None = None) -> Contrasts:
        """Return the differences between all pairs of strata, with p-values adjusted for their number.

        Parameters
        ----------
        adjust : str, optional
            As in :func:`metaexo.models.adjust_pvalues`; None leaves the p-values as they are.
        level : float, optional
            Level of the intervals, which are not adjusted.

        Returns
        -------
        Contrasts
            One row a pair, the later stratum minus the earlier one.

        Raises
        ------
        TooFewStudiesError
            If fewer than two strata have two or more studies.
        """
        from metaexo.heterogeneity.strata.comparisons import all_pairs

        means = self._several("pairs to compare")
        return all_pairs(means, [s.name for s in self.compared], self.between, adjust, level)

    def trend(self, level: float | None = None) -> Contrasts:
        """Return the linear trend of the means over the order of the strata: the change from one to the next.

        The contrast is the slope of a straight line through the means, each counting alike:
        with places s and their mean, weights (s - mean) / sum (s - mean)^2.

        Parameters
        ----------
        level : float, optional
            Level of the interval.

        Returns
        -------
        Contrasts
            One row: the slope a step, tested against zero.

        Raises
        ------
        InputError
            If the strata were given no order.
        TooFewStudiesError
            If fewer than two strata have two or more studies.
        """
        if not self.order:
            raise InputError(
                "the strata have no order",
                "all strata that are reported, from the first to the last",
                "stratify again with order=[...]",
            )
        means = self._several("a trend", [name for name in self.order if self[name].fit is not None])
        names = means.design.names
        known = [i for i, name in enumerate(names) if name in self.order]
        places = np.array([self.order.index(names[i]) for i in known], dtype=float)
        row = np.zeros(len(names))
        centred = places - places.mean()
        row[known] = centred / (centred @ centred)
        words = f"trend a step over {' < '.join(names[i] for i in known)}"
        return replace(make_contrasts(means, row[None], level=level), names=(words,))

    def permutation_test(self, limit: int = 50_000, draws: int = 9_999, seed: int = 0) -> BetweenPermutation:
        """Test the strata against labels dealt at random between the studies.

        Use it with few studies, where no distribution of a test statistic can be trusted. See
        :func:`metaexo.heterogeneity.permute_strata`.

        Parameters
        ----------
        limit : int
            Up to this many arrangements all are fitted; beyond it some are drawn.
        draws : int
            How many are drawn.
        seed : int
            Seed of the draws.
        """
        from metaexo.heterogeneity.strata.comparisons import permute_strata

        return permute_strata(self, limit, draws, seed)

    def spread_test(self, draws: int = 999, seed: int = 0) -> SpreadBetween:
        """Test whether the strata differ in heterogeneity itself.

        See :func:`metaexo.heterogeneity.compare_spread`.

        Parameters
        ----------
        draws : int
            Data sets of the parametric bootstrap.
        seed : int
            Its seed.
        """
        from metaexo.heterogeneity.strata.comparisons import compare_spread

        return compare_spread(self, draws, seed)

    def assignment_bounds(self, limit: int = 2**15) -> AssignmentBounds:
        """Return how far means and differences can move with the true levels of unreported studies.

        See :func:`metaexo.heterogeneity.assignment_bounds`.

        Parameters
        ----------
        limit : int
            Up to this many assignments all are fitted.
        """
        from metaexo.heterogeneity.unreported.bounds import assignment_bounds

        if len(self.by) > 1:
            raise InputError(
                f"the strata cross {len(self.by)} factors",
                "strata of one factor, of which a study may lack the level",
                "stratify by one factor",
            )
        return assignment_bounds(self.effects, self.by[0], method=self.method, test=self.test, limit=limit)

    def _several(self, what: str, names: Sequence[str] | None = None) -> LinearResults:
        """Return the means, or say that there are fewer than two."""
        found = [s.name for s in self.compared] if names is None else list(names)
        if self.means is None or len(found) < 2:
            raise TooFewStudiesError(
                f"{plural(len(found), 'stratum', 'strata')} with two or more studies, so no {what}",
                "two strata of two or more studies each",
                "join levels that belong together, or read the strata one by one",
            )
        return self.means

    # -- for readers -----------------------------------------------------------------------------------------

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on intervals and tests; empty if there is nothing."""
        from metaexo.heterogeneity.strata.tables import cautions_of_strata

        return cautions_of_strata(self)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a stratum, and one for all: counts, pooled effect, df, intervals, tau2, I2, note.

        A stratum of one study has the effect of that study. Numbers that cannot be had from a stratum are
        missing and its note says why. The column df is that of the interval, missing for normal ones.
        """
        from metaexo.heterogeneity.strata.tables import strata_frame

        return strata_frame(self)

    def to_dict(self) -> dict[str, object]:
        """Return strata, tests and choices as plain values, for files such as JSON."""
        from metaexo.heterogeneity.strata.tables import strata_dict

        return strata_dict(self)

    def summary(self) -> Summary:
        """Return the five-part summary: what was fitted, pooled, spread, data, fit."""
        from metaexo.heterogeneity.strata.tables import summarise

        return summarise(self)

    def to_markdown(self) -> str:
        """Return the strata as a Markdown table, followed by the tests and notes."""
        from metaexo.heterogeneity.strata.tables import as_markdown

        return as_markdown(self)

    def to_latex(self, caption: str | None = None) -> str:
        """Return the strata as a LaTeX table, followed by the tests and notes; it needs booktabs.

        Parameters
        ----------
        caption : str, optional
            Caption of the table.
        """
        from metaexo.heterogeneity.strata.tables import as_latex

        return as_latex(self, read_caption(caption))

    def to_html(self, caption: str | None = None) -> str:
        """Return the strata as an HTML table, followed by the tests and notes.

        Parameters
        ----------
        caption : str, optional
            Caption of the table.
        """
        from metaexo.heterogeneity.strata.tables import as_html

        return as_html(self, read_caption(caption))

    def _repr_html_(self) -> str:
        return self.to_html()

    @printed
    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        strata = plural(len(self.strata), "stratum", "strata")
        return f"StratifiedResults(by {', '.join(self.by)}: {strata}, k = {self.effects.k})"
