"""Whose outcome it is: which effects of a study were measured on the same animals or people."""

from __future__ import annotations

from typing import Any

from metaexo.effects import EffectSizes
from metaexo.errors import UnknownChoiceError

ARMS = ("treatment_label", "control_label")


def same_subjects(effects: EffectSizes) -> tuple[str, ...]:
    """Return who each effect was measured on; effects with one name share animals or people.

    Use it as the clusters of :func:`metaexo.effects.covariance_blocks`: the sampling errors of two effects
    are correlated if the same animals gave both (two time points, two outcomes) or if they share an arm (two
    doses against one control), and independent if both arms are different animals, even in one study. Arms
    are told by their labels, so effects of a study are tied by every label that they have in common, directly
    or by way of a third; an arm without a label may be any arm of its study.

    Parameters
    ----------
    effects : EffectSizes
        Effects of the sheets, with the columns treatment_label and control_label.

    Returns
    -------
    tuple of str
        The study of each effect, with a number where a study has several groups of animals or people.

    Raises
    ------
    UnknownChoiceError
        If the labels of the arms are not in the data.

    References
    ----------
    Gleser, L. J., Olkin, I. (2009). Stochastically dependent effect sizes. In The Handbook of Research
    Synthesis and Meta-Analysis, 2nd ed., 357-376. https://doi.org/10.7758/9781610441384

    Examples
    --------
    >>> import pandas as pd
    >>> import metaexo as mx
    >>> arms = pd.DataFrame({"treatment_label": ["gel", "gel", "low dose", "high dose"],
    ...                      "control_label": ["no gel", "no gel", "saline", "saline"]})
    >>> es = mx.EffectSizes([0.4, 0.5, 0.6, 0.7], [0.1] * 4, study=["Lee"] * 4, data=arms)
    >>> same_subjects(es)
    ('Lee, group 1', 'Lee, group 1', 'Lee, group 2', 'Lee, group 2')
    """
    columns = [] if effects.data is None else list(map(str, effects.data.columns))
    for name in ARMS:
        if name not in columns:
            raise UnknownChoiceError("column", name, columns)
    study = effects.study or effects.row_ids
    labels = list(zip(*(effects.column(name) for name in ARMS), strict=True))
    groups: dict[str, list[list[int]]] = {}
    for i, name in enumerate(study):
        groups.setdefault(name, [])
        tied = [group for group in groups[name] if any(_share(labels[i], labels[j]) for j in group)]
        rest = [group for group in groups[name] if group not in tied]
        groups[name] = [*rest, sorted([*(j for group in tied for j in group), i])]
    names = [""] * effects.k
    for name, found in groups.items():
        for number, group in enumerate(sorted(found), start=1):
            for i in group:
                names[i] = name if len(found) == 1 else f"{name}, group {number}"
    return tuple(names)


def _share(one: tuple[Any, ...], two: tuple[Any, ...]) -> bool:
    """Say whether two comparisons may have an arm in common."""
    told = [{_plain(label) for label in labels} for labels in (one, two)]
    return bool(told[0] & told[1]) or any("" in labels for labels in told)


def _plain(label: Any) -> str:
    """Return a label without what does not matter; empty if there is none."""
    if label is None or label != label or str(label) == "<NA>":
        return ""
    return " ".join(str(label).casefold().split())
