"""Adjusted estimates side by side: the mean by each method for small-study effects or selection."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.bias import BiasReport
from metaexo.bias.estimates import RESTS_ON_ONE
from metaexo.bias.report import cautions_by_method, deciding_study, pvalue_of_mean
from metaexo.bias.results import AdjustedEstimate
from metaexo.effects.conversions.scales import back_pooled, without_noise
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.formatting import MISSING, level_words, plural
from metaexo.inputs import describe
from metaexo.models.linear.results import FitResults
from metaexo.plots.canvas.arguments import Column, checked
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import p_words, typeset, with_ledger
from metaexo.plots.forest.options import Options
from metaexo.plots.forest.rows import (
    DIAMOND,
    ReadyEffects,
    has_one_mean,
    mark_of,
    model_note,
    table_of_effects,
)
from metaexo.plots.table.layout import lay_out
from metaexo.plots.table.plan import TablePlan
from metaexo.plots.table.rows import ESTIMATE, LABEL, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

RESTS_ON, CHANCE = "rests_on", "p"
UNADJUSTED = "Unadjusted"
UNCHANGED, UNUSABLE = "Adjusted nothing", "Not to be used"
REMEDY = "hand in a fit and estimates, for example [fit, mx.bias.trim_and_fill(fit)]"
APART = (
    "Each method rests on assumptions of its own: agreement is reassuring, one that differs proves nothing."
)


@checked
def adjusted_plan(
    results: Any,
    *,
    decimals: int | None = None,
    limits: tuple[float, float] | None = None,
    axis_label: str | None = None,
    favours: tuple[str, str] | None = None,
    row_height: float | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> TablePlan:
    """Return what a figure of adjusted estimates shows, without drawing it.

    Use it to show how far a conclusion depends on the method by which small-study effects or selection are
    allowed for: the unadjusted mean first, then one row per method with what it rests on.

    Parameters
    ----------
    results : BiasReport, or sequence of FitResults and AdjustedEstimate
        What :func:`metaexo.bias.report` returned; or the unadjusted fit, which may be left out, and what the
        functions of :mod:`metaexo.bias` return. Also a single estimate.
    decimals : int, optional
        Decimals of the estimates. Default: as for :func:`metaexo.plots.forest_plan`.
    limits : tuple of float, optional
        Ends of the axis, on the scale that is shown.
    axis_label : str, optional
        Words below the axis. Default: the measure.
    favours : tuple of str, optional
        What values left and right of the reference line favour.
    row_height : float, optional
        Height of a row of one line, in points.

    Returns
    -------
    TablePlan
        One row per method with its estimate, its interval and the p-value of no effect. Methods that
        adjusted nothing stand under a head of their own, and so do those whose estimate is not to be used,
        which have no mark and do not stretch the axis.

    Raises
    ------
    InputError
        If there is no adjusted estimate, or something else beside them, or they are of several measures.

    Examples
    --------
    >>> import metaexo as mx
    >>> fit = mx.RandomEffects(mx.EffectSizes([0.9, 0.7, 0.75, 0.4, 0.2], [0.2, 0.1, 0.09, 0.04, 0.02])).fit()
    >>> plan = mx.plots.adjusted_plan([fit, mx.bias.trim_and_fill(fit), mx.bias.pet_peese(fit)])
    >>> [" ".join(row.text or row.cells["label"]) for row in plan.rows if row.marks]
    ['Unadjusted', 'Trim and fill (L0)', 'PET-PEESE (PET)']
    >>> ax = mx.plots.adjusted(plan)
    """
    parts = _parts_of(results)
    fit, estimates = parts.fit, parts.estimates
    known = sorted(filter(_is_drawn, estimates), key=lambda one: not one.is_adjusted)
    look, es = get_theme(theme, font_size), estimates[0].effects
    options = Options.of(locals(), label_title="Method", columns=_columns(look))
    lines = [_line(_title(one), one.rests_on, one, one.pvalue, look) for one in known]
    if fit is not None:
        lines.insert(0, _line(UNADJUSTED, "", fit.pooled(), pvalue_of_mean(fit), look))
    if not lines:
        methods = plural(len(estimates), "method")
        raise InputError(
            f"{methods}, none of which gave an estimate that is to be used", "at least one estimate", REMEDY
        )
    ready = _ready(lines, es)
    table = table_of_effects(ready.effects, options, ready.shown)
    rows = [replace(row, id=f"method:{name}") for row, (name, *_) in zip(table.rows, lines, strict=True)]
    if fit is not None:
        mark = mark_of(es.measure, "diamond", ready.shown[:, 0], DIAMOND)
        cells = {key: cell for key, cell in rows[0].cells.items() if key not in (LABEL, RESTS_ON)}
        rows[0] = replace(rows[0], id="total", kind="total", text=(UNADJUSTED,), cells=cells, marks=(mark,))
        rows.insert(1, Row(id="spacer", kind="spacer"))
    rows = _in_groups(rows, estimates)
    *others, chance, estimate = table.columns
    beside = " and the unadjusted one" if fit is not None else ""
    said = f"{plural(len(estimates), 'adjusted estimate')}{beside} of {plural(es.m, 'study', 'studies')}."
    made = replace(
        table,
        rows=tuple(rows),
        columns=(*others, estimate, replace(chance, kind="number")),  # texts, to the right as numbers are
        pooled=() if fit is None else (float(ready.shown[0, 0]),),
        notes=(*_notes(parts), *notes),
        summary=with_ledger(said, es.ledger),
    )
    return lay_out(made, width, height, ax)


def _in_groups(rows: list[Row], estimates: Sequence[AdjustedEstimate]) -> list[Row]:
    """Return the rows with marks, those that adjusted nothing under a head, and then those without a mark."""
    unchanged = sum(not one.is_adjusted for one in estimates if _is_drawn(one))
    unusable = [one for one in estimates if np.isfinite(one.estimate) and not one.usable]
    first = len(rows) - unchanged
    return [
        *rows[:first],
        *(_without_mark(one) for one in estimates if not np.isfinite(one.estimate)),
        *(_head(UNCHANGED) if unchanged and first else ()),
        *rows[first:],
        *(_head(UNUSABLE) if unusable else ()),
        *map(_without_mark, unusable),
    ]


def _is_drawn(one: AdjustedEstimate) -> bool:
    """Say whether an estimate has a mark."""
    return one.usable and bool(np.isfinite(one.estimate))


def _head(words: str) -> list[Row]:
    """Return the head of a group of methods, with room above."""
    return [Row(id=f"spacer:{words}", kind="spacer"), Row(id=f"head:{words}", kind="head", text=(words,))]


def _without_mark(one: AdjustedEstimate) -> Row:
    """Return the row of a method that has no estimate, or none that is to be used."""
    cells = {LABEL: (_title(one),), RESTS_ON: (one.rests_on,), ESTIMATE: (MISSING, "", "")}
    return Row(id=f"method:{_title(one)}", kind="study", cells=cells)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is drawn: the unadjusted fit, adjusted estimates, and methods that gave no result."""

    fit: FitResults | None
    estimates: list[AdjustedEstimate]
    refused: list[str]
    sentence: str  # of a report

    @property
    def level(self) -> float:
        """Level of the intervals, that of the unadjusted fit if there is one."""
        return self.estimates[0].level if self.fit is None else self.fit.level


