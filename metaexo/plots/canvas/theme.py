"""Themes: the colours, letters and habits of a figure, as data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.inputs import describe
from metaexo.plots.canvas.fonts import (
    DEJAVU,
    contrast,
    font,
    fonts_besides,
    installed,
    luminance,
    text_width,
    wrap_to_width,
)
from metaexo.readable import shows_itself

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties

Color = str | int  # a part of the theme, a place in its palette, or a colour "#rrggbb"
DASHES: Mapping[str, Any] = {
    "solid": "solid",
    "dashed": (0, (4.0, 2.5)),
    "dotted": (0, (1.0, 1.6)),
    "dashdot": (0, (5.0, 1.6, 1.0, 1.6)),
}
MARKERS: Mapping[str, Any] = {
    "circle": "o",
    "square": "s",
    "triangle": "^",
    "diamond": "D",
    "triangle_down": "v",
    "pentagon": "p",
    "plus": "P",
    "cross": "X",
    "star": "*",
    "hexagon": "h",
    "lozenge": (4, 0, 0),  # a diamond as wide as the other shapes
    "left": "<",
    "right": ">",
    "bar": [(-0.25, -1.0), (0.25, -1.0), (0.25, 1.0), (-0.25, 1.0), (-0.25, -1.0)],  # an upright interval
}
LEAST_SIZE = 7.0  # points; journals ask for letters of at least 6 to 8 points
TRACK = 0.12  # share of ink in the fill of empty bars and of bands, on a paper of the user's
LINE_CONTRAST = 3.0  # least contrast of a mark with its background: WCAG 2.2, 1.4.11


@shows_itself
@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """How a figure looks; make one of your own from another by ``dataclasses.replace``.

    Attributes
    ----------
    name : str
        Its name.
    paper, ink : str
        Colour of the background and of text and axes.
    grey : str
        Lighter text (contrast of at least 4.5 on the paper).
    pale : str
        Lines that stand behind the data (contrast of at least 3).
    track : str
        Fill of empty bars and cells.
    stripe : str
        Fill of every second row of a table; empty for none.
    study, pooled, subtotal : str
        Colours of the marks of studies, overall effects and subtotals.
    palette : tuple of str
        Colours of groups; each group has a mark of its own too.
    fonts : tuple of str
        Families of fonts, the first that is installed is used; empty for those of ``rcParams``.
    size, small : float
        Letters of text and of ticks and notes, in points; 7 at least.
    interval : str
        How an interval is written, with ``{low}`` and ``{high}``.
    point : str
        Decimal sign.
    p_style : {"p = 0.024", "P = .02", "P = 0.02"}
        How p-values are written: as they are, or as journals print them.
    rules : bool
        Whether lines stand above and below the headings of a table.
    totals : bool
        Whether a table has rows of its own for heterogeneity and tests, as journals print them, in place
        of a few words behind the name of the pooled effect.
    settings : mapping
        Further ``rcParams`` of matplotlib.
    """

    name: str
    paper: str = "#ffffff"
    ink: str = "#1a1a1a"
    grey: str = "#595959"
    pale: str = "#8c8c8c"
    track: str = "#e6e6e6"
    stripe: str = ""
    study: str = "#0072B2"
    pooled: str = "#1a1a1a"
    subtotal: str = "#666666"
    # Okabe and Ito's palette without its yellow. Sky blue is darker than theirs, so that small marks on white
    # have a contrast of 3, and orange is brown, apart from vermilion for those who see no red or no green. In
    # this order groups of one shape, the 1st, 11th and 21st, differ whatever the kind of colour blindness.
    palette: tuple[str, ...] = (
        "#0072B2", "#D55E00", "#CC79A7", "#009E73", "#000000", "#2F93CF", "#8A5A00",
    )  # fmt: skip
    fonts: tuple[str, ...] = (DEJAVU,)
    size: float = 8.0
    small: float = 7.0
    interval: str = "[{low} to {high}]"
    point: str = "."
    p_style: Literal["p = 0.024", "P = .02", "P = 0.02"] = "p = 0.024"
    rules: bool = True
    totals: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dark(self) -> bool:
        """Whether the background is dark."""
        return luminance(self.paper) < 0.18

    @property
    def line(self) -> float:
        """Distance of two lines of text in points."""
        return 1.22 * self.size

    @property
    def brackets(self) -> tuple[str, str, str]:
        """What stands before, between and after the ends of an interval."""
        parts = re.split(r"\{low\}|\{high\}", self.interval)
        return (parts[0], parts[1], parts[2]) if len(parts) == 3 else ("[", " to ", "]")

    def text_on(self, color: str) -> str:
        """Return ink or paper, black or white, whichever is read best on a colour."""
        return max((self.paper, self.ink, "#000000", "#ffffff"), key=lambda one: contrast(one, color))

    def edge(self, color: str) -> str:
        """Return the colour of the edge of a mark: that of its fill, or a grey one if that is too pale."""
        return color if contrast(color, self.paper) >= LINE_CONTRAST else self.pale

    def width(self, text: str, bold: bool = False, size: float | None = None) -> float:
        """Return the width of a line of text in points."""
        return text_width(text, size or self.size, bold, self.fonts)

    def wrap(self, text: str, width: float, bold: bool = False, size: float | None = None) -> tuple[str, ...]:
        """Return a text in lines no wider than `width` points; a word wider than that is broken."""
        return wrap_to_width(text, width, size or self.size, bold, self.fonts)

    def short(self, text: str, width: float) -> str:
        """Return a small text as one line of `width` points at most; an ellipsis shows where it was cut."""
        if "\n" not in text and self.width(text, size=self.small) <= width:
            return text
        room = width - self.width("…", size=self.small)
        return self.wrap(text, room, size=self.small)[0].rstrip() + "…"

    def font(self, text: str, bold: bool = False, size: float | None = None) -> FontProperties:
        """Return the font of a text, with an installed one for letters that the theme's own font lacks."""
        return font(size or self.size, bold, fonts_besides(text, bold), installed(self.fonts))

    def color(self, name: str | int) -> str:
        """Return a colour: that of a part of the theme by its name, of a group by its position, or itself.

        Raises UnknownChoiceError for what is neither a part nor a colour of matplotlib.
        """
        if isinstance(name, int):
            return self.palette[name % len(self.palette)]
        if name in PARTS:
            return str(getattr(self, name))
        from matplotlib.colors import CSS4_COLORS, is_color_like, to_hex

        if not is_color_like(name):
            raise UnknownChoiceError("color", name, (*PARTS, *CSS4_COLORS))
        return name if len(name) == 7 and name.startswith("#") else to_hex(name)

    def tint(self, share: float, color: str = "") -> str:
        """Return the background with a share of a colour in it, of ink by default: 0 is the background."""
        return _mixed(self.paper, color or self.ink, share)

    def rc(self) -> dict[Any, Any]:
        """Return the theme as settings of matplotlib."""
        return {
            "font.family": list(installed(self.fonts)),
            "font.size": self.size,
            "figure.facecolor": self.paper,
            "figure.titlesize": self.size,
            "figure.titleweight": "bold",
            "savefig.facecolor": self.paper,
            "savefig.edgecolor": self.paper,
            "axes.facecolor": self.paper,
            "axes.edgecolor": self.ink,
            "axes.labelcolor": self.ink,
            "axes.labelsize": self.size,
            "axes.titlesize": self.size,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "text.color": self.ink,
            "xtick.color": self.ink,
            "ytick.color": self.ink,
            "xtick.labelcolor": self.ink,
            "ytick.labelcolor": self.ink,
            "xtick.labelsize": self.small,
            "ytick.labelsize": self.small,
            "xtick.major.size": 3.0,
            "ytick.major.size": 3.0,
            "xtick.major.pad": 2.0,
            "ytick.major.pad": 2.0,
            "legend.fontsize": self.small,
            "legend.title_fontsize": self.small,
            "legend.frameon": False,
            "legend.labelcolor": self.ink,
            "lines.linewidth": 1.0,
            "hatch.linewidth": 0.7,
            "text.parse_math": False,
            "axes.formatter.use_mathtext": False,
            "axes.unicode_minus": True,
            **dict(self.settings),
        }

    @contextmanager
    def context(self) -> Iterator[None]:
        """Use the theme for all that is made within a block.

        Yields
        ------
        None
            Within it matplotlib has the settings of the theme.
        """
        import matplotlib as mpl

        # only these are set back: rc_context would also undo that a notebook made pyplot interactive within
        settings = self.rc()
        before = {key: mpl.rcParams[key] for key in settings}
        try:
            mpl.rcParams.update(settings)
            yield
        finally:
            mpl.rcParams.update(before)


