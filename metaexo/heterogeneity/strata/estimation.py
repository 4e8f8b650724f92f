"""The means of strata: the model of each, their joint covariance matrix, and the test between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.formatting import plural
from metaexo.heterogeneity.means import (
    SAME_MEAN,
    SeparateMeans,
    differences,
    equality_of_separate,
    separate_means,
)
from metaexo.heterogeneity.strata.fit import Stratum, Tau2Mode
from metaexo.heterogeneity.strata.smoothed import Smoothing, smooth
from metaexo.models.linear.fit_statistics import Pooled
from metaexo.models.linear.hypothesis import RobustCovariance, TestResult, WaldInference, quantiles
from metaexo.models.univariate.model import RandomEffects
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.problem import make_batch
from metaexo.numeric.sandwich import cluster_sandwich
from metaexo.types import Array, Index

ONE_STUDY = "one study: shown with its own effect, not used to estimate tau2 or in a test"
EQUAL = "equal effects within each"
JOIN = "join levels that belong together, or read the strata one by one"
WHOSE = {"separate": "separate tau2", "common": "one tau2 for all", "smoothed": "smoothed tau2"}


@dataclass(frozen=True)
class Choices:
    """How every model of a subgroup analysis is fitted."""

    method: str
    test: str
    level: float

    def fit(self, effects: EffectSizes, tau2: float | None = None) -> RandomEffectsResults:
        """Return the model of some effects without moderators."""
        model = RandomEffects(effects, dependence="accept")
        return model.fit(self.method, self.test, self.level, tau2)


def joint_model(effects: EffectSizes, strata: Sequence[Stratum], choices: Choices) -> RandomEffectsResults:
    """Return the model with one mean per stratum and one between-study variance."""
    rows = np.sort(np.concatenate([s.rows for s in strata]))
    part = effects.select(rows, ONE_STUDY)
    dummies = np.column_stack([np.isin(rows, s.rows) for s in strata]).astype(float)
    names = [s.name for s in strata]
    model = RandomEffects(part, dummies, intercept=False, names=names, dependence="accept")
    return model.fit(choices.method, choices.test, choices.level)


def smoothed_variances(
    strata: Sequence[Stratum], joint: RandomEffectsResults | None, choices: Choices
) -> Smoothing | None:
    """Return smoothed variances of two or more strata."""
    assert joint is not None
    zero = [name for s in strata for name, v in zip(s.effects.row_ids, s.effects.v, strict=True) if v == 0]
    if zero:
        raise InputError(
            f"{plural(len(zero), 'sampling variance is', 'sampling variances are')} zero, and "
            "smoothing weighs likelihoods down to tau2 = 0",
            "sampling variances above 0",
            "look the rows up in the source",
            zero,
        )
    batches = [make_batch(s.effects.y, s.effects.v) for s in strata]
    names = [s.name for s in strata]
    return smooth(names, batches, joint.tau2, choices.method == "REML", choices.level)


def fit_of_stratum(
    stratum: Stratum,
    choices: Choices,
    joint: RandomEffectsResults | None,
    smoothing: Smoothing | None,
    mode: Tau2Mode,
) -> RandomEffectsResults:
    """Return the model of one stratum, at its own between-study variance or at the one it shares."""
    tau2 = None
    if mode == "common" and joint is not None and joint.method != "EE":
        tau2 = joint.tau2
    if smoothing is not None:
        tau2 = float(smoothing.tau2[smoothing.names.index(stratum.name)])
    return choices.fit(stratum.effects, tau2)


@dataclass(frozen=True, eq=False)
class Means:
    """The means of strata: the models they come from, and their inference."""

    fits: tuple[RandomEffectsResults, ...]
    estimates: Array
    inference: WaldInference
    clustered: bool  # whether the inference is robust to dependence within clusters
    units: str = "studies"  # what a stratum needs two of
    joint: RandomEffectsResults | None = None  # the model of one variance for all, where there is one
    smoothing: Smoothing | None = None


def means_of_strata(
    effects: EffectSizes,
    strata: Sequence[Stratum],
    clusters: tuple[str, ...] | None,
    mode: Tau2Mode,
    choices: Choices,
) -> Means:
    """Return the means of strata with two clusters or more: robust, of the joint model, or separate."""
    joint = joint_model(effects, strata, choices) if strata and mode != "separate" else None
    smoothing = smoothed_variances(strata, joint, choices) if mode == "smoothed" and len(strata) > 1 else None
    fits = tuple(fit_of_stratum(s, choices, joint, smoothing, mode) for s in strata)
    estimates = np.array([fit.estimate for fit in fits], dtype=float)
    inference = WaldInference(np.empty((0, 0)), None)
    if fits and clusters is not None:
        inference = robust_means(effects, [s.rows for s in strata], fits, clusters, choices)
    elif fits and joint is not None and mode == "common":
        estimates, inference = joint.beta, joint.wald
    elif fits:
        df = None if choices.test == "z" else np.array([float(fit.df_residual) for fit in fits])
        inference = separate_means(np.array([fit.se[0] ** 2 for fit in fits]), df)
    return Means(fits, estimates, inference, clusters is not None, joint=joint, smoothing=smoothing)


def robust_means(
    effects: EffectSizes,
    rows: Sequence[Index],
    fits: Sequence[RandomEffectsResults],
    clusters: tuple[str, ...],
    choices: Choices,
) -> WaldInference:
    """Return the inference on means that is robust to dependence within clusters, over all strata at once."""
    used = np.concatenate(list(rows))
    sizes = [len(part) for part in rows]
    x = np.repeat(np.eye(len(rows)), sizes, axis=0)
    total = effects.v[used] + np.repeat([fit.tau2 for fit in fits], sizes)
    residual = effects.y[used] - np.repeat([fit.estimate for fit in fits], sizes)
    found: dict[str, list[int]] = {}
    for place, row in enumerate(used):
        found.setdefault(clusters[int(row)], []).append(place)
    members = [np.array(part, dtype=np.intp) for part in found.values()]
    sandwich = cluster_sandwich(x, residual, members, [total[part] for part in members], "CR2")
    if choices.test == "z":
        return WaldInference(sandwich.cov, None)
    return RobustCovariance(
        cov=sandwich.cov,
        df=float(len(members) - len(rows)),
        kind="CR2",
        df_rule="satterthwaite",
        clusters=tuple(found),
        sandwich=sandwich,
    )


def pooled_of_strata(
    fits: Sequence[RandomEffectsResults], estimates: Array, inference: WaldInference, level: float
) -> list[Pooled]:
    """Return the pooled effect of each stratum, from what its standard error rests on."""
    if isinstance(inference, SeparateMeans):
        return [fit.pooled() for fit in fits]
    se = np.sqrt(np.diagonal(inference.cov))
    half = np.broadcast_to(quantiles(level, inference.df_of(np.eye(len(fits)))), len(fits))
    out = []
    for fit, centre, error, reach in zip(fits, estimates.tolist(), se.tolist(), half.tolist(), strict=True):
        wide = reach * float(np.hypot(error, fit.tau))
        known = fit.method != "EE"
        low, high = centre - reach * error, centre + reach * error
        before, after = (centre - wide, centre + wide) if known else (None, None)
        out.append(Pooled(centre, error, low, high, before, after, level))
    return out


def test_of_means(
    means: Means, names: Sequence[str], compared: Sequence[str], mode: Tau2Mode, method: str
) -> tuple[TestResult | None, str, str]:
    """Return the test that the compared means are equal and its name, or none, why, and what to do."""
    count, inference, beta = len(compared), means.inference, means.estimates
    if not names and mode == "common":
        return None, f"no test: no stratum has two {means.units}", JOIN
    if count < 2:
        return None, f"no test: {plural(count, 'stratum', 'strata')} with two or more {means.units}", JOIN
    places = np.array([list(names).index(name) for name in compared], dtype=np.intp)
    still = ", ".join(names[i] for i in places if inference.cov[i, i] == 0)
    if still:
        why = f"the effects of a stratum ({still}) are all equal, so its mean has no standard error"
        return None, f"no test: {why}", "check these effects in the source; other strata can be compared"
    whose = EQUAL if method == "EE" else WHOSE[mode]
    used = f"{plural(count, 'stratum', 'strata')} with two or more {means.units}, {whose}"
    if isinstance(inference, SeparateMeans):
        return equality_of_separate(inference, beta, places), f"{name_of_test(means)} over {used}", ""
    rows = differences(len(names), places.tolist())
    found = inference.joint_test(rows, rows @ beta, SAME_MEAN)
    if np.isnan(found.statistic):
        why = "too few clusters for as many strata" if means.clustered else "the means have no variance"
        return None, f"no test: {why}", "compare fewer strata, or pairs of them with pairwise()"
    return found, f"{name_of_test(means)} over {used}", ""


def name_of_test(means: Means) -> str:
    """Return what the test between strata is called."""
    if means.clustered:
        return "cluster-robust test (CR2)"
    if isinstance(means.inference, SeparateMeans):
        return "chi-square test" if means.inference.df_each is None else "Welch's test"
    return "test of the joint model"
