"""What the caller of a forest plot may choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from metaexo.errors import InputError
from metaexo.inputs import check_choice
from metaexo.plots.canvas.arguments import Column
from metaexo.plots.canvas.fonts import TEXT_SIZE

LEAST_ROW = 1.22
WEIGHTS = ("overall", "stratum")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Choices of a forest plot, in the order of its arguments.

    Parameters
    ----------
    columns : sequence of str or Column, optional
        Columns of the data to show beside the label. Default: source and isolation method, if the data have
        them and the strata do not say the same.
    heads : mapping of str to sequence of str, optional
        Headings over neighbouring columns: title to the names of the columns ("label" is the first).
    by : str, optional
        For bare or bounded effects: column of the data whose values become heads. For a multilevel fit:
        random term whose levels become heads; default the study, or else the first term.
    order : str
        Order of the studies, within strata too: "given", "estimate" (rising), "precision" (the most precise
        first), or a column of the data.
    level : float, optional
        Level of all intervals. Default: that of the fit; 0.95 for bare effects.
    weights : {"overall", "stratum", None}
        For strata: weights in the overall effect or within the strata. None: no weights, equal squares.
    digits : int
        Decimals of effects.
    overall : bool
        Whether to show the overall effect.
    overall_label : str
        Its name.
    prediction, heterogeneity : bool
        Whether to show its prediction interval, and tau2 and I2 of every pooled effect.
    between : bool
        For strata: whether to show the test between them. Strata of different outcomes call for no test.
    wording : mapping of str to str, optional
        Words for values of text columns ("adipose_msc": "adipose MSC").
    remark : str, optional
        Column of the data whose words stand in brackets behind the labels; nothing stands where it is empty
        or `wording` makes it empty ({"main": ""}).
    label_title : str
        Heading of the first column.
    label_letters : int
        Labels with more letters than this take two lines or more.
    limits : tuple of float, optional
        Ends of the axis, on the scale that is shown, the lower one first. Default: wide enough for all
        estimates, and for all bounds but those far outside; 0 to 1 for proportions and -1 to 1 for
        correlations, unless they take up less than a quarter of that. Intervals that are cut end in an arrow;
        an estimate outside the axis is a hollow triangle at its edge, with its value, and a note counts them.
    reference : float, "null" or None
        Where the reference line stands, on the scale that is shown; "null" is the value of no effect.
    axis_label, left_label, right_label : str, optional
        Words below the axis. Default: the measure; "favours control" and "favours exosome" if positive
        effects mean benefit throughout.
    title : str
        Line above the table.
    notes : sequence of str
        Further lines below the plot.
    panel_width, text_size, row_height : float
        Width of the panel, size of the letters, height of a row of one line, in points.
    """

    columns: Sequence[str | Column] | None = None
    heads: Mapping[str, Sequence[str]] | None = None
    by: str | None = None
    order: str = "given"
    level: float | None = None
    weights: Literal["overall", "stratum"] | None = "overall"
    digits: int = 2
    overall: bool = True
    overall_label: str = "All studies"
    prediction: bool = True
    heterogeneity: bool = True
    between: bool = True
    wording: Mapping[str, str] | None = None
    remark: str | None = None
    label_title: str = "Study"
    label_letters: int = 60
    limits: tuple[float, float] | None = None
    reference: float | Literal["null"] | None = "null"
    axis_label: str | None = None
    left_label: str | None = None
    right_label: str | None = None
    title: str = ""
    notes: Sequence[str] = ()
    panel_width: float = 200.0
    text_size: float = TEXT_SIZE
    row_height: float | None = None

    def __post_init__(self) -> None:
        if self.weights is not None:
            check_choice("weights", self.weights, WEIGHTS)
        if self.row_height is not None and self.row_height < LEAST_ROW * self.text_size:
            raise InputError(
                f"rows of {self.row_height:g} points are too low for letters of {self.text_size:g} points",
                f"at least {LEAST_ROW * self.text_size:.1f} points",
            )