PARTS = ("paper", "ink", "grey", "pale", "track", "study", "pooled", "subtotal")

# The usual palette with a darker pink, whose marks stand out on stripes too.
ON_STRIPES = ("#0072B2", "#D55E00", "#C76D9F", "#009E73", "#000000", "#2F93CF", "#8A5A00")

# What some journals print: JAMA Network instructions for authors; BMJ and Lancet artwork guides; RevMan 5.4.
THEMES: Mapping[str, Theme] = {
    theme.name: theme
    for theme in (
        Theme(name="metaexo"),
        Theme(
            name="jama",
            ink="#000000",
            study="#00629B",
            pooled="#00629B",
            subtotal="#00629B",
            palette=ON_STRIPES,
            stripe="#f4f4f4",
            interval="({low}-{high})",
            p_style="P = .02",
            totals=True,
        ),
        Theme(
            name="bmj",
            study="#2A6EBB",
            pooled="#2A6EBB",
            subtotal="#2A6EBB",
            palette=ON_STRIPES,
            stripe="#f1f5fa",
            interval="({low} to {high})",
            p_style="P = 0.02",
            totals=True,
        ),
        Theme(
            name="lancet",
            study="#00468B",
            pooled="#AD002A",
            subtotal="#AD002A",
            palette=("#00468B", "#D13B00", "#1595AC", "#1B1919", "#8F0022", "#6F3F7C", "#2A7F2E"),
            interval="({low}\N{EN DASH}{high})",
            point="\N{MIDDLE DOT}",
            p_style="P = 0.02",
            totals=True,
        ),
        Theme(
            name="revman",
            study="#1F5FA8",
            pooled="#000000",
            subtotal="#000000",
            interval="[{low}, {high}]",
            p_style="P = 0.02",
            totals=True,
        ),
        Theme(name="minimal", study="#1a1a1a", subtotal="#1a1a1a", rules=False),
        Theme(
            name="dark",
            paper="#16191d",
            ink="#f0f0f0",
            grey="#b8b8b8",
            pale="#8a8a8a",
            track="#33383e",
            study="#56B4E9",
            pooled="#ffffff",
            subtotal="#b8b8b8",
            palette=("#56B4E9", "#F0803C", "#8F7BFF", "#ffffff", "#E29BC4", "#2FC79A", "#E5B43C"),
        ),
    )
}

