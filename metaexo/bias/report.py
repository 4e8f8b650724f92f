"""All methods for small-study effects and selection side by side, with a plain sentence."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

import metaexo.bias as room
from metaexo.bias.asymmetry import PREDICTORS, TABLES, RankTest, RegressionTest, correlated, depends_on_effect
from metaexo.bias.estimates import EQUAL, FEW, RESTS_ON_ONE, SPREAD, Estimates, estimates_of, heaviest_study
from metaexo.bias.results import AdjustedEstimate, BiasResult, BiasTest
from metaexo.effects.conversions.scales import back_pooled, without_noise
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.sample_sizes import known_columns
from metaexo.errors import MetaexoError
from metaexo.formatting import interval, level_words, number, p_value, plural
from metaexo.models.linear.results import FitResults
from metaexo.readable import ReaderTable, cells_of, with_ratios
from metaexo.types import Array

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
# Their names in words, where those are others than of the functions; for methods that gave no result.
WORDS = {
    "counts_test": "test of counts",
    "copas_selection": "Copas selection model",
    "excess_significance": "test of excess significance",
    "fail_safe_n": "fail-safe N",
    "henmi_copas": "Henmi-Copas",
    "limit_meta_analysis": "limit meta-analysis",
    "p_curve": "p-curve",
    "p_uniform_star": "p-uniform*",
    "pet_peese": "PET-PEESE",
    "power": "power of single studies",
    "rank_test": "rank correlation test",
    "waap_wls": "WAAP-WLS",
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
    level : float
        Level of the intervals.

    The table of `to_frame()` has the columns kind, method, statistic, distribution, df, pvalue, estimate, se,
    low, high, tau2 and remark ("not to be used", "adjusted nothing", "no estimate", or empty); ratios beside
    logarithms. What is not to be used is in the tables and in no sum.
    """

    name: ClassVar[str] = "small-study effects and selection"
    unadjusted: FitResults
    tests: tuple[BiasTest, ...]
    estimates: tuple[AdjustedEstimate, ...]
    counts: tuple[BiasResult, ...]
    refused: tuple[Refused, ...]
    level: float

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
                f"results were selected (at least {FEW} are needed); no finding here is evidence that they "
                "were not."
            )
        return " ".join([*self._of_asymmetry(), *self._of_estimates()])

    def _of_asymmetry(self) -> list[str]:
        lacking = self._untested()
        if lacking:
            return [f"Whether small studies differ from large ones could not be tested: {lacking}."]
        test = next(test for test in self.tests if isinstance(test, RegressionTest))
        words = f"regression test on the {PREDICTORS[test.predictor][0]}, {p_value(test.pvalue)}"
        if test.pvalue < SIGNIFICANT:
            return [f"Small studies differ from large ones ({words})."]
        if test.pvalue < SUGGESTIVE:
            return [f"Small studies may differ from large ones ({words})."]
        against = self._against()
        if against:
            return [
                f"Tests of whether small studies differ from large ones disagree ({words}; "
                f"{'; '.join(against)})."
            ]
        return [
            f"No difference between small and large studies was found ({words}), which does not show that "
            "there is none."
        ]

    def _untested(self) -> str:
        """Return why asymmetry cannot be tested; empty if it can."""
        se = np.sqrt(self.effects.v)
        if np.ptp(se) <= EQUAL * se.max():
            return "all standard errors are equal"
        if se.max() < SPREAD * se.min():
            return "the standard errors hardly differ"
        test = next((test for test in self.tests if isinstance(test, RegressionTest)), None)
        if test is None:
            refused = (one.reason for one in self.refused if one.kind == "test")
            return next(refused, "there is no regression test").partition("; needed")[0]
        if not np.isnan(test.pvalue):
            return ""
        if without_noise(self.effects, np.ptp(self.effects.y)) == 0:
            return "the effects do not vary"
        return f"the effects do not vary about a line in the {PREDICTORS[test.predictor][0]}"

    def _against(self) -> list[str]:
        """Return other tests that do find a difference, in words."""
        inflated = depends_on_effect(self.measure)
        tests = [
            (one.name, one.pvalue)
            for one in self.tests
            if not isinstance(one, RegressionTest) and not (inflated and isinstance(one, RankTest))
        ]
        tests += [
            (f"{one.name}, which does not allow for heterogeneity", one.q_small_study.pvalue)
            for one in self.estimates
            if isinstance(one, room.LimitMetaAnalysis) and one.usable and not inflated
        ]
        return [f"{name}, {p_value(pvalue)}" for name, pvalue in tests if pvalue < SIGNIFICANT]

    def _of_estimates(self) -> list[str]:
        if self.unadjusted.design.x is not None:
            return []
        known = [one for one in self.estimates if np.isfinite(one.estimate)]
        usable = [one for one in known if one.usable]
        adjusted = [one for one in usable if one.is_adjusted]
        words = f"The mean is {number(_as_shown(self.effects, self.unadjusted.beta[:1])[0], 3)} unadjusted"
        if adjusted:
            ends = [adjusted[0].estimate, *(one.estimate for one in adjusted)]
            low, high = _as_shown(self.effects, [min(ends), max(ends)])
            least, most = number(low, 3), number(high, 3)
            reach = f"{least}" if least == most else f"from {least} to {most}"
            words += (
                f" and {reach} in {plural(len(adjusted), 'adjusted estimate')}{self._including(adjusted)}"
            )
        said = [f"{words}."]
        if len(adjusted) < len(usable):
            said.append(f"{len(usable) - len(adjusted)} of {plural(len(usable), 'method')} adjusted nothing.")
        if len(usable) < len(known):
            names = ", ".join(one.name for one in known if not one.usable)
            said.append(f"Not to be used, and left out here: {names} (see the cautions).")
        return said

    def _including(self, adjusted: Sequence[AdjustedEstimate]) -> str:
        """Return how many intervals of adjusted estimates include no effect, in words."""
        null = self.measure.null
        bounded = [one for one in adjusted if one.low < one.high]
        if np.isnan(null) or not bounded:
            return ""
        reach = sum(one.low <= null <= one.high for one in bounded)
        if len(bounded) == 1:
            return f"; its interval {'includes' if reach else 'excludes'} no effect"
        verb = "includes" if reach == 1 else "include"
        return f"; {reach} of {len(bounded)} of their intervals {verb} no effect"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per method; see the class."""
        import pandas as pd

        rows = [self._first_row()]
        for kind, results in (("test", self.tests), ("estimate", self.estimates), ("count", self.counts)):
            rows += [{"kind": kind, "method": one.name, **_numbers(one)} for one in results]
        columns = ["kind", "method", *NUMBERS, "remark"]
        frame = pd.DataFrame([{"remark": ""} | row for row in rows]).reindex(columns=columns)
        return with_ratios(frame, "remark") if self.measure.display_log else frame

    def _first_row(self) -> dict[str, Any]:
        row: dict[str, Any] = {"kind": "unadjusted", "method": _model_words(self.unadjusted)}
        if self.unadjusted.design.x is not None:
            return row
        pooled = self.unadjusted.pooled(self.level)
        pvalue = pvalue_of_mean(self.unadjusted)
        return row | {
            "pvalue": pvalue,
            "estimate": pooled.estimate,
            "se": float(self.unadjusted.se[0]),
            "low": pooled.low,
            "high": pooled.high,
            "tau2": self.unadjusted.tau2,
        }

    def reader_tables(self) -> list[ReaderTable]:
        """Return a table of tests, and one of estimates as the measure is shown."""
        tables = []
        frame = self.to_frame()
        tests = frame[frame["kind"] == "test"]
        if len(tests):
            tables.append(
                cells_of(tests[["method", "statistic", "distribution", "df", "pvalue"]], "Asymmetry")
            )
        if "estimate" in self._first_row():
            tables.append(self._estimate_table())
        return tables

    def _estimate_table(self) -> ReaderTable:
        first, rows = self._first_row(), []
        lines = [("unadjusted: " + first["method"], first)]
        lines += [(one.name, _numbers(one)) for one in self.estimates]
        for name, row in lines:
            middle, low, high = _as_shown(self.effects, [row["estimate"], row["low"], row["high"]])
            bounds = "" if np.isnan([low, high]).all() else interval(low, high, 3)
            rows.append([name, number(middle, 3), bounds, p_value(row["pvalue"]), row.get("remark", "")])
        header = ["method", self.measure.display, f"{level_words(self.level)} CI", "p", "remark"]
        if not any(row[-1] for row in rows):
            rows, header = [row[:-1] for row in rows], header[:-1]
        return ReaderTable(rows, header, "Mean effect")

    def table_notes(self) -> list[str]:
        """Return the plain sentence, how to read the tables, what was counted, and what was not possible."""
        named = [
            one.sentence
            if one.sentence.lower().startswith(one.name.lower())
            else f"{one.name}: {one.sentence}"
            for one in self.counts
        ]
        return [
            self.sentence,
            "Asymmetry has other causes than selection (heterogeneity, poorer methods in small studies, "
            "chance), and each adjusted estimate rests on assumptions of its own: that they agree is "
            "reassuring, that one of them differs proves nothing.",
            *named,
            *(f"not possible: {one.method}: {one.reason}" for one in self.refused),
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
        found["remark"] = _remark(one)
    return found


def _remark(one: AdjustedEstimate) -> str:
    """Return what tells an estimate from the others."""
    if not np.isfinite(one.estimate):
        return "no estimate"
    if not one.usable:
        return "not to be used"
    return "" if one.is_adjusted else "adjusted nothing"


def _as_shown(effects: EffectSizes, values: Sequence[float] | Array) -> list[float]:
    """Return means as their measure is shown; what is 0 but for rounding is 0."""
    return [float(value) for value in back_pooled(effects, without_noise(effects, values))]


def pvalue_of_mean(fit: FitResults) -> float:
    """Return the p-value of no effect of a fit without moderators; NaN where there is no such value."""
    return np.nan if np.isnan(fit.effects.measure.null) else float(fit.wald_pvalues[0])


def _model_words(fit: FitResults) -> str:
    """Return what was fitted, in a few words."""
    return f"{type(fit).__name__.removesuffix('Results')} ({fit.method})"


def report(results: object, *, level: float | None = None) -> BiasReport:
    """Return what all methods for small-study effects and selection say, side by side.

    Use it as the first look, and in a supplement. It runs the tests of asymmetry, the adjusted estimates and
    the counts of significant results with their defaults, and says in a sentence what they come to and where
    there are too few studies to tell. A method that cannot be used stands below the tables with the reason;
    an estimate that the data do not determine is marked and left out of what the sentence sums up. Where
    studies have several effects, the regression test, PET-PEESE, WAAP-WLS and the worst case use
    cluster-robust variances, and the other methods carry a caution.

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
            method = getattr(room, name)
            of_level = {"level": est.level} if "level" in inspect.signature(method).parameters else {}
            try:
                found.append(method(fit, *given, **of_level))
            except MetaexoError as error:
                why = f"{error.given}; needed: {error.needed}"
                refused.append(Refused(kind, WORDS.get(name, name.replace("_", " ")), why))
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
    return BiasReport(
        effects=est.effects,
        said=tuple(_cautions(est, tests, estimates, counts)),
        unadjusted=fit,
        tests=tuple(tests),
        estimates=tuple(estimates),
        counts=tuple(counts),
        refused=tuple(refused),
        level=est.level,
    )


