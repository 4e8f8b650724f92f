"""explain: an effect or a bound with its formula and the numbers put in, from the source to the display."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.check import check_kind
from metaexo.effects.conversions.scales import back_by_rows
from metaexo.effects.derivation import REPORTED, Derivation, Origin
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.explain.of_table import CONTINUITY, RowFormulas, cells_of, formulas_of_row
from metaexo.effects.formulas import SYMBOLS, Line, computed, filled, meanings, needed, readable, shown, signs
from metaexo.effects.measure import Measure
from metaexo.effects.measures.zero_cells import ZeroCells, add_to_cells
from metaexo.effects.measures.zero_cells import cells as table_cells
from metaexo.effects.tables.bounds import LEAST, range_of_t
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.formatting import interval, number, one_line, plain_text, printed
from metaexo.inputs import is_number
from metaexo.numeric.tails import normal_quantile
from metaexo.readable import cut, table_view

WIDTH = 100
HOW = {"reported": "as reported", "converted": "converted", "assumed": "rests on an assumption"}


@dataclass(frozen=True, slots=True)
class Input:
    """One number that went in: its name, its sign in formulas, its value, and whether it was assumed."""

    name: str
    sign: str
    value: float
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One line: a sign, its formula, the formula with the numbers put in, and its value."""

    sign: str
    formula: str
    filled: str
    value: float

    @printed
    def __str__(self) -> str:
        value = shown(self.value)
        filled = value if self.filled == f"({value})" else self.filled
        parts = list(dict.fromkeys([self.formula, filled, value]))
        one = f"  {self.sign} = {' = '.join(parts)}"
        if len(one) <= WIDTH:
            return one
        blank = " " * (len(self.sign) + 2)
        return "\n".join([f"  {self.sign} = {parts[0]}", *(f"{blank} = {part}" for part in parts[1:])])


@dataclass(frozen=True, slots=True)
class Block:
    """Steps that belong together, with the paper that they come from."""

    title: str
    reference: str
    steps: tuple[Step, ...]

    @printed
    def __str__(self) -> str:
        source = f" (doi:{self.reference})" if self.reference else ""
        return "\n".join([f"{self.title}{source}", *map(str, self.steps)])


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Explained(ABC):
    """What every explanation of a row has.

    Attributes
    ----------
    row : str
        The row: the line of its sheet, or its number.
    label : str
        What a reader sees of the row.
    measure : Measure
        The measure.
    mark : Derivation
        Whether the inputs were reported, converted or assumed.
    inputs : tuple of Input
        The numbers that went in.
    blocks : tuple of Block
        Conversions, then what was computed, step by step; empty where the steps are not known.
    turned : bool
        Whether the sign was changed so that positive means benefit.
    shown_as : str
        The effect on the display scale, with an interval.
    remark : str
        Why there are no steps; empty where there are.
    """

    row: str
    label: str
    measure: Measure
    mark: Derivation
    inputs: tuple[Input, ...] = ()
    blocks: tuple[Block, ...] = ()
    turned: bool = False
    shown_as: str
    remark: str = ""

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in order."""
        return tuple(step for block in self.blocks for step in block.steps)

    @abstractmethod
    def result(self) -> str:
        """Return what came out, in words."""

    def __repr__(self) -> str:
        name = cut(one_line(self.label), 60)
        return plain_text(f"{type(self).__name__}({name}, {self.measure.code}: {self.result()})")

    def _repr_html_(self) -> str:
        """Return the inputs and the steps as a table."""
        rows = [
            [entry.name, entry.sign, "assumed" if entry.assumed else "given", shown(entry.value)]
            for entry in self.inputs
        ]
        for block in self.blocks:
            source = f" (doi:{block.reference})" if block.reference else ""
            title = f"{block.title}{source}"
            for i, step in enumerate(block.steps):
                steps = " = ".join(dict.fromkeys([step.formula, step.filled]))
                rows.append([title if i == 0 else "", step.sign, steps, shown(step.value)])
        rows += [["result", "", self.remark, self.result()], ["shown as", "", "", self.shown_as]]
        header = ["", "sign", "how", "value"]
        return table_view(rows, header, left=3, caption=f"{self.row}, {self.label}: {self.measure.name}")

    def text(self, origin: str, remark: Sequence[str], turned: str, result: str) -> str:
        """Return the whole text, from the parts that differ between kinds of explanations."""
        parts = [f"{self.row}, {self.label}" if self.label != self.row else self.row]
        parts.append(f"{self.measure.code}: {self.measure.name}; {origin}")
        parts += [f"note: {self.mark.note}"] if self.mark.note else []
        parts += listed(self.inputs)
        parts += [str(block) for block in self.blocks]
        parts += remark if self.remark else []
        parts += meanings(" ".join(step.formula for step in self.steps))
        parts += [turned] if self.turned else []
        return "\n".join([*parts, result, f"shown as: {self.shown_as}"])


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Explanation(Explained):
    """How one effect came about; `str()` gives the text. See ``Explained`` for the other attributes.

    Attributes
    ----------
    y, v : float
        Effect and sampling variance, as they stand in the effects.
    """

    y: float
    v: float

    @printed
    def __str__(self) -> str:
        return self.text(
            HOW[self.mark.how],
            (self.remark, f"  {self.measure.formula()}"),
            f"lower is better: the sign is changed, y = {shown(self.y)}",
            f"result: {self.result()}",
        )

    def result(self) -> str:
        """Return the effect, its variance and its standard error in words."""
        return f"y = {shown(self.y)}, v = {shown(self.v)}, SE = {shown(math.sqrt(self.v))}"


def steps_of(lines: Sequence[Line], known: Mapping[str, Any], at: int) -> tuple[Step, ...]:
    """Return the lines of one row with its numbers; a sign that is set twice has its value of the moment."""
    shape = shape_of(known)
    here = {sign: float(np.broadcast_to(value, shape)[at]) for sign, value in known.items()}
    moving, steps = dict(known), []
    for line in lines:
        text = line.chosen(here)
        numbers = readable(filled(text, here))
        moving = computed([line], moving)
        here[line.sign] = float(np.broadcast_to(moving[line.sign], shape)[at])
        steps.append(Step(line.sign, readable(text), numbers, here[line.sign]))
    return tuple(steps)


def shape_of(known: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the common shape of the known values, one row at least."""
    return np.broadcast_shapes(*(np.shape(value) for value in known.values()), (1,))


