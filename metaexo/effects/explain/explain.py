"""explain: one effect with its formula and the numbers put in, from the source to the display scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.check import check_kind
from metaexo.effects.conversions.scales import back_by_rows
from metaexo.effects.derivation import REPORTED, Derivation, Origin
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.explain.of_bounds import BoundExplanation, explain_bound
from metaexo.effects.explain.of_table import CONTINUITY, RowFormulas, cells_of, formulas_of_row
from metaexo.effects.explain.text import Block, Explanation, Input, Step, shape_of, steps_of
from metaexo.effects.formulas import SYMBOLS, Line, computed, needed, shown, signs
from metaexo.effects.measure import Measure
from metaexo.effects.measures.zero_cells import ZeroCells, add_to_cells
from metaexo.effects.measures.zero_cells import cells as table_cells
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.formatting import interval, number
from metaexo.inputs import is_number
from metaexo.numeric.tails import normal_quantile

LEVEL = 0.95
AGREES = 1e-8
TITLE = "effect and sampling variance"
NOT_KEPT = (
    "the statistics behind the effect are not kept: it was given as it stands, or made of other effects"
)
NOT_WRITTEN = "the steps from the table are not known; the formula of the measure gave the effect"


def explain(effects: EffectSizes | BoundedEffectSizes, row: int | str = 0) -> Explanation | BoundExplanation:
    """Explain one effect: the formula of its measure with the numbers put in, step by step.

    Use it to see where a number comes from, or to check it by hand: inputs as reported, conversions with
    their names and papers, effect and sampling variance, the change of sign, and the display scale. The
    formula is the one that computed the effect; the conversions of a table are followed from its cells, and
    the steps are shown only if they arrive at the same numbers. Of an effect that is known only as an
    interval the ends are explained.

    Parameters
    ----------
    effects : EffectSizes or BoundedEffectSizes
        The effects.
    row : int or str
        Which: its position from 0, its row id ("outcomes.csv:43"), or its label if no other row has it.

    Returns
    -------
    Explanation or BoundExplanation
        Its `str()` is the text.

    Raises
    ------
    UnknownChoiceError
        If there is no such row.

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.effect_sizes("MD", treatment_mean=24, treatment_sd=5, treatment_n=10,
    ...                      control_mean=18, control_sd=4, control_n=8)
    >>> print(explain(es, 0))
    input:1, 1
    MD: mean difference; as reported
    treatment_mean  m1 = 24
    treatment_sd    s1 = 5
    treatment_n     n1 = 10
    control_mean    m2 = 18
    control_sd      s2 = 4
    control_n       n2 = 8
    effect and sampling variance (doi:10.1037/a0016619)
      y = m1 - m2 = 24 - 18 = 6
      v = s1^2 / n1 + s2^2 / n2 = 5^2 / 10 + 4^2 / 8 = 4.5
    result: y = 6, v = 4.5, SE = 2.1213203
    shown as: Mean difference 6.00 (1.84 to 10.16, 95% normal interval)
    """
    check_kind("effects", effects, EffectSizes, BoundedEffectSizes)
    i = _position(effects, row)
    if isinstance(effects, BoundedEffectSizes):
        if not effects.is_exact[i]:
            return explain_bound(effects, i)
        return explain(effects.exact, int(effects.is_exact[:i].sum()))
    mark = effects.derived[i] if effects.derived else REPORTED
    bare = Explanation(
        row=effects.row_ids[i],
        label=effects.row_labels[i],
        measure=effects.measure,
        mark=mark,
        y=float(effects.y[i]),
        v=float(effects.v[i]),
        shown_as=_display(effects, i),
        remark=NOT_KEPT,
    )
    if effects.origin is None:
        return bare
    found = (
        _of_table(effects.origin, effects.measure, mark, i)
        if effects.origin.from_table
        else _of_inputs(effects, mark, i)
    )
    turned = effects.oriented and found.y != 0 and _near(-found.y, bare.y)
    if found.blocks and _near(found.v, bare.v) and (turned or _near(found.y, bare.y)):
        return replace(bare, inputs=found.inputs, blocks=found.blocks, turned=turned, remark="")
    return replace(bare, inputs=found.inputs, remark=NOT_WRITTEN)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the steps of one row arrive at."""

    inputs: tuple[Input, ...]
    blocks: tuple[Block, ...] = ()
    y: float = math.nan
    v: float = math.nan


