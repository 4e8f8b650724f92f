"""All methods for small-study effects and selection side by side, with a plain sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

import metaexo.bias as room
from metaexo.bias.asymmetry import RegressionTest
from metaexo.bias.estimates import FEW, estimates_of
from metaexo.bias.results import AdjustedEstimate, BiasResult, BiasTest
from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.sample_sizes import known_columns
from metaexo.errors import MetaexoError
from metaexo.formatting import interval, level_words, number, p_value, plural
from metaexo.models.linear.results import FitResults
from metaexo.readable import ReaderTable, cells_of, with_ratios

if TYPE_CHECKING:
    import pandas as pd

# Of the words; the tables have the p-values. Tests of asymmetry have little power: 0.10 is their usual level.
SIGNIFICANT, SUGGESTIVE = 0.05, 0.10


class Refused(NamedTuple):
    """A method that gave no result, and why."""

    kind: str  # "test", "estimate" or "count"
    method: str
    reason: str


# What is asked, in the order of the tables: the functions of this room that answer it, by name.
METHODS: dict[str, tuple[str, ...]] = {
    "test": ("regression_test", "rank_test"),
    "test of counts": ("counts_test",),
    "estimate": (
        "henmi_copas",
        "trim_and_fill",
        "pet_peese",
        "waap_wls",
        "limit_meta_analysis",
        "selection_model",
        "p_uniform_star",
        "copas_selection",
        "worst_case",
    ),
    "count": ("power", "excess_significance", "p_curve", "fail_safe_n"),
}
# Tests on the counts of two groups, by measure: that which rests on the measure's own score.
COUNTED = {"treatment_events", "control_events"}
OF_COUNTS = {"OR": "harbord", "RR": "harbord", "PETO": "harbord", "RD": "ruecker", "AS": "ruecker"}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class BiasReport(BiasResult):
    """What methods for small-study effects and selection say of one set of effects, side by side.

    Attributes
    ----------
    unadjusted : FitResults
        The fit as it was handed in, or the random-effects model of bare effects.
    tests : tuple of BiasTest
        Tests of asymmetry.
    estimates : tuple of AdjustedEstimate
        Means adjusted for small-study effects or selection, each with assumptions of its own.
    counts : tuple of BiasResult
        Power, excess significance, p-curve and fail-safe N.
    refused : tuple of Refused
        Methods that gave no result, and why.

    The table of `to_frame()` has the columns kind, method, statistic, distribution, df, pvalue, estimate, se,
    low, high and tau2; ratios beside logarithms.
    """

    name: ClassVar[str] = "small-study effects and selection"
    unadjusted: FitResults
    tests: tuple[BiasTest, ...]
    estimates: tuple[AdjustedEstimate, ...]
    counts: tuple[BiasResult, ...]
    refused: tuple[Refused, ...]

    @property
    def enough(self) -> bool:
        """Whether there are enough studies for such methods to tell something."""
        return self.m >= FEW

    @property
    def sentence(self) -> str:
        """What was found, in plain words."""
        if not self.enough:
            studies = plural(self.m, "study", "studies")
            return (
                f"With {studies} it is not possible to tell whether small studies differ from large ones or "
                f"results were selected (at least {FEW} are needed); no finding below is evidence that they "
                "were not."
            )
        return " ".join([*self._of_asymmetry(), *self._of_estimates()])

    def _of_asymmetry(self) -> list[str]:
        test = next((test for test in self.tests if isinstance(test, RegressionTest)), None)
        if test is None or np.isnan(test.pvalue):
            return []
        if test.pvalue < SIGNIFICANT:
            return [f"Small studies differ from large ones ({test.name}, {p_value(test.pvalue)})."]
        if test.pvalue < SUGGESTIVE:
            return [f"Small studies may differ from large ones ({test.name}, {p_value(test.pvalue)})."]
        return [
            f"No difference between small and large studies was found ({test.name}, {p_value(test.pvalue)}), "
            "which does not show that there is none."
        ]

    def _of_estimates(self) -> list[str]:
        found = [one for one in self.estimates if np.isfinite(one.estimate)]
        if not found or self.unadjusted.design.x is not None:
            return []
        low, high = sorted((min(one.estimate for one in found), max(one.estimate for one in found)))
        middle, least, most = back_pooled(self.effects, [self.unadjusted.beta[0], low, high])
        null = self.measure.null
        bounded = [one for one in found if np.isfinite([one.low, one.high]).all()]
        words = (
            f"The mean is {number(float(middle), 3)} unadjusted and from {number(float(least), 3)} to "
            f"{number(float(most), 3)} in {plural(len(found), 'adjusted estimate')}"
        )
        if np.isnan(null) or not bounded:
            return [f"{words}."]
        reach = sum(one.low <= null <= one.high for one in bounded)
        return [f"{words}; {reach} of {len(bounded)} of their intervals include no effect."]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per method; see the class."""
        import pandas as pd

        rows = [self._first_row()]
        for kind, results in (("test", self.tests), ("estimate", self.estimates), ("count", self.counts)):
            rows += [{"kind": kind, "method": one.name, **_numbers(one)} for one in results]
        columns = ["kind", "method", *NUMBERS]
        frame = pd.DataFrame(rows).reindex(columns=columns)
        return with_ratios(frame) if self.measure.display_log else frame

    def _first_row(self) -> dict[str, Any]:
        row: dict[str, Any] = {"kind": "unadjusted", "method": _model_words(self.unadjusted)}
        if self.unadjusted.design.x is not None:
            return row
        pooled = self.unadjusted.pooled()
        pvalue = float(self.unadjusted.wald_pvalues[0])
        return row | {
            "pvalue": pvalue,
            "estimate": pooled.estimate,
            "se": float(self.unadjusted.se[0]),
            "low": pooled.low,
            "high": pooled.high,
            "tau2": self.unadjusted.tau2,
        }

    def reader_tables(self) -> list[ReaderTable]:
        """Return a table of tests, one of estimates as the measure is shown, and what else was counted."""
        tables = []
        frame = self.to_frame()
        tests = frame[frame["kind"] == "test"]
        if len(tests):
            tables.append(
                cells_of(tests[["method", "statistic", "distribution", "df", "pvalue"]], "Asymmetry")
            )
        if self.estimates:
            tables.append(self._estimate_table())
        counts = [[one.name, one.sentence] for one in self.counts]
        if counts:
            tables.append(ReaderTable(counts, ["method", "found"], "Power, significance and counts"))
        if self.refused:
            tables.append(
                ReaderTable(
                    [[one.method, one.reason] for one in self.refused], ["method", "why"], "Not possible"
                )
            )
        return tables

    def _estimate_table(self) -> ReaderTable:
        first, rows = self._first_row(), []
        lines = [("unadjusted: " + first["method"], first)] if "estimate" in first else []
        lines += [(one.name, _numbers(one)) for one in self.estimates]
        for name, row in lines:
            middle, low, high = back_pooled(self.effects, [row["estimate"], row["low"], row["high"]])
            bounds = "" if np.isnan([low, high]).all() else interval(float(low), float(high), 3)
            rows.append([name, number(float(middle), 3), bounds, p_value(row["pvalue"])])
        interval_of = f"{level_words(self.unadjusted.level)} CI"
        return ReaderTable(rows, ["method", self.measure.display, interval_of, "p"], "Mean effect")

    def table_notes(self) -> list[str]:
        """Return the plain sentence, and how to read the tables."""
        return [
            self.sentence,
            "Asymmetry has other causes than selection (heterogeneity, poorer methods in small studies, "
            "chance), and each adjusted estimate rests on assumptions of its own: that they agree is "
            "reassuring, that one of them differs proves nothing.",
        ]


