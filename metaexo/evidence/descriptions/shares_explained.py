"""How much of the variation of a value each factor explains, where values come in studies.

Values of one study share a laboratory and an instrument, so intervals resample whole studies, and what
chance alone would explain is found by permuting the labels of whole studies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import InputError, TooFewStudiesError
from metaexo.inputs import check_columns, check_level, read_entries, read_numbers, read_words, whole_number
from metaexo.numeric.tails import t_quantile
from metaexo.types import Array, Index, Words

if TYPE_CHECKING:
    import pandas as pd


REFUSED = "fewer than two levels occur in two studies or more: confounded with the study"
ALIASED = "aliased with the others"
COLUMNS = (
    "factor",
    "given",
    "k",
    "m",
    "levels",
    "share",
    "low",
    "high",
    "adjusted",
    "chance",
    "p_value",
    "note",
)


@dataclass(frozen=True, slots=True)
class _Chance:
    """How often to draw, from which seed, and the level of the intervals."""

    draws: int
    seed: int
    level: float

    def percentiles(self, found: Sequence[float]) -> tuple[float, float]:
        """Return the two quantiles that enclose `level` of what was found."""
        low, high = np.quantile(found, [(1 - self.level) / 2, (1 + self.level) / 2])
        return float(low), float(high)


@dataclass(frozen=True, slots=True)
class StudySpread:
    """Spread of a value between and within studies.

    Attributes
    ----------
    k, m : int
        Values and studies.
    mean, low, high : float
        Mean of the means of the studies, each study counting once, with its interval by t with m - 1
        degrees of freedom.
    between_sd, within_sd : float
        Standard deviations between and within studies.
    share_between : float
        Share of the variance that lies between studies (intraclass correlation).
    """

    k: int
    m: int
    mean: float
    low: float
    high: float
    between_sd: float
    within_sd: float
    share_between: float


def study_spread(values: Sequence[float] | Array, study: Sequence[str], level: float = 0.95) -> StudySpread:
    """Return how much a value varies between and within studies.

    Use it for values without sampling variances. The variances are those of the one-way analysis of
    variance with unequal group sizes,

        within = MSW,  between = max(0, (MSB - MSW) / n0),  n0 = (k - sum(n_i^2) / k) / (m - 1).

    Parameters
    ----------
    values : array_like
        Values, one per preparation.
    study : sequence of str
        Study of each value.
    level : float
        Level of the interval of the mean.

    Returns
    -------
    StudySpread
        Mean of the study means, and standard deviations.

    Raises
    ------
    TooFewStudiesError
        If there are fewer than two studies, or no study with two values.

    References
    ----------
    Searle, Casella & McCulloch (1992), Variance Components, Wiley, chapter 3, doi:10.1002/9780470316856.

    Examples
    --------
    >>> spread = study_spread([1.0, 3.0, 5.0, 7.0], ["a", "a", "b", "b"])
    >>> spread.mean, round(spread.between_sd**2, 6), round(spread.within_sd**2, 6)
    (4.0, 7.0, 2.0)
    """
    y, names, level = _read(values, study), read_words(study, "study"), check_level(level)
    codes, m = _codes(names)
    sizes = np.bincount(codes, minlength=m)
    k = y.size
    if m < 2 or k == m:
        raise TooFewStudiesError(
            f"{k} values of {m} studies", "two studies, and one of them with two values or more"
        )
    means = np.bincount(codes, y, minlength=m) / sizes
    within = float(((y - means[codes]) ** 2).sum()) / (k - m)
    mean_square = float((sizes * (means - y.mean()) ** 2).sum()) / (m - 1)
    n0 = (k - float((sizes**2).sum()) / k) / (m - 1)
    between = max(0.0, (mean_square - within) / n0)
    centre = float(means.mean())
    half = t_quantile(level, m - 1) * float(means.std(ddof=1)) / math.sqrt(m)
    return StudySpread(
        k,
        m,
        centre,
        centre - half,
        centre + half,
        math.sqrt(between),
        math.sqrt(within),
        between / (between + within),
    )


def shares_explained(
    values: Sequence[float] | Array,
    by: pd.DataFrame,
    study: Sequence[str],
    *,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the share of the variance of a value that each factor explains, alone and after the others.

    Use it to see whether the source, the isolation method or the technique is associated with a value, where
    rows have no sampling variances. A share alone is R2 of the values on the levels; after the others it is
    the gain in R2 when the factor joins the others, in the rows that know all of them. Only levels that
    occur in two studies or more are used: a level of one study is confounded with that study.

    Parameters
    ----------
    values : array_like, shape (k,)
        Values, one per preparation.
    by : DataFrame, shape (k, f)
        Levels as text, one column per factor; missing where not reported.
    study : sequence of str, length k
        Study of each value.
    draws : int
        Draws of the bootstrap (of whole studies) and permutations of the labels.
    seed : int
        Seed of both.
    level : float
        Level of the percentile intervals.

    Returns
    -------
    DataFrame
        A row for each factor alone and one for it after the others: factor, given ("alone" or "after the
        others"), k, m, levels (with the number of studies of each), share, low, high, adjusted (for the
        number of levels), chance (share that permuted labels explain on average), p_value (how
        often permuted labels explain as much), note (why there is no share).

    Raises
    ------
    InputError
        If the numbers of values, rows and studies differ, or a value is missing.

    References
    ----------
    Davison & Hinkley (1997), Bootstrap Methods and their Application, section 3.8,
    doi:10.1017/CBO9780511802843.

    Examples
    --------
    >>> import pandas as pd
    >>> method = pd.DataFrame({"method": ["a", "a", "b", "b", "a", "b"]})
    >>> found = shares_explained([1, 1, 3, 3, 1, 3], method, ["s1", "s2", "s3", "s4", "s5", "s6"])
    >>> float(found["share"][0]), found["note"][1]
    (1.0, 'there is no other factor')
    """
    import pandas as pd

    check_columns(by, "by", [])
    y, names = _read(values, study, len(by)), np.array(read_words(study, "study"), dtype=object)
    draws, seed = whole_number(draws, "draws", 1), whole_number(seed, "seed", 0)
    table, chance = by.reset_index(drop=True), _Chance(draws, seed, check_level(level))
    rows = []
    for factor in table.columns:
        keep = _usable(table[[factor]], names)
        found = _alone(y[keep], table.loc[keep, factor], names[keep], chance)
        rows.append({"factor": factor, "given": "alone"} | found)
    keep = _usable(table, names)
    for factor in table.columns:
        found = _after_the_others(y[keep], table[keep], factor, names[keep], chance)
        rows.append({"factor": factor, "given": "after the others"} | found)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _read(values: object, study: object, rows: int | None = None) -> Array:
    """Return the values; refuse gaps, and other numbers of studies or rows."""
    y, m = read_numbers(values, "values", ndim=1), len(read_entries(study, "study"))
    if y.size != m or rows not in (None, m) or not np.isfinite(y).all():
        of_by = "" if rows is None else f", {rows} rows of by"
        raise InputError(f"{y.size} values{of_by} and {m} studies", "as many of each, and no value missing")
    return y


