"""Whether a whole specification curve could be chance: the signs of studies permuted in all paths at once.

If true effects and sampling errors of every study lie symmetrically around no effect, the signs of studies
are exchangeable: the data with the signs of any studies turned round are as likely as the data at hand,
whatever the heterogeneity, and however the effects of one study depend on each other. A study has one sign in
all paths, so that paths are as dependent as they are. Each pattern of signs gives a curve of all paths.

References
----------
Simonsohn, U., Simmons, J. P., Nelson, L. D. (2020). Specification curve analysis. Nature Human Behaviour 4,
1208-1214. https://doi.org/10.1038/s41562-020-0912-z
Follmann, D. A., Proschan, M. A. (1999). Valid inference in random effects meta-analysis. Biometrics 55,
732-737. https://doi.org/10.1111/j.0006-341X.1999.00732.x
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.formatting import number, p_value, percent, plural
from metaexo.inputs import whole_number
from metaexo.readable import Readable
from metaexo.runs import run
from metaexo.runs.counter import signs
from metaexo.sensitivity.multiverse.fits import Padded, fit_by_tests
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

EXACT = 4_096  # patterns of signs up to which all are gone through
USUAL = 1_999  # random patterns otherwise
MOST_DRAWS = 100_000
BLOCK = 32
MOST_OF_CURVE = 5_000  # paths up to which curves of all patterns are kept
ROUNDING = 1e-9
LEAST_P = 1e-300
STATISTICS = ("median", "share", "z")
WORDS = {
    "median": "median estimate",
    "share": "share of paths with a significant effect on the commoner side",
    "z": "mean evidence (z)",
}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CurveTest(Readable):
    """Test that no path has an effect, by permuted signs of studies; of `Multiverse.permutation_test`.

    Attributes
    ----------
    observed : dict of str to float
        Median estimate less no effect ("median"; NaN where paths are on several scales), share of paths whose
        interval excludes no effect on the side where more do ("share"), and mean z over paths ("z").
    pvalues : dict of str to float
        Two-sided p-value of each: the share of patterns of signs that give a value as far from no effect.
    low, high : dict of str to float
        Interval that holds the middle 95% of the values that the patterns give.
    curve_low, curve_high : ndarray, shape (t,)
        The same for each place of the curve, in order of the estimates; empty with paths on several scales,
        and with more than 5,000 paths.
    patterns : int
        Patterns of signs.
    exact : bool
        Whether they are all that there are.
    studies, paths : int
        Studies whose signs were permuted, and paths that were fitted anew.
    left_out : int
        Paths of other models, which are not part of the curve that is tested.
    is_log : bool
        Whether the median is one of logarithms of ratios.
    """

    observed: dict[str, float]
    pvalues: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    curve_low: Array
    curve_high: Array
    patterns: int
    exact: bool
    studies: int
    paths: int
    left_out: int
    is_log: bool

    def to_frame(self) -> pd.DataFrame:
        """Return one row per statistic: statistic, observed, low, high, pvalue."""
        import pandas as pd

        rows = [
            (WORDS[name], self.observed[name], self.low[name], self.high[name], self.pvalues[name])
            for name in STATISTICS
        ]
        return pd.DataFrame(rows, columns=["statistic", "observed", "low", "high", "pvalue"])

    @property
    def sentence(self) -> str:
        """What was tested, and what came of it."""
        patterns = f"all {self.patterns:,}" if self.exact else f"{self.patterns:,} random"
        told = []
        for name, value in self.observed.items():
            shown = percent(value) if name == "share" else number(value)
            scale = " (log scale)" if self.is_log and name == "median" else ""
            if np.isfinite(value):
                told.append(f"{WORDS[name]}{scale} {shown}, {p_value(self.pvalues[name])}")
        return (
            f"Signs of {plural(self.studies, 'study', 'studies')} permuted in {plural(self.paths, 'path')}, "
            f"{patterns} patterns: {'; '.join(told)}."
        )

    def table_notes(self) -> list[str]:
        """Return the sentence, which stands below the table."""
        return [self.sentence]

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the p-values."""
        said = []
        if self.exact:
            least = 2 / self.patterns
            if least > 0.05:
                said.append(
                    f"with {plural(self.studies, 'study', 'studies')} no p-value can be below {least:.2g}"
                )
        if self.left_out:
            said.append(
                f"{plural(self.left_out, 'path')} of other models than that of independent exact effects: "
                "not part of the curve that is tested"
            )
        return tuple(said)


