r"""Intervals for the amount of heterogeneity, one function per method in a registry.

The interval of Henmi and Copas is one of the pooled effect: publication bias is largest in small studies,
and random-effects weights give these much. So it keeps the inverse-variance estimate, whose bias is smaller,
and takes the between-study variance into its width.

With weights w = 1/v, :math:`W_1 = \sum w`, :math:`W_r = \sum w^r / W_1`, let
:math:`R = \sum w (y - \theta) / \sqrt{W_1}`, which is normal with variance :math:`1 + \tau^2 W_2`, and let
t be the DerSimonian-Laird estimate of :math:`\tau^2`, made from Cochran's Q. The interval rests on
:math:`U = R / \sqrt{1 + t W_2}`: its quantile u solves P(U > u) = (1 - level) / 2 at
:math:`\tau^2` equal to the estimate, where

.. math:: P(U > u) = \int_u^\infty P\left(Q < (k - 1) + (W_1 - W_2) \frac{r^2/u^2 - 1}{W_2} \mid R = r\right)
          f_R(r) \, dr

and Q given R is taken as a gamma variable with its exact mean and variance: given R the effects are normal,
and Q is a quadratic form in them.

References
----------
Henmi, M., Copas, J. B. (2010). Confidence intervals for random effects meta-analysis and robustness to
publication bias. Statistics in Medicine 29, 2969-2983. https://doi.org/10.1002/sim.4029
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import special

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.check import refuse_zero_variances
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, TooFewStudiesError
from metaexo.formatting import interval, level_words, number, percent, plural, printed
from metaexo.inputs import check_level
from metaexo.models.linear.choices import get_interval
from metaexo.models.univariate.fit import UnivariateFit
from metaexo.numeric.likelihood_maximum import profile_likelihood_interval
from metaexo.numeric.moment_estimators import dersimonian_laird, generalised_q_interval, q_profile
from metaexo.numeric.problem import make_batch
from metaexo.numeric.tails import chi2_quantiles, normal_quantile
from metaexo.readable import Readable, ReaderTable
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

EMPTY = "no tau2 fits these data at this level: the effects agree more than chance allows"
NO_SCALE = "the estimate is 0, where this scale has an infinite standard error: nothing is excluded"


class Interval(NamedTuple):
    """An estimate with its bounds."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class HeterogeneityInterval(Readable):
    """Bounds for tau2 and for what follows from it.

    Attributes
    ----------
    tau2, tau, i2, h2 : Interval
        Estimate, low and high; i2 is a fraction. The bounds of i2 and h2 are those of tau2, transformed with
        the typical sampling variance of the fit.
    method : str
        How the bounds of tau2 were found.
    level : float
        Confidence level.
    empty : bool
        True if no tau2 >= 0 fits the data at this level; both bounds are then 0.
    note : str
        What is special about the interval, in words.
    """

    tau2: Interval
    tau: Interval
    i2: Interval
    h2: Interval
    method: str
    level: float
    empty: bool
    note: str = ""

    def to_frame(self) -> pd.DataFrame:
        """Return one row per measure: estimate, low and high of tau2, tau, I2 (a fraction) and H2."""
        import pandas as pd

        parts = {"tau2": self.tau2, "tau": self.tau, "I2": self.i2, "H2": self.h2}
        rows = [part._asdict() for part in parts.values()]
        return pd.DataFrame(rows, index=pd.Index(list(parts), name="measure"))

    def reader_tables(self) -> list[ReaderTable]:
        """Return the measures with their intervals, numbers rounded."""
        rows = [
            [name, number(part.estimate, 4), interval(part.low, part.high, 4)]
            for name, part in (("tau2", self.tau2), ("tau", self.tau), ("H2", self.h2))
        ]
        low, high = percent(self.i2.low), percent(self.i2.high)
        rows.insert(2, ["I2", percent(self.i2.estimate), f"{low} to {high}"])
        return [ReaderTable(rows, ["measure", "estimate", f"{level_words(self.level)} interval"])]

    def table_notes(self) -> list[str]:
        """Return how the bounds were found, and what is special about them."""
        return [self.method, *([self.note] if self.note else [])]


class Bounds(NamedTuple):
    """Bounds for tau2."""

    low: float
    high: float
    note: str = ""


