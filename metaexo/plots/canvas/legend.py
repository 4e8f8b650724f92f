"""Legends: their entries as data, how much room they take, and the signs that matplotlib draws of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from metaexo.plots.canvas.fonts import plain
from metaexo.plots.canvas.theme import DASHES, MARKERS, Color, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend

SIGN = 1.6  # size of a mark over that of the letters in it
MOST = 8  # keys side by side
LONG, SIGN_LONG = 2.0, 3.6  # length of a sign, in letters; of an area with a mark beside it
STEP, SIGN_STEP = 1.5, 2.0  # distance of two lines of a legend, in letters; of one with signs in its marks


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An entry of a legend: its words, and a shape, "area" or "line", with a sign on it if there is one."""

    label: str
    color: Color = "ink"
    shape: str = "circle"
    hollow: bool = False
    dash: Literal["solid", "dashed", "dotted", "dashdot"] = "solid"
    hatch: str = ""
    text: str = ""


def legend_lines(
    names: Sequence[str], room: float, theme: Theme, most: int = 4, long: float = LONG
) -> tuple[list[str], int, int]:
    """Return names broken into lines, and how many columns and lines a legend of a width in points has.

    `most`: entries in one line; `long`: length of the sign before a name, in letters.
    """
    size = theme.small
    sign = (long + 3.0) * size  # with the gaps before and after a name
    broken = [theme.wrap(plain(name), room - sign, size=size) for name in names]
    wide = [max(theme.width(line, size=size) for line in lines) + sign for lines in broken]
    fits = (
        n
        for n in range(min(most, len(names)), 1, -1)
        if sum(max(wide[i::n], default=0.0) for i in range(n)) <= room
    )
    columns = next(fits, 1)
    high = [len(lines) for lines in broken]
    lines = sum(max(high[i : i + columns]) for i in range(0, len(high), columns))
    return ["\n".join(lines) for lines in broken], columns, lines


def lay_out_keys(keys: Sequence[Key], room: float, theme: Theme) -> tuple[tuple[Key, ...], int, float]:
    """Return keys with their words in lines, how many stand side by side, and the height of the legend.

    `room`: width in points for letters of a file.
    """
    labels, columns, lines = legend_lines([key.label for key in keys], room, theme, MOST, _long(keys))
    broken = tuple(replace(key, label=label) for key, label in zip(keys, labels, strict=True))
    return broken, columns, (lines * _step(keys) + 0.4) * theme.small if keys else 0.0


def draw_legend(
    ax: Axes,
    signs: Sequence[Any],
    labels: Sequence[str],
    theme: Theme,
    columns: int = 1,
    **place: Any,
) -> Legend:
    """Draw a legend that is read line by line; `signs` are keys, or artists of matplotlib."""
    from matplotlib.lines import Line2D

    order = [i for column in range(columns) for i in range(column, len(labels), columns)]
    legend = ax.legend(
        [signs[i] for i in order],
        [labels[i] for i in order],
        ncols=columns,
        handler_map={Key: _Handler(theme, any(isinstance(one, Key) and one.text for one in signs))},
        **place,
    )
    for sign in legend.legend_handles:
        if isinstance(sign, Line2D):
            sign.set_alpha(1.0)  # a faint line is seen only among many
    for text in legend.get_texts():
        text.set_fontproperties(theme.font(text.get_text(), size=theme.small))
    return legend


def draw_keys(ax: Axes, keys: Sequence[Key], theme: Theme, columns: int, at: Any, transform: Any) -> None:
    """Draw a legend whose upper left corner is at a place."""
    legend = draw_legend(
        ax,
        keys,
        [key.label for key in keys],
        theme,
        columns,
        loc="upper left",
        borderpad=0.0,
        borderaxespad=0.0,
        bbox_to_anchor=at,
        bbox_transform=transform,
        columnspacing=1.5,
        handletextpad=0.5,
        handlelength=_long(keys),
        labelspacing=_step(keys) - 1.0,
    )
    legend.set_in_layout(False)


def _step(keys: Sequence[Key]) -> float:
    """Return the distance of two lines of a legend, in letters."""
    return SIGN_STEP if any(key.text for key in keys) else STEP


def _long(keys: Sequence[Key]) -> float:
    """Return the length of the signs of a legend, in letters."""
    return SIGN_LONG if any(key.text and key.shape == "area" for key in keys) else LONG


class _Handler:
    """Draws the sign of a key in a legend, as matplotlib asks for it; `signed`: whether marks have signs."""

    def __init__(self, theme: Theme, signed: bool) -> None:
        self.theme, self.signed = theme, signed

    def legend_artist(self, legend: Legend, key: Key, size: float, box: Any) -> Any:
        """Add what shows a key to a box; return the first of it."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Rectangle
        from matplotlib.text import Text

        theme, color = self.theme, self.theme.color(key.color)
        fill = theme.paper if key.hollow else color
        x, y = box.width / 2, box.height / 2
        made: list[Any] = []
        if key.shape == "line":
            made.append(
                Line2D([0.0, box.width], [y, y], color=color, linewidth=1.0, linestyle=DASHES[key.dash])
            )
        elif key.shape == "area":
            edge = color if key.hollow else theme.text_on(color) if key.hatch else theme.edge(color)
            beside = SIGN * size + 2.0 if key.text else 0.0
            x += (box.width - SIGN * size) / 2
            look: dict[str, Any] = {"facecolor": fill, "edgecolor": edge, "hatch": key.hatch or None}
            made.append(Rectangle((0.0, 0.0), box.width - beside, box.height, linewidth=0.5, **look))
        if key.text or not made:
            mark = MARKERS[key.shape if not made else "circle"]
            wide = SIGN * size if self.signed else 5.5
            look = {"markerfacecolor": fill, "markeredgecolor": theme.edge(color), "markeredgewidth": 0.8}
            made.append(Line2D([x], [y], marker=mark, markersize=wide, **look))
        if key.text:
            letters = theme.font(key.text, True, theme.small)
            aligned: dict[str, Any] = {"ha": "center", "va": "center_baseline"}
            made.append(Text(x, y, key.text, color=theme.text_on(fill), fontproperties=letters, **aligned))
        for artist in made:
            artist.set_transform(box.get_transform())
            box.add_artist(artist)
        return made[0]