def _parts_of(results: Any) -> _Parts:
    """Return what is to be drawn; refuse all else."""
    parts, refused, sentence = results, list[str](), ""
    if isinstance(results, AdjustedEstimate):
        parts = [results]
    elif isinstance(results, BiasReport):
        parts, sentence = [results.unadjusted, *results.estimates], results.sentence
        refused = [one.method for one in results.refused if one.kind == "estimate"]
    if not isinstance(parts, list | tuple):
        raise InputError(f"adjusted was given {describe(results)}", "a list of a fit and estimates", REMEDY)
    fits = [one for one in parts if isinstance(one, FitResults)]
    estimates = [one for one in parts if isinstance(one, AdjustedEstimate)]
    strange = [one for one in parts if not isinstance(one, FitResults | AdjustedEstimate)]
    if strange or len(fits) > 1 or not estimates:
        counts = f"{plural(len(fits), 'fit')} and {plural(len(estimates), 'adjusted estimate')}"
        raise InputError(
            f"adjusted was given {describe(strange[0]) if strange else counts}",
            "one fit at most, and at least one adjusted estimate",
            REMEDY,
        )
    codes = [*(fit.effects.measure.code for fit in fits), *(one.measure.code for one in estimates)]
    if len(set(codes)) > 1:
        raise InputError(
            f"estimates of {', '.join(dict.fromkeys(codes))}",
            "estimates of one measure",
            "draw one figure per measure",
        )
    return _Parts(fits[0] if fits and has_one_mean(fits[0]) else None, estimates, refused, sentence)


