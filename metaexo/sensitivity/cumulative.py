"""Cumulative meta-analysis: the fit of the first studies, of the first and second, and so on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.errors import InputError, ShapeError, TooFewStudiesError, UnknownChoiceError
from metaexo.formatting import number, plural
from metaexo.inputs import check_choice, check_flag, is_blank, read_entries
from metaexo.models.linear.grouping import LevelNames, grouping, levels_in_order
from metaexo.models.linear.results import FitResults
from metaexo.sensitivity.leave_one_out import clusters_of
from metaexo.sensitivity.refit import checked_fit
from metaexo.sensitivity.refits import Refits, refits
from metaexo.types import Array, Index

TIES = ("together", "rows")
DEFAULT_ORDER = "year"
LONGEST = 8  # letters of a number that is shown as it is


@dataclass(frozen=True, eq=False, repr=False)
class Cumulative(Refits):
    """The fits of the studies up to each step: arrays as in :class:`Refits`, an entry per step.

    Attributes
    ----------
    labels : tuple of str
        Value of the order at each step, such as the year.
    added : tuple of tuple of str
        What entered at each step.
    order : str
        Column of the order; empty where values were given.
    cluster : str
        What enters as a whole: "study", "effect", or the column that names it.
    rows : tuple of ndarray
        Rows that entered at each step.
    descending : bool
        Whether the order falls.
    fit : FitResults
        The fit of all rows.
    """

    labels: tuple[str, ...]
    added: tuple[tuple[str, ...], ...]
    order: str
    cluster: str
    rows: tuple[Index, ...]
    descending: bool
    fit: FitResults

    @property
    def row_names(self) -> tuple[str, Sequence[str]]:
        """What the rows of the table are, and the name of each."""
        return self.order or "order", self.labels

    def columns(self) -> dict[str, Any]:
        """Return the columns of `to_frame`: what was added, then as in :class:`Refits`."""
        return {"added": ["; ".join(names) for names in self.added], **super().columns()}

    @property
    def sentence(self) -> str:
        """What was found, in plain sentences: the first and the last estimate, and since when p is small."""
        by = f"by {self.order}" if self.order else "in the order given"
        if self.order and not any(label[:1] in "-+.0123456789" for label in self.labels):
            by += " (text, in alphabetical order)"
        falling = ", from the highest" if self.descending else ""
        said = f"Cumulative, {by}{falling}, {plural(self.size, 'step')}: "
        parts = [text for j in range(len(self.names)) if (text := self._course_of(j))]
        if not parts:
            return f"{said}no step has a fit."
        return f"{said}{'; '.join(parts)}.{self._of_single_effects('step', 'steps')}"

    def _course_of(self, j: int) -> str:
        """Return the course of one coefficient in words; empty without an estimate."""
        name, values = self.names[j], self.beta[:, j]
        if len(self.names) == 1:
            name, values, *_ = self.shown_estimates
        known = np.flatnonzero(~np.isnan(values))
        if not known.size:
            return ""
        first, last = int(known[0]), int(known[-1])
        ends = f"{name} {number(values[first], 3)} ({self.labels[first]}) to {number(values[last], 3)}"
        if not self.tested[j]:
            return f"{ends} ({self.labels[last]})"
        alpha = 1 - self.level
        side = np.sign(self.beta[:, j])
        stands = (self.pvalue[:, j] < alpha) & (side == side[last])  # the conclusion of the last step
        change = np.flatnonzero(~stands[: last + 1])
        since = int(change[-1]) + 1 if change.size else first
        words = (
            f"p < {alpha:.3g} from {self.labels[since]} on" if stands[last] else f"p ≥ {alpha:.3g} at the end"
        )
        return f"{ends} ({self.labels[last]}); {words}"

    def table_notes(self) -> list[str]:
        """Return the sentence, and what is special about single steps."""
        return [self.sentence, *super().table_notes()]


def cumulative(
    results: FitResults,
    order: str | Sequence[object] | ArrayLike = "year",
    *,
    cluster: str | Sequence[object] | ArrayLike = "study",
    descending: bool = False,
    ties: Literal["together", "rows"] = "together",
    level: float | None = None,
) -> Cumulative:
    """Return the fits of a growing set of studies, all other choices the same.

    Use it to see since when a result has stood, whether early studies found more, or, ordered by precision or
    sample size, whether small studies change what the large ones say. The intervals are those of single
    analyses: they are not adjusted for looking repeatedly.

    Parameters
    ----------
    results : FitResults
        A fit of any family, with moderators or not.
    order : str or sequence of length k
        Column of the data, or a value for each effect: numbers, dates or text. Numbers are ordered by size.
    cluster : str or sequence of length k
        What enters as a whole: "study", "effect" for single effects, a column of the data, or a label for
        each effect. A study whose effects have several values enters with the first of them.
    descending : bool
        Whether the highest value comes first.
    ties : {"together", "rows"}
        "together": studies with the same value enter in one step, as no order between them is known. "rows":
        one after the other in the order of the rows.
    level : float, optional
        Level of the intervals. Default: that of the fit.

    Returns
    -------
    Cumulative
        Coefficients with intervals and tests, tau2, I2, H2 and Q at each step; NaN where the studies so far
        have no fit, with the reason. A step with one effect alone shows that effect with normal quantiles.
        `to_frame()` has a row per step.

    Raises
    ------
    InputError
        If `results` is no fit, or some effects have no value.
    UnknownChoiceError
        If there is no such column.

    References
    ----------
    Lau, J., Antman, E. M., Jimenez-Silva, J., Kupelnick, B., Mosteller, F., Chalmers, T. C. (1992).
    Cumulative meta-analysis of therapeutic trials for myocardial infarction. New England Journal of Medicine
    327, 248-254. https://doi.org/10.1056/NEJM199207233270406

    Examples
    --------
    >>> import pandas as pd
    >>> import metaexo as mx
    >>> year = pd.DataFrame({"year": [2012, 2010, 2015, 2012]})
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.02, 0.05, 0.03, 0.04], data=year)
    >>> found = mx.sensitivity.cumulative(mx.RandomEffects(es).fit())
    >>> found.labels, found.k, found.estimate.round(2)
    (('2010', '2012', '2015'), array([1., 3., 4.]), array([0.6 , 0.55, 0.43]))
    """
    fit = checked_fit(results)
    check_choice("ties", ties, TIES)
    check_flag("descending", descending)
    if not fit.k:
        raise TooFewStudiesError("there are no effects", "at least one effect", "look at the ledger")
    value, names = _read_order(fit, order)
    clusters, members = clusters_of(fit, cluster)
    value = -value if descending else value
    firsts = np.array([value[rows].min() for rows in members])
    entering = [np.flatnonzero(firsts == one) for one in np.unique(firsts)]
    if ties == "rows":
        entering = [np.array([i]) for step in entering for i in step]
    rows = tuple(np.sort(np.concatenate([members[i] for i in step])) for step in entering)
    step = np.empty(fit.k, dtype=np.intp)
    for i, part in enumerate(rows):
        step[part] = i
    found = refits(fit, _UpTo(step), len(rows), level=level, alone=True)
    return Cumulative(
        **{field.name: getattr(found, field.name) for field in fields(found)},
        labels=tuple(_short(names[abs(int(firsts[part[0]]))]) for part in entering),
        added=tuple(tuple(clusters[i] for i in part) for part in entering),
        order=order if isinstance(order, str) else "",
        cluster=cluster if isinstance(cluster, str) else "",
        rows=rows,
        descending=descending,
        fit=fit,
    )


@dataclass(frozen=True, slots=True)
class _UpTo:
    """Counts of refits of all rows up to each step."""

    step: Index  # step at which each row enters, shape (k,)

    def __call__(self, begin: int, end: int) -> Array:
        return np.asarray(self.step <= np.arange(begin, end)[:, None], dtype=float)


def _short(label: str) -> str:
    """Return the label of a step; numbers of many digits are rounded to six."""
    try:
        value = float(label)
    except ValueError:
        return label
    return label if len(label) <= LONGEST else f"{value:.6g}" if abs(value) < 1e6 else f"{value:.0f}"


def _read_order(fit: FitResults, order: Any) -> tuple[Index, Sequence[str]]:
    """Return the place of the value of each effect among all values, and the values as text."""
    es = fit.effects
    if isinstance(order, str):
        try:
            return grouping(es, order)  # type: ignore[arg-type]
        except UnknownChoiceError as error:
            if order != DEFAULT_ORDER:
                raise
            raise InputError(
                f"the data have no column {order!r}, which is the order where no other is given",
                f"the order in which studies enter: {error.needed}",
                'order="name of a column", or a value for each effect: order=[2019, 2021, ...]',
            ) from None
    es.check_index("order", order)
    entries = read_entries(order, "order")
    if len(entries) != fit.k:
        raise ShapeError(
            f"order has {plural(len(entries), 'entry', 'entries')} for {fit.k} effects",
            "one value for each effect",
        )
    missing = [es.row_ids[i] for i, entry in enumerate(entries) if is_blank(entry)]
    if missing:
        raise InputError(
            "some effects have no value in the order", "a value for every effect", "fill them in", missing
        )
    values = np.empty(fit.k, dtype=object)
    values[:] = entries
    levels, place = levels_in_order(values)
    return place, LevelNames([levels], np.arange(levels.size)[:, None])
