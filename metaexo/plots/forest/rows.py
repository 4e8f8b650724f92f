"""The rows of a forest plot, from a fit, from strata or from bare effects; nothing is placed yet."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.conversions.scales import back_by_rows, back_pooled
from metaexo.effects.derivation import REPORTED
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.formatting import (
    LARGE,
    at_least,
    fixed,
    level_words,
    plural,
    shown,
    ten_digits,
    whole_or_decimals,
)
from metaexo.heterogeneity.levels import STUDY
from metaexo.models import MomentResults, MultilevelResults
from metaexo.models.linear.results import FitResults
from metaexo.models.univariate.model import RandomEffects
from metaexo.numeric.estimators import ESTIMATORS
from metaexo.numeric.tails import normal_quantile
from metaexo.plots.canvas.arguments import COLUMN_KINDS, Column
from metaexo.plots.canvas.scale import DIFFERENCES, Scale, display, to_place
from metaexo.plots.canvas.words import (
    count_words,
    derived_words,
    heterogeneity_words,
    method_words,
    p_words,
    same_line,
    stratum_words,
    title_of,
    typeset,
    with_ledger,
    words,
    words_of_test,
)
from metaexo.plots.forest.options import Options
from metaexo.plots.table.rows import ESTIMATE, LABEL, WEIGHT, AxisSpec, Mark, Row, Shape, Table
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

INDENT = 8.0
SMALLEST, PLAIN = 0.29, 0.62  # sides of the smallest mark, and of marks of one size, over the largest side
DIAMOND, BAR = 8.0, 2.6
CUT_AT = 1e-9
MOST_DECIMALS = 12
READABLE = 6  # decimals; beyond them numbers are shown with a power of ten
OWN = {LABEL, ESTIMATE, WEIGHT}
ORDERS = ("given", "estimate", "precision", "weight", "label")
ORDERS_OF_R = {"obs": "estimate", "yi": "estimate", "fit": "estimate", "prec": "precision"}
COMMON = ("common", "fixed", "equal", "EE", "FE")
POINT = re.compile(r"(?<=\d)\.(?=\d)")
REMEDY = re.compile(r" \(\w+=\w+ [^)]*\)")  # how to call the function otherwise: no words for a figure
INTERCEPT = re.compile(r"\bintercept\b")
LEFT_SIDE, RIGHT_SIDE = "← favours control", "favours exosome →"
WHOSE_TAU2 = {
    "separate": "τ² estimated separately in each stratum.",
    "common": "One τ² for all strata.",
    "smoothed": "τ² of each stratum drawn towards those of the others.",
}
# Estimate and the ends of its interval on the scale that is shown; what there is not is None or NaN.
Shown = Sequence[float | None] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ReadyEffects:
    """Effects, and their estimates and intervals as reported, on the scale that is shown, shape (3, k)."""

    effects: EffectSizes
    shown: Array


def table_of_effects(es: EffectSizes, options: Options, shown: Array | None = None) -> Table:
    """Return the table of effects without any pooling, under heads if `by` names a column.

    `shown` are estimates and intervals as reported; without it they follow from effects and variances.
    """
    write = RowWriter(es, options, options.level or 0.95, shown=shown, used=(options.by,))
    return write.table(write.grouped(), derived_words(es.derived))


def table_of_fit(fit: Any, options: Options) -> Table:
    """Return the table of one fit: studies, overall effect, prediction interval."""
    es, level = fit.effects, options.level or fit.level
    write = RowWriter(es, options, level, weights_of(fit, options))
    rows = [*write.studies(range(es.k)), *write.overall(fit)]
    notes = [model_note(fit, options.heterogeneity), *caution_notes(fit), *no_single_effect(fit)]
    if not has_one_mean(fit) and options.fitted:
        rows = write.with_fitted(rows, fit)
        notes.append(f"Diamond behind the mark of a study: fitted effect with its {level_words(level)} CI.")
    return write.table(rows, [*notes, *derived_words(es.derived)])


def table_of_strata(results: Any, options: Options) -> Table:
    """Return the table of strata: a head, the studies and a subtotal each; overall effect; test between."""
    fit = results.overall
    level = options.level or _level_of(results)
    overall = weights_of(fit, options) if fit is not None and options.weights == "overall" else None
    whole = RowWriter(results.effects, options, level, overall, used=results.by)
    rows: list[Row] = []
    for s, stratum in enumerate(ordered_strata(results, options)):
        weights = None if overall is None else overall[np.asarray(stratum.rows, dtype=np.intp)]
        if options.weights == "stratum":
            weights = None if stratum.fit is None else weights_of(stratum.fit, options)
        write = RowWriter(stratum.effects, options, level, weights, columns=whole.columns)
        write.decimals = whole.decimals
        if overall is not None:
            write.heaviest = whole.heaviest
        name = stratum_words(stratum.levels, options.wording) or stratum.name
        pooled = None if stratum.fit is None else _at_level(stratum.fit, stratum.pooled, level)
        clusters = cluster_words(results, stratum)
        if options.subtotals == "only":
            rows.append(_with_detail(write.stratum_alone(s, name, stratum, pooled), clusters))
            continue
        rows.append(head_row(s, name, short_remark(stratum.note)))
        rows += write.studies(range(stratum.effects.k), indent=INDENT)
        if options.subtotals and pooled is not None:
            first, *tests = write.subtotal(s, stratum.fit, pooled)
            rows += [_with_detail(first, clusters), *tests]
        elif options.subtotals and stratum.single is not None and stratum.k > 1:
            rows.append(_with_detail(write.single(s, stratum.single), clusters))
        rows.append(Row(id=f"spacer:{s}", kind="spacer"))
    if options.subtotals == "only":
        rows.append(Row(id="spacer:total", kind="spacer"))
    if fit is not None and options.overall:
        first, *others = whole.total(fit, _at_level(fit, results.overall_pooled, level))
        rows += [_with_detail(first, cluster_words(results)), *others]
    if options.between and results.between is not None:
        style = options.look.p_style
        name = "Test for subgroup differences" if options.journal else "Test between strata"
        between = f"{name}: {same_line(words_of_test(results.between, style))}"
        rows.append(Row(id="between", kind="test", text=(between,)))
    return whole.table(rows, strata_notes(results, options))


def cluster_words(results: Any, stratum: Any = None) -> list[str]:
    """Return the number of clusters of a stratum, or of all effects, where they are others than studies."""
    if results.clusters is None or results.cluster == STUDY:
        return []
    count = len(set(results.clusters)) if stratum is None else results.clusters_in(stratum)
    return [same_line(f"clusters = {count}")]


def _with_detail(row: Row, words: Sequence[str]) -> Row:
    """Return a row with more words beside its name."""
    return replace(row, detail=(*row.detail, *words))


def ordered_strata(results: Any, options: Options) -> list[Any]:
    """Return the strata in the order that was chosen."""
    strata, order = list(results.strata), options.strata_order
    if order is None or order == "given":
        return strata
    names = [stratum_words(stratum.levels, options.wording) or stratum.name for stratum in strata]
    if not isinstance(order, str):
        wanted = [words(value, options.wording) for value in order]
        lacking = [name for name in names if name not in wanted]
        for name in wanted if lacking else ():
            if name not in names:
                raise UnknownChoiceError("stratum in strata_order", name, names)
        if lacking:
            raise InputError(
                f"strata_order leaves out {', '.join(map(repr, lacking))}",
                "the names of all strata",
                f"the strata are {', '.join(map(repr, names))}",
            )
        return sorted(strata, key=lambda stratum: wanted.index(names[strata.index(stratum)]))
    if order == "label":
        return [strata[i] for i in sorted(range(len(strata)), key=lambda i: names[i])]
    if order == "size":
        return sorted(strata, key=lambda stratum: -len(stratum.rows))
    found: list[Any] = [stratum.pooled or getattr(stratum, "single", None) for stratum in strata]
    return [
        strata[i]
        for i in sorted(range(len(strata)), key=lambda i: math.inf if found[i] is None else found[i].estimate)
    ]


def _level_of(results: Any) -> float:
    """Return the level at which strata were pooled."""
    if results.overall is not None:
        return float(results.overall.level)
    return next((float(s.pooled.level) for s in results.strata if s.pooled is not None), 0.95)


def _at_level(fit: Any, pooled: Any, level: float) -> Any:
    """Return a pooled effect at a level; one that its fit alone does not give is there at its own level only.

    Raises InputError if strata that were pooled jointly, or robustly, are to be shown at another level.
    """
    if pooled.level == level:
        return pooled
    if fit.pooled(pooled.level) != pooled:
        raise other_level("the strata were pooled jointly", pooled.level, level)
    return fit.pooled(level)


def other_level(what: str, level: float, asked: float) -> InputError:
    """Return that strata were pooled at another level than a plot is to show."""
    return InputError(
        f"{what} at the level {level:g}",
        f"strata pooled at the level {asked:g} that the plot is to show",
        f"pool again with stratify(..., level={asked:g})",
    )


def has_one_mean(fit: Any) -> bool:
    """Return whether the fit has a single pooled effect, that is, no moderators."""
    return fit.design.x is None


def no_single_effect(fit: Any) -> list[str]:
    """Return why there is no pooled effect, if there is none."""
    return [] if has_one_mean(fit) else ["The model has moderators, so there is no single pooled effect."]


def weights_of(fit: Any, options: Options) -> Array | None:
    """Return the weights in the pooled effect, as fractions, if there are any and they are to be shown."""
    weights = getattr(fit, "weights", None) if options.weights and has_one_mean(fit) else None
    return None if weights is None else np.asarray(weights, dtype=float)


def head_row(position: int, name: str, detail: str = "") -> Row:
    """Return the head of a group of rows."""
    return Row(id=f"head:{position}", kind="head", text=(name,), detail=(detail,) if detail else ())


class RowWriter:
    """Writes the rows of one plot: what all of them share is kept here."""

    def __init__(
        self,
        es: EffectSizes | BoundedEffectSizes,
        options: Options,
        level: float,
        weights: Array | None = None,
        *,
        shown: Array | None = None,
        columns: Sequence[Column] | None = None,
        used: Sequence[str | None] = (),
    ) -> None:
        self.es = es
        self.ids = es.row_ids
        self.options = options
        self.level = level
        self.weights = weights
        self.heaviest = 1.0 if weights is None else float(weights.max())
        self.labels = list(es.row_labels)
        self.columns = shown_columns(es, options, used) if columns is None else columns
        self.quantile = float(normal_quantile(level))
        self.shown = self._shown() if shown is None else shown
        self.negative = bool(np.any(self.shown < 0))
        self.decimals = usual_decimals(self.shown)
        self.cells = {c.key: _cells_of(es, c, options) for c in self.columns}
        remark = options.remark
        self.remarks = (
            [] if remark is None else [words(v, options.wording, missing="") for v in es.column(remark)]
        )

    def table(self, rows: Sequence[Row], notes: Sequence[str]) -> Table:
        """Return the table of the plot."""
        es, options = self.es, self.options
        weighted = options.weight_column and any(row.weight is not None for row in rows)
        title = options.titles or {}
        name = es.measure.display if len(es.measure.display) <= 24 else es.measure.code
        columns = [
            Column(LABEL, title.get(LABEL, options.label_title), "text", letters=200),
            *(column for column in self.columns if column.side == "left"),
            *(column for column in self.columns if column.side == "right"),
            Column(
                ESTIMATE,
                title.get(ESTIMATE, f"{name}\n{level_words(self.level)} CI"),
                "estimate",
                side="right",
            ),
        ]
        if weighted:
            columns.append(Column(WEIGHT, title.get(WEIGHT, "Weight"), "weight", side="right"))
        known = {column.key for column in columns}
        decimals = options.decimals if isinstance(options.decimals, Mapping) else {}
        for name, keys in (("titles", title), ("decimals", decimals)):
            for key in keys:
                if key not in known:
                    raise UnknownChoiceError(f"column in {name}", key, known)
        if options.models and not any(row.kind == "total" for row in rows):
            raise InputError(
                "models, and no overall effect to set them beside",
                "a fit with one pooled effect that is shown",
                "leave models= out, or hand in mx.RandomEffects(effects).fit()",
            )
        columns = [
            replace(c, title=title[c.key]) if c.key in title and c.key not in OWN else c for c in columns
        ]
        marks = (row.mark for row in rows if row.kind == "total" and row.mark is not None)
        return Table(
            rows=tuple(self._with_point(row) for row in rows),
            columns=tuple(columns),
            axis=self._axis(),
            theme=options.look,
            measure=es.measure,
            level=self.level,
            heads=options.heads or {},
            pooled=tuple([mark.estimate for mark in marks if mark.estimate is not None][:1]),
            favours=options.favours or ((LEFT_SIDE, RIGHT_SIDE) if es.oriented else ("", "")),
            title=options.title,
            notes=(*notes, *dict.fromkeys(column.note for column in columns if column.note), *options.notes),
            row_height=options.row_height,
            summary=with_ledger(f"Forest plot of {plural(es.k, 'effect')}.", es.ledger),
        )

    def _with_point(self, row: Row) -> Row:
        """Return a row with the decimal sign of the theme in what is said of heterogeneity and tests."""
        point = self.options.look.point
        if point == "." or row.kind not in ("test", "subtotal", "total"):
            return row
        text, detail = (tuple(POINT.sub(point, part) for part in parts) for parts in (row.text, row.detail))
        return replace(row, text=text if row.kind == "test" else row.text, detail=detail)

    def _axis(self) -> AxisSpec:
        """Return what the axis is to be."""
        measure, options = self.es.measure, self.options
        scale: Scale = options.scale or ("log" if measure.display_log else "linear")
        if options.reference == "null":
            no_effect = display(measure, measure.null)
            reference = no_effect if math.isfinite(to_place(scale, no_effect)) else None
        else:
            reference = options.reference
        self._check_scale(scale)
        label = options.axis_label
        if label is None:
            label = measure.display + {"log": " (log scale)", "logit": " (logit scale)"}.get(scale, "")
        whole = measure.possible if measure.display not in DIFFERENCES else None
        limits = options.limits
        for value in (*(limits or ()), *(() if reference is None else (reference,)), *(options.ticks or ())):
            check_place(scale, float(value))
        if limits is not None and not limits[0] < limits[1]:
            raise InputError(
                f"the limits are {limits}",
                "two numbers, the lower one first",
                "exchange them, or move them apart",
            )
        bounded = whole is not None and math.isfinite(whole[1] - whole[0])
        return AxisSpec(
            label=label,
            scale=scale,
            limits=limits,
            reference=reference,
            ticks=options.ticks,
            whole=whole if bounded else None,
        )

    def _check_scale(self, scale: Scale) -> None:
        """Refuse a scale that cannot show an estimate."""
        for label, value in zip(self.labels, self.shown[0], strict=True):
            if math.isfinite(value) and not math.isfinite(to_place(scale, value)):
                raise InputError(
                    f"a {scale} scale, and an estimate of {value:g} ({label})",
                    "estimates above 0" if scale == "log" else "estimates between 0 and 1",
                    'choose scale="linear"',
                )

    def grouped(self) -> list[Row]:
        """Return the rows of all effects, under heads if `by` names a column."""
        by, wording = self.options.by, self.options.wording
        if by is None:
            return self.studies(range(self.es.k))
        rows: list[Row] = []
        groups = np.array([words(value, wording) for value in self.es.column(by)])
        for g, name in enumerate(dict.fromkeys(groups)):
            rows += [Row(id=f"spacer:{g}", kind="spacer")] * (g > 0) + [head_row(g, str(name))]
            rows += self.studies(np.flatnonzero(groups == name), indent=INDENT)
        return rows

    def studies(self, positions: Iterable[int], indent: float = 0.0) -> list[Row]:
        """Return rows of effects in the order that was chosen."""
        return [self.study(i, indent) for i in self.ordered(positions)]

    def study(self, i: int, indent: float) -> Row:
        """Return the row of one effect."""
        how = self.es.derived[i].how if self.es.derived else REPORTED.how
        weight = None if self.weights is None else float(self.weights[i])
        mark = self._mark(i, how, None if weight is None else max(weight, 0.0) / self.heaviest)
        remark = self.remarks[i] if self.remarks else ""
        label = f"{self.labels[i]} ({remark})" if remark else self.labels[i]
        cells = {key: texts[i] for key, texts in self.cells.items()}
        return Row(
            id=f"study:{self.ids[i]}",
            kind="study",
            cells=cells | {LABEL: (label,)} | self.numbers(mark, weight),
            marks=(mark,),
            weight=weight,
            how=how,
            indent=indent,
        )

    def with_fitted(self, rows: Sequence[Row], fit: Any) -> list[Row]:
        """Return the rows of studies with the effects that a model with moderators fits to them."""
        table = fit.predict(level=self.level)
        ends = back_by_rows(self.es, table[["estimate", "low", "high"]].to_numpy(dtype=float).T)
        of_id = {f"study:{name}": ends[:, i] for i, name in enumerate(self.ids)}
        return [
            replace(
                row,
                marks=(
                    *row.marks,
                    replace(
                        mark_of(self.es.measure, "diamond", of_id[row.id], DIAMOND),
                        color="pale",
                        name="fitted",
                    ),
                ),
            )
            if row.id in of_id
            else row
            for row in rows
        ]

    def ordered(self, positions: Iterable[int]) -> list[int]:
        """Return positions of effects in the order that was chosen."""
        found = self._ordered([int(i) for i in positions])
        descending = self.options.descending
        falling = self.options.order in ("precision", "weight")
        return found if descending is None or descending is falling else found[::-1]

    def _ordered(self, found: list[int]) -> list[int]:
        """Return positions in the usual sense of the order: weights and precisions fall, all else rises."""
        order = self.options.order
        if order == "given":
            return found
        if order == "label":
            return sorted(found, key=lambda i: self.labels[i].casefold())
        if order == "weight" and self.weights is not None:
            heavy = self.weights
            return sorted(found, key=lambda i: -ten_digits(float(heavy[i])))
        if order in ("estimate", "precision", "weight"):
            values = self._ranked()[0 if order == "estimate" else 1]
            return sorted(found, key=lambda i: ten_digits(float(values[i])))
        names = [] if self.es.data is None else [str(name) for name in self.es.data.columns]
        if order not in names:
            raise UnknownChoiceError("order", order, [*ORDERS, *names], nearest=ORDERS_OF_R.get(str(order)))
        return by_column(self.es.column(order), found)

    def _ranked(self) -> tuple[Array, Array]:
        """Return the effects and variances that orders go by."""
        return self.es.y, self.es.v

    def _mark(self, i: int, how: str, share: float | None) -> Mark:
        """Return the mark of a study; its area goes with `share`, its weight over the largest one."""
        largest = self.options.marker_size
        side = largest * (PLAIN if share is None else max(SMALLEST, float(np.sqrt(share))))
        shape: Shape = "circle" if how == "assumed" else "square"
        mark = mark_of(self.es.measure, shape, self.shown[:, i], side, how != "reported")
        return mark if self.options.color is None else replace(mark, color=self.options.color)

    def _shown(self) -> Array:
        """Return effects and the ends of their intervals on the scale that is shown, shape (3, k)."""
        return shown_intervals(self.es, self.level)

    def pooled_mark(
        self, pooled: Any, es: EffectSizes | BoundedEffectSizes | None = None, hollow: bool = False
    ) -> Mark:
        """Return the diamond of a pooled effect of `es`; default: of all effects of the writer."""
        shown = back_pooled(es or self.es, [pooled.estimate, pooled.low, pooled.high])
        return mark_of(self.es.measure, "diamond", shown, DIAMOND, hollow)

    def _summary(self, id: str, name: str, detail: Sequence[str], mark: Mark, indent: float = INDENT) -> Row:
        weight = None if self.weights is None else float(np.sum(self.weights))
        return Row(
            id=id,
            kind="subtotal" if indent else "total",
            cells=self._sums() | self.numbers(mark, weight),
            text=(name,),
            detail=tuple(detail),
            marks=(mark,),
            weight=weight,
            indent=indent,
        )

    def _sums(self) -> dict[str, tuple[str, ...]]:
        """Return sums of events and of numbers, where the plot has them as journals print them."""
        if not self.options.journal:
            return {}
        return {
            column.key: _sum_of(self.es, column)
            for column in self.columns
            if column.kind == "events" or column.key.lower() in ("n", "n1", "n2", "n_treatment", "n_control")
        }

    def subtotal(self, s: int, fit: Any, pooled: Any) -> list[Row]:
        """Return the rows of the pooled effect of a stratum."""
        row = self._summary(f"subtotal:{s}", "Subtotal", self._detail(fit), self.pooled_mark(pooled))
        return [row, *self._tests(f"subtotal:{s}", fit, INDENT)]

    def single(self, s: int, mean: Any) -> Row:
        """Return the row of the mean of the one study of a stratum, a hollow diamond."""
        half = self.quantile * mean.se
        at_level = replace(mean, low=mean.estimate - half, high=mean.estimate + half)
        counts = count_words(self.es.k, self.es.m)
        return self._summary(
            f"single:{s}", "Mean of the study", counts, self.pooled_mark(at_level, hollow=True)
        )

    def stratum_alone(self, s: int, name: str, stratum: Any, pooled: Any) -> Row:
        """Return the one row of a stratum whose studies are not shown."""
        counts = count_words(self.es.k, self.es.m)
        if pooled is not None:
            row = self._summary(f"subtotal:{s}", name, self._detail(stratum.fit), self.pooled_mark(pooled))
        elif stratum.single is not None:
            row = self.single(s, stratum.single)
        else:
            return Row(id=f"subtotal:{s}", kind="subtotal", text=(name,), detail=tuple(counts))
        return replace(row, text=(name,), indent=0.0)

    def overall(self, fit: Any) -> list[Row]:
        """Return the rows of the overall effect of a fit, if it has one and it is to be shown."""
        if not (self.options.overall and has_one_mean(fit)):
            return []
        return [Row(id="spacer:total", kind="spacer"), *self.total(fit, fit.pooled(self.level))]

    def total(self, fit: Any, pooled: Any) -> list[Row]:
        """Return the rows of the overall effect, of other models of it, and of its prediction interval."""
        name, mark = self.options.overall_label, self.pooled_mark(pooled)
        if self.options.models:
            name = f"{name}: {self.model_name(fit)}"
        rows = [self._summary("total", name, self._detail(fit, whole=True), mark, indent=0.0)]
        known = pooled.prediction_low is not None and not np.isnan(pooled.prediction_low)
        if self.options.prediction and known:
            ends = back_pooled(self.es, [pooled.prediction_low, pooled.prediction_high])
            bar = mark_of(self.es.measure, "bar", (None, *ends), BAR)
            text = (f"{level_words(self.level)} prediction interval",)
            cells = self.numbers(bar, None)
            rows.append(Row(id="prediction", kind="prediction", cells=cells, text=text, marks=(bar,)))
        return [*rows, *self.further(fit), *self._tests("total", fit, 0.0)]

    def further(self, fit: Any) -> list[Row]:
        """Return the rows of other models of the overall effect."""
        rows = []
        for i, other in enumerate(self.options.models):
            found = self._other_model(fit, other)
            rows.append(self.model_row(i, found, self.pooled_mark(found.pooled(self.level))))
        return rows

    def model_row(self, position: int, fit: Any, mark: Mark) -> Row:
        """Return the row of another model of the overall effect; it has no weight."""
        name = f"{self.options.overall_label}: {self.model_name(fit)}"
        row = self._summary(f"model:{position}", name, (), mark, indent=0.0)
        return replace(row, weight=None, cells={key: c for key, c in row.cells.items() if key != WEIGHT})

    def model_name(self, fit: Any) -> str:
        """Return the model of a fit in a few words."""
        if fit.method in ("EE", "FE"):
            return "equal effects"
        return f"random effects ({fit.method})"

    def _other_model(self, fit: Any, other: Any) -> Any:
        """Return another fit of the same effects: as given, or by its name."""
        if isinstance(other, FitResults):
            if other.effects.k != self.es.k or not np.array_equal(other.effects.y, self.es.y):
                raise InputError(
                    f"models holds a fit of {other.effects.k} other effects",
                    "fits of the effects that are shown",
                    "fit the model to the same EffectSizes",
                )
            if not has_one_mean(other):
                raise InputError(
                    "models holds a fit with moderators", "fits with one pooled effect", "leave it out"
                )
            return other
        known = ["common", "random", *ESTIMATORS]
        if not isinstance(other, str) or (other not in known and other not in COMMON):
            raise UnknownChoiceError("model", str(other), known)
        if not isinstance(self.es, EffectSizes):
            raise InputError("further models of censored effects", "a fit", "hand in fits by models=[...]")
        method = "EE" if other in COMMON else "REML" if other == "random" else other
        test = (
            fit.test
            if method != "EE" and fit.test in ("z", "knapp-hartung", "knapp-hartung-adhoc", "t")
            else "z"
        )
        return RandomEffects(self.es).fit(method=method, test=test, level=self.level)

    def _detail(self, fit: Any, whole: bool = False) -> list[str]:
        """Return what stands beside the name of a pooled effect: heterogeneity and counts."""
        parts = self._heterogeneity(fit) if self.options.heterogeneity and not self.options.journal else []
        if parts and whole:
            parts += self._q(fit)
        return [*parts, *count_words(fit.effects.k, fit.effects.m)]

    def _heterogeneity(self, fit: Any) -> list[str]:
        """Return the between-study variance and I² of a fit, as far as it has them."""
        return heterogeneity_words(fit)

    def _q(self, fit: Any) -> list[str]:
        """Return the test of heterogeneity of a fit, if it has one."""
        return q_words(fit, self.options.look.p_style)

    def _tests(self, id: str, fit: Any, indent: float) -> list[Row]:
        """Return rows of their own for heterogeneity and the test of the effect, as journals print them."""
        style, rows = self.options.look.p_style, []
        if self.options.journal and self.options.heterogeneity:
            parts = "; ".join([*self._heterogeneity(fit), *self._q(fit)])
            if parts:
                rows.append(
                    Row(
                        id=f"{id}:heterogeneity",
                        kind="test",
                        text=(f"Heterogeneity: {parts}",),
                        indent=indent,
                    )
                )
        wanted = self.options.test_effect
        if self.options.journal if wanted is None else wanted:
            said = effect_words(fit, style)
            if said:
                name = "Test for overall effect" if indent == 0.0 else "Test for effect"
                rows.append(Row(id=f"{id}:effect", kind="test", text=(f"{name}: {said}",), indent=indent))
        return rows

    def numbers(self, mark: Mark, weight: float | None) -> dict[str, tuple[str, ...]]:
        """Return the cells of the estimate and of the weight."""
        options, point = self.options, self.options.look.point
        decimals = options.decimals_of(ESTIMATE, self.decimals) or 0
        negative = self.negative or (mark.low is not None and mark.low < 0)  # a prediction may be the first
        pieces = estimate_cell(mark, decimals, options, negative)
        cells: dict[str, tuple[str, ...]] = {ESTIMATE: tuple(piece.replace(".", point) for piece in pieces)}
        if weight is None:
            return cells
        return cells | {
            WEIGHT: (f"{fixed(100 * weight, options.decimals_of(WEIGHT, 1) or 0)}%".replace(".", point),)
        }


def shown_intervals(es: EffectSizes | BoundedEffectSizes, level: float) -> Array:
    """Return effects and the ends of their intervals on the scale that is shown, shape (3, k).

    An effect without sampling variance has no interval.
    """
    half = normal_quantile(level) * np.sqrt(np.where(es.v > 0, es.v, np.nan))
    return back_by_rows(es, np.array([es.y, es.y - half, es.y + half]))


def usual_decimals(shown: Array) -> int:
    """Return with how many decimals effects and the ends of their intervals, shape (3, k), can be read.

    There are 2 where the shorter arm of the typical interval is then two steps of the last digit at least,
    and more where it is not; fewer, where every arm has 200 steps of the fewer digits. Without intervals
    a fifth of each size stands for its arm.
    """
    with np.errstate(invalid="ignore"):
        arms = np.fmin(shown[0] - shown[1], shown[2] - shown[0])
        if not np.any(_known(arms)):
            arms = 0.2 * np.abs(shown.ravel())
    arms = arms[_known(arms)]
    if not arms.size:
        return 2
    most = math.ceil(ten_digits(math.log10(2.0 / float(np.median(arms)))))
    fewest = 2 + math.ceil(ten_digits(math.log10(2.0 / float(arms.min()))))
    return min(most, MOST_DECIMALS) if most > 2 else max(0, min(2, fewest))


def _known(sizes: Array) -> Any:
    """Return where there is a size above 0 that is a number."""
    return np.isfinite(sizes) & (sizes > 0)


def q_words(fit: Any, style: str) -> list[str]:
    """Return Cochran's Q test of a fit, if it has one."""
    q = getattr(fit, "q", None)
    if (
        q is None
        or not math.isfinite(float(getattr(q, "statistic", math.nan)))
        or getattr(fit, "df_residual", 1) < 1
    ):
        return []
    statistic = same_line(f"Q({fit.df_residual:g}){at_least(q.statistic, 1)},")
    return [f"{statistic} {same_line(p_words(q.pvalue, style))}"]


