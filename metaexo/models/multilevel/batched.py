"""Fits of a multilevel model without each of many sets of effects, all in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from metaexo.models.multilevel.fit import MultilevelFit
from metaexo.models.multilevel.multivariate_moments import METHODS as MOMENTS
from metaexo.models.multilevel.terms import BETWEEN
from metaexo.numeric.mixed.deletions import can_climb_together, maximise_without
from metaexo.types import Array, Index


@dataclass(frozen=True, slots=True)
class FitsWithout:
    """Fits without each set of effects; NaN where a set has none here."""

    beta: Array  # (B, p): coefficients
    cov: Array  # (B, p, p): their covariance matrices by the model
    tau2: Array  # (B,): variance of true effects, all terms together, averaged over the effects
    tau2_by_component: Array  # (B, c): variance components
    typical: Array  # (B,): sampling variance of a typical effect
    q: Array  # (B,): Cochran's Q
    found: NDArray[np.bool_]  # (B,): whether there is a fit


def is_batched(fit: MultilevelFit) -> bool:
    """Say whether the fits without sets of effects can be made in one call."""
    return (
        fit.weighting is None
        and fit.robust_covariance is None
        and fit.method not in MOMENTS
        and fit.problem.count > len(fit.fixed)
        and can_climb_together(fit.problem)
    )


def fits_without(fit: MultilevelFit, sets: Sequence[Index]) -> FitsWithout:
    """Return the fits without each set of effects.

    Sets that leave too few levels of a term to estimate its variance by itself have no fit here; fitted
    alone, the model says why.
    """
    alone = maximise_without(fit.problem, sets, fit.method == "REML", fit.maximum.theta, fit.fixed)
    found = alone.found & np.array([_separable(fit, rows) for rows in sets], dtype=bool)
    b, components = len(sets), len(fit.tau2_by_component)
    tau2, each = np.full(b, np.nan), np.full((b, components), np.nan)
    kinds = [kind for named in fit.terms for kind in named.kinds]
    for i in np.flatnonzero(found).tolist():
        parts = fit.problem.split(alone.theta[i])
        values = [named.term.structure.values(part) for named, part in zip(fit.terms, parts, strict=True)]
        each[i] = np.concatenate(values)[[kind == "variance" for kind in kinds]]
        kept = np.ones(fit.k, dtype=bool)
        kept[sets[i]] = False
        g = fit.problem.matrices(alone.theta[i])
        tau2[i] = sum(
            term.contributions(a)[kept].mean() for term, a in zip(fit.problem.terms, g, strict=True)
        )
    free = fit.k - np.array([rows.size for rows in sets]) - fit.design.p
    typical = np.where(found, free / np.where(found, alone.trace, 1.0), np.nan)
    return FitsWithout(
        np.where(found[:, None], alone.beta, np.nan),
        np.where(found[:, None, None], alone.cov, np.nan),
        tau2,
        each,
        typical,
        np.where(found, alone.q, np.nan),
        found,
    )


def _separable(fit: MultilevelFit, rows: Index) -> bool:
    """Say whether the other effects keep all inner levels, and tell the terms apart."""
    kept = np.delete(np.arange(fit.k), rows)
    whole = all(np.unique(named.term.column[kept]).size == named.term.size for named in fit.terms)
    return whole and groups_differ(fit, kept)


def groups_differ(fit: MultilevelFit, kept: Index) -> bool:
    """Say whether all terms keep two levels among some effects, and no two of them group these alike."""
    levels = [named.term.level[kept] for named in fit.terms]
    counts = [np.unique(level).size for level in levels]
    apart = ("intercept", *BETWEEN)
    if any(n < 2 and named.structure in apart for n, named in zip(counts, fit.terms, strict=True)):
        return False
    for i, j in combinations(range(len(levels)), 2):
        structured = fit.terms[i].structure != "intercept" or fit.terms[j].structure != "intercept"
        if structured or counts[i] != counts[j]:
            continue
        if np.unique(levels[i] * (levels[j].max() + 1) + levels[j]).size == counts[i]:
            return False
    return True
