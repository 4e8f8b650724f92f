"""The likelihood-ratio test of two fits of which one holds the other as a special case."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects.bounded_effect_sizes import ENDS
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, NotNestedError
from metaexo.formatting import number, percent
from metaexo.models.linear.fit import LinearFit
from metaexo.models.linear.fit_statistics import FitStatistics, VarianceModel
from metaexo.models.linear.hypothesis import TestResult
from metaexo.numeric.tails import chi2_tail
from metaexo.numeric.weighted import refuse_own_weights
from metaexo.readable import Readable, ReaderTable
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

SAME_SPACE = 1e-8


@dataclass(frozen=True, eq=False, repr=False)
class LikelihoodRatioTest(Readable):
    """A likelihood-ratio test.

    Attributes
    ----------
    test : TestResult
        Twice the difference of the log-likelihoods, with its p-value.
    full, reduced : FitStatistics
        Likelihoods and information criteria of both fits.
    r2 : float or None
        Share of the reduced fit's tau2 that the full one explains, at least 0; None where either fit has
        several variances or none.
    boundary : bool
        Whether the reduced fit has tau2 = 0 on the boundary, so that the p-value is that of a mixture.
    """

    test: TestResult
    full: FitStatistics
    reduced: FitStatistics
    r2: float | None
    boundary: bool

    @property
    def statistic(self) -> float:
        """Twice the difference of the log-likelihoods."""
        return self.test.statistic

    @property
    def pvalue(self) -> float:
        """The p-value."""
        return self.test.pvalue

    @property
    def df(self) -> float:
        """Difference in the number of parameters."""
        return self.test.df[0]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per fit: parameters, llf, deviance, aic, bic, aicc."""
        import pandas as pd

        columns = ("parameters", "llf", "deviance", "aic", "bic", "aicc")
        rows = [{name: getattr(fit, name) for name in columns} for fit in (self.full, self.reduced)]
        return pd.DataFrame(rows, index=pd.Index(["full", "reduced"], name="fit"))

    def reader_tables(self) -> list[ReaderTable]:
        """Return both fits, numbers rounded."""
        rows = [
            [name, str(fit.parameters), *(number(x) for x in (fit.llf, fit.aic, fit.bic, fit.aicc))]
            for name, fit in (("full", self.full), ("reduced", self.reduced))
        ]
        return [ReaderTable(rows, ["fit", "parameters", "log-likelihood", "AIC", "BIC", "AICc"])]

    def table_notes(self) -> list[str]:
        """Return the test, and R2 where there is one."""
        return [str(self.test), *([f"R2 {percent(self.r2)}"] if self.r2 is not None else [])]

    def __repr__(self) -> str:
        return f"LikelihoodRatioTest({self.test})"


