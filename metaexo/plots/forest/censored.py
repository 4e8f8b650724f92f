"""The rows of a forest plot of censored evidence: exact effects as points, the others as open intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.conversions.scales import back_by_rows
from metaexo.formatting import TEST_NAMES
from metaexo.models.censored.results import CensoredResults
from metaexo.plots.canvas.scale import on_axis
from metaexo.plots.canvas.words import derived_words, ledger_words, typeset
from metaexo.plots.forest.options import Options
from metaexo.plots.forest.plan import Mark
from metaexo.plots.forest.rows import Rows, RowWriter, caution_notes, no_single_effect, weights_of
from metaexo.types import Array

CRITERIA = {"REML": "restricted maximum likelihood (REML)", "ML": "maximum likelihood (ML)"}
OPEN = (
    "Open intervals: the observed effect is known to lie between the round brackets; an arrow where there "
    "is no bound"
)


def rows_of_censored(results: CensoredResults | BoundedEffectSizes, options: Options) -> Rows:
    """Return the rows of a fit of censored evidence, or of bounded effects without any pooling.

    Effects may stand under heads, if `by` names a column.
    """
    fit = results if isinstance(results, CensoredResults) else None
    es = results.effects if isinstance(results, CensoredResults) else results
    level = options.level or (0.95 if fit is None else fit.level)
    weights = None if fit is None else weights_of(fit, options)
    write = CensoredWriter(es, options, level, weights, used=(options.by,))
    rows = [*write.grouped(), *([] if fit is None else write.overall(fit))]
    return write.done(rows, _notes(es, fit))


class CensoredWriter(RowWriter):
    """Writes the rows of a plot of bounded effects; an interval stands where its finite end is."""

    es: BoundedEffectSizes

    def _mark(self, i: int, how: str, share: float | None) -> Mark:
        """Return the mark of one effect: a point with its interval, or an open interval."""
        es = self.es
        if es.is_exact[i]:
            return super()._mark(i, how, share)
        low, high = (
            on_axis(es.measure, self.shown[end, i]) if np.isfinite(bound[i]) else float(bound[i])
            for end, bound in ((1, es.lower), (2, es.upper))
        )
        return Mark("open", None, low, high, hollow=es.kind[i] == "direction")

    def _shown(self) -> Array:
        """Return effects and intervals of points, and the bounds of the others, as shown, shape (3, k)."""
        es = self.es
        half = np.where(es.is_exact, self.quantile * np.sqrt(np.where(es.is_exact, es.v_lower, 0.0)), 0.0)
        return back_by_rows(es, np.array([es.lower, es.lower - half, es.upper + half]))

    def _ranked(self) -> tuple[Array, Array]:
        es, below = self.es, np.isfinite(self.es.lower)
        return np.where(below, es.lower, es.upper), np.where(below, es.v_lower, es.v_upper)

    def _detail(self, fit: Any) -> str:
        found = super()._detail(fit)
        more = f", effective k = {fit.effective:.1f}"
        return found + more if self.options.heterogeneity else found


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
    return tuple(note for note in (*notes, ledger_words(es.ledger)) if note)


def _model_words(fit: CensoredResults) -> str:
    """Return the model in one sentence or two."""
    tau2 = "given" if fit.tau2_given else f"by {CRITERIA[fit.method]}"
    text = (
        f"Random-effects model of exact and censored effects; τ² {tau2}; intervals of the pooled effect: "
        f"{TEST_NAMES[fit.test]}. k effects of m studies, "
        f"equivalent to {fit.effective:.1f} exact effects."
    )
    if fit.m < fit.k:
        text += f" {fit.k} effects of {fit.m} studies are taken as independent."
    return " ".join([text, *no_single_effect(fit)])