def listed(inputs: Sequence[Input]) -> list[str]:
    """Return the lines that list inputs with their signs and values."""
    if not inputs:
        return []
    width = max(len(entry.name) for entry in inputs)
    lines = []
    for entry in inputs:
        sign = f"{entry.sign} = " if entry.sign != entry.name else "= "
        end = "  (assumed)" if entry.assumed else ""
        lines.append(f"{entry.name.ljust(width)}  {sign}{shown(entry.value)}{end}")
    return lines


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
    """Return the position of a row; refuse a name that no row, or more than one, has."""
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


ROUTES = "d from t, d from paired t"
BOUND_NOT_KEPT = "the numbers behind the bound are not kept: it was given in words, or as it stands"
DIRECTION = "only the direction is reported: the effect lies {} 0, and nothing says how far"
BOUND_NOT_WRITTEN = "the steps of this bound are not known; the formula of the measure gave it"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BoundExplanation(Explained):
    """How the ends of one interval came about; `str()` gives the text.

    See ``Explained`` for the other attributes; the blocks are the t of the threshold, then the effect at
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
            f"result: {self.result()}",
        )

    def result(self) -> str:
        """Return the ends of the interval in words."""
        return f"y from {shown(self.lower)} to {shown(self.upper)}"


def explain_bound(es: BoundedEffectSizes, i: int) -> BoundExplanation:
    """Explain an effect that is known only as an interval.

    Examples
    --------
    >>> import metaexo as mx
    >>> sheets = mx.evidence_sheets()
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
        remark=BOUND_NOT_KEPT,
    )
    if es.kind[i] == "direction":
        return replace(bare, remark=DIRECTION.format("above" if high > 0 else "below"))
    if es.origin is None or not es.origin.from_table:
        return bare
    found = _followed(es, i)
    if found is None:
        return replace(bare, remark=BOUND_NOT_WRITTEN)
    inputs, blocks, raw = found
    for turned, ours in ((False, raw), (True, (-raw[1], -raw[0]))):
        if all(_near(a, b) for a, b in zip(ours, (low, high), strict=True)) and (es.oriented or not turned):
            return replace(bare, inputs=inputs, blocks=blocks, turned=turned, remark="")
    return replace(bare, remark=BOUND_NOT_WRITTEN)


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