def effect_words(fit: Any, style: str) -> str:
    """Return the test of a pooled effect, as "z = 3.97, p < 0.001"."""
    table = fit.to_frame()
    if not {"statistic", "pvalue"} <= set(table.columns):
        return ""
    statistic, p = float(table["statistic"].iloc[0]), float(table["pvalue"].iloc[0])
    if not math.isfinite(statistic):  # that of an exact test is its p-value
        return "" if math.isnan(p) else same_line(p_words(p, style))
    df = float(table["df"].iloc[0]) if "df" in table.columns else math.inf
    name = "z" if not math.isfinite(df) else f"t({ten_digits(df):.1f})".replace(".0)", ")")
    return same_line(f"{name} = {fixed(statistic, 2)}, {p_words(p, style)}")


def check_place(scale: Scale, value: float) -> None:
    """Refuse a value that an axis does not have, for example a risk ratio of 0."""
    if math.isfinite(to_place(scale, value)) and abs(to_place(scale, value)) < (
        1e300 if scale == "linear" else 345
    ):
        return
    needed = {"log": "a number above 0, from 1e-149 to 1e149", "logit": "a number between 0 and 1"}
    raise InputError(
        f"{value:g} is not a value of a {scale} axis",
        needed.get(scale, "a finite number below 1e300"),
        "give it as the figure shows it, not as a logarithm" if scale != "linear" else "",
    )


