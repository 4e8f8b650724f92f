"""The same model on other rows: one refit of a fit of any family.

A refit keeps what was chosen (model, estimator, test, level, given and fixed variances, weights, sampling
covariances, the clusters of robust standard errors) and takes some of the rows, which may repeat. A family of
models registers its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.counts import EventCounts
from metaexo.errors import InputError, MetaexoWarning, ShapeError, TooFewStudiesError
from metaexo.formatting import plural
from metaexo.heterogeneity import attribute_heterogeneity
from metaexo.heterogeneity.attribution.results import AttributionResults
from metaexo.heterogeneity.strata.results import StratifiedResults
from metaexo.heterogeneity.strata.stratify import stratify
from metaexo.inputs import LARGEST, as_word, is_number, read_entries, read_numbers
from metaexo.models.censored.imputation import ImputedResults, impute
from metaexo.models.censored.model import with_effects
from metaexo.models.censored.results import CensoredResults
from metaexo.models.counts.fit import CountResults
from metaexo.models.linear.results import FitResults
from metaexo.models.location_scale.model import with_designs
from metaexo.models.location_scale.results import LocationScaleResults
from metaexo.models.multilevel.model import with_rows
from metaexo.models.multilevel.moments import MomentResults, working_fit
from metaexo.models.multilevel.residuals import marginal_covariance
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.univariate.model import with_design
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.types import Array, Index

Fit = TypeVar("Fit", bound=FitResults)
FIT_COUNTS = "fit a model of counts first, such as mx.CountGLMM(counts).fit()"
# Least eigenvalue of a correlation matrix that is not singular.
SINGULAR = 1e-12


@dataclass(frozen=True, slots=True)
class Taken:
    """The effects of a refit, and where they come from."""

    effects: Any  # EffectSizes or BoundedEffectSizes: those of the refit
    rows: Index  # positions in the fit, which may repeat, shape (n,)
    copies: tuple[str, ...] | None  # a label for each of them; rows of different copies are different studies

    def members(self, had: Sequence[Index]) -> list[Index]:
        """Return the rows of each cluster of the fit in the refit; those of different copies are apart."""
        label = np.full(int(max(part.max() for part in had)) + 1, -1, dtype=np.intp)
        for i, part in enumerate(had):
            label[part] = i
        found: dict[tuple[int, str], list[int]] = {}
        copies = ("",) * self.rows.size if self.copies is None else self.copies
        for place, key in enumerate(zip(label[self.rows].tolist(), copies, strict=True)):
            found.setdefault(key, []).append(place)
        return [np.array(part, dtype=np.intp) for part in found.values()]


def refit(
    fit: Fit,
    rows: ArrayLike | None = None,
    *,
    y: ArrayLike | None = None,
    v: ArrayLike | None = None,
    copies: Sequence[object] | None = None,
) -> Fit:
    """Return the same model fitted to some of the rows of a fit.

    Use it for a sensitivity analysis that has no function here. What was chosen stays: model, estimator,
    test, level, a given tau2, fixed components, weights, sampling covariances, and the clusters of robust
    standard errors. The columns of the design stay too; rows that do not determine all of them are refused.

    Parameters
    ----------
    fit : FitResults
        A fit of any family.
    rows : array_like, optional
        A mask of length k, or positions from 0, which may repeat. Default: all rows.
    y, v : array_like, shape (n,), optional
        Other effects and sampling variances for these rows, such as simulated ones. Correlations of sampling
        errors stay. Not for censored evidence.
    copies : sequence of length n, optional
        A label for each row. Rows of the same study with different labels count as different studies, as the
        bootstrap of whole studies needs; so do levels of random terms nested within them. Crossed terms share
        their levels.

    Returns
    -------
    FitResults
        A fit of the same class; rows that are not taken are in its ledger, unless some repeat. Warnings that
        the fit gave are not given again.

    Raises
    ------
    InputError
        If `fit` is no fit, or rows, effects or variances cannot be used.
    NotIdentifiableError
        If the rows do not determine a column of the design, or a variance.
    TooFewStudiesError
        If there are too few rows.

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.02, 0.05, 0.03, 0.04])
    >>> fit = mx.RandomEffects(es).fit()
    >>> again = mx.sensitivity.refit(fit, [0, 1, 2])
    >>> again.k, round(again.estimate, 2), again.test
    (3, 0.26, 'knapp-hartung')
    """
    checked_fit(fit)
    taken = _take(fit, rows, y, v, copies)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetaexoWarning)
        found = _refit(fit, taken)
        robust = fit.robust_covariance
        if robust is None or not robust.members:
            return found  # type: ignore[no-any-return]
        labels = np.empty(taken.rows.size, dtype=object)
        for i, part in enumerate(taken.members(robust.members)):
            labels[part] = str(i)
        return found.robust(list(labels), robust.kind, robust.df_rule)  # type: ignore[no-any-return]


def checked_fit(fit: object) -> FitResults:
    """Return a fit, or say what was handed in instead."""
    if not isinstance(fit, FitResults):
        counts = isinstance(fit, EventCounts)
        raise InputError(
            f"the fit is of type {type(fit).__name__}",
            "a fitted model",
            FIT_COUNTS if counts else "mx.RandomEffects(effects).fit()",
        )
    return fit


def _take(
    fit: FitResults,
    rows: ArrayLike | None,
    y: ArrayLike | None,
    v: ArrayLike | None,
    copies: Sequence[object] | None,
) -> Taken:
    """Return the effects of a refit, with everything checked."""
    at = np.arange(fit.k) if rows is None else _positions(rows, fit.k)
    words = None if copies is None else tuple(map(as_word, read_entries(copies, "copies")))
    if words is not None and len(words) != at.size:
        raise ShapeError(
            f"copies has {plural(len(words), 'entry', 'entries')} for {plural(at.size, 'row')}",
            "one label per row",
        )
    changes: dict[str, Any] = {}
    for name, values in (("y", y), ("v", v)):
        if values is None:
            continue
        refuse_values(fit, name)
        changes[name] = checked_values(name, values, (at.size,))
    return Taken(fit.effects._taken(at, words, **changes), at, words)


def refuse_values(fit: FitResults, name: str) -> None:
    """Refuse other effects or variances for a fit that does not rest on effects that are points."""
    bounded = isinstance(fit.effects, BoundedEffectSizes)
    if bounded or isinstance(fit, CountResults):
        evidence = "censored evidence, whose effects are bounds" if bounded else "counts of events"
        raise InputError(
            f"{name} was given for a fit of {evidence}",
            "a fit of effects that are points",
            "leave y and v out",
        )


def checked_values(name: str, values: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Return effects or variances of refits, checked."""
    found = read_numbers(values, name)
    if found.shape != shape:
        raise ShapeError(f"{name} has shape {found.shape}", f"shape {shape}")
    least = 0.0 if name == "v" else -LARGEST
    if not ((found >= least) & (found <= LARGEST)).all():
        raise InputError(f"some values of {name} are missing, infinite or out of range", "finite numbers")
    return np.array(found)