def _cautions(
    est: Estimates,
    tests: Sequence[BiasTest],
    estimates: Sequence[AdjustedEstimate],
    counts: Sequence[BiasResult],
) -> list[str]:
    """Return what to know before relying on the report: of all methods, then each once with its methods."""
    common = est.cautions(independent=False)
    deciding = deciding_study(est.effects, estimates) if estimates else []
    said = [*(text for text in common if not (deciding and text.endswith(RESTS_ON_ONE))), *deciding]
    for of, text in cautions_by_method((*tests, *estimates, *counts)):
        if text not in common:
            said.append(f"{of}: {text}" if of else text)
    return said


def cautions_by_method(
    results: Sequence[BiasResult], both_regressions: bool = False
) -> list[tuple[str, str]]:
    """Return the cautions of methods, each once with the names of those that it is of; "" for all of several.

    Those of estimates that are not to be used come first, and last, without names before it, what is said of
    all whose asymmetry comes with the measure.
    `both_regressions`: whether PET and PEESE are shown, and not the one alone that was chosen.
    """
    named: dict[str, list[str]] = {}
    inflated: list[BiasResult] = []
    counted = any(isinstance(one, room.CountsTest) for one in results)
    for one in sorted(results, key=lambda one: not _is_unusable(one)):
        for text in one.cautions():
            if text.startswith(correlated(one.measure)):
                inflated.append(one)
            elif not _needless(one, text, counted, both_regressions):
                named.setdefault(text, []).append(one.name)
    found = [(_of(names, results), text) for text, names in named.items()]
    if inflated:
        found.append(("", _correlation(correlated(inflated[0].measure), inflated)))
    return found


