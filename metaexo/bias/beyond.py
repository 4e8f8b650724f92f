"""The proportion of true effects beyond a threshold, by a normal distribution or by calibrated effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metaexo.bias.estimates import Estimates, estimates_of
from metaexo.bias.results import BiasResult
from metaexo.effects.conversions.scales import back_pooled
from metaexo.errors import InputError
from metaexo.formatting import level_words, number, percent
from metaexo.inputs import check_choice, check_number, whole_number
from metaexo.models.univariate.batched import fit_many
from metaexo.models.univariate.model import RandomEffects
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.problem import CHUNK_ELEMENTS
from metaexo.numeric.tails import normal_quantile
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

NO_TAU2 = (
    "tau2 is 0: all true effects are estimated to be equal, and so all or none to be beyond the threshold"
)
MOST_DRAWS = 1_000_000
FEW_DRAWS = 200  # fewer leave the tails of the bootstrap to a handful of samples


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ProportionBeyond(BiasResult):
    """The estimated proportion of true effects beyond a threshold.

    Attributes
    ----------
    threshold : float
        The threshold, on the scale of the analysis.
    tail : {"above", "below"}
        Which side of it.
    method : {"calibrated", "parametric"}
        Share of the calibrated effects, or tail of a normal distribution.
    proportion, se, low, high : float
        The proportion, its standard error (delta method or bootstrap) and its interval; NaN where there is
        none.
    level : float
        Level of the interval.
    interval : {"delta", "BCa", "percentile", "none"}
        How the interval was made.
    mean, mean_se, tau2, tau2_se : float
        Mean and variance of the true effects, and their standard errors; NaN where they are not used.
    calibrated : ndarray, shape (k,)
        Calibrated effects: shrunken towards the mean so that their variance is tau2.
    draws, seed : int
        Bootstrap samples, and the seed of their random numbers; draws is 0 for the delta method.
    """

    threshold: float
    tail: Literal["above", "below"]
    method: Literal["calibrated", "parametric"]
    proportion: float
    se: float
    low: float
    high: float
    level: float
    interval: Literal["delta", "BCa", "percentile", "none"]
    mean: float
    mean_se: float
    tau2: float
    tau2_se: float
    calibrated: Array
    draws: int
    seed: int

    @property
    def name(self) -> str:  # type: ignore[override]
        """Name of the method."""
        return f"proportion {self.tail} a threshold ({self.method})"

    @property
    def sentence(self) -> str:
        """What was found, in one plain sentence."""
        limit = number(float(back_pooled(self.effects, self.threshold)), 3)
        bounds = (
            ""
            if np.isnan(self.low)
            else f" ({level_words(self.level)} CI {percent(self.low)} to {percent(self.high)})"
        )
        return (
            f"An estimated {percent(self.proportion)}{bounds} of true effects are {self.tail} {limit} "
            f"({self.method})."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row: method, k, threshold, proportion, se, low, high."""
        import pandas as pd

        row = {"method": self.name, "k": self.k}
        row |= {name: getattr(self, name) for name in ("threshold", "proportion", "se", "low", "high")}
        return pd.DataFrame([row])


