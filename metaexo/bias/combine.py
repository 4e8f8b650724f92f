"""Combining p-values: evidence against no effect where studies report nothing better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metaexo.bias.estimates import Alternative, estimates_of
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, NotIdentifiableError, PValueError, ShapeError, TooFewStudiesError
from metaexo.formatting import p_value, plural
from metaexo.inputs import check_choice, check_number, read_numbers, whole_number
from metaexo.models.linear.results import FitResults
from metaexo.numeric.distributions import Path, integrate
from metaexo.numeric.tails import chi2_tail, t_of_tail, upper_tail
from metaexo.readable import Readable
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

# Up to so many p-values the recurrence for the distribution of their sum is used, beyond it an integral.
RECURRENCE = 500
# Constant of the limit of the mean of 1 / p, whose location is log k + 1 + psi(1) - log(2 / pi).
LANDAU = 1.0 - np.euler_gamma - math.log(2 / math.pi)


class Evidence(NamedTuple):
    """One-sided p-values, and what goes with some of the methods."""

    p: Array  # (k,): p-values
    q: Array  # (k,): one minus them, to full precision
    z: Array  # (k,): the normal quantiles, large where p is small
    weights: Array  # (k,): of "stouffer"
    df: Array  # (k,): of "inverse-t" and "inverse-chi-square"
    smallest: int  # which p-value in order of size, of "wilkinson"
    cut: float  # below which a p-value counts as a vote, of "vote"

    @property
    def k(self) -> int:
        """Number of p-values."""
        return int(self.p.size)


class Combined(NamedTuple):
    """What a method makes of p-values."""

    statistic: float
    distribution: str  # of the statistic if there is no effect, in words
    df: tuple[float, ...]
    pvalue: float


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CombinedPValues(Readable):
    """A combined p-value.

    Attributes
    ----------
    method : str
        The method, by the word with which it is asked for.
    k : int
        Number of p-values.
    statistic : float
        The test statistic.
    distribution : str
        Its distribution if there is no effect in any study: "chi2", "t", "z" or in words.
    df : tuple of float
        Degrees of freedom: one for chi2 and t, none otherwise.
    pvalue : float
        The combined p-value, one-sided.
    alternative : {"greater", "less"} or None
        Direction of the p-values, where they are those of effects; None for p-values that were handed in.
    pvalues : ndarray, shape (k,)
        The p-values that were combined.
    said : tuple of str
        What to know before relying on the result; `cautions()` returns it.
    """

    method: str
    k: int
    statistic: float
    distribution: str
    df: tuple[float, ...]
    pvalue: float
    alternative: Alternative | None
    pvalues: Array
    said: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the method, as the field writes it."""
        return METHODS[self.method].name

    @property
    def sentence(self) -> str:
        """What was found, in one plain sentence."""
        side = "" if self.alternative is None else f" of effects {self.alternative} than none"
        df = f"({self.df[0]:.4g})" if self.df else ""
        statistic = f"{self.distribution}{df} = {self.statistic:.4g}, " if len(self.distribution) < 5 else ""
        return (
            f"{self.name}: {plural(self.k, 'one-sided p-value')}{side}, combined {statistic}"
            f"{p_value(self.pvalue)}."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row: method, k, statistic, distribution, df, pvalue."""
        import pandas as pd

        row = {"method": self.name, "k": self.k, "statistic": self.statistic}
        row |= {"distribution": self.distribution, "df": self.df[0] if self.df else np.nan}
        return pd.DataFrame([row | {"pvalue": self.pvalue}])

    def table_notes(self) -> list[str]:
        """Return the sentence, which stands below the table."""
        return [self.sentence]

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the result; empty if there is nothing."""
        return self.said


def combine_pvalues(
    pvalues: object,
    method: str = "fisher",
    *,
    alternative: Alternative | None = None,
    weights: ArrayLike | None = None,
    df: ArrayLike | None = None,
    smallest: int | None = None,
    cut: float = 0.5,
) -> CombinedPValues:
    r"""Combine independent one-sided p-values into one.

    Use it where studies report p-values and no effects: a combined p-value says nothing of the size of an
    effect, and one study with an effect is enough for it to be small. The null hypothesis is that there is no
    effect in any study. All p-values have to be one-sided in the same direction: with two-sided ones, effects
    in opposite directions support each other. A p-value near 1 is then evidence of the opposite effect.

    ======================  ==================================================================================
    "fisher"                -2 sum log p; chi-square on 2k df. Most sensitive to the smallest p
    "pearson"               2 sum log(1 - p); the same for the other side. Most sensitive to the largest
    "stouffer"              sum w z over the root of sum w^2; normal. z are the normal quantiles
    "logit"                 minus the sum of logits, scaled; t on 5k + 4 degrees of freedom
    "inverse-chi-square"    sum of chi-square quantiles; chi-square on the sum of `df` (default 1 each)
    "inverse-t"             sum of t quantiles over its standard deviation; normal (`df` default 10 each)
    "mean-z"                t test of the mean of z, on k - 1 degrees of freedom
    "edgington"             sum of p, by the exact distribution of a sum of uniform variables
    "mean-p"                mean of p, by its normal approximation
    "tippett"               the smallest p
    "wilkinson"             the p-value that is the `smallest`-th in order of size
    "maximum"               the largest p: evidence of an effect in every study
    "simes"                 the least of k p / rank; holds for positively dependent p-values too
    "vote"                  sign test of how many are below `cut`, among those below it and above 1 - `cut`
    "cauchy"                mean of tan((0.5 - p) pi); nearly exact in the tail for dependent p-values too
    "harmonic-mean"         harmonic mean of p, by its limit for many p-values; for dependent ones too
    ======================  ==================================================================================

    Parameters
    ----------
    pvalues : array_like, shape (k,), or FitResults or EffectSizes
        One-sided p-values from 0 to 1; or a fit without moderators, or effects, of which one-sided p-values
        of no effect are made.
    method : str
        One of the words above.
    alternative : {"greater", "less"}, optional
        Direction of the p-values of effects. Default: "greater" for effects of which positive means benefit,
        else that of the fixed-effect mean, which makes the combined p-value too small; the result says so.
    weights : array_like, shape (k,), optional
        Weights of "stouffer", such as roots of sample sizes. Default: equal.
    df : array_like, shape (k,) or a single number, optional
        Degrees of freedom of "inverse-chi-square" (above 0) and "inverse-t" (above 2).
    smallest : int, optional
        Which p-value "wilkinson" takes: 1 is the smallest. Default: 1.
    cut : float
        Where a p-value counts as a vote for an effect in "vote"; at most 0.5.

    Returns
    -------
    CombinedPValues
        Statistic, distribution and combined p-value.

    Raises
    ------
    UnknownChoiceError
        If the method is not known.
    PValueError
        If some p-values are missing or outside 0 to 1.
    InputError
        If p-values of exactly 0 or 1 leave the statistic without a value, or an option does not go with the
        method.
    TooFewStudiesError
        If there are fewer than two.

    References
    ----------
    Becker, B. J. (1994). Combining significance levels. In H. Cooper and L. V. Hedges (eds), A handbook of
    research synthesis, 215-230. Russell Sage.
    Edgington, E. S. (1972). An additive method for combining probability values from independent experiments.
    Journal of Psychology 80, 351-363. https://doi.org/10.1080/00223980.1972.9924813
    Loughin, T. M. (2004). A systematic comparison of methods for combining p-values from independent tests.
    Computational Statistics & Data Analysis 47, 467-485. https://doi.org/10.1016/j.csda.2003.11.020
    Simes, R. J. (1986). An improved Bonferroni procedure for multiple tests of significance. Biometrika 73,
    751-754. https://doi.org/10.1093/biomet/73.3.751
    Liu, Y., Xie, J. (2020). Cauchy combination test. Journal of the American Statistical Association 115,
    393-402. https://doi.org/10.1080/01621459.2018.1554485
    Wilson, D. J. (2019). The harmonic mean p-value for combining dependent tests. Proceedings of the National
    Academy of Sciences 116, 1195-1200. https://doi.org/10.1073/pnas.1814092116

    Examples
    --------
    >>> import metaexo as mx
    >>> p = [0.04, 0.20, 0.03, 0.35]
    >>> print(mx.bias.combine_pvalues(p).sentence)
    Fisher: 4 one-sided p-values, combined chi2(8) = 18.77, p = 0.016.
    >>> round(mx.bias.combine_pvalues(p, "stouffer").pvalue, 4)
    0.0076
    """
    check_choice("method", method, tuple(METHODS))
    said: list[str] = []
    side: Alternative | None = None
    if isinstance(pvalues, FitResults | EffectSizes):
        p, q, z, side, said = _of_effects(pvalues, alternative)
    else:
        if alternative is not None:
            raise InputError(
                "alternative was given with p-values, whose direction is fixed",
                "a direction for a fit or effects only",
                "hand in p-values that are one-sided in that direction",
            )
        p = _read_pvalues(pvalues)
        q, z = 1.0 - p, -special.ndtri(p)
    if p.size < 2:
        raise TooFewStudiesError(f"combine_pvalues was given {plural(p.size, 'p-value')}", "at least two")
    options = _options(method, p.size, weights, df, smallest, cut)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = METHODS[method].combine(Evidence(p, q, z, *options))
    extreme = [f"row {i + 1}: {p[i]:g}" for i in np.flatnonzero((p == 0) | (q == 0))]
    if math.isnan(found.statistic):
        raise InputError(
            f"{METHODS[method].name} has no value: "
            + ("some p-values are exactly 0 or 1" if extreme else "the p-values do not vary"),
            "p-values between 0 and 1, not all the same" if not extreme else "p-values between 0 and 1",
            'use method="fisher", or look up p-values with more digits',
            extreme,
        )
    if extreme and found.pvalue in (0.0, 1.0):
        said.append(
            f"{plural(len(extreme), 'p-value is', 'p-values are')} exactly 0 or 1, as programs print very "
            "small and large ones: the combined p-value is so for that reason alone"
        )
    return CombinedPValues(
        method=method,
        k=int(p.size),
        statistic=float(found.statistic),
        distribution=found.distribution,
        df=tuple(map(float, found.df)),
        pvalue=min(1.0, max(0.0, float(found.pvalue))),
        alternative=side,
        pvalues=p,
        said=tuple(said),
    )


# -- what is handed in --------------------------------------------------------------------------------------


def _of_effects(
    results: object, alternative: Alternative | None
) -> tuple[Array, Array, Array, Alternative, list[str]]:
    """Return one-sided p-values of effects, one minus them, their z values, the direction, and cautions."""
    est = estimates_of(results, "combine_pvalues", least=1)
    if np.isnan(est.effects.measure.null):
        raise NotIdentifiableError(
            f"{est.effects.measure.display} has no value of no effect, so that effects have no p-values",
            "a measure of a difference or a ratio",
            "compute effects against a control group",
        )
    side = est.direction(alternative)
    z = (est.y - est.null) / est.se * (1.0 if side == "greater" else -1.0)
    said = []
    if est.clustered:
        said.append(
            f"{est.k} effects of {est.m} studies are taken as independent; the combined p-value is too small"
        )
    if alternative is None and not est.effects.oriented:
        said.append(
            f'the direction ("{side}") was chosen by the effects themselves: the combined p-value is too '
            "small, by a factor of up to 2; alternative= fixes it beforehand"
        )
    return special.ndtr(-z), special.ndtr(z), z, side, said


def _read_pvalues(pvalues: object) -> Array:
    p = read_numbers(pvalues, "pvalues", ndim=1)
    bad = [f"row {i + 1}: {p[i]:g}" for i in np.flatnonzero(~((p >= 0) & (p <= 1)))]
    if bad:
        raise PValueError(
            "some p-values are missing or outside 0 to 1",
            "probabilities from 0 to 1",
            "look these rows up in the source, or leave them out",
            bad,
        )
    return p


def _options(
    method: str, k: int, weights: ArrayLike | None, df: ArrayLike | None, smallest: int | None, cut: float
) -> tuple[Array, Array, int, float]:
    """Return weights, degrees of freedom, rank and cut; refuse those that do not go with the method."""
    for name, given, methods in (
        ("weights", weights, ("stouffer",)),
        ("df", df, ("inverse-chi-square", "inverse-t")),
        ("smallest", smallest, ("wilkinson",)),
    ):
        if given is not None and method not in methods:
            raise InputError(
                f'{name} was given with method="{method}"', f"{name} with {' or '.join(methods)} only"
            )
    made = np.ones(k) if weights is None else read_numbers(weights, "weights", ndim=1)
    if made.shape != (k,):
        raise ShapeError(
            f"weights has {plural(made.size, 'entry', 'entries')} for {k} p-values",
            "one weight for each p-value",
        )
    if not ((made >= 0) & np.isfinite(made)).all() or not made.any():
        raise InputError(
            "some weights are negative, missing or infinite, or all are 0", "weights of at least 0"
        )
    least = 2.0 if method == "inverse-t" else 0.0
    degrees = read_numbers((10.0 if method == "inverse-t" else 1.0) if df is None else df, "df")
    if degrees.shape not in ((), (1,), (k,)):
        raise ShapeError(
            f"df has shape {degrees.shape} for {k} p-values", "one number, or one for each p-value"
        )
    if not ((degrees > least) & np.isfinite(degrees)).all():
        raise InputError(f"some df are not above {least:g}", f"degrees of freedom above {least:g}")
    rank = 1 if smallest is None else whole_number(smallest, "smallest", 1)
    if rank > k:
        raise InputError(f"smallest is {rank} for {k} p-values", f"a rank from 1 to {k}")
    limit = check_number("cut", cut)
    if not 0 < limit <= 0.5:
        raise InputError(f"cut is {limit:g}", "a p-value above 0 and at most 0.5")
    return made, np.broadcast_to(degrees, (k,)), rank, limit


# -- the methods --------------------------------------------------------------------------------------------


def _fisher(x: Evidence) -> Combined:
    statistic = -2.0 * float(np.log(x.p).sum())
    return Combined(statistic, "chi2", (2 * x.k,), float(chi2_tail(statistic, 2 * x.k)))


def _pearson(x: Evidence) -> Combined:
    statistic = 2.0 * float(np.log(x.q).sum())
    return Combined(statistic, "minus chi2", (2 * x.k,), float(special.chdtr(2 * x.k, -statistic)))


def _stouffer(x: Evidence) -> Combined:
    used = x.weights > 0
    statistic = float(x.weights[used] @ x.z[used]) / float(np.linalg.norm(x.weights))
    return Combined(statistic, "z", (), float(upper_tail(statistic, None)))


def _logit(x: Evidence) -> Combined:
    k = x.k
    scale = math.sqrt(k * math.pi**2 * (5 * k + 2) / (3 * (5 * k + 4)))
    statistic = float((np.log(x.q) - np.log(x.p)).sum()) / scale
    return Combined(statistic, "t", (5 * k + 4,), float(upper_tail(statistic, 5 * k + 4)))


def _inverse_chi_square(x: Evidence) -> Combined:
    statistic = float(2 * special.gammainccinv(x.df / 2, x.p).sum())
    total = float(x.df.sum())
    return Combined(statistic, "chi2", (total,), float(chi2_tail(statistic, total)))


def _inverse_t(x: Evidence) -> Combined:
    # from whichever tail is smaller
    small = np.minimum(x.p, x.q)
    t = np.where(small > 0, t_of_tail(np.where(small > 0, small, 0.5), x.df), np.inf)
    t = np.where(x.p <= x.q, t, -t)
    statistic = float(t.sum()) / math.sqrt(float((x.df / (x.df - 2)).sum()))
    return Combined(statistic, "z", (), float(upper_tail(statistic, None)))


def _mean_z(x: Evidence) -> Combined:
    varies = float(np.ptp(x.z)) > 0
    statistic = float(x.z.mean() / x.z.std(ddof=1)) * math.sqrt(x.k) if varies else np.nan
    return Combined(statistic, "t", (x.k - 1,), float(upper_tail(statistic, x.k - 1)))


def _edgington(x: Evidence) -> Combined:
    statistic = math.fsum(x.p)
    return Combined(statistic, "sum of uniform variables", (), below_sum(statistic, x.k))


def _mean_p(x: Evidence) -> Combined:
    statistic = float((0.5 - math.fsum(x.p) / x.k) * math.sqrt(12 * x.k))
    return Combined(statistic, "z", (), float(upper_tail(statistic, None)))


def _ordered(x: Evidence, rank: int) -> Combined:
    """Return the test by the p-value of this rank, whose distribution is a beta distribution."""
    statistic = float(np.partition(x.p, rank - 1)[rank - 1])
    return Combined(statistic, "beta", (), float(special.betainc(rank, x.k - rank + 1, statistic)))


def _simes(x: Evidence) -> Combined:
    statistic = float((np.sort(x.p) * x.k / np.arange(1, x.k + 1)).min())
    return Combined(statistic, "uniform", (), statistic)


def _vote(x: Evidence) -> Combined:
    votes, against = int((x.p < x.cut).sum()), int((x.q < x.cut).sum())
    if votes == 0:
        return Combined(0.0, "binomial", (), 1.0)
    return Combined(float(votes), "binomial", (), float(special.betainc(votes, against + 1, 0.5)))


def _cauchy(x: Evidence) -> Combined:
    # tan((0.5 - p) pi) is 1 / tan(p pi); from whichever tail is smaller
    small = np.minimum(x.p, x.q)
    statistic = float((np.where(x.p <= x.q, 1.0, -1.0) / np.tan(np.pi * small)).mean())
    return Combined(statistic, "Cauchy", (), float(np.arctan2(1.0, statistic) / np.pi))


def _harmonic_mean(x: Evidence) -> Combined:
    from scipy.stats import landau

    statistic = x.k / float((1.0 / x.p).sum())
    tail = landau.sf(1.0 / statistic, loc=math.log(x.k) + LANDAU, scale=math.pi / 2) if statistic > 0 else 0.0
    return Combined(statistic, "Landau, of its inverse", (), float(tail))


class Method(NamedTuple):
    """A method: its name, and what it makes of p-values."""

    name: str
    combine: Callable[[Evidence], Combined]


METHODS: dict[str, Method] = {
    "fisher": Method("Fisher", _fisher),
    "pearson": Method("Pearson", _pearson),
    "stouffer": Method("Stouffer", _stouffer),
    "logit": Method("Logit method", _logit),
    "inverse-chi-square": Method("Inverse chi-square", _inverse_chi_square),
    "inverse-t": Method("Inverse t", _inverse_t),
    "mean-z": Method("Mean z", _mean_z),
    "edgington": Method("Edgington", _edgington),
    "mean-p": Method("Mean p", _mean_p),
    "tippett": Method("Tippett", lambda x: _ordered(x, 1)),
    "wilkinson": Method("Wilkinson", lambda x: _ordered(x, x.smallest)),
    "maximum": Method("Maximum p", lambda x: _ordered(x, x.k)),
    "simes": Method("Simes", _simes),
    "vote": Method("Vote counting", _vote),
    "cauchy": Method("Cauchy combination", _cauchy),
    "harmonic-mean": Method("Harmonic mean p", _harmonic_mean),
}


# -- the sum of uniform variables ---------------------------------------------------------------------------


def below_sum(x: float, k: int) -> float:
    """Return P(S <= x) of the sum S of k independent uniform variables, to full relative accuracy.

    The textbook formula is an alternating sum that loses all its digits for some twenty variables. The
    density f_n of a sum of n is a B-spline, with the recurrence

        (n - 1) f_n(t) = t f_{n-1}(t) + (n - t) f_{n-1}(t - 1),

    and P(S <= x) is the sum of f_{k+1}(x - j) over j = 0, 1, ...: all terms are positive. For many variables
    the transform (1 - exp(-s))^k / s^(k+1) is inverted along a line through its saddle point instead.
    """
    if x <= 0 or x >= k:
        return 0.0 if x <= 0 else 1.0
    if x > 0.5 * k:
        return 1.0 - below_sum(k - x, k)
    return _by_recurrence(x, k) if k <= RECURRENCE else _by_integral(x, k)


def _by_recurrence(x: float, k: int) -> float:
    whole = math.floor(x)
    t = (x - whole) + np.arange(whole + 1.0)
    density = np.zeros(whole + 1)
    density[0] = 1.0
    for n in range(2, k + 2):
        moved = (n - t) * np.concatenate([[0.0], density[:-1]])
        density = (t * density + np.where(t < n, moved, 0.0)) / (n - 1)
    return math.fsum(density)


def _by_integral(x: float, k: int) -> float:
    def transform(s: Any) -> Any:
        return (k * (np.log(-np.expm1(-s)) - np.log(s)))[None]

    def slope(s: float) -> float:
        """Return the derivative of s x + log of the transform over s, which rises in s."""
        return x + k / np.expm1(s) - (k + 1) / s if s < 700 else x - (k + 1) / s

    low = high = 1.0 / x
    while slope(high) < 0:
        high *= 2.0
    while slope(low) > 0:
        low *= 0.5
    for _ in range(100):
        s = math.sqrt(low * high)
        low, high = (s, high) if slope(s) < 0 else (low, s)
    second = (k + 1) / s**2 - (k / (4 * math.sinh(s / 2) ** 2) if s < 700 else 0.0)
    return float(integrate(transform, x, Path(s, 0.0, 1 / math.sqrt(second)))[0])