def _of(names: Sequence[str], results: Sequence[BiasResult]) -> str:
    """Return which of the methods a caution is of, in words: those, or all but the others."""
    others = [one.name for one in results if one.name not in names]
    if not others and len(results) > 1:
        return ""
    if len(results) > 3 and 2 * len(others) < len(results):
        return f"all but {', '.join(others)}"
    return ", ".join(names)


def _is_unusable(one: BiasResult) -> bool:
    """Say whether there is an estimate, and one that is not to be used."""
    return isinstance(one, AdjustedEstimate) and not one.usable and bool(np.isfinite(one.estimate))


def _needless(one: BiasResult, text: str, counted: bool, both_regressions: bool) -> bool:
    """Say whether a caution has no place in a report: what it is of, or advises, is not shown, or is."""
    if isinstance(one, room.PetPeese) and not both_regressions:
        other = "PEESE" if one.chosen == "PET" else "PET"
        return text.startswith(f"{other} rests on")
    return counted and text == TABLES


def _correlation(words: str, inflated: Iterable[BiasResult]) -> str:
    """Return the one caution of all methods that take effects for asymmetric by construction."""
    tests, estimates, sizes = list[str](), list[str](), False
    for one in inflated:
        (tests if isinstance(one, BiasTest) else estimates).append(one.name)
        sizes |= isinstance(one, RegressionTest) and one.predictor == "se"
    found = [f"asymmetry is found too often ({', '.join(tests)})"] if tests else []
    found += [f"means are adjusted ({', '.join(estimates)})"] if estimates else []
    remedy = (
        "; with columns treatment_n and control_n, or n, in data= sizes are taken instead" if sizes else ""
    )
    return f"{words}: even without bias {' and '.join(found)}{remedy}"


def deciding_study(es: EffectSizes, estimates: Sequence[AdjustedEstimate]) -> list[str]:
    """Return which study has most of the weight by precision, if there is one, and what rests on it."""
    heaviest = heaviest_study(es)
    if not heaviest:
        return []
    by_precision = (room.HenmiCopasEstimate, room.PetPeese, room.Waap)  # weights 1 / v, whatever tau2 is
    resting = [one.name for one in estimates if isinstance(one, by_precision)]
    rest = f"{', '.join(resting)} rest on it, and others may" if resting else "estimates may rest on it"
    return [f"{heaviest}: {rest}"]
