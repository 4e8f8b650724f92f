"""explain for effects that are known only as an interval: the t of the threshold, and the effect it means."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.conversions.scales import back_by_rows
from metaexo.effects.explain.of_table import RowFormulas, cells_of, formulas_of_row
from metaexo.effects.explain.text import HOW, Block, Explained, Input, steps_of
from metaexo.effects.formulas import Line, computed, shown
from metaexo.effects.tables.bounds import LEAST, range_of_t
from metaexo.formatting import interval, printed

AGREES = 1e-8
ROUTES = "d from t, d from paired t"
NOT_KEPT = "the numbers behind the bound are not kept: it was given in words, or as it stands"
DIRECTION = "only the direction is reported: the effect lies {} 0, and nothing says how far"
NOT_WRITTEN = "the steps of this bound are not known; the formula of the measure gave it"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundExplanation(Explained):
    """How the ends of one interval came about; `str()` gives the text.

    See :class:`Explained` for the other attributes; the blocks are the t of the threshold, then the effect at
    each finite end.

    Attributes
    ----------
    lower, upper : float
        Ends of the interval for the effect.
    """

    lower: float
    upper: float

    @printed
    def __str__(self) -> str:
        return self.text(
            f"{HOW[self.mark.how]}, {self.mark.formula}",
            (self.remark,),
            "lower is better: the signs are changed, and the ends exchanged",
            f"result: y from {shown(self.lower)} to {shown(self.upper)}",
        )


def explain_bound(es: BoundedEffectSizes, i: int) -> BoundExplanation:
    """Explain an effect that is known only as an interval.

    Parameters
    ----------
    es : BoundedEffectSizes
        The effects.
    i : int
        Position of a row that is no exact effect.

    Returns
    -------
    BoundExplanation
        Its `str()` is the text.

    Examples
    --------
    >>> import metaexo as mx
    >>> sheets = mx.read_sheets("data")
    >>> wounds = sheets.effects("SMD", where="study_id == 'pbsc_dfu2024'", bounds=True)
    >>> print(mx.explain(wounds, 0).blocks[0])
    t at the threshold
      q = t_of_p(p, n1 + n2 - 2) = t_of_p(0.05, 15 + 15 - 2) = 2.0484071
    """
    low, high = float(es.lower[i]), float(es.upper[i])
    ends = back_by_rows(es, [[low], [high]], [i])[:, 0]
    bare = BoundExplanation(
        row=es.row_ids[i],
        label=es.row_labels[i],
        measure=es.measure,
        mark=es.derived[i],
        lower=low,
        upper=high,
        shown_as=f"{es.measure.display} {interval(float(ends[0]), float(ends[1]))}",
        remark=NOT_KEPT,
    )
    if es.kind[i] == "direction":
        return replace(bare, remark=DIRECTION.format("above" if high > 0 else "below"))
    if es.origin is None or not es.origin.from_table:
        return bare
    found = _followed(es, i)
    if found is None:
        return replace(bare, remark=NOT_WRITTEN)
    inputs, blocks, raw = found
    for turned, ours in ((False, raw), (True, (-raw[1], -raw[0]))):
        if all(_near(a, b) for a, b in zip(ours, (low, high), strict=True)) and (es.oriented or not turned):
            return replace(bare, inputs=inputs, blocks=blocks, turned=turned, remark="")
    return replace(bare, remark=NOT_WRITTEN)


def _followed(
    es: BoundedEffectSizes, i: int
) -> tuple[tuple[Input, ...], tuple[Block, ...], tuple[float, float]] | None:
    """Return the inputs and the steps of a threshold, and the ends that they arrive at."""
    origin = es.origin
    if origin is None:
        return None
    cells = cells_of(origin.inputs, int(origin.rows[i]))
    row = formulas_of_row(es.measure, cells, replace(es.derived[i], formula=ROUTES), origin.options)
    relation = str(cells.get("p_relation", ""))
    df = Line("q", f"t_of_p(p, {'n - 1' if 'n' in row.measure.inputs else 'n1 + n2 - 2'})")
    if row.route is None or not df.needs <= set(row.known):
        return None
    known: dict[str, Any] = {sign: np.array([value]) for sign, value in row.known.items()}
    blocks = [Block("t at the threshold", "", steps_of([df], known, 0))]
    known = computed([df], known)
    lines = row.route.lines(row.route.kinds[0])[0]
    q = float(known["q"][0])
    ends = []
    allowed = map(float, range_of_t(q, _direction(row), relation in LEAST))
    for name, t in zip(("lower", "upper"), allowed, strict=True):
        if not math.isfinite(t) or t == 0:
            ends.append(t)
            continue
        steps = [Line("t", "q" if t > 0 else "-q"), *lines]
        title = f"{name} end, by {row.measure.code}: {row.measure.name}"
        blocks.append(Block(title, row.measure.reference, steps_of(steps, known, 0)))
        ends.append(float(computed(steps, known)["y"][0]))
    needed = {sign for line in (df, *lines) for sign in line.needs}
    names = {**row.names, **row.assumed}
    inputs = tuple(
        Input(names[sign], sign, row.known[sign], sign in row.assumed)
        for sign in row.known
        if sign in needed and sign in names and sign != "t"
    )
    return inputs, tuple(blocks), (ends[0], ends[1])


def _direction(row: RowFormulas) -> float:
    return float(row.known.get("direction", math.nan))


def _near(a: float, b: float) -> bool:
    return a == b or math.isclose(a, b, rel_tol=AGREES, abs_tol=1e-12)
