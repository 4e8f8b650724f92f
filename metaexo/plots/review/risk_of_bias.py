"""Risk of bias: traffic lights of studies by domains, and bars of how many studies have each judgement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metaexo.errors import InputError
from metaexo.evidence import RiskOfBias, bias_tool, read_risk_of_bias
from metaexo.evidence.risk_of_bias.tool import NOT_ASSESSED, OVERALL, BiasTool, Judgement, judgements
from metaexo.formatting import percent, plural, ten_digits
from metaexo.models.linear.prediction import refuse_moderators
from metaexo.models.linear.results import FitResults
from metaexo.plots.canvas.arguments import Column, checked
from metaexo.plots.canvas.fonts import HINTED, plain
from metaexo.plots.canvas.legend import SIGN, Key, draw_keys, lay_out_keys
from metaexo.plots.canvas.measured import MARGIN, needed_height, open_axes, too_small, write
from metaexo.plots.canvas.plan import Plan, drawn, is_axes, remember, size_of
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.grids.grid import Grid, paged, with_signs
from metaexo.readable import shows_itself

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

USUAL = "RoB 2"
LEAST_BAR = 40.0  # points


@checked
def risk_of_bias_plan(
    table: Any,
    tool: Any = USUAL,
    *,
    headings: Literal["number", "short"] | None = None,
    pages: bool | int = False,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = 7.0,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Grid:
    """Return what a traffic-light plot of the risk of bias shows, without drawing it.

    Use it to show every judgement: one row per study, one column per domain, the overall judgement last. Each
    judgement has a sign beside its colour.

    Parameters
    ----------
    table : RiskOfBias, DataFrame, str or Path
        What :func:`metaexo.evidence.read_risk_of_bias` returns, or the table that it reads.
    tool : str, Path, mapping or BiasTool
        The tool of a table: "RoB 2", "ROBINS-I", "SYRCLE" or one of your own. A record has its own.
    headings : {"number", "short"}, optional
        Numbers of the domains above the columns with their names in a note below, or their short names
        standing upright. Default: numbers, but names in Axes of your own, where notes are not drawn.
    pages : bool or int
        Most rows on a page; True is 40. Further pages are figures of their own:
        :func:`metaexo.plots.pages_of` has them, and ``save`` writes all into one PDF.

    Returns
    -------
    Grid
        Rows, columns and judgements; ``to_frame()`` has them as a table.

    Raises
    ------
    UnknownChoiceError
        If a judgement, a tool or a kind of headings is not known.
    InputError
        If the table cannot be read, or has more rows than one page holds.

    References
    ----------
    Sterne, J. A. C., et al. (2019). RoB 2. https://doi.org/10.1136/bmj.l4898
    Sterne, J. A. C., et al. (2016). ROBINS-I. https://doi.org/10.1136/bmj.i4919
    Hooijmans, C. R., et al. (2014). SYRCLE's tool. https://doi.org/10.1186/1471-2288-14-43

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame(
    ...     [["Li 2020", "low", "low", "low", "some concerns", "low", "some concerns"],
    ...      ["Cho 2021", "high", "low", "low", "low", "low", "high"]],
    ...     columns=["study", "D1", "D2", "D3", "D4", "D5", "overall"],
    ... )
    >>> plan = mx.plots.risk_of_bias_plan(table, "RoB 2")
    >>> plan.to_frame().query("study == 'Cho 2021'")["judgement"].tolist()
    ['high', 'low', 'low', 'low', 'low', 'high']
    >>> ax = mx.plots.risk_of_bias(plan)
    """
    record = _record(table, tool)
    if headings is None:
        headings = "short" if is_axes(ax) else "number"
    names = tuple(record.domain(key).short for key in record.keys)
    grid = Grid(
        title=title,
        notes=(*([_named(record.tool)] if headings == "number" else []), *notes),
        width=width if ax is None else size_of(ax)[0],
        height=1.0,
        theme=get_theme(theme, font_size),
        rows=record.studies,
        columns=names,
        headings=_numbers(record) if headings == "number" else names,
        parted=OVERALL in record.keys,
        fields=("study", "domain", "judgement", "sign"),
    )
    keys = {judgement.word: _key(judgement) for judgement in _judgements(record)}
    return paged(with_signs(grid, record.judged, keys), height, pages)


risk_of_bias = drawn(risk_of_bias_plan, "Draw a traffic-light plot of the risk of bias.")


@checked
def risk_columns(record: Any, prefix: str = "rob_") -> tuple[Column, ...]:
    """Return the columns of a forest plot that show the judgements joined to its effects.

    Use it with :meth:`metaexo.evidence.RiskOfBias.join`, to see the risk of bias beside each effect.

    Parameters
    ----------
    record : RiskOfBias
        What :func:`metaexo.evidence.read_risk_of_bias` returns.
    prefix : str
        What the names of the columns begin with, as in the join.

    Returns
    -------
    tuple of Column
        One per domain, headed D1, D2 and so on, and one for the overall judgement; a note below the plot says
        what the signs and the numbers mean.

    Raises
    ------
    InputError
        If it is no record.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame({"study": ["Li", "Cho"], **{f"D{i}": ["low", "high"] for i in range(1, 6)}})
    >>> record = mx.evidence.read_risk_of_bias(table, "RoB 2")
    >>> es = record.join(mx.EffectSizes([0.1, 0.4], [0.02, 0.05], study=["Cho", "Li"]))
    >>> ax = mx.plots.forest(es, columns=mx.plots.risk_columns(record))
    """
    if not isinstance(record, RiskOfBias):
        raise InputError(f"a {type(record).__name__} was given", "what read_risk_of_bias returns")
    signs = ", ".join(f"{one.sign} {one.label.casefold()}" for one in record.tool.judgements if one.sign)
    note = f"Risk of bias ({record.tool.name}): {signs}. {_named(record.tool)}"
    return tuple(
        Column(f"{prefix}{key}", title=title, kind="risk", note=note, tool=record.tool)
        for key, title in zip(record.keys, _numbers(record), strict=True)
    )


def _record(table: object, tool: Any) -> RiskOfBias:
    """Return a record, or read one; a tool other than the usual one is that of the record."""
    if not isinstance(table, RiskOfBias):
        return read_risk_of_bias(table, tool)  # type: ignore[arg-type]
    if not (isinstance(tool, str) and tool == USUAL) and bias_tool(tool) != table.tool:
        raise InputError(
            f"a record by {table.tool.name}, and with it the tool {bias_tool(tool).name}",
            "the tool of the record, or none",
            "leave tool= out, or read the table anew by that tool",
        )
    return table


def _named(tool: BiasTool) -> str:
    """Return the numbers of the domains with their names, by type of bias where the tool has types."""
    types: dict[str, list[str]] = {}
    for i, domain in enumerate(tool.domains, 1):
        types.setdefault(domain.type, []).append(f"D{i}\N{NO-BREAK SPACE}{domain.name}")
    parts = [f"{name}: {', '.join(named)}" if name else "; ".join(named) for name, named in types.items()]
    return f"{'; '.join(parts)}."


def _judgements(record: RiskOfBias) -> tuple[Judgement, ...]:
    """Return the judgements of a tool, and "not assessed" where it occurs."""
    more = (judgements()[NOT_ASSESSED],) if NOT_ASSESSED in record.words else ()
    return (*record.tool.judgements, *more)


def _numbers(record: RiskOfBias) -> tuple[str, ...]:
    """Return the numbers of the domains of a record, and "Overall" if it has that."""
    return tuple("Overall" if key == OVERALL else f"D{i}" for i, key in enumerate(record.keys, 1))


def _key(judgement: Judgement, shape: str = "circle") -> Key:
    """Return the entry of the legend of a judgement; what nobody judged has no colour."""
    color = "paper" if judgement.word == NOT_ASSESSED else judgement.color
    hatch = judgement.hatch if shape == "area" else ""
    return Key(label=judgement.label, color=color, shape=shape, hatch=hatch, text=judgement.sign)


@shows_itself
@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RiskSummary(Plan):
    """What bars of the judgements per domain show.

    Attributes
    ----------
    domains : tuple of str
        Short names of the domains, from top to bottom; the overall judgement last.
    levels : tuple of Judgement
        Judgements, from left to right.
    counts : tuple of tuple of float
        Number of studies, or sum of their weights, by domain and judgement.
    studies : int
        Number of studies.
    weighted : str
        How the studies are weighted; empty if each counts once.
    tool : str
        Name of the tool.
    """

    domains: tuple[str, ...]
    levels: tuple[Judgement, ...]
    counts: tuple[tuple[float, ...], ...]
    studies: int
    weighted: str
    tool: str

    def to_frame(self) -> pd.DataFrame:
        """Return the bars as a long table: domain, judgement, count and share, which adds up to 1."""
        import pandas as pd

        rows = [
            (domain, level.word, count, share)
            for domain, counts, shares in zip(self.domains, self.counts, self._shares(), strict=True)
            for level, count, share in zip(self.levels, counts, shares, strict=True)
        ]
        return pd.DataFrame(rows, columns=["domain", "judgement", "count", "share"])

    @property
    def texts(self) -> tuple[str, ...]:
        """Names of domains and judgements."""
        return (*self.domains, *(level.label for level in self.levels))

    def describe(self) -> str:
        """Return what is seen in a sentence or two."""
        told = [
            f"{domain}: "
            + ", ".join(f"{level.word} {text}" for level, text in zip(self.levels, texts, strict=True))
            for domain, texts in zip(self.domains, self._texts(), strict=True)
        ]
        return f"{_counted(self)} {'; '.join(told)}."

    def draw(self, ax: Axes | Figure | SubFigure | None = None) -> Axes:
        """Draw the bars; see :meth:`metaexo.plots.Plan.draw`."""
        with self.theme.context():
            one, room = open_axes(self, ax)
            sides = _sides(self, room.width)
            wide, high = room.width - sides.left - sides.right, room.height - sides.top - _below(self)
            if high < len(self.domains) * self.theme.small or wide < LEAST_BAR:
                raise too_small(self, room)
            left, bottom = room.left + sides.left, room.bottom - _below(self)
            one.set_position(room.position(left, room.top + sides.top, left + wide, bottom))
            _draw_bars(one, self)
            _draw_beside(one, self, sides, (wide, high))
        return remember(self, one)

    def _shares(self) -> list[list[float]]:
        return [[count / sum(counts) for count in counts] for counts in self.counts]

    def _texts(self) -> list[list[str]]:
        """Return what stands beside each bar: counts of studies, or shares of weight in per cent."""
        if self.weighted:
            return [[percent(ten_digits(share)) for share in shares] for shares in self._shares()]
        return [[str(int(count)) for count in counts] for counts in self.counts]


@checked
def risk_of_bias_summary_plan(
    table: Any,
    tool: Any = USUAL,
    *,
    weights: Any = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = 7.0,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> RiskSummary:
    """Return what a summary plot of the risk of bias shows, without drawing it.

    Use it beside :func:`risk_of_bias`: one bar per domain, divided by the shares of the judgements, the
    overall judgement last. With the weights of a fit, the bars show how much of the pooled effect rests on
    studies of each risk. Each judgement has a hatch beside its colour, and its number at the right.

    Parameters
    ----------
    table : RiskOfBias, DataFrame, str or Path
        What :func:`metaexo.evidence.read_risk_of_bias` returns, or the table that it reads.
    tool : str, Path, mapping or BiasTool
        The tool of a table: "RoB 2", "ROBINS-I", "SYRCLE" or one of your own. A record has its own.
    weights : results of a model, mapping, pandas.Series or sequence of float, optional
        A fit, whose weights are summed by study; a weight per study by its name; or one per row. Default:
        each study counts once.

    Returns
    -------
    RiskSummary
        Bars; ``to_frame()`` has counts and shares.

    Raises
    ------
    UnknownChoiceError
        If a judgement or a tool is not known.
    InputError
        If the table cannot be read, or a study has no weight.

    References
    ----------
    Higgins, J. P. T., et al. (2019). Cochrane Handbook, chapter 7. https://doi.org/10.1002/9781119536604.ch7
    McGuinness, L. A., Higgins, J. P. T. (2021). robvis. https://doi.org/10.1002/jrsm.1411

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame(
    ...     [["Li 2020", "low", "low", "low", "some concerns", "low", "some concerns"],
    ...      ["Cho 2021", "high", "low", "low", "low", "low", "high"]],
    ...     columns=["study", "D1", "D2", "D3", "D4", "D5", "overall"],
    ... )
    >>> plan = mx.plots.risk_of_bias_summary_plan(table, "RoB 2", weights=[1, 3])
    >>> plan.to_frame().query("domain == 'Overall'")["share"].tolist()
    [0.0, 0.25, 0.75]
    >>> ax = mx.plots.risk_of_bias_summary(plan)
    """
    record = _record(table, tool)
    each, weighted = _weights(record, weights)
    counts = record.counts(each)
    plan = RiskSummary(
        title=title,
        notes=(),
        width=width if ax is None else size_of(ax)[0],
        height=1.0,
        theme=get_theme(theme, font_size),
        domains=tuple(record.domain(key).short for key in record.keys),
        levels=_judgements(record),
        counts=tuple(tuple(map(float, row)) for row in counts.to_numpy()),
        studies=len(record.studies),
        weighted=weighted,
        tool=record.tool.name,
    )
    plan = replace(plan, notes=(_counted(plan), *notes))
    sides = _sides(plan, 72 * plan.width - 2 * MARGIN)
    least = (sides.left + sides.right + LEAST_BAR + 2 * MARGIN) / 72
    if plan.width < least:
        raise InputError(
            f"a width of {plan.width:.2g} inches",
            f"room for bars beside names and numbers: {least:.2f} inches",
            f"choose width={math.ceil(10 * least) / 10:g} or more",
        )
    lines = max(label.count("\n") + 1 for label in sides.labels)
    row = max(2.3 * plan.theme.line, 1.22 * plan.theme.small * (lines + 0.5))
    body = sides.top + _below(plan) + row * len(plan.domains)
    return replace(plan, height=needed_height(plan, body) if height is None else height)


risk_of_bias_summary = drawn(risk_of_bias_summary_plan, "Draw bars of the risk of bias per domain.")


def _weights(record: RiskOfBias, weights: Any) -> tuple[Any, str]:
    """Return the weights of the studies, those of a fit summed by study, and what they are called."""
    if not isinstance(weights, FitResults):
        return weights, "" if weights is None else "weights as given"
    refuse_moderators(weights)
    each = getattr(weights, "weights", None)
    if each is None or np.isnan(each).any():
        raise InputError(
            f"{type(weights).__name__} have no weights of a pooled effect",
            "a fit with one pooled effect, such as that of RandomEffects",
        )
    studies = weights.effects.study or weights.effects.row_labels
    found: dict[str, float] = {}
    for study, weight in zip(studies, each, strict=True):
        found[study] = found.get(study, 0.0) + float(weight)
    return found, "weights of the pooled effect"


def _counted(plan: RiskSummary) -> str:
    """Return what the bars count, in a sentence."""
    counted = plural(plan.studies, "study", "studies")
    beside = "share of the weight" if plan.weighted else "number of studies"
    weighted = f", {plan.weighted}" if plan.weighted else ""
    return f"{plan.tool}, {counted}{weighted}. At the right: {beside} by judgement."


def _below(plan: RiskSummary) -> float:
    """Return the height of ticks and name of the axis."""
    return 3.4 * 1.22 * plan.theme.small


@dataclass(frozen=True, slots=True)
class _Sides:
    """Points that stand on each side of the bars, and what was wrapped for them."""

    left: float
    top: float
    right: float
    labels: tuple[str, ...]
    column: float
    keys: tuple[Key, ...]
    legend: tuple[int, float]


def _sides(plan: RiskSummary, width: float) -> _Sides:
    """Return how much room stands around the bars in a place of a width in points."""
    theme = plan.theme
    small = theme.small
    texts = [text for texts in plan._texts() for text in texts]
    column = max(HINTED * max(theme.width(text, size=small) for text in texts) + 7.0, SIGN * small + 4.0)
    right = column * len(plan.levels) + 4.0
    word = max(theme.width(word, size=small) for name in plan.domains for word in name.split())
    most = max(min(0.35 * width, width - right - LEAST_BAR - 8.0) / HINTED, word)
    labels = [theme.wrap(name, most, size=small) for name in plan.domains]
    keys, columns, high = lay_out_keys([_key(one, "area") for one in plan.levels], width / HINTED, theme)
    return _Sides(
        left=HINTED * max(theme.width(text, size=small) for lines in labels for text in lines) + 8.0,
        top=high + SIGN * small + 6.0,
        right=right,
        labels=tuple("\n".join(map(plain, lines)) for lines in labels),
        column=column,
        keys=keys,
        legend=(columns, high),
    )


def _draw_bars(ax: Axes, plan: RiskSummary) -> None:
    """Draw the bars, from 0 to 100 per cent; domains are counted from 0."""
    theme = plan.theme
    shares = 100 * np.array(plan._shares())
    starts = np.cumsum(shares, axis=1) - shares
    for j, level in enumerate(plan.levels):
        fill = theme.color(_key(level).color)
        ax.barh(
            range(len(plan.domains)), shares[:, j], 0.72, starts[:, j], color=fill, hatch=level.hatch or None,
            edgecolor=theme.text_on(fill), linewidth=0.6, label=level.label,
        )  # fmt: skip
    ax.set_xlim(0.0, 100.0)
    ax.set_ylim(len(plan.domains) - 0.45, -0.55)


def _draw_beside(ax: Axes, plan: RiskSummary, sides: _Sides, place: tuple[float, float]) -> None:
    """Draw the axis, the names of the domains, the numbers at the right, and the legend.

    `place`: width and height of the bars in points.
    """
    theme, small = plan.theme, plan.theme.small
    ax.spines[["left", "right", "top"]].set_visible(False)
    ax.tick_params(axis="x", labelsize=small, colors=theme.ink)
    ax.tick_params(axis="y", length=0)
    ax.set_yticks(range(len(plan.domains)), labels=sides.labels)
    for label in ax.get_yticklabels():
        label.set_fontproperties(theme.font(label.get_text(), size=small))
    step = next((step for step in (25, 50) if place[0] * step / 100 > 4.5 * small), 100)
    ax.set_xticks(range(0, 101, step), labels=[f"{share}%" for share in range(0, 101, step)])
    ax.set_xlabel("Share of weight" if plan.weighted else "Share of studies", fontsize=small)
    for j, level in enumerate(plan.levels):
        x, fill = 4.0 + (j + 0.5) * sides.column, theme.color(_key(level).color)
        disc = {"boxstyle": "circle,pad=0.25", "facecolor": fill, "edgecolor": theme.edge(fill)}
        head, up = (100.0, -0.55), (x, SIGN * small / 2 + 2.0)
        write(ax, level.sign, head, up, theme, ha="center", bold=True, color=theme.text_on(fill), bbox=disc)
        for i, texts in enumerate(plan._texts()):
            write(ax, texts[j], (100.0, i), (x, 0.0), theme, ha="center")
    corner = -sides.left / place[0], 1.0 + sides.top / place[1]
    draw_keys(ax, sides.keys, theme, sides.legend[0], corner, ax.transAxes)