def by_column(column: pd.Series, positions: list[int]) -> list[int]:
    """Return positions in the order of a column, missing values last."""
    try:
        ranks = column.rank(method="first", na_option="bottom").to_numpy()
    except TypeError:
        raise InputError(
            f"the column {str(column.name)!r} holds values of several kinds, which have no order",
            "numbers, or texts",
            "choose another column, or turn its values into texts first",
        ) from None
    return sorted(positions, key=lambda i: float(ranks[i]))


def mark_of(measure: Measure, shape: Shape, shown: Shown, size: float, hollow: bool = False) -> Mark:
    """Return the mark of an estimate with its interval, which ends where the range of the measure does."""
    estimate, low, high = (None if x is None or math.isnan(x) else float(x) for x in shown)
    least, most = measure.possible
    slack = CUT_AT * min(most - least, 1.0)
    bounded = (low is not None and low < least - slack) or (high is not None and high > most + slack)
    low = None if low is None else max(low, least)
    high = None if high is None else min(high, most)
    return Mark(shape=shape, estimate=estimate, low=low, high=high, size=size, hollow=hollow, bounded=bounded)


def estimate_cell(mark: Mark, decimals: int, options: Options, negative: bool) -> tuple[str, str, str]:
    """Return estimate, lower and upper bound as text.

    What is known only as an interval has round brackets, or a sign where one end is not known.
    """
    ends = (mark.low, mark.high)
    estimate, low, high = (
        "" if v is None or (math.isinf(v) and mark.shape == "open") else _in_cell(v, decimals)
        for v in (mark.estimate, *ends)
    )
    if mark.shape == "open":
        if low and high:
            return "", f"({low} to", f"{high})"
        return (f"> {low}" if low else f"< {high}"), "", ""
    if ends == (None, None):
        return estimate, "", ""
    missing = fixed(None, decimals)
    opens, between, closes = options.ends(negative)
    return estimate, f"{opens}{low or missing}{between}".rstrip(), f"{high or missing}{closes}"