def heterogeneity_interval(fit: UnivariateFit, method: str, level: float) -> HeterogeneityInterval:
    """Return bounds for tau2, tau, I2 and H2; see `RandomEffectsResults.conf_int_heterogeneity`."""
    if fit.df_residual < 1:
        raise InputError("there are no residual degrees of freedom", "more effects than coefficients")
    if fit.has_zero_variance:
        raise InputError(
            "a sampling variance is zero, and intervals for heterogeneity divide by it",
            "sampling variances above 0",
            "look the rows up in the source",
        )
    method = get_interval(method, INTERVALS)
    low, high, note = INTERVALS[method](fit, level)
    found = heterogeneity_interval_of((fit.tau2, low, high), fit.typical_variance, method, level, note)
    i2, h2 = found.i2._replace(estimate=fit.i2), found.h2._replace(estimate=fit.h2)
    return replace(found, i2=i2, h2=h2)  # of equal effects these follow from Q, not from tau2


def heterogeneity_interval_of(
    tau2: tuple[float, float, float], typical_variance: float, method: str, level: float, note: str = ""
) -> HeterogeneityInterval:
    """Return the bounds of tau, I2 and H2 that follow from estimate and bounds of tau2."""
    values = np.array(tau2)
    h2 = values / typical_variance + 1
    return HeterogeneityInterval(
        tau2=Interval(*map(float, values)),
        tau=Interval(*map(float, np.sqrt(values))),
        i2=Interval(*map(float, 1 - 1 / h2)),
        h2=Interval(*map(float, h2)),
        method=method,
        level=level,
        empty=note == EMPTY,
        note=note,
    )


def _q_profile(fit: UnivariateFit, level: float) -> Bounds:
    """Return the Q-profile bounds (Viechtbauer 2007, https://doi.org/10.1002/sim.2514)."""
    small, large = chi2_quantiles(level, fit.batch.df)
    low, high = q_profile(fit.batch, small, large)
    return _test_bounds(float(low[0]), float(high[0]))


def _generalised_q(fit: UnivariateFit, level: float) -> Bounds:
    """Return the bounds of the generalised Q test (Jackson 2013, https://doi.org/10.1002/jrsm.1081)."""
    if fit.batch.weights is None:
        raise InputError(
            "this fit has no user-supplied weights",
            "a fit with weights, whose generalised Q is inverted",
            'use RandomEffects(effects, weights=...), or method="q-profile"',
        )
    low, high = generalised_q_interval(fit.batch, level)
    return _test_bounds(float(low[0]), float(high[0]))


def _test_bounds(low: float, high: float) -> Bounds:
    return Bounds(low, high, "" if high > 0 else EMPTY)


def _profile_likelihood(fit: UnivariateFit, level: float) -> Bounds:
    """Return the profile-likelihood bounds (Hardy and Thompson 1996)."""
    if fit.method not in ("ML", "REML"):
        raise InputError(
            f"tau2 was estimated by {fit.method}, which maximises no likelihood",
            "a fit by ML or REML",
            'fit with method="REML", or use method="q-profile"',
        )
    drop = 0.5 * normal_quantile(level) ** 2
    low, high = profile_likelihood_interval(fit.batch, fit.method == "REML", drop)
    return Bounds(float(low[0]), float(high[0]))


def _half_width(fit: UnivariateFit, level: float) -> float:
    """Return the normal quantile times the standard error of tau2."""
    if fit.tau2_se is None:
        raise InputError(
            f"tau2 of the method {fit.method} has no standard error",
            "an estimate with a standard error",
            'use method="q-profile"',
        )
    return normal_quantile(level) * fit.tau2_se


def _wald(fit: UnivariateFit, level: float) -> Bounds:
    """Return estimate plus and minus a multiple of its standard error, cut at 0."""
    half = _half_width(fit, level)
    return Bounds(max(0.0, fit.tau2 - half), fit.tau2 + half)


def _wald_log(fit: UnivariateFit, level: float) -> Bounds:
    """Return the Wald bounds on the scale of log tau2."""
    half = _half_width(fit, level)
    if fit.tau2 == 0:
        return Bounds(0.0, math.inf, NO_SCALE)
    ratio = half / fit.tau2
    return Bounds(fit.tau2 * math.exp(-ratio), fit.tau2 * math.exp(min(ratio, 700.0)))


