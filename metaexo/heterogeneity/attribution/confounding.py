r"""How much the factors of a meta-analysis are associated: association, empty cells, variance inflation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.formatting import number, plural, text_table
from metaexo.heterogeneity.attribution.estimability import Estimability, estimability
from metaexo.heterogeneity.levels import FactorTable, column_space, rank, readable
from metaexo.readable import LONGEST_REPR, ReadableLines, cut
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Association:
    """How much two factors are associated.

    Attributes
    ----------
    factors : tuple of str
        The two.
    v, v_corrected : float or None
        Cramer's V, and its bias-corrected version; None if a factor has one level.
    empty, cells : int
        Combinations that no study has, and all combinations.
    """

    factors: tuple[str, str]
    v: float | None
    v_corrected: float | None
    empty: int
    cells: int


@dataclass(frozen=True, slots=True)
class Inflation:
    """What the other factors cost a factor.

    Attributes
    ----------
    factor : str
        The factor.
    df : int
        Its levels minus one.
    factor_on_variance : float
        Generalised variance inflation of Fox and Monette; infinite if levels of the factor
        are aliased with the others.
    factor_on_se : float
        The same on the scale of standard errors: to the power 1 / (2 df).
    """

    factor: str
    df: int
    factor_on_variance: float
    factor_on_se: float


@dataclass(frozen=True, eq=False, repr=False)
class Confounding(ReadableLines):
    """How far factors are confounded.

    Attributes
    ----------
    estimability : Estimability
        What the crossing can estimate.
    associations : tuple of Association
        Each pair of factors, by studies: a study counts once in each combination that it has.
    inflations : tuple of Inflation
        Each factor; none where fewer than two factors vary.
    """

    estimability: Estimability
    associations: tuple[Association, ...]
    inflations: tuple[Inflation, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per pair of factors: first, second, v, v_corrected, empty, cells."""
        import pandas as pd

        rows = [(*a.factors, a.v, a.v_corrected, a.empty, a.cells) for a in self.associations]
        return pd.DataFrame(rows, columns=["first", "second", "v", "v_corrected", "empty", "cells"])

    def inflation_frame(self) -> pd.DataFrame:
        """Return one row per factor: factor, df, factor_on_variance, factor_on_se."""
        import pandas as pd

        rows = [(i.factor, i.df, i.factor_on_variance, i.factor_on_se) for i in self.inflations]
        return pd.DataFrame(rows, columns=["factor", "df", "factor_on_variance", "factor_on_se"])

    def words(self) -> list[str]:
        """Return what was found, one sentence each."""
        lines = []
        for pair in self.associations:
            names = " and ".join(readable(name) for name in pair.factors)
            if pair.v is None:
                lines.append(f"{names}: no association, as one of them has a single level")
                continue
            lines.append(
                f"{names}: Cramer's V {number(pair.v)} ({number(pair.v_corrected)} corrected for bias), "
                f"{pair.empty} of {plural(pair.cells, 'combination')} empty"
            )
        for one in self.inflations:
            if math.isinf(one.factor_on_variance):
                lines.append(f"{readable(one.factor)}: aliased with the other factors")
            else:
                lines.append(
                    f"{readable(one.factor)}: the other factors make standard errors "
                    f"{number(one.factor_on_se)} times as large"
                )
        return lines

    def lines(self) -> list[str]:
        """Return the diagnostics in lines: associations, their cost as a table, what can be estimated."""
        rows = [
            [one.factor, str(one.df), number(one.factor_on_variance), number(one.factor_on_se)]
            for one in self.inflations
        ]
        table = [text_table(rows, ["factor", "df", "variance inflation", "on the SE"])] if rows else []
        return [*self.words(), *table, *self.estimability.words()]

    def __repr__(self) -> str:
        return f"Confounding({cut('; '.join(self.words()), LONGEST_REPR)})"


