"""How much of the between-study variance the source and the isolation method explain."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, MetaexoError, MetaexoWarning
from metaexo.formatting import p_value, plural
from metaexo.heterogeneity.attribution.components import VarianceShares, variance_shares
from metaexo.heterogeneity.attribution.confounding import Confounding
from metaexo.heterogeneity.attribution.record import Choices, Explained, Part
from metaexo.heterogeneity.attribution.rests import cautions
from metaexo.heterogeneity.attribution.results import AttributionResults
from metaexo.heterogeneity.attribution.shares import PartKind, Parts, Subset, joint_parts, separable_parts
from metaexo.heterogeneity.attribution.steps import (
    Numbers,
    Work,
    begin,
    estimates,
    evidence,
    has_interaction,
    joint_test,
    numbers,
    permutation_tests,
    shown,
)
from metaexo.heterogeneity.attribution.verdicts import LEAST_DF, Verdict, judge, no_heterogeneity, refusal
from metaexo.heterogeneity.levels import readable, whole_percent
from metaexo.inputs import check_flag, describe
from metaexo.models.linear.design import Design
from metaexo.models.linear.formula import Term
from metaexo.models.linear.grouping import cluster_labels
from metaexo.models.univariate.model import RandomEffects
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.types import Array


def attribute_heterogeneity(
    effects: EffectSizes,
    by: str | Sequence[str] = ("source", "isolation"),
    *,
    draws: int = 1000,
    permutations: int = 999,
    seed: int = 0,
    level: float = 0.95,
    method: str = "REML",
    min_studies: int = 2,
    cluster: str = "study",
    progress: bool | None = None,
) -> AttributionResults:
    r"""Attribute the between-study variance to factors, or say why the data cannot.

    Use it to ask whether effects vary with the exosome source, with the isolation method, with both, or with
    neither. With :math:`\tau^2_S` the between-study variance under a set S of factors,
    :math:`e(S) = \tau^2_\emptyset - \tau^2_S` is what S explains. The share of a factor is the mean over all
    orders of what it adds to those before it (Shapley, LMG); beside it are what only that factor explains,
    what factors have in common, and the interaction. Shares are not cut off at zero, so that they add up; a
    share below zero means that a factor explains less than labels without meaning would.

    Whole studies are permuted between labels to find what chance explains and how often it explains as much.
    That test is studentized: it stays near its level where the between-study variance differs between levels,
    the nearer the more studies there are. Intervals come from draws of the fitted model. Where factors are
    confounded, or studies are too few, there are no shares: the verdict says why. Precise shares need at
    least 40 studies (López-López et al.), and with fewer than 20 a true effect is often missed. Where a
    factor is named and less than half of its share is left without one of its levels, or without one study
    (of the 40 farthest from the mean), the reasons of the verdict hold a caution;
    :func:`metaexo.sensitivity.leave_one_level_out` has all levels.

    Parameters
    ----------
    effects : EffectSizes
        Effects with the factors among the columns of `data`; a missing level counts as "not reported", a
        separate level. `study` says which effects belong together.
    by : str or sequence of str
        One to five columns.
    draws : int
        Bootstrap draws for the intervals; 0 for none.
    permutations : int
        Permutations of whole studies, for p-values and chance; at least 19.
    seed : int
        Seed of both: the same seed gives the same numbers.
    level : float
        Level of the intervals; tests are made at 1 - level.
    method : str
        Estimator of tau2, as in :meth:`metaexo.RandomEffects.fit`.
    min_studies : int
        A level must be in so many studies; effects of other levels are set aside. A level of one study
        is confounded with that study.
    cluster : str
        What stands in the place of the study: "study", or a column whose effects belong together, such as
        "laboratory". Permutations move whole clusters, and a level must be in `min_studies` of them.
    progress : bool, optional
        Whether to show a progress bar; by default where the output is a terminal.

    Returns
    -------
    AttributionResults
        Verdict, shares, confounding diagnostic, random-effects version.

    Raises
    ------
    InputError
        If no factor, too many or equal ones are named, a number is out of its range, some sampling
        variances are zero and others are not, or the factors have more than 250 levels together.
    UnknownChoiceError
        If a factor is not a column, or the method is not known.
    TooFewStudiesError
        If there are no effects.

    References
    ----------
    Groemping, U. (2007). Estimators of relative importance in linear regression based on variance
    decomposition. The American Statistician 61, 139-147. https://doi.org/10.1198/000313007X188252
    Nimon, K. F., Oswald, F. L. (2013). Understanding the results of multiple linear regression.
    Organizational Research Methods 16, 650-674. https://doi.org/10.1177/1094428113493929
    López-López, J. A., Marín-Martínez, F., Sánchez-Meca, J., Van den Noortgate, W., Viechtbauer, W. (2014).
    Estimation of the predictive power of the model in mixed-effects meta-regression. British Journal of
    Mathematical and Statistical Psychology 67, 30-48. https://doi.org/10.1111/bmsp.12002
    Freedman, D., Lane, D. (1983). https://doi.org/10.1080/07350015.1983.10509354
    DiCiccio, C. J., Romano, J. P. (2017). https://doi.org/10.1080/01621459.2016.1202117

    Examples
    --------
    >>> import numpy as np, pandas as pd, metaexo as mx
    >>> data = pd.DataFrame({"source": ["plant", "milk"] * 12, "isolation": ["UC", "UC", "SEC", "SEC"] * 6})
    >>> y = np.random.default_rng(1).normal(0.8 * (data["source"] == "milk"), 0.3)
    >>> found = mx.attribute_heterogeneity(mx.EffectSizes(y, [0.02] * 24, data=data), draws=0)
    >>> found.verdict.kind, round(found.shares["source"], 2)
    ('source', 0.93)
    """
    effects = _by_cluster(effects, cluster)
    work, confounded = begin(effects, by, Choices(method, draws, permutations, seed, level, min_studies))
    refused = refusal(work.found, confounded)
    if progress is not None:
        check_flag("progress", progress)
    if refused is None:
        return _separate(work, confounded, progress)
    if refused.kind == "not_separable" and work.found.residual_df >= LEAST_DF:
        return _together(work, confounded, refused, progress)
    return _refused(work, confounded, refused)


def attribution_verdict(
    effects: EffectSizes,
    by: str | Sequence[str] = ("source", "isolation"),
    *,
    permutations: int = 999,
    seed: int = 0,
    level: float = 0.95,
    method: str = "REML",
    min_studies: int = 2,
    cluster: str = "study",
) -> Verdict:
    """Return the verdict of an attribution alone, without intervals and variance components.

    Use it in simulations, where the same question is asked of thousands of data sets; with 199 permutations
    it takes some hundredths of a second. The verdict is the one of :func:`metaexo.attribute_heterogeneity`
    with the same seed and `draws=0`.

    Parameters
    ----------
    effects : EffectSizes
        Effects with the factors among the columns of `data`.
    by : str or sequence of str
        One to five columns.
    permutations, seed, level, method, min_studies, cluster : int, int, float, str, int and str
        As in :func:`metaexo.attribute_heterogeneity`.

    Returns
    -------
    Verdict
        Kind, sentence and reasons.

    Raises
    ------
    InputError
        If no factor, too many or equal ones are named, or a number is out of its range.
    UnknownChoiceError
        If a factor is not a column, or the method is not known.
    TooFewStudiesError
        If there are no effects.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> from metaexo.heterogeneity import attribution_verdict
    >>> data = pd.DataFrame({"source": ["plant"] * 3 + ["milk"] * 3, "isolation": ["SEC"] * 3 + ["UC"] * 3})
    >>> es = mx.EffectSizes([0.1, 0.3, 0.2, 0.9, 1.1, 1.0], [0.04] * 6, data=data)
    >>> print(attribution_verdict(es))
    These data cannot separate source from isolation because every effect with source milk has isolation UC,
    and every effect with source plant has isolation SEC.
    """
    effects = _by_cluster(effects, cluster)
    work, confounded = begin(effects, by, Choices(method, 0, permutations, seed, level, min_studies))
    refused = refusal(work.found, confounded)
    if refused is not None:
        return refused
    parts = separable_parts(work.table, has_interaction(work))
    tau2 = estimates(work, parts)
    if tau2[0, 0] == 0:
        return no_heterogeneity(work.found)
    shares = parts.shares(tau2)[0]
    verdict = judge(evidence(work, permutation_tests(work, parts), shares), confounded)
    return _with_cautions(verdict, work, shares)


def _by_cluster(effects: EffectSizes, cluster: str) -> EffectSizes:
    """Return effects whose studies are the levels of a column."""
    if not isinstance(cluster, str):
        raise InputError(f"cluster is {describe(cluster)}", '"study" or the name of a column')
    check_effects(effects, "mx.attribute_heterogeneity")
    if cluster == "study":
        return effects
    return effects.with_columns(study=[str(label) for label in cluster_labels(effects, cluster)])


def _separate(work: Work, confounded: Confounding, progress: bool | None) -> AttributionResults:
    """Return the attribution to factors that are separately estimable."""
    table, interaction = work.table, has_interaction(work)
    parts = separable_parts(table, interaction)
    tests = 2**table.p - 1 + (table.p if table.p > 1 else 0) + interaction
    with shown(work, parts, tests, progress) as seen:
        got = numbers(seen, parts)
        if got.explained.tau2 == 0:
            return _refused(work, confounded, no_heterogeneity(work.found))
        tested = permutation_tests(seen, parts)
    verdict = judge(evidence(work, tested, got.shares, got.low, got.high), confounded)
    verdict = _with_cautions(verdict, work, got.shares)
    random = variance_shares(work.used, table, interaction)
    rows = [replace(row, random_share=random.shares.get(row.name)) for row in _rows(parts, got, tested.of)]
    rows[: table.p] = [replace(row, pvalue_alone=tested.alone[f]) for f, row in enumerate(rows[: table.p])]
    if table.p > 1 and not interaction:
        rows.insert(table.p, Part("interaction", "interaction", note=_no_interaction(work)))
    return _results(work, confounded, verdict, tuple(rows), got.explained, random)


def _with_cautions(verdict: Verdict, work: Work, shares: Array) -> Verdict:
    """Return the verdict with what its shares rest on, if that is a single level or study."""
    found = cautions(work, shares, verdict.factors)
    return replace(verdict, reasons=(*verdict.reasons, *found)) if found else verdict


def _together(
    work: Work, confounded: Confounding, refused: Verdict, progress: bool | None
) -> AttributionResults:
    """Return what all factors explain together, where they are confounded."""
    parts = joint_parts(work.table)
    with shown(work, parts, 1, progress) as seen:
        got = numbers(seen, parts)
        if got.explained.tau2 == 0:
            return _refused(work, confounded, refused)
        p = joint_test(seen, parts)
    rows = _rows(parts, got, lambda kind, owners: p if kind == "together" else None)
    silent = _silent(work, refused)
    share = whole_percent(rows[-1].share)
    words = f"together they explain {share} of the between-study variance ({p_value(p)})"
    verdict = replace(refused, reasons=(words, *refused.reasons))
    return _results(work, confounded, verdict, (*silent, *rows), got.explained, None)


def _refused(work: Work, confounded: Confounding, verdict: Verdict) -> AttributionResults:
    """Return a verdict without numbers."""
    rows = (*_silent(work, verdict), Part("unexplained", "unexplained", note=readable(verdict.kind)))
    return _results(work, confounded, verdict, rows, None, None)


def _silent(work: Work, verdict: Verdict) -> tuple[Part, ...]:
    """Return the parts that are not estimable, without numbers."""
    note = readable(verdict.kind)
    names = work.found.by
    parts = [Part(name, "factor", note=note) for name in names]
    return (*parts, Part("interaction", "interaction", note=note)) if len(names) > 1 else tuple(parts)


def _rows(parts: Parts, got: Numbers, p_of: Callable[[PartKind, Subset], float | None]) -> list[Part]:
    """Return the parts with their numbers."""
    corrected = got.corrected(len(parts.names) - 1)
    drawn = not np.isnan(got.low).all()
    return [
        Part(
            name=name,
            kind=kind,
            tau2=float(got.parts[i]),
            share=float(got.shares[i]),
            low=float(got.low[i]) if drawn else None,
            high=float(got.high[i]) if drawn else None,
            p_zero=float(got.p_zero[i]) if drawn and kind != "unexplained" else None,
            chance=float(got.chance[i]),
            corrected=None if kind == "unexplained" or np.isnan(corrected[i]) else float(corrected[i]),
            pvalue=p_of(kind, owners),
        )
        for i, (name, kind, owners) in enumerate(zip(parts.names, parts.kinds, parts.owners, strict=True))
    ]


def _no_interaction(work: Work) -> str:
    """Return why the interaction is not estimable."""
    if work.found.interaction_df == 0:
        return "not estimable: the combinations that occur leave no degree of freedom for it"
    cells = len(work.table.cells()[0])
    return (
        f"not estimable: {plural(work.table.m, 'study', 'studies')} in {plural(cells, 'combination')} leave "
        f"fewer than {LEAST_DF} degrees of freedom"
    )


def _results(
    work: Work,
    confounded: Confounding,
    verdict: Verdict,
    parts: tuple[Part, ...],
    explained: Explained | None,
    random: VarianceShares | None,
) -> AttributionResults:
    model = _additive_model(work)
    return AttributionResults(
        effects=work.effects,
        used=work.used,
        by=work.found.by,
        parts=parts,
        explained=explained,
        verdict=verdict,
        confounding=confounded,
        random=random,
        choices=work.chosen,
        model=model,
        design=Design(np.empty((work.effects.k, 0)), (), None) if model is None else model.design,
        method=work.chosen.method,
        test="knapp-hartung",
        level=work.chosen.level,
    )


def _additive_model(work: Work) -> RandomEffectsResults | None:
    """Return the additive model of all factors, redundant columns left out; None where it has no fit."""
    table = work.table
    names = [
        f"{name}{level}"
        for name, levels in zip(table.names, table.levels, strict=True)
        for level in levels[1:]
    ]
    if not names:
        return None
    columns = table.additive(range(table.p))[:, 1:]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MetaexoWarning)
            model = RandomEffects(work.used, columns, names=names, redundant="drop", dependence="accept")
            fit = model.fit(work.chosen.method, "knapp-hartung", work.chosen.level)
    except MetaexoError:
        return None
    terms = []
    for name, levels in zip(table.names, table.levels, strict=True):
        own = {f"{name}{level}" for level in levels[1:]}
        terms.append(Term(name, tuple(j for j, column in enumerate(fit.design.names) if column in own)))
    design = replace(fit.design, terms=tuple(term for term in terms if term.columns))
    return replace(fit, design=design)