# What of the settings says which part of a theme.
OF_SETTINGS = {
    "figure.facecolor": "paper",
    "text.color": "ink",
    "font.size": "size",
    "xtick.labelsize": "small",
}


def get_theme(theme: str | Theme | None = None, font_size: float | None = None) -> Theme:
    """Return a theme by its name, with letters of a size if one is given.

    None is "metaexo" with what the user changed in ``rcParams`` or by a style sheet of matplotlib. Ticks and
    notes are 1 point smaller than the text, but 7 points at least.
    """
    if theme is None:
        found = _of_settings()
    elif isinstance(theme, Theme):
        found = theme
    elif isinstance(theme, str):
        if theme not in THEMES:
            raise UnknownChoiceError("theme", theme, THEMES)
        found = THEMES[theme]
    else:
        raise InputError(f"theme is {describe(theme)}", "the name of a theme, or a mx.plots.Theme")
    if font_size is not None:
        found = replace(found, size=float(font_size), small=max(LEAST_SIZE, float(font_size) - 1.0))
    if min(found.size, found.small) < LEAST_SIZE:
        raise InputError(
            f"letters of {min(found.size, found.small):g} points",
            f"at least {LEAST_SIZE:g} points",
            "make the figure larger instead: width=, height=, or pages= for a forest plot",
        )
    return found


def _standing_out(color: str, paper: str, least: float) -> str:
    """Return a colour, or one nearer to black or white that has the least contrast with a background."""
    end = max(("#000000", "#ffffff"), key=lambda one: contrast(one, paper))
    shares = (share / 20 for share in range(21))
    return next(
        one for one in (_mixed(color, end, share) for share in shares) if contrast(one, paper) >= least
    )


def _mixed(one: str, other: str, share: float) -> str:
    """Return a colour with a share of another in it."""
    pairs = [(int(one[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in pairs)


def _of_settings() -> Theme:
    """Return the usual theme with what of matplotlib's settings is not their default."""
    import matplotlib as mpl
    from matplotlib.colors import to_hex
    from matplotlib.font_manager import font_scalings

    now: dict[Any, Any] = dict(mpl.rcParams)
    usual: dict[Any, Any] = dict(mpl.rcParamsDefault)
    changed = {key: now[key] for key in THEMES["metaexo"].rc() if now[key] != usual[key]}
    parts: dict[str, Any] = {}
    for key, name in OF_SETTINGS.items():
        if key in changed and not (key == "xtick.labelsize" and isinstance(changed[key], str)):
            parts[name] = to_hex(changed[key]) if isinstance(changed[key], str) else float(changed[key])
    if "size" in parts:
        parts["size"] = max(parts["size"], LEAST_SIZE)
        parts.setdefault("small", max(LEAST_SIZE, parts["size"] - 1.0))
    if "small" in parts:
        parts["small"] = max(parts["small"], LEAST_SIZE)
    if now["axes.prop_cycle"] != usual["axes.prop_cycle"]:
        colors = now["axes.prop_cycle"].by_key().get("color", ())
        if colors:
            parts["palette"] = tuple(to_hex(color) for color in colors)
            parts["study"] = parts["palette"][0]
    families = {"font.family", *({f"font.{family}" for family in now["font.family"]} & now.keys())}
    if any(now[key] != usual[key] for key in families):
        parts["fonts"] = tuple(
            name for family in now["font.family"] for name in now.get(f"font.{family}", (family,))
        )
    base = THEMES["dark" if luminance(parts.get("paper", "#ffffff")) < 0.18 else "metaexo"]
    if parts.get("ink") and "paper" not in parts and luminance(parts["ink"]) > 0.5:
        del parts["ink"]  # light letters for a dark figure that is not ours
    paper = parts.get("paper", base.paper)
    for name, least in (("grey", 4.5), ("pale", 3.0)):
        parts[name] = _standing_out(getattr(base, name), paper, least)
    if "paper" in parts:
        parts["track"] = _mixed(paper, parts.get("ink", base.ink), TRACK)
    own = {key: value for key, value in changed.items() if key not in OF_SETTINGS and key != "font.family"}
    scale = {
        key: value for key, value in own.items() if value not in font_scalings or not isinstance(value, str)
    }
    return replace(base, settings={**base.settings, **scale}, **parts)