NUMBERS = ("statistic", "distribution", "df", "pvalue", "estimate", "se", "low", "high", "tau2")


def _numbers(one: BiasResult) -> dict[str, Any]:
    """Return the numbers of a result by the names of the columns."""
    found: dict[str, Any] = {}
    if isinstance(one, BiasTest):
        test = one.test
        found = {"statistic": test.statistic, "distribution": test.distribution, "pvalue": test.pvalue}
        found["df"] = test.df[-1] if test.df else np.nan
    elif isinstance(one, AdjustedEstimate):
        found = {name: getattr(one, name) for name in ("pvalue", "estimate", "se", "low", "high", "tau2")}
    return found


def _model_words(fit: FitResults) -> str:
    """Return what was fitted, in a few words."""
    return f"{type(fit).__name__.removesuffix('Results')} ({fit.method})"


def report(results: object, *, level: float | None = None) -> BiasReport:
    """Return what all methods for small-study effects and selection say, side by side.

    Use it as the first look, and in a supplement. It runs the tests of asymmetry, the adjusted estimates and
    the counts of significant results with their defaults, and says in a sentence what they come to and where
    there are too few studies to tell. A method that cannot be used stands in the last table with the reason.
    Copas' sensitivity analysis and the selection model assume independent effects; where studies have several
    effects, the regression tests and PET-PEESE use cluster-robust variances, and the other methods carry a
    caution.

    Parameters
    ----------
    results : FitResults or EffectSizes
        A fit of any model, or bare effects. With moderators only the regression test is possible.
    level : float, optional
        Level of the intervals; default that of the fit, or 0.95.

    Returns
    -------
    BiasReport
        Tests, adjusted estimates, counts, and what was not possible.

    Raises
    ------
    InputError
        If `results` is no fit of effects and no effects, or a sampling variance is zero.
    TooFewStudiesError
        If there are fewer than three effects.

    References
    ----------
    Sterne, J. A. C., et al. (2011). Recommendations for examining and interpreting funnel plot asymmetry in
    meta-analyses of randomised controlled trials. BMJ 343, d4002. https://doi.org/10.1136/bmj.d4002
    Carter, E. C., et al. (2019). Correcting for bias in psychology: a comparison of meta-analytic methods.
    Advances in Methods and Practices in Psychological Science 2, 115-144.
    https://doi.org/10.1177/2515245919847196

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.9, 0.7, 0.75, 0.4, 0.35, 0.2], se=[0.4, 0.35, 0.3, 0.2, 0.15, 0.1])
    >>> mx.bias.report(es).enough
    False
    """
    est = estimates_of(results, "report", least=3, moderators=True, level=level)
    fit = est.fit if est.fit is not None else est.refit()
    refused: list[Refused] = []

    def run(kind: str, *given: Any, only: slice = slice(None)) -> list[Any]:
        found = []
        for name in METHODS[kind][only]:
            try:
                found.append(getattr(room, name)(results, *given))
            except MetaexoError as error:
                why = f"{error.given}; needed: {error.needed}"
                refused.append(Refused(kind, name.replace("_", " "), why))
        return found

    tests, estimates, counts = run("test", only=slice(1)), [], []
    if est.has_moderators:
        names = ", ".join(est.design.names)
        why = f"they need one mean; the fit has moderators ({names})"
        refused.append(Refused("estimate", "all other methods", why))
    else:
        tests += run("test", only=slice(1, None))
        code = est.effects.measure.code
        if code in OF_COUNTS and set(known_columns(est.effects)) >= COUNTED:
            tests += run("test of counts", OF_COUNTS[code])
        estimates, counts = run("estimate"), run("count")
    said = list(est.cautions())
    for one in (*tests, *estimates, *counts):
        said += [f"{one.name}: {text}" for text in one.cautions() if text not in est.cautions()]
    return BiasReport(
        effects=est.effects,
        said=tuple(said),
        unadjusted=fit,
        tests=tuple(tests),
        estimates=tuple(estimates),
        counts=tuple(counts),
        refused=tuple(refused),
    )
