"""Bayesian limits of a risk or a rate, with priors that are stated, and what they say of the next study."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import special

from metaexo.effects.counts import EventCounts
from metaexo.errors import InputError, MissingInputError, NotIdentifiableError
from metaexo.formatting import level_words
from metaexo.inputs import check_choice, check_level, check_number, whole_number
from metaexo.numeric.risk_posterior import (
    ConjugatePosterior,
    GridPosterior,
    HeterogeneityDensity,
    RiskPosterior,
    grid_posterior,
)
from metaexo.safety.results import (
    SHORT,
    Arm,
    OneArmResult,
    Scale,
    check_heterogeneity,
    heterogeneity_words,
    kind_of,
    one_arm,
    risk_words,
    same_study_cautions,
)
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

Prior = Literal["jeffreys", "uniform", "haldane", "conjugate"]
HeterogeneityPrior = Literal["half-normal", "half-cauchy", "uniform"]
PRIORS = ("jeffreys", "uniform", "haldane", "conjugate")
HETEROGENEITY_PRIORS = ("half-normal", "half-cauchy", "uniform")
SHAPES = {"jeffreys": 0.5, "uniform": 1.0, "haldane": 0.0}
HALF_NORMAL_END = 8.5  # scales; beyond, a half-normal distribution holds 2e-17
LEAST_SHAPE = 0.05  # of a prior beside a heterogeneity: below, its mass near 0 cannot be summed


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class BayesianLimit(OneArmResult):
    """Result of :func:`bayesian_limit`.

    Attributes
    ----------
    value : float
        Upper limit: the risk (common, or mean over studies) is below it with probability `level`; for
        `sides` 2 the upper end of the central interval.
    low : float
        Lower end of the central interval; NaN for a one-sided limit.
    median, mean : float
        Posterior median and mean of that risk.
    new_study : float
        The risk of a new study is below it with probability `level`.
    sides : {1, 2}
        Whether all that is left out is above (1), or half of it at each end (2).
    prior : {"jeffreys", "uniform", "haldane", "conjugate"}
        Prior of the risk.
    shapes : tuple of float
        Parameters of the prior: of a beta distribution; of a gamma distribution its shape and person-time,
        where 0 is the limit of ever weaker priors.
    scale : {"icc", "cv"}
        What the heterogeneity is.
    heterogeneity : float
        Heterogeneity that was assumed, or its posterior median.
    heterogeneity_low, heterogeneity_high : float
        Its central posterior interval; NaN where it was assumed.
    heterogeneity_prior : {"half-normal", "half-cauchy", "uniform"} or None
        Its prior; None where it was assumed.
    prior_scale : float
        Scale of that prior.
    posterior : RiskPosterior
        The posterior distribution.
    """

    value: float
    low: float
    median: float
    mean: float
    new_study: float
    sides: int
    prior: Prior
    shapes: tuple[float, float]
    scale: Scale
    heterogeneity: float
    heterogeneity_low: float
    heterogeneity_high: float
    heterogeneity_prior: HeterogeneityPrior | None
    prior_scale: float
    posterior: RiskPosterior

    @property
    def is_common(self) -> bool:
        """Whether the risk is taken to be the same in all studies."""
        return self.heterogeneity == 0 and self.heterogeneity_prior is None

    @property
    def quantity(self) -> str:
        """What is limited: "common risk", "mean rate over studies"."""
        noun = "rate" if self.person_time else "risk"
        return f"common {noun}" if self.is_common else f"mean {noun} over studies"

    @property
    def prior_words(self) -> str:
        """The prior of the risk, in words."""
        a, b = self.shapes
        if not self.person_time:
            name = {"jeffreys": "Jeffreys, ", "uniform": "uniform, ", "haldane": "Haldane, "}.get(
                self.prior, ""
            )
            return f"{name}Beta({a:g}, {b:g})"
        if self.prior == "conjugate":
            return f"Gamma(shape {a:g}, person-time {b:g})"
        return {"jeffreys": "Jeffreys, rate^(-1/2)", "uniform": "uniform", "haldane": "Haldane, 1/rate"}[
            self.prior
        ]

    @property
    def method(self) -> str:
        """How the limit was found."""
        if self.is_common:
            return "conjugate posterior, in closed form"
        over = "mean and heterogeneity" if self.heterogeneity_prior else "mean"
        return f"posterior by quadrature over the {over} of beta-binomial counts".replace(
            "beta-binomial", "negative-binomial" if self.person_time else "beta-binomial"
        )

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the limit rests on, the priors first."""
        first = f"prior of the {self.quantity}: {self.prior_words}"
        if self.heterogeneity_prior is None:
            return (first, heterogeneity_words(kind_of(self.scale, self.person_time), self.heterogeneity))
        return (
            first,
            f"prior of the {SHORT[self.scale]}: {self.heterogeneity_prior} with scale {self.prior_scale:g}",
        )

    @property
    def sentence(self) -> str:
        """What is known of the risk."""
        top = risk_words(self.value, self.person_time)
        middle = risk_words(self.median, self.person_time)
        low = "" if np.isnan(self.low) else f"between {risk_words(self.low, self.person_time)} and "
        return (
            f"{self.seen}: the {self.quantity} is {low or 'below '}{top} with probability "
            f"{level_words(self.level)} (median {middle}; prior {self.prior_words}); that of a new study is "
            f"below {risk_words(self.new_study, self.person_time)} with that probability."
        )

    def probability_below(self, risk: float) -> float:
        """Return the probability that the risk (common, or mean over studies) is at most a value.

        Parameters
        ----------
        risk : float
            A risk, or a rate.
        """
        return self.posterior.below(check_number("risk", risk))

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the nodes of the posterior as plain values, for files such as JSON."""
        return {name: value for name, value in super().to_dict().items() if name != "posterior"}

    def to_frame(self) -> pd.DataFrame:
        """Return one row: what is limited, the limit, median and mean, and the heterogeneity."""
        import pandas as pd

        names = ("value", "low", "median", "mean", "new_study", "level", "sides")
        more = ("heterogeneity", "heterogeneity_low", "heterogeneity_high")
        row: dict[str, object] = {"quantity": self.quantity, "k": self.k, "events": self.events}
        row |= {"total": self.total, "prior": self.prior_words}
        return pd.DataFrame([row | {name: getattr(self, name) for name in (*names, *more)}])


def bayesian_limit(
    counts: EventCounts,
    prior: Prior = "jeffreys",
    *,
    arm: Arm | None = None,
    level: float = 0.95,
    sides: Literal[1, 2] = 1,
    prior_mean: float | None = None,
    prior_size: float | None = None,
    heterogeneity: float | None = None,
    heterogeneity_prior: HeterogeneityPrior | None = None,
    prior_scale: float | None = None,
) -> BayesianLimit:
    r"""Return a Bayesian upper limit of a risk, or a rate, with priors that are stated.

    Use it where prior knowledge is to count, or a probability for a risk is wanted. With no event the prior
    decides much: say which it was, and show a second one. "jeffreys" and "uniform" are the usual neutral
    ones; "conjugate" states a mean and how many people it is worth, which is neutral if these are few and
    optimistic if the mean is low and they are many. With no event Haldane's prior leaves all probability at a
    risk of 0, and is refused.

    For a common risk with prior Beta(a, b) the posterior is Beta(a + x, b + N - x); for a rate with prior
    Gamma(a, b) it is Gamma(a + x, b + T). Where study risks vary, with a stated heterogeneity or a prior of
    it, the counts are beta-binomial (negative binomial), the prior is that of the mean :math:`\mu`, and

    .. math:: p(\mu, h \mid x) \propto p(\mu) p(h) \prod_i P(x_i \mid n_i, \mu, h)

    is integrated by quadrature. The risk of a new study has the density of study risks, averaged over it.

    Parameters
    ----------
    counts : EventCounts
        Counts of one arm, or of two arms, with `arm`.
    prior : {"jeffreys", "uniform", "haldane", "conjugate"}
        Prior of the common risk, or of the mean: Beta(1/2, 1/2), Beta(1, 1), Beta(0, 0), or that of
        `prior_mean` and `prior_size`. For rates: rate^(-1/2), constant, 1 / rate, or a gamma distribution.
    arm : {"treatment", "control"}, optional
        Arm of counts of two arms.
    level : float
        Probability of the limit.
    sides : {1, 2}
        1 for an upper limit, 2 for the central interval.
    prior_mean : float, optional
        Mean of the conjugate prior.
    prior_size : float, optional
        Number of people, or person-time, that the conjugate prior is worth.
    heterogeneity : float, optional
        Stated intra-class correlation of study risks, or coefficient of variation of study rates. Default: 0,
        a common risk.
    heterogeneity_prior : {"half-normal", "half-cauchy", "uniform"}, optional
        Prior of the heterogeneity, in the place of a value; cut off where the scale ends.
    prior_scale : float, optional
        Scale of that prior; the upper end of a uniform one.

    Returns
    -------
    BayesianLimit
        Limit, median, mean, the limit of a new study, and the posterior of the heterogeneity.

    Raises
    ------
    NotIdentifiableError
        If the posterior is improper.
    InputError
        If a parameter of a prior is impossible, or given to a prior without it.
    MissingInputError
        If a prior lacks its parameters.

    See Also
    --------
    predict_count : The count of the next study.
    upper_limit : The limit without a prior.

    References
    ----------
    Brown, Cai & DasGupta (2001), Statistical Science 16, 101-133. https://doi.org/10.1214/ss/1009213286
    Tuyl, Gerlach & Mengersen (2008), The American Statistician 62, 40-44.
    https://doi.org/10.1198/000313008X267839

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(events=[0, 0, 0, 0], n=[12, 8, 30, 10])
    >>> found = mx.safety.bayesian_limit(counts)
    >>> round(found.value, 4), round(found.probability_below(0.01), 3)
    (0.0314, 0.729)
    >>> varied = mx.safety.bayesian_limit(counts, heterogeneity_prior="half-normal", prior_scale=0.1)
    >>> round(varied.value, 3), round(varied.new_study, 3)
    (0.052, 0.074)
    """
    rows = one_arm(counts, arm, "bayesian_limit")
    check_choice("prior", prior, PRIORS)
    check_level(level)
    if whole_number(sides, "sides", 1) > 2:
        raise InputError(f"sides is {sides!r}", "1 for an upper limit, 2 for an interval")
    a, b = _shapes(prior, prior_mean, prior_size, rows.person_time)
    kind = kind_of(None, rows.person_time)
    x, totals = rows.events[:, 0], rows.totals[:, 0]
    density = _heterogeneity_prior(heterogeneity_prior, prior_scale, kind.largest, heterogeneity is not None)
    h = 0.0 if heterogeneity is None else check_heterogeneity(heterogeneity, kind)
    if h >= 1 and not rows.person_time and bool(((x > 0) & (x < totals)).any()):
        raise InputError(
            "heterogeneity=1 was given for rows with some events",
            "below 1: at 1 either everyone in a study has an event or nobody has",
            "heterogeneity=0.5",
        )
    _refuse_improper(a, b, x, totals, rows.person_time)
    posterior: RiskPosterior
    if density is None and h == 0:
        rest = totals.sum() if rows.person_time else totals.sum() - x.sum()
        posterior = ConjugatePosterior(not rows.person_time, a + float(x.sum()), b + float(rest))
    else:
        _refuse_vague(a, b, prior, h, density is not None, rows)
        slope = a + float(x.any())
        log_prior = _log_prior(a, b, rows.person_time)
        posterior = grid_posterior(kind, x, totals, log_prior, slope, density or h)
    tail = (1 - level) / int(sides)
    middle = low_h = high_h = h if density is None else math.nan
    if density is None:
        low_h = high_h = math.nan
    elif isinstance(posterior, GridPosterior):
        ends = (0.5, (1 - level) / 2, (1 + level) / 2)
        middle, low_h, high_h = (posterior.heterogeneity_quantile(q) for q in ends)
    return BayesianLimit(
        counts=rows,
        level=float(level),
        said=same_study_cautions(rows),
        value=posterior.quantile(1 - tail),
        low=posterior.quantile(tail) if sides == 2 else math.nan,
        median=posterior.quantile(0.5),
        mean=posterior.expected(),
        new_study=posterior.study_quantile(level),
        sides=int(sides),
        prior=prior,
        shapes=(a, b),
        scale=kind.scale,  # type: ignore[arg-type]
        heterogeneity=middle,
        heterogeneity_low=low_h,
        heterogeneity_high=high_h,
        heterogeneity_prior=heterogeneity_prior,
        prior_scale=math.nan if prior_scale is None else float(prior_scale),
        posterior=posterior,
    )


def _shapes(prior: Prior, mean: object, size: object, person_time: bool) -> tuple[float, float]:
    """Return the parameters of the prior."""
    if prior != "conjugate":
        if mean is not None or size is not None:
            raise InputError(
                f"prior={prior!r} was given a mean or a size", 'prior="conjugate" for these', "leave them out"
            )
        return (SHAPES[prior], 0.0) if person_time else (SHAPES[prior], SHAPES[prior])
    if mean is None or size is None:
        raise MissingInputError(
            "a conjugate prior without its mean or its size",
            "prior_mean and prior_size",
            "for example prior_mean=0.01, prior_size=10: as if 10 people had been seen",
        )
    middle, worth = check_number("prior_mean", mean), check_number("prior_size", size)
    if not 0 < middle < (math.inf if person_time else 1.0):
        raise InputError(
            f"prior_mean is {middle:g}", "a rate above 0" if person_time else "a risk between 0 and 1"
        )
    if not 0 < worth <= 1e9:
        raise InputError(f"prior_size is {worth:g}", "a number above 0, of people or person-time")
    return (middle * worth, worth) if person_time else (middle * worth, (1 - middle) * worth)


def _heterogeneity_prior(
    name: object, scale: object, largest: float, stated: bool
) -> HeterogeneityDensity | None:
    """Return the prior density of the heterogeneity; None without one."""
    if name is None:
        if scale is not None:
            raise InputError(
                "prior_scale was given without heterogeneity_prior",
                "both",
                'heterogeneity_prior="half-normal"',
            )
        return None
    check_choice("heterogeneity_prior", name, HETEROGENEITY_PRIORS)
    if stated:
        raise InputError("both heterogeneity and heterogeneity_prior are given", "one of them")
    if scale is None:
        raise MissingInputError(
            "heterogeneity_prior was given without its scale", "prior_scale", "for example prior_scale=0.1"
        )
    width = check_number("prior_scale", scale)
    if not 1e-6 <= width <= 1e6 or (name == "uniform" and width > largest):
        most = largest if name == "uniform" else 1e6
        raise InputError(f"prior_scale is {width:g}", f"a value from 1e-6 to {most:g}")
    if name == "uniform":
        return HeterogeneityDensity(np.zeros_like, width, width)
    if name == "half-cauchy":
        return HeterogeneityDensity(lambda h: -np.log1p((h / width) ** 2), width, largest)
    return HeterogeneityDensity(
        lambda h: -((h / width) ** 2) / 2, width, min(largest, HALF_NORMAL_END * width)
    )


def _refuse_improper(a: float, b: float, x: Array, totals: Array, person_time: bool) -> None:
    nothing = a == 0 and not x.any()
    everything = b == 0 and not person_time and bool((x == totals).all())
    if nothing or everything:
        what = "no event" if nothing else "events in everyone"
        raise NotIdentifiableError(
            f"Haldane's prior with {what}: the posterior is improper",
            "a proper posterior",
            'use prior="jeffreys"',
        )


def _refuse_vague(a: float, b: float, prior: str, h: float, estimated: bool, rows: EventCounts) -> None:
    """Refuse priors of the mean that leave a posterior improper, or beyond what can be summed."""
    if rows.person_time and b == 0 and (estimated or a >= rows.k / h**2):
        raise NotIdentifiableError(
            f"prior={prior!r} of a mean rate that varies this much: the posterior is improper",
            "a proper prior of the mean rate",
            'use prior="conjugate" with prior_mean and prior_size',
        )
    least = min(a + float(rows.events.any()), math.inf if rows.person_time else b + 1.0)
    if least < LEAST_SHAPE:
        raise InputError(
            f"the prior has shape {least:.3g}",
            f"prior_mean times prior_size of at least {LEAST_SHAPE:g} where study risks vary",
            "a larger prior_size, or a common risk (heterogeneity=0)",
        )


def _log_prior(a: float, b: float, person_time: bool) -> Callable[[Array], Array]:
    """Return the log density of the location, but for a constant."""
    if person_time:
        return lambda t: np.asarray(a * t - b * np.exp(np.minimum(t, 700.0)))
    return lambda t: np.asarray(a * special.log_expit(t) + b * special.log_expit(-t))
