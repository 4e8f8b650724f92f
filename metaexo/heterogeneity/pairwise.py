"""Differences between all pairs of strata."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from metaexo.heterogeneity.strata_means import SAME_MEAN, differences
from metaexo.models.coefficients import LinearResults
from metaexo.models.contrasts import Contrasts, adjust_pvalues, make_contrasts
from metaexo.models.hypothesis import TestResult


def all_pairs(
    means: LinearResults,
    names: Sequence[str],
    joint: TestResult | None,
    adjust: str | None,
    level: float | None,
) -> Contrasts:
    """Return the differences between all pairs of means, the later minus the earlier.

    Each pair is tested by itself: together they are more than the means can carry, so the joint test is that
    all means are equal.

    Parameters
    ----------
    means : LinearResults
        Two means or more.
    names : sequence of str
        The means that are compared.
    joint : TestResult or None
        The test that all are equal, where there is one.
    adjust : str or None
        How p-values are adjusted for their number.
    level : float, optional
        Level of the intervals.
    """
    places = [means.design.names.index(name) for name in names]
    pairs = list(combinations(places, 2))
    rows = np.zeros((len(pairs), means.design.p))
    for row, (i, j) in zip(rows, pairs, strict=True):
        row[[i, j]] = -1.0, 1.0
    parts = [make_contrasts(means, row[None], level=level) for row in rows]
    column = {
        field: np.concatenate([getattr(part, field) for part in parts])
        for field in ("null", "estimate", "se", "statistic", "pvalue", "low", "high")
    }
    df = [part.df for part in parts if part.df is not None]
    if joint is None:
        apart = differences(means.design.p, places)
        joint = means.joint_test(apart, np.zeros(len(apart)), SAME_MEAN)
    return Contrasts(
        names=tuple(f"{means.design.names[j]} minus {means.design.names[i]}" for i, j in pairs),
        weights=rows,
        **column,
        df=np.concatenate(df) if df else None,
        adjusted=None if adjust is None else adjust_pvalues(column["pvalue"], adjust),
        adjustment=adjust,
        level=parts[0].level,
        joint=joint,
    )
