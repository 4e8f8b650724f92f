"""What a multiverse found: its paths, shares of paths per conclusion, and which choice moves the result.

How much of the variation of a result over paths goes with each choice is a decomposition of its variance.
The paths are a finite population; each counts by its weight. With v(S) the part of the variance of the result
that the options of the choices in S determine,

    v(S) = Var(E[result | options of S]) / Var(result),

the main effect of a choice is v of it alone, its total effect 1 - v of all others, and its Shapley share the
average of v(S with it) - v(S) over all orders in which choices can be added. In a full grid of equal weights
these are Sobol's indices, main <= share <= total. Where combinations are missing, options go together: main
and total effects then need not add up to anything, while the Shapley shares still add up to v of all choices.

References
----------
Sobol', I. M. (2001). Global sensitivity indices for nonlinear mathematical models and their Monte Carlo
estimates. Mathematics and Computers in Simulation 55, 271-280. https://doi.org/10.1016/S0378-4754(00)00270-6
Owen, A. B. (2014). Sobol' indices and Shapley value. SIAM/ASA Journal on Uncertainty Quantification 2,
245-251. https://doi.org/10.1137/130936233
Song, E., Nelson, B. L., Staum, J. (2016). Shapley effects for global sensitivity analysis: theory and
computation. SIAM/ASA Journal on Uncertainty Quantification 4, 1060-1083. https://doi.org/10.1137/15M1048070
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import special

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.formatting import interval, level_words, number, percent, plural
from metaexo.inputs import check_choice, check_flag, whole_number
from metaexo.readable import Readable, ReaderTable, cells_of
from metaexo.sensitivity.multiverse.inference import CurveTest, check_testable, permuted_signs
from metaexo.types import Array, Index, Mask

if TYPE_CHECKING:
    import pandas as pd

NO_PROBABILITY = (
    "shares of paths are not probabilities: paths share their data, options were chosen by hand, and each "
    "path counts alike, the best of all and one that is barely defensible"
)
DIGITS = 12  # of shares: what is less is noise
ROUNDING = 1e-12  # share of the largest squared value below which a variance is none but for rounding
FEW_EFFECTS = 5
FINE = 0.1  # estimates below it have more decimals
NOTICED = 0.005  # share of a variance that is worth a word
# What kinds of warnings mean of a path, in words.
WARNED = {
    "AssumptionWarning": "some effects rest on an assumed correlation, or on groups taken as independent",
    "DependentEffectsWarning": "several effects of one study are taken as independent, so that intervals are "
    "too narrow",
    "FewStudiesWarning": "cluster-robust intervals rest on few studies",
    "RowsWithoutEffectWarning": "rows that give no effect are left out",
    "RowsLeftOutWarning": "rows without an effect or without sizes are left out",
    "MixedContrastsWarning": "results with and without a control are combined",
    "EqualEffectsTestWarning": "Knapp-Hartung intervals of the equal-effects model, which they are not for",
    "NegativeMeansWarning": "some ratios are those of two negative means",
}
OF = ("estimate", "z", "tau2", "conclusion")
OF_WORDS = {
    "estimate": "the estimate",
    "z": "the evidence (z)",
    "tau2": "tau2",
    "conclusion": "the conclusion",
}


# What choices of known meaning are about, where their names alone are no words of a sentence.
CALLED = {
    "include": "rows included",
    "derived": "treatment of derived effects",
    "censored": "treatment of censored effects",
    "group": "grouping",
    "correlation": "correlation within studies",
    "method": "estimator",
}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Multiverse(Readable):
    """The paths through an analysis, each fitted once; made by :func:`metaexo.sensitivity.multiverse`.

    Paths are counted from 1 in the order in which their options are declared, the last choice fastest. Fits
    are the distinct paths that are possible: paths that lead to the same analysis of the same effects are one
    fit.

    Attributes
    ----------
    choices : mapping of str to tuple of str
        The options of every choice.
    options : ndarray of int, shape (n, d)
        Position of the option of each declared path and choice.
    excluded : ndarray of bool, shape (n,)
        Paths that the reader ruled out.
    fit_of : ndarray of int, shape (n,)
        Position of the fit of each path; -1 where it is ruled out or not possible.
    reasons : tuple of str
        Why a path is not possible; empty for the others.
    k, m : ndarray, shape (t,)
        Effects and studies of each fit.
    estimate, se, low, high : ndarray, shape (t,)
        Mean effect (or the coefficient that is followed), standard error and confidence interval of each fit,
        on the scale of the analysis.
    pvalue : ndarray, shape (t,)
        Two-sided p-value of no effect.
    tau2, i2 : ndarray, shape (t,)
        Heterogeneity.
    prediction_low, prediction_high : ndarray, shape (t,)
        Prediction interval; NaN where a fit has none.
    shown : mapping of str to ndarray, shape (t,)
        estimate, low, high, prediction_low, prediction_high and null (no effect) as the measure is shown:
        ratios as ratios.
    measure, scale : tuple of str
        Measure of each fit, and the label of the scale on which it is shown.
    is_ratio : ndarray of bool, shape (t,)
        Whether that scale is one of ratios.
    null : ndarray, shape (t,)
        Value of no effect on the scale of the analysis; NaN where there is none.
    better : {"higher", "lower", ""}
        Which direction is the benefit; empty if that is not known.
    thresholds : mapping of str to tuple of float
        Thresholds by scale, as shown.
    reference : int
        Position of the reference path among the declared ones.
    level : float
        Level of all intervals.
    term : str or None
        Coefficient that is followed, in place of the mean effect.
    warned : tuple of str
        Kinds of warnings of single paths.
    sets : tuple of EffectSizes or BoundedEffectSizes
        The sets of effects that paths fit; `effects` gives that of a path.
    set_of : ndarray of int, shape (t,)
        Position of the set of each fit.
    analyses : tuple of tuple of str
        Model, estimator and test of each fit; "other random effects" are those with moderators, bounds, or a
        test that many fits in one call do not have.
    without_effect : tuple of tuple of str
        Models that are functions, and a choice of several options that they take by no name.
    """

    choices: Mapping[str, tuple[str, ...]]
    options: Index
    excluded: Mask
    fit_of: Index
    reasons: tuple[str, ...]
    k: Array
    m: Array
    estimate: Array
    se: Array
    low: Array
    high: Array
    pvalue: Array
    tau2: Array
    i2: Array
    prediction_low: Array
    prediction_high: Array
    shown: Mapping[str, Array]
    measure: tuple[str, ...]
    scale: tuple[str, ...]
    is_ratio: Mask
    null: Array
    better: str
    thresholds: Mapping[str, tuple[float, ...]]
    reference: int
    level: float
    term: str | None
    warned: tuple[str, ...]
    sets: tuple[EffectSizes | BoundedEffectSizes, ...]
    set_of: Index
    analyses: tuple[tuple[str, str, str], ...]
    without_effect: tuple[tuple[str, str], ...] = ()

    # -- counts --------------------------------------------------------------------------------------------

    @property
    def declared(self) -> int:
        """Number of combinations of options that were declared."""
        return int(self.options.shape[0])

    @property
    def possible(self) -> Mask:
        """Which declared paths are possible and not ruled out, shape (n,)."""
        return np.asarray(self.fit_of >= 0)

    @property
    def distinct(self) -> int:
        """Number of distinct paths that are possible: the fits."""
        return int(self.estimate.size)

    @cached_property
    def weights(self) -> Array:
        """Weight of each declared path that is possible: all paths that are one fit count as one."""
        of = self.fit_of[self.possible]
        return np.asarray(1.0 / np.bincount(of, minlength=self.distinct)[of])

    @property
    def scales(self) -> tuple[str, ...]:
        """The scales on which results are shown, in order of appearance."""
        return tuple(dict.fromkeys(self.scale))

    @property
    def reference_fit(self) -> int:
        """Position of the fit of the reference path; -1 if that is not possible."""
        return int(self.fit_of[self.reference])

    def impossible(self) -> pd.DataFrame:
        """Return the reasons why paths are not possible, and how many paths each concerns."""
        import pandas as pd

        counts = Counter(reason for reason in self.reasons if reason)
        return pd.DataFrame(counts.most_common(), columns=["reason", "paths"])

    def without_paths(self) -> list[tuple[str, str, str]]:
        """Return the options that lead to no fit: choice, option, and what became of their paths."""
        out = []
        for j, (choice, labels) in enumerate(self.choices.items()):
            for i, label in enumerate(labels):
                here = np.flatnonzero(self.options[:, j] == i)
                if self.possible[here].any():
                    continue
                told = [
                    reason
                    for reason, _ in Counter(filter(None, (self.reasons[p] for p in here))).most_common(2)
                ]
                why = f"could be fitted ({'; '.join(told)})" if told else "is left, all being ruled out"
                out.append((choice, label, why))
        return out

    def effects(self, path: int) -> EffectSizes | BoundedEffectSizes:
        """Return the effects that a path fits, for a forest plot or another look at them.

        Without moderators and functions as models they may have no further columns.

        Parameters
        ----------
        path : int
            Number of the path, as in the index of `to_frame`.

        Raises
        ------
        InputError
            If there is no such path, or it is not possible.
        """
        at = whole_number(path, "path", 1) - 1
        if at >= self.declared:
            raise InputError(f"path is {path}", f"a number from 1 to {self.declared}")
        if self.fit_of[at] < 0:
            why = "ruled out" if self.excluded[at] else self.reasons[at]
            raise InputError(f"path {path} has no effects: {why}", "a path that is possible")
        found: EffectSizes | BoundedEffectSizes = self.sets[self.set_of[self.fit_of[at]]]
        return found

    def permutation_test(self, draws: int | None = None, *, seed: int = 0) -> CurveTest:
        """Test the whole curve against no effect in any path, by permuted signs of studies.

        Use it where most paths are significant and the question is whether so many would be by chance: paths
        share their data, so their p-values cannot be counted. If the true effects and errors of each study
        lie symmetrically around no effect, the data with the signs of any studies turned are as likely as
        those at hand. Each pattern of signs turns the effects of a study in all paths and gives a curve; the
        p-value is the share of patterns whose median estimate, share of significant paths or mean z is as far
        from no effect. It holds for any heterogeneity and dependence within studies, but not for rules that
        look at the effects (outliers left out), as each path keeps its rows; with few studies it cannot be
        small.

        Parameters
        ----------
        draws : int, optional
            Random patterns; all of them where there are no more than these. Default: all where there are at
            most 4,096 (13 studies), else 1,999 random ones.
        seed : int
            Of the random patterns.

        Returns
        -------
        CurveTest
            Statistics with p-values, and the interval of curves without an effect. Only random-effects models
            of independent exact effects are fitted anew; it says how many paths are of other models.

        Raises
        ------
        InputError
            If no path is of such a model, or the measure has no value of no effect.

        References
        ----------
        Simonsohn, U., Simmons, J. P., Nelson, L. D. (2020). https://doi.org/10.1038/s41562-020-0912-z
        Follmann, D. A., Proschan, M. A. (1999). https://doi.org/10.1111/j.0006-341X.1999.00732.x
        """
        fits = np.array(
            [i for i, (model, _, _) in enumerate(self.analyses) if model == "random effects"], dtype=np.intp
        )
        check_testable(fits.size, self.null[fits])
        used, set_of = np.unique(self.set_of[fits], return_inverse=True)
        return permuted_signs(
            [cast("EffectSizes", self.sets[i]) for i in used],
            set_of.reshape(-1),
            [self.analyses[i][1:] for i in fits],
            len({self.scale[i] for i in fits}) == 1,
            self.level,
            draws,
            seed,
            self.distinct - int(fits.size),
        )

    # -- conclusions ---------------------------------------------------------------------------------------

    @property
    def words(self) -> tuple[str, str, str]:
        """What the conclusions are called: the interval lies above no effect, below it, or holds it."""
        if self.better:
            return (
                ("benefit", "harm", "neither") if self.better == "higher" else ("harm", "benefit", "neither")
            )
        return "above no effect", "below no effect", "neither"

    @cached_property
    def conclusion(self) -> tuple[str, ...]:
        """The conclusion of each fit, by its confidence interval; empty if the measure has no null value."""
        above, below, neither = self.words
        return tuple(
            "" if np.isnan(null) else above if low > null else below if high < null else neither
            for low, high, null in zip(self.low, self.high, self.null, strict=True)
        )

    def shares(self) -> pd.DataFrame:
        """Return the share of the distinct paths per conclusion.

        Returns
        -------
        DataFrame
            Columns scale, conclusion, paths, of and share: how many of how many paths that have such a
            number. Conclusions by the confidence interval add up to all paths; the others are further
            questions: on which side the estimate is, whether the prediction interval excludes no effect, and
            where estimate and interval are with respect to the thresholds.
        """
        import pandas as pd

        rows: list[tuple[str, str, int, int]] = []
        known = np.isfinite(self.null)
        if known.any():
            concluded = np.array(self.conclusion)[known]
            whole = "all scales" if len(self.scales) > 1 else self.scales[0]
            ends = level_words(self.level)
            for word in self.ordered:
                said = f"{ends} CI: {word}"
                rows.append((whole, said, int((concluded == word).sum()), int(known.sum())))
            first, last = self._sides()
            above = self.estimate > self.null if first == self.words[0] else self.estimate < self.null
            rows.append((whole, f"estimate: {first}", int(above[known].sum()), int(known.sum())))
            predicted = known & np.isfinite(self.prediction_low)
            sides = {
                self.words[0]: self.prediction_low > self.null,
                self.words[1]: self.prediction_high < self.null,
            }
            for word in (first, last) if predicted.any() else ():
                said = f"{ends} prediction interval: {word}"
                rows.append((whole, said, int(sides[word][predicted].sum()), int(predicted.sum())))
        for scale, values in self.thresholds.items():
            rows += [row for value in values for row in self._beyond(scale, value)]
        frame = pd.DataFrame(rows, columns=["scale", "conclusion", "paths", "of"])
        return frame.assign(share=frame["paths"] / frame["of"])

    def _sides(self) -> tuple[str, str]:
        """Return the two conclusions of a side, the benefit first."""
        above, below, _ = self.words
        return (above, below) if above != "harm" else (below, above)

    @property
    def ordered(self) -> tuple[str, str, str]:
        """Return the conclusions, the benefit first."""
        return (*self._sides(), self.words[2])

    def _beyond(self, scale: str, value: float) -> list[tuple[str, str, int, int]]:
        """Return how many estimates and intervals of a scale lie beyond a threshold."""
        here = self.of_scale(scale)
        lower = self.better == "lower"
        word = "at most" if lower else "at least"
        end = self.shown["high" if lower else "low"][here]
        middle = self.shown["estimate"][here]
        values = ((middle, "estimate"), (end, f"whole {level_words(self.level)} CI"))
        return [
            (
                scale,
                f"{name} {word} {value:g}",
                int((x <= value if lower else x >= value).sum()),
                int(here.sum()),
            )
            for x, name in values
        ]

    def of_scale(self, scale: str) -> Mask:
        """Return which fits are shown on a scale, shape (t,).

        Parameters
        ----------
        scale : str
            One of `scales`.
        """
        check_choice("scale", scale, self.scales)
        return np.array([one == scale for one in self.scale], dtype=bool)

    # -- which choice matters ------------------------------------------------------------------------------

    @cached_property
    def comparable(self) -> Array:
        """Estimates that can be compared within a scale, shape (t,).

        They are those of the analysis where a scale has one measure, and else as they are shown, ratios as
        logarithms.
        """
        out = np.array(self.estimate)
        for scale in self.scales:
            here = self.of_scale(scale)
            if len({code for code, kept in zip(self.measure, here, strict=True) if kept}) > 1:
                shown = self.shown["estimate"][here]
                with np.errstate(divide="ignore", invalid="ignore"):
                    out[here] = np.log(shown) if self.is_ratio[here].all() else shown
        return out

    @cached_property
    def z(self) -> Array:
        """Evidence against no effect, shape (t,): the normal quantile of the p-value, with a sign."""
        with np.errstate(divide="ignore"):
            return np.asarray(-np.sign(self.estimate - self.null) * special.ndtri(self.pvalue / 2))

    def importance(self, of: str | None = None) -> pd.DataFrame:
        """Return which choice moves a result most: shares of its variance over the paths.

        Use it to see what the disagreement of paths is about. All paths count alike (those that are one
        analysis count as one together). In a full grid `main` and `total` are Sobol's first-order and total
        indices, and `share` lies between them. Where combinations are ruled out or not possible, options go
        together, and only the shares, Shapley's, still add up to 1: each is the average, over all orders in
        which choices can be fixed, of the variance that goes when this one is.

        Parameters
        ----------
        of : {"estimate", "z", "tau2", "conclusion"}, optional
            The result: the estimate; the evidence (normal quantile of the p-value, with the sign of the
            effect), which can be compared between measures; tau2; or the conclusion as -1, 0 and 1. Default:
            the estimate, and "z" where paths are on different scales.

        Returns
        -------
        DataFrame
            One row per choice, the largest share first: choice, options (how many are possible), main,
            share, total. NaN where the result does not vary.

        Raises
        ------
        InputError
            If estimates or variances of different scales would be compared, or the measure has no value of
            no effect.

        References
        ----------
        Sobol', I. M. (2001). https://doi.org/10.1016/S0378-4754(00)00270-6
        Owen, A. B. (2014). Sobol' indices and Shapley value. SIAM/ASA Journal on Uncertainty Quantification
        2, 245-251. https://doi.org/10.1137/130936233
        """
        import pandas as pd

        of = self.default_of if of is None else of
        values = self._values(of)
        at = self.fit_of[self.possible]
        options = self.options[self.possible]
        known = np.isfinite(values[at])
        found = decompose(options[known], values[at][known], self.weights[known])
        frame = pd.DataFrame(
            {
                "choice": list(self.choices),
                "options": [len(np.unique(column)) for column in options.T],
                "main": found.main,
                "share": found.share,
                "total": found.total,
            }
        )
        return frame.sort_values("share", ascending=False, kind="stable", ignore_index=True)

    @property
    def default_of(self) -> str:
        """What `importance` looks at by default: the estimate, or z where scales differ."""
        return "estimate" if len(self.scales) == 1 else "z"

    def _values(self, of: str) -> Array:
        """Return the result that choices are held against, shape (t,)."""
        check_choice("of", of, OF)
        if of in ("estimate", "tau2") and len(self.scales) > 1:
            raise InputError(
                f"paths are on {len(self.scales)} scales ({'; '.join(self.scales)})",
                f"one scale, to compare {OF_WORDS[of]}",
                'write of="z" or of="conclusion", or declare measures of one scale',
            )
        if of in ("z", "conclusion") and not np.isfinite(self.null).any():
            raise InputError(
                f"the measure {self.measure[0]} has no value of no effect", 'of="estimate" or of="tau2"'
            )
        if of == "conclusion":
            return (self.low > self.null).astype(float) - (self.high < self.null)
        return {"estimate": self.comparable, "z": self.z, "tau2": self.tau2}[of]

    def by_option(self) -> pd.DataFrame:
        """Return what paths found under each option.

        Returns
        -------
        DataFrame
            One row per scale, choice and option: paths (distinct ones that lead through it), the least,
            median and largest estimate as shown, and the share of its paths per conclusion. A path that
            several options lead to counts under each of them; with several scales, options that have no path
            on one of them have no row there.
        """
        import pandas as pd

        rows = []
        concluded = np.array(self.conclusion)
        for scale in self.scales:
            here = self.of_scale(scale)
            for j, (choice, labels) in enumerate(self.choices.items()):
                for i, label in enumerate(labels):
                    fits = np.unique(self.fit_of[self.possible & (self.options[:, j] == i)])
                    fits = fits[here[fits]]
                    values = self.shown["estimate"][fits]
                    least, middle, most = np.quantile(values, (0.0, 0.5, 1.0)) if fits.size else (np.nan,) * 3
                    row = {"scale": scale, "choice": choice, "option": label, "paths": fits.size}
                    row |= {"least": least, "median": middle, "largest": most}
                    shares = {
                        word: (concluded[fits] == word).mean() if fits.size else np.nan
                        for word in self.ordered
                    }
                    rows.append(row | (shares if np.isfinite(self.null).any() else {}))
        frame = pd.DataFrame(rows)
        return frame[frame["paths"] > 0].reset_index(drop=True) if len(self.scales) > 1 else frame

    # -- tables and words ----------------------------------------------------------------------------------

    def to_frame(self, all_paths: bool = False) -> pd.DataFrame:
        """Return the paths: their options and what they came to.

        Parameters
        ----------
        all_paths : bool
            Also list the declared paths that repeat another, are not possible or were ruled out; the column
            `status` says which: "fitted", "same as path 3", the reason, or "ruled out".

        Returns
        -------
        DataFrame
            One row per path, indexed by its number: the options, measure (if it is no choice), k, m,
            estimate, se, low, high, pvalue, tau2, i2, prediction_low, prediction_high, conclusion; of ratios
            also ratio, ratio_low and ratio_high.
        """
        import pandas as pd

        check_flag("all_paths", all_paths)
        first = self.first_paths
        paths = np.arange(self.declared) if all_paths else first
        labels = {
            name: np.array(labels, dtype=object)[self.options[paths, j]]
            for j, (name, labels) in enumerate(self.choices.items())
        }
        frame = pd.DataFrame(labels, index=pd.Index(paths + 1, name="path"))
        at = self.fit_of[paths]
        held = at >= 0

        def spread(values: Any, kind: Any = float) -> Any:
            if kind is object:
                return [values[i] if i >= 0 else "" for i in at]
            return np.where(held, np.asarray(values, dtype=float)[np.maximum(at, 0)], np.nan)

        if all_paths:
            frame["status"] = self._status(first)
        if "measure" not in frame:
            frame["measure"] = spread(self.measure, object)
        for name in ("k", "m", "estimate", "se", "low", "high"):
            frame[name] = spread(getattr(self, name))
        if self.is_ratio.any():
            for name, key in (("ratio", "estimate"), ("ratio_low", "low"), ("ratio_high", "high")):
                frame[name] = spread(np.where(self.is_ratio, self.shown[key], np.nan))
        for name in ("pvalue", "tau2", "i2", "prediction_low", "prediction_high"):
            frame[name] = spread(getattr(self, name))
        frame["conclusion"] = spread(self.conclusion, object)
        if not all_paths:
            frame[["k", "m"]] = frame[["k", "m"]].astype(int)
        return frame

    @cached_property
    def first_paths(self) -> Index:
        """Position of the first declared path of each fit, shape (t,)."""
        at = np.flatnonzero(self.possible)
        out = np.empty(self.distinct, dtype=np.intp)
        out[self.fit_of[at][::-1]] = at[::-1]
        return out

    def _status(self, first: Index) -> list[str]:
        """Return what became of each declared path."""
        out = []
        for path, (fit, excluded, reason) in enumerate(
            zip(self.fit_of.tolist(), self.excluded.tolist(), self.reasons, strict=True)
        ):
            if fit < 0:
                out.append("ruled out" if excluded else reason)
            else:
                out.append("fitted" if first[fit] == path else f"same as path {first[fit] + 1}")
        return out

    def reader_tables(self) -> list[ReaderTable]:
        """Return shares per conclusion, which choice matters, and results by option."""
        shares = self.shares().drop(columns=[] if len(self.scales) > 1 else "scale")
        shares["share"] = [percent(value) for value in shares["share"]]
        moved = self.importance()
        for name in ("main", "share", "total"):
            moved[name] = [percent(value) for value in moved[name]]
        by_option = self.by_option().drop(columns=[] if len(self.scales) > 1 else "scale")
        for name in self.ordered:
            if name in by_option:
                by_option[name] = [percent(value) for value in by_option[name]]
        return [
            *([cells_of(shares, "Share of paths per conclusion")] if len(shares) else []),
            cells_of(moved, f"Share of the variance of {OF_WORDS[self.default_of]} over paths"),
            cells_of(by_option, "Results by option"),
        ]

    @property
    def counts_sentence(self) -> str:
        """How many paths were declared, and what became of them."""
        lost = sum(map(bool, self.reasons))
        repeated = int(self.possible.sum()) - self.distinct
        parts = [
            f"{int(self.excluded.sum()):,} ruled out" if self.excluded.any() else "",
            f"{lost:,} not possible" if lost else "",
            f"{repeated:,} the same as another" if repeated else "",
        ]
        told = ", ".join(filter(None, parts))
        return (
            f"{self.declared:,} {'path' if self.declared == 1 else 'paths'} declared"
            f"{f' ({told})' if told else ''}: "
            f"{self.distinct:,} distinct {'path' if self.distinct == 1 else 'paths'}."
        )

    @property
    def range_sentence(self) -> str:
        """The range and median of the estimates as shown, scale by scale."""
        told = []
        for scale in self.scales:
            values = self.shown["estimate"][self.of_scale(scale)]
            name = scale if self.term is None else f"{self.term.replace('_', ' ')}, {scale.lower()}"
            digits = 2 if np.abs(values).max() >= FINE else 4
            middle, ends = (
                number(float(np.median(values)), digits),
                (float(values.min()), float(values.max())),
            )
            told.append(f"{name}: median {middle}, from {interval(*ends, digits)}")
        return f"{'; '.join(told)}."

    @property
    def conclusion_sentence(self) -> str:
        """The share of the paths per conclusion."""
        known = [word for word in self.conclusion if word]
        if not known:
            return "The measure has no value of no effect, so that paths come to no conclusion about it."
        counts = Counter(known)
        told = ", ".join(
            f"{word} in {percent(counts[word] / len(known))} ({counts[word]})" for word in self.ordered
        )
        return f"By the {level_words(self.level)} CI: {told} of {plural(len(known), 'path')}."

    @property
    def importance_sentence(self) -> str:
        """Which choice moves the result most, in words."""
        table = self.importance()
        what = OF_WORDS[self.default_of]
        if table["share"].isna().all():
            return f"All paths agree on {what}."
        pairs = zip(table["choice"].tolist(), table["share"].tolist(), strict=True)
        told = [
            f"the {CALLED.get(name, name.replace('_', ' '))} ({percent(share)})"
            for name, share in pairs
            if share >= NOTICED
        ][:3]
        then = f", then {' and '.join(told[1:])}" if told[1:] else ""
        return f"Of the variance of {what} over paths most goes with {told[0]}{then}."

    @property
    def sentence(self) -> str:
        """What was found, in a few plain sentences."""
        return " ".join(
            [self.counts_sentence, self.range_sentence, self.conclusion_sentence, self.importance_sentence]
        )

    def table_notes(self) -> list[str]:
        """Return the sentences, which stand below the tables."""
        return [self.sentence]

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the shares."""
        said = [NO_PROBABILITY]
        if self.reference_fit < 0:
            said.append(f"the reference path is not possible: {self.reasons[self.reference]}")
        said += [f"no path with {of} = {option} {why}" for of, option, why in self.without_paths()]
        said += [
            f"the model {model!r} takes no argument {name!r}: its paths that differ in {name} alone are one"
            for model, name in self.without_effect
        ]
        few = int((self.k < FEW_EFFECTS).sum())
        if few:
            paths = plural(few, "path rests", "paths rest")
            said.append(f"{paths} on fewer than {FEW_EFFECTS} effects, where tau2 is hardly estimated")
        told = "; ".join(WARNED.get(kind, kind) for kind in self.warned)
        return (*said, *([f"in some paths: {told}"] if told else []))

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the sets of effects as plain values; what is missing is None."""
        return {name: value for name, value in super().to_dict().items() if name != "sets"}

    def __repr__(self) -> str:
        return f"Multiverse({self.counts_sentence[:-1]})"


# -- decomposition of variance ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decomposition:
    """Shares of the variance of a result over paths, one entry per choice; NaN where it does not vary."""

    main: Array
    share: Array  # Shapley
    total: Array


def decompose(options: Index, values: Array, weights: Array) -> Decomposition:
    """Return the shares of each choice.

    `options`, shape (n, d): positions of the options of each path. `values`, `weights`, shape (n,): the
    result of each path, and how much it counts.
    """
    d = options.shape[1]
    if not values.size:
        nothing = np.full(d, np.nan)
        return Decomposition(nothing, nothing, nothing)
    weights = weights / weights.sum()
    centred = values - weights @ values
    variance = float(weights @ centred**2)
    if not variance > ROUNDING * float(np.square(values).max(initial=0.0)):
        nothing = np.full(d, np.nan)
        return Decomposition(nothing, nothing, nothing)
    explained = np.round(_explained(options, centred, weights) / variance, DIGITS)
    every = (1 << d) - 1
    main = np.array([explained[1 << i] for i in range(d)])
    total = np.array([1.0 - explained[every ^ (1 << i)] for i in range(d)])
    return Decomposition(main, np.round(_shapley(explained, d), DIGITS), total + 0.0)


def _explained(options: Index, centred: Array, weights: Array) -> Array:
    """Return the variance that each set of choices determines; bit i of its position stands for choice i."""
    n, d = options.shape
    levels = options.max(axis=0) + 1
    found = np.zeros(1 << d)

    def visit(subset: int, cell: Index, cells: int, first: int) -> None:
        """Go through the sets that add choices from `first` on; `cell` numbers the combinations so far."""
        for i in range(first, d):
            joined, many = cell * levels[i] + options[:, i], cells * int(levels[i])
            size, sums = np.bincount(joined, weights, many), np.bincount(joined, weights * centred, many)
            held = size > 0
            found[subset | 1 << i] = float((sums[held] ** 2 / size[held]).sum())
            visit(subset | 1 << i, joined, many, i + 1)

    visit(0, np.zeros(n, dtype=np.intp), 1, 0)
    return found


def _shapley(explained: Array, d: int) -> Array:
    """Return the Shapley value of each choice."""
    subsets = np.arange(1 << d)
    sizes = np.bitwise_count(subsets).astype(int)
    weight = np.array([1.0 / (d * math.comb(d - 1, s)) for s in range(d)])
    out = np.empty(d)
    for i in range(d):
        without = subsets[(subsets >> i) & 1 == 0]
        gains = explained[without | (1 << i)] - explained[without]
        out[i] = float(weight[sizes[without]] @ gains)
    return out
