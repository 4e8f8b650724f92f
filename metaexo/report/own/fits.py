"""The rows of a report: one per study, or per study and level, averaged with the covariance they have."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from metaexo.effects import (
    Block,
    EffectSizes,
    aggregate,
    covariance_blocks,
    shared_arms,
    shared_control_covariances,
)
from metaexo.errors import DependentEffectsWarning, MetaexoError, MetaexoWarning
from metaexo.heterogeneity.levels import factor_levels
from metaexo.report.own.asked import CORRELATION


def one_row_each(effects: EffectSizes, by: tuple[str, ...]) -> EffectSizes:
    """Return one effect per study and combination of levels: the mean of those that share both.

    Their covariances are those of :func:`covariances`. Effects of which there is one are as they were.
    """
    levels = [levels_of(effects, factor).tolist() for factor in by]
    studies = list(effects.study or effects.row_ids)
    cells = list(zip(studies, *levels, strict=True))
    number = {cell: str(i) for i, cell in enumerate(dict.fromkeys(cells))}
    if len(number) == len(cells):
        return effects
    with quiet([]):
        same = effects.with_columns(study=[number[cell] for cell in cells])
        rows = aggregate(same, blocks=covariances(same), weighted=False)
        rows = rows.with_columns(study=rows.column("study_name").tolist())
    return rows.with_labels(_labels(rows, by))


def levels_of(effects: EffectSizes, factor: str) -> NDArray[np.object_]:
    """Return the level of each effect; what is unclear about levels is said where strata are made."""
    with quiet([]):
        return factor_levels(effects, factor)


def in_order(effects: EffectSizes, by: Sequence[str] = ()) -> EffectSizes:
    """Return effects in the order of their studies and levels: what is drawn depends on no other."""
    levels = [levels_of(effects, factor).tolist() for factor in by]
    cells = list(zip(effects.study or effects.row_ids, *levels, strict=True))
    order = sorted(range(effects.k), key=cells.__getitem__)
    return effects if order == list(range(effects.k)) else effects._taken(np.array(order), None)


def covariances(effects: EffectSizes) -> tuple[Block, ...]:
    """Return the covariances of the sampling errors of the effects of each study.

    Effects that share an arm have the covariance that it makes; the correlation of the others is assumed.
    All of it is assumed where rows compare the same people twice, or repeat each other.
    """
    try:
        return shared_control_covariances(effects, correlation=CORRELATION)
    except MetaexoError:
        return covariance_blocks(effects.v, effects.study or effects.row_ids, correlation=CORRELATION)


def sharing_studies(effects: EffectSizes) -> list[str]:
    """Return the studies of which effects share an arm whose covariance is known."""
    try:
        shared_control_covariances(effects)
    except MetaexoError:
        return []
    return list(dict.fromkeys(arm.study for arm in shared_arms(effects)))


def assumes(effects: EffectSizes) -> bool:
    """Return whether a covariance of effects of one study is assumed, and not that of an arm they share."""
    try:
        known = shared_control_covariances(effects)
    except MetaexoError:
        return True
    taken = covariances(effects)
    return len(known) != len(taken) or not all(
        np.array_equal(one.rows, other.rows) and np.allclose(one.cov, other.cov)
        for one, other in zip(known, taken, strict=True)
    )


def _labels(rows: EffectSizes, by: tuple[str, ...]) -> list[str]:
    """Return the study of each row, and the levels that distinguish it where the study has several."""
    levels = [levels_of(rows, factor).tolist() for factor in by]
    found = []
    for i, study in enumerate(rows.study):
        same = [j for j, other in enumerate(rows.study) if other == study]
        apart = [words[i] for words in levels if len({words[j] for j in same}) > 1]
        found.append(", ".join([study, *apart]))
    return found


@contextmanager
def quiet(said: list[str]) -> Iterator[None]:
    """Collect what the package warns of, each text once; other warnings go their way."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for one in caught:
        if not isinstance(one.message, MetaexoWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        elif not isinstance(one.message, DependentEffectsWarning):
            text = str(one.message)
            if text not in said:
                said.append(text)