def _wald_sqrt(fit: UnivariateFit, level: float) -> Bounds:
    """Return the Wald bounds on the scale of tau."""
    half = _half_width(fit, level)
    if fit.tau2 == 0:
        return Bounds(0.0, math.inf, NO_SCALE)
    tau = math.sqrt(fit.tau2)
    width = half / (2 * tau)
    return Bounds(max(0.0, tau - width) ** 2, (tau + width) ** 2)


def _higgins_thompson(fit: UnivariateFit, level: float) -> Bounds:
    """Return the test-based bounds of log H (Higgins and Thompson 2002, https://doi.org/10.1002/sim.1186)."""
    k = fit.df_residual + 1
    if fit.batch.p > 1 or k < 3:
        raise InputError(
            "the test-based interval is for three or more effects without moderators",
            "a fit of at least 3 effects without moderators",
            'use method="q-profile"',
        )
    if fit.cochran_q > k:
        se = (
            0.5
            * math.log(fit.cochran_q / fit.df_residual)
            / (math.sqrt(2 * fit.cochran_q) - math.sqrt(2 * k - 3))
        )
    else:
        se = math.sqrt((1 - 1 / (3 * (k - 2) ** 2)) / (2 * (k - 2)))
    half = 2 * normal_quantile(level) * se
    low, high = (max(1.0, fit.h2 * math.exp(sign * half)) for sign in (-1, 1))
    return Bounds(fit.typical_variance * (low - 1), fit.typical_variance * (high - 1))


INTERVALS: dict[str, Callable[[UnivariateFit, float], Bounds]] = {
    "q-profile": _q_profile,
    "generalised-q": _generalised_q,
    "profile-likelihood": _profile_likelihood,
    "wald": _wald,
    "wald-log": _wald_log,
    "wald-sqrt": _wald_sqrt,
    "higgins-thompson": _higgins_thompson,
}