def _title(one: AdjustedEstimate) -> str:
    """Return the name of a method as a row opens with it."""
    name = one.name
    return name[:1].upper() + name[1:] if name[:2].isalpha() else name


def _columns(theme: Theme) -> tuple[Column, ...]:
    """Return the columns beside the estimates."""
    return (
        Column(RESTS_ON, "Rests on", "text"),
        Column(CHANCE, theme.p_style[0], "text", side="right"),
    )


def _line(name: str, rests_on: str, found: Any, pvalue: float, theme: Theme) -> tuple[Any, ...]:
    """Return the row of an estimate: name, what it rests on, p-value, estimate and interval as analysed."""
    chance = MISSING if math.isnan(pvalue) else p_words(pvalue, theme.p_style).partition(" ")[2]
    chance = chance.removeprefix("= ").replace(".", theme.point)
    return name, rests_on, chance, found.estimate, found.low, found.high


def _ready(lines: Sequence[tuple[Any, ...]], es: EffectSizes) -> ReadyEffects:
    """Return estimates as effects that are ready to be drawn, each for itself."""
    import pandas as pd

    names, rests_on, chances, *numbers = zip(*lines, strict=True)
    estimates, low, high = without_noise(es, numbers)
    low, high = (estimates + without_noise(es, ends - estimates) for ends in (low, high))
    return ReadyEffects(
        EffectSizes(
            estimates,
            np.ones(len(lines)),  # the intervals are those that are shown
            es.measure,
            labels=list(names),
            study=[str(i) for i in range(len(lines))],  # nothing is pooled
            data=pd.DataFrame({RESTS_ON: rests_on, CHANCE: chances}),
            oriented=es.oriented,
        ),
        np.array([back_pooled(es, values) for values in (estimates, low, high)]),
    )


def _notes(parts: _Parts) -> list[str]:
    """Return how to read the figure, the unadjusted model, and what to know of each method."""
    fit, estimates = parts.fit, parts.estimates
    notes = [parts.sentence] if parts.sentence else []
    notes += [] if fit is None else [f"Unadjusted: {model_note(fit, counts=False)}"]
    notes += [APART] if len(estimates) > 1 else []
    if any(one.level != parts.level for one in estimates):
        levels = (f"{one.name} {level_words(one.level)}" for one in estimates)
        notes.append(f"Levels of the intervals: {', '.join(levels)}.")
    without = [one.name for one in estimates if not np.isfinite(one.estimate)]
    notes += [f"No estimate: {', '.join(without)}."] if without else []
    notes += [f"Not possible: {', '.join(parts.refused)}."] if parts.refused else []
    notes += [f"Caution: {typeset(words)}." for words in deciding_study(estimates[0].effects, estimates)]
    for of, words in cautions_by_method(estimates):
        if words.endswith(RESTS_ON_ONE):  # said above, with what rests on it
            continue
        whose = f", {of}" if of and len(estimates) > 1 else ""
        notes.append(f"Caution{whose}: {typeset(words.partition('; see ')[0])}.")
    return notes


adjusted = drawn(adjusted_plan, "Draw adjusted estimates side by side.")