def _of_inputs(es: EffectSizes, mark: Derivation, i: int) -> _Found:
    """Explain a row that was computed from the inputs of its measure."""
    origin, record = es.origin, es.measure
    if origin is None:
        return _Found(())
    at = int(origin.rows[i])
    options = origin.options
    counted = record.zero_cells is not None and mark.formula == CONTINUITY
    name = "" if counted else mark.formula
    routes = [one for one in record.routes if set(one.inputs) <= set(origin.inputs)]
    route = next(one for one in routes if not name or one.formula == name)
    inputs = tuple(
        Input(name, SYMBOLS.get(name, name), float(origin.inputs[name][at])) for name in route.inputs
    )
    plain = {name: np.asarray(origin.inputs[name], dtype=float) for name in route.inputs}
    rule = options["zero_cells"] or ZeroCells(record.zero_cells or 0.0)
    of_y, of_v = route.lines(options["variance"] or route.kinds[0], bool(options["bias_correction"]))
    if not counted:
        return _computed(inputs, (of_y, of_v), signs(plain), at, [], TITLE, record.reference)
    more = add_to_cells(plain, rule, rule.touched(_has_zero(plain)))
    first = [_addition(f"{CONTINUITY}: {mark.note}", signs(plain), signs(more), at)]
    if rule.share == "both":
        return _computed(inputs, (of_y, of_v), signs(more), at, first, TITLE, record.reference)
    for_y, for_v = (more, plain) if rule.share == "estimate" else (plain, more)
    effect = _computed(inputs, (of_y, ()), signs(for_y), at, first, "effect", record.reference)
    rest = needed((*of_y, *of_v), "v")
    spread = _computed(inputs, (rest, ()), signs(for_v), at, [], "sampling variance", record.reference)
    return _Found(inputs, (*effect.blocks, *spread.blocks), effect.y, spread.v)


def _of_table(origin: Origin, record: Measure, mark: Derivation, i: int) -> _Found:
    """Explain a row that was derived from a table of reported statistics."""
    at = int(origin.rows[i])
    cells = cells_of(origin.inputs, at)
    options = dict(origin.options)
    if options.get("assumed_sd") is not None:
        options["assumed_sd"] = float(options["assumed_sd"][at])
    row = formulas_of_row(record, cells, mark, options)
    known: dict[str, Any] = {sign: np.array([value]) for sign, value in row.known.items()}
    lines = [line for _, _, part in row.conversions for line in part]
    of_y, of_v = row.route.lines(row.route.kinds[0]) if row.route is not None else ((), ())
    inputs = _inputs_of_row(row, [*lines, *of_y, *of_v])
    if not of_y or not _can_compute([*lines, *of_y, *of_v], known):
        return _Found(inputs)
    first: list[Block] = []
    for title, reference, part in row.conversions:
        first.append(Block(title, reference, steps_of(part, known, 0)))
        known = computed(part, known)
    if row.measure.zero_cells is not None and CONTINUITY in mark.formula:
        block, known = _add_to_counts(row.measure, known, mark.formula)
        first.append(block)
    form = row.measure
    title = TITLE if form.code == record.code else f"{TITLE}, by {form.code}: {form.name}"
    return _computed(inputs, (of_y, of_v), known, 0, first, title, form.reference)