def confounding(
    effects: EffectSizes, by: str | Sequence[str] = ("source", "isolation"), min_studies: int = 2
) -> Confounding:
    r"""Return how far factors are confounded with each other.

    Use it before attributing anything to one of two associated factors. Association is measured by
    Cramer's V over studies, with Bergsma's correction (few studies in many levels look associated by
    chance):

    .. math:: \tilde V = \sqrt{\tilde\varphi^2 / \min(\tilde r - 1, \tilde c - 1)}, \quad
              \tilde\varphi^2 = \max(0, \varphi^2 - (r-1)(c-1)/(n-1)), \quad
              \tilde r = r - (r-1)^2/(n-1)

    and its price by the generalised variance inflation :math:`|R_f| |R_{others}| / |R|` of the indicator
    columns.

    Parameters
    ----------
    effects : EffectSizes
        Effects with the factors among the columns of `data`; a missing level counts as "not reported".
    by : str or sequence of str
        One to five columns.
    min_studies : int
        A level must be in so many studies to be used.

    Returns
    -------
    Confounding
        Associations, variance inflation, and what can be estimated.

    Raises
    ------
    InputError
        If no factor, too many of them, or one of them twice is named.
    UnknownChoiceError
        If a factor is not a column.
    TooFewStudiesError
        If there are no effects.

    References
    ----------
    Bergsma, W. (2013). A bias-correction for Cramer's V and Tschuprow's T. Journal of the Korean Statistical
    Society 42, 323-328. https://doi.org/10.1016/j.jkss.2012.10.002
    Fox, J., Monette, G. (1992). Generalized collinearity diagnostics. Journal of the American Statistical
    Association 87, 178-183. https://doi.org/10.1080/01621459.1992.10475190

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> from metaexo.heterogeneity import confounding
    >>> data = pd.DataFrame({"source": ["plant"] * 2 + ["milk"] * 2, "isolation": ["SEC"] * 2 + ["UC"] * 2})
    >>> found = confounding(mx.EffectSizes([0.1, 0.3, 0.2, 0.5], [0.04] * 4, data=data))
    >>> found.associations[0].v, found.inflations[0].factor_on_variance
    (1.0, inf)
    """
    return confounding_of(estimability(effects, by, min_studies))


def confounding_of(found: Estimability) -> Confounding:
    """Return how far the factors of a crossing are confounded."""
    table = found.used
    pairs = tuple(_association(table, i, j) for i, j in combinations(range(table.p), 2))
    return Confounding(found, pairs, _inflations(table))


def cramers_v(counts: Array) -> tuple[float, float] | None:
    """Return Cramer's V and its bias-corrected version; None if there is one row or column.

    Examples
    --------
    >>> cramers_v(np.array([[5.0, 0.0], [0.0, 5.0]]))
    (1.0, 1.0)
    """
    r, c = counts.shape
    n = float(counts.sum())
    if min(r, c) < 2:
        return None
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / n
    phi2 = float(((counts - expected) ** 2 / expected).sum()) / n
    plain = math.sqrt(phi2 / min(r - 1, c - 1))
    corrected = max(0.0, phi2 - (r - 1) * (c - 1) / (n - 1))
    sides = [size - 1 - (size - 1) ** 2 / (n - 1) for size in (r, c)]
    return min(plain, 1.0), min(math.sqrt(corrected / min(sides)), 1.0) if min(sides) > 0 else 0.0


def _association(table: FactorTable, i: int, j: int) -> Association:
    size = len(table.levels[i]), len(table.levels[j])
    counts = np.zeros(size)
    if table.k:
        once = np.unique(np.column_stack([table.codes[:, [i, j]], table.study]), axis=0)
        np.add.at(counts, (once[:, 0], once[:, 1]), 1.0)
    found = cramers_v(counts) if counts.size else None
    v, corrected = found if found is not None else (None, None)
    names = table.names[i], table.names[j]
    return Association(names, v, corrected, int((counts == 0).sum()), counts.size)


def _inflations(table: FactorTable) -> tuple[Inflation, ...]:
    blocks = [table.indicators(j)[:, 1:] for j in range(table.p)]
    if sum(block.shape[1] > 0 for block in blocks) < 2:
        return ()
    found = []
    for j, block in enumerate(blocks):
        df = block.shape[1]
        if df == 0:
            continue
        others = np.hstack([other for i, other in enumerate(blocks) if i != j])
        size = _inflation(block, others)
        found.append(Inflation(table.names[j], df, size, size ** (1 / (2 * df))))
    return tuple(found)


def _inflation(block: Array, others: Array) -> float:
    """Return |R_block| |R_others| / |R|; infinite where the block is not free of the others."""
    constant = np.ones((len(block), 1))
    if rank(np.hstack([constant, block, others])) < rank(np.hstack([constant, others])) + block.shape[1]:
        return math.inf
    taken = column_space(others - others.mean(axis=0))
    centred = block - block.mean(axis=0)
    rest = centred - taken @ (taken.T @ centred)
    logs = [np.linalg.slogdet(part.T @ part)[1] for part in (centred, rest)]
    return float(np.exp(logs[0] - logs[1]))
