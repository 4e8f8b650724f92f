"""The models of the strata: whose the between-study variances are, and what the means rest on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.formatting import plural
from metaexo.heterogeneity.means import (
    RobustMeans,
    SeparateMeans,
    equality_test,
    robust_means,
    strata_design,
)
from metaexo.heterogeneity.strata.fit import StratifiedResults, Stratum, Tau2Mode
from metaexo.heterogeneity.strata.smoothed import Smoothing, smooth
from metaexo.inputs import is_blank
from metaexo.models.linear.fit import LinearResults
from metaexo.models.linear.fit_statistics import Pooled
from metaexo.models.linear.hypothesis import TestResult, quantiles
from metaexo.models.univariate.fit import RandomEffectsResults
from metaexo.models.univariate.intervals import HeterogeneityInterval, Interval
from metaexo.models.univariate.model import RandomEffects
from metaexo.numeric.problem import make_batch

ONE_STUDY = "one study: shown with its own effect, takes no part in a between-study variance or a test"
SEVERAL_OF_ONE = "the mean of its {} effects, as if they depended on each other completely"
DOMAIN = "domain"
TWO_STUDIES = "two studies: its spread rests on one degree of freedom"
TWO_CLUSTERS = "two clusters: its interval rests on one degree of freedom"
TWO = {"separate": TWO_STUDIES, "smoothed": "two studies: its spread rests mostly on the other strata"}
WHOSE = {"separate": "tau2 of their own", "common": "one tau2 for all", "smoothed": "smoothed tau2"}


@dataclass(frozen=True, eq=False)
class StrataFits:
    """What `fit_strata` finds; the fields are those of :class:`StratifiedResults`."""

    strata: tuple[Stratum, ...]
    overall: RandomEffectsResults | None
    overall_pooled: Pooled | None
    means: LinearResults | None
    between: TestResult | None
    between_note: str
    smoothing: Smoothing | None
    test: str
    overall_df: float | None


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


def fit_strata(
    effects: EffectSizes,
    strata: Sequence[Stratum],
    clusters: tuple[str, ...] | None,
    cluster: str,
    mode: Tau2Mode,
    method: str,
    test: str | None,
    level: float,
    compare_unreported: bool = False,
) -> StrataFits:
    """Return the strata with their fits, and the test between them.

    Parameters
    ----------
    effects : EffectSizes
        All effects.
    strata : sequence of Stratum
        The strata without fits.
    clusters : tuple of str or None
        Cluster of each effect, where some share one.
    cluster : str
        What the clusters are, in a word.
    mode : {"separate", "common", "smoothed"}
        Whose the between-study variances are.
    method, test, level : str, str and float
        As in :meth:`metaexo.RandomEffects.fit`.
    compare_unreported : bool
        Whether strata that are not reported take part in the test between strata.
    """
    usual = "z" if method == "EE" else "knapp-hartung"
    choices = Choices(method, usual if test is None else test, level)
    counts = [s.m if clusters is None else len({clusters[i] for i in s.rows}) for s in strata]
    several = [s for s, count in zip(strata, counts, strict=True) if count > 1]
    joint = _joint(effects, several, choices) if several and mode != "separate" else None
    smoothing = _smoothing(several, joint, choices) if mode == "smoothed" and len(several) > 1 else None
    fits = {s.name: _fit(s, choices, joint, smoothing, mode) for s in several}
    means = _means(effects, several, fits, clusters, joint if mode == "common" else None, choices)
    pooled = dict(zip(fits, _pooled(fits, means), strict=True))
    shared = mode == "common" or (smoothing is not None and smoothing.omega == 0)
    done = []
    for s, count in zip(strata, counts, strict=True):
        mixed = _domains(s)
        if s.name not in fits:
            single, note = _single(s, cluster, level)
            done.append(replace(s, single=single, note="; ".join(part for part in (note, mixed) if part)))
            continue
        spread = _spread(fits[s.name], s.name, joint if shared else None, smoothing)
        few = TWO.get(mode, "") if clusters is None else TWO_CLUSTERS
        note = "; ".join(part for part in (few if count == 2 else "", mixed) if part)
        done.append(replace(s, fit=fits[s.name], pooled=pooled[s.name], note=note, spread=spread))
    out = [] if compare_unreported else [s.name for s in several if not s.reported]
    between, note = _between(means, [s.name for s in several if s.name not in out], mode)
    if out:
        note += f"; {', '.join(out)} left out (compare_unreported=True takes it in)"
    overall, overall_pooled, df = _overall(effects, clusters, choices)
    return StrataFits(tuple(done), overall, overall_pooled, means, between, note, smoothing, choices.test, df)


def _joint(effects: EffectSizes, strata: Sequence[Stratum], choices: Choices) -> RandomEffectsResults:
    """Return the model with one mean a stratum and one between-study variance."""
    rows = np.sort(np.concatenate([s.rows for s in strata]))
    part = effects.select(rows, ONE_STUDY)
    dummies = np.column_stack([np.isin(rows, s.rows) for s in strata]).astype(float)
    names = [s.name for s in strata]
    model = RandomEffects(part, dummies, intercept=False, names=names, dependence="accept")
    return model.fit(choices.method, choices.test, choices.level)


def _smoothing(
    strata: Sequence[Stratum], joint: RandomEffectsResults | None, choices: Choices
) -> Smoothing | None:
    """Return smoothed variances of two or more strata.

    Raises
    ------
    InputError
        If a sampling variance is zero: its likelihood has no end where tau2 is zero.
    """
    assert joint is not None
    zero = [name for s in strata for name, v in zip(s.effects.row_ids, s.effects.v, strict=True) if v == 0]
    if zero:
        raise InputError(
            f"{len(zero)} sampling variances are zero, and smoothing weighs likelihoods down to tau2 = 0",
            "sampling variances above 0",
            "look the rows up in the source",
            zero,
        )
    batches = [make_batch(s.effects.y, s.effects.v) for s in strata]
    names = [s.name for s in strata]
    return smooth(names, batches, joint.tau2, choices.method == "REML", choices.level)


def _fit(
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


def _means(
    effects: EffectSizes,
    strata: Sequence[Stratum],
    fits: dict[str, RandomEffectsResults],
    clusters: tuple[str, ...] | None,
    joint: RandomEffectsResults | None,
    choices: Choices,
) -> LinearResults | None:
    """Return the means of the strata with their covariance matrix."""
    if not fits:
        return None
    if clusters is not None:
        return _robust(effects, strata, list(fits.values()), clusters, choices)
    if joint is not None:
        return joint
    found = list(fits.values())
    return SeparateMeans(
        strata_design(list(fits)),
        choices.level,
        np.array([f.estimate for f in found]),
        np.array([f.se[0] ** 2 for f in found]),
        None if choices.test == "z" else np.array([float(f.df_residual) for f in found]),
    )


def _robust(
    effects: EffectSizes,
    strata: Sequence[Stratum],
    fits: Sequence[RandomEffectsResults],
    clusters: tuple[str, ...],
    choices: Choices,
) -> RobustMeans:
    total = effects.v.copy()
    for stratum, fit in zip(strata, fits, strict=True):
        total[stratum.rows] += fit.tau2
    names, rows = [s.name for s in strata], [s.rows for s in strata]
    estimates = [f.estimate for f in fits]
    normal = choices.test == "z"
    return robust_means(names, rows, estimates, effects.y, total, clusters, choices.level, normal)


def _pooled(fits: dict[str, RandomEffectsResults], means: LinearResults | None) -> list[Pooled]:
    """Return the pooled effect of each stratum, from what its standard error rests on."""
    if means is None:
        return []
    if isinstance(means, SeparateMeans):
        return [fit.pooled() for fit in fits.values()]
    rows = np.eye(len(fits))
    half = np.broadcast_to(quantiles(means.level, means.df_of(rows)), len(fits))
    out = []
    for j, fit in enumerate(fits.values()):
        centre, se, reach = float(means.beta[j]), float(means.se[j]), float(half[j])
        wide = reach * float(np.hypot(se, fit.tau))
        known = fit.method != "EE"
        made = Pooled(
            estimate=centre,
            se=se,
            low=centre - reach * se,
            high=centre + reach * se,
            prediction_low=centre - wide if known else None,
            prediction_high=centre + wide if known else None,
            level=means.level,
        )
        out.append(made)
    return out


def _spread(
    fit: RandomEffectsResults,
    name: str,
    joint: RandomEffectsResults | None,
    smoothing: Smoothing | None,
) -> HeterogeneityInterval | None:
    """Return tau2 and I2 of a stratum with their intervals; None where there are none."""
    if fit.method == "EE" or (fit.effects.v == 0).any():
        return None
    if joint is not None:
        shared = joint.conf_int_heterogeneity()
        return _interval(fit, shared.tau2, "q-profile of the joint model", shared.empty, shared.note)
    if smoothing is None:
        return fit.conf_int_heterogeneity()
    j = smoothing.names.index(name)
    ends = Interval(*(float(part[j]) for part in (smoothing.tau2, smoothing.low, smoothing.high)))
    return _interval(fit, ends, "empirical Bayes", False, "")


def _interval(
    fit: RandomEffectsResults, tau2: Interval, method: str, empty: bool, note: str
) -> HeterogeneityInterval:
    """Return the bounds of everything that follows from bounds of tau2, for one stratum."""
    values = np.array(tau2)
    h2 = values / fit.typical_variance + 1
    return HeterogeneityInterval(
        tau2=tau2,
        tau=Interval(*map(float, np.sqrt(values))),
        i2=Interval(*map(float, 1 - 1 / h2)),
        h2=Interval(*map(float, h2)),
        method=method,
        level=fit.level,
        empty=empty,
        note=note,
    )


def _single(stratum: Stratum, cluster: str, level: float) -> tuple[Pooled, str]:
    """Return the effect of a stratum of one study, by sampling variances alone, and what to say of it."""
    y, v, k = stratum.effects.y, stratum.effects.v, stratum.k
    smallest = v.min()
    weights = (v == 0).astype(float) if smallest == 0 else smallest / v
    weights = weights / weights.sum()
    estimate, se = float(weights @ y), float(weights @ np.sqrt(v))
    half = float(quantiles(level, None)) * se
    words = ONE_STUDY if stratum.m < 2 else ONE_STUDY.replace("study", cluster, 1)
    words = words if k == 1 else f"{words}; {SEVERAL_OF_ONE.format(k)}"
    return Pooled(estimate, se, estimate - half, estimate + half, None, None, level), words


def _domains(stratum: Stratum) -> str:
    """Return which domains of research a stratum mixes, such as animals and patients; empty if one."""
    data = stratum.effects.data
    if data is None or DOMAIN not in data.columns or DOMAIN in stratum.levels:
        return ""
    counts = Counter(str(value) for value in data[DOMAIN] if not is_blank(value))
    if len(counts) < 2:
        return ""
    return (
        f"mixes domains: {', '.join(f'{name} {count}' for name, count in sorted(counts.items()))} (effects)"
    )


def _between(
    means: LinearResults | None, names: Sequence[str], mode: Tau2Mode
) -> tuple[TestResult | None, str]:
    """Return the test that some means are equal, or why there is none."""
    count = len(names)
    if means is None and mode == "common":
        return None, "no test: no stratum has two studies"
    if means is None or count < 2:
        return None, f"no test: {plural(count, 'stratum', 'strata')} with two or more studies"
    test, name = equality_test(means, names)
    if test is None:
        return None, name
    used = f"{plural(count, 'stratum', 'strata')} with two or more studies, {WHOSE[mode]}"
    return test, f"{name} over {used}"


def _overall(
    effects: EffectSizes, clusters: tuple[str, ...] | None, choices: Choices
) -> tuple[RandomEffectsResults | None, Pooled | None, float | None]:
    """Return the model of all effects, its pooled effect robust to dependence, and the df of that."""
    count = effects.m if clusters is None else len(set(clusters))
    if effects.k < 2 or count < 2:
        return None, None, None
    fit = choices.fit(effects)
    if clusters is None:
        return fit, fit.pooled(), fit.df_test
    rows = [np.arange(effects.k)]
    normal = choices.test == "z"
    total = effects.v + fit.tau2
    means = robust_means(["all"], rows, [fit.estimate], effects.y, total, clusters, choices.level, normal)
    return fit, _pooled({"all": fit}, means)[0], means.df_test


def check_strata(results: object) -> StratifiedResults:
    """Return the strata, or say what was handed in instead.

    Raises
    ------
    InputError
        If it is something else than the result of :func:`metaexo.stratify`.
    """
    if not isinstance(results, StratifiedResults):
        raise InputError(
            f"the strata are of type {type(results).__name__}",
            "the result of mx.stratify",
            "stratify first: mx.stratify(effects, by=...)",
        )
    return results
