"""Rows of one study that rest on the same control arm, or that stand twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.formatting import printed

if TYPE_CHECKING:
    import pandas as pd

ARMS = ("control", "treatment")
# Columns that say which result an arm belongs to; rows of different outcomes or times share no number.
SAME_RESULT = ("outcome", "unit", "timepoint")
NUMBERS = ("n", "mean", "sd", "se", "median", "events")
FEWEST = 2  # numbers that must be there and equal: a sample size alone is no sign of a shared arm


@dataclass(frozen=True, slots=True)
class SharedArm:
    """Effects that rest on one arm.

    Attributes
    ----------
    study : str
        The study.
    arm : {"control", "both"}
        Which arm they share; "both" means that the rows repeat each other.
    rows : tuple of int
        Positions of the effects, from 0.
    labels : tuple of str
        Their labels.
    """

    study: str
    arm: str
    rows: tuple[int, ...]
    labels: tuple[str, ...]

    @printed
    def __str__(self) -> str:
        what = "repeat each other" if self.arm == "both" else "share a control arm"
        return f"{'; '.join(self.labels)} {what}"


def shared_arms(effects: EffectSizes) -> tuple[SharedArm, ...]:
    """Return the effects of one study whose control arm is the same, and those that stand twice.

    Use it before effects are pooled: a control arm that feeds two effects makes them correlated (by the share
    of its variance in theirs), which :func:`metaexo.effects.covariance_blocks` expresses and
    :func:`metaexo.effects.aggregate` uses. Arms are the same if they belong to one study, outcome and time
    and every number of them is equal, two numbers at least.

    Parameters
    ----------
    effects : EffectSizes
        Effects with the arms' numbers among the columns of `data` (control_n, control_mean, ...), as
        :func:`metaexo.effect_sizes` and the sheets leave them there.

    Returns
    -------
    tuple of SharedArm
        One record a group of effects; empty if nothing is shared, or if the numbers are not in `data`.

    References
    ----------
    Gleser, L. J., Olkin, I. (2009). Stochastically dependent effect sizes. In The Handbook of Research
    Synthesis and Meta-Analysis, 2nd ed., 357-376. https://www.jstor.org/stable/10.7758/9781610441384

    Examples
    --------
    >>> import pandas as pd
    >>> import metaexo as mx
    >>> arms = pd.DataFrame({
    ...     "treatment_mean": [5.0, 6.0], "treatment_sd": [1.0, 1.2], "treatment_n": [8, 8],
    ...     "control_mean": [4.0, 4.0], "control_sd": [1.1, 1.1], "control_n": [8, 8],
    ... })
    >>> es = mx.effect_sizes("MD", data=arms, study=["Lee", "Lee"], labels=["low dose", "high dose"])
    >>> print(*mx.effects.shared_arms(es))
    low dose; high dose share a control arm
    """
    data = effects.data
    if data is None or not effects.study:
        return ()
    found = []
    frame = data.reset_index(drop=True).assign(_study=list(effects.study))
    for rows in _groups(frame, "control"):
        twice = [group for group in _groups(frame.loc[rows], "treatment") if len(group) == len(rows)]
        labels = tuple(effects.row_labels[i] for i in rows)
        arm = "both" if twice else "control"
        found.append(SharedArm(str(frame["_study"].iloc[rows[0]]), arm, tuple(rows), labels))
    return tuple(found)


def _groups(frame: pd.DataFrame, arm: str) -> list[list[int]]:
    """Return the positions of rows of one study and result with the same numbers of an arm."""
    numbers = [f"{arm}_{name}" for name in NUMBERS if f"{arm}_{name}" in frame]
    if not numbers:
        return []
    known = frame[frame[numbers].notna().sum(axis=1) >= FEWEST]
    keys = ["_study", *(name for name in SAME_RESULT if name in frame), *numbers]
    grouped = known.groupby(keys, dropna=False, sort=False).groups
    return [[int(i) for i in rows] for rows in grouped.values() if len(rows) > 1]