def _usable(table: pd.DataFrame, study: Words) -> NDArray[np.bool_]:
    """Return the rows that know all factors and whose levels all occur in two studies or more."""
    keep = np.array(table.notna().all(axis=1))
    while True:
        before = keep.copy()
        for factor in table.columns:
            spread = table[factor][keep].to_frame("level").assign(study=study[keep])
            studies = spread.groupby("level")["study"].nunique()
            keep = keep & np.array(table[factor].isin(studies.index[studies >= 2]))
        if (keep == before).all():
            return keep


def _alone(y: Array, column: pd.Series, study: Words, chance: _Chance) -> dict[str, object]:
    facts = _facts(column, study)
    if column.nunique() < 2:
        return facts | {"note": REFUSED}
    design = _design([column])
    share = _r_squared(y, design)
    codes, m = _codes(study)
    rng = np.random.default_rng(chance.seed)
    resampled = [_r_squared(y[rows], design[rows]) for rows in _resamples(codes, m, chance.draws, rng)]
    dealt = np.array([_r_squared(y, design[rows]) for rows in _deals(codes, m, chance.draws, rng)])
    low, high = chance.percentiles(resampled)
    free = y.size - design.shape[1]
    return facts | {
        "share": share,
        "low": low,
        "high": high,
        "adjusted": 1 - (1 - share) * (y.size - 1) / free if free > 0 else np.nan,
        "chance": float(dealt.mean()),
        "p_value": (1 + int((dealt >= share - 1e-12).sum())) / (1 + chance.draws),
        "note": "",
    }


