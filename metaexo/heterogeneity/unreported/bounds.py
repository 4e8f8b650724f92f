"""How far means and differences can move with the levels that some studies do not report."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.formatting import interval, number, plural, printed, text_table
from metaexo.heterogeneity.unreported.ranges import AssignmentBound, Exhaustive, Held, Ranges, Task
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice, whole_number

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class AssignmentBounds(Immutable):
    """Bounds over all ways to assign unreported studies to known levels.

    Attributes
    ----------
    by : str
        The moderator.
    levels : tuple of str
        Its known levels.
    studies : tuple of str
        The studies that do not report it.
    bounds : tuple of AssignmentBound
        Means of the levels, and differences between them.
    assignments : int
        Number of assignments.
    how : str
        How the extremes were found, in words.
    left_out : str
        Which levels have no bounds and why, in words; may be empty.
    level : float
        Level of the intervals.
    """

    by: str
    levels: tuple[str, ...]
    studies: tuple[str, ...]
    bounds: tuple[AssignmentBound, ...]
    assignments: int
    how: str
    left_out: str
    level: float

    def __getitem__(self, quantity: str) -> AssignmentBound:
        """Return the bounds of one quantity."""
        names = [bound.quantity for bound in self.bounds]
        check_choice("quantity", quantity, names)
        return self.bounds[names.index(quantity)]

    def to_frame(self) -> pd.DataFrame:
        """Return one row a quantity: reported, lowest and highest with intervals, limits, what is proved."""
        import pandas as pd

        rows = []
        for bound in self.bounds:
            row: dict[str, object] = {"quantity": bound.quantity, "reported": bound.reported}
            for end in ("lowest", "highest"):
                low, high = getattr(bound, f"{end}_interval")
                row |= {end: getattr(bound, end), f"{end}_low": low, f"{end}_high": high}
            row |= {"limit_low": bound.limits[0], "limit_high": bound.limits[1]}
            rows.append(row | {"proved": bound.proved, "sign_holds": bound.sign_holds})
        return pd.DataFrame(rows)

    @printed
    def __str__(self) -> str:
        rows = [
            [
                bound.quantity,
                number(bound.reported),
                number(bound.lowest),
                number(bound.highest),
                interval(*bound.outer_interval),
                "yes" if bound.sign_holds else "no",
            ]
            for bound in self.bounds
        ]
        header = ["quantity", "reported only", "lowest", "highest", "both intervals", "sign holds"]
        head = (
            f"{plural(len(self.studies), 'study', 'studies')} without {self.by}, "
            f"{self.assignments} assignments to {plural(len(self.levels), 'level')}"
        )
        return "\n".join(
            [head, text_table(rows, header), self.how, *([self.left_out] if self.left_out else [])]
        )


def assignment_bounds(
    effects: EffectSizes,
    by: str,
    *,
    tau2: float | None = None,
    method: str = "REML",
    test: str | None = None,
    level: float = 0.95,
    limit: int = 2**15,
) -> AssignmentBounds:
    r"""Return the range of means and differences over all levels that unreported studies may have.

    Use it beside an analysis in which studies that do not report their isolation method are left out or
    stand apart: if a difference keeps its sign in the best and in the worst case, what is not reported does
    not matter. The estimate without these studies need not lie in the range, which holds estimates with all
    of them. Every level has a between-study variance of its own, estimated anew for each of the
    :math:`2^U` sets of U unreported studies that may join it; all sets are fitted, so the range is exact.
    A study may be of any known level, also of one that is not compared.

    Beyond `limit` sets, or with a given tau2, the weights :math:`1 / (v + \tau^2)` are held. The extremes
    are then ordered by the effect: the studies above a threshold are of one level and those below it of the
    other; :mod:`metaexo.heterogeneity.extreme_assignments` has the proof.

    Parameters
    ----------
    effects : EffectSizes
        Effects with the moderator among the columns of `data`; missing, empty and "not reported" values are
        those to assign. All effects of a study go to one level.
    by : str
        The column.
    tau2 : float, optional
        A known between-study variance.
    method, test, level : str, str and float
        As in :meth:`metaexo.RandomEffects.fit`; the tests are those of :func:`metaexo.fit_many`.
    limit : int
        Up to this many sets of unreported studies all are fitted; beyond it tau2 is held at that of the
        studies which report their level.

    Returns
    -------
    AssignmentBounds
        One entry a mean and a difference, with the assignments that attain the ends.

    Raises
    ------
    InputError
        If every study reports the moderator, a variance is zero, or tau2 is negative.
    TooFewStudiesError
        If fewer than two levels are known, or none is reported by two studies.

    References
    ----------
    Manski, C. F. (2003). Partial identification of probability distributions. Springer, New York.
    https://doi.org/10.1007/b97478

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> from metaexo.heterogeneity import assignment_bounds
    >>> method = pd.DataFrame({"isolation": ["UC"] * 3 + ["SEC"] * 3 + [None] * 2})
    >>> y = [0.1, 0.3, 0.2, 1.6, 1.4, 1.5, 1.2, 0.4]
    >>> found = assignment_bounds(mx.EffectSizes(y, [0.05] * 8, data=method), "isolation")
    >>> difference = found["UC minus SEC"]
    >>> round(difference.reported, 2), round(difference.lowest, 2), round(difference.highest, 2)
    (-1.3, -1.18, -0.78)
    """
    limit = whole_number(limit, "limit", 1)
    task = Task(effects, by, method, test, level)
    ranges: Ranges
    if tau2 is None and 2 ** len(task.units) <= limit:
        ranges = Exhaustive(task)
        how = f"every level fitted with each of {2 ** len(task.units)} sets of these studies: exact"
    else:
        held = task.held_tau2(tau2)
        ranges = Held(task, held)
        how = f"tau2 held at {number(held, 4)}; for these weights the extremes are ordered by the effects"
    found = [ranges.mean(name) for name in task.compared]
    found += [ranges.difference(a, b) for a, b in combinations(task.compared, 2)]
    if not all(bound.proved for bound in found):
        how += "; where no assignment was proved to be the most extreme, `limits` is what none exceeds"
    lone = [name for name in task.levels if name not in task.compared]
    left_out = f"reported by one study, so without bounds: {', '.join(lone)}" if lone else ""
    return AssignmentBounds(
        by=by,
        levels=task.levels,
        studies=task.studies,
        bounds=tuple(found),
        assignments=len(task.levels) ** len(task.units),
        how=how,
        left_out=left_out,
        level=level,
    )
