"""The rows of a forest plot of families that have their own: effects under their study, open intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.conversions.scales import back_by_rows
from metaexo.formatting import TEST_NAMES, level_words, plural, shown
from metaexo.models.censored.results import CensoredResults
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.multilevel.terms import NamedTerm
from metaexo.numeric.estimators import ESTIMATORS
from metaexo.plots.canvas.words import derived_words, intervals_of, name_of, same_line, typeset
from metaexo.plots.forest.options import Options
from metaexo.plots.forest.rows import (
    INDENT,
    RowWriter,
    caution_notes,
    no_single_effect,
    weights_of,
)
from metaexo.plots.table.rows import LABEL, Mark, Row, Table
from metaexo.types import Array

OPEN = (
    "Open intervals: the observed effect is known to lie between the round brackets; an arrow where there "
    "is no bound"
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A level of the term that heads are made of, with its mean effect as the model predicts it."""

    name: str
    rows: tuple[int, ...]  # positions of its effects
    labels: tuple[str, ...]  # what stands beside them
    mean: Any  # a prediction with its interval; None where the model has none


def table_of_multilevel(fit: MultilevelResults, options: Options) -> Table:
    """Return the table of a multilevel fit: clusters with their effects, overall effect, prediction interval.

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
    rows: list[Row] = []
    for c, cluster in enumerate(clusters):
        rows += [Row(id=f"rule:{c}", kind="rule")] * (grouped and c > 0)
        rows += _cluster_rows(write, c, cluster)
    rows += write.overall(fit)
    notes = [model_in_words(fit), *caution_notes(fit)]
    if any(row.kind == "cluster" and row.mark is not None for row in rows):
        notes.append(
            f"Open diamond: mean effect of the {_kind(fit, options)} as the model predicts it, drawn towards "
            f"the overall effect, with its {level_words(level)} interval."
        )
    return write.table(rows, [*notes, *no_single_effect(fit), *derived_words(es.derived)])


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
    """Return the random term whose levels become heads; None if no term has several effects per level."""
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
    if all(label.startswith(f"{level}, ") for label in labels):
        return level, tuple(label.removeprefix(f"{level}, ") for label in labels)
    if len({first for first, _, _ in parts}) == 1 and all(rest for _, _, rest in parts):
        return parts[0][0], tuple(rest for _, _, rest in parts)
    return level, tuple(labels)


def _cluster_rows(write: RowWriter, position: int, cluster: Cluster) -> list[Row]:
    """Return the rows of one cluster: a single effect, or a head and the effects under it."""
    if len(cluster.rows) == 1:
        return [write.study(cluster.rows[0], 0.0)]
    rows = [write.study(i, INDENT) for i in cluster.rows]
    data = [column.key for column in write.columns]
    common = {key: rows[0].cells[key] for key in data if len({row.cells[key] for row in rows}) == 1}
    rows = [replace(row, cells={k: cell for k, cell in row.cells.items() if k not in common}) for row in rows]
    return [_head(write, position, cluster, common), *rows]


def _head(write: RowWriter, position: int, cluster: Cluster, common: dict[str, tuple[str, ...]]) -> Row:
    cells = {LABEL: (cluster.name,)} | common
    mark = weight = None
    if write.weights is not None:
        weight = float(write.weights[list(cluster.rows)].sum())
    if cluster.mean is not None:
        by_size = write.es.measure.by_size is not None
        members = write.es.select(list(cluster.rows), "of other clusters") if by_size else write.es
        mark = write.pooled_mark(cluster.mean, members, hollow=True)
        cells |= write.numbers(mark, weight)
    return Row(
        id=f"cluster:{position}",
        kind="cluster",
        cells=cells,
        marks=() if mark is None else (mark,),
        weight=weight,
    )


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


def table_of_censored(results: CensoredResults | BoundedEffectSizes, options: Options) -> Table:
    """Return the table of a fit of censored evidence, or of bounded effects without any pooling.

    Effects may stand under heads, if `by` names a column.
    """
    fit = results if isinstance(results, CensoredResults) else None
    es = results.effects if isinstance(results, CensoredResults) else results
    level = options.level or (0.95 if fit is None else fit.level)
    weights = None if fit is None else weights_of(fit, options)
    write = CensoredWriter(es, options, level, weights, used=(options.by,))
    rows = [*write.grouped(), *([] if fit is None else write.overall(fit))]
    return write.table(rows, _notes(es, fit))


class CensoredWriter(RowWriter):
    """Writes the rows of a plot of bounded effects; an interval stands where its finite end is."""

    es: BoundedEffectSizes

    def _mark(self, i: int, how: str, share: float | None) -> Mark:
        """Return the mark of one effect: a point with its interval, or an open interval."""
        es = self.es
        if es.is_exact[i]:
            return super()._mark(i, how, share)
        low, high = (
            float(self.shown[end, i]) if np.isfinite(bound[i]) else float(bound[i])
            for end, bound in ((1, es.lower), (2, es.upper))
        )
        return Mark(shape="open", low=low, high=high, hollow=es.kind[i] == "direction")

    def _shown(self) -> Array:
        """Return effects and intervals of points, and the bounds of the others, as shown, shape (3, k).

        What is no point has no effect.
        """
        es = self.es
        half = np.where(es.is_exact, self.quantile * np.sqrt(np.where(es.is_exact, es.v_lower, 0.0)), 0.0)
        shown = back_by_rows(es, np.array([es.lower, es.lower - half, es.upper + half]))
        shown[0, ~es.is_exact] = np.nan
        return shown

    def _ranked(self) -> tuple[Array, Array]:
        es, below = self.es, np.isfinite(self.es.lower)
        return np.where(below, es.lower, es.upper), np.where(below, es.v_lower, es.v_upper)

    def _detail(self, fit: Any, whole: bool = False) -> list[str]:
        found = super()._detail(fit, whole)
        return (
            [*found, same_line(f"effective k = {fit.effective:.1f}")] if self.options.heterogeneity else found
        )


def _notes(es: BoundedEffectSizes, fit: CensoredResults | None) -> tuple[str, ...]:
    """Return the lines below the plot: model, how open intervals are to be read, evidence."""
    exact = [mark for mark, point in zip(es.derived, es.is_exact, strict=True) if point]
    open_ = [
        mark.note for mark, point in zip(es.derived, es.is_exact, strict=True) if not point and mark.note
    ]
    assumed = list(dict.fromkeys(part for note in open_ for part in note.split("; ")))
    dashed = "; dashed: a direction alone" if "direction" in es.kind else ""
    said = [f"{OPEN}{dashed}."] if not es.is_exact.all() else []
    said += [f"Assumed for open intervals: {typeset('; '.join(assumed))}."] if assumed else []
    model = [] if fit is None else [_model_words(fit), *caution_notes(fit)]
    notes = [*model, *said, *derived_words(exact)]
    return tuple(note for note in notes if note)


def _model_words(fit: CensoredResults) -> str:
    """Return the model in one sentence or two."""
    tau2 = "given" if fit.tau2_given else f"by {ESTIMATORS[fit.method].name} ({fit.method})"
    text = (
        f"Random-effects model of exact and censored effects; τ² {tau2}; intervals of the pooled effect: "
        f"{TEST_NAMES[fit.test]}. k effects of m studies, "
        f"equivalent to {fit.effective:.1f} exact effects."
    )
    if fit.m < fit.k:
        text += f" {fit.k} effects of {fit.m} studies are taken as independent."
    return " ".join([text, *no_single_effect(fit)])