def _inputs_of_row(row: RowFormulas, lines: Sequence[Line]) -> tuple[Input, ...]:
    """Return the cells and the assumed values that stand in the formulas."""
    needed = {sign for line in lines for sign in line.needs}
    made = {line.sign for line in lines}
    wanted = [sign for sign in row.known if sign in needed and sign not in made - set(row.names)]
    names = {**row.names, **row.assumed}
    return tuple(
        Input(names.get(sign, sign), sign, row.known[sign], sign in row.assumed)
        for sign in wanted
        if sign in names
    )


def _computed(
    inputs: tuple[Input, ...],
    lines: tuple[tuple[Line, ...], tuple[Line, ...]],
    known: Mapping[str, Any],
    at: int,
    first: list[Block],
    title: str,
    reference: str,
) -> _Found:
    """Follow the lines and return the steps with what they arrive at."""
    every = (*lines[0], *lines[1])
    values = computed(every, known)
    block = Block(title, reference, steps_of(every, known, at))
    ends = [
        float(np.broadcast_to(values[sign], shape_of(known))[at]) if sign in values else math.nan
        for sign in "yv"
    ]
    return _Found(inputs, (*first, block), ends[0], ends[1])


def _can_compute(lines: Sequence[Line], known: Mapping[str, Any]) -> bool:
    """Say whether every sign in the lines is known when it is needed."""
    there = set(known)
    for line in lines:
        if not line.needs <= there:
            return False
        there.add(line.sign)
    return True


def _has_zero(arrays: Mapping[str, Any]) -> Any:
    events, others = table_cells(arrays)
    return np.any([cell == 0 for cell in (*events, *others)], axis=0)


def _add_to_counts(record: Measure, known: dict[str, Any], words: str) -> tuple[Block, dict[str, Any]]:
    """Add what the measure adds to counts of zero, as :func:`effects_from_table` does."""
    rule = ZeroCells(record.zero_cells or 0.0)
    names = {name: known[SYMBOLS.get(name, name)] for name in record.inputs}
    more = {**known, **signs(add_to_cells(names, rule, np.array([True])))}
    return _addition(words, known, more, 0), more


def _addition(title: str, plain: Mapping[str, Any], more: Mapping[str, Any], at: int) -> Block:
    """Return what was added to the counts of a row."""
    steps = []
    for sign, value in more.items():
        before, after = float(plain[sign][at]), float(value[at])
        if after != before:
            add = shown(after - before)
            steps.append(Step(sign, f"{sign} + {add}", f"{shown(before)} + {add}", after))
    return Block(title, "", tuple(steps))


def _display(es: EffectSizes, i: int) -> str:
    """Return an effect on the display scale, with a normal interval."""
    half = normal_quantile(LEVEL) * math.sqrt(float(es.v[i]))
    ends = back_by_rows(es, [[es.y[i]], [es.y[i] - half], [es.y[i] + half]], [i])[:, 0]
    turned = ", turned so that higher is better" if es.oriented else ""
    return (
        f"{es.measure.display} {number(float(ends[0]))} ({interval(float(ends[1]), float(ends[2]))}, "
        f"{100 * LEVEL:g}% normal interval{turned})"
    )


def _position(es: EffectSizes | BoundedEffectSizes, row: int | str) -> int:
    """Return the position of a row.

    Raises
    ------
    UnknownChoiceError
        If no row, or more than one, has this name.
    """
    if isinstance(row, str):
        at = [i for i, name in enumerate(es.row_ids) if name == row]
        at = at or [i for i, name in enumerate(es.row_labels) if name == row]
        if len(at) != 1:
            raise UnknownChoiceError("row", row, [*es.row_ids, *es.row_labels])
        return at[0]
    if not (is_number(row) and float(row).is_integer() and -es.k <= row < es.k):
        raise InputError(f"row {row} of {es.k} effects", f"a position from 0 to {es.k - 1}")
    return int(row) % es.k


def _near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=AGREES, abs_tol=1e-12)