def _in_cell(value: float, decimals: int) -> str:
    """Return a number of a cell; a power of ten where more decimals are needed than can be read, or fewer."""
    extreme = decimals > READABLE or LARGE <= abs(value) < math.inf
    return shown(value, 2) if extreme else fixed(value, decimals)


def _cells_of(
    es: EffectSizes | BoundedEffectSizes, column: Column, options: Options
) -> list[tuple[str, ...]]:
    """Return the texts of a column of the data."""
    if column.kind in ("events", "mean_sd"):
        firsts, seconds = (es.column(key) for key in column.keys)
        decimals = column.decimals or 0
        return [(_pair(a, b, column.kind, decimals, options),) for a, b in zip(firsts, seconds, strict=True)]
    return [_cell(value, column, options) for value in es.column(column.key)]


def _pair(first: object, second: object, kind: str, decimals: int, options: Options) -> str:
    """Return events with their number as "12 / 40", or a mean with its SD as "3.1 (0.8)"."""
    a, b = (shown(_number(value), decimals).replace(".", options.look.point) for value in (first, second))
    return f"{a} / {b}" if kind == "events" else f"{a} ({b})"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float | np.number) else math.nan


def _sum_of(es: EffectSizes | BoundedEffectSizes, column: Column) -> tuple[str, ...]:
    """Return the sums of events and of their numbers, or of one column of numbers."""
    sums = [sum(_number(value) for value in es.column(key)) for key in column.keys]
    return (" / ".join(shown(total, 0) for total in sums),)