def likelihood_ratio_test(full: LinearFit, reduced: LinearFit) -> LikelihoodRatioTest:
    r"""Test the smaller of two models against the larger by their likelihoods.

    Use it for several moderators together, or for a between-study variance. The statistic is
    :math:`2(\ell_{full} - \ell_{reduced})`, chi-square with the difference in parameters as degrees of
    freedom. If the smaller model sets tau2 to zero, which is the edge of what it can be, the p-value is that
    of an equal mixture of chi-squares with one degree of freedom less and with all of them.

    Parameters
    ----------
    full, reduced : RandomEffectsResults, LocationScaleResults, CensoredResults, StratifiedResults,
        MultilevelResults, CountGLMMResults or BetaBinomialResults
        Fits of the same effects, or of the same counts by one model; both by "ML", or both by "REML" with the
        same moderators of the mean. An equal-effects fit may stand for tau2 = 0. Two multilevel fits are
        compared as by :meth:`metaexo.models.MultilevelResults.test_against`. A moderator of a beta-binomial
        model of two arms acts on the control arm too, and counts twice.

    Returns
    -------
    LikelihoodRatioTest
        The test, with the fit statistics of both.

    Raises
    ------
    NotNestedError
        If the fits do not belong to the same effects, or the smaller is no special case of the larger.
    InputError
        If the fits are not by likelihood, or by REML with different moderators of the mean.

    References
    ----------
    Self, S. G., Liang, K.-Y. (1987). Asymptotic properties of maximum likelihood estimators and likelihood
    ratio tests under nonstandard conditions. Journal of the American Statistical Association 82, 605-610.
    https://doi.org/10.1080/01621459.1987.10478472

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9, 0.7], [0.02, 0.05, 0.03, 0.04, 0.02])
    >>> full = mx.RandomEffects(es, [1.0, 3.0, 2.0, 5.0, 4.0]).fit(method="ML", test="z")
    >>> null = mx.RandomEffects(es).fit(method="ML", test="z")
    >>> test = mx.likelihood_ratio_test(full, null)
    >>> print(f"{test.statistic:.2f}, df {test.df:.0f}, p {test.pvalue:.3f}")
    8.65, df 1, p 0.003
    """
    _refuse_other_fits(full, reduced)
    if hasattr(full, "test_against"):
        return full.test_against(reduced)  # type: ignore[no-any-return]
    for fit in (full, reduced):
        refuse_own_weights(fit, "the likelihood-ratio test")
    a, b = full.variance_model(), reduced.variance_model()
    if a is None or b is None:
        fit = full if a is None else reduced
        strata = fit.has_likelihood and hasattr(fit, "strata")
        raise InputError(
            f"{type(fit).__name__} {'at smoothed tau2 maximise no' if strata else 'have no'} likelihood"
            f"{'' if strata or not fit.has_likelihood else ' that is maximised over models'}",
            "two fits by likelihood of the same effects",
            'stratify with tau2="separate" or "common"' if strata else "",
        )
    counted = [hasattr(fit, "counts") for fit in (full, reduced)]
    if any(counted):
        _one_model_of_counts(full, reduced)
    restricted = not any(counted) and _one_likelihood(full, reduced, [a.link, b.link])
    same_data(full, reduced)
    k = full.effects.k
    x, x0 = full.design.matrix(k), reduced.design.matrix(k)
    swapped = within(x, x0) and _variance_within(a, b) and _parameters(x0, b) > _parameters(x, a)
    if not within(x0, x):
        raise _not_nested("moderators of the mean", swapped)
    if restricted and x.shape[1] != x0.shape[1]:
        raise InputError(
            "the fits are by REML and have different moderators of the mean",
            "fits by ML, whose likelihoods can be compared",
            'fit both with method="ML"',
        )
    if not _variance_within(b, a):
        raise _not_nested("between-study variances", swapped)
    first, second = full.fit_statistics(restricted), reduced.fit_statistics(restricted)
    df = first.parameters - second.parameters
    if df <= 0:
        raise _not_nested("parameters", swapped)
    boundary = b.link == "none" and b.fixed == 0 and a.link != "none" and a.z.shape[1] == 1
    r2 = None
    if "none" not in (a.link, b.link) and a.z.shape[1] == b.z.shape[1] == 1:
        r2 = max(0.0, (reduced.tau2 - full.tau2) / reduced.tau2) if reduced.tau2 > 0 else 0.0
    test = _test(2 * (first.llf - second.llf), df, boundary)
    if a.link == "identity" and a.z.shape[1] > 1 and b.link == "none" and b.fixed == 0:
        test = replace(
            test, null=f"{test.null} (variances of 0 are on the boundary: the p-value is too large)"
        )
    return LikelihoodRatioTest(test, first, second, r2, boundary)


def _refuse_other_fits(full: object, reduced: object) -> None:
    """Raise if what was handed in is no pair of fits of one kind."""
    fits = (full, reduced)
    several = [hasattr(fit, "test_against") for fit in fits]
    if all(
        (a or hasattr(fit, "variance_model")) and getattr(fit, "robust_covariance", None) is None
        for fit, a in zip(fits, several, strict=True)
    ):
        if all(several) or not any(several):
            return
        raise NotNestedError(
            "one fit is multilevel and the other is not",
            "two fits of one kind",
            'fit the one-level model as Multilevel(es, "effect")',
        )
    kinds = [
        f"{'robust ' if getattr(fit, 'robust_covariance', None) else ''}{type(fit).__name__}" for fit in fits
    ]
    raise InputError(
        f"{' and '.join(kinds)} were given",
        "two fits by likelihood of the same effects: of RandomEffects, LocationScale, "
        "CensoredRandomEffects, stratify or Multilevel",
        "for robust results, test moderators with test_terms() or contrast()",
    )