def _positions(rows: object, k: int) -> Index:
    """Return positions from a mask or from positions, which may repeat."""
    needed = f"a mask of {k} entries that are True or False, or positions from 0 to {k - 1}"
    if isinstance(rows, str):
        raise InputError(f"rows is the text {rows!r}", needed)
    entries = read_entries(rows, "rows")
    if all(isinstance(entry, bool | np.bool_) for entry in entries) and len(entries) == k:
        found = np.flatnonzero(np.array(entries, dtype=bool))
    else:
        whole = all(isinstance(entry, int | np.integer) and is_number(entry) for entry in entries)
        if not whole or any(not 0 <= int(entry) < k for entry in entries):
            raise InputError("rows are neither a mask nor positions", needed)
        found = np.array([int(entry) for entry in entries], dtype=np.intp)
    if not found.size:
        raise TooFewStudiesError("no rows are chosen", "at least one row", "choose some")
    return found


@singledispatch
def _refit(fit: Any, taken: Taken) -> Any:
    """Return the fit of other effects; a family registers its own."""
    raise InputError(
        f"{type(fit).__name__} cannot be refitted on some of their rows",
        "a fit of a model of this package",
        "fit the rows by themselves: effects.select(...)",
    )


@_refit.register(RandomEffectsResults)
def _(fit: RandomEffectsResults, taken: Taken) -> RandomEffectsResults:
    weights = None if fit.weighting is None else fit.weighting[taken.rows]
    model = with_design(taken.effects, fit.design.at(taken.rows), weights)
    tau2 = fit.tau2 if fit.tau2_given else None
    return model.fit(fit.method, fit.test, fit.level, tau2, df=fit.df_given)


@_refit.register(MultilevelResults)
def _(fit: MultilevelResults, taken: Taken) -> MultilevelResults:
    return with_rows(fit, taken.effects, taken.rows, taken.copies).fit(fit.method, fit.test, fit.level)


@_refit.register(MomentResults)
def _(fit: MomentResults, taken: Taken) -> MomentResults:
    design, members = fit.design.at(taken.rows), taken.members(fit.members)
    return working_fit(taken.effects, design, members, fit.working, fit.correlation, fit.level)


@_refit.register(CensoredResults)
def _(fit: CensoredResults, taken: Taken) -> CensoredResults:
    model = with_effects(taken.effects, fit.design.at(taken.rows))
    return model.fit(fit.method, fit.test, fit.level, fit.tau2 if fit.tau2_given else None)