def _cell(value: object, column: Column, options: Options) -> tuple[str, ...]:
    """Return the text of a cell of the data."""
    if column.kind == "number":
        return (shown(_number(value), column.decimals or 0).replace(".", options.look.point),)
    return (words(value, column.wording),)


def shown_columns(
    es: EffectSizes | BoundedEffectSizes, options: Options, used: Sequence[str | None] = ()
) -> tuple[Column, ...]:
    """Return the columns of the data that are shown, with their kinds and decimals.

    Without a choice these are source and isolation method, as far as the data have them and no head, made of
    the columns that are used, says the same already.
    """
    chosen = options.columns
    if chosen is None:
        names = () if es.data is None else [str(name) for name in es.data.columns]
        pairs = (("source", "source_category"), ("isolation", "isolation_category"))
        free = [pair for pair in pairs if not set(pair) & set(used)]
        found = [next((name for name in pair if name in names), None) for pair in free]
        chosen = [name for name in found if name is not None]
    if isinstance(chosen, str):
        chosen = (chosen,)
    columns = [column if isinstance(column, Column) else Column(column) for column in chosen]
    taken = sorted({column.key for column in columns} & OWN)
    if taken:
        raise InputError(
            f"the columns {taken} have the names of columns that every forest plot makes itself",
            "other names",
            "rename them in the data before the effects are made",
        )
    return tuple(_shown_column(column, es, options) for column in columns)


