r"""The interval of Henmi and Copas: centred on the fixed-effect estimate, wide enough for heterogeneity.

Small studies are where publication bias sits, and random-effects weights give them much. This interval keeps
the inverse-variance estimate, whose bias is smaller, and takes the between-study variance into its width.

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

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, TooFewStudiesError
from metaexo.formatting import interval, level_words, number, printed
from metaexo.inputs import check_level
from metaexo.numeric.moment_estimators import dersimonian_laird
from metaexo.numeric.problem import make_batch
from metaexo.readable import Readable
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

NODES = 20
PANEL = 0.25  # width of a panel in log R
FAR = 12.0  # standard deviations beyond which a normal variable is not looked at
TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
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
    check_effects(effects, "henmi_copas")
    if effects.k < 2:
        raise TooFewStudiesError(f"there are {effects.k} effects", "at least two effects")
    if (effects.v == 0).any():
        zero = [effects.row_ids[i] for i in np.flatnonzero(effects.v == 0)]
        raise InputError("some sampling variances are zero", "sampling variances above 0", rows=zero)
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
    sd = float(np.sqrt(1.0 + tau2 * w2))
    reach = np.log(max(FAR * sd, 2 * u) / u)
    panels = int(np.ceil(reach / PANEL))
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    half = 0.5 * reach / panels
    r = u * np.exp((half * (nodes + 1) + 2 * half * np.arange(panels)[:, None]).ravel())
    mean, variance = _q_given_r(w, tau2, r)
    limit = (w.size - 1) + (total - w2) * (r**2 / u**2 - 1.0) / w2
    below = special.gammainc(mean**2 / variance, limit * mean / variance)
    density = np.exp(-0.5 * (r / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
    return float(half * (np.tile(weights, panels) * below * density * r).sum())


def _q_given_r(w: Array, tau2: float, r: Array) -> tuple[Array, Array]:
    """Return mean and variance of Q given R = r.

    With s_i = 1/w_i + tau2 and l_i = w_i / sqrt(W_1), R = sum l_i (y_i - theta) has variance V. Given R = r
    the deviations have mean r c with c_i = s_i l_i / V and covariance S = diag(s) - V c c', where S l = 0. So
    for Q = y'(D - l l')y, D = diag(w), the mean is tr(DS) + r^2 (c'Dc - 1) and the variance
    2 tr(DSDS) + 4 r^2 c'DSDc.
    """
    s = 1.0 / w + tau2
    loading = w / np.sqrt(w.sum())
    v = float(s @ loading**2)
    c = s * loading / v
    once = float(w @ c**2)  # c'Dc
    twice = float(s @ (w * c) ** 2)  # c'D diag(s) D c
    mean = float(w @ s) - v * once + r**2 * (once - 1.0)
    trace = float(((w * s) ** 2).sum()) - 2 * v * twice + (v * once) ** 2
    return mean, 2 * trace + 4 * r**2 * (twice - v * once**2)