NODES = 20
PANEL = 0.25  # width of a panel in log R
FAR = 12.0  # standard deviations beyond which a normal variable is not looked at
TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class HenmiCopas(Readable):
    """A fixed-effect estimate with an interval that allows for heterogeneity.

    Attributes
    ----------
    estimate : float
        Inverse-variance weighted mean.
    se : float
        Its standard error with the between-study variance taken in.
    low, high : float
        The interval.
    tau2 : float
        DerSimonian-Laird estimate of the between-study variance.
    quantile : float
        Factor on the standard error; it exceeds the normal one because tau2 is estimated.
    level : float
        Confidence level.
    """

    estimate: float
    se: float
    low: float
    high: float
    tau2: float
    quantile: float
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return one row: estimate, se, low, high, tau2, quantile, level."""
        import pandas as pd

        return pd.DataFrame([self.to_dict()])

    @printed
    def __str__(self) -> str:
        bounds = interval(self.low, self.high, 4)
        return (
            f"estimate {number(self.estimate, 4)}, {level_words(self.level)} interval {bounds} (Henmi-Copas)"
        )


def henmi_copas(effects: EffectSizes, level: float = 0.95) -> HenmiCopas:
    """Return the interval of Henmi and Copas for the pooled effect.

    Use it beside the random-effects interval where small studies may have been published selectively.

    Parameters
    ----------
    effects : EffectSizes
        At least two effects, all sampling variances above 0.
    level : float
        Confidence level.

    Returns
    -------
    HenmiCopas
        Estimate, standard error and interval.

    Raises
    ------
    TooFewStudiesError
        If there are fewer than two effects.
    InputError
        If a sampling variance is zero or the level is not a fraction.

    References
    ----------
    Henmi, M., Copas, J. B. (2010). https://doi.org/10.1002/sim.4029

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.02, 0.05, 0.03, 0.04])
    >>> print(mx.RandomEffects(es).fit().henmi_copas())
    estimate 0.3727, 95% interval -0.1496 to 0.8951 (Henmi-Copas)
    """
    check_effects(effects, "mx.models.henmi_copas")
    if effects.k < 2:
        raise TooFewStudiesError(
            f"henmi_copas was given {plural(effects.k, 'effect')}",
            "at least two effects",
            "with one effect, report it as it is",
        )
    refuse_zero_variances(effects.row_ids, effects.v)
    level = check_level(level)
    w = 1.0 / effects.v
    estimate = float(w @ effects.y / w.sum())
    tau2 = float(dersimonian_laird(make_batch(effects.y, effects.v)).tau2[0])
    se = float(np.sqrt((1.0 + tau2 * (w**2).sum() / w.sum()) / w.sum()))
    quantile = _quantile(w, tau2, level)
    return HenmiCopas(estimate, se, estimate - quantile * se, estimate + quantile * se, tau2, quantile, level)


def _quantile(w: Array, tau2: float, level: float) -> float:
    """Return the u with P(U > u) = (1 - level) / 2."""
    from scipy.optimize import brentq

    goal = (1 - level) / 2
    unit = w / w.mean()  # the answer does not depend on units: tau2 is taken in those of the typical variance
    spread = tau2 * float(w.mean())
    high = 1.0
    while _tail(unit, spread, high) > goal:
        high *= 2
    return float(brentq(lambda u: _tail(unit, spread, u) - goal, 1e-8, high, xtol=TOLERANCE, rtol=TOLERANCE))


def _tail(w: Array, tau2: float, u: float) -> float:
    """Return P(U > u), by Gauss-Legendre quadrature over log R, panel by panel, from u outwards."""
    total = float(w.sum())
    w2 = float((w**2).sum()) / total
    rest = float(w @ _others(w)) / total  # W_1 - W_2
    sd = float(np.sqrt(1.0 + tau2 * w2))
    reach = np.log(max(FAR * sd, 2 * u) / u)
    panels = int(np.ceil(reach / PANEL))
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    half = 0.5 * reach / panels
    r = u * np.exp((half * (nodes + 1) + 2 * half * np.arange(panels)[:, None]).ravel())
    mean, variance = _q_given_r(w, tau2, r)
    limit = (w.size - 1) + rest * (r**2 / u**2 - 1.0) / w2
    below = special.gammainc(mean**2 / variance, limit * mean / variance)
    density = np.exp(-0.5 * (r / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
    return float(half * (np.tile(weights, panels) * below * density * r).sum())


def _q_given_r(w: Array, tau2: float, r: Array) -> tuple[Array, Array]:
    """Return mean and variance of Q given R = r.

    With s_i = 1/w_i + tau2 the deviations d_i = y_i - theta are independent, and R = sum w_i d_i / sqrt(W_1)
    has variance V = 1 + tau2 W_2. Let p_i = w_i^2 s_i / (W_1 V), which add up to 1. Given R = r the
    deviations from the weighted mean, e_i = d_i - r / sqrt(W_1), have mean r m_i with
    m_i = tau2 (w_i - W_2) / (V sqrt(W_1)) and covariance S with S_ii = s_i (1 - p_i) and
    S_ij = -s_i s_j w_i w_j / (W_1 V). So for Q = e'De, D = diag(w), and a_i = w_i s_i, the mean is
    sum a_i (1 - p_i) + r^2 m'Dm and the variance 2 tr(DSDS) + 4 r^2 m'DSDm, where

        tr(DSDS) = sum a_i^2 (1 - p_i)^2 + sum over i != j of a_i p_i a_j p_j,
        m'DSDm = tau2^2 / V sum p_i (w_i - sum p_j w_j)^2.

    All are sums of what is not negative, so that no digits are lost where one study outweighs all others.
    """
    total = float(w.sum())
    first = float(w.max())
    w2 = float((w**2).sum()) / total
    v = 1.0 + tau2 * w2
    a = 1.0 + tau2 * w
    p = w * a / (total * v)
    apart = (w - first) + float(w @ (first - w)) / total  # w_i - W_2
    from_mean = (w - first) + float(p @ (first - w))  # w_i - sum p_j w_j
    once = (tau2 / v) ** 2 * float(w @ apart**2) / total
    twice = tau2**2 / v * float(p @ from_mean**2)
    mean = float(a @ _others(p)) + r**2 * once
    trace = float(((a * _others(p)) ** 2).sum()) + float((a * p) @ _others(a * p))
    return mean, 2 * trace + 4 * r**2 * twice


def _others(x: Array) -> Array:
    """Return the sum of all others for each of some positive numbers, without losing digits."""
    first = int(x.argmax())
    found = x.sum() - x
    found[first] = x[:first].sum() + x[first + 1 :].sum()
    return np.asarray(found)