def _shown_column(column: Column, es: EffectSizes | BoundedEffectSizes, options: Options) -> Column:
    """Return a column with its kind, decimals and title."""
    values = [es.column(key) for key in column.keys]
    numeric = all(one.dtype.kind in "iuf" for one in values)
    kind = column.kind or ("number" if numeric else "text")
    if kind not in COLUMN_KINDS:
        raise UnknownChoiceError("kind of column", kind, COLUMN_KINDS)
    if kind in ("number", "events", "mean_sd") and not numeric:
        raise InputError(
            f"the column {column.key!r} holds texts and is to be shown as {kind}",
            "a column of numbers",
            'turn it into numbers first, or choose kind="text"',
        )
    decimals = options.decimals_of(column.key, column.decimals)
    if decimals is None and numeric:
        decimals = max(
            whole_or_decimals(one.to_numpy(dtype=float, na_value=np.nan).tolist()) for one in values
        )
    title = column.title or {"events": "Events / n", "mean_sd": "Mean (SD)"}.get(kind) or title_of(column.key)
    wording = {**(options.wording or {}), **column.wording}
    return replace(
        column,
        key=column.keys if len(column.keys) > 1 else column.key,
        title=title,
        kind=kind,
        decimals=decimals,
        wording=wording,
    )


def model_note(fit: Any, counts: bool) -> str:
    """Return the model in words, and whether it takes effects of one study as independent."""
    note = method_words(fit)
    es = fit.effects
    together = fit.robust_covariance is not None or isinstance(fit, MultilevelResults | MomentResults)
    if es.m < es.k and not together:
        return f"{note} {es.k} effects of {es.m} studies are taken as independent."
    return note + (" k effects of m studies." if counts else "")


