"""The rows of a forest plot of a multilevel fit: effects under the study that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metaexo.formatting import level_words, plural, shown
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.multilevel.terms import NamedTerm
from metaexo.plots.canvas.words import intervals_of, name_of
from metaexo.plots.forest.options import Options
from metaexo.plots.forest.plan import ForestRow
from metaexo.plots.forest.rows import (
    INDENT,
    LABEL,
    Rows,
    RowWriter,
    caution_notes,
    evidence_notes,
    no_single_effect,
    weights_of,
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A level of the term that heads are made of, with its mean effect as the model predicts it."""

    name: str
    rows: tuple[int, ...]  # positions of its effects
    labels: tuple[str, ...]  # what stands beside them
    mean: Any  # a prediction with its interval; None where the model has none


def rows_of_multilevel(fit: MultilevelResults, options: Options) -> Rows:
    """Return the rows of a multilevel fit: clusters with their effects, overall effect, prediction interval.

    A cluster of one effect is one row. A cluster of several has a head with its mean effect as the model
    predicts it (an open diamond), and what all its effects have in common stands there once.
    """
    es, level = fit.effects, options.level or fit.level
    write = RowWriter(es, options, level, weights_of(fit, options))
    clusters = clusters_of(fit, write)
    for cluster in clusters:
        for i, label in zip(cluster.rows, cluster.labels, strict=True):
            write.labels[i] = label
    grouped = any(len(cluster.rows) > 1 for cluster in clusters)
    rows: list[ForestRow] = []
    for c, cluster in enumerate(clusters):
        rows += [ForestRow(f"rule:{c}", "rule")] * (grouped and c > 0)
        rows += _cluster_rows(write, c, cluster)
    rows += write.overall(fit)
    notes = [model_in_words(fit), *caution_notes(fit)]
    if any(row.kind == "cluster" and row.mark is not None for row in rows):
        notes.append(
            f"Open diamond: mean effect of the {_kind(fit, options)} as the model predicts it, drawn towards "
            f"the overall effect, with its {level_words(level)} interval."
        )
    return write.done(rows, [*notes, *no_single_effect(fit), *evidence_notes(es)])


def clusters_of(fit: MultilevelResults, write: RowWriter) -> list[Cluster]:
    """Return the levels of the term that heads are made of, in the order of their first effects.

    The term is that of `by`, or of the study, or else the first with fewer levels than effects; without any
    every effect is alone.
    """
    es = fit.effects
    order = write.ordered(range(es.k))
    named = cluster_term(fit, write.options.by)
    if named is None:
        return [Cluster("", (i,), (es.row_labels[i],), None) for i in order]
    members: dict[int, list[int]] = {}
    for i in order:
        members.setdefault(int(named.term.level[i]), []).append(i)
    # means of levels rest on the weights and covariances of the model
    by_model = fit.weighting is None and fit.robust_covariance is None
    has_means = by_model and fit.design.x is None and named.structure == "intercept"
    found = []
    for at, rows in members.items():
        name, labels = _split_labels(named.levels[at], [es.row_labels[i] for i in rows])
        mean = None
        if has_means and len(rows) > 1:
            mean = fit.predict(level=write.level, given={named.name: named.levels[at]}).iloc[0]
        found.append(Cluster(name, tuple(rows), labels, mean))
    return found


def cluster_term(fit: MultilevelResults, by: str | None) -> NamedTerm | None:
    """Return the random term whose levels become heads; None if no term has several effects a level."""
    if by is not None:
        return fit.terms[fit.position(by)]
    coarse = [named for named in fit.terms if named.term.levels < fit.k]
    return next((named for named in coarse if named.name == "study"), coarse[0] if coarse else None)


def _kind(fit: MultilevelResults, options: Options) -> str:
    """Return what the heads are, for a note."""
    named = cluster_term(fit, options.by)
    return "level" if named is None or "/" in named.name else name_of(named.name)


def _split_labels(level: str, labels: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the name of a cluster and the labels within it: what all labels open with is said once."""
    parts = [label.partition(", ") for label in labels]
    if len(labels) == 1:
        return labels[0], tuple(labels)
    if len({first for first, _, _ in parts}) == 1 and all(rest for _, _, rest in parts):
        return parts[0][0], tuple(rest for _, _, rest in parts)
    return level, tuple(labels)


def _cluster_rows(write: RowWriter, position: int, cluster: Cluster) -> list[ForestRow]:
    """Return the rows of one cluster: a single effect, or a head and the effects under it."""
    if len(cluster.rows) == 1:
        return [write.study(cluster.rows[0], 0.0)]
    rows = [write.study(i, INDENT) for i in cluster.rows]
    data = [column.key for column in write.columns]
    common = {key: rows[0].cells[key] for key in data if len({row.cells[key] for row in rows}) == 1}
    rows = [replace(row, cells={k: cell for k, cell in row.cells.items() if k not in common}) for row in rows]
    return [_head(write, position, cluster, common), *rows]


def _head(write: RowWriter, position: int, cluster: Cluster, common: dict[str, tuple[str, ...]]) -> ForestRow:
    cells = {LABEL: (cluster.name,)} | common
    mark = weight = None
    if write.weights is not None:
        weight = float(write.weights[list(cluster.rows)].sum())
    if cluster.mean is not None:
        by_size = write.es.measure.by_size is not None
        members = write.es.select(list(cluster.rows), "of other clusters") if by_size else write.es
        mark = write.pooled_mark(cluster.mean, members, hollow=True)
        cells |= write.numbers(mark, weight)
    return ForestRow(f"cluster:{position}", "cluster", cells, mark=mark, weight=weight)


def model_in_words(fit: MultilevelResults) -> str:
    """Return the model of a multilevel fit in one sentence: terms with their SDs, errors, intervals.

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.1, 0.3, 0.9, 0.7], [0.02] * 4, study=["a", "a", "b", "b"])
    >>> print(model_in_words(mx.Multilevel(es, "study").fit()))
    Multilevel model (REML); SD of random effects: study 0.41. Sampling errors independent; intervals: ...
    """
    parts = []
    for named in fit.terms:
        sds = [
            f"{shown(float(np.sqrt(fit.component_values[name])), 2)}"
            for name, kind in zip(named.components, named.kinds, strict=True)
            if kind == "variance"
        ]
        parts.append(f"{named.name} {' and '.join(sds)}")
    pairs = (fit.problem.v.nnz - fit.k) // 2
    errors = f"correlated in {plural(pairs, 'pair')}" if pairs > 0 else "independent"
    return (
        f"Multilevel model ({fit.method}); SD of random effects: {', '.join(parts)}. "
        f"Sampling errors {errors}; intervals: {intervals_of(fit)}."
    )