def _after_the_others(
    y: Array, table: pd.DataFrame, factor: str, study: Words, chance: _Chance
) -> dict[str, object]:
    facts = _facts(table[factor], study)
    others = [table[name] for name in table.columns if name != factor and table[name].nunique() > 1]
    if table[factor].nunique() < 2:
        return facts | {"note": REFUSED}
    if not others:
        return facts | {"note": "there is no other factor"}
    full, less = _design([*others, table[factor]]), _design(others)
    if np.linalg.matrix_rank(full) == np.linalg.matrix_rank(less):
        return facts | {"note": ALIASED}

    def gain(rows: Index | slice) -> float:
        return max(0.0, _r_squared(y[rows], full[rows]) - _r_squared(y[rows], less[rows]))

    codes, m = _codes(study)
    samples = _resamples(codes, m, chance.draws, np.random.default_rng(chance.seed))
    low, high = chance.percentiles([gain(rows) for rows in samples])
    return facts | {"share": gain(slice(None)), "low": low, "high": high, "note": ""}


def _facts(column: pd.Series, study: Words) -> dict[str, object]:
    studies = column.to_frame("level").assign(study=study).groupby("level")["study"].nunique()
    ordered = sorted(studies.items(), key=lambda pair: (-int(pair[1]), str(pair[0])))
    levels = "; ".join(f"{name} {n}" for name, n in ordered)
    return {"k": len(column), "m": len(set(study)), "levels": levels}


def _codes(labels: Sequence[str] | Words) -> tuple[Index, int]:
    names, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    return codes, names.size


def _design(columns: Sequence[pd.Series]) -> Array:
    """Return an intercept and an indicator for every level but the first of each factor."""
    parts = [np.ones((len(columns[0]), 1))]
    for column in columns:
        codes, levels = _codes(column.to_numpy(dtype=object))
        parts.append(np.eye(levels)[codes][:, 1:])
    return np.hstack(parts)


def _r_squared(y: Array, design: Array) -> float:
    total = float(((y - y.mean()) ** 2).sum())
    if total <= 1e-12 * max(1.0, float((y**2).sum())):
        return 0.0
    residual = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    return 1 - float((residual**2).sum()) / total


def _resamples(codes: Index, m: int, draws: int, rng: np.random.Generator) -> list[Index]:
    """Return the rows of draws of whole studies with replacement."""
    members = [np.flatnonzero(codes == s) for s in range(m)]
    return [np.concatenate([members[s] for s in rng.integers(0, m, m)]) for _ in range(draws)]


def _deals(codes: Index, m: int, draws: int, rng: np.random.Generator) -> list[Index]:
    """Return, for each permutation, the row whose levels each row gets: those of another study, in turn."""
    members = [np.flatnonzero(codes == s) for s in range(m)]
    deals = []
    for _ in range(draws):
        order = rng.permutation(m)
        given = np.empty(codes.size, dtype=np.intp)
        for s in range(m):
            given[members[s]] = np.resize(members[order[s]], members[s].size)
        deals.append(given)
    return deals