def caution_notes(results: Any, mean: str = "the pooled effect") -> tuple[str, ...]:
    """Return what to know before relying on what is pooled; the words are those of the results themselves.

    `mean` is what the figure calls the coefficient of a model without moderators.
    """
    found = results.cautions() if callable(getattr(results, "cautions", None)) else ()
    without_advice = (words.partition("; test=")[0] for words in found)
    return tuple(f"Caution: {typeset(INTERCEPT.sub(mean, words))}." for words in without_advice)


def strata_notes(results: Any, options: Options) -> tuple[str, ...]:
    """Return the notes of strata: model, remarks on strata, test between them, evidence.

    No model is named where neither a subtotal nor the overall effect is shown.
    """
    pooled = sum(stratum.fit is not None for stratum in results.strata)
    shown = options.overall and results.overall is not None
    model = [_strata_model(results, options)] if pooled or shown else []
    alone = [] if pooled else ["No stratum has two or more studies, so none is pooled."]
    remarks = dict.fromkeys(stratum.note for stratum in results.strata if stratum.note)
    test = _test_note(results, pooled) if options.between else []
    sentences = [*model, *map(_sentence, remarks), *alone, *test]
    cautions = caution_notes(results) if pooled else ()
    if shown and results.clusters is None:
        cautions += caution_notes(results.overall, "the overall effect")
    if options.between and results.between is not None:
        words = results.between.cautions()
        cautions += tuple(f"Caution: test between strata: {typeset(text)}." for text in words)
    model_and_test = [" ".join(sentences)] if sentences else []
    notes = [_with_names(note, results, options) for note in (*model_and_test, *dict.fromkeys(cautions))]
    return (*notes, *derived_words(results.effects.derived))