def proportion_beyond(
    results: object,
    threshold: float,
    tail: Literal["above", "below"] = "above",
    method: Literal["calibrated", "parametric"] = "calibrated",
    *,
    interval: Literal["BCa", "percentile"] = "BCa",
    cluster: str | Sequence[object] | ArrayLike | None = "study",
    draws: int = 1000,
    seed: int = 0,
    level: float | None = None,
) -> ProportionBeyond:
    r"""Estimate which proportion of true effects is beyond a threshold.

    Use it beside the pooled effect under heterogeneity: a mean near zero may hide that many true effects are
    large, and a large mean that some are harmful. With the mean :math:`\mu` and the variance
    :math:`\tau^2` of the true effects, and the threshold q,

    - "calibrated": the share of the calibrated effects
      :math:`\mu + (y_i - \mu) \sqrt{\tau^2 / (\tau^2 + v_i)}` beyond q, whatever the distribution of the true
      effects; its interval is a bootstrap of whole studies. It needs about ten studies or more.
    - "parametric": :math:`\Phi((\mu - q) / \tau)` above q, for normal true effects; its standard error is by
      the delta method, with those of :math:`\mu` and :math:`\tau^2`, and its interval is cut at 0 and 1. Near
      0 and 1 it is a rough guide.

    Parameters
    ----------
    results : FitResults or EffectSizes
        A fit of any model without moderators, or effects. Mean and tau2 are those of a fit of
        :class:`metaexo.RandomEffects`; for anything else a random-effects model of one level is fitted by
        REML.
    threshold : float
        The threshold, on the scale of the analysis: the logarithm of a ratio.
    tail : {"above", "below"}
        Which side of it.
    method : {"calibrated", "parametric"}
        See above.
    interval : {"BCa", "percentile"}
        Bootstrap interval of "calibrated": bias-corrected and accelerated, or plain percentiles.
    cluster : str or sequence of length k, optional
        Column of the data, or a label for each effect: what the bootstrap draws. None: single effects.
    draws : int
        Bootstrap samples.
    seed : int
        Seed of the random numbers.
    level : float, optional
        Level of the interval; default that of the fit, or 0.95.

    Returns
    -------
    ProportionBeyond
        The proportion with its interval, and the calibrated effects.

    Raises
    ------
    UnknownChoiceError
        If `tail`, `method` or `interval` is not known.
    TooFewStudiesError
        If there are fewer than two effects.
    InputError
        If a value cannot be used.

    References
    ----------
    Mathur, M. B., VanderWeele, T. J. (2019). New metrics for meta-analyses of heterogeneous effects.
    Statistics in Medicine 38, 1336-1342. https://doi.org/10.1002/sim.8057
    Mathur, M. B., VanderWeele, T. J. (2020). Robust metrics and sensitivity analyses for meta-analyses of
    heterogeneous effects. Epidemiology 31, 356-358. https://doi.org/10.1097/EDE.0000000000001180
    Wang, C.-C., Lee, W.-C. (2019). A simple method to estimate prediction intervals and predictive
    distributions: summarizing meta-analyses beyond means and confidence intervals. Research Synthesis Methods
    10, 255-266. https://doi.org/10.1002/jrsm.1345
    Efron, B. (1987). Better bootstrap confidence intervals. Journal of the American Statistical Association
    82, 171-185. https://doi.org/10.1080/01621459.1987.10478410

    Examples
    --------
    >>> import metaexo as mx
    >>> y = [0.6, 0.1, -0.2, 0.9, 0.4, 0.7, -0.1, 0.3]
    >>> es = mx.EffectSizes(y, [0.02, 0.03, 0.04, 0.03, 0.02, 0.05, 0.02, 0.03])
    >>> print(mx.bias.proportion_beyond(es, 0.0, method="parametric").sentence)
    An estimated 84% (95% CI 59% to 100%) of true effects are above 0.000 (parametric).
    """
    check_choice("tail", tail, ("above", "below"))
    check_choice("method", method, ("calibrated", "parametric"))
    check_choice("interval", interval, ("BCa", "percentile"))
    limit = check_number("threshold", threshold)
    if not np.isfinite(limit):
        raise InputError(f"threshold is {limit:g}", "a finite number")
    samples = whole_number(draws, "draws", 2)
    if samples > MOST_DRAWS:
        raise InputError(f"draws is {draws!r:.20}", f"at most {MOST_DRAWS:,} samples")
    whole_number(seed, "seed", 0)
    est = estimates_of(results, "proportion_beyond", level=level)
    fit = est.fit if isinstance(est.fit, RandomEffectsResults) else est.refit()
    said = []
    if method == "calibrated" and (fit.tau2_given or fit.weighting is not None):
        fit = RandomEffects(est.effects, dependence="accept").fit(_method(est), "z", est.level)
        said.append(f"mean and tau2 are estimated by {fit.method} here, as in each sample of the bootstrap")
    mean, tau2 = fit.estimate, fit.tau2
    calibrated = mean + np.sqrt(tau2 / (tau2 + est.v)) * (est.y - mean)
    said += [NO_TAU2] if tau2 == 0 else []
    if method == "parametric":
        found = _parametric(fit, limit, tail, est.level)
        said = [*est.cautions(independent=fit.robust_covariance is None), *said]
    else:
        labels = est.cluster_of(cluster)
        share = float(_beyond(calibrated, limit, tail).mean())
        found, more = _bootstrap(est, share, limit, tail, labels, interval, samples, seed)
        few = f"{samples} bootstrap samples are too few for the ends of an interval"
        said = [*est.cautions(independent=cluster is None), *said, *more]
        said += [few] if samples < FEW_DRAWS else []
    return ProportionBeyond(
        effects=est.effects,
        said=tuple(said),
        threshold=limit,
        tail=tail,
        method=method,
        proportion=found.proportion,
        se=found.se,
        low=found.low,
        high=found.high,
        level=est.level,
        interval=found.interval,
        mean=mean,
        mean_se=float(fit.se[0]),
        tau2=tau2,
        tau2_se=np.nan if fit.tau2_se is None else float(fit.tau2_se),
        calibrated=calibrated,
        draws=0 if method == "parametric" else samples,
        seed=int(seed),
    )


