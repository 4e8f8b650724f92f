r"""Test whether strata differ in heterogeneity itself.

The model with a between-study variance for each stratum is compared with that of one variance for all, both
with a mean a stratum, by their restricted likelihoods. It is the location-scale model with the strata on
both sides, :math:`\log\tau^2_i = \alpha_{s(i)}`. The chi-square distribution of the statistic asks for many
studies in every stratum, and for variances that are not zero; the parametric bootstrap asks for neither. It
draws effects from the smaller model and fits both models to each draw.

References
----------
Viechtbauer, W., Lopez-Lopez, J. A. (2022). Location-scale models for meta-analysis. Research Synthesis
Methods 13, 697-715. https://doi.org/10.1002/jrsm.1562
Davison, A. C., Hinkley, D. V. (1997). Bootstrap methods and their application. Cambridge University Press.
https://doi.org/10.1017/CBO9780511802843
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metaexo.errors import InputError, TooFewStudiesError
from metaexo.formatting import number, p_value, plural, printed
from metaexo.heterogeneity.strata import StratifiedResults
from metaexo.heterogeneity.strata_fits import check_strata
from metaexo.inputs import Immutable
from metaexo.models.hypothesis import TestResult, make_test
from metaexo.models.permutation import whole_number
from metaexo.numeric.likelihood import log_likelihood
from metaexo.numeric.likelihood_maximum import restricted_maximum_likelihood
from metaexo.numeric.problem import CHUNK_ELEMENTS, make_batch
from metaexo.types import Array

NULL = "all strata share one between-study variance"
SPREAD_TIE = 1e-9
# A scan for maxima looks at some thirty values of tau2 at once.
SCAN_POINTS = 32


@dataclass(frozen=True, eq=False)
class SpreadBetween(Immutable):
    """A test whether strata differ in their between-study variance.

    Attributes
    ----------
    names : tuple of str
        The strata that take part.
    tau2 : ndarray, shape (S,)
        The variance of each by itself (REML).
    common : float
        The variance that all share under the null hypothesis.
    test : TestResult
        Likelihood-ratio test with the chi-square distribution.
    pvalue : float
        p-value of the parametric bootstrap, (1 + count) / (1 + draws).
    draws : int
        Data sets drawn.
    note : str
        What makes the chi-square distribution a rough guide, in words; may be empty.
    """

    names: tuple[str, ...]
    tau2: Array
    common: float
    test: TestResult
    pvalue: float
    draws: int
    note: str

    @printed
    def __str__(self) -> str:
        each = ", ".join(f"{name} {number(t, 4)}" for name, t in zip(self.names, self.tau2, strict=True))
        lines = [
            f"tau2 by stratum: {each}; one for all: {number(self.common, 4)}",
            f"likelihood ratio {self.test}",
            f"parametric bootstrap of {self.draws} draws: {p_value(self.pvalue)}",
        ]
        return "\n".join(lines + ([self.note] if self.note else []))


def compare_spread(results: StratifiedResults, draws: int = 999, seed: int = 0) -> SpreadBetween:
    r"""Test whether strata differ in heterogeneity itself.

    Use it to ask whether effects of one source scatter more than those of another, whatever their means. The
    statistic is :math:`2 (\sum_s \max_t \ell_s(t) - \max_t \sum_s \ell_s(t))` with the restricted likelihoods
    of the strata, that of :class:`metaexo.LocationScale` with the strata as moderators of mean and scale.

    Parameters
    ----------
    results : StratifiedResults
        The strata; those without a fit take no part.
    draws : int
        Data sets of the parametric bootstrap.
    seed : int
        Its seed.

    Returns
    -------
    SpreadBetween
        The test by chi-square and by bootstrap.

    Raises
    ------
    TooFewStudiesError
        If fewer than two strata can be fitted, or no stratum has three effects.
    InputError
        If effects depend on each other, a sampling variance is zero, or there are no draws.

    References
    ----------
    Viechtbauer, W., Lopez-Lopez, J. A. (2022). https://doi.org/10.1002/jrsm.1562
    Davison, A. C., Hinkley, D. V. (1997). https://doi.org/10.1017/CBO9780511802843

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> from metaexo.heterogeneity import compare_spread
    >>> data = pd.DataFrame({"source": ["milk"] * 5 + ["plant"] * 5})
    >>> y = [0.3, 0.4, 0.2, 0.5, 0.3, -0.9, 1.3, 0.1, 1.9, -0.4]
    >>> found = compare_spread(mx.stratify(mx.EffectSizes(y, [0.01] * 10, data=data), by="source"))
    >>> found.tau2.round(3), found.pvalue
    (array([0.003, 1.36 ]), 0.002)
    """
    check_strata(results)
    draws, seed = whole_number(draws, "draws", 0), whole_number(seed, "seed", 0)
    strata = results.compared
    _check(results)
    if draws < 1:
        raise InputError("0 draws", "at least one, better 999 or more")
    ys, vs = [s.effects.y for s in strata], [s.effects.v for s in strata]
    statistic, tau2, common = _statistic([y[None] for y in ys], [v[None] for v in vs])
    observed = float(statistic[0])
    test = make_test(observed, "chi2", (len(strata) - 1,), NULL)
    drawn = _bootstrap(vs, float(common[0]), draws, np.random.default_rng(seed))
    count = int((drawn >= observed - SPREAD_TIE).sum())
    zero = [s.name for s, t in zip(strata, tau2[:, 0], strict=True) if t == 0]
    small = [f"{s.name} ({s.k})" for s in strata if s.k < 10]
    doubts = [f"tau2 is 0 in {', '.join(zero)}"] if zero else []
    doubts += [f"few effects in {', '.join(small)}"] if small else []
    return SpreadBetween(
        names=tuple(s.name for s in strata),
        tau2=tau2[:, 0],
        common=float(common[0]),
        test=test,
        pvalue=(1 + count) / (1 + draws),
        draws=draws,
        note=f"chi-square is a rough guide here: {'; '.join(doubts)}" if doubts else "",
    )


def _check(results: StratifiedResults) -> None:
    """Raise where the test cannot be made, with the reason in words."""
    strata = results.compared
    if len(strata) < 2 or max(s.k for s in strata) < 3:
        sizes = ", ".join(f"{s.name} {s.k}" for s in strata)
        raise TooFewStudiesError(
            f"{plural(len(strata), 'stratum', 'strata')} with two or more studies"
            + (f" ({sizes})" * bool(sizes)),
            "two strata of two or more studies, and three effects in one of them, to compare variances",
            "read the intervals of tau2, which say how little is known",
        )
    if results.clusters is not None:
        raise InputError(
            "several effects of one study are not independent, and this test takes them so",
            "one effect a study",
            "choose one with metaexo.effects.one_per_study, or fit mx.Multilevel with a variance a level",
        )
    zero = [name for s in strata for name, v in zip(s.effects.row_ids, s.effects.v, strict=True) if v == 0]
    if zero:
        raise InputError("some sampling variances are zero", "sampling variances above 0", rows=zero)


def _statistic(ys: Sequence[Array], vs: Sequence[Array]) -> tuple[Array, Array, Array]:
    """Return the statistics (B,), variances by stratum (S, B) and the common ones (B,) of B data sets.

    Each stratum is an array of shape (B, k_s).
    """
    batches = [make_batch(y, v) for y, v in zip(ys, vs, strict=True)]
    tau2 = np.array([restricted_maximum_likelihood(batch).tau2 for batch in batches])
    x = np.repeat(np.eye(len(ys)), [y.shape[1] for y in ys], axis=0)
    joint = make_batch(np.concatenate(ys, axis=1), np.concatenate(vs, axis=1), x)
    common = restricted_maximum_likelihood(joint).tau2
    gain = sum(
        log_likelihood(batch, t, True) - log_likelihood(batch, common, True)
        for batch, t in zip(batches, tau2, strict=True)
    )
    return np.maximum(2 * gain, 0.0), tau2, common


def _bootstrap(vs: Sequence[Array], tau2: float, draws: int, rng: np.random.Generator) -> Array:
    """Return the statistics of data sets drawn with one variance for all, shape (draws,).

    The means play no part: the statistic is the same whatever they are.
    """
    k = sum(len(v) for v in vs)
    rows = max(1, CHUNK_ELEMENTS // (k * SCAN_POINTS))
    parts = []
    for begin in range(0, draws, rows):
        size = min(rows, draws - begin)
        ys = [rng.standard_normal((size, len(v))) * np.sqrt(v + tau2) for v in vs]
        wide = [np.broadcast_to(v, y.shape) for v, y in zip(vs, ys, strict=True)]
        parts.append(_statistic(ys, wide)[0])
    return np.concatenate(parts)
