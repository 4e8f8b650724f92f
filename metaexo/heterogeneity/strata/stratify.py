"""Subgroup analysis by one factor or several, with separate, common or smoothed between-study variance."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.dependence.arms import warn_of_mixed_subjects
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import (
    DependentEffectsWarning,
    InputError,
    MetaexoError,
    TooFewStudiesError,
    UnknownChoiceError,
    warn_caller,
)
from metaexo.heterogeneity.levels import (
    STUDY,
    as_number,
    factor_levels,
    is_unreported,
    natural_key,
    read_factor_named,
    read_factors_named,
    refuse_mixed_levels,
    studies_of,
)
from metaexo.heterogeneity.strata.between import with_test_without_small
from metaexo.heterogeneity.strata.estimation import (
    ONE_STUDY,
    Choices,
    means_of_strata,
    pooled_of_strata,
    robust_means,
    test_of_means,
)
from metaexo.heterogeneity.strata.fit import Stratum, Tau2Mode
from metaexo.heterogeneity.strata.results import StratifiedResults
from metaexo.heterogeneity.strata.smoothed import Smoothing
from metaexo.heterogeneity.unreported.mixture import LatentModerator, latent_moderator
from metaexo.inputs import check_choice, check_flag, check_level, is_blank, read_words
from metaexo.models.linear.choices import get_test
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit_statistics import Pooled
from metaexo.models.linear.formula import Term
from metaexo.models.linear.hypothesis import quantiles
from metaexo.models.univariate.inference import TESTS
from metaexo.models.univariate.intervals import HeterogeneityInterval, heterogeneity_interval_of
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.estimators import get_estimator

TAU2_MODES = ("separate", "common", "smoothed")
UNREPORTED = ("apart", "mixture")
SEVERAL_OF_ONE = "the mean of its {} effects, as if they depended on each other completely"
DOMAIN = "domain"
TWO_STUDIES = "two studies: its tau2 rests on one degree of freedom"
TWO_CLUSTERS = "two clusters: its interval rests on one degree of freedom"
TWO = {"separate": TWO_STUDIES, "smoothed": "two studies: its tau2 rests mostly on the other strata"}
MEANT = {"pooled": "common", "shared": "common", "joint": "common", "own": "separate"}


def stratify(
    effects: EffectSizes,
    by: str | Sequence[str] | None = None,
    tau2: Tau2Mode = "separate",
    method: str = "REML",
    test: str | None = None,
    level: float = 0.95,
    *,
    cluster: str | None = "study",
    order: Sequence[str] | None = None,
    unreported: Literal["apart", "mixture"] = "apart",
    compare_unreported: bool = False,
) -> StratifiedResults:
    r"""Pool effects stratum by stratum and test whether the strata differ.

    Use it to ask whether effects differ between exosome sources, isolation methods, or both crossed.

    With separate variances every stratum is a separate random-effects model, with mean :math:`m_s` and
    squared standard error :math:`V_s`. The test between S strata is Welch's: with :math:`w_s = 1/V_s`,
    :math:`W = \sum w_s` and the weighted mean :math:`\bar m`,

    .. math:: F = \frac{\sum w_s (m_s - \bar m)^2 / (S - 1)}
                       {1 + \frac{2 (S - 2)}{S^2 - 1} \sum (1 - w_s / W)^2 / (k_s - 1)}

    on S - 1 and :math:`(S^2 - 1) / (3 \sum (1 - w_s/W)^2 / (k_s - 1))` degrees of freedom; with `test="z"` it
    is the chi-square of the numerator's sum. With a common variance all strata are fitted in one model with
    one mean per stratum, and the test is the model's own. Smoothed variances are between the two: log tau2
    varies normally between strata, and each stratum's variance is the median of what its own studies and the
    other strata leave possible; with few studies in a stratum it moves towards the others.

    A stratum of one study is shown with the effect of that study; it is not used to estimate tau2, nor in
    the test. Studies that do not report a factor are a separate stratum, which comes
    last; it is left out of tests between strata, because "not reported" is no level that could differ from
    others, unless `compare_unreported` asks for it.

    Strata whose names are numbers are in the order of these numbers, others by their number of studies.

    Where studies have several effects, standard errors, intervals and tests are robust to their dependence
    (CR2 with Satterthwaite's degrees of freedom, over all strata at once, because a study may have effects in
    several of them); tau2, I2 and Q still take the effects as independent.

    Parameters
    ----------
    effects : EffectSizes
        Effects with the factors among the columns of `data`.
    by : str or sequence of str
        One column or more; several are crossed. It has to be given. "study" are the studies, where no
        column has that name.
    tau2 : {"separate", "common", "smoothed"}
        Whether tau2 is estimated separately in each stratum, is one for all, or is estimated in each and
        shrunk towards the others. Smoothed variances need REML or ML.
    method, test, level : str, str and float
        As in :meth:`metaexo.RandomEffects.fit`.
    cluster : str, optional
        What effects may share that makes them dependent: "study", or a column such as "laboratory". A
        stratum needs two clusters to be fitted. None: all effects count as independent.
    order : sequence of str, optional
        All strata that are reported, in their natural order, for a test of trend.
    unreported : {"apart", "mixture"}
        "mixture" also fits the studies that do not report the factor as a mixture of the known levels; see
        :func:`metaexo.heterogeneity.latent_moderator`. They stay a separate stratum.
    compare_unreported : bool
        Whether studies that do not report a factor are in tests between strata, as one more stratum.

    Returns
    -------
    StratifiedResults
        Strata, overall fit and the test between strata. It can be asked for pairs, a trend, a permutation
        test, a test whether tau2 differs, and bounds over the levels that are not reported.

    Raises
    ------
    UnknownChoiceError
        If a factor is not a column, or `tau2` is not a known word.
    InputError
        If `effects` are no EffectSizes, the level is no fraction, or the order does not name every stratum
        once.
    TooFewStudiesError
        If there are no effects.
    MixedRepetitionError
        If the effects are coefficients of variation or standard deviations, and their column `repetition`
        holds several levels that the strata would mix.

    Warns
    -----
    DependentEffectsWarning
        If several effects belong to one study.
    UnclearLevelWarning
        If levels are called "NA", "-" or the like.
    MixedDomainsWarning
        If a stratum holds results in people, in animals or in cells side by side.

    References
    ----------
    Welch, B. L. (1951). On the comparison of several mean values: an alternative approach. Biometrika 38,
    330-336. https://doi.org/10.1093/biomet/38.3-4.330
    Borenstein, M., Higgins, J. P. T. (2013). Meta-analysis and subgroups. Prevention Science 14, 134-143.
    https://doi.org/10.1007/s11121-013-0377-7
    Rodriguez, J. E., Williams, D. R., Bürkner, P.-C. (2023). Heterogeneous heterogeneity by default: testing
    categorical moderators in mixed-effects meta-analysis. British Journal of Mathematical and Statistical
    Psychology 76, 402-433. https://doi.org/10.1111/bmsp.12299
    Hedeker, D., Mermelstein, R. J., Demirtas, H. (2008). Biometrics 64, 627-634.
    https://doi.org/10.1111/j.1541-0420.2007.00924.x
    Pustejovsky, J. E., Tipton, E. (2018). https://doi.org/10.1080/07350015.2016.1247004

    Examples
    --------
    >>> import pandas as pd
    >>> import metaexo as mx
    >>> source = pd.DataFrame({"source": ["adipose", "adipose", "adipose", "plant", "plant", "plant"]})
    >>> es = mx.EffectSizes([0.9, 0.7, 1.2, 0.1, 0.3, 0.2], [0.04] * 6, data=source)
    >>> result = mx.stratify(es, by="source")
    >>> [(s.name, s.k, round(s.pooled.estimate, 2)) for s in result.strata]
    [('adipose', 3, 0.93), ('plant', 3, 0.2)]
    >>> result.permutation_test().pvalue
    0.1
    """
    effects, level = check_effects(effects, "mx.stratify"), check_level(level)
    if by is None:
        columns = [] if effects.data is None else [str(name) for name in effects.data.columns]
        raise InputError(
            "by is not given",
            'the columns to stratify by, for example by="source"',
            f"choose among {', '.join(columns)}" if columns else "give the effects a table: data=...",
        )
    if str(tau2) not in TAU2_MODES:
        raise UnknownChoiceError("tau2", tau2, TAU2_MODES, nearest=MEANT.get(str(tau2).strip().casefold()))
    check_choice("unreported", unreported, UNREPORTED)
    compare_unreported = check_flag("compare_unreported", compare_unreported)
    test = None if test is None else get_test(test, TESTS)
    code = get_estimator(method).code
    if tau2 == "smoothed" and code not in ("REML", "ML"):
        raise InputError(f"{code} has no likelihood to smooth by", "REML or ML", 'use method="REML"')
    if effects.k == 0:
        raise TooFewStudiesError("there are no effects", "at least one effect", "look at the ledger")
    factors = read_factors_named(by)
    refuse_mixed_levels(effects, factors)
    strata = _split(effects, factors)
    warn_of_mixed_subjects({s.name: s.effects for s in strata})
    ordered = () if order is None else read_words(order, "order")
    if order is not None:
        strata = _in_order(strata, ordered)
    clusters = _clusters(effects, cluster)
    usual = "z" if code == "EE" else "knapp-hartung"
    choices = Choices(code, usual if test is None else test, level)
    found = _analyse(effects, factors, strata, clusters, cluster, tau2, choices, compare_unreported)
    latent, latent_note = _latent(effects, factors) if unreported == "mixture" else (None, "")
    return replace(found, order=ordered, latent=latent, latent_note=latent_note)


def _split(effects: EffectSizes, factors: tuple[str, ...]) -> list[Stratum]:
    """Return the strata without fits, numbers by size, others by studies, unreported levels last."""
    columns = [factor_levels(effects, factor) for factor in factors]
    cells: dict[tuple[str, ...], list[int]] = {}
    for i, cell in enumerate(zip(*columns, strict=True)):
        cells.setdefault(cell, []).append(i)
    strata = []
    for cell, members in cells.items():
        name = " / ".join(cell)
        rows: NDArray[np.intp] = np.array(members, dtype=np.intp)
        part = effects.select(rows, f"not in stratum {name}")
        strata.append(Stratum(name, dict(zip(factors, cell, strict=True)), rows, part, None, None, ""))
    reported = [level for s in strata if s.reported for level in s.levels.values()]
    numbers = all(as_number(level) is not None for level in reported)

    def place(s: Stratum) -> tuple[object, ...]:
        levels = [natural_key(level) for level in s.levels.values()]
        return (not s.reported, 0 if numbers else -s.m, levels)

    return sorted(strata, key=place)


def _in_order(strata: list[Stratum], order: tuple[str, ...]) -> list[Stratum]:
    """Return the strata in the order given, those that are not reported last."""
    names = [s.name for s in strata]
    for word in order:
        if word not in names:
            raise UnknownChoiceError("stratum", word, names)
    missing = [s.name for s in strata if s.reported and s.name not in order]
    if missing or len(set(order)) < len(order):
        given = (
            "the order names a stratum twice" if not missing else f"the order leaves out {', '.join(missing)}"
        )
        raise InputError(given, "every stratum that is reported, once")
    place = {name: i for i, name in enumerate(order)}
    return sorted(strata, key=lambda s: (place.get(s.name, len(place)), -s.m, s.name))


def _clusters(effects: EffectSizes, cluster: str | None) -> tuple[str, ...] | None:
    """Return the cluster of each effect if some share one, and warn of what that does not cure."""
    if cluster is None or read_factor_named(cluster) == STUDY:
        labels = studies_of(effects)
        dependent, what = effects.m < effects.k, "studies"
    else:
        words = factor_levels(effects, cluster)
        missing = [row for row, word in zip(effects.row_ids, words, strict=True) if is_unreported(word)]
        if missing:
            raise InputError(
                f"some effects have no {cluster}",
                "a value in every row",
                f"fill {cluster} in, or leave these rows out with EffectSizes.select",
                missing,
            )
        labels = tuple(words)
        dependent, what = len(set(labels)) < effects.k, f"groups by {cluster}"
    if not dependent:
        return None
    count = len(set(labels))
    if cluster is None:
        what_of_it = "the strata take them as independent, so their intervals are too narrow"
    else:
        what_of_it = "intervals and tests are robust to that, but tau2, I2 and Q take them as independent"
    warn_caller(f"{effects.k} effects come from {count} {what}; {what_of_it}", DependentEffectsWarning)
    return None if cluster is None else labels


def _latent(effects: EffectSizes, factors: tuple[str, ...]) -> tuple[LatentModerator | None, str]:
    """Return the mixture of known levels for unreported studies, or why there is none."""
    if len(factors) > 1:
        return None, "no mixture: it is for one factor, and several are crossed"
    if not any(is_unreported(level) for level in factor_levels(effects, factors[0])):
        return None, f"no mixture: every study reports {factors[0]}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DependentEffectsWarning)
            return latent_moderator(effects, factors[0]), ""
    except MetaexoError as error:
        return None, f"no mixture: {error}"


def _analyse(
    effects: EffectSizes,
    by: tuple[str, ...],
    strata: Sequence[Stratum],
    clusters: tuple[str, ...] | None,
    cluster: str | None,
    mode: Tau2Mode,
    choices: Choices,
    compare_unreported: bool,
) -> StratifiedResults:
    """Return the strata with their fits, and the test between them."""
    counts = [s.m if clusters is None else len({clusters[i] for i in s.rows}) for s in strata]
    several = [s for s, count in zip(strata, counts, strict=True) if count > 1]
    found = means_of_strata(effects, several, clusters, mode, choices)
    if clusters is not None and cluster != STUDY:
        found = replace(found, units="clusters")
    joint, smoothing, estimates, inference = found.joint, found.smoothing, found.estimates, found.inference
    fits = dict(zip([s.name for s in several], found.fits, strict=True))
    pooled = dict(zip(fits, pooled_of_strata(found.fits, estimates, inference, choices.level), strict=True))
    shared = mode == "common" or (smoothing is not None and smoothing.omega == 0)
    done = []
    for s, count in zip(strata, counts, strict=True):
        mixed = _domains(s)
        if s.name not in fits:
            single, note = _single(s, cluster or "", choices.level)
            done.append(replace(s, single=single, note="; ".join(part for part in (note, mixed) if part)))
            continue
        ends = _heterogeneity(fits[s.name], s.name, joint if shared else None, smoothing)
        of_tau2 = "" if choices.method == "EE" else TWO.get(mode, "")
        few = of_tau2 if clusters is None else TWO_CLUSTERS
        note = "; ".join(part for part in (few if count == 2 else "", mixed) if part)
        done.append(replace(s, fit=fits[s.name], pooled=pooled[s.name], note=note, heterogeneity=ends))
    out = [] if compare_unreported else [s.name for s in several if not s.reported]
    compared = [s.name for s in several if s.name not in out]
    between, note, _ = test_of_means(found, list(fits), compared, mode, choices.method)
    if out:
        note += f"; {', '.join(out)} left out (compare_unreported=True takes it in)"
    overall, overall_pooled, df = _overall(effects, clusters, choices)
    results = StratifiedResults(
        by=by,
        effects=effects,
        strata=tuple(done),
        overall=overall,
        overall_pooled=overall_pooled,
        tau2_mode=mode,
        between=between,
        between_note=f"{note}, clusters: {cluster}" if clusters else note,
        design=_design(effects.k, several, by),
        estimates=estimates,
        inference=inference,
        method=choices.method,
        test=choices.test,
        level=choices.level,
        clusters=clusters,
        cluster=cluster or "",
        smoothing=smoothing,
        compare_unreported=compare_unreported,
        overall_df=df,
    )
    return with_test_without_small(results)


def _design(k: int, strata: Sequence[Stratum], by: tuple[str, ...]) -> Design:
    """Return the design with one mean per stratum; effects of other strata have zeros."""
    x = np.column_stack([np.zeros((k, 0)), *(np.isin(np.arange(k), s.rows) for s in strata)])
    names = tuple(s.name for s in strata)
    terms = (Term(" x ".join(by), tuple(range(len(names)))),) if names else ()
    return Design(x, names, None, added=False, terms=terms, moderators=names)


def _heterogeneity(
    fit: RandomEffectsResults, name: str, joint: RandomEffectsResults | None, smoothing: Smoothing | None
) -> HeterogeneityInterval | None:
    """Return tau2 and I2 of a stratum with their intervals; None where there are none."""
    if fit.method == "EE" or (fit.effects.v == 0).any():
        return None
    typical, level = fit.typical_variance, fit.level
    if joint is not None:
        shared = joint.conf_int_heterogeneity()
        how = "q-profile of the joint model"
        return heterogeneity_interval_of(shared.tau2, typical, how, level, shared.note)
    if smoothing is None:
        return fit.conf_int_heterogeneity()
    j = smoothing.names.index(name)
    tau2, low, high = (float(part[j]) for part in (smoothing.tau2, smoothing.low, smoothing.high))
    return heterogeneity_interval_of((tau2, low, high), typical, "empirical Bayes", level)


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
    inference = robust_means(effects, [np.arange(effects.k)], [fit], clusters, choices)
    df = inference.df_of(np.eye(1))
    pooled = pooled_of_strata([fit], np.array([fit.estimate]), inference, choices.level)[0]
    return fit, pooled, None if df is None else float(df[0])