class _Found(NamedTuple):
    proportion: float
    se: float
    low: float
    high: float
    interval: Literal["delta", "BCa", "percentile", "none"]


def _beyond(effects: Array, threshold: float | Array, tail: str) -> Array:
    return np.asarray(effects > threshold if tail == "above" else effects < threshold)


def _parametric(fit: RandomEffectsResults, threshold: float, tail: str, level: float) -> _Found:
    """Return the tail of a normal distribution with its delta-method interval."""
    tau, sign = np.sqrt(fit.tau2), 1.0 if tail == "above" else -1.0
    if tau == 0:
        return _Found(float(_beyond(np.array(fit.estimate), threshold, tail)), np.nan, np.nan, np.nan, "none")
    z = (fit.estimate - threshold) / tau
    proportion = float(special.ndtr(sign * z))
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    of_tau2 = np.nan if fit.tau2_se is None else fit.tau2_se
    # the derivatives by the mean and by tau2 are those of z: 1 / tau and -z / (2 tau2)
    se = float(density * np.hypot(fit.se[0] / tau, z * of_tau2 / (2 * fit.tau2)))
    if np.isnan(se):
        return _Found(proportion, np.nan, np.nan, np.nan, "none")
    half = normal_quantile(level) * se
    return _Found(proportion, se, max(0.0, proportion - half), min(1.0, proportion + half), "delta")


def _bootstrap(
    est: Estimates,
    proportion: float,
    threshold: float,
    tail: str,
    labels: Index,
    interval: Literal["BCa", "percentile"],
    draws: int,
    seed: int,
) -> tuple[_Found, list[str]]:
    """Return the share of calibrated effects with a bootstrap interval, and cautions."""
    m = int(labels.max()) + 1
    if m < 2:
        none = _Found(proportion, np.nan, np.nan, np.nan, "none")
        return none, ["all effects come from one study: there is no bootstrap interval"]
    rng, step = np.random.default_rng(seed), max(1, CHUNK_ELEMENTS // est.k)
    parts = []
    for begin in range(0, draws, step):
        times = rng.multinomial(m, np.full(m, 1.0 / m), size=min(step, draws - begin))
        parts.append(_shares(est, times[:, labels], threshold, tail))
    shares = np.concatenate(parts)
    tails = np.array([(1 - est.level) / 2, (1 + est.level) / 2])
    se = float(shares.std(ddof=1))
    if interval == "BCa":
        left_out = 1 - np.eye(m, dtype=int)[:, labels]
        corrected = None
        if (left_out.sum(axis=1) >= 2).all():
            corrected = _bca(proportion, shares, _shares(est, left_out, threshold, tail), tails)
        if corrected is not None:
            low, high = np.quantile(shares, corrected)
            return _Found(proportion, se, float(low), float(high), "BCa"), []
    low, high = np.quantile(shares, tails)
    said = [] if interval == "percentile" else ["the BCa interval does not exist here; percentiles are given"]
    return _Found(proportion, se, float(low), float(high), "percentile"), said


def _method(est: Estimates) -> str:
    """Return the estimator of tau2 of the bootstrap: that of the fit unless it needs weights."""
    return "REML" if get_estimator(est.method).needs_weights else est.method


def _shares(est: Estimates, counts: Index, threshold: float, tail: str) -> Array:
    """Return the share of calibrated effects beyond the threshold of each sample, shape (b,)."""
    shape = counts.shape
    fits = fit_many(
        np.broadcast_to(est.y, shape), np.broadcast_to(est.v, shape), counts, method=_method(est), test="z"
    )
    mean, tau2 = fits.estimate[:, None], fits.tau2[:, None]
    calibrated = mean + np.sqrt(tau2 / (tau2 + est.v)) * (est.y - mean)
    return np.asarray((counts * _beyond(calibrated, threshold, tail)).sum(axis=1) / counts.sum(axis=1))


def _bca(estimate: float, draws: Array, deleted: Array, tails: Array) -> Array | None:
    """Return the corrected tails of Efron's interval; None where all draws are on one side of the estimate.

    Draws that equal the estimate, of which a share of effects has many, count half on either side.
    """
    if not np.ptp(draws):
        return tails
    below = float((draws < estimate).mean() + 0.5 * (draws == estimate).mean())
    if not 0 < below < 1:
        return None
    shift = special.ndtri(below)
    deviations = deleted.mean() - deleted
    squares = float((deviations**2).sum())
    acceleration = float((deviations**3).sum()) / (6 * squares**1.5) if squares > 0 else 0.0
    moved = shift + special.ndtri(tails)
    return np.asarray(special.ndtr(shift + moved / (1 - acceleration * moved)))