@_refit.register(ImputedResults)
def _(fit: ImputedResults, taken: Taken) -> ImputedResults:
    return impute(_refit(fit.likelihood, taken), fit.draws, fit.seed, fit.draw_tau2)


@_refit.register(LocationScaleResults)
def _(fit: LocationScaleResults, taken: Taken) -> LocationScaleResults:
    location, scale = (design.at(taken.rows) for design in (fit.design, fit.scale_design))
    return with_designs(taken.effects, location, scale, fit.link).fit(fit.method, fit.test, fit.level)


@_refit.register(CountResults)
def _(fit: Any, taken: Taken) -> Any:
    return fit.on(fit.counts._taken(taken.rows, taken.copies), fit.design.at(taken.rows))


@_refit.register(StratifiedResults)
def _(fit: StratifiedResults, taken: Taken) -> StratifiedResults:
    effects, cluster = taken.effects, fit.cluster or None
    if taken.copies is not None and fit.clusters is not None and cluster not in (None, "study"):
        labels = [f"{fit.clusters[i]} ({copy})" for i, copy in zip(taken.rows, taken.copies, strict=True)]
        effects = effects.with_columns(**{str(cluster): labels})
    found = stratify(
        effects,
        fit.by,
        fit.tau2_mode,
        fit.method,
        fit.test,
        fit.level,
        cluster=cluster,
        unreported="mixture" if fit.latent is not None or fit.latent_note else "apart",
        compare_unreported=fit.compare_unreported,
    )
    place = {name: i for i, name in enumerate(fit.order)}
    order = tuple(sorted((s.name for s in found.strata if s.name in place), key=place.__getitem__))
    return replace(found, order=order)


@_refit.register(AttributionResults)
def _(fit: AttributionResults, taken: Taken) -> AttributionResults:
    chosen = fit.choices
    return attribute_heterogeneity(
        taken.effects,
        fit.by,
        draws=chosen.draws,
        permutations=chosen.permutations,
        seed=chosen.seed,
        level=chosen.level,
        method=chosen.method,
        min_studies=chosen.min_studies,
        progress=False,
    )


# -- the covariance matrix of effects, family by family, that residuals of other rows are measured by --------


@singledispatch
def covariance_of(fit: FitResults, of: FitResults, rows: Index) -> Array | None:
    """Return the covariance of some effects of a fit by the heterogeneity of another; None without one."""
    return None


@covariance_of.register(RandomEffectsResults)
def _(fit: RandomEffectsResults, of: RandomEffectsResults, rows: Index) -> Array:
    return np.diag(of.effects.v[rows] + fit.tau2)


@covariance_of.register(CountResults)
def _(fit: CountResults, of: CountResults, rows: Index) -> Array:
    return np.diag(of.effects.v[rows] + fit.tau2)


@covariance_of.register(LocationScaleResults)
def _(fit: LocationScaleResults, of: LocationScaleResults, rows: Index) -> Array:
    return np.diag(of.effects.v[rows] + fit.scale_coefficients.tau2_at(of.scale_design.matrix(of.k)[rows]))


@covariance_of.register(StratifiedResults)
def _(fit: StratifiedResults, of: StratifiedResults, rows: Index) -> Array:
    tau2 = np.full(of.k, np.nan)
    for stratum in of.strata:
        tau2[stratum.rows] = fit.tau2_by_component.get(stratum.name, np.nan)
    return np.diag(of.effects.v[rows] + tau2[rows])


@covariance_of.register(MultilevelResults)
def _(fit: MultilevelResults, of: MultilevelResults, rows: Index) -> Array | None:
    if fit.problem.count != of.problem.count:  # an inner level that is gone
        return None
    return marginal_covariance(replace(of, maximum=fit.maximum), rows)


@covariance_of.register(MomentResults)
def _(fit: MomentResults, of: MomentResults, rows: Index) -> Array:
    label = np.empty(of.k, dtype=np.intp)
    for g, part in enumerate(of.members):
        label[part] = g
    sd = np.sqrt(of.effects.v[rows])
    shared = label[rows][:, None] == label[rows]
    between = fit.tau2_by_component["between studies"]
    out = np.where(shared, (fit.correlation or 0.0) * np.outer(sd, sd) + between, 0.0)
    np.fill_diagonal(out, of.effects.v[rows] + fit.tau2)
    return np.asarray(out)


def quadratic_form(residual: Array, covariance: Array) -> float:
    """Return residual' covariance^-1 residual; NaN where there is none."""
    if not (np.isfinite(residual).all() and np.isfinite(covariance).all()):
        return float("nan")
    size = np.sqrt(np.diagonal(covariance))
    if not (size > 0).all():
        return float("nan")
    values, vectors = np.linalg.eigh(covariance / np.outer(size, size))
    if not values[0] > SINGULAR:
        return float("nan")
    return float((((residual / size) @ vectors) ** 2 / values).sum())