def permuted_signs(
    sets: Sequence[EffectSizes],
    set_of: Index,
    kinds: Sequence[tuple[str, str]],
    one_scale: bool,
    level: float,
    draws: int | None,
    seed: int,
    left_out: int,
) -> CurveTest:
    """Return the test of fits of sets of effects; `kinds` are estimator and test of each fit."""
    names = list(dict.fromkeys(study for one in sets for study in one.study or one.row_ids))
    every = 2 ** (len(names) - 1)  # of a pattern and its opposite one is enough
    wanted = _read_draws(USUAL if draws is None else draws)
    exact = every <= (EXACT if draws is None else wanted)
    size = every if exact else wanted
    position = {name: i for i, name in enumerate(names)}
    padded = Padded.of(sets)
    null = np.array([one.measure.null for one in sets])
    y = np.where(padded.counts > 0, padded.y - null[:, None], 0.0)
    study = np.zeros(y.shape, dtype=np.intp)
    for row, one in enumerate(sets):
        study[row, : one.k] = [position[name] for name in one.study or one.row_ids]
    kept = one_scale and len(set_of) <= MOST_OF_CURVE
    curves = _Curves(
        y,
        padded.v,
        padded.counts,
        study,
        set_of,
        tuple(kinds),
        level,
        None if exact else seed,
        len(names),
        kept,
    )
    observed = curves.of(np.ones((1, len(names))))
    made = run(curves, size, block=BLOCK, what="patterns of signs")
    names_of = STATISTICS if one_scale else STATISTICS[1:]
    numbers: dict[str, dict[str, float]] = {"observed": {}, "pvalues": {}, "low": {}, "high": {}}
    for name in STATISTICS:
        found = float(observed[name][0]) if name in names_of else np.nan
        drawn = made[name]
        far = np.abs(drawn) >= abs(found) * (1 - ROUNDING)
        # the pattern at hand is one of all; among random ones it counts as one more
        pvalue = far.mean() if exact else (1 + far.sum()) / (1 + size)
        both = np.concatenate([drawn, -drawn]) if name != "share" else drawn
        ends = np.quantile(both, [0.025, 0.975])
        numbers["observed"][name] = found
        known = np.isfinite(found)
        for key, value in (("pvalues", pvalue), ("low", ends[0]), ("high", ends[1])):
            numbers[key][name] = float(value) if known else np.nan
    curve = np.empty((2, 0))
    if kept:
        drawn = np.concatenate([made["curve"], -made["curve"][:, ::-1]])  # and the opposite patterns
        curve = np.quantile(drawn, [0.025, 0.975], axis=0) + null[0]
    return CurveTest(
        **numbers,
        curve_low=curve[0],
        curve_high=curve[1],
        patterns=2 * size if exact else size,
        exact=exact,
        studies=len(names),
        paths=len(set_of),
        left_out=left_out,
        is_log=one_scale and sets[0].measure.display_log,
    )


def _read_draws(draws: object) -> int:
    """Return a number of random patterns, checked."""
    number_of = whole_number(draws, "draws", 20)
    if number_of > MOST_DRAWS:
        raise InputError(f"draws is {number_of}", f"at most {MOST_DRAWS:,} random patterns")
    return number_of


@dataclass(frozen=True, eq=False)
class _Curves:
    """Fits all paths under patterns of signs; a task of `metaexo.runs.run`."""

    y: Array  # (s, k): effects of each set less no effect
    v: Array
    counts: Array  # 0 where a set has no such effect
    study: Index  # (s, k): position of the study of each effect
    set_of: Index  # (t,): set of each fit
    kinds: tuple[tuple[str, str], ...]  # estimator and test of each fit
    level: float
    seed: int | None  # None: all patterns
    studies: int
    kept: bool  # whether the curves themselves are returned

    def __call__(self, begin: int, end: int) -> dict[str, Array]:
        """Return the statistics and the curve of patterns begin to end."""
        if self.seed is not None:
            return self.of(signs(self.seed, begin, end, self.studies))
        bits = (np.arange(begin, end)[:, None] >> np.arange(self.studies)) & 1
        return self.of(1.0 - 2.0 * bits)

    def of(self, pattern: Any) -> dict[str, Array]:
        """Return the statistics and the curves of patterns of signs, shape (b, studies)."""
        b, t = len(pattern), len(self.set_of)
        estimate, z, side = np.empty((b, t)), np.empty((b, t)), np.empty((b, t))
        turned = pattern[:, self.study] * self.y  # (b, s, k)
        for code in dict.fromkeys(code for code, _ in self.kinds):
            fits = np.array([i for i, kind in enumerate(self.kinds) if kind[0] == code])
            tests = np.array([self.kinds[i][1] for i in fits])
            used, where = np.unique(self.set_of[fits], return_inverse=True)
            flat = turned[:, used].reshape(b * len(used), -1)
            v, counts = (np.tile(one[used], (b, 1)) for one in (self.v, self.counts))
            for test, fit in fit_by_tests(
                Padded(flat, v, counts), code, list(dict.fromkeys(tests.tolist())), self.level
            ).items():
                mean, half = fit.estimate, fit.half
                # without a spread a mean that is not 0 is as much evidence as there can be
                pvalue = np.where(np.isnan(fit.pvalue), (mean == 0).astype(float), fit.pvalue)
                evidence = -np.sign(mean) * special.ndtri(np.maximum(pvalue, LEAST_P) / 2)
                sides = (mean > half).astype(float) - (mean < -half)
                here = tests == test
                for out, values in ((estimate, mean), (z, evidence), (side, sides)):
                    out[:, fits[here]] = values.reshape(b, len(used))[:, where.reshape(-1)[here]]
        above, below = (side > 0).mean(axis=1), (side < 0).mean(axis=1)
        return {
            "median": np.median(estimate, axis=1),
            "share": np.maximum(above, below),
            "z": z.mean(axis=1),
            **({"curve": np.sort(estimate, axis=1)} if self.kept else {}),
        }


def check_testable(fits: int, null: Array) -> None:
    """Refuse paths that the signs of studies say nothing about."""
    if not fits:
        raise InputError(
            "no path is a random-effects model of exact effects", "one such path at least, to be fitted anew"
        )
    if not np.isfinite(null).all():
        raise InputError("the measure has no value of no effect", "a measure with one, whose signs can turn")