def _with_names(note: str, results: Any, options: Options) -> str:
    """Return a note with the strata named as the figure names them."""
    strata = sorted(results.strata, key=lambda stratum: -len(stratum.name))
    for stratum in strata:
        if "_" in stratum.name or "/" in stratum.name:  # other names are words, which may mean something else
            shown = stratum_words(stratum.levels, options.wording)
            note = shown.join(re.split(rf"(?<!\w){re.escape(stratum.name)}(?!\w)", note))
    return note


def _strata_model(results: Any, options: Options) -> str:
    """Return the model, whose the between-study variances are, and whose the weights."""
    parts = [] if results.overall is None else [_overall_model(results, options)]
    parts.append(WHOSE_TAU2[results.tau2_mode])
    if options.weights == "overall" and results.overall is not None:
        parts.append("Weights are those of the overall effect.")
    elif options.weights == "stratum":
        parts.append("Weights are those within the strata.")
    return " ".join(parts)


def _overall_model(results: Any, options: Options) -> str:
    """Return the model of all effects, and how it allows for dependence between them."""
    if results.clusters is None:
        return model_note(results.overall, options.heterogeneity)
    others = f"; clusters are by {results.cluster}" if cluster_words(results) else ""
    counts = f" k effects of m studies{others}." if options.heterogeneity else ""
    return f"{words_of_strata(results)}{counts}"


def words_of_strata(results: Any) -> str:
    """Return the model of strata in one sentence, and whether its intervals allow for dependence."""
    text = method_words(results.overall)
    if results.clusters is None:
        return text
    robust = f"intervals of pooled effects robust to dependence within each {results.cluster} (CR2)."
    return f"{text.partition('; intervals')[0]}; {robust}"


def _test_note(results: Any, pooled: int) -> list[str]:
    """Return how the strata were tested, or why they were not."""
    if results.between is not None:
        words = REMEDY.sub("", results.between_note)
        return [_sentence(words)] if words else []
    return ["No test between strata: only one has two or more studies."] if pooled == 1 else []


def short_remark(note: str) -> str:
    """Return what stands beside the name of a stratum; the whole note stands below the plot."""
    return typeset(note.partition(":")[0])


def _sentence(words: str) -> str:
    return typeset(words[:1].upper() + words[1:]) + "."
