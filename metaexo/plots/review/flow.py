"""Flow of rows: how many a sheet has, which were left out at each step and why, and how many were used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from metaexo.effects.effect_rows import EffectRows
from metaexo.errors import InputError
from metaexo.evidence import Sheets
from metaexo.formatting import plural
from metaexo.inputs import describe
from metaexo.ledger import Ledger
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.fonts import HINTED, plain
from metaexo.plots.canvas.measured import MARGIN, needed_height, open_axes, too_small
from metaexo.plots.canvas.plan import Plan, drawn, remember
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import NOT_ASKED, THRESHOLD, same_line
from metaexo.readable import shows_itself

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MOST_STAGES = 6
PAD, GAP, ARROW = 5.0, 12.0, 22.0  # points within a box, below a box, and between a box and the one beside it
LEFT_OUT = {
    "sheet": "Left out as the sheet was read",
    "selection": "Not selected",
    "effect": "Left out: no effect can be computed",
    "model": "Left out by the model",
}
KEPT = {
    "sheet": "Rows that can be used",
    "selection": "Rows selected",
    "effect": "Rows with an effect",
    "model": "Rows in the model",
}
NO_SEARCH = (
    "Boxes count rows of a sheet, which are extracted results, not records found by a search: the figure "
    "does not claim that a search was complete. Laid out as the PRISMA 2020 flow diagram "
    "(doi:10.1136/bmj.n71)."
)


@dataclass(frozen=True, slots=True)
class FlowStage:
    """A step at which rows were left out: its name, reasons with their counts, and the rows that remain."""

    step: str
    reasons: tuple[tuple[str, int], ...]
    remaining: int

    @property
    def left_out(self) -> int:
        """Rows left out at this step."""
        return sum(n for _, n in self.reasons)


@dataclass(frozen=True, slots=True)
class FlowChain:
    """The way of the rows of one sheet: its name, its rows, the steps, and effects and studies if known."""

    source: str
    total: int
    stages: tuple[FlowStage, ...]
    used: int
    effects: int | None = None
    studies: int | None = None


@shows_itself
@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class FlowPlan(Plan):
    """What a flow diagram shows.

    Attributes
    ----------
    chains : tuple of FlowChain
        One per sheet, from top to bottom.
    most : int
        Reasons that are named at each step; the others are counted together.
    """

    chains: tuple[FlowChain, ...]
    most: int

    def to_frame(self) -> pd.DataFrame:
        """Return the counts: source, step, reason, rows, and the rows that remain after the step.

        For each source the rows left out and the rows used add up to the rows read.
        """
        import pandas as pd

        rows: list[tuple[str, str, str, int, int]] = []
        for chain in self.chains:
            rows.append((chain.source, "read", "", chain.total, chain.total))
            for stage in chain.stages:
                rows += [(chain.source, stage.step, why, n, stage.remaining) for why, n in stage.reasons]
            rows.append((chain.source, "used", "", chain.used, chain.used))
        return pd.DataFrame(rows, columns=["source", "step", "reason", "rows", "remaining"])

    @property
    def texts(self) -> tuple[str, ...]:
        """Names of the sheets, and reasons."""
        reasons = (why for chain in self.chains for stage in chain.stages for why, _ in stage.reasons)
        return (*(chain.source for chain in self.chains), *reasons)

    def describe(self) -> str:
        """Return what is seen in a sentence or two."""
        told = []
        for chain in self.chains:
            parts = [f"{plural(chain.total, 'row')} read"]
            parts += [f"{stage.left_out} left out ({stage.step})" for stage in chain.stages]
            parts.append(f"{chain.used} used")
            if chain.effects is not None and chain.studies is not None:
                studies = plural(chain.studies, "study", "studies")
                parts.append(f"{plural(chain.effects, 'effect')} in {studies}")
            told.append(f"{chain.source}: {', '.join(parts)}.")
        return " ".join(told)

    def draw(self, ax: Axes | Figure | SubFigure | None = None) -> Axes:
        """Draw the flow; see :meth:`metaexo.plots.Plan.draw`."""
        with self.theme.context():
            one, room = open_axes(self, ax)
            boxes, arrows, high = _laid_out(self, room.width)
            if high > room.height + 1.0:
                raise too_small(self, room)
            one.set_position(room.position(room.left, room.top, room.right, room.bottom))
            one.set_axis_off()
            one.set_xlim(0.0, room.width)
            one.set_ylim(room.height, 0.0)
            for box in boxes:
                _draw_box(one, box, self.theme)
            for tail, head in arrows:
                _draw_arrow(one, tail, head, self.theme)
        return remember(self, one)


@checked
def flow_plan(
    source: Any,
    *,
    most: int = 6,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = 7.0,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> FlowPlan:
    """Return what a flow diagram of the rows of a sheet shows, without drawing it.

    Use it to show, in the manner of the PRISMA 2020 flow diagram, how many rows were read, how many were left
    out at each step and for which reasons, and how many effects and studies were used. The counts are those
    of the ledger: rows left out and rows used add up to the rows read. Rows are results that were extracted,
    not records of a search; the figure says so.

    Parameters
    ----------
    source : Ledger, effects, results of a model, Sheets, or a sequence or mapping of these
        Where the rows are from. Several are drawn one below the other; a mapping gives their names.
    most : int
        Reasons that are named at each step, the commonest first; the others are counted together.

    Returns
    -------
    FlowPlan
        The steps with their counts; ``to_frame()`` has them as a table.

    Raises
    ------
    InputError
        If something has no ledger, or `most` is less than 1.

    References
    ----------
    Page, M. J., et al. (2021). The PRISMA 2020 statement. https://doi.org/10.1136/bmj.n71

    Examples
    --------
    >>> import metaexo as mx
    >>> ledger = mx.Ledger("outcomes.csv", used=(2, 3, 4, 5))
    >>> ledger = ledger.leave_out({5: "not selected: animals"}, step="selection")
    >>> ledger = ledger.leave_out({3: "no SD in either arm"}, step="effect")
    >>> plan = mx.plots.flow_plan(ledger)
    >>> plan.describe()
    'outcomes.csv: 4 rows read, 1 left out (selection), 1 left out (effect), 2 used.'
    >>> ax = mx.plots.flow(plan)
    """
    if most < 1:
        raise InputError(f"most is {most}", "a whole number of at least 1")
    plan = FlowPlan(
        title=title,
        notes=(NO_SEARCH, *notes),
        width=width,
        height=1.0,
        theme=get_theme(theme, font_size),
        chains=tuple(_chain(one, name) for name, one in _sources(source)),
        most=int(most),
    )
    high = _laid_out(plan, 72 * width - 2 * MARGIN)[2]
    return replace(plan, height=needed_height(plan, high) if height is None else height)


flow = drawn(flow_plan, "Draw a flow diagram of the rows of a sheet.")


def _sources(source: Any) -> list[tuple[str, Any]]:
    """Return what was handed in, one by one, each with the name that it was given."""
    if isinstance(source, Sheets):
        source = list(source.ledgers.values())
    if isinstance(source, Mapping):
        found = [(str(name), one) for name, one in source.items()]
    elif isinstance(source, list | tuple):
        found = [("", one) for one in source]
    else:
        found = [("", source)]
    if not found:
        raise InputError("no ledger was given", "one ledger at least")
    return found


def _chain(one: Any, name: str) -> FlowChain:
    """Return the way of the rows of a ledger, or of the ledger of effects and fits."""
    ledger = one if isinstance(one, Ledger) else getattr(one, "ledger", None)
    if not isinstance(ledger, Ledger) or isinstance(one, type):
        raise InputError(
            f"{describe(one)} without a ledger",
            "a ledger, effects or a fit that have one, or sheets",
            "effects have a ledger if Sheets.effects or mx.effect_sizes made them, or once rows are left "
            "out; mx.Ledger.of_rows(k) is that of k rows",
        )
    stages: list[FlowStage] = []
    remaining = ledger.total
    for step, entries in _stages(ledger):
        reasons = Counter(entry.reason for entry in entries)
        remaining -= len(entries)
        counted = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
        stages.append(FlowStage(step, tuple(counted), remaining))
    found = one if isinstance(one, EffectRows) else getattr(one, "effects", None)
    effects = found if isinstance(found, EffectRows) else None
    return FlowChain(
        source=name or ledger.source,
        total=ledger.total,
        stages=tuple(stages),
        used=len(ledger.used),
        effects=None if effects is None else effects.k,
        studies=None if effects is None else effects.m,
    )


def _stages(ledger: Ledger) -> list[tuple[str, list[Any]]]:
    """Return the steps in the order in which rows were left out, with their entries.

    A step that comes again later, such as a second selection, stands twice; where steps alternate often, as
    in a ledger in the order of its lines, each stands once.
    """
    runs = [(step, list(entries)) for step, entries in groupby(ledger.left_out, lambda entry: entry.step)]
    if len(runs) <= MOST_STAGES:
        return runs
    by_step: dict[str, list[Any]] = {}
    for step, entries in runs:
        by_step.setdefault(step, []).extend(entries)
    return list(by_step.items())


# ---------------------------------------------------------------------------------------------------- Layout


@dataclass(frozen=True, slots=True)
class _Box:
    """A box with its lines: edges in points from the upper left corner, and whether it stands beside."""

    left: float
    top: float
    right: float
    bottom: float
    lines: tuple[tuple[str, bool], ...]
    aside: bool = False

    @property
    def middle(self) -> float:
        """Half its height."""
        return (self.top + self.bottom) / 2


_Arrow = tuple[tuple[float, float], tuple[float, float]]


def _laid_out(plan: FlowPlan, width: float) -> tuple[list[_Box], list[_Arrow], float]:
    """Return the boxes and arrows in a place of a width in points, and the height that they need."""
    boxes: list[_Box] = []
    arrows: list[_Arrow] = []
    left = 0.4 * (width - ARROW)
    y = 1.0
    for chain in plan.chains:
        box = _box(plan, 1.0, y, left, _first(chain))
        boxes.append(box)
        for stage, is_last in zip(chain.stages, _lasts(chain), strict=True):
            aside = _box(
                plan, left + ARROW, box.bottom + GAP / 2, width - 1.0, _aside(stage, plan.most), True
            )
            top = max(aside.bottom + GAP / 2, box.bottom + 2 * GAP)
            below = _box(plan, 1.0, top, left, _after(chain, stage, is_last))
            x = (box.left + box.right) / 2
            arrows += [((x, box.bottom), (x, below.top)), ((x, aside.middle), (aside.left, aside.middle))]
            boxes += [aside, below]
            box = below
        y = box.bottom + 1.5 * GAP
    return boxes, arrows, y - 1.5 * GAP + 2.0


def _lasts(chain: FlowChain) -> list[bool]:
    return [i == len(chain.stages) - 1 for i in range(len(chain.stages))]


def _first(chain: FlowChain) -> list[tuple[str, bool]]:
    """Return the lines of the first box, each with whether it is bold."""
    head = [(f"Rows of {chain.source} {_n(chain.total)}", True)]
    return head if chain.stages else [*head, *_used(chain)]


def _after(chain: FlowChain, stage: FlowStage, is_last: bool) -> list[tuple[str, bool]]:
    """Return the lines of the box below a step."""
    if is_last:
        return _used(chain)
    return [(f"{KEPT.get(stage.step, 'Rows that remain')} {_n(stage.remaining)}", True)]


def _used(chain: FlowChain) -> list[tuple[str, bool]]:
    lines = [(f"Rows used {_n(chain.used)}", True)]
    if chain.effects is not None:
        lines += [(f"Effects (k = {chain.effects})", False), (f"Studies (m = {chain.studies})", False)]
    return lines


def _aside(stage: FlowStage, most: int) -> list[tuple[str, bool]]:
    """Return the lines of the box beside a step: how many were left out, and why."""
    title = LEFT_OUT.get(stage.step, f"Left out: {stage.step}" if stage.step else "Left out")
    reasons: dict[str, int] = {}
    for why, n in stage.reasons:
        said = _in_the_box(why)
        reasons[said] = reasons.get(said, 0) + n
    named = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = named[most:]
    lines = [(f"{title} {_n(stage.left_out)}", True)]
    lines += [(f"{why} {_n(n)}", False) for why, n in named[:most]]
    if rest:
        counted = sum(n for _, n in rest)
        lines.append((f"{plural(len(rest), 'other reason')} {_n(counted)}", False))
    return lines


def _n(count: int) -> str:
    """Return a count in brackets, which no line breaks."""
    return same_line(f"(n = {count})")


def _in_the_box(reason: str) -> str:
    """Return a reason as it stands in a box; all thresholds of p are one."""
    if THRESHOLD.fullmatch(reason):
        return "only a threshold of p, which gives a bound"
    if reason.startswith(f"{NOT_ASKED} "):
        return f"not in the selection {reason.removeprefix(NOT_ASKED).strip()}"
    return reason or "no reason given"


def _box(
    plan: FlowPlan,
    left: float,
    top: float,
    right: float,
    lines: Sequence[tuple[str, bool]],
    aside: bool = False,
) -> _Box:
    """Return a box with its lines wrapped, as high as they need."""
    theme = plan.theme
    room = (right - left - 2 * PAD) / HINTED
    wrapped = [
        (part, bold) for text, bold in lines for part in theme.wrap(text, room, bold, _size(theme, bold))
    ]
    high = 2 * PAD + 1.22 * sum(_size(theme, bold) for _, bold in wrapped)
    return _Box(left, top, right, top + high, tuple(wrapped), aside)


def _size(theme: Theme, bold: bool) -> float:
    return theme.size if bold else theme.small


def _draw_box(ax: Axes, box: _Box, theme: Theme) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(
        Rectangle(
            (box.left, box.top), box.right - box.left, box.bottom - box.top, linewidth=0.8, zorder=2,
            facecolor=theme.paper, edgecolor=theme.pale if box.aside else theme.ink,
        )
    )  # fmt: skip
    y = box.top + PAD
    for text, bold in box.lines:
        size = _size(theme, bold)
        y += 0.61 * size
        ax.text(
            box.left + PAD, y, plain(text), ha="left", va="center_baseline", color=theme.ink, zorder=3,
            fontproperties=theme.font(text, bold, size),
        )  # fmt: skip
        y += 0.61 * size


def _draw_arrow(ax: Axes, tail: tuple[float, float], head: tuple[float, float], theme: Theme) -> None:
    look = {"arrowstyle": "-|>", "color": theme.ink, "linewidth": 0.8, "shrinkA": 0.0, "shrinkB": 0.0}
    ax.annotate("", head, tail, arrowprops={**look, "mutation_scale": 7.0}, zorder=1)