def _test(statistic: float, df: int, boundary: bool) -> TestResult:
    value = max(statistic, 0.0)  # rounding may leave -1e-15 where both are equal
    p = float(chi2_tail(value, df))
    words = "the smaller model holds"
    if boundary:
        below = float(chi2_tail(value, df - 1)) if df > 1 else float(value <= 0)
        p = 0.5 * (p + below)
        words += " (tau2 = 0 is on the boundary: p-value of a mixture of chi-squares)"
    return TestResult(value, "chi2", (float(df),), p, words)


def _one_likelihood(full: LinearFit, reduced: LinearFit, links: list[str]) -> bool:
    """Return whether the restricted likelihood is to be used, or say why there is none to compare."""
    methods = {fit.method for fit, link in zip((full, reduced), links, strict=True) if link != "none"}
    if len(methods) != 1 or not methods <= {"ML", "REML"}:
        raise InputError(
            f"the fits are by {full.method} and {reduced.method}",
            'two fits by "ML", or two by "REML" with the same moderators of the mean',
            'fit both with method="ML"',
        )
    return methods == {"REML"}


def _one_model_of_counts(full: LinearFit, reduced: LinearFit) -> None:
    """Raise if two fits, of which one is of counts, are not of one model of counts."""
    chosen = ("model", "link", "coding", "points")
    kinds = [
        (type(fit).__name__, fit.measure.code, *(getattr(fit, name, None) for name in chosen))
        for fit in (full, reduced)
    ]
    if kinds[0] == kinds[1]:
        return
    shown = [f"{type(fit).__name__} ({fit.measure.code})" for fit in (full, reduced)]
    differing = [name for name, a, b in zip(chosen, kinds[0][2:], kinds[1][2:], strict=True) if a != b]
    more = f" with different {' and '.join(differing)}" if kinds[0][:2] == kinds[1][:2] else ""
    raise NotNestedError(
        f"the fits are {' and '.join(dict.fromkeys(shown))}{more}",
        "two fits of one model of counts, which differ in their moderators or in the heterogeneity",
        "fit the smaller one as the larger one, without the moderator that is to be tested",
    )


def same_effects(one: LinearFit, other: LinearFit) -> bool:
    """Say whether two fits are of the same effects and variances, the same bounds, or the same counts."""
    first, second = _ends(one), _ends(other)
    if len(first) != len(second):
        return False
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True))


def _ends(fit: LinearFit) -> list[Array]:
    """Return lower and upper ends of the effects in the likelihood of a fit, and variances; or the counts."""
    counts = getattr(fit, "counts", None)
    if counts is not None:
        return [counts.events, counts.totals]
    es = fit.effects
    ends = [es.y, es.y, es.v, es.v] if isinstance(es, EffectSizes) else [getattr(es, name) for name in ENDS]
    return [end[fit.rows_in_likelihood] for end in ends]


def same_data(full: LinearFit, reduced: LinearFit) -> None:
    """Raise if two fits are not of the same effects and variances."""
    if not same_effects(full, reduced):
        what = "counts" if hasattr(full, "counts") else "effects"
        raise NotNestedError(
            f"the fits are of different {what} (k = {full.k} and {reduced.k})",
            "two fits of the same rows",
            "rows with missing moderators must be left out of both",
        )


def within(small: Array, large: Array) -> bool:
    """Say whether every column of `small` is a combination of the columns of `large`."""
    size = np.linalg.norm(small, axis=0)
    basis = np.linalg.qr(large / np.linalg.norm(large, axis=0))[0]
    rest = small - basis @ (basis.T @ small)
    return bool((np.linalg.norm(rest, axis=0) <= SAME_SPACE * size).all())


def _variance_within(small: VarianceModel, large: VarianceModel) -> bool:
    """Say whether the variances of one fit are a special case of those of the other."""
    if large.link == "none":
        return small.link == "none" and small.fixed == large.fixed
    if small.link == "none":
        return True
    constant = small.z.shape[1] == 1 and bool(np.ptp(small.z) == 0)
    return (small.link == large.link or constant) and within(small.z, large.z)


def _parameters(x: Array, model: VarianceModel) -> int:
    return int(x.shape[1] + model.z.shape[1])


def _not_nested(what: str, swapped: bool) -> NotNestedError:
    aic = "compare their AIC with metaexo.compare"
    return NotNestedError(
        f"the {what} of the second fit are no special case of those of the first",
        "the larger model first, and a smaller one that it holds",
        f"exchange the two, or {aic}" if swapped else aic,
    )
