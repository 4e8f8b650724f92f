r"""Effects drawn from a fitted model.

A draw has the design and the sampling variances of the fit, and new random effects and sampling errors. The
numbers of draw i depend on the seed and on i alone.
"""

from __future__ import annotations

from functools import partial, singledispatch
from typing import Any

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import plural
from metaexo.heterogeneity.attribution.results import AttributionResults
from metaexo.heterogeneity.strata.results import StratifiedResults
from metaexo.inputs import describe, whole_number
from metaexo.models.censored.imputation import ImputedResults
from metaexo.models.censored.results import CensoredResults
from metaexo.models.counts.fit import CountResults
from metaexo.models.linear.results import FitResults
from metaexo.models.location_scale.results import LocationScaleResults
from metaexo.models.multilevel.moments import MomentResults
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.mixed.law import Law, mixed_law
from metaexo.runs import run
from metaexo.types import Array

MOST_DRAWN = 10**9  # numbers of one call: 8 GB


def simulate(results: FitResults, draws: int = 1, *, seed: int = 0) -> Array:
    r"""Draw effects from a fitted model.

    Use it for what has no function here: the distribution of a statistic if the model holds, the power of a
    test, a check of the model against the effects that were observed.

    Effects are normal with the mean :math:`X\hat\beta` of the fit and the covariance matrix of its model: v +
    tau2 of one effect per study, with tau2 by effect for LocationScale and by stratum for stratify; V plus
    that of the random terms for Multilevel. A fit of CensoredRandomEffects gives true effects, normal with
    variance tau2, because what is seen of an effect would depend on how it was reported.

    Parameters
    ----------
    results : FitResults
        A fit of RandomEffects, Multilevel, LocationScale, CensoredRandomEffects or stratify. Cluster-robust
        standard errors change nothing: draws are those of the model.
    draws : int
        Number of draws.
    seed : int
        Seed of the random numbers. Draw i is the same whatever the number of draws.

    Returns
    -------
    ndarray, shape (draws, k)
        Effects on the scale of the analysis, in the order of ``results.effects``; NaN where a stratum has no
        fit.

    Raises
    ------
    InputError
        If the fit is of a family whose model generates no data, or draws and seed are no whole numbers.

    References
    ----------
    Davison, A. C., Hinkley, D. V. (1997). Bootstrap methods and their application, chapter 2. Cambridge
    University Press. https://doi.org/10.1017/CBO9780511802843

    Examples
    --------
    The share of draws in which Cochran's Q is as large as the one observed, if effects do not vary:

    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9, 0.5], [0.02, 0.05, 0.03, 0.04, 0.02])
    >>> equal = mx.RandomEffects(es).fit(method="EE")
    >>> y = mx.sensitivity.simulate(equal, 2000)
    >>> q = mx.fit_many(y, [es.v.tolist()] * 2000, method="EE").q
    >>> print(f"{(q >= equal.q.statistic).mean():.2f}, by the chi-square distribution {equal.q.pvalue:.2f}")
    0.01, by the chi-square distribution 0.01
    """
    if not isinstance(results, FitResults):
        raise InputError(
            f"results is {describe(results)}", "a fitted model", "mx.RandomEffects(effects).fit()"
        )
    count, start = whole_number(draws, "draws", 1), whole_number(seed, "seed", 0)
    if count * results.k > MOST_DRAWN:
        raise InputError(
            f"{plural(results.k, 'effect')} are to be drawn too often",
            f"at most {MOST_DRAWN:,} numbers",
            "draw them in parts, with a seed for each",
        )
    law = law_of(results)
    return np.asarray(run(partial(_columns, law, start), count, block=law.block(), what="draws")["y"])


def _columns(law: Law, seed: int, begin: int, end: int) -> dict[str, Array]:
    return {"y": law.draw(seed, begin, end)}


# -- what each family gives ---------------------------------------------------------------------------------


@singledispatch
def law_of(fit: Any) -> Law:
    """Return the distribution of the effects by the model of a fit; a family registers its own."""
    if isinstance(fit, CountResults):
        raise InputError(
            f"{type(fit).__name__} are of counts of events, and counts are not drawn from a fit here",
            "effects: a fit of RandomEffects, Multilevel, LocationScale, CensoredRandomEffects or stratify",
            "draw studies with replacement: mx.sensitivity.bootstrap(fit)",
        )
    raise InputError(
        f"{type(fit).__name__} have no model that generates effects",
        "a fit of RandomEffects, Multilevel, LocationScale, CensoredRandomEffects or stratify",
        REMEDIES.get(type(fit), ""),
    )


REMEDIES: dict[type, str] = {
    MomentResults: "fit the effects with mx.Multilevel, whose random terms generate effects",
    ImputedResults: "take the fit by likelihood that was imputed from, results.likelihood",
    AttributionResults: "take the additive model of all factors, results.model",
}


@law_of.register
def _of_one_level(fit: RandomEffectsResults) -> Law:
    return Law(fit.design.matrix(fit.k) @ fit.beta, np.sqrt(fit.total_variance))


@law_of.register
def _of_location_scale(fit: LocationScaleResults) -> Law:
    return Law(fit.design.matrix(fit.k) @ fit.beta, np.sqrt(fit.effects.v + fit.tau2_by_effect))


@law_of.register
def _of_censored(fit: CensoredResults) -> Law:
    return Law(fit.design.matrix(fit.k) @ fit.beta, np.full(fit.k, fit.tau))


@law_of.register
def _of_strata(fit: StratifiedResults) -> Law:
    mean, sd = np.full(fit.k, np.nan), np.full(fit.k, np.nan)
    for stratum, part in zip(fit.fitted, fit.fits, strict=True):
        mean[stratum.rows], sd[stratum.rows] = part.beta[0], np.sqrt(part.total_variance)
    return Law(mean, sd)


@law_of.register
def _of_multilevel(fit: MultilevelResults) -> Law:
    return mixed_law(fit.problem, fit.g, fit.problem.x @ fit.beta)
